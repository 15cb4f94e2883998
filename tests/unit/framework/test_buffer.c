/* SPDX-License-Identifier: MIT */
/*
 * Views, growable buffers and counted blobs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <pthread.h>

#include <cmocka.h>

#include <rota/buffer.h>
#include <rota/error.h>
#include <rota/memory.h>

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

static void assert_holds(const struct rota_buffer *buffer, const char *expected)
{
	assert_int_equal(buffer->bytes, strlen(expected));
	assert_memory_equal(buffer->data, expected, buffer->bytes);
	assert_true(buffer->bytes <= buffer->capacity);
}

static void test_view_equality_is_by_bytes(void **state)
{
	struct rota_view nothing = rota_view_of(NULL, 0);

	(void)state;
	assert_true(rota_view_equals(rota_view_of_string("abc"), rota_view_of("abcd", 3)));
	assert_false(rota_view_equals(rota_view_of_string("abc"), rota_view_of_string("abd")));
	assert_false(rota_view_equals(rota_view_of_string("abc"), rota_view_of_string("ab")));
	assert_true(rota_view_equals(rota_view_of("a\0b", 3), rota_view_of("a\0b", 3)));
	assert_false(rota_view_equals(rota_view_of("a\0b", 3), rota_view_of("a\0c", 3)));
	assert_true(rota_view_equals(nothing, rota_view_of_string("")));
}

static void test_buffer_appends_and_consumes_in_order(void **state)
{
	struct rota_buffer buffer;

	(void)state;
	rota_buffer_init(&buffer);
	assert_int_equal(rota_buffer_append(&buffer, "abc", 3), 0);
	assert_int_equal(rota_buffer_append(&buffer, "def", 3), 0);
	assert_holds(&buffer, "abcdef");
	rota_buffer_consume(&buffer, 2);
	assert_holds(&buffer, "cdef");
	assert_int_equal(rota_buffer_append(&buffer, "g", 1), 0);
	assert_holds(&buffer, "cdefg");
	rota_buffer_consume(&buffer, 5);
	assert_int_equal(buffer.bytes, 0);
	rota_buffer_fini(&buffer);
}

static void test_buffer_without_bytes_takes_no_memory(void **state)
{
	struct rota_buffer buffer;

	(void)state;
	rota_buffer_init(&buffer);
	assert_int_equal(rota_buffer_append(&buffer, NULL, 0), 0);
	assert_int_equal(rota_buffer_reserve(&buffer, 0), 0);
	rota_buffer_consume(&buffer, 0);
	rota_buffer_fini(&buffer);
	assert_int_equal(t_alloc_count(), 0);
}

static void test_buffer_after_fini_is_as_after_init(void **state)
{
	struct rota_buffer buffer;

	(void)state;
	rota_buffer_init(&buffer);
	assert_int_equal(rota_buffer_append(&buffer, "abc", 3), 0);
	rota_buffer_fini(&buffer);

	assert_null(buffer.data);
	assert_int_equal(buffer.bytes, 0);
	assert_int_equal(buffer.capacity, 0);
	assert_int_equal(rota_buffer_append(&buffer, "d", 1), 0);
	assert_holds(&buffer, "d");
	rota_buffer_fini(&buffer);
	rota_buffer_fini(&buffer);
}

static void test_buffer_reserved_room_needs_no_further_memory(void **state)
{
	struct rota_buffer buffer;
	size_t allocations;

	(void)state;
	rota_buffer_init(&buffer);
	assert_int_equal(rota_buffer_reserve(&buffer, 5000), 0);
	allocations = t_alloc_count();
	for (size_t i = 0; i < 5000; i++)
		assert_int_equal(rota_buffer_append(&buffer, "x", 1), 0);

	assert_int_equal(t_alloc_count(), allocations);
	rota_buffer_fini(&buffer);
}

/*
 * Growing by a fixed step would take thousands of steps for a megabyte; by half again it takes 21.
 */
static void test_buffer_growth_is_geometric(void **state)
{
	struct rota_buffer buffer;

	(void)state;
	rota_buffer_init(&buffer);
	for (size_t i = 0; i < 1 << 20; i++) {
		char byte = (char)(i % 251);

		assert_int_equal(rota_buffer_append(&buffer, &byte, 1), 0);
	}
	assert_in_range(t_alloc_count(), 10, 30);
	for (size_t i = 0; i < 1 << 20; i++)
		assert_int_equal((unsigned char)buffer.data[i], i % 251);
	rota_buffer_fini(&buffer);
}

static void test_buffer_out_of_memory_is_unchanged(void **state)
{
	struct rota_buffer buffer, before;
	char much[1000] = { 0 };

	(void)state;
	rota_buffer_init(&buffer);
	assert_int_equal(rota_buffer_append(&buffer, "abc", 3), 0);
	before = buffer;
	t_alloc_fail_at(1);

	assert_int_equal(rota_buffer_append(&buffer, much, sizeof(much)), -ENOMEM);
	assert_ptr_equal(buffer.data, before.data);
	assert_int_equal(buffer.capacity, before.capacity);
	assert_holds(&buffer, "abc");
	assert_int_equal(rota_buffer_append(&buffer, much, sizeof(much)), 0);
	rota_buffer_fini(&buffer);
}

