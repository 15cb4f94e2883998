/* SPDX-License-Identifier: MIT */
/*
 * Generators: lazy values, values both ways, delegates, errors and ends; without a reactor first,
 * then inside tasks, where the body may await.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>
#include <sys/mman.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/generator.h>

#include "tests/support/t_core.h"

/* Values are numbers in this file, carried in the pointer. */
static void *box(int64_t number)
{
	return (void *)(intptr_t)number;
}

static int64_t unbox(const void *value)
{
	return (intptr_t)value;
}

static struct rota_generator *make(rota_generator_fn fn, void *arg)
{
	struct rota_generator *generator;

	T_EQUAL(rota_generator_create(fn, arg, &generator), 0);
	return generator;
}

/* ---- without memory ---- */

static bool mmap_fails;

void *__real_mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset);

void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	if (mmap_fails) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return __real_mmap(address, bytes, protection, flags, fd, offset);
}

static int64_t end_at_once(struct rota_generator *self, void *arg)
{
	(void)self;
	(void)arg;
	return 0;
}

/* More than there are idle stacks from other tests. */
static void test_generator_without_memory_is_not_made(void **state)
{
	static struct rota_generator *generators[3000];
	unsigned count = 0;
	int status = 0;

	(void)state;
	mmap_fails = true;
	while (count + 1 < ROTA_ARRAY_COUNT(generators) && status == 0) {
		status = rota_generator_create(end_at_once, NULL, &generators[count]);
		count += status == 0;
	}
	mmap_fails = false;
	assert_true(status == -ROTA_ESTACK || status == -ENOMEM);
	assert_int_equal(rota_generator_create(end_at_once, NULL, &generators[count]), 0);
	for (unsigned i = 0; i <= count; i++)
		rota_generator_destroy(generators[i]);
}

/* ---- one way ---- */

static int64_t count_to(struct rota_generator *self, void *arg)
{
	for (int64_t i = 1; i <= unbox(arg); i++) {
		int status = rota_generator_yield(self, box(i), NULL);

		if (status < 0)
			return status;
	}
	return 100;
}

static int64_t sum_of(struct rota_generator *generator)
{
	int64_t sum = 0;
	void *value;
	int status;

	while ((status = rota_generator_next(generator, &value)) > 0)
		sum += unbox(value);
	T_EQUAL(status, 0);
	return sum;
}

static void test_generator_yields_lazily_and_ends_with_a_result(void **state)
{
	struct rota_generator *numbers = make(count_to, box(10));
	void *value;

	(void)state;
	assert_false(rota_generator_has_ended(numbers));
	assert_string_equal(rota_generator_name(numbers), "fn"); /* as written in make() */
	assert_non_null(strstr(rota_generator_site(numbers)->file, "test_generator.c"));
	assert_int_equal(sum_of(numbers), 55);
	assert_true(rota_generator_has_ended(numbers));
	assert_int_equal(rota_generator_result(numbers), 100);
	assert_int_equal(rota_generator_next(numbers, &value), 0); /* and again */
	rota_generator_destroy(numbers);
	rota_generator_destroy(NULL);
}

static int64_t yield_nothing(struct rota_generator *self, void *arg)
{
	(void)self;
	return unbox(arg);
}

static void test_generator_that_never_yields_ends_at_once(void **state)
{
	struct rota_generator *good = make(yield_nothing, box(7));
	struct rota_generator *bad = make(yield_nothing, box(-EIO));
	void *value;

	(void)state;
	assert_int_equal(rota_generator_next(good, &value), 0);
	assert_int_equal(rota_generator_result(good), 7);
	assert_int_equal(rota_generator_next(bad, &value), -EIO);
	assert_int_equal(rota_generator_next(bad, &value), -EIO);
	assert_int_equal(rota_generator_send(bad, box(1), &value), -EIO);
	rota_generator_destroy(good);
	rota_generator_destroy(bad);
}

/* ---- both ways ---- */

/* Yields the sum of what was sent so far; -ERANGE starts anew, other errors end it. */
static int64_t add_up(struct rota_generator *self, void *arg)
{
	int64_t sum = 0;

	(void)arg;
	for (;;) {
		void *sent;
		int status = rota_generator_yield(self, box(sum), &sent);

		if (status == -ERANGE)
			sum = 0;
		else if (status < 0)
			return status;
		else
			sum += unbox(sent);
	}
}

