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

/* ---- addresses: bucket number, segment, bucket ---- */

/* The highest set bit of `x` > 0. */
static inline unsigned top_bit(uint32_t x)
{
	return 31u - (unsigned)__builtin_clz(x);
}

static inline uint32_t bucket_number(uint32_t hash, uint32_t buckets)
{
	uint32_t mask = (uint32_t)((UINT64_C(2) << top_bit(buckets)) - 1);
	uint32_t number = hash & mask;

	return number < buckets ? number : number & mask >> 1;
}

/*
 * log2 of the buckets in the segment of bucket `number`: 4 buckets for the first 64, then an eighth
 * of the octave.
 */
static inline unsigned segment_shift(uint32_t number)
{
	return top_bit(number | 32) - 3;
}

static inline uint32_t segment_number(uint32_t number)
{
	unsigned shift = segment_shift(number);

	return 8 * (shift - 2) + (number >> shift);
}

static inline bool begins_segment(uint32_t number)
{
	return !(number & ((UINT32_C(1) << segment_shift(number)) - 1));
}

static inline size_t segment_bytes(uint32_t number)
{
	return sizeof(struct kv_bucket) << segment_shift(number);
}

static inline struct kv_bucket *bucket_at(const struct kv_directory *directory, uint32_t number)
{
	uint32_t mask = (UINT32_C(1) << segment_shift(number)) - 1;

	return &directory->segments[segment_number(number)][number & mask];
}

struct kv_bucket *kv__table_peek(const struct kv_table *table, uint64_t hash)
{
	/*
	 * Acquire pairs with the stores in ensure_segment; number and directory may be of different
	 * moments, so check.
	 */
	struct kv_directory *directory = __atomic_load_n(&table->directory, __ATOMIC_ACQUIRE);
	uint32_t buckets = __atomic_load_n(&table->buckets, __ATOMIC_RELAXED);
	struct kv_bucket *segment;
	uint32_t number;

	if (!directory || !buckets)
		return NULL;
	number = bucket_number(kv__hash_bucket(hash), buckets);
	if (segment_number(number) >= directory->capacity)
		return NULL;
	segment = __atomic_load_n(&directory->segments[segment_number(number)], __ATOMIC_ACQUIRE);
	return segment ? &segment[number & ((UINT32_C(1) << segment_shift(number)) - 1)] : NULL;
}

/* ---- chains: a bucket and its overflow block ---- */

static inline uint64_t *overflow_of(uint64_t link)
{
	return (uint64_t *)(uintptr_t)(link & KV_SLOT_ADDRESS);
}

static inline uint32_t overflow_count(uint64_t link)
{
	return (uint32_t)(link >> 48);
}

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

static uint32_t chain_count(const struct kv_bucket *bucket)
{
	uint64_t last = bucket->slots[KV_BUCKET_SLOTS - 1];
	uint32_t count = 0;

	if (last)
		return last & KV_SLOT_LINK ? KV_BUCKET_SLOTS - 1 + overflow_count(last)
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
	return &overflow_of(last)[index - (KV_BUCKET_SLOTS - 1)];
}

