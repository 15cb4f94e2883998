/* SPDX-License-Identifier: MIT */
/*
 * What it costs to reach another reactor: a call, with both awake (they turn without ever waiting)
 * and with both asleep in between, and a message. Two threads, on two processors if there are;
 * the time of a call is the caller's clock, and its median is what counts.
 */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include <rota/mailbox.h>
#include <rota/reactor.h>

#include "backends/backends.h"
#include "bench/micro/shim.h"

#define BATCH 1000
#define SAMPLES_MAX (1 << 20)

static struct {
	struct bench_run *run;
	struct rota_reactor *caller, *callee;
	rota_ns *samples;
	size_t samples_count;
	bool is_over; /* atomic */
} pair;

static int64_t do_nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int compare_ns(const void *a, const void *b)
{
	const rota_ns *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

/* Of the samples, which are sorted. */
static double percentile_ns(size_t percent)
{
	size_t index = pair.samples_count * percent / 100;

	return (double)pair.samples[index];
}

static int64_t call_many(void *arg)
{
	(void)arg;
	while (bench_next(pair.run, BATCH))
		for (int i = 0; i < BATCH; i++) {
			rota_ns start = rota_now();

			rota_ignore(rota_call_on(pair.callee, do_nothing, NULL), "0");
			if (pair.samples_count < SAMPLES_MAX)
				pair.samples[pair.samples_count++] = rota_now() - start;
		}
	qsort(pair.samples, pair.samples_count, sizeof(*pair.samples), compare_ns);
	bench_report(pair.run, "median_ns", percentile_ns(50));
	bench_report(pair.run, "p99_ns", percentile_ns(99));
	rota_reactor_stop(pair.caller);
	rota_reactor_stop(pair.callee);
	return 0;
}

static void start_calling(struct rota_message *message)
{
	(void)message;
	rota_ignore(rota_spawn(rota_reactor_scope(pair.caller), call_many, NULL),
		    "the root logs it");
}

/* Turn without waiting until both have stopped. */
static void spin(struct rota_reactor *reactor)
{
	while (!__atomic_load_n(&pair.is_over, __ATOMIC_ACQUIRE)) {
		if (rota_reactor_run_once(reactor, 0) < 0)
			abort();
		if (reactor == pair.caller && rota_reactor_has_stopped(reactor))
			__atomic_store_n(&pair.is_over, true, __ATOMIC_RELEASE);
	}
	while (!rota_reactor_has_stopped(reactor))
		if (rota_reactor_run_once(reactor, 0) < 0)
			abort();
	rota_reactor_close(reactor);
}

static void *spin_callee(void *arg)
{
	spin(arg);
	return NULL;
}

static void turn_both_awake(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, spin_callee, pair.callee))
		abort();
	spin(pair.caller);
	pthread_join(thread, NULL);
}

static void turn_both_asleep(void)
{
	if (rota_reactor_drive((struct rota_reactor *[]){ pair.caller, pair.callee }, 2) < 0)
		abort();
}

static void measure_calls(struct bench_run *run, void (*turn)(void))
{
	struct rota_reactor_options options = { .engine = &rota_backend_epoll };
	struct rota_message start = { .run = start_calling };

	pair.run = run;
	pair.is_over = false;
	pair.samples_count = 0;
	pair.samples = malloc(SAMPLES_MAX * sizeof(*pair.samples));
	if (!pair.samples || rota_reactor_create(&options, &pair.caller) < 0 ||
	    rota_reactor_create(&options, &pair.callee) < 0)
		abort();
	rota_post(pair.caller, &start);
	turn();
	rota_reactor_destroy(pair.caller);
	rota_reactor_destroy(pair.callee);
	free(pair.samples);
}

static void call_awake(struct bench_run *run)
{
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		bench_skip(run, "one processor");
		while (bench_next(run, 1))
			;
		return;
	}
	measure_calls(run, turn_both_awake);
}

static void call_asleep(struct bench_run *run)
{
	measure_calls(run, turn_both_asleep);
}

/* ---- messages, on one thread: what posting and taking cost without the other's caches ---- */

static void count_message(struct rota_message *message)
{
	(void)message;
}

static void post_and_take(struct bench_run *run)
{
	const struct rota_reactor_options options = { .engine = &rota_backend_epoll };
	static struct rota_message messages[BATCH];
	struct rota_reactor *reactor;

	if (rota_reactor_create(&options, &reactor) < 0)
		abort();
	while (bench_next(run, BATCH)) {
		for (int i = 0; i < BATCH; i++) {
			messages[i].run = count_message;
			rota_post(reactor, &messages[i]);
		}
		if (rota_reactor_run_once(reactor, 0) < 0)
			abort();
	}
	rota_reactor_destroy(reactor);
}

const struct bench bench_list[] = {
	{ "mailbox/call, both awake", call_awake },
	{ "mailbox/call, both asleep between", call_asleep },
	{ "mailbox/post from a thread+take", post_and_take },
	{ NULL, NULL },
};
