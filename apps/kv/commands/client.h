/* SPDX-License-Identifier: MIT */
/*
 * Names of connections. Application layer of rota-kv; on the session's reactor.
 */
#ifndef KV_COMMANDS_CLIENT_H
#define KV_COMMANDS_CLIENT_H

#include "apps/kv/kv.h"

#define KV_ERR_NAME "ERR Client names cannot contain spaces, newlines or special characters."

/* Whether a name has only visible ASCII, so that a line of CLIENT LIST stays one. */
bool kv_label_is_valid(struct rota_view label);

/* Give the connection a name; an empty one takes it away. False: no memory. */
bool kv_client_set_name(struct kv_client *client, struct rota_view name);

#endif /* KV_COMMANDS_CLIENT_H */
