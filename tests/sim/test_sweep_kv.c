/* SPDX-License-Identifier: MIT */
/*
 * rota-kv as it is and its client on two hosts, with one failure: the k-th allocation, or the k-th
 * attempt of an operation, from start-up over a client's requests to the end. Layer: tests.
 *
 *	test_sweep_kv [SEEDS]
 *
 * The one idea: whatever fails, each program ends with a status and nothing is left; the client has
 * a right answer, a clear refusal or a closed connection, which the oracle judges; and if the
 * server has come up at all, it serves again once the failure is over. Every k is taken, with each
 * of the seeds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <rota/memory.h>

#include "tests/sim/kv_party.h"
#include "tests/support/t_alloc.h"
#include "tests/support/t_core.h"

#define CONVERSATIONS 8
#define TRIES_MAX 6
#define FAILURES_MAX 1000000 /* a run has fewer */

static unsigned seeds = 10;
static uint64_t seed_now;
static bool has_served_again; /* in this run, after all else */

static int serve(void *arg)
{
	(void)arg;
	return t_kv_serve(NULL);
}

/* ---- the client ---- */

static bool arrive(struct t_kv_line *line)
{
	for (int tries = 0; !line->conn && tries < TRIES_MAX; tries++)
		if (rota_sleep_ms(10) == 0) /* it may still be starting */
			rota_ignore(t_kv_arrive(line), "then the next time");
	return line->conn;
}

/* On a new connection. */
static bool is_served(void)
{
	struct t_kv_line line = { 0 };
	char text[16];
	bool is_well;

	if (!arrive(&line))
		return false;
	is_well = rota_conn_write(line.conn, rota_view_of_string("PING\r\n")) >= 0 &&
		  t_hear_line(line.conn, text, sizeof(text)) && !strcmp(text, "+PONG");
	t_kv_leave(&line);
	return is_well;
}

static int64_t client(void *arg)
{
	uint64_t random = seed_now;
	struct t_kv_line line = { 0 };
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, rota_after_ms(10000)); /* a client's kernel may be out of memory */
	for (int i = 0; i < CONVERSATIONS && arrive(&line); i++)
		rota_ignore(t_kv_converse(&line, &random), "then on another connection");
	t_kv_leave(&line);
	for (int tries = 0; !has_served_again && tries < TRIES_MAX; tries++)
		has_served_again = is_served();
	rota_ignore(rota_scope_close(&scope), "each call had its own status");
	return 0;
}

/* ---- the sweeps ---- */

static struct t_outcome run_once(uint64_t fail_attempt)
{
	static const struct t_hosts hosts = {
		.serve = serve,
		.client = client,
		.clients_count = 1,
	};
	struct rota_sim_options options;
	struct t_outcome outcome;

	t_kv_begin();
	t_kv.may_refuse = true;
	has_served_again = false;
	if (seed_now % 2)
		rota_sim_options_init(&options, seed_now);
	else
		rota_sim_options_rough(&options, seed_now);
	options.latency_min_ns = options.latency_max_ns = ROTA_NS_PER_MS;
	options.steps_max = 1000000;
	options.fail_attempt = fail_attempt;
	outcome = t_hosts_run(&hosts, &options);
	t_kv_judge();
	return outcome;
}

/* If only one thing has failed, and that neither ended the server nor kept the client away. */
static void check_service(const struct t_outcome *outcome)
{
	if (outcome->status == 0 && outcome->results[T_SERVER] == 0 &&
	    outcome->results[T_CLIENT] == 0)
		T_CHECK(has_served_again);
}

static void run_with_a_failed_allocation(void *arg)
{
	bool is_alone = t_alloc_fails_alone();
	struct t_outcome outcome = run_once(0);

	(void)arg;
	if (is_alone)
		check_service(&outcome);
}

static void test_sweep_kv_every_allocation_fails_once(void **state)
{
	size_t rounds = 0;

	(void)state;
	for (seed_now = 1; seed_now <= t_rounds(seeds); seed_now++) {
		uint64_t answered = t_kv.answered, unanswered = t_kv.unanswered;

		fprintf(stderr, "allocations, seed %llu\n", (unsigned long long)seed_now);
		run_once(0); /* what the thread keeps: the stacks of generators */
		assert_true(has_served_again && t_kv.answered > answered);
		assert_int_equal(t_kv.unanswered, unanswered);
		t_alloc_install();
		rounds += t_alloc_sweep(run_with_a_failed_allocation, NULL);
		t_alloc_remove();
	}
	print_message("%zu runs\n", rounds);
	assert_true(rounds > 200);
}

static void test_sweep_kv_every_operation_fails_once(void **state)
{
	uint64_t runs = 0;

	(void)state;
	t_alloc_install();
	for (seed_now = 1; seed_now <= t_rounds(seeds); seed_now++) {
		uint64_t attempts, k = 1;

		fprintf(stderr, "operations, seed %llu\n", (unsigned long long)seed_now);
		do {
			struct t_outcome outcome = run_once(k);

			check_service(&outcome);
			attempts = outcome.attempts;
			runs++;
			assert_true(k < FAILURES_MAX);
		} while (k++ <= attempts);
		assert_true(has_served_again); /* nothing has failed in the last one */
	}
	t_alloc_remove();
	print_message("%llu runs\n", (unsigned long long)runs);
	assert_true(runs > 50);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sweep_kv_every_allocation_fails_once),
		cmocka_unit_test(test_sweep_kv_every_operation_fails_once),
	};

	if (argc > 2 || (argc == 2 && sscanf(argv[1], "%u", &seeds) != 1)) {
		fprintf(stderr, "usage: %s [SEEDS]\n", argv[0]);
		return 2;
	}
	rota_log_to(ROTA_LOG_ERROR, t_say_nothing, NULL);
	return cmocka_run_group_tests_name("sweep of rota-kv", tests, NULL, NULL);
}