static void count_memory(struct kv_site *site, size_t added, size_t removed)
{
	kv__count(&site->counts->memory_bytes,
		  (int64_t)(added ? rota_good_bytes(added) : 0) -
			  (int64_t)(removed ? rota_good_bytes(removed) : 0));
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
		overflow = overflow_of(*last);
	if (!overflow || overflowing % 2 == 0) {
		if (overflowing >= OVERFLOW_MAX)
			return -ENOMEM;
		uint64_t *grown = rota_realloc(overflow, overflow_bytes(overflowing + 1));

		if (!grown)
			return -ENOMEM;
		count_memory(site, overflow_bytes(overflowing + 1),
			     overflow ? overflow_bytes(overflowing) : 0);
		if (!overflow)
			grown[0] = *last;
		overflow = grown;
	}
	overflow[overflowing] = slot;
	store_slot(last, make_link(overflow, overflowing + 1));
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
	uint32_t left;

	if (link & KV_SLOT_LINK && count > KV_BUCKET_SLOTS) {
		uint64_t *overflow = overflow_of(link);
		uint64_t *shrunk = NULL;

		left = count - (KV_BUCKET_SLOTS - 1);
		if (overflow_bytes(left) < overflow_bytes(overflow_count(link))) {
			shrunk = rota_realloc(overflow, overflow_bytes(left));
			count_memory(site, overflow_bytes(left),
				     overflow_bytes(overflow_count(link)));
		}
		/* Refused to shrink: then the block is larger than it seems, which harms nobody. */
		store_slot(last, make_link(shrunk ? shrunk : overflow, left));
		return;
	}
	if (link & KV_SLOT_LINK) {
		store_slot(last, count == KV_BUCKET_SLOTS ? overflow_of(link)[0] : 0);
		count_memory(site, 0, overflow_bytes(overflow_count(link)));
		kv__garbage_add_block(site->garbage, overflow_of(link));
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
	uint64_t *overflow = overflow_of(link);

	for (uint32_t i = 0; i < overflow_count(link); i++)
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
	bucket = bucket_at(table->directory, bucket_number(kv__hash_bucket(hash), table->buckets));
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

/*
 * Room in the directory and a segment for bucket `number`. Returns 0 or -ENOMEM (nothing changed
 * that matters).
 */
static int ensure_segment(struct kv_site *site, uint32_t number)
{
	struct kv_directory *directory = site->table->directory;
	uint32_t segment = segment_number(number);
	struct kv_bucket *buckets;

	if (!directory || segment >= directory->capacity) {
		/*
		 * 6, 14, 22 …: with the header whole cache lines, and few steps because segments
		 * grow with the table.
		 */
		uint32_t capacity = (segment + 10) / 8 * 8 - 2;
		size_t bytes = sizeof(*directory) + capacity * sizeof(directory->segments[0]);
		struct kv_directory *larger = rota_calloc(1, bytes);

		if (!larger)
			return -ENOMEM;
		larger->capacity = capacity;
		if (directory) {
			size_t old_bytes = directory->capacity * sizeof(directory->segments[0]);

			memcpy(larger->segments, directory->segments, old_bytes);
			count_memory(site, 0, sizeof(*directory) + old_bytes);
		}
		count_memory(site, bytes, 0);
		/*
		 * Release: a prefetch sees the segments with it. Sequential order: before
		 * kv_gate_leave looks at passes.
		 */
		__atomic_store_n(&site->table->directory, larger, __ATOMIC_SEQ_CST);
		if (directory)
			kv__garbage_add_block(site->retired, directory);
		directory = larger;
	}
	if (directory->segments[segment])
		return 0;
	buckets = rota_calloc(1, segment_bytes(number));
	if (!buckets)
		return -ENOMEM;
	count_memory(site, segment_bytes(number), 0);
	__atomic_store_n(&directory->segments[segment], buckets, __ATOMIC_RELEASE);
	return 0;
}

static void drop_segment(struct kv_site *site, uint32_t number)
{
	struct kv_bucket **segment = &site->table->directory->segments[segment_number(number)];
	struct kv_bucket *buckets = *segment;

	__atomic_store_n(segment, NULL, __ATOMIC_SEQ_CST);
	count_memory(site, 0, segment_bytes(number));
	kv__garbage_add_block(site->retired, buckets);
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
		status = ensure_segment(site, 0);
		if (status < 0)
			return status;
		set_bucket_count(table, 1);
	}
	bucket = bucket_at(table->directory, bucket_number(kv__hash_bucket(hash), table->buckets));
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
	uint32_t number = bucket_number(kv__hash_bucket(hash), table->buckets);
	bool expiring = *slot & KV_SLOT_EXPIRING;

	chain_remove(site, bucket_at(table->directory, number), slot);
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

	return bucket_number(kv__hash_bucket(hash), target + 1) == target;
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
	store_slot(&bucket->slots[KV_BUCKET_SLOTS - 1], make_link(overflow, overflowing));
	count_memory(site, overflow_bytes(overflowing), 0);
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
	uint32_t target = table->buckets;
	struct kv_bucket *from = bucket_at(table->directory,
					   target - (UINT32_C(1) << top_bit(target)));
	uint32_t count = chain_count(from);
	struct division division = divide(site, from, count, target);
	uint32_t moved = 0, kept = 0;
	struct kv_bucket *to;
	uint64_t *overflow;
	bool failed;

	overflow = overflow_for(division.moving_count, &failed);
	if (failed)
		return;
	if (ensure_segment(site, target) < 0) {
		rota_free(overflow);
		return;
	}
	to = bucket_at(table->directory, target);
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
	struct kv_bucket *from = bucket_at(table->directory, last);
	struct kv_bucket *to = bucket_at(table->directory, last - (UINT32_C(1) << top_bit(last)));
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
	if (begins_segment(last))
		drop_segment(site, last);
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
	uint32_t number = bucket_number(reverse_bits((uint32_t)at), table->buckets);
	unsigned level = top_bit(table->buckets);
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
	struct kv_bucket *bucket = bucket_at(table->directory, bucket_in_order(table, at, &after));
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

uint32_t kv__table_sweep(struct kv_site *site, int64_t now_ms, uint32_t *removed)
{
	struct kv_table *table = site->table;
	uint32_t examined = 0, here = 0;
	struct kv_bucket *bucket;
	uint64_t after;

	if (!table->sweep_at)
		table->sweep_floor = INT64_MAX;
	bucket = bucket_at(table->directory, bucket_in_order(table, table->sweep_at, &after));
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
		kv__garbage_add_entry(site->garbage, entry);
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

struct kv_directory *kv__table_detach(struct kv_table *table)
{
	struct kv_directory *directory = table->directory;

	if (directory)
		directory->buckets = table->buckets;
	kv__table_init(table);
	return directory;
}

static void free_bucket(struct kv_bucket *bucket)
{
	uint32_t count = chain_count(bucket);

	for (uint32_t i = 0; i < count; i++) {
		struct kv_entry *entry = kv__slot_entry(*chain_at(bucket, i));
		struct rota_blob *blob = kv_entry_blob(entry);

		if (blob)
			rota_blob_unref(blob);
		rota_free(entry);
	}
	if (bucket->slots[KV_BUCKET_SLOTS - 1] & KV_SLOT_LINK)
		rota_free(overflow_of(bucket->slots[KV_BUCKET_SLOTS - 1]));
}

bool kv__table_free_some(struct kv_directory *directory, uint32_t *budget)
{
	while (directory->buckets) {
		struct kv_bucket *bucket = bucket_at(directory, directory->buckets - 1);
		uint32_t blocks = chain_count(bucket) + 1;

		if (!*budget)
			return false;
		*budget -= (uint32_t)rota_min_size(*budget, blocks);
		free_bucket(bucket);
		directory->buckets--;
		if (begins_segment(directory->buckets))
			rota_free(bucket);
	}
	rota_free(directory);
	return true;
}
