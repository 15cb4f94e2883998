/* SPDX-License-Identifier: MIT */
/* The probe's self-tests of what the engine uses unless told not to; see trials.h. Any thread. */
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rota/error.h>

#include "backends/uring/trials.h"

#define TRIAL_ACCEPT 1 /* user_data */

/*
 * Submit what was prepared and take one completion. Returns 0 or negative errno, -ETIME when none
 * came.
 */
int uring__trial_run(struct trial *trial, int32_t *result, uint32_t *flags)
{
	struct __kernel_timespec timeout = { .tv_sec = TRIAL_TIMEOUT_S };
	struct io_uring_cqe *cqe;
	int status = io_uring_submit(&trial->ring);

	if (status >= 0)
		status = io_uring_wait_cqe_timeout(&trial->ring, &cqe, &timeout);
	if (status < 0)
		return status;
	*result = cqe->res;
	*flags = cqe->flags;
	io_uring_cqe_seen(&trial->ring, cqe);
	return 0;
}

char *uring__trial_data(const struct trial *trial)
{
	return (char *)trial->memory + TRIAL_BUFFERS_AT;
}

int uring__trial_buffers(struct trial *trial, uint16_t flags)
{
	struct io_uring_buf_ring *ring = trial->memory;
	struct uring_buffer_registration registration = {
		.ring_address = (uintptr_t)ring,
		.entries = 2,
		.flags = flags,
	};
	int status;

	memset(ring, 0, 2 * sizeof(struct io_uring_buf));
	status = io_uring_register_buf_ring(&trial->ring, (void *)&registration, 0);
	if (status < 0)
		return status;
	for (uint16_t i = 0; i < 2; i++)
		io_uring_buf_ring_add(ring, uring__trial_data(trial) + i * TRIAL_BUFFER_BYTES,
				      TRIAL_BUFFER_BYTES, i, 1, i);
	io_uring_buf_ring_advance(ring, 2);
	return 0;
}

struct io_uring_sqe *uring__trial_receive(struct trial *trial, int fd, uint16_t flags)
{
	/* Each test waits for what it submits: there is room. */
	struct io_uring_sqe *sqe = io_uring_get_sqe(&trial->ring);

	io_uring_prep_recv(sqe, fd, NULL, 0, 0);
	sqe->ioprio |= flags;
	sqe->flags |= IOSQE_BUFFER_SELECT;
	return sqe;
}

int uring__trial_pair(int sockets[2])
{
	int status = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets);

	return status < 0 ? -errno : 0;
}

int uring__try_buffer_ring(struct trial *trial)
{
	int status = uring__trial_buffers(trial, 0);

	return status < 0 ? status : io_uring_unregister_buf_ring(&trial->ring, 0);
}

/* One byte through a socket pair must arrive in a buffer, with the receive still going on. */
static int receive_one(struct trial *trial)
{
	const uint32_t expected_flags = IORING_CQE_F_BUFFER | IORING_CQE_F_MORE;
	uint32_t flags = 0;
	int32_t result = 0;
	int sockets[2], status = uring__trial_pair(sockets);

	if (status < 0)
		return status;
	uring__trial_receive(trial, sockets[0], IORING_RECV_MULTISHOT);
	if (write(sockets[1], "x", 1) != 1)
		status = -EIO; /* an empty socket of our own */
	if (status == 0)
		status = uring__trial_run(trial, &result, &flags);
	if (status == 0 && result < 0)
		status = result;
	if (status == 0 && (result != 1 || (flags & expected_flags) != expected_flags))
		status = -EINVAL;
	/* The end of file ends the receive, if it is one that goes on. */
	close(sockets[1]);
	if (status == 0)
		status = uring__trial_run(trial, &result, &flags);
	close(sockets[0]);
	return status;
}

int uring__try_multishot_receive(struct trial *trial)
{
	int status = uring__trial_buffers(trial, 0);

	if (status < 0)
		return status;
	status = receive_one(trial);
	rota_ignore(io_uring_unregister_buf_ring(&trial->ring, 0),
		    "the ring goes away after the tests");
	return status;
}

