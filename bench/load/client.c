/* SPDX-License-Identifier: MIT */
/*
 * Clients: one connection each, and the task that reads its replies. Belongs to a share's reactor.
 */
#include <stdarg.h>
#include <stdio.h>

#include <rota/error.h>

#include "bench/load/load.h"

/* After a connection is lost. Guesses: soon enough for a blink, too seldom to flood. */
#define RECONNECT_BASE_NS (10 * ROTA_NS_PER_MS)
#define RECONNECT_CAP_NS (500 * ROTA_NS_PER_MS)
/* How long a connection waits at its end for the server's: all that was asked is answered. */
#define LINGER_NS (100 * ROTA_NS_PER_MS)
/* In the output beside requests. */
#define OUTPUT_SPARE_BYTES ((size_t)1 << 20)

/* ---- errors ---- */

void share_error(struct share *share, uint64_t count, const char *format, ...)
{
	va_list arguments;

	share->tally.errors += count;
	/* keys that cannot all be written need not be */
	if (share->pacing == PACING_PREFILL)
		share->is_issuing = false;
	if (share->tally.error[0])
		return;
	va_start(arguments, format);
	vsnprintf(share->tally.error, sizeof(share->tally.error), format, arguments);
	va_end(arguments);
}

int64_t client_fail(struct client *client, const char *format, ...)
{
	struct share *share = client->share;
	va_list arguments;

	if (!share->tally.error[0]) {
		va_start(arguments, format);
		vsnprintf(share->tally.error, sizeof(share->tally.error), format, arguments);
		va_end(arguments);
	}
	return -ROTA_EPROTOCOL;
}

/* The connection is of no use any more: what was in flight on it is lost. */
static void give_up(struct client *client, int64_t status)
{
	struct share *share = client->share;
	uint64_t lost = client_in_flight(client);

	if (client->is_late && lost)
		share_error(share, lost, "no reply for %g s",
			    (double)share->options->timeout_ns / 1e9);
	else if (status == -ROTA_EPROTOCOL)
		share_error(share, lost ? lost : 1, "a reply is wrong");
	else if (status == 0 && (lost || !client->is_over))
		share_error(share, lost ? lost : 1, "the server closed a connection");
	else if (status < 0 && status != -ECANCELED)
		share_error(share, lost ? lost : 1, "a connection was lost: %s",
			    rota_strerror((int)status));
	share->in_flight -= lost;
	client->answered = client->issued;
	memset(&client->reply, 0, sizeof(client->reply));
	rota_list_remove(&client->free_link);
	share_check_drained(share);
}

/* ---- sending ---- */

/* What a request of a protocol with keys is about. */
static void choose(struct share *share, struct pending *pending)
{
	const struct options *options = share->options;

	if (share->pacing == PACING_PREFILL) {
		pending->key = (uint32_t)share->prefill_next++;
		pending->is_get = false;
		return;
	}
	pending->key = keys_next(&share->keys, &share->random);
	pending->is_get = random_below(&share->random, (uint64_t)options->sets + options->gets) >=
			  options->sets;
}

void client_send(struct client *client, uint32_t count, rota_ns since)
{
	struct share *share = client->share;
	uint64_t first = client->issued;

	if (first == client->answered)
		client->active_at = share->now;
	for (uint64_t number = first; number != first + count; number++) {
		struct pending *pending = client_request(client, number);

		pending->since = since;
		if (share->protocol->dialect)
			choose(share, pending);
	}
	client->issued += count;
	share->in_flight += count;
	share->protocol->write(client, first, count);
}

void client_go_on(struct client *client)
{
	struct share *share = client->share;
	uint64_t room = share->window - client_in_flight(client);

	if (share->pacing == PACING_RATE) {
		pace_client_is_free(client);
		return;
	}
	if (!share->is_issuing)
		return;
	if (share->pacing == PACING_PREFILL) {
		uint64_t left = share->prefill_end - share->prefill_next;

		room = room < left ? room : left;
		share->is_issuing = room < left;
	}
	if (room)
		client_send(client, (uint32_t)room, share->now);
}

void share_check_drained(struct share *share)
{
	if (!share->drained || share->is_issuing || share->in_flight || share->queue.count)
		return;
	rota_future_complete(share->drained, 0);
	share->drained = NULL;
}

/* ---- connecting ---- */

static void say_no_connection(struct share *share, int status)
{
	share_error(share, 1, "cannot connect to %s: %s", share->options->target,
		    rota_strerror(status));
}

