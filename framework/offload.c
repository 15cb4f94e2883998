/* SPDX-License-Identifier: MIT */
/*
 * The offload pool: per class a lane of queue and threads, per engine a port where what has ended
 * comes back. Lanes and ports are used by any thread under their locks; a reactor's calls run on
 * its thread.
 *
 * The one idea: an operation is in one place at a time, its lane's queue, a thread's hands or its
 * port's list, and each move is made under the lock of the place it leaves or enters. Whoever wakes
 * an engine does so under its port's lock, so an engine that has taken its last operation can be
 * closed: nobody is still about to wake it.
 */
#include <signal.h>
#include <time.h>

#include <rota/error.h>
#include <rota/log.h>
#include <rota/offload.h>

#include "framework/reactor_internal.h"
#include "framework/system.h"

/* Guesses: few resolvers serve many names; disks like some depth; a program says what it needs. */
#define NAMES_THREADS_MAX 4
#define FILES_THREADS_MAX 8
#define USER_THREADS_MAX 16
#define QUEUE_MAX 65536
#define IDLE_NS (5 * ROTA_NS_PER_S)

/* rota_op.flags_ while the pool has it; guarded by its lane's lock. */
enum job_state {
	JOB_QUEUED = 1,
	JOB_TAKEN, /* a thread has it, or its result is known */
};

struct lane {
	pthread_mutex_t lock;
	pthread_cond_t work;  /* something is queued, or the pool ends */
	pthread_cond_t empty; /* the last thread is ending */
	struct rota_link queue;
	struct rota_offload_limits defaults;
	struct rota_offload_limits limits; /* none of them zero once the lane is in use */
	struct rota_offload_stats stats;
	uint32_t idle; /* threads that wait for work */
	bool is_ending;
	/* The thread that ended last; it has joined the one before it, and the next joins it. */
	bool has_ended;
	pthread_t ended;
} ROTA_ALIGNED(ROTA_ISOLATION_BYTES);

#define LANE(class_, threads)                                                                      \
	[class_] = {                                                                               \
		.lock = PTHREAD_MUTEX_INITIALIZER,                                                 \
		.work = PTHREAD_COND_INITIALIZER,                                                  \
		.empty = PTHREAD_COND_INITIALIZER,                                                 \
		.queue = { &lanes[class_].queue, &lanes[class_].queue },                           \
		.defaults = { threads, QUEUE_MAX, IDLE_NS },                                       \
		.limits = { threads, QUEUE_MAX, IDLE_NS },                                         \
	}

static struct lane lanes[ROTA_OFFLOAD_CLASS_COUNT] = {
	LANE(ROTA_OFFLOAD_NAMES, NAMES_THREADS_MAX),
	LANE(ROTA_OFFLOAD_FILES, FILES_THREADS_MAX),
	LANE(ROTA_OFFLOAD_USER, USER_THREADS_MAX),
};

/*
 * Ports open now. Held while the last one goes and its threads end, so that none opens meanwhile.
 */
static pthread_mutex_t ports_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned ports_open;

/* ---- ports: what has ended ---- */

static void give_back(struct rota_op *op, int32_t result, bool wakes)
{
	struct rota_offload_port *port = op->work.port_;

	op->generation_ = (uint32_t)result;
	pthread_mutex_lock(&port->lock_);
	/* Where something lies already, somebody has woken the engine for it. */
	wakes = wakes && rota_list_is_empty(&port->done_);
	rota_list_push_back(&port->done_, &op->link_);
	if (wakes)
		port->backend_->ops->wake(port->backend_);
	pthread_mutex_unlock(&port->lock_);
}

struct rota_op *rota_offload_port_take(struct rota_offload_port *port, int32_t *result)
{
	struct rota_link *link;
	struct rota_op *op;

	if (!port->out_)
		return NULL;
	pthread_mutex_lock(&port->lock_);
	link = rota_list_pop_front(&port->done_);
	pthread_mutex_unlock(&port->lock_);
	if (!link)
		return NULL;
	op = ROTA_CONTAINER_OF(link, struct rota_op, link_);
	*result = (int32_t)op->generation_;
	op->flags_ = 0;
	op->index_ = 0;
	op->generation_ = 0;
	port->out_--;
	return op;
}

bool rota_offload_port_has_done(struct rota_offload_port *port)
{
	bool has_done;

	if (!port->out_)
		return false;
	pthread_mutex_lock(&port->lock_);
	has_done = !rota_list_is_empty(&port->done_);
	pthread_mutex_unlock(&port->lock_);
	return has_done;
}

void rota_offload_port_open(struct rota_offload_port *port, struct rota_backend *backend)
{
	port->backend_ = backend;
	port->out_ = 0;
	pthread_mutex_init(&port->lock_, NULL); /* cannot fail for a plain mutex */
	rota_list_init(&port->done_);
	pthread_mutex_lock(&ports_lock);
	ports_open++;
	pthread_mutex_unlock(&ports_lock);
}

