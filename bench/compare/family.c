/* SPDX-License-Identifier: MIT */
/* Many comparisons in one report; see family.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare/family.h"
#include "bench/compare/result.h"
#include "bench/compare/stats.h"

/* Comparisons of one figure in a report: variants, twice, at each point. */
#define FAMILY_MAX 65536

struct family {
	json_t **list; /* borrowed */
	double *p;
	bool *stands;
	unsigned count;
};

static bool is_different(const char *call)
{
	return !strcmp(call, "less") || !strcmp(call, "more");
}

/* Call `take` with each comparison of the report. */
static int each_comparison(const json_t *result, int (*take)(json_t *comparison, void *arg),
			   void *arg)
{
	json_t *point, *comparison;
	int status = 0;
	size_t i, j;

	json_array_foreach (json_object_get(result, "points"), i, point)
		json_array_foreach (json_object_get(point, "comparisons"), j, comparison)
			if (status == 0)
				status = take(comparison, arg);
	return status;
}

/* ---- one figure ---- */

struct gathering {
	struct family *family;
	const char *figure;
};

static int gather(json_t *comparison, void *arg)
{
	struct gathering *gathering = arg;
	struct family *family = gathering->family;
	double p;

	if (strcmp(result_text(comparison, "figure"), gathering->figure) != 0 ||
	    !result_number(comparison, "p", &p) || family->count == FAMILY_MAX)
		return 0;
	family->list[family->count] = comparison;
	family->p[family->count++] = p;
	return 0;
}

static int call_figure(const json_t *result, struct family *family, const char *figure, double rate)
{
	struct gathering gathering = { family, figure };
	int status;

	family->count = 0;
	status = each_comparison(result, gather, &gathering);
	if (status == 0)
		status = stats_which_stand(family->p, family->count, rate, family->stands);
	for (unsigned i = 0; status == 0 && i < family->count; i++) {
		const char *alone = result_text(family->list[i], "call_alone");
		bool falls = is_different(alone) && !family->stands[i];

		if (json_object_set_new(family->list[i], "call",
					json_string(falls ? "undecided" : alone)))
			status = -ENOMEM;
	}
	return status;
}

/* ---- all of them ---- */

struct counts {
	unsigned all, different, alone;
};

static int count(json_t *comparison, void *arg)
{
	struct counts *counts = arg;

	counts->all++;
	counts->different += is_different(result_text(comparison, "call"));
	counts->alone += is_different(result_text(comparison, "call_alone"));
	return 0;
}

/* Every figure once. */
static int call_figures(const json_t *result, struct family *family, double rate)
{
	const json_t *point, *comparison;
	json_t *seen = json_object();
	int status = seen ? 0 : -ENOMEM;
	size_t i, j;

	json_array_foreach (json_object_get(result, "points"), i, point)
		json_array_foreach (json_object_get(point, "comparisons"), j, comparison) {
			const char *figure = result_text(comparison, "figure");

			if (status || json_object_get(seen, figure))
				continue;
			status = json_object_set_new(seen, figure, json_true()) ? -ENOMEM : 0;
			if (status == 0)
				status = call_figure(result, family, figure, rate);
		}
	json_decref(seen);
	return status;
}

int family_correct(json_t *result, double confidence)
{
	struct family family = {
		.list = calloc(FAMILY_MAX, sizeof(*family.list)),
		.p = calloc(FAMILY_MAX, sizeof(*family.p)),
		.stands = calloc(FAMILY_MAX, sizeof(*family.stands)),
	};
	struct counts counts = { 0 };
	int status = family.list && family.p && family.stands ? 0 : -ENOMEM;

	if (status == 0)
		status = call_figures(result, &family, 1 - confidence);
	free(family.list);
	free(family.p);
	free(family.stands);
	if (status == 0)
		status = each_comparison(result, count, &counts);
	if (status == 0 &&
	    json_object_set_new(result, "calls",
				json_pack("{s:i, s:i, s:i}", "comparisons", (int)counts.all,
					  "different", (int)counts.different, "different_alone",
					  (int)counts.alone)))
		status = -ENOMEM;
	return status;
}
