/* SPDX-License-Identifier: MIT */
/*
 * Retry, interval, rate. On the simulator time is virtual, so there the times are compared as well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/pace.h>

#include "tests/support/t_core.h"

/* A timer fires at most a tick late when nobody keeps the reactor; a turn takes 1 us. */
#define LATE_NS (70 * ROTA_NS_PER_US)

/* ---- retry ---- */

struct door {
	unsigned opens_at; /* the attempt that succeeds */
	int64_t failure;
	unsigned attempts;
};

static int64_t knock(void *arg)
{
	struct door *door = arg;

	return ++door->attempts == door->opens_at ? 7 : door->failure;
}

static bool is_busy(int64_t failure, void *arg)
{
	(void)arg;
	return failure == -EBUSY;
}

static int64_t knock_again(void *arg)
{
	struct rota_retry_policy policy = { .base_ns = 1000, .cap_ns = 4000 };
	struct door door = { .opens_at = 20, .failure = -EIO };
	struct rota_scope scope;

	(void)arg;
	T_EQUAL(rota_retry(&policy, knock, &door), 7);
	T_EQUAL(door.attempts, 20);

	door = (struct door){ .opens_at = 20, .failure = -EIO };
	policy.attempts_max = 5;
	T_EQUAL(rota_retry(&policy, knock, &door), -EIO);
	T_EQUAL(door.attempts, 5);

	door = (struct door){ .opens_at = 20, .failure = -EIO };
	policy.is_worth = is_busy;
	T_EQUAL(rota_retry(&policy, knock, &door), -EIO);
	T_EQUAL(door.attempts, 1);

	/* No sleep past the deadline only to fail then: the failure itself comes back. */
	policy = (struct rota_retry_policy){ .base_ns = ROTA_NEVER / 4, .cap_ns = ROTA_NEVER / 2 };
	door = (struct door){ .failure = -EIO };
	rota_scope_open(&scope, rota_after_ms(1000000));
	T_EQUAL(rota_retry(&policy, knock, &door), -EIO);
	T_EQUAL(door.attempts, 1);
	rota_scope_cancel(&scope, "test");
	T_EQUAL(rota_retry(&policy, knock, &door), -ECANCELED);
	T_EQUAL(door.attempts, 1);
	T_EQUAL(rota_scope_close(&scope), -ECANCELED);
	return 0;
}

static void test_retry_ends_by_success_number_kind_or_deadline(void **state)
{
	(void)state;
	assert_int_equal(t_run(knock_again, NULL), 0);
}

/* The sum of so many sleeps, half the bound each on average. */
static int64_t knock_slowly(void *arg)
{
	struct rota_retry_policy policy = { .base_ns = ROTA_NS_PER_S, .cap_ns = 8 * ROTA_NS_PER_S };
	struct door door = { .opens_at = 1003 };
	rota_ns before = rota_now();
	double mean_s;

	(void)arg;
	door.failure = -EIO;
	T_EQUAL(rota_retry(&policy, knock, &door), 7);
	mean_s = (double)(rota_now() - before) / ROTA_NS_PER_S / 1000;
	T_CHECK(mean_s > 3.5);
	T_CHECK(mean_s < 4.5);
	return 0;
}

static void test_retry_backs_off_with_full_jitter_up_to_the_cap(void **state)
{
	(void)state;
	if (!t_is_simulated())
		skip(); /* it would take an hour */
	assert_int_equal(t_run(knock_slowly, NULL), 0);
}

/* ---- interval ---- */

static int64_t tick(void *arg)
{
	struct rota_interval interval;
	rota_ns start = rota_now(), late;

	(void)arg;
	rota_interval_init(&interval, ROTA_NS_PER_MS, ROTA_LATE_BURST);
	for (int i = 1; i <= 100; i++) {
		T_EQUAL(rota_interval_next(&interval), 0);
		late = rota_now() - start - i * ROTA_NS_PER_MS;
		T_CHECK(late >= 0);
		if (t_is_simulated())
			T_LESS(late, LATE_NS); /* also the hundredth: it does not drift */
	}
	return 0;
}

static void test_interval_does_not_drift(void **state)
{
	(void)state;
	assert_int_equal(t_run(tick, NULL), 0);
}

/* Comes three and a half periods late, once. Returns when the following ticks came, in periods. */
static void come_late(enum rota_interval_late policy, double came[4], uint64_t *skipped)
{
	struct rota_interval interval;
	rota_ns start = rota_now();

	rota_interval_init(&interval, ROTA_NS_PER_S, policy);
	T_EQUAL(rota_sleep_ms(4500), 0);
	for (int i = 0; i < 4; i++) {
		T_EQUAL(rota_interval_next(&interval), 0);
		came[i] = (double)(rota_now() - start) / ROTA_NS_PER_S;
	}
	*skipped = interval.skipped;
}

static void expect_came(const double came[4], const double expected[4])
{
	for (int i = 0; i < 4; i++) {
		T_CHECK(came[i] >= expected[i]);
		T_CHECK(came[i] < expected[i] + 0.01);
	}
}

static int64_t tick_late(void *arg)
{
	double came[4];
	uint64_t skipped;

	(void)arg;
	come_late(ROTA_LATE_SKIP, came, &skipped);
	expect_came(came, (double[]){ 4.5, 5, 6, 7 });
	T_EQUAL(skipped, 3);
	come_late(ROTA_LATE_BURST, came, &skipped);
	expect_came(came, (double[]){ 4.5, 4.5, 4.5, 4.5 });
	T_EQUAL(skipped, 0);
	come_late(ROTA_LATE_DELAY, came, &skipped);
	expect_came(came, (double[]){ 4.5, 5.5, 6.5, 7.5 });
	T_EQUAL(skipped, 0);
	return 0;
}

