/* SPDX-License-Identifier: MIT */
/*
 * Configuration files and command lines: from text to directives. Application layer of rota-kv;
 * start-up only.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <rota/error.h>

#include "apps/kv/config.h"

/* ---- words of a line ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The character behind a backslash at *at inside double quotes; moves *at to its last character. */
static char unescape(const char **at)
{
	const char *c = *at;

	switch (*c) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'a':
		return '\a';
	case 'b':
		return '\b';
	case 'x':
		if (hex_digit(c[1]) >= 0 && hex_digit(c[2]) >= 0) {
			*at += 2;
			return (char)(hex_digit(c[1]) * 16 + hex_digit(c[2]));
		}
		return 'x';
	default:
		return *c;
	}
}

/* Copy the quoted word at `from` to *to. Returns what follows its end, or NULL without one. */
static const char *take_quoted(const char *from, char **to)
{
	char quote = *from++;

	for (; *from && *from != quote; from++) {
		char c = *from;

		if (c == '\\' && quote == '"' && from[1]) {
			from++;
			c = unescape(&from);
		} else if (c == '\\' && quote == '\'' && from[1] == '\'') {
			c = *++from;
		}
		*(*to)++ = c;
	}
	if (!*from || (from[1] && !isspace((unsigned char)from[1])))
		return NULL;
	return from + 1;
}

int kv_config_split(char *line, char *words[KV_CONFIG_WORDS_MAX])
{
	const char *from = line;
	char *to = line;
	int count = 0;

	for (;;) {
		while (isspace((unsigned char)*from))
			from++;
		if (!*from || (!count && *from == '#'))
			return count;
		if (count == KV_CONFIG_WORDS_MAX)
			return -EINVAL;
		words[count++] = to;
		if (*from == '"' || *from == '\'') {
			from = take_quoted(from, &to);
			if (!from)
				return -EINVAL;
		} else {
			while (*from && !isspace((unsigned char)*from))
				*to++ = *from++;
		}
		/* `to` may have come up to `from`: look for the end before it is written over. */
		if (!*from) {
			*to = '\0';
			return count;
		}
		from++;
		*to++ = '\0';
	}
}

/* ---- files ---- */

int kv_config_read(struct kv_config *config, FILE *file, const char *name,
		   char error[KV_CONFIG_ERROR_BYTES])
{
	char reason[KV_CONFIG_ERROR_BYTES];
	char *words[KV_CONFIG_WORDS_MAX];
	char *line = NULL;
	size_t capacity = 0;
	unsigned number = 0;
	int status = 0;

	while (status == 0 && getline(&line, &capacity, file) >= 0) {
		int count = kv_config_split(line, words);

		number++;
		snprintf(reason, sizeof(reason), "unbalanced quotes, or too many words");
		if (count > 0)
			status = kv_config_set(config, words[0], words + 1, (unsigned)count - 1,
					       reason);
		else
			status = count;
	}
	free(line);
	if (status == 0 && ferror(file)) {
		status = -EIO;
		snprintf(error, KV_CONFIG_ERROR_BYTES, "%.128s: cannot be read", name);
	} else if (status < 0) {
		snprintf(error, KV_CONFIG_ERROR_BYTES, "%.128s:%u: %.340s", name, number, reason);
	}
	config->binds_are_from_file_ = config->server.binds_count > 0;
	return status;
}

static int read_file(struct kv_config *config, const char *path, char *error)
{
	FILE *file = fopen(path, "re");
	int status;

	if (!file) {
		snprintf(error, KV_CONFIG_ERROR_BYTES, "%.256s: %s; give the path of a file", path,
			 rota_strerror(-errno));
		return -EINVAL;
	}
	status = kv_config_read(config, file, path, error);
	fclose(file);
	return status;
}

/* ---- the command line ---- */

int kv_config_arguments(struct kv_config *config, int argc, char *const argv[],
			char error[KV_CONFIG_ERROR_BYTES])
{
	int i = 1, status = 0;

	if (i < argc && strncmp(argv[i], "--", 2) != 0)
		status = read_file(config, argv[i++], error);
	while (i < argc && status == 0) {
		const char *name = argv[i];
		int first = ++i;

		if (strncmp(name, "--", 2) != 0) {
			snprintf(error, KV_CONFIG_ERROR_BYTES,
				 "%.64s: options begin with --, a file comes first", name);
			return -EINVAL;
		}
		config->wants_help |= !strcmp(name, "--help");
		config->wants_version |= !strcmp(name, "--version");
		if (config->wants_help || config->wants_version)
			return 0;
		while (i < argc && strncmp(argv[i], "--", 2) != 0)
			i++;
		if (!strcmp(name, "--bind") && config->binds_are_from_file_) {
			config->server.binds_count = 0;
			config->binds_are_from_file_ = false;
		}
		status = kv_config_set(config, name + 2, argv + first, (unsigned)(i - first),
				       error);
	}
	return status;
}
