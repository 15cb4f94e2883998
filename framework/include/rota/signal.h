/* SPDX-License-Identifier: MIT */
/*
 * Signals as something to wait for: a task asks for the next one, as it would for the next message.
 * No handler runs, so nothing is interrupted and anything may be done about it.
 *
 * The one idea: the kernel keeps at most one of each signal for us (signalfd(2)), so they coalesce
 * and nothing piles up. For that they have to be blocked in every thread of the process: open
 * before other threads are started, which inherit it. Children of rota_process_open do not.
 */
#ifndef ROTA_SIGNAL_H
#define ROTA_SIGNAL_H

#include <signal.h>

#include <rota/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Caller's memory. */
struct rota_signals {
	/* private */
	int fd_;
	uint64_t unblock_; /* at the close; signal N is bit N - 1 */
};

/*
 * From now on `numbers[count]` (SIGHUP, SIGUSR1 …) are for rota_signals_next. They are blocked in
 * this thread and in those it will start: open in main, or in the first task of a program with one
 * reactor. rota_serve takes SIGTERM and SIGINT itself, the others can be had beside it.
 *
 * Returns   0; -EINVAL for a number that is no signal, and for those that cannot be had this way:
 *           SIGKILL, SIGSTOP, and the faults SIGSEGV, SIGBUS, SIGFPE, SIGILL; -EMFILE, -ENFILE,
 *           -ENOMEM. Nothing has changed then.
 * Suspends  no. Thread: any, no reactor needed.
 */
ROTA_API ROTA_MUST_USE int rota_signals_open(struct rota_signals *signals, const int numbers[],
					     unsigned count);

/*
 * Wait for the next one. What comes while nobody waits is kept, once per signal. Several tasks may
 * wait: each signal is for one of them. A simulated world has none, so there it waits until it is
 * cancelled.
 * Returns the signal's number, -ECANCELED / -ETIMEDOUT, or negative errno. Suspends.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_signals_next(struct rota_signals *signals);

/*
 * Let them do what they did before. Those that have come and were not asked for are dropped: they
 * were meant for us, and must not hit the program. Nobody waits any more. Never suspends. Thread:
 * the one that opened it.
 */
ROTA_API void rota_signals_close(struct rota_signals *signals);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_SIGNAL_H */
