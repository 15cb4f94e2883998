/* SPDX-License-Identifier: MIT */
/* The command line of rota-compare. Start-up only. */
#ifndef BENCH_COMPARE_ARGUMENTS_H
#define BENCH_COMPARE_ARGUMENTS_H

#include "bench/compare/comparison.h"

enum arguments_result { ARGUMENTS_RUN, ARGUMENTS_DONE, ARGUMENTS_WRONG };

/*
 * Read it into `comparison`. DONE: --help, --version or --list has been answered; WRONG: what is
 * wrong was said on standard error, in one line.
 */
enum arguments_result arguments_parse(struct comparison *comparison, int argc, char **argv);

#endif /* BENCH_COMPARE_ARGUMENTS_H */
