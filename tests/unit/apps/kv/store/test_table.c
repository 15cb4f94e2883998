/* SPDX-License-Identifier: MIT */
/*
 * The table driven directly, with keys chosen so that their hashes collide: what a client that knew
 * the seed could do.
 */
#include "t_store.h"

static const struct kv_hash_key hash_key = { 1, 2 };

struct fixture {
	struct kv_table table;
	struct kv_counts counts;
	struct kv_garbage garbage;
	struct kv_slab_depot depot;
	struct kv_slab_cache cache;
	struct kv_site site;
};

static void open_table(struct fixture *f)
{
	t_until_failure = 0;
	t_blocks_alive = 0;
	rota_set_allocator(&t_allocator);
	memset(f, 0, sizeof(*f));
	kv__table_init(&f->table);
	kv__slab_depot_init(&f->depot, false);
	kv__slab_cache_init(&f->cache, &f->depot);
	f->site = (struct kv_site){ &f->table, &f->counts, &f->garbage, &f->garbage, &hash_key };
}

static struct kv_entry *make_entry(struct fixture *f, unsigned number)
{
	struct kv_entry like = { 0 };
	char *payload;

	return kv__entry_create(&f->cache, rota_view_of(&number, sizeof(number)), &like,
				KV_NO_EXPIRY, &payload);
}

static uint64_t hash_of(unsigned number)
{
	return kv_hash_1_3(&hash_key, &number, sizeof(number));
}

static void close_table(struct fixture *f)
{
	kv__table_discard(&f->table, &f->garbage, &f->cache);
	kv_garbage_free(&f->garbage);
	kv__slab_cache_empty(&f->cache);
	kv__slab_depot_fini(&f->depot);
	assert_int_equal(t_blocks_alive, 0);
	rota_set_allocator(NULL);
}

/* Numbers whose hashes agree in the low bits stay in one chain through every split: 300 of them. */
static void test_table_flooded_bucket_stays_correct(void **state)
{
	enum { WANTED = 300 };
	unsigned numbers[WANTED], found = 0;
	struct fixture f;

	(void)state;
	open_table(&f);
	for (unsigned n = 0; found < WANTED; n++)
		if ((hash_of(n) & 1023) == 7)
			numbers[found++] = n;
	for (unsigned i = 0; i < WANTED; i++)
		assert_int_equal(
			kv__table_insert(&f.site, hash_of(numbers[i]), make_entry(&f, numbers[i])),
			0);
	for (unsigned i = 0; i < WANTED; i++)
		assert_non_null(kv__table_find(&f.table, hash_of(numbers[i]),
					       rota_view_of(&numbers[i], sizeof(numbers[i]))));
	/*
	 * Out from the middle, so that the last slot moves into gaps, and merges happen on the way.
	 */
	for (unsigned i = 0; i < WANTED; i++) {
		unsigned n = numbers[(i * 7 + 3) % WANTED];
		uint64_t *slot = kv__table_find(&f.table, hash_of(n), rota_view_of(&n, sizeof(n)));
		struct kv_entry *entry;

		assert_non_null(slot);
		entry = kv__slot_entry(*slot);
		kv__table_remove(&f.site, hash_of(n), slot);
		kv__entry_free(&f.cache, entry);
		assert_null(kv__table_find(&f.table, hash_of(n), rota_view_of(&n, sizeof(n))));
	}
	assert_int_equal(f.counts.keys, 0);
	assert_int_equal(f.table.buckets, 1);
	close_table(&f);
}

/*
 * At each size, the load stays within its bounds and all keys are found: growth by one bucket is
 * exact.
 */
static void test_table_growing_and_shrinking_keeps_load_and_keys(void **state)
{
	struct fixture f;

	(void)state;
	open_table(&f);
	for (unsigned n = 0; n < 5000; n++) {
		assert_int_equal(kv__table_insert(&f.site, hash_of(n), make_entry(&f, n)), 0);
		assert_true(f.table.keys * 2 <= f.table.buckets * 15 + 15);
	}
	for (unsigned n = 0; n < 5000; n++)
		assert_non_null(kv__table_find(&f.table, hash_of(n), rota_view_of(&n, sizeof(n))));
	for (unsigned n = 0; n < 5000; n++) {
		uint64_t *slot = kv__table_find(&f.table, hash_of(n), rota_view_of(&n, sizeof(n)));
		struct kv_entry *entry = kv__slot_entry(*slot);

		kv__table_remove(&f.site, hash_of(n), slot);
		kv__entry_free(&f.cache, entry);
		assert_true(f.table.buckets == 1 ||
			    f.table.keys * 4 + 15 >= f.table.buckets * 15 - 15);
	}
	close_table(&f);
}

/* Enough for buckets in an array and then in segments behind a directory (space.h). */
#define KEYS_OF_SEGMENTS 3000

/*
 * Every allocation of a long series fails once: the insert fails cleanly or goes on without its
 * split.
 */
static void test_table_each_failing_allocation_is_survived(void **state)
{
	(void)state;
	for (int64_t k = 1; k < 120; k += 2) {
		struct fixture f;
		unsigned inserted = 0;

		open_table(&f);
		for (unsigned n = 0; n < KEYS_OF_SEGMENTS; n++) {
			struct kv_entry *entry = make_entry(&f, n);

			t_until_failure = n % k == 0 ? 1 + n % 3 : 0;
			if (kv__table_insert(&f.site, hash_of(n), entry) < 0)
				kv__entry_free(&f.cache, entry);
			else
				inserted++;
			t_until_failure = 0;
		}
		for (unsigned n = 0; n < KEYS_OF_SEGMENTS; n++) {
			uint64_t *slot = kv__table_find(&f.table, hash_of(n),
							rota_view_of(&n, sizeof(n)));
			struct kv_entry *entry;

			if (!slot)
				continue;
			entry = kv__slot_entry(*slot);
			t_until_failure = n % k == 0 ? 1 : 0;
			kv__table_remove(&f.site, hash_of(n), slot);
			t_until_failure = 0;
			kv__entry_free(&f.cache, entry);
			inserted--;
		}
		assert_int_equal(inserted, 0);
		close_table(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_flooded_bucket_stays_correct),
		cmocka_unit_test(test_table_growing_and_shrinking_keeps_load_and_keys),
		cmocka_unit_test(test_table_each_failing_allocation_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
