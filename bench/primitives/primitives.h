/* SPDX-License-Identifier: MIT */
/*
 * The same small works in several systems: a program per system lists those it can do, and does the
 * one that is asked for. bench/primitives/compare.py runs them in turn.
 *
 * The one idea: a work runs in a process of its own, for a fixed time or once, and says one figure:
 * what an operation costs in nanoseconds, or what a task needs in bytes.
 */
#ifndef BENCH_PRIMITIVES_H
#define BENCH_PRIMITIVES_H

#include <stdbool.h>
#include <stdint.h>

/* How many operations between two looks at the clock. */
#define BATCH 1000
/* Tasks that sleep to be cancelled, and timers that are armed while another is measured. */
#define MANY 100000
/* Tasks that are cancelled where every system is to keep up. */
#define SOME 5000
#define MILLION 1000000
#define HOUR_S 3600

/* Which clock: of this process's processor time, or on the wall where two threads wait in turn. */
enum primitive_clock { PROCESSOR, WALL };

struct primitive_run;

struct primitive {
	const char *name; /* as in compare.py */
	void (*fn)(struct primitive_run *run);
	enum primitive_clock clock;
};

/* Defined by the system's file; ends with a NULL name. */
extern const struct primitive primitive_list[];

/* True while another batch of `operations` is to be run; the figure is the time of one of them. */
bool primitive_next(struct primitive_run *run, int64_t operations);

/* For what is done once: from start to end, the time of one of `operations`. */
void primitive_start(struct primitive_run *run);
void primitive_end(struct primitive_run *run, int64_t operations);

/* For memory: from primitive_start to here, the resident bytes of each of `count`. */
void primitive_end_memory(struct primitive_run *run, int64_t count);

/* It cannot be done here, as `reason` says: ends the process. */
_Noreturn void primitive_skip(const char *reason);

#endif /* BENCH_PRIMITIVES_H */
