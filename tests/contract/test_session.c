/* SPDX-License-Identifier: MIT */
/*
 * Sessions on real reactors: what <rota/protocol.h> promises of how they end, of draining, and of
 * tasks of their own, on every engine. Layer: tests.
 *
 *	test_session [ROW [SCENARIO]]
 */
#include <string.h>

#include <rota/group.h>

#include "framework/net_internal.h"
#include "tests/contract/words.h"

/* ---- scenarios: what on_close is told ---- */

static void the_reason_is_the_error_although_the_handler_finished_first(struct t_net *net)
{
	struct rota_conn *conn;

	words_serve(net, "");
	conn = t_connect(net);
	t_say(conn, "leave\n");
	HEAR_END(conn);
	rota_conn_close(conn);
	t_until(&words_seen.closed, 1);
	CHECK_EQUAL(words_seen.reason, -EPROTO);
}

/* Say `word` and nothing more, nor read, nor leave, until the server has given up. */
static void say_and_stay(struct t_net *net, const char *word, int reason)
{
	struct rota_conn_limits limits = { .linger_timeout_ns = 200 * ROTA_NS_PER_MS };
	int fd;

	words_serve_with(net, "", &limits);
	fd = t_raw_connect(net);
	t_raw_say(fd, word);
	t_until(&words_seen.closed, 1);
	CHECK_EQUAL(words_seen.reason, reason);
	t_raw_close(fd);
}

static void the_reason_is_not_how_lingering_ended(struct t_net *net)
{
	int fd;

	say_and_stay(net, "finish\n", 0);
	say_and_stay(net, "bad\n", -EPROTO);
	/* A reset, because it has not read its reply. */
	words_serve(net, "");
	fd = t_raw_connect(net);
	t_raw_say(fd, "finish\n");
	while (t_server_stats(net).sent_bytes < strlen("finish"
						       "that was bad\n"
						       "finish"))
		rota_ignore(rota_sleep_ms(1), "checked below");
	t_raw_close(fd);
	t_until(&words_seen.closed, 1);
	CHECK_EQUAL(words_seen.reason, 0);
}

static void the_reason_tells_that_the_last_reply_was_not_taken(struct t_net *net)
{
	struct rota_conn_limits limits = { .linger_timeout_ns = 20 * ROTA_NS_PER_MS,
					   .output_high_bytes = 1 << 30 };
	int fd;

	words_serve_with(net, "", &limits);
	fd = t_raw_connect(net);
	t_raw_say(fd, "fill 20000000\nfinish\n");
	t_until(&words_seen.closed, 1);
	CHECK_EQUAL(words_seen.reason, -ETIMEDOUT);
	t_raw_close(fd);
}

/*
 * Virtual time: idleness is counted from when the handler has come back, or the reply to a long
 * request could be cut off by the timer that had seen it busy.
 */
static void a_long_handler_has_its_reply_sent(struct t_net *net)
{
	struct rota_conn_limits limits = { .idle_timeout_ns = 20 * ROTA_NS_PER_MS };

	if (!net->is_simulated)
		return;
	for (int i = 0; i < 1000; i++) {
		struct rota_conn *conn;

		words_serve_with(net, "", &limits);
		conn = t_connect(net);
		t_say(conn, i % 2 ? "wait\n" : "spawn\n");
		t_until(&words_seen.waiting, 1);
		rota_ignore(rota_sleep_until(rota_after_ns(19800000 + i * 300)), "as long");
		CHECK_EQUAL(words_release(net), 1);
		HEAR(conn, i % 2 ? "released\n" : "later\n");
		rota_conn_close(conn);
		t_until(&words_seen.closed, 1);
	}
}

/*
 * Virtual time: nobody has asked when the reply had left, and the reactor slept from then on; the
 * sleep is idleness all the same.
 */
