/* SPDX-License-Identifier: MIT */
/*
 * A reactor inside a foreign loop, here one of poll(2): the loop waits when it may, is woken for
 * whatever happens, and makes no turn when nothing does. What other threads count is atomic.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <poll.h>
#include <pthread.h>
#include <sched.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/mailbox.h>
#include <rota/reactor.h>
#include <rota/timer.h>

#include "tests/support/t_core.h"

static struct rota_reactor *reactor;
static int fd;

/* ---- the loop ---- */

static int begin(void **state)
{
	(void)state;
	t_reactors_create(&reactor, 1);
	fd = rota_reactor_pollable(reactor);
	return 0;
}

static int end(void **state)
{
	(void)state;
	rota_reactor_destroy(reactor);
	return 0;
}

static void skip_where_time_stands_still(void)
{
	if (t_is_simulated())
		skip();
}

/* Wait as a host does: in milliseconds, rounded up. Returns whether the descriptor is readable. */
static bool wait_until(rota_ns until)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	int timeout_ms = -1;

	if (until != ROTA_NEVER) {
		rota_ns left = until - rota_now();

		timeout_ms = left <= 0 ? 0 : (int)(left / ROTA_NS_PER_MS) + 1;
	}
	return poll(&pollfd, 1, timeout_ms) > 0;
}

static void go_round(void)
{
	rota_ns until = rota_reactor_prepare(reactor);

	if (wait_until(until) || until <= rota_now())
		assert_in_range(rota_reactor_run_once(reactor, 0), 0, 1);
}

/* Until the loop may wait, and nothing that came of itself is left. Returns until when. */
static rota_ns settle(void)
{
	rota_ns until;

	while (!(until = rota_reactor_prepare(reactor)) || wait_until(0))
		assert_in_range(rota_reactor_run_once(reactor, 0), 0, 1);
	return until;
}

static void stop_and_go_on_until_it_has(void)
{
	rota_reactor_stop(reactor);
	while (!rota_reactor_has_stopped(reactor))
		go_round();
}

/* ---- tasks for it ---- */

struct start {
	struct rota_message message;
	rota_task_fn fn;
	void *arg;
};

static void start_task(struct rota_message *message)
{
	struct start *start = ROTA_CONTAINER_OF(message, struct start, message);

	T_EQUAL(rota_spawn(rota_reactor_scope(rota_reactor_current()), start->fn, start->arg), 0);
}

static void post_start(struct start *start, rota_task_fn fn, void *arg)
{
	*start = (struct start){ .message.run = start_task, .fn = fn, .arg = arg };
	rota_post(reactor, &start->message);
}

static int64_t sleep_some(void *arg)
{
	int *steps = arg;

	while (*steps < 3) {
		T_EQUAL(rota_sleep_ms(1), 0);
		++*steps;
	}
	return 0;
}

static int64_t await_future(void *arg)
{
	struct rota_future *future = arg;

	T_EQUAL(rota_await(future), 7);
	return 0;
}

static uint64_t turns(void)
{
	struct rota_reactor_stats stats;

	rota_reactor_stats(reactor, &stats);
	return stats.turns;
}

/* ---- tests ---- */

static void test_foreign_loop_of_a_simulated_reactor_is_refused(void **state)
{
	(void)state;
	if (!t_is_simulated())
		skip();
	assert_int_equal(fd, -ENOTSUP);
	assert_true(rota_reactor_prepare(reactor) == 0);
}

static void test_foreign_loop_with_nothing_to_do_makes_no_turn(void **state)
{
	uint64_t before;

	(void)state;
	skip_where_time_stands_still();
	assert_true(settle() == ROTA_NEVER);
	before = turns();
	for (int i = 0; i < 100; i++) {
		assert_true(rota_reactor_prepare(reactor) == ROTA_NEVER);
		assert_false(wait_until(0));
	}
	assert_int_equal(turns(), before);
	stop_and_go_on_until_it_has();
	assert_true(rota_reactor_prepare(reactor) == ROTA_NEVER);
}

static void test_foreign_loop_comes_back_for_sleepers(void **state)
{
	struct start start;
	int steps = 0;

	(void)state;
	skip_where_time_stands_still();
	post_start(&start, sleep_some, &steps);
	assert_true(rota_reactor_prepare(reactor) == 0);
	while (steps < 3)
		go_round();
	assert_true(settle() == ROTA_NEVER);
	stop_and_go_on_until_it_has();
}

/* The loop's own callback completes what a task awaits: the next look before a wait tells. */
static void test_foreign_loop_whose_callback_completes_a_future_does_not_wait(void **state)
{
	struct rota_future future;
	struct start start;

	(void)state;
	skip_where_time_stands_still();
	rota_future_init(&future);
	post_start(&start, await_future, &future);
	assert_true(settle() == ROTA_NEVER);
	rota_future_complete(&future, 7);
	assert_true(rota_reactor_prepare(reactor) == 0);
	assert_true(settle() == ROTA_NEVER);
	stop_and_go_on_until_it_has();
}

static void note(struct rota_message *message)
{
	(void)message;
}

