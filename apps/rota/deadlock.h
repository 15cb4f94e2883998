/* SPDX-License-Identifier: MIT */
/*
 * Tasks that wait for each other and for nobody else: for a mutex one of them holds, for another's
 * end, for a call it runs, for the tasks of a scope; of several futures, each leads back to them.
 * What has no owner (channels, events, plain futures) may always come.
 */
#ifndef ROTA_APPS_ROTA_DEADLOCK_H
#define ROTA_APPS_ROTA_DEADLOCK_H

#include "apps/rota/waits.h"

/* Reported of one snapshot; and tasks named of one. */
#define DEADLOCKS_MAX 16
#define DEADLOCK_TASKS_MAX 32

struct deadlock {
	/*
	 * Indices. A circle, in which each waits for the next and the last for the first, if one is
	 * deadlocked by itself; else all that are, as far as there is room.
	 */
	uint32_t tasks[DEADLOCK_TASKS_MAX];
	unsigned count;
	uint32_t more; /* others that are stuck with them, and they with those */
};

typedef void (*deadlock_fn)(struct snapshot *snapshot, const struct deadlock *deadlock, void *arg);

/*
 * Call `found` for each that still stands when it is looked at again, so none is reported that was
 * seen only because things changed meanwhile. Returns how many, or -ENOMEM.
 */
int deadlocks_find(struct snapshot *snapshot, deadlock_fn found, void *arg);

/* `deadlock: task 3 "a" waits for … held by task 4 "b", which waits for …` */
void say_deadlock(struct snapshot *snapshot, const struct deadlock *deadlock, struct text *text);

#endif /* ROTA_APPS_ROTA_DEADLOCK_H */
