/* SPDX-License-Identifier: MIT */
/*
 * What tasks cost: a yield, spawn and join, a future between two, telling 100 000 sleepers to stop,
 * and the memory of a million. Each benchmark is the first task of a reactor of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <rota/reactor.h>

#include "backends/backends.h"
#include "bench/micro/shim.h"

#define BATCH 1000

struct job {
	struct bench_run *run;
	int64_t arg;
};

static void run_in_task(struct bench_run *run, rota_task_fn fn, int64_t arg)
{
	const struct rota_reactor_options options = { .engine = &rota_backend_epoll };
	struct job job = { run, arg };
	int64_t status = rota_run(&options, fn, &job);

	if (status < 0) {
		bench_skip(run, "the reactor or a task failed");
		while (bench_next(run, 1))
			;
	}
}

/*
 * ---- yield: one operation is one task's turn ----
 *
 * Where all yield at one place, as tasks of one kind do, the processor predicts where each returns
 * to; two that yield at two places show what it costs when it can't (docs/design/0001-tasks.md).
 */

static ROTA_NOINLINE int yield_here(int64_t times)
{
	int status = 0;

	while (status == 0 && times-- > 0)
		status = rota_yield();
	return status;
}

static int64_t yield_until_told(void *arg)
{
	(void)arg;
	return yield_here(INT64_MAX);
}

static int64_t yield_elsewhere_until_told(void *arg)
{
	int status = 0;

	(void)arg;
	while (status == 0)
		status = rota_yield();
	return status;
}

static void yield_among(struct job *job, rota_task_fn other)
{
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	for (int64_t i = 1; i < job->arg; i++)
		rota_ignore(rota_spawn(&scope, other, NULL), "close says it");
	rota_ignore(rota_yield(), "all have started");
	while (bench_next(job->run, job->arg * BATCH))
		rota_ignore(yield_here(BATCH), "nobody cancels");
	rota_scope_cancel(&scope, "measured");
	rota_ignore(rota_scope_close(&scope), "cancelled");
}

static int64_t yield_among_alike(void *arg)
{
	yield_among(arg, yield_until_told);
	return 0;
}

static int64_t yield_among_others(void *arg)
{
	yield_among(arg, yield_elsewhere_until_told);
	return 0;
}

static void yield_2(struct bench_run *run)
{
	run_in_task(run, yield_among_alike, 2);
}

static void yield_2_places(struct bench_run *run)
{
	run_in_task(run, yield_among_others, 2);
}

static void yield_1000(struct bench_run *run)
{
	run_in_task(run, yield_among_alike, 1000);
}

/* ---- spawn and join ---- */

static int64_t do_nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int64_t spawn_and_join(void *arg)
{
	struct job *job = arg;
	struct rota_future result;
	const struct rota_spawn_options options = { .result = &result };
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	while (bench_next(job->run, BATCH))
		for (int i = 0; i < BATCH; i++) {
			rota_ignore(rota_spawn_with(&scope, do_nothing, NULL, &options),
				    "close says it");
			rota_ignore(rota_await(&result), "0");
		}
	return rota_scope_close(&scope);
}

static void spawn_join(struct bench_run *run)
{
	run_in_task(run, spawn_and_join, 0);
}

/* ---- a future that is completed by one task and awaited by another, with the switch ---- */

struct rally {
	struct rota_future ball;
	bool is_over;
};

static int64_t return_balls(void *arg)
{
	struct rally *rally = arg;
	int status = 0;

	while (!rally->is_over && status == 0) {
		rota_future_complete(&rally->ball, 1);
		status = rota_yield();
	}
	return status;
}

static int64_t complete_and_await(void *arg)
{
	struct job *job = arg;
	struct rally rally = { .is_over = false };
	struct rota_scope scope;

	rota_future_init(&rally.ball);
	rota_scope_open(&scope, ROTA_NEVER);
	rota_ignore(rota_spawn(&scope, return_balls, &rally), "close says it");
	while (bench_next(job->run, BATCH))
		for (int i = 0; i < BATCH; i++) {
			rota_ignore(rota_await(&rally.ball), "1");
			rota_future_init(&rally.ball);
		}
	rally.is_over = true;
	return rota_scope_close(&scope);
}

static void complete_await(struct bench_run *run)
{
	run_in_task(run, complete_and_await, 0);
}

/* ---- cancelling very many: one operation is one task's whole life ---- */

#define SLEEPERS 100000

static int64_t sleep_until_told(void *arg)
{
	(void)arg;
	return rota_sleep_until(ROTA_NEVER);
}

struct heart {
	bool is_over;
	rota_ns longest;
};

