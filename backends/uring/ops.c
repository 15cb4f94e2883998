/* SPDX-License-Identifier: MIT */
/*
 * The uring engine's operations: the table that gives each one its user_data, the SQE of each kind,
 * and what its CQEs mean. Reactor's thread.
 *
 * The one idea: user_data is (generation, index into the table). A completion whose generation is
 * not the entry's belongs to no operation we know: it is counted and dropped, so nothing the kernel
 * says late can touch memory that went back to its owner.
 */
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include <rota/error.h>
#include <rota/log.h>
#include <rota/memory.h>

#include "backends/uring/uring.h"

#define BUFFER_GROUP 0
#define SEND_BYTES_MAX (1u << 30) /* a CQE's result is an int32; the rest goes with the next send */

/*
 * Cancel requests under way at a time. The kernel looks an operation up in 256 hash chains at most,
 * newest first, and one that was cancelled stays in its chain until its completion has been
 * collected, of which one enter does some 20 (Linux 6.18). So with 100 000 in flight and no bound a
 * single lookup came to 25 us and an enter to 60 ms; with this one it is well under 1 ms.
 */
#define CANCELS_SENT_MAX 32u

/* ---- the table ---- */

void uring__table_init(struct uring_table *table)
{
	*table = (struct uring_table){ .first_free = URING_INDEX_NONE };
}

void uring__table_fini(struct uring_table *table)
{
	rota_free(table->entries);
	uring__table_init(table);
}

static struct uring_entry *entry_at(const struct uring_table *table, uint32_t index)
{
	return &table->entries[index];
}

/* Returns 0, or -ENOMEM with the table unchanged. Memory ends long before URING_INDEX_NONE. */
static int grow_table(struct uring_table *table)
{
	uint32_t count = table->entries_count ? table->entries_count * 2 : URING_ENTRIES_MIN;
	struct uring_entry *entries = rota_realloc(table->entries, count * sizeof(*entries));

	if (!entries)
		return -ENOMEM;
	for (uint32_t i = table->entries_count; i < count; i++)
		entries[i] = (struct uring_entry){ .generation = URING_GENERATION_FREE,
						   .next_free = i + 1 };
	entries[count - 1].next_free = URING_INDEX_NONE; /* growth is for an empty list only */
	table->first_free = table->entries_count;
	table->entries = entries;
	table->entries_count = count;
	return 0;
}

/* The first free entry, which there is, becomes the operation's. */
static inline void take_entry(struct uring_table *table, struct rota_op *op)
{
	struct uring_entry *entry;

	op->index_ = table->first_free;
	entry = entry_at(table, op->index_);
	table->first_free = entry->next_free;
	entry->op = op;
	table->last_generation = (table->last_generation + 1) & URING_GENERATION_MAX;
	entry->generation = table->last_generation;
	op->generation_ = table->last_generation;
}

static int acquire_entry(struct uring_table *table, struct rota_op *op)
{
	if (table->first_free == URING_INDEX_NONE && grow_table(table) < 0)
		return -ENOMEM;
	take_entry(table, op);
	return 0;
}

/* The operation has ended, or never began: its user_data is worth nothing from here on. */
static void release_entry(struct uring_table *table, struct uring_entry *entry)
{
	struct rota_op *op = entry->op;

	entry->op = NULL;
	entry->generation = URING_GENERATION_FREE;
	entry->next_free = table->first_free;
	table->first_free = op->index_;
}

/* The entry of the operation that `user_data` names; NULL: it names none that we know. */
static struct uring_entry *find_entry(const struct uring_table *table, uint64_t user_data)
{
	uint32_t index = (uint32_t)user_data;
	struct uring_entry *entry;

	if (ROTA_UNLIKELY(index >= table->entries_count))
		return NULL;
	entry = entry_at(table, index);
	return ROTA_LIKELY(entry->generation == (uint32_t)(user_data >> 32)) ? entry : NULL;
}

unsigned uring__report_leaks(const struct uring_engine *engine)
{
	static const char *const names[ROTA_OP_COUNT] = {
		[ROTA_OP_ACCEPT] = "accept",       [ROTA_OP_RECEIVE] = "receive",
		[ROTA_OP_SEND] = "send",           [ROTA_OP_SEND_MESSAGE] = "send message",
		[ROTA_OP_CONNECT] = "connect",     [ROTA_OP_POLL] = "poll",
		[ROTA_OP_CLOSE] = "close",         [ROTA_OP_CALL] = "call",
		[ROTA_OP_FILE] = "file operation",
	};
	unsigned count = 0;

	for (uint32_t i = 0; i < engine->table.entries_count; i++) {
		const struct rota_op *op = entry_at(&engine->table, i)->op;

		if (!op)
			continue;
		rota_log(ROTA_LOG_ERROR, "uring: closed with a %s on descriptor %d in flight",
			 names[op->kind], op->fd);
		count++;
	}
	for (const struct rota_link *link = engine->finished.next; link != &engine->finished;
	     link = link->next)
		count++;
	return count;
}

