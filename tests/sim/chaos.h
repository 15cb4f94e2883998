/* SPDX-License-Identifier: MIT */
/*
 * A program on one host, its clients on others, and between them whatever the seed has planned:
 * latency, loss, partitions, resets, crash and restart, no memory, a bad disk. Layer: tests.
 *
 *	test_chaos_NAME [--seeds FIRST..LAST | --seed N] [--plan TEXT] [--trace] [--misbehaves]
 *
 * The one idea: clients write down what they called and what they were answered, and when; after
 * the run a judge says whether a correct program could have answered so. A seed that fails is
 * printed with its plan and the command that replays it; the plan can be given again, shortened.
 * With --misbehaves the program does what it must not: that is how each judge is tested.
 */
#ifndef TESTS_SIM_CHAOS_H
#define TESTS_SIM_CHAOS_H

#include "tests/sim/hosts.h"

#define T_CHAOS_HOSTS 2   /* of clients */
#define T_CHAOS_CLIENTS 3 /* on each of them */
#define T_CHAOS_CRASHES_MAX 2

struct t_chaos {
	const char *name;
	rota_sim_program_fn serve; /* as in struct t_hosts */
	rota_task_fn client;       /* a task; comes to an end whatever happens, and returns 0 */
	void (*begin)(void);       /* before each run */
	void (*judge)(void);       /* after it: checks. NULL: the clients have done so */
	/* After `seeds` runs: print what they came to, and check that it was chaos. */
	void (*report)(uint64_t seeds);
};

/* The program is to do what it must not. */
extern bool t_chaos_misbehaves;

/* The next number below `bound` of this run's. */
uint32_t t_chaos_draw(uint32_t bound);

/* A whole main(). */
int t_chaos_main(const struct t_chaos *chaos, int argc, char **argv);

#endif /* TESTS_SIM_CHAOS_H */
