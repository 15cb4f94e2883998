/* SPDX-License-Identifier: MIT */
/*
 * The uring engine's requests for file operations. Reactor's thread.
 *
 * The one idea: all but two have had a request since before the oldest kernel this engine opens on.
 * Those two, listing a directory (none yet) and truncating before Linux 6.9, go to the offload
 * pool.
 */
#include <fcntl.h>

#include "backends/uring/uring.h"

bool uring__file_is_native(const struct uring_engine *engine, const struct rota_file_op *file)
{
	if (file->action == ROTA_FILE_TRUNCATE)
		return engine->features & URING_FEATURE_BIT(URING_TRUNCATE);
	return file->action != ROTA_FILE_LIST;
}

void uring__file_fill(struct io_uring_sqe *sqe, const struct rota_file_op *file)
{
	int fd = file->op.fd;

	switch ((enum rota_file_action)file->action) {
	case ROTA_FILE_OPEN:
		io_uring_prep_openat(sqe, AT_FDCWD, file->path, file->flags | O_CLOEXEC,
				     (mode_t)file->mode);
		break;
	case ROTA_FILE_CLOSE:
		io_uring_prep_close(sqe, fd);
		/* The last of a big deleted file takes long: not on our time. */
		sqe->flags |= IOSQE_ASYNC;
		break;
	case ROTA_FILE_READ:
		io_uring_prep_read(sqe, fd, file->data, file->bytes, file->offset);
		break;
	case ROTA_FILE_WRITE:
		io_uring_prep_write(sqe, fd, file->data, file->bytes, file->offset);
		break;
	case ROTA_FILE_SYNC:
		io_uring_prep_fsync(sqe, fd, file->flags ? IORING_FSYNC_DATASYNC : 0);
		break;
	case ROTA_FILE_ALLOCATE:
		/*
		 * Not prep_fallocate: before liburing 2.4 its length is an off_t, later an __u64.
		 */
		io_uring_prep_rw(IORING_OP_FALLOCATE, sqe, fd, NULL, 0, file->offset);
		sqe->addr = file->bytes;
		break;
	case ROTA_FILE_TRUNCATE:
		io_uring_prep_rw(URING_OPCODE_FTRUNCATE, sqe, fd, NULL, 0, file->offset);
		break;
	case ROTA_FILE_STATUS:
		io_uring_prep_statx(sqe, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, file->data);
		break;
	case ROTA_FILE_RENAME:
		io_uring_prep_renameat(sqe, AT_FDCWD, file->path, AT_FDCWD, file->path_to, 0);
		break;
	case ROTA_FILE_UNLINK:
		io_uring_prep_unlinkat(sqe, AT_FDCWD, file->path, file->flags);
		break;
	case ROTA_FILE_MAKE_DIRECTORY:
		io_uring_prep_mkdirat(sqe, AT_FDCWD, file->path, (mode_t)file->mode);
		break;
	case ROTA_FILE_LIST: /* never native */
	case ROTA_FILE_ACTION_COUNT:
		break;
	}
}
