/* SPDX-License-Identifier: MIT */
/*
 * Distributions of keys.
 *
 * Zipf by rejection-inversion (W. Hörmann, G. Derflinger, "Rejection-inversion to generate variates
 * from monotone discrete distributions", ACM TOMACS 6, 1996): no table, any exponent > 0, about 1.1
 * tries a draw. Gray's method, which YCSB uses, needs a sum over all keys first and knows no
 * exponent of 1 or more.
 */
#include <math.h>

#include "bench/load/keys.h"

void random_init(struct random *random, uint64_t seed, uint64_t stream)
{
	/* SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) makes unlike states of like seeds. */
	uint64_t x = seed + (stream + 1) * UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	x ^= x >> 31;
	random->state = x ? x : 1;
}

/* ---- zipf ---- */

/* log(1 + x) / x and (e^x - 1) / x, also around 0. */
static double log1p_over(double x)
{
	return fabs(x) > 1e-8 ? log1p(x) / x : 1 - x / 2;
}

static double expm1_over(double x)
{
	return fabs(x) > 1e-8 ? expm1(x) / x : 1 + x / 2;
}

/* The hat x^-s, its integral from 1, and the inverse of that. */
static double hat(double x, double s)
{
	return exp(-s * log(x));
}

static double hat_integral(double x, double s)
{
	double log_x = log(x);

	return expm1_over((1 - s) * log_x) * log_x;
}

static double hat_inverse(double area, double s)
{
	double t = area * (1 - s);

	return exp(log1p_over(t < -1 ? -1 : t) * area);
}

static void zipf_init(struct keys *keys)
{
	double s = keys->parameter;

	keys->integral_first_ = hat_integral(1.5, s) - 1;
	keys->integral_last_ = hat_integral((double)keys->count + 0.5, s);
	keys->squeeze_ = 2 - hat_inverse(hat_integral(2.5, s) - hat(2, s), s);
}

static uint64_t zipf_next(const struct keys *keys, struct random *random)
{
	double s = keys->parameter;

	for (;;) {
		double area = keys->integral_last_ +
			      random_unit(random) * (keys->integral_first_ - keys->integral_last_);
		double x = hat_inverse(area, s);
		double rank = floor(x + 0.5);

		if (rank < 1)
			rank = 1;
		else if (rank > (double)keys->count)
			rank = (double)keys->count;
		if (rank - x <= keys->squeeze_ ||
		    area >= hat_integral(rank + 0.5, s) - hat(rank, s))
			return (uint64_t)rank - 1;
	}
}

/* ---- gauss ---- */

/* One normal variate by the polar method (G. Marsaglia, T. A. Bray, SIAM Review 6, 1964). */
static double normal(struct random *random)
{
	double u, v, square;

	do {
		u = 2 * random_unit(random) - 1;
		v = 2 * random_unit(random) - 1;
		square = u * u + v * v;
	} while (square >= 1 || square == 0);
	return u * sqrt(-2 * log(square) / square);
}

/* What falls outside the keys is drawn again. */
static uint64_t gauss_next(const struct keys *keys, struct random *random)
{
	double count = (double)keys->count;
	double place;

	do {
		place = count / 2 + keys->parameter * normal(random);
	} while (place < 0 || place >= count);
	return (uint64_t)place;
}

/* ---- all ---- */

void keys_init(struct keys *keys, enum distribution distribution, double parameter, uint64_t count,
	       uint64_t first)
{
	*keys = (struct keys){
		.distribution = distribution,
		.parameter = parameter,
		.count = count,
		.next = first % count,
	};
	if (distribution == KEYS_ZIPF)
		zipf_init(keys);
}

uint32_t keys_next(struct keys *keys, struct random *random)
{
	uint64_t key;

	switch (keys->distribution) {
	case KEYS_ZIPF:
		return (uint32_t)zipf_next(keys, random);
	case KEYS_GAUSS:
		return (uint32_t)gauss_next(keys, random);
	case KEYS_SEQUENTIAL:
		key = keys->next;
		keys->next = key + 1 == keys->count ? 0 : key + 1;
		return (uint32_t)key;
	default:
		return (uint32_t)random_below(random, keys->count);
	}
}

uint32_t keys_value_bytes(uint32_t key, uint32_t least, uint32_t most)
{
	/* Fibonacci hashing (D. Knuth, TAOCP 3, 6.4): neighbours get unlike sizes. */
	uint32_t spread = key * UINT32_C(2654435769);

	return least + (uint32_t)((uint64_t)spread * ((uint64_t)most - least + 1) >> 32);
}
