/* SPDX-License-Identifier: MIT */
/*
 * The rate of a point that asks for a share of capacity. Layer: bench/compare; a task of the one
 * reactor.
 *
 * The one idea: everybody gets the same rate, a share of what the slowest answers here in a closed
 * loop; and no higher one than is kept with each of them without the client being late itself, or
 * the latencies would be the client's, or those of a queue that grows.
 */
#ifndef BENCH_COMPARE_RATE_H
#define BENCH_COMPARE_RATE_H

#include "bench/compare/contestant.h"

/*
 * Set the rate of `point`, which asks for a share of capacity; where that is too much with one of
 * them, the share is lowered, and point->capacity_asked says what it was. Nothing is done with
 * another point. Returns 0, -ECANCELED or -ENOMEM. Suspends.
 */
ROTA_MUST_USE ROTA_SUSPENDS int rate_find(const struct comparison *comparison, struct point *point,
					  struct contestant list[], unsigned count);

#endif /* BENCH_COMPARE_RATE_H */
