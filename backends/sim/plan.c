/* SPDX-License-Identifier: MIT */
/*
 * The fault plan: what befalls hosts and wires, and when. One thread per world.
 *
 * The one idea: the plan is data, known before the run. It comes from text or is drawn from the
 * seed; both ways it stands in the trace, and each entry is a timer. What lasts burdens a host
 * while it does; what that means is up to whoever asks sim__is_burdened.
 */
#include <errno.h>
#include <string.h>

#include <rota/memory.h>

#include "backends/sim/sim_internal.h"

struct planned {
	struct rota_link link; /* in world->plan */
	struct sim_timer timer;
	struct rota_sim_fault fault;
	bool has_begun;
};

/* ---- happening ---- */

static void change_partition(struct rota_sim_world *world, const struct rota_sim_fault *fault,
			     bool begins)
{
	void (*change)(struct rota_sim_world *, unsigned, unsigned) = begins ? rota_sim_partition
									     : rota_sim_heal;

	change(world, fault->a, fault->b);
	if (!fault->is_one_way)
		change(world, fault->b, fault->a);
}

/* Returns true if its end is to be heard of as well. */
static bool begin(struct rota_sim_world *world, const struct rota_sim_fault *fault)
{
	struct sim_host *host = world->hosts[fault->a];

	switch (fault->kind) {
	case ROTA_SIM_PARTITION:
		change_partition(world, fault, true);
		return true;
	case ROTA_SIM_RESET:
		rota_ignore(rota_sim_reset(world, fault->a, fault->b), "there may be none");
		return false;
	case ROTA_SIM_CRASH:
		if (world->programs)
			rota_sim_host_crash(world, fault->a, fault->until);
		return false;
	case ROTA_SIM_CLOCK:
		if (host)
			host->wall_off_ns += fault->amount_ns;
		return false;
	default:
		ROTA_ASSERT(world->burdens[fault->kind][fault->a] < UINT8_MAX);
		world->burdens[fault->kind][fault->a]++;
		return true;
	}
}

static void finish(struct rota_sim_world *world, const struct rota_sim_fault *fault)
{
	if (fault->kind == ROTA_SIM_PARTITION)
		change_partition(world, fault, false);
	else
		world->burdens[fault->kind][fault->a]--;
}

static void is_due(struct rota_sim_world *world, struct sim_timer *timer)
{
	struct planned *planned = ROTA_CONTAINER_OF(timer, struct planned, timer);
	const struct rota_sim_fault *fault = &planned->fault;

	sim__event(world, sim__fault_names[fault->kind], fault->a, planned->has_begun ? 0 : 1);
	if (planned->has_begun) {
		finish(world, fault);
		return;
	}
	planned->has_begun = true;
	if (begin(world, fault) && fault->until != ROTA_NEVER)
		sim__timer_arm(world, timer, fault->until);
}

/* ---- planning ---- */

bool sim__fault_has_two(enum rota_sim_fault_kind kind)
{
	return kind == ROTA_SIM_PARTITION || kind == ROTA_SIM_RESET;
}

bool sim__fault_lasts(enum rota_sim_fault_kind kind)
{
	return kind != ROTA_SIM_RESET && kind != ROTA_SIM_CLOCK;
}

static bool makes_sense(const struct rota_sim_fault *fault)
{
	return fault->kind < ROTA_SIM_FAULT_COUNT && fault->a < ROTA_SIM_HOSTS_MAX &&
	       fault->at >= 0 && fault->until >= fault->at &&
	       (sim__fault_lasts(fault->kind) || fault->until == ROTA_NEVER) &&
	       (!sim__fault_has_two(fault->kind) ||
		(fault->b < ROTA_SIM_HOSTS_MAX && fault->a != fault->b));
}

