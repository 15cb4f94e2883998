/* SPDX-License-Identifier: MIT */
/* Workloads and points; see plan.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare/plan.h"

#define NUMBERS_MAX 16

static const struct {
	const char *name;
	int64_t least, most;
} settings[SETTING_COUNT] = {
	[SETTING_CONNECTIONS] = { "connections", 1, 19000 },
	[SETTING_DEPTH] = { "depth", 1, 1024 },
	[SETTING_PAYLOAD] = { "payload", 1, 1 << 20 },
	[SETTING_REACTORS] = { "reactors", 1, 64 },
	[SETTING_IDLE] = { "idle", 0, 19000 },
	[SETTING_RATE] = { "rate", 0, 100000000 },
	[SETTING_KEYS] = { "keys", 1, 100000000 },
	[SETTING_CAPACITY] = { "capacity", 0, 95 },
	[SETTING_BURST] = { "burst", 1, 1024 },
};

/*
 * In the order of enum setting: connections, depth, payload, reactors, idle, rate, keys, capacity,
 * burst.
 */
#define KEYS .settings = { 64, 1, 64, 1, 0, 0, 100000, 0, 1 }
#define BULK .settings = { 16, UNUSED, 65536, 1, UNUSED, UNUSED, UNUSED, UNUSED, UNUSED }
#define READS .settings = { UNUSED, 64, 4096, UNUSED, UNUSED, UNUSED, UNUSED, UNUSED, UNUSED }

const struct workload workloads[] = {
	{
		.name = "echo",
		.title = "echo",
		.about = "every message comes back",
		.served = "echo",
		.protocol = "echo",
		.shape = "requests",
		.unit = "request",
		.settings = { 64, 1, 64, 1, 0, 0, UNUSED, 0, 1 },
	},
	{
		.name = "idle",
		.title = "many idle, few busy",
		.about = "an echo, with connections that say nothing",
		.served = "echo",
		.protocol = "echo",
		.shape = "requests",
		.unit = "request",
		.settings = { 16, 1, 64, 1, 4000, 0, UNUSED, 0, 1 },
	},
	{
		.name = "churn",
		.title = "churn",
		.about = "connect, one request, close",
		.served = "echo",
		.protocol = "echo",
		.shape = "churn",
		.unit = "connection",
		.settings = { 16, UNUSED, 64, 1, UNUSED, UNUSED, UNUSED, UNUSED, UNUSED },
	},
	{
		.name = "get",
		.title = "key-value, GET",
		.about = "rota-kv, reads only",
		.served = "kv",
		.protocol = "resp",
		.shape = "requests",
		.ratio = "0:1",
		.unit = "request",
		KEYS,
	},
	{
		.name = "set",
		.title = "key-value, SET",
		.about = "rota-kv, writes only",
		.served = "kv",
		.protocol = "resp",
		.shape = "requests",
		.ratio = "1:0",
		.unit = "request",
		KEYS,
	},
	{
		.name = "kv",
		.title = "key-value, SET:GET 1:10",
		.about = "rota-kv, one write for ten reads",
		.served = "kv",
		.protocol = "resp",
		.shape = "requests",
		.ratio = "1:10",
		.unit = "request",
		KEYS,
	},
	{
		.name = "upload",
		.title = "bulk upload",
		.about = "clients send without end",
		.served = "sink",
		.protocol = "echo",
		.shape = "upload",
		.unit = "MiB",
		BULK,
	},
	{
		.name = "download",
		.title = "bulk download",
		.about = "the server sends without end",
		.served = "source",
		.protocol = "echo",
		.shape = "download",
		.unit = "MiB",
		/* The server decides how much it sends at once. */
		.settings = { 16, UNUSED, UNUSED, 1, UNUSED, UNUSED, UNUSED, UNUSED, UNUSED },
	},
	{
		.name = "calls",
		.title = "calls between reactors",
		.about = "a reactor calls another and waits",
		.unit = "call",
		.settings = { UNUSED, 1, UNUSED, 2, UNUSED, UNUSED, UNUSED, UNUSED, UNUSED },
	},
	{
		.name = "timers",
		.title = "timers",
		.about = "tasks that sleep for a millisecond again and again",
		.unit = "timer",
		.settings = { UNUSED, 64, UNUSED, UNUSED, UNUSED, UNUSED, UNUSED, UNUSED, UNUSED },
	},
	{
		.name = "read",
		.title = "file reads, buffered",
		.about = "at random places of a file in the page cache",
		.unit = "read",
		READS,
	},
	{
		.name = "read-direct",
		.title = "file reads, direct",
		.about = "the same from the disk (O_DIRECT)",
		.unit = "read",
		READS,
	},
	{ .name = NULL },
};

