/* SPDX-License-Identifier: MIT */
/*
 * Files, as tasks use them. Runs on the task's reactor.
 *
 * The one idea: an operation lives in the frame that waits for it, with all it names; so every
 * function here is a struct filled in and one wait.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <rota/error.h>
#include <rota/file.h>
#include <rota/memory.h>

#include "framework/reactor_internal.h"

#define PIECE_BYTES_MAX (1u << 30) /* the contract's */
#define READ_BYTES_FIRST 4096      /* of a file that says it is empty, as those of /proc do */
#define LIST_BYTES 4096
#define PATH_BYTES_MAX 4000

/* ---- operations ---- */

/* An operation on a file, whose last member is the first of what is waited for. */
struct file_wait {
	union {
		struct rota_file_op file;
		struct {
			char arguments_[offsetof(struct rota_file_op, op)];
			struct io io;
		};
	};
};

_Static_assert(offsetof(struct file_wait, io.op) == offsetof(struct file_wait, file.op) &&
		       offsetof(struct rota_file_op, op) + sizeof(struct rota_op) ==
			       sizeof(struct rota_file_op),
	       "the operation is the same one");

/* Returns its result; cancelled: that, unless it had achieved something. */
static ROTA_SUSPENDS int run(struct file_wait *wait)
{
	return (int)rota__io_await(&wait->io);
}

/* A whole operation on one path. */
static ROTA_SUSPENDS int run_on_path(enum rota_file_action action, const char *path, int flags,
				     uint32_t mode)
{
	struct file_wait wait;

	rota_file_op_init(&wait.file, action, -1);
	wait.file.path = path;
	wait.file.flags = flags;
	wait.file.mode = mode;
	return run(&wait);
}

/* ---- open files ---- */

int rota_file_open(struct rota_file *file, const char *path, int flags, uint32_t mode)
{
	int fd = run_on_path(ROTA_FILE_OPEN, path, flags, mode);

	if (fd < 0)
		return fd;
	file->fd_ = fd;
	return 0;
}

int rota_file_close(struct rota_file *file)
{
	struct file_wait wait;

	rota_file_op_init(&wait.file, ROTA_FILE_CLOSE, file->fd_);
	file->fd_ = -1;
	return (int)rota__io_await_exempt(&wait.io);
}

/* One READ or WRITE of at most what the contract takes. */
static ROTA_SUSPENDS int move(const struct rota_file *file, enum rota_file_action action,
			      void *data, size_t bytes, uint64_t offset)
{
	struct file_wait wait;

	rota_file_op_init(&wait.file, action, file->fd_);
	wait.file.data = data;
	wait.file.bytes = (uint32_t)rota_min_size(bytes, PIECE_BYTES_MAX);
	wait.file.offset = offset;
	return run(&wait);
}

int64_t rota_file_read_at(struct rota_file *file, void *data, size_t bytes, uint64_t offset)
{
	size_t done = 0;

	while (done < bytes) {
		int moved = move(file, ROTA_FILE_READ, (char *)data + done, bytes - done,
				 offset + done);

		if (moved < 0)
			return moved;
		if (!moved)
			break;
		done += (size_t)moved;
	}
	return (int64_t)done;
}

int rota_file_write_at(struct rota_file *file, const void *data, size_t bytes, uint64_t offset)
{
	/* The contract has one pointer for both directions, and writes through none of ours. */
	char *from = (char *)(uintptr_t)data;

	while (bytes) {
		int moved = move(file, ROTA_FILE_WRITE, from, bytes, offset);

		if (moved < 0)
			return moved;
		if (!moved)
			return -EIO; /* no kernel does; but it would never end */
		from += moved;
		bytes -= (size_t)moved;
		offset += (uint64_t)moved;
	}
	return 0;
}

static ROTA_SUSPENDS int sync_file(const struct rota_file *file, bool data_only)
{
	struct file_wait wait;

	rota_file_op_init(&wait.file, ROTA_FILE_SYNC, file->fd_);
	wait.file.flags = data_only;
	return run(&wait);
}

int rota_file_sync(struct rota_file *file)
{
	return sync_file(file, false);
}

int rota_file_sync_data(struct rota_file *file)
{
	return sync_file(file, true);
}

int64_t rota_file_size(struct rota_file *file)
{
	struct file_wait wait;
	struct statx status;
	int result;

	rota_file_op_init(&wait.file, ROTA_FILE_STATUS, file->fd_);
	wait.file.data = &status;
	result = run(&wait);
	return result < 0 ? result : (int64_t)status.stx_size;
}

int rota_file_truncate(struct rota_file *file, uint64_t size_bytes)
{
	struct file_wait wait;

	rota_file_op_init(&wait.file, ROTA_FILE_TRUNCATE, file->fd_);
	wait.file.offset = size_bytes;
	return run(&wait);
}

int rota_file_allocate(struct rota_file *file, uint64_t offset, uint32_t bytes)
{
	struct file_wait wait;

	rota_file_op_init(&wait.file, ROTA_FILE_ALLOCATE, file->fd_);
	wait.file.offset = offset;
	wait.file.bytes = bytes;
	return run(&wait);
}

/* ---- names ---- */

