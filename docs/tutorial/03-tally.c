/* SPDX-License-Identifier: MIT */
/*
 * The tutorial's third program: a protocol of its own, built outside the tree against the installed
 * headers. Each line is "add N", "total" or "quit". Called on the session's reactor.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rota/backends.h>
#include <rota/rota.h>

#define LINE_BYTES_MAX 64

/* ---- the parser: a pure function over bytes ---- */

enum tally_kind { TALLY_ADD, TALLY_TOTAL, TALLY_QUIT };

struct tally_request {
	enum tally_kind kind;
	int32_t number; /* TALLY_ADD */
};

/* Returns the bytes of the first request, 0 if it is incomplete, or -ROTA_EPROTOCOL. */
static int64_t tally_parse(struct rota_view in, struct tally_request *request)
{
	const char *end = memchr(in.data, '\n', in.bytes);
	char line[LINE_BYTES_MAX];
	size_t bytes = end ? (size_t)(end - in.data) : in.bytes;

	if (bytes >= sizeof(line))
		return -ROTA_EPROTOCOL;
	if (!end)
		return 0;
	memcpy(line, in.data, bytes);
	line[bytes] = '\0';
	if (!strcmp(line, "total"))
		request->kind = TALLY_TOTAL;
	else if (!strcmp(line, "quit"))
		request->kind = TALLY_QUIT;
	else if (sscanf(line, "add %" SCNd32, &request->number) == 1)
		request->kind = TALLY_ADD;
	else
		return -ROTA_EPROTOCOL;
	return (int64_t)bytes + 1;
}

/* ---- the session ---- */

struct tally_session {
	int64_t total;
};

static void reply_total(struct rota_output *output, int64_t total)
{
	char *text = rota_output_reserve(output, 32);

	rota_output_commit(output, (size_t)snprintf(text, 32, "%" PRId64 "\n", total));
}

/* As many complete requests as there are, in order. */
static int64_t on_bytes(struct rota_session *session, struct rota_view in)
{
	struct tally_session *tally = rota_session_state(session);
	struct rota_output *output = rota_session_output(session);
	struct tally_request request;
	size_t done = 0;

	while (done < in.bytes && !rota_session_is_full(session)) {
		int64_t bytes = tally_parse(rota_view_of(in.data + done, in.bytes - done),
					    &request);

		if (bytes < 0)
			rota_output_write(output, "what?\n", 6);
		if (bytes < 0)
			return bytes; /* sent, then the connection closes */
		if (bytes == 0)
			break;
		done += (size_t)bytes;
		if (request.kind == TALLY_ADD)
			tally->total += request.number;
		else
			reply_total(output, tally->total);
		if (request.kind == TALLY_QUIT) {
			rota_session_finish(session);
			break;
		}
	}
	return (int64_t)done;
}

static void on_close(struct rota_session *session, int reason)
{
	const struct tally_session *tally = rota_session_state(session);

	rota_log(ROTA_LOG_INFO, "a tally of %" PRId64 " ends: %s", tally->total,
		 reason < 0 ? rota_strerror(reason) : "in order");
}

static const struct rota_protocol tally_protocol = {
	.name = "tally",
	.session_bytes = sizeof(struct tally_session),
	.on_open = rota_protocol_default_open,
	.on_bytes = on_bytes,
	.on_close = on_close,
};

int main(int argc, char **argv)
{
	struct rota_service service = { .name = "tally",
					.protocol = &tally_protocol,
					.port = 7002 };

	return rota_serve_main(&service, rota_backends, argc, argv);
}
