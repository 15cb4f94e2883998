/* SPDX-License-Identifier: MIT */
/*
 * Tasks: when they run, what becomes of their results, what spawning says when it can't, and how
 * tasks that leave something behind are caught. mmap is wrapped (--wrap), so that there is no stack
 * when a test says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <sys/mman.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/task.h>

#include "tests/support/t_alloc.h"
#include "tests/support/t_core.h"

static bool mmap_fails;

void *__real_mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset);

void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	if (mmap_fails) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return __real_mmap(address, bytes, protection, flags, fd, offset);
}

static int64_t count_up(void *arg)
{
	++*(int *)arg;
	return 0;
}

static int64_t sleep_for_ever(void *arg)
{
	(void)arg;
	return rota_sleep_until(ROTA_NEVER);
}

static int64_t return_value(void *arg)
{
	return *(int64_t *)arg;
}

/* ---- when they run ---- */

static int64_t spawn_and_look(void *arg)
{
	struct rota_scope scope;
	int ran = 0;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, count_up, &ran), 0);
	T_EQUAL(rota_spawn(&scope, count_up, &ran), 0);
	T_EQUAL(ran, 0);
	T_EQUAL(rota_yield(), 0);
	T_EQUAL(ran, 2);
	T_EQUAL(rota_scope_close(&scope), 0);
	return 7;
}

static void test_task_spawned_runs_in_a_later_pass(void **state)
{
	(void)state;
	assert_int_equal(t_run(spawn_and_look, NULL), 7);
}

#define RUNNERS 50
#define ROUNDS 200

struct race {
	int laps[RUNNERS];
	int next;
};

static int64_t run_laps(void *arg)
{
	struct race *race = arg;
	int *mine = &race->laps[race->next++];

	for (int i = 0; i < ROUNDS; i++) {
		++*mine;
		for (int other = 0; other < race->next; other++) {
			T_LESS(race->laps[other] - *mine, 2);
			T_LESS(*mine - race->laps[other], 2);
		}
		T_EQUAL(rota_yield(), 0);
	}
	return 0;
}

static int64_t start_race(void *arg)
{
	struct race race = { 0 };
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < RUNNERS; i++)
		T_EQUAL(rota_spawn(&scope, run_laps, &race), 0);
	return rota_scope_close(&scope);
}

/* A pass runs what was ready when it began, so nobody is a lap and more ahead of anybody. */
static void test_task_yield_lets_every_ready_task_run_once(void **state)
{
	(void)state;
	assert_int_equal(t_run(start_race, NULL), 0);
}

static int64_t clear_after_a_while(void *arg)
{
	int status = rota_sleep_ms(5);

	*(bool *)arg = false;
	return status;
}

static int64_t keep_busy(void *arg)
{
	struct rota_reactor_stats stats;
	struct rota_scope scope;
	bool wait = true;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, clear_after_a_while, &wait), 0);
	while (wait)
		T_EQUAL(rota_yield(), 0);
	T_EQUAL(rota_scope_close(&scope), 0);
	rota_reactor_stats(rota_reactor_current(), &stats);
	T_CHECK(stats.quota_ends > 0);
	return 0;
}

static void test_task_that_only_yields_does_not_keep_timers_from_firing(void **state)
{
	(void)state;
	assert_int_equal(t_run(keep_busy, NULL), 0);
}

/* ---- results and names ---- */

static int64_t look_at_myself(void *arg)
{
	const struct rota_task *task = rota_task_current();

	T_EQUAL(strcmp(rota_task_name(task), arg), 0);
	T_EQUAL(strcmp(rota_task_site(task)->what, "look_at_myself"), 0);
	T_CHECK(strstr(rota_task_site(task)->file, "test_task.c") != NULL);
	T_CHECK(rota_task_site(task)->line > 0);
	T_EQUAL(strcmp(rota_task_site(task)->function, "give_names"), 0);
	return 0;
}

static int64_t give_names(void *arg)
{
	struct rota_spawn_options options = { .name = "mirror" };
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, look_at_myself, "look_at_myself"), 0);
	T_EQUAL(rota_spawn_with(&scope, look_at_myself, "mirror", &options), 0);
	return rota_scope_close(&scope);
}

static void test_task_knows_its_name_and_spawn_site(void **state)
{
	(void)state;
	assert_null(rota_task_current());
	assert_int_equal(t_run(give_names, NULL), 0);
	assert_null(rota_task_current());
}

