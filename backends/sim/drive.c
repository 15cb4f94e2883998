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

struct crew {
	struct rota_reactor *const *reactors;
	unsigned count;
	int status; /* of the first whose engine broke */
	struct member {
		struct rota_reactor *reactor;
		struct crew *crew;
	} members[];
};

static void stop_all(const struct crew *crew)
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
	struct crew *crew = member->crew;
	int status = rota_reactor_run_once(member->reactor, ROTA_NEVER);

	if (status >= 0)
		return status;
	if (crew->status == 0) {
		crew->status = status;
		stop_all(crew);
	}
	return 1;
}

static bool reactor_has_stopped(void *arg)
{
	const struct member *member = arg;

	return rota_reactor_has_stopped(member->reactor);
}

/* Open their engines, in order. Returns 0, or negative errno with those before closed again. */
static int open_all(const struct crew *crew)
{
	for (unsigned i = 0; i < crew->count; i++) {
		int status = rota_reactor_open(crew->reactors[i]);

		if (status >= 0)
			continue;
		while (i--)
			rota_reactor_close(crew->reactors[i]);
		return status;
	}
	return 0;
}

/* Only after the last has stopped: until then the others may wake it. */
static void close_all(const struct crew *crew)
{
	for (unsigned i = 0; i < crew->count; i++)
		if (!rota_reactor_has_stopped(crew->reactors[i]))
			return;
	for (unsigned i = 0; i < crew->count; i++)
		rota_reactor_close(crew->reactors[i]);
}

static void name_the_running(const struct crew *crew)
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
static void tear_down(const struct crew *crew, const struct rota_sim_actor actors[])
{
	struct rota_sim_world *world = rota_sim_world_of(actors[0].backend);
	uint64_t steps_max = world->options.steps_max;

	stop_all(crew);
	world->options.steps_max = world->steps + TEAR_DOWN_STEPS_MAX;
	if (rota_sim_drive(actors, crew->count) < 0)
		name_the_running(crew);
	world->options.steps_max = steps_max;
}

static int drive_opened(struct crew *crew, struct rota_sim_actor actors[])
{
	int status;

	for (unsigned i = 0; i < crew->count; i++) {
		crew->members[i] = (struct member){ crew->reactors[i], crew };
		actors[i] = (struct rota_sim_actor){
			.step = step_reactor,
			.has_stopped = reactor_has_stopped,
			.arg = &crew->members[i],
			.backend = rota_reactor_backend(crew->reactors[i]),
		};
	}
	status = rota_sim_drive(actors, crew->count);
	if (status < 0)
		tear_down(crew, actors);
	close_all(crew);
	return crew->status < 0 ? crew->status : status;
}

int sim__drive_reactors(struct rota_reactor *const reactors[], unsigned count)
{
	struct rota_sim_actor *actors = rota_calloc(count, sizeof(*actors));
	struct crew *crew = rota_calloc(1, sizeof(*crew) + count * sizeof(struct member));
	int status = -ENOMEM;

	if (actors && crew) {
		crew->reactors = reactors;
		crew->count = count;
		status = open_all(crew);
		if (status == 0)
			status = drive_opened(crew, actors);
	}
	rota_free(crew);
	rota_free(actors);
	return status;
}
