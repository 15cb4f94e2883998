/* SPDX-License-Identifier: MIT */
/*
 * The table of offsets that every rota process carries (framework/offsets.c), as read from one. It
 * says where things are in that build's structures, so this tool need not be of the same version.
 */
#ifndef ROTA_APPS_ROTA_LAYOUT_H
#define ROTA_APPS_ROTA_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A name that the table does not have. */
#define LAYOUT_ABSENT UINT64_MAX

/* Kinds of futures, and of operations, that a table can name; more are numbers only. */
#define LAYOUT_KINDS_MAX 64

#define LAYOUT_NAME_BYTES 40

/* Larger than any table; one that claims more is damaged. */
#define LAYOUT_ENTRIES_MAX 4096

/* The table as it lies in memory. */
struct layout_head {
	char magic[8]; /* "rotaoffs" */
	uint32_t version;
	uint32_t count;
	uint64_t reactors;
	uint64_t entry_bytes;
};

struct layout_entry {
	char name[LAYOUT_NAME_BYTES];
	uint64_t value;
};

struct layout {
	uint64_t reactors; /* where the array of reactors is */
			   /* offsets, sizes, numbers; LAYOUT_ABSENT */
#define NAME(member, name, is_required) uint64_t member;
#include "apps/rota/layout.def"
#undef NAME
	/* by number: "mutex", "timer" …; "send", "poll" …; "read" …; "" where there is no name */
	char kinds[LAYOUT_KINDS_MAX][LAYOUT_NAME_BYTES];
	char operations[LAYOUT_KINDS_MAX][LAYOUT_NAME_BYTES];
	char file_actions[LAYOUT_KINDS_MAX][LAYOUT_NAME_BYTES];
};

/* All absent. */
void layout_init(struct layout *layout);

/* Take what `entry` says; what this tool does not know is passed over. */
void layout_take(struct layout *layout, const struct layout_entry *entry);

/* What is missing without which nothing can be shown; NULL: nothing. */
const char *layout_missing(const struct layout *layout);

#endif /* ROTA_APPS_ROTA_LAYOUT_H */
