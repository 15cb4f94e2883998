/* SPDX-License-Identifier: MIT */
/*
 * What of the simulated files is on the disk: write-back, syncs, crashes. Same thread rule as
 * sim.h.
 *
 * The one idea: see files.h. A crash keeps any part of what was not synced (T. Pillai and others,
 * "All File Systems Are Not Created Equal", OSDI 2014, say what real ones keep); a failed sync
 * forgets what it could not write (A. Rebello and others, "Can Applications Recover from fsync
 * Failures?", USENIX ATC 2020).
 */
#include <errno.h>
#include <string.h>

#include <rota/log.h>
#include <rota/memory.h>

#include "backends/sim/files.h"

#define SECTOR_BYTES 512

/* What a crash makes of one write. */
enum fate {
	FATE_LOST,
	FATE_WHOLE,
	FATE_PREFIX,
	FATE_SECTORS,
	FATE_ZEROES, /* the size came to the disk, the bytes did not */
	FATE_COUNT
};

/* ---- inodes and entries ---- */

struct sim_inode *sim__inode_create(struct sim_files *files, bool is_directory)
{
	struct sim_inode *inode = rota_calloc(1, sizeof(*inode));

	if (!inode)
		return NULL;
	inode->is_directory = is_directory;
	rota_list_init(&inode->writes);
	for (int view = 0; view < SIM_VIEW_COUNT; view++)
		rota_list_init(&inode->entries[view]);
	rota_list_push_back(&files->inodes, &inode->link);
	inode->refs = 1;
	return inode;
}

static void free_entry(struct sim_files *files, struct sim_entry *entry)
{
	rota_list_remove(&entry->link);
	sim__inode_unref(files, entry->inode);
	rota_free(entry);
}

static void free_entries(struct sim_files *files, struct sim_inode *directory, enum sim_view view)
{
	struct rota_link *head = &directory->entries[view];

	while (!rota_list_is_empty(head))
		free_entry(files, ROTA_CONTAINER_OF(head->next, struct sim_entry, link));
}

static void free_write(struct sim_inode *inode, struct sim_write *write)
{
	rota_list_remove(&write->link);
	inode->writes_count--;
	rota_free(write);
}

static struct sim_write *oldest_write(const struct sim_inode *inode)
{
	if (rota_list_is_empty(&inode->writes))
		return NULL;
	return ROTA_CONTAINER_OF(inode->writes.next, struct sim_write, link);
}

void sim__inode_unref(struct sim_files *files, struct sim_inode *inode)
{
	struct sim_write *write;

	if (--inode->refs)
		return;
	files->bytes -= inode->content[SIM_NOW].bytes;
	while ((write = oldest_write(inode)))
		free_write(inode, write);
	for (int view = 0; view < SIM_VIEW_COUNT; view++) {
		free_entries(files, inode, (enum sim_view)view);
		rota_buffer_fini(&inode->content[view]);
	}
	rota_list_remove(&inode->link);
	rota_free(inode);
}

struct sim_entry *sim__entry_find(const struct sim_inode *directory, enum sim_view view,
				  const char *name)
{
	const struct rota_link *head = &directory->entries[view];

	for (struct rota_link *link = head->next; link != head; link = link->next) {
		struct sim_entry *entry = ROTA_CONTAINER_OF(link, struct sim_entry, link);

		if (!strcmp(entry->name, name))
			return entry;
	}
	return NULL;
}

int sim__content_resize(struct rota_buffer *content, uint64_t bytes)
{
	if (bytes > content->bytes) {
		size_t more = (size_t)bytes - content->bytes;

		if (rota_buffer_reserve(content, more) < 0)
			return -ENOMEM;
		memset(content->data + content->bytes, 0, more);
	}
	content->bytes = (size_t)bytes;
	return 0;
}

/* ---- names ---- */

