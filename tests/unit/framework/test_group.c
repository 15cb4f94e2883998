/* SPDX-License-Identifier: MIT */
/*
 * Groups and priorities: who runs how much, who runs first, and what the counters say. How much
 * each was given is told by its counter and compared with the others', so a busy machine changes
 * nothing; on the simulator a run is the unit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/future.h>
#include <rota/group.h>

#include "tests/support/t_core.h"

struct spinner {
	const bool *is_over;
	int rounds; /* of computing between two yields */
	struct rota_task *task;
	uint64_t cpu_ns;
};

/* Compute for a while, let others run, and again. */
static int64_t spin(void *arg)
{
	struct spinner *spinner = arg;

	spinner->task = rota_task_current();
	while (!*spinner->is_over) {
		for (volatile int i = 0; i < spinner->rounds; i++)
			;
		T_EQUAL(rota_yield(), 0);
	}
	spinner->cpu_ns = rota_task_cpu_ns(spinner->task);
	return 0;
}

static struct rota_group_stats stats_of(const struct rota_group *group)
{
	struct rota_group_stats stats;

	rota_group_stats(group, &stats);
	return stats;
}

static struct rota_group *make_group(const char *name, uint32_t shares)
{
	struct rota_group *group;

	T_EQUAL(rota_group_create(name, shares, &group), 0);
	return group;
}

static void spawn_into(struct rota_scope *scope, rota_task_fn fn, void *arg,
		       struct rota_group *group)
{
	const struct rota_spawn_options options = { .group = group };

	T_EQUAL(rota_spawn_with(scope, fn, arg, &options), 0);
}

static uint64_t used_ns(const struct rota_group *group)
{
	return stats_of(group).cpu_ns;
}

/*
 * Turn until `more` has used `times` what `less` has, from now on, within a fifth, and that much is
 * 20 ms. A machine that takes the processor away in a slice makes it a long one, which the others
 * then get back: so it may take a while, but not until `less` has used a second.
 */
static void wait_for_ratio(const struct rota_group *more, const struct rota_group *less,
			   uint64_t times)
{
	uint64_t more_before = used_ns(more), less_before = used_ns(less);

	for (;;) {
		uint64_t more_ns = used_ns(more) - more_before;
		uint64_t less_ns = (used_ns(less) - less_before) * times;

		if (less_ns >= 20 * times * (uint64_t)ROTA_NS_PER_MS &&
		    less_ns * 4 <= more_ns * 5 && more_ns * 4 <= less_ns * 5)
			return;
		T_LESS(less_ns, times * (uint64_t)ROTA_NS_PER_S);
		T_EQUAL(rota_sleep_until(0), 0);
	}
}

/* ---- shares ---- */

/* Three spinners each in two groups, until they have shared as they should. */
static void spin_both(struct rota_group *more, struct rota_group *less, uint64_t times)
{
	bool is_over = false;
	struct spinner spinner = { .is_over = &is_over, .rounds = 2000 };
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	for (unsigned i = 0; i < 3; i++) {
		spawn_into(&scope, spin, &spinner, more);
		spawn_into(&scope, spin, &spinner, less);
	}
	wait_for_ratio(more, less, times);
	is_over = true;
	T_EQUAL(rota_scope_close(&scope), 0);
}

static int64_t spin_in_groups(void *arg)
{
	struct rota_group *requests = make_group("requests", 1000);
	struct rota_group *batch = make_group("batch", 100);

	(void)arg;
	spin_both(requests, batch, 10);
	T_LESS(0, stats_of(batch).ready_ns);
	return 0;
}

static void test_group_with_ten_times_the_shares_gets_ten_times_the_time(void **state)
{
	(void)state;
	assert_int_equal(t_run(spin_in_groups, NULL), 0);
}

static int64_t change_shares(void *arg)
{
	struct rota_group *one = make_group("one", 100);
	struct rota_group *other = make_group("other", 100);

	(void)arg;
	spin_both(one, other, 1);
	T_EQUAL(rota_group_set_shares(one, 500), 0);
	spin_both(one, other, 5);
	return 0;
}

static void test_group_given_other_shares_gets_time_by_those(void **state)
{
	(void)state;
	assert_int_equal(t_run(change_shares, NULL), 0);
}

static int64_t starve(void *arg)
{
	struct rota_group *urgent = rota_group_of(ROTA_PRIORITY_URGENT);
	struct rota_group *low = rota_group_of(ROTA_PRIORITY_LOW);

	(void)arg;
	spin_both(urgent, low, 100);
	return 0;
}

