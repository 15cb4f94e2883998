/* SPDX-License-Identifier: MIT */
/*
 * In-memory TCP and Unix stream sockets with the semantics of Linux, on one host without latency.
 * One thread per world.
 *
 * The one idea: the state of a stream is the kernel's own (what was shut down in which direction,
 * whether a FIN has come, one pending error), so that results and poll masks follow from the same
 * rules as in net/ipv4/tcp.c and net/unix/af_unix.c. What those rules yield was compared with Linux
 * 6.18; the tables stand in tests/unit/backends/sim/test_socket.c.
 *
 * Bytes go straight into the reader's buffer, FIN and RST take effect at once: what will lie
 * between two hosts (latency, loss) belongs into deliver_bytes, receive_fin and receive_reset.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>

#include <rota/memory.h>

#include "backends/sim/sim_internal.h"

#define PORT_FIRST 32768
#define PORT_LAST 60999

/* net.core.somaxconn since Linux 5.4; a negative backlog means this too. */
#define BACKLOG_MAX 4096

static bool is_local(const struct sim_socket *socket)
{
	return socket->local.any.sa_family == AF_UNIX;
}

/*
 * TCP: both directions have ended, or a reset came; the kernel calls this state CLOSE (or
 * TIME_WAIT).
 */
static bool is_over(const struct sim_socket *socket)
{
	return socket->reset || (socket->fin_sent && socket->fin_received);
}

/* A listener shut down for receiving: takes no more connections. */
static bool is_deaf(const struct sim_socket *listener)
{
	return listener->shutdown & SIM_SHUT_RECEIVE;
}

size_t sim__unread_bytes(const struct sim_socket *socket)
{
	return socket->received.bytes - socket->consumed_bytes;
}

/* ---- addresses ---- */

/* The address without its port: what two TCP addresses are compared by. NULL for other families. */
static const void *host_of(const struct rota_address *address, size_t *bytes)
{
	if (address->any.sa_family == AF_INET) {
		*bytes = sizeof(address->v4.sin_addr);
		return &address->v4.sin_addr;
	}
	if (address->any.sa_family == AF_INET6) {
		*bytes = sizeof(address->v6.sin6_addr);
		return &address->v6.sin6_addr;
	}
	return NULL;
}

/* 0.0.0.0 or :: */
static bool is_any_host(const struct rota_address *address)
{
	static const struct in6_addr any_host; /* zeroes; as long as the longest */
	size_t bytes = 0;
	const void *host = host_of(address, &bytes);

	return host && !memcmp(host, &any_host, bytes);
}

static bool hosts_equal(const struct rota_address *a, const struct rota_address *b)
{
	size_t bytes = 0, other_bytes = 0;
	const void *host = host_of(a, &bytes);
	const void *other = host_of(b, &other_bytes);

	return host && other && bytes == other_bytes && !memcmp(host, other, bytes);
}

static bool names_equal(const struct rota_address *a, const struct rota_address *b)
{
	return a->bytes == b->bytes && !memcmp(&a->local, &b->local, a->bytes);
}

/*
 * Would a listener bound to `bound` stand in the way of another at `wanted`, or (the same question)
 * take a call to it?
 */
static bool addresses_meet(const struct rota_address *bound, const struct rota_address *wanted)
{
	if (bound->any.sa_family != wanted->any.sa_family)
		return false;
	if (bound->any.sa_family == AF_UNIX)
		return names_equal(bound, wanted);
	return rota_address_port(bound) == rota_address_port(wanted) &&
	       (is_any_host(bound) || is_any_host(wanted) || hosts_equal(bound, wanted));
}

static void set_port(struct rota_address *address, uint16_t port)
{
	if (address->any.sa_family == AF_INET)
		address->v4.sin_port = htons(port);
	else
		address->v6.sin6_port = htons(port);
}

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

/* ---- life ---- */

static struct sim_socket *create_socket(enum sim_socket_kind kind)
{
	struct sim_socket *socket = rota_calloc(1, sizeof(*socket));

