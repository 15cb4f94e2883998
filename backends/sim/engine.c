/* SPDX-License-Identifier: MIT */
/*
 * One engine of a simulated world: operations, receive buffers, completions. On its reactor's
 * thread, wake() on any.
 *
 * The one idea: an operation takes effect in an attempt inside its own engine's poll(), and its
 * completion is delivered by the same or a later poll(). What lies between is where real kernels
 * surprise programs: another operation overtakes, a cancel comes too late, a buffer is still out.
 * Each of these is one seeded choice here.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include <rota/log.h>
#include <rota/memory.h>

#include "backends/sim/sim_internal.h"

/*
 * Operations near the head of the line among which the next attempt is drawn: keeps a choice O(1)
 * with many waiting.
 */
#define ATTEMPT_WINDOW 16

/*
 * What a returned buffer is filled with: a view kept too long reads this, and not yet the right
 * bytes by luck.
 */
#define POISON 0xdb

static const char *const op_names[ROTA_OP_COUNT] = {
	[ROTA_OP_ACCEPT] = "accept",   [ROTA_OP_RECEIVE] = "receive",
	[ROTA_OP_SEND] = "send",       [ROTA_OP_SEND_MESSAGE] = "send-message",
	[ROTA_OP_CONNECT] = "connect", [ROTA_OP_POLL] = "poll",
	[ROTA_OP_CLOSE] = "close",
};

const char *sim__op_name(unsigned kind)
{
	return kind < ROTA_OP_COUNT ? op_names[kind] : "?";
}

/* ---- life ---- */

static int sim_probe(const struct rota_backend_config *config, char text[ROTA_BACKEND_TEXT_BYTES])
{
	struct rota_sim_options options;
	int status;

	rota_sim_options_init(&options, 1);
	status = rota_sim_options_parse(&options, config->options, text);
	if (status == 0)
		snprintf(text, ROTA_BACKEND_TEXT_BYTES,
			 "simulated network and clock, seed %llu; off: real descriptors",
			 (unsigned long long)options.seed);
	return status;
}

static int find_slot(const struct rota_sim_world *world)
{
	for (int i = 0; i < SIM_INSTANCES_MAX; i++)
		if (!world->instances[i])
			return i;
	return -ENOSPC;
}

static void free_memory(struct sim_instance *instance)
{
	rota_free(instance->pending);
	rota_free(instance->buffers);
	rota_free(instance->free_buffers);
	rota_free(instance->buffer_is_out);
}

static int take_memory(struct sim_instance *instance)
{
	uint32_t count = instance->buffers_count;

	instance->pending = rota_calloc(SIM_PENDING_MAX, sizeof(*instance->pending));
	instance->buffers = rota_calloc(count, instance->buffer_bytes);
	instance->free_buffers = rota_calloc(count, sizeof(*instance->free_buffers));
	instance->buffer_is_out = rota_calloc(count, sizeof(*instance->buffer_is_out));
	if (!instance->pending || !instance->buffers || !instance->free_buffers ||
	    !instance->buffer_is_out) {
		free_memory(instance);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < count; i++)
		instance->free_buffers[i] = (uint16_t)(count - 1 - i);
	instance->free_count = count;
	return 0;
}

static int sim_open(struct rota_backend *self, const struct rota_backend_config *config)
{
	struct sim_instance *instance = sim__instance_of(self);
	struct rota_sim_options options;
	struct rota_sim_world *world;
	int slot, status;

	status = sim__world_for_open(config->options, &world, &options);
	if (status < 0)
		return status;
	instance->world = world;
	instance->buffers_count = options.buffers_count;
	instance->buffer_bytes = options.buffer_bytes;
	slot = find_slot(world);
	status = slot < 0 ? slot : take_memory(instance);
	if (status < 0) {
		sim__world_instance_closed(world);
		return status;
	}
	instance->reactor = config->reactor;
	instance->index = (uint32_t)slot;
	rota_list_init(&instance->submitted);
	rota_list_init(&instance->runnable);
	world->instances[slot] = instance;
	world->instances_count++;
	sim__event(world, "open-engine", slot, 0);
	return 0;
}

