/* SPDX-License-Identifier: MIT */
/*
 * The error convention: results are >= 0, errors are negative errno values, and nothing goes
 * through `errno` (it is per thread, and a task may be switched in between). Any thread.
 */
#ifndef ROTA_ERROR_H
#define ROTA_ERROR_H

#include <errno.h>

#include <rota/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What errno has no word for. Far above any errno of any Linux port (they end below 4096). */
#define ROTA_E_FIRST 5000
/* the peer broke the protocol; what was owed to it has been written */
#define ROTA_EPROTOCOL 5001
#define ROTA_ESTACK 5002    /* no stack could be mapped for a task */
#define ROTA_ENOENGINE 5003 /* no I/O engine works here; the log says why, one line each */
#define ROTA_ECLOSING 5004  /* the scope, channel or server takes no more: it is closing */

/*
 * The words for `error` (negative or positive errno or ROTA_E*). Returns a static string: borrowed
 * for ever, never NULL.
 */
ROTA_API const char *rota_strerror(int64_t error);

/* The name for `error`, as in "ECONNRESET", or "?" when it has none. Static string. */
ROTA_API const char *rota_error_name(int64_t error);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_ERROR_H */
