/* SPDX-License-Identifier: MIT */
/*
 * The store: creating it, hashing and prefetching batches, and the operations that every type of
 * value shares. Store layer; operations under the lock of their keys' shards.
 */
#include "apps/kv/store/store.h"

#include <rota/error.h>
#include <rota/memory.h>

#include "apps/kv/store/match.h"
#include "apps/kv/store/space.h"
#include "apps/kv/store/store_internal.h"

/* Keys whose misses overlap; more would evict each other from the processor's miss buffers. */
#define PREFETCH_KEYS 16

/* Of an entry: entries begin at multiples of 8, so no line lies between two such steps. */
#define PREFETCH_STEP (ROTA_CACHE_LINE_BYTES - 8)

/* ---- lifetime ---- */

static bool options_are_valid(const struct kv_store_options *options)
{
	if (options->shard_count && !rota_is_power_of_two(options->shard_count))
		return false;
	return options->shard_count <= KV_SHARDS_MAX &&
	       options->database_count <= KV_DATABASES_MAX && options->reactor_count >= 1 &&
	       options->reactor_count <= KV_REACTORS_MAX;
}

/* Zeroed memory whose start is a multiple of ROTA_ISOLATION_BYTES; *memory is what to free. */
static void *calloc_isolated(struct kv_store *store, size_t count, size_t item_bytes, void **memory)
{
	size_t bytes = count * item_bytes + ROTA_ISOLATION_BYTES - 1;

	*memory = rota_calloc(1, bytes);
	if (!*memory)
		return NULL;
	store->base_bytes += rota_good_bytes(bytes);
	return (void *)rota_round_up((uintptr_t)*memory, ROTA_ISOLATION_BYTES);
}

static int create_reactors(struct kv_store *store)
{
	store->reactors = calloc_isolated(store, store->reactor_count, sizeof(struct kv_reactor),
					  &store->reactors_memory);
	if (!store->reactors)
		return -ENOMEM;
	for (uint32_t i = 0; i < store->reactor_count; i++) {
		struct kv_reactor *reactor = &store->reactors[i];

		reactor->cache = rota_alloc(sizeof(*reactor->cache));
		if (!reactor->cache)
			return -ENOMEM;
		kv__slab_cache_init(reactor->cache, &store->depot);
		reactor->counts = rota_calloc(store->database_count, sizeof(*reactor->counts));
		reactor->seen = rota_calloc(store->reactor_count, sizeof(*reactor->seen));
		if (!reactor->counts || !reactor->seen)
			return -ENOMEM;
		reactor->sweep_shard = i;
		store->base_bytes += rota_good_bytes(sizeof(*reactor->cache)) +
				     rota_good_bytes(store->database_count *
						     sizeof(*reactor->counts)) +
				     rota_good_bytes(store->reactor_count * sizeof(*reactor->seen));
	}
	return 0;
}

static int create_shards(struct kv_store *store)
{
	store->shards = calloc_isolated(store, (size_t)store->shard_mask + 1,
					sizeof(struct kv_shard), &store->shards_memory);
	store->database_map = rota_calloc(store->database_count, sizeof(*store->database_map));
	if (!store->shards || !store->database_map)
		return -ENOMEM;
	for (uint32_t i = 0; i <= store->shard_mask; i++)
		kv__table_init(&store->shards[i].table);
	for (uint32_t i = 0; i < store->database_count; i++)
		store->database_map[i] = (uint16_t)i;
	return 0;
}

int kv_store_create(struct kv_store **created, const struct kv_store_options *options)
{
	struct kv_store *store;
	void *memory;

	if (!options_are_valid(options))
		return -EINVAL;
	memory = rota_calloc(1, sizeof(*store) + ROTA_ISOLATION_BYTES);
	if (!memory)
		return -ENOMEM;
	/* The word before the store remembers where its memory begins. */
	store = (void *)rota_round_up((uintptr_t)memory + sizeof(void *), ROTA_ISOLATION_BYTES);
	((void **)store)[-1] = memory;
	store->base_bytes = rota_good_bytes(sizeof(*store) + ROTA_ISOLATION_BYTES);
	store->shard_mask = (options->shard_count ? options->shard_count : KV_SHARDS_DEFAULT) - 1;
	store->database_count = options->database_count ? options->database_count
							: KV_DATABASES_DEFAULT;
	store->reactor_count = options->reactor_count;
	store->hash_key = kv_hash_key_of(options->hash_seed);
	store->refuse_lock = options->refuse_lock;
	store->refuse_arg = options->refuse_arg;
	store->locking = store->reactor_count > 1;
	store->careful = store->locking || store->refuse_lock;
	kv__slab_depot_init(&store->depot, store->locking);
	if (create_shards(store) < 0 || create_reactors(store) < 0) {
		kv_store_destroy(store);
		return -ENOMEM;
	}
	*created = store;
	return 0;
}

