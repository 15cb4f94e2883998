/* SPDX-License-Identifier: MIT */
/*
 * The tutorial's second program again, as a protocol: greets whoever sends a name. Called on the
 * session's reactor. An idle connection owns no stack here.
 */
#include <stdio.h>
#include <string.h>

#include <rota/backends.h>
#include <rota/rota.h>

#define NAME_BYTES_MAX 64

static int64_t on_bytes(struct rota_session *session, struct rota_view in)
{
	const char *end = memchr(in.data, '\n', in.bytes);
	char reply[NAME_BYTES_MAX + 64];
	int bytes;

	if (!end)
		return in.bytes < NAME_BYTES_MAX ? 0 : -ROTA_EPROTOCOL;
	if (end - in.data >= NAME_BYTES_MAX)
		return -ROTA_EPROTOCOL;
	/* Formatted before the sleep: `in` dies when the handler suspends. */
	bytes = snprintf(reply, sizeof(reply), "hello %.*s\n", (int)(end - in.data), in.data);
	if (rota_view_equals(rota_view_of(in.data, (size_t)(end - in.data)),
			     rota_view_of_string("slow"))) {
		int64_t consumed = end - in.data + 1;
		int status = rota_sleep_ms(100);

		if (status < 0)
			return status;
		rota_output_write(rota_session_output(session), reply, (size_t)bytes);
		return consumed;
	}
	rota_output_write(rota_session_output(session), reply, (size_t)bytes);
	return end - in.data + 1;
}

int main(int argc, char **argv)
{
	static const struct rota_protocol protocol = {
		.name = "hello",
		.on_open = rota_protocol_default_open,
		.on_bytes = on_bytes,
		.on_close = rota_protocol_default_close,
	};
	struct rota_service service = { .name = "hello", .protocol = &protocol, .port = 7001 };

	return rota_serve_main(&service, rota_backends, argc, argv);
}
