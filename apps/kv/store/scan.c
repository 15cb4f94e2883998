/* SPDX-License-Identifier: MIT */
/*
 * Walking over all keys: SCAN, RANDOMKEY, emptying and exchanging databases. Store layer.
 *
 * The one idea: a cursor is (shard << 32 | position), and a position is a hash's bucket bits read
 * backwards. In that order every bucket is one interval, however many buckets there are, so the
 * cursor means "everything before this hash has been visited" and stays true when the table grows
 * or shrinks under it. (The order is that of Redis' SCAN, by P. Noordhuis.)
 */
#include <rota/error.h>

#include "apps/kv/store/store_internal.h"

/* Buckets looked at per entry asked for, before a step ends early. As Redis. */
#define BUCKETS_PER_ENTRY 10

struct walk {
	const struct kv_access *access;
	struct kv_parking *parking;
	kv_visit_fn visit;
	void *arg;
	uint32_t table;
	uint32_t visited;
	uint32_t wanted;
	uint32_t looks; /* buckets left to look at */
};

/*
 * Lock for the walk. With something to answer already, a refusal only ends the step; else the
 * caller parks. Alone behind the gate there is nothing to lock.
 */
static bool lock_for_walk(const struct walk *walk, uint32_t shard)
{
	struct kv_store *store = walk->access->store;

	if (kv_gate_is_exclusive(store))
		return true;
	if (walk->visited)
		return kv__shard_try_lock(store, shard);
	return kv__shard_lock(store, shard, walk->parking) == 0;
}

static void unlock_after_walk(const struct walk *walk, uint32_t shard)
{
	if (!kv_gate_is_exclusive(walk->access->store))
		kv__shard_unlock(walk->access->store, shard);
}

/* The shard's table, or NULL when there is nothing in it. */
static const struct kv_table *table_with_keys(const struct kv_store *store, uint32_t shard,
					      uint32_t index)
{
	const struct kv_table *table = kv__shard_table(&store->shards[shard], index);

	/*
	 * Relaxed and without the lock: a key that comes at this moment was not there from the
	 * first step on.
	 */
	return table && __atomic_load_n(&table->keys, __ATOMIC_RELAXED) ? table : NULL;
}

/*
 * Walk on in one shard from `*at`; *at is KV_SCAN_END when it is done. Returns false when the lock
 * was refused.
 */
static bool walk_shard(struct walk *walk, uint32_t shard, const struct kv_table *table,
		       uint64_t *at)
{
	if (!lock_for_walk(walk, shard))
		return false;
	while (table->buckets && *at < KV_SCAN_END && walk->visited < walk->wanted && walk->looks) {
		*at = kv__table_scan(table, *at, walk->access->now_ms, &walk->visited, walk->visit,
				     walk->arg);
		walk->looks--;
	}
	unlock_after_walk(walk, shard);
	return true;
}

int64_t kv_scan(const struct kv_access *access, uint64_t *cursor, uint32_t count,
		struct kv_parking *parking, kv_visit_fn visit, void *arg)
{
	const struct kv_store *store = access->store;
	uint64_t looks = (uint64_t)rota_max_size(count, 1) * BUCKETS_PER_ENTRY;
	struct walk walk = {
		.access = access,
		.parking = parking,
		.visit = visit,
		.arg = arg,
		.table = store->database_map[access->database],
		.wanted = (uint32_t)rota_max_size(count, 1),
		.looks = (uint32_t)rota_min_size(looks, UINT32_MAX),
	};
	uint64_t shard = *cursor >> 32;
	uint64_t at = *cursor & (KV_SCAN_END - 1);
	bool refused = false;

