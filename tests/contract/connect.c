/* SPDX-License-Identifier: MIT */
/*
 * Engine contract: ROTA_OP_CONNECT, ROTA_OP_CLOSE and discard(). Layer: tests; see contract.h.
 */
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/contract/contract.h"

static void test_connect_gives_a_working_descriptor(void **state)
{
	struct t_world *world = *state;
	struct rota_address local, peer;
	int client, server;

	t_pair(world, &client, &server);
	t_send_all(world, client, "ping", 4);
	t_expect(world, server, "ping", 4);
	t_send_all(world, server, "pong", 4);
	t_expect(world, client, "pong", 4);
	assert_int_equal(world->ops->address(world->backend, client, false, &local), 0);
	assert_int_equal(world->ops->address(world->backend, server, true, &peer), 0);
	assert_int_equal(rota_address_port(&local), rota_address_port(&peer));
	t_close(world, client);
	t_close(world, server);
}

static void test_connect_and_accept_switch_nagle_off(void **state)
{
	struct t_world *world = *state;
	int client, server;

	t_pair(world, &client, &server);
	for (int i = 0; i < 2; i++) {
		int on = 0;
		socklen_t on_bytes = sizeof(on);

		assert_int_equal(
			getsockopt(i ? client : server, IPPROTO_TCP, TCP_NODELAY, &on, &on_bytes),
			0);
		assert_true(on);
	}
	t_close(world, client);
	t_close(world, server);
}

static void test_connect_to_nobody_is_refused(void **state)
{
	struct t_world *world = *state;
	struct rota_address address;
	int listener = t_listen(world, &address, 1);

	t_close(world, listener);
	assert_int_equal(t_finish(t_connect(world, &address)), -ECONNREFUSED);
}

static void test_connect_to_a_missing_socket_file_says_so(void **state)
{
	struct t_world *world = *state;
	struct rota_address address;
	char path[64];

	snprintf(path, sizeof(path), "/tmp/rota-contract-%d-missing", (int)getpid());
	assert_int_equal(rota_address_local(&address, path), 0);
	assert_int_equal(t_finish(t_connect(world, &address)), -ENOENT);
}

/* A listener that never accepts and whose queue is full: the connection stays on its way. */
static struct t_op *connect_that_hangs(struct t_world *world, int *listener, struct t_op *ops[8],
				       int *count)
{
	struct rota_address address;

	*listener = t_listen(world, &address, 0);
	for (*count = 0; *count < 8; (*count)++) {
		struct t_op *op = t_connect(world, &address);

		for (int turn = 0; turn < 5 && !op->done; turn++)
			t_turn(world, 10 * ROTA_NS_PER_MS);
		if (!op->done)
			return op;
		assert_true(op->result >= 0);
		ops[*count] = op;
	}
	return NULL;
}

static void test_connect_cancelled_in_flight_leaves_no_descriptor(void **state)
{
	struct t_world *world = *state;
	struct t_op *ops[8], *hanging;
	int listener, count;

	hanging = connect_that_hangs(world, &listener, ops, &count);
	if (hanging)
		assert_int_equal(t_cancel(hanging), -ECANCELED);
	for (int i = 0; i < count; i++)
		t_close(world, ops[i]->result);
	t_close(world, listener);
	if (!hanging)
		t_skip("no connection could be kept on its way here");
}

static void test_connect_cancelled_at_once_leaves_no_descriptor(void **state)
{
	struct t_world *world = *state;
	struct rota_address address;
	int listener = t_listen(world, &address, 8);

	for (int turns = 0; turns < 3; turns++) {
		struct t_op *op = t_connect(world, &address);
		int32_t result;

		for (int i = 0; i < turns; i++)
			t_turn(world, 0);
		if (!op->done)
			t_ask_cancel(op);
		result = t_finish(op);
		if (result >= 0)
			t_close(world, result);
		else
			assert_int_equal(result, -ECANCELED);
	}
	t_close(world, listener);
}

/* ---- close ---- */

static void test_close_is_not_cancellable(void **state)
{
	struct t_world *world = *state;
	struct t_op *op;
	int client, server;

	t_pair(world, &client, &server);
	op = t_close_op(world, client);
	assert_int_equal(t_cancel(op), 0);
	assert_int_equal(t_finish(t_receive(world, server)), 0);
	t_close(world, server);
}

