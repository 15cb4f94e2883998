/* SPDX-License-Identifier: MIT */
/*
 * An echo server on libuv, the way its users write one, as well tuned as its interface allows: one
 * receive buffer for all connections, and a reply is tried at once (uv_try_write) before it is
 * queued. A peer of the benchmarks; one thread.
 *
 *   libuv-echo --port N
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define BUFFER_BYTES 65536

struct reply {
	uv_write_t write;
	char bytes[];
};

static char buffer[BUFFER_BYTES];

static void lend_buffer(uv_handle_t *handle, size_t suggested_bytes, uv_buf_t *out)
{
	(void)handle;
	(void)suggested_bytes;
	*out = uv_buf_init(buffer, sizeof(buffer));
}

static void on_closed(uv_handle_t *handle)
{
	free(handle);
}

static void close_client(uv_stream_t *client)
{
	if (!uv_is_closing((uv_handle_t *)client))
		uv_close((uv_handle_t *)client, on_closed);
}

static void on_written(uv_write_t *write, int status)
{
	if (status < 0)
		close_client(write->handle);
	free(write);
}

/* What the socket did not take at once is copied and waits. */
static int queue_rest(uv_stream_t *client, const char *data, size_t bytes)
{
	struct reply *reply = malloc(sizeof(*reply) + bytes);
	uv_buf_t rest;

	if (!reply)
		return UV_ENOMEM;
	memcpy(reply->bytes, data, bytes);
	rest = uv_buf_init(reply->bytes, (unsigned)bytes);
	return uv_write(&reply->write, client, &rest, 1, on_written);
}

static void on_read(uv_stream_t *client, ssize_t bytes, const uv_buf_t *input)
{
	uv_buf_t reply;
	int sent;

	if (bytes < 0) {
		close_client(client);
		return;
	}
	reply = uv_buf_init(input->base, (unsigned)bytes);
	sent = bytes ? uv_try_write(client, &reply, 1) : 0;
	if (sent == UV_EAGAIN)
		sent = 0;
	if (sent < 0 ||
	    (sent < bytes && queue_rest(client, input->base + sent, (size_t)(bytes - sent)) < 0))
		close_client(client);
}

static void on_connection(uv_stream_t *listener, int status)
{
	uv_tcp_t *client = status < 0 ? NULL : malloc(sizeof(*client));

	if (!client)
		return;
	uv_tcp_init(listener->loop, client);
	if (uv_accept(listener, (uv_stream_t *)client) < 0) {
		close_client((uv_stream_t *)client);
		return;
	}
	uv_tcp_nodelay(client, 1);
	uv_read_start((uv_stream_t *)client, lend_buffer, on_read);
}

int main(int argc, char **argv)
{
	struct sockaddr_in address;
	uv_tcp_t listener;
	int status;

	if (argc != 3 || strcmp(argv[1], "--port") != 0) {
		fprintf(stderr, "usage: %s --port N\n", argv[0]);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	uv_ip4_addr("127.0.0.1", atoi(argv[2]), &address);
	uv_tcp_init(uv_default_loop(), &listener);
	status = uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0);
	if (status == 0)
		status = uv_listen((uv_stream_t *)&listener, 4096, on_connection);
	if (status < 0) {
		fprintf(stderr, "libuv-echo: port %s: %s\n", argv[2], uv_strerror(status));
		return 1;
	}
	return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
