/* SPDX-License-Identifier: MIT */
/*
 * The shared store of rota-kv: keys to typed entries, cut into shards with a short lock each.
 * Layer: below the commands, above nothing but memory; no I/O, no tasks, never suspends. Used by
 * all reactors at once.
 *
 * The one idea: a command enters the gate once per batch, locks the shards of its keys (in
 * ascending order), works on entries in place, unlocks, and only then frees and wakes. What can't
 * be had at once is refused with -EAGAIN and a wake-up later; nobody ever blocks or spins for more
 * than about a microsecond.
 *
 *	kv_keys_hash(store, keys, count);
 *	if (kv_gate_enter(store, reactor, &parking) < 0)     parked: try again when woken
 *		…
 *	kv_keys_prefetch(store, database, keys, count);      for the whole batch
 *	if (kv_lock(store, &keys[0], &parking) < 0)          parked: leave the gate, try again later
 *		…
 *	entry = kv_read(&access, &keys[0]);                  copy the value, or reference its blob
 *	kv_unlock(store, &keys[0]);
 *	kv_gate_leave(store, reactor);
 *	kv_garbage_free(&garbage);
 */
#ifndef KV_STORE_STORE_H
#define KV_STORE_STORE_H

#include <rota/base.h>
#include <rota/buffer.h>
#include <rota/error.h>

#include "apps/kv/store/entry.h"
#include "apps/kv/store/gate.h"
#include "apps/kv/store/parking.h"

/* The most shards, and the most databases, that fit the hash and the options. */
#define KV_SHARDS_MAX 65536u
#define KV_DATABASES_MAX 1024u
#define KV_REACTORS_MAX 256u

/* Measured in docs/design/0006-store.md. */
#define KV_SHARDS_DEFAULT 2048u
#define KV_DATABASES_DEFAULT 16u

/*
 * Additions to errno's words: the key holds another type, the result would be longer than
 * KV_VALUE_BYTES_MAX.
 */
#define KV_EWRONGTYPE EPROTOTYPE
#define KV_ETOOBIG EMSGSIZE

struct kv_store;

struct kv_store_options {
	uint32_t shard_count;    /* power of two, <= KV_SHARDS_MAX; 0: KV_SHARDS_DEFAULT */
	uint32_t database_count; /* <= KV_DATABASES_MAX; 0: KV_DATABASES_DEFAULT */
	uint32_t reactor_count;  /* 1 … KV_REACTORS_MAX; indices of reactors run from 0 */
	uint8_t hash_seed[16];   /* secret and random, or clients can flood one bucket */

	/*
	 * The simulator's hook: called before each try-lock of a shard, also when locking is off;
	 * true refuses it, as if another reactor held the shard for too long. NULL in production.
	 * Any reactor's thread.
	 */
	bool (*refuse_lock)(void *arg, uint32_t shard);
	void *refuse_arg;
};

/* ---- store: lifetime ---- */

/*
 * Locking is on when there is more than one reactor.
 * Returns 0, -EINVAL (a count out of range) or -ENOMEM. Returns owned in *store: kv_store_destroy.
 */
ROTA_MUST_USE int kv_store_create(struct kv_store **store, const struct kv_store_options *options);

/* Frees every key. Nobody is inside the gate, nobody is parked. NULL is allowed. */
void kv_store_destroy(struct kv_store *store);

/*
 * Switch shard locks on or off, for going from one reactor to several and back. Only while the gate
 * is closed by the caller, and while no other reactor is about to enter: before they start, or
 * after they stopped.
 */
void kv_store_set_locking(struct kv_store *store, bool locking);

/* ---- keys: hashing and prefetching a batch ---- */

/*
 * A key as commands hold it: parsed bytes (borrowed from the request) and their hash under this
 * store's seed.
 */
struct kv_key {
	struct rota_view bytes;
	uint64_t hash; /* set by kv_keys_hash */
	/* Private: the slot in which prefetching met it, NULL for none: only a hint. */
	uint64_t *seen_;
	uint64_t seen_in_; /* private: where the table's buckets were then */
};

/* Fill in keys[i].hash from keys[i].bytes. Needs no gate. */
void kv_keys_hash(const struct kv_store *store, struct kv_key *keys, size_t count);

static inline struct kv_key kv_key_of(const struct kv_store *store, struct rota_view bytes)
{
	struct kv_key key = { .bytes = bytes };

	kv_keys_hash(store, &key, 1);
	return key;
}

/*
 * Bring what the commands on these keys will touch into the cache: shards, then buckets, then
 * entries, each stage for all keys before the next, so that their misses overlap. What it met is
 * remembered in the keys, for this pass of the gate: in another, hash or prefetch them again before
 * they are used. A hint without effect on any result. Inside the gate, no locks.
 */
void kv_keys_prefetch(const struct kv_store *store, uint32_t database, struct kv_key *keys,
		      size_t count);

/* The shard `key` lives in, for grouping. */
uint32_t kv_shard_of(const struct kv_store *store, const struct kv_key *key);

/* ---- locks ---- */

