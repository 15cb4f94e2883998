/* SPDX-License-Identifier: MIT */
/*
 * The uring engine's requests: the SQE of each kind of operation, submitting and cancelling.
 * Reactor's thread.
 */
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include <rota/error.h>

#include "backends/uring/table.h"

#define SEND_BYTES_MAX (1u << 30) /* a CQE's result is an int32; the rest goes with the next send */

/*
 * Cancel requests under way at a time. The kernel looks an operation up in 256 hash chains at most,
 * newest first, and one that was cancelled stays in its chain until its completion has been
 * collected, of which one enter does some 20 (Linux 6.18). So with 100 000 in flight and no bound a
 * single lookup came to 25 us and an enter to 60 ms; with this one it is well under 1 ms.
 */
#define CANCELS_SENT_MAX 32u

/* ---- requests ---- */

static int acquire_entry(struct uring_table *table, struct rota_op *op)
{
	if (table->first_free == URING_INDEX_NONE && uring__table_grow(table) < 0)
		return -ENOMEM;
	uring__take_entry(table, op);
	return 0;
}

static void fill_receive(const struct uring_engine *engine, struct io_uring_sqe *sqe,
			 const struct rota_op *op)
{
	/* 0 bytes: as many as the buffer holds */
	io_uring_prep_recv(sqe, op->fd, NULL, 0, 0);
	if (engine->options.multishot)
		sqe->ioprio = IORING_RECV_MULTISHOT;
	if (engine->features & URING_FEATURE_BIT(URING_BUNDLES))
		sqe->ioprio |= IORING_RECVSEND_BUNDLE;
	sqe->flags = IOSQE_BUFFER_SELECT;
	sqe->buf_group = URING_BUFFER_GROUP;
	if (op->flags_ & URING_OP_HOLDS_SLOT)
		sqe->flags |= IOSQE_FIXED_FILE;
}

