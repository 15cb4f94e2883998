/* SPDX-License-Identifier: MIT */
/*
 * CONTRACT for protocols: how bytes become requests and replies. Implemented in protocols/ and by
 * anybody outside the tree. All calls are made by a worker task on the reactor that owns the
 * session; one session is served by one task at a time.
 *
 * The one idea: an idle connection owns no stack. A worker task serves ready sessions one after
 * another; a handler that suspends keeps its worker, and another worker goes on with the other
 * sessions. So on_bytes may await anything, anywhere, and costs no switch when it doesn't. A
 * protocol sees bytes and an output, never a socket.
 */
#ifndef ROTA_PROTOCOL_H
#define ROTA_PROTOCOL_H

#include <rota/base.h>
#include <rota/buffer.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rota_conn;
struct rota_scope;
struct rota_session;

/* ---- output: replies gathered on a connection, sent once per turn ---- */

/*
 * Writing never fails where it is called: when memory runs out the output is marked failed, what is
 * written after that goes nowhere, and the framework closes the connection. So replies are
 * formatted without a check per line.
 */
struct rota_output;

/* The most rota_output_reserve can give at once. */
#define ROTA_OUTPUT_RESERVE_BYTES_MAX 4096

/* Append a copy of `bytes` bytes. Never suspends. */
ROTA_API void rota_output_write(struct rota_output *output, const void *data, size_t bytes);

/*
 * Room for `bytes` (<= ROTA_OUTPUT_RESERVE_BYTES_MAX) contiguous bytes to format into; never NULL.
 * Borrowed until the next call on `output` or the next suspension; nothing is appended until
 * rota_output_commit says how many were used.
 */
ROTA_API char *rota_output_reserve(struct rota_output *output, size_t bytes);
ROTA_API void rota_output_commit(struct rota_output *output, size_t bytes);

/*
 * Append `bytes` of `blob` from `offset` by reference: takes one reference of its own, unrefs it
 * when sent.
 */
ROTA_API void rota_output_blob(struct rota_output *output, struct rota_blob *blob, size_t offset,
			       size_t bytes);

/* Bytes written and not yet taken by the peer's socket. */
ROTA_API size_t rota_output_pending_bytes(const struct rota_output *output);

/* True once memory ran out; everything written since is lost and the connection will close. */
ROTA_API bool rota_output_failed(const struct rota_output *output);

/*
 * An output of its own, for tests and for building a reply ahead: gathers up to `bytes_max`, then
 * counts as failed.
 */
ROTA_API ROTA_MUST_USE struct rota_output *rota_output_create(size_t bytes_max);
ROTA_API void rota_output_destroy(struct rota_output *output);

/*
 * Copy up to `bytes_max` of what was gathered to `out` and drop it from the output. Returns the
 * bytes copied. For an output of its own only.
 */
ROTA_API size_t rota_output_take(struct rota_output *output, void *out, size_t bytes_max);

/* ---- session: one protocol's state on one connection ---- */

/*
 * The protocol's own memory, rota_protocol.session_bytes of it, zeroed before on_open; lives until
 * on_close returned.
 */
ROTA_API void *rota_session_state(struct rota_session *session);

/* Where replies go. */
ROTA_API struct rota_output *rota_session_output(struct rota_session *session);

/* The `arg` given with the protocol when the listener was made. */
ROTA_API void *rota_session_arg(struct rota_session *session);

/* The connection underneath: peer address, limits, counters. Not for reading or writing. */
ROTA_API struct rota_conn *rota_session_conn(struct rota_session *session);

/*
 * The session's own scope (<rota/scope.h>), for tasks that outlive the call that spawns them, such
 * as the streams of one connection. Made when it is first asked for, so that idle sessions do not
 * pay for it; NULL: no memory. Borrowed until on_close. Call it inside on_open and on_bytes, or in
 * a task of the scope (asserted); never suspends.
 *
 * on_bytes is called while its tasks run, and they may write to the session's output and use its
 * state. A task that fails is logged and cancels no other. All are cancelled when the session is
 * aborted or its connection is lost, when its handler returns an error, and when the reactor stops.
 * Otherwise the session waits for them: after the peer's end of the stream, after
 * rota_session_finish, and while a server drains, it ends when the last has ended and what they
 * wrote has been sent. A session with a running task is not idle. on_close comes after the last.
 */
