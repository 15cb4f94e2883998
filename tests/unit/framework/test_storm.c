/* SPDX-License-Identifier: MIT */
/*
 * The core under a storm: tasks that do by seed all that tasks can do, on two simulated reactors,
 * while the scope around them is cancelled or a reactor stops at the first step, at the second …,
 * while memory runs out at the first allocation, at the second …, or there is room for two tasks,
 * for three …. Whatever happens, the rules of <rota/scope.h> and <rota/future.h> hold at every
 * call, and nothing is left behind.
 *
 *	test_storm [SEED [STEP [ALLOCATION [TASKS [STOP]]]]]     repeats one run
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/rota.h>

#include "backends/sim/sim.h"
#include "framework/reactor_internal.h"
#include "tests/support/t_alloc.h"
#include "tests/support/t_core.h"

#define SEEDS (ROTA_DEBUG ? 60 : 300)
#define MEMORY_SEEDS 20
#define WORKERS 3
#define ROUNDS 5
#define DEPTH_MAX 2
#define SHARED 3
#define STEPS_MAX 2000 /* a run has some 200 */

/* One run. Both reactors are on this thread. */
static struct {
	struct rota_reactor *reactors[2];
	struct rota_scope *outer; /* around all workers; NULL: not open */
	struct rota_address address;
	struct rota_message begin, cancel;
	struct rota_timer timer;
	struct rota_future shared[SHARED];
	unsigned users[SHARED]; /* who may be waiting for it */
	uint64_t seed, random;
	unsigned step, cancel_at, stop_at; /* at which step to cancel or stop; 0: never */
	uint32_t tasks_max;
	bool may_lack_memory;
} storm;

static unsigned draw(unsigned below)
{
	storm.random ^= storm.random << 13;
	storm.random ^= storm.random >> 7;
	storm.random ^= storm.random << 17;
	return (unsigned)(storm.random >> 33) % below;
}

/* For the arguments of pause_some and answer: may they wait for what never comes? */
#define MAY_SLEEP_FOR_EVER ((void *)1)

static rota_ns soon(void)
{
	return rota_after_ns((int64_t)draw(400) * ROTA_NS_PER_US);
}

/* ---- the cancellation ---- */

static void cancel_outer(void)
{
	if (storm.outer)
		rota_scope_cancel(storm.outer, "the storm");
}

static void cancel_by_message(struct rota_message *message)
{
	(void)message;
	cancel_outer();
}

static void cancel_by_timer(struct rota_timer *timer)
{
	(void)timer;
	cancel_outer();
}

/* Everything that is done counts; at the step of this run, it happens. */
static void step(void)
{
	bool at_home = rota_reactor_current() == storm.reactors[0];

	if (++storm.step == storm.stop_at)
		rota_reactor_stop(storm.reactors[draw(2)]);
	if (storm.step != storm.cancel_at)
		return;
	if (at_home && storm.seed % 3 == 0)
		cancel_outer();
	else if (at_home && storm.seed % 3 == 1)
		rota_timer_arm(&storm.timer, 0);
	else
		rota_post(storm.reactors[0], &storm.cancel);
}

/* ---- the rules ---- */

static bool is_stop(int64_t status)
{
	return status == -ECANCELED || status == -ETIMEDOUT;
}

/* The first want of memory; or what it led to: an engine that doesn't open stops all. */
static void must_lack_memory(int64_t status)
{
	T_CHECK(status == -ENOMEM || status == -ROTA_ESTACK || is_stop(status));
	T_CHECK(storm.may_lack_memory);
}

static int64_t do_nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* A task that is to stop hears so from every call, with a reason, until its scope closes. */
static int64_t heard(int64_t status)
{
	struct rota_future pending;
	int told;

	if (!is_stop(status))
		return status;
	told = rota_check_cancelled();
	if (told == 0)
		return status; /* a result that says the same */
	T_CHECK(rota_why() != NULL);
	T_EQUAL(rota_why()->error, told);
	rota_future_init(&pending);
	T_EQUAL(rota_await(&pending), told);
	T_CHECK(pending.waits_ == NULL);
	T_EQUAL(rota_yield(), told);
	T_EQUAL(rota_sleep_ms(1), told);
	T_EQUAL(rota_spawn(rota__task()->scope, do_nothing, NULL), told);
	T_EQUAL(rota_call_on(storm.reactors[1], do_nothing, NULL), told);
	return told;
}

