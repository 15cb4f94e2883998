/* SPDX-License-Identifier: MIT */
/*
 * main() of the programs that do small works; see primitives.h.
 *
 *   PROGRAM        print the names of the works
 *   PROGRAM NAME   do this one; print its figure and what number of operations or tasks it is of
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/primitives/primitives.h"

#define RUN_NS INT64_C(150000000)
#define STATUS_SKIPPED 77

struct primitive_run {
	clockid_t clock;
	int64_t start_ns;
	int64_t start_bytes;
	int64_t operations;
	double figure;
};

static int64_t now_ns(const struct primitive_run *run)
{
	struct timespec now;

	clock_gettime(run->clock, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int64_t resident_bytes(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	int64_t total, resident = 0;

	if (!statm || fscanf(statm, "%" SCNd64 " %" SCNd64, &total, &resident) != 2)
		primitive_skip("/proc/self/statm cannot be read");
	fclose(statm);
	return resident * sysconf(_SC_PAGESIZE);
}

void primitive_start(struct primitive_run *run)
{
	run->operations = 0;
	run->start_bytes = resident_bytes();
	run->start_ns = now_ns(run);
}

void primitive_end(struct primitive_run *run, int64_t operations)
{
	run->figure = (double)(now_ns(run) - run->start_ns) / (double)operations;
	run->operations = operations;
}

void primitive_end_memory(struct primitive_run *run, int64_t count)
{
	run->figure = (double)(resident_bytes() - run->start_bytes) / (double)count;
	run->operations = count;
}

bool primitive_next(struct primitive_run *run, int64_t operations)
{
	/* The first batch warms up: stacks, caches, what is made on first use. */
	if (run->start_ns == 0)
		run->start_ns = -1;
	else if (run->start_ns < 0)
		primitive_start(run);
	else
		run->operations += operations;
	if (run->start_ns < 0 || now_ns(run) - run->start_ns < RUN_NS)
		return true;
	primitive_end(run, run->operations);
	return false;
}

void primitive_skip(const char *reason)
{
	printf("%s\n", reason);
	fflush(stdout);
	_exit(STATUS_SKIPPED);
}

int main(int argc, char **argv)
{
	struct primitive_run run = { .start_ns = 0 };

	for (const struct primitive *one = primitive_list; one->name; one++) {
		if (argc < 2) {
			printf("%s\n", one->name);
		} else if (strcmp(one->name, argv[1]) == 0) {
			run.clock = one->clock == WALL ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID;
			one->fn(&run);
			printf("%.3f %" PRId64 "\n", run.figure, run.operations);
			return 0;
		}
	}
	return argc < 2 ? 0 : 2;
}
