/* SPDX-License-Identifier: MIT */
/*
 * Taking recordings: from a target, whose reactors may go on writing meanwhile, or from a file.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/rota/recording.h"

static int say(char *why, int status, const char *text)
{
	snprintf(why, TARGET_WHY_BYTES, "%s", text);
	return status;
}

static struct recorded *add_reactor(struct recording *recording)
{
	struct recorded *reactor = NULL;

	if (recording->reactors_count < RECORDED_MAX)
		reactor = calloc(1, sizeof(*reactor));
	if (reactor)
		recording->reactors[recording->reactors_count++] = reactor;
	return reactor;
}

void recording_drop(struct recording *recording)
{
	for (unsigned i = 0; i < recording->reactors_count; i++) {
		free(recording->reactors[i]->words);
		free(recording->reactors[i]);
	}
	recording->reactors_count = 0;
}

/* The ring of `kept` was copied from record `first` on and had `head` records afterwards. */
static void drop_overwritten(struct recorded *reactor, uint64_t first, uint64_t kept, uint64_t head)
{
	uint64_t last = head + ROTA_RECORDS_DISTRUSTED;
	uint64_t drop = last > first + kept ? last - first - kept : 0;

	if (drop > reactor->count)
		drop = reactor->count;
	memmove(reactor->words, reactor->words + drop,
		(reactor->count - drop) * sizeof(*reactor->words));
	reactor->count -= drop;
}

static void end_texts(struct recorded *reactor)
{
	for (unsigned i = 0; i < ROTA_RECORD_LABELS; i++) {
		struct rota_record_label *label = &reactor->labels[i];

		label->name[sizeof(label->name) - 1] = '\0';
		label->function[sizeof(label->function) - 1] = '\0';
		label->file[sizeof(label->file) - 1] = '\0';
	}
}

/* ---- from a target ---- */

/* The ring at `words`, records `first` to `first` + count, in order. */
static bool read_ring(struct target *target, uint64_t words, uint64_t kept, uint64_t first,
		      struct recorded *reactor)
{
	uint64_t at = first & (kept - 1);
	uint64_t before_end = kept - at < reactor->count ? kept - at : reactor->count;
	size_t word = sizeof(*reactor->words);

	return target_read(target, words + at * word, reactor->words, before_end * word) &&
	       (before_end == reactor->count ||
		target_read(target, words, reactor->words + before_end,
			    (reactor->count - before_end) * word));
}

static int take_reactor(struct recording *recording, struct target *target, uint64_t address)
{
	const struct layout *layout = &target->layout;
	uint64_t words = target_u64(target, address, layout->reactor_recorder_words);
	uint64_t labels = target_u64(target, address, layout->reactor_recorder_labels);
	uint64_t kept = target_u64(target, address, layout->reactor_recorder_mask) + 1;
	uint64_t head = target_u64(target, address, layout->reactor_recorder_head);
	struct recorded *reactor;

	if (kept < ROTA_RECORDS_MIN || kept > ROTA_RECORDS_MAX || (kept & (kept - 1)) || !head)
		return 0; /* off, or damaged */
	reactor = add_reactor(recording);
	if (!reactor)
		return -ENOMEM;
	reactor->index = target_u32(target, address, layout->reactor_index);
	reactor->slot = target_u32(target, address, layout->reactor_slot);
	reactor->is_simulated = target_u8(target, address, layout->reactor_is_simulated);
	reactor->count = head < kept ? head : kept;
	reactor->words = malloc(reactor->count * sizeof(*reactor->words));
	if (!reactor->words)
		return -ENOMEM;
	if (!read_ring(target, words, kept, head - reactor->count, reactor) ||
	    !target_read(target, labels, reactor->labels, sizeof(reactor->labels)))
		return -EFAULT;
	end_texts(reactor);
	recording->now = target->now;
	target_forget(target);
	drop_overwritten(reactor, head - reactor->count, kept,
			 target_u64(target, address, layout->reactor_recorder_head));
	return 0;
}

int recording_take(struct recording *out, struct target *target, char why[TARGET_WHY_BYTES])
{
	const struct layout *layout = &target->layout;

	*out = (struct recording){ .pid = (uint32_t)target->pid };
	snprintf(out->name, sizeof(out->name), "%s", target->name);
	if (layout->reactor_recorder_words == LAYOUT_ABSENT)
		return say(why, -ENOTSUP, "its rota has no flight recorder");
	if (layout->recorder_label_bytes != sizeof(struct rota_record_label) ||
	    layout->recorder_labels_count != ROTA_RECORD_LABELS)
		return say(why, -ENOTSUP,
			   "its rota is of another version; use that version's tool");
	for (uint32_t slot = 0; slot < layout->reactors_count && slot < RECORDED_MAX; slot++) {
		uint64_t address = target_reactor(target, slot);
		int status;

		target_forget(target); /* the newest records, not those of when it was opened */
		status = address ? take_reactor(out, target, address) : 0;

		if (status == -ENOMEM)
			return say(why, status, "no memory");
		if (status < 0)
			return say(why, status, "its memory cannot be read");
	}
	return out->reactors_count ? 0
				   : say(why, -ENOENT,
					 "no reactor has recorded anything, or recorders are off");
}

/* ---- from a file ---- */

/* One reactor; false at the end of the file, wherever that is. */
static bool read_reactor(struct recording *recording, FILE *file, int *status)
{
	struct rota_record_file_reactor head;
	struct recorded *reactor;
	uint64_t after;

	if (fread(&head, sizeof(head), 1, file) != 1 || head.count > ROTA_RECORDS_MAX)
		return false;
	reactor = add_reactor(recording);
	if (!reactor) {
		*status = -ENOMEM;
		return false;
	}
	reactor->slot = head.slot;
	reactor->index = head.index;
	reactor->is_simulated = head.is_simulated;
	reactor->words = calloc(head.count + 1, sizeof(*reactor->words));
	if (!reactor->words) {
		*status = -ENOMEM;
		return false;
	}
	if (fread(reactor->labels, sizeof(reactor->labels), 1, file) == 1)
		reactor->count = fread(reactor->words, sizeof(*reactor->words), head.count, file);
	end_texts(reactor);
	if (reactor->count < head.count || fread(&after, sizeof(after), 1, file) != 1)
		return false;
	drop_overwritten(reactor, head.first, head.kept, after);
	return true;
}

int recording_read(struct recording *out, const char *path, char why[TARGET_WHY_BYTES])
{
	FILE *file = fopen(path, "re");
	struct rota_record_file head;
	int status = 0;

	*out = (struct recording){ .pid = 0 };
	if (!file)
		return say(why, -errno, strerror(errno));
	if (fread(&head, sizeof(head), 1, file) != 1 ||
	    memcmp(head.magic, ROTA_RECORD_FILE_MAGIC, sizeof(head.magic)) != 0)
		status = say(why, -EINVAL, "not a flight recorder's file");
	else if (head.label_bytes != sizeof(struct rota_record_label) ||
		 head.labels_count != ROTA_RECORD_LABELS)
		status = say(why, -ENOTSUP,
			     "it is of another version of rota; use that version's tool");
	if (status == 0) {
		out->pid = head.pid;
		out->signal = head.signal;
		out->now = head.now;
		snprintf(out->name, sizeof(out->name), "process %u", head.pid);
		while (read_reactor(out, file, &status))
			;
	}
	if (status == -ENOMEM)
		say(why, status, "no memory");
	else if (status == 0 && !out->reactors_count)
		status = say(why, -ENOENT, "no reactor had recorded anything");
	fclose(file);
	return status;
}
