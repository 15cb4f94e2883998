/* SPDX-License-Identifier: MIT */
/*
 * Mistakes with scopes, tasks and futures that have no test beside the thing itself: each has one
 * outcome that is sure, see docs/errors.md.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rota/error.h>
#include <rota/mailbox.h>
#include <rota/net.h>

#include "tests/support/t_core.h"

static int64_t do_nothing(void *arg)
{
	(void)arg;
	return 0;
}

static rota_task_fn bad_fn;

static void run_bad(void)
{
	rota_ignore(t_run(bad_fn, NULL), "it dies");
}

static void dies(rota_task_fn fn, const char *text)
{
	bad_fn = fn;
	t_expect_death(run_bad, text);
}

/* ---- after the close ---- */

static int64_t cancel_after_close(void *arg)
{
	struct rota_scope scope;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_scope_close(&scope), 0);
	rota_scope_cancel(&scope, "too late");
	return 0;
}

static int64_t spawn_after_close(void *arg)
{
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_scope_close(&scope), 0);
	T_EQUAL(rota_spawn(&scope, do_nothing, arg), -ROTA_ECLOSING);
	return 0;
}

static int64_t return_seven(void *arg)
{
	(void)arg;
	return 7;
}

static int64_t cancel_after_end(void *arg)
{
	struct rota_future end;
	const struct rota_spawn_options options = { .result = &end };
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn_with(&scope, return_seven, arg, &options), 0);
	T_EQUAL(rota_await(&end), 7);
	rota_scope_cancel(&scope, "too late");
	T_EQUAL(rota_scope_close(&scope), -ECANCELED);
	return end.result;
}

static void test_bad_use_cancel_of_a_finished_task_changes_nothing(void **state)
{
	(void)state;
	assert_int_equal(t_run(cancel_after_end, NULL), 7);
}

static void test_bad_use_of_a_closed_scope_is_seen(void **state)
{
	(void)state;
	dies(cancel_after_close, "!scope->is_closed_");
	assert_int_equal(t_run(spawn_after_close, NULL), 0);
}

/* ---- where nothing can wait ---- */

static void wait_in_callback(struct rota_message *message)
{
	(void)message;
	rota_ignore(rota_sleep_ms(1), "it dies");
}

static int64_t post_one_that_waits(void *arg)
{
	struct rota_message message = { .run = wait_in_callback };

	(void)arg;
	rota_post(rota_reactor_current(), &message);
	return rota_sleep_until(ROTA_NEVER);
}

static void wait_outside(void)
{
	rota_ignore(rota_sleep_ms(1), "it dies");
}

static int64_t outlive_nobody(void *arg)
{
	(void)arg;
	rota_handler_outlives_client();
	return 0;
}

static void test_bad_use_where_nothing_can_wait_is_asserted(void **state)
{
	(void)state;
	dies(post_one_that_waits, "task != NULL");
	t_expect_death(wait_outside, "rota__current_reactor != NULL");
	dies(outlive_nobody, "task->client_scope != NULL");
}

/* ---- connections ---- */

static struct rota_conn *conn;

static int64_t close_what_it_was_lent(struct rota_conn *lent, void *arg)
{
	(void)arg;
	rota_conn_close(lent);
	return 0;
}

static int64_t read_nothing(struct rota_conn *lent, void *arg)
{
	(void)lent;
	(void)arg;
	return rota_sleep_until(ROTA_NEVER);
}

static void connect_to(rota_conn_fn handler)
{
	struct rota_listener_options options = { .handler = handler };
	struct rota_listener *listener;

	T_EQUAL(rota_address_parse(&options.address, "127.0.0.1", 0), 0);
	T_EQUAL(rota_listener_open(&options, &listener), 0);
	T_EQUAL(rota_listener_address(listener, &options.address), 0);
	T_EQUAL(rota_connect(&options.address, NULL, &conn), 0);
}

static int64_t read_conn(void *arg)
{
	struct rota_view view;

	(void)arg;
	return rota_conn_read(conn, &view);
}

static int64_t read_from_two_tasks(void *arg)
{
	struct rota_scope scope;

	connect_to(read_nothing);
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, read_conn, arg), 0);
	T_EQUAL(rota_spawn(&scope, read_conn, arg), 0);
	return rota_scope_close(&scope);
}

/* More than sockets hold, whatever the kernel lets them grow to. */
static int64_t write_much(void *arg)
{
	static const char bytes[24 << 20];

	(void)arg;
	return rota_conn_write(conn, rota_view_of(bytes, sizeof(bytes)));
}

static int64_t write_from_two_tasks(void *arg)
{
	struct rota_scope scope;

	connect_to(read_nothing);
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, write_much, arg), 0);
	T_EQUAL(rota_spawn(&scope, write_much, arg), 0);
	return rota_scope_close(&scope);
}

static int64_t close_while_a_task_reads(void *arg)
{
	struct rota_scope scope;

	connect_to(read_nothing);
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, read_conn, arg), 0);
	t_settle();
	rota_conn_close(conn);
	return rota_scope_close(&scope);
}

static int64_t connect_to_one_that_closes(void *arg)
{
	connect_to(close_what_it_was_lent);
	return read_conn(arg);
}

static void test_bad_use_of_a_connection_is_asserted(void **state)
{
	(void)state;
	dies(read_from_two_tasks, "!*place");
	dies(write_from_two_tasks, "!*place");
	dies(close_while_a_task_reads, "!rota__stream(conn)->reader");
	dies(connect_to_one_that_closes, "!conn->listener");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_use_cancel_of_a_finished_task_changes_nothing),
		cmocka_unit_test(test_bad_use_of_a_closed_scope_is_seen),
		cmocka_unit_test(test_bad_use_where_nothing_can_wait_is_asserted),
		cmocka_unit_test(test_bad_use_of_a_connection_is_asserted),
	};

	return t_run_group("bad use", tests, ROTA_ARRAY_COUNT(tests));
}
