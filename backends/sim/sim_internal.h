/* SPDX-License-Identifier: MIT */
/*
 * What the files of the simulator share. Same thread rule as sim.h.
 *
 * The one idea: an operation is always on exactly one list: its instance's `submitted` (poll has
 * not seen it), its instance's `runnable` (worth an attempt), or the `waiting` list of the socket
 * whose change would make it runnable. Its effect happens in an attempt, made by its own instance's
 * poll(); the completion is then kept in the instance until it is due.
 */
#ifndef ROTA_BACKENDS_SIM_SIM_INTERNAL_H
#define ROTA_BACKENDS_SIM_SIM_INTERNAL_H

#include <stdatomic.h>

#include <rota/backend.h>
#include <rota/buffer.h>

#include "backends/sim/sim.h"

/* Engine instances of one world: reactors of one simulated process. */
#define SIM_INSTANCES_MAX 256

/*
 * Completions an instance keeps between their effect and their delivery; attempts pause when they
 * are all in use.
 */
#define SIM_PENDING_MAX 256

/*
 * Each kind of decision has a stream of its own, so that switching one fault on leaves the others'
 * draws as they were.
 */
enum sim_decision {
	SIM_DECIDE_ACTOR,
	SIM_DECIDE_ATTEMPT,
	SIM_DECIDE_DELIVERY,
	SIM_DECIDE_DELAY,
	SIM_DECIDE_SHORT,
	SIM_DECIDE_SHORT_BYTES,
	SIM_DECIDE_STREAM_END,
	SIM_DECIDE_NO_BUFFERS,
	SIM_DECIDE_LATE_CANCEL,
	SIM_DECIDE_LISTENER,
	SIM_DECIDE_REFUSE,
	SIM_DECIDE_PROGRAM, /* what random() hands to the program */
	/* New ones go last: the seed of a stream is its number here. */
	SIM_DECIDE_LATENCY,
	SIM_DECIDE_LOSS,
	SIM_DECIDE_RESET,
	SIM_DECIDE_PLAN,
	SIM_DECIDE_SLOW,
	SIM_DECIDE_STARVE,
	SIM_DECIDE_WORK_TIME,
	SIM_DECIDE_WORK_LATE,
	SIM_DECIDE_DISK_ERROR,
	SIM_DECIDE_SYNC_ERROR,
	SIM_DECIDE_CRASH,
	SIM_DECIDE_NO_MEMORY,
	SIM_DECIDE_PATIENCE,
	SIM_DECISION_COUNT
};

/* ---- sockets ---- */

enum sim_socket_kind {
	SIM_STREAM,
	SIM_LISTENER,
};

/* Bits of sim_socket.shutdown, as the kernel's RCV_SHUTDOWN and SEND_SHUTDOWN. */
#define SIM_SHUT_RECEIVE 1u
#define SIM_SHUT_SEND 2u
#define SIM_SHUT_BOTH 3u

struct sim_socket {
	enum sim_socket_kind kind;
	struct sim_host *host;
	int fd;                   /* -1: established, not yet accepted */
	struct rota_link waiting; /* operations that its next change may help */
	unsigned operations;      /* started on it, terminal completion not yet delivered */
	struct rota_address local;
	struct rota_address remote; /* streams; bytes == 0: none */
	unsigned shutdown;
	/* streams */
	struct sim_socket *peer; /* NULL: the other end has been closed, or is behind a wire */
	struct sim_end *end;     /* of a wire; NULL: none between the two */
	struct rota_buffer received;
	size_t consumed_bytes; /* of `received`, already read */
	bool fin_sent;         /* TCP */
	bool fin_received;     /* TCP: end of stream outranks a later error */
	bool reset;            /* TCP: the connection is gone */
	bool resets_on_close;  /* TCP: ROTA_SHUT_RESET */
	int error;             /* positive errno, reported once */
	/* listeners */
	struct rota_link link;    /* in host->listeners; for a stream: in its listener's backlog */
	struct rota_link backlog; /* streams nobody has accepted */
	unsigned backlog_count;
	unsigned backlog_max;
	bool reuse_port;
};

