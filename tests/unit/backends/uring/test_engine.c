/* SPDX-License-Identifier: MIT */
/*
 * The uring engine's turn and its lists: full queues, overflow, mass cancel, wake-ups, exhaustion.
 * What every engine must do is in tests/contract; here is what only this one can get wrong. One
 * thread, but for the waker.
 */
#include <pthread.h>

#include "tests/unit/backends/uring/support.h"

static int a_listener(struct rota_backend *backend, struct rota_address *address)
{
	struct rota_listen_options options = { .backlog = 64 };
	int fd;

	assert_int_equal(rota_address_parse(&options.address, "127.0.0.1", 0), 0);
	fd = backend->ops->listen(backend, &options);
	assert_true(fd >= 0);
	assert_int_equal(backend->ops->address(backend, fd, false, address), 0);
	return fd;
}

static void test_engine_idle_poll_enters_nothing(void **state)
{
	struct rota_backend *backend = t_engine("");
	uint64_t before;

	(void)state;
	/* given: everything open() prepared has left */
	t_poll(backend, 0);
	before = t_stats(backend).system_calls;
	/* when */
	for (int i = 0; i < 100; i++)
		assert_int_equal(t_poll(backend, 0), 0);
	/* then */
	assert_int_equal(t_stats(backend).system_calls, before);
	rota_backend_destroy(backend);
}

/*
 * A connection made, accepted, written to, read from, ended and closed, with every option that
 * changes how.
 */
