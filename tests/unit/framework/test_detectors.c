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
#include <rota/mailbox.h>
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

/* ---- futures that nobody awaits ---- */

static int64_t leave_a_timeout(void *arg)
{
	struct rota_timeout timeout;

	(void)arg;
	rota_timeout_start(&timeout, rota_after_s(3600));
	return 0;
}

static int64_t yield_twice(void *arg)
{
	(void)arg;
	return rota_yield() + rota_yield();
}

static int64_t leave_a_result(void *arg)
{
	struct rota_future end;
	const struct rota_spawn_options options = { .result = &end };

	return rota_spawn_with(arg, yield_twice, NULL, &options);
}

static int64_t spawn_leaver(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, leave_a_result, &scope), 0);
	return rota_scope_close(&scope);
}

static int64_t leave_a_call(void *arg)
{
	struct rota_call call;

	(void)arg;
	rota_call_start(&call, rota_reactor_current(), yield_twice, NULL);
	return 0;
}

static void die_leaving_a_timeout(void)
{
	t_run(leave_a_timeout, NULL);
}

static void die_leaving_a_result(void)
{
	t_run(spawn_leaver, NULL);
}

static void die_leaving_a_call(void)
{
	t_run(leave_a_call, NULL);
}

/* Without the check these write into frames that are gone: nothing a test may do. */
static void test_detectors_future_left_in_a_frame_is_named(void **state)
{
	static const char said[] = "ended with a future in its frames";

	(void)state;
	if (!ROTA_DEBUG)
		return;
	t_expect_death(die_leaving_a_timeout, said);
	t_expect_death(die_leaving_a_result, said);
	t_expect_death(die_leaving_a_call, said);
}

/* Awaited, cancelled, never due, or not in a frame: nothing is left. */
static int64_t leave_nothing(void *arg)
{
	static struct rota_timeout elsewhere;
	struct rota_timeout first, second, never;
	struct rota_future *both[] = { &first.future, &second.future };

	(void)arg;
	rota_timeout_start(&first, 0);
	rota_timeout_start(&second, rota_after_s(3600));
	rota_timeout_start(&never, ROTA_NEVER);
	rota_timeout_start(&elsewhere, rota_now());
	T_EQUAL(rota_await_any(both, 2), 0);
	T_EQUAL(rota_call_on(rota_reactor_current(), yield_twice, NULL), 0);
	return 7;
}

static void test_detectors_futures_that_are_done_are_no_alarm(void **state)
{
	(void)state;
	assert_int_equal(t_run(leave_nothing, NULL), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_detectors_task_that_waits_with_a_short_lock_is_named),
		cmocka_unit_test(test_detectors_short_lock_released_too_often_is_asserted),
		cmocka_unit_test(test_detectors_short_locks_between_waits_are_in_order),
		cmocka_unit_test(test_detectors_mutex_may_be_held_across_waits),
		cmocka_unit_test(test_detectors_future_left_in_a_frame_is_named),
		cmocka_unit_test(test_detectors_futures_that_are_done_are_no_alarm),
	};

	return t_run_group("detectors", tests, ROTA_ARRAY_COUNT(tests));
}
