/* SPDX-License-Identifier: MIT */
/*
 * Protocols on real reactors: what <rota/protocol.h> promises, on every engine. Layer: tests.
 *
 *	test_protocol [ROW [SCENARIO]]
 *
 * The server speaks lines: the word says what its handler does (see commands below), so that a
 * client can bring it into any state from outside.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "framework/net_internal.h"
#include "tests/contract/net_bench.h"

/* What handlers do is counted here; reset by each scenario's serve(). */
static struct {
	_Atomic uint32_t opened, closed, waiting, cancelled, gone, finished, calls;
	_Atomic int32_t reason; /* of the last on_close */
} seen;

/* The server's reactor: handlers that wait, and the sessions they serve. */
static struct rota_link waiters;
static struct rota_session *last_session;

struct waiter {
	struct rota_link link;
	struct rota_future released;
};

static int64_t release_here(void *arg)
{
	struct rota_link *link;
	int64_t count = 0;

	(void)arg;
	while ((link = rota_list_pop_front(&waiters))) {
		rota_future_complete(&ROTA_CONTAINER_OF(link, struct waiter, link)->released, 0);
		count++;
	}
	return count;
}

static int64_t release(struct t_net *net)
{
	return rota_call_on(net->server, release_here, NULL);
}

/* Suspend until released or cancelled; counts what happened. */
static int wait_for_release(void)
{
	struct waiter waiter;
	int64_t status;

	rota_future_init(&waiter.released);
	rota_list_push_back(&waiters, &waiter.link);
	seen.waiting++;
	status = rota_await(&waiter.released);
	rota_list_remove(&waiter.link);
	if (status < 0) {
		if (rota_why()->kind == ROTA_CANCEL_CLIENT_GONE)
			seen.gone++;
		seen.cancelled++;
	}
	return (int)status;
}

static void say(struct rota_session *session, const char *text)
{
	rota_output_write(rota_session_output(session), text, strlen(text));
}

static void write_pattern(struct rota_session *session, size_t bytes)
{
	struct rota_output *output = rota_session_output(session);
	size_t at = 0;

	while (at < bytes) {
		size_t part = rota_min_size(bytes - at, 1000);
		char *room = rota_output_reserve(output, part);

		for (size_t i = 0; i < part; i++)
			room[i] = t_pattern_at(at + i);
		rota_output_commit(output, part);
		at += part;
	}
}

static int64_t write_blobs(struct rota_session *session, size_t bytes)
{
	struct rota_blob *blob = rota_blob_create(bytes);

	if (!blob)
		return -ENOMEM;
	for (size_t i = 0; i < bytes; i++)
		blob->data[i] = t_pattern_at(i);
	rota_output_reserve(rota_session_output(session), 100); /* not used: an empty piece */
	rota_output_blob(rota_session_output(session), blob, 0, bytes / 2);
	rota_output_blob(rota_session_output(session), blob, bytes / 2, bytes - bytes / 2);
	rota_blob_unref(blob);
	return 0;
}

/* The address sanitizer's, where it is linked. */
extern void *__asan_region_is_poisoned(void *begin, size_t bytes) __attribute__((weak));

/* None of the bytes can be read as they were. */
static bool is_dead(struct rota_view view, const char *was)
{
	if (__asan_region_is_poisoned &&
	    __asan_region_is_poisoned((void *)(uintptr_t)view.data, view.bytes))
		return true;
	for (size_t i = 0; i < view.bytes; i++)
		if (view.data[i] == was[i])
			return false;
	return true;
}

