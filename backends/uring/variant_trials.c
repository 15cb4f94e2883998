/* SPDX-License-Identifier: MIT */
/*
 * The probe's self-tests of the variants; see trials.h. Any thread.
 *
 * Each looks for the flaw that its feature has had in some kernel, and not only for the feature:
 * what the version is supposed to have mended is tried.
 */
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rota/error.h>

#include "backends/uring/trials.h"

static bool say(int fd, const char *text, size_t bytes, int flags)
{
	return send(fd, text, bytes, MSG_NOSIGNAL | flags) == (ssize_t)bytes;
}

/* Two at once. Returns 0 or negative errno. */
static int open_pairs(int first[2], int second[2])
{
	int status = uring__trial_pair(first);

	if (status < 0)
		return status;
	status = uring__trial_pair(second);
	if (status == 0)
		return 0;
	close(first[0]);
	close(first[1]);
	return status;
}

static void close_pair(int sockets[2])
{
	close(sockets[0]);
	close(sockets[1]);
}

/* A connected pair on the loopback device. Returns 0 or negative errno. */
static int open_tcp_pair(int sockets[2])
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t bytes = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int status = 0;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sockets[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	sockets[1] = -1;
	if (listener < 0 || sockets[0] < 0 || bind(listener, (void *)&address, bytes) < 0 ||
	    listen(listener, 1) < 0 || getsockname(listener, (void *)&address, &bytes) < 0 ||
	    connect(sockets[0], (void *)&address, bytes) < 0 ||
	    (sockets[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0) {
		status = -errno;
		if (sockets[0] >= 0)
			close(sockets[0]);
	}
	if (listener >= 0)
		close(listener);
	return status;
}

/* As uring__trial_run, for a completion that must not be a failure. */
static int run_well(struct trial *trial, int32_t *result, uint32_t *flags)
{
	int status = uring__trial_run(trial, result, flags);

	return status == 0 && *result < 0 ? *result : status;
}

/* ---- incremental buffers ---- */

/* The next completion must be of a part of the first buffer, and that part be `text`. */
static int expect_part(struct trial *trial, size_t at, const char *text)
{
	int32_t result;
	uint32_t flags;
	int status = run_well(trial, &result, &flags);

	if (status < 0)
		return status;
	if (result != (int32_t)strlen(text) || !(flags & IORING_CQE_F_BUF_MORE))
		return -EINVAL;
	return memcmp(uring__trial_data(trial) + at, text, strlen(text)) ? TRIAL_FLAWED : 0;
}

/*
 * Where a part is follows from the order of completions, and some kernels let those of receives
 * that go on overtake those of receives that end.
 */
static int receive_parts(struct trial *trial, int ends, int goes_on)
{
	int status;

	uring__trial_receive(trial, ends, 0);
	uring__trial_receive(trial, goes_on, IORING_RECV_MULTISHOT);
	status = expect_part(trial, 0, "ends");
	return status < 0 ? status : expect_part(trial, 4, "goes on");
}

int uring__try_incremental(struct trial *trial)
{
	int ends[2], goes_on[2], status;

	status = uring__trial_buffers(trial, URING_BUFFER_RING_INCREMENTAL);
	if (status < 0)
		return status;
	status = open_pairs(ends, goes_on);
	if (status < 0)
		return status;
	if (say(ends[1], "ends", 4, 0) && say(goes_on[1], "goes on", 7, 0))
		status = receive_parts(trial, ends[0], goes_on[0]);
	else
		status = -EIO;
	close_pair(ends);
	close_pair(goes_on);
	return status;
}

/* ---- bundles ---- */

/* More than one buffer holds must come at once, in the order of the ring. */
static int receive_bundle(struct trial *trial)
{
	char text[TRIAL_BUFFER_BYTES + 8];
	int sockets[2], status;
	int32_t result = 0;
	uint32_t flags;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('0' + i);
	status = uring__trial_pair(sockets);
	if (status < 0)
		return status;
	if (!say(sockets[1], text, sizeof(text), 0))
		status = -EIO;
	uring__trial_receive(trial, sockets[0], IORING_RECVSEND_BUNDLE);
	if (status == 0)
		status = run_well(trial, &result, &flags);
	close_pair(sockets);
	if (status < 0)
		return status;
	if (result != sizeof(text))
		return -EINVAL;
	return memcmp(uring__trial_data(trial), text, sizeof(text)) ? TRIAL_FLAWED : 0;
}

/*
 * Some kernels went on with the next buffer though this one was not full, as at a mark for urgent
 * data, and nobody could tell how the bytes were spread.
 */
static int receive_short(struct trial *trial)
{
	int sockets[2], on = 1, status;
	int32_t result = 0;
	uint32_t flags;

	status = open_tcp_pair(sockets);
	if (status < 0)
		return status;
	if (setsockopt(sockets[1], SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)) < 0 ||
	    !say(sockets[0], "four", 4, 0) || !say(sockets[0], "!", 1, MSG_OOB) ||
	    !say(sockets[0], "more", 4, 0))
		status = -EIO;
	uring__trial_receive(trial, sockets[1], IORING_RECVSEND_BUNDLE);
	if (status == 0)
		status = run_well(trial, &result, &flags);
	close_pair(sockets);
	if (status == 0 && (result != 4 || memcmp(uring__trial_data(trial), "four", 4)))
		return TRIAL_FLAWED;
	return status;
}

int uring__try_bundles(struct trial *trial)
{
	int status;

	if (!(trial->ring.features & IORING_FEAT_RECVSEND_BUNDLE))
		return -EINVAL;
	status = uring__trial_buffers(trial, 0);
	if (status == 0)
		status = receive_bundle(trial);
	if (status < 0)
		return status;
	/* Both buffers anew. */
	rota_ignore(io_uring_unregister_buf_ring(&trial->ring, 0), "registering again says so");
	status = uring__trial_buffers(trial, 0);
	return status < 0 ? status : receive_short(trial);
}

/* ---- direct descriptors ---- */

/* A connection whose slot has been emptied must end when its descriptor is closed. */
static int close_one(struct trial *trial, int sockets[2])
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&trial->ring);
	int none = -1, status;
	int32_t result;
	uint32_t flags;
	char byte;

	io_uring_prep_send(sqe, 1, "x", 1, MSG_NOSIGNAL);
	sqe->flags |= IOSQE_FIXED_FILE;
	status = uring__trial_run(trial, &result, &flags);
	if (status < 0 || result != 1)
		return status < 0 ? status : -EINVAL;
	status = io_uring_register_files_update(&trial->ring, 1, &none, 1);
	if (status != 1)
		return status < 0 ? status : -EINVAL;
	close(sockets[0]);
	sockets[0] = -1;
	if (recv(sockets[1], &byte, 1, 0) != 1)
		return -EINVAL;
	return recv(sockets[1], &byte, 1, 0) == 0 ? 0 : TRIAL_FLAWED;
}

