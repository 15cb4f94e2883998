/* SPDX-License-Identifier: MIT */
/*
 * Channels, select and broadcasts within a reactor, local and shared alike: messages keep their
 * order, none is lost, none comes twice. Between reactors: test_shared_sync.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <rota/channel.h>
#include <rota/error.h>

#include "tests/support/t_core.h"

#define CAPACITY_MAX 8

static enum rota_reach reach;

static void run_both(rota_task_fn fn, void *arg)
{
	for (reach = ROTA_LOCAL; reach <= ROTA_SHARED; reach++)
		assert_int_equal(t_run(fn, arg), 0);
}

/* A channel of numbers with its buffer. */
struct pipe {
	struct rota_channel channel;
	int64_t buffer[CAPACITY_MAX];
};

static void pipe_init(struct pipe *pipe, uint32_t capacity)
{
	rota_channel_init(&pipe->channel, &(struct rota_channel_options){
						  .reach = reach,
						  .message_bytes = sizeof(int64_t),
						  .capacity = capacity,
						  .buffer = capacity ? pipe->buffer : NULL });
}

/* ---- one channel ---- */

static int64_t send_to_100(void *arg)
{
	struct pipe *pipe = arg;

	for (int64_t i = 1; i <= 100; i++)
		T_EQUAL(rota_channel_send(&pipe->channel, &i), 0);
	rota_channel_close(&pipe->channel);
	return 0;
}

static int64_t receive_in_order(void *arg)
{
	uint32_t capacity = *(uint32_t *)arg;
	struct rota_scope scope;
	struct pipe pipe;
	int64_t number, expected = 1;

	pipe_init(&pipe, capacity);
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn(&scope, send_to_100, &pipe), 0);
	while (rota_channel_receive(&pipe.channel, &number) > 0) {
		T_EQUAL(number, expected++);
		T_CHECK(rota_channel_count(&pipe.channel) <= capacity);
	}
	T_EQUAL(expected, 101);
	T_EQUAL(rota_channel_receive(&pipe.channel, &number), 0); /* and again */
	T_EQUAL(rota_scope_close(&scope), 0);
	rota_channel_fini(&pipe.channel);
	return 0;
}

static void test_channel_iteration_ends_when_closed_and_drained(void **state)
{
	(void)state;
	for (uint32_t capacity = 0; capacity <= CAPACITY_MAX; capacity++)
		run_both(receive_in_order, &capacity);
}

static int64_t try_both(void *arg)
{
	struct pipe pipe;
	int64_t number = 5;

	(void)arg;
	pipe_init(&pipe, 2);
	T_EQUAL(rota_channel_try_receive(&pipe.channel, &number), -EAGAIN);
	T_EQUAL(rota_channel_try_send(&pipe.channel, &number), 0);
	number = 6;
	T_EQUAL(rota_channel_try_send(&pipe.channel, &number), 0);
	T_EQUAL(rota_channel_try_send(&pipe.channel, &number), -EAGAIN);
	rota_channel_close(&pipe.channel);
	rota_channel_close(&pipe.channel);
	T_EQUAL(rota_channel_try_send(&pipe.channel, &number), -ROTA_ECLOSING);
	T_EQUAL(rota_channel_send(&pipe.channel, &number), -ROTA_ECLOSING);
	T_EQUAL(rota_channel_receive(&pipe.channel, &number), 1);
	T_EQUAL(number, 5);
	T_EQUAL(rota_channel_try_receive(&pipe.channel, &number), 1);
	T_EQUAL(number, 6);
	T_EQUAL(rota_channel_try_receive(&pipe.channel, &number), 0);
	rota_channel_fini(&pipe.channel);
	pipe_init(&pipe, 0);
	T_EQUAL(rota_channel_try_send(&pipe.channel, &number), -EAGAIN);
	rota_channel_fini(&pipe.channel);
	return 0;
}

