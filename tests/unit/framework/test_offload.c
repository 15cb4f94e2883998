/* SPDX-License-Identifier: MIT */
/*
 * The offload pool: functions that block, on threads of their own; limits, queues, cancellation,
 * and what is left when the reactors are gone. What needs two things to happen at once is not for
 * the simulator, which has one thread.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/file.h>
#include <rota/mailbox.h>
#include <rota/offload.h>

#include "tests/support/t_core.h"

#define COUNT 5
#define LIMITED(test) cmocka_unit_test_teardown(test, restore_limits)

/* ---- threads that cannot be started ---- */

static bool threads_fail; /* written while no thread of the pool's runs */

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*fn)(void *arg), void *arg);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*fn)(void *arg), void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*fn)(void *arg), void *arg)
{
	return threads_fail ? EAGAIN : __real_pthread_create(thread, attributes, fn, arg);
}

/* ---- functions ---- */

/* A function that says it has begun and waits to be let go. */
struct gate {
	sem_t begun;
	sem_t go;
	unsigned calls;
};

static void gate_init(struct gate *gate)
{
	sem_init(&gate->begun, 0, 0);
	sem_init(&gate->go, 0, 0);
	gate->calls = 0;
}

static int64_t pass_gate(void *arg)
{
	struct gate *gate = arg;

	gate->calls++;
	sem_post(&gate->begun);
	while (sem_wait(&gate->go) < 0)
		T_EQUAL(errno, EINTR);
	return 7;
}

static int64_t count_call(void *arg)
{
	unsigned *calls = arg;

	return ++*calls;
}

static struct rota_offload_stats stats_of(enum rota_offload_class class_)
{
	struct rota_offload_stats stats;

	rota_offload_stats(class_, &stats);
	return stats;
}

static void limit(uint32_t threads_max, uint32_t queue_max, rota_ns idle_ns)
{
	const struct rota_offload_limits limits = { threads_max, queue_max, idle_ns };

	rota_offload_limit(ROTA_OFFLOAD_USER, &limits);
}

static int restore_limits(void **state)
{
	(void)state;
	threads_fail = false;
	limit(0, 0, 0);
	rota_offload_limit(ROTA_OFFLOAD_FILES, &(struct rota_offload_limits){ 0 });
	return stats_of(ROTA_OFFLOAD_USER).threads != 0;
}

/* ---- results ---- */

static int64_t look_around(void *arg)
{
	const pthread_t *reactors = arg;
	sigset_t blocked;

	T_CHECK(!rota_reactor_current());
	T_CHECK(!rota_task_current());
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	if (!t_is_simulated()) {
		T_CHECK(!pthread_equal(pthread_self(), *reactors));
		T_CHECK(sigismember(&blocked, SIGTERM));
		T_CHECK(sigismember(&blocked, SIGINT));
	}
	return INT64_C(1) << 40;
}

static int64_t offload_one(void *arg)
{
	pthread_t self = pthread_self();

	(void)arg;
	T_EQUAL(rota_offload(ROTA_OFFLOAD_USER, look_around, &self), INT64_C(1) << 40);
	T_CHECK(rota_reactor_current() != NULL);
	return 0;
}

static void test_offload_returns_the_result_of_a_function_without_reactor(void **state)
{
	(void)state;
	assert_int_equal(t_run(offload_one, NULL), 0);
	/* then */
	assert_int_equal(stats_of(ROTA_OFFLOAD_USER).threads, 0);
}

static int64_t fail_with_eio(void *arg)
{
	(void)arg;
	return -EIO;
}

static int64_t offload_a_failure(void *arg)
{
	(void)arg;
	T_EQUAL(rota_offload(ROTA_OFFLOAD_NAMES, fail_with_eio, NULL), -EIO);
	return 0;
}

static void test_offload_returns_the_error_of_the_function(void **state)
{
	(void)state;
	assert_int_equal(t_run(offload_a_failure, NULL), 0);
}

static int64_t pass_while_others_run(void *arg)
{
	struct rota_offload_call call;
	struct gate gate;

	(void)arg;
	gate_init(&gate);
	rota_offload_start(&call, ROTA_OFFLOAD_USER, pass_gate, &gate);
	for (int turn = 0; turn < 3; turn++)
		T_EQUAL(rota_yield(), 0);
	T_CHECK(!rota_future_is_done(&call.future));
	sem_post(&gate.go);
	T_EQUAL(rota_await(&call.future), 7);
	return 0;
}

static void test_offload_lets_the_reactor_run_meanwhile(void **state)
{
	(void)state;
	if (t_is_simulated())
		skip();
	assert_int_equal(t_run(pass_while_others_run, NULL), 0);
}

