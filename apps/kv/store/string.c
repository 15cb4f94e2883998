/* SPDX-License-Identifier: MIT */
/*
 * String values: setting, appending, overwriting ranges. Store layer; under the lock of the key's
 * shard.
 *
 * The one idea: a value is written where it is when the allocation has room for it, and else into a
 * new entry that takes the slot; the old one becomes garbage. A blob is written only while the
 * entry holds the sole reference.
 */
#include <rota/error.h>
#include <rota/memory.h>

#include "apps/kv/store/store_internal.h"

/* Keys of a command for which what was there before is noted on the stack. */
#define SET_ALL_INLINE 16

/* Make `like` what an entry for a string of `bytes` is, for sizes and for creating one. */
static void describe_string(struct kv_entry *like, size_t bytes)
{
	enum kv_encoding encoding = bytes < KV_BLOB_BYTES_MIN ? KV_ENCODING_INLINE
							      : KV_ENCODING_BLOB;

	like->type_and_encoding = (uint8_t)(KV_TYPE_STRING | (unsigned)encoding << 4);
	like->flags_ = 0;
	like->key_bytes_ = 0;
	like->value_bytes = (uint32_t)bytes;
}

/*
 * True when an inline value of `bytes` fits the entry's own block without wasting another class's
 * worth of it.
 */
static bool fits_in_place(const struct kv_entry *entry, size_t bytes, bool has_expiry)
{
	struct kv_entry like;
	size_t before, after;

	describe_string(&like, bytes);
	if (bytes >= KV_BLOB_BYTES_MIN || entry->type_and_encoding != like.type_and_encoding)
		return false;
	before = kv__entry_own_bytes(entry);
	after = kv__entry_bytes(&like, kv_entry_key(entry).bytes, has_expiry);
	return before == after || kv__slab_good_bytes(before) == kv__slab_good_bytes(after);
}

static void overwrite(struct kv_operation *operation, uint64_t *slot, uint32_t value_bytes,
		      int64_t at_ms, char **payload)
{
	struct kv_entry *entry = kv__slot_entry(*slot);

	*payload = kv__entry_reuse(entry, value_bytes, at_ms);
	/* Also when only the expiry changed: the slot's bit and the counts follow. */
	kv__table_replace(&operation->site, slot, entry);
}

/* ---- set ---- */

static int64_t resolve_expiry(const uint64_t *slot, int64_t at_ms)
{
	if (at_ms != KV_KEEP_EXPIRY)
		return at_ms;
	return slot ? kv_entry_expiry(kv__slot_entry(*slot)) : KV_NO_EXPIRY;
}

/*
 * Put a string that is in `blob`, of which `bytes` are the value. Takes the reference on success.
 */
static int put_blob(struct kv_operation *operation, const struct kv_access *access,
		    const struct kv_key *key, uint64_t *slot, struct rota_blob *blob, size_t bytes,
		    int64_t at_ms)
{
	struct kv_entry *entry, like;
	char *payload;
	int status;

	describe_string(&like, bytes);
	entry = kv__entry_create(kv__cache(access), key->bytes, &like, at_ms, &payload);
	if (!entry)
		return -ENOMEM;
	memcpy(payload, &blob, sizeof(blob));
	status = kv__put(operation, access, key, slot, entry);
	if (status < 0)
		kv__entry_free(kv__cache(access), entry);
	return status;
}

int kv_string_set_blob(const struct kv_access *access, const struct kv_key *key,
		       struct rota_blob *blob, int64_t at_ms)
{
	struct kv_operation operation;
	uint64_t *slot;

	ROTA_ASSERT(blob->bytes >= KV_BLOB_BYTES_MIN);
	if (blob->bytes > KV_VALUE_BYTES_MAX || key->bytes.bytes > KV_VALUE_BYTES_MAX)
		return -KV_ETOOBIG;
	slot = kv__locate(&operation, access, key);
	return put_blob(&operation, access, key, slot, blob, blob->bytes,
			resolve_expiry(slot, at_ms));
}

static int set_large(const struct kv_access *access, const struct kv_key *key,
		     struct rota_view value, int64_t at_ms)
{
	struct rota_blob *blob = rota_blob_create(value.bytes);
	int status;

	if (!blob)
		return -ENOMEM;
	memcpy(blob->data, value.data, value.bytes);
	status = kv_string_set_blob(access, key, blob, at_ms);
	if (status < 0)
		rota_blob_unref(blob);
	return status;
}

