/* SPDX-License-Identifier: MIT */
/* The store as a whole: creation, odd keys, expiry, databases, flushing, figures. */
#include "t_store.h"

static void note_nothing(struct kv_parking *parking)
{
	(void)parking;
}

static void close_gate(struct t_store *t, struct kv_parking *parking)
{
	kv_parking_init(parking, note_nothing);
	assert_int_equal(kv_gate_close(t->store, parking), 0);
}

static void test_store_create_refuses_bad_counts(void **state)
{
	const struct kv_store_options bad[] = {
		{ .shard_count = 3, .reactor_count = 1 },
		{ .shard_count = 2 * KV_SHARDS_MAX, .reactor_count = 1 },
		{ .reactor_count = 0 },
		{ .reactor_count = KV_REACTORS_MAX + 1 },
		{ .reactor_count = 1, .database_count = KV_DATABASES_MAX + 1 },
	};
	struct kv_store *store = NULL;

	(void)state;
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(bad); i++)
		assert_int_equal(kv_store_create(&store, &bad[i]), -EINVAL);
	assert_null(store);
	kv_store_destroy(NULL);
}

static void test_store_create_failing_anywhere_leaks_nothing(void **state)
{
	const struct kv_store_options options = { .shard_count = 4, .reactor_count = 3 };
	struct kv_store *store = NULL;
	int status = -ENOMEM;
	int64_t k;

	(void)state;
	t_blocks_alive = 0;
	rota_set_allocator(&t_allocator);
	for (k = 1; status == -ENOMEM; k++) {
		t_until_failure = k;
		status = kv_store_create(&store, &options);
		t_until_failure = 0;
		if (status < 0)
			assert_int_equal(t_blocks_alive, 0);
	}
	assert_int_equal(status, 0);
	assert_true(k > 8);
	kv_store_destroy(store);
	assert_int_equal(t_blocks_alive, 0);
	rota_set_allocator(NULL);
}

static void test_store_odd_keys_and_values_are_kept(void **state)
{
	static char long_key[100000];
	struct rota_view keys[] = {
		rota_view_of(NULL, 0),         rota_view_of("\0", 1),
		rota_view_of("\0\0", 2),       rota_view_of("a\0b", 3),
		rota_view_of("a\0c", 3),       rota_view_of(long_key, 65535),
		rota_view_of(long_key, 65536), rota_view_of(long_key, sizeof(long_key)),
	};
	struct t_store t;

	(void)state;
	t_open(&t, 1);
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(keys); i++) {
		struct kv_key key = kv_key_of(t.store, keys[i]);
		int64_t at_ms = i % 2 ? 5000 : KV_NO_EXPIRY;

		assert_int_equal(
			kv_string_set(&t.access, &key, rota_view_of(&i, i ? sizeof(i) : 0), at_ms),
			0);
	}
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(keys); i++) {
		struct kv_key key = kv_key_of(t.store, keys[i]);
		struct kv_entry *entry = kv_find(&t.access, &key);

		assert_non_null(entry);
		assert_true(rota_view_equals(kv_entry_key(entry), keys[i]));
		assert_true(rota_view_equals(kv_entry_value(entry),
					     rota_view_of(&i, i ? sizeof(i) : 0)));
		assert_int_equal(kv_entry_expiry(entry), i % 2 ? 5000 : KV_NO_EXPIRY);
	}
	t_close(&t);
}

/*
 * Without memory for splits, chains grow far beyond a bucket; out of memory, an insert refuses and
 * nothing breaks.
 */
static void test_store_failing_splits_leave_long_chains_correct(void **state)
{
	struct t_store t;
	char text[16];

	(void)state;
	t_open(&t, 1);
	for (unsigned i = 0; i < 500; i++) {
		struct kv_key key;

		snprintf(text, sizeof(text), "%u", i);
		key = t_key(&t, text);
		/* Overflow blocks and segments; entries are from the one slab they fit in. */
		t_until_failure = i % 3 == 2 ? 1 : 2;
		if (kv_string_set(&t.access, &key, rota_view_of_string(text), KV_NO_EXPIRY) ==
		    -ENOMEM) {
			t_until_failure = 0;
			assert_null(kv_find(&t.access, &key));
			assert_int_equal(kv_string_set(&t.access, &key, rota_view_of_string(text),
						       KV_NO_EXPIRY),
					 0);
		}
		t_until_failure = 0;
	}
	for (unsigned i = 0; i < 500; i++) {
		snprintf(text, sizeof(text), "%u", i);
		t_assert_value(&t, text, rota_view_of_string(text));
	}
	t_assert_counts_agree(&t);
	t_close(&t);
}

