/* SPDX-License-Identifier: MIT */
/*
 * Servers: reactors, an engine, and what they serve, from start-up to a graceful stop. What a
 * program calls from main().
 *
 * The one idea: a service says what is served, options say how, and rota_serve() does the rest
 * until SIGTERM or SIGINT: choose an engine, start one reactor per core, listen, print one `ready`
 * line; then stop accepting, let what runs finish, cancel what is left, and give everything back.
 */
#ifndef ROTA_SERVER_H
#define ROTA_SERVER_H

#include <rota/backend.h>
#include <rota/base.h>
#include <rota/net.h>
#include <rota/reactor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- choosing an engine ---- */

struct rota_engine_choice {
	const struct rota_backend_ops *engine;
	const char *options; /* into the text asked for, or "" */
	/* one line: what is on, what is off and why; or why others were passed over */
	char report[ROTA_BACKEND_TEXT_BYTES];
};

/*
 * Choose among `engines` (in the order of preference, ended by NULL) what `asked` names: "auto"
 * (the first that works here), a name, or a name with options ("uring:multishot=off").
 * Lends `asked` to the choice. Returns 0, -EINVAL (no such engine, or a bad option),
 * -ROTA_ENOENGINE (none works, or the one asked for doesn't); out->report says in one line what was
 * chosen, or what is wrong and what to do. Any thread.
 */
ROTA_API ROTA_MUST_USE int rota_engine_choose(const struct rota_backend_ops *const *engines,
					      const char *asked, struct rota_engine_choice *out);

/* ---- serving ---- */

/* How connections come to reactors. */
enum rota_spread {
	/* one accepts and hands each on to the reactor with the fewest: for long-lived ones */
	ROTA_SPREAD_LEAST_LOADED,
	/* each accepts for itself, the kernel hashes: for short-lived ones */
	ROTA_SPREAD_REUSE_PORT,
};

struct rota_server;

/* What is served. */
struct rota_service {
	const char *name;                     /* in the ready line and logs */
	const struct rota_protocol *protocol; /* either this … */
	rota_conn_fn handler;                 /* … or this, a task per connection */
	void *arg;                            /* for either */
	/* where it listens if the options do not say; 0: the kernel chooses */
	uint16_t port;
	enum rota_spread spread;
	struct rota_conn_limits limits;
	/*
	 * Called in a task on each reactor before it serves, and after its last connection has
	 * ended. NULL: nothing. A start that returns negative errno ends the server with that
	 * error. A stop is cancelled after 5 s; those of the other reactors are called all the
	 * same. May suspend.
	 */
	int (*start)(struct rota_server *server, unsigned reactor_index, void *arg);
	void (*stop)(struct rota_server *server, unsigned reactor_index, void *arg);
	/*
	 * Its part of the processor time on each reactor: it is a group of its own with so many
	 * shares (<rota/group.h>). 0: it is in the normal one.
	 */
	uint32_t shares;
	const char *notice; /* added to the ready line; NULL: nothing */
};

#define ROTA_BINDS_MAX 16

struct rota_server_options {
	const struct rota_backend_ops *const *engines; /* required */
	const char *backend;                           /* as rota_engine_choose; NULL: "auto" */
	unsigned reactors;                             /* 0: one per CPU this process may use */
	/* "0,2-3": one reactor on each, in turn; NULL: those this process may use */
	const char *cpus;
	const char *binds[ROTA_BINDS_MAX]; /* numeric addresses or "*"; none: 127.0.0.1 */
	unsigned binds_count;
	int32_t port;             /* -1: no TCP; 0: the service's own */
	const char *unix_path;    /* a Unix socket as well; NULL: none */
	uint32_t unix_mode;       /* its permission bits; 0: as the umask says */
	rota_ns drain_timeout_ns; /* how long a stop waits for what runs; 0: 5 s */
	/* as rota_reactor_options.stall_ns; 0: 100 ms; negative: nobody looks */
	rota_ns stall_ns;
	bool quiet;            /* no ready line */
	bool stack_census;     /* log at the end what stacks were seen to need */
	uint32_t records_kept; /* as rota_reactor_options */
	/* for rota_recorder_save_to; NULL: no file is written */
	const char *record_to;
	/* when it accepts; NULL: nothing */
	void (*on_ready)(struct rota_server *server, void *arg);
	void *on_ready_arg;
};

/* Set everything to its default. */
ROTA_API void rota_server_options_init(struct rota_server_options *options,
				       const struct rota_backend_ops *const *engines);

/*
 * Take one option: `name` as in "port" or "backend" (bind, port, unix, reactors, cpus, backend,
 * drain-timeout, stall-ms, stack-census, records, record-to), `value` its text, which is lent to
 * `options`. Port "0" means no TCP; only a service whose own port is 0 lets the kernel choose.
 * Returns 1 if it was one of these, 0 if it is unknown, -EINVAL if the value is wrong (`error` says
 * what is right).
 */
ROTA_API ROTA_MUST_USE int rota_server_option(struct rota_server_options *options, const char *name,
					      const char *value,
					      char error[ROTA_BACKEND_TEXT_BYTES]);

/* The lines of --help for these options, with newlines. */
ROTA_API const char *rota_server_options_help(void);

/*
 * Serve until SIGTERM, SIGINT or rota_server_stop. Signals it handles are blocked in all its
 * threads. Returns 0 after an orderly stop, or negative errno after one line in the log that says
 * what is wrong and what to do: -EINVAL (an option), as rota_engine_choose, what listening failed
 * with (-EADDRINUSE, -EACCES, -ENOENT …), what `start` returned, -ENOMEM, or the engine's when it
 * broke. Thread: main, before others are started. Both arguments are lent until it returns.
 */
ROTA_API ROTA_MUST_USE int rota_serve(const struct rota_service *service,
				      const struct rota_server_options *options);

/* A whole main(): parses --bind … --help, serves. Returns the exit status. */
ROTA_API int rota_serve_main(const struct rota_service *service,
			     const struct rota_backend_ops *const *engines, int argc, char **argv);

/* Ask it to stop as SIGTERM does. Any thread. */
ROTA_API void rota_server_stop(struct rota_server *server);

/* Its reactors: how many, and the one with this index. Any thread; borrowed from the server. */
ROTA_API unsigned rota_server_reactors_count(const struct rota_server *server);
ROTA_API struct rota_reactor *rota_server_reactor(const struct rota_server *server, unsigned index);

/* The one line about the engine in use. */
ROTA_API const char *rota_server_engine_report(const struct rota_server *server);

/* The first TCP port it listens on; 0: none. Once it is ready. */
ROTA_API uint16_t rota_server_port(const struct rota_server *server);

#define ROTA_VERSION "0.1.0"

#ifdef __cplusplus
}
#endif

#endif /* ROTA_SERVER_H */
