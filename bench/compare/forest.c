/* SPDX-License-Identifier: MIT */
/*
 * Forest plots: a scale that fits all rows, then the rows.
 */
#include <math.h>
#include <string.h>

#include <rota/base.h>

#include "bench/compare/forest.h"
#include "bench/compare/html.h"
#include "bench/compare/phrase.h"

#define LEAST_SPAN 1.08 /* of the scale to each side of 1 */
#define MOST_SPAN 8.0   /* an outlier beyond is cut at the edge */
#define TICK_ROOM 22    /* per cent of the scale that a label needs, on paper and on phones */

void forest_init(struct forest *forest)
{
	*forest = (struct forest){ .axis.scale = { 1 / LEAST_SPAN, LEAST_SPAN, true } };
}

static const json_t *comparison_of(const struct forest_row *row, const char *figure)
{
	return point_comparison(row->point, result_text(row->variant, "name"), row->reference,
				figure);
}

void forest_measure(struct forest *forest, const struct forest_row *row)
{
	struct chart_scale *scale = &forest->axis.scale;
	struct interval ratio;

	if (!result_interval(comparison_of(row, "cpu_ns"), "ratio", &ratio) || ratio.low <= 0)
		return;
	forest->has_any = true;
	forest->has_p99 |= comparison_of(row, "p99_ns") != NULL;
	scale->low = fmax(fmin(scale->low, ratio.low / 1.02), 1 / MOST_SPAN);
	scale->high = fmin(fmax(scale->high, ratio.high * 1.02), MOST_SPAN);
}

/* Round ratios, as many as there is room for. */
static void put_ticks(struct chart_axis *axis)
{
	static const double ratios[] = { 0.125, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1,
					 1.05,  1.1,  1.2, 1.4, 1.7, 2,   3,   4,    6 };
	double last = -100;

	for (size_t i = 0; i < ROTA_ARRAY_COUNT(ratios); i++) {
		double at = chart_at(&axis->scale, ratios[i]);
		double one = chart_at(&axis->scale, 1);
		char label[16];

		if (ratios[i] < axis->scale.low || ratios[i] > axis->scale.high)
			continue;
		/* 1 is always there, so nothing else may be too near to it. */
		if (ratios[i] != 1 && (at - last < TICK_ROOM || fabs(at - one) < TICK_ROOM))
			continue;
		snprintf(label, sizeof(label), "%g", ratios[i]);
		chart_tick(axis, ratios[i], label);
		last = at;
	}
}

void forest_begin(FILE *to, struct forest *forest, const char *title, const char *cpu_heading,
		  const char *p99_heading)
{
	put_ticks(&forest->axis);
	forest->cpu_heading = cpu_heading;
	forest->p99_heading = p99_heading;
	fputs("<table class=\"forest\"><thead><tr><th scope=\"col\">", to);
	html_text(to, title);
	fputs("</th><th scope=\"col\" class=\"scale\"><span class=\"unseen\">Plot</span>"
	      "<div aria-hidden=\"true\">",
	      to);
	for (size_t i = 0; i < forest->axis.ticks_count; i++)
		fprintf(to, "<span style=\"left:%.2f%%\">%s</span>",
			chart_at(&forest->axis.scale, forest->axis.ticks[i].at),
			forest->axis.ticks[i].label);
	fputs("</div></th><th scope=\"col\">", to);
	html_text(to, cpu_heading);
	fputs("</th>", to);
	if (forest->has_p99) {
		fputs("<th scope=\"col\">", to);
		html_text(to, p99_heading);
		fputs("</th>", to);
	}
	fputs("</tr></thead>\n<tbody>", to);
}

void forest_heading(struct forest *forest, const char *text)
{
	forest->group = text;
}

static void put_group(FILE *to, struct forest *forest)
{
	if (!forest->group)
		return;
	fprintf(to, "<tr class=\"group\"><th scope=\"rowgroup\" colspan=\"%d\">",
		forest->has_p99 ? 4 : 3);
	html_text(to, forest->group);
	fputs("</th></tr>\n", to);
	forest->group = NULL;
}

static void put_plot(FILE *to, const struct forest *forest, const struct interval *ratio,
		     const char *call)
{
	const struct chart_scale *scale = &forest->axis.scale;
	double low = chart_at(scale, ratio->low), high = chart_at(scale, ratio->high);

	fputs("<td class=\"plot\"><div aria-hidden=\"true\">", to);
	for (size_t i = 0; i < forest->axis.ticks_count; i++)
		fprintf(to, "<i class=\"%s\" style=\"left:%.2f%%\"></i>",
			forest->axis.ticks[i].at == 1 ? "one" : "tick",
			chart_at(scale, forest->axis.ticks[i].at));
	fputs("<b class=\"", to);
	html_text(to, call);
	fprintf(to, "\" style=\"left:%.2f%%;width:%.2f%%\"></b><b class=\"dot ", low, high - low);
	html_text(to, call);
	fprintf(to, "\" style=\"left:%.2f%%\"></b></div></td>", chart_at(scale, ratio->middle));
}

/* "11 % less", "equal"; its interval small beside it. */
static void put_call(FILE *to, const char *heading, const json_t *comparison, const char *less,
		     const char *more)
{
	const char *call = result_text(comparison, "call");
	struct interval ratio;

	fputs("<td data-label=\"", to);
	html_text(to, heading);
	fputs("\">", to);
	if (!result_interval(comparison, "ratio", &ratio)) {
		fputs("–</td>", to);
		return;
	}
	fputs("<span class=\"call ", to);
	html_text(to, call);
	fputs("\">", to);
	if (!strcmp(call, "less") || !strcmp(call, "more"))
		phrase_change(to, ratio.middle, less, more);
	else
		html_text(to, call);
	fprintf(to, "</span> <small>%.2f to %.2f</small></td>", ratio.low, ratio.high);
}

void forest_row(FILE *to, struct forest *forest, const struct forest_row *row)
{
	const json_t *cpu = comparison_of(row, "cpu_ns");
	struct interval ratio;

	if (!result_interval(cpu, "ratio", &ratio) || ratio.low <= 0)
		return;
	put_group(to, forest);
	fputs("<tr><th scope=\"row\">", to);
	if (row->anchor)
		fprintf(to, "<a href=\"#p%zu\">", row->anchor);
	html_text(to, row->title);
	fputs(row->anchor ? "</a></th>" : "</th>", to);
	put_plot(to, forest, &ratio, result_text(cpu, "call"));
	put_call(to, forest->cpu_heading, cpu, "less", "more");
	if (forest->has_p99)
		put_call(to, forest->p99_heading, comparison_of(row, "p99_ns"), "lower", "higher");
	fputs("</tr>\n", to);
}

void forest_end(FILE *to)
{
	fputs("</tbody></table>\n", to);
}
