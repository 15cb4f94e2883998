/* SPDX-License-Identifier: MIT */
/*
 * Who waited for whom: whether servers and load client were at their limits, and what that makes of
 * the figures. Layer: bench/compare; start-up and after.
 *
 * The one idea: a client that is busy is the bottleneck only where the server is not, and where it
 * was work that kept it busy. At a fixed rate it polls, so there its own lateness says whether
 * latencies are the server's.
 */
#ifndef BENCH_COMPARE_STRAIN_H
#define BENCH_COMPARE_STRAIN_H

#include <stdbool.h>

#include <jansson.h>

#include <rota/base.h>

/*
 * Judge a point whose results have figures: set its member "load", and add what stands in the way
 * to `notes`. Returns 0 or -ENOMEM.
 */
ROTA_MUST_USE int strain_judge(json_t *point, json_t *notes);

/*
 * Whether the client itself was late in a round, by more than its share of what was measured and
 * not only in the tail: then the rate was too high for it.
 */
bool strain_is_late(const json_t *round);

/* Whether a round kept the rate that was asked for. */
bool strain_is_kept(const json_t *round, double rate);

#endif /* BENCH_COMPARE_STRAIN_H */
