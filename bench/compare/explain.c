/* SPDX-License-Identifier: MIT */
/*
 * What a kernel has of io_uring: the engine's own tests for what rota uses, the kernel's number for
 * the rest, and for each what it does for a server.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <rota/base.h>

#include "bench/compare/engines.h"
#include "bench/compare/explain.h"
#include "bench/compare/machine.h"
#include "bench/compare/result.h"

#define KERNEL(major, minor) ((major)*1000 + (minor))
#define FLOOR KERNEL(6, 1) /* of the uring engine */

/*
 * In the order of kernels. Figures are CPU per request as a multiple of the default's, 64 B, 64
 * connections, depth 1 and 16, by the raw loops of docs/design/0020-report.md: nothing here is an
 * estimate, and what was not measured has none.
 */
static const struct fact {
	int kernel;
	const char *name;
	const char *feature; /* the engine's name of it, in its probe; NULL: it does not look */
	const char *gives;
	const char *measured; /* NULL: nothing was */
	const char *use;      /* how the uring engine treats it */
} facts[] = {
	{ KERNEL(5, 11), "submission by a kernel thread (SQPOLL), without privilege", NULL,
	  "no system call to submit, for a core of its own", "on the server's core 1.15, 0.97",
	  "option sqpoll=on" },
	{ KERNEL(5, 17), "sends without completions (CQE_SKIP_SUCCESS)", NULL,
	  "fewer completions to look at", "kept instead of skipped 0.98, 1.00: no difference",
	  "not used: a completion says when memory is free" },
	{ KERNEL(5, 18), "registered ring", "registered ring",
	  "the kernel does not look the ring's descriptor up at every entry", NULL, "used" },
	{ KERNEL(5, 19), "buffer rings", "buffer ring",
	  "receives take a buffer when data is there: idle connections hold none", NULL,
	  "required" },
	{ KERNEL(5, 19), "multishot accept", "multishot accept",
	  "one request for all connections of a listener", NULL, "required" },
	{ KERNEL(5, 19), "descriptors of the ring's own (direct descriptors)", NULL,
	  "cheaper look-ups of sockets",
	  "without them, unregistered, and with neither DEFER nor COOP_TASKRUN 1.33, 1.15",
	  "not used: closing one that others still use can hang" },
	{ KERNEL(6, 0), "multishot receive", "multishot receive",
	  "one request for all data of a connection", "one-shot instead 1.09, 0.99", "required" },
	{ KERNEL(6, 0), "zero-copy send", NULL, "large sends without a copy, on a network card",
	  "of 64 B 1.18, of 16 KiB 1.31 at depth 1: loopback copies all the same",
	  "not used by default: small sends lose" },
	{ KERNEL(6, 1), "deferred task work (DEFER_TASKRUN)", NULL,
	  "completions are worked off when the server asks, all at once",
	  "COOP_TASKRUN instead 1.06, 1.14", "required" },
	{ KERNEL(6, 6), "no index array (NO_SQARRAY)", NULL, "one cache line less per batch", NULL,
	  "left to liburing, from its 2.5" },
	{ KERNEL(6, 7), "futex and waitid requests, multishot read", NULL,
	  "waiting for threads, processes and pipes in the same ring", NULL,
	  "not used: no hot path here" },
	{ KERNEL(6, 9), "truncate", "truncate", "ftruncate without a thread for it", NULL, "used" },
	{ KERNEL(6, 9), "busy polling of network cards (NAPI)", NULL,
	  "lower latency for a busy core; needs a network card", NULL, "not used by default" },
	{ KERNEL(6, 10), "bundles", NULL, "one completion for many buffers of one connection",
	  "0.93 to 0.96, 0.98 to 0.99",
	  "not used: it misbehaves with incremental buffers on some kernels" },
	{ KERNEL(6, 11), "bind and listen requests", NULL, "servers set up inside the ring", NULL,
	  "not used: done once" },
	{ KERNEL(6, 12), "absolute timers", "absolute timers",
	  "a deadline is handed over as it is, without asking for the time", NULL, "used" },
	{ KERNEL(6, 12), "minimum wait", "minimum wait",
	  "completions are gathered for a while: fewer entries, later answers", NULL,
	  "option min-wait-us=N" },
	{ KERNEL(6, 12), "incremental buffers", NULL, "small messages share a large buffer",
	  "0.93 to 0.96, 0.98 to 0.99", "not used: a slow reader would hold what others sent" },
	{ KERNEL(6, 13), "guard regions without mappings (MADV_GUARD_INSTALL)", NULL,
	  "hundreds of thousands of tasks within vm.max_map_count; not io_uring",
	  "200 000 guarded stacks in 25 mappings", "used by the framework" },
	{ KERNEL(6, 13), "ring resizing, registered waits", NULL,
	  "queues that grow; wait arguments that are not copied", NULL, "not used" },
	{ KERNEL(6, 15), "no iowait", "no iowait",
	  "waiting in the ring no longer counts as waiting for a disk", NULL, "used" },
	{ KERNEL(6, 15), "zero-copy receive", NULL,
	  "the network card writes into the server's memory; needs one that can", NULL,
	  "not used" },
	{ KERNEL(6, 18), "completions of two sizes in one queue", NULL,
	  "large completions only where they are needed", NULL, "not used" },
};

