/* SPDX-License-Identifier: MIT */
/*
 * Slabs, and the magazines before them. Store layer; slabs under the depot's mutex, magazines by
 * their reactor.
 *
 * A slab begins at a multiple of SLAB_ALIGNMENT, so that a block's address says which one it is of.
 * One of which every block is in use is on no list; when a block comes back to it, it is the first
 * to be taken from, and the others become empty meanwhile. An empty slab goes back at once: since
 * blocks come and go several at a time, that is rare enough.
 */
#include "apps/kv/store/slab.h"

#include <rota/memory.h>

#include "apps/kv/store/sanitizer.h"

/*
 * Seven eighths of the alignment, because jemalloc adds a page to blocks of more than 14 KiB; the
 * rest of the frame is for others. Larger slabs would become empty less often.
 */
#define SLAB_ALIGNMENT (UINT32_C(64) << 10)
#define SLAB_BYTES (UINT32_C(56) << 10)

/* Blocks in a magazine at most, and how many move at a time. A guess. */
#define MAGAZINE_BLOCKS 32
#define MOVED_BLOCKS 16

struct slab {
	struct rota_link link; /* in the depot's list of its size, while a block is free */
	void *blocks;          /* those that came back, linked through their first word */
	uint32_t fresh_at;     /* where those begin that were never taken */
	uint32_t step;         /* from one block to the next */
	uint32_t used;         /* blocks that are in entries and magazines */
};

/* Blocks of 64 bytes fill cache lines. */
#define SLAB_HEADER_BYTES ROTA_CACHE_LINE_BYTES
#define SLAB_ROOM_BYTES (SLAB_BYTES - SLAB_HEADER_BYTES)

_Static_assert(sizeof(struct slab) <= SLAB_HEADER_BYTES, "the header's place is before the blocks");

/* What is free is poisoned, so only these two look at a link. */
#define UNSANITIZED __attribute__((no_sanitize("address")))

UNSANITIZED static void *take_off(void **blocks)
{
	void *block = *blocks;

	*blocks = *(void **)block;
	return block;
}

UNSANITIZED static void put_on(void **blocks, void *block)
{
	*(void **)block = *blocks;
	*blocks = block;
}

static inline uint32_t size_of(size_t bytes)
{
	return (uint32_t)((bytes + KV_SLAB_STEP - 1) / KV_SLAB_STEP);
}

/* ---- slabs ---- */

static struct slab *slab_of(void *block)
{
	return (struct slab *)((uintptr_t)block & ~(uintptr_t)(SLAB_ALIGNMENT - 1));
}

/* What is left at its end is too short for another. */
static int64_t all_blocks_bytes(const struct slab *slab)
{
	return SLAB_ROOM_BYTES - SLAB_ROOM_BYTES % slab->step;
}

static bool has_room(const struct slab *slab)
{
	return slab->blocks || slab->fresh_at + slab->step <= SLAB_BYTES;
}

/* One writer at a time. */
static void count_free(struct kv_slab_depot *depot, int64_t bytes)
{
	__atomic_store_n(&depot->free_bytes, depot->free_bytes + (uint64_t)bytes, __ATOMIC_RELAXED);
}

static struct slab *create_slab(struct kv_slab_depot *depot, uint32_t size)
{
	struct slab *slab = rota_alloc_aligned(SLAB_ALIGNMENT, SLAB_BYTES);

	if (!slab)
		return NULL;
	*slab = (struct slab){ .fresh_at = SLAB_HEADER_BYTES,
			       .step = size * KV_SLAB_STEP + KV_ASAN_GAP_BYTES };
	rota_list_push_front(&depot->partial[size], &slab->link);
	count_free(depot, all_blocks_bytes(slab));
	kv__poison((char *)slab + SLAB_HEADER_BYTES, SLAB_ROOM_BYTES);
	return slab;
}

static void destroy_slab(struct kv_slab_depot *depot, struct slab *slab)
{
	rota_list_remove(&slab->link);
	count_free(depot, -all_blocks_bytes(slab));
	kv__unpoison((char *)slab, SLAB_BYTES);
	rota_free(slab);
}

/* A free block of a slab that has one. */
static void *take_block(struct kv_slab_depot *depot, struct slab *slab)
{
	void *block;

	if (slab->blocks) {
		block = take_off(&slab->blocks);
	} else {
		block = (char *)slab + slab->fresh_at;
		slab->fresh_at += slab->step;
	}
	slab->used++;
	count_free(depot, -(int64_t)slab->step);
	if (!has_room(slab))
		rota_list_remove(&slab->link);
	return block;
}

