/* SPDX-License-Identifier: MIT */
/*
 * The simulator's decisions, options and trace. The only place that draws from the seed.
 *
 * The one idea: every kind of decision has its own stream of numbers, seeded from the world's seed
 * and the kind. What a stream yields next depends on how many decisions of that kind the program
 * has caused, and on nothing else.
 *
 * Generator: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators",
 * OOPSLA 2014).
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "backends/sim/sim_internal.h"

/* 2^64 / golden ratio, odd: the increment of SplitMix64. */
#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

/*
 * A split among many bytes is most telling near the edges: half of the short transfers move no more
 * than this (a guess).
 */
#define SHORT_EDGE_BYTES 16

static const char *const decision_names[SIM_DECISION_COUNT] = {
	[SIM_DECIDE_ACTOR] = "draw-actor",
	[SIM_DECIDE_ATTEMPT] = "draw-attempt",
	[SIM_DECIDE_DELIVERY] = "draw-delivery",
	[SIM_DECIDE_DELAY] = "draw-delay",
	[SIM_DECIDE_SHORT] = "draw-short",
	[SIM_DECIDE_SHORT_BYTES] = "draw-short-bytes",
	[SIM_DECIDE_STREAM_END] = "draw-stream-end",
	[SIM_DECIDE_NO_BUFFERS] = "draw-no-buffers",
	[SIM_DECIDE_LATE_CANCEL] = "draw-late-cancel",
	[SIM_DECIDE_LISTENER] = "draw-listener",
	[SIM_DECIDE_REFUSE] = "draw-refuse",
	[SIM_DECIDE_WORK_TIME] = "draw-work-time",
	[SIM_DECIDE_WORK_LATE] = "draw-work-late",
	[SIM_DECIDE_DISK_ERROR] = "draw-disk-error",
	[SIM_DECIDE_SYNC_ERROR] = "draw-sync-error",
	[SIM_DECIDE_CRASH] = "draw-crash",
	[SIM_DECIDE_NO_MEMORY] = "draw-no-memory",
	[SIM_DECIDE_PATIENCE] = "draw-patience",
	[SIM_DECIDE_PROGRAM] = "draw-program",
	[SIM_DECIDE_LATENCY] = "draw-latency",
	[SIM_DECIDE_LOSS] = "draw-loss",
	[SIM_DECIDE_RESET] = "draw-reset",
	[SIM_DECIDE_PLAN] = "draw-plan",
	[SIM_DECIDE_SLOW] = "draw-slow",
	[SIM_DECIDE_STARVE] = "draw-starve",
};

static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* ---- decisions ---- */

static uint64_t next(struct rota_sim_world *world, enum sim_decision what)
{
	world->streams[what] += GOLDEN;
	return mix(world->streams[what]);
}

void sim__streams_seed(struct rota_sim_world *world)
{
	for (unsigned i = 0; i < SIM_DECISION_COUNT; i++)
		world->streams[i] = mix(world->options.seed + mix((i + 1) * GOLDEN));
	world->hash = mix(world->options.seed);
}

uint64_t sim__draw(struct rota_sim_world *world, enum sim_decision what, uint64_t below)
{
	uint64_t drawn;

	if (below <= 1)
		return 0;
	/* The high half of a 128-bit product; its bias is far below what a test could notice. */
	drawn = (uint64_t)(((unsigned __int128)next(world, what) * below) >> 64);
	sim__event(world, decision_names[what], (int64_t)below, (int64_t)drawn);
	return drawn;
}

bool sim__chance(struct rota_sim_world *world, enum sim_decision what, uint32_t permille)
{
	return permille && sim__draw(world, what, 1000) < permille;
}

size_t sim__transfer_bytes(struct rota_sim_world *world, size_t bytes)
{
	size_t most = bytes;

	if (bytes == 1 || !sim__chance(world, SIM_DECIDE_SHORT, world->options.short_io_permille))
		return bytes;
	if (bytes > SHORT_EDGE_BYTES && sim__draw(world, SIM_DECIDE_SHORT_BYTES, 2))
		most = SHORT_EDGE_BYTES;
	return 1 + (size_t)sim__draw(world, SIM_DECIDE_SHORT_BYTES, most);
}

void sim__random_bytes(struct rota_sim_world *world, void *out, size_t bytes)
{
	char *at = out;

	sim__event(world, "random", -1, (int64_t)bytes);
	while (bytes) {
		uint64_t word = next(world, SIM_DECIDE_PROGRAM);
		size_t part = rota_min_size(bytes, sizeof(word));

		memcpy(at, &word, part);
		at += part;
		bytes -= part;
	}
}

bool rota_sim_refuse(struct rota_sim_world *world)
{
	return sim__chance(world, SIM_DECIDE_REFUSE, world->options.refuse_permille);
}

