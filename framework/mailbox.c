/* SPDX-License-Identifier: MIT */
/*
 * Messages and calls between reactors. Every message is linked into its receiver's inbox, a stack
 * pushed with one compare-and-swap (R. K. Treiber, "Systems Programming: Coping with Parallelism",
 * IBM RJ 5118, 1986) and taken whole with one exchange, so there is no ABA problem; reversing it
 * restores the order of arrival. A reactor gathers what it sends to another during a turn and
 * pushes the chain at once.
 *
 * Sleeping and waking need a store-load fence on both sides; modelled with store buffers in
 * docs/design/mailbox.pml.
 */
#include <sched.h>

#include <rota/error.h>

#include "framework/await.h"
#include "framework/reactor_internal.h"

static void push_chain(struct rota_reactor *to, struct rota_message *first,
		       struct rota_message *last);

/* ---- sending ---- */

void rota_post(struct rota_reactor *to, struct rota_message *message)
{
	struct rota_reactor *from = rota__current_reactor;
	struct outbox *outbox;

	message->next_ = NULL;
	if (!from) {
		push_chain(to, message, message);
		return;
	}
	rota__record(from, ROTA_RECORD_POST,
		     (uint64_t)to->slot << ROTA_RECORD_ID_BITS | RECORD_KEY(message, 40));
	outbox = &from->outboxes[to->slot];
	if (outbox->last)
		outbox->last->next_ = message;
	else
		outbox->first = message;
	outbox->last = message;
	from->outboxes_dirty[to->slot / 64] |= UINT64_C(1) << (to->slot % 64);
	from->has_outgoing = true;
}

/*
 * The chain from `first` is in sending order; the inbox holds the newest first. Returns the
 * reversed chain's new last.
 */
static struct rota_message *reverse(struct rota_message *first)
{
	struct rota_message *reversed = NULL;

	while (first) {
		struct rota_message *next = first->next_;

		first->next_ = reversed;
		reversed = first;
		first = next;
	}
	return reversed;
}

/*
 * Put a chain, newest first from `first` to `last`, into the inbox and wake the receiver if it
 * sleeps.
 */
static void push_chain(struct rota_reactor *to, struct rota_message *first,
		       struct rota_message *last)
{
	struct mailbox *mailbox = &to->mailbox;
	struct rota_message *head = __atomic_load_n(&mailbox->inbox, __ATOMIC_RELAXED);

	/* Whoever sees the push sees this as well: rota__mailbox_wait_for_senders. */
	__atomic_fetch_add(&mailbox->senders, 1, __ATOMIC_RELAXED);
	do
		last->next_ = head;
	while (!__atomic_compare_exchange_n(&mailbox->inbox, &head, first, true,
					    __ATOMIC_SEQ_CST, /* partner: rota__mailbox_may_sleep */
					    __ATOMIC_RELAXED));
	/*
	 * Our push comes before this load (both seq_cst), its store of is_sleeping before its look
	 * into the inbox: one of us sees the other. The exchange lets only one sender per sleep pay
	 * for a wake-up.
	 */
	if (__atomic_load_n(&mailbox->is_sleeping, __ATOMIC_SEQ_CST) &&
	    __atomic_exchange_n(&mailbox->is_sleeping, 0, __ATOMIC_SEQ_CST))
		to->engine->wake(to->backend);
	/* Our last touch of `to`. Partner: rota__mailbox_wait_for_senders. */
	__atomic_fetch_sub(&mailbox->senders, 1, __ATOMIC_RELEASE);
}

void rota__mailbox_flush(struct rota_reactor *reactor)
{
	reactor->has_outgoing = false;
	for (unsigned word = 0; word < ROTA_ARRAY_COUNT(reactor->outboxes_dirty); word++) {
		while (reactor->outboxes_dirty[word]) {
			unsigned slot = word * 64 +
					(unsigned)__builtin_ctzll(reactor->outboxes_dirty[word]);
			struct outbox *outbox = &reactor->outboxes[slot];
			struct rota_message *oldest = outbox->first;

			reactor->outboxes_dirty[word] &= reactor->outboxes_dirty[word] - 1;
			outbox->first = NULL;
			outbox->last = NULL;
			push_chain(rota__reactors[slot], reverse(oldest), oldest);
		}
	}
}

