/* SPDX-License-Identifier: MIT */
/*
 * A simulated world: its life, its clock, its descriptors, and the report of what is open. One
 * thread per world.
 *
 * The one idea: a world outlives the engines in it. Tests make it, look at it, and learn at its end
 * what was left open; a program that only says `--backend sim` gets one that appears with its first
 * engine and goes with its last.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <rota/log.h>
#include <rota/memory.h>

#include "backends/sim/sim_internal.h"

/* Linux's default ephemeral ports: 32768 to 60999. */
#define PORT_FIRST 32768

/*
 * An instance is opened with a text and a reactor only, so where it belongs is said beside: per
 * thread, because a world is one thread's affair and two tests on two threads must not meet.
 */
static _Thread_local struct rota_sim_world *chosen_world;
static _Thread_local struct rota_sim_world *process_world;

/* ---- life ---- */

static bool options_make_sense(const struct rota_sim_options *options)
{
	return options->descriptors_max && options->buffers_count && options->buffer_bytes &&
	       options->buffers_count <= UINT16_MAX && options->socket_bytes &&
	       options->socket_bytes <= INT32_MAX && options->buffer_bytes <= INT32_MAX &&
	       options->delay_min_ns >= 0 && options->delay_min_ns <= options->delay_max_ns &&
	       options->work_min_ns >= 0 && options->work_min_ns <= options->work_max_ns &&
	       options->step_ns >= 0 && options->descriptors_max <= INT32_MAX / 2;
}

int rota_sim_world_create(const struct rota_sim_options *options, struct rota_sim_world **out)
{
	struct rota_sim_world *world;

	if (!options_make_sense(options))
		return -EINVAL;
	world = rota_calloc(1, sizeof(*world));
	if (!world)
		return -ENOMEM;
	world->options = *options;
	world->sockets = rota_calloc(options->descriptors_max, sizeof(struct sim_socket *));
	world->files = sim__files_create(world);
	if (!world->sockets || !world->files) {
		sim__files_destroy(world->files);
		rota_free(world->sockets);
		rota_free(world);
		return -ENOMEM;
	}
	world->now = ROTA_SIM_START_NS;
	world->port_next = PORT_FIRST;
	rota_list_init(&world->listeners);
	rota_list_init(&world->names);
	sim__streams_seed(world);
	*out = world;
	return 0;
}

void rota_sim_world_use(struct rota_sim_world *world)
{
	chosen_world = world;
}

unsigned rota_sim_world_destroy(struct rota_sim_world *world)
{
	struct rota_link *link;
	unsigned left_open;

	if (!world)
		return 0;
	ROTA_ASSERT(world->instances_count == 0);
	left_open = rota_sim_world_report(world);
	sim__files_destroy(world->files);
	for (uint32_t i = 0; i < world->options.descriptors_max && world->sockets_open; i++)
		if (world->sockets[i])
			sim__socket_close(world, world->sockets[i]);
	while ((link = rota_list_pop_front(&world->names)))
		rota_free(ROTA_CONTAINER_OF(link, struct sim_name, link));
	if (chosen_world == world)
		chosen_world = NULL;
	if (process_world == world)
		process_world = NULL;
	rota_free(world->sockets);
	rota_free(world);
	return left_open;
}

int sim__world_for_open(const char *text, struct rota_sim_world **out,
			struct rota_sim_options *options)
{
	struct rota_sim_world *world = chosen_world ? chosen_world : process_world;
	char message[ROTA_BACKEND_TEXT_BYTES];
	int status;

	rota_sim_options_init(options, 1);
	if (world)
		*options = world->options;
	status = rota_sim_options_parse(options, text, message);
	if (status < 0) {
		rota_log(ROTA_LOG_ERROR, "%s", message);
		return status;
	}
	if (!world) {
		status = rota_sim_world_create(options, &world);
		if (status < 0)
			return status;
		world->is_process_own = true;
		process_world = world;
	}
	*out = world;
	return 0;
}

