/* SPDX-License-Identifier: MIT */
/*
 * One engine of a simulated world: operations, receive buffers, completions. On its reactor's
 * thread, wake() on any.
 *
 * The one idea: an operation takes effect in an attempt inside its own engine's poll(), and its
 * completion is delivered by the same or a later poll(). What lies between is where real kernels
 * surprise programs: another operation overtakes, a cancel comes too late, a buffer is still out.
 * Each of these is one seeded choice here.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include <rota/log.h>
#include <rota/memory.h>

#include "backends/sim/sim_internal.h"

/*
 * What a returned buffer is filled with: a view kept too long reads this, and not yet the right
 * bytes by luck.
 */
#define POISON 0xdb

/* ---- life ---- */

static int sim_probe(const struct rota_backend_config *config, char text[ROTA_BACKEND_TEXT_BYTES])
{
	struct rota_sim_options options;
	int status;

	rota_sim_options_init(&options, 1);
	status = rota_sim_options_parse(&options, config->options, text);
	if (status == 0)
		snprintf(text, ROTA_BACKEND_TEXT_BYTES,
			 "simulated network and clock, seed %llu; off: real descriptors",
			 (unsigned long long)options.seed);
	return status;
}

static int find_slot(const struct rota_sim_world *world)
{
	for (int i = 0; i < SIM_INSTANCES_MAX; i++)
		if (!world->instances[i])
			return i;
	return -ENOSPC;
}

static void free_memory(struct sim_instance *instance)
{
	rota_free(instance->pending);
	rota_free(instance->buffers);
	rota_free(instance->free_buffers);
	rota_free(instance->buffer_is_out);
}

static int take_memory(struct sim_instance *instance)
{
	uint32_t count = instance->buffers_count;

	instance->pending = sim__calloc(SIM_PENDING_MAX, sizeof(*instance->pending));
	instance->buffers = sim__calloc(count, instance->buffer_bytes);
	instance->free_buffers = sim__calloc(count, sizeof(*instance->free_buffers));
	instance->buffer_is_out = sim__calloc(count, sizeof(*instance->buffer_is_out));
	if (!instance->pending || !instance->buffers || !instance->free_buffers ||
	    !instance->buffer_is_out) {
		free_memory(instance);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < count; i++)
		instance->free_buffers[i] = (uint16_t)(count - 1 - i);
	instance->free_count = count;
	return 0;
}

static int sim_open(struct rota_backend *self, const struct rota_backend_config *config)
{
	struct sim_instance *instance = sim__instance_of(self);
	struct rota_sim_options options;
	struct rota_sim_world *world;
	int slot, status;

	status = sim__world_for_open(config->options, &world, &options);
	if (status < 0)
		return status;
	instance->world = world;
	instance->buffers_count = options.buffers_count;
	instance->buffer_bytes = options.buffer_bytes;
	slot = find_slot(world);
	status = slot < 0 ? slot : sim__host_get(world, options.host, &instance->host);
	if (status == 0)
		status = take_memory(instance);
	if (status < 0) {
		sim__world_instance_closed(world);
		return status;
	}
	instance->reactor = config->reactor;
	if (options.shuffle)
		self->features |= ROTA_BACKEND_SHUFFLES;
	instance->index = (uint32_t)slot;
	rota_list_init(&instance->submitted);
	rota_list_init(&instance->runnable);
	world->instances[slot] = instance;
	world->instances_count++;
	sim__event(world, "open-engine", slot, 0);
	return 0;
}

static void sim_close(struct rota_backend *self)
{
	struct sim_instance *instance = sim__instance_of(self);
	struct rota_sim_world *world = instance->world;

	if (instance->lent_count || instance->free_count != instance->buffers_count) {
		rota_log(ROTA_LOG_ERROR,
			 "sim: engine %u closed with %llu operations and %u buffers out",
			 instance->index, (unsigned long long)instance->lent_count,
			 instance->buffers_count - instance->free_count);
		rota_ignore(rota_sim_world_report(world), "only for the log");
	}
	ROTA_ASSERT(instance->lent_count == 0);
	ROTA_ASSERT(instance->free_count == instance->buffers_count);
	sim__event(world, "close-engine", instance->index, 0);
	world->instances[instance->index] = NULL;
	world->instances_count--;
	free_memory(instance);
	sim__world_instance_closed(world);
}

void sim__instance_vanish(struct sim_instance *instance)
{
	struct rota_sim_world *world = instance->world;

	world->instances[instance->index] = NULL;
	world->instances_count--;
	free_memory(instance);
}

struct rota_sim_world *rota_sim_world_of(const struct rota_backend *backend)
{
	ROTA_ASSERT(backend->ops->drive == sim__drive_reactors); /* ours, or a copy with a fault */
	return ROTA_CONTAINER_OF(backend, struct sim_instance, backend)->world;
}

/* ---- poll and wake ---- */

bool sim__instance_has_work(const struct sim_instance *instance)
{
	return !rota_list_is_empty(&instance->submitted) ||
	       (instance->runnable_count && instance->pending_count < SIM_PENDING_MAX) ||
	       atomic_load(&instance->woken) ||
	       sim__instance_next_due(instance) <= instance->world->now;
}

/* May something still come from another engine of the world, once that one is polled? */
static bool others_may_act(const struct sim_instance *instance)
{
	const struct rota_sim_world *world = instance->world;

	for (unsigned i = 0; i < SIM_INSTANCES_MAX; i++) {
		const struct sim_instance *other = world->instances[i];

		if (other && other != instance &&
		    (sim__instance_has_work(other) || other->pending_count))
			return true;
	}
	return false;
}

