/* SPDX-License-Identifier: MIT */
/*
 * rota-load as a whole, in the simulator: the program on one host, a server on another, virtual
 * time. What the server does wrong is known to the nanosecond, so what the client must find is
 * known as well. Layer: tests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "backends/sim/sim.h"
#include "bench/load/load.h"
#include "tests/support/t_alloc.h"
#include "tests/support/t_core.h"

#define SERVER 1
#define CLIENT 2
#define TARGET "10.0.0.1:7"
#define ARGUMENTS_MAX 32

static const struct rota_backend_ops *const engines[] = { &rota_backend_sim, NULL };

/* A run of the program; and what the server's handlers share. */
static struct {
	struct rota_sim_world *world;
	struct rota_server *server;
	rota_conn_fn handler;
	struct options options;
	char json_path[32];
	rota_ns stall_from, stall_until;
	uint64_t messages;
	uint64_t connections;
	int status; /* of the program's exit */
	bool is_rough;
} run;

static int serve(void *arg)
{
	struct rota_service service = { .name = "server", .handler = run.handler, .port = 7 };

	return rota_serve(&service, arg);
}

static int load(void *arg)
{
	int status;

	(void)arg;
	status = load_run(&run.options, engines);
	rota_server_stop(run.server);
	return status;
}

static void server_is_ready(struct rota_server *server, void *arg)
{
	(void)arg;
	run.server = server;
	run.stall_from += rota_now();
	run.stall_until += rota_now();
	if (rota_sim_host_boot(run.world, CLIENT, load, NULL) < 0)
		rota_server_stop(server);
}

/* Read the command line `rota-load ARGUMENTS TARGET`, with a file for the result. */
static void prepare(const char *arguments)
{
	static char text[512];
	char *argv[ARGUMENTS_MAX] = { NULL };
	char *rest = text;
	int argc = 0;
	int file;

	/* tidy: allow unfinished, mkstemp wants it so */
	strcpy(run.json_path, "/tmp/rota-load.XXXXXX");
	file = mkstemp(run.json_path);
	assert_true(file >= 0);
	close(file);
	snprintf(text, sizeof(text),
		 "rota-load --backend sim:host=%d --quiet --json %s --warmup 0 %s " TARGET, CLIENT,
		 run.json_path, arguments);
	while ((argv[argc] = strsep(&rest, " ")))
		argc++;
	assert_int_equal(options_parse(&run.options, argc, argv), OPTIONS_RUN);
}

/* Both programs, to their ends. Returns 0, or that of what could not begin. */
static int run_world(uint64_t seed, rota_conn_fn handler)
{
	struct rota_server_options server;
	struct rota_sim_options world;
	int status;

	rota_server_options_init(&server, engines);
	server.backend = "sim:host=1";
	server.reactors = 1;
	server.quiet = true;
	server.binds[server.binds_count++] = "*";
	server.on_ready = server_is_ready;
	run.handler = handler;
	run.messages = run.connections = 0;
	if (run.is_rough)
		rota_sim_options_rough(&world, seed);
	else
		rota_sim_options_init(&world, seed);
	world.latency_min_ns = 20 * ROTA_NS_PER_US;
	world.latency_max_ns = 40 * ROTA_NS_PER_US;
	world.steps_max = 50 * 1000 * 1000;
	status = rota_sim_world_create(&world, &run.world);
	if (status < 0)
		return status;
	status = rota_sim_host_boot(run.world, SERVER, serve, &server);
	T_EQUAL(rota_sim_run(run.world), 0);
	run.status = rota_sim_host_result(run.world, CLIENT);
	T_CHECK(run.status != -EBUSY);
	T_EQUAL(rota_sim_world_destroy(run.world), 0);
	return status;
}

/*
 * Run `rota-load ARGUMENTS` against `handler`. Returns its JSON (json_decref); `*status` is the
 * exit status.
 */
static json_t *run_load(uint64_t seed, rota_conn_fn handler, const char *arguments, int *status)
{
	json_t *result;

	prepare(arguments);
	rota_log_to(ROTA_LOG_ERROR, NULL, NULL);
	assert_int_equal(run_world(seed, handler), 0);
	rota_log_to(ROTA_LOG_INFO, NULL, NULL);
	*status = run.status;
	result = json_load_file(run.json_path, 0, NULL);
	assert_non_null(result);
	unlink(run.json_path);
	return result;
}

static json_int_t number(const json_t *result, const char *name)
{
	return json_integer_value(json_object_get(result, name));
}

