/* SPDX-License-Identifier: MIT */
/*
 * The offload pool: threads for functions that block (a resolver, a library that knows no
 * reactors, a computation of seconds), one pool per process. A task hands over a function and
 * waits; the other tasks go on.
 *
 * The one idea: an offloaded function is an operation like any other. It is lent to the engine, its
 * completion comes out of the engine's poll(), and so cancellation, the simulator and everything
 * that looks at waiting tasks need no second way.
 */
#ifndef ROTA_OFFLOAD_H
#define ROTA_OFFLOAD_H

#include <pthread.h>

#include <rota/backend.h>
#include <rota/base.h>
#include <rota/future.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rota_task;

/*
 * Who competes for threads: only functions of the same class. Each class has a queue, first come
 * first served, and threads of its own, started when they are needed.
 */
enum rota_offload_class {
	ROTA_OFFLOAD_NAMES, /* name resolution */
	ROTA_OFFLOAD_FILES, /* file operations the engine cannot do by itself */
	ROTA_OFFLOAD_USER,  /* the program's own */
	ROTA_OFFLOAD_CLASS_COUNT
};

/* What runs in the pool. It may block, and may call nothing that needs a reactor (asserted). */
typedef int64_t (*rota_offload_fn)(void *arg);

/* A function handed over. Caller's memory; lent from start until the future is done. */
struct rota_offload_call {
	struct rota_future future; /* completes with the function's result */
	/* private */
	struct rota_op op_;
	struct rota_task *task_;
	rota_offload_fn fn_;
	void *arg_;
	int64_t result_;
};

/*
 * Run fn(arg) on a thread of the pool and wait for its result. `arg` is lent until then.
 *
 * Returns   fn's result; -EAGAIN (no thread could be started, and there is none) or -ENOBUFS (the
 *           class's queue is full): fn was not called; -ECANCELED / -ETIMEDOUT when a scope around
 *           the caller is or becomes cancelled before fn has begun. A function that runs cannot be
 *           interrupted: it is waited for, and its result returned.
 * Suspends  yes. Thread: a task's. In the simulator fn runs on the one thread there is, at a seeded
 *           time.
 */
ROTA_API ROTA_SUSPENDS int64_t rota_offload(enum rota_offload_class class_, rota_offload_fn fn,
					    void *arg);

/*
 * Hand fn(arg) over and go on; the result comes into call->future, which can be cancelled as above.
 * The calling task awaits it before it ends (asserted). In a cancelled scope the future is done at
 * once. Never suspends. Thread: a task's.
 */
ROTA_API void rota_offload_start(struct rota_offload_call *call, enum rota_offload_class class_,
				 rota_offload_fn fn, void *arg);

/* ---- limits and counters ---- */

/* Of one class. Zero: the default. */
struct rota_offload_limits {
	uint32_t threads_max; /* names 4, files 8, user 16 */
	uint32_t queue_max;   /* functions waiting for a thread: 65536 */
	/* a thread that had nothing to do for so long ends: 5 s */
	rota_ns idle_ns;
};

/*
 * Set the limits of a class, from now on: threads beyond the new number end when they become idle,
 * what is queued stays. Any thread, any time; usually before the first reactor runs.
 */
ROTA_API void rota_offload_limit(enum rota_offload_class class_,
				 const struct rota_offload_limits *limits);

/* Of one class, since the process began. */
struct rota_offload_stats {
	uint64_t done;           /* functions that have returned */
	uint64_t cancelled;      /* taken out before they had begun */
	uint64_t refused;        /* -ENOBUFS: the queue was full */
	uint64_t start_failures; /* threads the system did not give us */
	uint32_t threads;        /* now */
	uint32_t threads_peak;
	uint32_t running; /* functions, now */
	uint32_t queued;  /* now */
	uint32_t queued_peak;
};

/* Copy the counters to `out`. Any thread. The simulator has no threads and counts nothing here. */
ROTA_API void rota_offload_stats(enum rota_offload_class class_, struct rota_offload_stats *out);

/* ---- for those who implement engines ---- */

/*
 * Where an engine's finished functions come back. Inside the engine's instance; every call on its
 * reactor's thread. While one port is open the pool may have threads; closing the last one ends and
 * joins them all. Not across fork(): the child has no threads, so it opens engines of its own only
 * if the parent had none open.
 */
struct rota_offload_port {
	/* private */
	/* operations not yet taken; the engine's thread only: looked at by each poll() */
	uint64_t out_;
	struct rota_backend *backend_;
	pthread_mutex_t lock_;
	struct rota_link done_; /* guarded by lock_: operations with their results */
};

/* Make it work; finished functions wake `backend`, borrowed until close. Never fails. */
ROTA_API void rota_offload_port_open(struct rota_offload_port *port, struct rota_backend *backend);

/* No operation is out any more (asserted). */
ROTA_API void rota_offload_port_close(struct rota_offload_port *port);

/*
 * Give `op` to the pool: its `link_`, `flags_`, `index_` and `generation_` are the pool's until it
 * has been taken back. Calls op->work.fn(op) on a thread of `class_`.
 */
ROTA_API void rota_offload_port_submit(struct rota_offload_port *port,
				       enum rota_offload_class class_, struct rota_op *op);

/* Take it out of the queue, if it is there still; it comes back like any other. */
ROTA_API void rota_offload_port_cancel(struct rota_offload_port *port, struct rota_op *op);

/*
 * An operation that has ended, its fields as they were, and its result; NULL: there is none now.
 * Called in poll(), before it waits and after.
 */
ROTA_API struct rota_op *rota_offload_port_take(struct rota_offload_port *port, int32_t *result);

/* Is there one now? For prepare(): a later one wakes the engine. */
ROTA_API bool rota_offload_port_has_done(struct rota_offload_port *port);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_OFFLOAD_H */
