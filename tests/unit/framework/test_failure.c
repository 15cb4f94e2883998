/* SPDX-License-Identifier: MIT */
/*
 * Failures whose spawner asked for a future: seen if somebody awaits it, and logged if the scope
 * ends before that. The scopes here collect, so that a failure stops nobody, and their close
 * returns the first one, which is therefore seen in any case.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/net.h>
#include <rota/task.h>

#include "tests/support/t_core.h"

static int64_t fail_with(void *arg)
{
	return -(int64_t)(intptr_t)arg;
}

#define FAIL(error) ((void *)(intptr_t)(error))

/* A scope that has its first failure, EDOM, behind it. */
static void open_failed(struct rota_scope *scope)
{
	rota_scope_open(scope, ROTA_NEVER);
	rota_scope_collect(scope);
	T_EQUAL(rota_spawn(scope, fail_with, FAIL(EDOM)), 0);
	t_settle();
}

static void spawn_failing(struct rota_scope *scope, int error, struct rota_future *future)
{
	const struct rota_spawn_options options = { .result = future };

	T_EQUAL(rota_spawn_with(scope, fail_with, FAIL(error), &options), 0);
}

static unsigned run_logged(rota_task_fn fn, const char *text)
{
	t_log_keep();
	assert_int_equal(t_run(fn, NULL), 0);
	t_log_stop();
	return t_log_count(text);
}

/* ---- nobody awaits ---- */

static int64_t await_one_of_two(void *arg)
{
	struct rota_future awaited, left;
	struct rota_scope scope;

	(void)arg;
	open_failed(&scope);
	spawn_failing(&scope, EPIPE, &awaited);
	spawn_failing(&scope, EIO, &left);
	t_settle();
	T_EQUAL(rota_await(&awaited), -EPIPE);
	T_EQUAL(t_log_count("EIO"), 0); /* it could be awaited still */
	T_EQUAL(rota_scope_close(&scope), -EDOM);
	T_EQUAL(t_log_count("EIO"), 1);
	return 0;
}

static void test_failure_nobody_awaits_is_logged_at_the_close(void **state)
{
	(void)state;
	assert_int_equal(
		run_logged(await_one_of_two, "fail_with (tests/unit/framework/test_failure.c:"), 1);
	assert_int_equal(t_log_count("EPIPE"), 0);
	assert_int_equal(t_log_count("EDOM"), 0);
}

static int64_t overwrite_one(void *arg)
{
	struct rota_future future;
	struct rota_scope scope;

	(void)arg;
	open_failed(&scope);
	spawn_failing(&scope, EPIPE, &future);
	t_settle();
	spawn_failing(&scope, EIO, &future);
	t_settle();
	T_EQUAL(t_log_count("EPIPE"), 1);
	T_EQUAL(rota_await(&future), -EIO);
	T_EQUAL(rota_scope_close(&scope), -EDOM);
	return 0;
}

static void test_failure_overwritten_by_the_next_result_is_logged(void **state)
{
	(void)state;
	assert_int_equal(run_logged(overwrite_one, "EIO"), 0);
}

enum { MANY = 100 };

static int64_t leave_many(void *arg)
{
	struct rota_future futures[MANY];
	struct rota_scope scope;

	(void)arg;
	open_failed(&scope);
	for (int i = 0; i < MANY; i++)
		spawn_failing(&scope, EIO, &futures[i]);
	T_EQUAL(rota_scope_close(&scope), -EDOM);
	return 0;
}

/* More than are kept: each is logged or counted all the same. */
static void test_failure_of_many_is_logged_and_then_counted(void **state)
{
	(void)state;
	assert_int_equal(run_logged(leave_many, "EIO"), 8);
	assert_int_equal(t_log_count("92 more task(s) of the scope"), 1);
}

static int64_t leave_one_in_the_root(void *arg)
{
	static struct rota_future future;

	(void)arg;
	spawn_failing(rota_reactor_scope(rota_reactor_current()), EIO, &future);
	t_settle();
	T_EQUAL(t_log_count("EIO"), 0);
	return 0;
}

static void test_failure_in_the_root_scope_is_logged_when_the_reactor_closes(void **state)
{
	(void)state;
	assert_int_equal(run_logged(leave_one_in_the_root, "EIO"), 1);
}

static bool has_opened;

