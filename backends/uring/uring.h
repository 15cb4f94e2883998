/* SPDX-License-Identifier: MIT */
/*
 * The io_uring engine's own view of itself, shared by the files of this folder. Everything runs on
 * the reactor's thread but probing (any thread) and wake().
 *
 * The one idea: an operation is one SQE written at submit() and one or more CQEs read in poll();
 * everything in between leaves and arrives with one io_uring_enter per turn. Whatever finds no room
 * in the submission queue waits on a list of this engine (`unsent`, `cancels`) and goes out with a
 * later turn, so nothing here ever fails for want of a slot.
 *
 *   options.c  "key=value" text to struct uring_options     probe.c        what this kernel can do
 *   engine.c   the contract's table, open, close, poll,     ring.c         set-up, entering the
 *              wake                                                        kernel
 *   table.c    gives each operation its user_data           ops.c          requests: SQEs, submit,
 *   buffers.c  the provided-buffer ring                                    cancel
 *   files.c    requests for files                           completions.c  what CQEs mean
 *   trials.c   the self-tests of the probe, variant_trials.c those of the variants
 *   receive.c, send.c, direct.c   variants, off by default
 */
#ifndef ROTA_BACKENDS_URING_URING_H
#define ROTA_BACKENDS_URING_URING_H

#include <stdatomic.h>
#include <string.h>

#include <rota/backend.h>
#include <rota/offload.h>

#include "backends/uring/compat.h"

extern const struct rota_backend_ops rota_backend_uring;

/* ---- options ---- */

#define URING_KERNEL(major, minor) ((uint32_t)(major) << 16 | (uint32_t)(minor))

/* Who runs the part of a completion that must run in our context, and when. */
enum uring_taskrun {
	URING_TASKRUN_DEFER, /* we, only when we enter to collect (DEFER_TASKRUN) */
	URING_TASKRUN_COOP,  /* we, whenever we are in the kernel anyway (COOP_TASKRUN) */
	URING_TASKRUN_NONE,  /* we, interrupted for it */
};

struct uring_options {
	uint32_t sq_entries;
	uint32_t cq_entries;
	uint32_t buffer_count; /* a power of two, <= URING_BUFFER_COUNT_MAX */
	uint32_t buffer_bytes;
	uint32_t min_wait_us; /* gather completions this long; 0: return with the first */
	uint32_t
		/* for tests: behave as on this kernel, URING_KERNEL(); 0: as on the real one */
		pretend_kernel;
	uint32_t taskrun; /* enum uring_taskrun */
	bool multishot;
	bool registered_ring;
	bool sqpoll; /* `taskrun` has no meaning then: the kernel's thread runs all */
	bool iowait;
	/* Variants, all off by default: docs/design/0022-uring-variants.md. */
	bool incremental;         /* a receive buffer is filled bit by bit, not once */
	bool bundles;             /* a receive may fill several buffers */
	bool direct;              /* receives and sends name a slot, not a descriptor */
	bool send_skip;           /* a send that was taken whole has no CQE */
	uint32_t zero_copy_bytes; /* sends of so many and more are not copied; 0: all are */
	uint32_t busy_poll_us;    /* look for completions so long before sleeping */
};

#define URING_BUFFER_COUNT_MAX 32768u /* the kernel's limit for a buffer ring */

/*
 * Parse `text` (NULL: all defaults). Returns 0, or -EINVAL with a line in `error` that names the
 * option.
 */
ROTA_MUST_USE int uring__options_parse(struct uring_options *options, const char *text,
				       char error[ROTA_BACKEND_TEXT_BYTES]);

/* ---- features ---- */

enum uring_feature {
	/* the floor: without these the engine does not open */
	URING_BUFFER_RING,
	URING_MULTISHOT_ACCEPT,
	URING_MULTISHOT_RECEIVE,
	/* each is used if it is there and wanted */
	URING_REGISTERED_RING,
	URING_ABSOLUTE_TIMERS,
	URING_NO_IOWAIT,
	URING_MIN_WAIT,
	URING_TRUNCATE,
	/* variants */
	URING_INCREMENTAL,
	URING_BUNDLES,
	URING_DIRECT,
	URING_ZERO_COPY,
	URING_SEND_SKIP,
	URING_NAPI,
	URING_FEATURE_COUNT
};

