/* SPDX-License-Identifier: MIT */
/*
 * Which key comes next, and how large its value is. One thread at a time; allocates nothing.
 *
 * The one idea: a key is a number, and its value follows from it. So whoever gets a value can tell
 * whether it is the right one, and nobody has to remember what was written.
 */
#ifndef BENCH_LOAD_KEYS_H
#define BENCH_LOAD_KEYS_H

#include <rota/base.h>

/* A source of random numbers: xorshift64* (S. Vigna, ACM TOMS 42, 2016). */
struct random {
	uint64_t state;
};

/* `stream` tells sources of one seed apart. */
void random_init(struct random *random, uint64_t seed, uint64_t stream);

static inline uint64_t random_next(struct random *random)
{
	random->state ^= random->state >> 12;
	random->state ^= random->state << 25;
	random->state ^= random->state >> 27;
	return random->state * UINT64_C(0x2545f4914f6cdd1d);
}

/* Evenly in [0, 1). */
static inline double random_unit(struct random *random)
{
	return (double)(random_next(random) >> 11) * 0x1p-53;
}

/*
 * A whole number in [0, bound), bound < 2^32 (D. Lemire, ACM TOMACS 29, 2019, without rejection).
 */
static inline uint64_t random_below(struct random *random, uint64_t bound)
{
	return (random_next(random) >> 32) * bound >> 32;
}

enum distribution { KEYS_UNIFORM, KEYS_ZIPF, KEYS_GAUSS, KEYS_SEQUENTIAL };

struct keys {
	enum distribution distribution;
	uint64_t count; /* of keys: 1 to UINT32_MAX */
	/* zipf: the exponent; gauss: the standard deviation, in keys */
	double parameter;
	uint64_t next; /* sequential */
	/* private: of zipf, what does not change */
	double integral_first_;
	double integral_last_;
	double squeeze_;
};

/* `first`: where a sequence begins. */
void keys_init(struct keys *keys, enum distribution distribution, double parameter, uint64_t count,
	       uint64_t first);

/* Draw one, from 0 to count - 1. Of zipf and sequential, 0 is the first; gauss has its peak in the
 * middle. */
uint32_t keys_next(struct keys *keys, struct random *random);

/* Bytes of the value of `key`, evenly spread over [least, most]. */
uint32_t keys_value_bytes(uint32_t key, uint32_t least, uint32_t most);

#endif
