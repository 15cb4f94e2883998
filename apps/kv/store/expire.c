/* SPDX-License-Identifier: MIT */
/*
 * Active expiry: removing what is due and nobody asks for. Store layer; each reactor sweeps its own
 * shards, in slices.
 *
 * The one idea: every table knows a time before which nothing in it expires. It is lowered when an
 * expiry is set and made exact by a full sweep, so tables with nothing due cost one read, and no
 * sampling is needed: a sweep goes through a table bucket by bucket in scan order, over as many
 * slices as it takes, and touches only entries whose slot says "expiring".
 */
#include "apps/kv/store/store_internal.h"

/* Sweep one table until it is done or the budget is used. Returns false in the latter case. */
static bool sweep_table(struct kv_operation *operation, int64_t now_ms, uint32_t *budget,
			struct kv_expire_result *result)
{
	struct kv_table *table = operation->site.table;

	while (*budget > 0 && table->buckets) {
		uint32_t examined = kv__table_sweep(&operation->site, operation->reactor->cache,
						    now_ms, &result->removed);

		result->examined += examined;
		*budget -= (uint32_t)rota_min_size(*budget, rota_max_size(examined, 1));
		if (!table->sweep_at)
			return true;
	}
	return !table->buckets;
}

static bool is_due(const struct kv_table *table, int64_t now_ms)
{
	/* Relaxed and without the lock: an expiry set at this moment is seen in the next round. */
	return table && now_ms > __atomic_load_n(&table->expiry_floor, __ATOMIC_RELAXED);
}

/*
 * Lock and sweep one table if something in it may be due. Returns false when the budget ended in
 * it.
 */
static bool visit_table(const struct kv_access *access, uint32_t shard, uint32_t index,
			uint32_t *budget, struct kv_expire_result *result)
{
	struct kv_store *store = access->store;
	struct kv_operation operation;
	bool done;

	if (!is_due(kv__shard_table(&store->shards[shard], index), access->now_ms))
		return true;
	if (!kv__shard_try_lock(store, shard))
		return true;
	kv__site_init(&operation, access, shard, index);
	done = sweep_table(&operation, access->now_ms, budget, result);
	kv__shard_unlock(store, shard);
	kv_garbage_free(access->garbage);
	return done;
}

struct kv_expire_result kv_store_expire_some(struct kv_store *store, uint32_t reactor_index,
					     uint32_t reactor_count, int64_t now_ms,
					     uint32_t budget)
{
	struct kv_reactor *reactor = &store->reactors[reactor_index];
	uint32_t shards = store->shard_mask + 1;
	struct kv_expire_result result = { 0 };
	struct kv_garbage garbage;
	struct kv_access access = {
		.store = store, .reactor = reactor_index, .now_ms = now_ms, .garbage = &garbage
	};

	kv_garbage_init(&garbage);
	for (uint32_t seen = 0; seen < shards && budget > 0; seen += reactor_count) {
		/* Also brings it back among ours after the number of reactors changed. */
		if (reactor->sweep_shard >= shards ||
		    reactor->sweep_shard % reactor_count != reactor_index)
			reactor->sweep_shard = reactor_index;
		if (reactor->sweep_shard >= shards)
			break; /* more reactors than shards: none is ours */
		for (; reactor->sweep_database < store->database_count; reactor->sweep_database++)
			if (!visit_table(&access, reactor->sweep_shard, reactor->sweep_database,
					 &budget, &result))
				goto out;
		reactor->sweep_database = 0;
		reactor->sweep_shard += reactor_count;
		budget -= budget > 0;
	}
out:
	kv__slab_trim(reactor->cache);
	kv__count(&reactor->expired, result.removed);
	result.more = result.removed > result.examined / 4;
	return result;
}
