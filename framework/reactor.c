/* SPDX-License-Identifier: MIT */
/*
 * The reactor's turn, and its life around it. rota__reactor_turn() is the whole machine; read that
 * first.
 *
 * When requests come one at a time, each pays for turns of its own, and what it touches has gone
 * from the cache while the reactor slept. So what is nearly always empty costs a turn one look, at
 * one of a few cache lines (struct rota_reactor): docs/design/0025-the-cost-of-a-turn.md.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rota/error.h>
#include <rota/generator.h>
#include <rota/memory.h>
#include <rota/reactor.h>

#include "framework/await.h"
#include "framework/memory_internal.h"
#include "framework/reactor_internal.h"

#define TIMERS_PER_TURN 1024
/* Between two slabs of idle stacks given back: 50 us of work every 10 ms. */
#define TRIM_AGAIN_NS (10 * ROTA_NS_PER_MS)
#define DEFAULT_TASKS_MAX (16u << 20)
/*
 * Turns that a stopping reactor with a broken engine makes, in case it works again and for what
 * waits for other reactors. A guess: about a second when driven by threads.
 */
#define BROKEN_TURNS_MAX 1000

__thread struct rota_reactor *rota__current_reactor __attribute__((tls_model("initial-exec")));
struct rota_reactor *rota__reactors[ROTA_REACTORS_MAX];

static bool begin_turn(struct rota_reactor *reactor);
static bool fire_timers(struct rota_reactor *reactor);
static bool do_work(struct rota_reactor *reactor);
static void note_turn_ns(struct rota_reactor *reactor);
static int poll_engine(struct rota_reactor *reactor, rota_ns deadline);
static void run_completions(struct rota_reactor *reactor, unsigned count);
static void engine_broke(struct rota_reactor *reactor, int error);
static void free_memory(struct rota_reactor *reactor);
static void assert_nothing_is_left(const struct rota_reactor *reactor);

/* ---- the turn ---- */

int rota_reactor_run_once(struct rota_reactor *reactor, rota_ns deadline)
{
	int status = rota__reactor_get_ready(reactor);

	return status < 0 ? status : rota__reactor_turn(reactor, deadline);
}

int rota__reactor_get_ready(struct rota_reactor *reactor)
{
	rota__assert_outside_turns(reactor);
	rota__foreign_wait_ended(reactor);
	/* Whoever has driven it may have taken any time since its last turn. */
	reactor->turn_has_begun = false;
	return rota_reactor_open(reactor);
}

int rota__reactor_turn(struct rota_reactor *reactor, rota_ns deadline)
{
	bool had_stopped = rota_reactor_has_stopped(reactor);
	unsigned messages;
	int completions;
	bool worked;

	rota__current_reactor = reactor;
	worked = begin_turn(reactor);
	messages = rota__mailbox_take(reactor);
	worked |= messages > 0;
	worked |= fire_timers(reactor);
	worked |= do_work(reactor);
	if (worked)
		note_turn_ns(reactor);
	/*
	 * What whoever drives us looks for between turns may be there now: then it does not wait,
	 * because nothing else might come.
	 */
	if (messages > 0 || (!had_stopped && rota_reactor_has_stopped(reactor)))
		deadline = 0;
	completions = poll_engine(reactor, deadline);
	if (completions > 0)
		run_completions(reactor, (unsigned)completions);
	rota__watch_beat(&reactor->watch);
	rota__current_reactor = NULL;
	if (ROTA_UNLIKELY(completions < 0)) {
		engine_broke(reactor, completions);
		return completions;
	}
	return completions > 0 || worked || rota__reactor_has_work(reactor);
}

/*
 * A turn that follows a wait has begun with the end of that, and the clock need not be read again:
 * true, because completions have run since.
 */
static bool begin_turn(struct rota_reactor *reactor)
{
	bool had_begun = reactor->turn_has_begun;

	reactor->stats.turns++;
	rota__watch_beat(&reactor->watch);
	if (!had_begun)
		reactor->now = reactor->engine->now(reactor->backend);
	reactor->turn_has_begun = false;
	rota__record(reactor, ROTA_RECORD_TURN, (uint64_t)reactor->now);
	return had_begun;
}

