/* SPDX-License-Identifier: MIT */
/*
 * A reactor inside GLib's main loop. What a program needs for it is struct guest and its four
 * functions.
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>

#include "tests/foreign/party.h"
#include "tests/support/t_core.h"

/* ---- the reactor as a source of a GLib context ---- */

struct guest {
	GSource source;
	struct rota_reactor *reactor;
	gpointer tag;  /* of the descriptor in the source */
	rota_ns until; /* when a turn is due although nothing happens */
};

/*
 * GLib calls it right before it polls. Milliseconds, rounded up; not g_source_set_ready_time, which
 * keeps the loop from waiting whenever the time is another one.
 */
static gboolean guest_prepare(GSource *source, gint *timeout_ms)
{
	struct guest *guest = (struct guest *)source;
	rota_ns left_ns;

	guest->until = rota_reactor_prepare(guest->reactor);
	*timeout_ms = -1;
	if (guest->until == ROTA_NEVER)
		return FALSE;
	left_ns = guest->until - rota_now();
	*timeout_ms = left_ns <= 0 ? 0 : (gint)MIN(left_ns / ROTA_NS_PER_MS, INT_MAX - 1) + 1;
	return left_ns <= 0;
}

static gboolean guest_check(GSource *source)
{
	struct guest *guest = (struct guest *)source;

	return g_source_query_unix_fd(source, guest->tag) != 0 || guest->until <= rota_now();
}

static gboolean guest_dispatch(GSource *source, GSourceFunc stopped, gpointer data)
{
	struct guest *guest = (struct guest *)source;

	T_CHECK(rota_reactor_run_once(guest->reactor, 0) >= 0);
	return rota_reactor_has_stopped(guest->reactor) ? stopped(data) : G_SOURCE_CONTINUE;
}

/* Attach to `context`; stopped(data) is called once, when the reactor has stopped. */
static void guest_begin(struct rota_reactor *reactor, GMainContext *context, GSourceFunc stopped,
			gpointer data)
{
	static GSourceFuncs functions = { .prepare = guest_prepare,
					  .check = guest_check,
					  .dispatch = guest_dispatch };
	GSource *source = g_source_new(&functions, sizeof(struct guest));
	struct guest *guest = (struct guest *)source;
	int fd = rota_reactor_pollable(reactor);

	T_CHECK(fd >= 0);
	guest->reactor = reactor;
	guest->tag = g_source_add_unix_fd(source, fd, G_IO_IN);
	g_source_set_callback(source, stopped, data, NULL);
	g_source_attach(source, context);
	g_source_unref(source);
}

/* ---- the party ---- */

static struct party party;

static gboolean tick(gpointer data)
{
	(void)data;
	party_tick(&party);
	return G_SOURCE_CONTINUE;
}

static gboolean quit(gpointer loop)
{
	g_main_loop_quit(loop);
	return G_SOURCE_REMOVE;
}

static void test_glib_hosts_a_reactor_from_its_start_to_its_end(void **state)
{
	GMainContext *context;
	GSource *ticker;
	GMainLoop *loop;

	(void)state;
	if (t_is_simulated())
		skip();
	party_begin(&party);
	context = g_main_context_new();
	loop = g_main_loop_new(context, FALSE);
	guest_begin(party.reactor, context, quit, loop);
	ticker = g_timeout_source_new(1);
	g_source_set_callback(ticker, tick, NULL, NULL);
	g_source_attach(ticker, context);
	g_main_loop_run(loop);
	g_source_destroy(ticker);
	g_source_unref(ticker);
	g_main_loop_unref(loop);
	g_main_context_unref(context);
	party_end(&party);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_glib_hosts_a_reactor_from_its_start_to_its_end),
	};

	return t_run_group("GLib", tests, ROTA_ARRAY_COUNT(tests));
}
