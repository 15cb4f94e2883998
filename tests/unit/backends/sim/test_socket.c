/* SPDX-License-Identifier: MIT */
/*
 * Simulated sockets against the semantics of Linux. The masks and errors in the tables were taken
 * from Linux 6.18 with the same steps on loopback and Unix sockets.
 */
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "tests/unit/backends/sim/t_sim.h"

#define GONE (POLLIN | POLLOUT | POLLRDHUP | POLLHUP) /* 0x2015 */

static struct t_sim sim;
static struct rota_backend *engine;

static int setup(void **state)
{
	(void)state;
	t_sim_init(&sim, 1);
	t_sim_open(&sim);
	engine = sim.engine;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	t_sim_close(&sim);
	return 0;
}

static int shut(int fd, int how)
{
	return engine->ops->shutdown(engine, fd, how);
}

static int peer_of(int fd)
{
	struct rota_address address;

	return engine->ops->address(engine, fd, true, &address);
}

static void test_socket_bytes_arrive_in_order_and_both_ways(void **state)
{
	static const int families[] = { AF_INET, AF_UNIX };
	char in[16] = { 0 };
	int a, b;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		t_pair(engine, families[i], &a, &b);
		assert_int_equal(t_receive(engine, b, NULL), -EAGAIN);
		assert_int_equal(t_send(engine, a, "abc", 3), 3);
		assert_int_equal(t_send(engine, a, "de", 2), 2);
		assert_int_equal(t_receive(engine, b, in), 5);
		assert_memory_equal(in, "abcde", 5);
		assert_int_equal(t_send(engine, b, "xyz", 3), 3);
		assert_int_equal(t_receive(engine, a, in), 3);
		assert_memory_equal(in, "xyz", 3);
		t_close(engine, a);
		t_close(engine, b);
	}
}

static void test_socket_message_gathers_its_parts_and_skips_empty_ones(void **state)
{
	struct iovec parts[] = { { .iov_base = "ab", .iov_len = 2 },
				 { .iov_base = NULL, .iov_len = 0 },
				 { .iov_base = "cde", .iov_len = 3 } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 3 };
	char in[16];
	int a, b;

	(void)state;
	t_pair(engine, AF_INET, &a, &b);
	assert_int_equal(t_end(t_start_message(engine, a, &message)), 5);
	assert_int_equal(t_receive(engine, b, in), 5);
	assert_memory_equal(in, "abcde", 5);
	t_close(engine, a);
	t_close(engine, b);
}

/* ---- the end of a stream ---- */

static void test_tcp_closed_with_unread_bytes_resets_the_peer_after_its_data(void **state)
{
	size_t bytes;
	int a, b;

	(void)state;
	t_pair(engine, AF_INET, &a, &b);
	t_send(engine, b, "abc", 3); /* unread at a */
	t_send(engine, a, "abc", 3);
	t_close(engine, a);

	assert_int_equal(t_events(engine, b), GONE | POLLERR);
	assert_int_equal(t_drain(engine, b, &bytes), -ECONNRESET);
	assert_int_equal(bytes, 3);
	assert_int_equal(t_receive(engine, b, NULL), 0);
	assert_int_equal(t_events(engine, b), GONE);
	assert_int_equal(t_send(engine, b, "x", 1), -EPIPE);
	assert_int_equal(shut(b, SHUT_WR), -ENOTCONN);
	assert_int_equal(peer_of(b), -ENOTCONN);
	t_close(engine, b);
}

static void test_tcp_reset_is_reported_once_whether_to_sender_or_reader(void **state)
{
	size_t bytes;
	int a, b;

	(void)state;
	t_pair(engine, AF_INET, &a, &b);
	t_send(engine, a, "abc", 3);
	t_send(engine, b, "abc", 3);
	t_close(engine, a);

	assert_int_equal(t_send(engine, b, "x", 1), -ECONNRESET);
	assert_int_equal(t_drain(engine, b, &bytes), 0);
	assert_int_equal(bytes, 3);
	assert_int_equal(t_send(engine, b, "x", 1), -EPIPE);
	t_close(engine, b);
}

