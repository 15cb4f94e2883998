/* SPDX-License-Identifier: MIT */
/*
 * Reasons: who cancelled, where, and because of what, through failures, closes, shields and calls
 * on other reactors. Lines that are to be named are marked by a macro that notes where it stands.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/jobs.h>
#include <rota/mailbox.h>
#include <rota/scope.h>

#include "tests/support/t_core.h"

#define HERE "tests/unit/framework/test_reason.c"

/* The chain of the reason as kinds; ends with NONE. */
static void chain_is(const struct rota_cancel_reason *reason, const enum rota_cancel_kind *kinds)
{
	for (; *kinds != ROTA_CANCEL_NONE; kinds++) {
		T_CHECK(reason != NULL);
		T_EQUAL(reason->kind, *kinds);
		reason = rota_reason_cause(reason);
	}
	T_CHECK(reason == NULL);
}

#define CHAIN_IS(reason, ...)                                                                      \
	chain_is((reason), (const enum rota_cancel_kind[]){ __VA_ARGS__, ROTA_CANCEL_NONE })

static void text_has(const struct rota_cancel_reason *reason, const char *part)
{
	char text[ROTA_REASON_TEXT_BYTES];

	if (!strstr(rota_reason_format(reason, text), part))
		fprintf(stderr, "\"%s\" is not in \"%s\"\n", part, text);
	T_CHECK(strstr(text, part) != NULL);
}

/* ---- a failure, because a deadline passed ---- */

static int64_t time_out(void *arg)
{
	int *line = arg;
	struct rota_scope scope;

	*line = __LINE__ + 1;
	rota_scope_open(&scope, rota_after_ms(1));
	rota_ignore(rota_sleep_until(ROTA_NEVER), "the close says it");
	return rota_scope_close(&scope);
}

static int64_t look_because_sibling_timed_out(void *arg)
{
	const int *line = arg;
	char text[ROTA_REASON_TEXT_BYTES];

	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ECANCELED);
	CHAIN_IS(rota_why(), ROTA_CANCEL_SIBLING_FAILED, ROTA_CANCEL_DEADLINE);
	T_EQUAL(rota_why()->failure, -ETIMEDOUT);
	T_CHECK(rota_why()->task_id > 0);
	T_EQUAL(rota_reason_cause(rota_why())->site->line, *line);
	snprintf(text, sizeof(text),
		 "failed with ETIMEDOUT, because deadline passed (scope opened at " HERE
		 ":%d, time_out)",
		 *line);
	text_has(rota_why(), text);
	text_has(rota_why(), "task \"fetch\" #");
	return 0;
}

static int64_t spawn_one_that_times_out(void *arg)
{
	const struct rota_spawn_options named = { .name = "fetch" };
	struct rota_scope scope;
	int line;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, look_because_sibling_timed_out, &line), 0);
	T_EQUAL(rota_spawn_with(&scope, time_out, &line, &named), 0);
	return rota_scope_close(&scope);
}

static void test_reason_of_a_sibling_that_timed_out_names_the_deadline(void **state)
{
	(void)state;
	assert_int_equal(t_run(spawn_one_that_times_out, NULL), -ETIMEDOUT);
}

/* The level above learns of both: the one that failed, and what was behind it there. */
static int64_t look_two_levels_up(void *arg)
{
	(void)arg;
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ECANCELED);
	CHAIN_IS(rota_why(), ROTA_CANCEL_SIBLING_FAILED, ROTA_CANCEL_SIBLING_FAILED,
		 ROTA_CANCEL_DEADLINE);
	text_has(rota_why(), "spawn_one_that_times_out");
	text_has(rota_why(), ", because task \"fetch\" #");
	return 0;
}

static int64_t spawn_two_levels(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, look_two_levels_up, NULL), 0);
	T_EQUAL(rota_spawn(&scope, spawn_one_that_times_out, NULL), 0);
	return rota_scope_close(&scope);
}

static void test_reason_goes_up_with_the_failure(void **state)
{
	(void)state;
	assert_int_equal(t_run(spawn_two_levels, NULL), -ETIMEDOUT);
}

