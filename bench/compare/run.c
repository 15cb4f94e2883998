/* SPDX-License-Identifier: MIT */
/* Point after point, round after round; see run.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rota/scope.h>
#include <rota/time.h>

#include "bench/compare/contestant.h"
#include "bench/compare/family.h"
#include "bench/compare/rate.h"
#include "bench/compare/result.h"
#include "bench/compare/run.h"
#include "bench/compare/stats.h"
#include "bench/compare/summary.h"
#include "bench/compare/table.h"
#include "bench/compare/words.h"

/* Starts; fewer allow no call at 95 %. */
#define STARTS_MIN 6
/* More make no interval narrower that matters, and keep memory bounded. */
#define ROUNDS_MAX 2000

/* Servers that did not start at a point: they are not waited for at the next. */
struct absent {
	/* by variant; empty: it starts, or was not tried */
	char why[VARIANTS_MAX][CHILD_WHY_BYTES];
};

/* A point under way. */
struct bout {
	const struct comparison *comparison;
	struct point point;      /* the plan's, with the rate that was found */
	struct contestant *list; /* owned */
	unsigned count;
	unsigned start;  /* under way: 0, … */
	unsigned rounds; /* kept */
	unsigned discarded;
	rota_ns ends; /* when its time is over */
	struct stats_random *random;
	struct absent *absent;
};

/* ---- who takes part ---- */

static bool takes_part(const struct variant *variant, const struct workload *workload)
{
	if (variant->engine)
		return true;
	if (!workload->served)
		return false;
	if (!*variant->protocol || !strcmp(variant->protocol, workload->protocol))
		return true;
	/* A store of keys and values, whichever way it is spoken to. */
	return workload->ratio && !strncmp(variant->protocol, "memcached", 9);
}

static void bout_fini(struct bout *bout)
{
	for (unsigned i = 0; i < bout->count; i++) {
		contestant_end(&bout->list[i]);
		contestant_fini(&bout->list[i]);
	}
	free(bout->list);
	bout->list = NULL;
	bout->count = 0;
}

static int bout_init(struct bout *bout)
{
	const struct variants *variants = &bout->comparison->variants;
	int status = 0;

	bout->list = calloc(variants->count, sizeof(*bout->list));
	if (!bout->list)
		return -ENOMEM;
	for (unsigned i = 0; status == 0 && i < variants->count; i++)
		if (takes_part(&variants->list[i], bout->point.workload)) {
			struct contestant *contestant = &bout->list[bout->count++];

			status = contestant_init(contestant, &variants->list[i]);
			if (status == 0 && *bout->absent->why[i])
				contestant_give_up(contestant, bout->absent->why[i]);
		}
	return status;
}

/* Another's command is the same at every point. Ours depend on the workload, and fail at once. */
static void note_absent(struct bout *bout)
{
	const struct variant *first = bout->comparison->variants.list;

	for (unsigned i = 0; i < bout->count; i++) {
		const struct contestant *contestant = &bout->list[i];

		if (contestant->did_not_start && !contestant->variant->engine)
			snprintf(bout->absent->why[contestant->variant - first], CHILD_WHY_BYTES,
				 "%s", contestant->why);
	}
}

static unsigned still_in(const struct bout *bout)
{
	unsigned count = 0;

	for (unsigned i = 0; i < bout->count; i++)
		count += !bout->list[i].has_failed;
	return count;
}

/* ---- rounds ---- */

/* The most that the host took away in any contestant's round. */
static double steal_of(json_t *const figures[], unsigned count)
{
	double steal = 0;

	for (unsigned i = 0; i < count; i++) {
		double one = json_number_value(json_object_get(figures[i], "steal"));

		steal = one > steal ? one : steal;
	}
	return steal;
}

/* Whether somebody's round has failed who goes on: ratios are of rounds that both have. */
static bool is_incomplete(const struct bout *bout, json_t *const figures[])
{
	for (unsigned i = 0; i < bout->count; i++)
		if (!bout->list[i].has_failed && !figures[i])
			return true;
	return false;
}

/*
 * Keep a round, or drop it: one that failed for somebody, who says so; and when the host has
 * interrupted it, for that says nothing about servers. As many may be dropped as are kept.
 */
static int keep_round(struct bout *bout, json_t *const figures[])
{
	int status = 0;

	if (is_incomplete(bout, figures))
		return 0;
	if (steal_of(figures, bout->count) > bout->comparison->steal_max &&
	    bout->discarded <= bout->rounds) {
		bout->discarded++;
		return 0;
	}
	bout->rounds++;
	for (unsigned i = 0; status == 0 && i < bout->count; i++)
		if (figures[i])
			status = contestant_keep(&bout->list[i], figures[i], bout->start);
	return status;
}

