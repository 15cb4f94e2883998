/* SPDX-License-Identifier: MIT */
/*
 * Tests of the timer wheel. The main one plays random arms, disarms and jumps of the clock against
 * a plain array of deadlines, with many seeds and with times spread over all levels; the others are
 * the edges one would think of.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "framework/timer_wheel.h"

#define TICK ROTA_WHEEL_TICK_NS
#define UNBOUNDED 1000000u
#define YEAR_NS (INT64_C(365) * 86400 * ROTA_NS_PER_S)

/* What the callbacks of this file record. */
static struct rota_timer_wheel wheel;
static rota_ns clock_now;
static unsigned fired_count;
static struct rota_timer *fired[64];

static void record(struct rota_timer *timer)
{
	assert_false(rota_timer_is_armed(timer));
	assert_true(timer->deadline <= clock_now);
	if (fired_count < ROTA_ARRAY_COUNT(fired))
		fired[fired_count] = timer;
	fired_count++;
}

static void begin(rota_ns now)
{
	clock_now = now;
	fired_count = 0;
	rota__wheel_init(&wheel, now);
}

static unsigned advance_to(rota_ns now)
{
	clock_now = now;
	return rota__wheel_advance(&wheel, now, UNBOUNDED);
}

/* Sleep as a reactor without work would: until the next time the wheel names, up to `end`. */
static unsigned sleep_until(rota_ns end)
{
	unsigned turns = 0;

	for (rota_ns next; (next = rota__wheel_next(&wheel)) <= end; turns++)
		advance_to(next > clock_now ? next : clock_now);
	return turns;
}

/* ---- one timer ---- */

static void test_timer_wheel_empty_has_no_next(void **state)
{
	(void)state;
	begin(12345);
	assert_int_equal(rota__wheel_next(&wheel), ROTA_NEVER);
	assert_int_equal(advance_to(YEAR_NS), 0);
	assert_int_equal(rota__wheel_next(&wheel), ROTA_NEVER);
}

static void test_timer_wheel_struct_is_small(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct rota_timer), 40);
}

/*
 * Deadlines around every boundary of every level, from several starting points: not before, at most
 * a tick after.
 */
static void test_timer_wheel_boundary_deadlines_fire_within_a_tick(void **state)
{
	static const rota_ns starts[] = { 0,
					  1,
					  TICK - 1,
					  63 * TICK,
					  64 * TICK - 1,
					  4095 * TICK + 7,
					  YEAR_NS,
					  50 * YEAR_NS + 4097 * TICK };

	(void)state;
	for (unsigned s = 0; s < ROTA_ARRAY_COUNT(starts); s++) {
		for (unsigned bit = 0; bit < 62; bit++) {
			for (int offset = -2; offset <= 2; offset++) {
				struct rota_timer timer = { .fire = record };
				rota_ns delay = (INT64_C(1) << bit) +
						offset * (bit > 20 ? TICK : 1);
				rota_ns deadline = starts[s] + delay;

				if (delay <= 0)
					continue;
				begin(starts[s]);
				rota__wheel_arm(&wheel, &timer, deadline);
				assert_int_equal(timer.deadline, deadline);
				assert_in_range(sleep_until(deadline - 1), 0, ROTA_WHEEL_LEVELS);
				assert_int_equal(fired_count, 0);
				sleep_until(deadline + TICK - 1);
				assert_int_equal(fired_count, 1);
				assert_int_equal(rota__wheel_next(&wheel), ROTA_NEVER);
			}
		}
	}
}

static void test_timer_wheel_past_deadline_fires_at_next_advance(void **state)
{
	struct rota_timer timers[3] = { { .fire = record },
					{ .fire = record },
					{ .fire = record } };

	(void)state;
	begin(10 * TICK);
	rota__wheel_arm(&wheel, &timers[0], 10 * TICK);
	rota__wheel_arm(&wheel, &timers[1], 0);
	rota__wheel_arm(&wheel, &timers[2], -5);
	assert_int_equal(rota__wheel_next(&wheel), 0);
	assert_int_equal(advance_to(10 * TICK), 3);
	assert_ptr_equal(fired[0], &timers[0]);
	assert_ptr_equal(fired[2], &timers[2]);
}

