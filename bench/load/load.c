/* SPDX-License-Identifier: MIT */
/*
 * The load as a whole: reactors, their shares, and what is done when. Set up on the main thread;
 * the rest is one task on reactor 0, which calls on the others.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include <rota/error.h>

#include "bench/load/load.h"

/* Descriptors beside those of connections: rings, wake-ups, files. */
#define DESCRIPTORS_SPARE 64
/* Connects under way at a time, on each reactor. */
#define CONNECTS_MAX 128
/* Requests of a connection in flight while keys are written. */
#define PREFILL_DEPTH 32

/* ---- setting up ---- */

static int no_memory(void)
{
	load_complain("no memory for so many connections");
	return -ENOMEM;
}

/* The descriptors it will need. */
static int raise_file_limit(const struct options *options)
{
	rlim_t needed = (rlim_t)options->connections + options->idle + DESCRIPTORS_SPARE;
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return 0;
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max >= needed)
		return 0;
	load_complain("%llu descriptors are needed and %llu allowed: raise `ulimit -n`",
		      (unsigned long long)needed, (unsigned long long)files.rlim_max);
	return -EMFILE;
}

static int make_table(struct load *load)
{
	struct random random;

	load->table = rota_alloc(2 * TABLE_BYTES);
	if (!load->table)
		return -ENOMEM;
	random_init(&random, load->options->seed, UINT64_MAX);
	for (uint32_t i = 0; i < TABLE_BYTES; i++)
		load->table[i] = load->table[i + TABLE_BYTES] = (char)('a' +
								       random_below(&random, 26));
	return 0;
}

static uint32_t ring_size(const struct options *options)
{
	uint32_t depth = options->prefill && options->depth < PREFILL_DEPTH ? PREFILL_DEPTH
									    : options->depth;
	uint32_t size = 1;

	while (size < depth)
		size *= 2;
	return size;
}

/* Its part of `total` things that are dealt out in turn. */
static uint32_t part_of(uint32_t total, unsigned index, unsigned count)
{
	return total / count + (index < total % count);
}

static int make_clients(struct share *share)
{
	const struct options *options = share->options;
	uint32_t count = share->clients_count;
	uint32_t size = share->pending_mask + 1;

	share->clients = rota_calloc(count, sizeof(*share->clients));
	share->pendings = rota_calloc((size_t)count * size, sizeof(*share->pendings));
	if (!share->clients || !share->pendings)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		struct client *client = &share->clients[i];
		uint64_t number = (uint64_t)i * options->reactors + share->index;

		client->share = share;
		client->pending = share->pendings + (size_t)i * size;
		client->table_offset = (uint32_t)(number * 7919 % TABLE_BYTES);
		rota_list_init(&client->free_link);
	}
	return 0;
}

/* What only some loads need. */
static int make_extras(struct share *share)
{
	const struct options *options = share->options;

	if (options->rate > 0) {
		share->queue.due = rota_calloc(options->queue, sizeof(*share->queue.due));
		share->leaving = rota_calloc((size_t)share->clients_count * options->depth,
					     sizeof(*share->leaving));
		if (!share->queue.due || !share->leaving)
			return -ENOMEM;
	}
	if (options->shape == SHAPE_UPLOAD) {
		share->blob = rota_blob_create(options->payload_bytes);
		if (!share->blob)
			return -ENOMEM;
		for (uint32_t at = 0; at < options->payload_bytes; at += TABLE_BYTES)
			memcpy(share->blob->data + at, share->table,
			       rota_min_size(options->payload_bytes - at, TABLE_BYTES));
	}
	return options->protocol->prepare ? options->protocol->prepare(share) : 0;
}

