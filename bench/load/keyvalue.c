/* SPDX-License-Identifier: MIT */
/*
 * Requests to key-value servers and their replies.
 *
 * The one idea: the value of a key is a walk round the table from a place that follows from the
 * key. So a value that comes back is compared as it arrives, in whatever pieces, and nothing is
 * kept.
 */
#include <errno.h>

#include <rota/memory.h>

#include "bench/load/keyvalue.h"
#include "protocols/resp/resp.h"

/* Digits of a length, and CR LF. */
#define LENGTH_BYTES_MAX 22
/* Of a reply's words in an error. */
#define QUOTED_BYTES_MAX 80
/* Of a GET, in any dialect. */
#define TEMPLATE_BYTES 48

enum stage { STAGE_LINE, STAGE_VALUE };

void key_write(char *out, uint32_t key)
{
	char *digit = out + KEY_BYTES;

	memcpy(out, "key:000000000000", KEY_BYTES);
	for (; key; key /= 10)
		*--digit = (char)('0' + key % 10);
}

/* ---- requests ---- */

size_t keyvalue_request_bytes_max(const struct options *options)
{
	const struct dialect *dialect = options->protocol->dialect;

	return dialect->set_head.bytes + KEY_BYTES + dialect->length_head.bytes + LENGTH_BYTES_MAX +
	       options->value_bytes_max + 2;
}

static uint32_t value_bytes(const struct options *options, uint32_t key)
{
	return keys_value_bytes(key, options->value_bytes_min, options->value_bytes_max);
}

/* The bytes of a value from `at` on, TABLE_BYTES of them at least. */
static const char *value_at(const struct share *share, uint32_t key, uint64_t at)
{
	uint64_t place = key * UINT64_C(2654435761) % TABLE_BYTES;

	return share->table + (at ? (place + at) % TABLE_BYTES : place);
}

static char *put(char *at, struct rota_view text)
{
	memcpy(at, text.data, text.bytes);
	return at + text.bytes;
}

/* share->own: a GET, in which only the digits change. */
struct template
{
	char text[TEMPLATE_BYTES];
	size_t bytes;
	size_t key_at;
};

int keyvalue_prepare(struct share *share)
{
	const struct dialect *dialect = share->protocol->dialect;
	struct template *template = rota_calloc(1, sizeof(*template));

	if (!template)
		return -ENOMEM;
	template->key_at = dialect->get_head.bytes;
	template->bytes = template->key_at + KEY_BYTES + dialect->get_end.bytes;
	ROTA_ASSERT(template->bytes <= TEMPLATE_BYTES);
	put(template->text, dialect->get_head);
	put(template->text + template->key_at + KEY_BYTES, dialect->get_end);
	share->own = template;
	return 0;
}

static inline void write_get(struct rota_output *output, const struct template *template,
			     uint32_t key)
{
	char *at = rota_output_reserve(output, TEMPLATE_BYTES);

	memcpy(at, template->text, TEMPLATE_BYTES); /* of a constant size: a few moves */
	key_write(at + template->key_at, key);
	rota_output_commit(output, template->bytes);
}

static void write_set(struct rota_output *output, const struct share *share, uint32_t key)
{
	const struct dialect *dialect = share->protocol->dialect;
	uint32_t bytes = value_bytes(share->options, key);
	char *begin = rota_output_reserve(output, dialect->set_head.bytes + KEY_BYTES +
							  dialect->length_head.bytes +
							  LENGTH_BYTES_MAX);
	char *at = put(begin, dialect->set_head);

	key_write(at, key);
	at = put(at + KEY_BYTES, dialect->length_head);
	at += rota_resp_format_integer(at, bytes);
	at = put(at, rota_view_of("\r\n", 2));
	rota_output_commit(output, (size_t)(at - begin));
	for (uint32_t done = 0; done < bytes; done += TABLE_BYTES)
		rota_output_write(output, value_at(share, key, done),
				  rota_min_size(bytes - done, TABLE_BYTES));
	rota_output_write(output, "\r\n", 2);
}

void keyvalue_write(struct client *client, uint64_t first, uint32_t count)
{
	const struct share *share = client->share;
	struct rota_output *output = rota_conn_output(client->conn);

	for (uint64_t number = first; number != first + count; number++) {
		const struct pending *pending = client_request(client, number);

		if (pending->is_get)
			write_get(output, share->own, pending->key);
		else
			write_set(output, share, pending->key);
	}
}

