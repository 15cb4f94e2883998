/* SPDX-License-Identifier: MIT */
/*
 * Requests at a fixed rate: an open loop.
 *
 * The one idea: when a request is due does not depend on how the server does. Its latency counts
 * from then, whether or not a connection had room for it, so a server that stalls is charged with
 * every request that would have come meanwhile: no coordinated omission (G. Tene, "How NOT to
 * Measure Latency", 2015). What finds no room waits in a queue with a bound; what finds the queue
 * full is an error.
 */
#include <math.h>

#include "bench/load/load.h"

/*
 * The reactor's timers are late by up to 66 us. So the last of the wait goes by in turns that do
 * not wait, or the client's own lateness would stand in every latency.
 */
#define SPIN_NS (70 * ROTA_NS_PER_US)

static void queue_push(struct share *share, uint32_t count, rota_ns due)
{
	struct queue *queue = &share->queue;
	uint32_t capacity = share->options->queue;

	share->tally.queued += count;
	for (; count && queue->count < capacity; count--)
		queue->due[(queue->first + queue->count++) % capacity] = due;
	if (count)
		share_error(share, count, "at this rate more than %u requests were waiting",
			    capacity);
}

static rota_ns queue_pop(struct share *share)
{
	struct queue *queue = &share->queue;
	rota_ns due = queue->due[queue->first];

	queue->first = (queue->first + 1) % share->options->queue;
	queue->count--;
	return due;
}

void pace_client_is_free(struct client *client)
{
	struct share *share = client->share;

	while (share->queue.count && client_has_room(client))
		client_send(client, 1, queue_pop(share));
	if (client_has_room(client) && rota_list_is_empty(&client->free_link))
		rota_list_push_back(&share->free, &client->free_link);
}

/* A burst is due: the connections that have had room for longest take it. */
static void arrive(struct share *share, rota_ns due)
{
	uint32_t left = share->options->burst;
	struct rota_link *link;

	while (left && (link = rota_list_pop_front(&share->free))) {
		struct client *client = ROTA_CONTAINER_OF(link, struct client, free_link);
		uint32_t room = share->window - client_in_flight(client);
		uint32_t count = left < room ? left : room;

		client_send(client, count, due);
		for (uint32_t i = 0; i < count; i++)
			share->leaving[share->leaving_count++] = due;
		left -= count;
		if (count < room)
			rota_list_push_back(&share->free, &client->free_link);
	}
	if (left)
		queue_push(share, left, due);
}

/*
 * When the next burst is due after one at `at`: nanoseconds as they are, so that nothing adds up.
 */
static double next_due(struct share *share, double at, double gap_ns)
{
	/* exponential gaps make a Poisson process; 1 - u is never 0 */
	if (share->options->poisson)
		return at - log(1 - random_unit(&share->random)) * gap_ns;
	return at + gap_ns;
}

void pace_note_lateness(struct share *share)
{
	for (uint32_t i = 0; i < share->leaving_count; i++)
		histogram_record(&share->tally.lateness, share->now - share->leaving[i]);
	share->leaving_count = 0;
}

/*
 * Let the next turn begin: at once when `due` is near, or when something is leaving, to see when it
 * has left; otherwise shortly before. A turn in which nothing was sent and no reply was taken (that
 * would have moved share->now) is waiting, not work; one that took longer than any such can was not
 * ours alone.
 */
static int wait_for(struct share *share, rota_ns due)
{
	rota_ns from = share->now;
	bool is_near = due - from <= SPIN_NS;
	bool sends = share->leaving_count;
	/* a time of long ago: in the next turn. The timers' next tick may be 65 us away. */
	int status = rota_sleep_until(is_near || sends ? 0 : due - SPIN_NS);
	bool is_idle = is_near && !sends && share->now == from;

	share_look(share);
	if (is_idle && share->now - from < SPIN_NS)
		share->tally.polling_ns += share->now - from;
	return status;
}

int64_t pace(struct share *share, rota_ns end)
{
	double part = (double)share->clients_count / share->options->connections;
	double gap_ns = 1e9 * share->options->burst / (share->options->rate * part);
	double at = next_due(share, 0, gap_ns);
	int status = 0;

	if (!share->clients_count)
		return rota_sleep_until(end);
	share->leaving_count = 0;
	share->now = rota_now();
	while (status == 0 && share->started_at + (rota_ns)at < end) {
		rota_ns due = share->started_at + (rota_ns)at;

		if (due <= share->now) {
			arrive(share, due);
			at = next_due(share, at, gap_ns);
		} else {
			status = wait_for(share, due);
		}
	}
	pace_note_lateness(share);
	return status;
}
