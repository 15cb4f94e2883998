/* SPDX-License-Identifier: MIT */
/*
 * What is said of the engines, and of kernels: by the engines' own tests, on kernels that are
 * pretended.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rota/base.h>

#include "bench/compare/engines.h"
#include "bench/compare/explain.h"
#include "bench/compare/result.h"

static const json_t *find(const json_t *array, const char *name)
{
	const json_t *object;
	size_t i;

	json_array_foreach (array, i, object)
		if (!strcmp(result_text(object, "name"), name))
			return object;
	fail_msg("nothing is named \"%s\"", name);
	return NULL;
}

static const json_t *find_feature(const json_t *engines, const char *name)
{
	return find(json_object_get(find(engines, "uring"), "features"), name);
}

static bool is_usable(const json_t *engines, const char *name)
{
	return json_is_true(json_object_get(find(engines, name), "usable"));
}

static void assert_says(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("\"%s\" does not say \"%s\"", text, words);
}

static void test_engines_here_are_those_for_servers(void **state)
{
	json_t *engines = engines_describe();

	(void)state;
	assert_int_equal(json_array_size(engines), 2);
	assert_true(is_usable(engines, "epoll"));
	assert_int_equal(json_array_size(json_object_get(find(engines, "epoll"), "features")), 0);
	json_decref(engines);
}

static void test_engines_middle_kernel_says_what_is_missing(void **state)
{
	json_t *engines = engines_describe_as("6.1");
	const json_t *feature;

	(void)state;
	if (!is_usable(engines, "uring")) {
		json_decref(engines);
		skip();
	}
	feature = find_feature(engines, "multishot receive");
	assert_true(json_is_true(json_object_get(feature, "on")));
	assert_true(json_is_true(json_object_get(feature, "required")));
	assert_true(json_is_null(json_object_get(feature, "why")));
	feature = find_feature(engines, "no iowait");
	assert_true(json_is_false(json_object_get(feature, "on")));
	assert_true(json_is_false(json_object_get(feature, "works")));
	assert_string_equal(result_text(feature, "kernel"), "6.15");
	assert_says(result_text(feature, "why"), "Linux 6.15");
	json_decref(engines);
}

static void test_engines_by_choice_is_not_missing(void **state)
{
	json_t *engines = engines_describe_as("6.12");
	const json_t *feature;

	(void)state;
	if (!is_usable(engines, "uring")) {
		json_decref(engines);
		skip();
	}
	feature = find_feature(engines, "minimum wait");
	assert_true(json_is_false(json_object_get(feature, "on")));
	assert_string_equal(result_text(feature, "why"), "not asked for");
	json_decref(engines);
}

static void test_engines_old_kernel_has_a_reason_and_a_remedy(void **state)
{
	json_t *engines = engines_describe_as("5.15");

	(void)state;
	assert_false(is_usable(engines, "uring"));
	assert_says(result_text(find(engines, "uring"), "why_not"), "Linux 6.1 or newer");
	assert_true(json_is_null(json_object_get(find(engines, "uring"), "says")));
	assert_true(json_is_false(json_object_get(find_feature(engines, "buffer ring"), "on")));
	json_decref(engines);
}

/* ---- explain ---- */

static char *explained(int argc, char **argv, int expected)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&text, &bytes);

	assert_non_null(to);
	assert_int_equal(explain(argc, argv, to), expected);
	assert_int_equal(fclose(to), 0);
	return text;
}

/* The line of a fact: its kernel, its state, its name. */
static void assert_fact(const char *text, const char *line)
{
	char whole[128];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	assert_says(text, whole);
}

static void test_explain_old_kernel_lists_what_newer_ones_bring(void **state)
{
	char *argv[] = { "explain", "--kernel", "5.15", NULL };
	char *text = explained(3, argv, 0);

	(void)state;
	assert_says(text, "as if it were 5.15");
	assert_says(text, "io_uring cannot be used here: ");
	assert_fact(text, "6.0   missing multishot receive");
	assert_fact(text, "6.12  missing absolute timers");
	assert_says(text, "With a newer kernel rota would use ");
	free(text);
}

static void test_explain_middle_kernel_tells_on_from_missing(void **state)
{
	char *argv[] = { "explain", "--kernel", "6.12", NULL };
	json_t *engines = engines_describe_as("6.12");
	bool usable = is_usable(engines, "uring");
	char *text;

	(void)state;
	json_decref(engines);
	if (!usable)
		skip();
	text = explained(3, argv, 0);
	assert_fact(text, "6.0   on      multishot receive");
	assert_fact(text, "6.15  missing no iowait");
	assert_says(text, "why: the kernel does not know it, Linux 6.15 does");
	assert_says(text, "io_uring_setup,");
	free(text);
}

static void test_explain_wrong_usage_is_2(void **state)
{
	static char *bad[][4] = {
		{ "explain", "--kernel", NULL },   { "explain", "--kernel", "six" },
		{ "explain", "--kernel", "6." },   { "explain", "--kernel", "6.1,sq=1" },
		{ "explain", "--kernel", "-6.1" }, { "explain", "me" },
	};

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(bad); i++) {
		int argc = 0;

		while (bad[i][argc])
			argc++;
		free(explained(argc, bad[i], 2));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_engines_here_are_those_for_servers),
		cmocka_unit_test(test_engines_middle_kernel_says_what_is_missing),
		cmocka_unit_test(test_engines_by_choice_is_not_missing),
		cmocka_unit_test(test_engines_old_kernel_has_a_reason_and_a_remedy),
		cmocka_unit_test(test_explain_old_kernel_lists_what_newer_ones_bring),
		cmocka_unit_test(test_explain_middle_kernel_tells_on_from_missing),
		cmocka_unit_test(test_explain_wrong_usage_is_2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
