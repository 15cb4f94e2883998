/* SPDX-License-Identifier: MIT */
/*
 * What there is to know about a task, read where the table of offsets says it is.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "apps/rota/about.h"

#define PAGE_BYTES 4096

/* No stack is larger. */
#define STACK_BYTES_MAX (UINT64_C(1) << 20)

bool about_site(struct target *target, uint64_t address, struct site *site)
{
	const struct layout *layout = &target->layout;

	*site = (struct site){ .line = 0 };
	if (!address)
		return false;
	target_faulted(target);
	target_text(target, target_u64(target, address, layout->site_file), site->file,
		    sizeof(site->file));
	target_text(target, target_u64(target, address, layout->site_function), site->function,
		    sizeof(site->function));
	target_text(target, target_u64(target, address, layout->site_what), site->what,
		    sizeof(site->what));
	site->line = (int)target_u32(target, address, layout->site_line);
	return !target_faulted(target);
}

void about_name(struct target *target, const struct seen_task *task, char name[TARGET_TEXT_BYTES])
{
	target_text(target, task->name, name, TARGET_TEXT_BYTES);
}

/* ---- waits ---- */

/* Objects of <rota/sync.h> that say who has them. */
static uint64_t owner_of(struct target *target, const char *kind, uint64_t object)
{
	const struct layout *layout = &target->layout;

	if (!strcmp(kind, "mutex"))
		return target_u64(target, object, layout->mutex_owner);
	if (!strncmp(kind, "rwlock", 6))
		return target_u64(target, object, layout->rwlock_writer);
	if (!strcmp(kind, "once"))
		return target_u64(target, object, layout->once_runner);
	return 0;
}

/* Kinds whose future is the first part of a waiter's record. */
static bool is_waiter(const char *kind)
{
	static const char *const kinds[] = { "mutex",     "rwlock_read",  "rwlock_write",
					     "semaphore", "condition",    "event",
					     "barrier",   "latch",        "once",
					     "broadcast", "channel_send", "channel_receive",
					     "select" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kind, kinds[i]))
			return true;
	return false;
}

void about_future(struct snapshot *snapshot, uint64_t future, uint8_t kind, struct wait *wait)
{
	struct target *target = snapshot->target;
	const struct layout *layout = &target->layout;

	*wait = (struct wait){ .object = future, .holder = NO_TASK, .due = INT64_MAX, .fd = -1 };
	wait->kind = kind < LAYOUT_KINDS_MAX ? layout->kinds[kind] : "";
	if (!future)
		return;
	if (is_waiter(wait->kind)) {
		wait->object = target_u64(target, future, layout->waiter_object);
		wait->holder = snapshot_task_at(snapshot,
						owner_of(target, wait->kind, wait->object));
		wait->cases = target_u64(target, future, layout->waiter_want);
	} else if (!strncmp(wait->kind, "conn_", 5)) {
		wait->object = target_u64(target, future, layout->conn_wait_conn);
		wait->fd = (int)target_u32(target, wait->object, layout->conn_fd);
	} else if (!strcmp(wait->kind, "task")) {
		wait->holder = snapshot_task_of_result(snapshot, future);
	} else if (!strcmp(wait->kind, "scope")) {
		wait->scope = future - layout->scope_idle;
		wait->object = wait->scope;
	} else if (!strcmp(wait->kind, "call")) {
		wait->call_to = target_u64(target, future, layout->call_to);
		wait->holder = snapshot_task_of_arg(snapshot, future);
	} else if (!strcmp(wait->kind, "timer")) {
		uint64_t timer = future - layout->timeout_future + layout->timeout_timer;

		wait->due = (int64_t)target_u64(target, timer, layout->timer_deadline);
	} else if (!strcmp(wait->kind, "offload")) {
		wait->call = target_u64(target, future - layout->offload_future,
					layout->offload_fn);
	} else if (!strcmp(wait->kind, "io")) {
		wait->object = future - layout->io_future + layout->io_op;
		wait->fd = (int)target_u32(target, wait->object, layout->op_fd);
	}
}

/* ---- limits ---- */

/* A scope inherits what is earlier outside, but not through a shield. */
int64_t about_deadline(struct target *target, const struct seen_task *task, uint64_t *site)
{
	const struct layout *layout = &target->layout;
	uint64_t scope = task->scope;
	int64_t deadline;

	*site = 0;
	if (layout->scope_deadline == LAYOUT_ABSENT)
		return INT64_MAX;
	deadline = (int64_t)target_u64(target, scope, layout->scope_deadline);
	for (unsigned i = 0; i < SNAPSHOT_SCOPES_MAX; i++) {
		uint64_t outer = target_u64(target, scope, layout->scope_parent);

		if (!outer || target_u8(target, scope, layout->scope_is_shield) ||
		    (int64_t)target_u64(target, outer, layout->scope_deadline) != deadline)
			break;
		scope = outer;
	}
	*site = target_u64(target, scope, layout->scope_site);
	return deadline;
}

