/* SPDX-License-Identifier: MIT */
/*
 * Commands that read and set whole strings. Application layer of rota-kv; see kv_run_fn.
 *
 * The one idea: arguments are judged first, then the lock is taken, then one store function does
 * the work, and the reply is formatted where the value's bytes are.
 */
#include <rota/memory.h>

#include "apps/kv/call.h"
#include "apps/kv/commands/commands.h"
#include "apps/kv/commands/expiry.h"
#include "apps/kv/number.h"

/* ---- reading ---- */

int kv_run_get(struct kv_call *call)
{
	if (kv_call_lock(call) < 0)
		return -EAGAIN;
	kv_reply_entry(call, kv_read(&call->access, call->key));
	kv_call_unlock(call);
	return 0;
}

int kv_run_strlen(struct kv_call *call)
{
	const struct kv_entry *entry;

	if (kv_call_lock(call) < 0)
		return -EAGAIN;
	entry = kv_read(&call->access, call->key);
	if (entry && kv_entry_type(entry) != KV_TYPE_STRING)
		kv_reply_error(call, KV_ERR_TYPE);
	else
		kv_reply_integer(call, entry ? entry->value_bytes : 0);
	kv_call_unlock(call);
	return 0;
}

int kv_run_getdel(struct kv_call *call)
{
	const struct kv_entry *entry;

	if (kv_call_lock(call) < 0)
		return -EAGAIN;
	entry = kv_read(&call->access, call->key);
	kv_reply_entry(call, entry);
	if (entry && kv_entry_type(entry) == KV_TYPE_STRING)
		kv_delete(&call->access, call->key);
	kv_call_unlock(call);
	return 0;
}

int kv_run_mget(struct kv_call *call)
{
	struct kv_keys keys;
	int status = kv_call_lock_keys(call, &keys, 1, call->count - 1, 1);

	if (status == -EAGAIN)
		return -EAGAIN;
	if (status < 0)
		return kv_reply_status(call, status);
	rota_resp_write_array(call->output, keys.count);
	for (uint32_t i = 0; i < keys.count; i++) {
		const struct kv_entry *entry = kv_read(&call->access, &keys.keys[i]);

		if (entry && kv_entry_type(entry) != KV_TYPE_STRING)
			entry = NULL;
		kv_reply_entry(call, entry);
	}
	kv_call_unlock_keys(call, &keys);
	return 0;
}

/* ---- setting ---- */

/* A value on its way into the store: large ones are copied before the lock is taken. */
struct value {
	struct rota_view bytes;
	struct rota_blob *blob; /* NULL for a small one */
};

static bool value_prepare(struct kv_call *call, struct value *value, struct rota_view bytes)
{
	value->bytes = bytes;
	value->blob = NULL;
	if (ROTA_LIKELY(bytes.bytes < KV_BLOB_BYTES_MIN))
		return true;
	if (bytes.bytes > KV_VALUE_BYTES_MAX) {
		kv_reply_error(call, KV_ERR_TOO_BIG);
		return false;
	}
	value->blob = rota_blob_create(bytes.bytes);
	if (!value->blob) {
		kv_reply_error(call, KV_ERR_MEMORY);
		return false;
	}
	memcpy(value->blob->data, bytes.data, bytes.bytes);
	return true;
}

/* Under the lock. Returns 0 or what kv_string_set does. */
static inline int value_store(struct kv_call *call, const struct kv_key *key, struct value *value,
			      int64_t at_ms)
{
	int status;

	if (ROTA_LIKELY(!value->blob))
		return kv_string_set(&call->access, key, value->bytes, at_ms);
	status = kv_string_set_blob(&call->access, key, value->blob, at_ms);
	if (status == 0)
		value->blob = NULL;
	return status;
}

static inline void value_drop(struct value *value)
{
	if (ROTA_UNLIKELY(value->blob))
		rota_blob_unref(value->blob);
}

