/* SPDX-License-Identifier: MIT */
/*
 * Engine contract: ROTA_OP_SEND and ROTA_OP_SEND_MESSAGE. Layer: tests; see contract.h.
 */
#include <sys/socket.h>

#include "tests/contract/contract.h"

static void test_send_takes_what_it_says(void **state)
{
	struct t_world *world = *state;
	int client, server;
	int32_t taken;

	t_pair(world, &client, &server);
	taken = t_finish(t_send(world, client, "hello", 5));
	assert_in_range(taken, 1, 5);
	t_expect(world, server, "hello", (size_t)taken);
	t_close(world, client);
	t_close(world, server);
}

static void test_send_message_gathers_its_pieces(void **state)
{
	struct t_world *world = *state;
	int client, server;
	int32_t taken;

	t_pair(world, &client, &server);
	taken = t_finish(t_send_pieces(world, client, t_pattern(), 1000, 7));
	assert_in_range(taken, 1, 1000);
	t_expect(world, server, t_pattern(), (size_t)taken);
	t_close(world, client);
	t_close(world, server);
}

/* `pieces` 0: SEND. The peer reads only when the socket has taken all it can. */
static void send_more_than_fits(struct t_world *world, int pieces)
{
	enum { BYTES = 512 << 10 };
	struct t_op *sending, *receiving;
	size_t sent = 0, received = 0;
	unsigned sends = 0;
	int client, server, buffer_bytes = 4096;

	t_pair(world, &client, &server);
	/*
	 * Fails where the kernel is simulated; the payload is larger than any socket's buffer
	 * anyway.
	 */
	rota_ignore(setsockopt(client, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(buffer_bytes)),
		    "see above");
	while (received < BYTES) {
		if (sent < BYTES) {
			sending = pieces ? t_send_pieces(world, client, t_pattern() + sent,
							 BYTES - sent, pieces)
					 : t_send(world, client, t_pattern() + sent, BYTES - sent);
			sends++;
			for (int turn = 0; turn < 4 && !sending->done; turn++)
				t_turn(world, 0);
		}
		receiving = t_receive(world, server);
		while (sent < BYTES && !sending->done)
			t_turn(world, ROTA_NS_PER_MS);
		if (sent < BYTES) {
			assert_in_range(sending->result, 1, BYTES - sent);
			sent += (size_t)sending->result;
		}
		t_until_received(receiving, 1);
		if (!receiving->done)
			t_cancel(receiving);
		assert_memory_equal(receiving->data.data, t_pattern() + received,
				    receiving->data.bytes);
		received += receiving->data.bytes;
	}
	assert_int_equal(received, BYTES);
	if (!world->simulated)
		assert_true(sends > 1);
	t_close(world, client);
	t_close(world, server);
}

static void test_send_more_than_fits_goes_through_in_parts(void **state)
{
	send_more_than_fits(*state, 0);
}

static void test_send_message_more_than_fits_goes_through_in_parts(void **state)
{
	send_more_than_fits(*state, 5);
}

/* Fill the socket until a send finds no room; returns that send. */
static struct t_op *fill(struct t_world *world, int fd, size_t *sent)
{
	*sent = 0;
	for (;;) {
		struct t_op *sending = t_send(world, fd, t_pattern(), 1 << 20);

		for (int turn = 0; turn < 10 && !sending->done; turn++)
			t_turn(world, ROTA_NS_PER_MS);
		if (!sending->done)
			return sending;
		assert_true(sending->result > 0);
		*sent += (size_t)sending->result;
	}
}

static void test_send_that_waits_for_room_goes_on_when_the_peer_reads(void **state)
{
	struct t_world *world = *state;
	struct t_op *blocked, *receiving;
	size_t sent;
	int client, server;

	t_pair(world, &client, &server);
	blocked = fill(world, client, &sent);
	receiving = t_receive(world, server);
	while (!blocked->done) {
		t_turn(world, ROTA_NS_PER_MS);
		if (receiving->done)
			receiving = t_receive(world, server);
	}
	assert_true(blocked->result > 0);
	if (!receiving->done)
		t_cancel(receiving);
	t_close(world, client);
	t_close(world, server);
}

/* It waits; or the kernel has made room after all (its buffers grow), and it has sent something. */
static void assert_waits(const struct t_op *blocked)
{
	if (blocked->done)
		assert_true(blocked->result > 0);
}

static void test_send_that_waits_does_not_stop_receiving_on_the_same_socket(void **state)
{
	struct t_world *world = *state;
	struct t_op *blocked, *receiving;
	size_t sent;
	int client, server;

	t_pair(world, &client, &server);
	blocked = fill(world, client, &sent);
	receiving = t_receive(world, client);
	t_send_all(world, server, "answer", 6);
	t_until_received(receiving, 6);
	assert_int_equal(receiving->data.bytes, 6);
	assert_waits(blocked);
	t_cancel(receiving);
	/* And the receive's end leaves the send waiting. */
	t_settle(world);
	assert_waits(blocked);
	if (!blocked->done)
		t_cancel_send(blocked, client);
	t_close(world, client);
	t_close(world, server);
}

static void test_send_that_waits_ends_when_the_peer_resets(void **state)
{
	struct t_world *world = *state;
	struct t_op *blocked;
	size_t sent;
	int client, server;

	t_pair(world, &client, &server);
	blocked = fill(world, client, &sent);
	/* Unread data make this close a reset. */
	t_close(world, server);
	while (t_finish(blocked) > 0) /* the last room there was */
		blocked = t_send(world, client, t_pattern(), 1 << 20);
	assert_true(blocked->result == -ECONNRESET || blocked->result == -EPIPE);
	t_close(world, client);
}