/*
 * Lock the shard of one key. Spins for about a microsecond at most.
 * Returns 0, or -EAGAIN: `parking` is queued on the shard and nothing is held.
 * Inside the gate; holding no other shard (several keys: a lock set). Skipped when locking is off.
 */
ROTA_MUST_USE int kv_lock(struct kv_store *store, const struct kv_key *key,
			  struct kv_parking *parking);

/* Unlock, then wake who waited for it. */
void kv_unlock(struct kv_store *store, const struct kv_key *key);

/* Shards kept in the set itself; more go to the heap. */
#define KV_LOCK_SET_INLINE 8

/*
 * The distinct shards of a command over several keys. On the caller's stack; reusable after
 * release.
 */
struct kv_lock_set {
	struct kv_store *store_; /* all private */
	uint32_t count_;
	uint32_t capacity_;
	uint32_t *shards_; /* ascending after acquire; points to inline_ until it overflows */
	bool is_sorted_;
	bool is_held_;
	uint32_t inline_[KV_LOCK_SET_INLINE];
};

void kv_lock_set_init(struct kv_lock_set *set, struct kv_store *store);

/* Add a key's shard; twice is harmless. Returns 0 or -ENOMEM. Not while held. */
ROTA_MUST_USE int kv_lock_set_add(struct kv_lock_set *set, const struct kv_key *key);

/*
 * Lock all shards of the set in ascending order, or none.
 * Returns 0, or -EAGAIN: everything is released again and `parking` is queued on the shard that was
 * refused. A set that is refused again and again (hundreds of shards under load) is better run
 * behind the closed gate.
 */
ROTA_MUST_USE int kv_lock_set_acquire(struct kv_lock_set *set, struct kv_parking *parking);

/* Unlock all, then wake. The shards stay in the set. */
void kv_lock_set_release(struct kv_lock_set *set);

/* Free what it took from the heap. Not while held. */
void kv_lock_set_fini(struct kv_lock_set *set);

/* ---- entries ---- */

/* Who works on which database at what time; one per batch, borrowed by every call below. */
struct kv_access {
	struct kv_store *store;
	uint32_t reactor;           /* index of the calling reactor: its counters are written */
	uint32_t database;          /* < database_count */
	int64_t now_ms;             /* wall clock; what expired before it isn't there any more */
	struct kv_garbage *garbage; /* takes what is removed */
};

/*
 * All of these: under the lock of every key named, or alone behind the closed gate. An expired key
 * is removed on the way and counts as absent. Functions that say "may move" end the life of every
 * pointer to that key's entry.
 */

/* The entry of `key`, or NULL. Borrowed until the unlock or the next call that may move it. */
struct kv_entry *kv_find(const struct kv_access *access, const struct kv_key *key);

/* The same, and counts a hit or a miss: for commands that read. */
struct kv_entry *kv_read(const struct kv_access *access, const struct kv_key *key);

/* Remove a key, of any type. Returns whether it was there. */
bool kv_delete(const struct kv_access *access, const struct kv_key *key);

/*
 * Let `key` expire at `at_ms` (> 0; KV_NO_EXPIRY makes it persistent). May move.
 * Returns 1, 0 when there is no such key, or -ENOMEM (nothing changed).
 */
ROTA_MUST_USE int kv_expiry_set(const struct kv_access *access, const struct kv_key *key,
				int64_t at_ms);

/*
 * Give the value and expiry of `from_key` to `to_key`, replacing it, and remove `from_key`: RENAME,
 * and with different databases MOVE. The accesses differ in the database only. May move both; the
 * same key in the same database is left as it is. Returns 0, -ENOENT (no source) or -ENOMEM
 * (nothing changed).
 */
ROTA_MUST_USE int kv_rename(const struct kv_access *from, const struct kv_key *from_key,
			    const struct kv_access *to, const struct kv_key *to_key);

/* The same, but `from_key` stays: COPY. Strings only: -KV_EWRONGTYPE otherwise. */
ROTA_MUST_USE int kv_copy(const struct kv_access *from, const struct kv_key *from_key,
			  const struct kv_access *to, const struct kv_key *to_key);

/* ---- strings ---- */

/*
 * Make `key` a string, whatever it was before. May move; in place when the allocation class allows.
 *
 * value     Copied. Must not point into the entry of `key`.
 * at_ms     > 0, KV_NO_EXPIRY or KV_KEEP_EXPIRY.
 * Returns   0, -KV_ETOOBIG or -ENOMEM (nothing changed).
 */
ROTA_MUST_USE int kv_string_set(const struct kv_access *access, const struct kv_key *key,
				struct rota_view value, int64_t at_ms);

/*
 * The same with a value prepared outside the lock: `blob` holds exactly the value, of
 * KV_BLOB_BYTES_MIN or more bytes.
 * Takes the caller's reference on success only.
 */
ROTA_MUST_USE int kv_string_set_blob(const struct kv_access *access, const struct kv_key *key,
				     struct rota_blob *blob, int64_t at_ms);

/*
 * Make all of `keys` strings without expiry, or none: values[i * values_step] goes to keys[i]. Of a
 * key that comes more than once the last value stays. Values as for kv_string_set. May move.
 * Returns 0, -KV_ETOOBIG or -ENOMEM (nothing changed).
 */