static json_int_t latency(const json_t *result, const char *name)
{
	return number(json_object_get(result, "latency_ns"), name);
}

static json_int_t lateness(const json_t *result, const char *name)
{
	return number(json_object_get(result, "lateness_ns"), name);
}

static const char *error_of(const json_t *result)
{
	return json_string_value(json_object_get(result, "error"));
}

static double seconds_of(const json_t *result)
{
	return json_real_value(json_object_get(result, "seconds"));
}

/* ---- servers ---- */

static int64_t echo(struct rota_conn *conn, void *arg)
{
	struct rota_view in;
	int64_t n;

	(void)arg;
	run.connections++;
	while ((n = rota_conn_read(conn, &in)) > 0)
		if ((n = rota_conn_write(conn, in)) < 0)
			break;
	return n;
}

/* Answers nothing between run.stall_from and run.stall_until. */
static int64_t echo_with_a_stall(struct rota_conn *conn, void *arg)
{
	struct rota_view in;
	int64_t n;

	(void)arg;
	while ((n = rota_conn_read(conn, &in)) > 0) {
		rota_ns now = rota_now();

		if (now >= run.stall_from && now < run.stall_until &&
		    rota_sleep_until(run.stall_until) < 0)
			return 0;
		if ((n = rota_conn_write(conn, in)) < 0)
			break;
	}
	return n;
}

/* One byte per packet. */
static int64_t echo_byte_by_byte(struct rota_conn *conn, void *arg)
{
	struct rota_view in;
	int64_t n;

	(void)arg;
	while ((n = rota_conn_read(conn, &in)) > 0) {
		char copy[256];

		assert_true(in.bytes <= sizeof(copy));
		memcpy(copy, in.data, in.bytes);
		for (size_t i = 0; i < in.bytes; i++)
			if ((n = rota_conn_write(conn, rota_view_of(copy + i, 1))) < 0 ||
			    (n = rota_conn_flush(conn)) < 0)
				return n;
	}
	return n;
}

/* The hundredth receive comes back with a byte changed. */
static int64_t echo_wrongly(struct rota_conn *conn, void *arg)
{
	struct rota_view in;
	int64_t n;

	(void)arg;
	while ((n = rota_conn_read(conn, &in)) > 0) {
		char copy[4096];

		assert_true(in.bytes <= sizeof(copy));
		memcpy(copy, in.data, in.bytes);
		if (++run.messages == 100)
			copy[in.bytes / 2] ^= 1;
		if ((n = rota_conn_write(conn, rota_view_of(copy, in.bytes))) < 0)
			break;
	}
	return n;
}

/* Sends a byte too many with the hundredth. */
static int64_t echo_too_much(struct rota_conn *conn, void *arg)
{
	struct rota_view in;
	int64_t n;

	(void)arg;
	while ((n = rota_conn_read(conn, &in)) > 0)
		if ((n = rota_conn_write(conn, in)) < 0 ||
		    (++run.messages == 100 &&
		     (n = rota_conn_write(conn, rota_view_of("!", 1))) < 0))
			break;
	return n;
}

/* Each connection is closed when its eleventh message comes. */
static int64_t echo_ten_times(struct rota_conn *conn, void *arg)
{
	struct rota_view in;
	int64_t n = 0;

	(void)arg;
	run.connections++;
	for (int i = 0; i < 10 && (n = rota_conn_read(conn, &in)) > 0; i++)
		if ((n = rota_conn_write(conn, in)) < 0)
			return n;
	return n > 0 ? rota_conn_read(conn, &in) : n;
}

static int64_t say_nothing(struct rota_conn *conn, void *arg)
{
	struct rota_view in;
	int64_t n;

	(void)arg;
	run.connections++;
	while ((n = rota_conn_read(conn, &in)) > 0)
		;
	return n;
}

/* With the hundredth answer on its way, all machines stand still for a second. */
static int64_t echo_and_freeze(struct rota_conn *conn, void *arg)
{
	struct rota_view in;
	int64_t n;

	(void)arg;
	while ((n = rota_conn_read(conn, &in)) > 0) {
		if ((n = rota_conn_write(conn, in)) < 0 || (n = rota_conn_flush(conn)) < 0)
			break;
		if (++run.messages == 100)
			rota_sim_advance(run.world, ROTA_NS_PER_S);
	}
	return n;
}

