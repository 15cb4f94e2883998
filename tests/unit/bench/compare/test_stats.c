/* SPDX-License-Identifier: MIT */
/*
 * Medians and intervals against values worked out elsewhere, and the promise that counts: what is
 * the same is hardly ever called different, also when the rounds are as noisy as rounds are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bench/compare/stats.h"
#include "tests/support/t_core.h"

#define CONFIDENCE 0.95
#define MARGIN 0.03

static struct stats_interval interval_of(const double values[], unsigned count, double confidence)
{
	struct stats_interval out;

	T_EQUAL(stats_interval(values, count, confidence, 1, &out), 0);
	return out;
}

static void near(double value, double expected)
{
	if (fabs(value - expected) > 1e-9)
		fail_msg("%.12g is not %.12g", value, expected);
}

/* ---- random numbers ---- */

/* The first numbers of SplitMix64 from seed 1234567, as its authors' code gives them. */
static void test_random_is_splitmix64(void **state)
{
	struct stats_random random = { .state = 1234567 };

	(void)state;
	T_EQUAL(stats_random_next(&random), UINT64_C(6457827717110365317));
	T_EQUAL(stats_random_next(&random), UINT64_C(3203168211198807973));
	T_EQUAL(stats_random_next(&random), UINT64_C(9817491932198370423));
}

/* 6000 orders of three: each of the six is seen 1000 times, give or take five deviations. */
static void test_order_is_any_order_evenly(void **state)
{
	struct stats_random random = { .state = 1 };
	unsigned seen[27] = { 0 }, kinds = 0;

	(void)state;
	for (unsigned i = 0; i < 6000; i++) {
		unsigned order[3];

		stats_random_order(&random, order, 3);
		T_EQUAL(order[0] + order[1] + order[2], 3);
		seen[order[0] * 9 + order[1] * 3 + order[2]]++;
	}
	for (unsigned i = 0; i < 27; i++) {
		kinds += seen[i] > 0;
		if (seen[i])
			T_CHECK(seen[i] >= 855 && seen[i] <= 1145);
	}
	T_EQUAL(kinds, 6);
}

/* ---- what belongs together ---- */

static void test_groups_become_their_medians(void **state)
{
	double values[] = { 5, 9, 1, 4, 2, 8, NAN, 3, 7 };
	const unsigned groups[] = { 0, 2, 2, 2, 0, 0, 4, 4, 5 };

	(void)state;
	T_EQUAL(stats_group(values, groups, 9), 5);
	near(values[0], 5);
	near(values[1], 4);
	near(values[2], 5);
	T_CHECK(isnan(values[3]));
	near(values[4], 7);
	T_EQUAL(stats_group(values, groups, 0), 0);
}

/* ---- intervals ---- */

static void test_median_of_odd_and_even_counts(void **state)
{
	(void)state;
	near(interval_of((double[]){ 3 }, 1, CONFIDENCE).median, 3);
	near(interval_of((double[]){ 5, 1, 4, 2, 3 }, 5, CONFIDENCE).median, 3);
	near(interval_of((double[]){ 4, 1, 3, 2 }, 4, CONFIDENCE).median, 2.5);
}

/*
 * The sign test's table (Conover, table A3): at 95 % the interval goes from the k-th smallest to
 * the k-th largest. The bootstrap's may be wider, never narrower.
 */
static void test_interval_is_no_narrower_than_the_sign_test_allows(void **state)
{
	static const unsigned table[][2] = { { 6, 1 },   { 9, 2 },   { 12, 3 },
					     { 15, 4 },  { 20, 6 },  { 25, 8 },
					     { 40, 14 }, { 50, 18 }, { 100, 40 } };
	double values[100];

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		values[i] = i + 1;
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(table); i++) {
		unsigned count = table[i][0], k = table[i][1];
		struct stats_interval out = interval_of(values, count, CONFIDENCE);

		T_CHECK(out.is_valid);
		T_CHECK(out.low <= k);
		T_CHECK(out.high >= count + 1 - k);
		T_CHECK(out.low >= (double)k - 2);
		T_CHECK(out.high <= count + 1 - k + 2);
	}
}

static void test_too_few_rounds_give_no_interval(void **state)
{
	const double values[] = { 2, 2, 2, 2, 2 };
	struct stats_interval out = interval_of(values, 5, CONFIDENCE);

	(void)state;
	T_CHECK(!out.is_valid);
	T_EQUAL(stats_call(&out, MARGIN), STATS_UNDECIDED);
	T_CHECK(interval_of(values, 5, 0.9).is_valid);
	T_CHECK(!interval_of((double[]){ 1, 1, 1, 1, 1, 1 }, 6, 0.99).is_valid);
}

