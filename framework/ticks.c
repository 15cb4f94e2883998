/* SPDX-License-Identifier: MIT */
/*
 * How fast the processor's counter runs, measured once per process against the system's clock. Any
 * thread.
 */
#include <pthread.h>
#include <time.h>

#include <rota/base.h>
#include <rota/time.h>

#include "framework/system.h"
#include "framework/ticks.h"

/* Two looks at the clock are off by some 50 ns, so the result is by 0.1 %. */
#define MEASURE_NS 50000

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint64_t ticks_per_ms;

/* By the system's clock, also where an engine's is virtual. */
static void measure(void)
{
	rota_ns began = rota__clock_ns(CLOCK_MONOTONIC);
	uint64_t ticks = rota__ticks();
	rota_ns now;

	do {
		rota_pause();
		now = rota__clock_ns(CLOCK_MONOTONIC);
	} while (now - began < MEASURE_NS);
	ticks = rota__ticks() - ticks;
	ticks_per_ms = ticks * ROTA_NS_PER_MS / (uint64_t)(now - began);
}

uint64_t rota__ticks_per_ms(void)
{
	pthread_once(&once, measure);
	return ticks_per_ms;
}