static void test_foreign_loop_whose_callback_posts_is_told(void **state)
{
	struct rota_message message = { .run = note };

	(void)state;
	skip_where_time_stands_still();
	for (int i = 0; i < 20; i++) {
		assert_true(settle() == ROTA_NEVER);
		assert_false(wait_until(0));
		rota_post(reactor, &message);
		/* either will do: it waits and is woken, or it asks again */
		assert_true(wait_until(0));
		assert_true(rota_reactor_prepare(reactor) == 0);
	}
	settle();
	stop_and_go_on_until_it_has();
}

enum { MESSAGES = 5000 };

struct letter {
	struct rota_message message;
	uint32_t arrived; /* atomic */
};

static void letter_arrived(struct rota_message *message)
{
	struct letter *letter = ROTA_CONTAINER_OF(message, struct letter, message);

	__atomic_add_fetch(&letter->arrived, 1, __ATOMIC_RELEASE); /* partner: write_letters */
}

static void *write_letters(void *arg)
{
	struct letter *letter = arg;

	for (uint32_t i = 1; i <= MESSAGES; i++) {
		rota_post(reactor, &letter->message);
		/* partner: letter_arrived */
		while (__atomic_load_n(&letter->arrived, __ATOMIC_ACQUIRE) < i)
			sched_yield();
	}
	rota_reactor_stop(reactor);
	return NULL;
}

/* Each is awaited before the next is sent, so one that is lost leaves both sides waiting. */
static void test_foreign_loop_loses_no_message_from_another_thread(void **state)
{
	struct letter letter = { .message.run = letter_arrived };
	pthread_t thread;
	uint64_t before;

	(void)state;
	skip_where_time_stands_still();
	settle();
	before = turns();
	assert_int_equal(pthread_create(&thread, NULL, write_letters, &letter), 0);
	while (!rota_reactor_has_stopped(reactor))
		go_round();
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(letter.arrived, MESSAGES);
	/* One that takes it, one that finds nothing; now and then one for nothing. No polling. */
	assert_in_range(turns() - before, MESSAGES, 6 * MESSAGES);
}

/* Whoever posts next must not try to wake what is gone. */
static void test_foreign_loop_that_ends_after_a_wait_leaves_no_trace(void **state)
{
	struct rota_message message = { .run = note };

	(void)state;
	skip_where_time_stands_still();
	assert_true(settle() == ROTA_NEVER);
	rota_reactor_close(reactor);
	rota_post(reactor, &message);
	assert_true(rota_reactor_prepare(reactor) == 0); /* to be opened */
	fd = rota_reactor_pollable(reactor);
	assert_true(fd >= 0);
	settle();
	stop_and_go_on_until_it_has();
}

/* A turn may also wait by itself, as if there were no other loop. */
static void test_foreign_loop_may_leave_the_waiting_to_a_turn(void **state)
{
	struct start start;
	int steps = 0;

	(void)state;
	skip_where_time_stands_still();
	settle();
	post_start(&start, sleep_some, &steps);
	while (steps < 3)
		assert_in_range(rota_reactor_run_once(reactor, rota_reactor_next_deadline(reactor)),
				0, 1);
	stop_and_go_on_until_it_has();
}

/* ---- mistakes ---- */

static int64_t prepare_inside(void *arg)
{
	return rota_reactor_prepare(arg);
}

static void run_prepare_inside(void)
{
	struct start start;

	post_start(&start, prepare_inside, reactor);
	rota_ignore(rota_reactor_run(reactor), "it dies");
}

static void run_prepare_alone(void)
{
	struct rota_reactor *other;

	t_reactors_create(&other, 1);
	T_EQUAL(rota_reactor_run_once(other, 0), 0);
	rota_ignore(rota_reactor_prepare(other), "it dies");
}

static void test_foreign_loop_inside_a_turn_or_without_a_descriptor_is_asserted(void **state)
{
	(void)state;
	t_expect_death(run_prepare_inside, "!rota__current_reactor");
	skip_where_time_stands_still();
	t_expect_death(run_prepare_alone, "pollable_fd >= 0");
}

#define FOREIGN_TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FOREIGN_TEST(test_foreign_loop_of_a_simulated_reactor_is_refused),
		FOREIGN_TEST(test_foreign_loop_with_nothing_to_do_makes_no_turn),
		FOREIGN_TEST(test_foreign_loop_comes_back_for_sleepers),
		FOREIGN_TEST(test_foreign_loop_whose_callback_completes_a_future_does_not_wait),
		FOREIGN_TEST(test_foreign_loop_whose_callback_posts_is_told),
		FOREIGN_TEST(test_foreign_loop_loses_no_message_from_another_thread),
		FOREIGN_TEST(test_foreign_loop_that_ends_after_a_wait_leaves_no_trace),
		FOREIGN_TEST(test_foreign_loop_may_leave_the_waiting_to_a_turn),
		FOREIGN_TEST(test_foreign_loop_inside_a_turn_or_without_a_descriptor_is_asserted),
	};

	return t_run_group("foreign loop", tests, ROTA_ARRAY_COUNT(tests));
}
