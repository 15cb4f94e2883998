/* SPDX-License-Identifier: MIT */
/*
 * Engine contract: what happens at the limits: buffers, descriptors, thousands of operations, a
 * thousand connections. Layer: tests; see contract.h.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/contract/contract.h"

/* ---- buffers ---- */

#define FEW_BUFFERS "buffers=4x1024"

/* Take every buffer the engine has by a receive that keeps them; it ends for want of one more. */
static struct t_op *take_all_buffers(struct t_world *world, int client, int server)
{
	unsigned taken = 0;
	struct t_op *op = NULL;

	while (taken < t_stats(world).buffers_count || !op->done) {
		if (!op || op->done) {
			op = t_receive(world, server);
			op->hold = true;
		}
		t_send_all(world, client, t_pattern(), 100);
		t_turn(world, ROTA_NS_PER_MS);
		taken = t_stats(world).buffers_lent;
	}
	return op;
}

/* Give back what all receives of this test hold. */
static void return_all_buffers(struct t_world *world)
{
	for (struct rota_link *link = world->all.next; link != &world->all; link = link->next)
		t_return_held(ROTA_CONTAINER_OF(link, struct t_op, link));
}

static void test_receive_without_buffers_ends_and_goes_on_when_they_come_back(void **state)
{
	struct t_world *world = *state;
	struct t_op *op, *other;
	int client[2], server[2];

	t_pair(world, &client[0], &server[0]);
	t_pair(world, &client[1], &server[1]);
	op = take_all_buffers(world, client[0], server[0]);
	assert_int_equal(op->result, -ENOBUFS);
	assert_true(t_stats(world).buffers_exhausted > 0);
	assert_int_equal(t_stats(world).buffers_lent, 4);

	/* Another connection finds none either, loses nothing, and works once there are some. */
	t_send_all(world, client[1], t_pattern(), 500);
	other = t_receive(world, server[1]);
	other->hold = true;
	assert_int_equal(t_finish(other), -ENOBUFS);
	return_all_buffers(world);
	assert_int_equal(t_stats(world).buffers_lent, 0);
	t_expect(world, server[1], t_pattern(), 500);
	for (int i = 0; i < 2; i++) {
		t_close(world, client[i]);
		t_close(world, server[i]);
	}
}

static void test_receive_with_one_buffer_returned_gets_that_one(void **state)
{
	struct t_world *world = *state;
	struct t_op *op;
	int client, server;

	t_pair(world, &client, &server);
	take_all_buffers(world, client, server);
	for (int i = 0; i < 20; i++) {
		return_all_buffers(world);
		t_send_all(world, client, t_pattern(), 3000);
		op = t_receive(world, server);
		op->hold = true;
		t_until_completions(op, 1);
		if (!op->done)
			t_cancel(op);
	}
	return_all_buffers(world);
	t_close(world, client);
	t_close(world, server);
}

/* An idle connection must not sit on a buffer: more of them than buffers can wait. */
static void test_receive_idle_ones_hold_no_buffer(void **state)
{
	enum { COUNT = 12 };
	struct t_world *world = *state;
	struct t_op *ops[COUNT];
	int client[COUNT], server[COUNT];

	for (int i = 0; i < COUNT; i++) {
		t_pair(world, &client[i], &server[i]);
		ops[i] = t_receive(world, server[i]);
	}
	t_settle(world);
	assert_int_equal(t_stats(world).buffers_lent, 0);
	for (int i = 0; i < COUNT; i++) {
		t_send_all(world, client[i], t_pattern(), 100);
		t_until_received(ops[i], 100);
		assert_int_equal(ops[i]->data.bytes, 100);
	}
	for (int i = 0; i < COUNT; i++) {
		t_cancel(ops[i]);
		t_close(world, client[i]);
		t_close(world, server[i]);
	}
}

/* ---- thousands of operations before one poll() ---- */

