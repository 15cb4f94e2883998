/* SPDX-License-Identifier: MIT */
/*
 * Scopes: deadlines, shields, failures, and cancellation that nobody can miss. What is said about
 * "at once" is said in switches and turns, not in time; only the sweep of 100 000 tasks looks at
 * the clock, with bounds far above what it takes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/mailbox.h>
#include <rota/scope.h>

#include "tests/support/t_core.h"

static int64_t sleep_for_ever(void *arg)
{
	(void)arg;
	return rota_sleep_until(ROTA_NEVER);
}

static int64_t sleep_one_ms(void *arg)
{
	(void)arg;
	return rota_sleep_ms(1);
}

static int64_t do_nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int64_t fail_with(void *arg)
{
	return (int64_t)(intptr_t)arg;
}

#define FAIL(error) ((void *)(intptr_t) - (error))

/* Every call that could suspend, whether or not it would, says `expected`; twice. */
static void every_call_returns(int expected)
{
	struct rota_future done, pending, *both[] = { &done, &pending };

	rota_future_init(&done);
	rota_future_init(&pending);
	rota_future_complete(&done, 1);
	for (int i = 0; i < 2; i++) {
		T_EQUAL(rota_yield(), expected);
		T_EQUAL(rota_sleep_ms(0), expected);
		T_EQUAL(rota_sleep_until(ROTA_NEVER), expected);
		T_EQUAL(rota_await(&done), expected);
		T_EQUAL(rota_await(&pending), expected);
		T_EQUAL(rota_await_any(both, 2), expected);
		T_EQUAL(rota_await_any(both, 1), expected);
		T_EQUAL(rota_await_all(both, 2), expected);
		T_EQUAL(rota_await_all(both, 1), expected);
		T_EQUAL(rota_await_all(both, 0), expected);
		T_EQUAL(rota_call_on(rota_reactor_current(), do_nothing, NULL), expected);
		T_EQUAL(rota_check_cancelled(), expected);
	}
	T_CHECK(!rota_future_is_done(&pending));
	T_EQUAL(done.result, 1);
}

/* ---- by hand ---- */

static int64_t look_all_over(void *arg)
{
	struct rota_scope *scope = arg;
	struct rota_scope inner;

	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ECANCELED);
	every_call_returns(-ECANCELED);
	T_CHECK(rota_scope_is_cancelled(scope));
	rota_scope_open(&inner, rota_after_ms(1));
	T_CHECK(rota_scope_is_cancelled(&inner));
	every_call_returns(-ECANCELED);
	T_EQUAL(rota_spawn(&inner, do_nothing, NULL), -ECANCELED);
	T_EQUAL(rota_why()->kind, ROTA_CANCEL_BY_HAND);
	T_EQUAL(strcmp(rota_why()->why, "test"), 0);
	T_EQUAL(strcmp(rota_why()->site->function, "cancel_twice"), 0);
	T_EQUAL(rota_scope_close(&inner), -ECANCELED);
	return 0;
}

static int64_t cancel_twice(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	T_CHECK(rota_why() == NULL);
	rota_scope_open(&scope, ROTA_NEVER);
	T_CHECK(!rota_scope_is_cancelled(&scope));
	T_CHECK(rota_why() == NULL);
	T_EQUAL(rota_spawn(&scope, look_all_over, &scope), 0);
	T_EQUAL(rota_yield(), 0);
	rota_scope_cancel(&scope, "test");
	rota_scope_cancel(&scope, "again");
	every_call_returns(-ECANCELED);
	T_EQUAL(strcmp(rota_why()->why, "test"), 0);
	T_EQUAL(rota_scope_close(&scope), -ECANCELED);
	T_CHECK(rota_why() == NULL);
	T_EQUAL(rota_yield(), 0);
	return 0;
}

static void test_scope_cancelled_returns_from_every_call_at_once_and_again(void **state)
{
	(void)state;
	assert_int_equal(t_run(cancel_twice, NULL), 0);
}

static int64_t note_start_and_sleep(void *arg)
{
	*(bool *)arg = true;
	return rota_sleep_until(ROTA_NEVER);
}

static int64_t cancel_before_they_ran(void *arg)
{
	struct rota_scope scope;
	bool has_run = false;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, note_start_and_sleep, &has_run), 0);
	rota_scope_cancel(&scope, "test");
	T_EQUAL(rota_scope_close(&scope), -ECANCELED);
	T_CHECK(has_run);
	return 0;
}

