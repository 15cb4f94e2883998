/* SPDX-License-Identifier: MIT */
/*
 * The engine under the guards; see engine.h.
 */
#include "bench/guard/engine.h"

#include <poll.h>
#include <string.h>
#include <valgrind/callgrind.h>

#include <rota/reactor.h>

#include "bench/guard/guard.h"

/* About what a turn takes when 16 connections are busy; timers are due by it. */
#define TURN_NS (100 * ROTA_NS_PER_US)

static struct {
	struct rota_sim_world *world;
	struct rota_backend *first; /* whose polls `between` is called in */
	void (*between)(void);
	bool is_counting;
	bool is_inside; /* the engine */
	int silent_fd;  /* nothing ever comes there; -1: not made yet */
} guard;

/* ---- counting ---- */

static void enter(void)
{
	guard.is_inside = true;
	if (guard.is_counting)
		CALLGRIND_TOGGLE_COLLECT;
}

static void leave(void)
{
	guard.is_inside = false;
	if (guard.is_counting)
		CALLGRIND_TOGGLE_COLLECT;
}

void guard_count(bool on)
{
	if (guard.is_counting == on)
		guard_die("counting begins and ends by turns");
	guard.is_counting = on;
	if (!guard.is_inside)
		CALLGRIND_TOGGLE_COLLECT;
}

/* ---- the slots that a busy reactor calls ---- */

/*
 * A server waits for signals on a descriptor of the kernel's, which the simulator does not know:
 * here it waits for a connection nobody makes.
 */
static int silent_descriptor(struct rota_backend *self)
{
	struct rota_listen_options options = { .backlog = 1 };

	if (guard.silent_fd < 0) {
		guard_check(rota_address_parse(&options.address, "127.0.0.1", 0), "address");
		guard.silent_fd = rota_backend_sim.listen(self, &options);
		guard_check(guard.silent_fd, "listen");
	}
	return guard.silent_fd;
}

static void submit(struct rota_backend *self, struct rota_op *op)
{
	enter();
	if (op->kind == ROTA_OP_POLL)
		op->fd = silent_descriptor(self);
	rota_backend_sim.submit(self, op);
	leave();
}

static void cancel(struct rota_backend *self, struct rota_op *op)
{
	enter();
	rota_backend_sim.cancel(self, op);
	leave();
}

static void buffer_return(struct rota_backend *self, uint16_t buffer)
{
	enter();
	rota_backend_sim.buffer_return(self, buffer);
	leave();
}

/* Never waits: whoever is idle turns on, and time with it. */
static int take_completions(struct rota_backend *self, struct rota_completion *out,
			    unsigned out_max, rota_ns deadline)
{
	int count, more = 0;

	(void)deadline;
	enter();
	if (!guard.first)
		guard.first = self;
	rota_sim_advance(guard.world, TURN_NS);
	count = rota_backend_sim.poll(self, out, out_max, 0);
	guard_check(count, "the simulator");
	if (guard.between && guard.first == self) {
		guard.between();
		if ((unsigned)count < out_max)
			more = rota_backend_sim.poll(self, out + count, out_max - (unsigned)count,
						     0);
		guard_check(more, "the simulator");
	}
	leave();
	return count + more;
}

static void wake(struct rota_backend *self)
{
	enter();
	rota_backend_sim.wake(self);
	leave();
}

static rota_ns now(struct rota_backend *self)
{
	rota_ns time;

	enter();
	time = rota_backend_sim.now(self);
	leave();
	return time;
}

static void close_engine(struct rota_backend *self)
{
	if (guard.first == self && guard.silent_fd >= 0) {
		rota_backend_sim.discard(self, guard.silent_fd);
		guard.silent_fd = -1;
	}
	rota_backend_sim.close(self);
}

/* Turn all of them in order until all have stopped. */
static int drive(struct rota_reactor *const reactors[], unsigned count)
{
	unsigned running = count;
	int status = 0;

	for (unsigned i = 0; i < count; i++)
		guard_check(rota_reactor_open(reactors[i]), "a reactor's engine");
	while (running && status >= 0) {
		running = count;
		for (unsigned i = 0; i < count && status >= 0; i++) {
			status = rota_reactor_run_once(reactors[i], ROTA_NEVER);
			running -= rota_reactor_has_stopped(reactors[i]);
		}
	}
	guard_check(status, "a turn");
	for (unsigned i = 0; i < count; i++)
		rota_reactor_close(reactors[i]);
	return 0;
}

const struct rota_backend_ops *guard_engine(void)
{
	static struct rota_backend_ops ops;

	ops = rota_backend_sim;
	ops.name = "guard";
	ops.features = 0; /* tasks become ready in order, as on a kernel */
	ops.close = close_engine;
	ops.submit = submit;
	ops.cancel = cancel;
	ops.buffer_return = buffer_return;
	ops.poll = take_completions;
	ops.wake = wake;
	ops.now = now;
	ops.drive = drive;
	return &ops;
}

/* ---- the world ---- */

void guard_world_open(void (*between)(void))
{
	struct rota_sim_options options;

	rota_sim_options_init(&options, 1);
	options.reorder = false;
	options.buffers_count = 64;  /* every client's input, twice */
	options.buffer_bytes = 8192; /* a whole pipeline */
	guard_check(rota_sim_world_create(&options, &guard.world), "the world");
	rota_sim_world_use(guard.world);
	guard.between = between;
	guard.first = NULL;
	guard.silent_fd = -1;
}

void guard_world_close(void)
{
	unsigned left;

	rota_sim_world_use(NULL);
	left = rota_sim_world_destroy(guard.world);
	if (left)
		guard_die("%u descriptors were left open", left);
}
