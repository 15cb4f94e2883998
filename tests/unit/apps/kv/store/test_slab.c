/* SPDX-License-Identifier: MIT */
/*
 * Blocks from slabs: sizes, who gives memory back and when, failing allocations, and threads that
 * free what others allocated.
 */
#include "t_store.h"

#include <pthread.h>

#include "apps/kv/store/sanitizer.h"

/*
 * A slab has room for more of the largest blocks than the first, for fewer of 48 bytes than the
 * last.
 */
#define FEW_BLOCKS 100
#define MANY_BLOCKS 8000

struct fixture {
	struct kv_slab_depot depot;
	struct kv_slab_cache cache;
};

static void open_depot(struct fixture *f)
{
	t_until_failure = 0;
	t_blocks_alive = 0;
	rota_set_allocator(&t_allocator);
	kv__slab_depot_init(&f->depot, false);
	kv__slab_cache_init(&f->cache, &f->depot);
}

static void close_depot(struct fixture *f)
{
	kv__slab_cache_empty(&f->cache);
	assert_int_equal(t_blocks_alive, 0);
	kv__slab_depot_fini(&f->depot);
	rota_set_allocator(NULL);
}

static void *take(struct fixture *f, size_t bytes)
{
	void *block = kv__slab_alloc(&f->cache, bytes);

	assert_non_null(block);
	return block;
}

/* Blocks of every size, each filled with a byte of its own: none is over another. */
static void test_slab_blocks_of_all_sizes_do_not_overlap(void **state)
{
	enum { EACH = 40 };
	static unsigned char *blocks[KV_SLAB_BLOCK_MAX + 1][EACH];
	struct fixture f;

	(void)state;
	open_depot(&f);
	for (size_t bytes = 1; bytes <= KV_SLAB_BLOCK_MAX; bytes++)
		for (unsigned i = 0; i < EACH; i++) {
			blocks[bytes][i] = take(&f, bytes);
			assert_int_equal((uintptr_t)blocks[bytes][i] % 8, 0);
			memset(blocks[bytes][i], (int)(bytes * 7 + i), kv__slab_good_bytes(bytes));
		}
	for (size_t bytes = 1; bytes <= KV_SLAB_BLOCK_MAX; bytes++)
		for (unsigned i = 0; i < EACH; i++) {
			for (size_t at = 0; at < kv__slab_good_bytes(bytes); at++)
				assert_int_equal(blocks[bytes][i][at],
						 (unsigned char)(bytes * 7 + i));
			kv__slab_free(&f.cache, blocks[bytes][i], bytes);
		}
	close_depot(&f);
}

/* One size is one slab until that is full, and what was freed is used again. */
static void test_slab_freed_blocks_are_taken_again(void **state)
{
	void *blocks[FEW_BLOCKS];
	struct fixture f;

	(void)state;
	open_depot(&f);
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < FEW_BLOCKS; i++)
			blocks[i] = take(&f, 505 + i % 8);
		assert_int_equal(t_blocks_alive, 1);
		for (unsigned i = 0; i < FEW_BLOCKS; i++)
			kv__slab_free(&f.cache, blocks[i], 505 + i % 8);
	}
	close_depot(&f);
}

/* What is freed at random goes back slab by slab; what is left is what the cache may keep. */
static void test_slab_empty_ones_are_given_back(void **state)
{
	enum { BLOCKS = 20000 };
	static void *blocks[BLOCKS];
	uint64_t random = 1;
	struct fixture f;
	int64_t most;

	(void)state;
	open_depot(&f);
	for (unsigned i = 0; i < BLOCKS; i++)
		blocks[i] = take(&f, 56);
	most = t_blocks_alive;
	assert_in_range(most, BLOCKS * 56 / 65536, BLOCKS * (56 + 8) / 57000 + 1);
	for (unsigned i = BLOCKS; i-- > 0;) {
		unsigned other = (unsigned)(t_random(&random) % (i + 1));

		kv__slab_free(&f.cache, blocks[other], 56);
		blocks[other] = blocks[i];
	}
	assert_in_range(t_blocks_alive, 1, most);
	for (unsigned i = 0; i < KV_SLAB_SIZES; i++)
		kv__slab_trim(&f.cache);
	assert_int_equal(t_blocks_alive, 0);
	close_depot(&f);
}

/* Half of all blocks are free in every slab: new ones take their places, and no slab is added. */
static void test_slab_holes_are_filled_first(void **state)
{
	enum { BLOCKS = 10000 };
	static void *blocks[BLOCKS];
	struct fixture f;
	int64_t before;

	(void)state;
	open_depot(&f);
	for (unsigned i = 0; i < BLOCKS; i++)
		blocks[i] = take(&f, 100);
	before = t_blocks_alive;
	/* less than a slab has begun to be used */
	assert_in_range(kv__slab_free_bytes(&f.depot), 0, 57344);
	for (unsigned i = 0; i < BLOCKS; i += 2)
		kv__slab_free(&f.cache, blocks[i], 100);
	/* all but those in the magazine */
	assert_in_range(kv__slab_free_bytes(&f.depot), (BLOCKS / 2 - 64) * 104,
			BLOCKS / 2 * (104 + KV_ASAN_GAP_BYTES) + 57344);
	for (unsigned i = 0; i < BLOCKS; i += 2)
		blocks[i] = take(&f, 100);
	assert_int_equal(t_blocks_alive, before);
	for (unsigned i = 0; i < BLOCKS; i++)
		kv__slab_free(&f.cache, blocks[i], 100);
	close_depot(&f);
}

