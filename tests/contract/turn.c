/* SPDX-License-Identifier: MIT */
/*
 * Engine contract: poll()'s waiting, wake(), clocks, randomness, options and statistics. Layer:
 * tests; see contract.h.
 */
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

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

/* ---- a foreign loop waits ---- */

static bool is_readable(int fd, int timeout_ms)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	int count;

	do
		count = poll(&pollfd, 1, timeout_ms);
	while (count < 0 && errno == EINTR);
	assert_true(count >= 0);
	return count;
}

/* Turn until the foreign loop may wait. */
static void prepare(struct t_world *world)
{
	while (world->ops->prepare(world->backend))
		t_turn(world, 0);
}

/* One round of a foreign loop: it waits, if it may, far longer than anything can take. */
static void go_round(struct t_world *world, int fd)
{
	if (!world->ops->prepare(world->backend))
		assert_true(is_readable(fd, (int)(FAR_NS / ROTA_NS_PER_MS)));
	t_turn(world, 0);
}

static void test_pollable_is_one_descriptor_or_refused(void **state)
{
	struct t_world *world = *state;
	int fd = world->ops->pollable(world->backend);

	if (world->simulated) {
		assert_int_equal(fd, -ENOTSUP);
		assert_int_equal(world->ops->prepare(world->backend), 1);
		return;
	}
	assert_true(fd >= 0);
	assert_int_equal(world->ops->pollable(world->backend), fd);
}

static void test_pollable_is_readable_for_what_comes_and_not_without(void **state)
{
	struct t_world *world = *state;
	int fd = world->ops->pollable(world->backend);
	struct t_op *receiving, *sending;
	int client, server;

	t_pair(world, &client, &server);
	receiving = t_receive(world, server);
	for (size_t i = 0; i < 20; i++) {
		/* given: nothing to do, however often one asks */
		prepare(world);
		while (is_readable(fd, 0)) {
			t_turn(world, 0);
			prepare(world);
		}
		assert_int_equal(world->ops->prepare(world->backend), 0);
		assert_false(is_readable(fd, 0));
		/* when */
		sending = t_send(world, client, t_pattern() + i, 1);
		assert_int_equal(world->ops->prepare(world->backend), 1);
		/* then */
		while (!sending->done || receiving->data.bytes <= i)
			go_round(world, fd);
	}
	assert_memory_equal(receiving->data.data, t_pattern(), 20);
	t_cancel(receiving);
	t_close(world, client);
	t_close(world, server);
}

/* What is in the kernel but not in our hands keeps the loop from waiting, or ends its wait. */
static void test_pollable_tells_of_what_a_small_poll_left_behind(void **state)
{
	struct t_world *world = *state;
	int fd = world->ops->pollable(world->backend);
	int pipes[8][2];
	struct t_op *ops[8];
	unsigned done = 0;

	world->out_max = 1;
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(ops); i++) {
		assert_int_equal(pipe(pipes[i]), 0);
		ops[i] = t_poll_op(world, pipes[i][0], POLLIN);
	}
	prepare(world);
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(ops); i++)
		assert_int_equal(write(pipes[i][1], "x", 1), 1);
	while (done < ROTA_ARRAY_COUNT(ops)) {
		go_round(world, fd);
		done = 0;
		for (unsigned i = 0; i < ROTA_ARRAY_COUNT(ops); i++)
			done += ops[i]->done;
	}
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(ops); i++) {
		assert_int_equal(ops[i]->result, POLLIN);
		t_close(world, pipes[i][0]);
		t_close(world, pipes[i][1]);
	}
}

static void test_pollable_is_readable_after_a_wake(void **state)
{
	struct t_world *world = *state;
	int fd = world->ops->pollable(world->backend);

	for (int i = 0; i < 20; i++) {
		uint64_t wakes = t_stats(world).wakes;

		prepare(world);
		world->ops->wake(world->backend);
		while (t_stats(world).wakes == wakes)
			go_round(world, fd);
	}
}

static void test_pollable_never_loses_a_wake_from_another_thread(void **state)
{
	struct handover handover = { .world = *state };
	struct t_world *world = *state;
	int fd = world->ops->pollable(world->backend);
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, publish_and_wake, &handover), 0);
	while (handover.seen < HANDOVERS) {
		go_round(world, fd);
		__atomic_store_n(&handover.seen,
				 __atomic_load_n(&handover.published, __ATOMIC_SEQ_CST),
				 __ATOMIC_SEQ_CST);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
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
	T_TEST(test_pollable_is_one_descriptor_or_refused),
	T_KERNEL_TEST(test_pollable_is_readable_for_what_comes_and_not_without, "descriptors"),
	T_KERNEL_TEST(test_pollable_tells_of_what_a_small_poll_left_behind, "descriptors"),
	T_KERNEL_TEST(test_pollable_is_readable_after_a_wake, "descriptors"),
	T_KERNEL_TEST(test_pollable_never_loses_a_wake_from_another_thread, "threads"),
	T_TEST(test_clocks_go_forward_and_random_bytes_differ),
	T_TEST(test_probe_says_in_one_line_what_is_on),
	T_TEST(test_options_unknown_or_malformed_are_refused_by_name),
	T_TEST(test_stats_count_what_happened),
	T_KERNEL_TEST(test_two_instances_do_not_know_of_each_other, "one world"),
	{ .name = NULL },
};
