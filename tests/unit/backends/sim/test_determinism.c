/* SPDX-License-Identifier: MIT */
/*
 * One program, an echo server and its clients on two engines, under many seeds: every byte comes
 * back whatever the world does to it, and the same seed makes the same run.
 */
#include <stdio.h>
#include <string.h>

#include "tests/unit/backends/sim/t_sim.h"

#define CLIENTS 8
#define MESSAGE_BYTES 3000

struct party {
	struct rota_backend *engine;
	unsigned open; /* ends with something in flight or to come */
	bool is_server;
	struct rota_op accept;
	int listener;
	struct end *ends;
	unsigned ends_count;
};

/*
 * One end of a connection. A client sends its message and shuts down; the server sends back what
 * comes, then closes.
 */
struct end {
	struct party *party;
	struct rota_op receive, send, close;
	int fd;
	char out[MESSAGE_BYTES]; /* to send */
	size_t out_bytes, sent_bytes;
	char in[MESSAGE_BYTES]; /* clients */
	size_t in_bytes;
	bool is_receiving, is_sending, has_heard_all;
};

static const struct rota_address *server_address(void)
{
	static struct rota_address address;

	address = t_tcp("127.0.0.1", 7);
	return &address;
}

static void submit(struct end *end, struct rota_op *op, enum rota_op_kind kind,
		   rota_complete_fn complete)
{
	op->kind = (uint8_t)kind;
	op->fd = end->fd;
	op->complete = complete;
	end->party->engine->ops->submit(end->party->engine, op);
}

static void closed(struct rota_op *op, const struct rota_completion *completion)
{
	struct end *end = ROTA_CONTAINER_OF(op, struct end, close);

	assert_int_equal(completion->result, 0);
	end->party->open--;
}

static void go_on(struct end *end);

static void sent(struct rota_op *op, const struct rota_completion *completion)
{
	struct end *end = ROTA_CONTAINER_OF(op, struct end, send);

	assert_in_range(completion->result, 1, end->out_bytes - end->sent_bytes);
	end->sent_bytes += (size_t)completion->result;
	end->is_sending = false;
	if (!end->party->is_server && end->sent_bytes == end->out_bytes)
		assert_int_equal(
			end->party->engine->ops->shutdown(end->party->engine, end->fd, SHUT_WR), 0);
	go_on(end);
}

static void received(struct rota_op *op, const struct rota_completion *completion)
{
	struct end *end = ROTA_CONTAINER_OF(op, struct end, receive);
	char *into = end->party->is_server ? end->out + end->out_bytes : end->in + end->in_bytes;

	if (completion->flags & ROTA_COMPLETION_BUFFER) {
		memcpy(into, completion->data, (size_t)completion->result);
		*(end->party->is_server ? &end->out_bytes
					: &end->in_bytes) += (size_t)completion->result;
		end->party->engine->ops->buffer_return(end->party->engine, completion->buffer);
	}
	end->is_receiving = completion->flags & ROTA_COMPLETION_MORE;
	if (completion->result == 0)
		end->has_heard_all = true;
	else
		assert_true(completion->result > 0 || completion->result == -ENOBUFS);
	go_on(end);
}

static void go_on(struct end *end)
{
	if (!end->is_receiving && !end->has_heard_all) {
		end->is_receiving = true;
		submit(end, &end->receive, ROTA_OP_RECEIVE, received);
	}
	if (!end->is_sending && end->sent_bytes < end->out_bytes) {
		end->is_sending = true;
		end->send.send.data = end->out + end->sent_bytes;
		end->send.send.bytes = end->out_bytes - end->sent_bytes;
		submit(end, &end->send, ROTA_OP_SEND, sent);
	}
	if (end->has_heard_all && !end->is_sending)
		submit(end, &end->close, ROTA_OP_CLOSE, closed);
}

static void connected(struct rota_op *op, const struct rota_completion *completion)
{
	struct end *end = ROTA_CONTAINER_OF(op, struct end, receive);

	assert_true(completion->result >= 0);
	end->fd = completion->result;
	go_on(end);
}

