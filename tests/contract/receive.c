/* SPDX-License-Identifier: MIT */
/*
 * Engine contract: ROTA_OP_ACCEPT and ROTA_OP_RECEIVE, the two stream operations. Layer: tests; see
 * contract.h.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/contract/contract.h"

/* ---- accept ---- */

static void test_accept_many_connects_gives_each_once(void **state)
{
	enum { COUNT = 20 };
	struct t_world *world = *state;
	struct rota_address address;
	int listener = t_listen(world, &address, COUNT);
	struct t_op *accepting = t_accept(world, listener);
	struct t_op *connecting[COUNT];

	for (int i = 0; i < COUNT; i++)
		connecting[i] = t_connect(world, &address);
	for (int i = 0; i < COUNT; i++)
		assert_true(t_finish(connecting[i]) >= 0);
	t_until_completions(accepting, COUNT);
	t_settle(world);

	assert_int_equal(accepting->completions, COUNT);
	assert_int_equal(t_cancel(accepting), -ECANCELED);
	for (int i = 0; i < COUNT; i++) {
		for (int k = 0; k < i; k++)
			assert_int_not_equal(accepting->fds[i], accepting->fds[k]);
		t_close(world, connecting[i]->result);
	}
	for (int i = 0; i < COUNT; i++)
		t_close(world, accepting->fds[i]);
	t_close(world, listener);
}

static void test_accept_twice_on_one_listener_gives_each_once(void **state)
{
	struct t_world *world = *state;
	struct rota_address address;
	int listener = t_listen(world, &address, 8);
	struct t_op *first = t_accept(world, listener), *second = t_accept(world, listener);
	int client = t_finish(t_connect(world, &address));

	while (first->fd_count + second->fd_count == 0)
		t_turn(world, ROTA_NS_PER_MS);
	t_settle(world);

	assert_int_equal(first->fd_count + second->fd_count, 1);
	t_cancel(first);
	t_cancel(second);
	t_close(world, first->fd_count ? first->fds[0] : second->fds[0]);
	t_close(world, client);
	t_close(world, listener);
}

static void test_accept_on_what_is_no_listener_ends_with_error(void **state)
{
	struct t_world *world = *state;
	int client, server;

	t_pair(world, &client, &server);
	assert_int_equal(t_finish(t_accept(world, client)), -EINVAL);
	t_close(world, client);
	t_close(world, server);
}

static void test_accept_descriptors_are_nonblocking_and_close_on_exec(void **state)
{
	struct t_world *world = *state;
	int client, server;

	t_pair(world, &client, &server);
	for (int i = 0; i < 2; i++) {
		int fd = i ? client : server;

		assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	}
	t_close(world, client);
	t_close(world, server);
}

/* ---- receive ---- */

static void test_receive_bytes_come_as_they_were_sent(void **state)
{
	struct t_world *world = *state;
	struct t_op *op;
	int client, server;

	t_pair(world, &client, &server);
	op = t_receive(world, server);
	for (size_t sent = 0; sent < 1000; sent += 100) {
		t_send_all(world, client, t_pattern() + sent, 100);
		t_until_received(op, sent + 100);
	}
	assert_int_equal(op->data.bytes, 1000);
	assert_memory_equal(op->data.data, t_pattern(), 1000);
	assert_false(op->done);
	assert_int_equal(t_cancel(op), -ECANCELED);
	t_close(world, client);
	t_close(world, server);
}

static void test_receive_after_end_of_stream_gives_the_data_then_zero(void **state)
{
	struct t_world *world = *state;
	struct t_op *op;
	size_t bytes = 0;
	int client, server;

	t_pair(world, &client, &server);
	t_send_all(world, client, t_pattern(), 5000);
	assert_int_equal(world->ops->shutdown(world->backend, client, SHUT_WR), 0);
	t_settle(world);
	/* With few buffers it may take several. */
	do {
		op = t_receive(world, server);
		t_finish(op);
		assert_memory_equal(op->data.data, t_pattern() + bytes, op->data.bytes);
		bytes += op->data.bytes;
	} while (op->result > 0 || op->result == -ENOBUFS);
	assert_int_equal(op->result, 0);
	assert_int_equal(bytes, 5000);

	/* The end stays the end. */
	assert_int_equal(t_finish(t_receive(world, server)), 0);
	t_close(world, client);
	t_close(world, server);
}

static void test_receive_end_of_stream_right_behind_data_is_seen(void **state)
{
	struct t_world *world = *state;

	/*
	 * A short read is no end, and at the edge the end may have been reported together with the
	 * data.
	 */
	for (int round = 0; round < 50; round++) {
		struct t_op *op;
		int client, server;

		t_pair(world, &client, &server);
		op = t_receive(world, server);
		if (round % 2)
			t_settle(world);
		/* Behind the engine's back where that is possible: it sees both at once. */
		if (world->simulated || round % 4 < 2)
			t_send_all(world, client, t_pattern(), 10);
		else
			assert_int_equal(send(client, t_pattern(), 10, 0), 10);
		assert_int_equal(world->ops->shutdown(world->backend, client, SHUT_WR), 0);
		assert_int_equal(t_finish(op), 0);
		assert_int_equal(op->data.bytes, 10);
		t_close(world, client);
		t_close(world, server);
	}
}

