/* SPDX-License-Identifier: MIT */
/*
 * The network's test bench: real reactors on every engine, a server on the last of them, clients as
 * tasks on the first. Layer: tests. Scenarios and everything they call run in tasks, where cmocka's
 * assertions may not jump, so they use the CHECK macros, which count.
 *
 * The one idea: a row is an engine, its options and a number of reactors; every scenario runs on
 * every row, in a world of its own, and leaves nothing behind: no descriptor, no block of memory,
 * no task.
 */
#ifndef TESTS_NET_BENCH_H
#define TESTS_NET_BENCH_H

#include <rota/rota.h>

#define T_REACTORS_MAX 2

struct t_row {
	const struct rota_backend_ops *engine;
	const char *options;
	unsigned reactors;
};

struct t_net {
	const struct t_row *row;
	struct rota_reactor *reactors[T_REACTORS_MAX];
	unsigned reactors_count;
	bool is_simulated;
	bool is_rough;               /* the simulator delays, cuts and reorders */
	struct rota_reactor *server; /* where t_serve listens: the last one */
	struct rota_address address; /* of the last t_serve */
	void (*scenario)(struct t_net *net);
	struct rota_message begin;
};

struct t_scenario {
	const char *name;
	void (*run)(struct t_net *net);
	/* instead of the row's; NULL: the row's */
	const char *options;
	bool needs_kernel; /* skipped on the simulator */
	bool needs_debug;  /* skipped in builds without ROTA_DEBUG */
};

#define SCENARIO(function)                                                                         \
	{                                                                                          \
		.name = #function, .run = function                                                 \
	}

/* Run `scenarios` (ended by a NULL name) on the rows. Arguments: [ROW [SCENARIO]] substrings. */
int t_net_main(const struct t_scenario *scenarios, int argc, char **argv);

/* Run one scenario on a row, as above but within the caller's allocator. Returns failures. */
unsigned t_net_run(const struct t_row *row, const char *options, void (*run)(struct t_net *net));

/* ---- checking, in any task ---- */

#define CHECK_EQUAL(got, expected)                                                                 \
	t_check_equal((int64_t)(got), (int64_t)(expected), #got, __FILE__, __LINE__)
#define CHECK_WITHIN(got, least, most)                                                             \
	t_check_within((int64_t)(got), (int64_t)(least), (int64_t)(most), #got, __FILE__, __LINE__)
#define CHECK(condition) t_check_equal((condition) ? 1 : 0, 1, #condition, __FILE__, __LINE__)

/* Checks that have failed so far. */
unsigned t_failures(void);

bool t_check_equal(int64_t got, int64_t expected, const char *what, const char *file, int line);
bool t_check_within(int64_t got, int64_t least, int64_t most, const char *what, const char *file,
		    int line);

/* ---- the server ---- */

/*
 * Listen on the server's reactor with `options`, whose address is filled in; net->address is where.
 * Ends with the reactor. Returns the listener.
 */
struct rota_listener *t_serve(struct t_net *net, const struct rota_listener_options *options);
struct rota_listener *t_serve_on(struct t_net *net, struct rota_reactor *reactor,
				 const struct rota_listener_options *options);

/* The server's counters. */
struct rota_net_stats t_server_stats(struct t_net *net);

/* Wait until *counter is at least `least`. */
void t_until(const _Atomic uint32_t *counter, uint32_t least);

/* Wait until the server has as many connections. */
void t_until_connections(struct t_net *net, uint64_t count);

/* ---- clients ---- */

struct rota_conn *t_connect(struct t_net *net);
struct rota_conn *t_connect_limited(struct t_net *net, const struct rota_conn_limits *limits);
/* Write a string. */
void t_say(struct rota_conn *conn, const char *text);
/* Read exactly `text`. */
bool t_hear_at(struct rota_conn *conn, const char *text, const char *file, int line);
#define HEAR(conn, text) t_hear_at((conn), (text), __FILE__, __LINE__)
/* Read to the end, dropping it. Returns the bytes read, or the negative errno it ended with. */
int64_t t_drain(struct rota_conn *conn);
/* The next read says that the stream is over. */
#define HEAR_END(conn) CHECK_EQUAL(t_drain(conn), 0)

/*
 * Clients without a connection object: they read nothing unless told, so that closing one with
 * unread bytes resets the connection on every engine.
 */
int t_raw_connect(struct t_net *net);
void t_raw_say(int fd, const char *text);
/* Send until `bytes` have been taken or an error comes; returns what was taken. */
size_t t_raw_send(int fd, const void *data, size_t bytes);
void t_raw_close(int fd);
void t_raw_shutdown(int fd);

/* Byte `at` of a pattern that no shift by less than 64 KiB maps to itself. */
static inline char t_pattern_at(uint64_t at)
{
	return (char)((at * 2654435761u >> 13) ^ (at >> 3));
}

#endif /* TESTS_NET_BENCH_H */
