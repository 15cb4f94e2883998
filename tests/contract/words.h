/* SPDX-License-Identifier: MIT */
/*
 * A protocol of lines for tests of sessions: the word says what the handler does (see handle() in
 * words.c), so that a client can bring the server into any state from outside. Layer: tests; tasks
 * on the scenario's reactor.
 */
#ifndef TESTS_WORDS_H
#define TESTS_WORDS_H

#include "tests/contract/net_bench.h"

/* What handlers did since the last words_serve. */
extern struct words_seen {
	_Atomic uint32_t opened, closed, waiting, cancelled, gone, finished, calls;
	_Atomic int32_t reason; /* of the last on_close */
} words_seen;

/* Serve; `how` says what on_open and on_bytes do (see there), "" for nothing special. */
void words_serve(struct t_net *net, const char *how);
void words_serve_with(struct t_net *net, const char *how, const struct rota_conn_limits *limits);

/* Let everything go on that waits on the server's reactor. Returns how many that were. */
int64_t words_release(struct t_net *net);

/* For rota_call_on the server's reactor: end the session that was opened last. */
int64_t words_finish_last(void *arg);
int64_t words_abort_last(void *arg);

#endif /* TESTS_WORDS_H */
