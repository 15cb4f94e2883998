/* SPDX-License-Identifier: MIT */
/*
 * The party of party.h. Layer: tests.
 */
#include "tests/sim/party.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/hosts.h"
#include "tests/support/t_alloc.h"
#include "tests/support/t_core.h"

static const struct rota_backend_ops *const engines[] = { &rota_backend_sim, NULL };

uint32_t t_draw(struct t_client *client, uint32_t bound)
{
	return t_draw_from(&client->random, bound);
}

/* ---- conversations ---- */

/* A failure is one unless the server was told to stop: then it ends what runs. */
static bool broke_off(const struct t_client *client)
{
	T_CHECK(client->party->is_stopping);
	return false;
}

bool t_ask(struct t_client *client, struct rota_view question, struct rota_view answer)
{
	struct rota_view heard;

	if (rota_conn_write(client->conn, question) < 0)
		return broke_off(client);
	for (size_t at = 0; at < answer.bytes;) {
		int64_t n = rota_conn_read(client->conn, &heard);

		if (n <= 0)
			return broke_off(client);
		T_CHECK(heard.bytes <= answer.bytes - at);
		T_CHECK(memcmp(heard.data, answer.data + at, heard.bytes) == 0);
		at += heard.bytes;
	}
	return true;
}

bool t_read_line(struct t_client *client, char *line, size_t line_bytes)
{
	return t_hear_line(client->conn, line, line_bytes) || broke_off(client);
}

static bool arrive(struct t_client *client)
{
	struct t_party *party = client->party;

	if (rota_connect(&party->address, NULL, &client->conn) < 0)
		return broke_off(client);
	if (t_ask(client, rota_view_of_string(party->question), rota_view_of_string(party->answer)))
		return true;
	rota_conn_close(client->conn);
	return false;
}

static int64_t client_main(void *arg)
{
	struct t_client *client = arg;

	if (!arrive(client))
		return 0;
	client->party->converse(client);
	rota_conn_close(client->conn);
	return 0;
}

/* Stays, idle, until the server goes, and is told so in order. */
static int64_t stay(void *arg)
{
	struct t_client *client = arg;
	struct t_party *party = client->party;
	struct rota_view view;

	T_CHECK(arrive(client));
	if (++party->greeted_count == T_PARTY_REACTORS)
		rota_future_complete(&party->all_greeted, 0);
	T_EQUAL(rota_conn_read(client->conn, &view), 0);
	T_CHECK(party->is_stopping);
	rota_conn_close(client->conn);
	return 0;
}

/* ---- the program's other half ---- */

/* The clients of one reactor. */
static int64_t clients_here(void *arg)
{
	struct t_client *clients = arg;
	const struct t_party *party = clients[0].party;
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	for (unsigned i = 0; i < party->clients_count; i++)
		T_EQUAL(rota_spawn(&scope, client_main, &clients[i]), 0);
	return rota_scope_close(&scope);
}

static int64_t stop_early(void *arg)
{
	struct t_party *party = arg;

	if (rota_sleep_until(rota_after_ns(t_draw(&party->clients[0], 2000) * ROTA_NS_PER_US)) < 0)
		return 0;
	party->is_stopping = true;
	rota_server_stop(party->server);
	return 0;
}

static int64_t party_main(void *arg)
{
	struct t_party *party = arg;
	struct rota_scope *root = rota_reactor_scope(rota_reactor_current());
	struct rota_call calls[T_PARTY_REACTORS];
	struct rota_future *ends[T_PARTY_REACTORS];
	struct rota_scope scope;

	for (unsigned i = 0; i < T_PARTY_REACTORS; i++)
		T_EQUAL(rota_spawn(root, stay,
				   &party->clients[T_PARTY_REACTORS * party->clients_count + i]),
			0);
	T_EQUAL(rota_await(&party->all_greeted), 0);
	if (party->stops_early)
		T_EQUAL(rota_spawn(root, stop_early, party), 0);
	rota_scope_open(&scope, ROTA_NEVER);
	for (unsigned i = 0; i < T_PARTY_REACTORS; i++) {
		rota_call_start(&calls[i], rota_server_reactor(party->server, i), clients_here,
				&party->clients[i * party->clients_count]);
		ends[i] = &calls[i].future;
	}
	rota_ignore(rota_await_all(ends, T_PARTY_REACTORS), "each has its own result");
	rota_ignore(rota_scope_close(&scope), "nothing of it is left");
	if (!party->is_stopping)
		for (unsigned i = 0; i < T_PARTY_REACTORS; i++)
			T_EQUAL(ends[i]->result, 0);
	party->is_stopping = true;
	rota_server_stop(party->server);
	return 0;
}

static void begin(struct rota_server *server, void *arg)
{
	struct t_party *party = arg;

	party->server = server;
	T_EQUAL(rota_address_parse(&party->address, "127.0.0.1", rota_server_port(server)), 0);
	T_EQUAL(rota_spawn(rota_reactor_scope(rota_reactor_current()), party_main, party), 0);
}

/* ---- running it ---- */

static void count_worries(enum rota_log_level level, const char *line, void *arg)
{
	(void)level;
	++*(unsigned *)arg;
	print_error("%s\n", line);
}

static void make_clients(struct t_party *party)
{
	unsigned count = T_PARTY_REACTORS * (party->clients_count + 1);

	party->clients = test_calloc(count, sizeof(party->clients[0]));
	for (unsigned i = 0; i < count; i++)
		party->clients[i] = (struct t_client){ .party = party,
						       .index = i,
						       .random = party->seed << 16 | i };
	party->greeted_count = 0;
	party->is_stopping = false;
	rota_future_init(&party->all_greeted);
}

uint64_t t_party_run(struct t_party *party, uint64_t seed)
{
	struct rota_server_options options = *party->options;
	struct rota_sim_options rough;
	unsigned worries = 0;
	uint64_t hash;

	options.engines = engines;
	options.backend = "sim:buffers=16x256";
	options.reactors = T_PARTY_REACTORS;
	options.quiet = true;
	options.on_ready = begin;
	options.on_ready_arg = party;
	rota_sim_options_rough(&rough, seed);
	rough.steps_max = 10 * 1000 * 1000;
	party->seed = seed;
	make_clients(party);
	assert_int_equal(rota_sim_world_create(&rough, &party->world), 0);
	rota_sim_world_use(party->world);
	rota_log_to(ROTA_LOG_WARNING, count_worries, &worries);
	assert_int_equal(rota_serve(party->service, &options), 0);
	rota_log_to(ROTA_LOG_INFO, NULL, NULL);
	assert_true(party->is_stopping);
	assert_int_equal(worries, 0);
	hash = rota_sim_trace_hash(party->world);
	rota_sim_world_use(NULL);
	assert_int_equal(rota_sim_world_destroy(party->world), 0);
	test_free(party->clients);
	return hash;
}

void t_party_repeat(unsigned seeds_count, uint64_t (*run)(uint64_t seed))
{
	uint64_t hash_before = 0;

	for (unsigned seed = 1; seed <= seeds_count; seed++) {
		uint64_t hash;

		print_message("seed %u\n", seed);
		hash = run(seed);
		assert_true(hash != hash_before);
		assert_true(run(seed) == hash);
		hash_before = hash;
	}
}
