/* SPDX-License-Identifier: MIT */
/*
 * Our side of a comparison: an echo, a sink, a source, and rota-kv, each on the engine and with the
 * options it is told. See serve.h.
 *
 * The one idea: the program is the same whatever the engine, and so is the key-value server's:
 * all of it but its main() is linked in here, because here its engine's counters can be asked for.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rota/error.h>
#include <rota/rota.h>

#include "apps/kv/kv.h"
#include "backends/backends.h"
#include "bench/compare/control.h"
#include "bench/compare/serve.h"
#include "protocols/echo/echo.h"

/* What a source writes at once: as much as a server hands over from a large value. */
#define SOURCE_BYTES 65536
/* More than any workload has. */
#define CLIENTS_MAX "20000"

struct serving {
	struct control control; /* first: control.c hands it back */
	struct kv_config config;
	/* Every listener's arg points at its `resp`, as rota-kv's own protocol wants it. */
	struct kv_server kv;
	struct rota_server *server;
	struct rota_service service;
	struct rota_protocol kv_protocol;
	/* What is served: `inner`, slowed down. */
	struct rota_protocol slowed;
	const struct rota_protocol *inner;
	int64_t slow_ns;
};

/* ---- what is served ---- */

static int64_t drop(struct rota_session *session, struct rota_view input)
{
	(void)session;
	return (int64_t)input.bytes;
}

static const struct rota_protocol sink_protocol = {
	.name = "sink",
	.session_bytes = 0,
	.on_open = rota_protocol_default_open,
	.on_bytes = drop,
	.on_close = rota_protocol_default_close,
};

/* Write, by reference as large values go out, until the client leaves. */
static int64_t pour(struct rota_conn *conn, void *arg)
{
	struct rota_blob *blob = rota_blob_create(SOURCE_BYTES);
	int status = 0;

	(void)arg;
	if (!blob)
		return -ENOMEM;
	memset(blob->data, 'r', SOURCE_BYTES);
	while (status == 0) {
		rota_output_blob(rota_conn_output(conn), blob, 0, SOURCE_BYTES);
		status = rota_conn_flush(conn);
	}
	rota_blob_unref(blob);
	return status == -ECONNRESET || status == -EPIPE ? 0 : status;
}

static void set_up_echo(struct serving *serving)
{
	serving->service.protocol = &rota_echo_protocol;
}

static void set_up_sink(struct serving *serving)
{
	serving->service.protocol = &sink_protocol;
}

static void set_up_source(struct serving *serving)
{
	serving->service.handler = pour;
}

static void set_up_kv(struct serving *serving)
{
	kv_server_service(&serving->kv, &serving->kv_protocol, &serving->service);
}

static const struct {
	const char *name;
	void (*set_up)(struct serving *serving);
} kinds[] = {
	{ "echo", set_up_echo },
	{ "kv", set_up_kv },
	{ "sink", set_up_sink },
	{ "source", set_up_source },
};

/* ---- slowed down on purpose ---- */

static int64_t on_bytes_slowly(struct rota_session *session, struct rota_view input)
{
	struct rota_resp_service *resp = rota_session_arg(session);
	const struct serving *serving = ROTA_CONTAINER_OF(resp, struct serving, kv.resp);
	rota_ns until = rota_now() + serving->slow_ns;

	while (rota_now() < until)
		rota_pause();
	return serving->inner->on_bytes(session, input);
}

static void slow_down(struct serving *serving)
{
	serving->inner = serving->service.protocol;
	serving->slowed = *serving->inner;
	serving->slowed.on_bytes = on_bytes_slowly;
	serving->service.protocol = &serving->slowed;
}

/* ---- steering ---- */

static int take_nothing(struct control *control, const char *line)
{
	(void)control;
	fprintf(stderr, "rota-compare serve: knows \"stats\" only, not \"%s\"\n", line);
	return -EINVAL;
}

static unsigned reactors_count(struct control *control)
{
	return rota_server_reactors_count(((struct serving *)control)->server);
}

static struct rota_reactor *reactor_at(struct control *control, unsigned index)
{
	return rota_server_reactor(((struct serving *)control)->server, index);
}

static int64_t steer(void *arg)
{
	struct serving *serving = arg;
	int status = control_run(&serving->control);

	if (status < 0 && status != -ECANCELED)
		fprintf(stderr, "rota-compare serve: %s\n", rota_strerror(status));
	rota_server_stop(serving->server);
	return 0;
}