static void test_scope_cancelled_before_a_task_ran_lets_it_run_and_find_out(void **state)
{
	(void)state;
	assert_int_equal(t_run(cancel_before_they_ran, NULL), 0);
}

struct bomb {
	struct rota_timer timer;
	struct rota_scope *scope;
};

static void explode(struct rota_timer *timer)
{
	rota_scope_cancel(ROTA_CONTAINER_OF(timer, struct bomb, timer)->scope, "bomb");
}

static int64_t wait_for_bomb(void *arg)
{
	struct rota_scope outer, inner;
	struct bomb bomb = { .scope = &outer };

	(void)arg;
	rota_scope_open(&outer, ROTA_NEVER);
	rota_scope_open(&inner, ROTA_NEVER);
	rota_timer_init(&bomb.timer, explode);
	rota_timer_arm(&bomb.timer, rota_after_ms(1));
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ECANCELED);
	T_EQUAL(rota_scope_close(&inner), -ECANCELED);
	T_EQUAL(rota_scope_close(&outer), -ECANCELED);
	return 0;
}

static void test_scope_cancelled_from_a_callback_reaches_its_opener_inside(void **state)
{
	(void)state;
	assert_int_equal(t_run(wait_for_bomb, NULL), 0);
}

/* ---- deadlines ---- */

static int64_t report_deadline(void *arg)
{
	*(rota_ns *)arg = rota_deadline();
	return 0;
}

static int64_t nest_deadlines(void *arg)
{
	rota_ns now = rota_now(), seen = 0;
	struct rota_scope outer, later, sooner, shield;

	(void)arg;
	T_EQUAL(rota_deadline(), ROTA_NEVER);
	rota_scope_open(&outer, now + 60 * ROTA_NS_PER_S);
	T_EQUAL(rota_deadline(), now + 60 * ROTA_NS_PER_S);
	rota_scope_open(&later, now + 90 * ROTA_NS_PER_S);
	T_EQUAL(rota_deadline(), now + 60 * ROTA_NS_PER_S);
	T_EQUAL(rota_scope_deadline(&later), now + 60 * ROTA_NS_PER_S);
	rota_scope_open(&sooner, now + 30 * ROTA_NS_PER_S);
	T_EQUAL(rota_deadline(), now + 30 * ROTA_NS_PER_S);
	T_EQUAL(rota_spawn(&later, report_deadline, &seen), 0);
	T_EQUAL(rota_yield(), 0);
	T_EQUAL(seen, now + 60 * ROTA_NS_PER_S);
	rota_shield(&shield, now + 80 * ROTA_NS_PER_S);
	T_EQUAL(rota_deadline(), now + 80 * ROTA_NS_PER_S);
	T_EQUAL(rota_scope_close(&shield), 0);
	rota_shield(&shield, ROTA_NEVER);
	T_EQUAL(rota_deadline(), ROTA_NEVER);
	T_EQUAL(rota_scope_close(&shield), 0);
	T_EQUAL(rota_scope_close(&sooner), 0);
	T_EQUAL(rota_scope_close(&later), 0);
	T_EQUAL(rota_scope_close(&outer), 0);
	T_EQUAL(rota_deadline(), ROTA_NEVER);
	return 0;
}

static void test_scope_deadline_is_the_minimum_up_to_a_shield(void **state)
{
	(void)state;
	assert_int_equal(t_run(nest_deadlines, NULL), 0);
}

static int64_t outlive_deadline(void *arg)
{
	rota_ns deadline = *(rota_ns *)arg;

	T_EQUAL(rota_deadline(), deadline);
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ETIMEDOUT);
	T_LESS(deadline - 1, rota_now());
	every_call_returns(-ETIMEDOUT);
	T_EQUAL(rota_why()->kind, ROTA_CANCEL_DEADLINE);
	T_EQUAL(rota_why()->error, -ETIMEDOUT);
	return -ETIMEDOUT;
}

static int64_t pass_deadline(void *arg)
{
	rota_ns deadline = rota_after_ms(3);
	struct rota_scope outer, inner;

	(void)arg;
	rota_scope_open(&outer, deadline);
	rota_scope_open(&inner, ROTA_NEVER);
	T_EQUAL(rota_spawn(&outer, outlive_deadline, &deadline), 0);
	T_EQUAL(rota_spawn(&inner, outlive_deadline, &deadline), 0);
	T_EQUAL(outlive_deadline(&deadline), -ETIMEDOUT);
	T_EQUAL(rota_scope_close(&inner), -ETIMEDOUT);
	T_EQUAL(rota_scope_close(&outer), -ETIMEDOUT);
	return 0;
}

