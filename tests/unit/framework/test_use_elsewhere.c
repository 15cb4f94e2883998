/* SPDX-License-Identifier: MIT */
/*
 * What belongs to one reactor, used from another: debug builds name who does it, the call, and
 * whose it is. A table: one reactor makes something, the other one uses it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include <rota/channel.h>
#include <rota/file.h>
#include <rota/generator.h>
#include <rota/group.h>
#include <rota/mailbox.h>
#include <rota/net.h>
#include <rota/pace.h>
#include <rota/process.h>
#include <rota/sync.h>
#include <rota/timer.h>

#include "tests/support/t_core.h"

/* Made on reactor 0. */
static struct rota_listener *listener;
static struct rota_conn *conn;
static struct rota_output *output;
static struct rota_channel channel;
static struct rota_broadcast broadcast;
static struct rota_subscription subscription;
static struct rota_mutex mutex;
static struct rota_rwlock rwlock;
static struct rota_semaphore semaphore;
static struct rota_condition condition;
static struct rota_event event;
static struct rota_latch latch;
static struct rota_barrier barrier;
static struct rota_once once;
static struct rota_rate rate;
static struct rota_timer timer;
static struct rota_generator *generator;
static struct rota_group *group;
static struct rota_process process;
static struct rota_scope scope;
static struct rota_future future;

static const char message[1];

static int64_t do_nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* ---- connections ---- */

static int64_t wait_for_end(struct rota_conn *one, void *arg)
{
	struct rota_view view;

	(void)arg;
	return rota_conn_read(one, &view);
}

static void make_listener(void)
{
	struct rota_listener_options options = { .handler = wait_for_end };

	T_EQUAL(rota_address_parse(&options.address, "127.0.0.1", 0), 0);
	T_EQUAL(rota_listener_open(&options, &listener), 0);
}

static void close_listener(void)
{
	rota_listener_close(listener);
}

static void make_conn(void)
{
	struct rota_address address;

	make_listener();
	T_EQUAL(rota_listener_address(listener, &address), 0);
	T_EQUAL(rota_connect(&address, NULL, &conn), 0);
	output = rota_conn_output(conn);
}

static void read_conn(void)
{
	struct rota_view view;

	rota_ignore(rota_conn_read(conn, &view), "it dies");
}

static void write_conn(void)
{
	rota_ignore(rota_conn_write(conn, rota_view_of_string("x")), "it dies");
}

static void close_conn(void)
{
	rota_conn_close(conn);
}

static void write_output(void)
{
	rota_output_write(output, "x", 1);
}

/* ---- channels ---- */

static void make_channels(void)
{
	const struct rota_channel_options options = { .capacity = 1 };

	rota_channel_init(&channel, &options);
	T_EQUAL(rota_channel_count(&channel), 0);
	rota_broadcast_init(&broadcast, &options);
	rota_subscribe(&broadcast, &subscription);
}

static void send_message(void)
{
	rota_ignore(rota_channel_send(&channel, message), "it dies");
}

static void select_one(void)
{
	struct rota_select_case one = { .kind = ROTA_SELECT_RECEIVE, .channel = &channel };

	rota_ignore(rota_try_select(&one, 1), "it dies");
}

static void receive_broadcast(void)
{
	char received[1];

	rota_ignore(rota_subscription_receive(&subscription, received), "it dies");
}

/* ---- synchronisation ---- */

static void make_locks(void)
{
	rota_mutex_init(&mutex, ROTA_LOCAL);
	T_EQUAL(rota_mutex_lock(&mutex), 0);
	rota_mutex_unlock(&mutex);
	rota_rwlock_init(&rwlock, ROTA_LOCAL);
	T_EQUAL(rota_rwlock_lock_read(&rwlock), 0);
	rota_rwlock_unlock_read(&rwlock);
	rota_condition_init(&condition, ROTA_LOCAL);
	rota_condition_notify_all(&condition);
	rota_rate_init(&rate, ROTA_NS_PER_MS, 1);
	T_EQUAL(rota_rate_try_take(&rate, 1), 0);
}

static void lock_mutex(void)
{
	rota_ignore(rota_mutex_lock(&mutex), "it dies");
}

static void lock_rwlock(void)
{
	rota_ignore(rota_rwlock_lock_write(&rwlock), "it dies");
}

static void notify(void)
{
	rota_condition_notify(&condition, 1);
}

static void take_token(void)
{
	rota_ignore(rota_rate_try_take(&rate, 1), "it dies");
}