static int64_t offload_many(void *arg)
{
	enum { MANY = 200 };
	struct rota_offload_call calls[MANY];
	unsigned counts[MANY] = { 0 };

	(void)arg;
	for (int i = 0; i < MANY; i++)
		rota_offload_start(&calls[i], (enum rota_offload_class)(i % 3), count_call,
				   &counts[i]);
	for (int i = 0; i < MANY; i++)
		T_EQUAL(rota_await(&calls[i].future), 1);
	for (int i = 0; i < MANY; i++)
		T_EQUAL(counts[i], 1);
	return 0;
}

static void test_offload_of_many_calls_each_once(void **state)
{
	(void)state;
	assert_int_equal(t_run(offload_many, NULL), 0);
}

/* ---- limits ---- */

static struct {
	pthread_mutex_t lock;
	unsigned running, most, order[COUNT], ended;
} crowd = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int64_t join_crowd(void *arg)
{
	pthread_mutex_lock(&crowd.lock);
	if (++crowd.running > crowd.most)
		crowd.most = crowd.running;
	pthread_mutex_unlock(&crowd.lock);
	sched_yield();
	pthread_mutex_lock(&crowd.lock);
	crowd.running--;
	crowd.order[crowd.ended++] = (unsigned)(uintptr_t)arg;
	pthread_mutex_unlock(&crowd.lock);
	return 0;
}

static int64_t make_crowd(void *arg)
{
	struct rota_offload_call calls[COUNT];

	(void)arg;
	crowd.running = crowd.most = crowd.ended = 0;
	for (uintptr_t i = 0; i < COUNT; i++)
		rota_offload_start(&calls[i], ROTA_OFFLOAD_USER, join_crowd, (void *)i);
	for (int i = 0; i < COUNT; i++)
		T_EQUAL(rota_await(&calls[i].future), 0);
	return 0;
}

static void test_offload_on_one_thread_goes_in_order(void **state)
{
	(void)state;
	if (t_is_simulated())
		skip();
	limit(1, 0, 0);
	assert_int_equal(t_run(make_crowd, NULL), 0);
	/* then */
	assert_int_equal(crowd.most, 1);
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(crowd.order[i], i);
}

static int64_t fill_threads(void *arg)
{
	struct rota_offload_call calls[COUNT];
	struct gate gates[COUNT];

	(void)arg;
	for (int i = 0; i < COUNT; i++) {
		gate_init(&gates[i]);
		rota_offload_start(&calls[i], ROTA_OFFLOAD_USER, pass_gate, &gates[i]);
	}
	t_settle(); /* whatever the engine, they are with the pool now */
	/* three run, on a thread each, the other two wait */
	for (int i = 0; i < 3; i++)
		sem_wait(&gates[i].begun);
	T_EQUAL(stats_of(ROTA_OFFLOAD_USER).threads, 3);
	T_EQUAL(stats_of(ROTA_OFFLOAD_USER).running, 3);
	T_EQUAL(stats_of(ROTA_OFFLOAD_USER).queued, 2);
	/* another class has threads of its own */
	T_EQUAL(offload_a_failure(NULL), 0);
	T_EQUAL(stats_of(ROTA_OFFLOAD_USER).running, 3);
	for (int i = 0; i < COUNT; i++) {
		sem_post(&gates[i].go);
		T_EQUAL(rota_await(&calls[i].future), 7);
	}
	return 0;
}

static void test_offload_takes_no_more_threads_than_its_class_has(void **state)
{
	(void)state;
	if (t_is_simulated())
		skip();
	limit(3, 0, 0);
	assert_int_equal(t_run(fill_threads, NULL), 0);
}

static int64_t overfill_queue(void *arg)
{
	struct rota_offload_call busy, waiting;
	uint64_t refused = stats_of(ROTA_OFFLOAD_USER).refused;
	struct gate gate;
	unsigned calls = 0;

	(void)arg;
	gate_init(&gate);
	rota_offload_start(&busy, ROTA_OFFLOAD_USER, pass_gate, &gate);
	t_settle();
	sem_wait(&gate.begun);
	rota_offload_start(&waiting, ROTA_OFFLOAD_USER, count_call, &calls);
	t_settle();
	T_EQUAL(rota_offload(ROTA_OFFLOAD_USER, count_call, &calls), -ENOBUFS);
	T_EQUAL(calls, 0);
	T_EQUAL(stats_of(ROTA_OFFLOAD_USER).refused, refused + 1);
	sem_post(&gate.go);
	T_EQUAL(rota_await(&waiting.future), 1);
	T_EQUAL(rota_await(&busy.future), 7);
	return 0;
}

