/* SPDX-License-Identifier: MIT */
/*
 * shuffle=on: tasks that are ready at once run in any order. Layer: tests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <rota/rota.h>

#include "backends/sim/sim.h"

#define TASKS 4
#define ORDERS 24 /* 4! */
#define SEEDS 600

static char order[TASKS + 1];

static int64_t add_letter(void *arg)
{
	strncat(order, arg, 1);
	return 0;
}

static int64_t spawn_all(void *arg)
{
	static char letters[TASKS][2] = { "a", "b", "c", "d" };
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < TASKS; i++)
		rota_spawn(&scope, add_letter, letters[i]);
	return rota_scope_close(&scope);
}

/* The order in which the tasks of one run ran is left in `order`. */
static uint64_t run_with(uint64_t seed, bool shuffles)
{
	struct rota_reactor_options reactor = { .engine = &rota_backend_sim };
	struct rota_sim_options options;
	struct rota_sim_world *world;
	uint64_t hash;

	order[0] = '\0';
	rota_sim_options_init(&options, seed);
	options.shuffle = shuffles;
	assert_int_equal(rota_sim_world_create(&options, &world), 0);
	rota_sim_world_use(world);
	assert_int_equal(rota_run(&reactor, spawn_all, NULL), 0);
	hash = rota_sim_trace_hash(world);
	assert_int_equal(rota_sim_world_destroy(world), 0);
	return hash;
}

/* How many different orders many seeds have shown, and how often the rarest. */
static unsigned count_orders(bool shuffles, unsigned *rarest)
{
	char seen[ORDERS][TASKS + 1];
	unsigned times[ORDERS] = { 0 }, count = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		unsigned at = 0;

		run_with(seed, shuffles);
		assert_int_equal(strlen(order), TASKS);
		while (at < count && strcmp(seen[at], order) != 0)
			at++;
		if (at == count)
			strcpy(seen[count++], order);
		times[at]++;
	}
	*rarest = times[0];
	for (unsigned i = 1; i < count; i++)
		*rarest = times[i] < *rarest ? times[i] : *rarest;
	return count;
}

static void test_shuffle_shows_every_order(void **state)
{
	unsigned rarest;

	(void)state;
	assert_int_equal(count_orders(true, &rarest), ORDERS);
	/* 25 of each on average; the seeds are fixed, so this is no matter of luck. */
	assert_in_range(rarest, 10, 25);
}

/* First or last: 2 for each task but the first. */
static void test_without_shuffle_tasks_go_first_or_last(void **state)
{
	unsigned rarest;

	(void)state;
	assert_int_equal(count_orders(false, &rarest), 8);
}

static void test_shuffle_same_seed_same_order(void **state)
{
	char first[TASKS + 1];

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		uint64_t hash = run_with(seed, true);

		memcpy(first, order, sizeof(first));
		assert_true(run_with(seed, true) == hash);
		assert_string_equal(order, first);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shuffle_shows_every_order),
		cmocka_unit_test(test_without_shuffle_tasks_go_first_or_last),
		cmocka_unit_test(test_shuffle_same_seed_same_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
