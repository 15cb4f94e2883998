/* SPDX-License-Identifier: MIT */
/*
 * Hosts and the wire between them, driven without reactors: what Linux's TCP would tell both ends.
 */
#include <string.h>
#include <sys/socket.h>

#include "tests/unit/backends/sim/t_sim.h"

#define LATENCY_NS (10 * ROTA_NS_PER_MS)

static struct t_sim sim;
static struct rota_backend *here, *there; /* hosts 1 and 2 */

static void open_world(void)
{
	sim.options.latency_min_ns = sim.options.latency_max_ns = LATENCY_NS;
	assert_int_equal(rota_sim_world_create(&sim.options, &sim.world), 0);
	here = t_engine_at(&sim, 1);
	there = t_engine_at(&sim, 2);
}

static int setup(void **state)
{
	(void)state;
	t_sim_init(&sim, 1);
	open_world();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rota_backend_destroy(here);
	rota_backend_destroy(there);
	assert_int_equal(rota_sim_world_destroy(sim.world), 0);
	return 0;
}

/* A connected pair, `*client` here and `*server` there. */
static void connect_over(int *client, int *server)
{
	struct rota_address any = t_tcp("*", 7000), address = rota_sim_host_address(2, 7000);
	int listener = t_listen(there, &any, 8);

	assert_true(listener >= 0);
	*client = t_connect(here, &address);
	assert_true(*client >= 0);
	*server = t_accept(there, listener);
	assert_true(*server >= 0);
	assert_int_equal(t_close(there, listener), 0);
}

static void close_both(int client, int server)
{
	t_close(here, client);
	t_close(there, server);
}

static void pass(rota_ns duration)
{
	rota_sim_advance(sim.world, duration);
}

static void test_wire_connect_takes_a_round_trip(void **state)
{
	rota_ns before = rota_sim_now(sim.world);
	struct rota_address address;
	int a, b;

	(void)state;
	connect_over(&a, &b);
	assert_int_equal(rota_sim_now(sim.world) - before, 2 * LATENCY_NS);
	assert_int_equal(there->ops->address(there, b, true, &address), 0);
	assert_int_equal(ntohl(address.v4.sin_addr.s_addr), 0x0a000001);
	close_both(a, b);
}

static void test_wire_bytes_arrive_after_the_latency_in_order(void **state)
{
	char in[16];
	int a, b;

	(void)state;
	connect_over(&a, &b);
	assert_int_equal(t_send(here, a, "abc", 3), 3);
	assert_int_equal(t_send(here, a, "de", 2), 2);
	assert_int_equal(t_receive(there, b, in), -EAGAIN);
	pass(LATENCY_NS - 1);
	assert_int_equal(t_receive(there, b, in), -EAGAIN);
	pass(1);
	assert_int_equal(t_receive(there, b, in), 5);
	assert_memory_equal(in, "abcde", 5);
	t_close(here, a);
	assert_int_equal(t_receive(there, b, in), -EAGAIN);
	pass(LATENCY_NS);
	assert_int_equal(t_receive(there, b, in), 0);
	t_close(there, b);
}

static void test_wire_hosts_have_names_and_descriptors_of_their_own(void **state)
{
	struct rota_address loopback = t_tcp("127.0.0.1", 80),
			    others = rota_sim_host_address(1, 80);
	struct rota_address there_80 = rota_sim_host_address(2, 80);
	struct rota_address path = t_local("/run/x.sock");
	int a = t_listen(here, &loopback, 1), b = t_listen(there, &loopback, 1);
	int c = t_listen(here, &path, 1);

	(void)state;
	assert_true(a >= 0 && b >= 0 && c >= 0 && a != b);
	assert_int_equal(t_listen(there, &others, 1), -EADDRNOTAVAIL);
	assert_int_equal(t_connect(there, &path), -ENOENT);
	assert_int_equal(t_close(there, a), -EBADF);
	/* Nobody listens there but on the loopback address. */
	assert_int_equal(t_connect(here, &there_80), -ECONNREFUSED);
	t_close(here, a);
	t_close(here, c);
	t_close(there, b);
}