/* ---- trace ---- */

static void hash_word(struct rota_sim_world *world, uint64_t word)
{
	world->hash = mix((world->hash ^ word) + GOLDEN);
}

void sim__hash_bytes(struct rota_sim_world *world, const void *data, size_t bytes)
{
	const char *at = data;

	while (bytes) {
		uint64_t word = 0;
		size_t part = rota_min_size(bytes, sizeof(word));

		memcpy(&word, at, part);
		hash_word(world, word);
		at += part;
		bytes -= part;
	}
}

void sim__event(struct rota_sim_world *world, const char *what, int64_t who, int64_t outcome)
{
	sim__hash_bytes(world, what, strlen(what));
	hash_word(world, (uint64_t)who);
	hash_word(world, (uint64_t)outcome);
	hash_word(world, (uint64_t)world->now);
	if (world->options.trace)
		fprintf(world->options.trace, "%" PRId64 " %s %" PRId64 " %" PRId64 "\n",
			world->now, what, who, outcome);
}

void rota_sim_note(struct rota_sim_world *world, const char *what, uint64_t value)
{
	sim__event(world, what, -1, (int64_t)value);
}

uint64_t rota_sim_trace_hash(const struct rota_sim_world *world)
{
	return world->hash;
}

/* ---- options ---- */

void rota_sim_options_init(struct rota_sim_options *options, uint64_t seed)
{
	*options = (struct rota_sim_options){
		.seed = seed,
		.reorder = true,
		.work_min_ns = 10 * ROTA_NS_PER_US,
		.work_max_ns = 200 * ROTA_NS_PER_US,
		.disk_bytes = 1u << 30,
		.step_ns = ROTA_NS_PER_US,
		.wall_start_ns = INT64_C(1767225600) * ROTA_NS_PER_S, /* 2026-01-01 */
		.descriptors_max = 16384,
		.buffers_count =
			512, /* twice SIM_PENDING_MAX: not exhausted by what is only under way */
		.buffer_bytes = 2048,
		.socket_bytes = 65536,
	};
}

static void make_rough(struct rota_sim_options *options)
{
	options->short_io_permille = 150;
	options->stream_end_permille = 50;
	options->no_buffers_permille = 20;
	options->late_cancel_permille = 300;
	options->refuse_permille = 100;
	options->delay_min_ns = 0;
	options->delay_max_ns = 200 * ROTA_NS_PER_US;
	options->work_min_ns = 0;
	options->work_max_ns = 2 * ROTA_NS_PER_MS;
}

void rota_sim_options_rough(struct rota_sim_options *options, uint64_t seed)
{
	rota_sim_options_init(options, seed);
	make_rough(options);
}