static void make_others(void)
{
	rota_semaphore_init(&semaphore, ROTA_LOCAL, 1);
	T_EQUAL(rota_semaphore_try_acquire(&semaphore, 1), 0);
	rota_event_init(&event, ROTA_LOCAL);
	rota_event_set(&event);
	rota_latch_init(&latch, ROTA_LOCAL, 1);
	rota_latch_count_down(&latch, 1);
	rota_barrier_init(&barrier, ROTA_LOCAL, 1);
	T_CHECK(rota_barrier_wait(&barrier) >= 0);
	rota_once_init(&once, ROTA_LOCAL);
	T_EQUAL(rota_once_run(&once, do_nothing, NULL), 0);
}

static void release_semaphore(void)
{
	rota_semaphore_release(&semaphore, 1);
}

static void wait_for_event(void)
{
	rota_ignore(rota_event_wait(&event), "it dies");
}

static void wait_for_latch(void)
{
	rota_ignore(rota_latch_wait(&latch), "it dies");
}

static void wait_at_barrier(void)
{
	rota_ignore(rota_barrier_wait(&barrier), "it dies");
}

static void run_once(void)
{
	rota_ignore(rota_once_run(&once, do_nothing, NULL), "it dies");
}

/* ---- timers, generators, groups, processes ---- */

static void fire(struct rota_timer *fired)
{
	(void)fired;
}

static void make_timer(void)
{
	rota_timer_init(&timer, fire);
	rota_timer_arm(&timer, rota_after_s(3600));
}

static void arm(void)
{
	rota_timer_arm(&timer, 0);
}

static void disarm(void)
{
	rota_timer_disarm(&timer);
}

static int64_t generate(struct rota_generator *self, void *arg)
{
	return rota_generator_yield(self, arg, NULL);
}

static void make_generator(void)
{
	T_EQUAL(rota_generator_create(generate, NULL, &generator), 0);
}

static void next(void)
{
	void *value;

	rota_ignore(rota_generator_next(generator, &value), "it dies");
}

static void make_group(void)
{
	T_EQUAL(rota_group_create("some", 10, &group), 0);
}

static void set_shares(void)
{
	rota_ignore(rota_group_set_shares(group, 20), "it dies");
}

static void spawn_into_group(void)
{
	const struct rota_spawn_options options = { .group = group };

	rota_ignore(rota_spawn_with(rota_reactor_scope(rota_reactor_current()), do_nothing, NULL,
				    &options),
		    "it dies");
}

static void make_process(void)
{
	static const char *const argv[] = { "true", NULL };
	const struct rota_process_options options = { .argv = argv };

	T_EQUAL(rota_process_open(&process, &options), 0);
}

static void wait_for_process(void)
{
	rota_ignore(rota_process_wait(&process), "it dies");
}

static void signal_process(void)
{
	rota_ignore(rota_process_signal(&process, 15), "it dies");
}

/* ---- scopes and futures, which the maker has at hand in any case ---- */

static void make_nothing(void)
{
}

static void spawn(void)
{
	rota_ignore(rota_spawn(&scope, do_nothing, NULL), "it dies");
}

static void cancel(void)
{
	rota_scope_cancel(&scope, "from elsewhere");
}

static void close_scope(void)
{
	rota_ignore(rota_scope_close(&scope), "it dies");
}

static void complete(void)
{
	rota_future_complete(&future, 1);
}

/* ---- the table ---- */

static const struct row {
	void (*make)(void);
	void (*use)(void);
	const char *says;
} rows[] = {
	{ make_listener, close_listener, "calls rota_listener_close() on a listener of reactor 0" },
	{ make_conn, read_conn, "calls rota_conn_read() on a connection of reactor 0" },
	{ make_conn, write_conn, "calls rota_conn_write() on a connection of reactor 0" },
	{ make_conn, close_conn, "calls rota_conn_close() on a connection of reactor 0" },
	{ make_conn, write_output, "calls rota_output_write() on a connection of reactor 0" },
	{ make_channels, send_message, "calls rota_channel_send() on a local object of reactor 0" },
	{ make_channels, select_one, "calls rota_try_select() on a local object of reactor 0" },
	{ make_channels, receive_broadcast,
	  "calls rota_subscription_receive() on a local object of reactor 0" },
	{ make_locks, lock_mutex, "calls rota_mutex_lock() on a local object of reactor 0" },
	{ make_locks, lock_rwlock, "calls rota_rwlock_lock_write() on a local object of reactor" },
	{ make_locks, notify, "calls rota_condition_notify() on a local object of reactor 0" },
	{ make_locks, take_token, "calls rota_mutex_try_lock() on a local object of reactor 0" },
	{ make_others, release_semaphore,
	  "calls rota_semaphore_release() on a local object of reactor 0" },
	{ make_others, wait_for_event, "calls rota_event_wait() on a local object of reactor 0" },
	{ make_others, wait_for_latch, "calls rota_latch_wait() on a local object of reactor 0" },
	{ make_others, wait_at_barrier,
	  "calls rota_barrier_wait() on a local object of reactor 0" },
	{ make_others, run_once, "calls rota_once_run() on a local object of reactor 0" },
	{ make_timer, arm, "calls rota_timer_arm() on a timer of reactor 0" },
	{ make_timer, disarm, "calls rota_timer_disarm() on a timer of reactor 0" },
	{ make_group, set_shares, "group->reactor == rota__reactor()" },
	{ make_group, spawn_into_group, "group->reactor == reactor" },
	{ make_nothing, spawn, "rota__scope_is_of(scope, reactor)" },
	{ make_nothing, cancel, "rota__scope_is_of(scope, reactor)" },
	{ make_nothing, close_scope, "scope->task_ == task" },
	{ make_nothing, complete, "set->task->reactor == rota__current_reactor" },
};