static bool fire_timers(struct rota_reactor *reactor)
{
	unsigned fired;

	if (rota__wheel_next(&reactor->wheel) > reactor->now)
		return false;
	fired = rota__wheel_advance(&reactor->wheel, reactor->now, TIMERS_PER_TURN);
	rota__record(reactor, ROTA_RECORD_TIMERS, fired);
	reactor->stats.timers_fired += fired;
	return true;
}

/* Cancellations, tasks, output, messages for others. False: there was nothing to do. */
static bool do_work(struct rota_reactor *reactor)
{
	if (!rota__reactor_has_work(reactor))
		return false;
	if (ROTA_UNLIKELY(!rota_list_is_empty(&reactor->sweeps)))
		rota__scopes_sweep(reactor);
	rota__schedule_run(reactor);
	rota__net_flush(reactor);
	if (ROTA_UNLIKELY(reactor->has_outgoing))
		rota__mailbox_flush(reactor);
	return true;
}

/* The turn ends, up to the engine. */
static void note_turn_ns(struct rota_reactor *reactor)
{
	rota_ns now = reactor->engine->now(reactor->backend);
	uint64_t turn_ns = (uint64_t)(now - reactor->now);

	if (turn_ns > reactor->stats.longest_turn_ns)
		reactor->stats.longest_turn_ns = turn_ns;
	if (ROTA_UNLIKELY(reactor->watch.bound_ns && turn_ns >= (uint64_t)reactor->watch.bound_ns))
		rota__record(reactor, ROTA_RECORD_STALL, turn_ns);
	reactor->now = now;
}

rota_ns rota__reactor_wait_until(struct rota_reactor *reactor, rota_ns deadline)
{
	rota_ns next = rota__wheel_next(&reactor->wheel);

	if (next < deadline)
		deadline = next;
	if (deadline <= reactor->now || rota__reactor_has_work(reactor))
		return 0;
	/* What a burst of tasks left behind goes back before a wait, a little at a time. */
	if (rota__stack_trim(&reactor->stacks, 1) && reactor->now + TRIM_AGAIN_NS < deadline)
		deadline = reactor->now + TRIM_AGAIN_NS;
	return deadline;
}

/* Wait only if there is nothing left to do and nobody has sent anything. */
static int poll_engine(struct rota_reactor *reactor, rota_ns deadline)
{
	bool may_sleep;
	int count;

	rota__record(reactor, ROTA_RECORD_ENTER, (uint64_t)reactor->now);
	deadline = rota__reactor_wait_until(reactor, deadline);
	may_sleep = deadline > 0 && rota__mailbox_may_sleep(reactor);
	if (may_sleep)
		rota__watch_beat(&reactor->watch);
	count = reactor->engine->poll(reactor->backend, reactor->completions,
				      REACTOR_COMPLETIONS_MAX, may_sleep ? deadline : 0);
	if (may_sleep) {
		rota__watch_beat(&reactor->watch);
		rota__mailbox_woken(reactor);
		reactor->now = reactor->engine->now(reactor->backend);
		reactor->turn_has_begun = count >= 0;
		rota__record(reactor, ROTA_RECORD_LEAVE, (uint64_t)reactor->now);
	}
	return count;
}

static void record_completion(struct rota_reactor *reactor,
			      const struct rota_completion *completion)
{
	_Static_assert(ROTA_RECORD_MORE == ROTA_RECORD_COMPLETE - ROTA_COMPLETION_MORE,
		       "no branch to tell them apart");

	rota__recorder_write(
		&reactor->recorder,
		RECORD(ROTA_RECORD_COMPLETE - (completion->flags & ROTA_COMPLETION_MORE)) |
			RECORD_LOW(completion->result, 32) << ROTA_RECORD_KEY_BITS |
			RECORD_KEY(completion->op, ROTA_RECORD_KEY_BITS));
}