static int wait_for_completions(struct sim_instance *instance, struct rota_completion *out,
				unsigned out_max, rota_ns deadline)
{
	struct rota_sim_world *world = instance->world;

	for (;;) {
		bool woken = atomic_exchange(&instance->woken, false);
		unsigned count;
		rota_ns next;

		sim__advance_to(world, world->now); /* what needs no time has come */
		sim__ops_start(instance);
		sim__ops_attempt(instance);
		count = sim__ops_deliver(instance, out, out_max, !woken && deadline > world->now);
		if (woken) {
			instance->stats.wakes++;
			sim__event(world, "woken", instance->index, 0);
		}
		if (count || woken || world->is_driven || deadline <= world->now)
			return (int)count;
		next = sim__instance_next_due(instance);
		next = next < deadline ? next : deadline;
		next = sim__timers_next(world) < next ? sim__timers_next(world) : next;
		if (next == ROTA_NEVER)
			return others_may_act(instance) ? 0 : -EDEADLK;
		sim__advance_to(world, next);
	}
}

static int sim_poll(struct rota_backend *self, struct rota_completion *out, unsigned out_max,
		    rota_ns deadline)
{
	struct sim_instance *instance = sim__instance_of(self);
	int count;

	ROTA_ASSERT(out_max > 0);
	instance->stats.polls++;
	instance->deadline = deadline;
	sim__ops_tell_late(instance);
	count = wait_for_completions(instance, out, out_max, deadline);
	instance->polled_serial = instance->world->op_serial;
	return count;
}

static void sim_wake(struct rota_backend *self)
{
	atomic_store(&sim__instance_of(self)->woken, true);
}

static void sim_buffer_return(struct rota_backend *self, uint16_t buffer)
{
	struct sim_instance *instance = sim__instance_of(self);
	size_t buffer_bytes = instance->buffer_bytes;

	ROTA_ASSERT(buffer < instance->buffers_count);
	ROTA_ASSERT(instance->buffer_is_out[buffer]);
	instance->buffer_is_out[buffer] = false;
	instance->free_buffers[instance->free_count++] = buffer;
	memset(instance->buffers + buffer * buffer_bytes, POISON, buffer_bytes);
}

/* ---- the rest of the table ---- */

static int sim_listen(struct rota_backend *self, const struct rota_listen_options *options)
{
	return sim__listen(sim__instance_of(self)->host, options);
}

static int sim_try_accept(struct rota_backend *self, int fd)
{
	struct sim_socket *listener = sim__socket_at(sim__instance_of(self)->host, fd);

	return listener ? sim__accept(listener) : -EBADF;
}

static void sim_discard(struct rota_backend *self, int fd)
{
	struct rota_sim_world *world = sim__instance_of(self)->world;
	struct sim_socket *socket = sim__socket_at(sim__instance_of(self)->host, fd);

	ROTA_ASSERT(socket);
	sim__socket_close(world, socket);
}

static int sim_shutdown(struct rota_backend *self, int fd, int how)
{
	struct rota_sim_world *world = sim__instance_of(self)->world;
	struct sim_socket *socket = sim__socket_at(sim__instance_of(self)->host, fd);

	return socket ? sim__shutdown(world, socket, how) : -EBADF;
}

static int sim_address(struct rota_backend *self, int fd, bool peer, struct rota_address *out)
{
	const struct sim_socket *socket = sim__socket_at(sim__instance_of(self)->host, fd);

	return socket ? sim__socket_address(socket, peer, out) : -EBADF;
}

static rota_ns sim_now(struct rota_backend *self)
{
	return sim__instance_of(self)->world->now;
}

static int64_t sim_wall_ns(struct rota_backend *self)
{
	const struct sim_host *host = sim__instance_of(self)->host;

	return host->world->options.wall_start_ns + (host->world->now - ROTA_SIM_START_NS) +
	       host->wall_off_ns;
}

static void sim_random(struct rota_backend *self, void *out, size_t bytes)
{
	sim__random_bytes(sim__instance_of(self)->world, out, bytes);
}

static void sim_stats(const struct rota_backend *self, struct rota_backend_stats *out)
{
	const struct sim_instance *instance = ROTA_CONTAINER_OF(self, struct sim_instance, backend);

	*out = instance->stats;
	out->buffers_count = instance->buffers_count;
	out->buffer_bytes = instance->buffer_bytes;
	out->buffers_lent = instance->buffers_count - instance->free_count - instance->held_count;
}

const struct rota_backend_ops rota_backend_sim = {
	.name = "sim",
	.features = ROTA_BACKEND_SIMULATED,
	.state_bytes = sizeof(struct sim_instance),
	.stats_offset = offsetof(struct sim_instance, stats),
	.probe = sim_probe,
	.list_features = rota_backend_default_list_features,
	.open = sim_open,
	.close = sim_close,
	.submit = sim__op_submit,
	.cancel = sim__op_cancel,
	.buffer_return = sim_buffer_return,
	.poll = sim_poll,
	.wake = sim_wake,
	.pollable = rota_backend_default_pollable,
	.prepare = rota_backend_default_prepare,
	.listen = sim_listen,
	.try_accept = sim_try_accept,
	.discard = sim_discard,
	.shutdown = sim_shutdown,
	.address = sim_address,
	.now = sim_now,
	.wall_ns = sim_wall_ns,
	.random = sim_random,
	.drive = sim__drive_reactors,
	.stats = sim_stats,
};
