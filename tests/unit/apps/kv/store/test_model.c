/* SPDX-License-Identifier: MIT */
/*
 * The store against a plain array as model: long random sequences over few keys, so that every
 * state is met often; with time passing, values crossing the blob limit, and the counters checked
 * against a walk.
 */
#include "t_store.h"

#define KEYS 600
#define VALUE_MAX 40000

struct model_entry {
	bool exists;
	int64_t at_ms;
	size_t bytes;
	char *value;
};

struct model {
	struct t_store t;
	struct model_entry entries[2][KEYS];
	uint64_t random;
	bool allocation_may_fail;
};

static struct kv_key model_key(struct model *m, unsigned i, char *text)
{
	/* Key 0 is empty, some are long, some contain zeros. */
	size_t bytes = i == 0 ? 0 : (size_t)snprintf(text, 32, "key:%u", i);

	if (i % 7 == 1) {
		memset(text + bytes, i % 2 ? 0 : 'x', 40);
		bytes += 40;
	}
	return kv_key_of(m->t.store, rota_view_of(text, bytes));
}

static struct model_entry *model_at(struct model *m, unsigned i)
{
	struct model_entry *e = &m->entries[m->t.access.database][i];

	if (e->exists && e->at_ms && m->t.access.now_ms > e->at_ms)
		e->exists = false;
	return e;
}

static size_t random_bytes(struct model *m)
{
	static const size_t limits[] = { 1, 40, 40, 40, 300, 300, 17000, VALUE_MAX };

	return t_random(&m->random) % limits[t_random(&m->random) % ROTA_ARRAY_COUNT(limits)];
}

/* An allocation may have failed only if we let it; then nothing has changed. */
static bool took_effect(struct model *m, int64_t status)
{
	if (status == -ENOMEM) {
		assert_true(m->allocation_may_fail);
		return false;
	}
	return true;
}

static int64_t random_expiry(struct model *m)
{
	return t_random(&m->random) % 3
		       ? KV_NO_EXPIRY
		       : m->t.access.now_ms + (int64_t)(t_random(&m->random) % 3000);
}

static void do_set(struct model *m, const struct kv_key *key, struct model_entry *e)
{
	size_t bytes = random_bytes(m);
	bool keep = t_random(&m->random) % 4 == 0;
	int64_t at_ms = keep ? KV_KEEP_EXPIRY : random_expiry(m);
	char *value = malloc(bytes + 1);

	memset(value, (int)('a' + t_random(&m->random) % 26), bytes);
	if (!took_effect(m, kv_string_set(&m->t.access, key, rota_view_of(value, bytes), at_ms))) {
		free(value);
		return;
	}
	e->at_ms = keep ? (e->exists ? e->at_ms : 0) : at_ms;
	free(e->value);
	e->value = value;
	e->bytes = bytes;
	e->exists = true;
}

static void do_write(struct model *m, const struct kv_key *key, struct model_entry *e)
{
	size_t old = e->exists ? e->bytes : 0;
	bool append = t_random(&m->random) % 2;
	size_t offset = append ? old : random_bytes(m);
	char patch[64];
	size_t bytes = 1 + t_random(&m->random) % sizeof(patch), after;
	int64_t status;

	if (old > VALUE_MAX)
		return;
	memset(patch, (int)('A' + t_random(&m->random) % 26), bytes);
	status = append ? kv_string_append(&m->t.access, key, rota_view_of(patch, bytes))
			: kv_string_set_range(&m->t.access, key, offset,
					      rota_view_of(patch, bytes));
	if (!took_effect(m, status))
		return;
	after = rota_max_size(old, offset + bytes);
	assert_int_equal(status, after);
	e->value = realloc(e->value, after + 1);
	if (offset > old)
		memset(e->value + old, 0, offset - old);
	memcpy(e->value + offset, patch, bytes);
	if (!e->exists)
		e->at_ms = 0;
	e->bytes = after;
	e->exists = true;
}

