/* SPDX-License-Identifier: MIT */
/*
 * Synchronisation between reactors, driven together on threads or, on the simulator, in turns. What
 * a lock protects is plain memory, so that the thread sanitizer sees whether it does. What is done
 * in one reactor is in test_sync.c and test_channel.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <pthread.h>
#include <sched.h>

#include <cmocka.h>

#include <rota/channel.h>
#include <rota/error.h>
#include <rota/mailbox.h>
#include <rota/reactor.h>
#include <rota/sync.h>

#include "tests/support/t_core.h"

#define REACTORS 3
#define TASKS 6 /* on each reactor */

/* ---- the same function as a task on every reactor ---- */

static struct rota_reactor *reactors[REACTORS];
static rota_task_fn everywhere_fn;

static int64_t run_everywhere(void *arg)
{
	struct rota_future *futures[REACTORS];
	struct rota_call calls[REACTORS];

	for (int i = 0; i < REACTORS; i++) {
		rota_call_start(&calls[i], reactors[i], everywhere_fn, arg);
		futures[i] = &calls[i].future;
	}
	T_EQUAL(rota_await_all(futures, REACTORS), 0);
	for (int i = 0; i < REACTORS; i++)
		T_EQUAL(calls[i].future.result, 0);
	for (int i = 0; i < REACTORS; i++)
		rota_reactor_stop(reactors[i]);
	return 0;
}

static void *everywhere_arg;

static void start_first(struct rota_message *message)
{
	(void)message;
	T_EQUAL(rota_spawn(rota_reactor_scope(reactors[0]), run_everywhere, everywhere_arg), 0);
}

static void run_on_all(rota_task_fn fn, void *arg)
{
	struct rota_message start = { .run = start_first };

	everywhere_fn = fn;
	everywhere_arg = arg;
	t_reactors_create(reactors, REACTORS);
	rota_post(reactors[0], &start);
	assert_int_equal(rota_reactor_drive(reactors, REACTORS), 0);
	t_reactors_destroy(reactors, REACTORS);
}

/* ---- locks ---- */

struct place {
	struct rota_mutex mutex;
	struct rota_rwlock rwlock;
	struct rota_semaphore semaphore;
	struct rota_condition condition;
	struct rota_barrier barrier;
	unsigned rounds;
	/* protected by the mutex */
	uint64_t counted, refused, in_mutex;
	int64_t baton; /* number of the task whose turn it is */
	/* by the reader-writer lock */
	uint64_t written, written_again;
};

struct visitor {
	struct place *place;
	uint64_t random;
	int64_t number;
};

static unsigned draw(struct visitor *visitor, unsigned below)
{
	visitor->random = visitor->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (unsigned)(visitor->random >> 33) % below;
}

static int visit_mutex(struct visitor *visitor)
{
	struct place *place = visitor->place;
	int status = rota_mutex_lock(&place->mutex);

	if (status < 0)
		return status;
	T_EQUAL(place->in_mutex++, 0);
	place->counted++;
	if (draw(visitor, 4) == 0)
		rota_ignore(rota_yield(), "cancelled or not");
	place->in_mutex--;
	rota_mutex_unlock(&place->mutex);
	return 0;
}

static int visit_rwlock(struct visitor *visitor)
{
	struct place *place = visitor->place;
	bool is_write = draw(visitor, 4) == 0;
	int status;

	if (!is_write) {
		status = rota_rwlock_lock_read(&place->rwlock);
		if (status < 0)
			return status;
		T_EQUAL(place->written, place->written_again);
		rota_rwlock_unlock_read(&place->rwlock);
		return 0;
	}
	status = rota_rwlock_lock_write(&place->rwlock);
	if (status < 0)
		return status;
	place->written++;
	rota_ignore(rota_yield(), "cancelled or not");
	place->written_again++;
	rota_rwlock_unlock_write(&place->rwlock);
	return 0;
}

