/* SPDX-License-Identifier: MIT */
/*
 * Messages and calls between reactors, driven together on threads or, on the simulator, in turns.
 * What two threads count is atomic or comes back with a call.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <pthread.h>
#include <sched.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/mailbox.h>
#include <rota/reactor.h>

#include "tests/support/t_core.h"

#define REACTORS_MAX 4

/* Some reactors; `first` runs on the first of them, and then all stop. */
struct site_of_work {
	struct rota_reactor *reactors[REACTORS_MAX];
	unsigned count;
	rota_task_fn first;
	void *arg;
	struct rota_message start;
};

static struct site_of_work work;

static int64_t run_first_and_stop(void *arg)
{
	int64_t result = work.first(arg);

	T_EQUAL(result, 0);
	for (unsigned i = 0; i < work.count; i++)
		rota_reactor_stop(work.reactors[i]);
	return 0;
}

static void start_first(struct rota_message *message)
{
	(void)message;
	T_EQUAL(rota_spawn(rota_reactor_scope(work.reactors[0]), run_first_and_stop, work.arg), 0);
}

static void run_on(unsigned count, rota_task_fn first, void *arg)
{
	work = (struct site_of_work){
		.count = count, .first = first, .arg = arg, .start.run = start_first
	};
	t_reactors_create(work.reactors, count);
	rota_post(work.reactors[0], &work.start);
	assert_int_equal(rota_reactor_drive(work.reactors, count), 0);
	t_reactors_destroy(work.reactors, count);
}

/* ---- results ---- */

static int64_t tell_where_i_am(void *arg)
{
	T_CHECK(rota_task_current() != NULL);
	return *(int64_t *)arg + rota_reactor_index(rota_reactor_current());
}

static int64_t sleep_and_return(void *arg)
{
	T_EQUAL(rota_sleep_ms(1), 0);
	return *(int64_t *)arg;
}

static int64_t call_each(void *arg)
{
	int64_t values[] = { 1000, -EIO };

	(void)arg;
	for (unsigned i = 0; i < work.count; i++) {
		T_EQUAL(rota_call_on(work.reactors[i], tell_where_i_am, &values[0]), 1000 + i);
		T_EQUAL(rota_call_on(work.reactors[i], sleep_and_return, &values[0]), 1000);
		T_EQUAL(rota_call_on(work.reactors[i], sleep_and_return, &values[1]), -EIO);
		T_EQUAL(rota_yield(), 0); /* a failure over there is no failure of ours */
	}
	return 0;
}

static void test_mailbox_call_runs_over_there_and_returns_results_and_errors(void **state)
{
	(void)state;
	for (unsigned count = 1; count <= REACTORS_MAX; count++)
		run_on(count, call_each, NULL);
}

static int64_t call_for_two(void *arg)
{
	int64_t values[] = { 5, 6 };
	struct rota_call calls[2];

	(void)arg;
	rota_call_start(&calls[0], work.reactors[1], tell_where_i_am, &values[0]);
	rota_call_start(&calls[1], work.reactors[0], sleep_and_return, &values[1]);
	T_EQUAL(rota_await_all((struct rota_future *[]){ &calls[0].future, &calls[1].future }, 2),
		0);
	T_EQUAL(calls[0].future.result, 6);
	T_EQUAL(calls[1].future.result, 6);
	return 0;
}

static void test_mailbox_calls_are_futures(void **state)
{
	(void)state;
	run_on(2, call_for_two, NULL);
}

/* ---- cancellation ---- */

static unsigned ended; /* atomic */

static int64_t sleep_until_told(void *arg)
{
	int status = rota_sleep_until(ROTA_NEVER);

	T_CHECK(status == -ECANCELED || status == -ETIMEDOUT);
	T_EQUAL(rota_sleep_ms(1), status);
	__atomic_fetch_add(&ended, 1, __ATOMIC_RELAXED);
	return arg ? *(int64_t *)arg : status;
}

/* The call is done only when the task over there has ended. */
static int64_t cancel_calls(void *arg)
{
	struct rota_reactor *to = work.reactors[*(unsigned *)arg];
	struct rota_timeout timeout;
	int64_t late = 99;
	unsigned expected = 0;

	__atomic_store_n(&ended, 0, __ATOMIC_RELAXED);
	for (int pause_us = 0; pause_us <= 2000; pause_us = pause_us * 2 + 20) {
		struct rota_call lost, won;

		/* at once: it has not left; in 20 us … : on its way; in ms: running */
		rota_call_start(&lost, to, sleep_until_told, NULL);
		rota_call_start(&won, to, sleep_until_told, &late);
		rota_timeout_start(&timeout, rota_after_ns(pause_us * ROTA_NS_PER_US));
		T_EQUAL(rota_await_any((struct rota_future *[]){ &lost.future, &timeout.future,
								 &won.future },
				       3),
			1);
		expected += 2;
		T_EQUAL(__atomic_load_n(&ended, __ATOMIC_RELAXED), expected);
		T_EQUAL(lost.future.result, -ECANCELED);
		T_EQUAL(won.future.result, 99); /* it came anyway */
	}
	return 0;
}

