/* SPDX-License-Identifier: MIT */
/*
 * What a reactor is. Internal to framework/; every field belongs to the reactor's thread but those
 * of struct mailbox that say otherwise.
 */
#ifndef ROTA_REACTOR_INTERNAL_H
#define ROTA_REACTOR_INTERNAL_H

#include <rota/backend.h>
#include <rota/log.h>
#include <rota/mailbox.h>
#include <rota/reactor.h>

#include "framework/context.h"
#include "framework/recorder.h"
#include "framework/schedule.h"
#include "framework/stack.h"
#include "framework/task_internal.h"
#include "framework/timer_wheel.h"
#include "framework/watchdog.h"

struct net;

/*
 * Completions taken from the engine at once. No more than half of the receive buffers that engines
 * have by default: when more are held, input is copied. 128 sessions with their output also stay in
 * the second-level cache from their receive to the end of their send.
 */
#define REACTOR_COMPLETIONS_MAX 128

/* Causes of cancellations kept to be told: 11 KiB. A guess. */
#define REASONS_MAX 128

/* Failures in futures that nobody has looked at yet: 5 KiB. A guess. */
#define UNREAD_MAX 32

/* Spawn sites the stack census has room for. A guess. */
#define CENSUS_SITES 128

/* What others write. See docs/design/0003-mailbox.md for the sleep/wake protocol. */
struct mailbox {
	/* atomic: newest first; pushed by any thread, taken whole by the reactor */
	struct rota_message *inbox;
	/* atomic: 1 while the reactor is in, or about to enter, a wait */
	uint32_t is_sleeping;
	/*
	 * atomic: threads that are pushing or waking; the reactor may not go before they are
	 * through
	 */
	uint32_t senders;
} ROTA_ALIGNED(ROTA_ISOLATION_BYTES);

/* Messages gathered for one other reactor, oldest first; they leave once per turn. */
struct outbox {
	struct rota_message *first;
	struct rota_message *last;
};

/* A task of `scope` has failed, and `future` has its result. */
struct unread_failure {
	const struct rota_future *future; /* its address only: it may be gone */
	struct rota_scope *scope;
	struct rota_cancel_reason reason;
};

/*
 * What a turn looks at comes first, by cache lines: those of a turn that finds nothing to do, and
 * then those of tasks. Between turns the kernel runs, and after a wait none of them is in the
 * cache.
 */
struct rota_reactor {
	/* a cache line: what runs */
	struct rota_task *pass;       /* what is left of it, linked through next_ready */
	struct rota_task *ready_head; /* the next pass, linked through next_ready */
	struct rota_task *ready_tail;
	struct rota_task *current; /* the running task, or NULL */
	uint64_t dealt_out;        /* tasks on the groups' queues */
	uint32_t runs_left;        /* tasks to run before the clock is looked at */
	/* operations submitted whose terminal completion has not been run */
	uint32_t ops_lent;
	/* when the turn began, or came to the engine, or back from a wait */
	rota_ns now;
	/* scopes now open and cancelled: while 0, no task needs to look */
	uint32_t cancelled_scopes;
	bool is_stopping;
	bool turn_has_begun; /* at `now`: with the end of a wait */
	bool is_simulated;
	bool shuffles; /* the simulator: ready tasks run in any order */

	/* a cache line: what is noted */
	struct recorder recorder;
	struct net *net; /* listeners and connections; NULL until the first */

	/* a cache line: the engine, and what is rarely there */
	struct rota_backend *backend; /* NULL until opened */
	const struct rota_backend_ops *engine;
	struct rota_link sweeps; /* cancelled scopes with tasks to tell, by sweep_link_ */
	bool has_outgoing;       /* messages for other reactors: outboxes_dirty says which */
	bool is_open;
	struct watch watch;

	struct rota_reactor_stats stats ROTA_ALIGNED(ROTA_CACHE_LINE_BYTES);

