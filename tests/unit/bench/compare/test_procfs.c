/* SPDX-License-Identifier: MIT */
/* Figures from a /proc made by hand, from the real one, and from broken ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench/compare/procfs.h"
#include "tests/support/t_core.h"

static char root[64];

static void path_of(const char *name, char path[256])
{
	snprintf(path, 256, "%s/%s", root, name);
}

static void make_folder(const char *name)
{
	char path[256];

	path_of(name, path);
	T_EQUAL(mkdir(path, 0700), 0);
}

static void make_file(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	path_of(name, path);
	file = fopen(path, "w");
	T_CHECK(file != NULL);
	fputs(text, file);
	fclose(file);
}

/* Process 7, whose name is of the worst, with two threads. */
static int set_up(void **state)
{
	(void)state;
	/* tidy: allow unfinished, mkdtemp(3) wants it so */
	strcpy(root, "/tmp/rota-test-procfs-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	make_folder("7");
	make_file("7/stat", "7 (a) R 1 (b) S 1 2 3 4 5 6 7 8 9 10 31 42 0 0 20 0\n");
	make_file("7/statm", "1000 25 3 4 0 6 0\n");
	make_folder("7/task");
	make_folder("7/task/7");
	make_file("7/task/7/schedstat", "1000 5 3\n");
	make_file("7/task/7/status",
		  "Name:\ta\nvoluntary_ctxt_switches:\t20\nnonvoluntary_ctxt_switches:\t3\n");
	make_folder("7/task/9");
	make_file("7/task/9/schedstat", "500 5 3\n");
	make_file("7/task/9/status",
		  "Name:\ta\nvoluntary_ctxt_switches:\t100\nnonvoluntary_ctxt_switches:\t0\n");
	make_file("stat", "cpu  1 1 1 1 1 1 1 1 0 0\ncpu0 1 2 3 4 5 6 7 8 9 9\n"
			  "cpu10 100 0 0 0 0 0 0 0 0 0\ncpu1 10 0 0 50 0 0 0 1 0 0\nintr 1\n");
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

static void test_usage_is_the_sum_over_threads(void **state)
{
	struct procfs_usage usage;

	(void)state;
	T_EQUAL(procfs_usage(root, 7, &usage), 0);
	T_EQUAL(usage.cpu_ns, 1500);
	T_EQUAL(usage.user_ticks, 31);
	T_EQUAL(usage.system_ticks, 42);
	T_EQUAL(usage.switches, 123);
	T_EQUAL(usage.resident_bytes, 25 * sysconf(_SC_PAGESIZE));
}

static void test_cpus_are_told_apart_and_summed(void **state)
{
	struct procfs_cpus cpus;

	(void)state;
	T_EQUAL(procfs_cpus(root, (int[]){ 1 }, 1, &cpus), 0);
	T_EQUAL(cpus.all, 61);
	T_EQUAL(cpus.idle, 50);
	T_EQUAL(cpus.stolen, 1);
	T_EQUAL(procfs_cpus(root, (int[]){ 0, 1 }, 2, &cpus), 0);
	T_EQUAL(cpus.all, 61 + 36);
	T_EQUAL(cpus.idle, 50 + 4 + 5);
	T_EQUAL(cpus.stolen, 1 + 8);
}

static void test_who_is_not_there_is_no_process(void **state)
{
	struct procfs_usage usage = { .cpu_ns = 77 };
	struct procfs_cpus cpus;

	(void)state;
	T_EQUAL(procfs_usage(root, 8, &usage), -ESRCH);
	T_EQUAL(usage.cpu_ns, 77);
	T_EQUAL(procfs_cpus(root, (int[]){ 2 }, 1, &cpus), -EPROTO);
}

static void test_a_thread_that_has_just_ended_is_passed_over(void **state)
{
	struct procfs_usage usage;

	(void)state;
	make_folder("7/task/11");
	T_EQUAL(procfs_usage(root, 7, &usage), 0);
	T_EQUAL(usage.cpu_ns, 1500);
}

static void test_files_that_make_no_sense_are_refused(void **state)
{
	struct procfs_usage usage;

	(void)state;
	make_file("7/task/9/schedstat", "");
	T_EQUAL(procfs_usage(root, 7, &usage), -EPROTO);
	make_file("7/task/9/schedstat", "1 1 1\n");
	make_file("7/task/9/status", "Name:\ta\nnonvoluntary_ctxt_switches:\t0\n");
	T_EQUAL(procfs_usage(root, 7, &usage), -EPROTO);
	make_file("7/stat", "7 (a S 1\n");
	T_EQUAL(procfs_usage(root, 7, &usage), -EPROTO);
}

static void test_the_real_one_has_this_process(void **state)
{
	struct procfs_usage before, after;
	struct procfs_cpus cpus;

	(void)state;
	T_EQUAL(procfs_usage("/proc", getpid(), &before), 0);
	T_CHECK(before.resident_bytes > 0);
	T_EQUAL(procfs_usage("/proc", getpid(), &after), 0);
	T_CHECK(after.cpu_ns >= before.cpu_ns);
	T_EQUAL(procfs_cpus("/proc", (int[]){ 0 }, 1, &cpus), 0);
	T_CHECK(cpus.all > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_usage_is_the_sum_over_threads, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_cpus_are_told_apart_and_summed, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_who_is_not_there_is_no_process, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_a_thread_that_has_just_ended_is_passed_over,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_files_that_make_no_sense_are_refused, set_up,
						tear_down),
		cmocka_unit_test(test_the_real_one_has_this_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