static void end_threads(struct lane *lane)
{
	pthread_mutex_lock(&lane->lock);
	lane->is_ending = true;
	pthread_cond_broadcast(&lane->work);
	while (lane->stats.threads)
		pthread_cond_wait(&lane->empty, &lane->lock);
	lane->is_ending = false;
	if (lane->has_ended)
		pthread_join(lane->ended, NULL);
	lane->has_ended = false;
	pthread_mutex_unlock(&lane->lock);
}

void rota_offload_port_close(struct rota_offload_port *port)
{
	ROTA_ASSERT(port->out_ == 0);
	pthread_mutex_lock(&ports_lock);
	if (--ports_open == 0)
		for (unsigned i = 0; i < ROTA_OFFLOAD_CLASS_COUNT; i++)
			end_threads(&lanes[i]);
	pthread_mutex_unlock(&ports_lock);
	pthread_mutex_destroy(&port->lock_);
}

/* ---- threads ---- */

/* Wait for work. Returns false when the thread is to end. */
static bool wait_for_work(struct lane *lane)
{
	rota_ns now = rota_backend_default_now(NULL);
	rota_ns idle_ns = lane->limits.idle_ns;
	rota_ns deadline = idle_ns > ROTA_NEVER - now ? ROTA_NEVER : now + idle_ns;
	struct timespec time = { deadline / ROTA_NS_PER_S, deadline % ROTA_NS_PER_S };
	int status;

	lane->idle++;
	status = pthread_cond_clockwait(&lane->work, &lane->lock, CLOCK_MONOTONIC, &time);
	lane->idle--;
	return status == 0;
}

/* The next operation, or NULL when the thread is to end. */
static struct rota_op *next_job(struct lane *lane)
{
	bool goes_on = true;

	while (lane->stats.threads <= lane->limits.threads_max) {
		struct rota_link *link = rota_list_pop_front(&lane->queue);
		struct rota_op *op;

		if (link) {
			op = ROTA_CONTAINER_OF(link, struct rota_op, link_);
			op->flags_ = JOB_TAKEN;
			lane->stats.queued--;
			lane->stats.running++;
			return op;
		}
		if (!goes_on || lane->is_ending)
			return NULL;
		goes_on = wait_for_work(lane);
	}
	return NULL;
}

/* Leave as the last one to have ended. Returns true, and the one before, which is to be joined. */
static bool leave(struct lane *lane, pthread_t *before)
{
	bool has_before = lane->has_ended;

	*before = lane->ended;
	lane->ended = pthread_self();
	lane->has_ended = true;
	if (--lane->stats.threads == 0)
		pthread_cond_signal(&lane->empty);
	return has_before;
}

static void *work(void *arg)
{
	struct lane *lane = arg;
	struct rota_op *op;
	pthread_t before;
	bool has_before;

	pthread_mutex_lock(&lane->lock);
	while ((op = next_job(lane))) {
		int32_t result;

		pthread_mutex_unlock(&lane->lock);
		result = op->work.fn(op);
		pthread_mutex_lock(&lane->lock);
		lane->stats.running--;
		lane->stats.done++;
		pthread_mutex_unlock(&lane->lock);
		give_back(op, result, true);
		pthread_mutex_lock(&lane->lock);
	}
	has_before = leave(lane, &before);
	pthread_mutex_unlock(&lane->lock);
	if (has_before)
		pthread_join(before, NULL);
	return NULL;
}

/* Returns 0 or negative errno. */
static int start_thread(struct lane *lane)
{
	pthread_t thread;
	int status = rota__thread_start(&thread, work, lane);

	if (status < 0) {
		lane->stats.start_failures++;
		return status;
	}
	if (++lane->stats.threads > lane->stats.threads_peak)
		lane->stats.threads_peak = lane->stats.threads;
	return 0;
}

/* ---- the queue ---- */

/* See to it that a thread will come for what is queued. False: there is none, nor can there be. */
static bool find_thread(struct lane *lane)
{
	if (lane->stats.queued <= lane->idle) {
		pthread_cond_signal(&lane->work);
		return true;
	}
	/* With fewer than wanted it goes on, more slowly. */
	if (lane->stats.threads < lane->limits.threads_max && start_thread(lane) < 0)
		return lane->stats.threads > 0;
	return true;
}

static int enqueue(struct lane *lane, struct rota_op *op)
{
	/* Of what closes a descriptor there is no more than there are descriptors. */
	if (lane->stats.queued >= lane->limits.queue_max && !rota_op_closes(op)) {
		lane->stats.refused++;
		return -ENOBUFS;
	}
	op->flags_ = JOB_QUEUED;
	rota_list_push_back(&lane->queue, &op->link_);
	lane->stats.queued++;
	if (!find_thread(lane)) {
		rota_list_remove(&op->link_);
		lane->stats.queued--;
		op->flags_ = JOB_TAKEN;
		return -EAGAIN;
	}
	if (lane->stats.queued > lane->stats.queued_peak)
		lane->stats.queued_peak = lane->stats.queued;
	return 0;
}

