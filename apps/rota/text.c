/* SPDX-License-Identifier: MIT */
/*
 * Text in memory of a fixed size.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "apps/rota/text.h"

void text_add(struct text *text, const char *format, ...)
{
	size_t room = sizeof(text->data) - text->length;
	va_list arguments;
	int bytes;

	va_start(arguments, format);
	bytes = vsnprintf(text->data + text->length, room, format, arguments);
	va_end(arguments);
	if (bytes > 0)
		text->length += (size_t)bytes < room ? (size_t)bytes : room - 1;
}

int64_t ns_between(int64_t from, int64_t to)
{
	int64_t ns;

	if (__builtin_sub_overflow(to, from, &ns))
		return to < from ? INT64_MIN : INT64_MAX;
	return ns;
}

void text_add_ns(struct text *text, int64_t ns)
{
	if (ns < 0)
		ns = 0;
	if (ns < 1000000)
		text_add(text, "%" PRId64 " us", ns / 1000);
	else if (ns < 1000000000)
		text_add(text, "%" PRId64 " ms", ns / 1000000);
	else if (ns < INT64_C(60) * 1000000000)
		text_add(text, "%.1f s", (double)ns / 1e9);
	else if (ns < INT64_C(7200) * 1000000000)
		text_add(text, "%" PRId64 " min", ns / (INT64_C(60) * 1000000000));
	else
		text_add(text, "%" PRId64 " h", ns / (INT64_C(3600) * 1000000000));
}
