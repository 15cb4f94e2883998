/* SPDX-License-Identifier: MIT */
/*
 * The request parser, arrays and inline commands. What is expected of malformed input was asked of
 * redis-server 7.0.15 (tests/fuzz/against_redis.py asks again); "[3:GET1:k]" is a request, "~" an
 * incomplete one, "!" the error's words.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/t_alloc.h"
#include "tests/support/t_resp.h"

#define BYTES(literal)                                                                             \
	{                                                                                          \
		literal, sizeof(literal) - 1                                                       \
	}

struct sample {
	struct rota_view input;
	const char *expected;
	bool is_unauthenticated;
};

static const struct rota_resp_limits default_limits = ROTA_RESP_LIMITS_DEFAULT;

static const struct sample samples[] = {
	/* well-formed */
	{ BYTES("*1\r\n$4\r\nPING\r\n"), "[4:PING]", false },
	{ BYTES("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n"), "[3:SET1:k0:]", false },
	{ BYTES("*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n*1\r\n$1\r\nx\r\n"), "[3:GET2:\r\n][1:x]",
	  false },
	{ BYTES("*6\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n$1\r\nf\r\n"),
	  "[1:a1:b1:c1:d1:e1:f]", false },
	{ BYTES("*1\r\n$12\r\nabcdefghijkl\r\n"), "[12:abcdefghijkl]", false },
	/* no command */
	{ BYTES("*0\r\n*-1\r\n*-9223372036854775808\r\n\r\n\n  \r\nPING\r\n"), "[4:PING]", false },
	/* inline */
	{ BYTES("PING\r\nPING\n"), "[4:PING][4:PING]", false },
	{ BYTES(" SET\tk  v \r\n"), "[3:SET1:k1:v]", false },
	{ BYTES("SET \"a b\" 'c\\'d' e\"f\"\r\n"), "[3:SET3:a b3:c'd2:ef]", false },
	{ BYTES("ECHO \"\\x41\\n\\q\\x4\\\\\\\"\"\r\n"), "[4:ECHO7:A\nqx4\\\"]", false },
	{ BYTES("ECHO 'a\\nb' \"\" ''\r\n"), "[4:ECHO4:a\\nb0:0:]", false },
	{ BYTES("ECHO a\vb \vc \"d\"\v\"e\" f\\ g\r\n"), "[4:ECHO3:a\vb1:c1:d1:e2:f\\1:g]", false },
	{ BYTES("ECHO a\rb\r\n"), "[4:ECHO1:a1:b]", false },
	{ BYTES("a b c d e f g\r\n"), "[1:a1:b1:c1:d1:e1:f1:g]", false },
	/* incomplete */
	{ BYTES("*1\n$4\nPING\n"), "~", false },
	{ BYTES("PI\0NG\r\n"), "~", false },
	{ BYTES("*1\0\r\n"), "~", false },
	{ BYTES("*1\r\nfoo"), "~", false },
	{ BYTES("*1\r\n$536870912\r\n"), "~", false },
	{ BYTES("*2147483647\r\n"), "~", false },
	{ BYTES("*10\r\n"), "~", true },
	{ BYTES("*1\r\n$16384\r\n"), "~", true },
	/* malformed, in Redis' words */
	{ BYTES("PING\r\n*1\r\n+4\r\n"), "[4:PING]!Protocol error: expected '$', got '+'", false },
	{ BYTES("*1\r\n\r\n"), "!Protocol error: expected '$', got ' '", false },
	{ BYTES("*1\r\n\n\r\n"), "!Protocol error: expected '$', got ' '", false },
	{ BYTES("*2\r\n$1\r\na\r\n\xe9\r\n"), "!Protocol error: expected '$', got '\xe9'", false },
	{ BYTES("*\r\n"), "!Protocol error: invalid multibulk length", false },
	{ BYTES("*01\r\n"), "!Protocol error: invalid multibulk length", false },
	{ BYTES("*+1\r\n"), "!Protocol error: invalid multibulk length", false },
	{ BYTES("*-0\r\n"), "!Protocol error: invalid multibulk length", false },
	{ BYTES("*-\r\n"), "!Protocol error: invalid multibulk length", false },
	{ BYTES("*1 \r\n"), "!Protocol error: invalid multibulk length", false },
	{ BYTES("*1:\r\n$4\r\nPING\r\n"), "!Protocol error: invalid multibulk length", false },
	{ BYTES("*2147483648\r\n"), "!Protocol error: invalid multibulk length", false },
	{ BYTES("*9223372036854775808\r\n"), "!Protocol error: invalid multibulk length", false },
	{ BYTES("*-9223372036854775809\r\n"), "!Protocol error: invalid multibulk length", false },
	{ BYTES("*1\r\n$\r\n"), "!Protocol error: invalid bulk length", false },
	{ BYTES("*1\r\n$-1\r\n"), "!Protocol error: invalid bulk length", false },
	{ BYTES("*1\r\n$04\r\nPING\r\n"), "!Protocol error: invalid bulk length", false },
	{ BYTES("*1\r\n$/\r\nPING\r\n"), "!Protocol error: invalid bulk length", false },
	{ BYTES("*1\r\n$536870913\r\n"), "!Protocol error: invalid bulk length", false },
	{ BYTES("*11\r\n"), "!Protocol error: unauthenticated multibulk length", true },
	{ BYTES("*1\r\n$16385\r\n"), "!Protocol error: unauthenticated bulk length", true },
	{ BYTES("\"PING\r\n"), "!Protocol error: unbalanced quotes in request", false },
	{ BYTES("'PING\\'\r\n"), "!Protocol error: unbalanced quotes in request", false },
	{ BYTES("ECHO \"a\"b\r\n"), "!Protocol error: unbalanced quotes in request", false },
	{ BYTES("ECHO \"a\\\"\r\n"), "!Protocol error: unbalanced quotes in request", false },
	/* malformed, where Redis looks away */
	{ BYTES("*1\rx$4\r\nPING\r\n"), "!Protocol error: expected LF after CR", false },
	{ BYTES("*1\r\n$4\rxPING\r\n"), "!Protocol error: expected LF after CR", false },
	{ BYTES("*1\r\n$4\r\nPINGxx"), "!Protocol error: expected CR LF after bulk", false },
};

