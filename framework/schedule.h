/* SPDX-License-Identifier: MIT */
/*
 * Which tasks run next, and for how long. Internal to framework/; everything belongs to the
 * reactor's thread.
 *
 * The one idea: while all tasks are of the normal group there is one queue, and a task switches to
 * the next of its pass by itself. With others, each look at the clock deals the ready tasks out to
 * their groups' queues and makes a pass of one group's; that costs the switches themselves nothing.
 */
#ifndef ROTA_FRAMEWORK_SCHEDULE_H
#define ROTA_FRAMEWORK_SCHEDULE_H

#include <rota/group.h>

struct rota_reactor;

struct rota_group {
	/* ready, dealt out and not in a pass, through next_ready; both only while `head` is set */
	struct rota_task *head;
	struct rota_task *tail;
	/* time used, divided by the shares: the least runs next */
	uint64_t virtual_ns;
	rota_ns ready_since; /* while it waits for others: since which look */
	uint32_t shares;     /* 0: not in use */
	/* runs up to the next look at the clock: 1 to RUNS_PER_LOOK_MAX */
	uint32_t runs_per_look;
	uint32_t short_looks; /* in a row */
	uint32_t listeners;   /* whose connections are served in it */
	/* but the shares; tasks_alive of the normal group is the rest of the reactor's */
	struct rota_group_stats stats;
	struct rota_reactor *reactor;
};

_Static_assert(offsetof(struct rota_group, stats.cpu_ns) < ROTA_CACHE_LINE_BYTES,
	       "what each look at the clock changes is one line of the normal group");

/* The three of every reactor, by index; others follow. */
enum { GROUP_NORMAL, GROUP_URGENT, GROUP_LOW, GROUP_READY_MADE_COUNT };

/* The reactor's groups as they are when nothing has run. */
void rota__schedule_init(struct rota_reactor *reactor, rota_ns quota_ns);

/*
 * The part of a turn in which tasks run: pass after pass until nothing is ready or the quota is
 * used; what is left comes first in the next turn.
 */
void rota__schedule_run(struct rota_reactor *reactor);

/* The group that `options` ask for; asserts what they promise. */
struct rota_group *rota__schedule_choose(struct rota_reactor *reactor,
					 const struct rota_spawn_options *options);

/* A task of `group` begins, or has ended; not called for the normal group, which is NULL. */
void rota__schedule_join(struct rota_reactor *reactor, struct rota_group *group);
void rota__schedule_leave(struct rota_reactor *reactor, struct rota_group *group);

#endif /* ROTA_FRAMEWORK_SCHEDULE_H */
