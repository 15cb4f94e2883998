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

/* Of one host, so that those of all hosts have numbers of their own. */
#define DESCRIPTORS_MAX (1u << 24)

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
	       options->latency_min_ns >= 0 && options->latency_min_ns <= options->latency_max_ns &&
	       options->latency_max_ns <= INT64_MAX / 4 && options->host < ROTA_SIM_HOSTS_MAX &&
	       options->step_ns >= 0 && options->descriptors_max <= DESCRIPTORS_MAX;
}

int rota_sim_world_create(const struct rota_sim_options *options, struct rota_sim_world **out)
{
	char message[ROTA_BACKEND_TEXT_BYTES]; /* rota_sim_options_parse has told it */
	struct rota_sim_world *world;
	int status;

	if (!options_make_sense(options))
		return -EINVAL;
	world = sim__calloc(1, sizeof(*world));
	if (!world)
		return -ENOMEM;
	world->options = *options;
	world->now = ROTA_SIM_START_NS;
	rota_list_init(&world->timers);
	rota_list_init(&world->connections);
	rota_list_init(&world->plan);
	sim__streams_seed(world);
	status = sim__plan_parse(world, options->plan, message);
	world->options.plan = (struct rota_view){ 0 }; /* it was lent */
	if (status < 0) {
		rota_ignore(rota_sim_world_destroy(world), "nothing is open in it");
		return status;
	}
	*out = world;
	return 0;
}

void rota_sim_world_use(struct rota_sim_world *world)
{
	chosen_world = world;
}

struct rota_sim_world *sim__world_used(void)
{
	return chosen_world;
}

unsigned rota_sim_world_destroy(struct rota_sim_world *world)
{
	unsigned left_open;

	if (!world)
		return 0;
	ROTA_ASSERT(world->instances_count == 0);
	left_open = rota_sim_world_report(world);
	for (unsigned i = 0; i < ROTA_SIM_HOSTS_MAX; i++)
		if (world->hosts[i])
			sim__host_empty(world->hosts[i]);
	sim__wires_cut(world);
	for (unsigned i = 0; i < ROTA_SIM_HOSTS_MAX; i++)
		sim__host_free(world->hosts[i]);
	if (chosen_world == world)
		chosen_world = NULL;
	if (process_world == world)
		process_world = NULL;
	sim__plan_free(world);
	sim__programs_free(world);
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
	if (world) {
		*options = world->options;
		options->host = world->host_now;
	}
	status = rota_sim_options_parse(options, text, message);
	if (status < 0) {
		rota_log(ROTA_LOG_ERROR, "sim: %s", message);
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

void sim__timer_arm(struct rota_sim_world *world, struct sim_timer *timer, rota_ns due)
{
	struct rota_link *before = world->timers.prev;

	sim__timer_disarm(timer);
	timer->due = due < world->now ? world->now : due;
	/*
	 * Behind those due at the same time; from the end, because most are due after the others.
	 */
	while (before != &world->timers &&
	       ROTA_CONTAINER_OF(before, struct sim_timer, link)->due > timer->due)
		before = before->prev;
	rota_list_push_front(before, &timer->link);
}

void sim__timer_disarm(struct sim_timer *timer)
{
	if (timer->link.next)
		rota_list_remove(&timer->link);
	timer->link = (struct rota_link){ 0 };
}

rota_ns sim__timers_next(const struct rota_sim_world *world)
{
	if (rota_list_is_empty(&world->timers))
		return ROTA_NEVER;
	return ROTA_CONTAINER_OF(world->timers.next, struct sim_timer, link)->due;
}

static void move_clock(struct rota_sim_world *world, rota_ns time)
{
	if (time <= world->now)
		return;
	world->now = time;
	sim__event(world, "time", -1, time);
}

void sim__advance_to(struct rota_sim_world *world, rota_ns time)
{
	/* Each happens at its own time: what it arms may be due before `time` as well. */
	while (sim__timers_next(world) <= time) {
		struct sim_timer *timer = ROTA_CONTAINER_OF(world->timers.next, struct sim_timer,
							    link);

		move_clock(world, timer->due);
		sim__timer_disarm(timer);
		timer->fire(world, timer);
	}
	move_clock(world, time);
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

uint64_t rota_sim_attempts(const struct rota_sim_world *world)
{
	return world->attempts;
}

uint64_t rota_sim_steps(const struct rota_sim_world *world)
{
	return world->steps;
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
			 socket->peer || socket->end ? "" : ", the other end is closed");
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

	for (unsigned h = 0; h < ROTA_SIM_HOSTS_MAX; h++) {
		const struct sim_host *host = world->hosts[h];

		for (uint32_t i = 0, left = host ? host->sockets_open : 0; left; i++) {
			if (!host->sockets[i])
				continue;
			report_socket(host->sockets[i]);
			reported++;
			left--;
		}
		if (host)
			reported += sim__files_report(host->files);
	}
	return reported;
}
