/* SPDX-License-Identifier: MIT */
/*
 * From rounds to claims: medians, intervals, calls, and what stands in the way of them. Layer:
 * bench/compare; start-up and after.
 */
#ifndef BENCH_COMPARE_SUMMARY_H
#define BENCH_COMPARE_SUMMARY_H

#include <jansson.h>

#include "bench/compare/comparison.h"
#include "bench/compare/contestant.h"

/*
 * A point's part of the result, but for its words (bench/compare/words.h). `discarded`: rounds that
 * were. Returns owned, or NULL when there is no memory.
 */
json_t *summary_of_point(const struct comparison *comparison, const struct point *point,
			 const struct contestant list[], unsigned count, unsigned discarded);

/*
 * What is figured out again from the rounds of a described point: "figures" of each result,
 * "comparisons" to the point's "reference", "notes". For results read from a file, and for tests.
 * Returns 0, -EINVAL (it is no point) or -ENOMEM.
 */
ROTA_MUST_USE int summary_refresh(const struct comparison *comparison, json_t *point);

#endif /* BENCH_COMPARE_SUMMARY_H */
