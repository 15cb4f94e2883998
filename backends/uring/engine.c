/* SPDX-License-Identifier: MIT */
/*
 * The uring engine behind the contract of <rota/backend.h>: its table, open, close, poll and wake.
 * Reactor's thread, but for probe() and wake().
 *
 * The one idea: poll() is one io_uring_enter at most, which submits, waits and collects at once,
 * and none at all when there is nothing to submit, to collect or to wait for.
 */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rota/error.h>

#include "backends/uring/uring.h"

/* Features that change the requests of all sends. */
#define ADAPTS_SENDS (URING_FEATURE_BIT(URING_DIRECT) | URING_FEATURE_BIT(URING_ZERO_COPY))

static int probe(const struct rota_backend_config *config, char text[ROTA_BACKEND_TEXT_BYTES])
{
	struct uring_options options;
	uint32_t features;
	int status = uring__options_parse(&options, config->options, text);

	return status < 0 ? status : uring__probe(&options, &features, text);
}

static int list_features(const struct rota_backend_config *config, struct rota_backend_feature *out,
			 unsigned max)
{
	char text[ROTA_BACKEND_TEXT_BYTES];
	struct uring_options options;
	int status = uring__options_parse(&options, config->options, text);

	return status < 0 ? status : uring__list_features(&options, out, max);
}