static int visit_semaphore(struct visitor *visitor)
{
	struct place *place = visitor->place;
	uint64_t units = 1 + draw(visitor, 3);
	int status = rota_semaphore_acquire(&place->semaphore, units);

	if (status < 0)
		return status;
	if (draw(visitor, 2))
		rota_ignore(rota_yield(), "cancelled or not");
	rota_semaphore_release(&place->semaphore, units);
	return 0;
}

static int64_t visit(void *arg)
{
	struct visitor *visitor = arg;
	struct place *place = visitor->place;

	for (unsigned i = 0; i < place->rounds; i++) {
		unsigned what = draw(visitor, 3);
		struct rota_scope scope;
		int status;

		rota_scope_open(&scope, draw(visitor, 3) ? ROTA_NEVER
							 : rota_after_ns(draw(visitor, 200000)));
		status = what == 0   ? visit_mutex(visitor)
			 : what == 1 ? visit_rwlock(visitor)
				     : visit_semaphore(visitor);
		T_CHECK(status == 0 || status == -ETIMEDOUT);
		rota_ignore(rota_scope_close(&scope), "late or not");
		if (status < 0) {
			T_EQUAL(rota_mutex_lock(&place->mutex), 0);
			place->refused++;
			rota_mutex_unlock(&place->mutex);
		} else if (what != 0) {
			T_EQUAL(rota_mutex_lock(&place->mutex), 0);
			place->counted++;
			rota_mutex_unlock(&place->mutex);
		}
	}
	return 0;
}

/* `fn` as TASKS tasks of this reactor. */
static int64_t visit_in_parallel(struct place *place, rota_task_fn fn)
{
	unsigned index = rota_reactor_index(rota_reactor_current());
	struct visitor visitors[TASKS];
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < TASKS; i++) {
		visitors[i] = (struct visitor){ .place = place,
						.number = index * TASKS + (unsigned)i,
						.random = index * 1000 + (unsigned)i };
		T_EQUAL(rota_spawn(&scope, fn, &visitors[i]), 0);
	}
	return rota_scope_close(&scope);
}

static int64_t visit_from_here(void *arg)
{
	return visit_in_parallel(arg, visit);
}

static void place_init(struct place *place, unsigned rounds)
{
	*place = (struct place){ .rounds = rounds };
	rota_mutex_init(&place->mutex, ROTA_SHARED);
	rota_rwlock_init(&place->rwlock, ROTA_SHARED);
	rota_semaphore_init(&place->semaphore, ROTA_SHARED, 4);
	rota_condition_init(&place->condition, ROTA_SHARED);
	rota_barrier_init(&place->barrier, ROTA_SHARED, REACTORS * TASKS);
}

static void place_fini(struct place *place)
{
	rota_mutex_fini(&place->mutex);
	rota_rwlock_fini(&place->rwlock);
	rota_semaphore_fini(&place->semaphore);
	rota_condition_fini(&place->condition);
	rota_barrier_fini(&place->barrier);
}

static void test_shared_locks_exclude_and_lose_nothing_with_deadlines(void **state)
{
	struct place place;

	(void)state;
	for (unsigned i = t_rounds(20); i > 0; i--) {
		place_init(&place, 100);
		run_on_all(visit_from_here, &place);
		assert_int_equal(place.counted + place.refused, REACTORS * TASKS * place.rounds);
		assert_int_equal(place.written, place.written_again);
		assert_int_equal(rota_semaphore_try_acquire(&place.semaphore, 4), 0);
		assert_int_equal(rota_semaphore_try_acquire(&place.semaphore, 1), -EAGAIN);
		place_fini(&place);
	}
}

/* ---- condition and barrier ---- */

/* Each in turn, by number, round after round. */
static int64_t pass_the_baton(void *arg)
{
	struct visitor *visitor = arg;
	struct place *place = visitor->place;

	for (unsigned i = 0; i < place->rounds; i++) {
		int64_t order;

		T_EQUAL(rota_mutex_lock(&place->mutex), 0);
		while (place->baton != visitor->number)
			T_EQUAL(rota_condition_wait(&place->condition, &place->mutex), 0);
		place->baton++;
		rota_condition_notify_all(&place->condition);
		rota_mutex_unlock(&place->mutex);
		order = rota_barrier_wait(&place->barrier);
		T_CHECK(order >= 0);
		if (order == 0)
			place->counted++; /* one per round, and the barrier between */
		order = rota_barrier_wait(&place->barrier);
		T_CHECK(order >= 0);
		if (order == 0)
			place->baton = 0;
		T_CHECK(rota_barrier_wait(&place->barrier) >= 0);
	}
	return 0;
}

