/* SPDX-License-Identifier: MIT */
/*
 * Listeners, connections and outputs from inside. Internal to framework/; everything belongs to one
 * reactor's thread but the load counter.
 *
 * A connection's life: OPEN → FINISHING (nothing more is parsed; the output drains) → LINGERING
 * (unless the peer has shut its side: ours is shut, what it still sends is discarded, for a bounded
 * time) → CLOSING (operations are cancelled, their ends awaited) → gone. Each step is taken by
 * conn_advance(), which every event calls and which looks at the state alone.
 */
#ifndef ROTA_NET_INTERNAL_H
#define ROTA_NET_INTERNAL_H

#include <string.h>
#include <sys/uio.h>

#include <rota/net.h>
#include <rota/protocol.h>

#include "framework/reactor_internal.h"

/* ---- output.c ---- */

/*
 * A chunk with its head is one block of this size: large enough for the replies to one receive,
 * small enough that a thousand connections' worth stays in the second-level cache. A guess,
 * 2026-11-22.
 */
#define CHUNK_BLOCK_BYTES 4096
#define CHUNK_STORAGE_BYTES (CHUNK_BLOCK_BYTES - sizeof(struct chunk))
/* Kept by a reactor for the next turn: what 1024 connections with one reply each use. */
#define SPARE_CHUNKS_MAX 1024

/* One piece of output: bytes of its own, or a part of a blob. */
struct chunk {
	struct chunk *next;
	struct rota_blob *blob; /* a reference, or NULL: `storage` */
	const char *data;       /* first byte not yet sent */
	size_t bytes;           /* from there on, in use */
	size_t capacity;        /* of storage; 0 for a blob */
	char storage[];
};

struct rota_output {
	struct chunk *first;
	struct chunk *last;
	/* so much may be appended to `last` without asking anything: storage, limit, no error */
	size_t room;
	size_t pending_bytes;
	size_t bytes_max; /* more counts as failed */
	/* -ENOMEM, -ENOBUFS (bytes_max passed): what is written is dropped */
	int error;
	bool is_conns; /* inside a connection, to be flushed when something is written */
};

/*
 * Pieces sent at once; 64 iovecs are the most that stay in the kernel's fast path (UIO_FASTIOV is
 * 8, 64 one page).
 */
#define GATHER_MAX 64

/* What a gathered send lends to the engine. */
struct gather {
	struct gather *next_spare;
	struct msghdr message;
	struct iovec pieces[GATHER_MAX];
};

/* Drop everything that is gathered. */
void rota__output_clear(struct rota_output *output);
/* The first `bytes` have been sent. */
void rota__output_consume(struct rota_output *output, size_t bytes);
/* What a gathered send needs; NULL: no memory. */
struct gather *rota__gather_acquire(struct net *net);
void rota__gather_release(struct net *net, struct gather *gather);
/* Give the spare chunks and gathers back. */
void rota__output_free_spares(struct net *net);

/* ---- connections ---- */

enum conn_state {
	CONN_OPEN,
	CONN_FINISHING,
	CONN_LINGERING,
	CONN_CLOSING,
	CONN_GONE, /* in debug builds: kept for a while, so that a use is seen */
};

/*
 * The protocol's view of a connection is the connection; the type only keeps the two interfaces
 * apart.
 */
struct rota_session;

/* A task that waits for its connection, in its frame. */
struct conn_wait {
	struct rota_future future;
	const struct rota_conn *conn; /* for tools that look from outside */
};

/*
 * What a request touches comes first, four cache lines where the allocator aligns blocks of this
 * size (jemalloc does): an event passes over all connections that have one, and what it needs of
 * the first is no longer there when the next event has its turn. Behind them lies the rest of the
 * receive, which nobody looks at while it goes on, and then what is rare.
 */