int kv_string_set(const struct kv_access *access, const struct kv_key *key, struct rota_view value,
		  int64_t at_ms)
{
	struct kv_operation operation;
	struct kv_entry *entry = NULL, like;
	char *payload;
	uint64_t *slot;
	int status;

	if (value.bytes > KV_VALUE_BYTES_MAX || key->bytes.bytes > KV_VALUE_BYTES_MAX)
		return -KV_ETOOBIG;
	if (value.bytes >= KV_BLOB_BYTES_MIN)
		return set_large(access, key, value, at_ms);
	slot = kv__locate(&operation, access, key);
	at_ms = resolve_expiry(slot, at_ms);
	if (slot && fits_in_place(kv__slot_entry(*slot), value.bytes, at_ms != KV_NO_EXPIRY)) {
		overwrite(&operation, slot, (uint32_t)value.bytes, at_ms, &payload);
	} else {
		describe_string(&like, value.bytes);
		entry = kv__entry_create(kv__cache(access), key->bytes, &like, at_ms, &payload);
		if (!entry)
			return -ENOMEM;
	}
	if (value.bytes)
		memcpy(payload, value.data, value.bytes);
	if (!entry)
		return 0;
	status = kv__put(&operation, access, key, slot, entry);
	if (status < 0)
		kv__entry_free(kv__cache(access), entry);
	return status;
}

/* ---- several at once ---- */

/* A new entry for a small or a large value, in no table. NULL: no memory. */
static struct kv_entry *create_string(struct kv_slab_cache *cache, struct rota_view key,
				      struct rota_view value)
{
	struct rota_blob *blob = NULL;
	struct kv_entry *entry, like;
	char *payload;

	if (value.bytes >= KV_BLOB_BYTES_MIN) {
		blob = rota_blob_create(value.bytes);
		if (!blob)
			return NULL;
		memcpy(blob->data, value.data, value.bytes);
	}
	describe_string(&like, value.bytes);
	entry = kv__entry_create(cache, key, &like, KV_NO_EXPIRY, &payload);
	if (!entry) {
		if (blob)
			rota_blob_unref(blob);
		return NULL;
	}
	if (blob)
		memcpy(payload, &blob, sizeof(blob));
	else if (value.bytes)
		memcpy(payload, value.data, value.bytes);
	return entry;
}

/*
 * Put a new entry and keep what it replaces: *before is NULL when the key was absent. Nothing is
 * written in place, as that could not be taken back.
 */
static int exchange(const struct kv_access *access, const struct kv_key *key,
		    struct rota_view value, struct kv_entry **before)
{
	struct kv_operation operation;
	struct kv_entry *entry;
	uint64_t *slot;
	int status;

	if (value.bytes > KV_VALUE_BYTES_MAX || key->bytes.bytes > KV_VALUE_BYTES_MAX)
		return -KV_ETOOBIG;
	entry = create_string(kv__cache(access), key->bytes, value);
	if (!entry)
		return -ENOMEM;
	slot = kv__locate(&operation, access, key);
	*before = slot ? kv__slot_entry(*slot) : NULL;
	if (slot) {
		kv__table_replace(&operation.site, slot, entry);
		kv__count_memory(&operation, kv_entry_memory_bytes(entry),
				 kv_entry_memory_bytes(*before));
		return 0;
	}
	status = kv__put(&operation, access, key, NULL, entry);
	if (status < 0)
		kv__garbage_add_entry(access->garbage, kv__cache(access), entry);
	return status;
}

/* Put back what exchange() replaced. Cannot fail. */
static void take_back(const struct kv_access *access, const struct kv_key *key,
		      struct kv_entry *before)
{
	struct kv_operation operation;
	uint64_t *slot;

	if (!before) {
		kv_delete(access, key);
		return;
	}
	slot = kv__locate(&operation, access, key);
	rota_ignore(kv__put(&operation, access, key, slot, before), "replacing cannot fail");
}

int kv_string_set_all(const struct kv_access *access, const struct kv_key *keys,
		      const struct rota_view *values, uint32_t values_step, uint32_t count)
{
	struct kv_entry *inline_[SET_ALL_INLINE], **before = inline_;
	uint32_t done = 0;
	int status = 0;

	if (count > SET_ALL_INLINE)
		before = rota_alloc(count * sizeof(before[0]));
	if (!before)
		return -ENOMEM;
	while (done < count && status == 0) {
		status = exchange(access, &keys[done], values[(size_t)done * values_step],
				  &before[done]);
		done += status == 0;
	}
	/* From the last to the first: a key that came twice has what came first to go back to. */
	while (status < 0 && done > 0) {
		done--;
		take_back(access, &keys[done], before[done]);
	}
	for (uint32_t i = 0; i < done; i++)
		if (before[i])
			kv__garbage_add_entry(access->garbage, kv__cache(access), before[i]);
	if (before != inline_)
		rota_free(before);
	return status;
}

/* ---- append and set range: both write `patch` at `offset` ---- */

/* Where the patch goes, and how long the value is before and after. */
struct edit {
	size_t offset;
	struct rota_view patch;
	size_t old_bytes;
	size_t new_bytes;
};

/*
 * Finish a value whose first old_bytes are in place at `data`: zeros up to the patch, then the
 * patch.
 */