static void test_tcp_closed_cleanly_ends_the_stream_and_resets_what_is_sent_after(void **state)
{
	int a, b;

	(void)state;
	t_pair(engine, AF_INET, &a, &b);
	t_close(engine, a);

	assert_int_equal(t_events(engine, b), POLLIN | POLLOUT | POLLRDHUP);
	assert_int_equal(t_receive(engine, b, NULL), 0);
	assert_int_equal(t_send(engine, b, "abc", 3), 3); /* nobody takes it: an RST comes back */
	assert_int_equal(t_events(engine, b), GONE | POLLERR);
	assert_int_equal(t_send(engine, b, "abc", 3), -EPIPE);
	assert_int_equal(t_receive(engine, b, NULL), 0);
	assert_int_equal(t_events(engine, b), GONE);
	assert_int_equal(shut(b, SHUT_WR), -ENOTCONN);
	t_close(engine, b);
}

static void test_tcp_half_closed_still_carries_the_other_direction(void **state)
{
	size_t bytes;
	int a, b;

	(void)state;
	t_pair(engine, AF_INET, &a, &b);
	t_send(engine, a, "abc", 3);
	assert_int_equal(shut(a, SHUT_WR), 0);

	assert_int_equal(t_send(engine, a, "x", 1), -EPIPE);
	assert_int_equal(t_drain(engine, b, &bytes), 0);
	assert_int_equal(bytes, 3);
	assert_int_equal(t_send(engine, b, "reply", 5), 5);
	assert_int_equal(t_receive(engine, a, NULL), 5);
	assert_int_equal(shut(a, SHUT_WR), 0); /* again: harmless while the other direction lives */
	assert_int_equal(shut(b, SHUT_WR), 0);
	assert_int_equal(t_events(engine, a), GONE);
	assert_int_equal(t_events(engine, b), GONE);
	assert_int_equal(shut(a, SHUT_WR), -ENOTCONN);
	assert_int_equal(peer_of(b), -ENOTCONN);
	t_close(engine, a);
	assert_int_equal(t_events(engine, b), GONE);
	t_close(engine, b);
}

static void test_tcp_half_closed_then_closed_with_unread_bytes_is_a_broken_pipe(void **state)
{
	int a, b;

	(void)state;
	t_pair(engine, AF_INET, &a, &b);
	shut(a, SHUT_WR);
	t_send(engine, b, "abc", 3);
	t_close(engine, a);

	assert_int_equal(t_events(engine, b), GONE | POLLERR);
	assert_int_equal(t_send(engine, b, "x", 1), -EPIPE);
	assert_int_equal(t_receive(engine, b, NULL), 0);
	assert_int_equal(t_events(engine, b), GONE);
	t_close(engine, b);
}

static void test_tcp_end_of_stream_outranks_a_later_reset(void **state)
{
	int a, b;

	(void)state;
	t_pair(engine, AF_INET, &a, &b);
	shut(b, SHUT_WR);
	t_send(engine, a, "abc", 3);
	t_close(engine, b);

	assert_int_equal(t_events(engine, a), GONE | POLLERR);
	assert_int_equal(t_receive(engine, a, NULL), 0);
	assert_int_equal(t_send(engine, a, "x", 1), -EPIPE);
	t_close(engine, a);
}

static void test_tcp_shut_for_reading_still_reads_what_comes(void **state)
{
	size_t bytes;
	int a, b;

	(void)state;
	t_pair(engine, AF_INET, &a, &b);
	shut(a, SHUT_RD);

	assert_int_equal(t_events(engine, a), POLLIN | POLLOUT | POLLRDHUP);
	assert_int_equal(t_receive(engine, a, NULL), 0);
	assert_int_equal(t_send(engine, b, "abc", 3), 3);
	assert_int_equal(t_events(engine, b), POLLOUT);
	assert_int_equal(t_drain(engine, a, &bytes), 0);
	assert_int_equal(bytes, 3);
	t_send(engine, b, "abc", 3);
	t_close(engine, a);
	assert_int_equal(t_receive(engine, b, NULL), -ECONNRESET);
	t_close(engine, b);
}

static void test_unix_closed_with_unread_bytes_resets_readers_and_breaks_writers(void **state)
{
	size_t bytes;
	int a, b;

	(void)state;
	t_pair(engine, AF_UNIX, &a, &b);
	t_send(engine, b, "abc", 3);
	t_send(engine, a, "abc", 3);
	t_close(engine, a);

	assert_int_equal(t_events(engine, b), GONE | POLLERR);
	assert_int_equal(t_send(engine, b, "x", 1), -EPIPE);
	assert_int_equal(t_drain(engine, b, &bytes), -ECONNRESET);
	assert_int_equal(bytes, 3);
	assert_int_equal(t_receive(engine, b, NULL), 0);
	assert_int_equal(t_events(engine, b), GONE);
	assert_int_equal(shut(b, SHUT_WR), 0);
	assert_int_equal(peer_of(b), 0);
	t_close(engine, b);
}

