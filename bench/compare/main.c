/* SPDX-License-Identifier: MIT */
/*
 * rota-compare: epoll or io_uring, on this machine? Main thread.
 *
 * The one idea: it is a rota program itself. One task measures, another waits for signals, and the
 * one cancels the other; so whatever ends a comparison, the scope around it ends every process that
 * it started.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include <rota/error.h>
#include <rota/reactor.h>
#include <rota/scope.h>
#include <rota/server.h>
#include <rota/signal.h>

#include "backends/backends.h"
#include "bench/compare/arguments.h"
#include "bench/compare/engines.h"
#include "bench/compare/explain.h"
#include "bench/compare/machine.h"
#include "bench/compare/page.h"
#include "bench/compare/place.h"
#include "bench/compare/run.h"
#include "bench/compare/serve.h"
#include "bench/compare/table.h"
#include "bench/compare/words.h"
#include "bench/compare/work.h"

#define COMMAND_BYTES 1024

struct comparing {
	struct comparison comparison;
	json_t *result;
	struct rota_signals signals;
	struct rota_scope scope; /* of the two tasks */
	int ended_by;            /* a signal, or 0 */
};

/* ---- the two tasks ---- */

static int64_t wait_for_signals(void *arg)
{
	struct comparing *comparing = arg;
	int number = rota_signals_next(&comparing->signals);

	if (number < 0)
		return 0; /* all is done */
	comparing->ended_by = number;
	rota_scope_cancel(&comparing->scope, "ended by a signal");
	return 0;
}

static int64_t compare(void *arg)
{
	struct comparing *comparing = arg;
	int status = run_points(&comparing->comparison, comparing->result);

	rota_scope_cancel(&comparing->scope, "all is measured");
	return status == -ECANCELED ? 0 : status;
}

static int64_t run(void *arg)
{
	struct comparing *comparing = arg;
	int64_t status;

	rota_scope_open(&comparing->scope, ROTA_NEVER);
	rota_ignore(rota_spawn(&comparing->scope, wait_for_signals, comparing), "close says it");
	rota_ignore(rota_spawn(&comparing->scope, compare, comparing), "close says it");
	status = rota_scope_close_and_move_on(&comparing->scope);
	return status < 0 ? status : 0;
}

/* ---- the result ---- */

/* The words of the command line, with a space between them. */
static void join_words(int argc, char **argv, char out[COMMAND_BYTES])
{
	size_t used = 0;

	out[0] = '\0';
	for (int i = 0; i < argc && used < COMMAND_BYTES - 1; i++)
		used += (size_t)snprintf(out + used, COMMAND_BYTES - used, "%s%s", i ? " " : "",
					 i ? argv[i] : "rota-compare");
}

static json_t *begin_result(const struct comparison *comparison, int argc, char **argv)
{
	char command[COMMAND_BYTES], date[32];
	time_t now = time(NULL);
	json_t *result = json_pack("{s:s}", "format", "rota-compare 1");
	struct tm utc;

	join_words(argc, argv, command);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
	if (!result ||
	    json_object_set_new(
		    result, "made",
		    json_pack("{s:s, s:s, s:s, s:I, s:f, s:i, s:i, s:f, s:s, s:s, s:s}", "date",
			      date, "command", command, "version", ROTA_VERSION, "seed",
			      (json_int_t)comparison->seed, "round_seconds",
			      comparison->round_seconds, "starts", (int)comparison->starts,
			      "rounds", (int)comparison->rounds, "confidence",
			      comparison->confidence, "server_cpus", comparison->server_cpus.text,
			      "load_cpus", comparison->load_cpus.text, "load_engine",
			      comparison->load_engines)) ||
	    json_object_set_new(json_object_get(result, "made"), "margin",
				json_real(comparison->margin)) ||
	    json_object_set_new(result, "machine", machine_describe()) ||
	    json_object_set_new(result, "engines", engines_describe()) ||
	    variants_describe(&comparison->variants, result) < 0) {
		json_decref(result);
		return NULL;
	}
	return result;
}

