/* SPDX-License-Identifier: MIT */
/*
 * The watchdog: tasks that hold their reactor until the report about them has come, however long
 * that takes, and what the process's signals are afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include <rota/future.h>
#include <rota/generator.h>
#include <rota/mailbox.h>
#include <rota/recorder.h>
#include <rota/time.h>

#include "tests/support/t_alloc.h"
#include "tests/support/t_core.h"

#define FRAMES "  #1 "

static int64_t run_watched(rota_task_fn fn, void *arg)
{
	struct rota_reactor_options options = t_reactor_options();
	int64_t result;

	options.stall_ns = 5 * ROTA_NS_PER_MS;
	t_log_keep();
	result = rota_run(&options, fn, arg);
	t_log_stop();
	return result;
}

static uint64_t stalls_here(void)
{
	struct rota_reactor_stats stats;

	rota_reactor_stats(rota_reactor_current(), &stats);
	return stats.stalls;
}

/* ---- in a task ---- */

static ROTA_NOINLINE void spin_until_reported(void)
{
	while (!t_log_count(FRAMES))
		;
}

static int64_t hold(void *arg)
{
	(void)arg;
	spin_until_reported();
	return 0;
}

static int64_t spawn_holder(void *arg)
{
	const struct rota_spawn_options options = { .name = "holder" };
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn_with(&scope, hold, arg, &options), 0);
	T_EQUAL(rota_scope_close(&scope), 0);
	T_LESS(0, stalls_here());
	return 0;
}

static void test_watchdog_task_that_spins_is_named_with_its_stack(void **state)
{
	(void)state;
	if (t_is_simulated())
		return;
	assert_int_equal(run_watched(spawn_holder, NULL), 0);
	assert_true(t_log_count("reactor 0 has not come round for") >= 1);
	assert_true(t_log_count("task \"holder\" spawned at tests/unit/framework/") >= 1);
	assert_true(t_log_count("  #0 ") >= 1);
	assert_true(t_log_count("test_watchdog+0x") >= 1);
}

/* ---- in a generator ---- */

static int64_t hold_and_yield(struct rota_generator *self, void *arg)
{
	spin_until_reported();
	return rota_generator_yield(self, arg, NULL);
}

static int64_t drive_holder(void *arg)
{
	struct rota_generator *generator;
	void *value;

	T_EQUAL(rota_generator_create(hold_and_yield, arg, &generator), 0);
	T_EQUAL(rota_generator_next(generator, &value), 1);
	rota_generator_destroy(generator);
	return 0;
}

static void test_watchdog_task_that_spins_in_a_generator_has_a_stack_too(void **state)
{
	(void)state;
	if (t_is_simulated())
		return;
	assert_int_equal(run_watched(drive_holder, NULL), 0);
	assert_true(t_log_count("test_watchdog+0x") >= 2);
}

/* ---- the flight recorder ---- */

static int64_t hold_until_written(void *arg)
{
	while (access(arg, R_OK))
		;
	return 0;
}

static void test_watchdog_stall_writes_the_flight_recorders(void **state)
{
	static char path[64];
	static bool is_named;

	(void)state;
	if (t_is_simulated())
		return;
	/* A process has one such path for good; that it is free again is all that is needed. */
	if (!is_named) {
		snprintf(path, sizeof(path), "/tmp/rota-stall-%d", (int)getpid());
		assert_int_equal(rota_recorder_save_to(path), 0);
		is_named = true;
	}
	unlink(path);
	assert_int_equal(run_watched(hold_until_written, path), 0);
	assert_int_equal(unlink(path), 0);
}

/* ---- in the kernel ---- */

struct pipe_ends {
	int ends[2];
};

static void *write_when_reported(void *arg)
{
	struct pipe_ends *pipe = arg;

	while (!t_log_count("has not come round"))
		usleep(1000);
	T_EQUAL(write(pipe->ends[1], "x", 1), 1);
	return NULL;
}

static int64_t read_blocking(void *arg)
{
	struct pipe_ends *pipe = arg;
	pthread_t thread;
	char byte;

	T_EQUAL(pthread_create(&thread, NULL, write_when_reported, pipe), 0);
	/* The signal does not show: the call is restarted. */
	T_EQUAL(read(pipe->ends[0], &byte, 1), 1);
	pthread_join(thread, NULL);
	return 0;
}

