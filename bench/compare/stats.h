/* SPDX-License-Identifier: MIT */
/*
 * What may be said of what was measured: medians, their intervals, and whether two variants differ.
 * Layer: bench/compare. Any thread, no state but what the caller passes.
 *
 * The one idea: every claim is about a median, and no interval is narrower than what the values
 * allow whatever their distribution is. The percentile bootstrap gives it, and where that is
 * narrower than the interval between order statistics, which holds for every distribution, it is
 * widened to that one. The values must not depend on each other: rounds of one process do, so they
 * count as one (stats_group).
 */
#ifndef BENCH_COMPARE_STATS_H
#define BENCH_COMPARE_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include <rota/base.h>

/* ---- random numbers, the same for a seed everywhere ---- */

struct stats_random {
	uint64_t state; /* the seed, at first */
};

/* SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
uint64_t stats_random_next(struct stats_random *random);

/* Evenly one of 0 … count - 1; `count` > 0. */
uint32_t stats_random_below(struct stats_random *random, uint32_t count);

/* Put 0 … count - 1 into `order` in any order (Fisher and Yates). */
void stats_random_order(struct stats_random *random, unsigned order[], unsigned count);

/* ---- what belongs together ---- */

/*
 * Put the medians of groups in the place of `values`: those with the same number in `groups`, which
 * stand side by side. A group with a value that is not finite becomes NAN. Returns how many groups
 * there are.
 */
unsigned stats_group(double values[], const unsigned groups[], unsigned count);

/* ---- intervals ---- */

struct stats_interval {
	double median;
	double low;
	double high;
	/*
	 * The interval has the confidence asked for. Too few values give none (5 at 95 %): then
	 * `low` and `high` are the smallest and the largest.
	 */
	bool is_valid;
};

/*
 * The median of `values` and its interval at `confidence` (0.95: it misses the true median in one
 * case of twenty at most). `seed`: the same values with the same seed give the same interval.
 * Returns 0, -EINVAL (no values, or not all are finite), -ENOMEM.
 */
ROTA_MUST_USE int stats_interval(const double values[], unsigned count, double confidence,
				 uint64_t seed, struct stats_interval *out);

/* ---- calls ---- */

enum stats_call { STATS_LESS, STATS_MORE, STATS_EQUAL, STATS_UNDECIDED, STATS_CALL_COUNT };

/* "less", "more", "equal", "undecided". */
const char *stats_call_name(enum stats_call call);

/*
 * What an interval of ratios to the reference says. Equal: all of it is within `margin` of 1 (0.03:
 * 0.97 to 1.03), also when it excludes 1, because so little is of no use to anybody and may come
 * from where a process happens to lie in memory. Less, more: it excludes 1, and the median is not
 * within the margin either. Everything else is undecided.
 */
enum stats_call stats_call(const struct stats_interval *ratio, double margin);

/* ---- many calls ---- */

/*
 * How likely ratios of two that are the same in truth lie as far to one side of 1 as `ratios` do,
 * or further, `*p`. Exact up to 64 of them. Both are started in the same way and take turns in
 * random order; so if they are the same, a ratio is as likely as its reciprocal, which is all that
 * Wilcoxon's signed-rank test of the logarithms asks for. Returns 0, -EINVAL (none, or not all are
 * finite and 0 or above), -ENOMEM.
 */
ROTA_MUST_USE int stats_chance(const double ratios[], unsigned count, double *p);

/*
 * Which of many calls stand, `stands[count]`, so that of those that do at most the part `rate` is
 * expected to be chance (Benjamini and Hochberg, 1995). `p`: of each, as stats_chance. Returns 0 or
 * -ENOMEM.
 */
ROTA_MUST_USE int stats_which_stand(const double p[], unsigned count, double rate, bool stands[]);

#endif /* BENCH_COMPARE_STATS_H */
