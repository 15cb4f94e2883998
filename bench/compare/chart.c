/* SPDX-License-Identifier: MIT */
/*
 * Line charts: scales, ticks, and their HTML with SVG.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare/chart.h"
#include "bench/compare/html.h"

#define TICKS_WANTED 6
#define DECADES_OF_FIVES 2.5 /* wider logarithmic scales have ticks at 1, 10, 100 only */

double chart_at(const struct chart_scale *scale, double value)
{
	double low = scale->low, high = scale->high, at;

	if (scale->is_log) {
		low = log10(low);
		high = log10(high);
		value = log10(fmax(value, scale->low));
	}
	at = (value - low) / (high - low) * 100;
	return fmin(fmax(at, 0), 100);
}

void chart_tick(struct chart_axis *axis, double at, const char *label)
{
	struct chart_tick *tick = &axis->ticks[axis->ticks_count];

	if (axis->ticks_count == CHART_TICKS_MAX)
		return;
	axis->ticks_count++;
	tick->at = at;
	snprintf(tick->label, sizeof(tick->label), "%s", label);
}

/* "5.00 ms" is "5 ms". */
static void trim_zeros(char *label)
{
	size_t digits = strspn(label, "0123456789.");
	size_t kept = digits;

	if (!memchr(label, '.', digits))
		return;
	while (label[kept - 1] == '0')
		kept--;
	kept -= label[kept - 1] == '.';
	memmove(label + kept, label + digits, strlen(label + digits) + 1);
}

static void put_tick(struct chart_axis *axis, double at, void (*put)(FILE *to, double value))
{
	char label[sizeof(axis->ticks->label)] = "";
	FILE *to = fmemopen(label, sizeof(label), "w");

	if (to) {
		put(to, at);
		fclose(to);
	}
	label[sizeof(label) - 1] = '\0';
	trim_zeros(label);
	chart_tick(axis, at, at == 0 ? "0" : label);
}

/* 1, 2 or 5 times a power of ten. */
static double round_step(double range)
{
	double rough = range / TICKS_WANTED;
	double power = pow(10, floor(log10(rough)));
	double digit = rough / power;

	return power * (digit > 5 ? 10 : digit > 2 ? 5 : digit > 1 ? 2 : 1);
}

void chart_ticks(struct chart_axis *axis, void (*put)(FILE *to, double value))
{
	static const double digits[] = { 1, 2, 5 };
	const struct chart_scale *scale = &axis->scale;
	double step;

	if (!scale->is_log) {
		step = round_step(scale->high - scale->low);
		for (int i = 0; i * step <= scale->high * 1.0001; i++)
			put_tick(axis, i * step, put);
		return;
	}
	step = log10(scale->high / scale->low);
	for (int power = (int)floor(log10(scale->low)); power <= log10(scale->high); power++) {
		for (size_t i = 0; i < (step > DECADES_OF_FIVES ? 1 : 3); i++) {
			double at = digits[i] * pow(10, power);

			if (at >= scale->low * 0.999 && at <= scale->high * 1.001)
				put_tick(axis, at, put);
		}
	}
}

/* ---- writing ---- */

static void put_labels(FILE *to, const struct chart_axis *axis, const char *class, const char *side)
{
	fprintf(to, "<div class=\"%s\">", class);
	for (size_t i = 0; i < axis->ticks_count; i++)
		fprintf(to, "<span style=\"%s:%.2f%%\">%s</span>", side,
			chart_at(&axis->scale, axis->ticks[i].at), axis->ticks[i].label);
	fputs("</div>", to);
}

static void put_grid(FILE *to, const struct chart *chart)
{
	fputs("<path class=\"grid\" d=\"", to);
	for (size_t i = 0; i < chart->y.ticks_count; i++)
		fprintf(to, "M0 %.2fH100", 100 - chart_at(&chart->y.scale, chart->y.ticks[i].at));
	for (size_t i = 0; i < chart->x.ticks_count; i++)
		fprintf(to, "M%.2f 0V100", chart_at(&chart->x.scale, chart->x.ticks[i].at));
	fputs("\"/>", to);
}

static double x_of(const struct chart *chart, const struct chart_point *point)
{
	return chart_at(&chart->x.scale, point->x);
}

static double y_of(const struct chart *chart, double y)
{
	return 100 - chart_at(&chart->y.scale, y);
}

static void put_series(FILE *to, const struct chart *chart, const struct chart_series *series)
{
	fprintf(to, "<g class=\"s%u\"><path class=\"line\" d=\"", series->slot);
	for (size_t i = 0; i < series->count; i++)
		fprintf(to, "%c%.2f %.2f", i ? 'L' : 'M', x_of(chart, &series->points[i]),
			y_of(chart, series->points[i].y));
	fputs("\"/>", to);
	if (chart->has_dots) {
		fputs("<path class=\"span\" d=\"", to);
		for (size_t i = 0; i < series->count; i++)
			fprintf(to, "M%.2f %.2fV%.2f", x_of(chart, &series->points[i]),
				y_of(chart, series->points[i].low),
				y_of(chart, series->points[i].high));
		/* Lines of no length have round ends: dots which the stretching leaves round. */
		fputs("\"/><path class=\"dot\" d=\"", to);
		for (size_t i = 0; i < series->count; i++)
			fprintf(to, "M%.2f %.2fh0", x_of(chart, &series->points[i]),
				y_of(chart, series->points[i].y));
		fputs("\"/>", to);
	}
	fputs("</g>", to);
}

static void put_legend(FILE *to, const struct chart *chart)
{
	fputs("<ul class=\"legend\">", to);
	for (size_t i = 0; i < chart->series_count; i++) {
		fprintf(to,
			"<li class=\"s%u\"><svg viewBox=\"0 0 28 8\" aria-hidden=\"true\">"
			"<path class=\"line\" d=\"M1 4H27\"/></svg>",
			chart->series[i].slot);
		html_text(to, chart->series[i].title);
		fputs("</li>", to);
	}
	fputs("</ul>\n", to);
}

void chart_write(FILE *to, const struct chart *chart)
{
	fputs("<figcaption>", to);
	html_text(to, chart->title);
	if (*chart->note) {
		fputs(" <small>", to);
		html_text(to, chart->note);
		fputs("</small>", to);
	}
	fputs("</figcaption>\n", to);
	put_legend(to, chart);
	fputs("<div class=\"plot\"><div class=\"ytitle\">", to);
	html_text(to, chart->y.title);
	fputs("</div>", to);
	put_labels(to, &chart->y, "ylabels", "bottom");
	fputs("<svg viewBox=\"0 0 100 100\" preserveAspectRatio=\"none\" role=\"img\" "
	      "aria-label=\"",
	      to);
	html_format(to, "%s: %s over %s; the numbers are in the table that follows", chart->title,
		    chart->y.title, chart->x.title);
	fputs("\">", to);
	put_grid(to, chart);
	for (size_t i = 0; i < chart->series_count; i++)
		put_series(to, chart, &chart->series[i]);
	fputs("</svg>", to);
	put_labels(to, &chart->x, "xlabels", "left");
	fputs("<div class=\"xtitle\">", to);
	html_text(to, chart->x.title);
	fputs("</div></div>\n", to);
}
