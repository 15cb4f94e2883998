/* SPDX-License-Identifier: MIT */
/*
 * Simulated files as running programs see them: paths, handles, reading and writing. Same thread
 * rule as sim.h. What is on the disk is disk.c's.
 *
 * The one idea: each operation is looked at as Linux would, in the same order of errors, and then
 * done in one step. There are no links, no "..", no permissions; the working directory is the root.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include <rota/log.h>
#include <rota/memory.h>

#include "backends/sim/files.h"

#define FLAGS_KNOWN                                                                                \
	(O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)

/* ---- life ---- */

struct sim_files *sim__files_create(struct rota_sim_world *world, unsigned host)
{
	struct sim_files *files = rota_calloc(1, sizeof(*files));

	if (!files)
		return NULL;
	files->world = world;
	files->host = host;
	rota_list_init(&files->inodes);
	rota_list_init(&files->journal);
	files->root = sim__inode_create(files, true);
	if (!files->root) {
		rota_free(files);
		return NULL;
	}
	return files;
}

void sim__files_destroy(struct sim_files *files)
{
	if (!files)
		return;
	sim__files_empty(files);
	sim__inode_unref(files, files->root);
	ROTA_ASSERT(rota_list_is_empty(&files->inodes));
	rota_free(files);
}

unsigned sim__files_report(const struct sim_files *files)
{
	for (unsigned i = 0; i < SIM_FILES_OPEN_MAX && files->open_count; i++)
		if (files->handles[i].inode)
			rota_log(ROTA_LOG_WARNING, "sim: open: file %u, %zu bytes",
				 ROTA_SIM_FILE_FIRST + i,
				 files->handles[i].inode->content[SIM_NOW].bytes);
	return files->open_count;
}

void rota_sim_disk_crash(struct rota_sim_world *world, unsigned host)
{
	for (unsigned i = 0; i < SIM_INSTANCES_MAX; i++)
		ROTA_ASSERT(!world->instances[i] || !world->instances[i]->lent_count);
	if (world->hosts[host])
		sim__files_crash(world->hosts[host]->files);
}

/* ---- paths ---- */

/* A place in the tree: the directory, the name in it, and what is there, if anything. */
struct place {
	struct sim_inode *directory; /* NULL: the path is the root itself */
	struct sim_inode *inode;     /* NULL: nothing has that name */
	char name[SIM_NAME_BYTES];
};

/* Take the next name off `*path`. Returns its length, 0 at the end, or negative errno. */
static int next_name(const char **path, char name[SIM_NAME_BYTES])
{
	size_t bytes;

	for (;;) {
		*path += strspn(*path, "/");
		bytes = strcspn(*path, "/");
		if (bytes != 1 || **path != '.')
			break;
		(*path)++;
	}
	if (bytes >= SIM_NAME_BYTES)
		return -ENAMETOOLONG;
	memcpy(name, *path, bytes);
	memset(name + bytes, 0, SIM_NAME_BYTES - bytes);
	*path += bytes;
	return (int)bytes;
}

static int find_place(const struct sim_files *files, const char *path, struct place *place)
{
	char name[SIM_NAME_BYTES];
	int bytes;

	*place = (struct place){ .inode = files->root };
	if (!*path)
		return -ENOENT;
	while ((bytes = next_name(&path, name)) > 0) {
		const struct sim_entry *entry;

		if (!place->inode)
			return -ENOENT;
		if (!place->inode->is_directory)
			return -ENOTDIR;
		place->directory = place->inode;
		memcpy(place->name, name, sizeof(name));
		entry = sim__entry_find(place->directory, SIM_NOW, name);
		place->inode = entry ? entry->inode : NULL;
	}
	return bytes < 0 ? bytes : 0;
}

/* A new file or directory at an empty place. */
static int make_at(struct sim_files *files, struct place *place, bool is_directory)
{
	struct sim_change *change = sim__change_create(NULL, place->directory);

	if (!change)
		return -ENOMEM;
	memcpy(change->to_name, place->name, sizeof(change->to_name));
	change->inode = sim__inode_create(files, is_directory);
	if (!change->inode) {
		sim__change_drop(files, change);
		return -ENOMEM;
	}
	place->inode = change->inode;
	sim__change_apply(files, change);
	sim__inode_unref(files, place->inode); /* ours; its place and the change hold it */
	return 0;
}