/* A listener without a name in the file system: the kernel picks an abstract one. */
static int open_listener(struct sockaddr_un *address, socklen_t *address_bytes)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error;

	if (fd < 0)
		return -errno;
	address->sun_family = AF_UNIX;
	if (bind(fd, (struct sockaddr *)address, sizeof(address->sun_family)) == 0 &&
	    listen(fd, 1) == 0 && getsockname(fd, (struct sockaddr *)address, address_bytes) == 0)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

/* One connection must be accepted with the accept still going on; it is then cancelled. */
static int accept_one(struct trial *trial, int listener)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&trial->ring);
	uint32_t flags;
	int32_t result;
	int status;

	io_uring_prep_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	sqe->ioprio |= IORING_ACCEPT_MULTISHOT;
	sqe->user_data = TRIAL_ACCEPT;
	status = uring__trial_run(trial, &result, &flags);
	if (status < 0)
		return status;
	if (result < 0)
		return result;
	close(result);
	if (!(flags & IORING_CQE_F_MORE))
		return -EINVAL;
	sqe = io_uring_get_sqe(&trial->ring);
	io_uring_prep_cancel64(sqe, TRIAL_ACCEPT, 0);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	return uring__trial_run(trial, &result, &flags);
}

int uring__try_multishot_accept(struct trial *trial)
{
	struct sockaddr_un address;
	socklen_t address_bytes = sizeof(address);
	int listener = open_listener(&address, &address_bytes);
	int client, status = 0;

	if (listener < 0)
		return listener;
	client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (client < 0 || connect(client, (struct sockaddr *)&address, address_bytes) < 0)
		status = -errno;
	if (status == 0)
		status = accept_one(trial, listener);
	if (client >= 0)
		close(client);
	close(listener);
	return status;
}

int uring__try_registered_ring(struct trial *trial)
{
	int status = io_uring_register_ring_fd(&trial->ring);

	if (status < 0)
		return status;
	return io_uring_unregister_ring_fd(&trial->ring) < 0 ? -EINVAL : 0;
}

/*
 * Enter only to wait, with a deadline that is over at once. Returns 0 when the kernel understood.
 */
static int wait_briefly(struct trial *trial, unsigned flags, uint32_t min_wait_us)
{
	struct __kernel_timespec timeout = { .tv_nsec = 1 };
	struct uring_enter_argument argument = {
		.signal_mask_bytes = URING_SIGNAL_SET_BYTES,
		.min_wait_us = min_wait_us,
		.timeout = (uintptr_t)&timeout,
	};
	int status = io_uring_enter2((unsigned)trial->ring.ring_fd, 0, 1,
				     IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | flags,
				     (sigset_t *)&argument, sizeof(argument));

	return status == -ETIME || status == -EINTR || status >= 0 ? 0 : status;
}

int uring__try_absolute_timers(struct trial *trial)
{
	return wait_briefly(trial, IORING_ENTER_ABS_TIMER, 0);
}

int uring__try_no_iowait(struct trial *trial)
{
	if (!(trial->ring.features & IORING_FEAT_NO_IOWAIT))
		return -EINVAL;
	return wait_briefly(trial, IORING_ENTER_NO_IOWAIT, 0);
}

int uring__try_min_wait(struct trial *trial)
{
	if (!(trial->ring.features & IORING_FEAT_MIN_TIMEOUT))
		return -EINVAL;
	return wait_briefly(trial, 0, 1);
}

/* Of no descriptor: who knows the request says EBADF, who does not EINVAL. */
int uring__try_truncate(struct trial *trial)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&trial->ring);
	int32_t result;
	uint32_t flags;
	int status;

	if (!sqe)
		return -EAGAIN;
	io_uring_prep_rw(URING_OPCODE_FTRUNCATE, sqe, -1, NULL, 0, 0);
	status = uring__trial_run(trial, &result, &flags);
	if (status < 0)
		return status;
	return result == -EBADF ? 0 : -EINVAL;
}
