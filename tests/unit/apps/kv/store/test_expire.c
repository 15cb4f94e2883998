/* SPDX-License-Identifier: MIT */
/* Active expiry: complete, bounded per call, cheap when nothing is due. */
#include "t_store.h"

static void set_expiring(struct t_store *t, unsigned number, int64_t at_ms)
{
	char text[16];
	struct kv_key key;

	snprintf(text, sizeof(text), "%u", number);
	key = t_key(t, text);
	assert_int_equal(kv_string_set(&t->access, &key, rota_view_of_string(text), at_ms), 0);
}

static void test_expire_due_keys_go_others_stay(void **state)
{
	struct kv_expire_result result;
	struct t_store t;
	uint32_t removed = 0;

	(void)state;
	t_open(&t, 8);
	for (unsigned i = 0; i < 3000; i++)
		set_expiring(&t, i, i % 3 == 0 ? 2000 : i % 3 == 1 ? 9000 : KV_NO_EXPIRY);
	result = kv_store_expire_some(t.store, 0, 1, 2000, UINT32_MAX);
	assert_int_equal(result.examined, 0);
	for (unsigned call = 0; removed < 1000; call++) {
		assert_true(call < 200);
		result = kv_store_expire_some(t.store, 0, 1, 2001, 64);
		/* Bounded: the budget and one bucket's worth. */
		assert_true(result.examined <= 64 + 40);
		removed += result.removed;
	}
	assert_int_equal(removed, 1000);
	assert_int_equal(kv_store_key_count(t.store, 0), 2000);
	assert_int_equal(kv_store_expiring_count(t.store, 0), 1000);
	/* Once the sweeps have come round, nothing is looked at until the next one is due. */
	kv_store_expire_some(t.store, 0, 1, 2001, UINT32_MAX);
	kv_store_expire_some(t.store, 0, 1, 2001, UINT32_MAX);
	result = kv_store_expire_some(t.store, 0, 1, 9000, UINT32_MAX);
	assert_int_equal(result.examined, 0);
	result = kv_store_expire_some(t.store, 0, 1, 9001, UINT32_MAX);
	assert_int_equal(result.removed, 1000);
	assert_true(result.more);
	t_assert_counts_agree(&t);
	t_close(&t);
}

/* Each reactor sweeps its own shards, and together they sweep all, also of other databases. */
static void test_expire_shards_are_divided_between_reactors(void **state)
{
	uint32_t removed[3] = { 0 };
	struct t_store t;

	(void)state;
	t_until_failure = 0;
	t_blocks_alive = 0;
	rota_set_allocator(&t_allocator);
	t_open_with(&t, t_create(16, 3));
	t.store->locking = false; /* one thread plays them all */
	t.access.database = 3;
	for (unsigned i = 0; i < 900; i++)
		set_expiring(&t, i, 2000);
	for (uint32_t i = 0; i < 3; i++) {
		struct kv_expire_result result = kv_store_expire_some(t.store, i, 3, 3000,
								      UINT32_MAX);

		removed[i] = result.removed;
		assert_true(removed[i] > 100);
	}
	assert_int_equal(removed[0] + removed[1] + removed[2], 900);
	/* More reactors than shards: the last ones have nothing to do. */
	assert_int_equal(kv_store_expire_some(t.store, 2, 200, 3000, 10).removed, 0);
	t_close(&t);
}

/* An expiry set in the part a sweep has already passed isn't forgotten. */
static void test_expire_set_behind_the_sweep_is_found(void **state)
{
	struct t_store t;

	(void)state;
	for (unsigned slices = 1; slices < 40; slices++) {
		t_open(&t, 1);
		for (unsigned i = 0; i < 400; i++)
			set_expiring(&t, i, i == 0 ? 1500 : 100000);
		for (unsigned i = 0; i < slices; i++)
			kv_store_expire_some(t.store, 0, 1, 1600, 8);
		for (unsigned i = 1; i < 400; i += 13)
			set_expiring(&t, i, 1700);
		for (unsigned i = 0; i < 3; i++)
			kv_store_expire_some(t.store, 0, 1, 1701, UINT32_MAX);
		assert_int_equal(kv_store_key_count(t.store, 0), 399 - 31);
		t_close(&t);
	}
}

static bool refuse_always(void *arg, uint32_t shard)
{
	(void)arg;
	(void)shard;
	return true;
}

static void test_expire_locked_shards_are_passed_over(void **state)
{
	struct t_store t;

	(void)state;
	t_open(&t, 4);
	set_expiring(&t, 1, 1500);
	t.store->refuse_lock = refuse_always;
	assert_int_equal(kv_store_expire_some(t.store, 0, 1, 1600, 100).removed, 0);
	t.store->refuse_lock = NULL;
	assert_int_equal(kv_store_expire_some(t.store, 0, 1, 1600, 100).removed, 1);
	t_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expire_due_keys_go_others_stay),
		cmocka_unit_test(test_expire_shards_are_divided_between_reactors),
		cmocka_unit_test(test_expire_set_behind_the_sweep_is_found),
		cmocka_unit_test(test_expire_locked_shards_are_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
