/* SPDX-License-Identifier: MIT */
/*
 * Channels, and select over several. See framework/line.h for how tasks wait.
 *
 * A waiter that stands in several lines at once (select) carries a token. Whoever wants to hand it
 * something claims the token first, with a compare-and-swap, because two may want to on two
 * channels; a cancel claims it as well. The one that claims it decides which case happens; the
 * task, once awake, leaves the other lines. A select looks at its channels and joins their lines
 * with all of them locked, in the order of their addresses, so that it misses nothing in between
 * (as Go's runtime does); its own token needs no claim then, because nobody has seen it.
 */
#include <string.h>

#include <rota/channel.h>
#include <rota/error.h>

#include "framework/await.h"
#include "framework/line.h"

/* What a waiter that stands in several lines carries, in the selecting task's frame. */
struct rota_select_ {
	struct rota_waiter waiter; /* the one that is awaited; stands in no line */
	struct rota_select_case *cases;
	unsigned count;
	/* atomic: the case that happens plus 1, CLAIMED_BY_CANCEL, or 0: none yet */
	uint32_t claimed;
};

#define CLAIMED_BY_CANCEL UINT32_MAX

void rota_channel_init(struct rota_channel *channel, const struct rota_channel_options *options)
{
	ROTA_ASSERT(options->buffer || !options->message_bytes || !options->capacity);
	*channel = (struct rota_channel){
		.buffer_ = options->buffer,
		.message_bytes_ = options->message_bytes,
		.capacity_ = options->capacity,
	};
	rota__line_init(&channel->senders_, options->reach);
	rota_list_init(&channel->receivers_);
}

void rota_channel_fini(struct rota_channel *channel)
{
	ROTA_ASSERT(rota_list_is_empty(&channel->receivers_));
	rota__line_fini(&channel->senders_);
}

static void lock(struct rota_channel *channel)
{
	rota__line_lock(&channel->senders_);
}

static void unlock(struct rota_channel *channel)
{
	rota__line_unlock(&channel->senders_);
}

static void copy(const struct rota_channel *channel, void *to, const void *from)
{
	if (channel->message_bytes_)
		memcpy(to, from, channel->message_bytes_);
}

/* ---- meeting: all with the channel locked ---- */