static int64_t cancel_calls_at_once(void *arg)
{
	struct rota_future done;
	int64_t value = 3;

	rota_future_init(&done);
	rota_future_complete(&done, 0);
	for (int i = 0; i < (int)t_rounds(1000); i++) {
		struct rota_call call;

		rota_call_start(&call, work.reactors[*(unsigned *)arg],
				i % 2 ? tell_where_i_am : sleep_until_told, i % 2 ? &value : NULL);
		T_EQUAL(rota_await_any((struct rota_future *[]){ &done, &call.future }, 2), 0);
		T_CHECK(rota_future_is_done(&call.future));
		T_EQUAL(call.future.result, i % 2 ? 3 + (int)*(unsigned *)arg : -ECANCELED);
	}
	return 0;
}

static void test_mailbox_call_cancelled_at_any_time_ends_over_there_first(void **state)
{
	(void)state;
	for (unsigned to = 0; to < 2; to++) {
		run_on(2, cancel_calls, &to);
		run_on(2, cancel_calls_at_once, &to);
	}
}

/* The cancel and the result cross: short calls, cancelled about when they return. */
static int64_t cross(void *arg)
{
	int64_t value = 3;

	(void)arg;
	for (int i = 0; i < (int)t_rounds(3000); i++) {
		struct rota_timeout timeout;
		struct rota_call call;
		struct rota_scope scope;
		int64_t result;

		rota_scope_open(&scope, rota_after_ns(i % 100 * ROTA_NS_PER_US));
		rota_call_start(&call, work.reactors[1], tell_where_i_am, &value);
		if (i % 3) {
			result = rota_await(&call.future);
			T_CHECK(result == 4 || result == -ETIMEDOUT);
		} else {
			rota_timeout_start(&timeout, 0);
			rota_ignore(rota_await_any((struct rota_future *[]){ &timeout.future,
									     &call.future },
						   2),
				    "either");
		}
		T_CHECK(rota_future_is_done(&call.future));
		T_EQUAL(call.future.result, 4);
		result = rota_scope_close(&scope);
		T_CHECK(result == 0 || result == -ETIMEDOUT);
	}
	return 0;
}

static void test_mailbox_cancel_and_result_may_cross(void **state)
{
	(void)state;
	run_on(2, cross, NULL);
}

static int64_t report_deadline(void *arg)
{
	*(rota_ns *)arg = rota_deadline();
	return 0;
}

static int64_t time_out_there(void *arg)
{
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ETIMEDOUT);
	T_LESS(*(rota_ns *)arg - 1, rota_now());
	T_EQUAL(rota_why()->kind, ROTA_CANCEL_DEADLINE);
	return -ETIMEDOUT;
}

static int64_t shield_there(void *arg)
{
	struct rota_scope shield;

	T_CHECK(rota_sleep_until(ROTA_NEVER) < 0);
	rota_shield(&shield, rota_after_ms(60000));
	T_EQUAL(rota_sleep_ms(3), 0);
	T_EQUAL(rota_scope_close(&shield), 0);
	return *(int64_t *)arg;
}

static int64_t call_with_deadline(void *arg)
{
	struct rota_scope scope;
	rota_ns deadline = rota_after_ms(60000), seen;
	int64_t value = 17;

	(void)arg;
	T_EQUAL(rota_call_on(work.reactors[1], report_deadline, &seen), 0);
	T_EQUAL(seen, ROTA_NEVER);
	rota_scope_open(&scope, deadline);
	T_EQUAL(rota_call_on(work.reactors[1], report_deadline, &seen), 0);
	T_EQUAL(seen, deadline);
	T_EQUAL(rota_scope_close(&scope), 0);

	rota_scope_open(&scope, deadline = rota_after_ms(2));
	T_EQUAL(rota_call_on(work.reactors[1], time_out_there, &deadline), -ETIMEDOUT);
	T_EQUAL(rota_call_on(work.reactors[1], report_deadline, &seen), -ETIMEDOUT);
	T_EQUAL(rota_scope_close(&scope), -ETIMEDOUT);

	/* Clean-up over there takes longer; who made the call waits for it, and gets its result. */
	rota_scope_open(&scope, rota_after_ms(2));
	T_EQUAL(rota_call_on(work.reactors[1], shield_there, &value), 17);
	T_EQUAL(rota_scope_close(&scope), -ETIMEDOUT);
	return 0;
}