/* A Unix socket's name stays in the file system when its listener is gone. */
struct sim_name {
	struct rota_link link;
	struct rota_address address;
};

/* ---- instances ---- */

enum sim_op_state {
	SIM_OP_IDLE, /* not ours */
	SIM_OP_SUBMITTED,
	SIM_OP_RUNNABLE,
	SIM_OP_WAITING,
	SIM_OP_ENDED, /* its terminal completion is pending */
};

/* Bits of rota_op.flags_. */
#define SIM_OP_CANCELLED 1u
#define SIM_OP_COUNTED 2u  /* in its socket's `operations` */
#define SIM_OP_WAS_LATE 4u /* a late cancel has had its one attempt */

struct sim_files;

struct sim_pending {
	struct rota_completion completion;
	rota_ns due;
	bool is_late; /* its operation takes effect, and has a result, only then */
};

struct sim_instance {
	struct rota_backend backend;
	struct rota_sim_world *world;
	struct sim_host *host;
	struct rota_reactor *reactor;
	uint32_t index;   /* in world->instances; also rota_op.index_ of its operations */
	rota_ns deadline; /* of the last poll(): when it wants to run again */
	struct rota_link submitted;
	struct rota_link runnable;
	size_t runnable_count;
	uint64_t lent_count;    /* operations */
	uint32_t polled_serial; /* world->op_serial at the end of the last poll() */
	struct sim_pending *pending;
	size_t pending_count;
	uint32_t buffers_count;
	uint32_t buffer_bytes;
	char *buffers;          /* buffers_count * buffer_bytes */
	uint16_t *free_buffers; /* a stack */
	bool *buffer_is_out;    /* catches a buffer given back twice */
	uint32_t free_count;
	uint32_t held_count; /* buffers in pending completions */
	struct rota_backend_stats stats;
	/*
	 * Set by wake() on any thread, taken by poll(): sequentially consistent exchange pairs with
	 * the store.
	 */
	atomic_bool woken;
};

/* ---- the world ---- */

/* Something that will happen by itself when its time has come. */
struct sim_timer {
	struct rota_link link; /* in world->timers, the earliest first */
	rota_ns due;
	void (*fire)(struct rota_sim_world *world, struct sim_timer *timer);
};

/* A machine: what a kernel keeps apart for each. */
struct sim_host {
	struct rota_sim_world *world;
	unsigned index;
	bool is_down;        /* crashed and not yet restarted */
	rota_ns crashed_at;  /* last; 0: never */
	int64_t wall_off_ns; /* its wall clock is wrong by this */
	uint16_t port_next;
	struct rota_link listeners;
	struct rota_link names;
	struct rota_link calls;      /* connects under way to other hosts */
	struct sim_socket **sockets; /* by slot; options.descriptors_max of them */
	uint32_t sockets_open;
	uint32_t descriptor_hint; /* no free one below */
	struct sim_files *files;  /* its disk */
};

struct rota_sim_world {
	struct rota_sim_options options;
	rota_ns now;
	uint64_t hash;
	uint64_t streams[SIM_DECISION_COUNT];
	uint64_t steps;
	uint64_t attempts;
	uint32_t op_serial;
	bool is_driven;      /* poll() leaves the clock alone */
	bool is_process_own; /* destroyed with its last instance */
	struct rota_link timers;
	struct rota_link connections;               /* wires */
	struct sim_host *hosts[ROTA_SIM_HOSTS_MAX]; /* NULL: nothing has run there */
	struct rota_link plan;
	/* how many entries of the plan, of each kind that lasts, hold now; partitions: see below */
	uint8_t burdens[ROTA_SIM_FAULT_COUNT][ROTA_SIM_HOSTS_MAX];
	struct sim_programs *programs; /* while rota_sim_run; see run.c */
	unsigned host_now;             /* where engines opened now belong unless they say */
	/* partitions: how many of them keep what `a` sends from `b` */
	uint8_t blocked[ROTA_SIM_HOSTS_MAX][ROTA_SIM_HOSTS_MAX];
	struct sim_instance *instances[SIM_INSTANCES_MAX];
	unsigned instances_count;
};

/* faults.c: decisions and the trace */

