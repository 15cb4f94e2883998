/* SPDX-License-Identifier: MIT */
/*
 * The page's workloads and points: who stands where, as charts that are tables or have one behind.
 */
#include <math.h>
#include <string.h>

#include <rota/base.h>

#include "bench/compare/curves.h"
#include "bench/compare/forest.h"
#include "bench/compare/html.h"
#include "bench/compare/page.h"

static const char *workload_of(const json_t *point)
{
	return result_text(point, "workload");
}

/* The first point of its workload? */
static bool is_first(const json_t *result, const json_t *point)
{
	const json_t *other;
	size_t i;

	json_array_foreach (json_object_get(result, "points"), i, other)
		if (!strcmp(workload_of(other), workload_of(point)))
			return other == point;
	return false;
}

/* ---- the overview ---- */

/* NULL when the points have more than one. */
static const char *only_reference(const json_t *result)
{
	const json_t *point;
	const char *only = NULL;
	size_t i;

	json_array_foreach (json_object_get(result, "points"), i, point) {
		const char *reference = result_text(point, "reference");

		if (only && strcmp(only, reference) != 0)
			return NULL;
		only = reference;
	}
	return only;
}

static void put_overview_caption(FILE *to, const json_t *result)
{
	const json_t *reference = result_variant(result, only_reference(result));

	html_format(to, "CPU time, as a multiple of %s's",
		    reference ? variant_title(reference) : "the reference");
	fputs(" <small>left of 1 is cheaper; bars are intervals; filled marks are decided, hollow "
	      "ones are not, grey ones are equal</small>",
	      to);
}

/* Without `to`: only measure. */
static void put_overview_rows(FILE *to, struct forest *forest, const json_t *result)
{
	const json_t *points = json_object_get(result, "points"), *point, *variant;
	char family[FAMILY_BYTES];
	size_t i, j;

	json_array_foreach (points, i, point) {
		if (is_first(result, point))
			forest_heading(forest, point_family(point, family));
		json_array_foreach (json_object_get(result, "variants"), j, variant) {
			struct forest_row row = {
				.title = point_load(point),
				.anchor = i + 1,
				.variant = variant,
				.reference = result_text(point, "reference"),
				.point = point,
			};

			if (!variant_is_default(variant))
				continue;
			if (to)
				forest_row(to, forest, &row);
			else
				forest_measure(forest, &row);
		}
	}
}

void page_put_overview(FILE *to, const json_t *result)
{
	struct forest forest;

	forest_init(&forest);
	put_overview_rows(NULL, &forest, result);
	if (!forest.has_any)
		return;
	fputs("<figure class=\"overview\"><figcaption>", to);
	put_overview_caption(to, result);
	fputs("</figcaption>\n", to);
	forest_begin(to, &forest, "Load", "CPU", "p99");
	put_overview_rows(to, &forest, result);
	forest_end(to);
	fputs("</figure>\n", to);
}

void page_put_links(FILE *to, const json_t *result)
{
	char family[FAMILY_BYTES];
	const json_t *point;
	size_t i;

	json_array_foreach (json_object_get(result, "points"), i, point) {
		if (!is_first(result, point))
			continue;
		fprintf(to, "<li><a href=\"#w%zu\">", i + 1);
		html_text(to, point_family(point, family));
		fputs("</a></li>\n", to);
	}
}

/* ---- a point's charts ---- */

/* Without `to`: only measure. */
static void put_variant_rows(FILE *to, struct forest *forest, const json_t *result,
			     const json_t *point)
{
	const json_t *variant;
	size_t i;

	json_array_foreach (json_object_get(result, "variants"), i, variant) {
		struct forest_row row = {
			.title = variant_title(variant),
			.variant = variant,
			.reference = result_text(point, "reference"),
			.point = point,
		};

		if (to)
			forest_row(to, forest, &row);
		else
			forest_measure(forest, &row);
	}
}