static void a_session_that_was_answered_is_closed_when_it_is_idle(struct t_net *net)
{
	struct rota_conn_limits limits = { .idle_timeout_ns = 20 * ROTA_NS_PER_MS };
	struct rota_conn *conn;
	rota_ns asked_at;

	if (!net->is_simulated)
		return;
	words_serve_with(net, "", &limits);
	for (uint32_t i = 0; i < 20; i++) {
		conn = t_connect(net);
		t_say(conn, "word\n");
		asked_at = rota_now();
		HEAR(conn, "word\n");
		t_until(&words_seen.closed, i + 1);
		CHECK(rota_now() - asked_at < 35 * ROTA_NS_PER_MS);
		rota_conn_close(conn);
	}
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

	words_serve(net, "");
	conn = t_connect_limited(net, &pausing);
	t_say(conn, "one\n");
	t_until(&words_seen.finished, 1);
	rota_ignore(rota_sleep_ms(2), "it arrives, and no more is received");
	t_say(conn, "two\n");
	t_until(&words_seen.finished, 2);
	CHECK_EQUAL(rota_call_on(net->server, drain_here, NULL), 0);
	t_say(conn, "crossing\n");
	rota_ignore(rota_sleep_ms(2), "a reset would come back");
	HEAR(conn, "one\n");
	HEAR(conn, "two\n");
	HEAR_END(conn);
	CHECK_EQUAL(words_seen.finished, 2);
	rota_conn_close(conn);
	t_until(&words_seen.closed, 1);
	CHECK_EQUAL(words_seen.reason, 0);
}

/* Virtual time: a drained client is waited for no longer than its last reply may be under way. */
static void draining_is_bounded(struct t_net *net)
{
	struct rota_conn *old, *recent;
	rota_ns began;

	if (!net->is_simulated)
		return;
	words_serve(net, "");
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
	t_until(&words_seen.closed, 2);
	CHECK_WITHIN(rota_now() - began, 1900 * ROTA_NS_PER_MS, 2100 * ROTA_NS_PER_MS);
	rota_conn_close(old);
	rota_conn_close(recent);
}

/* ---- scenarios: tasks of a session's own ---- */

static void a_task_outlives_the_call_that_spawned_it(struct t_net *net)
{
	struct rota_conn *conn;

	words_serve(net, "");
	conn = t_connect(net);
	t_say(conn, "spawn\nspawn\nhello\n");
	HEAR(conn, "hello\n");
	t_until(&words_seen.waiting, 2);
	CHECK_EQUAL(words_release(net), 2);
	HEAR(conn, "later\nlater\n");
	t_say(conn, "spawn\n"); /* the scope has been empty, and goes on */
	t_until(&words_seen.waiting, 3);
	CHECK_EQUAL(words_release(net), 1);
	HEAR(conn, "later\n");
	rota_conn_close(conn);
	t_until(&words_seen.closed, 1);
	CHECK_EQUAL(words_seen.reason, 0);
}

/* Whatever ends the session in order waits for its tasks. */
static void orderly_ends_wait_for_tasks(struct t_net *net)
{
	static const char *const asked[] = { "spawn\n", "spawn\nfinish\n", "spawn\n" };

	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(asked); i++) {
		struct rota_conn *conn;

		words_serve(net, "");
		conn = t_connect(net);
		t_say(conn, asked[i]);
		t_until(&words_seen.waiting, 1);
		if (i == 0)
			CHECK_EQUAL(rota_conn_shutdown_write(conn), 0);
		else if (i == 1)
			HEAR(conn, "finish");
		else
			CHECK_EQUAL(rota_call_on(net->server, drain_here, NULL), 0);
		rota_ignore(rota_sleep_ms(2), "too early an end would be seen");
		CHECK_EQUAL(words_seen.closed, 0);
		CHECK_EQUAL(words_release(net), 1);
		HEAR(conn, "later\n");
		HEAR_END(conn);
		rota_conn_close(conn);
		t_until(&words_seen.closed, 1);
		CHECK_EQUAL(words_seen.reason, 0);
		CHECK_EQUAL(words_seen.cancelled, 0);
	}
}

