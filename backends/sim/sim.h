/* SPDX-License-Identifier: MIT */
/*
 * The deterministic engine: a world of virtual time and in-memory sockets that any number of engine
 * instances share. Public to programs and tests. One thread: everything of one world is called on
 * the thread that created it, except wake().
 *
 * The one idea: the same seed and the same program make the same run, byte for byte. Every choice
 * (which completion comes first, how much a send takes, whether a cancel is too late) is drawn from
 * the world's seed in one place, and everything that happens goes into one running hash, so two
 * runs can be compared by one number.
 */
#ifndef ROTA_BACKENDS_SIM_SIM_H
#define ROTA_BACKENDS_SIM_SIM_H

#include <stdio.h>

#include <rota/backend.h>

struct rota_sim_world;

/* The engine's table: name "sim", feature ROTA_BACKEND_SIMULATED. */
extern const struct rota_backend_ops rota_backend_sim;

/* Where virtual time begins: not at 0, which as a deadline means "do not wait". */
#define ROTA_SIM_START_NS ROTA_NS_PER_S

/*
 * The first descriptor. Far above any real one: used on the kernel by mistake it is EBADF and not
 * somebody's file.
 */
#define ROTA_SIM_DESCRIPTOR_FIRST 1000000

/* Hosts 0 to 15. */
#define ROTA_SIM_HOSTS_MAX 16

/* ---- options ---- */

/*
 * What a world is like. Set it up with rota_sim_options_init, then change fields. Chances are in
 * 1/1000.
 */
struct rota_sim_options {
	uint64_t seed;
	/* Chance that a send or receive moves fewer bytes than it could. */
	uint32_t short_io_permille;
	/* Chance that a receive stream ends after data without an error (as multishot does). */
	uint32_t stream_end_permille;
	/* Chance of -ENOBUFS for a receive while another buffer is out. */
	uint32_t no_buffers_permille;
	/* Chance that a cancel finds the operation already doing its work. */
	uint32_t late_cancel_permille;
	/* Chance that rota_sim_refuse says yes. */
	uint32_t refuse_permille;
	/*
	 * Completions and runnable operations go in seeded order; false: in the order they became
	 * so.
	 */
	bool reorder;
	/*
	 * A task that becomes ready goes anywhere among those that are; false: first or last. Takes
	 * time in proportion to their number.
	 */
	bool shuffle;
	/* Each completion is held back by a time drawn from [delay_min_ns, delay_max_ns]. */
	rota_ns delay_min_ns;
	rota_ns delay_max_ns;
	/*
	 * An operation that blocks (a call of the offload pool's) takes a time drawn from
	 * [work_min_ns, work_max_ns]; whether its effect comes at the beginning of it or at the end
	 * is drawn as well.
	 */
	rota_ns work_min_ns;
	rota_ns work_max_ns;
	/* What the disk's files may have in all. */
	uint64_t disk_bytes;
	/* Chance that a read or write of a file fails with -EIO, having done nothing. */
	uint32_t disk_error_permille;
	/*
	 * Chance that a sync fails with -EIO: what it was to make durable may be lost by a crash.
	 */
	uint32_t sync_error_permille;
	/*
	 * Virtual time that each step under drive takes, so that a program that polls the clock
	 * gets on.
	 */
	rota_ns step_ns;
	/* Steps after which drive gives up with -ETIMEDOUT; 0: never. */
	uint64_t steps_max;
	/* Wall clock (ns since 1970) at ROTA_SIM_START_NS. */
	int64_t wall_start_ns;
	/* Open sockets of each host, 1 to 2^24. */
	uint32_t descriptors_max;
	/* Receive buffers of each instance: 1 to 65535 of 1 byte or more. */
	uint32_t buffers_count;
	uint32_t buffer_bytes;
	/* Bytes a socket holds for its reader before its writer must wait, 1 or more. */
	uint32_t socket_bytes;
	/*
	 * The attempt with this number fails with -ENOMEM and does nothing, as Linux may; closing
	 * is not counted. 0: none. For sweeps: 1, 2, … until rota_sim_attempts is less.
	 */
	uint64_t fail_attempt;
	/* The host that an engine opened now belongs to, below ROTA_SIM_HOSTS_MAX. */
	uint32_t host;
	/* What goes from one host to another is under way for so long, drawn for each piece. */
	rota_ns latency_min_ns;
	rota_ns latency_max_ns;
	/* Chance that a piece is lost: it comes late, as when TCP sends it again. */
	uint32_t loss_permille;
	/* Bytes per second of each direction of a connection between hosts; 0: no limit. */
	uint32_t bandwidth;
	/* Connections of a host to itself go over a wire as well. */
	bool wires_loopback;
	/* A fault plan, as rota_sim_plan_parse takes it. Lent to rota_sim_world_create. */
	struct rota_view plan;
	/*
	 * NULL, or where each event is written as a line. Lends the stream until the world is
	 * destroyed.
	 */
	FILE *trace;
};

