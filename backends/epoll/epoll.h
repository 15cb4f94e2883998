/* SPDX-License-Identifier: MIT */
/*
 * The epoll engine's own structures and the few functions its files share. Layer: backends/epoll,
 * nobody else includes this but tests and the table of engines; every call is made on the reactor's
 * thread, except wake().
 *
 * The one idea: readiness is a private matter of this folder. An operation is on exactly one list,
 * and its state says which:
 *
 *	SUBMITTED  engine.submitted        the next poll() starts it
 *	WAITING    interest.waiting        its descriptor is not ready, as far as we know
 *	READY      engine.queue            a stream operation whose descriptor has more than one
 *	           turn's share of input
 *	DONE       engine.queue            its result is known and waits for room in poll()'s output
 *	OFFLOADED  the offload pool's      it blocks, so a thread does it
 */
#ifndef BACKENDS_EPOLL_H
#define BACKENDS_EPOLL_H

#include <sys/epoll.h>

#include <rota/backend.h>
#include <rota/offload.h>

extern const struct rota_backend_ops rota_backend_epoll;

/*
 * rota_op.state_; 0 is "not submitted". While an operation is attached, rota_op.index_ is the
 * descriptor it waits for.
 */
enum rota__epoll_state {
	ROTA__EPOLL_SUBMITTED = 1,
	ROTA__EPOLL_WAITING,
	ROTA__EPOLL_READY,
	ROTA__EPOLL_DONE, /* rota_op.generation_ holds the result */
	ROTA__EPOLL_OFFLOADED,
};

/* ---- interest: what the kernel watches for us on one descriptor ---- */

/* Bits of rota__epoll_interest.flags. */
#define ROTA__EPOLL_REGISTERED 1u /* an EPOLL_CTL_ADD succeeded, and nothing we saw has undone it */
#define ROTA__EPOLL_ONESHOT 2u    /* the last epoll_ctl asked for one event only */
/* an event said RDHUP, HUP or ERR: a short read does not mean drained */
#define ROTA__EPOLL_HANGUP 4u

struct rota__epoll_interest {
	struct rota_link waiting; /* operations in state WAITING, oldest first */
	uint32_t attached;        /* operations WAITING or READY */
	uint32_t ready;           /* of them, READY */
	/* goes with every event; one from an earlier file under this number differs */
	uint32_t generation;
	uint16_t events; /* armed in the kernel now: EPOLLIN …, without mode bits */
	uint16_t flags;
};

/* This is all that an idle connection costs here. */
_Static_assert(sizeof(struct rota__epoll_interest) <= 32, "interest has outgrown 32 bytes");

/* Descriptor -> interest, in chunks that never move (they hold list heads) and live until close. */
#define ROTA__EPOLL_CHUNK_INTERESTS 256u

struct rota__epoll_table {
	/* owned; NULL where no descriptor has been seen yet */
	struct rota__epoll_interest **chunks;
	uint32_t chunk_count;
};

/* ---- receive buffers ---- */

/*
 * A stack of free buffers: the one given back last is used first, while it is still in the cache.
 */
struct rota__epoll_pool {
	char *memory;
	uint16_t *free_ids; /* the first `free_count` are free */
	bool *lent;         /* by id: catches a buffer given back twice */
	size_t stride_bytes;
	uint32_t free_count;
	uint32_t count;
	uint32_t buffer_bytes;
};

/* ---- the engine ---- */

/* What a poll() looks at comes first, three cache lines, and with the counters another. */
struct rota__epoll {
	struct rota_backend backend;
	int epoll_fd;
	int wake_fd;           /* an eventfd, watched edge-triggered: it never has to be read */
	int pollable_fd;       /* an epoll instance with epoll_fd in it; -1 until it is asked for */
	bool edge;             /* option trigger=edge */
	bool try_first;        /* option try-first: a send is attempted before anything is armed */
	bool precise;          /* epoll_pwait2 is there: timeouts in nanoseconds */
	unsigned kernel_skips; /* poll() calls in a row that had results without asking epoll */
	/* waits in a row that brought an event of a descriptor's earlier file */
	unsigned stale_polls;

	/* The output of the poll() in progress. */
	struct rota_completion *out;
	unsigned out_count;
	unsigned out_max;
	unsigned late_count; /* of the output, what is no reason not to wait */

	struct rota_link submitted;
	struct rota_link queue; /* READY and DONE, first come first served */
	uint64_t lent;          /* operations between submit() and their terminal completion */

	struct rota__epoll_table table;
	struct rota__epoll_pool pool;
	struct epoll_event *events; /* owned, `events_max` of them */
	unsigned events_max;
	struct rota_offload_port port;
	struct rota_backend_stats stats ROTA_ALIGNED(ROTA_CACHE_LINE_BYTES);

	/* Written by other threads. */
	/* atomic: an event is on its way, another write adds nothing */
	ROTA_ALIGNED(ROTA_ISOLATION_BYTES) bool wake_pending;
	/* atomic: system calls made by wake() */
	uint64_t wake_writes;
};