static int64_t send_all_the_time(struct rota_conn *conn, void *arg)
{
	static const char bytes[4096];
	int64_t n;

	(void)arg;
	while ((n = rota_conn_write(conn, rota_view_of(bytes, sizeof(bytes)))) >= 0)
		if ((n = rota_conn_flush(conn)) < 0)
			break;
	return n;
}

/* ---- a server as it should be ---- */

static void test_load_of_a_good_server_counts_every_reply(void **state)
{
	int status;
	json_t *result = run_load(1, echo, "-c 8 -d 4 -t 0.05 --check", &status);

	(void)state;
	assert_int_equal(status, EXIT_SUCCESS);
	assert_int_equal(number(result, "errors"), 0);
	assert_true(number(result, "requests") > 8 * 4);
	assert_int_equal(number(result, "bytes_sent"), 64 * number(result, "requests"));
	assert_int_equal(number(result, "bytes_received"), 64 * number(result, "requests"));
	assert_int_equal(latency(result, "count"), number(result, "requests"));
	assert_true(latency(result, "min") >= 40 * ROTA_NS_PER_US); /* there and back */
	assert_int_equal(run.connections, 8);
	json_decref(result);
}

static void test_load_with_the_same_seed_is_the_same(void **state)
{
	int status;

	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++) {
		const char *arguments = "-c 5 -t 0.05 -r 3000 --arrivals poisson";
		json_t *first = run_load(seed, echo, arguments, &status);
		json_t *second = run_load(seed, echo, arguments, &status);

		json_object_del(first, "cpu_ns"); /* real time */
		json_object_del(second, "cpu_ns");
		assert_true(json_equal(first, second));
		json_decref(first);
		json_decref(second);
	}
}

static void test_load_of_a_server_that_sends_byte_by_byte_finds_all_well(void **state)
{
	int status;
	json_t *result = run_load(1, echo_byte_by_byte, "-c 3 -t 0.02 --check", &status);

	(void)state;
	assert_int_equal(status, EXIT_SUCCESS);
	assert_int_equal(number(result, "errors"), 0);
	assert_true(number(result, "requests") > 3);
	json_decref(result);
}

/* Short reads and writes, receives that end, no buffers, completions in any order. */
static void test_load_in_a_rough_world_finds_all_well(void **state)
{
	(void)state;
	run.is_rough = true;
	for (uint64_t seed = 1; seed <= t_rounds(40); seed++) {
		const char *arguments = seed % 2 ? "-c 4 -d 5 -t 0.02 --check --payload 700"
						 : "-c 4 -d 3 -t 0.05 --check -r 2000";
		int status;
		json_t *result = run_load(seed, echo, arguments, &status);

		assert_int_equal(status, EXIT_SUCCESS);
		assert_int_equal(number(result, "errors"), 0);
		assert_true(number(result, "requests") > 0);
		json_decref(result);
	}
}

/* ---- an open loop ---- */

/*
 * 1000 requests a second are due for two seconds, and for 200 ms of it there is no answer: the 200
 * that were due then have waited for 100 ms on the average, whether or not they could be sent. So
 * of all, 10 % lie evenly between 0 and 200 ms: the 99th percentile is at 180 ms, the 95th at 100.
 */
static void test_open_loop_with_a_stall_charges_all_that_was_due(void **state)
{
	int status;
	json_t *result;

	(void)state;
	run.stall_from = ROTA_NS_PER_S;
	run.stall_until = ROTA_NS_PER_S + 200 * ROTA_NS_PER_MS;
	result = run_load(1, echo_with_a_stall, "-c 4 -t 2 -r 1000", &status);
	assert_int_equal(status, EXIT_SUCCESS);
	assert_int_equal(number(result, "errors"), 0);
	assert_true(number(result, "requests") >= 1999 && number(result, "requests") <= 2000);
	assert_true(latency(result, "p50") < ROTA_NS_PER_MS);
	assert_true(latency(result, "p90") < 5 * ROTA_NS_PER_MS);
	assert_true(latency(result, "p99") > 175 * ROTA_NS_PER_MS);
	assert_true(latency(result, "p99") < 185 * ROTA_NS_PER_MS);
	assert_true(latency(result, "max") > 195 * ROTA_NS_PER_MS);
	assert_true(latency(result, "max") < 205 * ROTA_NS_PER_MS);
	/* that is the server's: we were in time */
	assert_true(lateness(result, "max") < ROTA_NS_PER_MS);
	assert_true(number(result, "queued") >= 194 && number(result, "queued") <= 204);
	assert_int_equal(lateness(result, "count") + number(result, "queued"),
			 number(result, "requests"));
	json_decref(result);
}

