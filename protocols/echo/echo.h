/* SPDX-License-Identifier: MIT */
/*
 * Echo: every byte comes back. The smallest protocol there is, for measuring what the framework
 * itself costs. Protocol layer; called on the session's reactor.
 */
#ifndef ROTA_ECHO_H
#define ROTA_ECHO_H

#include <rota/protocol.h>

#ifdef __cplusplus
extern "C" {
#endif

extern ROTA_API const struct rota_protocol rota_echo_protocol;

#ifdef __cplusplus
}
#endif

#endif /* ROTA_ECHO_H */
