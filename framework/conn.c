/* SPDX-License-Identifier: MIT */
/*
 * Connections: receiving, sending, and the way to the close. Belongs to one reactor; everything
 * here runs in the reactor's own context or in the task that serves the connection, and never
 * suspends.
 *
 * Every event stores what it brought and calls rota__conn_advance(), which looks at the state and
 * does what is to be done next. So no event has to know what the others are waiting for.
 */
#include <poll.h>
#include <string.h>

#include <rota/error.h>
#include <rota/memory.h>

#include "framework/net_internal.h"

/*
 * What a closing connection still swallows before it is cut off: a peer that sends on without end
 * is not owed more.
 */
#define LINGER_BYTES_MAX (1u << 20)

static void receive_completed(struct rota_op *op, const struct rota_completion *completion);
static void send_completed(struct rota_op *op, const struct rota_completion *completion);
static void close_completed(struct rota_op *op, const struct rota_completion *completion);
static void timer_fired(struct rota_timer *timer);
static void arm_receive(struct rota_conn *conn);
static void stop_receiving(struct rota_conn *conn);
static void take_step(struct rota_conn *conn);

/* ---- birth ---- */

struct rota_conn *rota__conn_create(struct net *net, int fd, struct rota_listener *listener,
				    const struct rota_conn_limits *limits)
{
	/* Process-wide, so that an id names a connection wherever it has been handed to. */
	static uint64_t last_id;
	const struct rota_protocol *protocol = listener ? listener->options.protocol : NULL;
	size_t state_bytes = protocol ? protocol->session_bytes : sizeof(struct stream);
	struct rota_conn *conn = rota_calloc(1, sizeof(*conn) + state_bytes);

	if (!conn)
		return NULL;
	if (!listener) {
		struct stream *stream = rota__stream(conn);

		stream->own_limits = *limits;
		limits = &stream->own_limits;
	}
	conn->reactor = net->reactor;
	conn->listener = listener;
	conn->limits = limits;
	conn->id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
	conn->active_at = net->reactor->now;
	conn->is_stream = !protocol;
	conn->is_new = protocol;
	conn->is_draining = net->is_draining;
	conn->is_deaf = true;
	conn->receive.complete = receive_completed;
	conn->receive.fd = fd;
	conn->send.fd = fd;
	conn->output.bytes_max = limits->output_max_bytes;
	conn->output.is_conns = true;
	rota_list_push_back(&net->conns, &conn->link);
	rota_list_init(&conn->wait_link);
	rota_timer_init(&conn->timer, timer_fired);
	if (limits->idle_timeout_ns)
		rota_timer_arm(&conn->timer, conn->active_at + limits->idle_timeout_ns);
	if (listener)
		listener->references++;
	net->stats.connections++;
	rota__record(net->reactor, ROTA_RECORD_OPEN, conn->id);
	rota__conn_advance(conn);
	return conn;
}

/* ---- the state machine ---- */

/*
 * Nobody will ask for more: what was complete has been answered, and the rest never comes (end of
 * stream) or has not begun (draining).
 */
static bool session_is_over(const struct rota_conn *conn)
{
	if (conn->state != CONN_OPEN || conn->is_stream)
		return false;
	if (rota__conn_is_served(conn) || conn->is_ready || conn->is_full)
		return false;
	return conn->has_eof || (conn->is_draining && !rota__conn_input_bytes(conn));
}

/* Only sending goes on, and that not longer than the linger time-out without progress. */
static void start_finishing(struct rota_conn *conn)
{
	conn->state = CONN_FINISHING;
	conn->discarded_bytes = 0; /* that was in_copied_bytes */
	rota_timer_arm(&conn->timer, conn->reactor->now + conn->limits->linger_timeout_ns);
}

/*
 * Counted from when bytes last moved: a peer that has had the whole linger time-out to read what it
 * was sent loses nothing more by a reset.
 */
static void start_lingering(struct rota_conn *conn)
{
	const struct rota_backend_ops *engine = conn->reactor->engine;

	conn->state = CONN_LINGERING;
	if (!conn->is_shut && engine->shutdown(conn->reactor->backend, conn->send.fd, SHUT_WR) < 0)
		conn->state = CONN_CLOSING; /* not connected any more */
	conn->is_shut = true;
	rota_timer_arm(&conn->timer, conn->active_at + conn->limits->linger_timeout_ns);
}

