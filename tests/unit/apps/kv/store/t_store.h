/* SPDX-License-Identifier: MIT */
/*
 * What the store's tests share: an allocator that counts and can refuse, a store with one reactor's
 * access, a seeded generator. Test support; one test thread, except the allocator's counters.
 */
#ifndef T_STORE_H
#define T_STORE_H

#include <malloc.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/memory.h>

#include "apps/kv/store/store.h"
#include "apps/kv/store/store_internal.h"

/* ---- allocator: blocks alive, and the allocation that fails (counted from 1; 0: none) ---- */

static int64_t t_blocks_alive;
static int64_t t_until_failure;

static bool t_refuses(void)
{
	return t_until_failure > 0 && --t_until_failure == 0;
}

static void *t_allocate_aligned(size_t alignment, size_t bytes)
{
	void *memory = t_refuses() ? NULL : memalign(alignment, bytes);

	if (memory)
		__atomic_fetch_add(&t_blocks_alive, 1, __ATOMIC_RELAXED);
	return memory;
}

static void *t_allocate(size_t bytes)
{
	return t_allocate_aligned(alignof(max_align_t), bytes);
}

static void *t_reallocate(void *memory, size_t bytes)
{
	if (!memory)
		return t_allocate(bytes);
	return t_refuses() ? NULL : realloc(memory, bytes);
}

static void t_release(void *memory)
{
	if (memory)
		__atomic_fetch_sub(&t_blocks_alive, 1, __ATOMIC_RELAXED);
	free(memory);
}

/*
 * Classes of 16 bytes: so that in-place writing is taken, and an overrun of the real block is
 * ASan's to find.
 */
static size_t t_good_bytes(size_t bytes)
{
	return (bytes + 15) / 16 * 16;
}

static void *t_allocate_class(size_t bytes)
{
	return t_allocate(t_good_bytes(bytes));
}

static void *t_reallocate_class(void *memory, size_t bytes)
{
	return t_reallocate(memory, t_good_bytes(bytes));
}

static const struct rota_allocator t_allocator = {
	.allocate = t_allocate_class,
	.reallocate = t_reallocate_class,
	.release = t_release,
	.good_bytes = t_good_bytes,
	.allocate_aligned = t_allocate_aligned,
};

/* ---- pseudo-random numbers: splitmix64 ---- */

static inline uint64_t t_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* ---- a store, and one reactor's way in ---- */

struct t_store {
	struct kv_store *store;
	struct kv_garbage garbage;
	struct kv_access access;
};

static inline struct kv_store *t_create(uint32_t shards, uint32_t reactors)
{
	struct kv_store_options options = { .shard_count = shards,
					    .reactor_count = reactors,
					    .hash_seed = "sixteen secrets!" };
	struct kv_store *store = NULL;

	assert_int_equal(kv_store_create(&store, &options), 0);
	return store;
}

static inline void t_open_with(struct t_store *t, struct kv_store *store)
{
	t->store = store;
	kv_garbage_init(&t->garbage);
	t->access = (struct kv_access){ .store = store, .now_ms = 1000, .garbage = &t->garbage };
}

static inline void t_open(struct t_store *t, uint32_t shards)
{
	t_until_failure = 0;
	t_blocks_alive = 0;
	rota_set_allocator(&t_allocator);
	t_open_with(t, t_create(shards, 1));
}

/* Ends the store and checks that nothing leaked. */
static inline void t_close(struct t_store *t)
{
	t_until_failure = 0;
	kv_garbage_free(&t->garbage);
	kv_store_destroy(t->store);
	assert_int_equal(t_blocks_alive, 0);
	rota_set_allocator(NULL);
}

static inline struct kv_key t_key(struct t_store *t, const char *key)
{
	return kv_key_of(t->store, rota_view_of_string(key));
}

static inline int t_set(struct t_store *t, const char *key, const char *value)
{
	struct kv_key k = t_key(t, key);

	return kv_string_set(&t->access, &k, rota_view_of_string(value), KV_NO_EXPIRY);
}

static inline void t_assert_value(struct t_store *t, const char *key, struct rota_view expected)
{
	struct kv_key k = t_key(t, key);
	struct kv_entry *entry = kv_find(&t->access, &k);
	struct rota_view value;

	assert_non_null(entry);
	value = kv_entry_value(entry);
	assert_int_equal(value.bytes, expected.bytes);
	if (expected.bytes)
		assert_memory_equal(value.data, expected.data, expected.bytes);
}

/* What the counters say must be what a walk finds. */
struct t_census {
	uint64_t keys, expiring;
	size_t memory;
};

static inline void t_count_entry(void *arg, const struct kv_entry *entry)
{
	struct t_census *census = arg;

	census->keys++;
	census->expiring += kv_entry_expiry(entry) != KV_NO_EXPIRY;
	census->memory += kv_entry_memory_bytes(entry);
}

static inline void t_assert_counts_agree(struct t_store *t)
{
	struct t_census census = { 0 };
	struct kv_access access = t->access;
	struct kv_parking parking;
	uint64_t cursor = 0;

	access.now_ms = 0; /* expired ones count too */
	do
		assert_true(kv_scan(&access, &cursor, 100, &parking, t_count_entry, &census) >= 0);
	while (cursor);
	assert_int_equal(kv_store_key_count(t->store, access.database), census.keys);
	assert_int_equal(kv_store_expiring_count(t->store, access.database), census.expiring);
}

#endif /* T_STORE_H */
