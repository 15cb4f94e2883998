/* SPDX-License-Identifier: MIT */
/*
 * What io_uring can do here: one small self-test per feature on a ring of its own, and the
 * sentences that tell people. Any thread.
 *
 * The one idea: a version number proves nothing (vendors backport, containers forbid, kernels have
 * bugs), so everything is tried; the number in the table is for the sentence, and for tests that
 * pretend.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <rota/error.h>

#include "backends/uring/uring.h"

#define FLOOR_MAJOR 6
#define FLOOR_MINOR 1
#define TEST_TIMEOUT_S 1
#define TEST_MEMORY_BYTES 65536 /* ring entries and two buffers; a page of any port of ours */
#define TEST_BUFFER_BYTES 64
#define TEST_ACCEPT 1 /* user_data */
#define TEST_BUFFERS_AT (TEST_MEMORY_BYTES / 2)

struct trial {
	const struct uring_options *options;
	struct io_uring ring;
	void *memory;                    /* of the buffer rings under test */
	int errors[URING_FEATURE_COUNT]; /* what each test returned */
};

/*
 * A test returns 0 when the feature works, otherwise negative errno; -EINVAL stands for a kernel
 * that does not know it.
 */
static int test_buffer_ring(struct trial *trial);
static int test_multishot_accept(struct trial *trial);
static int test_multishot_receive(struct trial *trial);
static int test_registered_ring(struct trial *trial);
static int test_absolute_timers(struct trial *trial);
static int test_no_iowait(struct trial *trial);
static int test_min_wait(struct trial *trial);
static int test_truncate(struct trial *trial);

/* In the order of enum uring_feature. */
static const struct feature {
	const char *name;
	uint32_t since;
	bool is_floor;
	int (*test)(struct trial *trial);
} table[URING_FEATURE_COUNT] = {
	[URING_BUFFER_RING] = { "buffer ring", URING_KERNEL(5, 19), true, test_buffer_ring },
	[URING_MULTISHOT_ACCEPT] = { "multishot accept", URING_KERNEL(5, 19), true,
				     test_multishot_accept },
	[URING_MULTISHOT_RECEIVE] = { "multishot receive", URING_KERNEL(6, 0), true,
				      test_multishot_receive },
	[URING_REGISTERED_RING] = { "registered ring", URING_KERNEL(5, 18), false,
				    test_registered_ring },
	[URING_ABSOLUTE_TIMERS] = { "absolute timers", URING_KERNEL(6, 12), false,
				    test_absolute_timers },
	[URING_NO_IOWAIT] = { "no iowait", URING_KERNEL(6, 15), false, test_no_iowait },
	[URING_MIN_WAIT] = { "minimum wait", URING_KERNEL(6, 12), false, test_min_wait },
	[URING_TRUNCATE] = { "truncate", URING_KERNEL(6, 9), false, test_truncate },
};

/* ---- sentences ---- */

static ROTA_PRINTF(2, 3) void say(char text[ROTA_BACKEND_TEXT_BYTES], const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + used, ROTA_BACKEND_TEXT_BYTES - used, format, args);
	va_end(args);
}

/* The number that follows `key` in the file at `path`, or `otherwise`. */
static long read_number(const char *path, const char *key, long otherwise)
{
	FILE *file = fopen(path, "re");
	char line[256];
	long number = otherwise;

	if (!file)
		return otherwise;
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		number = strtol(line + strlen(key), NULL, 10);
		break;
	}
	fclose(file);
	return number;
}