static void do_rename(struct model *m, const struct kv_key *key, struct model_entry *e)
{
	unsigned j = (unsigned)(t_random(&m->random) % KEYS);
	struct kv_access to = m->t.access;
	bool copy = t_random(&m->random) % 2;
	char text[80];
	struct kv_key to_key = model_key(m, j, text);
	struct model_entry *target;
	int status;

	to.database = (uint32_t)(t_random(&m->random) % 2);
	target = &m->entries[to.database][j];
	status = copy ? kv_copy(&m->t.access, key, &to, &to_key)
		      : kv_rename(&m->t.access, key, &to, &to_key);
	if (!e->exists)
		assert_int_equal(status, -ENOENT);
	if (!took_effect(m, status) || !e->exists || target == e)
		return;
	assert_int_equal(status, 0);
	free(target->value);
	*target = *e;
	target->value = malloc(e->bytes + 1);
	memcpy(target->value, e->value, e->bytes);
	if (!copy)
		e->exists = false;
}

static void check(struct model *m, const struct kv_key *key, struct model_entry *e)
{
	struct kv_entry *entry = kv_find(&m->t.access, key);
	struct rota_view value;

	assert_int_equal(entry != NULL, e->exists);
	if (!entry)
		return;
	value = kv_entry_value(entry);
	assert_true(rota_view_equals(kv_entry_key(entry), key->bytes));
	assert_int_equal(value.bytes, e->bytes);
	assert_memory_equal(value.data, e->value, e->bytes);
	assert_int_equal(kv_entry_expiry(entry), e->at_ms);
	assert_true((value.bytes >= KV_BLOB_BYTES_MIN) <= (kv_entry_blob(entry) != NULL));
}

static void step(struct model *m)
{
	unsigned i = (unsigned)(t_random(&m->random) % KEYS);
	char text[80];
	struct kv_key key = model_key(m, i, text);
	struct model_entry *e;
	int status;

	m->t.access.database = (uint32_t)(t_random(&m->random) % 2);
	e = model_at(m, i);
	switch (t_random(&m->random) % 10) {
	case 0 ... 3:
		do_set(m, &key, e);
		break;
	case 4:
		assert_int_equal(kv_delete(&m->t.access, &key), e->exists);
		e->exists = false;
		break;
	case 5: {
		int64_t at_ms = random_expiry(m);

		status = kv_expiry_set(&m->t.access, &key, at_ms);
		if (!took_effect(m, status))
			break;
		assert_int_equal(status, e->exists);
		e->at_ms = at_ms;
		break;
	}
	case 6:
		do_write(m, &key, e);
		break;
	case 7:
		do_rename(m, &key, e);
		break;
	default:
		m->t.access.now_ms += (int64_t)(t_random(&m->random) % 20);
		if (t_random(&m->random) % 8 == 0)
			kv_store_expire_some(m->t.store, 0, 1, m->t.access.now_ms, 50);
	}
	check(m, &key, model_at(m, i));
}

static void run(uint64_t seed, unsigned steps, unsigned failure_every)
{
	struct model m = { .random = seed, .allocation_may_fail = failure_every };
	struct kv_statistics statistics;

	t_open(&m.t, 4);
	for (unsigned n = 0; n < steps; n++) {
		if (failure_every)
			t_until_failure = 1 + (int64_t)(t_random(&m.random) % failure_every);
		step(&m);
		t_until_failure = 0;
		if (n % 64 == 0)
			kv_garbage_free(&m.t.garbage);
		if (n % 4096 == 0)
			t_assert_counts_agree(&m.t);
	}
	for (unsigned database = 0; database < 2; database++) {
		for (unsigned i = 0; i < KEYS; i++) {
			char text[80];
			struct kv_key key = model_key(&m, i, text);

			m.t.access.database = database;
			check(&m, &key, model_at(&m, i));
			kv_delete(&m.t.access, &key);
			free(m.entries[database][i].value);
		}
		t_assert_counts_agree(&m.t);
	}
	/*
	 * Every table is down to its smallest: what is still counted beyond the base is 8 of them.
	 */
	kv_store_statistics(m.t.store, &statistics);
	assert_int_equal(statistics.keys, 0);
	assert_true(statistics.memory_bytes - m.t.store->base_bytes <= 8 * 1024);
	t_close(&m.t);
}

static void test_model_random_operations_agree(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 8; seed++) {
		print_message("seed %llu\n", (unsigned long long)seed);
		run(seed, 40000, 0);
	}
}

/*
 * In every operation one of the first allocations fails: it says so and changes nothing, and
 * nothing leaks.
 */
static void test_model_failing_allocations_change_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 100; seed < 108; seed++) {
		print_message("seed %llu\n", (unsigned long long)seed);
		run(seed, 20000, 1 + (unsigned)(seed % 4));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model_random_operations_agree),
		cmocka_unit_test(test_model_failing_allocations_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
