/* SPDX-License-Identifier: MIT */
/*
 * The flight recorder: the ring by itself, its labels, a reader beside a writer, and what a reactor
 * writes.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rota/error.h>

#include "framework/reactor_internal.h"
#include "tests/support/t_alloc.h"
#include "tests/support/t_core.h"

static uint64_t words[ROTA_RECORDS_DEFAULT];

/* ---- the ring ---- */

static void test_recorder_wrapped_keeps_the_latest_in_order(void **state)
{
	struct recorder recorder;
	uint64_t first, count;

	(void)state;
	assert_int_equal(rota__recorder_init(&recorder, ROTA_RECORDS_MIN - 1), 0);
	for (uint64_t i = 0; i < 10; i++)
		rota__recorder_write(&recorder, i);
	count = rota__recorder_copy(&recorder, words, ROTA_ARRAY_COUNT(words), &first);
	assert_int_equal(count, 10);
	assert_int_equal(first, 0);
	for (uint64_t i = 10; i < 5000; i++)
		rota__recorder_write(&recorder, i);
	count = rota__recorder_copy(&recorder, words, ROTA_ARRAY_COUNT(words), &first);
	assert_true(count > ROTA_RECORDS_MIN / 2 && count <= ROTA_RECORDS_MIN);
	assert_int_equal(first, 5000 - count);
	for (uint64_t i = 0; i < count; i++)
		assert_int_equal(words[i], first + i);
	count = rota__recorder_copy(&recorder, words, 3, &first);
	assert_int_equal(count, 3);
	assert_int_equal(first, 4997);
	assert_int_equal(words[2], 4999);
	rota__recorder_fini(&recorder);
}

static void test_recorder_off_takes_records_and_keeps_none(void **state)
{
	struct recorder recorder;
	uint64_t first;

	(void)state;
	assert_int_equal(rota__recorder_init(&recorder, ROTA_RECORDS_NONE), 0);
	for (uint64_t i = 0; i < 5000; i++)
		rota__recorder_write(&recorder, i);
	assert_int_equal(rota__recorder_copy(&recorder, words, 10, &first), 0);
	assert_int_equal(rota__recorder_task(&recorder, ROTA_SITE("x"), "x", 7), 7);
	rota__recorder_fini(&recorder);
}

static void test_recorder_too_large_is_refused(void **state)
{
	struct recorder recorder;

	(void)state;
	assert_int_equal(rota__recorder_init(&recorder, ROTA_RECORDS_MAX + 1), -EINVAL);
	rota__recorder_fini(&recorder);
}

static void make_reactor(void *arg)
{
	struct rota_reactor_options options = t_reactor_options();
	struct rota_reactor *reactor;

	(void)arg;
	options.records_kept = ROTA_RECORDS_MIN;
	if (rota_reactor_create(&options, &reactor) == 0)
		rota_reactor_destroy(reactor);
}

static void test_recorder_without_memory_is_no_reactor(void **state)
{
	(void)state;
	t_alloc_install();
	assert_true(t_alloc_sweep(make_reactor, NULL) > 3);
	t_alloc_remove();
}

/* ---- labels ---- */

static void test_recorder_labels_tell_sites_and_names_apart(void **state)
{
	const struct rota_site *here = ROTA_SITE("here"), *there = ROTA_SITE("there");
	char name[] = "first";
	struct recorder recorder;
	const struct rota_record_label *label;
	uint64_t a, b, c;

	(void)state;
	assert_int_equal(rota__recorder_init(&recorder, ROTA_RECORDS_MIN), 0);
	a = rota__recorder_task(&recorder, here, here->what, 1);
	b = rota__recorder_task(&recorder, there, there->what, 2);
	assert_int_not_equal(a >> ROTA_RECORD_ID_BITS, b >> ROTA_RECORD_ID_BITS);
	assert_int_equal(rota__recorder_task(&recorder, here, here->what, 1), a);
	/* The same memory with another name in it. */
	c = rota__recorder_task(&recorder, here, name, 3);
	memcpy(name, "other", sizeof(name));
	assert_int_not_equal(rota__recorder_task(&recorder, here, name, 3), c);
	label = &recorder.labels[(c >> ROTA_RECORD_ID_BITS) - 1];
	assert_string_equal(label->name, "first");
	assert_string_equal(label->function, __func__);
	assert_int_equal(label->line, here->line);
	rota__recorder_fini(&recorder);
}

