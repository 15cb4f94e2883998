/* SPDX-License-Identifier: MIT */
/*
 * Driving a world: seeded turns, time that jumps, deadlocks that are named instead of hanging.
 */
#include <string.h>

#include "tests/unit/backends/sim/t_sim.h"

static struct t_sim sim;

/* Polls with one deadline after the other, and stops behind the last. */
struct sleeper {
	struct rota_backend *engine;
	rota_ns step_ns;
	unsigned sleeps;
	rota_ns wake_at;
	unsigned steps;
	char *order; /* its letter goes here at each wake-up */
	char letter;
};

static int step_sleeper(void *arg)
{
	struct sleeper *sleeper = arg;
	struct rota_completion completion;
	rota_ns now = sleeper->engine->ops->now(sleeper->engine);
	int count;

	sleeper->steps++;
	if (sleeper->sleeps && now >= sleeper->wake_at) {
		sleeper->sleeps--;
		sleeper->wake_at = now + sleeper->step_ns;
		if (sleeper->order)
			strncat(sleeper->order, &sleeper->letter, 1);
		return 1;
	}
	count = sleeper->engine->ops->poll(sleeper->engine, &completion, 1, sleeper->wake_at);
	if (count > 0)
		completion.op->complete(completion.op, &completion);
	return count;
}

static bool sleeper_has_stopped(void *arg)
{
	return ((struct sleeper *)arg)->sleeps == 0;
}

static struct rota_sim_actor actor_of(struct sleeper *sleeper)
{
	return (struct rota_sim_actor){ .step = step_sleeper,
					.has_stopped = sleeper_has_stopped,
					.arg = sleeper,
					.backend = sleeper->engine };
}

static int setup(void **state)
{
	(void)state;
	t_sim_init(&sim, 1);
	return 0;
}

static void test_drive_jumps_over_idle_time(void **state)
{
	struct sleeper sleeper = { .step_ns = 3600 * ROTA_NS_PER_S, .sleeps = 101 };
	struct rota_sim_actor actor;

	(void)state;
	t_sim_open(&sim);
	sleeper.engine = sim.engine;
	actor = actor_of(&sleeper);
	assert_int_equal(rota_sim_drive(&actor, 1), 0);
	assert_true(rota_sim_now(sim.world) >= 100 * 3600 * ROTA_NS_PER_S);
	assert_in_range(sleeper.steps, 101, 404);
	assert_int_equal(rota_sim_steps(sim.world), sleeper.steps);
	t_sim_close(&sim);
}

static void test_drive_without_actors_has_nothing_to_do(void **state)
{
	(void)state;
	assert_int_equal(rota_sim_drive(NULL, 0), 0);
}

/* Two sleepers with the same times: each of them is first under some seed. */
static void test_drive_order_is_drawn_from_the_seed(void **state)
{
	bool a_first = false, b_first = false;

	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++) {
		char order[3] = "";
		struct sleeper sleepers[2] = { { .sleeps = 1, .letter = 'a', .order = order },
					       { .sleeps = 1, .letter = 'b', .order = order } };
		struct rota_sim_actor actors[2];

		t_sim_init(&sim, seed);
		t_sim_open(&sim);
		sleepers[0].engine = sim.engine;
		sleepers[1].engine = t_engine(&sim);
		for (int i = 0; i < 2; i++)
			actors[i] = actor_of(&sleepers[i]);
		assert_int_equal(rota_sim_drive(actors, 2), 0);
		a_first |= !strcmp(order, "ab");
		b_first |= !strcmp(order, "ba");
		rota_backend_destroy(sleepers[1].engine);
		t_sim_close(&sim);
	}
	assert_true(a_first);
	assert_true(b_first);
}

static void test_drive_names_a_deadlock(void **state)
{
	struct sleeper sleeper = { .sleeps = 1, .wake_at = ROTA_NEVER };
	struct rota_sim_actor actor;
	struct t_op *receive;
	int a, b;

	(void)state;
	t_sim_open(&sim);
	sleeper.engine = sim.engine;
	actor = actor_of(&sleeper);
	t_pair(sim.engine, AF_INET, &a, &b);
	receive = t_start(sim.engine, ROTA_OP_RECEIVE, b); /* a never sends */
	t_log_catch();
	assert_int_equal(rota_sim_drive(&actor, 1), -EDEADLK);
	t_log_release();
	assert_non_null(strstr(t_log_text(), "deadlock at 1.0"));
	assert_non_null(strstr(t_log_text(), "seed 1"));
	assert_non_null(strstr(t_log_text(), "waiting: receive on 1000002"));
	assert_int_equal(t_cancel(receive), -ECANCELED);
	t_close(sim.engine, a);
	t_close(sim.engine, b);
	t_sim_close(&sim);
}

