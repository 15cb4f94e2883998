/* SPDX-License-Identifier: MIT */
/*
 * The clients of the guards' servers; see client.h.
 */
#include "bench/guard/client.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <rota/server.h>

#include "bench/guard/engine.h"
#include "bench/guard/guard.h"

/* What is allocated once, and tables that grow, are behind the server then. */
#define WARM_UP_ROUNDS 20
#define COMPLETIONS_MAX 64

struct client {
	int fd; /* -1: not connected yet, or no longer */
	bool is_sending;
	size_t answered_bytes;
	struct rota_op connect, receive, send;
	struct guard_text question, answer;
};

static struct {
	struct rota_backend *engine; /* NULL until the server is ready */
	struct rota_server *server;
	struct rota_address address;
	guard_compose_fn compose;
	unsigned counted_rounds;
	unsigned round; /* under way; 0: connecting */
	unsigned busy;  /* clients that are not through with it */
	unsigned open;  /* clients that are connected */
	bool is_stopping;
	struct client clients[GUARD_CLIENTS];
} all;

void guard_say(struct guard_text *text, const char *format, ...)
{
	size_t room = sizeof(text->data) - text->bytes;
	va_list args;
	int bytes;

	va_start(args, format);
	bytes = vsnprintf(text->data + text->bytes, room, format, args);
	va_end(args);
	if (bytes < 0 || (size_t)bytes >= room)
		guard_die("a text is longer than %d bytes", GUARD_TEXT_BYTES);
	text->bytes += (size_t)bytes;
}

/* ---- one client ---- */

static void submit(struct rota_op *op)
{
	all.engine->ops->submit(all.engine, op);
}

static void ask(struct client *client)
{
	unsigned index = (unsigned)(client - all.clients);

	client->question.bytes = client->answer.bytes = client->answered_bytes = 0;
	all.compose(index, all.round, &client->question, &client->answer);
	client->is_sending = true;
	client->send.fd = client->fd;
	client->send.send.data = client->question.data;
	client->send.send.bytes = client->question.bytes;
	submit(&client->send);
}

static void look_whether_it_is_through(const struct client *client)
{
	if (!client->is_sending && client->answered_bytes == client->answer.bytes)
		all.busy--;
}

static void sent(struct rota_op *op, const struct rota_completion *completion)
{
	struct client *client = ROTA_CONTAINER_OF(op, struct client, send);

	guard_check(completion->result, "a client sends");
	op->send.data = (const char *)op->send.data + completion->result;
	op->send.bytes -= (size_t)completion->result;
	if (op->send.bytes) {
		submit(op);
		return;
	}
	client->is_sending = false;
	look_whether_it_is_through(client);
}

static void received(struct rota_op *op, const struct rota_completion *completion)
{
	struct client *client = ROTA_CONTAINER_OF(op, struct client, receive);
	size_t bytes = (size_t)completion->result;

	if (completion->result == 0 && all.is_stopping) {
		all.engine->ops->discard(all.engine, client->fd);
		client->fd = -1;
		all.open--;
		return;
	}
	if (completion->result <= 0)
		guard_die("a client receives: result %d", completion->result);
	if (bytes > client->answer.bytes - client->answered_bytes ||
	    memcmp(completion->data, client->answer.data + client->answered_bytes, bytes) != 0)
		guard_die("a wrong answer: '%.*s', and not '%.*s'", (int)bytes, completion->data,
			  (int)(client->answer.bytes - client->answered_bytes),
			  client->answer.data + client->answered_bytes);
	client->answered_bytes += bytes;
	all.engine->ops->buffer_return(all.engine, completion->buffer);
	if (!(completion->flags & ROTA_COMPLETION_MORE))
		submit(op);
	look_whether_it_is_through(client);
}

static void connected(struct rota_op *op, const struct rota_completion *completion)
{
	struct client *client = ROTA_CONTAINER_OF(op, struct client, connect);

	guard_check(completion->result, "a client connects");
	client->fd = client->receive.fd = completion->result;
	submit(&client->receive);
	all.open++;
	all.busy--;
}

/* ---- all of them ---- */

static void next_round(void)
{
	if (all.is_stopping)
		return;
	if (all.round == WARM_UP_ROUNDS)
		guard_count(true);
	if (all.round == WARM_UP_ROUNDS + all.counted_rounds) {
		guard_count(false);
		all.is_stopping = true;
		rota_server_stop(all.server);
		return;
	}
	all.round++;
	all.busy = GUARD_CLIENTS;
	for (unsigned i = 0; i < GUARD_CLIENTS; i++)
		ask(&all.clients[i]);
}

static bool turn_once(void)
{
	struct rota_completion completions[COMPLETIONS_MAX];
	int count = all.engine->ops->poll(all.engine, completions, COMPLETIONS_MAX, 0);

	guard_check(count, "the clients' engine");
	for (int i = 0; i < count; i++)
		completions[i].op->complete(completions[i].op, &completions[i]);
	return count > 0;
}

static void turn(void)
{
	if (!all.engine)
		return;
	while (turn_once())
		;
	if (all.busy)
		return;
	next_round();
	while (turn_once())
		;
}

static void begin(struct rota_server *server, void *arg)
{
	struct rota_backend_config config = { .options = "" };

	(void)arg;
	all.server = server;
	guard_check(rota_address_parse(&all.address, "127.0.0.1", rota_server_port(server)),
		    "the server's address");
	guard_check(rota_backend_create(&rota_backend_sim, &config, &all.engine),
		    "the clients' engine");
	all.busy = GUARD_CLIENTS;
	for (unsigned i = 0; i < GUARD_CLIENTS; i++) {
		struct client *client = &all.clients[i];

		client->connect = (struct rota_op){ .complete = connected,
						    .kind = ROTA_OP_CONNECT,
						    .fd = -1,
						    .address = &all.address };
		client->receive = (struct rota_op){ .complete = received, .kind = ROTA_OP_RECEIVE };
		client->send = (struct rota_op){ .complete = sent, .kind = ROTA_OP_SEND };
		submit(&client->connect);
	}
}

void guard_serve(const struct rota_service *service, guard_compose_fn compose, unsigned rounds)
{
	const struct rota_backend_ops *const engines[] = { guard_engine(), NULL };
	struct rota_server_options options;

	rota_server_options_init(&options, engines);
	options.reactors = 1;
	options.stall_ns = -1;
	options.quiet = true;
	options.on_ready = begin;
	all.compose = compose;
	all.counted_rounds = rounds;
	guard_world_open(turn);
	guard_check(rota_serve(service, &options), "the server");
	while (turn_once())
		;
	if (all.open || !all.is_stopping)
		guard_die("the server has stopped in the middle of it");
	rota_backend_destroy(all.engine);
	guard_world_close();
}
