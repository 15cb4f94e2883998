/* SPDX-License-Identifier: MIT */
/*
 * What words say of comparisons: the sentences, to the letter, because people act on them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rota/base.h>

#include "bench/compare/phrase.h"
#include "bench/compare/words.h"

/* ---- results, made by hand ---- */

static void add_variant(json_t *result, const char *name, const char *engine, const char *options)
{
	json_array_append_new(
		json_object_get(result, "variants"),
		json_pack("{s:s, s:s?, s:s?}", "name", name, "engine", engine, "options", options));
}

/* Two engines' defaults, variants of one, somebody else's server; no points. */
static json_t *make_result(void)
{
	json_t *result = json_pack("{s:s, s:[], s:[], s:[]}", "format", "rota-compare 1", "engines",
				   "variants", "points");

	add_variant(result, "uring", "uring", "");
	add_variant(result, "uring multishot=off", "uring", "multishot=off");
	add_variant(result, "uring taskrun=coop", "uring", "taskrun=coop");
	add_variant(result, "uring buffers=64x4096", "uring", "buffers=64x4096");
	add_variant(result, "epoll", "epoll", "");
	add_variant(result, "redis", NULL, NULL);
	return result;
}

/* Borrowed from the result. */
static json_t *add_point(json_t *result, const char *workload, const char *title)
{
	json_t *point = json_pack("{s:s, s:s, s:s, s:n, s:n, s:[], s:[]}", "workload", workload,
				  "title", title, "reference", "epoll", "skipped", "rate",
				  "results", "comparisons");

	json_array_append_new(json_object_get(result, "points"), point);
	return point;
}

static void compare(json_t *point, const char *variant, const char *reference, const char *figure,
		    double low, double ratio, double high, const char *call)
{
	json_array_append_new(json_object_get(point, "comparisons"),
			      json_pack("{s:s, s:s, s:s, s:f, s:f, s:f, s:s}", "variant", variant,
					"reference", reference, "figure", figure, "ratio", ratio,
					"low", low, "high", high, "call", call));
}

static void uses_cpu(json_t *point, double low, double ratio, double high, const char *call)
{
	compare(point, "uring", "epoll", "cpu_ns", low, ratio, high, call);
}

/* `count` rounds of a variant that all measured the same. */
static void add_rounds(json_t *point, const char *variant, unsigned count, double spread,
		       double steal, double syscalls)
{
	json_t *rounds = json_array();

	for (unsigned i = 0; i < count; i++)
		json_array_append_new(
			rounds, json_pack("{s:f, s:f}", "steal", steal, "syscalls", syscalls));
	json_array_append_new(json_object_get(point, "results"),
			      json_pack("{s:s, s:n, s:o, s:{s:{s:f, s:f, s:f}}}", "variant",
					variant, "failed", "rounds", rounds, "figures", "cpu_ns",
					"median", 100.0, "low", 100.0 * (1 - spread), "high",
					100.0 * (1 + spread)));
}

static const char *sentence(const json_t *object, const char *key, size_t index)
{
	const char *text = json_string_value(json_array_get(json_object_get(object, key), index));

	return text ? text : "";
}

/* Add words, compare those of the point to `expected`, which NULL ends, and let go of it all. */
static void assert_words(json_t *result, const json_t *point, const char *const expected[])
{
	size_t count = 0;

	assert_int_equal(words_add(result), 0);
	for (; expected[count]; count++)
		assert_string_equal(sentence(point, "words", count), expected[count]);
	assert_int_equal(json_array_size(json_object_get(point, "words")), count);
	json_decref(result);
}

static void assert_verdict(json_t *result, const char *const expected[])
{
	size_t count = 0;

	assert_int_equal(words_add(result), 0);
	for (; expected[count]; count++)
		assert_string_equal(sentence(result, "verdict", count), expected[count]);
	assert_int_equal(json_array_size(json_object_get(result, "verdict")), count);
	json_decref(result);
}

/* ---- phrases ---- */

static void assert_phrases(double low, double middle, double high, const char *change,
			   const char *range)
{
	json_t *array = json_array();
	struct phrase phrase;

	assert_int_equal(phrase_begin(&phrase), 0);
	phrase_change(phrase.to, middle, "less", "more");
	assert_int_equal(phrase_end(&phrase, array), 0);
	assert_int_equal(phrase_begin(&phrase), 0);
	phrase_range(phrase.to, low, high, "less", "more");
	assert_int_equal(phrase_end(&phrase, array), 0);
	assert_string_equal(json_string_value(json_array_get(array, 0)), change);
	assert_string_equal(json_string_value(json_array_get(array, 1)), range);
	json_decref(array);
}

