/* SPDX-License-Identifier: MIT */
/*
 * The wire between hosts: what one end of a connection has sent, on its way to the other. One
 * thread per world.
 *
 * The one idea: each way of a connection is a queue whose head arrives when its time has come, so
 * nothing is overtaken within a stream, and streams overtake each other by their latencies. What
 * cannot pass is sent again at growing intervals like Linux's, so a partition stalls a stream, and
 * a long one ends it.
 */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include <rota/memory.h>

#include "backends/sim/sim_internal.h"

/* TCP_RTO_MIN and TCP_RTO_MAX; doubled each time. */
#define RETRY_FIRST_NS (200 * ROTA_NS_PER_MS)
#define RETRY_LAST_NS (120 * ROTA_NS_PER_S)
/*
 * net.ipv4.tcp_retries2, 924.6 s with the wait after the last one; and what Linux allows a stream
 * that nobody holds.
 */
#define RETRIES_MAX 15
#define ORPHAN_RETRIES_MAX 8

struct segment {
	struct rota_link link; /* in end->segments */
	rota_ns due;
	bool was_lost; /* once: its sender has to send it again */
	size_t bytes;
	char data[];
};

static struct sim_end *other_end(struct sim_end *end)
{
	struct sim_connection *connection = end->connection;

	return end == &connection->ends[0] ? &connection->ends[1] : &connection->ends[0];
}

static struct segment *first_segment(const struct sim_end *end)
{
	return ROTA_CONTAINER_OF(end->segments.next, struct segment, link);
}

/* ---- what the wire does to a piece ---- */

rota_ns sim__wire_latency(struct rota_sim_world *world)
{
	rota_ns spread = world->options.latency_max_ns - world->options.latency_min_ns;

	return world->options.latency_min_ns +
	       (rota_ns)sim__draw(world, SIM_DECIDE_LATENCY, (uint64_t)spread + 1);
}

bool sim__wire_loses(struct rota_sim_world *world)
{
	return sim__chance(world, SIM_DECIDE_LOSS, world->options.loss_permille);
}

bool sim__wire_passes(const struct sim_host *from, const struct sim_host *to)
{
	return !to->is_down && !from->world->blocked[from->index][to->index];
}

static rota_ns retry_after(unsigned retries)
{
	rota_ns after = RETRY_FIRST_NS << (retries < 16 ? retries : 16);

	return after < RETRY_LAST_NS ? after : RETRY_LAST_NS;
}

/* When a piece of `bytes` that is sent now arrives. */
static rota_ns arrives_at(struct rota_sim_world *world, struct sim_end *end, size_t bytes,
			  bool *was_lost)
{
	uint64_t per_second = world->options.bandwidth;
	rota_ns due = end->free_at > world->now ? end->free_at : world->now;

	if (per_second)
		due += (rota_ns)((unsigned __int128)bytes * ROTA_NS_PER_S / per_second);
	end->free_at = due;
	due += sim__wire_latency(world);
	*was_lost = false;
	for (unsigned losses = 0; losses < RETRIES_MAX && sim__wire_loses(world); losses++) {
		due += retry_after(losses);
		*was_lost = true;
	}
	if (due < end->last_due)
		due = end->last_due;
	end->last_due = due;
	return due;
}

/* ---- life ---- */

static bool has_something(const struct sim_end *end)
{
	return !rota_list_is_empty(&end->segments) || end->has_probe || end->has_fin ||
	       end->has_reset;
}

/* Nothing of it is to be sent any more. */
static void purge(struct sim_end *end)
{
	struct rota_link *link;

	while ((link = rota_list_pop_front(&end->segments)))
		rota_free(ROTA_CONTAINER_OF(link, struct segment, link));
	end->has_probe = end->has_fin = end->has_reset = false;
	end->retries = 0;
	sim__timer_disarm(&end->arrival);
}

static void free_connection(struct sim_connection *connection)
{
	for (int i = 0; i < 2; i++) {
		purge(&connection->ends[i]);
		sim__timer_disarm(&connection->ends[i].credit);
		if (connection->ends[i].socket)
			connection->ends[i].socket->end = NULL;
	}
	rota_list_remove(&connection->link);
	rota_free(connection);
}

