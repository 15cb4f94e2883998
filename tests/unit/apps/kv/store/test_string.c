/* SPDX-License-Identifier: MIT */
/*
 * Strings and entries: in place or not, blobs and who refers to them, limits, and failures
 * half-way.
 */
#include "t_store.h"

static char big[100000];

#define SEVERAL 60

static struct kv_entry *entry_of(struct t_store *t, const char *key)
{
	struct kv_key k = t_key(t, key);

	return kv_find(&t->access, &k);
}

static void test_string_same_class_is_overwritten_in_place(void **state)
{
	struct kv_entry *before;
	struct t_store t;
	struct kv_key key;

	(void)state;
	t_open(&t, 1);
	key = t_key(&t, "0123456789abcdef");
	assert_int_equal(t_set(&t, "0123456789abcdef", "first value of 32 bytes, exactly"), 0);
	before = kv_find(&t.access, &key);
	/* 8 + 16 + 32 = 56, and with 8 of an expiry the value has to be 8 shorter for that. */
	assert_int_equal(kv_string_set(&t.access, &key, rota_view_of_string("another"), 5000), 0);
	assert_ptr_not_equal(kv_find(&t.access, &key), before);
	assert_int_equal(t_set(&t, "0123456789abcdef", "first value of 32 bytes, exactly"), 0);
	before = kv_find(&t.access, &key);
	assert_int_equal(kv_string_set(&t.access, &key,
				       rota_view_of_string("one of 24 bytes, exactly"), 5000),
			 0);
	assert_ptr_equal(kv_find(&t.access, &key), before);
	assert_int_equal(kv_entry_expiry(before), 5000);
	assert_int_equal(kv_store_expiring_count(t.store, 0), 1);
	t_assert_value(&t, "0123456789abcdef", rota_view_of_string("one of 24 bytes, exactly"));
	t_assert_counts_agree(&t);
	t_close(&t);
}

/* What a reply refers to survives overwriting, appending, deleting and the garbage being freed. */
static void test_string_blob_referenced_stays_unchanged(void **state)
{
	struct rota_blob *blob;
	struct t_store t;
	struct kv_key key;

	(void)state;
	t_open(&t, 1);
	key = t_key(&t, "k");
	memset(big, 'a', sizeof(big));
	assert_int_equal(kv_string_set(&t.access, &key, rota_view_of(big, 20000), KV_NO_EXPIRY), 0);
	blob = rota_blob_ref(kv_entry_blob(entry_of(&t, "k")));
	assert_int_equal(kv_string_append(&t.access, &key, rota_view_of_string("tail")), 20004);
	assert_int_equal(kv_string_set_range(&t.access, &key, 0, rota_view_of_string("HEAD")),
			 20004);
	assert_ptr_not_equal(kv_entry_blob(entry_of(&t, "k")), blob);
	assert_true(kv_delete(&t.access, &key));
	kv_garbage_free(&t.garbage);
	assert_int_equal(blob->bytes, 20000);
	assert_memory_equal(blob->data, big, 20000);
	rota_blob_unref(blob);
	t_close(&t);
}

static void test_string_large_appends_reuse_the_blob(void **state)
{
	struct rota_blob *blob = NULL;
	unsigned moves = 0;
	struct t_store t;
	struct kv_key key;

	(void)state;
	t_open(&t, 1);
	key = t_key(&t, "k");
	for (unsigned i = 1; i <= 4000; i++) {
		assert_int_equal(
			kv_string_append(&t.access, &key,
					 rota_view_of_string("0123456789abcdef0123456789")),
			26 * i);
		moves += kv_entry_blob(entry_of(&t, "k")) != blob;
		blob = kv_entry_blob(entry_of(&t, "k"));
		kv_garbage_free(&t.garbage);
	}
	/* 104 kB in steps of a quarter from 16 kB on. */
	assert_in_range(moves, 1, 12);
	t_assert_counts_agree(&t);
	t_close(&t);
}

static void test_string_set_range_fills_the_gap_with_zeros(void **state)
{
	struct t_store t;
	struct kv_key key;

	(void)state;
	t_open(&t, 1);
	key = t_key(&t, "k");
	assert_int_equal(kv_string_set_range(&t.access, &key, 3, rota_view_of_string("x")), 4);
	t_assert_value(&t, "k", rota_view_of("\0\0\0x", 4));
	assert_int_equal(kv_string_set_range(&t.access, &key, 6, rota_view_of_string("y")), 7);
	t_assert_value(&t, "k", rota_view_of("\0\0\0x\0\0y", 7));
	t_close(&t);
}