/* A calm world: seeded order, nothing else out of the ordinary. */
void rota_sim_options_init(struct rota_sim_options *options, uint64_t seed);

/* A rough one: short I/O, early stream ends, lost cancels, refusals, delays up to 200 us. */
void rota_sim_options_rough(struct rota_sim_options *options, uint64_t seed);

/*
 * Apply text such as "seed=7,rough,short-io=200,delay=1000..50000,descriptors=64,buffers=16x512" to
 * `options`; keys are listed in docs/design/0005-simulator.md. Returns 0, or -EINVAL with one line
 * in `message` naming the option.
 */
ROTA_MUST_USE int rota_sim_options_parse(struct rota_sim_options *options, const char *text,
					 char message[ROTA_BACKEND_TEXT_BYTES]);

/* ---- life ---- */

/*
 * A new world. Returns 0 and `*out` (owned: rota_sim_world_destroy), -EINVAL or -ENOMEM. Copies
 * `options`.
 */
ROTA_MUST_USE int rota_sim_world_create(const struct rota_sim_options *options,
					struct rota_sim_world **out);

/*
 * Instances opened on this thread from now on belong to `world`; of their options text only
 * `buffers` and `host` have an effect then. NULL: back to the process's own world, which the first
 * instance creates from its options text and the last one destroys.
 */
void rota_sim_world_use(struct rota_sim_world *world);

/*
 * End the world; every instance has been closed (asserted). What is still open is named in the log,
 * one line each, and freed.
 * Returns how many that were: 0 is a clean end. NULL is allowed.
 */
unsigned rota_sim_world_destroy(struct rota_sim_world *world);

/*
 * Write to the log what is open and every operation that waits; returns the number of open
 * descriptors.
 */
unsigned rota_sim_world_report(const struct rota_sim_world *world);

/* The world an instance of this engine belongs to; borrowed. */
struct rota_sim_world *rota_sim_world_of(const struct rota_backend *backend);

/* ---- time, steps, the hash ---- */

rota_ns rota_sim_now(const struct rota_sim_world *world);

/* Move virtual time on by `duration_ns` >= 0. Nothing runs meanwhile. */
void rota_sim_advance(struct rota_sim_world *world, rota_ns duration_ns);

/* Steps that drive has made in this world. */
uint64_t rota_sim_steps(const struct rota_sim_world *world);

/* Operations attempted so far, but closes; see fail_attempt. */
uint64_t rota_sim_attempts(const struct rota_sim_world *world);

/*
 * The hash of everything that happened so far: decisions, events, bytes, times. Never of pointers
 * or of real time.
 */
uint64_t rota_sim_trace_hash(const struct rota_sim_world *world);

/* Put a fact of the program's own into the hash and the trace; `what` is a static word. */
void rota_sim_note(struct rota_sim_world *world, const char *what, uint64_t value);

/* A seeded decision for programs that hook it: shall this try-lock be refused? */
bool rota_sim_refuse(struct rota_sim_world *world);

