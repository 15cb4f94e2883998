/* SPDX-License-Identifier: MIT */
/*
 * rota-kv as it is, in the simulator: its service on two reactors over one store, clients who know
 * what each reply must be, try-locks refused at the seed's pleasure, many seeds. Layer: tests.
 *
 * The one idea: what one client writes only it reads, so a model per client says every reply to the
 * byte, however long the pipeline; what all share has laws instead: counters only grow and lose
 * nothing, two values written together are read together.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apps/kv/kv.h"
#include "apps/kv/store/store_internal.h"
#include "tests/sim/party.h"
#include "tests/support/t_alloc.h"
#include "tests/support/t_core.h"

#define SEEDS 100
#define KEYS 6
#define COUNTERS 2
#define VALUE_BYTES_MAX 20000 /* beyond what is stored in place */
#define TEXT_BYTES_MAX (24 * (VALUE_BYTES_MAX + 200))

/* Everybody's, of this run. */
static struct {
	struct kv_server server;
	uint64_t counted[COUNTERS]; /* increments that were answered */
	unsigned finished_count;
	struct t_party party;
	struct t_client others[T_PARTY_REACTORS]; /* for what interferes */
} kv;

/* Requests, of all runs, that had to wait. */
static uint64_t parked_count;

/* One client's: what its keys hold, what it has written and must read. */
struct model {
	struct t_client *client;
	struct {
		int32_t bytes; /* -1: no such key */
		char data[VALUE_BYTES_MAX];
	} values[KEYS];
	int64_t counters[COUNTERS]; /* as last seen */
	size_t question_bytes, answer_bytes;
	char question[TEXT_BYTES_MAX], answer[TEXT_BYTES_MAX];
};

/* ---- requests and what they are answered ---- */

static void put(char *text, size_t *text_bytes, const void *data, size_t bytes)
{
	T_CHECK(*text_bytes + bytes <= TEXT_BYTES_MAX);
	memcpy(text + *text_bytes, data, bytes);
	*text_bytes += bytes;
}

static void put_bulk(char *text, size_t *text_bytes, const void *data, size_t bytes)
{
	char head[32];

	put(text, text_bytes, head, (size_t)snprintf(head, sizeof(head), "$%zu\r\n", bytes));
	put(text, text_bytes, data, bytes);
	put(text, text_bytes, "\r\n", 2);
}

static void put_string(struct model *m, const char *text)
{
	put_bulk(m->question, &m->question_bytes, text, strlen(text));
}

static void put_key(struct model *m, int key)
{
	char text[32];

	snprintf(text, sizeof(text), "client:%u:%d", m->client->index, key);
	put_string(m, text);
}

/* A command of `count` words; the others follow. */
static void ask(struct model *m, unsigned count, const char *command)
{
	char text[32];

	put(m->question, &m->question_bytes, text,
	    (size_t)snprintf(text, sizeof(text), "*%u\r\n", count));
	put_string(m, command);
}

/* A command whose first argument is a key. */
static void ask_of(struct model *m, unsigned count, const char *command, int key)
{
	ask(m, count, command);
	put_key(m, key);
}

static void await_text(struct model *m, const char *text)
{
	put(m->answer, &m->answer_bytes, text, strlen(text));
}

static void await_number(struct model *m, int64_t number)
{
	char text[32];

	snprintf(text, sizeof(text), ":%lld\r\n", (long long)number);
	await_text(m, text);
}

static void await_value(struct model *m, int key)
{
	if (m->values[key].bytes < 0)
		await_text(m, "$-1\r\n");
	else
		put_bulk(m->answer, &m->answer_bytes, m->values[key].data,
			 (size_t)m->values[key].bytes);
}

/* A new value for `key`, behind the first `keep` bytes of the old one; asked for as an argument. */
static void write_value(struct model *m, int key, int32_t keep)
{
	static const uint32_t limits[] = { 1, 15, 40, 40, 300, VALUE_BYTES_MAX / 2 };
	uint32_t bytes = t_draw(m->client, limits[t_draw(m->client, ROTA_ARRAY_COUNT(limits))]);
	char *at = m->values[key].data + keep;

	for (uint32_t i = 0; i < bytes; i++)
		at[i] = (char)(bytes + i * 7);
	m->values[key].bytes = keep + (int32_t)bytes;
	put_bulk(m->question, &m->question_bytes, at, bytes);
}

/* ---- this client's keys ---- */