/* Arm for what is first, or give the connection back when nobody holds it. */
static void go_on(struct rota_sim_world *world, struct sim_end *end)
{
	struct sim_end *other = other_end(end);
	rota_ns due = end->last_due;

	if (!end->socket && !other->socket) {
		free_connection(end->connection);
		return;
	}
	if (!has_something(end) || end->arrival.link.next)
		return;
	if (!rota_list_is_empty(&end->segments))
		due = first_segment(end)->due;
	else if (end->has_fin && !end->has_probe)
		due = end->fin_due;
	else if (end->has_reset && !end->has_probe)
		due = end->reset_due;
	sim__timer_arm(world, &end->arrival, due);
}

static void send_reset(struct rota_sim_world *world, struct sim_end *end)
{
	bool was_lost;

	if (end->has_reset)
		return;
	end->has_reset = true;
	end->reset_due = arrives_at(world, end, 0, &was_lost);
	go_on(world, end);
}

/* ---- arriving ---- */

/* The other end has no such stream, or has ended it: an RST is the answer. */
static bool is_refused(const struct sim_end *to)
{
	return !to->socket || to->socket->reset;
}

static void give_up(struct rota_sim_world *world, struct sim_end *end)
{
	struct sim_socket *socket = end->socket;

	purge(end);
	if (!socket)
		return;
	sim__event(world, "timed-out", socket->fd, ETIMEDOUT);
	if (!sim__is_over(socket))
		sim__receive_error(world, socket, ETIMEDOUT);
}

/* What is first could not pass. An RST is sent once only. */
static void send_again(struct rota_sim_world *world, struct sim_end *end)
{
	unsigned retries_max = end->socket ? RETRIES_MAX : ORPHAN_RETRIES_MAX;

	if (rota_list_is_empty(&end->segments) && !end->has_probe && !end->has_fin) {
		purge(end);
		return;
	}
	if (++end->retries > retries_max + 1)
		give_up(world, end);
	else
		sim__timer_arm(world, &end->arrival, world->now + retry_after(end->retries - 1));
}

/* Returns false if it could not be taken and has to come again. */
static bool segment_arrived(struct rota_sim_world *world, struct sim_end *from, struct sim_end *to)
{
	struct segment *segment = first_segment(from);
	struct iovec part = { .iov_base = segment->data, .iov_len = segment->bytes };

	if (is_refused(to))
		send_reset(world, to);
	else if (sim__deliver(world, to->socket, &part, segment->bytes) < 0)
		return false;
	else
		sim__event(world, "arrived", to->socket->fd, (int64_t)segment->bytes);
	rota_list_remove(&segment->link);
	rota_free(segment);
	return true;
}

static void reset_arrived(struct rota_sim_world *world, struct sim_end *from, struct sim_end *to)
{
	purge(from);
	purge(to);
	to->unread_bytes = 0;
	if (to->socket)
		sim__receive_reset(world, to->socket);
}

static bool first_arrived(struct rota_sim_world *world, struct sim_end *from, struct sim_end *to)
{
	if (!rota_list_is_empty(&from->segments))
		return segment_arrived(world, from, to);
	if (from->has_probe || from->has_fin) {
		bool was_probe = from->has_probe;

		if (was_probe)
			from->has_probe = false;
		else
			from->has_fin = false;
		if (to->is_forgotten)
			send_reset(world, to);
		else if (!was_probe && to->socket)
			sim__receive_fin(world, to->socket);
	} else {
		reset_arrived(world, from, to);
	}
	return true;
}

static void arrived(struct rota_sim_world *world, struct sim_timer *timer)
{
	struct sim_end *from = ROTA_CONTAINER_OF(timer, struct sim_end, arrival);
	struct sim_end *to = other_end(from);

	if (!sim__wire_passes(from->host, to->host) || !first_arrived(world, from, to)) {
		send_again(world, from);
	} else {
		from->retries = 0;
	}
	go_on(world, from);
}

