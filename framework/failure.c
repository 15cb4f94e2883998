/* SPDX-License-Identifier: MIT */
/*
 * Failures whose result is in a future that nobody has looked at yet. Runs on the reactor's thread.
 *
 * The one idea: a future is memory of somebody else's, and may be gone before the scope is. So it
 * is known here by its address only, which is compared and never followed: whoever awaits a future
 * takes it off the list, and what is on the list when the scope ends is logged.
 */
#include <rota/future.h>

#include "framework/reactor_internal.h"

/* Take entry `index` out; the others stay in order. */
static void take_out(struct rota_reactor *reactor, unsigned index)
{
	struct unread_failure *list = reactor->unread;

	reactor->unread_count--;
	for (; index < reactor->unread_count; index++)
		list[index] = list[index + 1];
}

/* Nobody has looked, and nobody can be waited for any longer. */
static void surface(struct rota_reactor *reactor, unsigned index)
{
	struct unread_failure *unread = &reactor->unread[index];

	rota__scope_log_failure(unread->scope, &unread->reason);
	take_out(reactor, index);
}

/* Where it is on the list, or the list's end. */
static unsigned find(const struct rota_reactor *reactor, const struct rota_future *future)
{
	unsigned index = 0;

	while (index < reactor->unread_count && reactor->unread[index].future != future)
		index++;
	return index;
}

void rota__failure_keep(struct rota_reactor *reactor, struct rota_scope *scope,
			const struct rota_future *future, const struct rota_cancel_reason *reason)
{
	unsigned before = find(reactor, future);

	if (before < reactor->unread_count)
		surface(reactor, before); /* the same memory has a new result */
	else if (reactor->unread_count == UNREAD_MAX)
		surface(reactor, 0);
	reactor->unread[reactor->unread_count++] =
		(struct unread_failure){ .future = future, .scope = scope, .reason = *reason };
}

void rota__failure_take(struct rota_reactor *reactor, const struct rota_future *future)
{
	unsigned index = find(reactor, future);

	if (index < reactor->unread_count)
		take_out(reactor, index);
}

void rota__failures_surface(struct rota_reactor *reactor, const struct rota_scope *scope)
{
	for (unsigned i = 0; i < reactor->unread_count;)
		if (reactor->unread[i].scope == scope)
			surface(reactor, i);
		else
			i++;
}
