/* SPDX-License-Identifier: MIT */
/*
 * The page's line charts.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <rota/base.h>

#include "bench/compare/chart.h"
#include "bench/compare/curves.h"
#include "bench/compare/html.h"

#define POINTS_MAX 256
#define CONNECTIONS_MAX 32 /* points of one curve */
/* A percentile is shown as far as so many samples lie beyond it. */
#define SAMPLES_BEYOND 10
#define NINES_MAX 5.0
#define NINES_LEAST 2.0

/* The variants that are drawn, each with its slot: engines first, so that their colours stay. */
static size_t choose_variants(const json_t *result, const json_t *chosen[CHART_SERIES_MAX])
{
	const json_t *variants = json_object_get(result, "variants"), *variant;
	size_t count = 0, i;

	for (unsigned guests = 0; guests < 2; guests++)
		json_array_foreach (variants, i, variant)
			if (count < CHART_SERIES_MAX &&
			    (guests ? variant_is_guest(variant) : variant_is_default(variant)))
				chosen[count++] = variant;
	return count;
}

/* ---- latency ---- */

static double samples_in(const json_t *histogram)
{
	const json_t *bucket;
	double sum = 0;
	size_t i;

	json_array_foreach (histogram, i, bucket)
		sum += json_number_value(json_array_get(bucket, 1));
	return sum;
}

/* x counts nines: 0 at the minimum, 1 at p90, 2 at p99. */
static double nines_of(double share)
{
	return -log10(1 - share);
}

/* As many points as are worth drawing of a histogram. Returns how many. */
static size_t trace(const json_t *histogram, struct chart_point points[POINTS_MAX])
{
	double all = samples_in(histogram), seen = 0, last = -1;
	double end = fmin(nines_of(1 - SAMPLES_BEYOND / all), NINES_MAX);
	const json_t *bucket;
	size_t count = 0, i;

	if (all <= SAMPLES_BEYOND)
		return 0;
	json_array_foreach (histogram, i, bucket) {
		double ns = json_number_value(json_array_get(bucket, 0)), x;

		seen += json_number_value(json_array_get(bucket, 1));
		x = seen < all ? nines_of(seen / all) : end;
		if (ns <= 0 || (x - last < end / (POINTS_MAX - 2) && x < end))
			continue;
		last = fmin(x, end);
		points[count++] = (struct chart_point){ last, ns, ns, ns };
		if (x >= end || count == POINTS_MAX)
			break;
	}
	return count;
}

static void add_percentile_ticks(struct chart_axis *axis)
{
	static const struct {
		double nines;
		const char *label;
	} ticks[] = { { 0.30103, "p50" }, { 1, "p90" },    { 2, "p99" },
		      { 3, "p99.9" },     { 4, "p99.99" }, { 5, "p99.999" } };

	for (size_t i = 0; i < ROTA_ARRAY_COUNT(ticks); i++)
		if (ticks[i].nines <= axis->scale.high)
			chart_tick(axis, ticks[i].nines, ticks[i].label);
}

static void fit_latency(struct chart *chart)
{
	double low = INFINITY, high = 0, nines = NINES_LEAST;

	for (size_t i = 0; i < chart->series_count; i++) {
		const struct chart_series *series = &chart->series[i];

		for (size_t j = 0; j < series->count; j++) {
			low = fmin(low, series->points[j].y);
			high = fmax(high, series->points[j].y);
			nines = fmax(nines, series->points[j].x);
		}
	}
	chart->x.scale = (struct chart_scale){ 0, nines, false };
	/* One octave at least, or the noise of a flat line fills the picture. */
	chart->y.scale = (struct chart_scale){ low / 1.1, fmax(high * 1.1, low * 2), true };
	add_percentile_ticks(&chart->x);
	chart_ticks(&chart->y, html_time);
}

