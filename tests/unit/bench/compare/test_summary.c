/* SPDX-License-Identifier: MIT */
/*
 * From rounds to claims, over rounds recorded on a machine on which others worked
 * (recorded_rounds.tsv): nanoseconds per request of the io_uring engine, of the same again, and of
 * the same slowed down by 1000 ns a request.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bench/compare/family.h"
#include "bench/compare/stats.h"
#include "bench/compare/summary.h"
#include "tests/support/t_core.h"

#define RECORDED "tests/unit/bench/compare/recorded_rounds.tsv"
#define RECORDED_MAX 200
#define SLOWED_BY_NS 1000.0
/* At each point of `ninja compare`: it has time for so many, also on a busy machine. */
#define SHORT_ROUNDS 20
#define SHORT_STARTS 12

static struct comparison comparison = {
	.confidence = 0.95,
	.margin = 0.03,
	.steal_max = 0.05,
	.seed = 7,
	.server_cpus = { .count = 1 },
};

static struct recorded {
	double base, same, slowed;
} recorded[RECORDED_MAX];
static unsigned recorded_count;

static int read_recorded(void **state)
{
	FILE *file = fopen(RECORDED, "r");
	struct recorded *at = recorded;
	char line[256];

	(void)state;
	if (!file)
		return -1;
	while (at < recorded + RECORDED_MAX && fgets(line, sizeof(line), file))
		if (*line != '#' &&
		    sscanf(line, "%lf %lf %lf", &at->base, &at->same, &at->slowed) == 3)
			at++;
	fclose(file);
	recorded_count = (unsigned)(at - recorded);
	return recorded_count >= 100 ? 0 : -1;
}

/* ---- points made by hand ---- */

static json_t *round_of(double cpu_ns)
{
	return json_pack("{s:f, s:n}", "cpu_ns", cpu_ns, "syscalls");
}

static json_t *result_of(const char *variant)
{
	return json_pack("{s:s, s:n, s:[]}", "variant", variant, "failed", "rounds");
}

/* A point with two results, "a" and "b", without rounds. */
static json_t *make_point(void)
{
	return json_pack("{s:s, s:n, s:i, s:[o, o]}", "reference", "a", "rate", "discarded_rounds",
			 0, "results", result_of("a"), result_of("b"));
}

static json_t *result_at(json_t *point, size_t index)
{
	return json_array_get(json_object_get(point, "results"), index);
}

static void add_round(json_t *point, double a, double b)
{
	json_array_append_new(json_object_get(result_at(point, 0), "rounds"), round_of(a));
	json_array_append_new(json_object_get(result_at(point, 1), "rounds"), round_of(b));
}

/* What is said of b's `figure`; NULL: nothing. */
static const json_t *comparison_of(const json_t *point, const char *figure)
{
	const json_t *one;
	size_t i;

	json_array_foreach (json_object_get(point, "comparisons"), i, one) {
		T_CHECK(!strcmp(json_string_value(json_object_get(one, "variant")), "b"));
		T_CHECK(!strcmp(json_string_value(json_object_get(one, "reference")), "a"));
		if (!strcmp(json_string_value(json_object_get(one, "figure")), figure))
			return one;
	}
	return NULL;
}

static const char *call_of(const json_t *point)
{
	return json_string_value(json_object_get(comparison_of(point, "cpu_ns"), "call"));
}

static double number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static void test_figures_are_medians_and_null_where_unknown(void **state)
{
	json_t *point = make_point(), *figures;

	(void)state;
	for (int i = 1; i <= 9; i++)
		add_round(point, 100 * i, 200 * i);
	T_EQUAL(summary_refresh(&comparison, point), 0);
	figures = json_object_get(result_at(point, 1), "figures");
	T_CHECK(number(json_object_get(figures, "cpu_ns"), "median") == 1000);
	T_CHECK(json_is_null(json_object_get(figures, "syscalls")));
	T_CHECK(json_is_null(json_object_get(figures, "p99_ns")));
	T_CHECK(number(comparison_of(point, "cpu_ns"), "ratio") == 2);
	T_CHECK(!comparison_of(point, "syscalls"));
	T_CHECK(!strcmp(call_of(point), "more"));
	json_decref(point);
}