	while (shard <= store->shard_mask) {
		const struct kv_table *table = table_with_keys(store, (uint32_t)shard, walk.table);

		if (table) {
			if (walk.visited >= walk.wanted || !walk.looks)
				break;
			refused = !walk_shard(&walk, (uint32_t)shard, table, &at);
			if (refused)
				break;
		}
		/*
		 * Empty shards cost nothing: there are so few that reading all their counts is a
		 * matter of microseconds, once in an iteration. What follows the last key is
		 * skipped too, so that a small database is one step.
		 */
		if (!table || at == KV_SCAN_END) {
			shard++;
			at = 0;
		}
	}
	*cursor = shard > store->shard_mask ? 0 : shard << 32 | at;
	return refused && !walk.visited ? -EAGAIN : (int64_t)walk.visited;
}

/* ---- one key at random ---- */

struct choice {
	uint32_t skip; /* visits to let pass */
	kv_visit_fn visit;
	void *arg;
};

static void visit_nothing(void *arg, const struct kv_entry *entry)
{
	(void)arg;
	(void)entry;
}

static void visit_chosen(void *arg, const struct kv_entry *entry)
{
	struct choice *choice = arg;

	if (choice->skip-- == 0)
		choice->visit(choice->arg, entry);
}

/* Choose among the live entries of the first bucket from a random position on that has any. */
static bool choose_in_table(const struct kv_table *table, const struct kv_access *access,
			    uint64_t random, struct choice *choice)
{
	uint64_t begin = random & (KV_SCAN_END - 1), at = begin, end = KV_SCAN_END;

	if (!table->buckets)
		return false;
	for (int lap = 0; lap < 2; lap++, at = 0, end = begin) {
		while (at < end) {
			uint32_t live = 0, again = 0;
			uint64_t after = kv__table_scan(table, at, access->now_ms, &live,
							visit_nothing, NULL);

			if (live) {
				choice->skip = (uint32_t)(random >> 32) % live;
				kv__table_scan(table, at, access->now_ms, &again, visit_chosen,
					       choice);
				return true;
			}
			at = after;
		}
	}
	return false;
}

int kv_random(const struct kv_access *access, uint64_t random, struct kv_parking *parking,
	      kv_visit_fn visit, void *arg)
{
	const struct kv_store *store = access->store;
	struct walk walk = {
		.access = access,
		.parking = parking,
		.table = store->database_map[access->database],
	};
	struct choice choice = { .visit = visit, .arg = arg };

	for (uint32_t i = 0; i <= store->shard_mask; i++) {
		uint32_t shard = ((uint32_t)(random >> 40) + i) & store->shard_mask;
		const struct kv_table *table = table_with_keys(store, shard, walk.table);
		bool found;

		if (!table)
			continue;
		if (!lock_for_walk(&walk, shard))
			return -EAGAIN;
		found = choose_in_table(table, access, random, &choice);
		unlock_after_walk(&walk, shard);
		if (found)
			return 1;
	}
	return 0;
}

/* ---- whole databases ---- */

static void empty_table(const struct kv_access *access, uint32_t index)
{
	struct kv_store *store = access->store;

	for (uint32_t i = 0; i <= store->shard_mask; i++) {
		struct kv_table *table = kv__shard_table(&store->shards[i], index);

		if (table)
			kv__table_discard(table, access->garbage, kv__cache(access));
	}
	/*
	 * Nobody else is inside, so their counters are ours to write; they are read from outside.
	 */
	for (uint32_t i = 0; i < store->reactor_count; i++) {
		struct kv_counts *counts = &store->reactors[i].counts[index];

		__atomic_store_n(&counts->keys, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&counts->expiring, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&counts->memory_bytes, 0, __ATOMIC_RELAXED);
	}
}

void kv_flush(const struct kv_access *access, uint32_t database)
{
	const struct kv_store *store = access->store;

	ROTA_ASSERT(kv_gate_is_exclusive(store));
	for (uint32_t i = 0; i < store->database_count; i++)
		if (database == i || database == UINT32_MAX)
			empty_table(access, store->database_map[i]);
}

void kv_swap_databases(struct kv_store *store, uint32_t a, uint32_t b)
{
	uint16_t index = store->database_map[a];

	ROTA_ASSERT(kv_gate_is_exclusive(store));
	store->database_map[a] = store->database_map[b];
	store->database_map[b] = index;
}
