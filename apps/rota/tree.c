/* SPDX-License-Identifier: MIT */
/*
 * rota tree: who spawned whom. Of tasks that are alike the first few are shown, with those they
 * stand below; the others are counted behind each reactor's tree.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "apps/rota/groups.h"
#include "apps/rota/show.h"

/* Of tasks that are alike. */
#define SHOWN_MAX 8

/* Columns; deeper ones are not moved further. */
#define INDENT_MAX 60

static void choose(struct snapshot *snapshot, const struct seen_reactor *reactor, bool all,
		   struct groups *groups, bool *is_shown)
{
	for (uint32_t i = reactor->first; i < reactor->end; i++)
		is_shown[i] = all || groups_add(groups, snapshot, i)->count <= SHOWN_MAX;
	for (uint32_t i = reactor->end; i-- > reactor->first;) {
		uint32_t parent = snapshot->tasks[i].parent;

		if (is_shown[i] && parent != NO_TASK)
			is_shown[parent] = true;
	}
}

static void show_limits(struct snapshot *snapshot, const struct seen_task *task, struct text *text)
{
	const struct seen_reactor *reactor = &snapshot->reactors[task->reactor];
	int64_t deadline = about_deadline(snapshot->target, task);
	int64_t now = snapshot_now(snapshot, reactor);
	uint64_t used_bytes, bytes;
	struct text reason = { 0 };

	if (deadline != INT64_MAX) {
		text_add(text, "; deadline %s", deadline > now ? "in " : "passed since ");
		text_add_ns(text,
			    deadline > now ? ns_between(now, deadline) : ns_between(deadline, now));
	}
	about_cancel(snapshot->target, task, &reason);
	if (task->is_cancelled)
		text_add(text, "; cancelled: %s", reason.data);
	if (task->cpu_ns) {
		text_add(text, "; CPU ");
		text_add_ns(text, (int64_t)task->cpu_ns);
	}
	if (about_stack(snapshot->target, task, &used_bytes, &bytes))
		text_add(text, "; stack %" PRIu64 " of %" PRIu64 " KiB", used_bytes / 1024,
			 bytes / 1024);
}

static void show_task(struct snapshot *snapshot, uint32_t index, bool stacks)
{
	const struct seen_task *task = &snapshot->tasks[index];
	int indent = 2 + 2 * task->depth < INDENT_MAX ? 2 + 2 * task->depth : INDENT_MAX;
	struct text text = { 0 };

	say_task(snapshot, index, task->reactor, &text);
	text_add(&text, " [");
	say_site(snapshot->target, task->site, &text);
	text_add(&text, "] ");
	say_state(snapshot, task, &text);
	show_limits(snapshot, task, &text);
	printf("%*s%s\n", indent, "", text.data);
	if (stacks)
		show_stack(snapshot, task, indent + 4);
}

static void show_hidden(struct snapshot *snapshot, const struct group *group)
{
	struct text text = { 0 };

	text_add(&text, "... and %" PRIu64 " more [", group->hidden);
	say_site(snapshot->target, group->site, &text);
	text_add(&text, "] like ");
	say_task(snapshot, group->first, snapshot->tasks[group->first].reactor, &text);
	text_add(&text, ", which ");
	say_state(snapshot, &snapshot->tasks[group->first], &text);
	printf("  %s\n", text.data);
}

static void show_reactor(struct snapshot *snapshot, const struct seen_reactor *reactor,
			 const struct show_options *options, struct groups *groups, bool *is_shown)
{
	struct text text = { 0 };

	*groups = (struct groups){ .count = 0 };
	choose(snapshot, reactor, options->all, groups, is_shown);
	say_reactor(snapshot, reactor, &text);
	printf("reactor %" PRIu32 " %s\n", reactor->index, text.data);
	for (uint32_t i = reactor->first; i < reactor->end; i++)
		if (is_shown[i])
			show_task(snapshot, i, options->stacks);
	if (options->all)
		return;
	for (uint32_t i = reactor->first; i < reactor->end; i++)
		if (!is_shown[i])
			groups_add(groups, snapshot, i)->hidden++;
	for (uint32_t i = 0; i < groups->count; i++)
		if (groups->groups[i].hidden)
			show_hidden(snapshot, &groups->groups[i]);
}

int show_tree(struct snapshot *snapshot, const struct show_options *options)
{
	struct groups *groups = malloc(sizeof(*groups));
	bool *is_shown = calloc((size_t)snapshot->tasks_count + 1, sizeof(*is_shown));
	int status = groups && is_shown ? 0 : -ENOMEM;

	if (status == 0) {
		show_head(snapshot);
		for (uint32_t i = 0; i < snapshot->reactors_count; i++)
			show_reactor(snapshot, &snapshot->reactors[i], options, groups, is_shown);
		status = show_tail(snapshot);
	}
	free(groups);
	free(is_shown);
	return status;
}
