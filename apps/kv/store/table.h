/* SPDX-License-Identifier: MIT */
/*
 * One database's part of one shard: a linear-hashing table of cache-line buckets. Private to the
 * store; under the shard's lock, except where a function says otherwise.
 *
 * The one idea: linear hashing (Litwin 1980) grows and shrinks by one bucket at a time, so there is
 * no pause and never two tables. A bucket is a cache line of eight words, each an entry's address
 * with 16 bits of hash in the unused top; what doesn't fit goes to one exactly sized block behind
 * the eighth word.
 */
#ifndef KV_STORE_TABLE_H
#define KV_STORE_TABLE_H

#include "apps/kv/store/entry.h"
#include "apps/kv/store/hash.h"

#define KV_BUCKET_SLOTS 8

/*
 * A slot: 0 when empty, else address | tag << 48 | bits. User space addresses end below 2^48 on
 * x86-64 and aarch64 unless a program asks the kernel for more, and entries are 8-byte aligned;
 * both are asserted where slots are made.
 */
/* slot 7 only: address of the overflow block, its count in place of the tag */
#define KV_SLOT_LINK UINT64_C(1)
/* the entry has an expiry, so the sweep needn't touch the others */
#define KV_SLOT_EXPIRING UINT64_C(2)
#define KV_SLOT_BITS UINT64_C(7)
#define KV_SLOT_ADDRESS ((UINT64_C(1) << 48) - 1 - KV_SLOT_BITS)

/* Slots in use are the first ones, so a search ends at the first empty one. */
struct kv_bucket {
	uint64_t slots[KV_BUCKET_SLOTS];
};

struct kv_table {
	uint64_t space;   /* where the buckets are, see space.h; 0 until the first key */
	uint32_t buckets; /* 0 until the first key */
	uint32_t keys;
	uint32_t expiring;    /* keys with an expiry */
	uint32_t sweep_at;    /* where the expiry sweep stands, in scan order */
	int64_t expiry_floor; /* no key expires before this; INT64_MAX: none has an expiry */
	int64_t sweep_floor;  /* the floor being computed by the sweep that is under way */
};

/*
 * A database's share in one reactor's work. Written by that reactor only (or alone behind the
 * gate).
 */
struct kv_counts {
	int64_t keys;
	int64_t expiring;
	int64_t memory_bytes;
};

/* What a change to a table needs beyond it; set up once per operation. */
struct kv_site {
	struct kv_table *table;
	struct kv_counts *counts;
	struct kv_garbage *garbage;
	struct kv_garbage *retired; /* takes what a prefetch may still look at */
	const struct kv_hash_key *hash_key;
};

/*
 * The parts of a hash: bits 0-31 choose the bucket and the place in scan order, 32-47 are the tag,
 * 48-63 the shard.
 */
static inline uint32_t kv__hash_bucket(uint64_t hash)
{
	return (uint32_t)hash;
}

static inline uint64_t kv__hash_tag(uint64_t hash)
{
	return hash << 16 >> 48 << 48;
}

/*
 * The block a link leads to, and the slots in it; both of one moment when the link was read once.
 */
static inline uint64_t *kv__overflow_of(uint64_t link)
{
	return (uint64_t *)(uintptr_t)(link & KV_SLOT_ADDRESS);
}

static inline uint32_t kv__overflow_count(uint64_t link)
{
	return (uint32_t)(link >> 48);
}

static inline struct kv_entry *kv__slot_entry(uint64_t slot)
{
	return (struct kv_entry *)(uintptr_t)(slot & KV_SLOT_ADDRESS);
}

/* Keys are short: two overlapping words decide up to 16 bytes without a call. */
static inline bool kv__equal_bytes(const char *a, const char *b, size_t bytes)
{
	uint64_t a_head, b_head, a_tail, b_tail;

	if (bytes < 8 || bytes > 16)
		return !bytes || !memcmp(a, b, bytes);
	memcpy(&a_head, a, 8);
	memcpy(&b_head, b, 8);
	memcpy(&a_tail, a + bytes - 8, 8);
	memcpy(&b_tail, b + bytes - 8, 8);
	return !((a_head ^ b_head) | (a_tail ^ b_tail));
}

/*
 * Whether a slot (not a link) holds `key`. Under the lock the answer is right also for a slot that
 * was found earlier in a bucket which has since been split, emptied or retired: what is not in use
 * is 0.
 */
static inline bool kv__slot_holds(uint64_t slot, uint64_t hash, struct rota_view key)
{
	struct rota_view candidate;

	if (!slot || (slot ^ kv__hash_tag(hash)) >> 48)
		return false;
	candidate = kv_entry_key(kv__slot_entry(slot));
	return candidate.bytes == key.bytes && kv__equal_bytes(candidate.data, key.data, key.bytes);
}

/* Add to a counter that only this thread writes and any may read. */
static inline void kv__count(int64_t *counter, int64_t delta)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + delta,
			 __ATOMIC_RELAXED);
}

void kv__table_init(struct kv_table *table);

/* The slot of a key, or NULL. Valid until the next insert or remove. */
uint64_t *kv__table_find(const struct kv_table *table, uint64_t hash, struct rota_view key);

/* Add an entry whose key isn't there. Returns 0, or -ENOMEM (nothing changed). */
ROTA_MUST_USE int kv__table_insert(struct kv_site *site, uint64_t hash, struct kv_entry *entry);

/* Take a slot out; the entry is the caller's. Shrinks by at most one bucket. */
void kv__table_remove(struct kv_site *site, uint64_t hash, uint64_t *slot);

/* Put another entry of the same key into its slot; the old one is the caller's. */
void kv__table_replace(struct kv_site *site, uint64_t *slot, struct kv_entry *entry);

/* Account for a key's change of expiry. */
void kv__table_note_expiry(struct kv_site *site, int64_t at_ms);

/* End of scan order. */
#define KV_SCAN_END (UINT64_C(1) << 32)

/*
 * Visit the bucket that holds scan position `at` (< KV_SCAN_END) of a table with at least one
 * bucket; skips what expired.
 * Returns the position after it. Adds to *visited.
 */
uint64_t kv__table_scan(const struct kv_table *table, uint64_t at, int64_t now_ms,
			uint32_t *visited, void (*visit)(void *arg, const struct kv_entry *entry),
			void *arg);

/*
 * One bucket of the sweep for expired entries. Returns how many with an expiry it looked at; adds
 * to *removed.
 */
uint32_t kv__table_sweep(struct kv_site *site, struct kv_slab_cache *cache, int64_t now_ms,
			 uint32_t *removed);

/* What became garbage with all that is in it, written over its first bucket. */
struct kv_discarded {
	struct kv_discarded *link;
	uint64_t space;
	struct kv_slab_cache *cache; /* takes the entries */
	uint32_t buckets;            /* what is left to free */
};

_Static_assert(sizeof(struct kv_discarded) <= sizeof(struct kv_bucket), "it takes one's place");

/*
 * Empty the table; all it had is in the garbage, which lends `cache` until it is freed. Alone
 * behind the gate.
 */
void kv__table_discard(struct kv_table *table, struct kv_garbage *garbage,
		       struct kv_slab_cache *cache);

/*
 * Free a discarded table from its end, `*budget` blocks at most. Returns true when nothing of it is
 * left.
 */
bool kv__table_free_some(struct kv_discarded *discarded, uint32_t *budget);

#endif /* KV_STORE_TABLE_H */
