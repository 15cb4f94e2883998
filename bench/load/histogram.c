/* SPDX-License-Identifier: MIT */
/*
 * Histograms: what is not done for each request.
 */
#include <math.h>
#include <string.h>

#include "bench/load/histogram.h"

_Static_assert((HISTOGRAM_HIGHEST_NS >> 41) == 1, "the last bucket is an hour's");

void histogram_reset(struct histogram *histogram)
{
	memset(histogram, 0, sizeof(*histogram));
	histogram->min_ns = UINT64_MAX;
}

void histogram_add(struct histogram *to, const struct histogram *from)
{
	to->count += from->count;
	to->sum_ns += from->sum_ns;
	if (from->min_ns < to->min_ns)
		to->min_ns = from->min_ns;
	if (from->max_ns > to->max_ns)
		to->max_ns = from->max_ns;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		to->buckets[i] += from->buckets[i];
}

static uint64_t bucket_lowest(unsigned bucket)
{
	return bucket ? histogram_bucket_highest(bucket - 1) + 1 : 0;
}

void histogram_subtract(struct histogram *from, const struct histogram *earlier)
{
	from->count -= earlier->count;
	from->sum_ns -= earlier->sum_ns;
	from->min_ns = UINT64_MAX;
	from->max_ns = 0;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		from->buckets[i] -= earlier->buckets[i];
		if (!from->buckets[i])
			continue;
		if (from->min_ns == UINT64_MAX)
			from->min_ns = bucket_lowest(i);
		from->max_ns = histogram_bucket_highest(i);
	}
}

uint64_t histogram_bucket_highest(unsigned bucket)
{
	unsigned shift = bucket >> HISTOGRAM_SUB_BITS;
	uint64_t top;

	if (shift)
		shift--;
	top = bucket - ((uint64_t)shift << HISTOGRAM_SUB_BITS);
	return ((top + 1) << shift) - 1;
}

uint64_t histogram_percentile(const struct histogram *histogram, double percentile)
{
	uint64_t rank = (uint64_t)ceil((double)histogram->count * percentile / 100);
	uint64_t seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += histogram->buckets[i];
		if (seen && seen >= rank) {
			uint64_t highest = histogram_bucket_highest(i);

			return highest < histogram->max_ns ? highest : histogram->max_ns;
		}
	}
	return 0;
}
