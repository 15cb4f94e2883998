/* SPDX-License-Identifier: MIT */
/*
 * Latencies as an HDR histogram: every value within 0.1 %, from a nanosecond to an hour. One
 * thread at a time; allocates nothing.
 *
 * The one idea: a bucket's number is the value's highest eleven bits and how far they were shifted,
 * so recording is a shift, an add and an increment. The layout is that of HdrHistogram (G. Tene,
 * hdrhistogram.org) with three significant digits and the unit 1, so counts go into its format as
 * they are (hdr_log.c).
 */
#ifndef BENCH_LOAD_HISTOGRAM_H
#define BENCH_LOAD_HISTOGRAM_H

#include <rota/base.h>

#define HISTOGRAM_SUB_BITS 10
#define HISTOGRAM_HIGHEST_NS INT64_C(3600000000000)
/* The highest bit of an hour is bit 41: shifts 0 to 31, of 1024 each, and one half more. */
#define HISTOGRAM_BUCKETS (33u << HISTOGRAM_SUB_BITS)

struct histogram {
	uint64_t count;
	uint64_t sum_ns;
	uint64_t min_ns; /* UINT64_MAX: nothing was recorded */
	uint64_t max_ns;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

static inline unsigned histogram_bucket(uint64_t value_ns)
{
	uint64_t bits = value_ns | UINT64_C(1) << HISTOGRAM_SUB_BITS;
	unsigned shift = 63 - (unsigned)__builtin_clzll(bits) - HISTOGRAM_SUB_BITS;

	return (shift << HISTOGRAM_SUB_BITS) + (unsigned)(value_ns >> shift);
}

/* Record a value; what lies outside counts as the nearest that does not. */
static inline void histogram_record(struct histogram *histogram, int64_t value)
{
	uint64_t value_ns = value > 0 ? (uint64_t)value : 0;

	if (ROTA_UNLIKELY(value > HISTOGRAM_HIGHEST_NS))
		value_ns = (uint64_t)HISTOGRAM_HIGHEST_NS;
	histogram->buckets[histogram_bucket(value_ns)]++;
	histogram->count++;
	histogram->sum_ns += value_ns;
	if (value_ns < histogram->min_ns)
		histogram->min_ns = value_ns;
	if (value_ns > histogram->max_ns)
		histogram->max_ns = value_ns;
}

/* Empty it. */
void histogram_reset(struct histogram *histogram);

/* Add what `from` has. */
void histogram_add(struct histogram *to, const struct histogram *from);

/*
 * Take away `earlier`, an older state of the same. Least and greatest are then those of the
 * buckets, not of the values.
 */
void histogram_subtract(struct histogram *from, const struct histogram *earlier);

/* The greatest value that falls into bucket number `bucket`. */
uint64_t histogram_bucket_highest(unsigned bucket);

/*
 * The value that `percentile` (0 to 100) of all do not exceed: the highest of its bucket, but never
 * more than the greatest. 0 when it is empty.
 */
uint64_t histogram_percentile(const struct histogram *histogram, double percentile);

#endif
