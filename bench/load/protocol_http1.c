/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1.1: GET of one path on connections that are kept open, pipelined if asked.
 *
 * Replies are read as RFC 9112 has it, and no more loosely: a head in CR LF lines, and a body by
 * Content-Length or chunks. What ends with the connection would hide a reply that was cut, so it is
 * an error here. A server may announce the end of the connection (Connection: close); a new one is
 * then made, and only requests behind that reply are lost.
 */
#include <stdio.h>
#include <strings.h>

#include <rota/memory.h>

#include "bench/load/load.h"

/* Requests written at once are copied from so many in a row. */
#define REQUESTS_IN_A_ROW 16
#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

enum stage {
	STAGE_HEAD,
	STAGE_BODY,
	STAGE_CHUNK_SIZE,
	STAGE_CHUNK,
	STAGE_CHUNK_END,
	STAGE_TRAILER
};

/* share->own */
struct requests {
	size_t bytes; /* of one */
	char text[];
};

/* What a head says. */
struct head {
	unsigned status;
	bool has_length, is_chunked, closes;
	uint64_t length;
};

static size_t request_bytes_max(const struct options *options)
{
	return sizeof("GET  HTTP/1.1\r\nHost: \r\n\r\n") + strlen(options->path) +
	       strlen(options->target);
}

static int prepare(struct share *share)
{
	const struct options *options = share->options;
	size_t room = request_bytes_max(options);
	struct requests *requests = rota_alloc(sizeof(*requests) + REQUESTS_IN_A_ROW * room);
	bool is_local = options->address.any.sa_family == AF_UNIX;

	if (!requests)
		return -ENOMEM;
	requests->bytes = (size_t)snprintf(requests->text, room,
					   "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", options->path,
					   is_local ? "localhost" : options->target);
	for (size_t i = 1; i < REQUESTS_IN_A_ROW; i++)
		memcpy(requests->text + i * requests->bytes, requests->text, requests->bytes);
	share->own = requests;
	return 0;
}

static void write_requests(struct client *client, uint64_t first, uint32_t count)
{
	const struct requests *requests = client->share->own;
	struct rota_output *output = rota_conn_output(client->conn);

	(void)first;
	while (count) {
		uint32_t row = count < REQUESTS_IN_A_ROW ? count : REQUESTS_IN_A_ROW;

		rota_output_write(output, requests->text, row * requests->bytes);
		count -= row;
	}
}

/* ---- heads ---- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A whole number without sign; false: it is none, or larger than 2^62. */
static bool read_decimal(struct rota_view digits, uint64_t *out)
{
	uint64_t number = 0;

	for (size_t i = 0; i < digits.bytes; i++) {
		if (!is_digit(digits.data[i]) || number >> 58)
			return false;
		number = number * 10 + (uint64_t)(digits.data[i] - '0');
	}
	*out = number;
	return digits.bytes > 0;
}

/* Hexadecimal digits, then the end or a ';'. */
static bool read_chunk_size(struct rota_view line, uint64_t *out)
{
	uint64_t number = 0;
	size_t i = 0;

	for (; i < line.bytes && line.data[i] != ';'; i++) {
		char c = line.data[i];
		int digit = is_digit(c)            ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;

		if (digit < 0 || number >> 58)
			return false;
		number = number << 4 | (uint64_t)digit;
	}
	*out = number;
	return i > 0;
}

static struct rota_view trimmed(struct rota_view text)
{
	while (text.bytes && (text.data[0] == ' ' || text.data[0] == '\t')) {
		text.data++;
		text.bytes--;
	}
	while (text.bytes &&
	       (text.data[text.bytes - 1] == ' ' || text.data[text.bytes - 1] == '\t'))
		text.bytes--;
	return text;
}

static bool is_word(struct rota_view text, const char *word)
{
	return text.bytes == strlen(word) && !strncasecmp(text.data, word, text.bytes);
}

/* One field, without its CR LF. */
static bool take_field(struct head *head, struct rota_view line)
{
	const char *colon = memchr(line.data, ':', line.bytes);
	struct rota_view name, value;
	uint64_t length;

	if (!colon || colon == line.data || colon[-1] == ' ')
		return false;
	name = rota_view_of(line.data, (size_t)(colon - line.data));
	value = trimmed(rota_view_of(colon + 1, line.bytes - name.bytes - 1));
	if (is_word(name, "content-length")) {
		if (!read_decimal(value, &length) || (head->has_length && head->length != length))
			return false;
		head->length = length;
		head->has_length = true;
	} else if (is_word(name, "transfer-encoding")) {
		if (!is_word(value, "chunked"))
			return false; /* other codings were not asked for */
		head->is_chunked = true;
	} else if (is_word(name, "connection") && is_word(value, "close")) {
		head->closes = true;
	} else if (is_word(name, "connection") && is_word(value, "keep-alive")) {
		head->closes = false;
	}
	return true;
}

/* "HTTP/1.1 200 OK". */
static bool take_status(struct head *head, struct rota_view line)
{
	const char *text = line.data;

	if (line.bytes < 12 || memcmp(text, "HTTP/1.", 7) != 0 ||
	    (text[7] != '0' && text[7] != '1'))
		return false;
	if (text[8] != ' ' || !is_digit(text[9]) || !is_digit(text[10]) || !is_digit(text[11]) ||
	    (line.bytes > 12 && text[12] != ' '))
		return false;
	head->closes = text[7] == '0';
	head->status = (unsigned)((text[9] - '0') * 100 + (text[10] - '0') * 10 + text[11] - '0');
	return head->status >= 100;
}

