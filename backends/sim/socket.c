/* SPDX-License-Identifier: MIT */
/*
 * In-memory TCP and Unix stream sockets with the semantics of Linux. One thread per world.
 *
 * The one idea: the state of a stream is the kernel's own (what was shut down in which direction,
 * whether a FIN has come, one pending error), so that results and poll masks follow from the same
 * rules as in net/ipv4/tcp.c and net/unix/af_unix.c. What those rules yield was compared with Linux
 * 6.18; the tables stand in tests/unit/backends/sim/test_socket.c.
 *
 * Within a host, bytes go straight into the reader's buffer, FIN and RST take effect at once;
 * between hosts they come through the same functions when the wire has brought them (wire.c).
 */
#include <errno.h>

#include <rota/memory.h>

#include "backends/sim/sim_internal.h"

size_t sim__unread_bytes(const struct sim_socket *socket)
{
	return socket->received.bytes - socket->consumed_bytes;
}

/* ---- life ---- */

struct sim_socket *sim__socket_create(struct sim_host *host, enum sim_socket_kind kind)
{
	struct sim_socket *socket = sim__calloc(1, sizeof(*socket));

	if (!socket)
		return NULL;
	socket->host = host;
	socket->kind = kind;
	socket->fd = -1;
	rota_list_init(&socket->waiting);
	rota_list_init(&socket->link);
	rota_list_init(&socket->backlog);
	rota_buffer_init(&socket->received);
	return socket;
}

void sim__socket_free(struct sim_socket *socket)
{
	if (socket->fd >= 0)
		sim__descriptor_close(socket);
	rota_list_remove(&socket->link);
	rota_buffer_fini(&socket->received);
	rota_free(socket);
}

/* ---- what the other end's doing does to a stream ---- */

void sim__receive_fin(struct rota_sim_world *world, struct sim_socket *socket)
{
	if (sim__is_over(socket))
		return;
	socket->fin_received = true;
	socket->shutdown |= SIM_SHUT_RECEIVE;
	sim__wake_waiting(world, socket);
}

/*
 * An RST: EPIPE for who has seen the other's FIN before, as in tcp_reset(). What was received stays
 * readable.
 */
void sim__receive_reset(struct rota_sim_world *world, struct sim_socket *socket)
{
	if (sim__is_over(socket))
		return;
	sim__receive_error(world, socket, socket->fin_received ? EPIPE : ECONNRESET);
}

void sim__receive_error(struct rota_sim_world *world, struct sim_socket *socket, int error)
{
	socket->error = error;
	socket->reset = true;
	socket->shutdown = SIM_SHUT_BOTH;
	sim__event(world, "reset", socket->fd, socket->error);
	sim__wake_waiting(world, socket);
}

static void leave_tcp_peer(struct rota_sim_world *world, struct sim_socket *socket, bool by_reset)
{
	struct sim_socket *peer = socket->peer;

	if (sim__is_over(socket))
		return;
	if (by_reset)
		sim__receive_reset(world, peer);
	else if (!socket->fin_sent)
		sim__receive_fin(world, peer);
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
	bool by_reset = !was_accepted || socket->resets_on_close || sim__unread_bytes(socket) > 0;
	struct sim_socket *peer = socket->peer;

	if (socket->end)
		sim__wire_leave(world, socket, by_reset);
	if (peer) {
		peer->peer = NULL;
		if (sim__is_local(socket))
			leave_local_peer(world, socket, by_reset);
		else
			leave_tcp_peer(world, socket, by_reset);
	}
	sim__socket_free(socket);
}

void sim__drop_backlog(struct rota_sim_world *world, struct sim_socket *listener)
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
		sim__drop_backlog(world, socket);
		sim__socket_free(socket);
	} else {
		close_stream(world, socket, true);
	}
}
