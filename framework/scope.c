/* SPDX-License-Identifier: MIT */
/*
 * Scopes: ownership of tasks, deadlines, cancellation. Runs on the scope's reactor.
 *
 * Cancelling sets one flag, which every suspending call finds on its way up the scopes, so it holds
 * at once. Telling the tasks that sleep is work in proportion to their number, so the turn does it
 * in slices: the scope's children move to its `unswept_` list in O(1), and each slice takes some,
 * wakes what waits, and goes down into the scopes they have open.
 */
#include <rota/error.h>
#include <rota/scope.h>

#include "framework/reactor_internal.h"

/*
 * Tasks told per turn. Beside work that uses its whole quota a turn then takes 0.7 ms of processor
 * time on a machine half as fast as the targets', and 100 000 tasks 200 turns; with 256 it is 0.6
 * ms and twice the turns (bench/micro/task_bench, 2026-11-22).
 */
#define SWEEP_TASKS_PER_TURN 512

/* Failures of one scope that are logged one by one; the others are counted in one line. */
#define FAILURES_LOGGED_MAX 8

static void deadline_passed(struct rota_timer *timer);
static void log_failure(const struct rota_cancel_reason *reason);
static void queue_sweep(struct rota_reactor *reactor, struct rota_scope *scope);
static struct rota_scope *innermost_cancelled(struct rota_scope *scope);

/* ---- open and close ---- */

void rota__scope_init(struct rota_scope *scope, struct rota_scope *parent, struct rota_task *task,
		      rota_ns deadline)
{
	scope->parent_ = parent;
	scope->task_ = task;
	scope->site_ = NULL;
	scope->deadline_ = deadline;
	scope->reason_.kind = ROTA_CANCEL_NONE;
	rota_list_init(&scope->children_);
	rota_list_init(&scope->unswept_);
	rota_list_init(&scope->sweep_link_);
	rota_timer_init(&scope->timer_, deadline_passed);
	rota_future_init(&scope->idle_);
	scope->idle_.kind_ = ROTA_WAIT_SCOPE;
	scope->emptied_ = NULL;
	scope->locals_ = NULL;
	scope->children_count_ = 0;
	scope->failures_unseen_ = 0;
	scope->failure_ = 0;
	scope->is_shield_ = false;
	scope->keeps_going_ = false;
	scope->is_closing_ = false;
	scope->is_closed_ = false;
}

static void open_in_task(struct rota_scope *scope, rota_ns deadline, const struct rota_site *site,
			 bool is_shield)
{
	struct rota_reactor *reactor = rota__reactor();
	struct rota_task *task = rota__task();
	rota_ns outer = is_shield ? ROTA_NEVER : task->scope->deadline_;

	rota__scope_init(scope, task->scope, task, deadline < outer ? deadline : outer);
	scope->site_ = site;
	scope->is_shield_ = is_shield;
	/*
	 * An outer scope's earlier deadline cancels that scope, and with it this one: no timer of
	 * our own.
	 */
	if (deadline < outer)
		rota__wheel_arm(&reactor->wheel, &scope->timer_, deadline);
	task->scope = scope;
}

void rota_scope_open_at(struct rota_scope *scope, rota_ns deadline, const struct rota_site *site)
{
	open_in_task(scope, deadline, site, false);
}

void rota_shield_at(struct rota_scope *scope, rota_ns deadline, const struct rota_site *site)
{
	open_in_task(scope, deadline, site, true);
}

/* Those beyond the first, which the close returns. */
static ROTA_NOINLINE void surface_failures(struct rota_reactor *reactor,
					   const struct rota_task *task, struct rota_scope *scope)
{
	rota__failures_surface(reactor, scope);
	if (scope->failures_unseen_ > FAILURES_LOGGED_MAX)
		rota_log(ROTA_LOG_WARNING,
			 "%llu more task(s) of the scope closed by task \"%s\" (%s:%d) failed",
			 (unsigned long long)scope->failures_unseen_ - FAILURES_LOGGED_MAX,
			 task->name, task->site->file, task->site->line);
}