static void close_if_open(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* What open() has done so far, undone. */
static void undo_open(struct uring_engine *engine)
{
	uring__buffers_close(engine);
	uring__direct_close(engine);
	uring__ring_close(engine);
	uring__table_fini(&engine->table);
	close_if_open(&engine->pollable_fd);
	close_if_open(&engine->signal_fd);
	close_if_open(&engine->wake_fd);
}

static int open_parts(struct uring_engine *engine)
{
	int status;

	engine->pollable_fd = -1;
	engine->signal_fd = -1;
	engine->stats.system_calls++;
	engine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (engine->wake_fd < 0)
		return -errno;
	status = uring__ring_open(engine);
	if (status == 0)
		status = uring__buffers_open(engine);
	if (status == 0)
		status = uring__direct_open(engine);
	return status;
}

static int open_engine(struct rota_backend *self, const struct rota_backend_config *config)
{
	struct uring_engine *engine = uring__engine(self);
	char text[ROTA_BACKEND_TEXT_BYTES];
	int status;

	status = uring__options_parse(&engine->options, config->options, text);
	if (status < 0)
		return status;
	status = uring__probe(&engine->options, &engine->features, text);
	if (status < 0)
		return status;
	uring__table_init(&engine->table);
	rota_list_init(&engine->unsent);
	rota_list_init(&engine->cancels);
	rota_list_init(&engine->emptied);
	rota_list_init(&engine->finished);
	rota_list_init(&engine->silent);
	engine->adapts_sends = engine->features & ADAPTS_SENDS;
	engine->skips_sends = engine->features & URING_FEATURE_BIT(URING_SEND_SKIP);
	engine->busy_poll_ns = engine->options.busy_poll_us * ROTA_NS_PER_US;
	if (engine->features & URING_FEATURE_BIT(URING_ZERO_COPY))
		self->features |= ROTA_BACKEND_KEEPS_SENDS;
	engine->wait_count = engine->features & URING_FEATURE_BIT(URING_MIN_WAIT)
				     ? engine->options.cq_entries
				     : 1;
	status = open_parts(engine);
	if (status < 0) {
		undo_open(engine);
		return status;
	}
	rota_offload_port_open(&engine->port, self);
	uring__arm_wake(engine);
	return 0;
}

static void close_engine(struct rota_backend *self)
{
	struct uring_engine *engine = uring__engine(self);

	ROTA_ASSERT(uring__report_leaks(engine) == 0);
	rota_offload_port_close(&engine->port);
	undo_open(engine);
}

/*
 * Sends that may have ended without a CQE and are waited for, receives that begin after an enter.
 */
static inline bool has_variants_to_do(const struct uring_engine *engine)
{
	return uring__has_awaited_silent(engine) || !rota_list_is_empty(&engine->emptied);
}

/* Is there something to collect without asking the kernel? */
static inline bool has_told(const struct uring_engine *engine)
{
	return uring__cq_ready(engine) || !rota_list_is_empty(&engine->finished) ||
	       engine->port.out_;
}

/* What has been collected is delivered first: a broken ring says so again. */
static inline int end_poll(struct uring_engine *engine, int status, unsigned count,
			   struct rota_completion *out, unsigned out_max)
{
	if (ROTA_LIKELY(status >= 0))
		count += uring__collect(engine, out + count, out_max - count);
	if (ROTA_UNLIKELY(!rota_list_is_empty(&engine->silent)))
		uring__await_silent(engine);
	return count ? (int)count : status;
}

static int poll_engine(struct rota_backend *self, struct rota_completion *out, unsigned out_max,
		       rota_ns deadline)
{
	struct uring_engine *engine = uring__engine(self);
	uint64_t wakes = engine->stats.wakes;
	unsigned count = has_told(engine) ? uring__collect(engine, out, out_max) : 0;
	unsigned wait_count;
	bool collect;
	int status;

	if (ROTA_UNLIKELY(engine->backlogged))
		uring__drain_backlog(engine);
	/* While completions are left over in the queue, more would only overflow it. */
	collect = uring__cq_ready(engine) == 0;
	wait_count = 0;
	/* A wake-up that was in the queue already is what this call returns for. */
	if (count == 0 && collect && deadline > 0 && !engine->backlogged &&
	    !has_variants_to_do(engine) && wakes == engine->stats.wakes)
		wait_count = engine->wait_count;
	if (wait_count && engine->busy_poll_ns) {
		status = uring__spin(engine, deadline);
		if (status < 0 || uring__cq_ready(engine))
			return end_poll(engine, status, 0, out, out_max);
	}
	if (!wait_count && !uring__sq_pending(engine) &&
	    !(collect && uring__needs_collecting(engine))) {
		uring__start_emptied(engine);
		return (int)count;
	}
	engine->stats.overflows += (IO_URING_READ_ONCE(*engine->ring.sq.kflags) &
				    IORING_SQ_CQ_OVERFLOW) != 0;
	status = uring__enter(engine, collect, wait_count, deadline);
	if (ROTA_UNLIKELY(!rota_list_is_empty(&engine->emptied)))
		uring__start_emptied(engine);
	return end_poll(engine, status, count, out, out_max);
}

static void wake(struct rota_backend *self)
{
	struct uring_engine *engine = uring__engine(self);
	uint64_t one = 1;
	int saved_errno = errno;

	/* Partner of the exchange where the wake-up is seen. */
	if (atomic_exchange_explicit(&engine->wake_pending, true, memory_order_acq_rel))
		return;
	atomic_fetch_add_explicit(&engine->wake_writes, 1, memory_order_relaxed);
	rota_ignore(write(engine->wake_fd, &one, sizeof(one)),
		    "fails only when 2^64 - 1 wake-ups are in it, and then it is readable");
	errno = saved_errno;
}

static int watch(struct uring_engine *engine, int fd)
{
	/* Edge-triggered, taking the event is enough: the counter need not be read back. */
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	engine->stats.system_calls++;
	return epoll_ctl(engine->pollable_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int open_pollable(struct uring_engine *engine)
{
	int status;

	engine->stats.system_calls += 3;
	engine->pollable_fd = epoll_create1(EPOLL_CLOEXEC);
	if (engine->pollable_fd < 0)
		return -errno;
	engine->signal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (engine->signal_fd < 0)
		return -errno;
	status = watch(engine, engine->signal_fd);
	if (status == 0)
		status = watch(engine, engine->wake_fd);
	if (status == 0)
		status = io_uring_register_eventfd(&engine->ring, engine->signal_fd);
	return status;
}

/*
 * Not the ring's own descriptor: with DEFER_TASKRUN it does not become readable for work that waits
 * to be run on our thread (seen on Linux 6.18), while an eventfd is signalled for it. And wake_fd
 * beside it, because the kernel does not signal an eventfd from inside another's wake-up, but some
 * time later.
 */
static int pollable(struct rota_backend *self)
{
	struct uring_engine *engine = uring__engine(self);
	int status;

	if (engine->pollable_fd >= 0)
		return engine->pollable_fd;
	status = open_pollable(engine);
	if (status < 0) {
		close_if_open(&engine->signal_fd);
		close_if_open(&engine->pollable_fd);
		return status;
	}
	return engine->pollable_fd;
}

static int prepare(struct rota_backend *self)
{
	struct uring_engine *engine = uring__engine(self);
	struct epoll_event events[2];

	ROTA_ASSERT(engine->pollable_fd >= 0); /* pollable() came first */
	/*
	 * First take what has been signalled, then look: the kernel marks the ring before it
	 * signals, so what comes in between is seen twice and nothing is missed.
	 */
	engine->stats.system_calls++;
	rota_ignore(epoll_wait(engine->pollable_fd, events, 2, 0),
		    "a signal handler ran: then the descriptor is readable for nothing");
	return engine->backlogged || uring__sq_pending(engine) || uring__cq_ready(engine) ||
	       uring__needs_collecting(engine) || !rota_list_is_empty(&engine->finished) ||
	       has_variants_to_do(engine) || rota_offload_port_has_done(&engine->port);
}

/*
 * A send that is not copied ends when the peer has acknowledged it, which it may never do. Whoever
 * wants to be rid of the connection says so here: cutting the association drops what is unsent.
 */
static int shut_down(struct rota_backend *self, int fd, int how)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	int status = rota_backend_default_shutdown(self, fd, how);

	if (how == ROTA_SHUT_RESET && self->features & ROTA_BACKEND_KEEPS_SENDS)
		rota_ignore(connect(fd, &nobody, sizeof(nobody)),
			    "not of a kind that is not copied, or not connected any more");
	return status;
}

static void stats(const struct rota_backend *self, struct rota_backend_stats *out)
{
	const struct uring_engine *engine = ROTA_CONTAINER_OF(self, const struct uring_engine,
							      base);

	*out = engine->stats;
	out->system_calls += atomic_load_explicit(&engine->wake_writes, memory_order_relaxed);
	out->buffers_lent = engine->buffers.lent_count;
}

const struct rota_backend_ops rota_backend_uring = {
	.name = "uring",
	.features = 0,
	.state_bytes = sizeof(struct uring_engine),
	.stats_offset = offsetof(struct uring_engine, stats),
	.probe = probe,
	.list_features = list_features,
	.open = open_engine,
	.close = close_engine,
	.submit = uring__submit,
	.cancel = uring__cancel,
	.buffer_return = uring__buffer_return,
	.poll = poll_engine,
	.wake = wake,
	.pollable = pollable,
	.prepare = prepare,
	.listen = rota_backend_default_listen,
	.try_accept = rota_backend_default_try_accept,
	.discard = rota_backend_default_discard,
	.shutdown = shut_down,
	.address = rota_backend_default_address,
	.now = rota_backend_default_now,
	.wall_ns = rota_backend_default_wall_ns,
	.random = rota_backend_default_random,
	.drive = rota_backend_default_drive,
	.stats = stats,
};
