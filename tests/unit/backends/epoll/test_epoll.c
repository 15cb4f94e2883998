/* SPDX-License-Identifier: MIT */
/*
 * What is special to the epoll engine and not in its contract: system calls it must not make, files
 * it can't get rid of, and memory it does not get. Layer: tests. One thread.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>
/* cmocka.h needs the above. */
#include <cmocka.h>

#include <rota/error.h>

#include "backends/epoll/epoll.h"
#include "tests/support/t_alloc.h"

static int32_t last_result;
static unsigned completions;

static void on_completion(struct rota_op *op, const struct rota_completion *completion)
{
	(void)op;
	completions++;
	last_result = completion->result;
}

static struct rota_backend *open_engine(const char *options)
{
	struct rota_backend_config config = { .options = options };
	struct rota_backend *backend;

	assert_int_equal(rota_backend_create(&rota_backend_epoll, &config, &backend), 0);
	return backend;
}

/* One poll() that does not wait. */
static int turn(struct rota_backend *backend)
{
	struct rota_completion out[8];
	int count = backend->ops->poll(backend, out, 8, 0);

	for (int i = 0; i < count; i++) {
		if (out[i].flags & ROTA_COMPLETION_BUFFER)
			backend->ops->buffer_return(backend, out[i].buffer);
		out[i].op->complete(out[i].op, &out[i]);
	}
	return count;
}

static uint64_t system_calls(struct rota_backend *backend)
{
	struct rota_backend_stats stats;

	backend->ops->stats(backend, &stats);
	return stats.system_calls;
}

static void make_pair(int ends[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
			 0);
}

static void end(struct rota_backend *backend, struct rota_op *op)
{
	backend->ops->cancel(backend, op);
	assert_int_equal(turn(backend), 1);
	assert_int_equal(last_result, -ECANCELED);
}

static void test_epoll_steady_request_costs_one_wait_one_receive_one_send(void **state)
{
	struct rota_backend *backend = open_engine("");
	struct rota_op receive = { .complete = on_completion, .kind = ROTA_OP_RECEIVE };
	struct rota_op send_op = { .complete = on_completion, .kind = ROTA_OP_SEND };
	int ends[2];

	(void)state;
	make_pair(ends);
	receive.fd = send_op.fd = ends[0];
	backend->ops->submit(backend, &receive);
	turn(backend);
	for (int i = 0; i < 10; i++) {
		uint64_t before = system_calls(backend);

		assert_int_equal(write(ends[1], "x", 1), 1);
		assert_int_equal(turn(backend), 1);
		send_op.send.data = "y";
		send_op.send.bytes = 1;
		backend->ops->submit(backend, &send_op);
		assert_int_equal(turn(backend), 1);
		assert_int_equal(system_calls(backend) - before, 3);
	}
	end(backend, &receive);
	rota_backend_destroy(backend);
	close(ends[0]);
	close(ends[1]);
}

static void test_epoll_patient_send_does_not_keep_it_from_waiting(void **state)
{
	struct rota_backend *backend = open_engine("");
	struct rota_op send_op = { .complete = on_completion, .kind = ROTA_OP_SEND };
	struct rota_completion out[4];
	int ends[2];

	(void)state;
	make_pair(ends);
	send_op.fd = ends[0];
	send_op.send.data = "y";
	send_op.send.bytes = 1;
	for (int i = 0; i < 3; i++) {
		uint64_t before = system_calls(backend);
		rota_ns deadline = backend->ops->now(backend) + 3 * ROTA_NS_PER_MS;

		send_op.flags_ = ROTA_OP_PATIENT;
		backend->ops->submit(backend, &send_op);
		assert_int_equal(backend->ops->poll(backend, out, 4, deadline), 1);
		assert_true(backend->ops->now(backend) >= deadline);
		assert_int_equal(out[0].result, 1);
		assert_int_equal(out[0].flags, ROTA_COMPLETION_LATE);
		assert_int_equal(send_op.flags_, 0);
		assert_int_equal(system_calls(backend) - before, 2);
	}
	rota_backend_destroy(backend);
	close(ends[0]);
	close(ends[1]);
}

/*
 * A connection that lives on in a duplicate stays readable for ever, and epoll can't be told to
 * forget it.
 */
