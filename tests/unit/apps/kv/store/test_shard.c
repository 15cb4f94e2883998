/* SPDX-License-Identifier: MIT */
/*
 * Locks, lock sets, parking and withdrawing, on one thread: every interleaving that matters is
 * played by hand.
 */
#include "t_store.h"

struct waiter {
	struct kv_parking parking;
	unsigned woken;
	unsigned order;
};

static unsigned wakes;

static void note_wake(struct kv_parking *parking)
{
	struct waiter *waiter = ROTA_CONTAINER_OF(parking, struct waiter, parking);

	waiter->woken++;
	waiter->order = ++wakes;
}

static void init_waiters(struct waiter *waiters, unsigned count)
{
	wakes = 0;
	memset(waiters, 0, count * sizeof(*waiters));
	for (unsigned i = 0; i < count; i++)
		kv_parking_init(&waiters[i].parking, note_wake);
}

static void test_shard_contended_wakes_all_in_order(void **state)
{
	struct kv_store *store = t_create(4, 2);
	struct kv_key key = kv_key_of(store, rota_view_of_string("k"));
	struct waiter w[4];

	(void)state;
	init_waiters(w, 4);
	assert_int_equal(kv_lock(store, &key, &w[0].parking), 0);
	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(kv_lock(store, &key, &w[i].parking), -EAGAIN);
	kv_unlock(store, &key);
	assert_int_equal(w[0].woken, 0);
	for (unsigned i = 1; i < 4; i++) {
		assert_int_equal(w[i].woken, 1);
		assert_int_equal(w[i].order, i);
	}
	assert_int_equal(kv_lock(store, &key, &w[1].parking), 0);
	kv_unlock(store, &key);
	kv_store_destroy(store);
}

static void test_parking_cancelled_is_not_woken_others_are(void **state)
{
	(void)state;
	for (unsigned leaves = 1; leaves < 4; leaves++) {
		struct kv_store *store = t_create(4, 2);
		struct kv_key key = kv_key_of(store, rota_view_of_string("k"));
		struct waiter w[4];

		init_waiters(w, 4);
		assert_int_equal(kv_lock(store, &key, &w[0].parking), 0);
		for (unsigned i = 1; i < 4; i++)
			assert_int_equal(kv_lock(store, &key, &w[i].parking), -EAGAIN);
		assert_true(kv_parking_cancel(&w[leaves].parking));
		assert_false(kv_parking_cancel(&w[leaves].parking));
		kv_unlock(store, &key);
		for (unsigned i = 1; i < 4; i++)
			assert_int_equal(w[i].woken, i != leaves);
		assert_false(kv_parking_cancel(&w[1 + leaves % 3].parking));
		kv_store_destroy(store);
	}
}

/* A key for each shard of a store of four. */
static void find_keys(struct kv_store *store, struct kv_key keys[4], char text[4][8])
{
	for (unsigned shard = 0, n = 0; shard < 4; n++) {
		struct kv_key key;

		snprintf(text[shard], 8, "%u", n);
		key = kv_key_of(store, rota_view_of_string(text[shard]));
		if (kv_shard_of(store, &key) == shard)
			keys[shard++] = key;
	}
}

