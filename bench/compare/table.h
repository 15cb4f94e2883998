/* SPDX-License-Identifier: MIT */
/* A result on the terminal: to comparison->table. Layer: bench/compare. */
#ifndef BENCH_COMPARE_TABLE_H
#define BENCH_COMPARE_TABLE_H

#include <jansson.h>

#include "bench/compare/comparison.h"

/* What is compared, where, and who is left out. */
void table_print_head(const struct comparison *comparison);

/* A point: a line for each variant, what the rounds allow to be said, and notes. */
void table_print_point(const struct comparison *comparison, const json_t *point);

/* The verdict; how many claims there are, and how many of them chance alone may have made. */
void table_print_foot(const struct comparison *comparison, const json_t *result);

#endif /* BENCH_COMPARE_TABLE_H */
