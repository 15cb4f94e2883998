/* SPDX-License-Identifier: MIT */
/*
 * Whole servers in this process, as <rota/server.h> promises them: why they do not start, and how
 * they stop, on every engine. Layer: tests. Clients are tasks on the server's first reactor,
 * started when it is ready.
 */
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "backends/backends.h"
#include "tests/contract/net_bench.h"
#include "tests/support/t_sanitizer.h"

static const struct row {
	const char *backend;
	unsigned reactors;
	bool is_simulated;
} rows[] = {
	{ "uring", 1, false },           { "uring", 2, false },
	{ "epoll", 1, false },           { "epoll", 2, false },
	{ "sim:seed=1", 1, true },       { "sim:seed=2", 2, true },
	{ "sim:seed=3,rough", 1, true }, { "sim:seed=4,rough", 2, true },
	{ "sim:seed=5,rough", 2, true },
};

/* ---- the server ---- */

static int64_t echo_bytes(struct rota_session *session, struct rota_view bytes)
{
	rota_output_write(rota_session_output(session), bytes.data, bytes.bytes);
	return (int64_t)bytes.bytes;
}

static const struct rota_protocol echo_protocol = {
	.name = "echo",
	.on_open = rota_protocol_default_open,
	.on_bytes = echo_bytes,
	.on_close = rota_protocol_default_close,
};

static int64_t echo_task(struct rota_conn *conn, void *arg)
{
	struct rota_view in;
	int64_t n;

	(void)arg;
	while ((n = rota_conn_read(conn, &in)) > 0)
		if ((n = rota_conn_write(conn, in)) < 0)
			break;
	return n;
}

static struct rota_server *server; /* the one that runs */
static struct rota_address address;
static rota_task_fn scenario;

static void spawn_scenario(struct rota_server *ready, void *arg)
{
	(void)arg;
	server = ready;
	CHECK_EQUAL(rota_address_parse(&address, "127.0.0.1", rota_server_port(ready)), 0);
	CHECK_EQUAL(rota_spawn(rota_reactor_scope(rota_reactor_current()), scenario, NULL), 0);
}

/* Serve in both styles, and in both ways to spread, while `run` plays the clients. */
static void run_on(const struct row *row, rota_task_fn run)
{
	scenario = run;
	for (int variant = 0; variant < 4; variant++) {
		struct rota_service service = { .name = "echo" };
		struct rota_server_options options;

		if (variant % 2)
			service.handler = echo_task;
		else
			service.protocol = &echo_protocol;
		service.spread = variant / 2 ? ROTA_SPREAD_REUSE_PORT : ROTA_SPREAD_LEAST_LOADED;
		rota_server_options_init(&options, rota_backends);
		options.backend = row->backend;
		options.reactors = row->reactors;
		options.quiet = true;
		options.on_ready = spawn_scenario;
		CHECK_EQUAL(rota_serve(&service, &options), 0);
	}
}

static void run_everywhere(rota_task_fn run, bool needs_kernel)
{
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(rows); i++) {
		unsigned failures_before = t_failures();

		if (rows[i].is_simulated && (needs_kernel || t_is_thread_sanitized()))
			continue;
		run_on(&rows[i], run);
		if (t_failures() > failures_before)
			fail_msg("%s with %u reactors", rows[i].backend, rows[i].reactors);
	}
}

/* ---- stopping ---- */

enum { CLIENTS = 40 };

/* Behind the engines' back: all wait when the stop is asked for. */
static int64_t connect_send_and_stop(void *arg)
{
	int fds[CLIENTS];
	char reply[8];

	(void)arg;
	for (int i = 0; i < CLIENTS; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		CHECK_EQUAL(connect(fds[i], &address.any, address.bytes), 0);
		CHECK_EQUAL(send(fds[i], "hello", 5, 0), 5);
	}
	rota_server_stop(server);
	for (int i = 0; i < CLIENTS; i++) {
		CHECK_WITHIN(rota_poll_fd(fds[i], POLLIN), 1, INT32_MAX);
		CHECK_EQUAL(recv(fds[i], reply, sizeof(reply), MSG_DONTWAIT), 5);
		CHECK_WITHIN(rota_poll_fd(fds[i], POLLIN), 1, INT32_MAX);
		CHECK_EQUAL(recv(fds[i], reply, sizeof(reply), MSG_DONTWAIT), 0);
		close(fds[i]);
	}
	return 0;
}

static void test_stop_answers_those_who_wait_in_the_backlog(void **state)
{
	(void)state;
	run_everywhere(connect_send_and_stop, true);
}