static void give_block(struct kv_slab_depot *depot, uint32_t size, void *block)
{
	struct slab *slab = slab_of(block);

	ROTA_DCHECK(slab->step == size * KV_SLAB_STEP + KV_ASAN_GAP_BYTES);
	if (!has_room(slab))
		rota_list_push_front(&depot->partial[size], &slab->link);
	put_on(&slab->blocks, block);
	count_free(depot, slab->step);
	if (--slab->used == 0)
		destroy_slab(depot, slab);
}

/* ---- the depot ---- */

static void lock(struct kv_slab_depot *depot)
{
	if (depot->is_locked)
		pthread_mutex_lock(&depot->mutex);
}

static void unlock(struct kv_slab_depot *depot)
{
	if (depot->is_locked)
		pthread_mutex_unlock(&depot->mutex);
}

void kv__slab_depot_init(struct kv_slab_depot *depot, bool is_locked)
{
	pthread_mutex_init(&depot->mutex, NULL);
	depot->is_locked = is_locked;
	depot->free_bytes = 0;
	for (uint32_t size = 0; size < KV_SLAB_SIZES; size++)
		rota_list_init(&depot->partial[size]);
}

void kv__slab_depot_fini(struct kv_slab_depot *depot)
{
	for (uint32_t size = 0; size < KV_SLAB_SIZES; size++)
		ROTA_ASSERT(rota_list_is_empty(&depot->partial[size]));
	ROTA_ASSERT(!depot->free_bytes);
	pthread_mutex_destroy(&depot->mutex);
}

/* ---- magazines ---- */

void kv__slab_cache_init(struct kv_slab_cache *cache, struct kv_slab_depot *depot)
{
	*cache = (struct kv_slab_cache){ .depot = depot };
}

/* Fill an empty magazine. Returns false when there is no memory for a single block. */
static ROTA_NOINLINE bool fill(struct kv_slab_cache *cache, uint32_t size)
{
	struct kv_slab_magazine *magazine = &cache->magazines[size];
	struct rota_link *partial = &cache->depot->partial[size];

	lock(cache->depot);
	if (!rota_list_is_empty(partial) || create_slab(cache->depot, size))
		for (; magazine->count < MOVED_BLOCKS && !rota_list_is_empty(partial);
		     magazine->count++)
			put_on(&magazine->blocks,
			       take_block(cache->depot, (struct slab *)partial->next));
	unlock(cache->depot);
	return magazine->count > 0;
}

/* Give back what is in a magazine, but for the last `left`. */
static ROTA_NOINLINE void drain(struct kv_slab_cache *cache, uint32_t size, uint32_t left)
{
	struct kv_slab_magazine *magazine = &cache->magazines[size];

	lock(cache->depot);
	for (; magazine->count > left; magazine->count--)
		give_block(cache->depot, size, take_off(&magazine->blocks));
	unlock(cache->depot);
}

void kv__slab_cache_empty(struct kv_slab_cache *cache)
{
	for (uint32_t size = 0; size < KV_SLAB_SIZES; size++)
		if (cache->magazines[size].count)
			drain(cache, size, 0);
}

void kv__slab_trim(struct kv_slab_cache *cache)
{
	if (cache->magazines[cache->trim_at].count)
		drain(cache, cache->trim_at, 0);
	cache->trim_at = (cache->trim_at + 1) % KV_SLAB_SIZES;
}

/* A block, or NULL. */
static inline void *take(struct kv_slab_cache *cache, uint32_t size)
{
	struct kv_slab_magazine *magazine = &cache->magazines[size];
	void *block;

	if (ROTA_UNLIKELY(!magazine->count) && !fill(cache, size))
		return NULL;
	magazine->count--;
	block = take_off(&magazine->blocks);
	kv__unpoison(block, size * KV_SLAB_STEP);
	return block;
}

static inline void give(struct kv_slab_cache *cache, uint32_t size, void *block)
{
	struct kv_slab_magazine *magazine = &cache->magazines[size];

	kv__poison(block, size * KV_SLAB_STEP);
	put_on(&magazine->blocks, block);
	if (ROTA_UNLIKELY(++magazine->count > MAGAZINE_BLOCKS))
		drain(cache, size, MAGAZINE_BLOCKS - MOVED_BLOCKS);
}

/* ---- entries of any size ---- */

void *kv__slab_alloc(struct kv_slab_cache *cache, size_t bytes)
{
	return bytes <= KV_SLAB_BLOCK_MAX ? take(cache, size_of(bytes)) : rota_alloc(bytes);
}

void kv__slab_free(struct kv_slab_cache *cache, void *block, size_t bytes)
{
	if (bytes <= KV_SLAB_BLOCK_MAX)
		give(cache, size_of(bytes), block);
	else
		rota_free(block);
}

size_t kv__slab_good_bytes(size_t bytes)
{
	return bytes <= KV_SLAB_BLOCK_MAX ? rota_round_up(bytes, KV_SLAB_STEP)
					  : rota_good_bytes(bytes);
}
