/* SPDX-License-Identifier: MIT */
/* SCAN's promise under growth and shrinking, its bounds, refusals, and RANDOMKEY. */
#include "t_store.h"

#define STAYING 700
#define COMING 4000

struct seen {
	unsigned times[STAYING];
	unsigned others;
};

static void note_entry(void *arg, const struct kv_entry *entry)
{
	struct seen *seen = arg;
	struct rota_view key = kv_entry_key(entry);
	char text[16] = { 0 };

	memcpy(text, key.data, key.bytes);
	if (text[0] == 's')
		seen->times[atoi(text + 1)]++;
	else
		seen->others++;
}

static void no_wake(struct kv_parking *parking)
{
	(void)parking;
}

static void set_or_delete(struct t_store *t, unsigned number, bool set)
{
	char text[16];
	struct kv_key key;

	snprintf(text, sizeof(text), "c%u", number);
	key = t_key(t, text);
	if (set)
		assert_int_equal(
			kv_string_set(&t->access, &key, rota_view_of(NULL, 0), KV_NO_EXPIRY), 0);
	else
		kv_delete(&t->access, &key);
}

/*
 * Between steps the table grows fivefold, shrinks again, or both at random; what stays is always
 * seen.
 */
static void scan_while_changing(uint64_t seed, uint32_t shards, int direction)
{
	uint64_t random = seed, cursor = 0;
	struct seen seen = { 0 };
	struct kv_parking parking;
	struct t_store t;
	unsigned next = 0;
	char text[16];

	t_open(&t, shards);
	kv_parking_init(&parking, no_wake);
	for (unsigned i = 0; i < STAYING; i++) {
		snprintf(text, sizeof(text), "s%u", i);
		assert_int_equal(t_set(&t, text, ""), 0);
	}
	for (unsigned i = 0; direction < 0 && i < COMING; i++)
		set_or_delete(&t, i, true);
	do {
		assert_true(kv_scan(&t.access, &cursor, 1 + (uint32_t)(t_random(&random) % 20),
				    &parking, note_entry, &seen) >= 0);
		for (unsigned i = 0; i < t_random(&random) % 120; i++) {
			if (direction)
				set_or_delete(&t, next++ % COMING, direction > 0);
			else
				set_or_delete(&t, (unsigned)(t_random(&random) % COMING),
					      t_random(&random) % 2);
		}
		kv_garbage_free(&t.garbage);
	} while (cursor);
	for (unsigned i = 0; i < STAYING; i++)
		assert_true(seen.times[i] >= 1);
	t_close(&t);
}

static void test_scan_staying_keys_are_seen_under_growth_and_shrinking(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++)
		for (int direction = -1; direction <= 1; direction++)
			scan_while_changing(seed, seed % 2 ? 1 : 4, direction);
}

static void test_scan_quiet_store_sees_each_key_once(void **state)
{
	struct seen seen = { 0 };
	struct kv_parking parking;
	struct t_store t;
	uint64_t cursor = 0;
	char text[16];

	(void)state;
	t_open(&t, 16);
	for (unsigned i = 0; i < STAYING; i++) {
		snprintf(text, sizeof(text), "s%u", i);
		assert_int_equal(t_set(&t, text, ""), 0);
	}
	do {
		int64_t visited = kv_scan(&t.access, &cursor, 10, &parking, note_entry, &seen);

		/* The bound: what was asked for and one bucket more. */
		assert_true(visited >= 0 && visited < 10 + 40);
	} while (cursor);
	for (unsigned i = 0; i < STAYING; i++)
		assert_int_equal(seen.times[i], 1);
	t_close(&t);
}

/* As many shards as in the server, nearly all of them empty. */
static void test_scan_few_keys_are_one_step(void **state)
{
	for (unsigned keys = 0; keys <= 10; keys++) {
		struct seen seen = { 0 };
		struct kv_parking parking;
		struct t_store t;
		uint64_t cursor = 0;
		char text[16];

		(void)state;
		t_open(&t, KV_SHARDS_DEFAULT);
		for (unsigned i = 0; i < keys; i++) {
			snprintf(text, sizeof(text), "s%u", i);
			assert_int_equal(t_set(&t, text, ""), 0);
		}
		assert_int_equal(kv_scan(&t.access, &cursor, 10, &parking, note_entry, &seen),
				 keys);
		assert_int_equal(cursor, 0);
		t_close(&t);
	}
}

/* Buckets that hold nothing live cost: ten for each key asked for, and the step is over. */
static void test_scan_step_is_bounded_in_buckets(void **state)
{
	struct seen seen = { 0 };
	struct kv_parking parking;
	unsigned steps = 0;
	struct t_store t;
	uint64_t cursor = 0;
	char text[16];

	(void)state;
	t_open(&t, 1);
	for (unsigned i = 0; i < 1000; i++) {
		struct kv_key key;

		snprintf(text, sizeof(text), "c%u", i);
		key = t_key(&t, text);
		assert_int_equal(kv_string_set(&t.access, &key, rota_view_of(NULL, 0), 1500), 0);
	}
	t.access.now_ms = 2000; /* all have expired */
	do {
		steps++;
		assert_int_equal(kv_scan(&t.access, &cursor, 1, &parking, note_entry, &seen), 0);
	} while (cursor);
	/* 1000 keys are in 133 buckets and more. */
	assert_in_range(steps, 14, 40);
	t_close(&t);
}

