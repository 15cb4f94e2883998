/* SPDX-License-Identifier: MIT */
/*
 * A recording as a trace for ui.perfetto.dev and chrome://tracing: the JSON of Chrome's "Trace
 * Event Format". One track per reactor; on it turns, in them the tasks that ran, in these the
 * connections a worker served; arrows from where a task was made ready to where it ran, and from
 * where a message was posted to where it arrived; operations as spans of their own; counters.
 *
 * Records have no times but those of the clock: what lies between two of these is spread evenly,
 * and at least a nanosecond apart, so that order shows.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <rota/backend.h>
#include <rota/base.h>
#include <rota/future.h>
#include <rota/scope.h>

#include "apps/rota/recording.h"

/* Slots of the tables below; two that meet in one lose an arrow or a name, no more. */
#define TABLE_SLOTS 65536

#define LOW(number, bits) ((number) & ((UINT64_C(1) << (bits)) - 1))

/* A slice that is open. */
enum level { LEVEL_TURN, LEVEL_PART, LEVEL_CONN, LEVEL_COUNT };

struct track {
	FILE *out;
	const struct recorded *reactor;
	uint32_t pid;
	int64_t now;                      /* of what is being written */
	bool is_open[LEVEL_COUNT];        /* which slices are */
	bool is_task;                     /* LEVEL_PART is one, not a phase */
	uint64_t pending_count;           /* tasks that are ready, of those seen to become so */
	uint64_t pending[TABLE_SLOTS];    /* their ids, by id; 0: none */
	uint32_t operations[TABLE_SLOTS]; /* by key: key << 8 | kind + 1; 0: none */
	uint64_t seen_operations[TABLE_SLOTS]; /* by key: how many have begun */
};

static const char *const wait_kinds[] = {
	[ROTA_WAIT_FUTURE] = "a future",
	[ROTA_WAIT_TASK] = "a task's end",
	[ROTA_WAIT_SCOPE] = "the end of a scope's tasks",
	[ROTA_WAIT_TIMER] = "a timer",
	[ROTA_WAIT_IO] = "an operation",
	[ROTA_WAIT_CALL] = "a call",
	[ROTA_WAIT_CONN_INPUT] = "a connection's input",
	[ROTA_WAIT_CONN_OUTPUT] = "a connection's output",
	[ROTA_WAIT_MUTEX] = "a mutex",
	[ROTA_WAIT_RWLOCK_READ] = "a lock to read",
	[ROTA_WAIT_RWLOCK_WRITE] = "a lock to write",
	[ROTA_WAIT_SEMAPHORE] = "a semaphore",
	[ROTA_WAIT_CONDITION] = "a condition",
	[ROTA_WAIT_EVENT] = "an event",
	[ROTA_WAIT_BARRIER] = "a barrier",
	[ROTA_WAIT_LATCH] = "a latch",
	[ROTA_WAIT_ONCE] = "a once",
	[ROTA_WAIT_CHANNEL_SEND] = "room in a channel",
	[ROTA_WAIT_CHANNEL_RECEIVE] = "a channel's message",
	[ROTA_WAIT_BROADCAST] = "a broadcast",
	[ROTA_WAIT_OFFLOAD] = "an offloaded call",
	[ROTA_WAIT_SELECT] = "one of several channels",
	[ROTA_RECORD_PARKED] = "sessions to serve",
};

static const char *const operation_kinds[] = {
	[ROTA_OP_ACCEPT] = "accept",     [ROTA_OP_RECEIVE] = "receive",     [ROTA_OP_SEND] = "send",
	[ROTA_OP_SEND_MESSAGE] = "send", [ROTA_OP_CONNECT] = "connect",     [ROTA_OP_POLL] = "poll",
	[ROTA_OP_CLOSE] = "close",       [ROTA_OP_CALL] = "offloaded call", [ROTA_OP_FILE] = "file",
};

