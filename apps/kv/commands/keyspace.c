/* SPDX-License-Identifier: MIT */
/*
 * Commands on keys of any type, and on whole databases. Application layer of rota-kv; see
 * kv_run_fn.
 */
#include "apps/kv/call.h"
#include "apps/kv/commands/commands.h"
#include "apps/kv/commands/types.h"
#include "apps/kv/expirer.h"
#include "apps/kv/number.h"

const char *kv_type_name(enum kv_type type)
{
	static const char *const names[] = { "string", "list", "hash", "set", "zset", "stream" };

	return names[type];
}

/* ---- memory ---- */

/*
 * Strings are one block or two, so there is nothing to sample. False: the error has been replied.
 */
static bool samples_are_good(struct kv_call *call)
{
	int64_t samples;

	for (uint32_t i = 3; i < call->count; i += 2) {
		if (!kv_is_word(call->args[i], "samples") || i + 1 == call->count)
			return kv_reply_error(call, KV_ERR_SYNTAX), false;
		if (!kv_call_integer(call, i + 1, &samples))
			return false;
		if (samples < 0)
			return kv_reply_error(call, KV_ERR_SYNTAX), false;
	}
	return true;
}

int kv_run_memory_usage(struct kv_call *call)
{
	const struct kv_entry *entry;
	int64_t bytes;

	if (!samples_are_good(call))
		return 0;
	if (kv_call_lock(call) < 0)
		return -EAGAIN;
	entry = kv_find(&call->access, call->key);
	bytes = entry ? (int64_t)kv_entry_memory_bytes(entry) : -1;
	kv_call_unlock(call);
	return bytes < 0 ? kv_reply_null(call) : kv_reply_integer(call, bytes);
}

/* ---- one and several keys ---- */

/* Run `each` on every key of the request, under their locks, and reply how often it was true. */
static int count_keys(struct kv_call *call,
		      bool (*each)(const struct kv_access *access, const struct kv_key *key))
{
	struct kv_keys keys;
	int64_t count = 0;
	int status;

	if (ROTA_LIKELY(call->count == 2)) {
		if (kv_call_lock(call) < 0)
			return -EAGAIN;
		count = each(&call->access, call->key);
		kv_call_unlock(call);
		return kv_reply_integer(call, count);
	}
	status = kv_call_lock_keys(call, &keys, 1, call->count - 1, 1);
	if (status == -EAGAIN)
		return -EAGAIN;
	if (status < 0)
		return kv_reply_status(call, status);
	for (uint32_t i = 0; i < keys.count; i++)
		count += each(&call->access, &keys.keys[i]);
	kv_call_unlock_keys(call, &keys);
	return kv_reply_integer(call, count);
}

int kv_run_del(struct kv_call *call)
{
	return count_keys(call, kv_delete);
}

static bool is_there(const struct kv_access *access, const struct kv_key *key)
{
	return kv_read(access, key) != NULL;
}

int kv_run_exists(struct kv_call *call)
{
	return count_keys(call, is_there);
}

int kv_run_type(struct kv_call *call)
{
	const struct kv_entry *entry;
	const char *name;

	if (kv_call_lock(call) < 0)
		return -EAGAIN;
	entry = kv_read(&call->access, call->key);
	name = entry ? kv_type_name(kv_entry_type(entry)) : "none";
	kv_call_unlock(call);
	rota_resp_write_status(call->output, rota_view_of_string(name));
	return 0;
}

/* ---- RENAME, COPY ---- */

/* Under the locks. Returns 1 when renamed, 0 when not allowed, or negative errno. */
static int rename_key(struct kv_call *call, const struct kv_keys *keys, bool only_if_free)
{
	const struct kv_access *access = &call->access;

	if (!kv_find(access, &keys->keys[0]))
		return -ENOENT;
	if (only_if_free && kv_find(access, &keys->keys[1]))
		return 0;
	if (rota_view_equals(keys->keys[0].bytes, keys->keys[1].bytes))
		return 1;
	return kv_rename(access, &keys->keys[0], access, &keys->keys[1]) < 0 ? -ENOMEM : 1;
}

