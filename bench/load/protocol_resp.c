/* SPDX-License-Identifier: MIT */
/*
 * RESP, the words of Redis: SET and GET.
 */
#include "bench/load/keyvalue.h"

#define TEXT(literal)                                                                              \
	{                                                                                          \
		literal, sizeof(literal) - 1                                                       \
	}

static int64_t take_line(struct client *client, const struct pending *pending,
			 struct rota_view line)
{
	if (line.data[0] == '-')
		return keyvalue_refused(client, line, rota_view_of(line.data + 1, line.bytes - 3));
	if (!pending->is_get)
		return rota_view_equals(line, rota_view_of("+OK\r\n", 5))
			       ? keyvalue_answered(client, line)
			       : keyvalue_wrong(client, line);
	if (rota_view_equals(line, rota_view_of("$-1\r\n", 5)))
		return keyvalue_missed(client, line);
	if (line.data[0] == '$')
		return keyvalue_value(client, line, rota_view_of(line.data + 1, line.bytes - 3));
	return keyvalue_wrong(client, line);
}

static const struct dialect dialect = {
	.get_head = TEXT("*2\r\n$3\r\nGET\r\n$16\r\n"),
	.get_end = TEXT("\r\n"),
	.set_head = TEXT("*3\r\n$3\r\nSET\r\n$16\r\n"),
	.length_head = TEXT("\r\n$"),
	.value_end = TEXT("\r\n"),
	.take_line = take_line,
};

const struct protocol protocol_resp = {
	.name = "resp",
	.dialect = &dialect,
	.request_bytes_max = keyvalue_request_bytes_max,
	.prepare = keyvalue_prepare,
	.write = keyvalue_write,
	.on_bytes = keyvalue_on_bytes,
};
