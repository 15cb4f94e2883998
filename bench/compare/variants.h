/* SPDX-License-Identifier: MIT */
/*
 * Who takes part: engines with their options, and other servers. Layer: bench/compare; start-up.
 *
 * The one idea: the engine says which options it has, in the words with which it refuses one that
 * it does not know. So an option that is new takes part without a line here, and one that is gone
 * is not asked for.
 */
#ifndef BENCH_COMPARE_VARIANTS_H
#define BENCH_COMPARE_VARIANTS_H

#include <stdbool.h>

#include <jansson.h>

#include <rota/backend.h>

#define VARIANTS_MAX 64
#define VARIANT_NAME_BYTES 128
#define VARIANT_COMMAND_BYTES 1024

struct variant {
	char name[VARIANT_NAME_BYTES]; /* "uring multishot=off"; its own */
	/* An engine's name as in rota_backends, static, and options for it; or NULL. */
	const char *engine;
	char options[VARIANT_NAME_BYTES];
	const char *about; /* static; NULL: nothing to say */
	int64_t slow_ns;   /* an engine's: every read costs so much more, to test the instrument */
	/* Another server's, with {port} and perhaps {threads}; "" for an engine's. */
	char command[VARIANT_COMMAND_BYTES];
	/* What that speaks, as rota-load's --protocol; "": whatever is asked of it. */
	char protocol[16];
};

/* An engine or variant that cannot take part here. */
struct left_out {
	char name[VARIANT_NAME_BYTES];
	char why[ROTA_BACKEND_TEXT_BYTES];
};

struct variants {
	struct variant list[VARIANTS_MAX];
	unsigned count;
	struct left_out left_out[VARIANTS_MAX];
	unsigned left_out_count;
};

/*
 * Add every engine that works here, with its default options; those that do not are left out, with
 * the reason. `all`: and every variant of each: what this file's table has, and what else the
 * engine lists.
 */
void variants_add_engines(struct variants *variants, bool all);

/*
 * Add "ENGINE:OPTIONS". One that cannot work here is left out, with the reason. Returns 0, or
 * -EINVAL (no such engine, an option it does not have, added already) or -ENOSPC, with a sentence
 * in `error`.
 */
ROTA_MUST_USE int variants_add(struct variants *variants, const char *text,
			       char error[ROTA_BACKEND_TEXT_BYTES]);

/*
 * Add "NAME=COMMAND" or "NAME=PROTOCOL:COMMAND", PROTOCOL as in rota-load. Returns as variants_add.
 */
ROTA_MUST_USE int variants_add_server(struct variants *variants, const char *text,
				      char error[ROTA_BACKEND_TEXT_BYTES]);

/*
 * Add the servers of a table, such as bench/peers writes: lines of a name, a protocol and a
 * command, with tabs between. Those that speak what rota-load does not are passed over. Returns as
 * variants_add, or what opening the file failed with.
 */
ROTA_MUST_USE int variants_add_table(struct variants *variants, const char *path,
				     char error[ROTA_BACKEND_TEXT_BYTES]);

/* Its number, or -1. */
int variants_find(const struct variants *variants, const char *name);

/* The members "variants" and "left_out" of a result. Returns 0 or -ENOMEM. */
ROTA_MUST_USE int variants_describe(const struct variants *variants, json_t *result);

#endif /* BENCH_COMPARE_VARIANTS_H */