static void test_group_low_tasks_are_not_starved_by_urgent_ones(void **state)
{
	(void)state;
	assert_int_equal(t_run(starve, NULL), 0);
}

/* ---- credit ---- */

/* One group works alone for long; then another comes. It must not have the reactor to itself. */
static void come_late_after(struct rota_group *early)
{
	struct rota_group *late = make_group("late", 1000);
	bool is_over = false;
	struct spinner spinner = { .is_over = &is_over, .rounds = 2000 };
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	spawn_into(&scope, spin, &spinner, early);
	while (used_ns(early) < (uint64_t)(50 * ROTA_NS_PER_MS))
		T_EQUAL(rota_sleep_until(0), 0);
	spawn_into(&scope, spin, &spinner, late);
	wait_for_ratio(early, late, 1);
	is_over = true;
	T_EQUAL(rota_scope_close(&scope), 0);
}

static int64_t come_late(void *arg)
{
	(void)arg;
	come_late_after(make_group("early", 1000));
	return 0;
}

static void test_group_that_was_idle_has_saved_nothing(void **state)
{
	(void)state;
	assert_int_equal(t_run(come_late, NULL), 0);
}

static int64_t come_after_normal(void *arg)
{
	(void)arg;
	come_late_after(rota_group_of(ROTA_PRIORITY_NORMAL));
	return 0;
}

static void test_group_that_ran_alone_owes_nothing_when_another_comes(void **state)
{
	(void)state;
	assert_int_equal(t_run(come_after_normal, NULL), 0);
}

/* ---- priorities ---- */

struct runner {
	unsigned *next;
	unsigned at; /* how many had run before it */
};

static int64_t note_order(void *arg)
{
	struct runner *runner = arg;

	runner->at = (*runner->next)++;
	return 0;
}

static int64_t run_by_priority(void *arg)
{
	const struct rota_spawn_options urgent = { .priority = ROTA_PRIORITY_URGENT };
	struct runner normals[200], urgents[3];
	struct rota_scope scope;
	unsigned next = 0;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	for (unsigned i = 0; i < 200; i++) {
		normals[i].next = &next;
		T_EQUAL(rota_spawn(&scope, note_order, &normals[i]), 0);
	}
	for (unsigned i = 0; i < 3; i++) {
		urgents[i].next = &next;
		T_EQUAL(rota_spawn_with(&scope, note_order, &urgents[i], &urgent), 0);
	}
	T_EQUAL(rota_scope_close(&scope), 0);
	/* The normal ones begin; from the first look on the urgent ones are in front. */
	for (unsigned i = 0; i < 3; i++)
		T_LESS(urgents[i].at, 100);
	return 0;
}

static void test_group_urgent_tasks_run_before_the_others(void **state)
{
	(void)state;
	assert_int_equal(t_run(run_by_priority, NULL), 0);
}

/* ---- which group ---- */

static int64_t look_where_i_am(void *arg)
{
	*(struct rota_group **)arg = rota_group_of(ROTA_PRIORITY_INHERIT);
	return 0;
}

static int64_t spawn_one_more(void *arg)
{
	struct rota_scope scope;

	T_EQUAL(rota_yield(), 0);
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, look_where_i_am, arg), 0);
	return rota_scope_close(&scope);
}

static int64_t spawn_from_group(void *arg)
{
	struct rota_group *group = make_group("mine", 10);
	struct rota_group *normal = rota_group_of(ROTA_PRIORITY_NORMAL);
	const struct rota_spawn_options back = { .priority = ROTA_PRIORITY_NORMAL };
	struct rota_group *seen[3] = { NULL };
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	spawn_into(&scope, spawn_one_more, &seen[0], group);
	T_EQUAL(rota_spawn(&scope, spawn_one_more, &seen[1]), 0);
	T_EQUAL(rota_spawn_with(&scope, look_where_i_am, &seen[2], &back), 0);
	T_EQUAL(stats_of(group).tasks_alive, 1);
	T_EQUAL(stats_of(normal).tasks_alive, 3);
	T_EQUAL(rota_scope_close(&scope), 0);
	T_CHECK(seen[0] == group);
	T_CHECK(seen[1] == normal);
	T_CHECK(seen[2] == normal);
	T_EQUAL(stats_of(group).tasks_alive, 0);
	/* begun, gone on after the yield, gone on after the close; and the one it spawned */
	T_EQUAL(stats_of(group).runs, 4);
	rota_group_destroy(group);
	return 0;
}