static void test_channel_try_and_closed_twice(void **state)
{
	(void)state;
	run_both(try_both, NULL);
}

struct partner {
	struct pipe *pipe;
	struct rota_scope scope;
	int64_t number;
	int status;
};

static int64_t send_one(void *arg)
{
	struct partner *partner = arg;

	rota_scope_open(&partner->scope, ROTA_NEVER);
	partner->status = rota_channel_send(&partner->pipe->channel, &partner->number);
	rota_ignore(rota_scope_close(&partner->scope), "cancelled or not");
	return 0;
}

static int64_t receive_one(void *arg)
{
	struct partner *partner = arg;

	rota_scope_open(&partner->scope, ROTA_NEVER);
	partner->status = rota_channel_receive(&partner->pipe->channel, &partner->number);
	rota_ignore(rota_scope_close(&partner->scope), "cancelled or not");
	return 0;
}

/* Has run until it waits when this returns. */
static void start(struct rota_scope *scope, rota_task_fn fn, struct partner *partner,
		  struct pipe *pipe, int64_t number)
{
	partner->pipe = pipe;
	partner->number = number;
	partner->status = -EAGAIN;
	T_EQUAL(rota_spawn(scope, fn, partner), 0);
	T_EQUAL(rota_yield(), 0);
}

static int64_t close_on_waiters(void *arg)
{
	struct partner partners[4];
	struct rota_scope scope;
	struct pipe full, empty;

	(void)arg;
	pipe_init(&full, 0);
	pipe_init(&empty, 3);
	rota_scope_open(&scope, ROTA_NEVER);
	start(&scope, send_one, &partners[0], &full, 1);
	start(&scope, send_one, &partners[1], &full, 2);
	start(&scope, receive_one, &partners[2], &empty, 0);
	start(&scope, receive_one, &partners[3], &empty, 0);
	rota_channel_close(&full.channel);
	rota_channel_close(&empty.channel);
	T_EQUAL(rota_scope_close(&scope), 0);
	T_EQUAL(partners[0].status, -ROTA_ECLOSING);
	T_EQUAL(partners[1].status, -ROTA_ECLOSING);
	T_EQUAL(partners[2].status, 0);
	T_EQUAL(partners[3].status, 0);
	rota_channel_fini(&full.channel);
	rota_channel_fini(&empty.channel);
	return 0;
}

static void test_channel_close_wakes_who_waits_on_either_side(void **state)
{
	(void)state;
	run_both(close_on_waiters, NULL);
}

static int64_t cancel_some(void *arg)
{
	struct partner senders[4], receivers[3];
	struct rota_scope scope;
	struct pipe pipe;
	int64_t number;

	(void)arg;
	pipe_init(&pipe, 1);
	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < 4; i++)
		start(&scope, send_one, &senders[i], &pipe, 10 + i);
	rota_scope_cancel(&senders[1].scope, "it waits");
	rota_scope_cancel(&senders[2].scope, "it has been taken by then");
	T_EQUAL(rota_channel_receive(&pipe.channel, &number), 1);
	T_EQUAL(number, 10);
	t_settle();
	/* What an error was returned for was not sent, all else was: in order. */
	for (int i = 1; i < 4; i++) {
		if (senders[i].status == -ECANCELED)
			continue;
		T_EQUAL(rota_channel_receive(&pipe.channel, &number), 1);
		T_EQUAL(number, 10 + i);
	}
	T_EQUAL(rota_channel_try_receive(&pipe.channel, &number), -EAGAIN);
	for (int i = 0; i < 3; i++)
		start(&scope, receive_one, &receivers[i], &pipe, 0);
	rota_scope_cancel(&receivers[0].scope, "it waits");
	t_settle();
	for (number = 20; number < 22; number++)
		T_EQUAL(rota_channel_send(&pipe.channel, &number), 0);
	T_EQUAL(rota_scope_close(&scope), 0);
	T_EQUAL(receivers[0].status, -ECANCELED);
	T_EQUAL(receivers[1].number, 20);
	T_EQUAL(receivers[2].number, 21);
	rota_channel_fini(&pipe.channel);
	return 0;
}

