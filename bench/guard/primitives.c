/* SPDX-License-Identifier: MIT */
/*
 * The guards' primitives: what tasks, locks, messages, timers and generators cost, and the RESP
 * parser by itself.
 */
#include <stdlib.h>
#include <string.h>

#include <rota/channel.h>
#include <rota/generator.h>
#include <rota/mailbox.h>
#include <rota/reactor.h>
#include <rota/sync.h>
#include <rota/timer.h>

#include "bench/guard/engine.h"
#include "bench/guard/guard.h"
#include "protocols/resp/resp.h"

#define WARM_UP 2000
#define COUNTED 10000

/* True for each operation that is to be done; counting begins and ends here. `*i` begins at 0. */
static inline bool next_operation(uint32_t *i)
{
	if (*i == WARM_UP)
		guard_count(true);
	if (*i == WARM_UP + COUNTED) {
		guard_count(false);
		return false;
	}
	++*i;
	return true;
}

static uint64_t run_in_task(rota_task_fn fn)
{
	struct rota_reactor_options options = { .engine = guard_engine() };

	guard_world_open(NULL);
	guard_check(rota_run(&options, fn, NULL), "the task");
	guard_world_close();
	return COUNTED;
}

/* ---- tasks ---- */

static int64_t yield_until(void *arg)
{
	const bool *is_over = arg;

	while (!*is_over)
		guard_check(rota_yield(), "yield");
	return 0;
}

static int64_t yield_by_turns(void *arg)
{
	struct rota_scope scope;
	bool is_over = false;
	uint32_t i = 0;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	guard_check(rota_spawn(&scope, yield_until, &is_over), "spawn");
	while (next_operation(&i))
		rota_ignore(rota_yield(), "nobody cancels");
	is_over = true;
	return rota_scope_close(&scope);
}

/* Of two tasks, so an operation is two of them. */
static uint64_t yield_two(void)
{
	return run_in_task(yield_by_turns);
}

static int64_t do_nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int64_t spawn_and_join(void *arg)
{
	struct rota_future result;
	const struct rota_spawn_options options = { .result = &result };
	struct rota_scope scope;
	uint32_t i = 0;

	(void)arg;
	rota_scope_open(&scope, ROTA_NEVER);
	while (next_operation(&i)) {
		rota_ignore(rota_spawn_with(&scope, do_nothing, NULL, &options), "close says it");
		rota_ignore(rota_await(&result), "0");
	}
	return rota_scope_close(&scope);
}

static uint64_t spawn_join(void)
{
	return run_in_task(spawn_and_join);
}

/* ---- a channel's message, with the switch to who waits for it ---- */

static int64_t receive_all(void *arg)
{
	int64_t number;

	while (rota_channel_receive(arg, &number) > 0)
		;
	return 0;
}

static int64_t send_one_by_one(void *arg)
{
	struct rota_channel channel;
	struct rota_scope scope;
	int64_t buffer[1], number = 0;
	uint32_t i = 0;

	(void)arg;
	rota_channel_init(&channel, &(struct rota_channel_options){ .reach = ROTA_LOCAL,
								    .message_bytes = sizeof(number),
								    .capacity = 1,
								    .buffer = buffer });
	rota_scope_open(&scope, ROTA_NEVER);
	guard_check(rota_spawn(&scope, receive_all, &channel), "spawn");
	while (next_operation(&i))
		rota_ignore(rota_channel_send(&channel, &number), "it is open");
	rota_channel_close(&channel);
	return rota_scope_close(&scope);
}

static uint64_t channel(void)
{
	return run_in_task(send_one_by_one);
}

/* ---- a mutex nobody else wants ---- */

static int64_t lock_and_unlock(void *arg)
{
	struct rota_mutex mutex;
	uint32_t i = 0;

	(void)arg;
	rota_mutex_init(&mutex, ROTA_LOCAL);
	while (next_operation(&i)) {
		rota_ignore(rota_mutex_lock(&mutex), "nobody cancels");
		rota_mutex_unlock(&mutex);
	}
	rota_mutex_fini(&mutex);
	return 0;
}

static uint64_t mutex(void)
{
	return run_in_task(lock_and_unlock);
}

/* ---- a timer, among others ---- */

#define OTHER_TIMERS 1000

static void never_fires(struct rota_timer *timer)
{
	(void)timer;
}

