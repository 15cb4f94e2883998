/* SPDX-License-Identifier: MIT */
/*
 * HdrHistogram's log format, version 1.3, with histograms in its encoding V2, compressed. As
 * HistogramLogWriter.java and AbstractHistogram.java of HdrHistogram 2.1 have it: numbers are
 * big-endian, counts are ZigZag LEB128 of at most nine bytes, and a negative one stands for so many
 * buckets that are empty.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include <rota/memory.h>
#include <rota/server.h>

#include "bench/load/hdr_log.h"

#define COOKIE_COUNTS 0x1c849313u
#define COOKIE_COMPRESSED 0x1c849314u
#define SIGNIFICANT_DIGITS 3
#define HEAD_BYTES 40
#define COUNT_BYTES_MAX 9
#define PLAIN_BYTES_MAX (HEAD_BYTES + (size_t)COUNT_BYTES_MAX * HISTOGRAM_BUCKETS)
/* In front of the compressed bytes: cookie and length. */
#define COMPRESSED_HEAD_BYTES 8

struct hdr_log {
	FILE *file;
	unsigned char *plain;      /* PLAIN_BYTES_MAX */
	unsigned char *compressed; /* compressed_max, head included */
	size_t compressed_max;
};

int hdr_log_open(const char *path, int64_t wall_ns, struct hdr_log **out)
{
	struct hdr_log *log = rota_calloc(1, sizeof(*log));
	time_t seconds = (time_t)(wall_ns / ROTA_NS_PER_S);
	char date[64];
	struct tm utc;
	int status = -ENOMEM;

	if (!log)
		return -ENOMEM;
	log->compressed_max = COMPRESSED_HEAD_BYTES + compressBound(PLAIN_BYTES_MAX);
	log->plain = rota_alloc(PLAIN_BYTES_MAX);
	log->compressed = rota_alloc(log->compressed_max);
	if (log->plain && log->compressed) {
		log->file = fopen(path, "w");
		status = log->file ? 0 : -errno;
	}
	if (status < 0) {
		rota_ignore(hdr_log_close(log), "nothing was written");
		return status;
	}
	strftime(date, sizeof(date), "%a %b %d %H:%M:%S UTC %Y", gmtime_r(&seconds, &utc));
	fprintf(log->file,
		"#[Logged with rota-load %s]\n"
		"#[Histogram log format version 1.3]\n"
		"#[StartTime: %.3f (seconds since epoch), %s]\n"
		"\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\","
		"\"Interval_Compressed_Histogram\"\n",
		ROTA_VERSION, (double)wall_ns / 1e9, date);
	*out = log;
	return 0;
}

/* ---- the encoding ---- */

static unsigned char *put_u32(unsigned char *at, uint32_t value)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		*at++ = (unsigned char)(value >> shift);
	return at;
}

static unsigned char *put_u64(unsigned char *at, uint64_t value)
{
	return put_u32(put_u32(at, (uint32_t)(value >> 32)), (uint32_t)value);
}

/* Seven bits at a time, low ones first; a ninth byte takes eight. */
static unsigned char *put_count(unsigned char *at, int64_t value)
{
	uint64_t zigzag = (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);

	for (int i = 0; i < COUNT_BYTES_MAX - 1 && zigzag > 0x7f; i++) {
		*at++ = (unsigned char)(zigzag | 0x80);
		zigzag >>= 7;
	}
	*at++ = (unsigned char)zigzag;
	return at;
}

static size_t encode(const struct histogram *histogram, unsigned char *out)
{
	double ratio = 1;
	uint64_t ratio_bits;
	unsigned last = histogram_bucket(histogram->max_ns);
	unsigned char *at = out + HEAD_BYTES;
	unsigned char *head;
	int64_t empty = 0;

	for (unsigned i = 0; i <= last; i++) {
		if (!histogram->buckets[i]) {
			empty++;
			continue;
		}
		if (empty)
			at = put_count(at, -empty);
		empty = 0;
		at = put_count(at, (int64_t)histogram->buckets[i]);
	}
	memcpy(&ratio_bits, &ratio, sizeof(ratio_bits));
	head = put_u32(out, COOKIE_COUNTS);
	head = put_u32(head, (uint32_t)(at - out - HEAD_BYTES));
	head = put_u32(head, 0); /* values are not shifted */
	head = put_u32(head, SIGNIFICANT_DIGITS);
	head = put_u64(head, 1); /* the lowest value that is told apart */
	head = put_u64(head, (uint64_t)HISTOGRAM_HIGHEST_NS);
	put_u64(head, ratio_bits);
	return (size_t)(at - out);
}

/* With padding (RFC 4648). */
static void write_base64(FILE *file, const unsigned char *data, size_t bytes)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < bytes; i += 3) {
		uint32_t group = (uint32_t)data[i] << 16;

		if (i + 1 < bytes)
			group |= (uint32_t)data[i + 1] << 8;
		if (i + 2 < bytes)
			group |= data[i + 2];
		putc(digits[group >> 18], file);
		putc(digits[group >> 12 & 63], file);
		putc(i + 1 < bytes ? digits[group >> 6 & 63] : '=', file);
		putc(i + 2 < bytes ? digits[group & 63] : '=', file);
	}
}

int hdr_log_write(struct hdr_log *log, rota_ns start_ns, rota_ns length_ns,
		  const struct histogram *histogram)
{
	size_t plain_bytes = encode(histogram, log->plain);
	uLongf bytes = log->compressed_max - COMPRESSED_HEAD_BYTES;

	if (compress2(log->compressed + COMPRESSED_HEAD_BYTES, &bytes, log->plain, plain_bytes,
		      Z_DEFAULT_COMPRESSION) != Z_OK)
		return -ENOMEM;
	put_u32(put_u32(log->compressed, COOKIE_COMPRESSED), (uint32_t)bytes);
	fprintf(log->file, "%.3f,%.3f,%.3f,", (double)start_ns / 1e9, (double)length_ns / 1e9,
		(double)histogram->max_ns / 1e6);
	write_base64(log->file, log->compressed, bytes + COMPRESSED_HEAD_BYTES);
	putc('\n', log->file);
	return fflush(log->file) ? -errno : 0;
}

int hdr_log_close(struct hdr_log *log)
{
	int status = 0;

	if (!log)
		return 0;
	if (log->file && (ferror(log->file) || fclose(log->file)))
		status = -EIO;
	rota_free(log->plain);
	rota_free(log->compressed);
	rota_free(log);
	return status;
}
