/* SPDX-License-Identifier: MIT */
/*
 * RESP, the Redis protocol: requests (RESP2, RESP3 and inline commands) are parsed into argument
 * views, replies are written onto an output. Protocol layer; everything here is called on the
 * reactor that owns the session.
 *
 * The one idea: requests reach the application in batches. One on_bytes parses up to
 * ROTA_RESP_BATCH_MAX requests without copying, so that the application can hash and prefetch for
 * all of them before it executes the first.
 */
#ifndef ROTA_RESP_H
#define ROTA_RESP_H

#include <rota/base.h>
#include <rota/buffer.h>
#include <rota/error.h>
#include <rota/protocol.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- limits ---- */

/* A length line or an inline command longer than this is refused; the value is Redis'. */
#define ROTA_RESP_LINE_BYTES_MAX (64 * 1024)

/* Bytes for the words of an error, NUL included. */
#define ROTA_RESP_ERROR_BYTES 56

struct rota_resp_limits {
	uint64_t bulk_bytes_max; /* one argument: proto-max-bulk-len */
	/* a whole request as sent: what a connection may make us hold */
	uint64_t request_bytes_max;
	uint32_t args_max; /* arguments of one request */
	/* The same before the client has authenticated, when it has to. */
	uint32_t unauthenticated_args_max;
	uint64_t unauthenticated_bulk_bytes_max;
};

/* The values of Redis 7.0 (request_bytes_max is its client-query-buffer-limit). */
#define ROTA_RESP_LIMITS_DEFAULT                                                                   \
	{                                                                                          \
		.bulk_bytes_max = UINT64_C(512) << 20, .request_bytes_max = UINT64_C(1) << 30,     \
		.args_max = INT32_MAX, .unauthenticated_args_max = 10,                             \
		.unauthenticated_bulk_bytes_max = 16384,                                           \
	}

/* ---- parser: a pure function over bytes ---- */

/*
 * One request being parsed. Initialise with rota_resp_parser_init, feed with rota_resp_parse,
 * release with rota_resp_parser_fini. May be moved between calls (a struct copy), as long as only
 * one copy is used on.
 */
struct rota_resp_parser {
	/* caller may set between requests */
	const struct rota_resp_limits *limits; /* lent until fini */
	bool is_unauthenticated;               /* the low limits apply */

	/* read-only: the request, after a return > 0 */
	/* args or their bytes are in memory of the parser's: see rota_resp_parser_next */
	bool owns_memory;
	/* arguments; 0 for an empty line or an empty array, which is no command */
	uint32_t count;
	/* views into the input, or into the parser's memory where an inline command had escapes */
	struct rota_view *args;

	/*
	 * read-only: after 0. Fewer bytes than this in all (from the request's first) can't tell
	 * anything new.
	 */
	size_t need_bytes;

	/* private: where parsing goes on */
	uint32_t capacity_;    /* of args */
	uint32_t args_total_;  /* arguments announced; 0: the header has not been read */
	size_t position_;      /* offset of the next length line or bulk */
	size_t scanned_bytes_; /* of the line at position_, known to hold no terminator */
	size_t bulk_bytes_;    /* of the bulk at position_; NO_BULK_: a length line comes next */
	char *unescaped_;      /* owned: inline arguments without their quotes and escapes */
	bool args_are_owned_;  /* args was allocated here */

	/* read-only: after a negative return, the words of the reply without "-ERR " */
	char error[ROTA_RESP_ERROR_BYTES];
};

/*
 * `args` has room for `capacity` (may be 0, args NULL) views and is lent until fini; more are
 * allocated when needed.
 */
ROTA_API void rota_resp_parser_init(struct rota_resp_parser *parser,
				    const struct rota_resp_limits *limits, struct rota_view *args,
				    uint32_t capacity);

/*
 * Parse one request from the start of `input`; borrows `input`, reads nothing behind it.
 *
 * When it returns 0, call again with the same bytes and more behind them; they may have moved. Work
 * already done is not repeated, so any request costs O(its bytes) in whatever pieces it comes, and
 * memory grows with the arguments that have come, never with the number announced.
 *
 * Returns  bytes of the request (> 0): args[0..count) are set and live as long as `input` and the
 *          parser's memory; go on with rota_resp_parser_next or _reset
 *          0                the request is incomplete: need_bytes says how many bytes to wait for
 *          -ROTA_EPROTOCOL  malformed; `error` has Redis' words. Not to be called again
 *          -EMSGSIZE        longer than request_bytes_max; as above
 *          -ENOMEM          no memory for the arguments; as above
 */
ROTA_API ROTA_MUST_USE int64_t rota_resp_parse(struct rota_resp_parser *parser,
					       struct rota_view input);

/*
 * Get ready for the next request of a batch, whose arguments go behind those of the last, which
 * stay valid. Only when the last request left owns_memory false.
 */
ROTA_API void rota_resp_parser_next(struct rota_resp_parser *parser);

/*
 * The second argument of the request that `input` begins with, mostly a key, when it is all there
 * and of the commonest shape; else an empty view. For looking ahead: what comes before it has not
 * been checked as a parser does. Borrowed from `input`.
 */
ROTA_API struct rota_view rota_resp_peek_key(struct rota_view input);

/* Release what the parser owns. */
ROTA_API void rota_resp_parser_fini(struct rota_resp_parser *parser);

/* ---- the protocol: sessions and batches ---- */

#define ROTA_RESP_BATCH_MAX 16

