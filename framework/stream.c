/* SPDX-License-Identifier: MIT */
/*
 * Connections in task style: reading and writing as if it blocked. Belongs to one reactor.
 *
 * Input has three places, in the order of arrival: `held` (taken out of the spill for a reader to
 * look at), the receive buffer, and the spill. A reader's view is of the first or the second and
 * stays where it is until the next read, because what arrives meanwhile goes to the third.
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

	return rota__task_create(conn->reactor, &conn->reactor->root, handler_main, conn, &spawn,
				 ROTA_SITE("connection"), &conn->task);
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
			rota__conn_return_buffer(conn);
	}
	if (stream->held.data && !held_bytes(stream)) {
		rota_buffer_fini(&stream->held);
		stream->held_start = 0;
	}
}

/* Bring all input into `held`, in order. */
static int hold_all(struct rota_conn *conn)
{
	struct stream *stream = rota__stream(conn);
	struct rota_view spilled = rota_view_of(conn->spill.data + conn->spill_start,
						conn->spill.bytes - conn->spill_start);

	if (!held_bytes(stream) && !conn->in_bytes) {
		rota_buffer_fini(&stream->held);
		stream->held = conn->spill;
		stream->held_start = conn->spill_start;
		rota_buffer_init(&conn->spill);
		conn->spill_start = 0;
		return 0;
	}
	rota_buffer_consume(&stream->held, stream->held_start);
	stream->held_start = 0;
	if (rota_buffer_reserve(&stream->held, conn->in_bytes + spilled.bytes) < 0 ||
	    rota_buffer_append(&stream->held, conn->in_data, conn->in_bytes) < 0 ||
	    rota_buffer_append(&stream->held, spilled.data, spilled.bytes) < 0)
		return -ENOMEM;
	rota__conn_return_buffer(conn);
	rota_buffer_fini(&conn->spill);
	conn->spill_start = 0;
	return 0;
}

int64_t rota_conn_peek(struct rota_conn *conn, size_t bytes_min, struct rota_view *view)
{
	struct stream *stream = rota__stream(conn);
	int status = rota_check_cancelled();

	ROTA_ASSERT(conn->is_stream);
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
	if (held_bytes(stream) + rota__conn_input_bytes(conn) == 0)
		return conn->error;
	if (conn->in_bytes && !held_bytes(stream) && !conn->spill.bytes) {
		conn->in_is_borrowed = true;
		*view = rota_view_of(conn->in_data, conn->in_bytes);
	} else {
		if (rota__conn_input_bytes(conn)) {
			status = hold_all(conn);
			if (status < 0)
				return status;
		}
		*view = rota_view_of(stream->held.data + stream->held_start, held_bytes(stream));
	}
	return (int64_t)view->bytes;
}

void rota_conn_consume(struct rota_conn *conn, size_t bytes)
{
	struct stream *stream = rota__stream(conn);

	if (conn->in_is_borrowed) {
		rota__conn_consume(conn, bytes);
	} else {
		ROTA_ASSERT(bytes <= held_bytes(stream));
		stream->held_start += bytes;
	}
	rota__conn_advance(conn);
}

int64_t rota_conn_read(struct rota_conn *conn, struct rota_view *view)
{
	int64_t bytes = rota_conn_peek(conn, 1, view);

	if (bytes > 0)
		rota_conn_consume(conn, (size_t)bytes);
	return bytes;
}

/* ---- writing ---- */

struct rota_output *rota_conn_output(struct rota_conn *conn)
{
	return &conn->output;
}

/* Wait until at most `bytes` are pending. */
static int drain_to(struct rota_conn *conn, size_t bytes)
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

	return status < 0 ? status : drain_to(conn, 0);
}

int rota_conn_shutdown_write(struct rota_conn *conn)
{
	int status = rota_conn_flush(conn);

	if (status < 0 || conn->is_shut)
		return status;
	conn->is_shut = true;
	return conn->reactor->engine->shutdown(conn->reactor->backend, conn->send.fd, SHUT_WR);
}
