/* SPDX-License-Identifier: MIT */
/*
 * Protocols on real reactors: what <rota/protocol.h> promises of requests and replies, of handlers
 * that suspend and of ends, on every engine. Layer: tests.
 *
 *	test_protocol [ROW [SCENARIO]]
 */
#include <stdio.h>
#include <string.h>

#include "tests/contract/words.h"

static void expect_pattern(struct rota_conn *conn, size_t bytes)
{
	struct rota_view view;
	size_t at = 0;
	int64_t got = 0;

	while (at < bytes && (got = rota_conn_read(conn, &view)) > 0)
		for (size_t i = 0; i < view.bytes; i++, at++)
			if (view.data[i] != t_pattern_at(at)) {
				CHECK_EQUAL(view.data[i], t_pattern_at(at));
				return;
			}
	CHECK_EQUAL(got < 0 ? got : (int64_t)at, bytes);
}

/* ---- scenarios: requests and replies ---- */

static void requests_in_any_pieces_are_answered_in_order(struct t_net *net)
{
	struct rota_conn *conn;

	words_serve(net, "");
	conn = t_connect(net);
	t_say(conn, "one\ntw");
	HEAR(conn, "one\n");
	t_say(conn, "o\nthree\n");
	HEAR(conn, "two\nthree\n");
	rota_conn_close(conn);
	t_until(&words_seen.closed, 1);
	CHECK_EQUAL(words_seen.reason, 0);
}

static void many_pipelined_requests_are_answered(struct t_net *net)
{
	struct rota_conn *conn;
	enum { LINES = 5000 };

	words_serve(net, "");
	conn = t_connect(net);
	for (int i = 0; i < LINES; i++) {
		char line[16];

		snprintf(line, sizeof(line), "n%05d\n", i);
		rota_output_write(rota_conn_output(conn), line, 7);
	}
	for (int i = 0; i < LINES; i++) {
		char line[16];

		snprintf(line, sizeof(line), "n%05d\n", i);
		if (!HEAR(conn, line))
			break;
	}
	rota_conn_close(conn);
}

static void the_rest_is_offered_as_soon_as_something_was_consumed(struct t_net *net)
{
	struct rota_conn *conn;

	words_serve(net, "");
	conn = t_connect(net);
	t_say(conn, "a\nb\nc\nd");
	HEAR(conn, "a\nb\nc\n");
	if (!net->is_rough) /* then the bytes come in pieces */
		CHECK_EQUAL(words_seen.calls, 4);
	rota_conn_close(conn);
}

static void need_is_not_offered_less(struct t_net *net)
{
	struct rota_conn *conn;
	char bytes[500];

	memset(bytes, 'x', sizeof(bytes));
	words_serve(net, "need");
	conn = t_connect(net);
	for (int i = 0; i < 4; i++) {
		CHECK_EQUAL(rota_conn_write(conn, rota_view_of(bytes, sizeof(bytes))), 500);
		if (i % 2)
			HEAR(conn, "thousand\n");
		else
			rota_ignore(rota_sleep_ms(1), "let it arrive alone");
	}
	CHECK_WITHIN(words_seen.calls, 2, 4);
	rota_conn_close(conn);
}

/* It saw 5 bytes, suspended, 5 more came: the ten have to be offered although none was consumed. */
static void bytes_that_came_while_suspended_are_offered(struct t_net *net)
{
	struct rota_conn *conn;

	words_serve(net, "ponder");
	conn = t_connect(net);
	t_say(conn, "01234");
	t_until(&words_seen.waiting, 1);
	t_say(conn, "56789");
	while (t_server_stats(net).received_bytes < 10)
		rota_ignore(rota_sleep_ms(1), "checked below");
	CHECK_EQUAL(words_release(net), 1);
	t_until(&words_seen.waiting, 2);
	while (words_release(net) == 0 || words_seen.calls < 2)
		rota_ignore(rota_sleep_ms(1), "checked below");
	HEAR(conn, "ten\n");
	rota_conn_close(conn);
}