static void apply(const struct edit *edit, char *data)
{
	if (edit->offset > edit->old_bytes)
		memset(data + edit->old_bytes, 0, edit->offset - edit->old_bytes);
	if (edit->patch.bytes)
		memcpy(data + edit->offset, edit->patch.data, edit->patch.bytes);
}

static void copy_and_apply(const struct edit *edit, char *data, struct rota_view old)
{
	if (old.bytes)
		memcpy(data, old.data, old.bytes);
	apply(edit, data);
}

/* Into a new blob with a quarter of room to grow, so that appending stays linear over all. */
static int edit_into_new_blob(struct kv_operation *operation, const struct kv_access *access,
			      const struct kv_key *key, uint64_t *slot, const struct edit *edit,
			      struct rota_view old)
{
	size_t spare = slot ? edit->new_bytes / 4 : 0;
	struct rota_blob *blob = rota_blob_create(
		rota_min_size(edit->new_bytes + spare, KV_VALUE_BYTES_MAX));
	int status;

	if (!blob)
		return -ENOMEM;
	copy_and_apply(edit, blob->data, old);
	status = put_blob(operation, access, key, slot, blob, edit->new_bytes,
			  resolve_expiry(slot, KV_KEEP_EXPIRY));
	if (status < 0)
		rota_blob_unref(blob);
	return status;
}

static int edit_into_new_entry(struct kv_operation *operation, const struct kv_access *access,
			       const struct kv_key *key, uint64_t *slot, const struct edit *edit,
			       struct rota_view old)
{
	struct kv_entry *entry, like;
	char *payload;
	int status;

	describe_string(&like, edit->new_bytes);
	entry = kv__entry_create(kv__cache(access), key->bytes, &like,
				 resolve_expiry(slot, KV_KEEP_EXPIRY), &payload);
	if (!entry)
		return -ENOMEM;
	copy_and_apply(edit, payload, old);
	status = kv__put(operation, access, key, slot, entry);
	if (status < 0)
		kv__entry_free(kv__cache(access), entry);
	return status;
}

/* Write in place if that can be done. */
static bool edit_in_place(struct kv_entry *entry, const struct edit *edit)
{
	struct rota_blob *blob = kv_entry_blob(entry);
	struct rota_view key = kv_entry_key(entry);

	if (blob) {
		if (blob->bytes < edit->new_bytes || !rota_blob_is_unique(blob))
			return false;
		apply(edit, blob->data);
	} else {
		if (!fits_in_place(entry, edit->new_bytes, kv_entry_expiry(entry) != KV_NO_EXPIRY))
			return false;
		apply(edit, entry->payload_ + (key.data + key.bytes - entry->payload_));
	}
	entry->value_bytes = (uint32_t)edit->new_bytes;
	return true;
}

static int64_t edit_string(struct kv_operation *operation, const struct kv_access *access,
			   const struct kv_key *key, uint64_t *slot, const struct edit *edit)
{
	struct rota_view old = rota_view_of(NULL, 0);
	int status;

	if (slot) {
		if (edit_in_place(kv__slot_entry(*slot), edit))
			return (int64_t)edit->new_bytes;
		old = kv_entry_value(kv__slot_entry(*slot));
	}
	if (edit->new_bytes >= KV_BLOB_BYTES_MIN)
		status = edit_into_new_blob(operation, access, key, slot, edit, old);
	else
		status = edit_into_new_entry(operation, access, key, slot, edit, old);
	return status < 0 ? status : (int64_t)edit->new_bytes;
}

/* With `offset` SIZE_MAX: at the end. */
static int64_t write_at(const struct kv_access *access, const struct kv_key *key, size_t offset,
			struct rota_view patch)
{
	struct edit edit = { .offset = offset, .patch = patch };
	struct kv_operation operation;
	uint64_t *slot = kv__locate(&operation, access, key);

	if (slot) {
		const struct kv_entry *entry = kv__slot_entry(*slot);

		if (kv_entry_type(entry) != KV_TYPE_STRING)
			return -KV_EWRONGTYPE;
		edit.old_bytes = entry->value_bytes;
	}
	if (offset == SIZE_MAX)
		edit.offset = edit.old_bytes;
	if (key->bytes.bytes > KV_VALUE_BYTES_MAX || edit.offset > KV_VALUE_BYTES_MAX ||
	    patch.bytes > KV_VALUE_BYTES_MAX - edit.offset)
		return -KV_ETOOBIG;
	edit.new_bytes = rota_max_size(edit.old_bytes, edit.offset + patch.bytes);
	return edit_string(&operation, access, key, slot, &edit);
}

int64_t kv_string_append(const struct kv_access *access, const struct kv_key *key,
			 struct rota_view tail)
{
	return write_at(access, key, SIZE_MAX, tail);
}

int64_t kv_string_set_range(const struct kv_access *access, const struct kv_key *key, size_t offset,
			    struct rota_view patch)
{
	ROTA_ASSERT(patch.bytes > 0);
	return write_at(access, key, offset == SIZE_MAX ? SIZE_MAX - 1 : offset, patch);
}
