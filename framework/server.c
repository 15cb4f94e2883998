/* SPDX-License-Identifier: MIT */
/*
 * A server's life: choose an engine, make reactors, listen, wait for the signal, drain, stop. Runs
 * on the main thread and, through messages and calls, on every reactor.
 *
 * Reactor 0 runs the server's own task. Everything before the ready line can fail with one line
 * that says what to do; everything after it ends through that task.
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <rota/error.h>
#include <rota/log.h>
#include <rota/memory.h>
#include <rota/server.h>

#include "framework/net_internal.h"
#include "framework/options.h"

#define DEFAULT_DRAIN_NS (5 * ROTA_NS_PER_S)
#define STOP_HOOK_NS (5 * ROTA_NS_PER_S) /* each; a guess */
/* A guess: far above a turn, and at the edge of what people notice. */
#define DEFAULT_STALL_NS (100 * ROTA_NS_PER_MS)
/* How often a draining server looks whether the last connection has ended. */
#define DRAIN_LOOK_NS (5 * ROTA_NS_PER_MS)
/*
 * After the last accept everything is served on for so long: what clients have sent already is in
 * receive buffers, on its way to another reactor, or right behind the handshake. A guess,
 * 2026-11-26.
 */
#define DRAIN_GRACE_NS (20 * ROTA_NS_PER_MS)
#define LISTENERS_MAX (ROTA_BINDS_MAX + 1)

struct rota_server {
	const struct rota_service *service;
	const struct rota_server_options *options;
	struct rota_engine_choice choice;
	struct rota_reactor *reactors[ROTA_REACTORS_MAX];
	unsigned reactors_count;
	unsigned started_count;                           /* reactors whose start hook has run */
	struct rota_group *groups[ROTA_REACTORS_MAX];     /* the service's; NULL: the normal one */
	struct rota_listener *targets[ROTA_REACTORS_MAX]; /* least-loaded: one per reactor */
	struct rota_address addresses[LISTENERS_MAX];
	unsigned addresses_count;
	/* the first TCP listener's, with its port */
	struct rota_address bound;
	struct rota_message begin;     /* starts the server's task on reactor 0 */
	struct rota_future stop_asked; /* reactor 0 */
	struct rota_message stop_message;
	uint32_t stop_is_posted; /* atomic */
	int signals;             /* signalfd, or -1 */
	sigset_t signals_before; /* blocked then */
	/* while draining: one per reactor */
	struct call_here {
		struct rota_call call;
		struct share {
			struct rota_server *server;
			unsigned index;
		} share;
	} calls[ROTA_REACTORS_MAX];
	bool has_said_why; /* of a failure: one line is enough */
	int status;
};

/* ---- setting up: addresses, CPUs ---- */

static int fail(struct rota_server *server, int status, const char *format, ...) ROTA_PRINTF(3, 4);

static int resolve_addresses(struct rota_server *server)
{
	const struct rota_server_options *options = server->options;
	uint16_t port = options->port > 0 ? (uint16_t)options->port : server->service->port;
	static const char *const loopback[] = { "127.0.0.1" };
	const char *const *binds = options->binds_count ? options->binds : loopback;
	unsigned count = options->binds_count ? options->binds_count : 1;
	int status;

	for (unsigned i = 0; i < count && options->port >= 0; i++) {
		status = rota_address_parse(&server->addresses[server->addresses_count++], binds[i],
					    port);
		if (status < 0)
			return fail(
				server, status,
				"cannot bind %s: not a numeric address (try 127.0.0.1, ::1 or *)",
				binds[i]);
	}
	if (options->unix_path) {
		status = rota_address_local(&server->addresses[server->addresses_count++],
					    options->unix_path);
		if (status < 0)
			return fail(server, status, "cannot listen on %s: %s", options->unix_path,
				    rota_strerror(status));
	}
	if (!server->addresses_count)
		return fail(server, -EINVAL,
			    "nothing to listen on: no TCP port and no Unix socket");
	return 0;
}

/*
 * Fill `cpus` with where reactors go, in turn. Returns how many there are, or negative errno with a
 * message.
 */
