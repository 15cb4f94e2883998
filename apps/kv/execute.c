/* SPDX-License-Identifier: MIT */
/*
 * Executing batches of requests. Application layer of rota-kv; on the session's reactor.
 *
 * The one idea: look up and hash for the whole batch, prefetch, then execute in order in one pass
 * of the gate. That path never suspends, so the requests' views stay good. What has to wait is
 * taken out of it: its arguments are copied, the pass ends, and when the request is done the batch
 * ends too; the rest is parsed again.
 */
#include "apps/kv/execute.h"

#include <ctype.h>
#include <stdio.h>

#include <rota/log.h>
#include <rota/memory.h>

#include "apps/kv/call.h"

/* Refused so often, a request with several keys waits for the gate instead and then runs alone. */
#define REFUSALS_MAX 8

/*
 * Sessions whose keys are fetched together. A guess: more would not fit the processor's miss
 * buffers, fewer wait more often (docs/design/0023-key-value-race.md).
 */
#define FETCHED_SESSIONS 8

enum verdict {
	VERDICT_RUN,
	VERDICT_UNKNOWN,
	VERDICT_UNKNOWN_SUBCOMMAND,
	VERDICT_ARITY,
	VERDICT_NO_AUTH,
};

#define NO_KEY UINT8_MAX

/* What is known of a request before the first is executed. */
struct plan {
	const struct kv_command *command; /* NULL: unknown */
	uint8_t verdict;                  /* enum verdict */
	uint8_t key;                      /* index among the batch's keys, or NO_KEY */
	/*
	 * To be run, with a key, and without suspending: inside the gate nothing else is to be
	 * asked.
	 */
	bool is_plain;
};

struct batch {
	struct kv_call call;
	struct kv_wait wait;
	const struct rota_resp_request *requests;
	int count;
	bool is_inside; /* the gate */
	bool is_parked; /* refused by the gate, and queued */
	struct plan plans[ROTA_RESP_BATCH_MAX];
	unsigned keys_count;
	struct kv_key keys[ROTA_RESP_BATCH_MAX];
};

_Static_assert(FETCHED_SESSIONS <= ROTA_RESP_BATCH_MAX, "their keys fit a batch's");

static void begin(struct batch *batch, struct rota_session *session);
static void plan_all(struct batch *batch);
static void enter(struct batch *batch);
static void leave(struct batch *batch);
static void fetch_keys(struct batch *batch);
static void reject(struct kv_call *call, const struct plan *plan);
static int execute_apart(struct batch *batch, const struct plan *plan, int index);

/* Whether a command needs the gate. */
static inline bool needs_gate(const struct kv_command *command)
{
	return command->first_key || command->flags & KV_WALKS;
}

/* Enter the gate if need be. True when the command cannot be tried inside this batch. */
static bool must_wait(struct batch *batch, const struct kv_command *command)
{
	if (command->flags & KV_SUSPENDS)
		return true;
	if (!needs_gate(command))
		return false;
	if (!batch->is_inside && !batch->is_parked)
		enter(batch);
	return batch->is_parked;
}

int kv_execute(struct rota_session *session, const struct rota_resp_request *requests, int count)
{
	struct batch batch;
	struct kv_call *call = &batch.call;
	int i = 0;

	batch.requests = requests;
	batch.count = count;
	begin(&batch, session);
	plan_all(&batch);
	if (batch.keys_count)
		enter(&batch);
	if (batch.is_inside)
		fetch_keys(&batch);
	do {
		const struct plan *plan = &batch.plans[i];

		call->command = plan->command;
		call->args = requests[i].args;
		call->count = requests[i].count;
		if (ROTA_LIKELY(plan->is_plain && batch.is_inside)) {
			call->key = &batch.keys[plan->key];
		} else if (plan->verdict != VERDICT_RUN) {
			reject(call, plan);
			continue;
		} else {
			call->key = plan->key == NO_KEY ? NULL : &batch.keys[plan->key];
			if (must_wait(&batch, plan->command))
				return execute_apart(&batch, plan, i);
		}
		if (ROTA_UNLIKELY(plan->command->run(call) == -EAGAIN))
			return execute_apart(&batch, plan, i);
	} while (++i < count && !call->client->ends_batch && !rota_session_is_full(session));
	kv_client_set_command(call->client, call->command);
	kv_count(&call->client->local->counters.requests, (uint64_t)i);
	leave(&batch);
	return i;
}

static void begin(struct batch *batch, struct rota_session *session)
{
	struct kv_call *call = &batch->call;
	struct kv_client *client = kv_client_of(session);
	struct kv_server *server = client->local->server;

	client->ends_batch = false;
	call->client = client;
	call->session = session;
	call->output = rota_session_output(session);
	call->version = rota_resp_session_version(session);
	call->is_alone = false;
	call->access.store = server->store;
	call->access.reactor = client->local->index;
	call->access.database = client->database;
	call->access.now_ms = rota_wall_ns() / ROTA_NS_PER_MS;
	call->access.garbage = &call->garbage;
	call->wait = &batch->wait;
	kv_garbage_init(&call->garbage);
	kv_wait_init(&batch->wait);
	client->active_s = (uint32_t)(call->access.now_ms / 1000 - server->started_wall_ms / 1000);
	batch->is_inside = false;
	batch->is_parked = false;
	batch->keys_count = 0;
}