int rota_file_rename(const char *from, const char *to)
{
	struct file_wait wait;

	rota_file_op_init(&wait.file, ROTA_FILE_RENAME, -1);
	wait.file.path = from;
	wait.file.path_to = to;
	return run(&wait);
}

int rota_file_unlink(const char *path)
{
	return run_on_path(ROTA_FILE_UNLINK, path, 0, 0);
}

int rota_directory_make(const char *path, uint32_t mode)
{
	return run_on_path(ROTA_FILE_MAKE_DIRECTORY, path, 0, mode);
}

int rota_directory_remove(const char *path)
{
	return run_on_path(ROTA_FILE_UNLINK, path, AT_REMOVEDIR, 0);
}

int rota_directory_sync(const char *path)
{
	struct rota_file directory;
	int status = rota_file_open(&directory, path, O_RDONLY | O_DIRECTORY, 0);

	if (status < 0)
		return status;
	status = rota_file_sync(&directory);
	rota_ignore(rota_file_close(&directory), "nothing was written through it");
	return status;
}

static ROTA_SUSPENDS int list_open(const struct rota_file *directory,
				   int (*each)(const char *name, void *arg), void *arg)
{
	char names[LIST_BYTES];
	struct file_wait wait;
	int bytes, status;

	for (;;) {
		rota_file_op_init(&wait.file, ROTA_FILE_LIST, directory->fd_);
		wait.file.data = names;
		wait.file.bytes = sizeof(names);
		bytes = run(&wait);
		if (bytes <= 0)
			return bytes;
		for (const char *name = names; name < names + bytes; name += strlen(name) + 1) {
			status = each(name, arg);
			if (status)
				return status;
		}
	}
}

int rota_directory_list(const char *path, int (*each)(const char *name, void *arg), void *arg)
{
	struct rota_file directory;
	int status = rota_file_open(&directory, path, O_RDONLY | O_DIRECTORY, 0);

	if (status < 0)
		return status;
	status = list_open(&directory, each, arg);
	rota_ignore(rota_file_close(&directory), "nothing was written through it");
	return status;
}

/* ---- whole files ---- */

static ROTA_SUSPENDS int read_open(struct rota_file *file, size_t bytes_max,
				   struct rota_buffer *out)
{
	int64_t size = rota_file_size(file);
	uint64_t offset = 0;

	if (size < 0)
		return (int)size;
	/* One byte more than it says, to see that it ends there. */
	for (size_t room = size ? (size_t)size + 1 : READ_BYTES_FIRST;; room = READ_BYTES_FIRST) {
		int64_t bytes;

		room = rota_min_size(room, bytes_max - offset + 1);
		if (rota_buffer_reserve(out, room) < 0)
			return -ENOMEM;
		bytes = rota_file_read_at(file, out->data + out->bytes, room, offset);
		if (bytes < 0)
			return (int)bytes;
		out->bytes += (size_t)bytes;
		offset += (uint64_t)bytes;
		if (offset > bytes_max)
			return -EFBIG;
		if ((size_t)bytes < room)
			return 0;
	}
}

int rota_file_read_whole(const char *path, size_t bytes_max, struct rota_buffer *out)
{
	struct rota_file file;
	int status = rota_file_open(&file, path, O_RDONLY, 0);

	ROTA_ASSERT(bytes_max < SIZE_MAX);
	if (status < 0)
		return status;
	status = read_open(&file, bytes_max, out);
	rota_ignore(rota_file_close(&file), "nothing was written through it");
	return status;
}

/* Make `path` with `data`, durable but for its name. */
static ROTA_SUSPENDS int write_new(const char *path, const void *data, size_t bytes, uint32_t mode)
{
	struct rota_file file;
	int status = rota_file_open(&file, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
	int closed;

	if (status < 0)
		return status;
	status = rota_file_write_at(&file, data, bytes, 0);
	if (status == 0)
		status = rota_file_sync(&file);
	closed = rota_file_close(&file);
	return status < 0 ? status : closed;
}

/* The directory `path` is in, into `out`, which has room for it. */
static void directory_of(const char *path, char *out)
{
	const char *slash = strrchr(path, '/');
	size_t bytes = slash ? (size_t)(slash - path) : 0;

	if (slash == path)
		bytes = 1;
	memcpy(out, bytes ? path : ".", bytes ? bytes : 1);
	out[bytes ? bytes : 1] = '\0';
}

static ROTA_SUSPENDS int replace(const char *path, char *scratch, const void *data, size_t bytes,
				 uint32_t mode)
{
	size_t path_bytes = strlen(path);
	int status;

	memcpy(scratch, path, path_bytes);
	memcpy(scratch + path_bytes, ".new", sizeof(".new"));
	status = write_new(scratch, data, bytes, mode);
	if (status == 0)
		status = rota_file_rename(scratch, path);
	if (status < 0)
		return status;
	directory_of(path, scratch);
	return rota_directory_sync(scratch);
}

int rota_file_replace(const char *path, const void *data, size_t bytes, uint32_t mode)
{
	char *scratch;
	int status;

	if (strlen(path) > PATH_BYTES_MAX)
		return -ENAMETOOLONG;
	/* Not on the stack, which may be small. */
	scratch = rota_alloc(strlen(path) + sizeof(".new"));
	if (!scratch)
		return -ENOMEM;
	status = replace(path, scratch, data, bytes, mode);
	rota_free(scratch);
	return status;
}
