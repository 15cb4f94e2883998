/* SPDX-License-Identifier: MIT */
/*
 * The line protocol. Protocol layer; on the session's reactor.
 *
 * The one idea: one on_bytes is one line. After the handler returned the input is not looked at
 * again, because the handler may have suspended and the view with it; the framework offers what is
 * left at once.
 */
#include <string.h>

#include "protocols/line/line.h"

struct line_session {
	/* of the input, known to hold no LF: a line in small pieces is searched once */
	size_t scanned_bytes;
	size_t reserved;
	char application[] ROTA_ALIGNED(16);
};

int64_t rota_line_parse(struct rota_view input, size_t scanned_bytes, size_t line_bytes_max,
			struct rota_view *line)
{
	const char *end = NULL;
	size_t bytes = input.bytes;

	if (scanned_bytes < bytes)
		end = memchr(input.data + scanned_bytes, '\n', bytes - scanned_bytes);
	if (end)
		bytes = (size_t)(end - input.data);
	/* A CR at the end is not of the line, unless something else than LF follows. */
	if (bytes && input.data[bytes - 1] == '\r')
		bytes--;
	if (bytes > line_bytes_max)
		return -EMSGSIZE;
	if (!end)
		return 0;
	*line = rota_view_of(input.data, bytes);
	return end - input.data + 1;
}

static int64_t on_bytes(struct rota_session *session, struct rota_view input)
{
	const struct rota_line_service *service = rota_session_arg(session);
	struct line_session *state = rota_session_state(session);
	struct rota_view line;
	int64_t bytes = rota_line_parse(input, state->scanned_bytes, service->line_bytes_max,
					&line);
	int status;

	if (bytes < 0) {
		rota_output_write(rota_session_output(session), service->overlong,
				  strlen(service->overlong));
		return bytes;
	}
	if (!bytes) {
		state->scanned_bytes = input.bytes;
		rota_session_need(session, input.bytes + 1);
		return 0;
	}
	state->scanned_bytes = 0;
	status = service->on_line(session, line);
	return status < 0 ? status : bytes;
}

static void on_close(struct rota_session *session, int reason)
{
	const struct rota_line_service *service = rota_session_arg(session);

	if (service->close)
		service->close(session, reason);
}

void rota_line_protocol_init(struct rota_protocol *protocol,
			     const struct rota_line_service *service)
{
	protocol->name = "line";
	protocol->session_bytes = sizeof(struct line_session) + service->session_bytes;
	protocol->on_open = rota_protocol_default_open;
	protocol->on_bytes = on_bytes;
	protocol->on_close = on_close;
}

void *rota_line_session_state(struct rota_session *session)
{
	struct line_session *state = rota_session_state(session);

	return state->application;
}
