/* SPDX-License-Identifier: MIT */
/*
 * Reactors: made, opened, stepped by hand, driven together, stopped, and given back; with engines
 * that do not open or break. Broken engines are copies of a real one's table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/mailbox.h>
#include <rota/memory.h>
#include <rota/net.h>

#include "framework/reactor_internal.h"
#include "tests/support/t_alloc.h"
#include "tests/support/t_core.h"

static int64_t sleep_for_ever(void *arg)
{
	(void)arg;
	return rota_sleep_until(ROTA_NEVER);
}

static int64_t return_value(void *arg)
{
	return *(int64_t *)arg;
}

/* ---- life ---- */

static void test_reactor_never_run_can_be_opened_and_destroyed(void **state)
{
	struct rota_reactor_options options = t_reactor_options();
	struct rota_reactor *reactor;

	(void)state;
	options.index = 3;
	assert_int_equal(rota_reactor_create(&options, &reactor), 0);
	assert_int_equal(rota_reactor_index(reactor), 3);
	assert_int_equal(rota_reactor_cpu(reactor), -1);
	assert_null(rota_reactor_backend(reactor));
	assert_false(rota_reactor_has_stopped(reactor));
	rota_reactor_close(reactor);
	rota_reactor_destroy(reactor);

	assert_int_equal(rota_reactor_create(&options, &reactor), 0);
	assert_int_equal(rota_reactor_open(reactor), 0);
	assert_int_equal(rota_reactor_open(reactor), 0);
	assert_non_null(rota_reactor_backend(reactor));
	rota_reactor_close(reactor);
	assert_null(rota_reactor_backend(reactor));
	rota_reactor_destroy(reactor);
	rota_reactor_destroy(NULL);
}

static void test_reactor_table_full_says_so(void **state)
{
	static struct rota_reactor *reactors[ROTA_REACTORS_MAX];
	struct rota_reactor_options options = t_reactor_options();
	struct rota_reactor *one_more;

	(void)state;
	t_reactors_create(reactors, ROTA_REACTORS_MAX);
	assert_int_equal(rota_reactor_create(&options, &one_more), -EMFILE);
	rota_reactor_destroy(reactors[17]);
	assert_int_equal(rota_reactor_create(&options, &reactors[17]), 0);
	t_reactors_destroy(reactors, ROTA_REACTORS_MAX);
}

static void make_and_run(void *arg)
{
	int64_t value = 5;
	int64_t result = t_run(return_value, &value);

	(void)arg;
	assert_true(result == 5 || result == -ENOMEM || result == -ROTA_ESTACK);
}

static void test_reactor_every_failed_allocation_is_survived(void **state)
{
	(void)state;
	t_alloc_install();
	t_log_keep();
	assert_true(t_alloc_sweep(make_and_run, NULL) >= 2 * 5);
	t_log_stop();
	t_alloc_remove();
}

static void test_reactor_run_returns_the_first_tasks_result(void **state)
{
	int64_t values[] = { 0, 123, -EIO, INT64_MAX };

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(values); i++)
		assert_int_equal(t_run(return_value, &values[i]), values[i]);
}

static int64_t note_shutdown(void *arg)
{
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ECANCELED);
	T_EQUAL(rota_why()->kind, ROTA_CANCEL_SHUTDOWN);
	++*(int *)arg;
	return -ECANCELED;
}

static int64_t leave_others_behind(void *arg)
{
	struct rota_scope *root = rota_reactor_scope(rota_reactor_current());

	for (int i = 0; i < 2000; i++)
		T_EQUAL(rota_spawn(root, note_shutdown, arg), 0);
	T_EQUAL(rota_yield(), 0);
	return 1;
}

static void test_reactor_run_ends_when_all_tasks_have_been_told_and_ended(void **state)
{
	int ended = 0;

	(void)state;
	t_log_keep();
	assert_int_equal(t_run(leave_others_behind, &ended), 1);
	t_log_stop();
	assert_int_equal(ended, 2000);
	assert_int_equal(t_log_count(""), 0);
}

/* ---- by hand ---- */

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

static void post_start(struct rota_reactor *reactor, struct start *start, rota_task_fn fn,
		       void *arg)
{
	*start = (struct start){ .message.run = start_task, .fn = fn, .arg = arg };
	rota_post(reactor, &start->message);
}

static int64_t step_twice_then_sleep(void *arg)
{
	int *step = arg;

	++*step;
	T_EQUAL(rota_yield(), 0);
	++*step;
	T_EQUAL(rota_sleep_ms(2), 0);
	++*step;
	return 0;
}