void sim__world_instance_closed(struct rota_sim_world *world)
{
	if (world->is_process_own && world->instances_count == 0)
		rota_ignore(rota_sim_world_destroy(world), "what is left open has been logged");
}

/* ---- clock ---- */

void sim__advance_to(struct rota_sim_world *world, rota_ns time)
{
	if (time <= world->now)
		return;
	world->now = time;
	sim__event(world, "time", -1, time);
}

void rota_sim_advance(struct rota_sim_world *world, rota_ns duration_ns)
{
	ROTA_ASSERT(duration_ns >= 0);
	ROTA_ASSERT(duration_ns < ROTA_NEVER - world->now);
	sim__advance_to(world, world->now + duration_ns);
}

rota_ns rota_sim_now(const struct rota_sim_world *world)
{
	return world->now;
}

uint64_t rota_sim_steps(const struct rota_sim_world *world)
{
	return world->steps;
}

/* ---- descriptors ---- */

struct sim_socket *sim__socket_at(const struct rota_sim_world *world, int fd)
{
	int64_t slot = (int64_t)fd - ROTA_SIM_DESCRIPTOR_FIRST;

	if (slot < 0 || slot >= world->options.descriptors_max)
		return NULL;
	return world->sockets[slot];
}

int sim__descriptor_open(struct rota_sim_world *world, struct sim_socket *socket)
{
	uint32_t slot = world->descriptor_hint;

	/*
	 * The lowest free one, as POSIX has it: whoever uses a closed descriptor soon hits somebody
	 * else's.
	 */
	while (slot < world->options.descriptors_max && world->sockets[slot])
		slot++;
	world->descriptor_hint = slot;
	if (slot == world->options.descriptors_max)
		return -EMFILE;
	world->sockets[slot] = socket;
	world->sockets_open++;
	socket->fd = ROTA_SIM_DESCRIPTOR_FIRST + (int)slot;
	return socket->fd;
}

void sim__descriptor_close(struct rota_sim_world *world, struct sim_socket *socket)
{
	uint32_t slot = (uint32_t)(socket->fd - ROTA_SIM_DESCRIPTOR_FIRST);

	world->sockets[slot] = NULL;
	world->sockets_open--;
	if (slot < world->descriptor_hint)
		world->descriptor_hint = slot;
	socket->fd = -1;
}

/* ---- report ---- */

static void report_socket(const struct sim_socket *socket)
{
	char local[ROTA_ADDRESS_TEXT_BYTES], remote[ROTA_ADDRESS_TEXT_BYTES];

	rota_address_format(&socket->local, local);
	if (socket->kind == SIM_LISTENER) {
		rota_log(ROTA_LOG_WARNING, "sim: open: %d listens on %s, %u not accepted",
			 socket->fd, local, socket->backlog_count);
	} else {
		rota_address_format(&socket->remote, remote);
		rota_log(ROTA_LOG_WARNING, "sim: open: %d %s to %s, %zu bytes unread%s", socket->fd,
			 local, remote, sim__unread_bytes(socket),
			 socket->peer ? "" : ", the other end is closed");
	}
	for (struct rota_link *link = socket->waiting.next; link != &socket->waiting;
	     link = link->next) {
		const struct rota_op *op = ROTA_CONTAINER_OF(link, struct rota_op, link_);

		rota_log(ROTA_LOG_WARNING, "sim: waiting: %s on %d, engine %u, operation %u",
			 sim__op_name(op->kind), socket->fd, op->index_, op->generation_);
	}
}

unsigned rota_sim_world_report(const struct rota_sim_world *world)
{
	unsigned reported = 0;

	for (uint32_t i = 0; reported < world->sockets_open; i++) {
		if (!world->sockets[i])
			continue;
		report_socket(world->sockets[i]);
		reported++;
	}
	return reported + sim__files_report(world->files);
}