static ROTA_NOINLINE void fill_other_sqe(const struct uring_engine *engine,
					 struct io_uring_sqe *sqe, const struct rota_op *op)
{
	switch ((enum rota_op_kind)op->kind) {
	case ROTA_OP_ACCEPT:
		io_uring_prep_accept(sqe, op->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (engine->options.multishot)
			sqe->ioprio = IORING_ACCEPT_MULTISHOT;
		break;
	case ROTA_OP_RECEIVE:
		fill_receive(engine, sqe, op);
		break;
	case ROTA_OP_SEND_MESSAGE:
		io_uring_prep_sendmsg(sqe, op->fd, op->message, MSG_NOSIGNAL);
		break;
	case ROTA_OP_CONNECT:
		io_uring_prep_connect(sqe, op->fd, &op->address->any, op->address->bytes);
		break;
	case ROTA_OP_POLL:
		if (op->flags_ & URING_OP_POLL_MULTISHOT)
			io_uring_prep_poll_multishot(sqe, op->fd, op->events);
		else
			io_uring_prep_poll_add(sqe, op->fd, op->events);
		break;
	case ROTA_OP_CLOSE:
		io_uring_prep_close(sqe, op->fd);
		break;
	case ROTA_OP_FILE:
		uring__file_fill(sqe, ROTA_CONTAINER_OF(op, const struct rota_file_op, op));
		break;
	case ROTA_OP_SEND:  /* fill_sqe() has done it */
	case ROTA_OP_CALL:  /* submit() has offloaded it */
	case ROTA_OP_COUNT: /* submit() has refused it */
		break;
	}
}

static inline void fill_send(struct uring_engine *engine, struct io_uring_sqe *sqe,
			     struct rota_op *op)
{
	io_uring_prep_send(sqe, op->fd, op->send.data,
			   rota_min_size(op->send.bytes, SEND_BYTES_MAX), MSG_NOSIGNAL);
	sqe->user_data = uring__user_data_of(op->index_, op->generation_);
	if (ROTA_UNLIKELY(engine->adapts_sends))
		uring__adapt_send(engine, sqe, op);
	if (op->flags_ & ROTA_OP_PATIENT)
		uring__try_silent(engine, sqe, op);
}

static void fill_sqe(struct uring_engine *engine, struct io_uring_sqe *sqe, struct rota_op *op)
{
	if (op->kind == ROTA_OP_SEND) {
		fill_send(engine, sqe, op);
		return;
	}
	fill_other_sqe(engine, sqe, op);
	if (op->kind == ROTA_OP_SEND_MESSAGE && engine->adapts_sends)
		uring__adapt_send(engine, sqe, op);
	sqe->user_data = uring__user_data_of(op->index_, op->generation_);
}

void uring__start(struct uring_engine *engine, struct rota_op *op, struct io_uring_sqe *sqe)
{
	if (sqe) {
		op->state_ = URING_OP_SENT;
		fill_sqe(engine, sqe, op);
		return;
	}
	op->state_ = URING_OP_UNSENT;
	op->flags_ &= (uint16_t)~ROTA_OP_PATIENT; /* it may start in a later poll() */
	rota_list_push_back(&engine->unsent, &op->link_);
	engine->backlogged = true;
}

void uring__start_later(struct uring_engine *engine, struct rota_op *op)
{
	op->state_ = URING_OP_UNSENT;
	rota_list_push_back(&engine->emptied, &op->link_);
}

void uring__start_emptied(struct uring_engine *engine)
{
	struct rota_link *link;

	while ((link = rota_list_pop_front(&engine->emptied)))
		uring__start(engine, ROTA_CONTAINER_OF(link, struct rota_op, link_), NULL);
}

/*
 * End an operation that has no entry and will have no CQE; its completion comes out of the next
 * poll().
 */
static void finish_without_kernel(struct uring_engine *engine, struct rota_op *op, int32_t result)
{
	op->state_ = URING_OP_STRANDED;
	op->generation_ = (uint32_t)result;
	rota_list_push_back(&engine->finished, &op->link_);
}

int uring__close_now(struct uring_engine *engine, int fd)
{
	engine->stats.system_calls++;
	return close(fd) < 0 ? -errno : 0;
}

/*
 * CONNECT makes its socket here: two calls, cheaper than more rounds through the ring. Kept in
 * op->fd until connected.
 */
static int open_socket(struct uring_engine *engine, struct rota_op *op)
{
	int family = op->address->any.sa_family, on = 1;

	engine->stats.system_calls++;
	op->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (op->fd < 0)
		return -errno;
	if (family != AF_UNIX) {
		engine->stats.system_calls++;
		rota_ignore(setsockopt(op->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)),
			    "slower, not wrong");
	}
	return 0;
}

/* What an operation that could not, or may not, reach the kernel has as its result. */
static int32_t give_up(struct uring_engine *engine, struct rota_op *op, int32_t error)
{
	if (op->kind == ROTA_OP_CONNECT)
		rota_ignore(uring__close_now(engine, op->fd),
			    "never connected: nothing can be lost");
	if (rota_op_closes(op))
		return uring__close_now(engine, op->fd); /* the descriptor is gone either way */
	return error;
}

/* Returns true when that was all: it will have no request. */
static ROTA_NOINLINE bool start_apart(struct uring_engine *engine, struct rota_op *op)
{
	int status;

	if (op->kind == ROTA_OP_CALL) {
		op->state_ = URING_OP_OFFLOADED;
		rota_offload_port_submit(&engine->port, (enum rota_offload_class)op->fd, op);
		return true;
	}
	if (op->kind == ROTA_OP_FILE &&
	    !uring__file_is_native(engine, ROTA_CONTAINER_OF(op, struct rota_file_op, op))) {
		op->state_ = URING_OP_OFFLOADED;
		rota_offload_port_submit(&engine->port, ROTA_OFFLOAD_FILES, op);
		return true;
	}
	status = op->kind == ROTA_OP_CONNECT ? open_socket(engine, op) : 0;
	if (status < 0)
		finish_without_kernel(engine, op, status);
	return status < 0;
}