const char *const plan_short[] = {
	"echo:depth=1/16",
	"echo:connections=1000",
	"kv:depth=1/16",
	"upload",
	"download",
	"idle",
	NULL,
};

const char *const plan_long[] = {
	"echo:connections=1/16/64/256/1000/4000/10000",
	"echo:depth=4/16/64",
	"echo:capacity=30/70",
	"echo:payload=1024/16384",
	"get:depth=1/16",
	"set:depth=1/16",
	"kv:depth=1/16/64",
	"kv:capacity=70",
	"upload",
	"download",
	"churn",
	"idle",
	"calls",
	"timers:depth=1/1000",
	"read",
	"read-direct",
	NULL,
};

/* ---- text to points ---- */

/* Numbers given for each setting; count 0: none, the workload's own. */
struct lists {
	int64_t numbers[SETTING_COUNT][NUMBERS_MAX];
	unsigned counts[SETTING_COUNT];
};

static const struct workload *find_workload(const char *name, size_t bytes)
{
	for (const struct workload *workload = workloads; workload->name; workload++)
		if (strlen(workload->name) == bytes && !memcmp(workload->name, name, bytes))
			return workload;
	return NULL;
}

/* A setting's number among those the workload has, or -1. */
static int find_setting(const struct workload *workload, const char *name, size_t bytes)
{
	for (int i = 0; i < SETTING_COUNT; i++)
		if (workload->settings[i] != UNUSED && strlen(settings[i].name) == bytes &&
		    !memcmp(settings[i].name, name, bytes))
			return i;
	return -1;
}

/* "1/16/64" up to a comma or the end; moves `*at` there. */
static int parse_numbers(const char **at, int setting, struct lists *lists,
			 char error[POINT_ERROR_BYTES])
{
	unsigned *count = &lists->counts[setting];
	char *end;

	do {
		int64_t number = strtoll(*at, &end, 10);

		if (end == *at || (*end && *end != '/' && *end != ',') ||
		    number < settings[setting].least || number > settings[setting].most ||
		    *count == NUMBERS_MAX) {
			snprintf(error, POINT_ERROR_BYTES,
				 "%s takes numbers from %" PRId64 " to %" PRId64
				 ", up to %d with / between them, not \"%s\"",
				 settings[setting].name, settings[setting].least,
				 settings[setting].most, NUMBERS_MAX, *at);
			return -EINVAL;
		}
		lists->numbers[setting][(*count)++] = number;
		*at = end + 1;
	} while (*end == '/');
	*at = end;
	return 0;
}

static int parse_settings(const struct workload *workload, const char *at, struct lists *lists,
			  char error[POINT_ERROR_BYTES])
{
	while (*at) {
		size_t bytes = strcspn(at, "=,");
		int setting = find_setting(workload, at, bytes), status;

		if (setting < 0 || at[bytes] != '=') {
			int used = snprintf(error, POINT_ERROR_BYTES,
					    "%s has no setting \"%.*s\"; it has", workload->name,
					    (int)rota_min_size(bytes, 64), at);

			for (int i = 0; i < SETTING_COUNT; i++)
				if (workload->settings[i] != UNUSED)
					used += snprintf(error + used,
							 POINT_ERROR_BYTES - (size_t)used,
							 " %s=", settings[i].name);
			return -EINVAL;
		}
		at += bytes + 1;
		status = parse_numbers(&at, setting, lists, error);
		if (status < 0)
			return status;
		at += *at == ',';
	}
	return 0;
}

void point_retitle(struct point *point)
{
	const int64_t *numbers = point->settings;
	struct {
		char text[POINT_TITLE_BYTES];
		int used;
	} title = { .used = 0 };

#define ADD(...)                                                                                   \
	(title.used += snprintf(title.text + title.used, sizeof(title.text) - (size_t)title.used,  \
				__VA_ARGS__))
	ADD("%s", point->workload->title);
	if (numbers[SETTING_CONNECTIONS] != UNUSED)
		ADD(", %" PRId64 " connection%s", numbers[SETTING_CONNECTIONS],
		    numbers[SETTING_CONNECTIONS] == 1 ? "" : "s");
	if (numbers[SETTING_IDLE] > 0)
		ADD(" and %" PRId64 " idle", numbers[SETTING_IDLE]);
	if (numbers[SETTING_DEPTH] != UNUSED)
		ADD(", depth %" PRId64, numbers[SETTING_DEPTH]);
	if (numbers[SETTING_PAYLOAD] != UNUSED)
		ADD(", %" PRId64 " B", numbers[SETTING_PAYLOAD]);
	if (numbers[SETTING_REACTORS] > 1)
		ADD(", %" PRId64 " reactors", numbers[SETTING_REACTORS]);
	if (numbers[SETTING_CAPACITY] > 0)
		ADD(", at %" PRId64 " %% of capacity", numbers[SETTING_CAPACITY]);
	else if (numbers[SETTING_RATE] > 0)
		ADD(", %" PRId64 "/s", numbers[SETTING_RATE]);
	if (numbers[SETTING_BURST] > 1)
		ADD(", bursts of %" PRId64, numbers[SETTING_BURST]);
	if (point->says_load)
		ADD(", load on %s", point->load_backend);
#undef ADD
	memcpy(point->title, title.text, sizeof(point->title));
}

