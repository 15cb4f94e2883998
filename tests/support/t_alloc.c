/* SPDX-License-Identifier: MIT */
/*
 * The failing, counting allocator. Any thread: all counters are atomic; sequentially consistent,
 * because nothing here needs to be fast.
 */
#include <malloc.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rota/memory.h>

#include "tests/support/t_alloc.h"

/* A body with more allocations than this never comes to its end. */
#define SWEEP_NUMBERS_MAX 100000

#define FRESH_BYTE 0xa5

static atomic_size_t counted;    /* allocations since the last reset */
static atomic_size_t failed;     /* of them */
static atomic_size_t live;       /* blocks */
static atomic_size_t fail_first; /* number of the first to fail; 0: none */
static atomic_size_t fail_last;  /* and of the last one */

/*
 * Where any thread or task may be running: cmocka's assertions jump, which only the test's own
 * stack may do.
 */
static void die_unless(bool condition, const char *complaint, size_t number)
{
	if (condition)
		return;
	fprintf(stderr, "t_alloc: %s (%zu)\n", complaint, number);
	abort();
}

static bool is_to_fail(void)
{
	size_t number = atomic_fetch_add(&counted, 1) + 1;
	size_t first = atomic_load(&fail_first);

	if (!first || number < first || number > atomic_load(&fail_last))
		return false;
	atomic_fetch_add(&failed, 1);
	return true;
}

static void *take_aligned(size_t alignment, size_t bytes)
{
	void *memory;

	die_unless(bytes > 0, "asked for no bytes", bytes);
	if (is_to_fail())
		return NULL;
	memory = memalign(alignment, bytes);
	die_unless(memory != NULL, "malloc itself failed, bytes", bytes);
	memset(memory, FRESH_BYTE, bytes);
	atomic_fetch_add(&live, 1);
	return memory;
}

static void *take(size_t bytes)
{
	return take_aligned(alignof(max_align_t), bytes);
}

static void give_back(void *memory)
{
	if (!memory)
		return;
	die_unless(atomic_fetch_sub(&live, 1) > 0, "more blocks given back than taken", 0);
	free(memory);
}

static void *resize(void *memory, size_t bytes)
{
	void *moved = take(bytes);

	if (!moved || !memory)
		return moved;
	memcpy(moved, memory, rota_min_size(malloc_usable_size(memory), bytes));
	give_back(memory);
	return moved;
}

static const struct rota_allocator failing_allocator = {
	.allocate = take,
	.reallocate = resize,
	.release = give_back,
	.good_bytes = NULL,
	.allocate_aligned = take_aligned,
};

static void fail_between(size_t first, size_t last)
{
	atomic_store(&fail_first, 0);
	atomic_store(&counted, 0);
	atomic_store(&failed, 0);
	atomic_store(&fail_last, last);
	atomic_store(&fail_first, first);
}

void t_alloc_install(void)
{
	atomic_store(&live, 0);
	fail_between(0, 0);
	rota_set_allocator(&failing_allocator);
}

void t_alloc_remove(void)
{
	size_t kept = atomic_load(&live);

	rota_set_allocator(NULL);
	if (kept)
		fail_msg("%zu blocks were never given back", kept);
}

void t_alloc_fail_at(size_t number)
{
	fail_between(number, number);
}

void t_alloc_fail_from(size_t number)
{
	fail_between(number, SIZE_MAX);
}

size_t t_alloc_count(void)
{
	return atomic_load(&counted);
}

size_t t_alloc_failures(void)
{
	return atomic_load(&failed);
}

size_t t_alloc_live(void)
{
	return atomic_load(&live);
}

/*
 * One round: number `first` fails, and all up to `last`. Returns whether there was an allocation to
 * fail.
 */
static bool survive(void (*body)(void *arg), void *arg, size_t first, size_t last)
{
	size_t live_before = t_alloc_live();
	bool any_failed;

	fail_between(first, last);
	body(arg);
	any_failed = t_alloc_failures() > 0;
	fail_between(0, 0);
	if (t_alloc_live() != live_before)
		fail_msg("%zu blocks instead of %zu are out after allocation %zu failed, %s",
			 t_alloc_live(), live_before, first,
			 last == first ? "alone" : "with all that follow");
	return any_failed;
}

bool t_alloc_fails_alone(void)
{
	return atomic_load(&fail_first) == atomic_load(&fail_last);
}

size_t t_alloc_sweep(void (*body)(void *arg), void *arg)
{
	size_t rounds = 0;
	bool any_failed = true;

	for (size_t number = 1; any_failed; number++) {
		if (number > SWEEP_NUMBERS_MAX)
			fail_msg("still allocating after %zu rounds", rounds);
		any_failed = survive(body, arg, number, number);
		any_failed |= survive(body, arg, number, SIZE_MAX);
		rounds += 2;
	}
	return rounds;
}
