/* SPDX-License-Identifier: MIT */
/*
 * What the two limit servers share: options, the listening socket, and the honest minimum of a RESP
 * server (a request parser and constant replies). Belongs to bench/limit only and uses no framework
 * code on purpose: these servers are what the framework is measured against. Nothing here is shared
 * by threads but the options, which are written before there are any.
 *
 * The one idea: the parser is a state machine over bytes that keeps no input, only where it stands,
 * so a request may be cut anywhere between two receives and nothing is ever copied to put it
 * together again.
 */
#ifndef BENCH_LIMIT_SERVER_H
#define BENCH_LIMIT_SERVER_H

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define VALUE_BYTES_MAX (1u << 20) /* longest constant a GET answers */
#define BULK_BYTES_MAX (1u << 29)  /* as Redis: longer is malformed */
#define THREADS_MAX 64u
#define OUTPUT_BYTES_MAX (64u << 20) /* a peer that reads nothing is cut off here */

struct options {
	bool resp;     /* --mode resp; echo otherwise */
	uint16_t port; /* 0: the kernel chooses */
	/* receive buffers, a power of two; epoll needs one and ignores it */
	uint32_t buffer_count;
	uint32_t buffer_bytes;
	uint32_t connections_max;
	uint32_t threads; /* on io_uring: loops that share nothing but the port */
};

static inline void die(const char *what, int error)
{
	fprintf(stderr, "limit: %s: %s\n", what, strerror(error));
	exit(1);
}

static inline void *checked(void *memory)
{
	if (!memory)
		die("memory", ENOMEM);
	return memory;
}

static inline void parse_options(int argc, char **argv, struct options *options)
{
	static const struct option names[] = {
		{ "mode", required_argument, NULL, 'm' },
		{ "port", required_argument, NULL, 'p' },
		{ "buffers", required_argument, NULL, 'n' },
		{ "buffer-bytes", required_argument, NULL, 'b' },
		{ "connections", required_argument, NULL, 'c' },
		{ "threads", required_argument, NULL, 't' },
		{ NULL, 0, NULL, 0 },
	};
	int name;

	while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
		uint32_t value = name == '?' ? 0 : (uint32_t)strtoul(optarg, NULL, 10);

		if (name == 'm' && (!strcmp(optarg, "echo") || !strcmp(optarg, "resp")))
			options->resp = optarg[0] == 'r';
		else if (name == 'p' && value <= UINT16_MAX)
			options->port = (uint16_t)value;
		else if (name == 'n' && value && value <= 32768 && !(value & (value - 1)))
			options->buffer_count = value;
		else if (name == 'b' && value)
			options->buffer_bytes = value;
		else if (name == 'c' && value)
			options->connections_max = value;
		else if (name == 't' && value && value <= THREADS_MAX)
			options->threads = value;
		else {
			fprintf(stderr,
				"usage: %s [--mode echo|resp] [--port N] [--buffers 2^N] "
				"[--buffer-bytes N] [--connections N] [--threads N]\n",
				argv[0]);
			exit(2);
		}
	}
}

/*
 * Returns a listening loopback socket and raises the descriptor limit; accepted sockets inherit
 * TCP_NODELAY.
 */
static inline int open_listener(struct options *options)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(options->port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t address_bytes = sizeof(address);
	struct rlimit files;
	int one = 1, fd;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &files) == 0 &&
		    options->connections_max + 16 > files.rlim_cur)
			options->connections_max = (uint32_t)files.rlim_cur - 16;
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    (options->threads > 1 && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one))) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 4096) ||
	    getsockname(fd, (struct sockaddr *)&address, &address_bytes))
		die("listen", errno);
	options->port = ntohs(address.sin_port);
	return fd;
}

/*
 * SIGTERM and SIGINT as a descriptor, so that both loops end between two turns and can say what
 * they did.
 */
static inline int open_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		die("signalfd", errno);
	return fd;
}

static inline void print_ready(const char *loop, const struct options *options)
{
	printf("ready loop=%s mode=%s port=%u\n", loop, options->resp ? "resp" : "echo",
	       options->port);
	fflush(stdout);
}