/* The writer hears that there is room again. */
static void credit_arrived(struct rota_sim_world *world, struct sim_timer *timer)
{
	struct sim_end *reader = ROTA_CONTAINER_OF(timer, struct sim_end, credit);
	struct sim_end *writer = other_end(reader);

	if (!sim__wire_passes(reader->host, writer->host)) {
		sim__timer_arm(world, timer, world->now + RETRY_FIRST_NS);
		return;
	}
	writer->unread_bytes -= rota_min_size(reader->credit_bytes, writer->unread_bytes);
	reader->credit_bytes = reader->credit_behind;
	reader->credit_behind = 0;
	if (reader->credit_bytes)
		sim__timer_arm(world, timer, world->now + sim__wire_latency(world));
	if (writer->socket)
		sim__wake_waiting(world, writer->socket);
}

/* ---- sending ---- */

int sim__wire_join(struct rota_sim_world *world, struct sim_socket *a, struct sim_socket *b)
{
	struct sim_connection *connection = sim__calloc(1, sizeof(*connection));
	struct sim_socket *sockets[2] = { a, b };

	if (!connection)
		return -ENOMEM;
	for (int i = 0; i < 2; i++) {
		struct sim_end *end = &connection->ends[i];

		end->connection = connection;
		end->socket = sockets[i];
		end->host = sockets[i]->host;
		end->arrival.fire = arrived;
		end->credit.fire = credit_arrived;
		rota_list_init(&end->segments);
		sockets[i]->end = end;
	}
	rota_list_push_back(&world->connections, &connection->link);
	return 0;
}

size_t sim__wire_room(const struct rota_sim_world *world, const struct sim_socket *socket)
{
	return world->options.socket_bytes - socket->end->unread_bytes;
}

int sim__wire_send(struct rota_sim_world *world, struct sim_socket *socket,
		   const struct iovec *parts, size_t bytes)
{
	struct sim_end *end = socket->end;
	struct segment *segment = sim__alloc(sizeof(*segment) + bytes);

	if (!segment)
		return -ENOMEM;
	segment->bytes = bytes;
	for (size_t at = 0; at < bytes; parts++) {
		size_t part = rota_min_size(parts->iov_len, bytes - at);

		if (part)
			memcpy(segment->data + at, parts->iov_base, part);
		at += part;
	}
	segment->due = arrives_at(world, end, bytes, &segment->was_lost);
	rota_list_push_back(&end->segments, &segment->link);
	end->unread_bytes += bytes;
	go_on(world, end);
	return (int)bytes;
}

void sim__wire_read(struct rota_sim_world *world, struct sim_socket *socket, size_t bytes)
{
	struct sim_end *end = socket->end;

	if (end->credit_bytes) {
		end->credit_behind += bytes;
		return;
	}
	end->credit_bytes = bytes;
	sim__timer_arm(world, &end->credit, world->now + sim__wire_latency(world));
}

void sim__wire_fin(struct rota_sim_world *world, struct sim_socket *socket)
{
	struct sim_end *end = socket->end;
	bool was_lost;

	end->has_fin = true;
	end->fin_due = arrives_at(world, end, 0, &was_lost);
	go_on(world, end);
}

void sim__wire_leave(struct rota_sim_world *world, struct sim_socket *socket, bool by_reset)
{
	struct sim_end *end = socket->end;

	if (!sim__is_over(socket) && !by_reset && !socket->fin_sent)
		sim__wire_fin(world, socket);
	end->socket = NULL;
	socket->end = NULL;
	if (!sim__is_over(socket) && by_reset)
		send_reset(world, end);
	else
		go_on(world, end);
}

/* ---- what befalls hosts and wires ---- */

/*
 * What was under way still arrives; what its sender would have had to send again, and all behind
 * it, does not.
 */
