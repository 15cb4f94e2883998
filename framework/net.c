/* SPDX-License-Identifier: MIT */
/*
 * The network of a reactor: listeners, accepting, handing connections over, and the turn's hooks.
 * Everything belongs to the reactor's thread but the load counter, by which others choose where to
 * send a connection.
 */
#include <poll.h>
#include <string.h>

#include <rota/error.h>
#include <rota/memory.h>

#include "framework/memory_internal.h"
#include "framework/net_internal.h"

/* How long to wait before accepting again when descriptors ran out and none of ours was closed. */
#define ACCEPT_RETRY_NS (100 * ROTA_NS_PER_MS)
#define DEFAULT_BACKLOG 4096

static void accept_completed(struct rota_op *op, const struct rota_completion *completion);
static void submit_accept(struct rota_listener *listener);
static void listener_advance(struct rota_listener *listener);
static void close_listeners(struct net *net, bool targets_too);
static void retry_accept(struct rota_timer *timer);
static void take_socket(struct rota_listener *listener, int fd);

static const struct rota_conn_limits default_limits = {
	.input_high_bytes = 64 * 1024,
	.input_max_bytes = (size_t)1 << 30,
	.output_high_bytes = 256 * 1024,
	.output_max_bytes = (size_t)64 << 20,
	.idle_timeout_ns = 0,
	.linger_timeout_ns = 2 * ROTA_NS_PER_S,
};

static struct rota_conn_limits fill_limits(const struct rota_conn_limits *asked)
{
	struct rota_conn_limits limits = asked ? *asked : default_limits;

	if (!limits.input_high_bytes)
		limits.input_high_bytes = default_limits.input_high_bytes;
	if (!limits.input_max_bytes)
		limits.input_max_bytes = default_limits.input_max_bytes;
	if (!limits.output_high_bytes)
		limits.output_high_bytes = default_limits.output_high_bytes;
	if (!limits.output_max_bytes)
		limits.output_max_bytes = default_limits.output_max_bytes;
	if (!limits.linger_timeout_ns)
		limits.linger_timeout_ns = default_limits.linger_timeout_ns;
	return limits;
}

/* ---- the reactor's net ---- */

struct net *rota__net(struct rota_reactor *reactor)
{
	struct rota_backend_stats stats;
	struct net *net = reactor->net;
	uint32_t held_max;

	if (net)
		return net;
	reactor->engine->stats(reactor->backend, &stats);
	/* The pool's indices are as wide as the buffers' ids. */
	held_max = (uint32_t)rota_min_size(stats.buffers_count - stats.buffers_count / 8,
					   UINT16_MAX);
	net = rota__calloc_isolated(sizeof(*net) + (held_max + 1) * sizeof(*net->held));
	if (!net)
		return NULL;
	net->reactor = reactor;
	rota_list_init(&net->conns);
	rota_list_init(&net->gone);
	rota_list_init(&net->listeners);
	rota_list_init(&net->starved);
	net->buffers_count = stats.buffers_count;
	net->buffer_bytes = stats.buffer_bytes;
	net->held_idle_max = stats.buffers_count / 2;
	net->held_max = held_max;
	rota__held_init(net);
	reactor->net = net;
	return net;
}

bool rota__net_is_idle(const struct rota_reactor *reactor)
{
	const struct net *net = reactor->net;

	return !net || (rota_list_is_empty(&net->conns) && rota_list_is_empty(&net->listeners) &&
			!net->handovers);
}

bool rota__net_has_work(const struct net *net)
{
	return net->flush_head ||
	       (!rota_list_is_empty(&net->starved) && net->buffers_held < net->buffers_count);
}

/*
 * As many of those in line as there are buffers may receive again. If they take none, more may in
 * the next turn.
 */
static void rearm_starved(struct net *net)
{
	uint32_t free = net->buffers_count - net->buffers_held;
	struct rota_link *link;

	while (free-- && (link = rota_list_pop_front(&net->starved)))
		rota__conn_advance(ROTA_CONTAINER_OF(link, struct rota_conn, wait_link));
}