static void test_generator_takes_values_and_errors(void **state)
{
	struct rota_generator *sums = make(add_up, NULL);
	void *value;

	(void)state;
	assert_int_equal(rota_generator_send(sums, box(5), &value), -EINVAL); /* not started */
	assert_int_equal(rota_generator_next(sums, &value), 1);
	assert_int_equal(rota_generator_send(sums, box(5), &value), 1);
	assert_int_equal(rota_generator_send(sums, box(6), &value), 1);
	assert_int_equal(unbox(value), 11);
	assert_int_equal(rota_generator_next(sums, &value), 1); /* sends NULL */
	assert_int_equal(unbox(value), 11);
	assert_int_equal(rota_generator_throw(sums, -ERANGE, &value), 1);
	assert_int_equal(unbox(value), 0);
	assert_int_equal(rota_generator_throw(sums, -EBADMSG, &value), -EBADMSG);
	assert_true(rota_generator_has_ended(sums));
	assert_int_equal(rota_generator_throw(sums, -EPERM, &value), -EPERM); /* after its end */
	assert_int_equal(rota_generator_result(sums), -EBADMSG);
	rota_generator_destroy(sums);
}

static void test_generator_thrown_into_before_its_start_never_runs(void **state)
{
	struct rota_generator *sums = make(add_up, NULL);
	void *value;

	(void)state;
	assert_int_equal(rota_generator_throw(sums, -EPERM, &value), -EPERM);
	assert_int_equal(rota_generator_next(sums, &value), -EPERM);
	rota_generator_destroy(sums);
}

/* ---- closing ---- */

struct stubborn {
	unsigned refusals;
	bool was_cleaned_up;
};

static int64_t yield_on(struct rota_generator *self, void *arg)
{
	struct stubborn *stubborn = arg;

	while (rota_generator_yield(self, NULL, NULL) == 0)
		;
	while (stubborn->refusals < 3) {
		T_EQUAL(rota_generator_yield(self, NULL, NULL), -ECANCELED);
		stubborn->refusals++;
	}
	stubborn->was_cleaned_up = true;
	return 5;
}

static void test_generator_closed_yields_no_more_and_cleans_up(void **state)
{
	struct stubborn stubborn = { .refusals = 0 };
	struct rota_generator *generator = make(yield_on, &stubborn);
	void *value;

	(void)state;
	assert_int_equal(rota_generator_next(generator, &value), 1);
	assert_int_equal(rota_generator_close(generator), 5);
	assert_true(stubborn.was_cleaned_up);
	assert_int_equal(rota_generator_close(generator), 5); /* again: harmless */
	rota_generator_destroy(generator);

	stubborn = (struct stubborn){ .refusals = 0 };
	generator = make(yield_on, &stubborn);
	assert_int_equal(rota_generator_close(generator), -ECANCELED); /* never ran */
	assert_false(stubborn.was_cleaned_up);
	rota_generator_destroy(generator);

	generator = make(yield_on, &stubborn);
	assert_int_equal(rota_generator_next(generator, &value), 1);
	rota_generator_destroy(generator); /* closes it first */
	assert_true(stubborn.was_cleaned_up);
}

/* ---- delegates ---- */

/* Delegates down to depth 0, which adds up; each level adds 1 to the result. */
static int64_t nest(struct rota_generator *self, void *arg)
{
	int64_t depth = unbox(arg), result;
	struct rota_generator *inner = depth ? make(nest, box(depth - 1)) : make(add_up, NULL);

	result = rota_generator_delegate(self, inner);
	rota_generator_destroy(inner);
	return result < 0 ? result - 1 : result + 1;
}

static void test_generator_delegates_pass_values_errors_and_results(void **state)
{
	(void)state;
	for (int64_t depth = 0; depth < 50; depth += 7) {
		struct rota_generator *generator = make(nest, box(depth));
		void *value;

		assert_int_equal(rota_generator_next(generator, &value), 1);
		for (int64_t i = 1; i <= 10; i++) {
			assert_int_equal(rota_generator_send(generator, box(i), &value), 1);
			assert_int_equal(unbox(value), i * (i + 1) / 2);
		}
		assert_int_equal(rota_generator_throw(generator, -ERANGE, &value), 1);
		assert_int_equal(unbox(value), 0);
		assert_int_equal(rota_generator_throw(generator, -1000, &value), -1000 - depth - 1);
		rota_generator_destroy(generator);
	}
}