static void test_wire_writer_waits_until_the_reader_has_read_and_said_so(void **state)
{
	static char big[100000];
	struct t_op *send;
	size_t bytes;
	int a, b;

	(void)state;
	connect_over(&a, &b);
	assert_int_equal(t_send(here, a, big, sizeof(big)), 65536);
	send = t_start_send(here, a, big, 1000);
	t_turn(here);
	pass(LATENCY_NS);
	t_turn(here);
	assert_false(send->has_ended);
	assert_int_equal(t_drain(there, b, &bytes), -EAGAIN);
	assert_int_equal(bytes, 65536);
	pass(LATENCY_NS - 1);
	t_turn(here);
	assert_false(send->has_ended);
	pass(1);
	t_turn(here);
	assert_int_equal(t_end(send), 1000);
	pass(LATENCY_NS);
	assert_int_equal(t_drain(there, b, &bytes), -EAGAIN);
	close_both(a, b);
}

static void test_wire_partition_stalls_a_stream_and_healing_lets_it_go_on(void **state)
{
	char in[16];
	int a, b;

	(void)state;
	connect_over(&a, &b);
	rota_sim_partition(sim.world, 1, 2);
	assert_int_equal(t_send(here, a, "abc", 3), 3);
	pass(10 * ROTA_NS_PER_S);
	assert_int_equal(t_receive(there, b, in), -EAGAIN);
	/* The other way still works. */
	assert_int_equal(t_send(there, b, "x", 1), 1);
	pass(LATENCY_NS);
	assert_int_equal(t_receive(here, a, in), 1);
	rota_sim_heal(sim.world, 1, 2);
	pass(20 * ROTA_NS_PER_S);
	assert_int_equal(t_receive(there, b, in), 3);
	close_both(a, b);
}

static void test_wire_long_partition_times_a_stream_out_after_15_minutes(void **state)
{
	char in[16];
	int a, b;

	(void)state;
	connect_over(&a, &b);
	rota_sim_partition(sim.world, 1, 2);
	t_send(here, a, "abc", 3);
	pass(900 * ROTA_NS_PER_S);
	assert_int_equal(t_receive(here, a, in), -EAGAIN);
	pass(30 * ROTA_NS_PER_S); /* Linux: 924.6 s */
	assert_int_equal(t_receive(here, a, in), -ETIMEDOUT);
	rota_sim_heal(sim.world, 1, 2);
	/* The other end learns it when it sends. */
	assert_int_equal(t_receive(there, b, in), -EAGAIN);
	t_send(there, b, "x", 1);
	pass(2 * LATENCY_NS);
	assert_int_equal(t_receive(there, b, in), -ECONNRESET);
	close_both(a, b);
}

static void test_wire_connect_through_a_partition_times_out_or_comes_late(void **state)
{
	struct rota_address any = t_tcp("*", 80), address = rota_sim_host_address(2, 80);
	int listener = t_listen(there, &any, 8);
	rota_ns before = rota_sim_now(sim.world);
	struct t_op *call;
	int a, b;

	(void)state;
	rota_sim_partition(sim.world, 2, 1);
	assert_int_equal(t_connect(here, &address), -ETIMEDOUT);
	assert_int_equal(rota_sim_now(sim.world) - before, 127 * ROTA_NS_PER_S);
	call = t_start_connect(here, &address);
	t_turn(here);
	pass(2 * ROTA_NS_PER_S);
	rota_sim_heal(sim.world, 2, 1);
	before = rota_sim_now(sim.world);
	a = t_end(call);
	assert_true(a >= 0);
	/* The third SYN is sent after 3 s. */
	assert_int_equal(rota_sim_now(sim.world) - before, ROTA_NS_PER_S + 2 * LATENCY_NS);
	b = t_accept(there, listener);
	t_close(there, listener);
	close_both(a, b);
}

static void test_wire_cancelled_connect_leaves_nothing(void **state)
{
	struct rota_address any = t_tcp("*", 80), address = rota_sim_host_address(2, 80);
	int listener = t_listen(there, &any, 8);
	struct t_op *call;
	char in[4];
	int b;

	(void)state;
	call = t_start_connect(here, &address); /* cancelled before its SYN has come */
	t_turn(here);
	assert_int_equal(t_cancel(call), -ECANCELED);
	pass(ROTA_NS_PER_S);
	assert_int_equal(t_accept(there, listener), -EAGAIN);
	call = t_start_connect(here, &address); /* and before the answer */
	t_turn(here);
	pass(LATENCY_NS);
	assert_int_equal(t_cancel(call), -ECANCELED);
	b = t_accept(there, listener);
	assert_true(b >= 0);
	pass(LATENCY_NS);
	assert_int_equal(t_receive(there, b, in), -ECONNRESET);
	t_close(there, b);
	t_close(there, listener);
}

