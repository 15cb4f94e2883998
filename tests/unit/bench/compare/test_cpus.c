/* SPDX-License-Identifier: MIT */
/* Processors dealt to two sides, by a /sys made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "bench/compare/cpus.h"
#include "tests/support/t_core.h"

static char root[64];
static struct cpus servers, clients, both;

static int set_up(void **state)
{
	(void)state;
	/* tidy: allow unfinished, mkdtemp(3) wants it so */
	strcpy(root, "/tmp/rota-test-cpus-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

static void has_siblings(int cpu, const char *text)
{
	static const char *const folders[] = { "devices", "system", "cpu" };
	char path[256];
	FILE *file;
	int used = snprintf(path, sizeof(path), "%s", root);

	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(folders); i++) {
		used += snprintf(path + used, sizeof(path) - (size_t)used, "/%s", folders[i]);
		T_CHECK(mkdir(path, 0700) == 0 || errno == EEXIST);
	}
	used += snprintf(path + used, sizeof(path) - (size_t)used, "/cpu%d", cpu);
	T_EQUAL(mkdir(path, 0700), 0);
	used += snprintf(path + used, sizeof(path) - (size_t)used, "/topology");
	T_EQUAL(mkdir(path, 0700), 0);
	snprintf(path + used, sizeof(path) - (size_t)used, "/thread_siblings_list");
	file = fopen(path, "w");
	T_CHECK(file != NULL);
	fputs(text, file);
	fclose(file);
}

static void deal(unsigned first, unsigned count)
{
	cpu_set_t allowed;

	CPU_ZERO(&allowed);
	for (unsigned i = 0; i < count; i++)
		CPU_SET(first + i, &allowed);
	cpus_halve(root, &allowed, &servers, &clients);
}

/* As many machines number them: the second threads come after all the first ones. */
static void test_threads_of_a_core_are_on_one_side(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++)
		has_siblings(i, (const char *[]){ "0,4\n", "1,5\n", "2,6\n", "3,7\n" }[i % 4]);
	deal(0, 8);
	assert_string_equal(servers.text, "0,4,1,5");
	assert_string_equal(clients.text, "2,6,3,7");
	T_CHECK(!cpus_overlap(&servers, &clients));
}

static void test_without_a_word_each_is_a_core(void **state)
{
	(void)state;
	deal(2, 3);
	assert_string_equal(servers.text, "2,3");
	assert_string_equal(clients.text, "4");
	T_EQUAL(clients.list[0], 4);
}

static void test_one_core_is_divided_and_one_processor_shared(void **state)
{
	(void)state;
	has_siblings(0, "0-1\n");
	has_siblings(1, "0-1\n");
	deal(0, 2);
	assert_string_equal(servers.text, "0");
	assert_string_equal(clients.text, "1");
	deal(0, 1);
	assert_string_equal(servers.text, "0");
	assert_string_equal(clients.text, "0");
	T_CHECK(cpus_overlap(&servers, &clients));
}

static void test_lists_are_taken_and_joined(void **state)
{
	(void)state;
	T_EQUAL(cpus_parse(&servers, "0,2-3"), 0);
	T_EQUAL(servers.count, 3);
	T_EQUAL(cpus_parse(&clients, "3,5"), 0);
	T_CHECK(cpus_overlap(&servers, &clients));
	cpus_join(&servers, &clients, &both);
	assert_string_equal(both.text, "0,2,3,5");
	T_EQUAL(cpus_parse(&servers, "a"), -EINVAL);
	T_EQUAL(cpus_parse(&servers, ""), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_threads_of_a_core_are_on_one_side, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_without_a_word_each_is_a_core, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_one_core_is_divided_and_one_processor_shared,
						set_up, tear_down),
		cmocka_unit_test(test_lists_are_taken_and_joined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
