/* SPDX-License-Identifier: MIT */
/*
 * --json: the same for machines, one document, written as it goes so that a million tasks need no
 * memory. Times are nanoseconds; what is not known is left out. Texts are ASCII already.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "apps/rota/show.h"

/* Whether the next value of the object or array that is being written needs a comma before it. */
struct json {
	bool needs_comma;
};

static void put_text(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		putchar(*text);
	}
	putchar('"');
}

static void put_key(struct json *json, const char *key)
{
	if (json->needs_comma)
		putchar(',');
	json->needs_comma = true;
	if (key) {
		put_text(key);
		putchar(':');
	}
}

static void open_value(struct json *json, const char *key, char bracket)
{
	put_key(json, key);
	putchar(bracket);
	json->needs_comma = false;
}

static void close_value(struct json *json, char bracket)
{
	putchar(bracket);
	json->needs_comma = true;
}

static void put_string(struct json *json, const char *key, const char *value)
{
	put_key(json, key);
	put_text(value);
}

static void put_number(struct json *json, const char *key, int64_t value)
{
	put_key(json, key);
	printf("%" PRId64, value);
}

static void put_bool(struct json *json, const char *key, bool value)
{
	put_key(json, key);
	fputs(value ? "true" : "false", stdout);
}

/* Addresses are texts: not every reader of JSON knows 64-bit numbers. */
static void put_address(struct json *json, const char *key, uint64_t value)
{
	put_key(json, key);
	printf("\"0x%" PRIx64 "\"", value);
}

/* ---- parts ---- */

static void put_frame(struct json *json, const char *key, const struct frame *frame)
{
	open_value(json, key, '{');
	put_string(json, "function", frame->function);
	if (frame->file) {
		put_string(json, "file", frame->file);
		put_number(json, "line", frame->line);
	}
	close_value(json, '}');
}

static void put_site(struct json *json, const char *key, struct target *target, uint64_t address)
{
	struct site site;

	if (!about_site(target, address, &site))
		return;
	open_value(json, key, '{');
	put_string(json, "function", site.function);
	put_string(json, "file", site.file);
	put_number(json, "line", site.line);
	put_string(json, "what", site.what);
	close_value(json, '}');
}

static void put_task_name(struct json *json, const char *key, struct snapshot *snapshot,
			  uint32_t index)
{
	const struct seen_task *task = &snapshot->tasks[index];

	open_value(json, key, '{');
	put_number(json, "reactor", snapshot->reactors[task->reactor].index);
	put_number(json, "id", (int64_t)task->id);
	close_value(json, '}');
}

static void put_wait(struct json *json, struct snapshot *snapshot, const struct seen_task *task)
{
	int64_t now = snapshot_now(snapshot, &snapshot->reactors[task->reactor]);
	struct text text = { 0 };
	struct wait wait;

	about_future(snapshot, task->future, task->kind, &wait);
	say_waits(snapshot, task, &text);
	open_value(json, "waits", '{');
	put_frame(json, "at", places_at(snapshot->places, task->spot));
	put_number(json, "for_ns", ns_between(task->since, now));
	put_string(json, "text", text.data);
	put_string(json, "kind", wait.kind);
	put_number(json, "pending", task->pending);
	put_number(json, "needed", task->needed);
	if (wait.object)
		put_address(json, "object", wait.object);
	if (wait.holder != NO_TASK)
		put_task_name(json, "task", snapshot, wait.holder);
	if (wait.due != INT64_MAX)
		put_number(json, "due_ns", ns_between(now, wait.due));
	if (wait.fd >= 0)
		put_number(json, "descriptor", wait.fd);
	close_value(json, '}');
}

static void put_stack(struct json *json, struct snapshot *snapshot, const struct seen_task *task)
{
	uint64_t pcs[STACK_FRAMES_MAX];
	unsigned count =
		task->state == SEEN_RUNS
			? stack_walk_running(snapshot->target, task->address, pcs, STACK_FRAMES_MAX)
			: stack_walk(snapshot->target, task->address, pcs, NULL, STACK_FRAMES_MAX);

	open_value(json, "stack", '[');
	for (unsigned i = 0; i < count; i++) {
		const struct place *place = places_find(snapshot->places, pcs[i]);

		for (unsigned j = 0; j < place->count; j++)
			put_frame(json, NULL, &place->frames[j]);
	}
	close_value(json, ']');
}