struct rota_conn {
	/* a cache line: what every event looks at */
	struct rota_reactor *reactor;
	/* What makes a connection special, looked at by every event as one word. */
	union {
		struct {
			uint8_t state; /* enum conn_state */
			bool receive_is_poll;
			bool is_deaf; /* no receive and no poll is lent */
			bool has_eof; /* the peer has shut its side */
			bool is_shut; /* ours */
			bool is_full; /* paused: output above the high-water mark */
			bool is_draining;
			bool is_new; /* a session whose on_open has not been called */
		};
		uint64_t exceptions; /* 0: open, receiving, and none of these */
	};
	bool receive_is_cancelled;
	bool send_is_lent;
	bool is_flushing;
	bool is_ready;
	bool is_stream : 1; /* task style, not a session */
	/* seen by a poll, after we had shut ours; what they sent may be unread */
	bool peer_is_shut : 1;
	/* task style: it may have been a reset, of which a send under way was told */
	bool eof_is_doubtful : 1;
	/* task style: somebody may use it, until rota_conn_close or the handler's end */
	bool is_held;
	uint16_t line; /* in net->held: the last buffer behind in_data; 0: there is none */
	/* the turn in which bytes last moved, or a handler gave way to the peer */
	rota_ns active_at;
	struct rota_listener *listener;        /* NULL: made by rota_connect */
	const struct rota_conn_limits *limits; /* the listener's, or defaults */
	struct rota_task *task; /* the worker or handler that serves it now; NULL: none */
	size_t need_bytes;      /* do not serve before so much input is there */

	/* a cache line: output */
	struct rota_output output;
	struct rota_conn *next_ready; /* on net->ready, when is_ready */
	struct rota_conn *next_flush; /* on net->flush, when is_flushing */

	/* a cache line: sending */
	struct rota_op send; /* SEND, SEND_MESSAGE, at last CLOSE */
	uint64_t id;

	/* a cache line: input, see input.c: the spill, then this receive buffer, then the line */
	const char *in_data; /* NULL: no buffer is held */
	uint32_t in_bytes;   /* unconsumed */
	uint16_t in_buffer;  /* its id */
	/* task style: a reader looks at it; it must stay where it is */
	bool in_is_borrowed;
	struct rota_buffer spill;
	struct rota_op receive; /* RECEIVE, or POLL for a hang-up while receiving is off */

	size_t spill_start; /* consumed bytes at its start */
	union {
		uint32_t in_copied_bytes; /* open: before in_data, and at the spill's end too */
		uint32_t discarded_bytes; /* afterwards */
	};
	int32_t error; /* why it is dead: negative errno; 0: it isn't */
	/* what a protocol spawns for longer than a call; owned, NULL until asked for */
	struct session_scope *children;
	struct rota_timer timer;    /* idle (lazy), then linger */
	struct rota_link link;      /* on net->conns */
	struct rota_link wait_link; /* on net->starved: waits in line for a receive buffer */
	_Alignas(16) char session_state[];
};

/* What an idle connection pays, with its session behind it. */
_Static_assert(sizeof(struct rota_conn) == 384, "the connection has grown");

#define CONN_LINE(field) (offsetof(struct rota_conn, field) / ROTA_CACHE_LINE_BYTES)

_Static_assert(CONN_LINE(need_bytes) == 0, "what every event looks at");
_Static_assert(CONN_LINE(output) == 1 && CONN_LINE(next_flush) == 1, "output");
_Static_assert(CONN_LINE(send) == 2 && CONN_LINE(id) == 2, "sending");
_Static_assert(CONN_LINE(in_data) == 3 && CONN_LINE(receive.generation_) == 3, "input");
_Static_assert(offsetof(struct rota_conn, session_state) % ROTA_CACHE_LINE_BYTES == 0,
	       "a session begins a line");

/* The connection whose output it is. */
static inline struct rota_conn *rota__output_conn(struct rota_output *output)
{
	return ROTA_CONTAINER_OF(output, struct rota_conn, output);
}

/* A scope of the session's own, for tasks that outlive the call that spawned them. */
struct session_scope {
	struct rota_scope scope;
	struct rota_conn *conn;
};

/* A handler or a task of the session runs: it is not idle, and not over yet. */
static inline bool rota__conn_is_served(const struct rota_conn *conn)
{
	return conn->task || (conn->children && conn->children->scope.children_count_);
}

struct rota_listener {
	/* what each request looks at, with the first of the options: a cache line, if aligned */
	struct crew *crew; /* serves its sessions */
	struct rota_listener_options options;
	struct net *net;
	struct rota_op accept;
	struct rota_link link;   /* on net->listeners */
	struct rota_timer retry; /* out of descriptors */
	uint64_t references;     /* connections that point here */
	int fd;                  /* -1: connections are handed over to it */
	bool accept_is_lent;
	bool is_closing;
	bool is_paused;
};

_Static_assert(offsetof(struct rota_listener, options.limits) + sizeof(struct rota_conn_limits) <=
		       ROTA_CACHE_LINE_BYTES,
	       "one line");