/* If the task returns what its close returned, this is why. */
static ROTA_NOINLINE void note_why(struct rota_reactor *reactor, struct rota_task *task,
				   struct rota_scope *scope)
{
	struct rota_scope *why = innermost_cancelled(scope);

	if (scope->failure_ && rota__reason_find(reactor, scope->failure_because_))
		task->because = scope->failure_because_;
	else if (why)
		task->because = rota__reason_keep(reactor, &why->reason_);
}

int64_t rota_scope_close(struct rota_scope *scope)
{
	struct rota_reactor *reactor = rota__reactor();
	struct rota_task *task = rota__task();
	int64_t result;

	ROTA_ASSERT(scope->task_ == task);
	ROTA_ASSERT(task->scope == scope); /* scopes close in the reverse order of opening */
	scope->is_closing_ = true;
	if (scope->children_count_)
		rota__await_exempt(&scope->idle_);
	result = scope->failure_ ? scope->failure_ : rota__scope_status(reactor, scope);
	if (ROTA_UNLIKELY(result < 0)) {
		surface_failures(reactor, task, scope);
		note_why(reactor, task, scope);
	}
	task->scope = scope->parent_;
	rota__scope_retire(reactor, scope);
	scope->is_closed_ = true;
	return result;
}

int64_t rota_scope_close_and_move_on(struct rota_scope *scope)
{
	struct rota_task *task = rota__task();
	int64_t result = rota_scope_close(scope);
	int outer = rota__scope_status(task->reactor, task->scope);

	/* Closed, but what it was stands there still. */
	if (result < 0 && !scope->failure_ && outer == 0)
		return 1;
	return result < 0 && !scope->failure_ ? outer : result;
}

void rota_scope_collect(struct rota_scope *scope)
{
	ROTA_ASSERT(scope->task_ == rota__task()); /* who opened it says how it is to be */
	scope->keeps_going_ = true;
}

void rota__scope_retire(struct rota_reactor *reactor, struct rota_scope *scope)
{
	ROTA_ASSERT(scope->children_count_ == 0);
	rota__wheel_disarm(&reactor->wheel, &scope->timer_);
	rota_list_remove(&scope->sweep_link_);
	if (scope->reason_.kind != ROTA_CANCEL_NONE)
		reactor->cancelled_scopes--;
	scope->reason_.kind = ROTA_CANCEL_NONE;
}

/* ---- children ---- */

static ROTA_NOINLINE void child_failed(const struct rota_task *task, int64_t result)
{
	struct rota_cancel_reason reason = {
		.failure = result,
		.site = task->site,
		.because_ = rota__reason_of_failure(task->reactor, task, result),
	};

	rota__reason_name(&reason, task);
	rota__scope_fail(task->reactor, task->owner, &reason, task->result);
}

void rota__scope_child_ended(struct rota_task *task, int64_t result)
{
	struct rota_scope *scope = task->owner;
	bool was_told = (result == -ECANCELED || result == -ETIMEDOUT) &&
			rota__scope_status(task->reactor, scope) < 0;

	if (result < 0 && !was_told)
		child_failed(task, result);
	rota_list_remove(&task->scope_link);
	if (--scope->children_count_ > 0)
		return;
	if (scope->is_closing_)
		rota_future_complete(&scope->idle_, 0);
	else if (scope->emptied_)
		scope->emptied_(scope);
}

void rota__scope_fail(struct rota_reactor *reactor, struct rota_scope *scope,
		      struct rota_cancel_reason *reason, const struct rota_future *result)
{
	reason->kind = ROTA_CANCEL_SIBLING_FAILED;
	reason->error = -ECANCELED;
	reason->why = "a task of the scope failed";
	/* The framework's own scopes are closed by nobody who would be told. */
	if (scope->task_ && scope->failure_ == 0) {
		scope->failure_ = reason->failure;
		scope->failure_because_ = rota__reason_keep(reactor, reason);
	} else if (!result) {
		rota__scope_log_failure(scope, reason);
	} else if (!result->waits_) {
		rota__failure_keep(reactor, scope, result, reason);
	}
	if (!scope->keeps_going_)
		rota__scope_cancel(reactor, scope, reason);
}

