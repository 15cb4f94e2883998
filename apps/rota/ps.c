/* SPDX-License-Identifier: MIT */
/*
 * rota ps: how many tasks of which kind are where; or a line for each.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "apps/rota/bunches.h"
#include "apps/rota/show.h"

static const char *const states[SEEN_STATE_COUNT] = {
	[SEEN_READY] = "ready",
	[SEEN_RUNS] = "runs",
	[SEEN_WAITS] = "waits",
	[SEEN_ENDED] = "ended",
};

static const char *kind_of(const struct snapshot *snapshot, const struct seen_task *task)
{
	if (task->state != SEEN_WAITS)
		return "-";
	if (!task->future)
		return "work";
	return task->kind < LAYOUT_KINDS_MAX ? snapshot->target->layout.kinds[task->kind] : "?";
}

/* Where it waits, or nothing if it does not. */
static void say_spot(const struct snapshot *snapshot, const struct seen_task *task,
		     struct text *text)
{
	if (task->state == SEEN_WAITS)
		say_frame(places_at(snapshot->places, task->spot), text);
	else
		text_add(text, "-");
}

static void say_age(const struct snapshot *snapshot, const struct seen_task *task, int64_t since,
		    struct text *text)
{
	if (task->state == SEEN_WAITS)
		text_add_ns(text,
			    ns_between(since,
				       snapshot_now(snapshot, &snapshot->reactors[task->reactor])));
	else
		text_add(text, "-");
}

static void show_bunch(struct snapshot *snapshot, const struct bunch *bunch)
{
	const struct seen_task *task = &snapshot->tasks[bunch->first];
	struct text what = { 0 }, site = { 0 }, spot = { 0 }, age = { 0 };

	say_what(snapshot->target, bunch->site, &what);
	say_site(snapshot->target, bunch->site, &site);
	say_spot(snapshot, task, &spot);
	say_age(snapshot, task, bunch->since, &age);
	printf("%8" PRIu64 "  %-5s  %-15s  %7s  %-20s  %-36s  %s\n", bunch->count,
	       states[bunch->state], kind_of(snapshot, task), age.data, what.data, site.data,
	       spot.data);
}

static void show_one(struct snapshot *snapshot, uint32_t index, const struct show_options *options)
{
	const struct seen_task *task = &snapshot->tasks[index];
	struct text site = { 0 }, spot = { 0 }, age = { 0 };
	char name[TARGET_TEXT_BYTES];

	about_name(snapshot->target, task, name);
	say_site(snapshot->target, task->site, &site);
	say_spot(snapshot, task, &spot);
	say_age(snapshot, task, task->since, &age);
	printf("%7" PRIu32 "  %6" PRIu64 "  %-16s  %-5s  %-15s  %7s  %-36s  %s\n",
	       snapshot->reactors[task->reactor].index, task->id, name, states[task->state],
	       kind_of(snapshot, task), age.data, site.data, spot.data);
	if (options->stacks)
		show_stack(snapshot, task, 10);
}

int show_ps(struct snapshot *snapshot, const struct show_options *options)
{
	struct bunches *bunches = calloc(1, sizeof(*bunches));

	if (!bunches)
		return -ENOMEM;
	show_head(snapshot);
	if (options->all)
		printf("REACTOR    TASK  NAME              STATE  FOR              LONGEST  "
		       "SPAWNED AT                            WAITS AT\n");
	else
		printf("   TASKS  STATE  FOR              LONGEST  TASK                  "
		       "SPAWNED AT                            WAITS AT\n");
	for (uint32_t i = 0; i < snapshot->tasks_count; i++) {
		if (options->all)
			show_one(snapshot, i, options);
		else
			bunches_add(bunches, snapshot, i);
	}
	bunches_sort(bunches);
	for (uint32_t i = 0; i < bunches->count; i++) {
		show_bunch(snapshot, &bunches->bunches[i]);
		if (options->stacks)
			show_stack(snapshot, &snapshot->tasks[bunches->bunches[i].first], 10);
	}
	free(bunches);
	return show_tail(snapshot);
}
