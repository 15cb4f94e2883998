/* SPDX-License-Identifier: MIT */
/*
 * What a context switch costs: between two contexts, and among so many that their stacks fall out
 * of the first-level cache. One operation is one switch.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "bench/micro/shim.h"
#include "framework/context.h"

#define BATCH 1000
#define MANY 1000
/* Not a power of two: stack tops at such a distance would share a few cache sets. */
#define STRIDE_BYTES ((size_t)68 * 1024)
#define STACK_BYTES ((size_t)64 * 1024)

struct fiber {
	struct rota_context context;
	struct rota_context *home;
	bool done;
};

static void switch_home_until_done(void *arg)
{
	struct fiber *fiber = arg;

	while (!fiber->done)
		rota__context_switch(&fiber->context, fiber->home);
	rota__context_exit(&fiber->context, fiber->home);
}

static char *map_stacks(size_t count)
{
	void *stacks = mmap(NULL, count * STRIDE_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return stacks == MAP_FAILED ? NULL : stacks;
}

/* Make up to `count` fibers that switch home whenever they run. Returns how many could be made. */
static size_t make_fibers(struct fiber *fibers, size_t count, char *stacks,
			  struct rota_context *home)
{
	for (size_t i = 0; i < count; i++) {
		fibers[i].home = home;
		if (rota__context_make(&fibers[i].context, stacks + i * STRIDE_BYTES, STACK_BYTES,
				       switch_home_until_done, &fibers[i]) < 0)
			return i;
	}
	return count;
}

static void end_fibers(struct fiber *fibers, size_t count, struct rota_context *home)
{
	for (size_t i = 0; i < count; i++) {
		fibers[i].done = true;
		rota__context_switch(home, &fibers[i].context);
		rota__context_retire(&fibers[i].context);
	}
}

/* Visit the fibers of `order`, `visits` (a power of two) of them, again and again. */
static void measure(struct bench_run *run, size_t count, const uint16_t *order, size_t visits)
{
	struct fiber *fibers = calloc(count, sizeof(*fibers));
	char *stacks = map_stacks(count);
	struct rota_context home;
	size_t made = 0, at = 0;

	rota__context_adopt_thread(&home);
	if (fibers && stacks)
		made = make_fibers(fibers, count, stacks, &home);
	if (made < count)
		bench_skip(run, "out of memory");
	/* There and back: two switches. */
	while (bench_next(run, (int64_t)2 * BATCH))
		for (int i = 0; i < BATCH; i++)
			rota__context_switch(&home, &fibers[order[at++ & (visits - 1)]].context);
	end_fibers(fibers, made, &home);
	if (stacks)
		munmap(stacks, count * STRIDE_BYTES);
	free(fibers);
}

static void ping_pong(struct bench_run *run)
{
	static const uint16_t always_the_first[1];

	measure(run, 1, always_the_first, 1);
}

static void random_among_many(struct bench_run *run)
{
	static uint16_t order[1 << 16];
	uint64_t random = 1;

	for (size_t i = 0; i < 1 << 16; i++) {
		random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		order[i] = (uint16_t)((random >> 33) % MANY);
	}
	measure(run, MANY, order, 1 << 16);
}

const struct bench bench_list[] = {
	{ "context/ping-pong", ping_pong },
	{ "context/random among 1000", random_among_many },
	{ NULL, NULL },
};
