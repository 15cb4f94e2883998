/* SPDX-License-Identifier: MIT */
/* Engines with their options, and other servers; see variants.h. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backends/backends.h"
#include "bench/compare/variants.h"

/* What no engine has, to be told what it has. */
#define UNKNOWN_OPTION "?"

/*
 * Values worth comparing, of options that are numbers, and words for those that everybody asks
 * about. NULL as the value: none, the option is not for this.
 */
static const struct {
	const char *engine;
	const char *option;
	const char *value;
	const char *about;
} table[] = {
	{ "uring", "multishot", "off", "a receive and an accept are asked for one at a time" },
	{ "uring", "taskrun", "coop", "completions are worked off at any entry to the kernel" },
	{ "uring", "taskrun", "none", "completions interrupt the program" },
	{ "uring", "registered-ring", "off", "the kernel looks the ring up at every entry" },
	{ "uring", "sqpoll", "on", "a kernel thread submits, on a processor of its own" },
	{ "uring", "iowait", "on", "waiting in the ring counts as waiting for a disk" },
	{ "uring", "min-wait-us", "20", "waits 20 us for more before it returns with one" },
	{ "uring", "min-wait-us", "100", "waits 100 us for more before it returns with one" },
	{ "uring", "buffers", "1024x4096", "many small receive buffers" },
	{ "uring", "buffers", "64x65536", "a quarter of the receive buffers" },
	{ "uring", "buffers", "64x262144", "few large receive buffers" },
	{ "uring", "incremental", "on", "a receive buffer is filled bit by bit, for everybody" },
	{ "uring", "bundles", "on", "a receive may fill several buffers at once" },
	{ "uring", "direct", "on", "sockets are named by a slot of the ring, not a descriptor" },
	{ "uring", "zero-copy", "32768", "sends of 32 KiB and more are not copied" },
	{ "uring", "send-skip", "off", "every send is reported, and wakes the server up" },
	{ "uring", "busy-poll-us", "50", "looks for 50 us for something to do before it sleeps" },
	{ "uring", "sq", NULL, NULL },
	{ "uring", "cq", NULL, NULL },
	{ "uring", "pretend-kernel", NULL, NULL },
	{ "epoll", "trigger", "edge", "told once of what is new, not again while it is there" },
	{ "epoll", "try-first", "off", "waits to be told before it reads or writes" },
	{ "epoll", "buffers", "1024x4096", "many small receive buffers" },
	{ "epoll", "buffers", "64x262144", "few large receive buffers" },
	{ "epoll", "events", "64", "takes 64 events at a time" },
};

/* ---- one by one ---- */

int variants_find(const struct variants *variants, const char *name)
{
	for (unsigned i = 0; i < variants->count; i++)
		if (!strcmp(variants->list[i].name, name))
			return (int)i;
	return -1;
}

static const struct rota_backend_ops *find_engine(const char *name, size_t bytes)
{
	for (unsigned i = 0; rota_backends[i]; i++)
		if (!(rota_backends[i]->features & ROTA_BACKEND_SIMULATED) &&
		    strlen(rota_backends[i]->name) == bytes &&
		    !memcmp(rota_backends[i]->name, name, bytes))
			return rota_backends[i];
	return NULL;
}

static void leave_out(struct variants *variants, const char *name, const char *why)
{
	struct left_out *left_out = &variants->left_out[variants->left_out_count];

	if (variants->left_out_count == VARIANTS_MAX)
		return;
	variants->left_out_count++;
	snprintf(left_out->name, sizeof(left_out->name), "%s", name);
	snprintf(left_out->why, sizeof(left_out->why), "%s", why);
}

/* A new place, zeroed, under a name that nobody has; NULL with a sentence in `error`. */
static struct variant *add(struct variants *variants, const char *name,
			   char error[ROTA_BACKEND_TEXT_BYTES])
{
	struct variant *variant = &variants->list[variants->count];

	if (variants->count == VARIANTS_MAX) {
		snprintf(error, ROTA_BACKEND_TEXT_BYTES, "no more than %d variants at once",
			 VARIANTS_MAX);
		return NULL;
	}
	if (!*name || strlen(name) >= VARIANT_NAME_BYTES) {
		snprintf(error, ROTA_BACKEND_TEXT_BYTES, "a variant's name is 1 to %d bytes long",
			 VARIANT_NAME_BYTES - 1);
		return NULL;
	}
	if (variants_find(variants, name) >= 0) {
		snprintf(error, ROTA_BACKEND_TEXT_BYTES, "there is a \"%s\" already", name);
		return NULL;
	}
	variants->count++;
	memset(variant, 0, sizeof(*variant));
	memcpy(variant->name, name, strlen(name) + 1);
	return variant;
}

static const char *about_options(const char *engine, const char *options)
{
	size_t bytes = strcspn(options, "=");

	if (!*options)
		return "the default";
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(table); i++)
		if (table[i].value && !strcmp(table[i].engine, engine) &&
		    strlen(table[i].option) == bytes && !memcmp(options, table[i].option, bytes) &&
		    options[bytes] && !strcmp(options + bytes + 1, table[i].value))
			return table[i].about;
	return NULL;
}

