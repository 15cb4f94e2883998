/* SPDX-License-Identifier: MIT */
/* From rounds to claims; see summary.h. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare/result.h"
#include "bench/compare/stats.h"
#include "bench/compare/strain.h"
#include "bench/compare/summary.h"

/* Ticks of all rounds of a variant that tell user space from the kernel to within some percent. */
#define TICKS_ENOUGH 100
/* What is worth a word: shares. */
#define STEAL_WORTH_A_WORD 0.01
#define OTHERS_WORTH_A_WORD 0.05

/* ---- figures of a round ---- */

static const struct {
	const char *name; /* in "figures" */
	const char *key;  /* in a round, or in that object of it */
	const char *in;
	bool is_compared;
} figures[] = {
	{ "cpu_ns", "cpu_ns", NULL, true },
	{ "requests_per_s", "requests_per_s", NULL, true },
	{ "syscalls", "syscalls", NULL, true },
	{ "completions_per_enter", "completions_per_enter", NULL, false },
	{ "switches", "switches", NULL, true },
	{ "resident_bytes", "resident_bytes", NULL, true },
	{ "steal", "steal", NULL, false },
	{ "busy", "busy", NULL, false },
	{ "waiting", "waiting", NULL, false },
	{ "load_busy", "load_busy", NULL, false },
	{ "load_working", "load_working", NULL, false },
	{ "load_waiting", "load_waiting", NULL, false },
	{ "load_queued", "load_queued", NULL, false },
	{ "load_late_p50_ns", "p50", "load_lateness_ns", false },
	{ "load_late_p90_ns", "p90", "load_lateness_ns", false },
	{ "load_late_p99_ns", "p99", "load_lateness_ns", false },
	{ "load_late_p999_ns", "p999", "load_lateness_ns", false },
	{ "load_late_max_ns", "max", "load_lateness_ns", false },
	{ "others", "others", NULL, false },
	{ "mean_ns", "mean", "latency_ns", false },
	{ "p50_ns", "p50", "latency_ns", true },
	{ "p90_ns", "p90", "latency_ns", false },
	{ "p99_ns", "p99", "latency_ns", true },
	{ "p999_ns", "p999", "latency_ns", true },
	{ "p9999_ns", "p9999", "latency_ns", false },
	{ "max_ns", "max", "latency_ns", false },
};

/* NAN where it is unknown, and for latencies of nothing. */
static double figure_of(const json_t *round, unsigned figure)
{
	const json_t *object = round, *value;

	if (figures[figure].in) {
		object = json_object_get(round, figures[figure].in);
		if (!(json_number_value(json_object_get(object, "count")) > 0))
			return NAN;
	}
	value = json_object_get(object, figures[figure].key);
	return json_is_number(value) ? json_number_value(value) : NAN;
}

/* ---- intervals ---- */

/*
 * Of each round, and then of each start: rounds of one process are not independent of each other.
 */
struct values {
	double *list;
	unsigned *starts; /* of which each is */
};

/*
 * Put the medians of starts in the place of the first `count` rounds' values; how many there are.
 */
static unsigned group_by_start(struct values *values, const json_t *rounds, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		values->starts[i] = round_start(rounds, i);
	return stats_group(values->list, values->starts, count);
}

static json_t *interval_json(const struct stats_interval *interval)
{
	return json_pack("{s:f, s:f, s:f}", "median", interval->median, "low", interval->low,
			 "high", interval->high);
}

/* null where not every round has it. */
static json_t *summarize_figure(const struct comparison *comparison, const json_t *rounds,
				unsigned figure, struct values *values)
{
	struct stats_interval interval;
	unsigned count;
	int status;

	for (unsigned i = 0; i < json_array_size(rounds); i++)
		values->list[i] = figure_of(json_array_get(rounds, i), figure);
	count = group_by_start(values, rounds, (unsigned)json_array_size(rounds));
	status = stats_interval(values->list, count, comparison->confidence, comparison->seed,
				&interval);
	if (status == -ENOMEM)
		return NULL;
	return status < 0 ? json_null() : interval_json(&interval);
}

/* All ticks of the rounds; NAN where one has none. */
static double sum_of(const json_t *rounds, const char *key)
{
	const json_t *round;
	double sum = 0;
	size_t i;

	json_array_foreach (rounds, i, round) {
		const json_t *value = json_object_get(round, key);

		sum += json_is_number(value) ? json_number_value(value) : NAN;
	}
	return sum;
}

