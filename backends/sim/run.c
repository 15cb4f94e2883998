/* SPDX-License-Identifier: MIT */
/*
 * Programs on hosts, all on the world's thread.
 *
 * The one idea: a program is written as a main() that blocks in drive(). So each runs in a
 * generator, on a stack of its own; what it asks to be driven is what it yields, and it goes on
 * when that has stopped. Engines are opened, stepped and closed on the thread's own stack, where
 * the steps of all hosts are drawn from one lot.
 */
#include <errno.h>

#include <rota/generator.h>
#include <rota/log.h>
#include <rota/memory.h>

#include "backends/sim/sim_internal.h"

/* As drive.c: what ends by cancellation needs some ten steps. */
#define TEAR_DOWN_STEPS_MAX 100000

struct program {
	unsigned host;
	rota_sim_program_fn fn;
	void *arg;
	struct rota_generator *generator; /* NULL: none is running there */
	struct sim_crew *crew;            /* being driven for it; NULL: none */
	int drive_status;
	int result;
	bool is_to_crash;
	bool is_to_restart;
	struct sim_timer restart;
};

struct sim_programs {
	struct program hosts[ROTA_SIM_HOSTS_MAX];
	struct rota_sim_actor actors[SIM_INSTANCES_MAX];
	unsigned owners[SIM_INSTANCES_MAX]; /* whose they are: a host */
	bool idle[SIM_INSTANCES_MAX];
	unsigned actors_count;
	struct program *running; /* outside reactors, now */
	bool is_running;         /* in rota_sim_run */
	bool is_ending;          /* nothing more is driven */
};

static _Thread_local struct rota_sim_world *world_in_program;

static void restart_is_due(struct rota_sim_world *world, struct sim_timer *timer);
static void remove_crew(struct sim_programs *all, unsigned host);
static void look_at_all(struct sim_programs *all);

struct rota_sim_world *sim__world_with_program(void)
{
	return world_in_program;
}

/* ---- inside a program ---- */

static int64_t run_program(struct rota_generator *self, void *arg)
{
	struct program *program = arg;

	(void)self;
	return program->fn(program->arg);
}

int sim__program_drives(struct rota_sim_world *world, struct sim_crew *crew)
{
	struct program *program = world->programs->running;

	if (rota_generator_yield(program->generator, crew, NULL) < 0)
		return -ECANCELED;
	return program->drive_status;
}

static int start_program(struct program *program)
{
	struct rota_generator_options options = { .name = "a host's program",
						  .stack = ROTA_STACK_256K };
	int status = rota_generator_create_with(run_program, program, &options,
						&program->generator);

	program->result = status < 0 ? status : -EBUSY;
	return status;
}

int rota_sim_host_boot(struct rota_sim_world *world, unsigned host, rota_sim_program_fn fn,
		       void *arg)
{
	struct program *program;
	struct sim_host *made;
	int status;

	ROTA_ASSERT(host < ROTA_SIM_HOSTS_MAX);
	status = sim__host_get(world, host, &made);
	if (status < 0)
		return status;
	if (!world->programs) {
		world->programs = sim__calloc(1, sizeof(*world->programs));
		if (!world->programs)
			return -ENOMEM;
		for (unsigned i = 0; i < ROTA_SIM_HOSTS_MAX; i++)
			world->programs->hosts[i] = (struct program){
				.result = -ESRCH, .restart.fire = restart_is_due
			};
	}
	program = &world->programs->hosts[host];
	ROTA_ASSERT(!program->generator); /* one program per host at a time */
	ROTA_ASSERT(!made->is_down);
	program->host = host;
	program->fn = fn;
	program->arg = arg;
	return start_program(program);
}

/* ---- crash and restart ---- */

void rota_sim_host_crash(struct rota_sim_world *world, unsigned host, rota_ns restart)
{
	struct program *program;

	ROTA_ASSERT(host < ROTA_SIM_HOSTS_MAX);
	ROTA_ASSERT(world->programs);
	program = &world->programs->hosts[host];
	if (!program->generator || program->is_to_crash)
		return;
	program->is_to_crash = true;
	if (restart != ROTA_NEVER)
		sim__timer_arm(world, &program->restart, restart);
}

bool rota_sim_host_is_down(const struct rota_sim_world *world, unsigned host)
{
	ROTA_ASSERT(host < ROTA_SIM_HOSTS_MAX);
	return world->hosts[host] && world->hosts[host]->is_down;
}

rota_ns rota_sim_host_crashed_at(const struct rota_sim_world *world, unsigned host)
{
	ROTA_ASSERT(host < ROTA_SIM_HOSTS_MAX);
	return world->hosts[host] ? world->hosts[host]->crashed_at : 0;
}

static void restart_is_due(struct rota_sim_world *world, struct sim_timer *timer)
{
	(void)world;
	ROTA_CONTAINER_OF(timer, struct program, restart)->is_to_restart = true;
}

/* Between steps: nothing of it runs. What it holds goes with its stacks and its memory. */
static void crash(struct rota_sim_world *world, struct program *program)
{
	struct sim_programs *all = world->programs;

	program->is_to_crash = false;
	remove_crew(all, program->host);
	sim__host_crash(world->hosts[program->host]);
	if (program->crew)
		sim__crew_crash(program->crew);
	program->crew = NULL;
	rota_generator_abandon(program->generator);
	program->generator = NULL;
	program->result = -EHOSTDOWN;
	sim__memory_free_of(program->host);
	look_at_all(all);
}

static void restart(struct rota_sim_world *world, struct program *program)
{
	program->is_to_restart = false;
	world->hosts[program->host]->is_down = false;
	sim__event(world, "restart", program->host, 0);
	rota_ignore(start_program(program), "it is the program's result");
}

