/* SPDX-License-Identifier: MIT */
/*
 * Inline commands: what a person types into telnet, words on a line with shell-like quotes. A pure
 * function of its bytes and the parser; any thread that owns the parser.
 *
 * The one idea: a word without quotes is a view into the line; a word with any is written without
 * them into one buffer as long as the line, since taking quotes away never lengthens it.
 */
#include <string.h>

#include <rota/memory.h>

#include "protocols/resp/resp_internal.h"

struct cursor {
	const char *at;
	const char *end;
};

static int64_t split_words(struct rota_resp_parser *parser, const char *line, size_t bytes);
static int64_t read_word(struct rota_resp_parser *parser, struct cursor *cursor, char **out);
static bool unquote_word(struct cursor *cursor, char **out);

int64_t rota__resp_parse_inline(struct rota_resp_parser *parser, struct rota_view input)
{
	int64_t line_bytes = rota__resp_find_line_end(parser, input.data, input.bytes, '\n',
						      "Protocol error: too big inline request");
	size_t text_bytes;
	int64_t status;

	if (line_bytes <= 0)
		return line_bytes;
	text_bytes = (size_t)line_bytes - 1;
	if (text_bytes && input.data[text_bytes - 1] == '\r')
		text_bytes--;
	status = split_words(parser, input.data, text_bytes);
	return status < 0 ? status : line_bytes;
}

/* As isspace has it in the C locale, whatever locale the program is in. */
static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/*
 * What ends a word without quotes: fewer characters than what may stand between words. So it is in
 * Redis.
 */
static bool ends_word(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static int64_t split_words(struct rota_resp_parser *parser, const char *line, size_t bytes)
{
	struct cursor cursor = { line, line + bytes };
	char *out = NULL;

	for (;;) {
		int64_t status;

		while (cursor.at < cursor.end && is_blank(*cursor.at))
			cursor.at++;
		if (cursor.at == cursor.end)
			return 0;
		if (parser->count == parser->capacity_) {
			status = rota__resp_grow_args(parser, UINT32_MAX);
			if (status < 0)
				return status;
		}
		status = read_word(parser, &cursor, &out);
		if (status < 0)
			return status;
	}
}

/*
 * Read the word at the cursor into args[count]; `out` is where unquoted bytes go on, NULL before
 * the first.
 */
static int64_t read_word(struct rota_resp_parser *parser, struct cursor *cursor, char **out)
{
	const char *word = cursor->at;
	const char *p = word;
	char *unquoted;

	while (p < cursor->end && !ends_word(*p) && *p != '"' && *p != '\'')
		p++;
	if (p == cursor->end || ends_word(*p)) {
		parser->args[parser->count++] = rota_view_of(word, (size_t)(p - word));
		cursor->at = p;
		return 0;
	}
	if (!*out) {
		parser->unescaped_ = rota_alloc((size_t)(cursor->end - word));
		if (!parser->unescaped_)
			return rota__resp_fail(parser, -ENOMEM, "out of memory for a request");
		parser->owns_memory = true;
		*out = parser->unescaped_;
	}
	unquoted = *out;
	if (!unquote_word(cursor, out))
		return rota__resp_fail(parser, -ROTA_EPROTOCOL,
				       "Protocol error: unbalanced quotes in request");
	parser->args[parser->count++] = rota_view_of(unquoted, (size_t)(*out - unquoted));
	return 0;
}

static int hex_digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * The byte that the escape at the cursor, a backslash and at least one more character, stands for.
 */
static char read_escape(struct cursor *cursor)
{
	char c = cursor->at[1];

	if (c == 'x' && cursor->end - cursor->at >= 4) {
		int high = hex_digit_value(cursor->at[2]);
		int low = hex_digit_value(cursor->at[3]);

		if (high >= 0 && low >= 0) {
			cursor->at += 4;
			return (char)(high * 16 + low);
		}
	}
	cursor->at += 2;
	switch (c) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'b':
		return '\b';
	case 'a':
		return '\a';
	default:
		return c;
	}
}

/*
 * Copy what stands up to the closing `quote`, the cursor behind the opening one, to `*out`. False
 * when it never closes.
 */
static bool unquote(struct cursor *cursor, char quote, char **out)
{
	while (cursor->at < cursor->end) {
		const char *p = cursor->at;
		bool has_more = p + 1 < cursor->end;

		if (*p == quote) {
			cursor->at++;
			return !has_more || is_blank(p[1]);
		}
		if (*p == '\\' && has_more && (quote == '"' || p[1] == '\'')) {
			*(*out)++ = read_escape(cursor);
			continue;
		}
		*(*out)++ = *p;
		cursor->at++;
	}
	return false;
}

/*
 * A word with quotes in it: a closing quote ends it, and only a blank or the line's end may follow.
 */
static bool unquote_word(struct cursor *cursor, char **out)
{
	while (cursor->at < cursor->end && !ends_word(*cursor->at)) {
		char c = *cursor->at++;

		if (c == '"' || c == '\'')
			return unquote(cursor, c, out);
		*(*out)++ = c;
	}
	return true;
}