/* May it be handed something? If it selects, only if no other channel has done so. */
static bool claim(struct rota_waiter *waiter)
{
	struct rota_select_ *select = waiter->select_;
	struct rota_select_case *one;
	uint32_t none = 0;

	if (!select)
		return true;
	one = ROTA_CONTAINER_OF(waiter, struct rota_select_case, waiter_);
	/* Partners: claims on other channels, cancel_select. */
	return __atomic_compare_exchange_n(&select->claimed, &none,
					   (uint32_t)(one - select->cases) + 1, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* The first of `waiters` that can be handed something; the others have gone elsewhere. */
static struct rota_waiter *claim_first(struct rota_link *waiters)
{
	struct rota_link *link;

	while ((link = rota_list_pop_front(waiters))) {
		struct rota_waiter *waiter = ROTA_CONTAINER_OF(link, struct rota_waiter, link_);

		if (claim(waiter))
			return waiter;
	}
	return NULL;
}

/* Its send or receive ends with `status`. */
static void finish(struct rota_waiter *waiter, int status)
{
	struct rota_select_ *select = waiter->select_;

	if (!select) {
		rota__line_grant(waiter, status);
		return;
	}
	ROTA_CONTAINER_OF(waiter, struct rota_select_case, waiter_)->status = status;
	rota__line_grant(&select->waiter, 0);
}

static char *slot(const struct rota_channel *channel, uint32_t place)
{
	uint32_t at = place < channel->capacity_ - channel->first_
			      ? channel->first_ + place
			      : place - (channel->capacity_ - channel->first_);

	return channel->buffer_ + (size_t)at * channel->message_bytes_;
}

/* Send if it needs no wait: 0, -ROTA_ECLOSING or -EAGAIN. */
static int send_now(struct rota_channel *channel, const void *message)
{
	struct rota_waiter *receiver;

	if (channel->is_closed_)
		return -ROTA_ECLOSING;
	receiver = claim_first(&channel->receivers_);
	if (receiver) {
		copy(channel, receiver->value_, message);
		finish(receiver, 1);
		return 0;
	}
	if (channel->count_ == channel->capacity_)
		return -EAGAIN;
	copy(channel, slot(channel, channel->count_), message);
	channel->count_++;
	return 0;
}

/* Receive if it needs no wait: 1, 0 or -EAGAIN. */
static int receive_now(struct rota_channel *channel, void *message)
{
	struct rota_waiter *sender;

	if (channel->count_) {
		copy(channel, message, slot(channel, 0));
		channel->first_ = channel->first_ + 1 == channel->capacity_ ? 0
									    : channel->first_ + 1;
		channel->count_--;
		/* There is room for the first who waits to send. */
		sender = claim_first(&channel->senders_.waiters_);
		if (sender) {
			copy(channel, slot(channel, channel->count_), sender->value_);
			channel->count_++;
			finish(sender, 0);
		}
		return 1;
	}
	sender = claim_first(&channel->senders_.waiters_);
	if (sender) {
		copy(channel, message, sender->value_);
		finish(sender, 0);
		return 1;
	}
	return channel->is_closed_ ? 0 : -EAGAIN;
}

/* ---- one channel ---- */

int rota_channel_try_send(struct rota_channel *channel, const void *message)
{
	int status;

	lock(channel);
	status = send_now(channel, message);
	unlock(channel);
	return status;
}

int rota_channel_try_receive(struct rota_channel *channel, void *message)
{
	int status;

	lock(channel);
	status = receive_now(channel, message);
	unlock(channel);
	return status;
}

/* Wait in `line` of the locked channel, which this unlocks. */
static ROTA_NOINLINE ROTA_SUSPENDS int wait_in(struct rota_channel *channel, struct rota_link *line,
					       enum rota_wait_kind kind, void *message)
{
	struct rota_waiter waiter;

	rota__waiter_init(&waiter, kind, channel, rota__waiter_cancel);
	waiter.value_ = message;
	rota_list_push_back(line, &waiter.link_);
	unlock(channel);
	return (int)rota__await(&waiter.future);
}

int rota_channel_send(struct rota_channel *channel, const void *message)
{
	int status = rota__task_status(rota__task());

	if (ROTA_UNLIKELY(status < 0))
		return status;
	lock(channel);
	status = send_now(channel, message);
	if (status == -EAGAIN)
		return wait_in(channel, &channel->senders_.waiters_, ROTA_WAIT_CHANNEL_SEND,
			       (void *)(uintptr_t)message);
	unlock(channel);
	return status;
}

int rota_channel_receive(struct rota_channel *channel, void *message)
{
	int status = rota__task_status(rota__task());

	if (ROTA_UNLIKELY(status < 0))
		return status;
	lock(channel);
	status = receive_now(channel, message);
	if (status == -EAGAIN)
		return wait_in(channel, &channel->receivers_, ROTA_WAIT_CHANNEL_RECEIVE, message);
	unlock(channel);
	return status;
}

void rota_channel_close(struct rota_channel *channel)
{
	struct rota_waiter *waiter;

	lock(channel);
	channel->is_closed_ = true;
	while ((waiter = claim_first(&channel->senders_.waiters_)))
		finish(waiter, -ROTA_ECLOSING);
	while ((waiter = claim_first(&channel->receivers_)))
		finish(waiter, 0);
	unlock(channel);
}

uint32_t rota_channel_count(struct rota_channel *channel)
{
	uint32_t count;

	lock(channel);
	count = channel->count_;
	unlock(channel);
	return count;
}

/* ---- several ---- */

/* The channels of a select, each once, in the order of their addresses. */
struct channels {
	struct rota_channel *list[ROTA_SELECT_MAX];
	unsigned count;
};

static void collect(struct channels *channels, const struct rota_select_case *cases, unsigned count)
{
	channels->count = 0;
	for (unsigned i = 0; i < count; i++) {
		struct rota_channel *channel = cases[i].channel;
		unsigned at = channels->count;

		while (at > 0 && channels->list[at - 1] > channel)
			at--;
		if (at > 0 && channels->list[at - 1] == channel)
			continue;
		memmove(&channels->list[at + 1], &channels->list[at],
			(channels->count - at) * sizeof(struct rota_channel *));
		channels->list[at] = channel;
		channels->count++;
	}
}

static void lock_all(const struct channels *channels)
{
	for (unsigned i = 0; i < channels->count; i++)
		lock(channels->list[i]);
}

static void unlock_all(const struct channels *channels)
{
	for (unsigned i = 0; i < channels->count; i++)
		unlock(channels->list[i]);
}

/* All locked. The first case that can go on has, and its index is returned; or -EAGAIN. */
static int try_cases(struct rota_select_case *cases, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct rota_select_case *one = &cases[i];

		one->status = one->kind == ROTA_SELECT_SEND
				      ? send_now(one->channel, one->message)
				      : receive_now(one->channel, one->message);
		if (one->status != -EAGAIN)
			return (int)i;
	}
	return -EAGAIN;
}

static void join_lines(struct rota_select_ *select)
{
	for (unsigned i = 0; i < select->count; i++) {
		struct rota_select_case *one = &select->cases[i];
		bool is_send = one->kind == ROTA_SELECT_SEND;

		rota__waiter_init(&one->waiter_,
				  is_send ? ROTA_WAIT_CHANNEL_SEND : ROTA_WAIT_CHANNEL_RECEIVE,
				  one->channel, NULL);
		one->waiter_.value_ = one->message;
		one->waiter_.select_ = select;
		rota_list_push_back(is_send ? &one->channel->senders_.waiters_
					    : &one->channel->receivers_,
				    &one->waiter_.link_);
	}
}

static void leave_lines(struct rota_select_ *select)
{
	for (unsigned i = 0; i < select->count; i++) {
		struct rota_select_case *one = &select->cases[i];

		rota__line_leave(&one->channel->senders_, &one->waiter_);
	}
}

static void cancel_select(struct rota_future *future)
{
	struct rota_select_ *select = ROTA_CONTAINER_OF(future, struct rota_select_, waiter.future);
	uint32_t none = 0;

	/* Partner: claim. Whoever was first completes the future. */
	if (__atomic_compare_exchange_n(&select->claimed, &none, CLAIMED_BY_CANCEL, false,
					__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		rota_future_complete(future, -ECANCELED);
}

static ROTA_NOINLINE ROTA_SUSPENDS int wait_for_one(struct rota_select_case *cases, unsigned count,
						    const struct channels *channels)
{
	struct rota_select_ select = { .cases = cases, .count = count };
	int status;

	rota__waiter_init(&select.waiter, ROTA_WAIT_CHANNEL_RECEIVE, cases[0].channel,
			  cancel_select);
	join_lines(&select);
	unlock_all(channels);
	status = (int)rota__await(&select.waiter.future);
	leave_lines(&select);
	return status < 0 ? status : (int)select.claimed - 1;
}

int rota_select(struct rota_select_case *cases, unsigned count)
{
	int status = rota__task_status(rota__task());
	struct channels channels;

	ROTA_ASSERT(count > 0);
	ROTA_ASSERT(count <= ROTA_SELECT_MAX);
	if (status < 0)
		return status;
	collect(&channels, cases, count);
	lock_all(&channels);
	status = try_cases(cases, count);
	if (status == -EAGAIN)
		return wait_for_one(cases, count, &channels);
	unlock_all(&channels);
	return status;
}

int rota_try_select(struct rota_select_case *cases, unsigned count)
{
	struct channels channels;
	int status;

	ROTA_ASSERT(count > 0);
	ROTA_ASSERT(count <= ROTA_SELECT_MAX);
	collect(&channels, cases, count);
	lock_all(&channels);
	status = try_cases(cases, count);
	unlock_all(&channels);
	return status;
}
