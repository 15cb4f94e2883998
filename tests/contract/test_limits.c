/* SPDX-License-Identifier: MIT */
/*
 * Many connections, and the ends of everything: buffers, descriptors, output, memory, on every
 * engine. Layer: tests.
 *
 *	test_limits [ROW [SCENARIO]]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "backends/backends.h"
#include "framework/net_internal.h"
#include "tests/contract/net_bench.h"
#include "tests/support/t_alloc.h"

/* Reset by each scenario. */
static struct {
	_Atomic uint32_t opened, closed, answered;
	_Atomic uint32_t per_reactor[T_REACTORS_MAX];
	_Atomic int32_t reason;
} seen;

static int on_open(struct rota_session *session)
{
	(void)session;
	seen.opened++;
	seen.per_reactor[rota_reactor_index(rota_reactor_current())]++;
	return 0;
}

/* Echo; a '+' is answered with a kilobyte on top. */
static int64_t on_bytes(struct rota_session *session, struct rota_view bytes)
{
	struct rota_output *output = rota_session_output(session);
	static const char kilobyte[1024];

	rota_output_write(output, bytes.data, bytes.bytes);
	for (size_t i = 0; i < bytes.bytes; i++)
		if (bytes.data[i] == '+')
			rota_output_write(output, kilobyte, sizeof(kilobyte));
	return (int64_t)bytes.bytes;
}

static void on_close(struct rota_session *session, int reason)
{
	(void)session;
	seen.reason = reason;
	seen.closed++;
}

static const struct rota_protocol echo = {
	.name = "echo",
	.session_bytes = 8,
	.on_open = on_open,
	.on_bytes = on_bytes,
	.on_close = on_close,
};

static struct rota_listener *serve_limited(struct t_net *net, const struct rota_conn_limits *limits)
{
	struct rota_listener_options options = { .protocol = &echo };

	if (limits)
		options.limits = *limits;
	memset(&seen, 0, sizeof(seen));
	return t_serve(net, &options);
}

/* ---- many connections ---- */

static uint32_t meeting;       /* how many converse at once */
static struct rota_future met; /* all of them have been answered; the clients' reactor */

/* Clients stay until all are there. */
static void wait_for_the_others(void)
{
	seen.answered++;
	if (seen.answered == meeting)
		rota_future_complete(&met, 0);
	CHECK_EQUAL(rota_await(&met), 0);
}

static int64_t converse(void *arg)
{
	struct t_net *net = arg;
	struct rota_conn *conn = t_connect(net);
	char text[64];

	if (!conn)
		return -EIO;
	for (int i = 0; i < 3; i++) {
		snprintf(text, sizeof(text), "connection %d says %d", (int)rota_conn_id(conn), i);
		t_say(conn, text);
		if (!HEAR(conn, text))
			break;
	}
	wait_for_the_others();
	rota_conn_close(conn);
	return 0;
}

static void meet(struct t_net *net, uint32_t count)
{
	struct rota_scope scope;

	meeting = count;
	rota_future_init(&met);
	rota_scope_open(&scope, ROTA_NEVER);
	for (uint32_t i = 0; i < count; i++)
		if (!CHECK_EQUAL(rota_spawn(&scope, converse, net), 0))
			break;
	CHECK_EQUAL(rota_scope_close(&scope), 0);
	t_until(&seen.closed, count);
}

static void a_thousand_connections_at_once(struct t_net *net)
{
	serve_limited(net, NULL);
	meet(net, 1000);
	CHECK_EQUAL(t_server_stats(net).accepted, 1000);
	t_until_connections(net, 0);
}

/* Four buffers of 512 bytes for everybody, both sides with one reactor. */
static void nobody_starves_for_receive_buffers(struct t_net *net)
{
	struct rota_net_stats stats;

	serve_limited(net, NULL);
	meet(net, 300);
	stats = t_server_stats(net);
	CHECK_EQUAL(stats.accepted, 300);
}

/* Half the connections hold back what they received, up to the mark. */
static int64_t hold(void *arg)
{
	struct t_net *net = arg;
	struct rota_conn *conn = t_connect(net);
	struct rota_view view;
	int64_t n;

	if (!conn)
		return -EIO;
	t_say(conn, "++++");
	n = rota_conn_peek(conn, 4, &view);
	wait_for_the_others();
	CHECK_WITHIN(n, 4, 5000);
	CHECK(n < 4 || !memcmp(view.data, "+", 1));
	rota_conn_close(conn);
	return 0;
}