static void put_variants_forest(FILE *to, const json_t *result, const json_t *point)
{
	const json_t *reference = result_variant(result, result_text(point, "reference"));
	struct forest forest;

	forest_init(&forest);
	put_variant_rows(NULL, &forest, result, point);
	if (!forest.has_any)
		return;
	fputs("<figure><figcaption>", to);
	html_format(to, "CPU per %s, as a multiple of %s's", point_unit(point),
		    variant_title(reference));
	fputs(" <small>left of 1 is cheaper; bars are intervals</small></figcaption>\n", to);
	forest_begin(to, &forest, "Variant", "CPU", "p99");
	put_variant_rows(to, &forest, result, point);
	forest_end(to);
	fputs("</figure>\n", to);
}

static double largest_cpu(const json_t *point)
{
	const json_t *of_variant;
	struct interval cpu;
	double largest = 0;
	size_t i;

	json_array_foreach (json_object_get(point, "results"), i, of_variant)
		if (result_figure(of_variant, "cpu_ns", &cpu))
			largest = fmax(largest, cpu.middle);
	return largest;
}

/* The bar of user and system time, as long as its share of `largest`. */
static void put_cpu_bar(FILE *to, const json_t *of_variant, double largest)
{
	struct interval user = { 0, 0, 0 }, system = { 0, 0, 0 };

	fputs("<td class=\"bar\" data-label=\"User and system\">", to);
	if (result_figure(of_variant, "cpu_user_ns", &user) &&
	    result_figure(of_variant, "cpu_system_ns", &system) && largest > 0)
		fprintf(to,
			"<span><i class=\"user\" style=\"width:%.2f%%\"></i>"
			"<i class=\"system\" style=\"width:%.2f%%\"></i></span>",
			user.middle / largest * 100, system.middle / largest * 100);
	fputs("</td>", to);
}

static const struct column {
	const char *heading, *figure;
	html_figure_fn put;
	bool with_interval;
} cost_columns[] = {
	{ "CPU", "cpu_ns", html_time, true },
	{ "User", "cpu_user_ns", html_time, false },
	{ "System", "cpu_system_ns", html_time, false },
	{ "System calls", "syscalls", html_plain, false },
	{ "Batch", "completions_per_enter", html_plain, false },
	{ "Switches", "switches", html_plain, false },
	{ "Memory", "resident_bytes", html_bytes, false },
}, speed_columns[] = {
	{ "Requests/s", "requests_per_s", html_count, true },
	{ "p50", "p50_ns", html_time, false },
	{ "p90", "p90_ns", html_time, false },
	{ "p99", "p99_ns", html_time, true },
	{ "p99.9", "p999_ns", html_time, false },
	{ "p99.99", "p9999_ns", html_time, false },
	{ "max", "max_ns", html_time, false },
};

/* A table of one row per variant; `with_bar`: of CPU time, first. */
static void put_table(FILE *to, const json_t *result, const json_t *point,
		      const struct column *columns, size_t count, bool with_bar)
{
	double largest = largest_cpu(point);
	const json_t *of_variant;
	size_t i;

	fputs("<table class=\"figures\"><thead><tr><th scope=\"col\">Variant</th>", to);
	if (with_bar)
		fputs("<th scope=\"col\">User and system</th>", to);
	for (size_t j = 0; j < count; j++)
		fprintf(to, "<th scope=\"col\">%s</th>", columns[j].heading);
	fputs("</tr></thead>\n<tbody>", to);
	json_array_foreach (json_object_get(point, "results"), i, of_variant) {
		const char *name = result_text(of_variant, "variant");
		const json_t *variant = result_variant(result, name);

		if (!json_array_size(json_object_get(of_variant, "rounds")))
			continue;
		fputs("<tr><th scope=\"row\">", to);
		html_text(to, variant ? variant_title(variant) : name);
		fputs("</th>", to);
		if (with_bar)
			put_cpu_bar(to, of_variant, largest);
		for (size_t j = 0; j < count; j++)
			html_cell(to, columns[j].heading, of_variant, columns[j].figure,
				  columns[j].put, columns[j].with_interval);
		fputs("</tr>\n", to);
	}
	fputs("</tbody></table>\n", to);
}

