/* SPDX-License-Identifier: MIT */
/*
 * The options every server program takes, and a main() for programs that need no others. Start-up
 * only, main thread.
 */
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rota/error.h>
#include <rota/server.h>

#include "framework/options.h"

void rota_server_options_init(struct rota_server_options *options,
			      const struct rota_backend_ops *const *engines)
{
	*options = (struct rota_server_options){ .engines = engines };
}

/* A whole decimal number in [least, most]; returns whether it is one. */
static bool parse_number(const char *text, long least, long most, long *out)
{
	char *end;
	long number;

	errno = 0;
	if (*text < '0' || *text > '9')
		return false; /* strtol would take signs and spaces */
	number = strtol(text, &end, 10);
	if (errno || end == text || *end || number < least || number > most)
		return false;
	*out = number;
	return true;
}

/* A CPU's number at `*at`, which moves behind it; returns whether there is one. */
static bool parse_cpu(const char **at, long *out)
{
	char *end;

	if (**at < '0' || **at > '9')
		return false;
	*out = strtol(*at, &end, 10);
	*at = end;
	return *out < CPU_SETSIZE;
}

int rota__cpus_parse(const char *text, int *cpus, int cpus_max)
{
	const char *at = text;
	int count = 0;

	for (;;) {
		long first, last;

		if (!parse_cpu(&at, &first))
			return -EINVAL;
		last = first;
		if (*at == '-' && (at++, !parse_cpu(&at, &last) || last < first))
			return -EINVAL;
		for (long cpu = first; cpu <= last && count < cpus_max; cpu++)
			cpus[count++] = (int)cpu;
		if (!*at)
			return count;
		if (*at++ != ',')
			return -EINVAL;
	}
}

int rota_server_option(struct rota_server_options *options, const char *name, const char *value,
		       char error[ROTA_BACKEND_TEXT_BYTES])
{
	int cpus[ROTA_REACTORS_MAX];
	struct rota_address address;
	const char *right = NULL;
	long number;

	if (!strcmp(name, "bind")) {
		if (options->binds_count == ROTA_BINDS_MAX)
			right = "at most 16 addresses";
		else if (rota_address_parse(&address, value, 0) < 0)
			right = "a numeric address such as 127.0.0.1, ::1 or *";
		else
			options->binds[options->binds_count++] = value;
	} else if (!strcmp(name, "port")) {
		if (parse_number(value, 0, 65535, &number))
			options->port = number ? (int32_t)number : -1;
		else
			right = "a number from 1 to 65535, or 0 for no TCP";
	} else if (!strcmp(name, "unix")) {
		if (rota_address_local(&address, value) == 0 && *value)
			options->unix_path = value;
		else
			right = "a path of at most 107 bytes";
	} else if (!strcmp(name, "reactors")) {
		if (parse_number(value, 1, ROTA_REACTORS_MAX, &number))
			options->reactors = (unsigned)number;
		else
			right = "a number from 1 to 256";
	} else if (!strcmp(name, "cpus")) {
		if (rota__cpus_parse(value, cpus, ROTA_REACTORS_MAX) > 0)
			options->cpus = value;
		else
			right = "a list of CPUs such as 0,2-3";
	} else if (!strcmp(name, "backend")) {
		options->backend = value; /* the engines judge it */
	} else if (!strcmp(name, "drain-timeout")) {
		if (parse_number(value, 1, 3600, &number))
			options->drain_timeout_ns = number * ROTA_NS_PER_S;
		else
			right = "a number of seconds from 1 to 3600";
	} else if (!strcmp(name, "stall-ms")) {
		if (parse_number(value, 0, 3600000, &number))
			options->stall_ns = number ? number * ROTA_NS_PER_MS : -1;
		else
			right = "a number of milliseconds up to 3600000, or 0 for never";
	} else if (!strcmp(name, "stack-census")) {
		options->stack_census = !strcmp(value, "on");
		if (!options->stack_census && strcmp(value, "off") != 0)
			right = "on or off";
	} else if (!strcmp(name, "record-to")) {
		options->record_to = value; /* judged when serving starts */
	} else if (!strcmp(name, "records")) {
		if (!strcmp(value, "off"))
			options->records_kept = ROTA_RECORDS_NONE;
		else if (parse_number(value, ROTA_RECORDS_MIN, ROTA_RECORDS_MAX, &number))
			options->records_kept = (uint32_t)number;
		else
			right = "a number from 1024 to 67108864, or off";
	} else {
		return 0;
	}
	if (!right)
		return 1;
	snprintf(error, ROTA_BACKEND_TEXT_BYTES, "--%s %.64s: give %s", name, value, right);
	return -EINVAL;
}

const char *rota_server_options_help(void)
{
	return "  --bind ADDRESS         listen there; may be repeated (default 127.0.0.1;\n"
	       "                         * for all)\n"
	       "  --port PORT            TCP port; 0: no TCP\n"
	       "  --unix PATH            listen on a Unix socket as well\n"
	       "  --reactors N           event loops, one thread each (default: one per CPU)\n"
	       "  --cpus LIST            CPUs to pin them to, such as 0,2-3\n"
	       "  --backend NAME[:OPTS]  auto, uring or epoll, with options: uring:multishot=off\n"
	       "  --drain-timeout S      how long a stop waits for running requests (default 5)\n"
	       "  --stall-ms MS          log what holds an event loop for so long (default 100;\n"
	       "                         0: never)\n"
	       "  --stack-census on      log at the end how much of their stacks tasks used\n"
	       "  --records N            how much each reactor remembers of what it did\n"
	       "                         (default 65536 records of 8 bytes), or off\n"
	       "  --record-to PATH       write it there on a crash, a stall and SIGUSR2;\n"
	       "                         %p: the process id; read by rota trace\n"
	       "  --version              print the version\n"
	       "  --help                 print this\n";
}

static int usage_error(const char *program, const char *message)
{
	fprintf(stderr, "%s: %s (try --help)\n", program, message);
	return EXIT_FAILURE;
}

int rota_serve_main(const struct rota_service *service,
		    const struct rota_backend_ops *const *engines, int argc, char **argv)
{
	struct rota_server_options options;
	char text[ROTA_BACKEND_TEXT_BYTES];

	rota_server_options_init(&options, engines);
	for (int i = 1; i < argc; i++) {
		const char *name = argv[i];

		if (!strcmp(name, "--version")) {
			printf("%s (rota %s)\n", service->name, ROTA_VERSION);
			return EXIT_SUCCESS;
		}
		if (!strcmp(name, "--help")) {
			printf("usage: %s [options]\n%s", service->name,
			       rota_server_options_help());
			return EXIT_SUCCESS;
		}
		snprintf(text, sizeof(text), "unknown option %.64s", name);
		if (strncmp(name, "--", 2) != 0)
			return usage_error(service->name, text);
		if (i + 1 == argc)
			snprintf(text, sizeof(text), "%.64s is unknown or needs a value", name);
		if (i + 1 == argc || rota_server_option(&options, name + 2, argv[++i], text) <= 0)
			return usage_error(service->name, text);
	}
	return rota_serve(service, &options) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