void rota__net_flush(struct rota_reactor *reactor)
{
	struct net *net = reactor->net;
	struct rota_conn *conn;

	rota__record(reactor, ROTA_RECORD_REST, 0);
	if (!net)
		return;
	while ((conn = net->flush_head)) {
		net->flush_head = conn->next_flush;
		rota__conn_flush(conn);
	}
	if (ROTA_UNLIKELY(!rota_list_is_empty(&net->starved)))
		rearm_starved(net);
}

void rota__net_stop(struct rota_reactor *reactor)
{
	struct net *net = reactor->net;
	struct rota_link *link, *next;

	if (!net)
		return;
	net->is_stopping = true;
	close_listeners(net, true);
	for (link = net->conns.next; link != &net->conns; link = next) {
		next = link->next;
		rota__conn_abort(ROTA_CONTAINER_OF(link, struct rota_conn, link), -ECANCELED,
				 ROTA_CANCEL_SHUTDOWN, "the reactor is stopping");
	}
	for (unsigned i = 0; i < ROTA_GROUPS_MAX; i++)
		rota__workers_dismiss(&net->crews[i]);
}

void rota__net_destroy(struct rota_reactor *reactor)
{
	struct net *net = reactor->net;

	if (!net)
		return;
	ROTA_ASSERT(net->buffers_held == 0);
	rota__output_free_spares(net);
	rota__conn_forget_gone(net);
	reactor->net = NULL;
	rota__free_isolated(net);
}

/* ---- listeners ---- */

static void join_crew(struct rota_listener *listener)
{
	struct rota_reactor *reactor = listener->net->reactor;
	struct rota_group *group = listener->options.group;

	if (!group)
		group = &reactor->groups[GROUP_NORMAL];
	ROTA_ASSERT(group->reactor == reactor);
	group->listeners++;
	listener->crew = &listener->net->crews[group - reactor->groups];
	listener->crew->group = group;
	listener->crew->net = listener->net;
	listener->crew->listeners++;
}

/* The last one's workers need not wait for sessions any more. */
static void leave_crew(struct rota_listener *listener)
{
	struct crew *crew = listener->crew;

	crew->group->listeners--;
	if (--crew->listeners == 0)
		rota__workers_dismiss(crew);
}

int rota_listener_open(const struct rota_listener_options *options, struct rota_listener **out)
{
	struct rota_reactor *reactor = rota__reactor();
	struct net *net = rota__net(reactor);
	struct rota_listener *listener;
	struct rota_listen_options listen = {
		.address = options->address,
		.backlog = options->backlog ? options->backlog : DEFAULT_BACKLOG,
		.reuse_port = options->reuse_port,
		.unix_mode = options->unix_mode,
	};

	ROTA_ASSERT(!options->protocol != !options->handler);
	if (reactor->is_stopping || (net && net->is_draining))
		return -ROTA_ECLOSING;
	listener = net ? rota_calloc(1, sizeof(*listener)) : NULL;
	if (!listener)
		return -ENOMEM;
	listener->net = net;
	listener->options = *options;
	listener->options.limits = fill_limits(&options->limits);
	listener->options.backlog = listen.backlog;
	if (!listener->options.name)
		listener->options.name = options->protocol ? options->protocol->name : "connection";
	listener->references = 1; /* its own, until it is closed */
	rota_timer_init(&listener->retry, retry_accept);
	listener->fd = -1;
	if (!options->is_target) {
		listener->fd = reactor->engine->listen(reactor->backend, &listen);
		if (listener->fd < 0) {
			int status = listener->fd;

			rota_free(listener);
			return status;
		}
		submit_accept(listener);
	}
	join_crew(listener);
	rota_list_push_back(&net->listeners, &listener->link);
	*out = listener;
	return 0;
}

static void submit_accept(struct rota_listener *listener)
{
	listener->accept.kind = ROTA_OP_ACCEPT;
	listener->accept.fd = listener->fd;
	listener->accept.complete = accept_completed;
	listener->accept_is_lent = true;
	rota__op_submit(listener->net->reactor, &listener->accept);
}

/*
 * A closing listener serves what waits: those clients believe that they are connected. As many as
 * the backlog holds, so that it ends however fast others come.
 */
static void accept_the_rest(struct rota_listener *listener)
{
	struct rota_reactor *reactor = listener->net->reactor;

	for (int i = 0; i <= listener->options.backlog; i++) {
		int fd = reactor->engine->try_accept(reactor->backend, listener->fd);

		if (fd < 0)
			return;
		take_socket(listener, fd);
	}
}

