/* SPDX-License-Identifier: MIT */
/*
 * Echo: what is sent must come back.
 *
 * The one idea: what a connection sends is one stream whose every byte is known beforehand, a walk
 * round the table, each connection from a place of its own. So bytes that are lost, doubled,
 * swapped or another's are seen by one memcmp, and nothing sent is remembered.
 */
#include "bench/load/load.h"

static size_t request_bytes_max(const struct options *options)
{
	return options->payload_bytes;
}

static int prepare(struct share *share)
{
	(void)share;
	return 0;
}

static const char *stream_at(const struct client *client, uint64_t message, uint64_t byte)
{
	uint64_t place = message * client->share->options->payload_bytes + byte;

	return client->share->table + (client->table_offset + place) % TABLE_BYTES;
}

static void write_message(struct client *client, const struct pending *pending)
{
	uint64_t message = (uint64_t)(client->issued - 1);
	uint32_t payload_bytes = client->share->options->payload_bytes;

	(void)pending;
	for (uint32_t at = 0; at < payload_bytes; at += TABLE_BYTES)
		rota_output_write(rota_conn_output(client->conn), stream_at(client, message, at),
				  rota_min_size(payload_bytes - at, TABLE_BYTES));
}

static int64_t on_bytes(struct client *client, struct rota_view view)
{
	uint32_t payload_bytes = client->share->options->payload_bytes;
	bool checks = client->share->options->check;
	size_t at = 0;

	while (at < view.bytes) {
		size_t piece = rota_min_size(view.bytes - at, payload_bytes - client->reply_bytes);

		if (client->answered == client->issued)
			return client_fail(client, "more bytes came back than were sent");
		piece = rota_min_size(piece, TABLE_BYTES);
		if (checks && memcmp(stream_at(client, client->answered, client->reply_bytes),
				     view.data + at, piece) != 0)
			return client_fail(client, "other bytes came back than were sent");
		at += piece;
		client->reply_bytes += piece;
		if (client->reply_bytes == payload_bytes)
			client_answered(client, true);
	}
	return (int64_t)view.bytes;
}

const struct protocol protocol_echo = {
	.name = "echo",
	.request_bytes_max = request_bytes_max,
	.prepare = prepare,
	.write = write_message,
	.on_bytes = on_bytes,
};