static int write_json(const json_t *result, const char *path)
{
	bool is_stdout = !strcmp(path, "-");
	FILE *file = is_stdout ? stdout : fopen(path, "w");
	int status;

	if (!file) {
		fprintf(stderr, "rota-compare: %s: %s\n", path, strerror(errno));
		return -EIO;
	}
	status = json_dumpf(result, file, JSON_INDENT(1));
	if (fputc('\n', file) < 0 || fflush(file))
		status = -1;
	if (!is_stdout && fclose(file))
		status = -1;
	if (status)
		fprintf(stderr, "rota-compare: %s could not be written\n", path);
	return status ? -EIO : 0;
}

static int write_page(const json_t *result, const char *path)
{
	int status = page_write(result, path);

	if (status < 0)
		fprintf(stderr, "rota-compare: %s: %s\n", path, rota_strerror(status));
	else
		fprintf(stderr, "rota-compare: see %s\n", path);
	return status;
}

static int finish(struct comparing *comparing, time_t began)
{
	const struct comparison *comparison = &comparing->comparison;
	json_t *made = json_object_get(comparing->result, "made");

	int status;

	if (json_object_set_new(made, "seconds", json_integer(time(NULL) - began)))
		return -ENOMEM;
	table_print_foot(comparison, comparing->result);
	status = comparison->json_path ? write_json(comparing->result, comparison->json_path) : 0;
	if (status == 0 && comparison->html_path)
		status = write_page(comparing->result, comparison->html_path);
	return status;
}

/* ---- from start to end ---- */

static int measure(struct comparing *comparing)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	const struct rota_reactor_options options = { .engine = &rota_backend_epoll };
	int status = rota_signals_open(&comparing->signals, numbers, ROTA_ARRAY_COUNT(numbers));

	if (status < 0)
		return status;
	status = (int)rota_run(&options, run, comparing);
	rota_signals_close(&comparing->signals);
	return status;
}

static int compare_main(int argc, char **argv)
{
	/* Too large for a stack. */
	struct comparing *comparing = calloc(1, sizeof(*comparing));
	time_t began = time(NULL);
	int status = -ENOMEM;

	if (comparing) {
		enum arguments_result parsed = arguments_parse(&comparing->comparison, argc, argv);

		if (parsed != ARGUMENTS_RUN) {
			free(comparing);
			return parsed == ARGUMENTS_DONE ? EXIT_SUCCESS : 2;
		}
		comparing->result = begin_result(&comparing->comparison, argc, argv);
	}
	if (comparing && comparing->result) {
		if (place_slice() < 0)
			fprintf(stderr, "rota-compare: the kernel refuses a slice of 0.1 ms: "
					"latencies include other programs' turns\n");
		setvbuf(comparing->comparison.table, NULL, _IOLBF, 0);
		table_print_head(&comparing->comparison);
		status = measure(comparing);
	}
	if (status == 0)
		status = finish(comparing, began);
	if (status < 0)
		fprintf(stderr, "rota-compare: %s\n", rota_strerror(status));
	if (comparing && comparing->ended_by)
		status = 128 + comparing->ended_by;
	if (comparing)
		json_decref(comparing->result);
	free(comparing);
	return status < 0 ? EXIT_FAILURE : status;
}

/* ---- subcommands ---- */

static int explain_main(int argc, char **argv)
{
	return explain(argc, argv, stdout);
}

/* rota-compare page RESULT.json OUT.html: the page of a result, made anew. */
static int page_main(int argc, char **argv)
{
	json_error_t error;
	json_t *result;
	int status;

	if (argc != 3) {
		fprintf(stderr, "usage: rota-compare page RESULT.json OUT.html\n");
		return 2;
	}
	result = json_load_file(argv[1], 0, &error);
	if (!result) {
		fprintf(stderr, "rota-compare: %s, line %d: %s\n", argv[1], error.line, error.text);
		return EXIT_FAILURE;
	}
	status = words_add(result);
	if (status < 0)
		fprintf(stderr, "rota-compare: %s is no result of rota-compare\n", argv[1]);
	else
		status = write_page(result, argv[2]);
	json_decref(result);
	return status < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} subcommands[] = {
	{ "explain", explain_main }, { "page", page_main }, { "place", place_main },
	{ "serve", serve_main },     { "work", work_main },
};

int main(int argc, char **argv)
{
	for (unsigned i = 0; argc > 1 && i < ROTA_ARRAY_COUNT(subcommands); i++)
		if (!strcmp(argv[1], subcommands[i].name))
			return subcommands[i].main(argc - 1, argv + 1);
	return compare_main(argc, argv);
}
