/* SPDX-License-Identifier: MIT */
/*
 * A point's words: who needs less, what that comes from, what would be better still, and what to
 * think of the measurement.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <rota/base.h>

#include "bench/compare/phrase.h"
#include "bench/compare/words.h"

#define STEAL_NOTED 0.05  /* of the CPU's time, taken by the host */
#define SPREAD_NOTED 0.05 /* of the median: an interval this wide hides what people look for */
#define STARTS_FEW 9
#define CAUSES_MAX 16

/* Options that take away something the engine does by default, and what that is. */
static const struct {
	const char *option, *feature;
} features[] = {
	{ "multishot=off", "multishot accept and receive" },
	{ "registered-ring=off", "the registered ring" },
	{ "taskrun=coop", "deferred task work" },
	{ "taskrun=none", "task work that does not interrupt" },
	{ "try-first=off", "trying to send before waiting" },
};

/* A point, and what is being compared there. */
struct subject {
	const json_t *result;
	const json_t *point;
	const json_t *variant;   /* from result.variants */
	const json_t *reference; /* the same */
	const json_t *cpu;       /* the comparison by CPU, never NULL */
};

static int point_words(const json_t *result, const json_t *point, json_t *words);

int words_add(json_t *result)
{
	json_t *points = json_object_get(result, "points"), *point, *sentences;
	int status = 0;
	size_t i;

	if (!json_is_array(points))
		return -EINVAL;
	json_array_foreach (points, i, point) {
		if (!json_is_object(point))
			return -EINVAL;
		sentences = json_array();
		status = point_words(result, point, sentences);
		if (json_object_set_new(point, "words", sentences) < 0 || status < 0)
			return -ENOMEM;
	}
	sentences = json_array();
	status = verdict_add(result, sentences);
	return json_object_set_new(result, "verdict", sentences) < 0 ? -ENOMEM : status;
}

static const char *call_of(const json_t *comparison)
{
	return comparison ? result_text(comparison, "call") : "";
}

static bool is_called(const json_t *comparison, const char *call)
{
	return !strcmp(call_of(comparison), call);
}

/* Undecided only beside the other comparisons of the report. */
static bool is_called_alone(const json_t *comparison)
{
	const char *alone = result_text(comparison, "call_alone");

	return *alone && strcmp(alone, call_of(comparison)) != 0;
}

static const char *name_of(const json_t *variant)
{
	return result_text(variant, "name");
}

/* ---- who needs less ---- */

/* An interval with its direction, also where it has only one. */
static void say_range(FILE *to, const struct interval *ratio, const char *less, const char *more)
{
	phrase_range(to, ratio->low, ratio->high, less, more);
	if (phrase_is_times(ratio->low) || phrase_is_times(ratio->high))
		fprintf(to, " as %s", strcmp(more, "higher") ? "much" : "high");
	else if ((ratio->low < 1) == (ratio->high < 1))
		fprintf(to, " %s", ratio->low < 1 ? less : more);
}

static void say_cpu(FILE *to, const struct subject *subject)
{
	const char *title = variant_title(subject->variant);
	const char *other = variant_title(subject->reference);
	const char *unit = point_unit(subject->point);
	struct interval ratio;
	double edge;

	if (!result_interval(subject->cpu, "ratio", &ratio)) {
		fprintf(to, "CPU per %s of %s and %s could not be compared", unit, title, other);
	} else if (is_called(subject->cpu, "equal")) {
		edge = fmax(fabs(ratio.low - 1), fabs(ratio.high - 1)) * 100;
		fprintf(to, "%s and %s use the same CPU per %s, to within %.0f %%", title, other,
			unit, ceil(edge - 0.001));
	} else if (is_called(subject->cpu, "undecided")) {
		fprintf(to, "Whether %s or %s uses less CPU per %s is undecided: %s uses ", title,
			other, unit, title);
		say_range(to, &ratio, "less", "more");
	} else {
		fprintf(to, "%s uses ", title);
		phrase_change(to, ratio.middle, "less", "more");
		fprintf(to, " CPU per %s %s %s (", unit,
			phrase_is_times(ratio.middle) ? "as" : "than", other);
		phrase_range(to, ratio.low, ratio.high, "less", "more");
		putc(')', to);
	}
}

