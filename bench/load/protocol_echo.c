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

static const char *stream_at(const struct client *client, uint64_t place)
{
	return client->share->table + (client->table_offset + place) % TABLE_BYTES;
}

static void write_messages(struct client *client, uint64_t first, uint32_t count)
{
	uint32_t payload_bytes = client->share->options->payload_bytes;
	struct rota_output *output = rota_conn_output(client->conn);
	uint64_t place = first * payload_bytes;
	uint64_t left = (uint64_t)count * payload_bytes;

	while (left) {
		size_t piece = rota_min_size(left, TABLE_BYTES);

		rota_output_write(output, stream_at(client, place), piece);
		place += piece;
		left -= piece;
	}
}

static bool is_stream(const struct client *client, uint64_t place, struct rota_view view)
{
	for (size_t at = 0; at < view.bytes; at += TABLE_BYTES)
		if (memcmp(stream_at(client, place + at), view.data + at,
			   rota_min_size(view.bytes - at, TABLE_BYTES)) != 0)
			return false;
	return true;
}

static int64_t on_bytes(struct client *client, struct rota_view view)
{
	uint32_t payload_bytes = client->share->options->payload_bytes;
	uint64_t outstanding = (uint64_t)client_in_flight(client) * payload_bytes;

	if (view.bytes > outstanding - client->reply.bytes)
		return client_fail(client, "more bytes came back than were sent");
	if (client->share->options->check &&
	    !is_stream(client, client->answered * payload_bytes + client->reply.bytes, view))
		return client_fail(client, "other bytes came back than were sent");
	client->reply.bytes += view.bytes;
	while (client->reply.bytes >= payload_bytes) {
		client->reply.bytes -= payload_bytes;
		client_answered(client, true);
	}
	return (int64_t)view.bytes;
}

const struct protocol protocol_echo = {
	.name = "echo",
	.request_bytes_max = request_bytes_max,
	.write = write_messages,
	.on_bytes = on_bytes,
};
