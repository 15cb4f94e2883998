/* SPDX-License-Identifier: MIT */
/*
 * Futures: completed once, awaited by one or many, settled when a wait for several is over. Calls
 * on other reactors are futures as well; those are in test_mailbox.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/future.h>

#include "tests/support/t_core.h"

/* ---- one future ---- */

static void test_future_completed_twice_is_asserted(void **state)
{
	struct rota_future future;

	(void)state;
	rota_future_init(&future);
	assert_false(rota_future_is_done(&future));
	rota_future_complete(&future, 5);
	assert_true(rota_future_is_done(&future));
	assert_int_equal(future.result, 5);
	expect_assert_failure(rota_future_complete(&future, 6));
}

struct meeting {
	struct rota_future gate;
	unsigned came;
};

static int64_t come_to_gate(void *arg)
{
	struct meeting *meeting = arg;
	int64_t result = rota_await(&meeting->gate);

	meeting->came++;
	return result;
}

static int64_t meet(void *arg)
{
	struct meeting meeting = { .came = 0 };
	struct rota_scope scope;

	(void)arg;
	rota_future_init(&meeting.gate);
	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < 1000; i++)
		T_EQUAL(rota_spawn(&scope, come_to_gate, &meeting), 0);
	T_EQUAL(rota_yield(), 0);
	rota_future_complete(&meeting.gate, 9);
	T_EQUAL(meeting.came, 0); /* none runs inside the call */
	T_EQUAL(rota_yield(), 0);
	T_EQUAL(meeting.came, 1000);
	T_EQUAL(come_to_gate(&meeting), 9); /* done already: no wait, the same result */
	return rota_scope_close(&scope);
}

static void test_future_completed_wakes_all_who_wait_in_a_later_pass(void **state)
{
	(void)state;
	assert_int_equal(t_run(meet, NULL), 0);
}

static int64_t expect_result(void *arg)
{
	T_EQUAL(rota_await(arg), 11);
	T_EQUAL(rota_await(arg), -ECANCELED);
	return 0;
}

static int64_t complete_then_cancel(void *arg)
{
	struct rota_future future, *futures[] = { &future };
	struct rota_scope scope;

	(void)arg;
	rota_future_init(&future);
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, expect_result, &future), 0);
	T_EQUAL(rota_yield(), 0);
	rota_future_complete(&future, 11);
	rota_scope_cancel(&scope, "too late");
	T_EQUAL(rota_await_any(futures, 1), -ECANCELED);
	T_EQUAL(rota_scope_close(&scope), -ECANCELED);
	return 0;
}

/* A result that has come is delivered, although the task was cancelled before it ran. */
static void test_future_completed_before_the_cancellation_delivers_its_result(void **state)
{
	(void)state;
	assert_int_equal(t_run(complete_then_cancel, NULL), 0);
}

static int64_t expect_cancelled(void *arg)
{
	T_EQUAL(rota_await(arg), -ECANCELED);
	T_CHECK(!rota_future_is_done(arg));
	return 0;
}

static int64_t cancel_waiters_of_plain_future(void *arg)
{
	struct meeting meeting = { .came = 0 };
	struct rota_scope scope, other;

	(void)arg;
	rota_future_init(&meeting.gate);
	rota_scope_open(&other, ROTA_NEVER);
	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < 3; i++)
		T_EQUAL(rota_spawn(&scope, expect_cancelled, &meeting.gate), 0);
	T_EQUAL(rota_spawn(&other, come_to_gate, &meeting), 0);
	T_EQUAL(rota_yield(), 0);
	rota_scope_cancel(&scope, "test");
	T_EQUAL(rota_scope_close(&scope), -ECANCELED);
	rota_future_complete(&meeting.gate, 1);
	T_EQUAL(rota_scope_close(&other), 0);
	T_EQUAL(meeting.came, 1);
	return 0;
}

static void test_future_left_by_cancelled_waiters_stays_pending(void **state)
{
	(void)state;
	assert_int_equal(t_run(cancel_waiters_of_plain_future, NULL), 0);
}

/* ---- timers ---- */

