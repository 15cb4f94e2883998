/* SPDX-License-Identifier: MIT */
/*
 * Tasks: birth, suspension, end. Runs on the task's reactor.
 *
 * A task lives at the top of its own stack and is entered through task_main(). It leaves the
 * processor by rota__task_suspend() only, and comes back there; it ends by switching
 * away for the last time, and the reactor frees the stack.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rota/error.h>
#include <rota/memory.h>
#include <rota/task.h>

#include "framework/reactor_internal.h"

static void task_main(void *arg);
static inline void enqueue(struct rota_task *task);
static void run_defers(struct rota_task *task);

/* ---- birth ---- */

static inline void apply_options(struct rota_task *task, const struct rota_spawn_options *options)
{
	task->result = options->result;
	task->result_lender = task->result ? rota__frame_lend(task->result) : NULL;
	if (options->name)
		task->name = options->name;
	if (ROTA_UNLIKELY(options->group || options->priority))
		task->group = rota__schedule_choose(task->reactor, options);
}

/*
 * What is 0 at birth. One by one: a compiler that is given the whole takes an instruction for it
 * (rep stos) that costs as much as half the spawn.
 */
static inline void init_empty(struct rota_task *task)
{
	task->waiting = NULL;
	task->waiting_since = 0;
	task->on_suspend = NULL;
	task->client_scope = NULL;
	task->outlives_client = false;
	task->ops_lent = 0;
	task->locks_held = 0;
	task->futures_lent = 0;
	task->result_lender = NULL;
	task->result = NULL;
	task->defers = NULL;
	task->cpu_ns = 0;
	task->generator = NULL;
	task->because = 0;
}

int rota__task_create(struct rota_reactor *reactor, struct rota_scope *scope, rota_task_fn fn,
		      void *arg, const struct rota_spawn_options *options,
		      const struct rota_site *site, struct rota_task **out)
{
	enum rota_stack_class class = options ? options->stack : ROTA_STACK_64K;
	struct rota_task *task;
	size_t stack_bytes;
	void *stack_low;
	int status;

	if (reactor->stats.tasks_alive >= reactor->tasks_max)
		return -ENOMEM;
	task = rota__stack_acquire(&reactor->stacks, class, sizeof(*task), &stack_low,
				   &stack_bytes);
	if (!task)
		return -ROTA_ESTACK;
	if (ROTA_DEBUG)
		memset(task, 0xa5, sizeof(*task)); /* nothing relies on what is not set below */
	init_empty(task);
	task->reactor = reactor;
	task->scope = scope;
	task->owner = scope;
	task->fn = fn;
	task->arg = arg;
	task->name = site->what;
	task->site = site;
	task->group = reactor->group;
	status = rota__context_make(&task->context, stack_low, stack_bytes, task_main, task);
	if (status < 0) {
		rota__stack_release(&reactor->stacks, task);
		return status;
	}
	if (options)
		apply_options(task, options);
	task->id = ++reactor->stats.tasks_spawned;
	task->record = rota__recorder_task(&reactor->recorder, site, task->name, task->id);
	rota_list_push_back(&scope->children_, &task->scope_link);
	scope->children_count_++;
	reactor->stats.tasks_alive++;
	rota__record_task(reactor, ROTA_RECORD_SPAWN, task);
	if (ROTA_UNLIKELY(task->group != NULL))
		rota__schedule_join(reactor, task->group);
	enqueue(task);
	if (out)
		*out = task;
	return 0;
}

int rota_spawn_at(struct rota_scope *scope, rota_task_fn fn, void *arg,
		  const struct rota_spawn_options *options, const struct rota_site *site)
{
	struct rota_reactor *reactor = rota__reactor();
	int status = rota__scope_status(reactor, scope);

	ROTA_DCHECK(rota__scope_is_of(scope, reactor));
	/*
	 * A closing scope still takes its own tasks' children; nobody else's, or the close might
	 * never end.
	 */
	if (status == 0 && scope->is_closing_ &&
	    !(reactor->current && reactor->current->owner == scope))
		status = -ROTA_ECLOSING;
	if (options && options->result) {
		rota_future_init(options->result);
		options->result->kind_ = ROTA_WAIT_TASK;
	}
	if (status == 0) {
		status = rota__task_create(reactor, scope, fn, arg, options, site, NULL);
		if (status < 0) {
			struct rota_cancel_reason reason = { .failure = status, .site = site };

			rota__scope_fail(reactor, scope, &reason, options && options->result);
		}
	}
	if (status < 0 && options && options->result)
		rota_future_complete(options->result, status);
	return status;
}

/* ---- running ---- */

/* 0 to bound - 1, seeded. */
static uint32_t draw_below(struct rota_reactor *reactor, uint32_t bound)
{
	uint32_t number;

	do {
		number = 0;
		for (uint32_t left = bound - 1; left; left >>= 1)
			number = number << 1 | rota__reactor_flip(reactor);
	} while (number >= bound);
	return number;
}