/* The first view is of the engine's buffer, the second of what was moved out of it. */
static void debug_builds_destroy_the_view_of_a_handler_that_suspends(struct t_net *net)
{
	struct rota_conn *conn;

	words_serve(net, "");
	conn = t_connect(net);
	t_say(conn, "keep 1\nkeep 2\necho\n");
	for (uint32_t i = 1; i <= 2; i++) {
		t_until(&words_seen.waiting, i);
		CHECK_EQUAL(words_release(net), 1);
		HEAR(conn, "dead\n");
	}
	HEAR(conn, "echo\n");
	rota_conn_close(conn);
}

static void blobs_leave_by_reference(struct t_net *net)
{
	struct rota_conn *conn;

	words_serve(net, "");
	conn = t_connect(net);
	t_say(conn, "blob 300000\n");
	expect_pattern(conn, 300000);
	rota_conn_close(conn);
}

/* ---- scenarios: handlers that suspend ---- */

static void a_suspended_handler_is_left_alone_by_bytes_and_fin(struct t_net *net)
{
	struct rota_conn *conn;
	uint32_t calls;

	words_serve(net, "");
	conn = t_connect(net);
	t_say(conn, "wait\n");
	t_until(&words_seen.waiting, 1);
	calls = words_seen.calls;
	t_say(conn, "after\nwait\n");
	CHECK_EQUAL(rota_conn_shutdown_write(conn), 0);
	rota_ignore(rota_sleep_ms(2), "let it arrive");
	CHECK_EQUAL(words_seen.calls, calls);
	CHECK_EQUAL(words_release(net), 1);
	HEAR(conn, "released\nafter\n");
	t_until(&words_seen.waiting, 2);
	CHECK_EQUAL(words_release(net), 1);
	HEAR(conn, "released\n");
	HEAR_END(conn);
	rota_conn_close(conn);
	t_until(&words_seen.closed, 1);
	CHECK_EQUAL(words_seen.reason, 0);
	CHECK_EQUAL(words_seen.cancelled, 0);
}

static void reset_cancels_the_suspended_handler(struct t_net *net)
{
	int fd;

	words_serve(net, "greet");
	fd = t_raw_connect(net);
	t_raw_say(fd, "wait\n");
	t_until(&words_seen.waiting, 1);
	while (t_server_stats(net).sent_bytes < 6)
		rota_ignore(rota_sleep_ms(1), "checked below");
	t_raw_close(fd);
	t_until(&words_seen.closed, 1);
	CHECK_EQUAL(words_seen.cancelled, 1);
	CHECK_EQUAL(words_seen.gone, 1);
	CHECK_EQUAL(words_seen.reason, -ECONNRESET);
}

/* A client that sends a word and resets: it has not read the greeting. */
static void say_and_reset(struct t_net *net, const char *word)
{
	uint64_t sent_bytes = t_server_stats(net).sent_bytes;
	uint32_t waiting = words_seen.waiting;
	int fd = t_raw_connect(net);

	t_raw_say(fd, word);
	t_until(&words_seen.waiting, waiting + 1);
	while (t_server_stats(net).sent_bytes < sent_bytes + 6)
		rota_ignore(rota_sleep_ms(1), "what was sent counts");
	t_raw_close(fd);
}

/* One call has said so; the next one of the same worker has not. */
static void reset_leaves_a_handler_alone_that_outlives_its_client(struct t_net *net)
{
	words_serve(net, "greet");
	for (unsigned round = 1; round <= 2; round++) {
		say_and_reset(net, "outlive\n");
		t_until(&words_seen.closed, 2 * round - 1);
		CHECK_EQUAL(words_seen.finished, round);
		CHECK_EQUAL(words_seen.cancelled, round - 1);
		say_and_reset(net, "wait\n");
		t_until(&words_seen.closed, 2 * round);
		CHECK_EQUAL(words_seen.finished, round);
		CHECK_EQUAL(words_seen.cancelled, round);
	}
}

static void abort_reaches_a_handler_that_outlives_its_client(struct t_net *net)
{
	int fd;

	words_serve(net, "");
	fd = t_raw_connect(net);
	t_raw_say(fd, "outlive\n");
	t_until(&words_seen.waiting, 1);
	CHECK_EQUAL(rota_call_on(net->server, words_abort_last, NULL), 0);
	t_until(&words_seen.closed, 1);
	CHECK_EQUAL(words_seen.cancelled, 1);
	t_raw_close(fd);
}

