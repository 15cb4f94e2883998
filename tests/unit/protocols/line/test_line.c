/* SPDX-License-Identifier: MIT */
/*
 * The line protocol: where lines end, how long they may be, and that cutting the bytes changes
 * nothing.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#include "protocols/line/line.h"
#include "tests/support/t_resp.h"
#include "tests/support/t_session.h"

static void assert_lines(size_t line_bytes_max, const char *input, const char *expected)
{
	struct rota_view view = rota_view_of_string(input);

	for (size_t place = 0; place <= view.bytes + 1; place++) {
		struct rota_buffer out;

		rota_buffer_init(&out);
		t_line_run(line_bytes_max, view, place > view.bytes ? t_cut_everywhere : t_cut_once,
			   &place, &out);
		assert_int_equal(rota_buffer_append(&out, "", 1), 0);
		assert_string_equal(out.data, expected);
		rota_buffer_fini(&out);
	}
}

static void test_line_parse_cut_anywhere_gives_the_same_lines(void **state)
{
	(void)state;
	assert_lines(10, "one\ntwo\r\n\n\r\nthree", "[one][two][][]~");
	assert_lines(10, "a\rb\r\r\nc\r", "[a\rb\r]~");
}

static void test_line_parse_at_limit_is_taken_and_above_refused(void **state)
{
	(void)state;
	assert_lines(3, "abc\nabc\r\n", "[abc][abc]");
	assert_lines(3, "abc\r", "~");
	assert_lines(3, "abcd", "!");
	assert_lines(3, "abc\rd\n", "!");
	assert_lines(3, "abc\r\r\n", "!");
	assert_lines(0, "\r\n\n", "[][]");
}

static int answer(struct rota_session *session, struct rota_view line)
{
	bool is_bye = rota_view_equals(line, rota_view_of_string("bye"));

	rota_output_write(rota_session_output(session), line.data, line.bytes);
	rota_output_write(rota_session_output(session), "!\n", 2);
	t_session_suspend(session);
	return is_bye ? -ROTA_ECLOSING : 0;
}

static struct rota_line_service service = {
	.line_bytes_max = 8,
	.overlong = "line too long\n",
	.on_line = answer,
};

static void test_line_session_answers_in_order_then_closes(void **state)
{
	struct rota_protocol protocol;
	struct rota_session session;

	(void)state;
	rota_line_protocol_init(&protocol, &service);
	t_session_open(&session, &protocol, &service);
	t_session_feed_string(&session, "hello\nyou\r\nth");
	t_session_feed_string(&session, "ere\nbye\nmore\n");
	t_session_expect(&session, "hello!\nyou!\nthere!\nbye!\n");
	assert_int_equal(session.status, -ROTA_ECLOSING);
	t_session_close(&session);
}

static void test_line_session_overlong_line_is_answered_and_refused(void **state)
{
	struct rota_protocol protocol;
	struct rota_session session;

	(void)state;
	rota_line_protocol_init(&protocol, &service);
	t_session_open(&session, &protocol, &service);
	t_session_feed_string(&session, "ok\n12345");
	t_session_feed_string(&session, "6789");
	t_session_expect(&session, "ok!\nline too long\n");
	assert_int_equal(session.status, -EMSGSIZE);
	t_session_close(&session);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line_parse_cut_anywhere_gives_the_same_lines),
		cmocka_unit_test(test_line_parse_at_limit_is_taken_and_above_refused),
		cmocka_unit_test(test_line_session_answers_in_order_then_closes),
		cmocka_unit_test(test_line_session_overlong_line_is_answered_and_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
