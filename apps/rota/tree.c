/* SPDX-License-Identifier: MIT */
/*
 * rota tree: who spawned whom. Of tasks that are alike the first few are shown, with those they
 * stand below; the others are counted behind each reactor's tree.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/rota/bunches.h"
#include "apps/rota/show.h"

/* Of tasks that are alike. */
#define SHOWN_MAX 8

/* Columns; deeper ones are not moved further. */
#define INDENT_MAX 60

static void choose(struct snapshot *snapshot, const struct seen_reactor *reactor, bool all,
		   struct bunches *bunches, bool *is_shown)
{
	for (uint32_t i = reactor->first; i < reactor->end; i++)
		is_shown[i] = all || bunches_add(bunches, snapshot, i)->count <= SHOWN_MAX;
	for (uint32_t i = reactor->end; i-- > reactor->first;) {
		uint32_t parent = snapshot->tasks[i].parent;

		if (is_shown[i] && parent != NO_TASK)
			is_shown[parent] = true;
	}
}

static void say_deadline(struct snapshot *snapshot, const struct seen_task *task, struct text *text)
{
	int64_t now = snapshot_now(snapshot, &snapshot->reactors[task->reactor]);
	uint64_t site;
	int64_t deadline = about_deadline(snapshot->target, task, &site);

	if (deadline == INT64_MAX)
		return;
	text_add(text, "; deadline %s", deadline > now ? "in " : "passed since ");
	text_add_ns(text, deadline > now ? ns_between(now, deadline) : ns_between(deadline, now));
	if (site) {
		text_add(text, " of ");
		say_site(snapshot->target, site, text);
	}
}

static void show_limits(struct snapshot *snapshot, const struct seen_task *task, struct text *text)
{
	uint64_t used_bytes, bytes, shield = about_shield(snapshot->target, task);
	struct text reason = { 0 };
	char group[TARGET_TEXT_BYTES];

	say_deadline(snapshot, task, text);
	if (shield) {
		text_add(text, "; shielded by ");
		say_site(snapshot->target, shield, text);
	}
	about_cancel(snapshot->target, task, &reason);
	if (task->is_cancelled)
		text_add(text, "; cancelled: %s", reason.data);
	if (about_group(snapshot, task, group))
		text_add(text, "; group \"%s\"", group);
	if (task->cpu_ns) {
		text_add(text, "; CPU ");
		text_add_ns(text, (int64_t)task->cpu_ns);
	}
	if (about_stack(snapshot->target, task, &used_bytes, &bytes))
		text_add(text, "; stack %" PRIu64 " of %" PRIu64 " KiB", used_bytes / 1024,
			 bytes / 1024);
}

static int indent_of(const struct seen_task *task)
{
	return 2 + 2 * task->depth < INDENT_MAX ? 2 + 2 * task->depth : INDENT_MAX;
}

static void show_task(struct snapshot *snapshot, uint32_t index, bool stacks)
{
	const struct seen_task *task = &snapshot->tasks[index];
	int indent = indent_of(task);
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

/*
 * In which of its parent's scopes the tasks that follow are: said where the spawn site does not
 * tell, because the parent has several open, or opened it elsewhere than where they were spawned.
 */
static void show_scope(struct snapshot *snapshot, const struct seen_task *task)
{
	const struct seen_task *parent = &snapshot->tasks[task->parent];
	struct target *target = snapshot->target;
	uint64_t site = target_u64(target, task->owner, target->layout.scope_site);
	struct site opened, spawned;
	struct text text = { 0 };

	if (!about_site(target, site, &opened))
		return;
	if (target_u64(target, parent->scope, target->layout.scope_parent) == parent->owner &&
	    about_site(target, task->site, &spawned) &&
	    !strcmp(opened.function, spawned.function) && !strcmp(opened.file, spawned.file))
		return;
	say_site(target, site, &text);
	printf("%*sscope of %s%s\n", indent_of(task), "", text.data,
	       target_u8(target, task->owner, target->layout.scope_is_closing) ? ", closing" : "");
}

/* The scheduling groups, if there is more than the normal one. */
static void show_groups(struct snapshot *snapshot, const struct seen_reactor *reactor)
{
	char name[TARGET_TEXT_BYTES];

	if (!snapshot_uses_groups(reactor))
		return;
	for (unsigned i = 0; i < reactor->groups_count; i++) {
		const struct seen_group *group = &reactor->groups[i];
		struct text text = { 0 };

		if (!group->cpu_ns && !group->tasks)
			continue;
		target_text(snapshot->target, group->name, name, sizeof(name));
		text_add_ns(&text, group->cpu_ns < INT64_MAX ? (int64_t)group->cpu_ns : INT64_MAX);
		printf("  group \"%s\": %" PRIu32 " shares, %" PRIu64 " task%s, CPU %s\n", name,
		       group->shares, group->tasks, group->tasks == 1 ? "" : "s", text.data);
	}
}

static void show_hidden(struct snapshot *snapshot, const struct bunch *bunch)
{
	struct text text = { 0 };

	text_add(&text, "... and %" PRIu64 " more [", bunch->hidden);
	say_site(snapshot->target, bunch->site, &text);
	text_add(&text, "] like ");
	say_task(snapshot, bunch->first, snapshot->tasks[bunch->first].reactor, &text);
	text_add(&text, ", which ");
	say_state(snapshot, &snapshot->tasks[bunch->first], &text);
	printf("  %s\n", text.data);
}

static void show_reactor(struct snapshot *snapshot, const struct seen_reactor *reactor,
			 const struct show_options *options, struct bunches *bunches,
			 bool *is_shown)
{
	uint64_t scopes[SNAPSHOT_DEPTH_MAX + 2] = { 0 }; /* by depth: whose tasks came last */
	struct text text = { 0 };

	*bunches = (struct bunches){ .count = 0 };
	choose(snapshot, reactor, options->all, bunches, is_shown);
	say_reactor(snapshot, reactor, &text);
	printf("reactor %" PRIu32 " %s\n", reactor->index, text.data);
	show_groups(snapshot, reactor);
	for (uint32_t i = reactor->first; i < reactor->end; i++) {
		const struct seen_task *task = &snapshot->tasks[i];

		if (!is_shown[i])
			continue;
		if (task->depth && scopes[task->depth] != task->owner)
			show_scope(snapshot, task);
		scopes[task->depth] = task->owner;
		scopes[task->depth + 1] = 0;
		show_task(snapshot, i, options->stacks);
	}
	if (options->all)
		return;
	for (uint32_t i = reactor->first; i < reactor->end; i++)
		if (!is_shown[i])
			bunches_add(bunches, snapshot, i)->hidden++;
	for (uint32_t i = 0; i < bunches->count; i++)
		if (bunches->bunches[i].hidden)
			show_hidden(snapshot, &bunches->bunches[i]);
}

int show_tree(struct snapshot *snapshot, const struct show_options *options)
{
	struct bunches *bunches = malloc(sizeof(*bunches));
	bool *is_shown = calloc((size_t)snapshot->tasks_count + 1, sizeof(*is_shown));
	int status = bunches && is_shown ? 0 : -ENOMEM;

	if (status == 0) {
		show_head(snapshot);
		for (uint32_t i = 0; i < snapshot->reactors_count; i++)
			show_reactor(snapshot, &snapshot->reactors[i], options, bunches, is_shown);
		status = show_tail(snapshot);
	}
	free(bunches);
	free(is_shown);
	return status;
}