void rota__scope_log_failure(struct rota_scope *scope, const struct rota_cancel_reason *reason)
{
	if (!scope->task_ || ++scope->failures_unseen_ <= FAILURES_LOGGED_MAX)
		log_failure(reason);
}

static void log_failure(const struct rota_cancel_reason *reason)
{
	const struct rota_cancel_reason *cause = rota_reason_cause(reason);
	const struct rota_site *site = reason->site;
	char text[ROTA_REASON_TEXT_BYTES] = "";

	if (cause)
		rota_reason_format(cause, text);
	rota_log(ROTA_LOG_WARNING, "task %s (%s:%d) ended with %s: %s%s%s",
		 reason->task_id ? reason->task_name : site->what, site->file, site->line,
		 rota_error_name(reason->failure), rota_strerror(reason->failure),
		 cause ? ", because " : "", text);
}

/* ---- cancellation ---- */

void rota__scope_cancel(struct rota_reactor *reactor, struct rota_scope *scope,
			const struct rota_cancel_reason *reason)
{
	ROTA_ASSERT(!scope->is_closed_); /* it would stay on the reactor's lists for ever */
	if (scope->reason_.kind != ROTA_CANCEL_NONE)
		return;
	scope->reason_ = *reason;
	rota__record(
		reactor, ROTA_RECORD_CANCEL,
		(uint64_t)reason->kind << ROTA_RECORD_ID_BITS |
			(scope->task_ ? RECORD_LOW(scope->task_->id, ROTA_RECORD_ID_BITS) : 0));
	reactor->cancelled_scopes++;
	rota__wheel_disarm(&reactor->wheel, &scope->timer_);
	rota_list_splice_back(&scope->unswept_, &scope->children_);
	/* Queued even without children: the task that opened it may be waiting inside. */
	queue_sweep(reactor, scope);
}

/* It may be queued already: an outer scope's cancellation has come down to it before its own. */
static void queue_sweep(struct rota_reactor *reactor, struct rota_scope *scope)
{
	if (rota_list_is_empty(&scope->sweep_link_))
		rota_list_push_back(&reactor->sweeps, &scope->sweep_link_);
}

void rota_scope_cancel_at(struct rota_scope *scope, const char *why, const struct rota_site *site)
{
	struct rota_cancel_reason reason = {
		.kind = ROTA_CANCEL_BY_HAND, .error = -ECANCELED, .why = why, .site = site
	};
	struct rota_reactor *reactor = rota__reactor();
	struct rota_scope *cause;

	ROTA_DCHECK(rota__scope_is_of(scope, reactor));
	if (scope->reason_.kind != ROTA_CANCEL_NONE)
		return;
	if (reactor->current) {
		/* Who is cancelled and cancels others does it because of that. */
		cause = innermost_cancelled(reactor->current->scope);
		rota__reason_name(&reason, reactor->current);
		if (cause)
			reason.because_ = rota__reason_keep(reactor, &cause->reason_);
	}
	rota__scope_cancel(reactor, scope, &reason);
}

/* What is cleaned up after, if a shield keeps it out of `scope`. */
static struct rota_scope *cancelled_outside(struct rota_scope *scope)
{
	while (scope && !scope->is_shield_)
		scope = scope->parent_;
	if (!scope)
		return NULL;
	for (scope = scope->parent_; scope; scope = scope->parent_)
		if (scope->reason_.kind != ROTA_CANCEL_NONE)
			return scope;
	return NULL;
}

