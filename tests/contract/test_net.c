/* SPDX-License-Identifier: MIT */
/*
 * Connections in task style on real reactors: what <rota/net.h> promises, on every engine. Layer:
 * tests.
 *
 *	test_net [ROW [SCENARIO]]
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "framework/net_internal.h"
#include "tests/contract/net_bench.h"

/* What the server's handlers did. */
static struct {
	_Atomic uint32_t started, ended;
	_Atomic int64_t result; /* of the last one */
} seen;

/* Set by the scenario, called by reactors on other threads. */
static int64_t (*_Atomic serve_one)(struct rota_conn *conn);

static int64_t handle(struct rota_conn *conn, void *arg)
{
	/* a call through the atomic itself would read it like any other */
	int64_t (*serve)(struct rota_conn * conn) = serve_one;
	int64_t result;

	(void)arg;
	seen.started++;
	result = serve(conn);
	seen.result = result;
	seen.ended++;
	return result < 0 && result != -ROTA_ECLOSING ? 0 : result;
}

static void serve_limited(struct t_net *net, int64_t (*fn)(struct rota_conn *conn),
			  const struct rota_conn_limits *limits)
{
	struct rota_listener_options options = { .handler = handle, .name = "test" };

	if (limits)
		options.limits = *limits;
	seen.started = seen.ended = 0;
	seen.result = 0;
	serve_one = fn;
	t_serve(net, &options);
}

static void serve(struct t_net *net, int64_t (*fn)(struct rota_conn *conn))
{
	serve_limited(net, fn, NULL);
}

static int64_t echo(struct rota_conn *conn)
{
	struct rota_view in;
	int64_t n;

	while ((n = rota_conn_read(conn, &in)) > 0)
		if ((n = rota_conn_write(conn, in)) < 0)
			break;
	return n;
}

/* ---- reading ---- */

static void echo_returns_what_it_got(struct t_net *net)
{
	struct rota_conn *conn;

	serve(net, echo);
	conn = t_connect(net);
	t_say(conn, "hello");
	HEAR(conn, "hello");
	CHECK_EQUAL(rota_conn_shutdown_write(conn), 0);
	HEAR_END(conn);
	HEAR_END(conn); /* and again: the end stays */
	rota_ignore(rota_sleep_ms(2), "a hang-up seen now would be wrong");
	HEAR_END(conn);
	rota_conn_close(conn);
	t_until(&seen.ended, 1);
	CHECK_EQUAL(seen.result, 0);
}

static int64_t peek_and_consume(struct rota_conn *conn)
{
	struct rota_view view;

	CHECK_WITHIN(rota_conn_peek(conn, 4, &view), 4, 100);
	CHECK(!memcmp(view.data, "abcd", 4));
	rota_conn_consume(conn, 1);
	CHECK_WITHIN(rota_conn_peek(conn, 2, &view), 3, 100);
	CHECK(!memcmp(view.data, "bcd", 3));
	t_say(conn, "go on\n");
	CHECK_EQUAL(rota_conn_peek(conn, 9, &view), 9);
	CHECK(!memcmp(view.data, "bcdefghij", 9));
	rota_conn_consume(conn, 4);
	rota_conn_consume(conn, 4);
	CHECK_EQUAL(rota_conn_read(conn, &view), 1);
	CHECK_EQUAL(view.data[0], 'j');
	t_say(conn, "end\n");
	/* the stream ends before there are so many */
	CHECK_EQUAL(rota_conn_peek(conn, 100, &view), 3);
	rota_conn_consume(conn, 3);
	CHECK_EQUAL(rota_conn_peek(conn, 1, &view), 0);
	CHECK_EQUAL(rota_conn_peek(conn, ((size_t)1 << 30) + 1, &view), -EMSGSIZE);
	return 0;
}

static void peek_waits_and_consume_takes(struct t_net *net)
{
	struct rota_conn *conn;

	serve(net, peek_and_consume);
	conn = t_connect(net);
	t_say(conn, "ab");
	rota_ignore(rota_sleep_ms(1), "arrives in two pieces");
	t_say(conn, "cd");
	HEAR(conn, "go on\n");
	t_say(conn, "efghij");
	HEAR(conn, "end\n");
	t_say(conn, "xyz");
	CHECK_EQUAL(rota_conn_shutdown_write(conn), 0);
	HEAR_END(conn);
	rota_conn_close(conn);
}

