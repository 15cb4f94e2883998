/* SPDX-License-Identifier: MIT */
/*
 * Sessions: protocols served by worker tasks. Belongs to one reactor.
 *
 * One worker at a time serves the ready sessions, one after another, on one stack and without a
 * switch. When a handler suspends (on_suspend, just before the switch), that worker stays behind
 * with its session, and another one is started for the rest. A worker that comes to its end parks,
 * or ends if enough are parked.
 */
#include <rota/error.h>
#include <rota/log.h>
#include <rota/memory.h>

#include "framework/net_internal.h"

/*
 * Parked workers kept warm. A guess: a handler or two that suspend in every turn should not cost a
 * spawn each.
 */
#define IDLE_WORKERS_MAX 16
/*
 * Handlers that may be suspended at once on a reactor; beyond, sessions wait in line.
 * docs/limits.md
 */
#define WORKERS_MAX 65536
/* Sessions served before others that are ready get a chance. */
#define SESSIONS_PER_SLICE 64

static int64_t worker_main(void *arg);
static void serve(struct rota_task *task, struct rota_conn *conn, struct rota_scope *scope);
static int call_on_open(struct rota_conn *conn);
static int call_on_open(struct rota_conn *conn);
static inline int call_on_bytes(struct rota_conn *conn);

/* ---- the line of ready sessions ---- */

void rota__session_queue(struct rota_conn *conn)
{
	struct crew *crew = conn->listener->crew;

	conn->is_ready = true;
	conn->next_ready = NULL;
	if (crew->ready_head)
		crew->ready_tail->next_ready = conn;
	else
		crew->ready_head = conn;
	crew->ready_tail = conn;
	if (!crew->serving_workers)
		rota__workers_kick(crew);
}

static struct rota_conn *pop_ready(struct crew *crew)
{
	struct rota_conn *conn = crew->ready_head;

	if (conn) {
		crew->ready_head = conn->next_ready;
		conn->is_ready = false;
	}
	return conn;
}

/* ---- workers ---- */

static void shed(struct crew *crew, int error)
{
	struct rota_conn *conn;

	while ((conn = pop_ready(crew))) {
		crew->net->stats.rejected++;
		rota__conn_abort(conn, error, ROTA_CANCEL_CLIENT_GONE, "no memory to serve it");
	}
}

void rota__workers_kick(struct crew *crew)
{
	struct rota_task *worker = crew->idle_worker;
	struct rota_spawn_options options = { .name = "worker", .group = crew->group };
	struct net *net = crew->net;
	int status;

	if (!crew->ready_head || crew->serving_workers)
		return;
	if (worker) {
		crew->idle_worker = worker->next_ready;
		crew->idle_workers--;
		crew->serving_workers++;
		rota__task_make_ready(worker);
		return;
	}
	if (crew->workers >= WORKERS_MAX)
		return; /* the next handler that returns goes on with the line */
	status = rota__task_create(net->reactor, &net->reactor->root, worker_main, crew, &options,
				   ROTA_SITE("worker"), NULL);
	if (status < 0) {
		/* With workers left the line moves on; with none it never would. */
		if (!crew->workers)
			shed(crew, status);
		return;
	}
	net->workers++;
	crew->workers++;
	crew->serving_workers++;
}

void rota__workers_dismiss(struct crew *crew)
{
	struct rota_task *worker;

	while ((worker = crew->idle_worker)) {
		crew->idle_worker = worker->next_ready;
		crew->idle_workers--;
		crew->serving_workers++;
		rota__task_make_ready(worker);
	}
}

static int64_t worker_main(void *arg)
{
	struct crew *crew = arg;
	struct net *net = crew->net;
	struct rota_task *task = net->reactor->current;
	struct rota_scope scope; /* the session's that is served: opened once for many */

	rota_scope_open(&scope, ROTA_NEVER);
	task->client_scope = &scope;
	for (;;) {
		struct rota_conn *conn;
		unsigned served = 0;

		while ((conn = pop_ready(crew))) {
			serve(task, conn, &scope);
			if (crew->serving_workers > 1)
				break; /* its handler had suspended, and another worker took over */
			if (++served % SESSIONS_PER_SLICE == 0)
				rota_ignore(rota_yield(),
					    "sessions are served also while stopping");
		}
		crew->serving_workers--;
		if (net->is_stopping || !crew->listeners || crew->idle_workers >= IDLE_WORKERS_MAX)
			break;
		task->next_ready = crew->idle_worker;
		crew->idle_worker = task;
		crew->idle_workers++;
		rota__record(net->reactor, ROTA_RECORD_WAIT, (uint64_t)ROTA_RECORD_PARKED << 48);
		rota__task_suspend(task);
	}
	rota_ignore(rota_scope_close(&scope), "handlers report by what they return");
	net->workers--;
	crew->workers--;
	rota__workers_kick(crew);
	return 0;
}

