/* SPDX-License-Identifier: MIT */
/*
 * Choosing an engine: with made-up engines for the rules, and with the built-in ones where io_uring
 * is forbidden or too old, which is a normal start and not an error.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka.h needs some of the above. */
#include <cmocka.h>

#include <rota/error.h>
#include <rota/server.h>

#include "backends/backends.h"

#define NO_SECCOMP 77

static int works(const struct rota_backend_config *config, char text[ROTA_BACKEND_TEXT_BYTES])
{
	snprintf(text, ROTA_BACKEND_TEXT_BYTES, "on: all, asked for \"%s\"", config->options);
	return 0;
}

static int is_forbidden(const struct rota_backend_config *config,
			char text[ROTA_BACKEND_TEXT_BYTES])
{
	(void)config;
	snprintf(text, ROTA_BACKEND_TEXT_BYTES, "forbidden here: ask the administrator");
	return -EPERM;
}

static int knows_no_option(const struct rota_backend_config *config,
			   char text[ROTA_BACKEND_TEXT_BYTES])
{
	snprintf(text, ROTA_BACKEND_TEXT_BYTES, "no option \"%s\"", config->options);
	return -EINVAL;
}

/* The longest line a probe may write. */
static int complains_at_length(const struct rota_backend_config *config,
			       char text[ROTA_BACKEND_TEXT_BYTES])
{
	(void)config;
	memset(text, 'x', ROTA_BACKEND_TEXT_BYTES - 1);
	text[ROTA_BACKEND_TEXT_BYTES - 1] = '\0';
	return -ENOSYS;
}

static const struct rota_backend_ops forbidden = { .name = "forbidden", .probe = is_forbidden };
static const struct rota_backend_ops working = { .name = "working", .probe = works };
static const struct rota_backend_ops strict = { .name = "strict", .probe = knows_no_option };
static const struct rota_backend_ops wordy = { .name = "wordy", .probe = complains_at_length };
static const struct rota_backend_ops simulated = {
	.name = "simulated",
	.features = ROTA_BACKEND_SIMULATED,
	.probe = works,
};

/* What was chosen anyway is no remedy. */
static void assert_sends_nobody_to(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("\"%s\" says \"%s\"", text, part);
}

static void assert_says(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" does not say \"%s\"", text, part);
	assert_null(strchr(text, '\n'));
}

/* ---- the rules ---- */

static void test_choose_auto_takes_the_first_that_works_and_says_why_not_the_others(void **state)
{
	static const struct rota_backend_ops *const engines[] = { &forbidden, &simulated, &working,
								  NULL };
	static const char *const automatic[] = { "auto", NULL };

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(automatic); i++) {
		struct rota_engine_choice choice;

		assert_int_equal(rota_engine_choose(engines, automatic[i], &choice), 0);
		assert_ptr_equal(choice.engine, &working);
		assert_string_equal(choice.options, "");
		assert_string_equal(choice.report,
				    "working: on: all, asked for \"\"; not forbidden: forbidden "
				    "here: ask the administrator");
	}
}

static void test_choose_auto_with_none_that_works_says_so(void **state)
{
	static const struct rota_backend_ops *const engines[] = { &forbidden, &simulated, NULL };
	struct rota_engine_choice choice;

	(void)state;
	assert_int_equal(rota_engine_choose(engines, "auto", &choice), -ROTA_ENOENGINE);
	assert_says(choice.report, "no I/O engine works here; not forbidden: forbidden here");
}

static void test_choose_auto_with_long_complaints_cuts_them(void **state)
{
	static const struct rota_backend_ops *const engines[] = { &wordy, &wordy,   &wordy, &wordy,
								  &wordy, &wordy,   &wordy, &wordy,
								  &wordy, &working, NULL };
	struct rota_engine_choice choice;

	(void)state;
	assert_int_equal(rota_engine_choose(engines, "auto", &choice), 0);
	assert_ptr_equal(choice.engine, &working);
	assert_true(strlen(choice.report) < sizeof(choice.report));
	assert_says(choice.report, "working: on: all");
}

static void test_choose_by_name_takes_that_one_with_its_options(void **state)
{
	static const struct rota_backend_ops *const engines[] = { &working, &simulated, NULL };
	static const char asked[] = "simulated:seed=7,rough";
	struct rota_engine_choice choice;

	(void)state;
	assert_int_equal(rota_engine_choose(engines, asked, &choice), 0);
	assert_ptr_equal(choice.engine, &simulated);
	assert_string_equal(choice.options, "seed=7,rough");
	assert_string_equal(choice.report, "simulated: on: all, asked for \"seed=7,rough\"");
	assert_int_equal(rota_engine_choose(engines, "working", &choice), 0);
	assert_string_equal(choice.options, "");
}

