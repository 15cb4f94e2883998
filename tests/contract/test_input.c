/* SPDX-License-Identifier: MIT */
/*
 * What is received, against a model: whatever pieces it comes in, and in whatever steps it is
 * consumed, a reader sees each byte once and in order, on every engine. Layer: tests.
 *
 *	test_input [ROW [SCENARIO]]
 *
 * The one idea: what is sent is a pattern by position, so that a reader knows what it must see. It
 * draws what it does with that: consume all, a part or nothing, ask for more, suspend. With small
 * receive buffers a view ends in the middle of nearly everything it asks for.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backends/backends.h"
#include "framework/net_internal.h"
#include "tests/contract/net_bench.h"
#include "tests/support/t_alloc.h"

#define CLIENTS 6
/* Asked for at once, and sent at once, at most. */
#define PIECE_MAX 3000

enum ending { TO_THE_END, ABORT, FINISH, FAIL, LEAVE };

/* Set by each scenario, between two connections. */
static _Atomic uint64_t total_bytes;
static _Atomic enum ending ending;
static _Atomic uint32_t end_seed;

static struct {
	_Atomic uint32_t done, closed;
	_Atomic uint32_t lines;  /* calls with a line behind what they saw */
	_Atomic uint32_t widest; /* view, in bytes */
} seen;

/* ---- the model ---- */

struct reading {
	uint64_t at;    /* consumed */
	uint64_t least; /* of the next view */
	uint64_t end_at;
	uint32_t drawn;
};

static uint32_t draw(uint32_t *drawn, uint64_t below)
{
	*drawn = *drawn * 1664525 + 1013904223;
	return (uint32_t)((*drawn >> 8) % below);
}

static void begin_reading(struct reading *reading, uint32_t seed)
{
	*reading = (struct reading){ .drawn = seed * 2654435761u, .end_at = UINT64_MAX };
	if (ending != TO_THE_END && ending != LEAVE)
		reading->end_at = draw(&reading->drawn, total_bytes / 2);
}

static bool is_pattern(struct rota_view view, uint64_t at)
{
	for (size_t i = 0; i < view.bytes; i++)
		if (!CHECK_EQUAL(view.data[i], t_pattern_at(at + i)))
			return false;
	return true;
}

static void look(const struct reading *reading, struct rota_view view)
{
	CHECK_WITHIN(view.bytes, reading->least, total_bytes - reading->at);
	is_pattern(view, reading->at);
	if (view.bytes > seen.widest)
		seen.widest = (uint32_t)view.bytes;
}

/* ---- a session that reads ---- */

static _Atomic uint32_t sessions;

static int on_open(struct rota_session *session)
{
	begin_reading(rota_session_state(session), ++sessions + end_seed);
	return 0;
}

/* Nothing is held while a handler is suspended, and what came meanwhile is offered later. */
static int suspend(struct rota_session *session, uint32_t *drawn)
{
	const struct rota_conn *conn = rota_session_conn(session);
	int status = draw(drawn, 2) ? rota_yield()
				    : rota_sleep_until(rota_after_ns(draw(drawn, 200000)));

	CHECK(!conn->in_data || conn->state != CONN_OPEN);
	CHECK(!conn->line);
	return status;
}

static int64_t end_session(struct rota_session *session, struct rota_view bytes)
{
	if (ending == ABORT)
		rota_session_abort(session, "by the test");
	else if (ending == FINISH)
		rota_session_finish(session);
	return ending == FAIL ? -EPROTO : (int64_t)bytes.bytes / 2;
}

