/* SPDX-License-Identifier: MIT */
/*
 * From batches of parsed requests to commands: the `execute` slot of the RESP service. Application
 * layer of rota-kv; on the session's reactor.
 */
#ifndef KV_EXECUTE_H
#define KV_EXECUTE_H

#include "protocols/resp/resp.h"

/* See struct rota_resp_service. Suspends when a shard or the gate cannot be had. */
int kv_execute(struct rota_session *session, const struct rota_resp_request *requests, int count);

#endif /* KV_EXECUTE_H */