static void test_offload_to_a_full_queue_is_refused(void **state)
{
	(void)state;
	if (t_is_simulated())
		skip();
	limit(1, 1, 0);
	assert_int_equal(t_run(overfill_queue, NULL), 0);
}

static int64_t do_without_threads(void *arg)
{
	struct rota_offload_call busy, waiting;
	uint64_t failures = stats_of(ROTA_OFFLOAD_USER).start_failures;
	struct gate gate;
	unsigned calls = 0;

	(void)arg;
	gate_init(&gate);
	threads_fail = true;
	T_EQUAL(rota_offload(ROTA_OFFLOAD_USER, count_call, &calls), -EAGAIN);
	T_EQUAL(calls, 0);
	T_EQUAL(stats_of(ROTA_OFFLOAD_USER).start_failures, failures + 1);
	threads_fail = false;
	rota_offload_start(&busy, ROTA_OFFLOAD_USER, pass_gate, &gate);
	t_settle();
	sem_wait(&gate.begun);
	/* with one thread there it takes its turn */
	threads_fail = true;
	rota_offload_start(&waiting, ROTA_OFFLOAD_USER, count_call, &calls);
	t_settle();
	T_CHECK(!rota_future_is_done(&waiting.future));
	T_EQUAL(stats_of(ROTA_OFFLOAD_USER).start_failures, failures + 2);
	sem_post(&gate.go);
	T_EQUAL(rota_await(&waiting.future), 1);
	T_EQUAL(rota_await(&busy.future), 7);
	return 0;
}

static void test_offload_without_a_thread_fails_or_waits_for_one(void **state)
{
	(void)state;
	if (t_is_simulated())
		skip();
	assert_int_equal(t_run(do_without_threads, NULL), 0);
}

/* ---- closing, which is never refused ---- */

static struct rota_file open_something(void)
{
	struct rota_file file = { .fd_ = open("/dev/null", O_RDONLY | O_CLOEXEC) };

	T_CHECK(file.fd_ >= 0);
	return file;
}

static int64_t close_file(void *arg)
{
	return rota_file_close(arg);
}

static int64_t close_while_full(void *arg)
{
	struct rota_offload_call busy, waiting;
	struct rota_file file = open_something();
	int fd = file.fd_;
	struct rota_scope scope;
	struct gate gate;
	unsigned calls = 0;

	(void)arg;
	gate_init(&gate);
	rota_offload_start(&busy, ROTA_OFFLOAD_FILES, pass_gate, &gate);
	t_settle();
	sem_wait(&gate.begun);
	rota_offload_start(&waiting, ROTA_OFFLOAD_FILES, count_call, &calls);
	t_settle();
	T_EQUAL(rota_offload(ROTA_OFFLOAD_FILES, count_call, &calls), -ENOBUFS);
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, close_file, &file), 0);
	t_settle();
	sem_post(&gate.go);
	T_EQUAL(rota_scope_close(&scope), 0);
	T_EQUAL(fcntl(fd, F_GETFD), -1);
	T_EQUAL(rota_await(&waiting.future), 1);
	T_EQUAL(rota_await(&busy.future), 7);
	return 0;
}

static void test_offload_to_a_full_queue_still_closes(void **state)
{
	(void)state;
	if (t_is_simulated())
		skip();
	rota_offload_limit(ROTA_OFFLOAD_FILES, &(struct rota_offload_limits){ 1, 1, 0 });
	assert_int_equal(t_run(close_while_full, NULL), 0);
}

static int64_t close_without_threads(void *arg)
{
	struct rota_file file = open_something();
	int fd = file.fd_;

	(void)arg;
	threads_fail = true;
	T_EQUAL(rota_file_close(&file), 0);
	threads_fail = false;
	T_EQUAL(fcntl(fd, F_GETFD), -1);
	return 0;
}

static void test_offload_without_a_thread_still_closes(void **state)
{
	(void)state;
	if (t_is_simulated())
		skip();
	assert_int_equal(t_run(close_without_threads, NULL), 0);
}

/* ---- cancellation ---- */