static void test_unix_closed_cleanly_hangs_up(void **state)
{
	int a, b;

	(void)state;
	t_pair(engine, AF_UNIX, &a, &b);
	t_close(engine, a);

	assert_int_equal(t_events(engine, b), GONE);
	assert_int_equal(t_receive(engine, b, NULL), 0);
	assert_int_equal(t_send(engine, b, "x", 1), -EPIPE);
	t_close(engine, b);
}

static void test_unix_shut_for_reading_breaks_the_peers_writes(void **state)
{
	int a, b;

	(void)state;
	t_pair(engine, AF_UNIX, &a, &b);
	shut(a, SHUT_RD);

	assert_int_equal(t_events(engine, a), POLLIN | POLLOUT | POLLRDHUP);
	assert_int_equal(t_send(engine, b, "abc", 3), -EPIPE);
	assert_int_equal(t_events(engine, b), POLLOUT);
	t_close(engine, a);
	assert_int_equal(t_events(engine, b), GONE);
	t_close(engine, b);
}

static void test_stream_reset_wakes_all_who_wait_on_it(void **state)
{
	struct t_op *receive, *poll;
	int a, b;

	(void)state;
	t_pair(engine, AF_INET, &a, &b);
	receive = t_start(engine, ROTA_OP_RECEIVE, b);
	poll = t_start_poll(engine, b, POLLRDHUP);
	t_turn(engine);
	t_send(engine, b, "abc", 3);
	t_close(engine, a);

	assert_int_equal(t_end(receive), -ECONNRESET);
	assert_true(t_end(poll) & (POLLRDHUP | POLLHUP));
	t_close(engine, b);
}

/* ---- flow control ---- */

static void test_send_into_a_full_socket_waits_until_the_reader_makes_room(void **state)
{
	size_t bytes = sim.options.socket_bytes + 1000;
	char *data = calloc(1, bytes);
	struct t_op *send, *receive;
	int a, b;

	(void)state;
	assert_non_null(data);
	t_pair(engine, AF_INET, &a, &b);
	assert_int_equal(t_send(engine, a, data, bytes), sim.options.socket_bytes);
	assert_int_equal(t_events(engine, a), 0);
	send = t_start_send(engine, a, data, 1000);
	assert_int_equal(t_turn(engine), 0);
	receive = t_start(engine, ROTA_OP_RECEIVE, b);
	assert_int_equal(t_end(send), 1000);
	while (receive->data_bytes < bytes)
		assert_true(t_turn(engine) > 0);
	assert_int_equal(receive->data_bytes, bytes);
	assert_int_equal(t_cancel(receive), -ECANCELED);
	t_close(engine, a);
	t_close(engine, b);
	free(data);
}

static void test_send_waiting_for_room_fails_when_the_reader_leaves(void **state)
{
	char *data = calloc(1, sim.options.socket_bytes);
	struct t_op *send;
	int a, b;

	(void)state;
	assert_non_null(data);
	t_pair(engine, AF_INET, &a, &b);
	t_send(engine, a, data, sim.options.socket_bytes);
	send = t_start_send(engine, a, "x", 1);
	t_turn(engine);
	t_close(engine, b);
	assert_int_equal(t_end(send), -ECONNRESET);
	t_close(engine, a);
	free(data);
}

/* ---- listening ---- */

static void test_connect_finds_listeners_by_address(void **state)
{
	struct rota_address any = t_tcp("*", 80), one = t_tcp("10.0.0.1", 81);
	struct rota_address to_any = t_tcp("127.0.0.1", 80), wrong_host = t_tcp("10.0.0.2", 81);
	struct rota_address v6 = t_tcp("::1", 80), path = t_local("/run/x");
	int a = t_listen(engine, &any, 4), b = t_listen(engine, &one, 4), client;
	struct rota_address local, remote;

	(void)state;
	assert_int_equal(t_connect(engine, &wrong_host), -ECONNREFUSED);
	assert_int_equal(t_connect(engine, &v6), -ECONNREFUSED);
	assert_int_equal(t_connect(engine, &path), -ENOENT);
	client = t_connect(engine, &to_any);
	assert_true(client >= ROTA_SIM_DESCRIPTOR_FIRST);
	engine->ops->address(engine, client, false, &local);
	engine->ops->address(engine, client, true, &remote);
	assert_int_equal(rota_address_port(&remote), 80);
	assert_in_range(rota_address_port(&local), 32768, 60999);
	t_close(engine, client);
	t_close(engine, a);
	t_close(engine, b);
	assert_int_equal(t_connect(engine, &to_any), -ECONNREFUSED);
}

