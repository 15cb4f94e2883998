/* SPDX-License-Identifier: MIT */
/*
 * What protocols of key-value servers have in common: SET and GET of keys with fixed lengths and
 * values that follow from them. A dialect says in which words.
 */
#ifndef BENCH_LOAD_KEYVALUE_H
#define BENCH_LOAD_KEYVALUE_H

#include "bench/load/load.h"

/* "key:" and twelve digits. */
#define KEY_BYTES 16

/* A request is HEAD key END, or HEAD key LENGTH_HEAD length CR LF value CR LF. */
struct dialect {
	struct rota_view get_head, get_end;
	struct rota_view set_head, length_head;
	struct rota_view value_end; /* behind the value of a reply */
	/*
	 * The first line of a reply, or all of it, CR LF included. Returns keyvalue_answered,
	 * _missed, _refused or _value, or an error.
	 */
	int64_t (*take_line)(struct client *client, const struct pending *pending,
			     struct rota_view line);
};

size_t keyvalue_request_bytes_max(const struct options *options);
int keyvalue_prepare(struct share *share);
void keyvalue_write(struct client *client, uint64_t first, uint32_t count);
int64_t keyvalue_on_bytes(struct client *client, struct rota_view view);

/* ---- for take_line: what the line of `line.bytes` was; each returns those ---- */

/* A SET succeeded. */
int64_t keyvalue_answered(struct client *client, struct rota_view line);

/* There is no such key. */
int64_t keyvalue_missed(struct client *client, struct rota_view line);

/* An error, in the words of `said`. */
int64_t keyvalue_refused(struct client *client, struct rota_view line, struct rota_view said);

/* A value follows, of as many bytes as `digits` says. */
int64_t keyvalue_value(struct client *client, struct rota_view line, struct rota_view digits);

/* Not what answers such a request. */
int64_t keyvalue_wrong(struct client *client, struct rota_view line);

/* "key:…" at `out`. */
void key_write(char *out, uint32_t key);

#endif
