/* SPDX-License-Identifier: MIT */
/*
 * The page's line charts: latency by percentile at a point; throughput and CPU against connections
 * over a workload's points. Engines' defaults and guests only: variants stand in the tables. Part
 * of rota-compare; any thread, but no task: the points of a chart lie on the stack.
 */
#ifndef ROTA_BENCH_COMPARE_CURVES_H
#define ROTA_BENCH_COMPARE_CURVES_H

#include <stdio.h>

#include <jansson.h>

/* Writes the inside of a <figure>; a sentence when there are no latencies. */
void curves_latency(FILE *to, const json_t *result, const json_t *point);

/*
 * Writes figures, tables included, for each set of points that differ in connections only; nothing
 * where there is none.
 */
void curves_by_connections(FILE *to, const json_t *result, const char *workload);

#endif /* ROTA_BENCH_COMPARE_CURVES_H */
