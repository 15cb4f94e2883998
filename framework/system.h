/* SPDX-License-Identifier: MIT */
/*
 * Small things that several files ask of the system, and not of an engine. Internal to framework/;
 * any thread.
 */
#ifndef ROTA_FRAMEWORK_SYSTEM_H
#define ROTA_FRAMEWORK_SYSTEM_H

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <rota/time.h>

/* What the system's clock says; 0 if there is no such clock: a thread's may be gone. */
static inline rota_ns rota__clock_ns(clockid_t clock)
{
	struct timespec now;

	return clock_gettime(clock, &now) ? 0 : now.tv_sec * ROTA_NS_PER_S + now.tv_nsec;
}

/*
 * Start a thread that takes no signals: those are for the program's own threads, none of which
 * expects to be interrupted in here. Returns 0 or negative errno.
 */
static inline int rota__thread_start(pthread_t *thread, void *(*fn)(void *arg), void *arg)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(thread, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}

#endif /* ROTA_FRAMEWORK_SYSTEM_H */
