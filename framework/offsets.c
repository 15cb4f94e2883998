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
 *
 * A suspended task's wait set has set.count waits of wait.bytes; each names a future, whose kind
 * (wait.…) says what the future is part of: at minus io.future an operation, at minus
 * timeout.future a timer, at minus offload.future an offloaded call, at 0 a call, a line's waiter
 * or a connection's. An operation on a file is at file_op.op in a larger one. A select waits for
 * waiter.want cases of select_case.bytes, from waiter.object on. A task that is inside a generator
 * (task.generator) is suspended on that one's stack; generator.driver is where whoever drives it
 * goes on, on the stack of generator.below or, at the last, on the task's own.
 *
 * A reactor's groups are an array of group.count entries of group.bytes; those in use have shares.
 * task.group points to one, NULL for the first. The first one's tasks are those of none of the
 * others.
 */
#include <stddef.h>

#include <rota/channel.h>
#include <rota/offload.h>
#include <rota/sync.h>

#include "framework/generator_internal.h"
#include "framework/net_internal.h"
#include "framework/reactor_internal.h"

#define OFFSETS_VERSION 1
struct offset_entry {
	char name[40];
	uint64_t value;
};

enum {
	OFFSETS_COUNT = 0
#define FIELD(name, type, field) +1
#define VALUE(name, number) +1
#include "framework/offsets.def"
};
#undef FIELD
#undef VALUE

#define FIELD(name, type, field) { name, offsetof(type, field) },
#define VALUE(name, number) { name, number },

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
#include "framework/offsets.def"
	},
};