/* That share of another figure, or null. */
static json_t *share_of(const json_t *figure, double share)
{
	struct stats_interval part = {
		.median = json_number_value(json_object_get(figure, "median")) * share,
		.low = json_number_value(json_object_get(figure, "low")) * share,
		.high = json_number_value(json_object_get(figure, "high")) * share,
	};

	return json_is_object(figure) && isfinite(share) ? interval_json(&part) : json_null();
}

/*
 * User space and the kernel, of the CPU's median: as the clock's ticks divide all rounds together,
 * because one has too few of them. null where even all are.
 */
static int add_split(const json_t *rounds, json_t *out)
{
	const json_t *cpu = json_object_get(out, "cpu_ns");
	double user = sum_of(rounds, "user_ticks"), system = sum_of(rounds, "system_ticks");
	bool is_enough = user + system >= TICKS_ENOUGH;
	double share = is_enough ? user / (user + system) : NAN;

	return json_object_set_new(out, "cpu_user_ns", share_of(cpu, share)) |
	       json_object_set_new(out, "cpu_system_ns", share_of(cpu, 1 - share));
}

static int summarize_result(const struct comparison *comparison, json_t *result,
			    struct values *values)
{
	const json_t *rounds = json_object_get(result, "rounds");
	json_t *out = json_object();
	int status = out ? 0 : -ENOMEM;

	for (unsigned i = 0; status == 0 && i < ROTA_ARRAY_COUNT(figures); i++)
		status = json_object_set_new(out, figures[i].name,
					     summarize_figure(comparison, rounds, i, values));
	if (status == 0)
		status = add_split(rounds, out);
	if (status) {
		json_decref(out);
		return -ENOMEM;
	}
	return json_object_set_new(result, "figures", out) ? -ENOMEM : 0;
}

/* ---- comparisons ---- */

/* Add how `result` compares to `reference` in one figure; nothing where one of them is unknown. */
static int compare_figure(const struct comparison *comparison, const json_t *result,
			  const json_t *reference, unsigned figure, struct values *values,
			  json_t *out)
{
	const json_t *mine = json_object_get(result, "rounds");
	const json_t *base = json_object_get(reference, "rounds");
	/* Who was passed over in the middle has the first rounds only. */
	unsigned count = (unsigned)rota_min_size(json_array_size(mine), json_array_size(base));
	struct stats_interval ratio;
	const char *call;
	double p = 1;
	int status;

	for (unsigned i = 0; i < count; i++)
		values->list[i] = figure_of(json_array_get(mine, i), figure) /
				  figure_of(json_array_get(base, i), figure);
	count = group_by_start(values, base, count);
	status = stats_interval(values->list, count, comparison->confidence, comparison->seed,
				&ratio);
	if (status == 0)
		status = stats_chance(values->list, count, &p);
	if (status < 0)
		return status == -EINVAL ? 0 : status;
	call = stats_call_name(stats_call(&ratio, comparison->margin));
	return json_array_append_new(
		       out, json_pack("{s:O, s:O, s:s, s:f, s:f, s:f, s:f, s:s, s:s}", "variant",
				      json_object_get(result, "variant"), "reference",
				      json_object_get(reference, "variant"), "figure",
				      figures[figure].name, "ratio", ratio.median, "low", ratio.low,
				      "high", ratio.high, "p", p, "call_alone", call, "call", call))
		       ? -ENOMEM
		       : 0;
}

static const json_t *find_result(const json_t *results, const char *variant)
{
	const json_t *result;
	size_t i;

	json_array_foreach (results, i, result)
		if (variant &&
		    !strcmp(json_string_value(json_object_get(result, "variant")), variant))
			return result;
	return NULL;
}

static int compare_with(const struct comparison *comparison, const json_t *result,
			const json_t *reference, struct values *values, json_t *out)
{
	int status = 0;

	if (!reference || result == reference ||
	    !json_is_null(json_object_get(reference, "failed")) ||
	    !json_is_null(json_object_get(result, "failed")))
		return 0; /* nothing to compare */
	for (unsigned i = 0; status == 0 && i < ROTA_ARRAY_COUNT(figures); i++)
		if (figures[i].is_compared)
			status = compare_figure(comparison, result, reference, i, values, out);
	return status;
}