/* The workers that serve the sessions of one scheduling group, and those sessions' line. */
struct crew {
	struct rota_conn *ready_head; /* sessions with something to serve, oldest first */
	struct rota_conn *ready_tail;
	struct rota_task *idle_worker; /* parked worker tasks, linked through next_ready */
	unsigned idle_workers;
	unsigned workers; /* alive */
	/* not parked and not suspended in a handler: at most one is wanted */
	unsigned serving_workers;
	unsigned listeners; /* whose sessions it serves; without any, nobody parks */
	struct rota_group *group;
	struct net *net;
};

/*
 * A receive buffer that stands in a connection's line. The last of a line knows how long that is,
 * and the first.
 */
struct held {
	const char *data;
	size_t line_bytes; /* of the last */
	uint32_t bytes;
	uint16_t line_count; /* of the last */
	uint16_t buffer;     /* its id */
	uint16_t next;       /* towards the last, whose next is the first; spare: the next spare */
};

/* All that a reactor has of the network. */
struct net {
	/* a cache line: what every turn and request looks at */
	struct rota_reactor *reactor;
	struct rota_conn *flush_head; /* connections with output and no send in flight */
	struct rota_link starved;     /* connections in line for a receive buffer, by wait_link */
	uint32_t buffers_count;
	uint32_t buffers_held; /* lent by the engine, now with us */
	/*
	 * Beyond these, input is copied: by those to whom nobody comes soon, half; by those that
	 * are served before the engine is asked again, all but an eighth.
	 */
	uint32_t held_idle_max;
	uint32_t held_max;
	struct chunk *spare_chunks;
	unsigned spare_chunks_count;
	bool is_draining; /* no new connections; those that are idle end */
	bool is_stopping;

	/* a cache line, in normal priority: whose sessions are served */
	struct crew crews[ROTA_GROUPS_MAX]; /* by the place of their group */

	unsigned workers;           /* alive */
	unsigned suspended_workers; /* in a handler */
	struct gather *spare_gathers;
	unsigned spare_gathers_count;
	struct rota_link conns;
	struct rota_link gone; /* connections, in debug builds */
	unsigned gone_count;
	struct rota_link listeners;
	uint32_t buffer_bytes;
	uint16_t spare_held; /* 0: none */
	uint32_t handovers;  /* connections under way to other reactors */
	struct rota_log_limit accept_log;
	struct rota_net_stats stats;
	/* atomic: connections here or on their way here */
	uint32_t load ROTA_ALIGNED(ROTA_ISOLATION_BYTES);
	/* as many as may be held, and number 0, which is nobody's */
	struct held held[] ROTA_ALIGNED(ROTA_ISOLATION_BYTES);
};

#define NET_LINE(field) (offsetof(struct net, field) / ROTA_CACHE_LINE_BYTES)

_Static_assert(NET_LINE(is_stopping) == 0 && NET_LINE(crews) == 1, "each request");
_Static_assert(sizeof(struct crew) <= ROTA_CACHE_LINE_BYTES, "one line");
_Static_assert(NET_LINE(stats.received_bytes) == NET_LINE(stats.sends), "one line");

/* The reactor's net, made on first use; NULL: no memory. */
struct net *rota__net(struct rota_reactor *reactor);

/*
 * In debug builds: public function `call` is about to use `conn`, in whatever state it is. In the
 * others its memory may be somebody else's by now, and nobody can tell.
 */
static inline void rota__check_conn(const struct rota_conn *conn, const char *call)
{
	if (!ROTA_DEBUG)
		return;
	rota__check_home(conn->reactor, "a connection", call);
	if (ROTA_UNLIKELY(conn->state == CONN_GONE))
		rota__die_of_use_after_end("a connection", call);
}

/* The same for reading and writing in task style. Always: until its output has gone it is there. */
static inline void rota__check_held(const struct rota_conn *conn, const char *call)
{
	rota__check_conn(conn, call);
	if (ROTA_UNLIKELY(!conn->is_held))
		rota__die_of_use_after_end("a connection", call);
}

/* conn.c: A connection on socket `fd`, which it takes unless there is no memory (NULL). Without a
 * listener, `limits` are copied; otherwise they are the listener's. */
struct rota_conn *rota__conn_create(struct net *net, int fd, struct rota_listener *listener,
				    const struct rota_conn_limits *limits);
