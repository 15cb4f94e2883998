/* SPDX-License-Identifier: MIT */
/*
 * Engine contract: poll()'s waiting, wake(), clocks, randomness, options and statistics. Layer:
 * tests; see contract.h.
 */
#include <pthread.h>
#include <string.h>

#include "tests/contract/contract.h"

/* A poll that waits for this deadline has missed what it should have returned for. */
#define FAR_NS (1000 * ROTA_NS_PER_S)

/* ---- deadlines ---- */

static void test_poll_without_work_returns_at_its_deadline_and_not_before(void **state)
{
	struct t_world *world = *state;

	for (int i = 0; i < 5; i++) {
		rota_ns deadline = world->ops->now(world->backend) + 3 * ROTA_NS_PER_MS;
		struct rota_completion out[4];
		int turns = 0;

		/* Returning early with nothing is allowed, but not as a way to wait. */
		while (world->ops->now(world->backend) < deadline) {
			assert_int_equal(world->ops->poll(world->backend, out, 4, deadline), 0);
			assert_in_range(++turns, 1, 10);
		}
	}
}

static void test_poll_with_a_deadline_in_the_past_does_not_wait(void **state)
{
	struct t_world *world = *state;
	rota_ns start = world->ops->now(world->backend);
	struct rota_completion out[4];

	assert_int_equal(world->ops->poll(world->backend, out, 4, 0), 0);
	assert_int_equal(world->ops->poll(world->backend, out, 4, 1), 0);
	assert_int_equal(world->ops->poll(world->backend, out, 4, start), 0);
	assert_true(world->ops->now(world->backend) - start < FAR_NS / 2);
}

static void test_poll_returns_for_a_completion_long_before_its_deadline(void **state)
{
	struct t_world *world = *state;
	rota_ns start = world->ops->now(world->backend);
	struct t_op *op, *sending;
	int client, server;

	t_pair(world, &client, &server);
	op = t_receive(world, server);
	sending = t_send(world, client, "x", 1);
	while (!op->data.bytes)
		t_turn(world, FAR_NS);
	assert_true(world->ops->now(world->backend) - start < FAR_NS / 2);
	t_finish(sending);
	t_cancel(op);
	t_close(world, client);
	t_close(world, server);
}

/* ---- wake ---- */

static void test_wake_before_poll_makes_it_return(void **state)
{
	struct t_world *world = *state;
	rota_ns start = world->ops->now(world->backend);

	for (int i = 0; i < 5; i++) {
		errno = 12345;
		world->ops->wake(world->backend);
		world->ops->wake(world->backend);
		assert_int_equal(errno, 12345);
		t_turn(world, FAR_NS);
	}
	assert_true(world->ops->now(world->backend) - start < FAR_NS / 2);
	assert_true(t_stats(world).wakes > 0);
}

static void test_wake_is_used_up_by_the_poll_it_ends(void **state)
{
	struct t_world *world = *state;
	rota_ns start = world->ops->now(world->backend);
	struct rota_completion out[4];
	rota_ns deadline;

	world->ops->wake(world->backend);
	t_settle(world);
	deadline = world->ops->now(world->backend) + 3 * ROTA_NS_PER_MS;
	for (int turns = 0; world->ops->now(world->backend) < deadline; turns++) {
		assert_int_equal(world->ops->poll(world->backend, out, 4, deadline), 0);
		assert_in_range(turns, 0, 10);
	}
	assert_true(world->ops->now(world->backend) - start >= 3 * ROTA_NS_PER_MS);
}

/* The thread hands over numbers by the rule every mailbox uses: publish, then wake. */
struct handover {
	struct t_world *world;
	unsigned published; /* atomic */
	unsigned seen;      /* atomic */
};

enum { HANDOVERS = 2000 };

static void *publish_and_wake(void *arg)
{
	struct handover *handover = arg;

	for (unsigned i = 1; i <= HANDOVERS; i++) {
		__atomic_store_n(&handover->published, i, __ATOMIC_SEQ_CST);
		handover->world->ops->wake(handover->world->backend);
		/*
		 * Every other time let the reader catch up, so that it is met before, in and after
		 * its poll().
		 */
		while (i % 2 && __atomic_load_n(&handover->seen, __ATOMIC_SEQ_CST) < i)
			sched_yield();
	}
	return NULL;
}

static void test_wake_from_another_thread_is_never_lost(void **state)
{
	struct handover handover = { .world = *state };
	struct t_world *world = *state;
	rota_ns start = world->ops->now(world->backend);
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, publish_and_wake, &handover), 0);
	while (handover.seen < HANDOVERS) {
		t_turn(world, FAR_NS);
		__atomic_store_n(&handover.seen,
				 __atomic_load_n(&handover.published, __ATOMIC_SEQ_CST),
				 __ATOMIC_SEQ_CST);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(world->ops->now(world->backend) - start < FAR_NS / 2);
}

