/* SPDX-License-Identifier: MIT */
/*
 * The tables of rota top. A reactor's CPU% is its thread's, from the kernel. The TIME% of groups
 * and tasks is as the reactor counts it: what passed between two looks of its at the clock is
 * charged to the task that ran last. So it has in it what other programs took of the processor
 * meanwhile; a short task may be charged for its neighbours, and over many looks that evens out.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rota/base.h>

#include "apps/rota/top.h"

/* Lines of the table of tasks. */
#define TASKS_SHOWN 10

/* ---- rates ---- */

static int64_t ns_from(const struct look *before, const struct look *look)
{
	return before->at ? look->at - before->at : 0;
}

/* What was counted since; a counter that has gone back is another's. */
static uint64_t since(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static double per_second(uint64_t count, int64_t ns)
{
	return ns > 0 ? (double)count * 1e9 / (double)ns : 0;
}

static double percent(uint64_t cpu_ns, int64_t ns)
{
	return per_second(cpu_ns, ns) / 1e7;
}

static const struct seen_reactor *reactor_before(const struct look *before, uint64_t address)
{
	for (uint32_t i = 0; before->at && i < before->snapshot.reactors_count; i++)
		if (before->snapshot.reactors[i].address == address)
			return &before->snapshot.reactors[i];
	return NULL;
}

/* What the tasks of a site have used since; who has ended meanwhile is not counted. */
static uint64_t cpu_since(const struct look *before, const struct bunch *bunch)
{
	for (uint32_t i = 0; before->at && i < before->bunches.count; i++)
		if (before->bunches.bunches[i].site == bunch->site)
			return since(bunch->cpu_ns, before->bunches.bunches[i].cpu_ns);
	return before->at ? bunch->cpu_ns : 0;
}

/* ---- reactors ---- */

/* Its rates since `then`; nothing if it was not there. */
static void show_rates(const struct seen_reactor *reactor, const struct seen_reactor *then,
		       int64_t ns)
{
	uint64_t enters = then ? since(reactor->enters, then->enters) : 0;
	uint64_t completions = then ? since(reactor->completions, then->completions) : 0;
	struct text cpu = { 0 }, each = { 0 };

	if (!then || ns <= 0) {
		printf("%6s  %8s  %10s  %8s  %9s", "", "", "", "", "");
		return;
	}
	if (reactor->cpu_ns >= 0 && then->cpu_ns >= 0)
		text_add(&cpu, "%.1f",
			 percent(since((uint64_t)reactor->cpu_ns, (uint64_t)then->cpu_ns), ns));
	if (enters)
		text_add(&each, "%.1f", (double)completions / (double)enters);
	printf("%6s  %8.0f  %10.0f  %8.0f  %9s", cpu.data,
	       per_second(since(reactor->turns, then->turns), ns),
	       per_second(since(reactor->switches, then->switches), ns), per_second(enters, ns),
	       each.data);
}

unsigned top_show_reactors(struct look *look, const struct look *before)
{
	int64_t ns = ns_from(before, look);

	printf("REACTOR    CPU%%   TURNS/S  SWITCHES/S  ENTERS/S  PER ENTER     TASKS\n");
	for (uint32_t i = 0; i < look->snapshot.reactors_count; i++) {
		const struct seen_reactor *reactor = &look->snapshot.reactors[i];
		struct text text = { 0 };

		say_reactor(&look->snapshot, reactor, &text);
		printf("%7" PRIu32 "  ", reactor->index);
		show_rates(reactor, reactor_before(before, reactor->address), ns);
		printf("  %8" PRIu64 "  %s\n", reactor->end - reactor->first + reactor->more,
		       text.data);
	}
	return look->snapshot.reactors_count + 1;
}

/* ---- scheduling groups ---- */

static uint64_t group_cpu_since(const struct seen_reactor *then, const struct seen_group *group)
{
	for (unsigned i = 0; then && i < then->groups_count; i++)
		if (then->groups[i].address == group->address)
			return since(group->cpu_ns, then->groups[i].cpu_ns);
	return 0;
}

static unsigned show_groups_of(struct target *target, const struct seen_reactor *reactor,
			       const struct seen_reactor *then, int64_t ns)
{
	char name[TARGET_TEXT_BYTES];
	unsigned rows = 0;

	for (unsigned i = 0; i < reactor->groups_count; i++) {
		const struct seen_group *group = &reactor->groups[i];
		uint64_t cpu_ns = group_cpu_since(then, group);

		if (!group->tasks && !cpu_ns)
			continue;
		target_text(target, group->name, name, sizeof(name));
		printf("%7" PRIu32 "  %6.1f  %8" PRIu32 "  %8" PRIu64 "  %s\n", reactor->index,
		       percent(cpu_ns, ns), group->shares, group->tasks, name);
		rows++;
	}
	return rows;
}

unsigned top_show_groups(struct look *look, const struct look *before)
{
	bool any = false;
	unsigned rows = 1;

	for (uint32_t i = 0; i < look->snapshot.reactors_count; i++)
		any |= snapshot_uses_groups(&look->snapshot.reactors[i]);
	if (!any)
		return 0;
	printf("REACTOR   TIME%%    SHARES     TASKS  GROUP\n");
	for (uint32_t i = 0; i < look->snapshot.reactors_count; i++) {
		const struct seen_reactor *reactor = &look->snapshot.reactors[i];

		rows += show_groups_of(look->snapshot.target, reactor,
				       reactor_before(before, reactor->address),
				       ns_from(before, look));
	}
	return rows;
}

/* ---- tasks ---- */

struct busy {
	uint32_t task;
	uint64_t cpu_ns;
};

static uint64_t task_cpu_since(struct look *before, const struct seen_task *task)
{
	uint32_t then = snapshot_task_at(&before->snapshot, task->address);

	if (then == NO_TASK || before->snapshot.tasks[then].id != task->id)
		return task->cpu_ns; /* it was spawned meanwhile */
	return since(task->cpu_ns, before->snapshot.tasks[then].cpu_ns);
}

/* Insert what used more than the last of them; returns how many there are. */
static unsigned insert(struct busy *busy, unsigned count, struct busy one)
{
	unsigned at = count < TASKS_SHOWN ? count : TASKS_SHOWN - 1;

	if (count == TASKS_SHOWN && busy[at].cpu_ns >= one.cpu_ns)
		return count;
	for (; at > 0 && busy[at - 1].cpu_ns < one.cpu_ns; at--)
		busy[at] = busy[at - 1];
	busy[at] = one;
	return count < TASKS_SHOWN ? count + 1 : count;
}

static void show_task(struct look *look, const struct busy *busy, int64_t ns)
{
	struct snapshot *snapshot = &look->snapshot;
	const struct seen_task *task = &snapshot->tasks[busy->task];
	char name[TARGET_TEXT_BYTES];
	struct text state = { 0 };

	about_name(snapshot->target, task, name);
	say_state(snapshot, task, &state);
	printf("%7" PRIu32 "  %6.1f  %8" PRIu64 "  %-20s  %s\n",
	       snapshot->reactors[task->reactor].index, percent(busy->cpu_ns, ns), task->id, name,
	       state.data);
}

unsigned top_show_tasks(struct look *look, struct look *before)
{
	struct busy busy[TASKS_SHOWN];
	unsigned count = 0;

	for (uint32_t i = 0; before->at && i < look->snapshot.tasks_count; i++) {
		const struct seen_task *task = &look->snapshot.tasks[i];
		struct busy one = { i, task->cpu_ns ? task_cpu_since(before, task) : 0 };

		if (one.cpu_ns)
			count = insert(busy, count, one);
	}
	if (!count)
		return 0;
	printf("REACTOR   TIME%%      TASK  NAME\n");
	for (unsigned i = 0; i < count; i++)
		show_task(look, &busy[i], ns_from(before, look));
	return count + 1;
}

/* ---- sites ---- */

/* The most stack that a task of this site has been seen to use; 0: none was looked at. */
static uint64_t stack_of(const struct snapshot *snapshot, uint64_t site)
{
	const struct layout *layout = &snapshot->target->layout;
	uint64_t used_bytes = 0;

	if (layout->reactor_census == LAYOUT_ABSENT || layout->census_bytes == LAYOUT_ABSENT)
		return 0;
	for (uint32_t i = 0; i < snapshot->reactors_count; i++) {
		uint64_t entry = snapshot->reactors[i].address + layout->reactor_census;

		for (uint64_t j = 0; j < layout->census_count && j < BUNCHES_MAX;
		     j++, entry += layout->census_bytes)
			if (target_u64(snapshot->target, entry, layout->census_site) == site)
				used_bytes = rota_max_size(
					used_bytes, target_u64(snapshot->target, entry,
							       layout->census_used_bytes_max));
	}
	target_faulted(snapshot->target);
	return used_bytes;
}

struct row {
	const struct bunch *bunch;
	uint64_t cpu_ns;
};

static int compare_rows(const void *left, const void *right)
{
	const struct row *a = left, *b = right;

	if (a->cpu_ns != b->cpu_ns)
		return a->cpu_ns > b->cpu_ns ? -1 : 1;
	if (a->bunch->count != b->bunch->count)
		return a->bunch->count > b->bunch->count ? -1 : 1;
	return a->bunch < b->bunch ? -1 : a->bunch > b->bunch;
}

static void show_row(struct look *look, const struct row *row, int64_t ns)
{
	uint64_t stack = stack_of(&look->snapshot, row->bunch->site);
	struct text what = { 0 }, site = { 0 }, cpu = { 0 }, used = { 0 };

	say_what(look->snapshot.target, row->bunch->site, &what);
	say_site(look->snapshot.target, row->bunch->site, &site);
	if (look->snapshot.target->layout.task_cpu_ns != LAYOUT_ABSENT)
		text_add(&cpu, "%.1f", percent(row->cpu_ns, ns));
	if (stack)
		text_add(&used, "%" PRIu64 " KiB", stack / 1024);
	printf("%8s  %9" PRIu64 "  %7" PRIu64 "  %8s  %-20s  %s\n", ns ? cpu.data : "",
	       row->bunch->count, row->bunch->ready, used.data, what.data, site.data);
}

int top_show_sites(struct look *look, const struct look *before, unsigned rows_max)
{
	int64_t ns = ns_from(before, look);
	uint32_t count = look->bunches.count;
	struct row *rows = calloc((size_t)count + 1, sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		rows[i].bunch = &look->bunches.bunches[i];
		rows[i].cpu_ns = cpu_since(before, rows[i].bunch);
	}
	qsort(rows, count, sizeof(*rows), compare_rows);
	printf("   TIME%%      TASKS    READY     STACK  TASK                  SPAWNED AT\n");
	for (uint32_t i = 0; i < count && i < rows_max; i++)
		show_row(look, &rows[i], ns);
	if (count > rows_max)
		printf("... and %" PRIu32 " more sites\n", count - rows_max);
	free(rows);
	return 0;
}