static void test_epoll_event_of_a_closed_file_does_not_spin_for_ever(void **state)
{
	struct rota_backend *backend = open_engine("");
	struct rota_op receive = { .complete = on_completion, .kind = ROTA_OP_RECEIVE };
	struct rota_op other = receive,
		       close_op = { .complete = on_completion, .kind = ROTA_OP_CLOSE };
	struct rota_backend_stats first, second;
	int ends[2], fresh[2], duplicate;

	(void)state;
	make_pair(ends);
	receive.fd = close_op.fd = ends[0];
	backend->ops->submit(backend, &receive);
	turn(backend);
	end(backend, &receive);
	duplicate = dup(ends[0]);
	backend->ops->submit(backend, &close_op);
	assert_int_equal(turn(backend), 1);
	assert_int_equal(write(ends[1], "x", 1), 1);
	make_pair(fresh);
	assert_int_equal(fresh[0], ends[0]);
	other.fd = fresh[0];
	backend->ops->submit(backend, &other);

	for (int i = 0; i < 1100; i++)
		assert_int_equal(turn(backend), 0);
	backend->ops->stats(backend, &first);
	for (int i = 0; i < 100; i++)
		assert_int_equal(turn(backend), 0);
	backend->ops->stats(backend, &second);
	assert_true(first.unknown > 0);
	assert_int_equal(second.unknown, first.unknown);

	/* What is waited for has come along. */
	assert_int_equal(write(fresh[1], "x", 1), 1);
	assert_int_equal(turn(backend), 1);
	assert_int_equal(last_result, 1);
	end(backend, &other);
	rota_backend_destroy(backend);
	close(fresh[0]);
	close(fresh[1]);
	close(ends[1]);
	close(duplicate);
}

/* Open an engine and let one operation wait; whatever is missing, nothing is left behind. */
/* It is registered with a loop we know nothing of, so it has to stay when all inside is new. */
static void test_epoll_started_over_is_still_pollable(void **state)
{
	struct rota_backend *backend = open_engine("");
	struct rota__epoll *engine = (struct rota__epoll *)backend;
	struct rota_op receive = { .complete = on_completion, .kind = ROTA_OP_RECEIVE };
	struct pollfd outside = { .fd = backend->ops->pollable(backend), .events = POLLIN };
	int old = engine->epoll_fd;
	int ends[2];

	(void)state;
	make_pair(ends);
	receive.fd = ends[0];
	backend->ops->submit(backend, &receive);
	turn(backend);
	assert_int_equal(rota__epoll_rebuild(engine), 0);
	assert_int_not_equal(engine->epoll_fd, old);
	assert_int_equal(backend->ops->pollable(backend), outside.fd);
	assert_int_equal(backend->ops->prepare(backend), 0);
	assert_int_equal(poll(&outside, 1, 0), 0);

	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_int_equal(poll(&outside, 1, 0), 1);
	assert_int_equal(turn(backend), 1);
	end(backend, &receive);
	backend->ops->wake(backend);
	assert_int_equal(poll(&outside, 1, 0), 1);
	rota_backend_destroy(backend);
	close(ends[0]);
	close(ends[1]);
}

static void open_and_wait(void *arg)
{
	struct rota_backend_config config = { .options = "buffers=2x64" };
	struct rota_op op = { .complete = on_completion, .kind = ROTA_OP_POLL, .events = POLLIN };
	struct rota_backend *backend;
	int status = rota_backend_create(&rota_backend_epoll, &config, &backend);

	assert_true(status == 0 || status == -ENOMEM);
	if (status < 0)
		return;
	completions = 0;
	op.fd = *(int *)arg;
	backend->ops->submit(backend, &op);
	turn(backend);
	if (completions)
		assert_int_equal(last_result, -ENOMEM);
	else
		end(backend, &op);
	rota_backend_destroy(backend);
}

static void test_epoll_without_memory_says_so_and_keeps_nothing(void **state)
{
	int ends[2];

	(void)state;
	make_pair(ends);
	t_alloc_install();
	assert_true(t_alloc_sweep(open_and_wait, &ends[0]) > 0);
	t_alloc_remove();
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_epoll_steady_request_costs_one_wait_one_receive_one_send),
		cmocka_unit_test(test_epoll_patient_send_does_not_keep_it_from_waiting),
		cmocka_unit_test(test_epoll_event_of_a_closed_file_does_not_spin_for_ever),
		cmocka_unit_test(test_epoll_started_over_is_still_pollable),
		cmocka_unit_test(test_epoll_without_memory_says_so_and_keeps_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
