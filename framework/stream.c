/* SPDX-License-Identifier: MIT */
/*
 * Connections in task style: reading and writing as if it blocked. Belongs to one reactor.
 *
 * A reader's view is of the receive buffer or of `held`, which is older than all other input (see
 * input.c). Both stay where they are until the next read, whatever arrives meanwhile.
 */
#include <rota/error.h>
#include <rota/log.h>
#include <rota/memory.h>

#include "framework/await.h"
#include "framework/net_internal.h"

static size_t held_bytes(struct stream *stream)
{
	return stream->held.bytes - stream->held_start;
}

/* ---- a task per connection ---- */

static int64_t handler_main(void *arg)
{
	struct rota_conn *conn = arg;
	const struct rota_listener_options *options = &conn->listener->options;
	struct rota_scope scope;
	int64_t result;

	rota_scope_open(&scope, ROTA_NEVER);
	conn->task->client_scope = &scope;
	if (conn->error) /* it went before its task first ran */
		rota_scope_cancel(&scope, "the client is gone");
	result = options->handler(conn, options->arg);
	rota_ignore(rota_scope_close(&scope), "the handler's own result decides");
	conn->task = NULL;
	conn->is_held = false;
	/*
	 * A dead connection says why itself; any other failure is the handler's and should be seen.
	 */
	if (result >= 0 || conn->error || conn->state != CONN_OPEN)
		result = 0;
	rota__conn_finish(conn);
	rota__conn_advance(conn);
	return result;
}

int rota__stream_start(struct rota_conn *conn)
{
	const struct rota_listener_options *options = &conn->listener->options;
	struct rota_spawn_options spawn = { .name = options->name,
					    .group = conn->listener->crew->group };

	int status = rota__task_create(conn->reactor, &conn->reactor->root, handler_main, conn,
				       &spawn, ROTA_SITE("connection"), &conn->task);

	conn->is_held = status == 0;
	return status;
}

void rota__stream_fini(struct rota_conn *conn)
{
	rota_buffer_fini(&rota__stream(conn)->held);
}

/*
 * A draining server's connection counts as ended for its reader when nothing of a request has come.
 * What the program itself connected to goes on.
 */
static bool ends_by_draining(struct rota_conn *conn)
{
	return conn->is_draining && conn->listener && !held_bytes(rota__stream(conn)) &&
	       !rota__conn_input_bytes(conn);
}

void rota__stream_input(struct rota_conn *conn)
{
	struct stream *stream = rota__stream(conn);
	size_t input = held_bytes(stream) + rota__conn_input_bytes(conn);

	if (stream->reader && (conn->error || conn->has_eof || conn->state != CONN_OPEN ||
			       input >= conn->need_bytes || ends_by_draining(conn))) {
		rota_future_complete(stream->reader, 0);
		stream->reader = NULL;
	}
}

void rota__stream_output(struct rota_conn *conn)
{
	struct stream *stream = rota__stream(conn);

	if (stream->writer &&
	    (conn->error || conn->output.pending_bytes <= stream->drained_bytes)) {
		rota_future_complete(stream->writer, 0);
		stream->writer = NULL;
	}
}

/* Wait for the peer in `*place`, until somebody completes it there. From here on it may be idle. */
static int wait_in(struct rota_conn *conn, struct rota_future **place, enum rota_wait_kind kind)
{
	struct conn_wait wait = { .conn = conn };
	int status;

	ROTA_ASSERT(!*place); /* one reader, one writer at a time */
	conn->active_at = conn->reactor->now;
	rota_future_init(&wait.future);
	wait.future.kind_ = (uint8_t)kind;
	*place = &wait.future;
	status = (int)rota__await(&wait.future);
	*place = NULL;
	return status;
}

/* ---- reading ---- */

/* The reader is done with what it looked at. */
static void end_borrow(struct rota_conn *conn)
{
	struct stream *stream = rota__stream(conn);

	if (conn->in_is_borrowed) {
		conn->in_is_borrowed = false;
		if (!conn->in_bytes)
			rota__conn_return_held(conn);
	}
	if (stream->held.data && !held_bytes(stream)) {
		rota_buffer_fini(&stream->held);
		stream->held_start = 0;
	}
}

/* Nothing is held: the spill takes its place, without a copy. */
static void hold_spill(struct rota_conn *conn)
{
	struct stream *stream = rota__stream(conn);

	rota_buffer_fini(&stream->held);
	stream->held = conn->spill;
	stream->held_start = conn->spill_start;
	rota_buffer_init(&conn->spill);
	conn->spill_start = 0;
}

/* Have `bytes` of the input, which are there, in `held`. */
static int hold(struct rota_conn *conn, size_t bytes)
{
	struct stream *stream = rota__stream(conn);

	if (!held_bytes(stream))
		hold_spill(conn);
	if (held_bytes(stream) >= bytes)
		return 0;
	rota_buffer_consume(&stream->held, stream->held_start);
	stream->held_start = 0;
	bytes -= stream->held.bytes;
	if (rota_buffer_reserve(&stream->held, bytes) < 0)
		return -ENOMEM;
	conn->reactor->net->stats.copied_bytes += bytes;
	while (bytes) {
		struct rota_view piece = rota__conn_input(conn);

		piece.bytes = rota_min_size(piece.bytes, bytes);
		rota_ignore(rota_buffer_append(&stream->held, piece.data, piece.bytes),
			    "the room is reserved");
		rota__conn_consume(conn, piece.bytes);
		bytes -= piece.bytes;
	}
	return 0;
}