/* Its view stays while more comes in. */
static int64_t keep_view(struct rota_conn *conn)
{
	struct rota_view view;
	int64_t n = rota_conn_read(conn, &view);

	CHECK_WITHIN(n, 1, 5);
	t_say(conn, "more\n");
	while (n + (int64_t)rota_conn_input_bytes(conn) < 3005)
		if (rota_sleep_ms(1) < 0)
			return 0;
	CHECK(!memcmp(view.data, "first", (size_t)n));
	CHECK_WITHIN(rota_conn_memory_bytes(conn), conn->spill.bytes, 100000);
	while (n < 3005) {
		int64_t got = rota_conn_read(conn, &view);

		if (!CHECK_WITHIN(got, 1, 3005))
			break;
		n += got;
	}
	t_say(conn, "thanks\n");
	return 0;
}

static void a_view_lives_until_the_next_read(struct t_net *net)
{
	char bytes[3000];
	struct rota_conn *conn;

	memset(bytes, 'y', sizeof(bytes));
	serve(net, keep_view);
	conn = t_connect(net);
	t_say(conn, "first");
	HEAR(conn, "more\n");
	CHECK_EQUAL(rota_conn_write(conn, rota_view_of(bytes, sizeof(bytes))), sizeof(bytes));
	HEAR(conn, "thanks\n");
	HEAR_END(conn);
	rota_conn_close(conn);
}

/* ---- writing ---- */

struct transfer {
	struct rota_conn *conn;
	uint64_t bytes;
};

static int64_t send_pattern(void *arg)
{
	struct transfer *transfer = arg;
	static __thread char piece[16384];
	uint64_t at = 0;

	while (at < transfer->bytes) {
		int64_t n;

		for (size_t i = 0; i < sizeof(piece); i++)
			piece[i] = t_pattern_at(at + i);
		n = rota_conn_write(transfer->conn, rota_view_of(piece, sizeof(piece)));
		if (n < 0)
			return n;
		at += (uint64_t)n;
		CHECK_WITHIN(transfer->conn->output.pending_bytes, 0, 256 * 1024 + sizeof(piece));
	}
	return rota_conn_shutdown_write(transfer->conn);
}

static void big_transfers_arrive_whole(struct t_net *net)
{
	struct rota_scope scope;
	struct transfer transfer = { .bytes = net->is_rough ? 256 * 1024 : 8 << 20 };
	struct rota_view view;
	uint64_t at = 0;
	int64_t n;

	if (!net->is_simulated && !ROTA_DEBUG)
		transfer.bytes = 64 << 20;
	serve(net, echo);
	transfer.conn = t_connect(net);
	rota_scope_open(&scope, ROTA_NEVER);
	CHECK_EQUAL(rota_spawn(&scope, send_pattern, &transfer), 0);
	while ((n = rota_conn_read(transfer.conn, &view)) > 0)
		for (size_t i = 0; i < view.bytes; i++, at++)
			if (view.data[i] != t_pattern_at(at)) {
				CHECK_EQUAL(at, -1);
				break;
			}
	CHECK_EQUAL(n, 0);
	CHECK_EQUAL(at, transfer.bytes);
	CHECK_EQUAL(rota_scope_close(&scope), 0);
	rota_conn_close(transfer.conn);
}

static int64_t outlive_client(struct rota_conn *conn)
{
	struct rota_view view;

	t_say(conn, "never read");
	rota_handler_outlives_client();
	CHECK_EQUAL(rota_conn_read(conn, &view), -ECONNRESET);
	CHECK_EQUAL(rota_sleep_ms(1), 0);
	CHECK_EQUAL(rota_check_cancelled(), 0);
	return 7;
}

static void a_handler_may_outlive_its_client(struct t_net *net)
{
	int fd;

	serve(net, outlive_client);
	fd = t_raw_connect(net);
	while (t_server_stats(net).sent_bytes < strlen("never read"))
		rota_ignore(rota_sleep_ms(1), "what was sent counts");
	t_raw_close(fd);
	t_until(&seen.ended, 1);
	CHECK_EQUAL(seen.result, 7);
}