static void test_phrase_is_as_people_say_it(void **state)
{
	(void)state;
	assert_phrases(0.86, 0.89, 0.91, "11 % less", "9 to 14 %");
	assert_phrases(1.02, 1.04, 1.098, "4 % more", "2 to 10 %");
	assert_phrases(0.97, 0.996, 1.05, "0.4 % less", "3 % less to 5 % more");
	assert_phrases(2.3, 2.41, 2.62, "2.4 times as much", "2.3 to 2.6 times");
	assert_phrases(1.8, 1.95, 2.2, "95 % more", "1.8 to 2.2 times");
	assert_phrases(0.1, 0.161, 0.5, "0.16 times as much", "0.10 to 0.50 times");
	assert_phrases(0.042, 0.0421, 9, "0.042 times as much", "0.042 to 9.0 times");
	assert_phrases(0.9999, 1, 1.0001, "0 % more", "0 % less to 0 % more");
}

/* ---- a point ---- */

static void test_words_less_with_its_cause(void **state)
{
	json_t *result = make_result();
	json_t *point = add_point(result, "echo", "echo, 64 connections, depth 1, 64 B");

	(void)state;
	uses_cpu(point, 0.86, 0.89, 0.91, "less");
	compare(point, "uring", "epoll", "p99_ns", 0.98, 1.0, 1.02, "equal");
	compare(point, "uring", "epoll", "requests_per_s", 1.08, 1.1, 1.13, "more");
	compare(point, "uring multishot=off", "epoll", "cpu_ns", 0.95, 0.97, 0.99, "less");
	compare(point, "uring multishot=off", "uring", "cpu_ns", 1.06, 1.09, 1.12, "more");
	compare(point, "uring taskrun=coop", "uring", "cpu_ns", 0.99, 1.02, 1.05, "undecided");
	add_rounds(point, "uring", 12, 0.01, 0, 0.05);
	add_rounds(point, "epoll", 12, 0.01, 0, 1.1);
	assert_words(
		result, point,
		(const char *const[]){
			"io_uring uses 11 % less CPU per request than epoll (9 to 14 %), p99 "
			"equal, throughput 10 % higher (8 to 13 %).",
			"It comes from multishot accept and receive (with multishot=off it uses "
			"9 % more CPU, 6 to 12 %; 73 % of the difference, 37 to 100 %).",
			"System calls per request: io_uring 0.050, epoll 1.1.",
			NULL,
		});
}

static void test_words_several_causes_the_largest_first(void **state)
{
	json_t *result = make_result();
	json_t *point = add_point(result, "echo", "echo, 64 connections");

	(void)state;
	uses_cpu(point, 0.8, 0.8, 0.8, "less");
	compare(point, "uring multishot=off", "uring", "cpu_ns", 1.05, 1.05, 1.05, "more");
	compare(point, "uring taskrun=coop", "uring", "cpu_ns", 1.1, 1.1, 1.1, "more");
	assert_words(result, point,
		     (const char *const[]){
			     "io_uring uses 20 % less CPU per request than epoll (20 to 20 %).",
			     "It comes from, the largest first, deferred task work (with "
			     "taskrun=coop it uses 10 % more CPU, 10 to 10 %; 40 % of the "
			     "difference, 40 to 40 %) and multishot accept and receive (with "
			     "multishot=off it uses 5 % more CPU, 5 to 5 %; 20 % of the "
			     "difference, 20 to 20 %).",
			     NULL,
		     });
}

static void test_words_no_cause_is_claimed_where_none_shows(void **state)
{
	json_t *result = make_result();
	json_t *point = add_point(result, "echo", "echo, 64 connections");
	json_t *unmeasured = add_point(result, "echo", "echo, 65 connections");

	(void)state;
	uses_cpu(point, 0.86, 0.89, 0.91, "less");
	compare(point, "uring multishot=off", "uring", "cpu_ns", 0.99, 1.02, 1.05, "undecided");
	compare(point, "uring taskrun=coop", "uring", "cpu_ns", 0.99, 1.0, 1.01, "equal");
	uses_cpu(unmeasured, 0.86, 0.89, 0.91, "less");
	assert_int_equal(words_add(result), 0);
	assert_string_equal(sentence(unmeasured, "words", 1),
			    "What that comes from was not measured here.");
	assert_words(result, point,
		     (const char *const[]){
			     "io_uring uses 11 % less CPU per request than epoll (9 to 14 %).",
			     "It comes from none of what was switched off, as far as these rounds "
			     "can tell: undecided are multishot accept and receive.",
			     NULL,
		     });
}

