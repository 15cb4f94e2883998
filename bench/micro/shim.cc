/* SPDX-License-Identifier: MIT */
/*
 * The C++ side of shim.h, and main(). Takes Google Benchmark's options.
 */
#include <benchmark/benchmark.h>

#include "bench/micro/shim.h"

struct bench_run {
	benchmark::State &state;
};

bool bench_next(struct bench_run *run, int64_t operations)
{
	return run->state.KeepRunningBatch(operations);
}

void bench_report(struct bench_run *run, const char *name, double value)
{
	run->state.counters[name] = value;
}

void bench_skip(struct bench_run *run, const char *reason)
{
	run->state.SkipWithError(reason);
}

int main(int argc, char **argv)
{
	benchmark::Initialize(&argc, argv);
	if (benchmark::ReportUnrecognizedArguments(argc, argv))
		return 1;
	for (const struct bench *bench = bench_list; bench->name; bench++)
		benchmark::RegisterBenchmark(bench->name, [bench](benchmark::State &state) {
			struct bench_run run = { state };

			bench->fn(&run);
		});
	benchmark::RunSpecifiedBenchmarks();
	return 0;
}