static int64_t arm_and_disarm(void *arg)
{
	static struct rota_timer others[OTHER_TIMERS];
	rota_ns start = rota_now();
	struct rota_timer timer;
	uint32_t i = 0;

	(void)arg;
	for (unsigned k = 0; k < OTHER_TIMERS; k++) {
		rota_timer_init(&others[k], never_fires);
		rota_timer_arm(&others[k], start + (k + 1) * 7 * ROTA_NS_PER_MS);
	}
	rota_timer_init(&timer, never_fires);
	while (next_operation(&i)) {
		rota_timer_arm(&timer, start + (i % 1000 + 1) * ROTA_NS_PER_MS);
		rota_timer_disarm(&timer);
	}
	for (unsigned k = 0; k < OTHER_TIMERS; k++)
		rota_timer_disarm(&others[k]);
	return 0;
}

static uint64_t timer(void)
{
	return run_in_task(arm_and_disarm);
}

/* ---- a generator, without a reactor ---- */

static int64_t yield_on(struct rota_generator *self, void *arg)
{
	int status = 0;

	while (status == 0)
		status = rota_generator_yield(self, arg, NULL);
	return status;
}

static uint64_t generator_next(void)
{
	struct rota_generator *generator;
	uint32_t i = 0;
	void *value;

	guard_check(rota_generator_create(yield_on, NULL, &generator), "the generator");
	while (next_operation(&i))
		rota_ignore(rota_generator_next(generator, &value), "1");
	rota_generator_destroy(generator);
	return COUNTED;
}

/* ---- a call to another reactor; one operation is what both do for it ---- */

static struct {
	struct rota_reactor *caller, *callee;
	struct rota_message start;
} pair;

static int64_t call_many(void *arg)
{
	uint32_t i = 0;

	(void)arg;
	while (next_operation(&i))
		guard_check(rota_call_on(pair.callee, do_nothing, NULL), "the call");
	rota_reactor_stop(pair.caller);
	rota_reactor_stop(pair.callee);
	return 0;
}

static void start_calling(struct rota_message *message)
{
	(void)message;
	guard_check(rota_spawn(rota_reactor_scope(pair.caller), call_many, NULL), "spawn");
}

static uint64_t call(void)
{
	struct rota_reactor_options options = { .engine = guard_engine() };

	guard_world_open(NULL);
	guard_check(rota_reactor_create(&options, &pair.caller), "the caller's reactor");
	options.index = 1;
	guard_check(rota_reactor_create(&options, &pair.callee), "the callee's reactor");
	pair.start.run = start_calling;
	rota_post(pair.caller, &pair.start);
	guard_check(rota_reactor_drive((struct rota_reactor *[]){ pair.caller, pair.callee }, 2),
		    "the reactors");
	rota_reactor_destroy(pair.caller);
	rota_reactor_destroy(pair.callee);
	guard_world_close();
	return COUNTED;
}

/* ---- the RESP parser, over a batch of requests as the protocol hands it ---- */

#define VALUE_64 "0123456789012345678901234567890123456789012345678901234567890123"

static uint64_t parse(const char *request, unsigned words)
{
	static const struct rota_resp_limits limits = ROTA_RESP_LIMITS_DEFAULT;
	struct rota_view args[4], input = rota_view_of_string(request);
	struct rota_resp_parser parser;
	uint32_t i = 0;

	rota_resp_parser_init(&parser, &limits, args, ROTA_ARRAY_COUNT(args));
	while (next_operation(&i)) {
		int64_t bytes = rota_resp_parse(&parser, input);

		if (bytes != (int64_t)input.bytes || parser.count != words)
			guard_die("the request was not parsed");
		rota_resp_parser_fini(&parser);
		rota_resp_parser_init(&parser, &limits, args, ROTA_ARRAY_COUNT(args));
	}
	rota_resp_parser_fini(&parser);
	return COUNTED;
}

static uint64_t resp_parse_get(void)
{
	return parse("*2\r\n$3\r\nGET\r\n$8\r\nkey:0001\r\n", 2);
}

static uint64_t resp_parse_set(void)
{
	return parse("*3\r\n$3\r\nSET\r\n$8\r\nkey:0001\r\n$64\r\n" VALUE_64 "\r\n", 3);
}

const struct guard_scenario guard_primitives[] = {
	{ "call", call },
	{ "channel", channel },
	{ "generator-next", generator_next },
	{ "mutex", mutex },
	{ "resp-parse-get", resp_parse_get },
	{ "resp-parse-set", resp_parse_set },
	{ "spawn-join", spawn_join },
	{ "timer", timer },
	{ "yield", yield_two },
	{ NULL, NULL },
};