/* Returns 0 to go on, or negative errno. */
static int64_t handle(struct rota_session *session, struct rota_view line)
{
	char word[64] = "";
	size_t bytes = rota_min_size(line.bytes, sizeof(word) - 1);
	long number;

	memcpy(word, line.data, bytes);
	number = strtol(strchr(word, ' ') ? strchr(word, ' ') : "", NULL, 10);
	if (!strncmp(word, "wait", 4)) {
		if (wait_for_release() < 0)
			return -ECANCELED;
		say(session, "released\n");
	} else if (!strncmp(word, "keep", 4)) { /* its view, beyond its end */
		CHECK(!is_dead(line, word));
		if (wait_for_release() < 0)
			return -ECANCELED;
		say(session, is_dead(line, word) ? "dead\n" : "alive\n");
	} else if (!strncmp(word, "fill", 4)) {
		write_pattern(session, (size_t)number);
	} else if (!strncmp(word, "blob", 4)) {
		return write_blobs(session, (size_t)number);
	} else if (!strncmp(word, "bad", 3)) {
		say(session, "that was bad\n");
		return -EPROTO;
	} else if (!strncmp(word, "leave", 5)) {
		rota_session_finish(session);
		return -EPROTO;
	} else if (!strncmp(word, "finish", 6)) {
		rota_session_finish(session);
		/* the view is still ours to look at */
		rota_output_write(rota_session_output(session), line.data, line.bytes);
	} else if (!strncmp(word, "abort", 5)) {
		rota_session_abort(session, "by the test");
		CHECK_EQUAL(rota_sleep_ms(1), -ECANCELED);
		seen.cancelled++;
	} else {
		rota_output_write(rota_session_output(session), line.data, line.bytes);
		say(session, "\n");
	}
	seen.finished++;
	return 0;
}

static int on_open(struct rota_session *session)
{
	const char *how = rota_session_arg(session);

	seen.opened++;
	last_session = session;
	if (!strcmp(how, "refuse")) {
		say(session, "no room\n");
		return -ENOBUFS;
	}
	if (!strcmp(how, "wait") && wait_for_release() < 0)
		return -ECANCELED;
	if (!strcmp(how, "greet"))
		say(session, "hello\n");
	return 0;
}

static int64_t on_bytes(struct rota_session *session, struct rota_view bytes)
{
	const char *how = rota_session_arg(session);
	size_t line_bytes = bytes.bytes;
	const char *end;
	int64_t status;

	seen.calls++;
	if (!strcmp(how, "ponder") && wait_for_release() < 0)
		return -ECANCELED;
	if (!strcmp(how, "ponder"))
		/* asks for all there is, and never for more: only complete after a suspension */
		return bytes.bytes < 10 ? 0 : (say(session, "ten\n"), 10);
	if (!strcmp(how, "swallow"))
		return (int64_t)bytes.bytes;
	if (!strcmp(how, "need")) {
		rota_session_need(session, 1000);
		return bytes.bytes < 1000 ? 0 : (say(session, "thousand\n"), 1000);
	}
	end = memchr(bytes.data, '\n', bytes.bytes);
	if (!end)
		return 0;
	if (rota_session_is_full(session))
		return 0;
	line_bytes = (size_t)(end - bytes.data);
	status = handle(session, rota_view_of(bytes.data, line_bytes));
	return status < 0 ? status : (int64_t)line_bytes + 1;
}

static void on_close(struct rota_session *session, int reason)
{
	(void)session;
	seen.reason = reason;
	seen.closed++;
}

static const struct rota_protocol words = {
	.name = "words",
	.session_bytes = 16,
	.on_open = on_open,
	.on_bytes = on_bytes,
	.on_close = on_close,
};

static void serve_with(struct t_net *net, const char *how, const struct rota_conn_limits *limits)
{
	struct rota_listener_options options = { .protocol = &words, .arg = (void *)how };

	if (limits)
		options.limits = *limits;
	memset(&seen, 0, sizeof(seen));
	rota_list_init(&waiters);
	t_serve(net, &options);
}

static void serve(struct t_net *net, const char *how)
{
	serve_with(net, how, NULL);
}

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

	serve(net, "");
	conn = t_connect(net);
	t_say(conn, "one\ntw");
	HEAR(conn, "one\n");
	t_say(conn, "o\nthree\n");
	HEAR(conn, "two\nthree\n");
	rota_conn_close(conn);
	t_until(&seen.closed, 1);
	CHECK_EQUAL(seen.reason, 0);
}