static void set_entry(struct sim_files *files, struct sim_change *change, enum sim_view view)
{
	struct sim_entry *entry = change->entries[view];
	struct sim_entry *old;

	if (change->from && (old = sim__entry_find(change->from, view, change->from_name)))
		free_entry(files, old);
	if (!change->to)
		return;
	ROTA_ASSERT(change->inode);
	old = sim__entry_find(change->to, view, change->to_name);
	if (old)
		free_entry(files, old);
	change->entries[view] = NULL;
	entry->inode = change->inode;
	entry->inode->refs++;
	memcpy(entry->name, change->to_name, SIM_NAME_BYTES);
	rota_list_push_back(&change->to->entries[view], &entry->link);
}

static void free_change(struct sim_files *files, struct sim_change *change)
{
	for (int view = 0; view < SIM_VIEW_COUNT; view++)
		rota_free(change->entries[view]);
	if (change->from)
		sim__inode_unref(files, change->from);
	if (change->to)
		sim__inode_unref(files, change->to);
	if (change->inode)
		sim__inode_unref(files, change->inode);
	rota_free(change);
}

/* Out of the journal, onto the disk or not. */
static void end_change(struct sim_files *files, struct sim_change *change, bool survives)
{
	rota_list_remove(&change->link);
	files->journal_count--;
	if (survives)
		set_entry(files, change, SIM_SAFE);
	free_change(files, change);
}

struct sim_change *sim__change_create(struct sim_inode *from, struct sim_inode *to)
{
	struct sim_change *change = rota_calloc(1, sizeof(*change));

	if (!change)
		return NULL;
	for (int view = 0; view < SIM_VIEW_COUNT; view++)
		change->entries[view] = rota_calloc(1, sizeof(struct sim_entry));
	if (!change->entries[SIM_NOW] || !change->entries[SIM_SAFE]) {
		rota_free(change->entries[SIM_NOW]);
		rota_free(change->entries[SIM_SAFE]);
		rota_free(change);
		return NULL;
	}
	change->from = from;
	change->to = to;
	if (from)
		from->refs++;
	if (to)
		to->refs++;
	return change;
}

void sim__change_drop(struct sim_files *files, struct sim_change *change)
{
	change->inode = NULL;
	free_change(files, change);
}

void sim__change_apply(struct sim_files *files, struct sim_change *change)
{
	if (change->inode)
		change->inode->refs++;
	set_entry(files, change, SIM_NOW);
	rota_list_push_back(&files->journal, &change->link);
	if (++files->journal_count > SIM_CHANGES_MAX)
		end_change(files, ROTA_CONTAINER_OF(files->journal.next, struct sim_change, link),
			   true);
}

/*
 * All that happened in `directory`, and, since a change of two directories is one step, what
 * happened before in the directories they touch.
 */
static void want_changes(struct sim_files *files, const struct sim_inode *directory)
{
	for (struct rota_link *link = files->journal.prev; link != &files->journal;
	     link = link->prev) {
		struct sim_change *change = ROTA_CONTAINER_OF(link, struct sim_change, link);

		change->is_wanted = change->from == directory || change->to == directory;
		for (struct rota_link *later = link->next;
		     later != &files->journal && !change->is_wanted; later = later->next) {
			const struct sim_change *other = ROTA_CONTAINER_OF(later, struct sim_change,
									   link);

			change->is_wanted = other->is_wanted &&
					    ((change->from && (change->from == other->from ||
							       change->from == other->to)) ||
					     (change->to && (change->to == other->from ||
							     change->to == other->to)));
		}
	}
}

static void sync_directory(struct sim_files *files, struct sim_inode *directory, bool fails)
{
	bool survives = !fails || sim__draw(files->world, SIM_DECIDE_CRASH, 2);
	struct rota_link *next;

	want_changes(files, directory);
	for (struct rota_link *link = files->journal.next; link != &files->journal; link = next) {
		struct sim_change *change = ROTA_CONTAINER_OF(link, struct sim_change, link);

		next = link->next;
		if (change->is_wanted)
			end_change(files, change, survives);
	}
}

/* ---- content ---- */