/* ---- what tasks do ---- */

static int64_t work(void *depth);

/* A future that takes a while to be cancelled, and may have a result then. */
struct slow {
	struct rota_future future;
	struct rota_timer timer;
	int64_t late_result;
};

static void slow_end(struct rota_timer *timer)
{
	struct slow *slow = ROTA_CONTAINER_OF(timer, struct slow, timer);

	rota_future_complete(&slow->future, slow->late_result);
}

static void slow_cancel(struct rota_future *future)
{
	rota_timer_arm(&ROTA_CONTAINER_OF(future, struct slow, future)->timer, soon());
}

static void slow_start(struct slow *slow, bool comes)
{
	slow->late_result = draw(2) ? 1 : -ECANCELED;
	rota_future_init(&slow->future);
	slow->future.cancel_ = slow_cancel;
	rota_timer_init(&slow->timer, slow_end);
	if (comes)
		rota_timer_arm(&slow->timer, soon());
}

/* Runs on the other reactor. */
static int64_t answer(void *arg)
{
	struct rota_scope scope;
	int64_t status = 0;

	step();
	T_CHECK(!arg || rota_deadline() != ROTA_NEVER); /* the outer scope's, at least */
	if (arg && draw(4) == 0)
		status = heard(rota_sleep_until(ROTA_NEVER));
	else if (draw(2))
		status = heard(rota_sleep_until(soon()));
	if (draw(4) == 0) {
		rota_scope_open(&scope, soon());
		rota_ignore(rota_spawn(&scope, do_nothing, NULL), "the close says it");
		rota_ignore(rota_yield(), "closing waits");
		status = rota_scope_close(&scope);
	}
	step();
	return status;
}

static int64_t pause_some(void *arg)
{
	step();
	if (arg && draw(6) == 0)
		return heard(rota_sleep_until(ROTA_NEVER));
	if (draw(3) == 0)
		return heard(rota_yield());
	return heard(rota_sleep_until(soon()));
}

static void touch_shared(void)
{
	unsigned which = draw(SHARED);
	struct rota_future *future = &storm.shared[which];

	if (!rota_future_is_done(future))
		rota_future_complete(future, 1);
	else if (!storm.users[which])
		rota_future_init(future);
}

/* Await several things of different kinds; afterwards none that can be cancelled is lent. */
static int64_t await_set(void)
{
	unsigned which = draw(SHARED);
	struct rota_timeout timeout;
	struct rota_future result, *futures[6];
	struct rota_spawn_options options = { .result = &result };
	struct rota_scope scope;
	struct rota_call call;
	struct slow slow;
	unsigned count = 0;
	bool all = draw(4) == 0;
	int64_t status, closed;
	rota_ns start;

	rota_scope_open(&scope, draw(2) ? soon() : ROTA_NEVER);
	rota_timeout_start(&timeout, soon());
	rota_call_start(&call, storm.reactors[draw(2)], answer, MAY_SLEEP_FOR_EVER);
	slow_start(&slow, all || draw(2));
	status = rota_spawn_with(&scope, pause_some, MAY_SLEEP_FOR_EVER, &options);
	T_CHECK(rota_future_is_done(&result) == (status < 0));
	step();
	futures[count++] = &timeout.future;
	futures[count++] = &call.future;
	futures[count++] = &slow.future;
	futures[count++] = &result;
	if (!all)
		futures[count++] = &storm.shared[which];
	futures[count] = futures[draw(count)]; /* one twice */
	count++;
	storm.users[which]++;
	start = rota_now();
	status = all ? rota_await_all(futures, count) : rota_await_any(futures, count);
	storm.users[which]--;
	T_CHECK(rota_future_is_done(&timeout.future));
	T_CHECK(rota_future_is_done(&call.future));
	T_CHECK(rota_future_is_done(&slow.future));
	if (!all) /* the first within 0.4 ms, the losers as long, and some turns */
		T_LESS(rota_now() - start, 3 * ROTA_NS_PER_MS);
	if (status < 0)
		T_CHECK(rota_why() != NULL);
	else if (all)
		T_CHECK(rota_future_is_done(&result));
	else
		T_CHECK(rota_future_is_done(futures[status]));
	step();
	if (draw(2))
		rota_scope_cancel(&scope, "enough");
	closed = rota_scope_close(&scope);
	T_CHECK(rota_future_is_done(&result));
	T_CHECK(result.waits_ == NULL);
	if (closed < 0 && !is_stop(closed))
		must_lack_memory(closed);
	return rota_check_cancelled();
}

