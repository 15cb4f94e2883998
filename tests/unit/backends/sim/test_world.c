/* SPDX-License-Identifier: MIT */
/*
 * Worlds: options, leaks named, the process's own world, and every allocation failing in turn.
 */
#include <rota/memory.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/backends/sim/t_sim.h"

static struct t_sim sim;

static int setup(void **state)
{
	(void)state;
	t_sim_init(&sim, 1);
	return 0;
}

/* ---- options ---- */

static void test_options_text_sets_what_it_names(void **state)
{
	struct rota_sim_options options;
	char message[ROTA_BACKEND_TEXT_BYTES] = "";

	(void)state;
	rota_sim_options_init(&options, 1);
	assert_int_equal(rota_sim_options_parse(&options,
						"seed=18446744073709551615,rough,short-io=7,"
						"delay=5..9,buffers=16x512,descriptors=3,"
						"reorder=off,steps-max=11,socket-bytes=77",
						message),
			 0);
	assert_true(options.seed == UINT64_MAX);
	assert_int_equal(options.short_io_permille, 7);
	assert_true(options.late_cancel_permille > 0);
	assert_int_equal(options.delay_min_ns, 5);
	assert_int_equal(options.delay_max_ns, 9);
	assert_int_equal(options.buffers_count, 16);
	assert_int_equal(options.buffer_bytes, 512);
	assert_int_equal(options.descriptors_max, 3);
	assert_int_equal(options.socket_bytes, 77);
	assert_int_equal(options.steps_max, 11);
	assert_false(options.reorder);
}

static void test_options_malformed_are_refused_by_name_and_change_nothing(void **state)
{
	static const char *const bad[] = {
		"seed=",           "seed=x",        "seed=18446744073709551616",
		"seed=1 ",         "short-io=1001", "delay=9..5",
		"delay=5",         "buffers=0x1",   "buffers=1x0",
		"buffers=70000x1", "descriptors=0", "reorder=maybe",
		"rough=1",         "nonsense",      "=",
	};
	struct rota_sim_options options, before;
	char message[ROTA_BACKEND_TEXT_BYTES];

	(void)state;
	rota_sim_options_init(&options, 1);
	before = options;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(bad); i++) {
		struct rota_backend_config config = { .options = bad[i] };
		char text[64];

		snprintf(text, sizeof(text), "socket-bytes=9,%s", bad[i]);
		message[0] = '\0';
		if (rota_sim_options_parse(&options, text, message) != -EINVAL)
			fail_msg("accepted '%s'", bad[i]);
		assert_non_null(strstr(message, "bad option"));
		assert_memory_equal(&options, &before, sizeof(before));
		assert_int_equal(rota_backend_sim.probe(&config, message), -EINVAL);
	}
}

static void test_world_refuses_options_that_make_no_sense(void **state)
{
	struct rota_sim_world *world = NULL;

	(void)state;
	sim.options.socket_bytes = 0;
	assert_int_equal(rota_sim_world_create(&sim.options, &world), -EINVAL);
	assert_null(world);
}

/* ---- life ---- */

static void test_world_names_what_was_left_open(void **state)
{
	int listener, client;
	struct rota_address address = t_tcp("127.0.0.1", 6379);

	(void)state;
	t_sim_open(&sim);
	listener = t_listen(sim.engine, &address, 4);
	client = t_connect(sim.engine, &address);
	assert_int_equal(t_send(sim.engine, client, "abc", 3), 3);
	rota_backend_destroy(sim.engine);
	t_log_catch();
	assert_int_equal(rota_sim_world_destroy(sim.world), 2);
	t_log_release();
	assert_int_equal(listener, 1000000);
	assert_non_null(strstr(t_log_text(), "1000000 listens on 127.0.0.1:6379, 1 not accepted"));
	assert_non_null(
		strstr(t_log_text(), "1000001 127.0.0.1:32768 to 127.0.0.1:6379, 0 bytes unread"));
}

static void test_report_names_the_operations_that_wait(void **state)
{
	struct t_op *receive;
	int a, b;

	(void)state;
	t_sim_open(&sim);
	t_pair(sim.engine, AF_UNIX, &a, &b);
	receive = t_start(sim.engine, ROTA_OP_RECEIVE, b);
	t_turn(sim.engine);
	t_log_catch();
	assert_int_equal(rota_sim_world_report(sim.world), 2);
	t_log_release();
	assert_non_null(strstr(t_log_text(), "waiting: receive on 1000002, engine 0"));
	assert_int_equal(t_cancel(receive), -ECANCELED);
	t_close(sim.engine, a);
	t_close(sim.engine, b);
	t_sim_close(&sim);
}

static void test_engines_without_a_chosen_world_share_the_processs_own(void **state)
{
	struct rota_backend_config config = { .options = "seed=7" }, bad = { .options = "sead=7" };
	struct rota_backend *a = NULL, *b = NULL, *none = NULL;

	(void)state;
	assert_int_equal(rota_backend_create(&rota_backend_sim, &config, &a), 0);
	assert_int_equal(rota_backend_create(&rota_backend_sim, &config, &b), 0);
	assert_ptr_equal(rota_sim_world_of(a), rota_sim_world_of(b));
	t_log_catch();
	assert_int_equal(rota_backend_create(&rota_backend_sim, &bad, &none), -EINVAL);
	t_log_release();
	assert_non_null(strstr(t_log_text(), "sead"));
	rota_backend_destroy(a);
	rota_backend_destroy(b);
}

