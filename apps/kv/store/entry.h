/* SPDX-License-Identifier: MIT */
/*
 * An entry: one key with its value in one allocation. Store layer; only under the lock of the key's
 * shard, and a pointer to an entry dies with the unlock and with every call that may move it (they
 * say so).
 *
 *	header (8) | expiry (8, only when set) | key bytes (4, only above 64 KiB) | key | value
 *
 * The one idea: everything that isn't always needed costs nothing when it isn't there. With 16-byte
 * keys and 32-byte values the entry is 56 bytes, 64 with an expiry, and so much is set aside for it
 * (slab.h).
 */
#ifndef KV_STORE_ENTRY_H
#define KV_STORE_ENTRY_H

#include <rota/base.h>
#include <rota/buffer.h>

#include "apps/kv/store/slab.h"

/* Longest key and value, as in Redis (proto-max-bulk-len). */
#define KV_VALUE_BYTES_MAX (UINT32_C(512) << 20)

/*
 * Values from here on are counted blobs: a reply refers to them after the unlock instead of copying
 * under it.
 */
#define KV_BLOB_BYTES_MIN (16u << 10)

/* Absolute wall-clock milliseconds are > 0; these two are not times. */
#define KV_NO_EXPIRY INT64_C(0)
#define KV_KEEP_EXPIRY INT64_C(-1)

/* What a key holds. The numbers fit 4 bits; only strings have functions so far. */
enum kv_type {
	KV_TYPE_STRING = 0,
	KV_TYPE_LIST = 1,
	KV_TYPE_HASH = 2,
	KV_TYPE_SET = 3,
	KV_TYPE_ZSET = 4,
	KV_TYPE_STREAM = 5,
};

/* How it is held; 4 bits, the meaning of 2 and above is the type's own. */
enum kv_encoding {
	KV_ENCODING_INLINE = 0, /* the value's bytes end the entry */
	/* a counted reference to a blob ends the entry; the blob may be longer than the value */
	KV_ENCODING_BLOB = 1,
};

struct kv_entry {
	uint8_t type_and_encoding; /* type in the low 4 bits, encoding in the high 4 */
	uint8_t flags_;            /* private: KV_ENTRY_* */
	uint16_t key_bytes_;       /* private; 0 when the length follows as 4 bytes */
	uint32_t value_bytes;      /* length of the value, in whatever encoding */
	char payload_[];           /* private: see the picture above */
};

#define KV_ENTRY_HAS_EXPIRY 1u
#define KV_ENTRY_LONG_KEY 2u

static inline enum kv_type kv_entry_type(const struct kv_entry *entry)
{
	return (enum kv_type)(entry->type_and_encoding & 15);
}

static inline enum kv_encoding kv_entry_encoding(const struct kv_entry *entry)
{
	return (enum kv_encoding)(entry->type_and_encoding >> 4);
}

/* When the key expires, in wall-clock milliseconds, or KV_NO_EXPIRY. */
static inline int64_t kv_entry_expiry(const struct kv_entry *entry)
{
	int64_t at_ms = KV_NO_EXPIRY;

	if (entry->flags_ & KV_ENTRY_HAS_EXPIRY)
		memcpy(&at_ms, entry->payload_, sizeof(at_ms));
	return at_ms;
}

/* The key's bytes. Borrowed as long as the entry. */
static inline struct rota_view kv_entry_key(const struct kv_entry *entry)
{
	const char *at = entry->payload_ +
			 (entry->flags_ & KV_ENTRY_HAS_EXPIRY ? sizeof(int64_t) : 0);
	uint32_t bytes = entry->key_bytes_;

	if (ROTA_UNLIKELY(entry->flags_ & KV_ENTRY_LONG_KEY)) {
		memcpy(&bytes, at, sizeof(bytes));
		at += sizeof(bytes);
	}
	return rota_view_of(at, bytes);
}

/*
 * The blob a large value is in, or NULL for an inline one. Borrowed: rota_blob_ref it to use it
 * after the unlock.
 */
static inline struct rota_blob *kv_entry_blob(const struct kv_entry *entry)
{
	struct rota_blob *blob = NULL;
	struct rota_view key;

	if (kv_entry_encoding(entry) != KV_ENCODING_BLOB)
		return NULL;
	key = kv_entry_key(entry);
	memcpy(&blob, key.data + key.bytes, sizeof(blob));
	return blob;
}