static void test_store_read_counts_hits_misses_and_expired(void **state)
{
	struct kv_statistics statistics;
	struct t_store t;
	struct kv_key key;

	(void)state;
	t_open(&t, 4);
	key = t_key(&t, "k");
	assert_null(kv_read(&t.access, &key));
	assert_int_equal(kv_string_set(&t.access, &key, rota_view_of_string("v"), 1500), 0);
	t.access.now_ms = 1500;
	assert_non_null(kv_read(&t.access, &key));
	assert_int_equal(kv_store_expiring_count(t.store, 0), 1);
	t.access.now_ms = 1501;
	assert_null(kv_read(&t.access, &key));
	kv_store_statistics(t.store, &statistics);
	assert_int_equal(statistics.hits, 1);
	assert_int_equal(statistics.misses, 2);
	assert_int_equal(statistics.expired, 1);
	assert_int_equal(statistics.keys, 0);
	assert_int_equal(kv_store_expiring_count(t.store, 0), 0);
	t_close(&t);
}

static void test_store_flush_empties_and_frees_in_slices(void **state)
{
	struct kv_parking parking;
	struct t_store t;
	char text[16];
	unsigned slices = 0;

	(void)state;
	t_open(&t, 8);
	for (unsigned i = 0; i < 3000; i++) {
		t.access.database = i % 3;
		snprintf(text, sizeof(text), "%u", i);
		assert_int_equal(t_set(&t, text, text), 0);
	}
	close_gate(&t, &parking);
	kv_flush(&t.access, 1);
	kv_gate_open(t.store, &parking);
	assert_int_equal(kv_store_key_count(t.store, 0), 1000);
	assert_int_equal(kv_store_key_count(t.store, 1), 0);
	t.access.database = 1;
	assert_int_equal(t_set(&t, "again", "v"), 0);
	t_assert_value(&t, "again", rota_view_of_string("v"));
	while (kv_garbage_free_some(&t.garbage, 10))
		slices++;
	assert_true(slices >= 90);
	close_gate(&t, &parking);
	kv_flush(&t.access, UINT32_MAX);
	kv_gate_open(t.store, &parking);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(kv_store_key_count(t.store, i), 0);
	t_close(&t);
}

static void test_store_swapped_databases_change_places(void **state)
{
	struct kv_parking parking;
	struct t_store t;

	(void)state;
	t_open(&t, 8);
	assert_int_equal(t_set(&t, "k", "zero"), 0);
	close_gate(&t, &parking);
	kv_swap_databases(t.store, 0, 5);
	kv_gate_open(t.store, &parking);
	assert_int_equal(kv_store_key_count(t.store, 0), 0);
	assert_int_equal(kv_store_key_count(t.store, 5), 1);
	t.access.database = 5;
	t_assert_value(&t, "k", rota_view_of_string("zero"));
	t_close(&t);
}

/* Filling and emptying gives the memory back, down to one bucket in each shard. */
static void test_store_emptied_by_deletes_shrinks(void **state)
{
	struct kv_statistics full, empty;
	struct t_store t;
	char text[16];

	(void)state;
	t_open(&t, 2);
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(text, sizeof(text), "%u", i);
		assert_int_equal(t_set(&t, text, "v"), 0);
	}
	kv_store_statistics(t.store, &full);
	for (unsigned i = 0; i < 20000; i++) {
		struct kv_key key;

		snprintf(text, sizeof(text), "%u", i);
		key = t_key(&t, text);
		assert_true(kv_delete(&t.access, &key));
		kv_garbage_free(&t.garbage);
	}
	kv_store_statistics(t.store, &empty);
	assert_int_equal(empty.keys, 0);
	assert_true(full.memory_bytes - t.store->base_bytes > 500000);
	assert_true(empty.memory_bytes - t.store->base_bytes < 4096);
	t_close(&t);
}

/*
 * Prefetching is a hint: on empty stores, unknown databases' tables and more keys than a batch it
 * does nothing wrong.
 */
static void test_store_prefetch_changes_nothing(void **state)
{
	struct kv_parking parking;
	struct kv_key keys[40];
	struct t_store t;
	char text[40][8];

	(void)state;
	t_open(&t, 2);
	kv_parking_init(&parking, note_nothing);
	for (unsigned i = 0; i < 40; i++) {
		snprintf(text[i], sizeof(text[i]), "%u", i);
		keys[i].bytes = rota_view_of_string(text[i]);
	}
	kv_keys_hash(t.store, keys, 40);
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(kv_gate_enter(t.store, 0, &parking), 0);
		kv_keys_prefetch(t.store, 0, keys, 40);
		kv_keys_prefetch(t.store, 7, keys, 40);
		kv_gate_leave(t.store, 0);
		for (unsigned i = 0; i < 40; i++)
			assert_int_equal(t_set(&t, text[i], text[i]), 0);
	}
	for (unsigned i = 0; i < 40; i++)
		t_assert_value(&t, text[i], rota_view_of_string(text[i]));
	t_close(&t);
}

