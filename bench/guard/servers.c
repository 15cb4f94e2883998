/* SPDX-License-Identifier: MIT */
/*
 * The guards' servers: echo in both styles, and rota-kv; 16 connections, as many requests in one
 * piece as the name says. One operation is one request.
 */
#include <rota/net.h>
#include <rota/server.h>

#include "apps/kv/kv.h"
#include "bench/guard/client.h"
#include "bench/guard/engine.h"
#include "bench/guard/guard.h"
#include "protocols/echo/echo.h"

/* How many requests of each client are counted at depth 16 and more; below, so many rounds. */
#define REQUESTS 1600
#define ROUNDS_MAX 100

static unsigned depth; /* of the scenario that runs: requests in one piece */

/* Returns how many requests were counted. */
static uint64_t serve(const struct rota_service *service, guard_compose_fn compose)
{
	unsigned rounds = (unsigned)rota_min_size(REQUESTS / depth, ROUNDS_MAX);

	guard_serve(service, compose, rounds);
	return (uint64_t)rounds * GUARD_CLIENTS * depth;
}

/* ---- echo ---- */

#define ECHO_BYTES 64

static void compose_echo(unsigned index, unsigned round, struct guard_text *question,
			 struct guard_text *answer)
{
	for (unsigned i = 0; i < depth; i++)
		guard_say(question, "%0*u", ECHO_BYTES, index + round + i);
	guard_say(answer, "%.*s", (int)question->bytes, question->data);
}

static uint64_t serve_echo(const struct rota_service *service, unsigned requests)
{
	depth = requests;
	return serve(service, compose_echo);
}

static const struct rota_service session_echo = { .name = "echo",
						  .protocol = &rota_echo_protocol,
						  .port = 7000 };

static uint64_t echo_session_1(void)
{
	return serve_echo(&session_echo, 1);
}

static uint64_t echo_session_16(void)
{
	return serve_echo(&session_echo, 16);
}

static int64_t echo_in_task(struct rota_conn *conn, void *arg)
{
	struct rota_view in;
	int64_t n;

	(void)arg;
	while ((n = rota_conn_read(conn, &in)) > 0)
		if ((n = rota_conn_write(conn, in)) < 0)
			break;
	return n;
}

static const struct rota_service task_echo = { .name = "echo",
					       .handler = echo_in_task,
					       .port = 7000 };

static uint64_t echo_task_1(void)
{
	return serve_echo(&task_echo, 1);
}

static uint64_t echo_task_16(void)
{
	return serve_echo(&task_echo, 16);
}

/* ---- rota-kv ---- */

#define VALUE_BYTES 64
#define KEYS_PER_CLIENT 63
#define KEYS (GUARD_CLIENTS * KEYS_PER_CLIENT)
#define COUNTER_FIRST 1000000 /* counters keep their number of digits */
#define GETS_PER_SET 10
#define KEYS_PER_MGET 16

static uint32_t drawn; /* the same keys in every run */
static uint32_t counters[GUARD_CLIENTS];

static unsigned draw_key(void)
{
	drawn = drawn * 1664525 + 1013904223;
	return (drawn >> 8) % KEYS;
}

static void set(unsigned key, struct guard_text *question, struct guard_text *answer)
{
	guard_say(question, "*3\r\n$3\r\nSET\r\n$8\r\nkey:%04u\r\n$%d\r\n%0*u\r\n", key,
		  VALUE_BYTES, VALUE_BYTES, key);
	guard_say(answer, "+OK\r\n");
}

static void await_value(unsigned key, struct guard_text *answer)
{
	guard_say(answer, "$%d\r\n%0*u\r\n", VALUE_BYTES, VALUE_BYTES, key);
}

static void get(unsigned key, struct guard_text *question, struct guard_text *answer)
{
	guard_say(question, "*2\r\n$3\r\nGET\r\n$8\r\nkey:%04u\r\n", key);
	await_value(key, answer);
}

/* In the first round, every client writes its part of the keys and its counter. */
static bool fill(unsigned index, unsigned round, struct guard_text *question,
		 struct guard_text *answer)
{
	if (round > 1)
		return false;
	for (unsigned i = 0; i < KEYS_PER_CLIENT; i++)
		set(index * KEYS_PER_CLIENT + i, question, answer);
	counters[index] = COUNTER_FIRST;
	guard_say(question, "*3\r\n$3\r\nSET\r\n$10\r\ncounter:%02u\r\n$7\r\n%u\r\n", index,
		  counters[index]);
	guard_say(answer, "+OK\r\n");
	return true;
}

