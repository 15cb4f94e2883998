/* SPDX-License-Identifier: MIT */
/* Texts to points and to variants, and what is said of texts that are wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench/compare/plan.h"
#include "bench/compare/variants.h"
#include "tests/support/t_core.h"

static struct plan plan;
static struct variants variants;

static int reset(void **state)
{
	(void)state;
	memset(&plan, 0, sizeof(plan));
	memset(&variants, 0, sizeof(variants));
	return 0;
}

/* ---- points ---- */

static void add(const char *text)
{
	char error[POINT_ERROR_BYTES] = "";

	if (plan_add(&plan, text, error) != 0)
		fail_msg("%s: %s", text, error);
}

static void refuse(const char *text, const char *with)
{
	char error[POINT_ERROR_BYTES] = "";

	T_EQUAL(plan_add(&plan, text, error), -EINVAL);
	if (!strstr(error, with))
		fail_msg("%s: \"%s\" does not say \"%s\"", text, error, with);
	T_EQUAL(plan.count, 0);
}

static void test_a_name_alone_is_a_point_with_its_defaults(void **state)
{
	(void)state;
	add("echo");
	T_EQUAL(plan.count, 1);
	assert_string_equal(plan.points[0].title, "echo, 64 connections, depth 1, 64 B");
	T_EQUAL(plan.points[0].settings[SETTING_KEYS], UNUSED);
}

static void test_lists_are_as_many_points(void **state)
{
	(void)state;
	add("echo:depth=1/16,connections=1/1000");
	T_EQUAL(plan.count, 4);
	assert_string_equal(plan.points[0].title, "echo, 1 connection, depth 1, 64 B");
	assert_string_equal(plan.points[1].title, "echo, 1 connection, depth 16, 64 B");
	assert_string_equal(plan.points[3].title, "echo, 1000 connections, depth 16, 64 B");
	add("kv:capacity=70");
	assert_string_equal(plan.points[4].title,
			    "key-value, SET:GET 1:10, 64 connections, depth 1, 64 B, at 70 % of "
			    "capacity");
	add("idle:reactors=2,rate=5000");
	assert_string_equal(plan.points[5].title,
			    "many idle, few busy, 16 connections and 4000 idle, depth 1, 64 B, "
			    "2 reactors, 5000/s");
	add("echo:depth=16,capacity=70,burst=16");
	assert_string_equal(plan.points[6].title,
			    "echo, 64 connections, depth 16, 64 B, at 70 % of capacity, bursts of "
			    "16");
	T_EQUAL(plan.points[6].settings[SETTING_BURST], 16);
}

static void test_wrong_texts_say_what_is_right(void **state)
{
	(void)state;
	refuse("ecco", "there is no workload \"ecco\"; there are echo idle");
	refuse("", "there is no workload \"\"");
	refuse("upload:depth=2", "upload has no setting \"depth\"; it has connections=");
	refuse("churn:burst=2", "churn has no setting \"burst\"");
	refuse("echo:depth", "echo has no setting \"depth\"");
	refuse("echo:depth=", "depth takes numbers from 1 to 1024");
	refuse("echo:depth=1/", "depth takes numbers");
	refuse("echo:depth=0", "depth takes numbers");
	refuse("echo:depth=9999999999999999999", "depth takes numbers");
	refuse("echo:depth=1x", "depth takes numbers");
	refuse("echo:depth=1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17", "up to 16");
}

static void test_too_many_points_are_refused(void **state)
{
	char error[POINT_ERROR_BYTES];

	(void)state;
	T_EQUAL(plan_add(&plan,
			 "echo:connections=1/2/3/4/5/6/7/8,depth=1/2/3/4/5/6/7/8,payload=1/2/3/4/5",
			 error),
		-ENOSPC);
	assert_string_equal(error, "no more than 256 points");
}

static void test_a_load_on_both_engines_is_two_points(void **state)
{
	static const char *const both[] = { "uring", "epoll" };
	char error[POINT_ERROR_BYTES];

	(void)state;
	add("echo");
	add("timers");
	add("idle:capacity=50");
	T_EQUAL(plan_set_load(&plan, both, 1, error), 0);
	T_EQUAL(plan.count, 3);
	assert_string_equal(plan.points[0].title, "echo, 64 connections, depth 1, 64 B");
	T_EQUAL(plan_set_load(&plan, both, 2, error), 0);
	T_EQUAL(plan.count, 5);
	assert_string_equal(plan.points[0].title,
			    "echo, 64 connections, depth 1, 64 B, load on uring");
	assert_string_equal(plan.points[1].title,
			    "echo, 64 connections, depth 1, 64 B, load on epoll");
	assert_string_equal(plan.points[1].load_backend, "epoll");
	assert_null(plan.points[2].load_backend);
	/* a share that was lowered is in the title */
	plan.points[4].settings[SETTING_CAPACITY] = 30;
	point_retitle(&plan.points[4]);
	assert_string_equal(plan.points[4].title,
			    "many idle, few busy, 16 connections and 4000 idle, depth 1, 64 B, at "
			    "30 % of capacity, load on epoll");
	while (plan.count < POINTS_MAX)
		add("echo");
	T_EQUAL(plan_set_load(&plan, both, 2, error), -ENOSPC);
	assert_string_equal(error, "no more than 256 points, with 2 engines of the load client");
}

