/* SPDX-License-Identifier: MIT */
/*
 * The uring engine's operation table and what happens when memory, descriptors or callers fail it.
 * One thread; aborts happen in a forked child.
 */
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/backends/uring/support.h"

/* ---- an allocator that fails on demand ---- */

static int allocations_left; /* -1: no limit */

static bool may_allocate(void)
{
	if (allocations_left < 0)
		return true;
	if (allocations_left == 0)
		return false;
	allocations_left--;
	return true;
}

static void *limited_allocate(size_t bytes)
{
	return may_allocate() ? malloc(bytes) : NULL;
}

static void *limited_reallocate(void *memory, size_t bytes)
{
	return may_allocate() ? realloc(memory, bytes) : NULL;
}

static const struct rota_allocator limited = {
	.allocate = limited_allocate,
	.reallocate = limited_reallocate,
	.release = free,
};

static int set_up(void **state)
{
	(void)state;
	allocations_left = -1;
	rota_set_allocator(&limited);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rota_set_allocator(NULL);
	return 0;
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void open_out_of_memory(const char *options, int tries_min)
{
	struct rota_backend_config config = { .options = options };
	unsigned descriptors = open_descriptors();
	struct rota_backend *backend = NULL;
	int status = -ENOMEM, tries = 0;

	allocations_left = -1;
	rota_backend_destroy(t_engine(options)); /* skips where there is no io_uring */
	for (; status == -ENOMEM; tries++) {
		assert_int_equal(open_descriptors(), descriptors);
		allocations_left = tries;
		status = rota_backend_create(&rota_backend_uring, &config, &backend);
	}
	assert_int_equal(status, 0);
	assert_true(tries >= tries_min);
	allocations_left = -1;
	rota_backend_destroy(backend);
	assert_int_equal(open_descriptors(), descriptors);
}

static void test_open_out_of_memory_undoes_everything(void **state)
{
	(void)state;
	open_out_of_memory("buffers=16x64", 3); /* the instance, the buffers, who has them */
	open_out_of_memory("buffers=16x64,incremental=on,direct=on", 3);
	open_out_of_memory("buffers=16x64,bundles=on", 3);
}

static void test_submit_out_of_memory_completes_with_enomem(void **state)
{
	struct rota_backend *backend = t_engine("");
	struct rota_address address;
	int sockets[2];
	unsigned descriptors;
	struct t_op receive_op = { .op = { .kind = ROTA_OP_RECEIVE } };
	struct t_op connect_op = { .op = { .kind = ROTA_OP_CONNECT, .address = &address } };
	struct t_op close_op = { .op = { .kind = ROTA_OP_CLOSE } };

	(void)state;
	assert_int_equal(rota_address_parse(&address, "127.0.0.1", 9), 0);
	t_pair(sockets);
	descriptors = open_descriptors();
	/* given: the first operation of all, which needs the table's memory */
	allocations_left = 0;
	receive_op.op.fd = sockets[0];
	close_op.op.fd = sockets[1];
	t_submit(backend, &receive_op);
	t_submit(backend, &connect_op);
	t_submit(backend, &close_op);
	backend->ops->cancel(backend, &receive_op.op); /* has ended already */
	/* when */
	assert_int_equal(t_poll(backend, ROTA_NEVER), 3);
	/*
	 * then: the errors, the socket of the connect given back, and the descriptor closed all the
	 * same
	 */
	assert_int_equal(receive_op.result, -ENOMEM);
	assert_int_equal(connect_op.result, -ENOMEM);
	assert_int_equal(close_op.result, 0);
	assert_int_equal(open_descriptors(), descriptors - 1);
	/* and with memory it works again */
	allocations_left = -1;
	t_submit(backend, &receive_op);
	t_run(backend, receive_op.completions == 2);
	assert_int_equal(receive_op.result, 0); /* the peer is gone */
	close(sockets[0]);
	rota_backend_destroy(backend);
}

static void test_file_close_out_of_memory_closes_all_the_same(void **state)
{
	struct rota_backend *backend = t_engine("");
	struct rota_completion completion;
	struct rota_file_op closing;
	unsigned descriptors;
	int sockets[2];

	(void)state;
	t_pair(sockets);
	descriptors = open_descriptors();
	rota_file_op_init(&closing, ROTA_FILE_CLOSE, sockets[0]);
	allocations_left = 0;
	backend->ops->submit(backend, &closing.op);
	allocations_left = -1;
	assert_int_equal(backend->ops->poll(backend, &completion, 1, ROTA_NEVER), 1);
	assert_ptr_equal(completion.op, &closing.op);
	assert_int_equal(completion.result, 0);
	assert_int_equal(open_descriptors(), descriptors - 1);
	close(sockets[1]);
	rota_backend_destroy(backend);
}

static void test_table_growth_out_of_memory_spares_the_others(void **state)
{
	enum { COUNT = URING_ENTRIES_MIN + 3 };
	static struct t_op ops[COUNT];
	struct rota_backend *backend = t_engine("");
	unsigned terminals = 0;
	int sockets[2];

	(void)state;
	t_pair(sockets);
	allocations_left = 1; /* the first table */
	for (unsigned i = 0; i < COUNT; i++) {
		ops[i] = (struct t_op){
			.op = { .kind = ROTA_OP_POLL, .fd = sockets[0], .events = POLLIN }
		};
		t_submit(backend, &ops[i]);
	}
	assert_int_equal(t_poll(backend, ROTA_NEVER), 3);
	for (unsigned i = URING_ENTRIES_MIN; i < COUNT; i++)
		assert_int_equal(ops[i].result, -ENOMEM);
	allocations_left = -1;
	assert_int_equal(write(sockets[1], "x", 1), 1);
	do {
		t_poll(backend, ROTA_NEVER);
		terminals = 0;
		for (unsigned i = 0; i < COUNT; i++)
			terminals += ops[i].terminals;
	} while (terminals < COUNT);
	close(sockets[0]);
	close(sockets[1]);
	rota_backend_destroy(backend);
}

/*
 * A request that completes with the user_data of an operation long gone, or of none that ever was.
 */
static void test_table_stale_generation_is_dropped_and_counted(void **state)
{
	struct rota_backend *backend = t_engine("");
	struct uring_engine *engine = uring__engine(backend);
	struct t_op op = { .op = { .kind = ROTA_OP_POLL, .events = POLLIN } };
	uint64_t strangers[] = { 0,          (uint64_t)77 << 32, 77, (uint64_t)5 << 32 | 3,
				 0xfffffffe, UINT64_MAX,         0 };
	int sockets[2];

	(void)state;
	/* given: entry 0 was used once, and is used again with another generation */
	t_pair(sockets);
	op.op.fd = sockets[0];
	t_submit(backend, &op);
	strangers[6] = (uint64_t)op.op.generation_ << 32;
	backend->ops->cancel(backend, &op.op);
	t_run(backend, op.terminals == 1);
	t_submit(backend, &op);
	assert_int_equal(op.op.index_, 0);
	/* when */
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(strangers); i++) {
		struct io_uring_sqe *sqe = uring__next_sqe(engine);

		io_uring_prep_nop(sqe);
		sqe->user_data = strangers[i];
	}
	t_run(backend, t_stats(backend).unknown == ROTA_ARRAY_COUNT(strangers));
	/* then */
	assert_int_equal(op.terminals, 1);
	backend->ops->cancel(backend, &op.op);
	t_run(backend, op.terminals == 2);
	close(sockets[0]);
	close(sockets[1]);
	rota_backend_destroy(backend);
}

