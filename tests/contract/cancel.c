/* SPDX-License-Identifier: MIT */
/*
 * Engine contract: cancel() of every kind of operation, before the kernel has heard of it, in
 * flight, and when its result is already there. Layer: tests; see contract.h.
 *
 * The one idea: cancel is a hint, so most tests allow both ends, but whatever an operation says it
 * did must be true: bytes it reports are the peer's, bytes it does not report are still to be read,
 * descriptors it made are reported or closed.
 */
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/contract/contract.h"

/* ---- before the first poll() ---- */

static void test_cancel_before_poll_ends_each_stream_and_poll_once(void **state)
{
	struct t_world *world = *state;
	struct rota_address address;
	int listener = t_listen(world, &address, 8);
	struct t_op *ops[3];
	int client, server;

	t_pair(world, &client, &server);
	ops[0] = t_accept(world, listener);
	ops[1] = t_receive(world, server);
	ops[2] = t_poll_op(world, client, POLLIN);
	for (int i = 0; i < 3; i++)
		t_ask_cancel(ops[i]);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(t_finish(ops[i]), -ECANCELED);
		assert_int_equal(ops[i]->completions, 1);
	}
	t_settle(world);
	t_close(world, client);
	t_close(world, server);
	t_close(world, listener);
}

static void test_cancel_twice_ends_once(void **state)
{
	struct t_world *world = *state;
	struct t_op *op;
	int client, server;

	t_pair(world, &client, &server);
	for (int turns = 0; turns < 3; turns++) {
		op = t_receive(world, server);
		for (int i = 0; i < turns; i++)
			t_turn(world, 0);
		t_ask_cancel(op);
		t_ask_cancel(op);
		assert_int_equal(t_finish(op), -ECANCELED);
		t_settle(world);
		assert_int_equal(op->completions, 1);
	}
	t_close(world, client);
	t_close(world, server);
}

/*
 * What the peer gets is exactly what the operations said they had sent. It reads only afterwards,
 * but where a send may be lent for as long as it does not.
 */
static void cancel_sends(struct t_world *world, size_t bytes, int turns)
{
	bool keeps_sends = world->backend->features & ROTA_BACKEND_KEEPS_SENDS;
	struct t_op *sending, *receiving = NULL;
	size_t received = 0;
	int client, server;

	t_pair(world, &client, &server);
	sending = t_send(world, client, t_pattern(), bytes);
	for (int i = 0; i < turns; i++)
		t_turn(world, 0);
	if (!sending->done)
		t_ask_cancel(sending);
	if (keeps_sends)
		receiving = t_receive(world, server);
	t_finish(sending);
	assert_true(sending->result > 0 || sending->result == -ECANCELED);
	assert_int_equal(world->ops->shutdown(world->backend, client, SHUT_WR), 0);
	do {
		if (!receiving)
			receiving = t_receive(world, server);
		t_finish(receiving);
		assert_memory_equal(receiving->data.data, t_pattern() + received,
				    receiving->data.bytes);
		received += receiving->data.bytes;
		if (receiving->result > 0 || receiving->result == -ENOBUFS)
			receiving = NULL;
	} while (!receiving);
	assert_int_equal(receiving->result, 0);
	assert_int_equal(received, sending->result > 0 ? sending->result : 0);
	t_close(world, client);
	t_close(world, server);
}

static void test_cancel_send_before_poll_sends_what_it_says(void **state)
{
	cancel_sends(*state, 100, 0);
	cancel_sends(*state, 4 << 20, 0);
}

static void test_cancel_send_after_poll_sends_what_it_says(void **state)
{
	cancel_sends(*state, 100, 1);
	cancel_sends(*state, 4 << 20, 1);
	cancel_sends(*state, 4 << 20, 2);
}

/* ---- in flight ---- */

static void test_cancel_in_flight_ends_each_kind_once(void **state)
{
	struct t_world *world = *state;
	struct rota_address address;
	int listener = t_listen(world, &address, 8);
	struct t_op *ops[3];
	int client, server;

	t_pair(world, &client, &server);
	ops[0] = t_accept(world, listener);
	ops[1] = t_receive(world, server);
	ops[2] = t_poll_op(world, client, POLLIN);
	t_settle(world);
	for (int i = 0; i < 3; i++) {
		assert_false(ops[i]->done);
		assert_int_equal(t_cancel(ops[i]), -ECANCELED);
	}
	t_settle(world);
	for (int i = 0; i < 3; i++)
		assert_int_equal(ops[i]->completions, 1);
	t_close(world, client);
	t_close(world, server);
	t_close(world, listener);
}

static void test_cancel_of_one_leaves_the_others_on_that_socket(void **state)
{
	struct t_world *world = *state;
	struct t_op *receiving, *polling, *other;
	int client, server;

	t_pair(world, &client, &server);
	receiving = t_receive(world, server);
	polling = t_poll_op(world, server, POLLRDHUP);
	other = t_poll_op(world, server, POLLRDHUP);
	t_settle(world);
	assert_int_equal(t_cancel(polling), -ECANCELED);
	t_send_all(world, client, "x", 1);
	t_until_received(receiving, 1);
	assert_int_equal(t_cancel(receiving), -ECANCELED);
	t_settle(world);
	assert_false(other->done);
	assert_int_equal(world->ops->shutdown(world->backend, client, SHUT_WR), 0);
	assert_true(t_finish(other) & POLLRDHUP);
	t_close(world, client);
	t_close(world, server);
}

/* ---- the result is there, but has not been reaped ---- */

