/* SPDX-License-Identifier: MIT */
/* Become a program, pinned; see place.h. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/compare/place.h"
#include "framework/options.h"

#define SLICE_NS 100000

/* sched_setattr(2), which the C library has no function for: its first version. */
struct slice {
	uint32_t bytes;
	uint32_t policy; /* 0: SCHED_OTHER */
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns; /* from Linux 6.12 the slice of a process of SCHED_OTHER */
	uint64_t deadline_ns;
	uint64_t period_ns;
};

int place_slice(void)
{
	struct slice slice = { .bytes = sizeof(slice), .runtime_ns = SLICE_NS };

	return syscall(SYS_sched_setattr, 0, &slice, 0) ? -errno : 0;
}

static int pin(const char *text)
{
	int cpus[CPU_SETSIZE];
	int count = rota__cpus_parse(text, cpus, CPU_SETSIZE);
	cpu_set_t set;

	if (count < 0)
		return count;
	CPU_ZERO(&set);
	for (int i = 0; i < count; i++)
		CPU_SET((unsigned)cpus[i], &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

/* Ten thousand connections need as many descriptors; some servers do not ask for themselves. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int place_main(int argc, char **argv)
{
	int status;

	if (argc < 4) {
		fprintf(stderr, "usage: rota-compare place CPUS PARENT PROGRAM [ARGUMENT]...\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != atoi(argv[2]))
		return EXIT_FAILURE; /* it ended before we could ask to be told */
	status = pin(argv[1]);
	if (status < 0) {
		fprintf(stderr, "rota-compare: cannot run on CPUs %s: %s\n", argv[1],
			strerror(-status));
		return EXIT_FAILURE;
	}
	raise_descriptors();
	/* A pipe that nobody reads: who says more than it holds is not to wait. */
	fcntl(STDERR_FILENO, F_SETFL, fcntl(STDERR_FILENO, F_GETFL) | O_NONBLOCK);
	execvp(argv[3], argv + 3);
	fprintf(stderr, "rota-compare: cannot run %s: %s\n", argv[3], strerror(errno));
	return 127;
}
