/* SPDX-License-Identifier: MIT */
/*
 * The judge itself: what it must accept, and what it must not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/oracle.h"

#define WRITE(value, called, answered)                                                             \
	{                                                                                          \
		T_WRITE, value, true, called, answered                                             \
	}
#define READ(value, called, answered)                                                              \
	{                                                                                          \
		T_READ, value, true, called, answered                                              \
	}
#define LOST_WRITE(value, called)                                                                  \
	{                                                                                          \
		T_WRITE, value, false, called, ROTA_NEVER                                          \
	}
#define LOSS(at)                                                                                   \
	{                                                                                          \
		T_LOSS, 0, true, at, at                                                            \
	}

#define IS_LINEAR(...)                                                                             \
	t_register_is_linear((struct t_event[]){ __VA_ARGS__ },                                    \
			     sizeof((struct t_event[]){ __VA_ARGS__ }) / sizeof(struct t_event))

static void test_oracle_reads_of_the_last_write_are_right(void **state)
{
	(void)state;
	assert_true(IS_LINEAR(READ(0, 1, 2), WRITE(1, 3, 4), READ(1, 5, 6)));
	assert_false(IS_LINEAR(WRITE(1, 1, 2), READ(0, 3, 4)));
	assert_false(IS_LINEAR(WRITE(1, 1, 2), WRITE(2, 3, 4), READ(1, 5, 6)));
	assert_false(IS_LINEAR(READ(1, 1, 2), WRITE(1, 3, 4)));
}

static void test_oracle_operations_at_once_may_take_either_order_but_one(void **state)
{
	(void)state;
	assert_true(IS_LINEAR(WRITE(1, 1, 9), READ(1, 2, 3)));
	assert_true(IS_LINEAR(WRITE(1, 1, 9), READ(0, 2, 3)));
	assert_false(IS_LINEAR(WRITE(1, 1, 9), READ(1, 2, 3), READ(0, 4, 5)));
	assert_true(IS_LINEAR(WRITE(1, 1, 9), WRITE(2, 1, 9), READ(1, 10, 11)));
	assert_false(IS_LINEAR(WRITE(1, 1, 9), WRITE(2, 1, 9), READ(1, 10, 11), READ(2, 12, 13)));
}

static void test_oracle_unanswered_write_happens_once_or_not_at_all(void **state)
{
	(void)state;
	assert_true(IS_LINEAR(LOST_WRITE(1, 1), READ(0, 2, 3), READ(0, 4, 5)));
	assert_true(IS_LINEAR(LOST_WRITE(1, 1), READ(0, 2, 3), READ(1, 4, 5)));
	assert_false(IS_LINEAR(LOST_WRITE(1, 1), READ(1, 2, 3), WRITE(2, 4, 5), READ(1, 6, 7)));
}

static void test_oracle_loss_excuses_what_was_before_it_only(void **state)
{
	(void)state;
	assert_true(IS_LINEAR(WRITE(1, 1, 2), LOSS(5), READ(0, 6, 7)));
	assert_false(IS_LINEAR(WRITE(1, 1, 2), LOSS(5), READ(1, 6, 7)));
	assert_false(IS_LINEAR(LOSS(5), WRITE(1, 6, 7), READ(0, 8, 9)));
	assert_true(IS_LINEAR(LOSS(5), WRITE(1, 4, 7), READ(0, 8, 9)));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oracle_reads_of_the_last_write_are_right),
		cmocka_unit_test(test_oracle_operations_at_once_may_take_either_order_but_one),
		cmocka_unit_test(test_oracle_unanswered_write_happens_once_or_not_at_all),
		cmocka_unit_test(test_oracle_loss_excuses_what_was_before_it_only),
	};

	return cmocka_run_group_tests_name("oracle", tests, NULL, NULL);
}
