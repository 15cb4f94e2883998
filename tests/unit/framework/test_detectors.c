/* SPDX-License-Identifier: MIT */
/*
 * What debug builds find while a program runs. In other builds there is nothing to be found, and
 * the tests see that nothing is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <rota/future.h>
#include <rota/mailbox.h>
#include <rota/offload.h>
#include <rota/sync.h>
#include <rota/task.h>

#include "tests/support/t_core.h"

/* ---- short locks ---- */

static int64_t yield_with_lock(void *arg)
{
	(void)arg;
	rota_debug_lock_taken();
	T_EQUAL(rota_yield(), 0);
	rota_debug_lock_released();
	return 0;
}

static int64_t sleep_without_lock(void *arg)
{
	(void)arg;
	for (int i = 0; i < 3; i++) {
		rota_debug_lock_taken();
		rota_debug_lock_taken();
		rota_debug_lock_released();
		rota_debug_lock_released();
		T_EQUAL(rota_sleep_until(0), 0);
	}
	return 7;
}

static int64_t release_once_too_often(void *arg)
{
	(void)arg;
	rota_debug_lock_released();
	return 0;
}

static int64_t yield_with_mutex(void *arg)
{
	struct rota_mutex mutex;

	(void)arg;
	rota_mutex_init(&mutex, ROTA_LOCAL);
	T_EQUAL(rota_mutex_lock(&mutex), 0);
	T_EQUAL(rota_yield(), 0);
	rota_mutex_unlock(&mutex);
	rota_mutex_fini(&mutex);
	return 7;
}

static void die_yielding_with_lock(void)
{
	t_run(yield_with_lock, NULL);
}

static void die_releasing_too_often(void)
{
	t_run(release_once_too_often, NULL);
}

static void test_detectors_task_that_waits_with_a_short_lock_is_named(void **state)
{
	(void)state;
	if (ROTA_DEBUG)
		t_expect_death(die_yielding_with_lock,
			       "waits while it holds a lock that others spin or block on, taken at "
			       "tests/unit/framework/test_detectors.c:");
	else
		assert_int_equal(t_run(yield_with_lock, NULL), 0);
}

static void test_detectors_short_lock_released_too_often_is_asserted(void **state)
{
	(void)state;
	if (ROTA_DEBUG)
		t_expect_death(die_releasing_too_often, "short_locks.held >= 0");
	else
		assert_int_equal(t_run(release_once_too_often, NULL), 0);
}

static void test_detectors_short_locks_between_waits_are_in_order(void **state)
{
	(void)state;
	assert_int_equal(t_run(sleep_without_lock, NULL), 7);
}

static void test_detectors_mutex_may_be_held_across_waits(void **state)
{
	(void)state;
	assert_int_equal(t_run(yield_with_mutex, NULL), 7);
}

/* ---- futures that nobody awaits ---- */

static int64_t leave_a_timeout(void *arg)
{
	struct rota_timeout timeout;

	(void)arg;
	rota_timeout_start(&timeout, rota_after_s(3600));
	return 0;
}

static int64_t yield_twice(void *arg)
{
	(void)arg;
	return rota_yield() + rota_yield();
}

static int64_t leave_a_result(void *arg)
{
	struct rota_future end;
	const struct rota_spawn_options options = { .result = &end };

	return rota_spawn_with(arg, yield_twice, NULL, &options);
}

static int64_t spawn_leaver(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, leave_a_result, &scope), 0);
	return rota_scope_close(&scope);
}

static int64_t leave_a_call(void *arg)
{
	struct rota_call call;

	(void)arg;
	rota_call_start(&call, rota_reactor_current(), yield_twice, NULL);
	return 0;
}

static void die_leaving_a_timeout(void)
{
	t_run(leave_a_timeout, NULL);
}

static void die_leaving_a_result(void)
{
	t_run(spawn_leaver, NULL);
}

static void die_leaving_a_call(void)
{
	t_run(leave_a_call, NULL);
}

/* Without the check these write into frames that are gone: nothing a test may do. */
static void test_detectors_future_left_in_a_frame_is_named(void **state)
{
	static const char said[] = "ended with a future in its frames";

	(void)state;
	if (!ROTA_DEBUG)
		return;
	t_expect_death(die_leaving_a_timeout, said);
	t_expect_death(die_leaving_a_result, said);
	t_expect_death(die_leaving_a_call, said);
}

