/* SPDX-License-Identifier: MIT */
/*
 * What the simulator's tests share: a world with one engine, and operations that remember what
 * became of them.
 */
#ifndef T_SIM_H
#define T_SIM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "backends/sim/sim.h"

#define T_RESULTS_MAX 512
#define T_DATA_BYTES 262144

struct t_sim {
	struct rota_sim_options options;
	struct rota_sim_world *world;
	struct rota_backend *engine;
};

struct t_op {
	struct rota_op op;
	struct rota_backend *engine;
	int results[T_RESULTS_MAX]; /* of each completion; the last one is counted on */
	unsigned count;
	bool has_ended;
	bool keeps_buffers; /* does not give them back */
	uint16_t buffers[T_RESULTS_MAX];
	unsigned buffers_count;
	char data[T_DATA_BYTES]; /* all that was received */
	size_t data_bytes;
};

/* A world made from sim->options (set by t_sim_init) with one engine. */
void t_sim_init(struct t_sim *sim, uint64_t seed);
void t_sim_open(struct t_sim *sim);
/* Closes both; asserts that nothing was left open. */
void t_sim_close(struct t_sim *sim);

/* One more engine in the world. */
struct rota_backend *t_engine(struct t_sim *sim);
/* The same on this host. */
struct rota_backend *t_engine_at(struct t_sim *sim, unsigned host);

/* Poll once, without waiting, and tell the operations. Returns the completions. */
unsigned t_turn(struct rota_backend *engine);

/* Start an operation; owned by the caller: free(). */
struct t_op *t_start(struct rota_backend *engine, enum rota_op_kind kind, int fd);
struct t_op *t_start_send(struct rota_backend *engine, int fd, const void *data, size_t bytes);
struct t_op *t_start_message(struct rota_backend *engine, int fd, const struct msghdr *message);
struct t_op *t_start_connect(struct rota_backend *engine, const struct rota_address *address);
struct t_op *t_start_poll(struct rota_backend *engine, int fd, uint32_t events);

/* Poll, letting time pass, until it has ended. Returns its last result and frees it. */
int t_end(struct t_op *op);
/* Cancel, then the same. */
int t_cancel(struct t_op *op);

/* Whole operations: start, then t_end. */
int t_send(struct rota_backend *engine, int fd, const void *data, size_t bytes);
int t_connect(struct rota_backend *engine, const struct rota_address *address);
int t_close(struct rota_backend *engine, int fd);
/*
 * One receive completion: bytes, 0 at the end, -EAGAIN when nothing is there, or the error. `out`
 * may be NULL.
 */
int t_receive(struct rota_backend *engine, int fd, char *out);
/*
 * Receive all there is. Returns the end's result (-EAGAIN: there is none yet) and the bytes before
 * it in `*bytes`.
 */
int t_drain(struct rota_backend *engine, int fd, size_t *bytes);
/* The next connection; -EAGAIN when there is none. */
int t_accept(struct rota_backend *engine, int listener);
/* Events of `fd` now. */
int t_events(struct rota_backend *engine, int fd);

int t_listen(struct rota_backend *engine, const struct rota_address *address, int backlog);
struct rota_address t_tcp(const char *host, uint16_t port);
struct rota_address t_local(const char *path);
/* A connected pair through a listener of its own, which is closed again. */
void t_pair(struct rota_backend *engine, int family, int *client, int *server);

/* The log lines since t_log_catch(), as one text. */
void t_log_catch(void);
const char *t_log_text(void);
void t_log_release(void);

#endif /* T_SIM_H */
