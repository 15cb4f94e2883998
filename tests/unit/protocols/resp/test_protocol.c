/* SPDX-License-Identifier: MIT */
/*
 * RESP sessions: batches, what an application may do inside one, errors behind good requests, and
 * long requests that come in pieces. The application answers every request with its arguments
 * joined by spaces, as a status.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "protocols/resp/resp.h"
#include "tests/support/t_alloc.h"
#include "tests/support/t_session.h"

static struct rota_protocol protocol;
static struct rota_session session;
static int batches, largest_batch;

static bool is_named(const struct rota_resp_request *request, const char *name)
{
	return rota_view_equals(request->args[0], rota_view_of_string(name));
}

/* "wait" suspends, "auth" authenticates, "quit" ends the session, "fail" fails. */
static int execute(struct rota_session *self, const struct rota_resp_request *requests, int count)
{
	struct rota_output *output = rota_session_output(self);

	batches++;
	if (count > largest_batch)
		largest_batch = count;
	for (int i = 0; i < count; i++) {
		if (is_named(&requests[i], "wait")) {
			t_session_suspend(self);
			rota_resp_write_status(output, rota_view_of_string("waited"));
			return i + 1;
		}
		if (is_named(&requests[i], "auth")) {
			rota_resp_session_set_unauthenticated(self, false);
			rota_resp_write_ok(output);
			return i + 1;
		}
		if (is_named(&requests[i], "quit")) {
			rota_resp_write_ok(output);
			rota_session_finish(self);
			return i + 1;
		}
		if (is_named(&requests[i], "fail"))
			return -EIO;
		if (requests[i].count > 20) {
			rota_resp_write_integer(output, requests[i].count);
			continue;
		}
		rota_output_write(output, "+", 1);
		for (uint32_t j = 0; j < requests[i].count; j++) {
			rota_output_write(output, " ", j > 0);
			rota_output_write(output, requests[i].args[j].data,
					  requests[i].args[j].bytes);
		}
		rota_output_write(output, "\r\n", 2);
	}
	return count;
}

static struct rota_resp_service service = {
	.limits = ROTA_RESP_LIMITS_DEFAULT,
	.session_bytes = 64,
	.execute = execute,
};

static int open_session(void **state)
{
	(void)state;
	batches = 0;
	largest_batch = 0;
	service.requires_authentication = false;
	rota_resp_protocol_init(&protocol, &service);
	t_session_open(&session, &protocol, &service);
	return 0;
}

static int close_session(void **state)
{
	(void)state;
	t_session_close(&session);
	return 0;
}

static void test_session_pipeline_comes_in_batches_of_sixteen(void **state)
{
	char input[40 * 16 + 1] = "", expected[40 * 8 + 1] = "";

	(void)state;
	for (int i = 0; i < 40; i++) {
		sprintf(input + strlen(input), "*1\r\n$3\r\nr%02d\r\n", i);
		sprintf(expected + strlen(expected), "+r%02d\r\n", i);
	}
	t_session_feed_string(&session, input);
	t_session_expect(&session, expected);
	assert_int_equal(batches, 3);
	assert_int_equal(largest_batch, ROTA_RESP_BATCH_MAX);
}

static void test_session_suspended_handler_gets_the_rest_again(void **state)
{
	(void)state;
	t_session_feed_string(&session, "a 1\r\nwait\r\nb 2\r\nwait\r\nwait\r\nc 3\r\nd");
	t_session_expect(&session, "+a 1\r\n+waited\r\n+b 2\r\n+waited\r\n+waited\r\n+c 3\r\n");
	t_session_feed_string(&session, " 4\r\n");
	t_session_expect(&session, "+d 4\r\n");
}

static void test_session_malformed_request_is_reported_after_the_good_ones(void **state)
{
	(void)state;
	t_session_feed_string(&session, "a\r\nb\r\n*1\r\n?\r\nc\r\n");
	t_session_expect(&session, "+a\r\n+b\r\n-ERR Protocol error: expected '$', got '?'\r\n");
	assert_int_equal(session.status, -ROTA_EPROTOCOL);
}

static void test_session_quit_hides_what_is_malformed_behind_it(void **state)
{
	(void)state;
	t_session_feed_string(&session, "quit\r\n*x\r\n");
	t_session_expect(&session, "+OK\r\n");
	assert_int_equal(session.status, 0);
}

static void test_session_failing_application_closes_with_its_error(void **state)
{
	(void)state;
	t_session_feed_string(&session, "a\r\nfail\r\nb\r\n");
	t_session_expect(&session, "+a\r\n");
	assert_int_equal(session.status, -EIO);
}

static void test_session_unauthenticated_is_held_to_the_low_limits(void **state)
{
	(void)state;
	t_session_close(&session);
	service.requires_authentication = true;
	t_session_open(&session, &protocol, &service);
	t_session_feed_string(&session, "a\r\n*11\r\n");
	t_session_expect(&session,
			 "+a\r\n-ERR Protocol error: unauthenticated multibulk length\r\n");
	assert_int_equal(session.status, -ROTA_EPROTOCOL);
}

/* AUTH in the same segment as the large request it allows. */
static void test_session_auth_lifts_the_limits_for_what_is_behind_it(void **state)
{
	(void)state;
	t_session_close(&session);
	service.requires_authentication = true;
	t_session_open(&session, &protocol, &service);
	t_session_feed_string(
		&session, "auth\r\n*11\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n"
			  "$1\r\nf\r\n$1\r\ng\r\n$1\r\nh\r\n$1\r\ni\r\n$1\r\nj\r\n$1\r\nk\r\n");
	t_session_expect(&session, "+OK\r\n+a b c d e f g h i j k\r\n");
}

