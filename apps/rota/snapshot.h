/* SPDX-License-Identifier: MIT */
/*
 * All reactors and tasks of a target as they are at one look: what ps, tree and top show. The walk
 * goes from each reactor's root scope to its tasks, to the scopes they have open, to those' tasks;
 * what it passes is checked, so it ends on any memory.
 *
 * The one idea: a record per task, in the order of the tree, each before its children. What is not
 * in a record is read again when it is shown.
 */
#ifndef ROTA_APPS_ROTA_SNAPSHOT_H
#define ROTA_APPS_ROTA_SNAPSHOT_H

#include "apps/rota/places.h"

/* Records kept (of 128 bytes); more tasks are counted only. */
#define SNAPSHOT_TASKS_MAX (UINT32_C(1) << 22)

/* Open scopes of one task that are followed; tasks below each other. */
#define SNAPSHOT_SCOPES_MAX 1024
#define SNAPSHOT_DEPTH_MAX 4096

#define SNAPSHOT_REACTORS_MAX 4096

/* Scheduling groups of one reactor. */
#define SNAPSHOT_GROUPS_MAX 16

#define NO_TASK UINT32_MAX

enum seen_state { SEEN_READY, SEEN_RUNS, SEEN_WAITS, SEEN_ENDED, SEEN_STATE_COUNT };

struct seen_task {
	uint64_t address;
	uint64_t id;
	uint64_t name; /* address of the text */
	uint64_t site;
	uint64_t owner;  /* the scope it was spawned into */
	uint64_t scope;  /* its innermost open one */
	uint64_t result; /* its result's future, 0 */
	uint64_t arg;
	uint64_t group;    /* its scheduling group; 0: the normal one */
	uint64_t future;   /* waits: the first pending one, 0: none that is known */
	uint64_t cpu_ns;   /* what it has used; 0: not known */
	int64_t since;     /* waits: since when; else when it last did */
	uint32_t parent;   /* whose scope it is in; NO_TASK: the reactor's own */
	uint32_t end;      /* the first record behind those below it */
	uint32_t spot;     /* where it waits; places_at */
	uint32_t pending;  /* futures it waits for that are not done */
	uint32_t needed;   /* of them, it goes on when so many are */
	uint32_t reactor;  /* index into reactors */
	uint16_t depth;    /* 0: in the reactor's own scope */
	uint8_t kind;      /* of `future` */
	uint8_t state;     /* enum seen_state */
	bool is_cancelled; /* a scope around it is, or its deadline has passed */
	bool is_in_generator;
};

/* A scheduling group in use. */
struct seen_group {
	uint64_t address;
	uint64_t name; /* address of the text */
	uint32_t shares;
	uint64_t tasks;
	uint64_t cpu_ns;
};

struct seen_reactor {
	uint64_t address;
	uint32_t index;
	uint32_t first, end; /* its records */
	uint64_t current;    /* the running task, 0 */
	int64_t now;         /* when its turn began; its clock, if it is simulated */
	uint64_t turns, switches;
	uint64_t enters, completions;                  /* its engine's */
	int64_t cpu_ns;                                /* its thread's; -1: not known */
	struct seen_group groups[SNAPSHOT_GROUPS_MAX]; /* the normal one first */
	unsigned groups_count;
	uint64_t more; /* tasks beyond the records */
	bool is_open, is_stopping, is_simulated, is_sleeping;
	bool is_incomplete; /* it changed under our eyes, or is damaged */
};

struct snapshot {
	struct target *target;
	struct places *places;
	struct seen_reactor *reactors;
	uint32_t reactors_count;
	struct seen_task *tasks;
	uint32_t tasks_count;
	uint32_t tasks_room_;
	struct level *levels_; /* snapshot.c: the walk's */
	uint32_t *by_address;  /* indices of tasks, sorted; NULL: not made yet */
	uint32_t *by_result;
	uint32_t *by_arg;
};

/* Borrows `target` and `places`. Returns 0 or -ENOMEM; then there is nothing to give back. */
int snapshot_take(struct snapshot *snapshot, struct target *target, struct places *places);
void snapshot_drop(struct snapshot *snapshot);

/* Its scheduling group; NULL: the normal one, or none that is known. Borrowed. */
const struct seen_group *snapshot_group_of(const struct snapshot *snapshot,
					   const struct seen_task *task);

/* Whether tasks are, or were, in another than the normal one. */
bool snapshot_uses_groups(const struct seen_reactor *reactor);

/* The task at an address, NO_TASK. */
uint32_t snapshot_task_at(struct snapshot *snapshot, uint64_t address);
/* The task whose result goes to the future at an address, NO_TASK. */
uint32_t snapshot_task_of_result(struct snapshot *snapshot, uint64_t future);
/* The task that runs with `arg`, on another reactor for a call; NO_TASK. */
uint32_t snapshot_task_of_arg(struct snapshot *snapshot, uint64_t arg);

/* The clock that a reactor's times are to be compared with; a core's: when its turn began. */
int64_t snapshot_now(const struct snapshot *snapshot, const struct seen_reactor *reactor);

/* reactor.c, for the walk: all but what the walk itself finds. */
void snapshot_look_at_reactor(struct target *target, uint64_t address,
			      struct seen_reactor *reactor);

#endif /* ROTA_APPS_ROTA_SNAPSHOT_H */
