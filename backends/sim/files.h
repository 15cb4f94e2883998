/* SPDX-License-Identifier: MIT */
/*
 * The simulator's disk, between files.c and disk.c. Same thread rule as sim.h.
 *
 * The one idea: everything is there twice: as the running programs see it (`now`), and as the disk
 * surely has it (`safe`). What lies between is kept in the order it happened: per file its writes,
 * for all names one journal. A sync moves the second view on; a crash draws how far it came by
 * itself, and makes the first view anew from it.
 */
#ifndef ROTA_BACKENDS_SIM_FILES_H
#define ROTA_BACKENDS_SIM_FILES_H

#include "backends/sim/sim_internal.h"

#define SIM_FILES_OPEN_MAX 1024
/* Beyond these the oldest reaches the disk, as the kernel's write-back would have it. */
#define SIM_WRITES_MAX 64
#define SIM_CHANGES_MAX 64
#define SIM_NAME_BYTES 256 /* with its NUL */

enum sim_view { SIM_NOW, SIM_SAFE, SIM_VIEW_COUNT };

/* A write or a new size, not yet on the disk. */
struct sim_write {
	struct rota_link link;
	bool is_size;
	uint64_t offset; /* or the new size */
	size_t bytes;
	char data[];
};

struct sim_inode {
	/* entries in either view, changes in the journal, open files */
	unsigned refs;
	bool is_directory;
	bool is_lost;          /* a crash is losing a change of its place */
	struct rota_link link; /* in files->inodes */
	/* files */
	struct rota_buffer content[SIM_VIEW_COUNT];
	struct rota_link writes; /* oldest first */
	unsigned writes_count;
	/* directories */
	struct rota_link entries[SIM_VIEW_COUNT];
};

struct sim_entry {
	struct rota_link link; /* in its directory's entries */
	struct sim_inode *inode;
	char name[SIM_NAME_BYTES];
};

/* One step of the names: the first place is emptied, the second filled; either may be missing. */
struct sim_change {
	struct rota_link link; /* in files->journal, oldest first */
	struct sim_inode *from;
	struct sim_inode *to;
	struct sim_inode *inode;                   /* what `to_name` becomes; held once applied */
	struct sim_entry *entries[SIM_VIEW_COUNT]; /* for `to`, taken beforehand; NULL once used */
	bool is_wanted;                            /* while a sync goes through the journal */
	char from_name[SIM_NAME_BYTES];
	char to_name[SIM_NAME_BYTES];
};

struct sim_handle {
	struct sim_inode *inode; /* NULL: free */
	int flags;               /* open's */
	unsigned listed;         /* names told already */
};

struct sim_files {
	struct rota_sim_world *world;
	unsigned host;
	struct sim_inode *root;
	struct rota_link inodes;
	struct rota_link journal;
	unsigned journal_count;
	uint64_t bytes; /* of all files now */
	struct sim_handle handles[SIM_FILES_OPEN_MAX];
	unsigned open_count;
};

/* disk.c */

/* Does it, in `permille` of 1000 cases, or in half of them while the plan says so? */
bool sim__disk_fails(const struct sim_files *files, enum sim_decision what, uint32_t permille);

struct sim_inode *sim__inode_create(struct sim_files *files, bool is_directory);
/* Nothing is open, under way or anywhere but the root. */
void sim__files_empty(struct sim_files *files);
void sim__inode_unref(struct sim_files *files, struct sim_inode *inode);
struct sim_entry *sim__entry_find(const struct sim_inode *directory, enum sim_view view,
				  const char *name);

/* Make a file's content longer with zeroes, or shorter. Returns 0 or -ENOMEM. */
int sim__content_resize(struct rota_buffer *content, uint64_t bytes);

/*
 * A change of names, to be filled in and applied: `from` and `to` as in struct sim_change, either
 * may be NULL. NULL: no memory.
 */
struct sim_change *sim__change_create(struct sim_inode *from, struct sim_inode *to);
void sim__change_apply(struct sim_files *files, struct sim_change *change);
/* It is not to be made after all. */
void sim__change_drop(struct sim_files *files, struct sim_change *change);

/*
 * Remember a write (is_size: a new size) that has been made. Takes `write`. -ENOMEM: an older one
 * could not be put onto the disk, and is lost by a crash.
 */
int sim__write_remember(struct sim_inode *inode, struct sim_write *write);

/* Make it durable. Returns 0, -EIO (seeded) or -ENOMEM; after these a crash may lose it. */
int sim__inode_sync(struct sim_files *files, struct sim_inode *inode);

#endif /* ROTA_BACKENDS_SIM_FILES_H */
