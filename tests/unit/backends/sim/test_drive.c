/* SPDX-License-Identifier: MIT */
/*
 * Reactors on the simulator: its drive() slot opens, steps and closes them.
 */
#include <string.h>

#include <rota/future.h>
#include <rota/reactor.h>
#include <rota/task.h>

#include "tests/unit/backends/sim/t_sim.h"

static void test_drive_runs_reactors_until_all_have_stopped(void **state)
{
	struct rota_reactor *reactors[3];
	struct t_sim sim;

	(void)state;
	t_sim_init(&sim, 7);
	assert_int_equal(rota_sim_world_create(&sim.options, &sim.world), 0);
	rota_sim_world_use(sim.world);
	for (unsigned i = 0; i < 3; i++) {
		struct rota_reactor_options options = { .engine = &rota_backend_sim, .index = i };

		assert_int_equal(rota_reactor_create(&options, &reactors[i]), 0);
		rota_reactor_stop(reactors[i]);
	}
	assert_int_equal(rota_reactor_drive(reactors, 3), 0);
	assert_true(rota_sim_steps(sim.world) >= 3);
	for (unsigned i = 0; i < 3; i++)
		rota_reactor_destroy(reactors[i]);
	rota_sim_world_use(NULL);
	assert_int_equal(rota_sim_world_destroy(sim.world), 0);
}

static void test_drive_tells_when_an_engine_does_not_open(void **state)
{
	struct rota_reactor *reactors[2];
	struct t_sim sim;

	(void)state;
	t_sim_init(&sim, 7);
	assert_int_equal(rota_sim_world_create(&sim.options, &sim.world), 0);
	rota_sim_world_use(sim.world);
	for (unsigned i = 0; i < 2; i++) {
		struct rota_reactor_options options = { .engine = &rota_backend_sim,
							.engine_options = i ? "nonsense" : "",
							.index = i };

		assert_int_equal(rota_reactor_create(&options, &reactors[i]), 0);
	}
	t_log_catch();
	assert_int_equal(rota_reactor_drive(reactors, 2), -EINVAL);
	t_log_release();
	for (unsigned i = 0; i < 2; i++) {
		assert_null(rota_reactor_backend(reactors[i]));
		rota_reactor_destroy(reactors[i]);
	}
	rota_sim_world_use(NULL);
	assert_int_equal(rota_sim_world_destroy(sim.world), 0);
}

static int64_t sleep_for_a_day(void *arg)
{
	(void)arg;
	return rota_sleep_ms(INT64_C(86400000));
}

static void test_task_sleeps_for_a_day_of_virtual_time(void **state)
{
	struct rota_reactor_options options = { .engine = &rota_backend_sim };
	struct t_sim sim;

	(void)state;
	t_sim_init(&sim, 7);
	assert_int_equal(rota_sim_world_create(&sim.options, &sim.world), 0);
	rota_sim_world_use(sim.world);
	assert_int_equal(rota_run(&options, sleep_for_a_day, NULL), 0);
	assert_true(rota_sim_now(sim.world) >= 86400 * ROTA_NS_PER_S);
	rota_sim_world_use(NULL);
	assert_int_equal(rota_sim_world_destroy(sim.world), 0);
}

static int64_t wait_for_nobody(void *arg)
{
	struct rota_future future;

	(void)arg;
	rota_future_init(&future);
	return rota_await(&future);
}

static void test_drive_deadlock_is_reported_and_torn_down(void **state)
{
	struct rota_reactor_options options = { .engine = &rota_backend_sim };
	struct t_sim sim;

	(void)state;
	t_sim_init(&sim, 7);
	assert_int_equal(rota_sim_world_create(&sim.options, &sim.world), 0);
	rota_sim_world_use(sim.world);
	t_log_catch();
	/* Destroys its reactor, which asserts that all has stopped. */
	assert_int_equal(rota_run(&options, wait_for_nobody, NULL), -EDEADLK);
	assert_non_null(strstr(t_log_text(), "deadlock"));
	t_log_release();
	rota_sim_world_use(NULL);
	assert_int_equal(rota_sim_world_destroy(sim.world), 0);
}

static int64_t yield_until_cancelled(void *arg)
{
	int status = 0;

	(void)arg;
	while (status >= 0)
		status = rota_yield();
	return status;
}

static void test_drive_out_of_steps_is_torn_down(void **state)
{
	struct rota_reactor_options options = { .engine = &rota_backend_sim };
	struct t_sim sim;

	(void)state;
	t_sim_init(&sim, 7);
	sim.options.steps_max = 100;
	assert_int_equal(rota_sim_world_create(&sim.options, &sim.world), 0);
	rota_sim_world_use(sim.world);
	t_log_catch();
	assert_int_equal(rota_run(&options, yield_until_cancelled, NULL), -ETIMEDOUT);
	t_log_release();
	rota_sim_world_use(NULL);
	assert_int_equal(rota_sim_world_destroy(sim.world), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drive_runs_reactors_until_all_have_stopped),
		cmocka_unit_test(test_drive_tells_when_an_engine_does_not_open),
		cmocka_unit_test(test_drive_deadlock_is_reported_and_torn_down),
		cmocka_unit_test(test_drive_out_of_steps_is_torn_down),
		cmocka_unit_test(test_task_sleeps_for_a_day_of_virtual_time),
	};

	return cmocka_run_group_tests_name("sim drive", tests, NULL, NULL);
}
