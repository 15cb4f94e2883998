/* SPDX-License-Identifier: MIT */
/* `rota-compare work`: what an engine does without clients. Layer: bench/compare. */
#ifndef BENCH_COMPARE_WORK_H
#define BENCH_COMPARE_WORK_H

/*
 * rota-compare work calls|read|read-direct|timers [OPTION]…: steered like rota-load. Says "ready";
 * works for each line "go SECONDS" and answers in rota-load's format; answers "stats"
 * (bench/compare/control.h); ends with standard input. Returns the exit status.
 */
int work_main(int argc, char **argv);

#endif /* BENCH_COMPARE_WORK_H */
