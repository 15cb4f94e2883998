/* SPDX-License-Identifier: MIT */
/*
 * The engines built in, for programs to hand to the framework, which knows none of them. Installed
 * as <rota/backends.h>.
 */
#ifndef ROTA_BACKENDS_H
#define ROTA_BACKENDS_H

#include <rota/backend.h>

#ifdef __cplusplus
extern "C" {
#endif

extern ROTA_API const struct rota_backend_ops rota_backend_epoll;
extern ROTA_API const struct rota_backend_ops rota_backend_sim;
extern ROTA_API const struct rota_backend_ops rota_backend_uring;

/* All of them, best first, ended by NULL: what rota_engine_choose and rota_serve take. */
extern ROTA_API const struct rota_backend_ops *const rota_backends[];

#ifdef __cplusplus
}
#endif

#endif /* ROTA_BACKENDS_H */