static void test_timer_wheel_far_deadlines_never_fire_early(void **state)
{
	struct rota_timer last = { .fire = record }, never = { .fire = record };

	(void)state;
	begin(0);
	rota__wheel_arm(&wheel, &last, ROTA_NEVER - 1);
	rota__wheel_arm(&wheel, &never, ROTA_NEVER);
	assert_int_equal(advance_to(200 * YEAR_NS), 0);
	assert_int_equal(advance_to(ROTA_NEVER - TICK), 0);
	assert_true(rota_timer_is_armed(&last));
	assert_true(rota__wheel_next(&wheel) > ROTA_NEVER - TICK);
	rota__wheel_disarm(&wheel, &last);
	rota__wheel_disarm(&wheel, &never);
	assert_int_equal(rota__wheel_next(&wheel), ROTA_NEVER);
}

static void test_timer_wheel_disarmed_does_not_fire(void **state)
{
	struct rota_timer timer = { .fire = record };

	(void)state;
	begin(0);
	rota__wheel_disarm(&wheel, &timer);
	for (rota_ns deadline = 1; deadline < YEAR_NS; deadline *= 7) {
		rota__wheel_arm(&wheel, &timer, deadline);
		assert_true(rota_timer_is_armed(&timer));
		rota__wheel_disarm(&wheel, &timer);
		rota__wheel_disarm(&wheel, &timer);
		assert_false(rota_timer_is_armed(&timer));
		assert_int_equal(rota__wheel_next(&wheel), ROTA_NEVER);
	}
	rota__wheel_arm(&wheel, &timer, 0);
	rota__wheel_disarm(&wheel, &timer);
	assert_int_equal(advance_to(2 * YEAR_NS), 0);
}

static void test_timer_wheel_armed_again_moves(void **state)
{
	struct rota_timer timer = { .fire = record };

	(void)state;
	begin(0);
	rota__wheel_arm(&wheel, &timer, ROTA_NS_PER_S);
	rota__wheel_arm(&wheel, &timer, 3 * ROTA_NS_PER_S);
	assert_int_equal(advance_to(2 * ROTA_NS_PER_S), 0);
	rota__wheel_arm(&wheel, &timer, 2 * ROTA_NS_PER_S + 1);
	assert_int_equal(advance_to(2 * ROTA_NS_PER_S + 1 + TICK), 1);
	assert_int_equal(advance_to(4 * ROTA_NS_PER_S), 0);
}

static void test_timer_wheel_clock_going_back_fires_nothing_early(void **state)
{
	struct rota_timer timer = { .fire = record };

	(void)state;
	begin(ROTA_NS_PER_S);
	advance_to(2 * ROTA_NS_PER_S);
	rota__wheel_arm(&wheel, &timer, 3 * ROTA_NS_PER_S);
	assert_int_equal(advance_to(ROTA_NS_PER_S), 0);
	assert_int_equal(advance_to(3 * ROTA_NS_PER_S + TICK), 1);
}

/* Whatever was first goes, by another way each time: what comes next is then the next one's. */
static void test_timer_wheel_without_its_first_names_the_next(void **state)
{
	struct rota_timer timers[4];

	(void)state;
	begin(0);
	for (unsigned i = 0; i < 4; i++) {
		timers[i] = (struct rota_timer){ .fire = record };
		rota__wheel_arm(&wheel, &timers[i], (rota_ns)(4 - i) * 10 * TICK);
		assert_int_equal(rota__wheel_next(&wheel), (rota_ns)(4 - i) * 10 * TICK);
	}
	rota__wheel_disarm(&wheel, &timers[3]);
	assert_int_equal(rota__wheel_next(&wheel), 20 * TICK);
	rota__wheel_arm(&wheel, &timers[2], 50 * TICK);
	assert_int_equal(rota__wheel_next(&wheel), 30 * TICK);
	rota__wheel_arm(&wheel, &timers[3], 0);
	assert_int_equal(rota__wheel_next(&wheel), 0);
	rota__wheel_disarm(&wheel, &timers[3]);
	assert_int_equal(rota__wheel_next(&wheel), 30 * TICK);
	assert_int_equal(advance_to(30 * TICK), 1);
	assert_int_equal(rota__wheel_next(&wheel), 40 * TICK);
	assert_int_equal(advance_to(40 * TICK), 1);
	assert_int_equal(rota__wheel_next(&wheel), 50 * TICK);
	rota__wheel_disarm(&wheel, &timers[2]);
	assert_int_equal(rota__wheel_next(&wheel), ROTA_NEVER);
}

/* ---- many ---- */

