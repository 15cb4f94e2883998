/* SPDX-License-Identifier: MIT */
/*
 * Several functions at once. Each runs in a task that puts its result down and never fails itself,
 * so it is decided here, and not by the scope, whom a failure stops.
 */
#include <rota/error.h>
#include <rota/jobs.h>

#include "framework/reactor_internal.h"

static int64_t run_job(void *arg);

static void job_ended(struct rota_job *job, int64_t result)
{
	struct rota_jobs *jobs = job->jobs_;
	struct rota_future *waits = jobs->waits_;

	job->result = result;
	rota_list_push_back(&jobs->ended_, &job->link_);
	if (waits) {
		jobs->waits_ = NULL;
		rota_future_complete(waits, 0);
	}
}

/* The first that fails without having been told to stop is why the others are. */
static ROTA_NOINLINE void note_failure(struct rota_jobs *jobs, int64_t failure)
{
	struct rota_task *task = rota__task();
	struct rota_cancel_reason reason = {
		.kind = ROTA_CANCEL_SIBLING_FAILED,
		.error = -ECANCELED,
		.failure = failure,
		.why = "a job failed",
		.site = task->site,
		.because_ = rota__reason_of_failure(task->reactor, task, failure),
	};

	if (jobs->because_ || rota__scope_status(task->reactor, task->scope) < 0)
		return;
	rota__reason_name(&reason, task);
	jobs->because_ = rota__reason_keep(task->reactor, &reason);
}

static int64_t run_job(void *arg)
{
	struct rota_job *job = arg;
	int64_t result = job->fn(job->arg);

	if (ROTA_UNLIKELY(result < 0))
		note_failure(job->jobs_, result);
	job_ended(job, result);
	return 0;
}

void rota_jobs_open_at(struct rota_jobs *jobs, struct rota_job *list, unsigned count,
		       const struct rota_site *site)
{
	struct rota_reactor *reactor = rota__reactor();
	int status;

	jobs->list_ = list;
	jobs->left_ = count;
	jobs->waits_ = NULL;
	jobs->because_ = 0;
	rota_list_init(&jobs->ended_);
	rota_scope_open_at(&jobs->scope_, ROTA_NEVER, site);
	for (unsigned i = 0; i < count; i++) {
		list[i].jobs_ = jobs;
		status = rota__scope_status(reactor, &jobs->scope_);
		if (status == 0)
			status = rota__task_create(reactor, &jobs->scope_, run_job, &list[i], NULL,
						   site, NULL);
		if (status < 0)
			job_ended(&list[i], status);
	}
}

int rota_jobs_next(struct rota_jobs *jobs)
{
	struct rota_link *link;
	int status = rota_check_cancelled();

	if (status < 0)
		return status;
	if (jobs->left_ == 0)
		return -ENODATA;
	if (rota_list_is_empty(&jobs->ended_)) {
		struct rota_future ended;

		ROTA_ASSERT(!jobs->waits_); /* one task at a time waits for the next */
		rota_future_init(&ended);
		ended.kind_ = ROTA_WAIT_TASK;
		jobs->waits_ = &ended;
		status = (int)rota_await(&ended);
		jobs->waits_ = NULL;
		if (status < 0)
			return status;
	}
	link = rota_list_pop_front(&jobs->ended_);
	jobs->left_--;
	return (int)(ROTA_CONTAINER_OF(link, struct rota_job, link_) - jobs->list_);
}

void rota_jobs_cancel_at(struct rota_jobs *jobs, const char *why, const struct rota_site *site)
{
	/* What has cancelled them from outside stays the reason. */
	if (!rota_scope_is_cancelled(&jobs->scope_))
		rota_scope_cancel_at(&jobs->scope_, why, site);
}

int rota_jobs_close(struct rota_jobs *jobs)
{
	rota_ignore(rota_scope_close(&jobs->scope_), "what concerns others is asked for below");
	return rota_check_cancelled();
}

/* ---- all ---- */

/* Stop the others because one has failed, which is also why their caller will fail. */
static void cancel_for_failure(struct rota_jobs *jobs, const struct rota_site *site)
{
	struct rota_task *task = rota__task();
	const struct rota_cancel_reason *reason = rota__reason_find(task->reactor, jobs->because_);

	if (reason && !rota_scope_is_cancelled(&jobs->scope_))
		rota__scope_cancel(task->reactor, &jobs->scope_, reason);
	rota_jobs_cancel_at(jobs, "a job that was gathered failed", site);
}

/* After the close, which has its own say. */
static void note_why_failed(const struct rota_jobs *jobs)
{
	if (jobs->because_)
		rota__task()->because = jobs->because_;
}

int64_t rota_gather_at(struct rota_job *list, unsigned count, const struct rota_site *site)
{
	struct rota_jobs jobs;
	int64_t failure = 0;
	int index, status;

	rota_jobs_open_at(&jobs, list, count, site);
	while (failure == 0 && (index = rota_jobs_next(&jobs)) >= 0)
		if (list[index].result < 0)
			failure = list[index].result;
	if (failure < 0)
		cancel_for_failure(&jobs, site);
	status = rota_jobs_close(&jobs);
	note_why_failed(&jobs);
	return status < 0 ? status : failure;
}

int64_t rota_gather_all_at(struct rota_job *list, unsigned count, const struct rota_site *site)
{
	struct rota_jobs jobs;
	int64_t failure = 0;
	int index, status;

	rota_jobs_open_at(&jobs, list, count, site);
	while ((index = rota_jobs_next(&jobs)) >= 0)
		if (failure == 0 && list[index].result < 0)
			failure = list[index].result;
	status = rota_jobs_close(&jobs);
	note_why_failed(&jobs);
	return status < 0 ? status : failure;
}

/* ---- the first ---- */

int64_t rota_race_at(struct rota_job *list, unsigned count, const struct rota_site *site)
{
	int64_t result = -ENODATA;
	struct rota_jobs jobs;
	int index, status;

	ROTA_ASSERT(count > 0);
	rota_jobs_open_at(&jobs, list, count, site);
	while (result < 0 && (index = rota_jobs_next(&jobs)) >= 0)
		result = list[index].result < 0 ? list[index].result : index;
	rota_jobs_cancel_at(&jobs, "another job has won the race", site);
	status = rota_jobs_close(&jobs);
	return status < 0 ? status : result;
}