#define EPOLL_LINE(field) (offsetof(struct rota__epoll, field) / ROTA_CACHE_LINE_BYTES)

_Static_assert(EPOLL_LINE(late_count) == 0 && EPOLL_LINE(table.chunk_count) == 1, "each poll()");
_Static_assert(EPOLL_LINE(events_max) == 2 && EPOLL_LINE(port.out_) == 2, "each poll()");
_Static_assert(EPOLL_LINE(stats.system_calls) == EPOLL_LINE(stats.wakes), "one line");

/* ---- interest.c ---- */

/* The interest in `fd`, or NULL if there never was any. */
static inline struct rota__epoll_interest *rota__epoll_find(const struct rota__epoll *engine,
							    int fd)
{
	uint32_t chunk = (uint32_t)fd / ROTA__EPOLL_CHUNK_INTERESTS;

	if (ROTA_UNLIKELY(chunk >= engine->table.chunk_count || !engine->table.chunks[chunk]))
		return NULL;
	return &engine->table.chunks[chunk][(uint32_t)fd % ROTA__EPOLL_CHUNK_INTERESTS];
}

/*
 * Make `op` wait for its events on `fd`. `saw_eagain`: a system call has just said not ready, so
 * the next readiness will be an edge. Returns 0, or negative errno with nothing changed: -EPERM is
 * what epoll says of files that are always ready.
 */
int rota__epoll_attach(struct rota__epoll *engine, struct rota_op *op, int fd, bool saw_eagain);

/*
 * Take a WAITING or READY operation off its descriptor; what the kernel watches is left alone (see
 * interest.c).
 */
void rota__epoll_detach(struct rota__epoll *engine, struct rota_op *op);

/* WAITING or READY becomes READY, at the queue's end; READY becomes WAITING. */
void rota__epoll_make_ready(struct rota__epoll *engine, struct rota_op *op);
void rota__epoll_make_waiting(struct rota__epoll *engine, struct rota_op *op);

/* `fd` is new or gone: the kernel watches nothing under this number any more. */
void rota__epoll_forget(struct rota__epoll *engine, int fd);

/*
 * Run what waits for `event`'s descriptor. Returns false if the event belongs to an earlier file
 * under that number.
 */
bool rota__epoll_dispatch(struct rota__epoll *engine, const struct epoll_event *event);

/*
 * A fresh epoll descriptor with only what is waited for. Returns 0, or negative errno with the old
 * one still in use.
 */
int rota__epoll_rebuild(struct rota__epoll *engine);

/* The contract's pollable(): a descriptor that stays when epoll_fd is replaced. */
int rota__epoll_pollable(struct rota__epoll *engine);

/* Watch the wake-up descriptor through `epoll_fd`. Returns 0 or negative errno. */
int rota__epoll_watch_wake(struct rota__epoll *engine, int epoll_fd);

void rota__epoll_table_fini(struct rota__epoll_table *table);

/* epoll_event.data of the wake-up descriptor; no descriptor and generation look like this. */
#define ROTA__EPOLL_WAKE_MARK UINT64_MAX

/* ---- ops.c ---- */

/* Start all SUBMITTED operations. */
void rota__epoll_start_submitted(struct rota__epoll *engine);

/*
 * A WAITING operation's descriptor has `events`. Returns false if a writer found no room: those
 * behind it must wait.
 */
bool rota__epoll_run(struct rota__epoll *engine, struct rota_op *op, uint32_t events);

/*
 * A RECEIVE's descriptor may be readable: read once. WAITING, or READY and already off the queue;
 * there is room for a completion.
 */
void rota__epoll_run_receive(struct rota__epoll *engine, struct rota_op *op);

/*
 * Take the next share of a READY operation, already off the queue; there is room for a completion.
 */
void rota__epoll_resume(struct rota__epoll *engine, struct rota_op *op);

/*
 * Terminal completion of an operation that is on no list: into the output if there is room, else
 * DONE.
 */
void rota__epoll_finish(struct rota__epoll *engine, struct rota_op *op, int32_t result);

/* What `op` waits for, as epoll bits without ERR and HUP. */
uint32_t rota__epoll_wanted(const struct rota_op *op);

/* ---- pool.c ---- */

/* Returns 0 or -ENOMEM. */
int rota__epoll_pool_init(struct rota__epoll_pool *pool, uint32_t count, uint32_t buffer_bytes);
void rota__epoll_pool_fini(struct rota__epoll_pool *pool);

static inline char *rota__epoll_pool_data(const struct rota__epoll_pool *pool, uint16_t id)
{
	return pool->memory + id * pool->stride_bytes;
}

/* A free buffer's id; the pool is not empty. */
static inline uint16_t rota__epoll_pool_acquire(struct rota__epoll_pool *pool)
{
	uint16_t id = pool->free_ids[--pool->free_count];

	pool->lent[id] = true;
	return id;
}

void rota__epoll_pool_release(struct rota__epoll_pool *pool, uint16_t id);

#endif /* BACKENDS_EPOLL_H */
