/* SPDX-License-Identifier: MIT */
/*
 * What a result means, in plain words. Part of rota-compare; any thread.
 *
 * The one idea: words only repeat what the comparisons called. Where a call is "undecided" they say
 * so, and why as far as the rounds show it; a cause is named only where a variant without it was
 * measured and differs.
 */
#ifndef ROTA_BENCH_COMPARE_WORDS_H
#define ROTA_BENCH_COMPARE_WORDS_H

#include <jansson.h>

/*
 * Set "words" of every point, and "verdict": first one for the machine, then one per workload. Both
 * are arrays of sentences; what was there is replaced. Returns 0, -EINVAL when `result` is no
 * result, or -ENOMEM with some set.
 */
int words_add(json_t *result);

/* verdict.c: the sentences of "verdict" for a result with points. Returns 0 or -ENOMEM. */
int verdict_add(const json_t *result, json_t *sentences);

#endif /* ROTA_BENCH_COMPARE_WORDS_H */
