/* SPDX-License-Identifier: MIT */
/*
 * The epoll engine's table of functions, its options and its turn. Layer: backends/epoll. Reactor's
 * thread, except wake() and probe().
 *
 * The one idea: poll() makes results in three ways, cheapest first: what was left over from the
 * last turn, what was submitted (sends and closes end at once), and only if that gave nothing, what
 * epoll reports. So a turn that has work makes no epoll_wait; to keep a busy few from starving the
 * rest, at most KERNEL_SKIPS_MAX turns in a row go without.
 */
#include <limits.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <rota/backend.h>
#include <rota/base.h>
#include <rota/error.h>
#include <rota/memory.h>
#include <rota/time.h>

#include "backends/epoll/epoll.h"

/* A guess: with turns bounded at 0.5 ms a descriptor that becomes ready is seen within 2 ms. */
#define KERNEL_SKIPS_MAX 4
/*
 * Events of a file that is no longer ours, in so many waits in a row, are not just a fork() that
 * has yet to exec().
 */
#define STALE_POLLS_MAX 1000

/* As the io_uring engine has them; the pool's memory is touched only as far as it is used. */
#define BUFFERS_DEFAULT 256
#define BUFFER_BYTES_DEFAULT 65536
#define BUFFERS_MAX 65536
#define BUFFER_BYTES_MIN 64
#define BUFFER_BYTES_MAX (16u << 20)
#define EVENTS_DEFAULT 512
#define EVENTS_MAX 65536

/* ---- options ---- */

struct options {
	bool edge;
	bool try_first;
	uint32_t buffers;
	uint32_t buffer_bytes;
	uint32_t events;
};

static const char KNOWN_OPTIONS[] =
	"trigger=level|edge, try-first=on|off, buffers=COUNTxBYTES, events=COUNT";

/*
 * Read digits at the front of `*text`, moving it on. Returns false unless the number is within
 * [min, max].
 */
static bool read_number(struct rota_view *text, uint32_t min, uint32_t max, uint32_t *out)
{
	uint64_t number = 0;
	size_t i;

	for (i = 0; i < text->bytes && text->data[i] >= '0' && text->data[i] <= '9'; i++) {
		number = number * 10 + (uint64_t)(text->data[i] - '0');
		if (number > max)
			return false;
	}
	if (!i || number < min)
		return false;
	*text = rota_view_of(text->data + i, text->bytes - i);
	*out = (uint32_t)number;
	return true;
}

/* Set `*out` if `value` is one of the two words. */
static bool read_choice(struct rota_view value, const char *no, const char *yes, bool *out)
{
	*out = rota_view_equals(value, rota_view_of_string(yes));
	return *out || rota_view_equals(value, rota_view_of_string(no));
}

static bool read_buffers(struct rota_view value, struct options *options)
{
	if (!read_number(&value, 1, BUFFERS_MAX, &options->buffers) || !value.bytes ||
	    *value.data != 'x')
		return false;
	value = rota_view_of(value.data + 1, value.bytes - 1);
	return read_number(&value, BUFFER_BYTES_MIN, BUFFER_BYTES_MAX, &options->buffer_bytes) &&
	       !value.bytes;
}

static bool read_option(struct rota_view key, struct rota_view value, struct options *options)
{
	if (rota_view_equals(key, rota_view_of_string("trigger")))
		return read_choice(value, "level", "edge", &options->edge);
	if (rota_view_equals(key, rota_view_of_string("try-first")))
		return read_choice(value, "off", "on", &options->try_first);
	if (rota_view_equals(key, rota_view_of_string("buffers")))
		return read_buffers(value, options);
	if (rota_view_equals(key, rota_view_of_string("events")))
		return read_number(&value, 1, EVENTS_MAX, &options->events) && !value.bytes;
	return false;
}

/* Returns 0, or -EINVAL with the culprit and what is known in `text`. */
static int parse_options(const char *text, struct options *options,
			 char error[ROTA_BACKEND_TEXT_BYTES])
{
	const char *cursor = text;
	struct rota_view key, value;

	*options = (struct options){
		.try_first = true,
		.buffers = BUFFERS_DEFAULT,
		.buffer_bytes = BUFFER_BYTES_DEFAULT,
		.events = EVENTS_DEFAULT,
	};
	while (rota_backend_option_next(&cursor, &key, &value)) {
		if (read_option(key, value, options))
			continue;
		snprintf(error, ROTA_BACKEND_TEXT_BYTES,
			 "epoll option \"%.*s%s%.*s\" is unknown or malformed; known: %s",
			 (int)rota_min_size(key.bytes, 64), key.data, value.bytes ? "=" : "",
			 (int)rota_min_size(value.bytes, 64), value.data, KNOWN_OPTIONS);
		return -EINVAL;
	}
	return 0;
}

/* ---- life ---- */