/* Read the head at the start of `view`. Returns its bytes, 0: it is not all there, or -1. */
static int64_t read_head(struct head *head, struct rota_view view)
{
	struct rota_view rest = view;
	size_t bytes;

	*head = (struct head){ 0 };
	while ((bytes = line_bytes(rest))) {
		struct rota_view line = rota_view_of(rest.data, bytes - 2);

		if (bytes < 2 || rest.data[bytes - 2] != '\r')
			return -1;
		rest.data += bytes;
		rest.bytes -= bytes;
		if (!head->status) {
			if (!take_status(head, line))
				return -1;
		} else if (!line.bytes) {
			return (int64_t)(view.bytes - rest.bytes);
		} else if (!take_field(head, line)) {
			return -1;
		}
	}
	return 0;
}

/* ---- replies ---- */

static void finish_reply(struct client *client)
{
	struct share *share = client->share;
	uint64_t hash = client->reply.hash;

	client->reply.stage = STAGE_HEAD;
	client->reply.bytes = 0;
	if (share->options->check && client->reply.is_good) {
		if (!share->body_hash)
			share->body_hash = hash;
		if (share->body_hash != hash) {
			share_error(share, 1, "bodies of replies differ");
			client->reply.is_good = false;
		}
	}
	client_answered(client, client->reply.is_good);
}

static int64_t begin_body(struct client *client, const struct head *head)
{
	bool has_body = head->status != 204 && head->status != 304;

	client->reply.hash = FNV_BASIS;
	client->reply.is_good = head->status < 400;
	client->is_over |= head->closes;
	if (!client->reply.is_good)
		share_error(client->share, 1, "the server answers with status %u", head->status);
	client->reply.body_bytes = has_body ? head->length : 0;
	if (has_body && head->is_chunked && head->has_length)
		return client_fail(client, "a reply has both a length and chunks");
	if (has_body && head->is_chunked)
		client->reply.stage = STAGE_CHUNK_SIZE;
	else if (has_body && !head->has_length)
		return client_fail(client, "a reply has neither a length nor chunks");
	else if (client->reply.body_bytes)
		client->reply.stage = STAGE_BODY;
	else
		finish_reply(client);
	return 0;
}

static int64_t take_head(struct client *client, struct rota_view view)
{
	struct head head;
	int64_t bytes, status;

	if (client->answered == client->issued)
		return client_fail(client, "more replies came than requests were sent");
	bytes = read_head(&head, view);
	if (bytes == 0 && view.bytes > LINE_BYTES_MAX)
		return client_fail(client, "the head of a reply does not end");
	if (bytes < 0)
		return client_fail(client, "the head of a reply is malformed");
	if (bytes == 0 || head.status < 200) { /* 100 to 199 announce another */
		if (head.status == 101 && bytes)
			return client_fail(client, "the server switches protocols");
		return bytes;
	}
	status = begin_body(client, &head);
	return status < 0 ? status : bytes;
}

static int64_t take_body(struct client *client, struct rota_view view)
{
	size_t bytes = rota_min_size(view.bytes, client->reply.body_bytes - client->reply.bytes);

	if (client->share->options->check)
		for (size_t i = 0; i < bytes; i++)
			client->reply.hash = (client->reply.hash ^ (unsigned char)view.data[i]) *
					     FNV_PRIME;
	client->reply.bytes += bytes;
	if (client->reply.bytes < client->reply.body_bytes)
		return (int64_t)bytes;
	if (client->reply.stage == STAGE_CHUNK)
		client->reply.stage = STAGE_CHUNK_END;
	else
		finish_reply(client);
	return (int64_t)bytes;
}

/* Lines between chunks and behind the last. */
static int64_t take_chunk_line(struct client *client, struct rota_view view)
{
	size_t bytes = line_bytes(view);
	struct rota_view line = rota_view_of(view.data, bytes - 2);

	if (!bytes && view.bytes <= LINE_BYTES_MAX)
		return 0;
	if (bytes < 2 || view.data[bytes - 2] != '\r')
		return client_fail(client, "a chunk is malformed");
	if (client->reply.stage == STAGE_CHUNK_SIZE) {
		client->reply.bytes = 0;
		if (!read_chunk_size(line, &client->reply.body_bytes))
			return client_fail(client, "the size of a chunk is malformed");
		client->reply.stage = client->reply.body_bytes ? STAGE_CHUNK : STAGE_TRAILER;
	} else if (client->reply.stage == STAGE_CHUNK_END) {
		if (line.bytes)
			return client_fail(client, "a chunk is longer than its size says");
		client->reply.stage = STAGE_CHUNK_SIZE;
	} else if (!line.bytes) {
		finish_reply(client);
	}
	return (int64_t)bytes;
}

static int64_t take_next(struct client *client, struct rota_view rest)
{
	if (client->reply.stage == STAGE_HEAD)
		return take_head(client, rest);
	if (client->reply.stage == STAGE_BODY || client->reply.stage == STAGE_CHUNK)
		return take_body(client, rest);
	return take_chunk_line(client, rest);
}

static int64_t on_bytes(struct client *client, struct rota_view view)
{
	return client_take_each(client, view, take_next);
}

const struct protocol protocol_http1 = {
	.name = "http1",
	.request_bytes_max = request_bytes_max,
	.prepare = prepare,
	.write = write_requests,
	.on_bytes = on_bytes,
};
