/* SPDX-License-Identifier: MIT */
/*
 * How rota-load reads replies of resp, memcached and http1: each in one piece, cut at every place,
 * and byte by byte; those that are right and those that are not. Layer: tests.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include <rota/error.h>

#include "bench/load/load.h"

#define REPLY_BYTES_MAX 512
#define PENDING 8

static struct options options;
static struct share share;
static struct client client;
static struct pending pending[PENDING];
static char table[2 * TABLE_BYTES];

/* A client with `count` requests in flight, of key 7. */
static void begin(const struct protocol *protocol, unsigned count, bool is_get)
{
	memset(&options, 0, sizeof(options));
	memset(&share, 0, sizeof(share));
	memset(&client, 0, sizeof(client));
	options.protocol = protocol;
	options.value_bytes_min = options.value_bytes_max = 5;
	options.check = true;
	share.options = &options;
	share.protocol = protocol;
	share.table = table;
	share.pending_mask = PENDING - 1;
	share.in_flight = count;
	tally_reset(&share.tally);
	client.share = &share;
	client.pending = pending;
	client.issued = count;
	for (unsigned i = 0; i < PENDING; i++)
		pending[i] = (struct pending){ .key = 7, .is_get = is_get };
}

/*
 * Give the client `bytes` of which `before` have come alone before. Returns what on_bytes did
 * first that was an error, or the bytes that were not consumed.
 */
static int64_t feed(const char *reply, size_t bytes, size_t before)
{
	size_t consumed = 0;

	for (size_t there = before ? before : bytes;; there = bytes) {
		while (consumed < there) {
			/* memory of its own, so that reading beyond it is seen */
			size_t given = there - consumed;
			char *copy = malloc(given);
			int64_t taken;

			assert_non_null(copy);
			memcpy(copy, reply + consumed, given);
			taken = share.protocol->on_bytes(&client, rota_view_of(copy, given));
			free(copy);
			if (taken < 0)
				return taken;
			consumed += (size_t)taken;
			if (!taken)
				break;
		}
		if (there == bytes)
			return (int64_t)(bytes - consumed);
	}
}

/* One more byte each time, as far as it is not consumed. */
static int64_t feed_bytes(const char *reply, size_t bytes)
{
	size_t consumed = 0;

	for (size_t there = 1; there <= bytes; there++) {
		int64_t taken = share.protocol->on_bytes(
			&client, rota_view_of(reply + consumed, there - consumed));

		if (taken < 0)
			return taken;
		consumed += (size_t)taken;
	}
	return (int64_t)(bytes - consumed);
}

struct expected {
	unsigned requests, errors, misses;
};

static void assert_taken(int64_t left, const char *reply, struct expected expected)
{
	if (left != 0)
		fail_msg("%s left %lld: %s", reply, (long long)left, share.tally.error);
	assert_int_equal(share.tally.requests, expected.requests);
	assert_int_equal(share.tally.errors, expected.errors);
	assert_int_equal(share.tally.misses, expected.misses);
	assert_int_equal(share.in_flight, client.issued - client.answered);
}

/* However it is cut, `reply` must come to `expected`. */
static void assert_good(const struct protocol *protocol, unsigned count, bool is_get,
			const char *reply, struct expected expected)
{
	size_t bytes = strlen(reply);

	for (size_t before = 0; before < bytes; before++) {
		begin(protocol, count, is_get);
		assert_taken(feed(reply, bytes, before), reply, expected);
		assert_int_equal(client.issued - client.answered,
				 count - expected.requests - expected.errors);
	}
	begin(protocol, count, is_get);
	assert_taken(feed_bytes(reply, bytes), reply, expected);
}

/* However it is cut, `reply` must be refused, and `words` are a part of why. */
static void assert_bad(const struct protocol *protocol, bool is_get, const char *reply,
		       const char *words)
{
	size_t bytes = strlen(reply);

	for (size_t before = 0; before < bytes; before++) {
		begin(protocol, 1, is_get);
		assert_int_equal(feed(reply, bytes, before), -ROTA_EPROTOCOL);
		if (!strstr(share.tally.error, words))
			fail_msg("%s: \"%s\" is not in \"%s\"", reply, words, share.tally.error);
	}
	begin(protocol, 1, is_get);
	assert_int_equal(feed_bytes(reply, bytes), -ROTA_EPROTOCOL);
}

