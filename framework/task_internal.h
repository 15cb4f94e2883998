/* SPDX-License-Identifier: MIT */
/*
 * What a task is, and how the framework's own files make it wait. Internal to framework/;
 * everything runs on the task's reactor.
 *
 * The one idea: a suspended task waits for a set of futures, described on its own stack. Completing
 * a future counts the set down; at zero the task is ready. Cancelling detaches from what can just
 * be left and cancels what has to be waited for.
 */
#ifndef ROTA_TASK_INTERNAL_H
#define ROTA_TASK_INTERNAL_H

#include <rota/future.h>
#include <rota/mailbox.h>
#include <rota/scope.h>
#include <rota/task.h>

#include "framework/context.h"

struct rota_generator;
struct rota_reactor;
struct wait_set;

/* One task waiting for one future; lives in the waiting frame. */
struct rota_wait_ {
	struct rota_wait_ *next;  /* on future->waits_ */
	struct rota_wait_ **back; /* what points to this one; NULL: on no list */
	struct rota_future *future;
	struct wait_set *set;
};

/* All that one suspended task waits for. */
struct wait_set {
	struct rota_task *task;
	struct rota_wait_ *waits;
	unsigned count;
	/* completions still missing before the task becomes ready; 0: it is ready */
	unsigned needed;
	bool is_exempt;     /* cancellation does not reach it: settling, closing */
	bool was_cancelled; /* cancellation has been here */
};

enum task_state {
	TASK_READY = 1,
	TASK_RUNNING,
	TASK_SUSPENDED,
	TASK_ENDED,
};

struct task_defer {
	struct task_defer *next;
	void (*fn)(void *arg);
	void *arg;
};

/* Lives at the top of its own stack's first page, so that a suspended task touches one page. */
struct rota_task {
	/* two cache lines: what each switch, and each call of a handler, looks at */
	struct rota_context context;
	struct rota_task *next_ready; /* on the reactor's ready queue */
	struct rota_reactor *reactor;
	struct rota_scope *scope; /* the innermost open one: what cancels it */
	uint64_t record;          /* what the flight recorder calls it */
	void *on_suspend_arg;     /* valid while on_suspend is */
	uint8_t state;            /* enum task_state */

	/* ---- all 0 at birth, down to `because` ---- */
	bool outlives_client;  /* the handler has said that it goes on without its client */
	uint32_t ops_lent;     /* operations in its frames now lent to the engine */
	rota_ns waiting_since; /* the turn in which it was suspended */
	/* called before each suspension; NULL: nothing */
	void (*on_suspend)(struct rota_task *task);
	uint64_t cpu_ns; /* at the looks at the clock, without the run now */

	struct wait_set *waiting; /* while suspended in an await */
	/* a handler's: what is cancelled when its client goes; NULL: none */
	struct rota_scope *client_scope;
	uint32_t locks_held; /* in debug builds */
	/* in debug builds: futures in its frames that somebody is going to complete */
	uint32_t futures_lent;
	struct rota_task *result_lender;  /* in debug builds: in whose frame `result` is */
	struct rota_future *result;       /* where its result goes, or NULL */
	struct task_defer *defers;        /* newest first */
	struct rota_generator *generator; /* the innermost it is driving now; NULL: none */
	/* record of why the last scope it closed with an error did so; 0: none */
	uint64_t because;
	/* ---- */

	struct rota_link scope_link; /* on owner->children_ or owner->unswept_ */
	struct rota_scope *owner;    /* the scope it was spawned into */
	rota_task_fn fn;
	void *arg;
	const char *name;
	const struct rota_site *site;
	struct rota_group *group; /* NULL: the normal one */
	uint64_t id;              /* 1, 2, … per reactor */
};

_Static_assert(offsetof(struct rota_task, cpu_ns) < 2 * ROTA_CACHE_LINE_BYTES, "two cache lines");

/*
 * Make a task for `reactor` and put it on the ready queue. Returns 0 and `*out`, -ENOMEM or
 * -ROTA_ESTACK.
 */
int rota__task_create(struct rota_reactor *reactor, struct rota_scope *scope, rota_task_fn fn,
		      void *arg, const struct rota_spawn_options *options,
		      const struct rota_site *site, struct rota_task **out);

