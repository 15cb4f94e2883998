/* SPDX-License-Identifier: MIT */
/*
 * Which tasks run next, and for how long. Runs on the reactor's thread.
 *
 * Groups are weighted fair queueing by virtual time, as in Linux's CFS and in Seastar's scheduling
 * groups (core/reactor.cc): a group is charged its time divided by its shares, the least charged
 * runs next, and one that becomes ready starts at the time of those that run. What is ours is where
 * it happens: in front of the passes of the turn, not in the queue every task goes through.
 */
#include <rota/error.h>

#include "framework/reactor_internal.h"
#include "framework/ticks.h"

#define QUOTA_NS_DEFAULT (ROTA_NS_PER_MS / 2)
/*
 * Runs between two looks at the clock, while they are short. A prime: a look charges the task that
 * ran last, and with as many tasks that would be the same one each time.
 */
#define RUNS_PER_LOOK_MAX 31
/*
 * After a look that shows more than this, the clock is looked at after each run, until so many
 * looks in a row have shown less; then after every second, fourth … Guesses: a look takes 50 ns.
 */
#define LOOK_NS_MAX (64 * ROTA_NS_PER_US)
#define CALM_LOOKS 64
/* The simulator's tasks take no time: a run counts as so much, so a turn is 279. */
#define SIMULATED_RUN_NS (2 * ROTA_NS_PER_US)

static const char *const ready_made_names[] = { "normal", "urgent", "low" };
static const uint32_t ready_made_shares[] = { ROTA_SHARES_NORMAL, ROTA_SHARES_URGENT,
					      ROTA_SHARES_LOW };

static bool choose_pass(struct rota_reactor *reactor);
static void put_pass_back(struct rota_reactor *reactor);
static void run_tasks(struct rota_reactor *reactor);
static void look_at_clock(struct rota_reactor *reactor, uint64_t runs);
static struct rota_group *group_of(struct rota_reactor *reactor, enum rota_priority priority);

/* ---- the turn's part ---- */

void rota__schedule_run(struct rota_reactor *reactor)
{
	rota_ns began;

	if (!reactor->is_simulated)
		reactor->looked_at = reactor->now;
	began = reactor->looked_at;
	reactor->quota_ends_ticks = rota__ticks() + reactor->quota_ticks;
	while (choose_pass(reactor)) {
		uint64_t switches = reactor->stats.switches;

		run_tasks(reactor);
		look_at_clock(reactor, reactor->stats.switches - switches);
		if (reactor->looked_at - began < reactor->quota_ns)
			continue;
		if (rota__schedule_has_ready(reactor))
			reactor->stats.quota_ends++;
		break;
	}
	if (ROTA_UNLIKELY(reactor->group != NULL)) {
		put_pass_back(reactor);
		reactor->group = NULL;
	}
}

/*
 * Tasks switch from one to the next themselves; here they begin, and come back when one has ended.
 */
static void run_tasks(struct rota_reactor *reactor)
{
	struct rota_task *task;

	while ((task = rota__next_task(reactor))) {
		rota__context_switch(&reactor->context, &task->context);
		task = reactor->current;
		reactor->current = NULL;
		if (task->state == TASK_ENDED) {
			rota__task_destroy(reactor, task);
			task = NULL;
		}
		reactor->ran_last = task;
	}
}

/* The group whose pass it is. */
static struct rota_group *running_group(struct rota_reactor *reactor)
{
	return reactor->group ? reactor->group : &reactor->groups[GROUP_NORMAL];
}

/* At once fewer after long runs, and more again only when none has been long for a while. */
static void adapt_runs_per_look(struct rota_group *group, uint64_t used_ns)
{
	if (used_ns > LOOK_NS_MAX) {
		group->runs_per_look = 1;
		group->short_looks = 0;
	} else if (group->runs_per_look < RUNS_PER_LOOK_MAX && ++group->short_looks == CALM_LOOKS) {
		group->runs_per_look = (uint32_t)rota_min_size(group->runs_per_look * 2,
							       RUNS_PER_LOOK_MAX);
		group->short_looks = 0;
	}
}

/* Tasks have run `runs` times since the last look. */
static void look_at_clock(struct rota_reactor *reactor, uint64_t runs)
{
	struct rota_group *group = running_group(reactor);
	rota_ns now = reactor->is_simulated ? reactor->looked_at + (rota_ns)runs * SIMULATED_RUN_NS
					    : reactor->engine->now(reactor->backend);
	uint64_t used_ns = (uint64_t)(now - reactor->looked_at);

	if (!reactor->is_simulated)
		rota__record(reactor, ROTA_RECORD_CLOCK, (uint64_t)now);
	reactor->looked_at = now;
	group->ready_since = now;
	group->stats.cpu_ns += used_ns;
	group->stats.runs += runs;
	if (reactor->ran_last)
		reactor->ran_last->cpu_ns += used_ns;
	if (ROTA_UNLIKELY(reactor->grouped_tasks))
		group->virtual_ns += used_ns * ROTA_SHARES_NORMAL / group->shares;
	adapt_runs_per_look(group, used_ns);
}