/* Of key 7, as the table has it. */
static const char *value_text(const char *format)
{
	static char text[REPLY_BYTES_MAX];
	uint64_t place = 7 * UINT64_C(2654435761) % TABLE_BYTES;

	snprintf(text, sizeof(text), format, table + place, table + place);
	return text;
}

static int fill_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < TABLE_BYTES; i++)
		table[i] = table[i + TABLE_BYTES] = (char)('a' + i % 26);
	return 0;
}

/* ---- resp ---- */

static void test_resp_replies_that_are_right_count(void **state)
{
	const struct protocol *resp = &protocol_resp;

	(void)state;
	assert_good(resp, 1, false, "+OK\r\n", (struct expected){ 1, 0, 0 });
	assert_good(resp, 3, false, "+OK\r\n+OK\r\n+OK\r\n", (struct expected){ 3, 0, 0 });
	assert_good(resp, 1, true, "$-1\r\n", (struct expected){ 1, 0, 1 });
	assert_good(resp, 1, true, value_text("$5\r\n%.5s\r\n"), (struct expected){ 1, 0, 0 });
	assert_good(resp, 3, true, value_text("$5\r\n%.5s\r\n$-1\r\n$5\r\n%.5s\r\n"),
		    (struct expected){ 3, 0, 1 });
}

static void test_resp_errors_of_the_server_are_errors_and_it_goes_on(void **state)
{
	(void)state;
	assert_good(&protocol_resp, 2, false, "-ERR no\r\n+OK\r\n", (struct expected){ 1, 1, 0 });
	assert_string_equal(share.tally.error, "the server says: ERR no");
	assert_good(&protocol_resp, 2, true, "-LOADING\r\n$-1\r\n", (struct expected){ 1, 1, 1 });
}

static void test_resp_replies_that_are_wrong_are_refused(void **state)
{
	const struct protocol *resp = &protocol_resp;

	(void)state;
	assert_bad(resp, false, "+NO\r\n", "SET is answered with: +NO");
	assert_bad(resp, false, "$5\r\n", "SET is answered with");
	assert_bad(resp, true, "+OK\r\n", "GET is answered with: +OK");
	assert_bad(resp, true, ":1\r\n", "GET is answered with");
	assert_bad(resp, true, "$\r\n", "GET is answered with");
	assert_bad(resp, true, "$x\r\n", "GET is answered with");
	assert_bad(resp, true, "$-2\r\n", "GET is answered with");
	assert_bad(resp, true, "$99999999999\r\n", "GET is answered with");
	assert_bad(resp, true, "$5\n", "CR LF");
	assert_bad(resp, true, "\r\n", "CR LF");
	assert_bad(resp, true, "$4\r\nabcd\r\n", "another length");
	assert_bad(resp, true, "$5\r\nnopes\r\n", "another value");
	assert_bad(resp, true, value_text("$5\r\n%.5s\n\n"), "does not end");
	assert_bad(resp, false, "+OK\r\n+OK\r\n", "more replies");
	assert_bad(resp, true, "$-1\r\n$-1\r\n", "more replies");
}

static void test_line_without_an_end_is_refused(void **state)
{
	const struct protocol *const all[] = { &protocol_resp, &protocol_memcached,
					       &protocol_http1 };
	static char line[LINE_BYTES_MAX + 1];

	(void)state;
	memset(line, 'x', sizeof(line));
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(all); i++) {
		begin(all[i], 1, true);
		assert_int_equal(all[i]->on_bytes(&client, rota_view_of(line, LINE_BYTES_MAX)), 0);
		assert_int_equal(all[i]->on_bytes(&client, rota_view_of(line, sizeof(line))),
				 -ROTA_EPROTOCOL);
		assert_non_null(strstr(share.tally.error, "does not end"));
	}
}

