/* SPDX-License-Identifier: MIT */
/*
 * Sessions on real reactors: what <rota/protocol.h> promises of what ends a session, of
 * draining, on every engine.
 * Layer: tests.
 *
 *	test_session [ROW [SCENARIO]]
 */
#include <string.h>

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
	struct rota_conn_limits limits = { .linger_timeout_ns = 20 * ROTA_NS_PER_MS };
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

static const struct t_scenario scenarios[] = {
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
