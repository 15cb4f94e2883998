/* SPDX-License-Identifier: MIT */
/*
 * An echo server on libev. One receive buffer for all connections; what a socket does not take at
 * once is copied, and until it is sent its connection is not read. A peer of the benchmarks; one
 * thread.
 *
 *   libev-echo --port N
 */
#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES 65536

struct client {
	ev_io readable, writable; /* `data`: the client */
	char *rest;
	size_t rest_bytes, rest_sent;
};

static char buffer[BUFFER_BYTES];

static void close_client(struct ev_loop *loop, struct client *client)
{
	ev_io_stop(loop, &client->readable);
	ev_io_stop(loop, &client->writable);
	close(client->readable.fd);
	free(client->rest);
	free(client);
}

static int may_go_on(ssize_t bytes)
{
	return bytes > 0 || (bytes < 0 && (errno == EAGAIN || errno == EINTR));
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct client *client = watcher->data;
	ssize_t bytes = recv(watcher->fd, buffer, sizeof(buffer), 0), sent;

	(void)events;
	if (bytes <= 0) {
		if (!may_go_on(bytes))
			close_client(loop, client);
		return;
	}
	sent = send(watcher->fd, buffer, (size_t)bytes, MSG_NOSIGNAL);
	if (sent == bytes)
		return;
	if (!may_go_on(sent)) {
		close_client(loop, client);
		return;
	}
	sent = sent < 0 ? 0 : sent;
	client->rest_sent = 0;
	client->rest_bytes = (size_t)(bytes - sent);
	client->rest = malloc(client->rest_bytes);
	if (!client->rest) {
		close_client(loop, client);
		return;
	}
	memcpy(client->rest, buffer + sent, client->rest_bytes);
	ev_io_stop(loop, &client->readable);
	ev_io_start(loop, &client->writable);
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct client *client = watcher->data;
	ssize_t sent = send(watcher->fd, client->rest + client->rest_sent,
			    client->rest_bytes - client->rest_sent, MSG_NOSIGNAL);

	(void)events;
	if (!may_go_on(sent)) {
		close_client(loop, client);
		return;
	}
	client->rest_sent += sent < 0 ? 0 : (size_t)sent;
	if (client->rest_sent < client->rest_bytes)
		return;
	free(client->rest);
	client->rest = NULL;
	ev_io_stop(loop, &client->writable);
	ev_io_start(loop, &client->readable);
}

static void on_connection(struct ev_loop *loop, ev_io *listener, int events)
{
	int one = 1, fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct client *client = fd < 0 ? NULL : calloc(1, sizeof(*client));

	(void)events;
	if (!client) {
		if (fd >= 0)
			close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	ev_io_init(&client->readable, on_readable, fd, EV_READ);
	ev_io_init(&client->writable, on_writable, fd, EV_WRITE);
	client->readable.data = client->writable.data = client;
	ev_io_start(loop, &client->readable);
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ev_io listener;

	if (argc != 3 || strcmp(argv[1], "--port") != 0) {
		fprintf(stderr, "usage: %s --port N\n", argv[0]);
		return 2;
	}
	address.sin_port = htons((uint16_t)atoi(argv[2]));
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 4096)) {
		fprintf(stderr, "libev-echo: port %s: %s\n", argv[2], strerror(errno));
		return 1;
	}
	ev_io_init(&listener, on_connection, fd, EV_READ);
	ev_io_start(EV_DEFAULT_ & listener);
	return !ev_run(EV_DEFAULT_ 0);
}
