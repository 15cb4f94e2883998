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

/* What the loops of a batch cost by themselves, to be known beside what is measured with them. */
static void empty_loop(benchmark::State &state)
{
	while (state.KeepRunningBatch(1000))
		for (int i = 0; i < 1000; i++)
			benchmark::ClobberMemory();
}

int main(int argc, char **argv)
{
	benchmark::Initialize(&argc, argv);
	if (benchmark::ReportUnrecognizedArguments(argc, argv))
		return 1;
	benchmark::RegisterBenchmark("an empty loop", empty_loop);
	for (const struct bench *bench = bench_list; bench->name; bench++)
		benchmark::RegisterBenchmark(bench->name, [bench](benchmark::State &state) {
			struct bench_run run = { state };

			bench->fn(&run);
		});
	benchmark::RunSpecifiedBenchmarks();
	return 0;
}
