/* SPDX-License-Identifier: MIT */
/*
 * The tutorial's sixth program, second half: what the small operating system did, with tasks and
 * scopes. It runs until a client has been echoed over loopback; with an argument, until it is
 * interrupted, so that it can be looked at.
 */
#include <inttypes.h>
#include <stdio.h>

#include <rota/backends.h>
#include <rota/rota.h>

static int64_t count(void *limit)
{
	int status = 0;

	for (int i = 1; i <= *(int *)limit && status == 0; i++) {
		printf("%s counts %d\n", rota_task_name(rota_task_current()), i);
		status = rota_yield();
	}
	return status < 0 ? status : *(int *)limit;
}

static int64_t echo(struct rota_conn *conn, void *arg)
{
	struct rota_view in;
	int64_t n;

	(void)arg;
	while ((n = rota_conn_read(conn, &in)) > 0)
		if ((n = rota_conn_write(conn, in)) < 0)
			break;
	return n;
}

struct client {
	struct rota_address address;
	bool stays;
};

static int64_t client(void *arg)
{
	const struct client *with = arg;
	struct rota_conn *conn;
	struct rota_view in;
	int64_t n = rota_connect(&with->address, NULL, &conn);

	if (n < 0)
		return n;
	n = rota_conn_write(conn, rota_view_of_string("hello"));
	if (n > 0)
		n = rota_conn_read(conn, &in);
	if (n > 0)
		printf("client got %.*s\n", (int)in.bytes, (const char *)in.data);
	if (n > 0 && with->stays)
		n = rota_conn_read(conn, &in);
	rota_conn_close(conn);
	return n;
}

static int64_t sleeper(void *arg)
{
	int status = rota_sleep_until(ROTA_NEVER);

	(void)arg;
	printf("sleeper ends: %s, %s\n", rota_error_name(status), rota_why()->why);
	return status;
}

/* spawn and wait */
static int64_t wait_for_children(void)
{
	int limits[] = { 2, 3 };
	struct rota_future ended;
	struct rota_spawn_options second = { .name = "second", .result = &ended };
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	rota_spawn_with(&scope, count, &limits[0], &(struct rota_spawn_options){ .name = "first" });
	rota_spawn_with(&scope, count, &limits[1], &second);
	printf("second ended with %" PRId64 "\n", rota_await(&ended));
	return rota_scope_close(&scope);
}

/* kill */
static int64_t kill_a_child(void)
{
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	rota_spawn(&scope, sleeper, NULL);
	rota_yield(); /* so that it sleeps */
	rota_scope_cancel(&scope, "killed");
	return rota_scope_close_and_move_on(&scope);
}

/* read, with an echo server to read from */
static int64_t be_echoed(bool stays)
{
	struct client with = { .stays = stays };
	struct rota_listener_options options = { .handler = echo, .name = "echo" };
	struct rota_listener *listener;
	struct rota_scope scope;
	int64_t status = rota_address_parse(&options.address, "127.0.0.1", 0);

	if (status == 0)
		status = rota_listener_open(&options, &listener);
	if (status < 0)
		return status;
	status = rota_listener_address(listener, &with.address);
	rota_scope_open(&scope, stays ? ROTA_NEVER : rota_after_s(60));
	if (status == 0)
		rota_spawn(&scope, client, &with);
	status = rota_scope_close(&scope);
	rota_listener_close(listener);
	return status;
}

static int64_t init(void *stays)
{
	int64_t status = wait_for_children();

	if (status == 0)
		status = kill_a_child();
	return status < 0 ? status : be_echoed(*(bool *)stays);
}

int main(int argc, char **argv)
{
	struct rota_reactor_options options = { .engine = NULL };
	struct rota_engine_choice choice;
	bool stays = argc > 1;
	int64_t status = rota_engine_choose(rota_backends, "auto", &choice);

	options.engine = choice.engine;
	if (status == 0)
		status = rota_run(&options, init, &stays);
	if (status < 0)
		fprintf(stderr, "%s: %s\n", argv[0], rota_strerror((int)status));
	return status < 0;
}