static void sim_close(struct rota_backend *self)
{
	struct sim_instance *instance = sim__instance_of(self);
	struct rota_sim_world *world = instance->world;

	if (instance->lent_count || instance->free_count != instance->buffers_count) {
		rota_log(ROTA_LOG_ERROR,
			 "sim: engine %u closed with %llu operations and %u buffers out",
			 instance->index, (unsigned long long)instance->lent_count,
			 instance->buffers_count - instance->free_count);
		rota_ignore(rota_sim_world_report(world), "only for the log");
	}
	ROTA_ASSERT(instance->lent_count == 0);
	ROTA_ASSERT(instance->free_count == instance->buffers_count);
	sim__event(world, "close-engine", instance->index, 0);
	world->instances[instance->index] = NULL;
	world->instances_count--;
	free_memory(instance);
	sim__world_instance_closed(world);
}

struct rota_sim_world *rota_sim_world_of(const struct rota_backend *backend)
{
	ROTA_ASSERT(backend->ops->drive == sim__drive_reactors); /* ours, or a copy with a fault */
	return ROTA_CONTAINER_OF(backend, struct sim_instance, backend)->world;
}

/* ---- operations between their lists ---- */

static void make_runnable(struct sim_instance *instance, struct rota_op *op)
{
	rota_list_remove(&op->link_);
	rota_list_push_back(&instance->runnable, &op->link_);
	instance->runnable_count++;
	op->state_ = SIM_OP_RUNNABLE;
}

/* Off the runnable list, onto no list. */
static void unlist_runnable(struct sim_instance *instance, struct rota_op *op)
{
	rota_list_remove(&op->link_);
	instance->runnable_count--;
}

static void wait_on(struct sim_instance *instance, struct rota_op *op, struct sim_socket *socket)
{
	unlist_runnable(instance, op);
	rota_list_push_back(&socket->waiting, &op->link_);
	op->state_ = SIM_OP_WAITING;
}

void sim__wake_waiting(struct rota_sim_world *world, struct sim_socket *socket)
{
	while (!rota_list_is_empty(&socket->waiting)) {
		struct rota_op *op = ROTA_CONTAINER_OF(socket->waiting.next, struct rota_op, link_);

		make_runnable(world->instances[op->index_], op);
	}
}

static void sim_submit(struct rota_backend *self, struct rota_op *op)
{
	struct sim_instance *instance = sim__instance_of(self);

	ROTA_ASSERT(op->kind < ROTA_OP_COUNT);
	ROTA_ASSERT(op->state_ == SIM_OP_IDLE);
	ROTA_ASSERT(op->kind != ROTA_OP_SEND || op->send.bytes > 0);
	op->state_ = SIM_OP_SUBMITTED;
	op->flags_ = 0;
	op->index_ = instance->index;
	op->generation_ = ++instance->world->op_serial;
	rota_list_push_back(&instance->submitted, &op->link_);
	instance->lent_count++;
	instance->stats.submitted++;
	sim__event(instance->world, op_names[op->kind], op->generation_,
		   op->kind == ROTA_OP_CONNECT ? -1 : op->fd);
}

static void sim_cancel(struct rota_backend *self, struct rota_op *op)
{
	struct sim_instance *instance = sim__instance_of(self);

	/*
	 * Idle: its terminal completion has come out of poll(), but its owner has not been told
	 * yet.
	 */
	if (op->state_ == SIM_OP_IDLE || op->state_ == SIM_OP_ENDED || op->kind == ROTA_OP_CLOSE)
		return;
	ROTA_ASSERT(op->index_ == instance->index);
	sim__event(instance->world, "cancel", op->generation_, op->state_);
	op->flags_ |= SIM_OP_CANCELLED;
	if (op->state_ == SIM_OP_WAITING)
		make_runnable(instance, op);
}

static void start_submitted(struct sim_instance *instance)
{
	while (!rota_list_is_empty(&instance->submitted)) {
		struct rota_op *op = ROTA_CONTAINER_OF(instance->submitted.next, struct rota_op,
						       link_);
		struct sim_socket *socket = NULL;

		if (op->kind != ROTA_OP_CONNECT && op->kind != ROTA_OP_CLOSE)
			socket = sim__socket_at(instance->world, op->fd);
		if (socket) {
			socket->operations++;
			op->flags_ |= SIM_OP_COUNTED;
		}
		make_runnable(instance, op);
	}
}