static const char *const cancel_kinds[] = {
	[ROTA_CANCEL_NONE] = "no reason",
	[ROTA_CANCEL_BY_HAND] = "by hand",
	[ROTA_CANCEL_DEADLINE] = "its deadline passed",
	[ROTA_CANCEL_SIBLING_FAILED] = "a task of it failed",
	[ROTA_CANCEL_CLIENT_GONE] = "the client is gone",
	[ROTA_CANCEL_SHUTDOWN] = "shutdown",
	[ROTA_CANCEL_FORGOTTEN] = "it was forgotten",
};

/* Whoever adds a kind names it above. */
_Static_assert(ROTA_ARRAY_COUNT(operation_kinds) == ROTA_OP_COUNT, "an operation has no name");
_Static_assert(ROTA_WAIT_KIND_COUNT == ROTA_WAIT_SELECT + 1, "a kind of wait has no name");

#define NAME_OF(names, kind) name_of((names), ROTA_ARRAY_COUNT(names), (kind))

/* A later version's kind has no name here. */
static const char *name_of(const char *const names[], size_t count, uint64_t kind)
{
	return kind < count && names[kind] ? names[kind] : "something else";
}

/* ---- events ---- */

/* Begin an event; the caller goes on with its fields and ends it with "}". */
static void begin(struct track *track, const char *phase)
{
	fprintf(track->out,
		",\n{\"ph\":\"%s\",\"ts\":%" PRId64 ".%03" PRId64 ",\"pid\":%" PRIu32
		",\"tid\":%" PRIu32,
		phase, track->now / 1000, track->now % 1000, track->pid, track->reactor->index + 1);
}

/* A whole one, with fields as printf has them. */
static void event(struct track *track, const char *phase, const char *fields, ...)
	ROTA_PRINTF(3, 4);

static void event(struct track *track, const char *phase, const char *fields, ...)
{
	va_list arguments;

	begin(track, phase);
	va_start(arguments, fields);
	vfprintf(track->out, fields, arguments);
	va_end(arguments);
	fputs("}", track->out);
}

/* `text` as a part of a JSON string. */
static void put_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putc('\\', out);
		putc(*text >= ' ' && *text <= '~' ? *text : '?', out);
	}
}

static const struct rota_record_label *label_of(const struct track *track, uint64_t task)
{
	uint64_t number = LOW(task >> ROTA_RECORD_ID_BITS, 16);

	return number >= 1 && number <= ROTA_RECORD_LABELS ? &track->reactor->labels[number - 1]
							   : NULL;
}

/* An event named by `before` and the task's name, with what else is known of the task. */
static void task_event(struct track *track, const char *phase, const char *before, uint64_t task)
{
	const struct rota_record_label *label = label_of(track, task);

	begin(track, phase);
	fprintf(track->out, ",\"name\":\"%s", before);
	put_text(track->out, label ? label->name : "task");
	fprintf(track->out, "\",\"cat\":\"task\",\"args\":{\"task\":%" PRIu64,
		LOW(task, ROTA_RECORD_ID_BITS));
	if (label) {
		fputs(",\"spawned\":\"", track->out);
		put_text(track->out, label->file);
		fprintf(track->out, ":%" PRId32 " (", label->line);
		put_text(track->out, label->function);
		fputs(")\"", track->out);
	}
	fprintf(track->out, "}%s}", *phase == 'i' ? ",\"s\":\"t\"" : "");
}

/* ---- slices ---- */

/* Close what is open from the innermost to `level`. */
static void close_from(struct track *track, enum level level, const char *why)
{
	for (int i = LEVEL_COUNT - 1; i >= (int)level; i--) {
		if (!track->is_open[i])
			continue;
		track->is_open[i] = false;
		if (i == LEVEL_PART && track->is_task)
			event(track, "E", ",\"args\":{\"until\":\"%s\"}", why);
		else
			event(track, "E", "%s", "");
	}
}

static void open_phase(struct track *track, enum level level, const char *name)
{
	close_from(track, level, "it yielded");
	event(track, "B", ",\"name\":\"%s\",\"cat\":\"reactor\"", name);
	track->is_open[level] = true;
	if (level == LEVEL_PART)
		track->is_task = false;
}