static void test_submit_thousands_of_sends_before_one_poll_all_complete(void **state)
{
	enum { COUNT = 3000 };
	struct t_world *world = *state;
	struct t_op **ops = calloc(COUNT, sizeof(struct t_op *));
	struct t_op *receiving;
	int client, server;

	/* Sends in flight together have no order, so only their number counts. */
	t_pair(world, &client, &server);
	for (int i = 0; i < COUNT; i++)
		ops[i] = t_send(world, client, "x", 1);
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(t_finish(ops[i]), 1);
	receiving = t_receive(world, server);
	t_until_received(receiving, COUNT);
	assert_int_equal(receiving->data.bytes, COUNT);
	t_cancel(receiving);
	free(ops);
	t_close(world, client);
	t_close(world, server);
}

static void test_submit_thousands_and_cancel_them_before_one_poll(void **state)
{
	enum { COUNT = 3000 };
	struct t_world *world = *state;
	struct t_op **ops = calloc(COUNT, sizeof(struct t_op *));
	int client, server;

	t_pair(world, &client, &server);
	/*
	 * Before the kernel has heard of them and after; from the oldest on, and from the newest.
	 */
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < COUNT; i++)
			ops[i] = t_poll_op(world, server, POLLIN);
		if (round & 1)
			t_settle(world);
		for (int i = 0; i < COUNT; i++)
			t_ask_cancel(ops[round & 2 ? COUNT - 1 - i : i]);
		for (int i = 0; i < COUNT; i++)
			assert_int_equal(t_finish(ops[i]), -ECANCELED);
	}
	free(ops);
	t_close(world, client);
	t_close(world, server);
}

/* ---- descriptors ---- */

/* Let the process have no descriptor beyond those it has. Returns what it was. */
static struct rlimit allow_no_more_descriptors(void)
{
	struct rlimit before, none;
	int next = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(next >= 0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	return before;
}

static void test_accept_out_of_descriptors_ends_and_works_again_later(void **state)
{
	struct t_world *world = *state;
	struct rota_address address;
	int listener = t_listen(world, &address, 8);
	struct t_op *accepting;
	struct rlimit before;
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(client >= 0);
	before = allow_no_more_descriptors();
	/* Submitted afterwards: io_uring notes the limit when it takes the operation. */
	accepting = t_accept(world, listener);
	/* A raw peer, because our own connect would need a descriptor. */
	assert_int_equal(connect(client, &address.any, address.bytes), 0);
	t_finish(accepting);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(accepting->result, -EMFILE);
	assert_int_equal(accepting->fd_count, 0);

	/* The connection is still in the queue. */
	accepting = t_accept(world, listener);
	t_until_completions(accepting, 1);
	assert_int_equal(accepting->fd_count, 1);
	t_cancel(accepting);
	t_close(world, accepting->fds[0]);
	t_close(world, client);
	t_close(world, listener);
}

static void test_connect_out_of_descriptors_ends_with_error(void **state)
{
	struct t_world *world = *state;
	struct rota_address address;
	int listener = t_listen(world, &address, 8);
	struct rlimit before = allow_no_more_descriptors();
	int32_t result = t_finish(t_connect(world, &address));

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(result, -EMFILE);
	t_close(world, listener);
}

static void test_pollable_out_of_descriptors_says_so_and_works_later(void **state)
{
	struct t_world *world = *state;

	/* None to be had, then one, then two: whatever is missing, nothing of it stays. */
	for (rlim_t more = 0; more < 2; more++) {
		struct rlimit before = allow_no_more_descriptors();
		struct rlimit some;
		int fd;

		assert_int_equal(getrlimit(RLIMIT_NOFILE, &some), 0);
		some.rlim_cur += more;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &some), 0);
		fd = world->ops->pollable(world->backend);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		if (fd >= 0)
			break; /* one is all it needs */
		assert_int_equal(fd, -EMFILE);
	}
	assert_true(world->ops->pollable(world->backend) >= 0);
}

/* ---- connections ---- */

struct thousand {
	struct t_op *ops[1000];
	int fds[1000];
};

enum { THOUSAND = 1000, THOUSAND_BYTES = 40 };