/* The name of the same engine without options; NULL: it is that itself, or another server. */
static const char *default_of(const struct comparison *comparison, const char *name)
{
	const struct variants *variants = &comparison->variants;
	int index = name ? variants_find(variants, name) : -1;

	if (index < 0 || !variants->list[index].engine || !*variants->list[index].options)
		return NULL;
	for (unsigned i = 0; i < variants->count; i++)
		if (variants->list[i].engine && !*variants->list[i].options &&
		    !variants->list[i].slow_ns &&
		    !strcmp(variants->list[i].engine, variants->list[index].engine))
			return variants->list[i].name;
	return NULL;
}

/* Everybody with the reference; then options with their engine's default: what each is worth. */
static int compare_all(const struct comparison *comparison, json_t *point, struct values *values)
{
	const json_t *results = json_object_get(point, "results"), *result, *reference;
	json_t *out = json_array();
	int status = 0;
	size_t i;

	if (!out || json_object_set_new(point, "comparisons", out))
		return -ENOMEM;
	reference = find_result(results, json_string_value(json_object_get(point, "reference")));
	for (i = 0; status == 0 && i < json_array_size(results); i++)
		status = compare_with(comparison, json_array_get(results, i), reference, values,
				      out);
	for (i = 0; status == 0 && i < json_array_size(results); i++) {
		const json_t *base;

		result = json_array_get(results, i);
		base = find_result(
			results, default_of(comparison,
					    json_string_value(json_object_get(result, "variant"))));
		if (base != reference && result != reference)
			status = compare_with(comparison, result, base, values, out);
	}
	return status;
}

/* ---- what stands in the way ---- */

static double median_of(const json_t *result, const char *figure)
{
	const json_t *value = json_object_get(
		json_object_get(json_object_get(result, "figures"), figure), "median");

	return json_is_number(value) ? json_number_value(value) : NAN;
}

static ROTA_PRINTF(2, 3) int note(json_t *notes, const char *format, ...)
{
	va_list arguments;
	json_t *text;

	va_start(arguments, format);
	text = json_vsprintf(format, arguments);
	va_end(arguments);
	return json_array_append_new(notes, text) ? -ENOMEM : 0;
}

/* The most that stands in the way, over all results: shares. */
static double worst_of(const json_t *results, const char *figure)
{
	const json_t *result;
	double worst = 0;
	size_t i;

	json_array_foreach (results, i, result)
		if (json_is_null(json_object_get(result, "failed")))
			worst = fmax(worst, median_of(result, figure));
	return worst;
}

/* Of those that are compared all the same: which of their rounds failed. */
static int note_failed_rounds(const json_t *results, json_t *notes)
{
	const json_t *result;
	int status = 0;
	size_t i;

	json_array_foreach (results, i, result) {
		const char *why = json_string_value(json_object_get(result, "last_failure"));
		json_int_t failed = json_integer_value(json_object_get(result, "failed_rounds"));
		size_t kept = json_array_size(json_object_get(result, "rounds"));

		if (status < 0 || !why || !json_is_null(json_object_get(result, "failed")))
			continue;
		status = note(notes, "%s: %d round%s failed, %d count%s; %s.",
			      json_string_value(json_object_get(result, "variant")), (int)failed,
			      failed == 1 ? "" : "s", (int)kept, kept == 1 ? "s" : "", why);
	}
	return status;
}

/* What words.c takes from the figures alone is not said here. */
static int add_notes(const struct comparison *comparison, json_t *point)
{
	const json_t *results = json_object_get(point, "results");
	double others = worst_of(results, "others"), steal = worst_of(results, "steal");
	json_int_t discarded = json_integer_value(json_object_get(point, "discarded_rounds"));
	json_int_t reactors = json_integer_value(json_object_get(point, "reactors"));
	/* What has no clients has all processors. */
	json_int_t cpus = json_is_null(json_object_get(point, "connections"))
				  ? comparison->all_cpus.count
				  : comparison->server_cpus.count;
	json_t *notes = json_array();
	int status = 0;

	if (!notes || json_object_set_new(point, "notes", notes))
		return -ENOMEM;
	if (reactors > cpus)
		status = note(notes, "The %d reactors share %d processor%s.", (int)reactors,
			      (int)cpus, cpus == 1 ? "" : "s");
	if (status == 0)
		status = strain_judge(point, notes);
	if (status == 0 && others > OTHERS_WORTH_A_WORD)
		status = note(notes,
			      "Other programs took %.0f %% of the servers' processors: the machine "
			      "is not quiet.",
			      others * 100);
	if (status == 0 && steal > STEAL_WORTH_A_WORD)
		status = note(notes, "The host took away up to %.1f %% of the servers' processors.",
			      steal * 100);
	if (status == 0 && discarded)
		status = note(notes,
			      "%d round%s dropped because the host took away more than %.0f %%.",
			      (int)discarded, discarded == 1 ? " was" : "s were",
			      comparison->steal_max * 100);
	if (status == 0)
		status = note_failed_rounds(results, notes);
	return status;
}

