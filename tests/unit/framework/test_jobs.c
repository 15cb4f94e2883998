/* SPDX-License-Identifier: MIT */
/*
 * Several functions at once: gathered, raced, taken as they end; and scopes that collect failures
 * or move on. Whatever happens, all have ended when the call returns.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/jobs.h>

#include "tests/support/t_core.h"

#define COUNT 5

static unsigned running;

/* Takes delay_ms, then ends with `result`. */
struct work {
	int64_t delay_ms;
	int64_t result;
	int64_t status; /* of its sleep */
};

static int64_t work_on(void *arg)
{
	struct work *work = arg;

	running++;
	work->status = rota_sleep_ms(work->delay_ms);
	running--;
	return work->status < 0 ? work->status : work->result;
}

static void prepare(struct rota_job *jobs, struct work *works)
{
	for (int i = 0; i < COUNT; i++) {
		works[i] = (struct work){ .delay_ms = 10 + 10 * ((i * 3) % COUNT),
					  .result = i * 100 };
		jobs[i] = (struct rota_job){ .fn = work_on, .arg = &works[i] };
	}
}

/* Longer than any test waits for. */
#define FOR_EVER_MS 1000000

/* ---- gather ---- */

static int64_t gather(void *arg)
{
	struct rota_job jobs[COUNT];
	struct work works[COUNT];

	(void)arg;
	prepare(jobs, works);
	T_EQUAL(rota_gather(jobs, COUNT), 0);
	T_EQUAL(running, 0);
	for (int i = 0; i < COUNT; i++)
		T_EQUAL(jobs[i].result, i * 100);
	T_EQUAL(rota_gather(jobs, 0), 0);
	return 0;
}

static void test_gather_has_all_results_in_the_order_of_the_list(void **state)
{
	(void)state;
	assert_int_equal(t_run(gather, NULL), 0);
}

static int64_t gather_with_a_failure(void *arg)
{
	struct rota_job jobs[COUNT];
	struct work works[COUNT];

	(void)arg;
	prepare(jobs, works);
	works[0].result = -EIO; /* the first to end */
	for (int i = 1; i < COUNT; i++)
		works[i].delay_ms = FOR_EVER_MS;
	T_EQUAL(rota_gather(jobs, COUNT), -EIO);
	T_EQUAL(running, 0);
	for (int i = 1; i < COUNT; i++)
		T_EQUAL(jobs[i].result, -ECANCELED);
	T_EQUAL(rota_check_cancelled(), 0); /* nobody else was */

	prepare(jobs, works);
	works[2].result = -EIO;
	T_EQUAL(rota_gather_all(jobs, COUNT), -EIO);
	for (int i = 0; i < COUNT; i++)
		T_EQUAL(jobs[i].result, i == 2 ? -EIO : i * 100);
	return 0;
}

static void test_gather_failure_cancels_the_others_or_nobody(void **state)
{
	(void)state;
	assert_int_equal(t_run(gather_with_a_failure, NULL), 0);
}

static int64_t gather_too_late(void *arg)
{
	struct rota_job jobs[COUNT];
	struct work works[COUNT];
	struct rota_scope scope;

	(void)arg;
	prepare(jobs, works);
	for (int i = 0; i < COUNT; i++)
		works[i].delay_ms = FOR_EVER_MS;
	rota_scope_open(&scope, rota_after_ms(5));
	T_EQUAL(rota_gather(jobs, COUNT), -ETIMEDOUT);
	T_EQUAL(running, 0);
	T_EQUAL(jobs[3].result, -ETIMEDOUT);
	T_EQUAL(rota_gather_all(jobs, COUNT), -ETIMEDOUT); /* none even starts */
	T_EQUAL(jobs[3].result, -ETIMEDOUT);
	T_EQUAL(rota_race(jobs, COUNT), -ETIMEDOUT);
	T_EQUAL(rota_scope_close(&scope), -ETIMEDOUT);
	return 0;
}

static void test_gather_and_race_honour_deadlines(void **state)
{
	(void)state;
	assert_int_equal(t_run(gather_too_late, NULL), 0);
}

/* ---- race ---- */

