/* SPDX-License-Identifier: MIT */
/* The command line; see arguments.h. */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rota/server.h>

#include "backends/backends.h"
#include "bench/compare/arguments.h"

/* The ninja target's form and the long one: seconds in all. */
#define SHORT_SECONDS 105
#define LONG_SECONDS 1500

static const char help[] =
	"usage: rota-compare [OPTION...]\n"
	"       rota-compare explain\n"
	"       rota-compare page RESULT.json OUT.html\n"
	"\n"
	"Compare epoll and io_uring on this machine: the same server on both, in one interleaved\n"
	"run, and other servers beside it. Says what the rounds allow to be said, and no more.\n"
	"\n"
	"What is measured:\n"
	"  --short              what matters most, in two minutes (the default)\n"
	"  --long               more connections, depths, sizes, workloads; 25 minutes\n"
	"  -w, --workload TEXT  NAME[:SETTING=NUMBER/NUMBER...,SETTING=...]: instead of the two,\n"
	"                       any number of times, as in echo:connections=64/1000,depth=16\n"
	"\n"
	"Who takes part:\n"
	"  --engines LIST       of those that work here, as in epoll,uring (default: all)\n"
	"  --variants all       every variant of each engine, beside the defaults\n"
	"  --variant E:OPTIONS  one more, as in uring:multishot=off (--short has that one)\n"
	"  --server NAME=[PROTOCOL:]COMMAND\n"
	"                       another server, with {port} in the command, for workloads of its\n"
	"                       PROTOCOL (echo, resp, memcached, memcached-meta; default: all)\n"
	"  --peers FILE         those of a table, such as build/peers/ready.tsv (ninja peers)\n"
	"  --reference NAME     whom the others are compared with (default epoll)\n"
	"\n"
	"How:\n"
	"  -t, --seconds S      for all of it, about\n"
	"  -r, --rounds N       at each point, instead of as many as there is time for\n"
	"  --round-seconds S    how long each lasts (default 0.15)\n"
	"  --warmup S           before each, not measured (default 0.05)\n"
	"  --starts N           how often each server is started anew at each point (default 12);\n"
	"                       what fewer than 6 of them show is never called a difference\n"
	"  --seed N             of the order of rounds and the bootstrap (default: the clock's)\n"
	"  --confidence C       of intervals and calls (default 0.95)\n"
	"  --margin M           what lies within it is called equal (default 0.03)\n"
	"  --steal-max S        rounds in which the host took more are made again (default 0.05)\n"
	"  --server-cpus LIST   as in 0,2-3 (default: half of the cores we may use)\n"
	"  --load-cpus LIST     (default: the others)\n"
	"  --load PROGRAM       the load client (default: rota-load beside this program)\n"
	"  --load-backend E     the engine it runs on, with options (default: io_uring where that\n"
	"                       works, because it is cheaper: see docs/design/0019); both: every\n"
	"                       point with either, which shows what depends on it\n"
	"\n"
	"What comes out, beside the table:\n"
	"  --json FILE          the whole result; -: standard output, and the table to standard\n"
	"                       error\n"
	"  --html FILE          a page of it\n"
	"  -q, --quiet          no progress\n"
	"\n"
	"  --list               the workloads, and the variants of the engines here\n"
	"  --version, -h, --help\n"
	"\n"
	"Exit status: 0 compared; 1 could not; 2 wrong usage; 130 or 143 ended by a signal, with\n"
	"what was finished.\n";

enum {
	OPTION_STARTS = 256,
	OPTION_CONFIDENCE,
	OPTION_ENGINES,
	OPTION_HTML,
	OPTION_JSON,
	OPTION_LIST,
	OPTION_LOAD,
	OPTION_LOAD_BACKEND,
	OPTION_LOAD_CPUS,
	OPTION_LONG,
	OPTION_MARGIN,
	OPTION_PEERS,
	OPTION_REFERENCE,
	OPTION_ROUND_SECONDS,
	OPTION_SEED,
	OPTION_SERVER,
	OPTION_SERVER_CPUS,
	OPTION_SHORT,
	OPTION_SLOW,
	OPTION_STEAL_MAX,
	OPTION_VARIANT,
	OPTION_VARIANTS,
	OPTION_VERSION,
	OPTION_WARMUP,
};