static void test_a_point_describes_itself(void **state)
{
	json_t *point;

	(void)state;
	add("download:connections=4");
	point = point_describe(&plan.points[0]);
	assert_string_equal(json_string_value(json_object_get(point, "unit")), "MiB");
	T_EQUAL(json_integer_value(json_object_get(point, "connections")), 4);
	T_CHECK(json_is_null(json_object_get(point, "depth")));
	T_CHECK(json_is_null(json_object_get(point, "rate")));
	json_decref(point);
}

/* Their tables are this program's own; a slip in one would only show in minutes. */
static void test_what_is_measured_by_default_is_right(void **state)
{
	(void)state;
	for (unsigned i = 0; plan_short[i]; i++)
		add(plan_short[i]);
	T_EQUAL(plan.count, 8);
	for (unsigned i = 0; plan_long[i]; i++)
		add(plan_long[i]);
}

/* ---- variants ---- */

static void add_variant(const char *text, int (*take)(struct variants *variants, const char *text,
						      char error[ROTA_BACKEND_TEXT_BYTES]))
{
	char error[ROTA_BACKEND_TEXT_BYTES] = "";

	if (take(&variants, text, error) != 0)
		fail_msg("%s: %s", text, error);
}

static void refuse_variant(const char *text,
			   int (*take)(struct variants *variants, const char *text,
				       char error[ROTA_BACKEND_TEXT_BYTES]),
			   const char *with)
{
	char error[ROTA_BACKEND_TEXT_BYTES] = "";
	unsigned count = variants.count;

	T_EQUAL(take(&variants, text, error), -EINVAL);
	if (!strstr(error, with))
		fail_msg("%s: \"%s\" does not say \"%s\"", text, error, with);
	T_EQUAL(variants.count, count);
}

static void test_variants_are_named_after_their_options(void **state)
{
	(void)state;
	add_variant("epoll", variants_add);
	add_variant("epoll:trigger=edge", variants_add);
	T_EQUAL(variants_find(&variants, "epoll trigger=edge"), 1);
	assert_string_equal(variants.list[0].about, "the default");
	T_CHECK(variants.list[1].about != NULL);
	refuse_variant("epoll", variants_add, "there is a \"epoll\" already");
	refuse_variant("epol", variants_add, "\"epol\" is no variant");
	refuse_variant("sim", variants_add, "\"sim\" is no variant");
	refuse_variant("epoll:trigger=never", variants_add, "trigger=level|edge");
}

/* Every option that an engine lists takes part, also one this program has never heard of. */
static void test_all_variants_are_those_the_engine_lists(void **state)
{
	(void)state;
	variants_add_engines(&variants, true);
	T_CHECK(variants_find(&variants, "epoll") >= 0);
	T_CHECK(variants_find(&variants, "epoll trigger=edge") > 0);
	T_CHECK(variants_find(&variants, "epoll try-first=off") > 0);
	if (variants_find(&variants, "uring") < 0) {
		T_CHECK(variants.left_out_count > 0);
		return;
	}
	T_CHECK(variants_find(&variants, "uring multishot=off") > 0);
	T_CHECK(variants_find(&variants, "uring taskrun=none") > 0);
	for (unsigned i = 0; i < variants.count; i++)
		T_CHECK(!strstr(variants.list[i].name, "pretend"));
}

/* A kernel that is too old stands for everything that forbids io_uring. */
static void test_what_cannot_work_is_left_out_with_its_reason(void **state)
{
	(void)state;
	add_variant("uring:pretend-kernel=5.4", variants_add);
	T_EQUAL(variants.count, 0);
	T_EQUAL(variants.left_out_count, 1);
	T_CHECK(strlen(variants.left_out[0].why) > 10);
}

