/* SPDX-License-Identifier: MIT */
/*
 * Bytes: a borrowed view, a growable buffer, and a counted immutable blob. No layer above libc and
 * <rota/memory.h>; an object belongs to whoever holds it (blobs are counted atomically and may be
 * shared between threads).
 */
#ifndef ROTA_BUFFER_H
#define ROTA_BUFFER_H

#include <string.h>

#include <rota/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- view: borrowed bytes; who lends them says until when ---- */

struct rota_view {
	const char *data;
	size_t bytes;
};

static inline struct rota_view rota_view_of(const void *data, size_t bytes)
{
	struct rota_view view = { (const char *)data, bytes };

	return view;
}

/* A view of a NUL-terminated string, without the NUL. */
static inline struct rota_view rota_view_of_string(const char *string)
{
	return rota_view_of(string, strlen(string));
}

static inline bool rota_view_equals(struct rota_view a, struct rota_view b)
{
	return a.bytes == b.bytes && (!a.bytes || !memcmp(a.data, b.data, a.bytes));
}

/* ---- buffer: owned, growable bytes ---- */

struct rota_buffer {
	char *data;      /* owned; NULL until the first byte */
	size_t bytes;    /* in use */
	size_t capacity; /* allocated */
};

static inline void rota_buffer_init(struct rota_buffer *buffer)
{
	buffer->data = NULL;
	buffer->bytes = 0;
	buffer->capacity = 0;
}

/* Release the memory; the buffer is then as after init. */
ROTA_API void rota_buffer_fini(struct rota_buffer *buffer);

/*
 * Make room for `extra_bytes` more after buffer->bytes; grows by half again, so appending is O(1)
 * amortised.
 * Returns 0, or -ENOMEM with the buffer unchanged.
 */
ROTA_API ROTA_MUST_USE int rota_buffer_reserve(struct rota_buffer *buffer, size_t extra_bytes);

/* Append a copy. Returns 0 or -ENOMEM (nothing appended). `data` may be NULL when `bytes` is 0. */
ROTA_API ROTA_MUST_USE int rota_buffer_append(struct rota_buffer *buffer, const void *data,
					      size_t bytes);

/* Drop the first `bytes` (<= buffer->bytes), moving the rest down. */
ROTA_API void rota_buffer_consume(struct rota_buffer *buffer, size_t bytes);

/* ---- blob: immutable counted bytes, for values too large to copy ---- */

struct rota_blob {
	uint32_t references_; /* atomic */
	uint32_t reserved_;
	size_t bytes;
	/* written by the creator before the first ref is shared, immutable afterwards */
	char data[];
};

/* A blob of `bytes` uninitialised bytes with one reference, or NULL. Returns owned. */
ROTA_API ROTA_MUST_USE struct rota_blob *rota_blob_create(size_t bytes);

/* One more reference. Any thread that holds one. Returns `blob`. */
ROTA_API struct rota_blob *rota_blob_ref(struct rota_blob *blob);

/*
 * True when the caller's reference is the only one: nobody can be reading, so whoever alone can
 * hand out references may write to it. Acquire, so that the reads of those who let go are over.
 */
static inline bool rota_blob_is_unique(const struct rota_blob *blob)
{
	return __atomic_load_n(&blob->references_, __ATOMIC_ACQUIRE) == 1;
}

/* One reference less; the last one frees. Any thread. */
ROTA_API void rota_blob_unref(struct rota_blob *blob);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_BUFFER_H */
