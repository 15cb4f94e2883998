/* SPDX-License-Identifier: MIT */
/*
 * The table: finding, inserting and removing, growing and shrinking bucket by bucket. Private to
 * the store; under the shard's lock.
 *
 * The one idea: a bucket and its overflow block are one chain of slots, numbered from 0, without
 * holes. The overflow block has room for an even number of slots, the next one above its count, so
 * its capacity needs no field.
 *
 * Stores to what kv__table_peek reads without a lock are relaxed atomics; memory it may still read
 * is retired, not freed.
 */
#include "apps/kv/store/table.h"

#include <rota/error.h>
#include <rota/memory.h>

#include "apps/kv/store/match.h"
#include "apps/kv/store/space.h"

/*
 * Grow above 7.5 keys a bucket, shrink below half of that. Measured with
 * bench/micro/store_memory.c: more saves little memory and sends more look-ups to overflow blocks
 * (docs/design/0006-store.md).
 */
#define KEYS_PER_TWO_BUCKETS 15

/* Overflow slots the link can count. Only a long series of failed allocations gets near it. */
#define OVERFLOW_MAX 65534u

static uint64_t make_slot(uint64_t hash, const struct kv_entry *entry);
static void split_one(struct kv_site *site);
static void merge_one(struct kv_site *site);

static uint64_t entry_hash(const struct kv_site *site, const struct kv_entry *entry)
{
	struct rota_view key = kv_entry_key(entry);

	return kv_hash_1_3(site->hash_key, key.data, key.bytes);
}

static inline struct kv_bucket *bucket_at(const struct kv_table *table, uint32_t number)
{
	return kv__space_bucket(table->space, number);
}

static inline struct kv_bucket *bucket_of(const struct kv_table *table, uint64_t hash)
{
	return bucket_at(table, kv__bucket_number(kv__hash_bucket(hash), table->buckets));
}

/* ---- chains: a bucket and its overflow block ---- */

static inline size_t overflow_bytes(uint32_t count)
{
	return rota_round_up(count, 2) * sizeof(uint64_t);
}

static inline uint64_t make_link(const uint64_t *overflow, uint32_t count)
{
	uint64_t address = (uintptr_t)overflow;

	ROTA_ASSERT(!(address & ~KV_SLOT_ADDRESS));
	return address | KV_SLOT_LINK | (uint64_t)count << 48;
}

static inline void store_slot(uint64_t *slot, uint64_t value)
{
	__atomic_store_n(slot, value, __ATOMIC_RELAXED);
}

/* Put an overflow block's address and count into `slot`. Release: a prefetch sees what is in it. */
static inline void store_link(uint64_t *slot, const uint64_t *overflow, uint32_t count)
{
	__atomic_store_n(slot, make_link(overflow, count), __ATOMIC_RELEASE);
}

static uint32_t chain_count(const struct kv_bucket *bucket)
{
	uint64_t last = bucket->slots[KV_BUCKET_SLOTS - 1];
	uint32_t count = 0;

	if (last)
		return last & KV_SLOT_LINK ? KV_BUCKET_SLOTS - 1 + kv__overflow_count(last)
					   : KV_BUCKET_SLOTS;
	while (bucket->slots[count])
		count++;
	return count;
}

static uint64_t *chain_at(struct kv_bucket *bucket, uint32_t index)
{
	uint64_t last = bucket->slots[KV_BUCKET_SLOTS - 1];

	if (index < KV_BUCKET_SLOTS - 1 || !(last & KV_SLOT_LINK))
		return &bucket->slots[index];
	return &kv__overflow_of(last)[index - (KV_BUCKET_SLOTS - 1)];
}

/* A block of `count` slots is out of use; a prefetch may still look at it. */
static void drop_overflow(struct kv_site *site, uint64_t *overflow, uint32_t count)
{
	kv__site_count_memory(site, 0, overflow_bytes(count));
	kv__garbage_add_block(site->retired, overflow);
}

/*
 * A block for `count` slots in place of `old` (NULL: none) with its `old_count`; what both have
 * room for is in it. NULL: no memory, and nothing has changed.
 */
static uint64_t *replace_overflow(struct kv_site *site, uint64_t *old, uint32_t old_count,
				  uint32_t count)
{
	uint64_t *overflow = rota_alloc(overflow_bytes(count));

	if (!overflow)
		return NULL;
	kv__site_count_memory(site, overflow_bytes(count), 0);
	if (old) {
		memcpy(overflow, old, rota_min_size(old_count, count) * sizeof(old[0]));
		drop_overflow(site, old, old_count);
	}
	return overflow;
}

