/* SPDX-License-Identifier: MIT */
/*
 * Sentences made of figures, the same in the terminal, the page and the verdict. Part of
 * rota-compare; any thread.
 */
#ifndef ROTA_BENCH_COMPARE_PHRASE_H
#define ROTA_BENCH_COMPARE_PHRASE_H

#include <stdio.h>

#include "bench/compare/result.h"

/* A text that grows while it is written to. */
struct phrase {
	FILE *to; /* NULL without memory: then nothing may be written */
	char *text;
	size_t bytes;
};

/* Returns 0 or -ENOMEM. */
int phrase_begin(struct phrase *phrase);

/* Append it to `array` if it says anything, and free it. Returns 0 or -ENOMEM. */
int phrase_end(struct phrase *phrase, json_t *array);

/* Free it, without a use. */
void phrase_drop(struct phrase *phrase);

/*
 * Ratios as people say them: "11 % less", "4 % more", "2.4 times as much", and as high where more
 * is "higher". Ends of intervals, "9 to 14 %", "1 % less to 5 % more", "0.9 to 2.6 times".
 */
void phrase_change(FILE *to, double ratio, const char *less, const char *more);
void phrase_range(FILE *to, double low, double high, const char *less, const char *more);

/* It is said in times, not per cent: "times as much as", where it were "more than". */
bool phrase_is_times(double ratio);

/* "a, b and c": what goes before the `index`th (from 0) of `count`. */
const char *phrase_comma(size_t index, size_t count);

#endif /* ROTA_BENCH_COMPARE_PHRASE_H */
