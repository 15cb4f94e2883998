/* SPDX-License-Identifier: MIT */
/*
 * What there is to say about a task: its names, what it waits for and who could end that wait, its
 * deadline, why it is cancelled, its stack. Read from the target when it is asked for.
 */
#ifndef ROTA_APPS_ROTA_ABOUT_H
#define ROTA_APPS_ROTA_ABOUT_H

#include "apps/rota/snapshot.h"
#include "apps/rota/text.h"

/* A place where something was spawned or cancelled. */
struct site {
	char file[TARGET_TEXT_BYTES];
	char function[TARGET_TEXT_BYTES];
	char what[TARGET_TEXT_BYTES];
	int line;
};

/* A wait, in parts. */
struct wait {
	const char *kind; /* as the table of offsets names it: "mutex"; "" for none */
	uint64_t object;  /* the mutex, the channel …; for others their future; 0: none */
	uint32_t holder;  /* the task that has to do something first; NO_TASK: unknown */
	uint64_t scope;   /* the scope whose tasks have to end first; 0: no scope is waited for */
	int64_t due;      /* a timer's; INT64_MAX: never, or no timer */
	int fd;           /* an operation's; -1: none */
	uint64_t call_to; /* a call's: the address of the other reactor */
	uint64_t call;    /* an offloaded call's: the address of the function; 0: not known */
	uint64_t cases;   /* a select's: how many; others: no matter */
};

/* False if there is none at `address`, or it cannot be read; it is empty then. */
bool about_site(struct target *target, uint64_t address, struct site *site);

/* Its name, "" if it cannot be read. */
void about_name(struct target *target, const struct seen_task *task, char name[TARGET_TEXT_BYTES]);

/* What a wait for the future at `future`, of this `kind`, is about. */
void about_future(struct snapshot *snapshot, uint64_t future, uint8_t kind, struct wait *wait);

/* The innermost cancelled scope's reason around `task`, as a sentence; nothing if there is none. */
void about_cancel(struct target *target, const struct seen_task *task, struct text *text);

/*
 * The earliest deadline around it; INT64_MAX: none. `*site`: of the scope that set it; 0: not
 * known.
 */
int64_t about_deadline(struct target *target, const struct seen_task *task, uint64_t *site);

/* The site of the innermost shield it has open; 0: none, or not known. */
uint64_t about_shield(struct target *target, const struct seen_task *task);

/* False, and no name, if it is in the normal scheduling group, or that is not known. */
bool about_group(const struct snapshot *snapshot, const struct seen_task *task,
		 char name[TARGET_TEXT_BYTES]);

/* How much of its stack has been touched, and how much there is; false: cannot be known. */
bool about_stack(struct target *target, const struct seen_task *task, uint64_t *used_bytes,
		 uint64_t *bytes);

/* What descriptor `fd` of a live target is: "tcp 127.0.0.1:80 to 127.0.0.1:4711", a path … */
void about_descriptor(struct target *target, int fd, struct text *text);

/* ---- as sentences ---- */

/* `task 3 "b"`, and ` on reactor 1` if that is not `reactor`. */
void say_task(struct snapshot *snapshot, uint32_t index, uint32_t reactor, struct text *text);

/* `file.c:12`, and ` (function)`. */
void say_frame(const struct frame *frame, struct text *text);
void say_site(struct target *target, uint64_t address, struct text *text);
/* What was spawned there, `?` if that is not known. */
void say_what(struct target *target, uint64_t address, struct text *text);

/* What a task waits for: `mutex 0x7f… held by task 3 "b"`. */
void say_wait(struct snapshot *snapshot, const struct seen_task *task, const struct wait *wait,
	      struct text *text);

/* All that it waits for: `the end of task 3 "b" or a timer, due in 2 s`. */
void say_waits(struct snapshot *snapshot, const struct seen_task *task, struct text *text);

/*
 * What it does: `waits in f (a.c:3) for a timer, due in 2 s; for 1.2 s`, `runs, for 3 s`, `is
 * ready` …
 */
void say_state(struct snapshot *snapshot, const struct seen_task *task, struct text *text);

/* What the reactor does: `waits for events`, `runs task 3 "b" for 4.5 s` … */
void say_reactor(struct snapshot *snapshot, const struct seen_reactor *reactor, struct text *text);

#endif /* ROTA_APPS_ROTA_ABOUT_H */
