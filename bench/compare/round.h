/* SPDX-License-Identifier: MIT */
/*
 * A round: load for a moment, and what it cost the server. Layer: bench/compare; a task of the one
 * reactor.
 *
 * The one idea: the client waits until nothing is in flight before it says what it did, so both
 * readings of the server's counters are of a server that sleeps, and exact.
 */
#ifndef BENCH_COMPARE_ROUND_H
#define BENCH_COMPARE_ROUND_H

#include <jansson.h>

#include "bench/compare/child.h"
#include "bench/compare/comparison.h"
#include "bench/compare/procfs.h"

struct round {
	/* caller sets */
	struct child *load;
	struct child *server;    /* the same where there is no client */
	bool answers;            /* "stats" */
	const struct cpus *cpus; /* that the server may use */
	unsigned load_reactors;
	const struct comparison *comparison;
	const struct point *point;
	/* out, when it fails: with -EPROTO a sentence; otherwise who failed, with what */
	char why[CHILD_WHY_BYTES];
	struct child *failed;
	const char *failed_name;
	int failed_status;
};

/*
 * Warm up, run, and read. Returns 0 and `*figures` (owned; besides the figures of the result's
 * format "histogram", the client's), -EPROTO (there were errors, or somebody does not say what it
 * should), -EIO (somebody failed), -ECANCELED or -ENOMEM. Suspends.
 */
ROTA_MUST_USE ROTA_SUSPENDS int round_run(struct round *round, json_t **figures);

#endif /* BENCH_COMPARE_ROUND_H */
