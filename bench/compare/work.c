/* SPDX-License-Identifier: MIT */
/*
 * Works for an engine alone: calls between reactors, timers, reads of a file. See work.h.
 *
 * The one idea: a work is a function that does one thing and says how long that took. As many tasks
 * as the depth says call it until the time is over.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rota/rota.h>

#include "backends/backends.h"
#include "bench/compare/control.h"
#include "bench/compare/stats.h"
#include "bench/compare/work.h"
#include "bench/load/load.h"

#define REACTORS_MAX 64
#define DEPTH_MAX 4096
/* Larger than the caches, smaller than what a page cache may keep of it. */
#define FILE_BYTES (64u << 20)
#define FILE_PIECE_BYTES (1u << 20)
/* What O_DIRECT wants of memory, offset and length: a page satisfies every disk. */
#define DIRECT_BYTES 4096u
#define TIMER_NS ROTA_NS_PER_MS

struct work;

struct kind {
	const char *name;
	int (*set_up)(struct work *work);
	/* Do it once; the nanoseconds it took, or negative errno. `number`: of the task. */
	int64_t (*once)(struct work *work, unsigned number);
	void (*clean_up)(struct work *work);
};

struct work {
	struct control control; /* first: control.c hands it back */
	struct rota_message begin;
	const struct kind *kind;
	struct rota_engine_choice choice;
	const char *backend;
	struct rota_reactor *reactors[REACTORS_MAX];
	unsigned count;
	unsigned depth;
	unsigned payload_bytes;
	struct rota_file file;
	bool is_direct;
	char *memory; /* a piece for each task */
	struct stats_random random;
	/* of the run that is on */
	struct options options; /* for rota-load's report */
	struct tally tally;
	rota_ns until;
};

/* ---- calls between reactors ---- */

static int nothing_to_set_up(struct work *work)
{
	(void)work;
	return 0;
}

static void nothing_to_clean_up(struct work *work)
{
	(void)work;
}

static int64_t do_nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int64_t call_once(struct work *work, unsigned number)
{
	rota_ns began = rota_now();
	/* Not reactor 0, where the callers are, if there is another. */
	unsigned to = work->count > 1 ? 1 + number % (work->count - 1) : 0;
	int64_t status = rota_call_on(work->reactors[to], do_nothing, NULL);

	return status < 0 ? status : rota_now() - began;
}

/* ---- timers ---- */

/* How late it was. */
static int64_t sleep_once(struct work *work, unsigned number)
{
	rota_ns due = rota_after_ns(TIMER_NS);
	int status = rota_sleep_until(due);

	(void)work;
	(void)number;
	return status < 0 ? status : rota_now() - due;
}

/* ---- reads ---- */

/* A file of random bytes under a name that is taken back at once. */
static int make_file(struct work *work)
{
	const char *folder = getenv("TMPDIR");
	char path[4096];
	int status;

	snprintf(path, sizeof(path), "%s/rota-compare-%d", folder ? folder : "/var/tmp", getpid());
	status = rota_file_open(&work->file, path,
				O_RDWR | O_CREAT | O_EXCL | (work->is_direct ? O_DIRECT : 0), 0600);
	if (status < 0) {
		fprintf(stderr, "rota-compare: %s: %s%s\n", path, rota_strerror(status),
			status == -EINVAL ? " (this file system has no direct reads; TMPDIR names "
					    "another)"
					  : "");
		return status;
	}
	status = rota_file_unlink(path);
	for (unsigned at = 0; status == 0 && at < FILE_BYTES; at += FILE_PIECE_BYTES)
		status = rota_file_write_at(&work->file, work->memory, FILE_PIECE_BYTES, at);
	return status == 0 ? rota_file_sync(&work->file) : status;
}

