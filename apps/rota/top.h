/* SPDX-License-Identifier: MIT */
/*
 * Two looks at one target, some time apart, and tables of what has changed between them. Every
 * table is written to standard output.
 */
#ifndef ROTA_APPS_ROTA_TOP_H
#define ROTA_APPS_ROTA_TOP_H

#include "apps/rota/bunches.h"
#include "apps/rota/show.h"

/* A look: what is compared with the next one. */
struct look {
	struct snapshot snapshot;
	struct bunches bunches;
	int64_t at; /* 0: there was none */
};

/*
 * Reactors: processor time and turns, how often the engine entered the kernel, and what it brought.
 * Groups, if there is more than the normal one. The tasks that used most. Each returns
 * how many lines it wrote. `before`: with at 0 if there was no look before.
 */
unsigned top_show_reactors(struct look *look, const struct look *before);
unsigned top_show_groups(struct look *look, const struct look *before);
unsigned top_show_tasks(struct look *look, struct look *before);

/*
 * Tasks by where they were spawned, at most `rows_max` of the places. Returns 0 or -ENOMEM.
 */
int top_show_sites(struct look *look, const struct look *before, unsigned rows_max);

#endif /* ROTA_APPS_ROTA_TOP_H */
