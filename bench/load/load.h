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
struct dialect;
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
	/* The most bytes of one request. */
	size_t (*request_bytes_max)(const struct options *options);
	/* Make share->own, before reactors run; 0 or -ENOMEM. NULL: it needs none. */
	int (*prepare)(struct share *share);
	const struct dialect *dialect; /* of a protocol with keys */
	/*
	 * Write the requests from number `first` on, `count` of them, to the client's output. Of a
	 * protocol with keys, each one's key and is_get are set.
	 */
	void (*write)(struct client *client, uint64_t first, uint32_t count);
	/*
	 * Bytes have come. Call client_answered for each reply that is complete. Returns the bytes
	 * consumed, and is called again with the rest when there is more; or negative errno from
	 * client_fail: the connection is of no use any more.
	 */
	int64_t (*on_bytes)(struct client *client, struct rota_view view);
};

/* Bytes of the line at the start of `view` with its LF; 0: its end is not there. */
static inline size_t line_bytes(struct rota_view view)
{
	const char *end = (const char *)memchr(view.data, '\n', view.bytes);

	return end ? (size_t)(end - view.data) + 1 : 0;
}

/* The longest line of a reply; also of an HTTP head. */
#define LINE_BYTES_MAX 65536

extern const struct protocol protocol_echo;
extern const struct protocol protocol_http1;
extern const struct protocol protocol_memcached;
extern const struct protocol protocol_memcached_meta;
extern const struct protocol protocol_resp;

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
	struct {
		uint64_t bytes;      /* of it, or of its body, that have been consumed */
		uint64_t body_bytes; /* in all, or of the chunk */
		uint64_t hash;       /* of the body so far */
		uint32_t stage;
		bool is_good; /* http1: not an error of the server's */
	} reply;
	uint32_t table_offset;      /* where in the table its stream begins */
	rota_ns active_at;          /* the last reply, or the first request after a pause */
	rota_ns quiet_since;        /* active_at, when it was first seen to be too long ago */
	struct rota_link free_link; /* at a fixed rate: on share->free, when it has room */
	struct rota_scope scope;    /* of one connection; cancelled when no reply comes */
	bool is_late;               /* it was cancelled for that */
	bool is_over;               /* it may end here: no error */
};

/* ---- a reactor's share ---- */

/* What a run came to, of one share or of all. */
struct tally {
	uint64_t requests; /* answered well */
	uint64_t errors;
	uint64_t misses; /* keys that were not there */
	uint64_t bytes_sent, bytes_received;
	rota_ns duration_ns;          /* from the first request to the last reply */
	rota_ns polling_ns;           /* of its CPU time: turns that only waited */
	uint64_t queued;              /* were due when no connection had room */
	char error[ERROR_TEXT_BYTES]; /* the first one, or empty */
	struct histogram histogram;   /* latencies */
	struct histogram lateness;    /* at a fixed rate, our own: from due to sent */
};

enum pacing { PACING_CLOSED, PACING_RATE, PACING_PREFILL };

/* Requests that are due and have no connection with room: a ring. */
struct queue {
	rota_ns *due;
	uint32_t first;
	uint32_t count;
};

