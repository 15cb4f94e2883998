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

#include "bench/compare/stats.h"
#include "bench/compare/summary.h"
#include "tests/support/t_core.h"

#define RECORDED "tests/unit/bench/compare/recorded_rounds.tsv"
#define RECORDED_MAX 200
#define SLOWED_BY_NS 1000.0

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
	return json_pack("{s:f, s:f, s:n}", "cpu_ns", cpu_ns, "requests_per_s", 1e9 / cpu_ns,
			 "syscalls");
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
	T_EQUAL(comparisons_of(point, "epoll", "other"), 2);
	T_EQUAL(comparisons_of(point, "epoll trigger=edge", "other"), 2);
	T_EQUAL(comparisons_of(point, "epoll trigger=edge", "epoll"), 2);
	T_EQUAL(json_array_size(json_object_get(point, "comparisons")), 6);
	json_decref(point);
}

static void test_too_few_rounds_are_undecided(void **state)
{
	json_t *point = make_point();

	(void)state;
	for (int i = 0; i < 5; i++)
		add_round(point, 100, 200);
	T_EQUAL(summary_refresh(&comparison, point), 0);
	T_CHECK(!strcmp(call_of(point), "undecided"));
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
	add_to_rounds(point, "load_busy", 0.99);
	add_to_rounds(point, "others", 0.3);
	add_to_rounds(point, "steal", 0.02);
	json_object_set_new(point, "discarded_rounds", json_integer(3));
	T_EQUAL(summary_refresh(&comparison, point), 0);
	T_CHECK(has_note(point, "The load client was the bottleneck (99 % busy)"));
	T_CHECK(has_note(point, "Other programs took 30 %"));
	T_CHECK(has_note(point, "The host took away up to 2.0 %"));
	T_CHECK(has_note(point, "3 rounds were dropped"));
	json_object_set_new(point, "reactors", json_integer(2));
	T_EQUAL(summary_refresh(&comparison, point), 0);
	T_CHECK(has_note(point, "The 2 reactors share 1 processor."));
	T_EQUAL(json_array_size(json_object_get(point, "notes")), 5);
	json_decref(point);
}

/* ---- recorded rounds ---- */

/* A point of `count` of the recorded rounds, as `fill` makes them. */
static json_t *point_of_recorded(unsigned count, struct stats_random *random,
				 void (*fill)(json_t *point, const struct recorded *round,
					      struct stats_random *random))
{
	unsigned order[RECORDED_MAX];
	json_t *point = make_point();

	stats_random_order(random, order, recorded_count);
	for (unsigned i = 0; i < count; i++)
		fill(point, &recorded[order[i]], random);
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
		json_t *point = point_of_recorded(rounds, &random, fill);

		calls.less += !strcmp(call_of(point), "less");
		calls.more += !strcmp(call_of(point), "more");
		json_decref(point);
	}
	return calls;
}

static void test_the_same_twice_is_not_called_different(void **state)
{
	struct stats_random random = { .state = 1 };
	json_t *point = point_of_recorded(recorded_count, &random, fill_same);

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
	json_t *point = point_of_recorded(recorded_count, &random, fill_slowed);
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

/* Twelve rounds, as many as `ninja compare` has time for: nearly always found, never the wrong way.
 */
static void test_a_slowed_engine_is_found_in_a_short_run(void **state)
{
	struct calls calls = count_calls(100, 12, fill_slowed);

	(void)state;
	T_LESS(75, calls.more);
	T_EQUAL(calls.less, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_figures_are_medians_and_null_where_unknown),
		cmocka_unit_test(test_nothing_is_claimed_of_who_failed),
		cmocka_unit_test(test_a_variant_is_compared_with_its_engines_default_too),
		cmocka_unit_test(test_too_few_rounds_are_undecided),
		cmocka_unit_test(test_what_is_no_point_is_refused),
		cmocka_unit_test(test_what_stands_in_the_way_is_said),
		cmocka_unit_test(test_the_same_twice_is_not_called_different),
		cmocka_unit_test(test_false_calls_are_as_rare_as_promised),
		cmocka_unit_test(test_a_slowed_engine_is_found_with_the_right_size),
		cmocka_unit_test(test_a_slowed_engine_is_found_in_a_short_run),
	};

	return cmocka_run_group_tests(tests, read_recorded, NULL);
}
