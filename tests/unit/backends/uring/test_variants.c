/* SPDX-License-Identifier: MIT */
/*
 * What can go wrong in the variants of the uring engine and in nothing else: buffers that several
 * connections share, bundles that do not fit into one poll(), notifications that come late, slots
 * that go away under a send, sends without a completion. Each test skips, visibly, where the kernel
 * lacks its feature. One thread.
 */
#include <sys/uio.h>

#include "tests/unit/backends/uring/support.h"

/* As t_engine; skips where `feature` is not there. */
static struct rota_backend *engine_with(const char *options, enum uring_feature feature)
{
	struct rota_backend *backend = t_engine(options);

	if (uring__engine(backend)->features & URING_FEATURE_BIT(feature))
		return backend;
	rota_backend_destroy(backend);
	print_message("skipped: the kernel has not what \"%s\" asks for\n", options);
	skip();
	return NULL;
}

static void say(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* A connected pair on the loopback device: [0] connected, [1] accepted. */
static void tcp_pair(struct rota_backend *backend, int sockets[2])
{
	struct rota_listen_options options = { .backlog = 1 };
	struct rota_address address;
	int listener;

	assert_int_equal(rota_address_parse(&options.address, "127.0.0.1", 0), 0);
	listener = backend->ops->listen(backend, &options);
	assert_true(listener >= 0);
	assert_int_equal(backend->ops->address(backend, listener, false, &address), 0);
	sockets[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(sockets[0], &address.any, address.bytes), 0);
	sockets[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(sockets[1] >= 0);
	assert_int_equal(fcntl(sockets[0], F_SETFL, O_NONBLOCK), 0);
	close(listener);
}

static void close_both(int sockets[2])
{
	close(sockets[0]);
	close(sockets[1]);
}

static void end_receive(struct rota_backend *backend, struct t_op *op)
{
	unsigned terminals = op->terminals + 1;

	if (!op->op.state_)
		return;
	backend->ops->cancel(backend, &op->op);
	t_run(backend, op->terminals == terminals);
}

/* ---- incremental buffers ---- */

/* One reader does not give back its ten bytes; another goes through all buffers many times. */
static void test_incremental_slow_reader_pins_one_buffer_and_no_more(void **state)
{
	enum { ROUNDS = 400 };
	struct rota_backend *backend = engine_with("incremental=on,buffers=4x1024",
						   URING_INCREMENTAL);
	struct t_op slow = { .op = { .kind = ROTA_OP_RECEIVE }, .keep = true };
	struct t_op quick = { .op = { .kind = ROTA_OP_RECEIVE } };
	char text[101] = { 0 };
	int slow_pair[2], quick_pair[2];

	(void)state;
	t_pair(slow_pair);
	t_pair(quick_pair);
	slow.op.fd = slow_pair[0];
	quick.op.fd = quick_pair[0];
	t_submit(backend, &slow);
	t_submit(backend, &quick);
	say(slow_pair[1], "ten bytes!");
	t_run(backend, slow.bytes == 10);
	memset(text, 'q', sizeof(text) - 1);
	for (uint64_t i = 1; i <= ROUNDS; i++) {
		say(quick_pair[1], text);
		t_run(backend, quick.bytes == i * (sizeof(text) - 1));
		assert_int_equal(t_stats(backend).buffers_lent, 1);
	}
	assert_int_equal(t_stats(backend).buffers_exhausted, 0);
	/* and what it holds is still what came */
	assert_memory_equal(uring__engine(backend)->buffers.data +
				    (size_t)slow.buffer * uring__engine(backend)->buffers.bytes,
			    "ten bytes!", 10);
	backend->ops->buffer_return(backend, slow.buffer);
	assert_int_equal(t_stats(backend).buffers_lent, 0);
	end_receive(backend, &slow);
	end_receive(backend, &quick);
	close_both(slow_pair);
	close_both(quick_pair);
	rota_backend_destroy(backend);
}

/* Every buffer pinned by one byte each: exhausted, said so, and over with the first return. */
static void test_incremental_exhaustion_ends_with_the_last_view(void **state)
{
	struct rota_backend *backend = engine_with("incremental=on,buffers=2x16",
						   URING_INCREMENTAL);
	struct t_op op = { .op = { .kind = ROTA_OP_RECEIVE }, .keep = true };
	int sockets[2];

	(void)state;
	t_pair(sockets);
	op.op.fd = sockets[0];
	t_submit(backend, &op);
	for (uint64_t i = 1; i <= 32; i++) {
		say(sockets[1], "x");
		t_run(backend, op.bytes == i);
	}
	assert_int_equal(t_stats(backend).buffers_lent, 2);
	say(sockets[1], "y");
	t_run(backend, op.terminals);
	assert_int_equal(op.result, -ENOBUFS);
	assert_int_equal(t_stats(backend).buffers_exhausted, 1);
	/* 15 of 16 views of the first are not enough. */
	for (int i = 0; i < 15; i++)
		backend->ops->buffer_return(backend, 0);
	t_submit(backend, &op);
	t_run(backend, op.terminals == 2);
	assert_int_equal(op.result, -ENOBUFS);
	backend->ops->buffer_return(backend, 0);
	assert_int_equal(t_stats(backend).buffers_lent, 1);
	t_submit(backend, &op);
	t_run(backend, op.bytes == 33);
	backend->ops->buffer_return(backend, op.buffer);
	for (int i = 0; i < 16; i++)
		backend->ops->buffer_return(backend, 1);
	assert_int_equal(t_stats(backend).buffers_lent, 0);
	end_receive(backend, &op);
	close_both(sockets);
	rota_backend_destroy(backend);
}

/* ---- bundles ---- */

/*
 * One CQE over ten buffers, taken one completion at a time, while buffers go back and new ones are
 * put into the ring between two of them.
 */
static void test_bundle_is_told_buffer_by_buffer(void **state)
{
	struct rota_backend *backend = engine_with("bundles=on,buffers=16x8", URING_BUNDLES);
	struct t_op op = { .op = { .kind = ROTA_OP_RECEIVE } };
	const char *text =
		"A bundle covers several buffers in ring order; this is one of them.....";
	struct rota_completion out;
	char seen[128] = { 0 };
	size_t used = 0;
	int sockets[2];

	(void)state;
	t_pair(sockets);
	op.op.fd = sockets[0];
	for (int round = 0; round < 5; round++) {
		say(sockets[1], text);
		used = 0;
		if (!op.op.state_)
			t_submit(backend, &op);
		while (used < strlen(text)) {
			int count = backend->ops->poll(backend, &out, 1,
						       rota_now() + ROTA_NS_PER_S);

			assert_in_range(count, 0, 1);
			if (!count)
				continue;
			assert_true(out.flags & ROTA_COMPLETION_MORE);
			assert_in_range(out.result, 1, 8);
			memcpy(seen + used, out.data, (size_t)out.result);
			used += (size_t)out.result;
			backend->ops->buffer_return(backend, out.buffer);
		}
		assert_string_equal(seen, text);
		assert_int_equal(t_stats(backend).buffers_lent, 0);
	}
	end_receive(backend, &op);
	close_both(sockets);
	rota_backend_destroy(backend);
}

/* Cancelled with some of a bundle told: the rest comes first, then the end. */
static void test_bundle_cancelled_half_way_loses_nothing(void **state)
{
	struct rota_backend *backend = engine_with("bundles=on,buffers=16x8", URING_BUNDLES);
	struct t_op op = { .op = { .kind = ROTA_OP_RECEIVE } };
	struct rota_completion out;
	char text[81];
	int sockets[2];

	(void)state;
	t_pair(sockets);
	op.op.fd = sockets[0];
	memset(text, 'b', 80);
	text[80] = '\0';
	say(sockets[1], text);
	t_submit(backend, &op);
	while (backend->ops->poll(backend, &out, 1, ROTA_NEVER) == 0)
		;
	t_complete(out.op, &out);
	backend->ops->buffer_return(backend, out.buffer);
	backend->ops->cancel(backend, &op.op);
	t_run(backend, op.terminals == 1);
	/* What the operation did not bring is still in the socket. */
	assert_in_range(op.bytes, 8, 80);
	if (op.bytes < 80)
		assert_int_equal(recv(sockets[0], text, sizeof(text), 0), 80 - op.bytes);
	assert_int_equal(t_stats(backend).buffers_lent, 0);
	close_both(sockets);
	rota_backend_destroy(backend);
}

/* ---- zero copy ---- */

/* More than the sockets between them hold. */
#define MUCH (8u << 20)

/* Sends whose notification does not come because nobody reads are cancelled, more than may be. */
static void test_zero_copy_cancelled_sends_wait_for_their_notification(void **state)
{
	enum { COUNT = 40 };
	struct rota_backend *backend = engine_with("zero-copy=1", URING_ZERO_COPY);
	char *much = calloc(1, MUCH);
	struct t_op sends[COUNT], poll_op = { .op = { .kind = ROTA_OP_POLL, .events = POLLIN } };
	int sockets[COUNT][2];

	(void)state;
	assert_non_null(much);
	for (int i = 0; i < COUNT; i++) {
		tcp_pair(backend, sockets[i]);
		sends[i] = (struct t_op){
			.op = { .kind = ROTA_OP_SEND, .fd = sockets[i][0], .send = { much, MUCH } }
		};
		t_submit(backend, &sends[i]);
	}
	/* Half of them are asked to end before they leave, half when they wait to be told. */
	for (int i = 0; i < COUNT; i += 2)
		backend->ops->cancel(backend, &sends[i].op);
	for (int i = 0; i < 20; i++)
		t_poll(backend, 0);
	for (int i = 1; i < COUNT; i += 2)
		backend->ops->cancel(backend, &sends[i].op);
	/* The others' cancel requests are not held up by them. */
	poll_op.op.fd = sockets[0][0];
	t_submit(backend, &poll_op);
	backend->ops->cancel(backend, &poll_op.op);
	t_run(backend, poll_op.terminals);
	assert_int_equal(poll_op.result, -ECANCELED);
	assert_int_equal(uring__engine(backend)->cancels_sent, 0);
	/* Cut off, each ends once, whatever it had sent by then. */
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(backend->ops->shutdown(backend, sockets[i][0], ROTA_SHUT_RESET),
				 0);
	for (int i = 0; i < COUNT; i++) {
		t_run(backend, sends[i].terminals);
		assert_int_equal(sends[i].completions, 1);
		assert_true(sends[i].result > 0 || sends[i].result == -ECANCELED);
		close_both(sockets[i]);
	}
	free(much);
	rota_backend_destroy(backend);
}

/* A Unix socket cannot do it, and an unprivileged process may lock too little: it is copied. */
static void test_zero_copy_where_the_socket_cannot_is_copied(void **state)
{
	struct rota_backend *backend = engine_with("zero-copy=4", URING_ZERO_COPY);
	struct iovec pieces[2] = { { "two ", 4 }, { "pieces", 6 } };
	struct msghdr message = { .msg_iov = pieces, .msg_iovlen = 2 };
	struct t_op send = { .op = { .kind = ROTA_OP_SEND, .send = { "plain", 5 } } };
	struct t_op gather = { .op = { .kind = ROTA_OP_SEND_MESSAGE, .message = &message } };
	char text[32] = { 0 };
	int sockets[2];

	(void)state;
	t_pair(sockets);
	send.op.fd = gather.op.fd = sockets[0];
	t_submit(backend, &send);
	t_run(backend, send.terminals);
	t_submit(backend, &gather);
	t_run(backend, gather.terminals);
	assert_int_equal(send.result, 5);
	assert_int_equal(gather.result, 10);
	assert_int_equal(read(sockets[1], text, sizeof(text)), 15);
	assert_string_equal(text, "plaintwo pieces");
	close_both(sockets);
	rota_backend_destroy(backend);
}

/* ---- direct descriptors ---- */

/*
 * The receive ends between the send's submit() and the enter that takes it along: the slot which
 * its request names is empty then.
 */
static void test_direct_send_whose_slot_went_away_is_sent(void **state)
{
	struct rota_backend *backend = engine_with("direct=on", URING_DIRECT);
	struct t_op receive = { .op = { .kind = ROTA_OP_RECEIVE } };
	struct t_op send = { .op = { .kind = ROTA_OP_SEND, .send = { "late", 4 } } };
	char text[8];
	int sockets[2];

	(void)state;
	t_pair(sockets);
	receive.op.fd = send.op.fd = sockets[0];
	t_submit(backend, &receive);
	t_poll(backend, 0);
	assert_true(uring__direct_has(uring__engine(backend), sockets[0]));
	/* The end of stream waits in the socket; a first enter brings it into the queue. */
	assert_int_equal(shutdown(sockets[1], SHUT_WR), 0);
	assert_int_equal(uring__enter(uring__engine(backend), true, 1, ROTA_NEVER), 0);
	t_submit(backend, &send);
	t_run(backend, send.terminals);
	assert_int_equal(receive.terminals, 1);
	assert_int_equal(send.result, 4);
	assert_false(uring__direct_has(uring__engine(backend), sockets[0]));
	assert_int_equal(read(sockets[1], text, sizeof(text)), 4);
	close_both(sockets);
	rota_backend_destroy(backend);
}

/* No slot holds a connection open that its owner has closed, nor means the next one. */
static void test_direct_closed_connection_ends_at_once(void **state)
{
	struct rota_backend *backend = engine_with("direct=on", URING_DIRECT);
	struct t_op waits = { .op = { .kind = ROTA_OP_RECEIVE } };
	int waiting[2];

	(void)state;
	t_pair(waiting);
	waits.op.fd = waiting[0];
	t_submit(backend, &waits);
	for (int round = 0; round < 50; round++) {
		struct t_op receive = { .op = { .kind = ROTA_OP_RECEIVE } };
		int sockets[2];
		char byte;

		t_pair(sockets);
		receive.op.fd = sockets[0];
		t_submit(backend, &receive);
		say(sockets[1], "hello");
		t_run(backend, receive.bytes == 5);
		end_receive(backend, &receive);
		t_close_fd(backend, sockets[0]);
		assert_int_equal(read(sockets[1], &byte, 1), 0);
		close(sockets[1]);
	}
	end_receive(backend, &waits);
	close_both(waiting);
	rota_backend_destroy(backend);
}

/* ---- skipped completions of sends ---- */

static struct t_op patient_send(const char *data, size_t bytes)
{
	return (struct t_op){
		.op = { .kind = ROTA_OP_SEND, .send = { data, bytes }, .flags_ = ROTA_OP_PATIENT }
	};
}

/* One enter submits the send and waits for what comes next. */
static void test_send_skip_sleeps_in_the_enter_that_sends(void **state)
{
	struct rota_backend *backend = engine_with("send-skip=on", URING_SEND_SKIP);
	struct t_op sending = patient_send("answer", 6);
	struct rota_backend_stats before, after;
	int sockets[2];
	rota_ns deadline;

	(void)state;
	t_pair(sockets);
	sending.op.fd = sockets[0];
	for (int i = 0; i < 3; i++) {
		sending.op.flags_ = ROTA_OP_PATIENT;
		t_submit(backend, &sending);
		backend->ops->stats(backend, &before);
		deadline = backend->ops->now(backend) + 3 * ROTA_NS_PER_MS;
		assert_int_equal(t_poll(backend, deadline), 1);
		assert_int_equal(sending.result, 6);
		assert_int_equal(sending.flags, ROTA_COMPLETION_LATE);
		assert_true(backend->ops->now(backend) >= deadline);
		backend->ops->stats(backend, &after);
		assert_int_equal(after.polls - before.polls, 1);
	}
	close_both(sockets);
	rota_backend_destroy(backend);
}

/* After an enter with many requests the sends have completions of their own. */
static void test_send_skip_speaks_among_many(void **state)
{
	enum { COUNT = 12 };
	struct rota_backend *backend = engine_with("send-skip=on", URING_SEND_SKIP);
	struct t_op sends[COUNT];
	int sockets[2];

	(void)state;
	t_pair(sockets);
	for (int i = 0; i < COUNT; i++) {
		sends[i] = patient_send("x", 1);
		sends[i].op.fd = sockets[0];
	}
	for (unsigned round = 1; round <= 2; round++) {
		for (int i = 0; i < COUNT; i++) {
			sends[i].op.flags_ = ROTA_OP_PATIENT;
			t_submit(backend, &sends[i]);
		}
		assert_int_equal(t_poll(backend, 0), COUNT);
		for (int i = 0; i < COUNT; i++) {
			assert_int_equal(sends[i].terminals, round);
			assert_int_equal(sends[i].flags, round == 1 ? ROTA_COMPLETION_LATE : 0);
		}
	}
	close_both(sockets);
	rota_backend_destroy(backend);
}

/* All of it, a part, none, and to nobody: what the owner is told is what happened. */
static void test_send_skip_tells_short_and_failed_sends(void **state)
{
	struct rota_backend *backend = engine_with("send-skip=on", URING_SEND_SKIP);
	char *much = calloc(1, MUCH);
	struct t_op all = patient_send("all", 3);
	struct t_op part = patient_send(much, MUCH);
	struct t_op none = patient_send("none", 4);
	char buffer[65536];
	int sockets[2];

	(void)state;
	assert_non_null(much);
	t_pair(sockets);
	all.op.fd = part.op.fd = none.op.fd = sockets[0];
	t_submit(backend, &all);
	backend->ops->cancel(backend, &all.op);
	/* One poll: it does not wait for what comes without a CQE. */
	assert_int_equal(t_poll(backend, ROTA_NEVER), 1);
	assert_int_equal(all.result, 3);
	t_submit(backend, &part);
	assert_int_equal(t_poll(backend, ROTA_NEVER), 1);
	assert_in_range(part.result, 1, MUCH - 1);
	t_submit(backend, &none);
	for (int i = 0; i < 5; i++)
		t_poll(backend, 0);
	assert_int_equal(none.completions, 0);
	while (read(sockets[1], buffer, sizeof(buffer)) > 0)
		;
	t_run(backend, none.terminals);
	assert_int_equal(none.result, 4);
	close(sockets[1]);
	t_submit(backend, &all);
	t_run(backend, all.terminals == 2);
	assert_int_equal(all.result, -EPIPE);
	close(sockets[0]);
	free(much);
	rota_backend_destroy(backend);
}

/*
 * A small completion queue, full of others' completions: those of failed sends are kept aside, and
 * the silence of these sends must not be taken for success.
 */
static void test_send_skip_overflow_is_not_taken_for_success(void **state)
{
	enum { COUNT = 6 };
	struct rota_backend *backend = engine_with("send-skip=on,sq=8,cq=8", URING_SEND_SKIP);
	static struct t_op polls[200], sends[COUNT];
	int watched[2], gone[2];

	(void)state;
	t_pair(watched);
	t_pair(gone);
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(polls); i++) {
		polls[i] = (struct t_op){
			.op = { .kind = ROTA_OP_POLL, .fd = watched[0], .events = POLLIN }
		};
		t_submit(backend, &polls[i]);
	}
	t_poll(backend, 0);
	say(watched[1], "x");
	/* More completions than the queue holds, by an enter that nobody collects after. */
	assert_int_equal(uring__enter(uring__engine(backend), true, 0, 0), 0);
	assert_true(*uring__engine(backend)->ring.sq.kflags & IORING_SQ_CQ_OVERFLOW);
	close(gone[1]);
	for (int i = 0; i < COUNT; i++) {
		sends[i] = (struct t_op){ .op = { .kind = ROTA_OP_SEND,
						  .fd = gone[0],
						  .send = { "x", 1 },
						  .flags_ = ROTA_OP_PATIENT } };
		t_submit(backend, &sends[i]);
	}
	for (int i = 0; i < COUNT; i++) {
		t_run(backend, sends[i].terminals);
		assert_int_equal(sends[i].result, -EPIPE);
		assert_int_equal(sends[i].completions, 1);
	}
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(polls); i++)
		t_run(backend, polls[i].terminals);
	close(gone[0]);
	close_both(watched);
	rota_backend_destroy(backend);
}

