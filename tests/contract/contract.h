/* SPDX-License-Identifier: MIT */
/*
 * The engine contract's test bench: one engine instance driven by hand, and operations that watch
 * what happens to them. Layer: tests. One thread, except where a test starts another for wake().
 *
 * The one idea: every operation and every payload is scribbled over (and poisoned under
 * AddressSanitizer) the moment its terminal completion has been delivered, and stays so until the
 * test's end, where the scribble must be intact. So an engine that touches what it has given back,
 * or completes something twice, fails in every test and not only in one.
 */
#ifndef TESTS_CONTRACT_H
#define TESTS_CONTRACT_H

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
/* cmocka.h needs those of the C library above. */
#include <cmocka.h>

#include <rota/backend.h>
#include <rota/base.h>
#include <rota/buffer.h>
#include <rota/error.h>

/* One line of the table of engines. */
struct t_row {
	const struct rota_backend_ops *ops;
	const char *options;
};

/* One test. `options` are appended to the row's. */
struct t_test {
	const char *name;
	void (*run)(void **state);
	const char *options;
	bool needs_kernel; /* real descriptors; skipped where the kernel is simulated, with `why` */
	const char *why;
};

#define T_TEST(function)                                                                           \
	{                                                                                          \
		.name = #function, .run = function                                                 \
	}
#define T_KERNEL_TEST(function, reason)                                                            \
	{                                                                                          \
		.name = #function, .run = function, .needs_kernel = true, .why = reason            \
	}

/* Topics, each a file: an array that ends with a NULL name. */
extern const struct t_test t_cancel_tests[];
extern const struct t_test t_connect_tests[];
extern const struct t_test t_limit_tests[];
extern const struct t_test t_poll_tests[];
extern const struct t_test t_receive_tests[];
extern const struct t_test t_send_tests[];
extern const struct t_test t_socket_tests[];
extern const struct t_test t_turn_tests[];
extern const struct t_test t_work_tests[];

/* ---- the bench ---- */

struct t_world {
	struct rota_backend *backend;
	const struct rota_backend_ops *ops;
	const struct t_test *test;
	bool simulated;
	unsigned out_max; /* completions asked of each poll(); the tests may lower it */
	int descriptors_before;
	struct rlimit descriptor_limit; /* put back after the test */
	struct rota_link all;           /* every operation of this test */
	struct rota_link lent_memory;
	struct rota_link lent_ops; /* those without terminal completion */
	unsigned buffers_held;
	/* a listener for t_pair, made on first use */
	int listener;
	struct rota_address address;
	struct t_op *accepting;
};

struct t_op {
	union {
		struct {
			char before_[offsetof(struct rota_file_op, op)];
			/* file.op; scribbled over after its terminal completion */
			struct rota_op op;
		};
		struct rota_file_op file;
	};
	struct t_world *world;
	struct rota_link link;      /* in world->all */
	struct rota_link lent_link; /* in world->lent_ops until its terminal completion */
	struct t_memory *memory;    /* scribbled over as well; may be NULL */
	unsigned completions;
	bool done;
	/* by t_ask_cancel; until then receives are submitted again, see on_completion */
	bool cancelled;
	bool hold;               /* keep received buffers; -ENOBUFS is then the end */
	int32_t result;          /* of the last completion */
	struct rota_buffer data; /* what was received */
	int fds[1024];           /* accepted and not yet taken */
	unsigned fd_count;
	struct {
		uint16_t id;
		const char *data;
		int32_t bytes;
	} held[64];
	unsigned held_count;
};

/* Memory that is lent to the engine with an operation. */
struct t_memory {
	struct rota_link link;
	size_t bytes;
	bool scribbled;
	_Alignas(max_align_t) char data[];
};

/* ---- operations ---- */

/* Each makes an operation and submits it. */
struct t_op *t_accept(struct t_world *world, int fd);
struct t_op *t_receive(struct t_world *world, int fd);
struct t_op *t_send(struct t_world *world, int fd, const void *data, size_t bytes);
/* Of which nobody waits for the end. */
struct t_op *t_send_patiently(struct t_world *world, int fd, const void *data, size_t bytes);
struct t_op *t_send_pieces(struct t_world *world, int fd, const void *data, size_t bytes,
			   int pieces);
struct t_op *t_connect(struct t_world *world, const struct rota_address *address);
struct t_op *t_poll_op(struct t_world *world, int fd, uint32_t events);
struct t_op *t_call(struct t_world *world, int32_t (*fn)(struct rota_op *op));
/* Copies `file`, but for op.complete; what it names stays the test's. */
struct t_op *t_file(struct t_world *world, const struct rota_file_op *file);
/* As the contract wants it: fails the test while another operation on `fd` is lent. */
struct t_op *t_close_op(struct t_world *world, int fd);

/* ---- turns ---- */

/*
 * One poll() and its completions, waiting at most `wait_ns`. Returns poll's count, never an error.
 */
int t_turn(struct t_world *world, int64_t wait_ns);

/* A few turns that don't wait: whatever is going to happen by itself has happened. */
void t_settle(struct t_world *world);

/* Turn until `op` has ended; returns its result. Fails the test when that takes too long. */
int32_t t_finish(struct t_op *op);

/* Turn until `op` has had `completions`. */
void t_until_completions(struct t_op *op, unsigned completions);

/* Turn until `op` has received `bytes` in all or has ended. */
void t_until_received(struct t_op *op, size_t bytes);

/* cancel(), then finish. */
int32_t t_cancel(struct t_op *op);

/*
 * The same for a send on `fd` whose peer may never read: where that keeps it lent, the connection
 * is cut off.
 */
int32_t t_cancel_send(struct t_op *op, int fd);

/* cancel() alone; nothing when it has ended already. */
void t_ask_cancel(struct t_op *op);

/* Give back all buffers `op` holds. */
void t_return_held(struct t_op *op);

/* ---- shorthands ---- */

/* A connected pair by way of the engine itself: `*client` connected, `*server` accepted. */
void t_pair(struct t_world *world, int *client, int *server);

/* Listen on a free loopback port; `*address` is where. */
int t_listen(struct t_world *world, struct rota_address *address, int backlog);

/* Close through the engine. */
void t_close(struct t_world *world, int fd);

/* Send all of it, in as many operations as it takes: any send may take less than it was given. */
void t_send_all(struct t_world *world, int fd, const void *data, size_t bytes);

/* Finish `op`, a send of `data`/`bytes` on `fd`, and send what it left over. */
void t_finish_send(struct t_op *op, int fd, const void *data, size_t bytes);

/* Receive on `fd` until `bytes` have come, which are compared; the operation is cancelled. */
void t_expect(struct t_world *world, int fd, const void *data, size_t bytes);

/* `bytes` bytes of a pattern that no shift maps to itself; static, at most T_PATTERN_BYTES. */
#define T_PATTERN_BYTES (4u << 20)
const char *t_pattern(void);

struct rota_backend_stats t_stats(struct t_world *world);

/* Open descriptors of this process. */
int t_descriptor_count(void);

/* Print why and skip. */
#define t_skip(reason)                                                                             \
	do {                                                                                       \
		print_message("skipped: %s\n", reason);                                            \
		skip();                                                                            \
	} while (0)

/* cmocka's fixture functions; the initial state is a struct t_case. */
struct t_case {
	const struct t_row *row;
	const struct t_test *test;
	const char *more_options; /* from the command line; NULL: none */
};

int t_world_open(void **state);
int t_world_close(void **state);

#endif /* TESTS_CONTRACT_H */
