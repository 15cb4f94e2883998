/* SPDX-License-Identifier: MIT */
/*
 * CONTRACT for I/O engines: what a reactor needs of the kernel, or of whatever stands in for it.
 * Implemented in backends/ (uring, epoll, sim). One engine instance per reactor; every call is made
 * on that reactor's thread, except wake().
 *
 * The one idea: completion is the only model. An operation is submitted, and some time later its
 * completions come out of poll(). An operation and the memory it names are LENT to the engine from
 * submit() until its terminal completion has come out of poll() and its `complete` function was
 * called; cancel() does not shorten that. The terminal completion is the one without
 * ROTA_COMPLETION_MORE. Every submitted operation has exactly one, whatever happens.
 */
#ifndef ROTA_BACKEND_H
#define ROTA_BACKEND_H

#include <rota/address.h>
#include <rota/base.h>
#include <rota/buffer.h>
#include <rota/time.h>

#ifdef __cplusplus
extern "C" {
#endif

struct iovec;
struct msghdr;
struct rota_backend;
struct rota_completion;
struct rota_offload_port;
struct rota_op;
struct rota_reactor;

/* ---- operations ---- */

enum rota_op_kind {
	/*
	 * Stream. Accept connections on listener `fd`. Each completion's result is a new
	 * non-blocking, close-on-exec descriptor, the receiver's to close, or a negative errno.
	 * Ends only by cancel or error; an error that says nothing about the listener
	 * (ECONNABORTED, EPROTO …) is not reported. Out of descriptors ends it with -EMFILE or
	 * -ENFILE: the caller decides when to try again.
	 */
	ROTA_OP_ACCEPT,
	/*
	 * Stream. Receive from socket `fd` into the engine's buffers. Each completion with result >
	 * 0 carries a buffer (see struct rota_completion), given back with buffer_return(). 0: the
	 * peer has shut down its side; terminal. Terminal with -ENOBUFS: no buffer was free and
	 * nothing was read; submit again when buffers have come back. May also end after data
	 * without an error (no MORE flag, result > 0): submit again. Cancelled: data that had been
	 * received already comes first, then the terminal completion.
	 */
	ROTA_OP_RECEIVE,
	/*
	 * Send `data`/`bytes` on socket `fd`. Result: bytes taken, >= 1, possibly fewer than asked.
	 * SIGPIPE never.
	 */
	ROTA_OP_SEND,
	/* The same from `message` (its msg_iov; the msghdr and the array are lent too). */
	ROTA_OP_SEND_MESSAGE,
	/*
	 * Make a socket for `address` (non-blocking, close-on-exec; TCP: TCP_NODELAY) and connect
	 * it. Result: its descriptor, the receiver's to close.
	 */
	ROTA_OP_CONNECT,
	/*
	 * Wait until foreign descriptor `fd` has one of `events` (POLLIN …; POLLERR and POLLHUP
	 * always count). Result: the events seen (> 0).
	 */
	ROTA_OP_POLL,
	/*
	 * Close `fd`. All other operations on it must have ended. Result 0 or the error; the
	 * descriptor is gone either way. Not cancellable: cancel() is ignored.
	 */
	ROTA_OP_CLOSE,
	/*
	 * Call `work.fn(op)` where it may block: on a thread of the offload pool (`fd`: enum
	 * rota_offload_class), in the simulator on the one thread there is. Result: what it
	 * returned; -EAGAIN, -ENOBUFS: it was not called, see <rota/offload.h>. Cancelled before it
	 * has begun, it is not called; once it runs it is waited for.
	 */
	ROTA_OP_CALL,
	/*
	 * Something done to a file: `op` is inside a struct rota_file_op, which says what. An
	 * engine that cannot do it by itself treats it as a CALL of class ROTA_OFFLOAD_FILES.
	 */
	ROTA_OP_FILE,
	ROTA_OP_COUNT
};

/*
 * Called by the reactor, in its own context (may not suspend), once per completion, never from
 * inside poll().
 */
typedef void (*rota_complete_fn)(struct rota_op *op, const struct rota_completion *completion);

/* One I/O in flight. Lives in its owner (a task's frame, a connection); immovable while lent. */
struct rota_op {
	/* caller sets */
	rota_complete_fn complete;
	uint8_t kind; /* enum rota_op_kind */
	/* engine's own, zero when not submitted */
	uint8_t state_;
	/* engine's own but for ROTA_OP_PATIENT, zero when not submitted */
	uint16_t flags_;
	int fd; /* caller sets */
	/* engine's own */
	uint32_t index_;
	uint32_t generation_;
	/* caller sets; from here on a receive is not looked at while it goes on */
	union {
		struct {
			const void *data; /* lent */
			size_t bytes;     /* > 0 */
		} send;
		/* lent, with its iovec array; msg_name, msg_control NULL */
		const struct msghdr *message;
		const struct rota_address *address; /* lent */
		uint32_t events;
		struct {
			int32_t (*fn)(struct rota_op *op);
			struct rota_offload_port *port_; /* the offload pool's own */
		} work;
	};
	struct rota_link link_; /* engine's own */
};

/*
 * Bit of rota_op.flags_ that the caller of submit() may set, for SEND: nobody waits for its
 * completion, or will before the next poll() has returned. If that poll() sends all of it, it need
 * not return for that: it waits on, and tells it with what it returns for, ROTA_COMPLETION_LATE
 * set. So a server that has answered sleeps until the next request, and does not wake up to learn
 * that its answer has left. Anything else that comes of it is told as ever.
 */
#define ROTA_OP_PATIENT 0x8000u

/* ---- files: see also <rota/file.h> ---- */

/* What is done; the result is 0 where nothing else is said. Errors are the kernel's. */
enum rota_file_action {
	/* open `path` with `flags` (O_…; close-on-exec is added) and `mode`: the descriptor */
	ROTA_FILE_OPEN,
	ROTA_FILE_CLOSE, /* op.fd is gone either way; not to be cancelled */
	/* at `offset` up to `bytes` into or from `data`: how many; reading, 0 is the end */
	ROTA_FILE_READ,
	ROTA_FILE_WRITE,
	ROTA_FILE_SYNC,           /* fsync of op.fd; `flags` 1: fdatasync */
	ROTA_FILE_ALLOCATE,       /* room for `bytes` from `offset`; the size grows */
	ROTA_FILE_TRUNCATE,       /* the size becomes `offset` */
	ROTA_FILE_STATUS,         /* statx of op.fd into `data`, a struct statx */
	ROTA_FILE_RENAME,         /* `path` becomes `path_to`, which is replaced */
	ROTA_FILE_UNLINK,         /* `flags` 0 or AT_REMOVEDIR */
	ROTA_FILE_MAKE_DIRECTORY, /* with `mode` */
	/*
	 * The next names in directory op.fd, each ended by a NUL, without "." and "..", into
	 * `data` of `bytes` >= 512: bytes used, 0 at the end
	 */
	ROTA_FILE_LIST,
	ROTA_FILE_ACTION_COUNT
};

/*
 * Caller's memory, lent with all it names. Paths are relative to the working directory. Set up with
 * rota_file_op_init.
 */
struct rota_file_op {
	/* caller sets */
	uint8_t action; /* enum rota_file_action */
	uint32_t mode;
	int flags;
	uint32_t bytes; /* READ, WRITE: at most 1 GiB */
	uint64_t offset;
	void *data; /* WRITE does not write to it */
	const char *path;
	const char *path_to;
	struct rota_op op;
};

/* Zeroes, kind and work.fn; `fd` is -1 where the action takes a path. */
ROTA_API void rota_file_op_init(struct rota_file_op *file, enum rota_file_action action, int fd);

/* Do it with system calls, here and now; may block. What work.fn is set to. */
ROTA_API int32_t rota_file_op_run(struct rota_op *op);

/* It closes a descriptor, which is gone then whatever comes of the operation. */
static inline bool rota_op_closes(const struct rota_op *op)
{
	return op->kind == ROTA_OP_CLOSE ||
	       (op->kind == ROTA_OP_FILE &&
		ROTA_CONTAINER_OF(op, const struct rota_file_op, op)->action == ROTA_FILE_CLOSE);
}

/* Bits of rota_completion.flags. */
#define ROTA_COMPLETION_MORE 1u /* not terminal: the operation goes on */
/* `buffer` and `data` are set: lent to the receiver until buffer_return() */
#define ROTA_COMPLETION_BUFFER 2u
/* of a patient operation: it had ended before poll() began to wait */
#define ROTA_COMPLETION_LATE 4u

struct rota_completion {
	struct rota_op *op;
	/*
	 * RECEIVE, result > 0: the bytes; `result` says how many. Writable memory of the engine's.
	 */
	const char *data;
	int32_t result; /* >= 0, or negative errno */
	uint16_t flags;
	uint16_t buffer; /* RECEIVE, result > 0: the buffer's id */
};

/* ---- what an engine can be asked, and what it answers ---- */

/* Feature bits of an engine's table. */
/* virtual time, one thread: the reactor runs ready tasks in seeded order */
#define ROTA_BACKEND_SIMULATED 1u
/* simulated, and ready tasks are to run in any order; set by open() */
#define ROTA_BACKEND_SHUFFLES 2u
/*
 * a send may stay lent until the peer has acknowledged it, cancelled or not (zero copy), unless
 * shutdown() with ROTA_SHUT_RESET ends it; set by open()
 */
#define ROTA_BACKEND_KEEPS_SENDS 4u

struct rota_backend_config {
	/* "multishot=off,buffers=512x20480"; NULL or "" for the defaults. Borrowed. */
	const char *options;
	struct rota_reactor *reactor; /* who will call; NULL in tests */
};

/* Text is cut, never overrun. */
#define ROTA_BACKEND_TEXT_BYTES 1024

struct rota_listen_options {
	struct rota_address address;
	int backlog;
	bool reuse_port;    /* one listener per reactor on one port (SO_REUSEPORT) */
	uint32_t unix_mode; /* permission bits of a Unix socket's file; 0: as the umask says */
};

struct rota_backend_stats {
	/* those that every poll() looks at */
	uint64_t system_calls; /* all of the engine's own making */
	uint64_t polls;        /* poll() calls that entered the kernel */
	uint64_t submitted;    /* operations */
	uint64_t completions;  /* handed to the reactor */
	uint64_t overflows;    /* completions the kernel had to keep aside */
	uint64_t wakes;        /* wake-ups seen */

	uint64_t submission_full;   /* times a full submission queue was flushed early */
	uint64_t unknown;           /* completions of no operation we know; dropped */
	uint64_t buffers_exhausted; /* RECEIVE ended with -ENOBUFS */
	uint32_t buffers_count;     /* receive buffers in all */
	uint32_t buffers_lent;      /* of them, now with the receiver, all or in part */
	uint32_t buffer_bytes;
};

/* Something an engine uses where the kernel has it, as list_features() found it. */
struct rota_backend_feature {
	const char *name;      /* "multishot receive"; of static lifetime */
	const char *unwanted;  /* why the options leave it off, "iowait=on"; NULL: they do not */
	uint16_t kernel_major; /* Linux came with it in this release */
	uint16_t kernel_minor;
	bool is_required; /* the engine does not open without it */
	bool only_helps;  /* the option that asks for it does something without it as well */
	/*
	 * 0: it works here; -EINVAL: the kernel does not know it; -EILSEQ: it has it with a flaw
	 * that loses bytes; or the errno
	 */
	int error;
};

/*
 * For shutdown: the close that is to follow resets the connection, because not all of what it was
 * to carry has been sent. Its peer gets an error then, where it would see an end. Unix sockets know
 * no such thing. From an engine that has ROTA_BACKEND_KEEPS_SENDS the reset comes at once, and
 * sends in flight end.
 */
#define ROTA_SHUT_RESET 3

/*
 * What an I/O engine must provide. All slots are set (use the rota_backend_default_… functions
 * below); checked at start-up. Every function but probe(), wake() and drive() is called on the
 * reactor's own thread. None but poll() and drive() may block.
 */
struct rota_backend_ops {
	const char *name;  /* "uring", "epoll", "sim": used in options and reports */
	uint32_t features; /* ROTA_BACKEND_* */
	/* size of the instance, struct rota_backend first; allocated zeroed, cache-line aligned */
	size_t state_bytes;
	/* where in it the engine keeps its counters, for tools that look from outside */
	size_t stats_offset;

	/*
	 * Can this engine work here, with these options? Any thread, no instance. Writes one line
	 * to `text`: on success what is on and, for each feature that is off, why ("off: zero-copy
	 * send (kernel < 6.0)"); on failure the one reason, with the remedy if there is one.
	 * Returns 0, -EINVAL (an option is unknown or malformed; `text` names it) or the errno that
	 * stands in the way (-ENOSYS, -EPERM, …).
	 */
	int (*probe)(const struct rota_backend_config *config, char text[ROTA_BACKEND_TEXT_BYTES]);

	/*
	 * The same for programs: each feature the engine looks for, tried here whether or not the
	 * options want it, up to `max` of them into `out`. Any thread, no instance. Returns how
	 * many, also where the engine as a whole cannot work (each then has the reason in `error`),
	 * 0 from an engine that needs nothing special (the default), or -EINVAL for bad options.
	 */
	int (*list_features)(const struct rota_backend_config *config,
			     struct rota_backend_feature *out, unsigned max);

	/*
	 * Make a zeroed instance work; self->ops is set. Returns 0 or negative errno with
	 * everything undone.
	 */
	int (*open)(struct rota_backend *self, const struct rota_backend_config *config);

	/* Give everything back. No operation is lent and no buffer is out any more (asserted). */
	void (*close)(struct rota_backend *self);

	/*
	 * Take an operation: lends `op` and the memory it names until its terminal completion.
	 * Never fails: an operation that cannot be started completes with the error, through poll()
	 * like any other.
	 */
	void (*submit)(struct rota_backend *self, struct rota_op *op);

	/*
	 * Ask for a submitted operation to end soon. A hint: the terminal completion still follows,
	 * with -ECANCELED or with what the operation had already achieved. May be called again;
	 * ignored once the terminal completion is in the kernel's queue.
	 */
	void (*cancel)(struct rota_backend *self, struct rota_op *op);

	/*
	 * Give a receive buffer back, once for each completion that brought it: several may have
	 * brought parts of one.
	 */
	void (*buffer_return)(struct rota_backend *self, uint16_t buffer);

	/*
	 * The only call that may block. Start everything submitted so far, then collect up to
	 * `out_max` completions into `out`. `deadline`: wait for the first completion until then
	 * (that of a patient operation is none); a time already past (0) means do not wait. Returns
	 * as well, possibly with 0, after wake(). Spurious returns of 0 are allowed. Enters the
	 * kernel only if there is something to submit, to reap or to wait for. Returns the count,
	 * or negative errno when the engine itself is broken.
	 */
	int (*poll)(struct rota_backend *self, struct rota_completion *out, unsigned out_max,
		    rota_ns deadline);

	/*
	 * Make the current or next poll() return. Any thread, async-signal-safe, keeps errno. Wakes
	 * may merge.
	 */
	void (*wake)(struct rota_backend *self);

	/*
	 * For a reactor inside a foreign loop: the descriptor which that loop waits for with POLLIN
	 * in the place of poll(); see prepare(). Made at the first call, the same from then on,
	 * whatever the engine does inside, and the engine's until close(). Returns it, -ENOTSUP (a
	 * simulator; the default), or negative errno.
	 */
	int (*pollable)(struct rota_backend *self);

	/*
	 * Before each such wait, after pollable(). Returns 0: pollable() is readable as soon as
	 * poll() has something to collect or wake() was called, and stays so until the next
	 * prepare(); it may also be readable for nothing. Returns 1: poll() has something to do
	 * already, perhaps to start what was submitted (the default). Must not block.
	 */
	int (*prepare)(struct rota_backend *self);

	/*
	 * A bound, listening, non-blocking, close-on-exec TCP (TCP_NODELAY inherited) or Unix
	 * socket. A port or path in use is -EADDRINUSE, also when its owner set SO_REUSEPORT,
	 * unless options->reuse_port. A Unix socket file nobody listens on is replaced. Returns the
	 * descriptor.
	 */
	int (*listen)(struct rota_backend *self, const struct rota_listen_options *options);

	/*
	 * Accept one connection that waits on listener `fd` already; no ACCEPT is lent there. Must
	 * not block. Returns its descriptor, as a completion of ROTA_OP_ACCEPT would, -EAGAIN when
	 * none waits, or the errno that would have ended the ACCEPT.
	 */
	int (*try_accept)(struct rota_backend *self, int fd);

	/*
	 * Close a descriptor on which nothing is lent, at once: a connection nobody wants, a
	 * listener. Must not block.
	 */
	void (*discard)(struct rota_backend *self, int fd);

	/*
	 * shutdown(2): `how` is SHUT_RD, SHUT_WR or SHUT_RDWR; or ROTA_SHUT_RESET. Returns 0 or
	 * negative errno.
	 */
	int (*shutdown)(struct rota_backend *self, int fd, int how);

	/*
	 * The local (`peer` false) or the peer's address of a socket. Returns 0 or negative errno.
	 */
	int (*address)(struct rota_backend *self, int fd, bool peer, struct rota_address *out);

	/* Monotonic time; default CLOCK_MONOTONIC. */
	rota_ns (*now)(struct rota_backend *self);

	/* Wall-clock nanoseconds since 1970; default CLOCK_REALTIME. */
	int64_t (*wall_ns)(struct rota_backend *self);

	/* Fill `out` with random bytes; default getrandom(2), the simulator its seed's stream. */
	void (*random)(struct rota_backend *self, void *out, size_t bytes);

	/*
	 * Drive the reactors until each of them has stopped: the threads seam. Called once, on the
	 * thread that calls rota_reactor_drive; needs no open instance. The default starts
	 * one thread per reactor but the first, which runs on the caller's thread; the simulator
	 * steps them all on the caller's. They work together or not at all: when a thread could not
	 * be started or an engine not opened, none of them runs; when a turn fails, all are told to
	 * stop and turned on until they have. Returns 0, or the first negative errno.
	 */
	int (*drive)(struct rota_reactor *const reactors[], unsigned count);

	/* Copy the counters to `out`. */
	void (*stats)(const struct rota_backend *self, struct rota_backend_stats *out);
};

/* The head of every engine's instance. */
struct rota_backend {
	const struct rota_backend_ops *ops;
	uint32_t features; /* ops->features, and what open() adds to them */
};

/* ---- for those who implement engines ---- */

/* For slots that look alike on every Linux; each does what its slot promises. */
ROTA_API int rota_backend_default_list_features(const struct rota_backend_config *config,
						struct rota_backend_feature *out, unsigned max);
ROTA_API rota_ns rota_backend_default_now(struct rota_backend *self);
ROTA_API int64_t rota_backend_default_wall_ns(struct rota_backend *self);
ROTA_API void rota_backend_default_random(struct rota_backend *self, void *out, size_t bytes);
ROTA_API int rota_backend_default_pollable(struct rota_backend *self);
ROTA_API int rota_backend_default_prepare(struct rota_backend *self);
ROTA_API int rota_backend_default_listen(struct rota_backend *self,
					 const struct rota_listen_options *options);
ROTA_API int rota_backend_default_try_accept(struct rota_backend *self, int fd);
ROTA_API void rota_backend_default_discard(struct rota_backend *self, int fd);
ROTA_API int rota_backend_default_shutdown(struct rota_backend *self, int fd, int how);
ROTA_API int rota_backend_default_address(struct rota_backend *self, int fd, bool peer,
					  struct rota_address *out);
ROTA_API int rota_backend_default_drive(struct rota_reactor *const reactors[], unsigned count);

/*
 * True for what accept(2) reports of one connection that went away, or of the network it came by
 * (`error` a positive errno): the listener is as good as before.
 */
ROTA_API bool rota_backend_accept_goes_on(int error);

/*
 * Walk "key=value,key,key=value": sets `*key` and `*value` (empty when there is no '=') into the
 * text at `*cursor` and moves on.
 * Returns false at the end.
 */
ROTA_API bool rota_backend_option_next(const char **cursor, struct rota_view *key,
				       struct rota_view *value);

/* ---- for those who use them without a reactor: tests, tools ---- */

/*
 * Allocate and open an instance of `ops`. Returns 0 and `*out` (owned: rota_backend_destroy), or
 * negative errno.
 */
ROTA_API ROTA_MUST_USE int rota_backend_create(const struct rota_backend_ops *ops,
					       const struct rota_backend_config *config,
					       struct rota_backend **out);

/* Close and free. NULL is allowed. */
ROTA_API void rota_backend_destroy(struct rota_backend *backend);

/*
 * True when every slot of the table is set. Called by rota_backend_create (asserted there).
 */
ROTA_API bool rota_backend_ops_are_complete(const struct rota_backend_ops *ops);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_BACKEND_H */
