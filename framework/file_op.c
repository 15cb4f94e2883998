/* SPDX-License-Identifier: MIT */
/*
 * File operations done with system calls, for engines that leave them to a thread. Any thread; may
 * block.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <rota/backend.h>
#include <rota/error.h>

void rota_file_op_init(struct rota_file_op *file, enum rota_file_action action, int fd)
{
	*file = (struct rota_file_op){ .op = { .kind = ROTA_OP_FILE, .fd = fd },
				       .action = (uint8_t)action };
	file->op.work.fn = rota_file_op_run;
}

/* What the kernel writes for one name. */
struct entry {
	uint64_t inode;
	int64_t next_offset;
	uint16_t entry_bytes;
	uint8_t type;
	char name[];
};

/* Make `bytes` of entries into names, in place: a name is shorter than its entry. */
static int32_t keep_names(char *data, size_t bytes)
{
	size_t used = 0;

	for (size_t at = 0; at < bytes;) {
		const char *name = data + at + offsetof(struct entry, name);
		size_t name_bytes = strlen(name) + 1;
		uint16_t entry_bytes;

		memcpy(&entry_bytes, data + at + offsetof(struct entry, entry_bytes),
		       sizeof(entry_bytes));
		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
			memmove(data + used, name, name_bytes);
			used += name_bytes;
		}
		at += entry_bytes;
	}
	return (int32_t)used;
}

static int64_t list(const struct rota_file_op *file)
{
	int64_t bytes;

	do {
		bytes = syscall(SYS_getdents64, file->op.fd, file->data, file->bytes);
		if (bytes <= 0)
			return bytes;
		bytes = keep_names(file->data, (size_t)bytes);
	} while (!bytes); /* only "." and ".." */
	return bytes;
}

/* As system calls have it: the result, or -1 and errno. */
static int64_t run(const struct rota_file_op *file)
{
	int fd = file->op.fd;

	switch ((enum rota_file_action)file->action) {
	case ROTA_FILE_OPEN:
		return open(file->path, file->flags | O_CLOEXEC, (mode_t)file->mode);
	case ROTA_FILE_CLOSE:
		/* EINTR: Linux has released the descriptor all the same. */
		return close(fd) < 0 && errno != EINTR ? -1 : 0;
	case ROTA_FILE_READ:
		return pread(fd, file->data, file->bytes, (off_t)file->offset);
	case ROTA_FILE_WRITE:
		return pwrite(fd, file->data, file->bytes, (off_t)file->offset);
	case ROTA_FILE_SYNC:
		return file->flags ? fdatasync(fd) : fsync(fd);
	case ROTA_FILE_ALLOCATE:
		return fallocate(fd, 0, (off_t)file->offset, file->bytes);
	case ROTA_FILE_TRUNCATE:
		return ftruncate(fd, (off_t)file->offset);
	case ROTA_FILE_STATUS:
		return statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, file->data);
	case ROTA_FILE_RENAME:
		return rename(file->path, file->path_to);
	case ROTA_FILE_UNLINK:
		return unlinkat(AT_FDCWD, file->path, file->flags);
	case ROTA_FILE_MAKE_DIRECTORY:
		return mkdir(file->path, (mode_t)file->mode);
	case ROTA_FILE_LIST:
		return list(file);
	case ROTA_FILE_ACTION_COUNT:
		break;
	}
	errno = EINVAL;
	return -1;
}

int32_t rota_file_op_run(struct rota_op *op)
{
	const struct rota_file_op *file = ROTA_CONTAINER_OF(op, struct rota_file_op, op);
	int64_t result;

	/* Nothing of these has happened when a signal is why they failed. */
	do
		result = run(file);
	while (result < 0 && errno == EINTR && file->action != ROTA_FILE_CLOSE);
	return result < 0 ? -errno : (int32_t)result;
}
