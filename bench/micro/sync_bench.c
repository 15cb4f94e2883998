/* SPDX-License-Identifier: MIT */
/*
 * What synchronisation costs when nobody has to wait, and a channel's message with the switch to
 * who waits for it.
 */
#include <rota/channel.h>
#include <rota/reactor.h>
#include <rota/sync.h>

#include "backends/backends.h"
#include "bench/micro/shim.h"

#define BATCH 1000

struct job {
	struct bench_run *run;
	enum rota_reach reach;
};

static void run_in_task(struct bench_run *run, rota_task_fn fn, enum rota_reach reach)
{
	const struct rota_reactor_options options = { .engine = &rota_backend_epoll };
	struct job job = { run, reach };

	if (rota_run(&options, fn, &job) < 0) {
		bench_skip(run, "the reactor or a task failed");
		while (bench_next(run, 1))
			;
	}
}

static int64_t lock_and_unlock(void *arg)
{
	struct job *job = arg;
	struct rota_mutex mutex;

	rota_mutex_init(&mutex, job->reach);
	while (bench_next(job->run, BATCH))
		for (int i = 0; i < BATCH; i++) {
			rota_ignore(rota_mutex_lock(&mutex), "nobody cancels");
			rota_mutex_unlock(&mutex);
		}
	rota_mutex_fini(&mutex);
	return 0;
}

static void mutex_local(struct bench_run *run)
{
	run_in_task(run, lock_and_unlock, ROTA_LOCAL);
}

static void mutex_shared(struct bench_run *run)
{
	run_in_task(run, lock_and_unlock, ROTA_SHARED);
}

/* ---- a message at a time, each with a switch to its receiver ---- */

static int64_t receive_all(void *arg)
{
	int64_t number;

	while (rota_channel_receive(arg, &number) > 0)
		;
	return 0;
}

static int64_t send_one_by_one(void *arg)
{
	struct job *job = arg;
	struct rota_channel channel;
	struct rota_scope scope;
	int64_t buffer[1];

	rota_channel_init(&channel, &(struct rota_channel_options){ .reach = job->reach,
								    .message_bytes = sizeof(buffer),
								    .capacity = 1,
								    .buffer = buffer });
	rota_scope_open(&scope, ROTA_NEVER);
	rota_ignore(rota_spawn(&scope, receive_all, &channel), "close says it");
	while (bench_next(job->run, BATCH))
		for (int64_t i = 0; i < BATCH; i++)
			rota_ignore(rota_channel_send(&channel, &i), "it is open");
	rota_channel_close(&channel);
	return rota_scope_close(&scope);
}

static void channel_local(struct bench_run *run)
{
	run_in_task(run, send_one_by_one, ROTA_LOCAL);
}

static void channel_shared(struct bench_run *run)
{
	run_in_task(run, send_one_by_one, ROTA_SHARED);
}

const struct bench bench_list[] = {
	{ "mutex/lock+unlock, local", mutex_local },
	{ "mutex/lock+unlock, shared", mutex_shared },
	{ "channel/send+receive with a switch, local", channel_local },
	{ "channel/send+receive with a switch, shared", channel_shared },
	{ NULL, NULL },
};