static void test_receive_half_closed_can_still_answer(void **state)
{
	struct t_world *world = *state;
	int client, server;

	t_pair(world, &client, &server);
	assert_int_equal(world->ops->shutdown(world->backend, client, SHUT_WR), 0);
	assert_int_equal(t_finish(t_receive(world, server)), 0);
	t_send_all(world, server, t_pattern(), 3000);
	t_expect(world, client, t_pattern(), 3000);
	t_close(world, client);
	t_close(world, server);
}

static void test_receive_reset_by_peer_ends_with_the_error(void **state)
{
	struct t_world *world = *state;
	const struct linger now = { 1, 0 };
	struct t_op *op;
	int client, server;

	t_pair(world, &client, &server);
	op = t_receive(world, server);
	t_settle(world);
	assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	t_close(world, client);
	assert_int_equal(t_finish(op), -ECONNRESET);
	t_close(world, server);
}

static void test_receive_more_than_all_buffers_comes_in_order(void **state)
{
	enum { BYTES = 1 << 20 };
	struct t_world *world = *state;
	struct t_op *receiving, *sending;
	size_t sent = 0, received = 0;
	int client, server;

	t_pair(world, &client, &server);
	sending = t_send(world, client, t_pattern(), BYTES);
	receiving = t_receive(world, server);
	while (received < BYTES) {
		t_turn(world, ROTA_NS_PER_MS);
		if (sending->done && sent < BYTES) {
			assert_true(sending->result > 0);
			sent += (size_t)sending->result;
			if (sent < BYTES)
				sending = t_send(world, client, t_pattern() + sent, BYTES - sent);
		}
		assert_memory_equal(receiving->data.data, t_pattern() + received,
				    receiving->data.bytes);
		if (!receiving->done && received + receiving->data.bytes < BYTES)
			continue;
		received += receiving->data.bytes;
		if (receiving->done)
			assert_true(receiving->result > 0 || receiving->result == -ENOBUFS);
		else
			t_cancel(receiving);
		if (received < BYTES)
			receiving = t_receive(world, server);
	}
	t_finish(sending);
	t_close(world, client);
	t_close(world, server);
}

/* What the held buffers of these operations hold is the pattern, from its beginning. */
static void assert_held_in_order(struct t_op *const ops[], unsigned count, size_t bytes)
{
	size_t compared = 0;

	for (unsigned i = 0; i < count; i++) {
		for (unsigned k = 0; k < ops[i]->held_count; k++) {
			size_t part = (size_t)ops[i]->held[k].bytes;

			assert_memory_equal(ops[i]->held[k].data, t_pattern() + compared, part);
			compared += part;
		}
	}
	assert_int_equal(compared, bytes);
}

/* The buffers these operations hold: several completions may have brought parts of one. */
static unsigned buffers_of(struct t_op *const ops[], unsigned count)
{
	bool seen[UINT16_MAX + 1] = { false };
	unsigned buffers = 0;

	for (unsigned i = 0; i < count; i++) {
		for (unsigned k = 0; k < ops[i]->held_count; k++) {
			buffers += !seen[ops[i]->held[k].id];
			seen[ops[i]->held[k].id] = true;
		}
	}
	return buffers;
}

static void test_receive_held_buffers_keep_their_bytes(void **state)
{
	enum { BYTES = 800 };
	struct t_world *world = *state;
	struct t_op *ops[BYTES];
	unsigned count = 0;
	size_t received = 0;
	int client, server;

	t_pair(world, &client, &server);
	for (size_t sent = 0; sent < BYTES; sent += 100) {
		t_send_all(world, client, t_pattern() + sent, 100);
		while (received < sent + 100) {
			/* Each may end early for want of a buffer. */
			if (!count || ops[count - 1]->done) {
				ops[count] = t_receive(world, server);
				ops[count++]->hold = true;
			}
			t_turn(world, ROTA_NS_PER_MS);
			received = 0;
			for (unsigned i = 0; i < count; i++)
				for (unsigned k = 0; k < ops[i]->held_count; k++)
					received += (size_t)ops[i]->held[k].bytes;
		}
	}
	assert_int_equal(t_stats(world).buffers_lent, buffers_of(ops, count));
	assert_held_in_order(ops, count, BYTES);
	/* They outlive the operation that brought them. */
	if (!ops[count - 1]->done)
		t_cancel(ops[count - 1]);
	t_settle(world);
	assert_held_in_order(ops, count, BYTES);
	for (unsigned i = 0; i < count; i++)
		t_return_held(ops[i]);
	t_close(world, client);
	t_close(world, server);
}

