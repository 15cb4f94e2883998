/* SPDX-License-Identifier: MIT */
/*
 * Entries in memory, and the garbage they become. Store layer; entries under their shard's lock,
 * garbage by its owner.
 */
#include "apps/kv/store/entry.h"

#include <rota/memory.h>

#include "apps/kv/store/table.h"

/* ---- entries ---- */

size_t kv__entry_bytes(const struct kv_entry *like, size_t key_bytes, bool has_expiry)
{
	return sizeof(*like) + (has_expiry ? sizeof(int64_t) : 0) +
	       (key_bytes > UINT16_MAX ? sizeof(uint32_t) : 0) + key_bytes +
	       kv__payload_bytes(like);
}

size_t kv__entry_own_bytes(const struct kv_entry *entry)
{
	return kv__entry_bytes(entry, kv_entry_key(entry).bytes,
			       entry->flags_ & KV_ENTRY_HAS_EXPIRY);
}

size_t kv_entry_memory_bytes(const struct kv_entry *entry)
{
	const struct rota_blob *blob = kv_entry_blob(entry);

	return kv__slab_good_bytes(kv__entry_own_bytes(entry)) +
	       (blob ? rota_good_bytes(sizeof(*blob) + blob->bytes) : 0);
}

struct kv_entry *kv__entry_create(struct kv_slab_cache *cache, struct rota_view key,
				  const struct kv_entry *like, int64_t at_ms, char **payload)
{
	uint32_t key_bytes = (uint32_t)key.bytes;
	size_t bytes = kv__entry_bytes(like, key.bytes, at_ms != KV_NO_EXPIRY);
	struct kv_entry *entry = kv__slab_alloc(cache, bytes);
	char *at;

	if (!entry)
		return NULL;
	entry->type_and_encoding = like->type_and_encoding;
	entry->value_bytes = like->value_bytes;
	entry->flags_ = 0;
	entry->key_bytes_ = 0;
	at = entry->payload_;
	if (at_ms != KV_NO_EXPIRY) {
		entry->flags_ |= KV_ENTRY_HAS_EXPIRY;
		memcpy(at, &at_ms, sizeof(at_ms));
		at += sizeof(at_ms);
	}
	if (key.bytes > UINT16_MAX) {
		entry->flags_ |= KV_ENTRY_LONG_KEY;
		memcpy(at, &key_bytes, sizeof(key_bytes));
		at += sizeof(key_bytes);
	} else {
		entry->key_bytes_ = (uint16_t)key_bytes;
	}
	if (key.bytes)
		memcpy(at, key.data, key.bytes);
	*payload = at + key.bytes;
	return entry;
}

void kv__entry_free(struct kv_slab_cache *cache, struct kv_entry *entry)
{
	kv__slab_free(cache, entry, kv__entry_own_bytes(entry));
}

void kv__entry_set_expiry(struct kv_entry *entry, int64_t at_ms)
{
	ROTA_ASSERT(entry->flags_ & KV_ENTRY_HAS_EXPIRY);
	memcpy(entry->payload_, &at_ms, sizeof(at_ms));
}

char *kv__entry_reuse(struct kv_entry *entry, uint32_t value_bytes, int64_t at_ms)
{
	bool had_expiry = entry->flags_ & KV_ENTRY_HAS_EXPIRY;
	bool has_expiry = at_ms != KV_NO_EXPIRY;
	struct rota_view key;

	if (had_expiry != has_expiry) {
		size_t moved = kv_entry_key(entry).bytes +
			       (entry->flags_ & KV_ENTRY_LONG_KEY ? sizeof(uint32_t) : 0);

		memmove(entry->payload_ + (has_expiry ? sizeof(at_ms) : 0),
			entry->payload_ + (had_expiry ? sizeof(at_ms) : 0), moved);
		entry->flags_ ^= KV_ENTRY_HAS_EXPIRY;
	}
	if (has_expiry)
		kv__entry_set_expiry(entry, at_ms);
	entry->value_bytes = value_bytes;
	key = kv_entry_key(entry);
	return entry->payload_ + (key.data + key.bytes - entry->payload_);
}

/* ---- garbage ---- */

void kv__garbage_add_block(struct kv_garbage *garbage, void *block)
{
	/*
	 * Atomic because a prefetch on another reactor may look at a bucket segment that is retired
	 * here.
	 */
	__atomic_store_n((void **)block, garbage->blocks_, __ATOMIC_RELAXED);
	garbage->blocks_ = block;
}

void kv__garbage_add_blob(struct kv_garbage *garbage, struct rota_blob *blob)
{
	/*
	 * Somebody still sends it: our part is only a count. (If they let go just now, we free
	 * here; rare and harmless.)
	 */
	if (!rota_blob_is_unique(blob)) {
		rota_blob_unref(blob);
		return;
	}
	memcpy(blob->data, &garbage->blobs_, sizeof(garbage->blobs_));
	garbage->blobs_ = blob;
}

void kv__garbage_add_entry(struct kv_garbage *garbage, struct kv_slab_cache *cache,
			   struct kv_entry *entry)
{
	struct rota_blob *blob = kv_entry_blob(entry);
	size_t bytes = kv__entry_own_bytes(entry);

	if (blob)
		kv__garbage_add_blob(garbage, blob);
	if (bytes <= KV_SLAB_BLOCK_MAX)
		kv__slab_free(cache, entry, bytes);
	else
		kv__garbage_add_block(garbage, entry);
}

bool kv_garbage_free_some(struct kv_garbage *garbage, uint32_t budget)
{
	for (; budget > 0 && garbage->blocks_; budget--) {
		void *block = garbage->blocks_;

		garbage->blocks_ = *(void **)block;
		rota_free(block);
	}
	for (; budget > 0 && garbage->blobs_; budget--) {
		struct rota_blob *blob = garbage->blobs_;

		memcpy(&garbage->blobs_, blob->data, sizeof(garbage->blobs_));
		rota_blob_unref(blob);
	}
	while (budget > 0 && garbage->tables_) {
		struct kv_discarded *next = garbage->tables_->link;

		if (!kv__table_free_some(garbage->tables_, &budget))
			break;
		garbage->tables_ = next;
	}
	return !kv_garbage_is_empty(garbage);
}

void kv_garbage_free(struct kv_garbage *garbage)
{
	while (kv_garbage_free_some(garbage, UINT32_MAX))
		;
}
