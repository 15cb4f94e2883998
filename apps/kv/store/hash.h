/* SPDX-License-Identifier: MIT */
/*
 * SipHash with 1 or 2 compression rounds: the keyed hash of the store. Leaf; any thread; pure
 * functions.
 *
 * From Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012). The store uses SipHash-1-3
 * (the weakest form for which no attack is known on hash tables); SipHash-2-4 is here because its
 * published vectors check the common part.
 */
#ifndef KV_STORE_HASH_H
#define KV_STORE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct kv_hash_key {
	uint64_t k0;
	uint64_t k1;
};

/* The key from 16 secret bytes, little-endian as in the paper. */
struct kv_hash_key kv_hash_key_of(const uint8_t seed[16]);

uint64_t kv_hash_1_3(const struct kv_hash_key *key, const void *data, size_t bytes);
uint64_t kv_hash_2_4(const struct kv_hash_key *key, const void *data, size_t bytes);

#endif /* KV_STORE_HASH_H */