void curves_latency(FILE *to, const json_t *result, const json_t *point)
{
	struct chart_point points[CHART_SERIES_MAX][POINTS_MAX];
	const json_t *chosen[CHART_SERIES_MAX];
	size_t count = choose_variants(result, chosen);
	struct chart chart = {
		.title = "Latency by percentile",
		.note = "both scales logarithmic; drawn as far as ten samples lie beyond",
		.x.title = "share of requests answered within",
		.y.title = "latency",
	};

	for (size_t i = 0; i < count; i++) {
		const json_t *of_variant = point_result(point, result_text(chosen[i], "name"));
		struct chart_series *series = &chart.series[chart.series_count];

		*series = (struct chart_series){
			.title = variant_title(chosen[i]),
			.slot = (unsigned)i,
			.points = points[i],
			.count = trace(json_object_get(of_variant, "histogram"), points[i]),
		};
		chart.series_count += series->count > 1;
	}
	if (!chart.series_count) {
		fputs("<figcaption>Latency by percentile</figcaption><p>No latencies were recorded "
		      "here.</p>",
		      to);
		return;
	}
	fit_latency(&chart);
	chart_write(to, &chart);
}

/* ---- against connections ---- */

static bool is_same(const json_t *left, const json_t *right, const char *key)
{
	const json_t *of_left = json_object_get(left, key), *of_right = json_object_get(right, key);

	return of_left == of_right || json_equal(of_left, of_right);
}

/* Do the two differ in nothing but their connections? */
static bool is_of_set(const json_t *point, const json_t *other)
{
	static const char *const keys[] = {
		"workload", "depth",     "payload", "reactors",    "rate",
		"idle",     "reference", "unit",    "load_engine", "capacity",
	};

	for (size_t i = 0; i < ROTA_ARRAY_COUNT(keys); i++)
		if (!is_same(point, other, keys[i]))
			return false;
	return true;
}

static int compare_connections(const void *left, const void *right)
{
	double a = 0, b = 0;

	result_number(*(const json_t *const *)left, "connections", &a);
	result_number(*(const json_t *const *)right, "connections", &b);
	return (a > b) - (a < b);
}

/* The same load twice is no curve. */
static bool has_connections(const json_t *const set[], size_t count, const json_t *point)
{
	for (size_t i = 0; i < count; i++)
		if (is_same(set[i], point, "connections"))
			return true;
	return false;
}

/* The points of `first`'s set, fewest connections first; none unless `first` is its first. */
static size_t gather_set(const json_t *result, const json_t *first,
			 const json_t *set[CONNECTIONS_MAX])
{
	const json_t *point;
	double connections;
	size_t count = 0, seen = 0, i;

	json_array_foreach (json_object_get(result, "points"), i, point) {
		if (!is_of_set(first, point))
			continue;
		if (!seen++ && point != first)
			return 0;
		if (count < CONNECTIONS_MAX && !*result_text(point, "skipped") &&
		    !has_connections(set, count, point) &&
		    result_number(point, "connections", &connections) && connections >= 1)
			set[count++] = point;
	}
	qsort(set, count, sizeof(const json_t *), compare_connections);
	return count;
}

static size_t trace_figure(const json_t *const set[], size_t count, const char *variant,
			   const char *figure, struct chart_point points[CONNECTIONS_MAX])
{
	size_t found = 0;

	for (size_t i = 0; i < count; i++) {
		struct interval interval;
		double connections;

		if (result_number(set[i], "connections", &connections) &&
		    result_figure(point_result(set[i], variant), figure, &interval))
			points[found++] = (struct chart_point){ connections, interval.middle,
								interval.low, interval.high };
	}
	return found;
}

/* Ticks where was measured, as far as their labels do not touch. */
static void fit_connections(struct chart *chart, const json_t *const set[], size_t count)
{
	double first, last, high = 0, at = -100;

	if (!result_number(set[0], "connections", &first) ||
	    !result_number(set[count - 1], "connections", &last))
		return;
	for (size_t i = 0; i < chart->series_count; i++)
		for (size_t j = 0; j < chart->series[i].count; j++)
			high = fmax(high, chart->series[i].points[j].high);
	chart->x.scale = (struct chart_scale){ first / 1.25, last * 1.25, true };
	chart->y.scale = (struct chart_scale){ 0, high * 1.05, false };
	for (size_t i = 0; i < count; i++) {
		double connections = 0, here;
		char label[24];

		result_number(set[i], "connections", &connections);
		here = chart_at(&chart->x.scale, connections);
		if (here - at < 8)
			continue;
		snprintf(label, sizeof(label), "%.0f", connections);
		chart_tick(&chart->x, connections, label);
		at = here;
	}
}