/* ---- the disk ---- */

/* The first descriptor of an open file. */
#define ROTA_SIM_FILE_FIRST 500000000

/*
 * The power of `host` fails: its files keep what was synced, and of everything later what the seed
 * says: writes whole, in part, as zeroes or not at all, in any order; names that were made,
 * replaced or removed, or not. Nothing is open afterwards. No file operation is lent (asserted).
 */
void rota_sim_disk_crash(struct rota_sim_world *world, unsigned host);

/* ---- hosts and what lies between them ---- */

/* 10.0.0.`host`: where others reach that host. Nobody has it before an engine was opened there. */
struct rota_address rota_sim_host_address(unsigned host, uint16_t port);

/*
 * From now on nothing that `from` sends reaches `to`; once more for each call, until as many calls
 * of rota_sim_heal. Streams stall and time out as Linux's do.
 */
void rota_sim_partition(struct rota_sim_world *world, unsigned from, unsigned to);
void rota_sim_heal(struct rota_sim_world *world, unsigned from, unsigned to);

/*
 * Let a middlebox end one connection between the two hosts, drawn from the seed: both ends get an
 * RST, now. Returns false if there is none.
 */
bool rota_sim_reset(struct rota_sim_world *world, unsigned a, unsigned b);

/* ---- the fault plan ---- */

enum rota_sim_fault_kind {
	ROTA_SIM_PARTITION,  /* nothing passes from `a` to `b`, nor back unless it is one way */
	ROTA_SIM_RESET,      /* rota_sim_reset of `a` and `b` */
	ROTA_SIM_CRASH,      /* rota_sim_host_crash of `a`; `until` is its restart */
	ROTA_SIM_CLOCK,      /* the wall clock of `a` jumps by `amount_ns` */
	ROTA_SIM_SLOW,       /* completions on `a` are held back for up to 20 ms more */
	ROTA_SIM_STARVE,     /* on `a`, receiving finds no buffer in half of all cases */
	ROTA_SIM_NO_MEMORY,  /* on `a`, one allocation or operation in 50 finds no memory */
	ROTA_SIM_DISK_ERROR, /* on `a`, half of all reads, writes and syncs of files fail: -EIO */
	ROTA_SIM_DISK_FULL,  /* on `a`, no file can grow: -ENOSPC */
	ROTA_SIM_FAULT_COUNT
};

struct rota_sim_fault {
	enum rota_sim_fault_kind kind;
	unsigned a, b; /* hosts */
	bool is_one_way;
	rota_ns at;
	rota_ns until; /* ROTA_NEVER: for good; resets and clocks have no other */
	int64_t amount_ns;
};

/* Plan one. Returns 0, -EINVAL (no such host, or it ends before it begins) or -ENOMEM. */
ROTA_MUST_USE int rota_sim_plan_add(struct rota_sim_world *world,
				    const struct rota_sim_fault *fault);

/*
 * Plan what `text` says, such as "partition:1-2@1s..1500ms;reset:1-2@2s;crash:1@2s..3s": KIND:HOST,
 * -HOST or >HOST (one way) for those of two, @BEGIN, ..END unless it is for good; a clock's jump is
 * "clock:1@2s+30s" or "-30s". Times are ns, us, ms, s from the world's start. Returns 0; -EINVAL,
 * nothing planned, and one line in `message` that says where and why; or -ENOMEM with some of it
 * planned.
 */
ROTA_MUST_USE int rota_sim_plan_parse(struct rota_sim_world *world, const char *text,
				      char message[ROTA_BACKEND_TEXT_BYTES]);

/* How many of this kind are planned, whether they have happened or not. */
unsigned rota_sim_plan_count(const struct rota_sim_world *world, enum rota_sim_fault_kind kind);

/* Write what is planned as text that rota_sim_plan_parse takes; no newline. */
void rota_sim_plan_print(const struct rota_sim_world *world, FILE *out);