/*
 * Keys that were prefetched are looked up as others are, whatever happens to their slots in the
 * same pass: they are deleted, replaced, moved by splits and merges, and asked for in another
 * database.
 */
static void test_store_what_prefetching_met_is_only_a_hint(void **state)
{
	enum { KEYS = 16, STEPS = 400 };
	uint64_t random = 20261126;
	struct kv_key keys[KEYS];
	char text[KEYS][8], filler[16] = "";
	struct t_store t;

	(void)state;
	t_open(&t, 1);
	for (unsigned pass = 0; pass < 60; pass++) {
		for (unsigned i = 0; i < KEYS; i++) {
			snprintf(text[i], sizeof(text[i]), "%u", i);
			keys[i].bytes = rota_view_of_string(text[i]);
		}
		kv_keys_hash(t.store, keys, KEYS);
		kv_keys_prefetch(t.store, pass % 2, keys, KEYS);
		for (unsigned step = 0; step < STEPS; step++) {
			struct kv_key *key = &keys[t_random(&random) % KEYS];
			struct kv_key fresh = kv_key_of(t.store, key->bytes);
			struct kv_key other;

			t.access.database = t_random(&random) % 4 == 0;
			snprintf(filler, sizeof(filler), "f%u",
				 (unsigned)(t_random(&random) % STEPS));
			/* Passes that fill the table alternate with passes that empty it. */
			other = t_key(&t, filler);
			if (pass / 3 % 2)
				kv_delete(&t.access, &other);
			else
				assert_int_equal(t_set(&t, filler, "v"), 0);
			if (t_random(&random) % 3 == 0)
				kv_delete(&t.access, &fresh);
			else if (t_random(&random) % 2)
				assert_int_equal(kv_string_set(&t.access, key,
							       rota_view_of(filler, step % 16),
							       KV_NO_EXPIRY),
						 0);
			assert_ptr_equal(kv_find(&t.access, key), kv_find(&t.access, &fresh));
		}
		kv_garbage_free(&t.garbage);
	}
	t.access.database = 0;
	t_assert_counts_agree(&t);
	t_close(&t);
}

/*
 * Directories and segments that others may still look at are freed once everybody has left the pass
 * they were in.
 */
static void test_store_retired_memory_waits_for_passes(void **state)
{
	struct kv_parking parkings[2];
	struct kv_reactor *reactor;
	struct t_store t;
	char text[16];

	(void)state;
	t_blocks_alive = 0;
	rota_set_allocator(&t_allocator);
	t_open_with(&t, t_create(1, 2));
	reactor = &t.store->reactors[0];
	kv_parking_init(&parkings[0], note_nothing);
	kv_parking_init(&parkings[1], note_nothing);
	assert_int_equal(kv_gate_enter(t.store, 1, &parkings[1]), 0);
	for (unsigned i = 0; i < 2000; i++) {
		struct kv_key key;

		snprintf(text, sizeof(text), "%u", i);
		key = t_key(&t, text);
		assert_int_equal(kv_gate_enter(t.store, 0, &parkings[0]), 0);
		assert_int_equal(kv_lock(t.store, &key, &parkings[0]), 0);
		assert_int_equal(t_set(&t, text, "v"), 0);
		kv_unlock(t.store, &key);
		kv_gate_leave(t.store, 0);
	}
	/* Reactor 1 never left: the first directory that was replaced is still there. */
	assert_false(kv_garbage_is_empty(&reactor->waiting));
	kv_gate_leave(t.store, 1);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(kv_gate_enter(t.store, 0, &parkings[0]), 0);
		kv_gate_leave(t.store, 0);
	}
	assert_true(kv_garbage_is_empty(&reactor->waiting));
	assert_true(kv_garbage_is_empty(&reactor->retired));
	t_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_store_create_refuses_bad_counts),
		cmocka_unit_test(test_store_create_failing_anywhere_leaks_nothing),
		cmocka_unit_test(test_store_odd_keys_and_values_are_kept),
		cmocka_unit_test(test_store_failing_splits_leave_long_chains_correct),
		cmocka_unit_test(test_store_read_counts_hits_misses_and_expired),
		cmocka_unit_test(test_store_flush_empties_and_frees_in_slices),
		cmocka_unit_test(test_store_swapped_databases_change_places),
		cmocka_unit_test(test_store_emptied_by_deletes_shrinks),
		cmocka_unit_test(test_store_prefetch_changes_nothing),
		cmocka_unit_test(test_store_what_prefetching_met_is_only_a_hint),
		cmocka_unit_test(test_store_retired_memory_waits_for_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
