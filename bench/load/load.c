/* SPDX-License-Identifier: MIT */
/*
 * The load as a whole: reactors, their shares, and what is done when. Set up on the main thread;
 * the rest is one task on reactor 0, which calls on the others.
 */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <rota/error.h>

#include "bench/load/load.h"

/* Descriptors beside those of connections: rings, wake-ups, files. */
#define DESCRIPTORS_SPARE 64
/* Connects under way at a time, on each reactor. */
#define CONNECTS_MAX 128
/* A line of standard input. */
#define LINE_BYTES 128

struct load {
	const struct options *options;
	struct rota_engine_choice choice;
	struct rota_reactor *reactors[ROTA_REACTORS_MAX];
	unsigned reactors_count;
	struct share *shares; /* one per reactor */
	struct run *runs;
	struct rota_call *calls;
	char *table;
	struct result *result;
	struct rota_message begin;
	int status; /* of the exit */
};

static void complain(const char *format, ...) ROTA_PRINTF(1, 2);

/* ---- setting up ---- */

static int no_memory(void)
{
	complain("no memory for so many connections");
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
	complain("%llu descriptors are needed and %llu allowed: raise `ulimit -n`",
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
	uint32_t size = 1;

	while (size < options->depth)
		size *= 2;
	return size;
}

/* Its part of `total` things that are dealt out in turn. */
static uint32_t part_of(uint32_t total, unsigned index, unsigned count)
{
	return total / count + (index < total % count);
}

static int make_share(struct load *load, unsigned index)
{
	const struct options *options = load->options;
	struct share *share = &load->shares[index];
	uint32_t size = ring_size(options);
	uint32_t count = part_of(options->connections, index, options->reactors);

	share->options = options;
	share->protocol = options->protocol;
	share->table = load->table;
	share->reactor = load->reactors[index];
	share->index = index;
	share->pending_mask = size - 1;
	share->clients_count = count;
	random_init(&share->random, options->seed, index);
	keys_init(&share->keys, options->distribution, options->distribution_parameter,
		  options->keys, options->keys * index / options->reactors);
	rota_semaphore_init(&share->connects, ROTA_LOCAL, CONNECTS_MAX);
	rota_future_init(&share->connected);
	if (!count)
		return 0;
	share->clients = rota_calloc(count, sizeof(*share->clients));
	share->pendings = rota_calloc((size_t)count * size, sizeof(*share->pendings));
	if (!share->clients || !share->pendings)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		struct client *client = &share->clients[i];

		client->share = share;
		client->pending = share->pendings + (size_t)i * size;
		client->table_offset = (uint32_t)((i * options->reactors + index) * UINT64_C(7919) %
						  TABLE_BYTES);
		rota_list_init(&client->free_link);
	}
	return share->protocol->prepare(share);
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
		complain("cannot make reactor %u: %s", index, rota_strerror(status));
	else
		load->reactors_count++;
	return status;
}

static int set_up(struct load *load, const struct rota_backend_ops *const *engines)
{
	const struct options *options = load->options;
	int status = rota_engine_choose(engines, options->backend, &load->choice);

	if (status < 0) {
		complain("%s", load->choice.report);
		return status;
	}
	status = raise_file_limit(options);
	if (status < 0)
		return status;
	load->shares = rota_calloc(options->reactors, sizeof(*load->shares));
	load->runs = rota_calloc(options->reactors, sizeof(*load->runs));
	load->calls = rota_calloc(options->reactors, sizeof(*load->calls));
	load->result = rota_calloc(1, sizeof(*load->result));
	if (!load->shares || !load->runs || !load->calls || !load->result || make_table(load) < 0)
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
	for (unsigned i = 0; i < load->reactors_count; i++)
		rota_reactor_destroy(load->reactors[i]);
	for (unsigned i = 0; load->shares && i < load->options->reactors; i++) {
		rota_free(load->shares[i].clients);
		rota_free(load->shares[i].pendings);
		rota_free(load->shares[i].dialect);
	}
	rota_free(load->shares);
	rota_free(load->runs);
	rota_free(load->calls);
	rota_free(load->result);
	rota_free(load->table);
}

/* ---- on all reactors at once ---- */

/*
 * Call fn on each with its own argument, `args` + index × `arg_bytes`. Returns the first failure.
 */