/* ---- a point ---- */

int summary_refresh(const struct comparison *comparison, json_t *point)
{
	json_t *results = json_object_get(point, "results"), *result;
	size_t rounds_max = 1, i;
	struct values values;
	int status;

	if (!json_is_array(results))
		return -EINVAL;
	json_array_foreach (results, i, result)
		rounds_max = rota_max_size(rounds_max,
					   json_array_size(json_object_get(result, "rounds")));
	values.list = calloc(rounds_max, sizeof(*values.list));
	values.starts = calloc(rounds_max, sizeof(*values.starts));
	status = values.list && values.starts ? 0 : -ENOMEM;
	json_array_foreach (results, i, result)
		if (status == 0)
			status = summarize_result(comparison, result, &values);
	if (status == 0)
		status = compare_all(comparison, point, &values);
	if (status == 0)
		status = add_notes(comparison, point);
	free(values.list);
	free(values.starts);
	return status;
}

static json_t *latencies_json(const struct histogram *histogram)
{
	json_t *list = json_array();

	for (unsigned i = 0; list && i < HISTOGRAM_BUCKETS; i++)
		if (histogram->buckets[i] &&
		    json_array_append_new(list,
					  json_pack("[II]", (json_int_t)histogram_bucket_highest(i),
						    (json_int_t)histogram->buckets[i]))) {
			json_decref(list);
			return NULL;
		}
	return list;
}

static json_t *results_json(const struct contestant list[], unsigned count)
{
	json_t *results = json_array();

	for (unsigned i = 0; results && i < count; i++)
		if (json_array_append_new(
			    results,
			    json_pack("{s:s, s:o, s:i, s:s*, s:O, s:o}", "variant",
				      list[i].variant->name, "failed",
				      list[i].has_failed ? json_string(list[i].why) : json_null(),
				      "failed_rounds", (int)list[i].failed_rounds, "last_failure",
				      *list[i].why ? list[i].why : NULL, "rounds", list[i].rounds,
				      "histogram", latencies_json(&list[i].latencies)))) {
			json_decref(results);
			return NULL;
		}
	return results;
}

/* The one asked for, epoll, or the first that takes part. */
static const char *choose_reference(const struct comparison *comparison,
				    const struct contestant list[], unsigned count)
{
	const char *wanted = comparison->reference ? comparison->reference : "epoll";

	for (unsigned i = 0; i < count; i++)
		if (!strcmp(list[i].variant->name, wanted))
			return wanted;
	return count ? list[0].variant->name : "";
}

static const char *why_skipped(const struct contestant list[], unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (!list[i].has_failed)
			return NULL;
	return count ? "Every server failed." : "No server takes part in this workload.";
}

json_t *summary_of_point(const struct comparison *comparison, const struct point *point,
			 const struct contestant list[], unsigned count, unsigned discarded)
{
	json_t *out = point_describe(point);
	int status = 0;

	if (!out)
		return NULL;
	status |= json_object_set_new(out, "reference",
				      json_string(choose_reference(comparison, list, count)));
	status |= json_object_set_new(
		out, "skipped",
		why_skipped(list, count) ? json_string(why_skipped(list, count)) : json_null());
	status |= json_object_set_new(out, "load_engine",
				      point->load_backend ? json_string(point->load_backend)
							  : json_null());
	status |= json_object_set_new(out, "discarded_rounds", json_integer(discarded));
	status |= json_object_set_new(out, "results", results_json(list, count));
	status |= json_object_set_new(out, "words", json_array());
	if (status || summary_refresh(comparison, out) < 0) {
		json_decref(out);
		return NULL;
	}
	return out;
}
