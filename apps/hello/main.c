/* SPDX-License-Identifier: MIT */
/*
 * A server that greets whoever tells it a name, in both styles: `--style task` reads and writes as
 * if it blocked, `--style protocol` (the default) answers lines and keeps no stack for a client
 * that is silent. The whole program; docs/tutorial walks through it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rota/rota.h>

#include "backends/backends.h"
#include "protocols/line/line.h"

#define NAME_BYTES_MAX 100

static void greet(struct rota_output *output, struct rota_view name)
{
	rota_output_write(output, "hello, ", 7);
	rota_output_write(output, name.data, name.bytes);
	rota_output_write(output, "\n", 1);
}

/* ---- as a task per connection ---- */

static int64_t converse(struct rota_conn *conn, void *arg)
{
	size_t wanted = 1; /* bytes to wait for before it is worth looking */
	struct rota_view in, name;
	int64_t n;

	(void)arg;
	while ((n = rota_conn_peek(conn, wanted, &in)) >= (int64_t)wanted) {
		int64_t line = rota_line_parse(in, wanted - 1, NAME_BYTES_MAX, &name);

		if (line < 0)
			return line;
		if (line == 0) {
			wanted = in.bytes + 1;
			continue;
		}
		greet(rota_conn_output(conn), name);
		rota_conn_consume(conn, (size_t)line);
		wanted = 1;
		if ((n = rota_conn_flush(conn)) < 0)
			break;
	}
	return n < 0 ? n : 0;
}

/* ---- as a line protocol ---- */

static int on_line(struct rota_session *session, struct rota_view name)
{
	greet(rota_session_output(session), name);
	return 0;
}

static const struct rota_line_service lines = {
	.line_bytes_max = NAME_BYTES_MAX,
	.overlong = "that is no name\n",
	.on_line = on_line,
};

int main(int argc, char **argv)
{
	struct rota_service service = { .name = "rota-hello", .port = 7001 };
	struct rota_protocol protocol;

	rota_line_protocol_init(&protocol, &lines);
	service.protocol = &protocol;
	service.arg = (void *)&lines;
	if (argc > 2 && !strcmp(argv[1], "--style")) {
		if (!strcmp(argv[2], "task")) {
			service.protocol = NULL;
			service.handler = converse;
		} else if (strcmp(argv[2], "protocol") != 0) {
			fprintf(stderr, "rota-hello: --style %s: give task or protocol\n", argv[2]);
			return EXIT_FAILURE;
		}
		argv[2] = argv[0]; /* the rest is every server's */
		argc -= 2;
		argv += 2;
	}
	return rota_serve_main(&service, rota_backends, argc, argv);
}
