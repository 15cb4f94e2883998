/* SPDX-License-Identifier: MIT */
/*
 * Reply writers for RESP2 and RESP3. Protocol layer; on the reactor that owns the output.
 *
 * The one idea: a reply is formatted in place, in one reservation of the output, whenever it fits
 * one; only large bulks are written in parts.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "protocols/resp/resp.h"

/* A type character, 20 digits, CR LF, with room to spare. */
#define HEADER_BYTES_MAX 32

/* A bulk up to this is formatted in one piece: header, data, CR LF. */
#define SMALL_BULK_BYTES_MAX (ROTA_OUTPUT_RESERVE_BYTES_MAX - HEADER_BYTES_MAX - 2)

#define ERROR_BYTES_MAX 1024

/* "00" to "99": a division by 100 gives two characters. */
static const char digit_pairs[200] = "00010203040506070809101112131415161718192021222324"
				     "25262728293031323334353637383940414243444546474849"
				     "50515253545556575859606162636465666768697071727374"
				     "75767778798081828384858687888990919293949596979899";

static inline unsigned count_digits(uint64_t value)
{
	unsigned digits = 1;

	for (; value >= 10000; value /= 10000)
		digits += 4;
	return digits + (value >= 10) + (value >= 100) + (value >= 1000);
}

static inline size_t format_unsigned(char *out, uint64_t value)
{
	unsigned digits;
	char *p;

	if (value < 10) {
		*out = (char)('0' + value);
		return 1;
	}
	digits = count_digits(value);
	p = out + digits;
	while (value >= 100) {
		p -= 2;
		memcpy(p, digit_pairs + value % 100 * 2, 2);
		value /= 100;
	}
	if (value >= 10)
		memcpy(out, digit_pairs + value * 2, 2);
	else
		*out = (char)('0' + value);
	return digits;
}

size_t rota_resp_format_integer(char *out, int64_t value)
{
	if (value >= 0)
		return format_unsigned(out, (uint64_t)value);
	*out = '-';
	return format_unsigned(out + 1, -(uint64_t)value) + 1;
}

static inline char *append_crlf(char *p)
{
	memcpy(p, "\r\n", 2);
	return p + 2;
}

/* "<type><value>\r\n" at `p`. Returns its end. */
static inline char *format_header(char *p, char type, uint64_t value)
{
	*p++ = type;
	return append_crlf(p + format_unsigned(p, value));
}

static void write_header(struct rota_output *output, char type, uint64_t value)
{
	char *start = rota_output_reserve(output, HEADER_BYTES_MAX);

	rota_output_commit(output, (size_t)(format_header(start, type, value) - start));
}

void rota_resp_write_ok(struct rota_output *output)
{
	rota_output_write(output, "+OK\r\n", 5);
}

/* "<type><text>\r\n", for texts of any length. */
static void write_line(struct rota_output *output, char type, struct rota_view text)
{
	char *start, *p;

	if (text.bytes > SMALL_BULK_BYTES_MAX) {
		rota_output_write(output, &type, 1);
		rota_output_write(output, text.data, text.bytes);
		rota_output_write(output, "\r\n", 2);
		return;
	}
	start = rota_output_reserve(output, text.bytes + 3);
	p = start;
	*p++ = type;
	if (text.bytes)
		memcpy(p, text.data, text.bytes);
	p = append_crlf(p + text.bytes);
	rota_output_commit(output, (size_t)(p - start));
}

void rota_resp_write_status(struct rota_output *output, struct rota_view text)
{
	write_line(output, '+', text);
}

void rota_resp_write_error(struct rota_output *output, struct rota_view text)
{
	size_t bytes = rota_min_size(text.bytes, ERROR_BYTES_MAX);
	char *start = rota_output_reserve(output, bytes + 3);
	char *p = start;

	*p++ = '-';
	for (size_t i = 0; i < bytes; i++) {
		char c = text.data[i];

		*p++ = c == '\r' || c == '\n' ? ' ' : c;
	}
	p = append_crlf(p);
	rota_output_commit(output, (size_t)(p - start));
}

void rota_resp_write_errorf(struct rota_output *output, const char *format, ...)
{
	char text[ERROR_BYTES_MAX];
	va_list args;
	int bytes;

	va_start(args, format);
	bytes = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	ROTA_ASSERT(bytes >= 0);
	rota_resp_write_error(output,
			      rota_view_of(text, rota_min_size((size_t)bytes, sizeof(text) - 1)));
}