/* On each of `from` its own bytes, all at the same time; `to` receives them. */
static void send_a_thousand(struct t_world *world, const struct thousand *from, struct thousand *to)
{
	static struct t_op *sending[THOUSAND];

	for (int i = 0; i < THOUSAND; i++) {
		to->ops[i] = t_receive(world, to->fds[i]);
		sending[i] = t_send(world, from->fds[i], t_pattern() + i, THOUSAND_BYTES);
	}
	for (int i = 0; i < THOUSAND; i++)
		t_finish_send(sending[i], from->fds[i], t_pattern() + i, THOUSAND_BYTES);
	for (int i = 0; i < THOUSAND; i++)
		t_until_received(to->ops[i], THOUSAND_BYTES);
}

static void connect_a_thousand(struct t_world *world, struct t_op *accepting,
			       const struct rota_address *address, struct thousand *clients)
{
	static struct t_op *connecting[THOUSAND];

	for (int i = 0; i < THOUSAND; i++)
		connecting[i] = t_connect(world, address);
	for (int i = 0; i < THOUSAND; i++) {
		clients->fds[i] = t_finish(connecting[i]);
		assert_true(clients->fds[i] >= 0);
	}
	t_until_completions(accepting, THOUSAND);
}

/* Accepted in whatever order: which number a connection has, its bytes say. */
static void assert_each_has_its_own(const struct thousand *received)
{
	static const char *seen[THOUSAND];

	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < THOUSAND; i++) {
		const char *found = NULL;

		assert_int_equal(received->ops[i]->data.bytes, THOUSAND_BYTES);
		for (int k = 0; k < THOUSAND && !found; k++)
			if (!seen[k] &&
			    !memcmp(received->ops[i]->data.data, t_pattern() + k, THOUSAND_BYTES))
				seen[k] = found = received->ops[i]->data.data;
		assert_non_null(found);
	}
}

static void close_a_thousand(struct t_world *world, const struct thousand *ends)
{
	static struct t_op *closing[THOUSAND];

	for (int i = 0; i < THOUSAND; i++)
		if (!ends->ops[i]->done)
			t_ask_cancel(ends->ops[i]);
	for (int i = 0; i < THOUSAND; i++) {
		t_finish(ends->ops[i]);
		closing[i] = t_close_op(world, ends->fds[i]);
	}
	for (int i = 0; i < THOUSAND; i++)
		assert_int_equal(t_finish(closing[i]), 0);
}

static void test_thousand_connections_each_get_their_own_bytes(void **state)
{
	static struct thousand clients, servers;
	struct t_world *world = *state;
	struct rota_address address;
	int listener = t_listen(world, &address, THOUSAND);
	struct t_op *accepting = t_accept(world, listener);

	connect_a_thousand(world, accepting, &address, &clients);
	memcpy(servers.fds, accepting->fds, sizeof(servers.fds));
	send_a_thousand(world, &clients, &servers);
	assert_each_has_its_own(&servers);
	send_a_thousand(world, &servers, &clients);
	assert_each_has_its_own(&clients);
	close_a_thousand(world, &clients);
	close_a_thousand(world, &servers);
	t_cancel(accepting);
	t_close(world, listener);
}

#define BUFFER_TEST(function)                                                                      \
	{                                                                                          \
		.name = #function, .run = function, .options = FEW_BUFFERS                         \
	}

const struct t_test t_limit_tests[] = {
	BUFFER_TEST(test_receive_without_buffers_ends_and_goes_on_when_they_come_back),
	BUFFER_TEST(test_receive_with_one_buffer_returned_gets_that_one),
	BUFFER_TEST(test_receive_idle_ones_hold_no_buffer),
	T_TEST(test_submit_thousands_of_sends_before_one_poll_all_complete),
	T_TEST(test_submit_thousands_and_cancel_them_before_one_poll),
	T_KERNEL_TEST(test_accept_out_of_descriptors_ends_and_works_again_later, "RLIMIT_NOFILE"),
	T_KERNEL_TEST(test_connect_out_of_descriptors_ends_with_error, "RLIMIT_NOFILE"),
	T_KERNEL_TEST(test_pollable_out_of_descriptors_says_so_and_works_later, "RLIMIT_NOFILE"),
	T_TEST(test_thousand_connections_each_get_their_own_bytes),
	{ .name = NULL },
};