static void start_closing(struct rota_conn *conn)
{
	conn->state = CONN_CLOSING;
	rota_timer_disarm(&conn->timer);
}

/*
 * Not all of it will be sent, so a peer that has got only a part must not take the end for its end.
 */
static void let_close_reset(struct rota_conn *conn)
{
	rota_ignore(conn->reactor->engine->shutdown(conn->reactor->backend, conn->send.fd,
						    ROTA_SHUT_RESET),
		    "an ordinary end is the next best");
}

static void stop_sending(struct rota_conn *conn)
{
	rota__op_cancel(conn->reactor, &conn->send);
	/* Else it would be lent for as long as the peer likes. */
	if (conn->reactor->backend->features & ROTA_BACKEND_KEEPS_SENDS)
		let_close_reset(conn);
}

/* Cancel what is lent; close when nothing is, nobody serves it, and no queue holds it. */
static void close_when_quiet(struct rota_conn *conn)
{
	stop_receiving(conn);
	if (conn->send_is_lent)
		stop_sending(conn);
	if (!conn->is_deaf || conn->send_is_lent || rota__conn_is_served(conn) || conn->is_held ||
	    conn->is_ready || conn->is_flushing)
		return;
	rota_list_remove(&conn->wait_link);
	rota__conn_return_buffers(conn);
	if (conn->output.pending_bytes || conn->output.error)
		let_close_reset(conn);
	rota__output_clear(&conn->output);
	conn->send.kind = ROTA_OP_CLOSE;
	conn->send.complete = close_completed;
	conn->send_is_lent = true;
	rota__op_submit(conn->reactor, &conn->send);
}

/* Room for more unconsumed input. */
static inline bool has_room(const struct rota_conn *conn)
{
	size_t input = rota__conn_input_bytes(conn);

	return ROTA_LIKELY(input <= conn->limits->input_high_bytes) || input < conn->need_bytes ||
	       !input;
}

/* Open, receiving, and to go on like that: what nearly every event leaves behind. */
static inline bool is_steady_now(const struct rota_conn *conn)
{
	return ROTA_LIKELY(!conn->exceptions) && has_room(conn);
}

void rota__conn_advance(struct rota_conn *conn)
{
	if (ROTA_UNLIKELY(!is_steady_now(conn)))
		take_step(conn);
}

static void take_step(struct rota_conn *conn)
{
	if (session_is_over(conn))
		start_finishing(conn);
	if (conn->state == CONN_FINISHING && !rota__conn_is_served(conn) &&
	    !conn->output.pending_bytes && !conn->send_is_lent) {
		if (conn->has_eof)
			start_closing(conn);
		else
			start_lingering(conn);
	}
	if (conn->state == CONN_LINGERING &&
	    (conn->has_eof || conn->discarded_bytes > LINGER_BYTES_MAX))
		start_closing(conn);
	if (conn->state == CONN_CLOSING) {
		if (conn->send.kind != ROTA_OP_CLOSE)
			close_when_quiet(conn);
		return;
	}
	arm_receive(conn);
}

void rota__conn_finish(struct rota_conn *conn)
{
	if (conn->state != CONN_OPEN)
		return;
	start_finishing(conn);
	/*
	 * What was received is not served any more; a handler that runs may still look at it, and
	 * gives it back when it returns.
	 */
	if (!conn->task)
		rota__conn_return_buffers(conn);
	rota__conn_advance(conn);
}

void rota__conn_abort(struct rota_conn *conn, int error, enum rota_cancel_kind kind,
		      const char *why)
{
	struct rota_cancel_reason reason = { .kind = kind, .error = -ECANCELED, .why = why };

	if (conn->state == CONN_CLOSING)
		return;
	/* The first reason stays; how the peer ends a session that is over is no reason. */
	if (!conn->error && conn->state != CONN_LINGERING)
		conn->error = error;
	start_closing(conn);
	if (conn->task && conn->task->client_scope &&
	    !(kind == ROTA_CANCEL_CLIENT_GONE && conn->task->outlives_client))
		rota__scope_cancel(conn->reactor, conn->task->client_scope, &reason);
	rota__session_cancel(conn, &reason);
	if (conn->is_stream) {
		rota__stream_input(conn);
		rota__stream_output(conn);
	}
	rota__conn_advance(conn);
}

void rota_handler_outlives_client(void)
{
	struct rota_task *task = rota__task();

	ROTA_ASSERT(task->client_scope != NULL); /* only a handler has a client */
	task->outlives_client = true;
}