	if (!socket)
		return NULL;
	socket->kind = kind;
	socket->fd = -1;
	rota_list_init(&socket->waiting);
	rota_list_init(&socket->link);
	rota_list_init(&socket->backlog);
	rota_buffer_init(&socket->received);
	return socket;
}

static void free_socket(struct rota_sim_world *world, struct sim_socket *socket)
{
	if (socket->fd >= 0)
		sim__descriptor_close(world, socket);
	rota_list_remove(&socket->link);
	rota_buffer_fini(&socket->received);
	rota_free(socket);
}

/* ---- what the other end's doing does to a stream ---- */

static void receive_fin(struct rota_sim_world *world, struct sim_socket *socket)
{
	if (is_over(socket))
		return;
	socket->fin_received = true;
	socket->shutdown |= SIM_SHUT_RECEIVE;
	sim__wake_waiting(world, socket);
}

/*
 * An RST: EPIPE for who has seen the other's FIN before, as in tcp_reset(). What was received stays
 * readable.
 */
static void receive_reset(struct rota_sim_world *world, struct sim_socket *socket)
{
	if (is_over(socket))
		return;
	socket->error = socket->fin_received ? EPIPE : ECONNRESET;
	socket->reset = true;
	socket->shutdown = SIM_SHUT_BOTH;
	sim__event(world, "reset", socket->fd, socket->error);
	sim__wake_waiting(world, socket);
}

static void leave_tcp_peer(struct rota_sim_world *world, struct sim_socket *socket, bool by_reset)
{
	struct sim_socket *peer = socket->peer;

	if (is_over(socket))
		return;
	if (by_reset)
		receive_reset(world, peer);
	else if (!socket->fin_sent)
		receive_fin(world, peer);
}

static void leave_local_peer(struct rota_sim_world *world, struct sim_socket *socket, bool by_reset)
{
	struct sim_socket *peer = socket->peer;

	peer->shutdown = SIM_SHUT_BOTH;
	if (by_reset)
		peer->error = ECONNRESET;
	sim__wake_waiting(world, peer);
}

/*
 * Closing with bytes unread, or unaccepted, resets the connection: the peer must not believe they
 * were taken.
 */
static void close_stream(struct rota_sim_world *world, struct sim_socket *socket, bool was_accepted)
{
	bool by_reset = !was_accepted || sim__unread_bytes(socket) > 0;
	struct sim_socket *peer = socket->peer;

	if (peer) {
		peer->peer = NULL;
		if (is_local(socket))
			leave_local_peer(world, socket, by_reset);
		else
			leave_tcp_peer(world, socket, by_reset);
	}
	free_socket(world, socket);
}

static void drop_backlog(struct rota_sim_world *world, struct sim_socket *listener)
{
	struct rota_link *link;

	while ((link = rota_list_pop_front(&listener->backlog))) {
		listener->backlog_count--;
		close_stream(world, ROTA_CONTAINER_OF(link, struct sim_socket, link), false);
	}
	sim__wake_waiting(world, listener);
}

void sim__socket_close(struct rota_sim_world *world, struct sim_socket *socket)
{
	sim__event(world, "close", socket->fd, socket->kind);
	if (socket->kind == SIM_LISTENER) {
		/* Off the list first, so that a call that waited for room finds it gone. */
		rota_list_remove(&socket->link);
		drop_backlog(world, socket);
		free_socket(world, socket);
	} else {
		close_stream(world, socket, true);
	}
}

/* ---- listening and connecting ---- */

static int check_name(struct rota_sim_world *world, const struct rota_listen_options *options)
{
	for (struct rota_link *link = world->listeners.next; link != &world->listeners;
	     link = link->next) {
		struct sim_socket *other = ROTA_CONTAINER_OF(link, struct sim_socket, link);

		if (!is_deaf(other) && addresses_meet(&other->local, &options->address) &&
		    !(other->reuse_port && options->reuse_port))
			return -EADDRINUSE;
	}
	return 0;
}

