/* SPDX-License-Identifier: MIT */
/*
 * The replaceable allocator. Any thread; the only process-wide state is the table of functions, set
 * at start-up.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <rota/memory.h>

#include "framework/memory_internal.h"

static const struct rota_allocator libc_allocator = {
	.allocate = malloc,
	.reallocate = realloc,
	.release = free,
	.good_bytes = NULL,
	.allocate_aligned = memalign,
};

/* Written before the threads that read it are started, so plain loads are enough. */
static const struct rota_allocator *allocator = &libc_allocator;

void rota_set_allocator(const struct rota_allocator *replacement)
{
	allocator = replacement ? replacement : &libc_allocator;
}

__thread bool rota__alloc_is_shared __attribute__((tls_model("initial-exec")));

bool rota_alloc_is_shared(void)
{
	return rota__alloc_is_shared;
}

const struct rota_allocator *rota_get_allocator(void)
{
	return allocator;
}

void *rota_alloc(size_t bytes)
{
	return allocator->allocate(bytes);
}

void *rota_alloc_aligned(size_t alignment, size_t bytes)
{
	ROTA_ASSERT(allocator->allocate_aligned);
	return allocator->allocate_aligned(alignment, bytes);
}

void *rota_calloc(size_t count, size_t item_bytes)
{
	size_t bytes;
	void *memory;

	if (__builtin_mul_overflow(count, item_bytes, &bytes))
		return NULL;
	memory = allocator->allocate(bytes);
	if (memory)
		memset(memory, 0, bytes);
	return memory;
}

void *rota__calloc_isolated(size_t bytes)
{
	size_t isolated = rota_round_up(bytes, ROTA_ISOLATION_BYTES);
	char *block = rota_calloc(1, isolated + ROTA_ISOLATION_BYTES + sizeof(void *));
	void *memory;

	if (!block)
		return NULL;
	memory = (void *)rota_round_up((uintptr_t)block + sizeof(void *), ROTA_ISOLATION_BYTES);
	((void **)memory)[-1] = block; /* where the block starts is kept just below */
	return memory;
}

void rota__free_isolated(void *memory)
{
	if (memory)
		rota_free(((void **)memory)[-1]);
}

void *rota_realloc(void *memory, size_t bytes)
{
	return allocator->reallocate(memory, bytes);
}

void rota_free(void *memory)
{
	allocator->release(memory);
}

size_t rota_good_bytes(size_t bytes)
{
	return allocator->good_bytes ? allocator->good_bytes(bytes) : bytes;
}
