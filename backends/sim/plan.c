/* SPDX-License-Identifier: MIT */
/*
 * The fault plan: what befalls hosts and wires, and when. One thread per world.
 *
 * The one idea: the plan is data, known before the run. It comes from text or is drawn from the
 * seed; both ways it stands in the trace, and each entry is a timer.
 */
#include <errno.h>
#include <string.h>

#include <rota/memory.h>

#include "backends/sim/sim_internal.h"

static const char *const kind_names[ROTA_SIM_FAULT_COUNT] = {
	[ROTA_SIM_PARTITION] = "partition", [ROTA_SIM_RESET] = "reset",
	[ROTA_SIM_CRASH] = "crash",         [ROTA_SIM_CLOCK] = "clock",
	[ROTA_SIM_SLOW] = "slow",           [ROTA_SIM_STARVE] = "starve",
};

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
	case ROTA_SIM_SLOW:
		world->slowed[fault->a]++;
		return true;
	default:
		world->starved[fault->a]++;
		return true;
	}
}

static void finish(struct rota_sim_world *world, const struct rota_sim_fault *fault)
{
	if (fault->kind == ROTA_SIM_PARTITION)
		change_partition(world, fault, false);
	else if (fault->kind == ROTA_SIM_SLOW)
		world->slowed[fault->a]--;
	else
		world->starved[fault->a]--;
}

static void is_due(struct rota_sim_world *world, struct sim_timer *timer)
{
	struct planned *planned = ROTA_CONTAINER_OF(timer, struct planned, timer);
	const struct rota_sim_fault *fault = &planned->fault;

	sim__event(world, kind_names[fault->kind], fault->a, planned->has_begun ? 0 : 1);
	if (planned->has_begun) {
		finish(world, fault);
		return;
	}
	planned->has_begun = true;
	if (begin(world, fault) && fault->until != ROTA_NEVER)
		sim__timer_arm(world, timer, fault->until);
}

/* ---- planning ---- */

static bool makes_sense(const struct rota_sim_fault *fault)
{
	bool has_two = fault->kind == ROTA_SIM_PARTITION || fault->kind == ROTA_SIM_RESET;

	return fault->kind < ROTA_SIM_FAULT_COUNT && fault->a < ROTA_SIM_HOSTS_MAX &&
	       fault->at >= 0 && fault->until >= fault->at &&
	       (!has_two || (fault->b < ROTA_SIM_HOSTS_MAX && fault->a != fault->b));
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
	if (kind == ROTA_SIM_CRASH)
		fault.a = chaos->crash_host;
	fault.is_one_way = kind == ROTA_SIM_PARTITION && draw(world, 2);
	fault.at = world->now + (rota_ns)draw(world, (uint64_t)chaos->span_ns);
	fault.until = fault.at + 1 + (rota_ns)draw(world, (uint64_t)chaos->longest_ns);
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

/* ---- from text ---- */

static bool take_char(struct rota_view *text, char wanted)
{
	if (!text->bytes || *text->data != wanted)
		return false;
	*text = rota_view_of(text->data + 1, text->bytes - 1);
	return true;
}

static bool take_text(struct rota_view *text, const char *wanted)
{
	size_t bytes = strlen(wanted);

	if (text->bytes < bytes || memcmp(text->data, wanted, bytes))
		return false;
	*text = rota_view_of(text->data + bytes, text->bytes - bytes);
	return true;
}

/* "1500ms", "2s", "10us", "7ns" */
static bool take_time(struct rota_view *text, rota_ns *out)
{
	static const struct {
		const char *name;
		rota_ns ns;
	} units[] = { { "ns", 1 },
		      { "us", ROTA_NS_PER_US },
		      { "ms", ROTA_NS_PER_MS },
		      { "s", ROTA_NS_PER_S } };
	uint64_t number;

	if (!sim__take_number(text, INT64_MAX / 4 / (uint64_t)ROTA_NS_PER_S, &number))
		return false;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(units); i++) {
		if (take_text(text, units[i].name)) {
			*out = (rota_ns)number * units[i].ns;
			return true;
		}
	}
	return false;
}

static bool take_host(struct rota_view *text, unsigned *out)
{
	uint64_t number;

	if (!sim__take_number(text, ROTA_SIM_HOSTS_MAX - 1, &number))
		return false;
	*out = (unsigned)number;
	return true;
}

static bool take_fault(struct rota_view *text, struct rota_sim_fault *fault)
{
	bool has_other, takes_other;
	unsigned kind = 0;
	rota_ns jump;

	*fault = (struct rota_sim_fault){ .until = ROTA_NEVER };
	while (kind < ROTA_SIM_FAULT_COUNT && !take_text(text, kind_names[kind]))
		kind++;
	fault->kind = kind;
	if (!take_char(text, ':') || !take_host(text, &fault->a))
		return false;
	fault->is_one_way = take_char(text, '>');
	has_other = fault->is_one_way || take_char(text, '-');
	takes_other = kind == ROTA_SIM_PARTITION || kind == ROTA_SIM_RESET;
	if (has_other != takes_other || (has_other && !take_host(text, &fault->b)))
		return false;
	if (!take_char(text, '@') || !take_time(text, &fault->at))
		return false;
	if (take_text(text, "..") && !take_time(text, &fault->until))
		return false;
	if (kind == ROTA_SIM_CLOCK) {
		bool is_back = take_char(text, '-');

		if ((!is_back && !take_char(text, '+')) || !take_time(text, &jump))
			return false;
		fault->amount_ns = is_back ? -jump : jump;
	}
	return true;
}

int rota_sim_plan_parse(struct rota_sim_world *world, const char *text)
{
	struct rota_view left = rota_view_of_string(text);
	int status = 0;

	while (status == 0 && left.bytes) {
		struct rota_sim_fault fault;

		if (!take_fault(&left, &fault) || (left.bytes && !take_char(&left, ';')))
			return -EINVAL;
		fault.at += ROTA_SIM_START_NS;
		if (fault.until != ROTA_NEVER)
			fault.until += ROTA_SIM_START_NS;
		status = rota_sim_plan_add(world, &fault);
	}
	return status;
}