static void put_set_table(FILE *to, const struct chart *chart, const json_t *const set[],
			  size_t count, html_figure_fn put)
{
	fputs("<details><summary>In numbers</summary>\n<table class=\"figures\"><thead><tr>"
	      "<th scope=\"col\">Connections</th>",
	      to);
	for (size_t i = 0; i < chart->series_count; i++) {
		fputs("<th scope=\"col\">", to);
		html_text(to, chart->series[i].title);
		fputs("</th>", to);
	}
	fputs("</tr></thead>\n<tbody>", to);
	for (size_t i = 0; i < count; i++) {
		double connections = 0;

		result_number(set[i], "connections", &connections);
		fprintf(to, "<tr><th scope=\"row\">%.0f</th>", connections);
		for (size_t j = 0; j < chart->series_count; j++) {
			const struct chart_series *series = &chart->series[j];
			size_t k = 0;

			while (k < series->count && series->points[k].x != connections)
				k++;
			fputs("<td data-label=\"", to);
			html_text(to, series->title);
			fputs("\">", to);
			if (k < series->count) {
				put(to, series->points[k].y);
				putc(' ', to);
				html_range(to, series->points[k].low, series->points[k].high, put);
			} else {
				fputs("–", to);
			}
			fputs("</td>", to);
		}
		fputs("</tr>\n", to);
	}
	fputs("</tbody></table></details>\n", to);
}

static void put_set_chart(FILE *to, const json_t *result, const json_t *const set[], size_t count,
			  struct chart *chart, const char *figure, html_figure_fn put)
{
	struct chart_point points[CHART_SERIES_MAX][CONNECTIONS_MAX];
	const json_t *chosen[CHART_SERIES_MAX];
	size_t chosen_count = choose_variants(result, chosen);

	for (size_t i = 0; i < chosen_count; i++) {
		struct chart_series *series = &chart->series[chart->series_count];

		*series = (struct chart_series){
			.title = variant_title(chosen[i]),
			.slot = (unsigned)i,
			.points = points[i],
			.count = trace_figure(set, count, result_text(chosen[i], "name"), figure,
					      points[i]),
		};
		chart->series_count += series->count > 0;
	}
	if (!chart->series_count)
		return;
	fit_connections(chart, set, count);
	chart_ticks(&chart->y, put);
	fputs("<figure>", to);
	chart_write(to, chart);
	put_set_table(to, chart, set, count, put);
	fputs("</figure>\n", to);
}

static void put_set(FILE *to, const json_t *result, const json_t *const set[], size_t count)
{
	double depth = 0, payload = 0;
	char note[96] = "", per_unit[64], cpu_title[64];
	struct chart throughput = { .note = note, .has_dots = true };
	struct chart cpu = { .note = note, .has_dots = true };

	result_number(set[0], "depth", &depth);
	result_number(set[0], "payload", &payload);
	snprintf(note, sizeof(note), "depth %.0f, %.0f B; bars are intervals", depth, payload);
	snprintf(per_unit, sizeof(per_unit), "%ss per second", point_unit(set[0]));
	snprintf(cpu_title, sizeof(cpu_title), "CPU per %s", point_unit(set[0]));
	throughput.title = "Throughput against connections";
	throughput.x.title = cpu.x.title = "connections";
	throughput.y.title = per_unit;
	cpu.title = "CPU against connections";
	cpu.y.title = cpu_title;
	fputs("<div class=\"pair\">\n", to);
	put_set_chart(to, result, set, count, &cpu, "cpu_ns", html_time);
	put_set_chart(to, result, set, count, &throughput, "requests_per_s", html_count);
	fputs("</div>\n", to);
}

void curves_by_connections(FILE *to, const json_t *result, const char *workload)
{
	const json_t *set[CONNECTIONS_MAX], *point;
	size_t i;

	json_array_foreach (json_object_get(result, "points"), i, point) {
		size_t count;

		if (strcmp(result_text(point, "workload"), workload) != 0)
			continue;
		count = gather_set(result, point, set);
		if (count > 1)
			put_set(to, result, set, count);
	}
}
