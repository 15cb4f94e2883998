/* SPDX-License-Identifier: MIT */
/*
 * The simulated engine under the contract: clocks, wake-ups, cancels, receive buffers, delays,
 * limits.
 */
#include <string.h>

#include "tests/unit/backends/sim/t_sim.h"

static struct t_sim sim;

static int setup(void **state)
{
	(void)state;
	t_sim_init(&sim, 1);
	return 0;
}

static int poll_once(struct rota_backend *engine, rota_ns deadline)
{
	struct rota_completion completion;

	return engine->ops->poll(engine, &completion, 1, deadline);
}

static void test_clock_stands_still_until_a_poll_waits(void **state)
{
	rota_ns start;

	(void)state;
	t_sim_open(&sim);
	start = sim.engine->ops->now(sim.engine);
	assert_int_equal(start, ROTA_SIM_START_NS);
	assert_int_equal(poll_once(sim.engine, 0), 0);
	assert_int_equal(poll_once(sim.engine, start), 0);
	assert_int_equal(rota_sim_now(sim.world), start);
	assert_int_equal(poll_once(sim.engine, start + 3600 * ROTA_NS_PER_S), 0);
	assert_int_equal(rota_sim_now(sim.world), start + 3600 * ROTA_NS_PER_S);
	assert_int_equal(sim.engine->ops->wall_ns(sim.engine),
			 sim.options.wall_start_ns + 3600 * ROTA_NS_PER_S);
	rota_sim_advance(sim.world, 5);
	assert_int_equal(sim.engine->ops->now(sim.engine), start + 3600 * ROTA_NS_PER_S + 5);
	t_sim_close(&sim);
}

static void test_poll_for_ever_with_nothing_to_come_is_a_deadlock(void **state)
{
	struct t_op *connect;
	struct rota_backend *other;
	struct rota_address address = t_tcp("127.0.0.1", 80);

	(void)state;
	t_sim_open(&sim);
	other = t_engine(&sim);
	assert_int_equal(poll_once(sim.engine, ROTA_NEVER), -EDEADLK);
	connect = t_start_connect(other, &address);
	assert_int_equal(poll_once(sim.engine, ROTA_NEVER),
			 0); /* the other engine may do something yet */
	assert_int_equal(t_end(connect), -ECONNREFUSED);
	assert_int_equal(poll_once(sim.engine, ROTA_NEVER), -EDEADLK);
	rota_backend_destroy(other);
	t_sim_close(&sim);
}

static void test_wake_ends_one_poll_and_merges(void **state)
{
	rota_ns start = ROTA_SIM_START_NS;
	struct rota_backend_stats stats;

	(void)state;
	t_sim_open(&sim);
	sim.engine->ops->wake(sim.engine);
	sim.engine->ops->wake(sim.engine);
	assert_int_equal(poll_once(sim.engine, ROTA_NEVER), 0);
	assert_int_equal(rota_sim_now(sim.world), start);
	assert_int_equal(poll_once(sim.engine, start + 7), 0);
	assert_int_equal(rota_sim_now(sim.world), start + 7);
	sim.engine->ops->stats(sim.engine, &stats);
	assert_int_equal(stats.wakes, 1);
	t_sim_close(&sim);
}

static void test_delayed_completion_comes_within_its_range_and_no_earlier(void **state)
{
	struct rota_address address = t_tcp("127.0.0.1", 80);
	rota_ns before, took;

	(void)state;
	sim.options.delay_min_ns = 100;
	sim.options.delay_max_ns = 200;
	t_sim_open(&sim);
	for (int i = 0; i < 50; i++) {
		before = rota_sim_now(sim.world);
		assert_int_equal(t_connect(sim.engine, &address), -ECONNREFUSED);
		took = rota_sim_now(sim.world) - before;
		assert_in_range(took, 100, 200);
	}
	t_sim_close(&sim);
}

