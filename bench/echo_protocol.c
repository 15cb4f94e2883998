/* SPDX-License-Identifier: MIT */
/*
 * An echo server in protocol style, to measure what the framework costs when connections own no
 * task. apps/echo is the same in task style.
 */
#include <rota/rota.h>

#include "backends/backends.h"
#include "protocols/echo/echo.h"

int main(int argc, char **argv)
{
	struct rota_service service = {
		.name = "echo-protocol",
		.protocol = &rota_echo_protocol,
		.port = 7000,
	};

	return rota_serve_main(&service, rota_backends, argc, argv);
}