/* Put bytes `first` up to `end` of a write onto the disk. */
static int put(struct rota_buffer *safe, const struct sim_write *write, size_t first, size_t end)
{
	if (first == end)
		return 0;
	if (write->offset + end > safe->bytes && sim__content_resize(safe, write->offset + end) < 0)
		return -ENOMEM;
	memcpy(safe->data + write->offset + first, write->data + first, end - first);
	return 0;
}

static int put_whole(struct sim_inode *inode, const struct sim_write *write)
{
	struct rota_buffer *safe = &inode->content[SIM_SAFE];

	if (write->is_size)
		return sim__content_resize(safe, write->offset);
	return put(safe, write, 0, write->bytes);
}

int sim__write_remember(struct sim_inode *inode, struct sim_write *write)
{
	int status = 0;

	rota_list_push_back(&inode->writes, &write->link);
	if (++inode->writes_count > SIM_WRITES_MAX) {
		struct sim_write *oldest = oldest_write(inode);

		status = put_whole(inode, oldest);
		free_write(inode, oldest);
	}
	return status;
}

bool sim__disk_fails(const struct sim_files *files, enum sim_decision what, uint32_t permille)
{
	if (sim__is_burdened(files->world, files->host, ROTA_SIM_DISK_ERROR))
		permille = 500;
	return sim__chance(files->world, what, permille);
}

int sim__inode_sync(struct sim_files *files, struct sim_inode *inode)
{
	struct rota_sim_world *world = files->world;
	bool fails = sim__disk_fails(files, SIM_DECIDE_SYNC_ERROR,
				     world->options.sync_error_permille);
	struct sim_write *write;
	int status = 0;

	if (inode->is_directory)
		sync_directory(files, inode, fails);
	while ((write = oldest_write(inode))) {
		/* Failed or not, it is clean now: no later sync will write it. */
		if (!fails || sim__draw(world, SIM_DECIDE_CRASH, 2))
			status = put_whole(inode, write) < 0 ? -ENOMEM : status;
		free_write(inode, write);
	}
	return fails ? -EIO : status;
}

/* ---- crash ---- */

/* There is no telling a test that runs out of memory what a crash has left. */
static void must(int status)
{
	ROTA_ASSERT(status == 0);
}

static void tear(struct sim_files *files, struct rota_buffer *safe, const struct sim_write *write)
{
	for (size_t first = 0; first < write->bytes;) {
		/* Sectors of the disk, not of the write. */
		size_t left = SECTOR_BYTES - (size_t)((write->offset + first) % SECTOR_BYTES);
		size_t end = rota_min_size(first + left, write->bytes);

		if (sim__draw(files->world, SIM_DECIDE_CRASH, 2))
			must(put(safe, write, first, end));
		first = end;
	}
}

static void draw_fate(struct sim_files *files, struct sim_inode *inode,
		      const struct sim_write *write)
{
	struct rota_buffer *safe = &inode->content[SIM_SAFE];
	uint64_t fates = write->is_size ? FATE_WHOLE + 1 : FATE_COUNT;

	switch ((enum fate)sim__draw(files->world, SIM_DECIDE_CRASH, fates)) {
	case FATE_WHOLE:
		must(put_whole(inode, write));
		break;
	case FATE_PREFIX:
		must(put(safe, write, 0,
			 (size_t)sim__draw(files->world, SIM_DECIDE_CRASH, write->bytes)));
		break;
	case FATE_SECTORS:
		tear(files, safe, write);
		break;
	case FATE_ZEROES:
		if (write->offset + write->bytes > safe->bytes)
			must(sim__content_resize(safe, write->offset + write->bytes));
		break;
	case FATE_LOST:
	case FATE_COUNT:
		break;
	}
}

/*
 * Pages written in any order, but of one file's places a later one never without those before, and
 * moved directories as journals have them, in order: no disk comes back with a tree in knots.
 */
static bool survives_alone(struct sim_files *files, const struct sim_change *change, bool any_lost)
{
	if (change->inode && change->inode->is_lost)
		return false;
	if (change->inode && change->inode->is_directory && change->from && any_lost)
		return false;
	return sim__draw(files->world, SIM_DECIDE_CRASH, 2);
}

