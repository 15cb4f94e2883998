/* SPDX-License-Identifier: MIT */
/*
 * The simulator's disk: programs that survive its crashes under every seed, programs with one sync
 * too few that do not, and the errors it can be made to have.
 *
 * The one idea: an oracle that has never failed proves nothing, so every program that is right has
 * wrong brothers beside it, and the same oracle must catch each of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <rota/file.h>
#include <rota/reactor.h>

#include "backends/sim/sim.h"
#include "tests/support/t_alloc.h"
#include "tests/support/t_core.h"

#define SEEDS 300
#define CRASHES 3 /* per seed, on one disk */
#define RUN_NS_MAX (60 * ROTA_NS_PER_MS)
#define FILE_BYTES_MAX (1u << 20)

/* What a program leaves out. */
enum fault {
	FAULT_NONE,
	FAULT_NO_SYNC,
	FAULT_NO_DIRECTORY_SYNC,
	FAULT_SYNC_AGAIN, /* after a sync that failed, as if it had not */
	FAULT_NO_CHECK,   /* of what is read back */
};

/* What is outside of the machine that crashes. */
static struct {
	enum fault fault;
	uint64_t acknowledged; /* records, or the newest value, that somebody was told of */
	uint64_t begun;        /* the newest that was begun */
	bool is_violated;
} outside;

/* ---- a program's life, and its disk's death ---- */

static int64_t until_the_end(void *arg)
{
	int64_t (*program)(void) = *(int64_t(**)(void))arg;
	struct rota_scope scope;
	uint64_t random;
	rota_ns end;

	rota_backend_sim.random(rota_reactor_backend(rota_reactor_current()), &random,
				sizeof(random));
	end = rota_after_ns((int64_t)(random % (uint64_t)RUN_NS_MAX));
	rota_scope_open(&scope, end);
	rota_ignore(program(), "it ends when its time is over, or on an error");
	rota_ignore(rota_scope_close(&scope), "the same");
	return 0;
}

static int64_t in_peace(void *arg)
{
	return (*(int64_t(**)(void))arg)();
}

static int64_t run_in(struct rota_sim_world *world, rota_task_fn fn, int64_t (*program)(void))
{
	struct rota_reactor_options options = { .engine = &rota_backend_sim };
	int64_t result;

	rota_sim_world_use(world);
	result = rota_run(&options, fn, &program);
	rota_sim_world_use(NULL);
	return result;
}

struct story {
	int64_t (*write)(void);
	int64_t (*check)(void); /* after each crash; sets outside.is_violated */
	uint32_t sync_error_permille;
};

/* Returns the world's hash. */
static uint64_t live_and_crash(const struct story *story, uint64_t seed)
{
	struct rota_sim_options options;
	struct rota_sim_world *world;
	uint64_t hash;

	rota_sim_options_rough(&options, seed);
	options.sync_error_permille = story->sync_error_permille;
	T_EQUAL(rota_sim_world_create(&options, &world), 0);
	outside.acknowledged = outside.begun = 0;
	for (int i = 0; i < CRASHES && !outside.is_violated; i++) {
		T_EQUAL(run_in(world, until_the_end, story->write), 0);
		rota_sim_disk_crash(world, 0);
		T_EQUAL(run_in(world, in_peace, story->check), 0);
	}
	hash = rota_sim_trace_hash(world);
	T_EQUAL(rota_sim_world_destroy(world), 0);
	return hash;
}

/* Under how many seeds the program breaks its word; `acknowledged`: what it said in all. */
static unsigned count_violations(const struct story *story, enum fault fault,
				 uint64_t *acknowledged)
{
	unsigned violations = 0;

	outside.fault = fault;
	*acknowledged = 0;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		outside.is_violated = false;
		live_and_crash(story, seed);
		violations += outside.is_violated;
		*acknowledged += outside.acknowledged;
	}
	return violations;
}

/* ---- a log: records one behind the other ---- */

#define RECORD_BYTES 712 /* more than a sector, and no multiple of one */

struct record {
	uint64_t index;
	uint64_t sum; /* of the bytes */
	unsigned char bytes[RECORD_BYTES - 16];
};

_Static_assert(sizeof(struct record) == RECORD_BYTES, "records lie one behind the other");

static uint64_t sum_of(const struct record *record)
{
	uint64_t sum = record->index + 1;

	for (size_t i = 0; i < sizeof(record->bytes); i++)
		sum = (sum ^ record->bytes[i]) * UINT64_C(0x100000001b3);
	return sum;
}