static void test_cancel_ends_what_waits_and_leaves_the_operation_as_it_came(void **state)
{
	static const struct rota_op untouched;
	struct t_op *receive;
	int a, b;

	(void)state;
	t_sim_open(&sim);
	t_pair(sim.engine, AF_INET, &a, &b);
	receive = t_start(sim.engine, ROTA_OP_RECEIVE, a);
	t_turn(sim.engine);
	sim.engine->ops->cancel(sim.engine, &receive->op);
	sim.engine->ops->cancel(sim.engine, &receive->op);
	assert_int_equal(t_turn(sim.engine), 1);
	assert_int_equal(receive->results[0], -ECANCELED);
	assert_int_equal(receive->op.state_, untouched.state_);
	assert_int_equal(receive->op.flags_, untouched.flags_);
	assert_int_equal(receive->op.index_, untouched.index_);
	assert_int_equal(receive->op.generation_, untouched.generation_);
	assert_null(receive->op.link_.next);
	sim.engine->ops->cancel(sim.engine, &receive->op); /* too late: ignored */
	assert_int_equal(t_turn(sim.engine), 0);
	free(receive);
	t_close(sim.engine, a);
	t_close(sim.engine, b);
	t_sim_close(&sim);
}

/*
 * Among many seeds a cancelled send must be seen both ways: not done at all, and done with its
 * result delivered.
 */
static void test_cancel_races_are_lost_and_won(void **state)
{
	unsigned won = 0, lost = 0;
	struct t_op *send;
	size_t bytes;
	int a, b, result;

	(void)state;
	for (uint64_t seed = 1; seed <= 50; seed++) {
		t_sim_init(&sim, seed);
		sim.options.late_cancel_permille = 500;
		t_sim_open(&sim);
		t_pair(sim.engine, AF_INET, &a, &b);
		send = t_start_send(sim.engine, a, "abc", 3);
		result = t_cancel(send);
		rota_ignore(t_drain(sim.engine, b, &bytes), "only the bytes count");
		if (result == -ECANCELED) {
			assert_int_equal(bytes, 0);
			won++;
		} else {
			assert_int_equal(result, 3);
			assert_int_equal(bytes, 3);
			lost++;
		}
		t_close(sim.engine, a);
		t_close(sim.engine, b);
		t_sim_close(&sim);
	}
	assert_in_range(won, 5, 45);
	assert_in_range(lost, 5, 45);
}

static void test_cancelled_receive_delivers_what_it_had_and_then_ends(void **state)
{
	struct t_op *receive;
	int a, b;

	(void)state;
	sim.options.delay_min_ns = sim.options.delay_max_ns = 1000;
	t_sim_open(&sim);
	t_pair(sim.engine, AF_INET, &a, &b);
	t_send(sim.engine, a, "abc", 3);
	receive = t_start(sim.engine, ROTA_OP_RECEIVE, b);
	assert_int_equal(t_turn(sim.engine), 0); /* it has read, but nobody knows yet */
	sim.engine->ops->cancel(sim.engine, &receive->op);
	while (!receive->has_ended)
		rota_sim_advance(sim.world, 1000), t_turn(sim.engine);
	assert_int_equal(receive->count, 2);
	assert_int_equal(receive->results[0], 3);
	assert_int_equal(receive->results[1], -ECANCELED);
	free(receive);
	t_close(sim.engine, a);
	t_close(sim.engine, b);
	t_sim_close(&sim);
}

static void test_receive_cancelled_too_late_takes_what_is_there_and_still_ends(void **state)
{
	struct t_op *receive;
	int a, b;

	(void)state;
	sim.options.late_cancel_permille = 1000;
	t_sim_open(&sim);
	t_pair(sim.engine, AF_INET, &a, &b);
	t_send(sim.engine, a, "abc", 3);
	receive = t_start(sim.engine, ROTA_OP_RECEIVE, b);
	sim.engine->ops->cancel(sim.engine, &receive->op);
	assert_int_equal(t_turn(sim.engine), 2);
	assert_int_equal(receive->results[0], 3);
	assert_int_equal(receive->results[1], -ECANCELED);
	free(receive);
	t_close(sim.engine, a);
	t_close(sim.engine, b);
	t_sim_close(&sim);
}

