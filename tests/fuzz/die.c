/* SPDX-License-Identifier: MIT */
/*
 * A failed assertion in a fuzzer: the fuzzers link the parsers without the framework, so this
 * stands in for its part. One thread.
 */
#include <stdio.h>
#include <stdlib.h>

#include <rota/base.h>

void rota_assert_failed(const char *condition, const char *file, int line, const char *function)
{
	fprintf(stderr, "assertion failed: %s (%s:%d, %s)\n", condition, file, line, function);
	abort();
}