static void make_record(struct record *record, uint64_t index)
{
	record->index = index;
	for (size_t i = 0; i < sizeof(record->bytes); i++)
		record->bytes[i] = (unsigned char)(index * 31 + i * 7 + 1);
	record->sum = sum_of(record);
}

/* The records of the log, and the bytes they take; the rest is a crash's. */
static int64_t count_records(void)
{
	struct rota_buffer log;
	uint64_t count = 0;
	int status;

	rota_buffer_init(&log);
	status = rota_file_read_whole("/log/log", FILE_BYTES_MAX, &log);
	for (; status == 0 && (count + 1) * RECORD_BYTES <= log.bytes; count++) {
		struct record record;

		memcpy(&record, log.data + count * RECORD_BYTES, sizeof(record));
		if (outside.fault != FAULT_NO_CHECK &&
		    (record.index != count || record.sum != sum_of(&record)))
			break;
	}
	rota_buffer_fini(&log);
	return status < 0 ? status : (int64_t)count;
}

static int sync_log(struct rota_file *log)
{
	int status;

	if (outside.fault == FAULT_NO_SYNC)
		return 0;
	status = rota_file_sync_data(log);
	if (status == -EIO && outside.fault == FAULT_SYNC_AGAIN)
		status = rota_file_sync_data(log);
	return status;
}

static int append_records(struct rota_file *log, uint64_t count)
{
	int status = rota_file_truncate(log, count * RECORD_BYTES);

	while (status == 0) {
		struct record record;

		make_record(&record, count);
		/* Of a record that was begun once, a crash may keep what a truncation took. */
		if (outside.begun < count + 1)
			outside.begun = count + 1;
		status = rota_file_write_at(log, &record, sizeof(record), count * RECORD_BYTES);
		if (status == 0)
			status = sync_log(log);
		if (status == 0)
			outside.acknowledged = ++count;
	}
	return status;
}

static int64_t write_log(void)
{
	struct rota_file log;
	int64_t count = 0;
	int status = rota_directory_make("/log", 0700);

	if (status == 0 || status == -EEXIST)
		status = rota_directory_sync("/");
	if (status == 0)
		status = rota_file_open(&log, "/log/log", O_RDWR | O_CREAT, 0600);
	if (status < 0)
		return status;
	if (outside.fault != FAULT_NO_DIRECTORY_SYNC)
		status = rota_directory_sync("/log");
	if (status == 0)
		count = count_records();
	if (status == 0 && count >= 0)
		status = append_records(&log, (uint64_t)count);
	rota_ignore(rota_file_close(&log), "what counts has been synced");
	return status;
}

/* What was acknowledged is there, and nothing that was never written. */
static int64_t check_log(void)
{
	int64_t count = count_records();
	struct rota_buffer log;

	if (count == -ENOENT)
		count = 0;
	T_CHECK(count >= 0);
	if ((uint64_t)count < outside.acknowledged || (uint64_t)count > outside.begun)
		outside.is_violated = true;
	/* with a record that is not one, a prefix is not what it says */
	rota_buffer_init(&log);
	if (count && rota_file_read_whole("/log/log", FILE_BYTES_MAX, &log) == 0)
		for (int64_t i = 0; i < count; i++) {
			struct record record;

			make_record(&record, (uint64_t)i);
			if (memcmp(log.data + i * RECORD_BYTES, &record, sizeof(record)) != 0)
				outside.is_violated = true;
		}
	rota_buffer_fini(&log);
	return 0;
}

static const struct story log_story = { write_log, check_log, 0 };
static const struct story log_story_with_errors = { write_log, check_log, 100 };

static void test_log_that_syncs_keeps_what_it_acknowledged(void **state)
{
	uint64_t acknowledged;

	(void)state;
	assert_int_equal(count_violations(&log_story, FAULT_NONE, &acknowledged), 0);
	/* and it said something */
	assert_true(acknowledged > SEEDS);
	assert_int_equal(count_violations(&log_story_with_errors, FAULT_NONE, &acknowledged), 0);
	assert_true(acknowledged > SEEDS);
}

static void test_log_with_a_fault_is_caught(void **state)
{
	const enum fault faults[] = { FAULT_NO_SYNC, FAULT_NO_DIRECTORY_SYNC, FAULT_SYNC_AGAIN,
				      FAULT_NO_CHECK };
	uint64_t acknowledged;

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(faults); i++) {
		unsigned caught = count_violations(&log_story_with_errors, faults[i],
						   &acknowledged);

		print_message("fault %d: caught under %u of %d seeds\n", faults[i], caught, SEEDS);
		assert_true(caught > 0);
	}
}