static void many_pipelined_requests_are_answered(struct t_net *net)
{
	struct rota_conn *conn;
	enum { LINES = 5000 };

	serve(net, "");
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

	serve(net, "");
	conn = t_connect(net);
	t_say(conn, "a\nb\nc\nd");
	HEAR(conn, "a\nb\nc\n");
	if (!net->is_rough) /* then the bytes come in pieces */
		CHECK_EQUAL(seen.calls, 4);
	rota_conn_close(conn);
}

static void need_is_not_offered_less(struct t_net *net)
{
	struct rota_conn *conn;
	char bytes[500];

	memset(bytes, 'x', sizeof(bytes));
	serve(net, "need");
	conn = t_connect(net);
	for (int i = 0; i < 4; i++) {
		CHECK_EQUAL(rota_conn_write(conn, rota_view_of(bytes, sizeof(bytes))), 500);
		if (i % 2)
			HEAR(conn, "thousand\n");
		else
			rota_ignore(rota_sleep_ms(1), "let it arrive alone");
	}
	CHECK_WITHIN(seen.calls, 2, 4);
	rota_conn_close(conn);
}

/* It saw 5 bytes, suspended, 5 more came: the ten have to be offered although none was consumed. */
static void bytes_that_came_while_suspended_are_offered(struct t_net *net)
{
	struct rota_conn *conn;

	serve(net, "ponder");
	conn = t_connect(net);
	t_say(conn, "01234");
	t_until(&seen.waiting, 1);
	t_say(conn, "56789");
	while (t_server_stats(net).received_bytes < 10)
		rota_ignore(rota_sleep_ms(1), "checked below");
	CHECK_EQUAL(release(net), 1);
	t_until(&seen.waiting, 2);
	while (release(net) == 0 || seen.calls < 2)
		rota_ignore(rota_sleep_ms(1), "checked below");
	HEAR(conn, "ten\n");
	rota_conn_close(conn);
}

/* The first view is of the engine's buffer, the second of what was moved out of it. */
static void debug_builds_destroy_the_view_of_a_handler_that_suspends(struct t_net *net)
{
	struct rota_conn *conn;

	serve(net, "");
	conn = t_connect(net);
	t_say(conn, "keep 1\nkeep 2\necho\n");
	for (uint32_t i = 1; i <= 2; i++) {
		t_until(&seen.waiting, i);
		CHECK_EQUAL(release(net), 1);
		HEAR(conn, "dead\n");
	}
	HEAR(conn, "echo\n");
	rota_conn_close(conn);
}

static void blobs_leave_by_reference(struct t_net *net)
{
	struct rota_conn *conn;

	serve(net, "");
	conn = t_connect(net);
	t_say(conn, "blob 300000\n");
	expect_pattern(conn, 300000);
	rota_conn_close(conn);
}

/* ---- scenarios: handlers that suspend ---- */

static void a_suspended_handler_is_left_alone_by_bytes_and_fin(struct t_net *net)
{
	struct rota_conn *conn;

	serve(net, "");
	conn = t_connect(net);
	t_say(conn, "wait\n");
	t_until(&seen.waiting, 1);
	t_say(conn, "after\nwait\n");
	CHECK_EQUAL(rota_conn_shutdown_write(conn), 0);
	rota_ignore(rota_sleep_ms(2), "let it arrive");
	CHECK_EQUAL(seen.calls, 1);
	CHECK_EQUAL(release(net), 1);
	HEAR(conn, "released\nafter\n");
	t_until(&seen.waiting, 2);
	CHECK_EQUAL(release(net), 1);
	HEAR(conn, "released\n");
	HEAR_END(conn);
	rota_conn_close(conn);
	t_until(&seen.closed, 1);
	CHECK_EQUAL(seen.reason, 0);
	CHECK_EQUAL(seen.cancelled, 0);
}

static void reset_cancels_the_suspended_handler(struct t_net *net)
{
	int fd;

	serve(net, "greet");
	fd = t_raw_connect(net);
	t_raw_say(fd, "wait\n");
	t_until(&seen.waiting, 1);
	while (t_server_stats(net).sent_bytes < 6)
		rota_ignore(rota_sleep_ms(1), "checked below");
	t_raw_close(fd);
	t_until(&seen.closed, 1);
	CHECK_EQUAL(seen.cancelled, 1);
	CHECK_EQUAL(seen.gone, 1);
	CHECK_EQUAL(seen.reason, -ECONNRESET);
}

