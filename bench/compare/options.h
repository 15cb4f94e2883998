/* SPDX-License-Identifier: MIT */
/* The command line of rota-compare. Start-up only. */
#ifndef BENCH_COMPARE_OPTIONS_H
#define BENCH_COMPARE_OPTIONS_H

#include "bench/compare/comparison.h"

enum options_result { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_WRONG };

/*
 * Read it into `comparison`. DONE: --help, --version or --list has been answered; WRONG: what is
 * wrong was said on standard error, in one line.
 */
enum options_result options_parse(struct comparison *comparison, int argc, char **argv);

#endif /* BENCH_COMPARE_OPTIONS_H */