static void test_listen_refuses_a_taken_address_unless_both_share_the_port(void **state)
{
	struct rota_listen_options shared = { .address = t_tcp("127.0.0.1", 80),
					      .backlog = 4,
					      .reuse_port = true };
	struct rota_listen_options any = { .address = t_tcp("*", 80), .backlog = 4 };
	int a = engine->ops->listen(engine, &shared), b;

	(void)state;
	assert_int_equal(engine->ops->listen(engine, &any), -EADDRINUSE);
	b = engine->ops->listen(engine, &shared);
	assert_true(b > a);
	t_close(engine, a);
	t_close(engine, b);
	a = engine->ops->listen(engine, &any);
	assert_int_equal(engine->ops->listen(engine, &shared), -EADDRINUSE);
	t_close(engine, a);
}

static void test_listen_on_a_unix_path_replaces_only_a_dead_socket(void **state)
{
	struct rota_address path = t_local("/run/x");
	int a = t_listen(engine, &path, 4);

	(void)state;
	assert_int_equal(t_listen(engine, &path, 4), -EADDRINUSE);
	t_close(engine, a);
	assert_int_equal(t_connect(engine, &path), -ECONNREFUSED);
	a = t_listen(engine, &path, 4);
	assert_true(a >= 0);
	t_close(engine, a);
}

static void test_listen_on_port_zero_takes_a_free_one(void **state)
{
	struct rota_address zero = t_tcp("127.0.0.1", 0), a_address, b_address;
	int a = t_listen(engine, &zero, 1), b = t_listen(engine, &zero, 1);

	(void)state;
	engine->ops->address(engine, a, false, &a_address);
	engine->ops->address(engine, b, false, &b_address);
	assert_int_not_equal(rota_address_port(&a_address), 0);
	assert_int_not_equal(rota_address_port(&a_address), rota_address_port(&b_address));
	assert_int_equal(engine->ops->address(engine, a, true, &b_address), -ENOTCONN);
	t_close(engine, a);
	t_close(engine, b);
}

static void test_connect_to_a_full_backlog_waits_for_room(void **state)
{
	struct rota_address address = t_tcp("127.0.0.1", 80);
	int listener = t_listen(engine, &address, 1); /* Linux takes one more */
	int first = t_connect(engine, &address), second = t_connect(engine, &address), server;
	struct t_op *third = t_start_connect(engine, &address);
	struct t_op *fourth = t_start_connect(engine, &address);

	(void)state;
	assert_int_equal(t_turn(engine), 0);
	assert_int_equal(t_cancel(fourth), -ECANCELED);
	assert_false(third->has_ended);
	struct t_op *accept = t_start(engine, ROTA_OP_ACCEPT, listener);
	server = t_end(third);
	assert_true(server >= 0);
	t_close(engine, server);
	while (accept->count < 3)
		t_turn(engine);
	for (unsigned i = 0; i < 3; i++)
		t_close(engine, accept->results[i]);
	assert_int_equal(t_cancel(accept), -ECANCELED);
	t_close(engine, first);
	t_close(engine, second);
	t_close(engine, listener);
}

static void test_listener_closing_resets_who_was_not_accepted_and_refuses_who_waits(void **state)
{
	struct rota_address address = t_tcp("127.0.0.1", 80);
	int listener = t_listen(engine, &address, 0);
	int client = t_connect(engine, &address);
	struct t_op *waiting = t_start_connect(engine, &address);

	(void)state;
	t_turn(engine);
	t_close(engine, listener);
	assert_int_equal(t_end(waiting), -ECONNREFUSED);
	assert_int_equal(t_events(engine, client), GONE | POLLERR);
	assert_int_equal(t_receive(engine, client, NULL), -ECONNRESET);
	t_close(engine, client);
}

