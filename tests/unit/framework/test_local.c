/* SPDX-License-Identifier: MIT */
/*
 * Values bound in scopes: who sees them, what hides them, and until when.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/generator.h>
#include <rota/local.h>
#include <rota/mailbox.h>

#include "tests/support/t_core.h"

static const struct rota_local_key user = { .name = "user" };
static const struct rota_local_key trace = { .name = "trace", .otherwise = (void *)"none" };
static char alice[] = "alice", bob[] = "bob";

static int64_t user_is(void *arg)
{
	T_CHECK(rota_local_get(&user) == arg);
	return 0;
}

/* ---- who sees it ---- */

static int64_t bind_and_spawn(void *arg)
{
	struct rota_scope outer, scope, inner, shield;
	struct rota_local binding;

	(void)arg;
	T_CHECK(rota_local_get(&user) == NULL);
	T_CHECK(rota_local_get(&trace) == trace.otherwise);
	rota_scope_open(&outer, ROTA_NEVER);
	rota_scope_open(&scope, ROTA_NEVER);
	rota_local_set(&binding, &user, alice);
	T_CHECK(rota_local_get(&user) == alice);
	T_CHECK(rota_local_get(&trace) == trace.otherwise);
	T_EQUAL(rota_spawn(&scope, user_is, alice), 0);
	T_EQUAL(rota_spawn(&outer, user_is, NULL), 0);
	rota_scope_open(&inner, ROTA_NEVER);
	T_EQUAL(rota_spawn(&inner, user_is, alice), 0);
	rota_shield(&shield, ROTA_NEVER);
	T_CHECK(rota_local_get(&user) == alice);
	T_EQUAL(rota_spawn(&shield, user_is, alice), 0);
	T_EQUAL(rota_scope_close(&shield), 0);
	T_EQUAL(rota_call_on(rota_reactor_current(), user_is, NULL), 0);
	T_EQUAL(rota_scope_close(&inner), 0);
	T_EQUAL(rota_scope_close(&scope), 0);
	T_CHECK(rota_local_get(&user) == NULL);
	return rota_scope_close(&outer);
}

static void test_local_is_seen_inside_its_scope_and_nowhere_else(void **state)
{
	(void)state;
	assert_int_equal(t_run(bind_and_spawn, NULL), 0);
}

/* A cancelled task still knows for whom it cleans up. */
static int64_t look_when_cancelled(void *arg)
{
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ECANCELED);
	return user_is(arg);
}

static int64_t cancel_with_binding(void *arg)
{
	struct rota_scope scope;
	struct rota_local binding;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	rota_local_set(&binding, &user, bob);
	T_EQUAL(rota_spawn(&scope, look_when_cancelled, bob), 0);
	t_settle();
	rota_scope_cancel(&scope, "test");
	return rota_scope_close_and_move_on(&scope);
}

static void test_local_is_seen_by_cancelled_tasks(void **state)
{
	(void)state;
	assert_int_equal(t_run(cancel_with_binding, NULL), 1);
}

/* ---- what hides it ---- */

static int64_t look_before_and_after(void *arg)
{
	struct rota_future *changed = arg;

	T_CHECK(rota_local_get(&user) == alice);
	T_EQUAL(rota_await(changed), 0);
	T_CHECK(rota_local_get(&user) == bob);
	return 0;
}

static int64_t hide_and_change(void *arg)
{
	struct rota_local first, second, within, other;
	struct rota_scope scope, inner;
	struct rota_future changed;

	(void)arg;
	rota_future_init(&changed);
	rota_scope_open(&scope, ROTA_NEVER);
	rota_local_set(&first, &user, alice);
	rota_local_set(&other, &trace, NULL);
	T_CHECK(rota_local_get(&trace) == NULL);
	T_EQUAL(rota_spawn(&scope, look_before_and_after, &changed), 0);
	rota_scope_open(&inner, ROTA_NEVER);
	rota_local_set(&within, &user, bob);
	T_CHECK(rota_local_get(&user) == bob);
	t_settle();
	T_EQUAL(rota_scope_close(&inner), 0);
	T_CHECK(rota_local_get(&user) == alice);
	rota_local_set(&second, &user, NULL);
	T_CHECK(rota_local_get(&user) == NULL);
	rota_local_set(&first, &user, alice); /* in its place: still hidden */
	T_CHECK(rota_local_get(&user) == NULL);
	rota_local_set(&second, &user, bob);
	T_CHECK(rota_local_get(&user) == bob);
	rota_future_complete(&changed, 0);
	return rota_scope_close(&scope);
}

static void test_local_bound_again_hides_the_one_before_and_may_be_changed(void **state)
{
	(void)state;
	assert_int_equal(t_run(hide_and_change, NULL), 0);
}

/* ---- generators run as the task that drives them ---- */

static int64_t yield_user(struct rota_generator *self, void *arg)
{
	(void)arg;
	while (rota_generator_yield(self, rota_local_get(&user), NULL) == 0)
		;
	return 0;
}

static int64_t drive_for_two(void *arg)
{
	struct rota_generator *generator;
	struct rota_local binding;
	struct rota_scope scope;
	void *value;

	(void)arg;
	T_EQUAL(rota_generator_create(yield_user, NULL, &generator), 0);
	rota_scope_open(&scope, ROTA_NEVER);
	rota_local_set(&binding, &user, alice);
	T_EQUAL(rota_generator_next(generator, &value), 1);
	T_CHECK(value == alice);
	rota_local_set(&binding, &user, bob);
	T_EQUAL(rota_generator_next(generator, &value), 1);
	T_CHECK(value == bob);
	rota_generator_destroy(generator);
	return rota_scope_close(&scope);
}

static void test_local_in_a_generator_is_its_drivers(void **state)
{
	(void)state;
	assert_int_equal(t_run(drive_for_two, NULL), 0);
}

/* ---- misuse ---- */

static int64_t bind_without_scope(void *arg)
{
	struct rota_local binding;

	rota_local_set(&binding, &user, arg);
	return 0;
}

static void run_bind_without_scope(void)
{
	rota_ignore(t_run(bind_without_scope, NULL), "it dies");
}

static int64_t spawn_one_that_binds(void *arg)
{
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, bind_without_scope, arg), 0);
	return rota_scope_close(&scope);
}

static void run_bind_in_the_spawners(void)
{
	rota_ignore(t_run(spawn_one_that_binds, NULL), "it dies");
}

static void test_local_bound_in_a_scope_of_another_task_is_asserted(void **state)
{
	(void)state;
	t_expect_death(run_bind_without_scope, "scope->task_ == task");
	t_expect_death(run_bind_in_the_spawners, "scope->task_ == task");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_local_is_seen_inside_its_scope_and_nowhere_else),
		cmocka_unit_test(test_local_is_seen_by_cancelled_tasks),
		cmocka_unit_test(test_local_bound_again_hides_the_one_before_and_may_be_changed),
		cmocka_unit_test(test_local_in_a_generator_is_its_drivers),
		cmocka_unit_test(test_local_bound_in_a_scope_of_another_task_is_asserted),
	};

	return t_run_group("local", tests, ROTA_ARRAY_COUNT(tests));
}
