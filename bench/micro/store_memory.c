/* SPDX-License-Identifier: MIT */
/*
 * Memory per key and time per operation of the store of rota-kv: prints the tables of
 * docs/design/0006-store.md. A plain program on one thread; links jemalloc, whose own figure
 * (stats.allocated) is the judge of memory.
 *
 *	ninja && gcc -O2 -D_GNU_SOURCE -I. -Iframework/include bench/micro/store_memory.c \
 *		build/release/apps/kv/store/store.a build/release/librota.a \
 *		-ljemalloc -luring -pthread
 *	store_memory [shards]
 */
#include <jemalloc/jemalloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <rota/memory.h>

#include "apps/kv/store/store.h"

#define KEY_BYTES 16
#define VALUE_BYTES 32
#define BATCH 16

static size_t good_bytes(size_t bytes)
{
	return nallocx(bytes, 0);
}

static const struct rota_allocator jemalloc_allocator = {
	.allocate = malloc,
	.reallocate = realloc,
	.release = free,
	.good_bytes = good_bytes,
	.allocate_aligned = memalign,
};

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static size_t allocated_bytes(void)
{
	uint64_t epoch = 1;
	size_t bytes = 0, size = sizeof(bytes);

	mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch));
	mallctl("stats.allocated", &bytes, &size, NULL, 0);
	return bytes;
}

static void wake_nobody(struct kv_parking *parking)
{
	(void)parking;
}

struct bench {
	struct kv_store *store;
	struct kv_access access;
	struct kv_garbage garbage;
	struct kv_parking parking;
	struct kv_key keys[BATCH];
	char text[BATCH][KEY_BYTES + 1];
	uint64_t sink;
};

static void open_store(struct bench *b, uint32_t shards, uint32_t reactors)
{
	struct kv_store_options options = { .shard_count = shards,
					    .reactor_count = reactors,
					    .hash_seed = "only for a bench" };

	if (kv_store_create(&b->store, &options) < 0)
		exit(1);
	kv_garbage_init(&b->garbage);
	kv_parking_init(&b->parking, wake_nobody);
	b->access = (struct kv_access){ .store = b->store, .now_ms = 1, .garbage = &b->garbage };
}

/*
 * Hash the batch that begins with key `first`; with a stride, keys are met in an order caches can't
 * guess.
 */
static void name_keys(struct bench *b, uint64_t first, uint64_t stride, uint64_t count)
{
	for (unsigned i = 0; i < BATCH; i++) {
		snprintf(b->text[i], sizeof(b->text[i]), "key:%012llu",
			 (unsigned long long)((first + i) * stride % count));
		b->keys[i].bytes = rota_view_of(b->text[i], KEY_BYTES);
	}
}

enum work { SET, GET };

static void run_batch(struct bench *b, enum work work, int64_t at_ms, bool prefetch)
{
	static const char value[VALUE_BYTES] = "0123456789abcdef0123456789abcde";

	kv_keys_hash(b->store, b->keys, BATCH);
	if (kv_gate_enter(b->store, 0, &b->parking) < 0)
		exit(1);
	if (prefetch)
		kv_keys_prefetch(b->store, 0, b->keys, BATCH);
	for (unsigned i = 0; i < BATCH; i++) {
		if (kv_lock(b->store, &b->keys[i], &b->parking) < 0)
			exit(1);
		if (work == SET) {
			if (kv_string_set(&b->access, &b->keys[i], rota_view_of(value, VALUE_BYTES),
					  at_ms) < 0)
				exit(1);
		} else {
			const struct kv_entry *entry = kv_read(&b->access, &b->keys[i]);

			b->sink += entry ? (unsigned char)kv_entry_value(entry).data[7] : 0;
		}
		kv_unlock(b->store, &b->keys[i]);
	}
	kv_gate_leave(b->store, 0);
	kv_garbage_free(&b->garbage);
}

