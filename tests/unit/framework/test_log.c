/* SPDX-License-Identifier: MIT */
/*
 * Log lines: whole, cut, filtered, and said again no more than once a second. The clock is the
 * test's: this program is linked with --wrap=rota_now.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/log.h>

static rota_ns clock_ns;

rota_ns __wrap_rota_now(void);

rota_ns __wrap_rota_now(void)
{
	return __atomic_load_n(&clock_ns, __ATOMIC_RELAXED);
}

struct heard {
	unsigned lines;
	enum rota_log_level level;
	char line[4096];
};

static void hear(enum rota_log_level level, const char *line, void *arg)
{
	struct heard *heard = arg;

	heard->lines++;
	heard->level = level;
	strncpy(heard->line, line, sizeof(heard->line) - 1);
}

static int log_to_stderr(void **state)
{
	(void)state;
	rota_log_to(ROTA_LOG_INFO, NULL, NULL);
	return 0;
}

static void test_log_hands_the_sink_one_finished_line(void **state)
{
	struct heard heard = { 0 };

	(void)state;
	rota_log_to(ROTA_LOG_INFO, hear, &heard);
	rota_log(ROTA_LOG_WARNING, "%s is %d", "answer", 42);

	assert_int_equal(heard.lines, 1);
	assert_int_equal(heard.level, ROTA_LOG_WARNING);
	assert_string_equal(heard.line, "answer is 42");
}

static void test_log_below_the_least_level_is_silent(void **state)
{
	struct heard heard = { 0 };

	(void)state;
	rota_log_to(ROTA_LOG_WARNING, hear, &heard);
	rota_log(ROTA_LOG_DEBUG, "no");
	rota_log(ROTA_LOG_INFO, "no");
	assert_int_equal(heard.lines, 0);
	rota_log(ROTA_LOG_WARNING, "yes");
	rota_log(ROTA_LOG_ERROR, "yes");
	assert_int_equal(heard.lines, 2);
}

static void test_log_long_line_is_cut_and_not_overrun(void **state)
{
	struct heard heard = { 0 };
	char text[3000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	rota_log_to(ROTA_LOG_INFO, hear, &heard);
	rota_log(ROTA_LOG_INFO, "%s", text);

	assert_int_equal(strlen(heard.line), 1023);
	assert_int_equal(strspn(heard.line, "x"), 1023);
}

/* Run `rota_log` with standard error going to a pipe; returns what came out. */
static size_t log_through_pipe(const char *text, char *out, size_t out_bytes)
{
	int ends[2], saved;
	ssize_t got;

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	saved = dup(STDERR_FILENO);
	assert_true(saved >= 0);
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	rota_log(ROTA_LOG_ERROR, "%s", text);
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	got = read(ends[0], out, out_bytes - 1);
	assert_true(got >= 0);
	out[got] = '\0';
	close(saved);
	close(ends[0]);
	close(ends[1]);
	return (size_t)got;
}

static void test_log_without_a_sink_goes_to_standard_error(void **state)
{
	char out[2048];

	(void)state;
	log_through_pipe("it broke", out, sizeof(out));
	assert_string_equal(out, "rota: error: it broke\n");
}

static void test_log_long_line_to_standard_error_ends_with_a_newline(void **state)
{
	char text[3000], out[4096];
	size_t bytes;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	bytes = log_through_pipe(text, out, sizeof(out));

	assert_int_equal(bytes, 1024);
	assert_int_equal(out[bytes - 1], '\n');
	assert_int_equal(out[bytes - 2], 'x');
}

static void test_log_keeps_errno(void **state)
{
	struct heard heard = { 0 };

	(void)state;
	rota_log_to(ROTA_LOG_INFO, hear, &heard);
	errno = EBADF;
	rota_log(ROTA_LOG_ERROR, "%d", 1);
	rota_log(ROTA_LOG_DEBUG, "%d", 1);
	assert_int_equal(errno, EBADF);
}

static void test_log_limit_passes_once_a_second_and_counts_the_rest(void **state)
{
	struct rota_log_limit limit = { 0 };
	uint64_t repeats = 99;

	(void)state;
	clock_ns = 5 * ROTA_NS_PER_S;
	assert_true(rota_log_limit_pass(&limit, &repeats));
	assert_int_equal(repeats, 0);

	assert_false(rota_log_limit_pass(&limit, &repeats));
	clock_ns += ROTA_NS_PER_S - 1;
	assert_false(rota_log_limit_pass(&limit, &repeats));

	clock_ns += 1;
	assert_true(rota_log_limit_pass(&limit, &repeats));
	assert_int_equal(repeats, 2);

	clock_ns += ROTA_NS_PER_S;
	assert_true(rota_log_limit_pass(&limit, &repeats));
	assert_int_equal(repeats, 0);
}

#define SPEAKERS 4
#define TRIES 10000

struct chorus {
	struct rota_log_limit limit;
	unsigned passes;   /* atomic */
	uint64_t repeats;  /* atomic: what the passes were told */
	unsigned refusals; /* atomic */
};

static void *speak(void *arg)
{
	struct chorus *chorus = arg;
	uint64_t repeats;

	for (unsigned i = 0; i < TRIES; i++) {
		if (rota_log_limit_pass(&chorus->limit, &repeats)) {
			__atomic_fetch_add(&chorus->passes, 1, __ATOMIC_RELAXED);
			__atomic_fetch_add(&chorus->repeats, repeats, __ATOMIC_RELAXED);
		} else {
			__atomic_fetch_add(&chorus->refusals, 1, __ATOMIC_RELAXED);
		}
		if (i % 1000 == 0)
			__atomic_fetch_add(&clock_ns, ROTA_NS_PER_S, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void test_log_limit_shared_by_threads_loses_no_count(void **state)
{
	struct chorus chorus = { 0 };
	pthread_t threads[SPEAKERS];
	uint64_t last = 0;

	(void)state;
	clock_ns = ROTA_NS_PER_S;
	for (unsigned i = 0; i < SPEAKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, speak, &chorus), 0);
	for (unsigned i = 0; i < SPEAKERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	clock_ns += 2 * ROTA_NS_PER_S;
	assert_true(rota_log_limit_pass(&chorus.limit, &last));

	/* The clock moved 40 times, so one pass for each of its 41 times at most. */
	assert_in_range(chorus.passes, 1, SPEAKERS * TRIES / 1000 + 1);
	assert_int_equal(chorus.passes + chorus.refusals, SPEAKERS * TRIES);
	assert_int_equal(chorus.repeats + last, chorus.refusals);
}

int main(void)
{
#define ALONE(test) cmocka_unit_test_teardown(test, log_to_stderr)
	const struct CMUnitTest tests[] = {
		ALONE(test_log_hands_the_sink_one_finished_line),
		ALONE(test_log_below_the_least_level_is_silent),
		ALONE(test_log_long_line_is_cut_and_not_overrun),
		ALONE(test_log_without_a_sink_goes_to_standard_error),
		ALONE(test_log_long_line_to_standard_error_ends_with_a_newline),
		ALONE(test_log_keeps_errno),
		ALONE(test_log_limit_passes_once_a_second_and_counts_the_rest),
		ALONE(test_log_limit_shared_by_threads_loses_no_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