static void test_reactor_stepped_by_hand_tells_what_it_did_and_when_to_come_back(void **state)
{
	struct rota_reactor *reactor;
	struct start start;
	rota_ns next;
	int step = 0;

	(void)state;
	t_reactors_create(&reactor, 1);
	assert_int_equal(rota_reactor_next_deadline(reactor), 0); /* to be opened */
	assert_int_equal(rota_reactor_run_once(reactor, 0), 0);
	assert_true(rota_reactor_next_deadline(reactor) == ROTA_NEVER);
	post_start(reactor, &start, step_twice_then_sleep, &step);
	assert_int_equal(rota_reactor_next_deadline(reactor), 0);
	assert_int_equal(rota_reactor_run_once(reactor, 0), 1);
	assert_int_equal(step, 2); /* what a message makes ready runs in the same turn */
	assert_null(rota_reactor_current());
	next = rota_reactor_next_deadline(reactor);
	assert_true(next > 0);
	assert_true(next != ROTA_NEVER);
	while (step < 3)
		assert_in_range(rota_reactor_run_once(reactor, rota_reactor_next_deadline(reactor)),
				0, 1);
	assert_true(rota_reactor_next_deadline(reactor) == ROTA_NEVER);
	assert_false(rota_reactor_has_stopped(reactor));
	rota_reactor_stop(reactor);
	rota_reactor_stop(reactor);
	while (!rota_reactor_has_stopped(reactor))
		assert_in_range(rota_reactor_run_once(reactor, ROTA_NEVER), 0, 1);
	t_reactors_destroy(&reactor, 1);
}

static void do_nothing(struct rota_message *message)
{
	(void)message;
}

/* Who posted it may have changed what the driver's loop looks at: it must get to look. */
static void test_reactor_turn_that_took_a_message_does_not_wait(void **state)
{
	struct rota_message message = { .run = do_nothing };
	struct rota_reactor *reactor;

	(void)state;
	t_reactors_create(&reactor, 1);
	for (int i = 0; i < 10; i++) {
		rota_post(reactor, &message);
		assert_int_equal(rota_reactor_run_once(reactor, ROTA_NEVER), 1);
	}
	t_reactors_destroy(&reactor, 1);
}

static void test_reactor_turn_waits_until_its_deadline_and_no_longer(void **state)
{
	struct rota_reactor *reactor;
	rota_ns start, deadline;

	(void)state;
	if (t_is_simulated())
		skip(); /* outside of drive(), simulated time stands still */
	t_reactors_create(&reactor, 1);
	assert_int_equal(rota_reactor_open(reactor), 0);
	start = rota_now();
	deadline = start + 3 * ROTA_NS_PER_MS;
	while (rota_now() < deadline)
		assert_int_equal(rota_reactor_run_once(reactor, deadline), 0);
	assert_true(reactor->stats.turns < 100);
	t_reactors_destroy(&reactor, 1);
}

static unsigned clock_reads;

static rota_ns count_and_read(struct rota_backend *self)
{
	clock_reads++;
	return t_engine->now(self);
}

static unsigned reads_of_a_turn(struct rota_reactor *reactor)
{
	clock_reads = 0;
	assert_in_range(rota_reactor_run_once(reactor, 0), 0, 1);
	return clock_reads;
}

/* Where it begins, after tasks have run, and where it ends if anything was done. */
static void test_reactor_turn_reads_the_clock_only_for_what_was_done(void **state)
{
	struct rota_message message = { .run = do_nothing };
	struct rota_backend_ops engine = *t_engine;
	struct rota_reactor_options options = t_reactor_options();
	struct rota_reactor *reactor;
	struct start start;
	int64_t value = 0;

	(void)state;
	engine.now = count_and_read;
	options.engine = &engine;
	assert_int_equal(rota_reactor_create(&options, &reactor), 0);
	assert_int_equal(rota_reactor_open(reactor), 0);
	assert_int_equal(reads_of_a_turn(reactor), 1);
	rota_post(reactor, &message);
	assert_int_equal(reads_of_a_turn(reactor), 2);
	post_start(reactor, &start, return_value, &value);
	assert_int_equal(reads_of_a_turn(reactor), t_is_simulated() ? 2 : 3);
	assert_int_equal(reads_of_a_turn(reactor), 1);
	rota_reactor_destroy(reactor);
}

