/* SPDX-License-Identifier: MIT */
/*
 * Time: one unit, one clock. `rota_ns` is absolute, monotonic nanoseconds, and every deadline is
 * one. Any thread; inside a reactor of the simulator the clock is the simulated one.
 */
#ifndef ROTA_TIME_H
#define ROTA_TIME_H

#include <rota/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int64_t rota_ns;

#define ROTA_NS_PER_US INT64_C(1000)
#define ROTA_NS_PER_MS INT64_C(1000000)
#define ROTA_NS_PER_S INT64_C(1000000000)

/* A deadline that never comes. */
#define ROTA_NEVER INT64_MAX

/*
 * The monotonic clock now. On a reactor's thread this asks the reactor's engine, so that the
 * simulator can answer; elsewhere CLOCK_MONOTONIC. About 25 ns.
 */
ROTA_API rota_ns rota_now(void);

/* The wall clock in nanoseconds since 1970, by the same rule as rota_now. */
ROTA_API int64_t rota_wall_ns(void);

/* The deadline `duration_ns` (>= 0) from now; ROTA_NEVER when that is past the end of time. */
ROTA_API rota_ns rota_after_ns(int64_t duration_ns);

static inline rota_ns rota_after_ms(int64_t duration_ms)
{
	return duration_ms > ROTA_NEVER / ROTA_NS_PER_MS
		       ? ROTA_NEVER
		       : rota_after_ns(duration_ms * ROTA_NS_PER_MS);
}

static inline rota_ns rota_after_s(int64_t duration_s)
{
	return duration_s > ROTA_NEVER / ROTA_NS_PER_S ? ROTA_NEVER
						       : rota_after_ns(duration_s * ROTA_NS_PER_S);
}

#ifdef __cplusplus
}
#endif

#endif /* ROTA_TIME_H */