/* Append to a chain. Returns 0 or -ENOMEM. */
static int chain_append(struct kv_site *site, struct kv_bucket *bucket, uint64_t slot)
{
	uint32_t count = chain_count(bucket);
	uint64_t *last = &bucket->slots[KV_BUCKET_SLOTS - 1];
	uint32_t overflowing = count - (KV_BUCKET_SLOTS - 1);
	uint64_t *overflow = NULL;

	if (count < KV_BUCKET_SLOTS) {
		store_slot(&bucket->slots[count], slot);
		return 0;
	}
	if (*last & KV_SLOT_LINK)
		overflow = kv__overflow_of(*last);
	if (!overflow || overflowing % 2 == 0) {
		uint64_t *grown = NULL;

		if (overflowing < OVERFLOW_MAX)
			grown = replace_overflow(site, overflow, overflowing, overflowing + 1);
		if (!grown)
			return -ENOMEM;
		if (!overflow)
			grown[0] = *last;
		overflow = grown;
	}
	store_slot(&overflow[overflowing], slot);
	store_link(last, overflow, overflowing + 1);
	return 0;
}

/*
 * Make the chain's `count` first slots all of it: give back overflow memory that isn't needed any
 * more.
 */
static void chain_truncate(struct kv_site *site, struct kv_bucket *bucket, uint32_t count)
{
	uint64_t *last = &bucket->slots[KV_BUCKET_SLOTS - 1];
	uint64_t link = *last;

	if (link & KV_SLOT_LINK && count > KV_BUCKET_SLOTS) {
		uint32_t before = kv__overflow_count(link), left = count - (KV_BUCKET_SLOTS - 1);
		uint64_t *overflow = kv__overflow_of(link), *smaller = NULL;

		if (overflow_bytes(left) < overflow_bytes(before))
			smaller = replace_overflow(site, overflow, before, left);
		/*
		 * No memory for less: then the block is larger than it seems, which harms nobody.
		 */
		store_link(last, smaller ? smaller : overflow, left);
		return;
	}
	if (link & KV_SLOT_LINK) {
		store_slot(last, count == KV_BUCKET_SLOTS ? kv__overflow_of(link)[0] : 0);
		drop_overflow(site, kv__overflow_of(link), kv__overflow_count(link));
	}
	for (uint32_t i = count; i < KV_BUCKET_SLOTS; i++)
		store_slot(&bucket->slots[i], 0);
}

/* Take one slot out of a chain by moving the last one into its place. */
static void chain_remove(struct kv_site *site, struct kv_bucket *bucket, uint64_t *slot)
{
	uint32_t count = chain_count(bucket);

	store_slot(slot, *chain_at(bucket, count - 1));
	chain_truncate(site, bucket, count - 1);
}

/* ---- use ---- */

void kv__table_init(struct kv_table *table)
{
	*table = (struct kv_table){ .expiry_floor = INT64_MAX, .sweep_floor = INT64_MAX };
}

static uint64_t make_slot(uint64_t hash, const struct kv_entry *entry)
{
	uint64_t address = (uintptr_t)entry;

	ROTA_ASSERT(!(address & ~KV_SLOT_ADDRESS));
	return address | kv__hash_tag(hash) |
	       (entry->flags_ & KV_ENTRY_HAS_EXPIRY ? KV_SLOT_EXPIRING : 0);
}

static ROTA_NOINLINE uint64_t *find_in_overflow(uint64_t link, uint64_t hash, struct rota_view key)
{
	uint64_t *overflow = kv__overflow_of(link);

	for (uint32_t i = 0; i < kv__overflow_count(link); i++)
		if (kv__slot_holds(overflow[i], hash, key))
			return &overflow[i];
	return NULL;
}

uint64_t *kv__table_find(const struct kv_table *table, uint64_t hash, struct rota_view key)
{
	struct kv_bucket *bucket;
	unsigned found;
	uint64_t last;

	if (!table->buckets)
		return NULL;
	bucket = bucket_of(table, hash);
	found = kv__match_tags(bucket, kv__hash_tag(hash));
	last = bucket->slots[KV_BUCKET_SLOTS - 1];
	if (last & KV_SLOT_LINK)
		found &= (1u << (KV_BUCKET_SLOTS - 1)) - 1;
	for (; found; found &= found - 1) {
		uint64_t *slot = &bucket->slots[__builtin_ctz(found)];

		if (ROTA_LIKELY(kv__slot_holds(*slot, hash, key)))
			return slot;
	}
	return last & KV_SLOT_LINK ? find_in_overflow(last, hash, key) : NULL;
}