static void test_recorder_more_labels_than_room_are_the_others(void **state)
{
	static struct rota_site sites[2 * ROTA_RECORD_LABELS];
	struct recorder recorder;
	unsigned without = 0;

	(void)state;
	assert_int_equal(rota__recorder_init(&recorder, ROTA_RECORDS_MIN), 0);
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(sites); i++) {
		uint64_t record;

		sites[i] = (struct rota_site){ "file.c", "function", "what", (int)i + 1 };
		record = rota__recorder_task(&recorder, &sites[i], sites[i].what, 5);
		assert_int_equal(record & RECORD_LOW(-1, ROTA_RECORD_ID_BITS), 5);
		assert_true(record >> ROTA_RECORD_ID_BITS <= ROTA_RECORD_LABELS);
		without += record >> ROTA_RECORD_ID_BITS == 0;
	}
	assert_true(without >= ROTA_RECORD_LABELS);
	rota__recorder_fini(&recorder);
}

/* ---- a reader beside a writer ---- */

static void *write_numbers(void *arg)
{
	struct recorder *recorder = arg;

	for (uint64_t i = 0; i < t_rounds(2000000); i++)
		rota__recorder_write(recorder, i);
	return NULL;
}

/* Whatever is copied is a run of consecutive records that were written. */
static void test_recorder_read_while_written_yields_no_torn_record(void **state)
{
	struct recorder recorder;
	pthread_t writer;
	uint64_t first = 0, count;

	(void)state;
	assert_int_equal(rota__recorder_init(&recorder, ROTA_RECORDS_MIN), 0);
	assert_int_equal(pthread_create(&writer, NULL, write_numbers, &recorder), 0);
	while (__atomic_load_n(&recorder.head, __ATOMIC_RELAXED) < t_rounds(2000000)) {
		count = rota__recorder_copy(&recorder, words, ROTA_ARRAY_COUNT(words), &first);
		for (uint64_t i = 0; i < count; i++)
			assert_int_equal(words[i], first + i);
	}
	pthread_join(writer, NULL);
	rota__recorder_fini(&recorder);
}

/* ---- what a reactor writes ---- */

static uint64_t found_count;

/* How many of the records copied last are of `kind`. */
static unsigned count_kind(enum rota_record_kind kind)
{
	unsigned count = 0;

	for (uint64_t i = 0; i < found_count; i++)
		count += words[i] >> 56 == kind;
	return count;
}

static int64_t child(void *arg)
{
	(void)arg;
	return 7;
}

static int64_t spawn_one_and_look(void *arg)
{
	struct rota_reactor *reactor = rota_reactor_current();
	struct rota_future result;
	struct rota_spawn_options options = { .result = &result, .name = "the child" };
	struct rota_scope scope;
	uint64_t first;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn_with(&scope, child, NULL, &options), 0);
	T_EQUAL(rota_await(&result), 7);
	T_EQUAL(rota_sleep_ms(1), 0);
	rota_scope_cancel(&scope, "test");
	rota_ignore(rota_scope_close(&scope), "cancelled");
	found_count = rota__recorder_copy(&reactor->recorder, words, ROTA_ARRAY_COUNT(words),
					  &first);
	return 0;
}

/* Where the first record of `kind` at or after `at` is. */
static uint64_t find_kind(uint64_t at, enum rota_record_kind kind)
{
	while (at < found_count && words[at] >> 56 != kind)
		at++;
	return at;
}

