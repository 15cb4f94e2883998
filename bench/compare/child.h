/* SPDX-License-Identifier: MIT */
/*
 * The processes of a comparison: servers and load clients, which say and hear lines. Layer:
 * bench/compare; a task of the one reactor.
 *
 * The one idea: a child is opened and closed like anything else, so whatever ends a comparison ends
 * its children. Besides, each is killed by the kernel when we end in any other way
 * (bench/compare/place.h), and a server of ours ends when its input does.
 */
#ifndef BENCH_COMPARE_CHILD_H
#define BENCH_COMPARE_CHILD_H

#include <stdbool.h>

#include <rota/buffer.h>
#include <rota/process.h>

/* The longest line: a histogram with every bucket there is has some 600 KiB. */
#define CHILD_LINE_BYTES_MAX (4u << 20)

/* Why something failed, as a sentence for the report; text is cut, never overrun. */
#define CHILD_WHY_BYTES 320

struct child {
	/* read-only */
	struct rota_process process;
	bool is_open;
	bool is_paused;
	/* private */
	struct rota_buffer heard_; /* bytes that are no line yet */
	size_t line_bytes_;        /* of them, those of the line given out last */
};

/*
 * Start `argv` (NULL last) on `cpus` ("0,2-3"). `speaks`: through pipes, with child_say and
 * child_hear; otherwise it hears and says nothing. What it says of errors is kept for
 * child_explain, and shown to nobody. Zero `child` before. Returns 0 or negative errno. After
 * success: child_end.
 */
ROTA_MUST_USE int child_start(struct child *child, const char *cpus, const char *const argv[],
			      bool speaks);

/* Say a line (`text` ends with its newline). Returns 0 or negative errno. Suspends. */
ROTA_MUST_USE ROTA_SUSPENDS int child_say(struct child *child, const char *text);

/*
 * Hear a line, without its newline, NUL-terminated, borrowed until the next call. Returns 1; 0 when
 * there are no more; negative errno, -EMSGSIZE when it is too long. Suspends.
 */
ROTA_MUST_USE ROTA_SUSPENDS int child_hear(struct child *child, char **line);

/*
 * Say `text` (NULL: nothing) and hear the line that answers it, in `timeout_ns`. Returns as
 * child_hear, and -ETIMEDOUT. Suspends.
 */
ROTA_MUST_USE ROTA_SUSPENDS int child_ask(struct child *child, const char *text, rota_ns timeout_ns,
					  char **line);

/* SIGSTOP and SIGCONT; harmless when it has ended. */
void child_pause(struct child *child);
void child_resume(struct child *child);

/*
 * End it: its input first, so that it can end by itself, then SIGTERM, SIGKILL. Harmless when it
 * was not started. Suspends.
 */
ROTA_SUSPENDS void child_end(struct child *child);

/*
 * Say in `why` how `name` failed: with `status`, or, when it has ended, how it ended; and the last
 * line that it said of errors. Suspends for
 * a moment, until an end that is near has come.
 */
ROTA_SUSPENDS void child_explain(struct child *child, const char *name, int status,
				 char why[CHILD_WHY_BYTES]);

#endif /* BENCH_COMPARE_CHILD_H */