static void test_engine_round_trip_works_with_options(void **state)
{
	static const char *const variants[] = {
		"",
		"multishot=off",
		"registered-ring=off",
		"taskrun=coop",
		"taskrun=none",
		"sqpoll=on",
		"min-wait-us=200",
		"iowait=on",
		"sq=1,cq=1",
		"sq=2,cq=2,multishot=off",
		"sq=1,cq=2,sqpoll=on",
		"buffers=1x1",
		"pretend-kernel=6.1",
		"pretend-kernel=6.12",
		"incremental=on,buffers=1x1",
		"bundles=on,buffers=2x1",
		"direct=on,sq=1,cq=1",
		"zero-copy=1,sq=1,cq=1",
		"send-skip=off,sq=1,cq=1",
		"busy-poll-us=10",
	};

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(variants); i++) {
		struct rota_backend *backend = t_engine(variants[i]);
		struct rota_address address;
		int listener = a_listener(backend, &address);
		struct t_op accept_op = { .op = { .kind = ROTA_OP_ACCEPT, .fd = listener } };
		struct t_op connect_op = { .op = { .kind = ROTA_OP_CONNECT, .address = &address } };
		char text[3000];
		struct t_op send_op = { .op = { .kind = ROTA_OP_SEND,
						.send = { text, sizeof(text) } } };
		struct t_op receive_op = { .op = { .kind = ROTA_OP_RECEIVE } };

		print_message("options: %s\n", variants[i]);
		memset(text, 'r', sizeof(text));
		t_submit(backend, &accept_op);
		t_submit(backend, &connect_op);
		t_run(backend, accept_op.completions && connect_op.terminals);
		assert_int_equal(accept_op.terminals, 0);
		send_op.op.fd = connect_op.result;
		receive_op.op.fd = accept_op.result;
		assert_int_equal(fcntl(receive_op.op.fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
		assert_int_equal(fcntl(receive_op.op.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		t_submit(backend, &receive_op);
		t_submit(backend, &send_op);
		t_run(backend, send_op.terminals);
		assert_int_equal(send_op.result, sizeof(text));
		assert_int_equal(backend->ops->shutdown(backend, send_op.op.fd, SHUT_WR), 0);
		/* one-shot, or out of buffers: again, until the end of the stream */
		do {
			receive_op.terminals = 0;
			if (!receive_op.op.state_)
				t_submit(backend, &receive_op);
			t_run(backend, receive_op.terminals);
		} while (receive_op.result > 0 || receive_op.result == -ENOBUFS);
		assert_int_equal(receive_op.result, 0);
		assert_int_equal(receive_op.bytes, sizeof(text));
		backend->ops->cancel(backend, &accept_op.op);
		t_run(backend, accept_op.terminals);
		assert_int_equal(accept_op.result, -ECANCELED);
		t_close_fd(backend, send_op.op.fd);
		t_close_fd(backend, receive_op.op.fd);
		t_close_fd(backend, listener);
		assert_int_equal(t_stats(backend).unknown, 0);
		assert_int_equal(t_stats(backend).buffers_lent, 0);
		rota_backend_destroy(backend);
	}
}

static void submit_polls(struct rota_backend *backend, struct t_op *ops, unsigned count, int fd)
{
	for (unsigned i = 0; i < count; i++) {
		ops[i] =
			(struct t_op){ .op = { .kind = ROTA_OP_POLL, .fd = fd, .events = POLLIN } };
		t_submit(backend, &ops[i]);
	}
}

static unsigned ended(const struct t_op *ops, unsigned count)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < count; i++)
		sum += ops[i].terminals;
	return sum;
}

static void test_engine_burst_larger_than_sq_all_complete(void **state)
{
	enum { COUNT = 500 };
	struct rota_backend *backend = t_engine("sq=4,cq=8");
	static struct t_op ops[COUNT];
	int sockets[2];

	(void)state;
	/* given: many more operations than SQ and CQ hold */
	t_pair(sockets);
	submit_polls(backend, ops, COUNT, sockets[0]);
	assert_true(t_stats(backend).submission_full >= COUNT / 4 - 2);
	/* when: they all complete at once */
	assert_int_equal(write(sockets[1], "x", 1), 1);
	t_run(backend, ended(ops, COUNT) == COUNT);
	/* then */
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(ops[i].result & POLLIN, POLLIN);
	assert_true(t_stats(backend).overflows > 0);
	assert_int_equal(t_stats(backend).completions, COUNT);
	close(sockets[0]);
	close(sockets[1]);
	rota_backend_destroy(backend);
}

static void test_engine_mass_cancel_ends_every_operation_once(void **state)
{
	enum { COUNT = 100000 };
	struct rota_backend *backend = t_engine("");
	struct t_op *ops = calloc(COUNT, sizeof(*ops));
	int sockets[2];
	rota_ns start, called;

	(void)state;
	assert_non_null(ops);
	/* given */
	t_pair(sockets);
	submit_polls(backend, ops, COUNT, sockets[0]);
	t_poll(backend, 0);
	/* when */
	start = rota_now();
	for (unsigned i = 0; i < COUNT; i++)
		backend->ops->cancel(backend, &ops[i].op);
	called = rota_now();
	t_run(backend, t_stats(backend).completions == COUNT);
	print_message("100000 cancels: calls %.1f ms, all ended %.1f ms\n",
		      (double)(called - start) / 1e6, (double)(rota_now() - start) / 1e6);
	/* then */
	for (unsigned i = 0; i < COUNT; i++) {
		assert_int_equal(ops[i].terminals, 1);
		assert_int_equal(ops[i].result, -ECANCELED);
		assert_int_equal(ops[i].op.state_, 0);
	}
	assert_int_equal(t_stats(backend).unknown, 0);
	close(sockets[0]);
	close(sockets[1]);
	rota_backend_destroy(backend);
	free(ops);
}

/* Operations that end by themselves while their cancel requests still wait for a slot. */
static void test_engine_completion_while_cancel_is_queued_is_delivered_once(void **state)
{
	enum { COUNT = 300 };
	struct rota_backend *backend = t_engine("sq=2,cq=2");
	static struct t_op ops[COUNT];
	int sockets[2];

	(void)state;
	t_pair(sockets);
	submit_polls(backend, ops, COUNT, sockets[0]);
	t_poll(backend, 0);
	for (unsigned i = 0; i < COUNT; i++)
		backend->ops->cancel(backend, &ops[i].op);
	assert_int_equal(write(sockets[1], "x", 1), 1);
	t_run(backend, ended(ops, COUNT) == COUNT);
	for (unsigned i = 0; i < COUNT; i++) {
		assert_int_equal(ops[i].completions, 1);
		if (ops[i].result != -ECANCELED)
			assert_int_equal(ops[i].result & POLLIN, POLLIN);
	}
	/* and nothing is left on the lists */
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(t_poll(backend, 0), 0);
	close(sockets[0]);
	close(sockets[1]);
	rota_backend_destroy(backend);
}

static void test_engine_cancel_before_poll_ends_operation(void **state)
{
	struct rota_backend *backend = t_engine("");
	struct t_op op = { .op = { .kind = ROTA_OP_RECEIVE } };
	int sockets[2];

	(void)state;
	t_pair(sockets);
	op.op.fd = sockets[0];
	/* when: both requests leave with the same enter; asking again does no harm */
	t_submit(backend, &op);
	backend->ops->cancel(backend, &op.op);
	backend->ops->cancel(backend, &op.op);
	t_run(backend, op.terminals);
	backend->ops->cancel(backend, &op.op);
	/* then */
	assert_int_equal(op.completions, 1);
	assert_int_equal(op.result, -ECANCELED);
	assert_int_equal(t_poll(backend, 0), 0);
	close(sockets[0]);
	close(sockets[1]);
	rota_backend_destroy(backend);
}

static void test_engine_exhausted_buffers_end_receive_and_recover(void **state)
{
	struct rota_backend *backend = t_engine("buffers=2x16");
	struct t_op op = { .op = { .kind = ROTA_OP_RECEIVE }, .keep = true };
	char text[64] = { 0 };
	int sockets[2];

	(void)state;
	/* given: more bytes than all buffers hold, and a receiver who keeps them */
	t_pair(sockets);
	op.op.fd = sockets[0];
	assert_int_equal(write(sockets[1], text, sizeof(text)), sizeof(text));
	t_submit(backend, &op);
	t_run(backend, op.terminals);
	assert_int_equal(op.result, -ENOBUFS);
	assert_int_equal(op.bytes, 32);
	assert_int_equal(t_stats(backend).buffers_exhausted, 1);
	assert_int_equal(t_stats(backend).buffers_lent, 2);
	/* when: they come back */
	backend->ops->buffer_return(backend, 0);
	backend->ops->buffer_return(backend, 1);
	op.keep = false;
	op.terminals = 0;
	t_submit(backend, &op);
	t_run(backend, op.bytes == sizeof(text));
	/* then: the rest arrived, in pieces; the receive may have run dry again between */
	if (!op.terminals)
		backend->ops->cancel(backend, &op.op);
	t_run(backend, op.terminals);
	assert_int_equal(t_stats(backend).buffers_lent, 0);
	close(sockets[0]);
	close(sockets[1]);
	rota_backend_destroy(backend);
}

static void *wake_many(void *arg)
{
	struct rota_backend *backend = arg;

	for (int i = 0; i < 1000; i++)
		backend->ops->wake(backend);
	return NULL;
}

static void test_engine_wakes_merge_and_none_is_lost(void **state)
{
	struct rota_backend *backend = t_engine("");
	pthread_t thread;

	(void)state;
	/* given: woken before the first poll */
	backend->ops->wake(backend);
	backend->ops->wake(backend);
	assert_int_equal(t_poll(backend, ROTA_NEVER), 0);
	assert_int_equal(t_stats(backend).wakes, 1);
	/* when: another thread wakes while we wait for ever */
	assert_int_equal(pthread_create(&thread, NULL, wake_many, backend), 0);
	t_poll(backend, ROTA_NEVER);
	assert_int_equal(pthread_join(thread, NULL), 0);
	/* then: and what may have come since is one more wake at most */
	t_poll(backend, 0);
	backend->ops->wake(backend);
	t_poll(backend, ROTA_NEVER);
	assert_true(t_stats(backend).wakes >= 3);
	rota_backend_destroy(backend);
}

/*
 * A completion queue of two: the eventfd's own completions overflow, which ends its multishot poll.
 */
static void test_engine_wake_survives_overflow(void **state)
{
	enum { COUNT = 64 };
	struct rota_backend *backend = t_engine("sq=1,cq=1");
	static struct t_op ops[COUNT];
	int sockets[2];

	(void)state;
	t_pair(sockets);
	for (int round = 0; round < 20; round++) {
		submit_polls(backend, ops, COUNT, sockets[0]);
		backend->ops->wake(backend);
		assert_int_equal(write(sockets[1], "x", 1), 1);
		t_run(backend, ended(ops, COUNT) == COUNT);
		assert_int_equal(recv(sockets[0], (char[1]){ 0 }, 1, 0), 1);
		t_run(backend, t_stats(backend).wakes > (uint64_t)round);
	}
	close(sockets[0]);
	close(sockets[1]);
	rota_backend_destroy(backend);
}

static void test_engine_deadline_is_kept(void **state)
{
	static const char *const variants[] = { "", "pretend-kernel=6.1", "min-wait-us=100" };

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(variants); i++) {
		struct rota_backend *backend = t_engine(variants[i]);
		rota_ns deadline = rota_now() + 20 * ROTA_NS_PER_MS;

		t_poll(backend, 1); /* long past: no wait, or this would never end */
		while (rota_now() < deadline)
			assert_int_equal(t_poll(backend, deadline), 0);
		assert_true(t_stats(backend).polls <= 4);
		rota_backend_destroy(backend);
	}
}

