/* SPDX-License-Identifier: MIT */
/*
 * The party of kv_party.h. Layer: tests.
 */
#include "tests/sim/kv_party.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rota/memory.h>

#include "apps/kv/call.h"
#include "apps/kv/kv.h"
#include "tests/support/t_core.h"

#define REQUESTS_MAX 4 /* in one write */
#define REQUEST_BYTES_MAX 80
#define ANSWER_NS ROTA_NS_PER_S
/* Values stay below 10^18: three digits set, and these behind them. */
#define APPENDS_MAX 15
/* Left for what is called meanwhile, and for losses. */
#define CALLS_RESERVED 64

struct t_kv_history t_kv;

void t_kv_begin(void)
{
	t_kv.count = t_kv.lines = t_kv.values = t_kv.appends = t_kv.crashes = 0;
	t_kv.is_serving = t_kv.may_refuse = false;
}

static struct t_call *note(enum t_command command, const struct t_kv_line *line, rota_ns at)
{
	T_CHECK(t_kv.count < T_CALLS_MAX);
	t_kv.calls[t_kv.count] = (struct t_call){
		.command = command,
		.line = line->number,
		.opened = line->opened,
		.called = at,
		.answered = ROTA_NEVER,
	};
	return &t_kv.calls[t_kv.count++];
}

/* ---- the server ---- */

static void note_loss(rota_ns at)
{
	const struct t_kv_line nobody = { .number = ++t_kv.lines };

	note(T_LOSS, &nobody, at)->answered = at;
}

/* What it holds when the power goes is freed with all other memory of its host. */
struct boot {
	struct kv_server kv;
	struct kv_config config;
	struct rota_protocol protocol;
	struct rota_service service;
	rota_task_fn start;
};

static int start(struct rota_server *server, unsigned reactor_index, void *arg)
{
	struct boot *boot = ROTA_CONTAINER_OF(arg, struct boot, kv.resp);
	int status = kv_server_start(server, reactor_index, arg);

	if (status == 0 && boot->start && reactor_index == 0)
		status = rota_spawn(rota_reactor_scope(rota_reactor_current()), boot->start, NULL);
	return status;
}

static int serve(struct boot *boot)
{
	int status;

	boot->config.is_protected = false;
	status = kv_server_init(&boot->kv, &boot->config);
	if (status < 0)
		return status;
	kv_server_service(&boot->kv, &boot->protocol, &boot->service);
	boot->service.start = start;
	boot->service.port = T_KV_PORT;
	status = t_hosts_serve(&boot->service, &boot->config.server);
	kv_server_fini(&boot->kv);
	return status;
}

int t_kv_serve(rota_task_fn start_fn)
{
	struct boot *boot = rota_calloc(1, sizeof(*boot));
	int status;

	t_kv.may_refuse |= rota_sim_plan_count(t_hosts.world, ROTA_SIM_NO_MEMORY) > 0;
	if (t_kv.is_serving) {
		t_kv.crashes++;
		note_loss(rota_sim_host_crashed_at(t_hosts.world, T_SERVER));
	}
	t_kv.is_serving = true;
	if (!boot)
		return -ENOMEM;
	boot->start = start_fn;
	status = kv_config_init(&boot->config, NULL);
	if (status == 0) {
		status = serve(boot);
		kv_config_fini(&boot->config);
	}
	rota_free(boot);
	note_loss(rota_sim_now(t_hosts.world));
	t_kv.is_serving = false;
	return status;
}

/* ---- requests ---- */

static const char *const names[T_COMMAND_COUNT] = {
	[T_GET] = "GET",         [T_SET] = "SET",       [T_SETNX] = "SETNX",
	[T_GETSET] = "GETSET",   [T_INCRBY] = "INCRBY", [T_APPEND] = "APPEND",
	[T_DEL] = "DEL",         [T_GETDEL] = "GETDEL", [T_PEXPIRE] = "PEXPIRE",
	[T_PERSIST] = "PERSIST", [T_MSET] = "MSET",     [T_MGET] = "MGET",
};

/* As often as it stands here. */
static const enum t_command lot[] = {
	T_GET,     T_GET,     T_GET,    T_SET,    T_SET,  T_SETNX, T_GETSET, T_INCRBY,
	T_INCRBY,  T_INCRBY,  T_APPEND, T_APPEND, T_DEL,  T_DEL,   T_GETDEL, T_PEXPIRE,
	T_PEXPIRE, T_PERSIST, T_MSET,   T_MSET,   T_MGET, T_MGET,
};

static void draw_call(struct t_call *call, uint64_t *random)
{
	static const uint64_t lives_ms[] = { 0, 20, T_SOON_MS, 1000 * 1000 * 1000 };

	call->command = lot[t_draw_from(random, ROTA_ARRAY_COUNT(lot))];
	if (call->command == T_APPEND && t_kv.appends++ >= APPENDS_MAX)
		call->command = T_GET;
	call->key = call->command == T_MGET ? 0 : t_draw_from(random, T_KEYS);
	if (call->command == T_INCRBY || call->command == T_APPEND)
		call->argument = 1 + t_draw_from(random, 9);
	else if (call->command == T_PEXPIRE)
		call->argument = lives_ms[t_draw_from(random, ROTA_ARRAY_COUNT(lives_ms))];
	else if (call->command == T_SET || call->command == T_SETNX || call->command == T_GETSET ||
		 call->command == T_MSET)
		call->argument = ++t_kv.values;
}

