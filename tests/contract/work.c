/* SPDX-License-Identifier: MIT */
/*
 * Engine contract: operations that block, calls and files. Layer: tests; see contract.h.
 *
 * The one idea: whether a kernel, a thread or a simulator does it, it is done once or, cancelled,
 * not at all, and the completion says which.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/contract/contract.h"

static unsigned calls; /* atomic */

static int32_t count_call(struct rota_op *op)
{
	(void)op;
	__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
	return 42;
}

static int32_t fail_call(struct rota_op *op)
{
	(void)op;
	return -EXDEV;
}

/* ---- calls ---- */

static void test_call_result_ends_a_poll_that_waits(void **state)
{
	struct t_world *world = *state;

	calls = 0;
	for (unsigned i = 1; i <= 20; i++) {
		assert_int_equal(t_finish(t_call(world, count_call)), 42);
		assert_int_equal(__atomic_load_n(&calls, __ATOMIC_RELAXED), i);
	}
	assert_int_equal(t_finish(t_call(world, fail_call)), -EXDEV);
}

static void test_call_of_many_one_completion_at_a_time_ends_each_once(void **state)
{
	enum { MANY = 100 };
	struct t_world *world = *state;
	struct t_op *ops[MANY];

	calls = 0;
	world->out_max = 1;
	for (int i = 0; i < MANY; i++)
		ops[i] = t_call(world, count_call);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(t_finish(ops[i]), 42);
	t_settle(world);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(ops[i]->completions, 1);
	assert_int_equal(__atomic_load_n(&calls, __ATOMIC_RELAXED), MANY);
}

static void test_call_cancelled_at_any_turn_was_made_or_was_not(void **state)
{
	struct t_world *world = *state;

	for (int turns = 0; turns < 4; turns++) {
		for (int i = 0; i < 50; i++) {
			struct t_op *op;
			int32_t result;

			calls = 0;
			op = t_call(world, count_call);
			for (int turn = 0; turn < turns; turn++)
				t_turn(world, 0);
			t_ask_cancel(op);
			t_ask_cancel(op);
			result = t_finish(op);
			assert_true(result == 42 || result == -ECANCELED);
			assert_int_equal(__atomic_load_n(&calls, __ATOMIC_RELAXED), result == 42);
			assert_int_equal(op->completions, 1);
		}
	}
}

/*
 * A foreign loop waits on the descriptor alone: for calls that end, and those that were cancelled.
 */
static void test_call_that_has_ended_is_told_to_a_foreign_loop(void **state)
{
	enum { MANY = 60 };
	struct t_world *world = *state;
	struct pollfd pollfd = { .fd = world->ops->pollable(world->backend), .events = POLLIN };
	struct t_op *ops[MANY];

	calls = 0;
	assert_true(pollfd.fd >= 0);
	world->out_max = 1;
	for (int i = 0; i < MANY; i++)
		ops[i] = t_call(world, count_call);
	t_turn(world, 0);
	for (int i = 0; i < MANY; i += 2)
		t_ask_cancel(ops[i]);
	for (int i = 0; i < MANY; i++) {
		while (!ops[i]->done) {
			/* far longer than anything can take */
			if (!world->ops->prepare(world->backend))
				assert_int_equal(poll(&pollfd, 1, 60000), 1);
			t_turn(world, 0);
		}
		assert_true(ops[i]->result == 42 || (i % 2 == 0 && ops[i]->result == -ECANCELED));
	}
}

/* ---- files ---- */

static const char *path_of(const struct t_world *world)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/rota-contract-%d", world->simulated ? "" : "/tmp",
		 getpid());
	return path;
}

static int32_t open_file(struct t_world *world, int flags)
{
	struct rota_file_op file;

	rota_file_op_init(&file, ROTA_FILE_OPEN, -1);
	file.path = path_of(world);
	file.flags = flags;
	file.mode = 0600;
	return t_finish(t_file(world, &file));
}

static struct t_op *move(struct t_world *world, enum rota_file_action action, int fd, void *data,
			 uint32_t bytes)
{
	struct rota_file_op file;

	rota_file_op_init(&file, action, fd);
	file.data = data;
	file.bytes = bytes;
	return t_file(world, &file);
}

static int32_t on_descriptor(struct t_world *world, enum rota_file_action action, int fd)
{
	struct rota_file_op file;

	rota_file_op_init(&file, action, fd);
	return t_finish(t_file(world, &file));
}

