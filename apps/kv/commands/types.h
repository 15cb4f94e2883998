/* SPDX-License-Identifier: MIT */
/*
 * Names of value types. Application layer of rota-kv; any thread.
 */
#ifndef KV_COMMANDS_TYPES_H
#define KV_COMMANDS_TYPES_H

#include "apps/kv/store/entry.h"

/* As TYPE has it. Static string. */
const char *kv_type_name(enum kv_type type);

#endif /* KV_COMMANDS_TYPES_H */
