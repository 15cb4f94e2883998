/* SPDX-License-Identifier: MIT */
/*
 * One request being executed: what a command's function is given, and the few things all of them
 * do: lock, reply, wait. Application layer of rota-kv; on the session's reactor.
 *
 * The one idea: a command takes its locks first, and only then changes or writes anything. If they
 * are refused it returns -EAGAIN, and execute.c repeats it when the wait is over; no command knows
 * how waiting is done.
 */
#ifndef KV_CALL_H
#define KV_CALL_H

#include <rota/future.h>
#include <rota/mailbox.h>

#include "apps/kv/command.h"
#include "apps/kv/kv.h"

/* A parking whose wake-up, on whatever thread, completes a future here. */
struct kv_wait {
	struct kv_parking parking;
	struct rota_future woken;
	struct rota_message message; /* carries the wake-up home */
	struct rota_reactor *home;
	bool is_gate; /* queued at the gate, not on a shard */
};

/* One batch, and in it the request whose turn it is. */
struct kv_call {
	/* the request */
	const struct kv_command *command;
	const struct rota_view *args;
	uint32_t count;
	const struct kv_key *key; /* the first key, hashed; NULL when the command names none */

	/* the batch */
	struct kv_access access; /* access.database is the client's */
	struct kv_client *client;
	struct rota_session *session;
	struct rota_output *output;
	struct kv_wait *wait;
	int version;   /* of the protocol */
	bool is_alone; /* behind the closed gate: locks are neither needed nor allowed */
	struct kv_garbage garbage;
};

static inline struct kv_server *kv_call_server(const struct kv_call *call)
{
	return call->client->local->server;
}

/* ---- locks ---- */

/* Lock the first key. Returns 0 or -EAGAIN, which the command returns. */
ROTA_MUST_USE static inline int kv_call_lock(struct kv_call *call)
{
	if (ROTA_UNLIKELY(call->is_alone))
		return 0;
	return kv_lock(call->access.store, call->key, &call->wait->parking);
}

static inline void kv_call_unlock(struct kv_call *call)
{
	if (ROTA_LIKELY(!call->is_alone))
		kv_unlock(call->access.store, call->key);
}

#define KV_KEYS_INLINE 16

/* The keys of a command that has several, hashed, and their locks. */
struct kv_keys {
	struct kv_key *keys;
	uint32_t count;
	struct kv_lock_set locks;
	struct kv_key inline_[KV_KEYS_INLINE];
};

/*
 * Hash the keys of the request (arguments first, first + step, … up to `last`), prefetch and lock
 * them. Returns 0: kv_call_unlock_keys follows; -EAGAIN; or -ENOMEM.
 */
ROTA_MUST_USE int kv_call_lock_keys(struct kv_call *call, struct kv_keys *keys, uint32_t first,
				    uint32_t last, uint32_t step);
void kv_call_unlock_keys(struct kv_call *call, struct kv_keys *keys);

/* ---- waiting; used by execute.c and by commands that suspend ---- */

void kv_wait_init(struct kv_wait *wait);

/*
 * Wait until what was refused can be tried again. Returns 0, or -ECANCELED / -ETIMEDOUT when the
 * session is over; nothing is queued any more in either case. Suspends.
 */
ROTA_MUST_USE ROTA_SUSPENDS int kv_wait_for(struct kv_store *store, struct kv_wait *wait);

/* Stop waiting. May suspend, when the wake-up is on its way. */
ROTA_SUSPENDS void kv_wait_withdraw(struct kv_store *store, struct kv_wait *wait);

/*
 * Close the gate and wait until everybody is out. Returns 0: kv_gate_open follows; or as
 * kv_wait_for. Suspends. Outside the gate.
 */
ROTA_MUST_USE ROTA_SUSPENDS int kv_close_gate(struct kv_store *store, struct kv_wait *wait);

/* ---- replies ---- */

/* Always return 0, so that `return kv_reply_…(…)` ends a command. */
int kv_reply_ok(struct kv_call *call);
int kv_reply_integer(struct kv_call *call, int64_t value);
int kv_reply_null(struct kv_call *call);
int kv_reply_bulk(struct kv_call *call, struct rota_view data);
int kv_reply_error(struct kv_call *call, const char *text);
int kv_reply_errorf(struct kv_call *call, const char *format, ...) ROTA_PRINTF(2, 3);

/* The words for what the store returned. */
int kv_reply_status(struct kv_call *call, int64_t status);

/* "ERR wrong number of arguments for 'x' command". */
int kv_reply_arity(struct kv_call *call);

/* A string's value, large ones by reference; an absent entry (NULL) is null. Under its lock. */
int kv_reply_entry(struct kv_call *call, const struct kv_entry *entry);

/* Errors that many commands give. */
#define KV_ERR_SYNTAX "ERR syntax error"
#define KV_ERR_INTEGER "ERR value is not an integer or out of range"
#define KV_ERR_TYPE "WRONGTYPE Operation against a key holding the wrong kind of value"
#define KV_ERR_TOO_BIG "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
#define KV_ERR_DB_RANGE "ERR DB index is out of range"
#define KV_ERR_NO_KEY "ERR no such key"
#define KV_ERR_MEMORY "OOM no memory for this command"

/* ---- arguments ---- */

/* Whether an argument is this word, in whatever case. */
bool kv_is_word(struct rota_view argument, const char *word);

/* An argument that must be an integer. False: the error has been replied. */
bool kv_call_integer(struct kv_call *call, uint32_t index, int64_t *out);

/* An argument that must name a database. False: the error has been replied. */
bool kv_call_database(struct kv_call *call, uint32_t index, uint32_t *out);

#endif /* KV_CALL_H */
