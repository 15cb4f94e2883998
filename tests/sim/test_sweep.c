/* SPDX-License-Identifier: MIT */
/*
 * A server and its client on two hosts, with one failure: the k-th allocation, or the k-th attempt
 * of an operation, for every k there is. Layer: tests.
 *
 * The one idea: whatever fails, each program comes to an end with a status and nothing is left. If
 * nothing failed, the client has got its answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <rota/memory.h>
#include <rota/rota.h>

#include "backends/sim/sim.h"
#include "tests/support/t_alloc.h"
#include "tests/support/t_core.h"

#define PORT 7
#define ROUNDS 3
#define FAILURES_MAX 100000 /* a run has fewer */

static const struct rota_backend_ops *const engines[] = { &rota_backend_sim, NULL };

static struct {
	struct rota_sim_world *world;
	struct rota_server *server;
	unsigned answered;
	bool is_over;
} run;

/* ---- the server ---- */

static int64_t echo(struct rota_conn *conn, void *arg)
{
	struct rota_view in;
	int64_t n;

	(void)arg;
	while ((n = rota_conn_read(conn, &in)) > 0)
		if ((n = rota_conn_write(conn, in)) < 0)
			break;
	return n;
}

static void ready(struct rota_server *server, void *arg)
{
	(void)arg;
	run.server = server;
	if (run.is_over)
		rota_server_stop(server);
}

static int serve(void *arg)
{
	struct rota_service service = { .name = "echo", .port = PORT, .handler = echo };
	struct rota_server_options options;
	int status;

	(void)arg;
	rota_server_options_init(&options, engines);
	options.backend = "sim:buffers=16x256";
	options.reactors = 2;
	options.binds[0] = "*";
	options.binds_count = 1;
	options.quiet = true;
	options.on_ready = ready;
	status = rota_serve(&service, &options);
	run.server = NULL;
	return status;
}

/* ---- the client ---- */

static int ask(struct rota_conn *conn)
{
	struct rota_view heard;
	int64_t status = rota_conn_write(conn, rota_view_of_string("hello"));

	if (status > 0)
		status = rota_conn_peek(conn, 5, &heard);
	if (status < 0)
		return (int)status;
	if (status < 5)
		return -EPIPE;
	T_CHECK(memcmp(heard.data, "hello", 5) == 0);
	rota_conn_consume(conn, 5);
	run.answered++;
	return 0;
}

static int64_t talk(void *arg)
{
	struct rota_address address = rota_sim_host_address(1, PORT);
	struct rota_conn *conn = NULL;
	struct rota_scope scope;
	int status = -1;

	(void)arg;
	rota_scope_open(&scope, rota_after_ms(3000));
	for (int tries = 0; status < 0 && tries < 5; tries++) {
		rota_ignore(rota_sleep_ms(10), "the server may still be starting");
		status = rota_connect(&address, NULL, &conn);
	}
	for (int i = 0; status == 0 && i < ROUNDS; i++)
		status = ask(conn);
	if (conn)
		rota_conn_close(conn);
	rota_ignore(rota_scope_close(&scope), "each call had its own status");
	return status;
}

static int call(void *arg)
{
	struct rota_reactor_options options = { .engine = &rota_backend_sim };
	int64_t status = rota_run(&options, talk, NULL);

	(void)arg;
	run.is_over = true;
	if (run.server)
		rota_server_stop(run.server);
	return (int)status;
}

/* ---- the sweeps ---- */

/* Returns the attempts of operations that the run has made. */
static uint64_t run_once(uint64_t seed, uint64_t fail_attempt)
{
	struct rota_sim_options options;
	uint64_t attempts;
	int booted;

	memset(&run, 0, sizeof(run));
	rota_sim_options_init(&options, seed);
	options.latency_min_ns = options.latency_max_ns = ROTA_NS_PER_MS;
	options.steps_max = 1000000;
	options.fail_attempt = fail_attempt;
	if (rota_sim_world_create(&options, &run.world) < 0)
		return 0;
	booted = rota_sim_host_boot(run.world, 1, serve, NULL);
	run.is_over = booted < 0;
	booted = rota_sim_host_boot(run.world, 2, call, NULL);
	run.is_over |= booted < 0; /* then the server has nobody to wait for */
	T_EQUAL(rota_sim_run(run.world), 0);
	T_CHECK(rota_sim_host_result(run.world, 1) != -EBUSY);
	T_CHECK(rota_sim_host_result(run.world, 2) != -EBUSY);
	attempts = rota_sim_attempts(run.world);
	rota_sim_world_use(NULL);
	T_EQUAL(rota_sim_world_destroy(run.world), 0);
	return attempts;
}

static void run_plainly(void *arg)
{
	(void)arg;
	run_once(1, 0);
}

static void test_sweep_every_allocation_fails_once_and_every_run_ends(void **state)
{
	size_t rounds;

	(void)state;
	run_plainly(NULL); /* what the thread keeps: the stacks of generators */
	assert_int_equal(run.answered, ROUNDS);
	t_alloc_install();
	rounds = t_alloc_sweep(run_plainly, NULL);
	t_alloc_remove();
	print_message("%zu runs\n", rounds);
	assert_true(rounds > 100);
}

static void test_sweep_every_operation_fails_once_and_every_run_ends(void **state)
{
	uint64_t attempts = 0, k = 1;

	(void)state;
	t_alloc_install();
	for (uint64_t seed = 1; seed <= t_rounds(20); seed++) {
		for (k = 1; k <= (attempts = run_once(seed, k)); k++)
			assert_true(k < FAILURES_MAX);
		/* Nothing has failed in the last one. */
		assert_int_equal(run.answered, ROUNDS);
	}
	t_alloc_remove();
	print_message("%llu operations\n", (unsigned long long)attempts);
	assert_true(attempts > 10);
}

/* Every failure is reported, hundreds of them. */
static void say_nothing(enum rota_log_level level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	(void)arg;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sweep_every_allocation_fails_once_and_every_run_ends),
		cmocka_unit_test(test_sweep_every_operation_fails_once_and_every_run_ends),
	};

	rota_log_to(ROTA_LOG_ERROR, say_nothing, NULL);
	return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}