/* The names: a journal that came some way, or pages. */
static void crash_names(struct sim_files *files)
{
	bool in_order = sim__draw(files->world, SIM_DECIDE_CRASH, 2);
	uint64_t kept = sim__draw(files->world, SIM_DECIDE_CRASH, files->journal_count + 1u);
	bool any_lost = false;

	while (!rota_list_is_empty(&files->journal)) {
		struct sim_change *change = ROTA_CONTAINER_OF(files->journal.next,
							      struct sim_change, link);
		bool survives = in_order ? kept > 0 : survives_alone(files, change, any_lost);

		kept -= kept > 0;
		if (!survives && change->inode)
			change->inode->is_lost = true;
		any_lost |= !survives;
		end_change(files, change, survives);
	}
}

static void crash_inode(struct sim_files *files, struct sim_inode *inode)
{
	struct rota_buffer *now = &inode->content[SIM_NOW];
	struct rota_buffer *safe = &inode->content[SIM_SAFE];
	struct sim_write *write;

	inode->is_lost = false;
	while ((write = oldest_write(inode))) {
		draw_fate(files, inode, write);
		free_write(inode, write);
	}
	files->bytes -= now->bytes;
	rota_buffer_fini(now);
	if (safe->bytes)
		must(rota_buffer_append(now, safe->data, safe->bytes));
	files->bytes += now->bytes;
}

static void restore_entries(struct sim_inode *directory)
{
	const struct rota_link *head = &directory->entries[SIM_SAFE];

	for (const struct rota_link *link = head->next; link != head; link = link->next) {
		const struct sim_entry *safe = ROTA_CONTAINER_OF(link, const struct sim_entry,
								 link);
		struct sim_entry *entry = rota_alloc(sizeof(*entry));

		must(entry ? 0 : -ENOMEM);
		memcpy(entry, safe, sizeof(*entry));
		entry->inode->refs++;
		rota_list_push_back(&directory->entries[SIM_NOW], &entry->link);
	}
}

/* For all inodes; each is held, so that none goes while the list is walked. */
static void each_inode(struct sim_files *files, void (*fn)(struct sim_files *, struct sim_inode *))
{
	struct sim_inode *inode = NULL, *next;

	for (struct rota_link *link = files->inodes.next; link != &files->inodes;
	     link = next->link.next) {
		next = ROTA_CONTAINER_OF(link, struct sim_inode, link);
		next->refs++;
		if (inode)
			sim__inode_unref(files, inode);
		inode = next;
		fn(files, inode);
	}
	if (inode)
		sim__inode_unref(files, inode);
}

static void forget_entries(struct sim_files *files, struct sim_inode *inode)
{
	free_entries(files, inode, SIM_NOW);
}

static void restore_inode(struct sim_files *files, struct sim_inode *inode)
{
	(void)files;
	restore_entries(inode);
}

static void close_all(struct sim_files *files)
{
	for (unsigned i = 0; i < SIM_FILES_OPEN_MAX; i++) {
		struct sim_inode *inode = files->handles[i].inode;

		files->handles[i].inode = NULL;
		if (inode)
			sim__inode_unref(files, inode);
	}
	files->open_count = 0;
}

void sim__files_crash(struct sim_files *files)
{
	sim__event(files->world, "crash-disk", -1, (int64_t)files->bytes);
	crash_names(files);
	close_all(files);
	each_inode(files, forget_entries);
	each_inode(files, crash_inode);
	each_inode(files, restore_inode);
}

static void empty_inode(struct sim_files *files, struct sim_inode *inode)
{
	free_entries(files, inode, SIM_NOW);
	free_entries(files, inode, SIM_SAFE);
}

void sim__files_empty(struct sim_files *files)
{
	while (!rota_list_is_empty(&files->journal))
		end_change(files, ROTA_CONTAINER_OF(files->journal.next, struct sim_change, link),
			   false);
	close_all(files);
	each_inode(files, empty_inode);
}