static int set_up_read(struct work *work)
{
	size_t bytes = rota_max_size((size_t)work->depth * work->payload_bytes, FILE_PIECE_BYTES);

	if (work->is_direct && work->payload_bytes % DIRECT_BYTES) {
		fprintf(stderr, "rota-compare: direct reads come in multiples of %u bytes\n",
			DIRECT_BYTES);
		return -EINVAL;
	}
	work->memory = aligned_alloc(DIRECT_BYTES, rota_round_up(bytes, DIRECT_BYTES));
	if (!work->memory)
		return -ENOMEM;
	memset(work->memory, 'r', bytes);
	return make_file(work);
}

static int set_up_read_direct(struct work *work)
{
	work->is_direct = true;
	return set_up_read(work);
}

static int64_t read_once(struct work *work, unsigned number)
{
	uint32_t places = (FILE_BYTES - work->payload_bytes) / DIRECT_BYTES + 1;
	uint64_t offset = (uint64_t)stats_random_below(&work->random, places) * DIRECT_BYTES;
	rota_ns began = rota_now();
	int64_t n = rota_file_read_at(&work->file,
				      work->memory + (size_t)number * work->payload_bytes,
				      work->payload_bytes, offset);

	if (n >= 0 && n != work->payload_bytes)
		return -EIO;
	return n < 0 ? n : rota_now() - began;
}

static void clean_up_read(struct work *work)
{
	if (work->file.fd_ >= 0)
		rota_file_close(&work->file);
	free(work->memory);
}

static const struct kind kinds[] = {
	{ "calls", nothing_to_set_up, call_once, nothing_to_clean_up },
	{ "read", set_up_read, read_once, clean_up_read },
	{ "read-direct", set_up_read_direct, read_once, clean_up_read },
	{ "timers", nothing_to_set_up, sleep_once, nothing_to_clean_up },
};

/* ---- a run ---- */

struct worker {
	struct work *work;
	unsigned number;
};

/* Once at least, however short the run and slow the machine. */
static int64_t work_on(void *arg)
{
	const struct worker *worker = arg;
	struct work *work = worker->work;

	do {
		int64_t ns = work->kind->once(work, worker->number);

		if (ns < 0)
			return ns;
		histogram_record(&work->tally.histogram, ns);
		work->tally.requests++;
	} while (rota_now() < work->until);
	return 0;
}

static uint64_t own_cpu_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

static int go(struct work *work, double seconds)
{
	struct worker *workers = calloc(work->depth, sizeof(*workers));
	uint64_t cpu_ns = own_cpu_ns();
	rota_ns began = rota_now();
	struct rota_scope scope;
	struct report report = {
		.options = &work->options,
		.tally = &work->tally,
		.engine = work->choice.engine->name,
	};
	int64_t status;

	if (!workers)
		return -ENOMEM;
	tally_reset(&work->tally);
	work->until = rota_after_ns((int64_t)(seconds * 1e9));
	rota_scope_open(&scope, ROTA_NEVER);
	for (unsigned i = 0; i < work->depth; i++) {
		workers[i] = (struct worker){ work, i };
		rota_ignore(rota_spawn(&scope, work_on, &workers[i]), "close says it");
	}
	status = rota_scope_close(&scope);
	free(workers);
	if (status < 0) {
		work->tally.errors = 1;
		snprintf(work->tally.error, sizeof(work->tally.error), "%s", rota_strerror(status));
	}
	work->tally.duration_ns = rota_now() - began;
	report.cpu_ns = own_cpu_ns() - cpu_ns;
	return report_json(&report, stdout);
}

/* ---- steering ---- */

static int take(struct control *control, const char *line)
{
	double seconds;

	if (sscanf(line, "go %lf", &seconds) != 1 || !(seconds > 0) || seconds > 1e6) {
		fprintf(stderr, "rota-compare work: knows \"go SECONDS\" and \"stats\" only\n");
		return -EINVAL;
	}
	return go((struct work *)control, seconds);
}

static unsigned reactors_count(struct control *control)
{
	return ((struct work *)control)->count;
}

static struct rota_reactor *reactor_at(struct control *control, unsigned index)
{
	return ((struct work *)control)->reactors[index];
}