static const struct option long_options[] = {
	{ "starts", required_argument, NULL, OPTION_STARTS },
	{ "confidence", required_argument, NULL, OPTION_CONFIDENCE },
	{ "engines", required_argument, NULL, OPTION_ENGINES },
	{ "help", no_argument, NULL, 'h' },
	{ "html", required_argument, NULL, OPTION_HTML },
	{ "json", required_argument, NULL, OPTION_JSON },
	{ "list", no_argument, NULL, OPTION_LIST },
	{ "load", required_argument, NULL, OPTION_LOAD },
	{ "load-backend", required_argument, NULL, OPTION_LOAD_BACKEND },
	{ "load-cpus", required_argument, NULL, OPTION_LOAD_CPUS },
	{ "long", no_argument, NULL, OPTION_LONG },
	{ "margin", required_argument, NULL, OPTION_MARGIN },
	{ "peers", required_argument, NULL, OPTION_PEERS },
	{ "quiet", no_argument, NULL, 'q' },
	{ "reference", required_argument, NULL, OPTION_REFERENCE },
	{ "round-seconds", required_argument, NULL, OPTION_ROUND_SECONDS },
	{ "rounds", required_argument, NULL, 'r' },
	{ "seconds", required_argument, NULL, 't' },
	{ "seed", required_argument, NULL, OPTION_SEED },
	{ "server", required_argument, NULL, OPTION_SERVER },
	{ "server-cpus", required_argument, NULL, OPTION_SERVER_CPUS },
	{ "short", no_argument, NULL, OPTION_SHORT },
	/* To test the instrument: NAME=NANOSECONDS, that much more for every read of a variant. */
	{ "slow", required_argument, NULL, OPTION_SLOW },
	{ "steal-max", required_argument, NULL, OPTION_STEAL_MAX },
	{ "variant", required_argument, NULL, OPTION_VARIANT },
	{ "variants", required_argument, NULL, OPTION_VARIANTS },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "warmup", required_argument, NULL, OPTION_WARMUP },
	{ "workload", required_argument, NULL, 'w' },
	{ 0 },
};

/* What is only made sense of when all has been read. */
struct reading {
	struct comparison *comparison;
	const char *engines;
	bool is_long, wants_all, wants_list, has_seconds;
	char *const *argv;
	int argc;
};

/* ---- single values ---- */

static int complain(const char *format, ...) ROTA_PRINTF(1, 2);

