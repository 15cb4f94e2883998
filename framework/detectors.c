/* SPDX-License-Identifier: MIT */
/*
 * What debug builds find of programmers' mistakes while a program runs. Any thread; what is counted
 * is the thread's own.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "framework/reactor_internal.h"

/* ---- short locks ---- */

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

/* ---- objects that are not there, or not here ---- */

void rota__die_of_use_after_end(const char *what, const char *call)
{
	char who[256];

	rota__describe_caller(who, sizeof(who));
	rota_log(ROTA_LOG_ERROR, "%s calls %s() on %s that is gone", who, call, what);
	abort();
}

void rota__die_of_use_elsewhere(const struct rota_reactor *home, const char *what, const char *call)
{
	char who[256];

	rota__describe_caller(who, sizeof(who));
	rota_log(ROTA_LOG_ERROR, "%s calls %s() on %s of reactor %u, from outside of it", who, call,
		 what, home->index);
	abort();
}

/* ---- blocking calls ---- */

/*
 * The library has functions named like the C library's that may put a thread, and with it all tasks
 * of a reactor, to sleep; the linker finds them first. They call the real ones, and look at the
 * kernel's count of the times this thread has gone to sleep by itself (getrusage(2), ru_nvcsw): so
 * a read that found its bytes is none, and one that had to wait for a disk is. They are weak: a
 * program's own function of such a name stays its own.
 */
#if ROTA_DEBUG /* tidy: allow conditional, release builds leave the C library's names alone */

/* One of those calls. */
struct blocking_call {
	const char *name;
	void *real; /* atomic: NULL until it is looked up */
	struct rota_log_limit limit;
};

#define NOT_IN_A_TASK (-1)

/* Also before the constructor below has run, in those of others. */
static void *find(struct blocking_call *call)
{
	/* Relaxed: all who look it up find the same. */
	void *real = __atomic_load_n(&call->real, __ATOMIC_RELAXED);

	if (ROTA_LIKELY(real != NULL))
		return real;
	real = dlsym(RTLD_NEXT, call->name);
	ROTA_ASSERT(real != NULL); /* a program linked statically has no other */
	__atomic_store_n(&call->real, real, __ATOMIC_RELAXED);
	return real;
}

/* How often this thread has gone to sleep; NOT_IN_A_TASK if that is nobody's concern. */
static long count_sleeps(void)
{
	struct rusage usage;

	if (!rota_task_current())
		return NOT_IN_A_TASK;
	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nvcsw;
}

/*
 * A descriptor that is to wait. Otherwise it is a lock of the kernel's that made it sleep, and not
 * for long; and nobody minds waiting for what people read.
 */
static bool waits(int fd)
{
	return fd != STDERR_FILENO && !(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

static void report(struct blocking_call *call, const void *caller)
{
	const struct rota_task *task = rota_task_current();
	char place[256];
	uint64_t repeats;

	task->reactor->stats.blocking_calls++;
	if (!rota_log_limit_pass(&call->limit, &repeats))
		return;
	rota__describe_code((const char *)caller - 1, place, sizeof(place));
	rota_log(ROTA_LOG_WARNING,
		 "task \"%s\" (%s:%d) has blocked its reactor in %s(), called from %s; "
		 "rota_offload() runs such calls elsewhere",
		 task->name, task->site->file, task->site->line, call->name, place);
	if (repeats)
		rota_log(ROTA_LOG_WARNING, "  %llu more call(s) of %s() were not reported",
			 (unsigned long long)repeats, call->name);
}

#define CALL(type, function, parameters, arguments, was_to_wait)                                   \
	static struct blocking_call function##_call = { .name = #function };
#include "framework/blocking.def"
#undef CALL

/* At start, because later it may be in a signal handler, where nothing may be looked up. */
__attribute__((constructor)) static void find_all(void)
{
#define CALL(type, function, parameters, arguments, was_to_wait) find(&function##_call);
#include "framework/blocking.def"
#undef CALL
}

#define CALL(type, function, parameters, arguments, was_to_wait)                                   \
	ROTA_API __attribute__((weak)) type function parameters                                    \
	{                                                                                          \
		type(*real) parameters = (type(*) parameters)find(&function##_call);               \
		long sleeps = count_sleeps();                                                      \
		type result = real arguments;                                                      \
		int error = errno;                                                                 \
                                                                                                   \
		if (sleeps != NOT_IN_A_TASK && count_sleeps() > sleeps && (was_to_wait))           \
			report(&function##_call, __builtin_return_address(0));                     \
		errno = error;                                                                     \
		return result;                                                                     \
	}
#include "framework/blocking.def"

#endif