/* ", p99 equal": what `figure` adds, when it was compared. */
static void say_also(FILE *to, const struct subject *subject, const char *figure, const char *name,
		     const char *less, const char *more)
{
	const json_t *comparison = point_comparison(subject->point, name_of(subject->variant),
						    name_of(subject->reference), figure);
	struct interval ratio;

	if (!result_interval(comparison, "ratio", &ratio))
		return;
	fprintf(to, ", %s ", name);
	if (is_called(comparison, "equal")) {
		fputs("equal", to);
	} else if (is_called(comparison, "undecided")) {
		fputs("undecided (", to);
		say_range(to, &ratio, less, more);
		putc(')', to);
	} else {
		phrase_change(to, ratio.middle, less, more);
		fputs(" (", to);
		phrase_range(to, ratio.low, ratio.high, less, more);
		putc(')', to);
	}
}

/* ---- why nothing can be said ---- */

static double largest_median(const struct subject *subject, const char *key)
{
	double of_variant = 0, of_reference = 0;

	rounds_median(point_result(subject->point, name_of(subject->variant)), key, &of_variant);
	rounds_median(point_result(subject->point, name_of(subject->reference)), key,
		      &of_reference);
	return fmax(of_variant, of_reference);
}

static double spread_of(const struct subject *subject, const json_t *variant)
{
	struct interval figure;

	if (!result_figure(point_result(subject->point, name_of(variant)), "cpu_ns", &figure) ||
	    figure.middle <= 0)
		return 0;
	return (figure.high - figure.low) / 2 / figure.middle;
}

static size_t starts_of(const struct subject *subject)
{
	return rounds_starts(
		json_object_get(point_result(subject->point, name_of(subject->variant)), "rounds"));
}

static void say_why_undecided(FILE *to, const struct subject *subject)
{
	double steal = largest_median(subject, "steal");
	double spread = fmax(spread_of(subject, subject->variant),
			     spread_of(subject, subject->reference));
	size_t starts = starts_of(subject);
	const char *before = " Because ";
	struct interval ratio;

	if (is_called_alone(subject->cpu)) {
		fputs(" Seen alone, CPU would be called different; among so many "
		      "comparisons it may be chance.",
		      to);
		return;
	}
	if (result_interval(subject->cpu, "ratio", &ratio) && (ratio.low > 1 || ratio.high < 1)) {
		fputs(" There is a difference, but so near the margin it is called neither that "
		      "nor equal.",
		      to);
		return;
	}
	if (steal >= STEAL_NOTED) {
		fprintf(to, "%sthe host took %.0f %% of the processor's time (steal)", before,
			steal * 100);
		before = ", ";
	}
	if (spread >= SPREAD_NOTED) {
		fprintf(to, "%sthe rounds differ (a median is known to ±%.0f %%)", before,
			spread * 100);
		before = ", ";
	}
	if (starts && starts < STARTS_FEW) {
		fprintf(to, "%s%zu starts are few", before, starts);
		before = ", ";
	}
	if (*before == ',')
		putc('.', to);
	else
		fprintf(to, " A difference, if there is one, is too small for %zu starts.", starts);
}

/* ---- what it comes from ---- */

struct cause {
	const json_t *variant;
	const char *feature;
	struct interval ratio; /* to the default */
};

static const char *feature_without(const json_t *variant)
{
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(features); i++)
		if (!strcmp(result_text(variant, "options"), features[i].option))
			return features[i].feature;
	return NULL;
}

static bool is_sibling(const json_t *variant, const json_t *of)
{
	return variant != of && !variant_is_guest(variant) &&
	       !strcmp(result_text(variant, "engine"), result_text(of, "engine"));
}

