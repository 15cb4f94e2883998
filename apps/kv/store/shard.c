/* SPDX-License-Identifier: MIT */
/*
 * The locks of shards, alone and in sets, and the parking lots that shards and gate share. Store
 * layer; any reactor.
 */
#include <stdlib.h>

#include <rota/error.h>
#include <rota/memory.h>

#include "apps/kv/store/store_internal.h"

/*
 * Turns of the spin before a session parks. A pause is 10-50 ns on today's processors, so this
 * stays at or below a microsecond; locks are held for about 100 ns.
 */
#define SPINS_MAX 20

/* ---- parking lots ---- */

static struct kv_parking *lot_waiters(uint64_t word)
{
	return (struct kv_parking *)(uintptr_t)(word & ~KV_LOT_FLAGS);
}

bool kv_lot_park(uint64_t *lot, struct kv_parking *parking)
{
	uint64_t word = __atomic_load_n(lot, __ATOMIC_RELAXED);

	parking->lot_ = lot;
	do {
		if (!(word & KV_LOT_TAKEN))
			return false;
		parking->next_ = lot_waiters(word);
		/* Release: the waiter's fields, for the exchange of whoever releases. */
	} while (!__atomic_compare_exchange_n(lot, &word,
					      (word & KV_LOT_FLAGS) | (uintptr_t)parking, true,
					      __ATOMIC_RELEASE, __ATOMIC_RELAXED));
	return true;
}

void kv_lot_wake(uint64_t word)
{
	struct kv_parking *newest = lot_waiters(word);
	struct kv_parking *oldest = NULL;

	while (newest) {
		struct kv_parking *before = newest->next_;

		newest->next_ = oldest;
		oldest = newest;
		newest = before;
	}
	while (oldest) {
		/* wake() gives the memory back, so the link is read first. */
		struct kv_parking *next = oldest->next_;

		oldest->wake(oldest);
		oldest = next;
	}
}