static void destroy_shard(struct kv_store *store, struct kv_shard *shard)
{
	struct kv_garbage garbage;

	kv_garbage_init(&garbage);
	for (uint32_t i = 0; i < store->database_count; i++) {
		struct kv_table *table = kv__shard_table(shard, i);

		if (table)
			kv__table_discard(table, &garbage, store->reactors[0].cache);
	}
	kv_garbage_free(&garbage);
	rota_free(shard->others);
}

void kv_store_destroy(struct kv_store *store)
{
	if (!store)
		return;
	/* One without the other: it was never used. */
	for (uint32_t i = 0; store->shards && store->reactors && i <= store->shard_mask; i++)
		destroy_shard(store, &store->shards[i]);
	for (uint32_t i = 0; store->reactors && i < store->reactor_count; i++) {
		if (store->reactors[i].cache)
			kv__slab_cache_empty(store->reactors[i].cache);
		rota_free(store->reactors[i].cache);
		kv_garbage_free(&store->reactors[i].retired);
		kv_garbage_free(&store->reactors[i].waiting);
		rota_free(store->reactors[i].counts);
		rota_free(store->reactors[i].seen);
	}
	kv__slab_depot_fini(&store->depot);
	rota_free(store->shards_memory);
	rota_free(store->reactors_memory);
	rota_free(store->database_map);
	rota_free(((void **)store)[-1]);
}

void kv_store_set_locking(struct kv_store *store, bool locking)
{
	ROTA_ASSERT(kv_gate_is_exclusive(store));
	store->locking = locking;
	store->careful = locking || store->refuse_lock;
}

/* ---- batches ---- */

void kv_keys_hash(const struct kv_store *store, struct kv_key *keys, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		keys[i].hash = kv_hash_1_3(&store->hash_key, keys[i].bytes.data,
					   keys[i].bytes.bytes);
		keys[i].seen_ = NULL;
		__builtin_prefetch(&store->shards[kv__shard_number(store, keys[i].hash)], 1);
	}
}

/*
 * The two or three lines of the entry's first 113 bytes. Without those behind the first, a GET of
 * 64 bytes waited for its value for a third of the time (docs/design/0006-store.md, 0027).
 */
static inline void prefetch_entry(uint64_t slot)
{
	const char *entry = (const char *)kv__slot_entry(slot);

	__builtin_prefetch(entry);
	__builtin_prefetch(entry + PREFETCH_STEP);
	__builtin_prefetch(entry + 2 * (size_t)PREFETCH_STEP);
}

/* Relaxed: whatever is read here, true or stale, is only prefetched or asked again. */
static inline uint64_t read_slot(const uint64_t *slot)
{
	return __atomic_load_n(slot, __ATOMIC_RELAXED);
}

/*
 * The entry with the right tag (another one has it once in 8000 look-ups) among those in the
 * bucket itself. Returns its slot, or NULL, and then prefetches the overflow block it may be in.
 */
static uint64_t *prefetch_from_bucket(struct kv_bucket *bucket, uint64_t tag)
{
	uint64_t *last = &bucket->slots[KV_BUCKET_SLOTS - 1], *slot;
	unsigned found = kv__match_tags(bucket, tag);

	if (read_slot(last) & KV_SLOT_LINK)
		found &= (1u << (KV_BUCKET_SLOTS - 1)) - 1;
	slot = found ? &bucket->slots[__builtin_ctz(found)] : last;
	prefetch_entry(read_slot(slot));
	return found ? slot : NULL;
}

/* The entry with the right tag in the overflow block of a bucket where it is not. */
static void prefetch_from_overflow(const struct kv_bucket *bucket, uint64_t tag)
{
	/* Acquire pairs with the release in store_link(). */
	uint64_t link = __atomic_load_n(&bucket->slots[KV_BUCKET_SLOTS - 1], __ATOMIC_ACQUIRE);
	const uint64_t *overflow = kv__overflow_of(link);

	if (!(link & KV_SLOT_LINK))
		return;
	for (uint32_t i = 0; i < kv__overflow_count(link); i++) {
		uint64_t slot = read_slot(&overflow[i]);

		if ((slot ^ tag) >> 48 == 0) {
			prefetch_entry(slot);
			return;
		}
	}
}

