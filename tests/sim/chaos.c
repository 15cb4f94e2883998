/* SPDX-License-Identifier: MIT */
/*
 * The chaos of chaos.h: one seed's run, many seeds, and how a failure is told. Layer: tests.
 */
#include "tests/sim/chaos.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <rota/log.h>

#include "tests/support/t_alloc.h"
#include "tests/support/t_core.h"

#define SEEDS 150
#define OPERATE_MS 50

bool t_chaos_misbehaves;

static const struct t_chaos *chaos;
static uint64_t random_state; /* of this run */

/* What was asked for. */
static const char *program_name;
static uint64_t seed_first = 1, seed_last;
static const char *plan_text; /* NULL: draw one */
static bool traces;

/* What to say when this seed fails; and its plan. */
static char replay[8192], plan_now[4096];

uint32_t t_chaos_draw(uint32_t bound)
{
	return t_draw_from(&random_state, bound);
}

/* ---- who fails, and how to see it again ---- */

static void say_how_to_replay(int number)
{
	rota_ignore(write(STDERR_FILENO, replay, strlen(replay)), "it is dying");
	signal(number, SIG_DFL);
	raise(number);
}

static void prepare_replay(uint64_t seed, bool has_plan)
{
	FILE *out = fmemopen(replay, sizeof(replay), "w");

	T_CHECK(out);
	fprintf(out, "seed %llu failed; replay: %s --seed %llu --trace%s%s%s%s\n",
		(unsigned long long)seed, program_name, (unsigned long long)seed,
		plan_text ? " --plan '" : "", plan_text ? plan_text : "", plan_text ? "'" : "",
		t_chaos_misbehaves ? " --misbehaves" : "");
	if (has_plan)
		fprintf(out, "its plan, to be shortened: --plan '%s'\n", plan_now);
	fclose(out);
	replay[sizeof(replay) - 1] = '\0';
	signal(SIGABRT, say_how_to_replay);
	signal(SIGSEGV, say_how_to_replay);
}

/* ---- one run ---- */

static const struct rota_sim_chaos catastrophes = {
	.host_first = T_SERVER,
	.host_last = T_CLIENT + T_CHAOS_HOSTS - 1,
	.victim = T_SERVER,
	.span_ns = 2 * ROTA_NS_PER_S,
	.longest_ns = 2 * ROTA_NS_PER_S,
	.counts_max = { [ROTA_SIM_PARTITION] = 3,
			[ROTA_SIM_RESET] = 4,
			[ROTA_SIM_CRASH] = T_CHAOS_CRASHES_MAX,
			[ROTA_SIM_CLOCK] = 1,
			[ROTA_SIM_SLOW] = 2,
			[ROTA_SIM_STARVE] = 2,
			[ROTA_SIM_NO_MEMORY] = 1,
			[ROTA_SIM_DISK_ERROR] = 1,
			[ROTA_SIM_DISK_FULL] = 1 },
};

static uint64_t seed_now;
static bool lacks_memory; /* by the plan, for some time */

static int make_plan(struct rota_sim_world *world)
{
	int status = plan_text ? 0 : rota_sim_plan_draw(world, &catastrophes);
	FILE *out = fmemopen(plan_now, sizeof(plan_now), "w");

	T_CHECK(out);
	lacks_memory = rota_sim_plan_count(world, ROTA_SIM_NO_MEMORY);
	rota_sim_plan_print(world, out);
	fclose(out);
	prepare_replay(seed_now, true);
	return status;
}

/* Without memory the program may fail; then it is started again, as a service manager does. */
static int64_t operate(void *arg)
{
	(void)arg;
	while (rota_sleep_ms(OPERATE_MS) == 0) {
		int result = rota_sim_host_result(t_hosts.world, T_SERVER);

		if (result < 0 && result != -EBUSY && result != -EHOSTDOWN)
			rota_ignore(t_hosts_boot_server(), "then the next time");
	}
	return 0;
}

static int64_t clients(void *arg)
{
	struct rota_scope scope, operator;

	(void)arg;
	rota_scope_open(&operator, ROTA_NEVER);
	T_EQUAL(rota_spawn(&operator, operate, NULL), 0);
	rota_scope_open(&scope, ROTA_NEVER);
	for (unsigned i = 0; i < T_CHAOS_CLIENTS; i++)
		T_EQUAL(rota_spawn(&scope, chaos->client, NULL), 0);
	T_EQUAL(rota_scope_close(&scope), 0);
	rota_scope_cancel(&operator, "the clients are done");
	rota_ignore(rota_scope_close(&operator), "cancelled");
	return 0;
}

