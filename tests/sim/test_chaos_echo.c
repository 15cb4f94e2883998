/* SPDX-License-Identifier: MIT */
/*
 * rota-echo under chaos: apps/echo/main.c as it is, its main() too. Layer: tests.
 *
 * The one idea: what comes back on a connection is a prefix of what was sent, whatever happens;
 * and all of it, if the connection ends in order. A byte says where in which stream it belongs.
 *
 * A main() ends by a signal, and a simulated world has none. So what it hands to rota_serve passes
 * through here (the linker's --wrap), where the server is told to whom to say that it is ready.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/chaos.h"
#include "tests/support/t_core.h"

#define STREAMS 4 /* of each client, one after another */
#define PIECES_MAX 12
#define PIECE_BYTES_MAX 3000
#define STREAM_NS (3 * ROTA_NS_PER_S)

/* Of all runs. */
static struct {
	uint64_t whole, broken, bytes, restarts;
} seen;

static uint32_t streams; /* of this run, so far */

/* ---- the server ---- */

int rota_echo_main(int argc, char **argv);
int __real_rota_serve(const struct rota_service *service,
		      const struct rota_server_options *options);
int __wrap_rota_serve(const struct rota_service *service,
		      const struct rota_server_options *options);

/* What an echo must not do. */
static int64_t echo_a_byte_less(struct rota_conn *conn, void *arg)
{
	struct rota_view in;
	int64_t n;

	(void)arg;
	while ((n = rota_conn_read(conn, &in)) > 0)
		if (n > 1 &&
		    (n = rota_conn_write(conn, rota_view_of(in.data + 1, in.bytes - 1))) < 0)
			break;
	return n;
}

static int status_of_serve; /* main() makes an exit status of it */

int __wrap_rota_serve(const struct rota_service *service, const struct rota_server_options *options)
{
	struct rota_service wanted = *service;
	struct rota_server_options changed = *options;

	if (options->on_ready) /* it has been here */
		return __real_rota_serve(service, options);
	if (t_chaos_misbehaves)
		wanted.handler = echo_a_byte_less;
	status_of_serve = t_hosts_serve(&wanted, &changed);
	return status_of_serve;
}

static int serve(void *arg)
{
	char *argv[] = { "rota-echo", "--port", "7", "--backend", "sim", NULL };
	int status;

	(void)arg;
	seen.restarts += t_hosts.boots > 1;
	status = rota_echo_main((int)ROTA_ARRAY_COUNT(argv) - 1, argv);
	T_EQUAL(status != 0, status_of_serve < 0);
	return status_of_serve;
}

/* ---- the clients ---- */

struct stream {
	struct rota_conn *conn;
	uint32_t number;
	uint64_t sent, heard;
	bool has_ended; /* in order */
};

static char byte_at(const struct stream *stream, uint64_t at)
{
	return (char)(stream->number * 101 + at + (at >> 8) * 7);
}

static int64_t hear(void *arg)
{
	struct stream *stream = arg;
	struct rota_view in;
	int64_t n;

	while ((n = rota_conn_read(stream->conn, &in)) > 0) {
		T_CHECK(stream->heard + in.bytes <= stream->sent);
		for (size_t i = 0; i < in.bytes; i++)
			T_EQUAL(in.data[i], byte_at(stream, stream->heard + i));
		stream->heard += in.bytes;
	}
	stream->has_ended = n == 0;
	return 0;
}

static bool say_a_piece(struct stream *stream)
{
	char piece[PIECE_BYTES_MAX];
	uint32_t bytes = 1 + t_chaos_draw(t_chaos_draw(2) ? 20 : PIECE_BYTES_MAX);

	for (uint32_t i = 0; i < bytes; i++)
		piece[i] = byte_at(stream, stream->sent + i);
	stream->sent += bytes;
	return rota_conn_write(stream->conn, rota_view_of(piece, bytes)) >= 0;
}

static void talk(struct stream *stream)
{
	uint32_t pieces = t_chaos_draw(PIECES_MAX);
	struct rota_scope scope;
	bool is_sent;

	rota_scope_open(&scope, rota_after_ns(STREAM_NS));
	T_EQUAL(rota_spawn(&scope, hear, stream), 0);
	while (pieces && say_a_piece(stream)) {
		pieces--;
		if (t_chaos_draw(3) == 0 && rota_sleep_ms(t_chaos_draw(100)) < 0)
			break;
	}
	/* A reset is told once: who sends may hear of it, and who reads of an end then. */
	is_sent = !pieces && rota_conn_shutdown_write(stream->conn) == 0;
	rota_ignore(rota_scope_close(&scope),
		    "that it took too long is no mistake of the server's");
	/* An echo that was short of memory may have had to break off. */
	if (is_sent && stream->has_ended && !rota_sim_plan_count(t_hosts.world, ROTA_SIM_NO_MEMORY))
		T_EQUAL(stream->heard, stream->sent);
	*(stream->has_ended && stream->heard == stream->sent ? &seen.whole : &seen.broken) += 1;
	seen.bytes += stream->heard;
}

static int64_t client(void *arg)
{
	(void)arg;
	for (int i = 0; i < STREAMS; i++) {
		struct stream stream = { .number = ++streams };

		T_EQUAL(rota_sleep_ms(t_chaos_draw(400)), 0);
		stream.conn = t_arrive(T_PORT);
		if (!stream.conn)
			continue;
		talk(&stream);
		rota_conn_close(stream.conn);
	}
	return 0;
}

/* ---- the story ---- */

static void begin(void)
{
	streams = 0;
}

static void report(uint64_t seeds)
{
	print_message("%llu streams came back whole, %llu in part; %llu bytes; %llu restarts\n",
		      (unsigned long long)seen.whole, (unsigned long long)seen.broken,
		      (unsigned long long)seen.bytes, (unsigned long long)seen.restarts);
	if (seeds < 10)
		return;
	assert_true(seen.whole > seeds);
	assert_true(seen.broken && seen.restarts);
}

int main(int argc, char **argv)
{
	static const struct t_chaos chaos = {
		.name = "chaos: rota-echo",
		.serve = serve,
		.client = client,
		.begin = begin,
		.report = report,
	};

	return t_chaos_main(&chaos, argc, argv);
}
