/* SPDX-License-Identifier: MIT */
/*
 * Commands that go over all keys: SCAN, KEYS, RANDOMKEY. Application layer of rota-kv; see
 * kv_run_fn.
 *
 * The one idea: keys are gathered as finished reply bytes while their shard is locked, because how
 * many there are stands before them in the reply.
 */
#include <strings.h>
#include <sys/random.h>

#include <rota/memory.h>

#include "apps/kv/call.h"
#include "apps/kv/commands/commands.h"
#include "apps/kv/commands/types.h"
#include "apps/kv/glob.h"
#include "apps/kv/number.h"

struct gathered {
	struct rota_view pattern; /* NULL data: all */
	struct rota_view type;    /* NULL data: all */
	struct rota_buffer bytes; /* keys as bulk strings */
	size_t count;
	bool failed; /* no memory */
};

static bool is_wanted(const struct gathered *gathered, const struct kv_entry *entry)
{
	const char *type;

	if (gathered->pattern.data &&
	    !kv_glob_matches(gathered->pattern, kv_entry_key(entry), false))
		return false;
	if (!gathered->type.data)
		return true;
	type = kv_type_name(kv_entry_type(entry));
	return kv_is_word(gathered->type, type);
}

static void gather(void *arg, const struct kv_entry *entry)
{
	struct gathered *gathered = arg;
	struct rota_buffer *buffer = &gathered->bytes;
	struct rota_view key = kv_entry_key(entry);
	char *at;

	if (gathered->failed || !is_wanted(gathered, entry))
		return;
	if (rota_buffer_reserve(buffer, key.bytes + 32) < 0) {
		gathered->failed = true;
		return;
	}
	at = buffer->data + buffer->bytes;
	*at++ = '$';
	at += rota_resp_format_integer(at, (int64_t)key.bytes);
	memcpy(at, "\r\n", 2);
	at += 2;
	if (key.bytes)
		memcpy(at, key.data, key.bytes);
	at += key.bytes;
	memcpy(at, "\r\n", 2);
	buffer->bytes = (size_t)(at + 2 - buffer->data);
	gathered->count++;
}

static void reply_gathered(struct kv_call *call, const struct gathered *gathered)
{
	rota_resp_write_array(call->output, gathered->count);
	rota_output_write(call->output, gathered->bytes.data, gathered->bytes.bytes);
}

/* False: the error has been replied. */
static bool parse_scan(struct kv_call *call, uint64_t *cursor, uint32_t *count,
		       struct gathered *gathered)
{
	int64_t number;

	if (!kv_parse_cursor(call->args[1], cursor))
		return kv_reply_error(call, "ERR invalid cursor"), false;
	for (uint32_t i = 2; i < call->count; i += 2) {
		if (i + 1 == call->count)
			return kv_reply_error(call, KV_ERR_SYNTAX), false;
		if (kv_is_word(call->args[i], "count")) {
			if (!kv_call_integer(call, i + 1, &number))
				return false;
			if (number < 1)
				return kv_reply_error(call, KV_ERR_SYNTAX), false;
			*count = number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
		} else if (kv_is_word(call->args[i], "match")) {
			gathered->pattern = call->args[i + 1];
		} else if (kv_is_word(call->args[i], "type")) {
			gathered->type = call->args[i + 1];
		} else {
			return kv_reply_error(call, KV_ERR_SYNTAX), false;
		}
	}
	return true;
}

int kv_run_scan(struct kv_call *call)
{
	struct gathered gathered = { .count = 0 };
	uint32_t count = 10;
	uint64_t cursor;
	char digits[24];
	int64_t visited;

	if (!parse_scan(call, &cursor, &count, &gathered))
		return 0;
	visited = kv_scan(&call->access, &cursor, count, &call->wait->parking, gather, &gathered);
	if (visited >= 0 && gathered.failed) {
		kv_reply_error(call, KV_ERR_MEMORY);
	} else if (visited >= 0) {
		rota_resp_write_array(call->output, 2);
		/* Cursors stay below 2^63: there are at most 65536 shards. */
		kv_reply_bulk(call, rota_view_of(digits, rota_resp_format_integer(
								 digits, (int64_t)cursor)));
		reply_gathered(call, &gathered);
	}
	rota_buffer_fini(&gathered.bytes);
	return visited < 0 ? -EAGAIN : 0;
}

int kv_run_keys(struct kv_call *call)
{
	struct gathered gathered = { .pattern = call->args[1] };
	uint64_t cursor = 0;
	int64_t visited;

	/*
	 * A step without limit ends early only between two shards, when one is locked; so no key
	 * comes twice, as it could if a shard changed in the middle of it.
	 */
	do
		visited = kv_scan(&call->access, &cursor, UINT32_MAX, &call->wait->parking, gather,
				  &gathered);
	while (visited >= 0 && cursor);
	if (visited >= 0 && gathered.failed)
		kv_reply_error(call, KV_ERR_MEMORY);
	else if (visited >= 0)
		reply_gathered(call, &gathered);
	rota_buffer_fini(&gathered.bytes);
	return visited < 0 ? -EAGAIN : 0;
}

static void reply_key(void *arg, const struct kv_entry *entry)
{
	kv_reply_bulk(arg, kv_entry_key(entry));
}

int kv_run_randomkey(struct kv_call *call)
{
	uint64_t random = 0;
	int status;

	/* When the kernel has none, any key is as good as another. */
	if (getrandom(&random, sizeof(random), 0) < 0)
		random = (uint64_t)rota_now();
	status = kv_random(&call->access, random, &call->wait->parking, reply_key, call);
	return status ? (status < 0 ? -EAGAIN : 0) : kv_reply_null(call);
}
