/* SPDX-License-Identifier: MIT */
/*
 * The engine's drive() slot: reactors as the simulator's actors. Called on the world's thread.
 *
 * The one idea: all engines are opened before the first step and closed after the last, because in
 * between any reactor may wake any other.
 */
#include <rota/error.h>
#include <rota/memory.h>
#include <rota/reactor.h>

#include "backends/sim/sim_internal.h"

static int step_reactor(void *arg)
{
	return rota_reactor_run_once(arg, ROTA_NEVER);
}

static bool reactor_has_stopped(void *arg)
{
	return rota_reactor_has_stopped(arg);
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
	/* Only after the last has stopped: until then the others may wake it. */
	for (unsigned i = 0; i < opened && status == 0; i++)
		rota_reactor_close(reactors[i]);
	rota_free(actors);
	return open_status < 0 ? open_status : status;
}