#define URING_FEATURE_BIT(feature) (1u << (feature))

/*
 * Try on a ring of its own what the kernel can do, as far as `options` ask for it. Writes the line
 * for probe() and, on success, the usable features to `*features`. Returns 0 or the negative errno
 * that stands in the way. Any thread.
 */
ROTA_MUST_USE int uring__probe(const struct uring_options *options, uint32_t *features,
			       char text[ROTA_BACKEND_TEXT_BYTES]);

/* What list_features() of the contract does, with parsed options. */
ROTA_MUST_USE int uring__list_features(const struct uring_options *options,
				       struct rota_backend_feature *out, unsigned max);

/* The set-up flags these options mean. */
uint32_t uring__setup_flags(const struct uring_options *options);

/* ---- the operation table ---- */

#define URING_ENTRIES_MIN 1024u
#define URING_INDEX_NONE UINT32_MAX
#define URING_GENERATION_MAX (UINT32_MAX / 2)
#define URING_GENERATION_FREE UINT32_MAX /* no operation's */

/* user_data of a request of our own: this index, and a tag where a generation would be. */
#define URING_INDEX_INTERNAL UINT32_MAX
#define URING_TAG_WAKE 0u
#define URING_TAG_CANCEL 1u

struct uring_entry {
	struct rota_op *op;  /* NULL: free */
	uint32_t generation; /* of the operation in it; URING_GENERATION_FREE: none is */
	union {
		uint32_t next_free; /* while it is free */
		int32_t result;     /* URING_OP_TAKEN: what the send came to */
		uint32_t sq_end;    /* URING_OP_SILENT: the SQ's tail behind its request */
	};
};

/*
 * Doubles when it is full and is never given back before close. Entries move then: nobody keeps a
 * pointer to one over a submission. A million take 3 ms to move, once.
 */
struct uring_table {
	struct uring_entry *entries; /* owned */
	uint32_t entries_count;
	uint32_t first_free;      /* last released, first taken: it is still in the cache */
	uint32_t last_generation; /* of later operations higher, wraps after 2^31 */
};

/* rota_op.state_ */
enum uring_op_state {
	URING_OP_IDLE,      /* not ours */
	URING_OP_SENT,      /* its SQE is written; a CQE will follow */
	URING_OP_UNSENT,    /* on `unsent`: found no room in the SQ */
	URING_OP_OFFLOADED, /* with the offload pool: there is no request for it */
	URING_OP_STRANDED   /* on `finished`: has a result (in generation_), but never had a CQE */
};

/* rota_op.flags_ */
#define URING_OP_CANCELLED 1u      /* cancel() was called: do not re-arm */
#define URING_OP_CANCEL_QUEUED 2u  /* on `cancels`: the cancel request waits for its turn */
#define URING_OP_CANCEL_SENT 4u    /* counted in `cancels_sent` */
#define URING_OP_POLL_MULTISHOT 8u /* poll: the kernel had reported what nobody asked for */
#define URING_OP_POLL_ANSWERED 16u /* poll: `events` is the result; the multishot is ending */
#define URING_OP_HOLDS_SLOT 32u    /* receive: counted among its descriptor's users, direct.c */
#define URING_OP_DIRECT 64u        /* send: its request names a slot */
#define URING_OP_ORDINARY 128u     /* send: not again by a slot, which went away before it left */
#define URING_OP_ZERO_COPY 256u    /* send: the kernel works with our memory until it says so */
#define URING_OP_TAKEN 512u        /* ... and what it came to is known */
#define URING_OP_COPIES 1024u      /* send: the kernel cannot do without copying here */
#define URING_OP_SILENT 2048u      /* send: on `silent`; no CQE means that all was sent */
#define URING_OP_WAITS 4096u       /* send: there was no room, so this time it waits for it */

/* ---- receive buffers ---- */

struct uring_buffers {
	/* a cache line: what each receive, and each enter, looks at */
	struct io_uring_buf_ring *ring; /* inside `memory` */
	char *data;                     /* inside `memory`: see uring__buffer_data */
	size_t stride_bytes;
	uint32_t *views; /* owned; of each buffer: in how many completions the receiver has it */
	uint16_t *spare; /* owned; who has the others but the kernel: nobody. A stack. */
	uint32_t spare_count;
	uint32_t count;
	uint32_t lent_count; /* with views */
	uint32_t shared;     /* lent, and the kernel goes on to fill the rest */
	uint32_t stock;      /* so many are with the kernel when it is entered, if there are */
	uint32_t taken;      /* by completions since the last enter */

