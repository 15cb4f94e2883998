/* SPDX-License-Identifier: MIT */
/*
 * The gate on one thread (several reactors played by hand), and gate and locks hammered by threads.
 */
#include "t_store.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

struct waiter {
	struct kv_parking parking;
	unsigned woken;
};

static void note_wake(struct kv_parking *parking)
{
	ROTA_CONTAINER_OF(parking, struct waiter, parking)->woken++;
}

static void init_waiters(struct waiter *waiters, unsigned count)
{
	memset(waiters, 0, count * sizeof(*waiters));
	for (unsigned i = 0; i < count; i++)
		kv_parking_init(&waiters[i].parking, note_wake);
}

static void test_gate_nobody_inside_closes_at_once(void **state)
{
	(void)state;
	for (uint32_t reactors = 1; reactors <= 2; reactors++) {
		struct kv_store *store = t_create(4, reactors);
		struct waiter w[2];

		init_waiters(w, 2);
		assert_int_equal(kv_gate_close(store, &w[0].parking), 0);
		assert_true(kv_gate_is_exclusive(store));
		assert_int_equal(kv_gate_enter(store, 0, &w[1].parking), -EAGAIN);
		kv_gate_open(store, &w[0].parking);
		assert_int_equal(w[1].woken, 1);
		assert_int_equal(w[0].woken, 0);
		assert_int_equal(kv_gate_enter(store, 0, &w[1].parking), 0);
		kv_gate_leave(store, 0);
		kv_store_destroy(store);
	}
}

static void test_gate_closing_waits_for_the_last_one_out(void **state)
{
	struct kv_store *store = t_create(4, 3);
	struct waiter w[4];

	(void)state;
	init_waiters(w, 4);
	assert_int_equal(kv_gate_enter(store, 0, &w[0].parking), 0);
	assert_int_equal(kv_gate_enter(store, 1, &w[1].parking), 0);
	assert_int_equal(kv_gate_close(store, &w[3].parking), -EAGAIN);
	assert_int_equal(kv_gate_enter(store, 2, &w[2].parking), -EAGAIN);
	kv_gate_leave(store, 0);
	assert_int_equal(w[3].woken, 0);
	assert_false(kv_gate_is_exclusive(store));
	kv_gate_leave(store, 1);
	assert_int_equal(w[3].woken, 1);
	assert_int_equal(kv_gate_close(store, &w[3].parking), 0);
	assert_int_equal(w[2].woken, 0);
	kv_gate_open(store, &w[3].parking);
	assert_int_equal(w[2].woken, 1);
	kv_store_destroy(store);
}

static void test_gate_second_closer_comes_after_the_first(void **state)
{
	struct kv_store *store = t_create(4, 2);
	struct waiter w[2];

	(void)state;
	init_waiters(w, 2);
	assert_int_equal(kv_gate_close(store, &w[0].parking), 0);
	assert_int_equal(kv_gate_close(store, &w[1].parking), -EAGAIN);
	kv_gate_open(store, &w[0].parking);
	assert_int_equal(w[1].woken, 1);
	assert_int_equal(kv_gate_close(store, &w[1].parking), 0);
	kv_gate_open(store, &w[1].parking);
	kv_store_destroy(store);
}

static void test_gate_cancelled_closer_lets_everybody_in(void **state)
{
	struct kv_store *store = t_create(4, 2);
	struct waiter w[4];

	(void)state;
	init_waiters(w, 4);
	assert_int_equal(kv_gate_enter(store, 0, &w[0].parking), 0);
	assert_int_equal(kv_gate_close(store, &w[1].parking), -EAGAIN);
	assert_int_equal(kv_gate_enter(store, 1, &w[2].parking), -EAGAIN);
	assert_int_equal(kv_gate_close(store, &w[3].parking), -EAGAIN);
	assert_true(kv_gate_cancel(store, &w[3].parking));
	assert_true(kv_gate_cancel(store, &w[1].parking));
	assert_int_equal(w[2].woken, 1);
	assert_int_equal(w[1].woken + w[3].woken, 0);
	assert_int_equal(kv_gate_enter(store, 1, &w[2].parking), 0);
	kv_gate_leave(store, 0);
	kv_gate_leave(store, 1);
	/* Too late: it has been woken, so it owns the gate and must open it. */
	assert_int_equal(kv_gate_close(store, &w[1].parking), 0);
	assert_false(kv_gate_cancel(store, &w[1].parking));
	kv_gate_open(store, &w[1].parking);
	kv_store_destroy(store);
}

