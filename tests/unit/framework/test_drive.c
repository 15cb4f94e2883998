/* SPDX-License-Identifier: MIT */
/*
 * Reactors driven together on threads: where those run. How they start and end together is tested
 * in test_reactor.c.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "framework/reactor_internal.h"
#include "tests/support/t_core.h"

/* One reactor's first task: where does it run? */
struct place {
	struct rota_message start;
	cpu_set_t cpus;
};

static int64_t look_and_stop(void *arg)
{
	struct place *place = arg;

	T_EQUAL(pthread_getaffinity_np(pthread_self(), sizeof(place->cpus), &place->cpus), 0);
	rota_reactor_stop(rota_reactor_current());
	return 0;
}

static void start_looking(struct rota_message *message)
{
	T_EQUAL(rota_spawn(rota_reactor_scope(rota_reactor_current()), look_and_stop,
			   ROTA_CONTAINER_OF(message, struct place, start)),
		0);
}

/* Drive two reactors with these options but for the index; `places` is where they ran. */
static void drive_two(const struct rota_reactor_options *options, struct place places[2])
{
	struct rota_reactor *reactors[2];

	for (unsigned i = 0; i < 2; i++) {
		struct rota_reactor_options own = *options;

		own.index = i;
		assert_int_equal(rota_reactor_create(&own, &reactors[i]), 0);
		places[i].start.run = start_looking;
		rota_post(reactors[i], &places[i].start);
	}
	assert_int_equal(rota_reactor_drive(reactors, 2), 0);
	for (unsigned i = 0; i < 2; i++)
		rota_reactor_destroy(reactors[i]);
}

static void own_cpus(cpu_set_t *cpus)
{
	assert_int_equal(pthread_getaffinity_np(pthread_self(), sizeof(*cpus), cpus), 0);
}

static void test_drive_with_zeroed_options_pins_nothing(void **state)
{
	struct rota_reactor_options options = { .engine = t_engine };
	struct place places[2];
	cpu_set_t before;

	(void)state;
	own_cpus(&before);
	drive_two(&options, places);
	for (unsigned i = 0; i < 2; i++)
		assert_true(CPU_EQUAL(&places[i].cpus, &before));
}

/* And only as long as they are driven: the first runs on the caller's thread. */
static void test_drive_pinned_runs_each_on_its_cpu(void **state)
{
	struct rota_reactor_options options = { .engine = t_engine, .is_pinned = true };
	struct place places[2];
	cpu_set_t before, after;

	(void)state;
	if (t_is_simulated())
		skip(); /* all on the caller's thread */
	own_cpus(&before);
	for (options.cpu = 0; options.cpu < CPU_SETSIZE; options.cpu++) {
		if (!CPU_ISSET((size_t)options.cpu, &before))
			continue;
		drive_two(&options, places);
		for (unsigned i = 0; i < 2; i++) {
			assert_int_equal(CPU_COUNT(&places[i].cpus), 1);
			assert_true(CPU_ISSET((size_t)options.cpu, &places[i].cpus));
		}
		own_cpus(&after);
		assert_true(CPU_EQUAL(&after, &before));
	}
}

static void test_drive_pinned_to_no_cpu_runs_unpinned_and_says_so(void **state)
{
	struct rota_reactor_options options = { .engine = t_engine, .is_pinned = true };
	struct place places[2];
	cpu_set_t before;

	(void)state;
	if (t_is_simulated())
		skip(); /* all on the caller's thread */
	own_cpus(&before);
	options.cpu = CPU_SETSIZE - 1;
	if (CPU_ISSET(CPU_SETSIZE - 1, &before))
		skip(); /* 1024 CPUs */
	t_log_keep();
	drive_two(&options, places);
	t_log_stop();
	assert_int_equal(t_log_count("runs unpinned: CPU 1023"), 2);
	for (unsigned i = 0; i < 2; i++)
		assert_true(CPU_EQUAL(&places[i].cpus, &before));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drive_with_zeroed_options_pins_nothing),
		cmocka_unit_test(test_drive_pinned_runs_each_on_its_cpu),
		cmocka_unit_test(test_drive_pinned_to_no_cpu_runs_unpinned_and_says_so),
	};

	return t_run_group("drive", tests, ROTA_ARRAY_COUNT(tests));
}