static void test_channel_cancelled_send_or_receive_has_done_nothing(void **state)
{
	(void)state;
	run_both(cancel_some, NULL);
}

static int64_t send_nothing(void *arg)
{
	struct rota_channel channel;

	(void)arg;
	rota_channel_init(&channel,
			  &(struct rota_channel_options){ .reach = reach, .capacity = 1000 });
	for (int i = 0; i < 1000; i++)
		T_EQUAL(rota_channel_send(&channel, NULL), 0);
	T_EQUAL(rota_channel_try_send(&channel, NULL), -EAGAIN);
	for (int i = 0; i < 1000; i++)
		T_EQUAL(rota_channel_receive(&channel, NULL), 1);
	rota_channel_fini(&channel);
	return 0;
}

static void test_channel_messages_of_no_bytes_are_counted(void **state)
{
	(void)state;
	run_both(send_nothing, NULL);
}

/* ---- select ---- */

static struct rota_select_case on(enum rota_select_kind kind, struct pipe *pipe, int64_t *number)
{
	return (struct rota_select_case){ .kind = kind,
					  .channel = &pipe->channel,
					  .message = number };
}

static int64_t select_what_is_ready(void *arg)
{
	struct pipe a, b, c;
	int64_t in = 0, out = 30;
	struct rota_select_case cases[] = { on(ROTA_SELECT_RECEIVE, &a, &in),
					    on(ROTA_SELECT_RECEIVE, &b, &in),
					    on(ROTA_SELECT_SEND, &c, &out) };

	(void)arg;
	pipe_init(&a, 1);
	pipe_init(&b, 1);
	pipe_init(&c, 1);
	T_EQUAL(rota_select(cases, 3), 2); /* only c has room */
	T_EQUAL(cases[2].status, 0);
	T_EQUAL(rota_try_select(cases, 3), -EAGAIN);
	out = 20;
	T_EQUAL(rota_channel_send(&b.channel, &out), 0);
	T_EQUAL(rota_channel_send(&a.channel, &out), 0);
	T_EQUAL(rota_select(cases, 3), 0); /* the order of the cases decides */
	T_EQUAL(cases[0].status, 1);
	T_EQUAL(rota_try_select(cases, 3), 1);
	T_EQUAL(in, 20);
	rota_channel_close(&b.channel);
	T_EQUAL(rota_select(cases, 3), 1);
	T_EQUAL(cases[1].status, 0);
	T_EQUAL(rota_channel_receive(&c.channel, &in), 1);
	T_EQUAL(in, 30);
	rota_channel_fini(&a.channel);
	rota_channel_fini(&b.channel);
	rota_channel_fini(&c.channel);
	return 0;
}

static void test_select_takes_the_first_that_can_go_on(void **state)
{
	(void)state;
	run_both(select_what_is_ready, NULL);
}

struct chooser {
	struct pipe *a, *b;
	struct rota_scope scope;
	int64_t in;
	int index, status;
};

static int64_t choose(void *arg)
{
	struct chooser *chooser = arg;
	struct rota_select_case cases[] = {
		on(ROTA_SELECT_RECEIVE, chooser->a, &chooser->in),
		on(ROTA_SELECT_RECEIVE, chooser->b, &chooser->in),
	};

	rota_scope_open(&chooser->scope, ROTA_NEVER);
	chooser->index = rota_select(cases, 2);
	if (chooser->index >= 0)
		chooser->status = cases[chooser->index].status;
	rota_ignore(rota_scope_close(&chooser->scope), "cancelled or not");
	return 0;
}

