/* SPDX-License-Identifier: MIT */
/*
 * What has been closed, taken down or destroyed, used once more. Some of it has an outcome that is
 * an answer; the rest is named, with who did it and the call: always, while the memory is there, or
 * in debug builds, which keep it for a while. See docs/errors.md.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <rota/channel.h>
#include <rota/error.h>
#include <rota/file.h>
#include <rota/generator.h>
#include <rota/net.h>
#include <rota/process.h>
#include <rota/sync.h>

#include "tests/support/t_core.h"

static void (*use)(void);
static rota_task_fn scene;

static void run_scene(void)
{
	rota_ignore(t_run(scene, NULL), "it dies");
}

static void dies(rota_task_fn fn, void (*misuse)(void), const char *says)
{
	scene = fn;
	use = misuse;
	t_expect_death(run_scene, says);
}

/* ---- connections ---- */

static struct rota_conn *conn;
static struct rota_output *output;

static int64_t read_to_end(struct rota_conn *one, void *arg)
{
	struct rota_view view;
	int64_t bytes;

	(void)arg;
	while ((bytes = rota_conn_read(one, &view)) > 0)
		;
	return bytes;
}

static void connect_to(const struct rota_listener_options *asked)
{
	struct rota_listener_options options = *asked;
	struct rota_listener *listener;
	struct rota_address address;

	T_EQUAL(rota_address_parse(&options.address, "127.0.0.1", 0), 0);
	T_EQUAL(rota_listener_open(&options, &listener), 0);
	T_EQUAL(rota_listener_address(listener, &address), 0);
	T_EQUAL(rota_connect(&address, NULL, &conn), 0);
	output = rota_conn_output(conn);
}

static void until_none_is_open(void)
{
	struct rota_net_stats stats;

	do {
		t_settle();
		rota_net_stats(&stats);
	} while (stats.connections > 0);
}

static void read_conn(void)
{
	struct rota_view view;

	rota_ignore(rota_conn_read(conn, &view), "it dies");
}

static void peek_conn(void)
{
	struct rota_view view;

	rota_ignore(rota_conn_peek(conn, 1, &view), "it dies");
}

static void consume_conn(void)
{
	rota_conn_consume(conn, 0);
}

static void write_conn(void)
{
	rota_ignore(rota_conn_write(conn, rota_view_of_string("x")), "it dies");
}

static void flush_conn(void)
{
	rota_ignore(rota_conn_flush(conn), "it dies");
}

static void shut_conn(void)
{
	rota_ignore(rota_conn_shutdown_write(conn), "it dies");
}

static void ask_for_output(void)
{
	rota_conn_output(conn);
}

static void close_conn(void)
{
	rota_conn_close(conn);
}

static void ask_for_id(void)
{
	rota_conn_id(conn);
}

static void write_output(void)
{
	rota_output_write(output, "x", 1);
}

/* What only one who holds the connection may do. */
static const struct {
	void (*use)(void);
	const char *says;
} held[] = {
	{ read_conn, "calls rota_conn_read() on a connection that is gone" },
	{ peek_conn, "calls rota_conn_peek() on a connection that is gone" },
	{ consume_conn, "calls rota_conn_consume() on a connection that is gone" },
	{ write_conn, "calls rota_conn_write() on a connection that is gone" },
	{ flush_conn, "calls rota_conn_flush() on a connection that is gone" },
	{ shut_conn, "calls rota_conn_shutdown_write() on a connection that is gone" },
	{ ask_for_output, "calls rota_conn_output() on a connection that is gone" },
	{ close_conn, "calls rota_conn_close() on a connection that is gone" },
};

/* Its operations are on their way back still, so its memory is there. */
static int64_t use_after_close(void *arg)
{
	const struct rota_listener_options options = { .handler = read_to_end };

	(void)arg;
	connect_to(&options);
	rota_conn_close(conn);
	use();
	return 0;
}

static int64_t use_when_it_has_gone(void *arg)
{
	const struct rota_listener_options options = { .handler = read_to_end };

	(void)arg;
	connect_to(&options);
	rota_conn_close(conn);
	until_none_is_open();
	use();
	return 0;
}

static void test_use_after_end_of_a_connection_that_closes_is_named(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(held); i++)
		dies(use_after_close, held[i].use, held[i].says);
}

static void test_use_after_end_of_a_closed_connection_is_named_in_debug_builds(void **state)
{
	(void)state;
	if (!ROTA_DEBUG)
		skip();
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(held); i++)
		dies(use_when_it_has_gone, held[i].use, held[i].says);
	dies(use_when_it_has_gone, ask_for_id, "calls rota_conn_id() on a connection that is gone");
	dies(use_when_it_has_gone, write_output,
	     "calls rota_output_write() on a connection that is gone");
	dies(use_when_it_has_gone, read_conn, "task \"first task\" spawned at ");
}

/* A handler's connection ends with it, also for those it has told. */
static struct rota_conn *given_away;