static void test_crash_under_the_same_seed_is_the_same(void **state)
{
	(void)state;
	outside.fault = FAULT_NO_SYNC;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		outside.is_violated = false;
		uint64_t hash = live_and_crash(&log_story, seed);

		outside.is_violated = false;
		assert_true(live_and_crash(&log_story, seed) == hash);
		outside.is_violated = false;
		assert_true(live_and_crash(&log_story, seed + 1000) != hash);
	}
}

/* ---- a file replaced again and again ---- */

#define VALUE_BYTES 1500

static void make_value(char value[VALUE_BYTES], uint64_t number)
{
	memset(value, 'a' + (int)(number % 26), VALUE_BYTES);
	memcpy(value, &number, sizeof(number));
}

/* Without the syncs, as programs do it that have never been in a crash. */
static int replace_hastily(const char *path, const char *value)
{
	struct rota_file file;
	int status = rota_file_open(&file, "/value.new", O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (status < 0)
		return status;
	status = rota_file_write_at(&file, value, VALUE_BYTES, 0);
	if (status == 0 && outside.fault == FAULT_NO_DIRECTORY_SYNC)
		status = rota_file_sync(&file);
	rota_ignore(rota_file_close(&file), "hastily");
	return status < 0 ? status : rota_file_rename("/value.new", path);
}

static int64_t write_values(void)
{
	char value[VALUE_BYTES];
	int status = 0;

	while (status == 0) {
		make_value(value, ++outside.begun);
		status = outside.fault == FAULT_NONE
				 ? rota_file_replace("/value", value, sizeof(value), 0600)
				 : replace_hastily("/value", value);
		if (status == 0)
			outside.acknowledged = outside.begun;
	}
	return status;
}

static int64_t check_value(void)
{
	char expected[VALUE_BYTES];
	struct rota_buffer read;
	uint64_t number = 0;
	int status;

	rota_buffer_init(&read);
	status = rota_file_read_whole("/value", FILE_BYTES_MAX, &read);
	T_CHECK(status == 0 || status == -ENOENT);
	if (read.bytes == VALUE_BYTES) {
		memcpy(&number, read.data, sizeof(number));
		make_value(expected, number);
		if (memcmp(read.data, expected, VALUE_BYTES) != 0)
			outside.is_violated = true;
	} else if (status == 0) {
		outside.is_violated = true;
	}
	if (number < outside.acknowledged || number > outside.begun)
		outside.is_violated = true;
	rota_buffer_fini(&read);
	return 0;
}

static const struct story value_story = { write_values, check_value, 0 };
static const struct story value_story_with_errors = { write_values, check_value, 100 };

static void test_replace_leaves_the_old_file_or_the_new_one(void **state)
{
	uint64_t acknowledged;

	(void)state;
	assert_int_equal(count_violations(&value_story, FAULT_NONE, &acknowledged), 0);
	assert_true(acknowledged > SEEDS);
	assert_int_equal(count_violations(&value_story_with_errors, FAULT_NONE, &acknowledged), 0);
	assert_true(acknowledged > SEEDS);
}

static void test_replace_without_a_sync_is_caught(void **state)
{
	uint64_t acknowledged;

	(void)state;
	assert_true(count_violations(&value_story, FAULT_NO_SYNC, &acknowledged) > 0);
	assert_true(count_violations(&value_story, FAULT_NO_DIRECTORY_SYNC, &acknowledged) > 0);
}

/* ---- errors ---- */

static int64_t fill_disk(void)
{
	struct rota_file file;
	char bytes[600];

	memset(bytes, 'x', sizeof(bytes));
	T_EQUAL(rota_file_open(&file, "/a", O_RDWR | O_CREAT, 0600), 0);
	T_EQUAL(rota_file_write_at(&file, bytes, 600, 0), 0);
	T_EQUAL(rota_file_write_at(&file, bytes, 600, 600), -ENOSPC);
	T_EQUAL(rota_file_size(&file), 1000); /* what fitted was written */
	T_EQUAL(rota_file_allocate(&file, 1000, 1), -ENOSPC);
	T_EQUAL(rota_file_write_at(&file, bytes, 600, 0), 0);
	T_EQUAL(rota_file_truncate(&file, 10), 0);
	T_EQUAL(rota_file_write_at(&file, bytes, 600, 10), 0);
	T_EQUAL(rota_file_close(&file), 0);
	/* a file that goes gives its room back */
	T_EQUAL(rota_file_unlink("/a"), 0);
	T_EQUAL(rota_directory_sync("/"), 0);
	T_EQUAL(rota_file_open(&file, "/b", O_RDWR | O_CREAT, 0600), 0);
	T_EQUAL(rota_file_allocate(&file, 0, 1000), 0);
	T_EQUAL(rota_file_close(&file), 0);
	return 0;
}

static int64_t meet_errors(void)
{
	struct rota_file file;
	unsigned errors = 0;
	char byte = 'x';

	T_EQUAL(rota_file_open(&file, "/a", O_RDWR | O_CREAT, 0600), 0);
	for (int i = 0; i < 200; i++) {
		int status = rota_file_write_at(&file, &byte, 1, 0);

		T_CHECK(status == 0 || status == -EIO);
		errors += status < 0;
		status = (int)rota_file_read_at(&file, &byte, 1, 0);
		T_CHECK(status == 0 || status == 1 || status == -EIO);
		errors += status < 0;
	}
	T_CHECK(errors > 50 && errors < 350);
	T_EQUAL(rota_file_close(&file), 0);
	return 0;
}

static void run_with(const char *text, int64_t (*program)(void))
{
	struct rota_sim_options options;
	struct rota_sim_world *world;
	char message[ROTA_BACKEND_TEXT_BYTES];

	rota_sim_options_init(&options, 5);
	assert_int_equal(rota_sim_options_parse(&options, text, message), 0);
	assert_int_equal(rota_sim_world_create(&options, &world), 0);
	assert_int_equal(run_in(world, in_peace, program), 0);
	assert_int_equal(rota_sim_world_destroy(world), 0);
}

static void test_disk_that_is_full_says_so(void **state)
{
	(void)state;
	run_with("disk-bytes=1000", fill_disk);
}

static void test_disk_errors_come_as_often_as_asked_for(void **state)
{
	(void)state;
	run_with("disk-error=500", meet_errors);
}

static int64_t leave_open(void)
{
	struct rota_file file;

	return rota_file_open(&file, "/a", O_RDWR | O_CREAT, 0600);
}

static void test_world_reports_files_left_open(void **state)
{
	struct rota_sim_options options;
	struct rota_sim_world *world;

	(void)state;
	rota_sim_options_init(&options, 1);
	assert_int_equal(rota_sim_world_create(&options, &world), 0);
	assert_int_equal(run_in(world, in_peace, leave_open), 0);
	t_log_keep();
	assert_int_equal(rota_sim_world_destroy(world), 1);
	assert_int_equal(t_log_count("open: file"), 1);
	t_log_stop();
}

/* Some of everything that takes memory; what fails of it is said. */
static int64_t use_everything(void)
{
	struct rota_buffer read;
	struct rota_file file;
	char bytes[100] = "some";

	rota_ignore(rota_directory_make("/d", 0700), "memory may be short");
	rota_ignore(rota_file_replace("/d/a", bytes, sizeof(bytes), 0600), "the same");
	if (rota_file_open(&file, "/d/b", O_RDWR | O_CREAT, 0600) == 0) {
		rota_ignore(rota_file_write_at(&file, bytes, sizeof(bytes), 0), "the same");
		rota_ignore(rota_file_truncate(&file, 200), "the same");
		rota_ignore(rota_file_sync(&file), "the same");
		rota_ignore(rota_file_close(&file), "the same");
	}
	rota_ignore(rota_file_rename("/d/b", "/c"), "the same");
	rota_buffer_init(&read);
	rota_ignore(rota_file_read_whole("/d/a", 1000, &read), "the same");
	rota_buffer_fini(&read);
	rota_ignore(rota_file_unlink("/d/a"), "the same");
	return 0;
}

static void use_everything_once(void *arg)
{
	struct rota_sim_options options;
	struct rota_sim_world *world;

	(void)arg;
	rota_sim_options_init(&options, 1);
	if (rota_sim_world_create(&options, &world) < 0)
		return;
	rota_ignore(run_in(world, in_peace, use_everything), "memory may be short");
	assert_int_equal(rota_sim_world_destroy(world), 0);
}

static void test_disk_survives_every_failed_allocation(void **state)
{
	(void)state;
	t_alloc_install();
	assert_true(t_alloc_sweep(use_everything_once, NULL) > 30);
	t_alloc_remove();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log_that_syncs_keeps_what_it_acknowledged),
		cmocka_unit_test(test_log_with_a_fault_is_caught),
		cmocka_unit_test(test_crash_under_the_same_seed_is_the_same),
		cmocka_unit_test(test_replace_leaves_the_old_file_or_the_new_one),
		cmocka_unit_test(test_replace_without_a_sync_is_caught),
		cmocka_unit_test(test_disk_that_is_full_says_so),
		cmocka_unit_test(test_disk_errors_come_as_often_as_asked_for),
		cmocka_unit_test(test_world_reports_files_left_open),
		cmocka_unit_test(test_disk_survives_every_failed_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
