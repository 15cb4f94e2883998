/* SPDX-License-Identifier: MIT */
/*
 * The protocol of words.h. Layer: tests; worker tasks on the server's reactor.
 */
#include <stdlib.h>
#include <string.h>

#include "framework/net_internal.h"
#include "tests/contract/words.h"
#include "tests/support/t_alloc.h"

struct words_seen words_seen;

/* The server's reactor: handlers that wait, and the sessions they serve. */
static struct rota_link waiters;
static struct rota_session *last_session;

struct waiter {
	struct rota_link link;
	struct rota_future released;
};

static int64_t release_here(void *arg)
{
	struct rota_link *link;
	int64_t count = 0;

	(void)arg;
	while ((link = rota_list_pop_front(&waiters))) {
		rota_future_complete(&ROTA_CONTAINER_OF(link, struct waiter, link)->released, 0);
		count++;
	}
	return count;
}

int64_t words_release(struct t_net *net)
{
	return rota_call_on(net->server, release_here, NULL);
}

/* Suspend until released or cancelled; counts what happened. */
static int wait_for_release(void)
{
	struct waiter waiter;
	int64_t status;

	rota_future_init(&waiter.released);
	rota_list_push_back(&waiters, &waiter.link);
	words_seen.waiting++;
	status = rota_await(&waiter.released);
	rota_list_remove(&waiter.link);
	if (status < 0) {
		if (rota_why()->kind == ROTA_CANCEL_CLIENT_GONE)
			words_seen.gone++;
		words_seen.cancelled++;
	}
	return (int)status;
}

static void say(struct rota_session *session, const char *text)
{
	rota_output_write(rota_session_output(session), text, strlen(text));
}

static void write_pattern(struct rota_session *session, size_t bytes)
{
	struct rota_output *output = rota_session_output(session);
	size_t at = 0;

	while (at < bytes) {
		size_t part = rota_min_size(bytes - at, 1000);
		char *room = rota_output_reserve(output, part);

		for (size_t i = 0; i < part; i++)
			room[i] = t_pattern_at(at + i);
		rota_output_commit(output, part);
		at += part;
	}
}

static int64_t write_blobs(struct rota_session *session, size_t bytes)
{
	struct rota_blob *blob = rota_blob_create(bytes);

	if (!blob)
		return -ENOMEM;
	for (size_t i = 0; i < bytes; i++)
		blob->data[i] = t_pattern_at(i);
	rota_output_reserve(rota_session_output(session), 100); /* not used: an empty piece */
	rota_output_blob(rota_session_output(session), blob, 0, bytes / 2);
	rota_output_blob(rota_session_output(session), blob, bytes / 2, bytes - bytes / 2);
	rota_blob_unref(blob);
	return 0;
}

/* The address sanitizer's, where it is linked. */
extern void *__asan_region_is_poisoned(void *begin, size_t bytes) __attribute__((weak));

/*
 * It shows something else. A byte may be as it was: what is freed has an allocator's links in it.
 * That it is freed is no find of the thread sanitizer's.
 */
static __attribute__((no_sanitize("thread"))) bool is_dead(struct rota_view view, const char *was)
{
	if (__asan_region_is_poisoned &&
	    __asan_region_is_poisoned((void *)(uintptr_t)view.data, view.bytes))
		return true;
	for (size_t i = 0; i < view.bytes; i++)
		if (view.data[i] != was[i])
			return true;
	return false;
}

/* A task of the session's: answers when released, whoever has come and gone meanwhile. */
static int64_t answer_later(void *arg)
{
	struct rota_session *session = arg;

	if (wait_for_release() < 0)
		return -ECANCELED;
	CHECK(rota_session_scope(session) != NULL);
	say(session, "later\n");
	return 0;
}

static int64_t spawn_answer(struct rota_session *session)
{
	struct rota_scope *scope = rota_session_scope(session);

	return scope ? rota_spawn(scope, answer_later, session) : -ENOMEM;
}

/* Goes on when the client has gone; only somebody's cancel ends it early. */
static int64_t outlive_client(struct rota_session *session)
{
	int status = 0;

	rota_handler_outlives_client();
	words_seen.waiting++;
	while (status == 0 && !rota_session_conn(session)->error)
		status = rota_sleep_ms(1);
	if (status == 0)
		status = rota_yield();
	words_seen.cancelled += status < 0;
	words_seen.finished += status == 0;
	return status;
}

/* The session opened last, idle with "par" as its input, stands in line; nobody else does. */
static void look_ahead(const struct rota_session *session)
{
	struct rota_conn *last = (struct rota_conn *)last_session;
	const struct rota_session *next;
	struct rota_view input;

	CHECK(session != last_session);
	CHECK(rota_session_after(session, &input) == NULL);
	rota__session_queue(last);
	next = rota_session_after(session, &input);
	CHECK(next == last_session);
	CHECK(rota_view_equals(input, rota_view_of_string("par")));
	CHECK(rota_session_after(next, &input) == NULL);
}

