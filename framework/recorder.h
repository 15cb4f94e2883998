/* SPDX-License-Identifier: MIT */
/*
 * The flight recorder from inside: how a reactor writes records (<rota/recorder.h>). Internal to
 * framework/; only the reactor's thread writes.
 *
 * Readers are anywhere: other threads, signal handlers, other processes. They copy the ring while
 * it is written to, and afterwards drop what may have been overwritten meanwhile. See
 * docs/design/0015-flight-recorder.md.
 */
#ifndef ROTA_FRAMEWORK_RECORDER_H
#define ROTA_FRAMEWORK_RECORDER_H

#include <rota/recorder.h>
#include <rota/scope.h>

struct recorder {
	uint64_t *words;                  /* records are kept in words[number & mask] */
	uint64_t mask;                    /* 0 when none are kept: all go to `nowhere` */
	uint64_t head;                    /* atomic: records written since the beginning */
	struct rota_record_label *labels; /* ROTA_RECORD_LABELS; NULL when no records are kept */
	/* the site whose own name had the label last, and that label, in place */
	const struct rota_site *last_site;
	uint64_t last_label;
	uint64_t nowhere;
};

#define RECORD(kind) ((uint64_t)(kind) << 56)
#define RECORD_PAYLOAD (RECORD(1) - 1)
#define RECORD_LOW(number, bits) ((uint64_t)(number) & ((UINT64_C(1) << (bits)) - 1))
/* Of an object in memory: enough to tell those in use at one time apart, nearly always. */
#define RECORD_KEY(object, bits) RECORD_LOW((uintptr_t)(object) >> 3, bits)

/* Write `word`: a kind and its payload. */
static inline void rota__recorder_write(struct recorder *recorder, uint64_t word)
{
	uint64_t head = recorder->head;

	/* Relaxed: a reader knows by `head` what it may believe. */
	__atomic_store_n(&recorder->words[head & recorder->mask], word, __ATOMIC_RELAXED);
	/* partner: rota__recorder_copy, or another process */
	__atomic_store_n(&recorder->head, head + 1, __ATOMIC_RELEASE);
}

/*
 * Keep `records` of them (0: the default; ROTA_RECORDS_NONE: none), a power of two when rounded up.
 * Returns 0, -EINVAL (too many), or -ENOMEM.
 */
int rota__recorder_init(struct recorder *recorder, uint32_t records);

/* Harmless if init has failed, or all is zero. */
void rota__recorder_fini(struct recorder *recorder);

/*
 * The label, in its place in a payload, of tasks of `name` spawned at `site`; made when it is the
 * first of its kind.
 */
uint64_t rota__recorder_label(struct recorder *recorder, const struct rota_site *site,
			      const char *name);

/* The payload that names the task `id` of `name` spawned at `site`. */
static inline uint64_t rota__recorder_task(struct recorder *recorder, const struct rota_site *site,
					   const char *name, uint64_t id)
{
	/* Tasks are often spawned many at a place. */
	uint64_t label = ROTA_LIKELY(site == recorder->last_site && name == site->what)
				 ? recorder->last_label
				 : rota__recorder_label(recorder, site, name);

	return label | RECORD_LOW(id, ROTA_RECORD_ID_BITS);
}

/*
 * Copy the records there are, the oldest first, into `words`, which has room for `max` of them: the
 * latest, if it is fewer than are kept. Returns how many; `*first` is the number of the oldest. Any
 * thread, async-signal-safe.
 */
uint64_t rota__recorder_copy(const struct recorder *recorder, uint64_t *words, uint64_t max,
			     uint64_t *first);

/* ---- recorder_file.c ---- */

/*
 * Nobody looks at reactors that left the table of reactors before this call any more. Any thread.
 */
void rota__recorder_wait_for_savers(void);

/*
 * Write the file that rota_recorder_save_to named, if it did, because of `signal` (0: none). Any
 * thread, async-signal-safe.
 */
void rota__recorder_save(int signal);

#endif /* ROTA_FRAMEWORK_RECORDER_H */
