/* SPDX-License-Identifier: MIT */
/*
 * What an operation does when its engine tries it. On its reactor's thread.
 *
 * The one idea: an attempt either has an effect, which leaves a completion behind, or makes the
 * operation wait for a change of its socket. Which of the runnable ones is tried next, and whether
 * a cancel still meets one at work, are seeded choices.
 */
#include <errno.h>
#include <poll.h>
#include <sys/uio.h>

#include <rota/log.h>

#include "backends/sim/sim_internal.h"

/*
 * Operations near the head of the line among which the next attempt is drawn: keeps a choice O(1)
 * with many waiting.
 */
#define ATTEMPT_WINDOW 16

/* ---- attempts ---- */

/*
 * A stream operation got something: it goes on, and waits if there is no more for now; not if it is
 * to end.
 */
static void complete_and_go_on(struct sim_instance *instance, struct sim_socket *socket,
			       struct rota_completion *completion)
{
	completion->flags |= ROTA_COMPLETION_MORE;
	sim__op_complete(instance, completion);
	if (!sim__is_readable(socket) && !(completion->op->flags_ & SIM_OP_CANCELLED))
		sim__op_wait(instance, completion->op, socket);
}

static int attempt_accept(struct sim_instance *instance, struct rota_op *op,
			  struct sim_socket *socket)
{
	struct rota_completion completion = { .op = op };
	int fd = sim__accept(socket);

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
	if (instance->free_count == instance->buffers_count)
		return false;
	if (sim__is_burdened(world, instance->host->index, ROTA_SIM_STARVE) &&
	    sim__chance(world, SIM_DECIDE_STARVE, 500))
		return true;
	return sim__chance(world, SIM_DECIDE_NO_BUFFERS, world->options.no_buffers_permille);
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
		sim__op_complete(instance, &completion);
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

static void attempt_work(struct sim_instance *instance, struct rota_op *op)
{
	rota_ns time = sim__work_ns(instance->world);
	bool is_late = sim__work_is_late(instance->world);
	struct sim_pending *pending;

	sim__op_end(instance, op, is_late ? 0 : sim__work(instance, op));
	pending = &instance->pending[instance->pending_count - 1];
	pending->due += time;
	pending->is_late = is_late;
}

static void end_cancelled(struct sim_instance *instance, struct rota_op *op)
{
	if (op->kind == ROTA_OP_CONNECT)
		sim__connect_abandon(instance->host, op);
	sim__op_end(instance, op, -ECANCELED);
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

	if (sim__op_is_work(op)) {
		attempt_work(instance, op);
		return;
	}
	if (op->kind == ROTA_OP_CONNECT)
		result = sim__connect(instance->host, op, &socket);
	else if (!(socket = sim__socket_at(instance->host, op->fd)))
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
		sim__op_end(instance, op, result);
	else if (op->flags_ & SIM_OP_CANCELLED)
		end_cancelled(instance, op);
	else
		sim__op_wait(instance, op, socket);
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
		end_cancelled(instance, op);
}

/* Closing cannot fail in a way that anybody may rely on. */
static bool is_to_fail(const struct sim_instance *instance, const struct rota_op *op)
{
	struct rota_sim_world *world = instance->world;

	if (rota_op_closes(op))
		return false;
	return ++world->attempts == world->options.fail_attempt ||
	       sim__is_out_of_memory(world, instance->host->index);
}

static void fail(struct sim_instance *instance, struct rota_op *op)
{
	sim__event(instance->world, "fail", op->generation_, op->kind);
	if (op->kind == ROTA_OP_CONNECT)
		sim__connect_abandon(instance->host, op);
	sim__op_end(instance, op, -ENOMEM);
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
void sim__ops_attempt(struct sim_instance *instance)
{
	while (instance->runnable_count && instance->pending_count < SIM_PENDING_MAX) {
		struct rota_op *op = choose_runnable(instance);

		if (op->flags_ & SIM_OP_CANCELLED)
			attempt_cancelled(instance, op);
		else if (is_to_fail(instance, op))
			fail(instance, op);
		else
			attempt(instance, op);
	}
}