static int64_t join_two(void *arg)
{
	struct rota_future good, bad;
	struct rota_scope scope;
	int64_t values[] = { 42, -EIO };

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	for (int class = 0; class < ROTA_STACK_CLASS_COUNT; class ++) {
		struct rota_spawn_options options = { .result = &good,
						      .stack = (enum rota_stack_class) class };

		T_EQUAL(rota_spawn_with(&scope, return_value, &values[0], &options), 0);
		T_EQUAL(rota_await(&good), 42);
		T_EQUAL(rota_await(&good), 42);
	}
	T_EQUAL(rota_spawn_with(&scope, return_value, &values[1],
				&(struct rota_spawn_options){ .result = &bad }),
		0);
	/* its failure cancels us before we are told of its result, which stays readable */
	T_EQUAL(rota_await(&bad), -EIO);
	T_EQUAL(rota_await(&bad), -ECANCELED);
	T_EQUAL(bad.result, -EIO);
	return rota_scope_close(&scope);
}

static void test_task_result_goes_to_its_future_and_failure_also_to_its_scope(void **state)
{
	(void)state;
	assert_int_equal(t_run(join_two, NULL), -EIO);
}

/* ---- spawning that can't be done ---- */

static int64_t spawn_over_limit(void *arg)
{
	struct rota_future never;
	struct rota_spawn_options options = { .result = &never };
	struct rota_scope scope;
	int ran = 0;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < 3; i++)
		T_EQUAL(rota_spawn(&scope, sleep_for_ever, NULL), 0);
	T_EQUAL(rota_spawn_with(&scope, count_up, &ran, &options), -ENOMEM);
	T_CHECK(rota_future_is_done(&never));
	T_EQUAL(never.result, -ENOMEM);
	T_EQUAL(rota_why()->kind, ROTA_CANCEL_SIBLING_FAILED);
	T_EQUAL(rota_why()->failure, -ENOMEM);
	T_EQUAL(rota_spawn(&scope, count_up, &ran), -ECANCELED);
	T_EQUAL(ran, 0);
	return rota_scope_close(&scope);
}

static void test_task_spawn_over_the_limit_is_a_failure_of_the_scope(void **state)
{
	struct rota_reactor_options options = t_reactor_options();

	(void)state;
	options.tasks_max = 4;
	t_log_keep();
	assert_int_equal(rota_run(&options, spawn_over_limit, NULL), -ENOMEM);
	t_log_stop();
	assert_int_equal(t_log_count("ended with"), 0);
}

static int64_t spawn_without_stack(void *arg)
{
	struct rota_scope scope;
	int ran = 0;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	mmap_fails = true;
	T_EQUAL(rota_spawn_with(&scope, count_up, &ran,
				&(struct rota_spawn_options){ .stack = ROTA_STACK_256K }),
		-ROTA_ESTACK);
	mmap_fails = false;
	T_EQUAL(rota_scope_close(&scope), -ROTA_ESTACK);
	T_EQUAL(ran, 0);
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn_with(&scope, count_up, &ran,
				&(struct rota_spawn_options){ .stack = ROTA_STACK_256K }),
		0);
	T_EQUAL(rota_scope_close(&scope), 0);
	T_EQUAL(ran, 1);
	return 0;
}

static void test_task_spawn_without_a_stack_fails_and_works_again_later(void **state)
{
	(void)state;
	t_log_keep();
	assert_int_equal(t_run(spawn_without_stack, NULL), 0);
	t_log_stop();
}

static int64_t spawn_into_cancelled(void *arg)
{
	struct rota_future future;
	struct rota_spawn_options options = { .result = &future };
	struct rota_scope scope;
	int ran = 0;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	rota_scope_cancel(&scope, "test");
	T_EQUAL(rota_spawn_with(&scope, count_up, &ran, &options), -ECANCELED);
	T_EQUAL(future.result, -ECANCELED);
	T_EQUAL(rota_scope_close(&scope), -ECANCELED);
	rota_scope_open(&scope, rota_now() - 1);
	T_EQUAL(rota_sleep_ms(1000), -ETIMEDOUT);
	T_EQUAL(rota_spawn_with(&scope, count_up, &ran, &options), -ETIMEDOUT);
	T_EQUAL(future.result, -ETIMEDOUT);
	T_EQUAL(rota_scope_close(&scope), -ETIMEDOUT);
	T_EQUAL(ran, 0);
	return 0;
}

static void test_task_spawn_into_a_cancelled_scope_says_why_not(void **state)
{
	(void)state;
	assert_int_equal(t_run(spawn_into_cancelled, NULL), 0);
}

