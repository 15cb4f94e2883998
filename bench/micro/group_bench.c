/* SPDX-License-Identifier: MIT */
/*
 * Whether groups get what their shares say: tasks that compute for some microseconds and yield, in
 * groups of 1000 and 100 shares. Shown is how many times as much processor time the first group has
 * used, as the reactor counts it, and how many times as much work it has done, as its tasks count
 * it; 10.00 is fair. What other programs take of the processor is charged to whose turn it was, so
 * on a busy machine the work says less. One operation is 10 ms of that.
 */
#include <rota/rota.h>

#include "backends/backends.h"
#include "bench/micro/shim.h"

#define TASKS 3 /* in each group */
#define SHARES_MANY 1000
#define SHARES_FEW 100
#define ROUNDS 2000

struct worker {
	const bool *is_over;
	unsigned rounds; /* of computing between two yields */
	uint64_t done;   /* rounds */
};

static int64_t compute(void *arg)
{
	struct worker *worker = arg;

	while (!*worker->is_over) {
		for (volatile unsigned i = 0; i < worker->rounds; i++)
			;
		worker->done += worker->rounds;
		rota_ignore(rota_yield(), "nobody cancels");
	}
	return 0;
}

static uint64_t cpu_of(const struct rota_group *group)
{
	struct rota_group_stats stats;

	rota_group_stats(group, &stats);
	return stats.cpu_ns;
}

static uint64_t done_by(const struct worker workers[TASKS])
{
	uint64_t done = 0;

	for (unsigned i = 0; i < TASKS; i++)
		done += workers[i].done;
	return done;
}

static int spawn_workers(struct rota_scope *scope, struct worker workers[TASKS],
			 struct rota_group *group)
{
	const struct rota_spawn_options options = { .group = group };
	int status = 0;

	for (unsigned i = 0; i < TASKS && status == 0; i++)
		status = rota_spawn_with(scope, compute, &workers[i], &options);
	return status;
}

struct job {
	struct bench_run *run;
	unsigned times; /* as much work between two yields do those with few shares */
};

static int64_t share(struct job *job, struct rota_group *many, struct rota_group *few)
{
	bool is_over = false;
	struct worker with_many[TASKS], with_few[TASKS];
	struct rota_scope scope;
	int status;

	for (unsigned i = 0; i < TASKS; i++) {
		with_many[i] = (struct worker){ &is_over, ROUNDS, 0 };
		with_few[i] = (struct worker){ &is_over, ROUNDS * job->times, 0 };
	}
	rota_scope_open(&scope, ROTA_NEVER);
	status = spawn_workers(&scope, with_many, many);
	if (status == 0)
		status = spawn_workers(&scope, with_few, few);
	while (status == 0 && bench_next(job->run, 1))
		rota_ignore(rota_sleep_ms(10), "nobody cancels");
	is_over = true;
	if (status == 0 && done_by(with_few)) {
		bench_report(job->run, "by_time", (double)cpu_of(many) / (double)cpu_of(few));
		bench_report(job->run, "by_work",
			     (double)done_by(with_many) / (double)done_by(with_few));
	}
	return rota_scope_close(&scope);
}

static int64_t share_in_groups(void *arg)
{
	struct rota_group *many = NULL, *few = NULL;
	int status = rota_group_create("many", SHARES_MANY, &many);

	if (status == 0)
		status = rota_group_create("few", SHARES_FEW, &few);
	return status < 0 ? status : share(arg, many, few);
}

static void run_in_groups(struct bench_run *run, unsigned times)
{
	const struct rota_reactor_options options = { .engine = &rota_backend_epoll };
	struct job job = { run, times };

	if (rota_run(&options, share_in_groups, &job) < 0)
		bench_skip(run, "no group, no task or no reactor");
}

static void alike(struct bench_run *run)
{
	run_in_groups(run, 1);
}

static void longer(struct bench_run *run)
{
	run_in_groups(run, 10);
}

const struct bench bench_list[] = {
	{ "group/1000 to 100 shares", alike },
	{ "group/1000 to 100 shares, few in runs ten times as long", longer },
	{ NULL, NULL },
};