static void views_that_are_kept_do_not_starve_others(struct t_net *net)
{
	struct rota_scope scope;

	serve_limited(net, NULL);
	meeting = 100;
	rota_future_init(&met);
	rota_scope_open(&scope, ROTA_NEVER);
	for (uint32_t i = 0; i < meeting; i++)
		CHECK_EQUAL(rota_spawn(&scope, i % 2 ? converse : hold, net), 0);
	CHECK_EQUAL(rota_scope_close(&scope), 0);
}

/* ---- high-water marks ---- */

struct memory {
	size_t most_bytes;
};

static void look(struct rota_conn *conn, void *arg)
{
	struct memory *memory = arg;

	memory->most_bytes = rota_max_size(memory->most_bytes, rota_conn_memory_bytes(conn));
}

static int64_t memory_here(void *arg)
{
	rota_conn_each(look, arg);
	return 0;
}

static void a_peer_that_reads_late_gets_everything(struct t_net *net)
{
	struct rota_conn_limits limits = { .output_high_bytes = 20000, .input_high_bytes = 8192 };
	struct rota_conn_limits mine = { .input_high_bytes = 4096 };
	enum { REQUESTS = 2000 };
	struct memory memory = { 0 };
	struct rota_conn *conn;
	struct rota_view view;
	int64_t n, total = 0;
	char plus[100];

	memset(plus, '+', sizeof(plus));
	serve_limited(net, &limits);
	conn = t_connect_limited(net, &mine);
	for (int i = 0; i < REQUESTS / 100; i++)
		rota_output_write(rota_conn_output(conn), plus, sizeof(plus));
	for (int i = 0; i < 20; i++) {
		rota_ignore(rota_sleep_ms(1), "it piles up");
		CHECK_EQUAL(rota_call_on(net->server, memory_here, &memory), 0);
	}
	/* one request in 100 bytes may add 100 KiB at once; nothing more */
	CHECK_WITHIN(memory.most_bytes, 100, 2000 * 1024 + 200000);
	while (total < REQUESTS * 1025 && (n = rota_conn_read(conn, &view)) > 0)
		total += n;
	CHECK_EQUAL(total, REQUESTS * 1025);
	rota_conn_close(conn);
	t_until(&seen.closed, 1);
	CHECK_EQUAL(seen.reason, 0);
}

static void a_peer_that_never_reads_is_cut_off(struct t_net *net)
{
	struct rota_conn_limits limits = { .output_high_bytes = 1 << 30,
					   .output_max_bytes = 200 * 1024 };
	char plus[64];
	int fd;

	memset(plus, '+', sizeof(plus));
	serve_limited(net, &limits);
	fd = t_raw_connect(net);
	for (int i = 0; i < 10000 && !seen.closed; i++)
		if (t_raw_send(fd, plus, sizeof(plus)) < sizeof(plus))
			break;
	t_until(&seen.closed, 1);
	CHECK_EQUAL(seen.reason, -ENOBUFS);
	CHECK_EQUAL(t_server_stats(net).output_cut_offs, 1);
	t_raw_close(fd);
}

/* Who is cut off while there is more for it gets an error after what it got, and no end. */
static void what_is_cut_off_does_not_look_whole(struct t_net *net)
{
	struct rota_conn_limits limits = { .output_high_bytes = 1 << 30,
					   .linger_timeout_ns = 50 * ROTA_NS_PER_MS };
	struct rota_conn_limits slow = { .input_high_bytes = 4096 };
	static char plus[16000]; /* the answers are more than two sockets hold */
	struct rota_conn *conn;
	struct rota_view view;
	int64_t n;

	memset(plus, '+', sizeof(plus));
	serve_limited(net, &limits);
	conn = t_connect_limited(net, &slow);
	CHECK_EQUAL(rota_conn_write(conn, rota_view_of(plus, sizeof(plus))), sizeof(plus));
	CHECK_EQUAL(rota_conn_shutdown_write(conn), 0);
	t_until(&seen.closed, 1);
	while ((n = rota_conn_read(conn, &view)) > 0)
		;
	CHECK_EQUAL(n, -ECONNRESET);
	rota_conn_close(conn);
}

/* ---- descriptors ---- */