static int64_t race(void *arg)
{
	struct rota_job jobs[COUNT];
	struct work works[COUNT];

	(void)arg;
	prepare(jobs, works);
	for (int i = 0; i < COUNT; i++)
		works[i].delay_ms = i == 3 ? 20 : FOR_EVER_MS;
	works[1] = (struct work){ .delay_ms = 1, .result = -ECONNREFUSED };
	T_EQUAL(rota_race(jobs, COUNT), 3); /* a failure does not win */
	T_EQUAL(running, 0);
	T_EQUAL(jobs[3].result, 300);
	T_EQUAL(jobs[0].result, -ECANCELED);

	for (int i = 0; i < COUNT; i++)
		works[i] = (struct work){ .delay_ms = i ? 1 : 40, .result = -100 - i };
	T_EQUAL(rota_race(jobs, COUNT), -100); /* the last to fail */
	T_EQUAL(running, 0);
	return 0;
}

static void test_race_first_success_wins_and_losers_have_ended(void **state)
{
	(void)state;
	assert_int_equal(t_run(race, NULL), 0);
}

/* ---- as they end ---- */

static int64_t take_as_they_end(void *arg)
{
	struct rota_job list[COUNT];
	struct work works[COUNT];
	struct rota_jobs jobs;
	int64_t last = 0;
	unsigned seen = 0;
	int index;

	(void)arg;
	prepare(list, works);
	rota_jobs_open(&jobs, list, COUNT);
	while ((index = rota_jobs_next(&jobs)) >= 0) {
		T_CHECK(!(seen & 1u << index));
		seen |= 1u << index;
		T_EQUAL(list[index].result, index * 100);
		T_LESS(last, works[index].delay_ms);
		last = t_is_simulated() ? works[index].delay_ms : 0;
	}
	T_EQUAL(index, -ENODATA);
	T_EQUAL(seen, (1u << COUNT) - 1);
	T_EQUAL(rota_jobs_next(&jobs), -ENODATA);
	T_EQUAL(rota_jobs_close(&jobs), 0);

	for (int i = 0; i < COUNT; i++)
		works[i].delay_ms = i ? FOR_EVER_MS : 1;
	rota_jobs_open(&jobs, list, COUNT);
	T_EQUAL(rota_jobs_next(&jobs), 0);
	rota_jobs_cancel(&jobs, "one is enough");
	T_EQUAL(rota_jobs_close(&jobs), 0);
	T_EQUAL(running, 0);
	return 0;
}

static void test_jobs_come_as_they_end(void **state)
{
	(void)state;
	assert_int_equal(t_run(take_as_they_end, NULL), 0);
}

/* ---- without memory ---- */

static int64_t gather_too_many(void *arg)
{
	struct rota_job jobs[COUNT];
	struct work works[COUNT];

	(void)arg;
	prepare(jobs, works);
	T_EQUAL(rota_gather_all(jobs, COUNT), -ENOMEM);
	for (int i = 0; i < COUNT; i++)
		T_EQUAL(jobs[i].result, i < 3 ? i * 100 : -ENOMEM);
	T_EQUAL(rota_gather(jobs, COUNT), -ENOMEM);
	T_EQUAL(running, 0);
	return 0;
}

static void test_gather_says_which_could_not_be_started(void **state)
{
	struct rota_reactor_options options = t_reactor_options();

	(void)state;
	options.tasks_max = 4; /* three beside the one that gathers */
	assert_int_equal(rota_run(&options, gather_too_many, NULL), 0);
}

/* ---- scopes that collect, scopes that move on ---- */

static int64_t fail_now(void *arg)
{
	return *(int64_t *)arg;
}

static int64_t collect(void *arg)
{
	struct work work = { .delay_ms = 5, .result = 1 };
	int64_t failures[] = { -EIO, -EPERM };
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	rota_scope_collect(&scope);
	for (int i = 0; i < 2; i++) {
		T_EQUAL(rota_spawn(&scope, fail_now, &failures[i]), 0);
		T_EQUAL(rota_yield(), 0);
	}
	T_EQUAL(rota_spawn(&scope, work_on, &work), 0);
	T_CHECK(!rota_scope_is_cancelled(&scope));
	T_EQUAL(rota_scope_close(&scope), -EIO);
	T_EQUAL(work.status, 0); /* ran to its own end */
	return 0;
}

static void test_scope_that_collects_cancels_nobody_and_swallows_nothing(void **state)
{
	(void)state;
	t_log_keep();
	assert_int_equal(t_run(collect, NULL), 0);
	assert_int_equal(t_log_count("EPERM"), 1); /* the one that close does not return */
	assert_int_equal(t_log_count("EIO"), 0);
	t_log_stop();
}

