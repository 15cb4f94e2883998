/* SPDX-License-Identifier: MIT */
/*
 * rota-kv as it is on one host, its clients on others, and between them whatever the seed has
 * planned: latency, loss, partitions, resets, crash and restart. Layer: tests.
 *
 *	test_chaos [--seeds FIRST..LAST | --seed N] [--trace] [--forgets]
 *
 * The one idea: clients write down what they called and what they were answered, and when; the
 * oracle says whether a correct server could have answered so. A seed that fails is printed with
 * the command that replays it. With --forgets, the server does what it must not: that is how this
 * test is tested.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <rota/log.h>
#include <rota/memory.h>

#include "apps/kv/kv.h"
#include "backends/sim/sim.h"
#include "tests/sim/oracle.h"
#include "tests/support/t_alloc.h"
#include "tests/support/t_core.h"

#define SEEDS 150
#define SERVER 1 /* hosts */
#define CLIENT_FIRST 2
#define CLIENT_HOSTS 2
#define CLIENTS 3 /* on each of them */
#define CALLS 12  /* of each client */
#define KEYS 2
#define CRASHES_MAX 2
#define PORT 6379
#define ANSWER_NS ROTA_NS_PER_S

_Static_assert(CLIENT_HOSTS *CLIENTS *CALLS / KEYS + CRASHES_MAX <= T_EVENTS_MAX,
	       "a key's events in the mean; more than fit are not called");

static const struct rota_backend_ops *const engines[] = { &rota_backend_sim, NULL };

/* This run's; no host's memory. */
static struct {
	struct rota_sim_world *world;
	struct rota_server *server; /* NULL: not ready, or crashed */
	uint64_t random;
	struct t_event events[KEYS][T_EVENTS_MAX];
	unsigned counts[KEYS];
	uint32_t values; /* handed out */
	unsigned clients_left;
	unsigned boots;
	bool is_over;
} run;

/* Of all runs. */
static struct {
	uint64_t answered, unanswered, crashes, reads_of_values;
} seen;

static bool forgets, traces;

static uint32_t draw(uint32_t bound)
{
	uint64_t x = run.random += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)((x ^ x >> 31) % bound);
}

/* ---- the server ---- */

struct boot {
	struct kv_server kv;
	struct kv_config config;
	struct rota_protocol protocol;
	struct rota_service service;
};

static void ready(struct rota_server *server, void *arg)
{
	(void)arg;
	run.server = server;
	if (run.is_over)
		rota_server_stop(server);
}

/* What a server must not do: lose what it has acknowledged. */
static int64_t forget(void *arg)
{
	struct rota_address address = rota_sim_host_address(SERVER, PORT);
	struct rota_conn *conn;
	struct rota_view view;

	(void)arg;
	if (rota_sleep_ms(100) < 0 || rota_connect(&address, NULL, &conn) < 0)
		return 0;
	if (rota_conn_write(conn, rota_view_of_string("FLUSHALL\r\n")) > 0)
		rota_ignore(rota_conn_peek(conn, 5, &view), "whatever it says");
	rota_conn_close(conn);
	return 0;
}

static int start(struct rota_server *server, unsigned reactor_index, void *arg)
{
	int status = kv_server_start(server, reactor_index, arg);

	if (status == 0 && forgets && reactor_index == 0)
		status = rota_spawn(rota_reactor_scope(rota_reactor_current()), forget, NULL);
	return status;
}