static int64_t give_away(struct rota_conn *one, void *arg)
{
	(void)arg;
	given_away = one;
	return 0;
}

static int64_t use_what_a_handler_gave_away(void *arg)
{
	const struct rota_listener_options options = { .handler = give_away };

	(void)arg;
	given_away = NULL;
	connect_to(&options);
	while (!given_away)
		t_settle();
	conn = given_away;
	use();
	return 0;
}

static void test_use_after_end_of_a_handlers_connection_is_named(void **state)
{
	(void)state;
	dies(use_what_a_handler_gave_away, read_conn,
	     "calls rota_conn_read() on a connection that is gone");
	dies(use_what_a_handler_gave_away, write_conn,
	     "calls rota_conn_write() on a connection that is gone");
}

/* ---- sessions ---- */

static struct rota_session *session;

static int remember_session(struct rota_session *opened)
{
	session = opened;
	return 0;
}

static int64_t take_all(struct rota_session *served, struct rota_view bytes)
{
	(void)served;
	return (int64_t)bytes.bytes;
}

static void finish_session(void)
{
	rota_session_finish(session);
}

static void abort_session(void)
{
	rota_session_abort(session, "too late");
}

static void write_to_session(void)
{
	rota_output_write(rota_session_output(session), "x", 1);
}

static int64_t use_closed_session(void *arg)
{
	static const struct rota_protocol protocol = { .name = "test",
						       .on_open = remember_session,
						       .on_bytes = take_all,
						       .on_close = rota_protocol_default_close };
	const struct rota_listener_options options = { .protocol = &protocol };

	(void)arg;
	session = NULL;
	connect_to(&options);
	while (!session)
		t_settle();
	rota_conn_close(conn);
	until_none_is_open();
	use();
	return 0;
}

static void test_use_after_end_of_a_session_is_named_in_debug_builds(void **state)
{
	(void)state;
	if (!ROTA_DEBUG)
		skip();
	dies(use_closed_session, finish_session,
	     "calls rota_session_finish() on a connection that is gone");
	dies(use_closed_session, abort_session,
	     "calls rota_session_abort() on a connection that is gone");
	dies(use_closed_session, write_to_session,
	     "calls rota_session_output() on a connection that is gone");
}

/* ---- channels and what is like them ---- */

static struct rota_channel channel;

static void end_channel(void)
{
	static char buffer[2];
	const struct rota_channel_options options = { .message_bytes = 1,
						      .capacity = 2,
						      .buffer = buffer };

	rota_channel_init(&channel, &options);
	T_EQUAL(rota_channel_try_send(&channel, "x"), 0);
	rota_channel_fini(&channel);
}

static void send_to_channel(void)
{
	rota_ignore(rota_channel_send(&channel, "x"), "it dies");
}

static void receive_from_channel(void)
{
	char message;

	rota_ignore(rota_channel_receive(&channel, &message), "it dies");
}

static void close_channel(void)
{
	rota_channel_close(&channel);
}

static void select_channel(void)
{
	char message;
	struct rota_select_case one = { .kind = ROTA_SELECT_RECEIVE,
					.channel = &channel,
					.message = &message };

	rota_ignore(rota_select(&one, 1), "it dies");
}

static int64_t use_ended_channel(void *arg)
{
	(void)arg;
	end_channel();
	use();
	return 0;
}

static int64_t find_ended_channel_closed(void *arg)
{
	char message;

	(void)arg;
	end_channel();
	T_EQUAL(rota_channel_send(&channel, "x"), -ROTA_ECLOSING);
	T_EQUAL(rota_channel_receive(&channel, &message), 0);
	T_EQUAL(rota_channel_count(&channel), 0);
	return 7;
}

static void test_use_after_end_of_a_channel_finds_it_closed(void **state)
{
	(void)state;
	if (!ROTA_DEBUG) {
		assert_int_equal(t_run(find_ended_channel_closed, NULL), 7);
		return;
	}
	dies(use_ended_channel, send_to_channel, "calls rota_channel_send() on an object that is");
	dies(use_ended_channel, receive_from_channel,
	     "calls rota_channel_receive() on an object that is gone");
	dies(use_ended_channel, close_channel,
	     "calls rota_channel_close() on an object that is gone");
	dies(use_ended_channel, select_channel, "calls rota_select() on an object that is gone");
}

static struct rota_mutex mutex;
static struct rota_event event;

static void lock_mutex(void)
{
	rota_ignore(rota_mutex_lock(&mutex), "it dies");
}

static void set_event(void)
{
	rota_event_set(&event);
}

static int64_t use_ended_object(void *arg)
{
	(void)arg;
	rota_mutex_init(&mutex, ROTA_LOCAL);
	rota_event_init(&event, ROTA_SHARED);
	rota_mutex_fini(&mutex);
	rota_event_fini(&event);
	use();
	return 0;
}