int rota_sim_plan_add(struct rota_sim_world *world, const struct rota_sim_fault *fault)
{
	struct planned *planned;

	if (!makes_sense(fault))
		return -EINVAL;
	planned = sim__calloc(1, sizeof(*planned));
	if (!planned)
		return -ENOMEM;
	planned->fault = *fault;
	planned->timer.fire = is_due;
	rota_list_push_back(&world->plan, &planned->link);
	sim__timer_arm(world, &planned->timer, fault->at);
	sim__event(world, "plan", fault->kind, (int64_t)(fault->a << 8 | fault->b));
	sim__event(world, "plan-at", fault->at, fault->until);
	return 0;
}

unsigned rota_sim_plan_count(const struct rota_sim_world *world, enum rota_sim_fault_kind kind)
{
	const struct rota_link *head = &world->plan;
	unsigned count = 0;

	for (const struct rota_link *link = head->next; link != head; link = link->next)
		count += ROTA_CONTAINER_OF(link, const struct planned, link)->fault.kind == kind;
	return count;
}

void rota_sim_plan_print(const struct rota_sim_world *world, FILE *out)
{
	const struct rota_link *head = &world->plan;

	for (const struct rota_link *link = head->next; link != head; link = link->next) {
		if (link != head->next)
			fputc(';', out);
		sim__fault_print(&ROTA_CONTAINER_OF(link, const struct planned, link)->fault, out);
	}
}

void sim__plan_free(struct rota_sim_world *world)
{
	struct rota_link *link;

	while ((link = rota_list_pop_front(&world->plan))) {
		struct planned *planned = ROTA_CONTAINER_OF(link, struct planned, link);

		sim__timer_disarm(&planned->timer);
		rota_free(planned);
	}
}

/* ---- drawn from the seed ---- */

static uint64_t draw(struct rota_sim_world *world, uint64_t below)
{
	return sim__draw(world, SIM_DECIDE_PLAN, below);
}

/* `b` is another host of the chaos than `a`. */
static void draw_hosts(struct rota_sim_world *world, const struct rota_sim_chaos *chaos,
		       struct rota_sim_fault *fault)
{
	unsigned count = chaos->host_last - chaos->host_first + 1;
	unsigned a = (unsigned)draw(world, count);
	unsigned b = count > 1 ? (a + 1 + (unsigned)draw(world, count - 1)) % count : a;

	fault->a = chaos->host_first + a;
	fault->b = chaos->host_first + b;
}

static int draw_fault(struct rota_sim_world *world, const struct rota_sim_chaos *chaos,
		      enum rota_sim_fault_kind kind)
{
	struct rota_sim_fault fault = { .kind = kind };

	draw_hosts(world, chaos, &fault);
	if (kind == ROTA_SIM_CRASH || kind >= ROTA_SIM_NO_MEMORY)
		fault.a = chaos->victim;
	fault.is_one_way = kind == ROTA_SIM_PARTITION && draw(world, 2);
	fault.at = world->now + (rota_ns)draw(world, (uint64_t)chaos->span_ns);
	fault.until = fault.at + 1 + (rota_ns)draw(world, (uint64_t)chaos->longest_ns);
	if (!sim__fault_lasts(kind))
		fault.until = ROTA_NEVER;
	if (kind == ROTA_SIM_CLOCK)
		fault.amount_ns = (int64_t)draw(world, 7200 * ROTA_NS_PER_S) - 3600 * ROTA_NS_PER_S;
	return rota_sim_plan_add(world, &fault);
}

int rota_sim_plan_draw(struct rota_sim_world *world, const struct rota_sim_chaos *chaos)
{
	int status = 0;

	ROTA_ASSERT(chaos->host_first <= chaos->host_last);
	ROTA_ASSERT(chaos->host_last < ROTA_SIM_HOSTS_MAX);
	ROTA_ASSERT(chaos->span_ns > 0);
	ROTA_ASSERT(chaos->longest_ns > 0);
	for (unsigned kind = 0; kind < ROTA_SIM_FAULT_COUNT; kind++) {
		/* As many as that at most: some runs are to be calm. */
		uint64_t count = draw(world, (uint64_t)chaos->counts_max[kind] + 1);

		while (status == 0 && count--)
			status = draw_fault(world, chaos, kind);
	}
	return status;
}