/* One point for each combination, the last setting fastest. */
static int add_points(struct plan *plan, const struct workload *workload, const struct lists *lists,
		      char error[POINT_ERROR_BYTES])
{
	unsigned combinations = 1;

	for (int i = 0; i < SETTING_COUNT; i++)
		combinations *= lists->counts[i] ? lists->counts[i] : 1;
	for (unsigned n = 0; n < combinations; n++) {
		struct point *point = &plan->points[plan->count];
		unsigned rest = n;

		if (plan->count == POINTS_MAX) {
			snprintf(error, POINT_ERROR_BYTES, "no more than %d points", POINTS_MAX);
			return -ENOSPC;
		}
		plan->count++;
		*point = (struct point){ .workload = workload };
		for (int i = SETTING_COUNT - 1; i >= 0; i--) {
			point->settings[i] = workload->settings[i];
			if (!lists->counts[i])
				continue;
			point->settings[i] = lists->numbers[i][rest % lists->counts[i]];
			rest /= lists->counts[i];
		}
		point_retitle(point);
	}
	return 0;
}

int plan_add(struct plan *plan, const char *text, char error[POINT_ERROR_BYTES])
{
	size_t bytes = strcspn(text, ":");
	const struct workload *workload = find_workload(text, bytes);
	struct lists lists = { .counts = { 0 } };
	int status;

	if (!workload) {
		int used = snprintf(error, POINT_ERROR_BYTES,
				    "there is no workload \"%.*s\"; there are",
				    (int)rota_min_size(bytes, 64), text);

		for (workload = workloads; workload->name; workload++)
			used += snprintf(error + used, POINT_ERROR_BYTES - (size_t)used, " %s",
					 workload->name);
		return -EINVAL;
	}
	status = parse_settings(workload, text[bytes] ? text + bytes + 1 : "", &lists, error);
	return status < 0 ? status : add_points(plan, workload, &lists, error);
}

int plan_set_load(struct plan *plan, const char *const backends[], unsigned count,
		  char error[POINT_ERROR_BYTES])
{
	unsigned with_load = 0, at;

	for (unsigned i = 0; i < plan->count; i++)
		with_load += plan->points[i].workload->served != NULL;
	at = plan->count + with_load * (count - 1);
	if (at > POINTS_MAX) {
		snprintf(error, POINT_ERROR_BYTES,
			 "no more than %d points, with %u engines of the "
			 "load client",
			 POINTS_MAX, count);
		return -ENOSPC;
	}
	/* From the end, so that each finds its room. */
	for (unsigned i = plan->count, copies; i-- > 0;) {
		struct point point = plan->points[i];

		copies = point.workload->served ? count : 1;
		for (unsigned n = copies; n-- > 0;) {
			plan->points[--at] = point;
			if (!point.workload->served)
				continue;
			plan->points[at].load_backend = backends[n];
			plan->points[at].says_load = count > 1;
			point_retitle(&plan->points[at]);
		}
	}
	plan->count += with_load * (count - 1);
	return 0;
}

/* ---- points to text ---- */

void plan_print_workloads(void)
{
	for (const struct workload *workload = workloads; workload->name; workload++) {
		printf("  %-12s %s; counts in units of one %s\n               ", workload->name,
		       workload->about, workload->unit);
		for (int i = 0; i < SETTING_COUNT; i++)
			if (workload->settings[i] != UNUSED)
				printf(" %s=%" PRId64, settings[i].name, workload->settings[i]);
		putchar('\n');
	}
}

json_t *point_describe(const struct point *point)
{
	json_t *out = json_pack("{s:s, s:s, s:s}", "workload", point->workload->name, "title",
				point->title, "unit", point->workload->unit);

	for (int i = 0; out && i < SETTING_COUNT; i++) {
		int64_t number = point->settings[i];
		/* A rate of 0 is none. */
		bool has = number != UNUSED && (i != SETTING_RATE || number > 0);

		if (json_object_set_new(out, settings[i].name,
					has ? json_integer(number) : json_null())) {
			json_decref(out);
			return NULL;
		}
	}
	if (out && json_object_set_new(out, "capacity_asked",
				       point->capacity_asked ? json_integer(point->capacity_asked)
							     : json_null())) {
		json_decref(out);
		return NULL;
	}
	return out;
}