static void test_value_unchecked_may_be_any(void **state)
{
	static const char reply[] = "$3\r\nabc\r\n";

	(void)state;
	begin(&protocol_resp, 1, true);
	options.check = false;
	assert_taken(feed(reply, strlen(reply), 0), reply, (struct expected){ 1, 0, 0 });
}

/* ---- memcached ---- */

static void test_memcached_replies_that_are_right_count(void **state)
{
	const struct protocol *memcached = &protocol_memcached;

	(void)state;
	assert_good(memcached, 1, false, "STORED\r\n", (struct expected){ 1, 0, 0 });
	assert_good(memcached, 1, true, "END\r\n", (struct expected){ 1, 0, 1 });
	assert_good(memcached, 2, true,
		    value_text("VALUE key:000000000007 0 5\r\n%.5s\r\nEND\r\nEND\r\n"),
		    (struct expected){ 2, 0, 1 });
	assert_good(memcached, 2, false, "SERVER_ERROR out of memory\r\nSTORED\r\n",
		    (struct expected){ 1, 1, 0 });
	assert_string_equal(share.tally.error, "the server says: SERVER_ERROR out of memory");
	assert_good(memcached, 1, true, "ERROR\r\n", (struct expected){ 0, 1, 0 });
}

static void test_memcached_replies_that_are_wrong_are_refused(void **state)
{
	const struct protocol *memcached = &protocol_memcached;

	(void)state;
	assert_bad(memcached, false, "NOT_STORED\r\n", "SET is answered with: NOT_STORED");
	assert_bad(memcached, false, "END\r\n", "SET is answered with");
	assert_bad(memcached, true, "STORED\r\n", "GET is answered with");
	assert_bad(memcached, true, "VALUE key:000000000008 0 5\r\n", "GET is answered with");
	assert_bad(memcached, true, "VALUE key:000000000007 1 5\r\n", "GET is answered with");
	assert_bad(memcached, true, "VALUE key:000000000007 0 \r\n", "GET is answered with");
	assert_bad(memcached, true, "VALUE\r\n", "GET is answered with");
	assert_bad(memcached, true, "VALUE key:000000000007 0 6\r\n", "another length");
	assert_bad(memcached, true, value_text("VALUE key:000000000007 0 5\r\n%.5s\r\nEND\n\r"),
		   "does not end");
}

static void test_memcached_meta_replies_are_told_apart(void **state)
{
	const struct protocol *meta = &protocol_memcached_meta;

	(void)state;
	assert_good(meta, 1, false, "HD\r\n", (struct expected){ 1, 0, 0 });
	assert_good(meta, 2, true, value_text("VA 5\r\n%.5s\r\nEN\r\n"),
		    (struct expected){ 2, 0, 1 });
	assert_good(meta, 1, true, "SERVER_ERROR x\r\n", (struct expected){ 0, 1, 0 });
	assert_bad(meta, false, "NS\r\n", "SET is answered with: NS");
	assert_bad(meta, true, "HD\r\n", "GET is answered with: HD");
	assert_bad(meta, true, "VA \r\n", "GET is answered with");
	assert_bad(meta, true, "VA 4\r\n", "another length");
}

/* ---- http1 ---- */

#define OK "HTTP/1.1 200 OK\r\n"