	/* a cache line where they meet: the last of the stacks, the first of the wheel */
	struct rota_stack_pool stacks ROTA_ALIGNED(ROTA_CACHE_LINE_BYTES);
	struct rota_timer_wheel wheel;

	/* a cache line: the thread's own stack, where turns are made */
	struct rota_context context ROTA_ALIGNED(ROTA_CACHE_LINE_BYTES);
	struct rota_task *ran_last; /* before it came back to the reactor; NULL: it has ended */

	/* a cache line: for how long tasks run */
	rota_ns looked_at; /* the clock at the last look; in the simulator, by runs */
	rota_ns quota_ns;
	uint64_t quota_ticks;      /* the same in ticks */
	uint64_t quota_ends_ticks; /* when this turn's quota is used */
	struct rota_group *group;  /* whose pass it is; NULL: the normal one, or no pass is on */
	uint64_t virtual_ns;       /* how far the groups are that run */
	/* tasks alive of others than the normal one; while 0 there is one queue */
	uint64_t grouped_tasks;
	struct rota_group groups[ROTA_GROUPS_MAX] ROTA_ALIGNED(ROTA_CACHE_LINE_BYTES);

	uint32_t tasks_max;
	uint32_t processes_open; /* children of rota_process_open that have not been closed */
	struct rota_scope root;
	pid_t tid;             /* of the thread that opened it; 0: none has */
	uint32_t broken_turns; /* while stopping, in which the engine failed */
	int cpu;               /* -1: not pinned */
	unsigned index;
	uint32_t slot;        /* in the process's table of reactors */
	char *engine_options; /* owned copy */
	uint64_t random_bits; /* simulator: decisions drawn ahead, one bit each */
	unsigned random_bits_left;
	struct rota_stack_census census[CENSUS_SITES];  /* a hash table by site, open */
	struct rota_cancel_reason reasons[REASONS_MAX]; /* a ring, by number; reason.c */
	uint64_t reasons_kept;                          /* the newest number */
	struct unread_failure unread[UNREAD_MAX];       /* oldest first; failure.c */
	unsigned unread_count;
	const struct rota__offsets *offsets; /* keeps the table linked in */

	/* between reactors: ours */
	uint64_t outboxes_dirty[ROTA_REACTORS_MAX / 64];
	struct outbox *outboxes; /* ROTA_REACTORS_MAX of them, by slot; owned */
	struct rota_message stop_message;
	uint32_t stop_asked; /* atomic: stop_message is posted or was */

	/* between reactors: theirs */
	struct mailbox mailbox;

	struct rota_completion completions[REACTOR_COMPLETIONS_MAX];
};

#define REACTOR_LINE(field) (offsetof(struct rota_reactor, field) / ROTA_CACHE_LINE_BYTES)

_Static_assert(REACTOR_LINE(shuffles) == 0, "what runs");
_Static_assert(REACTOR_LINE(recorder) == 1 && REACTOR_LINE(net) == 1, "what is noted");
_Static_assert(REACTOR_LINE(backend) == 2 && REACTOR_LINE(watch.bound_ns) == 2, "what is rare");
_Static_assert(REACTOR_LINE(stacks.may_trim) == REACTOR_LINE(wheel.next), "they meet");
_Static_assert(REACTOR_LINE(stats.turns) == REACTOR_LINE(stats.longest_turn_ns), "one line");
_Static_assert(REACTOR_LINE(looked_at) == REACTOR_LINE(grouped_tasks), "one line");

/* Every reactor of the process, by slot; for the mailbox and for tools that look from outside. */
extern struct rota_reactor *rota__reactors[ROTA_REACTORS_MAX];

/* offsets.c: the table for tools that look from outside. */
extern const struct rota__offsets rota__offsets;

/* The reactor whose turn it is on this thread. */
extern __thread struct rota_reactor *rota__current_reactor
	__attribute__((tls_model("initial-exec")));

static inline struct rota_reactor *rota__reactor(void)
{
	ROTA_ASSERT(rota__current_reactor != NULL);
	return rota__current_reactor;
}