/* The connection's handler is doing nothing but wait for the other side. */
static bool waits_for_peer(struct rota_conn *conn)
{
	if (!conn->is_stream)
		return false;
	return rota__stream(conn)->reader || rota__stream(conn)->writer;
}

static void timer_fired(struct rota_timer *timer)
{
	struct rota_conn *conn = ROTA_CONTAINER_OF(timer, struct rota_conn, timer);
	rota_ns bound = conn->state == CONN_OPEN ? conn->limits->idle_timeout_ns
						 : conn->limits->linger_timeout_ns;
	rota_ns due = conn->active_at + bound;
	bool is_busy = rota__conn_is_served(conn) && !waits_for_peer(conn);

	/*
	 * Lazy: bytes only note the time, and the timer asks how long ago that was. A running
	 * handler is not idleness.
	 */
	if (is_busy)
		conn->active_at = conn->reactor->now;
	if (is_busy || (due > conn->reactor->now && conn->state != CONN_LINGERING)) {
		rota_timer_arm(timer, conn->active_at + bound);
		return;
	}
	if (conn->state == CONN_OPEN)
		conn->reactor->net->stats.idle_closes++;
	rota__conn_abort(conn, -ETIMEDOUT, ROTA_CANCEL_CLIENT_GONE,
			 "the connection was idle too long");
}

/* ---- receiving ---- */

/*
 * Both sides having shut theirs looks like a hang-up, and is an orderly end: what they sent before
 * may still be unread.
 */
static void poll_ended(struct rota_conn *conn, int32_t events)
{
	if (events & (POLLERR | POLLHUP)) {
		conn->peer_is_shut = conn->is_shut && !(events & POLLERR);
		if (!conn->peer_is_shut) {
			rota__conn_abort(conn, -ECONNRESET, ROTA_CANCEL_CLIENT_GONE,
					 "the client is gone");
			return;
		}
	}
	if (conn->eof_is_doubtful) {
		conn->eof_is_doubtful = false;
		conn->has_eof = true;
	}
}

/*
 * A receive brought no bytes, or it was the poll for a hang-up that ended. After a reset, the first
 * who asks is told of it, and the next that the stream is over. A reader must not take that for an
 * orderly end, so where a send may have been first, a poll has to find no hang-up.
 */
static ROTA_NOINLINE void receive_ended(struct rota_conn *conn, int32_t result)
{
	if (conn->receive_is_poll && result >= 0) {
		poll_ended(conn, result);
	} else if (result == 0) {
		conn->eof_is_doubtful = conn->is_stream && conn->send_is_lent;
		conn->has_eof = !conn->eof_is_doubtful;
	} else if (result == -ENOBUFS) {
		conn->reactor->net->stats.buffer_waits++;
		rota_list_push_back(&conn->reactor->net->starved, &conn->wait_link);
	} else if (result != -ECANCELED) {
		rota__conn_abort(conn, result, ROTA_CANCEL_CLIENT_GONE, "the client is gone");
	}
}

/* Whatever it is. */
static ROTA_NOINLINE void receive_any(struct rota_conn *conn,
				      const struct rota_completion *completion)
{
	struct net *net = conn->reactor->net;
	bool is_steady;

	if (!(completion->flags & ROTA_COMPLETION_MORE)) {
		conn->is_deaf = true;
		conn->receive_is_cancelled = false;
	}
	if (completion->result > 0 && !conn->receive_is_poll) {
		/* what is only discarded does not prolong the end */
		if (conn->state == CONN_OPEN)
			conn->active_at = conn->reactor->now;
		net->stats.received_bytes += (uint32_t)completion->result;
		/* What that would come to anyway, a shorter way. */
		if (rota__conn_is_at_rest(conn) && net->buffers_held < net->held_idle_max)
			rota__conn_hold(conn, completion);
		else
			rota__conn_take_input(conn, completion);
	} else {
		receive_ended(conn, completion->result);
	}
	is_steady = is_steady_now(conn);
	if (conn->is_stream)
		rota__stream_input(conn);
	else
		rota__session_ready(conn);
	if (!is_steady)
		take_step(conn);
}