/* ---- before the first is executed ---- */

static enum verdict judge(const struct kv_client *client, const struct rota_resp_request *request,
			  const struct kv_command **command)
{
	const struct kv_command *found = kv_command_find(request->args[0]);
	const struct kv_command *child;
	unsigned children;

	*command = found;
	if (ROTA_UNLIKELY(!found))
		return VERDICT_UNKNOWN;
	if (ROTA_UNLIKELY(!found->first_key) && request->count > 1 &&
	    kv_command_children(found, &children)) {
		child = kv_subcommand_find(found, request->args[1]);
		if (!child)
			return VERDICT_UNKNOWN_SUBCOMMAND;
		*command = child;
	}
	if (ROTA_UNLIKELY(!kv_command_accepts(*command, request->count)))
		return VERDICT_ARITY;
	if (ROTA_UNLIKELY(!client->is_authenticated) && !((*command)->flags & KV_NO_AUTH))
		return VERDICT_NO_AUTH;
	return VERDICT_RUN;
}

static void plan_all(struct batch *batch)
{
	const struct kv_call *call = &batch->call;

	for (int i = 0; i < batch->count; i++) {
		const struct rota_resp_request *request = &batch->requests[i];
		struct plan *plan = &batch->plans[i];

		plan->verdict = (uint8_t)judge(call->client, request, &plan->command);
		plan->key = NO_KEY;
		plan->is_plain = false;
		if (plan->verdict != VERDICT_RUN || !plan->command->first_key)
			continue;
		plan->is_plain = !(plan->command->flags & KV_SUSPENDS);
		plan->key = (uint8_t)batch->keys_count;
		batch->keys[batch->keys_count++].bytes = request->args[plan->command->first_key];
	}
	kv_keys_hash(call->access.store, batch->keys, batch->keys_count);
}

/* ---- the pass ---- */

static void enter(struct batch *batch)
{
	struct kv_call *call = &batch->call;

	if (kv_gate_enter(call->access.store, call->access.reactor, &batch->wait.parking) == 0) {
		batch->is_inside = true;
	} else {
		batch->is_parked = true;
		batch->wait.is_gate = true;
	}
}

/* End the pass; what was removed is freed now that no lock is held. May suspend if parked. */
static void leave(struct batch *batch)
{
	struct kv_call *call = &batch->call;

	if (batch->is_inside)
		kv_gate_leave(call->access.store, call->access.reactor);
	batch->is_inside = false;
	if (ROTA_UNLIKELY(batch->is_parked))
		kv_wait_withdraw(call->access.store, call->wait);
	batch->is_parked = false;
	if (!kv_garbage_is_empty(&call->garbage))
		kv_garbage_free(&call->garbage);
}

/*
 * Bring in what the batch's keys will touch. A single key would be waited for wherever that is
 * done, so the keys of the sessions that are served next are fetched with it.
 */
static void fetch_keys(struct batch *batch)
{
	struct kv_call *call = &batch->call;
	struct kv_local *local = call->client->local;
	const struct rota_session *next = call->session;
	unsigned count = batch->keys_count;
	struct rota_view input;

	if (count == 1 && local->fetched_sessions) {
		local->fetched_sessions--;
		return;
	}
	if (count == 1) {
		while (count < FETCHED_SESSIONS && (next = rota_session_after(next, &input))) {
			batch->keys[count].bytes = rota_resp_peek_key(input);
			count += batch->keys[count].bytes.bytes > 0;
		}
		local->fetched_sessions = count - 1;
		kv_keys_hash(call->access.store, batch->keys + 1, count - 1);
	}
	if (count > 1)
		kv_keys_prefetch(call->access.store, call->access.database, batch->keys, count);
}

/* ---- requests that are not executed ---- */

/* Up to `bytes_max` bytes of an argument, as C strings go: to the first NUL. */
static int shown_bytes(struct rota_view argument, size_t bytes_max)
{
	return (int)strnlen(argument.data, rota_min_size(argument.bytes, bytes_max));
}

/*
 * A web page can make a browser on this machine send us a POST request whose body would be
 * commands. As in Redis, what begins like one ends the connection at once.
 */
static bool is_http(const struct kv_call *call)
{
	return kv_is_word(call->args[0], "post") || kv_is_word(call->args[0], "host:");
}

static void reject_http(struct kv_call *call)
{
	static struct rota_log_limit limit;
	uint64_t repeats;

	if (rota_log_limit_pass(&limit, &repeats))
		rota_log(ROTA_LOG_WARNING,
			 "closed a connection that speaks HTTP: is somebody attacking through a "
			 "browser? (%llu more)",
			 (unsigned long long)repeats);
	rota_session_abort(call->session, "it speaks HTTP");
	call->client->ends_batch = true;
}

