/* SPDX-License-Identifier: MIT */
/*
 * The verdict: which engine for which load on this machine, by CPU per request first, because a
 * closed loop's throughput says as much of the client; p99 is told beside it.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include <rota/base.h>

#include "bench/compare/phrase.h"
#include "bench/compare/words.h"

#define WORKLOADS_MAX 32

enum call { CALL_LESS, CALL_MORE, CALL_EQUAL, CALL_UNDECIDED, CALL_COUNT };

static const char *const call_names[CALL_COUNT] = { "less", "more", "equal", "undecided" };

/* What the points of one workload say of one engine's default against the reference. */
struct workload {
	const char *name;
	char title[FAMILY_BYTES];
	const char *unit;
	const json_t *variant;
	const json_t *reference;
	unsigned counts[CALL_COUNT];
	unsigned would_be; /* undecided, but not by themselves */
	unsigned p99_counts[CALL_COUNT];
	struct {
		double low, high;
	} change; /* the extreme ratios of those that differ */
};

/* CALL_COUNT when they were not compared. */
static enum call call_of(const json_t *comparison)
{
	const char *name = result_text(comparison, "call");
	unsigned i = 0;

	while (i < CALL_COUNT && strcmp(name, call_names[i]) != 0)
		i++;
	return (enum call)i;
}

static const json_t *compare_point(const json_t *point, const struct workload *workload,
				   const char *figure)
{
	return point_comparison(point, result_text(workload->variant, "name"),
				result_text(workload->reference, "name"), figure);
}

/* The first of the engines' variants that was compared with the reference, or NULL. */
static const json_t *find_compared(const json_t *result, const json_t *point, bool with_options)
{
	const json_t *variant;
	size_t i;

	json_array_foreach (json_object_get(result, "variants"), i, variant)
		if (!variant_is_guest(variant) && (with_options || variant_is_default(variant)) &&
		    point_comparison(point, result_text(variant, "name"),
				     result_text(point, "reference"), "cpu_ns"))
			return variant;
	return NULL;
}

/*
 * Take in a point; the first one that was measured decides who is compared: another engine, or if
 * there is none, other options.
 */
static void take_point(const json_t *result, const json_t *point, struct workload *workload)
{
	const json_t *comparison;
	struct interval ratio;
	enum call call;

	if (!workload->variant) {
		workload->reference = result_variant(result, result_text(point, "reference"));
		workload->variant = find_compared(result, point, false);
		if (!workload->variant)
			workload->variant = find_compared(result, point, true);
		if (!workload->variant)
			return;
	}
	comparison = compare_point(point, workload, "cpu_ns");
	call = call_of(comparison);
	if (call == CALL_COUNT || !result_interval(comparison, "ratio", &ratio))
		return;
	workload->counts[call]++;
	workload->would_be += call == CALL_UNDECIDED && *result_text(comparison, "call_alone") &&
			      strcmp(result_text(comparison, "call_alone"), "undecided") != 0;
	if (call == CALL_LESS || call == CALL_MORE) {
		bool first = workload->counts[CALL_LESS] + workload->counts[CALL_MORE] == 1;

		workload->change.low = first ? ratio.middle
					     : fmin(workload->change.low, ratio.middle);
		workload->change.high = first ? ratio.middle
					      : fmax(workload->change.high, ratio.middle);
	}
	call = call_of(compare_point(point, workload, "p99_ns"));
	if (call < CALL_COUNT)
		workload->p99_counts[call]++;
}

static unsigned compared(const struct workload *workload)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < CALL_COUNT; i++)
		sum += workload->counts[i];
	return sum;
}

/* ---- a workload's sentence ---- */