/* ---- handles ---- */

static struct sim_handle *handle_of(struct sim_files *files, int fd)
{
	int64_t slot = (int64_t)fd - ROTA_SIM_FILE_FIRST;

	if (slot < 0 || slot >= SIM_FILES_OPEN_MAX || !files->handles[slot].inode)
		return NULL;
	return &files->handles[slot];
}

static int open_inode(struct sim_files *files, struct sim_inode *inode, int flags)
{
	int slot = 0;

	while (slot < SIM_FILES_OPEN_MAX && files->handles[slot].inode)
		slot++;
	if (slot == SIM_FILES_OPEN_MAX)
		return -EMFILE;
	files->handles[slot] = (struct sim_handle){ .inode = inode, .flags = flags };
	inode->refs++;
	files->open_count++;
	return ROTA_SIM_FILE_FIRST + slot;
}

/* What the disk has room for. */
static uint64_t bytes_left(const struct sim_files *files)
{
	uint64_t disk_bytes = files->world->options.disk_bytes;

	if (sim__is_burdened(files->world, files->host, ROTA_SIM_DISK_FULL))
		return 0;
	return files->bytes < disk_bytes ? disk_bytes - files->bytes : 0;
}

static int resize(struct sim_files *files, struct sim_inode *inode, uint64_t bytes)
{
	struct rota_buffer *now = &inode->content[SIM_NOW];
	struct sim_write *write;
	int status;

	if (bytes > INT32_MAX)
		return -EFBIG;
	if (bytes > now->bytes && bytes - now->bytes > bytes_left(files))
		return -ENOSPC;
	write = rota_calloc(1, sizeof(*write));
	if (!write)
		return -ENOMEM;
	files->bytes -= now->bytes;
	status = sim__content_resize(now, bytes);
	files->bytes += now->bytes;
	if (status < 0) {
		rota_free(write);
		return status;
	}
	write->is_size = true;
	write->offset = bytes;
	return sim__write_remember(inode, write);
}

static int run_open(struct sim_files *files, const struct rota_file_op *op)
{
	bool writes = (op->flags & O_ACCMODE) != O_RDONLY;
	struct place place;
	int status = find_place(files, op->path, &place);

	if (status < 0)
		return status;
	if (op->flags & ~FLAGS_KNOWN)
		return -EINVAL;
	if (place.inode && (op->flags & O_CREAT) && (op->flags & O_EXCL))
		return -EEXIST;
	if (!place.inode && !(op->flags & O_CREAT))
		return -ENOENT;
	if (!place.inode)
		status = make_at(files, &place, false);
	if (status < 0)
		return status;
	if (place.inode->is_directory && (writes || op->flags & O_CREAT))
		return -EISDIR;
	if (!place.inode->is_directory && op->flags & O_DIRECTORY)
		return -ENOTDIR;
	if (op->flags & O_TRUNC && writes && place.inode->content[SIM_NOW].bytes)
		status = resize(files, place.inode, 0);
	return status < 0 ? status : open_inode(files, place.inode, op->flags);
}

static int run_close(struct sim_files *files, struct sim_handle *handle)
{
	struct sim_inode *inode = handle->inode;

	handle->inode = NULL;
	files->open_count--;
	sim__inode_unref(files, inode);
	return 0;
}

/* ---- bytes ---- */

static bool has_disk_error(const struct sim_files *files)
{
	return sim__disk_fails(files, SIM_DECIDE_DISK_ERROR,
			       files->world->options.disk_error_permille);
}

static int run_read(struct sim_files *files, const struct sim_handle *handle,
		    const struct rota_file_op *op)
{
	const struct rota_buffer *now = &handle->inode->content[SIM_NOW];
	size_t bytes = op->bytes;

	if (handle->inode->is_directory)
		return -EISDIR;
	if ((handle->flags & O_ACCMODE) == O_WRONLY)
		return -EBADF;
	if (has_disk_error(files))
		return -EIO;
	if (op->offset >= now->bytes || !bytes)
		return 0;
	bytes = rota_min_size(bytes, now->bytes - (size_t)op->offset);
	bytes = sim__transfer_bytes(files->world, bytes);
	memcpy(op->data, now->data + op->offset, bytes);
	sim__hash_bytes(files->world, op->data, bytes);
	return (int)bytes;
}

