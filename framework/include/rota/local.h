/* SPDX-License-Identifier: MIT */
/*
 * Values that belong to scopes: a request's number, a user, a trace, which everything below can
 * read without passing them along. Between the tasks of one reactor; used on its thread only.
 *
 * The one idea: a value is bound in a scope, and who is inside the scope sees it: the task that
 * opened it, scopes opened within, tasks spawned into any of them. Nothing is copied, nothing is
 * allocated, and a program that binds nothing pays nothing.
 *
 *	static const struct rota_local_key request_id = { .name = "request" };
 *
 *	rota_scope_open(&scope, ROTA_NEVER);
 *	rota_local_set(&binding, &request_id, request);
 *	rota_spawn(&scope, work, NULL);		… rota_local_get(&request_id) is `request` there
 *	status = rota_scope_close(&scope);
 */
#ifndef ROTA_LOCAL_H
#define ROTA_LOCAL_H

#include <rota/base.h>
#include <rota/scope.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a value is asked for by: its address. Static. */
struct rota_local_key {
	const char *name; /* for people who look with a debugger */
	void *otherwise;  /* what rota_local_get returns where it is not bound */
};

/* One value in one scope. Caller's memory, usually beside the scope. All fields are private. */
struct rota_local {
	struct rota_local *next_; /* in the same scope, bound before this one */
	const struct rota_local_key *key_;
	void *value_;
};

/*
 * Bind `key` to `value` in the current task's innermost scope, which it has opened itself
 * (asserted: a task that has opened none would bind in its spawner's scope, and end before it). It
 * hides bindings of the key in scopes around, and earlier ones in the same scope. A binding that is
 * in this scope already is changed, and everyone inside sees that.
 *
 * binding   lent until the scope closes; in one scope at a time.
 * value     borrowed as long; a NULL hides what is bound outside.
 * Suspends  no, and cannot fail. Thread: a task's.
 */
ROTA_API void rota_local_set(struct rota_local *binding, const struct rota_local_key *key,
			     void *value);

/*
 * The value of `key` for the current task: of the innermost scope around it that binds it, through
 * shields; `key->otherwise` if none does. A function called on another reactor starts with nothing.
 * Takes a step per scope and per binding. Never suspends. Thread: a task's.
 */
ROTA_API void *rota_local_get(const struct rota_local_key *key);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_LOCAL_H */