static void test_cancel_receive_with_data_waiting_loses_no_byte(void **state)
{
	struct t_world *world = *state;

	for (int round = 0; round < 20; round++) {
		struct t_op *op;
		int client, server;

		t_pair(world, &client, &server);
		op = t_receive(world, server);
		if (round % 2)
			t_settle(world);
		/*
		 * Written behind the engine's back where that is possible, so that it can't have
		 * seen it.
		 */
		if (world->simulated)
			t_send_all(world, client, t_pattern(), 1000);
		else
			assert_int_equal(send(client, t_pattern(), 1000, 0), 1000);
		t_ask_cancel(op);
		t_finish(op);
		/* It may have been at work already, and have found no buffer. */
		assert_true(op->result == -ECANCELED || op->result > 0 || op->result == -ENOBUFS);
		assert_memory_equal(op->data.data, t_pattern(), op->data.bytes);
		t_expect(world, server, t_pattern() + op->data.bytes, 1000 - op->data.bytes);
		t_close(world, client);
		t_close(world, server);
	}
}

static void test_cancel_receive_with_completions_left_delivers_them_first(void **state)
{
	struct t_world *world = *state;
	struct t_op *op;
	size_t before;
	int client, server;

	t_pair(world, &client, &server);
	op = t_receive(world, server);
	t_settle(world);
	world->out_max = 1;
	t_send_all(world, client, t_pattern(), 3000);
	t_until_received(op, 1);
	before = op->data.bytes;
	t_ask_cancel(op);
	t_finish(op);
	world->out_max = 256;
	assert_in_range(op->data.bytes, before, 3000);
	t_expect(world, server, t_pattern() + op->data.bytes, 3000 - op->data.bytes);
	t_close(world, client);
	t_close(world, server);
}

static void test_cancel_accept_with_a_connection_waiting_leaks_nothing(void **state)
{
	struct t_world *world = *state;

	for (int round = 0; round < 10; round++) {
		struct rota_address address;
		int listener = t_listen(world, &address, 8);
		struct t_op *accepting = t_accept(world, listener);
		struct t_op *connecting, *again;

		if (round % 2)
			t_settle(world);
		connecting = t_connect(world, &address);
		t_turn(world, 0);
		if (!accepting->done)
			t_ask_cancel(accepting);
		assert_int_equal(t_finish(accepting), -ECANCELED);
		t_finish(connecting);
		assert_true(connecting->result >= 0);
		/* Accepted then or acceptable now, exactly one of the two. */
		again = t_accept(world, listener);
		if (!accepting->fd_count)
			t_until_completions(again, 1);
		t_settle(world);
		assert_int_equal(accepting->fd_count + again->fd_count, 1);
		t_cancel(again);
		t_close(world, accepting->fd_count ? accepting->fds[0] : again->fds[0]);
		t_close(world, connecting->result);
		t_close(world, listener);
	}
}

static void test_cancel_poll_that_is_ready_ends_once(void **state)
{
	struct t_world *world = *state;
	int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

	for (int turns = 0; turns < 3; turns++) {
		struct t_op *op = t_poll_op(world, fd, POLLIN);

		for (int i = 0; i < turns; i++)
			t_turn(world, 0);
		if (!op->done)
			t_ask_cancel(op);
		t_finish(op);
		assert_true(op->result == POLLIN || op->result == -ECANCELED);
	}
	close(fd);
}

/* ---- many at once ---- */

static void test_cancel_of_everything_at_random_ends_everything_once(void **state)
{
	enum { OPS = 300 };
	struct t_world *world = *state;
	struct t_op *ops[OPS];
	uint32_t random = 7;
	int client, server;

	t_pair(world, &client, &server);
	for (int i = 0; i < OPS; i++) {
		random = random * 1664525u + 1013904223u;
		switch (random >> 28 & 3) {
		case 0:
			ops[i] = t_send(world, client, t_pattern(), 1 + (random >> 16 & 1023));
			break;
		case 1:
			ops[i] = t_poll_op(world, server, POLLIN);
			break;
		case 2:
			ops[i] = t_poll_op(world, client, POLLRDHUP);
			break;
		default:
			ops[i] = t_receive(world, server);
		}
		if (random >> 30 == 0)
			t_turn(world, 0);
		random = random * 1664525u + 1013904223u;
		if (!ops[(random >> 8) % (unsigned)(i + 1)]->done)
			t_ask_cancel(ops[(random >> 8) % (unsigned)(i + 1)]);
	}
	for (int i = 0; i < OPS; i++)
		if (!ops[i]->done)
			t_ask_cancel(ops[i]);
	for (int i = 0; i < OPS; i++)
		t_finish(ops[i]);
	t_settle(world);
	t_close(world, client);
	t_close(world, server);
}

const struct t_test t_cancel_tests[] = {
	T_TEST(test_cancel_before_poll_ends_each_stream_and_poll_once),
	T_TEST(test_cancel_twice_ends_once),
	T_TEST(test_cancel_send_before_poll_sends_what_it_says),
	T_TEST(test_cancel_send_after_poll_sends_what_it_says),
	T_TEST(test_cancel_in_flight_ends_each_kind_once),
	T_TEST(test_cancel_of_one_leaves_the_others_on_that_socket),
	T_TEST(test_cancel_receive_with_data_waiting_loses_no_byte),
	T_TEST(test_cancel_receive_with_completions_left_delivers_them_first),
	T_TEST(test_cancel_accept_with_a_connection_waiting_leaks_nothing),
	T_KERNEL_TEST(test_cancel_poll_that_is_ready_ends_once, "eventfd"),
	T_TEST(test_cancel_of_everything_at_random_ends_everything_once),
	{ .name = NULL },
};
