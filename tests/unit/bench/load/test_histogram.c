/* SPDX-License-Identifier: MIT */
/*
 * The histogram of rota-load: its buckets and percentiles, and its intervals. Layer: tests.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "bench/load/histogram.h"

static struct histogram histogram, other;

static int empty(void **state)
{
	(void)state;
	histogram_reset(&histogram);
	histogram_reset(&other);
	return 0;
}

static void test_bucket_of_every_size_is_within_a_thousandth(void **state)
{
	(void)state;
	for (uint64_t value = 0; value < (uint64_t)HISTOGRAM_HIGHEST_NS; value += 1 + value / 997) {
		unsigned bucket = histogram_bucket(value);
		uint64_t highest = histogram_bucket_highest(bucket);

		assert_true(bucket < HISTOGRAM_BUCKETS);
		assert_true(highest >= value);
		assert_true(highest - value <= value / 1000);
		assert_true(histogram_bucket(highest) == bucket);
		assert_true(histogram_bucket(highest + 1) == bucket + 1);
	}
	assert_true(histogram_bucket((uint64_t)HISTOGRAM_HIGHEST_NS) < HISTOGRAM_BUCKETS);
}

static void test_percentiles_of_known_values_are_those(void **state)
{
	(void)state;
	for (int64_t value = 1; value <= 1000; value++)
		histogram_record(&histogram, value);
	assert_int_equal(histogram_percentile(&histogram, 0), 1);
	assert_int_equal(histogram_percentile(&histogram, 0.1), 1);
	assert_int_equal(histogram_percentile(&histogram, 50), 500);
	assert_int_equal(histogram_percentile(&histogram, 99), 990);
	assert_int_equal(histogram_percentile(&histogram, 99.9), 999);
	assert_int_equal(histogram_percentile(&histogram, 99.99), 1000);
	assert_int_equal(histogram_percentile(&histogram, 100), 1000);
	assert_int_equal(histogram.sum_ns, 500500);
}

static void test_percentile_of_one_value_is_never_beyond_it(void **state)
{
	(void)state;
	histogram_record(&histogram, 1234567);
	assert_int_equal(histogram_percentile(&histogram, 50), 1234567);
	assert_int_equal(histogram_percentile(&histogram, 100), 1234567);
	assert_int_equal(histogram.min_ns, 1234567);
}

static void test_percentile_of_nothing_is_0(void **state)
{
	(void)state;
	assert_int_equal(histogram_percentile(&histogram, 50), 0);
	assert_int_equal(histogram.max_ns, 0);
}

static void test_values_outside_count_as_the_nearest(void **state)
{
	(void)state;
	histogram_record(&histogram, -5);
	histogram_record(&histogram, INT64_MAX);
	assert_int_equal(histogram.count, 2);
	assert_int_equal(histogram.min_ns, 0);
	assert_int_equal(histogram.max_ns, HISTOGRAM_HIGHEST_NS);
}

static void test_a_sum_less_one_part_is_the_other(void **state)
{
	static const int64_t ours[] = { 5, 70000, 70001, 123456789 };

	(void)state;
	histogram_record(&other, 40);
	histogram_record(&other, 70000);
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(ours); i++)
		histogram_record(&histogram, ours[i]);
	histogram_add(&histogram, &other);
	assert_int_equal(histogram.count, 6);
	histogram_subtract(&histogram, &other);
	assert_int_equal(histogram.count, 4);
	assert_int_equal(histogram.sum_ns, 5 + 70000 + 70001 + 123456789);
	assert_int_equal(histogram.min_ns, 5);
	assert_int_equal(histogram_percentile(&histogram, 75),
			 histogram_bucket_highest(histogram_bucket(70001)));
	assert_int_equal(histogram.max_ns, histogram_bucket_highest(histogram_bucket(123456789)));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bucket_of_every_size_is_within_a_thousandth),
		cmocka_unit_test_setup(test_percentiles_of_known_values_are_those, empty),
		cmocka_unit_test_setup(test_percentile_of_one_value_is_never_beyond_it, empty),
		cmocka_unit_test_setup(test_percentile_of_nothing_is_0, empty),
		cmocka_unit_test_setup(test_values_outside_count_as_the_nearest, empty),
		cmocka_unit_test_setup(test_a_sum_less_one_part_is_the_other, empty),
	};

	return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