static void test_timer_wheel_fires_in_order_of_ticks(void **state)
{
	enum { COUNT = 64 };
	struct rota_timer timers[COUNT];

	(void)state;
	begin(5);
	for (unsigned i = 0; i < COUNT; i++) {
		timers[i] = (struct rota_timer){ .fire = record };
		rota__wheel_arm(&wheel, &timers[i], (rota_ns)((i * 37) % COUNT + 1) * 777 * TICK);
	}
	assert_int_equal(advance_to(YEAR_NS), COUNT);
	for (unsigned i = 1; i < COUNT; i++)
		assert_true(fired[i - 1]->deadline < fired[i]->deadline);
}

static void test_timer_wheel_budget_leaves_the_rest_due(void **state)
{
	struct rota_timer timers[10];

	(void)state;
	begin(0);
	for (unsigned i = 0; i < 10; i++) {
		timers[i] = (struct rota_timer){ .fire = record };
		rota__wheel_arm(&wheel, &timers[i], i < 5 ? 7 * TICK : (rota_ns)i * 1000 * TICK);
	}
	clock_now = YEAR_NS;
	assert_int_equal(rota__wheel_advance(&wheel, clock_now, 0), 0);
	for (unsigned left = 10; left; left -= left < 3 ? left : 3) {
		assert_true(rota__wheel_next(&wheel) <= clock_now);
		assert_int_equal(rota__wheel_advance(&wheel, clock_now, 3), left < 3 ? left : 3);
	}
	assert_int_equal(rota__wheel_next(&wheel), ROTA_NEVER);
	assert_int_equal(fired_count, 10);
}

/*
 * A slot too full to be moved down at once; meanwhile timers are armed before and after it, and
 * taken out of it.
 */
static void test_timer_wheel_huge_cascade_is_spread_over_advances(void **state)
{
	enum { COUNT = 30000 };
	struct rota_timer *timers = calloc(COUNT, sizeof(*timers));
	struct rota_timer early = { .fire = record }, late = { .fire = record };
	const rota_ns far = 64 * 64 * TICK;
	unsigned advances = 0;

	(void)state;
	begin(0);
	for (unsigned i = 0; i < COUNT; i++) {
		timers[i].fire = record;
		rota__wheel_arm(&wheel, &timers[i], far + (rota_ns)(i % 60) * TICK);
	}
	clock_now = far;
	rota__wheel_advance(&wheel, clock_now, UNBOUNDED);
	assert_int_equal(fired_count, 0);
	assert_int_equal(rota__wheel_next(&wheel), 0);
	rota__wheel_arm(&wheel, &early, far);
	rota__wheel_arm(&wheel, &late, far + 61 * TICK);
	for (unsigned i = 0; i < COUNT; i += 3)
		rota__wheel_disarm(&wheel, &timers[i]);
	clock_now = far + 60 * TICK;
	for (; rota__wheel_next(&wheel) <= clock_now; advances++)
		rota__wheel_advance(&wheel, clock_now, UNBOUNDED);
	assert_in_range(advances, 2, COUNT / 1000);
	assert_int_equal(fired_count, COUNT - COUNT / 3 + 1);
	assert_true(rota_timer_is_armed(&late));
	assert_int_equal(advance_to(far + 61 * TICK), 1);
	free(timers);
}

/* ---- callbacks ---- */

static struct rota_timer actors[8];
static unsigned actions;

static void arm_again_at_once(struct rota_timer *timer)
{
	actions++;
	rota__wheel_arm(&wheel, timer, clock_now);
}

static void test_timer_wheel_callback_arming_itself_for_now_waits_for_next_advance(void **state)
{
	(void)state;
	begin(0);
	actions = 0;
	actors[0] = (struct rota_timer){ .fire = arm_again_at_once };
	rota__wheel_arm(&wheel, &actors[0], TICK);
	for (unsigned i = 1; i <= 5; i++) {
		assert_int_equal(advance_to(100 * TICK), 1);
		assert_int_equal(actions, i);
		assert_int_equal(rota__wheel_next(&wheel), 0);
	}
}

static void disarm_all_others(struct rota_timer *timer)
{
	actions++;
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(actors); i++)
		if (&actors[i] != timer)
			rota__wheel_disarm(&wheel, &actors[i]);
}