static void a_lost_connection_cancels_tasks(struct t_net *net)
{
	int fd;

	words_serve(net, "greet");
	fd = t_raw_connect(net);
	t_raw_say(fd, "spawn\nspawn\n");
	t_until(&words_seen.waiting, 2);
	while (t_server_stats(net).sent_bytes < 6)
		rota_ignore(rota_sleep_ms(1), "checked below");
	t_raw_close(fd); /* with unread bytes: a reset */
	t_until(&words_seen.closed, 1);
	CHECK_EQUAL(words_seen.cancelled, 2);
	CHECK_EQUAL(words_seen.gone, 2);
	CHECK_EQUAL(words_seen.reason, -ECONNRESET);
}

static void a_handler_of_a_lost_connection_spawns_nothing(struct t_net *net)
{
	int fd;

	words_serve(net, "greet");
	fd = t_raw_connect(net);
	t_raw_say(fd, "stay\n");
	t_until(&words_seen.waiting, 1);
	while (t_server_stats(net).sent_bytes < 6)
		rota_ignore(rota_sleep_ms(1), "checked below");
	t_raw_close(fd);
	t_until(&words_seen.closed, 1);
	CHECK_EQUAL(words_seen.waiting, 1);
}

static void an_error_and_an_abort_cancel_tasks(struct t_net *net)
{
	struct rota_conn *conn;

	words_serve(net, "");
	conn = t_connect(net);
	t_say(conn, "spawn\n");
	t_until(&words_seen.waiting, 1);
	t_say(conn, "bad\n");
	HEAR(conn, "that was bad\n");
	HEAR_END(conn);
	rota_conn_close(conn);
	t_until(&words_seen.closed, 1);
	CHECK_EQUAL(words_seen.reason, -EPROTO);
	CHECK_EQUAL(words_seen.cancelled, 1);
	conn = t_connect(net);
	t_say(conn, "spawn\n");
	t_until(&words_seen.waiting, 2);
	CHECK_EQUAL(rota_call_on(net->server, words_abort_last, NULL), 0);
	t_until(&words_seen.closed, 2);
	CHECK_EQUAL(words_seen.cancelled, 2);
	CHECK_EQUAL(words_seen.gone, 0);
	rota_conn_close(conn);
}

/* The bench sees to it that nothing is left. */
static void a_stopping_reactor_cancels_tasks(struct t_net *net)
{
	struct rota_conn *conn;

	words_serve(net, "");
	conn = t_connect(net);
	t_say(conn, "spawn\nspawn\n");
	t_until(&words_seen.waiting, 2);
	rota_reactor_stop(net->server);
	rota_conn_close(conn);
}

static void a_session_with_a_task_is_not_idle(struct t_net *net)
{
	struct rota_conn_limits limits = { .idle_timeout_ns = 20 * ROTA_NS_PER_MS };
	struct rota_conn *conn;

	words_serve_with(net, "", &limits);
	conn = t_connect(net);
	t_say(conn, "spawn\n");
	t_until(&words_seen.waiting, 1);
	CHECK_EQUAL(rota_sleep_ms(100), 0);
	CHECK_EQUAL(words_seen.closed, 0);
	CHECK_EQUAL(words_release(net), 1);
	HEAR(conn, "later\n");
	t_until(&words_seen.closed, 1); /* idle now */
	CHECK_EQUAL(words_seen.reason, -ETIMEDOUT);
	rota_conn_close(conn);
}

static void without_memory_there_is_no_scope(struct t_net *net)
{
	struct rota_conn *conn;

	if (net->reactors_count > 1 && !net->is_simulated)
		return; /* the other thread would have no memory either */
	words_serve(net, "");
	conn = t_connect(net);
	t_say(conn, "starve\nspawn\n");
	HEAR(conn, "starved\n");
	t_until(&words_seen.waiting, 1);
	CHECK_EQUAL(words_release(net), 1);
	HEAR(conn, "later\n");
	rota_conn_close(conn);
}

/* ---- scenarios: scheduling groups ---- */

static const char *group_here(void)
{
	struct rota_group_stats stats;

	rota_group_stats(rota_group_of(ROTA_PRIORITY_INHERIT), &stats);
	return stats.name;
}

static int64_t tell_group(struct rota_session *session, struct rota_view input)
{
	rota_output_write(rota_session_output(session), group_here(), strlen(group_here()));
	return (int64_t)input.bytes;
}

