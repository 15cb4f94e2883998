/* SPDX-License-Identifier: MIT */
/*
 * Engine contract: listen(), addresses and Unix sockets. Layer: tests; see contract.h.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/contract/contract.h"

static void make_local(struct rota_address *address, const char *name)
{
	char path[100];

	snprintf(path, sizeof(path), "/tmp/rota-contract-%d-%s", (int)getpid(), name);
	unlink(path);
	assert_int_equal(rota_address_local(address, path), 0);
}

static int listen_at(struct t_world *world, const struct rota_address *address, bool reuse_port)
{
	struct rota_listen_options options = {
		.address = *address,
		.backlog = 8,
		.reuse_port = reuse_port,
	};

	return world->ops->listen(world->backend, &options);
}

static void test_listen_on_a_taken_port_is_refused(void **state)
{
	struct t_world *world = *state;
	struct rota_address address;
	int first = t_listen(world, &address, 8);

	assert_int_equal(listen_at(world, &address, false), -EADDRINUSE);
	assert_int_equal(listen_at(world, &address, true), -EADDRINUSE);
	t_close(world, first);
	/* And free again afterwards. */
	first = listen_at(world, &address, false);
	assert_true(first >= 0);
	t_close(world, first);
}

static void test_listen_with_reuse_port_shares_only_with_its_like(void **state)
{
	struct t_world *world = *state;
	struct rota_address address, any;
	int first, second;

	assert_int_equal(rota_address_parse(&any, "127.0.0.1", 0), 0);
	first = listen_at(world, &any, true);
	assert_true(first >= 0);
	assert_int_equal(world->ops->address(world->backend, first, false, &address), 0);
	second = listen_at(world, &address, true);
	assert_true(second >= 0);
	assert_int_equal(listen_at(world, &address, false), -EADDRINUSE);
	t_close(world, first);
	t_close(world, second);
}

static void test_listen_local_carries_bytes_both_ways(void **state)
{
	struct t_world *world = *state;
	struct rota_address address;
	struct t_op *accepting;
	int listener, client;

	make_local(&address, "both-ways");
	listener = listen_at(world, &address, false);
	assert_true(listener >= 0);
	accepting = t_accept(world, listener);
	client = t_finish(t_connect(world, &address));
	assert_true(client >= 0);
	t_until_completions(accepting, 1);
	t_send_all(world, client, "ping", 4);
	t_expect(world, accepting->fds[0], "ping", 4);
	t_send_all(world, accepting->fds[0], "pong", 4);
	t_expect(world, client, "pong", 4);
	t_close(world, client);
	assert_int_equal(t_finish(t_receive(world, accepting->fds[0])), 0);
	t_cancel(accepting);
	t_close(world, accepting->fds[0]);
	t_close(world, listener);
	unlink(address.local.sun_path);
}

static void test_listen_local_replaces_a_stale_file_but_not_a_live_one(void **state)
{
	struct t_world *world = *state;
	struct rota_address address;
	int first, second;

	make_local(&address, "stale");
	first = listen_at(world, &address, false);
	assert_true(first >= 0);
	assert_int_equal(listen_at(world, &address, false), -EADDRINUSE);
	/* As after a crash: the file stays, nobody listens. */
	t_close(world, first);
	second = listen_at(world, &address, false);
	assert_true(second >= 0);
	t_close(world, second);
	unlink(address.local.sun_path);
}