/* Note it in the flight recorder: enum rota_record_kind, and what it is about. */
static inline void rota__record(struct rota_reactor *reactor, enum rota_record_kind kind,
				uint64_t payload)
{
	rota__recorder_write(&reactor->recorder, RECORD(kind) | (payload & RECORD_PAYLOAD));
}

/* A record about `task`. */
static inline void rota__record_task(struct rota_reactor *reactor, enum rota_record_kind kind,
				     const struct rota_task *task)
{
	rota__recorder_write(&reactor->recorder, RECORD(kind) | task->record);
}

/* The running task; asserts that there is one. */
static inline struct rota_task *rota__task(void)
{
	struct rota_task *task = rota__reactor()->current;

	ROTA_ASSERT(task != NULL);
	return task;
}

/* What calls inside `scope` return: 0, -ECANCELED or -ETIMEDOUT. */
static inline int rota__scope_status(const struct rota_reactor *reactor,
				     const struct rota_scope *scope)
{
	return ROTA_LIKELY(reactor->cancelled_scopes == 0) ? 0 : rota__scope_look_up(scope);
}

/*
 * The task to switch to, made current; NULL when it is the reactor's turn to look: nothing is
 * ready, or the clock is due. A pass ends with the tasks that were ready when it began, so one that
 * makes itself ready again waits for all the others.
 */
static inline struct rota_task *rota__next_task(struct rota_reactor *reactor)
{
	struct rota_task *task = reactor->pass;

	if (ROTA_UNLIKELY(!reactor->runs_left))
		return NULL;
	if (!task) {
		task = reactor->ready_head;
		if (!task)
			return NULL;
		reactor->ready_head = NULL;
	}
	reactor->runs_left--;
	reactor->pass = task->next_ready;
	task->state = TASK_RUNNING;
	rota__record_task(reactor, ROTA_RECORD_RUN, task);
	reactor->current = task;
	reactor->stats.switches++;
	return task;
}

static inline void rota__task_push_ready(struct rota_reactor *reactor, struct rota_task *task)
{
	ROTA_DCHECK(task->state != TASK_READY);
	task->state = TASK_READY;
	task->next_ready = NULL;
	if (!reactor->ready_head)
		reactor->ready_head = task;
	else
		reactor->ready_tail->next_ready = task;
	reactor->ready_tail = task;
}

/* ---- detectors.c ---- */

/* In debug builds: `task` is about to suspend. */
void rota__detect_before_suspending(const struct rota_task *task);

/*
 * The caller of public function `call` has used `what` after its end, or elsewhere: says so, dies.
 */
ROTA_NORETURN void rota__die_of_use_after_end(const char *what, const char *call);
ROTA_NORETURN void rota__die_of_use_elsewhere(const struct rota_reactor *home, const char *what,
					      const char *call);

/* In debug builds: `call` is about to use `what`, which belongs to reactor `home`. */
static inline void rota__check_home(const struct rota_reactor *home, const char *what,
				    const char *call)
{
	if (ROTA_DEBUG && ROTA_UNLIKELY(home != rota__current_reactor))
		rota__die_of_use_elsewhere(home, what, call);
}

/* ---- failure.c ---- */

/*
 * A task of `scope` has failed for `reason`; its result goes to `future`, for which nobody waits.
 */
void rota__failure_keep(struct rota_reactor *reactor, struct rota_scope *scope,
			const struct rota_future *future, const struct rota_cancel_reason *reason);

/* Somebody looks at `future`. */
void rota__failure_take(struct rota_reactor *reactor, const struct rota_future *future);

/* The scope ends: log those that nobody has looked at. */
void rota__failures_surface(struct rota_reactor *reactor, const struct rota_scope *scope);

static inline void rota__failure_read(struct rota_reactor *reactor,
				      const struct rota_future *future)
{
	if (ROTA_UNLIKELY(reactor->unread_count))
		rota__failure_take(reactor, future);
}

/* ---- suspending ---- */