static void test_watchdog_task_that_blocks_in_a_call_is_named(void **state)
{
	struct pipe_ends ends;

	(void)state;
	if (t_is_simulated())
		return;
	assert_int_equal(pipe(ends.ends), 0);
	assert_int_equal(run_watched(read_blocking, &ends), 0);
	/* The thread sanitizer keeps signals back until a call has returned. */
	assert_true(t_log_count("task \"first task\"") + t_log_count("does not answer") >= 1);
	close(ends.ends[0]);
	close(ends.ends[1]);
}

/* ---- in no task ---- */

static void hold_in_message(struct rota_message *message)
{
	(void)message;
	while (!t_log_count("in no task"))
		;
}

static int64_t post_holder(void *arg)
{
	struct rota_message *message = arg;

	message->run = hold_in_message;
	rota_post(rota_reactor_current(), message);
	t_settle();
	return 0;
}

static void test_watchdog_reactor_that_is_held_by_no_task_is_said_so(void **state)
{
	struct rota_message message = { 0 };

	(void)state;
	if (t_is_simulated())
		return;
	assert_int_equal(run_watched(post_holder, &message), 0);
	assert_true(t_log_count("it is in the reactor itself, in no task") >= 1);
}

/* ---- what is no stall ---- */

static int64_t sleep_for_long(void *arg)
{
	(void)arg;
	T_EQUAL(rota_sleep_ms(60), 0);
	return (int64_t)stalls_here();
}

static void test_watchdog_reactor_that_sleeps_is_not_stalled(void **state)
{
	struct rota_reactor_options options = t_reactor_options();

	(void)state;
	/* Its turns are short beside this, and its sleep long beside a look. */
	options.stall_ns = 2 * ROTA_NS_PER_S;
	assert_int_equal(rota_run(&options, sleep_for_long, NULL), 0);
}

/* ---- signals ---- */

static void host_handler(int signal)
{
	(void)signal;
}

static unsigned count_handlers(void)
{
	struct sigaction action;
	unsigned count = 0;

	for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
		count += sigaction(number, NULL, &action) == 0 &&
			 (action.sa_flags & SA_SIGINFO || action.sa_handler != SIG_DFL);
	return count;
}

static int64_t look_at_handlers(void *arg)
{
	*(unsigned *)arg = count_handlers();
	return 0;
}

static void test_watchdog_takes_a_free_signal_and_gives_it_back(void **state)
{
	struct sigaction before, host = { .sa_handler = host_handler }, after;
	sigset_t ours, mask;
	unsigned during = 0;

	(void)state;
	if (t_is_simulated())
		return;
	assert_int_equal(sigaction(SIGRTMAX, &host, &before), 0);
	sigemptyset(&ours);
	sigaddset(&ours, SIGRTMAX - 1); /* the one it will take */
	pthread_sigmask(SIG_BLOCK, &ours, NULL);
	assert_int_equal(run_watched(look_at_handlers, &during), 0);
	pthread_sigmask(SIG_UNBLOCK, &ours, &mask);
	assert_int_equal(sigaction(SIGRTMAX, &before, &after), 0);
	assert_true(after.sa_handler == host_handler);
	assert_int_equal(during, 2);
	assert_int_equal(count_handlers(), 0);
	assert_true(sigismember(&mask, SIGRTMAX - 1));
}

static void test_watchdog_without_a_free_signal_is_said_and_the_reactor_runs(void **state)
{
	struct sigaction host = { .sa_handler = host_handler };
	unsigned during = 0;

	(void)state;
	if (t_is_simulated())
		return;
	for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
		assert_int_equal(sigaction(number, &host, NULL), 0);
	assert_int_equal(run_watched(look_at_handlers, &during), 0);
	assert_int_equal(t_log_count("reactor 0 is not watched for stalls"), 1);
	for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
		signal(number, SIG_DFL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_watchdog_task_that_spins_is_named_with_its_stack),
		cmocka_unit_test(test_watchdog_task_that_spins_in_a_generator_has_a_stack_too),
		cmocka_unit_test(test_watchdog_task_that_blocks_in_a_call_is_named),
		cmocka_unit_test(test_watchdog_reactor_that_is_held_by_no_task_is_said_so),
		cmocka_unit_test(test_watchdog_reactor_that_sleeps_is_not_stalled),
		cmocka_unit_test(test_watchdog_takes_a_free_signal_and_gives_it_back),
		cmocka_unit_test(test_watchdog_stall_writes_the_flight_recorders),
		cmocka_unit_test(test_watchdog_without_a_free_signal_is_said_and_the_reactor_runs),
	};

	return t_run_group("watchdog", tests, ROTA_ARRAY_COUNT(tests));
}