/*
 * Closing: the accept ends, the rest is accepted and the descriptor closed in one go, so that
 * nobody comes in between; then the listener's own reference goes.
 */
static void listener_advance(struct rota_listener *listener)
{
	struct rota_reactor *reactor = listener->net->reactor;

	if (!listener->is_closing || listener->accept_is_lent)
		return;
	if (listener->fd >= 0) {
		if (!listener->net->is_stopping)
			accept_the_rest(listener);
		reactor->engine->discard(reactor->backend, listener->fd);
	}
	rota_list_remove(&listener->link);
	rota__listener_unref(listener);
}

void rota_listener_close(struct rota_listener *listener)
{
	rota__check_home(listener->net->reactor, "a listener", __func__);
	if (listener->is_closing)
		return;
	listener->is_closing = true;
	rota_timer_disarm(&listener->retry);
	if (listener->accept_is_lent)
		rota__op_cancel(listener->net->reactor, &listener->accept);
	listener_advance(listener);
}

void rota__listener_unref(struct rota_listener *listener)
{
	if (--listener->references)
		return;
	leave_crew(listener);
	rota_free(listener);
}

int rota_listener_address(const struct rota_listener *listener, struct rota_address *out)
{
	struct rota_reactor *reactor = listener->net->reactor;

	rota__check_home(reactor, "a listener", __func__);
	return reactor->engine->address(reactor->backend, listener->fd, false, out);
}

/* ---- accepting ---- */

static void pause_accepting(struct rota_listener *listener, int error)
{
	uint64_t repeats;

	listener->is_paused = true;
	listener->net->stats.accept_pauses++;
	rota_timer_arm(&listener->retry, listener->net->reactor->now + ACCEPT_RETRY_NS);
	if (rota_log_limit_pass(&listener->net->accept_log, &repeats))
		rota_log(
			ROTA_LOG_WARNING,
			"%s: cannot accept connections: %s; those that are open are served on "
			"(%llu more since the last message; raise the descriptor limit, ulimit -n)",
			listener->options.name, rota_strerror(error), (unsigned long long)repeats);
}

static void resume_accepting(struct rota_listener *listener)
{
	if (!listener->is_paused || listener->is_closing)
		return;
	listener->is_paused = false;
	rota_timer_disarm(&listener->retry);
	submit_accept(listener);
}

static void retry_accept(struct rota_timer *timer)
{
	resume_accepting(ROTA_CONTAINER_OF(timer, struct rota_listener, retry));
}

void rota__net_descriptor_freed(struct net *net)
{
	for (struct rota_link *link = net->listeners.next; link != &net->listeners;
	     link = link->next)
		resume_accepting(ROTA_CONTAINER_OF(link, struct rota_listener, link));
}

static void accept_completed(struct rota_op *op, const struct rota_completion *completion)
{
	struct rota_listener *listener = ROTA_CONTAINER_OF(op, struct rota_listener, accept);

	if (!(completion->flags & ROTA_COMPLETION_MORE))
		listener->accept_is_lent = false;
	if (completion->result >= 0)
		take_socket(listener, completion->result);
	if (!listener->accept_is_lent && !listener->is_closing) {
		if (completion->result >= 0)
			submit_accept(listener);
		else
			pause_accepting(listener, completion->result);
	}
	listener_advance(listener);
}

/* ---- connections that were accepted, or handed over ---- */

struct handover {
	struct rota_message message;
	struct rota_listener *from;
	struct rota_listener *to;
	int fd;
};

/* Close `fd`, which is counted in net->load. */
static void reject(struct net *net, int fd)
{
	__atomic_fetch_sub(&net->load, 1, __ATOMIC_RELAXED);
	net->stats.rejected++;
	net->reactor->engine->discard(net->reactor->backend, fd);
}

/* Serve `fd` here. It is counted in net->load already. */
static void adopt(struct rota_listener *listener, int fd)
{
	struct net *net = listener->net;
	struct rota_conn *conn = NULL;

	if (!net->is_stopping)
		conn = rota__conn_create(net, fd, listener, &listener->options.limits);
	if (!conn) {
		reject(net, fd);
		return;
	}
	net->stats.accepted++;
	if (listener->options.protocol)
		rota__session_ready(conn); /* on_open */
	else if (rota__stream_start(conn) < 0)
		rota__conn_abort(conn, -ENOMEM, ROTA_CANCEL_CLIENT_GONE, "no memory to serve it");
}