/* Every slab fails once: only that block is refused, and what there is stays usable. */
static void test_slab_each_failing_allocation_is_survived(void **state)
{
	static void *blocks[MANY_BLOCKS];
	unsigned refused = 0, count = 0;
	struct fixture f;

	(void)state;
	open_depot(&f);
	while (count < MANY_BLOCKS) {
		t_until_failure = 1;
		blocks[count] = kv__slab_alloc(&f.cache, 48);
		refused += !blocks[count];
		t_until_failure = 0;
		if (!blocks[count])
			blocks[count] = take(&f, 48);
		count++;
	}
	assert_int_equal(refused, t_blocks_alive);
	assert_true(refused > 5);
	while (count-- > 0)
		kv__slab_free(&f.cache, blocks[count], 48);
	close_depot(&f);
}

/* A flush and some idle rounds of the sweep leave nothing of a store's entries. */
static void test_slab_flushed_store_keeps_none(void **state)
{
	struct kv_parking parking = { 0 };
	struct t_store t;
	int64_t before;
	char name[16], value[600];

	(void)state;
	t_open(&t, 4);
	before = t_blocks_alive;
	memset(value, 'v', sizeof(value));
	for (unsigned i = 0; i < 5000; i++) {
		struct kv_key key;

		snprintf(name, sizeof(name), "%u", i);
		key = t_key(&t, name);
		assert_int_equal(
			kv_string_set(&t.access, &key, rota_view_of(value, i % 600), KV_NO_EXPIRY),
			0);
	}
	assert_int_equal(kv_gate_close(t.store, &parking), 0);
	kv_flush(&t.access, 0);
	kv_gate_open(t.store, &parking);
	kv_garbage_free(&t.garbage);
	for (unsigned i = 0; i < KV_SLAB_SIZES; i++)
		kv_store_expire_some(t.store, 0, 1, 1, 100);
	assert_int_equal(t_blocks_alive, before);
	t_close(&t);
}

/* What is free, and the gap behind what is not, is not to be touched. */
static void test_slab_free_blocks_are_poisoned(void **state)
{
	struct fixture f;
	char *block;

	(void)state;
	if (!KV_ASAN_GAP_BYTES)
		skip();
	open_depot(&f);
	block = take(&f, 56);
	for (unsigned at = 0; at < 56; at++)
		assert_false(kv__is_poisoned(block + at));
	assert_true(kv__is_poisoned(block + 56));
	assert_true(kv__is_poisoned(block - 1));
	kv__slab_free(&f.cache, block, 56);
	for (unsigned at = 0; at < 56; at++)
		assert_true(kv__is_poisoned(block + at));
	close_depot(&f);
}

/* ---- threads ---- */

#define THREADS 3
#define ROUNDS 20000
#define SHELVES 512

/* Blocks that any thread may free: a place is swapped for another block, or for none. */
static void *shelves[SHELVES];

struct worker {
	struct kv_slab_cache cache;
	uint64_t random;
};

static size_t bytes_of_shelf(unsigned shelf)
{
	return sizeof(uint64_t) + shelf % 5 * 50;
}

static void release(struct kv_slab_cache *cache, unsigned shelf, uint64_t *block)
{
	if (!block)
		return;
	ROTA_ASSERT(*block == shelf);
	kv__slab_free(cache, block, bytes_of_shelf(shelf));
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned shelf = (unsigned)(t_random(&w->random) % SHELVES);
		uint64_t *block = NULL;

		if (t_random(&w->random) % 4) {
			block = kv__slab_alloc(&w->cache, bytes_of_shelf(shelf));
			ROTA_ASSERT(block);
			*block = shelf;
		}
		release(&w->cache, shelf,
			__atomic_exchange_n(&shelves[shelf], block, __ATOMIC_ACQ_REL));
		if (i % 64 == 0)
			kv__slab_trim(&w->cache);
	}
	return NULL;
}

/* A block that two threads had at once would have another's number in it, and TSan would say so. */
static void test_slab_threads_free_each_others_blocks(void **state)
{
	static struct worker workers[THREADS];
	pthread_t threads[THREADS];
	struct kv_slab_depot depot;

	(void)state;
	t_until_failure = 0;
	t_blocks_alive = 0;
	rota_set_allocator(&t_allocator);
	kv__slab_depot_init(&depot, true);
	for (unsigned i = 0; i < THREADS; i++) {
		kv__slab_cache_init(&workers[i].cache, &depot);
		workers[i].random = i + 1;
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned shelf = 0; shelf < SHELVES; shelf++)
		release(&workers[0].cache, shelf, shelves[shelf]);
	for (unsigned i = 0; i < THREADS; i++)
		kv__slab_cache_empty(&workers[i].cache);
	assert_int_equal(t_blocks_alive, 0);
	kv__slab_depot_fini(&depot);
	rota_set_allocator(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slab_blocks_of_all_sizes_do_not_overlap),
		cmocka_unit_test(test_slab_freed_blocks_are_taken_again),
		cmocka_unit_test(test_slab_empty_ones_are_given_back),
		cmocka_unit_test(test_slab_holes_are_filled_first),
		cmocka_unit_test(test_slab_each_failing_allocation_is_survived),
		cmocka_unit_test(test_slab_flushed_store_keeps_none),
		cmocka_unit_test(test_slab_free_blocks_are_poisoned),
		cmocka_unit_test(test_slab_threads_free_each_others_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
