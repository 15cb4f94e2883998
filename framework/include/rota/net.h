/* SPDX-License-Identifier: MIT */
/*
 * The network: listeners and connections. Everything belongs to one reactor and is used on its
 * thread, inside a task where it may suspend. Two styles: a task per connection, below, which reads
 * and writes as if it blocked; and protocols (<rota/protocol.h>), whose idle connections own no
 * stack.
 *
 * The one idea: input is lent, output is gathered. Reading gives a view of the engine's own buffer;
 * writing appends to the connection's output, which leaves once per turn in one send. Both
 * directions have a high-water mark, so nothing grows without bound.
 */
#ifndef ROTA_NET_H
#define ROTA_NET_H

#include <rota/address.h>
#include <rota/base.h>
#include <rota/buffer.h>
#include <rota/protocol.h>
#include <rota/task.h>
#include <rota/time.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rota_conn;
struct rota_group;
struct rota_listener;
struct rota_reactor;

/* What a connection may use. 0 means the default. */
struct rota_conn_limits {
	/* receiving stops above this much unconsumed input; default 64 KiB */
	size_t input_high_bytes;
	/* one request may need this much (rota_session_need); default 1 GiB */
	size_t input_max_bytes;
	/* writers suspend, sessions pause, above; they go on below half; default 256 KiB */
	size_t output_high_bytes;
	/* a peer that lets more than this pile up is cut off; default 64 MiB */
	size_t output_max_bytes;
	/* closed after so long without a byte either way or a handler at work; default none */
	rota_ns idle_timeout_ns;
	/*
	 * how long a closing connection waits for its peer: to take something of the output, and
	 * then, from the last byte that moved, to read the end and close its side; default 2 s
	 */
	rota_ns linger_timeout_ns;
};

/*
 * A handler in task-per-connection style; its return ends the connection, after what was written
 * has been sent.
 */
typedef int64_t (*rota_conn_fn)(struct rota_conn *conn, void *arg);

/* What a listener serves: a protocol, or a function run as one task per connection. */
struct rota_listener_options {
	/* what each request looks at comes first */
	const struct rota_protocol *protocol; /* either this … */
	struct rota_conn_limits limits;
	rota_conn_fn handler; /* … or this */
	/* for either; lent until the listener is closed and its connections ended */
	void *arg;
	struct rota_address address;
	/* static; in logs and as the tasks' name; NULL: the protocol's name */
	const char *name;
	/* in which all its connections are served (<rota/group.h>); NULL: the normal one */
	struct rota_group *group;
	/* 0: 4096 (the kernel caps it at net.core.somaxconn) */
	int backlog;
	/* permission bits of a Unix socket's file; 0: as the umask says */
	uint32_t unix_mode;
	bool reuse_port; /* one listener per reactor on the same port */
	/*
	 * Hand each connection to the listener whose reactor has the fewest; NULL: keep it. These
	 * are listeners opened with `is_target`, one per reactor, perhaps this one's too. The array
	 * and they are lent until this listener is closed.
	 */
	struct rota_listener *const *targets;
	unsigned targets_count;
	bool is_target; /* has no socket: serves what others hand over */
};

/*
 * Start listening on the current reactor. Returns 0 and `*out` (owned by the reactor;
 * rota_listener_close), or negative errno: -ENOMEM, -ROTA_ECLOSING when the reactor is stopping or
 * its server drains, or what the engine says (-EADDRINUSE, -EACCES, …). Never suspends. Thread: the
 * reactor's, task or callback.
 */
ROTA_API ROTA_MUST_USE int rota_listener_open(const struct rota_listener_options *options,
					      struct rota_listener **out);

/*
 * Stop accepting: what has been accepted goes on, what waits in the backlog is still accepted, as
 * far as descriptors last. Soon after, in this turn or the next, `listener` is gone and its address
 * free. Never suspends.
 */
ROTA_API void rota_listener_close(struct rota_listener *listener);