/* A failure cancels nobody in a scope that collects, and is the cause all the same. */
static int64_t look_above_the_collector(void *arg)
{
	(void)arg;
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ECANCELED);
	CHAIN_IS(rota_why(), ROTA_CANCEL_SIBLING_FAILED, ROTA_CANCEL_SIBLING_FAILED,
		 ROTA_CANCEL_DEADLINE);
	text_has(rota_why(), "task \"collector\" #");
	text_has(rota_why(), ", because task \"fetch\" #");
	return 0;
}

static int64_t collect(void *arg)
{
	struct rota_future end;
	const struct rota_spawn_options named = { .name = "fetch", .result = &end };
	struct rota_scope scope;
	int line;

	rota_scope_open(&scope, ROTA_NEVER);
	rota_scope_collect(&scope);
	T_EQUAL(rota_spawn_with(&scope, time_out, &line, &named), 0);
	T_EQUAL(rota_await(&end), -ETIMEDOUT);
	if (arg) /* that comes later, and is not why it fails */
		rota_scope_cancel(&scope, "by the test");
	return rota_scope_close(&scope);
}

static int64_t spawn_collector(void *arg)
{
	const struct rota_spawn_options named = { .name = "collector" };
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, look_above_the_collector, NULL), 0);
	T_EQUAL(rota_spawn_with(&scope, collect, arg, &named), 0);
	return rota_scope_close(&scope);
}

static void test_reason_goes_up_from_a_scope_that_collects(void **state)
{
	static char cancelled_later;

	(void)state;
	assert_int_equal(t_run(spawn_collector, NULL), -ETIMEDOUT);
	assert_int_equal(t_run(spawn_collector, &cancelled_later), -ETIMEDOUT);
}

/* ---- an error of the task's own has nothing behind it ---- */

static int64_t fail_otherwise(void *arg)
{
	int line;

	(void)arg;
	T_EQUAL(time_out(&line), -ETIMEDOUT);
	return -ECONNRESET;
}

static int64_t look_because_sibling_failed_itself(void *arg)
{
	(void)arg;
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ECANCELED);
	CHAIN_IS(rota_why(), ROTA_CANCEL_SIBLING_FAILED);
	return 0;
}

static int64_t spawn_one_that_fails_otherwise(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, look_because_sibling_failed_itself, NULL), 0);
	T_EQUAL(rota_spawn(&scope, fail_otherwise, NULL), 0);
	return rota_scope_close(&scope);
}

static void test_reason_of_another_error_than_the_close_returned_stands_alone(void **state)
{
	(void)state;
	assert_int_equal(t_run(spawn_one_that_fails_otherwise, NULL), -ECONNRESET);
}

/* ---- by hand, by one who was told himself; the name outlives its task ---- */

struct told {
	struct rota_scope *other;
	struct rota_future cancelled;
};

static int64_t cancel_other_when_told(void *arg)
{
	struct told *told = arg;

	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ECANCELED);
	rota_scope_cancel(told->other, "the reader goes as well");
	rota_future_complete(&told->cancelled, 0);
	return 0;
}

static int64_t cancel_in_turn(void *arg)
{
	char name[] = "writer of a name longer than a reason keeps";
	const struct rota_spawn_options named = { .name = name };
	struct rota_scope scope, other, shield;
	struct told told = { .other = &other };

	(void)arg;
	rota_future_init(&told.cancelled);
	rota_scope_open(&other, ROTA_NEVER);
	rota_shield(&shield, ROTA_NEVER);
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn_with(&scope, cancel_other_when_told, &told, &named), 0);
	t_settle();
	rota_scope_cancel(&scope, "enough");
	T_EQUAL(rota_scope_close(&scope), -ECANCELED);
	memset(name, 'x', sizeof(name) - 1);
	T_EQUAL(rota_await(&told.cancelled), 0);
	T_EQUAL(rota_scope_close(&shield), 0);
	CHAIN_IS(rota_why(), ROTA_CANCEL_BY_HAND, ROTA_CANCEL_BY_HAND);
	T_EQUAL(strcmp(rota_why()->task_name, "writer of a name longer than a "), 0);
	T_EQUAL(strcmp(rota_reason_cause(rota_why())->why, "enough"), 0);
	return rota_scope_close(&other);
}