/* What its driver does between two turns is no part of either. */
static void test_reactor_turn_by_hand_after_a_wait_begins_when_it_is_made(void **state)
{
	const rota_ns away_ns = 20 * ROTA_NS_PER_MS;
	struct rota_message message = { .run = do_nothing };
	struct rota_reactor *reactor;
	rota_ns before;

	(void)state;
	if (t_is_simulated())
		skip(); /* outside of drive(), simulated time stands still */
	t_reactors_create(&reactor, 1);
	while (!reactor->turn_has_begun)
		assert_int_equal(rota_reactor_run_once(reactor, rota_after_ms(1)), 0);
	before = reactor->now;
	usleep((unsigned)(away_ns / ROTA_NS_PER_US));
	rota_post(reactor, &message);
	reactor->stats.longest_turn_ns = 0;
	assert_int_equal(rota_reactor_run_once(reactor, 0), 1);
	assert_true(reactor->now - before >= away_ns);
	T_LESS(reactor->stats.longest_turn_ns, (uint64_t)(reactor->now - before));
	t_reactors_destroy(&reactor, 1);
}

static int64_t nest(void *arg)
{
	rota_ignore(rota_reactor_run_once(arg, 0), "asserted");
	return 0;
}

static void run_nested(void)
{
	struct rota_reactor *reactors[2];
	struct start start;

	t_reactors_create(reactors, 2);
	post_start(reactors[0], &start, nest, reactors[1]);
	rota_ignore(rota_reactor_run(reactors[0]), "it dies");
}

static struct rota_reactor *nested;

static void nest_in_callback(struct rota_message *message)
{
	(void)message;
	rota_ignore(rota_reactor_run_once(nested, 0), "asserted");
}

static void run_in_callback(void)
{
	struct rota_message message = { .run = nest_in_callback };

	t_reactors_create(&nested, 1);
	rota_post(nested, &message);
	rota_ignore(rota_reactor_run_once(nested, 0), "it dies");
}

static void run_close_with_tasks(void)
{
	struct rota_reactor *reactor;
	struct start start;

	t_reactors_create(&reactor, 1);
	post_start(reactor, &start, sleep_for_ever, NULL);
	T_EQUAL(rota_reactor_run_once(reactor, 0), 1);
	rota_reactor_close(reactor);
}

static void test_reactor_nested_turns_and_closing_with_tasks_are_asserted(void **state)
{
	(void)state;
	t_expect_death(run_nested, "!rota__current_reactor");
	t_expect_death(run_nested, "task \"start->fn\" spawned at");
	t_expect_death(run_in_callback, "a callback of reactor 0 drives reactor 0");
	t_expect_death(run_close_with_tasks, "assertion failed");
}

/* ---- posts that leave late ---- */

struct poster {
	struct rota_op op;
	struct rota_message message;
	struct rota_reactor *to;
	unsigned arrived;
};

static void note_arrival(struct rota_message *message)
{
	ROTA_CONTAINER_OF(message, struct poster, message)->arrived++;
}

static void post_on_completion(struct rota_op *op, const struct rota_completion *completion)
{
	struct poster *poster = ROTA_CONTAINER_OF(op, struct poster, op);

	T_EQUAL(completion->result, POLLIN);
	rota_post(poster->to, &poster->message);
}

static void submit_poll(struct rota_message *message)
{
	struct poster *poster = ROTA_CONTAINER_OF(message, struct poster, message);

	message->run = note_arrival;
	rota__op_submit(rota_reactor_current(), &poster->op);
}

/* No task is made ready by it, and still there is something to do. */
static void test_reactor_message_posted_by_a_completion_counts_as_work(void **state)
{
	struct rota_reactor *reactors[2];
	struct poster poster = { .message.run = submit_poll };
	int fd;

	(void)state;
	if (t_is_simulated())
		skip(); /* it polls a descriptor of the kernel's */
	fd = eventfd(1, 0);
	t_reactors_create(reactors, 2);
	assert_int_equal(rota_reactor_open(reactors[1]), 0);
	poster.to = reactors[1];
	poster.op = (struct rota_op){
		.complete = post_on_completion, .kind = ROTA_OP_POLL, .fd = fd, .events = POLLIN
	};
	rota_post(reactors[0], &poster.message);
	for (int turns = 0; turns < 100 && rota_reactor_next_deadline(reactors[0]) == 0; turns++)
		assert_in_range(rota_reactor_run_once(reactors[0], 0), 0, 1);
	assert_in_range(rota_reactor_run_once(reactors[1], 0), 0, 1);
	assert_int_equal(poster.arrived, 1);
	t_reactors_destroy(reactors, 2);
	close(fd);
}

/* ---- driven together ---- */

static int64_t stop_all_later(void *arg)
{
	struct rota_reactor **reactors = arg;
	int status = rota_sleep_ms(2);

	for (int i = 0; i < 4; i++)
		rota_reactor_stop(reactors[i]);
	return status;
}

