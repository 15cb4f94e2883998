/* SPDX-License-Identifier: MIT */
/*
 * The server's own objects: what all reactors share, what each has for itself, and what a session
 * is. Application layer of rota-kv.
 *
 * The one idea: three owners. The server is constant once the reactors run, a `local` is written by
 * its reactor only (its counters may be read by any), a client belongs to its session.
 */
#ifndef KV_KV_H
#define KV_KV_H

#include <rota/net.h>
#include <rota/server.h>

#include "apps/kv/command.h"
#include "apps/kv/config.h"
#include "apps/kv/store/store.h"
#include "protocols/resp/resp.h"

/* What clients are told they talk to: the commands and replies are those of this version. */
#define KV_REDIS_VERSION "7.0.15"

#define KV_DEFAULT_PORT 6379

/* ---- settings that can change while the server runs ---- */

/*
 * Immutable: CONFIG SET makes another one and hands it to every reactor. Counted, because reactors
 * let go of the old one at different times.
 */
struct kv_settings {
	uint32_t references; /* atomic */
	/* grows with each change: a late messenger must not bring back an old one */
	uint64_t version;
	size_t password_bytes; /* 0: none is required */
	struct kv_config config;
};

/* A copy with one reference, to be changed and then handed out, or NULL when there is no memory. */
struct kv_settings *kv_settings_create(const struct kv_config *config, uint64_t version);
struct kv_settings *kv_settings_ref(struct kv_settings *settings);
void kv_settings_unref(struct kv_settings *settings);

/* ---- what each reactor counts ---- */

/* Written with kv_count by the reactor they belong to; `clients` is read relaxed by any. */
struct kv_counters {
	uint64_t requests;       /* answered */
	uint64_t refused;        /* of them, those that no command was run for */
	uint64_t errors;         /* error replies */
	uint64_t accepted;       /* connections */
	uint64_t rejected;       /* connections turned away, which are not among the accepted */
	uint64_t clients;        /* now: a state, not a sum */
	uint64_t parked;         /* requests that had to wait for a shard or the gate */
	uint64_t ops_per_second; /* of the last 1.6 s: a state too */
};

/* How many commands had been run when; one each 100 ms, for ops_per_second. */
#define KV_SAMPLES 16

struct kv_sample {
	uint64_t commands;
	rota_ns at;
};

struct kv_local {
	struct kv_counters counters;
	struct kv_settings *settings; /* a reference */
	struct kv_server *server;
	struct rota_reactor *reactor;
	uint32_t index;
	uint32_t sample_at;
	uint32_t fetched_sessions; /* to be served next: their keys' lines are in the cache */
	struct kv_sample samples[KV_SAMPLES];
	/* What was counted up to the last CONFIG RESETSTAT; the store's is reactor 0's to keep. */
	struct kv_counters base;
	struct rota_net_stats net_base;
	struct kv_statistics store_base;
} ROTA_ALIGNED(ROTA_ISOLATION_BYTES);

/* Add to a counter of the current reactor. */
static inline void kv_count(uint64_t *counter, uint64_t delta)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + delta,
			 __ATOMIC_RELAXED);
}

static inline uint64_t kv_counted(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* ---- the server ---- */

struct kv_server {
	struct rota_resp_service resp; /* the listener's arg points here */
	const struct kv_config *config;
	struct rota_server *server; /* set by the first start */
	struct kv_store *store;     /* made by the first start, destroyed after rota_serve */
	struct kv_local *locals;    /* one per reactor */
	unsigned locals_count;
	int64_t started_wall_ms;
	rota_ns started_ns;
	char run_id[41]; /* 40 random hexadecimal digits */
};

/*
 * Fill in `server` for `config` (lent while it lives) and make its settings. Returns 0 or -ENOMEM.
 * kv_server_fini releases everything, the store too.
 */
ROTA_MUST_USE int kv_server_init(struct kv_server *server, const struct kv_config *config);
void kv_server_fini(struct kv_server *server);

/* Fill in what rota_serve is to serve; both are lent to it, and `server` and `protocol` to them. */
void kv_server_service(struct kv_server *server, struct rota_protocol *protocol,
		       struct rota_service *service);

/* The hooks of struct rota_service; `arg` is &server->resp. */
int kv_server_start(struct rota_server *rota, unsigned reactor_index, void *arg);
void kv_server_stop(struct rota_server *rota, unsigned reactor_index, void *arg);

/* What belongs to the current reactor. */
static inline struct kv_local *kv_local_here(const struct kv_server *server)
{
	return &server->locals[rota_reactor_index(rota_reactor_current())];
}

/* ---- a session ---- */

/* What few clients have. */
struct kv_labels {
	struct rota_buffer name;
	struct rota_buffer library;
	struct rota_buffer library_version;
};

struct kv_client {
	struct kv_local *local;
	struct kv_labels *labels; /* owned; NULL until one is set */
	uint32_t created_s;       /* after the server's start, by the monotonic clock */
	uint32_t active_s;        /* when it last sent something */
	uint16_t database;
	uint16_t command_; /* private: the last one's index and 1, 0 before the first */
	bool is_authenticated;
	/* the replies to come depend on a change this batch made: end it */
	bool ends_batch;
};

/*
 * An idle connection with its session is one block. The allocator's classes are 448 and 512 here,
 * and the latter costs 16 bytes more of the allocator's own.
 */
_Static_assert(sizeof(struct kv_client) == 32, "the client has grown");

/* The last command, NULL before the first. */
static inline const struct kv_command *kv_client_command(const struct kv_client *client)
{
	return client->command_ ? &kv_commands[client->command_ - 1] : NULL;
}

static inline void kv_client_set_command(struct kv_client *client, const struct kv_command *command)
{
	client->command_ = command ? (uint16_t)(command - kv_commands + 1) : 0;
}

/* The slots of struct rota_resp_service. */
int kv_client_open(struct rota_session *session);
void kv_client_close(struct rota_session *session, int reason);

static inline struct kv_client *kv_client_of(struct rota_session *session)
{
	return rota_resp_session_state(session);
}

/* Seconds since the server's start. */
static inline uint32_t kv_server_age_s(const struct kv_server *server, rota_ns now)
{
	return (uint32_t)((now - server->started_ns) / ROTA_NS_PER_S);
}

/* Back to a new connection's state, but for being authenticated. */
void kv_client_reset(struct rota_session *session);

/* The labels, made if need be; NULL when there is no memory. */
struct kv_labels *kv_client_labels(struct kv_client *client);

/* Compare a password with the one required, in a time that does not depend on where they differ. */
bool kv_password_matches(const struct kv_settings *settings, struct rota_view password);

#endif /* KV_KV_H */