static int64_t sleep_some(void *arg)
{
	rota_ns start = rota_now(), deadline = rota_after_ms(3);
	struct rota_timeout past, never;

	(void)arg;
	T_EQUAL(rota_sleep_until(deadline), 0);
	T_LESS(deadline - 1, rota_now());
	T_EQUAL(rota_sleep_ms(0), 0);
	T_EQUAL(rota_sleep_until(start), 0);
	T_EQUAL(rota_sleep_until(0), 0);
	rota_timeout_start(&past, start);
	rota_timeout_start(&never, ROTA_NEVER);
	T_EQUAL(rota_await_any((struct rota_future *[]){ &never.future, &past.future }, 2), 1);
	T_EQUAL(past.future.result, 0);
	T_EQUAL(never.future.result, -ECANCELED);
	return 0;
}

static void test_future_timer_is_never_early_and_past_ones_come_at_once(void **state)
{
	(void)state;
	assert_int_equal(t_run(sleep_some, NULL), 0);
}

static int64_t await_timer_and_time_out(void *arg)
{
	T_EQUAL(rota_await(arg), -ETIMEDOUT);
	return -ETIMEDOUT;
}

static int64_t share_timer(void *arg)
{
	struct rota_timeout timeout;
	struct rota_scope scope;

	(void)arg;
	rota_timeout_start(&timeout, ROTA_NEVER);
	rota_scope_open(&scope, rota_after_ms(1));
	for (int i = 0; i < 3; i++)
		T_EQUAL(rota_spawn(&scope, await_timer_and_time_out, &timeout.future), 0);
	T_EQUAL(rota_scope_close(&scope), -ETIMEDOUT);
	T_EQUAL(timeout.future.result, -ECANCELED);
	return 0;
}

/* The first one told cancels the timer; the others find it cancelled, and still say why. */
static void test_future_timer_shared_by_waiters_that_time_out_says_so_to_each(void **state)
{
	(void)state;
	assert_int_equal(t_run(share_timer, NULL), 0);
}

/* ---- any ---- */

static int64_t await_any_of_timers(void *arg)
{
	struct rota_timeout timeouts[8];
	struct rota_future *futures[8];

	(void)arg;
	for (int winner = 0; winner < 8; winner++) {
		for (int i = 0; i < 8; i++) {
			rota_timeout_start(&timeouts[i], rota_after_ms(i == winner ? 1 : 60000));
			futures[i] = &timeouts[i].future;
		}
		T_EQUAL(rota_await_any(futures, 8), winner);
		for (int i = 0; i < 8; i++) {
			T_CHECK(rota_future_is_done(futures[i]));
			T_EQUAL(futures[i]->result, i == winner ? 0 : -ECANCELED);
			T_CHECK(!rota_timer_is_armed(&timeouts[i].timer_));
		}
	}
	return 0;
}

static void test_future_any_settles_the_losers(void **state)
{
	(void)state;
	assert_int_equal(t_run(await_any_of_timers, NULL), 0);
}

struct slow {
	struct rota_future future;
	struct rota_timer timer;
	int64_t late_result;
	unsigned cancels;
};

static void slow_end(struct rota_timer *timer)
{
	struct slow *slow = ROTA_CONTAINER_OF(timer, struct slow, timer);

	rota_future_complete(&slow->future, slow->late_result);
}

/* Takes a while to be cancelled, as an operation does. */
static void slow_cancel(struct rota_future *future)
{
	struct slow *slow = ROTA_CONTAINER_OF(future, struct slow, future);

	slow->cancels++;
	rota_timer_arm(&slow->timer, rota_after_ms(2));
}

static void slow_start(struct slow *slow, int64_t late_result)
{
	*slow = (struct slow){ .late_result = late_result };
	rota_future_init(&slow->future);
	slow->future.cancel_ = slow_cancel;
	rota_timer_init(&slow->timer, slow_end);
}

