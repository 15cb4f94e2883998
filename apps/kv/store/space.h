/* SPDX-License-Identifier: MIT */
/*
 * Where a table's buckets are. Private to the store; under the shard's lock, except for
 * kv__space_peek.
 *
 * The one idea: one word says all, so that a look-up misses the cache as seldom as can be and a
 * prefetch, which has no lock, sees address and room of the same moment. Up to KV_SPACE_FLAT_MAX
 * buckets are one array, which the word points to; a larger one takes its place when it is full.
 * More are in segments that never move, behind a directory that is replaced whenever there is a
 * segment more or less. So the word changes with every move of a bucket.
 */
#ifndef KV_STORE_SPACE_H
#define KV_STORE_SPACE_H

#include <rota/memory.h>

#include "apps/kv/store/table.h"

/* The word: an address, this bit when it is a directory's, and above the address how many there
 * are of what it points to: buckets, or segments.
 */
#define KV_SPACE_DIRECTORY UINT64_C(1)

/*
 * The largest array is 14 KiB, copied in less than a microsecond; with 2048 shards that is 3.4
 * million keys. It is the largest block that jemalloc takes from a slab: one of 16 KiB would cost a
 * page more. A segment is 2 KiB, so that what is there ahead is little beside it.
 */
#define KV_SPACE_FLAT_MAX 224u
#define KV_SPACE_SEGMENT_SHIFT 5u
#define KV_SPACE_SEGMENT (1u << KV_SPACE_SEGMENT_SHIFT)

/* The segments of the largest array are the first of every directory; the rest have own blocks. */
#define KV_SPACE_FLAT_SEGMENTS (KV_SPACE_FLAT_MAX / KV_SPACE_SEGMENT)

struct kv_directory {
	struct kv_directory *link; /* when it is garbage; the first word, as garbage wants it */
	struct kv_bucket *segments[];
};

/* The highest set bit of `x` > 0. */
static inline unsigned kv__top_bit(uint32_t x)
{
	return 31u - (unsigned)__builtin_clz(x);
}

/* The bucket of a hash among `buckets` > 0. */
static inline uint32_t kv__bucket_number(uint32_t hash, uint32_t buckets)
{
	uint32_t mask = (uint32_t)((UINT64_C(2) << kv__top_bit(buckets)) - 1);
	uint32_t number = hash & mask;

	return number < buckets ? number : number & mask >> 1;
}

static inline void *kv__space_address(uint64_t space)
{
	return (void *)(uintptr_t)(space & KV_SLOT_ADDRESS);
}

static inline uint32_t kv__space_count(uint64_t space)
{
	return (uint32_t)(space >> 48);
}

/* Bucket `number`, which is there. */
static inline struct kv_bucket *kv__space_bucket(uint64_t space, uint32_t number)
{
	const struct kv_directory *directory = kv__space_address(space);

	if (ROTA_LIKELY(!(space & KV_SPACE_DIRECTORY)))
		return (struct kv_bucket *)kv__space_address(space) + number;
	return &directory->segments[number >> KV_SPACE_SEGMENT_SHIFT]
				   [number & (KV_SPACE_SEGMENT - 1)];
}

/*
 * For prefetching, without the lock: where the bucket of `hash` is now, or NULL, and the word it
 * was found with. Inside the gate, so that retired memory stays readable.
 */
static inline struct kv_bucket *kv__space_peek(const struct kv_table *table, uint64_t hash,
					       uint64_t *space)
{
	/* Acquire pairs with the release in publish(). */
	uint64_t word = __atomic_load_n(&table->space, __ATOMIC_ACQUIRE);
	uint32_t buckets = __atomic_load_n(&table->buckets, __ATOMIC_RELAXED);
	uint32_t number;

	*space = word;
	if (ROTA_UNLIKELY(!buckets))
		return NULL;
	/* The number of buckets may be of another moment than the room for them, so check. */
	number = kv__bucket_number(kv__hash_bucket(hash), buckets);
	if (ROTA_UNLIKELY((word & KV_SPACE_DIRECTORY ? number >> KV_SPACE_SEGMENT_SHIFT : number) >=
			  kv__space_count(word)))
		return NULL;
	return kv__space_bucket(word, number);
}

/*
 * Make room for `buckets`, empty ones behind those that are there. May move buckets. Returns 0, or
 * -ENOMEM (nothing changed).
 */
ROTA_MUST_USE int kv__space_grow(struct kv_site *site, uint32_t buckets);

/*
 * Give back what the table's number of buckets, one less than before, does not need. May move
 * buckets. Out of memory for less: then more is kept.
 */
void kv__space_shrink(struct kv_site *site);

/* Free a table's space without what is in it. */
void kv__space_free(uint64_t space);

/* Account for memory that the table gained or lost. */
static inline void kv__site_count_memory(struct kv_site *site, size_t added, size_t removed)
{
	kv__count(&site->counts->memory_bytes,
		  (int64_t)(added ? rota_good_bytes(added) : 0) -
			  (int64_t)(removed ? rota_good_bytes(removed) : 0));
}

#endif /* KV_STORE_SPACE_H */