static int fail_in_the_session(struct rota_session *session)
{
	static struct rota_future future;

	spawn_failing(rota_session_scope(session), EIO, &future);
	has_opened = true;
	return 0;
}

static int64_t take_all(struct rota_session *session, struct rota_view bytes)
{
	(void)session;
	return (int64_t)bytes.bytes;
}

static int64_t visit_a_session(void *arg)
{
	static const struct rota_protocol protocol = { .name = "test",
						       .on_open = fail_in_the_session,
						       .on_bytes = take_all,
						       .on_close = rota_protocol_default_close };
	struct rota_listener_options options = { .protocol = &protocol };
	struct rota_listener *listener;
	struct rota_net_stats stats;
	struct rota_conn *conn;

	(void)arg;
	has_opened = false;
	T_EQUAL(rota_address_parse(&options.address, "127.0.0.1", 0), 0);
	T_EQUAL(rota_listener_open(&options, &listener), 0);
	T_EQUAL(rota_listener_address(listener, &options.address), 0);
	T_EQUAL(rota_connect(&options.address, NULL, &conn), 0);
	while (!has_opened)
		t_settle();
	T_EQUAL(t_log_count("EIO"), 0);
	rota_conn_close(conn);
	do {
		t_settle();
		rota_net_stats(&stats);
	} while (stats.connections > 0);
	T_EQUAL(t_log_count("EIO"), 1);
	return 0;
}

static void test_failure_in_a_sessions_scope_is_logged_when_the_session_ends(void **state)
{
	(void)state;
	assert_int_equal(run_logged(visit_a_session, "EIO"), 1);
}

/* ---- somebody awaits ---- */

static int64_t await_first(void *arg)
{
	struct rota_future future;
	struct rota_scope scope;

	(void)arg;
	open_failed(&scope);
	spawn_failing(&scope, EIO, &future);
	T_EQUAL(rota_await(&future), -EIO);
	T_EQUAL(rota_scope_close(&scope), -EDOM);
	return 0;
}

static int64_t await_any_and_all(void *arg)
{
	struct rota_future one, two, three;
	struct rota_future *first[] = { &one }, *rest[] = { &two, &three };
	struct rota_scope scope;

	(void)arg;
	open_failed(&scope);
	spawn_failing(&scope, EIO, &one);
	spawn_failing(&scope, EIO, &two);
	spawn_failing(&scope, EIO, &three);
	t_settle();
	T_EQUAL(rota_await_any(first, 1), 0);
	T_EQUAL(rota_await_all(rest, 2), 0);
	T_EQUAL(rota_scope_close(&scope), -EDOM);
	return 0;
}

static void test_failure_somebody_awaits_is_not_logged(void **state)
{
	(void)state;
	assert_int_equal(run_logged(await_first, "EIO"), 0);
	assert_int_equal(run_logged(await_any_and_all, "EIO"), 0);
}

/* It is told to stop instead of what it asked for. */
static int64_t await_in_vain(void *arg)
{
	struct rota_future future;
	struct rota_scope scope, inner;

	(void)arg;
	open_failed(&scope);
	spawn_failing(&scope, EIO, &future);
	t_settle();
	rota_scope_open(&inner, ROTA_NEVER);
	rota_scope_cancel(&inner, "by the test");
	T_EQUAL(rota_await(&future), -ECANCELED);
	T_EQUAL(rota_scope_close(&inner), -ECANCELED);
	T_EQUAL(rota_scope_close(&scope), -EDOM);
	return 0;
}

static void test_failure_awaited_in_vain_is_logged(void **state)
{
	(void)state;
	assert_int_equal(run_logged(await_in_vain, "EIO"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failure_nobody_awaits_is_logged_at_the_close),
		cmocka_unit_test(test_failure_overwritten_by_the_next_result_is_logged),
		cmocka_unit_test(test_failure_of_many_is_logged_and_then_counted),
		cmocka_unit_test(test_failure_in_the_root_scope_is_logged_when_the_reactor_closes),
		cmocka_unit_test(test_failure_in_a_sessions_scope_is_logged_when_the_session_ends),
		cmocka_unit_test(test_failure_somebody_awaits_is_not_logged),
		cmocka_unit_test(test_failure_awaited_in_vain_is_logged),
	};

	return t_run_group("failure", tests, ROTA_ARRAY_COUNT(tests));
}
