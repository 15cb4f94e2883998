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

/* ---- connecting ---- */

static int spawn(struct share *share, rota_task_fn fn, void *arg)
{
	int status = rota_spawn(rota_reactor_scope(share->reactor), fn, arg);

	if (status < 0)
		share_error(share, 1, "cannot make a connection's task: %s", rota_strerror(status));
	return status;
}

int64_t share_connect(void *arg)
{
	struct share *share = arg;
	int status = 0;

	share->connecting = share->clients_count + share->idle_count;
	for (uint32_t i = 0; i < share->clients_count && status == 0; i++)
		status = spawn(share, client_main, &share->clients[i]);
	for (uint32_t i = 0; i < share->idle_count && status == 0; i++)
		status = spawn(share, idle_main, share);
	return status < 0 ? status : rota_await(&share->connected);
}

/* ---- running ---- */

/*
 * Has it waited for a reply too long? Not before a second look: when we ourselves were not running
 * for a while, replies may lie there that were not taken yet.
 */
static bool is_late(struct client *client, rota_ns now)
{
	if (!client_in_flight(client) || client->is_late ||
	    now - client->active_at < client->share->options->timeout_ns)
		return false;
	if (client->quiet_since == client->active_at)
		return true;
	client->quiet_since = client->active_at;
	return false;
}

/* Give up the connections that are late. */
static int64_t watch(void *arg)
{
	struct share *share = arg;
	rota_ns look_ns = share->options->timeout_ns / LOOKS_PER_TIMEOUT;
	int status;

	while ((status = rota_sleep_until(rota_after_ns(look_ns))) == 0) {
		rota_ns now = rota_now();

		for (uint32_t i = 0; i < share->clients_count; i++) {
			struct client *client = &share->clients[i];

			if (!is_late(client, now))
				continue;
			client->is_late = true;
			rota_scope_cancel(&client->scope, "no reply came in time");
		}
	}
	return status;
}

static void begin(struct share *share, enum pacing pacing)
{
	bool prefills = pacing == PACING_PREFILL;
	struct rota_net_stats stats;

	rota_net_stats(&stats);
	share->sent_before = stats.sent_bytes;
	share->received_before = stats.received_bytes;
	share->pacing = pacing;
	share->window = prefills ? share->pending_mask + 1 : share->options->depth;
	share->now = share->started_at = rota_now();
	share->is_issuing = true;
	for (uint32_t i = 0; i < share->clients_count; i++)
		rota_list_remove(&share->clients[i].free_link);
	if (share->options->shape != SHAPE_REQUESTS && !prefills) {
		rota_event_set(&share->begun);
		return;
	}
	for (uint32_t i = 0; i < share->clients_count; i++)
		if (share->clients[i].conn)
			client_go_on(&share->clients[i]);
}

static int64_t until_drained(struct share *share)
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

/* At a fixed rate: answer what is queued, as far as that is possible in the time-out. */
static int64_t drain_queue(struct share *share)
{
	struct rota_scope scope;

	rota_scope_open(&scope, rota_after_ns(share->options->timeout_ns));
	rota_ignore(until_drained(share), "the scope says it again");
	if (rota_scope_close_and_move_on(&scope) < 0)
		return -ECANCELED;
	if (share->queue.count)
		share_error(share, share->queue.count,
			    "requests were still waiting %g s after the end",
			    (double)share->options->timeout_ns / 1e9);
	share->queue.count = 0;
	return 0;
}

/* Issue requests until the time is over. Returns 0, or -ECANCELED. */
static int64_t issue_until(struct share *share, enum pacing pacing, rota_ns end)
{
	struct rota_scope scope;
	int64_t status;

	rota_scope_open(&scope, ROTA_NEVER);
	share->issuing = &scope;
	if (share->is_cut)
		rota_scope_cancel(&scope, "interrupted");
	status = pacing == PACING_RATE ? pace(share, end) : rota_sleep_until(end);
	share->issuing = NULL;
	rota_ignore(status, "the scope knows whether it was cut short or cancelled");
	status = rota_scope_close_and_move_on(&scope);
	share->is_issuing = false;
	rota_event_clear(&share->begun);
	return status < 0 ? status : 0;
}

int64_t share_cut(void *arg)
{
	struct share *share = arg;

	share->is_cut = true;
	if (share->issuing)
		rota_scope_cancel(share->issuing, "interrupted");
	return 0;
}

static int64_t load_for(struct share *share, const struct run *run)
{
	int64_t status = 0;

	if (run->pacing != PACING_PREFILL)
		status = issue_until(share, run->pacing, share->started_at + run->duration_ns);
	if (status == 0 && run->pacing == PACING_RATE)
		status = drain_queue(share);
	return status == 0 ? until_drained(share) : status;
}

static void hand_over(struct share *share, struct tally *out)
{
	struct rota_net_stats stats;
	struct tally *tally = &share->tally;

	rota_net_stats(&stats);
	tally->bytes_sent = stats.sent_bytes - share->sent_before;
	tally->bytes_received = stats.received_bytes - share->received_before;
	tally->duration_ns = (share->now > share->started_at ? share->now : rota_now()) -
			     share->started_at;
	*out = *tally;
	tally_reset(tally);
}

int64_t share_run(void *arg)
{
	struct run *run = arg;
	struct share *share = run->share;
	struct rota_scope scope;
	int64_t status;

	rota_scope_open(&scope, ROTA_NEVER);
	status = rota_spawn(&scope, watch, share);
	if (status == 0) {
		begin(share, run->pacing);
		status = load_for(share, run);
	}
	rota_scope_cancel(&scope, "the run is over");
	rota_ignore(rota_scope_close(&scope), "cancelled by ourselves");
	hand_over(share, &run->tally);
	run->is_over = true;
	return status;
}
