/* SPDX-License-Identifier: MIT */
/*
 * Parses in pieces and writes down what was understood. Any thread; t_resp.h has the contract.
 */
#include <stdio.h>
#include <stdlib.h>

#include "protocols/line/line.h"
#include "tests/support/t_resp.h"

/* So few that requests of more arguments go through the parser's own memory. */
#define LENT_ARGS 4

uint64_t t_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

size_t t_cut_never(size_t at, size_t bytes, void *arg)
{
	(void)at;
	(void)arg;
	return bytes;
}

size_t t_cut_everywhere(size_t at, size_t bytes, void *arg)
{
	(void)bytes;
	(void)arg;
	return at + 1;
}

size_t t_cut_once(size_t at, size_t bytes, void *arg)
{
	size_t place = *(size_t *)arg;

	return at < place ? place : bytes;
}

size_t t_cut_randomly(size_t at, size_t bytes, void *arg)
{
	uint64_t random = t_random(arg);
	size_t piece = 1 + (random >> 8) % (random % 16 ? 16 : 4096);

	return rota_min_size(at + piece, bytes);
}

static void append(struct rota_buffer *out, const void *data, size_t bytes)
{
	ROTA_ASSERT(rota_buffer_append(out, data, bytes) == 0);
}

static char *copy_exactly(struct rota_view view)
{
	/* malloc(0) may be NULL, which memcpy must not see. */
	char *copy = malloc(view.bytes + !view.bytes);

	ROTA_ASSERT(copy);
	if (view.bytes)
		memcpy(copy, view.data, view.bytes);
	return copy;
}

static void append_request(struct rota_buffer *out, const struct rota_resp_parser *parser)
{
	if (!parser->count)
		return;
	append(out, "[", 1);
	for (uint32_t i = 0; i < parser->count; i++) {
		char length[24];

		append(out, length,
		       (size_t)snprintf(length, sizeof(length), "%zu:", parser->args[i].bytes));
		append(out, parser->args[i].data, parser->args[i].bytes);
	}
	append(out, "]", 1);
}

void t_resp_run(const struct rota_resp_limits *limits, bool is_unauthenticated,
		struct rota_view input, t_cut_fn cut, void *arg, struct rota_buffer *out)
{
	struct rota_view args[LENT_ARGS];
	struct rota_resp_parser parser;
	size_t start = 0, end = 0;
	int64_t status = 0;

	rota_resp_parser_init(&parser, limits, args, LENT_ARGS);
	parser.is_unauthenticated = is_unauthenticated;
	while (end < input.bytes) {
		end = cut(end, input.bytes, arg);
		while (start < end && end - start >= parser.need_bytes) {
			struct rota_view have = rota_view_of(input.data + start, end - start);
			char *copy = copy_exactly(have);

			status = rota_resp_parse(&parser, rota_view_of(copy, have.bytes));
			if (status > 0)
				append_request(out, &parser);
			free(copy);
			if (status <= 0)
				break;
			ROTA_ASSERT((size_t)status <= have.bytes);
			start += (size_t)status;
			if (parser.owns_memory || parser.count == parser.capacity_) {
				rota_resp_parser_fini(&parser);
				rota_resp_parser_init(&parser, limits, args, LENT_ARGS);
				parser.is_unauthenticated = is_unauthenticated;
			} else {
				rota_resp_parser_next(&parser);
			}
		}
		if (status < 0)
			break;
		ROTA_ASSERT(status > 0 || parser.need_bytes > end - start);
	}
	if (status < 0) {
		append(out, "!", 1);
		append(out, parser.error, strlen(parser.error));
	} else if (start < input.bytes) {
		append(out, "~", 1);
	}
	rota_resp_parser_fini(&parser);
}

void t_line_run(size_t line_bytes_max, struct rota_view input, t_cut_fn cut, void *arg,
		struct rota_buffer *out)
{
	size_t start = 0, end = 0, scanned = 0;
	int64_t status = 0;

	while (end < input.bytes && status >= 0) {
		end = cut(end, input.bytes, arg);
		while (start < end) {
			struct rota_view line, have = rota_view_of(input.data + start, end - start);
			char *copy = copy_exactly(have);

			status = rota_line_parse(rota_view_of(copy, have.bytes), scanned,
						 line_bytes_max, &line);
			if (status > 0) {
				append(out, "[", 1);
				append(out, line.data, line.bytes);
				append(out, "]", 1);
				start += (size_t)status;
			}
			free(copy);
			scanned = status ? 0 : have.bytes;
			if (status <= 0)
				break;
		}
	}
	append(out, status < 0 ? "!" : start < end ? "~" : "", status < 0 || start < end);
}
