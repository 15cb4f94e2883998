/* SPDX-License-Identifier: MIT */
/*
 * Files, the same expectations on every engine: bytes, sizes, names, errors, cancellation, whole
 * files. On real kernels in a directory of the test's own, in the simulator on its disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/file.h>

#include "tests/support/t_core.h"

#define BIG_BYTES (300 * 1024)

static char directory[64];

/* A path in it; four of them may be in use at a time. */
static const char *at(const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

static int64_t (*body)(void);

static int64_t run_body(void *arg)
{
	(void)arg;
	if (t_is_simulated())
		T_EQUAL(rota_directory_make(directory, 0700), 0);
	T_EQUAL(body(), 0);
	T_EQUAL(rota_directory_remove(directory), 0); /* and so nothing is left in it */
	return 0;
}

/* Calm, and in the simulator rough as well: short reads and writes, late cancels. */
static void run(int64_t (*fn)(void))
{
	body = fn;
	for (int rough = 0; rough <= t_is_simulated(); rough++) {
		struct rota_reactor_options options = t_reactor_options();

		snprintf(directory, sizeof(directory), "/tmp/rota-test-file-%d", getpid());
		if (t_is_simulated())
			snprintf(directory, sizeof(directory), "/directory");
		else
			assert_int_equal(mkdir(directory, 0700), 0);
		options.engine_options = rough ? "seed=3,rough" : NULL;
		assert_int_equal(rota_run(&options, run_body, NULL), 0);
	}
}

static void write_file(const char *path, const void *data, size_t bytes)
{
	struct rota_file file;

	T_EQUAL(rota_file_open(&file, path, O_WRONLY | O_CREAT | O_TRUNC, 0600), 0);
	T_EQUAL(rota_file_write_at(&file, data, bytes, 0), 0);
	T_EQUAL(rota_file_close(&file), 0);
}

static void expect_file(const char *path, const void *data, size_t bytes)
{
	struct rota_buffer read;

	rota_buffer_init(&read);
	T_EQUAL(rota_file_read_whole(path, BIG_BYTES, &read), 0);
	T_EQUAL(read.bytes, bytes);
	T_CHECK(!bytes || !memcmp(read.data, data, bytes));
	rota_buffer_fini(&read);
}

static bool exists(const char *path)
{
	struct rota_file file;
	int status = rota_file_open(&file, path, O_RDONLY, 0);

	if (status == 0)
		rota_ignore(rota_file_close(&file), "only to see");
	T_CHECK(status == 0 || status == -ENOENT);
	return status == 0;
}

/* ---- bytes ---- */

static int64_t write_and_read(void)
{
	static char big[BIG_BYTES], back[BIG_BYTES + 10];
	struct rota_file file;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 7 + i / 251);
	T_EQUAL(rota_file_open(&file, at("a"), O_RDWR | O_CREAT | O_EXCL, 0600), 0);
	T_EQUAL(rota_file_size(&file), 0);
	T_EQUAL(rota_file_read_at(&file, back, 10, 0), 0);
	T_EQUAL(rota_file_write_at(&file, big, sizeof(big), 0), 0);
	T_EQUAL(rota_file_size(&file), BIG_BYTES);
	/* a read ends where the file does */
	T_EQUAL(rota_file_read_at(&file, back, sizeof(back), 0), BIG_BYTES);
	T_CHECK(!memcmp(back, big, sizeof(big)));
	T_EQUAL(rota_file_read_at(&file, back, 100, BIG_BYTES - 40), 40);
	T_CHECK(!memcmp(back, big + BIG_BYTES - 40, 40));
	/* in the middle, and beyond the end, where zeroes come to be */
	T_EQUAL(rota_file_write_at(&file, "middle", 6, 1000), 0);
	T_EQUAL(rota_file_write_at(&file, "end", 3, BIG_BYTES + 5), 0);
	T_EQUAL(rota_file_size(&file), BIG_BYTES + 8);
	T_EQUAL(rota_file_read_at(&file, back, 8, BIG_BYTES), 8);
	T_CHECK(!memcmp(back, "\0\0\0\0\0end", 8));
	T_EQUAL(rota_file_read_at(&file, back, 8, 999), 8);
	T_CHECK(!memcmp(back + 1, "middle", 6));
	T_EQUAL(rota_file_sync(&file), 0);
	T_EQUAL(rota_file_sync_data(&file), 0);
	T_EQUAL(rota_file_close(&file), 0);
	return rota_file_unlink(at("a"));
}