static int64_t select_waits(void *arg)
{
	struct chooser choosers[3] = { 0 };
	struct rota_scope scope;
	struct pipe a, b;
	int64_t out = 1;

	(void)arg;
	pipe_init(&a, 0);
	pipe_init(&b, 0);
	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < 3; i++) {
		choosers[i] = (struct chooser){ .a = &a, .b = &b, .index = -EAGAIN };
		T_EQUAL(rota_spawn(&scope, choose, &choosers[i]), 0);
		T_EQUAL(rota_yield(), 0);
	}
	rota_scope_cancel(&choosers[1].scope, "test");
	t_settle();
	T_EQUAL(choosers[1].index, -ECANCELED);
	/* One message on each: the first chooser must not take both. */
	T_EQUAL(rota_channel_try_send(&b.channel, &out), 0);
	out = 2;
	T_EQUAL(rota_channel_try_send(&a.channel, &out), 0);
	T_EQUAL(rota_channel_try_send(&a.channel, &out), -EAGAIN); /* nobody is left */
	T_EQUAL(rota_scope_close(&scope), 0);
	T_EQUAL(choosers[0].index, 1);
	T_EQUAL(choosers[0].in, 1);
	T_EQUAL(choosers[2].index, 0);
	T_EQUAL(choosers[2].in, 2);
	rota_channel_fini(&a.channel);
	rota_channel_fini(&b.channel);
	return 0;
}

static void test_select_exactly_one_case_happens(void **state)
{
	(void)state;
	run_both(select_waits, NULL);
}

static int64_t choose_own(void *arg)
{
	struct pipe *pipe = arg;
	int64_t in, out = 1;
	struct rota_select_case cases[] = { on(ROTA_SELECT_RECEIVE, pipe, &in),
					    on(ROTA_SELECT_SEND, pipe, &out) };

	return rota_select(cases, 2);
}

static int64_t select_both_ends(void *arg)
{
	struct rota_future results[2];
	struct rota_scope scope;
	struct pipe pipe;

	(void)arg;
	pipe_init(&pipe, 0);
	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < 2; i++)
		T_EQUAL(rota_spawn_with(&scope, choose_own, &pipe,
					&(struct rota_spawn_options){ .result = &results[i] }),
			0);
	T_EQUAL(rota_scope_close(&scope), 0);
	/* with each other, not with themselves */
	T_EQUAL(results[0].result + results[1].result, 1);
	rota_channel_fini(&pipe.channel);
	return 0;
}

static void test_select_both_ends_of_a_channel_meets_only_others(void **state)
{
	(void)state;
	run_both(select_both_ends, NULL);
}

/* ---- many at random: nothing is lost, nothing comes twice, each sender's order is kept ---- */

#define PIPES 3
#define SENDERS 6
#define RECEIVERS 5
#define MESSAGES 40

struct market {
	struct pipe pipes[PIPES];
	uint64_t random;
	uint64_t sent_sum, sent_count, got_sum, got_count;
	unsigned senders_left;
};

static unsigned draw(struct market *market, unsigned below)
{
	market->random = market->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (unsigned)(market->random >> 33) % below;
}

static rota_ns some_deadline(struct market *market)
{
	return draw(market, 3) ? ROTA_NEVER : rota_after_ns(draw(market, 300000));
}

struct trader {
	struct market *market;
	int64_t number;
	int64_t last[SENDERS][PIPES]; /* of what it has received */
};

/* Where to send: one channel, or whichever of two can take it. */
static int send_somewhere(struct market *market, unsigned *where, int64_t *message)
{
	struct rota_select_case cases[2];
	unsigned other = (*where + 1) % PIPES;
	int status;

	if (draw(market, 2))
		return rota_channel_send(&market->pipes[*where].channel, message);
	cases[0] = on(ROTA_SELECT_SEND, &market->pipes[*where], message);
	cases[1] = on(ROTA_SELECT_SEND, &market->pipes[other], message);
	status = rota_select(cases, 2);
	if (status < 0)
		return status;
	T_EQUAL(cases[status].status, 0);
	if (status == 1)
		*where = other;
	return 0;
}

