/* SPDX-License-Identifier: MIT */
/*
 * The list of engines. The only place that names them all.
 */
#include "backends/backends.h"

const struct rota_backend_ops *const rota_backends[] = {
	&rota_backend_uring,
	&rota_backend_epoll,
	&rota_backend_sim, /* chosen by name only */
	NULL,
};