static void test_words_better_settings_are_told(void **state)
{
	json_t *result = make_result();
	json_t *point = add_point(result, "upload", "bulk upload, 16 connections, 65536 B");

	(void)state;
	json_object_set_new(point, "unit", json_string("MiB"));
	uses_cpu(point, 1.02, 1.04, 1.06, "more");
	compare(point, "uring buffers=64x4096", "uring", "cpu_ns", 0.9, 0.94, 0.98, "less");
	assert_words(result, point,
		     (const char *const[]){
			     "io_uring uses 4 % more CPU per MiB than epoll (2 to 6 %).",
			     "Better here than the default: uring buffers=64x4096 uses 6 % less "
			     "CPU (2 to 10 %).",
			     NULL,
		     });
}

static void test_words_undecided_says_why(void **state)
{
	json_t *result = make_result();
	json_t *point = add_point(result, "echo", "echo, 64 connections");
	json_t *quiet = add_point(result, "echo", "echo, 65 connections");
	json_t *slight = add_point(result, "echo", "echo, 66 connections");

	(void)state;
	uses_cpu(point, 0.9, 0.97, 1.05, "undecided");
	add_rounds(point, "uring", 6, 0.01, 0.12, 0.1);
	add_rounds(point, "epoll", 6, 0.2, 0, 1);
	uses_cpu(slight, 0.96, 0.975, 0.985, "undecided");
	uses_cpu(quiet, 0.94, 0.98, 1.01, "undecided");
	add_rounds(quiet, "uring", 20, 0.01, 0, 0.1);
	add_rounds(quiet, "epoll", 20, 0.01, 0, 1);
	assert_int_equal(words_add(result), 0);
	assert_string_equal(sentence(quiet, "words", 0),
			    "Whether io_uring or epoll uses less CPU per request is undecided: "
			    "io_uring uses 6 % less to 1 % more. A difference, if there is "
			    "one, is too small for 20 starts.");
	assert_string_equal(sentence(slight, "words", 0),
			    "Whether io_uring or epoll uses less CPU per request is undecided: "
			    "io_uring uses 2 to 4 % less. There is a difference, but so near the "
			    "margin it is called neither that nor equal.");
	assert_words(result, point,
		     (const char *const[]){
			     "Whether io_uring or epoll uses less CPU per request is undecided: "
			     "io_uring uses 10 % less to 5 % more. Because the host took 12 % of "
			     "the processor's time (steal), the rounds differ (a median is "
			     "known to ±20 %), 6 starts are few.",
			     "System calls per request: io_uring 0.10, epoll 1.0.",
			     NULL,
		     });
}

static void test_words_equal_guests_and_failures(void **state)
{
	json_t *result = make_result();
	json_t *point = add_point(result, "kv", "key-value, 64 connections");

	(void)state;
	uses_cpu(point, 0.981, 0.99, 1.01, "equal");
	compare(point, "redis", "epoll", "cpu_ns", 2.4, 2.5, 2.6, "more");
	json_array_append_new(json_object_get(point, "results"),
			      json_pack("{s:s, s:s}", "variant", "memcached", "failed",
					"it ended with status 1"));
	assert_words(result, point,
		     (const char *const[]){
			     "io_uring and epoll use the same CPU per request, to within 2 %.",
			     "redis uses 2.5 times as much CPU per request as epoll (2.4 to 2.6 "
			     "times).",
			     "memcached failed: it ended with status 1.",
			     NULL,
		     });
}

static void test_words_skipped_says_why_and_nothing_else(void **state)
{
	json_t *result = make_result();
	json_t *point = add_point(result, "churn", "churn");

	(void)state;
	json_object_set_new(point, "skipped", json_string("No server takes part."));
	assert_words(result, point,
		     (const char *const[]){ "Not measured: No server takes part.", NULL });
}

static void test_words_replace_what_was_there(void **state)
{
	json_t *result = make_result();
	json_t *point = add_point(result, "echo", "echo, 64 connections");

	(void)state;
	uses_cpu(point, 0.99, 1.0, 1.01, "equal");
	assert_int_equal(words_add(result), 0);
	assert_words(result, point,
		     (const char *const[]){
			     "io_uring and epoll use the same CPU per request, to within 1 %.",
			     NULL,
		     });
}

static void test_words_of_no_result_is_refused(void **state)
{
	json_t *nothing = json_object(), *odd = json_pack("{s:[i]}", "points", 1);

	(void)state;
	assert_int_equal(words_add(nothing), -EINVAL);
	assert_int_equal(words_add(odd), -EINVAL);
	json_decref(nothing);
	json_decref(odd);
}