/* io_uring is there for others, or was: who took it from us? */
static void say_forbidden(const char *call, int error, char text[ROTA_BACKEND_TEXT_BYTES])
{
	long disabled = read_number("/proc/sys/kernel/io_uring_disabled", "", 0);
	long group = read_number("/proc/sys/kernel/io_uring_group", "", -1);
	bool filtered = read_number("/proc/self/status", "Seccomp:", 0) == 2;

	if (disabled >= 2)
		say(text, "io_uring is switched off here (kernel.io_uring_disabled=2): "
			  "sysctl -w kernel.io_uring_disabled=0");
	else if (disabled == 1 && !filtered)
		say(text,
		    "io_uring is for privileged processes and group %ld only "
		    "(kernel.io_uring_disabled=1): run with that group, set kernel.io_uring_group, "
		    "or sysctl -w kernel.io_uring_disabled=0",
		    group);
	else if (filtered)
		say(text,
		    "a seccomp filter forbids %s (%s), as container runtimes do by default: allow "
		    "io_uring_setup, io_uring_enter and io_uring_register in its profile",
		    call, rota_error_name(error));
	else if (error == -ENOSYS)
		say(text,
		    "this kernel has no io_uring (ENOSYS): io_uring here needs Linux %d.%d or "
		    "newer, built with CONFIG_IO_URING",
		    FLOOR_MAJOR, FLOOR_MINOR);
	else
		say(text,
		    "%s is forbidden here (%s), probably by a security module: allow io_uring "
		    "for this process",
		    call, rota_error_name(error));
}

/* `what`: the kernel lacks it. */
static void say_too_old(const struct uring_options *options, const char *what,
			char text[ROTA_BACKEND_TEXT_BYTES])
{
	struct utsname system = { .release = "?" };

	uname(&system); /* fails for a bad pointer only */
	if (options->pretend_kernel)
		snprintf(system.release, sizeof(system.release), "%u.%u, pretended",
			 options->pretend_kernel >> 16, options->pretend_kernel & 0xffff);
	say(text,
	    "the kernel is too old for this engine: it has no %s; Linux %d.%d or newer is needed, "
	    "this is %s: upgrade",
	    what, FLOOR_MAJOR, FLOOR_MINOR, system.release);
}

static void say_setup_failed(const struct uring_options *options, int error,
			     char text[ROTA_BACKEND_TEXT_BYTES])
{
	switch (error) {
	case -EPERM:
	case -EACCES:
	case -ENOSYS:
		say_forbidden("io_uring_setup", error, text);
		break;
	case -EINVAL:
		say_too_old(options, "ring with the flags it wants (SINGLE_ISSUER, DEFER_TASKRUN)",
			    text);
		break;
	case -ENOMEM:
		say(text,
		    "no memory for the rings (sq=%u, cq=%u; ENOMEM): raise the limit on locked "
		    "memory (ulimit -l, LimitMEMLOCK=) or the memory cgroup's, or ask for less "
		    "with sq= and cq=",
		    options->sq_entries, options->cq_entries);
		break;
	case -EMFILE:
	case -ENFILE:
		say(text, "no descriptor left for a ring (%s): raise the limit (ulimit -n)",
		    rota_error_name(error));
		break;
	default:
		say(text, "io_uring_setup failed: %s (%s)", rota_strerror(error),
		    rota_error_name(error));
	}
}

static void say_floor_failed(const struct uring_options *options, const struct feature *feature,
			     int error, char text[ROTA_BACKEND_TEXT_BYTES])
{
	if (error == -EINVAL)
		say_too_old(options, feature->name, text);
	else if (error == -EPERM || error == -EACCES || error == -ENOSYS)
		say_forbidden("io_uring_register or io_uring_enter", error, text);
	else
		say(text, "io_uring's %s does not work here: %s (%s)", feature->name,
		    rota_strerror(error), rota_error_name(error));
}

/* ---- the probe ---- */

/* NULL when the options ask for it, otherwise why not. */
static const char *not_wanted(const struct uring_options *options, enum uring_feature feature)
{
	if (feature == URING_REGISTERED_RING && !options->registered_ring)
		return "registered-ring=off";
	if (feature == URING_NO_IOWAIT && options->iowait)
		return "iowait=on";
	if (feature == URING_MIN_WAIT && !options->min_wait_us)
		return "not asked for";
	return NULL;
}

static int try_feature(struct trial *trial, const struct feature *feature)
{
	uint32_t pretended = trial->options->pretend_kernel;

	return pretended && pretended < feature->since ? -EINVAL : feature->test(trial);
}

