/* SPDX-License-Identifier: MIT */
/*
 * Which slots of a bucket carry a tag. Private to the store; under the shard's lock, or as a hint
 * without it.
 *
 * The one idea: all eight are compared at once and nothing is branched on. A loop that ends at the
 * right slot ends somewhere else for every key, and guessing that wrongly costs more than the rest
 * of a look-up (docs/design/0006-store.md).
 */
#ifndef KV_STORE_MATCH_H
#define KV_STORE_MATCH_H

#include "apps/kv/store/table.h"

#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
#include <emmintrin.h>

/*
 * Bit i is set when the top 16 bits of slot i are those of `tag`; also for an empty slot and tag 0,
 * and for a link and its count. Without the lock the answer may be of several moments.
 */
static inline unsigned kv__match_tags(const struct kv_bucket *bucket, uint64_t tag)
{
	const __m128i wanted = _mm_set1_epi64x((long long)tag);
	unsigned found = 0;

	for (unsigned i = 0; i < KV_BUCKET_SLOTS / 2; i++) {
		__m128i pair = _mm_loadu_si128((const __m128i *)&bucket->slots[2 * i]);
		/* Of each slot's four lanes the topmost is its tag, and movemask takes its sign. */
		__m128i equal = _mm_cmpeq_epi16(pair, wanted);

		found |= (unsigned)_mm_movemask_pd(_mm_castsi128_pd(equal)) << 2 * i;
	}
	return found;
}

#else

static inline unsigned kv__match_tags(const struct kv_bucket *bucket, uint64_t tag)
{
	unsigned found = 0;

#pragma GCC unroll 8
	for (unsigned i = 0; i < KV_BUCKET_SLOTS; i++) {
		uint64_t slot = __atomic_load_n(&bucket->slots[i], __ATOMIC_RELAXED);

		found |= (unsigned)((slot ^ tag) >> 48 == 0) << i;
	}
	return found;
}

#endif

#endif /* KV_STORE_MATCH_H */
