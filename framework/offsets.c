/* SPDX-License-Identifier: MIT */
/*
 * Where things are in this build's structures: a table in an ELF section of its own, so that a tool
 * can find the section in the file, read the table at that address in a running process or a core
 * file, and walk reactors, scopes and tasks of any build. Read by nobody in the process itself.
 *
 * Version 1: a head, then `count` entries sorted by nothing. Names are never reused with another
 * meaning; fields that go away disappear from the table. From `reactors`, an array of
 * ROTA_REACTORS_MAX pointers: a reactor's root scope, its lists of tasks (children, unswept; linked
 * by task.scope_link), each task's open scopes (task.scope outwards by scope.parent until
 * task.owner), and their children again. The stack census is an array of census.count entries of
 * census.bytes; those in use have a site.
 */
#include <stddef.h>

#include "framework/reactor_internal.h"

#define OFFSETS_VERSION 1
#define OFFSETS_COUNT 36

struct offset_entry {
	char name[40];
	uint64_t value;
};

#define FIELD(text, type, field)                                                                   \
	{                                                                                          \
		text, offsetof(type, field)                                                        \
	}

const struct rota__offsets {
	char magic[8];
	uint32_t version;
	uint32_t count;
	struct rota_reactor *const *reactors;
	uint64_t entry_bytes;
	struct offset_entry entries[OFFSETS_COUNT];
} rota__offsets __attribute__((section(".rota.offsets"), used, retain)) = {
	.magic = "rotaoffs",
	.version = OFFSETS_VERSION,
	.count = OFFSETS_COUNT,
	.reactors = rota__reactors,
	.entry_bytes = sizeof(struct offset_entry),
	.entries = {
		{ "reactors.count", ROTA_REACTORS_MAX },
		FIELD("reactor.index", struct rota_reactor, index),
		FIELD("reactor.current", struct rota_reactor, current),
		FIELD("reactor.now", struct rota_reactor, now),
		FIELD("reactor.root", struct rota_reactor, root),
		FIELD("reactor.is_stopping", struct rota_reactor, is_stopping),
		FIELD("reactor.census", struct rota_reactor, census),
		{ "census.count", CENSUS_SITES },
		{ "census.bytes", sizeof(struct rota_stack_census) },
		FIELD("census.site", struct rota_stack_census, site),
		FIELD("census.samples", struct rota_stack_census, samples),
		FIELD("census.used_bytes_max", struct rota_stack_census, used_bytes_max),
		FIELD("scope.parent", struct rota_scope, parent_),
		FIELD("scope.task", struct rota_scope, task_),
		FIELD("scope.deadline", struct rota_scope, deadline_),
		FIELD("scope.reason", struct rota_scope, reason_),
		FIELD("scope.children", struct rota_scope, children_),
		FIELD("scope.unswept", struct rota_scope, unswept_),
		FIELD("scope.children_count", struct rota_scope, children_count_),
		FIELD("task.context", struct rota_task, context),
		FIELD("task.reactor", struct rota_task, reactor),
		FIELD("task.scope", struct rota_task, scope),
		FIELD("task.owner", struct rota_task, owner),
		FIELD("task.scope_link", struct rota_task, scope_link),
		FIELD("task.waiting", struct rota_task, waiting),
		FIELD("task.waiting_since", struct rota_task, waiting_since),
		FIELD("task.state", struct rota_task, state),
		FIELD("task.name", struct rota_task, name),
		FIELD("task.site", struct rota_task, site),
		FIELD("task.id", struct rota_task, id),
		FIELD("task.fn", struct rota_task, fn),
		FIELD("context.sp", struct rota_context, sp),
		FIELD("context.fp", struct rota_context, fp),
		FIELD("context.resume", struct rota_context, resume),
		FIELD("context.stack_low", struct rota_context, stack_low),
		FIELD("context.stack_bytes", struct rota_context, stack_bytes),
	},
};
