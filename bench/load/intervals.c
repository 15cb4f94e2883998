/* SPDX-License-Identifier: MIT */
/*
 * What happened in each second of a run: a line on the terminal, a line of the log. One task, on
 * the first reactor.
 *
 * The one idea: shares only count on; each second the counts so far are copied and the last ones
 * taken away. So the clients pay nothing for it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include <rota/error.h>
#include <rota/memory.h>

#include "bench/load/hdr_log.h"
#include "bench/load/load.h"

struct intervals {
	struct load *load;
	struct hdr_log *log; /* NULL: none */
	bool shows;          /* on the terminal */
	rota_ns began_at, last_at;
	struct snapshot { /* one per reactor */
		const struct run *run;
		struct tally tally;
	} * snapshots;
	struct rota_call *calls; /* one per reactor */
	struct tally before;     /* what the run had come to when the interval began */
	struct tally now;
	struct tally interval;
	int status; /* of the log */
};

int intervals_create(struct load *load, struct intervals **out)
{
	const struct options *options = load->options;
	bool shows = !options->quiet && isatty(STDERR_FILENO);
	struct intervals *intervals;
	int status = 0;

	*out = NULL;
	if (!shows && !options->hdr_path)
		return 0;
	intervals = rota_calloc(1, sizeof(*intervals));
	if (!intervals)
		return -ENOMEM;
	intervals->load = load;
	intervals->shows = shows;
	intervals->began_at = intervals->last_at = rota_now();
	intervals->snapshots = rota_calloc(load->reactors_count, sizeof(*intervals->snapshots));
	intervals->calls = rota_calloc(load->reactors_count, sizeof(*intervals->calls));
	tally_reset(&intervals->before);
	if (!intervals->snapshots || !intervals->calls)
		status = -ENOMEM;
	else if (options->hdr_path)
		status = hdr_log_open(options->hdr_path, rota_wall_ns(), &intervals->log);
	if (status < 0) {
		rota_ignore(intervals_destroy(intervals), "nothing was written");
		return status;
	}
	*out = intervals;
	return 0;
}

int intervals_destroy(struct intervals *intervals)
{
	int status, closed;

	if (!intervals)
		return 0;
	status = intervals->status;
	closed = hdr_log_close(intervals->log);
	rota_free(intervals->snapshots);
	rota_free(intervals->calls);
	rota_free(intervals);
	return status < 0 ? status : closed;
}

/* On each reactor. */
static int64_t take_snapshot(void *arg)
{
	struct snapshot *snapshot = arg;
	const struct run *run = snapshot->run;

	snapshot->tally = run->is_over ? run->tally : run->share->tally;
	return 0;
}

static void show(const struct intervals *intervals, const struct tally *tally, rota_ns length_ns)
{
	const struct histogram *histogram = &tally->histogram;

	fprintf(stderr,
		"%5.0f s  %9.0f/s  p50 %8.1f us  p99 %8.1f us  max %8.1f us  errors %" PRIu64 "\n",
		(double)(intervals->last_at - intervals->began_at) / 1e9,
		(double)tally->requests / ((double)length_ns / 1e9),
		(double)histogram_percentile(histogram, 50) / 1e3,
		(double)histogram_percentile(histogram, 99) / 1e3,
		(double)histogram_percentile(histogram, 100) / 1e3, tally->errors);
}

/* intervals->now is what the run has come to. */
static void end_interval(struct intervals *intervals)
{
	struct tally *interval = &intervals->interval;
	rota_ns now = rota_now();
	rota_ns length_ns = now - intervals->last_at;

	*interval = intervals->now;
	interval->requests -= intervals->before.requests;
	interval->errors -= intervals->before.errors;
	histogram_subtract(&interval->histogram, &intervals->before.histogram);
	intervals->before = intervals->now;
	if (intervals->log && intervals->status == 0)
		intervals->status = hdr_log_write(intervals->log,
						  intervals->last_at - intervals->began_at,
						  length_ns, &interval->histogram);
	intervals->last_at = now;
	if (intervals->shows && length_ns > 0)
		show(intervals, interval, length_ns);
}

int64_t intervals_main(void *arg)
{
	struct intervals *intervals = arg;
	struct load *load = intervals->load;
	struct rota_interval seconds;
	int64_t status;

	rota_interval_init(&seconds, ROTA_NS_PER_S, ROTA_LATE_SKIP);
	while ((status = rota_interval_next(&seconds)) == 0) {
		for (unsigned i = 0; i < load->reactors_count; i++)
			intervals->snapshots[i].run = &load->runs[i];
		status = load_on_all(load, intervals->calls, take_snapshot, intervals->snapshots,
				     sizeof(intervals->snapshots[0]));
		if (status < 0)
			break;
		tally_reset(&intervals->now);
		for (unsigned i = 0; i < load->reactors_count; i++)
			tally_add(&intervals->now, &intervals->snapshots[i].tally);
		end_interval(intervals);
	}
	return status;
}

void intervals_end(struct intervals *intervals)
{
	intervals->now = *intervals->load->tally;
	end_interval(intervals);
}