static void assert_parsed(const struct sample *sample, t_cut_fn cut, void *arg)
{
	struct rota_buffer out;

	rota_buffer_init(&out);
	t_resp_run(&default_limits, sample->is_unauthenticated, sample->input, cut, arg, &out);
	assert_int_equal(rota_buffer_append(&out, "", 1), 0);
	assert_string_equal(out.data, sample->expected);
	rota_buffer_fini(&out);
}

static void test_parse_samples_whole_are_understood_as_expected(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(samples); i++)
		assert_parsed(&samples[i], t_cut_never, NULL);
}

static void test_parse_samples_cut_anywhere_are_understood_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(samples); i++) {
		for (size_t place = 0; place <= samples[i].input.bytes; place++)
			assert_parsed(&samples[i], t_cut_once, &place);
		assert_parsed(&samples[i], t_cut_everywhere, NULL);
	}
}

static void assert_peeked(const char *request, const char *key)
{
	size_t bytes = strlen(request);
	char *copy = malloc(bytes); /* what is read behind it is seen by the sanitizer */

	assert_non_null(copy);
	memcpy(copy, request, bytes);
	assert_true(rota_view_equals(rota_resp_peek_key(rota_view_of(copy, bytes)),
				     rota_view_of_string(key)));
	free(copy);
}

/* Every beginning of the usual request, and what only begins like one. */
static void test_parse_key_is_seen_ahead_when_it_is_there(void **state)
{
	const char usual[] = "*3\r\n$3\r\nSET\r\n$8\r\nkey:0001\r\n$1\r\nv\r\n";
	char beginning[sizeof(usual)];

	(void)state;
	for (size_t bytes = 0; bytes < sizeof(usual); bytes++) {
		snprintf(beginning, bytes + 1, "%s", usual);
		assert_peeked(beginning, bytes >= sizeof("*3\r\n$3\r\nSET\r\n$8\r\nkey:0001") - 1
						 ? "key:0001"
						 : "");
	}
	assert_peeked("*2\r\n$8\r\nGETRANGE\r\n$12\r\nkey:00000001\r\n", "key:00000001");
	assert_peeked("*1\r\n$4\r\nPING\r\n$3\r\nkey\r\n", "");
	assert_peeked("*2\r\n$3\r\nGET\r\n:3\r\nkey\r\n1234", "");
	assert_peeked("*2\r\n$x\r\nGET\r\n$3\r\nkey\r\n1234", "");
	assert_peeked("get key:0001 and then some more\r\n", "");
}

