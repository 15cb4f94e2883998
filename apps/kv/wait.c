/* SPDX-License-Identifier: MIT */
/*
 * Waiting for a shard or the gate. Application layer of rota-kv; on the session's reactor, but for
 * the wake-up, which comes on any thread.
 *
 * The one idea: the store wakes by a call on whichever thread releases, a task waits for a future
 * of its own reactor. In between there is a message, and when the release happens here, not even
 * that.
 */
#include "apps/kv/call.h"

static void woken_at_home(struct rota_message *message)
{
	struct kv_wait *wait = ROTA_CONTAINER_OF(message, struct kv_wait, message);

	rota_future_complete(&wait->woken, 0);
}

static void wake(struct kv_parking *parking)
{
	struct kv_wait *wait = ROTA_CONTAINER_OF(parking, struct kv_wait, parking);

	if (wait->home == rota_reactor_current())
		rota_future_complete(&wait->woken, 0);
	else
		rota_post(wait->home, &wait->message);
}

void kv_wait_init(struct kv_wait *wait)
{
	kv_parking_init(&wait->parking, wake);
	rota_future_init(&wait->woken);
	wait->message.run = woken_at_home;
	wait->home = rota_reactor_current();
	wait->is_gate = false;
}

/* Ready for the next refusal; the parking keeps its identity, by which the gate knows a closer. */
static void rearm(struct kv_wait *wait)
{
	rota_future_init(&wait->woken);
	wait->is_gate = false;
}

/* The wake-up is on its way, and `wait` is lent until it has come. */
static void await_wake(struct kv_wait *wait)
{
	struct rota_scope shield;

	rota_shield(&shield, ROTA_NEVER);
	rota_ignore(rota_await(&wait->woken), "only that it has come counts");
	rota_ignore(rota_scope_close(&shield), "nothing runs in it");
}

void kv_wait_withdraw(struct kv_store *store, struct kv_wait *wait)
{
	bool withdrawn = wait->is_gate ? kv_gate_cancel(store, &wait->parking)
				       : kv_parking_cancel(&wait->parking);

	if (!withdrawn)
		await_wake(wait);
	rearm(wait);
}

int kv_wait_for(struct kv_store *store, struct kv_wait *wait)
{
	int64_t status = rota_await(&wait->woken);

	if (status < 0 && !rota_future_is_done(&wait->woken))
		kv_wait_withdraw(store, wait);
	else
		rearm(wait);
	return status < 0 ? (int)status : 0;
}

int kv_close_gate(struct kv_store *store, struct kv_wait *wait)
{
	int64_t status = 0;

	while (kv_gate_close(store, &wait->parking) < 0) {
		if (status == 0)
			status = rota_await(&wait->woken);
		if (status < 0 && !rota_future_is_done(&wait->woken)) {
			if (kv_gate_cancel(store, &wait->parking)) {
				rearm(wait);
				return (int)status;
			}
			await_wake(wait);
		}
		rearm(wait);
	}
	if (status < 0)
		kv_gate_open(store, &wait->parking);
	return (int)status;
}