static void test_reason_by_hand_names_the_task_and_why_it_was_told(void **state)
{
	(void)state;
	assert_int_equal(t_run(cancel_in_turn, NULL), -ECANCELED);
}

/* ---- a shield that takes too long ---- */

static int64_t clean_up_too_long(void *arg)
{
	struct rota_scope scope, shield, inner;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	rota_scope_cancel(&scope, "enough");
	rota_shield(&shield, rota_after_ms(1));
	T_CHECK(rota_why() == NULL);
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ETIMEDOUT);
	CHAIN_IS(rota_why(), ROTA_CANCEL_DEADLINE, ROTA_CANCEL_BY_HAND);
	text_has(rota_why(), "deadline passed (shield opened at " HERE);
	text_has(rota_why(), ", because enough (" HERE);
	T_EQUAL(rota_scope_close(&shield), -ETIMEDOUT);
	CHAIN_IS(rota_why(), ROTA_CANCEL_BY_HAND);

	rota_shield(&shield, ROTA_NEVER);
	rota_scope_open(&inner, rota_after_ms(1));
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ETIMEDOUT);
	CHAIN_IS(rota_why(), ROTA_CANCEL_DEADLINE, ROTA_CANCEL_BY_HAND);
	T_EQUAL(rota_scope_close(&inner), -ETIMEDOUT);
	T_EQUAL(rota_scope_close(&shield), 0);
	return rota_scope_close(&scope);
}

static void test_reason_of_clean_up_that_took_too_long_says_after_what(void **state)
{
	(void)state;
	assert_int_equal(t_run(clean_up_too_long, NULL), -ECANCELED);
}

/* ---- jobs ---- */

static int64_t job_times_out(void *arg)
{
	int line;

	(void)arg;
	return time_out(&line);
}

static int64_t job_learns_why(void *arg)
{
	(void)arg;
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ECANCELED);
	CHAIN_IS(rota_why(), ROTA_CANCEL_SIBLING_FAILED, ROTA_CANCEL_DEADLINE);
	text_has(rota_why(), "task \"gather\" #");
	return -ECANCELED;
}

static int64_t gather_two(void *arg)
{
	struct rota_job jobs[] = { { .fn = job_learns_why }, { .fn = job_times_out } };

	(void)arg;
	return rota_gather(jobs, 2);
}

static int64_t look_above_the_gatherer(void *arg)
{
	(void)arg;
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ECANCELED);
	CHAIN_IS(rota_why(), ROTA_CANCEL_SIBLING_FAILED, ROTA_CANCEL_SIBLING_FAILED,
		 ROTA_CANCEL_DEADLINE);
	return 0;
}

static int64_t spawn_gatherer(void *arg)
{
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, look_above_the_gatherer, arg), 0);
	T_EQUAL(rota_spawn(&scope, gather_two, arg), 0);
	return rota_scope_close(&scope);
}

static void test_reason_of_gathered_jobs_names_the_one_that_failed(void **state)
{
	(void)state;
	assert_int_equal(t_run(spawn_gatherer, NULL), -ETIMEDOUT);
}

/* ---- scopes with a name; failures in the log ---- */

static int64_t time_out_named(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open_at(&scope, rota_after_ms(1), ROTA_SITE("login"));
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ETIMEDOUT);
	text_has(rota_why(), "deadline passed (login opened at " HERE);
	return rota_scope_close(&scope);
}

static int64_t spawn_into_root(void *arg)
{
	struct rota_future ended;
	const struct rota_spawn_options seen = { .result = &ended };

	T_EQUAL(rota_spawn(rota_reactor_scope(rota_reactor_current()), time_out_named, arg), 0);
	T_EQUAL(rota_spawn_with(rota_reactor_scope(rota_reactor_current()), time_out_named, arg,
				&seen),
		0);
	T_EQUAL(rota_await(&ended), -ETIMEDOUT);
	return rota_sleep_ms(5);
}

