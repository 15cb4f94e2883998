/* SPDX-License-Identifier: MIT */
/*
 * Look-ups in a result.
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare/result.h"

#define ROUNDS_MAX 1000 /* more change no median anybody would see */
#define STARTS_MAX 1e6

const char *result_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

bool result_number(const json_t *object, const char *key, double *out)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_number(value) || !isfinite(json_number_value(value)))
		return false;
	*out = json_number_value(value);
	return true;
}

bool result_interval(const json_t *object, const char *middle, struct interval *out)
{
	return result_number(object, middle, &out->middle) &&
	       result_number(object, "low", &out->low) && result_number(object, "high", &out->high);
}

bool result_figure(const json_t *of_variant, const char *name, struct interval *out)
{
	return result_interval(json_object_get(json_object_get(of_variant, "figures"), name),
			       "median", out);
}

const json_t *result_variant(const json_t *result, const char *name)
{
	const json_t *variant;
	size_t i;

	json_array_foreach (json_object_get(result, "variants"), i, variant)
		if (name && !strcmp(result_text(variant, "name"), name))
			return variant;
	return NULL;
}

bool variant_is_guest(const json_t *variant)
{
	return !*result_text(variant, "engine");
}

bool variant_is_default(const json_t *variant)
{
	return !variant_is_guest(variant) && !*result_text(variant, "options");
}

const char *variant_title(const json_t *variant)
{
	if (variant_is_default(variant) && !strcmp(result_text(variant, "engine"), "uring"))
		return "io_uring";
	return result_text(variant, "name");
}

const json_t *point_result(const json_t *point, const char *variant)
{
	const json_t *of_variant;
	size_t i;

	json_array_foreach (json_object_get(point, "results"), i, of_variant)
		if (!strcmp(result_text(of_variant, "variant"), variant) &&
		    !json_is_string(json_object_get(of_variant, "failed")))
			return of_variant;
	return NULL;
}

const json_t *point_comparison(const json_t *point, const char *variant, const char *reference,
			       const char *figure)
{
	const json_t *comparison;
	size_t i;

	json_array_foreach (json_object_get(point, "comparisons"), i, comparison)
		if (!strcmp(result_text(comparison, "variant"), variant) &&
		    !strcmp(result_text(comparison, "reference"), reference) &&
		    !strcmp(result_text(comparison, "figure"), figure))
			return comparison;
	return NULL;
}

static int compare_doubles(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

bool rounds_median(const json_t *of_variant, const char *key, double *out)
{
	double values[ROUNDS_MAX];
	const json_t *round;
	size_t count = 0, i;

	json_array_foreach (json_object_get(of_variant, "rounds"), i, round)
		if (count < ROUNDS_MAX && result_number(round, key, &values[count]))
			count++;
	if (!count)
		return false;
	qsort(values, count, sizeof(*values), compare_doubles);
	*out = count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
	return true;
}

unsigned round_start(const json_t *rounds, size_t index)
{
	double start;

	if (!result_number(json_array_get(rounds, index), "start", &start) || start < 0 ||
	    start > STARTS_MAX)
		return (unsigned)index;
	return (unsigned)start;
}

size_t rounds_starts(const json_t *rounds)
{
	size_t starts = 0;

	for (size_t i = 0; i < json_array_size(rounds); i++)
		starts += i == 0 || round_start(rounds, i) != round_start(rounds, i - 1);
	return starts;
}

/* Where the load begins, at its ", ": a number follows, or "depth". NULL: there is none. */
static const char *find_load(const char *title)
{
	const char *comma = title;

	while ((comma = strstr(comma, ", ")) != NULL) {
		if (isdigit((unsigned char)comma[2]) || !strncmp(comma + 2, "depth ", 6))
			return comma;
		comma += 2;
	}
	return NULL;
}

const char *point_family(const json_t *point, char text[FAMILY_BYTES])
{
	const char *title = result_text(point, "title"), *load = find_load(title);
	size_t length = load ? (size_t)(load - title) : strlen(title);

	snprintf(text, FAMILY_BYTES, "%.*s", (int)length, title);
	return text;
}

const char *point_load(const json_t *point)
{
	const char *title = result_text(point, "title"), *load = find_load(title);

	return load ? load + 2 : title;
}

const char *point_unit(const json_t *point)
{
	const char *unit = result_text(point, "unit");

	return *unit ? unit : "request";
}