static void listener_closed(struct rota_op *op, const struct rota_completion *completion)
{
	(void)completion;
	ROTA_CONTAINER_OF(op, struct party, accept)->open--;
}

static void accepted(struct rota_op *op, const struct rota_completion *completion)
{
	struct party *party = ROTA_CONTAINER_OF(op, struct party, accept);
	struct end *end;

	if (completion->result == -ECANCELED) {
		op->kind = ROTA_OP_CLOSE;
		op->fd = party->listener;
		op->complete = listener_closed;
		party->engine->ops->submit(party->engine, op);
		return;
	}
	assert_true(completion->flags & ROTA_COMPLETION_MORE);
	end = &party->ends[party->ends_count++];
	end->party = party;
	end->fd = completion->result;
	party->open++;
	if (party->ends_count == CLIENTS)
		party->engine->ops->cancel(party->engine, op);
	go_on(end);
}

static int step(void *arg)
{
	struct party *party = arg;
	struct rota_completion completions[5];
	int count = party->engine->ops->poll(party->engine, completions, 5, ROTA_NEVER);

	for (int i = 0; i < count; i++)
		completions[i].op->complete(completions[i].op, &completions[i]);
	return count;
}

static bool has_stopped(void *arg)
{
	return ((struct party *)arg)->open == 0;
}

static void start_server(struct party *server)
{
	server->is_server = true;
	server->open = 1;
	server->listener = t_listen(server->engine, server_address(), 4);
	assert_true(server->listener >= 0);
	server->accept.kind = ROTA_OP_ACCEPT;
	server->accept.fd = server->listener;
	server->accept.complete = accepted;
	server->engine->ops->submit(server->engine, &server->accept);
}

static void start_clients(struct party *clients)
{
	clients->open = clients->ends_count = CLIENTS;
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct end *end = &clients->ends[i];

		end->party = clients;
		end->out_bytes = MESSAGE_BYTES;
		clients->engine->ops->random(clients->engine, end->out, MESSAGE_BYTES);
		end->receive.kind = ROTA_OP_CONNECT;
		end->receive.complete = connected;
		end->receive.address = server_address();
		clients->engine->ops->submit(clients->engine, &end->receive);
	}
}

/* The whole program. Returns the trace's hash; every byte has come back. */
static uint64_t run(const struct rota_sim_options *options)
{
	struct t_sim sim = { .options = *options };
	struct party server = { 0 }, clients = { 0 };
	struct rota_sim_actor actors[2];
	uint64_t hash;

	t_sim_open(&sim);
	server.engine = sim.engine;
	clients.engine = t_engine(&sim);
	server.ends = calloc(CLIENTS, sizeof(*server.ends));
	clients.ends = calloc(CLIENTS, sizeof(*clients.ends));
	assert_non_null(server.ends);
	assert_non_null(clients.ends);
	start_server(&server);
	start_clients(&clients);
	actors[0] = (struct rota_sim_actor){ step, has_stopped, &server, server.engine };
	actors[1] = (struct rota_sim_actor){ step, has_stopped, &clients, clients.engine };
	assert_int_equal(rota_sim_drive(actors, 2), 0);
	for (unsigned i = 0; i < CLIENTS; i++) {
		assert_int_equal(clients.ends[i].in_bytes, MESSAGE_BYTES);
		assert_memory_equal(clients.ends[i].in, clients.ends[i].out, MESSAGE_BYTES);
	}
	hash = rota_sim_trace_hash(sim.world);
	rota_backend_destroy(clients.engine);
	t_sim_close(&sim);
	free(server.ends);
	free(clients.ends);
	return hash;
}

static void make_cramped(struct rota_sim_options *options, uint64_t seed)
{
	rota_sim_options_rough(options, seed);
	options->steps_max = 1000000;
	options->buffers_count = 3;
	options->buffer_bytes = 100;
	options->socket_bytes = 256;
}

