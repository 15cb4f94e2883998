/* SPDX-License-Identifier: MIT */
/*
 * Memory for entries, in steps of 8 bytes. Private to the store. A cache is its reactor's; the
 * depot is everybody's.
 *
 * The one idea: whoever frees a block knows its size, so a block needs nothing beside it, and every
 * multiple of 8 can be a size of its own, where an allocator for all purposes has one in 16. Blocks
 * are cut out of slabs. A reactor takes and gives them from and to a magazine of its own for each
 * size, without a lock; between magazines and slabs they move several at a time under the depot's
 * mutex, so it does not matter which reactor frees what another one allocated. (Bonwick and Adams,
 * "Magazines and Vmem", USENIX 2001; here a magazine is filled and emptied by half instead of
 * exchanged for another.)
 */
#ifndef KV_STORE_SLAB_H
#define KV_STORE_SLAB_H

#include <pthread.h>

#include <rota/base.h>

#define KV_SLAB_STEP 8u

/* Blocks are at most so large; larger entries are the allocator's. */
#define KV_SLAB_BLOCK_MAX 512u
#define KV_SLAB_SIZES (KV_SLAB_BLOCK_MAX / KV_SLAB_STEP + 1)

struct kv_slab_depot {
	pthread_mutex_t mutex;                   /* for what follows, and for the slabs' insides */
	bool is_locked;                          /* by the mutex: there is more than one reactor */
	struct rota_link partial[KV_SLAB_SIZES]; /* slabs that have a free block, by size */
	uint64_t free_bytes;                     /* in these; atomic, read by anybody */
};

/* Free blocks of one size, linked through their first word. */
struct kv_slab_magazine {
	void *blocks;
	uint32_t count;
};

struct kv_slab_cache {
	struct kv_slab_depot *depot;
	uint32_t trim_at; /* the magazine that kv__slab_trim empties next */
	struct kv_slab_magazine magazines[KV_SLAB_SIZES];
};

void kv__slab_depot_init(struct kv_slab_depot *depot, bool is_locked);

/* Every block has been freed and every cache emptied. */
void kv__slab_depot_fini(struct kv_slab_depot *depot);

/* Lends `depot` until the cache is emptied for the last time. */
void kv__slab_cache_init(struct kv_slab_cache *cache, struct kv_slab_depot *depot);

/* Give back all that is free in the cache, and the slabs of which nothing is in use then. */
void kv__slab_cache_empty(struct kv_slab_cache *cache);

/* The same for one size, another one each time: for what is not used any more. */
void kv__slab_trim(struct kv_slab_cache *cache);

/*
 * Memory of `bytes`, at least 1, at a multiple of 8: a block, or above KV_SLAB_BLOCK_MAX the
 * allocator's, which rota_free may take as well. NULL when there is none. Returns owned:
 * kv__slab_free. Thread: the cache's reactor's, as for all that has a cache.
 */
void *kv__slab_alloc(struct kv_slab_cache *cache, size_t bytes);

/* Take back memory of `bytes`, of any cache of the same depot. */
void kv__slab_free(struct kv_slab_cache *cache, void *block, size_t bytes);

/* What slabs have set aside for blocks that nobody has. Any thread. */
static inline uint64_t kv__slab_free_bytes(const struct kv_slab_depot *depot)
{
	return __atomic_load_n(&depot->free_bytes, __ATOMIC_RELAXED);
}

/* The bytes really set aside for an entry of `bytes`, from a slab or not. */
size_t kv__slab_good_bytes(size_t bytes);

#endif /* KV_STORE_SLAB_H */
