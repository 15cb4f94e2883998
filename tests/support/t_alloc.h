/* SPDX-License-Identifier: MIT */
/*
 * A failing, counting allocator for tests. Any thread; switch it on before the first allocation of
 * the code under test.
 *
 * The one idea: every allocation has a number, counted from the last t_alloc_fail_…(), so a test
 * can make each of them fail in turn. Two more faults are always on: fresh memory holds no zeroes,
 * and a resized block always moves, so whoever kept a pointer into the old one is caught by the
 * address sanitizer.
 *
 *	static void fill(void *arg) { … create, use, destroy; every step may fail … }
 *
 *	static void test_table_every_failed_allocation_is_survived(void **state)
 *	{
 *		t_alloc_install();
 *		t_alloc_sweep(fill, NULL);
 *		t_alloc_remove();
 *	}
 */
#ifndef T_ALLOC_H
#define T_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* Make rota_alloc and its kin use this allocator; nothing fails yet. */
void t_alloc_install(void);

/* Restore malloc; fails the test when blocks were not given back. May stand in a teardown. */
void t_alloc_remove(void);

/*
 * From now on allocation number `number` (1: the next one) fails, the others succeed. 0: none
 * fails.
 */
void t_alloc_fail_at(size_t number);

/* From now on allocation number `number` and all after it fail. */
void t_alloc_fail_from(size_t number);

/* Allocations asked for (resizing is one) since the last t_alloc_fail_…() or install. */
size_t t_alloc_count(void);

/* Of them, how many failed. */
size_t t_alloc_failures(void);

/* Blocks out now. */
size_t t_alloc_live(void);

/*
 * Call `body(arg)` again and again, with the 1st, 2nd, … allocation failing, until no allocation of
 * it fails any more; each number twice: failing alone, and with all that follow. Fails the test
 * when a round keeps a block. `body` comes to the same allocations each time. Call it from the test
 * itself. Returns the number of rounds.
 */
size_t t_alloc_sweep(void (*body)(void *arg), void *arg);

/* For the body: of what is to fail, only one allocation does. */
bool t_alloc_fails_alone(void);

#endif /* T_ALLOC_H */
