/* SPDX-License-Identifier: MIT */
/*
 * memcached's text protocol: set and get, or the meta commands ms and mg.
 */
#include "bench/load/keyvalue.h"

#define TEXT(literal)                                                                              \
	{                                                                                          \
		literal, sizeof(literal) - 1                                                       \
	}
/* What comes before a value: "VALUE " key " 0 " length CR LF. */
#define VALUE_HEAD "VALUE "
#define VALUE_FLAGS " 0 "
#define VALUE_KEY_AT (sizeof(VALUE_HEAD) - 1)
#define VALUE_FLAGS_AT (VALUE_KEY_AT + KEY_BYTES)
#define VALUE_LENGTH_AT (VALUE_FLAGS_AT + sizeof(VALUE_FLAGS) - 1)

static bool begins_with(struct rota_view line, const char *text)
{
	size_t bytes = strlen(text);

	return line.bytes >= bytes && !memcmp(line.data, text, bytes);
}

static bool is_error(struct rota_view line)
{
	return begins_with(line, "ERROR\r\n") || begins_with(line, "CLIENT_ERROR ") ||
	       begins_with(line, "SERVER_ERROR ");
}

static int64_t take_value_head(struct client *client, uint32_t key, struct rota_view line)
{
	char head[VALUE_LENGTH_AT];

	memcpy(head, VALUE_HEAD, VALUE_KEY_AT);
	key_write(head + VALUE_KEY_AT, key);
	memcpy(head + VALUE_FLAGS_AT, VALUE_FLAGS, VALUE_LENGTH_AT - VALUE_FLAGS_AT);
	if (line.bytes < VALUE_LENGTH_AT + 2 || memcmp(line.data, head, VALUE_LENGTH_AT) != 0)
		return keyvalue_wrong(client, line);
	return keyvalue_value(
		client, line,
		rota_view_of(line.data + VALUE_LENGTH_AT, line.bytes - VALUE_LENGTH_AT - 2));
}

static int64_t take_line(struct client *client, const struct pending *pending,
			 struct rota_view line)
{
	if (pending->is_get && line.data[0] == 'V')
		return take_value_head(client, pending->key, line);
	if (pending->is_get && begins_with(line, "END\r\n"))
		return keyvalue_missed(client, line);
	if (!pending->is_get && begins_with(line, "STORED\r\n"))
		return keyvalue_answered(client, line);
	if (is_error(line))
		return keyvalue_refused(client, line, rota_view_of(line.data, line.bytes - 2));
	return keyvalue_wrong(client, line);
}

static const struct dialect dialect = {
	.get_head = TEXT("get "),
	.get_end = TEXT("\r\n"),
	.set_head = TEXT("set "),
	.length_head = TEXT(" 0 0 "),
	.value_end = TEXT("\r\nEND\r\n"),
	.take_line = take_line,
};

const struct protocol protocol_memcached = {
	.name = "memcached",
	.dialect = &dialect,
	.request_bytes_max = keyvalue_request_bytes_max,
	.prepare = keyvalue_prepare,
	.write = keyvalue_write,
	.on_bytes = keyvalue_on_bytes,
};

/* ---- meta commands ---- */

static int64_t take_meta_line(struct client *client, const struct pending *pending,
			      struct rota_view line)
{
	if (pending->is_get && begins_with(line, "VA "))
		return keyvalue_value(client, line, rota_view_of(line.data + 3, line.bytes - 5));
	if (pending->is_get && begins_with(line, "EN\r\n"))
		return keyvalue_missed(client, line);
	if (!pending->is_get && begins_with(line, "HD\r\n"))
		return keyvalue_answered(client, line);
	if (is_error(line))
		return keyvalue_refused(client, line, rota_view_of(line.data, line.bytes - 2));
	return keyvalue_wrong(client, line);
}

static const struct dialect meta_dialect = {
	.get_head = TEXT("mg "),
	.get_end = TEXT(" v\r\n"),
	.set_head = TEXT("ms "),
	.length_head = TEXT(" "),
	.value_end = TEXT("\r\n"),
	.take_line = take_meta_line,
};

const struct protocol protocol_memcached_meta = {
	.name = "memcached-meta",
	.dialect = &meta_dialect,
	.request_bytes_max = keyvalue_request_bytes_max,
	.prepare = keyvalue_prepare,
	.write = keyvalue_write,
	.on_bytes = keyvalue_on_bytes,
};