/*
 * Kernels before 6.13 give back what was in a slot only when all requests that are older have
 * ended: a receive on another connection, which waits, keeps this one open.
 */
int uring__try_direct(struct trial *trial)
{
	int waits[2], closes[2], none[2] = { -1, -1 }, both[2], status;
	struct io_uring_sqe *sqe;

	status = open_pairs(waits, closes);
	if (status < 0)
		return status;
	both[0] = waits[0];
	both[1] = closes[0];
	status = io_uring_register_files(&trial->ring, none, 2);
	if (status == 0 && io_uring_register_files_update(&trial->ring, 0, both, 2) != 2)
		status = -EINVAL;
	if (status == 0) {
		sqe = io_uring_get_sqe(&trial->ring);
		io_uring_prep_recv(sqe, 0, trial->memory, TRIAL_BUFFER_BYTES, 0);
		sqe->flags |= IOSQE_FIXED_FILE;
		if (io_uring_submit(&trial->ring) != 1)
			status = -EINVAL;
	}
	if (status == 0)
		status = close_one(trial, closes);
	close_pair(waits);
	if (closes[0] >= 0)
		close(closes[0]);
	close(closes[1]);
	return status;
}

/* ---- sends ---- */

/* Result and notification, in that order. */
static int expect_notification(struct trial *trial)
{
	int32_t result;
	uint32_t flags;
	int status = run_well(trial, &result, &flags);

	if (status < 0)
		return status;
	if (!(flags & IORING_CQE_F_MORE))
		return -EINVAL;
	status = uring__trial_run(trial, &result, &flags);
	return status == 0 && !(flags & IORING_CQE_F_NOTIF) ? -EINVAL : status;
}

int uring__try_zero_copy(struct trial *trial)
{
	struct iovec piece = { trial->memory, TRIAL_BUFFER_BYTES };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	struct io_uring_sqe *sqe;
	int sockets[2], status;

	status = open_tcp_pair(sockets);
	if (status < 0)
		return status;
	sqe = io_uring_get_sqe(&trial->ring);
	io_uring_prep_send_zc(sqe, sockets[0], trial->memory, TRIAL_BUFFER_BYTES, MSG_NOSIGNAL, 0);
	status = expect_notification(trial);
	if (status == 0) {
		sqe = io_uring_get_sqe(&trial->ring);
		io_uring_prep_sendmsg_zc(sqe, sockets[0], &message, MSG_NOSIGNAL);
		status = expect_notification(trial);
	}
	close_pair(sockets);
	return status;
}

/* Submit a send as send-skip does. Returns its result, or `otherwise` when there is no CQE. */
static int32_t send_silently(struct trial *trial, int fd, size_t bytes, int32_t otherwise)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&trial->ring);
	struct io_uring_cqe *cqe;
	int32_t result = otherwise;

	io_uring_prep_send(sqe, fd, trial->memory, bytes,
			   MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	if (io_uring_submit(&trial->ring) != 1)
		return -EINVAL;
	/* What is there must be there now: nobody will wait for it. */
	if (io_uring_peek_cqe(&trial->ring, &cqe) == 0) {
		result = cqe->res;
		io_uring_cqe_seen(&trial->ring, cqe);
	}
	return result;
}

/* All, then as much as there is room for, then none: silence, a number, EAGAIN. */
int uring__try_send_skip(struct trial *trial)
{
	int sockets[2], room = 1, status;
	int32_t part;

	status = uring__trial_pair(sockets);
	if (status < 0)
		return status;
	rota_ignore(setsockopt(sockets[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)),
		    "then it takes more");
	if (send_silently(trial, sockets[0], 1, 0) != 0)
		status = -EINVAL;
	part = send_silently(trial, sockets[0], TRIAL_MEMORY_BYTES, 0);
	if (status == 0 && (part <= 0 || part >= TRIAL_MEMORY_BYTES))
		status = TRIAL_FLAWED;
	if (status == 0 && send_silently(trial, sockets[0], TRIAL_MEMORY_BYTES, 0) != -EAGAIN)
		status = TRIAL_FLAWED;
	close_pair(sockets);
	return status;
}

/* ---- busy polling ---- */

int uring__try_napi(struct trial *trial)
{
	struct uring_napi napi = { .busy_poll_us = 1 };
	unsigned fd = (unsigned)trial->ring.ring_fd;
	int status = io_uring_register(fd, URING_REGISTER_NAPI, &napi, 1);

	if (status < 0)
		return status;
	return io_uring_register(fd, URING_UNREGISTER_NAPI, &napi, 1);
}