static bool kernel_has_precise_wait(void)
{
	struct timespec none = { 0, 0 };
	struct epoll_event event;

	/*
	 * EBADF is the answer of a kernel that knows the call; Linux < 5.11, and filters in
	 * containers, say otherwise.
	 */
	return epoll_pwait2(-1, &event, 1, &none, NULL) < 0 && errno == EBADF;
}

static int probe(const struct rota_backend_config *config, char text[ROTA_BACKEND_TEXT_BYTES])
{
	struct options options;
	int status = parse_options(config->options, &options, text);
	int fd;

	if (status < 0)
		return status;
	fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0) {
		status = -errno;
		snprintf(text, ROTA_BACKEND_TEXT_BYTES, "epoll: epoll_create1 failed: %s%s",
			 rota_error_name(status),
			 status == -EMFILE ? "; raise the limit of open files (ulimit -n)" : "");
		return status;
	}
	close(fd);
	snprintf(text, ROTA_BACKEND_TEXT_BYTES,
		 "on: trigger=%s, try-first=%s, buffers=%ux%u, events=%u%s",
		 options.edge ? "edge" : "level", options.try_first ? "on" : "off", options.buffers,
		 options.buffer_bytes, options.events,
		 kernel_has_precise_wait()
			 ? ""
			 : "; off: waiting to the nanosecond (no epoll_pwait2: kernel < 5.11)");
	return 0;
}

static int open_descriptors(struct rota__epoll *engine)
{
	int status;

	engine->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (engine->epoll_fd < 0)
		return -errno;
	engine->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	engine->stats.system_calls += 2;
	if (engine->wake_fd < 0) {
		status = -errno;
		goto close_epoll;
	}
	status = rota__epoll_watch_wake(engine, engine->epoll_fd);
	if (status < 0)
		goto close_wake;
	return 0;

close_wake:
	close(engine->wake_fd);
close_epoll:
	close(engine->epoll_fd);
	return status;
}

static int open_engine(struct rota_backend *self, const struct rota_backend_config *config)
{
	struct rota__epoll *engine = (struct rota__epoll *)self;
	char text[ROTA_BACKEND_TEXT_BYTES];
	struct options options;
	int status = parse_options(config->options, &options, text);

	if (status < 0)
		return status;
	engine->edge = options.edge;
	engine->try_first = options.try_first;
	engine->precise = kernel_has_precise_wait();
	engine->pollable_fd = -1;
	engine->events_max = options.events;
	rota_list_init(&engine->submitted);
	rota_list_init(&engine->queue);
	engine->events = rota_alloc(options.events * sizeof(*engine->events));
	if (!engine->events)
		return -ENOMEM;
	status = rota__epoll_pool_init(&engine->pool, options.buffers, options.buffer_bytes);
	if (status < 0)
		goto free_events;
	status = open_descriptors(engine);
	if (status < 0)
		goto fini_pool;
	rota_offload_port_open(&engine->port, self);
	return 0;

fini_pool:
	rota__epoll_pool_fini(&engine->pool);
free_events:
	rota_free(engine->events);
	return status;
}

static void close_engine(struct rota_backend *self)
{
	struct rota__epoll *engine = (struct rota__epoll *)self;

	ROTA_ASSERT(engine->lent == 0);
	ROTA_ASSERT(engine->pool.free_count == engine->pool.count);
	if (engine->pollable_fd >= 0)
		close(engine->pollable_fd);
	rota_offload_port_close(&engine->port);
	close(engine->wake_fd);
	close(engine->epoll_fd);
	rota__epoll_table_fini(&engine->table);
	rota__epoll_pool_fini(&engine->pool);
	rota_free(engine->events);
}

/* ---- operations ---- */

static void submit(struct rota_backend *self, struct rota_op *op)
{
	struct rota__epoll *engine = (struct rota__epoll *)self;

	ROTA_ASSERT(op->state_ == 0);
	ROTA_ASSERT(op->kind < ROTA_OP_COUNT);
	op->state_ = ROTA__EPOLL_SUBMITTED;
	rota_list_push_back(&engine->submitted, &op->link_);
	engine->lent++;
	engine->stats.submitted++;
}

static void cancel(struct rota_backend *self, struct rota_op *op)
{
	struct rota__epoll *engine = (struct rota__epoll *)self;

	switch (op->state_) {
	case ROTA__EPOLL_SUBMITTED:
		if (op->kind == ROTA_OP_CLOSE)
			return;
		rota_list_remove(&op->link_);
		break;
	case ROTA__EPOLL_WAITING:
	case ROTA__EPOLL_READY:
		rota__epoll_detach(engine, op);
		if (op->kind == ROTA_OP_CONNECT) {
			close((int)op->index_);
			rota__epoll_forget(engine, (int)op->index_);
			engine->stats.system_calls++;
		}
		break;
	case ROTA__EPOLL_OFFLOADED:
		rota_offload_port_cancel(&engine->port, op);
		return;
	default:
		/* Its result is known already. */
		return;
	}
	/* No poll() is in progress, so there is no room: this queues it. */
	rota__epoll_finish(engine, op, -ECANCELED);
}