static int64_t on_bytes(struct rota_session *session, struct rota_view bytes)
{
	struct reading *reading = rota_session_state(session);
	uint64_t left = total_bytes - reading->at;
	uint64_t take = bytes.bytes, need = 0;

	look(reading, bytes);
	if (rota_session_conn(session)->line)
		seen.lines++;
	if (reading->at + bytes.bytes > reading->end_at)
		return end_session(session, bytes);
	switch (draw(&reading->drawn, 8)) {
	case 0: /* look at more of the same */
		take = 0;
		break;
	case 1:
	case 2:
		take = draw(&reading->drawn, take + 1);
		break;
	case 3: /* ask for what may be there */
		take = draw(&reading->drawn, take + 1);
		need = 1 + draw(&reading->drawn, PIECE_MAX);
		break;
	case 4:
		take = draw(&reading->drawn, take + 1);
		if (suspend(session, &reading->drawn) < 0)
			return -ECANCELED;
		break;
	default:
		break;
	}
	if (!take && bytes.bytes == left)
		take = left; /* there is no more to see */
	need = rota_min_size(need, left - take);
	if (need)
		rota_session_need(session, need);
	reading->least = need;
	if (!take && need <= bytes.bytes)
		reading->least = bytes.bytes + 1;
	reading->at += take;
	if (reading->at == total_bytes) {
		rota_output_write(rota_session_output(session), "done\n", 5);
		seen.done++;
	}
	return (int64_t)take;
}

static void on_close(struct rota_session *session, int reason)
{
	(void)session;
	(void)reason;
	seen.closed++;
}

static const struct rota_protocol reader = {
	.name = "reader",
	.session_bytes = sizeof(struct reading),
	.on_open = on_open,
	.on_bytes = on_bytes,
	.on_close = on_close,
};

/* ---- a task that reads ---- */

/* What it looks at stays as it is, whatever comes meanwhile. */
static int stay(const struct reading *reading, struct rota_view view, uint32_t *drawn)
{
	int status = draw(drawn, 3) ? 0 : rota_sleep_until(rota_after_ns(draw(drawn, 200000)));

	is_pattern(view, reading->at);
	return status;
}

static int64_t read_once(struct rota_conn *conn, struct reading *reading)
{
	uint32_t *drawn = &reading->drawn;
	struct rota_view view;
	int64_t n;
	int status;

	reading->least = 1;
	if (draw(drawn, 2)) {
		n = rota_conn_read(conn, &view);
		if (n <= 0)
			return n < 0 ? n : -ENODATA;
		look(reading, view);
		status = stay(reading, view, drawn);
		reading->at += view.bytes;
		return status;
	}
	reading->least += draw(drawn, rota_min_size(PIECE_MAX, total_bytes - reading->at));
	n = rota_conn_peek(conn, reading->least, &view);
	if (n < (int64_t)reading->least)
		return n < 0 ? n : -ENODATA; /* it ends before */
	look(reading, view);
	status = stay(reading, view, drawn);
	for (int i = 0; i < 2; i++) {
		size_t part = draw(drawn, view.bytes + 1);

		rota_conn_consume(conn, part);
		view = rota_view_of(view.data + part, view.bytes - part);
		reading->at += part;
		is_pattern(view, reading->at); /* it is still borrowed */
	}
	return status;
}

static int64_t read_all(struct rota_conn *conn, void *arg)
{
	struct reading reading;
	int64_t status = 0;

	(void)arg;
	begin_reading(&reading, ++sessions + end_seed);
	while (status == 0 && reading.at < total_bytes && reading.at <= reading.end_at) {
		status = read_once(conn, &reading);
		if (conn->line)
			seen.lines++;
	}
	if (reading.at == total_bytes) {
		seen.done++;
		rota_output_write(rota_conn_output(conn), "done\n", 5);
	}
	seen.closed++;
	return 0;
}

/* ---- those who write ---- */

struct writing {
	struct t_net *net;
	uint32_t drawn;
};

static char pattern[1 << 20];

static int64_t write_in_pieces(void *arg)
{
	struct writing *writing = arg;
	struct rota_conn *conn = t_connect(writing->net);
	uint64_t at = 0;

	if (!conn)
		return -EIO;
	while (at < total_bytes) {
		size_t part = rota_min_size(1 + draw(&writing->drawn, PIECE_MAX), total_bytes - at);

		/* A few large ones, so that many buffers fill at once. */
		if (!draw(&writing->drawn, 8))
			part = rota_min_size(10 * PIECE_MAX, total_bytes - at);
		if (!CHECK_EQUAL(rota_conn_write(conn, rota_view_of(pattern + at, part)), part))
			break;
		at += part;
		if (!draw(&writing->drawn, 4))
			rota_ignore(rota_sleep_until(rota_after_ns(50000)), "a gap");
	}
	HEAR(conn, "done\n");
	rota_conn_close(conn);
	return 0;
}

