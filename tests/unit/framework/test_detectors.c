/* SPDX-License-Identifier: MIT */
/*
 * What debug builds find while a program runs. In other builds there is nothing to be found, and
 * the tests see that nothing is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rota/future.h>
#include <rota/sync.h>
#include <rota/task.h>

#include "tests/support/t_core.h"

/* ---- short locks ---- */

static int64_t yield_with_lock(void *arg)
{
	(void)arg;
	rota_debug_lock_taken();
	T_EQUAL(rota_yield(), 0);
	rota_debug_lock_released();
	return 0;
}

static int64_t sleep_without_lock(void *arg)
{
	(void)arg;
	for (int i = 0; i < 3; i++) {
		rota_debug_lock_taken();
		rota_debug_lock_taken();
		rota_debug_lock_released();
		rota_debug_lock_released();
		T_EQUAL(rota_sleep_until(0), 0);
	}
	return 7;
}

static int64_t release_once_too_often(void *arg)
{
	(void)arg;
	rota_debug_lock_released();
	return 0;
}

static int64_t yield_with_mutex(void *arg)
{
	struct rota_mutex mutex;

	(void)arg;
	rota_mutex_init(&mutex, ROTA_LOCAL);
	T_EQUAL(rota_mutex_lock(&mutex), 0);
	T_EQUAL(rota_yield(), 0);
	rota_mutex_unlock(&mutex);
	rota_mutex_fini(&mutex);
	return 7;
}

static void die_yielding_with_lock(void)
{
	t_run(yield_with_lock, NULL);
}

static void die_releasing_too_often(void)
{
	t_run(release_once_too_often, NULL);
}

static void test_detectors_task_that_waits_with_a_short_lock_is_named(void **state)
{
	(void)state;
	if (ROTA_DEBUG)
		t_expect_death(die_yielding_with_lock,
			       "waits while it holds a lock that others spin or block on, taken at "
			       "tests/unit/framework/test_detectors.c:");
	else
		assert_int_equal(t_run(yield_with_lock, NULL), 0);
}

static void test_detectors_short_lock_released_too_often_is_asserted(void **state)
{
	(void)state;
	if (ROTA_DEBUG)
		t_expect_death(die_releasing_too_often, "short_locks.held >= 0");
	else
		assert_int_equal(t_run(release_once_too_often, NULL), 0);
}

static void test_detectors_short_locks_between_waits_are_in_order(void **state)
{
	(void)state;
	assert_int_equal(t_run(sleep_without_lock, NULL), 7);
}

static void test_detectors_mutex_may_be_held_across_waits(void **state)
{
	(void)state;
	assert_int_equal(t_run(yield_with_mutex, NULL), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_detectors_task_that_waits_with_a_short_lock_is_named),
		cmocka_unit_test(test_detectors_short_lock_released_too_often_is_asserted),
		cmocka_unit_test(test_detectors_short_locks_between_waits_are_in_order),
		cmocka_unit_test(test_detectors_mutex_may_be_held_across_waits),
	};

	return t_run_group("detectors", tests, ROTA_ARRAY_COUNT(tests));
}
