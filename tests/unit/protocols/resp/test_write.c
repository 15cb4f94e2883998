/* SPDX-License-Identifier: MIT */
/*
 * Reply writers: every type in both versions, byte for byte as Redis 7.0 writes it.
 */
#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "protocols/echo/echo.h"
#include "protocols/resp/resp.h"
#include "tests/support/t_session.h"

static struct rota_session session;

static int open_session(void **state)
{
	(void)state;
	t_session_open(&session, &rota_echo_protocol, NULL);
	return 0;
}

static int close_session(void **state)
{
	(void)state;
	t_session_close(&session);
	return 0;
}

static void test_write_simple_types_are_alike_in_both_versions(void **state)
{
	struct rota_output *output = rota_session_output(&session);

	(void)state;
	rota_resp_write_ok(output);
	rota_resp_write_status(output, rota_view_of_string("PONG"));
	rota_resp_write_error(output, rota_view_of_string("ERR a\r\nb"));
	rota_resp_write_errorf(output, "ERR unknown command '%s'", "x");
	rota_resp_write_bulk(output, rota_view_of_string("bulk"));
	rota_resp_write_bulk(output, rota_view_of(NULL, 0));
	rota_resp_write_bulk_integer(output, -42);
	rota_resp_write_array(output, 12);
	t_session_expect(&session, "+OK\r\n+PONG\r\n-ERR a  b\r\n-ERR unknown command 'x'\r\n"
				   "$4\r\nbulk\r\n$0\r\n\r\n$3\r\n-42\r\n*12\r\n");
}

static void test_write_versioned_types_fall_back_in_resp2(void **state)
{
	static const char *const expected[] = {
		"$-1\r\n*-1\r\n*4\r\n*2\r\n*2\r\n:1\r\n:0\r\n"
		"$3\r\n1.5\r\n$3\r\n123\r\n$2\r\nhi\r\n",
		"_\r\n_\r\n%2\r\n~2\r\n>2\r\n#t\r\n#f\r\n,1.5\r\n(123\r\n=6\r\ntxt:hi\r\n",
	};
	struct rota_output *output = rota_session_output(&session);

	(void)state;
	for (int version = 2; version <= 3; version++) {
		rota_resp_write_null(output, version);
		rota_resp_write_null_array(output, version);
		rota_resp_write_map(output, version, 2);
		rota_resp_write_set(output, version, 2);
		rota_resp_write_push(output, version, 2);
		rota_resp_write_boolean(output, version, true);
		rota_resp_write_boolean(output, version, false);
		rota_resp_write_double(output, version, 1.5);
		rota_resp_write_big_number(output, version, rota_view_of_string("123"));
		rota_resp_write_verbatim(output, version, "txt", rota_view_of_string("hi"));
		t_session_expect(&session, expected[version - 2]);
	}
}

static void test_write_double_has_the_digits_of_redis(void **state)
{
	struct rota_output *output = rota_session_output(&session);
	static const double values[] = {
		0, -0.0, 3, -17, 0.1, 1e15, 1e17, 1e300, 123456789012345, 5e-324
	};

	(void)state;
	rota_resp_write_double(output, 3, INFINITY);
	rota_resp_write_double(output, 3, -INFINITY);
	rota_resp_write_double(output, 3, NAN);
	t_session_expect(&session, ",inf\r\n,-inf\r\n,nan\r\n");
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(values); i++) {
		char expected[40];

		snprintf(expected, sizeof(expected), ",%.17g\r\n", values[i]);
		rota_resp_write_double(output, 3, values[i]);
		t_session_expect(&session, expected);
	}
}

static void assert_integer(int64_t value)
{
	char expected[32];

	snprintf(expected, sizeof(expected), ":%" PRId64 "\r\n", value);
	rota_resp_write_integer(rota_session_output(&session), value);
	t_session_expect(&session, expected);
}

static void test_write_integer_at_every_length_matches_printf(void **state)
{
	int64_t power = 1;

	(void)state;
	for (int digits = 0; digits < 19; digits++, power = digits < 19 ? power * 10 : power) {
		assert_integer(power);
		assert_integer(power - 1);
		assert_integer(power + 1);
		assert_integer(-power);
		assert_integer(1 - power);
	}
	assert_integer(INT64_MAX);
	assert_integer(INT64_MIN);
	for (int64_t value = 0; value < 12000; value += 7)
		assert_integer(value);
}

/* Around the size at which a bulk no longer fits one reservation. */
static void test_write_bulk_at_reservation_limit_is_whole(void **state)
{
	char *data = malloc(ROTA_OUTPUT_RESERVE_BYTES_MAX + 8);

	(void)state;
	assert_non_null(data);
	memset(data, 'x', ROTA_OUTPUT_RESERVE_BYTES_MAX + 8);
	for (size_t bytes = ROTA_OUTPUT_RESERVE_BYTES_MAX - 40;
	     bytes < ROTA_OUTPUT_RESERVE_BYTES_MAX + 8; bytes++) {
		rota_resp_write_bulk(rota_session_output(&session), rota_view_of(data, bytes));
		assert_int_equal(session.output.bytes.bytes, 7 + bytes + 2);
		assert_memory_equal(session.output.bytes.data + 7, data, bytes);
		assert_memory_equal(session.output.bytes.data + 7 + bytes, "\r\n", 2);
		session.output.bytes.bytes = 0;
	}
	rota_resp_write_error(rota_session_output(&session), rota_view_of(data, 4000));
	assert_int_equal(session.output.bytes.bytes, 1 + 1024 + 2);
	session.output.bytes.bytes = 0;
	rota_resp_write_status(rota_session_output(&session), rota_view_of(data, 4100));
	assert_int_equal(session.output.bytes.bytes, 1 + 4100 + 2);
	session.output.bytes.bytes = 0;
	free(data);
}

static void test_write_blob_writes_its_part(void **state)
{
	struct rota_blob *blob = rota_blob_create(5);

	(void)state;
	assert_non_null(blob);
	memcpy(blob->data, "hello", 5);
	rota_resp_write_bulk_blob(rota_session_output(&session), blob, 1, 3);
	rota_resp_write_bulk_blob(rota_session_output(&session), blob, 5, 0);
	t_session_expect(&session, "$3\r\nell\r\n$0\r\n\r\n");
	rota_blob_unref(blob);
}

static void test_echo_any_bytes_come_back(void **state)
{
	(void)state;
	t_session_feed_string(&session, "hello");
	t_session_feed_string(&session, " there");
	t_session_expect(&session, "hello there");
}

int main(void)
{
#define SESSION_TEST(test) cmocka_unit_test_setup_teardown(test, open_session, close_session)
	const struct CMUnitTest tests[] = {
		SESSION_TEST(test_write_simple_types_are_alike_in_both_versions),
		SESSION_TEST(test_write_versioned_types_fall_back_in_resp2),
		SESSION_TEST(test_write_double_has_the_digits_of_redis),
		SESSION_TEST(test_write_integer_at_every_length_matches_printf),
		SESSION_TEST(test_write_bulk_at_reservation_limit_is_whole),
		SESSION_TEST(test_write_blob_writes_its_part),
		SESSION_TEST(test_echo_any_bytes_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
