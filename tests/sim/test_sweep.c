/* SPDX-License-Identifier: MIT */
/*
 * A server and its client on two hosts, with one failure: the k-th allocation, or the k-th attempt
 * of an operation, for every k there is. Layer: tests.
 *
 * The one idea: whatever fails, each program comes to an end with a status and nothing is left. If
 * nothing failed, the client has got its answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <rota/memory.h>
#include <rota/rota.h>

#include "tests/sim/hosts.h"
#include "tests/support/t_alloc.h"
#include "tests/support/t_core.h"

#define ROUNDS 3
#define FAILURES_MAX 100000 /* a run has fewer */

static unsigned answered;

static int serve(void *arg)
{
	(void)arg;
	return t_hosts_serve_handler(t_echo);
}

static int ask(struct rota_conn *conn)
{
	struct rota_view heard;
	int64_t status = rota_conn_write(conn, rota_view_of_string("hello"));

	if (status > 0)
		status = rota_conn_peek(conn, 5, &heard);
	if (status < 0)
		return (int)status;
	if (status == 0)
		return -EPIPE;
	T_CHECK(memcmp(heard.data, "hello", rota_min_size((size_t)status, 5)) == 0);
	if (status < 5)
		return -EPIPE;
	rota_conn_consume(conn, 5);
	answered++;
	return 0;
}

/* Comes to an end even if nothing can be received any more. */
static int64_t talk(void *arg)
{
	struct rota_conn *conn = NULL;
	struct rota_scope scope;
	int status = -ENOTCONN;

	(void)arg;
	rota_scope_open(&scope, rota_after_ms(3000));
	for (int tries = 0; !conn && tries < 5; tries++) {
		rota_ignore(rota_sleep_ms(10), "the server may still be starting");
		conn = t_arrive(T_PORT);
	}
	for (int i = 0; conn && i < ROUNDS; i++)
		if ((status = ask(conn)) < 0)
			break;
	if (conn)
		rota_conn_close(conn);
	rota_ignore(rota_scope_close(&scope), "each call had its own status");
	return status;
}

/* ---- the sweeps ---- */

/*
 * Returns the attempts of operations that the run has made. In pieces: what is sent comes in pieces
 * of a few bytes, several at a time.
 */
static uint64_t run_once(uint64_t seed, uint64_t fail_attempt, bool in_pieces)
{
	static const struct t_hosts hosts = { .serve = serve, .client = talk, .clients_count = 1 };
	struct rota_sim_options options;

	answered = 0;
	rota_sim_options_init(&options, seed);
	options.latency_min_ns = options.latency_max_ns = ROTA_NS_PER_MS;
	options.steps_max = 1000000;
	options.fail_attempt = fail_attempt;
	options.short_io_permille = in_pieces ? 900 : 0;
	options.delay_max_ns = in_pieces ? ROTA_NS_PER_MS : 0;
	return t_hosts_run(&hosts, &options).attempts;
}

static void run_plainly(void *arg)
{
	(void)arg;
	run_once(1, 0, false);
}

static void run_in_pieces(void *arg)
{
	run_once(*(const uint64_t *)arg, 0, true);
}

static void test_sweep_every_allocation_fails_once_and_every_run_ends(void **state)
{
	size_t rounds;

	(void)state;
	run_plainly(NULL); /* what the thread keeps: the stacks of generators */
	assert_int_equal(answered, ROUNDS);
	t_alloc_install();
	rounds = t_alloc_sweep(run_plainly, NULL);
	t_alloc_remove();
	print_message("%zu runs\n", rounds);
	assert_true(rounds > 100);
}

/* Nothing is read behind bytes that could not be kept. */
static void test_sweep_every_allocation_fails_once_and_input_has_no_gap(void **state)
{
	size_t rounds = 0;

	(void)state;
	t_alloc_install();
	for (uint64_t seed = 1; seed <= t_rounds(20); seed++)
		rounds += t_alloc_sweep(run_in_pieces, &seed);
	t_alloc_remove();
	print_message("%zu runs\n", rounds);
}

static void test_sweep_every_operation_fails_once_and_every_run_ends(void **state)
{
	uint64_t attempts = 0, k = 1;

	(void)state;
	t_alloc_install();
	for (uint64_t seed = 1; seed <= t_rounds(20); seed++) {
		for (k = 1; k <= (attempts = run_once(seed, k, false)); k++)
			assert_true(k < FAILURES_MAX);
		/* Nothing has failed in the last one. */
		assert_int_equal(answered, ROUNDS);
	}
	t_alloc_remove();
	print_message("%llu operations\n", (unsigned long long)attempts);
	assert_true(attempts > 10);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sweep_every_allocation_fails_once_and_every_run_ends),
		cmocka_unit_test(test_sweep_every_allocation_fails_once_and_input_has_no_gap),
		cmocka_unit_test(test_sweep_every_operation_fails_once_and_every_run_ends),
	};

	rota_log_to(ROTA_LOG_ERROR, t_say_nothing, NULL);
	return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}