static void say_p99(FILE *to, const struct workload *workload)
{
	static const char *const words[CALL_COUNT] = { "lower", "higher", "equal", "undecided" };
	size_t kinds = 0, said = 0;

	for (unsigned i = 0; i < CALL_COUNT; i++)
		kinds += workload->p99_counts[i] > 0;
	if (!kinds)
		return;
	fputs("; p99 ", to);
	for (unsigned i = 0; i < CALL_COUNT; i++) {
		if (!workload->p99_counts[i])
			continue;
		fprintf(to, "%s%s", phrase_comma(said++, kinds), words[i]);
		if (kinds > 1)
			fprintf(to, " in %u", workload->p99_counts[i]);
	}
}

/* "with 64 connections, depth 1 (11 %)": the loads of one call. */
static void say_loads(FILE *to, const json_t *result, const struct workload *workload,
		      enum call call)
{
	const json_t *point;
	struct interval ratio;
	size_t i, said = 0;

	json_array_foreach (json_object_get(result, "points"), i, point) {
		const json_t *comparison = compare_point(point, workload, "cpu_ns");

		if (strcmp(result_text(point, "workload"), workload->name) != 0 ||
		    call_of(comparison) != call)
			continue;
		fprintf(to, "%s%s", said++ ? "; with " : "with ", point_load(point));
		if ((call == CALL_LESS || call == CALL_MORE) &&
		    result_interval(comparison, "ratio", &ratio)) {
			fputs(" (", to);
			phrase_change(to, ratio.middle, "less", "more");
			putc(')', to);
		}
	}
}

static void say_mixed(FILE *to, const json_t *result, const struct workload *workload)
{
	static const char *const heads[CALL_COUNT] = {
		"less CPU ",
		"more ",
		"the same ",
		"undecided ",
	};
	bool first = true;

	fprintf(to, "it depends on the load. %s against %s: ", variant_title(workload->variant),
		variant_title(workload->reference));
	for (unsigned i = 0; i < CALL_COUNT; i++) {
		if (!workload->counts[i])
			continue;
		fprintf(to, "%s%s", first ? "" : ", ", heads[i]);
		say_loads(to, result, workload, (enum call)i);
		first = false;
	}
}

/* The range of differences, and in how many loads. */
static void say_one_way(FILE *to, const json_t *result, const struct workload *workload,
			enum call call)
{
	unsigned all = compared(workload);
	bool is_times = phrase_is_times(workload->change.low) ||
			phrase_is_times(workload->change.high);

	fprintf(to, "%s uses ", variant_title(workload->variant));
	if (workload->change.high - workload->change.low < 0.01) {
		phrase_change(to, workload->change.low, "less", "more");
	} else {
		phrase_range(to, workload->change.low, workload->change.high, "less", "more");
		if (is_times)
			fputs(" as much", to);
		else
			fputs(call == CALL_LESS ? " less" : " more", to);
	}
	fprintf(to, " CPU per %s %s %s", workload->unit, is_times ? "as" : "than",
		variant_title(workload->reference));
	if (all > workload->counts[call]) {
		fprintf(to, " in %u of %u loads", workload->counts[call], all);
		for (unsigned i = CALL_EQUAL; i < CALL_COUNT; i++) {
			if (!workload->counts[i])
				continue;
			fprintf(to, ", %s ", i == CALL_EQUAL ? "the same" : "undecided");
			say_loads(to, result, workload, (enum call)i);
		}
	} else if (all > 1) {
		fprintf(to, " in all %u loads", all);
	}
}

/* A workload of which nobody was compared: what was measured all the same. */
static void say_figures(FILE *to, const json_t *result, const struct workload *workload)
{
	const json_t *point, *of_variant;
	struct interval cpu, p99;
	size_t said = 0, i, j;

	json_array_foreach (json_object_get(result, "points"), i, point) {
		if (strcmp(result_text(point, "workload"), workload->name) != 0)
			continue;
		json_array_foreach (json_object_get(point, "results"), j, of_variant) {
			const char *name = result_text(of_variant, "variant");
			const json_t *variant = result_variant(result, name);

			if (!result_figure(point_result(point, name), "cpu_ns", &cpu))
				continue;
			fprintf(to, "%s%s uses %.3g us of CPU per %s with %s",
				said++ ? "; " : "nobody to compare with. ",
				variant ? variant_title(variant) : name, cpu.middle / 1e3,
				workload->unit, point_load(point));
			if (result_figure(of_variant, "p99_ns", &p99))
				fprintf(to, " (p99 %.3g us)", p99.middle / 1e3);
		}
	}
	fputs(said ? "." : "nothing was measured.", to);
}