static void serve(struct t_net *net, bool is_protocol, size_t high_bytes)
{
	struct rota_listener_options options = {
		.name = "test",
		.limits = { .input_high_bytes = high_bytes,
			    .linger_timeout_ns = 10 * ROTA_NS_PER_MS },
	};

	if (is_protocol)
		options.protocol = &reader;
	else
		options.handler = read_all;
	total_bytes = net->is_rough ? 30000 : 200000;
	ending = TO_THE_END;
	end_seed = sessions = 0;
	memset(&seen, 0, sizeof(seen));
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = t_pattern_at(i);
	t_serve(net, &options);
}

static void read_and_compare(struct t_net *net, bool is_protocol, size_t high_bytes)
{
	struct writing writings[CLIENTS];
	struct rota_scope scope;

	serve(net, is_protocol, high_bytes);
	rota_scope_open(&scope, ROTA_NEVER);
	for (unsigned i = 0; i < CLIENTS; i++) {
		writings[i] = (struct writing){ .net = net, .drawn = i * 77 };
		if (!CHECK_EQUAL(rota_spawn(&scope, write_in_pieces, &writings[i]), 0))
			break;
	}
	CHECK_EQUAL(rota_scope_close(&scope), 0);
	t_until(&seen.closed, CLIENTS);
	CHECK_EQUAL(seen.done, CLIENTS);
	CHECK_WITHIN(seen.widest, PIECE_MAX / 2, total_bytes);
}

/* A multishot receive, and buffers smaller than what is sent at once. */
static bool has_lines(const struct t_net *net)
{
	return net->row->engine == &rota_backend_uring && !strstr(net->row->options, "=off");
}

static void sessions_see_every_byte_once(struct t_net *net)
{
	read_and_compare(net, true, 0);
	read_and_compare(net, true, 1000);
}

static void sessions_see_every_byte_once_in_small_buffers(struct t_net *net)
{
	read_and_compare(net, true, 0);
	if (has_lines(net))
		CHECK_WITHIN(seen.lines, 1, UINT32_MAX);
	read_and_compare(net, true, 1000);
}

static void tasks_see_every_byte_once(struct t_net *net)
{
	read_and_compare(net, false, 0);
	read_and_compare(net, false, 1000);
}

static void tasks_see_every_byte_once_in_small_buffers(struct t_net *net)
{
	read_and_compare(net, false, 0);
	if (has_lines(net))
		CHECK_WITHIN(seen.lines, 1, UINT32_MAX);
	read_and_compare(net, false, 1000);
}

/* ---- ends: the reactor's end asserts that every buffer has come back ---- */

static void end_in_the_middle(struct t_net *net, bool is_protocol, enum ending how)
{
	enum { ROUNDS = 20 };

	serve(net, is_protocol, 0);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		size_t bytes = how == LEAVE ? total_bytes / 2 : total_bytes;
		int fd;

		ending = how;
		end_seed = i * 1000;
		fd = t_raw_connect(net);
		CHECK_WITHIN(t_raw_send(fd, pattern, bytes), 0, bytes); /* it may be reset */
		if (how == LEAVE)
			t_raw_close(fd);
		t_until(&seen.closed, i + 1);
		if (how != LEAVE)
			t_raw_close(fd);
	}
	CHECK_EQUAL(seen.done, 0);
}

static void sessions_may_end_with_a_line(struct t_net *net)
{
	for (enum ending how = ABORT; how <= LEAVE; how++)
		end_in_the_middle(net, true, how);
}

static void tasks_may_end_with_a_line(struct t_net *net)
{
	end_in_the_middle(net, false, FINISH);
	end_in_the_middle(net, false, LEAVE);
}

/* The bench stops the reactors when a scenario returns. */
static void a_reactor_may_stop_with_a_line(struct t_net *net)
{
	struct rota_conn *conn;

	serve(net, true, 0);
	conn = t_connect(net);
	rota_output_write(rota_conn_output(conn), pattern, total_bytes / 2);
	while (!seen.widest)
		if (!CHECK_EQUAL(rota_sleep_until(rota_after_ns(50000)), 0))
			break;
	rota_conn_close(conn);
}