static int64_t tell_group_in_task(struct rota_conn *conn, void *arg)
{
	struct rota_view view;

	(void)arg;
	while (rota_conn_read(conn, &view) > 0)
		rota_ignore(rota_conn_write(
				    conn, (struct rota_view){ group_here(), strlen(group_here()) }),
			    "the client notices");
	return 0;
}

static const struct rota_protocol teller = {
	.name = "teller",
	.on_open = rota_protocol_default_open,
	.on_bytes = tell_group,
	.on_close = rota_protocol_default_close,
};

static int64_t make_group_here(void *arg)
{
	return rota_group_create("batch", 100, arg);
}

static int64_t close_here(void *arg)
{
	rota_listener_close(arg);
	return 0;
}

/* Parked workers end when no listener is left that could have work for them. */
static int64_t destroy_group_here(void *arg)
{
	struct rota_group_stats stats;

	do {
		rota_ignore(rota_sleep_ms(1), "checked by the destroy");
		rota_group_stats(arg, &stats);
	} while (stats.tasks_alive);
	rota_group_destroy(arg);
	return 0;
}

static void hear_group(struct t_net *net, const char *name)
{
	struct rota_conn *conn = t_connect(net);

	t_say(conn, "?");
	CHECK(t_hear_at(conn, name, __FILE__, __LINE__));
	rota_conn_close(conn);
}

static void a_listener_in_a_group_is_served_in_it(struct t_net *net)
{
	struct rota_listener_options options = { .protocol = &teller };
	struct rota_listener *listeners[2];
	struct rota_group *group;

	t_serve(net, &options);
	hear_group(net, "normal");
	CHECK_EQUAL(rota_call_on(net->server, make_group_here, &group), 0);
	options.group = group;
	listeners[0] = t_serve(net, &options);
	hear_group(net, "batch");
	options.protocol = NULL;
	options.handler = tell_group_in_task;
	listeners[1] = t_serve(net, &options);
	hear_group(net, "batch");
	for (unsigned i = 0; i < 2; i++)
		CHECK_EQUAL(rota_call_on(net->server, close_here, listeners[i]), 0);
	t_until_connections(net, 0);
	CHECK_EQUAL(rota_call_on(net->server, destroy_group_here, group), 0);
}

static void a_handler_sees_who_is_served_next(struct t_net *net)
{
	struct rota_conn *first, *second;

	words_serve(net, "");
	first = t_connect(net);
	t_until(&words_seen.opened, 1);
	second = t_connect(net);
	t_until(&words_seen.opened, 2);
	t_say(second, "par");
	t_until(&words_seen.calls, 1);
	t_say(first, "look\n");
	HEAR(first, "seen\n");
	t_say(second, "tial\n");
	HEAR(second, "partial\n");
	rota_conn_close(first);
	rota_conn_close(second);
}

static const struct t_scenario scenarios[] = {
	SCENARIO(the_reason_is_the_error_although_the_handler_finished_first),
	SCENARIO(the_reason_is_not_how_lingering_ended),
	SCENARIO(the_reason_tells_that_the_last_reply_was_not_taken),
	SCENARIO(a_long_handler_has_its_reply_sent),
	SCENARIO(a_session_that_was_answered_is_closed_when_it_is_idle),
	SCENARIO(a_drained_client_reads_its_last_reply),
	SCENARIO(draining_is_bounded),
	SCENARIO(a_task_outlives_the_call_that_spawned_it),
	SCENARIO(orderly_ends_wait_for_tasks),
	SCENARIO(a_lost_connection_cancels_tasks),
	SCENARIO(a_handler_of_a_lost_connection_spawns_nothing),
	SCENARIO(an_error_and_an_abort_cancel_tasks),
	SCENARIO(a_stopping_reactor_cancels_tasks),
	SCENARIO(a_session_with_a_task_is_not_idle),
	SCENARIO(without_memory_there_is_no_scope),
	SCENARIO(a_listener_in_a_group_is_served_in_it),
	SCENARIO(a_handler_sees_who_is_served_next),
	{ .name = NULL },
};

int main(int argc, char **argv)
{
	return t_net_main(scenarios, argc, argv);
}
