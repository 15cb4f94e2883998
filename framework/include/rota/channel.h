/* SPDX-License-Identifier: MIT */
/*
 * Channels: bounded queues of messages between tasks, of one reactor or of several; and broadcasts,
 * where everybody gets everything. Both are the caller's memory and need no allocation; messages
 * are values of one size, copied in and out.
 *
 * The one idea: a send and a receive meet under the channel's lock, so a message is at any time
 * with its sender, in the buffer, or with its receiver, whatever is cancelled meanwhile: a send
 * that returns 0 was taken, a send that returns an error was not, and a receive that is cancelled
 * has taken nothing. First come, first served on both sides.
 */
#ifndef ROTA_CHANNEL_H
#define ROTA_CHANNEL_H

#include <rota/base.h>
#include <rota/sync.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- channels ---- */

/*
 * Immovable between init and fini. Buffered messages are a ring of `capacity` in the caller's
 * memory.
 */
struct rota_channel {
	struct rota_line senders_; /* its lock is the channel's */
	struct rota_link receivers_;
	char *buffer_;
	uint32_t message_bytes_;
	uint32_t capacity_;
	uint32_t first_; /* of the buffered ones: the oldest */
	uint32_t count_;
	bool is_closed_;
};

struct rota_channel_options {
	enum rota_reach reach;
	uint32_t message_bytes; /* of each message, 0 or more */
	/* messages it holds that nobody has received; 0: a send waits until it is received */
	uint32_t capacity;
	/* capacity × message_bytes, lent until rota_channel_fini; NULL if that is 0 */
	void *buffer;
};

/* An open, empty channel. `options` are borrowed. */
ROTA_API void rota_channel_init(struct rota_channel *channel,
				const struct rota_channel_options *options);

/* Nobody waits (asserted). Messages not received are dropped. */
ROTA_API void rota_channel_fini(struct rota_channel *channel);

/*
 * Send a copy of `message` (message_bytes, lent until this returns).
 * Returns   0: it is in the buffer, or received; -ROTA_ECLOSING: the channel is closed, it was not
 *           sent; -ECANCELED / -ETIMEDOUT: not sent.
 * Suspends  while the buffer is full.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_channel_send(struct rota_channel *channel,
							   const void *message);

/*
 * Receive the oldest message into `message` (message_bytes, lent until this returns):
 *
 *	while ((status = rota_channel_receive(&channel, &message)) > 0)
 *
 * Returns   1, or 0 once the channel is closed and all messages have been received; -ECANCELED /
 *           -ETIMEDOUT: none was taken.
 * Suspends  while there is none.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_channel_receive(struct rota_channel *channel,
							      void *message);

/*
 * The same without waiting: -EAGAIN instead. Any thread, if the channel is shared. They honour no
 * cancellation.
 */
ROTA_API ROTA_MUST_USE int rota_channel_try_send(struct rota_channel *channel, const void *message);
ROTA_API ROTA_MUST_USE int rota_channel_try_receive(struct rota_channel *channel, void *message);

/*
 * No more messages: who waits to send gets -ROTA_ECLOSING, who waits to receive, 0. What is
 * buffered can be received still. Closing again changes nothing. Never suspends. Any thread, if
 * shared.
 */
ROTA_API void rota_channel_close(struct rota_channel *channel);

/* Messages in the buffer now; others may be at it. Any thread, if shared. */
ROTA_API uint32_t rota_channel_count(struct rota_channel *channel);

/* ---- select ---- */

/* Alternatives of one select. */
#define ROTA_SELECT_MAX 16

enum rota_select_kind { ROTA_SELECT_RECEIVE, ROTA_SELECT_SEND };

struct rota_select_case {
	/* caller sets */
	enum rota_select_kind kind;
	struct rota_channel *channel;
	void *message; /* where it goes, or what is sent; lent until select returns */
	/* read-only, of the one that happened */
	int status; /* as of rota_channel_receive or rota_channel_send */
	/* private */
	struct rota_waiter waiter_;
};

/*
 * Send or receive on exactly one of several channels: the first of `cases` that can go on now, or
 * else the first that can later. A closed channel can go on: its status says so. Once more than one
 * is ready the order of `cases` decides, so a program puts first what matters most.
 *
 * count     1 to ROTA_SELECT_MAX (asserted). A channel may stand there more than once.
 * Returns   the index of the case that happened, whose `status` is set; -ECANCELED / -ETIMEDOUT:
 *           none has happened.
 * Suspends  while none can go on.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_select(struct rota_select_case *cases,
						     unsigned count);

/* The same without waiting: -EAGAIN when none can go on. Thread: a task's. */
ROTA_API ROTA_MUST_USE int rota_try_select(struct rota_select_case *cases, unsigned count);

/* ---- broadcasts ---- */

/*
 * Every subscriber gets every message sent after it subscribed. The last `capacity` messages are
 * kept; a sender never waits, so a subscriber that is further behind has missed some, and is told.
 */
struct rota_broadcast {
	struct rota_line line_; /* of subscribers that wait */
	char *buffer_;
	uint32_t message_bytes_;
	uint32_t capacity_;
	uint64_t sent_;
	bool is_closed_;
};

/* One reader's place. Caller's memory; needs no end. */
struct rota_subscription {
	/* read-only */
	uint64_t missed; /* messages, in all */
	/* private */
	struct rota_broadcast *broadcast_;
	uint64_t next_;
};

/* `options` as for a channel; capacity at least 1 (asserted). */
ROTA_API void rota_broadcast_init(struct rota_broadcast *broadcast,
				  const struct rota_channel_options *options);

/* Nobody waits (asserted). */
ROTA_API void rota_broadcast_fini(struct rota_broadcast *broadcast);

/* Returns 0, or -ROTA_ECLOSING when it is closed. Never suspends. Any thread, if shared. */
ROTA_API ROTA_MUST_USE int rota_broadcast_send(struct rota_broadcast *broadcast,
					       const void *message);

/* No more messages. Closing again changes nothing. Never suspends. Any thread, if shared. */
ROTA_API void rota_broadcast_close(struct rota_broadcast *broadcast);

/* From now on. The subscription is one task's at a time. */
ROTA_API void rota_subscribe(struct rota_broadcast *broadcast,
			     struct rota_subscription *subscription);

/*
 * The next message, copied to `message`.
 * Returns   1; 0 once it is closed and all has been received; -EOVERFLOW: some were missed,
 *           `missed` has grown by their number, and the next call goes on with the oldest that is
 *           kept; -ECANCELED / -ETIMEDOUT.
 * Suspends  while there is none.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_subscription_receive(
	struct rota_subscription *subscription, void *message);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_CHANNEL_H */