/*
 * The handler is about to suspend for the first time in this call: its view dies, and others may be
 * served meanwhile.
 */
static void handler_suspends(struct rota_task *task)
{
	struct rota_conn *conn = task->on_suspend_arg;
	struct crew *crew = conn->listener->crew;

	task->on_suspend = NULL;
	rota__conn_end_view(conn);
	crew->net->suspended_workers++;
	crew->serving_workers--;
	rota__workers_kick(crew);
}

static void handler_returned(struct net *net, struct rota_task *task)
{
	struct rota_conn *conn = task->on_suspend_arg;

	if (!task->on_suspend) { /* it had suspended */
		net->suspended_workers--;
		conn->listener->crew->serving_workers++;
		conn->active_at = conn->reactor->now; /* from here on it may be idle */
	}
	task->on_suspend = NULL;
	task->outlives_client = false; /* said for one call */
}

/* ---- serving ---- */

/*
 * Most handlers leave their scope as it was: then the next session has it. Otherwise wait for what
 * was spawned, forget what was cancelled, and begin anew: true.
 */
static inline bool renew_scope(struct rota_task *task, struct rota_scope *scope)
{
	ROTA_ASSERT(task->scope == scope); /* the handler has closed all it opened */
	if (ROTA_LIKELY(rota__scope_is_unused(scope)))
		return false;
	rota_ignore(rota_scope_close(scope), "handlers report by what they return");
	rota_scope_open(scope, ROTA_NEVER);
	return true;
}

static void handler_failed(struct rota_conn *conn, int status)
{
	struct rota_cancel_reason reason = { .kind = ROTA_CANCEL_BY_HAND,
					     .error = -ECANCELED,
					     .why = "the session's handler failed" };

	if (!conn->error)
		conn->error = status; /* what on_close is told */
	rota__session_cancel(conn, &reason);
	rota__conn_finish(conn);
}

static void serve(struct rota_task *task, struct rota_conn *conn, struct rota_scope *scope)
{
	bool is_at_rest;
	int status;

	if (!rota__session_may_serve(conn)) { /* something happened while it waited in line */
		rota__conn_advance(conn);
		return;
	}
	conn->task = task;
	rota__record(conn->reactor, ROTA_RECORD_SERVE, conn->id);
	do { /* until the protocol has consumed what it can */
		status = ROTA_UNLIKELY(conn->is_new) ? call_on_open(conn) : call_on_bytes(conn);
		is_at_rest = status == 0 && rota__conn_is_at_rest(conn);
	} while (!is_at_rest && status == 0 && rota__session_may_serve(conn));
	if (ROTA_UNLIKELY(renew_scope(task, scope)))
		is_at_rest = false; /* that may have waited */
	conn->task = NULL;
	if (ROTA_LIKELY(is_at_rest))
		return;
	if (status < 0)
		handler_failed(conn, status);
	if (conn->state != CONN_OPEN)
		rota__conn_return_buffers(conn); /* finished inside: its view is dead only now */
	rota__conn_spill(conn);
	rota__conn_advance(conn);
	rota__session_ready(conn);
}

static int call_on_open(struct rota_conn *conn)
{
	struct net *net = conn->reactor->net;
	struct rota_task *task = conn->task;
	int status;

	conn->is_new = false;
	task->on_suspend_arg = conn;
	task->on_suspend = handler_suspends;
	status = conn->listener->options.protocol->on_open((struct rota_session *)conn);
	handler_returned(net, task);
	if (status < 0)
		net->stats.rejected++;
	return status < 0 ? status : 0;
}

static inline int call_on_bytes(struct rota_conn *conn)
{
	struct rota_task *task = conn->task;
	struct rota_view input = rota__conn_input(conn);
	int64_t status;

	if (ROTA_UNLIKELY(input.bytes < conn->need_bytes)) {
		if (!rota__conn_widen_input(conn))
			return 0; /* it is aborted */
		input = rota__conn_input(conn);
	}
	conn->need_bytes = 0;
	task->on_suspend_arg = conn;
	task->on_suspend = handler_suspends;
	status = conn->listener->options.protocol->on_bytes((struct rota_session *)conn, input);
	handler_returned(conn->reactor->net, task);
	if (ROTA_UNLIKELY(status < 0))
		return (int)status;
	ROTA_ASSERT((size_t)status <= input.bytes);
	if (ROTA_UNLIKELY(conn->state != CONN_OPEN))
		return 0; /* finished or aborted meanwhile: the input is gone */
	rota__conn_consume(conn, (size_t)status);
	if (ROTA_UNLIKELY(conn->output.pending_bytes > conn->limits->output_high_bytes))
		conn->is_full = true; /* the send's completion goes on */
	else if (ROTA_UNLIKELY(status == 0) && conn->need_bytes <= input.bytes)
		/* more than it has seen; what came while it was suspended counts */
		conn->need_bytes = input.bytes + 1;
	return ROTA_UNLIKELY(conn->need_bytes > conn->limits->input_max_bytes) ? -EMSGSIZE : 0;
}