/* Whatever it is, and whatever is in the way. */
static ROTA_NOINLINE void submit_any(struct uring_engine *engine, struct rota_op *op)
{
	struct io_uring_sqe *sqe = NULL;

	ROTA_ASSERT(op->kind < ROTA_OP_COUNT);
	if (op->kind >= ROTA_OP_CONNECT && start_apart(engine, op))
		return;
	if (acquire_entry(&engine->table, op) < 0) {
		finish_without_kernel(engine, op, give_up(engine, op, -ENOMEM));
		return;
	}
	if (op->kind == ROTA_OP_RECEIVE && engine->direct.users)
		uring__direct_hold(engine, op);
	/* Those that wait go first: two sends on one socket must not swap. */
	if (rota_list_is_empty(&engine->unsent)) {
		sqe = uring__next_sqe(engine);
		if (!sqe)
			sqe = uring__next_sqe_flushed(engine);
	}
	uring__start(engine, op, sqe);
}

void uring__submit(struct rota_backend *backend, struct rota_op *op)
{
	struct uring_engine *engine = uring__engine(backend);
	struct io_uring_sqe *sqe;

	ROTA_ASSERT(op->state_ == URING_OP_IDLE);
	ROTA_DCHECK(!(op->flags_ & ~ROTA_OP_PATIENT));
	engine->stats.submitted++;
	/* A send with nothing in its way calls nothing. */
	if (ROTA_LIKELY(op->kind == ROTA_OP_SEND && rota_list_is_empty(&engine->unsent) &&
			engine->table.first_free != URING_INDEX_NONE &&
			(sqe = uring__next_sqe(engine)) != NULL)) {
		uring__take_entry(&engine->table, op);
		op->state_ = URING_OP_SENT;
		fill_send(engine, sqe, op);
		return;
	}
	submit_any(engine, op);
}

/*
 * Ask the kernel. Returns false, with nothing done, when it has enough to do or there is no room.
 */
static bool send_cancel(struct uring_engine *engine, struct rota_op *op)
{
	struct io_uring_sqe *sqe;

	if (engine->cancels_sent >= CANCELS_SENT_MAX)
		return false;
	sqe = uring__next_sqe(engine);
	if (!sqe)
		return false;
	io_uring_prep_cancel64(sqe, uring__user_data_of(op->index_, op->generation_), 0);
	/* Only failures come back: the operation ended by itself, or is about to. */
	sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
	sqe->user_data = uring__user_data_of(URING_INDEX_INTERNAL, URING_TAG_CANCEL);
	engine->cancels_sent += !(op->flags_ & URING_OP_CANCEL_SENT);
	op->flags_ |= URING_OP_CANCEL_SENT;
	return true;
}

/*
 * Never enters the kernel: of a mass cancel, what is over the kernel's share goes out with the
 * turns that follow.
 */
void uring__cancel(struct rota_backend *backend, struct rota_op *op)
{
	struct uring_engine *engine = uring__engine(backend);

	if (op->kind == ROTA_OP_CLOSE)
		return;
	if (op->state_ == URING_OP_UNSENT) {
		rota_list_remove(&op->link_);
		uring__clear_flags(engine, op);
		uring__release_entry(&engine->table, uring__entry_at(&engine->table, op->index_));
		finish_without_kernel(engine, op, give_up(engine, op, -ECANCELED));
		return;
	}
	if (op->state_ == URING_OP_OFFLOADED) {
		rota_offload_port_cancel(&engine->port, op);
		return;
	}
	if (op->state_ != URING_OP_SENT || (op->flags_ & URING_OP_CANCEL_QUEUED))
		return;
	op->flags_ |= URING_OP_CANCELLED;
	op->flags_ &= (uint16_t)~ROTA_OP_PATIENT;
	/* The kernel would not find it: it ends when it is submitted, or is only waited for. */
	if (op->flags_ & (URING_OP_SILENT | URING_OP_TAKEN))
		return;
	if (send_cancel(engine, op))
		return;
	op->flags_ |= URING_OP_CANCEL_QUEUED;
	rota_list_push_back(&engine->cancels, &op->link_);
	engine->backlogged = true;
}