/* Few ticks of the clock tell nobody's user space from the kernel. */
static bool has_split(const json_t *point)
{
	const json_t *of_variant;
	struct interval user;
	size_t i;

	json_array_foreach (json_object_get(point, "results"), i, of_variant)
		if (result_figure(of_variant, "cpu_user_ns", &user))
			return true;
	return false;
}

static void put_costs(FILE *to, const json_t *result, const json_t *point)
{
	bool with_split = has_split(point);

	fputs("<figure class=\"wide\"><figcaption>Where the CPU goes <small>", to);
	html_format(to,
		    "per %s of the server; medians of the rounds; batch: completions per entry to "
		    "the kernel",
		    point_unit(point));
	fputs("</small></figcaption>\n", to);
	if (with_split)
		fputs("<ul class=\"legend\"><li><i class=\"user\"></i>user</li><li>"
		      "<i class=\"system\"></i>system</li></ul>\n",
		      to);
	put_table(to, result, point, cost_columns, ROTA_ARRAY_COUNT(cost_columns), with_split);
	fputs("</figure>\n", to);
}

static void put_latency(FILE *to, const json_t *result, const json_t *point)
{
	fputs("<figure>", to);
	curves_latency(to, result, point);
	fputs("</figure>\n<details class=\"wide\"><summary>Throughput and latency in numbers"
	      "</summary>\n",
	      to);
	put_table(to, result, point, speed_columns, ROTA_ARRAY_COUNT(speed_columns), false);
	fputs("</details>\n", to);
}

static bool is_measured(const json_t *point)
{
	const json_t *of_variant;
	size_t i;

	json_array_foreach (json_object_get(point, "results"), i, of_variant)
		if (json_array_size(json_object_get(of_variant, "rounds")))
			return true;
	return false;
}

/* The load that its figures hold under, and what to think of the measurement itself. */
static void put_notes(FILE *to, const json_t *point)
{
	const json_t *notes = json_object_get(point, "notes"), *note;
	const char *load = result_text(json_object_get(point, "load"), "words");
	size_t i;

	if (*load) {
		fputs("<p class=\"notes\">Load: ", to);
		html_format(to, "%s; rota-load on %s.", load, result_text(point, "load_engine"));
		fputs("</p>\n", to);
	}
	if (!json_array_size(notes))
		return;
	fputs("<p class=\"notes\">", to);
	json_array_foreach (notes, i, note) {
		fputs(i ? " " : "", to);
		html_text(to, json_string_value(note));
	}
	fputs("</p>\n", to);
}

static void put_point(FILE *to, const json_t *result, const json_t *point, size_t number)
{
	const json_t *sentence;
	size_t i;

	fprintf(to, "<article id=\"p%zu\"><h3>", number);
	html_text(to, point_load(point));
	fputs("</h3>\n<ul class=\"words\">\n", to);
	json_array_foreach (json_object_get(point, "words"), i, sentence) {
		fputs("<li>", to);
		html_text(to, json_string_value(sentence));
		fputs("</li>\n", to);
	}
	fputs("</ul>\n", to);
	put_notes(to, point);
	if (is_measured(point)) {
		fputs("<div class=\"pair\">\n", to);
		put_variants_forest(to, result, point);
		put_latency(to, result, point);
		fputs("</div>\n", to);
		put_costs(to, result, point);
	}
	fputs("</article>\n", to);
}

void page_put_workloads(FILE *to, const json_t *result)
{
	const json_t *points = json_object_get(result, "points"), *first, *point;
	char family[FAMILY_BYTES];
	size_t i, j;

	json_array_foreach (points, i, first) {
		if (!is_first(result, first))
			continue;
		fprintf(to, "<section id=\"w%zu\"><h2>", i + 1);
		html_text(to, point_family(first, family));
		fputs("</h2>\n", to);
		curves_by_connections(to, result, workload_of(first));
		json_array_foreach (points, j, point)
			if (!strcmp(workload_of(point), workload_of(first)))
				put_point(to, result, point, j + 1);
		fputs("</section>\n", to);
	}
}