static void test_nothing_is_claimed_of_who_failed(void **state)
{
	json_t *point = make_point();

	(void)state;
	for (int i = 0; i < 9; i++)
		add_round(point, 100, 200);
	json_object_set_new(result_at(point, 1), "failed", json_string("it ended"));
	T_EQUAL(summary_refresh(&comparison, point), 0);
	T_EQUAL(json_array_size(json_object_get(point, "comparisons")), 0);

	json_object_set_new(result_at(point, 1), "failed", json_null());
	json_object_set_new(result_at(point, 0), "failed", json_string("it ended"));
	T_EQUAL(summary_refresh(&comparison, point), 0);
	T_EQUAL(json_array_size(json_object_get(point, "comparisons")), 0);
	json_decref(point);
}

static int comparisons_of(const json_t *point, const char *variant, const char *reference)
{
	const json_t *one;
	int count = 0;
	size_t i;

	json_array_foreach (json_object_get(point, "comparisons"), i, one)
		count += !strcmp(json_string_value(json_object_get(one, "variant")), variant) &&
			 !strcmp(json_string_value(json_object_get(one, "reference")), reference);
	return count;
}

/* What an option does shows against its engine without it, whoever the reference is. */
static void test_a_variant_is_compared_with_its_engines_default_too(void **state)
{
	static struct comparison with_engine;
	json_t *point = json_pack("{s:s, s:n, s:i, s:[o, o, o]}", "reference", "other", "rate",
				  "discarded_rounds", 0, "results", result_of("epoll"),
				  result_of("epoll trigger=edge"), result_of("other"));

	(void)state;
	with_engine = comparison;
	with_engine.variants.count = 2;
	with_engine.variants.list[0] = (struct variant){ .name = "epoll", .engine = "epoll" };
	with_engine.variants.list[1] = (struct variant){ .name = "epoll trigger=edge",
							 .engine = "epoll",
							 .options = "trigger=edge" };
	for (int i = 0; i < 9; i++) {
		json_array_append_new(json_object_get(result_at(point, 2), "rounds"), round_of(50));
		add_round(point, 100, 200);
	}
	T_EQUAL(summary_refresh(&with_engine, point), 0);
	T_EQUAL(comparisons_of(point, "epoll", "other"), 1);
	T_EQUAL(comparisons_of(point, "epoll trigger=edge", "other"), 1);
	T_EQUAL(comparisons_of(point, "epoll trigger=edge", "epoll"), 1);
	T_EQUAL(json_array_size(json_object_get(point, "comparisons")), 3);
	json_decref(point);
}

static void test_too_few_starts_are_undecided(void **state)
{
	json_t *point = make_point();

	(void)state;
	for (int i = 0; i < 5; i++)
		add_round(point, 100, 200);
	T_EQUAL(summary_refresh(&comparison, point), 0);
	T_CHECK(!strcmp(call_of(point), "undecided"));
	json_decref(point);
}

/* The rounds of both are of so many starts. */
static void say_starts(json_t *point, size_t starts)
{
	for (size_t i = 0; i < 2; i++) {
		json_t *rounds = json_object_get(result_at(point, i), "rounds"), *round;
		size_t count = json_array_size(rounds), j;

		json_array_foreach (rounds, j, round)
			json_object_set_new(round, "start",
					    json_integer((json_int_t)(j * starts / count)));
	}
}

/* However many rounds there are: five starts are too few, and six of one kind just enough. */
static void test_rounds_of_one_start_count_once(void **state)
{
	json_t *point = make_point();
	const json_t *found;

	(void)state;
	for (int i = 0; i < 60; i++)
		add_round(point, 100, i % 10 < 7 ? 200 : 300);
	say_starts(point, 5);
	T_EQUAL(summary_refresh(&comparison, point), 0);
	T_CHECK(!strcmp(call_of(point), "undecided"));
	say_starts(point, 6);
	T_EQUAL(summary_refresh(&comparison, point), 0);
	found = comparison_of(point, "cpu_ns");
	T_CHECK(!strcmp(call_of(point), "more"));
	T_CHECK(number(found, "ratio") == 2 && number(found, "low") == 2);
	T_CHECK(fabs(number(found, "p") - 2 / 64.0) < 1e-9);
	T_CHECK(number(found, "high") == 2);
	json_decref(point);
}

static void test_what_is_no_point_is_refused(void **state)
{
	json_t *none = json_object();

	(void)state;
	T_EQUAL(summary_refresh(&comparison, none), -EINVAL);
	json_decref(none);
}

