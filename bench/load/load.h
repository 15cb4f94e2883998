/* SPDX-License-Identifier: MIT */
/*
 * What the files of rota-load share: the load, each reactor's share of it, and the clients, one per
 * connection.
 *
 * The one idea: a client is a task that waits for replies and, with each, sends what comes next; so
 * a request costs one wake-up and no allocation. What is sent when nobody has answered (the first
 * requests of a run, those of a fixed rate) is written into the client's output by the share's own
 * task, without a switch.
 *
 * Everything of a share belongs to its reactor. The load itself is set up before the reactors run
 * and not changed by them.
 */
#ifndef BENCH_LOAD_LOAD_H
#define BENCH_LOAD_LOAD_H

#include <rota/rota.h>

#include "bench/load/histogram.h"
#include "bench/load/keys.h"
#include "bench/load/options.h"

/* Prime: no message's length divides it, so messages that were swapped differ. */
#define TABLE_BYTES 65521u

/* Of the first error, in words. */
#define ERROR_TEXT_BYTES 200

struct client;
struct share;

/* A request without its reply yet. */
struct pending {
	rota_ns since; /* when it was sent, or at a fixed rate should have been */
	uint32_t key;
	bool is_get;
};

/* ---- protocols ---- */

struct protocol {
	const char *name;
	bool has_keys;
	/* The most bytes of one request. */
	size_t (*request_bytes_max)(const struct options *options);
	/* What it needs for the whole load, once, before reactors run; 0 or -ENOMEM. */
	int (*prepare)(struct share *share);
	/*
	 * Write one request to the client's output. Of a protocol with keys, key and is_get are
	 * set.
	 */
	void (*write)(struct client *client, const struct pending *pending);
	/*
	 * Bytes have come. Call client_answered for each reply that is complete. Returns the bytes
	 * consumed, after setting client->need_bytes if more than the rest is needed; or negative
	 * errno from client_fail: the connection is of no use any more.
	 */
	int64_t (*on_bytes)(struct client *client, struct rota_view view);
};

extern const struct protocol protocol_echo;

/* All of them, ended by NULL. */
extern const struct protocol *const protocols[];

/* ---- a client ---- */

struct client {
	struct share *share;
	struct rota_conn *conn;  /* NULL: not connected */
	struct pending *pending; /* a ring; share->pending_mask */
	uint64_t issued;         /* requests; less `answered`, those in flight */
	uint64_t answered;
	size_t need_bytes; /* before on_bytes is called again */
	/* the protocol's, of the reply that is coming in; zero between two */
	uint64_t reply_bytes; /* of it that have been consumed */
	uint64_t left_bytes;  /* of its body that have not */
	uint32_t stage;
	uint32_t table_offset;      /* where in the table its stream begins */
	rota_ns active_at;          /* the last reply, or the first request after a pause */
	struct rota_link free_link; /* at a fixed rate: on share->free */
	struct rota_scope scope;    /* of one connection; cancelled when no reply comes */
	bool is_late;               /* it was cancelled for that */
	bool is_leaving;            /* between connections */
};

/* ---- a reactor's share ---- */

enum pacing { PACING_NONE, PACING_CLOSED, PACING_RATE, PACING_PREFILL };

struct share {
	const struct options *options;
	const struct protocol *protocol;
	const char *table; /* TABLE_BYTES random letters, twice */
	void *dialect;     /* the protocol's own; owned by the load */
	rota_ns now;       /* when the client that runs looked */
	/* requests a client may have in flight, in this run */
	uint32_t window;
	uint32_t pending_mask;
	enum pacing pacing;
	bool is_issuing; /* there are still requests to come */
	uint64_t in_flight;
	struct keys keys;
	struct random random;
	/* a run's result, so far */
	uint64_t requests;
	uint64_t errors;
	rota_ns started_at, ended_at;
	struct histogram histogram;
	char error[ERROR_TEXT_BYTES]; /* the first one, or empty */
	/* prefill */
	uint64_t prefill_next, prefill_end;
	/* completed when nothing is in flight and nothing is to come; NULL: nobody waits */
	struct rota_future *drained;
	/* clients */
	struct rota_reactor *reactor;
	unsigned index;
	struct client *clients;
	uint32_t clients_count;
	struct pending *pendings;
	struct rota_semaphore connects; /* not all at once: backlogs are short */
	uint32_t connecting;            /* clients that have not got their first connection */
	struct rota_future connected;   /* all have, or one failed: then its errno */
	uint64_t sent_before, received_before, bytes_sent, bytes_received;
};

/* ---- client.c ---- */

/* The task of a client: connect, serve replies, connect again; until it is cancelled. */
int64_t client_main(void *arg);

/* Send the next request, which was due at `since`. */
void client_send(struct client *client, rota_ns since);

/* Send what may be sent now. */
void client_go_on(struct client *client);

/* Note an error of `count` requests. Words are kept of the first. */
void share_error(struct share *share, uint64_t count, const char *format, ...) ROTA_PRINTF(3, 4);

/* Words for what is wrong with a reply; for on_bytes to return: -ROTA_EPROTOCOL. */
int64_t client_fail(struct client *client, const char *format, ...) ROTA_PRINTF(2, 3);

static inline uint32_t client_in_flight(const struct client *client)
{
	return (uint32_t)(client->issued - client->answered);
}

static inline const struct pending *client_oldest(const struct client *client)
{
	return &client->pending[client->answered & client->share->pending_mask];
}

/* The oldest request has its reply: as it should be, or an error that was noted. */
static inline void client_answered(struct client *client, bool is_good)
{
	struct share *share = client->share;
	rota_ns since = client_oldest(client)->since;

	client->answered++;
	client->reply_bytes = 0;
	share->in_flight--;
	if (ROTA_UNLIKELY(!is_good))
		return;
	share->requests++;
	histogram_record(&share->histogram, share->now - since);
}

/* Complete share->drained if that is so. */
void share_check_drained(struct share *share);

/* ---- run.c: one reactor's side; tasks of its own, arg a struct share ---- */

/* Connect all clients. Returns 0, or negative errno with share->error in words. */
int64_t share_connect(void *arg);

struct run {
	struct share *share;
	enum pacing pacing;
	rota_ns duration_ns;
};

/* Load until `duration_ns` is over and nothing is in flight. arg: a struct run. */
int64_t share_run(void *arg);

/* ---- report.c ---- */

/* A run's result, of all shares. */
struct result {
	rota_ns duration_ns; /* measured: from the first request to the last reply */
	uint64_t requests, errors, bytes_sent, bytes_received, cpu_ns;
	char error[ERROR_TEXT_BYTES];
	struct histogram histogram;
};

/* One JSON object in one line. Returns 0 or -ENOMEM, -EIO. */
int report_json(const struct options *options, const struct result *result, FILE *out);

/* For people. */
void report_text(const struct options *options, const struct result *result, FILE *out);

/* ---- load.c ---- */

/* Do all that `options` say on one of `engines`. Returns the exit status. */
int load_run(const struct options *options, const struct rota_backend_ops *const *engines);

#endif
