/* SPDX-License-Identifier: MIT */
/*
 * Whole programs on several hosts of one world: rota_serve on one, its clients on others.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <rota/rota.h>

#include "backends/sim/sim.h"
#include "tests/sim/hosts.h"
#include "tests/support/t_alloc.h"
#include "tests/support/t_core.h"

#define ROUNDS 10

static unsigned answered;

static int serve(void *arg)
{
	(void)arg;
	return t_hosts_serve_handler(t_echo);
}

/* It may come up before the server does. */
static struct rota_conn *arrive(void)
{
	struct rota_conn *conn;

	while (!(conn = t_arrive(T_PORT)))
		T_EQUAL(rota_sleep_ms(1), 0);
	return conn;
}

static int64_t talk(void *arg)
{
	struct rota_conn *conn = arrive();
	struct rota_view heard;

	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		T_EQUAL(rota_conn_write(conn, rota_view_of_string("hello")), 5);
		T_EQUAL(rota_conn_peek(conn, 5, &heard), 5);
		T_CHECK(memcmp(heard.data, "hello", 5) == 0);
		rota_conn_consume(conn, 5);
		answered++;
	}
	rota_conn_close(conn);
	return 3;
}

static uint64_t run_seed(uint64_t seed)
{
	static const struct t_hosts hosts = { .serve = serve, .client = talk, .clients_count = 2 };
	struct rota_sim_options options;
	struct t_outcome outcome;

	rota_sim_options_rough(&options, seed);
	options.latency_min_ns = ROTA_NS_PER_MS;
	options.latency_max_ns = 3 * ROTA_NS_PER_MS;
	options.loss_permille = 20;
	options.steps_max = 1000000;
	answered = 0;
	outcome = t_hosts_run(&hosts, &options);
	assert_int_equal(outcome.status, 0);
	assert_int_equal(outcome.results[T_SERVER], 0);
	assert_int_equal(outcome.results[T_CLIENT], 3);
	assert_int_equal(outcome.results[T_CLIENT + 1], 3);
	assert_int_equal(answered, 2 * ROUNDS);
	return outcome.hash;
}

static void test_run_server_and_clients_on_hosts_many_seeds(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= t_rounds(50); seed++)
		assert_true(run_seed(seed) == run_seed(seed));
}

static int64_t wait_for_nobody(void *arg)
{
	struct rota_future future;

	(void)arg;
	rota_future_init(&future);
	return rota_await(&future);
}

static int64_t pass_by(void *arg)
{
	(void)arg;
	return 0;
}

/* One run after another. */
static int get_stuck(void *arg)
{
	struct rota_reactor_options options = { .engine = &rota_backend_sim };

	(void)arg;
	T_EQUAL(rota_run(&options, pass_by, NULL), 0);
	return (int)rota_run(&options, wait_for_nobody, NULL);
}

static void test_run_deadlock_is_reported_and_every_program_ends(void **state)
{
	struct rota_sim_options options;
	struct rota_sim_world *world;

	(void)state;
	rota_sim_options_init(&options, 1);
	assert_int_equal(rota_sim_world_create(&options, &world), 0);
	assert_int_equal(rota_sim_host_result(world, 1), -ESRCH);
	assert_int_equal(rota_sim_host_boot(world, 1, get_stuck, NULL), 0);
	assert_int_equal(rota_sim_host_result(world, 1), -EBUSY);
	assert_int_equal(rota_sim_host_boot(world, 2, get_stuck, NULL), 0);
	t_log_keep();
	assert_int_equal(rota_sim_run(world), -EDEADLK);
	t_log_stop();
	assert_int_equal(t_log_count("deadlock"), 1);
	assert_int_equal(rota_sim_host_result(world, 1), -EDEADLK);
	assert_int_equal(rota_sim_host_result(world, 2), -EDEADLK);
	assert_int_equal(rota_sim_world_destroy(world), 0);
}

/* ---- crash and restart ---- */

static struct {
	unsigned unwound, reset;
} life;