static void add_to_rounds(json_t *point, const char *key, double value)
{
	json_t *rounds = json_object_get(result_at(point, 0), "rounds"), *round;
	size_t i;

	json_array_foreach (rounds, i, round)
		json_object_set_new(round, key, json_real(value));
}

static bool has_note(const json_t *point, const char *text)
{
	const json_t *note;
	size_t i;

	json_array_foreach (json_object_get(point, "notes"), i, note)
		if (strstr(json_string_value(note), text))
			return true;
	return false;
}

static void test_what_stands_in_the_way_is_said(void **state)
{
	json_t *point = make_point();

	(void)state;
	for (int i = 0; i < 9; i++)
		add_round(point, 100, 101);
	T_EQUAL(summary_refresh(&comparison, point), 0);
	T_EQUAL(json_array_size(json_object_get(point, "notes")), 0);
	add_to_rounds(point, "others", 0.3);
	add_to_rounds(point, "steal", 0.02);
	json_object_set_new(point, "discarded_rounds", json_integer(3));
	T_EQUAL(summary_refresh(&comparison, point), 0);
	T_CHECK(has_note(point, "Other programs took 30 %"));
	T_CHECK(has_note(point, "The host took away up to 2.0 %"));
	T_CHECK(has_note(point, "3 rounds were dropped"));
	json_object_set_new(point, "reactors", json_integer(2));
	T_EQUAL(summary_refresh(&comparison, point), 0);
	T_CHECK(has_note(point, "The 2 reactors share 1 processor."));
	T_EQUAL(json_array_size(json_object_get(point, "notes")), 4);
	json_decref(point);
}

/* ---- servers and client at their limits ---- */

static void add_to_result(json_t *point, size_t index, const char *key, json_t *value)
{
	json_t *rounds = json_object_get(result_at(point, index), "rounds"), *round;
	size_t i;

	json_array_foreach (rounds, i, round)
		json_object_set(round, key, value);
	json_decref(value);
}

/* A point with a client, at a `rate`; 0: a closed loop. Both servers busy as said. */
static json_t *make_loaded_point(int rate, double busy_a, double busy_b, double working)
{
	json_t *point = make_point();

	json_object_set_new(point, "connections", json_integer(64));
	if (rate)
		json_object_set_new(point, "rate", json_integer(rate));
	for (int i = 0; i < 9; i++)
		add_round(point, 100, 101);
	add_to_result(point, 0, "busy", json_real(busy_a));
	add_to_result(point, 1, "busy", json_real(busy_b));
	for (size_t i = 0; i < 2; i++) {
		add_to_result(point, i, "load_busy", json_real(0.99));
		add_to_result(point, i, "load_working", json_real(working));
		add_to_result(point, i, "requests_per_s", json_real(rate ? rate : 1000));
	}
	return point;
}

static const char *load_text(const json_t *point, const char *key)
{
	return json_string_value(json_object_get(json_object_get(point, "load"), key));
}

static void assert_load(const json_t *point, const char *words, const char *client, size_t notes)
{
	assert_string_equal(load_text(point, "words"), words);
	assert_string_equal(load_text(point, "client"), client);
	assert_int_equal(json_array_size(json_object_get(point, "notes")), notes);
}

static void test_a_busy_client_of_saturated_servers_is_no_bottleneck(void **state)
{
	json_t *point = make_loaded_point(0, 0.98, 0.99, 0.99);

	(void)state;
	T_EQUAL(summary_refresh(&comparison, point), 0);
	assert_load(point, "closed loop, servers saturated", "ahead", 0);
	json_decref(point);
}

static void test_a_client_that_holds_one_server_back_is_its_bottleneck(void **state)
{
	json_t *point = make_loaded_point(0, 0.98, 0.87, 0.99);

	(void)state;
	T_EQUAL(summary_refresh(&comparison, point), 0);
	assert_load(point, "closed loop, saturated only: a (87 to 98 % busy)", "bottleneck", 1);
	T_CHECK(has_note(point, "The load client was the bottleneck for b, which"));
	json_decref(point);
}