struct explanation {
	const char *pretended; /* "6.1", or NULL: the kernel that runs */
	int kernel;            /* KERNEL(); 0: unknown */
	const json_t *uring;   /* of engines_describe_as() */
	bool usable;
};

/* ---- arguments ---- */

static int parse_kernel(const char *text)
{
	char *end;
	long major = strtol(text, &end, 10), minor;

	if (end == text || *end != '.' || major < 1 || major > 1000)
		return 0;
	text = end + 1;
	minor = strtol(text, &end, 10);
	return end == text || minor < 0 || minor > 999 ? 0 : (int)KERNEL(major, minor);
}

/* Returns 0, or 2 for wrong usage, told. */
static int parse_arguments(struct explanation *explanation, int argc, char **argv)
{
	const char *usage = "usage: rota-compare explain [--kernel X.Y]";

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--kernel") != 0 || i + 1 == argc) {
			fprintf(stderr, "%s\n", usage);
			return 2;
		}
		explanation->pretended = argv[++i];
		explanation->kernel = parse_kernel(argv[i]);
		if (!explanation->kernel || strspn(argv[i], "0123456789.") != strlen(argv[i])) {
			fprintf(stderr, "rota-compare: \"%s\" is no kernel such as 6.1\n%s\n",
				argv[i], usage);
			return 2;
		}
	}
	return 0;
}

/* ---- what there is ---- */

static const json_t *find_by_name(const json_t *array, const char *name)
{
	const json_t *object;
	size_t i;

	json_array_foreach (array, i, object)
		if (!strcmp(result_text(object, "name"), name))
			return object;
	return NULL;
}

static void print_wrapped(FILE *to, const char *head, const char *text)
{
	fprintf(to, "%14s%s%s\n", "", head, text);
}

static const char *state_of(const struct explanation *explanation, const struct fact *fact,
			    const json_t *feature)
{
	if (feature && explanation->usable)
		return json_is_true(json_object_get(feature, "on"))      ? "on"
		       : json_is_true(json_object_get(feature, "works")) ? "off"
									 : "missing";
	if (!explanation->kernel)
		return "?";
	if (fact->kernel > explanation->kernel)
		return "missing";
	/*
	 * There by the number, but out of reach; with an older kernel the engine has no use for it.
	 */
	if (!explanation->usable)
		return explanation->kernel >= FLOOR ? "barred" : "there";
	return strcmp(fact->use, "required") ? "there" : "on";
}

static void print_fact(FILE *to, const struct explanation *explanation, const struct fact *fact)
{
	const json_t *feature = fact->feature ? find_by_name(json_object_get(explanation->uring,
									     "features"),
							     fact->feature)
					      : NULL;
	const char *state = state_of(explanation, fact, feature);
	char kernel[16];

	snprintf(kernel, sizeof(kernel), "%d.%d", fact->kernel / 1000, fact->kernel % 1000);
	fprintf(to, "%-5s %-8s%s\n", kernel, state, fact->name);
	print_wrapped(to, "", fact->gives);
	if (fact->measured)
		print_wrapped(to, "measured: ", fact->measured);
	print_wrapped(to, "rota: ", fact->use);
	if (feature && (!strcmp(state, "off") || !strcmp(state, "missing")))
		print_wrapped(to, "why: ", result_text(feature, "why"));
}

