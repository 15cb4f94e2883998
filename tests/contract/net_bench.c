/* SPDX-License-Identifier: MIT */
/*
 * The bench of net_bench.h. Layer: tests. The main thread sets up and checks; what is in the second
 * half runs in tasks.
 */
#include <dirent.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "backends/backends.h"
#include "backends/sim/sim.h"
#include "framework/reactor_internal.h"
#include "tests/contract/net_bench.h"
#include "tests/support/t_alloc.h"
#include "tests/support/t_sanitizer.h"

/* A scenario that takes longer hangs, however busy the machine. Virtual time costs nothing. */
#define SCENARIO_NS (240 * ROTA_NS_PER_S)
#define VIRTUAL_SCENARIO_NS (4000 * ROTA_NS_PER_S)

static const struct t_row rows[] = {
	{ &rota_backend_uring, "", 1 },
	{ &rota_backend_uring, "", 2 },
	{ &rota_backend_uring, "multishot=off", 1 },
	{ &rota_backend_uring, "incremental=on", 1 },
	{ &rota_backend_uring, "bundles=on", 1 },
	{ &rota_backend_uring, "direct=on", 1 },
	{ &rota_backend_uring, "send-skip=off", 1 },
	{ &rota_backend_uring, "zero-copy=1", 2 },
	{ &rota_backend_uring, "incremental=on,direct=on,zero-copy=4096,busy-poll-us=20", 2 },
	{ &rota_backend_epoll, "", 1 },
	{ &rota_backend_epoll, "", 2 },
	{ &rota_backend_epoll, "trigger=edge", 1 },
	{ &rota_backend_sim, "seed=1", 1 },
	{ &rota_backend_sim, "seed=2", 2 },
	{ &rota_backend_sim, "seed=3,rough", 1 },
	{ &rota_backend_sim, "seed=4,rough", 2 },
	{ &rota_backend_sim, "seed=5,rough,buffers=8x128", 1 },
	{ &rota_backend_sim, "seed=6,rough,buffers=64x512", 2 },
};

static _Atomic uint32_t failures;

/* ---- set up ---- */

static int64_t scenario_main(void *arg)
{
	struct t_net *net = arg;
	struct rota_scope scope;
	int64_t status;

	rota_scope_open(&scope,
			rota_after_ns(net->is_simulated ? VIRTUAL_SCENARIO_NS : SCENARIO_NS));
	net->scenario(net);
	status = rota_scope_close(&scope);
	if (!rota_scope_is_cancelled(rota_reactor_scope(net->reactors[0])))
		CHECK_EQUAL(status, 0); /* otherwise the scenario has stopped us itself */
	for (unsigned i = 0; i < net->reactors_count; i++)
		rota_reactor_stop(net->reactors[i]);
	return 0;
}

static void begin(struct rota_message *message)
{
	struct t_net *net = ROTA_CONTAINER_OF(message, struct t_net, begin);

	if (rota__task_create(net->reactors[0], rota_reactor_scope(net->reactors[0]), scenario_main,
			      net, NULL, ROTA_SITE("scenario"), NULL) == 0)
		return;
	for (unsigned i = 0; i < net->reactors_count; i++)
		rota_reactor_stop(net->reactors[i]);
}

static struct rota_sim_world *make_world(const char *text)
{
	struct rota_sim_options options;
	struct rota_sim_world *world;
	char message[ROTA_BACKEND_TEXT_BYTES];

	rota_sim_options_init(&options, 1);
	if (rota_sim_options_parse(&options, text, message) < 0)
		fail_msg("%s", message);
	options.steps_max = 50 * 1000 * 1000;
	if (rota_sim_world_create(&options, &world) < 0)
		return NULL;
	rota_sim_world_use(world);
	return world;
}