static void test_reason_of_a_failure_in_the_root_is_logged_with_its_cause_once(void **state)
{
	(void)state;
	t_log_keep();
	assert_int_equal(t_run(spawn_into_root, NULL), 0);
	assert_int_equal(t_log_count("ended with ETIMEDOUT"), 1);
	assert_int_equal(t_log_count(", because deadline passed (login opened at " HERE), 1);
	t_log_stop();
}

/* ---- what is forgotten ---- */

static int64_t forget(void *arg)
{
	struct rota_scope outer;
	int line;

	(void)arg;
	rota_scope_open(&outer, ROTA_NEVER);
	rota_ignore(rota_spawn(&outer, time_out, &line), "its failure is what is looked at");
	T_EQUAL(rota_sleep_until(ROTA_NEVER), -ECANCELED);
	CHAIN_IS(rota_why(), ROTA_CANCEL_SIBLING_FAILED, ROTA_CANCEL_DEADLINE);
	for (int i = 0; i < 128; i++) {
		struct rota_scope shield;

		rota_shield(&shield, ROTA_NEVER);
		rota_scope_cancel(&shield, "one of many");
		T_EQUAL(rota_scope_close(&shield), -ECANCELED);
	}
	CHAIN_IS(rota_why(), ROTA_CANCEL_SIBLING_FAILED, ROTA_CANCEL_FORGOTTEN);
	text_has(rota_why(), "failed with ETIMEDOUT, because \u2026");
	return rota_scope_close(&outer);
}

static void test_reason_with_a_cause_overwritten_says_so(void **state)
{
	(void)state;
	assert_int_equal(t_run(forget, NULL), -ETIMEDOUT);
}

static int64_t fail_deep(void *arg)
{
	int64_t depth = (int64_t)(intptr_t)arg;
	struct rota_scope scope;
	int line;

	if (depth == 0)
		return time_out(&line);
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, fail_deep, (void *)(intptr_t)(depth - 1)), 0);
	rota_ignore(rota_sleep_until(ROTA_NEVER), "the close says it");
	if (depth == 40) {
		char text[ROTA_REASON_TEXT_BYTES];
		const struct rota_cancel_reason *reason = rota_why();
		int links = 0;

		for (; reason; reason = rota_reason_cause(reason))
			links++;
		T_EQUAL(links, 41);
		T_LESS(strlen(rota_reason_format(rota_why(), text)), sizeof(text));
		T_EQUAL(strcmp(text + strlen(text) - strlen(", because \u2026"),
			       ", because \u2026"),
			0);
	}
	return rota_scope_close(&scope);
}

static void test_reason_with_a_chain_longer_than_the_text_is_cut_at_a_link(void **state)
{
	(void)state;
	assert_int_equal(t_run(fail_deep, (void *)(intptr_t)40), -ETIMEDOUT);
}

/* ---- across reactors ---- */

struct pair {
	struct rota_reactor *reactors[2];
	int64_t seen;
	unsigned links;
};

static int64_t look_over_there(void *arg)
{
	struct pair *pair = arg;
	const struct rota_cancel_reason *reason;

	pair->seen = rota_sleep_until(ROTA_NEVER);
	for (reason = rota_why(); reason; reason = rota_reason_cause(reason))
		pair->links++;
	text_has(rota_why(), "the caller was cancelled (" HERE);
	text_has(rota_why(), ", because task \"fetch\" #");
	text_has(rota_why(), ", because deadline passed (scope opened at " HERE);
	return 0;
}

static int64_t call_until_cancelled(void *arg)
{
	struct pair *pair = arg;

	return rota_call_on(pair->reactors[1], look_over_there, pair);
}

static int64_t call_beside_one_that_times_out(void *arg)
{
	const struct rota_spawn_options named = { .name = "fetch" };
	struct pair *pair = arg;
	struct rota_scope scope;
	int line;

	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, call_until_cancelled, pair), 0);
	T_EQUAL(rota_spawn_with(&scope, time_out, &line, &named), 0);
	T_EQUAL(rota_scope_close(&scope), -ETIMEDOUT);
	rota_reactor_stop(pair->reactors[0]);
	rota_reactor_stop(pair->reactors[1]);
	return 0;
}