static int choose_cpus(const struct rota_server_options *options, int cpus[ROTA_REACTORS_MAX])
{
	cpu_set_t allowed;
	int count = 0;

	if (options->cpus)
		return rota__cpus_parse(options->cpus, cpus, ROTA_REACTORS_MAX);
	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return -errno;
	for (int cpu = 0; cpu < CPU_SETSIZE && count < ROTA_REACTORS_MAX; cpu++)
		if (CPU_ISSET((size_t)cpu, &allowed))
			cpus[count++] = cpu;
	return count;
}

static int create_reactors(struct rota_server *server)
{
	const struct rota_server_options *options = server->options;
	int cpus[ROTA_REACTORS_MAX];
	int count = choose_cpus(options, cpus);
	rota_ns stall_ns = options->stall_ns ? options->stall_ns : DEFAULT_STALL_NS;
	unsigned wanted = options->reactors ? options->reactors : (unsigned)count;
	/*
	 * Pinning two reactors to one CPU, or any on request of nobody to a shared one, would only
	 * hurt.
	 */
	bool pins = options->cpus || wanted <= (unsigned)count;

	if (count <= 0)
		return fail(server, count ? count : -EINVAL, "cannot tell which CPUs to use: %s",
			    rota_strerror(count));
	if (wanted > ROTA_REACTORS_MAX)
		return fail(server, -EINVAL, "%u reactors are too many: at most %u", wanted,
			    ROTA_REACTORS_MAX);
	for (unsigned i = 0; i < wanted; i++) {
		struct rota_reactor_options reactor = {
			.engine = server->choice.engine,
			.engine_options = server->choice.options,
			.index = i,
			.is_pinned = pins,
			.cpu = cpus[i % (unsigned)count],
			.records_kept = options->records_kept,
			.stall_ns = stall_ns > 0 ? stall_ns : 0,
		};
		int status = rota_reactor_create(&reactor, &server->reactors[i]);

		if (status < 0)
			return fail(server, status, "cannot make reactor %u: %s", i,
				    rota_strerror(status));
		server->reactors_count++;
	}
	return 0;
}

/* ---- on each reactor ---- */

static int64_t start_here(void *arg)
{
	struct share *share = arg;
	const struct rota_service *service = share->server->service;

	return service->start ? service->start(share->server, share->index, service->arg) : 0;
}

static int64_t stop_here(void *arg)
{
	struct share *share = arg;
	const struct rota_service *service = share->server->service;

	if (service->stop)
		service->stop(share->server, share->index, service->arg);
	return rota_check_cancelled();
}

static struct rota_listener_options listener_options(const struct rota_server *server,
						     unsigned index)
{
	const struct rota_service *service = server->service;

	return (struct rota_listener_options){
		.protocol = service->protocol,
		.handler = service->handler,
		.arg = service->arg,
		.name = service->name,
		.limits = service->limits,
		.group = server->groups[index],
		.unix_mode = server->options->unix_mode,
		.reuse_port = service->spread == ROTA_SPREAD_REUSE_PORT,
	};
}

static int64_t open_target_here(void *arg)
{
	struct share *share = arg;
	const struct rota_service *service = share->server->service;
	struct rota_listener_options options;
	int status = 0;

	if (service->shares)
		status = rota_group_create(service->name, service->shares,
					   &share->server->groups[share->index]);
	if (status < 0)
		return fail(share->server, status, "cannot give %s %u shares: %s", service->name,
			    service->shares, rota_strerror(status));
	options = listener_options(share->server, share->index);
	options.is_target = true;
	return rota_listener_open(&options, &share->server->targets[share->index]);
}

/*
 * A shared port would be shared with any other server of this user's as well: bind it alone first,
 * which finds out. Returns 0 or negative errno.
 */
static int claim_port(const struct rota_address *address)
{
	struct rota_reactor *reactor = rota__reactor();
	struct rota_listen_options alone = { .address = *address, .backlog = 1 };
	int fd = rota_address_port(address) ? reactor->engine->listen(reactor->backend, &alone)
					    : -1;

	if (fd >= 0)
		reactor->engine->discard(reactor->backend, fd);
	return fd >= 0 || !rota_address_port(address) ? 0 : fd;
}

/* What an operator may do when there is no listening with `status`. */
static const char *remedy(int status, bool is_local)
{
	switch (status) {
	case -EADDRINUSE:
		return is_local ? "; another program has it: stop that one or choose another with "
				  "--unix"
				: "; another program has it: stop that one or choose another with "
				  "--port";
	case -EACCES:
		return is_local ? "; choose a path you may write with --unix"
				: "; choose a port above 1023 with --port";
	case -EEXIST:
		return "; it is no socket: remove it or choose another with --unix";
	default:
		return "";
	}
}