/* A few connections: each side waits for the other. */
static void test_nobody_saturated_is_nobodys_fault(void **state)
{
	json_t *point = make_loaded_point(0, 0.5, 0.6, 0.5);

	(void)state;
	T_EQUAL(summary_refresh(&comparison, point), 0);
	assert_load(point, "closed loop, servers not saturated (50 to 60 % busy)", "ahead", 0);
	/* one that waits for a processor has no time to spare */
	add_to_result(point, 0, "waiting", json_real(0.47));
	add_to_result(point, 1, "waiting", json_real(0.38));
	T_EQUAL(summary_refresh(&comparison, point), 0);
	assert_load(point,
		    "closed loop, servers saturated (50 to 60 % busy), the rest waiting to run",
		    "ahead", 0);
	json_decref(point);
}

static json_t *latencies(int p50, int p90, int p99, int max)
{
	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "count", 1000, "p50", p50, "p90", p90,
			 "p99", p99, "p999", max, "max", max);
}

static void test_a_client_that_polls_is_no_bottleneck(void **state)
{
	json_t *point = make_loaded_point(10000, 0.6, 0.7, 0.4);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		add_to_result(point, i, "latency_ns", latencies(30000, 40000, 90000, 900000));
		add_to_result(point, i, "load_lateness_ns", latencies(400, 900, 3000, 9000));
		add_to_result(point, i, "load_queued", json_real(0));
	}
	T_EQUAL(summary_refresh(&comparison, point), 0);
	assert_load(point, "open loop, 10000/s, servers (60 to 70 % busy)", "ahead", 0);
	json_decref(point);
}

static void test_a_client_that_is_late_says_from_where_on(void **state)
{
	json_t *point = make_loaded_point(10000, 0.6, 0.7, 0.4);

	(void)state;
	for (size_t i = 0; i < 2; i++)
		add_to_result(point, i, "latency_ns", latencies(30000, 40000, 90000, 900000));
	add_to_result(point, 0, "load_lateness_ns", latencies(400, 900, 3000, 9000));
	add_to_result(point, 1, "load_lateness_ns", latencies(400, 900, 50000, 200000));
	add_to_result(point, 1, "load_queued", json_real(0.2));
	add_to_result(point, 1, "requests_per_s", json_real(9000));
	T_EQUAL(summary_refresh(&comparison, point), 0);
	assert_load(point, "open loop, 10000/s, servers (60 to 70 % busy)", "late", 3);
	T_CHECK(has_note(point, "late (p99 by 50 us, at most by 200 us, with b): latencies from "
				"p99 on are partly its own."));
	T_CHECK(has_note(point, "The rate was not kept with b: "));
	T_CHECK(has_note(point, "no connection was free, with b: "));
	json_decref(point);
}

/* ---- user space and the kernel ---- */

static void test_the_split_is_that_of_all_rounds_or_none(void **state)
{
	json_t *point = make_loaded_point(0, 1, 1, 1), *figures;

	(void)state;
	add_to_result(point, 0, "user_ticks", json_real(2));
	add_to_result(point, 0, "system_ticks", json_real(18));
	add_to_result(point, 1, "user_ticks", json_real(1));
	add_to_result(point, 1, "system_ticks", json_real(10));
	T_EQUAL(summary_refresh(&comparison, point), 0);
	figures = json_object_get(result_at(point, 0), "figures");
	T_CHECK(fabs(number(json_object_get(figures, "cpu_user_ns"), "median") - 10) < 1e-9);
	T_CHECK(fabs(number(json_object_get(figures, "cpu_system_ns"), "median") - 90) < 1e-9);
	/* 99 ticks are too few */
	figures = json_object_get(result_at(point, 1), "figures");
	T_CHECK(json_is_null(json_object_get(figures, "cpu_user_ns")));
	T_CHECK(json_is_null(json_object_get(figures, "cpu_system_ns")));
	json_decref(point);
}

/* ---- recorded rounds ---- */

/* A point of `count` of the recorded rounds, in `starts` starts, as `fill` makes them. */
static json_t *point_of_recorded(unsigned count, unsigned starts, struct stats_random *random,
				 void (*fill)(json_t *point, const struct recorded *round,
					      struct stats_random *random))
{
	unsigned order[RECORDED_MAX];
	json_t *point = make_point();

	stats_random_order(random, order, recorded_count);
	for (unsigned i = 0; i < count; i++)
		fill(point, &recorded[order[i]], random);
	say_starts(point, starts);
	T_EQUAL(summary_refresh(&comparison, point), 0);
	return point;
}