static int run_round(struct bout *bout)
{
	json_t *figures[VARIANTS_MAX] = { NULL };
	unsigned order[VARIANTS_MAX];
	int status = 0;

	stats_random_order(bout->random, order, bout->count);
	for (unsigned i = 0; status == 0 && i < bout->count; i++)
		if (!bout->list[order[i]].has_failed)
			status = contestant_round(&bout->list[order[i]], bout->comparison,
						  &bout->point, &figures[order[i]]);
	if (status == 0)
		status = keep_round(bout, figures);
	for (unsigned i = 0; i < bout->count; i++)
		json_decref(figures[i]);
	return status;
}

/* How many starts are to be made: each has a round at least. */
static unsigned starts_wanted(const struct comparison *comparison)
{
	unsigned rounds = comparison->rounds, starts = comparison->starts;

	return rounds && rounds < starts ? rounds : starts;
}

/*
 * Who was passed over in the middle counts as far as it came, if that is enough for a call: its
 * rounds are the first of the others'.
 */
static void forgive_who_has_enough(struct bout *bout)
{
	size_t enough = rota_min_size(starts_wanted(bout->comparison), STARTS_MIN);

	for (unsigned i = 0; i < bout->count; i++)
		if (rounds_starts(bout->list[i].rounds) >= enough)
			bout->list[i].has_failed = false;
}

static void show_progress(const struct bout *bout)
{
	rota_ns left = bout->ends - rota_now();

	if (bout->comparison->is_quiet || !isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K%s: round %u, %lld s left", bout->point.title, bout->rounds + 1,
		(long long)(left > 0 ? left / ROTA_NS_PER_S : 0));
	fflush(stderr);
}

static void clear_progress(const struct bout *bout)
{
	if (!bout->comparison->is_quiet && isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

/* Whether the rounds after `began` were the share of this start: of rounds, or of time. */
static bool start_is_over(const struct bout *bout, rota_ns began)
{
	unsigned starts = starts_wanted(bout->comparison), rounds = bout->comparison->rounds;
	unsigned done = bout->start + 1; /* when it is over */

	if (rounds)
		return bout->rounds >= (rounds * done + starts - 1) / starts;
	return bout->rounds >= ROUNDS_MAX ||
	       rota_now() - began >= (bout->ends - began) * done / starts;
}

/* Start everybody, and let them run rounds: one at least. */
static int run_start(struct bout *bout, rota_ns began)
{
	unsigned rounds_before = bout->rounds;
	int status = 0;

	for (unsigned i = 0; status == 0 && i < bout->count; i++)
		status = contestant_start(&bout->list[i], bout->comparison, &bout->point);
	while (status == 0 && still_in(bout) &&
	       (bout->rounds == rounds_before || !start_is_over(bout, began))) {
		show_progress(bout);
		status = run_round(bout);
	}
	for (unsigned i = 0; i < bout->count; i++)
		contestant_end(&bout->list[i]);
	return status;
}

/* Servers that are slow to start may be started less often than asked for, to end in time. */
static int run_starts(struct bout *bout)
{
	unsigned starts = starts_wanted(bout->comparison);
	rota_ns began = rota_now();
	int status = 0;

	for (bout->start = 0; status == 0 && bout->start < starts; bout->start++) {
		bool is_late = !bout->comparison->rounds && rota_now() >= bout->ends;

		if (is_late && bout->start >= STARTS_MIN)
			break;
		status = run_start(bout, began);
	}
	return status;
}

/* ---- points ---- */

static int run_point(struct bout *bout, json_t *result)
{
	json_t *described = NULL;
	int status = bout_init(bout);

	if (status == 0)
		status = rate_find(bout->comparison, &bout->point, bout->list, bout->count);
	if (status == 0)
		status = run_starts(bout);
	clear_progress(bout);
	note_absent(bout);
	forgive_who_has_enough(bout);
	if (status == 0) {
		described = summary_of_point(bout->comparison, &bout->point, bout->list,
					     bout->count, bout->discarded);
		if (!described || json_array_append(json_object_get(result, "points"), described))
			status = -ENOMEM;
	}
	if (status == 0)
		status = family_correct(result, bout->comparison->confidence);
	if (status == 0)
		status = words_add(result);
	if (status == 0)
		table_print_point(bout->comparison, described);
	json_decref(described);
	bout_fini(bout);
	return status;
}

int run_points(const struct comparison *comparison, json_t *result)
{
	struct stats_random random = { .state = comparison->seed };
	rota_ns ends = rota_after_ns((int64_t)(comparison->seconds * 1e9));
	struct absent *absent = calloc(1, sizeof(*absent));
	json_t *points = json_array();
	int status = absent ? 0 : -ENOMEM;

	if (!points || json_object_set_new(result, "points", points))
		status = -ENOMEM;
	for (unsigned i = 0; status == 0 && i < comparison->plan.count; i++) {
		rota_ns now = rota_now();
		struct bout bout = {
			.comparison = comparison,
			.point = comparison->plan.points[i],
			.ends = now + (ends > now ? ends - now : 0) / (comparison->plan.count - i),
			.random = &random,
			.absent = absent,
		};

		status = run_point(&bout, result);
	}
	free(absent);
	return status;
}
