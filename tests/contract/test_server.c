/* SPDX-License-Identifier: MIT */
/*
 * Whole servers in this process, as <rota/server.h> promises them, on every engine: how they stop.
 * Layer: tests. Clients are tasks on the server's first reactor, started when it is ready.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "backends/backends.h"
#include "tests/contract/net_bench.h"

static const struct row {
	const char *backend;
	unsigned reactors;
	bool is_simulated;
} rows[] = {
	{ "uring", 1, false },
#ifndef __SANITIZE_THREAD__ /* see tests/contract/net_bench.c */
	{ "uring", 2, false },
#endif
	{ "epoll", 1, false },           { "epoll", 2, false },
	{ "sim:seed=1", 1, true },       { "sim:seed=2", 2, true },
	{ "sim:seed=3,rough", 1, true }, { "sim:seed=4,rough", 2, true },
	{ "sim:seed=5,rough", 2, true },
};

/* ---- the server ---- */

static int64_t echo_bytes(struct rota_session *session, struct rota_view bytes)
{
	rota_output_write(rota_session_output(session), bytes.data, bytes.bytes);
	return (int64_t)bytes.bytes;
}

static const struct rota_protocol echo_protocol = {
	.name = "echo",
	.on_open = rota_protocol_default_open,
	.on_bytes = echo_bytes,
	.on_close = rota_protocol_default_close,
};

static int64_t echo_task(struct rota_conn *conn, void *arg)
{
	struct rota_view in;
	int64_t n;

	(void)arg;
	while ((n = rota_conn_read(conn, &in)) > 0)
		if ((n = rota_conn_write(conn, in)) < 0)
			break;
	return n;
}

static struct rota_server *server; /* the one that runs */
static struct rota_address address;
static rota_task_fn scenario;

static void spawn_scenario(struct rota_server *ready, void *arg)
{
	(void)arg;
	server = ready;
	CHECK_EQUAL(rota_address_parse(&address, "127.0.0.1", rota_server_port(ready)), 0);
	CHECK_EQUAL(rota_spawn(rota_reactor_scope(rota_reactor_current()), scenario, NULL), 0);
}

/* Serve in both styles, and in both ways to spread, while `run` plays the clients. */
static void run_on(const struct row *row, rota_task_fn run)
{
	scenario = run;
	for (int variant = 0; variant < 4; variant++) {
		struct rota_service service = { .name = "echo" };
		struct rota_server_options options;

		if (variant % 2)
			service.handler = echo_task;
		else
			service.protocol = &echo_protocol;
		service.spread = variant / 2 ? ROTA_SPREAD_REUSE_PORT : ROTA_SPREAD_LEAST_LOADED;
		rota_server_options_init(&options, rota_backends);
		options.backend = row->backend;
		options.reactors = row->reactors;
		options.quiet = true;
		options.on_ready = spawn_scenario;
		CHECK_EQUAL(rota_serve(&service, &options), 0);
	}
}

static void run_everywhere(rota_task_fn run, bool needs_kernel)
{
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(rows); i++) {
		unsigned failures_before = t_failures();

		if (rows[i].is_simulated && needs_kernel)
			continue;
		run_on(&rows[i], run);
		if (t_failures() > failures_before)
			fail_msg("%s with %u reactors", rows[i].backend, rows[i].reactors);
	}
}

/* ---- stopping ---- */

enum { CLIENTS = 40 };

/* Behind the engines' back: all wait when the stop is asked for. */
static int64_t connect_send_and_stop(void *arg)
{
	int fds[CLIENTS];
	char reply[8];

	(void)arg;
	for (int i = 0; i < CLIENTS; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		CHECK_EQUAL(connect(fds[i], &address.any, address.bytes), 0);
		CHECK_EQUAL(send(fds[i], "hello", 5, 0), 5);
	}
	rota_server_stop(server);
	for (int i = 0; i < CLIENTS; i++) {
		CHECK_WITHIN(rota_poll_fd(fds[i], POLLIN), 1, INT32_MAX);
		CHECK_EQUAL(recv(fds[i], reply, sizeof(reply), MSG_DONTWAIT), 5);
		CHECK_WITHIN(rota_poll_fd(fds[i], POLLIN), 1, INT32_MAX);
		CHECK_EQUAL(recv(fds[i], reply, sizeof(reply), MSG_DONTWAIT), 0);
		close(fds[i]);
	}
	return 0;
}

static void test_stop_answers_those_who_wait_in_the_backlog(void **state)
{
	(void)state;
	run_everywhere(connect_send_and_stop, true);
}

static int64_t talk_unless_refused(void *arg)
{
	static unsigned moment; /* each at another one, on both sides of the stop */
	struct rota_conn *conn;
	int status = rota_sleep_until(rota_after_ns(++moment % CLIENTS * 1000));

	(void)arg;
	if (status == 0)
		status = rota_connect(&address, NULL, &conn);
	if (status < 0) {
		CHECK(status == -ECONNREFUSED || status == -ECANCELED);
		return 0;
	}
	t_say(conn, "hello");
	HEAR(conn, "hello");
	HEAR_END(conn); /* the server's, which stops */
	rota_conn_close(conn);
	return 0;
}

static int64_t stop_in_the_middle(void *arg)
{
	(void)arg;
	for (int i = 0; i < CLIENTS; i++)
		CHECK_EQUAL(rota_spawn(rota_reactor_scope(rota_reactor_current()),
				       talk_unless_refused, NULL),
			    0);
	rota_ignore(rota_sleep_until(rota_after_ns(CLIENTS / 2 * 1000)), "nobody cancels");
	rota_server_stop(server);
	return 0;
}

/*
 * Who connects while the server stops is refused or answered. Kernels let somebody in between the
 * last accept and the close now and then, the simulator does not.
 */
static void test_stop_refuses_or_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(rows); i++)
		for (int round = 0; rows[i].is_simulated && round < 20; round++)
			run_on(&rows[i], stop_in_the_middle);
	assert_int_equal(t_failures(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stop_answers_those_who_wait_in_the_backlog),
		cmocka_unit_test(test_stop_refuses_or_answers),
	};

	return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