static int64_t pass_from_here(void *arg)
{
	return visit_in_parallel(arg, pass_the_baton);
}

static void test_shared_condition_and_barrier_keep_all_in_step(void **state)
{
	struct place place;

	(void)state;
	place_init(&place, 10);
	run_on_all(pass_from_here, &place);
	assert_int_equal(place.counted, 10);
	place_fini(&place);
}

/* ---- channels ---- */

#define MESSAGES 200

struct market {
	struct rota_channel channels[2];
	int64_t buffer[4];
	struct rota_latch senders_left;
	/* atomic */
	int64_t sent_sum, got_sum, sent_count, got_count;
};

struct trader {
	struct market *market;
	int64_t first;
};

static void count(int64_t *counter, int64_t by)
{
	__atomic_fetch_add(counter, by, __ATOMIC_RELAXED);
}

static int64_t sell(void *arg)
{
	struct trader *trader = arg;
	struct market *market = trader->market;

	for (int64_t number = trader->first; number < trader->first + MESSAGES; number++) {
		struct rota_select_case cases[] = {
			{ .kind = ROTA_SELECT_SEND,
			  .channel = &market->channels[number % 2],
			  .message = &number },
			{ .kind = ROTA_SELECT_SEND,
			  .channel = &market->channels[1 - number % 2],
			  .message = &number },
		};
		struct rota_scope scope;
		int status;

		rota_scope_open(&scope,
				number % 3 ? ROTA_NEVER : rota_after_ns(number * 7919 % 100000));
		status = number % 5 ? rota_channel_send(cases[0].channel, &number)
				    : rota_select(cases, 2);
		if (number % 5 == 0 && status >= 0)
			status = cases[status].status;
		T_CHECK(status == 0 || status == -ETIMEDOUT);
		rota_ignore(rota_scope_close(&scope), "late or not");
		if (status == 0) {
			count(&market->sent_sum, number);
			count(&market->sent_count, 1);
		}
	}
	rota_latch_count_down(&market->senders_left, 1);
	return 0;
}

/* From whichever channels are open: a closed one can always go on. */
static int64_t buy(void *arg)
{
	struct trader *trader = arg;
	struct market *market = trader->market;
	struct rota_channel *open[] = { &market->channels[0], &market->channels[1] };
	unsigned open_count = 2;

	while (open_count) {
		struct rota_select_case cases[2];
		struct rota_scope scope;
		int64_t number;
		int index;

		for (unsigned i = 0; i < open_count; i++)
			cases[i] = (struct rota_select_case){ .kind = ROTA_SELECT_RECEIVE,
							      .channel = open[i],
							      .message = &number };
		rota_scope_open(&scope, rota_after_ns(50000));
		index = rota_select(cases, open_count);
		rota_ignore(rota_scope_close(&scope), "late or not");
		T_CHECK(index >= 0 || index == -ETIMEDOUT);
		if (index >= 0 && cases[index].status == 0) {
			open[index] = open[--open_count];
		} else if (index >= 0) {
			count(&market->got_sum, number);
			count(&market->got_count, 1);
		}
	}
	return 0;
}

static int64_t trade_from_here(void *arg)
{
	unsigned index = rota_reactor_index(rota_reactor_current());
	struct trader traders[TASKS];
	struct market *market = arg;
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < TASKS; i++) {
		traders[i] = (struct trader){ .market = market,
					      .first = (index * TASKS + (unsigned)i) * 1000 };
		T_EQUAL(rota_spawn(&scope, i % 2 ? sell : buy, &traders[i]), 0);
	}
	if (index == 0) {
		T_EQUAL(rota_latch_wait(&market->senders_left), 0);
		for (int i = 0; i < 2; i++)
			rota_channel_close(&market->channels[i]);
	}
	return rota_scope_close(&scope);
}

