/* SPDX-License-Identifier: MIT */
/* Lines on standard input, answers on standard output; see control.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rota/mailbox.h>
#include <rota/net.h>

#include "bench/compare/control.h"

static int64_t read_stats(void *arg)
{
	rota_reactor_stats(rota_reactor_current(), arg);
	return 0;
}

static int say_stats(struct control *control)
{
	uint64_t system_calls = 0, enters = 0, completions = 0, submitted = 0, turns = 0;
	unsigned count = control->reactors_count(control);

	for (unsigned i = 0; i < count; i++) {
		struct rota_reactor_stats stats;
		int64_t status = rota_call_on(control->reactor(control, i), read_stats, &stats);

		if (status < 0)
			return (int)status;
		system_calls += stats.engine.system_calls;
		enters += stats.engine.polls;
		completions += stats.engine.completions;
		submitted += stats.engine.submitted;
		turns += stats.turns;
	}
	printf("{\"system_calls\":%" PRIu64 ",\"enters\":%" PRIu64 ",\"completions\":%" PRIu64
	       ",\"submitted\":%" PRIu64 ",\"turns\":%" PRIu64 "}\n",
	       system_calls, enters, completions, submitted, turns);
	return 0;
}

static int take_line(struct control *control, const char *line)
{
	int status = strcmp(line, "stats") ? control->take(control, line) : say_stats(control);

	if (status < 0)
		return status;
	return fflush(stdout) ? -errno : 0;
}

/* Take the lines there are in `text`, and move what is left to its front. */
static int take_lines(struct control *control, char *text, size_t *bytes)
{
	char *line = text, *end;
	int status = 0;

	while (status == 0 && (end = memchr(line, '\n', *bytes - (size_t)(line - text)))) {
		*end = '\0';
		status = take_line(control, line);
		line = end + 1;
	}
	*bytes -= (size_t)(line - text);
	memmove(text, line, *bytes);
	return status;
}

int control_run(struct control *control)
{
	char text[CONTROL_LINE_BYTES];
	size_t bytes = 0;
	int64_t n;
	int status;

	if (fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK))
		return -errno;
	while ((n = rota_read_fd(STDIN_FILENO, text + bytes, sizeof(text) - bytes)) > 0) {
		bytes += (size_t)n;
		status = take_lines(control, text, &bytes);
		if (status < 0)
			return status;
		if (bytes == sizeof(text))
			return -EMSGSIZE;
	}
	return (int)n;
}
