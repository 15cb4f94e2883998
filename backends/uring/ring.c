/* SPDX-License-Identifier: MIT */
/*
 * The uring engine's ring: set-up, and the one place that enters the kernel. Reactor's thread: the
 * ring is born, entered and dies there (SINGLE_ISSUER).
 *
 * The one idea: the index array of the submission queue is filled once with the identity, so
 * publishing SQEs is one store of the tail.
 */
#include <signal.h>

#include <rota/error.h>

#include "backends/uring/uring.h"

uint32_t uring__setup_flags(const struct uring_options *options)
{
	uint32_t flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_SUBMIT_ALL |
			 IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;

	if (options->sqpoll)
		flags |= IORING_SETUP_SQPOLL;
	else if (options->taskrun == URING_TASKRUN_DEFER)
		flags |= IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
	else if (options->taskrun == URING_TASKRUN_COOP)
		flags |= IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
	return flags;
}

/*
 * Rings begun to be unmapped, by any thread. liburing maps and unmaps with system calls of its own,
 * so ThreadSanitizer cannot see that a ring mapped where another thread had one is other memory.
 * This says it in its words: unmapping happens before whatever is mapped after it.
 */
static _Atomic uint32_t unmapped_count;

int uring__ring_map(struct io_uring *ring, unsigned entries, struct io_uring_params *parameters)
{
	int status = io_uring_queue_init_params(entries, ring, parameters);

	/* Partner: uring__ring_unmap's. After the mapping, so that it sees whose place it took. */
	(void)atomic_load_explicit(&unmapped_count, memory_order_acquire);
	return status;
}

void uring__ring_unmap(struct io_uring *ring)
{
	/* Before the place is free. All that came before counts, so acquire as well. */
	atomic_fetch_add_explicit(&unmapped_count, 1, memory_order_acq_rel);
	io_uring_queue_exit(ring);
}

/* The kernel, too, is to look for packets before it puts us to sleep. */
static void poll_cards(struct uring_engine *engine)
{
	struct uring_napi napi = { .busy_poll_us = engine->options.busy_poll_us };

	engine->stats.system_calls++;
	rota_ignore(
		io_uring_register((unsigned)engine->ring.ring_fd, URING_REGISTER_NAPI, &napi, 1),
		"the probe has tried it; without, we spin alone");
}

int uring__ring_open(struct uring_engine *engine)
{
	struct io_uring_params parameters = {
		.flags = uring__setup_flags(&engine->options),
		.cq_entries = engine->options.cq_entries,
	};
	struct io_uring_sq *sq = &engine->ring.sq;
	int status;

	engine->stats.system_calls++;
	status = uring__ring_map(&engine->ring, engine->options.sq_entries, &parameters);
	if (status < 0)
		return status;
	engine->ring_open = true;
	/*
	 * Newer libraries ask for a ring without an array where the kernel has that (NO_SQARRAY).
	 */
	if (sq->array)
		for (unsigned i = 0; i < sq->ring_entries; i++)
			sq->array[i] = i;
	if (engine->features & URING_FEATURE_BIT(URING_REGISTERED_RING)) {
		engine->stats.system_calls++;
		status = io_uring_register_ring_fd(&engine->ring);
		if (status < 0)
			return status;
		engine->enter_flags |= IORING_ENTER_REGISTERED_RING;
	}
	if (engine->features & URING_FEATURE_BIT(URING_NO_IOWAIT))
		engine->enter_flags |= IORING_ENTER_NO_IOWAIT;
	if (engine->features & URING_FEATURE_BIT(URING_NAPI))
		poll_cards(engine);
	return 0;
}

void uring__ring_close(struct uring_engine *engine)
{
	if (engine->ring_open)
		uring__ring_unmap(&engine->ring);
	engine->ring_open = false;
}

/*
 * The kernel's thread (sqpoll) takes SQEs by itself unless it has gone to sleep. Our store of the
 * tail must not pass the load of the flag, so both are sequentially consistent (a fence would say
 * it as well, but not to ThreadSanitizer); the partner is the kernel's fence between setting the
 * flag and looking at the tail once more.
 */
static bool kernel_thread_sleeps(struct uring_engine *engine)
{
	__atomic_store_n(engine->ring.sq.ktail, engine->ring.sq.sqe_tail, __ATOMIC_SEQ_CST);
	return __atomic_load_n(engine->ring.sq.kflags, __ATOMIC_SEQ_CST) & IORING_SQ_NEED_WAKEUP;
}

/* What io_uring_enter says when it does not work at once, by meaning. */
static int judge(int status)
{
	switch (-status) {
	case ETIME:  /* the deadline passed */
	case EINTR:  /* a signal */
	case EBUSY:  /* completions are kept aside: collect first, SQEs stay where they are */
	case EAGAIN: /* no memory for a request now: SQEs stay where they are */
		return 0;
	/*
	 * EBADR: completions were lost; EEXIST: wrong thread; EFAULT, ENXIO …: ring gone or ours
	 * broken
	 */
	default:
		return status;
	}
}