static void test_engine_steady_state_is_one_enter_per_turn(void **state)
{
	struct rota_backend *backend = t_engine("");
	struct t_op receive_op = { .op = { .kind = ROTA_OP_RECEIVE } };
	struct rota_backend_stats before, after;
	int sockets[2];

	(void)state;
	t_pair(sockets);
	receive_op.op.fd = sockets[0];
	t_submit(backend, &receive_op);
	t_poll(backend, 0);
	before = t_stats(backend);
	/* when: 100 turns of send and receive */
	for (int i = 0; i < 100; i++) {
		struct t_op send_op = {
			.op = { .kind = ROTA_OP_SEND, .fd = sockets[1], .send = { "x", 1 } }
		};
		uint64_t bytes = receive_op.bytes;

		t_submit(backend, &send_op);
		t_run(backend, send_op.terminals && receive_op.bytes > bytes);
	}
	after = t_stats(backend);
	/* then: a send and what it brings arrive together, or one enter later */
	assert_true(after.system_calls - before.system_calls <= 200);
	assert_int_equal(after.system_calls - before.system_calls, after.polls - before.polls);
	backend->ops->cancel(backend, &receive_op.op);
	t_run(backend, receive_op.terminals);
	close(sockets[0]);
	close(sockets[1]);
	rota_backend_destroy(backend);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_engine_idle_poll_enters_nothing),
		cmocka_unit_test(test_engine_round_trip_works_with_options),
		cmocka_unit_test(test_engine_burst_larger_than_sq_all_complete),
		cmocka_unit_test(test_engine_mass_cancel_ends_every_operation_once),
		cmocka_unit_test(test_engine_completion_while_cancel_is_queued_is_delivered_once),
		cmocka_unit_test(test_engine_cancel_before_poll_ends_operation),
		cmocka_unit_test(test_engine_exhausted_buffers_end_receive_and_recover),
		cmocka_unit_test(test_engine_wakes_merge_and_none_is_lost),
		cmocka_unit_test(test_engine_wake_survives_overflow),
		cmocka_unit_test(test_engine_deadline_is_kept),
		cmocka_unit_test(test_engine_steady_state_is_one_enter_per_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
