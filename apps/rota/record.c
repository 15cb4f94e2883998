/* SPDX-License-Identifier: MIT */
/*
 * rota record: a trace out of a process or a core file; rota trace: out of a file that a process
 * wrote.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/rota/recording.h"

static const char usage[] =
	"usage: rota record [-o TRACE] PID|CORE [EXECUTABLE]\n"
	"       rota trace [-o TRACE] FILE\n"
	"\n"
	"Write what the reactors of a process did lately, as their flight recorders tell, as a\n"
	"trace in Chrome's JSON format: to be opened in ui.perfetto.dev or chrome://tracing.\n"
	"record looks into a process, which may be stuck, or its core file; trace reads what a\n"
	"process has written of itself (--record-to of servers).\n"
	"\n"
	"  -o, --output TRACE  instead of standard output\n"
	"  -h, --help\n"
	"\n"
	"Times are exact where a reactor looked at the clock: at the beginning of each turn,\n"
	"before and after each wait, and after every few tasks. What lies between is spread\n"
	"evenly.\n";

static const struct option options[] = {
	{ "output", required_argument, NULL, 'o' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int complain(const char *about, const char *why)
{
	fprintf(stderr, "rota: %s: %s\n", about, why);
	return EXIT_FAILURE;
}

/* Returns what the command exits with. */
static int write_trace(const struct recording *recording, const char *path)
{
	FILE *out = path ? fopen(path, "we") : stdout;
	int status;

	if (!out)
		return complain(path, strerror(errno));
	status = recording_trace(recording, out);
	if (path ? fclose(out) : fflush(out))
		status = status < 0 ? status : -errno;
	return status < 0 ? complain(path ? path : "standard output", strerror(-status))
			  : EXIT_SUCCESS;
}

/* -1: go on, with `*path` and optind; or what to exit with. */
static int parse(int argc, char **argv, int arguments_max, const char **path)
{
	int option;

	while ((option = getopt_long(argc, argv, "o:h", options, NULL)) >= 0) {
		if (option == 'h')
			return fputs(usage, stdout) < 0;
		if (option == '?')
			return 2;
		*path = optarg;
	}
	if (argc - optind >= 1 && argc - optind <= arguments_max)
		return -1;
	fputs("rota: see rota record --help\n", stderr);
	return 2;
}

int record_main(int argc, char **argv)
{
	struct recording recording;
	char why[TARGET_WHY_BYTES];
	const char *path = NULL;
	struct target *target;
	int status = parse(argc, argv, 2, &path);

	if (status >= 0)
		return status;
	status = target_open(argv[optind], argv[optind + 1], &target, why);
	if (status < 0) {
		fprintf(stderr, "rota: %s\n", why);
		return EXIT_FAILURE;
	}
	status = recording_take(&recording, target, why);
	status = status < 0 ? complain(argv[optind], why) : write_trace(&recording, path);
	recording_drop(&recording);
	target_close(target);
	return status;
}

int trace_main(int argc, char **argv)
{
	struct recording recording;
	char why[TARGET_WHY_BYTES];
	const char *path = NULL;
	int status = parse(argc, argv, 1, &path);

	if (status >= 0)
		return status;
	status = recording_read(&recording, argv[optind], why);
	status = status < 0 ? complain(argv[optind], why) : write_trace(&recording, path);
	recording_drop(&recording);
	return status;
}
