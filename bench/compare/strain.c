/* SPDX-License-Identifier: MIT */
/* Who waited for whom; see strain.h. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <rota/base.h>

#include "bench/compare/phrase.h"
#include "bench/compare/strain.h"

/*
 * Below it a server in a closed loop works in smaller batches, and the faster one in the smallest.
 */
#define BUSY_ENOUGH 0.95
/* Of the rate that was asked for: less was not kept. */
#define KEPT_ENOUGH 0.98
/*
 * Of a latency: a client late by more has a part in it worth a word. A send alone takes some
 * microseconds, whoever sends.
 */
#define LATE_SHARE 0.25
#define LATE_NS 20000
/* Of the requests: more that found no connection with room are worth a word. */
#define QUEUED_WORTH_A_WORD 0.05

struct strain {
	const json_t *point, *results;
	double rate; /* 0: a closed loop */
	/* of those that did not fail */
	unsigned count, saturated_count;
	double least_busy, most_busy;
	bool client_is_bottleneck, client_is_late;
};

static double median(const json_t *of_variant, const char *figure)
{
	struct interval value;

	return result_figure(of_variant, figure, &value) ? value.middle : NAN;
}

static bool has_failed(const json_t *of_variant)
{
	return json_is_string(json_object_get(of_variant, "failed"));
}

static const char *name_of(const json_t *of_variant)
{
	return result_text(of_variant, "variant");
}

/* One figure, and another where that is known. */
static double sum(const json_t *of_variant, const char *figure, const char *other)
{
	double more = median(of_variant, other);

	return median(of_variant, figure) + (isnan(more) ? 0 : more);
}

/* Who waits for a processor that others use has no time to spare either. */
static bool is_saturated(const json_t *of_variant)
{
	return sum(of_variant, "busy", "waiting") > BUSY_ENOUGH;
}

static bool is_client_saturated(const json_t *of_variant)
{
	return sum(of_variant, "load_working", "load_waiting") > BUSY_ENOUGH;
}

static bool is_part_of(double lateness_ns, double latency_ns)
{
	return lateness_ns > LATE_NS && lateness_ns > LATE_SHARE * latency_ns;
}

bool strain_is_late(const json_t *round)
{
	double lateness_ns, latency_ns;

	return result_number(json_object_get(round, "load_lateness_ns"), "p90", &lateness_ns) &&
	       result_number(json_object_get(round, "latency_ns"), "p90", &latency_ns) &&
	       is_part_of(lateness_ns, latency_ns);
}

bool strain_is_kept(const json_t *round, double rate)
{
	double per_s;

	return result_number(round, "requests_per_s", &per_s) && per_s >= KEPT_ENOUGH * rate;
}

static void take_in(struct strain *strain)
{
	const json_t *of_variant;
	size_t i;

	json_array_foreach (strain->results, i, of_variant) {
		double busy = median(of_variant, "busy");

		if (has_failed(of_variant) || isnan(busy))
			continue;
		strain->least_busy = strain->count ? fmin(strain->least_busy, busy) : busy;
		strain->most_busy = strain->count ? fmax(strain->most_busy, busy) : busy;
		strain->count++;
		strain->saturated_count += is_saturated(of_variant);
	}
}

/* ---- notes ---- */

/* " for uring, epoll": those whom `is_so` holds of. Returns how many. */
static size_t say_whom(FILE *to, const struct strain *strain,
		       bool (*is_so)(const struct strain *strain, const json_t *of_variant))
{
	const json_t *of_variant;
	size_t count = 0, i;

	json_array_foreach (strain->results, i, of_variant)
		if (!has_failed(of_variant) && is_so(strain, of_variant))
			fprintf(to, "%s%s", count++ ? ", " : "", name_of(of_variant));
	return count;
}

static bool is_held_back(const struct strain *strain, const json_t *of_variant)
{
	(void)strain;
	return is_client_saturated(of_variant) && !is_saturated(of_variant);
}

static bool is_behind(const struct strain *strain, const json_t *of_variant)
{
	return median(of_variant, "requests_per_s") < KEPT_ENOUGH * strain->rate;
}

static bool is_queued(const struct strain *strain, const json_t *of_variant)
{
	(void)strain;
	return median(of_variant, "load_queued") > QUEUED_WORTH_A_WORD;
}

/* Say `before`, those whom it holds of, `after`; nothing when it holds of nobody. */
static int note_whom(const struct strain *strain, json_t *notes,
		     bool (*is_so)(const struct strain *strain, const json_t *of_variant),
		     const char *before, const char *after, bool *found)
{
	struct phrase phrase;
	size_t count;

	if (phrase_begin(&phrase) < 0)
		return -ENOMEM;
	fputs(before, phrase.to);
	count = say_whom(phrase.to, strain, is_so);
	fputs(after, phrase.to);
	if (found)
		*found = count;
	if (!count) {
		phrase_drop(&phrase);
		return 0;
	}
	return phrase_end(&phrase, notes);
}

static const struct {
	const char *name, *latency, *lateness;
} percentiles[] = {
	{ "p50", "p50_ns", "load_late_p50_ns" },
	{ "p90", "p90_ns", "load_late_p90_ns" },
	{ "p99", "p99_ns", "load_late_p99_ns" },
	{ "p99.9", "p999_ns", "load_late_p999_ns" },
};

