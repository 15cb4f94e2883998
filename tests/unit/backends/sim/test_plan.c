/* SPDX-License-Identifier: MIT */
/*
 * The fault plan: read from text, drawn from the seed, and happening when it says.
 */
#include <stdio.h>
#include <string.h>

#include "tests/unit/backends/sim/t_sim.h"

static struct t_sim sim;
static struct rota_backend *engines[3]; /* hosts 0 to 2 */

static int setup(void **state)
{
	(void)state;
	t_sim_init(&sim, 1);
	assert_int_equal(rota_sim_world_create(&sim.options, &sim.world), 0);
	for (unsigned i = 0; i < 3; i++)
		engines[i] = t_engine_at(&sim, i);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		rota_backend_destroy(engines[i]);
	assert_int_equal(rota_sim_world_destroy(sim.world), 0);
	return 0;
}

static void test_plan_text_that_is_wrong_is_refused(void **state)
{
	static const char *const wrong[] = {
		"partition",           "partition:1-2",      "partition:1@1s", "partition:1-1@1s",
		"partition:1-16@1s",   "reset:1-2@1",        "reset:1-2@1s;;", "crash:1@3s..2s",
		"crash:1@1s restart",  "clock:1@1s",         "clock:1@1s*5s",  "flood:1@1s",
		"slow:1@99999999999s", "partition:1-2@1s..",
	};

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(wrong); i++)
		assert_int_equal(rota_sim_plan_parse(sim.world, wrong[i]), -EINVAL);
	assert_int_equal(rota_sim_plan_parse(sim.world, ""), 0);
}

static bool connects(unsigned from, unsigned to)
{
	struct rota_address any = t_tcp("*", 80), address = rota_sim_host_address(to, 80);
	int listener = t_listen(engines[to], &any, 8), server;
	struct t_op *call = t_start_connect(engines[from], &address);
	int client;

	t_turn(engines[from]);
	rota_sim_advance(sim.world, ROTA_NS_PER_MS);
	t_turn(engines[from]);
	client = call->has_ended ? t_end(call) : t_cancel(call);
	server = t_accept(engines[to], listener);
	if (client >= 0)
		t_close(engines[from], client);
	if (server >= 0)
		t_close(engines[to], server);
	t_close(engines[to], listener);
	return client >= 0;
}

static void test_plan_partition_begins_and_ends_when_it_says(void **state)
{
	(void)state;
	assert_int_equal(rota_sim_plan_parse(sim.world, "partition:1-2@1s..3s;partition:0>1@2s"),
			 0);
	assert_true(connects(1, 2));
	rota_sim_advance(sim.world, ROTA_NS_PER_S);
	assert_false(connects(1, 2));
	assert_false(connects(2, 1));
	assert_true(connects(0, 1));
	rota_sim_advance(sim.world, ROTA_NS_PER_S);
	assert_false(connects(0, 1));
	rota_sim_advance(sim.world, ROTA_NS_PER_S);
	assert_true(connects(1, 2));
	assert_false(connects(0, 1)); /* for good */
}

static void test_plan_clock_jumps_on_one_host(void **state)
{
	int64_t before = engines[1]->ops->wall_ns(engines[1]);

	(void)state;
	assert_int_equal(rota_sim_plan_parse(sim.world, "clock:1@1s-30s;clock:2@1s+10s"), 0);
	rota_sim_advance(sim.world, 2 * ROTA_NS_PER_S);
	assert_int_equal(engines[0]->ops->wall_ns(engines[0]) - before, 2 * ROTA_NS_PER_S);
	assert_int_equal(engines[1]->ops->wall_ns(engines[1]) - before, -28 * ROTA_NS_PER_S);
	assert_int_equal(engines[2]->ops->wall_ns(engines[2]) - before, 12 * ROTA_NS_PER_S);
}

static void test_plan_reset_and_slowness_and_hunger_happen(void **state)
{
	struct rota_address any = t_tcp("*", 80), address = rota_sim_host_address(2, 80);
	int listener = t_listen(engines[2], &any, 8);
	struct t_op *holder;
	rota_ns before;
	int a = t_connect(engines[1], &address), b = t_accept(engines[2], listener);

	(void)state;
	assert_int_equal(
		rota_sim_plan_parse(sim.world, "slow:1@1s..2s;starve:2@3s..4s;reset:1-2@5s"), 0);
	rota_sim_advance(sim.world, ROTA_NS_PER_S);
	before = rota_sim_now(sim.world);
	assert_int_equal(t_send(engines[1], a, "x", 1), 1);
	assert_true(rota_sim_now(sim.world) > before);
	rota_sim_advance(sim.world, 2 * ROTA_NS_PER_S);
	holder = t_start(engines[2], ROTA_OP_RECEIVE, b); /* keeps a buffer out */
	holder->keeps_buffers = true;
	for (int i = 0; i < 64 && !holder->has_ended; i++) {
		t_send(engines[1], a, "y", 1);
		t_turn(engines[2]);
	}
	assert_true(holder->has_ended);
	for (unsigned i = 0; i < holder->buffers_count; i++)
		engines[2]->ops->buffer_return(engines[2], holder->buffers[i]);
	assert_int_equal(t_end(holder), -ENOBUFS);
	rota_sim_advance(sim.world, 2 * ROTA_NS_PER_S);
	assert_int_equal(t_receive(engines[1], a, NULL), -ECONNRESET);
	t_close(engines[1], a);
	t_close(engines[2], b);
	t_close(engines[2], listener);
}

static char *plan_of(uint64_t seed, size_t *bytes)
{
	struct rota_sim_chaos chaos = {
		.host_first = 1,
		.host_last = 3,
		.crash_host = 1,
		.span_ns = 10 * ROTA_NS_PER_S,
		.longest_ns = ROTA_NS_PER_S,
		.counts_max = { 3, 3, 2, 1, 2, 2 },
	};
	struct rota_sim_options options;
	struct rota_sim_world *world;
	char *text = NULL;

	rota_sim_options_init(&options, seed);
	options.trace = open_memstream(&text, bytes);
	assert_int_equal(rota_sim_world_create(&options, &world), 0);
	assert_int_equal(rota_sim_plan_draw(world, &chaos), 0);
	assert_int_equal(rota_sim_world_destroy(world), 0);
	fclose(options.trace);
	return text;
}

static void test_plan_drawn_from_a_seed_is_the_same_each_time(void **state)
{
	unsigned different = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		size_t bytes, bytes_again, bytes_other;
		char *text = plan_of(seed, &bytes), *again = plan_of(seed, &bytes_again);
		char *other = plan_of(seed + 1, &bytes_other);

		assert_int_equal(bytes, bytes_again);
		assert_memory_equal(text, again, bytes);
		different += bytes != bytes_other || memcmp(text, other, bytes) != 0;
		free(text);
		free(again);
		free(other);
	}
	assert_true(different >= 19);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plan_text_that_is_wrong_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_plan_partition_begins_and_ends_when_it_says,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_plan_clock_jumps_on_one_host, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plan_reset_and_slowness_and_hunger_happen,
						setup, teardown),
		cmocka_unit_test(test_plan_drawn_from_a_seed_is_the_same_each_time),
	};

	return cmocka_run_group_tests_name("sim plan", tests, NULL, NULL);
}
