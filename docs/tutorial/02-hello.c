/* SPDX-License-Identifier: MIT */
/*
 * The tutorial's second program, in task style: greets whoever sends a name, and says how many were
 * greeted on all reactors together. Each handler runs on its connection's reactor.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <rota/backends.h>
#include <rota/rota.h>

#define NAME_BYTES_MAX 64

/* One reactor's share: written and read on that reactor's thread only. */
struct share {
	int64_t greeted;
} ROTA_ALIGNED(ROTA_ISOLATION_BYTES);

struct hello {
	struct rota_server *server;
	struct share shares[ROTA_REACTORS_MAX];
};

/* ---- counting on every reactor ---- */

static struct share *share_here(struct hello *hello)
{
	return &hello->shares[rota_reactor_index(rota_reactor_current())];
}

/* A task on the reactor whose share it reads. */
static int64_t count_here(void *arg)
{
	return share_here(arg)->greeted;
}

static int64_t count_all(void *arg)
{
	struct hello *hello = arg;
	int64_t total = 0;

	for (unsigned i = 0; i < rota_server_reactors_count(hello->server); i++) {
		struct rota_reactor *there = rota_server_reactor(hello->server, i);
		int64_t count = rota_call_on(there, count_here, hello);

		if (count < 0)
			return count;
		total += count;
	}
	return total;
}

/* ---- thinking: something slow that stops when it is told to ---- */

static int64_t think(void *arg)
{
	int64_t milliseconds = *(const int64_t *)arg;
	int status = rota_sleep_ms(milliseconds);

	if (status < 0) {
		char text[ROTA_REASON_TEXT_BYTES];

		rota_log(ROTA_LOG_INFO, "stopped thinking: %s",
			 rota_reason_format(rota_why(), text));
	}
	return status;
}

/* ---- one connection ---- */

/* Wait for one line. Returns its bytes without the end, 0 at the end of the stream. */
static int64_t read_name(struct rota_conn *conn, char name[NAME_BYTES_MAX])
{
	struct rota_view in;
	const char *end;
	int64_t bytes = 0;

	do {
		int64_t had = bytes;

		bytes = rota_conn_peek(conn, (size_t)had + 1, &in);
		if (bytes <= had)
			return bytes < 0 ? bytes : 0;
		end = memchr(in.data, '\n', in.bytes);
	} while (!end && bytes < NAME_BYTES_MAX);
	if (!end || end - in.data >= NAME_BYTES_MAX)
		return -ROTA_EPROTOCOL;
	memcpy(name, in.data, (size_t)(end - in.data));
	name[end - in.data] = '\0';
	rota_conn_consume(conn, (size_t)(end - in.data) + 1);
	return end - in.data;
}

static int64_t greet(struct rota_conn *conn, struct hello *hello, const char *name)
{
	int64_t milliseconds = !strcmp(name, "slow") ? 1000 : 10;
	struct rota_future total;
	struct rota_spawn_options counting = { .result = &total };
	struct rota_scope scope;
	char reply[NAME_BYTES_MAX + 64];
	int64_t status;

	share_here(hello)->greeted++;
	rota_scope_open(&scope, rota_after_ms(250));
	rota_spawn_with(&scope, count_all, hello, &counting);
	rota_spawn(&scope, think, &milliseconds);
	status = rota_scope_close(&scope);
	if (status == -ETIMEDOUT)
		snprintf(reply, sizeof(reply), "sorry %s, no time\n", name);
	else if (status < 0)
		return status;
	else
		snprintf(reply, sizeof(reply), "hello %s, number %" PRId64 "\n", name,
			 total.result);
	return rota_conn_write(conn, rota_view_of_string(reply));
}

static int64_t serve(struct rota_conn *conn, void *arg)
{
	char name[NAME_BYTES_MAX];
	int64_t n;

	while ((n = read_name(conn, name)) > 0)
		if ((n = greet(conn, arg, name)) < 0)
			break;
	return n;
}

/* ---- the program ---- */

static int start(struct rota_server *server, unsigned reactor_index, void *arg)
{
	struct hello *hello = arg;

	if (reactor_index == 0) /* the first to start; the others come after it */
		hello->server = server;
	return 0;
}

int main(int argc, char **argv)
{
	static struct hello hello;
	struct rota_service service = {
		.name = "hello", .handler = serve, .arg = &hello, .port = 7001, .start = start
	};

	return rota_serve_main(&service, rota_backends, argc, argv);
}
