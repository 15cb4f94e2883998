/* SPDX-License-Identifier: MIT */
/*
 * A comparison as it was asked for: who, what, where, how long. Filled in by arguments.c, constant
 * afterwards. Layer: bench/compare.
 */
#ifndef BENCH_COMPARE_COMPARISON_H
#define BENCH_COMPARE_COMPARISON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bench/compare/cpus.h"
#include "bench/compare/plan.h"
#include "bench/compare/variants.h"

/* Texts are lent: those of the command line. */
struct comparison {
	struct plan plan;
	struct variants variants;
	const char *reference; /* a variant's name; NULL: epoll, or the first */
	struct cpus server_cpus, load_cpus, all_cpus;
	const char *load_program;
	const char *load_backend; /* rota-load's --backend, or "both"; NULL: its default */
	const char *load_engines; /* those it runs on, for people; static */
	const char *json_path, *html_path;
	FILE *table;     /* where that goes: standard output, or error when the JSON goes there */
	double seconds;  /* for all of it, about */
	unsigned rounds; /* at each point; 0: as many as there is time for */
	double round_seconds, warmup_seconds;
	unsigned starts; /* how often each server is started anew at each point */
	double confidence, margin;
	double steal_max; /* a round with more is made again */
	uint64_t seed;
	bool is_quiet; /* no progress */
};

#endif /* BENCH_COMPARE_COMPARISON_H */