/*
 * Bytes waiting to be sent; grows by doubling, keeps its memory for the connection's next replies.
 */
struct output {
	char *data;
	size_t length_bytes, capacity_bytes;
};

static inline void output_append(struct output *output, const void *data, size_t data_bytes)
{
	if (output->capacity_bytes - output->length_bytes < data_bytes) {
		size_t capacity = output->capacity_bytes ? output->capacity_bytes : 512;

		while (capacity - output->length_bytes < data_bytes)
			capacity *= 2;
		output->data = checked(realloc(output->data, capacity));
		output->capacity_bytes = capacity;
	}
	memcpy(output->data + output->length_bytes, data, data_bytes);
	output->length_bytes += data_bytes;
}

/*
 * The constant: what GET answers. As long as the last SET's value, so that one server fits every
 * workload.
 */
struct constant {
	char *reply;
	size_t reply_bytes;
	uint64_t value_bytes;
};

static inline void constant_resize(struct constant *constant, uint64_t value_bytes)
{
	size_t header_bytes;

	if (value_bytes > VALUE_BYTES_MAX)
		value_bytes = VALUE_BYTES_MAX;
	constant->value_bytes = value_bytes;
	constant->reply = checked(realloc(constant->reply, (size_t)value_bytes + 32));
	header_bytes = (size_t)sprintf(constant->reply, "$%llu\r\n",
				       (unsigned long long)value_bytes);
	memset(constant->reply + header_bytes, 'x', (size_t)value_bytes);
	memcpy(constant->reply + header_bytes + value_bytes, "\r\n", 2);
	constant->reply_bytes = header_bytes + (size_t)value_bytes + 2;
}

/* Where one connection's request stream stands between two receives. All zero: before a request. */
struct resp_state {
	/* digits of the current header so far; then the last bulk's length */
	uint64_t number;
	uint64_t skip_bytes;     /* rest of the current bulk and its CR LF */
	uint32_t arguments_left; /* 0: an array header comes next */
	char command;            /* first letter of the first argument, 0 until seen */
	bool in_header;          /* the '*' or '$' has been read, its LF not yet */
};

static inline void answer(char command, uint64_t last_bulk_bytes, struct constant *constant,
			  struct output *out)
{
	if (command == 'g' || command == 'G') {
		output_append(out, constant->reply, constant->reply_bytes);
		return;
	}
	if ((command == 's' || command == 'S') && last_bulk_bytes != constant->value_bytes)
		constant_resize(constant, last_bulk_bytes);
	output_append(out, "+OK\r\n", 5);
}

/*
 * Consume all of `data`, appending one reply per complete request. Returns false if it is not RESP.
 */
static inline bool resp_feed(struct resp_state *saved, const char *data, size_t data_bytes,
			     struct constant *constant, struct output *out)
{
	struct resp_state state = *saved;
	const char *end = data + data_bytes;

	while (data < end) {
		if (state.skip_bytes) {
			size_t left = (size_t)(end - data);

			if (!state.command)
				state.command = *data;
			if (left < state.skip_bytes) {
				state.skip_bytes -= left;
				break;
			}
			data += state.skip_bytes;
			state.skip_bytes = 0;
			if (--state.arguments_left == 0) {
				answer(state.command, state.number, constant, out);
				state.command = 0;
			}
			continue;
		}
		if (!state.in_header) {
			if (*data++ != (state.arguments_left ? '$' : '*'))
				return false;
			state.in_header = true;
			state.number = 0;
		}
		for (; data < end && *data >= '0' && *data <= '9' && state.number <= BULK_BYTES_MAX;
		     data++)
			state.number = state.number * 10 + (uint64_t)(*data - '0');
		if (state.number > BULK_BYTES_MAX)
			return false;
		if (data < end && *data == '\r')
			data++;
		if (data == end)
			break;
		if (*data == '\n') {
			data++;
			state.in_header = false;
			if (state.arguments_left)
				state.skip_bytes = state.number + 2;
			else if ((state.arguments_left = (uint32_t)state.number) == 0)
				return false;
		} else if (*data < '0' || *data > '9') {
			return false;
		}
	}
	*saved = state;
	return true;
}

#endif