static void test_reactor_drive_returns_when_all_have_stopped(void **state)
{
	(void)state;
	for (unsigned count = 1; count <= 4; count++) {
		struct rota_reactor *reactors[4];
		struct start starts[5];
		int ended[4] = { 0 };

		t_reactors_create(reactors, 4);
		for (unsigned i = 0; i < count; i++)
			post_start(reactors[i], &starts[i], note_shutdown, &ended[i]);
		post_start(reactors[count - 1], &starts[4], stop_all_later, reactors);
		assert_int_equal(rota_reactor_drive(reactors, count), 0);
		for (unsigned i = 0; i < count; i++)
			assert_int_equal(ended[i], 1);
		t_reactors_destroy(reactors, 4);
	}
}

static unsigned opens_left; /* atomic */

static int open_some(struct rota_backend *self, const struct rota_backend_config *config)
{
	if (__atomic_fetch_sub(&opens_left, 1, __ATOMIC_RELAXED) == 0)
		return -EMFILE;
	return t_engine->open(self, config);
}

struct visit {
	struct rota_reactor **reactors;
	unsigned count;
	unsigned started; /* atomic */
};

static int64_t call_all(void *arg)
{
	struct visit *visit = arg;
	int64_t value = 1;

	__atomic_fetch_add(&visit->started, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < visit->count; i++)
		rota_ignore(rota_call_on(visit->reactors[i], return_value, &value),
			    "it must come back");
	return rota_sleep_until(ROTA_NEVER);
}

static void drive_with_one_that_does_not_open(unsigned count, unsigned opens)
{
	struct rota_backend_ops engine = *t_engine;
	struct rota_reactor *reactors[4];
	struct visit visit = { reactors, count, 0 };
	struct start starts[4];

	engine.open = open_some;
	opens_left = opens;
	for (unsigned i = 0; i < count; i++) {
		struct rota_reactor_options options = t_reactor_options();

		options.engine = &engine;
		assert_int_equal(rota_reactor_create(&options, &reactors[i]), 0);
		post_start(reactors[i], &starts[i], call_all, &visit);
	}
	assert_int_equal(rota_reactor_drive(reactors, count), -EMFILE);
	assert_int_equal(visit.started, 0);
	t_reactors_destroy(reactors, count);
}

/* They work together or not at all: none runs a task, so none calls one that can't answer. */
static void test_reactor_drive_with_one_engine_that_does_not_open_runs_none(void **state)
{
	(void)state;
	for (unsigned count = 1; count <= 4; count++)
		for (unsigned opens = 0; opens < count; opens++)
			for (unsigned round = 0; round < t_rounds(10); round++)
				drive_with_one_that_does_not_open(count, opens);
}

static unsigned polls_left; /* atomic */

static int poll_some(struct rota_backend *self, struct rota_completion *out, unsigned out_max,
		     rota_ns deadline)
{
	unsigned left = __atomic_load_n(&polls_left, __ATOMIC_RELAXED);

	if (left == 0)
		return -EBADF;
	__atomic_compare_exchange_n(&polls_left, &left, left - 1, false, __ATOMIC_RELAXED,
				    __ATOMIC_RELAXED);
	if (deadline == ROTA_NEVER)
		deadline = rota_after_ms(1);
	return t_engine->poll(self, out, out_max, deadline);
}

/* All engines break in the middle; still everybody ends, and the first error is returned. */
static void test_reactor_drive_with_engines_that_break_stops_all(void **state)
{
	(void)state;
	for (unsigned polls = 0; polls < 40; polls++) {
		struct rota_backend_ops engine = *t_engine;
		struct rota_reactor *reactors[3];
		struct visit visit = { reactors, 3, 0 };
		struct start starts[3];

		engine.poll = poll_some;
		polls_left = polls;
		for (unsigned i = 0; i < 3; i++) {
			struct rota_reactor_options options = t_reactor_options();

			options.engine = &engine;
			assert_int_equal(rota_reactor_create(&options, &reactors[i]), 0);
			post_start(reactors[i], &starts[i], call_all, &visit);
		}
		assert_int_equal(rota_reactor_drive(reactors, 3), -EBADF);
		t_reactors_destroy(reactors, 3);
	}
}

static int64_t handle_nobody(struct rota_conn *conn, void *arg)
{
	(void)conn;
	(void)arg;
	return 0;
}

