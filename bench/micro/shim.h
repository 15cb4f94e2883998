/* SPDX-License-Identifier: MIT */
/*
 * Google Benchmark for benchmarks written in C. A program is one <unit>_bench.c, which lists its
 * benchmarks in bench_list, linked with shim.cc, which has main(). One thread.
 *
 * The one idea: asking the library after every operation would cost more than what is measured, so
 * a body runs operations in batches and asks once per batch:
 *
 *	while (bench_next(run, 1000))
 *		for (int i = 0; i < 1000; i++)
 *			operation();
 */
#ifndef BENCH_MICRO_SHIM_H
#define BENCH_MICRO_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bench_run;

/*
 * What a benchmark does; what it does before the first bench_next() or after the last isn't
 * measured.
 */
typedef void (*bench_fn)(struct bench_run *run);

struct bench {
	const char *name; /* "context/ping-pong" */
	bench_fn fn;
};

/* Defined by the benchmark's file; ends with a NULL name. */
extern const struct bench bench_list[];

/* True while another batch of `operations` is to be run; the time reported is per operation. */
bool bench_next(struct bench_run *run, int64_t operations);

/* Show a figure of the benchmark's own beside the time. */
void bench_report(struct bench_run *run, const char *name, double value);

/* Give up on this benchmark, with the reason shown; bench_next() then returns false. */
void bench_skip(struct bench_run *run, const char *reason);

#ifdef __cplusplus
}
#endif

#endif /* BENCH_MICRO_SHIM_H */
