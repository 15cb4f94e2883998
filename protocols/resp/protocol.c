/* SPDX-License-Identifier: MIT */
/*
 * The RESP session: batches of requests from bytes to the application. Protocol layer; on the
 * session's reactor.
 *
 * The one idea: one on_bytes is one batch. Nothing is read from the input after the application was
 * called, because it may have suspended and the view with it; what it did not finish is parsed
 * again. So when bytes are left and rota_session_need was not called, there may be whole requests
 * in them, and the framework offers them again at once. For the same reason a malformed request is
 * only reported when it comes first: until then an AUTH or QUIT before it may change what it means.
 */
#include <string.h>

#include <rota/memory.h>

#include "protocols/resp/resp_internal.h"

/* Views of one batch, on the worker's stack: 2 KiB, eight for each request. */
#define BATCH_ARGS (8 * ROTA_RESP_BATCH_MAX)

/* Below these an incomplete request is cheaper to parse again than to remember. Guesses. */
#define KEEP_ARGS_MIN 16
#define KEEP_SCANNED_BYTES_MIN 256

struct resp_session {
	/* owned; a long request of which the end has not come, mostly NULL */
	struct rota_resp_parser *partial;
	uint8_t version;
	bool is_unauthenticated;
	char reserved[6];
	char application[] ROTA_ALIGNED(16); /* service->session_bytes of it */
};

/* What an idle connection pays. */
_Static_assert(sizeof(struct resp_session) == 16, "the session has grown");

struct batch {
	struct rota_resp_request requests[ROTA_RESP_BATCH_MAX];
	int count;
	size_t bytes;   /* of the input, in whole requests */
	int64_t status; /* of the last parse: > 0 when the batch is full or the input used up */
};

static int64_t execute_batch(struct rota_session *session, const struct batch *batch);
static void parse_batch(struct batch *batch, struct rota_resp_parser *parser,
			struct rota_view input);
static void keep_or_drop(struct resp_session *state, struct rota_resp_parser *parser, bool keep);
static void write_parse_error(struct rota_session *session, const struct rota_resp_parser *parser);

static int on_open(struct rota_session *session)
{
	const struct rota_resp_service *service = rota_session_arg(session);
	struct resp_session *state = rota_session_state(session);

	state->version = 2;
	state->is_unauthenticated = service->requires_authentication;
	return service->open ? service->open(session) : 0;
}

static void on_close(struct rota_session *session, int reason)
{
	const struct rota_resp_service *service = rota_session_arg(session);
	struct resp_session *state = rota_session_state(session);

	if (service->close)
		service->close(session, reason);
	if (state->partial)
		keep_or_drop(state, state->partial, false);
}

static int64_t on_bytes(struct rota_session *session, struct rota_view input)
{
	const struct rota_resp_service *service = rota_session_arg(session);
	struct resp_session *state = rota_session_state(session);
	struct rota_resp_parser fresh, *parser = state->partial;
	struct rota_view args[BATCH_ARGS];
	struct batch batch;
	int64_t consumed;
	bool waits;

	if (!parser) {
		parser = &fresh;
		rota_resp_parser_init(parser, &service->limits, args, BATCH_ARGS);
	}
	parser->is_unauthenticated = state->is_unauthenticated;
	parse_batch(&batch, parser, input);
	if (batch.status < 0 && !batch.count) {
		write_parse_error(session, parser);
		keep_or_drop(state, parser, false);
		return batch.status;
	}
	consumed = batch.count ? execute_batch(session, &batch) : (int64_t)batch.bytes;
	/* Only what follows the whole batch is still where the parser thinks it is. */
	waits = !batch.status && consumed == (int64_t)batch.bytes;
	if (waits)
		rota_session_need(session, parser->need_bytes);
	keep_or_drop(state, parser, waits);
	return consumed;
}

static void parse_batch(struct batch *batch, struct rota_resp_parser *parser,
			struct rota_view input)
{
	batch->count = 0;
	batch->bytes = 0;
	for (;;) {
		batch->status = rota_resp_parse(parser, rota_view_of(input.data + batch->bytes,
								     input.bytes - batch->bytes));
		if (batch->status <= 0)
			return;
		batch->bytes += (size_t)batch->status;
		if (parser->count) {
			struct rota_resp_request *request = &batch->requests[batch->count++];

			request->args = parser->args;
			request->count = parser->count;
			request->reserved_ = 0;
			request->end_bytes_ = batch->bytes;
		}
		/*
		 * Arguments in memory of its own end a batch: the parser holds one such request at
		 * a time.
		 */
		if (parser->owns_memory || batch->count == ROTA_RESP_BATCH_MAX ||
		    batch->bytes == input.bytes)
			return;
		rota_resp_parser_next(parser);
	}
}

/* Returns the bytes of what was executed, or the application's error. */
static int64_t execute_batch(struct rota_session *session, const struct batch *batch)
{
	const struct rota_resp_service *service = rota_session_arg(session);
	int finished = service->execute(session, batch->requests, batch->count);

	if (finished < 0)
		return finished;
	ROTA_ASSERT(finished > 0);
	ROTA_ASSERT(finished <= batch->count);
	if (finished == batch->count)
		return (int64_t)batch->bytes;
	return (int64_t)batch->requests[finished - 1].end_bytes_;
}

/*
 * Remember where parsing of an incomplete request stands if it is long, otherwise release the
 * parser. No memory to remember it is no error: the request is then parsed from its start once
 * more.
 */
static void keep_or_drop(struct resp_session *state, struct rota_resp_parser *parser, bool keep)
{
	bool is_long = parser->count >= KEEP_ARGS_MIN ||
		       parser->scanned_bytes_ >= KEEP_SCANNED_BYTES_MIN;

	if (keep ? parser == state->partial : !state->partial && !parser->owns_memory)
		return;
	if (keep && is_long && !rota__resp_own_args(parser))
		state->partial = rota_alloc(sizeof(*state->partial));
	if (keep && state->partial) {
		*state->partial = *parser;
		return;
	}
	rota_resp_parser_fini(parser);
	if (parser == state->partial) {
		rota_free(parser);
		state->partial = NULL;
	}
}

static void write_parse_error(struct rota_session *session, const struct rota_resp_parser *parser)
{
	struct rota_output *output = rota_session_output(session);

	rota_output_write(output, "-ERR ", 5);
	rota_output_write(output, parser->error, strlen(parser->error));
	rota_output_write(output, "\r\n", 2);
}

void rota_resp_protocol_init(struct rota_protocol *protocol,
			     const struct rota_resp_service *service)
{
	protocol->name = "resp";
	protocol->session_bytes = sizeof(struct resp_session) + service->session_bytes;
	protocol->on_open = on_open;
	protocol->on_bytes = on_bytes;
	protocol->on_close = on_close;
}

void *rota_resp_session_state(struct rota_session *session)
{
	struct resp_session *state = rota_session_state(session);

	return state->application;
}

int rota_resp_session_version(struct rota_session *session)
{
	const struct resp_session *state = rota_session_state(session);

	return state->version;
}

void rota_resp_session_set_version(struct rota_session *session, int version)
{
	struct resp_session *state = rota_session_state(session);

	ROTA_ASSERT(version == 2 || version == 3);
	state->version = (uint8_t)version;
}

void rota_resp_session_set_unauthenticated(struct rota_session *session, bool is_unauthenticated)
{
	struct resp_session *state = rota_session_state(session);

	state->is_unauthenticated = is_unauthenticated;
}