struct share {
	const struct options *options;
	const struct protocol *protocol;
	const char *table; /* TABLE_BYTES random letters, twice */
	void *own;         /* the protocol's; freed with the share */
	rota_ns now;       /* when the client that runs looked */
	/* requests a client may have in flight, in this run */
	uint32_t window;
	uint32_t pending_mask;
	enum pacing pacing;
	bool is_issuing; /* there are still requests to come */
	/* of the wait for the run's end; NULL: nobody waits for it */
	struct rota_scope *issuing;
	bool is_cut; /* runs end at once */
	uint64_t in_flight;
	rota_ns started_at;
	struct keys keys;
	struct random random;
	struct tally tally; /* of the run that is on */
	/* prefill: keys still to be written */
	uint64_t prefill_next, prefill_end;
	/* at a fixed rate */
	struct queue queue;
	struct rota_link free;   /* clients with room, the longest free first */
	rota_ns *leaving;        /* when what leaves at the end of this turn was due */
	uint32_t leaving_count;  /* at most what may be in flight */
	uint64_t body_hash;      /* http1, when checked: of every body; 0: none has come */
	struct rota_blob *blob;  /* what an upload sends */
	struct rota_event begun; /* set while a run issues: for shapes other than requests */
	/* completed when nothing is in flight and nothing is to come; NULL: nobody waits */
	struct rota_future *drained;
	/* clients */
	struct rota_reactor *reactor;
	unsigned index;
	struct client *clients;
	uint32_t clients_count;
	uint32_t idle_count; /* connections that never speak */
	struct pending *pendings;
	struct rota_semaphore connects; /* not all at once: backlogs are short */
	uint32_t connecting;            /* clients that have not got their first connection */
	struct rota_future connected;   /* all have, or one failed: then its errno */
	uint64_t sent_before, received_before; /* bytes, when the run began */
};

/* ---- client.c ---- */

/* The task of a client: connect, serve replies, connect again; until it is cancelled. */
int64_t client_main(void *arg);

/* The task of a connection that never speaks. */
int64_t idle_main(void *arg);

/* Send the next `count` requests, which were due at `since`. There is room for them. */
void client_send(struct client *client, uint32_t count, rota_ns since);

/* Send what may be sent now. */
void client_go_on(struct client *client);

/* Note an error of `count` requests. Words are kept of the first. */
void share_error(struct share *share, uint64_t count, const char *format, ...) ROTA_PRINTF(3, 4);

/*
 * For on_bytes: let `take` have the view piece by piece, each time what is left of it. It returns
 * the bytes it has used, 0 for more to come first, or negative errno. Returns the bytes used in
 * all, or that errno.
 */
static inline int64_t client_take_each(struct client *client, struct rota_view view,
				       int64_t (*take)(struct client *client,
						       struct rota_view rest))
{
	struct rota_view rest = view;

	while (rest.bytes) {
		int64_t taken = take(client, rest);

		if (taken < 0)
			return taken;
		if (!taken)
			break;
		rest.data += taken;
		rest.bytes -= (size_t)taken;
	}
	return (int64_t)(view.bytes - rest.bytes);
}

/* Words for what is wrong with a reply; for on_bytes to return: -ROTA_EPROTOCOL. */
int64_t client_fail(struct client *client, const char *format, ...) ROTA_PRINTF(2, 3);

static inline uint32_t client_in_flight(const struct client *client)
{
	return (uint32_t)(client->issued - client->answered);
}

static inline bool client_has_room(const struct client *client)
{
	return client->issued - client->answered < client->share->window;
}

static inline struct pending *client_request(const struct client *client, uint64_t number)
{
	return &client->pending[number & client->share->pending_mask];
}

/* The oldest request has its reply: as it should be, or an error that was noted. */
static inline void client_answered(struct client *client, bool is_good)
{
	struct share *share = client->share;
	rota_ns since = client_request(client, client->answered)->since;

	client->answered++;
	share->in_flight--;
	if (ROTA_UNLIKELY(!is_good))
		return;
	share->tally.requests++;
	histogram_record(&share->tally.histogram, share->now - since);
}

/* Complete share->drained if that is so. */
void share_check_drained(struct share *share);

/* ---- pace.c: requests at a fixed rate ---- */

/* Let requests become due until `end`. Returns 0, or -ECANCELED. */
int64_t pace(struct share *share, rota_ns end);

/* The client has room: it takes what is queued, or stands in line for what comes. */
void pace_client_is_free(struct client *client);

/* A turn has begun: what was handed over in the one before has been sent. */
void pace_note_lateness(struct share *share);

/* Look at the clock, which the first one to run in a turn does as well. */
static inline void share_look(struct share *share)
{
	share->now = rota_now();
	if (share->leaving_count)
		pace_note_lateness(share);
}

/* ---- shapes.c: what a client does with a connection, in the place of requests ---- */

