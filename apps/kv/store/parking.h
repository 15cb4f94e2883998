/* SPDX-License-Identifier: MIT */
/*
 * Parking: how a session waits for a shard or for the gate without blocking its thread. Store
 * layer; any thread.
 *
 * The one idea: the lock word is also the list of those who wait for it. Bit 0 says "taken", the
 * other bits are the newest waiter. Parking succeeds only while bit 0 is set, and the release takes
 * word and list in one exchange, so there is no moment in which somebody waits and nobody knows.
 * docs/design/store-gate.pml is the model of it.
 */
#ifndef KV_STORE_PARKING_H
#define KV_STORE_PARKING_H

#include <rota/base.h>

/* Bits of a lot's word. The gate uses the second one; pointers to waiters are 8-byte aligned. */
#define KV_LOT_TAKEN UINT64_C(1)
#define KV_LOT_FLAG UINT64_C(2)
#define KV_LOT_FLAGS UINT64_C(7)

struct kv_parking;

/*
 * Called exactly once for each parking that was queued and not withdrawn, outside every lock, by
 * whichever thread releases: often another reactor's, possibly the own one, possibly before the
 * call that queued has returned. From its first instruction on `parking` belongs to the caller
 * again. It must not block; it makes the session ready, which then repeats the call that was
 * refused.
 */
typedef void (*kv_wake_fn)(struct kv_parking *parking);

/*
 * Embedded in what waits; immovable and lent to the store from a refusal until wake() or a
 * successful withdrawal.
 */
struct kv_parking {
	kv_wake_fn wake;          /* set by the caller */
	struct kv_parking *next_; /* private: the one that came before */
	uint64_t *lot_;           /* private: the word it was queued on */
};

static inline void kv_parking_init(struct kv_parking *parking, kv_wake_fn wake)
{
	parking->wake = wake;
	parking->next_ = NULL;
	parking->lot_ = NULL;
}

/*
 * Withdraw a parked waiter, for instance because its client left.
 * Returns true: it is off the list, wake() will not be called. False: wake() is running, has run,
 * or will run with the next release; the caller must wait for it before it reuses the memory. Any
 * thread; never suspends, never spins.
 */
ROTA_MUST_USE bool kv_parking_cancel(struct kv_parking *parking);

/* ---- for the store's own files ---- */

/* Queue `parking` if `lot` is taken. Returns false, and nothing is queued, when it is free. */
ROTA_MUST_USE bool kv_lot_park(uint64_t *lot, struct kv_parking *parking);

/* Wake a list taken from a lot, in the order in which they came. */
void kv_lot_wake(uint64_t word);

/* Free the lot; returns the old word, to be handed to kv_lot_wake once no lock is held. */
static inline uint64_t kv_lot_release(uint64_t *lot)
{
	/*
	 * Release: pairs with the acquire in kv_lot_try. Acquire: the waiters' fields were written
	 * before they queued.
	 */
	return __atomic_exchange_n(lot, 0, __ATOMIC_ACQ_REL);
}

static inline bool kv_lot_try(uint64_t *lot)
{
	uint64_t free_word = 0;

	return __atomic_compare_exchange_n(lot, &free_word, KV_LOT_TAKEN, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

#endif /* KV_STORE_PARKING_H */
