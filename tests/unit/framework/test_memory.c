/* SPDX-License-Identifier: MIT */
/*
 * The replaceable allocator, and the failing one that the other tests replace it with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

static void test_memory_without_an_allocator_comes_from_malloc(void **state)
{
	char *memory = rota_alloc(3);

	(void)state;
	assert_non_null(memory);
	memory = rota_realloc(memory, 300);
	assert_non_null(memory);
	memory[299] = 1;
	rota_free(memory);
	rota_free(NULL);
	assert_int_equal(rota_good_bytes(17), 17);
}

/* Also of a size that is no multiple of the alignment, and through the allocator of the tests. */
static void test_memory_aligned_is_aligned(void **state)
{
	(void)state;
	for (size_t alignment = 16; alignment <= 65536; alignment *= 2) {
		char *memory = rota_alloc_aligned(alignment, alignment + 24);

		assert_non_null(memory);
		assert_int_equal((uintptr_t)memory % alignment, 0);
		memory[alignment + 23] = 1;
		rota_free(memory);
	}
}

static size_t round_up_to_16(size_t bytes)
{
	return rota_round_up(bytes, 16);
}

static void test_memory_good_bytes_asks_the_allocator(void **state)
{
	const struct rota_allocator generous = { .good_bytes = round_up_to_16 };

	(void)state;
	rota_set_allocator(&generous);
	assert_int_equal(rota_good_bytes(17), 32);
	rota_set_allocator(NULL);
	assert_int_equal(rota_good_bytes(17), 17);
}

static void test_memory_calloc_zeroes_what_the_allocator_left(void **state)
{
	unsigned char *memory = rota_calloc(5, 7);

	(void)state;
	assert_non_null(memory);
	for (size_t i = 0; i < 5 * 7; i++)
		assert_int_equal(memory[i], 0);
	rota_free(memory);
}

static void test_memory_calloc_of_too_much_asks_for_nothing(void **state)
{
	size_t count = SIZE_MAX / 2 + 2; /* twice that wraps around to 2 */
	void *memory = rota_calloc(count, 2);

	(void)state;
	assert_null(memory);
	assert_int_equal(t_alloc_count(), 0);
}

static void test_memory_realloc_of_nothing_allocates(void **state)
{
	void *memory = rota_realloc(NULL, 10);

	(void)state;
	assert_non_null(memory);
	assert_int_equal(t_alloc_live(), 1);
	rota_free(memory);
}

static void test_memory_failed_realloc_leaves_the_block(void **state)
{
	char *memory = rota_alloc(2);

	(void)state;
	assert_non_null(memory);
	memory[0] = 'a';
	memory[1] = 'b';
	t_alloc_fail_at(1);

	assert_null(rota_realloc(memory, 100));
	assert_memory_equal(memory, "ab", 2);
	memory = rota_realloc(memory, 100);
	assert_non_null(memory);
	assert_memory_equal(memory, "ab", 2);
	rota_free(memory);
}

static void test_t_alloc_fails_exactly_the_chosen_allocation(void **state)
{
	void *memory[4];

	(void)state;
	t_alloc_fail_at(2);
	for (size_t i = 0; i < 4; i++)
		memory[i] = rota_alloc(1);

	assert_non_null(memory[0]);
	assert_null(memory[1]);
	assert_non_null(memory[2]);
	assert_non_null(memory[3]);
	assert_int_equal(t_alloc_count(), 4);
	assert_int_equal(t_alloc_failures(), 1);
	assert_int_equal(t_alloc_live(), 3);
	for (size_t i = 0; i < 4; i++)
		rota_free(memory[i]);
}

static void test_t_alloc_fails_everything_from_the_chosen_one(void **state)
{
	void *first;

	(void)state;
	t_alloc_fail_from(2);
	first = rota_alloc(1);

	assert_non_null(first);
	assert_null(rota_alloc(1));
	assert_null(rota_calloc(1, 1));
	assert_null(rota_realloc(first, 2));
	assert_int_equal(t_alloc_failures(), 3);
	rota_free(first);
}

struct two_blocks {
	unsigned calls;
	unsigned whole; /* calls that got both blocks */
};

static void take_two_blocks(void *arg)
{
	struct two_blocks *seen = arg;
	void *first = rota_alloc(1);
	void *second = rota_alloc(1);

	seen->calls++;
	seen->whole += first && second;
	rota_free(second);
	rota_free(first);
}

static void test_t_alloc_sweep_fails_each_allocation_alone_and_with_the_rest(void **state)
{
	struct two_blocks seen = { 0 };
	size_t rounds;

	(void)state;
	rounds = t_alloc_sweep(take_two_blocks, &seen);

	/* Numbers 1 and 2 fail in both ways; number 3 doesn't exist, which ends the sweep. */
	assert_int_equal(rounds, 6);
	assert_int_equal(seen.calls, 6);
	assert_int_equal(seen.whole, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_without_an_allocator_comes_from_malloc),
		cmocka_unit_test(test_memory_aligned_is_aligned),
		cmocka_unit_test(test_memory_good_bytes_asks_the_allocator),
#define WITH_T_ALLOC(test) cmocka_unit_test_setup_teardown(test, install, remove_allocator)
		WITH_T_ALLOC(test_memory_aligned_is_aligned),
		WITH_T_ALLOC(test_memory_calloc_zeroes_what_the_allocator_left),
		WITH_T_ALLOC(test_memory_calloc_of_too_much_asks_for_nothing),
		WITH_T_ALLOC(test_memory_realloc_of_nothing_allocates),
		WITH_T_ALLOC(test_memory_failed_realloc_leaves_the_block),
		WITH_T_ALLOC(test_t_alloc_fails_exactly_the_chosen_allocation),
		WITH_T_ALLOC(test_t_alloc_fails_everything_from_the_chosen_one),
		WITH_T_ALLOC(test_t_alloc_sweep_fails_each_allocation_alone_and_with_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