struct intrusion {
	struct rota_scope victim;
	int ran;
};

static int64_t spawn_from_inside(void *arg)
{
	struct intrusion *intrusion = arg;

	T_EQUAL(rota_sleep_ms(2), 0);
	return rota_spawn(&intrusion->victim, count_up, &intrusion->ran);
}

static int64_t spawn_from_outside(void *arg)
{
	struct intrusion *intrusion = arg;

	T_EQUAL(rota_sleep_ms(1), 0);
	T_EQUAL(rota_spawn(&intrusion->victim, count_up, &intrusion->ran), -ROTA_ECLOSING);
	return 0;
}

static int64_t intrude(void *arg)
{
	struct intrusion intrusion = { .ran = 0 };
	struct rota_scope outer;

	(void)arg;
	rota_scope_open(&outer, ROTA_NEVER);
	rota_scope_open(&intrusion.victim, ROTA_NEVER);
	T_EQUAL(rota_spawn(&outer, spawn_from_outside, &intrusion), 0);
	T_EQUAL(rota_spawn(&intrusion.victim, spawn_from_inside, &intrusion), 0);
	T_EQUAL(rota_scope_close(&intrusion.victim), 0);
	T_EQUAL(intrusion.ran, 1);
	return rota_scope_close(&outer);
}

static void test_task_spawn_into_a_closing_scope_is_for_its_own_tasks_only(void **state)
{
	(void)state;
	assert_int_equal(t_run(intrude, NULL), 0);
}

static int64_t churn(void *arg)
{
	struct rota_reactor_stats before, after;
	int rounds = (int)t_many(50000) / 50;
	int spawned = 0, ran = 0;

	(void)arg;
	rota_reactor_stats(rota_reactor_current(), &before);
	for (int i = 0; i < rounds; i++) {
		struct rota_scope scope;

		rota_scope_open(&scope, ROTA_NEVER);
		for (int j = 0; j < i % 100; j++, spawned++)
			T_EQUAL(rota_spawn(&scope, count_up, &ran), 0);
		T_EQUAL(rota_scope_close(&scope), 0);
	}
	rota_reactor_stats(rota_reactor_current(), &after);
	T_EQUAL(ran, spawned);
	T_EQUAL(after.tasks_spawned - before.tasks_spawned, spawned);
	T_EQUAL(after.tasks_alive, before.tasks_alive);
	return 0;
}

static void test_task_count_returns_to_what_it_was(void **state)
{
	(void)state;
	assert_int_equal(t_run(churn, NULL), 0);
}

/* ---- defer ---- */

struct trace {
	char text[16];
	size_t used;
};

static struct trace trace;

static void note(void *arg)
{
	trace.text[trace.used++] = *(const char *)arg;
}

static void note_and_defer(void *arg)
{
	note(arg);
	T_EQUAL(rota_task_defer(note, "d"), 0);
}

static void note_after_sleep(void *arg)
{
	struct rota_scope shield;

	T_EQUAL(rota_sleep_ms(1), -ECANCELED);
	rota_shield(&shield, rota_after_ms(10000));
	T_EQUAL(rota_sleep_ms(1), 0);
	T_EQUAL(rota_scope_close(&shield), 0);
	note(arg);
}

static int64_t defer_three(void *arg)
{
	(void)arg;
	T_EQUAL(rota_task_defer(note, "1"), 0);
	T_EQUAL(rota_task_defer(note_and_defer, "2"), 0);
	T_EQUAL(rota_task_defer(note_after_sleep, "3"), 0);
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ECANCELED);
	note("r");
	return 0;
}

static int64_t cancel_one_that_deferred(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, defer_three, NULL), 0);
	T_EQUAL(rota_yield(), 0);
	rota_scope_cancel(&scope, "test");
	return rota_scope_close(&scope);
}

static void test_task_defers_run_after_the_function_in_reverse_order(void **state)
{
	(void)state;
	memset(&trace, 0, sizeof(trace));
	assert_int_equal(t_run(cancel_one_that_deferred, NULL), -ECANCELED);
	assert_string_equal(trace.text, "r32d1");
}

static int64_t defer_if_possible(void *arg)
{
	int *expected = arg;

	for (int i = 0; i < 3; i++) {
		int status = rota_task_defer(note, "x");

		T_CHECK(status == 0 || status == -ENOMEM);
		*expected += status == 0;
	}
	return 0;
}

