/* SPDX-License-Identifier: MIT */
/*
 * Latencies as an interval log that the tools of HdrHistogram read (HistogramLogAnalyzer,
 * HistogramLogProcessor, hdr-plot …). One thread at a time.
 */
#ifndef BENCH_LOAD_HDR_LOG_H
#define BENCH_LOAD_HDR_LOG_H

#include <rota/time.h>

#include "bench/load/histogram.h"

struct hdr_log;

/*
 * Begin a log at `path`; `wall_ns` is the time of day when the first interval begins. Returns 0 and
 * `*out` (owned: hdr_log_close), or negative errno.
 */
ROTA_MUST_USE int hdr_log_open(const char *path, int64_t wall_ns, struct hdr_log **out);

/* An interval that began `start_ns` after the log and took `length_ns`. Returns 0 or -EIO. */
ROTA_MUST_USE int hdr_log_write(struct hdr_log *log, rota_ns start_ns, rota_ns length_ns,
				const struct histogram *histogram);

/* Returns 0, or negative errno when not all could be written. NULL is allowed. */
int hdr_log_close(struct hdr_log *log);

#endif
