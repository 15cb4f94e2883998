/* SPDX-License-Identifier: MIT */
/*
 * The uring engine's receive buffers: one provided-buffer ring, from which the kernel takes a
 * buffer when bytes have come, not when a receive is armed. Reactor's thread.
 *
 * The one idea: a buffer is with the kernel (in the ring), or with the receiver (lent), and goes
 * back when the last view into it is returned and the kernel is through with it. Without
 * `incremental` there is never more than one view, and the kernel is through with a buffer as soon
 * as it has put something in it.
 */
#include <unistd.h>

#include <rota/error.h>
#include <rota/memory.h>

#include "backends/uring/uring.h"

#define BUFFER_GROUP 0
#define PAGE_BYTES_MAX                                                                             \
	65536u /* the kernel wants the ring page-aligned; the largest page of any port of ours */

/* Into the ring; the kernel sees it at once. */
static void give_to_kernel(struct uring_buffers *buffers, uint16_t buffer)
{
	io_uring_buf_ring_add(buffers->ring, buffers->data + (size_t)buffer * buffers->bytes,
			      buffers->bytes, buffer, (int)(buffers->count - 1), 0);
	io_uring_buf_ring_advance(buffers->ring, 1);
}

int uring__buffers_open(struct uring_engine *engine)
{
	struct uring_buffers *buffers = &engine->buffers;
	size_t ring_bytes = engine->options.buffer_count * sizeof(struct io_uring_buf);
	struct uring_buffer_registration registration = {
		.ring_entries = engine->options.buffer_count,
		.bgid = BUFFER_GROUP,
	};
	int status;

	buffers->count = engine->options.buffer_count;
	buffers->bytes = engine->options.buffer_bytes;
	buffers->incremental = engine->features & URING_FEATURE_BIT(URING_INCREMENTAL);
	ring_bytes = rota_round_up(ring_bytes, PAGE_BYTES_MAX);
	/*
	 * Resident only as far as it is touched: the ring is taken round in order, so one page per
	 * buffer for small messages.
	 */
	buffers->memory = rota_alloc(PAGE_BYTES_MAX + ring_bytes +
				     (size_t)buffers->count * buffers->bytes);
	buffers->states = rota_calloc(buffers->count, sizeof(*buffers->states));
	if (!buffers->memory || !buffers->states)
		return -ENOMEM;
	buffers->ring = (void *)rota_round_up((uintptr_t)buffers->memory, PAGE_BYTES_MAX);
	buffers->data = (char *)buffers->ring + ring_bytes;
	memset(buffers->ring, 0, ring_bytes);
	registration.ring_addr = (uintptr_t)buffers->ring;
	registration.flags = buffers->incremental ? URING_PBUF_RING_INC : 0;
	engine->stats.system_calls++;
	status = io_uring_register_buf_ring(&engine->ring, (struct io_uring_buf_reg *)&registration,
					    0);
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
	rota_free(buffers->states);
	rota_free(buffers->memory);
	*buffers = (struct uring_buffers){ 0 };
}

char *uring__buffer_take(struct uring_buffers *buffers, uint16_t buffer, uint32_t bytes,
			 uint32_t cqe_flags)
{
	struct uring_buffer_state *state = &buffers->states[buffer];
	char *data = buffers->data + (size_t)buffer * buffers->bytes;

	ROTA_DCHECK(buffer < buffers->count);
	if (buffers->incremental) {
		data += state->offset_bytes;
		state->offset_bytes += bytes;
	}
	state->retired = !(cqe_flags & IORING_CQE_F_BUF_MORE);
	buffers->lent_count += state->views == 0;
	state->views++;
	uring__kernel_wrote(data, bytes);
	return data;
}

static void give_back_unused(struct uring_buffers *buffers, uint16_t buffer)
{
	struct uring_buffer_state *state = &buffers->states[buffer];

	if (state->views || !state->retired)
		return;
	state->retired = false;
	state->offset_bytes = 0;
	give_to_kernel(buffers, buffer);
}

void uring__buffer_drop(struct uring_buffers *buffers, uint16_t buffer, uint32_t cqe_flags)
{
	ROTA_DCHECK(buffer < buffers->count);
	if (!(cqe_flags & IORING_CQE_F_BUF_MORE))
		buffers->states[buffer].retired = true;
	give_back_unused(buffers, buffer);
}

void uring__buffer_return(struct rota_backend *backend, uint16_t buffer)
{
	struct uring_buffers *buffers = &uring__engine(backend)->buffers;

	ROTA_ASSERT(buffer < buffers->count);
	ROTA_ASSERT(buffers->states[buffer].views > 0); /* else it was returned twice */
	buffers->states[buffer].views--;
	buffers->lent_count -= buffers->states[buffer].views == 0;
	give_back_unused(buffers, buffer);
}
