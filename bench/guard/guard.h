/* SPDX-License-Identifier: MIT */
/*
 * The guards' scenarios: fixed work whose instructions callgrind counts, the same number in every
 * run. Belongs to bench/guard; one thread. See docs/design/0021-guards.md.
 */
#ifndef BENCH_GUARD_GUARD_H
#define BENCH_GUARD_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include <rota/base.h>

struct guard_scenario {
	const char *name;
	/* Do the work; returns how many operations were counted. */
	uint64_t (*run)(void);
};

/* Ended by a name of NULL. */
extern const struct guard_scenario guard_servers[];
extern const struct guard_scenario guard_primitives[];

/* One line to stderr, then exit: a scenario that does not do its work counts nothing. */
ROTA_NORETURN void guard_die(const char *format, ...) ROTA_PRINTF(1, 2);

/* `status` is negative: die, naming `what`. */
void guard_check(int64_t status, const char *what);

#endif /* BENCH_GUARD_GUARD_H */
