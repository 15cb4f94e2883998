/* SPDX-License-Identifier: MIT */
/*
 * The uring engine's options: text to struct. Any thread, no state. The one idea: the options are a
 * table, which parses, checks and lists itself.
 */
#include <stdio.h>
#include <string.h>

#include <rota/error.h>

#include "backends/uring/uring.h"

/*
 * 256 buffers of 64 KiB cost no more than smaller ones with small messages and a quarter less with
 * large ones (docs/design/0004-engines.md, 2026-11-22). SQ and CQ are guesses: an SQ of 1024 takes
 * a turn of as many busy connections in one enter, a CQ of 8192 one of 8000 before the kernel must
 * keep completions aside.
 */
static const struct uring_options defaults = {
	.sq_entries = 1024,
	.cq_entries = 8192,
	.buffer_count = 256,
	.buffer_bytes = 65536,
	.taskrun = URING_TASKRUN_DEFER,
	.multishot = true,
	.registered_ring = true,
	.send_skip = true,
};

#define SQ_ENTRIES_MAX 32768u /* the kernel's limits */
#define CQ_ENTRIES_MAX 65536u
#define BUFFER_BYTES_MAX (1u << 30)
#define WAIT_US_MAX 1000000u

/* Each sets its field from `value` and returns false when the value makes no sense. */
static bool set_switch(void *field, struct rota_view value);
static bool set_sq(void *field, struct rota_view value);
static bool set_cq(void *field, struct rota_view value);
static bool set_wait(void *field, struct rota_view value);
static bool set_threshold(void *field, struct rota_view value);
static bool set_taskrun(void *field, struct rota_view value);
static bool set_buffers(void *options, struct rota_view value);
static bool set_kernel(void *field, struct rota_view value);

static const struct option {
	const char *name;
	const char *values;
	bool (*set)(void *field, struct rota_view value);
	size_t offset;
} known[] = {
	{ "multishot", "on|off", set_switch, offsetof(struct uring_options, multishot) },
	{ "buffers", "COUNTxBYTES", set_buffers, 0 },
	{ "sq", "ENTRIES", set_sq, offsetof(struct uring_options, sq_entries) },
	{ "cq", "ENTRIES", set_cq, offsetof(struct uring_options, cq_entries) },
	{ "taskrun", "defer|coop|none", set_taskrun, offsetof(struct uring_options, taskrun) },
	{ "registered-ring", "on|off", set_switch,
	  offsetof(struct uring_options, registered_ring) },
	{ "sqpoll", "on|off", set_switch, offsetof(struct uring_options, sqpoll) },
	{ "min-wait-us", "MICROSECONDS", set_wait, offsetof(struct uring_options, min_wait_us) },
	{ "iowait", "on|off", set_switch, offsetof(struct uring_options, iowait) },
	{ "incremental", "on|off", set_switch, offsetof(struct uring_options, incremental) },
	{ "bundles", "on|off", set_switch, offsetof(struct uring_options, bundles) },
	{ "direct", "on|off", set_switch, offsetof(struct uring_options, direct) },
	{ "zero-copy", "BYTES", set_threshold, offsetof(struct uring_options, zero_copy_bytes) },
	{ "send-skip", "on|off", set_switch, offsetof(struct uring_options, send_skip) },
	{ "busy-poll-us", "MICROSECONDS", set_wait, offsetof(struct uring_options, busy_poll_us) },
	/* For tests: downgrade as if on that kernel. */
	{ "pretend-kernel", "MAJOR.MINOR", set_kernel,
	  offsetof(struct uring_options, pretend_kernel) },
};

static const struct option *find_option(struct rota_view name)
{
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(known); i++)
		if (rota_view_equals(name, rota_view_of_string(known[i].name)))
			return &known[i];
	return NULL;
}

static void say_unknown(struct rota_view name, char error[ROTA_BACKEND_TEXT_BYTES])
{
	size_t used = (size_t)snprintf(error, ROTA_BACKEND_TEXT_BYTES,
				       "uring has no option \"%.*s\"; it has",
				       (int)rota_min_size(name.bytes, 64), name.data);

	/* All of it fits: the list is 400 characters. */
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(known); i++)
		used += (size_t)snprintf(error + used, ROTA_BACKEND_TEXT_BYTES - used, "%s %s=%s",
					 i ? "," : "", known[i].name, known[i].values);
}