/* What it holds when the power goes is freed with all other memory of its host. */
static int serve(void *arg)
{
	struct boot *boot = rota_calloc(1, sizeof(*boot));
	int status;

	(void)arg;
	T_CHECK(boot);
	run.server = NULL;
	if (run.boots++) {
		rota_ns at = rota_sim_host_crashed_at(run.world, SERVER);

		seen.crashes++;
		for (unsigned key = 0; key < KEYS; key++)
			run.events[key][run.counts[key]++] = (struct t_event){ T_LOSS, 0, true, at,
									       at };
	}
	T_EQUAL(kv_config_init(&boot->config, NULL), 0);
	boot->config.is_protected = false;
	T_EQUAL(kv_server_init(&boot->kv, &boot->config), 0);
	kv_server_service(&boot->kv, &boot->protocol, &boot->service);
	boot->service.start = start;
	boot->service.port = PORT;
	boot->config.server.engines = engines;
	boot->config.server.backend = "sim:buffers=16x256";
	boot->config.server.reactors = 2;
	boot->config.server.binds[0] = "*";
	boot->config.server.binds_count = 1;
	boot->config.server.quiet = true;
	boot->config.server.on_ready = ready;
	status = rota_serve(&boot->service, &boot->config.server);
	run.server = NULL;
	kv_server_fini(&boot->kv);
	kv_config_fini(&boot->config);
	rota_free(boot);
	return status;
}

/* ---- clients ---- */

static bool read_line(struct rota_conn *conn, char *line, size_t line_bytes)
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

/* Ask, and hear the answer. False: it broke off, or took too long. */
static bool converse(struct rota_conn *conn, unsigned key, struct t_event *event)
{
	char text[64];
	int bytes;

	if (event->kind == T_WRITE)
		bytes = snprintf(text, sizeof(text), "SET key%u %u\r\n", key, event->value);
	else
		bytes = snprintf(text, sizeof(text), "GET key%u\r\n", key);
	if (rota_conn_write(conn, rota_view_of(text, (size_t)bytes)) < 0 ||
	    !read_line(conn, text, sizeof(text)))
		return false;
	if (event->kind == T_WRITE) {
		T_CHECK(strcmp(text, "+OK") == 0);
	} else if (strcmp(text, "$-1") != 0) {
		T_CHECK(text[0] == '$');
		if (!read_line(conn, text, sizeof(text)))
			return false;
		event->value = (uint32_t)strtoul(text, NULL, 10);
		T_CHECK(event->value >= 1 && event->value <= run.values);
		seen.reads_of_values++;
	}
	return true;
}

/* One call on an open connection. Returns false when the connection is of no use any more. */
static bool call(struct rota_conn *conn)
{
	unsigned key = draw(KEYS);
	struct t_event event = { .kind = draw(2) ? T_WRITE : T_READ, .answered = ROTA_NEVER };
	struct rota_scope scope;
	struct t_event *noted;

	if (run.counts[key] + CRASHES_MAX >= T_EVENTS_MAX)
		return true;
	if (event.kind == T_WRITE)
		event.value = ++run.values;
	event.called = rota_now();
	noted = &run.events[key][run.counts[key]++];
	*noted = event;
	rota_scope_open(&scope, rota_after_ns(ANSWER_NS));
	event.is_answered = converse(conn, key, &event);
	rota_ignore(rota_scope_close(&scope), "that it took too long is known");
	if (event.is_answered)
		event.answered = rota_now();
	*noted = event;
	*(event.is_answered ? &seen.answered : &seen.unanswered) += 1;
	return event.is_answered;
}

static struct rota_conn *arrive(void)
{
	struct rota_address address = rota_sim_host_address(SERVER, PORT);
	struct rota_conn *conn = NULL;
	struct rota_scope scope;

	rota_scope_open(&scope, rota_after_ns(ANSWER_NS));
	if (rota_connect(&address, NULL, &conn) < 0)
		conn = NULL;
	rota_ignore(rota_scope_close(&scope), "then there is no connection");
	return conn;
}

/* Comes to an end whatever happens: a server may be gone for good. */
static int64_t client(void *arg)
{
	struct rota_conn *conn = NULL;
	unsigned failures = 0;

	(void)arg;
	for (unsigned calls = 0; calls < CALLS && failures < 20;) {
		T_EQUAL(rota_sleep_ms(draw(200)), 0);
		if (!conn)
			conn = arrive();
		if (!conn) {
			failures++;
			continue;
		}
		calls++;
		if (call(conn))
			continue;
		rota_conn_close(conn);
		conn = NULL;
	}
	if (conn)
		rota_conn_close(conn);
	return 0;
}