static int64_t await_any_slow(void *arg)
{
	struct rota_future plain, done;
	struct slow lost, won;

	(void)arg;
	rota_future_init(&plain);
	rota_future_init(&done);
	rota_future_complete(&done, 1);
	slow_start(&lost, -ECANCELED);
	slow_start(&won, 77);
	T_EQUAL(rota_await_any(
			(struct rota_future *[]){ &lost.future, &plain, &won.future, &done, &done },
			5),
		3);
	T_EQUAL(lost.future.result, -ECANCELED);
	T_CHECK(rota_future_is_done(&won.future));
	T_EQUAL(won.future.result, 77); /* it came anyway */
	T_CHECK(!rota_future_is_done(&plain));
	T_CHECK(plain.waits_ == NULL);
	T_EQUAL(lost.cancels, 1);
	return 0;
}

static void test_future_any_waits_for_what_it_cancelled_and_keeps_late_results(void **state)
{
	(void)state;
	assert_int_equal(t_run(await_any_slow, NULL), 0);
}

struct pair {
	struct rota_future a, b;
};

static int64_t complete_both(void *arg)
{
	struct pair *pair = arg;

	rota_future_complete(&pair->b, 2);
	rota_future_complete(&pair->a, 1);
	return 0;
}

static int64_t await_any_of_two(void *arg)
{
	struct rota_scope scope;
	struct pair pair;

	(void)arg;
	rota_future_init(&pair.a);
	rota_future_init(&pair.b);
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, complete_both, &pair), 0);
	T_EQUAL(rota_await_any((struct rota_future *[]){ &pair.a, &pair.b }, 2), 0);
	T_EQUAL(rota_await_any((struct rota_future *[]){ &pair.b, &pair.a, &pair.b }, 3), 0);
	return rota_scope_close(&scope);
}

static void test_future_any_returns_the_lowest_index_of_those_done(void **state)
{
	(void)state;
	assert_int_equal(t_run(await_any_of_two, NULL), 0);
}

static int64_t await_any_until_cancelled(void *arg)
{
	struct rota_future *plain = arg;
	struct slow lost, won;
	struct rota_timeout timeout;

	slow_start(&lost, -ECANCELED);
	slow_start(&won, 5);
	rota_timeout_start(&timeout, ROTA_NEVER);
	T_EQUAL(rota_await_any((struct rota_future *[]){ &lost.future, &timeout.future, plain,
							 &won.future, &lost.future },
			       5),
		-ETIMEDOUT);
	T_EQUAL(lost.future.result, -ECANCELED);
	T_EQUAL(timeout.future.result, -ECANCELED);
	T_EQUAL(won.future.result, 5);
	T_CHECK(!rota_future_is_done(plain));
	T_EQUAL(lost.cancels, 2); /* it is in the set twice */
	T_EQUAL(won.cancels, 1);

	/* Cancelled on entry: settled all the same. */
	slow_start(&lost, -ECANCELED);
	slow_start(&won, 6);
	T_EQUAL(rota_await_any((struct rota_future *[]){ &lost.future, &won.future }, 2),
		-ETIMEDOUT);
	T_EQUAL(lost.future.result, -ECANCELED);
	T_EQUAL(won.future.result, 6);
	/* One alone: the result that came anyway is returned. */
	slow_start(&lost, -ECANCELED);
	slow_start(&won, 7);
	T_EQUAL(rota_await(&lost.future), -ETIMEDOUT);
	T_EQUAL(rota_await(&won.future), 7);
	return 0;
}

static int64_t cancel_await_any(void *arg)
{
	struct rota_future plain;
	struct rota_scope scope;

	(void)arg;
	rota_future_init(&plain);
	rota_scope_open(&scope, rota_after_ms(2));
	T_EQUAL(rota_spawn(&scope, await_any_until_cancelled, &plain), 0);
	T_EQUAL(rota_scope_close(&scope), -ETIMEDOUT);
	T_CHECK(plain.waits_ == NULL);
	return 0;
}

static void test_future_any_cancelled_is_settled_before_it_returns(void **state)
{
	(void)state;
	assert_int_equal(t_run(cancel_await_any, NULL), 0);
}