static int64_t sulk(struct rota_conn *conn)
{
	struct rota_view view;

	/* Reads one word and nothing more until the other side has gone. */
	rota_ignore(rota_conn_read(conn, &view), "whatever came");
	return rota_sleep_ms(1000000);
}

static void a_writer_suspends_above_the_mark_and_can_be_cancelled(struct t_net *net)
{
	struct rota_conn_limits limits = { .output_high_bytes = 10000,
					   .linger_timeout_ns = 20 * ROTA_NS_PER_MS };
	struct rota_scope scope;
	struct rota_conn *conn;
	static char bytes[100000];
	int64_t n = 0;

	serve(net, sulk);
	conn = t_connect_limited(net, &limits);
	rota_scope_open(&scope, rota_after_ms(100));
	while ((n = rota_conn_write(conn, rota_view_of(bytes, sizeof(bytes)))) > 0)
		;
	CHECK_EQUAL(n, -ETIMEDOUT);
	CHECK_EQUAL(rota_conn_flush(conn), -ETIMEDOUT);
	CHECK_EQUAL(rota_conn_shutdown_write(conn), -ETIMEDOUT);
	CHECK_EQUAL(rota_scope_close(&scope), -ETIMEDOUT);
	/* Less than the mark if time ran out between two writes. */
	CHECK_WITHIN(conn->output.pending_bytes, 0, 200000);
	rota_conn_close(conn); /* gives up on the rest after the linger time-out */
}

static void writing_beyond_the_limit_fails(struct t_net *net)
{
	struct rota_conn_limits limits = { .output_max_bytes = 100000 };
	struct rota_conn *conn;
	struct rota_view view;
	static char bytes[200000];

	serve(net, echo);
	conn = t_connect_limited(net, &limits);
	CHECK_EQUAL(rota_conn_write(conn, rota_view_of(bytes, sizeof(bytes))), -ENOBUFS);
	CHECK_WITHIN(rota_conn_read(conn, &view), -ENOBUFS, -ENOBUFS);
	CHECK_EQUAL(rota_conn_write(conn, rota_view_of(bytes, 1)), -ENOBUFS);
	rota_conn_close(conn);
}

static int64_t answer_after_end(struct rota_conn *conn)
{
	CHECK_EQUAL(t_drain(conn), 5);
	t_say(conn, "got it all");
	CHECK_EQUAL(rota_conn_shutdown_write(conn), 0);
	/* both sides are shut: that is no reason to cancel anybody */
	CHECK_EQUAL(rota_sleep_ms(5), 0);
	CHECK_EQUAL(rota_conn_write(conn, rota_view_of("x", 1)), -EPIPE);
	return 0;
}

static void half_closed_connections_still_answer(struct t_net *net)
{
	struct rota_conn *conn;

	serve(net, answer_after_end);
	conn = t_connect(net);
	t_say(conn, "12345");
	CHECK_EQUAL(rota_conn_shutdown_write(conn), 0);
	HEAR(conn, "got it all");
	HEAR_END(conn);
	t_until(&seen.ended, 1);
	rota_conn_close(conn);
}

/* More than a paused reader takes at once, and less than sockets hold that nobody reads. */
enum { FIRST_PART = 3000, LAST_PART = 20000 };

static _Atomic uint32_t may_finish, has_finished;

static int64_t finish_while_nobody_reads(struct rota_conn *conn)
{
	static const char bytes[LAST_PART];

	CHECK_EQUAL(rota_conn_write(conn, rota_view_of(bytes, FIRST_PART)), FIRST_PART);
	t_until(&may_finish, 1);
	CHECK_EQUAL(rota_conn_write(conn, rota_view_of(bytes, LAST_PART)), LAST_PART);
	CHECK_EQUAL(rota_conn_shutdown_write(conn), 0);
	has_finished = 1;
	return t_drain(conn);
}

/* Until it only watches for the peer leaving, or no longer. */
static void until_watching(const struct rota_conn *conn, bool watches)
{
	while ((conn->receive_is_poll && !conn->is_deaf) != watches)
		if (!CHECK_EQUAL(rota_sleep_until(rota_after_ns(50000)), 0))
			return;
}

/*
 * Both sides shut theirs while the reader is paused above its mark: the kernel calls that a
 * hang-up, and what the peer sent before is still in the socket.
 */