/* The parts of a turn stand in one, also where its beginning has been overwritten. */
static void open_part(struct track *track, const char *name)
{
	if (!track->is_open[LEVEL_TURN])
		open_phase(track, LEVEL_TURN, "turn");
	open_phase(track, LEVEL_PART, name);
}

/* ---- tasks ---- */

static void count_ready(struct track *track)
{
	event(track, "C",
	      ",\"name\":\"ready tasks, reactor %" PRIu32 "\",\"args\":{\"tasks\":%" PRIu64 "}",
	      track->reactor->index, track->pending_count);
}

/* An arrow's end: "s" where it leaves, "f" where it arrives. */
static void arrow(struct track *track, const char *phase, const char *kind, uint32_t slot,
		  uint64_t id)
{
	event(track, phase,
	      ",\"name\":\"%s\",\"cat\":\"%s\",\"id\":\"%s %" PRIu32 ".%" PRIu64 "\"%s", kind, kind,
	      kind, slot, id, *phase == 'f' ? ",\"bp\":\"e\"" : "");
}

static void become_ready(struct track *track, uint64_t task)
{
	uint64_t id = LOW(task, ROTA_RECORD_ID_BITS);
	uint64_t *pending = &track->pending[id % TABLE_SLOTS];

	track->pending_count += !*pending;
	*pending = id;
	if (!track->is_open[LEVEL_TURN])
		open_phase(track, LEVEL_TURN, "turn");
	arrow(track, "s", "ready", track->reactor->slot, id);
}

static void run(struct track *track, uint64_t task)
{
	uint64_t id = LOW(task, ROTA_RECORD_ID_BITS);
	uint64_t *pending = &track->pending[id % TABLE_SLOTS];

	if (!track->is_open[LEVEL_TURN])
		open_phase(track, LEVEL_TURN, "turn");
	close_from(track, LEVEL_PART, "it yielded");
	task_event(track, "B", "", task);
	track->is_open[LEVEL_PART] = true;
	track->is_task = true;
	if (*pending != id)
		return; /* it had yielded, or what made it ready was overwritten */
	*pending = 0;
	track->pending_count--;
	arrow(track, "f", "ready", track->reactor->slot, id);
}

static void end_task(struct track *track, uint64_t payload)
{
	/* 56 bits, signed. */
	int64_t result = (int64_t)(payload << 8) >> 8;
	const char *error = result < 0 && result > -4096 ? strerrorname_np((int)-result) : NULL;
	char why[64];

	if (error)
		snprintf(why, sizeof(why), "its end: %s", error);
	else
		snprintf(why, sizeof(why), "its end: %" PRId64, result);
	close_from(track, LEVEL_PART, why);
}

static void serve(struct track *track, uint64_t number)
{
	close_from(track, LEVEL_CONN, "");
	event(track, "B", ",\"name\":\"connection %" PRIu64 "\",\"cat\":\"connection\"", number);
	track->is_open[LEVEL_CONN] = true;
}

/* ---- operations ---- */

static void submit(struct track *track, uint64_t payload)
{
	uint64_t key = LOW(payload, ROTA_RECORD_KEY_BITS), kind = payload >> 48;
	size_t at = key % TABLE_SLOTS;

	track->operations[at] = (uint32_t)(key << 8 | (kind + 1));
	track->seen_operations[at]++;
	event(track, "b",
	      ",\"name\":\"%s\",\"cat\":\"operation\",\"id\":\"%" PRIu32 ".%" PRIx64 ".%" PRIu64
	      "\",\"args\":{\"descriptor\":%" PRIu64 "}",
	      NAME_OF(operation_kinds, kind), track->reactor->slot, key, track->seen_operations[at],
	      LOW(payload >> ROTA_RECORD_KEY_BITS, 24));
}

