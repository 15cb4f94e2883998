/* SPDX-License-Identifier: MIT */
/* Which sanitizer a test is built for. Layer: tests. Any thread. */
#include "tests/support/t_sanitizer.h"

/* There only in programs built for the thread sanitizer. */
extern void *__tsan_create_fiber(unsigned flags) __attribute__((weak));

bool t_is_thread_sanitized(void)
{
	return __tsan_create_fiber;
}