/* Awaited, cancelled, never due, or not in a frame: nothing is left. */
static int64_t leave_nothing(void *arg)
{
	static struct rota_timeout elsewhere;
	struct rota_timeout first, second, never;
	struct rota_future *both[] = { &first.future, &second.future };

	(void)arg;
	rota_timeout_start(&first, 0);
	rota_timeout_start(&second, rota_after_s(3600));
	rota_timeout_start(&never, ROTA_NEVER);
	rota_timeout_start(&elsewhere, rota_now());
	T_EQUAL(rota_await_any(both, 2), 0);
	T_EQUAL(rota_call_on(rota_reactor_current(), yield_twice, NULL), 0);
	return 7;
}

static void test_detectors_futures_that_are_done_are_no_alarm(void **state)
{
	(void)state;
	assert_int_equal(t_run(leave_nothing, NULL), 7);
}

/* ---- blocking calls ---- */

static uint64_t blocking_calls(void)
{
	struct rota_reactor_stats stats;

	rota_reactor_stats(rota_reactor_current(), &stats);
	return stats.blocking_calls;
}

/* Until that thread of that process, this one's or its parent, sleeps. */
static void until_asleep(pid_t pid, pid_t tid)
{
	char path[64], text[256];
	const char *name_end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", (int)pid, (int)tid);
	do {
		file = fopen(path, "r");
		T_CHECK(file != NULL);
		T_CHECK(fgets(text, sizeof(text), file) != NULL);
		fclose(file);
		name_end = strrchr(text, ')');
		T_CHECK(name_end != NULL);
	} while (strncmp(name_end, ") S", 3) != 0);
}

static const struct timespec one_ms = { .tv_nsec = ROTA_NS_PER_MS };

static void call_usleep(void)
{
	T_EQUAL(usleep(1000), 0);
}

static void call_nanosleep(void)
{
	T_EQUAL(nanosleep(&one_ms, NULL), 0);
}

static void call_clock_nanosleep(void)
{
	T_EQUAL(clock_nanosleep(CLOCK_MONOTONIC, 0, &one_ms, NULL), 0);
}

static void call_poll(void)
{
	T_EQUAL(poll(NULL, 0, 1), 0);
}

static void call_ppoll(void)
{
	T_EQUAL(ppoll(NULL, 0, &one_ms, NULL), 0);
}

static void call_select(void)
{
	struct timeval timeout = { .tv_usec = 1000 };

	T_EQUAL(select(0, NULL, NULL, NULL, &timeout), 0);
}

static void call_pselect(void)
{
	T_EQUAL(pselect(0, NULL, NULL, NULL, &one_ms, NULL), 0);
}

static void call_epoll_wait(void)
{
	struct epoll_event event;
	int fd = epoll_create1(EPOLL_CLOEXEC);

	T_EQUAL(epoll_wait(fd, &event, 1, 1), 0);
	close(fd);
}

/* A pair that gives up after a millisecond of waiting; nobody is at the other end. */
static void make_pair(int pair[2])
{
	const struct timeval timeout = { .tv_usec = 1000 };

	T_EQUAL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	T_EQUAL(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
	T_EQUAL(setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)), 0);
}

static void close_pair(const int pair[2])
{
	close(pair[0]);
	close(pair[1]);
}

static void call_read(void)
{
	int pair[2];
	char byte;

	make_pair(pair);
	T_EQUAL(read(pair[0], &byte, 1), -1);
	T_EQUAL(errno, EAGAIN);
	close_pair(pair);
}

static void call_recv(void)
{
	int pair[2];
	char byte;

	make_pair(pair);
	T_EQUAL(recv(pair[0], &byte, 1, 0), -1);
	close_pair(pair);
}

