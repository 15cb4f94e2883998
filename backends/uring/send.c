/* SPDX-License-Identifier: MIT */
/*
 * Sends that are not copied, that leave without a completion, or that name a slot. Variants of the
 * uring engine; reactor's thread.
 *
 * The one idea: a variant changes the request, and what its CQEs mean is put right here, so that
 * the owner sees what it sees of any send: one completion, after which the memory is its own. What
 * a variant cannot do on this socket or at this moment is done again without it.
 *
 * Zero copy: two CQEs, the result and later the notification that nobody looks at the memory any
 * more; the second is the operation's end. That may be as late as the peer acknowledges.
 *
 * Skipped completions: MSG_DONTWAIT | MSG_WAITALL makes a send end inside the enter that submits
 * it, with a CQE only if not all was taken. So when the kernel has consumed the request, and all
 * CQEs that were in the queue then have been seen, no CQE means that all was. Only for patient
 * sends: for the others that would take an enter that does not wait.
 */
#include <rota/error.h>
#include <sys/uio.h>

#include "backends/uring/table.h"

static size_t bytes_of(const struct rota_op *op)
{
	size_t bytes = 0;

	if (op->kind == ROTA_OP_SEND)
		return op->send.bytes;
	for (size_t i = 0; i < op->message->msg_iovlen; i++)
		bytes += op->message->msg_iov[i].iov_len;
	return bytes;
}

void uring__adapt_send(struct uring_engine *engine, struct io_uring_sqe *sqe, struct rota_op *op)
{
	uint32_t threshold = engine->options.zero_copy_bytes;

	if (uring__direct_has(engine, op->fd) && !(op->flags_ & URING_OP_ORDINARY)) {
		sqe->flags |= IOSQE_FIXED_FILE;
		op->flags_ |= URING_OP_DIRECT;
	}
	if (engine->features & URING_FEATURE_BIT(URING_ZERO_COPY) && bytes_of(op) >= threshold &&
	    !(op->flags_ & URING_OP_COPIES)) {
		sqe->opcode = op->kind == ROTA_OP_SEND ? IORING_OP_SEND_ZC : IORING_OP_SENDMSG_ZC;
		op->flags_ |= URING_OP_ZERO_COPY;
	}
}

bool uring__zero_copy_completed(struct uring_engine *engine, struct uring_entry *entry,
				const struct io_uring_cqe *cqe, struct rota_completion *out)
{
	struct rota_op *op = entry->op;

	if (cqe->flags & IORING_CQE_F_NOTIF) {
		ROTA_DCHECK(op->flags_ & URING_OP_TAKEN);
		op->flags_ &= (uint16_t)~URING_OP_TAKEN;
		out->result = entry->result;
		return true;
	}
	/* No cancel request will find it any more, so it must not stand in the way of others. */
	uring__forget_cancel(engine, op);
	op->flags_ |= URING_OP_TAKEN;
	entry->result = cqe->res;
	return false;
}

bool uring__send_goes_on(struct rota_op *op, int32_t result)
{
	if (op->flags_ & URING_OP_SILENT) {
		rota_list_remove(&op->link_);
		op->flags_ &= (uint16_t)~URING_OP_SILENT;
		op->flags_ |= URING_OP_WAITS;
	}
	if (result == -EBADF && (op->flags_ & URING_OP_DIRECT)) {
		op->flags_ &= (uint16_t)~URING_OP_DIRECT;
		op->flags_ |= URING_OP_ORDINARY;
		return true;
	}
	/*
	 * EOPNOTSUPP: not on this kind of socket, such as a Unix one. ENOMEM: over the limit on
	 * locked memory. ENOBUFS: over the socket's limit on what may be under way.
	 */
	if ((op->flags_ & URING_OP_ZERO_COPY) &&
	    (result == -EOPNOTSUPP || result == -ENOMEM || result == -ENOBUFS)) {
		op->flags_ &= (uint16_t)~URING_OP_ZERO_COPY;
		op->flags_ |= URING_OP_COPIES;
		return true;
	}
	return false;
}

bool uring__has_awaited_silent(const struct uring_engine *engine)
{
	for (const struct rota_link *link = engine->silent.next; link != &engine->silent;
	     link = link->next)
		if (!(ROTA_CONTAINER_OF(link, const struct rota_op, link_)->flags_ &
		      ROTA_OP_PATIENT))
			return true;
	return false;
}

void uring__await_silent(struct uring_engine *engine)
{
	for (struct rota_link *link = engine->silent.next; link != &engine->silent;
	     link = link->next)
		ROTA_CONTAINER_OF(link, struct rota_op, link_)->flags_ &=
			(uint16_t)~ROTA_OP_PATIENT;
}

unsigned uring__collect_silent(struct uring_engine *engine, struct rota_completion *out,
			       unsigned out_max)
{
	struct io_uring_sq *sq = &engine->ring.sq;
	uint32_t consumed = io_uring_smp_load_acquire(sq->khead);
	unsigned count = 0;

	/* A CQE that is kept aside may be one of theirs. */
	if (IO_URING_READ_ONCE(*sq->kflags) & IORING_SQ_CQ_OVERFLOW)
		return 0;
	while (count < out_max && !rota_list_is_empty(&engine->silent)) {
		struct rota_op *op = ROTA_CONTAINER_OF(engine->silent.next, struct rota_op, link_);
		struct uring_entry *entry = uring__entry_at(&engine->table, op->index_);

		ROTA_DCHECK(entry->op == op);
		if ((int32_t)(consumed - entry->sq_end) < 0)
			break;
		out[count++] = (struct rota_completion){
			.op = op,
			.result = (int32_t)op->send.bytes,
			.flags = ROTA_COMPLETION_LATE,
		};
		rota_list_remove(&op->link_);
		op->flags_ &= (uint16_t) ~(URING_OP_SILENT | ROTA_OP_PATIENT);
		uring__retire(engine, entry);
	}
	return count;
}