static void run_and_compare(void *arg)
{
	int expected = 0;
	int64_t status;

	(void)arg;
	memset(&trace, 0, sizeof(trace));
	status = t_run(defer_if_possible, &expected);
	assert_true(status == 0 || status == -ENOMEM || status == -ROTA_ESTACK);
	assert_int_equal(trace.used, expected);
}

/* The reactor's own allocations are swept as well. */
static void test_task_defer_without_memory_is_not_registered(void **state)
{
	size_t rounds;

	(void)state;
	t_alloc_install();
	t_log_keep();
	rounds = t_alloc_sweep(run_and_compare, NULL);
	t_log_stop();
	t_alloc_remove();
	assert_true(rounds >= 2 * 4);
}

/* ---- those that die ---- */

static int64_t leave_scope_open(void *arg)
{
	static struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	return 0;
}

static void run_leave_scope_open(void)
{
	rota_ignore(t_run(leave_scope_open, NULL), "it dies");
}

static void test_task_that_ends_with_an_open_scope_is_named(void **state)
{
	(void)state;
	t_expect_death(run_leave_scope_open, "ended with a scope still open");
	t_expect_death(run_leave_scope_open, "task \"first task\" (");
}

static volatile int64_t depth_max = INT64_MAX;

static ROTA_NOINLINE int64_t recurse(int64_t depth)
{
	volatile char frame[512];

	frame[0] = (char)depth;
	return depth < depth_max ? recurse(depth + 1) + frame[0] : 0;
}

static int64_t overflow(void *arg)
{
	(void)arg;
	return recurse(0);
}

static int64_t spawn_overflow(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	rota_ignore(rota_spawn_with(&scope, overflow, "x",
				    &(struct rota_spawn_options){ .name = "deep one" }),
		    "it dies");
	return rota_scope_close(&scope);
}

static void run_overflow(void)
{
	rota_ignore(t_run(spawn_overflow, NULL), "it dies");
}

/*
 * cmocka takes the fault handlers away after each test, and the library installs its own once per
 * process: so this is the first test, once.
 */
static void test_task_that_overflows_its_stack_is_named_with_its_spawn_site(void **state)
{
	static bool was_here;

	(void)state;
	if (was_here)
		skip();
	was_here = true;
	t_expect_death(run_overflow, "stack overflow in task \"deep one\" spawned at "
				     "tests/unit/framework/test_task.c:");
	t_expect_death(run_overflow, "(spawn_overflow)");
}

ROTA_NORETURN void __real_rota_assert_failed(const char *condition, const char *file, int line,
					     const char *function);

static int64_t fail_an_assertion(void *arg)
{
	(void)arg;
	__real_rota_assert_failed("pigs == fly", "sty.c", 3, "look_up");
}

static void run_failed_assertion(void)
{
	rota_ignore(t_run(fail_an_assertion, NULL), "it dies");
}

static void test_task_that_fails_an_assertion_is_named(void **state)
{
	(void)state;
	t_expect_death(run_failed_assertion,
		       "rota: assertion failed: pigs == fly (sty.c:3, look_up) in task "
		       "\"first task\" spawned at ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_task_that_overflows_its_stack_is_named_with_its_spawn_site),
		cmocka_unit_test(test_task_spawned_runs_in_a_later_pass),
		cmocka_unit_test(test_task_yield_lets_every_ready_task_run_once),
		cmocka_unit_test(test_task_that_only_yields_does_not_keep_timers_from_firing),
		cmocka_unit_test(test_task_knows_its_name_and_spawn_site),
		cmocka_unit_test(test_task_result_goes_to_its_future_and_failure_also_to_its_scope),
		cmocka_unit_test(test_task_spawn_over_the_limit_is_a_failure_of_the_scope),
		cmocka_unit_test(test_task_spawn_without_a_stack_fails_and_works_again_later),
		cmocka_unit_test(test_task_spawn_into_a_cancelled_scope_says_why_not),
		cmocka_unit_test(test_task_spawn_into_a_closing_scope_is_for_its_own_tasks_only),
		cmocka_unit_test(test_task_count_returns_to_what_it_was),
		cmocka_unit_test(test_task_defers_run_after_the_function_in_reverse_order),
		cmocka_unit_test(test_task_defer_without_memory_is_not_registered),
		cmocka_unit_test(test_task_that_ends_with_an_open_scope_is_named),
		cmocka_unit_test(test_task_that_fails_an_assertion_is_named),
	};

	return t_run_group("task", tests, ROTA_ARRAY_COUNT(tests));
}