/* The costliest to lose first. */
static int compare_causes(const void *left, const void *right)
{
	const struct cause *a = left, *b = right;

	return (a->ratio.middle < b->ratio.middle) - (a->ratio.middle > b->ratio.middle);
}

/*
 * The variants of the subject's engine whose comparison with its default was called `call`, those
 * which take a feature away or (`takes_away` false) the others. Returns how many; `*seen` says how
 * many were compared at all.
 */
static size_t find_siblings(const struct subject *subject, bool takes_away, const char *call,
			    struct cause causes[CAUSES_MAX], size_t *seen)
{
	const json_t *variant;
	size_t count = 0, i;

	*seen = 0;
	json_array_foreach (json_object_get(subject->result, "variants"), i, variant) {
		const json_t *comparison = point_comparison(subject->point, name_of(variant),
							    name_of(subject->variant), "cpu_ns");
		struct cause cause = { .variant = variant, .feature = feature_without(variant) };

		if (!is_sibling(variant, subject->variant) || !!cause.feature != takes_away ||
		    !result_interval(comparison, "ratio", &cause.ratio))
			continue;
		*seen += 1;
		if (is_called(comparison, call) && count < CAUSES_MAX)
			causes[count++] = cause;
	}
	qsort(causes, count, sizeof(*causes), compare_causes);
	return count;
}

/*
 * A share of what separates the default from the reference; of a ratio `r` to it that is 1/r - 1.
 */
static double share_of(double cause_ratio, double subject_ratio)
{
	double share = (cause_ratio - 1) / (1 / subject_ratio - 1);

	return fmin(fmax(share, 0), 1) * 100;
}

static void say_cause(FILE *to, const struct cause *cause, const struct interval *subject)
{
	fprintf(to, "%s (with %s it uses ", cause->feature, result_text(cause->variant, "options"));
	phrase_change(to, cause->ratio.middle, "less", "more");
	fputs(" CPU, ", to);
	phrase_range(to, cause->ratio.low, cause->ratio.high, "less", "more");
	/* The widest the two intervals allow. */
	fprintf(to, "; %.0f %% of the difference, %.0f to %.0f %%)",
		share_of(cause->ratio.middle, subject->middle),
		share_of(cause->ratio.low, subject->low),
		share_of(cause->ratio.high, subject->high));
}

static void say_causes(FILE *to, const struct subject *subject)
{
	struct cause causes[CAUSES_MAX];
	struct interval ratio;
	size_t seen, undecided_seen;
	size_t count = find_siblings(subject, true, "more", causes, &seen);
	const char *title = variant_title(subject->variant);

	if (!result_interval(subject->cpu, "ratio", &ratio))
		return;
	if (!seen) {
		fputs("What that comes from was not measured here.", to);
		return;
	}
	if (count) {
		fputs(count > 1 ? "It comes from, the largest first, " : "It comes from ", to);
		for (size_t i = 0; i < count; i++) {
			fputs(phrase_comma(i, count), to);
			say_cause(to, &causes[i], &ratio);
		}
		putc('.', to);
		return;
	}
	count = find_siblings(subject, true, "undecided", causes, &undecided_seen);
	fputs("It comes from none of what was switched off", to);
	if (count) {
		fputs(", as far as these rounds can tell: undecided are ", to);
		for (size_t i = 0; i < count; i++)
			fprintf(to, "%s%s", phrase_comma(i, count), causes[i].feature);
		putc('.', to);
	} else {
		fprintf(to, ": %s costs the same without.", title);
	}
}