static int64_t on_all(struct load *load, rota_task_fn fn, void *args, size_t arg_bytes)
{
	struct rota_future *called[ROTA_REACTORS_MAX];
	int64_t status;

	for (unsigned i = 0; i < load->reactors_count; i++) {
		rota_call_start(&load->calls[i], load->reactors[i], fn,
				(char *)args + i * arg_bytes);
		called[i] = &load->calls[i].future;
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

static void collect(struct load *load)
{
	struct result *result = load->result;

	result->requests = result->errors = result->bytes_sent = result->bytes_received = 0;
	result->duration_ns = 0;
	result->error[0] = '\0';
	histogram_reset(&result->histogram);
	for (unsigned i = 0; i < load->reactors_count; i++) {
		const struct share *share = &load->shares[i];
		rota_ns duration_ns = share->ended_at - share->started_at;

		if (duration_ns > result->duration_ns)
			result->duration_ns = duration_ns;
		result->requests += share->requests;
		result->errors += share->errors;
		result->bytes_sent += share->bytes_sent;
		result->bytes_received += share->bytes_received;
		histogram_add(&result->histogram, &share->histogram);
		if (!result->error[0])
			snprintf(result->error, sizeof(result->error), "%s", share->error);
	}
}

static int64_t run(struct load *load, enum pacing pacing, rota_ns duration_ns)
{
	uint64_t cpu_ns = own_cpu_ns();
	int64_t status;

	for (unsigned i = 0; i < load->reactors_count; i++)
		load->runs[i] = (struct run){ &load->shares[i], pacing, duration_ns };
	status = on_all(load, share_run, load->runs, sizeof(load->runs[0]));
	load->result->cpu_ns = own_cpu_ns() - cpu_ns;
	collect(load);
	return status;
}

/* ---- steered: what to do comes on standard input ---- */

/* Read a line without its end. Returns its bytes, 0 at the end, or negative errno. */
static int64_t read_line(char line[LINE_BYTES])
{
	size_t bytes = 0;

	for (;;) {
		int events = rota_poll_fd(STDIN_FILENO, POLLIN);
		ssize_t count;

		/* what cannot be waited for, a file, does not block either */
		if (events < 0 && events != -EPERM)
			return events;
		count = read(STDIN_FILENO, line + bytes, 1);
		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return count < 0 ? -errno : 0;
		if (line[bytes] == '\n') {
			line[bytes] = '\0';
			return (int64_t)bytes + 1;
		}
		if (++bytes == LINE_BYTES)
			return -EMSGSIZE;
	}
}

/* "go SECONDS". */
static bool parse_go(const char *line, rota_ns *duration_ns)
{
	double seconds;
	char *end;

	if (strncmp(line, "go ", 3) != 0)
		return false;
	seconds = strtod(line + 3, &end);
	if (end == line + 3 || *end || !(seconds > 0 && seconds <= 86400))
		return false;
	*duration_ns = (rota_ns)(seconds * 1e9);
	return true;
}

static int64_t obey(struct load *load)
{
	char line[LINE_BYTES];
	int64_t status;

	if (puts("ready") < 0 || fflush(stdout) < 0)
		return -EIO;
	while ((status = read_line(line)) > 0) {
		rota_ns duration_ns;

		if (!parse_go(line, &duration_ns)) {
			complain("expected a line \"go SECONDS\" and got \"%s\"", line);
			return -EINVAL;
		}
		status = run(load, PACING_CLOSED, duration_ns);
		if (status == 0)
			status = report_json(load->options, load->result, stdout);
		if (status < 0)
			return status;
	}
	return status;
}

/* ---- by itself ---- */

static int64_t write_json(const struct load *load)
{
	const char *path = load->options->json_path;
	bool is_file = strcmp(path, "-") != 0;
	FILE *out = is_file ? fopen(path, "w") : stdout;
	int status = out ? report_json(load->options, load->result, out) : -errno;

	if (is_file && out && fclose(out) && status == 0)
		status = -errno;
	if (status < 0)
		complain("cannot write %s: %s", path, rota_strerror(status));
	return status;
}

static int64_t measure(struct load *load)
{
	const struct options *options = load->options;
	bool has_output = options->json_path && !strcmp(options->json_path, "-");
	int64_t status = 0;

	if (options->warmup_ns)
		status = run(load, PACING_CLOSED, options->warmup_ns);
	if (status == 0)
		status = run(load, PACING_CLOSED, options->duration_ns);
	if (status < 0)
		return status;
	if (!options->quiet && !has_output)
		report_text(options, load->result, stdout);
	if (options->json_path)
		status = write_json(load);
	return status == 0 && load->result->errors ? 1 : status;
}

/* ---- the main task ---- */

static int64_t load_main(void *arg)
{
	struct load *load = arg;
	int64_t status = on_all(load, share_connect, load->shares, sizeof(load->shares[0]));

	if (status < 0) {
		collect(load);
		complain("%s",
			 load->result->error[0] ? load->result->error : rota_strerror((int)status));
	} else {
		status = load->options->steered ? obey(load) : measure(load);
	}
	load->status = status == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	for (unsigned i = 0; i < load->reactors_count; i++)
		rota_reactor_stop(load->reactors[i]);
	return 0;
}

static void begin(struct rota_message *message)
{
	struct load *load = ROTA_CONTAINER_OF(message, struct load, begin);
	int status = rota_spawn(rota_reactor_scope(load->reactors[0]), load_main, load);

	if (status == 0)
		return;
	complain("cannot begin: %s", rota_strerror(status));
	for (unsigned i = 0; i < load->reactors_count; i++)
		rota_reactor_stop(load->reactors[i]);
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
			complain("a reactor cannot run on %s: %s", load->choice.engine->name,
				 rota_strerror(status));
	}
	status = status < 0 ? EXIT_FAILURE : load->status;
	tear_down(load);
	rota_free(load);
	return status;
}

static void complain(const char *format, ...)
{
	va_list arguments;

	fputs("rota-load: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}
