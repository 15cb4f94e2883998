/* SPDX-License-Identifier: MIT */
/*
 * The machines of a simulated world: what a kernel keeps apart for each, descriptors above all. One
 * thread per world.
 *
 * The one idea: a host is there from the first engine that is opened on it. Host N has the address
 * 10.0.0.N; an address that is no other host's is one's own, so that a world with one host takes
 * any.
 */
#include <errno.h>
#include <string.h>

#include <rota/memory.h>

#include "backends/sim/sim_internal.h"

/* Linux's default ephemeral ports: 32768 to 60999. */
#define PORT_FIRST 32768

#define NETWORK UINT32_C(0x0a000000) /* 10.0.0.0 */

static struct sim_host *host_create(struct rota_sim_world *world, unsigned index)
{
	struct sim_host *host = sim__calloc(1, sizeof(*host));
	uint32_t before;

	if (!host)
		return NULL;
	host->world = world;
	host->index = index;
	host->port_next = PORT_FIRST;
	rota_list_init(&host->listeners);
	rota_list_init(&host->names);
	rota_list_init(&host->calls);
	host->sockets = sim__calloc(world->options.descriptors_max, sizeof(struct sim_socket *));
	before = sim__memory_nobody();
	host->files = sim__files_create(world, index);
	sim__memory_owner(before);
	if (!host->sockets || !host->files) {
		sim__host_free(host);
		return NULL;
	}
	return host;
}

int sim__host_get(struct rota_sim_world *world, unsigned index, struct sim_host **out)
{
	if (!world->hosts[index])
		world->hosts[index] = host_create(world, index);
	if (!world->hosts[index])
		return -ENOMEM;
	*out = world->hosts[index];
	return 0;
}

void sim__host_empty(struct sim_host *host)
{
	for (uint32_t i = 0; host->sockets_open; i++)
		if (host->sockets[i])
			sim__socket_close(host->world, host->sockets[i]);
}

static void drop(struct sim_socket *socket)
{
	/* The other end within this host is dropped as well. */
	while (!rota_list_is_empty(&socket->backlog))
		drop(ROTA_CONTAINER_OF(socket->backlog.next, struct sim_socket, link));
	sim__socket_free(socket);
}

void sim__host_crash(struct sim_host *host)
{
	host->is_down = true;
	host->crashed_at = host->world->now;
	sim__event(host->world, "crash", host->index, host->sockets_open);
	sim__wires_forget(host);
	sim__calls_forget(host);
	for (uint32_t i = 0; host->sockets_open; i++)
		if (host->sockets[i])
			drop(host->sockets[i]);
	sim__files_crash(host->files);
}

void sim__host_free(struct sim_host *host)
{
	struct rota_link *link;

	if (!host)
		return;
	while ((link = rota_list_pop_front(&host->names)))
		rota_free(ROTA_CONTAINER_OF(link, struct sim_name, link));
	sim__files_destroy(host->files);
	rota_free(host->sockets);
	rota_free(host);
}

/* ---- addresses ---- */

struct rota_address rota_sim_host_address(unsigned host, uint16_t port)
{
	struct rota_address address = { .bytes = sizeof(address.v4) };

	address.v4.sin_family = AF_INET;
	address.v4.sin_port = htons(port);
	address.v4.sin_addr.s_addr = htonl(NETWORK + host);
	return address;
}

struct sim_host *sim__host_of(struct sim_host *host, const struct rota_address *address)
{
	uint32_t number;

	if (address->any.sa_family != AF_INET)
		return host;
	number = ntohl(address->v4.sin_addr.s_addr) - NETWORK;
	if (number >= ROTA_SIM_HOSTS_MAX || !host->world->hosts[number])
		return host;
	return host->world->hosts[number];
}

/* ---- descriptors ---- */

/* Each host has a range of its own: a descriptor carried to another host is a bad one there. */
static int first_descriptor(const struct sim_host *host)
{
	return ROTA_SIM_DESCRIPTOR_FIRST +
	       (int)(host->index * host->world->options.descriptors_max);
}

struct sim_socket *sim__socket_at(const struct sim_host *host, int fd)
{
	int64_t slot = (int64_t)fd - first_descriptor(host);

	if (slot < 0 || slot >= host->world->options.descriptors_max)
		return NULL;
	return host->sockets[slot];
}

int sim__descriptor_open(struct sim_socket *socket)
{
	struct sim_host *host = socket->host;
	uint32_t slot = host->descriptor_hint;

	/*
	 * The lowest free one, as POSIX has it: whoever uses a closed descriptor soon hits somebody
	 * else's.
	 */
	while (slot < host->world->options.descriptors_max && host->sockets[slot])
		slot++;
	host->descriptor_hint = slot;
	if (slot == host->world->options.descriptors_max)
		return -EMFILE;
	host->sockets[slot] = socket;
	host->sockets_open++;
	socket->fd = first_descriptor(host) + (int)slot;
	return socket->fd;
}

void sim__descriptor_close(struct sim_socket *socket)
{
	struct sim_host *host = socket->host;
	uint32_t slot = (uint32_t)(socket->fd - first_descriptor(host));

	host->sockets[slot] = NULL;
	host->sockets_open--;
	if (slot < host->descriptor_hint)
		host->descriptor_hint = slot;
	socket->fd = -1;
}