/* The simulator has one thread, and no processes. */
static const struct row rows_of_threads[] = {
	{ make_generator, next, "generator->home == &here" },
	{ make_process, wait_for_process, "calls rota_process_wait() on a process of reactor 0" },
	{ make_process, signal_process, "calls rota_process_signal() on a process of reactor 0" },
};

static const struct row *row;
static struct rota_reactor *reactors[2];

static int64_t use_over_there(void *arg)
{
	(void)arg;
	row->use();
	return 0;
}

static int64_t make_here(void *arg)
{
	struct rota_call call;

	rota_scope_open(&scope, ROTA_NEVER);
	row->make();
	rota_future_init(&future);
	rota_call_start(&call, reactors[1], use_over_there, arg);
	return rota_await(&future);
}

static void begin(struct rota_message *posted)
{
	(void)posted;
	T_EQUAL(rota_spawn(rota_reactor_scope(rota_reactor_current()), make_here, NULL), 0);
}

static void run_row(void)
{
	struct rota_message start = { .run = begin };

	t_reactors_create(reactors, ROTA_ARRAY_COUNT(reactors));
	rota_post(reactors[0], &start);
	rota_ignore(rota_reactor_drive(reactors, ROTA_ARRAY_COUNT(reactors)), "it dies");
}

static void test_use_elsewhere_is_named_in_debug_builds(void **state)
{
	(void)state;
	if (!ROTA_DEBUG)
		skip();
	for (row = rows; row < rows + ROTA_ARRAY_COUNT(rows); row++)
		t_expect_death(run_row, row->says);
	if (t_is_simulated())
		return;
	for (row = rows_of_threads; row < rows_of_threads + ROTA_ARRAY_COUNT(rows_of_threads);
	     row++)
		t_expect_death(run_row, row->says);
}

static void test_use_elsewhere_says_which_task_it_was(void **state)
{
	(void)state;
	if (!ROTA_DEBUG)
		skip();
	row = &rows[0];
	t_expect_death(
		run_row,
		"task \"use_over_there\" spawned at tests/unit/framework/test_use_elsewhere.c:");
}

/* ---- files ---- */

static struct rota_file file;

static int64_t use_file(void *arg)
{
	char byte = 0;

	(void)arg;
	T_EQUAL(rota_file_write_at(&file, "x", 1, 0), 0);
	T_EQUAL(rota_file_read_at(&file, &byte, 1, 0), 1);
	T_EQUAL(byte, 'x');
	return rota_file_close(&file);
}

static int64_t open_file(void *arg)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/rota-elsewhere-%d", t_is_simulated() ? "" : "/tmp",
		 (int)getpid());
	T_EQUAL(rota_file_open(&file, path, O_CREAT | O_RDWR, 0600), 0);
	T_EQUAL(rota_file_unlink(path), 0);
	T_EQUAL(rota_call_on(reactors[1], use_file, arg), 0);
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(reactors); i++)
		rota_reactor_stop(reactors[i]);
	return 0;
}

static void begin_file(struct rota_message *posted)
{
	(void)posted;
	T_EQUAL(rota_spawn(rota_reactor_scope(rota_reactor_current()), open_file, NULL), 0);
}

static void test_use_elsewhere_of_a_file_is_in_order(void **state)
{
	struct rota_message start = { .run = begin_file };

	(void)state;
	t_reactors_create(reactors, ROTA_ARRAY_COUNT(reactors));
	rota_post(reactors[0], &start);
	assert_int_equal(rota_reactor_drive(reactors, ROTA_ARRAY_COUNT(reactors)), 0);
	t_reactors_destroy(reactors, ROTA_ARRAY_COUNT(reactors));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_use_elsewhere_is_named_in_debug_builds),
		cmocka_unit_test(test_use_elsewhere_says_which_task_it_was),
		cmocka_unit_test(test_use_elsewhere_of_a_file_is_in_order),
	};

	return t_run_group("use elsewhere", tests, ROTA_ARRAY_COUNT(tests));
}
