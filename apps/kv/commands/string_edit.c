/* SPDX-License-Identifier: MIT */
/*
 * Commands that change strings in part, or as numbers. Application layer of rota-kv; see kv_run_fn.
 */
#include <math.h>

#include "apps/kv/call.h"
#include "apps/kv/commands/commands.h"
#include "apps/kv/number.h"

/* ---- parts ---- */

int kv_run_append(struct kv_call *call)
{
	int64_t bytes;

	if (kv_call_lock(call) < 0)
		return -EAGAIN;
	bytes = kv_string_append(&call->access, call->key, call->args[2]);
	kv_call_unlock(call);
	return bytes < 0 ? kv_reply_status(call, bytes) : kv_reply_integer(call, bytes);
}

/* SETRANGE with nothing to write only tells the length. */
static int64_t length_of(struct kv_call *call)
{
	const struct kv_entry *entry = kv_find(&call->access, call->key);

	if (entry && kv_entry_type(entry) != KV_TYPE_STRING)
		return -KV_EWRONGTYPE;
	return entry ? entry->value_bytes : 0;
}

int kv_run_setrange(struct kv_call *call)
{
	struct rota_view patch = call->args[3];
	int64_t offset, bytes;

	if (!kv_call_integer(call, 2, &offset))
		return 0;
	if (offset < 0)
		return kv_reply_error(call, "ERR offset is out of range");
	if (kv_call_lock(call) < 0)
		return -EAGAIN;
	bytes = patch.bytes ? kv_string_set_range(&call->access, call->key, (size_t)offset, patch)
			    : length_of(call);
	kv_call_unlock(call);
	return bytes < 0 ? kv_reply_status(call, bytes) : kv_reply_integer(call, bytes);
}

/* The bytes [start, end] of a string, counted from its end when negative. */
static void reply_range(struct kv_call *call, const struct kv_entry *entry, int64_t start,
			int64_t end)
{
	int64_t bytes = entry ? entry->value_bytes : 0;
	struct rota_blob *blob;
	size_t length;

	if (start < 0 && end < 0 && start > end) {
		kv_reply_bulk(call, rota_view_of("", 0));
		return;
	}
	start = start < 0 && start + bytes < 0 ? 0 : start < 0 ? start + bytes : start;
	end = end < 0 && end + bytes < 0 ? 0 : end < 0 ? end + bytes : end;
	if (end >= bytes)
		end = bytes - 1;
	if (start > end || !bytes) {
		kv_reply_bulk(call, rota_view_of("", 0));
		return;
	}
	length = (size_t)(end - start) + 1;
	blob = kv_entry_blob(entry);
	if (blob && length >= KV_BLOB_BYTES_MIN)
		rota_resp_write_bulk_blob(call->output, blob, (size_t)start, length);
	else
		kv_reply_bulk(call, rota_view_of(kv_entry_value(entry).data + start, length));
}

int kv_run_getrange(struct kv_call *call)
{
	const struct kv_entry *entry;
	int64_t start, end;

	if (!kv_call_integer(call, 2, &start) || !kv_call_integer(call, 3, &end))
		return 0;
	if (kv_call_lock(call) < 0)
		return -EAGAIN;
	entry = kv_read(&call->access, call->key);
	if (entry && kv_entry_type(entry) != KV_TYPE_STRING)
		kv_reply_error(call, KV_ERR_TYPE);
	else
		reply_range(call, entry, start, end);
	kv_call_unlock(call);
	return 0;
}

/* ---- numbers ---- */

/* Under the lock. Returns 0 with the sum in *out, or negative with the error replied. */
static int add_integer(struct kv_call *call, int64_t delta, int64_t *out)
{
	const struct kv_entry *entry = kv_find(&call->access, call->key);
	int64_t value = 0;
	char digits[24];
	int status;

	if (entry && kv_entry_type(entry) != KV_TYPE_STRING)
		return kv_reply_error(call, KV_ERR_TYPE), -EINVAL;
	if (entry && !kv_parse_integer(kv_entry_value(entry), &value))
		return kv_reply_error(call, KV_ERR_INTEGER), -EINVAL;
	if (__builtin_add_overflow(value, delta, out))
		return kv_reply_error(call, "ERR increment or decrement would overflow"), -EINVAL;
	status = kv_string_set(&call->access, call->key,
			       rota_view_of(digits, rota_resp_format_integer(digits, *out)),
			       KV_KEEP_EXPIRY);
	if (status < 0)
		kv_reply_status(call, status);
	return status;
}

static int add(struct kv_call *call, int64_t delta)
{
	int64_t sum;
	int status;

	if (kv_call_lock(call) < 0)
		return -EAGAIN;
	status = add_integer(call, delta, &sum);
	kv_call_unlock(call);
	return status < 0 ? 0 : kv_reply_integer(call, sum);
}

int kv_run_incr(struct kv_call *call)
{
	return add(call, 1);
}

int kv_run_decr(struct kv_call *call)
{
	return add(call, -1);
}

int kv_run_incrby(struct kv_call *call)
{
	int64_t delta;

	return kv_call_integer(call, 2, &delta) ? add(call, delta) : 0;
}

int kv_run_decrby(struct kv_call *call)
{
	int64_t delta;

	if (!kv_call_integer(call, 2, &delta))
		return 0;
	if (delta == INT64_MIN)
		return kv_reply_error(call, "ERR decrement would overflow");
	return add(call, -delta);
}

/* Under the lock. Replies. */
static void add_float(struct kv_call *call, long double delta)
{
	const struct kv_entry *entry = kv_find(&call->access, call->key);
	long double value = 0;
	char text[KV_FLOAT_BYTES];
	struct rota_view digits;
	int status;

	if (entry && !kv_parse_float(kv_entry_value(entry), &value)) {
		kv_reply_error(call, "ERR value is not a valid float");
		return;
	}
	value += delta;
	if (isnan(value) || isinf(value)) {
		kv_reply_error(call, "ERR increment would produce NaN or Infinity");
		return;
	}
	digits = rota_view_of(text, kv_format_float(text, value));
	status = kv_string_set(&call->access, call->key, digits, KV_KEEP_EXPIRY);
	if (status < 0)
		kv_reply_status(call, status);
	else
		kv_reply_bulk(call, digits);
}

int kv_run_incrbyfloat(struct kv_call *call)
{
	const struct kv_entry *entry;
	long double delta;

	if (kv_call_lock(call) < 0)
		return -EAGAIN;
	/* The type first, then the argument: the order in which Redis complains. */
	entry = kv_find(&call->access, call->key);
	if (entry && kv_entry_type(entry) != KV_TYPE_STRING)
		kv_reply_error(call, KV_ERR_TYPE);
	else if ((entry && !kv_parse_float(kv_entry_value(entry), &delta)) ||
		 !kv_parse_float(call->args[2], &delta))
		kv_reply_error(call, "ERR value is not a valid float");
	else
		add_float(call, delta);
	kv_call_unlock(call);
	return 0;
}