/* Up to PREFETCH_KEYS of them: each step is one miss, taken for all of them at once. */
static void prefetch_some(const struct kv_store *store, uint32_t table, struct kv_key *keys,
			  size_t count)
{
	struct kv_bucket *buckets[PREFETCH_KEYS];
	size_t missing = 0, missing_at[PREFETCH_KEYS];

	for (size_t i = 0; i < count; i++) {
		struct kv_shard *shard = &store->shards[kv__shard_number(store, keys[i].hash)];
		const struct kv_table *place = kv__shard_table(shard, table);

		keys[i].seen_ = NULL;
		buckets[i] = place ? kv__space_peek(place, keys[i].hash, &keys[i].seen_in_) : NULL;
		__builtin_prefetch(buckets[i]);
	}
	for (size_t i = 0; i < count; i++) {
		if (!buckets[i])
			continue;
		keys[i].seen_ = prefetch_from_bucket(buckets[i], kv__hash_tag(keys[i].hash));
		missing_at[missing] = i;
		missing += !keys[i].seen_;
	}
	for (size_t i = 0; i < missing; i++)
		prefetch_from_overflow(buckets[missing_at[i]],
				       kv__hash_tag(keys[missing_at[i]].hash));
}

void kv_keys_prefetch(const struct kv_store *store, uint32_t database, struct kv_key *keys,
		      size_t count)
{
	uint32_t table = store->database_map[database];

	for (size_t done = 0; done < count; done += PREFETCH_KEYS)
		prefetch_some(store, table, keys + done,
			      rota_min_size(count - done, PREFETCH_KEYS));
}

/* ---- operations on one key ---- */

void kv__site_init(struct kv_operation *operation, const struct kv_access *access, uint32_t shard,
		   uint32_t table)
{
	struct kv_store *store = access->store;

	operation->shard = &store->shards[shard];
	operation->reactor = &store->reactors[access->reactor];
	kv__check_access(store, operation->shard);
	operation->site.table = kv__shard_table(operation->shard, table);
	operation->site.counts = &operation->reactor->counts[table];
	operation->site.garbage = access->garbage;
	operation->site.retired = store->locking ? &operation->reactor->retired : access->garbage;
	operation->site.hash_key = &store->hash_key;
}

int kv__site_prepare(struct kv_operation *operation, const struct kv_access *access)
{
	struct kv_store *store = access->store;
	uint32_t others = store->database_count - 1;
	size_t bytes = others * sizeof(struct kv_table);
	struct kv_table *tables;

	if (operation->site.table)
		return 0;
	tables = rota_alloc(bytes);
	if (!tables)
		return -ENOMEM;
	for (uint32_t i = 0; i < others; i++)
		kv__table_init(&tables[i]);
	/* Never given back before the store, so it is counted with the store. */
	__atomic_fetch_add(&store->base_bytes, rota_good_bytes(bytes), __ATOMIC_RELAXED);
	__atomic_store_n(&operation->shard->others, tables, __ATOMIC_RELEASE);
	operation->site.table = &tables[store->database_map[access->database] - 1];
	return 0;
}

/* Take a key out, with everything it holds. */
static void discard(struct kv_operation *operation, uint64_t hash, uint64_t *slot)
{
	struct kv_entry *entry = kv__slot_entry(*slot);

	kv__table_remove(&operation->site, hash, slot);
	kv__count_memory(operation, 0, kv_entry_memory_bytes(entry));
	kv__garbage_add_entry(operation->site.garbage, operation->reactor->cache, entry);
}

/* A key's slot in `table`, most often where prefetching met it. */
static inline uint64_t *find_slot(const struct kv_table *table, const struct kv_key *key)
{
	/*
	 * While the word for its space is the same, the table has its buckets where it had them;
	 * the last slot of one may have become a link.
	 */
	if (key->seen_ && key->seen_in_ == table->space && !(*key->seen_ & KV_SLOT_LINK) &&
	    kv__slot_holds(*key->seen_, key->hash, key->bytes))
		return key->seen_;
	return kv__table_find(table, key->hash, key->bytes);
}

uint64_t *kv__locate(struct kv_operation *operation, const struct kv_access *access,
		     const struct kv_key *key)
{
	int64_t at_ms;
	uint64_t *slot;

	kv__site_init(operation, access, kv__shard_number(access->store, key->hash),
		      access->store->database_map[access->database]);
	if (ROTA_UNLIKELY(!operation->site.table))
		return NULL;
	slot = find_slot(operation->site.table, key);
	if (!slot || ROTA_LIKELY(!(*slot & KV_SLOT_EXPIRING)))
		return slot;
	at_ms = kv_entry_expiry(kv__slot_entry(*slot));
	if (access->now_ms <= at_ms)
		return slot;
	discard(operation, key->hash, slot);
	kv__count(&operation->reactor->expired, 1);
	return NULL;
}

