/* SPDX-License-Identifier: MIT */
/*
 * What a process has used, and what the host has taken away: figures from /proc. Layer:
 * bench/compare. Any thread; blocks for some microseconds.
 */
#ifndef BENCH_COMPARE_PROCFS_H
#define BENCH_COMPARE_PROCFS_H

#include <stdint.h>

#include <rota/base.h>

/* Sums over all threads that the process has now; those that have ended are in none but ticks. */
struct procfs_usage {
	uint64_t cpu_ns;       /* on a processor; exact for a thread that sleeps */
	uint64_t waited_ns;    /* could have run, and others did */
	uint64_t user_ticks;   /* of it in user space, in clock ticks (sysconf(_SC_CLK_TCK)) */
	uint64_t system_ticks; /* and in the kernel */
	uint64_t switches;     /* context switches, voluntary and not */
	uint64_t resident_bytes;
};

/* What some CPUs have done since the machine's start, in clock ticks. */
struct procfs_cpus {
	uint64_t idle;   /* nobody was there to run */
	uint64_t stolen; /* somebody else's virtual machine ran */
	uint64_t all;
};

/*
 * Read the figures of process `pid`. `root` is "/proc"; a test has its own. Returns 0, or negative
 * errno: -ESRCH when there is no such process, -EPROTO when a file is not as the kernel writes it.
 */
ROTA_MUST_USE int procfs_usage(const char *root, int pid, struct procfs_usage *out);

/* The same for `cpus[count]`. */
ROTA_MUST_USE int procfs_cpus(const char *root, const int cpus[], unsigned count,
			      struct procfs_cpus *out);

#endif /* BENCH_COMPARE_PROCFS_H */