static void test_gate_locking_can_be_switched_behind_it(void **state)
{
	struct kv_store *store = t_create(4, 2);
	struct kv_key key = kv_key_of(store, rota_view_of_string("k"));
	struct waiter w[2];

	(void)state;
	init_waiters(w, 2);
	assert_int_equal(kv_gate_close(store, &w[0].parking), 0);
	kv_store_set_locking(store, false);
	kv_gate_open(store, &w[0].parking);
	assert_int_equal(kv_lock(store, &key, &w[0].parking), 0);
	assert_int_equal(kv_lock(store, &key, &w[1].parking), 0);
	assert_int_equal(kv_gate_close(store, &w[0].parking), 0);
	kv_store_set_locking(store, true);
	kv_gate_open(store, &w[0].parking);
	assert_int_equal(kv_lock(store, &key, &w[0].parking), 0);
	assert_int_equal(kv_lock(store, &key, &w[1].parking), -EAGAIN);
	kv_unlock(store, &key);
	kv_store_destroy(store);
}

/* ---- threads ---- */

#define THREADS 4
#define ROUNDS 1500
#define ACCOUNTS 24

struct sleeper {
	struct kv_parking parking;
	sem_t woken;
};

static void post(struct kv_parking *parking)
{
	sem_post(&ROTA_CONTAINER_OF(parking, struct sleeper, parking)->woken);
}

/*
 * A bounded wait: a wake-up that got lost fails the test instead of hanging it. This is a limit,
 * not synchronisation.
 */
static void sleep_until_woken(struct sleeper *sleeper)
{
	struct timespec limit;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 60;
	while (sem_timedwait(&sleeper->woken, &limit) < 0)
		ROTA_ASSERT(errno == EINTR);
}

struct worker {
	struct kv_store *store;
	uint32_t reactor;
	uint64_t random;
	struct kv_garbage garbage;
	struct kv_access access;
	struct sleeper sleeper;
	unsigned withdrawn;
};

static int64_t read_number(const struct kv_access *access, const struct kv_key *key)
{
	struct kv_entry *entry = kv_find(access, key);
	int64_t number = 0;

	if (entry)
		memcpy(&number, kv_entry_value(entry).data, sizeof(number));
	return number;
}

static void write_number(const struct kv_access *access, const struct kv_key *key, int64_t number)
{
	int status = kv_string_set(access, key, rota_view_of(&number, sizeof(number)),
				   KV_NO_EXPIRY);

	ROTA_ASSERT(status == 0);
}

/* After a refusal: now and then withdraw, as for a client that leaves; else wait. */
static void wait_or_withdraw(struct worker *w)
{
	if (t_random(&w->random) % 4 == 0 && kv_parking_cancel(&w->sleeper.parking)) {
		w->withdrawn++;
		return;
	}
	sleep_until_woken(&w->sleeper);
}

static void enter(struct worker *w)
{
	while (kv_gate_enter(w->store, w->reactor, &w->sleeper.parking) < 0)
		wait_or_withdraw(w);
}

/*
 * Move one unit between accounts: the sum stays. Other keys come and go, so that tables split and
 * merge meanwhile.
 */
static void transfer(struct worker *w, char text[4][16])
{
	struct kv_lock_set set;
	struct kv_key keys[4];

	kv_lock_set_init(&set, w->store);
	for (unsigned i = 0; i < 4; i++) {
		unsigned number = (unsigned)(t_random(&w->random) % (i < 2 ? ACCOUNTS : 3000));

		snprintf(text[i], 16, i < 2 ? "account%u" : "other%u", number);
		keys[i] = kv_key_of(w->store, rota_view_of_string(text[i]));
		ROTA_ASSERT(kv_lock_set_add(&set, &keys[i]) == 0);
	}
	for (;;) {
		enter(w);
		kv_keys_prefetch(w->store, 0, keys, 4);
		if (kv_lock_set_acquire(&set, &w->sleeper.parking) == 0)
			break;
		kv_gate_leave(w->store, w->reactor);
		wait_or_withdraw(w);
	}
	write_number(&w->access, &keys[0], read_number(&w->access, &keys[0]) - 1);
	/*
	 * On few cores a holder is rarely preempted by itself; this is what makes threads collide.
	 */
	if (t_random(&w->random) % 4 == 0)
		sched_yield();
	write_number(&w->access, &keys[1], read_number(&w->access, &keys[1]) + 1);
	write_number(&w->access, &keys[2], 1);
	kv_delete(&w->access, &keys[3]);
	kv_lock_set_release(&set);
	kv_lock_set_fini(&set);
	kv_store_expire_some(w->store, w->reactor, THREADS, w->access.now_ms, 10);
	kv_gate_leave(w->store, w->reactor);
	kv_garbage_free(&w->garbage);
}