/* Receiving has stopped at the high-water mark, so only the hang-up poll can see the reset. */
static void reset_is_seen_while_receiving_is_paused(struct t_net *net)
{
	struct rota_conn_limits limits = { .input_high_bytes = 4096 };
	static char bytes[100000];
	int fd;

	memset(bytes, '\n', sizeof(bytes));
	serve_with(net, "greet", &limits);
	fd = t_raw_connect(net);
	t_raw_say(fd, "wait\n");
	t_until(&seen.waiting, 1);
	t_raw_send(fd, bytes, 30000);
	while (t_server_stats(net).input_pauses < 1)
		if (!CHECK_EQUAL(rota_sleep_ms(1), 0))
			return;
	t_raw_close(fd);
	t_until(&seen.closed, 1);
	CHECK_EQUAL(seen.gone, 1);
}

static void a_thousand_suspended_handlers_leave_room_for_others(struct t_net *net)
{
	enum { WAITING = 1000 };
	static int fds[WAITING];
	struct rota_conn *conn;

	serve(net, "");
	for (int i = 0; i < WAITING; i++) {
		fds[i] = t_raw_connect(net);
		t_raw_say(fds[i], "wait\n");
	}
	t_until(&seen.waiting, WAITING);
	CHECK_EQUAL(t_server_stats(net).handlers_suspended, WAITING);
	conn = t_connect(net);
	t_say(conn, "hello\n");
	HEAR(conn, "hello\n");
	CHECK_EQUAL(release(net), WAITING);
	t_until(&seen.finished, WAITING + 1);
	CHECK_EQUAL(t_server_stats(net).handlers_suspended, 0);
	CHECK_WITHIN(t_server_stats(net).workers, 1, 17);
	for (int i = 0; i < WAITING; i++)
		t_raw_close(fds[i]);
	rota_conn_close(conn);
	t_until(&seen.closed, WAITING + 1);
}

static void on_open_may_suspend(struct t_net *net)
{
	struct rota_conn *conn, *other;

	serve(net, "wait");
	conn = t_connect(net);
	t_say(conn, "early\n");
	t_until(&seen.waiting, 1);
	other = t_connect(net);
	t_until(&seen.waiting, 2);
	CHECK_EQUAL(seen.calls, 0);
	CHECK_EQUAL(release(net), 2);
	HEAR(conn, "early\n");
	rota_conn_close(conn);
	rota_conn_close(other);
	t_until(&seen.closed, 2);
}

static void on_open_may_be_cancelled(struct t_net *net)
{
	struct rota_conn *conn;

	serve(net, "wait");
	conn = t_connect(net);
	t_until(&seen.waiting, 1);
	rota_conn_close(conn);
	rota_ignore(rota_sleep_ms(1), "the FIN does not end it");
	CHECK_EQUAL(seen.closed, 0);
	CHECK_EQUAL(release(net), 1);
	t_until(&seen.closed, 1);
	CHECK_EQUAL(seen.opened, 1);
}

static void on_open_refusal_is_readable(struct t_net *net)
{
	struct rota_conn *conn;

	serve(net, "refuse");
	conn = t_connect(net);
	t_say(conn, "early\n");
	HEAR(conn, "no room\n");
	HEAR_END(conn);
	rota_conn_close(conn);
	t_until(&seen.closed, 1);
	CHECK_EQUAL(seen.calls, 0);
	CHECK_EQUAL(seen.reason, -ENOBUFS);
	CHECK_EQUAL(t_server_stats(net).rejected, 1);
}

/* ---- scenarios: ends ---- */

