/* SPDX-License-Identifier: MIT */
/*
 * Line charts as SVG inside HTML. Part of rota-compare's page; any thread.
 *
 * The one idea: only the lines are SVG, stretched to whatever room there is; words stand around
 * them as HTML, placed by per cent. So a chart fits any width with letters of one size, needs no
 * script, and prints.
 */
#ifndef ROTA_BENCH_COMPARE_CHART_H
#define ROTA_BENCH_COMPARE_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CHART_SERIES_MAX 6
#define CHART_TICKS_MAX 12

struct chart_scale {
	double low, high; /* low < high; > 0 when logarithmic */
	bool is_log;
};

/* Where `value` is on the scale, in per cent of it, never outside. */
double chart_at(const struct chart_scale *scale, double value);

struct chart_axis {
	const char *title;
	struct chart_scale scale;
	struct chart_tick {
		double at;
		char label[24];
	} ticks[CHART_TICKS_MAX];
	size_t ticks_count;
};

/* Room for one more is the caller's to know; `label` is HTML, cut if too long. */
void chart_tick(struct chart_axis *axis, double at, const char *label);

/* Ticks at round values of a linear scale from 0, or at 1, 2, 5, 10 … of a logarithmic one. */
void chart_ticks(struct chart_axis *axis, void (*put)(FILE *to, double value));

struct chart_point {
	double x, y;
	double low, high; /* of y; both y: no interval is drawn */
};

struct chart_series {
	const char *title;
	unsigned slot;                    /* colour and dashes, 0 … CHART_SERIES_MAX - 1 */
	const struct chart_point *points; /* borrowed, x ascending */
	size_t count;
};

struct chart {
	const char *title;
	const char *note; /* what to know when reading it; may be "" */
	struct chart_axis x, y;
	struct chart_series series[CHART_SERIES_MAX];
	size_t series_count;
	bool has_dots; /* at each point: they were measured, the line only joins them */
};

/* Write the chart without its <figure>, in which a table should follow. */
void chart_write(FILE *to, const struct chart *chart);

#endif /* ROTA_BENCH_COMPARE_CHART_H */
