/* SPDX-License-Identifier: MIT */
/*
 * The gate: every reactor passes it once per batch of commands, and whoever can't name its keys
 * closes it and runs alone. Store layer; each function says which thread.
 *
 * The one idea: a reactor announces itself in a cache line of its own and then looks whether the
 * gate is closed; the closer marks the gate and then looks at the announcements. With sequentially
 * consistent order at least one of them sees the other (Dekker), so the common pass costs one local
 * store and one shared read, and no shared write.
 */
#ifndef KV_STORE_GATE_H
#define KV_STORE_GATE_H

#include "apps/kv/store/parking.h"

struct kv_store;

/*
 * Pass: from here to kv_gate_leave this reactor may lock shards and prefetch. Once per batch, not
 * per command; a pass never spans a suspension.
 * Returns   0, or -EAGAIN: the gate is closed and `parking` queued (see kv_wake_fn); enter again
 *           when woken.
 * Thread    reactor `reactor`, which is outside.
 */
ROTA_MUST_USE int kv_gate_enter(struct kv_store *store, uint32_t reactor,
				struct kv_parking *parking);

/* End of the pass. No shard is locked any more. May call the closer's wake(). */
void kv_gate_leave(struct kv_store *store, uint32_t reactor);

/*
 * Close the gate and wait until every reactor is out.
 *
 * parking   identifies the closer: the same one in every call until kv_gate_open.
 * Returns   0: closed, everybody is out, the caller runs alone until kv_gate_open (it does not
 *           enter, and needs no locks); or -EAGAIN: reactors are still inside, or another closer
 *           owns the gate; call again when woken.
 * Thread    any; if it is a reactor's, that reactor has left its pass. With locking off, the one
 *           reactor's.
 */
ROTA_MUST_USE int kv_gate_close(struct kv_store *store, struct kv_parking *parking);

/* Let everybody in again; wakes whoever was refused meanwhile. Only the closer that got 0. */
void kv_gate_open(struct kv_store *store, struct kv_parking *parking);

/*
 * Withdraw a refused kv_gate_enter or kv_gate_close.
 * Returns true: done, wake() will not be called. False: wake() is running, has run or will run;
 * wait for it. A closer then calls kv_gate_close again and, if that gives 0, kv_gate_open; if it
 * gives -EAGAIN, kv_gate_cancel again.
 */
ROTA_MUST_USE bool kv_gate_cancel(struct kv_store *store, struct kv_parking *parking);

/* True between a kv_gate_close that returned 0 and its kv_gate_open. */
bool kv_gate_is_exclusive(const struct kv_store *store);

#endif /* KV_STORE_GATE_H */