/* ---- busy polling ---- */

/* It looks for as long as it was told, sleeps then, and keeps the deadline. */
static void test_busy_poll_gives_up_and_sleeps(void **state)
{
	struct rota_backend *backend = t_engine("busy-poll-us=1000");
	rota_ns deadline;
	uint64_t polls;

	(void)state;
	t_poll(backend, 0);
	polls = t_stats(backend).polls;
	deadline = rota_now() + 5 * ROTA_NS_PER_MS;
	assert_int_equal(t_poll(backend, deadline), 0);
	assert_true(rota_now() >= deadline);
	assert_int_equal(t_stats(backend).polls, polls + 1);
	/* A deadline within that time is kept without sleeping. */
	deadline = rota_now() + 200 * ROTA_NS_PER_US;
	assert_int_equal(t_poll(backend, deadline), 0);
	assert_true(rota_now() >= deadline);
	assert_in_range(t_stats(backend).polls, polls + 1, polls + 2);
	rota_backend_destroy(backend);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_incremental_slow_reader_pins_one_buffer_and_no_more),
		cmocka_unit_test(test_incremental_exhaustion_ends_with_the_last_view),
		cmocka_unit_test(test_bundle_is_told_buffer_by_buffer),
		cmocka_unit_test(test_bundle_cancelled_half_way_loses_nothing),
		cmocka_unit_test(test_zero_copy_cancelled_sends_wait_for_their_notification),
		cmocka_unit_test(test_zero_copy_where_the_socket_cannot_is_copied),
		cmocka_unit_test(test_direct_send_whose_slot_went_away_is_sent),
		cmocka_unit_test(test_direct_closed_connection_ends_at_once),
		cmocka_unit_test(test_send_skip_sleeps_in_the_enter_that_sends),
		cmocka_unit_test(test_send_skip_speaks_among_many),
		cmocka_unit_test(test_send_skip_tells_short_and_failed_sends),
		cmocka_unit_test(test_send_skip_overflow_is_not_taken_for_success),
		cmocka_unit_test(test_busy_poll_gives_up_and_sleeps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
