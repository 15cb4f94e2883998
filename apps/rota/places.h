/* SPDX-License-Identifier: MIT */
/*
 * Where in the source an address of code is, and the stacks of suspended tasks. Names and lines
 * come from the target's files, through elfutils; without debug information there are functions and
 * offsets.
 */
#ifndef ROTA_APPS_ROTA_PLACES_H
#define ROTA_APPS_ROTA_PLACES_H

#include "apps/rota/target.h"

/* Functions that may be inlined in one place; the outer ones beyond are left out. */
#define PLACE_INLINES_MAX 8

/* Frames of one stack that are looked at. */
#define STACK_FRAMES_MAX 64

/* One function at one place in it. */
struct frame {
	const char *function; /* "prog+0x1234" where there is no name; borrowed from the places */
	const char *file;     /* NULL: not known */
	int line;
	bool is_framework; /* rota's own, or the C library's; not the user's */
};

/* Where an address is: the innermost function first, those it is inlined in behind it. */
struct place {
	uint64_t pc;
	uint32_t index;
	struct frame frames[PLACE_INLINES_MAX];
	unsigned count;
};

struct Dwfl;
struct places;

/* elfutils' session over the target's files; NULL: none. The caller's to end. */
struct Dwfl *places_open_dwfl(const struct target *target);

/* Borrows `target`. NULL: no memory. */
struct places *places_create(struct target *target);
void places_destroy(struct places *places);

struct target *places_target(const struct places *places);

/*
 * Where the call before return address `pc` stands. Borrowed as long as the places. Never NULL:
 * what is not known has a name nevertheless.
 */
const struct place *places_find(struct places *places, uint64_t pc);

/* A frame of a place as a number, for those who keep many; and back. 0: not known. */
uint32_t places_spot(const struct place *place, unsigned frame);
const struct frame *places_at(const struct places *places, uint32_t spot);

/*
 * Return addresses on the stack of a suspended task, innermost first, at most `max`. If it waits
 * inside generators, theirs come first; generators[i] is then the one that frame i belongs to, 0
 * for the task's own; `generators` may be NULL. Returns how many.
 */
unsigned stack_walk(struct target *target, uint64_t task, uint64_t pcs[], uint64_t generators[],
		    unsigned max);

/* The same for a thread that runs, from its registers. At least 1 if `max` is. */
unsigned stack_unwind(struct target *target, const struct target_thread *thread, uint64_t pcs[],
		      unsigned max);

/* The same for a task that runs: finds its thread, which is stopped for a moment if it is live. */
unsigned stack_walk_running(struct target *target, uint64_t task, uint64_t pcs[], unsigned max);

/*
 * The frame that a user would call the place where `task` is suspended, as a spot: the first that
 * is not of the framework. Or, of a core file's, where it runs.
 */
uint32_t stack_user_spot(struct places *places, uint64_t task, bool is_running);

#endif /* ROTA_APPS_ROTA_PLACES_H */