static struct rota_listener *least_loaded(struct rota_listener *listener)
{
	struct rota_listener *best = listener;
	uint32_t least = UINT32_MAX;

	for (unsigned i = 0; i < listener->options.targets_count; i++) {
		struct rota_listener *target = listener->options.targets[i];
		/*
		 * Relaxed: only the number counts, and a stale one costs no more than a little
		 * balance.
		 */
		uint32_t load = __atomic_load_n(&target->net->load, __ATOMIC_RELAXED);

		if (load < least) {
			least = load;
			best = target;
		}
	}
	return best;
}

static void handover_returned(struct rota_message *message)
{
	struct handover *handover = ROTA_CONTAINER_OF(message, struct handover, message);

	handover->from->net->handovers--;
	rota__listener_unref(handover->from);
	rota_free(handover);
}

/* It may have been closed while the connection was on its way. */
static bool is_listening(const struct net *net, const struct rota_listener *listener)
{
	for (const struct rota_link *link = net->listeners.next; link != &net->listeners;
	     link = link->next)
		if (link == &listener->link)
			return true;
	return false;
}

static void handover_arrived(struct rota_message *message)
{
	struct handover *handover = ROTA_CONTAINER_OF(message, struct handover, message);

	if (is_listening(rota__reactor()->net, handover->to))
		adopt(handover->to, handover->fd);
	else
		reject(rota__reactor()->net, handover->fd);
	message->run = handover_returned;
	rota_post(handover->from->net->reactor, message);
}

static void take_socket(struct rota_listener *listener, int fd)
{
	struct rota_listener *target = least_loaded(listener);
	struct handover *handover = NULL;

	if (target->net != listener->net)
		handover = rota_alloc(sizeof(*handover));
	if (!handover) /* it is ours, or there is no memory to send it away */
		target = target->net == listener->net ? target : listener;
	__atomic_fetch_add(&target->net->load, 1, __ATOMIC_RELAXED);
	if (!handover) {
		adopt(target, fd);
		return;
	}
	*handover = (struct handover){
		.message.run = handover_arrived, .from = listener, .to = target, .fd = fd
	};
	listener->references++;
	listener->net->handovers++;
	rota_post(target->net->reactor, &handover->message);
}

int rota_connect(const struct rota_address *address, const struct rota_conn_limits *limits,
		 struct rota_conn **out)
{
	struct rota_reactor *reactor = rota__reactor();
	struct net *net = rota__net(reactor);
	struct io io = { .op = { .kind = ROTA_OP_CONNECT, .address = address } };
	struct rota_conn_limits filled = fill_limits(limits);
	int status = rota_check_cancelled();
	struct rota_conn *conn;
	int64_t fd;

	if (status < 0)
		return status;
	if (reactor->is_stopping)
		return -ROTA_ECLOSING;
	if (!net)
		return -ENOMEM;
	fd = rota__io_await(&io);
	if (fd < 0)
		return (int)fd;
	/* The stop may have come during the wait, and the caller shields itself from it. */
	conn = reactor->is_stopping ? NULL : rota__conn_create(net, (int)fd, NULL, &filled);
	if (!conn) {
		reactor->engine->discard(reactor->backend, (int)fd);
		return reactor->is_stopping ? -ROTA_ECLOSING : -ENOMEM;
	}
	conn->is_held = true;
	__atomic_fetch_add(&net->load, 1, __ATOMIC_RELAXED);
	*out = conn;
	return 0;
}

void rota_conn_close(struct rota_conn *conn)
{
	rota__check_held(conn, __func__);
	ROTA_ASSERT(!conn->listener); /* a listener's connections end with their handler */
	ROTA_ASSERT(!rota__stream(conn)->reader);
	ROTA_ASSERT(!rota__stream(conn)->writer);
	conn->is_held = false;
	rota__conn_finish(conn);
	rota__conn_advance(conn); /* it may have been dead already */
}

/* ---- draining ---- */

