/* SPDX-License-Identifier: MIT */
/*
 * A reactor inside libuv's loop. What a program needs for it is struct guest and its five
 * functions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <uv.h>

#include "tests/foreign/party.h"
#include "tests/support/t_core.h"

/* ---- the reactor as a guest of a libuv loop ---- */

struct guest {
	struct rota_reactor *reactor;
	uv_poll_t poll;
	uv_prepare_t prepare;
	uv_timer_t timer; /* armed when a turn is due although nothing happens */
	void (*stopped)(struct guest *guest);
};

static void guest_turn(struct guest *guest)
{
	T_CHECK(rota_reactor_run_once(guest->reactor, 0) >= 0);
	if (!rota_reactor_has_stopped(guest->reactor))
		return;
	uv_close((uv_handle_t *)&guest->poll, NULL);
	uv_close((uv_handle_t *)&guest->prepare, NULL);
	uv_close((uv_handle_t *)&guest->timer, NULL);
	guest->stopped(guest);
}

static void guest_is_readable(uv_poll_t *poll, int status, int events)
{
	(void)events;
	T_EQUAL(status, 0);
	guest_turn(poll->data);
}

static void guest_is_due(uv_timer_t *timer)
{
	guest_turn(timer->data);
}

/* libuv calls it right before it waits. Its timers count milliseconds: rounded up. */
static void guest_prepare(uv_prepare_t *prepare)
{
	struct guest *guest = prepare->data;
	rota_ns until = rota_reactor_prepare(guest->reactor);
	int64_t left_ns;

	uv_timer_stop(&guest->timer);
	if (until == ROTA_NEVER)
		return;
	left_ns = until - rota_now();
	uv_update_time(prepare->loop);
	uv_timer_start(&guest->timer, guest_is_due,
		       left_ns <= 0 ? 0 : (uint64_t)(left_ns / ROTA_NS_PER_MS) + 1, 0);
}

static void guest_begin(struct guest *guest, uv_loop_t *loop)
{
	int fd = rota_reactor_pollable(guest->reactor);

	T_CHECK(fd >= 0);
	T_EQUAL(uv_poll_init(loop, &guest->poll, fd), 0);
	T_EQUAL(uv_prepare_init(loop, &guest->prepare), 0);
	T_EQUAL(uv_timer_init(loop, &guest->timer), 0);
	guest->poll.data = guest->prepare.data = guest->timer.data = guest;
	T_EQUAL(uv_poll_start(&guest->poll, UV_READABLE, guest_is_readable), 0);
	T_EQUAL(uv_prepare_start(&guest->prepare, guest_prepare), 0);
}

/* ---- the party ---- */

static struct party party;
static uv_timer_t ticker;

static void tick(uv_timer_t *timer)
{
	(void)timer;
	party_tick(&party);
}

static void stop_ticking(struct guest *guest)
{
	(void)guest;
	uv_close((uv_handle_t *)&ticker, NULL);
}

static void test_libuv_hosts_a_reactor_from_its_start_to_its_end(void **state)
{
	struct guest guest = { .stopped = stop_ticking };
	uv_loop_t loop;

	(void)state;
	if (t_is_simulated())
		skip();
	party_begin(&party);
	guest.reactor = party.reactor;
	assert_int_equal(uv_loop_init(&loop), 0);
	guest_begin(&guest, &loop);
	assert_int_equal(uv_timer_init(&loop, &ticker), 0);
	assert_int_equal(uv_timer_start(&ticker, tick, 1, 1), 0);
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
	party_end(&party);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_libuv_hosts_a_reactor_from_its_start_to_its_end),
	};

	return t_run_group("libuv", tests, ROTA_ARRAY_COUNT(tests));
}
