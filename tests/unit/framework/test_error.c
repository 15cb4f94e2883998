/* SPDX-License-Identifier: MIT */
/*
 * The words and names of errors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <rota/error.h>

/* Every errno of every Linux port lies below this. */
#define ERRNO_MAX 4096

static void test_error_words_are_the_same_for_either_sign(void **state)
{
	(void)state;
	assert_string_equal(rota_strerror(-ECONNRESET), "Connection reset by peer");
	assert_string_equal(rota_strerror(ECONNRESET), "Connection reset by peer");
	assert_string_equal(rota_error_name(-ECONNRESET), "ECONNRESET");
	assert_string_equal(rota_error_name(ECONNRESET), "ECONNRESET");
}

static void test_error_additions_have_words_and_names(void **state)
{
	static const int64_t additions[] = { ROTA_EPROTOCOL, ROTA_ESTACK, ROTA_ENOENGINE,
					     ROTA_ECLOSING };

	(void)state;
	assert_string_equal(rota_error_name(-ROTA_ECLOSING), "ROTA_ECLOSING");
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(additions); i++) {
		assert_string_not_equal(rota_strerror(-additions[i]), "unknown error");
		assert_memory_equal(rota_error_name(-additions[i]), "ROTA_E", 6);
	}
}

static void test_error_additions_collide_with_no_errno(void **state)
{
	(void)state;
	assert_true(ROTA_E_FIRST > ERRNO_MAX);
	assert_true(ROTA_EPROTOCOL >= ROTA_E_FIRST);
}

static void test_error_every_errno_has_words(void **state)
{
	unsigned named = 0;

	(void)state;
	for (int64_t error = 0; error < ERRNO_MAX; error++) {
		assert_non_null(rota_strerror(-error));
		named += strcmp(rota_error_name(-error), "?") != 0;
	}
	assert_in_range(named, 100, 200);
}

static void test_error_nonsense_is_unknown_and_never_null(void **state)
{
	static const int64_t nonsense[] = { ERRNO_MAX - 1,       ROTA_E_FIRST, ROTA_ECLOSING + 1,
					    (int64_t)UINT32_MAX, INT64_MAX,    -INT64_MAX,
					    INT64_MIN,           INT32_MIN };

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(nonsense); i++) {
		assert_string_equal(rota_strerror(nonsense[i]), "unknown error");
		assert_string_equal(rota_error_name(nonsense[i]), "?");
	}
}

static void test_error_asking_keeps_errno(void **state)
{
	(void)state;
	errno = EBADF;
	rota_ignore(rota_strerror(-ERRNO_MAX + 1), "only what it does to errno");
	rota_ignore(rota_error_name(-ENOENT), "only what it does to errno");
	assert_int_equal(errno, EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_error_words_are_the_same_for_either_sign),
		cmocka_unit_test(test_error_additions_have_words_and_names),
		cmocka_unit_test(test_error_additions_collide_with_no_errno),
		cmocka_unit_test(test_error_every_errno_has_words),
		cmocka_unit_test(test_error_nonsense_is_unknown_and_never_null),
		cmocka_unit_test(test_error_asking_keeps_errno),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
