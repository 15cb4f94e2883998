/* SPDX-License-Identifier: MIT */
/*
 * rota-kv as it is as the program of a host, and clients that write down what they call and what
 * they are answered, for the oracle. Layer: tests. One run at a time.
 *
 * The one idea: requests are drawn, several in one write and of several keys, and what is not
 * idempotent is among them. A connection that breaks off leaves calls without an answer behind.
 */
#ifndef TESTS_SIM_KV_PARTY_H
#define TESTS_SIM_KV_PARTY_H

#include "tests/sim/hosts.h"
#include "tests/sim/oracle.h"

#define T_KV_PORT 6379

/* What has been called; no host's memory. */
struct t_kv_history {
	struct t_call calls[T_CALLS_MAX];
	unsigned count;
	unsigned lines;  /* connections */
	uint32_t values; /* handed out */
	unsigned appends;
	bool is_serving; /* or would be, had it not crashed */
	bool may_refuse; /* for lack of memory; who plans that otherwise says so here */
	unsigned crashes;
	/* of all runs */
	uint64_t answered, unanswered, refused, reads_of_values, undecided;
};
extern struct t_kv_history t_kv;

/* The next run begins: only what is of all runs stays. */
void t_kv_begin(void);

/* The server's program; `start` NULL or called in a task on reactor 0 once the store is there. */
int t_kv_serve(rota_task_fn start);

/* A client's connection; all zero: there is none. */
struct t_kv_line {
	struct rota_conn *conn;
	unsigned number;
	rota_ns opened;
};

/* Connect, or say that it does not work out; and close it if it is open. */
bool t_kv_arrive(struct t_kv_line *line);
void t_kv_leave(struct t_kv_line *line);

/*
 * Write some requests and read the answers, all within a second. Returns false when that did not
 * work out, with the connection closed.
 */
bool t_kv_converse(struct t_kv_line *line, uint64_t *random);

/* Checks that the answers could be a correct server's; or counts that it cannot tell. */
void t_kv_judge(void);

#endif /* TESTS_SIM_KV_PARTY_H */