static void lose_unsent(struct sim_end *end)
{
	bool is_lost = end->retries > 0;
	struct rota_link *next;

	for (struct rota_link *link = end->segments.next; link != &end->segments; link = next) {
		struct segment *segment = ROTA_CONTAINER_OF(link, struct segment, link);

		next = link->next;
		is_lost |= segment->was_lost;
		if (!is_lost)
			continue;
		rota_list_remove(link);
		rota_free(segment);
	}
	if (is_lost)
		end->has_fin = end->has_reset = false;
	end->has_probe = false;
	if (!has_something(end))
		sim__timer_disarm(&end->arrival);
}

static void forget_end(struct rota_sim_world *world, struct sim_end *end)
{
	struct sim_end *other = other_end(end);

	end->is_forgotten = true;
	end->socket = NULL;
	lose_unsent(end);
	/* Its credit does not come any more: who is full has to ask. */
	sim__timer_disarm(&end->credit);
	end->credit_bytes = end->credit_behind = 0;
	if (other->socket && other->unread_bytes >= world->options.socket_bytes)
		other->has_probe = true;
	go_on(world, other);
}

void sim__wires_forget(struct sim_host *host)
{
	struct rota_sim_world *world = host->world;
	struct rota_link *next;

	for (struct rota_link *link = world->connections.next; link != &world->connections;
	     link = next) {
		struct sim_connection *connection = ROTA_CONTAINER_OF(link, struct sim_connection,
								      link);
		struct sim_end *ends = connection->ends;

		next = link->next;
		if (ends[0].host == host && ends[1].host == host)
			free_connection(connection);
		else if (ends[0].host == host)
			forget_end(world, &ends[0]);
		else if (ends[1].host == host)
			forget_end(world, &ends[1]);
	}
}

void sim__wires_cut(struct rota_sim_world *world)
{
	while (!rota_list_is_empty(&world->connections))
		free_connection(
			ROTA_CONTAINER_OF(world->connections.next, struct sim_connection, link));
}

void rota_sim_partition(struct rota_sim_world *world, unsigned from, unsigned to)
{
	ROTA_ASSERT(from < ROTA_SIM_HOSTS_MAX);
	ROTA_ASSERT(to < ROTA_SIM_HOSTS_MAX);
	ROTA_ASSERT(world->blocked[from][to] < UINT8_MAX);
	world->blocked[from][to]++;
	sim__event(world, "partition", from, to);
}

void rota_sim_heal(struct rota_sim_world *world, unsigned from, unsigned to)
{
	ROTA_ASSERT(from < ROTA_SIM_HOSTS_MAX);
	ROTA_ASSERT(to < ROTA_SIM_HOSTS_MAX);
	ROTA_ASSERT(world->blocked[from][to] > 0);
	world->blocked[from][to]--;
	sim__event(world, "heal", from, to);
}

static bool lies_between(const struct sim_connection *connection, unsigned a, unsigned b)
{
	unsigned one = connection->ends[0].host->index, two = connection->ends[1].host->index;

	return (one == a && two == b) || (one == b && two == a);
}

static struct sim_connection *find_between(struct rota_sim_world *world, unsigned a, unsigned b,
					   uint64_t which)
{
	for (struct rota_link *link = world->connections.next; link != &world->connections;
	     link = link->next) {
		struct sim_connection *connection = ROTA_CONTAINER_OF(link, struct sim_connection,
								      link);

		if (lies_between(connection, a, b) && which-- == 0)
			return connection;
	}
	return NULL;
}

bool rota_sim_reset(struct rota_sim_world *world, unsigned a, unsigned b)
{
	struct sim_connection *connection;
	uint64_t count = 0;

	while (find_between(world, a, b, count))
		count++;
	if (!count)
		return false;
	connection = find_between(world, a, b, sim__draw(world, SIM_DECIDE_RESET, count));
	for (int i = 0; i < 2; i++) {
		struct sim_end *end = &connection->ends[i];

		purge(end);
		end->unread_bytes = 0;
		if (end->socket)
			sim__receive_reset(world, end->socket);
	}
	/* Both know. Whoever closes its socket leaves for good. */
	go_on(world, &connection->ends[0]);
	return true;
}
