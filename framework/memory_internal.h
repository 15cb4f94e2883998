/* SPDX-License-Identifier: MIT */
/*
 * Memory for what other threads write into: aligned to ROTA_ISOLATION_BYTES, which rota_alloc, no
 * better than malloc, does not promise. Internal to framework/; any thread.
 */
#ifndef ROTA_MEMORY_INTERNAL_H
#define ROTA_MEMORY_INTERNAL_H

#include <stddef.h>

#include <rota/base.h>

/* Zeroed memory, its start and end isolated from other blocks, or NULL. Owned. */
ROTA_MUST_USE void *rota__calloc_isolated(size_t bytes);

/* Give back what rota__calloc_isolated returned. */
void rota__free_isolated(void *memory);

/* What rota_alloc_is_shared says. */
extern __thread bool rota__alloc_is_shared __attribute__((tls_model("initial-exec")));

#endif /* ROTA_MEMORY_INTERNAL_H */