/* ---- completions ---- */

/*
 * Keep a completion until it is due; those of one operation stay in order. Room has been checked.
 */
static void complete(struct sim_instance *instance, const struct rota_completion *completion)
{
	struct rota_sim_world *world = instance->world;
	const struct rota_sim_options *options = &world->options;
	rota_ns spread = options->delay_max_ns - options->delay_min_ns;
	rota_ns due = world->now + options->delay_min_ns +
		      (rota_ns)sim__draw(world, SIM_DECIDE_DELAY, (uint64_t)spread + 1);
	struct rota_op *op = completion->op;

	for (size_t i = 0; i < instance->pending_count; i++)
		if (instance->pending[i].completion.op == op && instance->pending[i].due > due)
			due = instance->pending[i].due;
	instance->pending[instance->pending_count++] =
		(struct sim_pending){ .completion = *completion, .due = due };
	sim__event(world, "effect", op->generation_, completion->result);
	if (!(completion->flags & ROTA_COMPLETION_MORE)) {
		unlist_runnable(instance, op);
		op->state_ = SIM_OP_ENDED;
	}
}

static void end(struct sim_instance *instance, struct rota_op *op, int result)
{
	complete(instance, &(struct rota_completion){ .op = op, .result = result });
}

/* The operation goes back to its owner, as untouched as it came. */
static void release_op(struct sim_instance *instance, struct rota_op *op)
{
	if (op->flags_ & SIM_OP_COUNTED)
		sim__socket_at(instance->world, op->fd)->operations--;
	op->state_ = SIM_OP_IDLE;
	op->flags_ = 0;
	op->index_ = 0;
	op->generation_ = 0;
	op->link_ = (struct rota_link){ 0 };
	instance->lent_count--;
}

static void hand_out(struct sim_instance *instance, size_t at, struct rota_completion *out)
{
	struct sim_pending *pending = &instance->pending[at];

	*out = pending->completion;
	instance->pending_count--;
	memmove(pending, pending + 1, (instance->pending_count - at) * sizeof(*pending));
	instance->stats.completions++;
	if (out->flags & ROTA_COMPLETION_BUFFER)
		instance->held_count--;
	sim__event(instance->world, "complete", out->op->generation_, out->result);
	if (!(out->flags & ROTA_COMPLETION_MORE))
		release_op(instance, out->op);
}

/* The place of the `wanted`-th due completion's operation's oldest completion. */
static size_t find_due(const struct sim_instance *instance, uint64_t wanted)
{
	size_t chosen = 0, first = 0;

	for (size_t i = 0; i < instance->pending_count; i++) {
		if (instance->pending[i].due > instance->world->now)
			continue;
		chosen = i;
		if (wanted-- == 0)
			break;
	}
	while (instance->pending[first].completion.op != instance->pending[chosen].completion.op)
		first++;
	return first;
}

static unsigned deliver(struct sim_instance *instance, struct rota_completion *out,
			unsigned out_max)
{
	struct rota_sim_world *world = instance->world;
	unsigned count = 0;
	uint64_t due = 0;

	for (size_t i = 0; i < instance->pending_count; i++)
		due += instance->pending[i].due <= world->now;
	for (; due && count < out_max; due--) {
		uint64_t choices = world->options.reorder ? due : 1;

		hand_out(instance,
			 find_due(instance, sim__draw(world, SIM_DECIDE_DELIVERY, choices)),
			 &out[count++]);
	}
	return count;
}

rota_ns sim__instance_next_due(const struct sim_instance *instance)
{
	rota_ns next = ROTA_NEVER;

	for (size_t i = 0; i < instance->pending_count; i++)
		if (instance->pending[i].due < next)
			next = instance->pending[i].due;
	return next;
}

/* ---- attempts ---- */

/*
 * A stream operation got something: it goes on, and waits if there is no more for now; not if it is
 * to end.
 */