/* Submit `op` in such a way that the kernel will not wait for the socket but end it with EAGAIN. */
static void submit_impatiently(struct rota_backend *backend, struct t_op *op)
{
	struct io_uring_sq *sq = &uring__engine(backend)->ring.sq;

	t_submit(backend, op);
	sq->sqes[(sq->sqe_tail - 1) & sq->ring_mask].msg_flags |= MSG_DONTWAIT;
}

/* Write until the socket takes no more. Returns the bytes. */
static size_t fill_socket(int fd)
{
	static const char bytes[4096];
	size_t filled = 0;
	ssize_t n;

	while ((n = write(fd, bytes, sizeof(bytes))) > 0)
		filled += (size_t)n;
	assert_int_equal(errno, EAGAIN);
	return filled;
}

/*
 * The kernel may end an operation with EAGAIN where it should have waited: sockets are
 * non-blocking, and when there was room a moment ago it tries without waiting. Nothing was lost
 * then.
 */
static void test_would_block_is_no_end(void **state)
{
	struct rota_backend *backend = t_engine("");
	struct t_op send = { .op = { .kind = ROTA_OP_SEND, .send = { "x", 1 } } };
	struct t_op receive = { .op = { .kind = ROTA_OP_RECEIVE } };
	struct t_op cancelled = { .op = { .kind = ROTA_OP_RECEIVE } };
	int sockets[2];
	size_t filled;

	(void)state;
	/* given */
	t_pair(sockets);
	send.op.fd = receive.op.fd = sockets[0];
	filled = fill_socket(sockets[0]);
	/* when */
	submit_impatiently(backend, &send);
	submit_impatiently(backend, &receive);
	for (int i = 0; i < 3; i++)
		t_poll(backend, 0);
	/* then */
	assert_int_equal(send.completions + receive.completions, 0);
	assert_int_equal(write(sockets[1], "abc", 3), 3);
	t_run(backend, receive.bytes == 3);
	for (char bytes[4096]; filled > 0;)
		filled -= (size_t)read(sockets[1], bytes, rota_min_size(filled, sizeof(bytes)));
	t_run(backend, send.terminals == 1);
	assert_int_equal(send.result, 1);
	backend->ops->cancel(backend, &receive.op);
	t_run(backend, receive.terminals == 1);
	/* and one that was cancelled ends as cancelled */
	cancelled.op.fd = sockets[0];
	submit_impatiently(backend, &cancelled);
	backend->ops->cancel(backend, &cancelled.op);
	t_run(backend, cancelled.terminals == 1);
	assert_int_equal(cancelled.result, -ECANCELED);
	close(sockets[0]);
	close(sockets[1]);
	rota_backend_destroy(backend);
}