static void reject_unknown(struct kv_call *call)
{
	char shown[256] = "";
	size_t used = 0;

	if (is_http(call)) {
		reject_http(call);
		return;
	}
	for (uint32_t i = 1; i < call->count && used < 128; i++)
		used += (size_t)snprintf(shown + used, sizeof(shown) - used, "'%.*s' ",
					 shown_bytes(call->args[i], 128 - used),
					 call->args[i].data);
	kv_reply_errorf(call, "ERR unknown command '%.*s', with args beginning with: %s",
			shown_bytes(call->args[0], 128), call->args[0].data, shown);
}

static void reject_subcommand(struct kv_call *call)
{
	char parent[KV_COMMAND_NAME_BYTES_MAX + 1];
	size_t i;

	for (i = 0; call->command->name[i]; i++)
		parent[i] = (char)toupper((unsigned char)call->command->name[i]);
	parent[i] = '\0';
	kv_reply_errorf(call, "ERR unknown subcommand '%.*s'. Try %s HELP.",
			shown_bytes(call->args[1], 128), call->args[1].data, parent);
}

static void reject(struct kv_call *call, const struct plan *plan)
{
	kv_count(&call->client->local->counters.refused, 1);
	switch ((enum verdict)plan->verdict) {
	case VERDICT_UNKNOWN:
		reject_unknown(call);
		break;
	case VERDICT_UNKNOWN_SUBCOMMAND:
		reject_subcommand(call);
		break;
	case VERDICT_ARITY:
		kv_reply_arity(call);
		break;
	case VERDICT_NO_AUTH:
		kv_reply_error(call, "NOAUTH Authentication required.");
		break;
	case VERDICT_RUN:
		break;
	}
}

/* ---- requests that wait ---- */

/* Copy a request's arguments into one block: the views, then the bytes. Returns owned, or NULL. */
static struct rota_view *copy_args(const struct rota_view *args, uint32_t count)
{
	size_t bytes = count * sizeof(args[0]);
	struct rota_view *copies;
	char *at;

	for (uint32_t i = 0; i < count; i++)
		bytes += args[i].bytes;
	copies = rota_alloc(bytes);
	if (!copies)
		return NULL;
	at = (char *)(copies + count);
	for (uint32_t i = 0; i < count; i++) {
		copies[i] = rota_view_of(at, args[i].bytes);
		if (args[i].bytes)
			memcpy(at, args[i].data, args[i].bytes);
		at += args[i].bytes;
	}
	return copies;
}

/* Run it behind the closed gate, where nothing can be refused. */
static int run_alone(struct kv_call *call)
{
	int status = kv_close_gate(call->access.store, call->wait);

	if (status < 0)
		return status;
	call->is_alone = true;
	call->access.now_ms = rota_wall_ns() / ROTA_NS_PER_MS;
	status = call->command->run(call);
	call->is_alone = false;
	kv_gate_open(call->access.store, &call->wait->parking);
	return status;
}

/* Wait and try until it has run. On entry it has been refused by the gate or by a shard. */
static int run_when_possible(struct batch *batch)
{
	struct kv_call *call = &batch->call;

	for (int refusals = 1;; refusals++) {
		int status;

		kv_count(&call->client->local->counters.parked, 1);
		status = kv_wait_for(call->access.store, call->wait);
		batch->is_parked = false;
		if (status < 0)
			return status;
		if (refusals >= REFUSALS_MAX)
			return run_alone(call);
		enter(batch);
		if (batch->is_parked)
			continue;
		call->access.now_ms = rota_wall_ns() / ROTA_NS_PER_MS;
		status = call->command->run(call);
		if (status != -EAGAIN) {
			leave(batch);
			return status;
		}
		kv_gate_leave(call->access.store, call->access.reactor);
		batch->is_inside = false;
	}
}

/*
 * Finish request `index`, which may suspend or was refused, with arguments of its own, outside the
 * batch's pass. Returns what kv_execute returns.
 */
static int execute_apart(struct batch *batch, const struct plan *plan, int index)
{
	struct kv_call *call = &batch->call;
	struct rota_view *args = copy_args(call->args, call->count);
	bool was_refused = !(plan->command->flags & KV_SUSPENDS);
	int status = 0;

	kv_client_set_command(call->client, call->command);
	kv_count(&call->client->local->counters.requests, (uint64_t)index + 1);
	if (batch->is_inside)
		kv_gate_leave(call->access.store, call->access.reactor);
	batch->is_inside = false;
	kv_garbage_free(&call->garbage);
	if (args) {
		call->args = args;
		if (call->key) {
			struct kv_key *key = &batch->keys[plan->key];

			key->bytes = args[plan->command->first_key];
			key->seen_ = NULL; /* the pass ends: what it has seen may go */
		}
	}
	if (!was_refused || !args) {
		if (was_refused || batch->is_parked)
			kv_wait_withdraw(call->access.store, call->wait);
		batch->is_parked = false;
	}
	if (!args)
		kv_reply_error(call, KV_ERR_MEMORY);
	else
		status = was_refused ? run_when_possible(batch) : call->command->run(call);
	leave(batch);
	rota_free(args);
	return status < 0 ? status : index + 1;
}