#define FEATURES_MAX 64

/*
 * The options ask for something that an engine without options does not use, and the kernel has not
 * got it: then this would be a comparison with itself. Says so in `error`.
 */
static bool would_go_without(const struct rota_backend_ops *engine,
			     const struct rota_backend_config *config,
			     char error[ROTA_BACKEND_TEXT_BYTES])
{
	static const struct rota_backend_config none = { .options = "" };
	struct rota_backend_feature asked[FEATURES_MAX], plain[FEATURES_MAX];
	int count = engine->list_features(config, asked, FEATURES_MAX);

	if (engine->list_features(&none, plain, FEATURES_MAX) != count)
		return false;
	for (int i = 0; i < count; i++) {
		if (asked[i].unwanted || !plain[i].unwanted || asked[i].only_helps ||
		    !asked[i].error)
			continue;
		snprintf(error, ROTA_BACKEND_TEXT_BYTES, "%s: %s; Linux %u.%u has it",
			 asked[i].name,
			 asked[i].error == -EINVAL   ? "this kernel does not know it"
			 : asked[i].error == -EILSEQ ? "this kernel's has a flaw that loses bytes"
						     : strerror(-asked[i].error),
			 asked[i].kernel_major, asked[i].kernel_minor);
		return true;
	}
	return false;
}

/* -EINVAL: the options are wrong; otherwise 0, and left out if it cannot work. */
static int add_engine(struct variants *variants, const struct rota_backend_ops *engine,
		      const char *options, char error[ROTA_BACKEND_TEXT_BYTES])
{
	const struct rota_backend_config config = { .options = options };
	char name[VARIANT_NAME_BYTES];
	struct variant *variant;
	int status;

	if ((size_t)snprintf(name, sizeof(name), "%s%s%s", engine->name, *options ? " " : "",
			     options) >= sizeof(name)) {
		snprintf(error, ROTA_BACKEND_TEXT_BYTES, "the options of %s are too long",
			 engine->name);
		return -EINVAL;
	}
	status = engine->probe(&config, error);
	if (status == -EINVAL)
		return status;
	if (status < 0 || would_go_without(engine, &config, error)) {
		leave_out(variants, name, error);
		return 0;
	}
	variant = add(variants, name, error);
	if (!variant)
		return -EINVAL;
	variant->engine = engine->name;
	snprintf(variant->options, sizeof(variant->options), "%s", options);
	variant->about = about_options(engine->name, options);
	return 0;
}

int variants_add(struct variants *variants, const char *text, char error[ROTA_BACKEND_TEXT_BYTES])
{
	size_t bytes = strcspn(text, ":");
	const struct rota_backend_ops *engine = find_engine(text, bytes);

	if (!engine) {
		snprintf(error, ROTA_BACKEND_TEXT_BYTES,
			 "\"%s\" is no variant: an engine's name, such as uring or epoll, and "
			 "after a colon its options",
			 text);
		return -EINVAL;
	}
	return add_engine(variants, engine, text[bytes] ? text + bytes + 1 : "", error);
}

/* The protocol in front of a command, if there is one: a word and a colon. */
static size_t protocol_bytes(const char *command)
{
	static const char *const protocols[] = { "echo", "resp", "memcached", "memcached-meta",
						 "http1" };

	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(protocols); i++) {
		size_t bytes = strlen(protocols[i]);

		if (!strncmp(command, protocols[i], bytes) && command[bytes] == ':')
			return bytes;
	}
	return 0;
}

int variants_add_server(struct variants *variants, const char *text,
			char error[ROTA_BACKEND_TEXT_BYTES])
{
	const char *equals = strchr(text, '=');
	char name[VARIANT_NAME_BYTES];
	struct variant *variant;
	const char *command;
	size_t bytes;

	if (!equals || !strstr(equals, "{port}") || equals - text >= VARIANT_NAME_BYTES ||
	    strlen(equals) >= VARIANT_COMMAND_BYTES) {
		snprintf(error, ROTA_BACKEND_TEXT_BYTES,
			 "a server is NAME=COMMAND with {port} in the command, such as "
			 "'redis=resp:redis-server --port {port}', not \"%s\"",
			 text);
		return -EINVAL;
	}
	memcpy(name, text, (size_t)(equals - text));
	name[equals - text] = '\0';
	variant = add(variants, name, error);
	if (!variant)
		return -EINVAL;
	command = equals + 1;
	bytes = protocol_bytes(command);
	memcpy(variant->protocol, command, bytes);
	snprintf(variant->command, sizeof(variant->command), "%s",
		 command + (bytes ? bytes + 1 : 0));
	return 0;
}