/* ---- the verdict ---- */

static void test_verdict_names_an_engine_for_each_workload(void **state)
{
	json_t *result = make_result();

	(void)state;
	uses_cpu(add_point(result, "echo", "echo, 64 connections, depth 1"), 0.86, 0.89, 0.91,
		 "less");
	uses_cpu(add_point(result, "echo", "echo, 1000 connections, depth 1"), 0.7, 0.76, 0.8,
		 "less");
	uses_cpu(add_point(result, "kv", "key-value, SET:GET 1:10, depth 16"), 0.98, 1, 1.02,
		 "equal");
	uses_cpu(add_point(result, "upload", "bulk upload, 65536 B"), 1.04, 1.05, 1.06, "more");
	uses_cpu(add_point(result, "idle", "many idle, few busy, 16 connections"), 0.8, 1, 1.2,
		 "undecided");
	add_point(result, "churn", "churn, 16 connections");
	assert_verdict(
		result,
		(const char *const[]){
			"By CPU time, on this machine: io_uring for echo; epoll for bulk upload; "
			"either for key-value, SET:GET 1:10; undecided for many idle, few busy.",
			"echo: io_uring uses 11 to 24 % less CPU per request than epoll in all 2 "
			"loads.",
			"key-value, SET:GET 1:10: io_uring and epoll use the same CPU per "
			"request.",
			"bulk upload: io_uring uses 5 % more CPU per request than epoll.",
			"many idle, few busy: undecided, any difference between io_uring and "
			"epoll is small, or hidden by the noise of this run.",
			"churn: nothing was measured.",
			NULL,
		});
}

/* Without another engine: other options, so also an engine beside itself. */
static void test_verdict_of_options_where_there_is_no_other_engine(void **state)
{
	json_t *result = make_result(), *point = add_point(result, "echo", "echo, 64 connections");

	(void)state;
	json_object_set_new(point, "reference", json_string("uring"));
	compare(point, "uring multishot=off", "uring", "cpu_ns", 0.99, 1, 1.01, "equal");
	assert_verdict(result,
		       (const char *const[]){
			       "By CPU time, on this machine: either for echo.",
			       "echo: uring multishot=off and io_uring use the same CPU per "
			       "request.",
			       NULL,
		       });
}

static void test_verdict_that_depends_on_the_load(void **state)
{
	json_t *result = make_result();
	json_t *few = add_point(result, "echo", "echo, 1 connection, depth 1");
	json_t *many = add_point(result, "echo", "echo, 64 connections, depth 1");

	(void)state;
	uses_cpu(few, 1.04, 1.07, 1.1, "more");
	compare(few, "uring", "epoll", "p99_ns", 0.98, 1, 1.02, "equal");
	uses_cpu(many, 0.86, 0.89, 0.91, "less");
	compare(many, "uring", "epoll", "p99_ns", 0.88, 0.9, 0.92, "less");
	assert_verdict(result,
		       (const char *const[]){
			       "By CPU time, on this machine: one or the other, by the load, for "
			       "echo.",
			       "echo: it depends on the load. io_uring against epoll: less CPU "
			       "with 64 connections, depth 1 (11 % less), more with 1 "
			       "connection, depth 1 (7 % more); p99 lower in 1 and equal in 1.",
			       NULL,
		       });
}

static void test_verdict_in_part_undecided_names_the_loads(void **state)
{
	json_t *result = make_result();

	(void)state;
	uses_cpu(add_point(result, "echo", "echo, 64 connections"), 0.86, 0.89, 0.91, "less");
	uses_cpu(add_point(result, "echo", "echo, 8 connections"), 0.9, 1, 1.1, "undecided");
	uses_cpu(add_point(result, "echo", "echo, 1 connection"), 0.8, 1, 1.1, "undecided");
	assert_verdict(
		result,
		(const char *const[]){
			"By CPU time, on this machine: io_uring for echo (mostly undecided).",
			"echo: io_uring uses 11 % less CPU per request than epoll in 1 of "
			"3 loads, undecided with 8 connections; with 1 connection.",
			NULL,
		});
}

static void test_verdict_without_io_uring_begins_with_that(void **state)
{
	json_t *result = make_result();

	(void)state;
	json_array_append_new(json_object_get(result, "engines"),
			      json_pack("{s:s, s:b, s:s}", "name", "uring", "usable", 0, "why_not",
					"a seccomp filter forbids it"));
	add_point(result, "echo", "echo, 64 connections");
	assert_verdict(result,
		       (const char *const[]){
			       "io_uring cannot be used here: a seccomp filter forbids it. What "
			       "follows compares what there is.",
			       "echo: nothing was measured.",
			       NULL,
		       });
}