static int64_t clients(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	for (unsigned i = 0; i < CLIENTS; i++)
		T_EQUAL(rota_spawn(&scope, client, NULL), 0);
	return rota_scope_close(&scope);
}

static int client_host(void *arg)
{
	struct rota_reactor_options options = { .engine = &rota_backend_sim };

	(void)arg;
	T_EQUAL(rota_run(&options, clients, NULL), 0);
	if (--run.clients_left)
		return 0;
	run.is_over = true;
	if (run.server && !rota_sim_host_is_down(run.world, SERVER))
		rota_server_stop(run.server);
	return 0;
}

/* ---- one seed ---- */

/* A write that was not answered can happen until its server crashes, and its connection with it. */
static void limit_unanswered(unsigned key)
{
	for (unsigned i = 0; i < run.counts[key]; i++) {
		struct t_event *write = &run.events[key][i];

		for (unsigned j = 0; j < run.counts[key]; j++) {
			const struct t_event *loss = &run.events[key][j];

			if (!write->is_answered && loss->kind == T_LOSS &&
			    loss->called >= write->called && loss->called < write->answered)
				write->answered = loss->called;
		}
	}
}

static void make_world(uint64_t seed, FILE *trace)
{
	struct rota_sim_chaos chaos = {
		.host_first = SERVER,
		.host_last = CLIENT_FIRST + CLIENT_HOSTS - 1,
		.victim = SERVER,
		.span_ns = 2 * ROTA_NS_PER_S,
		.longest_ns = 2 * ROTA_NS_PER_S,
		.counts_max = { [ROTA_SIM_PARTITION] = 3,
				[ROTA_SIM_RESET] = 4,
				[ROTA_SIM_CRASH] = CRASHES_MAX,
				[ROTA_SIM_CLOCK] = 1,
				[ROTA_SIM_SLOW] = 2,
				[ROTA_SIM_STARVE] = 2 },
	};
	struct rota_sim_options options;

	rota_sim_options_rough(&options, seed);
	options.steps_max = 5 * 1000 * 1000;
	options.latency_min_ns = 100 * ROTA_NS_PER_US;
	options.latency_max_ns = 5 * ROTA_NS_PER_MS;
	options.loss_permille = seed % 3 ? 10 : 0;
	options.shuffle = seed % 2;
	options.trace = trace;
	T_EQUAL(rota_sim_world_create(&options, &run.world), 0);
	T_EQUAL(rota_sim_plan_draw(run.world, &chaos), 0);
}

static uint64_t run_seed(uint64_t seed, FILE *trace)
{
	uint64_t hash;

	memset(&run, 0, sizeof(run));
	run.random = seed << 8;
	run.clients_left = CLIENT_HOSTS;
	make_world(seed, trace);
	T_EQUAL(rota_sim_host_boot(run.world, SERVER, serve, NULL), 0);
	for (unsigned i = 0; i < CLIENT_HOSTS; i++)
		T_EQUAL(rota_sim_host_boot(run.world, CLIENT_FIRST + i, client_host, NULL), 0);
	T_EQUAL(rota_sim_run(run.world), 0);
	for (unsigned i = 0; i < CLIENT_HOSTS; i++)
		T_EQUAL(rota_sim_host_result(run.world, CLIENT_FIRST + i), 0);
	T_EQUAL(rota_sim_host_result(run.world, SERVER), 0);
	hash = rota_sim_trace_hash(run.world);
	T_EQUAL(rota_sim_world_destroy(run.world), 0);
	for (unsigned key = 0; key < KEYS; key++) {
		limit_unanswered(key);
		T_CHECK(t_register_is_linear(run.events[key], run.counts[key]));
	}
	return hash;
}

/* ---- which seeds ---- */

static uint64_t seed_first = 1, seed_last;
static char replay[512]; /* what to say when this seed fails */

static void say_how_to_replay(int number)
{
	rota_ignore(write(STDERR_FILENO, replay, strlen(replay)), "it is dying");
	signal(number, SIG_DFL);
	raise(number);
}