static int64_t talk_unless_refused(void *arg)
{
	static unsigned moment; /* each at another one, on both sides of the stop */
	struct rota_conn *conn;
	int status = rota_sleep_until(rota_after_ns(++moment % CLIENTS * 1000));

	(void)arg;
	if (status == 0)
		status = rota_connect(&address, NULL, &conn);
	if (status < 0) {
		CHECK(status == -ECONNREFUSED || status == -ECANCELED);
		return 0;
	}
	t_say(conn, "hello");
	HEAR(conn, "hello");
	HEAR_END(conn); /* the server's, which stops */
	rota_conn_close(conn);
	return 0;
}

static int64_t stop_in_the_middle(void *arg)
{
	(void)arg;
	for (int i = 0; i < CLIENTS; i++)
		CHECK_EQUAL(rota_spawn(rota_reactor_scope(rota_reactor_current()),
				       talk_unless_refused, NULL),
			    0);
	rota_ignore(rota_sleep_until(rota_after_ns(CLIENTS / 2 * 1000)), "nobody cancels");
	rota_server_stop(server);
	return 0;
}

/*
 * Who connects while the server stops is refused or answered. Kernels let somebody in between the
 * last accept and the close now and then, the simulator does not.
 */
static void test_stop_refuses_or_answers(void **state)
{
	const int rounds = t_is_thread_sanitized() ? 1 : 20;

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(rows); i++)
		for (int round = 0; rows[i].is_simulated && round < rounds; round++)
			run_on(&rows[i], stop_in_the_middle);
	assert_int_equal(t_failures(), 0);
}

/* ---- starting ---- */

static struct {
	unsigned lines;
	char last[ROTA_BACKEND_TEXT_BYTES];
} said;

static void hear_log(enum rota_log_level level, const char *line, void *arg)
{
	(void)level;
	(void)arg;
	said.lines++;
	snprintf(said.last, sizeof(said.last), "%s", line);
}

static void must_not_start(struct rota_server *ready, void *arg)
{
	(void)arg;
	CHECK_EQUAL(0, 1); /* it should have been refused */
	rota_server_stop(ready);
}

/* What can be asked of it beside the defaults. */
struct start {
	const char *option; /* as rota_server_option; NULL: none */
	const char *value;
	uint16_t port;
	enum rota_spread spread;
	int (*hook)(struct rota_server *server, unsigned reactor_index, void *arg);
};

/* It returns `error` and says why in one line that has `words` in it. */
static void assert_refused(const struct start *start, int error, const char *words)
{
	struct rota_service service = { .name = "refused",
					.protocol = &echo_protocol,
					.port = start->port,
					.spread = start->spread,
					.start = start->hook };
	char text[ROTA_BACKEND_TEXT_BYTES];
	struct rota_server_options options;
	int status;

	rota_server_options_init(&options, rota_backends);
	/* not ThreadSanitizer and two rings: tests/contract/net_bench.c */
	options.backend = "epoll";
	options.reactors = 2;
	options.quiet = true;
	options.on_ready = must_not_start;
	if (start->option)
		assert_int_equal(rota_server_option(&options, start->option, start->value, text),
				 1);
	if (start->option && !strcmp(start->option, "unix"))
		options.port = -1;
	memset(&said, 0, sizeof(said));
	rota_log_to(ROTA_LOG_INFO, hear_log, NULL);
	status = rota_serve(&service, &options);
	rota_log_to(ROTA_LOG_INFO, NULL, NULL);
	print_message("%s\n", said.last);
	assert_int_equal(status, error);
	assert_int_equal(said.lines, 1);
	assert_null(strchr(said.last, '\n'));
	if (!strstr(said.last, words))
		fail_msg("\"%s\" does not say \"%s\"", said.last, words);
}

