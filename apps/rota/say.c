/* SPDX-License-Identifier: MIT */
/*
 * What is known about tasks, as sentences.
 */
#include <inttypes.h>
#include <string.h>

#include "apps/rota/waits.h"

/* Of what a task waits for at once; and of a select's channels. */
#define WAITS_SHOWN 4
#define CASES_SHOWN 4

void say_task(struct snapshot *snapshot, uint32_t index, uint32_t reactor, struct text *text)
{
	const struct seen_task *task = &snapshot->tasks[index];
	char name[TARGET_TEXT_BYTES];

	about_name(snapshot->target, task, name);
	text_add(text, "task %" PRIu64 " \"%s\"", task->id, name);
	if (task->reactor != reactor)
		text_add(text, " on reactor %" PRIu32, snapshot->reactors[task->reactor].index);
}

void say_frame(const struct frame *frame, struct text *text)
{
	text_add(text, "%s", frame->function);
	if (frame->file)
		text_add(text, " (%s:%d)", frame->file, frame->line);
}

void say_site(struct target *target, uint64_t address, struct text *text)
{
	struct site site;

	if (about_site(target, address, &site))
		text_add(text, "%s (%s:%d)", site.function, site.file, site.line);
	else
		text_add(text, "?");
}

void say_what(struct target *target, uint64_t address, struct text *text)
{
	struct site site;

	text_add(text, "%s", about_site(target, address, &site) ? site.what : "?");
}

/* ---- waits ---- */

static void say_due(const struct wait *wait, int64_t now, struct text *text)
{
	text_add(text, "a timer");
	if (wait->due == INT64_MAX) {
		text_add(text, " that never fires");
		return;
	}
	text_add(text, wait->due >= now ? ", due in " : ", due since ");
	text_add_ns(text,
		    wait->due >= now ? ns_between(now, wait->due) : ns_between(wait->due, now));
}

static void say_descriptor(struct target *target, int fd, struct text *text)
{
	struct text descriptor = { 0 };

	if (fd < 0)
		return;
	text_add(text, " on descriptor %d", fd);
	about_descriptor(target, fd, &descriptor);
	if (descriptor.length)
		text_add(text, " (%s)", descriptor.data);
}

static const char *name_of(char names[][LAYOUT_NAME_BYTES], uint8_t kind)
{
	return kind < LAYOUT_KINDS_MAX ? names[kind] : "";
}

/* "file read", and of what: a descriptor, or else a path. */
static void say_file(struct target *target, const struct wait *wait, struct text *text)
{
	const struct layout *layout = &target->layout;
	uint64_t file = wait->object - layout->file_op_op;
	char path[TARGET_TEXT_BYTES];

	text_add(text, " %s",
		 name_of(target->layout.file_actions,
			 target_u8(target, file, layout->file_op_action)));
	if (wait->fd < 0 &&
	    target_text(target, target_u64(target, file, layout->file_op_path), path, sizeof(path)))
		text_add(text, " of %s", path);
}

static void say_operation(struct target *target, const struct wait *wait, struct text *text)
{
	uint8_t kind = target_u8(target, wait->object, target->layout.op_kind);
	const char *name = name_of(target->layout.operations, kind);

	if (*name)
		text_add(text, "%s", name);
	else
		text_add(text, "operation %u", kind);
	if (!strcmp(name, "file") && target->layout.file_op_op != LAYOUT_ABSENT)
		say_file(target, wait, text);
	say_descriptor(target, wait->fd, text);
}

static void say_offload(struct snapshot *snapshot, const struct wait *wait, struct text *text)
{
	if (wait->call) {
		/* Places are of return addresses: behind the call. */
		say_frame(&places_find(snapshot->places, wait->call + 1)->frames[0], text);
		text_add(text, " in ");
	}
	text_add(text, "the offload pool");
}

