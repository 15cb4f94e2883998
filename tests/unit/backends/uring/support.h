/* SPDX-License-Identifier: MIT */
/*
 * What the uring engine's tests share: an engine without a reactor, operations that remember their
 * completions, socket pairs. One thread. The one idea: t_run() polls until a condition holds or ten
 * seconds have passed, so no test can hang or must sleep.
 */
#ifndef ROTA_TESTS_URING_SUPPORT_H
#define ROTA_TESTS_URING_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rota/backend.h>
#include <rota/error.h>
#include <rota/memory.h>

#include "backends/uring/uring.h"

#define T_TIMEOUT_S 240
#define T_BATCH 64

/* An operation and what came of it. */
struct t_op {
	struct rota_op op;
	unsigned completions;
	unsigned terminals;
	int32_t result; /* of the last completion */
	uint16_t flags;
	uint16_t buffer;
	uint64_t bytes; /* RECEIVE: sum of what came */
	bool keep;      /* RECEIVE: do not return buffers */
};

static inline void t_complete(struct rota_op *op, const struct rota_completion *completion)
{
	struct t_op *self = ROTA_CONTAINER_OF(op, struct t_op, op);

	self->completions++;
	self->terminals += !(completion->flags & ROTA_COMPLETION_MORE);
	self->result = completion->result;
	self->flags = completion->flags;
	self->buffer = completion->buffer;
	if (completion->result > 0)
		self->bytes += (uint64_t)completion->result;
}

/* Skips the test, visibly, where io_uring is not to be had at all. */
static inline struct rota_backend *t_engine(const char *options)
{
	struct rota_backend_config config = { .options = options };
	struct rota_backend *backend = NULL;
	char text[ROTA_BACKEND_TEXT_BYTES];
	int status = rota_backend_uring.probe(&config, text);

	if (status == -EPERM || status == -ENOSYS) {
		print_message("no io_uring here: %s\n", text);
		skip();
	}
	if (status < 0)
		fail_msg("probe(%s) = %d: %s", options, status, text);
	assert_int_equal(rota_backend_create(&rota_backend_uring, &config, &backend), 0);
	return backend;
}

static inline void t_submit(struct rota_backend *backend, struct t_op *op)
{
	op->op.complete = t_complete;
	backend->ops->submit(backend, &op->op);
}

/*
 * One poll; dispatches, and gives buffers back unless the operation keeps them. Returns how many
 * completions came.
 */
static inline int t_poll(struct rota_backend *backend, rota_ns deadline)
{
	struct rota_completion out[T_BATCH];
	int count = backend->ops->poll(backend, out, T_BATCH, deadline);

	assert_true(count >= 0);
	for (int i = 0; i < count; i++) {
		struct t_op *op = ROTA_CONTAINER_OF(out[i].op, struct t_op, op);

		out[i].op->complete(out[i].op, &out[i]);
		if ((out[i].flags & ROTA_COMPLETION_BUFFER) && !op->keep)
			backend->ops->buffer_return(backend, out[i].buffer);
	}
	return count;
}

#define t_run(backend, condition)                                                                  \
	do {                                                                                       \
		rota_ns t_end_ = rota_now() + T_TIMEOUT_S * ROTA_NS_PER_S;                         \
		while (!(condition)) {                                                             \
			if (rota_now() > t_end_)                                                   \
				fail_msg("%s did not happen", #condition);                         \
			t_poll(backend, t_end_);                                                   \
		}                                                                                  \
	} while (0)

static inline void t_close_fd(struct rota_backend *backend, int fd)
{
	struct t_op op = { .op = { .kind = ROTA_OP_CLOSE, .fd = fd } };

	t_submit(backend, &op);
	t_run(backend, op.terminals);
	assert_int_equal(op.result, 0);
}

static inline void t_pair(int sockets[2])
{
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sockets), 0);
}

static inline struct rota_backend_stats t_stats(const struct rota_backend *backend)
{
	struct rota_backend_stats stats;

	backend->ops->stats(backend, &stats);
	return stats;
}

#endif /* ROTA_TESTS_URING_SUPPORT_H */