/* ---- several groups ---- */

/* What is left of the pass was in front of all others of its group. */
static void put_pass_back(struct rota_reactor *reactor)
{
	struct rota_group *group = running_group(reactor);
	struct rota_task *last = reactor->pass;

	if (!last)
		return;
	for (reactor->dealt_out++; last->next_ready; last = last->next_ready)
		reactor->dealt_out++;
	last->next_ready = group->head;
	if (!group->head)
		group->tail = last;
	group->head = reactor->pass;
	reactor->pass = NULL;
}

/* Behind the group's others. If it was idle, it starts where the groups that run are now. */
static void deal_out(struct rota_reactor *reactor, struct rota_task *task)
{
	struct rota_group *group = task->group ? task->group : &reactor->groups[GROUP_NORMAL];

	task->next_ready = NULL;
	reactor->dealt_out++;
	if (group->head) {
		group->tail->next_ready = task;
	} else {
		group->head = task;
		group->ready_since = reactor->looked_at;
		if (group->virtual_ns < reactor->virtual_ns)
			group->virtual_ns = reactor->virtual_ns;
	}
	group->tail = task;
}

static void deal_out_all(struct rota_reactor *reactor)
{
	struct rota_task *task = reactor->ready_head;

	put_pass_back(reactor);
	reactor->ready_head = NULL;
	while (task) {
		struct rota_task *next = task->next_ready;

		deal_out(reactor, task);
		task = next;
	}
}

/* The one with tasks that has been charged least; NULL if none has any. */
static struct rota_group *least_charged(struct rota_reactor *reactor)
{
	struct rota_group *least = NULL;

	for (unsigned i = 0; i < ROTA_GROUPS_MAX; i++) {
		struct rota_group *group = &reactor->groups[i];

		if (group->head && (!least || group->virtual_ns < least->virtual_ns))
			least = group;
	}
	return least;
}

/*
 * A pass of as many of the group's tasks as run up to the next look: the reactor comes round when
 * the pass has ended and not before, so what becomes ready meanwhile is dealt out before it runs.
 */
static void take_pass(struct rota_reactor *reactor, struct rota_group *group)
{
	struct rota_task *last = group->head;
	uint32_t runs = 1;

	for (; runs < group->runs_per_look && last->next_ready; runs++)
		last = last->next_ready;
	reactor->pass = group->head;
	reactor->runs_left = runs;
	reactor->dealt_out -= runs;
	group->head = last->next_ready;
	last->next_ready = NULL;
}

static bool choose_pass_of_group(struct rota_reactor *reactor)
{
	struct rota_group *group;

	deal_out_all(reactor);
	group = least_charged(reactor);
	if (!group)
		return false;
	if (reactor->virtual_ns < group->virtual_ns)
		reactor->virtual_ns = group->virtual_ns;
	group->stats.ready_ns += (uint64_t)(reactor->looked_at - group->ready_since);
	reactor->group = group == &reactor->groups[GROUP_NORMAL] ? NULL : group;
	take_pass(reactor, group);
	return true;
}

/* The tasks of other groups have ended: one queue again. */
static void gather_in(struct rota_reactor *reactor)
{
	struct rota_group *normal = &reactor->groups[GROUP_NORMAL];

	deal_out_all(reactor);
	reactor->pass = normal->head;
	reactor->dealt_out = 0;
	reactor->group = NULL;
	normal->head = NULL;
}

/* Make a pass ready, and say how many run before the clock is looked at. False: nothing is ready.
 */
static bool choose_pass(struct rota_reactor *reactor)
{
	if (ROTA_UNLIKELY(reactor->grouped_tasks))
		return choose_pass_of_group(reactor);
	if (ROTA_UNLIKELY(reactor->dealt_out))
		gather_in(reactor);
	reactor->runs_left = reactor->groups[GROUP_NORMAL].runs_per_look;
	return reactor->pass || reactor->ready_head;
}

/* ---- tasks come and go ---- */

struct rota_group *rota__schedule_choose(struct rota_reactor *reactor,
					 const struct rota_spawn_options *options)
{
	struct rota_group *group = options->group;

	if (!group && options->priority == ROTA_PRIORITY_INHERIT)
		return reactor->group;
	ROTA_ASSERT(!group || options->priority == ROTA_PRIORITY_INHERIT);
	if (!group)
		group = group_of(reactor, options->priority);
	ROTA_ASSERT(group->reactor == reactor);
	return group == &reactor->groups[GROUP_NORMAL] ? NULL : group;
}

