/* SPDX-License-Identifier: MIT */
/*
 * The flight recorders' file: written by the process itself, when it crashes or is asked by a
 * signal. Any thread; all that runs in a handler is async-signal-safe.
 *
 * Process-wide, since handlers are: where the file goes, who handled the signals before, and how
 * many threads are looking at the reactors now.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "framework/reactor_internal.h"
#include "framework/system.h"

/* Records written at once; fits into any handler's stack. */
#define WORDS_AT_ONCE 256

static const int crash_signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };

static char path_pattern[ROTA_RECORD_PATH_BYTES];
static struct sigaction before[ROTA_ARRAY_COUNT(crash_signals)];
static uint32_t is_saving; /* atomic: 1 while a file is written, so that two do not mix */
static uint32_t was_asked; /* atomic: rota_recorder_save_to was called */
static uint32_t savers;    /* atomic: threads that look at the reactors */

/* ---- writing ---- */

static int write_all(int fd, const void *data, size_t bytes)
{
	const char *at = data;

	while (bytes) {
		ssize_t written = write(fd, at, bytes);

		if (written < 0 && errno != EINTR)
			return -errno;
		if (written > 0) {
			at += written;
			bytes -= (size_t)written;
		}
	}
	return 0;
}

static int write_words(int fd, const struct recorder *recorder, uint64_t first, uint64_t count)
{
	uint64_t words[WORDS_AT_ONCE];
	int status = 0;

	for (uint64_t done = 0; done < count && status == 0;) {
		uint64_t some = rota_min_size(count - done, WORDS_AT_ONCE);

		for (uint64_t i = 0; i < some; i++)
			words[i] = __atomic_load_n(
				&recorder->words[(first + done + i) & recorder->mask],
				__ATOMIC_ACQUIRE); /* before the last look at the head is */
		status = write_all(fd, words, some * sizeof(*words));
		done += some;
	}
	return status;
}

static int write_reactor(int fd, const struct rota_reactor *reactor, uint32_t slot)
{
	const struct recorder *recorder = &reactor->recorder;
	/* partner: rota__recorder_write */
	uint64_t end = __atomic_load_n(&recorder->head, __ATOMIC_ACQUIRE);
	struct rota_record_file_reactor head = {
		.slot = slot, /* it may not know it yet */
		.index = reactor->index,
		.is_simulated = reactor->is_simulated,
		.kept = recorder->mask + 1,
	};
	uint64_t after;
	int status;

	if (!recorder->labels)
		return 0;
	head.count = end < head.kept ? end : head.kept;
	head.first = end - head.count;
	status = write_all(fd, &head, sizeof(head));
	/* A label that is being made now is named by no record yet. */
	if (status == 0)
		status = write_all(fd, recorder->labels,
				   ROTA_RECORD_LABELS * sizeof(*recorder->labels));
	if (status == 0)
		status = write_words(fd, recorder, head.first, head.count);
	after = __atomic_load_n(&recorder->head, __ATOMIC_RELAXED);
	return status < 0 ? status : write_all(fd, &after, sizeof(after));
}

int rota_recorder_save(int fd, int signal)
{
	struct rota_record_file head = {
		.magic = ROTA_RECORD_FILE_MAGIC,
		.pid = (uint32_t)getpid(),
		.signal = (uint32_t)signal,
		.now = rota__clock_ns(CLOCK_MONOTONIC),
		.wall_ns = rota__clock_ns(CLOCK_REALTIME),
		.label_bytes = sizeof(struct rota_record_label),
		.labels_count = ROTA_RECORD_LABELS,
	};
	int status = write_all(fd, &head, sizeof(head));

	/*
	 * Count ourselves before we look, as whoever takes a reactor away waits after he has taken
	 * it off the table: one sees the other. Partners: rota_reactor_destroy,
	 * rota__recorder_wait_for_savers.
	 */
	__atomic_fetch_add(&savers, 1, __ATOMIC_SEQ_CST);
	for (uint32_t slot = 0; slot < ROTA_REACTORS_MAX && status == 0; slot++) {
		const struct rota_reactor *reactor = __atomic_load_n(&rota__reactors[slot],
								     __ATOMIC_SEQ_CST);

		if (reactor)
			status = write_reactor(fd, reactor, slot);
	}
	__atomic_fetch_sub(&savers, 1, __ATOMIC_SEQ_CST);
	return status;
}

void rota__recorder_wait_for_savers(void)
{
	/* A few writes of theirs; rare. Partner: rota_recorder_save. */
	while (__atomic_load_n(&savers, __ATOMIC_SEQ_CST))
		sched_yield();
}

/* ---- the file's name ---- */

/* The pattern with its % replaced; false: another %, or too long. Async-signal-safe. */
static bool make_path(const char *pattern, char path[ROTA_RECORD_PATH_BYTES])
{
	size_t at = 0;

	for (; *pattern; pattern++) {
		char digits[12] = { *pattern };
		size_t count = 1;

		if (*pattern == '%' && *++pattern != '%') {
			if (*pattern != 'p')
				return false;
			count = 0;
			for (long pid = getpid(); pid > 0; pid /= 10)
				digits[count++] = (char)('0' + pid % 10);
		}
		if (at + count >= ROTA_RECORD_PATH_BYTES)
			return false;
		while (count) /* a number's last digit is first */
			path[at++] = digits[--count];
	}
	path[at] = '\0';
	return true;
}

void rota__recorder_save(int signal)
{
	char path[ROTA_RECORD_PATH_BYTES];
	int saved_errno = errno;
	int fd;

	/* partner: rota_recorder_save_to */
	if (!__atomic_load_n(&was_asked, __ATOMIC_ACQUIRE) || !make_path(path_pattern, path))
		return;
	if (__atomic_exchange_n(&is_saving, 1, __ATOMIC_ACQ_REL)) /* partner: the store below */
		return;
	/* What others have put there for us to write into is not followed. */
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0) {
		rota_ignore(rota_recorder_save(fd, signal), "what is written is good");
		close(fd);
	}
	__atomic_store_n(&is_saving, 0, __ATOMIC_RELEASE); /* partner: the exchange above */
	errno = saved_errno;
}

/* ---- signals ---- */

static void asked(int signal)
{
	rota__recorder_save(signal);
}

/* Then it is whoever's before us: a fault repeats on return, what was sent is sent again. */
static void crashed(int signal, siginfo_t *info, void *ucontext)
{
	(void)ucontext;
	rota__recorder_save(signal);
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(crash_signals); i++)
		if (crash_signals[i] == signal)
			sigaction(signal, &before[i], NULL);
	if (info->si_code <= 0)
		raise(signal); /* blocked until we return */
}

int rota_recorder_save_to(const char *path)
{
	struct sigaction ask = { .sa_handler = asked, .sa_flags = SA_RESTART | SA_ONSTACK };
	struct sigaction crash = { .sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	char made[ROTA_RECORD_PATH_BYTES];
	int status = 0;

	if (strlen(path) >= sizeof(path_pattern))
		return -ENAMETOOLONG;
	if (!*path || !make_path(path, made))
		return -EINVAL;
	if (__atomic_load_n(&was_asked, __ATOMIC_ACQUIRE))
		return -EALREADY;
	memcpy(path_pattern, path, strlen(path) + 1);
	__atomic_store_n(&was_asked, 1, __ATOMIC_RELEASE); /* partner: rota__recorder_save */
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(crash_signals) && status == 0; i++)
		status = sigaction(crash_signals[i], &crash, &before[i]) ? -errno : 0;
	if (status == 0 && sigaction(SIGUSR2, &ask, NULL))
		status = -errno;
	return status;
}