static void test_generator_closed_with_delegates_ends_from_the_innermost(void **state)
{
	struct rota_generator *generator = make(nest, box(3));
	void *value;

	(void)state;
	assert_int_equal(rota_generator_next(generator, &value), 1);
	assert_int_equal(rota_generator_close(generator), -ECANCELED - 4);
	rota_generator_destroy(generator);
}

/* Two delegates one after the other, and values of its own between. */
static int64_t chain(struct rota_generator *self, void *arg)
{
	int64_t sum = 0;

	(void)arg;
	for (int64_t i = 1; i <= 3; i++) {
		struct rota_generator *inner = make(count_to, box(i));

		sum += rota_generator_delegate(self, inner);
		rota_generator_destroy(inner);
		T_EQUAL(rota_generator_yield(self, box(1000), NULL), 0);
	}
	return sum;
}

static void test_generator_goes_on_after_a_delegate(void **state)
{
	struct rota_generator *generator = make(chain, NULL);

	(void)state;
	assert_int_equal(sum_of(generator), 1 + 3 + 6 + 3000);
	assert_int_equal(rota_generator_result(generator), 300);
	rota_generator_destroy(generator);
}

/* Drives another instead of delegating. */
static int64_t squares(struct rota_generator *self, void *arg)
{
	struct rota_generator *numbers = make(count_to, arg);
	void *value;
	int status = 0;

	while (status == 0 && rota_generator_next(numbers, &value) > 0)
		status = rota_generator_yield(self, box(unbox(value) * unbox(value)), NULL);
	rota_generator_destroy(numbers);
	return status;
}

static void test_generator_drives_another(void **state)
{
	struct rota_generator *generator = make(squares, box(10));

	(void)state;
	assert_int_equal(sum_of(generator), 385);
	rota_generator_destroy(generator);
}

/* ---- many ---- */

static void test_generator_many_at_once_in_any_order(void **state)
{
	enum { COUNT = 500 };
	struct rota_generator *generators[COUNT];
	void *value;

	(void)state;
	for (int64_t i = 0; i < COUNT; i++)
		generators[i] = make(count_to, box(i));
	for (int64_t round = 1; round < COUNT; round++)
		for (int64_t i = COUNT - 1; i >= 0; i -= 7) {
			int status = rota_generator_next(generators[i], &value);

			assert_int_equal(status, round <= i);
			if (status)
				assert_int_equal(unbox(value), round);
		}
	for (int64_t i = 0; i < COUNT; i++)
		rota_generator_destroy(generators[i]);
}

/* ---- threads ---- */

static void *use_in_thread(void *arg)
{
	struct rota_generator *generator = make(squares, arg);
	int64_t sum = sum_of(generator);

	rota_generator_destroy(generator);
	return box(sum);
}

static void test_generator_in_threads_gives_its_stacks_back(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		pthread_t threads[2];
		void *sum;

		for (int k = 0; k < 2; k++)
			assert_int_equal(pthread_create(&threads[k], NULL, use_in_thread, box(10)),
					 0);
		for (int k = 0; k < 2; k++) {
			assert_int_equal(pthread_join(threads[k], &sum), 0);
			assert_int_equal(unbox(sum), 385);
		}
	}
}

/* ---- in tasks ---- */

static int64_t use_in_task(void *arg)
{
	struct rota_generator *generator = make(chain, NULL);

	(void)arg;
	T_EQUAL(sum_of(generator), 1 + 3 + 6 + 3000);
	rota_generator_destroy(generator);
	return 0;
}

/* An async generator: each value takes a while. */
static int64_t tick(struct rota_generator *self, void *arg)
{
	struct rota_task *task = rota_task_current();

	for (int64_t i = 1; i <= unbox(arg); i++) {
		struct rota_scope scope;
		int status = rota_sleep_ms(1);

		if (status < 0)
			return status;
		T_CHECK(rota_task_current() == task);
		rota_scope_open(&scope, rota_after_ms(1));
		T_EQUAL(rota_sleep_ms(1000), -ETIMEDOUT);
		T_EQUAL(rota_scope_close(&scope), -ETIMEDOUT);
		status = rota_generator_yield(self, box(i), NULL);
		if (status < 0)
			return status;
	}
	return 0;
}