/* Look at what is in several places, or out of the receive buffers, or less than was asked for. */
static ROTA_NOINLINE int64_t look_at_held(struct rota_conn *conn, struct rota_view *view)
{
	struct stream *stream = rota__stream(conn);
	size_t input = held_bytes(stream) + rota__conn_input_bytes(conn);
	int status;

	if (!input)
		return conn->error;
	status = hold(conn, rota_min_size(conn->need_bytes, input));
	if (status < 0)
		return status;
	*view = rota_view_of(stream->held.data + stream->held_start, held_bytes(stream));
	return (int64_t)view->bytes;
}

/* For public function `call`. */
static ROTA_SUSPENDS int64_t peek(struct rota_conn *conn, size_t bytes_min, struct rota_view *view,
				  const char *call)
{
	struct stream *stream = rota__stream(conn);
	int status = rota_check_cancelled();

	rota__check_held(conn, call);
	if (status < 0)
		return status;
	if (bytes_min > conn->limits->input_max_bytes)
		return -EMSGSIZE;
	end_borrow(conn);
	conn->need_bytes = rota_max_size(bytes_min, 1);
	while (held_bytes(stream) + rota__conn_input_bytes(conn) < conn->need_bytes &&
	       !conn->has_eof && !conn->error && !ends_by_draining(conn)) {
		rota__conn_advance(conn); /* there may be room again */
		status = wait_in(conn, &stream->reader, ROTA_WAIT_CONN_INPUT);
		if (status < 0)
			return status;
	}
	if (ROTA_UNLIKELY(conn->in_bytes < conn->need_bytes || stream->held.data ||
			  conn->spill.bytes))
		return look_at_held(conn, view);
	conn->in_is_borrowed = true;
	*view = rota_view_of(conn->in_data, conn->in_bytes);
	return (int64_t)view->bytes;
}

int64_t rota_conn_peek(struct rota_conn *conn, size_t bytes_min, struct rota_view *view)
{
	return peek(conn, bytes_min, view, __func__);
}

void rota_conn_consume(struct rota_conn *conn, size_t bytes)
{
	struct stream *stream = rota__stream(conn);

	rota__check_held(conn, __func__);
	if (conn->in_is_borrowed) {
		rota__conn_consume_part(conn, bytes);
	} else {
		ROTA_ASSERT(bytes <= held_bytes(stream));
		stream->held_start += bytes;
	}
	rota__conn_advance(conn);
}

int64_t rota_conn_read(struct rota_conn *conn, struct rota_view *view)
{
	int64_t bytes = peek(conn, 1, view, __func__);

	if (bytes > 0)
		rota_conn_consume(conn, (size_t)bytes);
	return bytes;
}

/* ---- writing ---- */

struct rota_output *rota_conn_output(struct rota_conn *conn)
{
	rota__check_held(conn, __func__);
	return &conn->output;
}

/* Wait until at most `bytes` are pending. */
static ROTA_SUSPENDS int drain_to(struct rota_conn *conn, size_t bytes)
{
	struct stream *stream = rota__stream(conn);

	while (!conn->error && !conn->output.error && conn->output.pending_bytes > bytes) {
		int status;

		stream->drained_bytes = bytes;
		status = wait_in(conn, &stream->writer, ROTA_WAIT_CONN_OUTPUT);
		if (status < 0)
			return status;
	}
	return conn->error ? conn->error : conn->output.error;
}

int64_t rota_conn_write(struct rota_conn *conn, struct rota_view view)
{
	int status = rota_check_cancelled();

	rota__check_held(conn, __func__);
	if (status < 0)
		return status;
	if (conn->error || conn->is_shut)
		return conn->error ? conn->error : -EPIPE;
	rota_output_write(&conn->output, view.data, view.bytes);
	if (conn->output.error)
		return conn->output.error;
	if (conn->output.pending_bytes > conn->limits->output_high_bytes) {
		status = drain_to(conn, conn->limits->output_high_bytes / 2);
		if (status < 0)
			return status;
	}
	return (int64_t)view.bytes;
}

int rota_conn_flush(struct rota_conn *conn)
{
	int status = rota_check_cancelled();

	rota__check_held(conn, __func__);
	return status < 0 ? status : drain_to(conn, 0);
}

int rota_conn_shutdown_write(struct rota_conn *conn)
{
	int status = rota_check_cancelled();

	rota__check_held(conn, __func__);
	if (status == 0)
		status = drain_to(conn, 0);
	if (status < 0 || conn->is_shut)
		return status;
	conn->is_shut = true;
	return conn->reactor->engine->shutdown(conn->reactor->backend, conn->send.fd, SHUT_WR);
}
