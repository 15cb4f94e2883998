/* SPDX-License-Identifier: MIT */
/*
 * The judge itself: what it must accept, and what it must not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/sim/oracle.h"

/* On key 0, each on a connection of its own. */
#define CALL(what, value, from, to, ...)                                                           \
	{                                                                                          \
		.command = what, .argument = value, .line = __COUNTER__, .opened = from,           \
		.called = from, .answered = to, .answer = {                                        \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
#define SET(value, from, to) CALL(T_SET, value, from, to, 0)
#define GET(value, from, to) CALL(T_GET, 0, from, to, value)
#define ADD(value, from, to, sum) CALL(T_INCRBY, value, from, to, sum)
#define LOSS(at) CALL(T_LOSS, 0, at, at, 0)

#define JUDGE(...)                                                                                 \
	t_judge((struct t_call[]){ __VA_ARGS__ },                                                  \
		sizeof((struct t_call[]){ __VA_ARGS__ }) / sizeof(struct t_call), false)
#define RIGHT(...) assert_int_equal(JUDGE(__VA_ARGS__), T_LINEAR)
#define WRONG(...) assert_int_equal(JUDGE(__VA_ARGS__), T_NOT_LINEAR)

static void test_oracle_reads_of_the_last_write_are_right(void **state)
{
	(void)state;
	RIGHT(GET(0, 1, 2), SET(1, 3, 4), GET(1, 5, 6));
	WRONG(SET(1, 1, 2), GET(0, 3, 4));
	WRONG(SET(1, 1, 2), SET(2, 3, 4), GET(1, 5, 6));
	WRONG(GET(1, 1, 2), SET(1, 3, 4));
}

static void test_oracle_calls_at_once_may_take_either_order_but_one(void **state)
{
	(void)state;
	RIGHT(SET(1, 1, 9), GET(1, 2, 3));
	RIGHT(SET(1, 1, 9), GET(0, 2, 3));
	WRONG(SET(1, 1, 9), GET(1, 2, 3), GET(0, 4, 5));
	RIGHT(SET(1, 1, 9), SET(2, 1, 9), GET(1, 10, 11));
	WRONG(SET(1, 1, 9), SET(2, 1, 9), GET(1, 10, 11), GET(2, 12, 13));
}

static void test_oracle_unanswered_write_happens_once_or_not_at_all(void **state)
{
	(void)state;
	RIGHT(SET(1, 1, ROTA_NEVER), GET(0, 2, 3), GET(0, 4, 5));
	RIGHT(SET(1, 1, ROTA_NEVER), GET(0, 2, 3), GET(1, 4, 5));
	WRONG(SET(1, 1, ROTA_NEVER), GET(1, 2, 3), SET(2, 4, 5), GET(1, 6, 7));
	RIGHT(ADD(1, 1, ROTA_NEVER, 0), ADD(1, 2, 3, 2), GET(2, 4, 5));
	RIGHT(ADD(1, 1, ROTA_NEVER, 0), ADD(1, 2, 3, 1), GET(2, 4, 5));
	WRONG(ADD(1, 1, ROTA_NEVER, 0), ADD(1, 2, 3, 1), GET(3, 4, 5));
}

static void test_oracle_loss_excuses_what_was_before_it_only(void **state)
{
	const struct t_call to_one_that_is_gone[] = {
		LOSS(5),
		{ T_SET, 0, 1, 1, 4, 6, ROTA_NEVER, { 0 } }, /* connected before */
		GET(1, 8, 9),
	};

	(void)state;
	RIGHT(SET(1, 1, 2), LOSS(5), GET(0, 6, 7));
	WRONG(SET(1, 1, 2), LOSS(5), GET(1, 6, 7));
	WRONG(LOSS(5), SET(1, 6, 7), GET(0, 8, 9));
	RIGHT(SET(1, 4, 7), LOSS(5), GET(0, 8, 9));
	WRONG(SET(1, 4, ROTA_NEVER), LOSS(5), GET(1, 8, 9));
	RIGHT(LOSS(5), SET(1, 6, ROTA_NEVER), GET(1, 8, 9));
	assert_int_equal(t_judge(to_one_that_is_gone, ROTA_ARRAY_COUNT(to_one_that_is_gone), false),
			 T_NOT_LINEAR);
}

static void test_oracle_nothing_happens_twice_or_in_vain(void **state)
{
	(void)state;
	RIGHT(ADD(5, 1, 9, 5), ADD(2, 1, 9, 7), GET(7, 10, 11));
	RIGHT(ADD(5, 1, 9, 7), ADD(2, 1, 9, 2), GET(7, 10, 11));
	/* It may set again what is there, but that may have been later as well. */
	RIGHT(ADD(7, 1, 2, 7), SET(7, 1, 20), SET(17, 3, 4), GET(7, 21, 22));
	WRONG(ADD(5, 1, 9, 5), ADD(2, 1, 9, 2));
	WRONG(ADD(5, 1, 2, 5), GET(10, 3, 4));
	RIGHT(SET(12, 1, 2), CALL(T_APPEND, 3, 3, 4, 3), GET(123, 5, 6));
	WRONG(SET(12, 1, 2), CALL(T_APPEND, 3, 3, 4, 4));
	RIGHT(SET(1, 1, 2), CALL(T_DEL, 0, 3, 9, 1), CALL(T_DEL, 0, 3, 9, 0));
	WRONG(SET(1, 1, 2), CALL(T_DEL, 0, 3, 9, 1), CALL(T_DEL, 0, 3, 9, 1));
	WRONG(SET(1, 1, 2), CALL(T_GETDEL, 0, 3, 4, 1), GET(1, 5, 6));
	RIGHT(CALL(T_SETNX, 4, 1, 9, 1), CALL(T_SETNX, 5, 1, 9, 0), GET(4, 10, 11));
	WRONG(CALL(T_SETNX, 4, 1, 9, 1), CALL(T_SETNX, 5, 1, 9, 1));
	WRONG(SET(1, 1, 2), CALL(T_GETSET, 2, 3, 4, 1), GET(1, 5, 6));
	WRONG(CALL(T_NOTHING, 1, 1, 2, 0), GET(1, 5, 6));
}

static void test_oracle_keys_expire_when_told_to_only(void **state)
{
	(void)state;
	RIGHT(SET(1, 1, 2), CALL(T_PEXPIRE, 0, 3, 4, 1), GET(0, 5, 6));
	WRONG(SET(1, 1, 2), CALL(T_PEXPIRE, 0, 3, 4, 1), GET(1, 5, 6));
	WRONG(CALL(T_PEXPIRE, 0, 3, 4, 1));
	RIGHT(SET(1, 1, 2), CALL(T_PEXPIRE, 9, 3, 4, 1), GET(1, 5, 6), GET(0, 7, 8));
	WRONG(SET(1, 1, 2), CALL(T_PEXPIRE, 9, 3, 4, 1), GET(0, 5, 6), GET(1, 7, 8));
	WRONG(SET(1, 1, 2), CALL(T_PEXPIRE, 99999, 3, 4, 1), GET(0, 5, 6));
	RIGHT(SET(1, 1, 2), CALL(T_PEXPIRE, 9, 3, 4, 1), CALL(T_PERSIST, 0, 5, 6, 1), GET(1, 7, 8));
	WRONG(SET(1, 1, 2), CALL(T_PEXPIRE, 9, 3, 4, 1), CALL(T_PERSIST, 0, 5, 6, 1), GET(0, 7, 8));
	WRONG(SET(1, 1, 2), CALL(T_PERSIST, 0, 5, 6, 1));
	/* Setting it anew takes its expiry away, adding to it does not. */
	WRONG(SET(1, 1, 2), CALL(T_PEXPIRE, 9, 3, 4, 1), SET(2, 5, 6), GET(0, 7, 8));
	RIGHT(SET(1, 1, 2), CALL(T_PEXPIRE, 9, 3, 4, 1), ADD(1, 5, 6, 2), GET(0, 7, 8));
}

static void test_oracle_several_keys_change_at_once(void **state)
{
	(void)state;
	RIGHT(CALL(T_MSET, 7, 1, 9, 0), CALL(T_MGET, 0, 2, 3, 0, 0, 0),
	      CALL(T_MGET, 0, 4, 5, 7, 7, 0));
	WRONG(CALL(T_MSET, 7, 1, 9, 0), CALL(T_MGET, 0, 2, 3, 7, 0, 0));
	WRONG(CALL(T_MSET, 7, 1, ROTA_NEVER, 0), CALL(T_MGET, 0, 2, 3, 0, 7, 0));
}

/* A connection's calls happen in order, of those without an answer too. */
static void test_oracle_a_line_is_served_in_order(void **state)
{
	const struct t_call in_order[] = {
		{ T_SET, 0, 1, 1, 1, 1, ROTA_NEVER, { 0 } },
		{ T_SET, 1, 2, 1, 1, 1, ROTA_NEVER, { 0 } },
		{ T_MGET, 0, 0, 2, 1, 3, 4, { 1, 0, 0 } },
		{ T_MGET, 0, 0, 2, 1, 5, 6, { 1, 2, 0 } },
	};
	const struct t_call out_of_order[] = {
		{ T_SET, 0, 1, 1, 1, 1, ROTA_NEVER, { 0 } },
		{ T_SET, 1, 2, 1, 1, 1, ROTA_NEVER, { 0 } },
		{ T_MGET, 0, 0, 2, 1, 3, 4, { 0, 2, 0 } },
	};
	const struct t_call overtaken[] = {
		{ T_SET, 0, 1, 1, 1, 1, ROTA_NEVER, { 0 } },
		{ T_SET, 1, 2, 1, 1, 1, ROTA_NEVER, { 0 } },
		{ T_MGET, 0, 0, 2, 1, 3, 4, { 0, 2, 0 } },
		{ T_MGET, 0, 0, 2, 1, 5, 6, { 1, 2, 0 } },
	};
	const struct t_call answered_out_of_order[] = {
		{ T_GET, 0, 0, 1, 1, 1, 8, { 2 } },
		{ T_GET, 0, 0, 1, 1, 1, 9, { 1 } },
		{ T_SET, 0, 1, 2, 1, 2, 3, { 0 } },
		{ T_SET, 0, 2, 2, 1, 4, 5, { 0 } },
	};

	(void)state;
	assert_int_equal(t_judge(in_order, ROTA_ARRAY_COUNT(in_order), false), T_LINEAR);
	assert_int_equal(t_judge(out_of_order, ROTA_ARRAY_COUNT(out_of_order), false),
			 T_NOT_LINEAR);
	/*
	 * The second was refused, of four that nobody answered; the first and the others were not.
	 */
	const struct t_call one_refused[] = {
		{ T_INCRBY, 1, 5, 1, 10, 10, ROTA_NEVER, { 0 } },
		{ T_SET, 0, 32, 1, 10, 10, ROTA_NEVER, { 0 } },
		{ T_INCRBY, 0, 5, 1, 10, 10, ROTA_NEVER, { 0 } },
		{ T_APPEND, 0, 4, 1, 10, 10, ROTA_NEVER, { 0 } },
		{ T_INCRBY, 0, 8, 2, 20, 20, 30, { 62 } },
		{ T_APPEND, 1, 7, 2, 20, 20, 30, { 2 } },
	};

	assert_int_equal(t_judge(one_refused, ROTA_ARRAY_COUNT(one_refused), true), T_LINEAR);
	assert_int_equal(t_judge(one_refused, ROTA_ARRAY_COUNT(one_refused), false), T_NOT_LINEAR);
	/* The first may have been refused; but it does not come behind the second. */
	assert_int_equal(t_judge(out_of_order, ROTA_ARRAY_COUNT(out_of_order), true), T_LINEAR);
	assert_int_equal(t_judge(overtaken, ROTA_ARRAY_COUNT(overtaken), true), T_NOT_LINEAR);
	assert_int_equal(
		t_judge(answered_out_of_order, ROTA_ARRAY_COUNT(answered_out_of_order), false),
		T_NOT_LINEAR);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oracle_reads_of_the_last_write_are_right),
		cmocka_unit_test(test_oracle_calls_at_once_may_take_either_order_but_one),
		cmocka_unit_test(test_oracle_unanswered_write_happens_once_or_not_at_all),
		cmocka_unit_test(test_oracle_loss_excuses_what_was_before_it_only),
		cmocka_unit_test(test_oracle_nothing_happens_twice_or_in_vain),
		cmocka_unit_test(test_oracle_keys_expire_when_told_to_only),
		cmocka_unit_test(test_oracle_several_keys_change_at_once),
		cmocka_unit_test(test_oracle_a_line_is_served_in_order),
	};

	return cmocka_run_group_tests_name("oracle", tests, NULL, NULL);
}