static void test_mailbox_call_carries_the_deadline_along(void **state)
{
	(void)state;
	run_on(2, call_with_deadline, NULL);
}

/* ---- stopping ---- */

static int64_t call_one_that_stops(void *arg)
{
	int64_t value = 1;
	int64_t result;

	(void)arg;
	T_EQUAL(rota_call_on(work.reactors[1], tell_where_i_am, &value), 2);
	rota_reactor_stop(work.reactors[1]);
	T_EQUAL(rota_call_on(work.reactors[1], tell_where_i_am, &value), -ROTA_ECLOSING);
	T_EQUAL(rota_sleep_ms(5), 0); /* it has stopped by now, and still answers */
	T_EQUAL(rota_call_on(work.reactors[1], tell_where_i_am, &value), -ROTA_ECLOSING);
	rota_reactor_stop(work.reactors[2]);
	result = rota_call_on(work.reactors[2], sleep_until_told, &value);
	T_CHECK(result == -ROTA_ECLOSING || result == 1);
	return 0;
}

static void test_mailbox_call_to_a_stopping_reactor_is_refused(void **state)
{
	(void)state;
	run_on(3, call_one_that_stops, NULL);
}

static int64_t call_for_ever(void *arg)
{
	unsigned next = (rota_reactor_index(rota_reactor_current()) + 1) % work.count;
	int64_t result;

	(void)arg;
	result = rota_call_on(work.reactors[next], sleep_until_told, NULL);
	T_CHECK(result == -ECANCELED || result == -ROTA_ECLOSING);
	return result;
}

static int64_t stop_in_the_middle(void *arg)
{
	struct rota_scope *root = rota_reactor_scope(rota_reactor_current());

	(void)arg;
	for (unsigned i = 0; i < t_rounds(500); i++)
		T_EQUAL(rota_spawn(root, call_for_ever, NULL), 0);
	T_EQUAL(rota_sleep_ms(1), 0);
	return 0;
}

static int64_t spread_and_stop(void *arg)
{
	for (unsigned i = 0; i < work.count; i++)
		T_EQUAL(rota_call_on(work.reactors[i], stop_in_the_middle, arg), 0);
	return 0;
}

static void test_mailbox_calls_in_a_ring_end_when_all_stop(void **state)
{
	(void)state;
	t_log_keep(); /* "closing" is a failure that the root logs */
	run_on(3, spread_and_stop, NULL);
	t_log_stop();
}

/* ---- many ---- */

#define CALLERS 50
#define CALLS_EACH 200

static int64_t call_around(void *arg)
{
	unsigned mine = rota_reactor_index(rota_reactor_current());

	(void)arg;
	for (unsigned i = 0; i < t_rounds(CALLS_EACH); i++) {
		int64_t value = i;
		unsigned to = (mine + i) % work.count;

		T_EQUAL(rota_call_on(work.reactors[to], tell_where_i_am, &value), i + to);
	}
	return 0;
}

static int64_t spawn_callers(void *arg)
{
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	for (unsigned i = 0; i < CALLERS; i++)
		T_EQUAL(rota_spawn(&scope, call_around, arg), 0);
	return rota_scope_close(&scope);
}

static int64_t call_from_everywhere(void *arg)
{
	struct rota_call calls[REACTORS_MAX];
	struct rota_future *futures[REACTORS_MAX];

	(void)arg;
	for (unsigned i = 0; i < work.count; i++) {
		rota_call_start(&calls[i], work.reactors[i], spawn_callers, NULL);
		futures[i] = &calls[i].future;
	}
	T_EQUAL(rota_await_all(futures, work.count), 0);
	for (unsigned i = 0; i < work.count; i++)
		T_EQUAL(futures[i]->result, 0);
	return 0;
}

static void test_mailbox_thousands_of_calls_in_all_directions_return(void **state)
{
	(void)state;
	run_on(2, call_from_everywhere, NULL);
	run_on(4, call_from_everywhere, NULL);
}

/* ---- messages ---- */

#define SENDERS 3
#define POSTS_EACH 20000

struct letter {
	struct rota_message message;
	unsigned sender;
	unsigned number;
};

struct desk {
	struct rota_reactor *to;
	struct letter *letters; /* SENDERS * POSTS_EACH */
	unsigned arrived[SENDERS];
	unsigned senders_made; /* atomic */
};

static struct desk desk;

static void read_letter(struct rota_message *message)
{
	struct letter *letter = ROTA_CONTAINER_OF(message, struct letter, message);

	T_CHECK(rota_reactor_current() == desk.to);
	T_CHECK(rota_task_current() == NULL);
	T_EQUAL(letter->number, desk.arrived[letter->sender]);
	if (++desk.arrived[letter->sender] < POSTS_EACH)
		return;
	for (unsigned i = 0; i < SENDERS; i++)
		if (desk.arrived[i] < POSTS_EACH)
			return;
	rota_reactor_stop(desk.to);
}

