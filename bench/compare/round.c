/* SPDX-License-Identifier: MIT */
/* A round: load for a moment, and what it cost; see round.h. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rota/scope.h>
#include <rota/time.h>

#include "bench/compare/round.h"

#define PROCFS "/proc"
/* For what is in flight at the end, beyond the time that the load takes. */
#define DRAIN_NS (15 * ROTA_NS_PER_S)
#define STATS_NS (5 * ROTA_NS_PER_S)
#define MIB (1024.0 * 1024)

/* Counters at one moment: the server's, but for one. */
struct reading {
	struct procfs_usage usage;
	struct procfs_usage load; /* the client's */
	struct procfs_cpus cpus;  /* those that the server may use */
	json_t *stats;            /* owned; NULL: it has none */
};

/* ---- talking ---- */

static int failed(struct round *round, struct child *child, const char *name, int status)
{
	int cancelled = rota_check_cancelled();

	if (cancelled < 0)
		return cancelled;
	round->failed = child;
	round->failed_name = name;
	round->failed_status = status;
	return -EIO;
}

static int wrong(struct round *round, const char *why)
{
	snprintf(round->why, sizeof(round->why), "%s", why);
	return -EPROTO;
}

static int ask_json(struct round *round, struct child *child, const char *name, const char *text,
		    rota_ns timeout_ns, json_t **out)
{
	char *line;
	int status = child_ask(child, text, timeout_ns, &line);

	if (status <= 0)
		return failed(round, child, name, status);
	*out = json_loads(line, 0, NULL);
	return json_is_object(*out) ? 0 : wrong(round, "an answer is no JSON object");
}

static const char *server_name(const struct round *round)
{
	return round->server == round->load ? "the work" : "the server";
}

/* Let the load run. */
static int go(struct round *round, double seconds, json_t **out)
{
	char text[64];

	snprintf(text, sizeof(text), "go %.6f\n", seconds);
	return ask_json(round, round->load,
			round->server == round->load ? "the work" : "the load client", text,
			(rota_ns)(seconds * 1e9) + DRAIN_NS, out);
}

static void reading_fini(struct reading *reading)
{
	json_decref(reading->stats);
	reading->stats = NULL;
}

/* `stats` first before a round, and last after it: what the asking costs is in neither. */
static int read_counters(struct round *round, bool is_before, struct reading *out)
{
	int pid = round->server->process.pid, status = 0;

	if (round->answers && is_before)
		status = ask_json(round, round->server, server_name(round), "stats\n", STATS_NS,
				  &out->stats);
	if (status < 0)
		return status;
	status = procfs_usage(PROCFS, pid, &out->usage);
	if (status == 0)
		status = procfs_usage(PROCFS, round->load->process.pid, &out->load);
	if (status == 0)
		status = procfs_cpus(PROCFS, round->cpus->list, round->cpus->count, &out->cpus);
	if (status < 0)
		return failed(round, round->server, server_name(round), status);
	if (round->answers && !is_before)
		status = ask_json(round, round->server, server_name(round), "stats\n", STATS_NS,
				  &out->stats);
	return status;
}

/* ---- figures ---- */

static double number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

/* How much a counter of the engine has grown. */
static double growth(const struct reading *before, const struct reading *after, const char *key)
{
	return number(after->stats, key) - number(before->stats, key);
}