static int64_t nest(uintptr_t depth)
{
	struct rota_scope scope;
	int64_t status;

	rota_scope_open(&scope, draw(2) ? soon() : ROTA_NEVER);
	for (unsigned i = 0; i <= draw(3); i++)
		rota_ignore(rota_spawn(&scope, work, (void *)(depth + 1)), "the close says it");
	step();
	if (draw(3) == 0)
		rota_ignore(heard(rota_sleep_until(draw(2) ? soon() : ROTA_NEVER)),
			    "closing waits");
	if (draw(4) == 0)
		rota_scope_cancel(&scope, "an inner one");
	status = rota_scope_close(&scope);
	T_CHECK(status == 0 || is_stop(status) || status == -EIO || storm.may_lack_memory);
	return rota_check_cancelled();
}

/* What has to be done although it is cancelled. */
static int64_t clean_up(void)
{
	struct rota_scope shield;
	bool has_time = draw(2);
	int64_t status;

	rota_shield(&shield, has_time ? ROTA_NEVER : soon());
	T_EQUAL(rota_deadline() == ROTA_NEVER, has_time);
	step();
	status = rota_sleep_until(soon());
	T_CHECK(status == 0 || (!has_time && status == -ETIMEDOUT));
	rota_ignore(rota_spawn(&shield, pause_some, NULL), "the close says it");
	status = rota_call_on(storm.reactors[1], answer, NULL);
	T_CHECK(!has_time || status != -ECANCELED || storm.may_lack_memory || storm.stop_at);
	status = rota_scope_close(&shield);
	T_CHECK(status == 0 || (!has_time && is_stop(status)) || storm.may_lack_memory);
	return rota_check_cancelled();
}

/* Connect, say something and hear it: operations of the engine's. */
static int64_t talk(void)
{
	struct rota_conn *conn;
	struct rota_view view;
	int64_t status = rota_connect(&storm.address, NULL, &conn);

	if (status < 0)
		return heard(status) == rota_check_cancelled() ? rota_check_cancelled() : 0;
	step();
	status = rota_conn_write(conn, rota_view_of("hello", 5));
	if (status >= 0)
		status = rota_conn_read(conn, &view);
	step();
	rota_ignore(heard(status), "the connection is closed either way");
	rota_conn_close(conn);
	return rota_check_cancelled();
}

static int64_t wait_for_shared(void)
{
	unsigned which = draw(SHARED);
	int64_t status;

	storm.users[which]++;
	status = rota_await(&storm.shared[which]);
	storm.users[which]--;
	return status == 1 ? 0 : heard(status);
}

/* Into a scope that may be closing, which takes its own tasks' children only. */
static int64_t spawn_outwards(struct rota_scope *scope)
{
	bool is_closed = scope->is_closing_ && rota__task()->owner != scope;
	bool is_cancelled = rota_scope_is_cancelled(scope);
	int64_t status = rota_spawn(scope, pause_some, MAY_SLEEP_FOR_EVER);

	if (is_cancelled)
		T_CHECK(is_stop(status));
	else if (is_closed)
		T_EQUAL(status, -ROTA_ECLOSING);
	else if (status < 0)
		must_lack_memory(status);
	return rota_check_cancelled();
}

static int64_t work(void *arg)
{
	uintptr_t depth = (uintptr_t)arg;
	int64_t status = 0;

	for (unsigned round = 0; round < ROUNDS && (status == 0 || draw(3) == 0); round++) {
		step();
		touch_shared();
		switch (draw(9)) {
		case 0:
			status = await_set();
			break;
		case 1:
			status = depth < DEPTH_MAX ? nest(depth) : heard(rota_yield());
			break;
		case 2:
			status = clean_up();
			break;
		case 3:
			status = talk();
			break;
		case 4:
			status = wait_for_shared();
			break;
		case 5:
			status = spawn_outwards(draw(2) ? storm.outer : rota__task()->owner);
			break;
		case 6:
			rota_ignore(
				heard(rota_call_on(storm.reactors[1], answer, MAY_SLEEP_FOR_EVER)),
				"its result may say it as well");
			status = rota_check_cancelled();
			break;
		case 7:
			if (draw(8) == 0)
				return -EIO;
			break;
		default:
			status = pause_some(MAY_SLEEP_FOR_EVER);
		}
		T_CHECK(status == 0 || status == rota_check_cancelled());
		status = rota_check_cancelled(); /* perhaps only since */
	}
	return status;
}

