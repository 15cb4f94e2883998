/* SPDX-License-Identifier: MIT */
/*
 * The operation kinds of the epoll engine: the system call each one makes when it is started and
 * when its descriptor is ready. Reactor's thread, from poll() only (cancel aside, see engine.c).
 *
 * The one idea: a send is tried at once, because a socket can nearly always take it; a receive is
 * not, because a request nearly never has arrived yet. A read that did not fill its buffer has
 * drained the socket, so nothing is read only to learn that there is no more.
 */
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <rota/base.h>
#include <rota/error.h>

#include "backends/epoll/epoll.h"

/*
 * accept4 calls for one listener before others have their turn. A guess: enough for a burst, short
 * against 0.5 ms.
 */
#define ACCEPTS_PER_TURN 16

/* What poll(2) says of a file that epoll refuses to watch because it is always ready. */
#define ALWAYS_READY (EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM)

uint32_t rota__epoll_wanted(const struct rota_op *op)
{
	switch (op->kind) {
	case ROTA_OP_ACCEPT:
	case ROTA_OP_RECEIVE:
		return EPOLLIN;
	case ROTA_OP_POLL:
		/* poll(2)'s bits are epoll's; the mode bits above 16 are not for callers. */
		return op->events & 0xffffu & ~(uint32_t)(EPOLLERR | EPOLLHUP);
	default:
		return EPOLLOUT;
	}
}

/* ---- what every request asks of the kernel ---- */

/*
 * The C library's recv() and send() are points at which a thread may be cancelled, and in a process
 * with more than one thread they say so around each call: 50 instructions and two locked ones. In
 * debug builds sanitizers, which know these two, are to see what happens.
 */
static inline ssize_t receive(int fd, void *data, size_t bytes)
{
	if (ROTA_DEBUG)
		return recv(fd, data, bytes, MSG_DONTWAIT);
	return syscall(SYS_recvfrom, fd, data, bytes, MSG_DONTWAIT, NULL, NULL);
}

static inline ssize_t transmit(int fd, const void *data, size_t bytes, int flags)
{
	if (ROTA_DEBUG)
		return send(fd, data, bytes, flags);
	return syscall(SYS_sendto, fd, data, bytes, flags, NULL, 0);
}

/* ---- completions ---- */

static inline struct rota_completion *emit(struct rota__epoll *engine, struct rota_op *op,
					   int32_t result, uint16_t flags)
{
	struct rota_completion *completion = &engine->out[engine->out_count++];

	*completion = (struct rota_completion){ .op = op, .result = result, .flags = flags };
	return completion;
}

static inline void finish(struct rota__epoll *engine, struct rota_op *op, int32_t result,
			  uint16_t flags)
{
	if (ROTA_UNLIKELY(engine->out_count == engine->out_max)) {
		op->state_ = ROTA__EPOLL_DONE;
		op->generation_ = (uint32_t)result;
		rota_list_push_back(&engine->queue, &op->link_);
		return;
	}
	op->state_ = 0;
	op->flags_ = 0;
	engine->lent--;
	engine->late_count += (flags & ROTA_COMPLETION_LATE) != 0;
	emit(engine, op, result, flags);
}

void rota__epoll_finish(struct rota__epoll *engine, struct rota_op *op, int32_t result)
{
	finish(engine, op, result, 0);
}

/* The end of an attached operation. */
static void end(struct rota__epoll *engine, struct rota_op *op, int32_t result)
{
	rota__epoll_detach(engine, op);
	rota__epoll_finish(engine, op, result);
}

/* Wait for `op`'s events, or end it with the reason why that is impossible. */
static void wait_for(struct rota__epoll *engine, struct rota_op *op, int fd, bool saw_eagain)
{
	int status = rota__epoll_attach(engine, op, fd, saw_eagain);

	/*
	 * What epoll can't watch is a file or a directory, and all that gets here is for sockets.
	 */
	if (status < 0)
		rota__epoll_finish(engine, op, status == -EPERM ? -ENOTSOCK : status);
}

/* A stream operation found nothing more: back to waiting, unless it never left. */
static void rest(struct rota__epoll *engine, struct rota_op *op)
{
	if (op->state_ == ROTA__EPOLL_READY)
		rota__epoll_make_waiting(engine, op);
}

/* ---- accept ---- */