struct rota_resp_request {
	const struct rota_view *args; /* args[0] is the command's name, as sent */
	uint32_t count;               /* of args; at least 1 */
	uint32_t reserved_;
	/* private: offset in the input of the first byte behind this request */
	size_t end_bytes_;
};

/*
 * What an application fills to serve RESP. One table, shared by all reactors; give it as the
 * listener's `arg`, so embed it where the application's own context is and get there with
 * ROTA_CONTAINER_OF.
 */
struct rota_resp_service {
	struct rota_resp_limits limits;
	/* the application's state per session, zeroed: rota_resp_session_state */
	size_t session_bytes;
	bool requires_authentication; /* sessions begin unauthenticated */

	/*
	 * A connection was accepted. May suspend. 0, or negative errno to close at once (close
	 * follows). May be NULL.
	 */
	int (*open)(struct rota_session *session);

	/*
	 * Execute `count` (1 .. ROTA_RESP_BATCH_MAX) requests in order, writing one reply each to
	 * rota_session_output(session). May suspend. Borrows `requests` and what they view *until
	 * its first suspension*.
	 *
	 * Returns how many requests it has finished, at least 1, or a negative errno to close after
	 * what was written. The bytes of the finished ones are consumed; the others are parsed
	 * again and come back with the next call. So a handler that suspends in request i keeps
	 * what it needs of i beforehand, finishes it, and returns i + 1: it never touches a view
	 * that died. The same is right after a command that changes how the rest is to be read
	 * (AUTH, QUIT with rota_session_finish, the handing over of the connection).
	 */
	int (*execute)(struct rota_session *session, const struct rota_resp_request *requests,
		       int count);

	/* The session is over (see rota_protocol.on_close). May not suspend. May be NULL. */
	void (*close)(struct rota_session *session, int reason);
};

/*
 * Fill `protocol` for sessions of `service`; the listener's arg must be the same `service`, lent
 * while sessions live.
 */
ROTA_API void rota_resp_protocol_init(struct rota_protocol *protocol,
				      const struct rota_resp_service *service);

/* The application's session_bytes, or a pointer not to be read when they are 0. */
ROTA_API void *rota_resp_session_state(struct rota_session *session);

/* 2 (at the start) or 3, as HELLO has it. */
ROTA_API int rota_resp_session_version(struct rota_session *session);
ROTA_API void rota_resp_session_set_version(struct rota_session *session, int version);

/* Whether the low limits apply. Concerns requests after the batch in which it is called. */
ROTA_API void rota_resp_session_set_unauthenticated(struct rota_session *session,
						    bool is_unauthenticated);

/* ---- replies: onto an output; nothing here fails or suspends (see <rota/protocol.h>) ---- */

/* "+OK". */
ROTA_API void rota_resp_write_ok(struct rota_output *output);

/* A status of a few words; without CR and LF, which the caller sees to. */
ROTA_API void rota_resp_write_status(struct rota_output *output, struct rota_view text);

/*
 * An error: `text` begins with its code ("ERR …", "WRONGTYPE …"). CR and LF in it are written as
 * spaces. Cut at 1 KiB.
 */
ROTA_API void rota_resp_write_error(struct rota_output *output, struct rota_view text);

/* The same, formatted. */
ROTA_API void rota_resp_write_errorf(struct rota_output *output, const char *format, ...)
	ROTA_PRINTF(2, 3);

/* An integer. */
ROTA_API void rota_resp_write_integer(struct rota_output *output, int64_t value);

/* A bulk string, copied. */
ROTA_API void rota_resp_write_bulk(struct rota_output *output, struct rota_view data);

/* A bulk string by reference: `bytes` of `blob` from `offset`; a reference of its own is taken. */
ROTA_API void rota_resp_write_bulk_blob(struct rota_output *output, struct rota_blob *blob,
					size_t offset, size_t bytes);

/* A bulk string of the decimal digits of `value`. */
ROTA_API void rota_resp_write_bulk_integer(struct rota_output *output, int64_t value);

/* The header of an array: `count` replies follow. */
ROTA_API void rota_resp_write_array(struct rota_output *output, size_t count);

/*
 * What RESP3 has a type for and RESP2 does not: `version` 2 writes what Redis writes there. Headers
 * are followed by `count` elements, a map's by `count` keys and values in turns.
 */
ROTA_API void rota_resp_write_null(struct rota_output *output, int version);
ROTA_API void rota_resp_write_null_array(struct rota_output *output, int version);
ROTA_API void rota_resp_write_map(struct rota_output *output, int version, size_t count);
ROTA_API void rota_resp_write_set(struct rota_output *output, int version, size_t count);
ROTA_API void rota_resp_write_push(struct rota_output *output, int version, size_t count);
ROTA_API void rota_resp_write_boolean(struct rota_output *output, int version, bool value);
/* 17 significant digits, as Redis 7.0 has it: read back, the same double. */
ROTA_API void rota_resp_write_double(struct rota_output *output, int version, double value);
/* `digits`: decimal, with an optional '-'. */
ROTA_API void rota_resp_write_big_number(struct rota_output *output, int version,
					 struct rota_view digits);
/* `format` has three characters, "txt" or "mkd". */
ROTA_API void rota_resp_write_verbatim(struct rota_output *output, int version,
				       const char format[3], struct rota_view text);

/* Decimal digits of `value` at `out` (room for 20). Returns how many. */
ROTA_API size_t rota_resp_format_integer(char *out, int64_t value);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_RESP_H */
