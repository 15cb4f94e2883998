/* SPDX-License-Identifier: MIT */
/*
 * The ways to show a snapshot. All write to standard output.
 */
#ifndef ROTA_APPS_ROTA_SHOW_H
#define ROTA_APPS_ROTA_SHOW_H

#include "apps/rota/deadlock.h"

struct show_options {
	bool all;         /* every task, also when many are alike */
	bool stacks;      /* with the stacks of those that are suspended */
	bool once;        /* top: one table, not one after the other */
	int64_t delay_ns; /* top: between two looks */
};

/* Each returns how many deadlocks there are, or negative errno. */
int show_ps(struct snapshot *snapshot, const struct show_options *options);
int show_tree(struct snapshot *snapshot, const struct show_options *options);
int show_json(struct snapshot *snapshot, const struct show_options *options);

/*
 * What uses the processor, look after look, until the process has ended. Returns 0 or negative
 * errno.
 */
int show_top(struct target *target, struct places *places, const struct show_options *options);

/* `process 12 (name): 2 reactors, 7 tasks`. */
void show_head(struct snapshot *snapshot);

/* A stack, `indent` columns in. */
void show_stack(struct snapshot *snapshot, const struct seen_task *task, int indent);

/* The deadlocks, and what was left out; returns how many deadlocks, or -ENOMEM. */
int show_tail(struct snapshot *snapshot);

#endif /* ROTA_APPS_ROTA_SHOW_H */