static void test_lock_set_refused_holds_nothing(void **state)
{
	struct kv_store *store = t_create(4, 2);
	struct kv_lock_set set;
	struct kv_key keys[4];
	struct waiter w[5];
	char text[4][8];

	(void)state;
	init_waiters(w, 5);
	find_keys(store, keys, text);
	kv_lock_set_init(&set, store);
	for (int i = 3; i >= 0; i--) {
		assert_int_equal(kv_lock_set_add(&set, &keys[i]), 0);
		assert_int_equal(kv_lock_set_add(&set, &keys[i]), 0);
	}
	assert_int_equal(kv_lock(store, &keys[2], &w[0].parking), 0);
	assert_int_equal(kv_lock_set_acquire(&set, &w[1].parking), -EAGAIN);
	/* 0 and 1 were let go, 3 never taken. */
	for (unsigned i = 0; i < 4; i++) {
		if (i == 2)
			continue;
		assert_int_equal(kv_lock(store, &keys[i], &w[2].parking), 0);
		kv_unlock(store, &keys[i]);
	}
	assert_int_equal(w[1].woken, 0);
	kv_unlock(store, &keys[2]);
	assert_int_equal(w[1].woken, 1);
	/* Held: each shard refuses, and one release wakes them all. */
	assert_int_equal(kv_lock_set_acquire(&set, &w[1].parking), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(kv_lock(store, &keys[i], &w[i == 1 ? 4 : i].parking), -EAGAIN);
	kv_lock_set_release(&set);
	assert_int_equal(w[0].woken + w[4].woken + w[2].woken + w[3].woken, 4);
	kv_lock_set_fini(&set);
	kv_store_destroy(store);
}

static void test_lock_set_large_uses_heap_and_survives_failure(void **state)
{
	struct kv_lock_set set;
	struct waiter w[1];
	struct t_store t;
	char text[16];

	(void)state;
	t_open(&t, 64);
	kv_lock_set_init(&set, t.store);
	init_waiters(w, 1);
	for (unsigned i = 0; i < 200; i++) {
		struct kv_key key;

		snprintf(text, sizeof(text), "%u", i);
		key = t_key(&t, text);
		t_until_failure = 1;
		if (kv_lock_set_add(&set, &key) == -ENOMEM) {
			t_until_failure = 0;
			assert_int_equal(kv_lock_set_add(&set, &key), 0);
		}
	}
	t_until_failure = 0;
	assert_int_equal(kv_lock_set_acquire(&set, &w[0].parking), 0);
	kv_lock_set_release(&set);
	kv_lock_set_fini(&set);
	t_close(&t);
}

static bool refuse_from_arg(void *arg, uint32_t shard)
{
	unsigned *left = arg;

	(void)shard;
	if (!*left)
		return false;
	--*left;
	return true;
}

/*
 * The simulator's refusals: also without locking; the parking is woken though nobody holds the
 * shard.
 */
static void test_shard_refused_by_hook_wakes_at_once(void **state)
{
	unsigned left = 1;
	struct kv_store_options options = { .shard_count = 4,
					    .reactor_count = 1,
					    .refuse_lock = refuse_from_arg,
					    .refuse_arg = &left };
	struct kv_store *store = NULL;
	struct kv_statistics statistics;
	struct waiter w[1];
	struct kv_key key;

	(void)state;
	init_waiters(w, 1);
	assert_int_equal(kv_store_create(&store, &options), 0);
	key = kv_key_of(store, rota_view_of_string("k"));
	assert_int_equal(kv_lock(store, &key, &w[0].parking), -EAGAIN);
	assert_int_equal(w[0].woken, 1);
	assert_false(kv_parking_cancel(&w[0].parking));
	assert_int_equal(kv_lock(store, &key, &w[0].parking), 0);
	kv_unlock(store, &key);
	kv_store_statistics(store, &statistics);
	assert_int_equal(statistics.locks_refused, 1);
	kv_store_destroy(store);
}

static void test_shard_side_pointer_is_kept(void **state)
{
	struct kv_store *store = t_create(4, 1);
	int side;

	(void)state;
	assert_null(kv_shard_side(store, 3));
	kv_shard_set_side(store, 3, &side);
	assert_ptr_equal(kv_shard_side(store, 3), &side);
	assert_null(kv_shard_side(store, 2));
	kv_store_destroy(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shard_contended_wakes_all_in_order),
		cmocka_unit_test(test_parking_cancelled_is_not_woken_others_are),
		cmocka_unit_test(test_lock_set_refused_holds_nothing),
		cmocka_unit_test(test_lock_set_large_uses_heap_and_survives_failure),
		cmocka_unit_test(test_shard_refused_by_hook_wakes_at_once),
		cmocka_unit_test(test_shard_side_pointer_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
