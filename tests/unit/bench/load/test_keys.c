/* SPDX-License-Identifier: MIT */
/*
 * Which keys rota-load asks for. What is drawn is compared with what the distribution says; the
 * seed is fixed, so a test that passes once passes always. Layer: tests.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "bench/load/keys.h"

#define KEYS 1000
#define DRAWS 400000

static uint32_t counts[KEYS];

static void draw(enum distribution distribution, double parameter, uint64_t keys_count)
{
	struct random random;
	struct keys keys;

	memset(counts, 0, sizeof(counts));
	random_init(&random, 1, 0);
	keys_init(&keys, distribution, parameter, keys_count, 0);
	for (int i = 0; i < DRAWS; i++) {
		uint32_t key = keys_next(&keys, &random);

		assert_true(key < keys_count);
		counts[key]++;
	}
}

/* Within five standard deviations of a binomial count. */
static void assert_near(uint32_t count, double share)
{
	double mean = DRAWS * share;

	if (fabs(count - mean) > 5 * sqrt(mean * (1 - share)) + 1)
		fail_msg("%u of %d, expected %.1f", count, DRAWS, mean);
}

static void test_uniform_keys_are_equally_frequent(void **state)
{
	(void)state;
	draw(KEYS_UNIFORM, 0, KEYS);
	for (unsigned i = 0; i < KEYS; i++)
		assert_near(counts[i], 1.0 / KEYS);
}

static void test_zipf_keys_are_as_frequent_as_their_rank_says(void **state)
{
	static const double exponents[] = { 0.5, 0.99, 1, 1.5, 3 };

	(void)state;
	for (size_t e = 0; e < ROTA_ARRAY_COUNT(exponents); e++) {
		double sum = 0;

		for (unsigned i = 1; i <= KEYS; i++)
			sum += pow(i, -exponents[e]);
		draw(KEYS_ZIPF, exponents[e], KEYS);
		for (unsigned i = 1; i <= KEYS; i++)
			assert_near(counts[i - 1], pow(i, -exponents[e]) / sum);
	}
}

static void test_gauss_keys_lie_round_the_middle(void **state)
{
	double sigma = 100;

	(void)state;
	draw(KEYS_GAUSS, sigma, KEYS);
	for (unsigned i = 0; i < KEYS; i++) {
		double from = (i - KEYS / 2.0) / sigma;
		double share = (erf((from + 1 / sigma) / sqrt(2)) - erf(from / sqrt(2))) / 2;

		assert_near(counts[i], share);
	}
}

static void test_sequential_keys_come_in_turn(void **state)
{
	struct random random;
	struct keys keys;

	(void)state;
	random_init(&random, 1, 0);
	keys_init(&keys, KEYS_SEQUENTIAL, 0, 5, 3);
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(keys_next(&keys, &random), (3 + i) % 5);
}

static void test_one_key_is_always_that(void **state)
{
	(void)state;
	draw(KEYS_UNIFORM, 0, 1);
	draw(KEYS_ZIPF, 0.99, 1);
	draw(KEYS_GAUSS, 1, 1);
	draw(KEYS_SEQUENTIAL, 0, 1);
	assert_int_equal(counts[0], DRAWS);
}

static void test_streams_and_seeds_differ(void **state)
{
	struct random a, b, c, same;

	(void)state;
	random_init(&a, 1, 0);
	random_init(&same, 1, 0);
	random_init(&b, 1, 1);
	random_init(&c, 2, 0);
	for (int i = 0; i < 100; i++) {
		uint64_t drawn = random_next(&a);

		assert_true(drawn == random_next(&same));
		assert_true(drawn != random_next(&b));
		assert_true(drawn != random_next(&c));
	}
}

static void test_value_sizes_of_a_range_fill_it_and_stay_the_same(void **state)
{
	(void)state;
	memset(counts, 0, sizeof(counts));
	for (uint32_t key = 0; key < 10000; key++) {
		uint32_t bytes = keys_value_bytes(key, 10, 19);

		assert_true(bytes >= 10 && bytes <= 19);
		assert_int_equal(bytes, keys_value_bytes(key, 10, 19));
		counts[bytes]++;
	}
	for (unsigned bytes = 10; bytes < 20; bytes++)
		assert_true(counts[bytes] > 900 && counts[bytes] < 1100);
	assert_int_equal(keys_value_bytes(7, 64, 64), 64);
	assert_true(keys_value_bytes(UINT32_MAX, 1, UINT32_MAX) >= 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uniform_keys_are_equally_frequent),
		cmocka_unit_test(test_zipf_keys_are_as_frequent_as_their_rank_says),
		cmocka_unit_test(test_gauss_keys_lie_round_the_middle),
		cmocka_unit_test(test_sequential_keys_come_in_turn),
		cmocka_unit_test(test_one_key_is_always_that),
		cmocka_unit_test(test_streams_and_seeds_differ),
		cmocka_unit_test(test_value_sizes_of_a_range_fill_it_and_stay_the_same),
	};

	return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