void sim__streams_seed(struct rota_sim_world *world);
/* Uniform in [0, below); `below` >= 1. Not drawn when there is no choice. */
uint64_t sim__draw(struct rota_sim_world *world, enum sim_decision what, uint64_t below);
/* True in `permille` of 1000 cases. Not drawn when 0. */
bool sim__chance(struct rota_sim_world *world, enum sim_decision what, uint32_t permille);
/* 1..bytes: how much a transfer that could move `bytes` >= 1 moves. */
size_t sim__transfer_bytes(struct rota_sim_world *world, size_t bytes);
/*
 * Decimal digits up to what is none; moves `*text` behind them. False when there are none or they
 * make more than `max`.
 */
bool sim__take_number(struct rota_view *text, uint64_t max, uint64_t *out);
void sim__random_bytes(struct rota_sim_world *world, void *out, size_t bytes);
/*
 * Into the hash and the trace: what happened, to which instance or descriptor, with what outcome.
 */
void sim__event(struct rota_sim_world *world, const char *what, int64_t who, int64_t outcome);
/* Into the hash: the bytes that moved. */
void sim__hash_bytes(struct rota_sim_world *world, const void *data, size_t bytes);

/* world.c: life, clock, descriptors */

/*
 * The world of an engine opened now, and the options that hold for it: the world's, with the text's
 * on top.
 */
int sim__world_for_open(const char *text, struct rota_sim_world **out,
			struct rota_sim_options *options);
/* What rota_sim_world_use said last on this thread. */
struct rota_sim_world *sim__world_used(void);
void sim__world_instance_closed(struct rota_sim_world *world);
void sim__advance_to(struct rota_sim_world *world, rota_ns time);
void sim__timer_arm(struct rota_sim_world *world, struct sim_timer *timer, rota_ns due);
void sim__timer_disarm(struct sim_timer *timer);
/* When the first of them is due; ROTA_NEVER: there is none. */
rota_ns sim__timers_next(const struct rota_sim_world *world);

/* memory.c: what is taken in a host's name is noted while programs run */

void sim__memory_begin(struct rota_sim_world *world);
void sim__memory_end(void);
/* In whose name from now on: a host's, or nobody's. Returns in whose before. */
uint32_t sim__memory_owner(uint32_t who);
uint32_t sim__memory_nobody(void);
/* Is the host to do without memory, here and now? Drawn while the plan says so. */
bool sim__is_out_of_memory(struct rota_sim_world *world, uint32_t host);
/* Free all that was taken in this host's name. */
void sim__memory_free_of(uint32_t who);
/* For the simulator itself: in nobody's. As rota_calloc and rota_alloc. */
void *sim__calloc(size_t count, size_t item_bytes);
void *sim__alloc(size_t bytes);

/* host.c */

/* The host with this number, made if it is not there yet. Returns 0 or -ENOMEM. */
int sim__host_get(struct rota_sim_world *world, unsigned index, struct sim_host **out);
/* Close all that is open there. */
void sim__host_empty(struct sim_host *host);
/* The power goes: sockets vanish without a word. Its instances have vanished, or will. */
void sim__host_crash(struct sim_host *host);
/* Give back an empty one; NULL is allowed. */
void sim__host_free(struct sim_host *host);
/* Whose `address` is, seen from `host`: another host's, or else its own. */
struct sim_host *sim__host_of(struct sim_host *host, const struct rota_address *address);
struct sim_socket *sim__socket_at(const struct sim_host *host, int fd);
/* Give `socket` the lowest free descriptor. Returns it, or -EMFILE. */
int sim__descriptor_open(struct sim_socket *socket);
void sim__descriptor_close(struct sim_socket *socket);

/* address.c */

/* 0.0.0.0 or :: */
bool sim__is_any_host(const struct rota_address *address);
/* The same name of a Unix socket. */
bool sim__names_equal(const struct rota_address *a, const struct rota_address *b);
/*
 * Would a listener bound to `bound` stand in the way of another at `wanted`, or (the same question)
 * take a call to it?
 */
bool sim__addresses_meet(const struct rota_address *bound, const struct rota_address *wanted);
void sim__set_port(struct rota_address *address, uint16_t port);

