/* SPDX-License-Identifier: MIT */
/*
 * Engine contract: ROTA_OP_POLL, readiness of descriptors that are somebody else's. Layer: tests;
 * see contract.h.
 *
 * The one idea: foreign means that the descriptor may be closed, duplicated, reused or be no socket
 * at all, and that its owner reads and writes it behind the engine's back.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/contract/contract.h"

static void test_poll_op_on_what_is_ready_says_so_again_and_again(void **state)
{
	struct t_world *world = *state;
	int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

	/* Readiness, not edges: nobody has read it in between. */
	for (int i = 0; i < 5; i++) {
		assert_int_equal(t_finish(t_poll_op(world, fd, POLLIN)), POLLIN);
		assert_int_equal(t_finish(t_poll_op(world, fd, POLLOUT)), POLLOUT);
		assert_int_equal(t_finish(t_poll_op(world, fd, POLLIN | POLLOUT)),
				 POLLIN | POLLOUT);
	}
	close(fd);
}

static void test_poll_op_waits_until_its_event_comes(void **state)
{
	struct t_world *world = *state;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	const uint64_t one = 1;

	for (int i = 0; i < 5; i++) {
		struct t_op *op = t_poll_op(world, fd, POLLIN);
		uint64_t count;

		t_settle(world);
		assert_false(op->done);
		assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
		assert_int_equal(t_finish(op), POLLIN);
		assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	}
	close(fd);
}

static void test_poll_op_several_on_one_descriptor_end_each_by_its_own_event(void **state)
{
	struct t_world *world = *state;
	struct t_op *in, *in_too, *out;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
			 0);
	in = t_poll_op(world, ends[0], POLLIN);
	out = t_poll_op(world, ends[0], POLLOUT);
	in_too = t_poll_op(world, ends[0], POLLIN);
	assert_int_equal(t_finish(out), POLLOUT);
	t_settle(world);
	assert_false(in->done);
	assert_false(in_too->done);
	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_int_equal(t_finish(in), POLLIN);
	assert_int_equal(t_finish(in_too), POLLIN);
	close(ends[0]);
	close(ends[1]);
}

static void test_poll_op_sees_the_peer_leave_while_nothing_is_received(void **state)
{
	struct t_world *world = *state;
	struct t_op *watching, *receiving;
	int client, server;

	t_pair(world, &client, &server);
	/*
	 * As the framework does under backpressure: the receive is cancelled, data pile up, only
	 * the hang-up matters.
	 */
	receiving = t_receive(world, server);
	t_settle(world);
	t_cancel(receiving);
	watching = t_poll_op(world, server, POLLRDHUP);
	t_send_all(world, client, t_pattern(), 1000);
	t_settle(world);
	assert_false(watching->done);
	t_close(world, client);
	assert_true(t_finish(watching) & (POLLRDHUP | POLLHUP));
	t_expect(world, server, t_pattern(), 1000);
	assert_int_equal(t_finish(t_receive(world, server)), 0);
	t_close(world, server);
}

static void test_poll_op_for_a_hangup_that_was_before_says_so(void **state)
{
	struct t_world *world = *state;
	struct t_op *receiving;
	int client, server;

	t_pair(world, &client, &server);
	receiving = t_receive(world, server);
	t_close(world, client);
	assert_int_equal(t_finish(receiving), 0);
	assert_true(t_finish(t_poll_op(world, server, POLLRDHUP)) & POLLRDHUP);
	t_close(world, server);
}

/* io_uring's own poll reports POLLRDHUP to everybody. */
static void test_poll_op_for_a_hangup_is_not_ended_by_a_fin(void **state)
{
	struct t_world *world = *state;
	int client, server;
	struct t_op *op;

	t_pair(world, &client, &server);
	op = t_poll_op(world, server, 0);
	assert_int_equal(world->ops->shutdown(world->backend, client, SHUT_WR), 0);
	t_settle(world);
	assert_false(op->done);
	/* with both sides shut it is one */
	assert_int_equal(world->ops->shutdown(world->backend, server, SHUT_WR), 0);
	assert_true(t_finish(op) & POLLHUP);
	/* cancelled after the FIN it ends as any other */
	t_close(world, client);
	t_close(world, server);
	t_pair(world, &client, &server);
	op = t_poll_op(world, server, 0);
	assert_int_equal(world->ops->shutdown(world->backend, client, SHUT_WR), 0);
	t_settle(world);
	assert_int_equal(t_cancel(op), -ECANCELED);
	t_close(world, client);
	t_close(world, server);
}

static void test_poll_op_beside_receive_and_send_all_get_theirs(void **state)
{
	struct t_world *world = *state;
	struct t_op *receiving, *readable, *hangup;
	int client, server;

	t_pair(world, &client, &server);
	receiving = t_receive(world, server);
	hangup = t_poll_op(world, server, POLLRDHUP);
	t_settle(world);
	assert_int_equal(t_finish(t_poll_op(world, server, POLLOUT)), POLLOUT);
	for (size_t i = 0; i < 5; i++) {
		t_send_all(world, client, t_pattern() + i, 1);
		t_until_received(receiving, i + 1);
		t_send_all(world, server, t_pattern() + i, 1);
	}
	assert_int_equal(receiving->data.bytes, 5);
	assert_false(hangup->done);
	readable = t_poll_op(world, client, POLLIN);
	assert_int_equal(t_finish(readable), POLLIN);
	t_expect(world, client, t_pattern(), 5);
	assert_int_equal(world->ops->shutdown(world->backend, client, SHUT_WR), 0);
	assert_true(t_finish(hangup) & POLLRDHUP);
	assert_int_equal(t_finish(receiving), 0);
	t_close(world, client);
	t_close(world, server);
}

