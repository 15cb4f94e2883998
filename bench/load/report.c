/* SPDX-License-Identifier: MIT */
/*
 * What a run came to: one line of JSON for programs, a few lines for people.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "bench/load/load.h"

static double seconds_of(const struct tally *tally)
{
	return (double)tally->duration_ns / 1e9;
}

static double per_second(const struct tally *tally, uint64_t count)
{
	return tally->duration_ns > 0 ? (double)count / seconds_of(tally) : 0;
}

static double mean_ns(const struct histogram *histogram)
{
	return histogram->count ? (double)histogram->sum_ns / (double)histogram->count : 0;
}

/* ---- for programs ---- */

static json_int_t at_percentile(const struct histogram *histogram, double percentile)
{
	return (json_int_t)histogram_percentile(histogram, percentile);
}

static json_t *latency_json(const struct histogram *histogram)
{
	return json_pack("{sI sI sf sI sI sI sI sI sI}", "count", (json_int_t)histogram->count,
			 "min", (json_int_t)(histogram->count ? histogram->min_ns : 0), "mean",
			 mean_ns(histogram), "p50", at_percentile(histogram, 50), "p90",
			 at_percentile(histogram, 90), "p99", at_percentile(histogram, 99), "p999",
			 at_percentile(histogram, 99.9), "p9999", at_percentile(histogram, 99.99),
			 "max", (json_int_t)histogram->max_ns);
}

static json_t *histogram_json(const struct histogram *histogram)
{
	json_t *list = json_array();

	for (unsigned i = 0; list && i < HISTOGRAM_BUCKETS; i++)
		if (histogram->buckets[i] &&
		    json_array_append_new(list,
					  json_pack("[II]", (json_int_t)histogram_bucket_highest(i),
						    (json_int_t)histogram->buckets[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

/* What the client says of itself. */
static json_t *client_json(const struct report *report)
{
	const struct tally *tally = report->tally;
	bool has_rate = report->options->rate > 0;

	return json_pack("{ss sI sI so sI}", "engine", report->engine, "cpu_ns",
			 (json_int_t)report->cpu_ns, "polling_ns", (json_int_t)tally->polling_ns,
			 "lateness_ns", has_rate ? latency_json(&tally->lateness) : json_null(),
			 "queued", (json_int_t)tally->queued);
}

int report_json(const struct report *report, FILE *out)
{
	const struct options *options = report->options;
	const struct tally *tally = report->tally;
	bool has_values = options->protocol->dialect;
	json_t *document = json_pack(
		"{ss ss ss si si si so* sf sI sI ss? sI sI sI sf so so}", "format", "rota-load 1",
		"protocol", options->protocol->name, "shape", shape_names[options->shape],
		"connections", (int)options->connections, "depth", (int)options->depth, "payload",
		(int)(has_values ? options->value_bytes_max : options->payload_bytes), "rate",
		options->rate > 0 ? json_real(options->rate) : json_null(), "seconds",
		seconds_of(tally), "requests", (json_int_t)tally->requests, "errors",
		(json_int_t)tally->errors, "error", tally->error[0] ? tally->error : NULL, "misses",
		(json_int_t)tally->misses, "bytes_sent", (json_int_t)tally->bytes_sent,
		"bytes_received", (json_int_t)tally->bytes_received, "requests_per_s",
		per_second(tally, tally->requests), "latency_ns", latency_json(&tally->histogram),
		"histogram", histogram_json(&tally->histogram));
	int status = document ? 0 : -ENOMEM;

	if (document && json_object_update_new(document, client_json(report)) < 0)
		status = -ENOMEM;
	if (status == 0 &&
	    (json_dumpf(document, out, JSON_COMPACT) < 0 || fputc('\n', out) < 0 || fflush(out)))
		status = -EIO;
	json_decref(document);
	return status;
}

/* ---- for people ---- */

/* Nanoseconds with three digits and a unit. */
static const char *duration_text(double ns, char text[16])
{
	if (ns < 1e3)
		snprintf(text, 16, "%.0f ns", ns);
	else if (ns < 1e6)
		snprintf(text, 16, "%.*f us", ns < 1e4 ? 2 : ns < 1e5 ? 1 : 0, ns / 1e3);
	else if (ns < 1e9)
		snprintf(text, 16, "%.*f ms", ns < 1e7 ? 2 : ns < 1e8 ? 1 : 0, ns / 1e6);
	else
		snprintf(text, 16, "%.2f s", ns / 1e9);
	return text;
}

static void print_latency(const struct histogram *histogram, FILE *out)
{
	static const struct {
		const char *name;
		double percentile;
	} lines[] = { { "p50", 50 },     { "p90", 90 },       { "p99", 99 },
		      { "p99.9", 99.9 }, { "p99.99", 99.99 }, { "max", 100 } };
	char text[16];

	if (!histogram->count)
		return;
	fprintf(out, "latency   mean %s", duration_text(mean_ns(histogram), text));
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(lines); i++)
		fprintf(out, ", %s %s", lines[i].name,
			duration_text((double)histogram_percentile(histogram, lines[i].percentile),
				      text));
	fputc('\n', out);
}

/* At a fixed rate: whether latencies are the server's, or the client's own. */
static void print_client(const struct report *report, FILE *out)
{
	const struct tally *tally = report->tally;
	double busy = (double)report->cpu_ns - (double)tally->polling_ns;
	double all = (double)tally->duration_ns * report->options->reactors;
	char p99[16], max[16];

	if (!tally->lateness.count || !(all > 0))
		return;
	fprintf(out, "client    at work %.0f %% of the time; sent late by p99 %s, max %s\n",
		busy > 0 ? busy / all * 100 : 0.0,
		duration_text((double)histogram_percentile(&tally->lateness, 99), p99),
		duration_text((double)tally->lateness.max_ns, max));
	if (tally->queued)
		fprintf(out,
			"queued    %" PRIu64 " requests were due when no connection had room\n",
			tally->queued);
}

void report_text(const struct report *report, FILE *out)
{
	const struct options *options = report->options;
	const struct tally *tally = report->tally;

	fprintf(out, "%s %s to %s, %u connections, depth %u, on %s\n", options->protocol->name,
		shape_names[options->shape], options->target, options->connections, options->depth,
		report->engine);
	if (tally->requests)
		fprintf(out, "requests  %" PRIu64 " in %.2f s = %.0f/s; %.2f us of own CPU each\n",
			tally->requests, seconds_of(tally), per_second(tally, tally->requests),
			(double)report->cpu_ns / (double)tally->requests / 1e3);
	fprintf(out, "bytes     sent %.1f MB/s, received %.1f MB/s\n",
		per_second(tally, tally->bytes_sent) / 1e6,
		per_second(tally, tally->bytes_received) / 1e6);
	print_latency(&tally->histogram, out);
	print_client(report, out);
	if (tally->misses)
		fprintf(out, "misses    %" PRIu64 " keys were not there\n", tally->misses);
	if (tally->errors)
		fprintf(out, "errors    %" PRIu64 ", the first: %s\n", tally->errors, tally->error);
}
