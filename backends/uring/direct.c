/* SPDX-License-Identifier: MIT */
/*
 * Slots of the ring's file table, so that the kernel need not look a descriptor up, and count it,
 * for every request. A variant of the uring engine; reactor's thread.
 *
 * The one idea: a slot stands beside the ordinary descriptor, which stays for all else (shutdown,
 * options, poll, handing over), and only while a receive is in flight on it. Nobody may close a
 * descriptor under an operation, so no slot can outlive its descriptor, hold a closed connection
 * open, or mean another one. Slot N is for descriptor N.
 */
#include <sys/resource.h>

#include <rota/error.h>
#include <rota/memory.h>

#include "backends/uring/uring.h"

/* Descriptors from here on do without. A guess; a table of the kernel's takes 8 bytes for each. */
#define SLOTS_MAX 65536u

int uring__direct_open(struct uring_engine *engine)
{
	struct uring_direct *direct = &engine->direct;
	struct rlimit limit = { .rlim_cur = SLOTS_MAX };
	uint32_t count;
	int status;

	if (!(engine->features & URING_FEATURE_BIT(URING_DIRECT)))
		return 0;
	/* The kernel allows as many slots as descriptors. */
	rota_ignore(getrlimit(RLIMIT_NOFILE, &limit), "fails for bad arguments only");
	count = (uint32_t)rota_min_size(limit.rlim_cur, SLOTS_MAX);
	direct->users = rota_calloc(count, sizeof(*direct->users));
	if (!direct->users)
		return -ENOMEM;
	engine->stats.system_calls++;
	status = io_uring_register_files_sparse(&engine->ring, count);
	if (status < 0)
		return status;
	direct->count = count;
	return 0;
}

void uring__direct_close(struct uring_engine *engine)
{
	/* The kernel's side goes away with the ring. */
	rota_free(engine->direct.users);
	engine->direct = (struct uring_direct){ 0 };
}

/* Put `value`, a descriptor or -1, into slot `slot`. */
static bool set_slot(struct uring_engine *engine, int slot, int value)
{
	engine->stats.system_calls++;
	return io_uring_register_files_update(&engine->ring, (unsigned)slot, &value, 1) == 1;
}

void uring__direct_hold(struct uring_engine *engine, struct rota_op *op)
{
	struct uring_direct *direct = &engine->direct;

	if ((uint32_t)op->fd >= direct->count)
		return;
	/* What cannot be there, a descriptor that is none for one, goes the ordinary way. */
	if (!direct->users[op->fd] && !set_slot(engine, op->fd, op->fd))
		return;
	direct->users[op->fd]++;
	op->flags_ |= URING_OP_HOLDS_SLOT;
}

void uring__direct_drop(struct uring_engine *engine, struct rota_op *op)
{
	if (--engine->direct.users[op->fd])
		return;
	/*
	 * A send that has not left yet finds the slot empty, and starts again without. Emptying one
	 * needs no memory in a kernel that passed the probe, and cannot fail.
	 */
	rota_ignore(set_slot(engine, op->fd, -1), "see above");
}