/* Returns 0 to go on, or negative errno. */
static int64_t handle(struct rota_session *session, struct rota_view line)
{
	char word[64] = "";
	size_t bytes = rota_min_size(line.bytes, sizeof(word) - 1);
	long number;

	memcpy(word, line.data, bytes);
	number = strtol(strchr(word, ' ') ? strchr(word, ' ') : "", NULL, 10);
	if (!strncmp(word, "wait", 4)) {
		if (wait_for_release() < 0)
			return -ECANCELED;
		say(session, "released\n");
	} else if (!strncmp(word, "outlive", 7)) {
		return outlive_client(session);
	} else if (!strncmp(word, "keep", 4)) { /* its view, beyond its end */
		CHECK(!is_dead(line, word));
		if (wait_for_release() < 0)
			return -ECANCELED;
		say(session, is_dead(line, word) ? "dead\n" : "alive\n");
	} else if (!strncmp(word, "fill", 4)) {
		write_pattern(session, (size_t)number);
	} else if (!strncmp(word, "blob", 4)) {
		return write_blobs(session, (size_t)number);
	} else if (!strncmp(word, "bad", 3)) {
		say(session, "that was bad\n");
		return -EPROTO;
	} else if (!strncmp(word, "leave", 5)) {
		rota_session_finish(session);
		return -EPROTO;
	} else if (!strncmp(word, "spawn", 5)) {
		return spawn_answer(session);
	} else if (!strncmp(word, "stay", 4)) { /* it spawns although its client is gone */
		CHECK_EQUAL(wait_for_release(), -ECANCELED);
		CHECK_EQUAL(spawn_answer(session), -ECANCELED);
	} else if (!strncmp(word, "look", 4)) {
		look_ahead(session);
		say(session, "seen\n");
	} else if (!strncmp(word, "starve", 6)) {
		t_alloc_fail_from(1);
		CHECK(rota_session_scope(session) == NULL);
		t_alloc_fail_at(0);
		say(session, "starved\n");
	} else if (!strncmp(word, "finish", 6)) {
		rota_session_finish(session);
		/* the view is still ours to look at */
		rota_output_write(rota_session_output(session), line.data, line.bytes);
	} else if (!strncmp(word, "abort", 5)) {
		rota_session_abort(session, "by the test");
		CHECK_EQUAL(rota_sleep_ms(1), -ECANCELED);
		words_seen.cancelled++;
	} else {
		rota_output_write(rota_session_output(session), line.data, line.bytes);
		say(session, "\n");
	}
	words_seen.finished++;
	return 0;
}

static int on_open(struct rota_session *session)
{
	const char *how = rota_session_arg(session);

	words_seen.opened++;
	last_session = session;
	if (!strcmp(how, "refuse")) {
		say(session, "no room\n");
		return -ENOBUFS;
	}
	if (!strcmp(how, "wait") && wait_for_release() < 0)
		return -ECANCELED;
	if (!strcmp(how, "greet"))
		say(session, "hello\n");
	return 0;
}

static int64_t on_bytes(struct rota_session *session, struct rota_view bytes)
{
	const char *how = rota_session_arg(session);
	size_t line_bytes = bytes.bytes;
	const char *end;
	int64_t status;

	words_seen.calls++;
	if (!strcmp(how, "ponder") && wait_for_release() < 0)
		return -ECANCELED;
	if (!strcmp(how, "ponder"))
		/* asks for all there is, and never for more: only complete after a suspension */
		return bytes.bytes < 10 ? 0 : (say(session, "ten\n"), 10);
	if (!strcmp(how, "swallow"))
		return (int64_t)bytes.bytes;
	if (!strcmp(how, "need")) {
		rota_session_need(session, 1000);
		return bytes.bytes < 1000 ? 0 : (say(session, "thousand\n"), 1000);
	}
	end = memchr(bytes.data, '\n', bytes.bytes);
	if (!end)
		return 0;
	if (rota_session_is_full(session))
		return 0;
	line_bytes = (size_t)(end - bytes.data);
	status = handle(session, rota_view_of(bytes.data, line_bytes));
	return status < 0 ? status : (int64_t)line_bytes + 1;
}

static void on_close(struct rota_session *session, int reason)
{
	(void)session;
	words_seen.reason = reason;
	words_seen.closed++;
}

static const struct rota_protocol words = {
	.name = "words",
	.session_bytes = 16,
	.on_open = on_open,
	.on_bytes = on_bytes,
	.on_close = on_close,
};

void words_serve_with(struct t_net *net, const char *how, const struct rota_conn_limits *limits)
{
	struct rota_listener_options options = { .protocol = &words, .arg = (void *)how };

	if (limits)
		options.limits = *limits;
	memset(&words_seen, 0, sizeof(words_seen));
	rota_list_init(&waiters);
	t_serve(net, &options);
}

void words_serve(struct t_net *net, const char *how)
{
	words_serve_with(net, how, NULL);
}

int64_t words_finish_last(void *arg)
{
	(void)arg;
	rota_session_finish(last_session);
	return 0;
}

int64_t words_abort_last(void *arg)
{
	(void)arg;
	rota_session_abort(last_session, "from outside");
	return 0;
}