static void test_close_of_bad_descriptors_gives_the_error(void **state)
{
	struct t_world *world = *state;
	int client, server;

	t_pair(world, &client, &server);
	t_close(world, client);
	assert_int_equal(t_finish(t_close_op(world, client)), -EBADF);
	assert_int_equal(t_finish(t_close_op(world, -1)), -EBADF);
	t_close(world, server);
}

/*
 * The lingering close of an error reply: the peer still sends, and yet sees the reply and not a
 * reset.
 */
static void test_close_lingering_lets_the_peer_see_the_last_reply(void **state)
{
	struct t_world *world = *state;
	struct t_op *draining;
	int client, server;

	t_pair(world, &client, &server);
	t_send_all(world, client, t_pattern(), 2000);
	t_send_all(world, server, "error", 5);
	assert_int_equal(world->ops->shutdown(world->backend, server, SHUT_WR), 0);
	draining = t_receive(world, server);
	t_until_received(draining, 2000);
	t_expect(world, client, "error", 5);
	assert_int_equal(t_finish(t_receive(world, client)), 0);
	t_close(world, client);
	assert_int_equal(t_finish(draining), 0);
	t_close(world, server);
}

/* A connection nobody wants: the peer sees it end, and its number works for the next one. */
static void test_discard_closes_what_was_accepted(void **state)
{
	struct t_world *world = *state;
	int last = -1;

	for (int round = 0; round < 3; round++) {
		int client, server;

		t_pair(world, &client, &server);
		assert_true(round == 0 || server == last || world->simulated);
		last = server;
		world->ops->discard(world->backend, server);
		assert_int_equal(t_finish(t_receive(world, client)), 0);
		assert_int_equal(t_finish(t_close_op(world, server)), -EBADF);
		t_close(world, client);
		/* The next round's, on that number, is a connection like any other. */
		t_pair(world, &client, &server);
		t_send_all(world, client, "ping", 4);
		t_expect(world, server, "ping", 4);
		t_close(world, client);
		t_close(world, server);
	}
}

static void test_discard_with_unread_bytes_resets_the_peer(void **state)
{
	struct t_world *world = *state;
	int client, server;

	t_pair(world, &client, &server);
	t_send_all(world, client, "unread", 6);
	world->ops->discard(world->backend, server);
	assert_int_equal(t_finish(t_receive(world, client)), -ECONNRESET);
	t_close(world, client);
}

static void test_discard_of_a_listener_refuses_from_then_on(void **state)
{
	struct t_world *world = *state;
	struct rota_address address;
	int listener = t_listen(world, &address, 8);

	world->ops->discard(world->backend, listener);
	assert_int_equal(t_finish(t_connect(world, &address)), -ECONNREFUSED);
}

static void test_close_with_zero_linger_resets_the_peer(void **state)
{
	struct t_world *world = *state;
	const struct linger now = { 1, 0 };
	int client, server;

	t_pair(world, &client, &server);
	assert_int_equal(setsockopt(server, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	t_close(world, server);
	assert_int_equal(t_finish(t_receive(world, client)), -ECONNRESET);
	t_close(world, client);
}

static void test_close_of_what_is_not_whole_resets_the_peer(void **state)
{
	struct t_world *world = *state;
	int client, server;

	t_pair(world, &client, &server);
	assert_int_equal(world->ops->shutdown(world->backend, server, ROTA_SHUT_RESET), 0);
	t_close(world, server);
	assert_int_equal(t_finish(t_receive(world, client)), -ECONNRESET);
	t_close(world, client);
}

const struct t_test t_connect_tests[] = {
	T_TEST(test_connect_gives_a_working_descriptor),
	T_KERNEL_TEST(test_connect_and_accept_switch_nagle_off, "TCP_NODELAY"),
	T_TEST(test_connect_to_nobody_is_refused),
	T_TEST(test_connect_to_a_missing_socket_file_says_so),
	T_TEST(test_connect_cancelled_in_flight_leaves_no_descriptor),
	T_TEST(test_connect_cancelled_at_once_leaves_no_descriptor),
	T_TEST(test_close_is_not_cancellable),
	T_TEST(test_close_of_bad_descriptors_gives_the_error),
	T_TEST(test_close_of_what_is_not_whole_resets_the_peer),
	T_TEST(test_close_lingering_lets_the_peer_see_the_last_reply),
	T_KERNEL_TEST(test_close_with_zero_linger_resets_the_peer, "SO_LINGER"),
	T_TEST(test_discard_closes_what_was_accepted),
	T_TEST(test_discard_of_a_listener_refuses_from_then_on),
	T_TEST(test_discard_with_unread_bytes_resets_the_peer),
	{ .name = NULL },
};