static void test_connect_refused_closes_its_socket(void **state)
{
	struct rota_backend *backend = t_engine("");
	struct rota_listen_options options = { .backlog = 1 };
	struct rota_address address;
	struct t_op op = { .op = { .kind = ROTA_OP_CONNECT, .address = &address } };
	unsigned descriptors = open_descriptors();
	int fd;

	(void)state;
	/* given: a port that was free a moment ago */
	assert_int_equal(rota_address_parse(&options.address, "127.0.0.1", 0), 0);
	fd = backend->ops->listen(backend, &options);
	assert_true(fd >= 0);
	assert_int_equal(backend->ops->address(backend, fd, false, &address), 0);
	close(fd);
	/* when, then */
	t_submit(backend, &op);
	t_run(backend, op.terminals);
	assert_int_equal(op.result, -ECONNREFUSED);
	assert_int_equal(open_descriptors(), descriptors);
	/* and one that is cancelled before it left */
	op.terminals = 0;
	t_submit(backend, &op);
	backend->ops->cancel(backend, &op.op);
	t_run(backend, op.terminals);
	assert_true(op.result == -ECONNREFUSED || op.result == -ECANCELED);
	assert_int_equal(open_descriptors(), descriptors);
	rota_backend_destroy(backend);
}

static void test_accept_out_of_descriptors_ends(void **state)
{
	static const char *const variants[] = { "", "multishot=off" };

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(variants); i++) {
		struct rota_backend *backend = t_engine(variants[i]);
		struct rota_listen_options options = { .backlog = 8 };
		struct rota_address address;
		struct t_op op = { .op = { .kind = ROTA_OP_ACCEPT } };
		struct rlimit limit, none;
		int client;

		assert_int_equal(rota_address_parse(&options.address, "127.0.0.1", 0), 0);
		op.op.fd = backend->ops->listen(backend, &options);
		assert_int_equal(backend->ops->address(backend, op.op.fd, false, &address), 0);
		client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(client, &address.any, address.bytes), 0);
		getrlimit(RLIMIT_NOFILE, &limit);
		none = limit;
		none.rlim_cur = 0;
		setrlimit(RLIMIT_NOFILE, &none);
		t_submit(backend, &op);
		t_run(backend, op.terminals);
		setrlimit(RLIMIT_NOFILE, &limit);
		assert_int_equal(op.result, -EMFILE);
		/* and again with descriptors: nobody was lost */
		t_submit(backend, &op);
		t_run(backend, op.completions == 2);
		assert_true(op.result >= 0);
		close(op.result);
		backend->ops->cancel(backend, &op.op);
		t_run(backend, op.terminals == 2);
		assert_int_equal(op.result, -ECANCELED);
		close(client);
		close(op.op.fd);
		rota_backend_destroy(backend);
	}
}