static int64_t steer(void *arg)
{
	struct work *work = arg;
	int status = work->kind->set_up(work);

	if (status == 0) {
		printf("ready\n");
		fflush(stdout);
		status = control_run(&work->control);
	}
	work->kind->clean_up(work);
	for (unsigned i = 0; i < work->count; i++)
		rota_reactor_stop(work->reactors[i]);
	return status;
}

/* On reactor 0, in its first turn. */
static void begin(struct rota_message *message)
{
	struct work *work = ROTA_CONTAINER_OF(message, struct work, begin);

	rota_ignore(rota_spawn(rota_reactor_scope(work->reactors[0]), steer, work),
		    "the scope says it, and nobody hears \"ready\"");
}

/* ---- start-up ---- */

static int usage(void)
{
	fprintf(stderr, "usage: rota-compare work calls|read|read-direct|timers\n"
			"                         [--backend ENGINE[:OPTIONS]] [--reactors N]\n"
			"                         [--depth N] [--payload BYTES]\n");
	return 2;
}

static bool parse_number(unsigned least, unsigned most, unsigned *out)
{
	char *end;
	long number = strtol(optarg, &end, 10);

	*out = (unsigned)number;
	return end != optarg && !*end && number >= (long)least && number <= (long)most;
}

static bool parse_options(int argc, char **argv, struct work *work)
{
	static const struct option options[] = {
		{ "backend", required_argument, NULL, 'b' },
		{ "depth", required_argument, NULL, 'd' },
		{ "payload", required_argument, NULL, 'p' },
		{ "reactors", required_argument, NULL, 'r' },
		{ 0 },
	};
	bool is_right = true;
	int which;

	while (is_right && (which = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (which == 'b')
			work->backend = optarg;
		else if (which == 'd')
			is_right = parse_number(1, DEPTH_MAX, &work->depth);
		else if (which == 'p')
			is_right = parse_number(1, FILE_PIECE_BYTES, &work->payload_bytes);
		else if (which == 'r')
			is_right = parse_number(1, REACTORS_MAX, &work->count);
		else
			is_right = false;
	}
	return is_right && optind == argc;
}

static int run(struct work *work)
{
	struct rota_reactor_options options = {
		.engine = work->choice.engine,
		.engine_options = work->choice.options,
	};
	int status = 0;
	unsigned made = 0;

	while (status == 0 && made < work->count) {
		options.index = made;
		status = rota_reactor_create(&options, &work->reactors[made]);
		made += status == 0;
	}
	if (status == 0) {
		work->begin.run = begin;
		rota_post(work->reactors[0], &work->begin);
		status = rota_reactor_drive(work->reactors, work->count);
	}
	while (made > 0)
		rota_reactor_destroy(work->reactors[--made]);
	return status;
}

int work_main(int argc, char **argv)
{
	static const struct protocol no_protocol = { .name = "none" };
	/* Too large for a stack. */
	struct work *work = calloc(1, sizeof(*work));
	unsigned kind = 0;
	int status;

	while (argc > 1 && kind < ROTA_ARRAY_COUNT(kinds) && strcmp(argv[1], kinds[kind].name))
		kind++;
	if (!work || argc < 2 || kind == ROTA_ARRAY_COUNT(kinds)) {
		free(work);
		return usage();
	}
	*work = (struct work){
		.control = { take, reactors_count, reactor_at },
		.kind = &kinds[kind],
		.backend = "auto",
		.count = 1,
		.depth = 1,
		.payload_bytes = DIRECT_BYTES,
		.file = { -1 },
		.options = { .protocol = &no_protocol },
	};
	if (!parse_options(argc - 1, argv + 1, work)) {
		free(work);
		return usage();
	}
	work->options.depth = work->depth;
	work->options.payload_bytes = work->payload_bytes;
	status = rota_engine_choose(rota_backends, work->backend, &work->choice);
	if (status == 0)
		status = run(work);
	else
		fprintf(stderr, "rota-compare: %s\n", work->choice.report);
	free(work);
	return status < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
