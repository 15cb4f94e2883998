/* SPDX-License-Identifier: MIT */
/*
 * Medians, intervals and calls; see stats.h. The bootstrap is Efron's percentile method (Efron,
 * Tibshirani: An Introduction to the Bootstrap, 1993, chapter 13), the interval between order
 * statistics the one behind the sign test (Conover: Practical Nonparametric Statistics, 3.2).
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare/stats.h"

/* More values are as good as normal for the signed-rank test. */
#define EXACT_MAX 64

/* Resamples: the ends of an interval wander by a tenth of its width with 2000, a guess. */
#define RESAMPLES 4000

/* ---- random numbers ---- */

uint64_t stats_random_next(struct stats_random *random)
{
	uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* The high half of a product is even enough: `count` is far below 2^32. */
uint32_t stats_random_below(struct stats_random *random, uint32_t count)
{
	return (uint32_t)(((stats_random_next(random) >> 32) * count) >> 32);
}

void stats_random_order(struct stats_random *random, unsigned order[], unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		unsigned j = stats_random_below(random, i + 1);

		order[i] = i;
		order[i] = order[j];
		order[j] = i;
	}
}

/* ---- what belongs together ---- */

static int compare_doubles(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return a < b ? -1 : a > b;
}

/* Of sorted values. */
static double median_of(const double sorted[], unsigned count)
{
	return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

/* Sorts them. */
static double median_of_group(double values[], unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (!isfinite(values[i]))
			return NAN;
	qsort(values, count, sizeof(*values), compare_doubles);
	return median_of(values, count);
}

unsigned stats_group(double values[], const unsigned groups[], unsigned count)
{
	unsigned found = 0, first = 0;

	for (unsigned i = 1; i <= count; i++)
		if (i == count || groups[i] != groups[first]) {
			values[found++] = median_of_group(values + first, i - first);
			first = i;
		}
	return found;
}

/* ---- intervals ---- */

/*
 * How many of the smallest and of the largest values lie outside of the interval that the median is
 * in with `confidence`: the most for which a fair coin shows so few heads in `count` throws, or
 * fewer, with at most half of what is left to chance. -1: even all of them are too few.
 */
static int values_outside(unsigned count, double confidence)
{
	double log_chance = -(double)count * log(2), sum = 0;
	int outside = -1;

	for (unsigned heads = 0; heads < count / 2; heads++) {
		sum += exp(log_chance);
		if (sum > (1 - confidence) / 2)
			break;
		outside = (int)heads;
		log_chance += log((double)(count - heads) / (double)(heads + 1));
	}
	return outside;
}

/* The median of one resample: `drawn` counts how often each of the sorted values was drawn. */
static double resampled_median(const double sorted[], unsigned drawn[], unsigned count,
			       struct stats_random *random)
{
	unsigned seen = 0, i = 0;
	double lower;

	memset(drawn, 0, count * sizeof(*drawn));
	for (unsigned n = 0; n < count; n++)
		drawn[stats_random_below(random, count)]++;
	for (seen = drawn[0]; seen <= (count - 1) / 2; seen += drawn[i])
		i++;
	lower = sorted[i];
	for (; seen <= count / 2; seen += drawn[i])
		i++;
	return (lower + sorted[i]) / 2;
}

static int bootstrap(const double sorted[], unsigned count, double confidence, uint64_t seed,
		     struct stats_interval *out)
{
	double *medians = malloc(RESAMPLES * sizeof(*medians));
	unsigned *drawn = malloc(count * sizeof(*drawn));
	struct stats_random random = { .state = seed };
	double tail = (1 - confidence) / 2;

	if (!medians || !drawn) {
		free(medians);
		free(drawn);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < RESAMPLES; i++)
		medians[i] = resampled_median(sorted, drawn, count, &random);
	qsort(medians, RESAMPLES, sizeof(*medians), compare_doubles);
	out->low = medians[(unsigned)(tail * (RESAMPLES - 1))];
	out->high = medians[(unsigned)ceil((1 - tail) * (RESAMPLES - 1))];
	free(medians);
	free(drawn);
	return 0;
}

static int interval_of_sorted(const double sorted[], unsigned count, double confidence,
			      uint64_t seed, struct stats_interval *out)
{
	int outside = values_outside(count, confidence), status;
	/* Without enough values, from the smallest to the largest. */
	unsigned cut = outside < 0 ? 0 : (unsigned)outside;
	struct stats_interval interval;

	status = bootstrap(sorted, count, confidence, seed, &interval);
	if (status < 0)
		return status;
	interval.median = median_of(sorted, count);
	interval.low = fmin(interval.low, sorted[cut]);
	interval.high = fmax(interval.high, sorted[count - 1 - cut]);
	interval.is_valid = outside >= 0;
	*out = interval;
	return 0;
}

int stats_interval(const double values[], unsigned count, double confidence, uint64_t seed,
		   struct stats_interval *out)
{
	double *sorted;
	int status;

	if (!count)
		return -EINVAL;
	for (unsigned i = 0; i < count; i++)
		if (!isfinite(values[i]))
			return -EINVAL;
	sorted = malloc(count * sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	memcpy(sorted, values, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare_doubles);
	status = interval_of_sorted(sorted, count, confidence, seed, out);
	free(sorted);
	return status;
}

/* ---- calls ---- */

const char *stats_call_name(enum stats_call call)
{
	static const char *const names[STATS_CALL_COUNT] = {
		[STATS_LESS] = "less",
		[STATS_MORE] = "more",
		[STATS_EQUAL] = "equal",
		[STATS_UNDECIDED] = "undecided",
	};

	return names[call];
}

enum stats_call stats_call(const struct stats_interval *ratio, double margin)
{
	if (!ratio->is_valid)
		return STATS_UNDECIDED;
	if (ratio->low >= 1 - margin && ratio->high <= 1 + margin)
		return STATS_EQUAL;
	if (ratio->high < 1 && ratio->median < 1 - margin)
		return STATS_LESS;
	if (ratio->low > 1 && ratio->median > 1 + margin)
		return STATS_MORE;
	return STATS_UNDECIDED;
}

/* ---- many calls ---- */

static int compare_sizes(const void *left, const void *right)
{
	double a = fabs(*(const double *)left), b = fabs(*(const double *)right);

	return a < b ? -1 : a > b;
}

/*
 * Twice the rank of each value by its size, so that the mean ranks of ties are whole numbers. Sorts
 * `values`, none of which is 0.
 */
static void rank(double values[], unsigned count, unsigned ranks[])
{
	qsort(values, count, sizeof(*values), compare_sizes);
	for (unsigned first = 0, after = 0; first < count; first = after) {
		while (after < count && !(fabs(values[after]) > fabs(values[first])))
			after++;
		for (unsigned i = first; i < after; i++)
			ranks[i] = first + 1 + after;
	}
}

/* How likely a sum of ranks, each with its sign by a fair coin, is at most `sum`. */
static int chance_of_sum(const unsigned ranks[], unsigned count, unsigned sum, double *out)
{
	unsigned total = count * (count + 1);
	double *chances = calloc(total + 1, sizeof(*chances));

	if (!chances)
		return -ENOMEM;
	chances[0] = 1;
	for (unsigned i = 0; i < count; i++)
		for (unsigned at = total + 1; at-- > 0;)
			chances[at] =
				(chances[at] + (at >= ranks[i] ? chances[at - ranks[i]] : 0)) / 2;
	*out = 0;
	for (unsigned at = 0; at <= sum; at++)
		*out += chances[at];
	free(chances);
	return 0;
}

/* Many values: their sum of ranks is as good as normal. */
static double chance_of_many(const unsigned ranks[], unsigned count, double sum)
{
	double variance = 0;

	for (unsigned i = 0; i < count; i++)
		variance += (double)ranks[i] * ranks[i] / 4;
	/* Half a step of 2, for what lies between two sums. */
	return erfc(-(sum + 1 - (double)count * (count + 1) / 2) / sqrt(2 * variance)) / 2;
}

/* Of logarithms without zeros. Sorts them. */
static int chance_of_logarithms(double values[], unsigned count, unsigned ranks[], double *p)
{
	unsigned above = 0, below = 0, smaller;
	int status = 0;

	rank(values, count, ranks);
	for (unsigned i = 0; i < count; i++)
		*(values[i] > 0 ? &above : &below) += ranks[i];
	smaller = above < below ? above : below;
	if (count <= EXACT_MAX)
		status = chance_of_sum(ranks, count, smaller, p);
	else
		*p = chance_of_many(ranks, count, smaller);
	if (status == 0)
		*p = fmin(1, *p * 2);
	return status;
}

int stats_chance(const double ratios[], unsigned count, double *p)
{
	double *values = malloc((count + 1) * sizeof(*values));
	unsigned *ranks = malloc((count + 1) * sizeof(*ranks));
	unsigned used = 0;
	int status = values && ranks ? 0 : -ENOMEM;

	if (!count)
		status = -EINVAL;
	for (unsigned i = 0; status == 0 && i < count; i++) {
		if (!isfinite(ratios[i]) || ratios[i] < 0)
			status = -EINVAL;
		else if (ratios[i] < 1 || ratios[i] > 1)
			values[used++] = log(ratios[i]);
	}
	if (status == 0)
		status = chance_of_logarithms(values, used, ranks, p);
	free(values);
	free(ranks);
	return status;
}

int stats_which_stand(const double p[], unsigned count, double rate, bool stands[])
{
	double *sorted = malloc((count + 1) * sizeof(*sorted)), most = -1;

	if (!sorted)
		return -ENOMEM;
	memcpy(sorted, p, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare_doubles);
	for (unsigned i = 0; i < count; i++)
		if (sorted[i] <= (i + 1) * rate / count)
			most = sorted[i];
	free(sorted);
	for (unsigned i = 0; i < count; i++)
		stands[i] = p[i] <= most;
	return 0;
}
