/* SPDX-License-Identifier: MIT */
/*
 * The flight recorder: each reactor writes down what it does, always, into a ring of its own that
 * keeps the latest records. Whoever asks later, why did it stall, what ran before it died, reads
 * them: `rota record PID` from outside, also of a process that is wedged or dead; or the process
 * itself into a file. `rota trace FILE` makes them a picture.
 *
 * The one idea: a record is one 64-bit word, a kind and what it is about, without a time. Times are
 * records of their own, written where the reactor looks at the clock anyway. So a record costs
 * about a nanosecond, and what lies between two looks at the clock is known in order, not in
 * duration.
 */
#ifndef ROTA_RECORDER_H
#define ROTA_RECORDER_H

#include <rota/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- records ---- */

/*
 * The upper 8 bits of a record. Behind each: what the lower 56 hold, from the left, bits in
 * brackets. Numbers are never reused. A task is its label [16] and its id [40].
 */
enum rota_record_kind {
	ROTA_RECORD_NONE = 0,
	/* the reactor's phases, with the clock in nanoseconds [56] */
	ROTA_RECORD_TURN = 1,  /* a turn begins; after a wait with LEAVE's time, not its own */
	ROTA_RECORD_ENTER = 2, /* into the engine; TURN's time if nothing was done since */
	ROTA_RECORD_LEAVE = 3, /* back from a wait in it */
	ROTA_RECORD_CLOCK = 4, /* a look at the clock between two tasks */
	/* … and without */
	ROTA_RECORD_COMPLETIONS = 5, /* the engine has completed so many [56] */
	ROTA_RECORD_TIMERS = 6,      /* so many timers have been fired [56] */
	ROTA_RECORD_REST = 7, /* no task runs any more in this turn; not in one without work */
	/* tasks */
	ROTA_RECORD_SPAWN = 8, /* the task; it is ready */
	ROTA_RECORD_READY = 9, /* the task */
	ROTA_RECORD_RUN = 10,  /* the task; whatever ran before has made way */
	/*
	 * the running task will wait: enum rota_wait_kind [8] of the first that is missing, the
	 * futures' number [16], how many of them are missing [32]. One that makes way without it
	 * has yielded.
	 */
	ROTA_RECORD_WAIT = 11,   /* the kind may be ROTA_RECORD_PARKED, with nothing more */
	ROTA_RECORD_END = 12,    /* the running task ends: its result [56], signed, cut */
	ROTA_RECORD_CANCEL = 13, /* a scope: enum rota_cancel_kind [8], its opener's id [40] or 0 */
	/* operations: their key [24] says which completion belongs to which */
	ROTA_RECORD_SUBMIT = 14,   /* enum rota_op_kind [8], descriptor [24], key */
	ROTA_RECORD_MORE = 15,     /* a result [32], signed, and key; it goes on */
	ROTA_RECORD_COMPLETE = 16, /* the last result [32] and key */
	/* between reactors: the message's key [40], and */
	ROTA_RECORD_POST = 17, /* the slot of the reactor it goes to [16] */
	ROTA_RECORD_TAKE = 18, /* 0 [16] */
	/* connections: a number [56] unique in the process */
	ROTA_RECORD_OPEN = 19,
	ROTA_RECORD_CLOSE = 20,
	/* the turn was away from the engine for so long [56], in nanoseconds: more than it may */
	ROTA_RECORD_STALL = 21,
	/* the running worker serves a connection: its number [56] */
	ROTA_RECORD_SERVE = 22,
	ROTA_RECORD_KIND_COUNT
};

#define ROTA_RECORD_TIME_BITS 56
#define ROTA_RECORD_ID_BITS 40
#define ROTA_RECORD_KEY_BITS 24

/* Records that a reactor keeps unless its options say otherwise: 512 KiB. */
#define ROTA_RECORDS_DEFAULT (64u << 10)
#define ROTA_RECORDS_MIN 1024u
#define ROTA_RECORDS_MAX (64u << 20)
/*
 * So many of the oldest records of a ring are not believed, beside those that may have been
 * overwritten while it was copied: processors other than x86 may show a record before the head that
 * announces it, but not one so far ahead: no store buffer is that long.
 */
#define ROTA_RECORDS_DISTRUSTED 256
/* In an option: keep none. */
#define ROTA_RECORDS_NONE UINT32_MAX

/* In a ROTA_RECORD_WAIT: a worker that has no session to serve. */
#define ROTA_RECORD_PARKED 255

/* What records name by number: tasks of one name spawned at one place. */
struct rota_record_label {
	uint64_t site_; /* addresses in the process, compared only; 0: not in use */
	uint64_t what_;
	int32_t line;
	char name[48]; /* cut, with NUL, as the others */
	char function[48];
	char file[76]; /* its end, if it is cut */
};

/*
 * Labels of one reactor, numbered from 1; 0 stands for all that came when there was no more room.
 */
#define ROTA_RECORD_LABELS 128

/* ---- in a file ---- */

/*
 * What a process writes of itself: this head; then for each reactor its own head, its
 * ROTA_RECORD_LABELS labels, its records from the oldest, and as a last word the number of records
 * written by then, which tells how many of the oldest have been overwritten meanwhile. In the
 * machine's byte order; a file that ends early is good up to there.
 */
#define ROTA_RECORD_FILE_MAGIC "rotarec1"

struct rota_record_file {
	char magic[8];
	uint32_t pid;
	uint32_t signal; /* why: the signal that ended the process, or asked; 0: the program did */
	int64_t now;     /* the monotonic clock */
	int64_t wall_ns; /* the wall clock */
	uint32_t label_bytes;
	uint32_t labels_count;
};

struct rota_record_file_reactor {
	uint32_t slot;
	uint32_t index;
	uint32_t is_simulated; /* its clock is not the file's */
	uint32_t reserved;
	uint64_t kept;  /* records its ring has room for */
	uint64_t first; /* the number of the oldest record here */
	uint64_t count; /* records here */
};

/* ---- writing it ---- */

/*
 * Write what the recorders of all reactors of the process hold to `fd`; `signal` goes into its
 * head. Any thread, async-signal-safe. Returns 0 or negative errno.
 */
ROTA_API ROTA_MUST_USE int rota_recorder_save(int fd, int signal);

/* Bytes of a path for rota_recorder_save_to, with its NUL. */
#define ROTA_RECORD_PATH_BYTES 1024

/*
 * From now on have the process write such a file when it crashes (SIGSEGV, SIGBUS, SIGILL, SIGFPE,
 * SIGABRT; the handlers of before come after), when a stall is reported (rota_reactor_options,
 * stall_ns), and whenever it gets SIGUSR2; the latest replaces the one before. Nothing does it
 * unasked: a core file holds the same, for `rota record`.
 *
 * path      copied; "%p" in it stands for the process id, "%%" for "%".
 * Returns   0, -EINVAL (another %), -ENAMETOOLONG, -EALREADY (asked before), or why handlers cannot
 *           be installed. Thread: any, once in a process.
 */
ROTA_API ROTA_MUST_USE int rota_recorder_save_to(const char *path);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_RECORDER_H */
