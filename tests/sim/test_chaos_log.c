/* SPDX-License-Identifier: MIT */
/*
 * A server that keeps a log on its disk under chaos: it appends what clients send, makes it
 * durable, and only then says so. Layer: tests.
 *
 * The one idea: what a client was told is in the log after every crash, at the place it was told,
 * and nothing is there that nobody sent. A record says how long it is, which it is, and the sum of
 * its bytes, so that a torn tail is seen and cut off. When writing or syncing fails, the log's end
 * stays where it was and the next record is written over it: after a sync that failed, what it
 * should have kept has to be written again.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rota/file.h>
#include <rota/memory.h>

#include "tests/sim/chaos.h"
#include "tests/support/t_core.h"

#define PATH "/log"
#define LOG_BYTES_MAX (1u << 20)
#define RETRY_MS 20
#define APPENDS 15 /* of each client */
#define VALUES_MAX (T_CHAOS_HOSTS * T_CHAOS_CLIENTS * APPENDS + 1)
#define FAILURES_MAX 20 /* to connect: then a client gives up */
#define PAYLOAD_BYTES_MAX 1500

/* What clients know; no host's memory. */
static struct {
	unsigned sent; /* values 1 to this */
	/* by place in the log: the value it was told is there, or 0 */
	unsigned recorded[VALUES_MAX];
	bool is_running; /* or was, when the power went */
} outside;

/* Of all runs. */
static struct {
	uint64_t acknowledged, failed, unanswered, crashes, torn;
} seen;

/* ---- records ---- */

struct record {
	uint32_t bytes; /* of the payload */
	uint32_t index;
	uint32_t value; /* which the payload is made of */
	uint32_t sum;   /* of all else */
	unsigned char payload[PAYLOAD_BYTES_MAX];
};

#define HEAD_BYTES offsetof(struct record, payload)

static uint32_t sum_of(const struct record *record)
{
	uint32_t sum = record->bytes * 31 + record->index * 37 + record->value * 41 + 1;

	for (uint32_t i = 0; i < record->bytes; i++)
		sum = (sum ^ record->payload[i]) * UINT32_C(0x01000193);
	return sum;
}

static void make_record(struct record *record, uint32_t index, uint32_t value)
{
	*record = (struct record){
		.bytes = 1 + value * 97 % PAYLOAD_BYTES_MAX,
		.index = index,
		.value = value,
	};
	for (uint32_t i = 0; i < record->bytes; i++)
		record->payload[i] = (unsigned char)(value * 7 + i);
	record->sum = sum_of(record);
}

/* The one at `at`, if a whole one is there that is number `index`. */
static bool take_record(const struct rota_buffer *log, size_t at, uint32_t index,
			struct record *record)
{
	if (log->bytes - at < HEAD_BYTES)
		return false;
	memcpy(record, log->data + at, HEAD_BYTES);
	if (record->bytes > PAYLOAD_BYTES_MAX || log->bytes - at - HEAD_BYTES < record->bytes ||
	    record->index != index)
		return false;
	memcpy(record->payload, log->data + at + HEAD_BYTES, record->bytes);
	return record->sum == sum_of(record);
}

/* ---- the log ---- */

/* On reactor 0. */
struct log {
	struct rota_file file;
	struct rota_mutex lock;
	uint64_t bytes; /* its durable end: all records before it are whole */
	uint32_t count;
};

/* What is in it is what it may be. */
static void judge_value(uint32_t index, uint32_t value, bool is_there[])
{
	T_CHECK(value >= 1 && value <= outside.sent && !is_there[value]);
	is_there[value] = true;
	T_CHECK(!outside.recorded[index] || outside.recorded[index] == value);
}

/* What is whole in `content`. */
static void find_end(struct log *log, const struct rota_buffer *content)
{
	bool is_there[VALUES_MAX] = { false };
	struct record record;

	log->bytes = log->count = 0;
	while (take_record(content, log->bytes, log->count, &record)) {
		judge_value(log->count++, record.value, is_there);
		log->bytes += HEAD_BYTES + record.bytes;
	}
	seen.torn += log->bytes < content->bytes;
	for (uint32_t i = log->count; i < VALUES_MAX; i++)
		T_CHECK(!outside.recorded[i]); /* or it was lost */
}

/*
 * Begin with a new file that has what is whole in the old one. Of that it is not known what the
 * disk has: the program before this one may have failed, and no crash have shown what was lost with
 * its syncs; not even that the file has its name. Returns 0 or negative errno.
 */
static int recover(struct log *log)
{
	struct rota_buffer content;
	int status;

	rota_buffer_init(&content);
	status = rota_file_read_whole(PATH, LOG_BYTES_MAX, &content);
	if (status == -ENOENT)
		status = 0;
	if (status == 0) {
		find_end(log, &content);
		status = rota_file_replace(PATH, content.data, log->bytes, 0600);
	}
	rota_buffer_fini(&content);
	return status < 0 ? status : rota_file_open(&log->file, PATH, O_RDWR, 0);
}

struct append {
	struct log *log;
	uint32_t value;
};

static int64_t append_alone(struct log *log, uint32_t value)
{
	struct record record;
	int status;

	make_record(&record, log->count, value);
	status = rota_file_write_at(&log->file, &record, HEAD_BYTES + record.bytes, log->bytes);
	if (status == 0 && !t_chaos_misbehaves)
		status = rota_file_sync_data(&log->file);
	if (status < 0)
		return status;
	log->bytes += HEAD_BYTES + record.bytes;
	return log->count++;
}