/*
 * Pipelines of random well-formed samples, in random pieces, give the requests of all samples in
 * order.
 */
static void test_parse_random_pipelines_in_random_pieces_give_every_request(void **state)
{
	uint64_t seed = 0x5eed;
	struct rota_buffer input, expected, out;

	(void)state;
	rota_buffer_init(&input);
	rota_buffer_init(&expected);
	rota_buffer_init(&out);
	for (int round = 0; round < 300; round++) {
		input.bytes = expected.bytes = out.bytes = 0;
		for (int i = 0; i < 40; i++) {
			const struct sample *sample = &samples[(t_random(&seed) >> 16) % 14];

			assert_int_equal(
				rota_buffer_append(&input, sample->input.data, sample->input.bytes),
				0);
			assert_int_equal(rota_buffer_append(&expected, sample->expected,
							    strlen(sample->expected)),
					 0);
		}
		t_resp_run(&default_limits, false, rota_view_of(input.data, input.bytes),
			   t_cut_randomly, &seed, &out);
		assert_int_equal(out.bytes, expected.bytes);
		assert_memory_equal(out.data, expected.data, out.bytes);
	}
	rota_buffer_fini(&input);
	rota_buffer_fini(&expected);
	rota_buffer_fini(&out);
}

/* `head`, then `count` times "1", then `tail`. */
static void assert_long_line(const char *head, size_t count, const char *tail, const char *expected)
{
	size_t bytes = strlen(head) + count + strlen(tail);
	char *text = malloc(bytes + 1);
	uint64_t seed = 7;
	struct sample sample = { { text, bytes }, expected, false };

	assert_non_null(text);
	sprintf(text, "%s%*s%s", head, (int)count, "", tail);
	for (char *p = strchr(text, ' '); p && *p == ' '; p++)
		*p = '1';
	assert_parsed(&sample, t_cut_never, NULL);
	assert_parsed(&sample, t_cut_randomly, &seed);
	free(text);
}

static void test_parse_line_at_limit_is_refused_one_byte_later(void **state)
{
	(void)state;
	assert_long_line("", ROTA_RESP_LINE_BYTES_MAX, "", "~");
	assert_long_line("", ROTA_RESP_LINE_BYTES_MAX + 1, "",
			 "!Protocol error: too big inline request");
	assert_long_line("*", ROTA_RESP_LINE_BYTES_MAX - 1, "", "~");
	assert_long_line("*", ROTA_RESP_LINE_BYTES_MAX, "",
			 "!Protocol error: too big mbulk count string");
	assert_long_line("*", ROTA_RESP_LINE_BYTES_MAX - 1, "\r\n",
			 "!Protocol error: invalid multibulk length");
	assert_long_line("*", ROTA_RESP_LINE_BYTES_MAX, "\r\n",
			 "!Protocol error: too big mbulk count string");
	assert_long_line("*1\r\n$", ROTA_RESP_LINE_BYTES_MAX - 1, "", "~");
	assert_long_line("*1\r\n$", ROTA_RESP_LINE_BYTES_MAX, "",
			 "!Protocol error: too big bulk count string");
}