static void finish_behind_a_paused_reader(struct t_net *net, bool peer_is_first)
{
	struct rota_conn_limits limits = { .input_high_bytes = 1000 };
	struct rota_conn *conn;

	may_finish = has_finished = 0;
	serve(net, finish_while_nobody_reads);
	conn = t_connect_limited(net, &limits);
	until_watching(conn, true);
	if (peer_is_first) {
		may_finish = 1;
		t_until(&has_finished, 1);
	}
	CHECK_EQUAL(rota_conn_shutdown_write(conn), 0);
	may_finish = 1;
	until_watching(conn, false); /* the hang-up has been seen */
	CHECK_EQUAL(conn->error, 0);
	CHECK_EQUAL(t_drain(conn), FIRST_PART + LAST_PART);
	HEAR_END(conn);
	rota_conn_close(conn);
	t_until(&seen.ended, 1);
	CHECK_EQUAL(seen.result, 0);
}

static void what_both_sides_sent_before_they_shut_is_read(struct t_net *net)
{
	finish_behind_a_paused_reader(net, false);
	finish_behind_a_paused_reader(net, true);
}

static int64_t shout(struct rota_conn *conn)
{
	static char bytes[300000];

	rota_output_write(rota_conn_output(conn), bytes, sizeof(bytes));
	return 0;
}

static void what_was_written_before_the_close_arrives(struct t_net *net)
{
	struct rota_conn *conn;

	serve(net, shout);
	conn = t_connect(net);
	CHECK_EQUAL(t_drain(conn), 300000);
	rota_conn_close(conn);
	/* and the other way: closed at once, with output pending */
	serve(net, t_drain);
	conn = t_connect(net);
	rota_output_write(rota_conn_output(conn), "abc", 3);
	rota_conn_close(conn);
	t_until(&seen.ended, 1);
	CHECK_EQUAL(seen.result, 3);
}

/* ---- ends ---- */

static int64_t reset_the_client(struct rota_conn *conn)
{
	/* unread bytes at the close make it a reset */
	struct rota_view view;

	rota_ignore(rota_conn_peek(conn, 3, &view), "they are there");
	rota__conn_abort(conn, -ECONNABORTED, ROTA_CANCEL_BY_HAND, "by the test");
	return 0;
}

/* The connection is the caller's until it closes it, dead or not. */
static void a_dead_connection_stays_until_it_is_closed(struct t_net *net)
{
	struct rota_conn *conn;
	struct rota_view view;

	serve(net, reset_the_client);
	conn = t_connect(net);
	t_say(conn, "abc");
	t_until(&seen.ended, 1);
	rota_ignore(rota_sleep_ms(5), "the end arrives");
	CHECK_WITHIN(rota_conn_read(conn, &view), -ECONNRESET, 0);
	rota_ignore(rota_conn_write(conn, rota_view_of("x", 1)), "may still be taken");
	rota_ignore(rota_sleep_ms(5), "a reset answers");
	CHECK_WITHIN(rota_conn_write(conn, rota_view_of("x", 1)), -ECONNRESET, 1);
	CHECK_WITHIN(rota_conn_memory_bytes(conn), 1, 10000);
	rota_conn_close(conn);
}

static void nobody_listens(struct t_net *net)
{
	struct rota_address address;
	struct rota_conn *conn;

	CHECK_EQUAL(rota_address_parse(&address, "127.0.0.1", 1), 0);
	CHECK_EQUAL(rota_connect(&address, NULL, &conn), -ECONNREFUSED);
	(void)net;
}

static void unix_sockets_serve(struct t_net *net)
{
	struct rota_listener_options options = { .handler = handle, .name = "test" };
	struct rota_address peer;
	struct rota_conn *conn;
	char path[100];

	snprintf(path, sizeof(path), "build/test_net.%d.sock", rand());
	CHECK_EQUAL(rota_address_local(&options.address, path), 0);
	serve_one = echo;
	memset(&seen, 0, sizeof(seen));
	t_serve(net, &options);
	conn = t_connect(net);
	t_say(conn, "hello");
	HEAR(conn, "hello");
	CHECK_EQUAL(rota_conn_address(conn, true, &peer), 0);
	CHECK_EQUAL(rota_conn_shutdown_write(conn), 0);
	HEAR_END(conn);
	rota_conn_close(conn);
	t_until(&seen.ended, 1);
	rota_ignore(remove(path), "the simulator makes no file");
}