/* Nearly always: some bytes for a session that has none, and goes on receiving. */
static void receive_completed(struct rota_op *op, const struct rota_completion *completion)
{
	struct rota_conn *conn = ROTA_CONTAINER_OF(op, struct rota_conn, receive);
	struct rota_reactor *reactor = conn->reactor;
	struct net *net = reactor->net;

	if (ROTA_UNLIKELY(completion->result <= 0 || !(completion->flags & ROTA_COMPLETION_MORE) ||
			  conn->is_stream || !rota__conn_is_at_rest(conn) ||
			  (uint32_t)completion->result > conn->limits->input_high_bytes ||
			  net->buffers_held >= net->held_idle_max)) {
		receive_any(conn, completion);
		return;
	}
	conn->active_at = reactor->now;
	net->stats.received_bytes += (uint32_t)completion->result;
	rota__conn_hold(conn, completion);
	if (!conn->is_ready && !conn->task && conn->in_bytes >= conn->need_bytes)
		rota__session_queue(conn);
}

static void stop_receiving(struct rota_conn *conn)
{
	if (conn->is_deaf || conn->receive_is_cancelled)
		return;
	conn->receive_is_cancelled = true;
	rota__op_cancel(conn->reactor, &conn->receive);
}

static void submit_receive(struct rota_conn *conn, bool is_poll)
{
	conn->receive.kind = is_poll ? ROTA_OP_POLL : ROTA_OP_RECEIVE;
	/* hang-up and error count always */
	conn->receive.events = conn->eof_is_doubtful ? POLLIN : 0;
	conn->receive_is_poll = is_poll;
	conn->is_deaf = false;
	rota__op_submit(conn->reactor, &conn->receive);
}

/* Keep receiving while there is room; otherwise only watch for the peer leaving. */
static void arm_receive(struct rota_conn *conn)
{
	/* Whatever comes after the last request is discarded: for that there is always room. */
	bool wants_input = !conn->has_eof && !conn->eof_is_doubtful &&
			   (conn->state != CONN_OPEN || has_room(conn));

	if (!conn->is_deaf) {
		if (conn->receive_is_poll ? wants_input : !wants_input) {
			if (!conn->receive_is_poll && !conn->receive_is_cancelled)
				conn->reactor->net->stats.input_pauses++;
			stop_receiving(conn);
		}
		return;
	}
	if (!rota_list_is_empty(&conn->wait_link))
		return; /* in line for a buffer */
	if (!wants_input && conn->is_shut && (conn->has_eof || conn->peer_is_shut))
		return; /* nothing more can be learnt before there is room */
	submit_receive(conn, !wants_input);
}

/* ---- sending ---- */

/* What is in several chunks goes out at once. */
static ROTA_NOINLINE void gather_send(struct rota_conn *conn)
{
	struct chunk *chunk = conn->output.first;
	struct gather *gather;
	size_t count = 0;

	while (!chunk->bytes) /* reserved, and nothing committed */
		chunk = chunk->next;
	conn->send.send.data = chunk->data;
	conn->send.send.bytes = chunk->bytes;
	gather = chunk->next ? rota__gather_acquire(conn->reactor->net) : NULL;
	if (!gather)
		return; /* one chunk, or no memory: it goes alone */
	for (; chunk && count < GATHER_MAX; chunk = chunk->next)
		if (chunk->bytes)
			gather->pieces[count++] = (struct iovec){ (void *)chunk->data,
								  chunk->bytes };
	gather->message = (struct msghdr){ .msg_iov = gather->pieces, .msg_iovlen = count };
	conn->send.kind = ROTA_OP_SEND_MESSAGE;
	conn->send.message = &gather->message;
}

static inline void submit_send(struct rota_conn *conn)
{
	const struct chunk *chunk = conn->output.first;

	conn->send.complete = send_completed;
	conn->send.kind = ROTA_OP_SEND;
	conn->send.send.data = chunk->data;
	conn->send.send.bytes = chunk->bytes;
	if (ROTA_UNLIKELY(chunk->next != NULL))
		gather_send(conn);
	else if (!conn->is_stream && !conn->exceptions)
		conn->send.flags_ = ROTA_OP_PATIENT;
	conn->active_at = conn->reactor->now;
	conn->send_is_lent = true;
	conn->reactor->net->stats.sends++;
	rota__op_submit(conn->reactor, &conn->send);
}

/* There is nothing to send, or no sense in it. */
static ROTA_NOINLINE void flush_nothing(struct rota_conn *conn)
{
	if (conn->output.error && conn->state != CONN_CLOSING) {
		conn->reactor->net->stats.output_cut_offs += conn->output.error == -ENOBUFS;
		rota__conn_abort(conn, conn->output.error, ROTA_CANCEL_CLIENT_GONE,
				 conn->output.error == -ENOBUFS
					 ? "the client does not read its replies"
					 : "no memory for its replies");
	} else {
		rota__conn_advance(conn);
	}
}

