/* SPDX-License-Identifier: MIT */
/*
 * rota-load: puts load on a server and says how it bears it. Start-up, main thread.
 */
#include <stdlib.h>

#include "backends/backends.h"
#include "bench/load/load.h"

int main(int argc, char **argv)
{
	struct options options;

	switch (options_parse(&options, argc, argv)) {
	case OPTIONS_RUN:
		return load_run(&options, rota_backends);
	case OPTIONS_DONE:
		return EXIT_SUCCESS;
	default:
		return 2;
	}
}
