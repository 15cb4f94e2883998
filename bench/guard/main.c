/* SPDX-License-Identifier: MIT */
/*
 * Run one scenario under callgrind, without collecting at the start:
 *
 *   guard SCENARIO    say how many operations were counted
 *   guard --list      the scenarios
 *   guard --made-by   what the number of instructions depends on beside the code
 */
#include <gnu/libc-version.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rota/error.h>

#include "bench/guard/guard.h"

void guard_die(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "guard: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	exit(EXIT_FAILURE);
}

void guard_check(int64_t status, const char *what)
{
	if (status < 0)
		guard_die("%s: %s", what, rota_strerror((int)status));
}

static const struct guard_scenario *const lists[] = { guard_servers, guard_primitives };

static int print_names(void)
{
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(lists); i++)
		for (const struct guard_scenario *each = lists[i]; each->name; each++)
			printf("%s\n", each->name);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	const char *asked = argc == 2 ? argv[1] : "";

	if (strcmp(asked, "--list") == 0)
		return print_names();
	if (strcmp(asked, "--made-by") == 0) {
		printf("%s%s, glibc %s\n", strstr(__VERSION__, "lang") ? "" : "gcc ", __VERSION__,
		       gnu_get_libc_version());
		return EXIT_SUCCESS;
	}
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(lists); i++)
		for (const struct guard_scenario *each = lists[i]; each->name; each++)
			if (strcmp(asked, each->name) == 0) {
				printf("%llu\n", (unsigned long long)each->run());
				return EXIT_SUCCESS;
			}
	fprintf(stderr, "usage: %s SCENARIO|--list|--made-by\n", argv[0]);
	return 2;
}
