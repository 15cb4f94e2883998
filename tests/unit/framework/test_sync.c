/* SPDX-License-Identifier: MIT */
/*
 * Synchronisation within a reactor, local and shared objects alike: who waits is served in order,
 * nobody is forgotten, and who is cancelled has the thing or has not. At random: test_sync_crowd.c;
 * between reactors: test_shared_sync.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/sync.h>

#include "tests/support/t_core.h"

/* Every test is done with a local object and with a shared one. */
static enum rota_reach reach;

static void run_both(rota_task_fn fn)
{
	for (reach = ROTA_LOCAL; reach <= ROTA_SHARED; reach++)
		assert_int_equal(t_run(fn, NULL), 0);
}

/* ---- a line of tasks ---- */

#define PEOPLE_MAX 8

struct line;

struct person {
	struct line *line;
	int number;
	int64_t status; /* what the wait returned */
	struct rota_scope scope;
};

struct line {
	struct rota_scope scope;
	struct rota_mutex mutex;
	struct rota_rwlock rwlock;
	struct rota_semaphore semaphore;
	struct rota_condition condition;
	struct rota_event event;
	struct rota_latch latch;
	struct rota_barrier barrier;
	struct rota_once once;
	struct person people[PEOPLE_MAX];
	unsigned count;
	int order[PEOPLE_MAX]; /* numbers, as they were served */
	unsigned served;
	unsigned inside, inside_max;
};

static void line_open(struct line *line)
{
	*line = (struct line){ .count = 0 };
	rota_mutex_init(&line->mutex, reach);
	rota_rwlock_init(&line->rwlock, reach);
	rota_semaphore_init(&line->semaphore, reach, 0);
	rota_condition_init(&line->condition, reach);
	rota_event_init(&line->event, reach);
	rota_latch_init(&line->latch, reach, 2);
	rota_barrier_init(&line->barrier, reach, 3);
	rota_once_init(&line->once, reach);
	rota_scope_open(&line->scope, ROTA_NEVER);
}

static int64_t line_close(struct line *line)
{
	int64_t status = rota_scope_close(&line->scope);

	rota_mutex_fini(&line->mutex);
	rota_rwlock_fini(&line->rwlock);
	rota_semaphore_fini(&line->semaphore);
	rota_condition_fini(&line->condition);
	rota_event_fini(&line->event);
	rota_latch_fini(&line->latch);
	rota_barrier_fini(&line->barrier);
	rota_once_fini(&line->once);
	return status;
}

/* One more, who has run until it waits when this returns. */
static struct person *come(struct line *line, rota_task_fn fn)
{
	struct person *person = &line->people[line->count];

	person->line = line;
	person->number = (int)line->count++;
	person->status = -EAGAIN; /* still waits */
	T_EQUAL(rota_spawn(&line->scope, fn, person), 0);
	T_EQUAL(rota_yield(), 0);
	return person;
}

static void serve(struct person *person, int64_t status)
{
	person->status = status;
	if (status >= 0)
		person->line->order[person->line->served++] = person->number;
}

static void expect_order(const struct line *line, const int *numbers, unsigned count)
{
	T_EQUAL(line->served, count);
	for (unsigned i = 0; i < count; i++)
		T_EQUAL(line->order[i], numbers[i]);
}

#define EXPECT_ORDER(line, ...)                                                                    \
	expect_order((line), (int[]){ __VA_ARGS__ }, sizeof((int[]){ __VA_ARGS__ }) / sizeof(int))

/* ---- mutex ---- */

static int64_t lock_and_hold(void *arg)
{
	struct person *person = arg;
	struct line *line = person->line;

	rota_scope_open(&person->scope, ROTA_NEVER);
	serve(person, rota_mutex_lock(&line->mutex));
	if (person->status == 0) {
		T_EQUAL(++line->inside, 1);
		if (!rota_scope_is_cancelled(&person->scope))
			T_EQUAL(rota_yield(), 0);
		line->inside--;
		rota_mutex_unlock(&line->mutex);
	}
	rota_ignore(rota_scope_close(&person->scope), "cancelled or not");
	return 0;
}

static int64_t hand_over(void *arg)
{
	struct line line;

	(void)arg;
	line_open(&line);
	T_EQUAL(rota_mutex_lock(&line.mutex), 0);
	T_EQUAL(rota_mutex_lock(&line.mutex), -EDEADLK);
	for (int i = 0; i < 5; i++)
		T_EQUAL(come(&line, lock_and_hold)->status, -EAGAIN);
	rota_mutex_unlock(&line.mutex);
	/* It is the first one's already, although that has not run. */
	T_EQUAL(rota_mutex_try_lock(&line.mutex), -EAGAIN);
	T_EQUAL(rota_mutex_lock(&line.mutex), 0);
	EXPECT_ORDER(&line, 0, 1, 2, 3, 4);
	rota_mutex_unlock(&line.mutex);
	T_EQUAL(rota_mutex_try_lock(&line.mutex), 0);
	rota_mutex_unlock(&line.mutex);
	return line_close(&line);
}

