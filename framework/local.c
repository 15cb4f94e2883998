/* SPDX-License-Identifier: MIT */
/*
 * Values bound in scopes: each scope has a list of them, newest first. Runs on the scope's reactor.
 */
#include <rota/local.h>

#include "framework/reactor_internal.h"

void rota_local_set(struct rota_local *binding, const struct rota_local_key *key, void *value)
{
	struct rota_task *task = rota__task();
	struct rota_scope *scope = task->scope;
	struct rota_local *other;

	ROTA_ASSERT(scope->task_ == task); /* open a scope first: the values go with it */
	binding->key_ = key;
	binding->value_ = value;
	for (other = scope->locals_; other; other = other->next_)
		if (other == binding)
			return;
	binding->next_ = scope->locals_;
	scope->locals_ = binding;
}

void *rota_local_get(const struct rota_local_key *key)
{
	for (const struct rota_scope *scope = rota__task()->scope; scope; scope = scope->parent_)
		for (const struct rota_local *local = scope->locals_; local; local = local->next_)
			if (local->key_ == key)
				return local->value_;
	return key->otherwise;
}