static int64_t count_on(struct rota_generator *self, void *arg)
{
	void *sent;

	(void)arg;
	while (rota_generator_yield(self, NULL, &sent) == 0)
		;
	return 0;
}

static int64_t never_ends(void *arg)
{
	void *memory = rota_alloc(1000), *value;
	struct rota_generator *generator;

	(void)arg;
	T_CHECK(memory);
	T_EQUAL(rota_generator_create(count_on, NULL, &generator), 0);
	T_EQUAL(rota_generator_next(generator, &value), 1);
	rota_ignore(rota_sleep_until(ROTA_NEVER), "it is not cancelled but cut off");
	life.unwound++;
	rota_generator_destroy(generator);
	rota_free(memory);
	return 0;
}

static int64_t hold(struct rota_conn *conn, void *arg)
{
	struct rota_scope scope;
	struct rota_view in;
	int64_t n;

	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, never_ends, NULL), 0);
	while ((n = rota_conn_read(conn, &in)) > 0)
		;
	(void)arg;
	rota_scope_cancel(&scope, "the client has gone");
	rota_ignore(rota_scope_close(&scope), "cancelled");
	return n;
}

static int serve_and_hold(void *arg)
{
	(void)arg;
	return t_hosts_serve_handler(hold);
}

/* Sends into the void until the restarted host says that it knows of nothing. */
static int64_t outlive(void *arg)
{
	struct rota_sim_world *world = t_hosts.world;
	struct rota_conn *conn = arrive();
	struct rota_view in;

	(void)arg;
	T_EQUAL(rota_conn_write(conn, rota_view_of_string("before")), 6);
	T_EQUAL(rota_sleep_ms(20), 0);
	rota_sim_host_crash(world, T_SERVER, rota_sim_now(world) + 5 * ROTA_NS_PER_S);
	T_EQUAL(rota_sleep_ms(1), 0);
	T_CHECK(rota_sim_host_is_down(world, T_SERVER));
	T_EQUAL(rota_conn_write(conn, rota_view_of_string("after")), 5);
	life.reset += rota_conn_read(conn, &in) == -ECONNRESET;
	T_CHECK(!rota_sim_host_is_down(world, T_SERVER));
	rota_conn_close(conn);
	rota_conn_close(arrive());
	return 0;
}

static uint64_t crash_seed(uint64_t seed)
{
	static const struct t_hosts hosts = {
		.serve = serve_and_hold,
		.client = outlive,
		.clients_count = 1,
	};
	struct rota_sim_options options;
	struct t_outcome outcome;

	rota_sim_options_rough(&options, seed);
	options.latency_min_ns = ROTA_NS_PER_MS;
	options.latency_max_ns = 3 * ROTA_NS_PER_MS;
	options.steps_max = 1000000;
	memset(&life, 0, sizeof(life));
	outcome = t_hosts_run(&hosts, &options);
	assert_int_equal(outcome.status, 0);
	assert_int_equal(outcome.results[T_SERVER], 0);
	assert_int_equal(outcome.results[T_CLIENT], 0);
	assert_int_equal(t_hosts.boots, 2);
	assert_int_equal(life.reset, 1);
	/* That of the second connection; the first one's was cut off. */
	assert_true(life.unwound <= 1);
	return outcome.hash;
}

static void test_run_crashed_host_runs_no_clean_up_and_keeps_nothing(void **state)
{
	(void)state;
	crash_seed(1); /* the thread keeps the stacks of generators */
	t_alloc_install();
	for (uint64_t seed = 1; seed <= t_rounds(50); seed++)
		assert_true(crash_seed(seed) == crash_seed(seed));
	t_alloc_remove();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run_server_and_clients_on_hosts_many_seeds),
		cmocka_unit_test(test_run_crashed_host_runs_no_clean_up_and_keeps_nothing),
		cmocka_unit_test(test_run_deadlock_is_reported_and_every_program_ends),
	};

	return cmocka_run_group_tests_name("sim run", tests, NULL, NULL);
}