static uint64_t run_seed(uint64_t seed, FILE *trace)
{
	const struct t_hosts hosts = {
		.serve = chaos->serve,
		.client = clients,
		.clients_count = T_CHAOS_HOSTS,
		.prepare = make_plan,
	};
	struct rota_sim_options options;
	struct t_outcome outcome;

	random_state = seed << 8;
	seed_now = seed;
	rota_sim_options_rough(&options, seed);
	options.steps_max = 5 * 1000 * 1000;
	options.latency_min_ns = 100 * ROTA_NS_PER_US;
	options.latency_max_ns = 5 * ROTA_NS_PER_MS;
	options.loss_permille = seed % 3 ? 10 : 0;
	options.shuffle = seed % 2;
	if (seed % 4 == 1)
		options.socket_bytes = 300;
	if (seed % 5 == 2)
		options.descriptors_max = 6; /* fewer than the server has clients */
	if (seed % 7 == 3)
		options.bandwidth = 20000;
	options.trace = trace;
	if (plan_text)
		options.plan = rota_view_of_string(plan_text);
	prepare_replay(seed, false);
	chaos->begin();
	outcome = t_hosts_run(&hosts, &options);
	T_EQUAL(outcome.status, 0);
	for (unsigned i = 0; i < T_CHAOS_HOSTS; i++)
		T_EQUAL(outcome.results[T_CLIENT + i], 0);
	if (!lacks_memory) /* or it may have been short of it at the very end */
		T_EQUAL(outcome.results[T_SERVER], 0);
	if (chaos->judge)
		chaos->judge();
	return outcome.hash;
}

/* ---- the tests ---- */

static void test_chaos_every_answer_could_be_a_correct_programs(void **state)
{
	(void)state;
	/* The thread keeps the stacks of generators. What fails at all fails here first. */
	run_seed(seed_first, traces ? stdout : NULL);
	t_alloc_install();
	for (uint64_t seed = seed_first; seed <= seed_last; seed++) {
		run_seed(seed, NULL);
		if (seed % 1000 == 0)
			print_message("seed %llu\n", (unsigned long long)seed);
	}
	t_alloc_remove();
	chaos->report(seed_last - seed_first + 1);
}

static void test_chaos_same_seed_writes_the_same_trace(void **state)
{
	(void)state;
	for (uint64_t seed = seed_first; seed < seed_first + 3; seed++) {
		char *texts[2] = { NULL, NULL };
		size_t bytes[2];

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

static void misbehave(void)
{
	t_chaos_misbehaves = true;
	for (uint64_t seed = 1; seed <= 100; seed++)
		run_seed(seed, NULL);
}

static void test_chaos_misbehaving_program_is_found_and_the_seed_named(void **state)
{
	char text[200];

	(void)state;
	t_expect_death(misbehave, "its plan, to be shortened: --plan '");
	snprintf(text, sizeof(text), "replay: %.100s --seed ", program_name);
	t_expect_death(misbehave, text);
}

/* ---- which seeds ---- */

static bool take_plan(const char *text)
{
	char message[ROTA_BACKEND_TEXT_BYTES], options_text[sizeof(replay)];
	struct rota_sim_options options;

	plan_text = text;
	rota_sim_options_init(&options, 1);
	snprintf(options_text, sizeof(options_text), "plan=%s", text);
	if (rota_sim_options_parse(&options, options_text, message) == 0)
		return true;
	fprintf(stderr, "%s\n", message);
	return false;
}

static bool take_arguments(int argc, char **argv)
{
	unsigned long long first, last;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--trace"))
			traces = true;
		else if (!strcmp(argv[i], "--misbehaves"))
			t_chaos_misbehaves = true;
		else if (i + 1 < argc && !strcmp(argv[i], "--plan") && take_plan(argv[i + 1]))
			i++;
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

int t_chaos_main(const struct t_chaos *story, int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chaos_every_answer_could_be_a_correct_programs),
		cmocka_unit_test(test_chaos_same_seed_writes_the_same_trace),
		cmocka_unit_test(test_chaos_misbehaving_program_is_found_and_the_seed_named),
	};
	static const struct CMUnitTest soak[] = {
		cmocka_unit_test(test_chaos_every_answer_could_be_a_correct_programs),
	};

	chaos = story;
	program_name = argv[0];
	seed_last = t_rounds(SEEDS);
	if (!take_arguments(argc, argv)) {
		fprintf(stderr,
			"usage: %s [--seeds FIRST..LAST | --seed N] [--plan TEXT] [--trace] "
			"[--misbehaves]\n",
			argv[0]);
		return 2;
	}
	if (traces)
		setlinebuf(stdout); /* it may die */
	/* What it has to say of a lack of memory is not for who reads the log of a test. */
	rota_log_to(ROTA_LOG_ERROR, traces ? NULL : t_say_nothing, NULL);
	return argc > 1 ? cmocka_run_group_tests_name(story->name, soak, NULL, NULL)
			: cmocka_run_group_tests_name(story->name, tests, NULL, NULL);
}