/* socket.c: a socket's life, and what the other end's doing does to it */

static inline bool sim__is_local(const struct sim_socket *socket)
{
	return socket->local.any.sa_family == AF_UNIX;
}

/*
 * TCP: both directions have ended, or a reset came; the kernel calls this state CLOSE (or
 * TIME_WAIT).
 */
static inline bool sim__is_over(const struct sim_socket *socket)
{
	return socket->reset || (socket->fin_sent && socket->fin_received);
}

/* A listener shut down for receiving: takes no more connections. */
static inline bool sim__is_deaf(const struct sim_socket *listener)
{
	return listener->shutdown & SIM_SHUT_RECEIVE;
}

/* A socket without descriptor, or NULL. */
struct sim_socket *sim__socket_create(struct sim_host *host, enum sim_socket_kind kind);
/* Free it, as if it had never been. */
void sim__socket_free(struct sim_socket *socket);
/* Take it out of the world as close(2) does, and free it; it may have a descriptor or not. */
void sim__socket_close(struct rota_sim_world *world, struct sim_socket *socket);
/* Reset what waits in a listener's backlog. */
void sim__drop_backlog(struct rota_sim_world *world, struct sim_socket *listener);
size_t sim__unread_bytes(const struct sim_socket *socket);
void sim__receive_fin(struct rota_sim_world *world, struct sim_socket *socket);
/*
 * An RST: EPIPE for who has seen the other's FIN before, as in tcp_reset(). What was received stays
 * readable.
 */
void sim__receive_reset(struct rota_sim_world *world, struct sim_socket *socket);
/* The connection is gone for `error`, a positive errno. */
void sim__receive_error(struct rota_sim_world *world, struct sim_socket *socket, int error);
/* Copy `bytes` of `parts` to the reader. Returns 0, or -ENOMEM with nothing done. */
int sim__deliver(struct rota_sim_world *world, struct sim_socket *reader, const struct iovec *parts,
		 size_t bytes);

/*
 * listen.c and transfer.c: what Linux would do. Results: >= 0, a negative errno, or -EAGAIN: wait
 * on the socket.
 */

int sim__take_port(struct sim_host *host);
/* Among several listeners of one port Linux chooses by a hash, here the seed does. */
struct sim_socket *sim__find_listener(struct sim_host *host, const struct rota_address *to);
/* A connection that came in full waits to be accepted. */
void sim__backlog_add(struct sim_socket *listener, struct sim_socket *server);
int sim__listen(struct sim_host *host, const struct rota_listen_options *options);
/*
 * Call `op->address`. Returns the descriptor of the connected stream; or -EAGAIN and in `*out` what
 * has to change first.
 */
int sim__connect(struct sim_host *host, const struct rota_op *op, struct sim_socket **out);
int sim__accept(struct sim_socket *listener);
int sim__send(struct rota_sim_world *world, struct sim_socket *socket, const struct iovec *parts,
	      size_t parts_count);
int sim__receive(struct rota_sim_world *world, struct sim_socket *socket, char *out,
		 size_t bytes_max);
/* Would sim__receive say something else than -EAGAIN? */
bool sim__is_readable(const struct sim_socket *socket);
uint32_t sim__poll_events(const struct rota_sim_world *world, const struct sim_socket *socket);
int sim__shutdown(struct rota_sim_world *world, struct sim_socket *socket, int how);
int sim__socket_address(const struct sim_socket *socket, bool peer, struct rota_address *out);

/* call.c: connecting to another host */

/* As sim__connect. */
int sim__call(struct sim_host *host, const struct rota_op *op, struct sim_socket **out);
/* Forget the call that `op` made, if there is one. */
void sim__connect_abandon(struct sim_host *host, const struct rota_op *op);
/* The host has crashed: nobody waits for its calls. */
void sim__calls_forget(struct sim_host *host);

/* wire.c: streams between hosts. The socket's `end` is set. */

