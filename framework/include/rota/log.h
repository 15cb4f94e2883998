/* SPDX-License-Identifier: MIT */
/*
 * Log lines: few, for operators. Any thread; a line is written whole, with one write(2). What can
 * repeat without bound is logged through a rota_log_limit, which says a thing once and then how
 * often it happened again.
 */
#ifndef ROTA_LOG_H
#define ROTA_LOG_H

#include <rota/base.h>
#include <rota/time.h>

#ifdef __cplusplus
extern "C" {
#endif

enum rota_log_level {
	ROTA_LOG_DEBUG,
	ROTA_LOG_INFO,
	ROTA_LOG_WARNING,
	ROTA_LOG_ERROR,
};

/*
 * Called with one finished line without newline; `line` is borrowed. Must be callable from any
 * thread.
 */
typedef void (*rota_log_fn)(enum rota_log_level level, const char *line, void *arg);

/*
 * Send lines of `least` and above to `sink` from now on; NULL: to standard error. Without this call
 * it is ROTA_LOG_INFO and standard error. Start-up only.
 */
ROTA_API void rota_log_to(enum rota_log_level least, rota_log_fn sink, void *arg);

/* Write one line; longer than 1 KiB is cut. Never suspends, never fails, keeps errno. */
ROTA_API void rota_log(enum rota_log_level level, const char *format, ...) ROTA_PRINTF(2, 3);

/* One thing that may happen very often. Zero-initialised; may be shared by threads. */
struct rota_log_limit {
	rota_ns quiet_until_;
	uint64_t suppressed_;
};

/*
 * True when it is time to say it (at most once a second); `*repeats` is then how often it was kept
 * quiet since the last time.
 */
ROTA_API bool rota_log_limit_pass(struct rota_log_limit *limit, uint64_t *repeats);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_LOG_H */