static void test_scope_deadline_passed_times_out_all_inside(void **state)
{
	(void)state;
	t_log_keep();
	assert_int_equal(t_run(pass_deadline, NULL), 0);
	t_log_stop();
	assert_int_equal(t_log_count(""), 0); /* having been told is no failure */
}

static int64_t time_out_while_closing(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, rota_after_ms(2));
	T_EQUAL(rota_spawn(&scope, sleep_for_ever, NULL), 0);
	return rota_scope_close(&scope);
}

static void test_scope_deadline_passes_while_it_is_closed(void **state)
{
	(void)state;
	assert_int_equal(t_run(time_out_while_closing, NULL), -ETIMEDOUT);
}

/* ---- shields ---- */

static int64_t cancel_after_ms(void *arg)
{
	int status = rota_sleep_ms(1);

	rota_scope_cancel(arg, "test");
	return status;
}

static int64_t work_under_shield(void *arg)
{
	struct rota_scope shield, inner, *scope = arg;
	rota_ns start = rota_now();

	rota_shield(&shield, rota_after_ms(60000));
	rota_scope_open(&inner, ROTA_NEVER);
	T_EQUAL(rota_spawn(&inner, sleep_one_ms, NULL), 0);
	T_EQUAL(rota_sleep_ms(5), 0); /* cancelled in the middle of it */
	T_LESS(start + 5 * ROTA_NS_PER_MS - 1, rota_now());
	T_CHECK(rota_scope_is_cancelled(scope));
	T_CHECK(!rota_scope_is_cancelled(&inner));
	T_CHECK(rota_why() == NULL);
	T_EQUAL(rota_spawn(&inner, sleep_one_ms, NULL), 0);
	T_EQUAL(rota_yield(), 0);
	T_EQUAL(rota_scope_close(&inner), 0);
	T_EQUAL(rota_scope_close(&shield), 0);
	every_call_returns(-ECANCELED);
	return 0;
}

static int64_t cancel_around_shield(void *arg)
{
	struct rota_scope outer, scope;

	(void)arg;
	rota_scope_open(&outer, ROTA_NEVER);
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&outer, cancel_after_ms, &scope), 0);
	T_EQUAL(rota_spawn(&scope, work_under_shield, &scope), 0);
	T_EQUAL(work_under_shield(&scope), 0);
	T_EQUAL(rota_scope_close(&scope), -ECANCELED);
	return rota_scope_close(&outer);
}

static void test_scope_shield_keeps_out_the_cancellation_around_until_it_closes(void **state)
{
	(void)state;
	assert_int_equal(t_run(cancel_around_shield, NULL), 0);
}

static int64_t expect_timeout(void *arg)
{
	(void)arg;
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ETIMEDOUT);
	return -ETIMEDOUT;
}

static int64_t time_out_shield(void *arg)
{
	struct rota_scope scope, outer_shield, shield;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	rota_scope_cancel(&scope, "test");
	rota_shield(&outer_shield, rota_after_ms(2));
	rota_shield(&shield, rota_after_ms(4));
	T_EQUAL(rota_spawn(&shield, expect_timeout, NULL), 0);
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ETIMEDOUT);
	every_call_returns(-ETIMEDOUT);
	T_CHECK(rota_scope_is_cancelled(&outer_shield));
	T_EQUAL(rota_scope_close(&shield), -ETIMEDOUT);
	every_call_returns(-ETIMEDOUT);
	T_EQUAL(rota_scope_close(&outer_shield), -ETIMEDOUT);
	every_call_returns(-ECANCELED);
	return rota_scope_close(&scope);
}

static void test_scope_shield_has_a_deadline_of_its_own(void **state)
{
	(void)state;
	assert_int_equal(t_run(time_out_shield, NULL), -ECANCELED);
}

/* A scope with tasks, and over it a shield: the tasks are told although their opener is not. */
static int64_t hide_above_tasks(void *arg)
{
	struct rota_scope scope, shield;

	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, expect_timeout, NULL), 0);
	rota_shield(&shield, rota_after_ms(60000));
	while (!*(bool *)arg)
		T_EQUAL(rota_sleep_ms(1), 0);
	T_EQUAL(rota_scope_close(&shield), 0);
	return rota_scope_close(&scope);
}

static int64_t set_after_timeout(void *arg)
{
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ETIMEDOUT);
	*(bool *)arg = true;
	return 0;
}