void rota_resp_write_integer(struct rota_output *output, int64_t value)
{
	char *start = rota_output_reserve(output, HEADER_BYTES_MAX);
	char *p = start;

	*p++ = ':';
	p = append_crlf(p + rota_resp_format_integer(p, value));
	rota_output_commit(output, (size_t)(p - start));
}

void rota_resp_write_bulk(struct rota_output *output, struct rota_view data)
{
	char *start, *p;

	if (ROTA_UNLIKELY(data.bytes > SMALL_BULK_BYTES_MAX)) {
		write_header(output, '$', data.bytes);
		rota_output_write(output, data.data, data.bytes);
		rota_output_write(output, "\r\n", 2);
		return;
	}
	start = rota_output_reserve(output, HEADER_BYTES_MAX + data.bytes + 2);
	p = format_header(start, '$', data.bytes);
	if (data.bytes)
		memcpy(p, data.data, data.bytes);
	p = append_crlf(p + data.bytes);
	rota_output_commit(output, (size_t)(p - start));
}

void rota_resp_write_bulk_blob(struct rota_output *output, struct rota_blob *blob, size_t offset,
			       size_t bytes)
{
	ROTA_DCHECK(offset <= blob->bytes);
	ROTA_DCHECK(bytes <= blob->bytes - offset);
	write_header(output, '$', bytes);
	if (bytes)
		rota_output_blob(output, blob, offset, bytes);
	rota_output_write(output, "\r\n", 2);
}

void rota_resp_write_bulk_integer(struct rota_output *output, int64_t value)
{
	char digits[20];

	rota_resp_write_bulk(output, rota_view_of(digits, rota_resp_format_integer(digits, value)));
}

void rota_resp_write_array(struct rota_output *output, size_t count)
{
	write_header(output, '*', count);
}

void rota_resp_write_null(struct rota_output *output, int version)
{
	if (version == 2)
		rota_output_write(output, "$-1\r\n", 5);
	else
		rota_output_write(output, "_\r\n", 3);
}

void rota_resp_write_null_array(struct rota_output *output, int version)
{
	if (version == 2)
		rota_output_write(output, "*-1\r\n", 5);
	else
		rota_output_write(output, "_\r\n", 3);
}

void rota_resp_write_map(struct rota_output *output, int version, size_t count)
{
	if (version == 2)
		write_header(output, '*', (uint64_t)count * 2);
	else
		write_header(output, '%', count);
}

void rota_resp_write_set(struct rota_output *output, int version, size_t count)
{
	write_header(output, version == 2 ? '*' : '~', count);
}

void rota_resp_write_push(struct rota_output *output, int version, size_t count)
{
	write_header(output, version == 2 ? '*' : '>', count);
}

void rota_resp_write_boolean(struct rota_output *output, int version, bool value)
{
	if (version == 2)
		rota_output_write(output, value ? ":1\r\n" : ":0\r\n", 4);
	else
		rota_output_write(output, value ? "#t\r\n" : "#f\r\n", 4);
}

/* Returns the characters of `value` at `out`, which has room for HEADER_BYTES_MAX. */
static size_t format_double(char *out, double value)
{
	/* Whole numbers, the usual scores: the same digits without printf. */
	if (fabs(value) < 1e15 && (double)(int64_t)value == value &&
	    (value != 0 || !signbit(value)))
		return rota_resp_format_integer(out, (int64_t)value);
	if (isinf(value)) {
		memcpy(out, value > 0 ? "inf" : "-inf", 4);
		return value > 0 ? 3 : 4;
	}
	if (isnan(value)) {
		memcpy(out, "nan", 3);
		return 3;
	}
	return (size_t)snprintf(out, HEADER_BYTES_MAX, "%.17g", value);
}

void rota_resp_write_double(struct rota_output *output, int version, double value)
{
	char digits[HEADER_BYTES_MAX];
	struct rota_view text = rota_view_of(digits, format_double(digits, value));

	if (version == 2)
		rota_resp_write_bulk(output, text);
	else
		write_line(output, ',', text);
}

void rota_resp_write_big_number(struct rota_output *output, int version, struct rota_view digits)
{
	if (version == 2)
		rota_resp_write_bulk(output, digits);
	else
		write_line(output, '(', digits);
}

void rota_resp_write_verbatim(struct rota_output *output, int version, const char format[3],
			      struct rota_view text)
{
	if (version == 2) {
		rota_resp_write_bulk(output, text);
		return;
	}
	write_header(output, '=', (uint64_t)text.bytes + 4);
	rota_output_write(output, format, 3);
	rota_output_write(output, ":", 1);
	rota_output_write(output, text.data, text.bytes);
	rota_output_write(output, "\r\n", 2);
}