static void prepare(const char *program, uint64_t seed)
{
	snprintf(replay, sizeof(replay), "seed %llu failed; replay: %s --seed %llu --trace%s\n",
		 (unsigned long long)seed, program, (unsigned long long)seed,
		 forgets ? " --forgets" : "");
	signal(SIGABRT, say_how_to_replay);
	signal(SIGSEGV, say_how_to_replay);
}

static const char *program_name;

static void test_chaos_every_answer_could_be_a_correct_servers(void **state)
{
	(void)state;
	prepare(program_name, seed_first);
	run_seed(seed_first, NULL); /* the thread keeps the stacks of generators */
	t_alloc_install();
	for (uint64_t seed = seed_first; seed <= seed_last; seed++) {
		prepare(program_name, seed);
		run_seed(seed, traces ? stdout : NULL);
		if (seed % 1000 == 0)
			print_message("seed %llu\n", (unsigned long long)seed);
	}
	t_alloc_remove();
	print_message("%llu answered, %llu not, %llu reads of a value, %llu restarts\n",
		      (unsigned long long)seen.answered, (unsigned long long)seen.unanswered,
		      (unsigned long long)seen.reads_of_values, (unsigned long long)seen.crashes);
	if (seed_last - seed_first >= SEEDS / 20) { /* or it is no chaos */
		assert_true(seen.answered > seen.unanswered);
		assert_true(seen.unanswered && seen.crashes && seen.reads_of_values);
	}
}

static void test_chaos_same_seed_writes_the_same_trace(void **state)
{
	(void)state;
	for (uint64_t seed = seed_first; seed < seed_first + 3; seed++) {
		char *texts[2] = { NULL, NULL };
		size_t bytes[2];

		prepare(program_name, seed);
		for (int i = 0; i < 2; i++) {
			FILE *trace = open_memstream(&texts[i], &bytes[i]);

			assert_non_null(trace);
			run_seed(seed, trace);
			fclose(trace);
		}
		assert_true(bytes[0] > 1000);
		assert_int_equal(bytes[0], bytes[1]);
		assert_memory_equal(texts[0], texts[1], bytes[0]);
		free(texts[0]);
		free(texts[1]);
	}
}

static void be_forgetful(void)
{
	forgets = true;
	for (uint64_t seed = 1; seed <= 100; seed++) {
		prepare("test_chaos", seed);
		run_seed(seed, NULL);
	}
}

static void test_chaos_server_that_forgets_is_found_and_the_seed_named(void **state)
{
	(void)state;
	t_expect_death(be_forgetful, "replay: test_chaos --seed ");
}

static bool take_arguments(int argc, char **argv)
{
	unsigned long long first, last;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--trace"))
			traces = true;
		else if (!strcmp(argv[i], "--forgets"))
			forgets = true;
		else if (i + 1 < argc && !strcmp(argv[i], "--seed") &&
			 sscanf(argv[++i], "%llu", &first) == 1)
			seed_first = seed_last = first;
		else if (i + 1 < argc && !strcmp(argv[i], "--seeds") &&
			 sscanf(argv[++i], "%llu..%llu", &first, &last) == 2) {
			seed_first = first;
			seed_last = last;
		} else {
			return false;
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chaos_every_answer_could_be_a_correct_servers),
		cmocka_unit_test(test_chaos_same_seed_writes_the_same_trace),
		cmocka_unit_test(test_chaos_server_that_forgets_is_found_and_the_seed_named),
	};
	static const struct CMUnitTest soak[] = {
		cmocka_unit_test(test_chaos_every_answer_could_be_a_correct_servers),
	};

	program_name = argv[0];
	seed_last = t_rounds(SEEDS);
	if (!take_arguments(argc, argv)) {
		fprintf(stderr,
			"usage: %s [--seeds FIRST..LAST | --seed N] [--trace] [--forgets]\n",
			argv[0]);
		return 2;
	}
	rota_log_to(ROTA_LOG_ERROR, NULL, NULL);
	if (argc > 1)
		return cmocka_run_group_tests_name("chaos", soak, NULL, NULL);
	return cmocka_run_group_tests_name("chaos", tests, NULL, NULL);
}