/*
 * The address it listens on (with the port the kernel chose, if port 0 was asked). Returns 0 or
 * negative errno.
 */
ROTA_API ROTA_MUST_USE int rota_listener_address(const struct rota_listener *listener,
						 struct rota_address *out);

/* ---- connections, task style ---- */

/*
 * Connect to `address`. Returns 0 and `*out` (owned: rota_conn_close), -ECANCELED / -ETIMEDOUT, or
 * negative errno: -ROTA_ECLOSING while the reactor is stopping (for those who shield themselves
 * from that), -ENOMEM, or the socket's (-ECONNREFUSED, …). `limits` is copied and may be NULL.
 * Suspends.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_connect(const struct rota_address *address,
						      const struct rota_conn_limits *limits,
						      struct rota_conn **out);

/*
 * Read what has come, at least one byte.
 *
 * view      Out: borrowed until the next read, peek or close on this connection.
 * Returns   bytes read (> 0), 0 at the orderly end of the stream and, with nothing left to read,
 *           when the server drains, or
 *           -ETIMEDOUT / -ECANCELED  a scope was cancelled; nothing was consumed
 *           -ECONNRESET, -ETIMEDOUT … the connection is dead: close it
 *           -ENOMEM  no memory for what has come
 * Suspends  yes. At most one reader at a time (asserted).
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int64_t rota_conn_read(struct rota_conn *conn,
							    struct rota_view *view);

/*
 * Wait for at least `bytes_min` unconsumed bytes and look at them, and at what else can be seen
 * without copying it, consuming none: rota_conn_consume does. Returns the bytes in `*view` (fewer
 * than `bytes_min` only where rota_conn_read would return 0 or an error next), or an error as
 * rota_conn_read; -EMSGSIZE when `bytes_min` is more than limits.input_max_bytes. Suspends.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int64_t rota_conn_peek(struct rota_conn *conn,
							    size_t bytes_min,
							    struct rota_view *view);

/* Consume the first `bytes` of what was last peeked. Never suspends; the view stays borrowed. */
ROTA_API void rota_conn_consume(struct rota_conn *conn, size_t bytes);

/*
 * Append to the output; it leaves at the end of the turn. Above the high-water mark, waits until
 * the peer has taken enough. Copies.
 *
 * Returns   view.bytes, or
 *           -ECANCELED / -ETIMEDOUT  a scope was cancelled: before the call, then nothing was
 *           appended; or during the wait, then all of it is in the output
 *           -ECONNRESET, -EPIPE …  the connection is dead, or our side has been shut
 *           -ENOMEM, -ENOBUFS  no memory, or more than limits.output_max_bytes would be pending;
 *           the connection is being closed
 * Suspends  above the high-water mark.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int64_t rota_conn_write(struct rota_conn *conn,
							     struct rota_view view);

/*
 * The output itself, for formatting in place or writing blobs; rota_conn_flush bounds what piles up
 * there.
 */
ROTA_API struct rota_output *rota_conn_output(struct rota_conn *conn);

/*
 * Wait until everything written has been taken by the socket. Returns 0, or an error as
 * rota_conn_write. Suspends.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_conn_flush(struct rota_conn *conn);

/*
 * Tell the peer that nothing more will be written, once the output has been sent. Returns 0 or as
 * rota_conn_flush. Suspends.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_conn_shutdown_write(struct rota_conn *conn);

/*
 * Close a connection made by rota_connect: what was written is still sent (bounded by the linger
 * time-out), in the background. Connections of a listener are closed by returning from their
 * handler. Never suspends; `conn` is gone.
 */
ROTA_API void rota_conn_close(struct rota_conn *conn);

/* The peer's (or our own) address. Returns 0 or negative errno. */
ROTA_API ROTA_MUST_USE int rota_conn_address(const struct rota_conn *conn, bool peer,
					     struct rota_address *out);

