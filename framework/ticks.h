/* SPDX-License-Identifier: MIT */
/*
 * The processor's own clock, for what is asked too often for the system's: 5 to 10 ns, no call.
 * Any thread. Ticks are of this machine and this run of the process; where the processor's counter
 * follows its frequency (before 2008, about), a tick is only roughly a time.
 */
#ifndef ROTA_FRAMEWORK_TICKS_H
#define ROTA_FRAMEWORK_TICKS_H

#include <stdint.h>

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <time.h>
#endif

static inline uint64_t rota__ticks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#else
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

/* Ticks in a millisecond; the first call takes 50 us to find out. */
uint64_t rota__ticks_per_ms(void);

#endif /* ROTA_FRAMEWORK_TICKS_H */
