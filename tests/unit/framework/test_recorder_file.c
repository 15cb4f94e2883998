/* SPDX-License-Identifier: MIT */
/*
 * The flight recorders' file: what a process leaves behind that crashes in each of the ways, that
 * is asked by a signal, or asks for it itself. Whoever dies is a child.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <rota/error.h>

#include "framework/reactor_internal.h"
#include "tests/support/t_core.h"

static char path[64];

/* ---- reading it ---- */

static struct rota_record_file head;
static struct rota_record_file_reactor reactor;
static struct rota_record_label labels[ROTA_RECORD_LABELS];
static uint64_t words[ROTA_RECORDS_DEFAULT];
static uint64_t written;

/* The file's first reactor. */
static void read_file(void)
{
	FILE *file = fopen(path, "re");

	assert_non_null(file);
	assert_int_equal(fread(&head, sizeof(head), 1, file), 1);
	assert_memory_equal(head.magic, ROTA_RECORD_FILE_MAGIC, sizeof(head.magic));
	assert_int_equal(fread(&reactor, sizeof(reactor), 1, file), 1);
	assert_int_equal(fread(labels, sizeof(labels), 1, file), 1);
	assert_true(reactor.count <= ROTA_ARRAY_COUNT(words));
	assert_int_equal(fread(words, sizeof(*words), reactor.count, file), reactor.count);
	assert_int_equal(fread(&written, sizeof(written), 1, file), 1);
	assert_int_equal(fgetc(file), EOF);
	fclose(file);
	assert_int_equal(unlink(path), 0);
}

/* The file says that `signal` was it, and that a task of `name` ran last. */
static void expect_file(int signal, const char *name)
{
	uint64_t last = 0, label;

	read_file();
	assert_int_equal(head.signal, signal);
	assert_int_equal(head.labels_count, ROTA_RECORD_LABELS);
	assert_int_equal(head.label_bytes, sizeof(*labels));
	for (uint64_t i = 0; i < reactor.count; i++)
		if (words[i] >> 56 == ROTA_RECORD_RUN)
			last = words[i];
	label = (last & RECORD_PAYLOAD) >> ROTA_RECORD_ID_BITS;
	assert_in_range(label, 1, ROTA_RECORD_LABELS);
	assert_string_equal(labels[label - 1].name, name);
}

/* ---- dying ---- */

static void run_as(rota_task_fn fn)
{
	dprintf(STDERR_FILENO, "it runs\n");
	T_EQUAL(rota_recorder_save_to(path), 0);
	rota_ignore(t_run(fn, NULL), "it dies");
}

static int64_t dig(void *arg)
{
	volatile char room[4096];

	room[0] = 1;
	return room[0] ? dig(arg) + room[0] : 0;
}

static void die_of_an_overflow(void)
{
	run_as(dig);
}

static int64_t fault(void *arg)
{
	volatile char *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)arg;
	*nowhere = 1;
	return 0;
}

static void die_of_a_fault(void)
{
	run_as(fault);
}

static int64_t assert_false_thing(void *arg)
{
	ROTA_ASSERT(arg);
	return 0;
}

static void die_of_an_assertion(void)
{
	run_as(assert_false_thing);
}

static void test_recorder_file_of_a_stack_overflow_is_left(void **state)
{
	(void)state;
	t_expect_death(die_of_an_overflow, "stack overflow");
	expect_file(SIGSEGV, "first task");
}

static void test_recorder_file_of_a_fault_is_left(void **state)
{
	(void)state;
	t_expect_death(die_of_a_fault, "it runs");
	expect_file(SIGSEGV, "first task");
}

static void test_recorder_file_of_an_assertion_is_left(void **state)
{
	(void)state;
	t_expect_death(die_of_an_assertion, "assertion failed");
	expect_file(SIGABRT, "first task");
}

/* ---- living on ---- */

static int64_t ask(void *arg)
{
	rota_ns before = rota_now();

	(void)arg;
	T_EQUAL(raise(SIGUSR2), 0);
	T_EQUAL(rota_sleep_ms(1), 0);
	T_CHECK(rota_now() > before);
	return 0;
}

static void ask_by_signal(void)
{
	T_EQUAL(rota_recorder_save_to(path), 0);
	T_EQUAL(rota_recorder_save_to(path), -EALREADY);
	T_EQUAL(t_run(ask, NULL), 0);
	dprintf(STDERR_FILENO, "it lives on\n");
	signal(SIGABRT, SIG_DFL); /* that would write a file, too */
	abort();
}

static void test_recorder_file_is_written_on_request_and_the_process_goes_on(void **state)
{
	(void)state;
	t_expect_death(ask_by_signal, "it lives on");
	expect_file(SIGUSR2, "first task");
	assert_int_equal(reactor.is_simulated, t_is_simulated());
	assert_int_equal(written, reactor.first + reactor.count);
}

static void test_recorder_file_path_is_checked(void **state)
{
	char longest[ROTA_RECORD_PATH_BYTES + 1];

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(rota_recorder_save_to(longest), -ENAMETOOLONG);
	assert_int_equal(rota_recorder_save_to("core.%q"), -EINVAL);
	assert_int_equal(rota_recorder_save_to("core.%"), -EINVAL);
	assert_int_equal(rota_recorder_save_to(""), -EINVAL);
}

static void test_recorder_file_that_cannot_be_written_says_so(void **state)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	if (full < 0)
		skip();
	assert_int_equal(rota_recorder_save(full, 0), -ENOSPC);
	close(full);
	assert_int_equal(rota_recorder_save(-1, 0), -EBADF);
}

static uint32_t is_over; /* atomic */

static void *save_all_the_time(void *arg)
{
	int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED))
		T_EQUAL(rota_recorder_save(nowhere, 0), 0);
	close(nowhere);
	return arg;
}

/* No reactor's memory goes while somebody looks at it: for the sanitizers to see. */
static void test_recorder_file_written_while_reactors_come_and_go_is_safe(void **state)
{
	struct rota_reactor *reactors[4];
	pthread_t saver;

	(void)state;
	__atomic_store_n(&is_over, 0, __ATOMIC_RELAXED);
	assert_int_equal(pthread_create(&saver, NULL, save_all_the_time, NULL), 0);
	for (unsigned i = 0; i < t_rounds(200); i++) {
		t_reactors_create(reactors, ROTA_ARRAY_COUNT(reactors));
		t_reactors_destroy(reactors, ROTA_ARRAY_COUNT(reactors));
	}
	__atomic_store_n(&is_over, 1, __ATOMIC_RELAXED);
	pthread_join(saver, NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		/* first: cmocka takes away the handler that says where a stack has ended */
		cmocka_unit_test(test_recorder_file_of_a_stack_overflow_is_left),
		cmocka_unit_test(test_recorder_file_of_a_fault_is_left),
		cmocka_unit_test(test_recorder_file_of_an_assertion_is_left),
		cmocka_unit_test(test_recorder_file_is_written_on_request_and_the_process_goes_on),
		cmocka_unit_test(test_recorder_file_path_is_checked),
		cmocka_unit_test(test_recorder_file_that_cannot_be_written_says_so),
		cmocka_unit_test(test_recorder_file_written_while_reactors_come_and_go_is_safe),
	};

	snprintf(path, sizeof(path), "/tmp/rota-record-%ld", (long)getpid());
	return t_run_group("recorder_file", tests, ROTA_ARRAY_COUNT(tests));
}
