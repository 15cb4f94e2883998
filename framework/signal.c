/* SPDX-License-Identifier: MIT */
/* Signals by signalfd(2). Any thread to open and close; to wait, a task's. */
#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <rota/error.h>
#include <rota/net.h>
#include <rota/signal.h>

#include "framework/reactor_internal.h"

#define SIGNALS_MAX 64 /* Linux has signals 1 to 64 */

/*
 * Not to be blocked at all, or raised by what a thread does: blocked, those kill the process at
 * once.
 */
static bool can_be_waited_for(int number)
{
	switch (number) {
	case SIGKILL:
	case SIGSTOP:
	case SIGSEGV:
	case SIGBUS:
	case SIGFPE:
	case SIGILL:
		return false;
	default:
		return true;
	}
}

int rota_signals_open(struct rota_signals *signals, const int numbers[], unsigned count)
{
	sigset_t caught, before;
	int fd;

	sigemptyset(&caught);
	for (unsigned i = 0; i < count; i++)
		if (!can_be_waited_for(numbers[i]) || sigaddset(&caught, numbers[i]))
			return -EINVAL;
	fd = signalfd(-1, &caught, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	pthread_sigmask(SIG_BLOCK, &caught, &before);
	*signals = (struct rota_signals){ .fd_ = fd };
	for (int number = 1; number <= SIGNALS_MAX; number++)
		if (sigismember(&caught, number) > 0 && sigismember(&before, number) == 0)
			signals->unblock_ |= UINT64_C(1) << (number - 1);
	return 0;
}

/* The number of one that has come, 0 if none has, or negative errno. */
static int take_one(struct rota_signals *signals)
{
	struct signalfd_siginfo info;
	ssize_t bytes = read(signals->fd_, &info, sizeof(info));

	if (bytes == (ssize_t)sizeof(info))
		return (int)info.ssi_signo;
	return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

int rota_signals_next(struct rota_signals *signals)
{
	int status = rota_check_cancelled();

	if (rota__reactor()->is_simulated)
		return rota_sleep_until(ROTA_NEVER);
	while (status >= 0) {
		int number = take_one(signals);

		if (number)
			return number;
		status = rota_poll_fd(signals->fd_, POLLIN);
	}
	return status;
}

void rota_signals_close(struct rota_signals *signals)
{
	sigset_t unblock;

	while (take_one(signals) > 0)
		;
	close(signals->fd_);
	sigemptyset(&unblock);
	for (int number = 1; number <= SIGNALS_MAX; number++)
		if (signals->unblock_ >> (number - 1) & 1)
			sigaddset(&unblock, number);
	pthread_sigmask(SIG_UNBLOCK, &unblock, NULL);
}