void rota__conn_flush(struct rota_conn *conn)
{
	conn->is_flushing = false;
	if (ROTA_UNLIKELY(!conn->output.pending_bytes || conn->output.error ||
			  conn->state == CONN_CLOSING))
		flush_nothing(conn);
	else if (!conn->send_is_lent)
		submit_send(conn);
}

static ROTA_NOINLINE void send_failed(struct rota_conn *conn, int error)
{
	rota__conn_abort(conn, error, ROTA_CANCEL_CLIENT_GONE, "the client is gone");
	rota__conn_advance(conn);
}

/* Some of the output is out: go on, and tell those who wait for that. */
static ROTA_NOINLINE void go_on_sending(struct rota_conn *conn, size_t bytes)
{
	rota__output_consume(&conn->output, bytes);
	if (conn->output.pending_bytes && conn->state != CONN_CLOSING)
		rota__conn_want_flush(conn);
	if (conn->is_stream)
		rota__stream_output(conn);
	if (!conn->exceptions)
		return; /* sending changes nothing for receiving */
	if (conn->is_full && conn->output.pending_bytes <= conn->limits->output_high_bytes / 2) {
		conn->is_full = false;
		rota__session_ready(conn);
	}
	take_step(conn);
}

static void send_completed(struct rota_op *op, const struct rota_completion *completion)
{
	struct rota_conn *conn = ROTA_CONTAINER_OF(op, struct rota_conn, send);
	struct net *net = conn->reactor->net;

	conn->send_is_lent = false;
	if (ROTA_UNLIKELY(op->kind == ROTA_OP_SEND_MESSAGE))
		rota__gather_release(net, ROTA_CONTAINER_OF(op->message, struct gather, message));
	if (ROTA_UNLIKELY(completion->result < 0)) {
		send_failed(conn, completion->result);
		return;
	}
	net->stats.sent_bytes += (uint32_t)completion->result;
	if (!(completion->flags & ROTA_COMPLETION_LATE))
		conn->active_at = conn->reactor->now;
	/* Nearly always that was all, in one chunk, and nobody waits for it. */
	if (ROTA_UNLIKELY(conn->is_stream || conn->exceptions) ||
	    !rota__output_sent(&conn->output, net, (size_t)completion->result))
		go_on_sending(conn, (size_t)completion->result);
}

/* ---- the end ---- */

/* A guess: more than a test closes before it uses one of them. */
#define GONE_KEPT 64

static void forget_oldest(struct net *net)
{
	struct rota_link *link = rota_list_pop_front(&net->gone);

	rota_free(ROTA_CONTAINER_OF(link, struct rota_conn, link));
	net->gone_count--;
}

void rota__conn_forget_gone(struct net *net)
{
	while (net->gone_count)
		forget_oldest(net);
}

static void give_memory_back(struct rota_conn *conn)
{
	struct net *net = conn->reactor->net;

	if (!ROTA_DEBUG) {
		rota_free(conn);
		return;
	}
	conn->state = CONN_GONE;
	rota_list_push_back(&net->gone, &conn->link);
	if (++net->gone_count > GONE_KEPT)
		forget_oldest(net);
}

static void close_completed(struct rota_op *op, const struct rota_completion *completion)
{
	struct rota_conn *conn = ROTA_CONTAINER_OF(op, struct rota_conn, send);
	struct net *net = conn->reactor->net;

	(void)completion; /* the descriptor is gone whatever close said */
	if (conn->is_stream)
		rota__stream_fini(conn);
	else if (!conn->is_new)
		conn->listener->options.protocol->on_close((struct rota_session *)conn,
							   conn->error);
	rota__session_fini(conn);
	rota_timer_disarm(&conn->timer);
	rota_list_remove(&conn->link);
	rota_buffer_fini(&conn->spill);
	net->stats.connections--;
	rota__record(net->reactor, ROTA_RECORD_CLOSE, conn->id);
	__atomic_fetch_sub(&net->load, 1, __ATOMIC_RELAXED);
	if (conn->listener)
		rota__listener_unref(conn->listener);
	give_memory_back(conn);
	rota__net_descriptor_freed(net);
}