static void test_mutex_unlock_hands_it_to_the_first_in_line(void **state)
{
	(void)state;
	run_both(hand_over);
}

static int64_t leave_line(void *arg)
{
	struct line line;

	(void)arg;
	line_open(&line);
	T_EQUAL(rota_mutex_lock(&line.mutex), 0);
	for (int i = 0; i < 4; i++)
		come(&line, lock_and_hold);
	rota_scope_cancel(&line.people[0].scope, "test");
	rota_scope_cancel(&line.people[2].scope, "test");
	t_settle();
	T_EQUAL(line.people[0].status, -ECANCELED);
	T_EQUAL(line.people[2].status, -ECANCELED);
	rota_mutex_unlock(&line.mutex);
	t_settle();
	EXPECT_ORDER(&line, 1, 3);
	return line_close(&line);
}

static void test_mutex_cancelled_waiter_leaves_the_line(void **state)
{
	(void)state;
	run_both(leave_line);
}

static int64_t cancel_the_owner(void *arg)
{
	struct line line;

	(void)arg;
	line_open(&line);
	T_EQUAL(rota_mutex_lock(&line.mutex), 0);
	come(&line, lock_and_hold);
	come(&line, lock_and_hold);
	rota_mutex_unlock(&line.mutex);
	rota_scope_cancel(&line.people[0].scope, "it has been given the mutex already");
	t_settle();
	T_EQUAL(line.people[0].status, 0);
	EXPECT_ORDER(&line, 0, 1);
	return line_close(&line);
}

static void test_mutex_cancelled_after_the_hand_over_is_held(void **state)
{
	(void)state;
	run_both(cancel_the_owner);
}

static int64_t lock_too_late(void *arg)
{
	struct line line;
	struct rota_scope scope;

	(void)arg;
	line_open(&line);
	come(&line, lock_and_hold);
	rota_scope_open(&scope, rota_after_ms(1));
	T_EQUAL(rota_mutex_lock(&line.mutex), 0); /* let go by the other */
	T_EQUAL(rota_sleep_ms(1000), -ETIMEDOUT);
	rota_mutex_unlock(&line.mutex); /* works for who is cancelled */
	T_EQUAL(rota_mutex_lock(&line.mutex), -ETIMEDOUT);
	T_EQUAL(rota_mutex_try_lock(&line.mutex), 0);
	rota_mutex_unlock(&line.mutex);
	T_EQUAL(rota_semaphore_acquire(&line.semaphore, 0), -ETIMEDOUT);
	T_EQUAL(rota_event_wait(&line.event), -ETIMEDOUT);
	T_EQUAL(rota_latch_wait(&line.latch), -ETIMEDOUT);
	T_EQUAL(rota_barrier_wait(&line.barrier), -ETIMEDOUT);
	T_EQUAL(rota_rwlock_lock_read(&line.rwlock), -ETIMEDOUT);
	T_EQUAL(rota_rwlock_lock_write(&line.rwlock), -ETIMEDOUT);
	T_EQUAL(rota_once_run(&line.once, lock_too_late, NULL), -ETIMEDOUT);
	T_EQUAL(rota_scope_close(&scope), -ETIMEDOUT);
	return line_close(&line);
}

static void test_sync_cancelled_before_gets_nothing_even_if_free(void **state)
{
	(void)state;
	run_both(lock_too_late);
}

/* ---- reader-writer lock ---- */

static int64_t read_for_long(void *arg)
{
	struct person *person = arg;
	struct line *line = person->line;

	rota_scope_open(&person->scope, ROTA_NEVER);
	serve(person, rota_rwlock_lock_read(&line->rwlock));
	if (person->status == 0) {
		if (++line->inside > line->inside_max)
			line->inside_max = line->inside;
		T_EQUAL(rota_event_wait(&line->event), 0);
		line->inside--;
		rota_rwlock_unlock_read(&line->rwlock);
	}
	rota_ignore(rota_scope_close(&person->scope), "cancelled or not");
	return 0;
}

