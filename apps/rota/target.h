/* SPDX-License-Identifier: MIT */
/*
 * The process that is looked at: a live one, or what a core file kept of one. Reads its memory,
 * knows what files are mapped where, and finds the table of offsets and through it the reactors.
 * Never writes to it, and never stops it but in target_thread_on.
 *
 * The one idea: nothing read from a target is trusted. A read that fails yields zeros and a mark,
 * target_faulted; whoever follows pointers checks what they lead to and bounds the way. A running
 * process changes while it is read: memory is taken page by page, once each, so that what belongs
 * together is nearly always of one moment; target_forget starts anew.
 */
#ifndef ROTA_APPS_ROTA_TARGET_H
#define ROTA_APPS_ROTA_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "apps/rota/layout.h"

/* Texts are cut to this, with the NUL. */
#define TARGET_TEXT_BYTES 256

/* Mapped files that are looked at; beyond that the target is damaged or very unusual. */
#define TARGET_FILES_MAX 4096

/* For target_open's complaint. */
#define TARGET_WHY_BYTES 512

/* A part of a file, mapped. */
struct target_mapping {
	uint64_t start;
	uint64_t end;
	uint64_t file_offset;
	uint32_t file; /* index into files */
	bool is_readable;
};

/* A file of which something is mapped. */
struct target_file {
	char *path;         /* as the target sees it; owned */
	int fd;             /* -1: it is not, or cannot be, opened; owned */
	bool may_have_code; /* others are not looked at */
};

/* The registers of one thread. */
struct target_thread {
	pid_t tid;
	uint64_t sp, fp, pc;
};

struct target {
	pid_t pid;
	bool is_core;
	char name[32];   /* the program's, short */
	char *path;      /* of the core file; NULL: live; owned */
	int memory;      /* descriptor: the core file, or /proc/PID/mem */
	int64_t now;     /* the monotonic clock at the last forget; a core's: unknown, 0 */
	bool has_fault_; /* see target_faulted */
	unsigned descriptors_asked; /* about since the last forget; descriptor.c */
	struct layout layout;
	struct target_file *files;
	uint32_t files_count;
	struct target_mapping *mappings; /* by start */
	uint32_t mappings_count;
	struct target_thread *threads; /* a core's */
	uint32_t threads_count;
	struct target_segment *segments; /* a core's, by address; core.c */
	uint32_t segments_count;
	struct target_page *pages; /* the pages read last; target.c */
};

/*
 * Look at `what`: a process id, or a core file's path. `executable`: the program of the core file;
 * NULL: the one it names.
 * Returns 0 and `*out` (owned), or negative errno and a sentence in `why`: what is the matter and
 * what to do.
 */
int target_open(const char *what, const char *executable, struct target **out,
		char why[TARGET_WHY_BYTES]);
void target_close(struct target *target);

/* What is read from now on is of now. */
void target_forget(struct target *target);

/* Copy memory out. True, or false, zeros, and the mark. */
bool target_read(struct target *target, uint64_t address, void *out, size_t bytes);

/* One number at `address` + `offset`; 0 if `offset` is LAYOUT_ABSENT, and no fault. */
uint64_t target_u64(struct target *target, uint64_t address, uint64_t offset);
uint32_t target_u32(struct target *target, uint64_t address, uint64_t offset);
uint8_t target_u8(struct target *target, uint64_t address, uint64_t offset);

/*
 * The text at `address`, cut to `bytes` with its NUL; what is not printable is a '?', so that no
 * target commands a terminal. True, or false and "".
 */
bool target_text(struct target *target, uint64_t address, char *out, size_t bytes);

/* Whether a read has failed since this was asked last. */
bool target_faulted(struct target *target);

/*
 * The address of the reactor in `slot`, 0 if there is none. Slots go up to reactors_count of the
 * layout.
 */
uint64_t target_reactor(struct target *target, uint32_t slot);

/* The file mapping around `address`; NULL: none. */
const struct target_mapping *target_mapping_at(const struct target *target, uint64_t address);

/*
 * The thread whose stack pointer is in [low, high). A live target's threads that run are stopped
 * for a moment, each at most a tenth of a second. False: there is none.
 */
bool target_thread_on(const struct target *target, uint64_t low, uint64_t high,
		      struct target_thread *thread);

/* Processor time that a live target's thread has used; -1: not known. */
int64_t target_thread_cpu_ns(const struct target *target, pid_t tid);

/*
 * What to add to an address in `file` to have it in memory. False if that file cannot be opened, or
 * is none that is loaded like that.
 */
bool target_file_bias(const struct target *target, uint32_t file, uint64_t *bias);

/* ---- between target.c, live.c and core.c ---- */

/* Fill pid, name, files and mappings. */
int target_open_live(struct target *target, char *why);
int target_open_core(struct target *target, const char *executable, char *why);

/* Up to `bytes` at `address` into `out`; returns how many, from the start. */
size_t target_read_live(struct target *target, uint64_t address, void *out, size_t bytes);
size_t target_read_core(struct target *target, uint64_t address, void *out, size_t bytes);

/* The file of `path`, added if it is new; its `fd` is still to be opened. -ENOMEM, -E2BIG. */
int target_add_file(struct target *target, const char *path);
int target_add_mapping(struct target *target, const struct target_mapping *mapping);

/* find.c: find and read the table of offsets. */
int target_find_layout(struct target *target, char *why);

#endif /* ROTA_APPS_ROTA_TARGET_H */
