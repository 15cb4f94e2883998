/* SPDX-License-Identifier: MIT */
/*
 * Echo. Protocol layer; on the session's reactor. It has no state and no requests: what has come is
 * consumed and written.
 */
#include "protocols/echo/echo.h"

static int64_t write_back(struct rota_session *session, struct rota_view input)
{
	rota_output_write(rota_session_output(session), input.data, input.bytes);
	return (int64_t)input.bytes;
}

const struct rota_protocol rota_echo_protocol = {
	.name = "echo",
	.session_bytes = 0,
	.on_open = rota_protocol_default_open,
	.on_bytes = write_back,
	.on_close = rota_protocol_default_close,
};
