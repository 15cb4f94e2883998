/* SPDX-License-Identifier: MIT */
/*
 * Patterns as KEYS and SCAN take them. Leaf of rota-kv; a pure function.
 */
#ifndef KV_GLOB_H
#define KV_GLOB_H

#include <rota/buffer.h>

/*
 * Whether `text` matches `pattern`: `*`, `?`, `[a-z]`, `[^a]`, `\\x`, everything else itself.
 * `fold_case` compares letters without their case. Malformed patterns mean what they mean in Redis:
 * an open bracket lasts to the end, a lone backslash at the end is itself.
 */
bool kv_glob_matches(struct rota_view pattern, struct rota_view text, bool fold_case);

#endif /* KV_GLOB_H */
