/* SPDX-License-Identifier: MIT */
/*
 * Circles of tasks that wait for each other: for a mutex one of them holds, for another's end, for
 * a call it runs, for the tasks of a scope. What has no owner (channels, events, plain futures)
 * cannot be followed.
 */
#ifndef ROTA_APPS_ROTA_DEADLOCK_H
#define ROTA_APPS_ROTA_DEADLOCK_H

#include "apps/rota/about.h"

/* Circles reported of one snapshot; and tasks in one. */
#define DEADLOCKS_MAX 16
#define DEADLOCK_TASKS_MAX 256

/* Each of `tasks` (indices, borrowed) waits for the next, the last for the first. */
typedef void (*deadlock_fn)(struct snapshot *snapshot, const uint32_t tasks[], unsigned count,
			    void *arg);

/*
 * Call `found` for each circle that still stands when it is looked at again, so none is reported
 * that was seen only because things changed meanwhile. Returns how many, or -ENOMEM.
 */
int deadlocks_find(struct snapshot *snapshot, deadlock_fn found, void *arg);

/* `deadlock: task 3 "a" waits for … held by task 4 "b", which waits for …` */
void say_deadlock(struct snapshot *snapshot, const uint32_t tasks[], unsigned count,
		  struct text *text);

#endif /* ROTA_APPS_ROTA_DEADLOCK_H */
