/* SPDX-License-Identifier: MIT */
/*
 * Receives whose completions and buffers are not one to one: incremental buffers, which several
 * completions share, and bundles, completions that have filled several. Variants of the uring
 * engine; reactor's thread.
 *
 * The one idea: whoever receives still gets one completion for one buffer and gives each back once.
 * Of a bundle, which covers buffers in the order in which they were put into the ring, the engine
 * makes as many completions. Views into one incremental buffer are counted (buffers.c). What the
 * kernel says only once, where in the buffer the bytes are, follows from the order of completions;
 * the probe tries whether this kernel keeps it.
 */
#include <rota/error.h>

#include "backends/uring/table.h"

/* One completion more, into `out`. */
static void tell_part(struct rota_op *op, char *data, uint32_t bytes, uint16_t buffer,
		      struct rota_completion *out)
{
	*out = (struct rota_completion){
		.op = op,
		.data = data,
		.result = (int32_t)bytes,
		.flags = ROTA_COMPLETION_BUFFER | ROTA_COMPLETION_MORE,
		.buffer = buffer,
	};
}

/*
 * What the entry of the buffer ring at `place` got of `left` bytes. The kernel may have made the
 * entry smaller than the buffer, to what was in a socket when it looked.
 */
static uint32_t part_bytes(const struct io_uring_buf *entry, uint32_t left)
{
	return (uint32_t)rota_min_size(IO_URING_READ_ONCE(entry->len), left);
}

static const struct io_uring_buf *entry_at_place(const struct uring_buffers *buffers,
						 uint32_t place)
{
	return &buffers->ring->bufs[place & (buffers->count - 1)];
}

/* The buffers of a bundle from where we were on. */
static unsigned tell_bundle(struct uring_engine *engine, struct rota_op *op,
			    const struct io_uring_cqe *cqe, struct rota_completion *out,
			    unsigned out_max)
{
	struct uring_buffers *buffers = &engine->buffers;
	uint32_t left = (uint32_t)cqe->res - engine->told_bytes;
	uint32_t place = engine->told_bytes
				 ? engine->told_place
				 : buffers->places[cqe->flags >> IORING_CQE_BUFFER_SHIFT];
	unsigned count = 0;

	for (; left && count < out_max; place++, count++) {
		const struct io_uring_buf *entry = entry_at_place(buffers, place);
		uint32_t bytes = part_bytes(entry, left);

		ROTA_ASSERT(bytes); /* the kernel fills each before the next */
		tell_part(op, uring__buffer_take(buffers, entry->bid, bytes), bytes, entry->bid,
			  &out[count]);
		left -= bytes;
	}
	engine->told_bytes = left ? (uint32_t)cqe->res - left : 0;
	engine->told_place = place;
	return count;
}

static unsigned tell_all(struct uring_engine *engine, struct rota_op *op,
			 const struct io_uring_cqe *cqe, struct rota_completion *out,
			 unsigned out_max)
{
	uint16_t buffer = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
	uint32_t bytes = (uint32_t)cqe->res;

	if (engine->buffers.places)
		return tell_bundle(engine, op, cqe, out, out_max);
	tell_part(op,
		  uring__buffer_take_part(&engine->buffers, buffer, bytes,
					  cqe->flags & IORING_CQE_F_BUF_MORE),
		  bytes, buffer, out);
	return 1;
}

unsigned uring__receive_parts(struct uring_engine *engine, struct uring_entry *entry,
			      const struct io_uring_cqe *cqe, struct rota_completion *out,
			      unsigned out_max)
{
	struct rota_op *op = entry->op;
	unsigned count = tell_all(engine, op, cqe, out, out_max);

	if (engine->told_bytes || cqe->flags & IORING_CQE_F_MORE)
		return count;
	if (!(op->flags_ & URING_OP_CANCELLED)) {
		/*
		 * As with plain buffers: one-shot, or a multishot that ended for want of room. A
		 * bundle ends when it has emptied the ring: were it the first to go on, others
		 * would never find a buffer there.
		 */
		if (engine->buffers.places && engine->options.multishot)
			uring__start_later(engine, op);
		else
			uring__start(engine, op, uring__next_sqe(engine));
		return count;
	}
	out[count - 1].flags = ROTA_COMPLETION_BUFFER;
	uring__retire(engine, entry);
	return count;
}

void uring__drop_parts(struct uring_engine *engine, const struct io_uring_cqe *cqe)
{
	struct rota_completion part = { 0 };

	/* Without bytes it has used up nothing: the kernel has the buffer as before. */
	if (cqe->res <= 0 || !(cqe->flags & IORING_CQE_F_BUFFER))
		return;
	do {
		tell_all(engine, NULL, cqe, &part, 1);
		uring__buffer_return(&engine->base, part.buffer);
	} while (engine->told_bytes);
}