static int64_t time_out_below_shield(void *arg)
{
	struct rota_scope scope;
	bool is_over = false;

	(void)arg;
	rota_scope_open(&scope, rota_after_ms(2));
	T_EQUAL(rota_spawn(&scope, set_after_timeout, &is_over), 0);
	T_EQUAL(rota_spawn(&scope, hide_above_tasks, &is_over), 0);
	return rota_scope_close(&scope);
}

static void test_scope_cancelled_reaches_tasks_below_a_shield_of_their_opener(void **state)
{
	(void)state;
	assert_int_equal(t_run(time_out_below_shield, NULL), -ETIMEDOUT);
}

/* ---- failures ---- */

static int64_t learn_of_sibling(void *arg)
{
	char text[ROTA_REASON_TEXT_BYTES];
	const struct rota_cancel_reason *why;

	(void)arg;
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ECANCELED);
	why = rota_why();
	T_EQUAL(why->kind, ROTA_CANCEL_SIBLING_FAILED);
	T_EQUAL(why->failure, -ECONNRESET);
	rota_reason_format(why, text);
	T_CHECK(strstr(text, "fail_with") != NULL);
	T_CHECK(strstr(text, "tests/unit/framework/test_scope.c:") != NULL);
	T_CHECK(strstr(text, "ECONNRESET") != NULL);
	return -ECANCELED;
}

static int64_t spawn_failures(void *arg)
{
	struct rota_future unseen;
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, learn_of_sibling, NULL), 0);
	T_EQUAL(rota_yield(), 0);
	T_EQUAL(rota_spawn(&scope, fail_with, FAIL(ECONNRESET)), 0);
	if (t_is_simulated()) /* seeded order: the first is to be the first */
		rota_ignore(rota_yield(), "cancelled by now");
	rota_ignore(rota_spawn(&scope, fail_with, FAIL(EIO)), "may be too late");
	rota_ignore(rota_spawn_with(&scope, fail_with, FAIL(EPIPE),
				    &(struct rota_spawn_options){ .result = &unseen }),
		    "may be too late");
	return rota_scope_close(&scope);
}

static void test_scope_failure_cancels_siblings_and_later_ones_are_logged(void **state)
{
	(void)state;
	t_log_keep();
	assert_int_equal(t_run(spawn_failures, NULL), -ECONNRESET);
	t_log_stop();
	assert_int_equal(t_log_count("ECONNRESET: "), 0);
	if (!t_is_simulated()) {
		assert_int_equal(t_log_count("EPIPE"), 1); /* nobody awaited its future */
		assert_int_equal(t_log_count("EIO"), 1);
		assert_int_equal(t_log_count("fail_with (tests/unit/framework/test_scope.c:"), 2);
	}
}

static int64_t fail_many(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < 1000; i++)
		T_EQUAL(rota_spawn(&scope, fail_with, FAIL(EIO)), 0);
	return rota_scope_close(&scope);
}

/* Each failure beyond the first is accounted for, and the log is not flooded. */
static void test_scope_failures_by_the_thousand_are_counted_in_few_lines(void **state)
{
	(void)state;
	t_log_keep();
	assert_int_equal(t_run(fail_many, NULL), -EIO);
	t_log_stop();
	assert_in_range(t_log_count("EIO"), 2, 20);
	assert_int_equal(t_log_count("991 more task(s)"), 1);
}

static int64_t fail_in_root(void *arg)
{
	struct rota_scope *root = rota_reactor_scope(rota_reactor_current());

	(void)arg;
	T_EQUAL(rota_spawn(root, fail_with, FAIL(EIO)), 0);
	T_EQUAL(rota_sleep_ms(1), 0);
	T_CHECK(rota_why() == NULL);
	return 3;
}

static void test_scope_failure_in_the_root_is_logged_and_cancels_nobody(void **state)
{
	(void)state;
	t_log_keep();
	assert_int_equal(t_run(fail_in_root, NULL), 3);
	t_log_stop();
	assert_int_equal(t_log_count("EIO"), 1);
}

static int64_t fail_untold(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, fail_with, FAIL(ECANCELED)), 0);
	T_EQUAL(rota_spawn(&scope, sleep_for_ever, NULL), 0);
	T_EQUAL(rota_scope_close(&scope), -ECANCELED);
	rota_scope_open(&scope, ROTA_NEVER);
	rota_scope_cancel(&scope, "test");
	T_EQUAL(rota_yield(), -ECANCELED);
	return rota_scope_close(&scope);
}