/* Whether each option may be what it is beside the others; otherwise why not. */
static bool go_together(const struct uring_options *options, char error[ROTA_BACKEND_TEXT_BYTES])
{
	if (options->cq_entries < options->sq_entries)
		snprintf(error, ROTA_BACKEND_TEXT_BYTES,
			 "uring option cq=%u is smaller than sq=%u: the kernel refuses that",
			 options->cq_entries, options->sq_entries);
	else if (options->incremental && options->bundles)
		snprintf(error, ROTA_BACKEND_TEXT_BYTES,
			 "uring options incremental=on and bundles=on do not go together: some "
			 "kernels lose count of buffers that are filled bit by bit and several at "
			 "once; take one of them");
	else
		return true;
	return false;
}

int uring__options_parse(struct uring_options *options, const char *text,
			 char error[ROTA_BACKEND_TEXT_BYTES])
{
	struct uring_options parsed = defaults;
	struct rota_view name, value;

	while (rota_backend_option_next(&text, &name, &value)) {
		const struct option *option = find_option(name);

		if (!option) {
			say_unknown(name, error);
			return -EINVAL;
		}
		if (!option->set((char *)&parsed + option->offset, value)) {
			snprintf(error, ROTA_BACKEND_TEXT_BYTES,
				 "uring option %s does not take \"%.*s\": it is %s=%s",
				 option->name, (int)rota_min_size(value.bytes, 64), value.data,
				 option->name, option->values);
			return -EINVAL;
		}
	}
	if (!go_together(&parsed, error))
		return -EINVAL;
	*options = parsed;
	return 0;
}

/* ---- values ---- */

/* A decimal number of `least` to `most`, taking all of `text`. */
static bool parse_number(struct rota_view text, uint32_t least, uint32_t most, uint32_t *out)
{
	uint64_t number = 0;

	if (!text.bytes)
		return false;
	for (size_t i = 0; i < text.bytes; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		number = number * 10 + (uint64_t)(text.data[i] - '0');
		if (number > most)
			return false;
	}
	if (number < least)
		return false;
	*out = (uint32_t)number;
	return true;
}

/* Two numbers with `separator` between them: cuts `text` there. */
static bool split(struct rota_view text, char separator, struct rota_view *left,
		  struct rota_view *right)
{
	const char *at = text.bytes ? memchr(text.data, separator, text.bytes) : NULL;

	if (!at)
		return false;
	*left = rota_view_of(text.data, (size_t)(at - text.data));
	*right = rota_view_of(at + 1, text.bytes - left->bytes - 1);
	return true;
}

static bool set_switch(void *field, struct rota_view value)
{
	bool on = rota_view_equals(value, rota_view_of_string("on"));

	if (!on && !rota_view_equals(value, rota_view_of_string("off")))
		return false;
	*(bool *)field = on;
	return true;
}

static bool set_sq(void *field, struct rota_view value)
{
	return parse_number(value, 1, SQ_ENTRIES_MAX, field);
}

static bool set_cq(void *field, struct rota_view value)
{
	return parse_number(value, 1, CQ_ENTRIES_MAX, field);
}

static bool set_wait(void *field, struct rota_view value)
{
	return parse_number(value, 0, WAIT_US_MAX, field);
}

static bool set_threshold(void *field, struct rota_view value)
{
	return parse_number(value, 0, UINT32_MAX, field);
}

static bool set_taskrun(void *field, struct rota_view value)
{
	static const char *const names[] = {
		[URING_TASKRUN_DEFER] = "defer",
		[URING_TASKRUN_COOP] = "coop",
		[URING_TASKRUN_NONE] = "none",
	};

	for (uint32_t i = 0; i < ROTA_ARRAY_COUNT(names); i++) {
		if (rota_view_equals(value, rota_view_of_string(names[i]))) {
			*(uint32_t *)field = i;
			return true;
		}
	}
	return false;
}

static bool set_buffers(void *options, struct rota_view value)
{
	struct uring_options *parsed = options;
	struct rota_view count, bytes;

	return split(value, 'x', &count, &bytes) &&
	       parse_number(count, 1, URING_BUFFER_COUNT_MAX, &parsed->buffer_count) &&
	       rota_is_power_of_two(parsed->buffer_count) &&
	       parse_number(bytes, 1, BUFFER_BYTES_MAX, &parsed->buffer_bytes);
}

static bool set_kernel(void *field, struct rota_view value)
{
	struct rota_view major_text, minor_text;
	uint32_t major_number, minor_number;

	if (!split(value, '.', &major_text, &minor_text) ||
	    !parse_number(major_text, 1, 1000, &major_number) ||
	    !parse_number(minor_text, 0, 1000, &minor_number))
		return false;
	*(uint32_t *)field = URING_KERNEL(major_number, minor_number);
	return true;
}