static void test_wire_close_with_unread_bytes_resets_the_other_end(void **state)
{
	char in[4];
	int a, b;

	(void)state;
	connect_over(&a, &b);
	t_send(there, b, "abc", 3);
	pass(LATENCY_NS);
	t_close(here, a);
	assert_int_equal(t_receive(there, b, in), -EAGAIN);
	pass(LATENCY_NS);
	assert_int_equal(t_receive(there, b, in), -ECONNRESET);
	t_close(there, b);
}

static void test_wire_data_for_a_closed_end_is_answered_by_a_reset(void **state)
{
	char in[4];
	int a, b;

	(void)state;
	connect_over(&a, &b);
	t_close(here, a);
	pass(LATENCY_NS);
	assert_int_equal(t_receive(there, b, in), 0);
	assert_int_equal(t_send(there, b, "abc", 3), 3);
	pass(2 * LATENCY_NS);
	assert_int_equal(t_send(there, b, "abc", 3), -EPIPE);
	t_close(there, b);
}

static void test_wire_injected_reset_reaches_both_ends(void **state)
{
	char in[4];
	int a, b;

	(void)state;
	assert_false(rota_sim_reset(sim.world, 1, 2));
	connect_over(&a, &b);
	assert_true(rota_sim_reset(sim.world, 2, 1));
	assert_int_equal(t_receive(there, b, in), -ECONNRESET);
	assert_int_equal(t_receive(here, a, in), -ECONNRESET);
	close_both(a, b);
}

static void test_wire_loss_delays_and_loses_nothing(void **state)
{
	rota_ns before;
	size_t bytes = 0;
	char in[256];
	int a, b;

	teardown(state);
	sim.options.loss_permille = 500;
	open_world();
	connect_over(&a, &b);
	before = rota_sim_now(sim.world);
	for (char i = 0; i < 100; i++)
		assert_int_equal(t_send(here, a, &i, 1), 1);
	while (bytes < 100) {
		int got = t_receive(there, b, in + bytes);

		if (got > 0)
			bytes += (size_t)got;
		else
			pass(LATENCY_NS);
	}
	for (char i = 0; i < 100; i++)
		assert_int_equal(in[(int)i], i);
	assert_true(rota_sim_now(sim.world) - before >= 200 * ROTA_NS_PER_MS);
	close_both(a, b);
}

static void test_wire_bandwidth_spaces_what_is_sent(void **state)
{
	static char big[10000];
	size_t bytes;
	int a, b;

	teardown(state);
	sim.options.bandwidth = 10000;
	open_world();
	connect_over(&a, &b);
	assert_int_equal(t_send(here, a, big, sizeof(big)), sizeof(big));
	assert_int_equal(t_send(here, a, big, 5000), 5000);
	pass(ROTA_NS_PER_S + LATENCY_NS);
	assert_int_equal(t_drain(there, b, &bytes), -EAGAIN);
	assert_int_equal(bytes, sizeof(big));
	pass(ROTA_NS_PER_S / 2);
	assert_int_equal(t_drain(there, b, &bytes), -EAGAIN);
	assert_int_equal(bytes, 5000);
	close_both(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_wire_connect_takes_a_round_trip, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_wire_bytes_arrive_after_the_latency_in_order,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_wire_hosts_have_names_and_descriptors_of_their_own, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_wire_writer_waits_until_the_reader_has_read_and_said_so, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			test_wire_partition_stalls_a_stream_and_healing_lets_it_go_on, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			test_wire_long_partition_times_a_stream_out_after_15_minutes, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			test_wire_connect_through_a_partition_times_out_or_comes_late, setup,
			teardown),
		cmocka_unit_test_setup_teardown(test_wire_cancelled_connect_leaves_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			test_wire_close_with_unread_bytes_resets_the_other_end, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_wire_data_for_a_closed_end_is_answered_by_a_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wire_injected_reset_reaches_both_ends, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_wire_loss_delays_and_loses_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_wire_bandwidth_spaces_what_is_sent, setup,
						teardown),
	};

	return cmocka_run_group_tests_name("sim wire", tests, NULL, NULL);
}
