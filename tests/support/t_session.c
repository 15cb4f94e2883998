/* SPDX-License-Identifier: MIT */
/*
 * The session without a framework: implements the part of <rota/protocol.h> that protocols call.
 * One thread.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/t_session.h"

void t_session_open(struct rota_session *session, const struct rota_protocol *protocol, void *arg)
{
	memset(session, 0, sizeof(*session));
	session->protocol = protocol;
	session->arg = arg;
	session->state = calloc(1, protocol->session_bytes + 1);
	assert_non_null(session->state);
	assert_int_equal(protocol->on_open(session), 0);
}

/* One call of on_bytes. Returns whether it is to be called again at once. */
static bool offer(struct rota_session *session)
{
	size_t bytes = session->input.bytes;
	int64_t consumed;

	if (!bytes || bytes < session->need_bytes || session->status || session->is_finishing)
		return false;
	session->need_bytes = 0;
	session->calls++;
	session->view = malloc(bytes);
	assert_non_null(session->view);
	memcpy(session->view, session->input.data, bytes);
	consumed = session->protocol->on_bytes(session, rota_view_of(session->view, bytes));
	t_session_suspend(session);
	if (consumed < 0) {
		session->status = consumed;
		return false;
	}
	assert_true((size_t)consumed <= bytes);
	/* A protocol that neither consumes nor waits would be called for ever. */
	assert_true(consumed || session->need_bytes > bytes);
	rota_buffer_consume(&session->input, (size_t)consumed);
	return true;
}

void t_session_feed(struct rota_session *session, const void *data, size_t bytes)
{
	assert_int_equal(rota_buffer_append(&session->input, data, bytes), 0);
	while (offer(session))
		;
}

void t_session_feed_string(struct rota_session *session, const char *string)
{
	t_session_feed(session, string, strlen(string));
}

void t_session_suspend(struct rota_session *session)
{
	free(session->view);
	session->view = NULL;
}

void t_session_expect(struct rota_session *session, const char *expected)
{
	assert_int_equal(rota_buffer_append(&session->output.bytes, "", 1), 0);
	assert_string_equal(session->output.bytes.data, expected);
	session->output.bytes.bytes = 0;
}

void t_session_close(struct rota_session *session)
{
	session->protocol->on_close(session, (int)session->status);
	rota_buffer_fini(&session->output.bytes);
	rota_buffer_fini(&session->input);
	free(session->state);
}

void *rota_session_state(struct rota_session *session)
{
	return session->state;
}

struct rota_output *rota_session_output(struct rota_session *session)
{
	return &session->output;
}

void *rota_session_arg(struct rota_session *session)
{
	return session->arg;
}

void rota_session_need(struct rota_session *session, size_t bytes)
{
	session->need_bytes = bytes;
}

void rota_session_finish(struct rota_session *session)
{
	session->is_finishing = true;
}

bool rota_session_is_full(const struct rota_session *session)
{
	(void)session;
	return false;
}

const struct rota_session *rota_session_after(const struct rota_session *session,
					      struct rota_view *input)
{
	(void)session;
	(void)input;
	return NULL;
}

int rota_protocol_default_open(struct rota_session *session)
{
	(void)session;
	return 0;
}

void rota_protocol_default_close(struct rota_session *session, int reason)
{
	(void)session;
	(void)reason;
}

void rota_output_write(struct rota_output *output, const void *data, size_t bytes)
{
	assert_int_equal(rota_buffer_append(&output->bytes, data, bytes), 0);
}

char *rota_output_reserve(struct rota_output *output, size_t bytes)
{
	assert_true(bytes <= ROTA_OUTPUT_RESERVE_BYTES_MAX);
	return output->reserved;
}

void rota_output_commit(struct rota_output *output, size_t bytes)
{
	rota_output_write(output, output->reserved, bytes);
}

void rota_output_blob(struct rota_output *output, struct rota_blob *blob, size_t offset,
		      size_t bytes)
{
	rota_output_write(output, blob->data + offset, bytes);
}
