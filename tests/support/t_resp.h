/* SPDX-License-Identifier: MIT */
/*
 * Runs the RESP and line parsers over bytes that come in pieces and writes down what was
 * understood, so that two ways of cutting the same bytes can be compared as strings. For unit tests
 * and fuzzers; any thread.
 */
#ifndef T_RESP_H
#define T_RESP_H

#include <rota/buffer.h>

#include "protocols/resp/resp.h"

/* Where the next piece ends, given where the last one did; at least one more. */
typedef size_t (*t_cut_fn)(size_t at, size_t bytes, void *arg);

/* All at once, byte by byte, and in two at *(size_t *)arg. */
size_t t_cut_never(size_t at, size_t bytes, void *arg);
size_t t_cut_everywhere(size_t at, size_t bytes, void *arg);
size_t t_cut_once(size_t at, size_t bytes, void *arg);
/* In pieces of 1 to 16 bytes and seldom more, from the state at *(uint64_t *)arg. */
size_t t_cut_randomly(size_t at, size_t bytes, void *arg);

/* A small generator (xorshift64*); the state must not be 0. */
uint64_t t_random(uint64_t *state);

/*
 * Parse `input`, whose pieces end where `cut` says. Each parse sees a fresh block of exactly the
 * bytes there, so that a sanitizer sees every read too far and every pointer kept. Appends
 * "[3:SET1:k1:v]" per request and, at the end, "~" when a request is incomplete or "!words" when it
 * is malformed. Aborts on broken promises of the parser.
 */
void t_resp_run(const struct rota_resp_limits *limits, bool is_unauthenticated,
		struct rota_view input, t_cut_fn cut, void *arg, struct rota_buffer *out);

/* The same for lines. */
void t_line_run(size_t line_bytes_max, struct rota_view input, t_cut_fn cut, void *arg,
		struct rota_buffer *out);

#endif /* T_RESP_H */