/*
 * We stand still for a second, with the server: the four requests that then find room are late by
 * up to as much, and it is our own lateness.
 */
static void test_open_loop_of_a_client_that_stood_still_says_it_was_late(void **state)
{
	int status;
	json_t *result = run_load(1, echo_and_freeze, "-c 4 -t 2 -r 1000", &status);

	(void)state;
	assert_int_equal(status, EXIT_SUCCESS);
	assert_true(lateness(result, "max") > 995 * ROTA_NS_PER_MS);
	assert_true(lateness(result, "max") < 1001 * ROTA_NS_PER_MS);
	assert_true(lateness(result, "p99") < ROTA_NS_PER_MS);
	assert_true(number(result, "queued") > 990 && number(result, "queued") < 1100);
	json_decref(result);
}

/*
 * The timers wake it between 70 and 5 us before each of 1000 requests; the rest goes by in turns
 * that only wait.
 */
static void test_open_loop_counts_what_it_polled(void **state)
{
	int status;
	json_t *result = run_load(1, echo, "-c 4 -t 1 -r 1000", &status);
	json_int_t polling_ns = number(result, "polling_ns");

	(void)state;
	assert_int_equal(status, EXIT_SUCCESS);
	assert_in_range(polling_ns, 1000 * 30 * ROTA_NS_PER_US, 1000 * 45 * ROTA_NS_PER_US);
	/* not the next tick of the timers, up to 65 us later */
	assert_true(lateness(result, "p99") < 5 * ROTA_NS_PER_US);
	json_decref(result);

	result = run_load(1, echo, "-c 4 -t 0.05", &status);
	assert_int_equal(number(result, "polling_ns"), 0);
	assert_true(json_is_null(json_object_get(result, "lateness_ns")));
	json_decref(result);
}

/* What the open loop is for: the same server looks well to clients that wait for it. */
static void test_closed_loop_with_a_stall_does_not_see_it_in_p99(void **state)
{
	int status;
	json_t *result;

	(void)state;
	run.stall_from = ROTA_NS_PER_S / 2;
	run.stall_until = run.stall_from + 200 * ROTA_NS_PER_MS;
	result = run_load(1, echo_with_a_stall, "-c 4 -t 1", &status);
	assert_int_equal(status, EXIT_SUCCESS);
	assert_true(latency(result, "p99") < ROTA_NS_PER_MS);
	assert_true(latency(result, "max") > 195 * ROTA_NS_PER_MS);
	json_decref(result);
}

static void test_open_loop_with_a_full_queue_counts_what_was_dropped(void **state)
{
	int status;
	json_t *result;

	(void)state;
	run.stall_from = ROTA_NS_PER_S / 2;
	run.stall_until = run.stall_from + 200 * ROTA_NS_PER_MS;
	/* of 200 that are due, 4 are in flight and 100 in the queue */
	result = run_load(1, echo_with_a_stall, "-c 4 -t 1 -r 1000 --queue 100", &status);
	assert_int_equal(status, EXIT_FAILURE);
	assert_true(number(result, "errors") >= 92 && number(result, "errors") <= 98);
	assert_true(number(result, "requests") + number(result, "errors") >= 999);
	assert_string_equal(error_of(result), "at this rate more than 100 requests were waiting");
	json_decref(result);
}

static void test_open_loop_with_poisson_arrivals_keeps_the_rate(void **state)
{
	int status;
	json_t *result = run_load(1, echo, "-c 20 -t 2 -r 2000 --arrivals poisson", &status);

	(void)state;
	assert_int_equal(status, EXIT_SUCCESS);
	/* the count's standard deviation is the root of its mean: 63 of 4000 */
	assert_true(number(result, "requests") > 4000 - 4 * 63);
	assert_true(number(result, "requests") < 4000 + 4 * 63);
	json_decref(result);
}

static void test_open_loop_with_bursts_keeps_the_rate(void **state)
{
	int status;
	/* a burst that fills one connection and half of the next */
	json_t *result = run_load(1, echo, "-c 5 -d 10 -t 1 -r 3000 --burst 15", &status);

	(void)state;
	assert_int_equal(status, EXIT_SUCCESS);
	assert_true(number(result, "requests") >= 2985 && number(result, "requests") <= 3000);
	assert_int_equal(number(result, "requests") % 15, 0);
	assert_true(latency(result, "max") < ROTA_NS_PER_MS);
	json_decref(result);
}

