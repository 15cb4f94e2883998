/* SPDX-License-Identifier: MIT */
/*
 * Child processes. Thread: a task's.
 *
 * The end of a child is waited for through its pidfd, which no other code of the program can take
 * away, as it could SIGCHLD. Where the kernel or a filter gives none, the wait looks now and then.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rota/error.h>
#include <rota/net.h>
#include <rota/process.h>

#include "framework/reactor_internal.h"

#define GRACE_DEFAULT_NS (5 * ROTA_NS_PER_S)
/* Without a pidfd: how often to look, at first and later. Guesses. */
#define LOOK_FIRST_NS ROTA_NS_PER_MS
#define LOOK_LAST_NS (50 * ROTA_NS_PER_MS)
/* What communicate reads at once: as much as a pipe holds by default. */
#define READ_BYTES 65536

enum { STREAMS = 3 };

/* What is made while a child is started. */
struct start {
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int ours[STREAMS];   /* -1: no pipe */
	int theirs[STREAMS]; /* -1: no pipe */
};

/* ---- starting ---- */

static void close_all(int fds[STREAMS])
{
	for (int i = 0; i < STREAMS; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

/* Off the numbers 0 to 2, which in the child are written over one by one. */
static int move_up(int *fd)
{
	int moved;

	if (*fd >= STREAMS)
		return 0;
	moved = fcntl(*fd, F_DUPFD_CLOEXEC, STREAMS);
	if (moved < 0)
		return -errno;
	close(*fd);
	*fd = moved;
	return 0;
}

/* A pipe for stream `number`; our end does not block, theirs does, as programs expect. */
static int make_pipe(struct start *start, int number)
{
	int ends[2];
	int status;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	start->ours[number] = ends[number == STDIN_FILENO];
	start->theirs[number] = ends[number != STDIN_FILENO];
	status = move_up(&start->ours[number]);
	if (status == 0)
		status = move_up(&start->theirs[number]);
	if (status == 0 && fcntl(start->ours[number], F_SETFL, O_NONBLOCK))
		status = -errno;
	return status;
}

static int add_stream(struct start *start, int number, enum rota_process_stream stream)
{
	int status;

	switch (stream) {
	case ROTA_PROCESS_NULL:
		return -posix_spawn_file_actions_addopen(&start->actions, number, "/dev/null",
							 O_RDWR, 0);
	case ROTA_PROCESS_PIPE:
		status = make_pipe(start, number);
		if (status < 0)
			return status;
		return -posix_spawn_file_actions_adddup2(&start->actions, start->theirs[number],
							 number);
	case ROTA_PROCESS_OUTPUT:
		if (number != STDERR_FILENO)
			return -EINVAL;
		return -posix_spawn_file_actions_adddup2(&start->actions, STDOUT_FILENO, number);
	default:
		return 0;
	}
}

/* No signal blocked, as rota's own threads have; SIGPIPE as programs expect it. */
static int set_attributes(struct start *start, bool leads_group)
{
	short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
	sigset_t signals;
	int error;

	sigemptyset(&signals);
	error = posix_spawnattr_setsigmask(&start->attributes, &signals);
	sigaddset(&signals, SIGPIPE);
	if (!error)
		error = posix_spawnattr_setsigdefault(&start->attributes, &signals);
	if (leads_group)
		flags |= POSIX_SPAWN_SETPGROUP; /* group 0: one of its own */
	if (!error)
		error = posix_spawnattr_setflags(&start->attributes, flags);
	return -error;
}

static int prepare(struct start *start, const struct rota_process_options *options)
{
	int status = set_attributes(start, options->leads_group);

	if (status == 0)
		status = add_stream(start, STDIN_FILENO, options->input);
	if (status == 0)
		status = add_stream(start, STDOUT_FILENO, options->output);
	if (status == 0)
		status = add_stream(start, STDERR_FILENO, options->errors);
	if (status == 0 && options->directory)
		status = -posix_spawn_file_actions_addchdir_np(&start->actions, options->directory);
	return status;
}

static int spawn_child(const struct start *start, const struct rota_process_options *options,
		       pid_t *pid)
{
	const char *const *environment = options->environment;

	/* It does not write to what it is given; its type is older than const. */
	return -posix_spawnp(pid, options->argv[0], &start->actions, &start->attributes,
			     (char *const *)(uintptr_t)options->argv,
			     environment ? (char *const *)(uintptr_t)environment : environ);
}

int rota_process_open(struct rota_process *process, const struct rota_process_options *options)
{
	struct start start = { .ours = { -1, -1, -1 }, .theirs = { -1, -1, -1 } };
	int status = rota_check_cancelled();
	pid_t pid = 0;

	if (status < 0)
		return status;
	if (rota__reactor()->is_simulated)
		return -ENOTSUP;
	status = -posix_spawn_file_actions_init(&start.actions);
	if (status < 0)
		return status;
	status = -posix_spawnattr_init(&start.attributes);
	if (status < 0)
		goto destroy_actions;
	status = prepare(&start, options);
	if (status == 0)
		status = spawn_child(&start, options, &pid);
	close_all(start.theirs);
	if (status < 0)
		close_all(start.ours);
	else
		*process = (struct rota_process){
			.input = start.ours[STDIN_FILENO],
			.output = start.ours[STDOUT_FILENO],
			.errors = start.ours[STDERR_FILENO],
			.pid = pid,
			.exit_code = -1,
			.pidfd_ = (int)syscall(SYS_pidfd_open, pid, 0),
			.is_open_ = true,
			.leads_group_ = options->leads_group,
			.home_ = rota__reactor(),
			.grace_ns_ = options->grace_ns ? options->grace_ns : GRACE_DEFAULT_NS,
		};
	rota__reactor()->processes_open += status == 0;
	posix_spawnattr_destroy(&start.attributes);
destroy_actions:
	posix_spawn_file_actions_destroy(&start.actions);
	return status;
}

/* ---- its end ---- */

/* Take its end, if it has come. */
static bool reap(struct rota_process *process)
{
	siginfo_t info = { .si_pid = 0 };

	if (process->has_ended_)
		return true;
	if (waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG) < 0) {
		if (errno == EINTR)
			return false;
		process->status_ = -errno; /* ECHILD, see the header */
	} else if (info.si_pid == 0) {
		return false;
	} else if (info.si_code == CLD_EXITED) {
		process->exit_code = info.si_status;
	} else {
		process->exit_signal = info.si_status;
	}
	process->has_ended_ = true;
	return true;
}

int rota_process_wait(struct rota_process *process)
{
	int64_t look_ns = LOOK_FIRST_NS;
	int status = rota_check_cancelled();

	rota__check_home(process->home_, "a process", __func__);
	while (status >= 0 && !reap(process)) {
		if (process->pidfd_ >= 0) {
			status = rota_poll_fd(process->pidfd_, POLLIN);
			continue;
		}
		status = rota_sleep_until(rota_after_ns(look_ns));
		look_ns = look_ns < LOOK_LAST_NS / 2 ? 2 * look_ns : LOOK_LAST_NS;
	}
	return status < 0 ? status : process->status_;
}

int rota_process_signal(struct rota_process *process, int number)
{
	rota__check_home(process->home_, "a process", __func__);
	/* Not taken yet, so the number is still its own. */
	if (reap(process))
		return -ESRCH;
	return kill(process->leads_group_ ? -process->pid : process->pid, number) ? -errno : 0;
}

static void wait_shielded(struct rota_process *process, rota_ns deadline)
{
	struct rota_scope scope;

	rota_shield(&scope, deadline);
	rota_ignore(rota_process_wait(process), "whether it has ended says has_ended_");
	rota_ignore(rota_scope_close(&scope), "the deadline has passed, or it has not");
}

/* Through the engine, which may have watched it. */
static void close_end(int *fd)
{
	struct rota_reactor *reactor = rota__reactor();

	if (*fd >= 0)
		reactor->engine->discard(reactor->backend, *fd);
	*fd = -1;
}

void rota_process_close(struct rota_process *process)
{
	if (!process->is_open_)
		return;
	rota__check_home(process->home_, "a process", __func__);
	process->is_open_ = false;
	close_end(&process->input);
	close_end(&process->output);
	close_end(&process->errors);
	if (rota_process_signal(process, SIGTERM) == 0)
		wait_shielded(process, rota_after_ns(process->grace_ns_));
	/* A signal can fail where the child runs as somebody else: then its end is waited for. */
	while (!process->has_ended_) {
		rota_ignore(rota_process_signal(process, SIGKILL), "see above");
		wait_shielded(process, ROTA_NEVER);
	}
	close_end(&process->pidfd_);
	rota__reactor()->processes_open--;
}

/* ---- talking ---- */

struct talk {
	struct rota_process *process;
	struct rota_view input;
	size_t bytes_max;
};

struct listener {
	int fd;
	size_t bytes_max;
	struct rota_buffer *buffer;
};

static int64_t give_input(void *arg)
{
	struct talk *talk = arg;
	int64_t status = 0;

	/* The rest tells why it stopped in the middle. */
	while (talk->input.bytes && status >= 0) {
		status = rota_write_fd(talk->process->input, talk->input.data, talk->input.bytes);
		if (status > 0)
			talk->input = rota_view_of(talk->input.data + status,
						   talk->input.bytes - (size_t)status);
	}
	close_end(&talk->process->input);
	return status == -EPIPE ? 0 : status;
}

static int64_t take_all(void *arg)
{
	struct listener *listener = arg;
	struct rota_buffer *buffer = listener->buffer;
	size_t before = buffer->bytes;

	for (;;) {
		int64_t count = rota_buffer_reserve(buffer, READ_BYTES);

		if (count == 0)
			count = rota_read_fd(listener->fd, buffer->data + buffer->bytes,
					     READ_BYTES);
		if (count <= 0)
			return count;
		if (buffer->bytes - before + (size_t)count > listener->bytes_max)
			return -EMSGSIZE;
		buffer->bytes += (size_t)count;
	}
}

int rota_process_communicate(struct rota_process *process, struct rota_view input,
			     struct rota_buffer *output, struct rota_buffer *errors,
			     size_t bytes_max)
{
	struct talk talk = { .process = process, .input = input };
	struct listener listeners[] = {
		{ .fd = process->output, .bytes_max = bytes_max, .buffer = output },
		{ .fd = process->errors, .bytes_max = bytes_max, .buffer = errors },
	};
	struct rota_scope scope;
	int64_t status;

	rota__check_home(process->home_, "a process", __func__);
	rota_scope_open(&scope, ROTA_NEVER);
	if (process->input >= 0)
		rota_spawn(&scope, give_input, &talk);
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(listeners); i++)
		if (listeners[i].fd >= 0 && listeners[i].buffer)
			rota_spawn(&scope, take_all, &listeners[i]);
	status = rota_scope_close(&scope);
	return status < 0 ? (int)status : rota_process_wait(process);
}