/* ---- requests ---- */

static uint64_t user_data_of(uint32_t index, uint32_t generation)
{
	return (uint64_t)generation << 32 | index;
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
		io_uring_prep_recv(sqe, op->fd, NULL, 0,
				   0); /* 0 bytes: as many as the buffer holds */
		if (engine->options.multishot)
			sqe->ioprio = IORING_RECV_MULTISHOT;
		sqe->flags = IOSQE_BUFFER_SELECT;
		sqe->buf_group = BUFFER_GROUP;
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

static inline void fill_send(struct io_uring_sqe *sqe, const struct rota_op *op)
{
	io_uring_prep_send(sqe, op->fd, op->send.data,
			   rota_min_size(op->send.bytes, SEND_BYTES_MAX), MSG_NOSIGNAL);
	sqe->user_data = user_data_of(op->index_, op->generation_);
}

static void fill_sqe(const struct uring_engine *engine, struct io_uring_sqe *sqe,
		     const struct rota_op *op)
{
	if (op->kind == ROTA_OP_SEND) {
		fill_send(sqe, op);
		return;
	}
	fill_other_sqe(engine, sqe, op);
	sqe->user_data = user_data_of(op->index_, op->generation_);
}

/* `sqe` may be NULL: then the operation waits for room. */
static void start(struct uring_engine *engine, struct rota_op *op, struct io_uring_sqe *sqe)
{
	if (sqe) {
		op->state_ = URING_OP_SENT;
		fill_sqe(engine, sqe, op);
		return;
	}
	op->state_ = URING_OP_UNSENT;
	rota_list_push_back(&engine->unsent, &op->link_);
	engine->backlogged = true;
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

static int close_now(struct uring_engine *engine, int fd)
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
		rota_ignore(close_now(engine, op->fd), "never connected: nothing can be lost");
	if (rota_op_closes(op))
		return close_now(engine, op->fd); /* the descriptor is gone either way */
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
	/* Those that wait go first: two sends on one socket must not swap. */
	if (rota_list_is_empty(&engine->unsent)) {
		sqe = uring__next_sqe(engine);
		if (!sqe)
			sqe = uring__next_sqe_flushed(engine);
	}
	start(engine, op, sqe);
}

void uring__submit(struct rota_backend *backend, struct rota_op *op)
{
	struct uring_engine *engine = uring__engine(backend);
	struct io_uring_sqe *sqe;

	ROTA_ASSERT(op->state_ == URING_OP_IDLE);
	ROTA_DCHECK(!op->flags_);
	engine->stats.submitted++;
	/* A send with nothing in its way calls nothing. */
	if (ROTA_LIKELY(op->kind == ROTA_OP_SEND && rota_list_is_empty(&engine->unsent) &&
			engine->table.first_free != URING_INDEX_NONE &&
			(sqe = uring__next_sqe(engine)) != NULL)) {
		take_entry(&engine->table, op);
		op->state_ = URING_OP_SENT;
		fill_send(sqe, op);
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
	io_uring_prep_cancel64(sqe, user_data_of(op->index_, op->generation_), 0);
	/* Only failures come back: the operation ended by itself, or is about to. */
	sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
	sqe->user_data = user_data_of(URING_INDEX_INTERNAL, URING_TAG_CANCEL);
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
		release_entry(&engine->table, entry_at(&engine->table, op->index_));
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
	if (send_cancel(engine, op))
		return;
	op->flags_ |= URING_OP_CANCEL_QUEUED;
	rota_list_push_back(&engine->cancels, &op->link_);
	engine->backlogged = true;
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
	sqe->user_data = user_data_of(URING_INDEX_INTERNAL, URING_TAG_WAKE);
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
		start(engine, op, sqe);
	}
	drain_cancels(engine);
	engine->backlogged = engine->wake_unarmed || !rota_list_is_empty(&engine->unsent) ||
			     !rota_list_is_empty(&engine->cancels);
}

/* ---- completions ---- */

/* The terminal completion has been seen: the operation is its owner's again. */
static void retire(struct uring_engine *engine, struct uring_entry *entry)
{
	struct rota_op *op = entry->op;

	if (ROTA_UNLIKELY(op->flags_)) {
		if (op->flags_ & URING_OP_CANCEL_QUEUED)
			rota_list_remove(&op->link_);
		engine->cancels_sent -= (op->flags_ & URING_OP_CANCEL_SENT) != 0;
		op->flags_ = 0;
	}
	release_entry(&engine->table, entry);
	op->state_ = URING_OP_IDLE;
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
		start(engine, op, uring__next_sqe(engine));
		out->flags |= ROTA_COMPLETION_MORE;
		return out->result >= 0;
	}
	if (accept_goes_on(out->result) && out->result < 0)
		out->result = -ECANCELED;
	return true;
}

