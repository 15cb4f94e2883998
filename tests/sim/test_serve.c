/* SPDX-License-Identifier: MIT */
/*
 * rota_serve as a whole, in the simulator: start, serve, drain, stop, with a protocol and with a
 * task per connection, over many seeds. Layer: tests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocols/line/line.h"
#include "tests/sim/hosts.h"
#include "tests/sim/party.h"
#include "tests/support/t_alloc.h"
#include "tests/support/t_core.h"

#define SEEDS 50
#define LINE_BYTES_MAX 3000

/* The service's hooks and sessions, counted over all runs. */
static struct {
	unsigned started, stopped, opened, closed;
} counts;

static int start(struct rota_server *server, unsigned reactor_index, void *arg)
{
	(void)server;
	(void)arg;
	T_EQUAL(reactor_index, counts.started++ % T_PARTY_REACTORS);
	return rota_sleep_ms(1); /* it may suspend */
}

static void stop(struct rota_server *server, unsigned reactor_index, void *arg)
{
	struct rota_net_stats stats;

	(void)server;
	(void)arg;
	T_EQUAL(reactor_index, counts.stopped++ % T_PARTY_REACTORS);
	rota_net_stats(&stats);
	T_EQUAL(stats.connections, 0);
}

/* ---- clients ---- */

/* Lines of all lengths, several at a time. */
static void say_lines(struct t_client *client)
{
	char text[3 * LINE_BYTES_MAX];

	for (int round = 0; round < 8; round++) {
		uint32_t count = 1 + t_draw(client, 3);
		size_t bytes = 0;

		while (count--) {
			uint32_t line_bytes = t_draw(client,
						     t_draw(client, 4) ? 40 : LINE_BYTES_MAX);

			memset(text + bytes, (int)('a' + t_draw(client, 26)), line_bytes);
			text[bytes + line_bytes] = '\n';
			bytes += line_bytes + 1;
		}
		if (!t_ask(client, rota_view_of(text, bytes), rota_view_of(text, bytes)))
			return;
	}
}

static uint64_t run_echo(struct rota_service *service, uint64_t seed)
{
	struct rota_server_options options;
	struct t_party party = {
		.service = service,
		.options = &options,
		.converse = say_lines,
		.question = "hello\n",
		.answer = "hello\n",
		.clients_count = 6,
		.stops_early = seed % 2,
	};

	rota_server_options_init(&options, NULL);
	service->name = "echo";
	service->port = 7;
	service->start = start;
	service->stop = stop;
	return t_party_run(&party, seed);
}

/* ---- a protocol whose handler waits ---- */

static int answer(struct rota_session *session, struct rota_view line)
{
	size_t bytes = line.bytes;
	char copy[LINE_BYTES_MAX];

	memcpy(copy, line.data, bytes); /* the view dies at the first suspension */
	if (bytes % 3 == 0 && rota_sleep_ms((int64_t)bytes % 7) < 0)
		return -ECANCELED;
	rota_output_write(rota_session_output(session), copy, bytes);
	rota_output_write(rota_session_output(session), "\n", 1);
	return 0;
}

static void session_closed(struct rota_session *session, int reason)
{
	(void)session;
	(void)reason;
	counts.closed++;
}

static uint64_t run_protocol(uint64_t seed)
{
	static struct rota_line_service lines = {
		.line_bytes_max = LINE_BYTES_MAX,
		.overlong = "",
		.on_line = answer,
		.close = session_closed,
	};
	struct rota_protocol protocol;
	struct rota_service service = { .protocol = &protocol, .arg = &lines };

	rota_line_protocol_init(&protocol, &lines);
	return run_echo(&service, seed);
}

static void test_serve_by_protocol_many_seeds_serve_drain_and_stop(void **state)
{
	(void)state;
	memset(&counts, 0, sizeof(counts));
	t_party_repeat(t_rounds(SEEDS), run_protocol);
	assert_int_equal(counts.started, 2 * t_rounds(SEEDS) * T_PARTY_REACTORS);
	assert_int_equal(counts.stopped, counts.started);
	/* who stays, at least; of the others' connections an early stop refuses some */
	assert_true(counts.closed >= 2 * t_rounds(SEEDS) * T_PARTY_REACTORS);
}

