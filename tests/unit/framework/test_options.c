/* SPDX-License-Identifier: MIT */
/*
 * The options of server programs: what is taken, and what is refused with words that help.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/server.h>

#include "backends/backends.h"
#include "framework/options.h"

static struct rota_server_options options;
static char error[ROTA_BACKEND_TEXT_BYTES];

static int set_up(void **state)
{
	(void)state;
	rota_server_options_init(&options, rota_backends);
	memset(error, 0, sizeof(error));
	return 0;
}

static int give(const char *name, const char *value)
{
	return rota_server_option(&options, name, value, error);
}

static void test_options_good_values_are_taken(void **state)
{
	(void)state;
	assert_int_equal(give("bind", "::1"), 1);
	assert_int_equal(give("bind", "*"), 1);
	assert_int_equal(give("port", "65535"), 1);
	assert_int_equal(give("unix", "/tmp/x"), 1);
	assert_int_equal(give("reactors", "256"), 1);
	assert_int_equal(give("cpus", "0,2-3"), 1);
	assert_int_equal(give("backend", "sim:seed=1"), 1);
	assert_int_equal(give("drain-timeout", "3"), 1);
	assert_int_equal(give("stall-ms", "250"), 1);
	assert_int_equal(options.stall_ns, 250 * ROTA_NS_PER_MS);
	assert_int_equal(give("stall-ms", "0"), 1);
	assert_true(options.stall_ns < 0);
	assert_int_equal(give("stack-census", "on"), 1);
	assert_true(options.stack_census);
	assert_int_equal(give("stack-census", "off"), 1);
	assert_false(options.stack_census);
	assert_int_equal(give("records", "off"), 1);
	assert_int_equal(options.records_kept, ROTA_RECORDS_NONE);
	assert_int_equal(give("records", "1024"), 1);
	assert_int_equal(options.records_kept, 1024);
	assert_int_equal(give("record-to", "record.%p"), 1);
	assert_string_equal(options.record_to, "record.%p");
	assert_int_equal(options.binds_count, 2);
	assert_string_equal(options.binds[1], "*");
	assert_int_equal(options.port, 65535);
	assert_string_equal(options.unix_path, "/tmp/x");
	assert_int_equal(options.reactors, 256);
	assert_string_equal(options.cpus, "0,2-3");
	assert_string_equal(options.backend, "sim:seed=1");
	assert_int_equal(options.drain_timeout_ns, 3 * ROTA_NS_PER_S);
}

static void test_options_port_zero_means_no_tcp(void **state)
{
	(void)state;
	assert_int_equal(give("port", "0"), 1);
	assert_int_equal(options.port, -1);
}

static void test_options_unknown_names_are_not_ours(void **state)
{
	(void)state;
	assert_int_equal(give("ports", "1"), 0);
	assert_int_equal(give("", "1"), 0);
}

static void test_options_bad_values_are_refused_with_what_is_right(void **state)
{
	static const char *const bad[][2] = {
		{ "bind", "localhost" },
		{ "bind", "" },
		{ "port", "65536" },
		{ "port", "-1" },
		{ "port", "" },
		{ "port", " 1" },
		{ "port", "+1" },
		{ "port", "1x" },
		{ "port", "99999999999999999999" },
		{ "reactors", "0" },
		{ "reactors", "257" },
		{ "unix", "" },
		{ "drain-timeout", "0" },
		{ "drain-timeout", "3601" },
		{ "stall-ms", "-1" },
		{ "stall-ms", "3600001" },
		{ "stack-census", "yes" },
		{ "records", "1023" },
		{ "records", "67108865" },
		{ "records", "on" },
		{ "cpus", "" },
		{ "cpus", "," },
		{ "cpus", "0," },
		{ "cpus", "3-2" },
		{ "cpus", "0-" },
		{ "cpus", "-1" },
		{ "cpus", "0,,1" },
		{ "cpus", "0-1-2" },
		{ "cpus", "1024" },
		{ "cpus", "0-99999999999999999999" },
		{ "cpus", "+1" },
		{ "cpus", "a" },
	};
	char path[200];

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(bad); i++) {
		memset(error, 0, sizeof(error));
		if (give(bad[i][0], bad[i][1]) != -EINVAL)
			fail_msg("--%s \"%s\" was taken", bad[i][0], bad[i][1]);
		assert_non_null(strstr(error, bad[i][0]));
		assert_non_null(strstr(error, ": give "));
	}
	memset(path, 'p', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(give("unix", path), -EINVAL);
}

static void test_options_more_addresses_than_there_is_room_for_are_refused(void **state)
{
	(void)state;
	for (int i = 0; i < ROTA_BINDS_MAX; i++)
		assert_int_equal(give("bind", "127.0.0.1"), 1);
	assert_int_equal(give("bind", "127.0.0.1"), -EINVAL);
	assert_int_equal(options.binds_count, ROTA_BINDS_MAX);
}

static void test_cpus_lists_are_expanded_in_order_and_bounded(void **state)
{
	int cpus[4] = { -1, -1, -1, -1 };

	(void)state;
	assert_int_equal(rota__cpus_parse("5,0-1,5", cpus, 4), 4);
	assert_int_equal(cpus[0], 5);
	assert_int_equal(cpus[1], 0);
	assert_int_equal(cpus[2], 1);
	assert_int_equal(cpus[3], 5);
	assert_int_equal(rota__cpus_parse("0-1023", cpus, 4), 4);
}

static void test_help_names_every_option(void **state)
{
	static const char *const names[] = { "--bind",     "--port",          "--unix",
					     "--reactors", "--cpus",          "--backend",
					     "--stall-ms", "--drain-timeout", "--stack-census",
					     "--records",  "--record-to",     "--version",
					     "--help" };

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(names); i++)
		assert_non_null(strstr(rota_server_options_help(), names[i]));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_options_good_values_are_taken, set_up),
		cmocka_unit_test_setup(test_options_port_zero_means_no_tcp, set_up),
		cmocka_unit_test_setup(test_options_unknown_names_are_not_ours, set_up),
		cmocka_unit_test_setup(test_options_bad_values_are_refused_with_what_is_right,
				       set_up),
		cmocka_unit_test_setup(
			test_options_more_addresses_than_there_is_room_for_are_refused, set_up),
		cmocka_unit_test(test_cpus_lists_are_expanded_in_order_and_bounded),
		cmocka_unit_test(test_help_names_every_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