/* ---- one run ---- */

static int64_t echo(struct rota_conn *conn, void *arg)
{
	struct rota_view view;
	int64_t n;

	(void)arg;
	while ((n = rota_conn_read(conn, &view)) > 0) {
		step();
		if (draw(8) == 0)
			return 0;
		if ((n = rota_conn_write(conn, view)) < 0)
			break;
	}
	return 0;
}

static int64_t listen_there(void *arg)
{
	const struct rota_listener_options options = { .address = storm.address, .handler = echo };
	struct rota_listener *listener;

	(void)arg;
	return rota_listener_open(&options, &listener);
}

/* Completes what workers wait for, so that they end when nobody cancels them. */
static int64_t keep_touching(void *arg)
{
	while (!*(bool *)arg && rota_sleep_ms(1) == 0)
		for (unsigned i = 0; i < SHARED; i++)
			if (!rota_future_is_done(&storm.shared[i]))
				rota_future_complete(&storm.shared[i], 1);
	return 0;
}

static int64_t run_storm(void *arg)
{
	struct rota_scope around, outer;
	bool is_over = false;
	int64_t status = rota_call_on(storm.reactors[1], listen_there, NULL);

	(void)arg;
	if (status < 0)
		must_lack_memory(status);
	rota_scope_open(&around, ROTA_NEVER);
	rota_scope_open(&outer, rota_after_ms(draw(10) + 1));
	storm.outer = &outer;
	if (rota_spawn(&around, keep_touching, &is_over) < 0)
		rota_scope_cancel(&outer, "nobody will end it"); /* the first allocations failed */
	for (unsigned i = 0; i < WORKERS; i++)
		rota_ignore(rota_spawn(&outer, work, NULL), "the close says it");
	rota_ignore(rota_scope_close(&outer), "any");
	storm.outer = NULL;
	is_over = true;
	rota_ignore(rota_scope_close(&around), "any");
	T_EQUAL(rota__task()->ops_lent, 0);
	for (unsigned i = 0; i < SHARED; i++)
		T_CHECK(storm.shared[i].waits_ == NULL);
	rota_timer_disarm(&storm.timer);
	rota_reactor_stop(storm.reactors[0]);
	rota_reactor_stop(storm.reactors[1]);
	return 0;
}

static void begin(struct rota_message *message)
{
	(void)message;
	if (rota_spawn(rota_reactor_scope(rota_reactor_current()), run_storm, NULL) == 0)
		return;
	rota_reactor_stop(storm.reactors[0]);
	rota_reactor_stop(storm.reactors[1]);
}

static void expect_nothing_left(const struct rota_reactor *reactor)
{
	T_EQUAL(reactor->stats.tasks_alive, 0);
	T_EQUAL(reactor->root.children_count_, 0);
	T_EQUAL(reactor->ops_lent, 0);
	T_EQUAL(reactor->cancelled_scopes, 1); /* the root */
	T_CHECK(rota_list_is_empty(&reactor->sweeps));
	T_CHECK(!reactor->pass && !reactor->ready_head && !reactor->current);
	T_EQUAL(rota__wheel_next(&reactor->wheel), ROTA_NEVER);
	for (unsigned class = 0; class < ROTA_STACK_CLASS_COUNT; class ++)
		T_EQUAL(reactor->stacks.shelves[class].in_use, 0);
}

static bool make_reactors(const char *text)
{
	for (unsigned i = 0; i < 2; i++) {
		struct rota_reactor_options options = {
			.engine = &rota_backend_sim,
			.engine_options = text,
			.index = i,
			.cpu = -1,
			.tasks_max = storm.tasks_max,
		};

		if (rota_reactor_create(&options, &storm.reactors[i]) < 0)
			return false;
	}
	return true;
}

/* What of `how` is 0 does not happen. */
struct how {
	uint64_t seed;
	unsigned cancel_at; /* step */
	size_t fail_at;     /* allocation */
	uint32_t tasks_max; /* of each reactor */
	unsigned stop_at;   /* step */
};

static struct how running;

