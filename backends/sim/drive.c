/* SPDX-License-Identifier: MIT */
/*
 * The engine's drive() slot: reactors as the simulator's actors. Called on the world's thread.
 *
 * The one idea: all engines are opened before the first step and closed after the last, because in
 * between any reactor may wake any other.
 */
#include <rota/error.h>
#include <rota/log.h>
#include <rota/memory.h>
#include <rota/reactor.h>

#include "backends/sim/sim_internal.h"

/* A guess: tasks that end when cancelled need some ten steps, even with a thousand of them. */
#define TEAR_DOWN_STEPS_MAX 100000

static int step_reactor(void *arg)
{
	return rota_reactor_run_once(arg, ROTA_NEVER);
}

static bool reactor_has_stopped(void *arg)
{
	return rota_reactor_has_stopped(arg);
}

static bool all_have_stopped(struct rota_reactor *const reactors[], unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (!rota_reactor_has_stopped(reactors[i]))
			return false;
	return true;
}

/*
 * Open their engines, in order. Returns 0 with `*opened` == count, or the negative errno of the
 * first that failed; the ones before it have been told to stop then.
 */
static int open_all(struct rota_reactor *const reactors[], unsigned count, unsigned *opened)
{
	for (*opened = 0; *opened < count; ++*opened) {
		int status = rota_reactor_open(reactors[*opened]);

		if (status >= 0)
			continue;
		for (unsigned i = 0; i < *opened; i++)
			rota_reactor_stop(reactors[i]);
		return status;
	}
	return 0;
}

static void name_the_running(const struct rota_sim_actor actors[], unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (reactor_has_stopped(actors[i].arg))
			continue;
		rota_log(ROTA_LOG_ERROR, "sim: reactor %u has a task that ignores cancellation",
			 rota_reactor_index(actors[i].arg));
	}
}

/*
 * The drive has failed: a deadlock, or too many steps. It was reported with everything as it stood;
 * now the reactors are stopped as by rota_reactor_stop(), so that their tasks end by cancellation
 * and whoever owns the reactors can destroy them. A task that doesn't end even so (it shields
 * itself from cancellation, or yields for ever) leaves its reactor running, which the log says.
 */
static void tear_down(const struct rota_sim_actor actors[], unsigned count)
{
	struct rota_sim_world *world = rota_sim_world_of(actors[0].backend);
	uint64_t steps_max = world->options.steps_max;

	for (unsigned i = 0; i < count; i++)
		rota_reactor_stop(actors[i].arg);
	world->options.steps_max = world->steps + TEAR_DOWN_STEPS_MAX;
	if (rota_sim_drive(actors, count) < 0)
		name_the_running(actors, count);
	world->options.steps_max = steps_max;
}

int sim__drive_reactors(struct rota_reactor *const reactors[], unsigned count)
{
	struct rota_sim_actor *actors = rota_calloc(count, sizeof(*actors));
	unsigned opened;
	int open_status, status;

	if (!actors)
		return -ENOMEM;
	open_status = open_all(reactors, count, &opened);
	for (unsigned i = 0; i < opened; i++)
		actors[i] = (struct rota_sim_actor){
			.step = step_reactor,
			.has_stopped = reactor_has_stopped,
			.arg = reactors[i],
			.backend = rota_reactor_backend(reactors[i]),
		};
	status = rota_sim_drive(actors, opened);
	if (status < 0)
		tear_down(actors, opened);
	/* Only after the last has stopped: until then the others may wake it. */
	if (all_have_stopped(reactors, opened))
		for (unsigned i = 0; i < opened; i++)
			rota_reactor_close(reactors[i]);
	rota_free(actors);
	return open_status < 0 ? open_status : status;
}
