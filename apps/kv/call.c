/* SPDX-License-Identifier: MIT */
/*
 * What commands share: replies, arguments, locks over several keys. Application layer of rota-kv;
 * on the session's reactor.
 */
#include "apps/kv/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include <rota/memory.h>

#include "apps/kv/number.h"

/* ---- replies ---- */

int kv_reply_ok(struct kv_call *call)
{
	rota_resp_write_ok(call->output);
	return 0;
}

int kv_reply_integer(struct kv_call *call, int64_t value)
{
	rota_resp_write_integer(call->output, value);
	return 0;
}

int kv_reply_null(struct kv_call *call)
{
	rota_resp_write_null(call->output, call->version);
	return 0;
}

int kv_reply_bulk(struct kv_call *call, struct rota_view data)
{
	rota_resp_write_bulk(call->output, data);
	return 0;
}

int kv_reply_error(struct kv_call *call, const char *text)
{
	kv_count(&call->client->local->counters.errors, 1);
	rota_resp_write_error(call->output, rota_view_of_string(text));
	return 0;
}

int kv_reply_errorf(struct kv_call *call, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return kv_reply_error(call, text);
}

int kv_reply_status(struct kv_call *call, int64_t status)
{
	switch (status) {
	case -KV_EWRONGTYPE:
		return kv_reply_error(call, KV_ERR_TYPE);
	case -KV_ETOOBIG:
		return kv_reply_error(call, KV_ERR_TOO_BIG);
	case -ENOMEM:
		return kv_reply_error(call, KV_ERR_MEMORY);
	default:
		return kv_reply_errorf(call, "ERR %s", rota_strerror(status));
	}
}

int kv_reply_arity(struct kv_call *call)
{
	char name[KV_COMMAND_FULL_NAME_BYTES];

	return kv_reply_errorf(call, "ERR wrong number of arguments for '%s' command",
			       kv_command_full_name(call->command, name));
}

int kv_reply_entry(struct kv_call *call, const struct kv_entry *entry)
{
	struct rota_blob *blob;

	if (!entry)
		return kv_reply_null(call);
	if (ROTA_UNLIKELY(kv_entry_type(entry) != KV_TYPE_STRING))
		return kv_reply_error(call, KV_ERR_TYPE);
	blob = kv_entry_blob(entry);
	if (ROTA_UNLIKELY(blob))
		rota_resp_write_bulk_blob(call->output, blob, 0, entry->value_bytes);
	else
		rota_resp_write_bulk(call->output, kv_entry_value(entry));
	return 0;
}

/* ---- arguments ---- */

bool kv_is_word(struct rota_view argument, const char *word)
{
	return argument.bytes == strlen(word) && !strncasecmp(argument.data, word, argument.bytes);
}

bool kv_call_integer(struct kv_call *call, uint32_t index, int64_t *out)
{
	if (kv_parse_integer(call->args[index], out))
		return true;
	kv_reply_error(call, KV_ERR_INTEGER);
	return false;
}

bool kv_call_database(struct kv_call *call, uint32_t index, uint32_t *out)
{
	int64_t number;

	if (!kv_call_integer(call, index, &number))
		return false;
	if (number < INT32_MIN || number > INT32_MAX) {
		kv_reply_errorf(call, "ERR value is out of range, value must between %d and %d",
				INT32_MIN, INT32_MAX);
		return false;
	}
	if (number < 0 || number >= kv_store_database_count(call->access.store)) {
		kv_reply_error(call, KV_ERR_DB_RANGE);
		return false;
	}
	*out = (uint32_t)number;
	return true;
}

/* ---- locks over several keys ---- */

int kv_call_lock_keys(struct kv_call *call, struct kv_keys *keys, uint32_t first, uint32_t last,
		      uint32_t step)
{
	uint32_t count = (last - first) / step + 1;
	int status = 0;

	keys->count = 0;
	keys->keys = keys->inline_;
	if (count > KV_KEYS_INLINE)
		keys->keys = rota_alloc(count * sizeof(keys->keys[0]));
	if (!keys->keys)
		return -ENOMEM;
	for (uint32_t i = first; i <= last; i += step)
		keys->keys[keys->count++].bytes = call->args[i];
	kv_keys_hash(call->access.store, keys->keys, keys->count);
	kv_lock_set_init(&keys->locks, call->access.store);
	if (call->is_alone)
		return 0;
	kv_keys_prefetch(call->access.store, call->access.database, keys->keys, keys->count);
	for (uint32_t i = 0; i < keys->count && status == 0; i++)
		status = kv_lock_set_add(&keys->locks, &keys->keys[i]);
	if (status == 0)
		status = kv_lock_set_acquire(&keys->locks, &call->wait->parking);
	if (status < 0) {
		kv_lock_set_fini(&keys->locks);
		if (keys->keys != keys->inline_)
			rota_free(keys->keys);
	}
	return status;
}

void kv_call_unlock_keys(struct kv_call *call, struct kv_keys *keys)
{
	if (!call->is_alone)
		kv_lock_set_release(&keys->locks);
	kv_lock_set_fini(&keys->locks);
	if (keys->keys != keys->inline_)
		rota_free(keys->keys);
}