static void test_scope_cancelled_result_without_cancellation_is_a_failure(void **state)
{
	(void)state;
	assert_int_equal(t_run(fail_untold, NULL), -ECANCELED);
}

static int64_t fail_when_told(void *arg)
{
	(void)arg;
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ECANCELED);
	return -EIO;
}

static int64_t own_many(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < (int)t_many(9000) / 3; i++)
		T_EQUAL(rota_spawn(&scope, fail_when_told, NULL), 0);
	T_EQUAL(rota_scope_close(&scope), -EIO);
	return 0;
}

static int64_t cancel_around_many(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < 3; i++)
		T_EQUAL(rota_spawn(&scope, own_many, NULL), 0);
	for (int i = 0; i < 3; i++) /* they spawn, theirs run, all sleep */
		T_EQUAL(rota_yield(), 0);
	rota_scope_cancel(&scope, "test");
	return rota_scope_close(&scope);
}

/* Telling 3000 tasks takes several turns; in between, their scope is cancelled itself. */
static void test_scope_that_fails_while_an_outer_cancellation_is_spread_is_told_once(void **state)
{
	(void)state;
	t_log_keep();
	assert_int_equal(t_run(cancel_around_many, NULL), -ECANCELED);
	t_log_stop();
}

/* ---- many ---- */

#define SLEEPERS 100000

/*
 * At most this many tasks are told in a turn (framework/scope.c): what keeps the reactor coming
 * round.
 */
#define SWEPT_PER_TURN_MAX 512

static int64_t cancel_multitude(void *arg)
{
	struct rota_future gate;
	struct rota_scope scope;
	struct rota_reactor_stats before, after;
	rota_task_fn fn = (rota_task_fn)arg;

	rota_future_init(&gate);
	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < (int)t_many(SLEEPERS); i++)
		T_EQUAL(rota_spawn(&scope, fn, &gate), 0);
	T_EQUAL(rota_yield(), 0); /* behind all of them: now they sleep */
	rota_reactor_stats(rota_reactor_current(), &before);
	rota_scope_cancel(&scope, "test");
	T_EQUAL(rota_scope_close(&scope), -ECANCELED);
	rota_reactor_stats(rota_reactor_current(), &after);
	T_CHECK(after.turns - before.turns >= t_many(SLEEPERS) / SWEPT_PER_TURN_MAX);
	T_CHECK(!rota_future_is_done(&gate));
	T_CHECK(gate.waits_ == NULL);
	return 0;
}

static int64_t wait_at_gate(void *arg)
{
	return rota_await(arg);
}

static void test_scope_with_100000_sleepers_is_cancelled_in_slices(void **state)
{
	(void)state;
	assert_int_equal(t_run(cancel_multitude, (void *)sleep_for_ever), 0);
}

static void test_scope_with_100000_waiters_on_one_future_is_cancelled_in_slices(void **state)
{
	(void)state;
	assert_int_equal(t_run(cancel_multitude, (void *)wait_at_gate), 0);
}

struct node {
	int depth;
	uint64_t *alive;
};

static int64_t grow(void *arg)
{
	struct node *node = arg, child = { node->depth - 1, node->alive };
	struct rota_scope scopes[3];
	int status;

	++*node->alive;
	for (int i = 0; i < 3; i++) {
		rota_scope_open(&scopes[i], ROTA_NEVER);
		if (node->depth)
			T_EQUAL(rota_spawn(&scopes[i], grow, &child), 0);
	}
	status = rota_sleep_until(ROTA_NEVER);
	for (int i = 2; i >= 0; i--)
		T_EQUAL(rota_scope_close(&scopes[i]), -ECANCELED);
	--*node->alive;
	return status;
}

static int64_t fell(void *arg)
{
	uint64_t alive = 0;
	struct node root = { 6, &alive };
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, grow, &root), 0);
	while (alive < 1093) /* 1 + 3 + 9 … + 3^6 */
		T_EQUAL(rota_yield(), 0);
	rota_scope_cancel(&scope, "test");
	T_EQUAL(rota_scope_close(&scope), -ECANCELED);
	T_EQUAL(alive, 0);
	return 0;
}

static void test_scope_cancelled_reaches_the_leaves_of_a_tree(void **state)
{
	(void)state;
	assert_int_equal(t_run(fell, NULL), 0);
}

/* ---- reasons as text ---- */