static void test_file_reads_what_was_written(void **state)
{
	(void)state;
	run(write_and_read);
}

static int64_t change_sizes(void)
{
	struct rota_file file;
	char back[16];

	T_EQUAL(rota_file_open(&file, at("a"), O_RDWR | O_CREAT, 0600), 0);
	T_EQUAL(rota_file_write_at(&file, "abcdefgh", 8, 0), 0);
	T_EQUAL(rota_file_truncate(&file, 3), 0);
	T_EQUAL(rota_file_size(&file), 3);
	T_EQUAL(rota_file_truncate(&file, 6), 0);
	T_EQUAL(rota_file_read_at(&file, back, sizeof(back), 0), 6);
	T_CHECK(!memcmp(back, "abc\0\0\0", 6));
	T_EQUAL(rota_file_allocate(&file, 0, 4), 0);
	T_EQUAL(rota_file_size(&file), 6);
	T_EQUAL(rota_file_allocate(&file, 4, 8), 0);
	T_EQUAL(rota_file_size(&file), 12);
	T_EQUAL(rota_file_close(&file), 0);
	/* O_TRUNC */
	write_file(at("a"), "xy", 2);
	expect_file(at("a"), "xy", 2);
	return rota_file_unlink(at("a"));
}

static void test_file_size_follows_truncate_and_allocate(void **state)
{
	(void)state;
	run(change_sizes);
}

/* ---- names ---- */

static int64_t change_names(void)
{
	write_file(at("a"), "a", 1);
	write_file(at("b"), "bb", 2);
	T_EQUAL(rota_file_rename(at("a"), at("b")), 0);
	T_CHECK(!exists(at("a")));
	expect_file(at("b"), "a", 1);
	T_EQUAL(rota_directory_make(at("d"), 0700), 0);
	T_EQUAL(rota_file_rename(at("b"), at("d/c")), 0);
	expect_file(at("d/c"), "a", 1);
	T_EQUAL(rota_directory_remove(at("d")), -ENOTEMPTY);
	T_EQUAL(rota_file_rename(at("d"), at("d/e")), -EINVAL);
	T_EQUAL(rota_file_rename(at("d"), at("e")), 0);
	T_EQUAL(rota_directory_sync(at("e")), 0);
	T_EQUAL(rota_file_unlink(at("e/c")), 0);
	return rota_directory_remove(at("e"));
}

static void test_file_names_change_as_told(void **state)
{
	(void)state;
	run(change_names);
}