ROTA_API struct rota_scope *rota_session_scope(struct rota_session *session);

/*
 * Do not call on_bytes again before `bytes` bytes are there in all (the unconsumed ones included).
 * A hint that saves parsing the head of a long request again and again; holds for the next call
 * only. Call it inside on_bytes.
 */
ROTA_API void rota_session_need(struct rota_session *session, size_t bytes);

/*
 * For looking ahead, inside on_bytes: the session that stands in line behind `session`, which is
 * the one being served or one that this call has returned; NULL when there is none. A protocol can
 * bring in what it will touch, so that waiting for memory is done for several at once. A hint:
 * whether it is served, and with what, may still change. Its pointer and `input`, what has come for
 * it, are borrowed until the handler returns or suspends; `input` is set only when there is one.
 */
ROTA_API const struct rota_session *rota_session_after(const struct rota_session *session,
						       struct rota_view *input);

/*
 * True when so much output waits for the peer that it is better to stop here: consume no further
 * request, return, and on_bytes is called again with the rest once the peer has read. Bounds what
 * one call can pile up.
 */
ROTA_API bool rota_session_is_full(const struct rota_session *session);

/*
 * Close once what was written has been sent: nothing more is parsed; the close lingers, so that the
 * peer can read the last reply. Any time on the session's reactor. Never suspends.
 */
ROTA_API void rota_session_finish(struct rota_session *session);

/*
 * Close now; unsent output is dropped and the session's running handler, if any, is cancelled with
 * reason `why` (static string). Any time on the session's reactor. Never suspends.
 */
ROTA_API void rota_session_abort(struct rota_session *session, const char *why);

/* ---- the table ---- */

/*
 * All slots are set; rota_protocol_default_open / _close serve those who have nothing to do there.
 *
 * Each call of on_open and on_bytes runs in a scope of its own, which is cancelled when the session
 * is aborted, its connection lost, or the reactor stops. A scope that the call opens inside it must
 * be closed before it returns (asserted), so what was spawned there has ended by then. What is to
 * go on after the call is spawned into rota_session_scope.
 */
struct rota_protocol {
	const char *name;
	/* size of the state per session; kept small: it is what an idle connection costs */
	size_t session_bytes;

	/*
	 * A connection was accepted. May suspend. Returns 0, or negative errno to close at once
	 * (on_close follows).
	 */
	int (*on_open)(struct rota_session *session);

	/*
	 * Bytes have come: `bytes` starts at the first unconsumed byte and has at least one, though
	 * not always all that are there: they may be in several receive buffers. Consume as many
	 * complete requests as it holds and write the replies, in order. The view dies at the
	 * handler's first suspension: keep before it what is needed after. May suspend.
	 * Returns
	 *   >= 0   bytes consumed, at most bytes.bytes. What is left is offered again: at once when
	 *          something was consumed and rota_session_need was not called, so that one call
	 *          may take one request; otherwise when there is more of it than this call saw, or
	 *          as much as it needs. Above the output's high-water mark, once the peer has read.
	 *   < 0    negative errno: what was written is still sent, then the connection closes
	 *          (lingering)
	 */
	int64_t (*on_bytes)(struct rota_session *session, struct rota_view bytes);

	/*
	 * The session is over. `reason` is what ended it first: 0 when it ended in order (the
	 * peer's end of the stream, rota_session_finish, a draining server), the negative errno
	 * that on_open or on_bytes returned, -ECANCELED (rota_session_abort, the reactor stops), or
	 * what the connection died of (-ECONNRESET, -ETIMEDOUT, -ENOBUFS …). How the peer behaves
	 * after the last reply has been sent changes nothing. No other call follows and none is
	 * running. May not suspend.
	 */
	void (*on_close)(struct rota_session *session, int reason);
};

/* For slots with nothing to do. */
ROTA_API int rota_protocol_default_open(struct rota_session *session);
ROTA_API void rota_protocol_default_close(struct rota_session *session, int reason);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_PROTOCOL_H */