static void fill_same(json_t *point, const struct recorded *round, struct stats_random *random)
{
	(void)random;
	add_round(point, round->base, round->same);
}

/* Which of the two is called which is chance, so in truth they are the same. */
static void fill_swapped(json_t *point, const struct recorded *round, struct stats_random *random)
{
	if (stats_random_below(random, 2))
		add_round(point, round->base, round->same);
	else
		add_round(point, round->same, round->base);
}

static void fill_slowed(json_t *point, const struct recorded *round, struct stats_random *random)
{
	(void)random;
	add_round(point, round->base, round->slowed);
}

struct calls {
	unsigned less, more;
};

/* What is called of `runs` runs of `rounds` rounds, each from a seed of its own. */
static struct calls count_calls(unsigned runs, unsigned rounds,
				void (*fill)(json_t *point, const struct recorded *round,
					     struct stats_random *random))
{
	struct calls calls = { .less = 0 };

	for (unsigned seed = 1; seed <= runs; seed++) {
		struct stats_random random = { .state = seed };
		json_t *point = point_of_recorded(rounds, rounds, &random, fill);

		calls.less += !strcmp(call_of(point), "less");
		calls.more += !strcmp(call_of(point), "more");
		json_decref(point);
	}
	return calls;
}

static void test_the_same_twice_is_not_called_different(void **state)
{
	struct stats_random random = { .state = 1 };
	json_t *point = point_of_recorded(recorded_count, recorded_count, &random, fill_same);

	(void)state;
	T_CHECK(!strcmp(call_of(point), "equal") || !strcmp(call_of(point), "undecided"));
	json_decref(point);
}

/* 1 in 20 at most: of 200, 10, and 3.5 deviations (11). */
static void test_false_calls_are_as_rare_as_promised(void **state)
{
	(void)state;
	for (unsigned rounds = 6; rounds <= 24; rounds *= 2) {
		struct calls calls = count_calls(200, rounds, fill_swapped);

		T_LESS(calls.less + calls.more, 22);
	}
}

static void test_a_slowed_engine_is_found_with_the_right_size(void **state)
{
	struct stats_random random = { .state = 1 };
	json_t *point = point_of_recorded(recorded_count, recorded_count, &random, fill_slowed);
	const json_t *found = comparison_of(point, "cpu_ns");
	double base = number(
		json_object_get(json_object_get(result_at(point, 0), "figures"), "cpu_ns"),
		"median");
	double added = (number(found, "ratio") - 1) * base;

	(void)state;
	T_CHECK(!strcmp(call_of(point), "more"));
	/* The busy loop looks at the clock, and overshoots by one look: some 50 ns. */
	if (added < 0.85 * SLOWED_BY_NS || added > 1.25 * SLOWED_BY_NS)
		fail_msg("%.0f ns were found, of %.0f", added, SLOWED_BY_NS);
	json_decref(point);
}

/* Fewer rounds than `ninja compare` has time for: nearly always found, never the wrong way. */
static void test_a_slowed_engine_is_found_in_a_short_run(void **state)
{
	struct calls calls = count_calls(100, 12, fill_slowed);

	(void)state;
	T_LESS(75, calls.more);
	T_EQUAL(calls.less, 0);
}

/* ---- a report of many points ---- */

static void fill_ten_percent(json_t *point, const struct recorded *round,
			     struct stats_random *random)
{
	bool swaps = stats_random_below(random, 2);

	add_round(point, swaps ? round->same : round->base,
		  (swaps ? round->base : round->same) * 1.1);
}

struct report_calls {
	unsigned wrong; /* less or more of what is the same, less of what costs more */
	unsigned right;
};

/* A report of `same` points that are the same, and of `different` others that cost 10 % more. */
static struct report_calls call_report(unsigned same, unsigned different, uint64_t seed)
{
	struct stats_random random = { .state = seed };
	json_t *result = json_pack("{s:[]}", "points"), *points, *point;
	struct report_calls calls = { 0 };
	size_t i;

	points = json_object_get(result, "points");
	for (unsigned n = 0; n < same + different; n++)
		json_array_append_new(
			points, point_of_recorded(SHORT_ROUNDS, SHORT_STARTS, &random,
						  n < same ? fill_swapped : fill_ten_percent));
	T_EQUAL(family_correct(result, comparison.confidence), 0);
	json_array_foreach (points, i, point) {
		bool is_less = !strcmp(call_of(point), "less");
		bool is_more = !strcmp(call_of(point), "more");

		calls.wrong += i < same ? is_less || is_more : is_less;
		calls.right += i >= same && is_more;
	}
	json_decref(result);
	return calls;
}