static int64_t nest_ticks(struct rota_generator *self, void *arg)
{
	struct rota_generator *inner = make(tick, arg);
	int64_t result = rota_generator_delegate(self, inner);

	rota_generator_destroy(inner);
	return result;
}

static int64_t listen_to_ticks(void *arg)
{
	struct rota_generator *generator = make(arg ? nest_ticks : tick, box(5));

	T_EQUAL(sum_of(generator), 15);
	rota_generator_destroy(generator);
	return 0;
}

static int64_t many_listen(void *arg)
{
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	for (int64_t i = 0; i < 20; i++)
		T_EQUAL(rota_spawn(&scope, listen_to_ticks, i % 2 ? arg : NULL), 0);
	return rota_scope_close(&scope);
}

static void test_generator_in_tasks_may_await(void **state)
{
	int nested;

	(void)state;
	assert_int_equal(t_run(use_in_task, NULL), 0);
	assert_int_equal(t_run(many_listen, &nested), 0);
}

static int64_t cancel_inside(void *arg)
{
	struct rota_generator *generator = make(tick, box(1000000));
	struct rota_scope scope;
	void *value;
	int status;

	(void)arg;
	rota_scope_open(&scope, rota_after_ms(10));
	while ((status = rota_generator_next(generator, &value)) > 0)
		;
	T_EQUAL(status, -ETIMEDOUT);
	T_EQUAL(rota_scope_close(&scope), -ETIMEDOUT);
	rota_generator_destroy(generator);
	return 0;
}

static void test_generator_awaits_honour_the_drivers_scopes(void **state)
{
	(void)state;
	assert_int_equal(t_run(cancel_inside, NULL), 0);
}

/* One generator, driven by a second task once the first has left it at a yield. */
static int64_t take_one(void *arg)
{
	void *value;

	T_EQUAL(rota_generator_next(arg, &value), 1);
	return unbox(value);
}

static int64_t share_one(void *arg)
{
	struct rota_generator *generator = make(tick, box(10));
	struct rota_future result;
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	for (int64_t i = 1; i <= 10; i++) {
		T_EQUAL(rota_spawn_with(&scope, take_one, generator,
					&(struct rota_spawn_options){ .result = &result }),
			0);
		T_EQUAL(rota_await(&result), i);
	}
	T_EQUAL(rota_scope_close(&scope), 0);
	rota_generator_destroy(generator);
	return 0;
}

static void test_generator_may_go_from_task_to_task(void **state)
{
	(void)state;
	assert_int_equal(t_run(share_one, NULL), 0);
}

/* ---- bad use ---- */

static int64_t drive_self(struct rota_generator *self, void *arg)
{
	void *value;

	(void)arg;
	return rota_generator_next(self, &value);
}

static int64_t leave_scope_open(struct rota_generator *self, void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	return rota_generator_yield(self, NULL, NULL);
}

static int64_t recurse(volatile char *above)
{
	volatile char frame[1024];

	frame[0] = (char)(*above + 1);
	return frame[0] == 100 && above[1] == 100 ? 0 : recurse(frame) + frame[0];
}

static int64_t overflow(struct rota_generator *self, void *arg)
{
	volatile char frame[2] = { 0, 0 };

	(void)self;
	(void)arg;
	return recurse(frame);
}

static int64_t yield_for_another(struct rota_generator *self, void *arg)
{
	(void)self;
	return rota_generator_yield(arg, NULL, NULL);
}

static void *drive_elsewhere(void *arg)
{
	void *value;

	rota_ignore(rota_generator_next(arg, &value), "it dies");
	return NULL;
}

static rota_generator_fn bad_fn;

static int64_t drive_bad_task(void *arg)
{
	struct rota_generator *other = make(count_to, box(3));
	struct rota_generator *generator = make(bad_fn, other);
	void *value;

	(void)arg;
	rota_ignore(rota_generator_next(generator, &value), "it dies");
	return 0;
}

static void drive_bad(void)
{
	rota_ignore(t_run(drive_bad_task, NULL), "it dies");
}

