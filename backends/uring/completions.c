/* SPDX-License-Identifier: MIT */
/*
 * The uring engine's completions: what the CQEs of each kind of operation mean to its owner.
 * Reactor's thread.
 */
#include <poll.h>

#include <rota/error.h>

#include "backends/uring/table.h"

/*
 * What each completion goes through is inlined into both loops over them: left to itself the
 * compiler calls it, which came to 7 to 8 % more instructions for an echo (callgrind, 2026-11-26).
 */
#define INLINE inline __attribute__((always_inline))

static inline bool is_send(const struct rota_op *op)
{
	return op->kind == ROTA_OP_SEND || op->kind == ROTA_OP_SEND_MESSAGE;
}

/* EAGAIN: the kernel's own retry showing through. */
static bool accept_goes_on(int32_t result)
{
	return result >= 0 || result == -EAGAIN || rota_backend_accept_goes_on(-result);
}

/* Returns true when there is something to tell the owner. */
static bool translate_accept(struct uring_engine *engine, struct rota_op *op,
			     struct rota_completion *out)
{
	bool cancelled = op->flags_ & URING_OP_CANCELLED;

	if (out->flags & ROTA_COMPLETION_MORE)
		return true;
	/*
	 * One-shot, or a multishot that ended without an error of the listener's (its completion
	 * overflowed): the stream goes on.
	 */
	if (accept_goes_on(out->result) && !cancelled) {
		uring__start(engine, op, uring__next_sqe(engine));
		out->flags |= ROTA_COMPLETION_MORE;
		return out->result >= 0;
	}
	if (accept_goes_on(out->result) && out->result < 0)
		out->result = -ECANCELED;
	return true;
}

/* Returns true when the stream goes on. */
static INLINE bool translate_receive(struct uring_engine *engine, struct rota_op *op,
				     const struct io_uring_cqe *cqe, struct rota_completion *out)
{
	uint16_t buffer = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
	bool goes_on = cqe->flags & IORING_CQE_F_MORE;

	if (ROTA_UNLIKELY(cqe->res <= 0)) {
		/* With shared ones, what brought nothing has used up nothing. */
		if (cqe->flags & IORING_CQE_F_BUFFER && !engine->shares_buffers)
			uring__buffer_drop(&engine->buffers, buffer);
		engine->stats.buffers_exhausted += cqe->res == -ENOBUFS &&
						   !engine->buffers.spare_count;
		out->data = NULL;
		out->flags = goes_on ? ROTA_COMPLETION_MORE : 0;
		out->buffer = 0;
		return goes_on;
	}
	/* One-shot, or a multishot whose completion overflowed: the stream goes on. */
	if (ROTA_UNLIKELY(!goes_on) && !(op->flags_ & URING_OP_CANCELLED)) {
		uring__start(engine, op, uring__next_sqe(engine));
		goes_on = true;
	}
	out->data = uring__buffer_take(&engine->buffers, buffer, (uint32_t)cqe->res);
	out->flags = ROTA_COMPLETION_BUFFER | (goes_on ? ROTA_COMPLETION_MORE : 0);
	out->buffer = buffer;
	return goes_on;
}

/*
 * io_uring's poll also ends on POLLRDHUP, asked for or not, and would do so again and again. From
 * then on it polls multishot, which is edge-triggered, until something comes that was asked for.
 * Returns true when there is something to tell the owner.
 */
static bool translate_poll(struct uring_engine *engine, struct rota_op *op,
			   struct rota_completion *out)
{
	uint32_t wanted = op->events | POLLERR | POLLHUP | POLLNVAL;
	bool is_terminal = !(out->flags & ROTA_COMPLETION_MORE);

	out->flags |= ROTA_COMPLETION_MORE;
	if (op->flags_ & URING_OP_POLL_ANSWERED) {
		out->result = (int32_t)op->events;
	} else if (out->result >= 0 && !((uint32_t)out->result & wanted)) {
		if (is_terminal && !(op->flags_ & URING_OP_CANCELLED)) {
			op->flags_ |= URING_OP_POLL_MULTISHOT;
			uring__start(engine, op, uring__next_sqe(engine));
			return false;
		}
		out->result = -ECANCELED;
	} else if (out->result >= 0 && !is_terminal) {
		op->events = (uint32_t)out->result & wanted;
		op->flags_ |= URING_OP_POLL_ANSWERED;
		uring__cancel(&engine->base, op);
	}
	if (!is_terminal)
		return false;
	out->flags &= (uint16_t)~ROTA_COMPLETION_MORE;
	return true;
}

