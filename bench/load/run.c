/* SPDX-License-Identifier: MIT */
/*
 * A share's side of the load: connect its clients, and run.
 *
 * A run begins and ends with nothing in flight: from the first request to the last reply, so that
 * whoever measures the server around it divides by the requests it really had.
 */
#include <rota/error.h>

#include "bench/load/load.h"

/* How often it is looked whether clients wait too long: times within the time-out. */
#define LOOKS_PER_TIMEOUT 8

int64_t share_connect(void *arg)
{
	struct share *share = arg;
	struct rota_scope *root = rota_reactor_scope(share->reactor);

	share->connecting = share->clients_count;
	for (uint32_t i = 0; i < share->clients_count; i++) {
		int status = rota_spawn(root, client_main, &share->clients[i]);

		if (status < 0) {
			share_error(share, 1, "cannot make connection %u: %s", i + 1,
				    rota_strerror(status));
			return status;
		}
	}
	return share->clients_count ? rota_await(&share->connected) : 0;
}

/* Give up the connections that have waited for a reply too long. */
static int64_t watch(void *arg)
{
	struct share *share = arg;
	rota_ns timeout_ns = share->options->timeout_ns;
	int status;

	while ((status = rota_sleep_until(rota_after_ns(timeout_ns / LOOKS_PER_TIMEOUT))) == 0) {
		rota_ns now = rota_now();

		for (uint32_t i = 0; i < share->clients_count; i++) {
			struct client *client = &share->clients[i];

			if (!client_in_flight(client) || client->is_late ||
			    now - client->active_at < timeout_ns)
				continue;
			client->is_late = true;
			rota_scope_cancel(&client->scope, "no reply came in time");
		}
	}
	return status;
}

static void begin(struct share *share, enum pacing pacing)
{
	struct rota_net_stats stats;

	share->requests = share->errors = 0;
	share->error[0] = '\0';
	histogram_reset(&share->histogram);
	rota_net_stats(&stats);
	share->sent_before = stats.sent_bytes;
	share->received_before = stats.received_bytes;
	share->pacing = pacing;
	share->window = share->options->depth;
	share->now = share->started_at = rota_now();
	share->is_issuing = true;
	for (uint32_t i = 0; i < share->clients_count; i++)
		if (share->clients[i].conn)
			client_go_on(&share->clients[i]);
}

static int64_t drain(struct share *share)
{
	struct rota_future drained;
	int64_t status;

	rota_future_init(&drained);
	share->drained = &drained;
	share_check_drained(share);
	status = rota_await(&drained);
	share->drained = NULL;
	return status;
}

int64_t share_run(void *arg)
{
	const struct run *run = arg;
	struct share *share = run->share;
	struct rota_net_stats stats;
	struct rota_scope scope;
	int64_t status;

	rota_scope_open(&scope, ROTA_NEVER);
	status = rota_spawn(&scope, watch, share);
	if (status == 0) {
		begin(share, run->pacing);
		status = rota_sleep_until(share->started_at + run->duration_ns);
		share->is_issuing = false;
		if (status == 0)
			status = drain(share);
	}
	rota_scope_cancel(&scope, "the run is over");
	rota_ignore(rota_scope_close(&scope), "cancelled by ourselves");
	share->ended_at = share->now > share->started_at ? share->now : rota_now();
	rota_net_stats(&stats);
	share->bytes_sent = stats.sent_bytes - share->sent_before;
	share->bytes_received = stats.received_bytes - share->received_before;
	return status;
}
