/* SPDX-License-Identifier: MIT */
/*
 * Child processes: started by posix_spawn, spoken to through pipes, awaited like anything else. A
 * process is opened and closed by tasks of one reactor; when the close returns, the child has ended
 * and no zombie is left.
 *
 *	struct rota_process_options options = { .argv = argv, .output = ROTA_PROCESS_PIPE };
 *
 *	status = rota_process_open(&process, &options);
 *	if (status < 0)
 *		return status;
 *	while ((n = rota_read_fd(process.output, bytes, sizeof(bytes))) > 0)
 *		use(bytes, n);
 *	status = rota_process_wait(&process);
 *	rota_process_close(&process);
 *
 * The one idea: waiting can be cancelled, ending cannot. A cancelled wait leaves the child running
 * and says so at once, as everywhere; the close is what ends it, gently first.
 */
#ifndef ROTA_PROCESS_H
#define ROTA_PROCESS_H

#include <rota/base.h>
#include <rota/buffer.h>
#include <rota/time.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rota_reactor;

/* What one of the child's three standard streams is. */
enum rota_process_stream {
	ROTA_PROCESS_INHERIT, /* ours */
	ROTA_PROCESS_NULL,    /* /dev/null */
	ROTA_PROCESS_PIPE,    /* a pipe to us */
	ROTA_PROCESS_OUTPUT,  /* of `errors` only: wherever the output goes */
};

/* All but argv may be left zero. */
struct rota_process_options {
	/* The program (looked for on PATH unless it has a '/') and its arguments, NULL last. */
	const char *const *argv;
	const char *const *environment; /* "NAME=value", NULL last; NULL: ours */
	const char *directory;          /* where it starts; NULL: here */
	enum rota_process_stream input, output, errors;
	/* It leads a process group, and signals go to all of that: its own children too. */
	bool leads_group;
	/* From SIGTERM to SIGKILL in rota_process_close; 0: 5 s. */
	rota_ns grace_ns;
};

/* Caller's memory. */
struct rota_process {
	/*
	 * Read-only: our ends of the pipes, non-blocking, for rota_read_fd and rota_write_fd; -1
	 * without a pipe. rota_process_close closes them.
	 */
	int input, output, errors;
	int pid;
	/* Once it has ended: what it returned, or -1; and the signal that killed it, or 0. */
	int exit_code;
	int exit_signal;
	/* private */
	int pidfd_; /* -1: the kernel gives none */
	int status_;
	bool is_open_;
	bool has_ended_;
	bool leads_group_;
	rota_ns grace_ns_;
	struct rota_reactor *home_;
};

/*
 * Start a program. It has no signals blocked and no descriptors of ours but its three streams and
 * those that are not close-on-exec. `options` are borrowed during the call.
 *
 * Returns   0; -ENOENT, -EACCES … when it cannot be run; -EMFILE, -EAGAIN, -ENOMEM; -EINVAL for
 *           ROTA_PROCESS_OUTPUT in another place than `errors`; -ENOTSUP in a simulated world;
 *           -ECANCELED / -ETIMEDOUT. Nothing is left of it then.
 * Suspends  no, but it takes as long as posix_spawn does, most of a millisecond. Thread: a task's.
 */
ROTA_API ROTA_MUST_USE int rota_process_open(struct rota_process *process,
					     const struct rota_process_options *options);

/*
 * Wait until it has ended, by itself or by a signal: exit_code and exit_signal say which. Several
 * tasks may wait, again and again.
 * Returns 0, -ECANCELED / -ETIMEDOUT (it runs on), or -ECHILD when somebody else took its end: the
 * program ignores SIGCHLD or waits for any child. Suspends.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_process_wait(struct rota_process *process);

/* Send it a signal. Returns 0, -ESRCH when it has ended, -EINVAL. Never suspends. */
ROTA_API int rota_process_signal(struct rota_process *process, int number);

/*
 * Give its input, then close that, and take its output and errors to their ends, all at once, so
 * that no pipe can stop it; then wait. Of `output` and `errors` each may be NULL when there is no
 * such pipe, and takes `bytes_max` bytes at most. A child that does not want all of the input is no
 * error.
 * Returns as rota_process_wait, -EMSGSIZE when there was more than `bytes_max`, -ENOMEM, or what
 * the pipes say; then it runs on. Suspends.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_process_communicate(struct rota_process *process,
								  struct rota_view input,
								  struct rota_buffer *output,
								  struct rota_buffer *errors,
								  size_t bytes_max);

/*
 * Close the pipes, and end it if it has not ended: SIGTERM, the grace, SIGKILL. Exempt from
 * cancellation and deadlines: it waits for the end, which after SIGKILL only the kernel can delay.
 * Every open is followed by a close before its reactor stops (asserted); further ones are harmless.
 * Suspends if it is running. Thread: a task's of the reactor that opened it.
 */
ROTA_API ROTA_SUSPENDS void rota_process_close(struct rota_process *process);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_PROCESS_H */