/* ---- programmer errors ---- */

static void leak_a_receive(void)
{
	struct rota_backend *backend = t_engine("");
	struct t_op op = { .op = { .kind = ROTA_OP_RECEIVE } };
	int sockets[2];

	t_pair(sockets);
	op.op.fd = sockets[0];
	t_submit(backend, &op);
	rota_backend_destroy(backend);
}

static void return_a_buffer_twice(void)
{
	struct rota_backend *backend = t_engine("");

	backend->ops->buffer_return(backend, 3);
}

static void submit_twice(void)
{
	struct rota_backend *backend = t_engine("");
	struct t_op op = { .op = { .kind = ROTA_OP_POLL, .events = POLLIN } };

	t_submit(backend, &op);
	t_submit(backend, &op);
}

/* Runs `crime` in a child, which must abort and say `words`. */
static void assert_aborts(void (*crime)(void), const char *words)
{
	char text[4096] = { 0 };
	size_t used = 0;
	ssize_t got;
	int ends[2], status;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct rlimit no_core = { 0, 0 };

		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		dup2(ends[1], STDERR_FILENO);
		crime();
		_exit(0);
	}
	close(ends[1]);
	while ((got = read(ends[0], text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)got;
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
		fail_msg("it did not abort: status %d, \"%s\"", status, text);
	if (!strstr(text, words))
		fail_msg("\"%s\" does not say \"%s\"", text, words);
}

static void test_close_with_operation_in_flight_names_it(void **state)
{
	(void)state;
	rota_backend_destroy(t_engine("")); /* skips where there is no io_uring */
	assert_aborts(leak_a_receive, "receive on descriptor");
}

static void test_buffer_returned_twice_is_caught(void **state)
{
	(void)state;
	rota_backend_destroy(t_engine(""));
	assert_aborts(return_a_buffer_twice, "views");
}

static void test_submit_of_lent_operation_is_caught(void **state)
{
	(void)state;
	rota_backend_destroy(t_engine(""));
	assert_aborts(submit_twice, "URING_OP_IDLE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_open_out_of_memory_undoes_everything, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_submit_out_of_memory_completes_with_enomem,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_file_close_out_of_memory_closes_all_the_same,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_table_growth_out_of_memory_spares_the_others,
						set_up, tear_down),
		cmocka_unit_test(test_table_stale_generation_is_dropped_and_counted),
		cmocka_unit_test(test_would_block_is_no_end),
		cmocka_unit_test(test_connect_refused_closes_its_socket),
		cmocka_unit_test(test_accept_out_of_descriptors_ends),
		cmocka_unit_test(test_close_with_operation_in_flight_names_it),
		cmocka_unit_test(test_buffer_returned_twice_is_caught),
		cmocka_unit_test(test_submit_of_lent_operation_is_caught),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