static void test_buffers_run_out_and_nothing_is_lost(void **state)
{
	struct rota_backend_stats stats;
	struct t_op *receive, *again;
	int a, b;

	(void)state;
	sim.options.buffers_count = 3;
	sim.options.buffer_bytes = 4;
	t_sim_open(&sim);
	t_pair(sim.engine, AF_INET, &a, &b);
	t_send(sim.engine, a, "0123456789abcdef", 16);
	receive = t_start(sim.engine, ROTA_OP_RECEIVE, b);
	receive->keeps_buffers = true;
	while (!receive->has_ended)
		t_turn(sim.engine);
	assert_int_equal(receive->results[receive->count - 1], -ENOBUFS);
	assert_memory_equal(receive->data, "0123456789ab", 12);
	sim.engine->ops->stats(sim.engine, &stats);
	assert_int_equal(stats.buffers_lent, 3);
	assert_int_equal(stats.buffers_exhausted, 1);
	for (unsigned i = 0; i < 3; i++)
		sim.engine->ops->buffer_return(sim.engine, receive->buffers[i]);
	again = t_start(sim.engine, ROTA_OP_RECEIVE, b);
	t_turn(sim.engine);
	assert_memory_equal(again->data, "cdef", 4);
	assert_int_equal(t_cancel(again), -ECANCELED);
	free(receive);
	t_close(sim.engine, a);
	t_close(sim.engine, b);
	t_sim_close(&sim);
}

static void test_seeded_exhaustion_needs_a_buffer_that_is_out(void **state)
{
	struct t_op *receive;
	int a, b;

	(void)state;
	sim.options.no_buffers_permille = 1000;
	sim.options.buffer_bytes = 2;
	t_sim_open(&sim);
	t_pair(sim.engine, AF_INET, &a, &b);
	t_send(sim.engine, a, "abcd", 4);
	receive = t_start(sim.engine, ROTA_OP_RECEIVE, b);
	t_turn(sim.engine);
	assert_true(receive->has_ended);
	assert_int_equal(receive->count, 2);
	assert_int_equal(receive->results[0], 2);
	assert_int_equal(receive->results[1], -ENOBUFS);
	free(receive);
	t_close(sim.engine, a);
	t_close(sim.engine, b);
	t_sim_close(&sim);
}

static void test_receive_may_end_early_without_losing_a_byte(void **state)
{
	static const char sent[] = "abcdefg";
	struct t_op *receive;
	size_t got = 0;
	int a, b;

	(void)state;
	sim.options.stream_end_permille = 1000;
	sim.options.buffer_bytes = 3;
	t_sim_open(&sim);
	t_pair(sim.engine, AF_INET, &a, &b);
	t_send(sim.engine, a, sent, 7);
	while (got < 7) {
		receive = t_start(sim.engine, ROTA_OP_RECEIVE, b);
		t_turn(sim.engine);
		assert_true(receive->has_ended);
		assert_int_equal(receive->count, 1);
		assert_memory_equal(receive->data, &sent[got], receive->data_bytes);
		got += receive->data_bytes;
		free(receive);
	}
	t_close(sim.engine, a);
	t_close(sim.engine, b);
	t_sim_close(&sim);
}

static void test_returned_buffer_is_overwritten(void **state)
{
	struct rota_completion completion;
	struct t_op *receive;
	int a, b;

	(void)state;
	t_sim_open(&sim);
	t_pair(sim.engine, AF_INET, &a, &b);
	t_send(sim.engine, a, "abc", 3);
	receive = t_start(sim.engine, ROTA_OP_RECEIVE, b);
	assert_int_equal(sim.engine->ops->poll(sim.engine, &completion, 1, 0), 1);
	assert_memory_equal(completion.data, "abc", 3);
	sim.engine->ops->buffer_return(sim.engine, completion.buffer);
	assert_memory_not_equal(completion.data, "abc", 3);
	assert_int_equal(t_cancel(receive), -ECANCELED);
	t_close(sim.engine, a);
	t_close(sim.engine, b);
	t_sim_close(&sim);
}

static void test_descriptor_limit_keeps_the_connection_for_later(void **state)
{
	struct rota_address address = t_tcp("127.0.0.1", 80);
	struct t_op *accept;
	int listener, client, server;

	(void)state;
	sim.options.descriptors_max = 2;
	t_sim_open(&sim);
	listener = t_listen(sim.engine, &address, 4);
	client = t_connect(sim.engine, &address);
	assert_int_equal(t_listen(sim.engine, &address, 4), -EMFILE);
	assert_int_equal(t_connect(sim.engine, &address), -EMFILE);
	assert_int_equal(t_accept(sim.engine, listener), -EMFILE);
	t_send(sim.engine, client, "abc", 3);
	t_close(sim.engine, client);
	accept = t_start(sim.engine, ROTA_OP_ACCEPT, listener);
	t_turn(sim.engine);
	server = accept->results[0];
	assert_int_equal(server, client); /* the lowest free one */
	assert_int_equal(t_cancel(accept), -ECANCELED);
	t_close(sim.engine, server);
	t_close(sim.engine, listener);
	t_sim_close(&sim);
}