static void test_group_is_inherited_from_the_spawner(void **state)
{
	(void)state;
	assert_int_equal(t_run(spawn_from_group, NULL), 0);
}

static int64_t count_and_yield(void *arg)
{
	for (int i = 0; i < 40; i++) {
		++*(unsigned *)arg;
		T_EQUAL(rota_yield(), 0);
	}
	return 0;
}

/* From one queue to several and back, with tasks in every place: nobody is lost or runs twice. */
static int64_t come_and_go(void *arg)
{
	const struct rota_spawn_options urgent = { .priority = ROTA_PRIORITY_URGENT };
	struct rota_scope scope;
	unsigned count = 0;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 50; i++)
			T_EQUAL(rota_spawn(&scope, count_and_yield, &count), 0);
		T_EQUAL(rota_spawn_with(&scope, count_and_yield, &count, &urgent), 0);
		for (int i = 0; i < round * 3; i++)
			T_EQUAL(rota_yield(), 0);
	}
	T_EQUAL(rota_scope_close(&scope), 0);
	T_EQUAL(count, 20 * 51 * 40);
	T_EQUAL(stats_of(rota_group_of(ROTA_PRIORITY_NORMAL)).tasks_alive, 1);
	return 0;
}

static void test_group_comes_and_goes_and_every_task_runs(void **state)
{
	(void)state;
	assert_int_equal(t_run(come_and_go, NULL), 0);
}

/* ---- making them ---- */

static void count_group(struct rota_group *group, void *arg)
{
	T_LESS(0, stats_of(group).shares);
	++*(unsigned *)arg;
}

static int64_t make_many(void *arg)
{
	struct rota_group *groups[ROTA_GROUPS_MAX], *more;
	unsigned count = 0, made = 0;

	(void)arg;
	rota_group_each(count_group, &count);
	T_EQUAL(count, 3);
	while (made < ROTA_GROUPS_MAX && rota_group_create("one", 1, &groups[made]) == 0)
		made++;
	T_EQUAL(made, ROTA_GROUPS_MAX - 3);
	T_EQUAL(rota_group_create("too many", 1, &more), -EMFILE);
	rota_group_destroy(groups[4]);
	T_EQUAL(rota_group_create("again", 7, &more), 0);
	T_EQUAL(stats_of(more).shares, 7);
	T_EQUAL(strcmp(stats_of(more).name, "again"), 0);
	T_EQUAL(rota_group_create("none", 0, &more), -EINVAL);
	T_EQUAL(rota_group_create("lots", ROTA_SHARES_MAX + 1, &more), -EINVAL);
	T_EQUAL(rota_group_set_shares(groups[0], 0), -EINVAL);
	T_EQUAL(stats_of(groups[0]).shares, 1);
	rota_group_destroy(NULL);
	return 0;
}

static void test_group_beyond_the_limit_or_without_shares_is_refused(void **state)
{
	(void)state;
	assert_int_equal(t_run(make_many, NULL), 0);
}

static int64_t destroy_in_use(void *arg)
{
	struct rota_group *group = make_group("mine", 10);
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	spawn_into(&scope, spawn_one_more, arg, group);
	rota_group_destroy(group);
	return rota_scope_close(&scope);
}

static int64_t destroy_ready_made(void *arg)
{
	(void)arg;
	rota_group_destroy(rota_group_of(ROTA_PRIORITY_LOW));
	return 0;
}

static int64_t ask_for_both(void *arg)
{
	const struct rota_spawn_options both = { .priority = ROTA_PRIORITY_LOW,
						 .group = make_group("mine", 10) };
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn_with(&scope, look_where_i_am, arg, &both), 0);
	return rota_scope_close(&scope);
}

static void die_destroying_in_use(void)
{
	t_run(destroy_in_use, NULL);
}

static void die_destroying_ready_made(void)
{
	t_run(destroy_ready_made, NULL);
}

static void die_asking_for_both(void)
{
	t_run(ask_for_both, NULL);
}

static void test_group_misused_is_asserted(void **state)
{
	(void)state;
	t_expect_death(die_destroying_in_use, "group->stats.tasks_alive == 0");
	t_expect_death(die_destroying_ready_made, "GROUP_READY_MADE_COUNT");
	t_expect_death(die_asking_for_both, "options->priority == ROTA_PRIORITY_INHERIT");
}

