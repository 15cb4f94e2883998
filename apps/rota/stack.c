/* SPDX-License-Identifier: MIT */
/*
 * The stacks of suspended tasks, by frame pointers: rota is built with them, so the first frame
 * outside of it is always right; further ones are if the program is built with them, too
 * (-fno-omit-frame-pointer). On both machines a frame begins with the caller's frame pointer and,
 * beside it, the return address.
 */
#include <string.h>

#include "apps/rota/places.h"

/* No stack is larger than the largest class (<rota/task.h>); the thread's own may be. */
#define FRAME_BYTES_MAX (UINT64_C(1) << 20)

/* Generators inside each other that are followed. */
#define GENERATORS_MAX 64

struct walk {
	struct target *target;
	uint64_t *pcs;
	uint64_t *generators;
	unsigned count, max;
};

static bool add(struct walk *walk, uint64_t pc, uint64_t generator)
{
	if (!pc || walk->count == walk->max)
		return false;
	walk->pcs[walk->count] = pc;
	if (walk->generators)
		walk->generators[walk->count] = generator;
	walk->count++;
	return true;
}

/* The stack on which `context` is suspended; `generator` whose it is. */
static void walk_context(struct walk *walk, uint64_t context, uint64_t generator)
{
	const struct layout *layout = &walk->target->layout;
	uint64_t fp = target_u64(walk->target, context, layout->context_fp);
	uint64_t low = fp;

	if (!add(walk, target_u64(walk->target, context, layout->context_resume), generator))
		return;
	/* Each lies above the one before, so this comes to an end. */
	while (fp && fp % 8 == 0 && fp >= low && fp - low < FRAME_BYTES_MAX) {
		uint64_t frame[2]; /* the caller's frame pointer, where it goes on */

		if (!target_read(walk->target, fp, frame, sizeof(frame)) || !frame[0] ||
		    !add(walk, frame[1], generator))
			return;
		low = fp + sizeof(frame);
		fp = frame[0];
	}
}

unsigned stack_walk(struct target *target, uint64_t task, uint64_t pcs[], uint64_t generators[],
		    unsigned max)
{
	const struct layout *layout = &target->layout;
	struct walk walk = { target, pcs, generators, 0, max };
	uint64_t context = task + layout->task_context;
	uint64_t generator = target_u64(target, task, layout->task_generator);

	for (unsigned depth = 0; generator && depth < GENERATORS_MAX; depth++) {
		walk_context(&walk, context, generator);
		context = generator + layout->generator_driver;
		generator = target_u64(target, generator, layout->generator_below);
	}
	walk_context(&walk, context, 0);
	return walk.count;
}

unsigned stack_walk_running(struct target *target, uint64_t task, uint64_t pcs[], unsigned max)
{
	const struct layout *layout = &target->layout;
	uint64_t generator = target_u64(target, task, layout->task_generator);
	uint64_t context = generator ? generator + layout->generator_context
				     : task + layout->task_context;
	uint64_t low = target_u64(target, context, layout->context_stack_low);
	struct target_thread thread;

	if (target_faulted(target) || !low ||
	    !target_thread_on(target, low,
			      low + target_u64(target, context, layout->context_stack_bytes),
			      &thread))
		return 0;
	/* Its stack is of now. */
	target_forget(target);
	return stack_unwind(target, &thread, pcs, max);
}

/* The first frame of a place that is not of the framework's; 0: none is. */
static uint32_t user_spot_of(const struct place *place)
{
	for (unsigned i = 0; i < place->count; i++)
		if (!place->frames[i].is_framework)
			return places_spot(place, i);
	return 0;
}

/* What is below every task's function. */
static bool is_below_tasks(const char *function)
{
	return !strcmp(function, "task_main") || !strncmp(function, "rota__context_", 14);
}

/* A task of the framework's own: where its function is, not what that has called. */
static uint32_t own_spot_of(struct places *places, const uint64_t pcs[], unsigned count)
{
	const struct place *place = places_find(places, pcs[0]);

	for (unsigned i = count; i-- > 0;) {
		const struct place *outer = places_find(places, pcs[i]);

		if (!outer->count || is_below_tasks(outer->frames[outer->count - 1].function))
			continue;
		place = outer;
		break;
	}
	return places_spot(place, place->count ? place->count - 1 : 0);
}

uint32_t stack_user_spot(struct places *places, uint64_t task, bool is_running)
{
	struct target *target = places_target(places);
	uint64_t pcs[STACK_FRAMES_MAX];
	unsigned count = is_running ? stack_walk_running(target, task, pcs, STACK_FRAMES_MAX)
				    : stack_walk(target, task, pcs, NULL, STACK_FRAMES_MAX);
	const struct place *place;
	uint32_t spot = 0;

	for (unsigned i = 0; i < count && !spot; i++)
		spot = user_spot_of(places_find(places, pcs[i]));
	if (spot || !count)
		return spot;
	/* A function that ends in `return rota_await(…)` has left the stack: a jump, no call. */
	place = places_find(places, target_u64(target, task, target->layout.task_fn) + 1);
	spot = user_spot_of(place);
	if (spot)
		return spot;
	return own_spot_of(places, pcs, count);
}