static int64_t write_once(void *arg)
{
	struct person *person = arg;
	struct line *line = person->line;

	rota_scope_open(&person->scope, ROTA_NEVER);
	serve(person, rota_rwlock_lock_write(&line->rwlock));
	if (person->status == 0) {
		T_EQUAL(line->inside++, 0);
		T_EQUAL(rota_rwlock_lock_read(&line->rwlock), -EDEADLK);
		T_EQUAL(rota_yield(), 0);
		line->inside--;
		rota_rwlock_unlock_write(&line->rwlock);
	}
	rota_ignore(rota_scope_close(&person->scope), "cancelled or not");
	return 0;
}

static int64_t share(void *arg)
{
	struct line line;

	(void)arg;
	line_open(&line);
	come(&line, read_for_long); /* 0 */
	come(&line, read_for_long);
	come(&line, write_once); /* 2 */
	come(&line, read_for_long);
	T_EQUAL(line.inside, 2); /* the last one waits behind the writer */
	T_EQUAL(rota_rwlock_try_lock_read(&line.rwlock), -EAGAIN);
	T_EQUAL(rota_rwlock_try_lock_write(&line.rwlock), -EAGAIN);
	rota_event_set(&line.event);
	t_settle();
	EXPECT_ORDER(&line, 0, 1, 2, 3);
	T_EQUAL(line.inside_max, 2);
	T_EQUAL(rota_rwlock_try_lock_read(&line.rwlock), 0);
	T_EQUAL(rota_rwlock_try_lock_write(&line.rwlock), -EAGAIN);
	rota_rwlock_unlock_read(&line.rwlock);
	T_EQUAL(rota_rwlock_try_lock_write(&line.rwlock), 0);
	rota_rwlock_unlock_write(&line.rwlock);
	return line_close(&line);
}

static void test_rwlock_readers_share_and_wait_behind_a_writer(void **state)
{
	(void)state;
	run_both(share);
}

static int64_t give_up_writing(void *arg)
{
	struct line line;

	(void)arg;
	line_open(&line);
	come(&line, read_for_long); /* 0 */
	come(&line, write_once);    /* 1 */
	come(&line, read_for_long);
	come(&line, read_for_long);
	T_EQUAL(line.inside, 1);
	rota_scope_cancel(&line.people[1].scope, "test");
	t_settle();
	T_EQUAL(line.people[1].status, -ECANCELED);
	T_EQUAL(line.inside, 3);
	rota_event_set(&line.event);
	return line_close(&line);
}

static void test_rwlock_writer_that_gives_up_lets_readers_in(void **state)
{
	(void)state;
	run_both(give_up_writing);
}

/* ---- semaphore ---- */

/* As many units as its number plus 1. */
static int64_t acquire_some(void *arg)
{
	struct person *person = arg;

	rota_scope_open(&person->scope, ROTA_NEVER);
	serve(person,
	      rota_semaphore_acquire(&person->line->semaphore, (uint64_t)person->number + 1));
	rota_ignore(rota_scope_close(&person->scope), "cancelled or not");
	return 0;
}

static int64_t take_units(void *arg)
{
	struct line line;

	(void)arg;
	line_open(&line);
	for (int i = 0; i < 4; i++) /* want 1, 2, 3, 4 */
		come(&line, acquire_some);
	T_EQUAL(rota_semaphore_try_acquire(&line.semaphore, 0), -EAGAIN); /* no overtaking */
	rota_semaphore_release(&line.semaphore, 1);
	t_settle();
	EXPECT_ORDER(&line, 0);
	rota_semaphore_release(&line.semaphore, 2);
	t_settle();
	EXPECT_ORDER(&line, 0, 1);
	rota_semaphore_release(&line.semaphore, 2); /* not enough for the third */
	t_settle();
	EXPECT_ORDER(&line, 0, 1);
	rota_semaphore_release(&line.semaphore, 2); /* enough for the third, or for the fourth */
	rota_scope_cancel(&line.people[3].scope, "test");
	t_settle();
	EXPECT_ORDER(&line, 0, 1, 2);
	T_EQUAL(line.people[3].status, -ECANCELED);
	T_EQUAL(rota_semaphore_try_acquire(&line.semaphore, 2), -EAGAIN);
	T_EQUAL(rota_semaphore_try_acquire(&line.semaphore, 1), 0);
	return line_close(&line);
}

static void test_semaphore_units_go_in_order_all_at_once(void **state)
{
	(void)state;
	run_both(take_units);
}

static int64_t give_up_many(void *arg)
{
	struct line line;

	(void)arg;
	line_open(&line);
	line.count = 5;
	come(&line, acquire_some); /* wants 6 */
	line.count = 0;
	come(&line, acquire_some); /* wants 1 */
	rota_semaphore_release(&line.semaphore, 3);
	t_settle();
	T_EQUAL(line.served, 0);
	rota_scope_cancel(&line.people[5].scope, "test");
	t_settle();
	EXPECT_ORDER(&line, 0);
	T_EQUAL(rota_semaphore_try_acquire(&line.semaphore, 2), 0);
	return line_close(&line);
}