static void run_accept(struct rota__epoll *engine, struct rota_op *op)
{
	for (int i = 0; i < ACCEPTS_PER_TURN && engine->out_count < engine->out_max; i++) {
		int fd = accept4((int)op->index_, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		engine->stats.system_calls++;
		if (fd >= 0) {
			rota__epoll_forget(engine, fd);
			emit(engine, op, fd, ROTA_COMPLETION_MORE);
		} else if (errno == EAGAIN) {
			rest(engine, op);
			return;
		} else if (!rota_backend_accept_goes_on(errno)) {
			end(engine, op, -errno);
			return;
		}
	}
	rota__epoll_make_ready(engine, op);
}

/*
 * An accept is tried once when it is started: what is no listener never becomes ready, and has to
 * be told apart.
 */
static void start_accept(struct rota__epoll *engine, struct rota_op *op)
{
	wait_for(engine, op, op->fd, false);
	if (op->state_ == ROTA__EPOLL_WAITING && engine->out_count < engine->out_max)
		run_accept(engine, op);
}

/* ---- receive ---- */

/* May there be more after a read of `bytes`? */
static bool may_have_more(const struct rota__epoll *engine, const struct rota_op *op, size_t bytes)
{
	if (bytes == engine->pool.buffer_bytes)
		return true;
	/*
	 * The end of the stream is an event of its own, and at the edge it is reported once: read
	 * on until it is seen.
	 */
	return engine->edge &&
	       rota__epoll_find(engine, (int)op->index_)->flags & ROTA__EPOLL_HANGUP;
}

void rota__epoll_run_receive(struct rota__epoll *engine, struct rota_op *op)
{
	struct rota__epoll_pool *pool = &engine->pool;
	struct rota_completion *completion;
	uint16_t buffer;
	ssize_t bytes;
	char *data;

	if (ROTA_UNLIKELY(!pool->free_count)) {
		engine->stats.buffers_exhausted++;
		end(engine, op, -ENOBUFS);
		return;
	}
	buffer = rota__epoll_pool_acquire(pool);
	data = rota__epoll_pool_data(pool, buffer);
	do {
		bytes = receive((int)op->index_, data, pool->buffer_bytes);
		engine->stats.system_calls++;
	} while (bytes < 0 && errno == EINTR);
	if (ROTA_LIKELY(bytes > 0)) {
		completion = emit(engine, op, (int32_t)bytes,
				  ROTA_COMPLETION_MORE | ROTA_COMPLETION_BUFFER);
		completion->data = data;
		completion->buffer = buffer;
		if (may_have_more(engine, op, (size_t)bytes))
			rota__epoll_make_ready(engine, op);
		else
			rest(engine, op);
		return;
	}
	rota__epoll_pool_release(pool, buffer);
	if (bytes < 0 && errno == EAGAIN)
		rest(engine, op);
	else
		end(engine, op, bytes < 0 ? -errno : 0);
}

/* ---- send ---- */

/* Returns the bytes taken or negative errno. */
static inline int32_t try_send(struct rota__epoll *engine, const struct rota_op *op)
{
	const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
	ssize_t bytes;

	do {
		engine->stats.system_calls++;
		if (ROTA_LIKELY(op->kind == ROTA_OP_SEND))
			bytes = transmit(op->fd, op->send.data, op->send.bytes, flags);
		else
			bytes = sendmsg(op->fd, op->message, flags);
	} while (bytes < 0 && errno == EINTR);
	/* The kernel takes less than 2 GiB at once, so the count fits. */
	return bytes < 0 ? -errno : (int32_t)bytes;
}

static inline bool has_waiting_writer(const struct rota__epoll *engine, int fd)
{
	const struct rota__epoll_interest *interest = rota__epoll_find(engine, fd);

	/* Whoever waits to write has had it armed. */
	if (ROTA_LIKELY(!interest || !(interest->events & EPOLLOUT)))
		return false;
	for (const struct rota_link *link = interest->waiting.next; link != &interest->waiting;
	     link = link->next) {
		const struct rota_op *op = ROTA_CONTAINER_OF(link, struct rota_op, link_);

		if (op->kind == ROTA_OP_SEND || op->kind == ROTA_OP_SEND_MESSAGE)
			return true;
	}
	return false;
}

static inline void start_send(struct rota__epoll *engine, struct rota_op *op)
{
	bool tried = engine->try_first && !has_waiting_writer(engine, op->fd);
	int32_t result = tried ? try_send(engine, op) : -EAGAIN;
	bool is_late;

	if (ROTA_UNLIKELY(result == -EAGAIN)) {
		wait_for(engine, op, op->fd, tried);
		return;
	}
	is_late = op->flags_ & ROTA_OP_PATIENT && (size_t)result == op->send.bytes;
	finish(engine, op, result, is_late ? ROTA_COMPLETION_LATE : 0);
}

/* ---- connect ---- */

static void start_connect(struct rota__epoll *engine, struct rota_op *op)
{
	const struct rota_address *address = op->address;
	int on = 1, status;
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	engine->stats.system_calls++;
	if (fd < 0) {
		rota__epoll_finish(engine, op, -errno);
		return;
	}
	rota__epoll_forget(engine, fd);
	if (address->any.sa_family != AF_UNIX) {
		/*
		 * As on accepted sockets: output is gathered above, Nagle's algorithm could only
		 * delay it.
		 */
		rota_ignore(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)),
			    "slower, not wrong");
		engine->stats.system_calls++;
	}
	status = connect(fd, &address->any, address->bytes) < 0 ? -errno : 0;
	engine->stats.system_calls++;
	if (status == -EINPROGRESS) {
		status = rota__epoll_attach(engine, op, fd, true);
		if (status == 0)
			return;
	}
	if (status < 0) {
		close(fd);
		engine->stats.system_calls++;
	}
	rota__epoll_finish(engine, op, status < 0 ? status : fd);
}