static void compose_get(unsigned index, unsigned round, struct guard_text *question,
			struct guard_text *answer)
{
	if (fill(index, round, question, answer))
		return;
	for (unsigned i = 0; i < depth; i++)
		get(draw_key(), question, answer);
}

static void compose_set(unsigned index, unsigned round, struct guard_text *question,
			struct guard_text *answer)
{
	if (fill(index, round, question, answer))
		return;
	for (unsigned i = 0; i < depth; i++)
		set(draw_key(), question, answer);
}

static void compose_mixed(unsigned index, unsigned round, struct guard_text *question,
			  struct guard_text *answer)
{
	if (fill(index, round, question, answer))
		return;
	for (unsigned i = 0; i < depth; i++) {
		if ((index + round * depth + i) % (GETS_PER_SET + 1) == 0)
			set(draw_key(), question, answer);
		else
			get(draw_key(), question, answer);
	}
}

static void compose_mget(unsigned index, unsigned round, struct guard_text *question,
			 struct guard_text *answer)
{
	if (fill(index, round, question, answer))
		return;
	guard_say(question, "*%d\r\n$4\r\nMGET\r\n", KEYS_PER_MGET + 1);
	guard_say(answer, "*%d\r\n", KEYS_PER_MGET);
	for (unsigned i = 0; i < KEYS_PER_MGET; i++) {
		unsigned key = draw_key();

		guard_say(question, "$8\r\nkey:%04u\r\n", key);
		await_value(key, answer);
	}
}

static void compose_incr(unsigned index, unsigned round, struct guard_text *question,
			 struct guard_text *answer)
{
	if (fill(index, round, question, answer))
		return;
	guard_say(question, "*2\r\n$4\r\nINCR\r\n$10\r\ncounter:%02u\r\n", index);
	guard_say(answer, ":%u\r\n", ++counters[index]);
}

static uint64_t serve_kv(guard_compose_fn compose, unsigned requests)
{
	const struct rota_backend_ops *const engines[] = { guard_engine(), NULL };
	struct rota_protocol protocol;
	struct rota_service service;
	struct kv_server server;
	struct kv_config config;
	uint64_t counted;

	depth = requests;
	guard_check(kv_config_init(&config, engines), "the configuration");
	guard_check(kv_server_init(&server, &config), "the server");
	kv_server_service(&server, &protocol, &service);
	counted = serve(&service, compose);
	kv_server_fini(&server);
	kv_config_fini(&config);
	return counted;
}

static uint64_t kv_get_1(void)
{
	return serve_kv(compose_get, 1);
}

static uint64_t kv_get_16(void)
{
	return serve_kv(compose_get, 16);
}

static uint64_t kv_get_64(void)
{
	return serve_kv(compose_get, 64);
}

static uint64_t kv_set_1(void)
{
	return serve_kv(compose_set, 1);
}

static uint64_t kv_set_16(void)
{
	return serve_kv(compose_set, 16);
}

static uint64_t kv_set_64(void)
{
	return serve_kv(compose_set, 64);
}

static uint64_t kv_mixed_1(void)
{
	return serve_kv(compose_mixed, 1);
}

static uint64_t kv_mixed_16(void)
{
	return serve_kv(compose_mixed, 16);
}

static uint64_t kv_mixed_64(void)
{
	return serve_kv(compose_mixed, 64);
}

static uint64_t kv_mget(void)
{
	return serve_kv(compose_mget, 1);
}

static uint64_t kv_incr(void)
{
	return serve_kv(compose_incr, 1);
}

const struct guard_scenario guard_servers[] = {
	{ "echo-session-1", echo_session_1 },
	{ "echo-session-16", echo_session_16 },
	{ "echo-task-1", echo_task_1 },
	{ "echo-task-16", echo_task_16 },
	{ "kv-get-1", kv_get_1 },
	{ "kv-get-16", kv_get_16 },
	{ "kv-get-64", kv_get_64 },
	{ "kv-set-1", kv_set_1 },
	{ "kv-set-16", kv_set_16 },
	{ "kv-set-64", kv_set_64 },
	{ "kv-mixed-1", kv_mixed_1 },
	{ "kv-mixed-16", kv_mixed_16 },
	{ "kv-mixed-64", kv_mixed_64 },
	{ "kv-mget-16", kv_mget },
	{ "kv-incr-1", kv_incr },
	{ NULL, NULL },
};
