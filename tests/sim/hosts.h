/* SPDX-License-Identifier: MIT */
/*
 * A world with a server on one host and its clients on others, from the first boot to the last
 * program's end; and what servers and clients of tests are made of. Layer: tests. The test's thread
 * calls t_hosts_run; all else is for programs and tasks on the hosts.
 *
 * The one idea: a test says what the server's program is and what a client does. That the clients
 * find the server, and that it is told to stop when the last of them is done, is the same for all.
 */
#ifndef TESTS_SIM_HOSTS_H
#define TESTS_SIM_HOSTS_H

#include <rota/rota.h>

#include "backends/sim/sim.h"

#define T_SERVER 1 /* the server's host */
#define T_CLIENT 2 /* the first of its clients' */
#define T_PORT 7

/* What runs where. */
struct t_hosts {
	rota_sim_program_fn serve; /* calls t_hosts_serve, or a main() that comes to it */
	rota_task_fn client;       /* the first task of each host of clients */
	unsigned clients_count;    /* such hosts */
	/* NULL, or called before the first boot; returns 0 or negative errno */
	int (*prepare)(struct rota_sim_world *world);
};

/* Of the run that goes on; no host's memory. */
struct t_hosts_run {
	struct rota_sim_world *world;
	struct rota_server *server; /* NULL: it is not ready, or has crashed */
	unsigned boots;             /* of the server's program */
	unsigned clients_left;      /* hosts */
};
extern struct t_hosts_run t_hosts;

struct t_outcome {
	int status; /* 0: the run has ended. Negative: there was no world to run in */
	uint64_t hash;
	uint64_t attempts;
	int results[ROTA_SIM_HOSTS_MAX]; /* as rota_sim_host_result */
};

/*
 * Run them all in a new world until all programs have ended, which they must (checked). Memory or
 * operations may fail anywhere in it.
 */
struct t_outcome t_hosts_run(const struct t_hosts *hosts, const struct rota_sim_options *options);

/* Start the server's program again, which has ended. Returns 0 or negative errno. */
int t_hosts_boot_server(void);

/*
 * For `serve`: rota_serve on all addresses with two reactors of the simulator and few, small
 * receive buffers. Sets `options` accordingly.
 */
int t_hosts_serve(const struct rota_service *service, struct rota_server_options *options);

/* The same for a handler alone, on T_PORT. */
int t_hosts_serve_handler(rota_conn_fn handler);

/* A handler that sends back what it reads. */
int64_t t_echo(struct rota_conn *conn, void *arg);

/* Connect to the server, within a second. NULL: it does not work out. */
struct rota_conn *t_arrive(uint16_t port);

/* Read one line into `line` without its CR LF, as a string. False: the connection broke off. */
bool t_hear_line(struct rota_conn *conn, char *line, size_t line_bytes);

/* The next number below `bound` of the sequence whose state is `random`. */
uint32_t t_draw_from(uint64_t *random, uint32_t bound);

/* A log sink that says nothing, for runs in which everything fails. */
void t_say_nothing(enum rota_log_level level, const char *line, void *arg);

#endif /* TESTS_SIM_HOSTS_H */