/* Twelve that are the same: one report in 20 at most calls any; of 100, 5 and 3.5 deviations. */
static void test_a_report_of_the_same_calls_nothing(void **state)
{
	unsigned wrong_reports = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 100; seed++)
		wrong_reports += call_report(12, 0, seed).wrong > 0;
	T_LESS(wrong_reports, 13);
}

/*
 * Six that are the same beside six that cost 10 % more, forty times over: of these most are found,
 * although others took most of the processor, and of what is called at most one in 20 is wrong.
 */
static void test_ten_percent_are_found_in_a_short_report(void **state)
{
	struct report_calls sum = { 0 };

	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct report_calls calls = call_report(6, 6, seed);

		sum.wrong += calls.wrong;
		sum.right += calls.right;
	}
	T_LESS(150, sum.right); /* of 240 */
	T_LESS(sum.wrong * 20, sum.wrong + sum.right);
}

/* What does not stand beside the others is undecided, and says what it would be alone. */
static void test_a_call_that_may_be_chance_does_not_stand(void **state)
{
	json_t *result = json_pack("{s:[]}", "points"), *point, *points;
	const json_t *found;

	(void)state;
	points = json_object_get(result, "points");
	for (unsigned n = 0; n < 20; n++) {
		point = make_point();
		/* the first: 9 of 9 to one side; the others to both */
		for (int i = 0; i < 9; i++)
			add_round(point, 100, n == 0 || i % 2 ? 110 + i : 90 - i);
		T_EQUAL(summary_refresh(&comparison, point), 0);
		json_array_append_new(points, point);
	}
	found = comparison_of(json_array_get(points, 0), "cpu_ns");
	assert_string_equal(json_string_value(json_object_get(found, "call")), "more");
	T_EQUAL(family_correct(result, 0.95), 0);
	assert_string_equal(json_string_value(json_object_get(found, "call")), "undecided");
	assert_string_equal(json_string_value(json_object_get(found, "call_alone")), "more");
	T_EQUAL(number(json_object_get(result, "calls"), "different"), 0);
	T_CHECK(number(json_object_get(result, "calls"), "different_alone") > 0);
	/* among few it does */
	while (json_array_size(points) > 2)
		json_array_remove(points, 2);
	T_EQUAL(family_correct(result, 0.95), 0);
	assert_string_equal(json_string_value(json_object_get(found, "call")), "more");
	json_decref(result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_figures_are_medians_and_null_where_unknown),
		cmocka_unit_test(test_nothing_is_claimed_of_who_failed),
		cmocka_unit_test(test_a_variant_is_compared_with_its_engines_default_too),
		cmocka_unit_test(test_too_few_starts_are_undecided),
		cmocka_unit_test(test_rounds_of_one_start_count_once),
		cmocka_unit_test(test_what_is_no_point_is_refused),
		cmocka_unit_test(test_what_stands_in_the_way_is_said),
		cmocka_unit_test(test_a_busy_client_of_saturated_servers_is_no_bottleneck),
		cmocka_unit_test(test_a_client_that_holds_one_server_back_is_its_bottleneck),
		cmocka_unit_test(test_nobody_saturated_is_nobodys_fault),
		cmocka_unit_test(test_a_client_that_polls_is_no_bottleneck),
		cmocka_unit_test(test_a_client_that_is_late_says_from_where_on),
		cmocka_unit_test(test_the_split_is_that_of_all_rounds_or_none),
		cmocka_unit_test(test_the_same_twice_is_not_called_different),
		cmocka_unit_test(test_false_calls_are_as_rare_as_promised),
		cmocka_unit_test(test_a_slowed_engine_is_found_with_the_right_size),
		cmocka_unit_test(test_a_slowed_engine_is_found_in_a_short_run),
		cmocka_unit_test(test_a_report_of_the_same_calls_nothing),
		cmocka_unit_test(test_ten_percent_are_found_in_a_short_report),
		cmocka_unit_test(test_a_call_that_may_be_chance_does_not_stand),
	};

	return cmocka_run_group_tests(tests, read_recorded, NULL);
}