static void idle_connections_are_closed_and_busy_ones_are_not(struct t_net *net)
{
	struct rota_conn_limits limits = { .idle_timeout_ns = 30 * ROTA_NS_PER_MS };
	/*
	 * Real time may pass between two lines; that speaking keeps it open shows in virtual time.
	 */
	int words = net->is_simulated ? 4 : 0;
	struct rota_conn *idle;
	rota_ns began = rota_now();

	serve_limited(net, t_drain, &limits);
	idle = t_connect(net);
	for (int i = 0; i < words; i++) {
		t_say(idle, "x");
		CHECK_EQUAL(rota_sleep_ms(15), 0);
	}
	if (words)
		CHECK_EQUAL(t_server_stats(net).idle_closes, 0);
	t_until(&seen.ended, 1);
	CHECK_EQUAL(seen.result, -ETIMEDOUT);
	CHECK_WITHIN(rota_now() - began, (words ? 60 : 20) * ROTA_NS_PER_MS, INT64_MAX);
	CHECK_EQUAL(t_server_stats(net).idle_closes, 1);
	rota_conn_close(idle);
	/*
	 * A handler that works on something else is not idle. In real time it might be idle before
	 * its first word arrives.
	 */
	if (!net->is_simulated)
		return;
	memset(&seen, 0, sizeof(seen));
	serve_limited(net, sulk, &limits);
	idle = t_connect(net);
	t_say(idle, "x");
	CHECK_EQUAL(rota_sleep_ms(150), 0);
	CHECK_EQUAL(seen.ended, 0);
	rota_conn_close(idle);
}

static int64_t set_idle_timeout(void *arg)
{
	rota_net_set_idle_timeout(*(const rota_ns *)arg);
	return 0;
}

static void idle_timeout_changes_for_those_that_are_there(struct t_net *net)
{
	struct rota_conn_limits limits = { .idle_timeout_ns = 0 };
	rota_ns forever = 0, short_time = 30 * ROTA_NS_PER_MS;
	struct rota_conn *before, *after;

	serve_limited(net, t_drain, &limits);
	before = t_connect(net);
	t_say(before, "x");
	CHECK_EQUAL(rota_sleep_ms(100), 0);
	CHECK_EQUAL(seen.ended, 0);
	CHECK_EQUAL(rota_call_on(net->server, set_idle_timeout, &short_time), 0);
	after = t_connect(net);
	t_until(&seen.ended, 2);
	CHECK_EQUAL(t_server_stats(net).idle_closes, 2);
	rota_conn_close(before);
	rota_conn_close(after);
	/* And back: who comes now, or is there, may stay. */
	memset(&seen, 0, sizeof(seen));
	before = t_connect(net);
	CHECK_EQUAL(rota_call_on(net->server, set_idle_timeout, &forever), 0);
	after = t_connect(net);
	CHECK_EQUAL(rota_sleep_ms(100), 0);
	/* In real time the first may have been cut off before. */
	CHECK_EQUAL(net->is_simulated ? seen.ended : 0, 0);
	rota_conn_close(before);
	rota_conn_close(after);
}

static rota_ns pondering_ns;

static int64_t answer_after_pondering(struct rota_conn *conn)
{
	struct rota_view view;

	while (rota_conn_read(conn, &view) > 0) {
		rota_ignore(rota_sleep_until(rota_after_ns(pondering_ns)), "as long");
		t_say(conn, "answer\n");
	}
	return 0;
}

/*
 * Virtual time: idleness is counted from when the handler waits for its peer, or an answer that
 * took long could be cut off by the timer that had seen it busy.
 */
static void a_long_handler_has_its_answer_sent(struct t_net *net)
{
	struct rota_conn_limits limits = { .idle_timeout_ns = 20 * ROTA_NS_PER_MS };

	if (!net->is_simulated)
		return;
	for (int i = 0; i < 1000; i++) {
		struct rota_conn *conn;

		pondering_ns = 19800000 + i * 300;
		serve_limited(net, answer_after_pondering, &limits);
		conn = t_connect(net);
		t_say(conn, "?");
		HEAR(conn, "answer\n");
		rota_conn_close(conn);
		t_until(&seen.ended, 1);
	}
}

static int64_t say_goodbye(struct rota_conn *conn)
{
	t_say(conn, "bye\n");
	return 0;
}

