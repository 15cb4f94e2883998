/* SPDX-License-Identifier: MIT */
/*
 * What parse.c and inline.c share. Protocol layer, inside protocols/resp only; pure functions over
 * a parser.
 */
#ifndef ROTA_RESP_INTERNAL_H
#define ROTA_RESP_INTERNAL_H

#include "protocols/resp/resp.h"

/* rota_resp_parse for a request that doesn't begin with '*'. */
int64_t rota__resp_parse_inline(struct rota_resp_parser *parser, struct rota_view input);

/*
 * Look for `terminator` in the line at `line`, of which `available_bytes` have come, and note how
 * far was looked. `too_long` is the error when there is none within the limit. Returns the line's
 * bytes with the terminator, 0 with need_bytes set, or -ROTA_EPROTOCOL.
 */
int64_t rota__resp_find_line_end(struct rota_resp_parser *parser, const char *line,
				 size_t available_bytes, char terminator, const char *too_long);

/* Room for one more view in args. Returns 0 or -ENOMEM with the error set. */
int rota__resp_grow_args(struct rota_resp_parser *parser, uint32_t args_max);

/*
 * Move the views of an incomplete request into memory of the parser's, so that it outlives the
 * caller's array.
 */
int rota__resp_own_args(struct rota_resp_parser *parser);

/* Set the words of the error and return `status`. */
int64_t rota__resp_fail(struct rota_resp_parser *parser, int status, const char *words);

#endif /* ROTA_RESP_INTERNAL_H */
