/* SPDX-License-Identifier: MIT */
/*
 * What is measured: workloads, and the points that one is measured at. Layer: bench/compare;
 * start-up.
 *
 * The one idea: a point is one line of text, "echo:connections=64,depth=16", and lists in it,
 * "depth=1/16", are as many points.
 */
#ifndef BENCH_COMPARE_PLAN_H
#define BENCH_COMPARE_PLAN_H

#include <stdbool.h>

#include <jansson.h>

#include <rota/base.h>

#define POINTS_MAX 256
#define POINT_TITLE_BYTES 128
#define POINT_ERROR_BYTES 512

/* What can be set of a point, in the order in which lists of them are gone through. */
enum setting {
	SETTING_CONNECTIONS,
	SETTING_DEPTH,
	SETTING_PAYLOAD,  /* bytes: of a message, of a value, of a piece */
	SETTING_REACTORS, /* of the server */
	SETTING_IDLE,     /* further connections that say nothing */
	SETTING_RATE,     /* requests per second over all; 0: as fast as they are answered */
	SETTING_KEYS,
	/* the rate, in percent of what the slowest answers without one; 0: it is SETTING_RATE's */
	SETTING_CAPACITY,
	SETTING_BURST, /* requests that are due together, at a rate or a share of the capacity */
	SETTING_COUNT
};

struct workload {
	const char *name;
	const char *title;
	const char *about;
	/* rota-compare serve SERVED, or NULL: rota-compare work NAME, without a load client */
	const char *served;
	const char *protocol; /* rota-load's */
	const char *shape;
	const char *ratio; /* SETS:GETS; NULL: no keys */
	/* what is counted: "request", "MiB", ... */
	const char *unit;
	/* Defaults; a setting whose default is UNUSED cannot be set. */
	int64_t settings[SETTING_COUNT];
};

#define UNUSED (-1)

struct point {
	const struct workload *workload;
	int64_t settings[SETTING_COUNT]; /* UNUSED: the workload has none */
	int64_t capacity_asked;          /* SETTING_CAPACITY was lowered from that; 0: it was not */
	const char *load_backend;        /* rota-load's --backend; NULL: its default */
	bool says_load;                  /* the title does */
	char title[POINT_TITLE_BYTES];
};

struct plan {
	struct point points[POINTS_MAX];
	unsigned count;
};

/* Every workload, ended by a NULL name. */
extern const struct workload workloads[];

/* What rota-compare measures with --short and with --long, ended by NULL. */
extern const char *const plan_short[];
extern const char *const plan_long[];

/*
 * Add the points of "NAME:SETTING=NUMBER/NUMBER…,SETTING=…". Returns 0, or -EINVAL or -ENOSPC with
 * a sentence in `error`.
 */
ROTA_MUST_USE int plan_add(struct plan *plan, const char *text, char error[POINT_ERROR_BYTES]);

/*
 * Let the load client of every point be on `backends[count]`, one after the other: a point for
 * each, which says so when there are several. What has no client stays as it is. Texts are lent.
 * Returns 0, or -ENOSPC with a sentence in `error`.
 */
ROTA_MUST_USE int plan_set_load(struct plan *plan, const char *const backends[], unsigned count,
				char error[POINT_ERROR_BYTES]);

/* Print the workloads and what can be set of each. */
void plan_print_workloads(void);

/* Settings have changed: its title says so. */
void point_retitle(struct point *point);

/* The point as the beginning of its part of the result; NULL: no memory. Returns owned. */
json_t *point_describe(const struct point *point);

#endif /* BENCH_COMPARE_PLAN_H */