static int64_t move_on(void *arg)
{
	struct work work = { .delay_ms = FOR_EVER_MS };
	int64_t failure = -EIO;
	struct rota_scope scope, outer;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_scope_close_and_move_on(&scope), 0);

	rota_scope_open(&scope, rota_after_ms(1));
	T_EQUAL(rota_spawn(&scope, work_on, &work), 0);
	T_EQUAL(rota_scope_close_and_move_on(&scope), 1);
	T_EQUAL(work.status, -ETIMEDOUT);
	T_EQUAL(rota_yield(), 0);

	rota_scope_open(&scope, ROTA_NEVER);
	rota_scope_cancel(&scope, "enough");
	T_EQUAL(rota_scope_close_and_move_on(&scope), 1);

	rota_scope_open(&scope, rota_after_ms(1000000));
	T_EQUAL(rota_spawn(&scope, fail_now, &failure), 0);
	T_EQUAL(rota_scope_close_and_move_on(&scope), -EIO);

	rota_scope_open(&outer, rota_after_ms(1));
	rota_scope_open(&scope, rota_after_ms(1000000));
	T_EQUAL(rota_spawn(&scope, work_on, &work), 0);
	T_EQUAL(rota_scope_close_and_move_on(&scope), -ETIMEDOUT); /* not its own deadline */
	T_EQUAL(rota_scope_close(&outer), -ETIMEDOUT);
	T_EQUAL(running, 0);
	return 0;
}

static void test_scope_that_moves_on_forgives_its_own_end_only(void **state)
{
	(void)state;
	assert_int_equal(t_run(move_on, NULL), 0);
}

/* ---- bad use ---- */

static struct rota_scope opened;

static int64_t close_anothers(void *arg)
{
	(void)arg;
	return rota_scope_close(&opened);
}

static int64_t open_for_another(void *arg)
{
	(void)arg;
	rota_scope_open(&opened, ROTA_NEVER);
	T_EQUAL(rota_spawn(&opened, close_anothers, NULL), 0);
	return rota_scope_close(&opened);
}

static int64_t close_twice(void *arg)
{
	(void)arg;
	rota_scope_open(&opened, ROTA_NEVER);
	T_EQUAL(rota_scope_close(&opened), 0);
	return rota_scope_close(&opened);
}

static int64_t collect_for_another(void *arg)
{
	(void)arg;
	rota_scope_collect(&opened);
	return 0;
}

static int64_t open_and_let_collect(void *arg)
{
	(void)arg;
	rota_scope_open(&opened, ROTA_NEVER);
	T_EQUAL(rota_spawn(&opened, collect_for_another, NULL), 0);
	return rota_scope_close(&opened);
}

static rota_task_fn bad_fn;

static void run_bad(void)
{
	rota_ignore(t_run(bad_fn, NULL), "it dies");
}

static void test_scope_bad_use_is_named(void **state)
{
	(void)state;
	bad_fn = open_for_another;
	t_expect_death(run_bad, "scope->task_ == task");
	bad_fn = close_twice;
	t_expect_death(run_bad, "task->scope == scope");
	bad_fn = open_and_let_collect;
	t_expect_death(run_bad, "scope->task_ == rota__task()");
}

static struct rota_future own;

static int64_t await_own(void *arg)
{
	(void)arg;
	T_EQUAL(rota_await(&own), -EDEADLK);
	return 3;
}

static int64_t spawn_self_waiter(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn_with(&scope, await_own, NULL,
				&(struct rota_spawn_options){ .result = &own }),
		0);
	T_EQUAL(rota_await(&own), 3);
	return rota_scope_close(&scope);
}

static void test_task_that_awaits_its_own_end_is_told(void **state)
{
	(void)state;
	assert_int_equal(t_run(spawn_self_waiter, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gather_has_all_results_in_the_order_of_the_list),
		cmocka_unit_test(test_gather_failure_cancels_the_others_or_nobody),
		cmocka_unit_test(test_gather_and_race_honour_deadlines),
		cmocka_unit_test(test_race_first_success_wins_and_losers_have_ended),
		cmocka_unit_test(test_jobs_come_as_they_end),
		cmocka_unit_test(test_gather_says_which_could_not_be_started),
		cmocka_unit_test(test_scope_that_collects_cancels_nobody_and_swallows_nothing),
		cmocka_unit_test(test_scope_that_moves_on_forgives_its_own_end_only),
		cmocka_unit_test(test_scope_bad_use_is_named),
		cmocka_unit_test(test_task_that_awaits_its_own_end_is_told),
	};

	return t_run_group("jobs", tests, ROTA_ARRAY_COUNT(tests));
}