static void complete_and_go_on(struct sim_instance *instance, struct sim_socket *socket,
			       struct rota_completion *completion)
{
	completion->flags |= ROTA_COMPLETION_MORE;
	complete(instance, completion);
	if (!sim__is_readable(socket) && !(completion->op->flags_ & SIM_OP_CANCELLED))
		wait_on(instance, completion->op, socket);
}

static int attempt_accept(struct sim_instance *instance, struct rota_op *op,
			  struct sim_socket *socket)
{
	struct rota_completion completion = { .op = op };
	int fd = sim__accept(instance->world, socket);

	if (fd < 0)
		return fd;
	completion.result = fd;
	complete_and_go_on(instance, socket, &completion);
	return 0;
}

static bool buffers_are_exhausted(struct sim_instance *instance)
{
	struct rota_sim_world *world = instance->world;

	if (!instance->free_count)
		return true;
	/*
	 * Early, as if the ring were smaller; but never while no buffer is out, which no ring could
	 * explain.
	 */
	return instance->free_count < instance->buffers_count &&
	       sim__chance(world, SIM_DECIDE_NO_BUFFERS, world->options.no_buffers_permille);
}

static int receive_into_buffer(struct sim_instance *instance, struct rota_op *op,
			       struct sim_socket *socket)
{
	struct rota_sim_world *world = instance->world;
	struct rota_completion completion = { .op = op, .flags = ROTA_COMPLETION_BUFFER };
	uint16_t buffer;
	char *data;

	if (buffers_are_exhausted(instance)) {
		instance->stats.buffers_exhausted++;
		return -ENOBUFS;
	}
	buffer = instance->free_buffers[--instance->free_count];
	instance->buffer_is_out[buffer] = true;
	instance->held_count++;
	data = instance->buffers + (size_t)buffer * instance->buffer_bytes;
	completion.buffer = buffer;
	completion.data = data;
	completion.result = sim__receive(world, socket, data, instance->buffer_bytes);
	if (sim__chance(world, SIM_DECIDE_STREAM_END, world->options.stream_end_permille))
		complete(instance, &completion);
	else
		complete_and_go_on(instance, socket, &completion);
	return 0;
}

static int attempt_send(struct sim_instance *instance, const struct rota_op *op,
			struct sim_socket *socket)
{
	struct iovec part = { .iov_base = (void *)(uintptr_t)op->send.data,
			      .iov_len = op->send.bytes };

	if (op->kind == ROTA_OP_SEND_MESSAGE)
		return sim__send(instance->world, socket, op->message->msg_iov,
				 op->message->msg_iovlen);
	return sim__send(instance->world, socket, &part, 1);
}

static int attempt_poll(const struct sim_instance *instance, const struct rota_op *op,
			const struct sim_socket *socket)
{
	uint32_t events = sim__poll_events(instance->world, socket);

	events &= op->events | POLLERR | POLLHUP;
	return events ? (int)events : -EAGAIN;
}

static int attempt_close(struct sim_instance *instance, struct sim_socket *socket)
{
	if (socket->operations)
		rota_log(ROTA_LOG_ERROR, "sim: %d closed under %u operations", socket->fd,
			 socket->operations);
	ROTA_ASSERT(socket->operations == 0);
	sim__socket_close(instance->world, socket);
	return 0;
}

/*
 * Try the operation once. Either it has completed or waits when this returns, or (streams) it stays
 * where it is, with a completion more.
 */
static void attempt(struct sim_instance *instance, struct rota_op *op)
{
	struct sim_socket *socket = NULL;
	bool is_stream_result = false;
	int result;

	if (op->kind == ROTA_OP_CONNECT)
		result = sim__connect(instance->world, op->address, &socket);
	else if (!(socket = sim__socket_at(instance->world, op->fd)))
		result = -EBADF;
	else if (op->kind == ROTA_OP_ACCEPT) {
		result = attempt_accept(instance, op, socket);
		is_stream_result = result == 0;
	} else if (op->kind == ROTA_OP_RECEIVE && sim__unread_bytes(socket)) {
		result = receive_into_buffer(instance, op, socket);
		is_stream_result = result == 0;
	} else if (op->kind == ROTA_OP_RECEIVE)
		result = sim__receive(instance->world, socket, NULL, 0);
	else if (op->kind == ROTA_OP_POLL)
		result = attempt_poll(instance, op, socket);
	else if (op->kind == ROTA_OP_CLOSE)
		result = attempt_close(instance, socket);
	else
		result = attempt_send(instance, op, socket);
	if (is_stream_result)
		return;
	if (result != -EAGAIN)
		end(instance, op, result);
	else if (op->flags_ & SIM_OP_CANCELLED)
		end(instance, op, -ECANCELED);
	else
		wait_on(instance, op, socket);
}

