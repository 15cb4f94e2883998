/* SPDX-License-Identifier: MIT */
/*
 * What the fault plan lets a host be short of, or have errors of: memory and its disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rota/file.h>
#include <rota/memory.h>
#include <rota/reactor.h>

#include "backends/sim/sim.h"
#include "tests/support/t_core.h"

/* What became of attempts, of which one is made each millisecond. */
struct burst {
	int (*attempt)(void);
	int error;             /* what it is to be, if it is one */
	unsigned failed[3];    /* before, during and after the second from 1 s to 2 s */
	unsigned succeeded[3]; /* the same */
};

static struct rota_file file;

static int take_memory(void)
{
	void *memory = rota_alloc(100);

	rota_free(memory);
	return memory ? 0 : -ENOMEM;
}

static int write_a_byte(void)
{
	int64_t bytes = rota_file_size(&file);

	return bytes < 0 ? (int)bytes : rota_file_write_at(&file, "x", 1, (uint64_t)bytes);
}

static int sync_it(void)
{
	return rota_file_sync(&file);
}

/* What is open can be closed: a world that ends with an open file fails the test. */
static int open_and_close(void)
{
	struct rota_file other;
	int status = rota_file_open(&other, "other", O_WRONLY | O_CREAT, 0600);

	return status < 0 ? status : rota_file_close(&other);
}

static rota_ns second(int number)
{
	return ROTA_SIM_START_NS + number * ROTA_NS_PER_S;
}

static int64_t attempt_for_three_seconds(void *arg)
{
	struct burst *burst = arg;

	T_EQUAL(rota_file_open(&file, "file", O_RDWR | O_CREAT, 0600), 0);
	while (rota_now() < second(3)) {
		int phase = (int)((rota_now() - second(0)) / ROTA_NS_PER_S);
		int status = burst->attempt();

		T_CHECK(status == 0 || status == burst->error);
		if (rota_now() < second(phase + 1)) /* or it was both before and after */
			++*(status < 0 ? &burst->failed[phase] : &burst->succeeded[phase]);
		while (rota_sleep_ms(1) < 0)
			;
	}
	rota_file_close(&file);
	return 0;
}

static struct burst *burst_now;

static int attempt_all(void *arg)
{
	struct rota_reactor_options options = { .engine = &rota_backend_sim };

	(void)arg;
	return (int)rota_run(&options, attempt_for_three_seconds, burst_now);
}

/* Attempts fail while the plan says so, more or less often, and neither before nor after. */
static void attempt_under(const char *text, struct burst *burst)
{
	struct rota_sim_options options;
	struct rota_sim_world *world;

	rota_sim_options_init(&options, 1);
	options.plan = rota_view_of_string(text);
	burst_now = burst;
	assert_int_equal(rota_sim_world_create(&options, &world), 0);
	assert_int_equal(rota_sim_host_boot(world, 1, attempt_all, NULL), 0);
	assert_int_equal(rota_sim_run(world), 0);
	assert_int_equal(rota_sim_host_result(world, 1), 0);
	assert_int_equal(rota_sim_world_destroy(world), 0);
	assert_int_equal(burst->failed[0], 0);
	assert_true(burst->failed[1] > 0);
	assert_int_equal(burst->failed[2], 0);
	assert_true(burst->succeeded[0] > 100 && burst->succeeded[2] > 100);
}

static void test_burst_of_no_memory_fails_allocations_and_operations(void **state)
{
	struct burst memory = { .attempt = take_memory, .error = -ENOMEM };
	struct burst operations = { .attempt = sync_it, .error = -ENOMEM };
	struct burst opens = { .attempt = open_and_close, .error = -ENOMEM };

	(void)state;
	attempt_under("no-memory:1@1s..2s", &memory);
	assert_true(memory.succeeded[1] > 10 * memory.failed[1]);
	attempt_under("no-memory:1@1s..2s", &operations);
	assert_true(operations.succeeded[1] > 10 * operations.failed[1]);
	attempt_under("no-memory:1@1s..2s", &opens);
}

static void test_burst_of_disk_errors_and_of_a_full_disk(void **state)
{
	struct burst writes = { .attempt = write_a_byte, .error = -EIO };
	struct burst syncs = { .attempt = sync_it, .error = -EIO };
	struct burst full = { .attempt = write_a_byte, .error = -ENOSPC };

	(void)state;
	attempt_under("disk-error:1@1s..2s", &writes);
	assert_true(writes.succeeded[1] > 0);
	attempt_under("disk-error:1@1s..2s", &syncs);
	assert_true(syncs.succeeded[1] > 0);
	attempt_under("disk-full:1@1s..2s", &full);
	assert_int_equal(full.succeeded[1], 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_of_no_memory_fails_allocations_and_operations),
		cmocka_unit_test(test_burst_of_disk_errors_and_of_a_full_disk),
	};

	return cmocka_run_group_tests_name("sim bursts", tests, NULL, NULL);
}
