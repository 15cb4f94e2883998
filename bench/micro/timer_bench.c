/* SPDX-License-Identifier: MIT */
/*
 * What arming and disarming a timer costs while a million others are armed: the one armed last, as
 * a deadline around a short operation, and any of the million. One operation is both.
 */
#include <stdlib.h>

#include "bench/micro/shim.h"
#include "framework/timer_wheel.h"

#define BATCH 1000
#define ARMED (1 << 20)
#define START_NS ROTA_NS_PER_S
#define HORIZON_NS (120 * ROTA_NS_PER_S)

static uint64_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *state >> 33;
}

static rota_ns random_deadline(uint64_t *state)
{
	return START_NS + (rota_ns)(next_random(state) * 61 % HORIZON_NS);
}

static void never_fires(struct rota_timer *timer)
{
	(void)timer;
}

/* A wheel with ARMED timers, in one array; NULL without memory. */
static struct rota_timer *arm_many(struct rota_timer_wheel *wheel, uint64_t *random)
{
	struct rota_timer *timers = calloc(ARMED, sizeof(*timers));

	rota__wheel_init(wheel, START_NS);
	for (int i = 0; timers && i < ARMED; i++) {
		rota_timer_init(&timers[i], never_fires);
		rota__wheel_arm(wheel, &timers[i], random_deadline(random));
	}
	return timers;
}

static void last_in_first_out(struct bench_run *run)
{
	static struct rota_timer_wheel wheel;
	uint64_t random = 1;
	struct rota_timer *timers = arm_many(&wheel, &random);
	struct rota_timer timer;

	if (!timers)
		bench_skip(run, "out of memory");
	rota_timer_init(&timer, never_fires);
	while (bench_next(run, BATCH))
		for (int i = 0; i < BATCH; i++) {
			rota__wheel_arm(&wheel, &timer, START_NS + (i + 1) * ROTA_NS_PER_MS);
			rota__wheel_disarm(&wheel, &timer);
		}
	free(timers);
}

static void any(struct bench_run *run)
{
	static struct rota_timer_wheel wheel;
	uint64_t random = 1;
	struct rota_timer *timers = arm_many(&wheel, &random);

	if (!timers)
		bench_skip(run, "out of memory");
	while (bench_next(run, BATCH))
		for (int i = 0; i < BATCH; i++) {
			struct rota_timer *timer = &timers[next_random(&random) % ARMED];

			rota__wheel_disarm(&wheel, timer);
			rota__wheel_arm(&wheel, timer, random_deadline(&random));
		}
	free(timers);
}

const struct bench bench_list[] = {
	{ "timer/arm+disarm, a million armed, LIFO", last_in_first_out },
	{ "timer/arm+disarm, a million armed, random", any },
	{ NULL, NULL },
};