static int compare_times(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

/*
 * Median over batches of nanoseconds per operation, without the time to name the keys: robust on a
 * shared machine.
 */
static double time_work(struct bench *b, enum work work, uint64_t keys, uint64_t operations,
			bool prefetch)
{
	size_t batches = 0;
	float *times = calloc(operations / BATCH + 1, sizeof(*times));
	double median;

	if (!times)
		exit(1);
	for (uint64_t first = 0; first < operations; first += BATCH) {
		double start;

		name_keys(b, first, UINT64_C(7368787), keys);
		start = now_ns();
		run_batch(b, work, KV_NO_EXPIRY, prefetch);
		times[batches++] = (float)((now_ns() - start) / BATCH);
	}
	qsort(times, batches, sizeof(*times), compare_times);
	median = (double)times[batches / 2];
	free(times);
	return median;
}

static void measure_memory(uint32_t shards, int64_t at_ms)
{
	double mean = 0;
	unsigned points = 0;
	struct bench b = { 0 };
	size_t before = allocated_bytes();
	uint64_t keys = 0;

	open_store(&b, shards, 1);
	printf("%s\n   keys  over key+value  by our own count\n",
	       at_ms ? "with expiry" : "without expiry");
	for (uint64_t target = 700000; target <= 1400000; target += 50000) {
		struct kv_statistics statistics;
		double over, own;

		for (; keys < target; keys += BATCH) {
			name_keys(&b, keys, 1, UINT64_MAX);
			run_batch(&b, SET, at_ms, false);
		}
		kv_store_statistics(b.store, &statistics);
		over = (double)(allocated_bytes() - before) / (double)keys - KEY_BYTES -
		       VALUE_BYTES;
		own = (double)statistics.memory_bytes / (double)keys - KEY_BYTES - VALUE_BYTES;
		printf("%7llu %10.2f %17.2f\n", (unsigned long long)keys, over, own);
		mean += over;
		points++;
	}
	printf("mean    %10.2f B per key\n\n", mean / points);
	kv_store_destroy(b.store);
}

static void measure_time(uint32_t shards, uint32_t reactors, uint64_t keys)
{
	uint64_t operations = keys < 100000 ? 2000000 : 2 * keys;
	struct bench b = { 0 };
	double insert, get, plain, set;

	open_store(&b, shards, reactors);
	insert = time_work(&b, SET, keys, keys, true);
	get = time_work(&b, GET, keys, operations, true);
	plain = time_work(&b, GET, keys, operations, false);
	set = time_work(&b, SET, keys, operations, true);
	printf("%8llu keys, locks %-3s  ns: insert %6.1f  overwrite %6.1f  get %6.1f  ",
	       (unsigned long long)keys, reactors > 1 ? "on" : "off", insert, set, get);
	printf("get without prefetch %6.1f\n", plain);
	kv_store_destroy(b.store);
}

static void measure_gate(uint32_t reactors)
{
	struct bench b = { 0 };
	double best = 1e9;

	open_store(&b, 64, reactors);
	for (unsigned round = 0; round < 1000; round++) {
		double start = now_ns(), took;

		for (unsigned i = 0; i < 1000; i++) {
			if (kv_gate_enter(b.store, 0, &b.parking) < 0)
				exit(1);
			kv_gate_leave(b.store, 0);
		}
		took = (now_ns() - start) / 1000;
		best = took < best ? took : best;
	}
	printf("gate, enter and leave, locks %-3s  %5.1f ns\n", reactors > 1 ? "on" : "off", best);
	kv_store_destroy(b.store);
}

int main(int argc, char **argv)
{
	uint32_t shards = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;

	rota_set_allocator(&jemalloc_allocator);
	measure_memory(shards, KV_NO_EXPIRY);
	measure_memory(shards, INT64_C(1) << 50);
	for (uint32_t reactors = 1; reactors <= 2; reactors++) {
		measure_gate(reactors);
		measure_time(shards, reactors, 10000);
		measure_time(shards, reactors, 1000000);
	}
	return 0;
}