static void test_parse_need_says_how_much_a_large_bulk_takes(void **state)
{
	static const char head[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nx";
	struct rota_resp_parser parser;
	struct rota_view args[4];

	(void)state;
	rota_resp_parser_init(&parser, &default_limits, args, 4);
	assert_int_equal(rota_resp_parse(&parser, rota_view_of_string(head)), 0);
	assert_int_equal(parser.need_bytes, sizeof(head) - 2 + 1000000 + 2);
	rota_resp_parser_fini(&parser);
}

static void test_parse_request_over_total_limit_is_refused_at_its_length(void **state)
{
	struct rota_resp_limits limits = ROTA_RESP_LIMITS_DEFAULT;
	struct rota_resp_parser parser;

	(void)state;
	limits.request_bytes_max = 100;
	rota_resp_parser_init(&parser, &limits, NULL, 0);
	assert_int_equal(rota_resp_parse(&parser, rota_view_of_string("*2\r\n$91\r\n")), -EMSGSIZE);
	rota_resp_parser_fini(&parser);
	assert_int_equal(rota_resp_parse(&parser, rota_view_of_string("*2\r\n$89\r\n")), 0);
	rota_resp_parser_fini(&parser);
}

static void test_parse_claimed_counts_take_no_memory(void **state)
{
	struct rota_resp_parser parser;

	(void)state;
	t_alloc_install();
	rota_resp_parser_init(&parser, &default_limits, NULL, 0);
	assert_int_equal(
		rota_resp_parse(&parser, rota_view_of_string("*2147483647\r\n$536870912\r\n")), 0);
	assert_int_equal(t_alloc_count(), 0);
	rota_resp_parser_fini(&parser);
	t_alloc_remove();
}

/*
 * A million arguments, a few bytes more at each call: done in linear time, or this test doesn't
 * end.
 */
static void test_parse_million_args_in_small_pieces_is_linear(void **state)
{
	enum { ARGS = 1000000, ARG_BYTES = 7 };
	size_t bytes = 10 + (size_t)ARGS * ARG_BYTES, have = 0;
	char *text = malloc(bytes + 1);
	struct rota_resp_parser parser;
	int64_t status = 0;

	(void)state;
	assert_non_null(text);
	sprintf(text, "*%d\r\n", ARGS);
	for (size_t at = 10; at < bytes; at += ARG_BYTES)
		memcpy(text + at, "$1\r\nx\r\n", ARG_BYTES);
	t_alloc_install();
	rota_resp_parser_init(&parser, &default_limits, NULL, 0);
	while (!status) {
		have = rota_min_size(rota_max_size(have + 5, parser.need_bytes), bytes);
		status = rota_resp_parse(&parser, rota_view_of(text, have));
		assert_true(parser.capacity_ <= 32 + parser.count + parser.count / 2);
	}
	assert_int_equal(status, bytes);
	assert_int_equal(parser.count, ARGS);
	for (uint32_t i = 0; i < ARGS; i += 999)
		assert_ptr_equal(parser.args[i].data, text + 10 + i * ARG_BYTES + 4);
	rota_resp_parser_fini(&parser);
	t_alloc_remove();
	free(text);
}

static void parse_under_failure(void *arg)
{
	struct rota_view input = rota_view_of_string(arg);
	struct rota_resp_parser parser;
	int64_t status;

	rota_resp_parser_init(&parser, &default_limits, NULL, 0);
	status = rota_resp_parse(&parser, input);
	assert_int_equal(status, t_alloc_failures() ? -ENOMEM : (int64_t)input.bytes);
	if (status < 0)
		assert_string_equal(parser.error, "out of memory for a request");
	rota_resp_parser_fini(&parser);
}

static void test_parse_without_memory_fails_cleanly(void **state)
{
	char many[16 + 200 * 7 + 1];
	char *p = many + sprintf(many, "*200\r\n");
	char quoted[] = "SET \"a\" b 'c' d e f\r\n";

	(void)state;
	for (int i = 0; i < 200; i++)
		p += sprintf(p, "$1\r\nx\r\n");
	t_alloc_install();
	assert_true(t_alloc_sweep(parse_under_failure, many) > 2);
	assert_true(t_alloc_sweep(parse_under_failure, quoted) > 2);
	t_alloc_remove();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_samples_whole_are_understood_as_expected),
		cmocka_unit_test(test_parse_samples_cut_anywhere_are_understood_the_same),
		cmocka_unit_test(test_parse_key_is_seen_ahead_when_it_is_there),
		cmocka_unit_test(test_parse_random_pipelines_in_random_pieces_give_every_request),
		cmocka_unit_test(test_parse_line_at_limit_is_refused_one_byte_later),
		cmocka_unit_test(test_parse_need_says_how_much_a_large_bulk_takes),
		cmocka_unit_test(test_parse_request_over_total_limit_is_refused_at_its_length),
		cmocka_unit_test(test_parse_claimed_counts_take_no_memory),
		cmocka_unit_test(test_parse_million_args_in_small_pieces_is_linear),
		cmocka_unit_test(test_parse_without_memory_fails_cleanly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