/* What was submitted before the oldest record has no beginning, and is not shown. */
static void complete(struct track *track, uint64_t payload, const char *phase)
{
	uint64_t key = LOW(payload, ROTA_RECORD_KEY_BITS);
	size_t at = key % TABLE_SLOTS;
	uint32_t operation = track->operations[at];

	if (operation >> 8 != key || !operation)
		return;
	if (*phase == 'e')
		track->operations[at] = 0;
	event(track, phase,
	      ",\"name\":\"%s\",\"cat\":\"operation\",\"id\":\"%" PRIu32 ".%" PRIx64 ".%" PRIu64
	      "\",\"args\":{\"result\":%" PRId32 "}",
	      NAME_OF(operation_kinds, (operation & 0xff) - 1), track->reactor->slot, key,
	      track->seen_operations[at], (int32_t)(payload >> ROTA_RECORD_KEY_BITS));
}

/* ---- everything else ---- */

static void instant(struct track *track, const char *name, const char *what, uint64_t value)
{
	event(track, "i", ",\"name\":\"%s\",\"s\":\"t\",\"args\":{\"%s\":%" PRIu64 "}", name, what,
	      value);
}

static void cancel(struct track *track, uint64_t payload)
{
	event(track, "i",
	      ",\"name\":\"cancel: %s\",\"s\":\"t\",\"args\":{\"scope opened by task\":%" PRIu64
	      "}",
	      NAME_OF(cancel_kinds, payload >> ROTA_RECORD_ID_BITS),
	      LOW(payload, ROTA_RECORD_ID_BITS));
}

static void completions(struct track *track, uint64_t count)
{
	close_from(track, LEVEL_TURN, "");
	open_part(track, "completions");
	event(track, "C",
	      ",\"name\":\"completions at once, reactor %" PRIu32
	      "\",\"args\":{\"completions\":%" PRIu64 "}",
	      track->reactor->index, count);
}

static void take_phase(struct track *track, uint64_t kind, uint64_t payload)
{
	switch (kind) {
	case ROTA_RECORD_TURN:
		open_phase(track, LEVEL_TURN, "turn");
		count_ready(track);
		break;
	case ROTA_RECORD_ENTER:
		close_from(track, LEVEL_TURN, "it yielded");
		count_ready(track);
		open_phase(track, LEVEL_TURN, "engine");
		break;
	case ROTA_RECORD_LEAVE:
		close_from(track, LEVEL_TURN, "");
		break;
	case ROTA_RECORD_CLOCK:
		close_from(track, LEVEL_PART, "it yielded");
		break;
	case ROTA_RECORD_COMPLETIONS:
		completions(track, payload);
		break;
	case ROTA_RECORD_TIMERS:
		instant(track, "timers fired", "timers", payload);
		break;
	case ROTA_RECORD_REST:
		open_part(track, "flush");
		break;
	default: /* a later version's */
		break;
	}
}

static void take_task(struct track *track, uint64_t kind, uint64_t payload)
{
	char why[64];

	switch (kind) {
	case ROTA_RECORD_SPAWN:
		task_event(track, "i", "spawn ", payload);
		become_ready(track, payload);
		break;
	case ROTA_RECORD_READY:
		become_ready(track, payload);
		break;
	case ROTA_RECORD_RUN:
		run(track, payload);
		break;
	case ROTA_RECORD_WAIT:
		snprintf(why, sizeof(why), "it waits for %s", NAME_OF(wait_kinds, payload >> 48));
		close_from(track, LEVEL_PART, why);
		break;
	case ROTA_RECORD_END:
		end_task(track, payload);
		break;
	default:
		cancel(track, payload);
	}
}