	uint32_t taken_max; /* the most between two enters, and over how many, for `stock` */
	uint32_t enters;    /* ... before which some were taken */
	uint32_t bytes;     /* of one */
	/* incremental: owned; how much of each has been filled, or URING_BUFFER_LEFT */
	uint32_t *filled;
	uint16_t *places; /* bundles: owned; where in the ring each was put last */
	void *memory;     /* owned */
	bool registered;
	bool under_memcheck; /* must be told what the kernel wrote */
} ROTA_ALIGNED(ROTA_CACHE_LINE_BYTES);

#define URING_BUFFER_GROUP 0
#define URING_BUFFER_LEFT UINT32_MAX /* not with the kernel */

/* ---- slots for descriptors ---- */

/* Slot N is for descriptor N, and holds it while users[N]. */
struct uring_direct {
	uint32_t *users; /* owned; receives in flight; NULL: there are no slots */
	uint32_t count;
};

/* ---- the engine ---- */

/*
 * What a poll() looks at comes first: its own line, that of the lists, four of the ring and the
 * table, the buffers', and the counters'.
 */
struct uring_engine {
	struct rota_backend base;
	uint32_t features;
	uint32_t enter_flags;  /* of every io_uring_enter */
	uint32_t wait_count;   /* completions to wait for: 1, or many with min_wait_us */
	uint32_t cancels_sent; /* cancel requests whose operation has not ended yet */
	uint32_t submitted;    /* SQEs that the last enter took */
	bool ring_open;
	bool wake_unarmed;   /* the poll on wake_fd has no SQE yet */
	bool backlogged;     /* `unsent`, `cancels` or wake_unarmed wants attention */
	bool adapts_sends;   /* direct or zero-copy */
	bool skips_sends;    /* patient sends have a CQE only if not all was sent */
	bool shares_buffers; /* incremental or bundles */
	uint32_t told_bytes; /* bundles: of the first CQE, told in earlier completions */
	uint32_t told_place; /* ... and where in the buffer ring the rest begins */
	rota_ns busy_poll_ns;
	/* a cache line: what is nearly always empty */
	struct rota_link unsent; /* operations without an SQE, in order */
	/* bundles: receives that had emptied the ring; they begin again behind the others */
	struct rota_link emptied;
	struct rota_link finished; /* operations that ended without a CQE, in order */
	struct rota_link silent;   /* sends that have a CQE only if not all was sent, in order */

	struct io_uring ring;
	struct uring_table table;
	struct rota_offload_port port;
	struct uring_buffers buffers;
	struct rota_backend_stats stats ROTA_ALIGNED(ROTA_CACHE_LINE_BYTES);
	struct rota_link cancels; /* operations whose cancel request has no SQE, as asked */
	struct uring_direct direct;
	struct uring_options options;
	/* Other threads write from here on: on cache lines of their own. */
	ROTA_ALIGNED(ROTA_ISOLATION_BYTES)
	atomic_bool wake_pending; /* written to wake_fd, not yet seen */
	_Atomic uint64_t wake_writes;
	int wake_fd;     /* read-only after open */
	int signal_fd;   /* an eventfd that the ring signals; -1 without pollable_fd */
	int pollable_fd; /* an epoll instance with both in it; -1 until it is asked for */
};

#define URING_LINE(field) (offsetof(struct uring_engine, field) / ROTA_CACHE_LINE_BYTES)

_Static_assert(URING_LINE(busy_poll_ns) == 0, "the engine's own");
_Static_assert(URING_LINE(unsent) == 1 && URING_LINE(silent) == 1, "nearly always empty");
_Static_assert(URING_LINE(stats.system_calls) == URING_LINE(stats.wakes), "one line");

static inline struct uring_engine *uring__engine(struct rota_backend *backend)
{
	return ROTA_CONTAINER_OF(backend, struct uring_engine, base);
}

/* ring.c */

/* io_uring_queue_init_params and io_uring_queue_exit; every ring comes and goes through these. */
ROTA_MUST_USE int uring__ring_map(struct io_uring *ring, unsigned entries,
				  struct io_uring_params *parameters);
void uring__ring_unmap(struct io_uring *ring);