/* All but receives and plain sends: returns true when there is something to tell the owner. */
static ROTA_NOINLINE bool translate_rare(struct uring_engine *engine, struct uring_entry *entry,
					 const struct io_uring_cqe *cqe,
					 struct rota_completion *out)
{
	struct rota_op *op = entry->op;

	out->flags = cqe->flags & IORING_CQE_F_MORE ? ROTA_COMPLETION_MORE : 0;
	if (is_send(op))
		return uring__zero_copy_completed(engine, entry, cqe, out);
	if (op->kind == ROTA_OP_ACCEPT)
		return translate_accept(engine, op, out);
	if (op->kind == ROTA_OP_POLL)
		return translate_poll(engine, op, out);
	if (op->kind == ROTA_OP_CONNECT) {
		if (out->result >= 0)
			out->result = op->fd;
		else
			rota_ignore(uring__close_now(engine, op->fd),
				    "never connected: nothing can be lost");
	}
	return true;
}

/*
 * An operation has failed, perhaps only as requests do. EINTR: a kernel worker was running it when
 * it was cancelled. EAGAIN: our descriptors do not block, so a send that the kernel tries once
 * more, because there had been room a moment ago, may say that there is none; it has moved nothing,
 * and is started again. ENOBUFS: the kernel had no buffer, but we have some for it. Returns true
 * when there is something to tell the owner.
 */
static ROTA_NOINLINE bool translate_failure(struct uring_engine *engine, struct rota_op *op,
					    struct rota_completion *out)
{
	bool moves_bytes = op->kind == ROTA_OP_RECEIVE || is_send(op);
	bool may_go_on = (out->result == -EAGAIN && moves_bytes) ||
			 (out->result == -ENOBUFS && op->kind == ROTA_OP_RECEIVE &&
			  uring__buffers_were_short(&engine->buffers));

	if ((engine->adapts_sends || op->flags_ & URING_OP_SILENT) && is_send(op))
		may_go_on |= uring__send_goes_on(op, out->result);
	if (may_go_on && !(op->flags_ & URING_OP_CANCELLED)) {
		uring__start(engine, op, uring__next_sqe(engine));
		return false;
	}
	if (op->flags_ & URING_OP_CANCELLED && (may_go_on || out->result == -EINTR))
		out->result = -ECANCELED;
	return true;
}

static INLINE bool translate(struct uring_engine *engine, struct uring_entry *entry,
			     const struct io_uring_cqe *cqe, struct rota_completion *out)
{
	struct rota_op *op = entry->op;
	bool tell = true;

	out->op = op;
	out->result = cqe->res;
	if (op->kind == ROTA_OP_RECEIVE) {
		if (ROTA_LIKELY(translate_receive(engine, op, cqe, out)))
			return true;
	} else {
		out->data = NULL;
		out->flags = 0;
		out->buffer = 0;
		/* Of a send the result says it all. */
		if (ROTA_UNLIKELY(cqe->flags) || !is_send(op))
			tell = translate_rare(engine, entry, cqe, out);
		if (out->flags & ROTA_COMPLETION_MORE)
			return tell;
	}
	if (ROTA_UNLIKELY(out->result < 0) && !translate_failure(engine, op, out))
		return false;
	uring__retire(engine, entry);
	return true;
}

/* A completion of no operation's. */
static void handle_internal(struct uring_engine *engine, const struct io_uring_cqe *cqe)
{
	if (cqe->user_data == uring__user_data_of(URING_INDEX_INTERNAL, URING_TAG_CANCEL))
		return; /* ENOENT: it had ended by itself; EALREADY: it is about to */
	if (cqe->user_data == uring__user_data_of(URING_INDEX_INTERNAL, URING_TAG_WAKE)) {
		/*
		 * From here on a wake() writes again. Partner of the exchange there: whatever the
		 * waker did before it is visible to the reactor once poll() returns.
		 */
		atomic_exchange_explicit(&engine->wake_pending, false, memory_order_acq_rel);
		engine->stats.wakes++;
		if (!(cqe->flags & IORING_CQE_F_MORE))
			uring__arm_wake(engine);
		return;
	}
	engine->stats.unknown++;
	if (engine->shares_buffers)
		uring__drop_parts(engine, cqe);
	else if (cqe->flags & IORING_CQE_F_BUFFER)
		uring__buffer_drop(&engine->buffers,
				   (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT));
}

