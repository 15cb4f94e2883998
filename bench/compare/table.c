/* SPDX-License-Identifier: MIT */
/* A result on the terminal; see table.h. */
#include <math.h>
#include <string.h>

#include "bench/compare/result.h"
#include "bench/compare/table.h"

/* Longer names push their line to the right. */
#define NAME_COLUMNS 24

static double member(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_number(value) ? json_number_value(value) : NAN;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static double median(const json_t *result, const char *figure)
{
	return member(json_object_get(json_object_get(result, "figures"), figure), "median");
}

/* A number in `columns`, or a dash where it is unknown. */
static void print_number(FILE *out, int columns, int digits, double value)
{
	if (isnan(value))
		fprintf(out, " %*s", columns, "-");
	else
		fprintf(out, " %*.*f", columns, digits, value);
}

/* Microseconds with three digits that count. */
static void print_us(FILE *out, int columns, double ns)
{
	print_number(out, columns, ns < 10000 ? 3 : ns < 100000 ? 2 : ns < 1e6 ? 1 : 0, ns / 1e3);
}

/* ---- head and foot ---- */

void table_print_head(const struct comparison *comparison)
{
	FILE *out = comparison->table;

	fprintf(out,
		"rota-compare: %u points, %u variants, rounds of %g s, seed %llu\n"
		"servers on CPU %s; load: rota-load on %s, CPU %s\n",
		comparison->plan.count, comparison->variants.count, comparison->round_seconds,
		(unsigned long long)comparison->seed, comparison->server_cpus.text,
		comparison->load_engines, comparison->load_cpus.text);
	if (cpus_overlap(&comparison->server_cpus, &comparison->load_cpus))
		fprintf(out, "note: servers and load share a processor: only large differences "
			     "will show\n");
	for (unsigned i = 0; i < comparison->variants.left_out_count; i++)
		fprintf(out, "left out: %s: %s\n", comparison->variants.left_out[i].name,
			comparison->variants.left_out[i].why);
}

static void print_words(FILE *out, const json_t *point)
{
	const json_t *words = json_object_get(point, "words"), *sentence;
	size_t i;

	if (json_array_size(words))
		fprintf(out, "\n%s\n", text_of(point, "title"));
	json_array_foreach (words, i, sentence)
		fprintf(out, "  %s\n", json_string_value(sentence));
}

static void print_calls(FILE *out, const struct comparison *comparison, const json_t *calls)
{
	double all = member(calls, "comparisons"), different = member(calls, "different");
	double fallen = member(calls, "different_alone") - different;

	if (!(all > 0))
		return;
	fprintf(out,
		"\n%.0f comparisons, %.0f called less or more: of those at most 1 in %.0f is "
		"chance",
		all, different, 1 / (1 - comparison->confidence));
	if (fallen > 0)
		fprintf(out,
			". %.0f more would be called alone and do%s not stand among so many: "
			"more starts (--starts, --seconds) tell",
			fallen, fallen > 1 ? "" : "es");
	fprintf(out, ". Intervals are each at %g %%.\n", comparison->confidence * 100);
}

void table_print_foot(const struct comparison *comparison, const json_t *result)
{
	const json_t *point, *sentence;
	FILE *out = comparison->table;
	size_t i;

	json_array_foreach (json_object_get(result, "points"), i, point)
		print_words(out, point);
	if (json_array_size(json_object_get(result, "verdict")))
		fputc('\n', out);
	json_array_foreach (json_object_get(result, "verdict"), i, sentence)
		fprintf(out, "%s\n", json_string_value(sentence));
	print_calls(out, comparison, json_object_get(result, "calls"));
}

/* ---- a point ---- */

static const json_t *find_comparison(const json_t *point, const json_t *variant, const char *figure)
{
	const json_t *comparison;
	size_t i;

	json_array_foreach (json_object_get(point, "comparisons"), i, comparison)
		if (json_equal(json_object_get(comparison, "variant"), variant) &&
		    json_equal(json_object_get(comparison, "reference"),
			       json_object_get(point, "reference")) &&
		    !strcmp(text_of(comparison, "figure"), figure))
			return comparison;
	return NULL;
}

static void print_comparison(const json_t *point, const json_t *result, FILE *out)
{
	const json_t *found = find_comparison(point, json_object_get(result, "variant"), "cpu_ns");

	if (found)
		fprintf(out, "  %.3f [%.3f, %.3f]", member(found, "ratio"), member(found, "low"),
			member(found, "high"));
	else if (!strcmp(text_of(result, "variant"), text_of(point, "reference")))
		fputs("  1", out);
}

static void print_result(const json_t *point, const json_t *result, FILE *out)
{
	fprintf(out, "  %-*s", NAME_COLUMNS, text_of(result, "variant"));
	if (!json_is_null(json_object_get(result, "failed"))) {
		fprintf(out, " failed: %s\n", text_of(result, "failed"));
		return;
	}
	print_us(out, 8, median(result, "cpu_ns"));
	print_us(out, 7, median(result, "cpu_user_ns"));
	print_us(out, 8, median(result, "cpu_system_ns"));
	print_number(out, 9, 0, median(result, "requests_per_s"));
	print_us(out, 8, median(result, "p50_ns"));
	print_us(out, 8, median(result, "p99_ns"));
	print_us(out, 8, median(result, "p999_ns"));
	print_number(out, 6, 2, median(result, "syscalls"));
	print_number(out, 7, 2, median(result, "switches"));
	print_number(out, 5, 0, median(result, "busy") * 100);
	print_number(out, 6, 1, median(result, "resident_bytes") / (1 << 20));
	print_comparison(point, result, out);
	fputc('\n', out);
}

/* Who was passed over in the middle has fewer. */
static const json_t *most_rounds(const json_t *results)
{
	const json_t *result, *most = NULL;
	size_t i;

	json_array_foreach (results, i, result) {
		const json_t *rounds = json_object_get(result, "rounds");

		most = json_array_size(rounds) > json_array_size(most) ? rounds : most;
	}
	return most;
}

static void print_title(const struct comparison *comparison, const json_t *point, FILE *out)
{
	const json_t *list = most_rounds(json_object_get(point, "results"));
	size_t rounds = json_array_size(list), starts = rounds_starts(list);

	fprintf(out, "\n%s (%zu round%s of %g s in %zu start%s; figures are per %s)\n",
		text_of(point, "title"), rounds, rounds == 1 ? "" : "s", comparison->round_seconds,
		starts, starts == 1 ? "" : "s", text_of(point, "unit"));
}

void table_print_point(const struct comparison *comparison, const json_t *point)
{
	FILE *out = comparison->table;
	const json_t *results = json_object_get(point, "results"), *item;
	size_t i;

	print_title(comparison, point, out);
	if (!json_is_null(json_object_get(point, "skipped")))
		fprintf(out, "  skipped: %s\n", text_of(point, "skipped"));
	if (json_array_size(results))
		fprintf(out, "  %-*s %8s %7s %8s %9s %8s %8s %8s %6s %7s %5s %6s  CPU against %s\n",
			NAME_COLUMNS, "", "CPU us", "user", "system", "per s", "p50 us", "p99",
			"p99.9", "calls", "switch", "busy%", "MiB", text_of(point, "reference"));
	json_array_foreach (results, i, item)
		print_result(point, item, out);
	if (json_is_object(json_object_get(point, "load")))
		fprintf(out, "  load: %s; rota-load on %s\n",
			text_of(json_object_get(point, "load"), "words"),
			text_of(point, "load_engine"));
	json_array_foreach (json_object_get(point, "notes"), i, item)
		fprintf(out, "  note: %s\n", json_string_value(item));
	fflush(out);
}