static void any_command(struct model *m)
{
	int key = (int)t_draw(m->client, KEYS);
	int other = (key + 1) % KEYS;
	int32_t bytes = m->values[key].bytes;

	switch (t_draw(m->client, 9)) {
	case 0:
	case 1:
		ask_of(m, 3, "SET", key);
		write_value(m, key, 0);
		await_text(m, "+OK\r\n");
		break;
	case 2:
		ask_of(m, 2, "STRLEN", key);
		await_number(m, bytes < 0 ? 0 : bytes);
		break;
	case 3:
		if (bytes > VALUE_BYTES_MAX / 2)
			break;
		ask_of(m, 3, "APPEND", key);
		write_value(m, key, bytes < 0 ? 0 : bytes);
		await_number(m, m->values[key].bytes);
		break;
	case 4:
		ask_of(m, 2, "DEL", key);
		await_number(m, bytes >= 0);
		m->values[key].bytes = -1;
		break;
	case 5: /* two shards at once */
		ask_of(m, 5, "MSET", key);
		write_value(m, key, 0);
		put_key(m, other);
		write_value(m, other, 0);
		await_text(m, "+OK\r\n");
		break;
	case 6: /* alone, behind the closed gate */
		ask(m, 2, "SELECT");
		put_string(m, "1");
		ask(m, 1, "FLUSHDB");
		ask(m, 2, "SELECT");
		put_string(m, "0");
		await_text(m, "+OK\r\n+OK\r\n+OK\r\n");
		break;
	default:
		ask_of(m, 2, "GET", key);
		await_value(m, key);
	}
}

static bool send_and_compare(struct model *m)
{
	bool is_well = t_ask(m->client, rota_view_of(m->question, m->question_bytes),
			     rota_view_of(m->answer, m->answer_bytes));

	m->question_bytes = m->answer_bytes = 0;
	return is_well;
}

static bool pipeline(struct model *m)
{
	for (uint32_t count = 1 + t_draw(m->client, 20); count; count--)
		any_command(m);
	return send_and_compare(m);
}

/* What lives for a millisecond is gone after two. */
static bool expire(struct model *m)
{
	int key = (int)t_draw(m->client, KEYS);

	ask_of(m, 5, "SET", key);
	write_value(m, key, 0);
	put_string(m, "PX");
	put_string(m, "1");
	await_text(m, "+OK\r\n");
	m->values[key].bytes = -1;
	if (!send_and_compare(m) || rota_sleep_ms(2) < 0)
		return false;
	ask_of(m, 2, "GET", key);
	await_value(m, key);
	return send_and_compare(m);
}

/* ---- everybody's ---- */

static bool read_number(struct model *m, char kind, int64_t *out)
{
	char line[64];

	*out = 0;
	if (!t_read_line(m->client, line, sizeof(line)))
		return false;
	T_EQUAL(line[0], kind);
	*out = strtoll(line + 1, NULL, 10);
	return true;
}

/* A value that is a number; -1: no such key. */
static bool read_value(struct model *m, int64_t *out)
{
	char line[64];

	if (!read_number(m, '$', out))
		return false;
	if (*out < 0)
		return true;
	if (!t_read_line(m->client, line, sizeof(line)))
		return false;
	*out = strtoll(line, NULL, 10);
	return true;
}

static bool count_up(struct model *m)
{
	unsigned counter = t_draw(m->client, COUNTERS);
	char name[] = "counter:0";
	int64_t value;

	name[sizeof(name) - 2] = (char)('0' + counter);
	ask(m, 2, "INCR");
	put_string(m, name);
	if (!send_and_compare(m) || !read_number(m, ':', &value))
		return false;
	T_LESS(m->counters[counter], value);
	m->counters[counter] = value;
	kv.counted[counter]++;
	return true;
}

static bool write_or_read_a_pair(struct model *m)
{
	int64_t count, a, b;
	char text[32];

	if (t_draw(m->client, 2)) {
		snprintf(text, sizeof(text), "%u", t_draw(m->client, 1000000));
		ask(m, 5, "MSET");
		put_string(m, "pair:a");
		put_string(m, text);
		put_string(m, "pair:b");
		put_string(m, text);
		await_text(m, "+OK\r\n");
		return send_and_compare(m);
	}
	ask(m, 3, "MGET");
	put_string(m, "pair:a");
	put_string(m, "pair:b");
	if (!send_and_compare(m) || !read_number(m, '*', &count) || !read_value(m, &a) ||
	    !read_value(m, &b))
		return false;
	T_EQUAL(count, 2);
	T_EQUAL(b, a);
	return true;
}