static void append(char list[ROTA_BACKEND_TEXT_BYTES], const struct feature *feature,
		   const char *reason, int error)
{
	say(list, "%s%s", *list ? ", " : "", feature->name);
	if (reason)
		say(list, " (%s)", reason);
	else if (error == -EINVAL)
		say(list, " (kernel < %u.%u)", feature->since >> 16, feature->since & 0xffff);
	else if (error)
		say(list, " (%s)", rota_error_name(error));
}

/* What to say when all have been tried: the features that are used, or what is missing. */
static int conclude(const struct trial *trial, uint32_t *features,
		    char text[ROTA_BACKEND_TEXT_BYTES])
{
	char on[ROTA_BACKEND_TEXT_BYTES] = "", off[ROTA_BACKEND_TEXT_BYTES] = "";
	const struct uring_options *options = trial->options;

	*features = 0;
	for (unsigned i = 0; i < URING_FEATURE_COUNT; i++) {
		const char *reason = not_wanted(options, (enum uring_feature)i);
		int status = trial->errors[i];

		if (status < 0 && table[i].is_floor) {
			say_floor_failed(options, &table[i], status, text);
			return status == -EINVAL ? -ENOSYS : status;
		}
		if (!reason && status == 0)
			*features |= URING_FEATURE_BIT(i);
		append(!reason && status == 0 ? on : off, &table[i], reason, status);
	}
	say(text, "sq=%u cq=%u buffers=%ux%u; on: %s; off: %s", trial->ring.sq.ring_entries,
	    trial->ring.cq.ring_entries, options->buffer_count, options->buffer_bytes, on,
	    *off ? off : "nothing");
	return 0;
}

/*
 * Try every feature. Returns 0, or negative errno when none could be tried, with the sentence in
 * `text`.
 */
static int try_features(struct trial *trial, char text[ROTA_BACKEND_TEXT_BYTES])
{
	struct io_uring_params parameters = {
		.flags = uring__setup_flags(trial->options),
		.cq_entries = trial->options->cq_entries,
	};
	uint32_t pretended = trial->options->pretend_kernel;
	int status = -EINVAL;

	if (!pretended || pretended >= URING_KERNEL(FLOOR_MAJOR, FLOOR_MINOR))
		status = uring__ring_map(&trial->ring, trial->options->sq_entries, &parameters);
	if (status < 0) {
		say_setup_failed(trial->options, status, text);
		return status;
	}
	trial->memory = mmap(NULL, TEST_MEMORY_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (trial->memory == MAP_FAILED) {
		status = -errno;
		say(text, "no memory to try io_uring with (%s)", rota_error_name(status));
	} else {
		for (unsigned i = 0; i < URING_FEATURE_COUNT; i++)
			trial->errors[i] = try_feature(trial, &table[i]);
		munmap(trial->memory, TEST_MEMORY_BYTES);
	}
	uring__ring_unmap(&trial->ring);
	return status;
}

int uring__probe(const struct uring_options *options, uint32_t *features,
		 char text[ROTA_BACKEND_TEXT_BYTES])
{
	struct trial trial = { .options = options };
	int status;

	text[0] = '\0';
	status = try_features(&trial, text);
	if (status < 0)
		return status == -EINVAL ? -ENOSYS : status;
	return conclude(&trial, features, text);
}

int uring__list_features(const struct uring_options *options, struct rota_backend_feature *out,
			 unsigned max)
{
	struct trial trial = { .options = options };
	char text[ROTA_BACKEND_TEXT_BYTES] = "";
	int status = try_features(&trial, text);
	unsigned count = max < URING_FEATURE_COUNT ? max : URING_FEATURE_COUNT;

	for (unsigned i = 0; i < count; i++) {
		out[i] = (struct rota_backend_feature){
			.name = table[i].name,
			.unwanted = not_wanted(options, (enum uring_feature)i),
			.kernel_major = (uint16_t)(table[i].since >> 16),
			.kernel_minor = (uint16_t)table[i].since,
			.is_required = table[i].is_floor,
			.error = status < 0 ? status : trial.errors[i],
		};
	}
	return (int)count;
}

/* ---- the tests ---- */

/*
 * Submit what was prepared and take one completion. Returns 0 or negative errno, -ETIME when none
 * came.
 */
static int run(struct trial *trial, int32_t *result, uint32_t *flags)
{
	struct __kernel_timespec timeout = { .tv_sec = TEST_TIMEOUT_S };
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

/* A buffer ring of two in the trial's memory, as group 0. */
static int register_buffers(struct trial *trial)
{
	struct io_uring_buf_ring *ring = trial->memory;
	struct io_uring_buf_reg registration = {
		.ring_addr = (uintptr_t)ring,
		.ring_entries = 2,
	};
	int status;

	memset(ring, 0, 2 * sizeof(struct io_uring_buf));
	status = io_uring_register_buf_ring(&trial->ring, &registration, 0);
	if (status < 0)
		return status;
	for (uint16_t i = 0; i < 2; i++)
		io_uring_buf_ring_add(ring, (char *)ring + TEST_BUFFERS_AT + i * TEST_BUFFER_BYTES,
				      TEST_BUFFER_BYTES, i, 1, i);
	io_uring_buf_ring_advance(ring, 2);
	return 0;
}

static int test_buffer_ring(struct trial *trial)
{
	int status = register_buffers(trial);

	return status < 0 ? status : io_uring_unregister_buf_ring(&trial->ring, 0);
}

/* One byte through a socket pair must arrive in a buffer, with the receive still going on. */
static int receive_one(struct trial *trial)
{
	const uint32_t expected_flags = IORING_CQE_F_BUFFER | IORING_CQE_F_MORE;
	struct io_uring_sqe *sqe;
	uint32_t flags = 0;
	int32_t result = 0;
	int sockets[2], status = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) < 0)
		return -errno;
	/* Each test waits for what it submits: there is room. */
	sqe = io_uring_get_sqe(&trial->ring);
	io_uring_prep_recv(sqe, sockets[0], NULL, 0, 0);
	sqe->ioprio |= IORING_RECV_MULTISHOT;
	sqe->flags |= IOSQE_BUFFER_SELECT;
	if (write(sockets[1], "x", 1) != 1)
		status = -EIO; /* an empty socket of our own */
	if (status == 0)
		status = run(trial, &result, &flags);
	if (status == 0 && result < 0)
		status = result;
	if (status == 0 && (result != 1 || (flags & expected_flags) != expected_flags))
		status = -EINVAL;
	/* The end of file ends the receive, if it is one that goes on. */
	close(sockets[1]);
	if (status == 0)
		status = run(trial, &result, &flags);
	close(sockets[0]);
	return status;
}