/* The lowest percentile that the client's own lateness has a part in, over all; or none. */
static size_t first_late(const struct strain *strain, const json_t **of_whom)
{
	const json_t *of_variant;
	size_t at, i;

	for (at = 0; at < ROTA_ARRAY_COUNT(percentiles); at++)
		json_array_foreach (strain->results, i, of_variant)
			if (!has_failed(of_variant) &&
			    is_part_of(median(of_variant, percentiles[at].lateness),
				       median(of_variant, percentiles[at].latency))) {
				*of_whom = of_variant;
				return at;
			}
	return at;
}

static int note_lateness(struct strain *strain, json_t *notes)
{
	const json_t *of_whom = NULL;
	size_t at = first_late(strain, &of_whom);
	struct phrase phrase;

	strain->client_is_late = of_whom;
	if (!of_whom)
		return 0;
	if (phrase_begin(&phrase) < 0)
		return -ENOMEM;
	fprintf(phrase.to,
		"The client itself was late (p99 by %.0f us, at most by %.0f us, with %s): "
		"latencies from %s on are partly its own.",
		median(of_whom, "load_late_p99_ns") / 1e3,
		median(of_whom, "load_late_max_ns") / 1e3, name_of(of_whom), percentiles[at].name);
	return phrase_end(&phrase, notes);
}

static int note_share(const struct strain *strain, json_t *notes)
{
	struct phrase phrase;
	double asked, taken;

	if (!result_number(strain->point, "capacity_asked", &asked) ||
	    !result_number(strain->point, "capacity", &taken))
		return 0;
	if (phrase_begin(&phrase) < 0)
		return -ENOMEM;
	fprintf(phrase.to,
		"At %.0f %% of capacity, which was asked for, the client was late itself or the "
		"rate was not kept; %.0f %% is the most that was.",
		asked, taken);
	return phrase_end(&phrase, notes);
}

static int add_notes(struct strain *strain, json_t *notes)
{
	int status = note_whom(
		strain, notes, is_held_back, "The load client was the bottleneck for ",
		", which had time to spare: requests per second and latencies are the client's "
		"there, and CPU per request is that of a server that is not saturated.",
		&strain->client_is_bottleneck);

	if (status == 0 && strain->rate > 0)
		status = note_share(strain, notes);
	if (status == 0 && strain->rate > 0)
		status = note_lateness(strain, notes);
	if (status == 0 && strain->rate > 0)
		status = note_whom(strain, notes, is_behind, "The rate was not kept with ",
				   ": latencies there are those of a queue that grew.", NULL);
	if (status == 0 && strain->rate > 0)
		status = note_whom(strain, notes, is_queued,
				   "More than 5 % of the requests were due when no connection was "
				   "free, with ",
				   ": their latencies hold the wait for one.", NULL);
	return status;
}

/* ---- in a few words ---- */

static bool is_saturated_one(const struct strain *strain, const json_t *of_variant)
{
	(void)strain;
	return is_saturated(of_variant);
}

static void say_busy(FILE *to, const struct strain *strain)
{
	if (strain->most_busy - strain->least_busy < 0.01)
		fprintf(to, " (%.0f %% busy)", strain->least_busy * 100);
	else
		fprintf(to, " (%.0f to %.0f %% busy)", strain->least_busy * 100,
			strain->most_busy * 100);
}

/* "closed loop, servers saturated" */
static void say_load(FILE *to, const struct strain *strain)
{
	if (strain->rate > 0) {
		fprintf(to, "open loop, %.0f/s, servers", strain->rate);
		say_busy(to, strain);
	} else if (strain->saturated_count == strain->count) {
		fputs("closed loop, servers saturated", to);
		if (strain->least_busy < BUSY_ENOUGH) {
			say_busy(to, strain);
			fputs(", the rest waiting to run", to);
		}
	} else if (!strain->saturated_count) {
		fputs("closed loop, servers not saturated", to);
		say_busy(to, strain);
	} else {
		fputs("closed loop, saturated only: ", to);
		say_whom(to, strain, is_saturated_one);
		say_busy(to, strain);
	}
}

static const char *servers_text(const struct strain *strain)
{
	if (strain->saturated_count == strain->count)
		return "saturated";
	return strain->saturated_count ? "in part" : "not saturated";
}

static int set_load(json_t *point, const struct strain *strain)
{
	json_t *sentences = json_array(), *load = NULL;
	struct phrase phrase;

	if (sentences && phrase_begin(&phrase) == 0) {
		say_load(phrase.to, strain);
		if (phrase_end(&phrase, sentences) == 0)
			load = json_pack("{s:s, s:s, s:s, s:O}", "loop",
					 strain->rate > 0 ? "open" : "closed", "servers",
					 servers_text(strain), "client",
					 strain->client_is_bottleneck ? "bottleneck"
					 : strain->client_is_late     ? "late"
								      : "ahead",
					 "words", json_array_get(sentences, 0));
	}
	json_decref(sentences);
	return json_object_set_new(point, "load", load) ? -ENOMEM : 0;
}

int strain_judge(json_t *point, json_t *notes)
{
	struct strain strain = { .point = point, .results = json_object_get(point, "results") };
	bool has_client = json_is_integer(json_object_get(point, "connections"));
	int status;

	take_in(&strain);
	if (!has_client || !strain.count)
		return json_object_set_new(point, "load", json_null()) ? -ENOMEM : 0;
	if (!result_number(point, "rate", &strain.rate))
		strain.rate = 0;
	status = add_notes(&strain, notes);
	return status < 0 ? status : set_load(point, &strain);
}