/* One engine: there is no other, and its figures are still figures. */
static void test_verdict_of_one_alone_says_what_was_measured(void **state)
{
	json_t *result = make_result();

	(void)state;
	add_rounds(add_point(result, "echo", "echo, 64 connections"), "epoll", 9, 0.01, 0, 1);
	add_rounds(add_point(result, "echo", "echo, 1 connection"), "epoll", 9, 0.01, 0, 1);
	assert_verdict(result, (const char *const[]){
				       "echo: nobody to compare with. epoll uses 0.1 us of CPU per "
				       "request with 64 connections; epoll uses 0.1 us of CPU per "
				       "request with 1 connection.",
				       NULL,
			       });
}

static void set_load(json_t *point, const char *loop, const char *servers, const char *client)
{
	json_object_set_new(
		point, "load",
		json_pack("{s:s, s:s, s:s}", "loop", loop, "servers", servers, "client", client));
}

/* A verdict holds under the load it was measured with, and says which. */
static void test_verdict_says_under_which_load_it_holds(void **state)
{
	json_t *result = make_result();
	json_t *first = add_point(result, "echo", "echo, 64 connections");
	json_t *second = add_point(result, "kv", "key-value, 64 connections");
	json_t *third = add_point(result, "kv", "key-value, 64 connections, at 70 % of capacity");
	json_t *fourth = add_point(result, "idle", "idle, 1 connection");

	(void)state;
	for (size_t i = 0; i < 4; i++)
		uses_cpu(json_array_get(json_object_get(result, "points"), i), 0.98, 1, 1.02,
			 "equal");
	set_load(first, "closed", "saturated", "ahead");
	set_load(second, "closed", "in part", "bottleneck");
	set_load(third, "open", "not saturated", "late");
	set_load(fourth, "open", "not saturated", "ahead");
	assert_verdict(
		result,
		(const char *const[]){
			"By CPU time, on this machine: either for echo, key-value and idle.",
			"echo: io_uring and epoll use the same CPU per request. Measured with "
			"servers saturated in a closed loop.",
			"key-value: io_uring and epoll use the same CPU per request. Measured in "
			"a closed loop, with servers that were not saturated, and at a fixed rate "
			"in 1 of 2; the load client was a bottleneck; the client itself was late, "
			"so p99 is in part its own.",
			"idle: io_uring and epoll use the same CPU per request. Measured at a "
			"fixed rate.",
			NULL,
		});
}

static void test_words_undecided_beside_others_says_so(void **state)
{
	json_t *result = make_result();
	json_t *point = add_point(result, "echo", "echo, 64 connections");

	(void)state;
	uses_cpu(point, 0.86, 0.89, 0.99, "undecided");
	json_object_set_new(json_array_get(json_object_get(point, "comparisons"), 0), "call_alone",
			    json_string("less"));
	assert_words(result, point,
		     (const char *const[]){
			     "Whether io_uring or epoll uses less CPU per request is undecided: "
			     "io_uring uses 1 to 14 % less. Seen alone, CPU would be called "
			     "different; among so many comparisons it may be chance.",
			     NULL,
		     });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_phrase_is_as_people_say_it),
		cmocka_unit_test(test_words_less_with_its_cause),
		cmocka_unit_test(test_words_several_causes_the_largest_first),
		cmocka_unit_test(test_words_no_cause_is_claimed_where_none_shows),
		cmocka_unit_test(test_words_better_settings_are_told),
		cmocka_unit_test(test_words_undecided_says_why),
		cmocka_unit_test(test_words_equal_guests_and_failures),
		cmocka_unit_test(test_words_skipped_says_why_and_nothing_else),
		cmocka_unit_test(test_words_replace_what_was_there),
		cmocka_unit_test(test_words_of_no_result_is_refused),
		cmocka_unit_test(test_verdict_names_an_engine_for_each_workload),
		cmocka_unit_test(test_verdict_of_options_where_there_is_no_other_engine),
		cmocka_unit_test(test_verdict_that_depends_on_the_load),
		cmocka_unit_test(test_verdict_in_part_undecided_names_the_loads),
		cmocka_unit_test(test_verdict_without_io_uring_begins_with_that),
		cmocka_unit_test(test_verdict_of_one_alone_says_what_was_measured),
		cmocka_unit_test(test_verdict_says_under_which_load_it_holds),
		cmocka_unit_test(test_words_undecided_beside_others_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
