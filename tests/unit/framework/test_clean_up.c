/* SPDX-License-Identifier: MIT */
/*
 * Clean-up under cancellation: what shields promise, and defers that wait inside one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/scope.h>

#include "tests/support/t_core.h"

static int64_t sleep_for_ever(void *arg)
{
	(void)arg;
	return rota_sleep_until(ROTA_NEVER);
}

/* ---- shields ---- */

static int64_t nest_shields(void *arg)
{
	struct rota_scope scope, outer, inner;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	rota_scope_cancel(&scope, "test");
	rota_shield(&outer, rota_after_ms(1));
	rota_shield(&inner, ROTA_NEVER);
	T_CHECK(rota_deadline() == ROTA_NEVER);
	T_EQUAL(rota_sleep_ms(5), 0); /* past the outer shield's deadline */
	T_EQUAL(rota_scope_close(&inner), 0);
	T_EQUAL(rota_sleep_ms(5), -ETIMEDOUT);
	T_EQUAL(rota_scope_close(&outer), -ETIMEDOUT);
	T_EQUAL(rota_yield(), -ECANCELED);
	return rota_scope_close(&scope);
}

static void test_clean_up_in_a_nested_shield_has_the_inner_deadline_only(void **state)
{
	(void)state;
	assert_int_equal(t_run(nest_shields, NULL), -ECANCELED);
}

static int64_t work_in_shield(void *arg)
{
	unsigned *done = arg;

	T_EQUAL(rota_sleep_ms(1), 0);
	++*done;
	return 0;
}

static int64_t spawn_in_shield(void *arg)
{
	struct rota_scope scope, shield, inner;
	unsigned done = 0;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	rota_scope_cancel(&scope, "test");
	rota_shield(&shield, rota_after_ms(100));
	T_EQUAL(rota_spawn(&shield, work_in_shield, &done), 0);
	rota_scope_open(&inner, ROTA_NEVER);
	T_EQUAL(rota_spawn(&inner, work_in_shield, &done), 0);
	T_EQUAL(rota_scope_close(&inner), 0);
	T_EQUAL(rota_scope_close(&shield), 0);
	T_EQUAL(done, 2);

	/* Its own cancel and its own deadline reach what is inside. */
	rota_shield(&shield, ROTA_NEVER);
	T_EQUAL(rota_spawn(&shield, sleep_for_ever, NULL), 0);
	t_settle();
	rota_scope_cancel(&shield, "enough cleaned");
	T_EQUAL(rota_scope_close(&shield), -ECANCELED);
	rota_shield(&shield, rota_after_ms(1));
	rota_scope_open(&inner, ROTA_NEVER);
	T_EQUAL(rota_spawn(&inner, sleep_for_ever, NULL), 0);
	T_EQUAL(rota_scope_close(&inner), -ETIMEDOUT);
	T_EQUAL(rota_scope_close(&shield), -ETIMEDOUT);
	return rota_scope_close(&scope);
}

static void test_clean_up_in_a_shield_may_spawn_until_its_own_end(void **state)
{
	(void)state;
	assert_int_equal(t_run(spawn_in_shield, NULL), -ECANCELED);
}

/* A failure inside a shield stops the clean-up, and says so; it does not leave the shield. */
static int64_t fail_to_clean(void *arg)
{
	(void)arg;
	return -EIO;
}

static int64_t fail_in_shield(void *arg)
{
	struct rota_scope scope, shield;

	rota_scope_open(&scope, ROTA_NEVER);
	rota_shield(&shield, ROTA_NEVER);
	T_EQUAL(rota_spawn(&shield, sleep_for_ever, arg), 0);
	T_EQUAL(rota_spawn(&shield, fail_to_clean, arg), 0);
	T_EQUAL(rota_scope_close(&shield), -EIO);
	T_EQUAL(rota_yield(), 0);
	return rota_scope_close(&scope);
}

static void test_clean_up_that_fails_in_a_shield_stays_there(void **state)
{
	(void)state;
	assert_int_equal(t_run(fail_in_shield, NULL), 0);
}

/* ---- defers ---- */

struct trail {
	char steps[8];
	unsigned count;
};

static void step(struct trail *trail, char what)
{
	trail->steps[trail->count++] = what;
	trail->steps[trail->count] = '\0';
}

static void step_first(void *arg)
{
	step(arg, '1');
}

static void step_nested(void *arg)
{
	step(arg, 'n');
}

/* Cancelled outside, waits inside, and registers one more. */
static void step_shielded(void *arg)
{
	struct rota_scope shield;

	T_EQUAL(rota_sleep_ms(1), -ECANCELED);
	rota_shield(&shield, rota_after_ms(100));
	T_EQUAL(rota_sleep_ms(1), 0);
	T_EQUAL(rota_scope_close(&shield), 0);
	step(arg, 's');
	T_EQUAL(rota_task_defer(step_nested, arg), 0);
}

static int64_t defer_two(void *arg)
{
	T_EQUAL(rota_task_defer(step_first, arg), 0);
	T_EQUAL(rota_task_defer(step_shielded, arg), 0);
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ECANCELED);
	step(arg, 'f');
	return -EIO;
}

static int64_t cancel_one_that_defers(void *arg)
{
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, defer_two, arg), 0);
	t_settle();
	rota_scope_cancel(&scope, "test");
	return rota_scope_close(&scope);
}

/* The function's own failure stays the task's, whatever its defers do. */
static void test_clean_up_by_defers_waits_in_shields_and_may_defer_more(void **state)
{
	struct trail trail = { .count = 0 };

	(void)state;
	assert_int_equal(t_run(cancel_one_that_defers, &trail), -EIO);
	assert_string_equal(trail.steps, "fsn1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean_up_in_a_nested_shield_has_the_inner_deadline_only),
		cmocka_unit_test(test_clean_up_in_a_shield_may_spawn_until_its_own_end),
		cmocka_unit_test(test_clean_up_that_fails_in_a_shield_stays_there),
		cmocka_unit_test(test_clean_up_by_defers_waits_in_shields_and_may_defer_more),
	};

	return t_run_group("clean-up", tests, ROTA_ARRAY_COUNT(tests));
}
