/* SPDX-License-Identifier: MIT */
/* rota-compare: epoll or io_uring, on this machine? Start-up, main thread. */
#include <stdio.h>
#include <string.h>

#include "bench/compare/place.h"
#include "bench/compare/serve.h"

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} subcommands[] = {
	{ "place", place_main },
	{ "serve", serve_main },
};

int main(int argc, char **argv)
{
	for (unsigned i = 0; argc > 1 && i < sizeof(subcommands) / sizeof(*subcommands); i++)
		if (!strcmp(argv[1], subcommands[i].name))
			return subcommands[i].main(argc - 1, argv + 1);
	return 2;
}
