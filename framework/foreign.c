/* SPDX-License-Identifier: MIT */
/*
 * A reactor inside a foreign loop: what that loop waits for in the reactor's place, and until when.
 * Reactor's thread, between turns.
 *
 * The one idea: the mailbox's protocol of sleeping and waking does not care who waits. It is marked
 * as sleeping before the foreign loop waits instead of before the engine does, and the next turn
 * takes the mark back; see docs/design/0016-foreign-loops.md.
 */
#include <rota/error.h>
#include <rota/reactor.h>

#include "framework/reactor_internal.h"

int rota_reactor_pollable(struct rota_reactor *reactor)
{
	int status;

	rota__assert_outside_turns(reactor);
	status = rota_reactor_open(reactor);
	return status < 0 ? status : reactor->engine->pollable(reactor->backend);
}

rota_ns rota_reactor_prepare(struct rota_reactor *reactor)
{
	rota_ns until;

	rota__assert_outside_turns(reactor);
	if (!reactor->is_open)
		return 0;
	reactor->now = reactor->engine->now(reactor->backend);
	until = rota__reactor_wait_until(reactor, ROTA_NEVER);
	/*
	 * The engine first: it may use up an earlier wake-up, whose message the look into the inbox
	 * then finds. After that look a wake-up makes the descriptor readable.
	 */
	if (until == 0 || reactor->engine->prepare(reactor->backend) ||
	    !rota__mailbox_may_sleep(reactor))
		return 0;
	return until;
}
