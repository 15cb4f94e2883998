/* SPDX-License-Identifier: MIT */
/*
 * Several functions at once, each as a task: all of them (gather), the first that succeeds (race),
 * or one after another as they end (as completed). Thread: a task's.
 *
 * The one idea: jobs live in a scope that is opened and closed here, so whatever happens, every job
 * has ended when the call returns, or the jobs are closed.
 */
#ifndef ROTA_JOBS_H
#define ROTA_JOBS_H

#include <rota/base.h>
#include <rota/future.h>
#include <rota/scope.h>
#include <rota/task.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rota_jobs;

/* One function to be run. Caller's memory, lent until all have ended. */
struct rota_job {
	/* caller sets */
	rota_task_fn fn;
	void *arg; /* lent */
	/* read-only, once it has ended */
	int64_t result; /* fn's, or why it could not be started (-ENOMEM, -ROTA_ESTACK) */
	/* private */
	struct rota_jobs *jobs_;
	struct rota_link link_; /* on jobs->ended_ */
};

/* ---- all at once ---- */

/*
 * Run `count` jobs and wait for all of them. When one fails, the others are cancelled.
 * Returns   0, every result >= 0; the first failure; -ECANCELED / -ETIMEDOUT when a scope around
 *           was cancelled. Each job's `result` says what became of it.
 * Suspends  yes.
 */
#define rota_gather(list, count) rota_gather_at((list), (count), ROTA_SITE("gather"))
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int64_t rota_gather_at(struct rota_job *list, unsigned count,
							    const struct rota_site *site);

/*
 * The same, but a failure cancels nobody: all run to their own end, and the results say which have
 * failed.
 */
#define rota_gather_all(list, count) rota_gather_all_at((list), (count), ROTA_SITE("gather"))
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int64_t rota_gather_all_at(struct rota_job *list,
								unsigned count,
								const struct rota_site *site);

/*
 * Run `count` jobs (at least 1, asserted) until one succeeds; the others are cancelled, and have
 * ended when this returns.
 * Returns   the index of the first that succeeded; if none did, the failure of the last one;
 *           -ECANCELED / -ETIMEDOUT.
 * Suspends  yes.
 */
#define rota_race(list, count) rota_race_at((list), (count), ROTA_SITE("race"))
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int64_t rota_race_at(struct rota_job *list, unsigned count,
							  const struct rota_site *site);

/* ---- one after another ---- */

/* Jobs under way. Caller's memory, immovable while open. */
struct rota_jobs {
	struct rota_scope scope_;
	struct rota_link ended_; /* not returned by next yet, in the order they ended */
	struct rota_future *waits_;
	struct rota_job *list_;
	unsigned left_;    /* not returned by next yet */
	uint64_t because_; /* record of the first failure; 0: none */
};

/*
 * Start `count` jobs in a scope of their own, which rota_jobs_close closes; a failure cancels
 * nobody. Never suspends.
 */
#define rota_jobs_open(jobs, list, count)                                                          \
	rota_jobs_open_at((jobs), (list), (count), ROTA_SITE("job"))
ROTA_API void rota_jobs_open_at(struct rota_jobs *jobs, struct rota_job *list, unsigned count,
				const struct rota_site *site);

/*
 * Wait for the next job to end:
 *
 *	while ((index = rota_jobs_next(&jobs)) >= 0)
 *
 * Returns   its index in the list; -ENODATA when all have been returned; -ECANCELED / -ETIMEDOUT.
 * Suspends  while none has ended.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_jobs_next(struct rota_jobs *jobs);

/* Cancel those that have not ended. `why` is a static string. Never suspends. */
#define rota_jobs_cancel(jobs, why) rota_jobs_cancel_at((jobs), (why), ROTA_SITE("cancel"))
ROTA_API void rota_jobs_cancel_at(struct rota_jobs *jobs, const char *why,
				  const struct rota_site *site);

/*
 * Wait until all have ended. Returns 0, or -ECANCELED / -ETIMEDOUT when a scope around was
 * cancelled. Suspends if one still runs. Like a scope's close: exempt from cancellation itself.
 */
ROTA_API ROTA_SUSPENDS int rota_jobs_close(struct rota_jobs *jobs);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_JOBS_H */