static void buffer_return(struct rota_backend *self, uint16_t buffer)
{
	rota__epoll_pool_release(&((struct rota__epoll *)self)->pool, buffer);
}

/* ---- the turn ---- */

/*
 * Hand out what is queued, first come first served, and let each READY operation have one more
 * share.
 */
static void run_queue(struct rota__epoll *engine)
{
	struct rota_link pass;
	struct rota_link *link;

	/*
	 * A pass takes what was there when it began: one that is READY again goes behind all
	 * others, into the next pass.
	 */
	rota_list_init(&pass);
	rota_list_splice_back(&pass, &engine->queue);
	while (engine->out_count < engine->out_max && (link = rota_list_pop_front(&pass))) {
		struct rota_op *op = ROTA_CONTAINER_OF(link, struct rota_op, link_);

		if (op->state_ == ROTA__EPOLL_DONE)
			rota__epoll_finish(engine, op, (int32_t)op->generation_);
		else
			rota__epoll_resume(engine, op);
	}
	rota_list_splice_back(&pass, &engine->queue);
	rota_list_splice_back(&engine->queue, &pass);
}

static void take_offloaded(struct rota__epoll *engine)
{
	struct rota_op *op;
	int32_t result;

	while (engine->out_count < engine->out_max &&
	       (op = rota_offload_port_take(&engine->port, &result)))
		rota__epoll_finish(engine, op, result);
}

/*
 * An event that finds no room would go through the queue; in the kernel it waits at no cost, and in
 * line behind those that have not been reported.
 */
static int events_wanted(const struct rota__epoll *engine)
{
	unsigned room = engine->out_max - engine->out_count;

	return (int)rota_max_size(rota_min_size(engine->events_max, room), 1);
}

/* epoll_wait until `deadline`, as precisely as the kernel can. */
static int wait_until(struct rota__epoll *engine, rota_ns deadline)
{
	int events_max = events_wanted(engine);
	rota_ns left = deadline <= 0 ? 0 : ROTA_NEVER;

	engine->stats.system_calls++;
	if (deadline > 0 && deadline != ROTA_NEVER)
		left = deadline - engine->backend.ops->now(&engine->backend);
	if (left <= 0)
		return epoll_wait(engine->epoll_fd, engine->events, events_max, 0);
	if (deadline == ROTA_NEVER)
		return epoll_wait(engine->epoll_fd, engine->events, events_max, -1);
	if (engine->precise) {
		struct timespec time = { left / ROTA_NS_PER_S, left % ROTA_NS_PER_S };

		return epoll_pwait2(engine->epoll_fd, engine->events, events_max, &time, NULL);
	}
	/* Rounded up: to wake before the deadline would mean to spin until it is there. */
	left = left / ROTA_NS_PER_MS + (left % ROTA_NS_PER_MS != 0);
	return epoll_wait(engine->epoll_fd, engine->events, events_max,
			  left > INT_MAX ? INT_MAX : (int)left);
}

static int reap(struct rota__epoll *engine, rota_ns deadline)
{
	int count = wait_until(engine, deadline);
	bool stale = false;

	engine->kernel_skips = 0;
	if (count < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < count; i++) {
		const struct epoll_event *event = &engine->events[i];

		if (event->data.u64 == ROTA__EPOLL_WAKE_MARK) {
			/*
			 * Pairs with the exchange in wake(): what was written before a wake() that
			 * found it set is visible.
			 */
			rota_ignore(
				__atomic_exchange_n(&engine->wake_pending, false, __ATOMIC_ACQ_REL),
				"it was true");
			engine->stats.wakes++;
		} else if (!rota__epoll_dispatch(engine, event)) {
			engine->stats.unknown++;
			stale = true;
		}
	}
	/*
	 * A file that was closed here but lives on in a duplicate can't be taken out of epoll any
	 * more, and if it stays readable there is never an end to its events.
	 */
	engine->stale_polls = stale ? engine->stale_polls + 1 : 0;
	if (engine->stale_polls < STALE_POLLS_MAX)
		return 0;
	engine->stale_polls = 0;
	return rota__epoll_rebuild(engine);
}

