/* SPDX-License-Identifier: MIT */
/*
 * Helpers of the simulator's tests; see t_sim.h.
 */
#include "tests/unit/backends/sim/t_sim.h"

#include <rota/log.h>
#include <stdio.h>
#include <string.h>

/* Turns after which something that should have happened will not. */
#define TURNS_MAX 100000

static char log_text[16384];

void t_sim_init(struct t_sim *sim, uint64_t seed)
{
	*sim = (struct t_sim){ 0 };
	rota_sim_options_init(&sim->options, seed);
}

void t_sim_open(struct t_sim *sim)
{
	assert_int_equal(rota_sim_world_create(&sim->options, &sim->world), 0);
	sim->engine = t_engine(sim);
}

void t_sim_close(struct t_sim *sim)
{
	rota_backend_destroy(sim->engine);
	assert_int_equal(rota_sim_world_destroy(sim->world), 0);
}

struct rota_backend *t_engine(struct t_sim *sim)
{
	return t_engine_at(sim, 0);
}

struct rota_backend *t_engine_at(struct t_sim *sim, unsigned host)
{
	char text[32];
	struct rota_backend_config config = { .options = text };
	struct rota_backend *engine = NULL;

	snprintf(text, sizeof(text), "host=%u", host);
	rota_sim_world_use(sim->world);
	assert_int_equal(rota_backend_create(&rota_backend_sim, &config, &engine), 0);
	rota_sim_world_use(NULL);
	return engine;
}

static void remember(struct rota_op *op, const struct rota_completion *completion)
{
	struct t_op *t = ROTA_CONTAINER_OF(op, struct t_op, op);

	assert_false(t->has_ended);
	assert_true(t->count < T_RESULTS_MAX);
	t->results[t->count++] = completion->result;
	t->has_ended = !(completion->flags & ROTA_COMPLETION_MORE);
	if (!(completion->flags & ROTA_COMPLETION_BUFFER))
		return;
	assert_true(t->data_bytes + (size_t)completion->result <= T_DATA_BYTES);
	memcpy(t->data + t->data_bytes, completion->data, (size_t)completion->result);
	t->data_bytes += (size_t)completion->result;
	if (t->keeps_buffers)
		t->buffers[t->buffers_count++] = completion->buffer;
	else
		t->engine->ops->buffer_return(t->engine, completion->buffer);
}

static unsigned poll_until(struct rota_backend *engine, rota_ns deadline)
{
	struct rota_completion completions[16];
	int count = engine->ops->poll(engine, completions, 16, deadline);

	assert_in_range(count, 0, 16);
	for (int i = 0; i < count; i++)
		completions[i].op->complete(completions[i].op, &completions[i]);
	return (unsigned)count;
}

unsigned t_turn(struct rota_backend *engine)
{
	return poll_until(engine, 0);
}

static struct t_op *make(struct rota_backend *engine, enum rota_op_kind kind, int fd)
{
	struct t_op *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->engine = engine;
	t->op.complete = remember;
	t->op.kind = (uint8_t)kind;
	t->op.fd = fd;
	return t;
}

struct t_op *t_start(struct rota_backend *engine, enum rota_op_kind kind, int fd)
{
	struct t_op *t = make(engine, kind, fd);

	engine->ops->submit(engine, &t->op);
	return t;
}

struct t_op *t_start_send(struct rota_backend *engine, int fd, const void *data, size_t bytes)
{
	struct t_op *t = make(engine, ROTA_OP_SEND, fd);

	t->op.send.data = data;
	t->op.send.bytes = bytes;
	engine->ops->submit(engine, &t->op);
	return t;
}

struct t_op *t_start_message(struct rota_backend *engine, int fd, const struct msghdr *message)
{
	struct t_op *t = make(engine, ROTA_OP_SEND_MESSAGE, fd);

	t->op.message = message;
	engine->ops->submit(engine, &t->op);
	return t;
}

struct t_op *t_start_connect(struct rota_backend *engine, const struct rota_address *address)
{
	struct t_op *t = make(engine, ROTA_OP_CONNECT, -1);

	t->op.address = address;
	engine->ops->submit(engine, &t->op);
	return t;
}

struct t_op *t_start_poll(struct rota_backend *engine, int fd, uint32_t events)
{
	struct t_op *t = make(engine, ROTA_OP_POLL, fd);

	t->op.events = events;
	engine->ops->submit(engine, &t->op);
	return t;
}

