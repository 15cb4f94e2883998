/* SPDX-License-Identifier: MIT */
/*
 * SipHash, written from the paper (Aumasson and Bernstein 2012, section 2). Leaf; any thread.
 */
#include "apps/kv/store/hash.h"

#include <string.h>

#include <rota/base.h>

struct state {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate_left(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static inline uint64_t from_little_endian(uint64_t x)
{
	if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
		return __builtin_bswap64(x);
	return x;
}

static inline uint64_t load(const unsigned char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return from_little_endian(word);
}

static inline void do_rounds(struct state *s, unsigned rounds)
{
#pragma GCC unroll 4
	for (unsigned i = 0; i < rounds; i++) {
		s->v0 += s->v1;
		s->v2 += s->v3;
		s->v1 = rotate_left(s->v1, 13) ^ s->v0;
		s->v3 = rotate_left(s->v3, 16) ^ s->v2;
		s->v0 = rotate_left(s->v0, 32);
		s->v2 += s->v1;
		s->v0 += s->v3;
		s->v1 = rotate_left(s->v1, 17) ^ s->v2;
		s->v3 = rotate_left(s->v3, 21) ^ s->v0;
		s->v2 = rotate_left(s->v2, 32);
	}
}

/* The last 0 … 7 bytes, without reading past the end. */
static inline uint64_t load_tail(const unsigned char *at, size_t bytes)
{
	uint64_t word = 0;

	for (size_t i = 0; i < bytes; i++)
		word |= (uint64_t)at[i] << (8 * i);
	return word;
}

/* Always inlined, so that the numbers of rounds are constants and the loops disappear. */
static inline __attribute__((always_inline)) uint64_t sip(const struct kv_hash_key *key,
							  const void *data, size_t bytes,
							  unsigned per_word, unsigned at_end)
{
	const unsigned char *at = data;
	const unsigned char *end = at ? at + (bytes & ~(size_t)7) : at;
	struct state s = {
		key->k0 ^ UINT64_C(0x736f6d6570736575),
		key->k1 ^ UINT64_C(0x646f72616e646f6d),
		key->k0 ^ UINT64_C(0x6c7967656e657261),
		key->k1 ^ UINT64_C(0x7465646279746573),
	};
	uint64_t word;

	ROTA_DCHECK(data || !bytes);
	for (; at != end; at += 8) {
		word = load(at);
		s.v3 ^= word;
		do_rounds(&s, per_word);
		s.v0 ^= word;
	}
	word = load_tail(at, bytes & 7) | (uint64_t)bytes << 56;
	s.v3 ^= word;
	do_rounds(&s, per_word);
	s.v0 ^= word;
	s.v2 ^= 0xff;
	do_rounds(&s, at_end);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

struct kv_hash_key kv_hash_key_of(const uint8_t seed[16])
{
	struct kv_hash_key key = { load(seed), load(seed + 8) };

	return key;
}

uint64_t kv_hash_1_3(const struct kv_hash_key *key, const void *data, size_t bytes)
{
	return sip(key, data, bytes, 1, 3);
}

uint64_t kv_hash_2_4(const struct kv_hash_key *key, const void *data, size_t bytes)
{
	return sip(key, data, bytes, 2, 4);
}