static void test_what_is_no_number_is_refused(void **state)
{
	struct stats_interval out = { .median = 7 };
	double values[] = { 1, NAN, 3 };

	(void)state;
	T_EQUAL(stats_interval(values, 0, CONFIDENCE, 1, &out), -EINVAL);
	T_EQUAL(stats_interval(values, 3, CONFIDENCE, 1, &out), -EINVAL);
	values[1] = INFINITY;
	T_EQUAL(stats_interval(values, 3, CONFIDENCE, 1, &out), -EINVAL);
	near(out.median, 7);
}

static void test_same_seed_gives_the_same_interval(void **state)
{
	struct stats_random random = { .state = 5 };
	struct stats_interval first, second;
	double values[31];

	(void)state;
	for (unsigned i = 0; i < 31; i++)
		values[i] = stats_random_below(&random, 1000);
	T_EQUAL(stats_interval(values, 31, CONFIDENCE, 9, &first), 0);
	T_EQUAL(stats_interval(values, 31, CONFIDENCE, 9, &second), 0);
	near(first.low, second.low);
	near(first.high, second.high);
}

/* ---- calls ---- */

static void test_call_follows_interval_and_margin(void **state)
{
	static const struct {
		double low, median, high;
		enum stats_call call;
	} table[] = {
		{ 0.86, 0.88, 0.91, STATS_LESS },       { 1.05, 1.10, 1.20, STATS_MORE },
		{ 0.98, 1.00, 1.02, STATS_EQUAL },      { 0.975, 0.98, 0.99, STATS_EQUAL },
		{ 0.90, 0.96, 0.999, STATS_LESS },      { 0.90, 0.96, 1.0, STATS_UNDECIDED },
		{ 0.99, 1.02, 1.04, STATS_UNDECIDED },  { 1.001, 1.035, 1.04, STATS_MORE },
		{ 1.001, 1.02, 1.04, STATS_UNDECIDED }, { 0.90, 0.98, 0.999, STATS_UNDECIDED },
	};

	(void)state;
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(table); i++) {
		const struct stats_interval ratio = { .low = table[i].low,
						      .median = table[i].median,
						      .high = table[i].high,
						      .is_valid = true };

		T_EQUAL(stats_call(&ratio, MARGIN), table[i].call);
	}
}

/* Ten times a uniform number's cube: what the machine adds to a round is often little, seldom much.
 */
static double noisy(struct stats_random *random, double cost)
{
	double u = stats_random_below(random, 1000000) / 1e6;

	return cost * (1 + 0.3 * u * u * u);
}

struct calls {
	unsigned less, more;
};

/* What `runs` runs call the ratio of `cost` to 1, by rounds made from a seed each. */
static struct calls count_calls(unsigned runs, unsigned rounds, double cost)
{
	struct calls calls = { .less = 0 };

	for (unsigned seed = 1; seed <= runs; seed++) {
		struct stats_random random = { .state = seed };
		struct stats_interval out;
		double ratios[64];

		for (unsigned i = 0; i < rounds; i++)
			ratios[i] = noisy(&random, cost) / noisy(&random, 1);
		T_EQUAL(stats_interval(ratios, rounds, CONFIDENCE, seed, &out), 0);
		calls.less += stats_call(&out, MARGIN) == STATS_LESS;
		calls.more += stats_call(&out, MARGIN) == STATS_MORE;
	}
	return calls;
}

/* At most 1 in 20 by construction; of 600, 30, and 3.5 deviations (19). */
static void test_equal_costs_are_hardly_ever_called_different(void **state)
{
	(void)state;
	for (unsigned rounds = 6; rounds <= 24; rounds += 9) {
		struct calls calls = count_calls(600, rounds, 1);

		T_LESS(calls.less + calls.more, 50);
	}
}

#define STARTS 12
#define ROUNDS_OF_START 4

/*
 * What runs call different of two that are the same, where a process is up to 15 % slower or faster
 * than the next of the same program for all of its rounds: with each round by itself, or in groups.
 */
static unsigned count_calls_of_processes(unsigned runs, bool in_groups)
{
	unsigned different = 0;

	for (unsigned seed = 1; seed <= runs; seed++) {
		struct stats_random random = { .state = seed };
		double ratios[STARTS * ROUNDS_OF_START], of_process = 1;
		unsigned groups[STARTS * ROUNDS_OF_START], count = STARTS * ROUNDS_OF_START;
		struct stats_interval out;
		enum stats_call call;

		for (unsigned i = 0; i < count; i++) {
			if (i % ROUNDS_OF_START == 0)
				of_process = 0.85 + stats_random_below(&random, 3000) / 10000.0;
			ratios[i] = of_process * noisy(&random, 1) / noisy(&random, 1);
			groups[i] = in_groups ? i / ROUNDS_OF_START : i;
		}
		count = stats_group(ratios, groups, count);
		T_EQUAL(stats_interval(ratios, count, CONFIDENCE, seed, &out), 0);
		call = stats_call(&out, 0);
		different += call == STATS_LESS || call == STATS_MORE;
	}
	return different;
}

