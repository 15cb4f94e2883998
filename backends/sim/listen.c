/* SPDX-License-Identifier: MIT */
/*
 * How streams of the simulated world come into being: names, ports, listeners, calls. One thread
 * per world.
 */
#include <errno.h>
#include <string.h>

#include <rota/memory.h>

#include "backends/sim/sim_internal.h"

/* Linux's default ephemeral ports. */
#define PORT_FIRST 32768
#define PORT_LAST 60999

/* net.core.somaxconn since Linux 5.4; a negative backlog means this too. */
#define BACKLOG_MAX 4096

static bool port_is_listened_on(const struct sim_host *host, uint16_t port)
{
	for (struct rota_link *link = host->listeners.next; link != &host->listeners;
	     link = link->next)
		if (rota_address_port(&ROTA_CONTAINER_OF(link, struct sim_socket, link)->local) ==
		    port)
			return true;
	return false;
}

/* Ports go round: two old connections may carry the same one, which the simulator doesn't mind. */
int sim__take_port(struct sim_host *host)
{
	for (unsigned tries = 0; tries <= PORT_LAST - PORT_FIRST; tries++) {
		uint16_t port = host->port_next;

		host->port_next = port == PORT_LAST ? PORT_FIRST : (uint16_t)(port + 1);
		if (!port_is_listened_on(host, port))
			return port;
	}
	return -EADDRNOTAVAIL;
}

/* ---- listening and connecting ---- */

static int check_name(struct sim_host *host, const struct rota_listen_options *options)
{
	for (struct rota_link *link = host->listeners.next; link != &host->listeners;
	     link = link->next) {
		struct sim_socket *other = ROTA_CONTAINER_OF(link, struct sim_socket, link);

		if (!sim__is_deaf(other) && sim__addresses_meet(&other->local, &options->address) &&
		    !(other->reuse_port && options->reuse_port))
			return -EADDRINUSE;
	}
	return 0;
}

static bool name_exists(const struct sim_host *host, const struct rota_address *address)
{
	for (struct rota_link *link = host->names.next; link != &host->names; link = link->next)
		if (sim__names_equal(&ROTA_CONTAINER_OF(link, struct sim_name, link)->address,
				     address))
			return true;
	return false;
}

static int keep_name(struct sim_host *host, const struct rota_address *address)
{
	struct sim_name *name;

	if (name_exists(host, address))
		return 0;
	name = sim__alloc(sizeof(*name));
	if (!name)
		return -ENOMEM;
	name->address = *address;
	rota_list_push_back(&host->names, &name->link);
	return 0;
}

static int bind_listener(struct sim_host *host, struct sim_socket *listener,
			 const struct rota_listen_options *options)
{
	int status;

	if (sim__host_of(host, &options->address) != host)
		return -EADDRNOTAVAIL;
	listener->local = options->address;
	listener->reuse_port = options->reuse_port && !sim__is_local(listener);
	if (sim__is_local(listener)) {
		status = check_name(host, options);
		return status < 0 ? status : keep_name(host, &options->address);
	}
	if (rota_address_port(&options->address))
		return check_name(host, options);
	status = sim__take_port(host);
	if (status < 0)
		return status;
	sim__set_port(&listener->local, (uint16_t)status);
	return 0;
}

int sim__listen(struct sim_host *host, const struct rota_listen_options *options)
{
	int family = options->address.any.sa_family;
	bool backlog_is_fine = options->backlog >= 0 && options->backlog <= BACKLOG_MAX;
	struct sim_socket *listener;
	int status;

	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return -EAFNOSUPPORT;
	listener = sim__socket_create(host, SIM_LISTENER);
	if (!listener)
		return -ENOMEM;
	/*
	 * Linux takes one more than it was told: the queue is full when it is longer than the
	 * backlog.
	 */
	listener->backlog_max = (unsigned)(backlog_is_fine ? options->backlog : BACKLOG_MAX) + 1;
	status = sim__descriptor_open(listener);
	if (status >= 0)
		status = bind_listener(host, listener, options);
	if (status < 0) {
		sim__socket_free(listener);
		return status;
	}
	rota_list_push_back(&host->listeners, &listener->link);
	sim__event(host->world, "listen", listener->fd, rota_address_port(&listener->local));
	return listener->fd;
}