/* One line of a table. */
static int add_line(struct variants *variants, char *line, char error[ROTA_BACKEND_TEXT_BYTES])
{
	char text[VARIANT_NAME_BYTES + VARIANT_COMMAND_BYTES];
	char *rest = line, *name = strsep(&rest, "\t"), *protocol = strsep(&rest, "\t");
	char *command = strsep(&rest, "\t\n");

	if (*line == '#' || *line == '\n')
		return 0;
	if (!command) {
		snprintf(error, ROTA_BACKEND_TEXT_BYTES,
			 "a line is a name, a protocol and a command with tabs between, not "
			 "\"%.200s\"",
			 line);
		return -EINVAL;
	}
	snprintf(text, sizeof(text), "%s:%s", protocol, command);
	if (!protocol_bytes(text))
		return 0;
	snprintf(text, sizeof(text), "%s=%s:%s", name, protocol, command);
	return variants_add_server(variants, text, error);
}

int variants_add_table(struct variants *variants, const char *path,
		       char error[ROTA_BACKEND_TEXT_BYTES])
{
	char line[2 * VARIANT_COMMAND_BYTES];
	FILE *file = fopen(path, "r");
	int status = 0;

	if (!file) {
		status = -errno;
		snprintf(error, ROTA_BACKEND_TEXT_BYTES, "%s: %s", path, strerror(-status));
		return status;
	}
	while (status == 0 && fgets(line, sizeof(line), file))
		status = add_line(variants, line, error);
	fclose(file);
	return status;
}

/* ---- all of an engine ---- */

static void add_or_leave_out(struct variants *variants, const struct rota_backend_ops *engine,
			     const char *option, size_t option_bytes, const char *value,
			     size_t value_bytes)
{
	char error[ROTA_BACKEND_TEXT_BYTES], options[VARIANT_NAME_BYTES];

	snprintf(options, sizeof(options), "%.*s=%.*s", (int)option_bytes, option, (int)value_bytes,
		 value);
	if (add_engine(variants, engine, options, error) < 0)
		leave_out(variants, options, error);
}

/* Those of the table. Returns whether it knows the option at all. */
static bool add_from_table(struct variants *variants, const struct rota_backend_ops *engine,
			   const char *option, size_t bytes)
{
	bool is_known = false;

	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(table); i++) {
		if (strcmp(table[i].engine, engine->name) || strlen(table[i].option) != bytes ||
		    memcmp(table[i].option, option, bytes))
			continue;
		is_known = true;
		if (table[i].value)
			add_or_leave_out(variants, engine, option, bytes, table[i].value,
					 strlen(table[i].value));
	}
	return is_known;
}

/* "on|off": each of them; one is the default, which does no harm. Numbers are for the table. */
static void add_each_value(struct variants *variants, const struct rota_backend_ops *engine,
			   const char *option, size_t bytes, const char *values)
{
	size_t all = strcspn(values, ", ");

	if (!memchr(values, '|', all))
		return;
	for (const char *value = values; value < values + all; value++) {
		size_t value_bytes = strcspn(value, "|, ");

		add_or_leave_out(variants, engine, option, bytes, value, value_bytes);
		value += value_bytes;
	}
}

/* The words "NAME=VALUES" in what the engine says of an option that it does not have. */
static void add_listed(struct variants *variants, const struct rota_backend_ops *engine)
{
	const struct rota_backend_config config = { .options = UNKNOWN_OPTION };
	char text[ROTA_BACKEND_TEXT_BYTES];

	if (engine->probe(&config, text) != -EINVAL)
		return;
	for (const char *word = text; *word; word += strcspn(word, " "), word += *word == ' ') {
		size_t bytes = strcspn(word, "= ,");

		if (!islower((unsigned char)*word) || word[bytes] != '=')
			continue;
		if (!add_from_table(variants, engine, word, bytes))
			add_each_value(variants, engine, word, bytes, word + bytes + 1);
	}
}

void variants_add_engines(struct variants *variants, bool all)
{
	char error[ROTA_BACKEND_TEXT_BYTES];

	for (unsigned i = 0; rota_backends[i]; i++) {
		const struct rota_backend_ops *engine = rota_backends[i];

		if (engine->features & ROTA_BACKEND_SIMULATED)
			continue;
		if (add_engine(variants, engine, "", error) < 0)
			leave_out(variants, engine->name, error);
		else if (all && variants_find(variants, engine->name) >= 0)
			add_listed(variants, engine);
	}
}

/* ---- as a part of the result ---- */

static json_t *text_or_null(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

int variants_describe(const struct variants *variants, json_t *result)
{
	json_t *list = json_array(), *left_out = json_array();
	int status = 0;

	for (unsigned i = 0; i < variants->count; i++) {
		const struct variant *variant = &variants->list[i];

		status |= json_array_append_new(
			list,
			json_pack("{s:s, s:o, s:o, s:o, s:o}", "name", variant->name, "engine",
				  text_or_null(variant->engine), "options",
				  variant->engine ? json_string(variant->options) : json_null(),
				  "about", text_or_null(variant->about), "command",
				  text_or_null(variant->command)));
	}
	for (unsigned i = 0; i < variants->left_out_count; i++)
		status |= json_array_append_new(
			left_out, json_pack("{s:s, s:s}", "name", variants->left_out[i].name, "why",
					    variants->left_out[i].why));
	status |= json_object_set_new(result, "variants", list);
	status |= json_object_set_new(result, "left_out", left_out);
	return status ? -ENOMEM : 0;
}
