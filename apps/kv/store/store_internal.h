/* SPDX-License-Identifier: MIT */
/*
 * What the store's files share: the store, its shards, and each reactor's own part. Private to
 * apps/kv/store.
 *
 * The one idea: three kinds of memory. The store is read by all and written behind the closed gate;
 * a shard is written under its lock; a reactor's part is written by that reactor. Each kind has
 * cache lines of its own.
 */
#ifndef KV_STORE_INTERNAL_H
#define KV_STORE_INTERNAL_H

#include "apps/kv/store/store.h"
#include "apps/kv/store/table.h"

/* One cache line, so that locking a shard brings in what finding a key in database 0 needs next. */
struct kv_shard {
	uint64_t lot;            /* the lock, and who waits for it */
	struct kv_table table;   /* of database 0 */
	struct kv_table *others; /* of the databases from 1 on; NULL until the first key there */
	void *side;              /* watches and the like, NULL for most shards */
};

_Static_assert(sizeof(struct kv_shard) == ROTA_CACHE_LINE_BYTES, "a shard is one cache line");

/*
 * Written by its reactor only, but for `counts` behind the closed gate. Isolated: written in every
 * batch.
 */
struct kv_reactor {
	/* through the gate; odd while inside. Read by closers and by who retires memory */
	uint64_t passes;
	int64_t hits;
	int64_t misses;
	int64_t expired;
	uint32_t sweep_shard;        /* where the expiry sweep goes on */
	uint32_t sweep_database;     /* and in which table of that shard */
	struct kv_counts *counts;    /* per database, by table index */
	struct kv_garbage retired;   /* bucket memory that others' prefetches may still look at */
	struct kv_garbage waiting;   /* the same, until every reactor has left the pass it is in */
	struct kv_slab_cache *cache; /* where it takes entries from */
	uint64_t *seen;              /* passes of every reactor when `waiting` was filled */
} ROTA_ALIGNED(ROTA_ISOLATION_BYTES);

struct kv_store {
	/* Read in every command, written behind the closed gate. */
	struct kv_shard *shards;
	struct kv_reactor *reactors;
	struct kv_hash_key hash_key;
	uint32_t shard_mask;
	uint32_t database_count;
	uint32_t reactor_count;
	bool locking;
	bool careful;           /* locking, or there is a refusal hook */
	uint16_t *database_map; /* table index of each database: SWAPDB swaps two of them */
	bool (*refuse_lock)(void *arg, uint32_t shard);
	void *refuse_arg;
	size_t base_bytes; /* allocated by kv_store_create */
	void *shards_memory;
	void *reactors_memory;

	/* The gate: taken = closed to newcomers; see gate.c for the flags. */
	uint64_t gate_lot ROTA_ALIGNED(ROTA_ISOLATION_BYTES);
	struct kv_parking *gate_owner;
	struct kv_slab_depot depot;
	uint64_t locks_refused; /* atomic: any reactor's, but rare */
};

static inline uint32_t kv__shard_number(const struct kv_store *store, uint64_t hash)
{
	return (uint32_t)(hash >> 48) & store->shard_mask;
}

/* The table with index `table` of a shard, or NULL when it was never used. */
static inline struct kv_table *kv__shard_table(struct kv_shard *shard, uint32_t table)
{
	struct kv_table *others;

	if (ROTA_LIKELY(!table))
		return &shard->table;
	/*
	 * Acquire: prefetch and sweep read it without the lock; pairs with the release in
	 * kv__site_prepare.
	 */
	others = __atomic_load_n(&shard->others, __ATOMIC_ACQUIRE);
	return others ? &others[table - 1] : NULL;
}

/*
 * Try to lock shard `number`, spinning for about a microsecond. Returns 0, or -EAGAIN with
 * `parking` queued.
 */
int kv__shard_lock(struct kv_store *store, uint32_t number, struct kv_parking *parking);

/* Try once; false when it is taken. Locking must be on. */
bool kv__shard_try_lock(struct kv_store *store, uint32_t number);
void kv__shard_unlock(struct kv_store *store, uint32_t number);

/* Whoever looks into a shard has its lock, or is alone behind the gate. */
static inline void kv__check_access(const struct kv_store *store, const struct kv_shard *shard)
{
	ROTA_DCHECK(!store->locking || kv_gate_is_exclusive(store) ||
		    __atomic_load_n(&shard->lot, __ATOMIC_RELAXED) & KV_LOT_TAKEN);
	(void)store;
	(void)shard;
}

/* One operation on one key's table. */
struct kv_operation {
	struct kv_site site;
	struct kv_shard *shard;
	struct kv_reactor *reactor;
};

/*
 * Prepare to work on `table` (an index) of `shard`; site.table is NULL when the shard has no such
 * table yet.
 */
void kv__site_init(struct kv_operation *operation, const struct kv_access *access, uint32_t shard,
		   uint32_t table);

/* Make sure that site.table is there. Returns 0 or -ENOMEM. */
ROTA_MUST_USE int kv__site_prepare(struct kv_operation *operation, const struct kv_access *access);

/* The slot of a live key, or NULL; removes an expired one. Initialises `operation`. */
uint64_t *kv__locate(struct kv_operation *operation, const struct kv_access *access,
		     const struct kv_key *key);

/*
 * Add a new entry for an absent key, or put it in place of the one in `slot`, whose memory becomes
 * garbage.
 */
ROTA_MUST_USE int kv__put(struct kv_operation *operation, const struct kv_access *access,
			  const struct kv_key *key, uint64_t *slot, struct kv_entry *entry);

/* Where the calling reactor takes entries from. */
static inline struct kv_slab_cache *kv__cache(const struct kv_access *access)
{
	return access->store->reactors[access->reactor].cache;
}

/* Account for memory that an entry gained or lost. */
static inline void kv__count_memory(struct kv_operation *operation, size_t added, size_t removed)
{
	kv__count(&operation->site.counts->memory_bytes, (int64_t)added - (int64_t)removed);
}

#endif /* KV_STORE_INTERNAL_H */