/*
 * Fill in when to stop waiting. Returns the flags to enter with, 0 when the deadline has passed
 * already.
 */
static unsigned prepare_wait(struct uring_engine *engine, rota_ns deadline,
			     struct uring_enter_argument *argument,
			     struct __kernel_timespec *timeout)
{
	unsigned flags = IORING_ENTER_EXT_ARG;

	if (deadline != ROTA_NEVER) {
		if (engine->features & URING_FEATURE_BIT(URING_ABSOLUTE_TIMERS))
			flags |= IORING_ENTER_ABS_TIMER;
		else
			deadline -= rota_backend_default_now(&engine->base);
		if (deadline <= 0)
			return 0;
		timeout->tv_sec = deadline / ROTA_NS_PER_S;
		timeout->tv_nsec = deadline % ROTA_NS_PER_S;
		argument->timeout = (uintptr_t)timeout;
	}
	if (engine->features & URING_FEATURE_BIT(URING_MIN_WAIT))
		argument->min_wait_us = engine->options.min_wait_us;
	return flags;
}

static int enter_kernel(struct uring_engine *engine, unsigned to_submit, unsigned wait_count,
			unsigned flags, struct uring_enter_argument *argument)
{
	int status;

	engine->stats.system_calls++;
	status = io_uring_enter2((unsigned)engine->ring.enter_ring_fd, to_submit, wait_count,
				 flags | engine->enter_flags, (sigset_t *)argument,
				 argument ? sizeof(*argument) : URING_SIGNAL_SET_BYTES);
	return status < 0 ? judge(status) : 0;
}

/* Make the written SQEs visible. Returns how many the kernel has not taken yet. */
static unsigned publish(struct uring_engine *engine)
{
	io_uring_smp_store_release(engine->ring.sq.ktail, engine->ring.sq.sqe_tail);
	return uring__sq_pending(engine);
}

int uring__enter(struct uring_engine *engine, bool collect, unsigned wait_count, rota_ns deadline)
{
	struct uring_enter_argument argument = { .signal_mask_bytes = URING_SIGNAL_SET_BYTES };
	struct __kernel_timespec timeout;
	unsigned to_submit = publish(engine);
	unsigned flags = collect ? IORING_ENTER_GETEVENTS : 0;
	unsigned wait_flags = 0;

	engine->submitted = to_submit;
	if (collect)
		uring__buffers_stock(&engine->buffers);
	if (wait_count &&
	    (deadline != ROTA_NEVER || engine->features & URING_FEATURE_BIT(URING_MIN_WAIT))) {
		wait_flags = prepare_wait(engine, deadline, &argument, &timeout);
		if (!wait_flags)
			wait_count = 0;
	}
	if (engine->ring.flags & IORING_SETUP_SQPOLL) {
		if (to_submit && kernel_thread_sleeps(engine))
			flags |= IORING_ENTER_SQ_WAKEUP;
		if (engine->backlogged)
			flags |=
				/* for room: it has it as soon as its thread comes round */
				IORING_ENTER_SQ_WAIT;
		else if (!(flags & IORING_ENTER_SQ_WAKEUP) && !wait_count &&
			 !(collect && uring__needs_collecting(engine)))
			return 0;
	}
	engine->stats.polls++;
	return enter_kernel(engine, to_submit, wait_count, flags | wait_flags,
			    wait_flags ? &argument : NULL);
}

int uring__spin(struct uring_engine *engine, rota_ns deadline)
{
	rota_ns now = rota_backend_default_now(&engine->base);
	rota_ns end = deadline - now < engine->busy_poll_ns ? deadline : now + engine->busy_poll_ns;
	int status = 0;

	if (uring__sq_pending(engine))
		status = uring__enter(engine, true, 0, 0);
	while (status == 0 && !uring__cq_ready(engine) && now < end) {
		/* Completions appear by themselves, or when we come for them. */
		if (uring__needs_collecting(engine))
			status = uring__enter(engine, true, 0, 0);
		else
			rota_pause();
		now = rota_backend_default_now(&engine->base);
	}
	return status;
}

struct io_uring_sqe *uring__next_sqe_flushed(struct uring_engine *engine)
{
	unsigned to_submit = publish(engine);

	engine->stats.submission_full++;
	if (!engine->options.sqpoll)
		rota_ignore(enter_kernel(engine, to_submit, 0, 0, NULL),
			    "a broken ring is found by the next poll()");
	else if (kernel_thread_sleeps(engine))
		rota_ignore(enter_kernel(engine, to_submit, 0, IORING_ENTER_SQ_WAKEUP, NULL),
			    "a broken ring is found by the next poll()");
	return uring__next_sqe(engine);
}
