/* SPDX-License-Identifier: MIT */
/*
 * The other end of a child: lines on standard input, answers on standard output. What `serve` and
 * `work` are steered by. Layer: bench/compare; a task of reactor 0.
 */
#ifndef BENCH_COMPARE_CONTROL_H
#define BENCH_COMPARE_CONTROL_H

#include <rota/base.h>
#include <rota/reactor.h>

/* A line is a word and a number at most. */
#define CONTROL_LINE_BYTES 128

struct control {
	/* caller sets */
	/*
	 * The answer goes to standard output. Returns 0, or negative errno, which ends control_run.
	 */
	int (*take)(struct control *control, const char *line);
	/* those whose counters "stats" asks for; called on reactor 0 */
	unsigned (*reactors_count)(struct control *control);
	struct rota_reactor *(*reactor)(struct control *control, unsigned index);
};

/*
 * Take lines until there are no more. "stats" is answered here: the engines' counters, summed over
 * the reactors, as one line of JSON. All others go to `take`.
 * Returns 0, -EMSGSIZE (that was no line), -ECANCELED, what `take` returned, or another negative
 * errno. Suspends.
 */
ROTA_MUST_USE ROTA_SUSPENDS int control_run(struct control *control);

#endif /* BENCH_COMPARE_CONTROL_H */