/* Returns true when the stream goes on. */
static inline bool translate_receive(struct uring_engine *engine, struct rota_op *op,
				     const struct io_uring_cqe *cqe, struct rota_completion *out)
{
	uint16_t buffer = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
	bool goes_on = cqe->flags & IORING_CQE_F_MORE;

	if (ROTA_UNLIKELY(cqe->res <= 0)) {
		if (cqe->flags & IORING_CQE_F_BUFFER)
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
		start(engine, op, uring__next_sqe(engine));
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
			start(engine, op, uring__next_sqe(engine));
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

/* Accept, connect, poll: returns true when there is something to tell the owner. */
static ROTA_NOINLINE bool translate_rare(struct uring_engine *engine, struct rota_op *op,
					 struct rota_completion *out)
{
	if (op->kind == ROTA_OP_ACCEPT)
		return translate_accept(engine, op, out);
	if (op->kind == ROTA_OP_POLL)
		return translate_poll(engine, op, out);
	if (op->kind == ROTA_OP_CONNECT) {
		if (out->result >= 0)
			out->result = op->fd;
		else
			rota_ignore(close_now(engine, op->fd),
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
	bool moves_bytes = op->kind == ROTA_OP_RECEIVE || op->kind == ROTA_OP_SEND ||
			   op->kind == ROTA_OP_SEND_MESSAGE;
	bool may_go_on = (out->result == -EAGAIN && moves_bytes) ||
			 (out->result == -ENOBUFS && op->kind == ROTA_OP_RECEIVE &&
			  uring__buffers_were_short(&engine->buffers));

	if (may_go_on && !(op->flags_ & URING_OP_CANCELLED)) {
		start(engine, op, uring__next_sqe(engine));
		return false;
	}
	if (op->flags_ & URING_OP_CANCELLED && (may_go_on || out->result == -EINTR))
		out->result = -ECANCELED;
	return true;
}

static inline bool translate(struct uring_engine *engine, struct uring_entry *entry,
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
		out->flags = cqe->flags & IORING_CQE_F_MORE ? ROTA_COMPLETION_MORE : 0;
		out->buffer = 0;
		/* Of a send the result says it all. */
		if (op->kind != ROTA_OP_SEND && op->kind != ROTA_OP_SEND_MESSAGE)
			tell = translate_rare(engine, op, out);
		if (out->flags & ROTA_COMPLETION_MORE)
			return tell;
	}
	if (ROTA_UNLIKELY(out->result < 0) && !translate_failure(engine, op, out))
		return false;
	retire(engine, entry);
	return true;
}

/* A completion of no operation's. */
static void handle_internal(struct uring_engine *engine, const struct io_uring_cqe *cqe)
{
	if (cqe->user_data == user_data_of(URING_INDEX_INTERNAL, URING_TAG_CANCEL))
		return; /* ENOENT: it had ended by itself; EALREADY: it is about to */
	if (cqe->user_data == user_data_of(URING_INDEX_INTERNAL, URING_TAG_WAKE)) {
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
	if (cqe->flags & IORING_CQE_F_BUFFER)
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
	while (head != tail && out != end) {
		const struct io_uring_cqe *cqe = &cqes[head++ & mask];
		struct uring_entry *entry = find_entry(&engine->table, cqe->user_data);

		if (ROTA_UNLIKELY(!entry))
			handle_internal(engine, cqe);
		else
			out += translate(engine, entry, cqe, out);
	}
	/* The kernel may overwrite the entries from here on. */
	io_uring_smp_store_release(cq->khead, head);
	engine->stats.completions += (uint64_t)(out - start);
	return (unsigned)(out - start);
}
