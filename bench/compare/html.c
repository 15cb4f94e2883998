/* SPDX-License-Identifier: MIT */
/*
 * Text and figures as HTML.
 */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare/html.h"

void html_text(FILE *to, const char *text)
{
	for (; text && *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", to);
			break;
		case ' ':
			/* A number stays with its per cent. */
			fputs(text[1] == '%' ? "&nbsp;" : " ", to);
			break;
		case '<':
			fputs("&lt;", to);
			break;
		case '>':
			fputs("&gt;", to);
			break;
		case '"':
			fputs("&quot;", to);
			break;
		case '\'':
			fputs("&#39;", to);
			break;
		default:
			putc(*text, to);
		}
	}
}

void html_format(FILE *to, const char *format, ...)
{
	va_list args;
	char *text;
	int count;

	va_start(args, format);
	count = vasprintf(&text, format, args);
	va_end(args);
	if (count < 0)
		return;
	html_text(to, text);
	free(text);
}

/* Three digits, and none that say nothing. */
static void put_digits(FILE *to, double number)
{
	double size = fabs(number);

	if (size == 0 || size >= 99.95)
		fprintf(to, "%.0f", number);
	else if (size >= 9.995)
		fprintf(to, "%.1f", number);
	else if (size >= 0.9995)
		fprintf(to, "%.2f", number);
	else
		fprintf(to, "%.2g", number);
}

/* Scale down by `base` while a larger unit is left; a no-break space before the unit. */
static void put_scaled(FILE *to, double number, double base, const char *const units[])
{
	while (fabs(number) >= base * 0.9995 && units[1]) {
		number /= base;
		units++;
	}
	put_digits(to, number);
	if (**units)
		fprintf(to, " %s", *units);
}

void html_time(FILE *to, double ns)
{
	static const char *const units[] = { "ns", "µs", "ms", "s", NULL };

	put_scaled(to, ns, 1000, units);
}

void html_count(FILE *to, double count)
{
	static const char *const units[] = { "", "k", "M", "G", NULL };

	put_scaled(to, count, 1000, units);
}

void html_bytes(FILE *to, double bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", NULL };

	put_scaled(to, bytes, 1024, units);
}

void html_plain(FILE *to, double number)
{
	put_digits(to, number);
}

/* The figure as text, at most `bytes` of it. Returns where its unit begins. */
static size_t format_figure(double figure, html_figure_fn put, char *text, size_t bytes)
{
	FILE *to;

	memset(text, 0, bytes);
	to = fmemopen(text, bytes - 1, "w");
	if (to) {
		put(to, figure);
		fclose(to);
	}
	return strspn(text, "0123456789.-+e");
}

void html_range(FILE *to, double low, double high, html_figure_fn put)
{
	char first[48], last[48];
	size_t first_unit = format_figure(low, put, first, sizeof(first));
	size_t last_unit = format_figure(high, put, last, sizeof(last));

	/* "5.15 to 5.48 µs" */
	if (!strcmp(first + first_unit, last + last_unit))
		first[first_unit] = '\0';
	fprintf(to, "<small>%s to %s</small>", first, last);
}

void html_cell(FILE *to, const char *heading, const json_t *of_variant, const char *figure,
	       html_figure_fn put, bool with_interval)
{
	struct interval interval;

	fputs("<td data-label=\"", to);
	html_text(to, heading);
	fputs("\">", to);
	if (result_figure(of_variant, figure, &interval)) {
		put(to, interval.middle);
		if (with_interval) {
			putc(' ', to);
			html_range(to, interval.low, interval.high, put);
		}
	} else {
		fputs("–", to);
	}
	fputs("</td>", to);
}
