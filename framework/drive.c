/* SPDX-License-Identifier: MIT */
/*
 * Driving several reactors: one thread each, the first on the caller's. The threads seam's default;
 * the simulator has its own.
 *
 * A reactor that has stopped goes on turning until all of them have, because the others may still
 * call it and wait for its "closing"; and no engine is closed before all have left their loops,
 * because until then somebody may wake it.
 */
#include <pthread.h>
#include <sched.h>

#include <rota/error.h>
#include <rota/memory.h>

#include "framework/reactor_internal.h"

struct crew {
	struct driver *drivers;
	unsigned count;
	unsigned running; /* atomic: reactors that have not stopped yet */
	pthread_mutex_t lock;
	pthread_cond_t all_left;
	unsigned turning; /* under lock: threads still in their loop */
};

struct driver {
	struct crew *crew;
	struct rota_reactor *reactor;
	struct rota_message nudge; /* posted to each reactor when the last one has stopped */
	pthread_t thread;
	int status;
};

static void nudged(struct rota_message *message)
{
	(void)message; /* it came, so the reactor turns and looks at crew->running */
}

static void pin_thread(const struct rota_reactor *reactor)
{
	cpu_set_t cpus;
	int error;

	if (reactor->cpu < 0)
		return;
	CPU_ZERO(&cpus);
	CPU_SET((size_t)reactor->cpu, &cpus);
	error = pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
	if (error)
		rota_log(ROTA_LOG_WARNING, "reactor %u runs unpinned: CPU %d: %s", reactor->index,
			 reactor->cpu, rota_strerror(error));
}

static void stop_all(const struct crew *crew)
{
	for (unsigned i = 0; i < crew->count; i++)
		rota_reactor_stop(crew->drivers[i].reactor);
}

static void count_stopped(struct crew *crew, unsigned stopped)
{
	if (__atomic_sub_fetch(&crew->running, stopped, __ATOMIC_ACQ_REL) != 0)
		return;
	for (unsigned i = 0; i < crew->count; i++)
		rota_post(crew->drivers[i].reactor, &crew->drivers[i].nudge);
}

static void leave(struct crew *crew, unsigned leaving)
{
	pthread_mutex_lock(&crew->lock);
	crew->turning -= leaving;
	if (crew->turning == 0)
		pthread_cond_broadcast(&crew->all_left);
	pthread_mutex_unlock(&crew->lock);
}

static void wait_until_all_left(struct crew *crew)
{
	pthread_mutex_lock(&crew->lock);
	while (crew->turning)
		pthread_cond_wait(&crew->all_left, &crew->lock);
	pthread_mutex_unlock(&crew->lock);
}

static void *drive(void *arg)
{
	struct driver *driver = arg;
	struct crew *crew = driver->crew;

	pin_thread(driver->reactor);
	driver->status = rota_reactor_run(driver->reactor);
	if (driver->status < 0)
		stop_all(crew); /* one engine is broken: the reactors work together or not at all */
	count_stopped(crew, 1);
	while (driver->status >= 0 && __atomic_load_n(&crew->running, __ATOMIC_ACQUIRE)) {
		int status = rota_reactor_run_once(driver->reactor, ROTA_NEVER);

		if (status < 0)
			driver->status = status;
	}
	leave(crew, 1);
	wait_until_all_left(crew);
	if (driver->status >= 0)
		rota_reactor_close(driver->reactor);
	return NULL;
}

/*
 * Start all threads but the first reactor's. Returns 0, or the negative errno of the one that could
 * not be started; it and the rest count as stopped then. `*started`: reactors that have a thread,
 * the first one included.
 */
static int start_threads(struct crew *crew, unsigned *started)
{
	for (unsigned i = 1; i < crew->count; i++) {
		int error = pthread_create(&crew->drivers[i].thread, NULL, drive,
					   &crew->drivers[i]);

		if (error) {
			stop_all(crew);
			count_stopped(crew, crew->count - i);
			leave(crew, crew->count - i);
			return -error;
		}
		*started = i + 1;
	}
	return 0;
}

int rota_backend_default_drive(struct rota_reactor *const reactors[], unsigned count)
{
	struct crew crew = { .count = count, .running = count, .turning = count };
	unsigned started = 1;
	int status;

	crew.drivers = rota_calloc(count, sizeof(*crew.drivers));
	if (!crew.drivers)
		return -ENOMEM;
	pthread_mutex_init(&crew.lock, NULL);
	pthread_cond_init(&crew.all_left, NULL);
	for (unsigned i = 0; i < count; i++) {
		crew.drivers[i].crew = &crew;
		crew.drivers[i].reactor = reactors[i];
		crew.drivers[i].nudge.run = nudged;
	}
	status = start_threads(&crew, &started);
	drive(&crew.drivers[0]);
	for (unsigned i = 1; i < started; i++)
		pthread_join(crew.drivers[i].thread, NULL);
	for (unsigned i = 0; i < started && status == 0; i++)
		status = crew.drivers[i].status;
	pthread_cond_destroy(&crew.all_left);
	pthread_mutex_destroy(&crew.lock);
	rota_free(crew.drivers);
	return status;
}
