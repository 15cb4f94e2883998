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

static void plan(const char *text)
{
	char message[ROTA_BACKEND_TEXT_BYTES] = "";

	if (rota_sim_plan_parse(sim.world, text, message) < 0)
		fail_msg("%s", message);
}

/* What is planned; until the next call. */
static const char *text_of(const struct rota_sim_world *world)
{
	static char text[4096];
	FILE *out = fmemopen(text, sizeof(text), "w");

	assert_non_null(out);
	text[0] = '\0';
	rota_sim_plan_print(world, out);
	fclose(out);
	return text;
}

static void test_plan_text_that_is_wrong_is_refused(void **state)
{
	static const struct {
		const char *text;
		const char *where; /* the message has it */
	} wrong[] = {
		{ "partition", "character 1, 'partition': one of partition: reset:" },
		{ "flood:1@1s", "character 1, 'flood:1@1s': one of" },
		{ "slow:1@1s;flood:1@1s", "character 11, 'flood:1@1s': one of" },
		{ "crash:16@1s", "character 7, '16@1s': a host from 0 to 15" },
		{ "partition:1@1s", "character 12, '@1s': - or > and another host" },
		{ "reset:1>2@1s", "character 8, '>2@1s': - and another host" },
		{ "partition:1-16@1s", "character 13, '16@1s': another host, from 0" },
		{ "partition:1-1@1s", "character 14, '@1s': it is to be another host" },
		{ "partition:1-2", "character 14, '': @ and a time" },
		{ "reset:1-2@1", "character 11, '1': @ and a time" },
		{ "slow:1@99999999999s", "character 8, '99999999999s': @ and a time" },
		{ "partition:1-2@1s..", "character 19, '': a time such as" },
		{ "crash:1@3s..2s", "character 11, '..2s': it is not to end before" },
		{ "reset:1-2@1s..2s", "character 13, '..2s': ; or the end" },
		{ "crash:1@1s restart", "character 11, ' restart': ; or the end" },
		{ "reset:1-2@1s;;", "character 14, ';': one of" },
		{ "clock:1@1s", "character 11, '': + or - and a time" },
		{ "clock:1@1s*5s", "character 11, '*5s': + or - and a time" },
	};

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(wrong); i++) {
		char message[ROTA_BACKEND_TEXT_BYTES];

		assert_int_equal(rota_sim_plan_parse(sim.world, wrong[i].text, message), -EINVAL);
		if (!strstr(message, wrong[i].where))
			fail_msg("%s: %s", wrong[i].text, message);
	}
	assert_string_equal(text_of(sim.world), ""); /* of a wrong text, nothing is planned */
	plan("");
}

static void test_plan_printed_is_the_plan_that_was_read(void **state)
{
	static const char text[] = "partition:1-2@1s..3s;partition:0>1@1500ms;reset:1-2@2s;"
				   "crash:1@2s..2000000007ns;clock:2@0s+30us;clock:2@1s-2s;"
				   "slow:15@7ns..7ns;starve:1@3s;no-memory:1@1us..4s;"
				   "disk-error:1@1s..2s;disk-full:1@1s..2s";

	(void)state;
	plan(text);
	assert_string_equal(text_of(sim.world), text);
	assert_int_equal(rota_sim_plan_count(sim.world, ROTA_SIM_PARTITION), 2);
	assert_int_equal(rota_sim_plan_count(sim.world, ROTA_SIM_RESET), 1);
}

/* Where programs and people say it: --backend sim:plan=… */
static void test_plan_is_an_option(void **state)
{
	char message[ROTA_BACKEND_TEXT_BYTES];
	struct rota_backend_config config = { .options = "rough,plan=slow:1@1s;flod:1@2s" };
	struct rota_sim_options options;
	struct rota_sim_world *world;

	(void)state;
	assert_int_equal(rota_backend_sim.probe(&config, message), -EINVAL);
	assert_string_equal(message,
			    "bad plan: at character 11, 'flod:1@2s': one of partition: reset: "
			    "crash: clock: slow: starve: no-memory: disk-error: disk-full: is to "
			    "stand here");
	rota_sim_options_init(&options, 1);
	assert_int_equal(rota_sim_options_parse(&options, "plan=slow:1@1s..2s,seed=3", message), 0);
	assert_int_equal(rota_sim_world_create(&options, &world), 0);
	assert_string_equal(text_of(world), "slow:1@1s..2s");
	assert_int_equal(rota_sim_world_destroy(world), 0);
	options.plan = rota_view_of_string("slow:1@");
	assert_int_equal(rota_sim_world_create(&options, &world), -EINVAL);
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
	plan("partition:1-2@1s..3s;partition:0>1@2s");
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
	plan("clock:1@1s-30s;clock:2@1s+10s");
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
	plan("slow:1@1s..2s;starve:2@3s..4s;reset:1-2@5s");
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

/* ---- drawn ---- */

static void check_that_text_says_all(const struct rota_sim_world *drawn)
{
	char *text = strdup(text_of(drawn));
	struct rota_sim_options options;
	struct rota_sim_world *world;

	assert_non_null(text);
	rota_sim_options_init(&options, 1);
	options.plan = rota_view_of_string(text);
	assert_int_equal(rota_sim_world_create(&options, &world), 0);
	assert_string_equal(text_of(world), text);
	assert_int_equal(rota_sim_world_destroy(world), 0);
	free(text);
}

static char *plan_of(uint64_t seed, size_t *bytes)
{
	struct rota_sim_chaos chaos = {
		.host_first = 1,
		.host_last = 3,
		.victim = 1,
		.span_ns = 10 * ROTA_NS_PER_S,
		.longest_ns = ROTA_NS_PER_S,
		.counts_max = { 3, 3, 2, 1, 2, 2, 2, 2, 2 },
	};
	struct rota_sim_options options;
	struct rota_sim_world *world;
	char *text = NULL;

	rota_sim_options_init(&options, seed);
	options.trace = open_memstream(&text, bytes);
	assert_int_equal(rota_sim_world_create(&options, &world), 0);
	assert_int_equal(rota_sim_plan_draw(world, &chaos), 0);
	check_that_text_says_all(world);
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
		cmocka_unit_test_setup_teardown(test_plan_printed_is_the_plan_that_was_read, setup,
						teardown),
		cmocka_unit_test(test_plan_is_an_option),
		cmocka_unit_test(test_plan_drawn_from_a_seed_is_the_same_each_time),
	};

	return cmocka_run_group_tests_name("sim plan", tests, NULL, NULL);
}
