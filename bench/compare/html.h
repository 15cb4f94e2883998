/* SPDX-License-Identifier: MIT */
/*
 * Text and figures as HTML. Part of rota-compare's page; any thread. Failed writes are found when
 * the stream is closed.
 */
#ifndef ROTA_BENCH_COMPARE_HTML_H
#define ROTA_BENCH_COMPARE_HTML_H

#include <stdio.h>

#include "bench/compare/result.h"

/* Write `text` so that it is nothing but text, also inside quoted attributes. NULL is "". */
void html_text(FILE *to, const char *text);

/* Plain text, printf-like, escaped as a whole. */
__attribute__((format(printf, 2, 3))) void html_format(FILE *to, const char *format, ...);

/* Figures to three digits: "5.20 µs", "192 k", "9.1 MiB", "0.044". */
void html_time(FILE *to, double ns);
void html_count(FILE *to, double count);
void html_bytes(FILE *to, double bytes);
void html_plain(FILE *to, double number);

typedef void (*html_figure_fn)(FILE *to, double figure);

/* Both ends of an interval, small, the unit once if it is the same. */
void html_range(FILE *to, double low, double high, html_figure_fn put);

/* A table's cell, named for narrow screens; `put` NULL or no such figure: "–". */
void html_cell(FILE *to, const char *heading, const json_t *of_variant, const char *figure,
	       html_figure_fn put, bool with_interval);

#endif /* ROTA_BENCH_COMPARE_HTML_H */