static void lingering_is_bounded(struct t_net *net)
{
	struct rota_conn_limits limits = { .linger_timeout_ns = 50 * ROTA_NS_PER_MS };
	static char bytes[65536];
	rota_ns began;
	int fd;

	serve_limited(net, say_goodbye, &limits);
	began = rota_now();
	fd = t_raw_connect(net);
	t_until(&seen.ended, 1);
	t_until_connections(net, 0); /* it says nothing */
	CHECK_WITHIN(rota_now() - began, 50 * ROTA_NS_PER_MS, INT64_MAX);
	t_raw_close(fd);
	limits.linger_timeout_ns = 1000 * ROTA_NS_PER_S;
	serve_limited(net, say_goodbye, &limits);
	fd = t_raw_connect(net);
	t_until(&seen.ended, 1);
	for (int i = 0; i < 400; i++) /* it talks and talks, and is cut off */
		if (t_raw_send(fd, bytes, sizeof(bytes)) < sizeof(bytes))
			break;
	t_until_connections(net, 0);
	t_raw_close(fd);
}

/* A peer that reads nothing while it dribbles bytes must not keep a finishing connection. */
static void a_finishing_connection_is_not_kept_by_input(struct t_net *net)
{
	struct rota_conn_limits limits = { .linger_timeout_ns = 50 * ROTA_NS_PER_MS };
	int fd;

	serve_limited(net, shout, &limits);
	fd = t_raw_connect(net);
	t_until(&seen.ended, 1);
	while (t_server_stats(net).connections) {
		rota_ignore(t_raw_send(fd, "x", 1), "it may have been reset");
		if (!CHECK_EQUAL(rota_sleep_ms(10), 0))
			break;
	}
	t_raw_close(fd);
}

/* ---- closing a listener ---- */

enum { WAITING = 20 };

struct backlog {
	struct rota_listener *listener;
	const struct rota_address *address;
	int fds[WAITING];
};

static int64_t close_listener(void *arg)
{
	struct backlog *backlog = arg;

	rota_listener_close(backlog->listener);
	return 0;
}

static int64_t talk_if_accepted(void *arg)
{
	static unsigned moment; /* each at another one, on both sides of the close */
	struct t_net *net = arg;
	struct rota_conn *conn;
	int status;

	rota_ignore(rota_sleep_until(rota_after_ns(++moment % 40 * 1000)), "checked below");
	status = rota_connect(&net->address, NULL, &conn);
	if (status == 0) {
		t_say(conn, "hello");
		HEAR(conn, "hello");
		rota_conn_close(conn);
	} else {
		CHECK_EQUAL(status, -ECONNREFUSED);
	}
	return 0;
}

/*
 * Whoever connects while a listener closes is refused or served, and never reset. A kernel still
 * lets one in between the last accept and the close; the simulator has no such moment.
 */
static void what_waits_when_a_listener_closes_is_served(struct t_net *net)
{
	struct rota_listener_options options = { .handler = handle, .name = "test" };
	struct backlog backlog = { .listener = NULL };
	struct rota_scope scope;

	if (!net->is_simulated)
		return;
	memset(&seen, 0, sizeof(seen));
	serve_one = echo;
	for (int round = 0; round < 50; round++) {
		backlog.listener = t_serve(net, &options);
		rota_scope_open(&scope, ROTA_NEVER);
		for (int i = 0; i < WAITING; i++)
			CHECK_EQUAL(rota_spawn(&scope, talk_if_accepted, net), 0);
		rota_ignore(rota_sleep_until(rota_after_ns(20000)), "in the middle of them");
		CHECK_EQUAL(rota_call_on(net->server, close_listener, &backlog), 0);
		CHECK_EQUAL(rota_scope_close(&scope), 0);
	}
	CHECK_WITHIN(seen.ended, 1, 50 * WAITING);
}

/* Connect behind the engine's back, so that it has no chance to accept before the close. */
static int64_t fill_backlog_and_close(void *arg)
{
	struct backlog *backlog = arg;

	for (int i = 0; i < WAITING; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		backlog->fds[i] = fd;
		CHECK_EQUAL(connect(fd, &backlog->address->any, backlog->address->bytes), 0);
		CHECK_EQUAL(send(fd, "hello", 5, 0), 5);
	}
	return close_listener(backlog);
}