ROTA_MUST_USE int kv_string_set_all(const struct kv_access *access, const struct kv_key *keys,
				    const struct rota_view *values, uint32_t values_step,
				    uint32_t count);

/*
 * Append to a string; an absent key is created. Amortised O(bytes). May move; keeps the expiry.
 * Returns the new length, -KV_EWRONGTYPE, -KV_ETOOBIG or -ENOMEM (nothing changed).
 */
ROTA_MUST_USE int64_t kv_string_append(const struct kv_access *access, const struct kv_key *key,
				       struct rota_view tail);

/*
 * Overwrite from `offset` on, with zeros before it where the string was shorter; an absent key is
 * created. `patch` isn't empty. May move; keeps the expiry. Returns as kv_string_append.
 */
ROTA_MUST_USE int64_t kv_string_set_range(const struct kv_access *access, const struct kv_key *key,
					  size_t offset, struct rota_view patch);

/* ---- over all keys ---- */

/* Called with one live entry under its shard's lock; must not change the store. */
typedef void (*kv_visit_fn)(void *arg, const struct kv_entry *entry);

/*
 * One step of an iteration in (shard, hash order). A key that is there from the first step to the
 * last is visited at least once, whatever happens between the steps.
 *
 * cursor    In and out: 0 begins, and 0 afterwards means the iteration is complete. Any other value
 *           is accepted.
 * count     At least so many entries, rounded up to a bucket, unless 10 × count buckets were looked
 *           at first. Empty shards do not count, so that a few keys are one step.
 * Returns   the number visited, or -EAGAIN: a shard was refused before anything was visited;
 *           `parking` is queued.
 * Inside the gate with no lock held, or alone behind it. Only access->reactor, database and now_ms
 * are used.
 */
ROTA_MUST_USE int64_t kv_scan(const struct kv_access *access, uint64_t *cursor, uint32_t count,
			      struct kv_parking *parking, kv_visit_fn visit, void *arg);

/*
 * Visit one key chosen by `random`: RANDOMKEY. Shards and buckets are equally likely, keys nearly
 * so.
 * Returns 1, 0 (none found: the database is empty or all of it expired) or -EAGAIN as kv_scan.
 */
ROTA_MUST_USE int kv_random(const struct kv_access *access, uint64_t random,
			    struct kv_parking *parking, kv_visit_fn visit, void *arg);

/*
 * Empty one database, or all (UINT32_MAX), in constant time per shard; the entries go to
 * access->garbage. Alone behind the closed gate.
 */
void kv_flush(const struct kv_access *access, uint32_t database);

/* Exchange two databases: SWAPDB. Alone behind the closed gate. */
void kv_swap_databases(struct kv_store *store, uint32_t a, uint32_t b);

/*
 * Expire what is due in the shards i with i % reactor_count == reactor_index, and go on where the
 * last call stopped. Shards whose next expiry lies ahead are skipped, so an idle call costs one
 * read per shard looked at.
 *
 * budget    entries and shards looked at, at most (rounded up to a bucket).
 * Thread    reactor `reactor_index`, inside the gate, no lock held. Shards that are locked are
 *           passed over.
 */
struct kv_expire_result {
	uint32_t removed;  /* keys */
	uint32_t examined; /* entries with an expiry that were looked at */
	bool more;         /* over a quarter of the examined were due: call again soon */
};
struct kv_expire_result kv_store_expire_some(struct kv_store *store, uint32_t reactor_index,
					     uint32_t reactor_count, int64_t now_ms,
					     uint32_t budget);

/* ---- the side table of a shard ---- */

/*
 * One pointer per shard for what few keys need (watches, blocked clients, tracking): NULL, the
 * common case, is read with the lock's own cache line. Under the shard's lock. The caller owns what
 * it points to.
 */
void *kv_shard_side(const struct kv_store *store, uint32_t shard);
void kv_shard_set_side(struct kv_store *store, uint32_t shard, void *side);

/*
 * ---- figures; any thread, no lock: sums of what reactors have written, exact when they are quiet
 * ----
 */

struct kv_statistics {
	uint64_t hits;
	uint64_t misses;
	uint64_t expired;
	uint64_t evicted;
	uint64_t locks_refused; /* sessions parked on a shard */
	/* entries, blobs, tables and the store itself, each with what is set aside for it */
	uint64_t memory_bytes;
	uint64_t free_bytes; /* set aside for entries to come, beyond memory_bytes */
	uint64_t keys;       /* over all databases */
};
void kv_store_statistics(const struct kv_store *store, struct kv_statistics *statistics);

/* Keys in a database, expired ones that nobody met included. */
uint64_t kv_store_key_count(const struct kv_store *store, uint32_t database);

/* Those of them that have an expiry. */
uint64_t kv_store_expiring_count(const struct kv_store *store, uint32_t database);

uint32_t kv_store_shard_count(const struct kv_store *store);
uint32_t kv_store_database_count(const struct kv_store *store);

#endif /* KV_STORE_STORE_H */
