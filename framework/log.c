/* SPDX-License-Identifier: MIT */
/*
 * Log lines and their rate limit. Any thread.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rota/log.h>

#define LINE_BYTES_MAX 1024
#define REPEAT_INTERVAL_NS ROTA_NS_PER_S

static const char *const level_names[] = { "debug", "info", "warning", "error" };

/* Set at start-up, before the threads that read it. */
static enum rota_log_level least_level = ROTA_LOG_INFO;
static rota_log_fn log_sink;
static void *log_sink_arg;

void rota_log_to(enum rota_log_level least, rota_log_fn sink, void *arg)
{
	least_level = least;
	log_sink = sink;
	log_sink_arg = arg;
}

/* `line` has room for one more character at `bytes`: the newline. */
static void write_to_stderr(char *line, size_t bytes)
{
	line[bytes++] = '\n';
	while (write(STDERR_FILENO, line, bytes) < 0 && errno == EINTR)
		;
}

void rota_log(enum rota_log_level level, const char *format, ...)
{
	char line[LINE_BYTES_MAX + 1];
	int saved_errno = errno;
	size_t used;
	va_list args;
	int bytes;

	if (level < least_level)
		return;
	used = log_sink ? 0
			: (size_t)snprintf(line, LINE_BYTES_MAX, "rota: %s: ", level_names[level]);
	va_start(args, format);
	bytes = vsnprintf(line + used, LINE_BYTES_MAX - used, format, args);
	va_end(args);
	used += bytes < 0 ? 0 : rota_min_size((size_t)bytes, LINE_BYTES_MAX - used - 1);
	if (log_sink)
		log_sink(level, line, log_sink_arg);
	else
		write_to_stderr(line, used);
	errno = saved_errno;
}

bool rota_log_limit_pass(struct rota_log_limit *limit, uint64_t *repeats)
{
	rota_ns now = rota_now();
	rota_ns quiet_until = __atomic_load_n(&limit->quiet_until_, __ATOMIC_RELAXED);

	/*
	 * The winner of the exchange speaks; relaxed, because only the numbers themselves are
	 * shared.
	 */
	if (now < quiet_until || !__atomic_compare_exchange_n(&limit->quiet_until_, &quiet_until,
							      now + REPEAT_INTERVAL_NS, false,
							      __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		__atomic_fetch_add(&limit->suppressed_, 1, __ATOMIC_RELAXED);
		return false;
	}
	*repeats = __atomic_exchange_n(&limit->suppressed_, 0, __ATOMIC_RELAXED);
	return true;
}