/* ---- receiving ---- */

unsigned rota__mailbox_take_all(struct rota_reactor *reactor)
{
	struct rota_message *message = reverse(__atomic_exchange_n(
		&reactor->mailbox.inbox, NULL, __ATOMIC_ACQUIRE)); /* partner: push_chain */
	unsigned count = 0;

	while (message) {
		struct rota_message *next = message->next_;

		count++;
		rota__record(reactor, ROTA_RECORD_TAKE, RECORD_KEY(message, 40));
		message->run(message);
		message = next;
	}
	reactor->stats.messages += count;
	return count;
}

bool rota__mailbox_may_sleep(struct rota_reactor *reactor)
{
	struct mailbox *mailbox = &reactor->mailbox;

	__atomic_store_n(&mailbox->is_sleeping, 1, __ATOMIC_SEQ_CST); /* partner: push_chain */
	if (!__atomic_load_n(&mailbox->inbox, __ATOMIC_SEQ_CST))
		return true;
	__atomic_store_n(&mailbox->is_sleeping, 0, __ATOMIC_RELAXED);
	return false;
}

void rota__mailbox_wait_for_senders(struct rota_reactor *reactor)
{
	/*
	 * A foreign loop may have waited last. Of this exchange and push_chain's one is first: no
	 * sender finds it set after ours, and who found it set before is counted.
	 */
	rota_ignore(__atomic_exchange_n(&reactor->mailbox.is_sleeping, 0, __ATOMIC_ACQ_REL),
		    "nobody waits any more");
	/*
	 * A few instructions of theirs, so there is nothing better to wait on. Partner: push_chain.
	 */
	while (__atomic_load_n(&reactor->mailbox.senders, __ATOMIC_ACQUIRE))
		sched_yield();
}

/* ---- calls ---- */

/*
 * Back on the caller's reactor: done, unless the message that cancels is still under way in the
 * same memory.
 */
static void call_finish(struct rota_call *call)
{
	if (!call->returned_ || call->cancel_in_flight_)
		return;
	rota__frame_return(call->lender_);
	rota_future_complete(&call->future, call->result_);
}

static void call_returned(struct rota_message *message)
{
	struct rota_call *call = ROTA_CONTAINER_OF(message, struct rota_call, message_);

	call->returned_ = true;
	call_finish(call);
}

static void call_return(struct rota_call *call)
{
	call->message_.run = call_returned;
	rota_post(call->from_, &call->message_);
}

/*
 * The caller's deadline was ours as well, so if it has passed, that is why, whether the caller's
 * timer fires first or ours.
 */
static void cancel_callee(struct rota_call *call)
{
	struct rota_cancel_reason reason = { .kind = ROTA_CANCEL_BY_HAND,
					     .error = -ECANCELED,
					     .why = "the caller was cancelled",
					     .site = call->site_,
					     .because_ = rota__reasons_unpack(
						     rota__reactor(), call->reasons_,
						     ROTA_ARRAY_COUNT(call->reasons_)) };

	if (call->deadline_ <= rota_now()) {
		reason.kind = ROTA_CANCEL_DEADLINE;
		reason.error = -ETIMEDOUT;
		reason.why = "the caller's deadline passed";
	}
	rota__scope_cancel(rota__reactor(), call->scope_, &reason);
}

/* Why the function failed, if it is known: the caller will fail because of that. */
static ROTA_NOINLINE void note_failure(struct rota_call *call)
{
	struct rota_task *task = rota__task();
	uint64_t id = rota__reason_of_failure(task->reactor, task, call->result_);

	rota__reasons_pack(task->reactor, rota__reason_find(task->reactor, id), &call->failed_, 1);
}