static void *write_letters(void *arg)
{
	unsigned sender = __atomic_fetch_add(&desk.senders_made, 1, __ATOMIC_RELAXED);

	(void)arg;
	for (unsigned i = 0; i < POSTS_EACH; i++) {
		struct letter *letter = &desk.letters[sender * POSTS_EACH + i];

		*letter = (struct letter){ .message.run = read_letter,
					   .sender = sender,
					   .number = i };
		rota_post(desk.to, &letter->message);
		if (i % 64 == 0)
			sched_yield(); /* so that the reactor goes to sleep again and again */
	}
	return NULL;
}

static void test_mailbox_posts_from_threads_all_arrive_in_each_ones_order(void **state)
{
	pthread_t threads[SENDERS];

	(void)state;
	if (t_is_simulated())
		skip(); /* one thread */
	desk = (struct desk){ .letters = calloc(SENDERS * POSTS_EACH, sizeof(struct letter)) };
	assert_non_null(desk.letters);
	t_reactors_create(&desk.to, 1);
	for (unsigned i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_letters, NULL), 0);
	assert_int_equal(rota_reactor_drive(&desk.to, 1), 0);
	for (unsigned i = 0; i < SENDERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(desk.arrived[i], POSTS_EACH);
	}
	t_reactors_destroy(&desk.to, 1);
	free(desk.letters);
}

struct ball {
	struct rota_message message;
	unsigned hops;
	struct rota_future *over; /* of the first reactor's */
};

static void end_of_game(struct rota_message *message)
{
	rota_future_complete(ROTA_CONTAINER_OF(message, struct ball, message)->over, 1);
}

/* `run` may reuse the message: it is sent on at once. */
static void hit(struct rota_message *message)
{
	struct ball *ball = ROTA_CONTAINER_OF(message, struct ball, message);
	unsigned mine = rota_reactor_index(rota_reactor_current());

	if (++ball->hops < 1000) {
		rota_post(work.reactors[(mine + ball->hops) % work.count], message);
		return;
	}
	message->run = end_of_game;
	rota_post(work.reactors[0], message);
}

static int64_t play(void *arg)
{
	struct rota_future overs[20], *futures[20];
	struct ball balls[20];

	(void)arg;
	for (unsigned i = 0; i < 20; i++) {
		rota_future_init(&overs[i]);
		futures[i] = &overs[i];
		balls[i] = (struct ball){ .message.run = hit, .over = &overs[i] };
		rota_post(work.reactors[i % work.count], &balls[i].message);
	}
	T_EQUAL(rota_await_all(futures, 20), 0);
	return 0;
}

static void test_mailbox_message_may_be_sent_on_by_its_receiver(void **state)
{
	(void)state;
	run_on(1, play, NULL);
	run_on(3, play, NULL);
}

static int64_t ping(void *arg)
{
	struct rota_reactor_stats before, after;
	unsigned rounds = t_rounds(2000);
	int64_t value = 0;

	rota_reactor_stats(work.reactors[0], &before);
	for (unsigned i = 0; i < rounds; i++)
		T_EQUAL(rota_call_on(work.reactors[1], tell_where_i_am, &value), 1);
	rota_reactor_stats(work.reactors[0], &after);
	T_EQUAL(after.messages - before.messages, rounds);
	(void)arg;
	return 0;
}

/* Each call puts both to sleep and wakes both; a lost wake-up would be a hang. */
static void test_mailbox_wakes_a_sleeping_receiver_each_time(void **state)
{
	(void)state;
	run_on(2, ping, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mailbox_call_runs_over_there_and_returns_results_and_errors),
		cmocka_unit_test(test_mailbox_calls_are_futures),
		cmocka_unit_test(test_mailbox_call_cancelled_at_any_time_ends_over_there_first),
		cmocka_unit_test(test_mailbox_cancel_and_result_may_cross),
		cmocka_unit_test(test_mailbox_call_carries_the_deadline_along),
		cmocka_unit_test(test_mailbox_call_to_a_stopping_reactor_is_refused),
		cmocka_unit_test(test_mailbox_calls_in_a_ring_end_when_all_stop),
		cmocka_unit_test(test_mailbox_thousands_of_calls_in_all_directions_return),
		cmocka_unit_test(test_mailbox_posts_from_threads_all_arrive_in_each_ones_order),
		cmocka_unit_test(test_mailbox_message_may_be_sent_on_by_its_receiver),
		cmocka_unit_test(test_mailbox_wakes_a_sleeping_receiver_each_time),
	};

	return t_run_group("mailbox", tests, ROTA_ARRAY_COUNT(tests));
}