static void say_how_to_repeat(int signal)
{
	(void)signal;
	fprintf(stderr, "to repeat: test_storm %llu %u %zu %u %u\n",
		(unsigned long long)running.seed, running.cancel_at, running.fail_at,
		running.tasks_max, running.stop_at);
}

/* Returns the steps it made. */
static unsigned run(const struct how *how)
{
	char text[64];

	running = *how;
	memset(&storm, 0, sizeof(storm));
	storm.seed = how->seed;
	storm.random = how->seed * UINT64_C(0x9e3779b97f4a7c15);
	storm.cancel_at = how->cancel_at;
	storm.tasks_max = how->tasks_max;
	storm.stop_at = how->stop_at;
	storm.may_lack_memory = how->fail_at || how->tasks_max;
	t_alloc_fail_at(how->fail_at);
	storm.begin.run = begin;
	storm.cancel.run = cancel_by_message;
	rota_timer_init(&storm.timer, cancel_by_timer);
	for (unsigned i = 0; i < SHARED; i++)
		rota_future_init(&storm.shared[i]);
	T_EQUAL(rota_address_parse(&storm.address, "127.0.0.1", 7000), 0);
	snprintf(text, sizeof(text), "seed=%llu,steps-max=200000%s", (unsigned long long)how->seed,
		 how->seed % 2 ? ",rough" : "");
	if (make_reactors(text)) {
		int status;

		rota_post(storm.reactors[0], &storm.begin);
		status = rota_reactor_drive(storm.reactors, 2);
		if (status < 0)
			must_lack_memory(status);
		else
			for (unsigned i = 0; i < 2; i++)
				expect_nothing_left(storm.reactors[i]);
	} else {
		T_CHECK(storm.may_lack_memory);
	}
	rota_reactor_destroy(storm.reactors[0]);
	rota_reactor_destroy(storm.reactors[1]);
	return storm.step;
}

/* ---- the tests ---- */

static int set_up(void **state)
{
	(void)state;
	t_alloc_install();
	t_log_keep();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	t_log_stop();
	t_alloc_remove();
	return 0;
}

static void test_storm_cancelled_at_every_step_leaves_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= t_rounds(SEEDS); seed++) {
		struct how how = { .seed = seed };
		unsigned steps = run(&how);

		assert_in_range(steps, WORKERS, STEPS_MAX);
		while (how.cancel_at++ < steps)
			run(&how);
		assert_int_equal(t_alloc_live(), 0);
	}
}

static void test_storm_with_a_reactor_that_stops_at_every_step_leaves_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= t_rounds(SEEDS); seed++) {
		struct how how = { .seed = seed };
		unsigned steps = run(&how);

		while (how.stop_at++ < steps)
			run(&how);
		assert_int_equal(t_alloc_live(), 0);
	}
}

static void test_storm_without_memory_at_any_time_leaves_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= t_rounds(MEMORY_SEEDS); seed++) {
		struct how how = { .seed = seed };

		do {
			how.fail_at++;
			run(&how);
			assert_int_equal(t_alloc_live(), 0);
		} while (t_alloc_failures());
		assert_true(how.fail_at > 20);
	}
}

static void test_storm_with_room_for_few_tasks_leaves_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= t_rounds(MEMORY_SEEDS); seed++)
		for (uint32_t tasks_max = 1; tasks_max < 20; tasks_max++) {
			run(&(struct how){ .seed = seed, .tasks_max = tasks_max });
			assert_int_equal(t_alloc_live(), 0);
		}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_storm_cancelled_at_every_step_leaves_nothing,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_storm_with_a_reactor_that_stops_at_every_step_leaves_nothing, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			test_storm_without_memory_at_any_time_leaves_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_storm_with_room_for_few_tasks_leaves_nothing,
						set_up, tear_down),
	};
	unsigned long number[5] = { 0 };

	signal(SIGABRT, say_how_to_repeat); /* a failed check: it returns, and dies */
	if (argc == 1)
		return cmocka_run_group_tests(tests, NULL, NULL);
	for (int i = 1; i < argc && i < 6; i++)
		number[i - 1] = strtoul(argv[i], NULL, 10);
	t_alloc_install();
	run(&(struct how){ number[0], (unsigned)number[1], number[2], (uint32_t)number[3],
			   (unsigned)number[4] });
	t_alloc_remove();
	return 0;
}