/* ", with servers saturated in a closed loop": what all its loads have in common, or how many. */
static void say_under(FILE *to, const json_t *result, const struct workload *workload)
{
	unsigned all = 0, open = 0, saturated = 0, held_back = 0, late = 0;
	const json_t *point;
	size_t i;

	json_array_foreach (json_object_get(result, "points"), i, point) {
		const json_t *load = json_object_get(point, "load");

		if (strcmp(result_text(point, "workload"), workload->name) != 0 ||
		    !json_is_object(load))
			continue;
		all++;
		open += !strcmp(result_text(load, "loop"), "open");
		saturated += !strcmp(result_text(load, "loop"), "closed") &&
			     !strcmp(result_text(load, "servers"), "saturated");
		held_back += !strcmp(result_text(load, "client"), "bottleneck");
		late += !strcmp(result_text(load, "client"), "late");
	}
	if (!all)
		return;
	fputs(" Measured ", to);
	if (open == all)
		fputs("at a fixed rate", to);
	else if (saturated == all - open)
		fputs("with servers saturated in a closed loop", to);
	else if (saturated)
		fprintf(to, "in closed loops, with servers saturated in %u of %u", saturated,
			all - open);
	else
		fputs("in a closed loop, with servers that were not saturated", to);
	if (open && open < all)
		fprintf(to, ", and at a fixed rate in %u of %u", open, all);
	if (held_back)
		fputs("; the load client was a bottleneck", to);
	if (late)
		fputs("; the client itself was late, so p99 is in part its own", to);
	putc('.', to);
}

static void say_workload(FILE *to, const json_t *result, const struct workload *workload)
{
	fprintf(to, "%s: ", workload->title);
	if (!workload->variant || !compared(workload)) {
		say_figures(to, result, workload);
		return;
	}
	if (workload->counts[CALL_LESS] && workload->counts[CALL_MORE]) {
		say_mixed(to, result, workload);
	} else if (workload->counts[CALL_LESS] || workload->counts[CALL_MORE]) {
		say_one_way(to, result, workload,
			    workload->counts[CALL_LESS] ? CALL_LESS : CALL_MORE);
	} else if (workload->counts[CALL_EQUAL]) {
		fprintf(to, "%s and %s use the same CPU per request",
			variant_title(workload->variant), variant_title(workload->reference));
		if (workload->counts[CALL_UNDECIDED])
			fprintf(to, " where that could be decided (%u of %u loads)",
				workload->counts[CALL_EQUAL], compared(workload));
	} else {
		fprintf(to, "undecided, any difference between %s and %s is small, or %s",
			variant_title(workload->variant), variant_title(workload->reference),
			workload->would_be ? "needs more starts, beside so many comparisons"
					   : "hidden by the noise of this run");
	}
	say_p99(to, workload);
	putc('.', to);
	say_under(to, result, workload);
}

/* ---- the machine's sentence ---- */

enum choice {
	CHOOSE_VARIANT,
	CHOOSE_REFERENCE,
	CHOOSE_BY_LOAD,
	CHOOSE_EITHER,
	CHOOSE_NONE,
	CHOICES
};

static enum choice choose(const struct workload *workload)
{
	if (!workload->variant || !compared(workload))
		return CHOICES;
	if (workload->counts[CALL_LESS] && workload->counts[CALL_MORE])
		return CHOOSE_BY_LOAD;
	if (workload->counts[CALL_LESS])
		return CHOOSE_VARIANT;
	if (workload->counts[CALL_MORE])
		return CHOOSE_REFERENCE;
	return workload->counts[CALL_EQUAL] ? CHOOSE_EITHER : CHOOSE_NONE;
}