static int64_t fail_in_every_way(void)
{
	struct rota_file file;
	char byte = 0;

	write_file(at("a"), "a", 1);
	T_EQUAL(rota_directory_make(at("d"), 0700), 0);
	T_EQUAL(rota_file_open(&file, at("none"), O_RDONLY, 0), -ENOENT);
	T_EQUAL(rota_file_open(&file, at("none/none"), O_RDONLY, 0), -ENOENT);
	T_EQUAL(rota_file_open(&file, at("a/b"), O_RDONLY, 0), -ENOTDIR);
	T_EQUAL(rota_file_open(&file, at("a"), O_RDONLY | O_DIRECTORY, 0), -ENOTDIR);
	T_EQUAL(rota_file_open(&file, at("a"), O_WRONLY | O_CREAT | O_EXCL, 0600), -EEXIST);
	T_EQUAL(rota_file_open(&file, at("d"), O_WRONLY, 0), -EISDIR);
	T_EQUAL(rota_directory_make(at("d"), 0700), -EEXIST);
	T_EQUAL(rota_directory_make(at("none/d"), 0700), -ENOENT);
	T_EQUAL(rota_file_unlink(at("none")), -ENOENT);
	T_EQUAL(rota_file_unlink(at("d")), -EISDIR);
	T_EQUAL(rota_directory_remove(at("a")), -ENOTDIR);
	T_EQUAL(rota_file_rename(at("none"), at("a")), -ENOENT);
	T_EQUAL(rota_file_rename(at("a"), at("d")), -EISDIR);
	T_EQUAL(rota_file_rename(at("d"), at("a")), -ENOTDIR);
	T_EQUAL(rota_directory_sync(at("none")), -ENOENT);
	T_EQUAL(rota_file_open(&file, at("a"), O_RDONLY, 0), 0);
	T_EQUAL(rota_file_write_at(&file, "x", 1, 0), -EBADF);
	T_EQUAL(rota_file_truncate(&file, 0), -EINVAL);
	T_EQUAL(rota_file_close(&file), 0);
	T_EQUAL(rota_file_close(&file), -EBADF);
	T_EQUAL(rota_file_read_at(&file, &byte, 1, 0), -EBADF);
	T_EQUAL(rota_directory_remove(at("d")), 0);
	return rota_file_unlink(at("a"));
}

static void test_file_errors_are_the_kernels(void **state)
{
	(void)state;
	run(fail_in_every_way);
}

static bool seen[300];

static int see(const char *name, void *arg)
{
	unsigned *count = arg;
	int number = atoi(name + 1);

	T_CHECK(name[0] == 'f' && number >= 0 && number < 300);
	T_CHECK(!seen[number]);
	seen[number] = true;
	++*count;
	return 0;
}

static int stop_at_once(const char *name, void *arg)
{
	(void)name;
	(void)arg;
	return 5;
}

static int64_t list_many(void)
{
	unsigned count = 0;
	char name[32];

	memset(seen, 0, sizeof(seen));
	T_EQUAL(rota_directory_list(directory, see, &count), 0);
	T_EQUAL(count, 0);
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "f%d-with-a-longer-name", i);
		write_file(at(name), "", 0);
	}
	T_EQUAL(rota_directory_list(directory, see, &count), 0);
	T_EQUAL(count, 300);
	T_EQUAL(rota_directory_list(directory, stop_at_once, NULL), 5);
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "f%d-with-a-longer-name", i);
		T_EQUAL(rota_file_unlink(at(name)), 0);
	}
	return 0;
}

static void test_directory_list_tells_every_name_once(void **state)
{
	(void)state;
	run(list_many);
}

/* ---- cancellation ---- */

static int64_t use_cancelled(void)
{
	struct rota_file file, other;
	struct rota_scope scope;
	char byte = 0;

	T_EQUAL(rota_file_open(&file, at("a"), O_RDWR | O_CREAT, 0600), 0);
	rota_scope_open(&scope, ROTA_NEVER);
	rota_scope_cancel(&scope, "by the test");
	T_EQUAL(rota_file_open(&other, at("b"), O_RDWR | O_CREAT, 0600), -ECANCELED);
	T_EQUAL(rota_file_write_at(&file, "x", 1, 0), -ECANCELED);
	T_EQUAL(rota_file_read_at(&file, &byte, 1, 0), -ECANCELED);
	T_EQUAL(rota_file_sync(&file), -ECANCELED);
	T_EQUAL(rota_file_replace(at("b"), "x", 1, 0600), -ECANCELED);
	/* a file is closed in any case */
	T_EQUAL(rota_file_close(&file), 0);
	T_EQUAL(rota_scope_close(&scope), -ECANCELED);
	T_CHECK(!exists(at("b")));
	expect_file(at("a"), "", 0);
	return rota_file_unlink(at("a"));
}

