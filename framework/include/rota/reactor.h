/* SPDX-License-Identifier: MIT */
/*
 * Reactors: one event loop on one thread, with its own engine, timers, tasks and memory. Shares
 * nothing. rota_reactor_run_once() is the whole machine; everything else here starts it, stops it,
 * or looks at it.
 */
#ifndef ROTA_REACTOR_H
#define ROTA_REACTOR_H

#include <rota/backend.h>
#include <rota/base.h>
#include <rota/recorder.h>
#include <rota/scope.h>
#include <rota/task.h>
#include <rota/time.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rota_reactor;

/* Reactors a process can have at once. */
#define ROTA_REACTORS_MAX 256

/* All but the engine may be left zero. */
struct rota_reactor_options {
	const struct rota_backend_ops *engine; /* required */
	/* as in rota_backend_config; borrowed during create; NULL: the defaults */
	const char *engine_options;
	unsigned index; /* 0-based, among the reactors that work together */
	/* pin its thread to `cpu` while it is driven; false: it runs wherever */
	bool is_pinned;
	int cpu;
	uint32_t tasks_max; /* spawning beyond fails with -ENOMEM; 0: 16 Mi */
	/*
	 * by the flight recorder, 8 bytes each; rounded up to a power of two; 0:
	 * ROTA_RECORDS_DEFAULT; ROTA_RECORDS_NONE: it is off
	 */
	uint32_t records_kept;
	/*
	 * The log says so when a turn takes longer, with the task that holds it and its call stack;
	 * 0: nobody looks. Not in the simulator. A thread of its own looks twice as often.
	 */
	rota_ns stall_ns;
	rota_ns quota_ns; /* how long a turn runs tasks before it looks at the kernel; 0: 0.5 ms */
};

/*
 * Make a reactor. It may be driven by any one thread from then on, and its engine belongs to that
 * thread: create, drive and destroy it on the same one, or let rota_reactor_drive do it. Returns 0
 * and `*out` (owned), or negative errno (-ENOMEM, the engine's reason, -EMFILE when
 * ROTA_REACTORS_MAX exist, -EINVAL: more than ROTA_RECORDS_MAX).
 */
ROTA_API ROTA_MUST_USE int rota_reactor_create(const struct rota_reactor_options *options,
					       struct rota_reactor **out);

/*
 * Give it back. It must have stopped, or never have run: no tasks, no operations (asserted, naming
 * what is left). Messages that have not been run are dropped. NULL is allowed.
 */
ROTA_API void rota_reactor_destroy(struct rota_reactor *reactor);

/*
 * Let go of it as it stands, as if the power had gone: no task of it runs again, nothing is closed.
 * Its stacks, its generators and its place in the process are given back; what it, its engine and
 * its tasks took from rota_alloc is not, and is for a caller to free who knows of it. For simulated
 * crashes. Thread: the reactor's, between turns (asserted).
 */
ROTA_API void rota_reactor_abandon(struct rota_reactor *reactor);

/*
 * Open the engine on the calling thread; done by the first run_once otherwise. Engines belong to
 * the thread that opens them.
 * Returns 0 or negative errno.
 */
ROTA_API ROTA_MUST_USE int rota_reactor_open(struct rota_reactor *reactor);

/*
 * Close the engine, on the thread that opened it, once the reactor is as for destroy. Done by
 * rota_reactor_destroy otherwise; the counters stay readable. Harmless if it is not open.
 */
ROTA_API void rota_reactor_close(struct rota_reactor *reactor);

/*
 * One turn: take messages, fire timers, run what is ready, flush, then let the engine wait until
 * `deadline` at most (0: not at all) if there was nothing left to do, and take what it completed.
 * Returns 1 if something was done or is ready, 0 if idle, or negative errno when the engine is
 * broken. Thread: the reactor's; not from inside a task (asserted).
 */
ROTA_API ROTA_MUST_USE int rota_reactor_run_once(struct rota_reactor *reactor, rota_ns deadline);

/*
 * Turn until it has stopped. Returns 0, or negative errno when the engine broke. Thread: the
 * reactor's.
 */
ROTA_API ROTA_MUST_USE int rota_reactor_run(struct rota_reactor *reactor);

/*
 * Ask it to stop: its root scope is cancelled (reason: shutdown) and it has stopped when the last
 * task has ended. Any thread. A reactor that was never run stops at its first turn.
 */
ROTA_API void rota_reactor_stop(struct rota_reactor *reactor);

/* True when asked to stop and everything has ended. Thread: the reactor's. */
ROTA_API bool rota_reactor_has_stopped(const struct rota_reactor *reactor);

/*
 * The earliest time a turn has to be made although nothing happens; ROTA_NEVER for none, 0 when it
 * has work now. A look only: who wants to wait until then outside of a turn needs
 * rota_reactor_prepare. Thread: the reactor's.
 */
ROTA_API rota_ns rota_reactor_next_deadline(const struct rota_reactor *reactor);