/* As above; without a margin, which would hide it. */
static void test_processes_that_differ_are_not_called_a_difference(void **state)
{
	(void)state;
	T_LESS(count_calls_of_processes(600, true), 50);
	/* rounds of one process are no evidence of their own: too much would be called */
	T_LESS(60, count_calls_of_processes(600, false));
}

static void test_a_fifth_more_is_found(void **state)
{
	struct calls calls = count_calls(200, 12, 1.2);

	(void)state;
	T_LESS(180, calls.more);
	T_EQUAL(calls.less, 0);
}

/* ---- many calls ---- */

static void assert_close(double value, double expected, double most)
{
	if (fabs(value - expected) > most)
		fail_msg("%g is not %g", value, expected);
}

static double chance(const double ratios[], unsigned count)
{
	double p = -1;

	T_EQUAL(stats_chance(ratios, count, &p), 0);
	return p;
}

/* By counting: of the 2^n ways to give n ranks their signs. */
static void test_chance_is_the_share_of_signs_that_are_as_extreme(void **state)
{
	(void)state;
	/* all six on one side: that way and its mirror, of 64 */
	assert_close(chance((double[]){ 1.1, 1.2, 1.3, 1.4, 1.5, 1.6 }, 6), 2 / 64.0, 1e-9);
	/* the smallest on the other side: nothing, or rank 1, and mirrors */
	assert_close(chance((double[]){ 0.99, 1.2, 1.3, 1.4, 1.5 }, 5), 4 / 32.0, 1e-9);
	/* the largest: sums up to 5 of ranks 1 to 5 are 10 */
	assert_close(chance((double[]){ 1.1, 1.2, 1.3, 1.4, 0.1 }, 5), 20 / 32.0, 1e-9);
	/* two as large, one on each side, and one of nothing */
	assert_close(chance((double[]){ 2, 0.5, 1 }, 3), 1, 1e-9);
	/* none of them differs */
	assert_close(chance((double[]){ 1, 1, 1 }, 3), 1, 1e-9);
	/* 0 is as far off as can be */
	assert_close(chance((double[]){ 0, 0.5, 0.6, 0.7, 0.8, 0.9 }, 6), 2 / 64.0, 1e-9);
}

static void test_chance_of_many_is_as_of_few(void **state)
{
	double ratios[65];

	(void)state;
	for (unsigned i = 0; i < 65; i++)
		ratios[i] = 1 + (i % 3 ? 0.01 : -0.01) * (65 - i) / 65;
	/* 64 are counted, 65 are taken to be normal */
	assert_close(chance(ratios, 64), chance(ratios, 65), 0.004);
}

static void test_chance_of_what_is_no_ratio_is_refused(void **state)
{
	double p;

	(void)state;
	T_EQUAL(stats_chance(NULL, 0, &p), -EINVAL);
	T_EQUAL(stats_chance((double[]){ 1, NAN }, 2, &p), -EINVAL);
	T_EQUAL(stats_chance((double[]){ 1, INFINITY }, 2, &p), -EINVAL);
	T_EQUAL(stats_chance((double[]){ -1 }, 1, &p), -EINVAL);
}

static void test_of_many_calls_those_stand_that_chance_does_not_explain(void **state)
{
	const double steps[] = { 0.04, 0.5, 0.01, 0.02, 0.03 }, one[] = { 0.04, 0.5 };
	bool stands[5];

	(void)state;
	/* the fourth of five may be as much as 4/5 of 0.05 */
	T_EQUAL(stats_which_stand(steps, 5, 0.05, stands), 0);
	T_CHECK(stands[0] && !stands[1] && stands[2] && stands[3] && stands[4]);
	T_EQUAL(stats_which_stand(one, 2, 0.05, stands), 0);
	T_CHECK(!stands[0] && !stands[1]);
	T_EQUAL(stats_which_stand(one, 0, 0.05, stands), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_is_splitmix64),
		cmocka_unit_test(test_order_is_any_order_evenly),
		cmocka_unit_test(test_groups_become_their_medians),
		cmocka_unit_test(test_median_of_odd_and_even_counts),
		cmocka_unit_test(test_interval_is_no_narrower_than_the_sign_test_allows),
		cmocka_unit_test(test_too_few_rounds_give_no_interval),
		cmocka_unit_test(test_what_is_no_number_is_refused),
		cmocka_unit_test(test_same_seed_gives_the_same_interval),
		cmocka_unit_test(test_call_follows_interval_and_margin),
		cmocka_unit_test(test_equal_costs_are_hardly_ever_called_different),
		cmocka_unit_test(test_processes_that_differ_are_not_called_a_difference),
		cmocka_unit_test(test_a_fifth_more_is_found),
		cmocka_unit_test(test_chance_is_the_share_of_signs_that_are_as_extreme),
		cmocka_unit_test(test_chance_of_many_is_as_of_few),
		cmocka_unit_test(test_chance_of_what_is_no_ratio_is_refused),
		cmocka_unit_test(test_of_many_calls_those_stand_that_chance_does_not_explain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
