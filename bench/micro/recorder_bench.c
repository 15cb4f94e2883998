/* SPDX-License-Identifier: MIT */
/*
 * What the flight recorder costs by itself: one record, by which all that is recorded pays, and the
 * label that a task gets when it is spawned. The ring has the size it has in every reactor, so what
 * is written goes through the caches as it does there.
 */
#include "bench/micro/shim.h"
#include "framework/recorder.h"

#define BATCH 1000
#define SITES 64

static void begin(struct bench_run *run, struct recorder *recorder)
{
	if (rota__recorder_init(recorder, 0) < 0)
		bench_skip(run, "out of memory");
}

/* The compiler may not gather the stores of several records. */
static void one_record(struct bench_run *run)
{
	static struct recorder recorder;

	begin(run, &recorder);
	while (bench_next(run, BATCH))
		for (uint64_t i = 0; i < BATCH; i++) {
			rota__recorder_write(&recorder, RECORD(ROTA_RECORD_RUN) | i);
			__asm__ volatile("" ::: "memory");
		}
	rota__recorder_fini(&recorder);
}

static void make_sites(struct rota_site sites[SITES])
{
	for (int i = 0; i < SITES; i++)
		sites[i] = (struct rota_site){
			.file = "a_file.c", .function = "a_function", .what = "what", .line = i
		};
}

/* Spawned where the one before was, `stride` 0, or at another of the sites. */
static void labels(struct bench_run *run, unsigned stride)
{
	static struct recorder recorder;
	struct rota_site sites[SITES];
	uint64_t sum = 0;
	unsigned at = 0;

	make_sites(sites);
	begin(run, &recorder);
	while (bench_next(run, BATCH))
		for (uint64_t i = 0; i < BATCH; i++, at = (at + stride) % SITES)
			sum += rota__recorder_task(&recorder, &sites[at], sites[at].what, i);
	/* Without room for all of them there would be less to find. */
	for (unsigned i = 0; i < SITES; i++)
		if (!rota__recorder_task(&recorder, &sites[i], sites[i].what, 0))
			bench_skip(run, "a site has no label");
	bench_report(run, "sum", (double)sum);
	rota__recorder_fini(&recorder);
}

static void same_label(struct bench_run *run)
{
	labels(run, 0);
}

static void other_label(struct bench_run *run)
{
	labels(run, 1);
}

const struct bench bench_list[] = {
	{ "recorder/a record", one_record },
	{ "recorder/label, the same site again", same_label },
	{ "recorder/label, another of 64 sites", other_label },
	{ NULL, NULL },
};