/* On the log's reactor. Returns its place, or negative errno. */
static int64_t append(void *arg)
{
	struct append *append = arg;
	int64_t status = rota_mutex_lock(&append->log->lock);

	if (status < 0)
		return status;
	status = append_alone(append->log, append->value);
	rota_mutex_unlock(&append->log->lock);
	return status;
}

/* ---- the server ---- */

struct boot {
	struct log log;
	struct rota_server *server;
	struct rota_service service;
	struct rota_server_options options;
};

/* "17" is answered "3", its place in the log, or "-". */
static int64_t serve_appends(struct rota_conn *conn, void *arg)
{
	struct boot *boot = arg;
	char line[32];
	int64_t status = 0;

	while (status >= 0 && t_hear_line(conn, line, sizeof(line))) {
		struct append one = { &boot->log, (uint32_t)strtoul(line, NULL, 10) };

		status = rota_call_on(rota_server_reactor(boot->server, 0), append, &one);
		snprintf(line, sizeof(line), status < 0 ? "-\r\n" : "%u\r\n", (unsigned)status);
		status = rota_conn_write(conn, rota_view_of_string(line));
	}
	return status < 0 ? status : 0;
}

/* The disk may have errors for some time. */
static int start(struct rota_server *server, unsigned reactor_index, void *arg)
{
	struct boot *boot = arg;
	int status;

	boot->server = server;
	if (reactor_index > 0)
		return 0;
	rota_mutex_init(&boot->log.lock, 0);
	while ((status = recover(&boot->log)) == -EIO || status == -ENOSPC)
		if ((status = rota_sleep_ms(RETRY_MS)) < 0)
			break;
	return status;
}

static void stop(struct rota_server *server, unsigned reactor_index, void *arg)
{
	struct boot *boot = arg;

	(void)server;
	if (reactor_index > 0)
		return;
	rota_file_close(&boot->log.file);
	rota_mutex_fini(&boot->log.lock);
}

static int serve(void *arg)
{
	struct boot *boot = rota_calloc(1, sizeof(*boot));
	int status;

	(void)arg;
	seen.crashes += outside.is_running;
	outside.is_running = true;
	if (boot) {
		boot->service = (struct rota_service){
			.name = "log",
			.port = T_PORT,
			.handler = serve_appends,
			.arg = boot,
			.start = start,
			.stop = stop,
		};
		rota_server_options_init(&boot->options, NULL);
	}
	status = boot ? t_hosts_serve(&boot->service, &boot->options) : -ENOMEM;
	rota_free(boot);
	outside.is_running = false;
	return status;
}

/* ---- the clients ---- */

/* False: it broke off, or took too long. */
static bool ask(struct rota_conn *conn, uint32_t value)
{
	char line[32];
	uint32_t place;

	snprintf(line, sizeof(line), "%u\r\n", value);
	if (rota_conn_write(conn, rota_view_of_string(line)) < 0 ||
	    !t_hear_line(conn, line, sizeof(line))) {
		seen.unanswered++;
		return false;
	}
	if (!strcmp(line, "-")) {
		seen.failed++;
		return true;
	}
	place = (uint32_t)strtoul(line, NULL, 10);
	T_LESS(place, VALUES_MAX);
	T_EQUAL(outside.recorded[place], 0);
	outside.recorded[place] = value;
	seen.acknowledged++;
	return true;
}

static bool append_within_a_second(struct rota_conn *conn)
{
	struct rota_scope scope;
	bool is_well;

	rota_scope_open(&scope, rota_after_ns(ROTA_NS_PER_S));
	is_well = ask(conn, ++outside.sent);
	rota_ignore(rota_scope_close(&scope), "that it took too long is known");
	return is_well;
}

static int64_t client(void *arg)
{
	struct rota_conn *conn = NULL;
	unsigned done = 0, failures = 0;

	(void)arg;
	while (done < APPENDS && failures < FAILURES_MAX) {
		T_EQUAL(rota_sleep_ms(t_chaos_draw(200)), 0);
		if (!conn)
			conn = t_arrive(T_PORT);
		if (!conn) {
			failures++;
			continue;
		}
		done++;
		if (append_within_a_second(conn))
			continue;
		rota_conn_close(conn);
		conn = NULL;
	}
	if (conn)
		rota_conn_close(conn);
	return 0;
}

/* ---- the story ---- */

static void begin(void)
{
	memset(&outside, 0, sizeof(outside));
}

static void report(uint64_t seeds)
{
	print_message("%llu acknowledged, %llu failed, %llu unanswered; %llu crashes, %llu torn "
		      "tails\n",
		      (unsigned long long)seen.acknowledged, (unsigned long long)seen.failed,
		      (unsigned long long)seen.unanswered, (unsigned long long)seen.crashes,
		      (unsigned long long)seen.torn);
	if (seeds < 10)
		return;
	assert_true(seen.acknowledged > seen.failed && seen.failed);
	assert_true(seen.unanswered && seen.crashes);
	assert_true(seen.torn || seeds < 100);
}

int main(int argc, char **argv)
{
	static const struct t_chaos chaos = {
		.name = "chaos: a log",
		.serve = serve,
		.client = client,
		.begin = begin,
		.report = report,
	};

	return t_chaos_main(&chaos, argc, argv);
}
