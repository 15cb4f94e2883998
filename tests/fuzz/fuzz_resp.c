/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: RESP requests and inline commands. The first byte chooses limits, so that small
 * inputs reach them; the rest is parsed at once, byte by byte and in random pieces, and must be
 * understood alike.
 */
#include <stdlib.h>

#include "tests/support/t_resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_same(const struct rota_buffer *whole, struct rota_buffer *pieces)
{
	ROTA_ASSERT(rota_view_equals(rota_view_of(whole->data, whole->bytes),
				     rota_view_of(pieces->data, pieces->bytes)));
	pieces->bytes = 0;
}

/* Looking ahead finds what the parser finds, if it finds anything. */
static void check_peek(const struct rota_resp_limits *limits, struct rota_view input)
{
	struct rota_view args[16], key = rota_resp_peek_key(input);
	struct rota_resp_parser parser;

	rota_resp_parser_init(&parser, limits, args, ROTA_ARRAY_COUNT(args));
	if (rota_resp_parse(&parser, input) > 0 && key.bytes)
		ROTA_ASSERT(rota_view_equals(key, parser.args[1]));
	rota_resp_parser_fini(&parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct rota_resp_limits limits = ROTA_RESP_LIMITS_DEFAULT;
	struct rota_buffer whole, pieces;
	struct rota_view input;
	uint64_t seed = 1;
	bool is_unauthenticated;

	if (!bytes)
		return 0;
	is_unauthenticated = data[0] & 1;
	if (data[0] & 2)
		limits.bulk_bytes_max = 100;
	if (data[0] & 4)
		limits.request_bytes_max = 200;
	if (data[0] & 8)
		limits.args_max = 40;
	input = rota_view_of(data + 1, bytes - 1);
	for (size_t i = 0; i < bytes; i++)
		seed = seed * 31 + data[i];
	seed |= 1;

	check_peek(&limits, input);
	rota_buffer_init(&whole);
	rota_buffer_init(&pieces);
	t_resp_run(&limits, is_unauthenticated, input, t_cut_never, NULL, &whole);
	t_resp_run(&limits, is_unauthenticated, input, t_cut_randomly, &seed, &pieces);
	check_same(&whole, &pieces);
	if (bytes < 1024) {
		t_resp_run(&limits, is_unauthenticated, input, t_cut_everywhere, NULL, &pieces);
		check_same(&whole, &pieces);
	}
	rota_buffer_fini(&whole);
	rota_buffer_fini(&pieces);
	return 0;
}