static int64_t trade_away(void *arg)
{
	struct trader *trader = arg;
	struct market *market = trader->market;

	for (int64_t i = 1; i <= MESSAGES; i++) {
		int64_t message = trader->number * 1000 + i;
		unsigned where = draw(market, PIPES);
		struct rota_scope scope;
		int status;

		rota_scope_open(&scope, some_deadline(market));
		status = send_somewhere(market, &where, &message);
		T_CHECK(status == 0 || status == -ETIMEDOUT);
		rota_ignore(rota_scope_close(&scope), "late or not");
		if (status == 0) {
			market->sent_sum += (uint64_t)message;
			market->sent_count++;
		}
	}
	if (--market->senders_left == 0)
		for (int i = 0; i < PIPES; i++)
			rota_channel_close(&market->pipes[i].channel);
	return 0;
}

static int receive_somewhere(struct market *market, unsigned *where, int64_t *message)
{
	struct rota_select_case cases[PIPES];
	int status;

	if (draw(market, 2))
		return rota_channel_receive(&market->pipes[*where].channel, message);
	for (unsigned i = 0; i < PIPES; i++)
		cases[i] = on(ROTA_SELECT_RECEIVE, &market->pipes[(*where + i) % PIPES], message);
	status = rota_select(cases, PIPES);
	if (status < 0)
		return status;
	*where = (*where + (unsigned)status) % PIPES;
	return cases[status].status;
}

static int64_t trade_in(void *arg)
{
	struct trader *trader = arg;
	struct market *market = trader->market;
	unsigned closed = 0;

	while (closed != (1u << PIPES) - 1) {
		unsigned where = draw(market, PIPES);
		struct rota_scope scope;
		int64_t message = 0, *last;
		int status;

		/* Never for ever: all might wait where nobody sends. */
		rota_scope_open(&scope, rota_after_ns(draw(market, 300000)));
		status = receive_somewhere(market, &where, &message);
		rota_ignore(rota_scope_close(&scope), "late or not");
		if (status == 0)
			closed |= 1u << where;
		if (status <= 0)
			continue;
		last = &trader->last[message / 1000][where];
		T_LESS(*last, message);
		*last = message;
		market->got_sum += (uint64_t)message;
		market->got_count++;
	}
	return 0;
}

static int64_t run_market(void *arg)
{
	struct market market = { .random = *(uint64_t *)arg, .senders_left = SENDERS };
	struct trader traders[SENDERS + RECEIVERS];
	struct rota_scope scope;

	for (uint32_t i = 0; i < PIPES; i++)
		pipe_init(&market.pipes[i], i * 2);
	rota_scope_open(&scope, ROTA_NEVER);
	for (int i = 0; i < SENDERS + RECEIVERS; i++) {
		traders[i] = (struct trader){ .market = &market, .number = i };
		T_EQUAL(rota_spawn(&scope, i < SENDERS ? trade_away : trade_in, &traders[i]), 0);
	}
	T_EQUAL(rota_scope_close(&scope), 0);
	T_EQUAL(market.got_count, market.sent_count);
	T_EQUAL(market.got_sum, market.sent_sum);
	for (int i = 0; i < PIPES; i++)
		rota_channel_fini(&market.pipes[i].channel);
	return 0;
}

static void test_channel_market_with_deadlines_loses_and_doubles_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= t_rounds(t_is_simulated() ? 300 : 40); seed++)
		run_both(run_market, &seed);
}

/* ---- broadcasts ---- */

static int64_t hear_all(void *arg)
{
	struct rota_subscription *subscription = arg;
	int64_t number, sum = 0;

	while (rota_subscription_receive(subscription, &number) > 0)
		sum += number;
	return sum;
}

