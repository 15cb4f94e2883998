/* SPDX-License-Identifier: MIT */
/*
 * Outputs: what is written comes out in order, whatever the pieces, the limits and the memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rota/buffer.h>
#include <rota/error.h>

#include "framework/net_internal.h"
#include "tests/support/t_alloc.h"

static int install(void **state)
{
	(void)state;
	t_alloc_install();
	return 0;
}

static int remove_allocator(void **state)
{
	(void)state;
	t_alloc_remove();
	return 0;
}

static char byte_at(size_t at)
{
	return (char)(at * 31 ^ at >> 8);
}

static void test_output_writes_of_any_size_come_out_in_order(void **state)
{
	static const size_t sizes[] = {
		0, 1, 7, 4000, 4055, 4056, 4057, 4096, 10000, 65536, 300000
	};
	struct rota_output *output = rota_output_create(SIZE_MAX);
	size_t written = 0, taken = 0;
	char *bytes = malloc(300000);

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(sizes); i++) {
		for (size_t k = 0; k < sizes[i]; k++)
			bytes[k] = byte_at(written + k);
		rota_output_write(output, bytes, sizes[i]);
		written += sizes[i];
	}
	assert_int_equal(rota_output_pending_bytes(output), written);
	while (taken < written) {
		size_t part = rota_output_take(output, bytes, 1 + taken % 5000);

		assert_true(part > 0);
		for (size_t k = 0; k < part; k++)
			assert_int_equal(bytes[k], byte_at(taken + k));
		taken += part;
	}
	assert_int_equal(rota_output_pending_bytes(output), 0);
	assert_int_equal(rota_output_take(output, bytes, 10), 0);
	assert_false(rota_output_failed(output));
	rota_output_destroy(output);
	free(bytes);
}

static void test_output_reservations_append_only_what_is_committed(void **state)
{
	struct rota_output *output = rota_output_create(SIZE_MAX);
	char text[32];

	(void)state;
	for (int i = 0; i < 3; i++)
		memset(rota_output_reserve(output, ROTA_OUTPUT_RESERVE_BYTES_MAX), 'x',
		       ROTA_OUTPUT_RESERVE_BYTES_MAX);
	memcpy(rota_output_reserve(output, 5), "hello", 5);
	rota_output_commit(output, 5);
	rota_output_commit(output, 0);
	memcpy(rota_output_reserve(output, 10), " world....", 10);
	rota_output_commit(output, 6);
	assert_int_equal(rota_output_take(output, text, sizeof(text)), 11);
	assert_memory_equal(text, "hello world", 11);
	rota_output_destroy(output);
}

static void test_output_blobs_are_referenced_until_they_are_out(void **state)
{
	struct rota_output *output = rota_output_create(SIZE_MAX);
	struct rota_blob *blob = rota_blob_create(10);
	char text[32];

	(void)state;
	memcpy(blob->data, "0123456789", 10);
	rota_output_write(output, "<", 1);
	rota_output_blob(output, blob, 2, 5);
	rota_output_blob(output, blob, 10, 0);
	rota_output_blob(output, blob, 0, 1);
	rota_output_write(output, ">", 1);
	assert_false(rota_blob_is_unique(blob));
	assert_int_equal(rota_output_take(output, text, 4), 4);
	assert_memory_equal(text, "<234", 4);
	assert_false(rota_blob_is_unique(blob));
	assert_int_equal(rota_output_take(output, text, 32), 4);
	assert_memory_equal(text, "560>", 4);
	assert_true(rota_blob_is_unique(blob));
	/* and when nobody takes it */
	rota_output_blob(output, blob, 0, 10);
	rota_output_destroy(output);
	assert_true(rota_blob_is_unique(blob));
	rota_blob_unref(blob);
}

static void test_output_beyond_its_limit_fails_for_good(void **state)
{
	struct rota_output *output = rota_output_create(10);
	struct rota_blob *blob = rota_blob_create(11);
	char text[32];

	(void)state;
	rota_output_write(output, "0123456789", 10);
	assert_false(rota_output_failed(output));
	rota_output_blob(output, blob, 0, 11);
	assert_true(rota_output_failed(output));
	rota_output_write(output, "x", 1);
	memset(rota_output_reserve(output, 100), 'y', 100);
	rota_output_commit(output, 100);
	assert_int_equal(rota_output_take(output, text, sizeof(text)), 10);
	rota_output_write(output, "x", 1);
	assert_int_equal(rota_output_pending_bytes(output), 0);
	assert_true(rota_blob_is_unique(blob));
	rota_blob_unref(blob);
	rota_output_destroy(output);
}

static void write_a_reply(void *arg)
{
	struct rota_output *output = rota_output_create(SIZE_MAX);
	struct rota_blob *blob = rota_blob_create(100);
	static char bytes[20000];
	size_t expected = sizeof(bytes) + 3 + (blob ? 100 : 0);

	(void)arg;
	if (output) {
		rota_output_write(output, bytes, sizeof(bytes));
		memcpy(rota_output_reserve(output, 4000), "abc", 3);
		rota_output_commit(output, 3);
		if (blob)
			rota_output_blob(output, blob, 0, 100);
		if (!rota_output_failed(output) && rota_output_pending_bytes(output) != expected)
			abort();
		rota_output_destroy(output);
	}
	if (blob)
		rota_blob_unref(blob);
}

static void test_output_every_failed_allocation_is_survived(void **state)
{
	(void)state;
	assert_true(t_alloc_sweep(write_a_reply, NULL) >= 8);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define OUTPUT_TEST(test) cmocka_unit_test_setup_teardown(test, install, remove_allocator)
		OUTPUT_TEST(test_output_writes_of_any_size_come_out_in_order),
		OUTPUT_TEST(test_output_reservations_append_only_what_is_committed),
		OUTPUT_TEST(test_output_blobs_are_referenced_until_they_are_out),
		OUTPUT_TEST(test_output_beyond_its_limit_fails_for_good),
		OUTPUT_TEST(test_output_every_failed_allocation_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
