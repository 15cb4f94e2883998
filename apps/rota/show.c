/* SPDX-License-Identifier: MIT */
/*
 * What the human ways to show a snapshot have in common.
 */
#include <inttypes.h>
#include <stdio.h>

#include "apps/rota/show.h"

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

void show_head(struct snapshot *snapshot)
{
	const struct target *target = snapshot->target;
	uint64_t tasks = snapshot->tasks_count;

	for (uint32_t i = 0; i < snapshot->reactors_count; i++)
		tasks += snapshot->reactors[i].more;
	if (target->is_core)
		printf("core %s of", target->path);
	else
		printf("process");
	printf(" %d (%s): %" PRIu32 " reactor%s, %" PRIu64 " task%s\n", (int)target->pid,
	       target->name, snapshot->reactors_count, plural(snapshot->reactors_count), tasks,
	       plural(tasks));
}

static void show_generator(struct target *target, uint64_t generator, int indent)
{
	struct text site = { 0 };
	char name[TARGET_TEXT_BYTES];

	target_text(target, target_u64(target, generator, target->layout.generator_name), name,
		    sizeof(name));
	say_site(target, target_u64(target, generator, target->layout.generator_site), &site);
	printf("%*sinside generator \"%s\" [%s]\n", indent, "", name, site.data);
}

static void show_frames(const struct place *place, int indent, unsigned *number)
{
	for (unsigned i = 0; i < place->count; i++) {
		struct text text = { 0 };

		say_frame(&place->frames[i], &text);
		printf("%*s#%u %s\n", indent, "", (*number)++, text.data);
	}
}

void show_stack(struct snapshot *snapshot, const struct seen_task *task, int indent)
{
	uint64_t pcs[STACK_FRAMES_MAX], generators[STACK_FRAMES_MAX] = { 0 };
	unsigned count, number = 0;

	if (task->state == SEEN_RUNS)
		count = stack_walk_running(snapshot->target, task->address, pcs, STACK_FRAMES_MAX);
	else
		count = stack_walk(snapshot->target, task->address, pcs, generators,
				   STACK_FRAMES_MAX);
	for (unsigned i = 0; i < count; i++) {
		if (generators[i] && (i == 0 || generators[i] != generators[i - 1]))
			show_generator(snapshot->target, generators[i], indent);
		else if (i > 0 && !generators[i] && generators[i - 1])
			printf("%*sdriven by\n", indent, "");
		show_frames(places_find(snapshot->places, pcs[i]), indent, &number);
	}
	target_faulted(snapshot->target);
}

static void show_deadlock(struct snapshot *snapshot, const struct deadlock *deadlock, void *arg)
{
	struct text text = { 0 };

	(void)arg;
	say_deadlock(snapshot, deadlock, &text);
	printf("%s\n", text.data);
}

int show_tail(struct snapshot *snapshot)
{
	for (uint32_t i = 0; i < snapshot->reactors_count; i++) {
		const struct seen_reactor *reactor = &snapshot->reactors[i];

		if (reactor->more)
			printf("reactor %" PRIu32 " has at least %" PRIu64 " more tasks\n",
			       reactor->index, reactor->more);
		if (reactor->is_incomplete)
			printf("reactor %" PRIu32 " %s: not all of its tasks may be here\n",
			       reactor->index,
			       snapshot->target->is_core ? "is damaged" : "was changing");
	}
	return deadlocks_find(snapshot, show_deadlock, NULL);
}
