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
	"stuck or stopped, and is neither written to nor stopped. Or look into its core file;\n"
	"EXECUTABLE is then the program that made it, if it isn't where it was any more.\n"
	"\n"
	"  rota tree PID     who spawned whom, what each waits for, where, and since when\n"
	"  rota ps PID       how many tasks wait where; --all: a line for each\n"
	"\n"
	"Both point out tasks that wait for each other.\n"
	"\n"
	"  -a, --all         every task, also where many are alike\n"
	"  -s, --stacks      with the stack of each suspended task that is shown\n"
	"  -j, --json        for machines: all tasks, as one JSON document\n"
	"  -h, --help\n"
	"\n"
	"Exit status: 0 looked; 1 could not look; 2 wrong usage; 3 looked and saw a deadlock.\n"
	"\n"
	"Reading another process needs the right to trace it: the same user or root, and\n"
	"kernel.yama.ptrace_scope 0 or CAP_SYS_PTRACE.\n";

typedef int (*show_fn)(struct snapshot *snapshot, const struct show_options *options);

static int look(const char *what, const char *executable, show_fn show,
		const struct show_options *options)
{
	char why[TARGET_WHY_BYTES];
	struct snapshot snapshot;
	struct places *places;
	struct target *target;
	int status = target_open(what, executable, &target, why);

	if (status < 0) {
		fprintf(stderr, "rota: %s\n", why);
		return EXIT_CANNOT;
	}
	places = places_create(target);
	status = places ? snapshot_take(&snapshot, target, places) : -ENOMEM;
	if (status == 0) {
		status = show(&snapshot, options);
		snapshot_drop(&snapshot);
	}
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
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const struct {
	const char *name;
	show_fn show;
} commands[] = {
	{ "ps", show_ps },
	{ "tree", show_tree },
};

static int say_usage(void)
{
	fputs("rota: see rota --help\n", stderr);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	struct show_options options = { .all = false };
	show_fn show = NULL;
	bool is_json = false;
	int option;

	while ((option = getopt_long(argc, argv, "asjh", long_options, NULL)) >= 0) {
		if (option == 'h')
			return fputs(usage, stdout) < 0;
		if (option == '?')
			return say_usage();
		options.all |= option == 'a';
		options.stacks |= option == 's';
		is_json |= option == 'j';
	}
	if (argc - optind < 2 || argc - optind > 3)
		return say_usage();
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(commands); i++)
		if (!strcmp(argv[optind], commands[i].name))
			show = commands[i].show;
	if (!show)
		return say_usage();
	return look(argv[optind + 1], argv[optind + 2], is_json ? show_json : show, &options);
}
