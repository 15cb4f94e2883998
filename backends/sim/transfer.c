/* SPDX-License-Identifier: MIT */
/*
 * What goes over a simulated stream and what its state looks like from outside: send, receive,
 * poll, shutdown. One thread per world.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>

#include "backends/sim/sim_internal.h"

/* ---- transfer ---- */

/* How much `socket` may send now; one whose other end is gone, as if that end read. */
static size_t room(const struct rota_sim_world *world, const struct sim_socket *socket)
{
	if (socket->end)
		return sim__wire_room(world, socket);
	if (socket->peer)
		return world->options.socket_bytes - sim__unread_bytes(socket->peer);
	return world->options.socket_bytes;
}

int sim__deliver(struct rota_sim_world *world, struct sim_socket *reader, const struct iovec *parts,
		 size_t bytes)
{
	struct rota_buffer *received = &reader->received;
	uint32_t before;
	int status;

	rota_buffer_consume(received, reader->consumed_bytes);
	reader->consumed_bytes = 0;
	before = sim__memory_nobody(); /* the kernel's */
	status = rota_buffer_reserve(received, bytes);
	sim__memory_owner(before);
	if (status < 0)
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

	if (sim__is_local(socket) || !error)
		return -EPIPE;
	socket->error = 0;
	return -error;
}

int sim__send(struct rota_sim_world *world, struct sim_socket *socket, const struct iovec *parts,
	      size_t parts_count)
{
	size_t bytes = 0, most = room(world, socket);

	if (socket->kind == SIM_LISTENER)
		return sim__is_local(socket) ? -ENOTCONN : -EPIPE;
	if (socket->shutdown & SIM_SHUT_SEND)
		return send_error(socket);
	for (size_t i = 0; i < parts_count; i++)
		bytes += parts[i].iov_len;
	if (!socket->peer && !socket->end) {
		/*
		 * TCP only: the other end closed, and answers what still comes with an RST. The
		 * bytes are lost.
		 */
		bytes = rota_min_size(bytes, world->options.socket_bytes);
		sim__receive_reset(world, socket);
		return (int)bytes;
	}
	if (!most)
		return -EAGAIN;
	bytes = sim__transfer_bytes(world, rota_min_size(bytes, most));
	if (socket->end)
		return sim__wire_send(world, socket, parts, bytes);
	if (sim__deliver(world, socket->peer, parts, bytes) < 0)
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
	if (socket->end)
		sim__wire_read(world, socket, bytes);
	else if (socket->peer)
		sim__wake_waiting(world, socket->peer);
	return (int)bytes;
}

int sim__receive(struct rota_sim_world *world, struct sim_socket *socket, char *out,
		 size_t bytes_max)
{
	int error = socket->error;

	if (socket->kind == SIM_LISTENER)
		return sim__is_local(socket) ? -EINVAL : -ENOTCONN;
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
		if (sim__is_deaf(socket))
			events |= sim__is_local(socket) ? POLLIN | POLLRDHUP : POLLHUP | POLLOUT;
		if (sim__is_local(socket) && socket->shutdown == SIM_SHUT_BOTH)
			events |= POLLHUP;
		return events;
	}
	if (socket->shutdown == SIM_SHUT_BOTH)
		events |= POLLHUP;
	if (socket->shutdown & SIM_SHUT_RECEIVE)
		events |= POLLIN | POLLRDHUP;
	if (sim__unread_bytes(socket))
		events |= POLLIN;
	if ((socket->shutdown & SIM_SHUT_SEND) || room(world, socket))
		events |= POLLOUT;
	if (socket->error)
		events |= POLLERR;
	return events;
}

static int shut_listener(struct rota_sim_world *world, struct sim_socket *listener, unsigned what)
{
	listener->shutdown |= what;
	if (sim__is_deaf(listener) && !sim__is_local(listener))
		sim__drop_backlog(world, listener);
	else
		sim__wake_waiting(world, listener);
	return 0;
}

int sim__shutdown(struct rota_sim_world *world, struct sim_socket *socket, int how)
{
	unsigned what;

	if (how == ROTA_SHUT_RESET) {
		socket->resets_on_close = !sim__is_local(socket);
		return 0;
	}
	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		return -EINVAL;
	what = how == SHUT_RD ? SIM_SHUT_RECEIVE : how == SHUT_WR ? SIM_SHUT_SEND : SIM_SHUT_BOTH;
	sim__event(world, "shutdown", socket->fd, how);
	if (socket->kind == SIM_LISTENER)
		return shut_listener(world, socket, what);
	if (!sim__is_local(socket)) {
		if (sim__is_over(socket))
			return -ENOTCONN;
		if ((what & SIM_SHUT_SEND) && !socket->fin_sent) {
			socket->fin_sent = true;
			if (socket->end)
				sim__wire_fin(world, socket);
			else if (socket->peer)
				sim__receive_fin(world, socket->peer);
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
	if (peer &&
	    (socket->kind == SIM_LISTENER || (!sim__is_local(socket) && sim__is_over(socket))))
		return -ENOTCONN;
	*out = peer ? socket->remote : socket->local;
	return 0;
}
