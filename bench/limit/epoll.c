/* SPDX-License-Identifier: MIT */
/*
 * The limit on epoll: the best raw level-triggered loop, the same two modes as uring.c, without any
 * framework code. One process, one thread.
 *
 * The one idea: read into one buffer that stays in the cache, answer at once from it, keep only
 * what the socket did not take. A short read means drained, so the usual request costs one read,
 * one send and its share of an epoll_wait; interest changes only when a send was cut short.
 */
#include <sys/epoll.h>

#include "bench/limit/server.h"

#define EVENTS_MAX 1024

struct connection {
	int fd;
	bool blocked;      /* `unsent` waits for EPOLLOUT; nothing is read meanwhile */
	size_t sent_bytes; /* of `unsent` */
	struct resp_state request;
	struct output unsent;
};

static struct options options = { .buffer_count = 1,
				  .buffer_bytes = 65536,
				  .connections_max = 16384 };
/* their addresses tell the two from connections */
static struct connection listener_mark, signal_mark;
/* to one receive; its memory is shared by all */
static struct output replies;
static struct constant constant;
static char *buffer;
static int epoll_fd;
static uint32_t connection_count;
static uint64_t accept_count, close_count, turn_count;

static void watch(int operation, int fd, uint32_t events, void *mark)
{
	struct epoll_event event = { .events = events, .data.ptr = mark };

	if (epoll_ctl(epoll_fd, operation, fd, &event))
		die("epoll_ctl", errno);
}

static void accept_all(int listener)
{
	while (connection_count < options.connections_max) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct connection *connection;

		if (fd < 0)
			return;
		connection = checked(calloc(1, sizeof(*connection)));
		connection->fd = fd;
		watch(EPOLL_CTL_ADD, fd, EPOLLIN, connection);
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): epoll has its address */
		accept_count++;
		connection_count++;
	}
	/* full: the next close listens again */
	watch(EPOLL_CTL_MOD, listener, 0, &listener_mark);
}

static void close_connection(struct connection *connection, int listener)
{
	close(connection->fd);
	free(connection->unsent.data);
	free(connection);
	close_count++;
	if (connection_count-- == options.connections_max)
		watch(EPOLL_CTL_MOD, listener, EPOLLIN, &listener_mark);
}

/* Send or keep. Returns false if the connection is dead. */
static bool send_or_keep(struct connection *connection, const char *data, size_t data_bytes)
{
	ssize_t sent = send(connection->fd, data, data_bytes, MSG_NOSIGNAL);

	if (sent < 0 && errno != EAGAIN)
		return false;
	if (sent < 0)
		sent = 0;
	if ((size_t)sent < data_bytes) {
		output_append(&connection->unsent, data + sent, data_bytes - (size_t)sent);
		connection->blocked = true;
		watch(EPOLL_CTL_MOD, connection->fd, EPOLLOUT, connection);
	}
	return true;
}

static bool on_writable(struct connection *connection)
{
	struct output *unsent = &connection->unsent;
	ssize_t sent = send(connection->fd, unsent->data + connection->sent_bytes,
			    unsent->length_bytes - connection->sent_bytes, MSG_NOSIGNAL);

	if (sent < 0)
		return errno == EAGAIN;
	connection->sent_bytes += (size_t)sent;
	if (connection->sent_bytes == unsent->length_bytes) {
		connection->sent_bytes = unsent->length_bytes = 0;
		connection->blocked = false;
		watch(EPOLL_CTL_MOD, connection->fd, EPOLLIN, connection);
	}
	return true;
}

static bool on_readable(struct connection *connection)
{
	ssize_t received;

	do {
		received = recv(connection->fd, buffer, options.buffer_bytes, 0);
		if (received <= 0)
			return received < 0 && errno == EAGAIN;
		if (!options.resp) {
			if (!send_or_keep(connection, buffer, (size_t)received))
				return false;
			continue;
		}
		replies.length_bytes = 0;
		if (!resp_feed(&connection->request, buffer, (size_t)received, &constant,
			       &replies) ||
		    (replies.length_bytes &&
		     !send_or_keep(connection, replies.data, replies.length_bytes)))
			return false;
	} while ((size_t)received == options.buffer_bytes && !connection->blocked);
	return true;
}

static void run(int listener)
{
	static struct epoll_event events[EVENTS_MAX];

	for (;;) {
		int count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);

		if (count < 0 && errno != EINTR)
			die("epoll_wait", errno);
		turn_count++;
		for (int i = 0; i < count; i++) {
			struct connection *connection = events[i].data.ptr;

			if (connection == &signal_mark)
				return;
			if (connection == &listener_mark)
				accept_all(listener);
			else if (!(connection->blocked ? on_writable(connection)
						       : on_readable(connection)))
				close_connection(connection, listener);
		}
	}
}

int main(int argc, char **argv)
{
	int listener;

	parse_options(argc, argv, &options);
	if (options.threads > 1)
		die("--threads", ENOTSUP);
	listener = open_listener(&options);
	constant_resize(&constant, 64);
	buffer = checked(malloc(options.buffer_bytes));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		die("epoll_create1", errno);
	watch(EPOLL_CTL_ADD, listener, EPOLLIN, &listener_mark);
	watch(EPOLL_CTL_ADD, open_signals(), EPOLLIN, &signal_mark);
	print_ready("epoll", &options);
	run(listener);
	fprintf(stderr, "stopped accepted=%llu closed=%llu turns=%llu\n",
		(unsigned long long)accept_count, (unsigned long long)close_count,
		(unsigned long long)turn_count);
	return 0;
}
