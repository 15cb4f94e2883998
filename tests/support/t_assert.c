/* SPDX-License-Identifier: MIT */
/*
 * What a failed ROTA_ASSERT does in a test program: inside cmocka's expect_assert_failure() it
 * satisfies the test, anywhere else it says where and aborts. Any thread. Every test program is
 * linked with --wrap=rota_assert_failed, so this stands for the library's own.
 *
 * Not for assertions below something that locks or allocates: expect_assert_failure() jumps out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <rota/base.h>

ROTA_NORETURN void __wrap_rota_assert_failed(const char *condition, const char *file, int line,
					     const char *function);

void __wrap_rota_assert_failed(const char *condition, const char *file, int line,
			       const char *function)
{
	if (global_expecting_assert)
		mock_assert(0, condition, file, line);
	fprintf(stderr, "%s:%d: %s: assertion failed: %s\n", file, line, function, condition);
	abort();
}
