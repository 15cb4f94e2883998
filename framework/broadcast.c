/* SPDX-License-Identifier: MIT */
/*
 * Broadcasts: a ring of messages, and for each subscriber the number of the next one it wants. See
 * framework/line.h for how subscribers wait.
 */
#include <string.h>

#include <rota/channel.h>
#include <rota/error.h>

#include "framework/line.h"

void rota_broadcast_init(struct rota_broadcast *broadcast,
			 const struct rota_channel_options *options)
{
	ROTA_ASSERT(options->capacity > 0);
	ROTA_ASSERT(options->buffer || !options->message_bytes);
	*broadcast = (struct rota_broadcast){
		.buffer_ = options->buffer,
		.message_bytes_ = options->message_bytes,
		.capacity_ = options->capacity,
	};
	rota__line_init(&broadcast->line_, options->reach);
}

void rota_broadcast_fini(struct rota_broadcast *broadcast)
{
	rota__line_fini(&broadcast->line_);
}

static char *slot(const struct rota_broadcast *broadcast, uint64_t number)
{
	return broadcast->buffer_ + number % broadcast->capacity_ * broadcast->message_bytes_;
}

int rota_broadcast_send(struct rota_broadcast *broadcast, const void *message)
{
	int status = -ROTA_ECLOSING;

	rota__line_check(&broadcast->line_, __func__);
	rota__line_lock(&broadcast->line_);
	if (!broadcast->is_closed_) {
		if (broadcast->message_bytes_)
			memcpy(slot(broadcast, broadcast->sent_), message,
			       broadcast->message_bytes_);
		broadcast->sent_++;
		rota__line_grant_all(&broadcast->line_, 0);
		status = 0;
	}
	rota__line_unlock(&broadcast->line_);
	return status;
}

void rota_broadcast_close(struct rota_broadcast *broadcast)
{
	rota__line_check(&broadcast->line_, __func__);
	rota__line_lock(&broadcast->line_);
	broadcast->is_closed_ = true;
	rota__line_grant_all(&broadcast->line_, 0);
	rota__line_unlock(&broadcast->line_);
}

void rota_subscribe(struct rota_broadcast *broadcast, struct rota_subscription *subscription)
{
	rota__line_check(&broadcast->line_, __func__);
	rota__line_lock(&broadcast->line_);
	*subscription = (struct rota_subscription){ .broadcast_ = broadcast,
						    .next_ = broadcast->sent_ };
	rota__line_unlock(&broadcast->line_);
}

/* Locked. As rota_subscription_receive, but -EAGAIN when there is nothing yet. */
static int take(struct rota_subscription *subscription, void *message)
{
	const struct rota_broadcast *broadcast = subscription->broadcast_;
	uint64_t behind = broadcast->sent_ - subscription->next_;

	if (behind == 0)
		return broadcast->is_closed_ ? 0 : -EAGAIN;
	if (behind > broadcast->capacity_) {
		subscription->missed += behind - broadcast->capacity_;
		subscription->next_ = broadcast->sent_ - broadcast->capacity_;
		return -EOVERFLOW;
	}
	if (broadcast->message_bytes_)
		memcpy(message, slot(broadcast, subscription->next_), broadcast->message_bytes_);
	subscription->next_++;
	return 1;
}

int rota_subscription_receive(struct rota_subscription *subscription, void *message)
{
	struct rota_broadcast *broadcast = subscription->broadcast_;
	int status = rota__task_status(rota__task());

	rota__line_check(&subscription->broadcast_->line_, __func__);
	while (status == 0) {
		struct rota_waiter waiter;
		int taken;

		rota__line_lock(&broadcast->line_);
		taken = take(subscription, message);
		if (taken != -EAGAIN) {
			rota__line_unlock(&broadcast->line_);
			return taken;
		}
		rota__waiter_init(&waiter, ROTA_WAIT_BROADCAST, broadcast, rota__waiter_cancel);
		status = (int)rota__line_wait(&broadcast->line_, &waiter);
	}
	return status;
}