/* ---- an end that looks orderly ---- */

static int64_t reset_under_a_send(struct rota_conn *conn, void *arg)
{
	struct rota_view view;

	(void)arg;
	rota_ignore(rota_conn_read(conn, &view), "the rest stays unread");
	CHECK_EQUAL(conn->reactor->engine->shutdown(conn->reactor->backend, conn->send.fd,
						    ROTA_SHUT_RESET),
		    0);
	rota__conn_abort(conn, -ECONNABORTED, ROTA_CANCEL_BY_HAND, "by the test");
	return 0;
}

static int64_t send_until_it_is_dead(void *arg)
{
	static const char bytes[20000];
	struct rota_conn *conn = arg;

	while (!conn->error) {
		if (!conn->output.pending_bytes)
			rota_output_write(rota_conn_output(conn), bytes, sizeof(bytes));
		rota_ignore(rota_sleep_until(rota_after_ns(20000)), "it is being sent");
	}
	return 0;
}

/* The send may be told of it first; the end of the stream that is left then is no orderly one. */
static void a_reset_is_told_to_the_reader_though_a_send_is_under_way(struct t_net *net)
{
	struct rota_listener_options options = { .handler = reset_under_a_send };
	enum { ROUNDS = 100 };

	t_serve(net, &options);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct rota_scope scope;
		struct rota_conn *conn;
		struct rota_view view;

		conn = t_connect(net);
		rota_scope_open(&scope, ROTA_NEVER);
		CHECK_EQUAL(rota_spawn(&scope, send_until_it_is_dead, conn), 0);
		CHECK_WITHIN(rota_conn_read(conn, &view), -4096, -1);
		CHECK_EQUAL(rota_scope_close(&scope), 0);
		rota_conn_close(conn);
	}
}

/* ---- what is copied ---- */

#define RECORD_BYTES 100

/* Whole records, as many as there are: the last of a buffer is mostly cut in two. */
static int64_t take_records(struct rota_session *session, struct rota_view bytes)
{
	struct reading *reading = rota_session_state(session);
	size_t take = bytes.bytes / RECORD_BYTES * RECORD_BYTES;

	look(reading, bytes);
	reading->at += take;
	reading->least = take ? 1 : bytes.bytes + 1;
	if (reading->at == total_bytes)
		seen.done++;
	return (int64_t)take;
}

static int64_t take_all(struct rota_session *session, struct rota_view bytes)
{
	struct reading *reading = rota_session_state(session);

	look(reading, bytes);
	reading->at += bytes.bytes;
	if (reading->at == total_bytes)
		seen.done++;
	return (int64_t)bytes.bytes;
}

static uint64_t copied_of_a_bulk(struct t_net *net,
				 int64_t (*fn)(struct rota_session *, struct rota_view))
{
	static struct rota_protocol bulk;
	struct rota_listener_options options = { .protocol = &bulk };
	uint64_t before;
	int fd;

	bulk = reader;
	bulk.on_bytes = fn;
	serve(net, true, 0);
	total_bytes = sizeof(pattern) / RECORD_BYTES * RECORD_BYTES;
	t_serve(net, &options);
	before = t_server_stats(net).copied_bytes;
	fd = t_raw_connect(net);
	CHECK_EQUAL(t_raw_send(fd, pattern, total_bytes), total_bytes);
	t_until(&seen.done, 1);
	t_raw_close(fd);
	t_until(&seen.closed, 1);
	return t_server_stats(net).copied_bytes - before;
}

static void what_is_consumed_at_once_is_never_copied(struct t_net *net)
{
	if (!net->is_rough) /* there are few buffers then */
		CHECK_EQUAL(copied_of_a_bulk(net, take_all), 0);
}

static void only_the_ends_of_buffers_are_copied(struct t_net *net)
{
	uint64_t copied;

	if (net->is_simulated)
		return; /* buffers of 2 KiB: there are ends everywhere */
	copied = copied_of_a_bulk(net, take_records);
	CHECK_WITHIN(copied, 1, total_bytes / 2);
}

