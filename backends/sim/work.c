/* SPDX-License-Identifier: MIT */
/*
 * Operations that on a real system block a thread: here they are done on the one thread there is.
 * Same thread rule as sim.h.
 *
 * The one idea: what a blocking call does, it does at one moment between its start and its end, and
 * nobody knows which. So that moment is drawn: the beginning, where others may see the effect
 * before the caller has heard of it, or the end, where they may change things under it. One that is
 * late has waited for a thread until then, and can still be cancelled.
 */
#include <errno.h>

#include "backends/sim/sim_internal.h"

bool sim__op_is_work(const struct rota_op *op)
{
	return op->kind == ROTA_OP_CALL || op->kind == ROTA_OP_FILE;
}

rota_ns sim__work_ns(struct rota_sim_world *world)
{
	const struct rota_sim_options *options = &world->options;
	uint64_t spread = (uint64_t)(options->work_max_ns - options->work_min_ns);

	return options->work_min_ns + (rota_ns)sim__draw(world, SIM_DECIDE_WORK_TIME, spread + 1);
}

bool sim__work_is_late(struct rota_sim_world *world)
{
	return sim__draw(world, SIM_DECIDE_WORK_LATE, 2);
}

/* What is on the disk is nobody's memory: it outlives its host's crash. */
static int32_t run_file_op(struct sim_files *files, const struct rota_op *op)
{
	uint32_t before = sim__memory_nobody();
	int32_t result = sim__files_run(files, ROTA_CONTAINER_OF(op, struct rota_file_op, op));

	sim__memory_owner(before);
	return result;
}

int32_t sim__work(struct sim_instance *instance, struct rota_op *op)
{
	int32_t result = op->kind == ROTA_OP_FILE ? run_file_op(instance->host->files, op)
						  : op->work.fn(op);

	sim__event(instance->world, "work", op->generation_, result);
	return result;
}

int32_t sim__work_late(struct sim_instance *instance, struct rota_op *op)
{
	struct rota_sim_world *world = instance->world;

	if (op->flags_ & SIM_OP_CANCELLED &&
	    !sim__chance(world, SIM_DECIDE_LATE_CANCEL, world->options.late_cancel_permille))
		return -ECANCELED;
	return sim__work(instance, op);
}