enum { SET_NX = 1, SET_XX = 2, SET_GET = 4, SET_KEEP_EXPIRY = 8 };

/* SET's options behind key and value. False: the error has been replied. */
static bool parse_set_options(struct kv_call *call, unsigned *flags,
			      struct kv_expiry_option *expiry)
{
	for (uint32_t i = 3; i < call->count; i++) {
		struct rota_view word = call->args[i];

		if (kv_is_word(word, "nx") && !(*flags & SET_XX))
			*flags |= SET_NX;
		else if (kv_is_word(word, "xx") && !(*flags & SET_NX))
			*flags |= SET_XX;
		else if (kv_is_word(word, "get"))
			*flags |= SET_GET;
		else if (kv_is_word(word, "keepttl") && !expiry->argument)
			*flags |= SET_KEEP_EXPIRY;
		else if (!(*flags & SET_KEEP_EXPIRY) && kv_expiry_option_take(call, &i, expiry))
			continue;
		else
			return kv_reply_error(call, KV_ERR_SYNTAX), false;
	}
	return true;
}

/*
 * The old value, kept for a reply that can be written only once the new one is stored: until then
 * it may turn out that there is no memory for that.
 */
struct old_value {
	struct rota_view bytes;
	struct rota_blob *blob; /* a reference, or NULL */
	char *copy;             /* NULL: in `small` */
	char small[256];
};

/* Returns 0 or -ENOMEM. */
static int old_value_keep(struct old_value *old, const struct kv_entry *entry)
{
	struct rota_view value;
	char *room = old->small;

	old->blob = kv_entry_blob(entry);
	old->copy = NULL;
	if (old->blob) {
		rota_blob_ref(old->blob);
		old->bytes = rota_view_of(old->blob->data, entry->value_bytes);
		return 0;
	}
	value = kv_entry_value(entry);
	if (value.bytes > sizeof(old->small))
		room = old->copy = rota_alloc(value.bytes);
	if (!room)
		return -ENOMEM;
	if (value.bytes)
		memcpy(room, value.data, value.bytes);
	old->bytes = rota_view_of(room, value.bytes);
	return 0;
}

static void old_value_drop(struct old_value *old)
{
	if (old->blob)
		rota_blob_unref(old->blob);
	rota_free(old->copy);
}

static void old_value_reply(struct kv_call *call, const struct old_value *old)
{
	if (old->blob)
		rota_resp_write_bulk_blob(call->output, old->blob, 0, old->bytes.bytes);
	else
		rota_resp_write_bulk(call->output, old->bytes);
}

/* Under the lock: set, and reply what was there before. */
static void exchange_and_reply(struct kv_call *call, const struct kv_entry *entry,
			       struct value *value, int64_t at_ms)
{
	struct old_value old;
	int status = entry ? old_value_keep(&old, entry) : 0;

	if (status < 0) {
		kv_reply_status(call, status);
		return;
	}
	status = value_store(call, call->key, value, at_ms);
	if (status < 0)
		kv_reply_status(call, status);
	else if (entry)
		old_value_reply(call, &old);
	else
		kv_reply_null(call);
	if (entry)
		old_value_drop(&old);
}

/* Under the lock: decide, set, reply. */
static void set_and_reply(struct kv_call *call, unsigned flags, struct value *value, int64_t at_ms)
{
	const struct kv_entry *entry = NULL;
	bool is_allowed;
	int status;

	if (flags & SET_GET) {
		entry = kv_read(&call->access, call->key);
		if (entry && kv_entry_type(entry) != KV_TYPE_STRING) {
			kv_reply_error(call, KV_ERR_TYPE);
			return;
		}
	} else if (flags & (SET_NX | SET_XX)) {
		entry = kv_find(&call->access, call->key);
	}
	is_allowed = !(flags & SET_NX && entry) && !(flags & SET_XX && !entry);
	if (!is_allowed) {
		kv_reply_entry(call, flags & SET_GET ? entry : NULL);
		return;
	}
	if (flags & SET_KEEP_EXPIRY)
		at_ms = KV_KEEP_EXPIRY;
	if (flags & SET_GET) {
		exchange_and_reply(call, entry, value, at_ms);
		return;
	}
	status = value_store(call, call->key, value, at_ms);
	if (ROTA_LIKELY(status == 0))
		kv_reply_ok(call);
	else
		kv_reply_status(call, status);
}