static void fill(const int pair[2])
{
	static const char bytes[4096];

	while (send(pair[0], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static void call_write(void)
{
	int pair[2];

	make_pair(pair);
	fill(pair);
	T_EQUAL(write(pair[0], "x", 1), -1);
	close_pair(pair);
}

static void call_send(void)
{
	int pair[2];

	make_pair(pair);
	fill(pair);
	T_EQUAL(send(pair[0], "x", 1, 0), -1);
	close_pair(pair);
}

static void *end_when_it_sleeps(void *arg)
{
	until_asleep(getpid(), *(const pid_t *)arg);
	return arg;
}

static void call_pthread_join(void)
{
	pid_t tid = gettid();
	pthread_t thread;

	T_EQUAL(pthread_create(&thread, NULL, end_when_it_sleeps, &tid), 0);
	T_EQUAL(pthread_join(thread, NULL), 0);
}

static void call_waitpid(void)
{
	pid_t parent = getpid(), tid = gettid();
	pid_t child = fork();

	if (child == 0) {
		until_asleep(parent, tid);
		_exit(0);
	}
	T_EQUAL(waitpid(child, NULL, 0), child);
}

static void call_system(void)
{
	T_EQUAL(system("true"), 0);
}

static const struct {
	void (*fn)(void);
	const char *says;
} blocking[] = {
	{ call_usleep, "in usleep(), called from" },
	{ call_nanosleep, "in nanosleep(), called from" },
	{ call_clock_nanosleep, "in clock_nanosleep(), called from" },
	{ call_poll, "in poll(), called from" },
	{ call_ppoll, "in ppoll(), called from" },
	{ call_select, "in select(), called from" },
	{ call_pselect, "in pselect(), called from" },
	{ call_epoll_wait, "in epoll_wait(), called from" },
	{ call_read, "in read(), called from" },
	{ call_recv, "in recv(), called from" },
	{ call_write, "in write(), called from" },
	{ call_send, "in send(), called from" },
	{ call_pthread_join, "in pthread_join(), called from" },
	{ call_waitpid, "in waitpid(), called from" },
	{ call_system, "in system(), called from" },
};

static unsigned blocking_index;

static int64_t block(void *arg)
{
	(void)arg;
	blocking[blocking_index].fn();
	T_EQUAL(blocking_calls(), ROTA_DEBUG);
	return 0;
}

static int64_t spawn_blocker(void *arg)
{
	const struct rota_spawn_options options = { .name = "blocker" };
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn_with(&scope, block, arg, &options), 0);
	return rota_scope_close(&scope);
}

/*
 * In a program of its own, which does not die of it: each call is reported once a second, and a
 * ring that was closed here may still interrupt what this thread waits for.
 */
static void block_and_die(void)
{
	T_EQUAL(t_run(spawn_blocker, NULL), 0);
	abort();
}

static void test_detectors_call_that_blocks_a_task_is_named(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(blocking); i++) {
		blocking_index = i;
		t_expect_death(block_and_die, ROTA_DEBUG ? blocking[i].says : "");
	}
}

static void test_detectors_task_that_blocks_is_named_with_the_place(void **state)
{
	(void)state;
	if (!ROTA_DEBUG)
		skip();
	blocking_index = 0;
	t_expect_death(block_and_die, "task \"blocker\" (tests/unit/framework/test_detectors.c:");
	t_expect_death(block_and_die, "(test_detectors+0x");
}

static int64_t sleep_elsewhere(void *arg)
{
	(void)arg;
	usleep(1000);
	return 0;
}

static int64_t block_nowhere(void *arg)
{
	struct rota_scope scope;
	char bytes[2];
	int pair[2];

	(void)arg;
	make_pair(pair);
	/* it is there */
	T_EQUAL(write(pair[1], "x", 1), 1);
	T_EQUAL(read(pair[0], bytes, 1), 1);
	T_EQUAL(poll(NULL, 0, 0), 0);
	/* told not to wait */
	T_EQUAL(recv(pair[0], bytes, 1, MSG_DONTWAIT), -1);
	T_EQUAL(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
	T_EQUAL(read(pair[0], bytes, 1), -1);
	T_EQUAL(errno, EAGAIN);
	close_pair(pair);
	/* the task waits, its reactor does not */
	T_EQUAL(rota_offload(ROTA_OFFLOAD_USER, sleep_elsewhere, NULL), 0);
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_sleep_ms(1), 0);
	T_EQUAL(rota_scope_close(&scope), 0);
	T_EQUAL(blocking_calls(), 0);
	return 7;
}

static void test_detectors_calls_that_do_not_block_are_no_alarm(void **state)
{
	(void)state;
	usleep(1000); /* nor is one outside of any reactor */
	t_log_keep();
	assert_int_equal(t_run(block_nowhere, NULL), 7);
	t_log_stop();
	assert_int_equal(t_log_count("blocked"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_detectors_task_that_waits_with_a_short_lock_is_named),
		cmocka_unit_test(test_detectors_short_lock_released_too_often_is_asserted),
		cmocka_unit_test(test_detectors_short_locks_between_waits_are_in_order),
		cmocka_unit_test(test_detectors_mutex_may_be_held_across_waits),
		cmocka_unit_test(test_detectors_future_left_in_a_frame_is_named),
		cmocka_unit_test(test_detectors_futures_that_are_done_are_no_alarm),
		cmocka_unit_test(test_detectors_call_that_blocks_a_task_is_named),
		cmocka_unit_test(test_detectors_task_that_blocks_is_named_with_the_place),
		cmocka_unit_test(test_detectors_calls_that_do_not_block_are_no_alarm),
	};

	return t_run_group("detectors", tests, ROTA_ARRAY_COUNT(tests));
}
