/* SPDX-License-Identifier: MIT */
/*
 * Which processors are for servers and which for load clients. Layer: bench/compare; start-up.
 *
 * The one idea: two threads of one core share its caches and its execution units, so a core is for
 * one side as a whole.
 */
#ifndef BENCH_COMPARE_CPUS_H
#define BENCH_COMPARE_CPUS_H

#include <sched.h>
#include <stdbool.h>

#include <rota/base.h>

#define CPUS_MAX 1024
/* "0,1,…": up to four digits and a comma each. */
#define CPUS_TEXT_BYTES (5 * CPUS_MAX)

struct cpus {
	char text[CPUS_TEXT_BYTES]; /* "0,2-3", as taskset has it */
	int list[CPUS_MAX];
	unsigned count;
};

/* Take `text`. Returns 0, or -EINVAL when it is no such list or too long. */
ROTA_MUST_USE int cpus_parse(struct cpus *cpus, const char *text);

/*
 * Deal the processors in `allowed` to two sides, whole cores at a time; one processor alone is for
 * both. `root` is "/sys"; a test has its own. Where that does not say which threads share a core,
 * each is taken for one.
 */
void cpus_halve(const char *root, const cpu_set_t *allowed, struct cpus *servers,
		struct cpus *clients);

/* Those of both, each once. */
void cpus_join(const struct cpus *one, const struct cpus *other, struct cpus *out);

/* Whether a processor is on both sides. */
bool cpus_overlap(const struct cpus *one, const struct cpus *other);

#endif /* BENCH_COMPARE_CPUS_H */