static void the_reply_to_an_error_reaches_a_peer_that_sends_on(struct t_net *net)
{
	static char bytes[200000];
	struct rota_conn *conn;

	serve(net, "");
	conn = t_connect(net);
	memset(bytes, '\n', sizeof(bytes));
	t_say(conn, "bad\nnever\n");
	for (int i = 0; i < 3; i++)
		rota_output_write(rota_conn_output(conn), bytes, sizeof(bytes));
	CHECK_EQUAL(rota_conn_flush(conn), 0);
	HEAR(conn, "that was bad\n");
	HEAR_END(conn);
	rota_conn_close(conn);
	t_until(&seen.closed, 1);
	CHECK_EQUAL(seen.reason, -EPROTO);
	CHECK_EQUAL(seen.calls, 1);
}

static void finish_inside_keeps_the_view_and_sends_what_is_written(struct t_net *net)
{
	struct rota_conn *conn;

	serve(net, "");
	conn = t_connect(net);
	t_say(conn, "finish now\nmore\n");
	HEAR(conn, "finish now");
	HEAR_END(conn);
	rota_conn_close(conn);
	t_until(&seen.closed, 1);
	CHECK_EQUAL(seen.reason, 0);
}

static int64_t finish_last(void *arg)
{
	(void)arg;
	rota_session_finish(last_session);
	return 0;
}

static int64_t abort_last(void *arg)
{
	(void)arg;
	rota_session_abort(last_session, "from outside");
	return 0;
}

static void finish_outside_waits_for_the_handler(struct t_net *net)
{
	struct rota_conn *conn;

	serve(net, "");
	conn = t_connect(net);
	t_say(conn, "wait\n");
	t_until(&seen.waiting, 1);
	CHECK_EQUAL(rota_call_on(net->server, finish_last, NULL), 0);
	t_say(conn, "more\n");
	rota_ignore(rota_sleep_ms(2), "let it arrive");
	CHECK_EQUAL(release(net), 1);
	HEAR(conn, "released\n");
	HEAR_END(conn);
	rota_conn_close(conn);
	t_until(&seen.closed, 1);
	CHECK_EQUAL(seen.cancelled, 0);
}

static void abort_cancels_the_handler(struct t_net *net)
{
	struct rota_conn *inside, *outside;

	serve(net, "");
	inside = t_connect(net);
	t_say(inside, "abort\n");
	t_until(&seen.closed, 1);
	CHECK_EQUAL(seen.cancelled, 1);
	rota_conn_close(inside);
	outside = t_connect(net);
	t_say(outside, "wait\n");
	t_until(&seen.waiting, 1);
	CHECK_EQUAL(rota_call_on(net->server, abort_last, NULL), 0);
	t_until(&seen.closed, 2);
	CHECK_EQUAL(seen.cancelled, 2);
	CHECK_EQUAL(seen.gone, 0);
	rota_conn_close(outside);
}

/* ---- scenarios: what on_close is told ---- */

static void the_reason_is_the_error_although_the_handler_finished_first(struct t_net *net)
{
	struct rota_conn *conn;

	serve(net, "");
	conn = t_connect(net);
	t_say(conn, "leave\n");
	HEAR_END(conn);
	rota_conn_close(conn);
	t_until(&seen.closed, 1);
	CHECK_EQUAL(seen.reason, -EPROTO);
}

/* Say `word` and nothing more, nor read, nor leave, until the server has given up. */
static void say_and_stay(struct t_net *net, const char *word, int reason)
{
	struct rota_conn_limits limits = { .linger_timeout_ns = 20 * ROTA_NS_PER_MS };
	int fd;

	serve_with(net, "", &limits);
	fd = t_raw_connect(net);
	t_raw_say(fd, word);
	t_until(&seen.closed, 1);
	CHECK_EQUAL(seen.reason, reason);
	t_raw_close(fd);
}

static void the_reason_is_not_how_lingering_ended(struct t_net *net)
{
	int fd;

	say_and_stay(net, "finish\n", 0);
	say_and_stay(net, "bad\n", -EPROTO);
	/* A reset, because it has not read its reply. */
	serve(net, "");
	fd = t_raw_connect(net);
	t_raw_say(fd, "finish\n");
	while (t_server_stats(net).sent_bytes < strlen("finish"
						       "that was bad\n"
						       "finish"))
		rota_ignore(rota_sleep_ms(1), "checked below");
	t_raw_close(fd);
	t_until(&seen.closed, 1);
	CHECK_EQUAL(seen.reason, 0);
}