/* One way of a connection, and the socket it starts from. */
struct sim_end {
	struct sim_connection *connection;
	struct sim_socket *socket; /* NULL: closed, or its host has crashed */
	struct sim_host *host;
	bool is_forgotten; /* its host has crashed since: it answers with an RST */
	/* on the way to the other end, in this order */
	struct rota_link segments;
	bool has_probe; /* asks whether the reader reads again */
	bool has_fin;
	bool has_reset;
	rota_ns fin_due, reset_due;
	rota_ns last_due;         /* what is sent now arrives no earlier */
	rota_ns free_at;          /* the wire takes no further bytes before */
	struct sim_timer arrival; /* of the first of these */
	unsigned retries;         /* of that one */
	size_t unread_bytes;      /* sent and, as far as known here, not read yet */
	/* the way back of what was read here */
	struct sim_timer credit;
	size_t credit_bytes;  /* under way */
	size_t credit_behind; /* to go next */
};

struct sim_connection {
	struct rota_link link; /* in world->connections */
	struct sim_end ends[2];
};

/* Join two new sockets. Returns 0 or -ENOMEM. */
int sim__wire_join(struct rota_sim_world *world, struct sim_socket *a, struct sim_socket *b);
/* How long a piece that is sent now is under way; and is it lost? */
rota_ns sim__wire_latency(struct rota_sim_world *world);
bool sim__wire_loses(struct rota_sim_world *world);
bool sim__wire_passes(const struct sim_host *from, const struct sim_host *to);
size_t sim__wire_room(const struct rota_sim_world *world, const struct sim_socket *socket);
/* Returns `bytes` or -ENOMEM. There is room. */
int sim__wire_send(struct rota_sim_world *world, struct sim_socket *socket,
		   const struct iovec *parts, size_t bytes);
void sim__wire_read(struct rota_sim_world *world, struct sim_socket *socket, size_t bytes);
void sim__wire_fin(struct rota_sim_world *world, struct sim_socket *socket);
/* The socket is being closed. */
void sim__wire_leave(struct rota_sim_world *world, struct sim_socket *socket, bool by_reset);
/* The host's sockets vanish without a word. */
void sim__wires_forget(struct sim_host *host);
/* The world ends. */
void sim__wires_cut(struct rota_sim_world *world);

/* operations.c: from submit() to the completion; the engine's slots, and what attempts do */

void sim__op_submit(struct rota_backend *self, struct rota_op *op);
void sim__op_cancel(struct rota_backend *self, struct rota_op *op);
/* What was submitted is runnable from now on. */
void sim__ops_start(struct sim_instance *instance);
/* A runnable operation waits for a change of `socket`. */
void sim__op_wait(struct sim_instance *instance, struct rota_op *op, struct sim_socket *socket);
/*
 * Keep a completion until it is due; those of one operation stay in order. Room has been checked.
 */
void sim__op_complete(struct sim_instance *instance, const struct rota_completion *completion);
/* The terminal one, with `result`. */
void sim__op_end(struct sim_instance *instance, struct rota_op *op, int result);
/* What an earlier poll() did not return for is due now. */
void sim__ops_tell_late(struct sim_instance *instance);
/*
 * Hand out completions that are due; with may_wait none if all of them can wait for others. Returns
 * how many.
 */
unsigned sim__ops_deliver(struct sim_instance *instance, struct rota_completion *out,
			  unsigned out_max, bool may_wait);
/* Something about `socket` changed: its waiting operations are worth an attempt. */
void sim__wake_waiting(struct rota_sim_world *world, struct sim_socket *socket);
const char *sim__op_name(unsigned kind);
/* When its earliest held-back completion is due; ROTA_NEVER: there is none. */
rota_ns sim__instance_next_due(const struct sim_instance *instance);

/* attempt.c */

/* Try what is runnable until nothing is, or there is no room for more completions. */
void sim__ops_attempt(struct sim_instance *instance);

/* engine.c */

/* Its host has crashed: what it holds is freed, what was lent to it is forgotten. */
void sim__instance_vanish(struct sim_instance *instance);
/* Has poll() something to do here and now? */
bool sim__instance_has_work(const struct sim_instance *instance);

/* work.c: operations that block instead of waiting for a socket */

