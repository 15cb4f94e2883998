/* SPDX-License-Identifier: MIT */
/*
 * How streams of the simulated world come into being: names, ports, listeners, calls. One thread
 * per world.
 */
#include <errno.h>
#include <string.h>

#include <rota/memory.h>

#include "backends/sim/sim_internal.h"

#define PORT_FIRST 32768
#define PORT_LAST 60999

/* net.core.somaxconn since Linux 5.4; a negative backlog means this too. */
#define BACKLOG_MAX 4096

static bool port_is_listened_on(const struct rota_sim_world *world, uint16_t port)
{
	for (struct rota_link *link = world->listeners.next; link != &world->listeners;
	     link = link->next)
		if (rota_address_port(&ROTA_CONTAINER_OF(link, struct sim_socket, link)->local) ==
		    port)
			return true;
	return false;
}

/* Ports go round: two old connections may carry the same one, which the simulator doesn't mind. */
static int take_port(struct rota_sim_world *world)
{
	for (unsigned tries = 0; tries <= PORT_LAST - PORT_FIRST; tries++) {
		uint16_t port = world->port_next;

		world->port_next = port == PORT_LAST ? PORT_FIRST : (uint16_t)(port + 1);
		if (!port_is_listened_on(world, port))
			return port;
	}
	return -EADDRNOTAVAIL;
}

/* ---- listening and connecting ---- */

static int check_name(struct rota_sim_world *world, const struct rota_listen_options *options)
{
	for (struct rota_link *link = world->listeners.next; link != &world->listeners;
	     link = link->next) {
		struct sim_socket *other = ROTA_CONTAINER_OF(link, struct sim_socket, link);

		if (!sim__is_deaf(other) && sim__addresses_meet(&other->local, &options->address) &&
		    !(other->reuse_port && options->reuse_port))
			return -EADDRINUSE;
	}
	return 0;
}

static bool name_exists(const struct rota_sim_world *world, const struct rota_address *address)
{
	for (struct rota_link *link = world->names.next; link != &world->names; link = link->next)
		if (sim__names_equal(&ROTA_CONTAINER_OF(link, struct sim_name, link)->address,
				     address))
			return true;
	return false;
}

static int keep_name(struct rota_sim_world *world, const struct rota_address *address)
{
	struct sim_name *name;

	if (name_exists(world, address))
		return 0;
	name = rota_alloc(sizeof(*name));
	if (!name)
		return -ENOMEM;
	name->address = *address;
	rota_list_push_back(&world->names, &name->link);
	return 0;
}

static int bind_listener(struct rota_sim_world *world, struct sim_socket *listener,
			 const struct rota_listen_options *options)
{
	int status;

	listener->local = options->address;
	listener->reuse_port = options->reuse_port && !sim__is_local(listener);
	if (sim__is_local(listener)) {
		status = check_name(world, options);
		return status < 0 ? status : keep_name(world, &options->address);
	}
	if (rota_address_port(&options->address))
		return check_name(world, options);
	status = take_port(world);
	if (status < 0)
		return status;
	sim__set_port(&listener->local, (uint16_t)status);
	return 0;
}

int sim__listen(struct rota_sim_world *world, const struct rota_listen_options *options)
{
	int family = options->address.any.sa_family;
	bool backlog_is_fine = options->backlog >= 0 && options->backlog <= BACKLOG_MAX;
	struct sim_socket *listener;
	int status;

	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return -EAFNOSUPPORT;
	listener = sim__socket_create(SIM_LISTENER);
	if (!listener)
		return -ENOMEM;
	/*
	 * Linux takes one more than it was told: the queue is full when it is longer than the
	 * backlog.
	 */
	listener->backlog_max = (unsigned)(backlog_is_fine ? options->backlog : BACKLOG_MAX) + 1;
	status = sim__descriptor_open(world, listener);
	if (status >= 0)
		status = bind_listener(world, listener, options);
	if (status < 0) {
		sim__socket_free(world, listener);
		return status;
	}
	rota_list_push_back(&world->listeners, &listener->link);
	sim__event(world, "listen", listener->fd, rota_address_port(&listener->local));
	return listener->fd;
}

/* Among several listeners of one port Linux chooses by a hash, here the seed does. */
static struct sim_socket *find_listener(struct rota_sim_world *world, const struct rota_address *to)
{
	struct sim_socket *found = NULL;
	uint64_t count = 0, chosen;

	for (int pass = 0; pass < 2; pass++) {
		chosen = pass ? sim__draw(world, SIM_DECIDE_LISTENER, count) : 0;
		for (struct rota_link *link = world->listeners.next; link != &world->listeners;
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

static int connect_pair(struct rota_sim_world *world, const struct rota_address *to,
			struct sim_socket *client, struct sim_socket *server)
{
	server->local = client->remote = *to;
	if (to->any.sa_family == AF_UNIX) {
		/* The calling end of a Unix socket has no name. */
		client->local.any.sa_family = AF_UNIX;
		client->local.bytes = sizeof(sa_family_t);
	} else {
		int port = take_port(world);

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

int sim__connect(struct rota_sim_world *world, const struct rota_address *to,
		 struct sim_socket **out)
{
	int family = to->any.sa_family;
	struct sim_socket *listener, *client, *server;
	int status;

	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return -EAFNOSUPPORT;
	listener = find_listener(world, to);
	if (!listener)
		return family == AF_UNIX && !name_exists(world, to) ? -ENOENT : -ECONNREFUSED;
	if (listener->backlog_count >= listener->backlog_max) {
		*out = listener;
		return -EAGAIN;
	}
	client = sim__socket_create(SIM_STREAM);
	if (!client)
		return -ENOMEM;
	server = sim__socket_create(SIM_STREAM);
	if (!server) {
		sim__socket_free(world, client);
		return -ENOMEM;
	}
	status = sim__descriptor_open(world, client);
	if (status >= 0)
		status = connect_pair(world, to, client, server);
	if (status < 0) {
		sim__socket_free(world, server);
		sim__socket_free(world, client);
		return status;
	}
	rota_list_push_back(&listener->backlog, &server->link);
	listener->backlog_count++;
	sim__event(world, "connect", client->fd, listener->fd);
	sim__wake_waiting(world, listener);
	*out = client;
	return client->fd;
}

int sim__accept(struct rota_sim_world *world, struct sim_socket *listener)
{
	struct sim_socket *socket;
	int fd;

	if (listener->kind != SIM_LISTENER)
		return -EINVAL;
	if (rota_list_is_empty(&listener->backlog))
		return sim__is_deaf(listener) ? -EINVAL : -EAGAIN;
	socket = ROTA_CONTAINER_OF(listener->backlog.next, struct sim_socket, link);
	fd = sim__descriptor_open(world, socket);
	if (fd < 0)
		return fd; /* it stays in the backlog, for when a descriptor is free again */
	rota_list_remove(&socket->link);
	listener->backlog_count--;
	sim__event(world, "accept", listener->fd, fd);
	sim__wake_waiting(world, listener); /* a call may have waited for room */
	return fd;
}
