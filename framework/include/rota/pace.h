/* SPDX-License-Identifier: MIT */
/*
 * Doing things at the right pace: again after a failure (retry), at regular times (interval), and
 * not too often (rate). Thread: a task's; an interval or rate belongs to one reactor.
 *
 * The one idea: all of them only sleep, so the deadlines and cancellations of the scopes around
 * hold for them, and in the simulator they take no real time.
 */
#ifndef ROTA_PACE_H
#define ROTA_PACE_H

#include <rota/base.h>
#include <rota/sync.h>
#include <rota/task.h>
#include <rota/time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- again ---- */

/* All may be left zero but base_ns. */
struct rota_retry_policy {
	unsigned attempts_max; /* in all; 0: until it succeeds or is cancelled */
	rota_ns base_ns;       /* before the second attempt: at most so long; doubles each time */
	rota_ns cap_ns;        /* but at most so long; 0: a minute */
	/* is it worth another attempt? NULL: all but -ECANCELED and -ETIMEDOUT are */
	bool (*is_worth)(int64_t failure, void *arg);
};

/*
 * Call fn(arg) until it succeeds. Between two attempts sleep for a random time between 0 and
 * base_ns × 2^n, at most cap_ns: "full jitter" (M. Brooker, "Exponential Backoff And Jitter", AWS
 * Architecture Blog, 2015), which spreads those who failed together best. When the sleep would pass
 * the caller's deadline, the failure is returned at once instead.
 *
 * Returns   what the last attempt returned; -ECANCELED / -ETIMEDOUT when cancelled between two.
 * Suspends  between attempts, and if fn does.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int64_t rota_retry(const struct rota_retry_policy *policy,
							rota_task_fn fn, void *arg);

/* ---- at regular times ---- */

/* What becomes of ticks that nobody came for in time. */
enum rota_interval_late {
	ROTA_LATE_SKIP,  /* they are left out; the next tick is at its own time */
	ROTA_LATE_BURST, /* they come at once, one by one, until all have */
	ROTA_LATE_DELAY, /* the next tick is a period from now, and so are all after it */
};

/* Ticks at start + n × period: the times do not drift, whatever happens between them. */
struct rota_interval {
	/* read-only */
	uint64_t skipped; /* ticks left out so far */
	/* private */
	rota_ns next_;
	rota_ns period_;
	enum rota_interval_late late_;
};

/* The first tick is `period_ns` (> 0, asserted) from now. */
ROTA_API void rota_interval_init(struct rota_interval *interval, rota_ns period_ns,
				 enum rota_interval_late late);

/*
 * Sleep until the next tick. Returns 0, -ECANCELED or -ETIMEDOUT; the tick is then still to come.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_interval_next(struct rota_interval *interval);

/* ---- not too often ---- */

/*
 * A token bucket: `burst` tokens at most, one more every `every_ns`. Kept as the time at which the
 * bucket was empty, as in the "generic cell rate algorithm" (ITU-T I.371), so it needs no timer.
 */
struct rota_rate {
	/* private */
	struct rota_mutex turn_; /* who waits, in order; the first one sleeps */
	rota_ns every_;
	rota_ns empty_at_;
	uint64_t burst_;
};

/* A full bucket. every_ns, burst: > 0, and their product less than 292 years (asserted). */
ROTA_API void rota_rate_init(struct rota_rate *rate, rota_ns every_ns, uint64_t burst);

/* Nobody waits (asserted). */
ROTA_API void rota_rate_fini(struct rota_rate *rate);

/*
 * Take `tokens` when there are so many: first come, first served.
 * Returns 0; -EINVAL: more than the bucket holds; -ECANCELED / -ETIMEDOUT: none were taken.
 * Suspends while there are too few.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_rate_take(struct rota_rate *rate, uint64_t tokens);

/* The same without waiting: -EAGAIN when there are too few, or others wait. */
ROTA_API ROTA_MUST_USE int rota_rate_try_take(struct rota_rate *rate, uint64_t tokens);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_PACE_H */