unsigned t_net_run(const struct t_row *row, const char *options, void (*run)(struct t_net *net))
{
	struct t_net net = { .row = row, .reactors_count = row->reactors, .scenario = run };
	struct rota_sim_world *world = NULL;
	unsigned failures_before = failures;
	int status = 0;

	options = options ? options : row->options;
	net.is_simulated = row->engine->features & ROTA_BACKEND_SIMULATED;
	net.is_rough = strstr(options, "rough");
	net.begin.run = begin;
	if (net.is_simulated && !(world = make_world(options)))
		return 0; /* no memory, as the test wanted */
	for (unsigned i = 0; i < row->reactors && status == 0; i++) {
		struct rota_reactor_options reactor = { .engine = row->engine,
							.engine_options = options,
							.index = i };

		status = rota_reactor_create(&reactor, &net.reactors[i]);
	}
	if (status == 0) {
		net.server = net.reactors[row->reactors - 1];
		rota_post(net.reactors[0], &net.begin);
		status = rota_reactor_drive(net.reactors, row->reactors);
	}
	if (status < 0 && !t_alloc_failures()) {
		print_error("cannot drive the reactors: %s\n", rota_error_name(status));
		failures++;
	}
	if (status != -EDEADLK && status != -ETIMEDOUT)
		for (unsigned i = 0; i < row->reactors; i++)
			rota_reactor_destroy(net.reactors[i]);
	else
		abort(); /* nothing can be given back: its operations are under way for ever */
	if (world) {
		rota_sim_world_use(NULL);
		CHECK_EQUAL(rota_sim_world_destroy(world), 0);
	}
	return failures - failures_before;
}

