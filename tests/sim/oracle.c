/* SPDX-License-Identifier: MIT */
/*
 * The judge of oracle.h. Layer: tests.
 */
#include "tests/sim/oracle.h"

#include <stdlib.h>

#include "tests/support/t_core.h"

/* States remembered; when they are all in use, the search goes on without memory. */
#define STATES (1u << 16)

struct state {
	uint64_t done; /* 0: a free place */
	uint32_t value;
};

struct search {
	const struct t_event *events;
	unsigned count;
	struct state *seen;
	unsigned seen_count;
};

/* True if it was there already. */
static bool remember(struct search *search, uint64_t done, uint32_t value)
{
	uint64_t hash = (done ^ (uint64_t)value << 32 ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	size_t at = hash >> 48 & (STATES - 1);

	while (search->seen[at].done) {
		if (search->seen[at].done == done && search->seen[at].value == value)
			return true;
		at = (at + 1) & (STATES - 1);
	}
	if (search->seen_count < STATES / 2) {
		search->seen[at] = (struct state){ done, value };
		search->seen_count++;
	}
	return false;
}

/* The rest can be put in order behind `done`, which left `value`. */
static bool go_on(struct search *search, uint64_t done, uint32_t value)
{
	rota_ns first_answer = ROTA_NEVER;

	if (done && remember(search, done, value))
		return false;
	for (unsigned i = 0; i < search->count; i++)
		if (!(done >> i & 1) && search->events[i].answered < first_answer)
			first_answer = search->events[i].answered;
	if (done == (search->count == 64 ? UINT64_MAX : (UINT64_C(1) << search->count) - 1))
		return true;
	for (unsigned i = 0; i < search->count; i++) {
		const struct t_event *event = &search->events[i];

		if (done >> i & 1 || event->called > first_answer ||
		    (event->kind == T_READ && event->value != value))
			continue;
		if (go_on(search, done | UINT64_C(1) << i,
			  event->kind == T_LOSS ? 0 : event->value))
			return true;
	}
	return false;
}

static bool was_read(const struct t_event *events, unsigned count, uint32_t value)
{
	for (unsigned i = 0; i < count; i++)
		if (events[i].kind == T_READ && events[i].is_answered && events[i].value == value)
			return true;
	return false;
}

bool t_register_is_linear(struct t_event *events, unsigned count)
{
	struct search search = { .events = events };
	bool is_linear;

	T_CHECK(count <= T_EVENTS_MAX);
	for (unsigned i = 0; i < count; i++) {
		bool happened = events[i].is_answered || (events[i].kind == T_WRITE &&
							  was_read(events, count, events[i].value));

		if (happened) {
			struct t_event kept = events[i];

			events[i] = events[search.count];
			events[search.count++] = kept;
		}
	}
	search.seen = calloc(STATES, sizeof(*search.seen));
	T_CHECK(search.seen);
	is_linear = go_on(&search, 0, 0);
	free(search.seen);
	return is_linear;
}