int kv__put(struct kv_operation *operation, const struct kv_access *access,
	    const struct kv_key *key, uint64_t *slot, struct kv_entry *entry)
{
	struct kv_entry *old;
	int status;

	if (!slot) {
		status = kv__site_prepare(operation, access);
		if (status == 0)
			status = kv__table_insert(&operation->site, key->hash, entry);
		if (status == 0)
			kv__count_memory(operation, kv_entry_memory_bytes(entry), 0);
		return status;
	}
	old = kv__slot_entry(*slot);
	kv__table_replace(&operation->site, slot, entry);
	kv__count_memory(operation, kv_entry_memory_bytes(entry), kv_entry_memory_bytes(old));
	kv__garbage_add_entry(operation->site.garbage, operation->reactor->cache, old);
	return 0;
}

struct kv_entry *kv_find(const struct kv_access *access, const struct kv_key *key)
{
	struct kv_store *store = access->store;
	struct kv_shard *shard = &store->shards[kv__shard_number(store, key->hash)];
	struct kv_table *table = kv__shard_table(shard, store->database_map[access->database]);
	struct kv_operation operation;
	uint64_t *slot;

	kv__check_access(store, shard);
	slot = ROTA_LIKELY(table != NULL) ? find_slot(table, key) : NULL;
	/* One that has expired goes, and removing is an operation. */
	if (slot && ROTA_UNLIKELY(*slot & KV_SLOT_EXPIRING) &&
	    access->now_ms > kv_entry_expiry(kv__slot_entry(*slot)))
		slot = kv__locate(&operation, access, key);
	return slot ? kv__slot_entry(*slot) : NULL;
}

struct kv_entry *kv_read(const struct kv_access *access, const struct kv_key *key)
{
	struct kv_reactor *reactor = &access->store->reactors[access->reactor];
	struct kv_entry *entry = kv_find(access, key);

	kv__count(entry ? &reactor->hits : &reactor->misses, 1);
	return entry;
}

bool kv_delete(const struct kv_access *access, const struct kv_key *key)
{
	struct kv_operation operation;
	uint64_t *slot = kv__locate(&operation, access, key);

	if (!slot)
		return false;
	discard(&operation, key->hash, slot);
	return true;
}

/*
 * A copy of an entry under another key or expiry: the same payload, so a blob then has two entries
 * but one count.
 */
static struct kv_entry *clone_entry(struct kv_slab_cache *cache, const struct kv_entry *entry,
				    struct rota_view key, int64_t at_ms)
{
	struct rota_view old_key = kv_entry_key(entry);
	struct kv_entry *clone;
	char *payload;

	clone = kv__entry_create(cache, key, entry, at_ms, &payload);
	if (clone)
		memcpy(payload, old_key.data + old_key.bytes, kv__payload_bytes(entry));
	return clone;
}

int kv_expiry_set(const struct kv_access *access, const struct kv_key *key, int64_t at_ms)
{
	struct kv_operation operation;
	uint64_t *slot = kv__locate(&operation, access, key);
	struct kv_entry *entry, *clone;

	if (!slot)
		return 0;
	entry = kv__slot_entry(*slot);
	if ((at_ms == KV_NO_EXPIRY) == (kv_entry_expiry(entry) == KV_NO_EXPIRY)) {
		if (at_ms != KV_NO_EXPIRY)
			kv__entry_set_expiry(entry, at_ms);
		kv__table_note_expiry(&operation.site, at_ms);
		return 1;
	}
	clone = clone_entry(kv__cache(access), entry, kv_entry_key(entry), at_ms);
	if (!clone)
		return -ENOMEM;
	kv__table_replace(&operation.site, slot, clone);
	kv__count_memory(&operation, kv_entry_memory_bytes(clone), kv_entry_memory_bytes(entry));
	/* The blob, if any, went over to the clone. */
	kv__entry_free(operation.reactor->cache, entry);
	return 1;
}

/* Put a copy of `entry` under to_key. Returns 0 or -ENOMEM. */
static int put_clone(const struct kv_entry *entry, const struct kv_access *to,
		     const struct kv_key *to_key)
{
	struct kv_operation operation;
	uint64_t *slot = kv__locate(&operation, to, to_key);
	struct kv_entry *clone = clone_entry(kv__cache(to), entry, to_key->bytes,
					     kv_entry_expiry(entry));
	int status;

	if (!clone)
		return -ENOMEM;
	status = kv__put(&operation, to, to_key, slot, clone);
	if (status < 0)
		kv__entry_free(kv__cache(to), clone);
	return status;
}