static void test_string_beyond_the_limit_is_refused(void **state)
{
	struct t_store t;
	struct kv_key key;

	(void)state;
	t_open(&t, 1);
	key = t_key(&t, "k");
	assert_int_equal(
		kv_string_set_range(&t.access, &key, KV_VALUE_BYTES_MAX, rota_view_of_string("x")),
		-KV_ETOOBIG);
	assert_int_equal(kv_string_set_range(&t.access, &key, SIZE_MAX, rota_view_of_string("x")),
			 -KV_ETOOBIG);
	assert_int_equal(
		kv_string_set_range(&t.access, &key, SIZE_MAX - 1, rota_view_of_string("xyz")),
		-KV_ETOOBIG);
	assert_null(kv_find(&t.access, &key));
	t_close(&t);
}

static void test_string_other_type_is_refused_and_replaced_by_set(void **state)
{
	struct t_store t;
	struct kv_key key;

	(void)state;
	t_open(&t, 1);
	key = t_key(&t, "k");
	assert_int_equal(t_set(&t, "k", "v"), 0);
	entry_of(&t, "k")->type_and_encoding = KV_TYPE_LIST;
	assert_int_equal(kv_string_append(&t.access, &key, rota_view_of_string("x")),
			 -KV_EWRONGTYPE);
	assert_int_equal(kv_copy(&t.access, &key, &t.access, &key), -KV_EWRONGTYPE);
	assert_int_equal(t_set(&t, "k", "w"), 0);
	assert_int_equal(kv_entry_type(entry_of(&t, "k")), KV_TYPE_STRING);
	t_close(&t);
}

/* A prepared blob is taken on success only. */
static void test_string_set_blob_takes_on_success_only(void **state)
{
	struct rota_blob *blob;
	struct t_store t;
	struct kv_key key;

	(void)state;
	t_open(&t, 1);
	key = t_key(&t, "k");
	blob = rota_blob_create(20000);
	memset(blob->data, 'b', 20000);
	t_until_failure = 1;
	assert_int_equal(kv_string_set_blob(&t.access, &key, blob, KV_NO_EXPIRY), -ENOMEM);
	assert_null(kv_find(&t.access, &key));
	assert_int_equal(kv_string_set_blob(&t.access, &key, blob, 7000), 0);
	assert_ptr_equal(kv_entry_blob(entry_of(&t, "k")), blob);
	assert_int_equal(kv_entry_expiry(entry_of(&t, "k")), 7000);
	t_close(&t);
}

/* Rename hands the blob over, copy counts it; taking the expiry away keeps it. */
static void test_string_blob_renamed_copied_persisted(void **state)
{
	struct rota_blob *blob;
	struct t_store t;
	struct kv_key a, b, c;

	(void)state;
	t_open(&t, 4);
	a = t_key(&t, "a");
	b = t_key(&t, "b");
	c = t_key(&t, "c");
	assert_int_equal(kv_string_set(&t.access, &a, rota_view_of(big, 30000), 9000), 0);
	blob = kv_entry_blob(entry_of(&t, "a"));
	assert_int_equal(kv_rename(&t.access, &a, &t.access, &b), 0);
	assert_null(kv_find(&t.access, &a));
	assert_ptr_equal(kv_entry_blob(entry_of(&t, "b")), blob);
	assert_int_equal(kv_entry_expiry(entry_of(&t, "b")), 9000);
	assert_int_equal(kv_copy(&t.access, &b, &t.access, &c), 0);
	assert_false(rota_blob_is_unique(blob));
	assert_int_equal(kv_expiry_set(&t.access, &c, KV_NO_EXPIRY), 1);
	assert_int_equal(kv_store_expiring_count(t.store, 0), 1);
	assert_true(kv_delete(&t.access, &b));
	kv_garbage_free(&t.garbage);
	t_assert_value(&t, "c", rota_view_of(big, 30000));
	assert_int_equal(kv_rename(&t.access, &c, &t.access, &c), 0);
	assert_int_equal(kv_rename(&t.access, &a, &t.access, &c), -ENOENT);
	t_close(&t);
}

/* The memory counter equals what walking finds, plus tables, through every kind of change. */
static void test_string_memory_counter_agrees_with_entries(void **state)
{
	struct t_census census = { 0 };
	struct kv_statistics with, without;
	struct kv_parking parking;
	uint64_t cursor = 0;
	struct t_store t;
	struct kv_key key;

	(void)state;
	t_open(&t, 1);
	assert_int_equal(t_set(&t, "first", "v"), 0);
	kv_store_statistics(t.store, &without);
	key = t_key(&t, "k");
	for (unsigned bytes = 1; bytes < sizeof(big); bytes = bytes * 3 + 1) {
		assert_int_equal(kv_string_set(&t.access, &key, rota_view_of(big, bytes),
					       bytes % 2 ? 5000 : 0),
				 0);
		assert_true(kv_string_append(&t.access, &key, rota_view_of_string("abc")) > 0);
		assert_int_equal(kv_expiry_set(&t.access, &key, bytes % 3 ? 6000 : KV_NO_EXPIRY),
				 1);
		kv_store_statistics(t.store, &with);
		assert_int_equal(with.memory_bytes - without.memory_bytes,
				 kv_entry_memory_bytes(entry_of(&t, "k")));
	}
	assert_true(kv_delete(&t.access, &key));
	kv_store_statistics(t.store, &with);
	assert_int_equal(with.memory_bytes, without.memory_bytes);
	assert_int_equal(kv_scan(&t.access, &cursor, 10, &parking, t_count_entry, &census), 1);
	t_close(&t);
}

