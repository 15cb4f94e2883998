/* SPDX-License-Identifier: MIT */
/*
 * Driving several reactors: one thread each, the first on the caller's. The threads seam's default;
 * the simulator has its own.
 *
 * They work together or not at all: none makes a turn before all engines are open. A reactor that
 * has stopped goes on turning until all of them have, because the others may still call it and wait
 * for its "closing"; and no engine is closed before all have left their loops, because until then
 * somebody may wake it.
 */
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include <rota/error.h>
#include <rota/memory.h>

#include "framework/reactor_internal.h"

/* Between two turns with a broken engine, which does not wait. */
#define BROKEN_TURN_NS ROTA_NS_PER_MS

struct crew {
	struct driver *drivers;
	unsigned count;
	unsigned running; /* atomic: reactors that have not stopped yet */
	pthread_mutex_t lock;
	/* opening or turning has become 0 */
	pthread_cond_t met;
	unsigned opening; /* under lock: reactors whose engine is still to be opened */
	int open_status;  /* under lock: of the first that could not be; fixed once opening is 0 */
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
	(void)message; /* it came, so this turn does not wait: drive() looks at crew->running */
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

/* The last one wakes the others: they turn, and look at crew->running. */
static void count_stopped(struct crew *crew)
{
	if (__atomic_sub_fetch(&crew->running, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	for (unsigned i = 0; i < crew->count; i++)
		rota_post(crew->drivers[i].reactor, &crew->drivers[i].nudge);
}

/* Under crew->lock: one more of what `*left` counts is there; go on when all are. */
static void meet(struct crew *crew, unsigned *left)
{
	if (--*left == 0)
		pthread_cond_broadcast(&crew->met);
	while (*left)
		pthread_cond_wait(&crew->met, &crew->lock);
}

/* Returns 0 when all engines are open, or the first error. */
static int open_together(struct driver *driver)
{
	struct crew *crew = driver->crew;
	int status = rota__reactor_get_ready(driver->reactor);

	pthread_mutex_lock(&crew->lock);
	if (status < 0 && crew->open_status == 0)
		crew->open_status = status;
	meet(crew, &crew->opening);
	status = crew->open_status;
	pthread_mutex_unlock(&crew->lock);
	return status;
}

static ROTA_NOINLINE void engine_is_broken(struct driver *driver, int status)
{
	if (driver->status == 0) {
		driver->status = status;
		stop_all(driver->crew);
	}
	nanosleep(&(struct timespec){ .tv_nsec = BROKEN_TURN_NS }, NULL);
}

/*
 * One turn. With a broken engine, too: what does not wait for I/O can still end, and who calls this
 * reactor gets an answer.
 */
static void turn(struct driver *driver)
{
	int status = rota__reactor_turn(driver->reactor, ROTA_NEVER);

	if (ROTA_UNLIKELY(status < 0))
		engine_is_broken(driver, status);
}

static void *drive(void *arg)
{
	struct driver *driver = arg;
	struct crew *crew = driver->crew;

	pin_thread(driver->reactor);
	driver->status = open_together(driver);
	if (driver->status == 0) {
		while (!rota_reactor_has_stopped(driver->reactor))
			turn(driver);
		count_stopped(crew);
		while (__atomic_load_n(&crew->running, __ATOMIC_ACQUIRE))
			turn(driver);
	}
	pthread_mutex_lock(&crew->lock);
	meet(crew, &crew->turning);
	pthread_mutex_unlock(&crew->lock);
	rota_reactor_close(driver->reactor);
	return NULL;
}

/*
 * The first reactor runs on the caller's thread, which gets its CPUs back: its next server would
 * otherwise find one CPU only.
 */
static void drive_first(struct driver *driver)
{
	cpu_set_t before;
	int error = pthread_getaffinity_np(pthread_self(), sizeof(before), &before);

	drive(driver);
	if (!error && driver->reactor->cpu >= 0)
		pthread_setaffinity_np(pthread_self(), sizeof(before), &before);
}

/*
 * Start all threads but the first reactor's. Returns how many reactors have a thread, the first one
 * included; when those are not all, none will run, and crew->open_status says why.
 */
static unsigned start_threads(struct crew *crew)
{
	for (unsigned i = 1; i < crew->count; i++) {
		int error = pthread_create(&crew->drivers[i].thread, NULL, drive,
					   &crew->drivers[i]);

		if (error) {
			pthread_mutex_lock(&crew->lock);
			crew->open_status = -error;
			crew->opening -= crew->count - i;
			crew->turning -= crew->count - i;
			pthread_mutex_unlock(&crew->lock);
			return i;
		}
	}
	return crew->count;
}

int rota_backend_default_drive(struct rota_reactor *const reactors[], unsigned count)
{
	struct crew crew = { .count = count, .running = count, .opening = count, .turning = count };
	unsigned started;
	int status = 0;

	crew.drivers = rota_calloc(count, sizeof(*crew.drivers));
	if (!crew.drivers)
		return -ENOMEM;
	pthread_mutex_init(&crew.lock, NULL);
	pthread_cond_init(&crew.met, NULL);
	for (unsigned i = 0; i < count; i++) {
		crew.drivers[i].crew = &crew;
		crew.drivers[i].reactor = reactors[i];
		crew.drivers[i].nudge.run = nudged;
	}
	started = start_threads(&crew);
	drive_first(&crew.drivers[0]);
	for (unsigned i = 1; i < started; i++)
		pthread_join(crew.drivers[i].thread, NULL);
	for (unsigned i = 0; i < started && status == 0; i++)
		status = crew.drivers[i].status;
	pthread_cond_destroy(&crew.met);
	pthread_mutex_destroy(&crew.lock);
	rota_free(crew.drivers);
	return status;
}