static bool is_same_place(const struct kv_access *from, const struct kv_key *from_key,
			  const struct kv_access *to, const struct kv_key *to_key)
{
	return from->database == to->database && from_key->hash == to_key->hash &&
	       rota_view_equals(from_key->bytes, to_key->bytes);
}

int kv_rename(const struct kv_access *from, const struct kv_key *from_key,
	      const struct kv_access *to, const struct kv_key *to_key)
{
	struct kv_entry *entry = kv_find(from, from_key);
	struct kv_operation operation;
	uint64_t *slot;
	int status;

	if (!entry)
		return -ENOENT;
	if (is_same_place(from, from_key, to, to_key))
		return 0;
	status = put_clone(entry, to, to_key);
	if (status < 0)
		return status;
	/* Found again, because inserting may have split the bucket it was in. */
	slot = kv__locate(&operation, from, from_key);
	kv__count_memory(&operation, 0, kv_entry_memory_bytes(entry));
	kv__table_remove(&operation.site, from_key->hash, slot);
	kv__entry_free(operation.reactor->cache, entry);
	return 0;
}

int kv_copy(const struct kv_access *from, const struct kv_key *from_key, const struct kv_access *to,
	    const struct kv_key *to_key)
{
	struct kv_entry *entry = kv_find(from, from_key);
	struct rota_blob *blob;
	int status;

	if (!entry)
		return -ENOENT;
	if (kv_entry_type(entry) != KV_TYPE_STRING)
		return -KV_EWRONGTYPE;
	if (is_same_place(from, from_key, to, to_key))
		return 0;
	blob = kv_entry_blob(entry);
	if (blob)
		rota_blob_ref(blob);
	status = put_clone(entry, to, to_key);
	if (status < 0 && blob)
		rota_blob_unref(blob);
	return status;
}

/* ---- figures ---- */

void kv_store_statistics(const struct kv_store *store, struct kv_statistics *statistics)
{
	int64_t memory = (int64_t)__atomic_load_n(&store->base_bytes, __ATOMIC_RELAXED);
	int64_t keys = 0;

	*statistics = (struct kv_statistics){
		.locks_refused = __atomic_load_n(&store->locks_refused, __ATOMIC_RELAXED),
		.free_bytes = kv__slab_free_bytes(&store->depot),
	};
	for (uint32_t i = 0; i < store->reactor_count; i++) {
		const struct kv_reactor *reactor = &store->reactors[i];

		statistics->hits += (uint64_t)__atomic_load_n(&reactor->hits, __ATOMIC_RELAXED);
		statistics->misses += (uint64_t)__atomic_load_n(&reactor->misses, __ATOMIC_RELAXED);
		statistics->expired += (uint64_t)__atomic_load_n(&reactor->expired,
								 __ATOMIC_RELAXED);
		for (uint32_t j = 0; j < store->database_count; j++) {
			memory += __atomic_load_n(&reactor->counts[j].memory_bytes,
						  __ATOMIC_RELAXED);
			keys += __atomic_load_n(&reactor->counts[j].keys, __ATOMIC_RELAXED);
		}
	}
	/* Read while others write, a sum can be short for a moment; never show it as negative. */
	statistics->memory_bytes = memory > 0 ? (uint64_t)memory : 0;
	statistics->keys = keys > 0 ? (uint64_t)keys : 0;
}

uint64_t kv_store_key_count(const struct kv_store *store, uint32_t database)
{
	uint32_t table = store->database_map[database];
	int64_t sum = 0;

	for (uint32_t i = 0; i < store->reactor_count; i++)
		sum += __atomic_load_n(&store->reactors[i].counts[table].keys, __ATOMIC_RELAXED);
	return sum > 0 ? (uint64_t)sum : 0;
}

uint64_t kv_store_expiring_count(const struct kv_store *store, uint32_t database)
{
	uint32_t table = store->database_map[database];
	int64_t sum = 0;

	for (uint32_t i = 0; i < store->reactor_count; i++)
		sum += __atomic_load_n(&store->reactors[i].counts[table].expiring,
				       __ATOMIC_RELAXED);
	return sum > 0 ? (uint64_t)sum : 0;
}

uint32_t kv_store_shard_count(const struct kv_store *store)
{
	return store->shard_mask + 1;
}

uint32_t kv_store_database_count(const struct kv_store *store)
{
	return store->database_count;
}