static int descriptor_count(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* Containers and emulators may have no io_uring. */
static bool works_here(const struct t_row *row)
{
	const struct rota_backend_config config = { .options = "" };
	char text[ROTA_BACKEND_TEXT_BYTES];

	return row->engine->probe(&config, text) == 0;
}

struct t_case {
	const struct t_row *row;
	const struct t_scenario *scenario;
};

static void run_case(void **state)
{
	const struct t_case *c = *state;
	int descriptors_before = descriptor_count();
	struct rlimit limit;
	unsigned failed;

	if (!works_here(c->row))
		skip();
	if (c->scenario->needs_kernel && c->row->engine == &rota_backend_sim)
		skip();
	if (c->scenario->needs_debug && !ROTA_DEBUG)
		skip();
	if (c->scenario->options && strcmp(c->row->options, "") != 0)
		skip(); /* it has options of its own: one row per engine will do */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	t_alloc_install();
	failed = t_net_run(c->row, c->scenario->options, c->scenario->run);
	t_alloc_remove();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(failed, 0);
	assert_int_equal(descriptor_count(), descriptors_before);
}

int t_net_main(const struct t_scenario *scenarios, int argc, char **argv)
{
	unsigned count = 0, used = 0;
	struct CMUnitTest *tests;
	struct t_case *cases;
	char(*names)[160];
	int status;

	while (scenarios[count].name)
		count++;
	count *= ROTA_ARRAY_COUNT(rows);
	tests = calloc(count, sizeof(*tests));
	cases = calloc(count, sizeof(*cases));
	names = calloc(count, sizeof(*names));
	if (!tests || !cases || !names)
		return EXIT_FAILURE;
	for (unsigned i = 0; i < count; i++) {
		const struct t_row *row = &rows[i % ROTA_ARRAY_COUNT(rows)];
		const struct t_scenario *scenario = &scenarios[i / ROTA_ARRAY_COUNT(rows)];
		size_t row_bytes = (size_t)snprintf(names[used], sizeof(*names), "%s:%s*%u",
						    row->engine->name, row->options, row->reactors);

		if ((argc > 1 && !strstr(names[used], argv[1])) ||
		    (argc > 2 && !strstr(scenario->name, argv[2])))
			continue;
		if (argc == 1 && row->engine == &rota_backend_sim && t_is_thread_sanitized())
			continue;
		snprintf(names[used] + row_bytes, sizeof(*names) - row_bytes, " %s",
			 scenario->name);
		cases[used] = (struct t_case){ row, scenario };
		tests[used] = (struct CMUnitTest){ .name = names[used],
						   .test_func = run_case,
						   .initial_state = &cases[used] };
		used++;
	}
	status = _cmocka_run_group_tests("net", tests, used, NULL, NULL);
	free(names);
	free(cases);
	free(tests);
	return status;
}

/* ---- checking ---- */

unsigned t_failures(void)
{
	return failures;
}

bool t_check_equal(int64_t got, int64_t expected, const char *what, const char *file, int line)
{
	return t_check_within(got, expected, expected, what, file, line);
}

bool t_check_within(int64_t got, int64_t least, int64_t most, const char *what, const char *file,
		    int line)
{
	if (got >= least && got <= most)
		return true;
	failures++;
	fprintf(stderr, "%s:%d: %s is %lld (%s), not %lld", file, line, what, (long long)got,
		got < 0 && got > -4096 ? rota_error_name((int)got) : "-", (long long)least);
	if (most != least)
		fprintf(stderr, "..%lld", (long long)most);
	fputc('\n', stderr);
	return false;
}

/* ---- the server ---- */

struct serving {
	struct rota_listener_options options;
	struct rota_listener *listener;
	struct rota_address address;
};

static int64_t serve_here(void *arg)
{
	struct serving *serving = arg;
	int status = rota_listener_open(&serving->options, &serving->listener);

	if (status == 0 && !serving->options.is_target)
		status = rota_listener_address(serving->listener, &serving->address);
	return status;
}

struct rota_listener *t_serve_on(struct t_net *net, struct rota_reactor *reactor,
				 const struct rota_listener_options *options)
{
	struct serving serving = { .options = *options };

	if (!serving.options.address.bytes)
		rota_ignore(rota_address_parse(&serving.options.address, "127.0.0.1", 0), "valid");
	if (!CHECK_EQUAL(rota_call_on(reactor, serve_here, &serving), 0))
		return NULL;
	if (!options->is_target)
		net->address = serving.address;
	return serving.listener;
}

struct rota_listener *t_serve(struct t_net *net, const struct rota_listener_options *options)
{
	return t_serve_on(net, net->server, options);
}

static int64_t copy_stats(void *arg)
{
	rota_net_stats(arg);
	return 0;
}

struct rota_net_stats t_server_stats(struct t_net *net)
{
	struct rota_net_stats stats = { 0 };

	rota_ignore(rota_call_on(net->server, copy_stats, &stats), "zeroes will be noticed");
	return stats;
}

void t_until(const _Atomic uint32_t *counter, uint32_t least)
{
	while (*counter < least)
		if (!CHECK_EQUAL(rota_sleep_until(rota_after_ns(50000)), 0))
			return;
}

void t_until_connections(struct t_net *net, uint64_t count)
{
	while (t_server_stats(net).connections != count)
		if (!CHECK_EQUAL(rota_sleep_until(rota_after_ns(50000)), 0))
			return;
}

/* ---- clients ---- */

struct rota_conn *t_connect_limited(struct t_net *net, const struct rota_conn_limits *limits)
{
	struct rota_conn *conn = NULL;

	CHECK_EQUAL(rota_connect(&net->address, limits, &conn), 0);
	return conn;
}

struct rota_conn *t_connect(struct t_net *net)
{
	return t_connect_limited(net, NULL);
}

void t_say(struct rota_conn *conn, const char *text)
{
	CHECK_EQUAL(rota_conn_write(conn, rota_view_of_string(text)), strlen(text));
}

bool t_hear_at(struct rota_conn *conn, const char *text, const char *file, int line)
{
	size_t bytes = strlen(text);
	struct rota_view view;
	int64_t got = rota_conn_peek(conn, bytes, &view);

	if (!t_check_within(got, (int64_t)bytes, INT64_MAX, text, file, line))
		return false;
	if (memcmp(view.data, text, bytes) != 0) {
		fprintf(stderr, "heard \"%.*s\"\n", (int)bytes, view.data);
		return t_check_equal(0, 1, text, file, line);
	}
	rota_conn_consume(conn, bytes);
	return true;
}

int64_t t_drain(struct rota_conn *conn)
{
	struct rota_view view;
	int64_t total = 0, got;

	while ((got = rota_conn_read(conn, &view)) > 0)
		total += got;
	return got < 0 ? got : total;
}

int t_raw_connect(struct t_net *net)
{
	struct io io = { .op = { .kind = ROTA_OP_CONNECT, .address = &net->address } };
	int64_t fd = rota__io_await(&io);

	CHECK_WITHIN(fd, 0, INT32_MAX);
	return (int)fd;
}

size_t t_raw_send(int fd, const void *data, size_t bytes)
{
	size_t sent = 0;

	while (sent < bytes) {
		struct io io = { .op = { .kind = ROTA_OP_SEND, .fd = fd } };
		int64_t got;

		io.op.send.data = (const char *)data + sent;
		io.op.send.bytes = bytes - sent;
		got = rota__io_await(&io);
		if (got < 0)
			break;
		sent += (size_t)got;
	}
	return sent;
}

void t_raw_say(int fd, const char *text)
{
	CHECK_EQUAL(t_raw_send(fd, text, strlen(text)), strlen(text));
}

void t_raw_shutdown(int fd)
{
	struct rota_reactor *reactor = rota__reactor();

	CHECK_EQUAL(reactor->engine->shutdown(reactor->backend, fd, SHUT_WR), 0);
}

void t_raw_close(int fd)
{
	struct io io = { .op = { .kind = ROTA_OP_CLOSE, .fd = fd } };

	CHECK_EQUAL(rota__io_await_exempt(&io), 0);
}