static int64_t sum_accounts(struct worker *w)
{
	int64_t sum = 0;
	char text[16];

	for (unsigned i = 0; i < ACCOUNTS; i++) {
		struct kv_key key;

		snprintf(text, sizeof(text), "account%u", i);
		key = kv_key_of(w->store, rota_view_of_string(text));
		sum += read_number(&w->access, &key);
	}
	return sum;
}

/* Alone: no lock is needed to see a consistent whole. Sometimes changes its mind. */
static void audit(struct worker *w)
{
	bool leaves = t_random(&w->random) % 4 == 0;
	int status;

	while ((status = kv_gate_close(w->store, &w->sleeper.parking)) < 0) {
		if (leaves && kv_gate_cancel(w->store, &w->sleeper.parking)) {
			w->withdrawn++;
			return;
		}
		sleep_until_woken(&w->sleeper);
	}
	ROTA_ASSERT(sum_accounts(w) == 0);
	if (t_random(&w->random) % 8 == 0) {
		kv_flush(&w->access, 0);
		ROTA_ASSERT(kv_store_key_count(w->store, 0) == 0);
	}
	kv_gate_open(w->store, &w->sleeper.parking);
	kv_garbage_free(&w->garbage);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	char text[4][16];

	for (unsigned i = 0; i < ROUNDS; i++) {
		if (t_random(&w->random) % 50 == 0)
			audit(w);
		else
			transfer(w, text);
	}
	return NULL;
}

/*
 * Few shards, so that threads collide all the time: sums stay, nobody sleeps for ever, nothing
 * races (TSan), and cancels meet wake-ups.
 */
static void hammer(uint32_t shards)
{
	struct kv_store *store = t_create(shards, THREADS);
	struct worker workers[THREADS];
	pthread_t threads[THREADS];
	struct kv_statistics statistics;
	unsigned withdrawn = 0;

	for (uint32_t i = 0; i < THREADS; i++) {
		struct worker *w = &workers[i];

		*w = (struct worker){ .store = store, .reactor = i, .random = i + 1 };
		kv_garbage_init(&w->garbage);
		w->access = (struct kv_access){
			.store = store, .reactor = i, .now_ms = 1, .garbage = &w->garbage
		};
		kv_parking_init(&w->sleeper.parking, post);
		sem_init(&w->sleeper.woken, 0, 0);
		assert_int_equal(pthread_create(&threads[i], NULL, work, w), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		/* As many wake-ups as refusals that were not withdrawn: none is left over. */
		assert_int_equal(sem_trywait(&workers[i].sleeper.woken), -1);
		withdrawn += workers[i].withdrawn;
	}
	assert_int_equal(kv_gate_close(store, &workers[0].sleeper.parking), 0);
	assert_int_equal(sum_accounts(&workers[0]), 0);
	kv_gate_open(store, &workers[0].sleeper.parking);
	kv_store_statistics(store, &statistics);
	print_message("%u shards: %llu refusals, %u withdrawn\n", shards,
		      (unsigned long long)statistics.locks_refused, withdrawn);
	kv_garbage_free(&workers[0].garbage);
	kv_store_destroy(store);
}

static void test_gate_and_locks_hammered_lose_nothing(void **state)
{
	(void)state;
	hammer(1);
	hammer(4);
	hammer(64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gate_nobody_inside_closes_at_once),
		cmocka_unit_test(test_gate_closing_waits_for_the_last_one_out),
		cmocka_unit_test(test_gate_second_closer_comes_after_the_first),
		cmocka_unit_test(test_gate_cancelled_closer_lets_everybody_in),
		cmocka_unit_test(test_gate_locking_can_be_switched_behind_it),
		cmocka_unit_test(test_gate_and_locks_hammered_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