/* What an allocation that fails must leave as it was: absent keys, small and large, expiring. */
struct several {
	struct kv_key keys[SEVERAL];
	struct rota_view values[2 * SEVERAL]; /* every second one, as in a request */
	char texts[SEVERAL][16];
};

static void prepare_several(struct t_store *t, struct several *several)
{
	for (unsigned i = 0; i < SEVERAL; i++) {
		/* The last eight are keys that came before. */
		snprintf(several->texts[i], 16, "key:%u", i < SEVERAL - 8 ? i : i - 8);
		several->keys[i] = t_key(t, several->texts[i]);
		several->values[2 * i] = rota_view_of(big, i % 5 ? i : 20000 + i);
		several->values[2 * i + 1] = rota_view_of_string("not looked at");
	}
	for (unsigned i = 0; i < SEVERAL - 8; i += 2)
		assert_int_equal(kv_string_set(&t->access, &several->keys[i],
					       rota_view_of_string(several->texts[i]),
					       i % 3 ? KV_NO_EXPIRY : 5000),
				 0);
}

static void assert_unchanged(struct t_store *t, const struct several *several)
{
	for (unsigned i = 0; i < SEVERAL - 8; i++) {
		const struct kv_entry *entry = entry_of(t, several->texts[i]);

		if (i % 2) {
			assert_null(entry);
			continue;
		}
		t_assert_value(t, several->texts[i], rota_view_of_string(several->texts[i]));
		assert_int_equal(kv_entry_expiry(entry), i % 3 ? KV_NO_EXPIRY : 5000);
	}
}

static void assert_all_set(struct t_store *t, const struct several *several)
{
	for (unsigned i = 0; i < SEVERAL; i++) {
		const struct kv_entry *entry = entry_of(t, several->texts[i]);
		unsigned last = i >= SEVERAL - 16 && i < SEVERAL - 8 ? i + 8 : i;

		t_assert_value(t, several->texts[i], several->values[2 * last]);
		assert_int_equal(kv_entry_expiry(entry), KV_NO_EXPIRY);
	}
}

static void test_string_set_all_out_of_memory_changes_nothing(void **state)
{
	int status = -ENOMEM;

	(void)state;
	memset(big, 'm', sizeof(big));
	for (int failing = 1; status < 0; failing++) {
		static struct several several;
		uint64_t memory_before;
		struct kv_statistics statistics;
		struct t_store t;

		t_open(&t, 1);
		prepare_several(&t, &several);
		kv_store_statistics(t.store, &statistics);
		memory_before = statistics.memory_bytes;
		t_until_failure = failing;
		status = kv_string_set_all(&t.access, several.keys, several.values, 2, SEVERAL);
		if (status < 0) {
			assert_int_equal(status, -ENOMEM);
			assert_unchanged(&t, &several);
			kv_store_statistics(t.store, &statistics);
			/* The table may have grown. */
			assert_in_range(statistics.memory_bytes, memory_before,
					memory_before + 4096);
		}
		t_assert_counts_agree(&t);
		/* Every allocation was made: some of them may fail without harm. */
		if (status == 0 && t_until_failure > 0)
			assert_all_set(&t, &several);
		else if (status == 0)
			status = -ENOMEM;
		t_close(&t);
	}
}

static void test_string_set_all_too_big_changes_nothing(void **state)
{
	static struct several several;
	struct t_store t;

	(void)state;
	t_open(&t, 4);
	prepare_several(&t, &several);
	several.values[2 * (SEVERAL - 1)].bytes = (size_t)KV_VALUE_BYTES_MAX + 1;
	assert_int_equal(kv_string_set_all(&t.access, several.keys, several.values, 2, SEVERAL),
			 -KV_ETOOBIG);
	assert_unchanged(&t, &several);
	t_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_string_same_class_is_overwritten_in_place),
		cmocka_unit_test(test_string_blob_referenced_stays_unchanged),
		cmocka_unit_test(test_string_large_appends_reuse_the_blob),
		cmocka_unit_test(test_string_set_range_fills_the_gap_with_zeros),
		cmocka_unit_test(test_string_beyond_the_limit_is_refused),
		cmocka_unit_test(test_string_other_type_is_refused_and_replaced_by_set),
		cmocka_unit_test(test_string_set_blob_takes_on_success_only),
		cmocka_unit_test(test_string_blob_renamed_copied_persisted),
		cmocka_unit_test(test_string_memory_counter_agrees_with_entries),
		cmocka_unit_test(test_string_set_all_out_of_memory_changes_nothing),
		cmocka_unit_test(test_string_set_all_too_big_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
