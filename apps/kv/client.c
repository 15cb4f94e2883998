/* SPDX-License-Identifier: MIT */
/*
 * Sessions: opening, closing, what they remember. Application layer of rota-kv; on the session's
 * reactor.
 */
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <rota/error.h>
#include <rota/memory.h>

#include "apps/kv/kv.h"

/* Clients of all reactors: sums what each counts, so one too many may slip in per other reactor. */
static uint64_t clients_now(const struct kv_server *server)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < server->locals_count; i++)
		sum += kv_counted(&server->locals[i].counters.clients);
	return sum;
}

static bool is_local(const struct rota_address *peer)
{
	switch (peer->any.sa_family) {
	case AF_INET:
		return ntohl(peer->v4.sin_addr.s_addr) >> 24 == 127;
	case AF_INET6:
		if (IN6_IS_ADDR_V4MAPPED(&peer->v6.sin6_addr))
			return peer->v6.sin6_addr.s6_addr[12] == 127;
		return IN6_IS_ADDR_LOOPBACK(&peer->v6.sin6_addr);
	default:
		return true;
	}
}

/* Whether protected mode keeps this peer out. */
static bool is_kept_out(const struct kv_local *local, struct rota_session *session)
{
	struct rota_address peer;

	if (!local->settings->config.is_protected || local->settings->password_bytes)
		return false;
	return rota_conn_address(rota_session_conn(session), true, &peer) == 0 && !is_local(&peer);
}

/*
 * Let the kernel ask a peer that is silent whether it is still there, as often as Redis does. A
 * Unix socket's peer cannot vanish.
 */
static void keep_alive(struct rota_session *session, uint32_t seconds)
{
	int idle = (int)seconds, interval = idle / 3 ? idle / 3 : 1, count = 3, on = 1;
	int fd;

	if (!seconds)
		return;
	fd = rota_conn_fd(rota_session_conn(session));
	if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

static void turn_away(struct kv_local *local, struct rota_session *session, const char *why)
{
	kv_count(&local->counters.rejected, 1);
	rota_resp_write_error(rota_session_output(session), rota_view_of_string(why));
	rota_session_finish(session);
}

int kv_client_open(struct rota_session *session)
{
	const struct rota_resp_service *resp = rota_session_arg(session);
	struct kv_server *server = ROTA_CONTAINER_OF(resp, struct kv_server, resp);
	struct kv_client *client = kv_client_of(session);
	struct kv_local *local = kv_local_here(server);

	/* Who is turned away is no client: nothing it sends is looked at any more. */
	if (clients_now(server) >= local->settings->config.maxclients) {
		turn_away(local, session, "ERR max number of clients reached");
		return 0;
	}
	if (is_kept_out(local, session)) {
		turn_away(local, session,
			  "DENIED protected mode is on and no password is set, so only "
			  "connections from this machine are served. Set requirepass, or "
			  "protected-mode no if the network is trusted.");
		return 0;
	}
	keep_alive(session, local->settings->config.keepalive_s);
	client->local = local;
	client->created_s = kv_server_age_s(server, rota_now());
	client->active_s = client->created_s;
	kv_count(&local->counters.accepted, 1);
	kv_count(&local->counters.clients, 1);
	kv_client_reset(session);
	return 0;
}

void kv_client_close(struct rota_session *session, int reason)
{
	struct kv_client *client = kv_client_of(session);

	if (!client->local)
		return; /* it was never opened, or turned away */
	/* What cannot be parsed is answered with an error, and the end, before it comes here. */
	if (reason == -ROTA_EPROTOCOL || reason == -EMSGSIZE)
		kv_count(&client->local->counters.errors, 1);
	kv_count(&client->local->counters.clients, (uint64_t)-1);
	if (client->labels) {
		rota_buffer_fini(&client->labels->name);
		rota_buffer_fini(&client->labels->library);
		rota_buffer_fini(&client->labels->library_version);
		rota_free(client->labels);
	}
}

void kv_client_reset(struct rota_session *session)
{
	struct kv_client *client = kv_client_of(session);

	client->database = 0;
	client->is_authenticated = !client->local->settings->password_bytes;
	if (client->labels)
		client->labels->name.bytes = 0;
	rota_resp_session_set_version(session, 2);
	rota_resp_session_set_unauthenticated(session, !client->is_authenticated);
	client->ends_batch = true;
}

struct kv_labels *kv_client_labels(struct kv_client *client)
{
	if (!client->labels)
		client->labels = rota_calloc(1, sizeof(*client->labels));
	return client->labels;
}