static void test_refuse_follows_its_chance(void **state)
{
	unsigned refused = 0;

	(void)state;
	t_sim_open(&sim);
	for (int i = 0; i < 1000; i++)
		refused += rota_sim_refuse(sim.world);
	assert_int_equal(refused, 0);
	t_sim_close(&sim);
	sim.options.refuse_permille = 250;
	t_sim_open(&sim);
	for (int i = 0; i < 1000; i++)
		refused += rota_sim_refuse(sim.world);
	assert_in_range(refused, 180, 320);
	t_sim_close(&sim);
}

/* ---- allocations that fail ---- */

static size_t allocations, fail_at, live;

static void *failing_allocate(size_t bytes)
{
	void *memory = ++allocations == fail_at ? NULL : malloc(bytes);

	live += memory != NULL;
	return memory;
}

static void *failing_reallocate(void *memory, size_t bytes)
{
	void *moved = ++allocations == fail_at ? NULL : realloc(memory, bytes);

	live += moved && !memory;
	return moved;
}

static void counting_release(void *memory)
{
	live -= memory != NULL;
	free(memory);
}

static const struct rota_allocator failing = {
	.allocate = failing_allocate,
	.reallocate = failing_reallocate,
	.release = counting_release,
};

static void close_if_open(struct rota_backend *engine, int fd)
{
	if (fd >= 0)
		assert_int_equal(t_close(engine, fd), 0);
	else
		assert_int_equal(fd, -ENOMEM);
}

static void use_engine(struct rota_backend *engine, const struct rota_address *address)
{
	int listener = t_listen(engine, address, 4), client, server, sent;

	if (listener >= 0) {
		client = t_connect(engine, address);
		if (client >= 0) {
			server = t_accept(engine, listener);
			assert_true(server >= 0);
			sent = t_send(engine, client, "abc", 3);
			assert_true(sent == 3 || sent == -ENOMEM);
			assert_int_equal(t_receive(engine, server, NULL), sent == 3 ? 3 : -EAGAIN);
			close_if_open(engine, server);
		}
		close_if_open(engine, client);
	}
	close_if_open(engine, listener);
}

static void use_everything(const struct rota_address *address)
{
	struct rota_backend_config config = { 0 };
	struct rota_backend *engine = NULL;
	int status = rota_sim_world_create(&sim.options, &sim.world);

	if (status < 0) {
		assert_int_equal(status, -ENOMEM);
		return;
	}
	rota_sim_world_use(sim.world);
	status = rota_backend_create(&rota_backend_sim, &config, &engine);
	if (status == 0)
		use_engine(engine, address);
	else
		assert_int_equal(status, -ENOMEM);
	rota_backend_destroy(engine);
	rota_sim_world_use(NULL);
	assert_int_equal(rota_sim_world_destroy(sim.world), 0);
}

static void test_every_failed_allocation_is_an_error_and_keeps_nothing(void **state)
{
	struct rota_address addresses[] = { t_tcp("127.0.0.1", 80), t_local("/run/x") };

	(void)state;
	rota_set_allocator(&failing);
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(addresses); i++) {
		for (fail_at = 1;; fail_at++) {
			allocations = 0;
			use_everything(&addresses[i]);
			assert_int_equal(live, 0);
			if (allocations < fail_at)
				break;
		}
		assert_in_range(fail_at, 9, 100);
	}
	rota_set_allocator(NULL);
}

static void test_process_world_that_cannot_be_made_or_used_leaves_nothing(void **state)
{
	struct rota_backend_config config = { 0 };
	struct rota_backend *engine;
	int status = -ENOMEM;

	(void)state;
	rota_set_allocator(&failing);
	for (fail_at = 1; status < 0; fail_at++) {
		allocations = 0;
		engine = NULL;
		status = rota_backend_create(&rota_backend_sim, &config, &engine);
		assert_true(status == 0 || status == -ENOMEM);
		rota_backend_destroy(engine);
		assert_int_equal(live, 0);
	}
	rota_set_allocator(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_options_text_sets_what_it_names, setup),
		cmocka_unit_test_setup(
			test_options_malformed_are_refused_by_name_and_change_nothing, setup),
		cmocka_unit_test_setup(test_world_refuses_options_that_make_no_sense, setup),
		cmocka_unit_test_setup(test_world_names_what_was_left_open, setup),
		cmocka_unit_test_setup(test_report_names_the_operations_that_wait, setup),
		cmocka_unit_test_setup(test_engines_without_a_chosen_world_share_the_processs_own,
				       setup),
		cmocka_unit_test_setup(test_refuse_follows_its_chance, setup),
		cmocka_unit_test_setup(test_every_failed_allocation_is_an_error_and_keeps_nothing,
				       setup),
		cmocka_unit_test_setup(
			test_process_world_that_cannot_be_made_or_used_leaves_nothing, setup),
	};

	return cmocka_run_group_tests_name("sim world", tests, NULL, NULL);
}