/* Without what it asks for a variant would be the default under another name. */
static void test_what_the_kernel_lacks_is_left_out_by_name(void **state)
{
	(void)state;
	add_variant("uring", variants_add);
	if (!variants.count)
		return; /* no io_uring here at all */
	add_variant("uring:pretend-kernel=6.1,direct=on", variants_add);
	T_EQUAL(variants.count, 1);
	T_EQUAL(variants.left_out_count, 1);
	T_CHECK(strstr(variants.left_out[0].why, "direct descriptors: this kernel does not"));
	T_CHECK(strstr(variants.left_out[0].why, "Linux 6.13"));
	/* It looks for completions without the kernel's help. */
	add_variant("uring:pretend-kernel=6.1,busy-poll-us=5", variants_add);
	T_EQUAL(variants.count, 2);
}

static void test_servers_have_a_name_a_port_and_perhaps_a_protocol(void **state)
{
	(void)state;
	add_variant("redis=resp:redis-server --port {port}", variants_add_server);
	assert_string_equal(variants.list[0].name, "redis");
	assert_string_equal(variants.list[0].protocol, "resp");
	assert_string_equal(variants.list[0].command, "redis-server --port {port}");
	add_variant("own=a:b {port}", variants_add_server);
	assert_string_equal(variants.list[1].protocol, "");
	assert_string_equal(variants.list[1].command, "a:b {port}");
	add_variant("meta=memcached-meta:memcached -p {port}", variants_add_server);
	assert_string_equal(variants.list[2].protocol, "memcached-meta");
	refuse_variant("redis=x {port}", variants_add_server, "already");
	refuse_variant("redis-server --port {port}", variants_add_server, "NAME=COMMAND");
	refuse_variant("x=redis-server", variants_add_server, "{port}");
	refuse_variant("=x {port}", variants_add_server, "1 to 127 bytes");
}

static void write_table(char path[64], const char *text)
{
	int fd;

	/* tidy: allow unfinished, mkstemp(3) wants it so */
	strcpy(path, "/tmp/rota-test-peers-XXXXXX");
	fd = mkstemp(path);
	T_CHECK(fd >= 0);
	T_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void test_a_table_has_servers(void **state)
{
	char path[64];

	(void)state;
	write_table(path, "# of peers\n\nlibuv\techo\tlibuv-echo --port {port}\n"
			  "nginx\thttp\tnginx {port}\n"
			  "memcached\tmemcached\tmemcached -p {port} -t {threads}\tmore\n");
	add_variant(path, variants_add_table);
	T_EQUAL(variants.count, 2);
	assert_string_equal(variants.list[0].name, "libuv");
	assert_string_equal(variants.list[1].command, "memcached -p {port} -t {threads}");
	unlink(path);

	write_table(path, "libev echo libev-echo {port}\n");
	refuse_variant(path, variants_add_table, "with tabs between, not \"libev");
	unlink(path);
}

static void test_variants_describe_themselves(void **state)
{
	json_t *result = json_object(), *list, *left_out;

	(void)state;
	add_variant("epoll:trigger=edge", variants_add);
	add_variant("x=y {port}", variants_add_server);
	add_variant("uring:pretend-kernel=5.4", variants_add);
	T_EQUAL(variants_describe(&variants, result), 0);
	list = json_object_get(result, "variants");
	left_out = json_object_get(result, "left_out");
	T_EQUAL(json_array_size(list), 2);
	T_EQUAL(json_array_size(left_out), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "options")),
			    "trigger=edge");
	T_CHECK(json_is_null(json_object_get(json_array_get(list, 1), "engine")));
	json_decref(result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_a_name_alone_is_a_point_with_its_defaults, reset),
		cmocka_unit_test_setup(test_lists_are_as_many_points, reset),
		cmocka_unit_test_setup(test_wrong_texts_say_what_is_right, reset),
		cmocka_unit_test_setup(test_too_many_points_are_refused, reset),
		cmocka_unit_test_setup(test_a_load_on_both_engines_is_two_points, reset),
		cmocka_unit_test_setup(test_a_point_describes_itself, reset),
		cmocka_unit_test_setup(test_what_is_measured_by_default_is_right, reset),
		cmocka_unit_test_setup(test_variants_are_named_after_their_options, reset),
		cmocka_unit_test_setup(test_all_variants_are_those_the_engine_lists, reset),
		cmocka_unit_test_setup(test_what_cannot_work_is_left_out_with_its_reason, reset),
		cmocka_unit_test_setup(test_what_the_kernel_lacks_is_left_out_by_name, reset),
		cmocka_unit_test_setup(test_servers_have_a_name_a_port_and_perhaps_a_protocol,
				       reset),
		cmocka_unit_test_setup(test_a_table_has_servers, reset),
		cmocka_unit_test_setup(test_variants_describe_themselves, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