static void test_use_after_end_of_a_lock_is_named_in_debug_builds(void **state)
{
	(void)state;
	if (!ROTA_DEBUG)
		skip();
	dies(use_ended_object, lock_mutex, "calls rota_mutex_lock() on an object that is gone");
	dies(use_ended_object, set_event, "calls rota_event_set() on an object that is gone");
}

/* ---- generators ---- */

static struct rota_generator *generator;

static int64_t generate(struct rota_generator *self, void *arg)
{
	return rota_generator_yield(self, arg, NULL);
}

static int64_t use_destroyed_generator(void *arg)
{
	void *value;

	(void)arg;
	T_EQUAL(rota_generator_create(generate, NULL, &generator), 0);
	T_EQUAL(rota_generator_next(generator, &value), 1);
	rota_generator_destroy(generator);
	use();
	return 0;
}

static void next(void)
{
	void *value;

	rota_ignore(rota_generator_next(generator, &value), "it dies");
}

static void throw(void)
{
	void *value;

	rota_ignore(rota_generator_throw(generator, -EIO, &value), "it dies");
}

static void destroy(void)
{
	rota_generator_destroy(generator);
}

static void test_use_after_end_of_a_generator_is_asserted(void **state)
{
	(void)state;
	dies(use_destroyed_generator, next, "generator->home == &here");
	dies(use_destroyed_generator, throw, "generator->home == &here");
	dies(use_destroyed_generator, destroy, "generator->home == &here");
}

/* ---- files, listeners, processes: an answer ---- */

static int64_t use_closed_file(void *arg)
{
	struct rota_file file;
	char path[64], byte;

	(void)arg;
	snprintf(path, sizeof(path), "%s/rota-use-%d", t_is_simulated() ? "" : "/tmp",
		 (int)getpid());
	T_EQUAL(rota_file_open(&file, path, O_CREAT | O_RDWR, 0600), 0);
	T_EQUAL(rota_file_close(&file), 0);
	T_EQUAL(rota_file_read_at(&file, &byte, 1, 0), -EBADF);
	T_EQUAL(rota_file_write_at(&file, "x", 1, 0), -EBADF);
	T_EQUAL(rota_file_sync(&file), -EBADF);
	T_EQUAL(rota_file_size(&file), -EBADF);
	T_EQUAL(rota_file_close(&file), -EBADF);
	T_EQUAL(rota_file_unlink(path), 0);
	return 7;
}

static void test_use_after_end_of_a_file_fails(void **state)
{
	(void)state;
	assert_int_equal(t_run(use_closed_file, NULL), 7);
}

static int64_t close_listener_twice(void *arg)
{
	struct rota_listener_options options = { .handler = read_to_end };
	struct rota_listener *listener;

	(void)arg;
	T_EQUAL(rota_address_parse(&options.address, "127.0.0.1", 0), 0);
	T_EQUAL(rota_listener_open(&options, &listener), 0);
	rota_listener_close(listener);
	rota_listener_close(listener); /* its accept is on its way back */
	return 7;
}

static void test_use_after_end_of_a_listener_in_the_same_turn_changes_nothing(void **state)
{
	(void)state;
	assert_int_equal(t_run(close_listener_twice, NULL), 7);
}

static int64_t use_closed_process(void *arg)
{
	static const char *const argv[] = { "true", NULL };
	const struct rota_process_options options = { .argv = argv };
	struct rota_process process;

	(void)arg;
	T_EQUAL(rota_process_open(&process, &options), 0);
	rota_process_close(&process);
	T_EQUAL(rota_process_wait(&process), 0);
	T_EQUAL(rota_process_signal(&process, 9), -ESRCH);
	rota_process_close(&process);
	return 7;
}

static void test_use_after_end_of_a_process_tells_how_it_ended(void **state)
{
	(void)state;
	if (t_is_simulated())
		skip();
	assert_int_equal(t_run(use_closed_process, NULL), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_use_after_end_of_a_connection_that_closes_is_named),
		cmocka_unit_test(
			test_use_after_end_of_a_closed_connection_is_named_in_debug_builds),
		cmocka_unit_test(test_use_after_end_of_a_handlers_connection_is_named),
		cmocka_unit_test(test_use_after_end_of_a_session_is_named_in_debug_builds),
		cmocka_unit_test(test_use_after_end_of_a_channel_finds_it_closed),
		cmocka_unit_test(test_use_after_end_of_a_lock_is_named_in_debug_builds),
		cmocka_unit_test(test_use_after_end_of_a_generator_is_asserted),
		cmocka_unit_test(test_use_after_end_of_a_file_fails),
		cmocka_unit_test(test_use_after_end_of_a_listener_in_the_same_turn_changes_nothing),
		cmocka_unit_test(test_use_after_end_of_a_process_tells_how_it_ended),
	};

	return t_run_group("use after end", tests, ROTA_ARRAY_COUNT(tests));
}