static int make_share(struct load *load, unsigned index)
{
	const struct options *options = load->options;
	struct share *share = &load->shares[index];
	uint64_t first_key = (uint64_t)options->keys * index / options->reactors;
	int status;

	share->options = options;
	share->protocol = options->protocol;
	share->table = load->table;
	share->reactor = load->reactors[index];
	share->index = index;
	share->pending_mask = ring_size(options) - 1;
	share->clients_count = part_of(options->connections, index, options->reactors);
	share->idle_count = part_of(options->idle, index, options->reactors);
	share->prefill_next = first_key;
	share->prefill_end = (uint64_t)options->keys * (index + 1) / options->reactors;
	random_init(&share->random, options->seed, index);
	keys_init(&share->keys, options->distribution, options->distribution_parameter,
		  options->keys, first_key);
	rota_semaphore_init(&share->connects, ROTA_LOCAL, CONNECTS_MAX);
	rota_event_init(&share->begun, ROTA_LOCAL);
	rota_future_init(&share->connected);
	rota_list_init(&share->free);
	tally_reset(&share->tally);
	status = make_clients(share);
	return status < 0 ? status : make_extras(share);
}

static void drop_share(struct share *share)
{
	rota_free(share->clients);
	rota_free(share->pendings);
	rota_free(share->queue.due);
	rota_free(share->leaving);
	rota_free(share->own);
	if (share->blob)
		rota_blob_unref(share->blob);
}

static int make_reactor(struct load *load, unsigned index)
{
	struct rota_reactor_options options = {
		.engine = load->choice.engine,
		.engine_options = load->choice.options,
		.index = index,
		.records_kept = ROTA_RECORDS_NONE,
	};
	int status = rota_reactor_create(&options, &load->reactors[index]);

	if (status < 0)
		load_complain("cannot make reactor %u: %s", index, rota_strerror(status));
	else
		load->reactors_count++;
	return status;
}

/* For who watches: a run ends early and is reported. Who steers ends it by other means. */
static int catch_signals(struct load *load)
{
	static const int numbers[] = { SIGINT, SIGTERM };
	int status = 0;

	if (!load->options->steered)
		status = rota_signals_open(&load->signals, numbers, ROTA_ARRAY_COUNT(numbers));
	load->has_signals = !load->options->steered && status == 0;
	if (status < 0)
		load_complain("cannot catch signals: %s", rota_strerror(status));
	return status;
}

static int set_up(struct load *load, const struct rota_backend_ops *const *engines)
{
	const struct options *options = load->options;
	int status = rota_engine_choose(engines, options->backend, &load->choice);

	if (status < 0) {
		load_complain("%s", load->choice.report);
		return status;
	}
	status = raise_file_limit(options);
	if (status == 0)
		status = catch_signals(load);
	if (status < 0)
		return status;
	load->shares = rota_calloc(options->reactors, sizeof(*load->shares));
	load->runs = rota_calloc(options->reactors, sizeof(*load->runs));
	load->calls = rota_calloc(options->reactors, sizeof(*load->calls));
	load->cuts = rota_calloc(options->reactors, sizeof(*load->cuts));
	load->tally = rota_calloc(1, sizeof(*load->tally));
	if (!load->shares || !load->runs || !load->calls || !load->cuts || !load->tally ||
	    make_table(load) < 0)
		return no_memory();
	for (unsigned i = 0; i < options->reactors; i++) {
		status = make_reactor(load, i);
		if (status < 0)
			return status;
		if (make_share(load, i) < 0)
			return no_memory();
	}
	return 0;
}

static void tear_down(struct load *load)
{
	if (load->has_signals)
		rota_signals_close(&load->signals);
	for (unsigned i = 0; i < load->reactors_count; i++)
		rota_reactor_destroy(load->reactors[i]);
	for (unsigned i = 0; load->shares && i < load->options->reactors; i++)
		drop_share(&load->shares[i]);
	rota_free(load->shares);
	rota_free(load->runs);
	rota_free(load->calls);
	rota_free(load->cuts);
	rota_free(load->tally);
	rota_free(load->table);
}

/* ---- on all reactors at once ---- */

