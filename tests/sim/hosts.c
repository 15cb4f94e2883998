/* SPDX-License-Identifier: MIT */
/*
 * The hosts of hosts.h. Layer: tests.
 */
#include "tests/sim/hosts.h"

#include <string.h>

#include "tests/support/t_core.h"

#define ARRIVE_NS ROTA_NS_PER_S

struct t_hosts_run t_hosts;

static const struct t_hosts *hosts_now; /* of the run that goes on */

/* ---- the server's host ---- */

static void ready(struct rota_server *server, void *arg)
{
	(void)arg;
	t_hosts.server = server;
	if (!t_hosts.clients_left)
		rota_server_stop(server);
}

static int run_server(void *arg)
{
	t_hosts.server = NULL; /* it may have crashed */
	t_hosts.boots++;
	return hosts_now->serve(arg);
}

int t_hosts_boot_server(void)
{
	return rota_sim_host_boot(t_hosts.world, T_SERVER, run_server, NULL);
}

int t_hosts_serve(const struct rota_service *service, struct rota_server_options *options)
{
	static const struct rota_backend_ops *const engines[] = { &rota_backend_sim, NULL };
	int status;

	options->engines = engines;
	options->backend = "sim:buffers=16x256";
	options->reactors = 2;
	options->binds[0] = "*";
	options->binds_count = 1;
	options->quiet = true;
	options->on_ready = ready;
	status = rota_serve(service, options);
	t_hosts.server = NULL;
	return status;
}

int t_hosts_serve_handler(rota_conn_fn handler)
{
	struct rota_service service = { .name = "test", .port = T_PORT, .handler = handler };
	struct rota_server_options options;

	rota_server_options_init(&options, NULL);
	return t_hosts_serve(&service, &options);
}

int64_t t_echo(struct rota_conn *conn, void *arg)
{
	struct rota_view in;
	int64_t n;

	(void)arg;
	while ((n = rota_conn_read(conn, &in)) > 0)
		if ((n = rota_conn_write(conn, in)) < 0)
			break;
	return n;
}

/* ---- its clients' hosts ---- */

static void client_is_done(void)
{
	if (--t_hosts.clients_left)
		return;
	if (t_hosts.server && !rota_sim_host_is_down(t_hosts.world, T_SERVER))
		rota_server_stop(t_hosts.server);
}

static int run_client(void *arg)
{
	struct rota_reactor_options options = { .engine = &rota_backend_sim };
	int64_t status = rota_run(&options, hosts_now->client, arg);

	client_is_done();
	return (int)status;
}

struct rota_conn *t_arrive(uint16_t port)
{
	struct rota_address address = rota_sim_host_address(T_SERVER, port);
	struct rota_conn *conn = NULL;
	struct rota_scope scope;

	rota_scope_open(&scope, rota_after_ns(ARRIVE_NS));
	if (rota_connect(&address, NULL, &conn) < 0)
		conn = NULL;
	rota_ignore(rota_scope_close(&scope), "then there is no connection");
	return conn;
}

bool t_hear_line(struct rota_conn *conn, char *line, size_t line_bytes)
{
	struct rota_view heard;
	const char *end;
	size_t bytes = 1;

	do {
		if (rota_conn_peek(conn, bytes, &heard) < (int64_t)bytes)
			return false;
		end = memchr(heard.data, '\n', heard.bytes);
		bytes = heard.bytes + 1;
	} while (!end);
	bytes = (size_t)(end - heard.data) + 1;
	T_CHECK(bytes >= 2 && bytes <= line_bytes);
	memcpy(line, heard.data, bytes - 2);
	line[bytes - 2] = '\0';
	rota_conn_consume(conn, bytes);
	return true;
}

/* ---- the run ---- */

uint32_t t_draw_from(uint64_t *random, uint32_t bound)
{
	uint64_t x = *random += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)((x ^ x >> 31) % bound);
}

void t_say_nothing(enum rota_log_level level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	(void)arg;
}

/* Who cannot be booted does not take part; the server is not to wait for clients there are none of.
 */
static void boot_all(const struct t_hosts *hosts)
{
	bool is_up = t_hosts_boot_server() == 0;

	for (unsigned i = 0; is_up && i < hosts->clients_count; i++)
		if (rota_sim_host_boot(t_hosts.world, T_CLIENT + i, run_client, NULL) == 0)
			t_hosts.clients_left++;
}

struct t_outcome t_hosts_run(const struct t_hosts *hosts, const struct rota_sim_options *options)
{
	struct t_outcome outcome = { 0 };

	memset(&t_hosts, 0, sizeof(t_hosts));
	hosts_now = hosts;
	outcome.status = rota_sim_world_create(options, &t_hosts.world);
	if (outcome.status < 0)
		return outcome;
	outcome.status = hosts->prepare ? hosts->prepare(t_hosts.world) : 0;
	if (outcome.status == 0) {
		boot_all(hosts);
		T_EQUAL(rota_sim_run(t_hosts.world), 0);
	}
	for (unsigned host = 0; host < ROTA_SIM_HOSTS_MAX; host++) {
		outcome.results[host] = rota_sim_host_result(t_hosts.world, host);
		T_CHECK(outcome.results[host] != -EBUSY);
	}
	outcome.hash = rota_sim_trace_hash(t_hosts.world);
	outcome.attempts = rota_sim_attempts(t_hosts.world);
	T_EQUAL(rota_sim_world_destroy(t_hosts.world), 0);
	return outcome;
}