/*
 * The bytes of a string value. Borrowed: under the lock, or (blobs) as long as a reference to the
 * blob is held.
 */
static inline struct rota_view kv_entry_value(const struct kv_entry *entry)
{
	struct rota_view key = kv_entry_key(entry);
	const struct rota_blob *blob;

	if (ROTA_LIKELY(kv_entry_encoding(entry) == KV_ENCODING_INLINE))
		return rota_view_of(key.data + key.bytes, entry->value_bytes);
	memcpy(&blob, key.data + key.bytes, sizeof(blob));
	return rota_view_of(blob->data, entry->value_bytes);
}

/* Bytes really set aside for the entry and its blob: MEMORY USAGE. */
size_t kv_entry_memory_bytes(const struct kv_entry *entry);

/* ---- garbage: what was removed under a lock and is freed after it ---- */

struct kv_discarded;

/*
 * Collects in the memory of what it collects, so collecting can't fail. One per batch, on the stack
 * of who executes; freed when no lock is held. Entries from slabs are not among it: freeing them is
 * a few instructions, so they go at once.
 */
struct kv_garbage {
	void *blocks_; /* private: plain memory, linked through the first word */
	/* private: blobs nobody else refers to, linked through their first bytes */
	struct rota_blob *blobs_;
	struct kv_discarded *tables_; /* private: tables with everything in them, from a flush */
};

static inline void kv_garbage_init(struct kv_garbage *garbage)
{
	garbage->blocks_ = NULL;
	garbage->blobs_ = NULL;
	garbage->tables_ = NULL;
}

static inline bool kv_garbage_is_empty(const struct kv_garbage *garbage)
{
	return !garbage->blocks_ && !garbage->blobs_ && !garbage->tables_;
}

/* Free everything collected; it is empty afterwards. No lock held. */
void kv_garbage_free(struct kv_garbage *garbage);

/*
 * Free about `budget` blocks and say whether anything is left: for what a flush left, in slices
 * between batches. No lock held. Thread: the reactor's that flushed, whose cache of blocks is used.
 */
bool kv_garbage_free_some(struct kv_garbage *garbage, uint32_t budget);

/* ---- for the store's own files ---- */

/*
 * A new entry whose payload (the value, or 8 bytes of blob reference) the caller writes to
 * *payload. Returns owned (kv__entry_free), or NULL.
 */
struct kv_entry *kv__entry_create(struct kv_slab_cache *cache, struct rota_view key,
				  const struct kv_entry *like, int64_t at_ms, char **payload);

/* Free an entry, not the blob it refers to. */
void kv__entry_free(struct kv_slab_cache *cache, struct kv_entry *entry);

/* Bytes of an entry like `like` (type, encoding, value length) for a key of `key_bytes`. */
size_t kv__entry_bytes(const struct kv_entry *like, size_t key_bytes, bool has_expiry);

/* Bytes of this entry. */
size_t kv__entry_own_bytes(const struct kv_entry *entry);

/*
 * Give it another expiry and value length in the same block, which is large enough; the value's
 * bytes are lost.
 */
char *kv__entry_reuse(struct kv_entry *entry, uint32_t value_bytes, int64_t at_ms);

/* Write another time into an entry that has one. */
void kv__entry_set_expiry(struct kv_entry *entry, int64_t at_ms);

/* What ends an entry in each encoding. */
static inline size_t kv__payload_bytes(const struct kv_entry *entry)
{
	return kv_entry_encoding(entry) == KV_ENCODING_INLINE ? entry->value_bytes
							      : sizeof(struct rota_blob *);
}

void kv__garbage_add_block(struct kv_garbage *garbage, void *block);
void kv__garbage_add_blob(struct kv_garbage *garbage, struct rota_blob *blob);

/* The entry with the blob it refers to; what is from a slab is freed at once. */
void kv__garbage_add_entry(struct kv_garbage *garbage, struct kv_slab_cache *cache,
			   struct kv_entry *entry);

#endif /* KV_STORE_ENTRY_H */