/* Every order of the ready tasks has the same chance: as in D. E. Knuth, TAOCP 3.4.2, P. */
static void push_anywhere(struct rota_reactor *reactor, struct rota_task *task)
{
	struct rota_task **at = &reactor->ready_head;
	uint32_t ready = 0, in_front;

	for (const struct rota_task *one = *at; one; one = one->next_ready)
		ready++;
	in_front = draw_below(reactor, ready + 1);
	if (in_front == ready) {
		rota__task_push_ready(reactor, task);
		return;
	}
	while (in_front-- > 0)
		at = &(*at)->next_ready;
	task->state = TASK_READY;
	task->next_ready = *at;
	*at = task;
}

/* In the simulator a seed decides whether a task goes first or last, or anywhere. */
static ROTA_NOINLINE void push_by_seed(struct rota_reactor *reactor, struct rota_task *task)
{
	if (reactor->shuffles) {
		push_anywhere(reactor, task);
		return;
	}
	if (!reactor->ready_head || !rota__reactor_flip(reactor)) {
		rota__task_push_ready(reactor, task);
		return;
	}
	task->state = TASK_READY;
	task->next_ready = reactor->ready_head;
	reactor->ready_head = task;
}

static inline void enqueue(struct rota_task *task)
{
	if (ROTA_UNLIKELY(task->reactor->is_simulated))
		push_by_seed(task->reactor, task);
	else
		rota__task_push_ready(task->reactor, task);
}

void rota__task_make_ready(struct rota_task *task)
{
	rota__record_task(task->reactor, ROTA_RECORD_READY, task);
	enqueue(task);
}

int rota_yield(void)
{
	struct rota_task *task = rota__task();
	struct rota_reactor *reactor = task->reactor;
	int status = rota__scope_status(reactor, task->scope);

	if (ROTA_UNLIKELY(status < 0))
		return status;
	/* Behind the others, in the simulator, too: they run first, that is the promise. */
	rota__task_push_ready(reactor, task);
	rota__task_suspend(task);
	return rota__scope_status(reactor, task->scope);
}

/* ---- end ---- */

/* What it opened must be closed, what it lent come back, what it locked be unlocked. */
static ROTA_NOINLINE void die_of_what_is_left(const struct rota_task *task)
{
	const char *what = task->ops_lent     ? "an operation still lent to the engine"
			   : task->locks_held ? "a lock still held"
			   : task->futures_lent
				   ? "a future in its frames that somebody is going to complete"
				   : "a scope still open";

	rota_log(ROTA_LOG_ERROR, "task \"%s\" (%s:%d) ended with %s", task->name, task->site->file,
		 task->site->line, what);
	abort();
}

static void task_main(void *arg)
{
	struct rota_task *task = arg;
	struct rota_reactor *reactor = task->reactor;
	int64_t result = task->fn(task->arg);

	run_defers(task);
	if (ROTA_UNLIKELY(task->scope != task->owner || task->ops_lent || task->locks_held ||
			  task->futures_lent))
		die_of_what_is_left(task);
	rota__record(reactor, ROTA_RECORD_END, (uint64_t)result);
	rota__scope_child_ended(task, result);
	rota__frame_return(task->result_lender);
	if (task->result)
		rota_future_complete(task->result, result);
	task->state = TASK_ENDED;
	rota__context_exit(&task->context, &reactor->context);
}

void rota__task_destroy(struct rota_reactor *reactor, struct rota_task *task)
{
	if (ROTA_UNLIKELY(rota__stack_is_fresh(task)))
		rota__stack_census_take(reactor, task);
	rota__context_retire(&task->context);
	if (ROTA_UNLIKELY(task->group != NULL))
		rota__schedule_leave(reactor, task->group);
	rota__stack_release(&reactor->stacks, task);
	reactor->stats.tasks_alive--;
}

int rota_task_defer(void (*fn)(void *arg), void *arg)
{
	struct rota_task *task = rota__task();
	struct task_defer *defer = rota_alloc(sizeof(*defer));

	if (!defer)
		return -ENOMEM;
	defer->fn = fn;
	defer->arg = arg;
	defer->next = task->defers;
	task->defers = defer;
	return 0;
}

static void run_defers(struct rota_task *task)
{
	struct task_defer *defer;

	while ((defer = task->defers)) {
		task->defers = defer->next;
		defer->fn(defer->arg);
		rota_free(defer);
	}
}

/* ---- looking ---- */

struct rota_task *rota_task_current(void)
{
	return rota__current_reactor ? rota__current_reactor->current : NULL;
}

const char *rota_task_name(const struct rota_task *task)
{
	return task->name;
}

const struct rota_site *rota_task_site(const struct rota_task *task)
{
	return task->site;
}

uint64_t rota_task_cpu_ns(const struct rota_task *task)
{
	return task->cpu_ns;
}

void rota_assert_failed(const char *condition, const char *file, int line, const char *function)
{
	const struct rota_task *task = rota_task_current();
	char text[1024];
	int bytes;

	if (task)
		bytes = snprintf(
			text, sizeof(text),
			"rota: assertion failed: %s (%s:%d, %s) in task \"%s\" spawned at %s:%d\n",
			condition, file, line, function, task->name, task->site->file,
			task->site->line);
	else
		bytes = snprintf(text, sizeof(text), "rota: assertion failed: %s (%s:%d, %s)\n",
				 condition, file, line, function);
	if (bytes > 0)
		rota_ignore(
			write(STDERR_FILENO, text, rota_min_size((size_t)bytes, sizeof(text) - 1)),
			"nothing better can be done while dying");
	abort();
}
