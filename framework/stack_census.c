/* SPDX-License-Identifier: MIT */
/*
 * The stack census: how much of their stacks the tasks spawned at one place have needed. Belongs to
 * a reactor.
 *
 * Only a task that ends on a stack whose pages were cold before it says something, because pages
 * stay; looking takes a system call, so it is done for the first of a site's and then for one in
 * CENSUS_INTERVAL. (Counted per site, or sites that take turns would be missed.) A task that runs
 * on a warm stack pays for one look at a flag.
 */
#include <inttypes.h>

#include <rota/log.h>

#include "framework/reactor_internal.h"

/* Of a site's tasks that end on a fresh stack, one in so many is looked at. A guess. */
#define CENSUS_INTERVAL 16

/* The site's entry, a free one that becomes its own, or NULL when all are taken. */
static struct rota_stack_census *find_entry(struct rota_reactor *reactor,
					    const struct rota_site *site)
{
	size_t start = (uintptr_t)site / sizeof(*site) % CENSUS_SITES;

	for (size_t i = 0; i < CENSUS_SITES; i++) {
		struct rota_stack_census *entry = &reactor->census[(start + i) % CENSUS_SITES];

		if (!entry->site)
			entry->site = site;
		if (entry->site == site)
			return entry;
	}
	return NULL;
}

void rota__stack_census_take(struct rota_reactor *reactor, const struct rota_task *task)
{
	struct rota_stack_census *entry = find_entry(reactor, task->site);
	size_t used_bytes;

	if (!entry || entry->fresh_count++ % CENSUS_INTERVAL)
		return;
	used_bytes = rota__stack_used_bytes(task);
	entry->samples++;
	entry->stack_bytes = rota_max_size(entry->stack_bytes, rota__stack_bytes(task));
	entry->used_bytes_max = rota_max_size(entry->used_bytes_max, used_bytes);
}

void rota_stack_census_each(const struct rota_reactor *reactor,
			    void (*each)(const struct rota_stack_census *entry, void *arg),
			    void *arg)
{
	for (size_t i = 0; i < CENSUS_SITES; i++)
		if (reactor->census[i].site)
			each(&reactor->census[i], arg);
}

static void log_entry(const struct rota_stack_census *entry, void *arg)
{
	const struct rota_reactor *reactor = arg;

	rota_log(ROTA_LOG_INFO,
		 "stacks of reactor %u: %s (%s:%d) used at most %zu of %zu KiB in %" PRIu64
		 " sample(s)",
		 reactor->index, entry->site->what, entry->site->file, entry->site->line,
		 entry->used_bytes_max / 1024, entry->stack_bytes / 1024, entry->samples);
}

void rota_stack_census_log(const struct rota_reactor *reactor)
{
	rota_stack_census_each(reactor, log_entry, (void *)(uintptr_t)reactor);
}
