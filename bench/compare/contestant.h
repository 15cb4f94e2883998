/* SPDX-License-Identifier: MIT */
/*
 * One variant at one point: its server, the load client that speaks to that, and what they have
 * shown so far. Layer: bench/compare; a task of the one reactor.
 *
 * The one idea: a contestant whose round fails says why and is started anew; one that fails again
 * and again, or does not start, is passed over from then on. The others go on.
 */
#ifndef BENCH_COMPARE_CONTESTANT_H
#define BENCH_COMPARE_CONTESTANT_H

#include <stdbool.h>

#include <jansson.h>

#include "bench/compare/child.h"
#include "bench/compare/comparison.h"
#include "bench/compare/procfs.h"
#include "bench/load/histogram.h"

struct contestant {
	/* read-only */
	const struct variant *variant;
	bool has_failed;            /* it is passed over */
	bool did_not_start;         /* that is why: its server, which will not elsewhere either */
	unsigned failed_rounds;     /* also those after which it went on */
	char why[CHILD_WHY_BYTES];  /* the last that failed: a sentence; empty: nothing did */
	json_t *rounds;             /* an array of figures, one object per round kept */
	struct histogram latencies; /* of all of them */
	/* private */
	struct child server_; /* not started where the workload is in-process */
	struct child load_;   /* or what does both */
	unsigned port_;
};

/* It is known not to start, for that reason: it is passed over. */
void contestant_give_up(struct contestant *contestant, const char *why);

/* Take part in `point` as `variant`. Returns 0 or -ENOMEM. */
ROTA_MUST_USE int contestant_init(struct contestant *contestant, const struct variant *variant);
void contestant_fini(struct contestant *contestant);

/*
 * Start server and load client, warm them up, and pause them. Returns 0, also when that failed (it
 * is then marked), or -ECANCELED. Suspends.
 */
ROTA_MUST_USE ROTA_SUSPENDS int contestant_start(struct contestant *contestant,
						 const struct comparison *comparison,
						 const struct point *point);

/* End both. Harmless when they were not started. Suspends. */
ROTA_SUSPENDS void contestant_end(struct contestant *contestant);

/*
 * Let it run a round alone, after a warm-up. `*figures`: the round's (owned), NULL if it failed;
 * then it has been started anew, or is passed over. Returns as contestant_start. Suspends.
 */
ROTA_MUST_USE ROTA_SUSPENDS int contestant_round(struct contestant *contestant,
						 const struct comparison *comparison,
						 const struct point *point, json_t **figures);

/* Keep a round's figures, of the given start: takes them. Returns 0 or -ENOMEM. */
ROTA_MUST_USE int contestant_keep(struct contestant *contestant, json_t *figures, unsigned start);

#endif /* BENCH_COMPARE_CONTESTANT_H */