int64_t load_on_all(struct load *load, struct rota_call *calls, rota_task_fn fn, void *args,
		    size_t arg_bytes)
{
	struct rota_future *called[ROTA_REACTORS_MAX];
	int64_t status;

	for (unsigned i = 0; i < load->reactors_count; i++) {
		rota_call_start(&calls[i], load->reactors[i], fn, (char *)args + i * arg_bytes);
		called[i] = &calls[i].future;
	}
	status = rota_await_all(called, load->reactors_count);
	for (unsigned i = 0; i < load->reactors_count && status >= 0; i++)
		if (called[i]->result < 0)
			status = called[i]->result;
	return status;
}

/* ---- a run ---- */

static uint64_t own_cpu_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static int64_t run(struct load *load, enum pacing pacing, rota_ns duration_ns)
{
	uint64_t cpu_ns = own_cpu_ns();
	int64_t status;

	for (unsigned i = 0; i < load->reactors_count; i++) {
		load->runs[i].share = &load->shares[i];
		load->runs[i].pacing = pacing;
		load->runs[i].duration_ns = duration_ns;
		load->runs[i].is_over = false;
	}
	status = load_on_all(load, load->calls, share_run, load->runs, sizeof(load->runs[0]));
	load->cpu_ns = own_cpu_ns() - cpu_ns;
	tally_reset(load->tally);
	for (unsigned i = 0; i < load->reactors_count && status == 0; i++)
		tally_add(load->tally, &load->runs[i].tally);
	return status;
}

int64_t load_run_for(struct load *load, rota_ns duration_ns)
{
	return run(load, load->options->rate > 0 ? PACING_RATE : PACING_CLOSED, duration_ns);
}

struct report load_report(const struct load *load)
{
	return (struct report){
		.options = load->options,
		.tally = load->tally,
		.engine = load->choice.engine->name,
		.cpu_ns = load->cpu_ns,
	};
}

/* ---- by itself ---- */

static int64_t write_json(const struct load *load)
{
	struct report report = load_report(load);
	const char *path = load->options->json_path;
	bool is_file = strcmp(path, "-") != 0;
	FILE *out = is_file ? fopen(path, "w") : stdout;
	int status = out ? report_json(&report, out) : -errno;

	if (is_file && out && fclose(out) && status == 0)
		status = -errno;
	if (status < 0)
		load_complain("cannot write %s: %s", path, rota_strerror(status));
	return status;
}

/* The run that counts, with what is to be seen of it meanwhile. */
static int64_t run_watched(struct load *load)
{
	const struct options *options = load->options;
	struct intervals *intervals;
	struct rota_scope scope;
	int64_t status = intervals_create(load, &intervals);
	int log_status;

	if (status < 0) {
		load_complain("cannot write %s: %s",
			      options->hdr_path ? options->hdr_path : "progress",
			      rota_strerror((int)status));
		return status;
	}
	rota_scope_open(&scope, ROTA_NEVER);
	if (intervals)
		status = rota_spawn(&scope, intervals_main, intervals);
	if (status == 0)
		status = load_run_for(load, options->duration_ns);
	rota_scope_cancel(&scope, "the run is over");
	rota_ignore(rota_scope_close(&scope), "cancelled by ourselves");
	if (status == 0 && intervals)
		intervals_end(intervals);
	log_status = intervals_destroy(intervals);
	if (log_status < 0)
		load_complain("cannot write %s: %s", options->hdr_path, rota_strerror(log_status));
	return status < 0 ? status : log_status;
}