static void run_connect(struct rota__epoll *engine, struct rota_op *op)
{
	int fd = (int)op->index_;
	int error = 0;
	socklen_t error_bytes = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes) < 0)
		error = errno;
	engine->stats.system_calls++;
	rota__epoll_detach(engine, op);
	if (error) {
		close(fd);
		engine->stats.system_calls++;
	}
	rota__epoll_finish(engine, op, error ? -error : fd);
}

/* ---- poll, close ---- */

static void start_poll(struct rota__epoll *engine, struct rota_op *op)
{
	uint32_t ready = rota__epoll_wanted(op) & ALWAYS_READY;
	int status = rota__epoll_attach(engine, op, op->fd, false);

	/* Ready for what files are ready for, and never for anything else. */
	if (status == -EPERM)
		status = ready ? (int)ready : -EINVAL;
	if (status != 0)
		rota__epoll_finish(engine, op, status);
}

static void start_close(struct rota__epoll *engine, struct rota_op *op)
{
	struct rota__epoll_interest *interest = rota__epoll_find(engine, op->fd);
	int result;

	/*
	 * Programmer error: the number may be another file's in a moment, and they would wait for
	 * that.
	 */
	ROTA_ASSERT(!interest || !interest->attached);
	rota__epoll_forget(engine, op->fd);
	/* EINTR: Linux has released the descriptor all the same. */
	result = close(op->fd) < 0 && errno != EINTR ? -errno : 0;
	engine->stats.system_calls++;
	rota__epoll_finish(engine, op, result);
}

/* ---- by kind ---- */

/* All but an ordinary send, which start_submitted() has done. */
static ROTA_NOINLINE void start_other(struct rota__epoll *engine, struct rota_op *op)
{
	if (op->kind != ROTA_OP_CONNECT && op->kind != ROTA_OP_FILE && op->fd < 0) {
		rota__epoll_finish(engine, op, -EBADF);
		return;
	}
	switch ((enum rota_op_kind)op->kind) {
	case ROTA_OP_ACCEPT:
		start_accept(engine, op);
		break;
	case ROTA_OP_RECEIVE:
		wait_for(engine, op, op->fd, false);
		break;
	case ROTA_OP_SEND:
	case ROTA_OP_SEND_MESSAGE:
		start_send(engine, op);
		break;
	case ROTA_OP_CONNECT:
		start_connect(engine, op);
		break;
	case ROTA_OP_POLL:
		start_poll(engine, op);
		break;
	case ROTA_OP_CLOSE:
		start_close(engine, op);
		break;
	case ROTA_OP_CALL:
		op->state_ = ROTA__EPOLL_OFFLOADED;
		rota_offload_port_submit(&engine->port, (enum rota_offload_class)op->fd, op);
		break;
	case ROTA_OP_FILE:
		op->state_ = ROTA__EPOLL_OFFLOADED;
		rota_offload_port_submit(&engine->port, ROTA_OFFLOAD_FILES, op);
		break;
	case ROTA_OP_COUNT:
		break;
	}
}

void rota__epoll_start_submitted(struct rota__epoll *engine)
{
	struct rota_link *link;

	while ((link = rota_list_pop_front(&engine->submitted))) {
		struct rota_op *op = ROTA_CONTAINER_OF(link, struct rota_op, link_);

		if (ROTA_LIKELY(op->kind == ROTA_OP_SEND))
			start_send(engine, op);
		else
			start_other(engine, op);
	}
}

bool rota__epoll_run(struct rota__epoll *engine, struct rota_op *op, uint32_t events)
{
	uint32_t seen = events & (rota__epoll_wanted(op) | EPOLLERR | EPOLLHUP);
	int32_t result;

	switch ((enum rota_op_kind)op->kind) {
	case ROTA_OP_ACCEPT:
	case ROTA_OP_RECEIVE:
		if (engine->out_count == engine->out_max)
			rota__epoll_make_ready(engine, op);
		else
			rota__epoll_resume(engine, op);
		break;
	case ROTA_OP_SEND:
	case ROTA_OP_SEND_MESSAGE:
		result = try_send(engine, op);
		if (result == -EAGAIN)
			return false;
		end(engine, op, result);
		break;
	case ROTA_OP_CONNECT:
		run_connect(engine, op);
		break;
	case ROTA_OP_POLL:
		end(engine, op, (int32_t)seen);
		break;
	case ROTA_OP_CLOSE:
	case ROTA_OP_CALL:
	case ROTA_OP_FILE:
	case ROTA_OP_COUNT:
		break;
	}
	return true;
}

void rota__epoll_resume(struct rota__epoll *engine, struct rota_op *op)
{
	if (op->kind == ROTA_OP_ACCEPT)
		run_accept(engine, op);
	else
		rota__epoll_run_receive(engine, op);
}