static void test_file_in_a_cancelled_scope_does_nothing_but_close(void **state)
{
	(void)state;
	run(use_cancelled);
}

/* Whenever the deadline comes: no descriptor is lost, nothing is lent when the call returns. */
static int64_t race_deadlines(void)
{
	for (int i = 0; i < 60; i++) {
		char *data = malloc(8192);
		struct rota_scope scope;
		struct rota_file file;

		T_CHECK(data != NULL);
		memset(data, 'x', 8192);
		rota_scope_open(&scope, rota_after_ns(i * 20 * ROTA_NS_PER_US));
		if (rota_file_open(&file, at("a"), O_RDWR | O_CREAT, 0600) == 0) {
			int status = rota_file_write_at(&file, data, 8192, 0);

			T_CHECK(status == 0 || status == -ETIMEDOUT);
			status = rota_file_sync(&file);
			T_CHECK(status == 0 || status == -ETIMEDOUT);
			T_EQUAL(rota_file_close(&file), 0);
		}
		free(data);
		rota_ignore(rota_scope_close(&scope), "either");
	}
	if (exists(at("a")))
		T_EQUAL(rota_file_unlink(at("a")), 0);
	return 0;
}

static void test_file_raced_by_deadlines_leaves_nothing_open(void **state)
{
	int fd_before = open("/dev/null", O_RDONLY | O_CLOEXEC), fd_after;

	(void)state;
	close(fd_before);
	run(race_deadlines);
	fd_after = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(fd_after);
	assert_int_equal(fd_after, fd_before);
}

/* ---- whole files ---- */

static int64_t read_and_replace(void)
{
	struct rota_buffer read;
	char back[4];

	T_EQUAL(rota_file_replace(at("a"), "one", 3, 0600), 0);
	expect_file(at("a"), "one", 3);
	T_EQUAL(rota_file_replace(at("a"), "longer", 6, 0600), 0);
	expect_file(at("a"), "longer", 6);
	T_CHECK(!exists(at("a.new")));
	/* what a crash left is written over */
	write_file(at("a.new"), "left behind by a crash", 22);
	T_EQUAL(rota_file_replace(at("a"), "x", 1, 0600), 0);
	expect_file(at("a"), "x", 1);
	/* the limit counts */
	rota_buffer_init(&read);
	write_file(at("a"), "1234", 4);
	T_EQUAL(rota_file_read_whole(at("a"), 3, &read), -EFBIG);
	rota_buffer_fini(&read);
	T_EQUAL(rota_file_read_whole(at("a"), 4, &read), 0);
	T_EQUAL(read.bytes, 4);
	memcpy(back, read.data, 4);
	T_CHECK(!memcmp(back, "1234", 4));
	rota_buffer_fini(&read);
	T_EQUAL(rota_file_read_whole(at("none"), 10, &read), -ENOENT);
	T_EQUAL(rota_file_replace(at("none/a"), "x", 1, 0600), -ENOENT);
	return rota_file_unlink(at("a"));
}

static void test_file_whole_is_read_and_replaced(void **state)
{
	(void)state;
	run(read_and_replace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file_reads_what_was_written),
		cmocka_unit_test(test_file_size_follows_truncate_and_allocate),
		cmocka_unit_test(test_file_names_change_as_told),
		cmocka_unit_test(test_file_errors_are_the_kernels),
		cmocka_unit_test(test_directory_list_tells_every_name_once),
		cmocka_unit_test(test_file_in_a_cancelled_scope_does_nothing_but_close),
		cmocka_unit_test(test_file_raced_by_deadlines_leaves_nothing_open),
		cmocka_unit_test(test_file_whole_is_read_and_replaced),
	};

	return t_run_group("file", tests, ROTA_ARRAY_COUNT(tests));
}
