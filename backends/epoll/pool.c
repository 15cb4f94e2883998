/* SPDX-License-Identifier: MIT */
/*
 * The epoll engine's receive buffers. Reactor's thread only.
 *
 * The one idea: unlike the kernel's buffer ring this is a stack, so that a server whose views die
 * young works in the few buffers that are in its cache, and the rest of the pool is never touched.
 */
#include <rota/base.h>
#include <rota/error.h>
#include <rota/memory.h>

#include "backends/epoll/epoll.h"

/* What a returned buffer is filled with in debug builds, so that a view kept too long is seen. */
#define POISON 0xA5

int rota__epoll_pool_init(struct rota__epoll_pool *pool, uint32_t count, uint32_t buffer_bytes)
{
	/*
	 * One line more than needed: buffers at a power-of-two stride would all begin in the same
	 * few cache sets.
	 */
	pool->stride_bytes = rota_round_up(buffer_bytes, ROTA_CACHE_LINE_BYTES) +
			     ROTA_CACHE_LINE_BYTES;
	pool->count = count;
	pool->buffer_bytes = buffer_bytes;
	pool->memory = rota_alloc(count * pool->stride_bytes);
	pool->free_ids = rota_alloc(count * sizeof(*pool->free_ids));
	pool->lent = rota_calloc(count, sizeof(*pool->lent));
	if (!pool->memory || !pool->free_ids || !pool->lent) {
		rota__epoll_pool_fini(pool);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < count; i++)
		pool->free_ids[i] = (uint16_t)(count - 1 - i);
	pool->free_count = count;
	return 0;
}

void rota__epoll_pool_fini(struct rota__epoll_pool *pool)
{
	rota_free(pool->memory);
	rota_free(pool->free_ids);
	rota_free(pool->lent);
}

void rota__epoll_pool_release(struct rota__epoll_pool *pool, uint16_t id)
{
	ROTA_ASSERT(id < pool->count);
	ROTA_ASSERT(pool->lent[id]);
	if (ROTA_DEBUG)
		memset(rota__epoll_pool_data(pool, id), POISON, pool->buffer_bytes);
	pool->lent[id] = false;
	pool->free_ids[pool->free_count++] = id;
}
