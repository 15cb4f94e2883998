/* SPDX-License-Identifier: MIT */
/*
 * Connecting to another host: the handshake over the wire. One thread per world.
 *
 * The one idea: a call is sent again after 1, 3, 7 … s like Linux's SYN, and the seventh time that
 * nobody answers is the end, after 127 s. A full backlog answers nobody, a missing listener
 * refuses. The called end exists once the SYN has come; the caller hears of it one latency later.
 */
#include <errno.h>

#include <rota/memory.h>

#include "backends/sim/sim_internal.h"

/* net.ipv4.tcp_syn_retries */
#define SYN_RETRIES 6

struct sim_call {
	struct rota_link link; /* in host->calls */
	const struct rota_op *op;
	struct sim_socket *client;
	struct sim_host *to;
	struct sim_timer timer; /* its SYN, or the answer, arrives */
	rota_ns started;
	unsigned retries;
	bool is_answered; /* `result` is on its way, or there */
	bool is_over;
	int result; /* 0 or negative errno */
};

static struct sim_call *find_call(const struct sim_host *host, const struct rota_op *op)
{
	for (struct rota_link *link = host->calls.next; link != &host->calls; link = link->next) {
		struct sim_call *call = ROTA_CONTAINER_OF(link, struct sim_call, link);

		if (call->op == op)
			return call;
	}
	return NULL;
}

static void free_call(struct sim_call *call)
{
	sim__timer_disarm(&call->timer);
	rota_list_remove(&call->link);
	rota_free(call);
}

static void end_call(struct rota_sim_world *world, struct sim_call *call, int result)
{
	call->is_over = true;
	call->result = result;
	sim__wake_waiting(world, call->client);
}

/* When SYN number `retries` is sent: after 0, 1, 3, 7 … s. */
static rota_ns sent_at(const struct sim_call *call)
{
	return call->started + ((INT64_C(1) << call->retries) - 1) * ROTA_NS_PER_S;
}

static void try_again(struct rota_sim_world *world, struct sim_call *call)
{
	call->retries++;
	sim__timer_arm(world, &call->timer,
		       sent_at(call) +
			       (call->retries > SYN_RETRIES ? 0 : sim__wire_latency(world)));
}

/* The called end. Returns 0, or negative errno: as if the SYN had not come. */
static int make_server(struct rota_sim_world *world, struct sim_call *call,
		       struct sim_socket *listener)
{
	struct sim_socket *server = sim__socket_create(call->to, SIM_STREAM);

	if (!server)
		return -ENOMEM;
	server->local = call->client->remote;
	server->remote = call->client->local;
	if (sim__wire_join(world, call->client, server) < 0) {
		sim__socket_free(server);
		return -ENOMEM;
	}
	sim__event(world, "connect", call->client->fd, listener->fd);
	sim__backlog_add(listener, server);
	return 0;
}

static void syn_arrived(struct rota_sim_world *world, struct sim_call *call)
{
	struct sim_host *from = call->client->host;
	struct sim_socket *listener;

	if (!sim__wire_passes(from, call->to) || !sim__wire_passes(call->to, from) ||
	    sim__wire_loses(world)) {
		try_again(world, call);
		return;
	}
	listener = sim__find_listener(call->to, &call->client->remote);
	if (!listener) {
		call->result = -ECONNREFUSED;
	} else if (listener->backlog_count >= listener->backlog_max ||
		   make_server(world, call, listener) < 0) {
		try_again(world, call);
		return;
	}
	call->is_answered = true;
	sim__timer_arm(world, &call->timer, world->now + sim__wire_latency(world));
}

static void call_goes_on(struct rota_sim_world *world, struct sim_timer *timer)
{
	struct sim_call *call = ROTA_CONTAINER_OF(timer, struct sim_call, timer);

	if (call->retries > SYN_RETRIES)
		end_call(world, call, -ETIMEDOUT);
	else if (!call->is_answered)
		syn_arrived(world, call);
	else if (sim__wire_passes(call->to, call->client->host))
		end_call(world, call, call->result);
	else
		try_again(world, call);
}

static int start_call(struct sim_host *host, const struct rota_op *op, struct sim_socket **out)
{
	struct sim_call *call = sim__calloc(1, sizeof(*call));
	struct sim_socket *client;
	int status;

	if (!call)
		return -ENOMEM;
	client = sim__socket_create(host, SIM_STREAM);
	if (!client) {
		rota_free(call);
		return -ENOMEM;
	}
	status = sim__descriptor_open(client);
	if (status >= 0)
		status = sim__take_port(host);
	if (status < 0) {
		sim__socket_free(client);
		rota_free(call);
		return status;
	}
	client->local = rota_sim_host_address(host->index, (uint16_t)status);
	client->remote = *op->address;
	*call = (struct sim_call){ .op = op,
				   .client = client,
				   .to = sim__host_of(host, op->address),
				   .timer.fire = call_goes_on,
				   .started = host->world->now };
	rota_list_push_back(&host->calls, &call->link);
	sim__event(host->world, "call", client->fd, call->to->index);
	sim__timer_arm(host->world, &call->timer,
		       host->world->now + sim__wire_latency(host->world));
	*out = client;
	return -EAGAIN;
}

int sim__call(struct sim_host *host, const struct rota_op *op, struct sim_socket **out)
{
	struct sim_call *call = find_call(host, op);
	int result;

	if (!call)
		return start_call(host, op, out);
	*out = call->client;
	if (!call->is_over)
		return -EAGAIN;
	result = call->result;
	if (result < 0)
		sim__connect_abandon(host, op);
	else
		free_call(call);
	return result < 0 ? result : (*out)->fd;
}

void sim__connect_abandon(struct sim_host *host, const struct rota_op *op)
{
	struct sim_call *call = find_call(host, op);
	struct sim_socket *client;

	if (!call)
		return;
	client = call->client;
	free_call(call);
	if (client->end)
		sim__wire_leave(host->world, client, true);
	sim__socket_free(client);
}

void sim__calls_forget(struct sim_host *host)
{
	while (!rota_list_is_empty(&host->calls))
		free_call(ROTA_CONTAINER_OF(host->calls.next, struct sim_call, link));
}