/* Free a task that has ended; on another stack than its own. */
void rota__task_destroy(struct rota_reactor *reactor, struct rota_task *task);

/* Put a suspended task on the ready queue. */
void rota__task_make_ready(struct rota_task *task);

/* Wait for `future`, whatever is cancelled around. */
ROTA_SUSPENDS void rota__await_exempt(struct rota_future *future);

/* A cancellation has reached a suspended task. Harmless for any other. */
void rota__task_cancel_wait(struct rota_task *task);

/* ---- scopes ---- */

/* A scope of the framework's own: `parent` may be NULL, no task owns it. */
void rota__scope_init(struct rota_scope *scope, struct rota_scope *parent, struct rota_task *task,
		      rota_ns deadline);

/* An open scope in which nothing has been spawned, cancelled, failed or bound: as good as new. */
static inline bool rota__scope_is_unused(const struct rota_scope *scope)
{
	return scope->children_count_ == 0 && scope->reason_.kind == ROTA_CANCEL_NONE &&
	       scope->failure_ == 0 && !scope->locals_;
}

/* Cancel for `reason`; the first reason stays. */
void rota__scope_cancel(struct rota_reactor *reactor, struct rota_scope *scope,
			const struct rota_cancel_reason *reason);

/* A scope that will not be used any more: no children; takes it off the reactor's lists. */
void rota__scope_retire(struct rota_reactor *reactor, struct rota_scope *scope);

/* The task ended with `result`: leave the scope, fail it if need be, wake a closer. */
void rota__scope_child_ended(struct rota_task *task, int64_t result);

/* True if it stands in that reactor's root scope: a scope is used on its reactor only. */
bool rota__scope_is_of(const struct rota_scope *scope, const struct rota_reactor *reactor);

/*
 * Count a failure against the scope, as if one of its tasks had ended with it. The caller has set
 * in `reason` what failed: failure, site, the task, the cause. `result` is where the spawner wanted
 * the task's result, or NULL; it is about to be completed.
 */
void rota__scope_fail(struct rota_reactor *reactor, struct rota_scope *scope,
		      struct rota_cancel_reason *reason, const struct rota_future *result);

/* Log a failure that nobody would learn of otherwise. The first few of a scope; the rest count. */
void rota__scope_log_failure(struct rota_scope *scope, const struct rota_cancel_reason *reason);

/* Tell some of the tasks of cancelled scopes; true while there are more. */
bool rota__scopes_sweep(struct rota_reactor *reactor);

/* What rota__scope_status (reactor_internal.h) is when some scope of the reactor is cancelled. */
int rota__scope_look_up(const struct rota_scope *scope);

/* ---- reason.c ---- */

/* Copy `reason` where others can name it as their cause; returns its number there. */
uint64_t rota__reason_keep(struct rota_reactor *reactor, struct rota_cancel_reason *reason);

/* The record of that number; NULL: it was overwritten, or 0. Borrowed until the next is kept. */
const struct rota_cancel_reason *rota__reason_find(const struct rota_reactor *reactor, uint64_t id);

/* The number of what is known to be behind the task's `failure`, or 0. */
uint64_t rota__reason_of_failure(struct rota_reactor *reactor, const struct rota_task *task,
				 int64_t failure);

/* Why it is being cancelled, or NULL: rota_why() of another task. */
const struct rota_cancel_reason *rota__task_why(const struct rota_task *task);

/* Note in `reason` who did it; NULL: no task. */
void rota__reason_name(struct rota_cancel_reason *reason, const struct rota_task *task);

/* Copy a reason (or NULL) with its causes, `count` in all, to be taken to another reactor. */
void rota__reasons_pack(struct rota_reactor *reactor, const struct rota_cancel_reason *reason,
			struct rota_cancel_reason *packed, unsigned count);

/* Keep them here; returns the first one's number, 0 for none. Uses up `packed`. */
uint64_t rota__reasons_unpack(struct rota_reactor *reactor, struct rota_cancel_reason *packed,
			      unsigned count);

#endif /* ROTA_TASK_INTERNAL_H */