int rota_sim_host_result(const struct rota_sim_world *world, unsigned host)
{
	ROTA_ASSERT(host < ROTA_SIM_HOSTS_MAX);
	return world->programs ? world->programs->hosts[host].result : -ESRCH;
}

/* ---- crews come and go ---- */

static void add_crew(struct sim_programs *all, const struct program *program)
{
	unsigned count = sim__crew_count(program->crew);

	sim__crew_actors(program->crew, &all->actors[all->actors_count]);
	for (unsigned i = 0; i < count; i++)
		all->owners[all->actors_count++] = program->host;
}

static void remove_crew(struct sim_programs *all, unsigned host)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < all->actors_count; i++) {
		if (all->owners[i] == host)
			continue;
		all->actors[kept] = all->actors[i];
		all->owners[kept++] = all->owners[i];
	}
	all->actors_count = kept;
}

/* Returns true when the crew is on the stage, false if it can't be and the program goes on. */
static bool take_on(struct rota_sim_world *world, struct program *program)
{
	struct sim_programs *all = world->programs;
	int status = all->is_ending ? -ECANCELED : 0;

	if (status == 0 && all->actors_count + sim__crew_count(program->crew) > SIM_INSTANCES_MAX)
		status = -ENOSPC;
	world->host_now = program->host;
	if (status == 0)
		status = sim__crew_open(program->crew);
	program->drive_status = status;
	if (status == 0)
		add_crew(all, program);
	else
		program->crew = NULL;
	return status == 0;
}

/* Somebody outside of steps has done something. */
static void look_at_all(struct sim_programs *all)
{
	for (unsigned i = 0; i < SIM_INSTANCES_MAX; i++)
		all->idle[i] = false;
}

/* Let the program go on until it has something driven again, or ends. */
static void resume(struct rota_sim_world *world, struct program *program)
{
	struct sim_programs *all = world->programs;
	void *crew;
	int more;

	do {
		uint32_t before = sim__memory_owner(program->host);

		all->running = program;
		world->host_now = program->host;
		world_in_program = world;
		sim__event(world, "program", program->host, 1);
		more = rota_generator_next(program->generator, &crew);
		sim__memory_owner(before);
		world_in_program = NULL;
		all->running = NULL;
		program->crew = more > 0 ? crew : NULL;
	} while (more > 0 && !take_on(world, program));
	look_at_all(all); /* it may have done anything, for anybody */
	if (more > 0)
		return;
	program->result = (int)rota_generator_result(program->generator);
	rota_generator_destroy(program->generator);
	program->generator = NULL;
	sim__event(world, "program-ends", program->host, program->result);
}

/* Start who is new, resume whose crew has stopped. Returns true while any program runs. */
static bool look_after(struct rota_sim_world *world)
{
	bool any = false;

	for (unsigned i = 0; i < ROTA_SIM_HOSTS_MAX; i++) {
		struct program *program = &world->programs->hosts[i];

		if (program->is_to_crash)
			crash(world, program);
		if (program->is_to_restart)
			restart(world, program);
		if (program->crew && sim__crew_has_stopped(program->crew)) {
			remove_crew(world->programs, i);
			sim__crew_close(program->crew);
			program->crew = NULL;
		}
		if (program->generator && !program->crew)
			resume(world, program);
		any |= program->generator || program->restart.link.next;
	}
	return any;
}

static void stop_all(struct sim_programs *all)
{
	for (unsigned i = 0; i < ROTA_SIM_HOSTS_MAX; i++)
		if (all->hosts[i].crew)
			sim__crew_stop(all->hosts[i].crew);
	look_at_all(all);
}

static int step_all(struct rota_sim_world *world)
{
	struct sim_programs *all = world->programs;
	int status = 0;

	while ((status >= 0 || status == -EAGAIN) && look_after(world)) {
		struct sim_stage stage = { all->actors, all->idle, all->actors_count };

		status = sim__stage_step(world, &stage);
	}
	return status < 0 && status != -EAGAIN ? status : 0;
}

/* It was reported as it stood; now all end by cancellation, as in drive.c. */
static void tear_down(struct rota_sim_world *world, int status)
{
	struct sim_programs *all = world->programs;
	uint64_t steps_max = world->options.steps_max;

	all->is_ending = true;
	for (unsigned i = 0; i < ROTA_SIM_HOSTS_MAX; i++)
		all->hosts[i].drive_status = status;
	stop_all(all);
	world->options.steps_max = world->steps + TEAR_DOWN_STEPS_MAX;
	for (unsigned i = 0; i < ROTA_SIM_HOSTS_MAX; i++) {
		sim__timer_disarm(&all->hosts[i].restart);
		all->hosts[i].is_to_restart = false;
	}
	if (step_all(world) < 0)
		for (unsigned i = 0; i < ROTA_SIM_HOSTS_MAX; i++)
			if (all->hosts[i].crew)
				sim__crew_report(all->hosts[i].crew);
	world->options.steps_max = steps_max;
	all->is_ending = false;
}

int rota_sim_run(struct rota_sim_world *world)
{
	struct rota_sim_world *used_before = sim__world_used();
	int status;

	ROTA_ASSERT(!world->is_driven);
	if (!world->programs)
		return 0;
	rota_sim_world_use(world);
	world->is_driven = true;
	sim__memory_begin(world);
	status = step_all(world);
	if (status < 0)
		tear_down(world, status);
	sim__memory_end();
	world->is_driven = false;
	world->host_now = 0;
	rota_sim_world_use(used_before);
	return status;
}

void sim__programs_free(struct rota_sim_world *world)
{
	for (unsigned i = 0; world->programs && i < ROTA_SIM_HOSTS_MAX; i++)
		rota_generator_destroy(world->programs->hosts[i].generator);
	rota_free(world->programs);
}