/* How much is to happen. */
struct rota_sim_chaos {
	unsigned host_first, host_last; /* to whom */
	/* but crashes, and lack of memory and disk: to this one */
	unsigned victim;
	rota_ns span_ns;                           /* from now on; > 0 */
	rota_ns longest_ns;                        /* what lasts, lasts 1 ns to this; > 0 */
	unsigned counts_max[ROTA_SIM_FAULT_COUNT]; /* of each kind, drawn up to this */
};

/* Draw a plan from the world's seed. Returns 0 or -ENOMEM. */
ROTA_MUST_USE int rota_sim_plan_draw(struct rota_sim_world *world,
				     const struct rota_sim_chaos *chaos);

/* ---- programs on hosts ---- */

/* A host's whole program, like a main(): makes reactors, drives them, comes back. */
typedef int (*rota_sim_program_fn)(void *arg);

/*
 * Have fn(arg) run on `host` in rota_sim_run; from a program or a reactor of the same world, at
 * once. It runs on a stack of its own (256 KiB), outside of reactors and tasks: it may call
 * rota_serve, rota_run or rota_reactor_drive, one after another, and nothing else that waits. One
 * program per host at a time (asserted); `arg` is lent until it has returned. Returns 0, -ENOMEM
 * or -ROTA_ESTACK.
 */
ROTA_MUST_USE int rota_sim_host_boot(struct rota_sim_world *world, unsigned host,
				     rota_sim_program_fn fn, void *arg);

/*
 * Run the programs of all hosts together, each reactor stepped in seeded order, until every program
 * has returned; engines they open belong to this world and to their host. Returns 0, or -EDEADLK or
 * -ETIMEDOUT as rota_sim_drive, after all reactors were stopped. Thread: the world's, not from
 * inside a program (asserted).
 */
ROTA_MUST_USE int rota_sim_run(struct rota_sim_world *world);

/*
 * The power of `host` goes at the end of this step: its program and all its reactors stop where
 * they stand and run no more, its sockets vanish without a word, and all that was taken from
 * rota_alloc in its name is freed; its disk as in rota_sim_disk_crash. At `restart` (ROTA_NEVER:
 * never) its program is run from the start. For that a program must keep all its state in its
 * frames and in memory from rota_alloc: static variables it has to set anew, threads and real
 * descriptors it must not own. Nothing if no program runs there. In rota_sim_run, or before.
 */
void rota_sim_host_crash(struct rota_sim_world *world, unsigned host, rota_ns restart);

/* Crashed, and not restarted. */
bool rota_sim_host_is_down(const struct rota_sim_world *world, unsigned host);

/* When it crashed last; 0: never. */
rota_ns rota_sim_host_crashed_at(const struct rota_sim_world *world, unsigned host);

/*
 * What the last program of `host` has returned; -EBUSY while it runs, -ESRCH if there was none,
 * -EHOSTDOWN if it has crashed.
 */
int rota_sim_host_result(const struct rota_sim_world *world, unsigned host);

/* ---- scheduling without reactors ---- */

/* One of the things that drive steps: a reactor, or whatever a test puts in its place. */
struct rota_sim_actor {
	/*
	 * One turn that never blocks. Returns > 0: did something or has more, 0: idle, < 0: broken,
	 * which ends the drive.
	 */
	int (*step)(void *arg);
	bool (*has_stopped)(void *arg);
	void *arg;
	/* Its engine: the deadline of its last poll() is its next wake-up. */
	struct rota_backend *backend;
};

/*
 * Step the actors, all of one world, in seeded order until each has stopped. When none has work,
 * time moves to the earliest deadline or held-back completion. Returns 0, a step's negative result,
 * -ETIMEDOUT after steps_max steps, or -EDEADLK when nothing could ever happen again: then the log
 * says who waits for what. Not reentrant (asserted).
 */
ROTA_MUST_USE int rota_sim_drive(const struct rota_sim_actor actors[], unsigned count);

#endif /* ROTA_BACKENDS_SIM_SIM_H */
