/* SPDX-License-Identifier: MIT */
/*
 * Groups: who gets how much of a reactor's processor time. Every task is in one group of its
 * reactor; while tasks of several groups are ready, the groups share the time in proportion to
 * their shares, so background work cannot starve requests, nor they it. Thread: the reactor's.
 *
 * The one idea: a group is charged what its tasks use, divided by its shares, and the group charged
 * least runs next. Priorities are nothing else: three groups every reactor has, with shares far
 * apart. A group that was idle has saved nothing: it begins where the others are. Cooperative, like
 * all of it: a task that computes for long has to ask rota_should_yield() (<rota/task.h>).
 */
#ifndef ROTA_GROUP_H
#define ROTA_GROUP_H

#include <rota/base.h>
#include <rota/task.h>
#include <rota/time.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rota_group;

/* Groups a reactor can have at once, the three of the priorities included. */
#define ROTA_GROUPS_MAX 16

/* What the priorities stand for: urgent : normal : low is 100 : 10 : 1. */
#define ROTA_SHARES_URGENT 10000
#define ROTA_SHARES_NORMAL 1000
#define ROTA_SHARES_LOW 100
#define ROTA_SHARES_MAX 1000000

/*
 * Make a group on the current reactor. It lives until rota_group_destroy or the reactor's end.
 *
 * name      static, or as long-lived as the group.
 * shares    1 to ROTA_SHARES_MAX; they count relative to those of the groups that have work.
 * Returns   0 and `*out` (borrowed from the reactor), -EINVAL (shares), or -EMFILE
 *           (ROTA_GROUPS_MAX exist).
 * Suspends  no. Thread: the reactor's, task or callback.
 */
ROTA_API ROTA_MUST_USE int rota_group_create(const char *name, uint32_t shares,
					     struct rota_group **out);

/*
 * Give a group back: no task and no listener is in it, and it is none of the priorities'
 * (asserted). Never suspends.
 */
ROTA_API void rota_group_destroy(struct rota_group *group);

/* Change its shares from now on. Returns 0 or -EINVAL. Never suspends. */
ROTA_API ROTA_MUST_USE int rota_group_set_shares(struct rota_group *group, uint32_t shares);

/* The current reactor's group of a priority; ROTA_PRIORITY_INHERIT: the current task's group. */
ROTA_API struct rota_group *rota_group_of(enum rota_priority priority);

/* Counters since it was made. */
struct rota_group_stats {
	/* times its tasks ran, and for how long; in the simulator a run counts as 2 us */
	uint64_t runs;
	uint64_t cpu_ns;
	/* how long some task of it was ready while those of other groups ran */
	uint64_t ready_ns;
	uint64_t tasks_alive;
	const char *name; /* borrowed from the group */
	uint32_t shares;
};

/* Copy the counters to `out`. */
ROTA_API void rota_group_stats(const struct rota_group *group, struct rota_group_stats *out);

/* Call `each` for every group of the current reactor, the normal one first; it may not suspend. */
ROTA_API void rota_group_each(void (*each)(struct rota_group *group, void *arg), void *arg);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_GROUP_H */