static int64_t listen_for_ever(void *arg)
{
	struct rota_listener_options options = { .handler = handle_nobody, .name = "test" };
	struct rota_listener *listener;

	(void)arg;
	T_EQUAL(rota_address_parse(&options.address, "127.0.0.1", 0), 0);
	T_EQUAL(rota_listener_open(&options, &listener), 0);
	return rota_sleep_until(ROTA_NEVER);
}

static void break_with_an_operation_lent(void)
{
	struct rota_backend_ops engine = *t_engine;
	struct rota_reactor_options options = t_reactor_options();

	engine.poll = poll_some;
	polls_left = 5;
	options.engine = &engine;
	rota_ignore(rota_run(&options, listen_for_ever, NULL), "it does not come back");
}

/* An accept is under way, and an engine that does not poll can't give it back. */
static void test_reactor_with_a_broken_engine_that_keeps_an_operation_aborts(void **state)
{
	char words[64];

	(void)state;
	snprintf(words, sizeof(words), "engine %s is broken (EBADF: Bad file descriptor) and keeps",
		 t_engine->name);
	t_expect_death(break_with_an_operation_lent, words);
}

/* ---- counters ---- */

static int64_t look_at_counters(void *arg)
{
	struct rota_reactor *reactor = rota_reactor_current();
	struct rota_reactor_stats before, after;

	(void)arg;
	rota_reactor_stats(reactor, &before);
	T_EQUAL(before.tasks_alive, 1);
	T_EQUAL(rota_yield(), 0);
	T_EQUAL(rota_sleep_ms(1), 0);
	rota_reactor_stats(reactor, &after);
	T_EQUAL(after.switches, before.switches + 2);
	T_EQUAL(after.timers_fired, before.timers_fired + 1);
	T_CHECK(after.turns > before.turns);
	T_CHECK(after.messages >= 1); /* what started us */
	T_CHECK(rota_wall_ns() > 0);
	return 0;
}

static void test_reactor_counts_what_it_does(void **state)
{
	(void)state;
	assert_int_equal(t_run(look_at_counters, NULL), 0);
}

/* ---- stopped from a thread that is none ---- */

static void *stop_from_outside(void *arg)
{
	rota_reactor_stop(arg);
	return NULL;
}

/*
 * The stop may arrive while its sender is still in rota_post: the reactor may not be gone before.
 * Which of the two is faster differs from round to round.
 */
static void test_reactor_stopped_by_a_plain_thread_may_be_destroyed_at_once(void **state)
{
	(void)state;
	if (t_is_simulated())
		skip(); /* one thread */
	for (int round = 0; round < (int)t_rounds(500); round++) {
		struct rota_reactor *reactor;
		pthread_t thread;

		t_reactors_create(&reactor, 1);
		assert_int_equal(pthread_create(&thread, NULL, stop_from_outside, reactor), 0);
		assert_int_equal(rota_reactor_drive(&reactor, 1), 0);
		t_reactors_destroy(&reactor, 1);
		pthread_join(thread, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reactor_never_run_can_be_opened_and_destroyed),
		cmocka_unit_test(test_reactor_table_full_says_so),
		cmocka_unit_test(test_reactor_every_failed_allocation_is_survived),
		cmocka_unit_test(test_reactor_run_returns_the_first_tasks_result),
		cmocka_unit_test(test_reactor_run_ends_when_all_tasks_have_been_told_and_ended),
		cmocka_unit_test(
			test_reactor_stepped_by_hand_tells_what_it_did_and_when_to_come_back),
		cmocka_unit_test(test_reactor_turn_that_took_a_message_does_not_wait),
		cmocka_unit_test(test_reactor_turn_waits_until_its_deadline_and_no_longer),
		cmocka_unit_test(test_reactor_turn_reads_the_clock_only_for_what_was_done),
		cmocka_unit_test(test_reactor_turn_by_hand_after_a_wait_begins_when_it_is_made),
		cmocka_unit_test(test_reactor_nested_turns_and_closing_with_tasks_are_asserted),
		cmocka_unit_test(test_reactor_message_posted_by_a_completion_counts_as_work),
		cmocka_unit_test(test_reactor_drive_returns_when_all_have_stopped),
		cmocka_unit_test(test_reactor_drive_with_one_engine_that_does_not_open_runs_none),
		cmocka_unit_test(test_reactor_drive_with_engines_that_break_stops_all),
		cmocka_unit_test(test_reactor_with_a_broken_engine_that_keeps_an_operation_aborts),
		cmocka_unit_test(test_reactor_counts_what_it_does),
		cmocka_unit_test(test_reactor_stopped_by_a_plain_thread_may_be_destroyed_at_once),
	};

	return t_run_group("reactor", tests, ROTA_ARRAY_COUNT(tests));
}