static int complain(const char *format, ...)
{
	va_list arguments;

	fputs("rota-compare: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	return -EINVAL;
}

static int take_real(const char *name, double least, double most, double *out)
{
	char *end;
	double value = strtod(optarg, &end);

	if (end == optarg || *end || !(value >= least) || !(value <= most))
		return complain("--%s takes %g to %g, not \"%s\"", name, least, most, optarg);
	*out = value;
	return 0;
}

static int take_count(const char *name, unsigned least, unsigned most, unsigned *out)
{
	double value = 0;
	int status = take_real(name, least, most, &value);

	if (status == 0 && value != (double)(unsigned)value)
		return complain("--%s takes a whole number, not \"%s\"", name, optarg);
	if (status == 0)
		*out = (unsigned)value;
	return status;
}

static int take_seed(uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(optarg, &end, 10);
	if (end == optarg || *end || errno || *optarg == '-' || *out > INT64_MAX)
		return complain("--seed takes a number below 2^63, not \"%s\"", optarg);
	return 0;
}

static int take_cpus(const char *name, struct cpus *cpus)
{
	if (cpus_parse(cpus, optarg) < 0)
		return complain("--%s takes a list such as 0,2-3, not \"%s\"", name, optarg);
	return 0;
}

/* By one of variants.h's functions. */
static int take_variant(struct comparison *comparison, const char *text,
			int (*add)(struct variants *variants, const char *text,
				   char error[ROTA_BACKEND_TEXT_BYTES]))
{
	char error[ROTA_BACKEND_TEXT_BYTES];

	return add(&comparison->variants, text, error) < 0 ? complain("%s", error) : 0;
}

static int take_workload(struct comparison *comparison, const char *text)
{
	char error[POINT_ERROR_BYTES];

	return plan_add(&comparison->plan, text, error) < 0 ? complain("%s", error) : 0;
}

static int take_slow(struct comparison *comparison)
{
	char name[VARIANT_NAME_BYTES];
	const char *equals;
	int found;

	ROTA_ASSERT(optarg); /* getopt says so */
	equals = strrchr(optarg, '=');
	snprintf(name, sizeof(name), "%.*s", equals ? (int)(equals - optarg) : 0, optarg);
	found = variants_find(&comparison->variants, name);
	if (!equals || found < 0 || atoll(equals + 1) < 1)
		return complain("--slow takes VARIANT=NANOSECONDS, not \"%s\"", optarg);
	comparison->variants.list[found].slow_ns = atoll(equals + 1);
	return 0;
}

/* ---- options ---- */

static int take_number(struct comparison *comparison, int which)
{
	switch (which) {
	case 'r':
		return take_count("rounds", 1, 2000, &comparison->rounds);
	case 't':
		return take_real("seconds", 1, 1e6, &comparison->seconds);
	case OPTION_STARTS:
		return take_count("starts", 1, 100, &comparison->starts);
	case OPTION_CONFIDENCE:
		return take_real("confidence", 0.5, 0.9999, &comparison->confidence);
	case OPTION_MARGIN:
		return take_real("margin", 0, 0.5, &comparison->margin);
	case OPTION_ROUND_SECONDS:
		return take_real("round-seconds", 0.05, 100, &comparison->round_seconds);
	case OPTION_SEED:
		return take_seed(&comparison->seed);
	case OPTION_STEAL_MAX:
		return take_real("steal-max", 0, 1, &comparison->steal_max);
	case OPTION_WARMUP:
		return take_real("warmup", 0, 100, &comparison->warmup_seconds);
	default:
		return 1;
	}
}

static int take_text(struct reading *reading, int which)
{
	struct comparison *comparison = reading->comparison;

	switch (which) {
	case 'q':
		comparison->is_quiet = true;
		return 0;
	case 'w':
		return take_workload(comparison, optarg);
	case OPTION_HTML:
		comparison->html_path = optarg;
		return 0;
	case OPTION_JSON:
		comparison->json_path = optarg;
		return 0;
	case OPTION_LIST:
		reading->wants_list = true;
		return 0;
	case OPTION_LOAD:
		comparison->load_program = optarg;
		return 0;
	case OPTION_LOAD_BACKEND:
		comparison->load_backend = optarg;
		return 0;
	case OPTION_LOAD_CPUS:
		return take_cpus("load-cpus", &comparison->load_cpus);
	case OPTION_LONG:
	case OPTION_SHORT:
		reading->is_long = which == OPTION_LONG;
		return 0;
	case OPTION_REFERENCE:
		comparison->reference = optarg;
		return 0;
	case OPTION_SERVER_CPUS:
		return take_cpus("server-cpus", &comparison->server_cpus);
	default:
		return 1;
	}
}

/* Those who take part, in the first pass and the order of their names' being needed. */
static int take_participant(struct reading *reading, int which)
{
	switch (which) {
	case OPTION_ENGINES:
		reading->engines = optarg;
		return 0;
	case OPTION_VARIANTS:
		reading->wants_all = !strcmp(optarg, "all");
		return reading->wants_all || !strcmp(optarg, "default")
			       ? 0
			       : complain("--variants takes all or default, not \"%s\"", optarg);
	default:
		return 1;
	}
}

/* The second pass, when the engines' own variants are there. */
static int take_late(struct reading *reading, int which)
{
	switch (which) {
	case OPTION_PEERS:
		return take_variant(reading->comparison, optarg, variants_add_table);
	case OPTION_SERVER:
		return take_variant(reading->comparison, optarg, variants_add_server);
	case OPTION_SLOW:
		return take_slow(reading->comparison);
	case OPTION_VARIANT:
		return take_variant(reading->comparison, optarg, variants_add);
	default:
		return 0;
	}
}

static enum arguments_result read_first_pass(struct reading *reading)
{
	int which, status;

	optind = 1;
	while ((which = getopt_long(reading->argc, reading->argv, "hqr:t:w:", long_options,
				    NULL)) != -1) {
		if (which == 'h') {
			fputs(help, stdout);
			return ARGUMENTS_DONE;
		}
		if (which == OPTION_VERSION) {
			printf("rota-compare %s\n", ROTA_VERSION);
			return ARGUMENTS_DONE;
		}
		if (which == '?')
			return ARGUMENTS_WRONG;
		reading->has_seconds |= which == 't';
		status = take_number(reading->comparison, which);
		if (status > 0)
			status = take_text(reading, which);
		if (status > 0)
			status = take_participant(reading, which);
		if (status < 0)
			return ARGUMENTS_WRONG;
	}
	if (optind < reading->argc) {
		complain("there is no \"%s\" (--help says what there is)", reading->argv[optind]);
		return ARGUMENTS_WRONG;
	}
	return ARGUMENTS_RUN;
}

static int read_second_pass(struct reading *reading)
{
	int which, status = 0;

	optind = 1;
	while (status == 0 && (which = getopt_long(reading->argc, reading->argv,
						   "hqr:t:w:", long_options, NULL)) != -1)
		status = take_late(reading, which);
	return status;
}

/* ---- what was left open ---- */

static int choose_cpus(struct comparison *comparison)
{
	struct cpus *servers = &comparison->server_cpus, *clients = &comparison->load_cpus;
	static struct cpus dealt[2]; /* too large for a stack */
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return complain("cannot tell which processors may be used: %s", strerror(errno));
	cpus_halve("/sys", &allowed, &dealt[0], &dealt[1]);
	if (!servers->count)
		*servers = dealt[0];
	if (!clients->count)
		*clients = dealt[1];
	cpus_join(servers, clients, &comparison->all_cpus);
	return 0;
}

/* The load client that lies beside this program. */
static int find_load(struct comparison *comparison, char path[4096])
{
	ssize_t bytes = readlink("/proc/self/exe", path, 4096 - 16);
	char *slash;

	if (comparison->load_program)
		return 0;
	if (bytes < 0)
		return complain("cannot tell where this program lies; --load says where the load "
				"client does");
	path[bytes] = '\0';
	slash = strrchr(path, '/');
	snprintf(slash + 1, 16, "rota-load");
	if (access(path, X_OK))
		return complain("there is no load client at %s; --load says where it is", path);
	comparison->load_program = path;
	return 0;
}

static bool is_listed(const char *list, const char *name)
{
	size_t bytes = strlen(name);

	for (const char *at = list; (at = strstr(at, name)); at += bytes)
		if ((at == list || at[-1] == ',') && (!at[bytes] || at[bytes] == ','))
			return true;
	return false;
}

/* Only those engines, and their variants, that are asked for. */
static int keep_engines(struct comparison *comparison, const char *list)
{
	struct variants *variants = &comparison->variants;
	unsigned kept = 0;

	for (unsigned i = 0; i < variants->count; i++)
		if (is_listed(list, variants->list[i].engine))
			variants->list[kept++] = variants->list[i];
	variants->count = kept;
	return kept ? 0 : complain("none of the engines in \"%s\" works here", list);
}

static int choose_participants(struct reading *reading)
{
	struct comparison *comparison = reading->comparison;
	bool is_preset = !comparison->plan.count;
	int status = 0;

	variants_add_engines(&comparison->variants, reading->wants_all);
	if (reading->engines)
		status = keep_engines(comparison, reading->engines);
	/* What makes the difference, where there is one. */
	if (status == 0 && is_preset && !reading->wants_all &&
	    variants_find(&comparison->variants, "uring") >= 0)
		status = take_variant(comparison, "uring:multishot=off", variants_add);
	if (status == 0)
		status = read_second_pass(reading);
	if (status == 0 && comparison->reference &&
	    variants_find(&comparison->variants, comparison->reference) < 0)
		status = complain("--reference: there is no variant \"%s\"", comparison->reference);
	return status;
}

static int choose_points(struct reading *reading)
{
	struct comparison *comparison = reading->comparison;
	const char *const *preset = reading->is_long ? plan_long : plan_short;

	if (!reading->has_seconds)
		comparison->seconds = reading->is_long ? LONG_SECONDS : SHORT_SECONDS;
	for (; *preset && !comparison->plan.count; preset++)
		continue;
	preset = reading->is_long ? plan_long : plan_short;
	if (comparison->plan.count)
		return 0;
	for (; *preset; preset++)
		if (take_workload(comparison, *preset) < 0)
			return -EINVAL;
	return 0;
}

/*
 * The engine that the load client runs on, by name: what it would choose itself. "both": those that
 * work here.
 */
static int choose_load(struct comparison *comparison)
{
	static const char *const names[] = { "uring", "epoll" };
	const char *wanted = comparison->load_backend, *backends[ROTA_ARRAY_COUNT(names)];
	bool is_both = wanted && !strcmp(wanted, "both");
	struct rota_engine_choice choice;
	char error[POINT_ERROR_BYTES];
	unsigned count = 0;

	for (unsigned i = 0; is_both && i < ROTA_ARRAY_COUNT(names); i++)
		if (rota_engine_choose(rota_backends, names[i], &choice) == 0)
			backends[count++] = names[i];
	if (!is_both) {
		if (rota_engine_choose(rota_backends, wanted, &choice) < 0)
			return complain("--load-backend: %s", choice.report);
		backends[count++] = wanted ? wanted : choice.engine->name;
	}
	if (!count)
		return complain("--load-backend: no engine works here");
	comparison->load_engines = count > 1 ? "uring and epoll" : backends[0];
	return plan_set_load(&comparison->plan, backends, count, error) < 0 ? complain("%s", error)
									    : 0;
}

static void print_list(const struct comparison *comparison)
{
	const struct variants *variants = &comparison->variants;

	printf("workloads, with what can be set and its default:\n");
	plan_print_workloads();
	printf("\nvariants:\n");
	for (unsigned i = 0; i < variants->count; i++)
		printf("  %-28s %s\n", variants->list[i].name,
		       variants->list[i].about ? variants->list[i].about : "");
	for (unsigned i = 0; i < variants->left_out_count; i++)
		printf("  %-28s not here: %s\n", variants->left_out[i].name,
		       variants->left_out[i].why);
}

enum arguments_result arguments_parse(struct comparison *comparison, int argc, char **argv)
{
	static char load_path[4096];
	struct reading reading = { .comparison = comparison, .argv = argv, .argc = argc };
	enum arguments_result result;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	comparison->seed = (uint64_t)(now.tv_nsec ^ now.tv_sec);
	comparison->round_seconds = 0.15;
	comparison->warmup_seconds = 0.05;
	comparison->starts = 12;
	comparison->confidence = 0.95;
	comparison->margin = 0.03;
	comparison->steal_max = 0.05;
	comparison->table = stdout;
	result = read_first_pass(&reading);
	if (result != ARGUMENTS_RUN)
		return result;
	if (reading.wants_list)
		reading.wants_all = true;
	if (choose_participants(&reading) < 0)
		return ARGUMENTS_WRONG;
	if (reading.wants_list) {
		print_list(comparison);
		return ARGUMENTS_DONE;
	}
	if (comparison->json_path && !strcmp(comparison->json_path, "-"))
		comparison->table = stderr;
	if (choose_points(&reading) < 0 || choose_load(comparison) < 0 ||
	    choose_cpus(comparison) < 0 || find_load(comparison, load_path) < 0)
		return ARGUMENTS_WRONG;
	return ARGUMENTS_RUN;
}