/* ---- replies ---- */

int64_t keyvalue_answered(struct client *client, struct rota_view line)
{
	client_answered(client, true);
	return (int64_t)line.bytes;
}

int64_t keyvalue_missed(struct client *client, struct rota_view line)
{
	client->share->tally.misses++;
	return keyvalue_answered(client, line);
}

int64_t keyvalue_refused(struct client *client, struct rota_view line, struct rota_view said)
{
	share_error(client->share, 1, "the server says: %.*s",
		    (int)rota_min_size(said.bytes, QUOTED_BYTES_MAX), said.data);
	client_answered(client, false);
	return (int64_t)line.bytes;
}

int64_t keyvalue_wrong(struct client *client, struct rota_view line)
{
	const struct pending *pending = client_request(client, client->answered);

	return client_fail(client, "%s is answered with: %.*s", pending->is_get ? "GET" : "SET",
			   (int)rota_min_size(line.bytes - 2, QUOTED_BYTES_MAX), line.data);
}

int64_t keyvalue_value(struct client *client, struct rota_view line, struct rota_view digits)
{
	const struct share *share = client->share;
	uint32_t key = client_request(client, client->answered)->key;
	uint64_t length = 0;

	for (size_t i = 0; i < digits.bytes; i++) {
		if (digits.data[i] < '0' || digits.data[i] > '9' || i == 10)
			return keyvalue_wrong(client, line);
		length = length * 10 + (uint64_t)(digits.data[i] - '0');
	}
	if (!digits.bytes)
		return keyvalue_wrong(client, line);
	if (share->options->check && length != value_bytes(share->options, key))
		return client_fail(client, "a value has another length than was written");
	client->reply.body_bytes = length;
	client->reply.stage = STAGE_VALUE;
	return (int64_t)line.bytes;
}

static int64_t take_line(struct client *client, struct rota_view view)
{
	struct rota_view line = rota_view_of(view.data, line_bytes(view));

	if (client->answered == client->issued)
		return client_fail(client, "more replies came than requests were sent");
	if (!line.bytes)
		return view.bytes > LINE_BYTES_MAX ? client_fail(client, "a line does not end") : 0;
	if (line.bytes < 3 || line.data[line.bytes - 2] != '\r')
		return client_fail(client, "a line does not end in CR LF");
	return client->share->protocol->dialect->take_line(
		client, client_request(client, client->answered), line);
}

/* Whether `bytes` at `data` are those of the value from `at` on. */
static bool is_value(const struct share *share, uint32_t key, uint64_t at, const char *data,
		     size_t bytes)
{
	for (size_t done = 0; done < bytes; done += TABLE_BYTES)
		if (memcmp(value_at(share, key, at + done), data + done,
			   rota_min_size(bytes - done, TABLE_BYTES)) != 0)
			return false;
	return true;
}

/* What there is of the value, and all or nothing of what ends it. */
static int64_t take_value(struct client *client, struct rota_view view)
{
	const struct share *share = client->share;
	struct rota_view end = share->protocol->dialect->value_end;
	uint64_t left = client->reply.body_bytes - client->reply.bytes;
	size_t bytes = rota_min_size(view.bytes, left);

	if (share->options->check && !is_value(share, client_request(client, client->answered)->key,
					       client->reply.bytes, view.data, bytes))
		return client_fail(client, "another value came back than was written");
	if (bytes < left || view.bytes - bytes < end.bytes) {
		client->reply.bytes += bytes;
		return (int64_t)bytes;
	}
	if (memcmp(view.data + bytes, end.data, end.bytes) != 0)
		return client_fail(client, "a value does not end where its length says");
	client->reply.bytes = 0;
	client->reply.stage = STAGE_LINE;
	client_answered(client, true);
	return (int64_t)(bytes + end.bytes);
}

static int64_t take_next(struct client *client, struct rota_view rest)
{
	return client->reply.stage == STAGE_LINE ? take_line(client, rest)
						 : take_value(client, rest);
}

int64_t keyvalue_on_bytes(struct client *client, struct rota_view view)
{
	return client_take_each(client, view, take_next);
}
