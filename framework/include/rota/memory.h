/* SPDX-License-Identifier: MIT */
/*
 * The allocator the library and its programs take their memory from. Any thread. The library drags
 * no allocator into its host: malloc by default, replaced once at start-up by whoever links another
 * (rota's own programs link jemalloc) or wants the k-th allocation to fail (the tests).
 */
#ifndef ROTA_MEMORY_H
#define ROTA_MEMORY_H

#include <stddef.h>

#include <rota/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Functions as the C standard has them; each may be called from several threads at once. */
struct rota_allocator {
	void *(*allocate)(size_t bytes);
	void *(*reallocate)(void *memory, size_t bytes);
	void (*release)(void *memory);
	/*
	 * Bytes really set aside for a block of `bytes`: what growing it in place would cost
	 * nothing. May be NULL.
	 */
	size_t (*good_bytes)(size_t bytes);
	/*
	 * A block of `bytes` at a multiple of `alignment`, a power of two; memalign of the C
	 * library. May be NULL when nothing asks for rota_alloc_aligned.
	 */
	void *(*allocate_aligned)(size_t alignment, size_t bytes);
};

/*
 * Take memory from `allocator` from now on. Before the first allocation only (start-up, or a test
 * that gives back all it took): blocks are released to whichever allocator is set at that time.
 * NULL restores malloc. Lends `allocator` until the next call.
 */
ROTA_API void rota_set_allocator(const struct rota_allocator *allocator);

/* The one in use. For one that stands in front of another. */
ROTA_API const struct rota_allocator *rota_get_allocator(void);

/*
 * True while what is being allocated is the thread's and not of whatever runs on it now, such as
 * the stacks of generators. For allocators that note whose memory is whose.
 */
ROTA_API bool rota_alloc_is_shared(void);

/*
 * Uninitialised memory, aligned for any type, or NULL. `bytes` is at least 1. Caller owns it:
 * rota_free.
 */
ROTA_API ROTA_MUST_USE void *rota_alloc(size_t bytes);

/*
 * The same at a multiple of `alignment`, a power of two, of an allocator that has
 * allocate_aligned. `bytes` need not be a multiple of it.
 */
ROTA_API ROTA_MUST_USE void *rota_alloc_aligned(size_t alignment, size_t bytes);

/* Zeroed memory for `count` items of `item_bytes`, or NULL (also when the product overflows). */
ROTA_API ROTA_MUST_USE void *rota_calloc(size_t count, size_t item_bytes);

/*
 * Resize; on failure NULL, and `memory` is untouched and still the caller's. `memory` may be NULL.
 */
ROTA_API ROTA_MUST_USE void *rota_realloc(void *memory, size_t bytes);

/* Give back; NULL is allowed. */
ROTA_API void rota_free(void *memory);

/*
 * The bytes the allocator would really set aside for `bytes`; `bytes` itself when it doesn't say.
 */
ROTA_API size_t rota_good_bytes(size_t bytes);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_MEMORY_H */