static void the_reason_tells_that_the_last_reply_was_not_taken(struct t_net *net)
{
	struct rota_conn_limits limits = { .linger_timeout_ns = 20 * ROTA_NS_PER_MS,
					   .output_high_bytes = 1 << 30 };
	int fd;

	serve_with(net, "", &limits);
	fd = t_raw_connect(net);
	t_raw_say(fd, "fill 20000000\nfinish\n");
	t_until(&seen.closed, 1);
	CHECK_EQUAL(seen.reason, -ETIMEDOUT);
	t_raw_close(fd);
}

/* ---- scenarios: draining ---- */

static int64_t drain_here(void *arg)
{
	(void)arg;
	rota__net_drain(rota_reactor_current());
	return 0;
}

/*
 * The client has a reply under way when the server drains, and sends a request that crosses the
 * end: a reset would destroy the reply.
 */
static void a_drained_client_reads_its_last_reply(struct t_net *net)
{
	struct rota_conn_limits pausing = { .input_high_bytes = 1 };
	struct rota_conn *conn;

	serve(net, "");
	conn = t_connect_limited(net, &pausing);
	t_say(conn, "one\n");
	t_until(&seen.finished, 1);
	rota_ignore(rota_sleep_ms(2), "it arrives, and no more is received");
	t_say(conn, "two\n");
	t_until(&seen.finished, 2);
	CHECK_EQUAL(rota_call_on(net->server, drain_here, NULL), 0);
	t_say(conn, "crossing\n");
	rota_ignore(rota_sleep_ms(2), "a reset would come back");
	HEAR(conn, "one\n");
	HEAR(conn, "two\n");
	HEAR_END(conn);
	CHECK_EQUAL(seen.finished, 2);
	rota_conn_close(conn);
	t_until(&seen.closed, 1);
	CHECK_EQUAL(seen.reason, 0);
}

/* Virtual time: a drained client is waited for no longer than its last reply may be under way. */
static void draining_is_bounded(struct t_net *net)
{
	struct rota_conn *old, *recent;
	rota_ns began;

	if (!net->is_simulated)
		return;
	serve(net, "");
	old = t_connect(net);
	t_say(old, "old\n");
	HEAR(old, "old\n");
	CHECK_EQUAL(rota_sleep_ms(10000), 0);
	recent = t_connect(net);
	t_say(recent, "recent\n");
	HEAR(recent, "recent\n");
	began = rota_now();
	CHECK_EQUAL(rota_call_on(net->server, drain_here, NULL), 0);
	HEAR_END(old);
	HEAR_END(recent);
	t_until_connections(net, net->reactors_count == 1 ? 3 : 1);
	CHECK_WITHIN(rota_now() - began, 0, 100 * ROTA_NS_PER_MS);
	t_until(&seen.closed, 2);
	CHECK_WITHIN(rota_now() - began, 1900 * ROTA_NS_PER_MS, 2100 * ROTA_NS_PER_MS);
	rota_conn_close(old);
	rota_conn_close(recent);
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
	SCENARIO(reset_is_seen_while_receiving_is_paused),
	SCENARIO(a_thousand_suspended_handlers_leave_room_for_others),
	SCENARIO(on_open_may_suspend),
	SCENARIO(on_open_may_be_cancelled),
	SCENARIO(on_open_refusal_is_readable),
	SCENARIO(the_reply_to_an_error_reaches_a_peer_that_sends_on),
	SCENARIO(finish_inside_keeps_the_view_and_sends_what_is_written),
	SCENARIO(finish_outside_waits_for_the_handler),
	SCENARIO(abort_cancels_the_handler),
	SCENARIO(the_reason_is_the_error_although_the_handler_finished_first),
	SCENARIO(the_reason_is_not_how_lingering_ended),
	SCENARIO(the_reason_tells_that_the_last_reply_was_not_taken),
	SCENARIO(a_drained_client_reads_its_last_reply),
	SCENARIO(draining_is_bounded),
	{ .name = NULL },
};

int main(int argc, char **argv)
{
	return t_net_main(scenarios, argc, argv);
}