uint64_t about_shield(struct target *target, const struct seen_task *task)
{
	const struct layout *layout = &target->layout;
	uint64_t scope = task->scope;

	for (unsigned i = 0; scope && scope != task->owner && i < SNAPSHOT_SCOPES_MAX; i++) {
		if (target_u8(target, scope, layout->scope_is_shield))
			return target_u64(target, scope, layout->scope_site);
		scope = target_u64(target, scope, layout->scope_parent);
	}
	return 0;
}

bool about_group(const struct snapshot *snapshot, const struct seen_task *task,
		 char name[TARGET_TEXT_BYTES])
{
	const struct seen_group *group = snapshot_group_of(snapshot, task);

	return group && target_text(snapshot->target, group->name, name, TARGET_TEXT_BYTES);
}

static uint64_t cancelled_scope(struct target *target, uint64_t scope)
{
	const struct layout *layout = &target->layout;

	for (unsigned i = 0; scope && i < SNAPSHOT_SCOPES_MAX; i++) {
		if (target_u32(target, scope + layout->scope_reason, layout->reason_kind) !=
		    (uint32_t)layout->cancel_none)
			return scope;
		scope = target_u64(target, scope, layout->scope_parent);
	}
	return 0;
}

void about_cancel(struct target *target, const struct seen_task *task, struct text *text)
{
	const struct layout *layout = &target->layout;
	uint64_t scope = task->is_cancelled ? cancelled_scope(target, task->scope) : 0;
	uint64_t reason = scope + layout->scope_reason;
	char why[TARGET_TEXT_BYTES], name[TARGET_TEXT_BYTES];
	struct site site;
	uint64_t by;

	if (!scope)
		return;
	target_text(target, target_u64(target, reason, layout->reason_why), why, sizeof(why));
	text_add(text, "%s", why);
	if (about_site(target, target_u64(target, reason, layout->reason_site), &site))
		text_add(text, " (%s, %s:%d)", site.what, site.file, site.line);
	by = target_u64(target, reason, layout->reason_task_id);
	if (by && layout->reason_task_name != LAYOUT_ABSENT &&
	    target_text(target, reason + layout->reason_task_name, name, sizeof(name)))
		text_add(text, ", task %llu \"%s\"", (unsigned long long)by, name);
	if (target_u32(target, reason, layout->reason_kind) ==
	    (uint32_t)layout->cancel_sibling_failed)
		text_add(text, " with %lld",
			 (long long)target_u64(target, reason, layout->reason_failure));
}

/* ---- stacks ---- */

static bool is_touched_live(int pagemap, uint64_t address)
{
	uint64_t entry;
	off_t at = (off_t)(address / PAGE_BYTES * sizeof(entry));

	/* Bit 63: present, 62: swapped out (Documentation/admin-guide/mm/pagemap.rst). */
	return pread(pagemap, &entry, sizeof(entry), at) == sizeof(entry) && entry >> 62;
}

/* A core file keeps pages that were never touched as zeros, if at all. */
static bool is_touched_core(struct target *target, uint64_t address)
{
	static const char zeros[PAGE_BYTES];
	char page[PAGE_BYTES];

	return target_read(target, address, page, sizeof(page)) &&
	       memcmp(page, zeros, sizeof(page)) != 0;
}

bool about_stack(struct target *target, const struct seen_task *task, uint64_t *used_bytes,
		 uint64_t *bytes)
{
	const struct layout *layout = &target->layout;
	uint64_t context = task->address + layout->task_context;
	uint64_t low = target_u64(target, context, layout->context_stack_low);
	uint64_t top = low + target_u64(target, context, layout->context_stack_bytes);
	uint64_t page = (low + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	char path[64];
	int pagemap = -1;

	/* Inside a generator, sanitizers are told of another stack than the task's. */
	if (!low || top <= low || top - low > STACK_BYTES_MAX || task->is_in_generator)
		return false;
	if (!target->is_core) {
		snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)target->pid);
		pagemap = open(path, O_RDONLY | O_CLOEXEC);
		if (pagemap < 0)
			return false;
	}
	while (page < top &&
	       !(target->is_core ? is_touched_core(target, page) : is_touched_live(pagemap, page)))
		page += PAGE_BYTES;
	target_faulted(target);
	if (pagemap >= 0)
		close(pagemap);
	*used_bytes = page < top ? top - page : 0;
	*bytes = top - low;
	return true;
}