/* ---- the text ---- */

static void print_head(FILE *to, const struct explanation *explanation, const json_t *machine)
{
	const json_t *virtualisation = json_object_get(machine, "virtualisation");

	fprintf(to, "Linux %s", result_text(machine, "kernel"));
	if (explanation->pretended)
		fprintf(to, ", as if it were %s", explanation->pretended);
	fprintf(to, "; hypervisor: %s; container: %s\n\n",
		*result_text(virtualisation, "hypervisor")
			? result_text(virtualisation, "hypervisor")
			: "unknown",
		*result_text(virtualisation, "container") ? result_text(virtualisation, "container")
							  : "unknown");
	if (explanation->usable)
		fprintf(to, "io_uring works here: %s.\n\n",
			result_text(explanation->uring, "says"));
	else
		fprintf(to, "io_uring cannot be used here: %s.\n\n",
			result_text(explanation->uring, "why_not"));
}

static void print_facts(FILE *to, const struct explanation *explanation)
{
	unsigned missing = 0;

	fputs("Since, state, and what it does for a server. \"on\" and \"off\" were tried, and "
	      "off is by choice;\n"
	      "\"missing\" is not in this kernel; \"there\" is in it by its number and was not "
	      "tried; \"barred\" is\n"
	      "in it and may not be used. Figures: CPU per request, as a multiple of the "
	      "default's, by raw loops\n"
	      "on loopback (64 B, 64 connections, depth 1 and 16; 2 virtual cores, Linux 6.18). "
	      "Yours may differ:\n"
	      "rota-compare --variants all measures them here.\n\n",
	      to);
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(facts); i++) {
		print_fact(to, explanation, &facts[i]);
		missing += explanation->kernel && facts[i].kernel > explanation->kernel &&
			   !strncmp(facts[i].use, "used", 4);
	}
	putc('\n', to);
	if (!explanation->kernel)
		return;
	if (missing)
		fprintf(to,
			"With a newer kernel rota would use %u more of these by itself; the rest "
			"are options, or not used.\n\n",
			missing);
	else
		fputs("A newer kernel would bring nothing more of these that rota uses by "
		      "itself.\n\n",
		      to);
}

static void print_permissions(FILE *to)
{
	fputs("Where io_uring is forbidden\n"
	      "  everywhere    sysctl kernel.io_uring_disabled: 0 allows all, 1 allows members of\n"
	      "                kernel.io_uring_group and privileged processes, 2 allows nobody\n"
	      "  in containers the runtime's seccomp profile must allow io_uring_setup,\n"
	      "                io_uring_enter and io_uring_register; Docker's does not since 25.\n"
	      "                Take its default profile, add the three, and run with\n"
	      "                  docker run --security-opt seccomp=PROFILE.json …   (podman too)\n"
	      "                or in a Kubernetes pod, with the file on the node,\n"
	      "                  securityContext: {seccompProfile: {type: Localhost,\n"
	      "                    localhostProfile: PROFILE.json}}\n"
	      "  memory        kernels before 5.12 count rings as locked memory: ulimit -l\n",
	      to);
}

int explain(int argc, char **argv, FILE *to)
{
	struct explanation explanation = { 0 };
	struct utsname system;
	json_t *engines, *machine;
	int status = parse_arguments(&explanation, argc, argv);

	if (status)
		return status;
	if (!explanation.pretended && uname(&system) == 0)
		explanation.kernel = parse_kernel(system.release);
	engines = engines_describe_as(explanation.pretended);
	machine = machine_describe();
	explanation.uring = find_by_name(engines, "uring");
	explanation.usable = json_is_true(json_object_get(explanation.uring, "usable"));
	if (engines && machine && explanation.uring) {
		print_head(to, &explanation, machine);
		print_facts(to, &explanation);
		print_permissions(to);
	} else {
		fputs("rota-compare: no memory\n", stderr);
		status = 1;
	}
	json_decref(engines);
	json_decref(machine);
	return status;
}