static int connect_one(struct share *share, struct rota_conn **out)
{
	struct rota_conn_limits limits = {
		.linger_timeout_ns = LINGER_NS,
		.output_max_bytes = (share->pending_mask + (size_t)1) *
					    share->protocol->request_bytes_max(share->options) +
				    OUTPUT_SPARE_BYTES,
	};
	int status = rota_semaphore_acquire(&share->connects, 1);
	struct rota_scope scope;

	if (status < 0)
		return status;
	rota_scope_open(&scope, rota_after_ns(share->options->timeout_ns));
	status = rota_connect(&share->options->address, &limits, out);
	rota_ignore(rota_scope_close(&scope), "the call itself says what came of it");
	rota_semaphore_release(&share->connects, 1);
	return status;
}

int client_connect(struct client *client)
{
	return connect_one(client->share, &client->conn);
}

static int64_t connect_again(void *arg)
{
	struct client *client = arg;
	int status = client_connect(client);

	if (status < 0 && status != -ECANCELED)
		say_no_connection(client->share, status);
	return status;
}

static bool is_worth_it(int64_t failure, void *arg)
{
	(void)arg;
	return failure != -ECANCELED;
}

/* The first connection is there, or cannot be had. */
static void arrived(struct share *share, int status)
{
	if (status < 0 && status != -ECANCELED)
		say_no_connection(share, status);
	share->connecting--;
	if (!rota_future_is_done(&share->connected) && (status < 0 || !share->connecting))
		rota_future_complete(&share->connected, status);
}

/* ---- the task ---- */

int64_t client_receive(struct client *client)
{
	struct share *share = client->share;
	struct rota_view view;
	int64_t n = rota_conn_peek(client->conn, client->need_bytes, &view);

	if (n < (int64_t)client->need_bytes)
		return n < 0 ? n : 0;
	share_look(share);
	client->active_at = share->now;
	n = share->protocol->on_bytes(client, view);
	if (n < 0)
		return n;
	rota_conn_consume(client->conn, (size_t)n);
	client->need_bytes = view.bytes - (size_t)n + 1;
	return (int64_t)view.bytes;
}

/* Serve replies until the connection fails. Returns 0 at its end, or negative errno. */
static int64_t serve_replies(struct client *client)
{
	struct share *share = client->share;
	int64_t n;

	client_go_on(client);
	while ((n = client_receive(client)) > 0) {
		if (ROTA_UNLIKELY(client->is_over))
			return 0;
		client_go_on(client);
		if (ROTA_UNLIKELY(!share->in_flight))
			share_check_drained(share);
	}
	return n;
}

/* What is done with one connection, in the order of enum shape. */
static int64_t (*const talk[])(struct client *client) = {
	[SHAPE_REQUESTS] = serve_replies,
	[SHAPE_UPLOAD] = shape_upload,
	[SHAPE_DOWNLOAD] = shape_download,
	[SHAPE_CHURN] = shape_churn,
};

int64_t client_main(void *arg)
{
	static const struct rota_retry_policy policy = {
		.base_ns = RECONNECT_BASE_NS,
		.cap_ns = RECONNECT_CAP_NS,
		.is_worth = is_worth_it,
	};
	struct client *client = arg;
	struct share *share = client->share;
	int64_t status = client_connect(client);

	arrived(share, (int)status);
	while (status >= 0) {
		rota_scope_open(&client->scope, ROTA_NEVER);
		client->is_late = client->is_over = false;
		client->need_bytes = 1;
		status = talk[share->options->shape](client);
		give_up(client, status);
		rota_ignore(rota_scope_close(&client->scope), "nothing was spawned in it");
		if (client->conn)
			rota_conn_close(client->conn);
		client->conn = NULL;
		if (!client->is_over) /* not to hurry one that closes what it accepts */
			rota_ignore(rota_sleep_until(rota_after_ns(RECONNECT_BASE_NS)),
				    "the next call says it again");
		status = rota_retry(&policy, connect_again, client);
	}
	return 0;
}

int64_t idle_main(void *arg)
{
	struct share *share = arg;
	struct rota_conn *conn;
	struct rota_view view;
	int64_t status = connect_one(share, &conn);

	arrived(share, (int)status);
	if (status < 0)
		return 0;
	while ((status = rota_conn_read(conn, &view)) > 0)
		; /* a greeting, perhaps */
	if (status != -ECANCELED)
		share_error(share, 1, "an idle connection was lost: %s",
			    status ? rota_strerror((int)status) : "the server closed it");
	rota_conn_close(conn);
	return 0;
}