static void test_listen_local_sets_the_mode_asked_for(void **state)
{
	struct t_world *world = *state;
	struct rota_listen_options options = { .backlog = 8, .unix_mode = 0620 };
	struct stat status;
	int fd;

	make_local(&options.address, "mode");
	fd = world->ops->listen(world->backend, &options);
	assert_true(fd >= 0);
	assert_int_equal(stat(options.address.local.sun_path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0620);
	t_close(world, fd);
	unlink(options.address.local.sun_path);
}

static void test_listen_local_never_replaces_what_is_no_socket(void **state)
{
	struct t_world *world = *state;
	struct rota_address address;
	FILE *file;

	make_local(&address, "file");
	file = fopen(address.local.sun_path, "w");
	assert_non_null(file);
	fclose(file);
	assert_true(listen_at(world, &address, false) < 0);
	assert_int_equal(access(address.local.sun_path, F_OK), 0);
	unlink(address.local.sun_path);
}

static void test_listen_on_ipv6_works_where_there_is_any(void **state)
{
	struct t_world *world = *state;
	struct rota_address any, address;
	struct t_op *accepting;
	int listener, client;

	assert_int_equal(rota_address_parse(&any, "::1", 0), 0);
	listener = listen_at(world, &any, false);
	if (listener == -EADDRNOTAVAIL || listener == -EAFNOSUPPORT)
		t_skip("no IPv6 here");
	assert_true(listener >= 0);
	assert_int_equal(world->ops->address(world->backend, listener, false, &address), 0);
	accepting = t_accept(world, listener);
	client = t_finish(t_connect(world, &address));
	assert_true(client >= 0);
	t_until_completions(accepting, 1);
	t_cancel(accepting);
	t_close(world, accepting->fds[0]);
	t_close(world, client);
	t_close(world, listener);
}

static void test_try_accept_takes_what_waits_and_never_blocks(void **state)
{
	struct t_world *world = *state;
	struct rota_address address;
	int listener = t_listen(world, &address, 8), clients[3], server;

	assert_int_equal(world->ops->try_accept(world->backend, listener), -EAGAIN);
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(clients); i++) {
		clients[i] = t_finish(t_connect(world, &address));
		assert_true(clients[i] >= 0);
	}
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(clients); i++) {
		assert_int_equal(t_finish(t_poll_op(world, listener, POLLIN)), POLLIN);
		server = world->ops->try_accept(world->backend, listener);
		assert_true(server >= 0);
		t_send_all(world, server, "hello", 5);
		t_expect(world, clients[i], "hello", 5);
		assert_int_equal(world->ops->try_accept(world->backend, server), -EINVAL);
		t_close(world, clients[i]);
		t_close(world, server);
	}
	assert_int_equal(world->ops->try_accept(world->backend, listener), -EAGAIN);
	t_close(world, listener);
	assert_int_equal(world->ops->try_accept(world->backend, listener), -EBADF);
}

/* What a completion of ROTA_OP_ACCEPT promises of its descriptor. */
static void test_try_accept_makes_descriptors_that_neither_block_nor_leak(void **state)
{
	struct t_world *world = *state;
	struct rota_address address;
	int listener = t_listen(world, &address, 8);
	int client = t_finish(t_connect(world, &address)), server;

	assert_int_equal(t_finish(t_poll_op(world, listener, POLLIN)), POLLIN);
	server = world->ops->try_accept(world->backend, listener);
	assert_true(fcntl(server, F_GETFL) & O_NONBLOCK);
	assert_int_equal(fcntl(server, F_GETFD), FD_CLOEXEC);
	t_close(world, client);
	t_close(world, server);
	t_close(world, listener);
}

static void test_address_of_what_has_none_is_an_error(void **state)
{
	struct t_world *world = *state;
	struct rota_address address;
	int listener = t_listen(world, &address, 8);

	assert_int_equal(world->ops->address(world->backend, listener, true, &address), -ENOTCONN);
	t_close(world, listener);
	assert_int_equal(world->ops->address(world->backend, listener, false, &address), -EBADF);
	assert_int_equal(world->ops->shutdown(world->backend, listener, SHUT_WR), -EBADF);
}

const struct t_test t_socket_tests[] = {
	T_TEST(test_listen_on_a_taken_port_is_refused),
	T_TEST(test_listen_with_reuse_port_shares_only_with_its_like),
	T_TEST(test_listen_local_carries_bytes_both_ways),
	T_TEST(test_listen_local_replaces_a_stale_file_but_not_a_live_one),
	T_KERNEL_TEST(test_listen_local_sets_the_mode_asked_for, "permission bits"),
	T_KERNEL_TEST(test_listen_local_never_replaces_what_is_no_socket, "files"),
	T_TEST(test_listen_on_ipv6_works_where_there_is_any),
	T_TEST(test_try_accept_takes_what_waits_and_never_blocks),
	T_KERNEL_TEST(test_try_accept_makes_descriptors_that_neither_block_nor_leak,
		      "descriptor flags"),
	T_TEST(test_address_of_what_has_none_is_an_error),
	{ .name = NULL },
};