bool sim__take_number(struct rota_view *text, uint64_t max, uint64_t *out)
{
	uint64_t number = 0;
	size_t digits = 0;

	for (; digits < text->bytes; digits++) {
		unsigned digit = (unsigned)(unsigned char)text->data[digits] - '0';

		if (digit > 9)
			break;
		if (number > (max - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	*text = rota_view_of(text->data + digits, text->bytes - digits);
	*out = number;
	return digits > 0;
}

static bool parse_number(struct rota_view text, uint64_t max, uint64_t *out)
{
	return sim__take_number(&text, max, out) && text.bytes == 0;
}

/* Two numbers with `between` between them, as in "16x512" and "0..1000". */
static bool parse_pair(struct rota_view text, const char *between, uint64_t max, uint64_t out[2])
{
	size_t between_bytes = strlen(between);

	if (!sim__take_number(&text, max, &out[0]) || text.bytes < between_bytes ||
	    memcmp(text.data, between, between_bytes))
		return false;
	text = rota_view_of(text.data + between_bytes, text.bytes - between_bytes);
	return parse_number(text, max, &out[1]);
}

/* Options that are one 32-bit number. */
static const struct {
	const char *key;
	size_t offset;
	uint32_t min;
	uint32_t max;
} number_options[] = {
	{ "bandwidth", offsetof(struct rota_sim_options, bandwidth), 0, UINT32_MAX },
	{ "descriptors", offsetof(struct rota_sim_options, descriptors_max), 1, 1u << 24 },
	{ "disk-error", offsetof(struct rota_sim_options, disk_error_permille), 0, 1000 },
	{ "host", offsetof(struct rota_sim_options, host), 0, ROTA_SIM_HOSTS_MAX - 1 },
	{ "late-cancel", offsetof(struct rota_sim_options, late_cancel_permille), 0, 1000 },
	{ "loss", offsetof(struct rota_sim_options, loss_permille), 0, 1000 },
	{ "no-buffers", offsetof(struct rota_sim_options, no_buffers_permille), 0, 1000 },
	{ "refuse", offsetof(struct rota_sim_options, refuse_permille), 0, 1000 },
	{ "short-io", offsetof(struct rota_sim_options, short_io_permille), 0, 1000 },
	{ "socket-bytes", offsetof(struct rota_sim_options, socket_bytes), 1, 1u << 30 },
	{ "stream-end", offsetof(struct rota_sim_options, stream_end_permille), 0, 1000 },
	{ "sync-error", offsetof(struct rota_sim_options, sync_error_permille), 0, 1000 },
};

static bool set_number(struct rota_sim_options *options, struct rota_view key,
		       struct rota_view value)
{
	uint64_t number;

	for (size_t i = 0; i < ROTA_ARRAY_COUNT(number_options); i++) {
		if (!rota_view_equals(key, rota_view_of_string(number_options[i].key)))
			continue;
		if (!parse_number(value, number_options[i].max, &number) ||
		    number < number_options[i].min)
			return false;
		*(uint32_t *)(void *)((char *)options +
				      number_options[i].offset) = (uint32_t)number;
		return true;
	}
	return false;
}

static bool set_switch(struct rota_view value, bool *out)
{
	*out = rota_view_equals(value, rota_view_of_string("on"));
	return *out || rota_view_equals(value, rota_view_of_string("off"));
}

/* "MIN..MAX" in ns. */
static bool set_range(struct rota_view value, rota_ns *min, rota_ns *max)
{
	uint64_t pair[2];

	if (!parse_pair(value, "..", INT64_MAX / 4, pair) || pair[0] > pair[1])
		return false;
	*min = (rota_ns)pair[0];
	*max = (rota_ns)pair[1];
	return true;
}

static bool set_option(struct rota_sim_options *options, struct rota_view key,
		       struct rota_view value)
{
	uint64_t pair[2];

	if (rota_view_equals(key, rota_view_of_string("seed")))
		return parse_number(value, UINT64_MAX, &options->seed);
	if (rota_view_equals(key, rota_view_of_string("disk-bytes")))
		return parse_number(value, UINT64_MAX, &options->disk_bytes);
	if (rota_view_equals(key, rota_view_of_string("fail-attempt")))
		return parse_number(value, UINT64_MAX, &options->fail_attempt);
	if (rota_view_equals(key, rota_view_of_string("steps-max")))
		return parse_number(value, UINT64_MAX, &options->steps_max);
	if (rota_view_equals(key, rota_view_of_string("rough")) && !value.bytes) {
		make_rough(options);
		return true;
	}
	if (rota_view_equals(key, rota_view_of_string("reorder")))
		return set_switch(value, &options->reorder);
	if (rota_view_equals(key, rota_view_of_string("shuffle")))
		return set_switch(value, &options->shuffle);
	if (rota_view_equals(key, rota_view_of_string("loopback-wire")))
		return set_switch(value, &options->wires_loopback);
	if (rota_view_equals(key, rota_view_of_string("delay")))
		return set_range(value, &options->delay_min_ns, &options->delay_max_ns);
	if (rota_view_equals(key, rota_view_of_string("latency")))
		return set_range(value, &options->latency_min_ns, &options->latency_max_ns);
	if (rota_view_equals(key, rota_view_of_string("work")))
		return set_range(value, &options->work_min_ns, &options->work_max_ns);
	if (rota_view_equals(key, rota_view_of_string("plan"))) {
		options->plan = value; /* looked at by the caller, who says what is wrong */
		return true;
	}
	if (rota_view_equals(key, rota_view_of_string("buffers"))) {
		if (!parse_pair(value, "x", 1u << 24, pair) || !pair[0] || pair[0] > UINT16_MAX ||
		    !pair[1])
			return false;
		options->buffers_count = (uint32_t)pair[0];
		options->buffer_bytes = (uint32_t)pair[1];
		return true;
	}
	return set_number(options, key, value);
}

int rota_sim_options_parse(struct rota_sim_options *options, const char *text,
			   char message[ROTA_BACKEND_TEXT_BYTES])
{
	struct rota_sim_options parsed = *options;
	struct rota_view key, value;

	while (rota_backend_option_next(&text, &key, &value)) {
		if (set_option(&parsed, key, value))
			continue;
		snprintf(message, ROTA_BACKEND_TEXT_BYTES, "bad option '%.*s%s%.*s'",
			 (int)rota_min_size(key.bytes, 100), key.data, value.bytes ? "=" : "",
			 (int)rota_min_size(value.bytes, 100), value.data);
		return -EINVAL;
	}
	if (sim__plan_parse(NULL, parsed.plan, message) < 0)
		return -EINVAL;
	*options = parsed;
	return 0;
}
