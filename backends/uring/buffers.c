/* SPDX-License-Identifier: MIT */
/*
 * The uring engine's receive buffers: one provided-buffer ring, from which the kernel takes a
 * buffer when bytes have come, not when a receive is armed. Reactor's thread.
 *
 * The one idea: a buffer is with the kernel (in the ring), with the receiver (lent), or spare, and
 * each completion is the only view into its buffer. The ring hands buffers out in the order in
 * which they came, so with all of them in it every one is used in turn, and none is in the cache
 * when its turn comes. So it is kept short: it holds twice what has been taken between two enters
 * lately, and what is put in comes off a stack, the warmest first.
 *
 * Incremental buffers (Linux 6.12), which several completions share, are not used: one slow reader
 * would pin everybody's bytes, and whoever counts lent buffers could not know what a return sets
 * free.
 */
#include <unistd.h>

#include <rota/error.h>
#include <rota/memory.h>

#include "backends/uring/uring.h"

#define BUFFER_GROUP 0
#define PAGE_BYTES_MAX                                                                             \
	65536u /* the kernel wants the ring page-aligned; the largest page of any port of ours */

/* The ring holds no fewer, and as many before anything is known. Guesses. */
#define STOCK_MIN 16u
#define STOCK_FIRST 64u
/* After so many enters it is looked at whether less would do. A guess. */
#define SPELL_ENTERS 1024u

static inline void put_aside(struct uring_buffers *buffers, uint16_t buffer)
{
	buffers->spare[buffers->spare_count++] = buffer;
}

int uring__buffers_open(struct uring_engine *engine)
{
	struct uring_buffers *buffers = &engine->buffers;
	size_t ring_bytes = engine->options.buffer_count * sizeof(struct io_uring_buf);
	struct io_uring_buf_reg registration = {
		.ring_entries = engine->options.buffer_count,
		.bgid = BUFFER_GROUP,
	};
	int status;

	buffers->count = engine->options.buffer_count;
	buffers->bytes = engine->options.buffer_bytes;
	/*
	 * One line more than needed: buffers at a power-of-two stride would all begin in the same
	 * few cache sets.
	 */
	buffers->stride_bytes = rota_round_up(buffers->bytes, ROTA_CACHE_LINE_BYTES) +
				ROTA_CACHE_LINE_BYTES;
	buffers->under_memcheck = uring__under_memcheck();
	ring_bytes = rota_round_up(ring_bytes, PAGE_BYTES_MAX);
	/* Resident only as far as it is touched. */
	buffers->memory = rota_alloc(PAGE_BYTES_MAX + ring_bytes +
				     buffers->count * buffers->stride_bytes);
	buffers->is_lent = rota_calloc(buffers->count, sizeof(*buffers->is_lent));
	buffers->spare = rota_calloc(buffers->count, sizeof(*buffers->spare));
	if (!buffers->memory || !buffers->is_lent || !buffers->spare)
		return -ENOMEM;
	buffers->ring = (void *)rota_round_up((uintptr_t)buffers->memory, PAGE_BYTES_MAX);
	buffers->data = (char *)buffers->ring + ring_bytes;
	memset(buffers->ring, 0, ring_bytes);
	registration.ring_addr = (uintptr_t)buffers->ring;
	engine->stats.system_calls++;
	status = io_uring_register_buf_ring(&engine->ring, &registration, 0);
	if (status < 0)
		return status;
	buffers->registered = true;
	for (uint32_t i = buffers->count; i > 0; i--)
		put_aside(buffers, (uint16_t)(i - 1));
	/* A kernel thread that polls takes them whenever it likes. */
	buffers->stock = engine->options.sqpoll
				 ? buffers->count
				 : (uint32_t)rota_min_size(STOCK_FIRST, buffers->count);
	uring__buffers_stock(buffers);
	engine->stats.buffers_count = buffers->count;
	engine->stats.buffer_bytes = buffers->bytes;
	return 0;
}

void uring__buffers_close(struct uring_engine *engine)
{
	struct uring_buffers *buffers = &engine->buffers;

	ROTA_ASSERT(buffers->lent_count == 0);
	if (buffers->registered)
		rota_ignore(io_uring_unregister_buf_ring(&engine->ring, BUFFER_GROUP),
			    "the ring goes away right after");
	rota_free(buffers->spare);
	rota_free(buffers->is_lent);
	rota_free(buffers->memory);
	*buffers = (struct uring_buffers){ 0 };
}

/* Twice what was taken at once; half as much when that has been far too much for a while. */
static void adapt_stock(struct uring_buffers *buffers)
{
	uint32_t wanted;

	if (buffers->taken > buffers->taken_max)
		buffers->taken_max = buffers->taken;
	buffers->taken = 0;
	wanted = (uint32_t)rota_min_size(buffers->taken_max * 2, buffers->count);
	if (wanted > buffers->stock)
		buffers->stock = wanted;
	if (++buffers->enters < SPELL_ENTERS)
		return;
	if (wanted * 2 < buffers->stock && buffers->stock > STOCK_MIN)
		buffers->stock = (uint32_t)rota_max_size(buffers->stock / 2, STOCK_MIN);
	buffers->enters = 0;
	buffers->taken_max = 0;
}

void uring__buffers_stock(struct uring_buffers *buffers)
{
	uint32_t with_kernel = buffers->count - buffers->lent_count - buffers->spare_count;
	int added = 0;

	adapt_stock(buffers);
	for (; with_kernel < buffers->stock && buffers->spare_count; with_kernel++) {
		uint16_t buffer = buffers->spare[--buffers->spare_count];

		io_uring_buf_ring_add(buffers->ring, uring__buffer_data(buffers, buffer),
				      buffers->bytes, buffer, (int)(buffers->count - 1), added++);
	}
	io_uring_buf_ring_advance(buffers->ring, added);
}

bool uring__buffers_were_short(struct uring_buffers *buffers)
{
	if (!buffers->spare_count)
		return false;
	buffers->stock = (uint32_t)rota_min_size(buffers->stock * 2, buffers->count);
	return true;
}

void uring__buffer_drop(struct uring_buffers *buffers, uint16_t buffer)
{
	ROTA_DCHECK(buffer < buffers->count);
	put_aside(buffers, buffer);
}

void uring__buffer_return(struct rota_backend *backend, uint16_t buffer)
{
	struct uring_buffers *buffers = &uring__engine(backend)->buffers;

	ROTA_ASSERT(buffer < buffers->count);
	ROTA_ASSERT(buffers->is_lent[buffer]); /* else it was returned twice */
	buffers->is_lent[buffer] = false;
	buffers->lent_count--;
	put_aside(buffers, buffer);
}