static void close_listeners(struct net *net, bool targets_too)
{
	struct rota_link *link, *next;

	for (link = net->listeners.next; link != &net->listeners; link = next) {
		struct rota_listener *listener = ROTA_CONTAINER_OF(link, struct rota_listener,
								   link);

		next = link->next;
		if (targets_too || !listener->options.is_target)
			rota_listener_close(listener);
	}
}

void rota__net_stop_accepting(struct rota_reactor *reactor)
{
	if (reactor->net)
		close_listeners(reactor->net, false);
}

bool rota__net_is_accepting(const struct rota_reactor *reactor)
{
	const struct net *net = reactor->net;

	if (!net)
		return false;
	for (const struct rota_link *link = net->listeners.next; link != &net->listeners;
	     link = link->next)
		if (!ROTA_CONTAINER_OF(link, struct rota_listener, link)->options.is_target)
			return true;
	return net->handovers;
}

void rota__net_drain(struct rota_reactor *reactor)
{
	struct net *net = rota__net(reactor);
	struct rota_link *link, *next;

	if (!net)
		return;
	net->is_draining = true;
	close_listeners(net, true);
	for (link = net->conns.next; link != &net->conns; link = next) {
		struct rota_conn *conn = ROTA_CONTAINER_OF(link, struct rota_conn, link);

		next = link->next;
		conn->is_draining = true;
		if (conn->is_stream)
			rota__stream_input(conn);
		rota__conn_advance(conn);
	}
}

/* ---- looking ---- */

int rota_conn_address(const struct rota_conn *conn, bool peer, struct rota_address *out)
{
	rota__check_conn(conn, __func__);
	return conn->reactor->engine->address(conn->reactor->backend, conn->send.fd, peer, out);
}

uint64_t rota_conn_id(const struct rota_conn *conn)
{
	rota__check_conn(conn, __func__);
	return conn->id;
}

int rota_conn_fd(const struct rota_conn *conn)
{
	rota__check_conn(conn, __func__);
	return conn->send.fd;
}

size_t rota_conn_memory_bytes(const struct rota_conn *conn)
{
	size_t bytes = sizeof(*conn) + conn->spill.capacity;

	rota__check_conn(conn, __func__);
	for (const struct chunk *chunk = conn->output.first; chunk; chunk = chunk->next)
		bytes += sizeof(*chunk) + chunk->capacity;
	if (conn->children)
		bytes += sizeof(*conn->children);
	if (!conn->is_stream)
		return bytes + conn->listener->options.protocol->session_bytes;
	return bytes + sizeof(struct stream) +
	       ((const struct stream *)conn->session_state)->held.capacity;
}

size_t rota_conn_input_bytes(const struct rota_conn *conn)
{
	rota__check_conn(conn, __func__);
	return rota__conn_input_bytes(conn);
}

void rota_net_set_idle_timeout(rota_ns timeout_ns)
{
	struct net *net = rota__reactor()->net;
	struct rota_link *link;

	if (!net)
		return;
	for (link = net->listeners.next; link != &net->listeners; link = link->next)
		ROTA_CONTAINER_OF(link, struct rota_listener, link)
			->options.limits.idle_timeout_ns = timeout_ns;
	for (link = net->conns.next; link != &net->conns; link = link->next) {
		struct rota_conn *conn = ROTA_CONTAINER_OF(link, struct rota_conn, link);

		/* Afterwards the timer belongs to lingering. */
		if (!conn->listener || conn->state != CONN_OPEN)
			continue;
		if (timeout_ns)
			rota_timer_arm(&conn->timer, conn->active_at + timeout_ns);
		else
			rota_timer_disarm(&conn->timer);
	}
}

void rota_conn_each(void (*visit)(struct rota_conn *conn, void *arg), void *arg)
{
	struct net *net = rota__reactor()->net;
	struct rota_link *link, *next;

	if (!net)
		return;
	for (link = net->conns.next; link != &net->conns; link = next) {
		next = link->next;
		visit(ROTA_CONTAINER_OF(link, struct rota_conn, link), arg);
	}
}

void rota_net_stats(struct rota_net_stats *out)
{
	const struct net *net = rota__reactor()->net;

	memset(out, 0, sizeof(*out));
	if (!net)
		return;
	*out = net->stats;
	out->workers = net->workers;
	out->handlers_suspended = net->suspended_workers;
}
