/* SPDX-License-Identifier: MIT */
/*
 * Memory that nobody may touch any more: filled with a pattern, and poisoned where AddressSanitizer
 * is there. Layer: tests.
 *
 * The one idea: a write is seen by the pattern in every build, a read only by the poison.
 */
#ifndef TESTS_CONTRACT_SCRIBBLE_H
#define TESTS_CONTRACT_SCRIBBLE_H

#include <stddef.h>

/* From now on nobody may touch it. */
void t_scribble(void *memory, size_t bytes);

/* Nobody has; it may be used and freed again. Fails the test otherwise. */
void t_check_scribble(void *memory, size_t bytes);

#endif /* TESTS_CONTRACT_SCRIBBLE_H */