static void test_receive_one_completion_per_poll_loses_nothing(void **state)
{
	struct t_world *world = *state;
	struct t_op *ops[4], *sending[4];
	int client[4], server[4];

	for (int i = 0; i < 4; i++) {
		t_pair(world, &client[i], &server[i]);
		ops[i] = t_receive(world, server[i]);
	}
	t_settle(world);
	world->out_max = 1;
	for (int i = 0; i < 4; i++)
		sending[i] = t_send(world, client[i], t_pattern() + i * 1000, 1000);
	for (int i = 0; i < 4; i++)
		t_finish_send(sending[i], client[i], t_pattern() + i * 1000, 1000);
	for (int i = 0; i < 4; i++)
		t_until_received(ops[i], 1000);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(ops[i]->data.bytes, 1000);
		assert_memory_equal(ops[i]->data.data, t_pattern() + i * 1000, 1000);
		t_cancel(ops[i]);
		t_close(world, client[i]);
		t_close(world, server[i]);
	}
}

static void test_receive_on_a_reused_descriptor_number_works(void **state)
{
	struct t_world *world = *state;
	int before = -1, same = 0;

	/* What an engine remembers of a descriptor must not survive it. */
	for (int round = 0; round < 20; round++) {
		struct t_op *op;
		int client, server;

		t_pair(world, &client, &server);
		same += server == before;
		op = t_receive(world, server);
		t_send_all(world, client, "x", 1);
		t_until_received(op, 1);
		t_cancel(op);
		before = server;
		t_close(world, server);
		t_close(world, client);
	}
	if (!world->simulated)
		assert_true(same > 0);
}

static void test_receive_on_bad_descriptors_ends_with_error(void **state)
{
	struct t_world *world = *state;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_int_equal(t_finish(t_receive(world, ends[0])), -ENOTSOCK);
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(t_finish(t_receive(world, ends[0])), -EBADF);
	assert_int_equal(t_finish(t_accept(world, ends[0])), -EBADF);
	assert_int_equal(t_finish(t_receive(world, -1)), -EBADF);
}

/* One peer floods without end, the other sends one byte, which must come through. */
static void test_receive_beside_a_flood_is_not_starved(void **state)
{
	enum { FLOOD_BYTES = 4 << 20 };
	struct t_world *world = *state;
	struct t_op *flooded, *quiet;
	int client[2], server[2];
	struct t_op *sending, *byte;

	t_pair(world, &client[0], &server[0]);
	t_pair(world, &client[1], &server[1]);
	flooded = t_receive(world, server[0]);
	quiet = t_receive(world, server[1]);
	sending = t_send(world, client[0], t_pattern(), FLOOD_BYTES);
	t_until_received(flooded, 1);
	byte = t_send(world, client[1], "x", 1);
	for (int turn = 0; turn < 10000 && !quiet->data.bytes; turn++) {
		t_turn(world, ROTA_NS_PER_MS);
		if (sending->done)
			sending = t_send(world, client[0], t_pattern(), FLOOD_BYTES);
		if (flooded->done)
			flooded = t_receive(world, server[0]);
		if (quiet->done && !quiet->data.bytes)
			quiet = t_receive(world, server[1]);
	}
	assert_int_equal(quiet->data.bytes, 1);
	t_cancel(flooded);
	t_cancel_send(sending, client[0]);
	t_finish(byte);
	t_cancel(quiet);
	for (int i = 0; i < 2; i++) {
		t_close(world, client[i]);
		t_close(world, server[i]);
	}
}

const struct t_test t_receive_tests[] = {
	T_TEST(test_accept_many_connects_gives_each_once),
	T_TEST(test_accept_twice_on_one_listener_gives_each_once),
	T_TEST(test_accept_on_what_is_no_listener_ends_with_error),
	T_KERNEL_TEST(test_accept_descriptors_are_nonblocking_and_close_on_exec,
		      "real descriptors"),
	T_TEST(test_receive_bytes_come_as_they_were_sent),
	T_TEST(test_receive_after_end_of_stream_gives_the_data_then_zero),
	T_TEST(test_receive_end_of_stream_right_behind_data_is_seen),
	T_TEST(test_receive_half_closed_can_still_answer),
	T_KERNEL_TEST(test_receive_reset_by_peer_ends_with_the_error, "SO_LINGER"),
	T_TEST(test_receive_more_than_all_buffers_comes_in_order),
	T_TEST(test_receive_held_buffers_keep_their_bytes),
	T_TEST(test_receive_one_completion_per_poll_loses_nothing),
	T_TEST(test_receive_on_a_reused_descriptor_number_works),
	T_KERNEL_TEST(test_receive_on_bad_descriptors_ends_with_error, "pipes"),
	T_TEST(test_receive_beside_a_flood_is_not_starved),
	{ .name = NULL },
};