static int rename_and_reply(struct kv_call *call, bool only_if_free)
{
	struct kv_keys keys;
	int status = kv_call_lock_keys(call, &keys, 1, 2, 1);

	if (status == -EAGAIN)
		return -EAGAIN;
	if (status < 0)
		return kv_reply_status(call, status);
	status = rename_key(call, &keys, only_if_free);
	kv_call_unlock_keys(call, &keys);
	if (status == -ENOENT)
		return kv_reply_error(call, KV_ERR_NO_KEY);
	if (status < 0)
		return kv_reply_status(call, status);
	return only_if_free ? kv_reply_integer(call, status) : kv_reply_ok(call);
}

int kv_run_rename(struct kv_call *call)
{
	return rename_and_reply(call, false);
}

int kv_run_renamenx(struct kv_call *call)
{
	return rename_and_reply(call, true);
}

/* False: the error has been replied. */
static bool parse_copy_options(struct kv_call *call, uint32_t *database, bool *replaces)
{
	for (uint32_t i = 3; i < call->count; i++) {
		if (kv_is_word(call->args[i], "replace")) {
			*replaces = true;
		} else if (kv_is_word(call->args[i], "db") && i + 1 < call->count) {
			if (!kv_call_database(call, ++i, database))
				return false;
		} else {
			kv_reply_error(call, KV_ERR_SYNTAX);
			return false;
		}
	}
	return true;
}

int kv_run_copy(struct kv_call *call)
{
	struct kv_access to = call->access;
	bool replaces = false;
	struct kv_keys keys;
	int status;

	if (!parse_copy_options(call, &to.database, &replaces))
		return 0;
	if (to.database == call->access.database && rota_view_equals(call->args[1], call->args[2]))
		return kv_reply_error(call, "ERR source and destination objects are the same");
	status = kv_call_lock_keys(call, &keys, 1, 2, 1);
	if (status == -EAGAIN)
		return -EAGAIN;
	if (status < 0)
		return kv_reply_status(call, status);
	if (!kv_read(&call->access, &keys.keys[0]) || (!replaces && kv_find(&to, &keys.keys[1])))
		status = -ENOENT;
	else
		status = kv_copy(&call->access, &keys.keys[0], &to, &keys.keys[1]);
	kv_call_unlock_keys(call, &keys);
	if (status < 0 && status != -ENOENT)
		return kv_reply_status(call, status);
	return kv_reply_integer(call, status == 0);
}

/* ---- whole databases ---- */

int kv_run_dbsize(struct kv_call *call)
{
	uint64_t keys = kv_store_key_count(call->access.store, call->access.database);

	return kv_reply_integer(call, (int64_t)keys);
}

/* `database` UINT32_MAX: all. */
static int flush(struct kv_call *call, uint32_t database)
{
	struct kv_store *store = call->access.store;
	bool in_background = call->count == 2 && kv_is_word(call->args[1], "async");
	int status;

	if (call->count > 2 ||
	    (call->count == 2 && !in_background && !kv_is_word(call->args[1], "sync")))
		return kv_reply_error(call, KV_ERR_SYNTAX);
	status = kv_close_gate(store, call->wait);
	if (status < 0)
		return status;
	kv_flush(&call->access, database);
	kv_gate_open(store, &call->wait->parking);
	if (in_background)
		kv_free_in_background(&call->garbage);
	else
		kv_free_slowly(&call->garbage);
	return kv_reply_ok(call);
}

int kv_run_flushdb(struct kv_call *call)
{
	return flush(call, call->access.database);
}

int kv_run_flushall(struct kv_call *call)
{
	return flush(call, UINT32_MAX);
}