static void test_scan_any_cursor_is_accepted(void **state)
{
	uint64_t cursors[] = { UINT64_MAX, UINT64_C(1) << 63, 1, UINT32_MAX,
			       (UINT64_C(3) << 32) + 12345 };
	struct seen seen = { 0 };
	struct kv_parking parking;
	struct t_store t;

	(void)state;
	t_open(&t, 4);
	assert_int_equal(t_set(&t, "s1", ""), 0);
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(cursors); i++) {
		for (unsigned step = 0; cursors[i]; step++) {
			assert_true(step < 10);
			assert_true(kv_scan(&t.access, &cursors[i], 10, &parking, note_entry,
					    &seen) >= 0);
		}
	}
	t_close(&t);
}

static void test_scan_skips_expired_keys(void **state)
{
	struct seen seen = { 0 };
	struct kv_parking parking;
	struct t_store t;
	uint64_t cursor = 0;
	struct kv_key key;

	(void)state;
	t_open(&t, 1);
	key = t_key(&t, "s1");
	assert_int_equal(kv_string_set(&t.access, &key, rota_view_of(NULL, 0), 1000), 0);
	t.access.now_ms = 1001;
	do
		assert_int_equal(kv_scan(&t.access, &cursor, 10, &parking, note_entry, &seen), 0);
	while (cursor);
	assert_int_equal(kv_random(&t.access, 1, &parking, note_entry, &seen), 0);
	t_close(&t);
}

struct waiter {
	struct kv_parking parking;
	unsigned woken;
};

static void note_wake(struct kv_parking *parking)
{
	ROTA_CONTAINER_OF(parking, struct waiter, parking)->woken++;
}

/*
 * A locked shard: with nothing to answer the scan parks and later goes on there; with something it
 * answers that.
 */
static void test_scan_locked_shard_parks_or_ends_the_step(void **state)
{
	struct waiter waiter = { .woken = 0 };
	struct seen seen = { 0 };
	struct kv_key keys[2];
	struct t_store t;
	uint64_t cursor = 0;
	unsigned found = 0;
	char text[2][16];

	(void)state;
	t_blocks_alive = 0;
	rota_set_allocator(&t_allocator);
	t_open_with(&t, t_create(2, 2));
	kv_parking_init(&waiter.parking, note_wake);
	for (unsigned i = 0; found < 2; i++) {
		struct kv_key key;

		snprintf(text[found], 16, "s%u", i);
		key = t_key(&t, text[found]);
		if (kv_shard_of(t.store, &key) != found)
			continue;
		keys[found++] = key;
		assert_int_equal(kv_lock(t.store, &key, &waiter.parking), 0);
		assert_int_equal(t_set(&t, text[found - 1], ""), 0);
		kv_unlock(t.store, &key);
	}
	assert_int_equal(kv_lock(t.store, &keys[0], &waiter.parking), 0);
	assert_int_equal(kv_scan(&t.access, &cursor, 10, &waiter.parking, note_entry, &seen),
			 -EAGAIN);
	kv_unlock(t.store, &keys[0]);
	assert_int_equal(waiter.woken, 1);
	assert_int_equal(kv_lock(t.store, &keys[1], &waiter.parking), 0);
	assert_int_equal(kv_scan(&t.access, &cursor, 10, &waiter.parking, note_entry, &seen), 1);
	assert_int_not_equal(cursor, 0);
	assert_int_equal(kv_scan(&t.access, &cursor, 10, &waiter.parking, note_entry, &seen),
			 -EAGAIN);
	kv_unlock(t.store, &keys[1]);
	assert_int_equal(waiter.woken, 2);
	assert_int_equal(kv_scan(&t.access, &cursor, 10, &waiter.parking, note_entry, &seen), 1);
	assert_int_equal(cursor, 0);
	t_close(&t);
}

static void test_random_reaches_every_key(void **state)
{
	uint64_t random = 7;
	struct seen seen = { 0 };
	struct kv_parking parking;
	struct t_store t;
	unsigned reached = 0;
	char text[16];

	(void)state;
	t_open(&t, 4);
	assert_int_equal(kv_random(&t.access, 3, &parking, note_entry, &seen), 0);
	for (unsigned i = 0; i < 200; i++) {
		snprintf(text, sizeof(text), "s%u", i);
		assert_int_equal(t_set(&t, text, ""), 0);
	}
	for (unsigned i = 0; i < 20000; i++)
		assert_int_equal(
			kv_random(&t.access, t_random(&random), &parking, note_entry, &seen), 1);
	for (unsigned i = 0; i < 200; i++)
		reached += seen.times[i] > 0;
	assert_int_equal(reached, 200);
	t_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scan_staying_keys_are_seen_under_growth_and_shrinking),
		cmocka_unit_test(test_scan_quiet_store_sees_each_key_once),
		cmocka_unit_test(test_scan_few_keys_are_one_step),
		cmocka_unit_test(test_scan_step_is_bounded_in_buckets),
		cmocka_unit_test(test_scan_any_cursor_is_accepted),
		cmocka_unit_test(test_scan_skips_expired_keys),
		cmocka_unit_test(test_scan_locked_shard_parks_or_ends_the_step),
		cmocka_unit_test(test_random_reaches_every_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
