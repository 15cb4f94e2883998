/* SPDX-License-Identifier: MIT */
/*
 * An echo server on libevent, on its events and not its buffered streams: those send in a turn of
 * their own, which is slower. One receive buffer for all connections; what a socket does not take
 * at once waits in an evbuffer, and until it is sent its connection is not read. A peer of the
 * benchmarks; one thread.
 *
 *   libevent-echo --port N
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES 65536

struct client {
	struct event *readable, *writable;
	struct evbuffer *rest;
};

static char buffer[BUFFER_BYTES];

static void close_client(struct client *client, int fd)
{
	if (client->readable)
		event_free(client->readable);
	if (client->writable)
		event_free(client->writable);
	if (client->rest)
		evbuffer_free(client->rest);
	free(client);
	close(fd);
}

static int may_go_on(ssize_t bytes)
{
	return bytes > 0 || (bytes < 0 && (errno == EAGAIN || errno == EINTR));
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *client = arg;
	ssize_t bytes = recv(fd, buffer, sizeof(buffer), 0), sent;

	(void)what;
	if (bytes <= 0) {
		if (!may_go_on(bytes))
			close_client(client, fd);
		return;
	}
	sent = send(fd, buffer, (size_t)bytes, MSG_NOSIGNAL);
	if (sent == bytes)
		return;
	if (!may_go_on(sent)) {
		close_client(client, fd);
		return;
	}
	sent = sent < 0 ? 0 : sent;
	if (evbuffer_add(client->rest, buffer + sent, (size_t)(bytes - sent)) < 0 ||
	    event_del(client->readable) < 0 || event_add(client->writable, NULL) < 0)
		close_client(client, fd);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct client *client = arg;

	(void)what;
	if (!may_go_on(evbuffer_write(client->rest, fd)) ||
	    (evbuffer_get_length(client->rest) == 0 &&
	     (event_del(client->writable) < 0 || event_add(client->readable, NULL) < 0)))
		close_client(client, fd);
}

static void on_accepted(struct evconnlistener *listener, evutil_socket_t fd,
			struct sockaddr *address, int address_bytes, void *arg)
{
	struct event_base *base = evconnlistener_get_base(listener);
	struct client *client = calloc(1, sizeof(*client));
	int one = 1;

	(void)address;
	(void)address_bytes;
	(void)arg;
	if (!client) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	client->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, client);
	client->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, client);
	client->rest = evbuffer_new();
	if (!client->readable || !client->writable || !client->rest ||
	    event_add(client->readable, NULL) < 0)
		close_client(client, fd);
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct event_base *base = event_base_new();

	if (argc != 3 || strcmp(argv[1], "--port") != 0) {
		fprintf(stderr, "usage: %s --port N\n", argv[0]);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	address.sin_port = htons((uint16_t)atoi(argv[2]));
	if (!base || !evconnlistener_new_bind(base, on_accepted, NULL,
					      LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 4096,
					      (struct sockaddr *)&address, sizeof(address))) {
		fprintf(stderr, "libevent-echo: port %s: %s\n", argv[2], strerror(errno));
		return 1;
	}
	return event_base_dispatch(base) < 0;
}