static void set_bucket_count(struct kv_table *table, uint32_t buckets)
{
	__atomic_store_n(&table->buckets, buckets, __ATOMIC_RELAXED);
}

void kv__table_note_expiry(struct kv_site *site, int64_t at_ms)
{
	struct kv_table *table = site->table;

	if (at_ms == KV_NO_EXPIRY)
		return;
	/*
	 * Relaxed: the sweep reads it without the lock to skip the shard, and looks again next
	 * time.
	 */
	if (at_ms < table->expiry_floor)
		__atomic_store_n(&table->expiry_floor, at_ms, __ATOMIC_RELAXED);
	if (at_ms < table->sweep_floor)
		table->sweep_floor = at_ms;
}

static void count_keys(struct kv_site *site, int keys, int expiring)
{
	uint32_t now = site->table->keys + (uint32_t)keys;

	__atomic_store_n(&site->table->keys, now, __ATOMIC_RELAXED);
	site->table->expiring += (uint32_t)expiring;
	kv__count(&site->counts->keys, keys);
	if (expiring)
		kv__count(&site->counts->expiring, expiring);
}

int kv__table_insert(struct kv_site *site, uint64_t hash, struct kv_entry *entry)
{
	struct kv_table *table = site->table;
	struct kv_bucket *bucket;
	int status;

	if (!table->buckets) {
		status = kv__space_grow(site, 1);
		if (status < 0)
			return status;
		set_bucket_count(table, 1);
	}
	bucket = bucket_of(table, hash);
	status = chain_append(site, bucket, make_slot(hash, entry));
	if (status < 0)
		return status;
	count_keys(site, 1, kv_entry_expiry(entry) != KV_NO_EXPIRY);
	kv__table_note_expiry(site, kv_entry_expiry(entry));
	if ((uint64_t)table->keys * 2 > (uint64_t)table->buckets * KEYS_PER_TWO_BUCKETS)
		split_one(site);
	return 0;
}

static void shrink_if_sparse(struct kv_site *site)
{
	const struct kv_table *table = site->table;

	if (table->buckets > 1 &&
	    (uint64_t)table->keys * 4 < (uint64_t)table->buckets * KEYS_PER_TWO_BUCKETS)
		merge_one(site);
}

void kv__table_remove(struct kv_site *site, uint64_t hash, uint64_t *slot)
{
	struct kv_table *table = site->table;
	uint32_t number = kv__bucket_number(kv__hash_bucket(hash), table->buckets);
	bool expiring = *slot & KV_SLOT_EXPIRING;

	chain_remove(site, bucket_at(table, number), slot);
	count_keys(site, -1, -expiring);
	shrink_if_sparse(site);
}

void kv__table_replace(struct kv_site *site, uint64_t *slot, struct kv_entry *entry)
{
	int before = !!(*slot & KV_SLOT_EXPIRING);
	int after = kv_entry_expiry(entry) != KV_NO_EXPIRY;

	store_slot(slot, make_slot(*slot >> 16, entry));
	if (before != after)
		count_keys(site, 0, after - before);
	kv__table_note_expiry(site, kv_entry_expiry(entry));
}

/* ---- growing and shrinking ---- */

/*
 * Which slots of a chain belong to the new bucket; the first 64 are remembered, the improbable rest
 * is hashed again.
 */
struct division {
	uint64_t moving;
	uint32_t moving_count;
	uint32_t target;
};

static bool is_moving(const struct kv_site *site, uint64_t slot, uint32_t target)
{
	uint64_t hash = entry_hash(site, kv__slot_entry(slot));

	return kv__bucket_number(kv__hash_bucket(hash), target + 1) == target;
}

static struct division divide(const struct kv_site *site, struct kv_bucket *bucket, uint32_t count,
			      uint32_t target)
{
	struct division division = { .target = target };

	for (uint32_t i = 0; i < count; i++)
		__builtin_prefetch(kv__slot_entry(*chain_at(bucket, i)));
	for (uint32_t i = 0; i < count; i++) {
		uint64_t moves = is_moving(site, *chain_at(bucket, i), target);

		division.moving_count += (uint32_t)moves;
		if (i < 64)
			division.moving |= moves << i;
	}
	return division;
}

/*
 * Fill an empty bucket with `count` slots, one at a time; `overflow` is there when they are more
 * than fit.
 */
static void place(struct kv_bucket *bucket, uint64_t *overflow, uint32_t index, uint64_t slot)
{
	if (!overflow || index < KV_BUCKET_SLOTS - 1)
		store_slot(&bucket->slots[index], slot);
	else
		overflow[index - (KV_BUCKET_SLOTS - 1)] = slot;
}

