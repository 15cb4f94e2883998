/* SPDX-License-Identifier: MIT */
/*
 * Numbers as text, and patterns: what Redis 7.0 takes and gives, learned from running it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "apps/kv/glob.h"
#include "apps/kv/number.h"

static void test_parse_integer_in_its_one_form_takes_it(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
	} right[] = {
		{ "0", 0 },
		{ "1", 1 },
		{ "-1", -1 },
		{ "10", 10 },
		{ "9223372036854775807", INT64_MAX },
		{ "-9223372036854775808", INT64_MIN },
	};
	int64_t value;

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(right); i++) {
		assert_true(kv_parse_integer(rota_view_of_string(right[i].text), &value));
		assert_int_equal(value, right[i].value);
	}
}

static void test_parse_integer_in_other_forms_refuses(void **state)
{
	static const char *const wrong[] = { "",
					     "-",
					     "+1",
					     "01",
					     "-0",
					     "-01",
					     " 1",
					     "1 ",
					     "1.0",
					     "9223372036854775808",
					     "-9223372036854775809",
					     "99999999999999999999",
					     "10000000000000000000000",
					     "0x1",
					     "--1",
					     "1-",
					     "/",
					     ":" };
	int64_t value;

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(wrong); i++)
		assert_false(kv_parse_integer(rota_view_of_string(wrong[i]), &value));
	assert_false(kv_parse_integer(rota_view_of("1\0", 2), &value));
}

static void test_parse_cursor_takes_what_strtoul_takes(void **state)
{
	uint64_t cursor;

	(void)state;
	assert_true(kv_parse_cursor(rota_view_of_string("0"), &cursor));
	assert_true(kv_parse_cursor(rota_view_of_string(""), &cursor));
	assert_true(kv_parse_cursor(rota_view_of_string("18446744073709551615"), &cursor));
	assert_true(cursor == UINT64_MAX);
	assert_false(kv_parse_cursor(rota_view_of_string("18446744073709551616"), &cursor));
	assert_false(kv_parse_cursor(rota_view_of_string(" 1"), &cursor));
	assert_false(kv_parse_cursor(rota_view_of_string("1x"), &cursor));
}

static void test_format_float_drops_what_says_nothing(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "3.0", "3" },
		{ "10.50", "10.5" },
		{ "-0", "0" },
		{ "1e10", "10000000000" },
		{ "5.0e3", "5000" },
		{ "0.1", "0.1" },
		{ "-5.5", "-5.5" },
		{ "1e-20", "0" },
		{ "3.14159265358979", "3.14159265358979" },
	};
	char text[KV_FLOAT_BYTES];
	long double value;

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(cases); i++) {
		struct rota_view out;

		assert_true(kv_parse_float(rota_view_of_string(cases[i].in), &value));
		out = rota_view_of(text, kv_format_float(text, value));
		text[out.bytes] = '\0';
		assert_string_equal(text, cases[i].out);
	}
}

static void test_format_float_largest_fits(void **state)
{
	char text[KV_FLOAT_BYTES];

	(void)state;
	assert_in_range(kv_format_float(text, -__LDBL_MAX__), 300, KV_FLOAT_BYTES - 1);
}

static void test_parse_float_refuses_what_is_no_number(void **state)
{
	static const char *const wrong[] = { "",    " 1",      "1 ",       "abc",
					     "nan", "1e99999", "1e-99999", "1,5" };
	long double value;

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(wrong); i++)
		assert_false(kv_parse_float(rota_view_of_string(wrong[i]), &value));
}

struct match {
	const char *pattern, *text;
	bool matches;
};

static void test_glob_patterns_match_as_in_redis(void **state)
{
	static const struct match cases[] = {
		{ "*", "", true },
		{ "", "", true },
		{ "", "a", false },
		{ "a*c", "abbbc", true },
		{ "a*c", "abbbd", false },
		{ "**a", "bba", true },
		{ "?", "a", true },
		{ "?", "", false },
		{ "h[ae]llo", "hallo", true },
		{ "h[^e]llo", "hello", false },
		{ "h[a-c]x", "hbx", true },
		{ "h[c-a]x", "hbx", true },
		{ "\\*", "*", true },
		{ "\\*", "a", false },
		{ "a\\", "a\\", true },
		{ "[abc", "a", true },
		{ "[abc", "d", false },
		{ "[\\]]", "]", true },
		{ "a*b*c*d", "axxbxxcxxd", true },
		{ "*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false },
		{ "[]", "a", false },
		{ "[^]", "a", true },
		{ "key:*:x", "key:1:2:x", true },
	};

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(cases); i++)
		assert_int_equal(kv_glob_matches(rota_view_of_string(cases[i].pattern),
						 rota_view_of_string(cases[i].text), false),
				 cases[i].matches);
}

static void test_glob_without_case_matches_both(void **state)
{
	(void)state;
	assert_true(kv_glob_matches(rota_view_of_string("MAX*"), rota_view_of_string("maxclients"),
				    true));
	assert_false(kv_glob_matches(rota_view_of_string("MAX*"), rota_view_of_string("maxclients"),
				     false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_integer_in_its_one_form_takes_it),
		cmocka_unit_test(test_parse_integer_in_other_forms_refuses),
		cmocka_unit_test(test_parse_cursor_takes_what_strtoul_takes),
		cmocka_unit_test(test_format_float_drops_what_says_nothing),
		cmocka_unit_test(test_format_float_largest_fits),
		cmocka_unit_test(test_parse_float_refuses_what_is_no_number),
		cmocka_unit_test(test_glob_patterns_match_as_in_redis),
		cmocka_unit_test(test_glob_without_case_matches_both),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