void rota_offload_port_submit(struct rota_offload_port *port, enum rota_offload_class class_,
			      struct rota_op *op)
{
	struct lane *lane;
	int status;

	ROTA_ASSERT((unsigned)class_ < ROTA_OFFLOAD_CLASS_COUNT);
	lane = &lanes[class_];
	port->out_++;
	op->work.port_ = port;
	op->index_ = class_;
	pthread_mutex_lock(&lane->lock);
	status = enqueue(lane, op);
	pthread_mutex_unlock(&lane->lock);
	if (status == 0)
		return;
	/* No thread to be had: better this one blocks than that a descriptor is lost. */
	if (rota_op_closes(op))
		status = op->work.fn(op);
	/* On the engine's own thread, which looks before it waits. */
	give_back(op, status, false);
}

void rota_offload_port_cancel(struct rota_offload_port *port, struct rota_op *op)
{
	struct lane *lane = &lanes[op->index_];
	bool was_queued;

	ROTA_ASSERT(op->work.port_ == port);
	pthread_mutex_lock(&lane->lock);
	was_queued = op->flags_ == JOB_QUEUED;
	if (was_queued) {
		rota_list_remove(&op->link_);
		op->flags_ = JOB_TAKEN;
		lane->stats.queued--;
		lane->stats.cancelled++;
	}
	pthread_mutex_unlock(&lane->lock);
	if (was_queued)
		give_back(op, -ECANCELED, false);
}

/* ---- limits and counters ---- */

void rota_offload_limit(enum rota_offload_class class_, const struct rota_offload_limits *limits)
{
	struct lane *lane;

	ROTA_ASSERT((unsigned)class_ < ROTA_OFFLOAD_CLASS_COUNT);
	lane = &lanes[class_];
	pthread_mutex_lock(&lane->lock);
	lane->limits = *limits;
	if (!limits->threads_max)
		lane->limits.threads_max = lane->defaults.threads_max;
	if (!limits->queue_max)
		lane->limits.queue_max = lane->defaults.queue_max;
	if (!limits->idle_ns)
		lane->limits.idle_ns = lane->defaults.idle_ns;
	pthread_cond_broadcast(&lane->work); /* to look at them */
	pthread_mutex_unlock(&lane->lock);
}

void rota_offload_stats(enum rota_offload_class class_, struct rota_offload_stats *out)
{
	ROTA_ASSERT((unsigned)class_ < ROTA_OFFLOAD_CLASS_COUNT);
	pthread_mutex_lock(&lanes[class_].lock);
	*out = lanes[class_].stats;
	pthread_mutex_unlock(&lanes[class_].lock);
}

/* ---- for tasks ---- */

/* In the simulator on a reactor's thread, and there is no reactor for it either. */
static int32_t call_fn(struct rota_op *op)
{
	struct rota_offload_call *call = ROTA_CONTAINER_OF(op, struct rota_offload_call, op_);
	struct rota_reactor *reactor = rota__current_reactor;

	rota__current_reactor = NULL;
	call->result_ = call->fn_(call->arg_);
	rota__current_reactor = reactor;
	return 0;
}

static void call_complete(struct rota_op *op, const struct rota_completion *completion)
{
	struct rota_offload_call *call = ROTA_CONTAINER_OF(op, struct rota_offload_call, op_);

	rota__op_return(call->task_, &call->future,
			completion->result < 0 ? completion->result : call->result_);
}

static void call_cancel(struct rota_future *future)
{
	struct rota_offload_call *call = ROTA_CONTAINER_OF(future, struct rota_offload_call,
							   future);

	rota__op_cancel(rota__reactor(), &call->op_);
}

void rota_offload_start(struct rota_offload_call *call, enum rota_offload_class class_,
			rota_offload_fn fn, void *arg)
{
	struct rota_task *task = rota__task();
	int status = rota__scope_status(task->reactor, task->scope);

	*call = (struct rota_offload_call){
		.op_ = { .complete = call_complete, .kind = ROTA_OP_CALL, .fd = (int)class_ },
		.task_ = task,
		.fn_ = fn,
		.arg_ = arg,
	};
	call->op_.work.fn = call_fn;
	if (status < 0) {
		rota_future_init(&call->future);
		rota_future_complete(&call->future, status);
		return;
	}
	rota__op_lend(&call->op_, task, &call->future, ROTA_WAIT_OFFLOAD, call_cancel);
}

int64_t rota_offload(enum rota_offload_class class_, rota_offload_fn fn, void *arg)
{
	struct rota_offload_call call;

	rota_offload_start(&call, class_, fn, arg);
	return rota_await(&call.future);
}