static void test_scope_reason_reads_well_and_is_cut_to_size(void **state)
{
	static const struct rota_site site = { "a.c", "serve", "fetch", 12 };
	struct rota_cancel_reason reason = { .kind = ROTA_CANCEL_NONE };
	char text[ROTA_REASON_TEXT_BYTES];
	char words[2 * ROTA_REASON_TEXT_BYTES];

	(void)state;
	assert_string_equal(rota_reason_format(&reason, text), "not cancelled");
	reason = (struct rota_cancel_reason){ .kind = ROTA_CANCEL_DEADLINE,
					      .why = "deadline passed" };
	assert_string_equal(rota_reason_format(&reason, text), "deadline passed");
	reason = (struct rota_cancel_reason){ .kind = ROTA_CANCEL_BY_HAND,
					      .why = "enough",
					      .site = &site };
	assert_string_equal(rota_reason_format(&reason, text), "enough (a.c:12, serve)");
	reason.kind = ROTA_CANCEL_SIBLING_FAILED;
	reason.failure = -ECONNRESET;
	assert_string_equal(rota_reason_format(&reason, text),
			    "fetch (spawned at a.c:12) failed with ECONNRESET");
	reason.kind = ROTA_CANCEL_DEADLINE;
	reason.why = "deadline passed";
	assert_string_equal(rota_reason_format(&reason, text),
			    "deadline passed (fetch opened at a.c:12, serve)");
	memset(words, 'w', sizeof(words));
	words[sizeof(words) - 1] = '\0';
	reason.kind = ROTA_CANCEL_BY_HAND;
	reason.why = words;
	assert_int_equal(strlen(rota_reason_format(&reason, text)), sizeof(text) - 1);
}

/* ---- those that die ---- */

static int64_t close_foreign(void *arg)
{
	return rota_scope_close(arg);
}

static int64_t let_it_be_closed(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, close_foreign, &scope), 0);
	return rota_sleep_ms(1000);
}

static void run_let_it_be_closed(void)
{
	rota_ignore(t_run(let_it_be_closed, NULL), "it dies");
}

static int64_t close_out_of_order(void *arg)
{
	struct rota_scope outer, inner;

	(void)arg;
	rota_scope_open(&outer, ROTA_NEVER);
	rota_scope_open(&inner, ROTA_NEVER);
	return rota_scope_close(&outer);
}

static void run_close_out_of_order(void)
{
	rota_ignore(t_run(close_out_of_order, NULL), "it dies");
}

static void test_scope_closed_by_another_task_or_out_of_order_is_asserted(void **state)
{
	(void)state;
	t_expect_death(run_let_it_be_closed, "scope->task_ == task");
	t_expect_death(run_close_out_of_order, "task->scope == scope");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scope_cancelled_returns_from_every_call_at_once_and_again),
		cmocka_unit_test(test_scope_cancelled_before_a_task_ran_lets_it_run_and_find_out),
		cmocka_unit_test(test_scope_cancelled_from_a_callback_reaches_its_opener_inside),
		cmocka_unit_test(test_scope_deadline_is_the_minimum_up_to_a_shield),
		cmocka_unit_test(test_scope_deadline_passed_times_out_all_inside),
		cmocka_unit_test(test_scope_deadline_passes_while_it_is_closed),
		cmocka_unit_test(
			test_scope_shield_keeps_out_the_cancellation_around_until_it_closes),
		cmocka_unit_test(test_scope_shield_has_a_deadline_of_its_own),
		cmocka_unit_test(test_scope_cancelled_reaches_tasks_below_a_shield_of_their_opener),
		cmocka_unit_test(test_scope_failure_cancels_siblings_and_later_ones_are_logged),
		cmocka_unit_test(test_scope_failures_by_the_thousand_are_counted_in_few_lines),
		cmocka_unit_test(test_scope_failure_in_the_root_is_logged_and_cancels_nobody),
		cmocka_unit_test(test_scope_cancelled_result_without_cancellation_is_a_failure),
		cmocka_unit_test(
			test_scope_that_fails_while_an_outer_cancellation_is_spread_is_told_once),
		cmocka_unit_test(test_scope_with_100000_sleepers_is_cancelled_in_slices),
		cmocka_unit_test(
			test_scope_with_100000_waiters_on_one_future_is_cancelled_in_slices),
		cmocka_unit_test(test_scope_cancelled_reaches_the_leaves_of_a_tree),
		cmocka_unit_test(test_scope_reason_reads_well_and_is_cut_to_size),
		cmocka_unit_test(test_scope_closed_by_another_task_or_out_of_order_is_asserted),
	};

	return t_run_group("scope", tests, ROTA_ARRAY_COUNT(tests));
}