/* Append it to `text`. */
static void write_request(const struct t_call *call, char *text, size_t text_bytes)
{
	size_t used = strlen(text);
	char *at = text + used;
	unsigned long long argument = call->argument;
	int bytes;

	text_bytes -= used;
	if (call->command == T_MGET)
		bytes = snprintf(at, text_bytes, "MGET key0 key1 key2\r\n");
	else if (call->command == T_MSET)
		bytes = snprintf(at, text_bytes, "MSET key%u %llu key%u %llu\r\n", call->key,
				 argument, (call->key + 1) % T_KEYS, argument);
	else if (call->argument || call->command == T_PEXPIRE)
		bytes = snprintf(at, text_bytes, "%s key%u %llu\r\n", names[call->command],
				 call->key, argument);
	else
		bytes = snprintf(at, text_bytes, "%s key%u\r\n", names[call->command], call->key);
	T_CHECK(bytes > 0 && (size_t)bytes < text_bytes);
}

/* ---- answers ---- */

static uint64_t number_in(const char *text)
{
	char *end;
	uint64_t number = strtoull(text, &end, 10);

	T_CHECK(end != text && !*end);
	return number;
}

/* A value of which `head` is the first line. False: the connection broke off. */
static bool hear_value(struct rota_conn *conn, const char *head, uint64_t *value)
{
	char text[REQUEST_BYTES_MAX];

	*value = 0;
	if (!strcmp(head, "$-1"))
		return true;
	T_EQUAL(head[0], '$');
	if (!t_hear_line(conn, text, sizeof(text)))
		return false;
	T_EQUAL(strlen(text), number_in(head + 1));
	*value = number_in(text);
	t_kv.reads_of_values++;
	return true;
}

static bool hear_values(struct rota_conn *conn, const char *head, uint64_t values[T_KEYS])
{
	char text[REQUEST_BYTES_MAX];

	T_CHECK(!strcmp(head, "*3"));
	for (unsigned i = 0; i < T_KEYS; i++)
		if (!t_hear_line(conn, text, sizeof(text)) || !hear_value(conn, text, &values[i]))
			return false;
	return true;
}

/* False: it broke off, or took too long. */
static bool hear_answer(struct rota_conn *conn, struct t_call *call)
{
	char text[REQUEST_BYTES_MAX];
	uint64_t answer[T_KEYS] = { 0 };

	if (!t_hear_line(conn, text, sizeof(text)))
		return false;
	if (text[0] == '-') { /* clear, and nothing has changed */
		T_CHECK(!strcmp(text, "-" KV_ERR_MEMORY));
		call->command = T_NOTHING;
		t_kv.refused++;
		return true;
	}
	switch (call->command) {
	case T_SET:
	case T_MSET:
		T_CHECK(!strcmp(text, "+OK"));
		break;
	case T_GET:
	case T_GETSET:
	case T_GETDEL:
		if (!hear_value(conn, text, &answer[0]))
			return false;
		break;
	case T_MGET:
		if (!hear_values(conn, text, answer))
			return false;
		break;
	default:
		T_EQUAL(text[0], ':');
		answer[0] = number_in(text + 1);
	}
	memcpy(call->answer, answer, sizeof(answer));
	call->answered = rota_now();
	return true;
}

bool t_kv_arrive(struct t_kv_line *line)
{
	line->conn = t_arrive(T_KV_PORT);
	line->number = ++t_kv.lines;
	line->opened = rota_now();
	return line->conn;
}

void t_kv_leave(struct t_kv_line *line)
{
	if (line->conn)
		rota_conn_close(line->conn);
	line->conn = NULL;
}

bool t_kv_converse(struct t_kv_line *line, uint64_t *random)
{
	unsigned count = 1 + t_draw_from(random, REQUESTS_MAX), first = t_kv.count, heard = 0;
	char text[REQUESTS_MAX * REQUEST_BYTES_MAX] = "";
	struct rota_scope scope;

	if (t_kv.count + count + CALLS_RESERVED > T_CALLS_MAX)
		return true;
	for (unsigned i = 0; i < count; i++) {
		struct t_call *call = note(T_NOTHING, line, rota_now());

		draw_call(call, random);
		write_request(call, text, sizeof(text));
	}
	rota_scope_open(&scope, rota_after_ns(ANSWER_NS));
	if (rota_conn_write(line->conn, rota_view_of_string(text)) >= 0)
		while (heard < count && hear_answer(line->conn, &t_kv.calls[first + heard]))
			heard++;
	rota_ignore(rota_scope_close(&scope), "that it took too long is known");
	t_kv.answered += heard;
	t_kv.unanswered += count - heard;
	if (heard < count)
		t_kv_leave(line);
	return heard == count;
}

static void tell(const struct t_call *call)
{
	const char *name = names[call->command];

	fprintf(stderr, "%9.3f ms %3u: %s key%u %llu", (double)call->called / 1e6, call->line,
		name                      ? name
		: call->command == T_LOSS ? "(loss)"
					  : "(refused)",
		call->key, (unsigned long long)call->argument);
	if (call->answered == ROTA_NEVER) {
		fprintf(stderr, "\n");
		return;
	}
	fprintf(stderr, ", %.3f ms:", (double)call->answered / 1e6);
	for (unsigned i = 0; i < (call->command == T_MGET ? T_KEYS : 1); i++)
		fprintf(stderr, " %llu", (unsigned long long)call->answer[i]);
	fprintf(stderr, "\n");
}

void t_kv_judge(void)
{
	enum t_verdict verdict = t_judge(t_kv.calls, t_kv.count, t_kv.may_refuse);

	t_kv.undecided += verdict == T_UNDECIDED;
	for (unsigned i = 0; verdict == T_NOT_LINEAR && i < t_kv.count; i++)
		tell(&t_kv.calls[i]);
	T_CHECK(verdict != T_NOT_LINEAR);
}
