/* SPDX-License-Identifier: MIT */
/*
 * Numbers as clients write them, and as they are told: exactly the texts that Redis takes and
 * gives. Leaf; pure functions.
 */
#ifndef KV_NUMBER_H
#define KV_NUMBER_H

#include <rota/buffer.h>

/*
 * A decimal integer in its one shortest form: no plus, no leading zeros, no spaces, no "-0".
 * Returns whether it is one that fits.
 */
bool kv_parse_integer(struct rota_view text, int64_t *out);

/* A cursor of SCAN: what strtoul takes whole, but for leading space. Nothing is 0. */
bool kv_parse_cursor(struct rota_view text, uint64_t *out);

/* A number for INCRBYFLOAT: what strtold takes whole, but for leading space, and no NaN. */
bool kv_parse_float(struct rota_view text, long double *out);

/* Room for any long double without exponent: 4933 digits, 17 decimals. */
#define KV_FLOAT_BYTES 5120

/*
 * Without exponent, up to 17 decimals, no zeros at the end. Returns its bytes. `value` is finite.
 */
size_t kv_format_float(char text[KV_FLOAT_BYTES], long double value);

#endif /* KV_NUMBER_H */