static void put_limits(struct json *json, struct snapshot *snapshot, const struct seen_task *task)
{
	int64_t now = snapshot_now(snapshot, &snapshot->reactors[task->reactor]);
	uint64_t used_bytes, bytes, site;
	int64_t deadline = about_deadline(snapshot->target, task, &site);
	char group[TARGET_TEXT_BYTES];
	struct text reason = { 0 };

	if (deadline != INT64_MAX) {
		put_number(json, "deadline_ns", ns_between(now, deadline));
		put_site(json, "deadline_set", snapshot->target, site);
	}
	put_site(json, "shield", snapshot->target, about_shield(snapshot->target, task));
	if (about_group(snapshot, task, group))
		put_string(json, "group", group);
	if (task->is_cancelled) {
		about_cancel(snapshot->target, task, &reason);
		put_string(json, "cancelled", reason.data);
	}
	if (task->cpu_ns)
		put_number(json, "cpu_ns", (int64_t)task->cpu_ns);
	if (about_stack(snapshot->target, task, &used_bytes, &bytes)) {
		put_number(json, "stack_used_bytes", (int64_t)used_bytes);
		put_number(json, "stack_bytes", (int64_t)bytes);
	}
}

static void put_task(struct json *json, struct snapshot *snapshot, uint32_t index,
		     const struct show_options *options)
{
	static const char *const states[SEEN_STATE_COUNT] = { "ready", "runs", "waits", "ended" };
	const struct seen_task *task = &snapshot->tasks[index];
	char name[TARGET_TEXT_BYTES];

	about_name(snapshot->target, task, name);
	open_value(json, NULL, '{');
	put_number(json, "id", (int64_t)task->id);
	put_string(json, "name", name);
	put_string(json, "state", states[task->state]);
	if (task->parent != NO_TASK)
		put_number(json, "parent", (int64_t)snapshot->tasks[task->parent].id);
	put_site(json, "spawned", snapshot->target, task->site);
	put_site(json, "scope", snapshot->target,
		 target_u64(snapshot->target, task->owner, snapshot->target->layout.scope_site));
	if (task->state == SEEN_WAITS)
		put_wait(json, snapshot, task);
	put_limits(json, snapshot, task);
	if (options->stacks)
		put_stack(json, snapshot, task);
	close_value(json, '}');
	target_faulted(snapshot->target);
}

static void put_groups(struct json *json, struct target *target, const struct seen_reactor *reactor)
{
	char name[TARGET_TEXT_BYTES];

	open_value(json, "groups", '[');
	for (unsigned i = 0; i < reactor->groups_count; i++) {
		target_text(target, reactor->groups[i].name, name, sizeof(name));
		open_value(json, NULL, '{');
		put_string(json, "name", name);
		put_number(json, "shares", reactor->groups[i].shares);
		put_number(json, "tasks", (int64_t)reactor->groups[i].tasks);
		put_number(json, "cpu_ns", (int64_t)reactor->groups[i].cpu_ns);
		close_value(json, '}');
	}
	close_value(json, ']');
}

static void put_reactor(struct json *json, struct snapshot *snapshot,
			const struct seen_reactor *reactor, const struct show_options *options)
{
	struct text text = { 0 };

	say_reactor(snapshot, reactor, &text);
	open_value(json, NULL, '{');
	put_number(json, "index", reactor->index);
	put_string(json, "text", text.data);
	put_bool(json, "is_sleeping", reactor->is_sleeping);
	put_bool(json, "is_stopping", reactor->is_stopping);
	put_number(json, "turns", (int64_t)reactor->turns);
	put_number(json, "switches", (int64_t)reactor->switches);
	put_number(json, "enters", (int64_t)reactor->enters);
	put_number(json, "completions", (int64_t)reactor->completions);
	if (reactor->cpu_ns >= 0)
		put_number(json, "cpu_ns", reactor->cpu_ns);
	put_groups(json, snapshot->target, reactor);
	put_bool(json, "is_incomplete", reactor->is_incomplete || reactor->more);
	open_value(json, "tasks", '[');
	for (uint32_t i = reactor->first; i < reactor->end; i++)
		put_task(json, snapshot, i, options);
	close_value(json, ']');
	close_value(json, '}');
}

static void put_deadlock(struct snapshot *snapshot, const struct deadlock *deadlock, void *arg)
{
	struct json *json = arg;
	struct text text = { 0 };

	say_deadlock(snapshot, deadlock, &text);
	open_value(json, NULL, '{');
	put_string(json, "text", text.data);
	open_value(json, "tasks", '[');
	for (unsigned i = 0; i < deadlock->count; i++)
		put_task_name(json, NULL, snapshot, deadlock->tasks[i]);
	close_value(json, ']');
	put_number(json, "more", deadlock->more);
	close_value(json, '}');
}

int show_json(struct snapshot *snapshot, const struct show_options *options)
{
	struct json json = { false };
	int status;

	open_value(&json, NULL, '{');
	put_number(&json, "pid", snapshot->target->pid);
	put_string(&json, "program", snapshot->target->name);
	put_bool(&json, "is_core", snapshot->target->is_core);
	open_value(&json, "reactors", '[');
	for (uint32_t i = 0; i < snapshot->reactors_count; i++)
		put_reactor(&json, snapshot, &snapshot->reactors[i], options);
	close_value(&json, ']');
	open_value(&json, "deadlocks", '[');
	status = deadlocks_find(snapshot, put_deadlock, &json);
	close_value(&json, ']');
	close_value(&json, '}');
	putchar('\n');
	return status;
}
