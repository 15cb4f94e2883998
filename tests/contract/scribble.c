/* SPDX-License-Identifier: MIT */
/*
 * See scribble.h. Layer: tests. AddressSanitizer's two functions are weak: without it they are not
 * there, and the pattern alone has to do.
 */
#include <string.h>

#include "tests/contract/contract.h"
#include "tests/contract/scribble.h"

#define PATTERN 0xDB

void __asan_poison_memory_region(void const volatile *memory, size_t bytes) __attribute__((weak));
void __asan_unpoison_memory_region(void const volatile *memory, size_t bytes) __attribute__((weak));

void t_scribble(void *memory, size_t bytes)
{
	memset(memory, PATTERN, bytes);
	if (__asan_poison_memory_region)
		__asan_poison_memory_region(memory, bytes);
}

void t_check_scribble(void *memory, size_t bytes)
{
	const unsigned char *at = memory;

	if (__asan_unpoison_memory_region)
		__asan_unpoison_memory_region(memory, bytes);
	for (size_t i = 0; i < bytes; i++)
		assert_int_equal(at[i], PATTERN);
}