static json_t *real_or_null(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

/* What is counted: requests, or MiB. */
static double units_of(const struct round *round, const json_t *load)
{
	if (strcmp(round->point->workload->unit, "MiB"))
		return number(load, "requests");
	return (number(load, "bytes_sent") + number(load, "bytes_received")) / MIB;
}

static int add(json_t *figures, const char *name, double value)
{
	return json_object_set_new(figures, name, real_or_null(value));
}

/* The clock's ticks tell user space from the kernel; a round has some tens of them. */
static int add_cpu(json_t *figures, const struct reading *before, const struct reading *after,
		   double units)
{
	return add(figures, "cpu_ns",
		   (double)(after->usage.cpu_ns - before->usage.cpu_ns) / units) |
	       add(figures, "user_ticks",
		   (double)(after->usage.user_ticks - before->usage.user_ticks)) |
	       add(figures, "system_ticks",
		   (double)(after->usage.system_ticks - before->usage.system_ticks));
}

static int add_engine(json_t *figures, const struct reading *before, const struct reading *after,
		      double units)
{
	if (!before->stats)
		return json_object_set_new(figures, "syscalls", json_null()) |
		       json_object_set_new(figures, "completions_per_enter", json_null());
	return add(figures, "syscalls", growth(before, after, "system_calls") / units) |
	       add(figures, "completions_per_enter",
		   growth(before, after, "completions") / growth(before, after, "enters"));
}

/* What the server's processors did meanwhile: of each kind, a share of all. */
static int add_processors(json_t *figures, const struct round *round, const struct reading *before,
			  const struct reading *after, double seconds)
{
	double threads = fmin(fmax(1, (double)round->point->settings[SETTING_REACTORS]),
			      round->cpus->count);
	double ours = (double)(after->usage.cpu_ns - before->usage.cpu_ns) / 1e9;
	double all = (double)(after->cpus.all - before->cpus.all);
	double idle = (double)(after->cpus.idle - before->cpus.idle);
	double stolen = (double)(after->cpus.stolen - before->cpus.stolen);
	double used = all - idle - stolen - ours * (double)sysconf(_SC_CLK_TCK);

	return add(figures, "steal", stolen / all) | add(figures, "others", fmax(0, used) / all) |
	       add(figures, "busy", ours / seconds / threads) |
	       add(figures, "waiting",
		   (double)(after->usage.waited_ns - before->usage.waited_ns) / 1e9 / seconds /
			   threads);
}

/* What the load was for the client: how busy it was, of that with work, and whether in time. */
static int add_client(json_t *figures, const struct round *round, const json_t *load,
		      const struct reading *before, const struct reading *after)
{
	double seconds = number(load, "seconds");
	double all_ns = seconds * 1e9 * round->load_reactors;
	double cpu_ns = number(load, "cpu_ns"), polling_ns = number(load, "polling_ns");
	double waited_ns = (double)(after->load.waited_ns - before->load.waited_ns);
	json_t *lateness = json_object_get(load, "lateness_ns");

	if (round->server == round->load)
		cpu_ns = polling_ns = waited_ns = NAN;
	return add(figures, "load_busy", cpu_ns / all_ns) |
	       add(figures, "load_working", (cpu_ns - fmin(cpu_ns, polling_ns)) / all_ns) |
	       add(figures, "load_waiting", waited_ns / all_ns) |
	       add(figures, "load_queued",
		   json_is_object(lateness) ? number(load, "queued") / number(load, "requests")
					    : NAN) |
	       json_object_set(figures, "load_lateness_ns", lateness ? lateness : json_null());
}

static json_t *make_figures(const struct round *round, const json_t *load,
			    const struct reading *before, const struct reading *after)
{
	double units = units_of(round, load), seconds = number(load, "seconds");
	json_t *figures = json_object();
	int status = 0;

	if (!figures)
		return NULL;
	status |= add(figures, "requests", units);
	status |= add(figures, "seconds", seconds);
	status |= add(figures, "requests_per_s", units / seconds);
	status |= add_cpu(figures, before, after, units);
	status |= add_engine(figures, before, after, units);
	status |= add(figures, "switches",
		      (double)(after->usage.switches - before->usage.switches) / units);
	status |= add(figures, "resident_bytes", (double)after->usage.resident_bytes);
	status |= add_processors(figures, round, before, after, seconds);
	status |= add_client(figures, round, load, before, after);
	status |= json_object_set(figures, "latency_ns", json_object_get(load, "latency_ns"));
	status |= json_object_set(figures, "histogram", json_object_get(load, "histogram"));
	if (status) {
		json_decref(figures);
		return NULL;
	}
	return figures;
}

/* ---- the round ---- */

/* What a client says of a load that went well. */
static int check_load(struct round *round, const json_t *load)
{
	const char *error = json_string_value(json_object_get(load, "error"));
	double errors = number(load, "errors");

	if (errors > 0) {
		snprintf(round->why, sizeof(round->why), "%.0f of %.0f requests failed: %.200s",
			 errors, errors + number(load, "requests"),
			 error ? error : "no reason given");
		return -EPROTO;
	}
	if (!(number(load, "seconds") > 0))
		return wrong(round, "the load client measured no time");
	if (!(units_of(round, load) > 0))
		return wrong(round, "nothing was answered in a whole round");
	return 0;
}

static int measure(struct round *round, struct reading *before, struct reading *after,
		   json_t **load)
{
	int status = read_counters(round, true, before);

	if (status == 0)
		status = go(round, round->comparison->round_seconds, load);
	if (status == 0)
		status = check_load(round, *load);
	if (status == 0)
		status = read_counters(round, false, after);
	if (status == 0 && after->usage.cpu_ns <= before->usage.cpu_ns)
		return wrong(round, "the server seems to use no processor time");
	return status;
}

int round_run(struct round *round, json_t **figures)
{
	struct reading before = { .stats = NULL }, after = { .stats = NULL };
	json_t *load = NULL;
	int status = 0;

	if (round->comparison->warmup_seconds > 0)
		status = go(round, round->comparison->warmup_seconds, &load);
	json_decref(load);
	load = NULL;
	if (status == 0)
		status = measure(round, &before, &after, &load);
	if (status == 0) {
		*figures = make_figures(round, load, &before, &after);
		status = *figures ? 0 : -ENOMEM;
	}
	json_decref(load);
	reading_fini(&before);
	reading_fini(&after);
	return status;
}