static void say_call(struct snapshot *snapshot, const struct seen_task *task,
		     const struct wait *wait, struct text *text)
{
	text_add(text, "a call to reactor %" PRIu32,
		 target_u32(snapshot->target, wait->call_to,
			    snapshot->target->layout.reactor_index));
	if (wait->holder != NO_TASK) {
		text_add(text, ", run by ");
		say_task(snapshot, wait->holder, task->reactor, text);
	}
}

static void say_holder(struct snapshot *snapshot, const struct seen_task *task,
		       const struct wait *wait, const char *how, struct text *text)
{
	if (wait->holder == NO_TASK)
		return;
	text_add(text, "%s ", how);
	say_task(snapshot, wait->holder, task->reactor, text);
}

static void say_channel(struct target *target, uint64_t at, const char *what, struct text *text)
{
	text_add(text, "channel 0x%" PRIx64 " to %s (%" PRIu32 " of %" PRIu32 " in it)", at, what,
		 target_u32(target, at, target->layout.channel_count),
		 target_u32(target, at, target->layout.channel_capacity));
}

static void say_select(struct target *target, const struct wait *wait, struct text *text)
{
	const struct layout *layout = &target->layout;
	uint64_t at = wait->object;

	text_add(text, "one of %" PRIu64 " channels", wait->cases);
	if (layout->case_bytes == LAYOUT_ABSENT)
		return;
	for (uint64_t i = 0; i < wait->cases && i < CASES_SHOWN; i++, at += layout->case_bytes) {
		uint32_t kind = target_u32(target, at, layout->case_kind);

		text_add(text, i ? ", " : ": ");
		say_channel(target, target_u64(target, at, layout->case_channel),
			    kind == (uint32_t)layout->select_send ? "send" : "receive", text);
	}
	if (wait->cases > CASES_SHOWN)
		text_add(text, " ...");
}

/* Objects of <rota/sync.h> and <rota/channel.h>: what they are, and how they stand. */
static void say_object(struct snapshot *snapshot, const struct seen_task *task,
		       const struct wait *wait, struct text *text)
{
	struct target *target = snapshot->target;
	const struct layout *layout = &target->layout;
	uint64_t at = wait->object;

	if (!strncmp(wait->kind, "rwlock", 6))
		text_add(text, "rwlock 0x%" PRIx64 " to %s", at, wait->kind + 7);
	else if (!strncmp(wait->kind, "channel", 7))
		say_channel(target, at, wait->kind + 8, text);
	else if (!strcmp(wait->kind, "select"))
		say_select(target, wait, text);
	else
		text_add(text, "%s 0x%" PRIx64, wait->kind, at);
	say_holder(snapshot, task, wait, strcmp(wait->kind, "once") ? " held by" : " done by",
		   text);
	if (!strcmp(wait->kind, "rwlock_write") && wait->holder == NO_TASK)
		text_add(text, " (%" PRIu64 " readers)",
			 target_u64(target, at, layout->rwlock_readers));
	else if (!strcmp(wait->kind, "semaphore"))
		text_add(text, " (%" PRIu64 " free)",
			 target_u64(target, at, layout->semaphore_free));
	else if (!strcmp(wait->kind, "latch"))
		text_add(text, " (%" PRIu64 " left)", target_u64(target, at, layout->latch_left));
	else if (!strcmp(wait->kind, "barrier"))
		text_add(text, " (%" PRIu64 " of %" PRIu64 " there)",
			 target_u64(target, at, layout->barrier_arrived),
			 target_u64(target, at, layout->barrier_parties));
}

void say_wait(struct snapshot *snapshot, const struct seen_task *task, const struct wait *wait,
	      struct text *text)
{
	struct target *target = snapshot->target;
	const struct seen_reactor *reactor = &snapshot->reactors[task->reactor];

