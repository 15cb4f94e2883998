/* SPDX-License-Identifier: MIT */
/*
 * Other shapes of load than requests: bulk one way or the other, and connections that are made for
 * one request each. Belongs to a share's reactor.
 *
 * Each client counts as one request in flight from its start in a run to its end, so that a run
 * ends, and a silent server is noticed, as with requests.
 */
#include <rota/error.h>
#include <rota/memory.h>

#include "bench/load/load.h"

/* Given to the socket at once, if pieces are smaller. */
#define UPLOAD_BYTES ((size_t)256 * 1024)

/* Wait for a run. Returns 0, or -ECANCELED. */
static int begin(struct client *client)
{
	struct share *share = client->share;
	int status = rota_event_wait(&share->begun);

	if (status < 0)
		return status;
	client_request(client, client->issued)->since = share->now;
	client->active_at = rota_now();
	client->issued++;
	share->in_flight++;
	return 0;
}

/* It has done its part of this run. */
static void end(struct client *client)
{
	client->answered++;
	client->share->in_flight--;
	client->share->now = rota_now();
	share_check_drained(client->share);
}

/* Tell the server that nothing more comes, and wait until it has seen that. */
static int64_t part(struct client *client)
{
	struct rota_view view;
	int64_t n = rota_conn_shutdown_write(client->conn);

	while (n >= 0 && (n = rota_conn_read(client->conn, &view)) > 0)
		client->active_at = rota_now();
	client->is_over = n == 0;
	return n;
}

/*
 * Send, to a server that reads. At the end of the run the connection is closed in order: when the
 * server closes it too, it has read everything.
 */
int64_t shape_upload(struct client *client)
{
	struct share *share = client->share;
	struct rota_output *output = rota_conn_output(client->conn);
	int64_t status = begin(client);

	while (status >= 0 && share->is_issuing) {
		while (rota_output_pending_bytes(output) < UPLOAD_BYTES)
			rota_output_blob(output, share->blob, 0, share->blob->bytes);
		status = rota_conn_flush(client->conn);
		client->active_at = rota_now();
	}
	if (status >= 0)
		status = part(client);
	if (status >= 0)
		end(client);
	return status;
}

/*
 * Receive, from a server that sends as long as it can. Between two runs nothing is read; what then
 * is under way, at most what the sockets hold, is counted in the next.
 */
int64_t shape_download(struct client *client)
{
	struct share *share = client->share;
	struct rota_view view;
	int64_t status;

	while ((status = begin(client)) >= 0) {
		do {
			status = rota_conn_read(client->conn, &view);
			client->active_at = rota_now();
		} while (status > 0 && share->is_issuing);
		if (status <= 0)
			return status;
		end(client);
	}
	return status;
}

/*
 * Connect, one request, its reply, close, again and again. The latency is from before the connect
 * to the reply. The close waits for the server's, so that no more connections are ending than there
 * are clients.
 */
int64_t shape_churn(struct client *client)
{
	struct share *share = client->share;
	int64_t status = part(client); /* the first one only showed that there is a server */

	rota_conn_close(client->conn);
	client->conn = NULL;
	while (status >= 0 && (status = rota_event_wait(&share->begun)) >= 0) {
		rota_ns since = rota_now();

		status = client_connect(client);
		if (status < 0)
			break;
		client->need_bytes = 1;
		client->is_over = false;
		share->now = rota_now();
		if (share->is_issuing) /* the run may have ended while it connected */
			client_send(client, 1, since);
		while (client_in_flight(client) && (status = client_receive(client)) > 0)
			;
		if (client_in_flight(client))
			break;
		status = part(client);
		rota_conn_close(client->conn);
		client->conn = NULL;
		share_check_drained(share);
	}
	return status;
}