static void test_semaphore_who_gives_up_lets_those_behind_go(void **state)
{
	(void)state;
	run_both(give_up_many);
}

/* ---- condition ---- */

static int64_t wait_for_change(void *arg)
{
	struct person *person = arg;
	struct line *line = person->line;

	T_EQUAL(rota_mutex_lock(&line->mutex), 0);
	rota_scope_open(&person->scope, ROTA_NEVER);
	serve(person, rota_condition_wait(&line->condition, &line->mutex));
	T_EQUAL(line->inside++, 0); /* holds the mutex, whatever it returned */
	rota_ignore(rota_scope_close(&person->scope), "cancelled or not");
	T_EQUAL(rota_yield(), 0);
	line->inside--;
	rota_mutex_unlock(&line->mutex);
	return 0;
}

static int64_t notify_some(void *arg)
{
	struct line line;

	(void)arg;
	line_open(&line);
	rota_condition_notify(&line.condition, 1); /* nobody: lost, as it should be */
	for (int i = 0; i < 5; i++)
		come(&line, wait_for_change);
	T_EQUAL(rota_mutex_lock(&line.mutex), 0);
	rota_condition_notify(&line.condition, 2);
	rota_scope_cancel(&line.people[3].scope, "test");
	t_settle();
	T_EQUAL(line.served, 0); /* they want the mutex first */
	rota_mutex_unlock(&line.mutex);
	t_settle();
	T_EQUAL(line.served, 2);
	T_EQUAL(line.people[0].status, 0);
	T_EQUAL(line.people[1].status, 0);
	T_EQUAL(line.people[2].status, -EAGAIN);
	T_EQUAL(line.people[3].status, -ECANCELED);
	rota_condition_notify_all(&line.condition);
	t_settle();
	T_EQUAL(line.served, 4);
	return line_close(&line);
}

static void test_condition_wakes_so_many_and_all_hold_the_mutex(void **state)
{
	(void)state;
	run_both(notify_some);
}

/* ---- event, latch, barrier ---- */

static int64_t wait_for_event(void *arg)
{
	struct person *person = arg;

	serve(person, rota_event_wait(&person->line->event));
	return 0;
}

static int64_t wait_for_latch(void *arg)
{
	struct person *person = arg;

	serve(person, rota_latch_wait(&person->line->latch));
	return 0;
}

static int64_t set_and_count(void *arg)
{
	struct line line;

	(void)arg;
	line_open(&line);
	come(&line, wait_for_event);
	come(&line, wait_for_event);
	rota_event_set(&line.event);
	rota_event_clear(&line.event); /* those who waited go on all the same */
	T_CHECK(!rota_event_is_set(&line.event));
	t_settle();
	T_EQUAL(line.served, 2);
	come(&line, wait_for_event);
	t_settle();
	T_EQUAL(line.served, 2);
	rota_event_set(&line.event);
	T_CHECK(rota_event_is_set(&line.event));
	T_EQUAL(rota_event_wait(&line.event), 0);
	t_settle();
	T_EQUAL(line.served, 3);

	come(&line, wait_for_latch);
	rota_latch_count_down(&line.latch, 1);
	t_settle();
	T_EQUAL(line.served, 3);
	rota_latch_count_down(&line.latch, 1);
	T_EQUAL(rota_latch_wait(&line.latch), 0);
	t_settle();
	T_EQUAL(line.served, 4);
	return line_close(&line);
}

static void test_event_and_latch_let_everybody_go(void **state)
{
	(void)state;
	run_both(set_and_count);
}

static int64_t meet(void *arg)
{
	struct person *person = arg;

	rota_scope_open(&person->scope, ROTA_NEVER);
	serve(person, rota_barrier_wait(&person->line->barrier));
	rota_ignore(rota_scope_close(&person->scope), "cancelled or not");
	return 0;
}

static int64_t meet_in_rounds(void *arg)
{
	struct line line;

	(void)arg;
	line_open(&line);
	come(&line, meet);
	come(&line, meet); /* and goes again */
	rota_scope_cancel(&line.people[0].scope, "test");
	t_settle();
	T_EQUAL(line.people[0].status, -ECANCELED);
	come(&line, meet);
	T_EQUAL(line.served, 0);
	T_EQUAL(rota_barrier_wait(&line.barrier), 2);
	t_settle();
	T_EQUAL(line.people[1].status, 0);
	T_EQUAL(line.people[2].status, 1);
	come(&line, meet); /* the next round */
	come(&line, meet);
	T_EQUAL(line.served, 2);
	T_EQUAL(rota_barrier_wait(&line.barrier), 2);
	t_settle();
	T_EQUAL(line.served, 4);
	return line_close(&line);
}