static bool name_exists(const struct rota_sim_world *world, const struct rota_address *address)
{
	for (struct rota_link *link = world->names.next; link != &world->names; link = link->next)
		if (names_equal(&ROTA_CONTAINER_OF(link, struct sim_name, link)->address, address))
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
	listener->reuse_port = options->reuse_port && !is_local(listener);
	if (is_local(listener)) {
		status = check_name(world, options);
		return status < 0 ? status : keep_name(world, &options->address);
	}
	if (rota_address_port(&options->address))
		return check_name(world, options);
	status = take_port(world);
	if (status < 0)
		return status;
	set_port(&listener->local, (uint16_t)status);
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
	listener = create_socket(SIM_LISTENER);
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
		free_socket(world, listener);
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

			if (is_deaf(listener) || !addresses_meet(&listener->local, to))
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
		if (is_any_host(to) && to->any.sa_family == AF_INET) {
			/* Calling 0.0.0.0 or :: calls this host. */
			server->local.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		} else if (is_any_host(to)) {
			server->local.v6.sin6_addr = in6addr_loopback;
		}
		client->remote = client->local = server->local;
		set_port(&client->local, (uint16_t)port);
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
	client = create_socket(SIM_STREAM);
	if (!client)
		return -ENOMEM;
	server = create_socket(SIM_STREAM);
	if (!server) {
		free_socket(world, client);
		return -ENOMEM;
	}
	status = sim__descriptor_open(world, client);
	if (status >= 0)
		status = connect_pair(world, to, client, server);
	if (status < 0) {
		free_socket(world, server);
		free_socket(world, client);
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
		return is_deaf(listener) ? -EINVAL : -EAGAIN;
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

/* ---- transfer ---- */

static size_t free_bytes(const struct rota_sim_world *world, const struct sim_socket *reader)
{
	return world->options.socket_bytes - sim__unread_bytes(reader);
}

/* Copy `bytes` of `parts` to the reader. Returns 0, or -ENOMEM with nothing done. */
static int deliver_bytes(struct rota_sim_world *world, struct sim_socket *reader,
			 const struct iovec *parts, size_t bytes)
{
	struct rota_buffer *received = &reader->received;

	rota_buffer_consume(received, reader->consumed_bytes);
	reader->consumed_bytes = 0;
	if (rota_buffer_reserve(received, bytes) < 0)
		return -ENOMEM;
	for (; bytes; parts++) {
		size_t part = rota_min_size(parts->iov_len, bytes);

		rota_ignore(rota_buffer_append(received, parts->iov_base, part), "reserved");
		sim__hash_bytes(world, parts->iov_base, part);
		bytes -= part;
	}
	sim__wake_waiting(world, reader);
	return 0;
}

/* Why a stream takes no more bytes. A pending error is reported first, and once. */
static int send_error(struct sim_socket *socket)
{
	int error = socket->error;

	if (is_local(socket) || !error)
		return -EPIPE;
	socket->error = 0;
	return -error;
}

int sim__send(struct rota_sim_world *world, struct sim_socket *socket, const struct iovec *parts,
	      size_t parts_count)
{
	size_t bytes = 0, room;

	if (socket->kind == SIM_LISTENER)
		return is_local(socket) ? -ENOTCONN : -EPIPE;
	if (socket->shutdown & SIM_SHUT_SEND)
		return send_error(socket);
	for (size_t i = 0; i < parts_count; i++)
		bytes += parts[i].iov_len;
	if (!socket->peer) {
		/*
		 * TCP only: the other end closed, and answers what still comes with an RST. The
		 * bytes are lost.
		 */
		bytes = rota_min_size(bytes, world->options.socket_bytes);
		receive_reset(world, socket);
		return (int)bytes;
	}
	room = free_bytes(world, socket->peer);
	if (!room)
		return -EAGAIN;
	bytes = sim__transfer_bytes(world, rota_min_size(bytes, room));
	if (deliver_bytes(world, socket->peer, parts, bytes) < 0)
		return -ENOMEM;
	return (int)bytes;
}

static int take_bytes(struct rota_sim_world *world, struct sim_socket *socket, char *out,
		      size_t bytes_max)
{
	size_t unread = sim__unread_bytes(socket);
	size_t bytes = sim__transfer_bytes(world, rota_min_size(unread, bytes_max));

	memcpy(out, socket->received.data + socket->consumed_bytes, bytes);
	socket->consumed_bytes += bytes;
	if (bytes == unread) {
		rota_buffer_fini(&socket->received);
		socket->consumed_bytes = 0;
	}
	if (socket->peer)
		sim__wake_waiting(world, socket->peer);
	return (int)bytes;
}

int sim__receive(struct rota_sim_world *world, struct sim_socket *socket, char *out,
		 size_t bytes_max)
{
	int error = socket->error;

	if (socket->kind == SIM_LISTENER)
		return is_local(socket) ? -EINVAL : -ENOTCONN;
	if (sim__unread_bytes(socket))
		return take_bytes(world, socket, out, bytes_max);
	if (socket->fin_received)
		return 0;
	if (error) {
		socket->error = 0;
		return -error;
	}
	return socket->shutdown & SIM_SHUT_RECEIVE ? 0 : -EAGAIN;
}

bool sim__is_readable(const struct sim_socket *socket)
{
	return socket->kind == SIM_LISTENER || sim__unread_bytes(socket) || socket->error ||
	       (socket->shutdown & SIM_SHUT_RECEIVE);
}

/* ---- state ---- */

uint32_t sim__poll_events(const struct rota_sim_world *world, const struct sim_socket *socket)
{
	uint32_t events = 0;

	if (socket->kind == SIM_LISTENER) {
		if (socket->backlog_count)
			events |= POLLIN;
		if (is_deaf(socket))
			events |= is_local(socket) ? POLLIN | POLLRDHUP : POLLHUP | POLLOUT;
		if (is_local(socket) && socket->shutdown == SIM_SHUT_BOTH)
			events |= POLLHUP;
		return events;
	}
	if (socket->shutdown == SIM_SHUT_BOTH)
		events |= POLLHUP;
	if (socket->shutdown & SIM_SHUT_RECEIVE)
		events |= POLLIN | POLLRDHUP;
	if (sim__unread_bytes(socket))
		events |= POLLIN;
	if ((socket->shutdown & SIM_SHUT_SEND) || !socket->peer || free_bytes(world, socket->peer))
		events |= POLLOUT;
	if (socket->error)
		events |= POLLERR;
	return events;
}

static int shut_listener(struct rota_sim_world *world, struct sim_socket *listener, unsigned what)
{
	listener->shutdown |= what;
	if (is_deaf(listener) && !is_local(listener))
		drop_backlog(world, listener);
	else
		sim__wake_waiting(world, listener);
	return 0;
}

int sim__shutdown(struct rota_sim_world *world, struct sim_socket *socket, int how)
{
	unsigned what;

	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		return -EINVAL;
	what = how == SHUT_RD ? SIM_SHUT_RECEIVE : how == SHUT_WR ? SIM_SHUT_SEND : SIM_SHUT_BOTH;
	sim__event(world, "shutdown", socket->fd, how);
	if (socket->kind == SIM_LISTENER)
		return shut_listener(world, socket, what);
	if (!is_local(socket)) {
		if (is_over(socket))
			return -ENOTCONN;
		if ((what & SIM_SHUT_SEND) && !socket->fin_sent) {
			socket->fin_sent = true;
			if (socket->peer)
				receive_fin(world, socket->peer);
		}
	} else if (socket->peer) {
		/*
		 * A Unix socket tells its peer both: not to read any more, and not to write any
		 * more.
		 */
		socket->peer->shutdown |= what & SIM_SHUT_SEND ? SIM_SHUT_RECEIVE : 0u;
		socket->peer->shutdown |= what & SIM_SHUT_RECEIVE ? SIM_SHUT_SEND : 0u;
		sim__wake_waiting(world, socket->peer);
	}
	socket->shutdown |= what;
	sim__wake_waiting(world, socket);
	return 0;
}

int sim__socket_address(const struct sim_socket *socket, bool peer, struct rota_address *out)
{
	if (peer && (socket->kind == SIM_LISTENER || (!is_local(socket) && is_over(socket))))
		return -ENOTCONN;
	*out = peer ? socket->remote : socket->local;
	return 0;
}