static void deadline_passed(struct rota_timer *timer)
{
	struct rota_scope *scope = ROTA_CONTAINER_OF(timer, struct rota_scope, timer_);
	struct rota_cancel_reason reason = {
		.kind = ROTA_CANCEL_DEADLINE,
		.error = -ETIMEDOUT,
		.why = "deadline passed",
		.site = scope->site_,
	};
	struct rota_scope *outside = cancelled_outside(scope);

	rota__reason_name(&reason, scope->task_);
	if (outside)
		reason.because_ = rota__reason_keep(rota__reactor(), &outside->reason_);
	rota__scope_cancel(rota__reactor(), scope, &reason);
}

/*
 * True when a cancellation of `outer` reaches code running inside `inner`: no shield stands
 * between.
 */
static bool reaches(const struct rota_scope *outer, const struct rota_scope *inner)
{
	for (; inner != outer; inner = inner->parent_)
		if (inner->is_shield_)
			return false;
	return true;
}

/*
 * A cancelled scope around it has reached `task`: end its wait, and pass on to the children of the
 * scopes it has open, from the innermost out to `last` (not included).
 */
static void tell_task(struct rota_reactor *reactor, struct rota_task *task,
		      const struct rota_scope *last)
{
	if (reaches(last, task->scope))
		rota__task_cancel_wait(task);
	for (struct rota_scope *scope = task->scope; scope != last; scope = scope->parent_) {
		if (!reaches(last, scope) || rota_list_is_empty(&scope->children_))
			continue;
		rota_list_splice_back(&scope->unswept_, &scope->children_);
		queue_sweep(reactor, scope);
	}
}

static void sweep_some(struct rota_reactor *reactor, struct rota_scope *scope, unsigned *budget)
{
	struct rota_link *link;

	/*
	 * The opener first: it may wait inside its own scope, or be closing it (then it is exempt).
	 */
	if (scope->task_)
		tell_task(reactor, scope->task_, scope);
	while (*budget && (link = rota_list_pop_front(&scope->unswept_))) {
		struct rota_task *task = ROTA_CONTAINER_OF(link, struct rota_task, scope_link);

		rota_list_push_back(&scope->children_, link);
		tell_task(reactor, task, scope);
		--*budget;
	}
}

bool rota__scopes_sweep(struct rota_reactor *reactor)
{
	unsigned budget = SWEEP_TASKS_PER_TURN;
	struct rota_link *link;

	while (budget && (link = rota_list_pop_front(&reactor->sweeps))) {
		struct rota_scope *scope = ROTA_CONTAINER_OF(link, struct rota_scope, sweep_link_);

		budget--;
		sweep_some(reactor, scope, &budget);
		if (!rota_list_is_empty(&scope->unswept_))
			rota_list_push_front(&reactor->sweeps, link);
	}
	return !rota_list_is_empty(&reactor->sweeps);
}

/* ---- looking ---- */

bool rota__scope_is_of(const struct rota_scope *scope, const struct rota_reactor *reactor)
{
	while (scope->parent_)
		scope = scope->parent_;
	return scope == &reactor->root;
}

static struct rota_scope *innermost_cancelled(struct rota_scope *scope)
{
	for (; scope; scope = scope->parent_) {
		if (scope->reason_.kind != ROTA_CANCEL_NONE)
			return scope;
		if (scope->is_shield_)
			break;
	}
	return NULL;
}

int rota__scope_look_up(const struct rota_scope *scope)
{
	scope = innermost_cancelled((struct rota_scope *)scope);
	return scope ? scope->reason_.error : 0;
}

bool rota_scope_is_cancelled(const struct rota_scope *scope)
{
	return innermost_cancelled((struct rota_scope *)scope) != NULL;
}

int rota_check_cancelled(void)
{
	const struct rota_task *task = rota__task();

	return rota__scope_status(task->reactor, task->scope);
}

const struct rota_cancel_reason *rota__task_why(const struct rota_task *task)
{
	const struct rota_scope *scope = innermost_cancelled(task->scope);

	return scope ? &scope->reason_ : NULL;
}

const struct rota_cancel_reason *rota_why(void)
{
	return rota__task_why(rota__task());
}

rota_ns rota_deadline(void)
{
	return rota__task()->scope->deadline_;
}