/* Listen on every address, as the only one or as one of several on the same port. */
static int64_t listen_here(void *arg)
{
	struct share *share = arg;
	struct rota_server *server = share->server;
	bool is_shared = server->service->spread == ROTA_SPREAD_REUSE_PORT &&
			 server->reactors_count > 1;
	struct rota_listener_options options = listener_options(server, share->index);

	options.reuse_port = is_shared;
	if (!is_shared && server->reactors_count > 1) {
		options.targets = server->targets;
		options.targets_count = server->reactors_count;
	}
	for (unsigned i = 0; i < server->addresses_count; i++) {
		struct rota_listener *listener;
		bool is_local = server->addresses[i].any.sa_family == AF_UNIX;
		char text[ROTA_ADDRESS_TEXT_BYTES];
		int status;

		if (is_local && share->index > 0)
			continue; /* a Unix socket cannot be shared: the first reactor has it */
		options.address = server->addresses[i];
		options.reuse_port = is_shared && !is_local;
		status = options.reuse_port && share->index == 0 ? claim_port(&options.address) : 0;
		if (status == 0)
			status = rota_listener_open(&options, &listener);
		if (status < 0) {
			rota_address_format(&server->addresses[i], text);
			return fail(server, status, "cannot listen on %s: %s%s", text,
				    rota_strerror(status), remedy(status, is_local));
		}
		/*
		 * With port 0 the kernel chose one; the other reactors must share that very port.
		 */
		rota_ignore(rota_listener_address(listener, &server->addresses[i]), "printed only");
		if (!is_local && !server->bound.bytes)
			server->bound = server->addresses[i];
	}
	return 0;
}

/* Close the listeners, and wait until what they have accepted has arrived where it is served. */
static int64_t stop_accepting_here(void *arg)
{
	struct share *share = arg;
	struct rota_reactor *reactor = share->server->reactors[share->index];
	int status = 0;

	rota__net_stop_accepting(reactor);
	while (status == 0 && rota__net_is_accepting(reactor))
		status = rota_sleep_until(rota_after_ns(DRAIN_LOOK_NS));
	return status;
}

static int64_t drain_here(void *arg)
{
	struct share *share = arg;
	struct rota_reactor *reactor = share->server->reactors[share->index];
	struct rota_net_stats stats;
	int status = 0;

	rota_net_stats(&stats);
	if (stats.connections)
		status = rota_sleep_until(rota_after_ns(DRAIN_GRACE_NS));
	rota__net_drain(reactor);
	while (status == 0 && !rota__net_is_idle(reactor))
		status = rota_sleep_until(rota_after_ns(DRAIN_LOOK_NS));
	return status;
}

/* Call `fn` on reactors 0 … count-1, one after another. Returns 0 or the first negative result. */
static int64_t on_each(struct rota_server *server, rota_task_fn fn, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct share share = { server, i };
		int64_t status = rota_call_on(server->reactors[i], fn, &share);

		if (status < 0)
			return status;
	}
	return 0;
}

/* Call `fn` on all reactors at once and wait for all, or until the time is up. */
static void on_all(struct rota_server *server, rota_task_fn fn)
{
	struct rota_future *called[ROTA_REACTORS_MAX];

	for (unsigned i = 0; i < server->reactors_count; i++) {
		struct call_here *one = &server->calls[i];

		one->share = (struct share){ server, i };
		rota_call_start(&one->call, server->reactors[i], fn, &one->share);
		called[i] = &one->call.future;
	}
	rota_ignore(rota_await_all(called, server->reactors_count), "what is left is cancelled");
}

/* ---- the server's task ---- */

/*
 * The stop hooks of all reactors whose start hooks have run, whatever becomes of those before: what
 * a service shares between reactors may go with the last. Returns 0 or the first failure.
 */
static int stop_each(struct rota_server *server)
{
	int first = 0;

	for (unsigned i = 0; i < server->started_count; i++) {
		struct share share = { server, i };
		struct rota_scope scope;
		int64_t status;

		rota_shield(&scope, rota_after_ns(STOP_HOOK_NS));
		status = rota_call_on(server->reactors[i], stop_here, &share);
		rota_ignore(rota_scope_close(&scope), "the call has said so");
		if (status < 0 && first == 0)
			first = fail(server, (int)status, "%s cannot stop on reactor %u: %s",
				     server->service->name, i, rota_strerror((int)status));
	}
	return first;
}