/* As serve_replies of client.c: 0 at its end, or negative errno. */
int64_t shape_upload(struct client *client);
int64_t shape_download(struct client *client);
int64_t shape_churn(struct client *client);

/* ---- client.c, for shapes.c ---- */

/* Connect client->conn. Returns 0 or negative errno. */
int client_connect(struct client *client);

/* Wait for bytes and take the replies in them. Returns bytes taken, 0 at the end, or an error. */
int64_t client_receive(struct client *client);

/* ---- run.c: one reactor's side; tasks of its own, arg a struct share ---- */

/* Connect all clients. Returns 0, or negative errno with share->error in words. */
int64_t share_connect(void *arg);

struct run {
	struct share *share;
	enum pacing pacing;
	rota_ns duration_ns; /* prefill: until all is written */
	bool is_over;
	struct tally tally; /* out, once it is over */
};

/* Load until `duration_ns` is over and nothing is in flight. arg: a struct run. */
int64_t share_run(void *arg);

/* Let the run that is on end now, as if its time were over. arg: a struct share. */
int64_t share_cut(void *arg);

/* ---- tally.c ---- */

void tally_reset(struct tally *tally);

/* Add what another share came to, at the same time. */
void tally_add(struct tally *to, const struct tally *from);

/* ---- report.c ---- */

/* What is said of a run. */
struct report {
	const struct options *options;
	const struct tally *tally;
	const char *engine; /* its name */
	uint64_t cpu_ns;    /* the client's own */
};

/* One JSON object in one line. Returns 0 or -ENOMEM, -EIO. */
int report_json(const struct report *report, FILE *out);

/* For people. */
void report_text(const struct report *report, FILE *out);

/* ---- the load as a whole: load.c ---- */

struct load {
	const struct options *options;
	struct rota_engine_choice choice;
	struct rota_reactor *reactors[ROTA_REACTORS_MAX];
	unsigned reactors_count;
	struct share *shares; /* one per reactor, as are these: */
	struct run *runs;
	struct rota_call *calls;
	char *table;
	struct tally *tally; /* of the last run */
	uint64_t cpu_ns;     /* our own, in the last run */
	struct rota_message begin;
	int status; /* of the exit */
	struct rota_signals signals;
	struct rota_call *cuts; /* one per reactor: of who heeds signals */
	bool has_signals;       /* opened */
	bool is_measuring;      /* a run that may be cut short is on */
	bool is_interrupted;
};

/*
 * Call fn on each reactor with its own argument, `args` + index * `arg_bytes`, and wait for all.
 * `calls` has one per reactor. Returns 0 or the first failure. Suspends.
 */
int64_t load_on_all(struct load *load, struct rota_call *calls, rota_task_fn fn, void *args,
		    size_t arg_bytes);

/*
 * One run, at a fixed rate or in a closed loop as the options say; load->tally is what it came to.
 * Returns 0 or negative errno. Suspends.
 */
int64_t load_run_for(struct load *load, rota_ns duration_ns);

/* What there is to say of the last run. Borrowed from `load`. */
struct report load_report(const struct load *load);

/* Say on standard error what is wrong, in a line. */
void load_complain(const char *format, ...) ROTA_PRINTF(1, 2);

/*
 * steered.c: do what standard input says, to its end. Returns 0, or negative errno after saying
 * why. Suspends.
 */
int64_t load_steered(struct load *load);

/* Do all that `options` say on one of `engines`. Returns the exit status. */
int load_run(const struct options *options, const struct rota_backend_ops *const *engines);

/* ---- intervals.c: what happens each second ---- */

struct intervals;

/* Begin, if anybody wants to see them: `*out` (owned: intervals_destroy) may be NULL. */
int intervals_create(struct load *load, struct intervals **out);

/* The task that takes them while a run is on; until it is cancelled. */
int64_t intervals_main(void *arg);

/* The run has ended, and load->tally is what it came to: the last interval. */
void intervals_end(struct intervals *intervals);

/* Returns 0, or why the log could not be written. NULL is allowed. */
int intervals_destroy(struct intervals *intervals);

#endif