static void say_ready(struct rota_server *server, void *arg)
{
	struct serving *serving = arg;
	int status;

	serving->server = server;
	status = rota_spawn(rota_reactor_scope(rota_reactor_current()), steer, serving);
	if (status < 0) {
		fprintf(stderr, "rota-compare serve: %s\n", rota_strerror(status));
		rota_server_stop(server);
		return;
	}
	printf("ready %u\n", rota_server_port(server));
	fflush(stdout);
}

/* ---- start-up ---- */

static int usage(void)
{
	fprintf(stderr,
		"usage: rota-compare serve echo|kv|sink|source [--backend ENGINE[:OPTIONS]]\n"
		"                          [--reactors N] [--port N] [--slow-ns N]\n"
		"\n"
		"Serves until its standard input ends. --slow-ns makes every read cost so much\n"
		"more.\n");
	return 2;
}

static int parse_slow(const char *text, int64_t *out)
{
	char *end;
	long long ns = strtoll(text, &end, 10);

	if (end == text || *end || ns < 0 || ns > ROTA_NS_PER_S)
		return -EINVAL;
	*out = ns;
	return 0;
}

static int parse_options(int argc, char **argv, struct serving *serving)
{
	static const struct option options[] = {
		{ "backend", required_argument, NULL, 0 },
		{ "port", required_argument, NULL, 0 },
		{ "reactors", required_argument, NULL, 0 },
		{ "slow-ns", required_argument, NULL, 's' },
		{ 0 },
	};
	char error[ROTA_BACKEND_TEXT_BYTES];
	int which, index;

	while ((which = getopt_long(argc, argv, "", options, &index)) != -1) {
		int status = -EINVAL;

		snprintf(error, sizeof(error), "--slow-ns takes 0 to 1000000000, not %s",
			 optarg ? optarg : "nothing");
		if (which == 's' && optarg)
			status = parse_slow(optarg, &serving->slow_ns);
		if (which == 0)
			status = rota_server_option(&serving->config.server, options[index].name,
						    optarg, error);
		if (status < 0) {
			if (which != '?')
				fprintf(stderr, "rota-compare serve: %s\n", error);
			return -EINVAL;
		}
	}
	return optind == argc ? 0 : -EINVAL;
}

static int serve(struct serving *serving, unsigned kind)
{
	struct rota_service *service = &serving->service;
	int status = kv_server_init(&serving->kv, &serving->config);

	if (status < 0)
		return status;
	/* That it stops is no news. */
	rota_log_to(ROTA_LOG_WARNING, NULL, NULL);
	kinds[kind].set_up(serving);
	service->name = kinds[kind].name;
	service->arg = &serving->kv.resp;
	service->port = 0;
	if (serving->slow_ns && service->protocol)
		slow_down(serving);
	status = rota_serve(service, &serving->config.server);
	kv_server_fini(&serving->kv);
	return status;
}

static int configure(struct serving *serving)
{
	char *clients_max[] = { (char[]){ CLIENTS_MAX } };
	char error[KV_CONFIG_ERROR_BYTES];
	int status = kv_config_init(&serving->config, rota_backends);

	if (status < 0)
		return status;
	status = kv_config_set(&serving->config, "maxclients", clients_max, 1, error);
	if (status < 0)
		fprintf(stderr, "rota-compare serve: %s\n", error);
	serving->config.server.quiet = true;
	serving->config.server.on_ready = say_ready;
	serving->config.server.on_ready_arg = serving;
	serving->control = (struct control){ take_nothing, reactors_count, reactor_at };
	return status;
}

int serve_main(int argc, char **argv)
{
	struct serving serving = { .slow_ns = 0 };
	unsigned kind = 0;
	int status;

	while (argc > 1 && kind < ROTA_ARRAY_COUNT(kinds) && strcmp(argv[1], kinds[kind].name))
		kind++;
	if (argc < 2 || kind == ROTA_ARRAY_COUNT(kinds))
		return usage();
	status = configure(&serving);
	if (status == 0) {
		status = parse_options(argc - 1, argv + 1, &serving);
		if (status == 0)
			status = serve(&serving, kind);
		else
			usage();
	}
	kv_config_fini(&serving.config);
	return status < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
