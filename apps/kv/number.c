/* SPDX-License-Identifier: MIT */
/*
 * Numbers as text. Leaf of rota-kv; pure functions.
 */
#include "apps/kv/number.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Digits of the largest magnitude. */
#define DIGITS_MAX 19

bool kv_parse_integer(struct rota_view text, int64_t *out)
{
	bool is_negative = text.bytes && text.data[0] == '-';
	const char *digits = text.data + is_negative;
	size_t count = text.bytes - is_negative;
	uint64_t magnitude = 0;
	uint64_t magnitude_max = (uint64_t)INT64_MAX + is_negative;

	if (!count || count > DIGITS_MAX)
		return false;
	if (digits[0] == '0') {
		*out = 0;
		return count == 1 && !is_negative;
	}
	/* 19 digits stay below 2^64, so there is nothing to check on the way. */
	for (size_t i = 0; i < count; i++) {
		unsigned digit = (unsigned)(unsigned char)digits[i] - '0';

		if (digit > 9)
			return false;
		magnitude = magnitude * 10 + digit;
	}
	if (magnitude > magnitude_max)
		return false;
	*out = (int64_t)(is_negative ? -magnitude : magnitude);
	return true;
}

bool kv_parse_cursor(struct rota_view text, uint64_t *out)
{
	char copy[32];
	char *end;

	if (text.bytes >= sizeof(copy))
		return false;
	if (text.bytes)
		memcpy(copy, text.data, text.bytes);
	copy[text.bytes] = '\0';
	if (isspace((unsigned char)copy[0]))
		return false;
	errno = 0;
	*out = strtoul(copy, &end, 10);
	return !errno && end == copy + text.bytes;
}

bool kv_parse_float(struct rota_view text, long double *out)
{
	char copy[KV_FLOAT_BYTES];
	char *end;
	long double value;

	if (!text.bytes || text.bytes >= sizeof(copy) || isspace((unsigned char)text.data[0]))
		return false;
	memcpy(copy, text.data, text.bytes);
	copy[text.bytes] = '\0';
	errno = 0;
	value = strtold(copy, &end);
	if (end != copy + text.bytes || isnan(value))
		return false;
	if (errno == ERANGE && (isinf(value) || fpclassify(value) == FP_ZERO))
		return false;
	*out = value;
	return true;
}

size_t kv_format_float(char text[KV_FLOAT_BYTES], long double value)
{
	size_t bytes = (size_t)snprintf(text, KV_FLOAT_BYTES, "%.17Lf", value);

	while (text[bytes - 1] == '0')
		bytes--;
	if (text[bytes - 1] == '.')
		bytes--;
	if (bytes == 2 && text[0] == '-' && text[1] == '0') {
		text[0] = '0';
		bytes = 1;
	}
	return bytes;
}
