/* SPDX-License-Identifier: MIT */
/*
 * Scopes: who owns tasks, until when they may run, and why they were told to stop. A scope is
 * opened and closed by one task on its reactor's thread; everything spawned into it has ended when
 * the close returns. Nothing outlives its scope.
 *
 * The one idea: cancellation is a state, not an event. From the moment a scope is cancelled, every
 * call inside it that could suspend returns -ECANCELED (or -ETIMEDOUT, if the deadline did it) at
 * once, again and again, until the tasks have ended. So no task can miss it, and no task is
 * interrupted anywhere else.
 */
#ifndef ROTA_SCOPE_H
#define ROTA_SCOPE_H

#include <rota/base.h>
#include <rota/future.h>
#include <rota/time.h>
#include <rota/timer.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rota_local;
struct rota_task;

/* A place in the source, made by the macros that spawn and cancel. Static: borrowed for ever. */
struct rota_site {
	const char *file;
	const char *function;
	const char *what; /* what was spawned, as written; a scope's name */
	int line;
};

/* Makes a static struct rota_site for the place where it stands and yields its address. */
#define ROTA_SITE(what_text)                                                                       \
	(__extension__({                                                                           \
		static const struct rota_site rota_site_ = { __FILE__, __func__, what_text,        \
							     __LINE__ };                           \
		&rota_site_;                                                                       \
	}))

enum rota_cancel_kind {
	ROTA_CANCEL_NONE,
	ROTA_CANCEL_BY_HAND,        /* rota_scope_cancel */
	ROTA_CANCEL_DEADLINE,       /* the scope's deadline passed */
	ROTA_CANCEL_SIBLING_FAILED, /* a task of the scope ended with an error */
	ROTA_CANCEL_CLIENT_GONE,    /* the connection was reset or closed by its peer */
	ROTA_CANCEL_SHUTDOWN,       /* the reactor is stopping */
	ROTA_CANCEL_FORGOTTEN,      /* a cause too long ago: its record has been used again */
};

/* A task's name in a reason, which outlives the task, is cut to this. */
#define ROTA_REASON_NAME_BYTES 32

/* Why a scope was cancelled: the first reason counts. */
struct rota_cancel_reason {
	enum rota_cancel_kind kind;
	int error;       /* what calls return: -ECANCELED or -ETIMEDOUT */
	int64_t failure; /* SIBLING_FAILED: the sibling's result */
	const char *why; /* static text */
	/*
	 * where it was cancelled, where the failed sibling was spawned, or where the scope was
	 * opened whose deadline passed; may be NULL
	 */
	const struct rota_site *site;
	/* who cancelled, who failed, or who had opened that scope; 0: no task */
	uint64_t task_id;
	char task_name[ROTA_REASON_NAME_BYTES];
	/* private: numbers of records kept by the reactor (framework/reason.c) */
	uint64_t id_;      /* its own, or 0 */
	uint64_t because_; /* its cause's, or 0 */
};

/*
 * Caller's memory, immovable while open. All fields are private; the functions below say what may
 * be known.
 */
struct rota_scope {
	struct rota_scope *parent_; /* next scope outwards; NULL at a reactor's root */
	/* who opened it, and where; NULL for a scope of the framework's own */
	struct rota_task *task_;
	const struct rota_site *site_;
	/* effective: the minimum over the scopes around, up to a shield */
	rota_ns deadline_;
	/* these, up to reason_.kind, say whether anything has happened in it: they lie together */
	struct rota_local *locals_; /* values bound in it, newest first */
	uint64_t children_count_;
	int64_t failure_;                  /* the first failure, or 0 */
	struct rota_cancel_reason reason_; /* only its kind is set before it is cancelled */
	struct rota_link children_;        /* tasks that live in it */
	struct rota_link unswept_;         /* those a cancellation has not reached yet */
	struct rota_link sweep_link_;      /* on the reactor's list while unswept_ is not empty */
	struct rota_timer timer_;          /* armed while the deadline is this scope's own */
	/* completes when the last child ends, once a close waits */
	struct rota_future idle_;
	/* called when the last child has ended and no close waits; NULL: nothing */
	void (*emptied_)(struct rota_scope *scope);
	/* failed tasks beyond the one that close returns, without those somebody awaited */
	uint64_t failures_unseen_;
	uint64_t failure_because_; /* if there is a failure: its number as a reason */
	bool is_shield_;
	bool keeps_going_; /* a failure does not cancel the siblings */
	bool is_closing_;
	bool is_closed_; /* to name who uses it later, while its memory is there */
};

/*
 * Open a scope inside the current task's innermost one. `deadline`: absolute, ROTA_NEVER for none;
 * an outer scope's earlier deadline counts as well. Lends `scope` until rota_scope_close. Scopes
 * close in the reverse order of opening (asserted). Never suspends. Thread: a task's.
 */