static int64_t await_one_slow(void *arg)
{
	struct slow *slow = arg;
	int64_t result = rota_await(&slow->future);

	T_EQUAL(result, slow->late_result == -ECANCELED ? -ETIMEDOUT : slow->late_result);
	T_EQUAL(slow->cancels, 1);
	return 0;
}

static int64_t cancel_await(void *arg)
{
	struct rota_scope scope;
	struct slow slow[2];

	(void)arg;
	slow_start(&slow[0], -ECANCELED);
	slow_start(&slow[1], 12);
	rota_scope_open(&scope, rota_after_ms(2));
	T_EQUAL(rota_spawn(&scope, await_one_slow, &slow[0]), 0);
	T_EQUAL(rota_spawn(&scope, await_one_slow, &slow[1]), 0);
	T_EQUAL(rota_scope_close(&scope), -ETIMEDOUT);
	return 0;
}

static void test_future_cancelled_in_flight_is_waited_for_and_its_result_kept(void **state)
{
	(void)state;
	assert_int_equal(t_run(cancel_await, NULL), 0);
}

/* ---- all ---- */

static int64_t await_all_kinds(void *arg)
{
	struct rota_timeout first, second;
	struct rota_scope scope;
	struct pair pair;

	(void)arg;
	rota_future_init(&pair.a);
	rota_future_init(&pair.b);
	rota_timeout_start(&first, rota_after_ms(2));
	rota_timeout_start(&second, rota_after_ms(1));
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, complete_both, &pair), 0);
	T_EQUAL(rota_await_all((struct rota_future *[]){ &first.future, &pair.a, &second.future,
							 &pair.b, &pair.b },
			       5),
		0);
	T_EQUAL(pair.a.result + pair.b.result, 3);
	T_CHECK(rota_future_is_done(&first.future));
	T_EQUAL(rota_await_all((struct rota_future *[]){ &first.future }, 1), 0);
	T_EQUAL(rota_await_all(NULL, 0), 0);
	return rota_scope_close(&scope);
}

static void test_future_all_returns_when_the_last_one_is_done(void **state)
{
	(void)state;
	assert_int_equal(t_run(await_all_kinds, NULL), 0);
}

static int64_t await_all_until_cancelled(void *arg)
{
	struct rota_future plain;
	struct slow lost, won;

	(void)arg;
	rota_future_init(&plain);
	slow_start(&lost, -ECANCELED);
	slow_start(&won, 8);
	T_EQUAL(rota_await_all((struct rota_future *[]){ &plain, &lost.future, &won.future }, 3),
		-ECANCELED);
	T_EQUAL(lost.future.result, -ECANCELED);
	T_EQUAL(won.future.result, 8);
	T_CHECK(!rota_future_is_done(&plain));
	T_CHECK(plain.waits_ == NULL);
	return 0;
}

static int64_t cancel_await_all(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, await_all_until_cancelled, NULL), 0);
	T_EQUAL(rota_yield(), 0);
	rota_scope_cancel(&scope, "test");
	return rota_scope_close(&scope);
}

static void test_future_all_cancelled_settles_what_can_be_cancelled(void **state)
{
	(void)state;
	assert_int_equal(t_run(cancel_await_all, NULL), -ECANCELED);
}

/* ---- everything at once, by seed ---- */

#define CROWD 200
#define CROWD_ROUNDS 40

struct crowd {
	struct rota_future plain[16];
	unsigned users[16]; /* tasks in a wait for it: it may be used anew when there are none */
	uint64_t random;
};

static unsigned draw(struct crowd *crowd, unsigned below)
{
	crowd->random ^= crowd->random << 13;
	crowd->random ^= crowd->random >> 7;
	crowd->random ^= crowd->random << 17;
	return (unsigned)(crowd->random >> 33) % below;
}

static rota_ns draw_deadline(struct crowd *crowd)
{
	return rota_now() + draw(crowd, 300) * ROTA_NS_PER_US;
}

static void complete_one(struct crowd *crowd)
{
	unsigned which = draw(crowd, 16);

	if (!rota_future_is_done(&crowd->plain[which]))
		rota_future_complete(&crowd->plain[which], 1);
	else if (!crowd->users[which])
		rota_future_init(&crowd->plain[which]);
}

