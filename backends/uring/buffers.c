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
 * Incremental buffers, a variant, are with the kernel and the receiver at the same time: the kernel
 * fills the rest while receivers look at what is filled. A buffer is spare when the kernel has left
 * it and its last view has come back.
 */
#include <unistd.h>

#include <rota/error.h>
#include <rota/memory.h>

#include "backends/uring/uring.h"

#define PAGE_BYTES_MAX                                                                             \
	65536u /* the kernel wants the ring page-aligned; the largest page of any port of ours */

/* The ring holds no fewer, and as many before anything is known. Guesses. */
#define STOCK_MIN 16u
#define STOCK_FIRST 64u
/* After so many enters before which some were taken, would less do? A guess. */
#define SPELL_ENTERS 1024u

static inline void put_aside(struct uring_buffers *buffers, uint16_t buffer)
{
	buffers->spare[buffers->spare_count++] = buffer;
}

/* What incremental buffers and bundles need to know of each buffer. */
static int open_variants(struct uring_engine *engine,
			 struct uring_buffer_registration *registration)
{
	struct uring_buffers *buffers = &engine->buffers;

	if (engine->features & URING_FEATURE_BIT(URING_INCREMENTAL)) {
		registration->flags = URING_BUFFER_RING_INCREMENTAL;
		buffers->filled = rota_calloc(buffers->count, sizeof(*buffers->filled));
		if (!buffers->filled)
			return -ENOMEM;
	}
	if (engine->features & URING_FEATURE_BIT(URING_BUNDLES)) {
		buffers->places = rota_calloc(buffers->count, sizeof(*buffers->places));
		if (!buffers->places)
			return -ENOMEM;
	}
	engine->shares_buffers = buffers->filled || buffers->places;
	return 0;
}

int uring__buffers_open(struct uring_engine *engine)
{
	struct uring_buffers *buffers = &engine->buffers;
	size_t ring_bytes = engine->options.buffer_count * sizeof(struct io_uring_buf);
	struct uring_buffer_registration registration = {
		.entries = engine->options.buffer_count,
		.group = URING_BUFFER_GROUP,
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
	buffers->views = rota_calloc(buffers->count, sizeof(*buffers->views));
	buffers->spare = rota_calloc(buffers->count, sizeof(*buffers->spare));
	if (!buffers->memory || !buffers->views || !buffers->spare)
		return -ENOMEM;
	status = open_variants(engine, &registration);
	if (status < 0)
		return status;
	buffers->ring = (void *)rota_round_up((uintptr_t)buffers->memory, PAGE_BYTES_MAX);
	buffers->data = (char *)buffers->ring + ring_bytes;
	memset(buffers->ring, 0, ring_bytes);
	registration.ring_address = (uintptr_t)buffers->ring;
	engine->stats.system_calls++;
	status = io_uring_register_buf_ring(&engine->ring, (void *)&registration, 0);
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
		rota_ignore(io_uring_unregister_buf_ring(&engine->ring, URING_BUFFER_GROUP),
			    "the ring goes away right after");
	rota_free(buffers->places);
	rota_free(buffers->filled);
	rota_free(buffers->spare);
	rota_free(buffers->views);
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

/* The last `added` taken off the stack, where they still are, go behind the ring's tail. */
static ROTA_NOINLINE void note_stocked(struct uring_buffers *buffers, uint32_t added)
{
	for (uint32_t i = 0; i < added; i++) {
		uint16_t buffer = buffers->spare[buffers->spare_count + added - 1 - i];

		if (buffers->filled)
			buffers->filled[buffer] = 0;
		else
			buffers->places[buffer] = (uint16_t)((buffers->ring->tail + i) &
							     (buffers->count - 1));
	}
}

void uring__buffers_restock(struct uring_buffers *buffers)
{
	uint32_t with_kernel = uring__buffers_with_kernel(buffers);
	int added = 0;

	adapt_stock(buffers);
	for (; with_kernel < buffers->stock && buffers->spare_count; with_kernel++) {
		uint16_t buffer = buffers->spare[--buffers->spare_count];

		io_uring_buf_ring_add(buffers->ring, uring__buffer_data(buffers, buffer),
				      buffers->bytes, buffer, (int)(buffers->count - 1), added++);
	}
	if (ROTA_UNLIKELY(buffers->filled || buffers->places))
		note_stocked(buffers, (uint32_t)added);
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

char *uring__buffer_take_part(struct uring_buffers *buffers, uint16_t buffer, uint32_t bytes,
			      bool goes_on)
{
	char *data = uring__buffer_data(buffers, buffer);

	ROTA_ASSERT(buffer < buffers->count);
	/* The kernel fills no more than there is, and nothing that it has left. */
	ROTA_ASSERT(buffers->filled[buffer] <= buffers->bytes);
	ROTA_ASSERT(bytes <= buffers->bytes - buffers->filled[buffer]);
	data += buffers->filled[buffer];
	if (!buffers->views[buffer]++) {
		buffers->lent_count++;
		buffers->shared++;
	}
	buffers->filled[buffer] += bytes;
	if (!goes_on) {
		buffers->filled[buffer] = URING_BUFFER_LEFT;
		buffers->shared--;
		buffers->taken++;
	}
	if (ROTA_UNLIKELY(buffers->under_memcheck))
		uring__kernel_wrote(data, bytes);
	return data;
}

static ROTA_NOINLINE void return_part(struct uring_buffers *buffers, uint16_t buffer)
{
	if (--buffers->views[buffer])
		return;
	buffers->lent_count--;
	if (buffers->filled[buffer] == URING_BUFFER_LEFT)
		put_aside(buffers, buffer);
	else
		buffers->shared--; /* the kernel's alone again */
}

void uring__buffer_return(struct rota_backend *backend, uint16_t buffer)
{
	struct uring_buffers *buffers = &uring__engine(backend)->buffers;

	ROTA_ASSERT(buffer < buffers->count);
	ROTA_ASSERT(buffers->views[buffer]); /* else it was returned twice */
	if (ROTA_UNLIKELY(buffers->filled != NULL)) {
		return_part(buffers, buffer);
		return;
	}
	buffers->views[buffer] = 0;
	buffers->lent_count--;
	put_aside(buffers, buffer);
}