static void unlink_file(struct t_world *world)
{
	struct rota_file_op file;

	rota_file_op_init(&file, ROTA_FILE_UNLINK, -1);
	file.path = path_of(world);
	assert_int_equal(t_finish(t_file(world, &file)), 0);
}

static void test_file_written_is_read_and_has_its_size(void **state)
{
	struct t_world *world = *state;
	struct statx status;
	char back[64];
	int32_t fd = open_file(world, O_RDWR | O_CREAT | O_EXCL), bytes;

	assert_true(fd >= 0);
	assert_int_equal(open_file(world, O_RDWR | O_CREAT | O_EXCL), -EEXIST);
	bytes = t_finish(move(world, ROTA_FILE_WRITE, fd, (void *)(uintptr_t)t_pattern(), 50));
	assert_in_range(bytes, 1, 50);
	assert_int_equal(t_finish(move(world, ROTA_FILE_STATUS, fd, &status, 0)), 0);
	assert_int_equal(status.stx_size, bytes);
	assert_true(S_ISREG(status.stx_mode));
	bytes = t_finish(move(world, ROTA_FILE_READ, fd, back, sizeof(back)));
	assert_in_range(bytes, 1, status.stx_size);
	assert_memory_equal(back, t_pattern(), (size_t)bytes);
	assert_int_equal(on_descriptor(world, ROTA_FILE_SYNC, fd), 0);
	assert_int_equal(on_descriptor(world, ROTA_FILE_TRUNCATE, fd), 0);
	assert_int_equal(t_finish(move(world, ROTA_FILE_READ, fd, back, sizeof(back))), 0);
	assert_int_equal(on_descriptor(world, ROTA_FILE_CLOSE, fd), 0);
	unlink_file(world);
	assert_int_equal(open_file(world, O_RDONLY), -ENOENT);
}

static void test_file_operations_on_no_descriptor_end_with_error(void **state)
{
	const enum rota_file_action actions[] = { ROTA_FILE_CLOSE, ROTA_FILE_SYNC,
						  ROTA_FILE_TRUNCATE };
	struct t_world *world = *state;
	char back[8];

	for (size_t i = 0; i < ROTA_ARRAY_COUNT(actions); i++)
		assert_int_equal(on_descriptor(world, actions[i], -1), -EBADF);
	assert_int_equal(t_finish(move(world, ROTA_FILE_READ, -1, back, 8)), -EBADF);
	assert_int_equal(t_finish(move(world, ROTA_FILE_LIST, -1, back, 8)), -EBADF);
}

static void test_file_write_cancelled_at_any_turn_says_what_it_wrote(void **state)
{
	struct t_world *world = *state;

	for (int turns = 0; turns < 30; turns++) {
		struct statx status;
		struct t_op *op;
		int32_t result, fd = open_file(world, O_RDWR | O_CREAT | O_TRUNC);

		assert_true(fd >= 0);
		op = move(world, ROTA_FILE_WRITE, fd, (void *)(uintptr_t)t_pattern(), 100);
		for (int turn = 0; turn < turns % 3; turn++)
			t_turn(world, 0);
		t_ask_cancel(op);
		result = t_finish(op);
		assert_true(result > 0 || result == -ECANCELED);
		assert_int_equal(t_finish(move(world, ROTA_FILE_STATUS, fd, &status, 0)), 0);
		assert_int_equal(status.stx_size, result > 0 ? result : 0);
		assert_int_equal(on_descriptor(world, ROTA_FILE_CLOSE, fd), 0);
		unlink_file(world);
	}
}

const struct t_test t_work_tests[] = {
	T_TEST(test_call_result_ends_a_poll_that_waits),
	T_TEST(test_call_of_many_one_completion_at_a_time_ends_each_once),
	T_TEST(test_call_cancelled_at_any_turn_was_made_or_was_not),
	T_KERNEL_TEST(test_call_that_has_ended_is_told_to_a_foreign_loop, "foreign loops"),
	T_TEST(test_file_written_is_read_and_has_its_size),
	T_TEST(test_file_operations_on_no_descriptor_end_with_error),
	T_TEST(test_file_write_cancelled_at_any_turn_says_what_it_wrote),
	{ .name = NULL },
};
