/* SPDX-License-Identifier: MIT */
/*
 * A session without a framework: offers bytes to a protocol by the contract's rules and collects
 * what it writes. For unit tests of protocols; one thread.
 */
#ifndef T_SESSION_H
#define T_SESSION_H

#include <rota/buffer.h>
#include <rota/protocol.h>

struct rota_output {
	struct rota_buffer bytes;
	char reserved[ROTA_OUTPUT_RESERVE_BYTES_MAX];
};

struct rota_session {
	const struct rota_protocol *protocol;
	void *arg;
	void *state;
	struct rota_output output;
	struct rota_buffer input; /* not yet consumed */
	/* the block lent to on_bytes; NULL once the handler "suspended" */
	char *view;
	size_t need_bytes;
	int calls;         /* of on_bytes */
	bool is_finishing; /* rota_session_finish was called */
	int64_t status;    /* what on_bytes failed with, or 0 */
};

void t_session_open(struct rota_session *session, const struct rota_protocol *protocol, void *arg);

/*
 * Bytes come in. They are offered as long as the protocol consumes some and does not wait for more.
 */
void t_session_feed(struct rota_session *session, const void *data, size_t bytes);
void t_session_feed_string(struct rota_session *session, const char *string);

/*
 * Inside a handler: what suspending does to its view. A later read of it is found by the address
 * sanitizer.
 */
void t_session_suspend(struct rota_session *session);

/* Fails unless exactly `expected` was written since the last call. */
void t_session_expect(struct rota_session *session, const char *expected);

void t_session_close(struct rota_session *session);

#endif /* T_SESSION_H */