static void link_overflow(struct kv_site *site, struct kv_bucket *bucket, uint64_t *overflow,
			  uint32_t count)
{
	uint32_t overflowing = count - (KV_BUCKET_SLOTS - 1);

	if (!overflow)
		return;
	store_link(&bucket->slots[KV_BUCKET_SLOTS - 1], overflow, overflowing);
	kv__site_count_memory(site, overflow_bytes(overflowing), 0);
}

/*
 * An overflow block for a chain of `count`, or NULL when none is needed; *failed when there is no
 * memory.
 */
static uint64_t *overflow_for(uint32_t count, bool *failed)
{
	uint64_t *overflow;

	*failed = false;
	if (count <= KV_BUCKET_SLOTS)
		return NULL;
	*failed = count - (KV_BUCKET_SLOTS - 1) > OVERFLOW_MAX;
	if (*failed)
		return NULL;
	overflow = rota_alloc(overflow_bytes(count - (KV_BUCKET_SLOTS - 1)));
	*failed = !overflow;
	return overflow;
}

/*
 * Add one bucket and give it its half of the bucket it comes from. Out of memory: later, nothing is
 * lost.
 */
static void split_one(struct kv_site *site)
{
	struct kv_table *table = site->table;
	uint32_t target = table->buckets, count, moved = 0, kept = 0;
	struct kv_bucket *from, *to;
	struct division division;
	uint64_t *overflow;
	bool failed;

	if (kv__space_grow(site, target + 1) < 0)
		return;
	from = bucket_at(table, target - (UINT32_C(1) << kv__top_bit(target)));
	to = bucket_at(table, target);
	count = chain_count(from);
	division = divide(site, from, count, target);
	overflow = overflow_for(division.moving_count, &failed);
	if (failed)
		return;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t slot = *chain_at(from, i);

		if (i < 64 ? division.moving >> i & 1 : is_moving(site, slot, target))
			place(to, overflow, moved++, slot);
		else
			store_slot(chain_at(from, kept++), slot);
	}
	link_overflow(site, to, overflow, moved);
	chain_truncate(site, from, kept);
	set_bucket_count(table, target + 1);
}

/* Put the last bucket's keys back where they came from and drop it. Out of memory: later. */
static void merge_one(struct kv_site *site)
{
	struct kv_table *table = site->table;
	uint32_t last = table->buckets - 1;
	struct kv_bucket *from = bucket_at(table, last);
	struct kv_bucket *to = bucket_at(table, last - (UINT32_C(1) << kv__top_bit(last)));
	uint32_t from_count = chain_count(from);
	uint32_t to_count = chain_count(to);
	uint64_t *overflow;
	bool failed;

	overflow = overflow_for(to_count + from_count, &failed);
	if (failed)
		return;
	/*
	 * Copy first what `to` keeps behind its seventh slot, while its own overflow block is still
	 * linked.
	 */
	for (uint32_t i = KV_BUCKET_SLOTS - 1; overflow && i < to_count; i++)
		place(to, overflow, i, *chain_at(to, i));
	if (overflow)
		chain_truncate(site, to,
			       to_count < KV_BUCKET_SLOTS ? to_count : KV_BUCKET_SLOTS - 1);
	for (uint32_t i = 0; i < from_count; i++)
		place(to, overflow, to_count + i, *chain_at(from, i));
	link_overflow(site, to, overflow, to_count + from_count);
	chain_truncate(site, from, 0);
	set_bucket_count(table, last);
	kv__space_shrink(site);
}

/*
 * ---- scan order: bucket numbers are low bits, so read backwards each bucket is one interval of
 * hashes ----
 */

static uint32_t reverse_bits(uint32_t x)
{
	x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
	x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
	x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
	return __builtin_bswap32(x);
}

/* The bucket that holds scan position `at` now, and the first position after it. */
static uint32_t bucket_in_order(const struct kv_table *table, uint64_t at, uint64_t *after)
{
	uint32_t number = kv__bucket_number(reverse_bits((uint32_t)at), table->buckets);
	unsigned level = kv__top_bit(table->buckets);
	uint32_t half = UINT32_C(1) << level;
	/* Split buckets and the ones they were split into are told apart by one more bit. */
	unsigned bits = number >= half || number < table->buckets - half ? level + 1 : level;

	*after = ((at >> (32 - bits)) + 1) << (32 - bits);
	return number;
}