static void run_completions(struct rota_reactor *reactor, unsigned count)
{
	rota__record(reactor, ROTA_RECORD_COMPLETIONS, count);
	for (unsigned i = 0; i < count; i++) {
		const struct rota_completion *completion = &reactor->completions[i];

		record_completion(reactor, completion);
		if (!(completion->flags & ROTA_COMPLETION_MORE)) {
			ROTA_DCHECK(reactor->ops_lent > 0);
			reactor->ops_lent--;
		}
		completion->op->complete(completion->op, completion);
	}
}

/*
 * What does not wait for I/O ends also with a broken engine. But what is lent to it does not come
 * back, and the memory can neither be used nor given back: then there is no way on.
 */
static void engine_broke(struct rota_reactor *reactor, int error)
{
	if (!reactor->is_stopping || !reactor->ops_lent ||
	    ++reactor->broken_turns < BROKEN_TURNS_MAX)
		return;
	rota_log(
		ROTA_LOG_ERROR,
		"reactor %u cannot stop: its engine %s is broken (%s: %s) and keeps %u operation%s",
		reactor->index, reactor->engine->name, rota_error_name(error), rota_strerror(error),
		reactor->ops_lent, reactor->ops_lent == 1 ? "" : "s");
	abort();
}

bool rota__reactor_has_work(const struct rota_reactor *reactor)
{
	return rota__schedule_has_ready(reactor) || !rota_list_is_empty(&reactor->sweeps) ||
	       reactor->has_outgoing || (reactor->net && rota__net_has_work(reactor->net));
}

rota_ns rota_reactor_next_deadline(const struct rota_reactor *reactor)
{
	if (!reactor->is_open || rota__reactor_has_work(reactor) ||
	    __atomic_load_n(&reactor->mailbox.inbox, __ATOMIC_RELAXED))
		return 0;
	return rota__wheel_next(&reactor->wheel);
}

void rota__describe_caller(char *out, size_t out_bytes)
{
	const struct rota_generator *generator = rota__generator_running();
	struct rota_task *task = rota__current_reactor ? rota__current_reactor->current : NULL;

	if (task)
		rota__describe_place("task", task->name, task->site, out, out_bytes);
	else if (rota__current_reactor)
		snprintf(out, out_bytes, "a callback of reactor %u", rota__current_reactor->index);
	else if (!generator)
		snprintf(out, out_bytes, "a thread outside of reactors");
	else
		rota__describe_place("generator", rota_generator_name(generator),
				     rota_generator_site(generator), out, out_bytes);
}

void rota__assert_outside_turns(const struct rota_reactor *reactor)
{
	char text[256];

	if (ROTA_LIKELY(!rota__current_reactor && !rota__generator_running()))
		return;
	rota__describe_caller(text, sizeof(text));
	rota_log(ROTA_LOG_ERROR,
		 "%s drives reactor %u: only what runs on the thread's own stack may", text,
		 reactor->index);
	ROTA_ASSERT(!rota__current_reactor);
	ROTA_ASSERT(!rota__generator_running());
}

/* ---- life ---- */

/* In a signal handler, so it formats by hand. */
void rota__describe_place(const char *kind, const char *name, const struct rota_site *site,
			  char *out, size_t out_bytes)
{
	char digits[12];
	char *digit = digits + sizeof(digits);
	size_t at = 0;

	*--digit = '\0';
	for (int line = site->line; line > 0; line /= 10)
		*--digit = (char)('0' + line % 10);

	const char *parts[] = { kind, " \"", name, "\" spawned at ", site->file,
				":",  digit, " (", site->function,   ")" };

	for (size_t i = 0; i < ROTA_ARRAY_COUNT(parts); i++)
		for (const char *text = parts[i]; *text && at + 1 < out_bytes;)
			out[at++] = *text++;
	out[at] = '\0';
}

static void describe_task(const void *object, char *out, size_t out_bytes)
{
	const struct rota_task *task = object;

	rota__describe_place("task", task->name, task->site, out, out_bytes);
}

