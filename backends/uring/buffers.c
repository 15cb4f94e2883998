/* SPDX-License-Identifier: MIT */
/*
 * The uring engine's receive buffers: one provided-buffer ring, from which the kernel takes a
 * buffer when bytes have come, not when a receive is armed. Reactor's thread.
 *
 * The one idea: a buffer is with the kernel (in the ring) or with the receiver (lent), and each
 * completion is the only view into its buffer. Incremental buffers (Linux 6.12), which several
 * completions share, are not used: one slow reader would pin everybody's bytes, and whoever counts
 * lent buffers could not know what a return sets free.
 */
#include <unistd.h>

#include <rota/error.h>
#include <rota/memory.h>

#include "backends/uring/uring.h"

#define BUFFER_GROUP 0
#define PAGE_BYTES_MAX                                                                             \
	65536u /* the kernel wants the ring page-aligned; the largest page of any port of ours */

/* Into the ring; the kernel sees it at once. */
static inline void give_to_kernel(struct uring_buffers *buffers, uint16_t buffer)
{
	io_uring_buf_ring_add(buffers->ring, buffers->data + (size_t)buffer * buffers->bytes,
			      buffers->bytes, buffer, (int)(buffers->count - 1), 0);
	io_uring_buf_ring_advance(buffers->ring, 1);
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
	buffers->under_memcheck = uring__under_memcheck();
	ring_bytes = rota_round_up(ring_bytes, PAGE_BYTES_MAX);
	/*
	 * Resident only as far as it is touched: the ring is taken round in order, so one page per
	 * buffer for small messages.
	 */
	buffers->memory = rota_alloc(PAGE_BYTES_MAX + ring_bytes +
				     (size_t)buffers->count * buffers->bytes);
	buffers->is_lent = rota_calloc(buffers->count, sizeof(*buffers->is_lent));
	if (!buffers->memory || !buffers->is_lent)
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
	for (uint32_t i = 0; i < buffers->count; i++)
		give_to_kernel(buffers, (uint16_t)i);
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
	rota_free(buffers->is_lent);
	rota_free(buffers->memory);
	*buffers = (struct uring_buffers){ 0 };
}

void uring__buffer_drop(struct uring_buffers *buffers, uint16_t buffer)
{
	ROTA_DCHECK(buffer < buffers->count);
	give_to_kernel(buffers, buffer);
}

void uring__buffer_return(struct rota_backend *backend, uint16_t buffer)
{
	struct uring_buffers *buffers = &uring__engine(backend)->buffers;

	ROTA_ASSERT(buffer < buffers->count);
	ROTA_ASSERT(buffers->is_lent[buffer]); /* else it was returned twice */
	buffers->is_lent[buffer] = false;
	buffers->lent_count--;
	give_to_kernel(buffers, buffer);
}