/* ---- memory ---- */

static size_t fail_number;
static int fails_alone; /* of what is to fail, only one allocation does */
static bool fails_in_protocol;

/*
 * Nothing checks that it comes about: the readers check that what they see is without a gap, and
 * the bench that nothing is left.
 */
static void fallible_upload(struct t_net *net)
{
	struct rota_listener_options options = { .protocol = &reader, .name = "test" };
	struct rota_listener *listener;
	struct rota_conn *conn;
	struct rota_view view;

	if (!fails_in_protocol) {
		options.protocol = NULL;
		options.handler = read_all;
	}
	total_bytes = 20000;
	sessions = 0;
	memset(&seen, 0, sizeof(seen));
	if (fails_alone)
		t_alloc_fail_at(fail_number);
	else
		t_alloc_fail_from(fail_number);
	if (rota_address_parse(&options.address, "127.0.0.1", 0) < 0 ||
	    rota_listener_open(&options, &listener) < 0 ||
	    rota_listener_address(listener, &net->address) < 0 ||
	    rota_connect(&net->address, NULL, &conn) < 0)
		return;
	if (rota_conn_write(conn, rota_view_of(pattern, total_bytes)) > 0)
		while (rota_conn_read(conn, &view) > 0 && !seen.done)
			;
	rota_conn_close(conn);
}

/* Whatever allocation fails, alone or with all that follow. Returns how many runs were whole. */
static unsigned sweep(const char *options)
{
	static const struct t_row row = { &rota_backend_sim, "", 1 };
	bool any_failed = true;
	unsigned whole = 0;

	for (fail_number = 1; any_failed; fail_number++) {
		any_failed = false;
		for (fails_alone = 0; fails_alone < 2; fails_alone++) {
			assert_int_equal(t_net_run(&row, options, fallible_upload), 0);
			any_failed |= t_alloc_failures() > 0;
			whole += seen.done;
			t_alloc_fail_at(0);
			if (t_alloc_live())
				fail_msg("%zu blocks are out after allocation %zu failed",
					 t_alloc_live(), fail_number);
		}
	}
	assert_true(fail_number > 20);
	return whole;
}

static void test_every_failed_allocation_leaves_no_gap(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = t_pattern_at(i);
	t_alloc_install();
	for (int i = 0; i < 2; i++) {
		fails_in_protocol = i;
		assert_true(sweep("seed=1,buffers=16x256") > 2);
		assert_true(sweep("seed=2,rough,buffers=16x256") > 2);
	}
	t_alloc_remove();
}

/* ---- the table ---- */

#define IN_SMALL_BUFFERS(function)                                                                 \
	{                                                                                          \
		.name = #function, .run = function, .options = "buffers=16x256"                    \
	}

static const struct t_scenario scenarios[] = {
	SCENARIO(sessions_see_every_byte_once),
	IN_SMALL_BUFFERS(sessions_see_every_byte_once_in_small_buffers),
	SCENARIO(tasks_see_every_byte_once),
	IN_SMALL_BUFFERS(tasks_see_every_byte_once_in_small_buffers),
	SCENARIO(sessions_may_end_with_a_line),
	IN_SMALL_BUFFERS(sessions_may_end_with_a_line),
	SCENARIO(tasks_may_end_with_a_line),
	IN_SMALL_BUFFERS(tasks_may_end_with_a_line),
	SCENARIO(a_reactor_may_stop_with_a_line),
	IN_SMALL_BUFFERS(a_reactor_may_stop_with_a_line),
	SCENARIO(a_reset_is_told_to_the_reader_though_a_send_is_under_way),
	SCENARIO(what_is_consumed_at_once_is_never_copied),
	SCENARIO(only_the_ends_of_buffers_are_copied),
	{ .name = NULL },
};

int main(int argc, char **argv)
{
	static const struct CMUnitTest sweeps[] = {
		cmocka_unit_test(test_every_failed_allocation_leaves_no_gap),
	};
	int failed = argc == 1 ? cmocka_run_group_tests(sweeps, NULL, NULL) : 0;

	return failed + t_net_main(scenarios, argc, argv);
}
