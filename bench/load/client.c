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

/* ---- errors ---- */

void share_error(struct share *share, uint64_t count, const char *format, ...)
{
	va_list arguments;

	share->errors += count;
	if (share->error[0])
		return;
	va_start(arguments, format);
	vsnprintf(share->error, sizeof(share->error), format, arguments);
	va_end(arguments);
}

int64_t client_fail(struct client *client, const char *format, ...)
{
	struct share *share = client->share;
	va_list arguments;

	if (!share->error[0]) {
		va_start(arguments, format);
		vsnprintf(share->error, sizeof(share->error), format, arguments);
		va_end(arguments);
	}
	return -ROTA_EPROTOCOL;
}

/* The connection is of no use any more: what was in flight on it is lost. */
static void give_up(struct client *client, int64_t status)
{
	struct share *share = client->share;
	uint64_t lost = client_in_flight(client);

	if (client->is_late)
		share_error(share, lost, "no reply for %g s",
			    (double)share->options->timeout_ns / 1e9);
	else if (status == -ROTA_EPROTOCOL)
		share_error(share, lost ? lost : 1, "a reply is wrong");
	else if (status == 0)
		share_error(share, lost ? lost : 1, "the server closed a connection");
	else if (status != -ECANCELED)
		share_error(share, lost ? lost : 1, "a connection was lost: %s",
			    rota_strerror((int)status));
	share->in_flight -= lost;
	client->answered = client->issued;
	client->reply_bytes = client->left_bytes = 0;
	client->stage = 0;
	share_check_drained(share);
}

/* ---- sending ---- */

void client_send(struct client *client, rota_ns since)
{
	struct share *share = client->share;
	struct pending *pending = &client->pending[client->issued & share->pending_mask];

	pending->since = since;
	if (client->issued == client->answered)
		client->active_at = share->now;
	client->issued++;
	share->in_flight++;
	share->protocol->write(client, pending);
}

void client_go_on(struct client *client)
{
	struct share *share = client->share;

	while (share->is_issuing && client_in_flight(client) < share->window)
		client_send(client, share->now);
}

void share_check_drained(struct share *share)
{
	if (!share->drained || share->is_issuing || share->in_flight)
		return;
	rota_future_complete(share->drained, 0);
	share->drained = NULL;
}

/* ---- the task ---- */

/* Serve replies until the connection fails. Returns 0 at its end, or negative errno. */
static int64_t converse(struct client *client)
{
	struct share *share = client->share;
	struct rota_view view;
	int64_t n;

	client->need_bytes = 1;
	for (;;) {
		n = rota_conn_peek(client->conn, client->need_bytes, &view);
		if (n < (int64_t)client->need_bytes)
			return n < 0 ? n : 0;
		share->now = rota_now();
		client->active_at = share->now;
		client->need_bytes = 0;
		n = share->protocol->on_bytes(client, view);
		if (n < 0)
			return n;
		rota_conn_consume(client->conn, (size_t)n);
		client->need_bytes = rota_max_size(client->need_bytes, view.bytes - (size_t)n + 1);
		client_go_on(client);
		if (ROTA_UNLIKELY(!share->in_flight))
			share_check_drained(share);
	}
}

static int64_t try_connect(void *arg)
{
	struct client *client = arg;
	struct share *share = client->share;
	struct rota_conn_limits limits = {
		/* the end is a formality: all that was asked has been answered */
		.linger_timeout_ns = 100 * ROTA_NS_PER_MS,
		.output_max_bytes = (share->pending_mask + (size_t)1) *
					    share->protocol->request_bytes_max(share->options) +
				    65536,
	};
	int status = rota_semaphore_acquire(&share->connects, 1);

	if (status < 0)
		return status;
	status = rota_connect(&share->options->address, &limits, &client->conn);
	rota_semaphore_release(&share->connects, 1);
	return status;
}

static void say_no_connection(struct share *share, int status)
{
	share_error(share, 1, "cannot connect to %s: %s", share->options->target,
		    rota_strerror(status));
}

/* The first connection is there, or cannot be had. */
static void arrived(struct client *client, int status)
{
	struct share *share = client->share;

	if (status < 0 && status != -ECANCELED)
		say_no_connection(share, status);
	share->connecting--;
	if (!rota_future_is_done(&share->connected) && (status < 0 || !share->connecting))
		rota_future_complete(&share->connected, status);
}

static int64_t try_again(void *arg)
{
	struct client *client = arg;
	int64_t status = try_connect(client);

	if (status < 0 && status != -ECANCELED)
		say_no_connection(client->share, (int)status);
	return status;
}

static bool is_worth_it(int64_t failure, void *arg)
{
	(void)arg;
	return failure != -ECANCELED;
}

int64_t client_main(void *arg)
{
	static const struct rota_retry_policy policy = {
		.base_ns = RECONNECT_BASE_NS,
		.cap_ns = RECONNECT_CAP_NS,
		.is_worth = is_worth_it,
	};
	struct client *client = arg;
	int64_t status = try_connect(client);

	arrived(client, (int)status);
	while (status >= 0) {
		rota_scope_open(&client->scope, ROTA_NEVER);
		client->is_late = false;
		client_go_on(client);
		status = converse(client);
		give_up(client, status);
		rota_ignore(rota_scope_close(&client->scope), "nothing was spawned in it");
		rota_conn_close(client->conn);
		client->conn = NULL;
		status = rota_retry(&policy, try_again, client);
	}
	return 0;
}
