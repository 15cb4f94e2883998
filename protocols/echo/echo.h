/* SPDX-License-Identifier: MIT */
/*
 * Echo: every byte comes back. The smallest protocol there is, for measuring what the framework
 * itself costs. Protocol layer; called on the session's reactor.
 */
#ifndef ROTA_ECHO_H
#define ROTA_ECHO_H

#include <rota/protocol.h>

extern const struct rota_protocol rota_echo_protocol;

#endif /* ROTA_ECHO_H */