static void say_choice(FILE *to, enum choice choice, const struct workload *workload)
{
	switch (choice) {
	case CHOOSE_VARIANT:
		fprintf(to, "%s for ", variant_title(workload->variant));
		break;
	case CHOOSE_REFERENCE:
		fprintf(to, "%s for ", variant_title(workload->reference));
		break;
	case CHOOSE_BY_LOAD:
		fputs("one or the other, by the load, for ", to);
		break;
	case CHOOSE_EITHER:
		fputs("either for ", to);
		break;
	case CHOOSE_NONE:
	case CHOICES:
		fputs("undecided for ", to);
	}
}

/* More loads than not say nothing, and the choice is made from the others. */
static bool is_mostly_undecided(const struct workload *workload, unsigned choice)
{
	return choice != CHOOSE_NONE && workload->counts[CALL_UNDECIDED] * 2 > compared(workload);
}

static void say_choices(FILE *to, const struct workload *workloads, size_t count)
{
	bool said = false;

	for (unsigned choice = 0; choice < CHOICES; choice++) {
		size_t chosen = 0, named = 0;

		for (size_t i = 0; i < count; i++)
			chosen += choose(&workloads[i]) == choice;
		if (!chosen)
			continue;
		fputs(said ? "; " : "By CPU time, on this machine: ", to);
		said = true;
		for (size_t i = 0; i < count; i++) {
			if (choose(&workloads[i]) != choice)
				continue;
			if (!named)
				say_choice(to, (enum choice)choice, &workloads[i]);
			fprintf(to, "%s%s%s", phrase_comma(named++, chosen), workloads[i].title,
				is_mostly_undecided(&workloads[i], choice) ? " (mostly undecided)"
									   : "");
		}
	}
	if (said)
		putc('.', to);
}

static void say_unusable(FILE *to, const json_t *result)
{
	const json_t *engine;
	const char *before = "";
	size_t i;

	json_array_foreach (json_object_get(result, "engines"), i, engine) {
		const char *name = result_text(engine, "name");

		if (!json_is_false(json_object_get(engine, "usable")))
			continue;
		fprintf(to, "%s%s cannot be used here: %s.", before,
			strcmp(name, "uring") ? name : "io_uring", result_text(engine, "why_not"));
		before = " ";
	}
	if (*before)
		fputs(" What follows compares what there is.", to);
}

/* ---- together ---- */

static size_t gather(const json_t *result, struct workload workloads[WORKLOADS_MAX])
{
	const json_t *point;
	size_t count = 0, i, j;

	json_array_foreach (json_object_get(result, "points"), i, point) {
		const char *name = result_text(point, "workload");

		for (j = 0; j < count && strcmp(workloads[j].name, name) != 0; j++)
			;
		if (j == WORKLOADS_MAX)
			continue;
		if (j == count) {
			workloads[count] = (struct workload){ .name = name,
							      .unit = point_unit(point) };
			point_family(point, workloads[count++].title);
		}
		take_point(result, point, &workloads[j]);
	}
	return count;
}

int verdict_add(const json_t *result, json_t *sentences)
{
	struct workload workloads[WORKLOADS_MAX];
	size_t count = gather(result, workloads);
	struct phrase phrase;

	if (phrase_begin(&phrase) < 0)
		return -ENOMEM;
	say_unusable(phrase.to, result);
	if (phrase_end(&phrase, sentences) < 0 || phrase_begin(&phrase) < 0)
		return -ENOMEM;
	say_choices(phrase.to, workloads, count);
	if (phrase_end(&phrase, sentences) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (phrase_begin(&phrase) < 0)
			return -ENOMEM;
		say_workload(phrase.to, result, &workloads[i]);
		if (phrase_end(&phrase, sentences) < 0)
			return -ENOMEM;
	}
	return 0;
}