static void test_drive_gives_up_after_its_steps(void **state)
{
	struct sleeper sleeper = { .sleeps = 1u << 30 }; /* step_ns 0: always something to do */
	struct rota_sim_actor actor;

	(void)state;
	sim.options.steps_max = 1000;
	t_sim_open(&sim);
	sleeper.engine = sim.engine;
	actor = actor_of(&sleeper);
	t_log_catch();
	assert_int_equal(rota_sim_drive(&actor, 1), -ETIMEDOUT);
	t_log_release();
	assert_int_equal(sleeper.steps, 1000);
	assert_non_null(strstr(t_log_text(), "out of steps"));
	t_sim_close(&sim);
}

static int step_broken(void *arg)
{
	(void)arg;
	return -EIO;
}

static void test_drive_ends_with_the_error_of_a_step(void **state)
{
	struct sleeper sleeper = { .sleeps = 1 };
	struct rota_sim_actor actor;

	(void)state;
	t_sim_open(&sim);
	sleeper.engine = sim.engine;
	actor = actor_of(&sleeper);
	actor.step = step_broken;
	assert_int_equal(rota_sim_drive(&actor, 1), -EIO);
	t_sim_close(&sim);
}

/*
 * One waits for ever, the other wakes it after an hour; a third has stopped, which must not end or
 * hang the drive.
 */
struct waiter {
	struct sleeper sleeper;
	bool was_woken;
};

static int step_waiter(void *arg)
{
	struct waiter *waiter = arg;
	struct rota_backend *engine = waiter->sleeper.engine;
	struct rota_backend_stats stats;
	struct rota_completion completion;
	int count = engine->ops->poll(engine, &completion, 1, ROTA_NEVER);

	engine->ops->stats(engine, &stats);
	waiter->was_woken = stats.wakes > 0;
	return count;
}

static bool waiter_has_stopped(void *arg)
{
	return ((struct waiter *)arg)->was_woken;
}

static int step_waker(void *arg)
{
	struct sleeper *sleeper = arg;
	struct waiter *waiter = (struct waiter *)(void *)sleeper->order;
	int result = step_sleeper(&(struct sleeper){ .engine = sleeper->engine,
						     .sleeps = sleeper->sleeps,
						     .wake_at = sleeper->wake_at });

	if (result > 0) {
		sleeper->sleeps = 0;
		waiter->sleeper.engine->ops->wake(waiter->sleeper.engine);
	}
	return result;
}

static void test_wake_reaches_an_idle_reactor_under_drive(void **state)
{
	struct waiter waiter = { 0 };
	struct sleeper waker = { .sleeps = 1, .order = (char *)&waiter };
	struct sleeper stopped = { .sleeps = 0 };
	struct rota_sim_actor actors[3];

	(void)state;
	t_sim_open(&sim);
	waiter.sleeper.engine = sim.engine;
	waker.engine = t_engine(&sim);
	stopped.engine = t_engine(&sim);
	waker.wake_at = ROTA_SIM_START_NS + 3600 * ROTA_NS_PER_S;
	actors[0] = (struct rota_sim_actor){ step_waiter, waiter_has_stopped, &waiter, sim.engine };
	actors[1] = actor_of(&waker);
	actors[1].step = step_waker;
	actors[2] = actor_of(&stopped);
	assert_int_equal(rota_sim_drive(actors, 3), 0);
	assert_true(waiter.was_woken);
	assert_true(rota_sim_now(sim.world) >= 3600 * ROTA_NS_PER_S);
	rota_backend_destroy(waker.engine);
	rota_backend_destroy(stopped.engine);
	t_sim_close(&sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_drive_jumps_over_idle_time, setup),
		cmocka_unit_test_setup(test_drive_without_actors_has_nothing_to_do, setup),
		cmocka_unit_test_setup(test_drive_order_is_drawn_from_the_seed, setup),
		cmocka_unit_test_setup(test_drive_names_a_deadlock, setup),
		cmocka_unit_test_setup(test_drive_gives_up_after_its_steps, setup),
		cmocka_unit_test_setup(test_drive_ends_with_the_error_of_a_step, setup),
		cmocka_unit_test_setup(test_wake_reaches_an_idle_reactor_under_drive, setup),
	};

	return cmocka_run_group_tests_name("sim schedule", tests, NULL, NULL);
}