static void test_recorder_of_a_reactor_tells_a_task_s_story(void **state)
{
	uint64_t spawn, wait, run, end, ready, back;

	(void)state;
	assert_int_equal(t_run(spawn_one_and_look, NULL), 0);
	/* The first spawn is of the task that looks. */
	spawn = find_kind(find_kind(0, ROTA_RECORD_SPAWN) + 1, ROTA_RECORD_SPAWN);
	wait = find_kind(spawn, ROTA_RECORD_WAIT);
	run = find_kind(wait, ROTA_RECORD_RUN);
	end = find_kind(run, ROTA_RECORD_END);
	ready = find_kind(end, ROTA_RECORD_READY);
	back = find_kind(ready, ROTA_RECORD_RUN);
	assert_true(back < found_count);
	assert_int_equal(words[wait] >> 48 & 0xff, ROTA_WAIT_TASK);
	assert_int_equal(words[run] & RECORD_PAYLOAD, words[spawn] & RECORD_PAYLOAD);
	assert_int_equal(words[end] & RECORD_PAYLOAD, 7);
	assert_int_equal(words[ready] & RECORD_PAYLOAD, words[back] & RECORD_PAYLOAD);
	assert_int_equal(count_kind(ROTA_RECORD_CANCEL), 1);
	assert_true(count_kind(ROTA_RECORD_TURN) >= 2);
	assert_true(count_kind(ROTA_RECORD_TIMERS) >= 1);
	assert_true(count_kind(ROTA_RECORD_LEAVE) >= 1);
}

static int64_t wait_for_the_second(void *arg)
{
	struct rota_reactor *reactor = rota_reactor_current();
	struct rota_timeout timeout;
	struct rota_future done, *both[] = { &done, &timeout.future };
	uint64_t first;

	(void)arg;
	rota_future_init(&done);
	rota_future_complete(&done, 0);
	rota_timeout_start(&timeout, rota_after_ms(1));
	T_EQUAL(rota_await_all(both, 2), 0);
	found_count = rota__recorder_copy(&reactor->recorder, words, ROTA_ARRAY_COUNT(words),
					  &first);
	return 0;
}

static void test_recorder_wait_is_for_the_first_that_is_missing(void **state)
{
	uint64_t wait;

	(void)state;
	assert_int_equal(t_run(wait_for_the_second, NULL), 0);
	wait = words[find_kind(0, ROTA_RECORD_WAIT)];
	assert_int_equal(wait >> 48 & 0xff, ROTA_WAIT_TIMER);
	assert_int_equal(wait >> 32 & 0xffff, 2);
	assert_int_equal(wait & 0xffffffff, 1);
}

/* Times are the engine's, also in a simulated world, and never go back. */
static void test_recorder_times_of_a_reactor_never_go_back(void **state)
{
	uint64_t last = 0;

	(void)state;
	assert_int_equal(t_run(spawn_one_and_look, NULL), 0);
	for (uint64_t i = 0; i < found_count; i++) {
		uint64_t kind = words[i] >> 56;

		if (kind < ROTA_RECORD_TURN || kind > ROTA_RECORD_CLOCK)
			continue;
		assert_true((words[i] & RECORD_PAYLOAD) >= last);
		last = words[i] & RECORD_PAYLOAD;
	}
	assert_true(last > 0);
}

/* The clock is not read twice for it. */
static void test_recorder_turn_after_a_wait_has_the_time_of_its_end(void **state)
{
	uint64_t leave, turn;

	(void)state;
	if (t_is_simulated())
		skip(); /* it is the simulator that makes turns, and time goes on in between */
	assert_int_equal(t_run(spawn_one_and_look, NULL), 0);
	leave = find_kind(0, ROTA_RECORD_LEAVE);
	turn = find_kind(leave, ROTA_RECORD_TURN);
	assert_true(turn < found_count);
	assert_int_equal(words[turn] & RECORD_PAYLOAD, words[leave] & RECORD_PAYLOAD);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorder_wrapped_keeps_the_latest_in_order),
		cmocka_unit_test(test_recorder_off_takes_records_and_keeps_none),
		cmocka_unit_test(test_recorder_too_large_is_refused),
		cmocka_unit_test(test_recorder_without_memory_is_no_reactor),
		cmocka_unit_test(test_recorder_labels_tell_sites_and_names_apart),
		cmocka_unit_test(test_recorder_more_labels_than_room_are_the_others),
		cmocka_unit_test(test_recorder_read_while_written_yields_no_torn_record),
		cmocka_unit_test(test_recorder_of_a_reactor_tells_a_task_s_story),
		cmocka_unit_test(test_recorder_wait_is_for_the_first_that_is_missing),
		cmocka_unit_test(test_recorder_times_of_a_reactor_never_go_back),
		cmocka_unit_test(test_recorder_turn_after_a_wait_has_the_time_of_its_end),
	};

	return t_run_group("recorder", tests, ROTA_ARRAY_COUNT(tests));
}