ROTA_MUST_USE int uring__ring_open(struct uring_engine *engine);
void uring__ring_close(struct uring_engine *engine);

/*
 * Hand the written SQEs to the kernel and, with `wait_count` or `collect`, take in completions.
 * Returns 0, also when nothing came for a reason that will pass; negative errno when the ring is
 * broken.
 */
ROTA_MUST_USE int uring__enter(struct uring_engine *engine, bool collect, unsigned wait_count,
			       rota_ns deadline);

/*
 * As uring__next_sqe, for a full queue: flush first, without waiting. NULL when that made no room.
 */
struct io_uring_sqe *uring__next_sqe_flushed(struct uring_engine *engine);

/* SQEs written and not yet taken by the kernel. */
static inline unsigned uring__sq_pending(const struct uring_engine *engine)
{
	return engine->ring.sq.sqe_tail - io_uring_smp_load_acquire(engine->ring.sq.khead);
}

static inline unsigned uring__cq_ready(const struct uring_engine *engine)
{
	return io_uring_smp_load_acquire(engine->ring.cq.ktail) - *engine->ring.cq.khead;
}

/*
 * The kernel has completions which are not in the queue: work of ours to run, or kept aside because
 * the queue was full.
 */
static inline bool uring__needs_collecting(const struct uring_engine *engine)
{
	return IO_URING_READ_ONCE(*engine->ring.sq.kflags) &
	       (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

/*
 * The next SQE, zeroed, or NULL when the queue is full. It counts as written: fill it before
 * anything else happens.
 */
static inline struct io_uring_sqe *uring__next_sqe(struct uring_engine *engine)
{
	struct io_uring_sq *sq = &engine->ring.sq;
	struct io_uring_sqe *sqe;

	if (ROTA_UNLIKELY(uring__sq_pending(engine) >= sq->ring_entries))
		return NULL;
	sqe = &sq->sqes[sq->sqe_tail & sq->ring_mask];
	sq->sqe_tail++;
	memset(sqe, 0, sizeof(*sqe));
	return sqe;
}

/*
 * Busy polling: look for completions until `deadline`, at most busy_poll_ns. Returns as
 * uring__enter.
 */
ROTA_MUST_USE int uring__spin(struct uring_engine *engine, rota_ns deadline);

/* buffers.c */

ROTA_MUST_USE int uring__buffers_open(struct uring_engine *engine);
void uring__buffers_close(struct uring_engine *engine);

static inline char *uring__buffer_data(const struct uring_buffers *buffers, uint16_t buffer)
{
	return buffers->data + buffer * buffers->stride_bytes;
}

/*
 * A completion brought `bytes` in `buffer`, which is neither incremental nor one of several:
 * returns where they are; the buffer is lent to the receiver.
 */
static inline char *uring__buffer_take(struct uring_buffers *buffers, uint16_t buffer,
				       uint32_t bytes)
{
	char *data = uring__buffer_data(buffers, buffer);

	ROTA_DCHECK(buffer < buffers->count);
	ROTA_DCHECK(!buffers->views[buffer]);
	buffers->views[buffer] = 1;
	buffers->lent_count++;
	buffers->taken++;
	if (ROTA_UNLIKELY(buffers->under_memcheck))
		uring__kernel_wrote(data, bytes);
	return data;
}

/*
 * The same of one that the kernel may go on to fill (`goes_on`) behind these bytes. Whoever takes
 * them in another order than the kernel filled them gets other bytes.
 */
char *uring__buffer_take_part(struct uring_buffers *buffers, uint16_t buffer, uint32_t bytes,
			      bool goes_on);

static inline uint32_t uring__buffers_with_kernel(const struct uring_buffers *buffers)
{
	return buffers->count - buffers->lent_count - buffers->spare_count + buffers->shared;
}

/* The kernel is about to be entered: let it have as many buffers as it may need. */
void uring__buffers_restock(struct uring_buffers *buffers);

/* The same, when it may have too few. */
static inline void uring__buffers_stock(struct uring_buffers *buffers)
{
	if (buffers->taken || uring__buffers_with_kernel(buffers) < buffers->stock)
		uring__buffers_restock(buffers);
}

/* It had none. True: there were some left, and from now on it has more of them. */
bool uring__buffers_were_short(struct uring_buffers *buffers);

/* A completion used up `buffer` without bringing anything. */
void uring__buffer_drop(struct uring_buffers *buffers, uint16_t buffer);
void uring__buffer_return(struct rota_backend *backend, uint16_t buffer);

/* receive.c: with shares_buffers */

/*
 * The completion `cqe` of a receive, result > 0: up to `out_max` completions, one for each buffer.
 * Returns how many. With told_bytes set then the rest of it is to come.
 */
unsigned uring__receive_parts(struct uring_engine *engine, struct uring_entry *entry,
			      const struct io_uring_cqe *cqe, struct rota_completion *out,
			      unsigned out_max);
/* It belongs to nobody: what it brought goes back. */
void uring__drop_parts(struct uring_engine *engine, const struct io_uring_cqe *cqe);

/* send.c: with adapts_sends */

/* Make the request of a send what the options want. */
void uring__adapt_send(struct uring_engine *engine, struct io_uring_sqe *sqe, struct rota_op *op);
/*
 * One of the two CQEs of a zero-copy send. Returns true when it is the last: the result is in
 * `out`.
 */
bool uring__zero_copy_completed(struct uring_engine *engine, struct uring_entry *entry,
				const struct io_uring_cqe *cqe, struct rota_completion *out);
/* A send failed in a way that is the variant's: from now on without it. True: start it again. */
bool uring__send_goes_on(struct rota_op *op, int32_t result);
/* With all CQEs seen: complete the sends that have gone and have none. Returns how many. */
/* Is there one that poll() must not wait beside? */
bool uring__has_awaited_silent(const struct uring_engine *engine);
/* Those that this poll() could not tell of: it must not wait beside them again. */
void uring__await_silent(struct uring_engine *engine);
unsigned uring__collect_silent(struct uring_engine *engine, struct rota_completion *out,
			       unsigned out_max);

/* direct.c: the slots */

ROTA_MUST_USE int uring__direct_open(struct uring_engine *engine);
void uring__direct_close(struct uring_engine *engine);
/* The receive `op` is about to begin, or has ended. */
void uring__direct_hold(struct uring_engine *engine, struct rota_op *op);
void uring__direct_drop(struct uring_engine *engine, struct rota_op *op);

/* Is there a slot that holds `fd`? */
static inline bool uring__direct_has(const struct uring_engine *engine, int fd)
{
	return (uint32_t)fd < engine->direct.count && engine->direct.users[fd];
}

/* table.c; what is used for every operation is in table.h */

void uring__table_init(struct uring_table *table);
void uring__table_fini(struct uring_table *table);
/* Name every operation still in flight in the log. Returns how many. */
unsigned uring__report_leaks(const struct uring_engine *engine);

/* ops.c */

void uring__submit(struct rota_backend *backend, struct rota_op *op);
void uring__cancel(struct rota_backend *backend, struct rota_op *op);
/* Write the request of an operation that has its entry; without `sqe` it waits for room. */
void uring__start(struct uring_engine *engine, struct rota_op *op, struct io_uring_sqe *sqe);
/* The same after the next enter. */
void uring__start_later(struct uring_engine *engine, struct rota_op *op);
/* After an enter: those that were to wait for it. */
void uring__start_emptied(struct uring_engine *engine);
int uring__close_now(struct uring_engine *engine, int fd);
/* It is not to be cancelled any more. */
void uring__forget_cancel(struct uring_engine *engine, struct rota_op *op);
/* The operation ends: take back what its flags_ stand for. */
void uring__clear_flags(struct uring_engine *engine, struct rota_op *op);
/* Write SQEs for what waits on the engine's lists, as far as there is room. */
void uring__drain_backlog(struct uring_engine *engine);
/* Ask for wake_fd to be watched; without room in the SQ that is left to uring__drain_backlog. */
void uring__arm_wake(struct uring_engine *engine);

/* completions.c */

/* Translate completions until `out` is full or there are none. Returns how many. */
unsigned uring__collect(struct uring_engine *engine, struct rota_completion *out, unsigned out_max);

/* files.c */

/* Can the kernel do it through the ring, or must a thread? */
bool uring__file_is_native(const struct uring_engine *engine, const struct rota_file_op *file);
void uring__file_fill(struct io_uring_sqe *sqe, const struct rota_file_op *file);

#endif /* ROTA_BACKENDS_URING_URING_H */