static int poll_engine(struct rota_backend *self, struct rota_completion *out, unsigned out_max,
		       rota_ns deadline)
{
	struct rota__epoll *engine = (struct rota__epoll *)self;
	uint64_t calls_before = engine->stats.system_calls;
	int status = 0;

	engine->out = out;
	engine->out_count = 0;
	engine->out_max = out_max;
	engine->late_count = 0;
	if (ROTA_UNLIKELY(!rota_list_is_empty(&engine->queue)))
		run_queue(engine);
	rota__epoll_start_submitted(engine);
	if (ROTA_UNLIKELY(engine->port.out_))
		take_offloaded(engine);
	/*
	 * Something in the queue and yet no result: a burst of connections that were reset before
	 * they were accepted.
	 */
	if (engine->out_count == 0 || (engine->out_count == engine->late_count && deadline > 0))
		status = reap(engine, rota_list_is_empty(&engine->queue) ? deadline : 0);
	else if (++engine->kernel_skips > KERNEL_SKIPS_MAX)
		status = reap(engine, 0);
	if (ROTA_UNLIKELY(engine->port.out_))
		take_offloaded(engine);

	engine->out_max = engine->out_count; /* no room until the next poll() */
	engine->stats.completions += engine->out_count;
	engine->stats.polls += engine->stats.system_calls != calls_before;
	return engine->out_count ? (int)engine->out_count : status;
}

static void wake(struct rota_backend *self)
{
	struct rota__epoll *engine = (struct rota__epoll *)self;
	const uint64_t one = 1;
	int error = errno;

	/*
	 * Pairs with the exchange in reap(). Already true: an event is on its way that has not been
	 * taken yet.
	 */
	if (__atomic_exchange_n(&engine->wake_pending, true, __ATOMIC_ACQ_REL))
		return;
	/* Fails only when the counter is full, after 2^64 wake-ups. */
	rota_ignore(write(engine->wake_fd, &one, sizeof(one)), "see above");
	__atomic_fetch_add(&engine->wake_writes, 1, __ATOMIC_RELAXED);
	errno = error;
}

/* ---- the rest ---- */

static int pollable(struct rota_backend *self)
{
	return rota__epoll_pollable((struct rota__epoll *)self);
}

/*
 * Of all that poll() looks at, epoll's events are the only ones that come by themselves. What the
 * offload pool has done is one of them, unless it came back without a wake-up or found no room.
 */
static int prepare(struct rota_backend *self)
{
	struct rota__epoll *engine = (struct rota__epoll *)self;

	ROTA_ASSERT(engine->pollable_fd >= 0); /* pollable() came first */
	return !rota_list_is_empty(&engine->submitted) || !rota_list_is_empty(&engine->queue) ||
	       rota_offload_port_has_done(&engine->port);
}

static int listen_on(struct rota_backend *self, const struct rota_listen_options *options)
{
	int fd = rota_backend_default_listen(self, options);

	if (fd >= 0)
		rota__epoll_forget((struct rota__epoll *)self, fd);
	return fd;
}

static int try_accept(struct rota_backend *self, int fd)
{
	int accepted = rota_backend_default_try_accept(self, fd);

	((struct rota__epoll *)self)->stats.system_calls++;
	if (accepted >= 0)
		rota__epoll_forget((struct rota__epoll *)self, accepted);
	return accepted;
}

/* What the kernel forgets with the descriptor, its next owner must not inherit. */
static void discard(struct rota_backend *self, int fd)
{
	((struct rota__epoll *)self)->stats.system_calls++;
	rota__epoll_forget((struct rota__epoll *)self, fd);
	rota_backend_default_discard(self, fd);
}

static int shut_down(struct rota_backend *self, int fd, int how)
{
	((struct rota__epoll *)self)->stats.system_calls++;
	return rota_backend_default_shutdown(self, fd, how);
}

static void copy_stats(const struct rota_backend *self, struct rota_backend_stats *out)
{
	const struct rota__epoll *engine = (const struct rota__epoll *)self;

	*out = engine->stats;
	out->system_calls += __atomic_load_n(&engine->wake_writes, __ATOMIC_RELAXED);
	out->buffers_count = engine->pool.count;
	out->buffers_lent = engine->pool.count - engine->pool.free_count;
	out->buffer_bytes = engine->pool.buffer_bytes;
}

const struct rota_backend_ops rota_backend_epoll = {
	.name = "epoll",
	.features = 0,
	.state_bytes = sizeof(struct rota__epoll),
	.stats_offset = offsetof(struct rota__epoll, stats),
	.probe = probe,
	.list_features = rota_backend_default_list_features,
	.open = open_engine,
	.close = close_engine,
	.submit = submit,
	.cancel = cancel,
	.buffer_return = buffer_return,
	.poll = poll_engine,
	.wake = wake,
	.pollable = pollable,
	.prepare = prepare,
	.listen = listen_on,
	.try_accept = try_accept,
	.discard = discard,
	.shutdown = shut_down,
	.address = rota_backend_default_address,
	.now = rota_backend_default_now,
	.wall_ns = rota_backend_default_wall_ns,
	.random = rota_backend_default_random,
	.drive = rota_backend_default_drive,
	.stats = copy_stats,
};