static int64_t measure(struct load *load)
{
	const struct options *options = load->options;
	bool has_output = options->json_path && !strcmp(options->json_path, "-");
	struct report report;
	uint64_t errors = 0;
	int64_t status = 0;

	load->is_measuring = true;
	if (options->warmup_ns) {
		status = load_run_for(load, options->warmup_ns);
		errors = load->tally->errors;
		if (errors)
			load_complain("%llu errors in the warm-up, the first: %s",
				      (unsigned long long)errors, load->tally->error);
	}
	if (status == 0 && load->is_interrupted) {
		load_complain("interrupted before anything was measured");
		status = -EINTR;
	}
	if (status == 0)
		status = run_watched(load);
	load->is_measuring = false;
	if (status < 0)
		return status;
	errors += load->tally->errors;
	report = load_report(load);
	if (!options->quiet && !has_output)
		report_text(&report, stdout);
	if (options->json_path)
		status = write_json(load);
	return status == 0 && errors ? 1 : status;
}

/* ---- the main task ---- */

/* Returns 0, or negative errno after saying why. */
static int64_t connect_all(struct load *load)
{
	int64_t status = load_on_all(load, load->calls, share_connect, load->shares,
				     sizeof(load->shares[0]));
	const char *error = "";

	for (unsigned i = 0; status < 0 && !error[0] && i < load->reactors_count; i++)
		error = load->shares[i].tally.error;
	if (status < 0)
		load_complain("%s", error[0] ? error : rota_strerror((int)status));
	return status;
}

/* Write all keys. Returns 0, or negative errno after saying why. */
static int64_t prefill(struct load *load)
{
	int64_t status = run(load, PACING_PREFILL, 0);

	if (status == 0 && load->tally->errors) {
		load_complain("the keys could not be written: %s", load->tally->error);
		status = -EIO;
	}
	return status;
}

static void stop_all(const struct load *load)
{
	for (unsigned i = 0; i < load->reactors_count; i++)
		rota_reactor_stop(load->reactors[i]);
}

/* The first one ends what is measured, and otherwise everything, as does a second. */
static int64_t heed_signals(void *arg)
{
	struct load *load = arg;
	int64_t status = rota_signals_next(&load->signals);

	if (status > 0 && load->is_measuring) {
		load->is_interrupted = true;
		status = load_on_all(load, load->cuts, share_cut, load->shares,
				     sizeof(load->shares[0]));
		if (status == 0)
			status = rota_signals_next(&load->signals);
	}
	if (status > 0)
		stop_all(load);
	return 0;
}

static int64_t load_main(void *arg)
{
	struct load *load = arg;
	struct rota_scope *root = rota_reactor_scope(load->reactors[0]);
	int64_t status = load->has_signals ? rota_spawn(root, heed_signals, load) : 0;

	if (status < 0)
		load_complain("cannot begin: %s", rota_strerror((int)status));
	else
		status = connect_all(load);
	if (status == 0 && load->options->prefill)
		status = prefill(load);
	if (status == 0)
		status = load->options->steered ? load_steered(load) : measure(load);
	load->status = status == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	stop_all(load);
	return 0;
}

static void begin(struct rota_message *message)
{
	struct load *load = ROTA_CONTAINER_OF(message, struct load, begin);
	int status = rota_spawn(rota_reactor_scope(load->reactors[0]), load_main, load);

	if (status == 0)
		return;
	load_complain("cannot begin: %s", rota_strerror(status));
	stop_all(load);
}

int load_run(const struct options *options, const struct rota_backend_ops *const *engines)
{
	struct load *load = rota_calloc(1, sizeof(*load));
	int status;

	if (!load) {
		no_memory();
		return EXIT_FAILURE;
	}
	load->options = options;
	load->begin.run = begin;
	load->status = EXIT_FAILURE;
	status = set_up(load, engines);
	if (status == 0) {
		rota_post(load->reactors[0], &load->begin);
		status = rota_reactor_drive(load->reactors, load->reactors_count);
		if (status < 0)
			load_complain("a reactor cannot run on %s: %s", load->choice.engine->name,
				      rota_strerror(status));
	}
	status = status < 0 ? EXIT_FAILURE : load->status;
	tear_down(load);
	rota_free(load);
	return status;
}

void load_complain(const char *format, ...)
{
	va_list arguments;

	fputs("rota-load: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}