#define rota_scope_open(scope, deadline) rota_scope_open_at((scope), (deadline), ROTA_SITE("scope"))

/*
 * What the macro calls, with the place where it stands. Also gives a scope a name, for reasons and
 * tools: rota_scope_open_at(&scope, deadline, ROTA_SITE("login")).
 */
ROTA_API void rota_scope_open_at(struct rota_scope *scope, rota_ns deadline,
				 const struct rota_site *site);

/*
 * Open a scope that the cancellation and the deadlines of the scopes around do not reach: for
 * clean-up that has to wait. It has a deadline of its own, so clean-up cannot take for ever. Close
 * it like any other.
 */
#define rota_shield(scope, deadline) rota_shield_at((scope), (deadline), ROTA_SITE("shield"))
ROTA_API void rota_shield_at(struct rota_scope *scope, rota_ns deadline,
			     const struct rota_site *site);

/*
 * From now on a failed task of the scope cancels nobody: all run to their own end, and the close
 * returns the first failure still. Right after opening. Never suspends.
 */
ROTA_API void rota_scope_collect(struct rota_scope *scope);

/*
 * Wait until every task in the scope has ended. A task that fails cancels the others. Exempt from
 * cancellation itself: it always waits, and since its tasks are told to stop, not for long.
 *
 * Returns   0, or the first failed task's result, or -ECANCELED / -ETIMEDOUT when this scope or one
 *           around it was cancelled. Failures beyond the first that nobody has awaited are logged
 *           with their spawn site; when there are many, the first of them, and then their number.
 * Suspends  if a task is still running. Thread: the task that opened it (asserted).
 */
ROTA_API ROTA_SUSPENDS int64_t rota_scope_close(struct rota_scope *scope);

/*
 * The same, for work that may be left unfinished: when the scope's own deadline or a cancel of its
 * own ended it, that is no error.
 *
 * Returns   0: all has ended by itself; 1: it was cut short; the first failure; -ECANCELED /
 *           -ETIMEDOUT when a scope around was cancelled.
 */
ROTA_API ROTA_SUSPENDS int64_t rota_scope_close_and_move_on(struct rota_scope *scope);

/*
 * Cancel: everything in the scope returns -ECANCELED from now on. The tasks are told in the
 * reactor's next turns, at most a few hundred at a time; this call takes no longer for a million
 * tasks than for one. A second cancel changes nothing. `why` is a static string. Never suspends.
 * Thread: the scope's reactor, any task or callback.
 */
#define rota_scope_cancel(scope, why) rota_scope_cancel_at((scope), (why), ROTA_SITE("cancel"))
ROTA_API void rota_scope_cancel_at(struct rota_scope *scope, const char *why,
				   const struct rota_site *site);

/* True once `scope` itself, or a scope around it up to a shield, is cancelled. */
ROTA_API bool rota_scope_is_cancelled(const struct rota_scope *scope);

/* The effective deadline: the minimum over the scope and those around it. */
static inline rota_ns rota_scope_deadline(const struct rota_scope *scope)
{
	return scope->deadline_;
}

/* The current task's effective deadline; ROTA_NEVER for none. */
ROTA_API rota_ns rota_deadline(void);

/*
 * Why the current task is being cancelled: the reason of the innermost cancelled scope around it,
 * or NULL when none is. Borrowed until that scope closes.
 */
ROTA_API const struct rota_cancel_reason *rota_why(void);

/*
 * Because of what `reason` came about: the reason why the task failed, was told to cancel or was
 * cleaning up, also on the caller's reactor; NULL: that is all that is known. A task failed for the
 * reason of the last scope it closed whose close returned the very error it returned.
 *
 * Returns   a record of the current reactor's, borrowed until the task suspends. It keeps the last
 *           128; a cause lost that way has the kind ROTA_CANCEL_FORGOTTEN.
 * Suspends  no. Thread: the reason's reactor.
 */
ROTA_API const struct rota_cancel_reason *rota_reason_cause(
	const struct rota_cancel_reason *reason);

/*
 * One line for people, with the causes: "task "fetch" #7 (spawned at a.c:12) failed with ETIMEDOUT,
 * because deadline passed (scope opened at b.c:30, fetch)" into `text`; returns it. Causes that are
 * forgotten or have no room are "…".
 */
#define ROTA_REASON_TEXT_BYTES 512
ROTA_API const char *rota_reason_format(const struct rota_cancel_reason *reason,
					char text[ROTA_REASON_TEXT_BYTES]);

/*
 * 0, or -ECANCELED / -ETIMEDOUT if the current task is cancelled: what every suspending call checks
 * on entry. For loops that compute without suspending.
 */
ROTA_API ROTA_MUST_USE int rota_check_cancelled(void);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_SCOPE_H */
