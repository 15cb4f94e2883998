/* SPDX-License-Identifier: MIT */
/*
 * Lines: requests that end with LF or CR LF, one at a time to a handler. The protocol of the
 * tutorial, and enough for many a small service. Protocol layer; called on the session's reactor.
 */
#ifndef ROTA_LINE_H
#define ROTA_LINE_H

#include <rota/buffer.h>
#include <rota/error.h>
#include <rota/protocol.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What an application fills. One table, shared by all reactors; give it as the listener's `arg`. */
struct rota_line_service {
	size_t line_bytes_max; /* without its end */
	/* written before the close when a line is longer; "" for nothing. Lent */
	const char *overlong;
	/* the application's state per session, zeroed: rota_line_session_state */
	size_t session_bytes;

	/*
	 * A line has come; `line` is without its end and dies at the first suspension. Write the
	 * reply to rota_session_output(session). May suspend. 0 to go on, negative errno to close
	 * after what was written.
	 */
	int (*on_line)(struct rota_session *session, struct rota_view line);

	/* The session is over (see rota_protocol.on_close). May not suspend. May be NULL. */
	void (*close)(struct rota_session *session, int reason);
};

/*
 * Find the first line of `input`, of which the first `scanned_bytes` are known to hold no LF.
 *
 * line      Out, only when > 0 is returned: a view into `input`.
 * Returns   bytes of the line with its end (> 0), 0 when it is incomplete, -EMSGSIZE when it is
 *           longer than `line_bytes_max`. The answer doesn't depend on the pieces in which the
 *           bytes came.
 */
ROTA_API ROTA_MUST_USE int64_t rota_line_parse(struct rota_view input, size_t scanned_bytes,
					       size_t line_bytes_max, struct rota_view *line);

/*
 * Fill `protocol` for sessions of `service`; the listener's arg must be the same `service`, lent
 * while sessions live.
 */
ROTA_API void rota_line_protocol_init(struct rota_protocol *protocol,
				      const struct rota_line_service *service);

/* The application's session_bytes, or a pointer not to be read when they are 0. */
ROTA_API void *rota_line_session_state(struct rota_session *session);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_LINE_H */