/*
 * Leave the current task until somebody makes it ready. Inline, down to the functions that tasks
 * call: what returns after a switch returns to where the processor does not expect it, so there
 * should be one such return and no more.
 */
static inline ROTA_SUSPENDS void rota__task_suspend(struct rota_task *task)
{
	struct rota_reactor *reactor = task->reactor;
	struct rota_task *next;

	ROTA_DCHECK(reactor->current == task);
	if (ROTA_DEBUG)
		rota__detect_before_suspending(task);
	if (ROTA_UNLIKELY(task->on_suspend != NULL))
		task->on_suspend(task);
	/* Completing during on_suspend may have made it ready already. */
	if (task->state == TASK_RUNNING)
		task->state = TASK_SUSPENDED;
	task->waiting_since = reactor->now;
	next = rota__next_task(reactor);
	rota__context_switch(&task->context, next ? &next->context : &reactor->context);
}

/* Tasks wait to run. */
static inline bool rota__schedule_has_ready(const struct rota_reactor *reactor)
{
	return reactor->pass || reactor->ready_head || reactor->dealt_out;
}

/* ---- futures in frames ---- */

/*
 * In debug builds: somebody is going to complete the future at `memory`. Returns the current task
 * if it is in a frame of its, which it may not leave before; NULL if not, or if nobody can tell:
 * generators may go on in other tasks.
 */
static inline struct rota_task *rota__frame_lend(const void *memory)
{
	struct rota_task *task = ROTA_DEBUG && rota__current_reactor
					 ? rota__current_reactor->current
					 : NULL;

	if (!task || task->generator || !rota__context_has(&task->context, memory))
		return NULL;
	task->futures_lent++;
	return task;
}

/* What rota__frame_lend returned: it is going to be complete in a moment. */
static inline void rota__frame_return(struct rota_task *lender)
{
	if (ROTA_DEBUG && lender)
		lender->futures_lent--;
}

/* ---- operations ---- */

/* Hand `op` to the engine; lent until its terminal completion has been run. */
static inline void rota__op_submit(struct rota_reactor *reactor, struct rota_op *op)
{
	ROTA_DCHECK(!(op->flags_ & ROTA_OP_PATIENT) || op->kind == ROTA_OP_SEND);
	reactor->ops_lent++;
	rota__record(reactor, ROTA_RECORD_SUBMIT,
		     (uint64_t)op->kind << 48 | RECORD_LOW(op->fd, 24) << 24 | RECORD_KEY(op, 24));
	reactor->backend->ops->submit(reactor->backend, op);
}

static inline void rota__op_cancel(struct rota_reactor *reactor, struct rota_op *op)
{
	reactor->backend->ops->cancel(reactor->backend, op);
}

/* Lend `op` for `task`, which waits for `future`, as `kind`: then it is there, and cancelled so. */
static inline void rota__op_lend(struct rota_op *op, struct rota_task *task,
				 struct rota_future *future, enum rota_wait_kind kind,
				 void (*cancel)(struct rota_future *future))
{
	task->ops_lent++;
	rota_future_init(future);
	future->kind_ = (uint8_t)kind;
	future->cancel_ = cancel;
	rota__op_submit(task->reactor, op);
}

/* It has come to its end. */
static inline void rota__op_return(struct rota_task *task, struct rota_future *future,
				   int64_t result)
{
	task->ops_lent--;
	rota_future_complete(future, result);
}

/* One operation awaited by the task whose frame it lives in. */
struct io {
	struct rota_op op;
	struct rota_future future;
	struct rota_task *task;
};

/*
 * Submit io->op (kind, fd and arguments set by the caller) and wait. Returns its result; if a scope
 * is cancelled first: -ECANCELED or -ETIMEDOUT, unless the operation had achieved something, which
 * is then returned.
 */
ROTA_SUSPENDS int64_t rota__io_await(struct io *io);

/* The same, whatever is cancelled around: closing is exempt. */
ROTA_SUSPENDS int64_t rota__io_await_exempt(struct io *io);

