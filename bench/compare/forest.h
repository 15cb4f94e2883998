/* SPDX-License-Identifier: MIT */
/*
 * A table whose second column is a forest plot: ratios with their intervals on one logarithmic
 * scale, 1 marked. Part of rota-compare's page; any thread.
 *
 * Two passes over the same rows: forest_measure() for each, then forest_begin(), forest_row() …,
 * forest_end().
 */
#ifndef ROTA_BENCH_COMPARE_FOREST_H
#define ROTA_BENCH_COMPARE_FOREST_H

#include <stdio.h>

#include "bench/compare/chart.h"
#include "bench/compare/result.h"

struct forest {
	struct chart_axis axis;
	bool has_any;
	bool has_p99;
	const char *group; /* a heading to be written with its first row; NULL: none */
	const char *cpu_heading;
	const char *p99_heading;
};

/* A variant at a point, against the reference there. All borrowed. */
struct forest_row {
	const char *title;
	size_t anchor; /* a link to #pN; 0: none */
	const json_t *variant;
	const char *reference;
	const json_t *point;
};

void forest_init(struct forest *forest);
void forest_measure(struct forest *forest, const struct forest_row *row);

/* Only when a row had something to show (has_any). */
void forest_begin(FILE *to, struct forest *forest, const char *title, const char *cpu_heading,
		  const char *p99_heading);
/* A heading over the rows that follow, if any do. `text` is borrowed until then. */
void forest_heading(struct forest *forest, const char *text);
/* Writes nothing for a row that was not compared. */
void forest_row(FILE *to, struct forest *forest, const struct forest_row *row);
void forest_end(FILE *to);

#endif /* ROTA_BENCH_COMPARE_FOREST_H */