static void drive_bad_alone(void)
{
	rota_ignore(drive_bad_task(NULL), "it dies");
}

static void drive_in_another_thread(void)
{
	pthread_t thread;

	T_EQUAL(pthread_create(&thread, NULL, drive_elsewhere, make(count_to, box(3))), 0);
	pthread_join(thread, NULL);
}

/* The first waits inside the generator when the second comes. */
static int64_t drive_both(void *arg)
{
	struct rota_generator *generator = make(tick, box(3));
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < 2; i++)
		T_EQUAL(rota_spawn(&scope, take_one, generator), 0);
	return rota_scope_close(&scope);
}

static void drive_by_two(void)
{
	rota_ignore(t_run(drive_both, NULL), "it dies");
}

static void *leave_one_behind(void *arg)
{
	struct rota_generator *generator;
	void *value;

	T_EQUAL(rota_generator_create(end_at_once, NULL, &generator), 0);
	T_EQUAL(rota_generator_next(make(count_to, box(3)), &value), 1);
	return arg;
}

static void end_thread_too_early(void)
{
	pthread_t thread;

	T_EQUAL(pthread_create(&thread, NULL, leave_one_behind, NULL), 0);
	pthread_join(thread, NULL);
}

/* Of another reactor than the driving task's, if there is one. */
static int64_t make_a_turn(struct rota_generator *self, void *arg)
{
	struct rota_reactor *other;

	(void)self;
	(void)arg;
	t_reactors_create(&other, 1);
	return rota_reactor_run_once(other, 0);
}

static void test_generator_bad_use_is_named(void **state)
{
	(void)state;
	bad_fn = make_a_turn;
	t_expect_death(drive_bad, "task \"first task\" spawned at");
	t_expect_death(drive_bad_alone, "generator \"fn\" spawned at");
	t_expect_death(drive_bad_alone, "drives reactor 0: only what runs on the thread's own");
	t_expect_death(end_thread_too_early,
		       "a thread ends before its generator \"end_at_once\" spawned at");
	bad_fn = drive_self;
	t_expect_death(drive_bad, "generator->state != RUNNING");
	bad_fn = leave_scope_open;
	t_expect_death(drive_bad, "task->scope == self->scope");
	bad_fn = yield_for_another;
	t_expect_death(drive_bad, "self ==");
	t_expect_death(drive_by_two, "generator->state != RUNNING");
	t_expect_death(drive_in_another_thread, "generator->home == &here");
}

/*
 * cmocka takes the fault handlers away after each test, and the library installs its own once per
 * process: so this is the first test, once.
 */
static void test_generator_stack_overflow_names_it(void **state)
{
	static bool was_here;

	(void)state;
	if (was_here)
		skip();
	was_here = true;
	bad_fn = overflow;
	t_expect_death(drive_bad, "stack overflow in generator \"fn\" spawned at");
	t_expect_death(drive_bad_alone, "stack overflow in generator \"fn\" spawned at");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_generator_stack_overflow_names_it),
		cmocka_unit_test(test_generator_without_memory_is_not_made),
		cmocka_unit_test(test_generator_yields_lazily_and_ends_with_a_result),
		cmocka_unit_test(test_generator_that_never_yields_ends_at_once),
		cmocka_unit_test(test_generator_takes_values_and_errors),
		cmocka_unit_test(test_generator_thrown_into_before_its_start_never_runs),
		cmocka_unit_test(test_generator_closed_yields_no_more_and_cleans_up),
		cmocka_unit_test(test_generator_delegates_pass_values_errors_and_results),
		cmocka_unit_test(test_generator_closed_with_delegates_ends_from_the_innermost),
		cmocka_unit_test(test_generator_goes_on_after_a_delegate),
		cmocka_unit_test(test_generator_drives_another),
		cmocka_unit_test(test_generator_many_at_once_in_any_order),
		cmocka_unit_test(test_generator_in_threads_gives_its_stacks_back),
		cmocka_unit_test(test_generator_in_tasks_may_await),
		cmocka_unit_test(test_generator_awaits_honour_the_drivers_scopes),
		cmocka_unit_test(test_generator_may_go_from_task_to_task),
		cmocka_unit_test(test_generator_bad_use_is_named),
	};

	return t_run_group("generator", tests, ROTA_ARRAY_COUNT(tests));
}