static int64_t cancel_queued(void *arg)
{
	struct rota_offload_call busy;
	uint64_t cancelled = stats_of(ROTA_OFFLOAD_USER).cancelled;
	struct rota_scope scope;
	struct gate gate;
	unsigned calls = 0;

	(void)arg;
	gate_init(&gate);
	rota_offload_start(&busy, ROTA_OFFLOAD_USER, pass_gate, &gate);
	t_settle();
	sem_wait(&gate.begun);
	rota_scope_open(&scope, rota_after_ms(1));
	T_EQUAL(rota_offload(ROTA_OFFLOAD_USER, count_call, &calls), -ETIMEDOUT);
	T_EQUAL(rota_scope_close(&scope), -ETIMEDOUT);
	T_EQUAL(calls, 0);
	T_EQUAL(stats_of(ROTA_OFFLOAD_USER).cancelled, cancelled + 1);
	T_EQUAL(stats_of(ROTA_OFFLOAD_USER).queued, 0);
	sem_post(&gate.go);
	T_EQUAL(rota_await(&busy.future), 7);
	return 0;
}

static void test_offload_cancelled_before_it_began_is_not_called(void **state)
{
	(void)state;
	if (t_is_simulated())
		skip();
	limit(1, 0, 0);
	assert_int_equal(t_run(cancel_queued, NULL), 0);
}

/*
 * On a thread of its own: the task is already waiting, or is about to, for what cannot be stopped.
 */
static void *let_go(void *arg)
{
	struct gate *gate = arg;

	sem_post(&gate->go);
	return NULL;
}

static int64_t cancel_running(void *arg)
{
	struct rota_offload_call call;
	struct rota_scope scope;
	struct gate gate;
	pthread_t other;

	(void)arg;
	gate_init(&gate);
	rota_scope_open(&scope, ROTA_NEVER);
	rota_offload_start(&call, ROTA_OFFLOAD_USER, pass_gate, &gate);
	t_settle();
	sem_wait(&gate.begun);
	rota_scope_cancel(&scope, "by the test");
	T_EQUAL(pthread_create(&other, NULL, let_go, &gate), 0);
	T_EQUAL(rota_await(&call.future), 7);
	T_EQUAL(gate.calls, 1);
	T_EQUAL(rota_scope_close(&scope), -ECANCELED);
	pthread_join(other, NULL);
	return 0;
}

static void test_offload_cancelled_while_it_runs_is_waited_for(void **state)
{
	(void)state;
	if (t_is_simulated())
		skip();
	assert_int_equal(t_run(cancel_running, NULL), 0);
}

static int64_t offload_cancelled(void *arg)
{
	struct rota_offload_call call;
	struct rota_scope scope;
	unsigned calls = 0;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	rota_scope_cancel(&scope, "by the test");
	T_EQUAL(rota_offload(ROTA_OFFLOAD_USER, count_call, &calls), -ECANCELED);
	rota_offload_start(&call, ROTA_OFFLOAD_USER, count_call, &calls);
	T_CHECK(rota_future_is_done(&call.future));
	T_EQUAL(call.future.result, -ECANCELED);
	T_EQUAL(calls, 0);
	T_EQUAL(rota_scope_close(&scope), -ECANCELED);
	return 0;
}

static void test_offload_in_a_cancelled_scope_is_not_called(void **state)
{
	(void)state;
	assert_int_equal(t_run(offload_cancelled, NULL), 0);
}

/* Some are cancelled in time and some are not; each says truly which. */
static int64_t race_deadlines(void *arg)
{
	unsigned *ended_either_way = arg;

	for (int i = 0; i < 50; i++) {
		struct rota_scope scope;
		unsigned calls = 0;
		int64_t result;

		rota_scope_open(&scope, rota_after_ns(i * 10 * ROTA_NS_PER_US));
		result = rota_offload(ROTA_OFFLOAD_USER, count_call, &calls);
		T_CHECK(result == 1 || result == -ETIMEDOUT);
		T_EQUAL(calls, result == 1);
		ended_either_way[result == 1]++;
		rota_ignore(rota_scope_close(&scope), "either");
	}
	return 0;
}

static void test_offload_raced_by_its_deadline_says_truly_whether_it_was_called(void **state)
{
	unsigned ended_either_way[2] = { 0, 0 };

	(void)state;
	for (int seed = 1; seed <= 20; seed++) {
		struct rota_reactor_options options = t_reactor_options();
		char text[32];

		snprintf(text, sizeof(text), "seed=%d,rough", seed);
		options.engine_options = t_is_simulated() ? text : NULL;
		assert_int_equal(rota_run(&options, race_deadlines, ended_either_way), 0);
	}
	/* On a machine as loaded as it likes only the simulator's share is known. */
	if (t_is_simulated()) {
		assert_true(ended_either_way[0] > 10);
		assert_true(ended_either_way[1] > 10);
	}
}

/* ---- threads ---- */