/* A port that somebody listens on; `*fd` keeps it. */
static uint16_t take_port(int *fd, bool shares)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t bytes = sizeof(at);
	int on = shares;

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(*fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	assert_int_equal(bind(*fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(*fd, 1), 0);
	assert_int_equal(getsockname(*fd, (struct sockaddr *)&at, &bytes), 0);
	return ntohs(at.sin_port);
}

static void test_start_on_a_taken_port_is_refused(void **state)
{
	struct start start = { .port = 0 };
	int fd;

	(void)state;
	for (int variant = 0; variant < 4; variant++) {
		start.port = take_port(&fd, variant & 1);
		start.spread = variant & 2 ? ROTA_SPREAD_REUSE_PORT : ROTA_SPREAD_LEAST_LOADED;
		assert_refused(&start, -EADDRINUSE, "--port");
		close(fd);
	}
}

static int fails_with_eio(struct rota_server *ready, unsigned reactor_index, void *arg)
{
	(void)ready;
	(void)arg;
	return reactor_index == 1 ? -EIO : 0;
}

static void test_start_with_a_wrong_option_or_hook_is_refused(void **state)
{
	static const struct start unknown = { "backend", "kqueue", 0, 0, NULL };
	static const struct start nothing = { "port", "0", 0, 0, NULL };
	static const struct start hook = { NULL, NULL, 0, 0, fails_with_eio };

	(void)state;
	assert_refused(&unknown, -EINVAL, "there are: auto");
	assert_refused(&nothing, -EINVAL, "nothing to listen on");
	assert_refused(&hook, -EIO, "refused cannot start: Input/output error");
}

static void make_folder(char folder[32], mode_t mode)
{
	snprintf(folder, 32, "/tmp/rota-server-%d", (int)getpid());
	assert_int_equal(mkdir(folder, mode), 0);
}

static void test_start_on_a_bad_path_is_refused(void **state)
{
	char folder[32], missing[64], taken[64], file[64];
	struct start start = { .option = "unix", .value = missing };
	struct rota_address at;
	int fd;

	(void)state;
	make_folder(folder, 0700);
	snprintf(missing, sizeof(missing), "%s/no/socket", folder);
	assert_refused(&start, -ENOENT, missing);
	snprintf(taken, sizeof(taken), "%s/taken", folder);
	assert_int_equal(rota_address_local(&at, taken), 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, &at.any, at.bytes), 0);
	assert_int_equal(listen(fd, 1), 0);
	start.value = taken;
	assert_refused(&start, -EADDRINUSE, "--unix");
	close(fd);
	snprintf(file, sizeof(file), "%s/file", folder);
	fd = open(file, O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	start.value = file;
	assert_refused(&start, -EEXIST, "no socket");
	assert_int_equal(unlink(taken), 0);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(folder), 0);
}

enum { NOBODY = 65534, NO_USERS = 77 };

/*
 * A program's whole main() as an ordinary user's, in a child, because one cannot become root again.
 * Returns its exit status; what it writes to standard error is in `said`.
 */
static int run_as_nobody(char *option, char *value)
{
	struct rota_service service = { .name = "rota-test", .protocol = &echo_protocol };
	char program[] = "rota-test", backend[] = "--backend", epoll[] = "epoll";
	char *arguments[] = { program, backend, epoll, option, value, NULL };
	int ends[2], wait_status;
	ssize_t bytes, used = 0;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		dup2(ends[1], STDERR_FILENO);
		if (geteuid() == 0 &&
		    (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
			_exit(NO_USERS);
		_exit(rota_serve_main(&service, rota_backends, 5, arguments));
	}
	close(ends[1]);
	while ((bytes = read(ends[0], said.last + used, sizeof(said.last) - 1 - (size_t)used)) > 0)
		used += bytes;
	said.last[used] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &wait_status, 0), child);
	assert_true(WIFEXITED(wait_status));
	return WEXITSTATUS(wait_status);
}

static void assert_says_one_line(const char *words)
{
	print_message("%s", said.last);
	if (!strstr(said.last, words))
		fail_msg("\"%s\" does not say \"%s\"", said.last, words);
	assert_ptr_equal(strchr(said.last, '\n'), said.last + strlen(said.last) - 1);
}

/* The first port that anybody may listen on. */
static long unprivileged_port_start(void)
{
	FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
	long port = 1024;

	if (file) {
		rota_ignore(fscanf(file, "%ld", &port), "the default then");
		fclose(file);
	}
	return port;
}

static void test_start_without_permission_for_a_port_is_refused(void **state)
{
	char option[] = "--port", port[] = "1";
	int status;

	(void)state;
	if (unprivileged_port_start() <= 1) {
		print_message("skipped: anybody may listen on any port here\n");
		skip();
	}
	status = run_as_nobody(option, port);
	if (status == NO_USERS) {
		print_message("skipped: cannot become an ordinary user here\n");
		skip();
	}
	assert_int_equal(status, EXIT_FAILURE);
	assert_says_one_line("cannot listen on 127.0.0.1:1: Permission denied; choose a port "
			     "above 1023");
}

static void test_start_without_permission_for_a_path_is_refused(void **state)
{
	char folder[32], option[] = "--unix", path[64];
	int status;

	(void)state;
	make_folder(folder, 0500);
	snprintf(path, sizeof(path), "%s/socket", folder);
	status = run_as_nobody(option, path);
	assert_int_equal(rmdir(folder), 0);
	if (status == NO_USERS) {
		print_message("skipped: cannot become an ordinary user here\n");
		skip();
	}
	assert_int_equal(status, EXIT_FAILURE);
	assert_says_one_line("Permission denied; choose a path you may write");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_on_a_taken_port_is_refused),
		cmocka_unit_test(test_start_with_a_wrong_option_or_hook_is_refused),
		cmocka_unit_test(test_start_on_a_bad_path_is_refused),
		cmocka_unit_test(test_start_without_permission_for_a_port_is_refused),
		cmocka_unit_test(test_start_without_permission_for_a_path_is_refused),
		cmocka_unit_test(test_stop_answers_those_who_wait_in_the_backlog),
		cmocka_unit_test(test_stop_refuses_or_answers),
	};

	return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
