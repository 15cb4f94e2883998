/* SPDX-License-Identifier: MIT */
/*
 * Work in the background. Application layer of rota-kv; tasks on their reactor.
 *
 * The one idea: a little, often. Ten times a second a slice of at most SLICE entries is looked at;
 * while more than a quarter of them were due, the next slice follows at once, but between two the
 * sessions that are ready have their turn, and a round ends after ROUND_NS.
 */
#include "apps/kv/expirer.h"

#include <rota/memory.h>
#include <rota/task.h>

#include "apps/kv/call.h"

#define PERIOD_MS 100
/*
 * Entries and shards per slice: with 2048 shards every one is seen at least twice a second. A
 * guess.
 */
#define SLICE 512
/* A quarter of the period: as much of a core as Redis gives to it. */
#define ROUND_NS (25 * ROTA_NS_PER_MS)
/* Blocks freed between two yields: about 50 us. A guess. */
#define FREE_SLICE 1000

/* One slice. Returns whether another should follow at once; false also when the gate is closed. */
static bool expire_slice(struct kv_local *local)
{
	struct kv_store *store = local->server->store;
	struct kv_expire_result result;
	struct kv_wait wait;

	kv_wait_init(&wait);
	if (kv_gate_enter(store, local->index, &wait.parking) < 0) {
		wait.is_gate = true;
		/* Nothing here is urgent: in 100 ms it will be open again. */
		kv_wait_withdraw(store, &wait);
		return false;
	}
	result = kv_store_expire_some(store, local->index, local->server->locals_count,
				      rota_wall_ns() / ROTA_NS_PER_MS, SLICE);
	kv_gate_leave(store, local->index);
	return result.more;
}

/* By the time that has passed, which a busy reactor's sleeps and rounds make longer. */
static void sample(struct kv_local *local)
{
	struct kv_sample *oldest = &local->samples[local->sample_at];
	struct kv_sample now = { local->counters.requests - local->counters.refused, rota_now() };
	uint64_t passed_ms = (uint64_t)(now.at - oldest->at) / ROTA_NS_PER_MS;
	uint64_t per_second = passed_ms ? (now.commands - oldest->commands) * 1000 / passed_ms : 0;

	*oldest = now;
	local->sample_at = (local->sample_at + 1) % KV_SAMPLES;
	__atomic_store_n(&local->counters.ops_per_second, per_second, __ATOMIC_RELAXED);
}

int64_t kv_expirer(void *arg)
{
	struct kv_local *local = arg;

	for (size_t i = 0; i < KV_SAMPLES; i++)
		local->samples[i].at = rota_now();
	while (rota_sleep_ms(PERIOD_MS) == 0) {
		rota_ns end = rota_after_ns(ROUND_NS);

		sample(local);
		while (expire_slice(local) && rota_now() < end)
			if (rota_yield() < 0)
				return 0;
	}
	return 0;
}

/* ---- what a flush left ---- */

void kv_free_slowly(struct kv_garbage *garbage)
{
	while (kv_garbage_free_some(garbage, FREE_SLICE))
		rota_ignore(rota_yield(), "also when cancelled everything is freed");
}

static int64_t free_garbage(void *arg)
{
	struct kv_garbage *garbage = arg;

	kv_free_slowly(garbage);
	rota_free(garbage);
	return 0;
}

void kv_free_in_background(struct kv_garbage *garbage)
{
	struct kv_garbage *taken = rota_alloc(sizeof(*taken));

	if (taken) {
		*taken = *garbage;
		kv_garbage_init(garbage);
		if (rota_spawn(rota_reactor_scope(rota_reactor_current()), free_garbage, taken) ==
		    0)
			return;
		*garbage = *taken;
		rota_free(taken);
	}
	kv_garbage_free(garbage);
}
