/* SPDX-License-Identifier: MIT */
/*
 * An echo server in task style: one task per connection, written as if reading and writing blocked.
 * The whole program; docs/tutorial walks through it.
 */
#include <rota/rota.h>

#include "backends/backends.h"

static int64_t echo(struct rota_conn *conn, void *arg)
{
	struct rota_view in; /* lives until the next read on this connection */
	int64_t n;

	(void)arg;
	while ((n = rota_conn_read(conn, &in)) > 0)
		if ((n = rota_conn_write(conn, in)) < 0)
			break;
	return n;
}

int main(int argc, char **argv)
{
	struct rota_service service = { .name = "rota-echo", .handler = echo, .port = 7000 };

	return rota_serve_main(&service, rota_backends, argc, argv);
}