static void test_shared_channels_lose_and_double_nothing_with_deadlines(void **state)
{
	(void)state;
	for (unsigned i = t_rounds(20); i > 0; i--) {
		struct market market = { .sent_sum = 0 };

		rota_latch_init(&market.senders_left, ROTA_SHARED, REACTORS * TASKS / 2);
		for (uint32_t k = 0; k < 2; k++)
			rota_channel_init(
				&market.channels[k],
				&(struct rota_channel_options){ .reach = ROTA_SHARED,
								.message_bytes = sizeof(int64_t),
								.capacity = k * 4,
								.buffer = market.buffer });
		run_on_all(trade_from_here, &market);
		assert_int_equal(market.got_count, market.sent_count);
		assert_int_equal(market.got_sum, market.sent_sum);
		for (int k = 0; k < 2; k++)
			rota_channel_fini(&market.channels[k]);
		rota_latch_fini(&market.senders_left);
	}
}

/* ---- from a thread that is no reactor ---- */

struct feed {
	struct rota_channel channel;
	int64_t buffer[8];
	struct rota_semaphore semaphore;
};

static void *feed_from_thread(void *arg)
{
	struct feed *feed = arg;

	for (int64_t i = 1; i <= 1000; i++)
		while (rota_channel_try_send(&feed->channel, &i) == -EAGAIN)
			sched_yield();
	rota_channel_close(&feed->channel);
	rota_semaphore_release(&feed->semaphore, 3);
	return NULL;
}

static int64_t eat(void *arg)
{
	struct feed *feed = arg;
	pthread_t thread;
	int64_t number, expected = 1;

	T_EQUAL(pthread_create(&thread, NULL, feed_from_thread, feed), 0);
	while (rota_channel_receive(&feed->channel, &number) > 0)
		T_EQUAL(number, expected++);
	T_EQUAL(expected, 1001);
	T_EQUAL(rota_semaphore_acquire(&feed->semaphore, 3), 0);
	T_EQUAL(pthread_join(thread, NULL), 0);
	return 0;
}

static void test_shared_objects_serve_threads_that_are_no_reactors(void **state)
{
	struct feed feed;

	(void)state;
	if (t_is_simulated())
		skip(); /* a thread of its own is outside its world */
	rota_channel_init(&feed.channel,
			  &(struct rota_channel_options){ .reach = ROTA_SHARED,
							  .message_bytes = sizeof(int64_t),
							  .capacity = 8,
							  .buffer = feed.buffer });
	rota_semaphore_init(&feed.semaphore, ROTA_SHARED, 0);
	assert_int_equal(t_run(eat, &feed), 0);
	rota_channel_fini(&feed.channel);
	rota_semaphore_fini(&feed.semaphore);
}

/* ---- bad use ---- */

static struct rota_mutex not_shared;

static int64_t lock_here(void *arg)
{
	(void)arg;
	T_EQUAL(rota_mutex_lock(&not_shared), 0);
	rota_mutex_unlock(&not_shared);
	return 0;
}

static void use_on_all(void)
{
	run_on_all(lock_here, NULL);
}

static void test_shared_local_object_on_a_second_reactor_is_caught_in_debug_builds(void **state)
{
	(void)state;
	if (!ROTA_DEBUG)
		skip();
	rota_mutex_init(&not_shared, ROTA_LOCAL);
	t_expect_death(use_on_all, "calls rota_mutex_lock() on a local object of reactor");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared_locks_exclude_and_lose_nothing_with_deadlines),
		cmocka_unit_test(test_shared_condition_and_barrier_keep_all_in_step),
		cmocka_unit_test(test_shared_channels_lose_and_double_nothing_with_deadlines),
		cmocka_unit_test(test_shared_objects_serve_threads_that_are_no_reactors),
		cmocka_unit_test(
			test_shared_local_object_on_a_second_reactor_is_caught_in_debug_builds),
	};

	return t_run_group("shared sync", tests, ROTA_ARRAY_COUNT(tests));
}
