/* SPDX-License-Identifier: MIT */
/*
 * `rota-compare place`: what every process of a comparison goes through before it becomes the
 * program it is to be. Not for people. Between fork and exec, as it were; main thread.
 *
 * The one idea: a program pins itself, arranges to die with rota-compare, and then becomes another
 * (execve keeps both), so that nothing needs to be done to a process that already runs.
 */
#ifndef BENCH_COMPARE_PLACE_H
#define BENCH_COMPARE_PLACE_H

/*
 * rota-compare place CPUS PARENT PROGRAM [ARGUMENT]…: on those CPUs ("0,2-3"), if PARENT is still
 * the parent; killed when that ends. Returns an exit status, and only if something is wrong.
 */
int place_main(int argc, char **argv);

/*
 * A scheduling slice of 0.1 ms for this process and those it starts: a wake-up then preempts other
 * programs' batch jobs at once. It takes no priority. Returns 0, or negative errno where the kernel
 * refuses.
 */
int place_slice(void);

#endif /* BENCH_COMPARE_PLACE_H */
