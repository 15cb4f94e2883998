/* SPDX-License-Identifier: MIT */
/*
 * The comparison itself: point after point, round after round. Layer: bench/compare; a task of the
 * one reactor.
 *
 * The one idea: a round measures everybody once, in random order, so drift of the machine hits all
 * alike and every round gives one ratio. How many rounds there are is decided by the time there is,
 * never by what they show.
 */
#ifndef BENCH_COMPARE_RUN_H
#define BENCH_COMPARE_RUN_H

#include <jansson.h>

#include "bench/compare/comparison.h"

/*
 * Measure every point of the plan and set the members "points" and "verdict" of `result`; a point
 * is printed when it is done. Returns 0, -ECANCELED (what is finished is in the result) or -ENOMEM.
 * Suspends.
 */
ROTA_MUST_USE ROTA_SUSPENDS int run_points(const struct comparison *comparison, json_t *result);

#endif /* BENCH_COMPARE_RUN_H */