bool sim__op_is_work(const struct rota_op *op);
/* How long the next one takes. */
rota_ns sim__work_ns(struct rota_sim_world *world);
/* Does it take effect at the end of that time, and not at the beginning? */
bool sim__work_is_late(struct rota_sim_world *world);
/* Do it. Returns its result. */
int32_t sim__work(struct sim_instance *instance, struct rota_op *op);
/* The same at the end of its time, unless it was cancelled meanwhile. */
int32_t sim__work_late(struct sim_instance *instance, struct rota_op *op);

/* files.c: what Linux would do; disk.c: what is left after a crash */

/* The empty disk of the host with this number; NULL: no memory. */
struct sim_files *sim__files_create(struct rota_sim_world *world, unsigned host);
void sim__files_destroy(struct sim_files *files);
/* See rota_sim_disk_crash. */
void sim__files_crash(struct sim_files *files);
/* Write open files to the log; returns how many there are. */
unsigned sim__files_report(const struct sim_files *files);
/* Do it. Returns its result. */
int32_t sim__files_run(struct sim_files *files, const struct rota_file_op *op);

/* schedule.c */

/* Those among whom the next step is drawn. */
struct sim_stage {
	const struct rota_sim_actor *actors;
	bool *idle; /* the last step found nothing to do, and nobody has done anything since */
	unsigned count;
};

/*
 * One step, or time moves. Returns who made it, -EAGAIN if nobody but time, -EDEADLK, -ETIMEDOUT
 * (both have been reported), or what the step failed with.
 */
int sim__stage_step(struct rota_sim_world *world, const struct sim_stage *stage);

/* drive.c */

int sim__drive_reactors(struct rota_reactor *const reactors[], unsigned count);

/* plan.c and plan_text.c */

extern const char *const sim__fault_names[ROTA_SIM_FAULT_COUNT];
/* Does it befall two hosts? And has it an end? */
bool sim__fault_has_two(enum rota_sim_fault_kind kind);
bool sim__fault_lasts(enum rota_sim_fault_kind kind);
void sim__fault_print(const struct rota_sim_fault *fault, FILE *out);
/* As rota_sim_plan_parse. `world` NULL: only look whether it is right. */
int sim__plan_parse(struct rota_sim_world *world, struct rota_view text,
		    char message[ROTA_BACKEND_TEXT_BYTES]);
/* The world ends. */
void sim__plan_free(struct rota_sim_world *world);

static inline bool sim__is_burdened(const struct rota_sim_world *world, unsigned host,
				    enum rota_sim_fault_kind kind)
{
	return world->burdens[kind][host];
}

/* run.c */

/* Reactors that one call of drive() has brought; its memory. */
struct sim_crew;

/* The crew's life, for whoever steps it: open its engines, describe its actors, close. */
int sim__crew_create(struct rota_reactor *const reactors[], unsigned count, struct sim_crew **out);
/* Returns 0, or negative errno with none open. */
int sim__crew_open(struct sim_crew *crew);
unsigned sim__crew_count(const struct sim_crew *crew);
void sim__crew_actors(struct sim_crew *crew, struct rota_sim_actor actors[]);
bool sim__crew_has_stopped(const struct sim_crew *crew);
/* Ask all to stop; and close all, if all have stopped. */
void sim__crew_stop(const struct sim_crew *crew);
void sim__crew_close(const struct sim_crew *crew);
/* Name those that run although they were told to stop. */
void sim__crew_report(const struct sim_crew *crew);
/* The power goes: they vanish as they stand, and the crew is freed. */
void sim__crew_crash(struct sim_crew *crew);
/* Free it. Returns `status`, or what broke one of the engines. */
int sim__crew_destroy(struct sim_crew *crew, int status);

/* The world ends; no program runs. */
void sim__programs_free(struct rota_sim_world *world);
/* The world whose program runs now, outside reactors; NULL: none. */
struct rota_sim_world *sim__world_with_program(void);
/* From inside it: have the crew stepped with all others until it has stopped. */
int sim__program_drives(struct rota_sim_world *world, struct sim_crew *crew);

static inline struct sim_instance *sim__instance_of(struct rota_backend *backend)
{
	return ROTA_CONTAINER_OF(backend, struct sim_instance, backend);
}

#endif /* ROTA_BACKENDS_SIM_SIM_INTERNAL_H */