/* ---- servers that do wrong ---- */

static void test_load_of_a_server_that_changes_a_byte_is_an_error_if_checked(void **state)
{
	int status;
	json_t *result = run_load(1, echo_wrongly, "-c 4 -t 0.1 --check", &status);

	(void)state;
	assert_int_equal(status, EXIT_FAILURE);
	assert_int_equal(number(result, "errors"), 1);
	assert_string_equal(error_of(result), "other bytes came back than were sent");
	assert_true(number(result, "requests") > 200); /* it goes on on a new connection */
	json_decref(result);
	result = run_load(1, echo_wrongly, "-c 4 -t 0.1", &status);
	assert_int_equal(status, EXIT_SUCCESS);
	json_decref(result);
}

static void test_load_of_a_server_that_sends_too_much_is_an_error(void **state)
{
	int status;
	json_t *result = run_load(1, echo_too_much, "-c 1 -t 0.1", &status);

	(void)state;
	assert_int_equal(status, EXIT_FAILURE);
	assert_string_equal(error_of(result), "more bytes came back than were sent");
	assert_int_equal(number(result, "errors"), 1);
	json_decref(result);
}

static void test_load_of_a_server_that_closes_goes_on_with_new_connections(void **state)
{
	int status;
	json_t *result = run_load(1, echo_ten_times, "-c 2 -t 0.2", &status);

	(void)state;
	assert_int_equal(status, EXIT_FAILURE);
	assert_string_equal(error_of(result), "the server closed a connection");
	assert_true(run.connections > 4);
	/* each that ended had ten answers and lost one */
	assert_true(number(result, "errors") >= (json_int_t)run.connections - 2);
	assert_true(number(result, "errors") <= (json_int_t)run.connections);
	assert_true(number(result, "requests") >= 10 * number(result, "errors"));
	json_decref(result);
}

static void test_load_of_a_server_that_never_answers_ends_in_time(void **state)
{
	int status;
	json_t *result = run_load(1, say_nothing, "-c 3 -d 2 -t 1.2 --timeout 0.5", &status);

	(void)state;
	assert_int_equal(status, EXIT_FAILURE);
	assert_string_equal(error_of(result), "no reply for 0.5 s");
	assert_int_equal(number(result, "requests"), 0);
	/* one time-out within the run and one after it, seen a quarter late at most */
	assert_true(seconds_of(result) < 1.2 + 0.5 * 10 / 8 + 0.01);
	assert_int_equal(number(result, "errors"), (run.connections - 3) * 2 + 3 * 2);
	json_decref(result);
}

static void test_open_loop_of_a_server_that_never_answers_ends_in_time(void **state)
{
	int status;
	json_t *result = run_load(1, say_nothing, "-c 3 -t 1 -r 100 --timeout 0.5", &status);

	(void)state;
	assert_int_equal(status, EXIT_FAILURE);
	assert_int_equal(number(result, "requests"), 0);
	assert_true(number(result, "errors") >= 99 && number(result, "errors") <= 100);
	assert_true(seconds_of(result) < 1 + 2 * 0.5 * 10 / 8 + 0.01);
	json_decref(result);
}

/* Who was not running for longer than the time-out takes what has come before it complains. */
static void test_load_that_was_stopped_itself_blames_nobody(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		int status;
		json_t *result = run_load(seed, echo_and_freeze, "-c 8 -t 0.05 -d 2 --timeout 0.5",
					  &status);

		assert_true(run.messages > 100);
		assert_int_equal(status, EXIT_SUCCESS);
		assert_int_equal(number(result, "errors"), 0);
		assert_true(latency(result, "max") > ROTA_NS_PER_S / 2);
		json_decref(result);
	}
}

/* ---- other shapes ---- */

static void test_upload_is_read_to_its_end(void **state)
{
	int status;
	json_t *result = run_load(1, say_nothing, "-c 2 -t 0.1 --shape upload", &status);

	(void)state;
	assert_int_equal(status, EXIT_SUCCESS);
	assert_int_equal(number(result, "errors"), 0);
	assert_true(number(result, "bytes_sent") > 2 * 65536);
	assert_int_equal(number(result, "bytes_received"), 0);
	json_decref(result);
}

