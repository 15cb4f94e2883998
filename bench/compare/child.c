/* SPDX-License-Identifier: MIT */
/* Processes that say and hear lines; see child.h. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rota/error.h>
#include <rota/net.h>
#include <rota/scope.h>

#include "bench/compare/child.h"

#define ARGUMENTS_MAX 64
#define READ_BYTES 65536
/* Of what a child said of errors: the last line is within so much of its end. */
#define ERRORS_BYTES 512
/* From the end of its input to SIGKILL; a server with many connections needs some of it. */
#define GRACE_NS (2 * ROTA_NS_PER_S)
/* How long an end may take that shows as the end of what it says. */
#define END_IS_NEAR_NS (200 * ROTA_NS_PER_MS)

int child_start(struct child *child, const char *cpus, const char *const argv[], bool speaks)
{
	char parent[16];
	const char *words[ARGUMENTS_MAX + 5] = { "/proc/self/exe", "place", cpus, parent };
	struct rota_process_options options = {
		.argv = words,
		.input = speaks ? ROTA_PROCESS_PIPE : ROTA_PROCESS_NULL,
		.output = speaks ? ROTA_PROCESS_PIPE : ROTA_PROCESS_NULL,
		.errors = ROTA_PROCESS_PIPE, /* read only when it fails */
		.leads_group = true,         /* Ctrl-C is for us alone */
		.grace_ns = GRACE_NS,
	};
	int status;

	for (unsigned i = 0; argv[i]; i++) {
		if (i == ARGUMENTS_MAX)
			return -E2BIG;
		words[i + 4] = argv[i];
	}
	snprintf(parent, sizeof(parent), "%d", getpid());
	rota_buffer_init(&child->heard_);
	status = rota_process_open(&child->process, &options);
	child->is_open = status == 0;
	return status;
}

int child_say(struct child *child, const char *text)
{
	size_t bytes = strlen(text);
	int64_t n = rota_write_fd(child->process.input, text, bytes);

	return n < 0 ? (int)n : n == (int64_t)bytes ? 0 : -EPIPE;
}

/* More bytes into heard_. Returns as rota_read_fd. */
static int64_t hear_more(struct child *child)
{
	struct rota_buffer *heard = &child->heard_;
	int64_t n;

	if (heard->bytes >= CHILD_LINE_BYTES_MAX)
		return -EMSGSIZE;
	n = rota_buffer_reserve(heard, READ_BYTES);
	if (n < 0)
		return n;
	n = rota_read_fd(child->process.output, heard->data + heard->bytes, READ_BYTES);
	if (n > 0)
		heard->bytes += (size_t)n;
	return n;
}

int child_hear(struct child *child, char **line)
{
	struct rota_buffer *heard = &child->heard_;
	size_t looked = 0;
	char *end;

	rota_buffer_consume(heard, child->line_bytes_);
	child->line_bytes_ = 0;
	for (;;) {
		int64_t n;

		end = heard->bytes > looked
			      ? memchr(heard->data + looked, '\n', heard->bytes - looked)
			      : NULL;
		if (end)
			break;
		looked = heard->bytes;
		n = hear_more(child);
		if (n <= 0)
			return (int)n;
	}
	*end = '\0';
	*line = heard->data;
	child->line_bytes_ = (size_t)(end - heard->data) + 1;
	return 1;
}

int child_ask(struct child *child, const char *text, rota_ns timeout_ns, char **line)
{
	struct rota_scope scope;
	int status = 0;

	rota_scope_open(&scope, rota_after_ns(timeout_ns));
	if (text)
		status = child_say(child, text);
	if (status == 0)
		status = child_hear(child, line);
	rota_ignore(rota_scope_close_and_move_on(&scope), "the status says it");
	return status;
}

void child_pause(struct child *child)
{
	if (child->is_open)
		rota_process_signal(&child->process, SIGSTOP);
	child->is_paused = true;
}

void child_resume(struct child *child)
{
	if (child->is_open)
		rota_process_signal(&child->process, SIGCONT);
	child->is_paused = false;
}

void child_end(struct child *child)
{
	if (!child->is_open)
		return;
	/* What is stopped hears nothing but SIGKILL. */
	child_resume(child);
	rota_process_close(&child->process);
	rota_buffer_fini(&child->heard_);
	*child = (struct child){ .is_open = false };
}

/*
 * ": " and the last line of what it said of errors; nothing when it said nothing. What a pipe does
 * not hold is lost (place.c sees to it that nobody waits for room), which is no matter: who fails
 * says so at its start, or shortly.
 */
static void quote_errors(struct child *child, char why[CHILD_WHY_BYTES])
{
	char text[2 * ERRORS_BYTES + 1];
	size_t bytes = 0, used = strlen(why);
	ssize_t n;
	char *line;

	while ((n = read(child->process.errors, text + bytes, sizeof(text) - 1 - bytes)) > 0) {
		bytes += (size_t)n;
		if (bytes == sizeof(text) - 1) {
			bytes = ERRORS_BYTES;
			memmove(text, text + ERRORS_BYTES, bytes);
		}
	}
	while (bytes && (text[bytes - 1] == '\n' || text[bytes - 1] == '\r'))
		bytes--;
	text[bytes] = '\0';
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	if (*line)
		snprintf(why + used, CHILD_WHY_BYTES - used, ": %s", line);
}

void child_explain(struct child *child, const char *name, int status, char why[CHILD_WHY_BYTES])
{
	struct rota_process *process = &child->process;
	struct rota_scope scope;
	int ended;

	rota_scope_open(&scope, rota_after_ns(END_IS_NEAR_NS));
	ended = rota_process_wait(process);
	rota_ignore(rota_scope_close_and_move_on(&scope), "it runs on, or all is cancelled");
	if (ended == 0 && process->exit_signal)
		snprintf(why, CHILD_WHY_BYTES, "%s was ended by signal %d (%s)", name,
			 process->exit_signal, sigabbrev_np(process->exit_signal));
	else if (ended == 0)
		snprintf(why, CHILD_WHY_BYTES, "%s ended with status %d", name, process->exit_code);
	else if (status == -ETIMEDOUT)
		snprintf(why, CHILD_WHY_BYTES, "%s did not answer in time", name);
	else if (status == 0)
		snprintf(why, CHILD_WHY_BYTES, "%s says nothing more", name);
	else
		snprintf(why, CHILD_WHY_BYTES, "%s: %s", name, rota_strerror(status));
	if (child->is_open)
		quote_errors(child, why);
}