/* Something has changed: take whatever step the state asks for. May free the connection. */
void rota__conn_advance(struct rota_conn *conn);
/* No new requests; close after the output is out and the peer could read it. */
void rota__conn_finish(struct rota_conn *conn);
/* Dead: drop the output, cancel the handler. `error` negative errno, 0: orderly. */
void rota__conn_abort(struct rota_conn *conn, int error, enum rota_cancel_kind kind,
		      const char *why);
/* True: the chunk is kept for later. False: there are enough, or it is no usual one. */
static inline bool rota__chunk_keep(struct net *net, struct chunk *chunk)
{
	if (chunk->capacity != CHUNK_STORAGE_BYTES || net->spare_chunks_count >= SPARE_CHUNKS_MAX)
		return false;
	chunk->next = net->spare_chunks;
	net->spare_chunks = chunk;
	net->spare_chunks_count++;
	return true;
}

/*
 * The first `bytes` of a connection's output have been sent. False, with nothing done, unless that
 * was all of it, and in one chunk that `net` can keep.
 */
static inline bool rota__output_sent(struct rota_output *output, struct net *net, size_t bytes)
{
	struct chunk *chunk = output->first;

	if (ROTA_UNLIKELY(bytes != output->pending_bytes || chunk != output->last || !bytes ||
			  !rota__chunk_keep(net, chunk)))
		return false;
	output->first = output->last = NULL;
	output->room = output->pending_bytes = 0;
	return true;
}

/* Queue for this turn's flush; a send in flight does so itself when it completes. */
static inline void rota__conn_want_flush(struct rota_conn *conn)
{
	struct net *net = conn->reactor->net;

	/* A failed output is looked at although a send is under way: that one may never end. */
	if (conn->is_flushing || (conn->send_is_lent && !conn->output.error))
		return;
	conn->is_flushing = true;
	conn->next_flush = net->flush_head;
	net->flush_head = conn;
}

void rota__conn_flush(struct rota_conn *conn);
/* Give up those that are gone. */
void rota__conn_forget_gone(struct net *net);

/* ---- input.c ---- */

/* The pool for the lines of all connections. */
void rota__held_init(struct net *net);

/* The receive buffer becomes its input, as there is none in in_data. */
static inline void rota__conn_hold(struct rota_conn *conn, const struct rota_completion *completion)
{
	conn->reactor->net->buffers_held++;
	conn->in_data = completion->data;
	conn->in_bytes = (uint32_t)completion->result;
	conn->in_buffer = completion->buffer;
}

/* A receive brought bytes: take the buffer, or a copy of what is in it. -ENOMEM aborts. */
void rota__conn_take_input(struct rota_conn *conn, const struct rota_completion *completion);

/* The oldest of the input, as far as it is in one piece; and consuming of that. */
static inline struct rota_view rota__conn_input(const struct rota_conn *conn)
{
	if (ROTA_LIKELY(!conn->spill.bytes))
		return rota_view_of(conn->in_data, conn->in_bytes);
	return rota_view_of(conn->spill.data + conn->spill_start,
			    conn->spill.bytes - conn->spill_start);
}

/* As rota__conn_consume, when it is not all of a receive buffer, or that is borrowed. */
void rota__conn_consume_part(struct rota_conn *conn, size_t bytes);
/* Give all receive buffers back, whatever is left in them. */
void rota__conn_return_buffers(struct rota_conn *conn);
/* in_data has become free: the first of the line takes its place. */
void rota__conn_promote(struct rota_conn *conn);

/* What dead input is filled with in debug builds, so that a view kept too long is seen. */
#define ROTA_DEAD_INPUT 0xdb

/* Give `buffer` back to the engine, with what is left in it. */
static inline void rota__buffer_return(struct rota_reactor *reactor, const char *data, size_t bytes,
				       uint16_t buffer)
{
	if (ROTA_DEBUG) /* the engine's memory, and writable */
		memset((char *)(uintptr_t)data, ROTA_DEAD_INPUT, bytes);
	reactor->engine->buffer_return(reactor->backend, buffer);
	reactor->net->buffers_held--;
}

/* Give the receive buffer back, of which there is one; another may take its place. */
static inline void rota__conn_return_held(struct rota_conn *conn)
{
	rota__buffer_return(conn->reactor, conn->in_data, conn->in_bytes, conn->in_buffer);
	conn->in_data = NULL;
	conn->in_bytes = 0;
	if (ROTA_UNLIKELY(conn->line))
		rota__conn_promote(conn);
}