static int64_t spread(void *arg)
{
	struct rota_subscription early, late, slow;
	struct rota_future sums[2];
	struct rota_broadcast broadcast;
	struct rota_scope scope;
	int64_t buffer[4], number;

	(void)arg;
	rota_broadcast_init(&broadcast,
			    &(struct rota_channel_options){ .reach = reach,
							    .message_bytes = sizeof(int64_t),
							    .capacity = 4,
							    .buffer = buffer });
	rota_subscribe(&broadcast, &early);
	rota_subscribe(&broadcast, &slow);
	rota_scope_open(&scope, ROTA_NEVER);
	T_EQUAL(rota_spawn_with(&scope, hear_all, &early,
				&(struct rota_spawn_options){ .result = &sums[0] }),
		0);
	for (number = 1; number <= 10; number++) {
		if (number == 6) {
			rota_subscribe(&broadcast, &late);
			T_EQUAL(rota_spawn_with(&scope, hear_all, &late,
						&(struct rota_spawn_options){ .result = &sums[1] }),
				0);
		}
		T_EQUAL(rota_broadcast_send(&broadcast, &number), 0);
		T_EQUAL(rota_yield(), 0);
		T_EQUAL(rota_yield(), 0);
	}
	rota_broadcast_close(&broadcast);
	T_EQUAL(rota_broadcast_send(&broadcast, &number), -ROTA_ECLOSING);
	T_EQUAL(rota_scope_close(&scope), 0);
	T_EQUAL(sums[0].result, 55);
	T_EQUAL(sums[1].result, 40);
	T_EQUAL(rota_subscription_receive(&slow, &number), -EOVERFLOW);
	T_EQUAL(slow.missed, 6);
	for (int64_t expected = 7; expected <= 10; expected++) {
		T_EQUAL(rota_subscription_receive(&slow, &number), 1);
		T_EQUAL(number, expected);
	}
	T_EQUAL(rota_subscription_receive(&slow, &number), 0);
	rota_broadcast_fini(&broadcast);
	return 0;
}

static void test_broadcast_all_hear_all_and_the_slow_are_told(void **state)
{
	(void)state;
	run_both(spread, NULL);
}

static int64_t stop_listening(void *arg)
{
	struct rota_subscription subscription;
	struct rota_broadcast broadcast;
	struct rota_scope scope;
	int64_t buffer[1], number;

	(void)arg;
	rota_broadcast_init(&broadcast,
			    &(struct rota_channel_options){ .reach = reach,
							    .message_bytes = sizeof(int64_t),
							    .capacity = 1,
							    .buffer = buffer });
	rota_subscribe(&broadcast, &subscription);
	rota_scope_open(&scope, rota_after_ms(1));
	T_EQUAL(rota_subscription_receive(&subscription, &number), -ETIMEDOUT);
	T_EQUAL(rota_subscription_receive(&subscription, &number), -ETIMEDOUT);
	T_EQUAL(rota_scope_close(&scope), -ETIMEDOUT);
	rota_broadcast_fini(&broadcast);
	return 0;
}

static void test_broadcast_wait_honours_deadlines(void **state)
{
	(void)state;
	run_both(stop_listening, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_channel_iteration_ends_when_closed_and_drained),
		cmocka_unit_test(test_channel_try_and_closed_twice),
		cmocka_unit_test(test_channel_close_wakes_who_waits_on_either_side),
		cmocka_unit_test(test_channel_cancelled_send_or_receive_has_done_nothing),
		cmocka_unit_test(test_channel_messages_of_no_bytes_are_counted),
		cmocka_unit_test(test_select_takes_the_first_that_can_go_on),
		cmocka_unit_test(test_select_exactly_one_case_happens),
		cmocka_unit_test(test_select_both_ends_of_a_channel_meets_only_others),
		cmocka_unit_test(test_channel_market_with_deadlines_loses_and_doubles_nothing),
		cmocka_unit_test(test_broadcast_all_hear_all_and_the_slow_are_told),
		cmocka_unit_test(test_broadcast_wait_honours_deadlines),
	};

	return t_run_group("channel", tests, ROTA_ARRAY_COUNT(tests));
}