/* ---- the session's own scope ---- */

/* Its last task has ended, which the session may have waited for to go on to its end. */
static void children_ended(struct rota_scope *scope)
{
	struct rota_conn *conn = ROTA_CONTAINER_OF(scope, struct session_scope, scope)->conn;

	conn->active_at = conn->reactor->now; /* from here on it may be idle */
	rota__conn_advance(conn);
}

static struct session_scope *make_children(struct rota_conn *conn)
{
	const struct rota_scope *handler = conn->task->client_scope;
	struct session_scope *children = rota_alloc(sizeof(*children));

	if (!children)
		return NULL;
	rota__scope_init(&children->scope, &conn->reactor->root, NULL, ROTA_NEVER);
	children->scope.keeps_going_ = true;
	children->scope.emptied_ = children_ended;
	children->conn = conn;
	/* It may be asked for by a handler that goes on although its client is gone. */
	if (handler->reason_.kind != ROTA_CANCEL_NONE)
		rota__scope_cancel(conn->reactor, &children->scope, &handler->reason_);
	return children;
}

void rota__session_cancel(struct rota_conn *conn, const struct rota_cancel_reason *reason)
{
	if (conn->children)
		rota__scope_cancel(conn->reactor, &conn->children->scope, reason);
}

void rota__session_fini(struct rota_conn *conn)
{
	if (!conn->children)
		return;
	rota__failures_surface(conn->reactor, &conn->children->scope);
	rota__scope_retire(conn->reactor, &conn->children->scope);
	rota_free(conn->children);
}

/* ---- what protocols call ---- */

static struct rota_conn *conn_of(const struct rota_session *session, const char *call)
{
	struct rota_conn *conn = (struct rota_conn *)session;

	rota__check_conn(conn, call);
	return conn;
}

void *rota_session_state(struct rota_session *session)
{
	return conn_of(session, __func__)->session_state;
}

struct rota_output *rota_session_output(struct rota_session *session)
{
	return &conn_of(session, __func__)->output;
}

void *rota_session_arg(struct rota_session *session)
{
	return conn_of(session, __func__)->listener->options.arg;
}

struct rota_conn *rota_session_conn(struct rota_session *session)
{
	return conn_of(session, __func__);
}

struct rota_scope *rota_session_scope(struct rota_session *session)
{
	struct rota_conn *conn = conn_of(session, __func__);

	ROTA_ASSERT(rota__conn_is_served(conn));
	if (!conn->children)
		conn->children = make_children(conn);
	return conn->children ? &conn->children->scope : NULL;
}

void rota_session_need(struct rota_session *session, size_t bytes)
{
	conn_of(session, __func__)->need_bytes = bytes;
}

bool rota_session_is_full(const struct rota_session *session)
{
	const struct rota_conn *conn = conn_of(session, __func__);

	return conn->output.pending_bytes > conn->limits->output_high_bytes;
}

const struct rota_session *rota_session_after(const struct rota_session *session,
					      struct rota_view *input)
{
	const struct rota_conn *conn = conn_of(session, __func__);
	const struct rota_conn *next = conn->is_ready ? conn->next_ready
						      : conn->listener->crew->ready_head;

	if (next)
		*input = rota__conn_input(next);
	return (const struct rota_session *)next;
}

void rota_session_finish(struct rota_session *session)
{
	rota__conn_finish(conn_of(session, __func__));
}

void rota_session_abort(struct rota_session *session, const char *why)
{
	rota__conn_abort(conn_of(session, __func__), -ECANCELED, ROTA_CANCEL_BY_HAND, why);
}

struct rota_session *rota_conn_session(struct rota_conn *conn)
{
	rota__check_conn(conn, __func__);
	return conn->is_stream ? NULL : (struct rota_session *)conn;
}

int rota_protocol_default_open(struct rota_session *session)
{
	(void)session;
	return 0;
}

void rota_protocol_default_close(struct rota_session *session, int reason)
{
	(void)session;
	(void)reason;
}