/* Among several listeners of one port Linux chooses by a hash, here the seed does. */
struct sim_socket *sim__find_listener(struct sim_host *host, const struct rota_address *to)
{
	struct sim_socket *found = NULL;
	uint64_t count = 0, chosen;

	for (int pass = 0; pass < 2; pass++) {
		chosen = pass ? sim__draw(host->world, SIM_DECIDE_LISTENER, count) : 0;
		for (struct rota_link *link = host->listeners.next; link != &host->listeners;
		     link = link->next) {
			struct sim_socket *listener = ROTA_CONTAINER_OF(link, struct sim_socket,
									link);

			if (sim__is_deaf(listener) || !sim__addresses_meet(&listener->local, to))
				continue;
			if (!pass)
				count++;
			else if (chosen-- == 0)
				found = listener;
		}
		if (!count)
			return NULL;
	}
	return found;
}

/* A connected pair within one host. */
static int connect_pair(struct sim_host *host, const struct rota_address *to,
			struct sim_socket *client, struct sim_socket *server)
{
	server->local = client->remote = *to;
	if (to->any.sa_family == AF_UNIX) {
		/* The calling end of a Unix socket has no name. */
		client->local.any.sa_family = AF_UNIX;
		client->local.bytes = sizeof(sa_family_t);
	} else {
		int port = sim__take_port(host);

		if (port < 0)
			return port;
		if (sim__is_any_host(to) && to->any.sa_family == AF_INET) {
			/* Calling 0.0.0.0 or :: calls this host. */
			server->local.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		} else if (sim__is_any_host(to)) {
			server->local.v6.sin6_addr = in6addr_loopback;
		}
		client->remote = client->local = server->local;
		sim__set_port(&client->local, (uint16_t)port);
	}
	server->remote = client->local;
	client->peer = server;
	server->peer = client;
	return 0;
}

void sim__backlog_add(struct sim_socket *listener, struct sim_socket *server)
{
	rota_list_push_back(&listener->backlog, &server->link);
	listener->backlog_count++;
	sim__wake_waiting(listener->host->world, listener);
}

static int connect_here(struct sim_host *host, const struct rota_address *to,
			struct sim_socket **out)
{
	struct sim_socket *listener = sim__find_listener(host, to), *client, *server;
	int status;

	if (!listener)
		return to->any.sa_family == AF_UNIX && !name_exists(host, to) ? -ENOENT
									      : -ECONNREFUSED;
	if (listener->backlog_count >= listener->backlog_max) {
		*out = listener;
		return -EAGAIN;
	}
	client = sim__socket_create(host, SIM_STREAM);
	if (!client)
		return -ENOMEM;
	server = sim__socket_create(host, SIM_STREAM);
	if (!server) {
		sim__socket_free(client);
		return -ENOMEM;
	}
	status = sim__descriptor_open(client);
	if (status >= 0)
		status = connect_pair(host, to, client, server);
	if (status < 0) {
		sim__socket_free(server);
		sim__socket_free(client);
		return status;
	}
	sim__event(host->world, "connect", client->fd, listener->fd);
	sim__backlog_add(listener, server);
	*out = client;
	return client->fd;
}

int sim__connect(struct sim_host *host, const struct rota_op *op, struct sim_socket **out)
{
	const struct rota_address *to = op->address;
	int family = to->any.sa_family;

	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return -EAFNOSUPPORT;
	if (sim__host_of(host, to) != host ||
	    (host->world->options.wires_loopback && family == AF_INET))
		return sim__call(host, op, out);
	return connect_here(host, to, out);
}

int sim__accept(struct sim_socket *listener)
{
	struct rota_sim_world *world = listener->host->world;
	struct sim_socket *socket;
	int fd;

	if (listener->kind != SIM_LISTENER)
		return -EINVAL;
	if (rota_list_is_empty(&listener->backlog))
		return sim__is_deaf(listener) ? -EINVAL : -EAGAIN;
	socket = ROTA_CONTAINER_OF(listener->backlog.next, struct sim_socket, link);
	fd = sim__descriptor_open(socket);
	if (fd < 0)
		return fd; /* it stays in the backlog, for when a descriptor is free again */
	rota_list_remove(&socket->link);
	listener->backlog_count--;
	sim__event(world, "accept", listener->fd, fd);
	sim__wake_waiting(world, listener); /* a call may have waited for room */
	return fd;
}