static void test_listener_shut_down_takes_no_more(void **state)
{
	struct rota_address address = t_tcp("127.0.0.1", 80), path = t_local("/run/x");
	int tcp = t_listen(engine, &address, 4), local = t_listen(engine, &path, 4);
	int client = t_connect(engine, &path), server;
	struct t_op *accept = t_start(engine, ROTA_OP_ACCEPT, tcp);

	(void)state;
	t_turn(engine);
	assert_int_equal(shut(tcp, SHUT_WR), 0);
	assert_false(accept->has_ended);
	shut(tcp, SHUT_RD);
	assert_int_equal(t_end(accept), -EINVAL);
	assert_int_equal(t_events(engine, tcp), POLLHUP | POLLOUT);
	assert_int_equal(t_connect(engine, &address), -ECONNREFUSED);
	shut(local, SHUT_RD);
	assert_int_equal(t_events(engine, local), POLLIN | POLLRDHUP);
	assert_int_equal(t_connect(engine, &path), -ECONNREFUSED);
	accept = t_start(engine, ROTA_OP_ACCEPT, local); /* who had come before is still let in */
	t_turn(engine);
	server = accept->results[0];
	assert_true(server >= 0);
	assert_int_equal(t_end(accept), -EINVAL);
	t_close(engine, server);
	t_close(engine, client);
	t_close(engine, tcp);
	t_close(engine, local);
}

static void test_wrong_sockets_and_descriptors_are_told_so(void **state)
{
	struct rota_address address = t_tcp("127.0.0.1", 80);
	int listener = t_listen(engine, &address, 4), a, b;
	struct rota_address out,
		other = { .bytes = sizeof(other.any), .any = { AF_APPLETALK, { 0 } } };

	(void)state;
	t_pair(engine, AF_INET, &a, &b);
	assert_int_equal(t_receive(engine, listener, NULL), -ENOTCONN);
	assert_int_equal(t_send(engine, listener, "x", 1), -EPIPE);
	assert_int_equal(t_accept(engine, a), -EINVAL);
	assert_int_equal(t_receive(engine, 0, NULL), -EBADF);
	assert_int_equal(t_receive(engine, -1, NULL), -EBADF);
	assert_int_equal(t_receive(engine, INT32_MIN, NULL), -EBADF);
	assert_int_equal(t_close(engine, INT32_MAX), -EBADF);
	assert_int_equal(shut(7, SHUT_RD), -EBADF);
	assert_int_equal(shut(a, 9), -EINVAL);
	assert_int_equal(engine->ops->address(engine, 7, false, &out), -EBADF);
	assert_int_equal(t_connect(engine, &other), -EAFNOSUPPORT);
	assert_int_equal(t_listen(engine, &other, 1), -EAFNOSUPPORT);
	t_close(engine, a);
	t_close(engine, b);
	t_close(engine, listener);
	assert_int_equal(t_receive(engine, listener, NULL), -EBADF);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_socket_bytes_arrive_in_order_and_both_ways),
		TEST(test_socket_message_gathers_its_parts_and_skips_empty_ones),
		TEST(test_tcp_closed_with_unread_bytes_resets_the_peer_after_its_data),
		TEST(test_tcp_reset_is_reported_once_whether_to_sender_or_reader),
		TEST(test_tcp_closed_cleanly_ends_the_stream_and_resets_what_is_sent_after),
		TEST(test_tcp_half_closed_still_carries_the_other_direction),
		TEST(test_tcp_half_closed_then_closed_with_unread_bytes_is_a_broken_pipe),
		TEST(test_tcp_end_of_stream_outranks_a_later_reset),
		TEST(test_tcp_shut_for_reading_still_reads_what_comes),
		TEST(test_unix_closed_with_unread_bytes_resets_readers_and_breaks_writers),
		TEST(test_unix_closed_cleanly_hangs_up),
		TEST(test_unix_shut_for_reading_breaks_the_peers_writes),
		TEST(test_stream_reset_wakes_all_who_wait_on_it),
		TEST(test_send_into_a_full_socket_waits_until_the_reader_makes_room),
		TEST(test_send_waiting_for_room_fails_when_the_reader_leaves),
		TEST(test_connect_finds_listeners_by_address),
		TEST(test_listen_refuses_a_taken_address_unless_both_share_the_port),
		TEST(test_listen_on_a_unix_path_replaces_only_a_dead_socket),
		TEST(test_listen_on_port_zero_takes_a_free_one),
		TEST(test_connect_to_a_full_backlog_waits_for_room),
		TEST(test_listener_closing_resets_who_was_not_accepted_and_refuses_who_waits),
		TEST(test_listener_shut_down_takes_no_more),
		TEST(test_wrong_sockets_and_descriptors_are_told_so),
	};

	return cmocka_run_group_tests_name("sim socket", tests, NULL, NULL);
}