static void test_wake_among_completions_disturbs_nothing(void **state)
{
	struct t_world *world = *state;
	struct t_op *op;
	int client, server;

	t_pair(world, &client, &server);
	op = t_receive(world, server);
	for (size_t i = 0; i < 100; i++) {
		world->ops->wake(world->backend);
		t_send_all(world, client, t_pattern() + i, 1);
		world->ops->wake(world->backend);
		t_until_received(op, i + 1);
	}
	assert_memory_equal(op->data.data, t_pattern(), 100);
	t_cancel(op);
	t_close(world, client);
	t_close(world, server);
}

/* ---- clocks, randomness ---- */

static void test_clocks_go_forward_and_random_bytes_differ(void **state)
{
	struct t_world *world = *state;
	rota_ns last = world->ops->now(world->backend);
	unsigned char bytes[2][32] = { { 0 } };

	for (int i = 0; i < 1000; i++) {
		rota_ns now = world->ops->now(world->backend);

		assert_true(now >= last);
		last = now;
	}
	assert_true(world->ops->wall_ns(world->backend) > 0);
	world->ops->random(world->backend, bytes[0], sizeof(bytes[0]));
	world->ops->random(world->backend, bytes[1], sizeof(bytes[1]));
	assert_memory_not_equal(bytes[0], bytes[1], sizeof(bytes[0]));
}

/* ---- options, probe, statistics ---- */

static void test_probe_says_in_one_line_what_is_on(void **state)
{
	struct t_world *world = *state;
	struct rota_backend_config config = { .options = NULL };
	char text[ROTA_BACKEND_TEXT_BYTES] = "";

	assert_int_equal(world->ops->probe(&config, text), 0);
	assert_true(strlen(text) > 0);
	assert_null(strchr(text, '\n'));
}

static void test_options_unknown_or_malformed_are_refused_by_name(void **state)
{
	static const char *const wrong[] = { "frobnicate=on", "frobnicate", "buffers=nonsense", "=",
					     "buffers" };
	struct t_world *world = *state;

	for (size_t i = 0; i < ROTA_ARRAY_COUNT(wrong); i++) {
		struct rota_backend_config config = { .options = wrong[i] };
		struct rota_backend *backend = NULL;
		char text[ROTA_BACKEND_TEXT_BYTES] = "";

		print_message("%s\n", wrong[i]);
		assert_int_equal(world->ops->probe(&config, text), -EINVAL);
		if (strstr(wrong[i], "frobnicate"))
			assert_non_null(strstr(text, "frobnicate"));
		assert_int_equal(rota_backend_create(world->ops, &config, &backend), -EINVAL);
		assert_null(backend);
	}
}

static void test_stats_count_what_happened(void **state)
{
	struct t_world *world = *state;
	struct rota_backend_stats before, after;
	int client, server;

	t_pair(world, &client, &server);
	t_settle(world);
	before = t_stats(world);
	for (int i = 0; i < 10; i++)
		t_send_all(world, client, "x", 1);
	after = t_stats(world);
	assert_int_equal(after.submitted - before.submitted, 10);
	assert_int_equal(after.completions - before.completions, 10);
	assert_true(after.buffers_count > 0);
	assert_true(after.buffer_bytes > 0);
	assert_int_equal(after.buffers_lent, 0);
	if (!world->simulated) {
		assert_true(after.system_calls > before.system_calls);
		assert_true(after.polls > before.polls);
	}
	t_close(world, client);
	t_close(world, server);
}

static void test_two_instances_do_not_know_of_each_other(void **state)
{
	struct t_world *world = *state;
	struct rota_backend_config config = { .options = NULL };
	struct rota_backend *other;
	struct t_op *op;
	int client, server;

	assert_int_equal(rota_backend_create(world->ops, &config, &other), 0);
	t_pair(world, &client, &server);
	op = t_receive(world, server);
	world->ops->wake(other);
	t_send_all(world, client, "x", 1);
	t_until_received(op, 1);
	assert_int_equal(op->data.bytes, 1);
	t_cancel(op);
	rota_backend_destroy(other);
	t_close(world, client);
	t_close(world, server);
}

const struct t_test t_turn_tests[] = {
	T_TEST(test_poll_without_work_returns_at_its_deadline_and_not_before),
	T_TEST(test_poll_with_a_deadline_in_the_past_does_not_wait),
	T_TEST(test_poll_returns_for_a_completion_long_before_its_deadline),
	T_TEST(test_wake_before_poll_makes_it_return),
	T_TEST(test_wake_is_used_up_by_the_poll_it_ends),
	T_KERNEL_TEST(test_wake_from_another_thread_is_never_lost, "threads"),
	T_TEST(test_wake_among_completions_disturbs_nothing),
	T_TEST(test_clocks_go_forward_and_random_bytes_differ),
	T_TEST(test_probe_says_in_one_line_what_is_on),
	T_TEST(test_options_unknown_or_malformed_are_refused_by_name),
	T_TEST(test_stats_count_what_happened),
	T_KERNEL_TEST(test_two_instances_do_not_know_of_each_other, "one world"),
	{ .name = NULL },
};
