/* SPDX-License-Identifier: MIT */
/*
 * The failing, counting allocator. Any thread: all counters are atomic; sequentially consistent, because nothing here
 * needs to be fast.
 */
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rota/memory.h>

#include "tests/support/t_alloc.h"

/* More allocations than this in one sweep means that `body` never comes to its end. */
#define SWEEP_ROUNDS_MAX 100000

#define FRESH_BYTE 0xa5

static atomic_size_t counted;     /* allocations since the last reset */
static atomic_size_t failed;      /* of them */
static atomic_size_t live;        /* blocks */
static atomic_size_t fail_first;  /* number of the first to fail; 0: none */
static atomic_size_t fail_last;   /* and of the last one */

/* cmocka's assertions jump, which only the test's own stack may do: so a wrong test ends the program. */
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

static void *take(size_t bytes)
{
	void *memory;

	die_unless(bytes > 0, "asked for no bytes", bytes);
	if (is_to_fail())
		return NULL;
	memory = malloc(bytes);
	die_unless(memory != NULL, "malloc itself failed, bytes", bytes);
	memset(memory, FRESH_BYTE, bytes);
	atomic_fetch_add(&live, 1);
	return memory;
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
	die_unless(atomic_load(&live) == 0, "blocks never given back", atomic_load(&live));
	rota_set_allocator(NULL);
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

size_t t_alloc_sweep(void (*body)(void *arg), void *arg)
{
	size_t live_before = t_alloc_live();
	size_t rounds = 0;
	bool any_failed = true;

	for (size_t number = 1; any_failed; number++) {
		die_unless(number < SWEEP_ROUNDS_MAX, "the sweep does not end, rounds", number);
		any_failed = false;
		for (int alone = 1; alone >= 0; alone--) {
			fail_between(number, alone ? number : SIZE_MAX);
			body(arg);
			rounds++;
			any_failed = any_failed || t_alloc_failures() > 0;
			fail_between(0, 0);
			die_unless(t_alloc_live() == live_before,
				   alone ? "blocks kept when only this allocation failed"
					 : "blocks kept when this allocation and all after it failed",
				   number);
		}
	}
	return rounds;
}