void rota__schedule_join(struct rota_reactor *reactor, struct rota_group *group)
{
	group->stats.tasks_alive++;
	/* The first one: the pass that runs knows of no groups, and ends here. */
	if (reactor->grouped_tasks++ == 0)
		reactor->runs_left = 0;
}

void rota__schedule_leave(struct rota_reactor *reactor, struct rota_group *group)
{
	group->stats.tasks_alive--;
	reactor->grouped_tasks--;
}

/* ---- yielding when it is time to ---- */

/* One time in eight. */
static ROTA_NOINLINE bool should_yield_by_seed(struct rota_reactor *reactor)
{
	unsigned heads = 0;

	while (heads < 3 && rota__reactor_flip(reactor))
		heads++;
	return heads == 3;
}

bool rota_should_yield(void)
{
	struct rota_reactor *reactor = rota__reactor();

	if (ROTA_UNLIKELY(reactor->is_simulated))
		return should_yield_by_seed(reactor);
	return rota__ticks() >= reactor->quota_ends_ticks;
}

int rota_yield_if_needed(void)
{
	if (ROTA_LIKELY(!rota_should_yield()))
		return rota_check_cancelled();
	/* The clock is due: the others of the pass can wait for the kernel as well. */
	rota__reactor()->runs_left = 0;
	return rota_yield();
}

/* ---- groups as the program sees them ---- */

static struct rota_group *group_of(struct rota_reactor *reactor, enum rota_priority priority)
{
	static const uint8_t indices[] = { [ROTA_PRIORITY_URGENT] = GROUP_URGENT,
					   [ROTA_PRIORITY_NORMAL] = GROUP_NORMAL,
					   [ROTA_PRIORITY_LOW] = GROUP_LOW };

	ROTA_ASSERT((size_t)priority < ROTA_ARRAY_COUNT(indices));
	return priority == ROTA_PRIORITY_INHERIT ? running_group(reactor)
						 : &reactor->groups[indices[priority]];
}

static void group_init(struct rota_reactor *reactor, struct rota_group *group, const char *name,
		       uint32_t shares)
{
	*group = (struct rota_group){ .shares = shares,
				      .runs_per_look = RUNS_PER_LOOK_MAX,
				      .reactor = reactor,
				      .stats = { .name = name } };
}

void rota__schedule_init(struct rota_reactor *reactor, rota_ns quota_ns)
{
	for (unsigned i = 0; i < GROUP_READY_MADE_COUNT; i++)
		group_init(reactor, &reactor->groups[i], ready_made_names[i], ready_made_shares[i]);
	reactor->quota_ns = quota_ns ? quota_ns : QUOTA_NS_DEFAULT;
	reactor->quota_ticks = (uint64_t)reactor->quota_ns * rota__ticks_per_ms() / ROTA_NS_PER_MS;
}

static bool are_shares(uint32_t shares)
{
	return shares >= 1 && shares <= ROTA_SHARES_MAX;
}

int rota_group_create(const char *name, uint32_t shares, struct rota_group **out)
{
	struct rota_reactor *reactor = rota__reactor();

	if (!are_shares(shares))
		return -EINVAL;
	for (unsigned i = 0; i < ROTA_GROUPS_MAX; i++) {
		if (reactor->groups[i].shares)
			continue;
		group_init(reactor, &reactor->groups[i], name, shares);
		*out = &reactor->groups[i];
		return 0;
	}
	return -EMFILE;
}

void rota_group_destroy(struct rota_group *group)
{
	if (!group)
		return;
	ROTA_ASSERT(group->reactor == rota__reactor());
	ROTA_ASSERT(group >= &group->reactor->groups[GROUP_READY_MADE_COUNT]);
	ROTA_ASSERT(group->stats.tasks_alive == 0);
	ROTA_ASSERT(group->listeners == 0);
	group->shares = 0;
}

int rota_group_set_shares(struct rota_group *group, uint32_t shares)
{
	ROTA_ASSERT(group->reactor == rota__reactor());
	if (!are_shares(shares))
		return -EINVAL;
	group->shares = shares;
	return 0;
}

struct rota_group *rota_group_of(enum rota_priority priority)
{
	return group_of(rota__reactor(), priority);
}

void rota_group_stats(const struct rota_group *group, struct rota_group_stats *out)
{
	const struct rota_reactor *reactor = group->reactor;

	*out = group->stats;
	out->shares = group->shares;
	if (group == &reactor->groups[GROUP_NORMAL])
		out->tasks_alive = reactor->stats.tasks_alive - reactor->grouped_tasks;
}

void rota_group_each(void (*each)(struct rota_group *group, void *arg), void *arg)
{
	struct rota_reactor *reactor = rota__reactor();

	for (unsigned i = 0; i < ROTA_GROUPS_MAX; i++)
		if (reactor->groups[i].shares)
			each(&reactor->groups[i], arg);
}