/* Unique among the process's connections since its start: 1, 2, … */
ROTA_API uint64_t rota_conn_id(const struct rota_conn *conn);

/* The descriptor, for getsockopt and the like; not for reading, writing or closing. */
ROTA_API int rota_conn_fd(const struct rota_conn *conn);

/*
 * Bytes of process memory the connection uses now: itself, its session, and what is gathered either
 * way.
 */
ROTA_API size_t rota_conn_memory_bytes(const struct rota_conn *conn);

/* Bytes that were received and are not consumed yet. */
ROTA_API size_t rota_conn_input_bytes(const struct rota_conn *conn);

/* Visit every connection of the current reactor; `visit` may abort sessions but not suspend. */
ROTA_API void rota_conn_each(void (*visit)(struct rota_conn *conn, void *arg), void *arg);

/*
 * Change the idle time-out (0: none) of the current reactor's listeners, and with it of every
 * connection that came by them. The idle time so far counts.
 */
ROTA_API void rota_net_set_idle_timeout(rota_ns timeout_ns);

/* The session of a connection served by a protocol; NULL in task style. */
ROTA_API struct rota_session *rota_conn_session(struct rota_conn *conn);

/*
 * From now on the handler that runs is not cancelled when its client goes away: for what is to be
 * done to its end once begun. Reads and writes on the connection fail all the same, and the
 * connection is given back when the handler returns. The reactor's stop and rota_session_abort
 * still cancel it; work that they must not cut short either stands in a shield.
 *
 * Holds until the handler returns: in task style to the end of the connection, for a protocol to
 * the end of this call of on_open or on_bytes. A client that has gone before has cancelled already.
 * Tasks in rota_session_scope are not meant. Never suspends. Thread: the handler's own task
 * (asserted).
 */
ROTA_API void rota_handler_outlives_client(void);

/* ---- foreign descriptors ---- */

/*
 * Wait until `fd` has one of `events` (POLLIN, POLLOUT …; POLLERR and POLLHUP always count).
 * Returns the events seen, or negative errno. Suspends.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_poll_fd(int fd, unsigned events);

/*
 * Read at least one byte of at most `bytes` into `data` from a non-blocking descriptor: a pipe, a
 * terminal. Returns the bytes read, 0 at the end, -ECANCELED / -ETIMEDOUT with nothing read, or
 * negative errno. Suspends if there is nothing to read.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int64_t rota_read_fd(int fd, void *data, size_t bytes);

/*
 * Write all of it to a non-blocking descriptor. Never raises SIGPIPE. Returns `bytes`; fewer when
 * it failed or was cancelled in the middle, which the next call says again; or, with nothing
 * written, -ECANCELED / -ETIMEDOUT, -EPIPE or another negative errno. Suspends if there is no room.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int64_t rota_write_fd(int fd, const void *data, size_t bytes);

/* ---- looking ---- */

struct rota_net_stats {
	uint64_t connections;   /* open now */
	uint64_t accepted;      /* since the start, handed-over ones counted where they live */
	uint64_t rejected;      /* closed at once: no memory, or the protocol said no */
	uint64_t accept_pauses; /* out of descriptors */
	/* copied out of the engine's buffers, as a handler was suspended or a request cut in two */
	uint64_t copied_bytes;
	uint64_t received_bytes;
	uint64_t sent_bytes;
	uint64_t sends;           /* send operations */
	uint64_t buffer_waits;    /* times a connection waited in line for a receive buffer */
	uint64_t input_pauses;    /* receiving stopped at the high-water mark */
	uint64_t output_cut_offs; /* peers that did not read */
	uint64_t idle_closes;
	uint64_t workers;            /* worker tasks now */
	uint64_t handlers_suspended; /* of them, waiting inside a handler */
};

/* The current reactor's counters, copied to `out`. */
ROTA_API void rota_net_stats(struct rota_net_stats *out);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_NET_H */
