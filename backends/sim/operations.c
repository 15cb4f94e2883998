/* SPDX-License-Identifier: MIT */
/*
 * Operations of a simulated engine on their way: from submit() over its lists to the completion
 * that poll() hands out. On its reactor's thread.
 *
 * The one idea: between an operation's effect and its completion lies time. What a real kernel
 * keeps in its queues is kept here, and which of the due completions comes first is drawn.
 */
#include <string.h>

#include <rota/memory.h>

#include "backends/sim/sim_internal.h"

/* How much longer the completions of a slow host are held back. */
#define SLOW_NS_MAX (20 * ROTA_NS_PER_MS)

static const char *const op_names[ROTA_OP_COUNT] = {
	[ROTA_OP_ACCEPT] = "accept",   [ROTA_OP_RECEIVE] = "receive",
	[ROTA_OP_SEND] = "send",       [ROTA_OP_SEND_MESSAGE] = "send-message",
	[ROTA_OP_CONNECT] = "connect", [ROTA_OP_POLL] = "poll",
	[ROTA_OP_CLOSE] = "close",     [ROTA_OP_CALL] = "call",
	[ROTA_OP_FILE] = "file",
};

const char *sim__op_name(unsigned kind)
{
	return kind < ROTA_OP_COUNT ? op_names[kind] : "?";
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

void sim__op_wait(struct sim_instance *instance, struct rota_op *op, struct sim_socket *socket)
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

void sim__op_submit(struct rota_backend *self, struct rota_op *op)
{
	struct sim_instance *instance = sim__instance_of(self);

	ROTA_ASSERT(op->kind < ROTA_OP_COUNT);
	ROTA_ASSERT(op->state_ == SIM_OP_IDLE);
	ROTA_ASSERT(op->kind != ROTA_OP_SEND || op->send.bytes > 0);
	op->state_ = SIM_OP_SUBMITTED;
	op->flags_ &= ROTA_OP_PATIENT;
	op->index_ = instance->index;
	op->generation_ = ++instance->world->op_serial;
	rota_list_push_back(&instance->submitted, &op->link_);
	instance->lent_count++;
	instance->stats.submitted++;
	sim__event(instance->world, op_names[op->kind], op->generation_,
		   op->kind == ROTA_OP_CONNECT ? -1 : op->fd);
}

void sim__op_cancel(struct rota_backend *self, struct rota_op *op)
{
	struct sim_instance *instance = sim__instance_of(self);

	/*
	 * Idle: its terminal completion has come out of poll(), but its owner has not been told
	 * yet.
	 */
	if (op->state_ == SIM_OP_IDLE || op->kind == ROTA_OP_CLOSE ||
	    (op->state_ == SIM_OP_ENDED && !sim__op_is_work(op)))
		return;
	ROTA_ASSERT(op->index_ == instance->index);
	sim__event(instance->world, "cancel", op->generation_, op->state_);
	op->flags_ |= SIM_OP_CANCELLED;
	op->flags_ &= (uint16_t)~ROTA_OP_PATIENT;
	if (op->state_ == SIM_OP_WAITING)
		make_runnable(instance, op);
}

void sim__ops_start(struct sim_instance *instance)
{
	while (!rota_list_is_empty(&instance->submitted)) {
		struct rota_op *op = ROTA_CONTAINER_OF(instance->submitted.next, struct rota_op,
						       link_);
		struct sim_socket *socket = NULL;

		if (op->kind != ROTA_OP_CONNECT && op->kind != ROTA_OP_CLOSE)
			socket = sim__socket_at(instance->host, op->fd);
		if (socket) {
			socket->operations++;
			op->flags_ |= SIM_OP_COUNTED;
		}
		make_runnable(instance, op);
	}
}

/* ---- completions ---- */

/* A patient send that the poll() in progress has started and ended; some of them wait. */
static bool is_late(const struct sim_instance *instance, const struct rota_completion *completion)
{
	const struct rota_op *op = completion->op;

	return op->flags_ & ROTA_OP_PATIENT && completion->result > 0 &&
	       (size_t)completion->result == op->send.bytes &&
	       (int32_t)(op->generation_ - instance->polled_serial) > 0 &&
	       sim__draw(instance->world, SIM_DECIDE_PATIENCE, 2);
}

/* Is told with others: by the poll() that started it, or the next. */
static bool is_withheld(const struct sim_pending *pending)
{
	return pending->completion.flags & ROTA_COMPLETION_LATE &&
	       pending->completion.op->flags_ & ROTA_OP_PATIENT;
}

void sim__ops_tell_late(struct sim_instance *instance)
{
	for (size_t i = 0; i < instance->pending_count; i++)
		if (is_withheld(&instance->pending[i]))
			instance->pending[i].completion.op->flags_ &= (uint16_t)~ROTA_OP_PATIENT;
}

/*
 * Keep a completion until it is due; those of one operation stay in order. Room has been checked.
 */
void sim__op_complete(struct sim_instance *instance, const struct rota_completion *completion)
{
	struct rota_sim_world *world = instance->world;
	const struct rota_sim_options *options = &world->options;
	rota_ns spread = options->delay_max_ns - options->delay_min_ns;
	rota_ns due = world->now + options->delay_min_ns +
		      (rota_ns)sim__draw(world, SIM_DECIDE_DELAY, (uint64_t)spread + 1);
	struct rota_op *op = completion->op;
	struct sim_pending *pending;

	if (sim__is_burdened(world, instance->host->index, ROTA_SIM_SLOW))
		due += (rota_ns)sim__draw(world, SIM_DECIDE_SLOW, SLOW_NS_MAX);
	for (size_t i = 0; i < instance->pending_count; i++)
		if (instance->pending[i].completion.op == op && instance->pending[i].due > due)
			due = instance->pending[i].due;
	pending = &instance->pending[instance->pending_count++];
	*pending = (struct sim_pending){ .completion = *completion, .due = due };
	if (is_late(instance, completion)) {
		pending->completion.flags |= ROTA_COMPLETION_LATE;
		pending->due = world->now;
	}
	sim__event(world, "effect", op->generation_, completion->result);
	if (!(completion->flags & ROTA_COMPLETION_MORE)) {
		unlist_runnable(instance, op);
		op->state_ = SIM_OP_ENDED;
	}
}

void sim__op_end(struct sim_instance *instance, struct rota_op *op, int result)
{
	sim__op_complete(instance, &(struct rota_completion){ .op = op, .result = result });
}

/* The operation goes back to its owner, as untouched as it came. */
static void release_op(struct sim_instance *instance, struct rota_op *op)
{
	if (op->flags_ & SIM_OP_COUNTED)
		sim__socket_at(instance->host, op->fd)->operations--;
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
	if (pending->is_late)
		out->result = sim__work_late(instance, out->op);
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

unsigned sim__ops_deliver(struct sim_instance *instance, struct rota_completion *out,
			  unsigned out_max, bool may_wait)
{
	struct rota_sim_world *world = instance->world;
	unsigned count = 0;
	uint64_t due = 0;

	if (may_wait && sim__instance_next_due(instance) > world->now)
		return 0;
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
		if (!is_withheld(&instance->pending[i]) && instance->pending[i].due < next)
			next = instance->pending[i].due;
	return next;
}