static void test_download_counts_what_came(void **state)
{
	int status;
	json_t *result = run_load(1, send_all_the_time, "-c 2 -t 0.1 --shape download", &status);

	(void)state;
	assert_int_equal(status, EXIT_SUCCESS);
	assert_int_equal(number(result, "bytes_sent"), 0);
	assert_true(number(result, "bytes_received") > 2 * 65536);
	json_decref(result);
}

static void test_churn_makes_a_connection_for_each_request(void **state)
{
	int status;
	json_t *result = run_load(1, echo, "-c 4 -t 0.1 --shape churn --check", &status);

	(void)state;
	assert_int_equal(status, EXIT_SUCCESS);
	assert_int_equal(number(result, "errors"), 0);
	assert_true(number(result, "requests") > 100);
	assert_int_equal(run.connections, 4 + number(result, "requests"));
	/* there and back for the connection and for the request */
	assert_true(latency(result, "min") >= 80 * ROTA_NS_PER_US);
	json_decref(result);
}

static void test_idle_connections_are_open_and_silent(void **state)
{
	int status;
	json_t *result = run_load(1, echo, "-c 2 -t 0.05 --idle 50", &status);

	(void)state;
	assert_int_equal(status, EXIT_SUCCESS);
	assert_int_equal(run.connections, 52);
	assert_int_equal(number(result, "bytes_sent"), 64 * number(result, "requests"));
	json_decref(result);
}

/* ---- no memory ---- */

static void keep_quiet(enum rota_log_level level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	(void)arg;
}

static void run_a_little(void *arg)
{
	(void)arg;
	run.server = NULL;
	run_world(1, echo);
}

/* Whichever allocation fails, of the server's or of the client's: both come to an end. */
static void test_sweep_every_allocation_fails_once_and_every_run_ends(void **state)
{
	size_t rounds;

	(void)state;
	prepare("-c 3 -d 2 -t 0.003 -r 2000 --timeout 0.05 --check --idle 1");
	rota_log_to(ROTA_LOG_ERROR, keep_quiet, NULL);
	rounds = t_alloc_sweep(run_a_little, NULL);
	rota_log_to(ROTA_LOG_INFO, NULL, NULL);
	unlink(run.json_path);
	assert_int_equal(run.status, EXIT_SUCCESS); /* of the last, in which nothing failed */
	assert_true(rounds > 100);
}

/* Memory that is not given back fails the test. */
static int watch_memory(void **state)
{
	(void)state;
	memset(&run, 0, sizeof(run));
	t_alloc_install();
	return 0;
}

static int check_memory(void **state)
{
	(void)state;
	t_alloc_remove();
	return 0;
}

/* What the thread keeps: the stacks of generators. */
static int warm_up(void **state)
{
	int status;

	(void)state;
	json_decref(run_load(1, echo, "-t 0.001", &status));
	return status;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, watch_memory, check_memory)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_load_of_a_good_server_counts_every_reply),
		TEST(test_load_with_the_same_seed_is_the_same),
		TEST(test_load_of_a_server_that_sends_byte_by_byte_finds_all_well),
		TEST(test_load_in_a_rough_world_finds_all_well),
		TEST(test_open_loop_with_a_stall_charges_all_that_was_due),
		TEST(test_closed_loop_with_a_stall_does_not_see_it_in_p99),
		TEST(test_open_loop_of_a_client_that_stood_still_says_it_was_late),
		TEST(test_open_loop_counts_what_it_polled),
		TEST(test_open_loop_with_a_full_queue_counts_what_was_dropped),
		TEST(test_open_loop_with_poisson_arrivals_keeps_the_rate),
		TEST(test_open_loop_with_bursts_keeps_the_rate),
		TEST(test_load_of_a_server_that_changes_a_byte_is_an_error_if_checked),
		TEST(test_load_of_a_server_that_sends_too_much_is_an_error),
		TEST(test_load_of_a_server_that_closes_goes_on_with_new_connections),
		TEST(test_load_of_a_server_that_never_answers_ends_in_time),
		TEST(test_open_loop_of_a_server_that_never_answers_ends_in_time),
		TEST(test_load_that_was_stopped_itself_blames_nobody),
		TEST(test_upload_is_read_to_its_end),
		TEST(test_download_counts_what_came),
		TEST(test_churn_makes_a_connection_for_each_request),
		TEST(test_idle_connections_are_open_and_silent),
		TEST(test_sweep_every_allocation_fails_once_and_every_run_ends),
	};

	return cmocka_run_group_tests_name("rota-load", tests, warm_up, NULL);
}