static int take_slot(struct rota_reactor *reactor)
{
	for (uint32_t slot = 0; slot < ROTA_REACTORS_MAX; slot++) {
		struct rota_reactor *expected = NULL;

		if (__atomic_compare_exchange_n(&rota__reactors[slot], &expected, reactor, false,
						__ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
			reactor->slot = slot;
			return 0;
		}
	}
	return -EMFILE;
}

static void stop_arrived(struct rota_message *message)
{
	struct rota_reactor *reactor = ROTA_CONTAINER_OF(message, struct rota_reactor,
							 stop_message);
	struct rota_cancel_reason reason = { .kind = ROTA_CANCEL_SHUTDOWN,
					     .error = -ECANCELED,
					     .why = "the reactor is stopping" };

	reactor->is_stopping = true;
	rota__net_stop(reactor);
	rota__scope_cancel(reactor, &reactor->root, &reason);
}

int rota_reactor_create(const struct rota_reactor_options *options, struct rota_reactor **out)
{
	const char *engine_options = options->engine_options ? options->engine_options : "";
	size_t engine_options_bytes = strlen(engine_options) + 1;
	struct rota_reactor *reactor = rota__calloc_isolated(sizeof(*reactor));
	int status;

	if (!reactor)
		return -ENOMEM;
	reactor->engine = options->engine;
	reactor->offsets = &rota__offsets;
	reactor->is_simulated = options->engine->features & ROTA_BACKEND_SIMULATED;
	reactor->tasks_max = options->tasks_max ? options->tasks_max : DEFAULT_TASKS_MAX;
	reactor->cpu = options->is_pinned ? options->cpu : -1;
	reactor->index = options->index;
	reactor->stop_message.run = stop_arrived;
	rota_list_init(&reactor->sweeps);
	rota__scope_init(&reactor->root, NULL, NULL, ROTA_NEVER);
	reactor->root.keeps_going_ = true;
	rota__stack_pool_init(&reactor->stacks, describe_task);
	rota__wheel_init(&reactor->wheel, 0);
	rota__schedule_init(reactor, options->quota_ns);
	reactor->watch.bound_ns = options->stall_ns;
	reactor->outboxes = rota_calloc(ROTA_REACTORS_MAX, sizeof(*reactor->outboxes));
	reactor->engine_options = rota_alloc(engine_options_bytes);
	if (reactor->engine_options)
		memcpy(reactor->engine_options, engine_options, engine_options_bytes);
	status = reactor->outboxes && reactor->engine_options ? 0 : -ENOMEM;
	if (status == 0)
		status = rota__recorder_init(&reactor->recorder, options->records_kept);
	if (status == 0)
		status = take_slot(reactor);
	if (status < 0) {
		free_memory(reactor);
		return status;
	}
	*out = reactor;
	return 0;
}

static void free_memory(struct rota_reactor *reactor)
{
	rota_free(reactor->outboxes);
	rota_free(reactor->engine_options);
	rota__recorder_fini(&reactor->recorder);
	rota__free_isolated(reactor);
}

int rota_reactor_open(struct rota_reactor *reactor)
{
	struct rota_backend_config config = {
		.options = reactor->engine_options,
		.reactor = reactor,
	};
	int status;

	if (reactor->is_open)
		return 0;
	status = rota__stack_faults_install();
	if (status == 0)
		status = rota__stack_thread_init(&reactor->stacks);
	if (status < 0)
		return status;
	status = rota_backend_create(reactor->engine, &config, &reactor->backend);
	if (status < 0) {
		rota__stack_thread_fini(&reactor->stacks);
		return status;
	}
	reactor->shuffles = reactor->backend->features & ROTA_BACKEND_SHUFFLES;
	rota__context_adopt_thread(&reactor->context);
	reactor->now = reactor->engine->now(reactor->backend);
	/*
	 * What was armed before the clock was known was armed by deadline, so only the start moves.
	 */
	if (rota__wheel_next(&reactor->wheel) == ROTA_NEVER)
		rota__wheel_init(&reactor->wheel, reactor->now);
	reactor->is_open = true;
	reactor->tid = gettid();
	rota__watch_begin(reactor);
	return 0;
}

void rota_reactor_close(struct rota_reactor *reactor)
{
	if (!reactor->is_open)
		return;
	assert_nothing_is_left(reactor);
	rota__failures_surface(reactor, &reactor->root);
	rota__watch_end(reactor);
	rota__mailbox_wait_for_senders(reactor);
	reactor->engine->stats(reactor->backend, &reactor->stats.engine);
	rota__net_destroy(reactor);
	rota_backend_destroy(reactor->backend);
	reactor->backend = NULL;
	rota__stack_thread_fini(&reactor->stacks);
	rota__stack_pool_fini(&reactor->stacks);
	rota__stack_pool_init(&reactor->stacks, describe_task);
	reactor->is_open = false;
}

void rota_reactor_destroy(struct rota_reactor *reactor)
{
	if (!reactor)
		return;
	rota_reactor_close(reactor);
	assert_nothing_is_left(reactor);
	rota__mailbox_wait_for_senders(reactor);
	/* partner: rota_recorder_save; rota__recorder_fini waits for those who have seen it */
	__atomic_store_n(&rota__reactors[reactor->slot], NULL, __ATOMIC_SEQ_CST);
	rota__stack_pool_fini(&reactor->stacks);
	free_memory(reactor);
}

bool rota__reactor_is_empty(const struct rota_reactor *reactor)
{
	return reactor->root.children_count_ == 0 && reactor->ops_lent == 0 &&
	       rota__net_is_idle(reactor);
}

/* Names what is left: a task, or else what only the network can know of. */
static void assert_nothing_is_left(const struct rota_reactor *reactor)
{
	const struct rota_link *first = reactor->root.children_.next;

	if (first == &reactor->root.children_)
		first = reactor->root.unswept_.next;
	if (first != &reactor->root.unswept_) {
		const struct rota_task *task = ROTA_CONTAINER_OF(first, struct rota_task,
								 scope_link);

		rota_log(ROTA_LOG_ERROR,
			 "reactor %u is closed before %llu task(s) have ended, the first: "
			 "\"%s\" (%s:%d)",
			 reactor->index, (unsigned long long)reactor->root.children_count_,
			 task->name, task->site->file, task->site->line);
	}
	ROTA_ASSERT(rota__reactor_is_empty(reactor));
	if (reactor->processes_open)
		rota_log(ROTA_LOG_ERROR, "reactor %u: %u child process(es) have not been closed",
			 reactor->index, reactor->processes_open);
	ROTA_ASSERT(reactor->processes_open == 0);
}

/* ---- running and stopping ---- */

int rota_reactor_run(struct rota_reactor *reactor)
{
	int status = rota_reactor_has_stopped(reactor) ? 0 : rota__reactor_get_ready(reactor);

	while (status >= 0 && !rota_reactor_has_stopped(reactor))
		status = rota__reactor_turn(reactor, ROTA_NEVER);
	return status < 0 ? status : 0;
}

void rota_reactor_stop(struct rota_reactor *reactor)
{
	if (!__atomic_exchange_n(&reactor->stop_asked, 1, __ATOMIC_ACQ_REL))
		rota_post(reactor, &reactor->stop_message);
}

bool rota_reactor_has_stopped(const struct rota_reactor *reactor)
{
	return reactor->is_stopping && rota__reactor_is_empty(reactor);
}

int rota_reactor_drive(struct rota_reactor *const reactors[], unsigned count)
{
	return reactors[0]->engine->drive(reactors, count);
}

struct first_task {
	struct rota_message start; /* runs once the engine is open; never, if it can't be */
	struct rota_reactor *reactor;
	rota_task_fn fn;
	void *arg;
	int64_t result;
	const struct rota_site *site;
};

static int64_t run_first_task(void *arg)
{
	struct first_task *first = arg;

	first->result = first->fn(first->arg);
	rota_reactor_stop(first->reactor);
	return 0;
}

static void start_first_task(struct rota_message *message)
{
	struct first_task *first = ROTA_CONTAINER_OF(message, struct first_task, start);
	int status = rota__task_create(first->reactor, &first->reactor->root, run_first_task, first,
				       NULL, first->site, NULL);

	if (status < 0) {
		first->result = status;
		rota_reactor_stop(first->reactor);
	}
}

int64_t rota_run(const struct rota_reactor_options *options, rota_task_fn fn, void *arg)
{
	struct first_task first = {
		.start.run = start_first_task, .fn = fn, .arg = arg, .site = ROTA_SITE("first task")
	};
	int status = rota_reactor_create(options, &first.reactor);

	if (status < 0)
		return status;
	rota_post(first.reactor, &first.start);
	status = rota_reactor_drive(&first.reactor, 1);
	rota_reactor_destroy(first.reactor);
	return status < 0 ? status : first.result;
}

/* ---- timers ---- */

/* An armed timer hangs on the wheel of one reactor. */
static void check_timer(struct rota_timer *timer, const char *call)
{
	if (!ROTA_DEBUG)
		return;
	if (rota_timer_is_armed(timer))
		rota__check_home(rota__reactors[timer->home_], "a timer", call);
	timer->home_ = (uint16_t)rota__reactor()->slot;
}

void rota_timer_arm(struct rota_timer *timer, rota_ns deadline)
{
	check_timer(timer, __func__);
	rota__wheel_arm(&rota__reactor()->wheel, timer, deadline);
}

void rota_timer_disarm(struct rota_timer *timer)
{
	check_timer(timer, __func__);
	rota__wheel_disarm(&rota__reactor()->wheel, timer);
}

/* ---- operations ---- */

static void io_complete(struct rota_op *op, const struct rota_completion *completion)
{
	struct io *io = ROTA_CONTAINER_OF(op, struct io, op);

	rota__op_return(io->task, &io->future, completion->result);
}

static void io_cancel(struct rota_future *future)
{
	rota__op_cancel(rota__reactor(), &ROTA_CONTAINER_OF(future, struct io, future)->op);
}

static void io_submit(struct io *io)
{
	io->op.complete = io_complete;
	io->task = rota__task();
	rota__op_lend(&io->op, io->task, &io->future, ROTA_WAIT_IO, io_cancel);
}

int64_t rota__io_await(struct io *io)
{
	int status = rota_check_cancelled();

	if (status < 0)
		return status;
	io_submit(io);
	return rota__await(&io->future);
}

int64_t rota__io_await_exempt(struct io *io)
{
	io_submit(io);
	rota__await_exempt(&io->future);
	return io->future.result;
}

/* ---- looking ---- */

bool rota__reactor_flip(struct rota_reactor *reactor)
{
	bool bit;

	if (!reactor->random_bits_left) {
		/* Tasks may be spawned before the engine is open: those keep their order. */
		if (!reactor->is_open)
			return false;
		reactor->engine->random(reactor->backend, &reactor->random_bits,
					sizeof(reactor->random_bits));
		reactor->random_bits_left = 64;
	}
	bit = reactor->random_bits & 1;
	reactor->random_bits >>= 1;
	reactor->random_bits_left--;
	return bit;
}

struct rota_reactor *rota_reactor_current(void)
{
	return rota__current_reactor;
}

struct rota_scope *rota_reactor_scope(struct rota_reactor *reactor)
{
	return &reactor->root;
}

unsigned rota_reactor_index(const struct rota_reactor *reactor)
{
	return reactor->index;
}

int rota_reactor_cpu(const struct rota_reactor *reactor)
{
	return reactor->cpu;
}

struct rota_backend *rota_reactor_backend(struct rota_reactor *reactor)
{
	return reactor->backend;
}

void rota_reactor_stats(const struct rota_reactor *reactor, struct rota_reactor_stats *out)
{
	*out = reactor->stats;
	out->stalls = __atomic_load_n(&reactor->watch.stalls, __ATOMIC_RELAXED);
	if (reactor->is_open)
		reactor->engine->stats(reactor->backend, &out->engine);
}

rota_ns rota_now(void)
{
	struct rota_reactor *reactor = rota__current_reactor;

	return reactor ? reactor->engine->now(reactor->backend) : rota_backend_default_now(NULL);
}

int64_t rota_wall_ns(void)
{
	struct rota_reactor *reactor = rota__current_reactor;

	return reactor ? reactor->engine->wall_ns(reactor->backend)
		       : rota_backend_default_wall_ns(NULL);
}

rota_ns rota_after_ns(int64_t duration_ns)
{
	rota_ns now = rota_now();

	return duration_ns > ROTA_NEVER - now ? ROTA_NEVER : now + duration_ns;
}
