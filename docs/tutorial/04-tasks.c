/* SPDX-License-Identifier: MIT */
/*
 * The tutorial's fourth program, second half: the same with tasks, then what a loop of generators
 * leaves open: failures, cancelling, deadlines, a database query and an HTTP request. Both servers
 * are in this program; a RESP server's port as the argument, and its answer is asked for instead.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rota/backends.h>
#include <rota/rota.h>

/* ---- speaker and listener ---- */

static int64_t speak(void *channel)
{
	int status = 0;

	for (int i = 1; i <= 3 && status == 0; i++) {
		printf("speaker says %d\n", i);
		status = rota_channel_send(channel, &i);
	}
	rota_channel_close(channel);
	return status;
}

static int64_t listen_to(void *channel)
{
	int status, number;

	while ((status = rota_channel_receive(channel, &number)) > 0)
		printf("listener heard %d\n", number);
	printf("listener heard the end\n");
	return status;
}

static int64_t talk(void)
{
	struct rota_channel channel;
	struct rota_scope scope;
	int64_t status;

	rota_channel_init(&channel, &(struct rota_channel_options){ .message_bytes = sizeof(int) });
	rota_scope_open(&scope, ROTA_NEVER);
	rota_spawn(&scope, listen_to, &channel);
	rota_spawn(&scope, speak, &channel);
	status = rota_scope_close(&scope);
	rota_channel_fini(&channel);
	return status;
}

/* ---- failures and cancelling ---- */

static int64_t fail(void *arg)
{
	(void)arg;
	return -ENOENT;
}

static int64_t sleep_for_ever(void *arg)
{
	int status = rota_sleep_until(ROTA_NEVER);

	printf("%s is told to stop: %s\n", (char *)arg, rota_error_name(status));
	return status;
}

static void show_endings(void)
{
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	rota_spawn(&scope, sleep_for_ever, "sibling");
	rota_spawn(&scope, fail, NULL);
	printf("failed: %s\n", rota_error_name(rota_scope_close(&scope)));

	rota_scope_open(&scope, rota_after_ms(10));
	rota_spawn(&scope, sleep_for_ever, "late task");
	printf("too late: %s\n", rota_error_name(rota_scope_close(&scope)));

	rota_scope_open(&scope, ROTA_NEVER);
	rota_spawn(&scope, sleep_for_ever, "unwanted task");
	rota_yield(); /* so that it sleeps */
	rota_scope_cancel(&scope, "changed my mind");
	printf("cancelled: %s\n", rota_error_name(rota_scope_close(&scope)));
}

/* ---- asking somebody else ---- */

struct question {
	uint16_t port;
	const char *text;
	const char *answer_ends; /* what the answer ends with; NULL: with the stream */
	char answer[512];
};

/* One exchange: connect, ask, read to the end of the answer. */
static int64_t ask(void *arg)
{
	struct question *question = arg;
	size_t used = 0, room = sizeof(question->answer) - 1;
	struct rota_address address;
	struct rota_conn *conn;
	struct rota_view in;
	int64_t n = rota_address_parse(&address, "127.0.0.1", question->port);

	if (n < 0 || (n = rota_connect(&address, NULL, &conn)) < 0)
		return n;
	n = rota_conn_write(conn, rota_view_of_string(question->text));
	while (n > 0 && (n = rota_conn_read(conn, &in)) > 0 && in.bytes <= room - used) {
		memcpy(question->answer + used, in.data, in.bytes);
		used += in.bytes;
		question->answer[used] = '\0';
		if (question->answer_ends && strstr(question->answer, question->answer_ends))
			break;
	}
	rota_conn_close(conn);
	return n < 0 ? n : (int64_t)used;
}

/* Both at once, both within a minute, or neither. */
static int64_t ask_both(uint16_t database, uint16_t website)
{
	struct question query = { .port = database,
				  .text = "*2\r\n$3\r\nGET\r\n$8\r\ngreeting\r\n",
				  .answer_ends = "hello\r\n" };
	struct question request = { .port = website,
				    .text = "GET / HTTP/1.1\r\nHost: localhost\r\n"
					    "Connection: close\r\n\r\n" };
	struct rota_job jobs[] = { { .fn = ask, .arg = &query }, { .fn = ask, .arg = &request } };
	struct rota_scope scope;
	const char *value;
	int64_t status;

	rota_scope_open(&scope, rota_after_s(60));
	status = rota_gather(jobs, 2);
	rota_scope_close(&scope);
	if (status < 0)
		return status;
	value = query.answer + strcspn(query.answer, "\n") + 1; /* behind its length */
	printf("database: %.*s\n", (int)strcspn(value, "\r"), value);
	printf("website: %.*s\n", (int)strcspn(request.answer, "\r"), request.answer);
	return 0;
}

/* ---- the two that are asked ---- */

/* Answers every request, which ends with `ends`, with `answer`. */
struct answering {
	const char *ends, *answer;
	bool closes;
};

static int64_t answer(struct rota_conn *conn, void *arg)
{
	const struct answering *with = arg;
	size_t end_bytes = strlen(with->ends);
	struct rota_view in;
	int64_t had = 0, n;

	while ((n = rota_conn_peek(conn, (size_t)had + 1, &in)) > had) {
		had = n;
		if (in.bytes < end_bytes ||
		    memcmp(in.data + in.bytes - end_bytes, with->ends, end_bytes) != 0)
			continue;
		rota_conn_consume(conn, in.bytes);
		n = rota_conn_write(conn, rota_view_of_string(with->answer));
		if (n < 0 || with->closes)
			return n;
		had = 0;
	}
	return n < 0 ? n : 0;
}

/* Returns its port, which the kernel has chosen, or negative errno. */
static int serve(const struct answering *with, struct rota_listener **listener)
{
	struct rota_listener_options options = { .handler = answer, .arg = (void *)with };
	int status = rota_address_parse(&options.address, "127.0.0.1", 0);

	if (status == 0)
		status = rota_listener_open(&options, listener);
	if (status == 0)
		status = rota_listener_address(*listener, &options.address);
	return status < 0 ? status : rota_address_port(&options.address);
}

static int64_t main_task(void *arg)
{
	const struct answering database = { "greeting\r\n", "$5\r\nhello\r\n", false };
	const struct answering website = { "\r\n\r\n",
					   "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"
					   "Connection: close\r\n\r\nhi\n",
					   true };
	struct rota_listener *listeners[2];
	int64_t status = talk();
	int ports[2];

	if (status < 0)
		return status;
	show_endings();
	ports[0] = serve(&database, &listeners[0]);
	ports[1] = serve(&website, &listeners[1]);
	if (ports[0] < 0 || ports[1] < 0)
		return ports[0] < 0 ? ports[0] : ports[1];
	status = ask_both((uint16_t)(*(int *)arg ? *(int *)arg : ports[0]), (uint16_t)ports[1]);
	rota_listener_close(listeners[0]);
	rota_listener_close(listeners[1]);
	return status;
}

int main(int argc, char **argv)
{
	struct rota_engine_choice choice;
	struct rota_reactor_options options = { .engine = NULL };
	int port = argc > 1 ? atoi(argv[1]) : 0;
	int64_t status = rota_engine_choose(rota_backends, "auto", &choice);

	options.engine = choice.engine;
	if (status == 0)
		status = rota_run(&options, main_task, &port);
	if (status < 0)
		fprintf(stderr, "tasks: %s\n", rota_strerror((int)status));
	return status < 0;
}