/* Await a random set and check that nothing cancellable of it is left. */
static int64_t mill_about(void *arg)
{
	struct crowd *crowd = arg;

	for (int round = 0; round < CROWD_ROUNDS; round++) {
		struct rota_timeout timeouts[3];
		struct slow slow[2];
		struct rota_future *futures[7];
		struct rota_scope scope;
		bool has_deadline = draw(crowd, 2), all = draw(crowd, 2);
		unsigned plain = draw(crowd, 16);
		int status;

		rota_scope_open(&scope, has_deadline ? draw_deadline(crowd) : ROTA_NEVER);
		for (unsigned i = 0; i < 3; i++) {
			rota_timeout_start(&timeouts[i], draw_deadline(crowd));
			futures[2 * i] = &timeouts[i].future;
		}
		for (unsigned i = 0; i < 2; i++) {
			slow_start(&slow[i], draw(crowd, 2) ? 1 : -ECANCELED);
			futures[2 * i + 1] = all ? &timeouts[i].future : &slow[i].future;
		}
		futures[5] = all ? &timeouts[0].future : &crowd->plain[plain];
		futures[6] = futures[draw(crowd, 6)];
		complete_one(crowd);
		crowd->users[plain]++;
		status = all ? rota_await_all(futures, 7) : rota_await_any(futures, 7);
		crowd->users[plain]--;
		for (unsigned i = 0; i < 5; i++)
			T_CHECK(rota_future_is_done(futures[i]));
		T_LESS(status, 7);
		T_CHECK(status >= 0 || rota_why() != NULL);
		status = (int)rota_scope_close(&scope);
		T_CHECK(status == 0 || status == -ETIMEDOUT);
	}
	return 0;
}

static int64_t gather_crowd(void *arg)
{
	struct crowd crowd = { .random = *(uint64_t *)arg };
	struct rota_scope scope;

	for (int i = 0; i < 16; i++)
		rota_future_init(&crowd.plain[i]);
	rota_scope_open(&scope, rota_after_ms(30));
	for (int i = 0; i < CROWD; i++)
		T_EQUAL(rota_spawn(&scope, mill_about, &crowd), 0);
	rota_ignore(rota_scope_close(&scope), "either way");
	for (int i = 0; i < 16; i++)
		T_CHECK(crowd.plain[i].waits_ == NULL);
	return 0;
}

static void test_future_random_sets_leave_nothing_behind(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= t_rounds(10); seed++) {
		uint64_t random = seed * 0x9e3779b97f4a7c15;

		print_message("seed %llu\n", (unsigned long long)seed);
		assert_int_equal(t_run(gather_crowd, &random), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_future_completed_twice_is_asserted),
		cmocka_unit_test(test_future_completed_wakes_all_who_wait_in_a_later_pass),
		cmocka_unit_test(test_future_completed_before_the_cancellation_delivers_its_result),
		cmocka_unit_test(test_future_left_by_cancelled_waiters_stays_pending),
		cmocka_unit_test(test_future_timer_is_never_early_and_past_ones_come_at_once),
		cmocka_unit_test(test_future_timer_shared_by_waiters_that_time_out_says_so_to_each),
		cmocka_unit_test(test_future_any_settles_the_losers),
		cmocka_unit_test(
			test_future_any_waits_for_what_it_cancelled_and_keeps_late_results),
		cmocka_unit_test(test_future_any_returns_the_lowest_index_of_those_done),
		cmocka_unit_test(test_future_any_cancelled_is_settled_before_it_returns),
		cmocka_unit_test(test_future_cancelled_in_flight_is_waited_for_and_its_result_kept),
		cmocka_unit_test(test_future_all_returns_when_the_last_one_is_done),
		cmocka_unit_test(test_future_all_cancelled_settles_what_can_be_cancelled),
		cmocka_unit_test(test_future_random_sets_leave_nothing_behind),
	};

	return t_run_group("future", tests, ROTA_ARRAY_COUNT(tests));
}