static void test_http_replies_that_are_right_count(void **state)
{
	static const char *const right[] = {
		OK "Content-Length: 5\r\n\r\nhello",
		OK "content-length:5 \r\nServer: x\r\n\r\nhello",
		OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		OK "Content-Length: 0\r\n\r\n",
		"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 1\r\n\r\nx",
		OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		OK "Transfer-Encoding: Chunked\r\n\r\n2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
		OK "Transfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(right); i++)
		assert_good(&protocol_http1, 1, true, right[i], (struct expected){ 1, 0, 0 });
	assert_good(&protocol_http1, 2, true,
		    OK "Content-Length: 2\r\n\r\nhi" OK
		       "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
		    (struct expected){ 2, 0, 0 });
}

static void test_http_errors_of_the_server_are_errors_and_it_goes_on(void **state)
{
	(void)state;
	assert_good(&protocol_http1, 2, true,
		    "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno" OK
		    "Content-Length: 2\r\n\r\nhi",
		    (struct expected){ 1, 1, 0 });
	assert_string_equal(share.tally.error, "the server answers with status 404");
	assert_good(&protocol_http1, 2, true,
		    OK "Content-Length: 2\r\n\r\nhi" OK "Content-Length: 2\r\n\r\nho",
		    (struct expected){ 1, 1, 0 });
	assert_string_equal(share.tally.error, "bodies of replies differ");
}

static void test_http_replies_that_are_wrong_are_refused(void **state)
{
	static const struct {
		const char *reply, *words;
	} wrong[] = {
		{ "HTTP/2 200 OK\r\n", "malformed" },
		{ "HTTP/1.1 20 OK\r\n", "malformed" },
		{ "HTTP/1.1 2000 OK\r\n", "malformed" },
		{ "HTTP/1.1 200OK\r\n", "malformed" },
		{ "HTTP/1.1 099 OK\r\n", "malformed" },
		{ "HTTP/1.1 200 OK\n", "malformed" },
		{ OK "no colon\r\n", "malformed" },
		{ OK ": x\r\n", "malformed" },
		{ OK "Name : x\r\n", "malformed" },
		{ OK "Content-Length: -1\r\n", "malformed" },
		{ OK "Content-Length: \r\n", "malformed" },
		{ OK "Content-Length: 5, 5\r\n", "malformed" },
		{ OK "Content-Length: 5\r\nContent-Length: 6\r\n", "malformed" },
		{ OK "Content-Length: 99999999999999999999\r\n", "malformed" },
		{ OK "Transfer-Encoding: gzip, chunked\r\n", "malformed" },
		{ OK "\r\n", "neither a length nor chunks" },
		{ OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "both" },
		{ OK "Transfer-Encoding: chunked\r\n\r\nx\r\n", "size of a chunk" },
		{ OK "Transfer-Encoding: chunked\r\n\r\n\r\n", "size of a chunk" },
		{ OK "Transfer-Encoding: chunked\r\n\r\n1\n", "chunk is malformed" },
		{ OK "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "longer than its size" },
		{ OK "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", "size of a chunk" },
		{ "HTTP/1.1 101 Switching Protocols\r\n\r\n", "switches protocols" },
		{ OK "Content-Length: 0\r\n\r\n" OK, "more replies" },
	};

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(wrong); i++)
		assert_bad(&protocol_http1, true, wrong[i].reply, wrong[i].words);
}

static void test_http_connection_that_will_close_is_over(void **state)
{
	static const struct {
		const char *reply;
		bool is_over;
	} replies[] = {
		{ OK "Content-Length: 0\r\nConnection: close\r\n\r\n", true },
		{ OK "Content-Length: 0\r\nConnection: Keep-Alive\r\n\r\n", false },
		{ OK "Content-Length: 0\r\n\r\n", false },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", true },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", false },
	};

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(replies); i++) {
		assert_good(&protocol_http1, 1, true, replies[i].reply,
			    (struct expected){ 1, 0, 0 });
		assert_int_equal(client.is_over, replies[i].is_over);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resp_replies_that_are_right_count),
		cmocka_unit_test(test_resp_errors_of_the_server_are_errors_and_it_goes_on),
		cmocka_unit_test(test_resp_replies_that_are_wrong_are_refused),
		cmocka_unit_test(test_line_without_an_end_is_refused),
		cmocka_unit_test(test_value_unchecked_may_be_any),
		cmocka_unit_test(test_memcached_replies_that_are_right_count),
		cmocka_unit_test(test_memcached_replies_that_are_wrong_are_refused),
		cmocka_unit_test(test_memcached_meta_replies_are_told_apart),
		cmocka_unit_test(test_http_replies_that_are_right_count),
		cmocka_unit_test(test_http_errors_of_the_server_are_errors_and_it_goes_on),
		cmocka_unit_test(test_http_replies_that_are_wrong_are_refused),
		cmocka_unit_test(test_http_connection_that_will_close_is_over),
	};

	return cmocka_run_group_tests_name("replies", tests, fill_table, NULL);
}