static void take(struct track *track, uint64_t word)
{
	uint64_t kind = word >> 56, payload = LOW(word, 56);

	if (kind <= ROTA_RECORD_REST)
		take_phase(track, kind, payload);
	else if (kind <= ROTA_RECORD_CANCEL)
		take_task(track, kind, payload);
	else if (kind == ROTA_RECORD_SUBMIT)
		submit(track, payload);
	else if (kind == ROTA_RECORD_MORE || kind == ROTA_RECORD_COMPLETE)
		complete(track, payload, kind == ROTA_RECORD_MORE ? "n" : "e");
	else if (kind == ROTA_RECORD_POST)
		arrow(track, "s", "message", (uint32_t)(payload >> ROTA_RECORD_ID_BITS),
		      LOW(payload, ROTA_RECORD_ID_BITS));
	else if (kind == ROTA_RECORD_TAKE)
		arrow(track, "f", "message", track->reactor->slot, payload);
	else if (kind == ROTA_RECORD_OPEN)
		instant(track, "connection opened", "connection", payload);
	else if (kind == ROTA_RECORD_CLOSE)
		instant(track, "connection closed", "connection", payload);
	else if (kind == ROTA_RECORD_STALL)
		instant(track, "stall", "ns", payload);
	else if (kind == ROTA_RECORD_SERVE)
		serve(track, payload);
}

/* ---- times ---- */

static bool has_time(uint64_t word)
{
	return word >> 56 >= ROTA_RECORD_TURN && word >> 56 <= ROTA_RECORD_CLOCK;
}

/*
 * The index of the first record with a time, from `at` on; the count: there is none. A turn with
 * the time of the record before, `seen`, followed a wait: the clock was not read again for it.
 */
static uint64_t next_time(const struct recorded *reactor, uint64_t at, uint64_t seen)
{
	const uint64_t *words = reactor->words;

	while (at < reactor->count &&
	       (!has_time(words[at]) || (words[at] >> 56 == ROTA_RECORD_TURN &&
					 LOW(words[at], ROTA_RECORD_TIME_BITS) == seen)))
		at++;
	return at;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* From one look at the clock to the next; the records before the first have no time. */
static void write_records(struct track *track, int64_t end)
{
	const struct recorded *reactor = track->reactor;
	uint64_t at = next_time(reactor, 0, UINT64_MAX);

	while (at < reactor->count) {
		uint64_t seen = LOW(reactor->words[at], ROTA_RECORD_TIME_BITS);
		uint64_t next = next_time(reactor, at + 1, seen);
		int64_t start = (int64_t)seen;
		/* Behind the last look all that is known is the order. */
		int64_t stop = next < reactor->count
				       ? (int64_t)LOW(reactor->words[next], ROTA_RECORD_TIME_BITS)
				       : start;
		int64_t step = stop > start ? (stop - start) / (int64_t)(next - at) : 0;

		for (uint64_t i = at; i < next; i++) {
			track->now = later(track->now + 1, start + step * (int64_t)(i - at));
			take(track, reactor->words[i]);
		}
		at = next;
	}
	track->now = later(track->now + 1, end);
	close_from(track, LEVEL_TURN, "the recording's end: it still runs");
}

static void write_names(struct track *track, const struct recording *recording)
{
	track->now = 0;
	begin(track, "M");
	fputs(",\"name\":\"process_name\",\"args\":{\"name\":\"", track->out);
	put_text(track->out, recording->name);
	fputs("\"}}", track->out);
	event(track, "M", ",\"name\":\"thread_name\",\"args\":{\"name\":\"reactor %" PRIu32 "\"}",
	      track->reactor->index);
}

int recording_trace(const struct recording *recording, FILE *out)
{
	fprintf(out,
		"{\"displayTimeUnit\":\"ns\",\"otherData\":{\"signal\":%" PRIu32
		"},\"traceEvents\":[\n{\"ph\":\"M\",\"ts\":0,\"pid\":%" PRIu32
		",\"tid\":0,\"name\":\"process_labels\",\"args\":{\"labels\":\"rota\"}}",
		recording->signal, recording->pid);
	for (unsigned i = 0; i < recording->reactors_count; i++) {
		struct track *track = calloc(1, sizeof(*track));

		if (!track)
			return -ENOMEM;
		track->out = out;
		track->reactor = recording->reactors[i];
		track->pid = recording->pid;
		write_names(track, recording);
		/* A simulated clock is not the one that the recording was taken by. */
		write_records(track, track->reactor->is_simulated ? 0 : recording->now);
		free(track);
	}
	fputs("\n]}\n", out);
	return ferror(out) ? -EIO : 0;
}
