/* SPDX-License-Identifier: MIT */
/*
 * The flight recorder: its memory, labels, and copying what it holds. The reactor's thread, but for
 * rota__recorder_copy.
 */
#include <string.h>

#include <rota/error.h>
#include <rota/memory.h>

#include "framework/recorder.h"

_Static_assert((ROTA_RECORD_LABELS & (ROTA_RECORD_LABELS - 1)) == 0, "the modulo is a mask");

#define LABELS_BYTES (ROTA_RECORD_LABELS * sizeof(struct rota_record_label))

/* Places looked at for a label; when all of them are others', it goes without. */
#define PROBES_MAX 8

int rota__recorder_init(struct recorder *recorder, uint32_t records)
{
	uint64_t count = ROTA_RECORDS_MIN;
	char *memory;

	*recorder = (struct recorder){ .words = &recorder->nowhere };
	if (records == ROTA_RECORDS_NONE)
		return 0;
	if (records > ROTA_RECORDS_MAX)
		return -EINVAL;
	while (count < (records ? records : ROTA_RECORDS_DEFAULT))
		count *= 2;
	/* The ring is not touched before it is used: a reactor that does little takes little. */
	memory = rota_alloc(LABELS_BYTES + count * sizeof(*recorder->words));
	if (!memory)
		return -ENOMEM;
	memset(memory, 0, LABELS_BYTES);
	recorder->labels = (struct rota_record_label *)(void *)memory;
	recorder->words = (uint64_t *)(void *)(memory + LABELS_BYTES);
	recorder->mask = count - 1;
	return 0;
}

void rota__recorder_fini(struct recorder *recorder)
{
	rota__recorder_wait_for_savers();
	rota_free(recorder->labels);
	*recorder = (struct recorder){ .words = &recorder->nowhere };
}

/* ---- labels ---- */

/* Copy text, cut, with its NUL. */
static void copy_text(char *to, size_t to_bytes, const char *text, bool keeps_end)
{
	size_t bytes = strlen(text);
	size_t kept = rota_min_size(bytes, to_bytes - 1);

	memcpy(to, keeps_end ? text + bytes - kept : text, kept);
	to[kept] = '\0';
}

/*
 * A name may have been freed and its memory be another's now, so that its address is not enough;
 * that of a site's own is.
 */
static bool is_label_of(const struct rota_record_label *label, const struct rota_site *site,
			const char *name)
{
	return label->site_ == (uintptr_t)site && label->what_ == (uintptr_t)name &&
	       (name == site->what || !strncmp(label->name, name, sizeof(label->name) - 1));
}

static void fill_label(struct rota_record_label *label, const struct rota_site *site,
		       const char *name)
{
	copy_text(label->name, sizeof(label->name), name, false);
	copy_text(label->function, sizeof(label->function), site->function, false);
	copy_text(label->file, sizeof(label->file), site->file, true);
	label->line = site->line;
	label->what_ = (uintptr_t)name;
	/*
	 * Last: what has a site is whole. Partner: readers of labels, who may be in other threads.
	 */
	__atomic_store_n(&label->site_, (uintptr_t)site, __ATOMIC_RELEASE);
}

/* 1 and up, or 0: no room. */
static uint64_t find_label(struct recorder *recorder, const struct rota_site *site,
			   const char *name)
{
	/* Multiplicative hashing, D. E. Knuth, TAOCP 6.4; its upper bits are the good ones. */
	uint64_t hash = ((uintptr_t)site ^ (uintptr_t)name << 1) * UINT64_C(0x9e3779b97f4a7c15);

	for (unsigned i = 0; i < PROBES_MAX; i++) {
		uint64_t at = ((hash >> 32) + i) % ROTA_RECORD_LABELS;
		struct rota_record_label *label = &recorder->labels[at];

		if (ROTA_LIKELY(is_label_of(label, site, name)))
			return at + 1;
		if (!label->site_) {
			fill_label(label, site, name);
			return at + 1;
		}
	}
	return 0;
}

uint64_t rota__recorder_label(struct recorder *recorder, const struct rota_site *site,
			      const char *name)
{
	uint64_t label = recorder->labels ? find_label(recorder, site, name) : 0;

	label <<= ROTA_RECORD_ID_BITS;
	if (name == site->what) {
		recorder->last_site = site;
		recorder->last_label = label;
	}
	return label;
}

/* ---- copying ---- */

uint64_t rota__recorder_copy(const struct recorder *recorder, uint64_t *words, uint64_t max,
			     uint64_t *first)
{
	/* partner: rota__recorder_write */
	uint64_t end = __atomic_load_n(&recorder->head, __ATOMIC_ACQUIRE);
	uint64_t kept = recorder->mask ? recorder->mask + 1 : 0;
	uint64_t count = end < kept ? end : kept;
	uint64_t start, after, drop;

	if (count > max)
		count = max;
	start = end - count;
	for (uint64_t i = 0; i < count; i++)
		words[i] = __atomic_load_n(&recorder->words[(start + i) & recorder->mask],
					   __ATOMIC_ACQUIRE); /* before `after` is */
	after = __atomic_load_n(&recorder->head, __ATOMIC_RELAXED);
	/* Records from after - kept - … on may have been overwritten while we copied. */
	drop = after + ROTA_RECORDS_DISTRUSTED > start + kept
		       ? after + ROTA_RECORDS_DISTRUSTED - start - kept
		       : 0;
	if (drop > count)
		drop = count;
	if (drop)
		memmove(words, words + drop, (count - drop) * sizeof(*words));
	*first = start + drop;
	return count - drop;
}