static void a_full_backlog_is_served_although_nobody_accepted(struct t_net *net)
{
	struct rota_listener_options options = { .handler = handle, .name = "test" };
	struct backlog backlog = { .address = &net->address };
	char reply[8];

	memset(&seen, 0, sizeof(seen));
	serve_one = echo;
	backlog.listener = t_serve(net, &options);
	CHECK_EQUAL(rota_call_on(net->server, fill_backlog_and_close, &backlog), 0);
	for (int i = 0; i < WAITING; i++) {
		CHECK_WITHIN(rota_poll_fd(backlog.fds[i], POLLIN), 1, POLLIN);
		CHECK_EQUAL(recv(backlog.fds[i], reply, sizeof(reply), MSG_DONTWAIT), 5);
		t_raw_close(backlog.fds[i]);
	}
	t_until(&seen.ended, WAITING);
}

/* ---- stopping in the middle ---- */

static int64_t stop_server(void *arg)
{
	struct t_net *net = arg;

	for (unsigned i = 0; i < net->reactors_count; i++)
		rota_reactor_stop(net->reactors[i]);
	return 0;
}

static void stopping_ends_readers_and_writers(struct t_net *net)
{
	static char bytes[1 << 20];
	struct rota_scope scope;
	struct rota_conn *reading, *writing, *late;
	struct rota_view view;
	int64_t n;

	serve(net, sulk);
	reading = t_connect(net);
	writing = t_connect(net);
	t_say(reading, "x");
	t_say(writing, "x");
	t_until(&seen.started, 2);
	stop_server(net);
	while ((n = rota_conn_write(writing, rota_view_of(bytes, sizeof(bytes)))) > 0)
		;
	CHECK(n == -ECANCELED || n == -ECONNRESET); /* the other reactor may have been quicker */
	while (rota_sleep_ms(1) == 0)
		;
	CHECK_EQUAL(rota_conn_write(writing, rota_view_of("x", 1)), -ECANCELED);
	CHECK_EQUAL(rota_conn_read(reading, &view), -ECANCELED);
	CHECK_EQUAL(rota_why()->kind, ROTA_CANCEL_SHUTDOWN);
	CHECK_EQUAL(rota_connect(&net->address, NULL, &late), -ECANCELED);
	rota_shield(&scope, ROTA_NEVER);
	CHECK_WITHIN(rota_conn_read(reading, &view), -4096, 0);
	CHECK_EQUAL(rota_connect(&net->address, NULL, &late), -ROTA_ECLOSING);
	CHECK_EQUAL(rota_scope_close(&scope), 0);
	rota_conn_close(reading);
	rota_conn_close(writing);
}

static const struct t_scenario scenarios[] = {
	SCENARIO(echo_returns_what_it_got),
	SCENARIO(peek_waits_and_consume_takes),
	SCENARIO(a_view_lives_until_the_next_read),
	SCENARIO(big_transfers_arrive_whole),
	SCENARIO(a_handler_may_outlive_its_client),
	SCENARIO(a_writer_suspends_above_the_mark_and_can_be_cancelled),
	SCENARIO(writing_beyond_the_limit_fails),
	SCENARIO(half_closed_connections_still_answer),
	SCENARIO(what_both_sides_sent_before_they_shut_is_read),
	SCENARIO(what_was_written_before_the_close_arrives),
	SCENARIO(a_dead_connection_stays_until_it_is_closed),
	SCENARIO(nobody_listens),
	SCENARIO(unix_sockets_serve),
	SCENARIO(idle_connections_are_closed_and_busy_ones_are_not),
	SCENARIO(idle_timeout_changes_for_those_that_are_there),
	SCENARIO(a_long_handler_has_its_answer_sent),
	SCENARIO(lingering_is_bounded),
	SCENARIO(a_finishing_connection_is_not_kept_by_input),
	SCENARIO(what_waits_when_a_listener_closes_is_served),
	{ .name = "a_full_backlog_is_served_although_nobody_accepted",
	  .run = a_full_backlog_is_served_although_nobody_accepted,
	  .needs_kernel = true },
	SCENARIO(stopping_ends_readers_and_writers),
	{ .name = NULL },
};

int main(int argc, char **argv)
{
	return t_net_main(scenarios, argc, argv);
}