static void test_session_half_a_bulk_waits_for_all_of_it(void **state)
{
	(void)state;
	t_session_feed_string(&session, "*2\r\n$1\r\na\r\n$100\r\nx");
	assert_int_equal(session.need_bytes, 4 + 7 + 6 + 102);
	for (int i = 0; i < 101; i++)
		t_session_feed(&session, i < 99 ? "x" : i == 99 ? "\r" : "\n", 1);
	assert_int_equal(session.calls, 2);
	assert_int_equal(batches, 1);
	assert_int_equal(session.input.bytes, 0);
	session.output.bytes.bytes = 0;
}

/* A request of `args` arguments between two small ones, in pieces of `piece` bytes. */
static void feed_long_request(int args, size_t piece)
{
	char *input = malloc(64 + (size_t)args * 7);
	size_t bytes;

	assert_non_null(input);
	bytes = (size_t)sprintf(input, "a\r\n*%d\r\n", args);
	for (int i = 0; i < args; i++)
		bytes += (size_t)sprintf(input + bytes, "$1\r\nx\r\n");
	bytes += (size_t)sprintf(input + bytes, "b\r\n");
	for (size_t at = 0; at < bytes; at += piece)
		t_session_feed(&session, input + at, rota_min_size(piece, bytes - at));
	free(input);
}

static void test_session_long_request_in_pieces_is_remembered(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < 2000; piece = piece * 3 / 2 + 1) {
		feed_long_request(300, piece);
		t_session_expect(&session, "+a\r\n:300\r\n+b\r\n");
	}
}

static void test_session_closed_inside_long_request_leaks_nothing(void **state)
{
	(void)state;
	t_session_close(&session);
	t_alloc_install();
	t_session_open(&session, &protocol, &service);
	t_session_feed_string(&session, "*1000\r\n");
	for (int i = 0; i < 500; i++)
		t_session_feed_string(&session, "$1\r\nx\r\n");
	t_session_close(&session);
	t_alloc_remove();
	t_session_open(&session, &protocol, &service);
}

/*
 * Each allocation in turn fails: the answers are right, or the session ends with -ENOMEM after
 * those before.
 */
static void test_session_without_memory_answers_or_closes(void **state)
{
	bool has_failed = true;

	(void)state;
	t_session_close(&session);
	for (unsigned nth = 1; has_failed; nth++) {
		char input[16 + 200 * 7 + 8];
		char *p = input + sprintf(input, "*200\r\n");

		for (int i = 0; i < 200; i++)
			p += sprintf(p, "$1\r\nx\r\n");
		t_alloc_install();
		t_session_open(&session, &protocol, &service);
		/* What the fake session itself takes is there before anything fails. */
		assert_int_equal(rota_buffer_reserve(&session.input, sizeof(input)), 0);
		assert_int_equal(rota_buffer_reserve(&session.output.bytes, 4096), 0);
		t_alloc_fail_from(nth);
		for (char *at = input; at < p; at += rota_min_size(97, (size_t)(p - at)))
			t_session_feed(&session, at, rota_min_size(97, (size_t)(p - at)));
		has_failed = t_alloc_failures() > 0;
		t_alloc_fail_from(0);
		t_session_expect(&session, session.status ? "-ERR out of memory for a request\r\n"
							  : ":200\r\n");
		assert_true(!session.status || session.status == -ENOMEM);
		assert_true(has_failed || !session.status);
		t_session_close(&session);
		t_alloc_remove();
		assert_true(nth < 100);
	}
	t_session_open(&session, &protocol, &service);
}

static void test_session_long_inline_in_pieces_is_remembered(void **state)
{
	char word[1000];

	(void)state;
	memset(word, 'x', sizeof(word));
	for (int i = 0; i < 5; i++)
		t_session_feed(&session, word, sizeof(word));
	t_session_feed_string(&session, " \"y\"\r\na\r\n");
	assert_int_equal(session.output.bytes.bytes, 1 + 5000 + 2 + 2 + 4);
	session.output.bytes.bytes = 0;
}

int main(void)
{
#define SESSION_TEST(test) cmocka_unit_test_setup_teardown(test, open_session, close_session)
	const struct CMUnitTest tests[] = {
		SESSION_TEST(test_session_pipeline_comes_in_batches_of_sixteen),
		SESSION_TEST(test_session_suspended_handler_gets_the_rest_again),
		SESSION_TEST(test_session_malformed_request_is_reported_after_the_good_ones),
		SESSION_TEST(test_session_quit_hides_what_is_malformed_behind_it),
		SESSION_TEST(test_session_failing_application_closes_with_its_error),
		SESSION_TEST(test_session_unauthenticated_is_held_to_the_low_limits),
		SESSION_TEST(test_session_auth_lifts_the_limits_for_what_is_behind_it),
		SESSION_TEST(test_session_half_a_bulk_waits_for_all_of_it),
		SESSION_TEST(test_session_long_request_in_pieces_is_remembered),
		SESSION_TEST(test_session_closed_inside_long_request_leaks_nothing),
		SESSION_TEST(test_session_without_memory_answers_or_closes),
		SESSION_TEST(test_session_long_inline_in_pieces_is_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
