/* SPDX-License-Identifier: MIT */
/*
 * What debug builds find of programmers' mistakes while a program runs. Any thread; what is counted
 * is the thread's own.
 */
#include <stdlib.h>

#include <rota/log.h>

#include "framework/reactor_internal.h"

/* Locks that must not be held while a task waits. */
static __thread struct {
	int held;
	const char *file; /* where the last one was taken */
	int line;
} short_locks __attribute__((tls_model("initial-exec")));

void rota_debug_lock_count(int by, const char *file, int line)
{
	short_locks.held += by;
	ROTA_ASSERT(short_locks.held >= 0); /* released more often than taken */
	if (by > 0) {
		short_locks.file = file;
		short_locks.line = line;
	}
}

void rota__detect_before_suspending(const struct rota_task *task)
{
	if (ROTA_LIKELY(!short_locks.held))
		return;
	rota_log(ROTA_LOG_ERROR,
		 "task \"%s\" (%s:%d) waits while it holds a lock that others spin or block on, "
		 "taken at %s:%d",
		 task->name, task->site->file, task->site->line, short_locks.file,
		 short_locks.line);
	abort();
}
