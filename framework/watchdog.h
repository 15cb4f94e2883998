/* SPDX-License-Identifier: MIT */
/*
 * The watchdog: says so when a reactor does not come round, and what holds it. Internal to
 * framework/. One thread per process looks after all reactors that want it.
 *
 * The one idea: a reactor beats when it begins a turn or goes on after a wait, and when it ends a
 * turn or begins a wait. An odd number of beats that stays the same for too long is a stall. Then
 * the reactor's own thread is asked by a signal where it is.
 */
#ifndef ROTA_FRAMEWORK_WATCHDOG_H
#define ROTA_FRAMEWORK_WATCHDOG_H

#include <pthread.h>
#include <signal.h>

#include <rota/base.h>
#include <rota/log.h>
#include <rota/time.h>

struct rota_reactor;

struct watch {
	/* atomic: by the reactor's thread; odd: it is at work */
	uint64_t beats;
	uint64_t stalls;  /* atomic: by the watchdog's thread */
	rota_ns bound_ns; /* 0: not watched */

	/* under the watchdog's lock */
	struct rota_link link; /* on the list of those watched */
	pthread_t thread;
	sigset_t signals_before; /* the thread's mask before it was watched */
	bool is_watched;
	uint64_t beats_seen;
	rota_ns beats_since;     /* when the watchdog first saw that number */
	rota_ns cpu_since;       /* the thread's processor time then */
	rota_ns report_after_ns; /* the next report of this stall */
	struct rota_log_limit limit;
};

/*
 * The reactor begins or ends a stretch of work. Relaxed: only the number itself is looked at, and a
 * look that comes late finds the next one.
 */
static inline void rota__watch_beat(struct watch *watch)
{
	__atomic_store_n(&watch->beats, watch->beats + 1, __ATOMIC_RELAXED);
}

/*
 * Watch this reactor, which is driven on the calling thread, from now on; nothing if its bound is
 * 0. Where there is no thread or no signal for it, the log says so, and it is not watched.
 */
void rota__watch_begin(struct rota_reactor *reactor);

/* The reverse, on the same thread. Harmless if it is not watched. */
void rota__watch_end(struct rota_reactor *reactor);

/*
 * Write `FUNCTION (MODULE+0xOFFSET)` of a place in the program to `out`: the offset is for
 * addr2line, the function is known if it is exported. Any thread.
 */
void rota__describe_code(const void *address, char *out, size_t out_bytes);

#endif /* ROTA_FRAMEWORK_WATCHDOG_H */