static void test_interval_late_ticks_are_skipped_caught_up_or_delayed(void **state)
{
	(void)state;
	if (!t_is_simulated())
		skip(); /* times are only compared where they are virtual */
	assert_int_equal(t_run(tick_late, NULL), 0);
}

static int64_t tick_cancelled(void *arg)
{
	struct rota_interval interval;
	struct rota_scope scope;

	(void)arg;
	rota_interval_init(&interval, 1000 * ROTA_NS_PER_S, ROTA_LATE_SKIP);
	rota_scope_open(&scope, rota_after_ms(1));
	T_EQUAL(rota_interval_next(&interval), -ETIMEDOUT);
	T_EQUAL(rota_interval_next(&interval), -ETIMEDOUT);
	return rota_scope_close(&scope) == -ETIMEDOUT ? 0 : -EIO;
}

static void test_interval_honours_deadlines(void **state)
{
	(void)state;
	assert_int_equal(t_run(tick_cancelled, NULL), 0);
}

/* ---- rate ---- */

static int64_t take_tokens(void *arg)
{
	struct rota_rate rate;
	rota_ns start = rota_now(), passed;

	(void)arg;
	rota_rate_init(&rate, ROTA_NS_PER_MS, 10);
	T_EQUAL(rota_rate_take(&rate, 11), -EINVAL);
	T_EQUAL(rota_rate_try_take(&rate, 11), -EINVAL);
	T_EQUAL(rota_rate_take(&rate, 10), 0); /* it was full */
	for (int i = 0; i < 50; i++)
		T_EQUAL(rota_rate_take(&rate, 2), 0);
	passed = rota_now() - start;
	T_CHECK(passed >= 100 * ROTA_NS_PER_MS);
	if (t_is_simulated()) {
		T_LESS(passed, 100 * ROTA_NS_PER_MS + LATE_NS);
		T_EQUAL(rota_rate_try_take(&rate, 1), -EAGAIN);
		T_EQUAL(rota_sleep_ms(1000), 0); /* fills, and no more than that */
		T_EQUAL(rota_rate_try_take(&rate, 10), 0);
		T_EQUAL(rota_rate_try_take(&rate, 1), -EAGAIN);
	}
	rota_rate_fini(&rate);
	return 0;
}

static void test_rate_gives_a_burst_and_then_one_by_one(void **state)
{
	(void)state;
	assert_int_equal(t_run(take_tokens, NULL), 0);
}

struct customer {
	struct rota_rate *rate;
	uint64_t tokens;
	int64_t patience_ms;
	int status;
	unsigned place; /* in the order of being served */
	unsigned *served;
};

static int64_t buy(void *arg)
{
	struct customer *customer = arg;
	struct rota_scope scope;

	rota_scope_open(&scope, rota_after_ms(customer->patience_ms));
	customer->status = rota_rate_take(customer->rate, customer->tokens);
	if (customer->status == 0)
		customer->place = ++*customer->served;
	rota_ignore(rota_scope_close(&scope), "late or not");
	return 0;
}

/* The first wants much and gives up; who waits behind gets it in order, and nothing was lost. */
static int64_t queue_up(void *arg)
{
	struct customer customers[4];
	struct rota_scope scope;
	struct rota_rate rate;
	unsigned served = 0;

	(void)arg;
	rota_rate_init(&rate, ROTA_NS_PER_MS, 1000);
	T_EQUAL(rota_rate_take(&rate, 1000), 0);
	rota_scope_open(&scope, ROTA_NEVER);
	for (unsigned i = 0; i < 4; i++) {
		customers[i] = (struct customer){ .rate = &rate,
						  .tokens = i ? 10 : 1000,
						  .patience_ms = i ? 1000000 : 5,
						  .served = &served };
		T_EQUAL(rota_spawn(&scope, buy, &customers[i]), 0);
		T_EQUAL(rota_yield(), 0);
	}
	T_EQUAL(rota_rate_try_take(&rate, 1), -EAGAIN); /* others wait */
	T_EQUAL(rota_scope_close(&scope), 0);
	T_EQUAL(customers[0].status, -ETIMEDOUT);
	for (unsigned i = 1; i < 4; i++) {
		T_EQUAL(customers[i].status, 0);
		T_EQUAL(customers[i].place, i);
	}
	rota_rate_fini(&rate);
	return 0;
}

static void test_rate_serves_in_order_and_who_gives_up_takes_nothing(void **state)
{
	(void)state;
	assert_int_equal(t_run(queue_up, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_retry_ends_by_success_number_kind_or_deadline),
		cmocka_unit_test(test_retry_backs_off_with_full_jitter_up_to_the_cap),
		cmocka_unit_test(test_interval_does_not_drift),
		cmocka_unit_test(test_interval_late_ticks_are_skipped_caught_up_or_delayed),
		cmocka_unit_test(test_interval_honours_deadlines),
		cmocka_unit_test(test_rate_gives_a_burst_and_then_one_by_one),
		cmocka_unit_test(test_rate_serves_in_order_and_who_gives_up_takes_nothing),
	};

	return t_run_group("pace", tests, ROTA_ARRAY_COUNT(tests));
}
