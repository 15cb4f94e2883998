/* SPDX-License-Identifier: MIT */
/*
 * Signals that tasks wait for: come before and during the wait, more than once, with nobody there,
 * and what the process's own handling is afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/reactor.h>
#include <rota/signal.h>
#include <rota/timer.h>

#include "tests/support/t_core.h"

static struct rota_signals signals;
static int seen[8];
static unsigned seen_count;

static void open_two(void)
{
	const int numbers[] = { SIGUSR1, SIGUSR2 };

	seen_count = 0;
	T_EQUAL(rota_signals_open(&signals, numbers, 2), 0);
}

static bool is_blocked(int number)
{
	sigset_t blocked;

	pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	return sigismember(&blocked, number);
}

/* Notes what comes until it is cancelled. */
static int64_t note_signals(void *arg)
{
	int number;

	while ((number = rota_signals_next(&signals)) > 0)
		seen[seen_count++] = number;
	T_EQUAL(number, -ECANCELED);
	T_EQUAL(rota_signals_next(&signals), -ECANCELED);
	return arg ? number : 0;
}

static void skip_without_signals(void)
{
	if (t_is_simulated())
		skip();
}

/* ---- waiting ---- */

static void raise_and_wait_until(int number, unsigned count)
{
	T_EQUAL(kill(getpid(), number), 0);
	while (seen_count < count)
		T_EQUAL(rota_yield(), 0);
}

static int64_t raise_while_one_waits(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, note_signals, NULL), 0);
	t_settle();
	T_EQUAL(seen_count, 0);
	raise_and_wait_until(SIGUSR2, 1);
	raise_and_wait_until(SIGUSR1, 2);
	raise_and_wait_until(SIGUSR1, 3);
	rota_scope_cancel(&scope, "the test is over");
	T_EQUAL(rota_scope_close_and_move_on(&scope), 1);
	T_EQUAL(seen[0], SIGUSR2);
	T_EQUAL(seen[1], SIGUSR1);
	T_EQUAL(seen[2], SIGUSR1);
	return 0;
}

static void test_signals_come_to_the_task_that_waits(void **state)
{
	(void)state;
	skip_without_signals();
	open_two();
	assert_int_equal(t_run(raise_while_one_waits, NULL), 0);
	rota_signals_close(&signals);
}

/* Nobody waits: one of each is kept. A wait that is cancelled at once takes none. */
static int64_t raise_before(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	for (int i = 0; i < 5; i++) {
		T_EQUAL(kill(getpid(), SIGUSR1), 0);
		T_EQUAL(kill(getpid(), SIGUSR2), 0);
	}
	rota_scope_open(&scope, ROTA_NEVER);
	rota_scope_cancel(&scope, "before it waits");
	T_EQUAL(rota_signals_next(&signals), -ECANCELED);
	T_EQUAL(rota_scope_close_and_move_on(&scope), 1);
	T_EQUAL(rota_signals_next(&signals) + rota_signals_next(&signals), SIGUSR1 + SIGUSR2);

	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, note_signals, NULL), 0);
	t_settle();
	rota_scope_cancel(&scope, "nothing is left");
	T_EQUAL(rota_scope_close_and_move_on(&scope), 1);
	T_EQUAL(seen_count, 0);
	return 0;
}

static void test_signals_that_nobody_waits_for_are_kept_once_each(void **state)
{
	(void)state;
	skip_without_signals();
	open_two();
	assert_int_equal(t_run(raise_before, NULL), 0);
	rota_signals_close(&signals);
}

static int64_t wait_in_a_simulated_world(void *arg)
{
	struct rota_scope scope;

	rota_scope_open(&scope, rota_after_ms(1000));
	T_EQUAL(rota_signals_next(arg), -ETIMEDOUT);
	return rota_scope_close_and_move_on(&scope);
}

static void test_signals_never_come_in_a_simulated_world(void **state)
{
	(void)state;
	if (!t_is_simulated())
		skip();
	open_two();
	assert_int_equal(kill(getpid(), SIGUSR1), 0);
	assert_int_equal(t_run(wait_in_a_simulated_world, &signals), 1);
	rota_signals_close(&signals);
}

/* ---- opening and closing ---- */

/* By default either would end the process. */
static void test_signals_closed_are_dropped_and_handled_as_before(void **state)
{
	(void)state;
	assert_false(is_blocked(SIGUSR1));
	open_two();
	assert_true(is_blocked(SIGUSR1));
	assert_true(is_blocked(SIGUSR2));
	assert_false(is_blocked(SIGHUP));
	assert_int_equal(kill(getpid(), SIGUSR1), 0);
	assert_int_equal(kill(getpid(), SIGUSR2), 0);
	rota_signals_close(&signals);
	assert_false(is_blocked(SIGUSR1));
	assert_false(is_blocked(SIGUSR2));
}

static void test_signals_that_cannot_be_had_are_refused(void **state)
{
	const int numbers[] = { SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, 0, -1, 1000 };

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(numbers); i++) {
		const int both[] = { SIGUSR1, numbers[i] };

		assert_int_equal(rota_signals_open(&signals, both, 2), -EINVAL);
		assert_false(is_blocked(SIGUSR1));
	}
}

static void test_signals_without_a_descriptor_change_nothing(void **state)
{
	const int number = SIGUSR1;
	int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct rlimit before, none;

	(void)state;
	assert_true(next >= 0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(rota_signals_open(&signals, &number, 1), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_false(is_blocked(SIGUSR1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signals_come_to_the_task_that_waits),
		cmocka_unit_test(test_signals_that_nobody_waits_for_are_kept_once_each),
		cmocka_unit_test(test_signals_never_come_in_a_simulated_world),
		cmocka_unit_test(test_signals_closed_are_dropped_and_handled_as_before),
		cmocka_unit_test(test_signals_that_cannot_be_had_are_refused),
		cmocka_unit_test(test_signals_without_a_descriptor_change_nothing),
	};

	return t_run_group("signals", tests, ROTA_ARRAY_COUNT(tests));
}
