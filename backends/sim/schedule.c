/* SPDX-License-Identifier: MIT */
/*
 * The threads seam of the simulator: one thread steps all reactors of a world. Called on the
 * world's thread.
 *
 * The one idea: which reactor goes next is drawn from the seed among those that may have something
 * to do; only when none has, time moves, and straight to the next thing that will happen. So hours
 * of timeouts cost nothing, and "nothing will ever happen" is an answer instead of a hang.
 */
#include <errno.h>

#include <rota/log.h>
#include <rota/memory.h>

#include "backends/sim/sim_internal.h"

/* ---- stepping ---- */

static bool has_stopped(const struct rota_sim_actor *actor)
{
	return actor->has_stopped(actor->arg);
}

static bool is_worth_a_step(const struct rota_sim_actor *actor, bool is_idle)
{
	const struct sim_instance *instance = sim__instance_of(actor->backend);

	/*
	 * One that has stopped goes on answering the others until all have, but its timers wake
	 * nobody.
	 */
	return !is_idle || sim__instance_has_work(instance) ||
	       (!has_stopped(actor) && instance->deadline <= instance->world->now);
}

/* Draw one of the actors that may have something to do; -1: there is none. */
static int choose_actor(struct rota_sim_world *world, const struct rota_sim_actor actors[],
			unsigned count, const bool idle[])
{
	uint64_t choices = 0, chosen;

	for (unsigned i = 0; i < count; i++)
		choices += is_worth_a_step(&actors[i], idle[i]);
	if (!choices)
		return -1;
	chosen = sim__draw(world, SIM_DECIDE_ACTOR, choices);
	for (unsigned i = 0;; i++)
		if (is_worth_a_step(&actors[i], idle[i]) && chosen-- == 0)
			return (int)i;
}

/* When the first of them will have something to do, if nobody does anything before. */
static rota_ns next_event(const struct rota_sim_world *world, const struct rota_sim_actor actors[],
			  unsigned count)
{
	rota_ns next = sim__timers_next(world);

	for (unsigned i = 0; i < count; i++) {
		const struct sim_instance *instance = sim__instance_of(actors[i].backend);
		rota_ns due = sim__instance_next_due(instance);

		if (has_stopped(&actors[i]))
			continue;
		next = due < next ? due : next;
		next = instance->deadline < next ? instance->deadline : next;
	}
	return next;
}

static bool all_have_stopped(const struct rota_sim_actor actors[], unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (!has_stopped(&actors[i]))
			return false;
	return true;
}

static int report_end(const struct rota_sim_world *world, const char *what, int status)
{
	rota_log(ROTA_LOG_ERROR, "sim: %s at %.9f s, seed %llu, step %llu", what,
		 (double)world->now / (double)ROTA_NS_PER_S,
		 (unsigned long long)world->options.seed, (unsigned long long)world->steps);
	rota_ignore(rota_sim_world_report(world), "only for the log");
	return status;
}

int sim__stage_step(struct rota_sim_world *world, const struct sim_stage *stage)
{
	uint64_t steps_max = world->options.steps_max;
	int chosen = choose_actor(world, stage->actors, stage->count, stage->idle);
	int result;

	if (chosen < 0) {
		rota_ns next = next_event(world, stage->actors, stage->count);

		if (next == ROTA_NEVER)
			return report_end(world, "deadlock", -EDEADLK);
		sim__advance_to(world, next);
		return -EAGAIN;
	}
	if (steps_max && world->steps >= steps_max)
		return report_end(world, "out of steps", -ETIMEDOUT);
	world->steps++;
	sim__event(world, "step", chosen, 0);
	sim__instance_of(stage->actors[chosen].backend)->deadline = ROTA_NEVER;
	result = stage->actors[chosen].step(stage->actors[chosen].arg);
	if (result < 0)
		return result;
	stage->idle[chosen] = result == 0;
	for (unsigned i = 0; result > 0 && i < stage->count; i++)
		stage->idle[i] = false;
	sim__advance_to(world, world->now + world->options.step_ns);
	return chosen;
}

static int run_actors(struct rota_sim_world *world, const struct sim_stage *stage)
{
	int status = 0;

	while ((status >= 0 || status == -EAGAIN) && !all_have_stopped(stage->actors, stage->count))
		status = sim__stage_step(world, stage);
	return status < 0 && status != -EAGAIN ? status : 0;
}

int rota_sim_drive(const struct rota_sim_actor actors[], unsigned count)
{
	struct rota_sim_world *world;
	struct sim_stage stage = { .actors = actors, .count = count };
	int status;

	if (!count)
		return 0;
	world = rota_sim_world_of(actors[0].backend);
	for (unsigned i = 1; i < count; i++)
		ROTA_ASSERT(rota_sim_world_of(actors[i].backend) == world);
	ROTA_ASSERT(!world->is_driven);
	stage.idle = rota_calloc(count, sizeof(*stage.idle));
	if (!stage.idle)
		return -ENOMEM;
	world->is_driven = true;
	status = run_actors(world, &stage);
	world->is_driven = false;
	rota_free(stage.idle);
	return status;
}