/* This thread's: on a shared machine the clock would count other programs. */
static rota_ns processor_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * ROTA_NS_PER_S + now.tv_nsec;
}

/*
 * The longest time between two of its beats is the longest the reactor was away. A timer that is
 * due already comes once per turn, so turns are not filled up to their quota.
 */
static int64_t beat(void *arg)
{
	struct heart *heart = arg;
	rota_ns last = processor_now();

	while (!heart->is_over && rota_sleep_until(0) == 0) {
		rota_ns now = processor_now();

		if (now - last > heart->longest)
			heart->longest = now - last;
		last = now;
	}
	return 0;
}

struct best {
	rota_ns call, ended, away;
};

static void keep_best(rota_ns *best, rota_ns now)
{
	if (*best == 0 || now < *best)
		*best = now;
}

static int64_t cancel_once(struct best *best)
{
	struct heart heart = { .is_over = false };
	struct rota_scope outer, scope;
	rota_ns start;

	rota_scope_open(&outer, ROTA_NEVER);
	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < SLEEPERS; i++)
		rota_ignore(rota_spawn(&scope, sleep_until_told, NULL), "close says it");
	rota_ignore(rota_yield(), "behind all of them: now they sleep");
	rota_ignore(rota_spawn(&outer, beat, &heart), "close says it");
	rota_ignore(rota_yield(), "it beats");
	heart.longest = 0;
	start = processor_now();
	rota_scope_cancel(&scope, "measured");
	keep_best(&best->call, processor_now() - start);
	rota_ignore(rota_scope_close(&scope), "cancelled");
	keep_best(&best->ended, processor_now() - start);
	keep_best(&best->away, heart.longest);
	heart.is_over = true;
	return rota_scope_close(&outer);
}

static int64_t cancel_sleepers(void *arg)
{
	struct job *job = arg;
	struct best best = { 0 };
	int64_t status = 0;

	for (int i = 0; i < 4 && status == 0; i++)
		status = cancel_once(&best); /* the first ones warm the stacks up */
	while (bench_next(job->run, SLEEPERS) && status == 0)
		status = cancel_once(&best);
	bench_report(job->run, "call_ns", (double)best.call);
	bench_report(job->run, "ended_ms", (double)best.ended / ROTA_NS_PER_MS);
	bench_report(job->run, "away_ms", (double)best.away / ROTA_NS_PER_MS);
	return status;
}

static void cancel_many(struct bench_run *run)
{
	run_in_task(run, cancel_sleepers, 0);
}

/* ---- memory ---- */

#define MILLION 1000000
#define NEEDED_BYTES (INT64_C(6) << 30)

static int64_t resident_bytes(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	long long total, resident = 0;

	if (statm) {
		if (fscanf(statm, "%lld %lld", &total, &resident) != 2)
			resident = 0;
		fclose(statm);
	}
	return resident * sysconf(_SC_PAGESIZE);
}

/* Spawned and suspended; one operation is one task's spawn, first run, and suspension. */
static int64_t suspend_a_million(void *arg)
{
	struct job *job = arg;
	struct rota_scope scope;
	int64_t before = resident_bytes();

	while (bench_next(job->run, MILLION)) {
		rota_scope_open(&scope, ROTA_NEVER);
		for (int i = 0; i < MILLION; i++)
			rota_ignore(rota_spawn(&scope, sleep_until_told, NULL), "close says it");
		rota_ignore(rota_sleep_ms(1), "the last of them sleeps, too");
		bench_report(job->run, "resident_bytes",
			     (double)(resident_bytes() - before) / MILLION);
		rota_scope_cancel(&scope, "measured");
		rota_ignore(rota_scope_close(&scope), "cancelled");
	}
	return 0;
}

static void memory_of_a_million(struct bench_run *run)
{
	if (sysconf(_SC_AVPHYS_PAGES) * sysconf(_SC_PAGESIZE) < NEEDED_BYTES) {
		bench_skip(run, "less than 6 GiB of memory are free");
		while (bench_next(run, 1))
			;
		return;
	}
	run_in_task(run, suspend_a_million, 0);
}

const struct bench bench_list[] = {
	{ "task/yield, 2 tasks", yield_2 },
	{ "task/yield, 2 tasks at two places", yield_2_places },
	{ "task/yield, 1000 tasks", yield_1000 },
	{ "task/spawn+join (warm)", spawn_join },
	{ "future/complete+await", complete_await },
	{ "scope/cancel 100 000 sleeping tasks", cancel_many },
	{ "task/a million suspended", memory_of_a_million },
	{ NULL, NULL },
};
