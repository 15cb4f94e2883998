/* SPDX-License-Identifier: MIT */
/*
 * The fault plan as text: "partition:1-2@1s..3s;clock:1@2s-30s". Any thread, but what is planned is
 * planned on the world's.
 *
 * The one idea: what is printed is read back as the same plan, so a plan that was drawn can be
 * kept, shortened by hand and run again.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "backends/sim/sim_internal.h"

#define TIME_NS_MAX (INT64_MAX / 4)

const char *const sim__fault_names[ROTA_SIM_FAULT_COUNT] = {
	[ROTA_SIM_PARTITION] = "partition", [ROTA_SIM_RESET] = "reset",
	[ROTA_SIM_CRASH] = "crash",         [ROTA_SIM_CLOCK] = "clock",
	[ROTA_SIM_SLOW] = "slow",           [ROTA_SIM_STARVE] = "starve",
	[ROTA_SIM_NO_MEMORY] = "no-memory", [ROTA_SIM_DISK_ERROR] = "disk-error",
	[ROTA_SIM_DISK_FULL] = "disk-full",
};

/* The largest first. */
static const struct {
	const char *name;
	rota_ns ns;
} units[] = {
	{ "s", ROTA_NS_PER_S }, { "ms", ROTA_NS_PER_MS }, { "us", ROTA_NS_PER_US }, { "ns", 1 }
};

/* ---- reading ---- */

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
	struct rota_view left = *text;
	uint64_t number;

	if (!sim__take_number(&left, TIME_NS_MAX, &number))
		return false;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(units); i++) {
		if (!take_text(&left, units[i].name))
			continue;
		if (number > (uint64_t)(TIME_NS_MAX / units[i].ns))
			return false;
		*out = (rota_ns)number * units[i].ns;
		*text = left;
		return true;
	}
	return false;
}

static bool take_host(struct rota_view *text, unsigned *out)
{
	struct rota_view left = *text;
	uint64_t number;

	if (!sim__take_number(&left, ROTA_SIM_HOSTS_MAX - 1, &number))
		return false;
	*out = (unsigned)number;
	*text = left;
	return true;
}

static const char *take_kind(struct rota_view *text, struct rota_sim_fault *fault)
{
	for (unsigned kind = 0; kind < ROTA_SIM_FAULT_COUNT; kind++) {
		struct rota_view left = *text;

		if (!take_text(&left, sim__fault_names[kind]) || !take_text(&left, ":"))
			continue;
		fault->kind = kind;
		*text = left;
		return NULL;
	}
	return "one of partition: reset: crash: clock: slow: starve: no-memory: disk-error: "
	       "disk-full: is to stand here";
}

static const char *take_hosts(struct rota_view *text, struct rota_sim_fault *fault)
{
	if (!take_host(text, &fault->a))
		return "a host from 0 to 15 is to stand here";
	if (!sim__fault_has_two(fault->kind))
		return NULL;
	if (fault->kind == ROTA_SIM_PARTITION)
		fault->is_one_way = take_text(text, ">");
	if (!fault->is_one_way && !take_text(text, "-"))
		return fault->kind == ROTA_SIM_PARTITION
			       ? "- or > and another host is to stand here"
			       : "- and another host is to stand here";
	if (!take_host(text, &fault->b))
		return "another host, from 0 to 15, is to stand here";
	return fault->a == fault->b ? "it is to be another host than the first" : NULL;
}

static const char *take_times(struct rota_view *text, struct rota_sim_fault *fault)
{
	struct rota_view before;

	if (!take_text(text, "@") || !take_time(text, &fault->at))
		return "@ and a time such as 1500ms or 2s is to stand here";
	before = *text;
	if (!sim__fault_lasts(fault->kind) || !take_text(text, ".."))
		return NULL;
	if (!take_time(text, &fault->until))
		return "a time such as 1500ms or 2s is to stand here";
	if (fault->until >= fault->at)
		return NULL;
	*text = before;
	return "it is not to end before it begins";
}

static const char *take_jump(struct rota_view *text, struct rota_sim_fault *fault)
{
	bool is_back = take_text(text, "-");

	if ((!is_back && !take_text(text, "+")) || !take_time(text, &fault->amount_ns))
		return "+ or - and a time such as 30s is to stand here";
	if (is_back)
		fault->amount_ns = -fault->amount_ns;
	return NULL;
}

/* Take one off the text, or say what is wrong at what is left of it. */
static const char *take_fault(struct rota_view *text, struct rota_sim_fault *fault)
{
	const char *complaint;

	*fault = (struct rota_sim_fault){ .until = ROTA_NEVER };
	complaint = take_kind(text, fault);
	if (!complaint)
		complaint = take_hosts(text, fault);
	if (!complaint)
		complaint = take_times(text, fault);
	if (!complaint && fault->kind == ROTA_SIM_CLOCK)
		complaint = take_jump(text, fault);
	if (!complaint && text->bytes && !take_text(text, ";"))
		complaint = "; or the end is to stand here";
	return complaint;
}

int sim__plan_parse(struct rota_sim_world *world, struct rota_view text,
		    char message[ROTA_BACKEND_TEXT_BYTES])
{
	struct rota_view left = text;
	int status = 0;

	while (status == 0 && left.bytes) {
		struct rota_sim_fault fault;
		const char *complaint = take_fault(&left, &fault);

		if (complaint) {
			snprintf(message, ROTA_BACKEND_TEXT_BYTES,
				 "bad plan: at character %zu, '%.*s': %s",
				 (size_t)(left.data - text.data) + 1,
				 (int)rota_min_size(left.bytes, 40), left.data, complaint);
			return -EINVAL;
		}
		if (!world)
			continue;
		fault.at += ROTA_SIM_START_NS;
		if (fault.until != ROTA_NEVER)
			fault.until += ROTA_SIM_START_NS;
		status = rota_sim_plan_add(world, &fault);
	}
	return status;
}

int rota_sim_plan_parse(struct rota_sim_world *world, const char *text,
			char message[ROTA_BACKEND_TEXT_BYTES])
{
	struct rota_view view = rota_view_of_string(text);
	int status = sim__plan_parse(NULL, view, message);

	if (status == 0)
		status = sim__plan_parse(world, view, message);
	if (status == -ENOMEM)
		snprintf(message, ROTA_BACKEND_TEXT_BYTES, "no memory for the plan");
	return status;
}

/* ---- writing ---- */

static void print_time(FILE *out, rota_ns time)
{
	size_t unit = 0;

	while (time % units[unit].ns)
		unit++;
	fprintf(out, "%" PRId64 "%s", time / units[unit].ns, units[unit].name);
}

void sim__fault_print(const struct rota_sim_fault *fault, FILE *out)
{
	fprintf(out, "%s:%u", sim__fault_names[fault->kind], fault->a);
	if (sim__fault_has_two(fault->kind))
		fprintf(out, "%c%u", fault->is_one_way ? '>' : '-', fault->b);
	fputc('@', out);
	print_time(out, fault->at - ROTA_SIM_START_NS);
	if (fault->until != ROTA_NEVER) {
		fputs("..", out);
		print_time(out, fault->until - ROTA_SIM_START_NS);
	}
	if (fault->kind == ROTA_SIM_CLOCK) {
		fputc(fault->amount_ns < 0 ? '-' : '+', out);
		print_time(out, fault->amount_ns < 0 ? -fault->amount_ns : fault->amount_ns);
	}
}