static void test_poll_op_on_a_closed_pipe_reports_hangup_unasked(void **state)
{
	struct t_world *world = *state;
	struct t_op *op;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	op = t_poll_op(world, ends[0], POLLIN);
	t_settle(world);
	close(ends[1]);
	assert_true(t_finish(op) & POLLHUP);
	/* Nobody waits now: the hang-up that stays must not keep the engine busy. */
	t_settle(world);
	close(ends[0]);
}

static void test_poll_op_on_a_regular_file_is_always_ready(void **state)
{
	struct t_world *world = *state;
	FILE *file = tmpfile();

	assert_non_null(file);
	assert_int_equal(t_finish(t_poll_op(world, fileno(file), POLLIN)), POLLIN);
	assert_int_equal(t_finish(t_poll_op(world, fileno(file), POLLIN | POLLOUT)),
			 POLLIN | POLLOUT);
	/* Of what can never come it says so. */
	assert_int_equal(t_finish(t_poll_op(world, fileno(file), POLLPRI)), -EINVAL);
	fclose(file);
}

static void test_poll_op_on_bad_descriptors_ends_with_error(void **state)
{
	struct t_world *world = *state;
	int fd = eventfd(0, EFD_CLOEXEC);

	close(fd);
	assert_int_equal(t_finish(t_poll_op(world, fd, POLLIN)), -EBADF);
	assert_int_equal(t_finish(t_poll_op(world, -1, POLLIN)), -EBADF);
}

static void test_poll_op_on_a_number_that_is_another_file_by_now_works(void **state)
{
	struct t_world *world = *state;
	const uint64_t one = 1;
	int number = -1;

	for (int round = 0; round < 10; round++) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		struct t_op *op;

		assert_true(number < 0 || fd == number);
		number = fd;
		op = t_poll_op(world, fd, POLLIN);
		t_settle(world);
		/*
		 * Half of them never fire, so that whatever was armed is still armed when the
		 * descriptor is closed.
		 */
		if (round % 2) {
			assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
			assert_int_equal(t_finish(op), POLLIN);
		} else {
			assert_int_equal(t_cancel(op), -ECANCELED);
		}
		close(fd);
	}
}

static void test_poll_op_number_closed_while_a_duplicate_lives_is_not_confused(void **state)
{
	struct t_world *world = *state;
	int old = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct t_op *op = t_poll_op(world, old, POLLIN);
	const uint64_t one = 1;
	int duplicate, fresh;
	uint64_t polls;

	t_settle(world);
	assert_int_equal(t_cancel(op), -ECANCELED);
	duplicate = dup(old);
	close(old);
	fresh = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(fresh, old);
	op = t_poll_op(world, fresh, POLLIN);
	t_settle(world);

	/* The old file becomes ready under the new one's number. */
	assert_int_equal(write(duplicate, &one, sizeof(one)), sizeof(one));
	polls = t_stats(world).polls;
	for (int i = 0; i < 20; i++)
		t_turn(world, ROTA_NS_PER_MS);
	assert_false(op->done);
	assert_in_range(t_stats(world).polls - polls, 0, 20);

	assert_int_equal(write(fresh, &one, sizeof(one)), sizeof(one));
	assert_int_equal(t_finish(op), POLLIN);
	close(duplicate);
	close(fresh);
}

const struct t_test t_poll_tests[] = {
	T_KERNEL_TEST(test_poll_op_on_what_is_ready_says_so_again_and_again, "eventfd"),
	T_KERNEL_TEST(test_poll_op_waits_until_its_event_comes, "eventfd"),
	T_KERNEL_TEST(test_poll_op_several_on_one_descriptor_end_each_by_its_own_event,
		      "socketpair"),
	T_TEST(test_poll_op_sees_the_peer_leave_while_nothing_is_received),
	T_TEST(test_poll_op_for_a_hangup_that_was_before_says_so),
	T_TEST(test_poll_op_for_a_hangup_is_not_ended_by_a_fin),
	T_TEST(test_poll_op_beside_receive_and_send_all_get_theirs),
	T_KERNEL_TEST(test_poll_op_on_a_closed_pipe_reports_hangup_unasked, "pipes"),
	T_KERNEL_TEST(test_poll_op_on_a_regular_file_is_always_ready, "files"),
	T_KERNEL_TEST(test_poll_op_on_bad_descriptors_ends_with_error, "eventfd"),
	T_KERNEL_TEST(test_poll_op_on_a_number_that_is_another_file_by_now_works, "eventfd"),
	T_KERNEL_TEST(test_poll_op_number_closed_while_a_duplicate_lives_is_not_confused,
		      "eventfd"),
	{ .name = NULL },
};