static unsigned collect_finished(struct uring_engine *engine, struct rota_completion *out,
				 unsigned out_max)
{
	unsigned count = 0;

	while (count < out_max && !rota_list_is_empty(&engine->finished)) {
		struct rota_link *link = rota_list_pop_front(&engine->finished);
		struct rota_op *op = ROTA_CONTAINER_OF(link, struct rota_op, link_);

		out[count++] = (struct rota_completion){
			.op = op,
			.result = (int32_t)op->generation_,
		};
		op->state_ = URING_OP_IDLE;
		op->flags_ = 0;
	}
	return count;
}

static unsigned collect_offloaded(struct uring_engine *engine, struct rota_completion *out,
				  unsigned out_max)
{
	struct rota_op *op;
	unsigned count = 0;
	int32_t result;

	while (count < out_max && (op = rota_offload_port_take(&engine->port, &result))) {
		out[count++] = (struct rota_completion){ .op = op, .result = result };
		op->state_ = URING_OP_IDLE;
	}
	return count;
}

/*
 * One completion, which is no part of a bundle. Returns how many it is to the owner: 0 or 1. */
static INLINE unsigned collect_one(struct uring_engine *engine, const struct io_uring_cqe *cqe,
				   struct rota_completion *out)
{
	struct uring_entry *entry = uring__find_entry(&engine->table, cqe->user_data);

	if (ROTA_LIKELY(entry != NULL))
		return translate(engine, entry, cqe, out);
	handle_internal(engine, cqe);
	return 0;
}

/*
 * With shares_buffers: as uring__collect, from `*head` to `tail`, which one completion of a bundle
 * keeps until all of it has been told.
 */
static ROTA_NOINLINE unsigned collect_shared(struct uring_engine *engine, unsigned *head,
					     unsigned tail, struct rota_completion *out,
					     unsigned out_max)
{
	const struct io_uring_cq *cq = &engine->ring.cq;
	unsigned count = 0;

	while (*head != tail && count < out_max) {
		const struct io_uring_cqe *cqe = &cq->cqes[*head & cq->ring_mask];
		struct uring_entry *entry = uring__find_entry(&engine->table, cqe->user_data);

		if (entry && entry->op->kind == ROTA_OP_RECEIVE && cqe->res > 0)
			count += uring__receive_parts(engine, entry, cqe, out + count,
						      out_max - count);
		else
			count += collect_one(engine, cqe, out + count);
		*head += !engine->told_bytes;
	}
	return count;
}

unsigned uring__collect(struct uring_engine *engine, struct rota_completion *out, unsigned out_max)
{
	struct io_uring_cq *cq = &engine->ring.cq;
	const struct io_uring_cqe *cqes = cq->cqes;
	unsigned head = *cq->khead, mask = cq->ring_mask;
	unsigned tail = io_uring_smp_load_acquire(cq->ktail);
	struct rota_completion *const start = out, *const end = out + out_max;

	if (ROTA_UNLIKELY(!rota_list_is_empty(&engine->finished)))
		out += collect_finished(engine, out, out_max);
	if (ROTA_UNLIKELY(engine->port.out_))
		out += collect_offloaded(engine, out, (unsigned)(end - out));
	if (ROTA_UNLIKELY(engine->shares_buffers))
		out += collect_shared(engine, &head, tail, out, (unsigned)(end - out));
	while (head != tail && out != end)
		out += collect_one(engine, &cqes[head++ & mask], out);
	if (ROTA_UNLIKELY(!rota_list_is_empty(&engine->silent)) && head == tail)
		out += uring__collect_silent(engine, out, (unsigned)(end - out));
	/* The kernel may overwrite the entries from here on. */
	io_uring_smp_store_release(cq->khead, head);
	engine->stats.completions += (uint64_t)(out - start);
	return (unsigned)(out - start);
}