static int64_t idle_and_go_on(void *arg)
{
	unsigned calls = 0;

	(void)arg;
	for (unsigned round = 1; round <= 3; round++) {
		T_EQUAL(rota_offload(ROTA_OFFLOAD_USER, count_call, &calls), round);
		while (stats_of(ROTA_OFFLOAD_USER).threads)
			T_EQUAL(rota_yield(), 0);
	}
	return 0;
}

static void test_offload_threads_end_when_idle_and_start_again(void **state)
{
	(void)state;
	if (t_is_simulated())
		skip();
	limit(0, 0, 1);
	assert_int_equal(t_run(idle_and_go_on, NULL), 0);
}

enum { REACTORS = 3, CALLS = 100 };

struct member {
	struct rota_message message;
	struct rota_reactor *reactor;
	unsigned calls;
};

static int64_t offload_and_stop(void *arg)
{
	struct member *member = arg;

	for (unsigned i = 1; i <= CALLS; i++)
		T_EQUAL(rota_offload(ROTA_OFFLOAD_USER, count_call, &member->calls), i);
	rota_reactor_stop(member->reactor);
	return 0;
}

static void begin(struct rota_message *message)
{
	struct member *member = ROTA_CONTAINER_OF(message, struct member, message);

	T_EQUAL(rota_spawn(rota_reactor_scope(member->reactor), offload_and_stop, member), 0);
}

static void test_offload_from_several_reactors_serves_all_and_leaves_no_thread(void **state)
{
	struct rota_reactor *reactors[REACTORS];
	struct member members[REACTORS];

	(void)state;
	t_reactors_create(reactors, REACTORS);
	for (int i = 0; i < REACTORS; i++) {
		members[i] = (struct member){ { .run = begin }, reactors[i], 0 };
		rota_post(reactors[i], &members[i].message);
	}
	/* when */
	assert_int_equal(rota_reactor_drive(reactors, REACTORS), 0);
	t_reactors_destroy(reactors, REACTORS);
	/* then */
	for (int i = 0; i < REACTORS; i++)
		assert_int_equal(members[i].calls, CALLS);
	assert_int_equal(stats_of(ROTA_OFFLOAD_USER).threads, 0);
}

/* ---- misuse ---- */

static int64_t yield_in_pool(void *arg)
{
	(void)arg;
	return rota_yield();
}

static int64_t offload_a_yield(void *arg)
{
	(void)arg;
	return rota_offload(ROTA_OFFLOAD_USER, yield_in_pool, NULL);
}

static void suspend_in_pool(void)
{
	rota_ignore(t_run(offload_a_yield, NULL), "does not return");
}

static void test_offload_of_a_function_that_suspends_dies(void **state)
{
	(void)state;
	t_expect_death(suspend_in_pool, "rota__current_reactor");
}

static struct rota_offload_call left_behind;

static int64_t leave_behind(void *arg)
{
	static unsigned calls;

	(void)arg;
	rota_offload_start(&left_behind, ROTA_OFFLOAD_USER, count_call, &calls);
	return 0;
}

static void end_too_early(void)
{
	rota_ignore(t_run(leave_behind, NULL), "does not return");
}

static void test_offload_that_is_not_awaited_dies(void **state)
{
	(void)state;
	t_expect_death(end_too_early, "still lent");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offload_of_a_function_that_suspends_dies),
		cmocka_unit_test(test_offload_that_is_not_awaited_dies),
		cmocka_unit_test(test_offload_returns_the_result_of_a_function_without_reactor),
		cmocka_unit_test(test_offload_returns_the_error_of_the_function),
		cmocka_unit_test(test_offload_lets_the_reactor_run_meanwhile),
		cmocka_unit_test(test_offload_of_many_calls_each_once),
		LIMITED(test_offload_on_one_thread_goes_in_order),
		LIMITED(test_offload_takes_no_more_threads_than_its_class_has),
		LIMITED(test_offload_to_a_full_queue_is_refused),
		LIMITED(test_offload_without_a_thread_fails_or_waits_for_one),
		LIMITED(test_offload_to_a_full_queue_still_closes),
		LIMITED(test_offload_without_a_thread_still_closes),
		LIMITED(test_offload_cancelled_before_it_began_is_not_called),
		cmocka_unit_test(test_offload_cancelled_while_it_runs_is_waited_for),
		cmocka_unit_test(test_offload_in_a_cancelled_scope_is_not_called),
		cmocka_unit_test(
			test_offload_raced_by_its_deadline_says_truly_whether_it_was_called),
		LIMITED(test_offload_threads_end_when_idle_and_start_again),
		cmocka_unit_test(
			test_offload_from_several_reactors_serves_all_and_leaves_no_thread),
	};

	return t_run_group("offload", tests, ROTA_ARRAY_COUNT(tests));
}