/* The other way: the function over there runs out of time of its own. */
static int64_t time_out_over_there(void *arg)
{
	int line;

	(void)arg;
	return time_out(&line);
}

static int64_t fail_with_the_call(void *arg)
{
	struct pair *pair = arg;

	return rota_call_on(pair->reactors[1], time_out_over_there, NULL);
}

static int64_t look_beside_the_caller(void *arg)
{
	struct pair *pair = arg;

	pair->seen = rota_sleep_until(ROTA_NEVER);
	CHAIN_IS(rota_why(), ROTA_CANCEL_SIBLING_FAILED, ROTA_CANCEL_DEADLINE);
	text_has(rota_why(), "fail_with_the_call");
	text_has(rota_why(), ", because deadline passed (scope opened at " HERE);
	return 0;
}

static int64_t spawn_one_whose_call_fails(void *arg)
{
	struct pair *pair = arg;
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, look_beside_the_caller, pair), 0);
	T_EQUAL(rota_spawn(&scope, fail_with_the_call, pair), 0);
	T_EQUAL(rota_scope_close(&scope), -ETIMEDOUT);
	rota_reactor_stop(pair->reactors[0]);
	rota_reactor_stop(pair->reactors[1]);
	return 0;
}

struct start {
	struct rota_message message;
	struct pair *pair;
	rota_task_fn fn;
};

static void start_calling(struct rota_message *message)
{
	struct start *start = ROTA_CONTAINER_OF(message, struct start, message);
	struct rota_scope *root = rota_reactor_scope(rota_reactor_current());

	T_EQUAL(rota_spawn(root, start->fn, start->pair), 0);
}

static void run_pair(struct pair *pair, rota_task_fn fn)
{
	struct start start = { .message.run = start_calling, .pair = pair, .fn = fn };

	t_reactors_create(pair->reactors, 2);
	rota_post(pair->reactors[0], &start.message);
	assert_int_equal(rota_reactor_drive(pair->reactors, 2), 0);
	t_reactors_destroy(pair->reactors, 2);
}

static void test_reason_of_a_callee_names_the_caller_and_what_is_behind_it(void **state)
{
	struct pair pair = { .links = 0 };

	(void)state;
	run_pair(&pair, call_beside_one_that_times_out);
	assert_int_equal(pair.seen, -ECANCELED);
	assert_int_equal(pair.links, 3);
}

static void test_reason_of_a_callers_failure_comes_back_from_the_callee(void **state)
{
	struct pair pair = { .links = 0 };

	(void)state;
	run_pair(&pair, spawn_one_whose_call_fails);
	assert_int_equal(pair.seen, -ECANCELED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reason_of_a_sibling_that_timed_out_names_the_deadline),
		cmocka_unit_test(test_reason_goes_up_with_the_failure),
		cmocka_unit_test(test_reason_goes_up_from_a_scope_that_collects),
		cmocka_unit_test(test_reason_of_another_error_than_the_close_returned_stands_alone),
		cmocka_unit_test(test_reason_by_hand_names_the_task_and_why_it_was_told),
		cmocka_unit_test(test_reason_of_clean_up_that_took_too_long_says_after_what),
		cmocka_unit_test(
			test_reason_of_a_failure_in_the_root_is_logged_with_its_cause_once),
		cmocka_unit_test(test_reason_of_gathered_jobs_names_the_one_that_failed),
		cmocka_unit_test(test_reason_with_a_cause_overwritten_says_so),
		cmocka_unit_test(test_reason_with_a_chain_longer_than_the_text_is_cut_at_a_link),
		cmocka_unit_test(test_reason_of_a_callers_failure_comes_back_from_the_callee),
		cmocka_unit_test(test_reason_of_a_callee_names_the_caller_and_what_is_behind_it),
	};

	return t_run_group("reason", tests, ROTA_ARRAY_COUNT(tests));
}