static void print_ready(const struct rota_server *server)
{
	char text[ROTA_ADDRESS_TEXT_BYTES];

	if (server->options->quiet)
		return;
	printf("%s %s ready on", server->service->name, ROTA_VERSION);
	for (unsigned i = 0; i < server->addresses_count; i++)
		printf("%s %s", i ? "," : "", rota_address_format(&server->addresses[i], text));
	printf(" (pid %ld, %u reactor%s; %s)%s%s\n", (long)getpid(), server->reactors_count,
	       server->reactors_count == 1 ? "" : "s", server->choice.report,
	       server->service->notice ? "; " : "",
	       server->service->notice ? server->service->notice : "");
	fflush(stdout);
}

static int64_t open_for_business(struct rota_server *server)
{
	int64_t status = on_each(server, open_target_here, server->reactors_count);

	for (unsigned i = 0; status == 0 && i < server->reactors_count; i++) {
		struct share share = { server, i };

		status = rota_call_on(server->reactors[i], start_here, &share);
		if (status >= 0) {
			server->started_count++;
			status = 0;
		} else {
			fail(server, (int)status, "%s cannot start: %s", server->service->name,
			     rota_strerror(status));
		}
	}
	if (status == 0)
		status = on_each(server, listen_here,
				 server->service->spread == ROTA_SPREAD_REUSE_PORT
					 ? server->reactors_count
					 : 1);
	return status;
}