/* Connect, or say why not. */
static int64_t try_connect(struct t_net *net)
{
	struct io io = { .op = { .kind = ROTA_OP_CONNECT, .address = &net->address } };
	int64_t fd = rota__io_await(&io);

	rota_ignore(rota_sleep_ms(5), "it is accepted, or not");
	return fd;
}

static void out_of_descriptors_the_rest_is_served_on(struct t_net *net)
{
	enum { DESCRIPTORS = 60 };
	int fds[DESCRIPTORS], opened = 0, filler = dup(0);
	struct rlimit before, limit;
	struct rota_conn *first;
	int64_t fd;

	CHECK_EQUAL(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	limit.rlim_cur = (rlim_t)filler + DESCRIPTORS;
	/* before the listener: io_uring looks at the limit when the accept starts */
	CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
	serve_limited(net, NULL);
	first = t_connect(net);
	t_say(first, "x");
	HEAR(first, "x");
	while ((fd = try_connect(net)) >= 0)
		fds[opened++] = (int)fd;
	CHECK_EQUAL(fd, -EMFILE);
	close(filler); /* for a client; then none is left for the server's side */
	fd = try_connect(net);
	if (CHECK_WITHIN(fd, 0, INT32_MAX))
		fds[opened++] = (int)fd;
	CHECK_WITHIN(t_server_stats(net).accept_pauses, 1, 100);
	t_say(first, "still here");
	HEAR(first, "still here");
	CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
	t_until(&seen.opened, (uint32_t)opened + 1);
	while (opened)
		t_raw_close(fds[--opened]);
	rota_conn_close(first);
}

/* ---- spreading ---- */

static void connections_are_handed_to_the_reactor_with_the_fewest(struct t_net *net)
{
	static struct rota_listener *targets[T_REACTORS_MAX];
	struct rota_listener_options options = { .protocol = &echo };
	enum { CONNECTIONS = 40 };
	int fds[CONNECTIONS];

	memset(&seen, 0, sizeof(seen));
	options.is_target = true;
	for (unsigned i = 0; i < net->reactors_count; i++)
		targets[i] = t_serve_on(net, net->reactors[i], &options);
	options.is_target = false;
	options.targets = targets;
	options.targets_count = net->reactors_count;
	t_serve_on(net, net->reactors[0], &options);
	for (int i = 0; i < CONNECTIONS; i++)
		fds[i] = t_raw_connect(net);
	t_until(&seen.opened, CONNECTIONS);
	CHECK_EQUAL(seen.per_reactor[0], CONNECTIONS / net->reactors_count);
	for (int i = 0; i < CONNECTIONS; i++)
		t_raw_close(fds[i]);
	t_until(&seen.closed, CONNECTIONS);
}

/* The listener it is on its way to may be closed meanwhile. */
static void a_connection_handed_to_a_closed_listener_is_refused(struct t_net *net)
{
	static struct rota_listener *targets[T_REACTORS_MAX];
	struct rota_listener_options options = { .protocol = &echo };
	enum { CONNECTIONS = 20 };
	int fds[CONNECTIONS];

	memset(&seen, 0, sizeof(seen));
	options.is_target = true;
	targets[0] = t_serve(net, &options);
	options.is_target = false;
	options.targets = targets;
	options.targets_count = 1;
	t_serve_on(net, net->reactors[0], &options);
	for (int i = 0; i < CONNECTIONS; i++)
		fds[i] = t_raw_connect(net);
	rota_reactor_stop(net->server);
	for (int i = 0; i < CONNECTIONS; i++)
		t_raw_close(fds[i]);
}

static void reuse_port_listeners_share_a_port(struct t_net *net)
{
	struct rota_listener_options options = { .protocol = &echo, .reuse_port = true };
	enum { CONNECTIONS = 100 };
	int fds[CONNECTIONS];

	memset(&seen, 0, sizeof(seen));
	for (unsigned i = 0; i < net->reactors_count; i++) {
		t_serve_on(net, net->reactors[i], &options);
		options.address = net->address;
	}
	for (int i = 0; i < CONNECTIONS; i++)
		fds[i] = t_raw_connect(net);
	t_until(&seen.opened, CONNECTIONS);
	if (net->reactors_count == 2)
		CHECK_WITHIN(seen.per_reactor[0], 10, 90);
	for (int i = 0; i < CONNECTIONS; i++)
		t_raw_close(fds[i]);
}

/* ---- memory ---- */

static size_t fail_number; /* which allocation */
static int fails_alone;

/* A whole conversation, in which everything may fail and nothing may be left behind. */
static void fallible_conversation(struct t_net *net)
{
	struct rota_listener_options options = { .protocol = &echo };
	struct rota_listener *listener;
	struct rota_conn *conn;
	struct rota_view view;
	int64_t n, total = 0;
	char text[5000];

	if (fails_alone)
		t_alloc_fail_at(fail_number);
	else
		t_alloc_fail_from(fail_number);
	memset(text, '+', 4);
	memset(text + 4, '.', sizeof(text) - 4);
	if (rota_address_parse(&options.address, "127.0.0.1", 0) < 0 ||
	    rota_listener_open(&options, &listener) < 0 ||
	    rota_listener_address(listener, &net->address) < 0)
		return;
	if (rota_connect(&net->address, NULL, &conn) < 0)
		return;
	n = rota_conn_write(conn, rota_view_of(text, sizeof(text)));
	while (n > 0 && total < (int64_t)sizeof(text) + 4 * 1024 &&
	       (n = rota_conn_peek(conn, 10, &view)) > 0) {
		total += n;
		rota_conn_consume(conn, (size_t)n);
	}
	rota_conn_close(conn);
}

/*
 * With no memory for what a reactor keeps of the network, nothing is begun: nobody listens there.
 */
static void without_memory_nobody_is_connected_to(struct t_net *net)
{
	struct rota_address address;
	struct rota_conn *conn;

	(void)net;
	CHECK_EQUAL(rota_address_parse(&address, "127.0.0.1", 1), 0);
	t_alloc_fail_from(1);
	CHECK_EQUAL(rota_connect(&address, NULL, &conn), -ENOMEM);
	t_alloc_fail_at(0);
	CHECK_EQUAL(rota_connect(&address, NULL, &conn), -ECONNREFUSED);
}

/* Every allocation from the first listener on fails in turn: alone, and with all that follow. */
static void test_every_failed_allocation_of_a_conversation_is_survived(void **state)
{
	static const struct t_row row = { &rota_backend_sim, "", 1 };
	bool any_failed = true;

	(void)state;
	t_alloc_install();
	for (fail_number = 1; any_failed; fail_number++) {
		any_failed = false;
		for (fails_alone = 0; fails_alone < 2; fails_alone++) {
			assert_int_equal(
				t_net_run(&row, "seed=1,buffers=64x512", fallible_conversation), 0);
			any_failed |= t_alloc_failures() > 0;
			t_alloc_fail_at(0);
			if (t_alloc_live())
				fail_msg("%zu blocks are out after allocation %zu failed",
					 t_alloc_live(), fail_number);
		}
	}
	assert_true(fail_number > 10);
	t_alloc_remove();
}

/* ---- the table ---- */

static const struct t_scenario scenarios[] = {
	SCENARIO(a_thousand_connections_at_once),
	{ .name = "nobody_starves_for_receive_buffers",
	  .run = nobody_starves_for_receive_buffers,
	  .options = "buffers=4x512" },
	{ .name = "views_that_are_kept_do_not_starve_others",
	  .run = views_that_are_kept_do_not_starve_others,
	  .options = "buffers=4x512" },
	SCENARIO(a_peer_that_reads_late_gets_everything),
	SCENARIO(a_peer_that_never_reads_is_cut_off),
	SCENARIO(what_is_cut_off_does_not_look_whole),
	{ .name = "out_of_descriptors_the_rest_is_served_on",
	  .run = out_of_descriptors_the_rest_is_served_on,
	  .needs_kernel = true },
	SCENARIO(connections_are_handed_to_the_reactor_with_the_fewest),
	SCENARIO(a_connection_handed_to_a_closed_listener_is_refused),
	SCENARIO(reuse_port_listeners_share_a_port),
	SCENARIO(without_memory_nobody_is_connected_to),
	{ .name = NULL },
};

int main(int argc, char **argv)
{
	static const struct CMUnitTest sweep[] = {
		cmocka_unit_test(test_every_failed_allocation_of_a_conversation_is_survived),
	};
	int failed = argc == 1 ? cmocka_run_group_tests(sweep, NULL, NULL) : 0;

	return failed + t_net_main(scenarios, argc, argv);
}
