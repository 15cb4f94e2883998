/* SPDX-License-Identifier: MIT */
/*
 * Reading a result ("rota-compare 1"): what words.c and the page look up in it. Part of
 * rota-compare; any thread. Everything is borrowed from the result, and may be missing: results are
 * files, and files are what people make of them.
 *
 * A variant is the *default* of its engine when it has an engine and no options; without an engine
 * it is a *guest*, somebody else's server.
 */
#ifndef ROTA_BENCH_COMPARE_RESULT_H
#define ROTA_BENCH_COMPARE_RESULT_H

#include <stdbool.h>

#include <jansson.h>

/* Median (or ratio) with the ends of its interval. */
struct interval {
	double middle, low, high;
};

/* "" when there is no such text. */
const char *result_text(const json_t *object, const char *key);

/* False when there is no such number, or no finite one. */
bool result_number(const json_t *object, const char *key, double *out);

/* `middle` is the key of the middle: "median", "ratio". */
bool result_interval(const json_t *object, const char *middle, struct interval *out);

/* Of a result of a point: figures.NAME. */
bool result_figure(const json_t *of_variant, const char *name, struct interval *out);

/* By name; NULL when there is none. */
const json_t *result_variant(const json_t *result, const char *name);
bool variant_is_default(const json_t *variant);
bool variant_is_guest(const json_t *variant);
/* "io_uring", "epoll" for engines' defaults, otherwise the variant's own name. */
const char *variant_title(const json_t *variant);

/* A point's result for a variant that did not fail; NULL when there is none. */
const json_t *point_result(const json_t *point, const char *variant);

/* NULL when the two were not compared by that figure. */
const json_t *point_comparison(const json_t *point, const char *variant, const char *reference,
			       const char *figure);

/* The median over a result's rounds of what they call `key`. */
bool rounds_median(const json_t *of_variant, const char *key, double *out);

/*
 * Of which start of its server the round at `index` is; one that does not say so has a start of its
 * own.
 */
unsigned round_start(const json_t *rounds, size_t index);

/* How many starts these rounds are of. */
size_t rounds_starts(const json_t *rounds);

#define FAMILY_BYTES 128

/*
 * A title names a workload and then its load: "key-value, SET:GET 1:10, 64 connections, depth 1".
 * The two parts; the first is cut to its room, the second borrowed.
 */
const char *point_family(const json_t *point, char text[FAMILY_BYTES]);
const char *point_load(const json_t *point);

/* What its figures are per: "request", or what the point says. */
const char *point_unit(const json_t *point);

#endif /* ROTA_BENCH_COMPARE_RESULT_H */