uint64_t kv__table_scan(const struct kv_table *table, uint64_t at, int64_t now_ms,
			uint32_t *visited, void (*visit)(void *arg, const struct kv_entry *entry),
			void *arg)
{
	uint64_t after;
	struct kv_bucket *bucket = bucket_at(table, bucket_in_order(table, at, &after));
	uint32_t count = chain_count(bucket);

	for (uint32_t i = 0; i < count; i++)
		__builtin_prefetch(kv__slot_entry(*chain_at(bucket, i)));
	for (uint32_t i = 0; i < count; i++) {
		const struct kv_entry *entry = kv__slot_entry(*chain_at(bucket, i));
		int64_t at_ms = kv_entry_expiry(entry);

		if (at_ms != KV_NO_EXPIRY && now_ms > at_ms)
			continue;
		visit(arg, entry);
		++*visited;
	}
	return after;
}

uint32_t kv__table_sweep(struct kv_site *site, struct kv_slab_cache *cache, int64_t now_ms,
			 uint32_t *removed)
{
	struct kv_table *table = site->table;
	uint32_t examined = 0, here = 0;
	struct kv_bucket *bucket;
	uint64_t after;

	if (!table->sweep_at)
		table->sweep_floor = INT64_MAX;
	bucket = bucket_at(table, bucket_in_order(table, table->sweep_at, &after));
	/* Backwards, because removing moves the last slot into the gap. */
	for (uint32_t i = chain_count(bucket); i-- > 0;) {
		uint64_t *slot = chain_at(bucket, i);
		struct kv_entry *entry = kv__slot_entry(*slot);
		int64_t at_ms;

		if (!(*slot & KV_SLOT_EXPIRING))
			continue;
		examined++;
		at_ms = kv_entry_expiry(entry);
		if (now_ms <= at_ms) {
			table->sweep_floor = at_ms < table->sweep_floor ? at_ms
									: table->sweep_floor;
			continue;
		}
		chain_remove(site, bucket, slot);
		count_keys(site, -1, -1);
		kv__count(&site->counts->memory_bytes, -(int64_t)kv_entry_memory_bytes(entry));
		kv__garbage_add_entry(site->garbage, cache, entry);
		here++;
	}
	table->sweep_at = (uint32_t)after;
	if (after == KV_SCAN_END)
		__atomic_store_n(&table->expiry_floor, table->sweep_floor, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < here; i++)
		shrink_if_sparse(site);
	*removed += here;
	return examined;
}

/* ---- end ---- */

void kv__table_discard(struct kv_table *table, struct kv_garbage *garbage,
		       struct kv_slab_cache *cache)
{
	struct kv_discarded *discarded;
	struct kv_bucket *first;
	uint64_t last;

	if (table->buckets) {
		first = bucket_at(table, 0);
		last = first->slots[KV_BUCKET_SLOTS - 1];
		for (uint32_t i = chain_count(first); i-- > 0;)
			kv__garbage_add_entry(garbage, cache, kv__slot_entry(*chain_at(first, i)));
		if (last & KV_SLOT_LINK)
			kv__garbage_add_block(garbage, kv__overflow_of(last));
		discarded = (struct kv_discarded *)first;
		discarded->link = garbage->tables_;
		discarded->space = table->space;
		discarded->cache = cache;
		discarded->buckets = table->buckets;
		garbage->tables_ = discarded;
	} else {
		kv__space_free(table->space); /* an insert found memory for it, but no more */
	}
	kv__table_init(table);
}

static void free_bucket(struct kv_bucket *bucket, struct kv_slab_cache *cache)
{
	uint32_t count = chain_count(bucket);

	for (uint32_t i = 0; i < count; i++) {
		struct kv_entry *entry = kv__slot_entry(*chain_at(bucket, i));
		struct rota_blob *blob = kv_entry_blob(entry);

		if (blob)
			rota_blob_unref(blob);
		kv__entry_free(cache, entry);
	}
	if (bucket->slots[KV_BUCKET_SLOTS - 1] & KV_SLOT_LINK)
		rota_free(kv__overflow_of(bucket->slots[KV_BUCKET_SLOTS - 1]));
}

bool kv__table_free_some(struct kv_discarded *discarded, uint32_t *budget)
{
	/* What was in the first bucket has gone another way. */
	while (discarded->buckets > 1) {
		struct kv_bucket *bucket = kv__space_bucket(discarded->space,
							    discarded->buckets - 1);
		uint32_t blocks = chain_count(bucket) + 1;

		if (!*budget)
			return false;
		*budget -= (uint32_t)rota_min_size(*budget, blocks);
		free_bucket(bucket, discarded->cache);
		discarded->buckets--;
	}
	kv__space_free(discarded->space);
	return true;
}