static int set(struct kv_call *call, unsigned flags, uint32_t value_index, int64_t at_ms)
{
	struct value value;

	if (!value_prepare(call, &value, call->args[value_index]))
		return 0;
	if (kv_call_lock(call) < 0) {
		value_drop(&value);
		return -EAGAIN;
	}
	set_and_reply(call, flags, &value, at_ms);
	kv_call_unlock(call);
	value_drop(&value);
	return 0;
}

int kv_run_set(struct kv_call *call)
{
	struct kv_expiry_option expiry = { 0 };
	unsigned flags = 0;
	int64_t at_ms = KV_NO_EXPIRY;

	if (ROTA_UNLIKELY(call->count > 3)) {
		if (!parse_set_options(call, &flags, &expiry))
			return 0;
		if (expiry.argument && !kv_expiry_option_resolve(call, &expiry, &at_ms))
			return 0;
	}
	return set(call, flags, 2, at_ms);
}

static int set_expiring(struct kv_call *call, int64_t unit_ms)
{
	struct kv_expiry_option expiry = { .argument = 2, .unit_ms = unit_ms };
	int64_t at_ms;

	if (!kv_expiry_option_resolve(call, &expiry, &at_ms))
		return 0;
	return set(call, 0, 3, at_ms);
}

int kv_run_setex(struct kv_call *call)
{
	return set_expiring(call, 1000);
}

int kv_run_psetex(struct kv_call *call)
{
	return set_expiring(call, 1);
}

int kv_run_getset(struct kv_call *call)
{
	return set(call, SET_GET, 2, KV_NO_EXPIRY);
}

int kv_run_setnx(struct kv_call *call)
{
	struct value value;
	int status = 0;

	if (!value_prepare(call, &value, call->args[2]))
		return 0;
	if (kv_call_lock(call) < 0) {
		value_drop(&value);
		return -EAGAIN;
	}
	if (kv_find(&call->access, call->key))
		kv_reply_integer(call, 0);
	else if ((status = value_store(call, call->key, &value, KV_NO_EXPIRY)) == 0)
		kv_reply_integer(call, 1);
	else
		kv_reply_status(call, status);
	kv_call_unlock(call);
	value_drop(&value);
	return 0;
}

/* ---- several ---- */

static int set_several(struct kv_call *call, bool only_if_none)
{
	struct kv_keys keys;
	bool is_allowed = true;
	int status;

	if (call->count % 2 == 0)
		return kv_reply_arity(call);
	status = kv_call_lock_keys(call, &keys, 1, call->count - 2, 2);
	if (status == -EAGAIN)
		return -EAGAIN;
	if (status < 0)
		return kv_reply_status(call, status);
	for (uint32_t i = 0; i < keys.count && only_if_none && is_allowed; i++)
		is_allowed = !kv_find(&call->access, &keys.keys[i]);
	if (is_allowed)
		status = kv_string_set_all(&call->access, keys.keys, &call->args[2], 2, keys.count);
	kv_call_unlock_keys(call, &keys);
	if (status < 0)
		return kv_reply_status(call, status);
	return only_if_none ? kv_reply_integer(call, is_allowed) : kv_reply_ok(call);
}

int kv_run_mset(struct kv_call *call)
{
	return set_several(call, false);
}

int kv_run_msetnx(struct kv_call *call)
{
	return set_several(call, true);
}
