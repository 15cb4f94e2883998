/* SPDX-License-Identifier: MIT */
/*
 * What rota-load was asked to do. Start-up only.
 */
#ifndef BENCH_LOAD_OPTIONS_H
#define BENCH_LOAD_OPTIONS_H

#include <stdio.h>

#include <rota/address.h>
#include <rota/backend.h>

#include "bench/load/keys.h"

enum shape { SHAPE_REQUESTS, SHAPE_UPLOAD, SHAPE_DOWNLOAD, SHAPE_CHURN };

/* Names of shapes, in the order of the enum. */
extern const char *const shape_names[];

struct protocol;

/* Lent texts: those of the command line. */
struct options {
	const struct protocol *protocol;
	enum shape shape;
	const char *target; /* as given */
	struct rota_address address;
	uint32_t connections;
	uint32_t idle;
	uint32_t depth;
	uint32_t reactors;
	uint32_t payload_bytes;                    /* echo, and pieces of an upload */
	uint32_t value_bytes_min, value_bytes_max; /* resp, memcached */
	uint32_t sets, gets;
	uint32_t keys;
	enum distribution distribution;
	double distribution_parameter;
	const char *path; /* http1 */
	rota_ns duration_ns;
	rota_ns warmup_ns;
	rota_ns timeout_ns; /* without a reply */
	double rate;        /* requests per second over all connections; 0: closed loop */
	bool poisson;
	uint32_t burst; /* open loop: requests due together */
	uint32_t queue; /* open loop: requests that are due and find no connection */
	uint64_t seed;
	bool check, prefill, quiet, steered;
	const char *backend;
	const char *json_path; /* "-": standard output; NULL: none */
	const char *hdr_path;  /* NULL: none */
};

/* What a command line can end in. */
enum options_result { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_WRONG };

/*
 * Read the command line. OPTIONS_DONE: --help or --version was printed; OPTIONS_WRONG: what is
 * wrong was said on standard error, in one line.
 */
enum options_result options_parse(struct options *options, int argc, char **argv);

/* The text of --help. */
void options_print_help(FILE *out);

#endif
