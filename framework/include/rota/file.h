/* SPDX-License-Identifier: MIT */
/*
 * Files: open, read, write, make durable, without stopping the reactor. Regular files and
 * directories; what may be without data for long (pipes, terminals) is for rota/net.h. Thread: a
 * task's.
 *
 * The one idea: every call is one or more engine operations, and durability is spelled out as the
 * kernel has it: what was written is safe after rota_file_sync, a name that was made, replaced or
 * removed after rota_directory_sync, and nothing is before. After a sync that failed the data
 * may be gone although later syncs succeed (Rebello and others, "Can Applications Recover from
 * fsync Failures?", USENIX ATC 2020): write it again, elsewhere, or stop.
 *
 * All calls suspend, and return 0 or negative errno where nothing else is said: the kernel's;
 * -ECANCELED / -ETIMEDOUT in a cancelled scope, at once or when what was under way has ended, which
 * may have happened or not; -EAGAIN or -ENOBUFS as in <rota/offload.h> where the engine needs
 * threads. Memory and paths are lent during the call.
 */
#ifndef ROTA_FILE_H
#define ROTA_FILE_H

#include <rota/base.h>
#include <rota/buffer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Caller's memory. Its calls may run at the same time, from tasks of any reactor. */
struct rota_file {
	int fd_; /* private */
};

/*
 * Open `path`; `flags` are open(2)'s (O_RDONLY, O_CREAT …; O_CLOEXEC is added), `mode` the
 * permissions of a file that is made. On success the caller owns the file: rota_file_close.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_file_open(struct rota_file *file, const char *path,
							int flags, uint32_t mode);

/* Close; exempt from cancellation, and the file is closed whatever is returned. Syncs nothing. */
ROTA_API ROTA_SUSPENDS int rota_file_close(struct rota_file *file);

/* Read at `offset` until `bytes` are there or the file ends. Returns how many were read. */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int64_t rota_file_read_at(struct rota_file *file, void *data,
							       size_t bytes, uint64_t offset);

/* Write all of it at `offset`. After an error any part of it may have been written. */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_file_write_at(struct rota_file *file,
							    const void *data, size_t bytes,
							    uint64_t offset);

/* Make what was written durable, and the size; with its times and permissions, or without. */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_file_sync(struct rota_file *file);
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_file_sync_data(struct rota_file *file);

/* Its size in bytes. */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int64_t rota_file_size(struct rota_file *file);

/* Cut it to `size_bytes`, or lengthen it with zeroes. */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_file_truncate(struct rota_file *file,
							    uint64_t size_bytes);

/* Reserve room on the disk; the file grows to offset + bytes if it is shorter. */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_file_allocate(struct rota_file *file, uint64_t offset,
							    uint32_t bytes);

/* ---- names ---- */

/* `to` is replaced at once or not at all. */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_file_rename(const char *from, const char *to);
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_file_unlink(const char *path);
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_directory_make(const char *path, uint32_t mode);
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_directory_remove(const char *path);

/* Make the names in it durable: what was made, renamed or removed there. */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_directory_sync(const char *path);

/*
 * Call each(name, arg) for every name in it, in any order; `name` is borrowed during the call,
 * which may suspend, and ends the walk by returning anything but 0. Returns that, or 0.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_directory_list(
	const char *path, int (*each)(const char *name, void *arg), void *arg);

/* ---- whole files ---- */

/* Append all of it to `out`. -EFBIG: it has more than `bytes_max`; `out` has what was read. */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_file_read_whole(const char *path, size_t bytes_max,
							      struct rota_buffer *out);

/*
 * Replace the file at `path`, durably: after a crash it is the old one or the new one, whole; once
 * this has returned 0, the new one. Written beside it, as `path` with ".new" behind, which a crash
 * may leave there and the next replacement writes over. One at a time for one path. -ENAMETOOLONG:
 * longer than 4000 bytes. After another error it is the old one or the new one.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_file_replace(const char *path, const void *data,
							   size_t bytes, uint32_t mode);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_FILE_H */
