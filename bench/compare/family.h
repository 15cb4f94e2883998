/* SPDX-License-Identifier: MIT */
/*
 * Many comparisons in one report: which calls stand beside the others. Layer: bench/compare;
 * start-up and after.
 *
 * The one idea: who looks at eighty comparisons will see some that are chance. So "less" and "more"
 * are called only of as many as keep what is chance among them to one in twenty (at 95 %
 * confidence), figure by figure: what always differs, such as system calls, is to make no call of
 * another figure easier.
 */
#ifndef BENCH_COMPARE_FAMILY_H
#define BENCH_COMPARE_FAMILY_H

#include <jansson.h>

#include <rota/base.h>

/*
 * Set "call" of every comparison of `result` from what it is called alone, "call_alone", and its
 * chance, "p"; one that does not stand is undecided. And the member "calls" of the result: how many
 * were compared, how many called different, and how many would be alone. May be called again when
 * points have come. Returns 0 or -ENOMEM.
 */
ROTA_MUST_USE int family_correct(json_t *result, double confidence);

#endif /* BENCH_COMPARE_FAMILY_H */