void uring__forget_cancel(struct uring_engine *engine, struct rota_op *op)
{
	if (op->flags_ & URING_OP_CANCEL_QUEUED)
		rota_list_remove(&op->link_);
	engine->cancels_sent -= (op->flags_ & URING_OP_CANCEL_SENT) != 0;
	op->flags_ &= (uint16_t) ~(URING_OP_CANCEL_QUEUED | URING_OP_CANCEL_SENT);
}

void uring__clear_flags(struct uring_engine *engine, struct rota_op *op)
{
	uring__forget_cancel(engine, op);
	if (op->flags_ & URING_OP_SILENT)
		rota_list_remove(&op->link_);
	if (op->flags_ & URING_OP_HOLDS_SLOT)
		uring__direct_drop(engine, op);
	op->flags_ = 0;
}

/*
 * The eventfd is watched edge-triggered: every write is one completion and nobody needs to read the
 * counter, which would take 2^64 wake-ups to fill.
 */
void uring__arm_wake(struct uring_engine *engine)
{
	struct io_uring_sqe *sqe = uring__next_sqe(engine);

	engine->wake_unarmed = !sqe;
	engine->backlogged |= !sqe;
	if (!sqe)
		return;
	io_uring_prep_poll_multishot(sqe, engine->wake_fd, POLLIN);
	sqe->user_data = uring__user_data_of(URING_INDEX_INTERNAL, URING_TAG_WAKE);
}

/*
 * Of the one asked for first and the one asked for last, the later submitted: the kernel finds it
 * at once, and who cancels a lot does it in the order of submission or against it.
 */
static struct rota_op *next_to_cancel(const struct uring_engine *engine)
{
	struct rota_op *first = ROTA_CONTAINER_OF(engine->cancels.next, struct rota_op, link_);
	struct rota_op *last = ROTA_CONTAINER_OF(engine->cancels.prev, struct rota_op, link_);
	/* The generations' 31 bits to the top, so that a difference has a sign. */
	return (int32_t)((last->generation_ - first->generation_) << 1) > 0 ? last : first;
}

static void drain_cancels(struct uring_engine *engine)
{
	bool is_first = true;

	while (!rota_list_is_empty(&engine->cancels)) {
		struct rota_op *op = next_to_cancel(engine);

		/* Each turn first the one that waits longest, so that all come to their end. */
		if (is_first)
			op = ROTA_CONTAINER_OF(engine->cancels.next, struct rota_op, link_);
		is_first = false;
		if (!send_cancel(engine, op))
			return;
		rota_list_remove(&op->link_);
		op->flags_ &= (uint16_t)~URING_OP_CANCEL_QUEUED;
	}
}

void uring__drain_backlog(struct uring_engine *engine)
{
	struct io_uring_sqe *sqe;
	struct rota_op *op;

	if (engine->wake_unarmed)
		uring__arm_wake(engine);
	while (!rota_list_is_empty(&engine->unsent) && (sqe = uring__next_sqe(engine))) {
		op = ROTA_CONTAINER_OF(engine->unsent.next, struct rota_op, link_);
		rota_list_remove(&op->link_);
		uring__start(engine, op, sqe);
	}
	drain_cancels(engine);
	engine->backlogged = engine->wake_unarmed || !rota_list_is_empty(&engine->unsent) ||
			     !rota_list_is_empty(&engine->cancels);
}
