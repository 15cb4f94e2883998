/* SPDX-License-Identifier: MIT */
/*
 * Child processes: what they say, how they end, what ends them, and that nothing of them is left:
 * no zombie and no descriptor. The children are shells. Real ones, so nothing of it on the
 * simulator.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/net.h>
#include <rota/process.h>
#include <rota/reactor.h>
#include <rota/signal.h>

#include "tests/support/t_core.h"

/* ---- a kernel without pidfd_open ---- */

static bool has_pidfd = true;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

long __wrap_syscall(long number, ...)
{
	long arguments[6];
	va_list list;

	if (number == SYS_pidfd_open && !has_pidfd) {
		errno = ENOSYS;
		return -1;
	}
	va_start(list, number);
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(arguments); i++)
		arguments[i] = va_arg(list, long);
	va_end(list);
	return __real_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3],
			      arguments[4], arguments[5]);
}

/* ---- shells ---- */

static int descriptor_count(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	T_CHECK(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static int descriptors_before;

/* Run `fn` as a task; afterwards nothing is left of its children. */
static void run(rota_task_fn fn)
{
	if (t_is_simulated())
		skip();
	descriptors_before = descriptor_count();
	assert_int_equal(t_run(fn, NULL), 0);
	assert_int_equal(descriptor_count(), descriptors_before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

/* /bin/sh -c `script` with `options`, in which all three are pipes unless it says so. */
static struct rota_process open_shell(const char *script, struct rota_process_options options)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	struct rota_process process;

	options.argv = argv;
	T_EQUAL(rota_process_open(&process, &options), 0);
	T_CHECK(process.pid > 0);
	return process;
}

/* However slow the machine is, SIGTERM comes in time. */
#define LONG_NS (1000 * ROTA_NS_PER_S)
#define PIPES                                                                                      \
	(struct rota_process_options)                                                              \
	{                                                                                          \
		.input = ROTA_PROCESS_PIPE, .output = ROTA_PROCESS_PIPE,                           \
		.errors = ROTA_PROCESS_PIPE, .grace_ns = LONG_NS                                   \
	}
#define NO_PIPES                                                                                   \
	(struct rota_process_options)                                                              \
	{                                                                                          \
		.input = ROTA_PROCESS_NULL, .grace_ns = LONG_NS                                    \
	}

static void expect_end(struct rota_process *process, int exit_code, int exit_signal)
{
	T_EQUAL(rota_process_wait(process), 0);
	T_EQUAL(process->exit_code, exit_code);
	T_EQUAL(process->exit_signal, exit_signal);
	T_EQUAL(rota_process_wait(process), 0);
	T_EQUAL(rota_process_signal(process, SIGTERM), -ESRCH);
	rota_process_close(process);
	rota_process_close(process);
	T_EQUAL(process->exit_code, exit_code);
}

/* What `script` writes, with `options`. */
static void expect_output(const char *script, struct rota_process_options options,
			  const char *expected)
{
	struct rota_process process = open_shell(script, options);
	struct rota_buffer output;

	rota_buffer_init(&output);
	T_EQUAL(rota_process_communicate(&process, rota_view_of("", 0), &output, NULL, 1000), 0);
	if (!rota_view_equals(rota_view_of(output.data, output.bytes),
			      rota_view_of_string(expected))) {
		fprintf(stderr, "%s: \"%.*s\", not \"%s\"\n", script, (int)output.bytes,
			output.data, expected);
		abort();
	}
	rota_buffer_fini(&output);
	rota_process_close(&process);
}

/* ---- ends ---- */

static int64_t see_ends(void *arg)
{
	struct rota_process process;

	(void)arg;
	process = open_shell("exit 7", NO_PIPES);
	expect_end(&process, 7, 0);
	process = open_shell("exit 0", NO_PIPES);
	expect_end(&process, 0, 0);
	process = open_shell("kill -9 $$", NO_PIPES);
	expect_end(&process, -1, SIGKILL);
	process = open_shell("read line; exit 3", PIPES);
	T_EQUAL(rota_write_fd(process.input, "go\n", 3), 3);
	expect_end(&process, 3, 0);
	return 0;
}

static void test_process_ends_by_itself_and_says_how(void **state)
{
	(void)state;
	run(see_ends);
}

static void test_process_without_pidfd_ends_all_the_same(void **state)
{
	(void)state;
	has_pidfd = false;
	run(see_ends);
	has_pidfd = true;
}

static int64_t open_nothing(void *arg)
{
	const char *const argv[] = { "/no/such/program", NULL };
	struct rota_process_options options = PIPES;
	struct rota_process process;

	(void)arg;
	options.argv = argv;
	T_EQUAL(rota_process_open(&process, &options), -ENOENT);
	options.directory = "/no/such/folder";
	T_EQUAL(rota_process_open(&process, &options), -ENOENT);
	options.output = ROTA_PROCESS_OUTPUT;
	T_EQUAL(rota_process_open(&process, &options), -EINVAL);
	return 0;
}

static void test_process_that_cannot_be_run_leaves_nothing(void **state)
{
	(void)state;
	run(open_nothing);
}

static int64_t open_with_few_descriptors(void *arg)
{
	const char *const argv[] = { "true", NULL };
	struct rota_process_options options = PIPES;
	struct rota_process process;
	struct rlimit before, few;
	int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int failures = 0, status;

	(void)arg;
	close(next);
	options.argv = argv;
	T_EQUAL(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = (rlim_t)next;
	do {
		int count = descriptor_count();

		T_EQUAL(setrlimit(RLIMIT_NOFILE, &few), 0);
		status = rota_process_open(&process, &options);
		T_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
		if (status < 0) {
			T_EQUAL(status, -EMFILE);
			T_EQUAL(descriptor_count(), count);
			failures++;
		}
		few.rlim_cur++;
	} while (status < 0);
	/* Six for pipes; the child's ends are closed before there has to be one for the pidfd. */
	T_LESS(5, failures);
	expect_end(&process, 0, 0);
	return 0;
}

static void test_process_without_descriptors_leaves_nothing(void **state)
{
	(void)state;
	run(open_with_few_descriptors);
}

static int64_t lose_the_end(void *arg)
{
	struct rota_process process;

	(void)arg;
	process = open_shell("exit 7", NO_PIPES);
	T_EQUAL(rota_process_wait(&process), -ECHILD);
	T_EQUAL(process.exit_code, -1);
	rota_process_close(&process);
	return 0;
}

/* Then the kernel reaps it itself. */
static void test_process_of_a_program_that_ignores_sigchld_has_no_end_to_tell(void **state)
{
	void (*before)(int) = signal(SIGCHLD, SIG_IGN);

	(void)state;
	run(lose_the_end);
	signal(SIGCHLD, before);
}

/* ---- what ends them ---- */

static int64_t close_at_once(void *arg)
{
	struct rota_process process = open_shell("exec sleep 1000", NO_PIPES);

	(void)arg;
	rota_process_close(&process);
	T_EQUAL(process.exit_code, -1);
	T_EQUAL(process.exit_signal, SIGTERM);
	return 0;
}

static void test_process_closed_while_it_runs_is_told_to_end(void **state)
{
	(void)state;
	run(close_at_once);
	has_pidfd = false;
	run(close_at_once);
	has_pidfd = true;
}

static void read_line(struct rota_process *process)
{
	char byte = '\0';

	while (byte != '\n')
		T_EQUAL(rota_read_fd(process->output, &byte, 1), 1);
}

/* Its own child gets the signal as well, or it would hold the pipe until the end of the test. */
static int64_t close_a_deaf_one(void *arg)
{
	struct rota_process_options options = PIPES;
	struct rota_process process;
	int output;
	char byte;

	(void)arg;
	options.leads_group = true;
	options.grace_ns = ROTA_NS_PER_MS;
	process = open_shell("trap '' TERM; sleep 1000 & echo ready; while :; do sleep 1000; done",
			     options);
	read_line(&process);
	output = process.output;
	process.output = -1;
	rota_process_close(&process);
	T_EQUAL(process.exit_signal, SIGKILL);
	T_EQUAL(rota_read_fd(output, &byte, 1), 0);
	close(output);
	return 0;
}

static void test_process_deaf_to_sigterm_is_killed_with_its_group(void **state)
{
	(void)state;
	run(close_a_deaf_one);
}

static int64_t wait_for_ever(void *arg)
{
	return rota_process_wait(arg);
}

/* The wait is over at once; the child is not, until the close, which nobody can cancel. */
static int64_t cancel_the_wait(void *arg)
{
	struct rota_process process = open_shell("exec cat", PIPES);
	struct rota_scope scope;
	char byte;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, wait_for_ever, &process), 0);
	T_EQUAL(rota_spawn(&scope, wait_for_ever, &process), 0);
	t_settle();
	rota_scope_cancel(&scope, "enough");
	T_EQUAL(rota_process_wait(&process), -ECANCELED);
	T_EQUAL(rota_read_fd(process.output, &byte, 1), -ECANCELED);
	T_EQUAL(rota_write_fd(process.input, "x", 1), -ECANCELED);
	T_EQUAL(rota_process_signal(&process, 0), 0);
	T_EQUAL(rota_process_communicate(&process, rota_view_of("", 0), NULL, NULL, 1), -ECANCELED);
	rota_process_close(&process);
	T_CHECK(process.exit_code == 0 || process.exit_signal == SIGTERM);
	T_EQUAL(rota_scope_close_and_move_on(&scope), 1);
	return 0;
}

static void test_process_wait_cancelled_leaves_the_end_to_the_close(void **state)
{
	(void)state;
	run(cancel_the_wait);
}

/* ---- what they say ---- */

static int64_t hear_them(void *arg)
{
	static const char *const environment[] = { "WHEEL=rota", NULL };
	struct rota_process_options options = { .output = ROTA_PROCESS_PIPE };

	(void)arg;
	expect_output("echo out", options, "out\n");
	options.errors = ROTA_PROCESS_OUTPUT;
	expect_output("echo one; echo two >&2; echo three", options, "one\ntwo\nthree\n");
	options.errors = ROTA_PROCESS_NULL;
	expect_output("echo one; echo two >&2", options, "one\n");
	options.environment = environment;
	expect_output("echo $WHEEL", options, "rota\n");
	options.directory = "/dev";
	expect_output("pwd", options, "/dev\n");
	options.input = ROTA_PROCESS_NULL;
	expect_output("cat", options, "");
	options.input = ROTA_PROCESS_PIPE;
	expect_output("cat", options, "");
	return 0;
}

static void test_process_writes_where_it_was_told_to(void **state)
{
	(void)state;
	run(hear_them);
}

/* Numbers 0 to 2 are free, so the pipes would get them and overwrite one another. */
static void test_process_of_a_program_without_streams_has_its_own(void **state)
{
	int kept = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);

	(void)state;
	assert_true(kept >= 0);
	close(STDIN_FILENO);
	run(hear_them);
	assert_int_equal(dup2(kept, STDIN_FILENO), STDIN_FILENO);
	close(kept);
}

enum { MUCH = 1 << 20 };

/* More than pipes hold, both ways at once. */
static int64_t talk_much(void *arg)
{
	struct rota_process process = open_shell("tee /dev/stderr", PIPES);
	char *input = malloc(MUCH);
	struct rota_buffer output, errors;

	(void)arg;
	for (size_t i = 0; i < MUCH; i++)
		input[i] = (char)('a' + i * i % 26);
	rota_buffer_init(&output);
	rota_buffer_init(&errors);
	T_EQUAL(rota_process_communicate(&process, rota_view_of(input, MUCH), &output, &errors,
					 MUCH),
		0);
	T_EQUAL(process.input, -1);
	T_EQUAL(output.bytes, MUCH);
	T_EQUAL(errors.bytes, MUCH);
	T_CHECK(!memcmp(output.data, input, MUCH));
	T_CHECK(!memcmp(errors.data, input, MUCH));
	rota_buffer_fini(&output);
	rota_buffer_fini(&errors);
	expect_end(&process, 0, 0);
	free(input);
	return 0;
}

static void test_process_with_much_to_say_both_ways_is_heard(void **state)
{
	(void)state;
	run(talk_much);
}

static int64_t talk_to_the_deaf(void *arg)
{
	static const char input[MUCH];
	struct rota_process process = open_shell("exit 5", PIPES);

	(void)arg;
	T_EQUAL(rota_process_communicate(&process, rota_view_of(input, MUCH), NULL, NULL, 0), 0);
	expect_end(&process, 5, 0);
	process = open_shell("exec <&-; echo closed; read line <&1", PIPES);
	read_line(&process);
	T_EQUAL(rota_write_fd(process.input, input, MUCH), -EPIPE);
	T_EQUAL(rota_write_fd(process.input, input, MUCH), -EPIPE);
	rota_process_close(&process);
	return 0;
}

static void test_process_that_does_not_listen_raises_no_signal(void **state)
{
	(void)state;
	run(talk_to_the_deaf);
}

static int64_t hear_too_much(void *arg)
{
	struct rota_process process = open_shell("echo 12345; echo 67890 >&2; exec cat", PIPES);
	struct rota_buffer output;

	(void)arg;
	rota_buffer_init(&output);
	T_EQUAL(rota_process_communicate(&process, rota_view_of("more", 4), &output, NULL, 6),
		-EMSGSIZE);
	T_LESS(output.bytes, 7);
	rota_buffer_fini(&output);
	rota_process_close(&process);
	return 0;
}

static void test_process_that_says_too_much_is_not_heard_out(void **state)
{
	(void)state;
	run(hear_too_much);
}

/* ---- signals ---- */

static int64_t look_at_its_mask(void *arg)
{
	struct rota_process_options options = { .output = ROTA_PROCESS_PIPE };
	struct rota_process process;

	(void)arg;
	expect_output("grep SigBlk /proc/self/status", options, "SigBlk:\t0000000000000000\n");
	process = open_shell("kill -PIPE $$; exit 1", NO_PIPES);
	expect_end(&process, -1, SIGPIPE);
	return 0;
}

static void test_process_has_no_signal_blocked_and_dies_of_sigpipe(void **state)
{
	const int numbers[] = { SIGTERM, SIGUSR1 };
	void (*before)(int) = signal(SIGPIPE, SIG_IGN);
	struct rota_signals signals;

	(void)state;
	assert_int_equal(rota_signals_open(&signals, numbers, 2), 0);
	run(look_at_its_mask);
	rota_signals_close(&signals);
	signal(SIGPIPE, before);
}

/* ---- mistakes ---- */

static int64_t close_none(void *arg)
{
	(void)arg;
	open_shell("exit 0", NO_PIPES);
	return 0;
}

static void run_close_none(void)
{
	rota_ignore(t_run(close_none, NULL), "it dies");
}

static void test_process_never_closed_is_asserted(void **state)
{
	(void)state;
	if (t_is_simulated())
		skip();
	t_expect_death(run_close_none, "1 child process(es) have not been closed");
}

static int64_t open_in_a_simulated_world(void *arg)
{
	struct rota_process_options options = { .argv = arg };
	struct rota_process process;

	return rota_process_open(&process, &options);
}

static void test_process_in_a_simulated_world_is_refused(void **state)
{
	const char *argv[] = { "true", NULL };

	(void)state;
	if (!t_is_simulated())
		skip();
	assert_int_equal(t_run(open_in_a_simulated_world, argv), -ENOTSUP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_process_ends_by_itself_and_says_how),
		cmocka_unit_test(test_process_without_pidfd_ends_all_the_same),
		cmocka_unit_test(test_process_that_cannot_be_run_leaves_nothing),
		cmocka_unit_test(test_process_without_descriptors_leaves_nothing),
		cmocka_unit_test(test_process_of_a_program_that_ignores_sigchld_has_no_end_to_tell),
		cmocka_unit_test(test_process_closed_while_it_runs_is_told_to_end),
		cmocka_unit_test(test_process_deaf_to_sigterm_is_killed_with_its_group),
		cmocka_unit_test(test_process_wait_cancelled_leaves_the_end_to_the_close),
		cmocka_unit_test(test_process_writes_where_it_was_told_to),
		cmocka_unit_test(test_process_of_a_program_without_streams_has_its_own),
		cmocka_unit_test(test_process_with_much_to_say_both_ways_is_heard),
		cmocka_unit_test(test_process_that_does_not_listen_raises_no_signal),
		cmocka_unit_test(test_process_that_says_too_much_is_not_heard_out),
		cmocka_unit_test(test_process_has_no_signal_blocked_and_dies_of_sigpipe),
		cmocka_unit_test(test_process_never_closed_is_asserted),
		cmocka_unit_test(test_process_in_a_simulated_world_is_refused),
	};

	return t_run_group("processes", tests, ROTA_ARRAY_COUNT(tests));
}
