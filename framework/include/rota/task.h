/* SPDX-License-Identifier: MIT */
/*
 * Tasks: C functions on small stacks of their own, which may suspend anywhere by awaiting. A task
 * belongs to a scope, runs on one reactor from birth to end, and is switched only inside the calls
 * marked ROTA_SUSPENDS.
 *
 * The one idea: spawning gives no handle to keep alive. A task's result goes into a future the
 * caller owns (if it wants it), and its failure goes to its scope, so nothing is lost when nobody
 * looks.
 */
#ifndef ROTA_TASK_H
#define ROTA_TASK_H

#include <rota/base.h>
#include <rota/future.h>
#include <rota/scope.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rota_group;
struct rota_task;

/*
 * What a task runs. Returns >= 0, or negative errno: a failure, which cancels the task's siblings.
 */
typedef int64_t (*rota_task_fn)(void *arg);

/* Address space for a task's stack; only touched pages cost memory. */
enum rota_stack_class {
	ROTA_STACK_64K, /* the default */
	ROTA_STACK_16K,
	ROTA_STACK_256K,
	ROTA_STACK_CLASS_COUNT
};

/*
 * Which of a reactor's three ready-made groups a task is in (<rota/group.h>): urgent tasks run
 * before normal ones, and those before low ones, until they have used ten times their time. So none
 * can be starved.
 */
enum rota_priority {
	ROTA_PRIORITY_INHERIT, /* the spawner's group; outside of tasks: normal */
	ROTA_PRIORITY_URGENT,
	ROTA_PRIORITY_NORMAL,
	ROTA_PRIORITY_LOW,
};

struct rota_spawn_options {
	/*
	 * static, or as long-lived as the task: one made at run time stands with `arg`. Reasons
	 * copy it. NULL: the function's name
	 */
	const char *name;
	/*
	 * completed with the task's result; lent until then; NULL: not wanted. A failure that is
	 * not awaited there before the scope closes is logged
	 */
	struct rota_future *result;
	enum rota_stack_class stack;
	/* at most one of these two is set (asserted) */
	enum rota_priority priority;
	struct rota_group *group; /* of the scope's reactor; NULL: as `priority` says */
};

/*
 * Start fn(arg) as a task in `scope`; it first runs in a later pass of the turn. `arg` is lent
 * until the task has ended.
 *
 * Returns   0, or -ENOMEM, -ROTA_ESTACK (no stack), -ROTA_ECLOSING (the scope is being closed by
 *           its owner), -ECANCELED / -ETIMEDOUT (the scope is cancelled). -ENOMEM and -ROTA_ESTACK
 *           also count as a failed task of the scope, so that a caller who looks only at
 *           rota_scope_close misses nothing. The future, if any, is completed with the same error.
 * Suspends  no. Thread: the scope's reactor.
 */
#define rota_spawn(scope, fn, arg) rota_spawn_at((scope), (fn), (arg), NULL, ROTA_SITE(#fn))

/* The same, with `options` (struct rota_spawn_options *, borrowed during the call). */
#define rota_spawn_with(scope, fn, arg, options)                                                   \
	rota_spawn_at((scope), (fn), (arg), (options), ROTA_SITE(#fn))

/* What the macros call, with the place where they stand: for macros of your own. */
ROTA_API int rota_spawn_at(struct rota_scope *scope, rota_task_fn fn, void *arg,
			   const struct rota_spawn_options *options, const struct rota_site *site);

/* Let the other ready tasks run first. Returns 0, or -ECANCELED / -ETIMEDOUT. Suspends. */
ROTA_API ROTA_SUSPENDS int rota_yield(void);

/*
 * True when the reactor has run tasks for its quota and others, or the kernel, wait for the current
 * one: for loops that compute. A few nanoseconds, no system call. In the simulator a seed decides.
 */
ROTA_API bool rota_should_yield(void);

/*
 * Yield if it is time to: the one line for a loop that computes. Returns 0, or -ECANCELED /
 * -ETIMEDOUT. Suspends.
 *
 *	while (work_is_left(job) && (status = rota_yield_if_needed()) == 0)
 *		do_a_little(job);
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_yield_if_needed(void);

/*
 * Call fn(arg) when the current task ends, in reverse order of registration, after its function has
 * returned. The task may be cancelled by then: clean-up that waits opens a shield. Returns 0 or
 * -ENOMEM (not registered). Never suspends.
 */
ROTA_API ROTA_MUST_USE int rota_task_defer(void (*fn)(void *arg), void *arg);

/* The running task, or NULL outside of tasks. Borrowed: valid while it runs. */
ROTA_API struct rota_task *rota_task_current(void);

/* Its name, and where it was spawned. The name is borrowed as long as the task lives. */
ROTA_API const char *rota_task_name(const struct rota_task *task);
ROTA_API const struct rota_site *rota_task_site(const struct rota_task *task);

/*
 * Processor time the task has used. Exact while its reactor's tasks run for more than some
 * microseconds at a time; of shorter runs one in 17 is looked at and stands for all.
 */
ROTA_API uint64_t rota_task_cpu_ns(const struct rota_task *task);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_TASK_H */