static int64_t read_signals(void *arg)
{
	struct rota_server *server = arg;
	struct signalfd_siginfo info;
	int events = rota_poll_fd(server->signals, POLLIN);

	if (events < 0)
		return events == -ECANCELED ? 0 : events;
	while (read(server->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		rota_log(ROTA_LOG_INFO, "%s stops: %s", server->service->name,
			 info.ssi_signo == SIGINT ? "interrupted" : "asked to terminate");
	rota_server_stop(server);
	return 0;
}

/*
 * Let what runs finish, as long as the drain time-out allows. Nobody drains before all have stopped
 * accepting: a connection may still be on its way from one reactor to another.
 */
static void drain(struct rota_server *server)
{
	rota_ns timeout = server->options->drain_timeout_ns;
	struct rota_scope scope;

	rota_shield(&scope, rota_after_ns(timeout ? timeout : DEFAULT_DRAIN_NS));
	on_all(server, stop_accepting_here);
	on_all(server, drain_here);
	if (rota_scope_close(&scope) == -ETIMEDOUT)
		rota_log(ROTA_LOG_WARNING,
			 "%s: connections were still open when the drain time-out passed",
			 server->service->name);
}

static int64_t server_main(void *arg)
{
	struct rota_server *server = arg;
	struct rota_scope scope;
	int64_t status;
	int stopped;

	rota_scope_open(&scope, ROTA_NEVER);
	status = open_for_business(server);
	if (status == 0) {
		print_ready(server);
		if (server->options->on_ready)
			server->options->on_ready(server, server->options->on_ready_arg);
		if (server->signals >= 0)
			status = rota_spawn(&scope, read_signals, server);
		if (status == 0)
			status = rota_await(&server->stop_asked);
	}
	rota_scope_cancel(&scope, "the server stops");
	rota_ignore(rota_scope_close(&scope), "cancelled by ourselves");
	drain(server);
	stopped = stop_each(server);
	for (unsigned i = 0; i < server->reactors_count; i++)
		rota_reactor_stop(server->reactors[i]);
	server->status = status < 0 ? (int)status : stopped;
	return 0;
}

static void begin(struct rota_message *message)
{
	struct rota_server *server = ROTA_CONTAINER_OF(message, struct rota_server, begin);
	struct rota_reactor *reactor = server->reactors[0];
	int status = rota__task_create(reactor, &reactor->root, server_main, server, NULL,
				       ROTA_SITE("server"), NULL);

	if (status < 0) {
		server->status = fail(server, status, "cannot start the server's task: %s",
				      rota_strerror(status));
		for (unsigned i = 0; i < server->reactors_count; i++)
			rota_reactor_stop(server->reactors[i]);
	}
}

static void stop_arrived(struct rota_message *message)
{
	struct rota_server *server = ROTA_CONTAINER_OF(message, struct rota_server, stop_message);

	rota_future_complete(&server->stop_asked, 0);
}

void rota_server_stop(struct rota_server *server)
{
	if (!__atomic_exchange_n(&server->stop_is_posted, 1, __ATOMIC_ACQ_REL))
		rota_post(server->reactors[0], &server->stop_message);
}

/* ---- from outside ---- */

/*
 * Say what the server fails with: one line in the log, the first. Returns `status`, so that callers
 * can `return fail(…)`.
 */
static int fail(struct rota_server *server, int status, const char *format, ...)
{
	char line[ROTA_BACKEND_TEXT_BYTES];
	va_list args;

	if (server->has_said_why)
		return status;
	server->has_said_why = true;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	rota_log(ROTA_LOG_ERROR, "%s", line);
	return status;
}

/*
 * SIGTERM and SIGINT become readable on a descriptor; in every thread made from here on they are
 * blocked. A simulated world has no signals: there they do what they did.
 */
static int catch_signals(struct rota_server *server)
{
	sigset_t caught;

	if (server->choice.engine->features & ROTA_BACKEND_SIMULATED)
		return 0;
	sigemptyset(&caught);
	sigaddset(&caught, SIGTERM);
	sigaddset(&caught, SIGINT);
	server->signals = signalfd(-1, &caught, SFD_NONBLOCK | SFD_CLOEXEC);
	if (server->signals < 0)
		return fail(server, -errno, "cannot catch signals: %s", rota_strerror(errno));
	pthread_sigmask(SIG_BLOCK, &caught, &server->signals_before);
	return 0;
}

static int record_to_file(struct rota_server *server)
{
	const char *path = server->options->record_to;
	int status = path ? rota_recorder_save_to(path) : 0;

	return status < 0 ? fail(server, status, "cannot record to %s: %s", path,
				 rota_strerror(status))
			  : 0;
}

/* Another signal that came while the server stopped was for it, and must not hit the program. */
static void release_signals(struct rota_server *server)
{
	struct signalfd_siginfo info;

	if (server->signals < 0)
		return;
	while (read(server->signals, &info, sizeof(info)) > 0)
		;
	close(server->signals);
	pthread_sigmask(SIG_SETMASK, &server->signals_before, NULL);
}

int rota_serve(const struct rota_service *service, const struct rota_server_options *options)
{
	struct rota_server *server = rota_calloc(1, sizeof(*server));
	int status;

	if (!server) {
		rota_log(ROTA_LOG_ERROR, "no memory for the server");
		return -ENOMEM;
	}
	server->service = service;
	server->options = options;
	server->begin.run = begin;
	server->stop_message.run = stop_arrived;
	rota_future_init(&server->stop_asked);
	server->signals = -1;
	status = rota_engine_choose(options->engines, options->backend, &server->choice);
	if (status < 0)
		fail(server, status, "%s", server->choice.report);
	else
		status = catch_signals(server);
	if (status == 0)
		status = record_to_file(server);
	if (status == 0)
		status = resolve_addresses(server);
	if (status == 0)
		status = create_reactors(server);
	if (status == 0) {
		rota_post(server->reactors[0], &server->begin);
		status = rota_reactor_drive(server->reactors, server->reactors_count);
		if (status < 0)
			fail(server, status, "a reactor cannot run on %s: %s",
			     server->choice.engine->name, rota_strerror(status));
		else
			status = server->status;
	}
	for (unsigned i = 0; i < server->reactors_count; i++) {
		if (options->stack_census)
			rota_stack_census_log(server->reactors[i]);
		rota_reactor_destroy(server->reactors[i]);
	}
	release_signals(server);
	if (status < 0)
		fail(server, status, "%s cannot serve: %s", service->name, rota_strerror(status));
	rota_free(server);
	return status;
}

unsigned rota_server_reactors_count(const struct rota_server *server)
{
	return server->reactors_count;
}

struct rota_reactor *rota_server_reactor(const struct rota_server *server, unsigned index)
{
	ROTA_ASSERT(index < server->reactors_count);
	return server->reactors[index];
}

const char *rota_server_engine_report(const struct rota_server *server)
{
	return server->choice.report;
}

uint16_t rota_server_port(const struct rota_server *server)
{
	return server->bound.bytes ? rota_address_port(&server->bound) : 0;
}
