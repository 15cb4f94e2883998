/* SPDX-License-Identifier: MIT */
/*
 * Which engines work here, and what each of them uses and does not use of the kernel: "engines" of
 * a result, from the engines' own self-tests. Part of rota-compare; any thread.
 */
#ifndef ROTA_BENCH_COMPARE_ENGINES_H
#define ROTA_BENCH_COMPARE_ENGINES_H

#include <jansson.h>

/*
 * Try every engine but simulated ones. Returns a new array, or NULL without memory, of
 *
 *   name, usable, why_not    `why_not` (null when usable) is a sentence with the remedy
 *   says                     the engine's own line, as in the log of a server
 *   features                 of each: name, on, why (null when on), kernel "6.12" that came with
 *                            it, works (tried here, whether or not it is wanted), required
 */
json_t *engines_describe(void);

/* The same as if the kernel were `kernel` ("6.1") for the engines that can pretend. */
json_t *engines_describe_as(const char *kernel);

#endif /* ROTA_BENCH_COMPARE_ENGINES_H */