/*
 * ---- inside a foreign loop ----
 *
 * A reactor can live on the thread of another event loop (glib, libuv, a plain poll(2)) and cost
 * nothing while nothing happens. That loop waits in the reactor's place:
 *
 *	int fd = rota_reactor_pollable(reactor);
 *
 *	while (!rota_reactor_has_stopped(reactor)) {
 *		rota_ns until = rota_reactor_prepare(reactor);
 *
 *		... wait for `fd` (POLLIN) until `until`, and for all else the loop waits for ...
 *		... run the loop's own callbacks ...
 *		if (`fd` is readable or `until` has come)
 *			status = rota_reactor_run_once(reactor, 0);
 *	}
 *
 * A turn starts no task after 0.5 ms, so the loop's own callbacks have their turn as well. They may
 * post, and complete futures. Before the loop ends, rota_reactor_stop() and go on until it has
 * stopped. tests/foreign has all this for GLib and libuv.
 */

/*
 * The descriptor to wait for with POLLIN, level-triggered; the same as long as the engine is open,
 * which it is after this. Borrowed: not to be read, written or closed. Returns it, or -ENOTSUP (the
 * simulator: its time stands still outside of a drive), or negative errno. Thread: the reactor's;
 * not from inside a turn (asserted).
 */
ROTA_API ROTA_MUST_USE int rota_reactor_pollable(struct rota_reactor *reactor);

/*
 * Right before each wait: may the foreign loop wait? Returns the time, on rota_now()'s clock, when
 * a turn is due although the descriptor has not become readable (ROTA_NEVER: none), or 0: do not
 * wait, a turn is due. From a return other than 0 to the next turn, whatever happens to the reactor
 * makes the descriptor readable, a message from any thread included; but for what callbacks on this
 * thread do to its tasks, of which only another call of this tells. May be called again without a
 * turn in between. rota_reactor_pollable comes first, once (asserted). Thread: the reactor's; not
 * from inside a turn (asserted).
 */
ROTA_API ROTA_MUST_USE rota_ns rota_reactor_prepare(struct rota_reactor *reactor);

/*
 * The root scope: lives as long as the reactor; a failure in it is logged and does not cancel the
 * others.
 */
ROTA_API struct rota_scope *rota_reactor_scope(struct rota_reactor *reactor);

/* The reactor whose turn it is on this thread, or NULL. */
ROTA_API struct rota_reactor *rota_reactor_current(void);

/* Its index and, if it is pinned, its CPU as in the options; -1: not pinned. Any thread. */
ROTA_API unsigned rota_reactor_index(const struct rota_reactor *reactor);
ROTA_API int rota_reactor_cpu(const struct rota_reactor *reactor);

/* Its engine; NULL while it is not open. Borrowed. Thread: the reactor's. */
ROTA_API struct rota_backend *rota_reactor_backend(struct rota_reactor *reactor);

/* Counters since its creation. */
struct rota_reactor_stats {
	uint64_t turns;
	uint64_t switches; /* into tasks */
	uint64_t tasks_spawned;
	uint64_t tasks_alive;
	uint64_t messages; /* received */
	uint64_t timers_fired;
	uint64_t quota_ends;      /* passes stopped because the turn's quota was used up */
	uint64_t longest_turn_ns; /* up to the engine, without the wait */
	uint64_t stalls;          /* turns longer than stall_ns, also those not in the log */
	uint64_t blocking_calls;  /* in debug builds: that put a task's thread to sleep */
	struct rota_backend_stats engine;
};

/* Copy the counters to `out`. Thread: the reactor's. */
ROTA_API void rota_reactor_stats(const struct rota_reactor *reactor,
				 struct rota_reactor_stats *out);

/*
 * What the stacks of the tasks spawned at one place were seen to need. Sampled: some of those that
 * end on a stack nobody has used before them, as most do while a program warms up.
 */
struct rota_stack_census {
	const struct rota_site *site;
	uint64_t fresh_count; /* tasks that ended on such a stack */
	uint64_t samples;     /* of them, those looked at */
	/* from the stack's top, in whole pages; the task's own object included */
	size_t used_bytes_max;
	size_t stack_bytes; /* of the largest class seen there */
};

/*
 * Call `each` for every spawn site of which there are samples; `entry` is borrowed during the call.
 * A reactor keeps 128 sites; others are not sampled. Any order. Thread: the reactor's, or any
 * while it is not driven.
 */
ROTA_API void rota_stack_census_each(const struct rota_reactor *reactor,
				     void (*each)(const struct rota_stack_census *entry, void *arg),
				     void *arg);

/*
 * The same into the log, one line (info) per site. `rota-kv --stack-census on` does it at the end.
 */
ROTA_API void rota_stack_census_log(const struct rota_reactor *reactor);

/*
 * Drive `count` reactors until each has stopped: the engine's drive() (threads, or the simulator).
 * They work together or not at all: when one engine does not open, none runs, and when one breaks,
 * all are told to stop. If a broken engine still has operations a second later, those never come
 * back: the process says so and aborts. Returns 0 or the first negative errno.
 */
ROTA_API ROTA_MUST_USE int rota_reactor_drive(struct rota_reactor *const reactors[],
					      unsigned count);

/*
 * Run fn(arg) as the first task of a reactor of its own on this thread, until it and all it spawned
 * have ended. Returns its result, or negative errno when the reactor could not be made. `options`
 * as above.
 */
ROTA_API int64_t rota_run(const struct rota_reactor_options *options, rota_task_fn fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_REACTOR_H */
