/* SPDX-License-Identifier: MIT */
/*
 * rota-compare explain: what io_uring has on this kernel, what it lacks and what that would bring.
 * Main thread.
 */
#ifndef ROTA_BENCH_COMPARE_EXPLAIN_H
#define ROTA_BENCH_COMPARE_EXPLAIN_H

#include <stdio.h>

/*
 * The subcommand: `argv[0]` is "explain". Writes to `to`, what is wrong with the arguments to
 * standard error. Returns the exit status: 0, 1 without memory, 2 for wrong usage.
 */
int explain(int argc, char **argv, FILE *to);

#endif /* ROTA_BENCH_COMPARE_EXPLAIN_H */