static void test_barrier_parties_meet_and_one_that_leaves_is_not_counted(void **state)
{
	(void)state;
	run_both(meet_in_rounds);
}

/* ---- once ---- */

static unsigned attempts;

static int64_t fail_first(void *arg)
{
	struct line *line = arg;

	T_EQUAL(rota_once_run(&line->once, fail_first, line), -EDEADLK);
	T_EQUAL(rota_yield(), 0);
	return ++attempts == 1 ? -EIO : 7;
}

static int64_t need_it(void *arg)
{
	struct person *person = arg;

	person->status = rota_once_run(&person->line->once, fail_first, person->line);
	return 0;
}

static int64_t do_once(void *arg)
{
	struct line line;

	(void)arg;
	attempts = 0;
	line_open(&line);
	for (int i = 0; i < 4; i++)
		come(&line, need_it);
	t_settle();
	T_EQUAL(line.people[0].status, -EIO);
	for (int i = 1; i < 4; i++)
		T_EQUAL(line.people[i].status, 7);
	T_EQUAL(attempts, 2);
	T_EQUAL(rota_once_run(&line.once, fail_first, &line), 7);
	T_EQUAL(attempts, 2);
	return line_close(&line);
}

static void test_once_is_done_once_and_tried_by_the_next_after_a_failure(void **state)
{
	(void)state;
	run_both(do_once);
}

/* ---- bad use ---- */

static struct line bad;

static int64_t unlock_anothers(void *arg)
{
	(void)arg;
	line_open(&bad);
	come(&bad, lock_and_hold); /* holds it now */
	rota_mutex_unlock(&bad.mutex);
	return 0;
}

static int64_t end_with_lock(void *arg)
{
	(void)arg;
	rota_mutex_init(&bad.mutex, reach);
	return rota_mutex_lock(&bad.mutex);
}

static int64_t count_below_nothing(void *arg)
{
	(void)arg;
	rota_latch_init(&bad.latch, reach, 2);
	rota_latch_count_down(&bad.latch, 3);
	return 0;
}

static int64_t leave_waiters_behind(void *arg)
{
	(void)arg;
	line_open(&bad);
	come(&bad, wait_for_event);
	rota_event_fini(&bad.event);
	return 0;
}

static rota_task_fn bad_fn;

static void run_bad(void)
{
	rota_ignore(t_run(bad_fn, NULL), "it dies");
}

static void expect_bad(rota_task_fn fn, const char *text)
{
	bad_fn = fn;
	for (reach = ROTA_LOCAL; reach <= ROTA_SHARED; reach++)
		t_expect_death(run_bad, text);
}

static void test_sync_bad_use_is_named(void **state)
{
	(void)state;
	expect_bad(unlock_anothers, "mutex->owner_ == task");
	if (ROTA_DEBUG)
		expect_bad(end_with_lock, "ended with a lock still held");
	expect_bad(count_below_nothing, "count <= latch->left_");
	expect_bad(leave_waiters_behind, "rota__line_is_empty(line)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mutex_unlock_hands_it_to_the_first_in_line),
		cmocka_unit_test(test_mutex_cancelled_waiter_leaves_the_line),
		cmocka_unit_test(test_mutex_cancelled_after_the_hand_over_is_held),
		cmocka_unit_test(test_sync_cancelled_before_gets_nothing_even_if_free),
		cmocka_unit_test(test_rwlock_readers_share_and_wait_behind_a_writer),
		cmocka_unit_test(test_rwlock_writer_that_gives_up_lets_readers_in),
		cmocka_unit_test(test_semaphore_units_go_in_order_all_at_once),
		cmocka_unit_test(test_semaphore_who_gives_up_lets_those_behind_go),
		cmocka_unit_test(test_condition_wakes_so_many_and_all_hold_the_mutex),
		cmocka_unit_test(test_event_and_latch_let_everybody_go),
		cmocka_unit_test(test_barrier_parties_meet_and_one_that_leaves_is_not_counted),
		cmocka_unit_test(test_once_is_done_once_and_tried_by_the_next_after_a_failure),
		cmocka_unit_test(test_sync_bad_use_is_named),
	};

	return t_run_group("sync", tests, ROTA_ARRAY_COUNT(tests));
}