/* ---- a task per connection ---- */

static int64_t handle(struct rota_conn *conn, void *arg)
{
	int64_t n;

	counts.opened++;
	n = t_echo(conn, arg);
	counts.closed++;
	return n;
}

static uint64_t run_handler(uint64_t seed)
{
	struct rota_service service = { .handler = handle };

	return run_echo(&service, seed);
}

static void test_serve_by_tasks_many_seeds_serve_drain_and_stop(void **state)
{
	(void)state;
	memset(&counts, 0, sizeof(counts));
	t_party_repeat(t_rounds(SEEDS), run_handler);
	assert_int_equal(counts.started, 2 * t_rounds(SEEDS) * T_PARTY_REACTORS);
	assert_int_equal(counts.stopped, counts.started);
	assert_int_equal(counts.closed, counts.opened);
	assert_true(counts.closed >= 2 * t_rounds(SEEDS) * T_PARTY_REACTORS);
}

/* ---- a stop that does not end ---- */

static void stop_and_hang_on_the_first(struct rota_server *server, unsigned reactor_index,
				       void *arg)
{
	(void)server;
	(void)arg;
	T_EQUAL(reactor_index, counts.stopped++);
	if (reactor_index == 0)
		T_EQUAL(rota_sleep_until(ROTA_NEVER), -ETIMEDOUT);
}

static int start_and_say_so(struct rota_server *server, unsigned reactor_index, void *arg)
{
	(void)server;
	(void)reactor_index;
	(void)arg;
	return 1; /* no error */
}

static int serve_until_ready(void *arg)
{
	struct rota_service service = { .name = "echo",
					.port = T_PORT,
					.handler = t_echo,
					.start = start_and_say_so,
					.stop = stop_and_hang_on_the_first };
	struct rota_server_options options;

	(void)arg;
	rota_server_options_init(&options, NULL);
	return t_hosts_serve(&service, &options);
}

static void keep_line(enum rota_log_level level, const char *line, void *arg)
{
	(void)level;
	snprintf(arg, ROTA_BACKEND_TEXT_BYTES, "%s", line);
}

static void test_serve_when_a_stop_hangs_calls_the_others_and_says_so(void **state)
{
	static const struct t_hosts hosts = { .serve = serve_until_ready };
	struct rota_sim_options options;
	char line[ROTA_BACKEND_TEXT_BYTES] = "";
	struct t_outcome outcome;

	(void)state;
	memset(&counts, 0, sizeof(counts));
	rota_sim_options_init(&options, 1);
	rota_log_to(ROTA_LOG_ERROR, keep_line, line);
	outcome = t_hosts_run(&hosts, &options);
	rota_log_to(ROTA_LOG_INFO, NULL, NULL);
	assert_int_equal(outcome.status, 0);
	assert_int_equal(counts.stopped, 2);
	assert_int_equal(outcome.results[T_SERVER], -ETIMEDOUT);
	assert_non_null(strstr(line, "echo cannot stop on reactor 0: "));
}

/* Memory that is not given back fails the test. */
static int watch_memory(void **state)
{
	(void)state;
	t_alloc_install();
	return 0;
}

static int check_memory(void **state)
{
	(void)state;
	t_alloc_remove();
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_serve_by_protocol_many_seeds_serve_drain_and_stop, watch_memory,
			check_memory),
		cmocka_unit_test_setup_teardown(test_serve_by_tasks_many_seeds_serve_drain_and_stop,
						watch_memory, check_memory),
		cmocka_unit_test(test_serve_when_a_stop_hangs_calls_the_others_and_says_so),
	};

	return cmocka_run_group_tests_name("serve", tests, NULL, NULL);
}