/* Receiving has stopped at the high-water mark, so only the hang-up poll can see the reset. */
static void reset_is_seen_while_receiving_is_paused(struct t_net *net)
{
	struct rota_conn_limits limits = { .input_high_bytes = 4096 };
	static char bytes[100000];
	int fd;

	memset(bytes, '\n', sizeof(bytes));
	words_serve_with(net, "greet", &limits);
	fd = t_raw_connect(net);
	t_raw_say(fd, "wait\n");
	t_until(&words_seen.waiting, 1);
	t_raw_send(fd, bytes, 30000);
	while (t_server_stats(net).input_pauses < 1)
		if (!CHECK_EQUAL(rota_sleep_ms(1), 0))
			return;
	t_raw_close(fd);
	t_until(&words_seen.closed, 1);
	CHECK_EQUAL(words_seen.gone, 1);
}

static void a_thousand_suspended_handlers_leave_room_for_others(struct t_net *net)
{
	enum { WAITING = 1000 };
	static int fds[WAITING];
	struct rota_conn *conn;

	words_serve(net, "");
	for (int i = 0; i < WAITING; i++) {
		fds[i] = t_raw_connect(net);
		t_raw_say(fds[i], "wait\n");
	}
	t_until(&words_seen.waiting, WAITING);
	CHECK_EQUAL(t_server_stats(net).handlers_suspended, WAITING);
	conn = t_connect(net);
	t_say(conn, "hello\n");
	HEAR(conn, "hello\n");
	CHECK_EQUAL(words_release(net), WAITING);
	t_until(&words_seen.finished, WAITING + 1);
	CHECK_EQUAL(t_server_stats(net).handlers_suspended, 0);
	CHECK_WITHIN(t_server_stats(net).workers, 1, 17);
	for (int i = 0; i < WAITING; i++)
		t_raw_close(fds[i]);
	rota_conn_close(conn);
	t_until(&words_seen.closed, WAITING + 1);
}

static void on_open_may_suspend(struct t_net *net)
{
	struct rota_conn *conn, *other;

	words_serve(net, "wait");
	conn = t_connect(net);
	t_say(conn, "early\n");
	t_until(&words_seen.waiting, 1);
	other = t_connect(net);
	t_until(&words_seen.waiting, 2);
	CHECK_EQUAL(words_seen.calls, 0);
	CHECK_EQUAL(words_release(net), 2);
	HEAR(conn, "early\n");
	rota_conn_close(conn);
	rota_conn_close(other);
	t_until(&words_seen.closed, 2);
}

static void on_open_may_be_cancelled(struct t_net *net)
{
	struct rota_conn *conn;

	words_serve(net, "wait");
	conn = t_connect(net);
	t_until(&words_seen.waiting, 1);
	rota_conn_close(conn);
	rota_ignore(rota_sleep_ms(1), "the FIN does not end it");
	CHECK_EQUAL(words_seen.closed, 0);
	CHECK_EQUAL(words_release(net), 1);
	t_until(&words_seen.closed, 1);
	CHECK_EQUAL(words_seen.opened, 1);
}

static void on_open_refusal_is_readable(struct t_net *net)
{
	struct rota_conn *conn;

	words_serve(net, "refuse");
	conn = t_connect(net);
	t_say(conn, "early\n");
	HEAR(conn, "no room\n");
	HEAR_END(conn);
	rota_conn_close(conn);
	t_until(&words_seen.closed, 1);
	CHECK_EQUAL(words_seen.calls, 0);
	CHECK_EQUAL(words_seen.reason, -ENOBUFS);
	CHECK_EQUAL(t_server_stats(net).rejected, 1);
}

/* ---- scenarios: ends ---- */