	if (!wait->object) {
		text_add(text, "work");
	} else if (!strcmp(wait->kind, "timer")) {
		say_due(wait, snapshot_now(snapshot, reactor), text);
	} else if (!strcmp(wait->kind, "io")) {
		say_operation(target, wait, text);
	} else if (!strcmp(wait->kind, "offload")) {
		say_offload(snapshot, wait, text);
	} else if (!strcmp(wait->kind, "call")) {
		say_call(snapshot, task, wait, text);
	} else if (!strcmp(wait->kind, "task")) {
		if (wait->holder == NO_TASK)
			text_add(text, "a task's end");
		say_holder(snapshot, task, wait, "the end of", text);
	} else if (!strcmp(wait->kind, "scope")) {
		text_add(text, "the %" PRIu64 " task(s) of its scope",
			 target_u64(target, wait->scope, target->layout.scope_children_count));
	} else if (!strncmp(wait->kind, "conn_", 5)) {
		text_add(text, "%s", wait->kind + 5);
		say_descriptor(target, wait->fd, text);
	} else if (!strcmp(wait->kind, "future") || !wait->kind[0]) {
		text_add(text, "future 0x%" PRIx64, wait->object);
	} else {
		say_object(snapshot, task, wait, text);
	}
	target_faulted(target);
}

/* ---- states ---- */

void say_waits(struct snapshot *snapshot, const struct seen_task *task, struct text *text)
{
	const char *word = task->needed < task->pending ? "or" : "and";
	uint64_t future = task->future;
	uint8_t kind = task->kind;
	uint32_t at = 0, count = 0;
	struct wait wait;

	if (task->pending < 2) {
		about_future(snapshot, future, kind, &wait);
		say_wait(snapshot, task, &wait, text);
		return;
	}
	while (count < WAITS_SHOWN &&
	       waits_next_future(snapshot->target, task, &at, &future, &kind)) {
		if (count++)
			text_add(text, " %s ", word);
		about_future(snapshot, future, kind, &wait);
		say_wait(snapshot, task, &wait, text);
	}
	if (task->pending > count)
		text_add(text, " %s %" PRIu32 " more", word, task->pending - count);
}

static void say_waiting(struct snapshot *snapshot, const struct seen_task *task, struct text *text)
{
	text_add(text, "waits in ");
	say_frame(places_at(snapshot->places, task->spot), text);
	text_add(text, " for ");
	say_waits(snapshot, task, text);
}

void say_state(struct snapshot *snapshot, const struct seen_task *task, struct text *text)
{
	const struct seen_reactor *reactor = &snapshot->reactors[task->reactor];
	int64_t now = snapshot_now(snapshot, reactor);

	switch (task->state) {
	case SEEN_RUNS:
		text_add(text, "runs");
		if (task->spot) {
			text_add(text, " in ");
			say_frame(places_at(snapshot->places, task->spot), text);
		}
		now = snapshot->target->is_core ? 0 : ns_between(reactor->now, now);
		if (now > 0) {
			text_add(text, ", in a turn of ");
			text_add_ns(text, now);
		}
		return;
	case SEEN_READY:
		text_add(text, "is ready to run");
		return;
	case SEEN_ENDED:
		text_add(text, "has ended");
		return;
	default:
		say_waiting(snapshot, task, text);
		text_add(text, ", for ");
		text_add_ns(text, ns_between(task->since, now));
	}
}

void say_reactor(struct snapshot *snapshot, const struct seen_reactor *reactor, struct text *text)
{
	uint32_t current = snapshot_task_at(snapshot, reactor->current);
	int64_t away = ns_between(reactor->now, snapshot_now(snapshot, reactor));

	if (!reactor->is_open) {
		text_add(text, "is not running");
	} else if (reactor->is_sleeping) {
		text_add(text, "waits for events");
	} else if (current == NO_TASK) {
		text_add(text, "is in its turn");
	} else {
		text_add(text, "runs ");
		say_task(snapshot, current, snapshot->tasks[current].reactor, text);
	}
	if (reactor->is_open && !reactor->is_sleeping && away > 0) {
		text_add(text, ", for ");
		text_add_ns(text, away);
	}
	if (reactor->is_stopping)
		text_add(text, ", is stopping");
	if (reactor->is_simulated)
		text_add(text, ", simulated");
}
