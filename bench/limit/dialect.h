/* SPDX-License-Identifier: MIT */
/*
 * What the load client says to a key-value server and what must come back: RESP, or memcached's
 * classic or meta commands. Belongs to bench/limit only; one thread.
 *
 * The one idea: keys and values have fixed lengths, so every request and every possible reply is a
 * fixed text in which only the key's digits and the value differ. A stream of replies is cut by
 * lengths, and each reply is compared with the only two that are right.
 */
#ifndef BENCH_LIMIT_DIALECT_H
#define BENCH_LIMIT_DIALECT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define TEXT_BYTES 64
#define KEY "key:000000000000"

enum protocol { PROTOCOL_ECHO, PROTOCOL_RESP, PROTOCOL_MEMCACHED, PROTOCOL_MEMCACHED_META };

/* Part of a request or a reply. The key's digits end at `key_end`; 0: it names no key. */
struct text {
	char bytes[TEXT_BYTES];
	uint32_t length, key_end;
};

struct dialect {
	struct text get, set;        /* set: what comes before the value */
	struct text hit, hit_end;    /* what GET answers, around the value */
	struct text missing, stored; /* what GET answers without a value; what SET answers */
	uint32_t value_bytes;        /* of every value */
	uint32_t hit_bytes;          /* a whole reply with a value */
	uint32_t request_bytes_max, reply_bytes_max;
};

static inline void text_init(struct text *text, const char *format, uint32_t value_bytes)
{
	const char *key;

	text->length = (uint32_t)snprintf(text->bytes, TEXT_BYTES, format, value_bytes);
	key = strstr(text->bytes, KEY);
	text->key_end = key ? (uint32_t)(key - text->bytes + (int)strlen(KEY)) : 0;
}

/* Returns the end of what it wrote. */
static inline char *text_write(const struct text *text, char *at, uint32_t key)
{
	memcpy(at, text->bytes, text->length);
	if (text->key_end)
		for (char *digit = at + text->key_end - 1; key; key /= 10)
			*digit-- = (char)('0' + key % 10);
	return at + text->length;
}

static inline bool text_is(const struct text *text, const char *data, uint32_t key)
{
	char written[TEXT_BYTES];

	if (!text->key_end)
		return !memcmp(data, text->bytes, text->length);
	text_write(text, written, key);
	return !memcmp(data, written, text->length);
}

static inline void dialect_init(struct dialect *dialect, enum protocol protocol,
				uint32_t value_bytes)
{
	static const char *const formats[][6] = {
		[PROTOCOL_RESP] = { "*2\r\n$3\r\nGET\r\n$16\r\n" KEY "\r\n",
				    "*3\r\n$3\r\nSET\r\n$16\r\n" KEY "\r\n$%u\r\n", "$%u\r\n",
				    "\r\n", "$-1\r\n", "+OK\r\n" },
		[PROTOCOL_MEMCACHED] = { "get " KEY "\r\n", "set " KEY " 0 0 %u\r\n",
					 "VALUE " KEY " 0 %u\r\n", "\r\nEND\r\n", "END\r\n",
					 "STORED\r\n" },
		[PROTOCOL_MEMCACHED_META] = { "mg " KEY " v\r\n", "ms " KEY " %u\r\n", "VA %u\r\n",
					      "\r\n", "EN\r\n", "HD\r\n" },
	};
	struct text *const texts[] = { &dialect->get,     &dialect->set,     &dialect->hit,
				       &dialect->hit_end, &dialect->missing, &dialect->stored };

	for (unsigned i = 0; i < 6; i++)
		text_init(texts[i], formats[protocol][i], value_bytes);
	dialect->value_bytes = value_bytes;
	dialect->hit_bytes = dialect->hit.length + value_bytes + dialect->hit_end.length;
	dialect->request_bytes_max = dialect->set.length + value_bytes + 2;
	dialect->reply_bytes_max = dialect->hit_bytes + dialect->stored.length;
}

/* `value` NULL: a GET. Returns the end of what it wrote. */
static inline char *write_request(const struct dialect *dialect, char *at, uint32_t key,
				  const char *value)
{
	if (!value)
		return text_write(&dialect->get, at, key);
	at = text_write(&dialect->set, at, key);
	memcpy(at, value, dialect->value_bytes);
	memcpy(at + dialect->value_bytes, "\r\n", 2);
	return at + dialect->value_bytes + 2;
}

/* Returns the length of the reply that begins at `data`, 0 if too little of it is there to know. */
static inline uint32_t reply_length(const struct dialect *dialect, bool is_get, const char *data,
				    uint64_t data_bytes)
{
	if (data_bytes < 2)
		return 0;
	if (!is_get)
		return dialect->stored.length;
	return memcmp(data, dialect->missing.bytes, 2) ? dialect->hit_bytes
						       : dialect->missing.length;
}

/* Is a whole reply right? `value` NULL: any value of the right length. */
static inline bool is_hit(const struct dialect *dialect, const char *reply, uint32_t key,
			  const char *value)
{
	const char *data = reply + dialect->hit.length;

	return text_is(&dialect->hit, reply, key) &&
	       text_is(&dialect->hit_end, data + dialect->value_bytes, key) &&
	       (!value || !memcmp(data, value, dialect->value_bytes));
}

#endif