static void test_choose_by_name_falls_back_to_nothing_else(void **state)
{
	static const struct rota_backend_ops *const engines[] = { &forbidden, &strict, &working,
								  NULL };
	struct rota_engine_choice choice;

	(void)state;
	assert_int_equal(rota_engine_choose(engines, "forbidden", &choice), -ROTA_ENOENGINE);
	assert_string_equal(choice.report, "forbidden: forbidden here: ask the administrator; or "
					   "use --backend auto");
	assert_int_equal(rota_engine_choose(engines, "strict:odd", &choice), -EINVAL);
	assert_string_equal(choice.report, "strict: no option \"odd\"");
}

static void test_choose_by_a_name_nobody_has_lists_those_there_are(void **state)
{
	static const struct rota_backend_ops *const engines[] = { &forbidden, &working, NULL };
	static const char *const unknown[] = { "work", "workings", "", ":", "work:ing=1" };

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(unknown); i++) {
		struct rota_engine_choice choice;

		assert_int_equal(rota_engine_choose(engines, unknown[i], &choice), -EINVAL);
		assert_says(choice.report, "there are: auto, forbidden, working");
	}
}

/* ---- the built-in engines ---- */

static int probe_old_kernel(const struct rota_backend_config *config,
			    char text[ROTA_BACKEND_TEXT_BYTES])
{
	const struct rota_backend_config old = {
		.options = "pretend-kernel=5.15",
		.reactor = config->reactor,
	};

	return rota_backend_uring.probe(&old, text);
}

static void test_choose_auto_on_an_old_kernel_takes_epoll_with_a_sentence(void **state)
{
	struct rota_backend_ops old_uring = rota_backend_uring;
	const struct rota_backend_ops *const engines[] = { &old_uring, &rota_backend_epoll,
							   &rota_backend_sim, NULL };
	struct rota_engine_choice choice;

	(void)state;
	old_uring.probe = probe_old_kernel;
	assert_int_equal(rota_engine_choose(engines, "auto", &choice), 0);
	print_message("%s\n", choice.report);
	assert_ptr_equal(choice.engine, &rota_backend_epoll);
	assert_says(choice.report, "epoll: on: ");
	assert_says(choice.report, "; not uring: the kernel is too old");
	assert_says(choice.report, "Linux 6.1 or newer is needed, this is 5.15");
	assert_sends_nobody_to(choice.report, "--backend");
}

/* As container runtimes do by default. */
static void forbid_uring(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SYS_io_uring_setup, 0, 2),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SYS_io_uring_register, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ROTA_ARRAY_COUNT(code), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(NO_SECCOMP);
}

/* In a child, because a filter can't be taken off again; what was chosen comes through a pipe. */
static void test_choose_auto_where_io_uring_is_forbidden_takes_epoll_with_a_sentence(void **state)
{
	char name[32] = "", report[ROTA_BACKEND_TEXT_BYTES] = "";
	int ends[2], wait_status;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct rota_engine_choice choice;
		int status;

		forbid_uring();
		status = rota_engine_choose(rota_backends, "auto", &choice);
		dprintf(ends[1], "%s\n%s\n", status < 0 ? "none" : choice.engine->name,
			choice.report);
		_exit(0);
	}
	close(ends[1]);
	FILE *told = fdopen(ends[0], "r");

	assert_non_null(told);
	rota_ignore(fscanf(told, "%31[^\n]\n%1023[^\n]", name, report), "compared below");
	fclose(told);
	assert_int_equal(waitpid(child, &wait_status, 0), child);
	if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == NO_SECCOMP)
		skip();
	print_message("%s\n", report);
	assert_string_equal(name, "epoll");
	assert_says(report, "epoll: on: ");
	assert_says(report, "; not uring: a seccomp filter forbids io_uring_setup (EPERM)");
	assert_sends_nobody_to(report, "--backend");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_choose_auto_takes_the_first_that_works_and_says_why_not_the_others),
		cmocka_unit_test(test_choose_auto_with_none_that_works_says_so),
		cmocka_unit_test(test_choose_auto_with_long_complaints_cuts_them),
		cmocka_unit_test(test_choose_by_name_takes_that_one_with_its_options),
		cmocka_unit_test(test_choose_by_name_falls_back_to_nothing_else),
		cmocka_unit_test(test_choose_by_a_name_nobody_has_lists_those_there_are),
		cmocka_unit_test(test_choose_auto_on_an_old_kernel_takes_epoll_with_a_sentence),
		cmocka_unit_test(
			test_choose_auto_where_io_uring_is_forbidden_takes_epoll_with_a_sentence),
	};

	return cmocka_run_group_tests_name("select", tests, NULL, NULL);
}
