/* SPDX-License-Identifier: MIT */
/*
 * What a generator is: for generator.c, and for offsets.c, which tells tools from outside where its
 * parts are. Internal to framework/; a generator belongs to the thread that made it.
 */
#ifndef ROTA_FRAMEWORK_GENERATOR_INTERNAL_H
#define ROTA_FRAMEWORK_GENERATOR_INTERNAL_H

#include <rota/generator.h>

#include "framework/context.h"

struct generators_here;

enum generator_state { FRESH = 1, SUSPENDED, RUNNING, ENDED };

struct rota_generator {
	struct rota_context context; /* while suspended: where it goes on */
	struct rota_context driver;  /* while running: who drives it, and where that goes on */
	void *value;                 /* what it yielded */
	void *sent;                  /* for its yield to return */
	int thrown;                  /* 0, or what its yield is to fail with */
	uint8_t state;               /* enum generator_state */
	bool is_closing;
	struct rota_generator *inner; /* yields in its place */
	struct rota_generator *outer; /* in whose place it yields */
	struct rota_generator *below; /* while running: the one that drives it, if one does */
	struct rota_scope *scope;     /* while running: the task's when it was driven */
	int64_t result;
	rota_generator_fn fn;
	void *arg;
	const char *name;
	const struct rota_site *site;
	struct generators_here *home;
	struct rota_link home_link; /* on home->alive */
	struct rota_reactor *maker; /* whose turn it was when it was made; NULL: nobody's */
};

/* Give back this thread's generators that were made in turns of `maker`, as they stand. */
void rota__generators_abandon(const struct rota_reactor *maker);

#endif /* ROTA_FRAMEWORK_GENERATOR_INTERNAL_H */