/* The last one finds everything that was counted. */
static void check_counters(struct model *m)
{
	char text[32], name[] = "counter:0";

	for (unsigned i = 0; i < COUNTERS; i++) {
		name[sizeof(name) - 2] = (char)('0' + i);
		ask(m, 2, "GET");
		put_string(m, name);
		snprintf(text, sizeof(text), "%llu", (unsigned long long)kv.counted[i]);
		if (kv.counted[i])
			put_bulk(m->answer, &m->answer_bytes, text, strlen(text));
		else
			await_text(m, "$-1\r\n");
	}
	send_and_compare(m);
}

static void converse(struct t_client *client)
{
	struct model *m = calloc(1, sizeof(*m));
	bool is_well = true;

	T_CHECK(m);
	m->client = client;
	for (int i = 0; i < KEYS; i++)
		m->values[i].bytes = -1;
	for (int round = 0; is_well && round < 12; round++)
		is_well = pipeline(m) && count_up(m) && write_or_read_a_pair(m) &&
			  (t_draw(client, 4) || expire(m));
	if (is_well && ++kv.finished_count == T_PARTY_REACTORS * kv.party.clients_count)
		check_counters(m);
	free(m);
}

/* ---- the program ---- */

/* Hold the shard of some key for some time, again and again, as another core would. */
static int64_t interfere(void *arg)
{
	struct t_client *self = arg;
	struct kv_store *store = kv.server.store;
	char text[32];

	while (rota_sleep_until(rota_after_ns(t_draw(self, 100) * ROTA_NS_PER_US)) == 0) {
		unsigned client = t_draw(self, T_PARTY_REACTORS * kv.party.clients_count);
		struct kv_key key;
		uint32_t shard;

		if (t_draw(self, 4))
			snprintf(text, sizeof(text), "client:%u:%u", client, t_draw(self, KEYS));
		else
			snprintf(text, sizeof(text), "counter:%u", t_draw(self, COUNTERS));
		key = kv_key_of(store, rota_view_of_string(text));
		shard = kv_shard_of(store, &key);
		if (!kv__shard_try_lock(store, shard))
			continue;
		/* It waits with a lock that nobody may wait with: another core's holder. */
		rota_debug_lock_released();
		rota_ignore(rota_sleep_until(rota_after_ns(t_draw(self, 500) * ROTA_NS_PER_US)),
			    "the shard is given back anyway");
		rota_debug_lock_taken();
		kv__shard_unlock(store, shard);
	}
	return 0;
}

static bool refuse(void *world, uint32_t shard)
{
	(void)shard;
	return rota_sim_refuse(world);
}

static int start(struct rota_server *server, unsigned reactor_index, void *arg)
{
	struct t_client *other = &kv.others[reactor_index];

	T_EQUAL(kv_server_start(server, reactor_index, arg), 0);
	kv.server.store->refuse_lock = refuse;
	kv.server.store->refuse_arg = kv.party.world;
	other->random = kv.party.seed ^ UINT64_C(0x6f74686572) << reactor_index;
	return rota_spawn(rota_reactor_scope(rota_reactor_current()), interfere, other);
}

static uint64_t run_kv(uint64_t seed)
{
	struct rota_protocol protocol;
	struct rota_service service;
	struct kv_config config;
	uint64_t hash;

	memset(&kv, 0, sizeof(kv));
	kv.party = (struct t_party){
		.service = &service,
		.options = &config.server,
		.converse = converse,
		.question = "PING\r\n",
		.answer = "+PONG\r\n",
		.clients_count = 4,
		.stops_early = seed % 2,
	};
	assert_int_equal(kv_config_init(&config, NULL), 0);
	assert_int_equal(kv_server_init(&kv.server, &config), 0);
	kv_server_service(&kv.server, &protocol, &service);
	service.start = start;
	hash = t_party_run(&kv.party, seed);
	assert_true(kv.party.stops_early || kv.finished_count);
	for (unsigned i = 0; i < kv.server.locals_count; i++)
		parked_count += kv_counted(&kv.server.locals[i].counters.parked);
	kv_server_fini(&kv.server);
	kv_config_fini(&config);
	return hash;
}

static void test_kv_many_seeds_every_reply_is_right(void **state)
{
	(void)state;
	t_alloc_install();
	t_party_repeat(t_rounds(SEEDS), run_kv);
	assert_true(parked_count > t_rounds(SEEDS)); /* or the refusals are not refused */
	t_alloc_remove();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kv_many_seeds_every_reply_is_right),
	};

	return cmocka_run_group_tests_name("kv in the simulator", tests, NULL, NULL);
}