/* One seeded decision of the simulator's. */
bool rota__reactor_flip(struct rota_reactor *reactor);

/* No task, no operation, no connection. */
bool rota__reactor_is_empty(const struct rota_reactor *reactor);

/*
 * Turns are made, and waited for, on the thread's own stack: asserts that no task, callback or
 * generator calls, naming it.
 */
void rota__assert_outside_turns(const struct rota_reactor *reactor);

/*
 * Before turns are made, whatever was before: asserts the above, opens the engine. Returns 0 or
 * negative errno.
 */
ROTA_MUST_USE int rota__reactor_get_ready(struct rota_reactor *reactor);

/* A turn; what rota_reactor_run_once is to those who make one after the other. */
ROTA_MUST_USE int rota__reactor_turn(struct rota_reactor *reactor, rota_ns deadline);

/* Something to do before the reactor may wait. */
bool rota__reactor_has_work(const struct rota_reactor *reactor);

/*
 * Until when to wait now, `deadline` at the latest; 0: not at all. reactor->now is fresh. May give
 * some idle memory back.
 */
rota_ns rota__reactor_wait_until(struct rota_reactor *reactor, rota_ns deadline);

/*
 * Write `KIND "NAME" spawned at FILE:LINE (FUNCTION)` to `out`, NUL-terminated. Any thread,
 * async-signal-safe.
 */
void rota__describe_place(const char *kind, const char *name, const struct rota_site *site,
			  char *out, size_t out_bytes);

/* What runs on this thread: a task, callback or generator, as above. */
void rota__describe_caller(char *out, size_t out_bytes);

/* ---- mailbox.c ---- */

/* Send what was gathered. */
void rota__mailbox_flush(struct rota_reactor *reactor);

/* Run the messages that have come. Returns their number. */
unsigned rota__mailbox_take_all(struct rota_reactor *reactor);

static inline unsigned rota__mailbox_take(struct rota_reactor *reactor)
{
	/* A plain look first: an exchange would take the line from the senders on every turn. */
	if (ROTA_LIKELY(!__atomic_load_n(&reactor->mailbox.inbox, __ATOMIC_RELAXED)))
		return 0;
	return rota__mailbox_take_all(reactor);
}

/* About to wait: true if it may; then rota__mailbox_woken must follow the wait. */
bool rota__mailbox_may_sleep(struct rota_reactor *reactor);

static inline void rota__mailbox_woken(struct rota_reactor *reactor)
{
	__atomic_store_n(&reactor->mailbox.is_sleeping, 0, __ATOMIC_RELAXED);
}

/* Before turns: what waited in the reactor's place, if anything, waits no more. */
static inline void rota__foreign_wait_ended(struct rota_reactor *reactor)
{
	if (ROTA_UNLIKELY(__atomic_load_n(&reactor->mailbox.is_sleeping, __ATOMIC_RELAXED)))
		rota__mailbox_woken(reactor);
}

/* Before its engine or its memory goes: whoever has sent a message may still be about to wake. */
void rota__mailbox_wait_for_senders(struct rota_reactor *reactor);

/* ---- generator.c ---- */

/* The innermost generator that runs on this thread outside of tasks; NULL: none. */
const struct rota_generator *rota__generator_running(void);

/* ---- stack_census.c ---- */

/* `task` has ended on a fresh stack. Another stack than its own. */
void rota__stack_census_take(struct rota_reactor *reactor, const struct rota_task *task);

/* ---- net.c ---- */

/* Send what connections gathered in this turn. */
void rota__net_flush(struct rota_reactor *reactor);

/* The reactor stops: close listeners, abort connections. */
void rota__net_stop(struct rota_reactor *reactor);

/* Something waits to be done in the next turn. */
bool rota__net_has_work(const struct net *net);

/* True when no listener and no connection is left. */
bool rota__net_is_idle(const struct rota_reactor *reactor);

/* Give the net's memory back; idle. */
void rota__net_destroy(struct rota_reactor *reactor);

#endif /* ROTA_REACTOR_INTERNAL_H */