static void say_better_settings(FILE *to, const struct subject *subject)
{
	struct cause better[CAUSES_MAX];
	size_t seen, taking_away, count;

	count = find_siblings(subject, false, "less", better, &seen);
	if (count < CAUSES_MAX) {
		struct cause more[CAUSES_MAX];
		size_t others = find_siblings(subject, true, "less", more, &taking_away);

		for (size_t i = 0; i < others && count < CAUSES_MAX; i++)
			better[count++] = more[i];
	}
	for (size_t i = 0; i < count; i++) {
		fprintf(to, "%s%s uses ",
			i ? "; " : "Better here than the default: ", name_of(better[i].variant));
		phrase_change(to, better[i].ratio.middle, "less", "more");
		fputs(" CPU (", to);
		phrase_range(to, better[i].ratio.low, better[i].ratio.high, "less", "more");
		putc(')', to);
	}
	if (count)
		putc('.', to);
}

/* ---- the measurement itself ---- */

static int decimals(double number)
{
	return number >= 10 ? 0 : number >= 1 ? 1 : number >= 0.1 ? 2 : 3;
}

static void say_calls(FILE *to, const struct subject *subject)
{
	double of_variant, of_reference;

	if (!rounds_median(point_result(subject->point, name_of(subject->variant)), "syscalls",
			   &of_variant) ||
	    !rounds_median(point_result(subject->point, name_of(subject->reference)), "syscalls",
			   &of_reference))
		return;
	fprintf(to, "System calls per %s: %s %.*f, %s %.*f.", point_unit(subject->point),
		variant_title(subject->variant), decimals(of_variant), of_variant,
		variant_title(subject->reference), decimals(of_reference), of_reference);
}

static bool is_closed_loop(const json_t *point)
{
	double rate;

	return !result_number(point, "rate", &rate) || rate <= 0;
}

/* ---- together ---- */

typedef void (*say_fn)(FILE *to, const struct subject *subject);

static int add(json_t *words, say_fn say, const struct subject *subject)
{
	struct phrase phrase;

	if (phrase_begin(&phrase) < 0)
		return -ENOMEM;
	say(phrase.to, subject);
	return phrase_end(&phrase, words);
}

static void say_comparison(FILE *to, const struct subject *subject)
{
	say_cpu(to, subject);
	say_also(to, subject, "p99_ns", "p99", "lower", "higher");
	if (is_closed_loop(subject->point))
		say_also(to, subject, "requests_per_s", "throughput", "lower", "higher");
	putc('.', to);
	if (is_called(subject->cpu, "undecided"))
		say_why_undecided(to, subject);
}

static int comparison_words(const struct subject *subject, json_t *words)
{
	int status = add(words, say_comparison, subject);

	if (status == 0 && variant_is_default(subject->variant)) {
		if (is_called(subject->cpu, "less"))
			status = add(words, say_causes, subject);
		if (status == 0)
			status = add(words, say_calls, subject);
	}
	return status;
}

static int point_words(const json_t *result, const json_t *point, json_t *words)
{
	const char *reference = result_text(point, "reference");
	const json_t *variant, *of_variant;
	struct phrase phrase;
	int status = 0;
	size_t i;

	if (phrase_begin(&phrase) < 0)
		return -ENOMEM;
	if (*result_text(point, "skipped")) {
		fprintf(phrase.to, "Not measured: %s", result_text(point, "skipped"));
		return phrase_end(&phrase, words);
	}
	json_array_foreach (json_object_get(result, "variants"), i, variant) {
		struct subject subject = {
			.result = result,
			.point = point,
			.variant = variant,
			.reference = result_variant(result, reference),
			.cpu = point_comparison(point, name_of(variant), reference, "cpu_ns"),
		};

		if (status == 0 && subject.cpu && subject.reference &&
		    (variant_is_default(variant) || variant_is_guest(variant)))
			status = comparison_words(&subject, words);
		if (status == 0 && variant_is_default(variant))
			status = add(words, say_better_settings, &subject);
	}
	json_array_foreach (json_object_get(point, "results"), i, of_variant)
		if (*result_text(of_variant, "failed"))
			fprintf(phrase.to, "%s%s failed: %s.", ftell(phrase.to) ? " " : "",
				result_text(of_variant, "variant"),
				result_text(of_variant, "failed"));
	if (phrase_end(&phrase, words) < 0)
		return -ENOMEM;
	return status;
}
