/* SPDX-License-Identifier: MIT */
/*
 * What a generator's next costs: there and back, alone and through delegates.
 */
#include <rota/generator.h>

#include "bench/micro/shim.h"

#define BATCH 1000

static int64_t yield_on(struct rota_generator *self, void *arg)
{
	int status = 0;

	while (status == 0)
		status = rota_generator_yield(self, arg, NULL);
	return status;
}

static int64_t delegate(struct rota_generator *self, void *arg)
{
	struct rota_generator *inner;
	int64_t depth = (intptr_t)arg;
	int64_t result = depth ? rota_generator_create(delegate, (void *)(intptr_t)(depth - 1),
						       &inner)
			       : rota_generator_create(yield_on, NULL, &inner);

	if (result < 0)
		return result;
	result = rota_generator_delegate(self, inner);
	rota_generator_destroy(inner);
	return result;
}

/* `around` functions between the loop and the next. */
static ROTA_NOINLINE int next_within(struct rota_generator *generator, int around)
{
	void *value;
	int status = around ? next_within(generator, around - 1)
			    : rota_generator_next(generator, &value);

	__asm__ volatile("" : "+r"(status)); /* no tail call */
	return status;
}

static void drive_within(struct bench_run *run, int around)
{
	struct rota_generator *generator;

	if (rota_generator_create(yield_on, NULL, &generator) < 0) {
		bench_skip(run, "no memory");
		generator = NULL;
	}
	while (bench_next(run, BATCH) && generator)
		for (int i = 0; i < BATCH; i++)
			rota_ignore(next_within(generator, around - 1), "1");
	rota_generator_destroy(generator);
}

static void next_within_one(struct bench_run *run)
{
	drive_within(run, 1);
}

static void next_within_two(struct bench_run *run)
{
	drive_within(run, 2);
}

static void next_within_four(struct bench_run *run)
{
	drive_within(run, 4);
}

static void drive(struct bench_run *run, rota_generator_fn fn, void *arg)
{
	struct rota_generator *generator;
	void *value;

	if (rota_generator_create(fn, arg, &generator) < 0) {
		bench_skip(run, "no memory");
		generator = NULL;
	}
	while (bench_next(run, BATCH) && generator)
		for (int i = 0; i < BATCH; i++)
			rota_ignore(rota_generator_next(generator, &value), "1");
	rota_generator_destroy(generator);
}

static void next(struct bench_run *run)
{
	drive(run, yield_on, NULL);
}

static void next_delegated(struct bench_run *run)
{
	drive(run, delegate, (void *)(intptr_t)9);
}

static void create_and_destroy(struct bench_run *run)
{
	struct rota_generator *generator;
	void *value;

	while (bench_next(run, BATCH))
		for (int i = 0; i < BATCH; i++) {
			if (rota_generator_create(yield_on, NULL, &generator) < 0)
				continue;
			rota_ignore(rota_generator_next(generator, &value), "1");
			rota_generator_destroy(generator);
		}
}

const struct bench bench_list[] = {
	{ "generator/next", next },
	{ "generator/next through 10 delegates", next_delegated },
	{ "generator/next, a function around", next_within_one },
	{ "generator/next, two around", next_within_two },
	{ "generator/next, four around", next_within_four },
	{ "generator/create, one next, destroy", create_and_destroy },
	{ NULL, NULL },
};