static int test_multishot_receive(struct trial *trial)
{
	int status = register_buffers(trial);

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
	sqe->user_data = TEST_ACCEPT;
	status = run(trial, &result, &flags);
	if (status < 0)
		return status;
	if (result < 0)
		return result;
	close(result);
	if (!(flags & IORING_CQE_F_MORE))
		return -EINVAL;
	sqe = io_uring_get_sqe(&trial->ring);
	io_uring_prep_cancel64(sqe, TEST_ACCEPT, 0);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	return run(trial, &result, &flags);
}

static int test_multishot_accept(struct trial *trial)
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

static int test_registered_ring(struct trial *trial)
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

static int test_absolute_timers(struct trial *trial)
{
	return wait_briefly(trial, IORING_ENTER_ABS_TIMER, 0);
}

static int test_no_iowait(struct trial *trial)
{
	if (!(trial->ring.features & IORING_FEAT_NO_IOWAIT))
		return -EINVAL;
	return wait_briefly(trial, IORING_ENTER_NO_IOWAIT, 0);
}

static int test_min_wait(struct trial *trial)
{
	if (!(trial->ring.features & IORING_FEAT_MIN_TIMEOUT))
		return -EINVAL;
	return wait_briefly(trial, 0, 1);
}

/* Of no descriptor: who knows the request says EBADF, who does not EINVAL. */
static int test_truncate(struct trial *trial)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&trial->ring);
	int32_t result;
	uint32_t flags;
	int status;

	if (!sqe)
		return -EAGAIN;
	io_uring_prep_rw(URING_OPCODE_FTRUNCATE, sqe, -1, NULL, 0, 0);
	status = run(trial, &result, &flags);
	if (status < 0)
		return status;
	return result == -EBADF ? 0 : -EINVAL;
}
