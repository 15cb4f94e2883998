/* SPDX-License-Identifier: MIT */
/* Foreign descriptors: waiting for them, reading and writing. Thread: a task's. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <rota/error.h>
#include <rota/net.h>

#include "framework/reactor_internal.h"

int rota_poll_fd(int fd, unsigned events)
{
	struct io io = { .op = { .kind = ROTA_OP_POLL, .fd = fd, .events = events } };

	return (int)rota__io_await(&io);
}

int64_t rota_read_fd(int fd, void *data, size_t bytes)
{
	int status = rota_check_cancelled();

	while (status >= 0) {
		ssize_t count = read(fd, data, bytes);

		if (count >= 0)
			return count;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		status = rota_poll_fd(fd, POLLIN);
	}
	return status;
}

/*
 * write(2) without the SIGPIPE, which is this thread's own: held back during the call, and taken
 * away if it was not there before (POSIX.1-2017, 2.4.1).
 */
static ssize_t write_without_signal(int fd, const char *data, size_t bytes)
{
	static const struct timespec no_time;
	sigset_t pipe_only, before, pending;
	ssize_t count;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
	sigpending(&pending);
	count = write(fd, data, bytes);
	if (count < 0) {
		int error = errno;

		if (error == EPIPE && !sigismember(&pending, SIGPIPE))
			while (sigtimedwait(&pipe_only, NULL, &no_time) < 0 && errno == EINTR)
				;
		count = -error;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return count;
}

int64_t rota_write_fd(int fd, const void *data, size_t bytes)
{
	size_t written = 0;
	int status = rota_check_cancelled();

	while (status >= 0 && written < bytes) {
		ssize_t count = write_without_signal(fd, (const char *)data + written,
						     bytes - written);

		if (count >= 0)
			written += (size_t)count;
		else if (count == -EAGAIN)
			status = rota_poll_fd(fd, POLLOUT);
		else if (count != -EINTR)
			status = (int)count;
	}
	return written || status >= 0 ? (int64_t)written : status;
}