/* A cancelled operation either ends, or was just at it and gets one attempt more. */
static void attempt_cancelled(struct sim_instance *instance, struct rota_op *op)
{
	struct rota_sim_world *world = instance->world;
	bool was_late = op->flags_ & SIM_OP_WAS_LATE;

	op->flags_ |= SIM_OP_WAS_LATE;
	if (!was_late &&
	    sim__chance(world, SIM_DECIDE_LATE_CANCEL, world->options.late_cancel_permille))
		attempt(instance, op);
	else
		end(instance, op, -ECANCELED);
}

static bool is_send(const struct rota_op *op)
{
	return op->kind == ROTA_OP_SEND || op->kind == ROTA_OP_SEND_MESSAGE;
}

/* Sends on one socket take effect in the order they were submitted, as the kernel starts them. */
static struct rota_op *first_of_its_sends(struct sim_instance *instance, struct rota_op *chosen)
{
	for (struct rota_link *link = instance->runnable.next; is_send(chosen); link = link->next) {
		struct rota_op *op = ROTA_CONTAINER_OF(link, struct rota_op, link_);

		if (is_send(op) && op->fd == chosen->fd)
			return op;
	}
	return chosen;
}

static struct rota_op *choose_runnable(struct sim_instance *instance)
{
	size_t choices = rota_min_size(instance->runnable_count, ATTEMPT_WINDOW);
	struct rota_link *link = instance->runnable.next;
	uint64_t chosen = 0;

	if (instance->world->options.reorder)
		chosen = sim__draw(instance->world, SIM_DECIDE_ATTEMPT, choices);
	while (chosen--)
		link = link->next;
	return first_of_its_sends(instance, ROTA_CONTAINER_OF(link, struct rota_op, link_));
}

/*
 * Ends: every attempt leaves a completion behind, of which there is room for SIM_PENDING_MAX, or
 * makes an operation wait.
 */
static void attempt_runnable(struct sim_instance *instance)
{
	while (instance->runnable_count && instance->pending_count < SIM_PENDING_MAX) {
		struct rota_op *op = choose_runnable(instance);

		if (op->flags_ & SIM_OP_CANCELLED)
			attempt_cancelled(instance, op);
		else
			attempt(instance, op);
	}
}

/* ---- poll and wake ---- */

bool sim__instance_has_work(const struct sim_instance *instance)
{
	return !rota_list_is_empty(&instance->submitted) ||
	       (instance->runnable_count && instance->pending_count < SIM_PENDING_MAX) ||
	       atomic_load(&instance->woken) ||
	       sim__instance_next_due(instance) <= instance->world->now;
}

/* May something still come from another engine of the world, once that one is polled? */
static bool others_may_act(const struct sim_instance *instance)
{
	const struct rota_sim_world *world = instance->world;

	for (unsigned i = 0; i < SIM_INSTANCES_MAX; i++) {
		const struct sim_instance *other = world->instances[i];

		if (other && other != instance &&
		    (sim__instance_has_work(other) || other->pending_count))
			return true;
	}
	return false;
}

static int sim_poll(struct rota_backend *self, struct rota_completion *out, unsigned out_max,
		    rota_ns deadline)
{
	struct sim_instance *instance = sim__instance_of(self);
	struct rota_sim_world *world = instance->world;

	ROTA_ASSERT(out_max > 0);
	instance->stats.polls++;
	instance->deadline = deadline;
	for (;;) {
		bool woken = atomic_exchange(&instance->woken, false);
		unsigned count;
		rota_ns next;

		start_submitted(instance);
		attempt_runnable(instance);
		count = deliver(instance, out, out_max);
		if (woken) {
			instance->stats.wakes++;
			sim__event(world, "woken", instance->index, 0);
		}
		if (count || woken || world->is_driven || deadline <= world->now)
			return (int)count;
		next = sim__instance_next_due(instance);
		next = next < deadline ? next : deadline;
		if (next == ROTA_NEVER)
			return others_may_act(instance) ? 0 : -EDEADLK;
		sim__advance_to(world, next);
	}
}