static void the_reply_to_an_error_reaches_a_peer_that_sends_on(struct t_net *net)
{
	static char bytes[200000];
	struct rota_conn *conn;

	words_serve(net, "");
	conn = t_connect(net);
	memset(bytes, '\n', sizeof(bytes));
	t_say(conn, "bad\nnever\n");
	for (int i = 0; i < 3; i++)
		rota_output_write(rota_conn_output(conn), bytes, sizeof(bytes));
	CHECK_EQUAL(rota_conn_flush(conn), 0);
	HEAR(conn, "that was bad\n");
	HEAR_END(conn);
	rota_conn_close(conn);
	t_until(&words_seen.closed, 1);
	CHECK_EQUAL(words_seen.reason, -EPROTO);
	CHECK_EQUAL(words_seen.calls, 1);
}

static void finish_inside_keeps_the_view_and_sends_what_is_written(struct t_net *net)
{
	struct rota_conn *conn;

	words_serve(net, "");
	conn = t_connect(net);
	t_say(conn, "finish now\nmore\n");
	HEAR(conn, "finish now");
	HEAR_END(conn);
	rota_conn_close(conn);
	t_until(&words_seen.closed, 1);
	CHECK_EQUAL(words_seen.reason, 0);
}

static void finish_outside_waits_for_the_handler(struct t_net *net)
{
	struct rota_conn *conn;

	words_serve(net, "");
	conn = t_connect(net);
	t_say(conn, "wait\n");
	t_until(&words_seen.waiting, 1);
	CHECK_EQUAL(rota_call_on(net->server, words_finish_last, NULL), 0);
	t_say(conn, "more\n");
	rota_ignore(rota_sleep_ms(2), "let it arrive");
	CHECK_EQUAL(words_release(net), 1);
	HEAR(conn, "released\n");
	HEAR_END(conn);
	rota_conn_close(conn);
	t_until(&words_seen.closed, 1);
	CHECK_EQUAL(words_seen.cancelled, 0);
}

static void abort_cancels_the_handler(struct t_net *net)
{
	struct rota_conn *inside, *outside;

	words_serve(net, "");
	inside = t_connect(net);
	t_say(inside, "abort\n");
	t_until(&words_seen.closed, 1);
	CHECK_EQUAL(words_seen.cancelled, 1);
	rota_conn_close(inside);
	outside = t_connect(net);
	t_say(outside, "wait\n");
	t_until(&words_seen.waiting, 1);
	CHECK_EQUAL(rota_call_on(net->server, words_abort_last, NULL), 0);
	t_until(&words_seen.closed, 2);
	CHECK_EQUAL(words_seen.cancelled, 2);
	CHECK_EQUAL(words_seen.gone, 0);
	rota_conn_close(outside);
}

static const struct t_scenario scenarios[] = {
	SCENARIO(requests_in_any_pieces_are_answered_in_order),
	SCENARIO(many_pipelined_requests_are_answered),
	SCENARIO(the_rest_is_offered_as_soon_as_something_was_consumed),
	SCENARIO(need_is_not_offered_less),
	SCENARIO(bytes_that_came_while_suspended_are_offered),
	{ .name = "debug_builds_destroy_the_view_of_a_handler_that_suspends",
	  .run = debug_builds_destroy_the_view_of_a_handler_that_suspends,
	  .needs_debug = true },
	SCENARIO(blobs_leave_by_reference),
	SCENARIO(a_suspended_handler_is_left_alone_by_bytes_and_fin),
	SCENARIO(reset_cancels_the_suspended_handler),
	SCENARIO(reset_leaves_a_handler_alone_that_outlives_its_client),
	SCENARIO(abort_reaches_a_handler_that_outlives_its_client),
	SCENARIO(reset_is_seen_while_receiving_is_paused),
	SCENARIO(a_thousand_suspended_handlers_leave_room_for_others),
	SCENARIO(on_open_may_suspend),
	SCENARIO(on_open_may_be_cancelled),
	SCENARIO(on_open_refusal_is_readable),
	SCENARIO(the_reply_to_an_error_reaches_a_peer_that_sends_on),
	SCENARIO(finish_inside_keeps_the_view_and_sends_what_is_written),
	SCENARIO(finish_outside_waits_for_the_handler),
	SCENARIO(abort_cancels_the_handler),
	{ .name = NULL },
};

int main(int argc, char **argv)
{
	return t_net_main(scenarios, argc, argv);
}