/* Put a list that was taken off `lot` back, or wake it when the lot has been released meanwhile. */
static void put_back(uint64_t *lot, struct kv_parking *newest)
{
	struct kv_parking *oldest = newest;
	uint64_t word = __atomic_load_n(lot, __ATOMIC_RELAXED);

	while (oldest->next_)
		oldest = oldest->next_;
	do {
		if (!(word & KV_LOT_TAKEN)) {
			oldest->next_ = NULL;
			kv_lot_wake((uintptr_t)newest);
			return;
		}
		oldest->next_ = lot_waiters(word);
	} while (!__atomic_compare_exchange_n(lot, &word, (word & KV_LOT_FLAGS) | (uintptr_t)newest,
					      true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

bool kv_parking_cancel(struct kv_parking *parking)
{
	uint64_t *lot = parking->lot_;
	uint64_t word = __atomic_load_n(lot, __ATOMIC_RELAXED);
	struct kv_parking *newest;
	bool found = false;

	/*
	 * Take the whole list but not the lock; nobody can unlink from the middle of a list others
	 * push to.
	 */
	do {
		if (!lot_waiters(word))
			return false;
	} while (!__atomic_compare_exchange_n(lot, &word, word & KV_LOT_FLAGS, true,
					      __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
	newest = lot_waiters(word);
	for (struct kv_parking **link = &newest; *link; link = &(*link)->next_) {
		if (*link == parking) {
			*link = parking->next_;
			found = true;
			break;
		}
	}
	if (newest)
		put_back(lot, newest);
	return found;
}

/* ---- one shard ---- */

/* Debug builds see to it that nobody waits with it. */
static bool lot_try_counted(uint64_t *lot)
{
	if (!kv_lot_try(lot))
		return false;
	rota_debug_lock_taken();
	return true;
}

bool kv__shard_try_lock(struct kv_store *store, uint32_t number)
{
	if (store->refuse_lock && store->refuse_lock(store->refuse_arg, number))
		return false;
	return !store->locking || lot_try_counted(&store->shards[number].lot);
}

static bool lock_or_park(struct kv_store *store, uint32_t number, struct kv_parking *parking)
{
	uint64_t *lot = &store->shards[number].lot;

	do {
		for (unsigned spins = 0; spins < SPINS_MAX; spins++) {
			/*
			 * Look before trying, so that waiting doesn't pull the line from the
			 * holder.
			 */
			if (!(__atomic_load_n(lot, __ATOMIC_RELAXED) & KV_LOT_TAKEN) &&
			    lot_try_counted(lot))
				return true;
			rota_pause();
		}
	} while (!kv_lot_park(lot, parking)); /* released just now: try again */
	return false;
}

int kv__shard_lock(struct kv_store *store, uint32_t number, struct kv_parking *parking)
{
	if (ROTA_LIKELY(!store->careful))
		return 0;
	if (store->refuse_lock && store->refuse_lock(store->refuse_arg, number)) {
		/* Refused for the test's sake: nobody holds it, so nobody else would wake us. */
		__atomic_fetch_add(&store->locks_refused, 1, __ATOMIC_RELAXED);
		parking->lot_ = &store->shards[number].lot;
		parking->wake(parking);
		return -EAGAIN;
	}
	if (!store->locking || lot_try_counted(&store->shards[number].lot))
		return 0;
	if (lock_or_park(store, number, parking))
		return 0;
	__atomic_fetch_add(&store->locks_refused, 1, __ATOMIC_RELAXED);
	return -EAGAIN;
}

void kv__shard_unlock(struct kv_store *store, uint32_t number)
{
	uint64_t word;

	if (!store->locking)
		return;
	rota_debug_lock_released();
	word = kv_lot_release(&store->shards[number].lot);
	ROTA_DCHECK(word & KV_LOT_TAKEN);
	if (ROTA_UNLIKELY(word != KV_LOT_TAKEN))
		kv_lot_wake(word);
}

int kv_lock(struct kv_store *store, const struct kv_key *key, struct kv_parking *parking)
{
	return kv__shard_lock(store, kv__shard_number(store, key->hash), parking);
}

void kv_unlock(struct kv_store *store, const struct kv_key *key)
{
	kv__shard_unlock(store, kv__shard_number(store, key->hash));
}

uint32_t kv_shard_of(const struct kv_store *store, const struct kv_key *key)
{
	return kv__shard_number(store, key->hash);
}

void *kv_shard_side(const struct kv_store *store, uint32_t shard)
{
	return store->shards[shard].side;
}

void kv_shard_set_side(struct kv_store *store, uint32_t shard, void *side)
{
	store->shards[shard].side = side;
}

/* ---- sets ---- */

void kv_lock_set_init(struct kv_lock_set *set, struct kv_store *store)
{
	set->store_ = store;
	set->count_ = 0;
	set->capacity_ = KV_LOCK_SET_INLINE;
	set->shards_ = set->inline_;
	set->is_sorted_ = true;
	set->is_held_ = false;
}

int kv_lock_set_add(struct kv_lock_set *set, const struct kv_key *key)
{
	ROTA_ASSERT(!set->is_held_);
	if (set->count_ == set->capacity_) {
		bool was_inline = set->shards_ == set->inline_;
		uint32_t capacity = set->capacity_ * 2;
		uint32_t *grown = rota_realloc(was_inline ? NULL : set->shards_,
					       capacity * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		if (was_inline)
			memcpy(grown, set->inline_, sizeof(set->inline_));
		set->shards_ = grown;
		set->capacity_ = capacity;
	}
	set->shards_[set->count_++] = kv__shard_number(set->store_, key->hash);
	set->is_sorted_ = false;
	return 0;
}

static int compare_numbers(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void sort_and_drop_doubles(struct kv_lock_set *set)
{
	uint32_t kept = 0;

	qsort(set->shards_, set->count_, sizeof(set->shards_[0]), compare_numbers);
	for (uint32_t i = 0; i < set->count_; i++)
		if (!kept || set->shards_[kept - 1] != set->shards_[i])
			set->shards_[kept++] = set->shards_[i];
	set->count_ = kept;
	set->is_sorted_ = true;
}

/*
 * Unlock the first `count` shards, and wake only when the last one is free: what wakes up may want
 * several of them.
 */
static void unlock_first(struct kv_lock_set *set, uint32_t count)
{
	struct kv_parking *to_wake = NULL;

	if (!set->store_->locking)
		return;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t word = kv_lot_release(&set->store_->shards[set->shards_[i]].lot);
		struct kv_parking *oldest = lot_waiters(word);

		rota_debug_lock_released();
		if (!oldest)
			continue;
		while (oldest->next_)
			oldest = oldest->next_;
		oldest->next_ = to_wake;
		to_wake = lot_waiters(word);
	}
	kv_lot_wake((uintptr_t)to_wake);
}

int kv_lock_set_acquire(struct kv_lock_set *set, struct kv_parking *parking)
{
	ROTA_ASSERT(!set->is_held_);
	if (!set->store_->careful) {
		set->is_held_ = true;
		return 0;
	}
	if (!set->is_sorted_)
		sort_and_drop_doubles(set);
	for (uint32_t i = 0; i < set->count_; i++) {
		/*
		 * Once queued, the parking can be woken, and the set be used again, before we have
		 * unlocked the rest: the numbers are ours until return because the session that
		 * wakes runs on this very thread.
		 */
		if (kv__shard_lock(set->store_, set->shards_[i], parking) < 0) {
			unlock_first(set, i);
			return -EAGAIN;
		}
	}
	set->is_held_ = true;
	return 0;
}

void kv_lock_set_release(struct kv_lock_set *set)
{
	ROTA_ASSERT(set->is_held_);
	set->is_held_ = false;
	unlock_first(set, set->count_);
}

void kv_lock_set_fini(struct kv_lock_set *set)
{
	ROTA_ASSERT(!set->is_held_);
	if (set->shards_ != set->inline_)
		rota_free(set->shards_);
	set->shards_ = set->inline_;
	set->count_ = 0;
	set->capacity_ = KV_LOCK_SET_INLINE;
}
