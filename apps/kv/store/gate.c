/* SPDX-License-Identifier: MIT */
/*
 * The gate, and the memory whose freeing waits until every reactor has passed it. Store layer.
 *
 * States of the gate's word (waiters beside them): 0 open; TAKEN closed, and one thread has the say
 * (the closer that set it, or the leaver that looks who is still inside); TAKEN|DRAINING the next
 * leaver takes the say; TAKEN|EXCLUSIVE the owner runs alone. Whoever has the say scans only after
 * taking it, so a scan can't be mistaken for one of an earlier closing. docs/design/store-gate.pml
 * is the model.
 */
#include <rota/error.h>

#include "apps/kv/store/store_internal.h"

#define DRAINING KV_LOT_FLAG
#define EXCLUSIVE UINT64_C(4)

static bool everybody_is_out(const struct kv_store *store)
{
	for (uint32_t i = 0; i < store->reactor_count; i++)
		/*
		 * Sequential order with the store in kv_gate_enter; acquire: what they did inside
		 * is visible.
		 */
		if (__atomic_load_n(&store->reactors[i].passes, __ATOMIC_SEQ_CST) & 1)
			return false;
	return true;
}

/* Take the say if it is to be had, and hand the gate to its owner if everybody is out. */
static void finish_closing(struct kv_store *store)
{
	for (;;) {
		uint64_t word = __atomic_load_n(&store->gate_lot, __ATOMIC_SEQ_CST);
		struct kv_parking *owner;

		if (!(word & DRAINING))
			return;
		if (!__atomic_compare_exchange_n(&store->gate_lot, &word, word & ~DRAINING, true,
						 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			continue;
		if (everybody_is_out(store)) {
			owner = __atomic_load_n(&store->gate_owner, __ATOMIC_RELAXED);
			__atomic_fetch_or(&store->gate_lot, EXCLUSIVE, __ATOMIC_SEQ_CST);
			owner->wake(owner);
			return;
		}
		/*
		 * Who left while we had the say saw no DRAINING and did nothing, so look once more
		 * after giving it up.
		 */
		__atomic_fetch_or(&store->gate_lot, DRAINING, __ATOMIC_SEQ_CST);
		if (!everybody_is_out(store))
			return;
	}
}

static void step_out(struct kv_store *store, struct kv_reactor *reactor)
{
	if (!store->locking) {
		__atomic_store_n(&reactor->passes, reactor->passes + 1, __ATOMIC_RELEASE);
		if (__atomic_load_n(&store->gate_lot, __ATOMIC_RELAXED) & DRAINING)
			finish_closing(store);
		return;
	}
	/*
	 * Store, then load, in one order for all: either the closer sees us outside or we see that
	 * it is closing.
	 */
	__atomic_store_n(&reactor->passes, reactor->passes + 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&store->gate_lot, __ATOMIC_SEQ_CST) & DRAINING)
		finish_closing(store);
}

int kv_gate_enter(struct kv_store *store, uint32_t index, struct kv_parking *parking)
{
	struct kv_reactor *reactor = &store->reactors[index];

	ROTA_ASSERT(!(reactor->passes & 1));
	for (;;) {
		/*
		 * Without locking there is one reactor and a closer on its thread: program order is
		 * enough.
		 */
		__atomic_store_n(&reactor->passes, reactor->passes + 1,
				 store->locking ? __ATOMIC_SEQ_CST : __ATOMIC_RELAXED);
		if (ROTA_LIKELY(
			    !(__atomic_load_n(&store->gate_lot, __ATOMIC_SEQ_CST) & KV_LOT_TAKEN)))
			return 0;
		step_out(store, reactor);
		if (kv_lot_park(&store->gate_lot, parking))
			return -EAGAIN;
	}
}

/*
 * Free what was retired two leaves ago or more, once every reactor is outside or in a later pass:
 * no prefetch that began before it was unlinked is still under way. (Quiescent-state reclamation,
 * McKenney and Slingwine 1998.)
 */
static void reclaim(struct kv_store *store, struct kv_reactor *reactor)
{
	if (!kv_garbage_is_empty(&reactor->waiting)) {
		for (uint32_t i = 0; i < store->reactor_count; i++) {
			uint64_t passes = __atomic_load_n(&store->reactors[i].passes,
							  __ATOMIC_SEQ_CST);

			if (passes & 1 && passes == reactor->seen[i])
				return;
		}
		kv_garbage_free(&reactor->waiting);
	}
	reactor->waiting = reactor->retired;
	kv_garbage_init(&reactor->retired);
	for (uint32_t i = 0; i < store->reactor_count; i++)
		reactor->seen[i] = __atomic_load_n(&store->reactors[i].passes, __ATOMIC_SEQ_CST);
}

void kv_gate_leave(struct kv_store *store, uint32_t index)
{
	struct kv_reactor *reactor = &store->reactors[index];

	ROTA_ASSERT(reactor->passes & 1);
	step_out(store, reactor);
	if (ROTA_UNLIKELY(!kv_garbage_is_empty(&reactor->retired) ||
			  !kv_garbage_is_empty(&reactor->waiting)))
		reclaim(store, reactor);
}

int kv_gate_close(struct kv_store *store, struct kv_parking *parking)
{
	/* Only we write our own name there, so a relaxed look can't be wrong about us. */
	if (__atomic_load_n(&store->gate_owner, __ATOMIC_RELAXED) == parking)
		return __atomic_load_n(&store->gate_lot, __ATOMIC_SEQ_CST) & EXCLUSIVE ? 0
										       : -EAGAIN;
	for (;;) {
		uint64_t open = 0;

		if (__atomic_compare_exchange_n(&store->gate_lot, &open, KV_LOT_TAKEN, false,
						__ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			break;
		if (kv_lot_park(&store->gate_lot, parking))
			return -EAGAIN;
	}
	parking->lot_ = &store->gate_lot;
	__atomic_store_n(&store->gate_owner, parking, __ATOMIC_RELAXED);
	if (everybody_is_out(store)) {
		__atomic_fetch_or(&store->gate_lot, EXCLUSIVE, __ATOMIC_SEQ_CST);
		return 0;
	}
	/*
	 * Publishes the owner to the leaver that takes the say. From here on wake() may come at any
	 * moment.
	 */
	__atomic_fetch_or(&store->gate_lot, DRAINING, __ATOMIC_SEQ_CST);
	if (everybody_is_out(store))
		finish_closing(store);
	return -EAGAIN;
}

void kv_gate_open(struct kv_store *store, struct kv_parking *parking)
{
	ROTA_ASSERT(__atomic_load_n(&store->gate_owner, __ATOMIC_RELAXED) == parking);
	ROTA_ASSERT(kv_gate_is_exclusive(store));
	__atomic_store_n(&store->gate_owner, NULL, __ATOMIC_RELAXED);
	kv_lot_wake(kv_lot_release(&store->gate_lot));
}

bool kv_gate_cancel(struct kv_store *store, struct kv_parking *parking)
{
	uint64_t word = __atomic_load_n(&store->gate_lot, __ATOMIC_SEQ_CST);

	if (__atomic_load_n(&store->gate_owner, __ATOMIC_RELAXED) != parking)
		return kv_parking_cancel(parking);
	do {
		if (!(word & DRAINING))
			return false;
	} while (!__atomic_compare_exchange_n(&store->gate_lot, &word, word & ~DRAINING, true,
					      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	/* The say is ours: nobody will wake the owner any more. */
	__atomic_store_n(&store->gate_owner, NULL, __ATOMIC_RELAXED);
	kv_lot_wake(kv_lot_release(&store->gate_lot));
	return true;
}

bool kv_gate_is_exclusive(const struct kv_store *store)
{
	return __atomic_load_n(&store->gate_lot, __ATOMIC_ACQUIRE) & EXCLUSIVE;
}