int t_end(struct t_op *t)
{
	struct rota_backend *engine = t->engine;
	int result;

	for (int turns = 0; !t->has_ended; turns++) {
		assert_in_range(turns, 0, TURNS_MAX);
		poll_until(engine, engine->ops->now(engine) + ROTA_NS_PER_S);
	}
	result = t->results[t->count - 1];
	free(t);
	return result;
}

int t_cancel(struct t_op *t)
{
	t->engine->ops->cancel(t->engine, &t->op);
	return t_end(t);
}

int t_send(struct rota_backend *engine, int fd, const void *data, size_t bytes)
{
	return t_end(t_start_send(engine, fd, data, bytes));
}

int t_connect(struct rota_backend *engine, const struct rota_address *address)
{
	return t_end(t_start_connect(engine, address));
}

int t_close(struct rota_backend *engine, int fd)
{
	return t_end(t_start(engine, ROTA_OP_CLOSE, fd));
}

/*
 * The first result of a stream that is cancelled at once; what else it got would be lost, so
 * nothing else may come.
 */
static int first_of_stream(struct t_op *t, char *out)
{
	int first;

	t_turn(t->engine);
	if (!t->has_ended) {
		t->engine->ops->cancel(t->engine, &t->op);
		while (!t->has_ended)
			poll_until(t->engine, t->engine->ops->now(t->engine) + ROTA_NS_PER_S);
	}
	first = t->results[0];
	assert_in_range(t->count, 1, 2);
	if (t->count == 2)
		assert_int_equal(t->results[1], -ECANCELED);
	if (out)
		memcpy(out, t->data, t->data_bytes);
	free(t);
	return first == -ECANCELED ? -EAGAIN : first;
}

int t_receive(struct rota_backend *engine, int fd, char *out)
{
	return first_of_stream(t_start(engine, ROTA_OP_RECEIVE, fd), out);
}

int t_drain(struct rota_backend *engine, int fd, size_t *bytes)
{
	struct t_op *t = t_start(engine, ROTA_OP_RECEIVE, fd);
	int result;

	while (t_turn(engine) > 0 && !t->has_ended)
		;
	if (!t->has_ended)
		engine->ops->cancel(engine, &t->op);
	while (!t->has_ended)
		poll_until(engine, engine->ops->now(engine) + ROTA_NS_PER_S);
	*bytes = t->data_bytes;
	result = t_end(t);
	return result == -ECANCELED ? -EAGAIN : result;
}

int t_accept(struct rota_backend *engine, int listener)
{
	return first_of_stream(t_start(engine, ROTA_OP_ACCEPT, listener), NULL);
}

int t_events(struct rota_backend *engine, int fd)
{
	struct t_op *t = t_start_poll(engine, fd, POLLIN | POLLOUT | POLLRDHUP);
	int events;

	t_turn(engine);
	events = t->has_ended ? t_end(t) : t_cancel(t);
	return events == -ECANCELED ? 0 : events;
}

int t_listen(struct rota_backend *engine, const struct rota_address *address, int backlog)
{
	struct rota_listen_options options = { .address = *address, .backlog = backlog };

	return engine->ops->listen(engine, &options);
}

struct rota_address t_tcp(const char *host, uint16_t port)
{
	struct rota_address address = { 0 };

	assert_int_equal(rota_address_parse(&address, host, port), 0);
	return address;
}

struct rota_address t_local(const char *path)
{
	struct rota_address address = { 0 };

	assert_int_equal(rota_address_local(&address, path), 0);
	return address;
}

void t_pair(struct rota_backend *engine, int family, int *client, int *server)
{
	struct rota_address address = family == AF_UNIX ? t_local("/run/t.sock")
							: t_tcp("127.0.0.1", 7000);
	int listener = t_listen(engine, &address, 8);

	assert_true(listener >= 0);
	*client = t_connect(engine, &address);
	assert_true(*client >= 0);
	*server = t_accept(engine, listener);
	assert_true(*server >= 0);
	assert_int_equal(t_close(engine, listener), 0);
}

static void catch_line(enum rota_log_level level, const char *line, void *arg)
{
	size_t used = strlen(log_text);

	(void)level;
	(void)arg;
	snprintf(log_text + used, sizeof(log_text) - used, "%s\n", line);
}

void t_log_catch(void)
{
	log_text[0] = '\0';
	rota_log_to(ROTA_LOG_DEBUG, catch_line, NULL);
}

const char *t_log_text(void)
{
	return log_text;
}

void t_log_release(void)
{
	rota_log_to(ROTA_LOG_INFO, NULL, NULL);
}