static void test_send_after_own_shutdown_gives_epipe_and_no_signal(void **state)
{
	struct t_world *world = *state;
	int client, server;

	t_pair(world, &client, &server);
	assert_int_equal(world->ops->shutdown(world->backend, client, SHUT_WR), 0);
	assert_int_equal(t_finish(t_send(world, client, "x", 1)), -EPIPE);
	assert_int_equal(t_finish(t_send_pieces(world, client, "xy", 2, 2)), -EPIPE);
	t_close(world, client);
	t_close(world, server);
}

static void test_send_on_bad_descriptors_ends_with_error(void **state)
{
	struct t_world *world = *state;
	int client, server;

	t_pair(world, &client, &server);
	t_close(world, client);
	t_close(world, server);
	assert_int_equal(t_finish(t_send(world, client, "x", 1)), -EBADF);
	assert_int_equal(t_finish(t_send_pieces(world, -1, "x", 1, 1)), -EBADF);
}

/* ---- patient sends ---- */

/* A poll that waits for this deadline has missed what it should have returned for. */
#define FAR_NS (20 * ROTA_NS_PER_S)

/* One poll with a deadline far away tells of it. */
static void assert_told_at_once(struct t_world *world, const struct t_op *op)
{
	rota_ns start = world->ops->now(world->backend);

	for (int turns = 0; !op->done; turns++) {
		assert_in_range(turns, 0, 10);
		t_turn(world, FAR_NS);
	}
	assert_true(world->ops->now(world->backend) - start < FAR_NS / 2);
}

static void test_patient_send_is_told_with_what_comes_next(void **state)
{
	struct t_world *world = *state;
	struct t_op *sending, *receiving;
	int client, server;

	t_pair(world, &client, &server);
	receiving = t_receive(world, client);
	sending = t_send_patiently(world, server, "answer", 6);
	assert_told_at_once(world, sending);
	assert_int_equal(sending->completions, 1);
	assert_in_range(sending->result, 1, 6);
	t_until_received(receiving, (size_t)sending->result);
	t_cancel(receiving);
	t_close(world, client);
	t_close(world, server);
}

static void test_patient_send_is_told_at_the_deadline_at_the_latest(void **state)
{
	struct t_world *world = *state;
	struct t_op *sending;
	int client, server;

	t_pair(world, &client, &server);
	for (int i = 0; i < 3; i++) {
		sending = t_send_patiently(world, client, "x", 1);
		while (!sending->done)
			assert_in_range(t_turn(world, 3 * ROTA_NS_PER_MS), 0, 1);
		assert_int_equal(sending->result, 1);
		/* And one that does not wait holds nothing back. */
		sending = t_send_patiently(world, client, "x", 1);
		t_turn(world, 0);
		assert_int_equal(t_finish(sending), 1);
	}
	t_close(world, client);
	t_close(world, server);
}

static void test_patient_send_that_is_cancelled_is_told_at_once(void **state)
{
	struct t_world *world = *state;
	struct t_op *sending;
	int client, server;

	t_pair(world, &client, &server);
	for (int i = 0; i < 10; i++) {
		sending = t_send_patiently(world, client, "x", 1);
		t_ask_cancel(sending);
		assert_told_at_once(world, sending);
		assert_true(sending->result == 1 || sending->result == -ECANCELED);
	}
	t_close(world, client);
	t_close(world, server);
}

/* What is not all of it, or none, somebody has to do something about. */
static void test_patient_send_that_was_not_all_is_told_at_once(void **state)
{
	struct t_world *world = *state;
	struct t_op *sending;
	int client, server;

	t_pair(world, &client, &server);
	/* Without copying, a send ends when its peer has read it. */
	if (!(world->backend->features & ROTA_BACKEND_KEEPS_SENDS)) {
		sending = t_send_patiently(world, client, t_pattern(), T_PATTERN_BYTES);
		assert_told_at_once(world, sending);
		assert_in_range(sending->result, 1, T_PATTERN_BYTES);
	}
	t_close(world, server);
	for (int i = 0; i < 3; i++) {
		sending = t_send_patiently(world, client, "x", 1);
		t_finish(sending);
	}
	assert_true(sending->result == -ECONNRESET || sending->result == -EPIPE);
	assert_told_at_once(world, t_send_patiently(world, client, "x", 1));
	t_close(world, client);
	assert_told_at_once(world, t_send_patiently(world, client, "x", 1));
}

const struct t_test t_send_tests[] = {
	T_TEST(test_send_takes_what_it_says),
	T_TEST(test_send_message_gathers_its_pieces),
	T_TEST(test_send_more_than_fits_goes_through_in_parts),
	T_TEST(test_send_message_more_than_fits_goes_through_in_parts),
	T_TEST(test_send_that_waits_for_room_goes_on_when_the_peer_reads),
	T_TEST(test_send_that_waits_does_not_stop_receiving_on_the_same_socket),
	T_TEST(test_send_that_waits_ends_when_the_peer_resets),
	T_TEST(test_send_after_own_shutdown_gives_epipe_and_no_signal),
	T_TEST(test_send_on_bad_descriptors_ends_with_error),
	T_TEST(test_patient_send_is_told_with_what_comes_next),
	T_TEST(test_patient_send_is_told_at_the_deadline_at_the_latest),
	T_TEST(test_patient_send_that_is_cancelled_is_told_at_once),
	T_TEST(test_patient_send_that_was_not_all_is_told_at_once),
	{ .name = NULL },
};
