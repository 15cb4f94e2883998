/* SPDX-License-Identifier: MIT */
/*
 * The engine's drive() slot: reactors as the simulator's actors. Called on the world's thread.
 *
 * The one idea: all engines are opened before the first step and closed after the last, because in
 * between any reactor may wake any other. They work together or not at all, as on threads: when one
 * engine does not open, none runs, and when one breaks, all are told to stop.
 */
#include <rota/error.h>
#include <rota/log.h>
#include <rota/memory.h>
#include <rota/reactor.h>

#include "backends/sim/sim_internal.h"

/* A guess: tasks that end when cancelled need some ten steps, even with a thousand of them. */
#define TEAR_DOWN_STEPS_MAX 100000

struct sim_crew {
	struct rota_reactor *const *reactors;
	unsigned count;
	uint32_t owner; /* of what they allocate: a host, or as sim__memory_nobody */
	int status;     /* of the first whose engine broke */
	struct member {
		struct rota_reactor *reactor;
		struct sim_crew *crew;
	} members[];
};

void sim__crew_stop(const struct sim_crew *crew)
{
	for (unsigned i = 0; i < crew->count; i++)
		rota_reactor_stop(crew->reactors[i]);
}

/*
 * One turn. With a broken engine, too: what does not wait for I/O can still end, and who calls this
 * reactor gets an answer.
 */
static int step_reactor(void *arg)
{
	struct member *member = arg;
	struct sim_crew *crew = member->crew;
	uint32_t before = sim__memory_owner(crew->owner);
	int status = rota_reactor_run_once(member->reactor, ROTA_NEVER);

	sim__memory_owner(before);
	if (status >= 0)
		return status;
	if (crew->status == 0) {
		crew->status = status;
		sim__crew_stop(crew);
	}
	return 1;
}

static bool reactor_has_stopped(void *arg)
{
	const struct member *member = arg;

	return rota_reactor_has_stopped(member->reactor);
}

/* Open their engines, in order. Returns 0, or negative errno with those before closed again. */
int sim__crew_open(struct sim_crew *crew)
{
	for (unsigned i = 0; i < crew->count; i++) {
		uint32_t before = sim__memory_owner(crew->owner);
		int status = rota_reactor_open(crew->reactors[i]);

		sim__memory_owner(before);
		if (status >= 0)
			continue;
		while (i--)
			rota_reactor_close(crew->reactors[i]);
		return status;
	}
	return 0;
}

bool sim__crew_has_stopped(const struct sim_crew *crew)
{
	for (unsigned i = 0; i < crew->count; i++)
		if (!rota_reactor_has_stopped(crew->reactors[i]))
			return false;
	return true;
}

/* Only after the last has stopped: until then the others may wake it. */
void sim__crew_close(const struct sim_crew *crew)
{
	if (!sim__crew_has_stopped(crew))
		return;
	for (unsigned i = 0; i < crew->count; i++)
		rota_reactor_close(crew->reactors[i]);
}

void sim__crew_report(const struct sim_crew *crew)
{
	for (unsigned i = 0; i < crew->count; i++) {
		if (rota_reactor_has_stopped(crew->reactors[i]))
			continue;
		rota_log(ROTA_LOG_ERROR, "sim: reactor %u has a task that ignores cancellation",
			 rota_reactor_index(crew->reactors[i]));
	}
}

/*
 * The drive has failed: a deadlock, or too many steps. It was reported with everything as it stood;
 * now the reactors are stopped as by rota_reactor_stop(), so that their tasks end by cancellation
 * and whoever owns the reactors can destroy them. A task that doesn't end even so (it shields
 * itself from cancellation, or yields for ever) leaves its reactor running, which the log says.
 */
static void tear_down(const struct sim_crew *crew, const struct rota_sim_actor actors[])
{
	struct rota_sim_world *world = rota_sim_world_of(actors[0].backend);
	uint64_t steps_max = world->options.steps_max;

	sim__crew_stop(crew);
	world->options.steps_max = world->steps + TEAR_DOWN_STEPS_MAX;
	if (rota_sim_drive(actors, crew->count) < 0)
		sim__crew_report(crew);
	world->options.steps_max = steps_max;
}

void sim__crew_actors(struct sim_crew *crew, struct rota_sim_actor actors[])
{
	for (unsigned i = 0; i < crew->count; i++) {
		crew->members[i] = (struct member){ crew->reactors[i], crew };
		actors[i] = (struct rota_sim_actor){
			.step = step_reactor,
			.has_stopped = reactor_has_stopped,
			.arg = &crew->members[i],
			.backend = rota_reactor_backend(crew->reactors[i]),
		};
	}
}

unsigned sim__crew_count(const struct sim_crew *crew)
{
	return crew->count;
}

int sim__crew_create(struct rota_reactor *const reactors[], unsigned count, struct sim_crew **out)
{
	struct sim_crew *crew = sim__calloc(1, sizeof(*crew) + count * sizeof(struct member));

	if (!crew)
		return -ENOMEM;
	crew->reactors = reactors;
	crew->count = count;
	crew->owner = sim__memory_nobody(); /* who calls */
	sim__memory_owner(crew->owner);
	*out = crew;
	return 0;
}

void sim__crew_crash(struct sim_crew *crew)
{
	for (unsigned i = 0; i < crew->count; i++) {
		sim__instance_vanish(sim__instance_of(rota_reactor_backend(crew->reactors[i])));
		rota_reactor_abandon(crew->reactors[i]);
	}
	rota_free(crew);
}

int sim__crew_destroy(struct sim_crew *crew, int status)
{
	if (crew->status < 0)
		status = crew->status;
	rota_free(crew);
	return status;
}

/* Nobody else runs in this world: step these alone. */
static int drive_alone(struct sim_crew *crew)
{
	struct rota_sim_actor *actors = sim__calloc(crew->count, sizeof(*actors));
	int status = actors ? sim__crew_open(crew) : -ENOMEM;

	if (status == 0) {
		sim__crew_actors(crew, actors);
		status = rota_sim_drive(actors, crew->count);
		if (status < 0)
			tear_down(crew, actors);
		sim__crew_close(crew);
	}
	rota_free(actors);
	return status;
}

int sim__drive_reactors(struct rota_reactor *const reactors[], unsigned count)
{
	struct rota_sim_world *world = sim__world_with_program();
	struct sim_crew *crew;
	int status = sim__crew_create(reactors, count, &crew);

	if (status < 0)
		return status;
	status = world ? sim__program_drives(world, crew) : drive_alone(crew);
	return sim__crew_destroy(crew, status);
}
