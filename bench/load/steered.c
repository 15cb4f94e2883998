/* SPDX-License-Identifier: MIT */
/*
 * Steered by a program: what to do comes on standard input, a line for each run, and what came of
 * it goes to standard output, a line of JSON for each. One task, on the first reactor.
 */
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <rota/error.h>

#include "bench/load/load.h"

/* A line of standard input. */
#define LINE_BYTES 128

/* Read a line without its end. Returns its bytes, 0 at the end, or negative errno. */
static int64_t read_line(char line[LINE_BYTES])
{
	size_t bytes = 0;

	for (;;) {
		int events = rota_poll_fd(STDIN_FILENO, POLLIN);
		ssize_t count;

		/* what cannot be waited for, a file, does not block either */
		if (events < 0 && events != -EPERM)
			return events;
		count = read(STDIN_FILENO, line + bytes, 1);
		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return count < 0 ? -errno : 0;
		if (line[bytes] == '\n') {
			line[bytes] = '\0';
			return (int64_t)bytes + 1;
		}
		if (++bytes == LINE_BYTES)
			return -EMSGSIZE;
	}
}

/* "go SECONDS". */
static bool parse_go(const char *line, rota_ns *duration_ns)
{
	double seconds;
	char *end;

	if (strncmp(line, "go ", 3) != 0)
		return false;
	seconds = strtod(line + 3, &end);
	if (end == line + 3 || *end || !(seconds > 0 && seconds <= 86400))
		return false;
	*duration_ns = (rota_ns)(seconds * 1e9);
	return true;
}

/* One "go". Returns 0, or negative errno after saying why. */
static int64_t obey_line(struct load *load, const char *line)
{
	rota_ns duration_ns;
	struct report report;
	int64_t status;

	if (!parse_go(line, &duration_ns)) {
		load_complain("expected a line \"go SECONDS\" and got \"%s\"", line);
		return -EINVAL;
	}
	status = load_run_for(load, duration_ns);
	report = load_report(load);
	if (status == 0)
		status = report_json(&report, stdout);
	if (status < 0)
		load_complain("cannot report: %s", rota_strerror((int)status));
	return status;
}

int64_t load_steered(struct load *load)
{
	int64_t status = puts("ready") < 0 || fflush(stdout) < 0 ? -EIO : 0;
	char line[LINE_BYTES];
	int64_t bytes;

	while (status == 0 && (bytes = read_line(line)) != 0) {
		if (bytes < 0)
			load_complain("cannot read standard input: %s", rota_strerror((int)bytes));
		status = bytes < 0 ? bytes : obey_line(load, line);
	}
	return status;
}