/* How much of a write at `offset` the disk has room for. */
static size_t bytes_that_fit(const struct sim_files *files, const struct rota_buffer *now,
			     uint64_t offset, size_t bytes)
{
	uint64_t room = bytes_left(files);

	if (offset + bytes <= now->bytes + room)
		return bytes;
	return offset < now->bytes + room ? (size_t)(now->bytes + room - offset) : 0;
}

static int run_write(struct sim_files *files, const struct sim_handle *handle,
		     const struct rota_file_op *op)
{
	struct sim_inode *inode = handle->inode;
	struct rota_buffer *now = &inode->content[SIM_NOW];
	uint64_t offset = handle->flags & O_APPEND ? now->bytes : op->offset;
	struct sim_write *write;
	size_t bytes;

	if ((handle->flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	if (has_disk_error(files))
		return -EIO;
	if (!op->bytes)
		return 0;
	if (offset > INT32_MAX - op->bytes)
		return -EFBIG;
	bytes = bytes_that_fit(files, now, offset, op->bytes);
	if (!bytes)
		return -ENOSPC;
	bytes = sim__transfer_bytes(files->world, bytes);
	write = rota_calloc(1, sizeof(*write) + bytes);
	if (!write)
		return -ENOMEM;
	files->bytes -= now->bytes;
	if (offset + bytes > now->bytes && sim__content_resize(now, offset + bytes) < 0) {
		files->bytes += now->bytes;
		rota_free(write);
		return -ENOMEM;
	}
	files->bytes += now->bytes;
	write->offset = offset;
	write->bytes = bytes;
	memcpy(write->data, op->data, bytes);
	memcpy(now->data + offset, op->data, bytes);
	sim__hash_bytes(files->world, op->data, bytes);
	return sim__write_remember(inode, write) < 0 ? -ENOMEM : (int)bytes;
}

static int run_status(const struct sim_handle *handle, struct statx *status)
{
	*status = (struct statx){
		.stx_mask = STATX_TYPE | STATX_SIZE,
		.stx_mode = handle->inode->is_directory ? S_IFDIR | 0755 : S_IFREG | 0644,
		.stx_size = handle->inode->content[SIM_NOW].bytes,
	};
	return 0;
}

/*
 * The names are counted, so one that comes or goes meanwhile may hide another or be told twice: as
 * POSIX allows, and who relies on more is to find out.
 */
static int run_list(struct sim_handle *handle, const struct rota_file_op *op)
{
	const struct rota_link *head = &handle->inode->entries[SIM_NOW];
	unsigned skipped = 0;
	size_t used = 0;

	if (!handle->inode->is_directory)
		return -ENOTDIR;
	for (const struct rota_link *link = head->next; link != head; link = link->next) {
		const struct sim_entry *entry = ROTA_CONTAINER_OF(link, const struct sim_entry,
								  link);
		size_t bytes = strlen(entry->name) + 1;

		if (skipped++ < handle->listed)
			continue;
		if (used + bytes > op->bytes)
			return used ? (int)used : -EINVAL;
		memcpy((char *)op->data + used, entry->name, bytes);
		used += bytes;
		handle->listed++;
	}
	return (int)used;
}

static int run_resize(struct sim_files *files, const struct sim_handle *handle,
		      const struct rota_file_op *op)
{
	uint64_t end = op->offset + op->bytes;

	if (handle->inode->is_directory || (handle->flags & O_ACCMODE) == O_RDONLY)
		return op->action == ROTA_FILE_TRUNCATE ? -EINVAL : -EBADF;
	if (op->action == ROTA_FILE_TRUNCATE)
		return resize(files, handle->inode, op->offset);
	if (!op->bytes)
		return -EINVAL;
	if (end <= handle->inode->content[SIM_NOW].bytes)
		return 0;
	return resize(files, handle->inode, end);
}

/* ---- names ---- */

/* May `old` give way to `inode`, or to nothing? */
static int may_replace(const struct sim_inode *old, const struct sim_inode *inode)
{
	if (old->is_directory && (!inode || inode->is_directory))
		return rota_list_is_empty(&old->entries[SIM_NOW]) ? 0 : -ENOTEMPTY;
	if (inode && old->is_directory)
		return -EISDIR;
	return inode && inode->is_directory ? -ENOTDIR : 0;
}

/* Is `wanted` the directory `inode`, or somewhere in it? */
static bool contains(const struct sim_inode *inode, const struct sim_inode *wanted)
{
	const struct rota_link *head = &inode->entries[SIM_NOW];

	if (inode == wanted)
		return true;
	for (const struct rota_link *link = head->next; link != head; link = link->next)
		if (contains(ROTA_CONTAINER_OF(link, const struct sim_entry, link)->inode, wanted))
			return true;
	return false;
}

static int run_rename(struct sim_files *files, const struct rota_file_op *op)
{
	struct sim_change *change;
	struct place from, to;
	int status = find_place(files, op->path, &from);

	if (status < 0)
		return status;
	status = find_place(files, op->path_to, &to);
	if (status < 0)
		return status;
	if (!from.inode)
		return -ENOENT;
	if (!from.directory || !to.directory)
		return -EBUSY;
	if (from.inode == to.inode)
		return 0;
	if (contains(from.inode, to.directory))
		return -EINVAL;
	if (to.inode)
		status = may_replace(to.inode, from.inode);
	if (status < 0)
		return status;
	change = sim__change_create(from.directory, to.directory);
	if (!change)
		return -ENOMEM;
	change->inode = from.inode;
	memcpy(change->from_name, from.name, sizeof(change->from_name));
	memcpy(change->to_name, to.name, sizeof(change->to_name));
	sim__change_apply(files, change);
	return 0;
}

static int run_unlink(struct sim_files *files, const struct rota_file_op *op)
{
	struct sim_change *change;
	struct place place;
	int status = find_place(files, op->path, &place);

	if (status < 0)
		return status;
	if (!place.inode)
		return -ENOENT;
	if (!place.directory)
		return -EBUSY;
	if (op->flags & AT_REMOVEDIR && !place.inode->is_directory)
		return -ENOTDIR;
	if (!(op->flags & AT_REMOVEDIR) && place.inode->is_directory)
		return -EISDIR;
	status = may_replace(place.inode, NULL);
	if (status < 0)
		return status;
	change = sim__change_create(place.directory, NULL);
	if (!change)
		return -ENOMEM;
	memcpy(change->from_name, place.name, sizeof(change->from_name));
	sim__change_apply(files, change);
	return 0;
}

static int run_make_directory(struct sim_files *files, const struct rota_file_op *op)
{
	struct place place;
	int status = find_place(files, op->path, &place);

	if (status < 0)
		return status;
	return place.inode ? -EEXIST : make_at(files, &place, true);
}

/* ---- all ---- */

static int run_on_handle(struct sim_files *files, struct sim_handle *handle,
			 const struct rota_file_op *op)
{
	switch ((enum rota_file_action)op->action) {
	case ROTA_FILE_CLOSE:
		return run_close(files, handle);
	case ROTA_FILE_READ:
		return run_read(files, handle, op);
	case ROTA_FILE_WRITE:
		return run_write(files, handle, op);
	case ROTA_FILE_SYNC:
		return sim__inode_sync(files, handle->inode);
	case ROTA_FILE_ALLOCATE:
	case ROTA_FILE_TRUNCATE:
		return run_resize(files, handle, op);
	case ROTA_FILE_STATUS:
		return run_status(handle, op->data);
	case ROTA_FILE_LIST:
		return run_list(handle, op);
	default:
		return -EINVAL;
	}
}

int32_t sim__files_run(struct sim_files *files, const struct rota_file_op *op)
{
	struct sim_handle *handle;

	switch ((enum rota_file_action)op->action) {
	case ROTA_FILE_OPEN:
		return run_open(files, op);
	case ROTA_FILE_RENAME:
		return run_rename(files, op);
	case ROTA_FILE_UNLINK:
		return run_unlink(files, op);
	case ROTA_FILE_MAKE_DIRECTORY:
		return run_make_directory(files, op);
	default:
		handle = handle_of(files, op->op.fd);
		return handle ? run_on_handle(files, handle, op) : -EBADF;
	}
}