/* ---- the quota ---- */

struct computer {
	const bool *is_over;
	uint64_t told; /* how often it was to yield */
};

static int64_t compute(void *arg)
{
	struct computer *computer = arg;

	while (!*computer->is_over) {
		computer->told += rota_should_yield();
		T_EQUAL(rota_yield_if_needed(), 0);
	}
	return 0;
}

/* Tasks that compute and ask keep neither each other nor timers from running. */
static int64_t compute_together(void *arg)
{
	bool is_over = false;
	struct computer computers[3] = { { &is_over, 0 }, { &is_over, 0 }, { &is_over, 0 } };
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	for (unsigned i = 0; i < 3; i++)
		T_EQUAL(rota_spawn(&scope, compute, &computers[i]), 0);
	while (!computers[0].told || !computers[1].told || !computers[2].told)
		T_EQUAL(rota_sleep_until(0), 0);
	is_over = true;
	return rota_scope_close(&scope);
}

static void test_group_tasks_that_compute_and_ask_let_others_run(void **state)
{
	(void)state;
	assert_int_equal(t_run(compute_together, NULL), 0);
}

static int64_t compute_until_cancelled(void *arg)
{
	int status;

	(void)arg;
	while ((status = rota_yield_if_needed()) == 0)
		;
	T_EQUAL(rota_yield_if_needed(), -ECANCELED);
	return status;
}

static int64_t cancel_computing(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, compute_until_cancelled, NULL), 0);
	T_EQUAL(rota_yield(), 0);
	rota_scope_cancel(&scope, "enough");
	T_EQUAL(rota_scope_close(&scope), -ECANCELED);
	return 0;
}

static void test_group_task_that_computes_hears_of_its_cancellation(void **state)
{
	(void)state;
	assert_int_equal(t_run(cancel_computing, NULL), 0);
}

/* The one that works is charged, and not the nine that do nothing beside it. */
static int64_t charge(void *arg)
{
	struct spinner spinners[10];
	bool is_over = false;
	struct rota_scope scope;
	uint64_t idlers_ns = 0;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	for (unsigned i = 0; i < 10; i++) {
		spinners[i] = (struct spinner){
			.is_over = &is_over, /* far above what is looked at singly */
			.rounds = i ? 0 : 400000
		};
		T_EQUAL(rota_spawn(&scope, spin, &spinners[i]), 0);
	}
	T_EQUAL(rota_yield(), 0);
	while (rota_task_cpu_ns(spinners[0].task) < (uint64_t)(50 * ROTA_NS_PER_MS))
		T_EQUAL(rota_sleep_until(0), 0);
	is_over = true;
	T_EQUAL(rota_scope_close(&scope), 0);
	for (unsigned i = 1; i < 10; i++)
		idlers_ns += spinners[i].cpu_ns;
	if (!t_is_simulated()) /* there all runs are alike */
		T_LESS(idlers_ns, spinners[0].cpu_ns);
	return 0;
}

static void test_group_task_that_computes_is_charged_for_it(void **state)
{
	(void)state;
	assert_int_equal(t_run(charge, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_group_with_ten_times_the_shares_gets_ten_times_the_time),
		cmocka_unit_test(test_group_given_other_shares_gets_time_by_those),
		cmocka_unit_test(test_group_low_tasks_are_not_starved_by_urgent_ones),
		cmocka_unit_test(test_group_that_was_idle_has_saved_nothing),
		cmocka_unit_test(test_group_that_ran_alone_owes_nothing_when_another_comes),
		cmocka_unit_test(test_group_urgent_tasks_run_before_the_others),
		cmocka_unit_test(test_group_is_inherited_from_the_spawner),
		cmocka_unit_test(test_group_comes_and_goes_and_every_task_runs),
		cmocka_unit_test(test_group_beyond_the_limit_or_without_shares_is_refused),
		cmocka_unit_test(test_group_misused_is_asserted),
		cmocka_unit_test(test_group_tasks_that_compute_and_ask_let_others_run),
		cmocka_unit_test(test_group_task_that_computes_hears_of_its_cancellation),
		cmocka_unit_test(test_group_task_that_computes_is_charged_for_it),
	};

	return t_run_group("group", tests, ROTA_ARRAY_COUNT(tests));
}