static void test_timer_wheel_callback_disarming_its_neighbours_stops_them(void **state)
{
	(void)state;
	for (unsigned spread = 0; spread < 3; spread++) {
		begin(0);
		actions = 0;
		for (unsigned i = 0; i < ROTA_ARRAY_COUNT(actors); i++) {
			static const rota_ns steps[] = { 0, TICK, 1000 * TICK };

			actors[i] = (struct rota_timer){ .fire = disarm_all_others };
			rota__wheel_arm(&wheel, &actors[i], TICK + (rota_ns)i * steps[spread]);
		}
		assert_int_equal(advance_to(YEAR_NS), 1);
		assert_int_equal(actions, 1);
		assert_int_equal(rota__wheel_next(&wheel), ROTA_NEVER);
	}
	/* The same among those that were past when armed. */
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(actors); i++)
		rota__wheel_arm(&wheel, &actors[i], 1);
	assert_int_equal(advance_to(YEAR_NS), 1);
}

static void pull_the_next_forward(struct rota_timer *timer)
{
	unsigned i = (unsigned)(timer - actors);

	actions++;
	if (i + 1 < ROTA_ARRAY_COUNT(actors))
		rota__wheel_arm(&wheel, &actors[i + 1], clock_now + TICK);
	if (i)
		rota__wheel_arm(&wheel, &actors[i - 1], clock_now + YEAR_NS);
}

static void test_timer_wheel_callback_moving_other_timers_moves_them(void **state)
{
	(void)state;
	begin(0);
	actions = 0;
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(actors); i++) {
		actors[i] = (struct rota_timer){ .fire = pull_the_next_forward };
		rota__wheel_arm(&wheel, &actors[i], TICK + (rota_ns)i * ROTA_NS_PER_S);
	}
	for (unsigned i = 1; i <= ROTA_ARRAY_COUNT(actors); i++)
		assert_int_equal(advance_to((rota_ns)i * TICK), 1);
	assert_int_equal(actions, ROTA_ARRAY_COUNT(actors));
	assert_true(rota__wheel_next(&wheel) > 10 * ROTA_NS_PER_S);
}

/* ---- against a model ---- */

#define MODEL_COUNT 200

struct model_timer {
	struct rota_timer timer;
	bool armed;
	rota_ns deadline;
	bool overdue;           /* armed when due already: fires before what is in order */
	unsigned armed_advance; /* the advance during which it was armed, 0: between two */
};

static struct model_timer model[MODEL_COUNT];
static uint64_t model_seed;
static uint64_t last_tick;
static unsigned current_advance;
static bool callbacks_act;

static uint64_t next_random(void)
{
	model_seed ^= model_seed << 13;
	model_seed ^= model_seed >> 7;
	model_seed ^= model_seed << 17;
	return model_seed;
}

/* From ticks to centuries, each scale as likely as the others. */
static rota_ns random_duration(void)
{
	return (rota_ns)(next_random() >> (2 + next_random() % 61));
}

static void model_arm(struct model_timer *m, rota_ns now, bool in_callback)
{
	rota_ns delay = random_duration();

	m->deadline = delay > ROTA_NEVER - now ? ROTA_NEVER - 1 : now + delay;
	if (next_random() % 8 == 0)
		m->deadline = now - delay;
	m->armed = true;
	m->overdue = m->deadline <= now;
	m->armed_advance = in_callback ? current_advance : 0;
	rota__wheel_arm(&wheel, &m->timer, m->deadline);
}

static void model_disarm(struct model_timer *m)
{
	rota__wheel_disarm(&wheel, &m->timer);
	m->armed = false;
}

static uint64_t tick_rounded_up(rota_ns deadline)
{
	return ((uint64_t)deadline + TICK - 1) / TICK;
}

static void model_fire(struct rota_timer *timer)
{
	struct model_timer *m = ROTA_CONTAINER_OF(timer, struct model_timer, timer);

	assert_true(m->armed);
	assert_true(m->deadline <= clock_now);
	assert_int_equal(timer->deadline, m->deadline);
	/* What was armed as past during this advance has to wait for the next. */
	assert_false(m->overdue && m->armed_advance == current_advance);
	if (!m->overdue) {
		assert_true(tick_rounded_up(m->deadline) >= last_tick);
		last_tick = tick_rounded_up(m->deadline);
	}
	m->armed = false;
	for (uint64_t acts = callbacks_act ? next_random() % 4 : 0; acts; acts--) {
		struct model_timer *other = &model[next_random() % MODEL_COUNT];

		if (next_random() % 2)
			model_disarm(other);
		else
			model_arm(other, clock_now, true);
	}
}

