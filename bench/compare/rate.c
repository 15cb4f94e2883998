/* SPDX-License-Identifier: MIT */
/* The rate of a point that asks for a share of capacity; see rate.h. */
#include <math.h>

#include "bench/compare/rate.h"
#include "bench/compare/strain.h"

/* Of a closed loop, to find what a server answers: their median. */
#define PROBES 3
/* The steps in which a share is lowered, and the least: in percent. */
#define STEP 10

/* Rounds of one contestant; `take` gets the figures of each. */
static int probe(const struct comparison *comparison, const struct point *point,
		 struct contestant *contestant, unsigned rounds,
		 void (*take)(const json_t *figures, void *arg), void *arg)
{
	int status = contestant_start(contestant, comparison, point);

	for (unsigned i = 0; status == 0 && i < rounds && !contestant->has_failed; i++) {
		json_t *figures = NULL;

		status = contestant_round(contestant, comparison, point, &figures);
		if (figures)
			take(figures, arg);
		json_decref(figures);
	}
	contestant_end(contestant);
	return status;
}

/* ---- what a server answers ---- */

struct answers {
	double list[PROBES];
	unsigned count;
};

static void take_answers(const json_t *figures, void *arg)
{
	struct answers *answers = arg;
	double per_s = json_number_value(json_object_get(figures, "requests_per_s"));
	unsigned at = answers->count++;

	/* in order */
	for (; at && answers->list[at - 1] > per_s; at--)
		answers->list[at] = answers->list[at - 1];
	answers->list[at] = per_s;
}

/* Of the slowest that works, per second; 0: there is none. */
static int find_capacity(const struct comparison *comparison, const struct point *point,
			 struct contestant list[], unsigned count, double *out)
{
	int status = 0;

	*out = 0;
	for (unsigned i = 0; status == 0 && i < count; i++) {
		struct answers answers = { .count = 0 };
		double one;

		if (list[i].has_failed)
			continue;
		status = probe(comparison, point, &list[i], PROBES, take_answers, &answers);
		one = answers.count ? answers.list[answers.count / 2] : 0;
		if (one > 0 && (*out == 0 || one < *out))
			*out = one;
	}
	return status;
}

/* ---- what the client keeps ---- */

struct strained {
	double rate;
	unsigned count; /* of rounds in which it was too much */
};

static void take_strain(const json_t *figures, void *arg)
{
	struct strained *strained = arg;

	strained->count += strain_is_late(figures) || !strain_is_kept(figures, strained->rate);
}

/* Whether with one of them most rounds were too much: the client was late, or the server. */
static int is_too_much(const struct comparison *comparison, const struct point *point,
		       struct contestant list[], unsigned count, bool *out)
{
	int status = 0;

	*out = false;
	for (unsigned i = 0; status == 0 && !*out && i < count; i++) {
		struct strained strained = { .rate = (double)point->settings[SETTING_RATE] };

		if (list[i].has_failed)
			continue;
		status = probe(comparison, point, &list[i], PROBES, take_strain, &strained);
		*out = strained.count > PROBES / 2;
	}
	return status;
}

int rate_find(const struct comparison *comparison, struct point *point, struct contestant list[],
	      unsigned count)
{
	int64_t *settings = point->settings, asked = settings[SETTING_CAPACITY];
	double capacity;
	bool is_too_high = true;
	int status;

	if (asked <= 0)
		return 0;
	settings[SETTING_RATE] = 0;
	status = find_capacity(comparison, point, list, count, &capacity);
	for (int64_t share = asked; status == 0 && is_too_high && share > 0; share -= STEP) {
		settings[SETTING_CAPACITY] = share;
		settings[SETTING_RATE] = (int64_t)ceil(capacity * (double)share / 100);
		status = is_too_much(comparison, point, list, count, &is_too_high);
	}
	/*
	 * Too much at every rate: that comes from something else, and lowering the rate is no help.
	 */
	if (is_too_high) {
		settings[SETTING_CAPACITY] = asked;
		settings[SETTING_RATE] = (int64_t)ceil(capacity * (double)asked / 100);
	}
	if (settings[SETTING_CAPACITY] < asked)
		point->capacity_asked = asked;
	point_retitle(point);
	return status;
}