static void test_buffer_impossible_size_is_out_of_memory(void **state)
{
	struct rota_buffer buffer;

	(void)state;
	rota_buffer_init(&buffer);
	assert_int_equal(rota_buffer_append(&buffer, "abc", 3), 0);
	assert_int_equal(rota_buffer_reserve(&buffer, SIZE_MAX - 2), -ENOMEM);
	assert_holds(&buffer, "abc");
	rota_buffer_fini(&buffer);
}

static void test_buffer_consuming_more_than_there_is_asserts(void **state)
{
	struct rota_buffer buffer;

	(void)state;
	rota_buffer_init(&buffer);
	assert_int_equal(rota_buffer_append(&buffer, "abc", 3), 0);
	expect_assert_failure(rota_buffer_consume(&buffer, 4));
	rota_buffer_fini(&buffer);
}

static void use_a_buffer(void *arg)
{
	struct rota_buffer buffer;
	int status;

	(void)arg;
	rota_buffer_init(&buffer);
	status = rota_buffer_append(&buffer, "abc", 3);
	if (status == 0)
		status = rota_buffer_reserve(&buffer, 10000);
	assert_true(status == 0 || status == -ENOMEM);
	rota_buffer_fini(&buffer);
}

static void test_buffer_every_failed_allocation_is_survived(void **state)
{
	(void)state;
	t_alloc_sweep(use_a_buffer, NULL);
}

static void test_blob_is_freed_with_its_last_reference(void **state)
{
	struct rota_blob *blob = rota_blob_create(3);

	(void)state;
	assert_non_null(blob);
	memcpy(blob->data, "abc", 3);
	assert_int_equal(blob->bytes, 3);
	assert_ptr_equal(rota_blob_ref(blob), blob);
	rota_blob_unref(blob);
	assert_int_equal(t_alloc_live(), 1);
	assert_memory_equal(blob->data, "abc", 3);
	rota_blob_unref(blob);
	assert_int_equal(t_alloc_live(), 0);
}

static void test_blob_without_memory_or_of_impossible_size_is_null(void **state)
{
	(void)state;
	assert_null(rota_blob_create(SIZE_MAX));
	assert_null(rota_blob_create(SIZE_MAX - sizeof(struct rota_blob) + 1));
	assert_int_equal(t_alloc_count(), 0);
	t_alloc_fail_at(1);
	assert_null(rota_blob_create(1));
}

static void test_blob_may_be_empty(void **state)
{
	struct rota_blob *blob = rota_blob_create(0);

	(void)state;
	assert_non_null(blob);
	assert_int_equal(blob->bytes, 0);
	rota_blob_unref(blob);
}

#define SHARERS 4
#define SHARES 20000

static void *share(void *arg)
{
	struct rota_blob *blob = arg;
	unsigned sum = 0;

	for (unsigned i = 0; i < SHARES; i++) {
		rota_blob_ref(blob);
		sum += (unsigned char)blob->data[i % blob->bytes];
		rota_blob_unref(blob);
	}
	rota_blob_unref(blob);
	return (void *)(uintptr_t)sum;
}

/*
 * The thread that frees is whichever is last, so the thread sanitizer sees if the count orders it.
 */
static void test_blob_shared_by_threads_is_freed_once(void **state)
{
	struct rota_blob *blob = rota_blob_create(100);
	pthread_t threads[SHARERS];
	void *sum;

	(void)state;
	assert_non_null(blob);
	memset(blob->data, 1, blob->bytes);
	for (unsigned i = 0; i < SHARERS; i++) {
		rota_blob_ref(blob);
		assert_int_equal(pthread_create(&threads[i], NULL, share, blob), 0);
	}
	rota_blob_unref(blob);
	for (unsigned i = 0; i < SHARERS; i++) {
		assert_int_equal(pthread_join(threads[i], &sum), 0);
		assert_int_equal((uintptr_t)sum, SHARES);
	}
	assert_int_equal(t_alloc_live(), 0);
}

int main(void)
{
#define WITH_T_ALLOC(test) cmocka_unit_test_setup_teardown(test, install, remove_allocator)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_view_equality_is_by_bytes),
		WITH_T_ALLOC(test_buffer_appends_and_consumes_in_order),
		WITH_T_ALLOC(test_buffer_without_bytes_takes_no_memory),
		WITH_T_ALLOC(test_buffer_after_fini_is_as_after_init),
		WITH_T_ALLOC(test_buffer_reserved_room_needs_no_further_memory),
		WITH_T_ALLOC(test_buffer_growth_is_geometric),
		WITH_T_ALLOC(test_buffer_out_of_memory_is_unchanged),
		WITH_T_ALLOC(test_buffer_impossible_size_is_out_of_memory),
		WITH_T_ALLOC(test_buffer_consuming_more_than_there_is_asserts),
		WITH_T_ALLOC(test_buffer_every_failed_allocation_is_survived),
		WITH_T_ALLOC(test_blob_is_freed_with_its_last_reference),
		WITH_T_ALLOC(test_blob_without_memory_or_of_impossible_size_is_null),
		WITH_T_ALLOC(test_blob_may_be_empty),
		WITH_T_ALLOC(test_blob_shared_by_threads_is_freed_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