/* The callee's task: its last act is to send the call back. */
static int64_t call_task(void *arg)
{
	struct rota_call *call = arg;
	struct rota_scope scope;

	rota_scope_open_at(&scope, call->deadline_, call->site_);
	call->scope_ = &scope;
	if (call->cancel_arrived_)
		cancel_callee(call);
	call->result_ = call->fn_(call->arg_);
	if (ROTA_UNLIKELY(call->result_ < 0))
		note_failure(call);
	call->scope_ = NULL;
	rota_ignore(rota_scope_close(&scope), "the function's own result goes back");
	call_return(call);
	return 0;
}

static void call_arrived(struct rota_message *message)
{
	struct rota_call *call = ROTA_CONTAINER_OF(message, struct rota_call, message_);
	struct rota_reactor *reactor = rota__reactor();
	int status = -ROTA_ECLOSING;

	if (!reactor->is_stopping)
		status = rota__task_create(reactor, &reactor->root, call_task, call, NULL,
					   call->site_, NULL);
	if (status < 0) {
		call->result_ = status;
		call_return(call);
	}
}

static void call_cancel_returned(struct rota_message *message)
{
	struct rota_call *call = ROTA_CONTAINER_OF(message, struct rota_call, cancel_message_);

	call->cancel_in_flight_ = false;
	call_finish(call);
}

/*
 * On the callee's reactor. Messages between two reactors arrive in order, so the call has arrived
 * before. Without a scope its task has not run yet, and will find the mark, or has ended.
 */
static void call_cancel_arrived(struct rota_message *message)
{
	struct rota_call *call = ROTA_CONTAINER_OF(message, struct rota_call, cancel_message_);

	call->cancel_arrived_ = true;
	if (call->scope_)
		cancel_callee(call);
	message->run = call_cancel_returned;
	rota_post(call->from_, message);
}

/* Asked by the one who awaits it, or by the sweep that has come to one who does. */
static const struct rota_cancel_reason *why_cancelled(const struct rota_call *call)
{
	const struct rota_task *task = call->from_->current;

	if (!task && call->future.waits_)
		task = call->future.waits_->set->task;
	return task ? rota__task_why(task) : NULL;
}

static void call_cancel(struct rota_future *future)
{
	struct rota_call *call = ROTA_CONTAINER_OF(future, struct rota_call, future);

	if (call->cancel_asked_ || call->returned_)
		return;
	call->cancel_asked_ = true;
	call->cancel_in_flight_ = true;
	rota__reasons_pack(call->from_, why_cancelled(call), call->reasons_,
			   ROTA_ARRAY_COUNT(call->reasons_));
	call->cancel_message_.run = call_cancel_arrived;
	rota_post(call->to_, &call->cancel_message_);
}

void rota_call_start_at(struct rota_call *call, struct rota_reactor *to, rota_task_fn fn, void *arg,
			const struct rota_site *site)
{
	/* Not all of it: the reasons are written when it is cancelled. */
	call->from_ = rota__reactor();
	call->to_ = to;
	call->fn_ = fn;
	call->arg_ = arg;
	call->deadline_ = rota_deadline();
	call->site_ = site;
	call->lender_ = rota__frame_lend(call);
	call->scope_ = NULL;
	call->result_ = -ECANCELED;
	call->failed_.kind = ROTA_CANCEL_NONE;
	call->cancel_asked_ = false;
	call->cancel_in_flight_ = false;
	call->returned_ = false;
	call->cancel_arrived_ = false;
	rota_future_init(&call->future);
	call->future.cancel_ = call_cancel;
	call->future.kind_ = ROTA_WAIT_CALL;
	call->message_.run = call_arrived;
	rota_post(to, &call->message_);
}

int64_t rota_call_on_at(struct rota_reactor *to, rota_task_fn fn, void *arg,
			const struct rota_site *site)
{
	struct rota_call call;
	int64_t result;
	int status = rota_check_cancelled();

	if (status < 0)
		return status;
	rota_call_start_at(&call, to, fn, arg, site);
	result = rota__await(&call.future);
	if (ROTA_UNLIKELY(result < 0 && call.failed_.kind != ROTA_CANCEL_NONE))
		rota__task()->because = rota__reasons_unpack(rota__reactor(), &call.failed_, 1);
	return result;
}
