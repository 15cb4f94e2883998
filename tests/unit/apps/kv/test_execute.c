/* SPDX-License-Identifier: MIT */
/*
 * Commands whose locks are refused: whatever the store's refuse_lock says, every command that has
 * keys gives the reply it gives when nothing is refused. Two servers get the same requests, at
 * random from a seed, one by one and in batches; one of them refuses. And commands that find no
 * memory: each is done, or says so and has changed nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <rota/memory.h>

#include "apps/kv/command.h"
#include "apps/kv/kv.h"
#include "apps/kv/store/store_internal.h"
#include "tests/support/t_alloc.h"
#include "tests/support/t_core.h"
#include "tests/support/t_session.h"

/* ---- a server without a framework around it, but for the reactor ---- */

struct refusals {
	uint64_t random;
	uint32_t permille;
	uint64_t refused;
};

static uint64_t draw(uint64_t *state)
{
	/* splitmix64 */
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static bool refuse(void *arg, uint32_t shard)
{
	struct refusals *refusals = arg;
	bool says_no = draw(&refusals->random) % 1000 < refusals->permille;

	(void)shard;
	refusals->refused += says_no;
	return says_no;
}

struct world {
	struct kv_config config;
	struct kv_server server;
	struct rota_protocol protocol;
	struct rota_session session;
	struct refusals refusals;
};

static void open_world(struct world *world, uint64_t seed, uint32_t permille)
{
	struct kv_store_options options = {
		.shard_count = 4, /* so that keys of one command meet in one */
		.reactor_count = 1,
		.hash_seed = "sixteen secrets!",
		.refuse_lock = permille ? refuse : NULL,
		.refuse_arg = &world->refusals,
	};
	struct kv_local *local;

	world->refusals = (struct refusals){ .random = seed, .permille = permille };
	T_EQUAL(kv_config_init(&world->config, NULL), 0);
	world->config.is_protected = false;
	world->config.keepalive_s = 0;
	T_EQUAL(kv_server_init(&world->server, &world->config), 0);
	T_EQUAL(kv_store_create(&world->server.store, &options), 0);
	local = aligned_alloc(ROTA_ISOLATION_BYTES, sizeof(*local));
	T_CHECK(local);
	memset(local, 0, sizeof(*local));
	local->settings = kv_settings_create(&world->config, 1);
	T_CHECK(local->settings);
	local->server = &world->server;
	local->reactor = rota_reactor_current();
	world->server.locals = local;
	world->server.locals_count = 1;
	rota_resp_protocol_init(&world->protocol, &world->server.resp);
	t_session_open(&world->session, &world->protocol, &world->server.resp);
}

static void close_world(struct world *world)
{
	t_session_close(&world->session);
	kv_settings_unref(world->server.locals->settings);
	free(world->server.locals); /* it is aligned, and not from rota_alloc */
	world->server.locals = NULL;
	world->server.locals_count = 0;
	kv_server_fini(&world->server);
	kv_config_fini(&world->config);
}

/* Send bytes; the reply is in *reply until the next call, NUL behind it. */
static size_t ask(struct world *world, const struct rota_buffer *request, const char **reply)
{
	struct rota_buffer *output = &world->session.output.bytes;

	output->bytes = 0;
	t_session_feed(&world->session, request->data, request->bytes);
	T_EQUAL(rota_buffer_append(output, "", 1), 0);
	*reply = output->data;
	return output->bytes - 1;
}

/* ---- requests ---- */

/* K is a key, V a value. */
static const char *const templates[] = {
	"append K V",
	"copy K K",
	"copy K K replace",
	"decr K",
	"decrby K 3",
	"del K K K",
	"exists K K",
	"expire K 100000",
	"expireat K 4102444800",
	"expiretime K",
	"get K",
	"getdel K",
	"getex K persist",
	"getrange K 0 3",
	"getset K V",
	"incr K",
	"incrby K 5",
	"incrbyfloat K 1.5",
	"keys *",
	"memory usage K samples 5",
	"mget K K K K",
	"mset K V K V K V",
	"msetnx K V K V",
	"persist K",
	"pexpire K 100000000",
	"pexpireat K 4102444800000",
	"pexpiretime K",
	"psetex K 100000000 V",
	"pttl K",
	"randomkey",
	"rename K K",
	"renamenx K K",
	"scan 0 count 5",
	"set K V",
	"set K V get",
	"set K V nx ex 100000",
	"setex K 100000 V",
	"setnx K V",
	"setrange K 5 V",
	"strlen K",
	"substr K 0 3",
	"touch K K",
	"ttl K",
	"type K",
	"unlink K K",
};

static bool begins_with(const char *text, const char *word)
{
	size_t bytes = strlen(word);

	return !strncmp(text, word, bytes) && (!text[bytes] || text[bytes] == ' ');
}

/* Of these the reply is time's or chance's, or comes in steps. */
static bool is_loose(const char *template)
{
	static const char *const loose[] = { "expiretime", "pexpiretime", "pttl",
					     "ttl",        "randomkey",   "scan" };

	for (size_t i = 0; i < ROTA_ARRAY_COUNT(loose); i++)
		if (begins_with(template, loose[i]))
			return true;
	return false;
}

static void append_word(struct rota_buffer *request, const char *word, size_t bytes)
{
	char head[32];
	int head_bytes = snprintf(head, sizeof(head), "$%zu\r\n", bytes);

	T_EQUAL(rota_buffer_append(request, head, (size_t)head_bytes), 0);
	T_EQUAL(rota_buffer_append(request, word, bytes), 0);
	T_EQUAL(rota_buffer_append(request, "\r\n", 2), 0);
}

static void append_value(struct rota_buffer *request, uint64_t *random)
{
	static const char *const values[] = { "1", "77", "abc", "3.5", "" };
	static char large[KV_BLOB_BYTES_MIN + 100];
	uint64_t which = draw(random) % 12;

	memset(large, 'L', sizeof(large));
	if (which == 11)
		append_word(request, large, sizeof(large));
	else if (which >= 8) /* from a slab of every size, or from none */
		append_word(request, large, (size_t)(draw(random) % (2 * KV_SLAB_BLOCK_MAX)));
	else
		append_word(request, values[which % 5], strlen(values[which % 5]));
}

static void append_request(struct rota_buffer *request, const char *template, uint64_t *random)
{
	char head[32];
	int words = 1;

	for (const char *at = template; *at; at++)
		words += *at == ' ';
	snprintf(head, sizeof(head), "*%d\r\n", words);
	T_EQUAL(rota_buffer_append(request, head, strlen(head)), 0);
	for (const char *at = template; words-- > 0; at += strcspn(at, " ") + 1) {
		size_t bytes = strcspn(at, " ");

		if (bytes == 1 && *at == 'K') {
			snprintf(head, sizeof(head), "key:%u", (unsigned)(draw(random) % 12));
			append_word(request, head, strlen(head));
		} else if (bytes == 1 && *at == 'V') {
			append_value(request, random);
		} else {
			append_word(request, at, bytes);
		}
	}
}

/* ---- comparing ---- */

/* `reply` is what the other world has said. */
static void same_replies(struct world *calm, const struct rota_buffer *request,
			 const char *template, const char *reply, size_t reply_bytes)
{
	const char *expected;
	size_t expected_bytes = ask(calm, request, &expected);
	bool is_same = reply_bytes == expected_bytes && !memcmp(reply, expected, reply_bytes);

	if (!is_same)
		fprintf(stderr, "%s: \"%.200s\", and in the other world \"%.200s\"\n", template,
			expected, reply);
	T_CHECK(is_same);
}

/* The kind of a reply whose value is nobody's to know: its type, and whether it is negative. */
static void same_kind(struct world *calm, struct world *refusing, const struct rota_buffer *request,
		      const char *template)
{
	const char *expected, *reply;
	char first, second;
	bool is_same;

	ask(calm, request, &expected);
	first = expected[0];
	second = expected[1] == '-' ? '-' : '+';
	ask(refusing, request, &reply);
	is_same = reply[0] == first && (reply[1] == '-') == (second == '-');
	if (!is_same)
		fprintf(stderr, "%s: %c%c, and when locks are refused %.200s\n", template, first,
			second, reply);
	T_CHECK(is_same);
}

/* Every key of database 0 is in a whole iteration, whose steps may be shorter. */
static unsigned keys_by_scan(struct world *world, bool seen[12])
{
	struct rota_buffer request = { 0 };
	unsigned count = 0, number;
	char cursor[32] = "0", line[64];
	const char *reply;

	memset(seen, 0, 12 * sizeof(seen[0]));
	do {
		request.bytes = 0;
		snprintf(line, sizeof(line), "*2\r\n$4\r\nscan\r\n$%zu\r\n%s\r\n", strlen(cursor),
			 cursor);
		T_EQUAL(rota_buffer_append(&request, line, strlen(line)), 0);
		ask(world, &request, &reply);
		T_EQUAL(sscanf(reply, "*2\r\n$%*d\r\n%31[0-9]", cursor), 1);
		for (const char *at = reply; (at = strstr(at, "key:")); at += 4) {
			T_EQUAL(sscanf(at, "key:%u", &number), 1);
			T_LESS(number, 12);
			count += !seen[number];
			seen[number] = true;
		}
	} while (strcmp(cursor, "0") != 0);
	rota_buffer_fini(&request);
	return count;
}

struct round {
	uint64_t seed;
	uint32_t permille;
};

static int64_t compare_worlds(void *arg)
{
	const struct round *round = arg;
	struct rota_buffer request = { 0 };
	uint64_t random = round->seed;
	bool calm_seen[12], seen[12];
	struct world calm, refusing;

	open_world(&calm, round->seed, 0);
	open_world(&refusing, round->seed, round->permille);
	for (unsigned i = 0; i < 2000; i++) {
		const char *template = templates[draw(&random) % ROTA_ARRAY_COUNT(templates)];
		uint64_t more = draw(&random) % 4 ? 0 : draw(&random) % 20;
		const char *reply;
		size_t reply_bytes;

		request.bytes = 0;
		append_request(&request, template, &random);
		if (is_loose(template)) {
			same_kind(&calm, &refusing, &request, template);
			continue;
		}
		while (more-- > 0) {
			const char *next = templates[draw(&random) % ROTA_ARRAY_COUNT(templates)];

			if (!is_loose(next))
				append_request(&request, next, &random);
		}
		reply_bytes = ask(&refusing, &request, &reply);
		same_replies(&calm, &request, template, reply, reply_bytes);
	}
	T_EQUAL(keys_by_scan(&calm, calm_seen), keys_by_scan(&refusing, seen));
	T_CHECK(!memcmp(calm_seen, seen, sizeof(seen)));
	T_LESS(200, refusing.refusals.refused);
	rota_buffer_fini(&request);
	close_world(&refusing);
	close_world(&calm);
	return 0;
}

static void test_execute_refused_locks_change_no_reply(void **state)
{
	static const uint32_t permilles[] = { 50, 300, 700, 950, 1000 };

	(void)state;
	for (uint64_t seed = 1; seed <= t_rounds(20); seed++) {
		struct round round = {
			.seed = seed,
			.permille = permilles[seed % ROTA_ARRAY_COUNT(permilles)],
		};

		if (t_run(compare_worlds, &round) != 0)
			fail_msg("seed %u", (unsigned)seed);
	}
}

/* ---- without memory ---- */

/* What comes and goes is not to fail: it is not the commands'. */
static void make_room(struct world *world)
{
	T_EQUAL(rota_buffer_reserve(&world->session.input, 1u << 20), 0);
	T_EQUAL(rota_buffer_reserve(&world->session.output.bytes, 1u << 20), 0);
}

/* Returns how many were refused. */
static int64_t compare_with_a_poor_one(void *arg)
{
	static const char refusal[] = "-OOM no memory for this command\r\n";
	const struct round *round = arg;
	struct rota_buffer request = { 0 };
	uint64_t random = round->seed;
	struct world calm, poor;
	int64_t refused = 0;

	open_world(&calm, round->seed, 0);
	open_world(&poor, round->seed, 0);
	make_room(&poor);
	for (unsigned i = 0; i < 2000; i++) {
		const char *template = templates[draw(&random) % ROTA_ARRAY_COUNT(templates)];
		const char *reply;
		size_t reply_bytes;

		if (is_loose(template))
			continue;
		request.bytes = 0;
		append_request(&request, template, &random);
		/* Or else there would nearly always be a free block for an entry. */
		kv__slab_cache_empty(poor.server.store->reactors[0].cache);
		t_alloc_fail_at(1 + draw(&random) % 3);
		reply_bytes = ask(&poor, &request, &reply);
		t_alloc_fail_at(0);
		T_CHECK(!poor.session.is_finishing);
		if (strcmp(reply, refusal) != 0)
			same_replies(&calm, &request, template, reply, reply_bytes);
		else
			refused++;
	}
	rota_buffer_fini(&request);
	close_world(&poor);
	close_world(&calm);
	return refused;
}

static void test_execute_without_memory_each_is_done_or_says_that_it_is_not(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= t_rounds(20); seed++) {
		struct round round = { .seed = seed };

		t_alloc_install();
		assert_true(t_run(compare_with_a_poor_one, &round) > 50);
		t_alloc_remove();
	}
}

/* A command that is added with keys must be among the templates. */
static void test_execute_every_command_with_keys_is_tested(void **state)
{
	(void)state;
	for (unsigned i = 0; i < kv_commands_count; i++) {
		const struct kv_command *command = &kv_commands[i];
		bool found = !command->first_key && !(command->flags & KV_WALKS);
		char name[KV_COMMAND_FULL_NAME_BYTES];

		kv_command_full_name(command, name);
		if (strchr(name, '|'))
			*strchr(name, '|') = ' ';
		for (size_t j = 0; j < ROTA_ARRAY_COUNT(templates); j++)
			found |= begins_with(templates[j], name);
		if (!found)
			fail_msg("%s has no template", command->name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_execute_refused_locks_change_no_reply),
		cmocka_unit_test(test_execute_without_memory_each_is_done_or_says_that_it_is_not),
		cmocka_unit_test(test_execute_every_command_with_keys_is_tested),
	};

	return t_run_group("execute", tests, ROTA_ARRAY_COUNT(tests));
}
