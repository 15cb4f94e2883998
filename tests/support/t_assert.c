/* SPDX-License-Identifier: MIT */
/*
 * What a failed ROTA_ASSERT does in a test program: inside cmocka's expect_assert_failure() it
 * satisfies the test, anywhere else the library's own has the word. Any thread. Every test program
 * is linked with --wrap=rota_assert_failed.
 *
 * Not for assertions below something that locks or allocates: expect_assert_failure() jumps out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rota/base.h>

ROTA_NORETURN void __wrap_rota_assert_failed(const char *condition, const char *file, int line,
					     const char *function);
ROTA_NORETURN void __real_rota_assert_failed(const char *condition, const char *file, int line,
					     const char *function);

void __wrap_rota_assert_failed(const char *condition, const char *file, int line,
			       const char *function)
{
	if (global_expecting_assert)
		mock_assert(0, condition, file, line);
	__real_rota_assert_failed(condition, file, line, function);
}