static void test_program_survives_every_seed_and_repeats_it(void **state)
{
	uint64_t hashes[200];
	void *ballast[200];

	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++) {
		struct rota_sim_options options;

		make_cramped(&options, seed);
		print_message("seed %llu\n", (unsigned long long)seed);
		hashes[seed] = run(&options);
		/* Other addresses for everything: they must not matter. */
		ballast[seed] = malloc(1 + (seed * 7919) % 5000);
		assert_true(run(&options) == hashes[seed]);
		for (uint64_t other = 0; other < seed; other++)
			assert_true(hashes[other] != hashes[seed]);
	}
	for (int i = 0; i < 200; i++)
		free(ballast[i]);
}

static void test_trace_of_one_seed_is_the_same_text(void **state)
{
	struct rota_sim_options options;
	char *texts[2];
	size_t bytes[2];

	(void)state;
	make_cramped(&options, 42);
	for (int i = 0; i < 2; i++) {
		options.trace = open_memstream(&texts[i], &bytes[i]);
		assert_non_null(options.trace);
		run(&options);
		assert_int_equal(fclose(options.trace), 0);
	}
	assert_true(bytes[0] > 10000);
	assert_int_equal(bytes[0], bytes[1]);
	assert_memory_equal(texts[0], texts[1], bytes[0]);
	free(texts[0]);
	free(texts[1]);
}

static void test_trace_does_not_change_the_hash_and_a_note_does(void **state)
{
	struct rota_sim_options options;
	struct t_sim sim;
	uint64_t before;

	(void)state;
	rota_sim_options_init(&options, 42);
	before = run(&options);
	options.trace = fopen("/dev/null", "w");
	assert_non_null(options.trace);
	assert_true(run(&options) == before);
	fclose(options.trace);
	t_sim_init(&sim, 1);
	t_sim_open(&sim);
	before = rota_sim_trace_hash(sim.world);
	rota_sim_note(sim.world, "fact", 1);
	assert_true(rota_sim_trace_hash(sim.world) != before);
	t_sim_close(&sim);
}

/* Sixteen bytes, sent or received under many seeds, are split at every place there is. */
static void test_short_transfers_reach_every_split(void **state)
{
	bool sent_seen[17] = { false }, received_seen[17] = { false };
	struct t_sim sim;
	struct t_op *receive;
	int a, b;

	(void)state;
	for (uint64_t seed = 0; seed < 400; seed++) {
		t_sim_init(&sim, seed);
		sim.options.short_io_permille = 500;
		t_sim_open(&sim);
		t_pair(sim.engine, AF_INET, &a, &b);
		int result = t_send(sim.engine, a, "0123456789abcdef", 16);

		assert_in_range(result, 1, 16);
		sent_seen[result] = true;
		if (result == 16) {
			receive = t_start(sim.engine, ROTA_OP_RECEIVE, b);
			t_turn(sim.engine);
			received_seen[receive->results[0]] = true;
			assert_int_equal(receive->data_bytes, 16);
			assert_memory_equal(receive->data, "0123456789abcdef", 16);
			assert_int_equal(t_cancel(receive), -ECANCELED);
		} else {
			size_t bytes;

			assert_int_equal(t_drain(sim.engine, b, &bytes), -EAGAIN);
			assert_int_equal(bytes, result);
		}
		t_close(sim.engine, a);
		t_close(sim.engine, b);
		t_sim_close(&sim);
	}
	for (int i = 1; i <= 16; i++) {
		assert_true(sent_seen[i]);
		assert_true(received_seen[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_program_survives_every_seed_and_repeats_it),
		cmocka_unit_test(test_trace_of_one_seed_is_the_same_text),
		cmocka_unit_test(test_trace_does_not_change_the_hash_and_a_note_does),
		cmocka_unit_test(test_short_transfers_reach_every_split),
	};

	return cmocka_run_group_tests_name("sim determinism", tests, NULL, NULL);
}