static void check_against_model(void)
{
	rota_ns next = rota__wheel_next(&wheel);
	bool any = false;

	for (unsigned i = 0; i < MODEL_COUNT; i++) {
		assert_int_equal(model[i].armed, rota_timer_is_armed(&model[i].timer));
		/* What is armed for the last tick of time never comes. */
		if (!model[i].armed || model[i].deadline == ROTA_NEVER - 1)
			continue;
		any = true;
		/* Never late: no later than the tick that fires it. */
		assert_true(model[i].deadline <= 0 ||
			    next / TICK <= (rota_ns)tick_rounded_up(model[i].deadline));
	}
	assert_int_equal(any ? 1 : 0, next != ROTA_NEVER ? 1 : 0);
}

/* Advance until nothing is due; what is still armed and not overdue then must lie in the future. */
static void model_advance(rota_ns now)
{
	unsigned budget = next_random() % 3 ? UNBOUNDED : 1 + (unsigned)(next_random() % 5);
	unsigned count;

	clock_now = now;
	do {
		current_advance++;
		last_tick = 0;
		count = rota__wheel_advance(&wheel, now, budget);
		assert_in_range(count, 0, budget);
		check_against_model();
	} while (count == budget);
	for (unsigned i = 0; i < MODEL_COUNT; i++)
		if (model[i].armed && model[i].armed_advance != current_advance)
			assert_true(model[i].deadline > now - TICK);
}

static void play_seed(uint64_t seed)
{
	rota_ns now;

	model_seed = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	callbacks_act = seed % 2;
	now = seed % 3 ? random_duration() / 4 : 0;
	memset(model, 0, sizeof(model));
	for (unsigned i = 0; i < MODEL_COUNT; i++)
		model[i].timer.fire = model_fire;
	rota__wheel_init(&wheel, now);
	current_advance = 0;
	for (unsigned step = 0; step < 400; step++) {
		struct model_timer *m = &model[next_random() % MODEL_COUNT];
		uint64_t action = next_random() % 16;
		rota_ns next = rota__wheel_next(&wheel);

		if (action < 8)
			model_arm(m, now, false);
		else if (action < 11)
			model_disarm(m);
		else if (action < 14 && next != ROTA_NEVER && next > now)
			model_advance(now = next);
		else
			model_advance(now += random_duration() %
					     (200 * YEAR_NS - now > 0 ? 200 * YEAR_NS - now : 1));
		check_against_model();
	}
}

static uint64_t playing; /* the seed, 0 when done */

static void test_timer_wheel_random_play_agrees_with_model(void **state)
{
	const char *one = getenv("ROTA_TEST_SEED");
	uint64_t first = one ? strtoull(one, NULL, 0) : 1;

	(void)state;
	for (playing = first; playing < first + (one ? 1 : 2000); playing++)
		play_seed(playing);
	playing = 0;
}

static int say_failed_seed(void **state)
{
	(void)state;
	if (playing)
		print_error("failed with ROTA_TEST_SEED=%llu\n", (unsigned long long)playing);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timer_wheel_empty_has_no_next),
		cmocka_unit_test(test_timer_wheel_struct_is_small),
		cmocka_unit_test(test_timer_wheel_boundary_deadlines_fire_within_a_tick),
		cmocka_unit_test(test_timer_wheel_past_deadline_fires_at_next_advance),
		cmocka_unit_test(test_timer_wheel_far_deadlines_never_fire_early),
		cmocka_unit_test(test_timer_wheel_disarmed_does_not_fire),
		cmocka_unit_test(test_timer_wheel_armed_again_moves),
		cmocka_unit_test(test_timer_wheel_clock_going_back_fires_nothing_early),
		cmocka_unit_test(test_timer_wheel_without_its_first_names_the_next),
		cmocka_unit_test(test_timer_wheel_fires_in_order_of_ticks),
		cmocka_unit_test(test_timer_wheel_budget_leaves_the_rest_due),
		cmocka_unit_test(test_timer_wheel_huge_cascade_is_spread_over_advances),
		cmocka_unit_test(
			test_timer_wheel_callback_arming_itself_for_now_waits_for_next_advance),
		cmocka_unit_test(test_timer_wheel_callback_disarming_its_neighbours_stops_them),
		cmocka_unit_test(test_timer_wheel_callback_moving_other_timers_moves_them),
		cmocka_unit_test_teardown(test_timer_wheel_random_play_agrees_with_model,
					  say_failed_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