static void test_random_is_the_seeds_and_disturbs_no_decision(void **state)
{
	unsigned char first[13], again[13], other[13];

	(void)state;
	t_sim_open(&sim);
	sim.engine->ops->random(sim.engine, first, sizeof(first));
	t_sim_close(&sim);
	t_sim_open(&sim);
	sim.engine->ops->random(sim.engine, again, sizeof(again));
	t_sim_close(&sim);
	sim.options.seed = 2;
	t_sim_open(&sim);
	sim.engine->ops->random(sim.engine, other, sizeof(other));
	t_sim_close(&sim);
	assert_memory_equal(first, again, sizeof(first));
	assert_memory_not_equal(first, other, sizeof(first));
}

static void test_completions_come_in_every_order(void **state)
{
	bool seen[3] = { false };
	struct rota_address address = t_tcp("127.0.0.1", 80);
	struct rota_completion out[3];

	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct t_op *ops[3];

		t_sim_init(&sim, seed);
		t_sim_open(&sim);
		for (int i = 0; i < 3; i++)
			ops[i] = t_start_connect(sim.engine, &address);
		assert_int_equal(sim.engine->ops->poll(sim.engine, out, 3, 0), 3);
		for (int i = 0; i < 3; i++)
			seen[i] |= out[0].op == &ops[i]->op;
		for (int i = 0; i < 3; i++)
			free(ops[i]);
		t_sim_close(&sim);
	}
	for (int i = 0; i < 3; i++)
		assert_true(seen[i]);
}

/* More effects than the engine can keep: they pause, and go on as completions are taken. */
static void test_more_completions_than_the_engine_keeps_all_come(void **state)
{
	enum { COUNT = 700 };
	struct rota_address address = t_tcp("127.0.0.1", 80);
	struct t_op **ops = calloc(COUNT, sizeof(*ops));

	(void)state;
	assert_non_null(ops);
	sim.options.delay_max_ns = 1000;
	t_sim_open(&sim);
	for (int i = 0; i < COUNT; i++)
		ops[i] = t_start_connect(sim.engine, &address);
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(t_end(ops[i]), -ECONNREFUSED);
	t_sim_close(&sim);
	free(ops);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_clock_stands_still_until_a_poll_waits, setup),
		cmocka_unit_test_setup(test_poll_for_ever_with_nothing_to_come_is_a_deadlock,
				       setup),
		cmocka_unit_test_setup(test_wake_ends_one_poll_and_merges, setup),
		cmocka_unit_test_setup(
			test_delayed_completion_comes_within_its_range_and_no_earlier, setup),
		cmocka_unit_test_setup(
			test_cancel_ends_what_waits_and_leaves_the_operation_as_it_came, setup),
		cmocka_unit_test_setup(test_cancel_races_are_lost_and_won, setup),
		cmocka_unit_test_setup(test_cancelled_receive_delivers_what_it_had_and_then_ends,
				       setup),
		cmocka_unit_test_setup(
			test_receive_cancelled_too_late_takes_what_is_there_and_still_ends, setup),
		cmocka_unit_test_setup(test_buffers_run_out_and_nothing_is_lost, setup),
		cmocka_unit_test_setup(test_seeded_exhaustion_needs_a_buffer_that_is_out, setup),
		cmocka_unit_test_setup(test_receive_may_end_early_without_losing_a_byte, setup),
		cmocka_unit_test_setup(test_returned_buffer_is_overwritten, setup),
		cmocka_unit_test_setup(test_descriptor_limit_keeps_the_connection_for_later, setup),
		cmocka_unit_test_setup(test_random_is_the_seeds_and_disturbs_no_decision, setup),
		cmocka_unit_test_setup(test_completions_come_in_every_order, setup),
		cmocka_unit_test_setup(test_more_completions_than_the_engine_keeps_all_come, setup),
	};

	return cmocka_run_group_tests_name("sim engine", tests, NULL, NULL);
}