static inline void rota__conn_consume(struct rota_conn *conn, size_t bytes)
{
	if (ROTA_LIKELY(bytes == conn->in_bytes && bytes && !conn->spill.bytes))
		rota__conn_return_held(conn);
	else
		rota__conn_consume_part(conn, bytes);
}

static inline size_t rota__conn_line_bytes(const struct rota_conn *conn)
{
	return conn->reactor->net->held[conn->line].line_bytes;
}

static inline size_t rota__conn_input_bytes(const struct rota_conn *conn)
{
	size_t bytes = conn->in_bytes;

	if (ROTA_UNLIKELY(conn->spill.bytes))
		bytes += conn->spill.bytes - conn->spill_start;
	return ROTA_LIKELY(!conn->line) ? bytes : bytes + rota__conn_line_bytes(conn);
}

/*
 * Have at least need_bytes of the input, which are there, in one piece. False: no memory, and the
 * connection is aborted.
 */
bool rota__conn_widen_input(struct rota_conn *conn);
/*
 * Move what is left in receive buffers to the spill and return them; a borrowed one stays, with
 * nothing in it that is not consumed. -ENOMEM aborts the connection.
 */
void rota__conn_spill(struct rota_conn *conn);
/* The same for a handler that suspends, whose view dies: debug builds destroy what it looked at. */
void rota__conn_end_view(struct rota_conn *conn);
/*
 * Open, receiving, and all of its input consumed: what serving nearly always leaves behind, and
 * nothing is to be done about.
 */
static inline bool rota__conn_is_at_rest(const struct rota_conn *conn)
{
	return !conn->exceptions && !conn->in_data && !conn->spill.bytes;
}

/* session.c: serving protocols with worker tasks. */
/* Put it in line, behind those that are ready. */
void rota__session_queue(struct rota_conn *conn);

static inline bool rota__session_may_serve(const struct rota_conn *conn)
{
	size_t input = rota__conn_input_bytes(conn);

	if (ROTA_UNLIKELY(conn->exceptions)) {
		if (conn->state != CONN_OPEN || conn->is_full)
			return false;
		if (conn->is_new)
			return true;
	}
	return input && input >= conn->need_bytes;
}

/* Something has changed: it may be served now. */
static inline void rota__session_ready(struct rota_conn *conn)
{
	if (!conn->is_ready && !conn->task && rota__session_may_serve(conn))
		rota__session_queue(conn);
}

/* Start or wake a worker if sessions wait and none is serving. */
void rota__workers_kick(struct crew *crew);
/* Let parked workers end. */
void rota__workers_dismiss(struct crew *crew);
/* The session's own scope, if it has one: cancel it; give it back once its tasks have ended. */
void rota__session_cancel(struct rota_conn *conn, const struct rota_cancel_reason *reason);
void rota__session_fini(struct rota_conn *conn);

/* stream.c: task style. */
struct stream {
	struct rota_future *reader;         /* waiting for input */
	struct rota_future *writer;         /* waiting for the output to drain */
	size_t drained_bytes;               /* until so little is pending */
	struct rota_buffer held;            /* input a reader looks at, taken out of the spill */
	size_t held_start;                  /* consumed bytes at its start */
	struct rota_conn_limits own_limits; /* of a connection without a listener */
};

static inline struct stream *rota__stream(struct rota_conn *conn)
{
	return (struct stream *)conn->session_state;
}

/* Spawn the handler. 0 or negative errno. */
int rota__stream_start(struct rota_conn *conn);
void rota__stream_fini(struct rota_conn *conn);
/* Input, an error or drained output: wake whoever waits for it. */
void rota__stream_input(struct rota_conn *conn);
void rota__stream_output(struct rota_conn *conn);

/*
 * net.c: Close the listeners that accept; those that others hand connections to stay. True as long
 * as one is not closed yet, or a connection is on its way to another reactor.
 */
void rota__net_stop_accepting(struct rota_reactor *reactor);
bool rota__net_is_accepting(const struct rota_reactor *reactor);
/* Close all listeners and end every connection as soon as it is idle. */
void rota__net_drain(struct rota_reactor *reactor);
/* The listener lost a connection. */
void rota__listener_unref(struct rota_listener *listener);
/* A descriptor was closed: listeners that ran out may try again. */
void rota__net_descriptor_freed(struct net *net);

#endif /* ROTA_NET_INTERNAL_H */