static void sim_wake(struct rota_backend *self)
{
	atomic_store(&sim__instance_of(self)->woken, true);
}

static void sim_buffer_return(struct rota_backend *self, uint16_t buffer)
{
	struct sim_instance *instance = sim__instance_of(self);
	size_t buffer_bytes = instance->buffer_bytes;

	ROTA_ASSERT(buffer < instance->buffers_count);
	ROTA_ASSERT(instance->buffer_is_out[buffer]);
	instance->buffer_is_out[buffer] = false;
	instance->free_buffers[instance->free_count++] = buffer;
	memset(instance->buffers + buffer * buffer_bytes, POISON, buffer_bytes);
}

/* ---- the rest of the table ---- */

static int sim_listen(struct rota_backend *self, const struct rota_listen_options *options)
{
	return sim__listen(sim__instance_of(self)->world, options);
}

static int sim_try_accept(struct rota_backend *self, int fd)
{
	struct rota_sim_world *world = sim__instance_of(self)->world;
	struct sim_socket *listener = sim__socket_at(world, fd);

	return listener ? sim__accept(world, listener) : -EBADF;
}

static void sim_discard(struct rota_backend *self, int fd)
{
	struct rota_sim_world *world = sim__instance_of(self)->world;
	struct sim_socket *socket = sim__socket_at(world, fd);

	ROTA_ASSERT(socket);
	sim__socket_close(world, socket);
}

static int sim_shutdown(struct rota_backend *self, int fd, int how)
{
	struct rota_sim_world *world = sim__instance_of(self)->world;
	struct sim_socket *socket = sim__socket_at(world, fd);

	return socket ? sim__shutdown(world, socket, how) : -EBADF;
}

static int sim_address(struct rota_backend *self, int fd, bool peer, struct rota_address *out)
{
	const struct sim_socket *socket = sim__socket_at(sim__instance_of(self)->world, fd);

	return socket ? sim__socket_address(socket, peer, out) : -EBADF;
}

static rota_ns sim_now(struct rota_backend *self)
{
	return sim__instance_of(self)->world->now;
}

static int64_t sim_wall_ns(struct rota_backend *self)
{
	const struct rota_sim_world *world = sim__instance_of(self)->world;

	return world->options.wall_start_ns + (world->now - ROTA_SIM_START_NS);
}

static void sim_random(struct rota_backend *self, void *out, size_t bytes)
{
	sim__random_bytes(sim__instance_of(self)->world, out, bytes);
}

static void sim_stats(const struct rota_backend *self, struct rota_backend_stats *out)
{
	const struct sim_instance *instance = ROTA_CONTAINER_OF(self, struct sim_instance, backend);

	*out = instance->stats;
	out->buffers_count = instance->buffers_count;
	out->buffer_bytes = instance->buffer_bytes;
	out->buffers_lent = instance->buffers_count - instance->free_count - instance->held_count;
}

const struct rota_backend_ops rota_backend_sim = {
	.name = "sim",
	.features = ROTA_BACKEND_SIMULATED,
	.state_bytes = sizeof(struct sim_instance),
	.probe = sim_probe,
	.open = sim_open,
	.close = sim_close,
	.submit = sim_submit,
	.cancel = sim_cancel,
	.buffer_return = sim_buffer_return,
	.poll = sim_poll,
	.wake = sim_wake,
	.pollable = rota_backend_default_pollable,
	.prepare = rota_backend_default_prepare,
	.listen = sim_listen,
	.try_accept = sim_try_accept,
	.discard = sim_discard,
	.shutdown = sim_shutdown,
	.address = sim_address,
	.now = sim_now,
	.wall_ns = sim_wall_ns,
	.random = sim_random,
	.drive = sim__drive_reactors,
	.stats = sim_stats,
};
