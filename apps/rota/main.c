/* SPDX-License-Identifier: MIT */
/*
 * rota: look into a running, stuck, stopped or dead rota process from outside.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rota/base.h>

#include "apps/rota/recording.h"
#include "apps/rota/show.h"

enum exit_code {
	EXIT_LOOKED = 0,
	EXIT_CANNOT = 1, /* no such process, not allowed, no rota in it, no memory */
	EXIT_USAGE = 2,
	EXIT_DEADLOCK = 3,
};

static const char usage[] =
	"usage: rota COMMAND [OPTION...] PID|CORE [EXECUTABLE]\n"
	"\n"
	"Look into a process that runs rota's tasks, from outside: it need not cooperate, may be\n"
	"stuck or stopped, and is not written to or stopped (but see -s). Or look into its core\n"
	"file; EXECUTABLE is then the program that made it, if it isn't where it was any more.\n"
	"\n"
	"  rota tree PID     who spawned whom, in which scope, what each waits for, where, and\n"
	"                    since when\n"
	"  rota ps PID       how many tasks wait where; --all: a line for each\n"
	"  rota top PID      what reactors, groups and tasks use, and what is spawned where;\n"
	"                    look after look\n"
	"  rota record PID   what its reactors did lately, as a trace for ui.perfetto.dev;\n"
	"                    -o FILE: into that file\n"
	"  rota trace FILE   the same from what a process has written of itself\n"
	"\n"
	"tree and ps point out tasks that wait for each other.\n"
	"\n"
	"  -a, --all         every task, also where many are alike\n"
	"  -s, --stacks      with the stack of each task that is shown; a thread that runs one is\n"
	"                    stopped for a moment\n"
	"  -j, --json        for machines: all tasks, as one JSON document\n"
	"  -1, --once        top: one table of two looks\n"
	"  -d, --delay S     top: seconds from look to look (default 1)\n"
	"  -h, --help\n"
	"\n"
	"Exit status: 0 looked; 1 could not look; 2 wrong usage; 3 looked and saw a deadlock.\n"
	"\n"
	"Reading another process needs the right to trace it: the same user or root, and\n"
	"kernel.yama.ptrace_scope 0 or CAP_SYS_PTRACE.\n";

typedef int (*show_fn)(struct snapshot *snapshot, const struct show_options *options);

/* `show`: NULL for top, which takes snapshots of its own. */
static int take_and_show(struct target *target, struct places *places, show_fn show,
			 const struct show_options *options)
{
	struct snapshot snapshot;
	int status;

	if (!show)
		return show_top(target, places, options);
	status = snapshot_take(&snapshot, target, places);
	if (status < 0)
		return status;
	status = show(&snapshot, options);
	snapshot_drop(&snapshot);
	return status;
}

static int look(const char *what, const char *executable, show_fn show,
		const struct show_options *options)
{
	char why[TARGET_WHY_BYTES];
	struct places *places;
	struct target *target;
	int status = target_open(what, executable, &target, why);

	if (status < 0) {
		fprintf(stderr, "rota: %s\n", why);
		return EXIT_CANNOT;
	}
	places = places_create(target);
	status = places ? take_and_show(target, places, show, options) : -ENOMEM;
	places_destroy(places);
	target_close(target);
	if (status < 0) {
		fprintf(stderr, "rota: %s\n", strerror(-status));
		return EXIT_CANNOT;
	}
	return status ? EXIT_DEADLOCK : EXIT_LOOKED;
}

static const struct option long_options[] = {
	{ "all", no_argument, NULL, 'a' },
	{ "stacks", no_argument, NULL, 's' },
	{ "json", no_argument, NULL, 'j' },
	{ "once", no_argument, NULL, '1' },
	{ "delay", required_argument, NULL, 'd' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const struct {
	const char *name;
	show_fn show;
} commands[] = {
	{ "ps", show_ps },
	{ "top", NULL },
	{ "tree", show_tree },
};

/* With options of their own. */
static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} others[] = {
	{ "record", record_main },
	{ "trace", trace_main },
};

static int say_usage(void)
{
	fputs("rota: see rota --help\n", stderr);
	return EXIT_USAGE;
}

static bool take_delay(const char *text, struct show_options *options)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0 && seconds <= 86400))
		return false;
	options->delay_ns = (int64_t)(seconds * 1e9);
	return true;
}

/* Returns false if an option is wrong. */
static bool take_options(int argc, char **argv, struct show_options *options, bool *is_json)
{
	int option;

	while ((option = getopt_long(argc, argv, "asj1d:h", long_options, NULL)) >= 0) {
		if (option == 'h') {
			fputs(usage, stdout);
			exit(EXIT_LOOKED);
		}
		if (option == '?' || (option == 'd' && !take_delay(optarg, options)))
			return false;
		options->all |= option == 'a';
		options->stacks |= option == 's';
		options->once |= option == '1';
		*is_json |= option == 'j';
	}
	return true;
}

int main(int argc, char **argv)
{
	struct show_options options = { .delay_ns = 1000000000 };
	bool is_json = false;

	for (size_t i = 0; argc > 1 && i < ROTA_ARRAY_COUNT(others); i++)
		if (!strcmp(argv[1], others[i].name))
			return others[i].run(argc - 1, argv + 1);
	if (!take_options(argc, argv, &options, &is_json) || argc - optind < 2 || argc - optind > 3)
		return say_usage();
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(commands); i++)
		if (!strcmp(argv[optind], commands[i].name))
			return look(argv[optind + 1], argv[optind + 2],
				    is_json ? show_json : commands[i].show, &options);
	return say_usage();
}
