/* SPDX-License-Identifier: MIT */
/*
 * The command line of rota-load. Start-up, main thread.
 */
#include <getopt.h>
#include <math.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <rota/server.h>

#include "bench/load/load.h"

#define CONNECTIONS_MAX 1000000
#define DEPTH_MAX 65536
#define MESSAGE_BYTES_MAX (1u << 30)
#define QUEUE_MAX (1u << 24)
#define HOST_BYTES 256

const char *const shape_names[] = {
	[SHAPE_REQUESTS] = "requests",
	[SHAPE_UPLOAD] = "upload",
	[SHAPE_DOWNLOAD] = "download",
	[SHAPE_CHURN] = "churn",
};

const struct protocol *const protocols[] = { &protocol_echo, NULL };

static bool wrong(const char *format, ...) ROTA_PRINTF(1, 2);
static bool take_option(struct options *options, const char *name, const char *value);
static bool take_target(struct options *options, const char *text);
static bool check_together(struct options *options);

void options_print_help(FILE *out)
{
	fputs("usage: rota-load [OPTION...] HOST:PORT | unix:PATH\n"
	      "\n"
	      "Put load on a server, and say how many requests it answers and how soon.\n"
	      "\n"
	      "What is said:\n"
	      "  --protocol NAME        echo (default)\n"
	      "  --payload BYTES        echo: of each message (default 64)\n"
	      "  --check                compare what comes back, byte for byte\n"
	      "\n"
	      "How much:\n"
	      "  -c, --connections N    (default 64)\n"
	      "  -d, --depth N          requests in flight on each connection (default 1)\n"
	      "  -t, --seconds S        how long it is measured (default 5)\n"
	      "  --warmup S             before that, not measured (default 0.5)\n"
	      "  --timeout S            a connection without a reply for so long is given up\n"
	      "                         (default 5)\n"
	      "\n"
	      "How:\n"
	      "  --reactors N           event loops, one thread each (default 1)\n"
	      "  --backend NAME[:OPTS]  auto (default), uring or epoll, with options\n"
	      "  --seed N               of all that is drawn (default 1)\n"
	      "\n"
	      "What comes out:\n"
	      "  --json FILE            the result as one line of JSON; -: standard output\n"
	      "  -q, --quiet            nothing for people\n"
	      "  --steered              for programs: prints \"ready\" once connected, then one\n"
	      "                         line of JSON for each line \"go SECONDS\" it reads\n"
	      "  --version, -h, --help\n"
	      "\n"
	      "Exit status: 0 all was well; 1 there were errors, or it could not run; 2 wrong\n"
	      "usage.\n",
	      out);
}

/* ---- the command line ---- */

#define FLAG(name, letter)                                                                         \
	{                                                                                          \
		name, no_argument, NULL, letter                                                    \
	}
#define VALUE(name, letter)                                                                        \
	{                                                                                          \
		name, required_argument, NULL, letter                                              \
	}

static const struct option long_options[] = {
	VALUE("protocol", 0),      VALUE("payload", 0),  FLAG("check", 0),
	VALUE("connections", 'c'), VALUE("depth", 'd'),  VALUE("seconds", 't'),
	VALUE("warmup", 0),        VALUE("timeout", 0),  VALUE("reactors", 0),
	VALUE("backend", 0),       VALUE("seed", 0),     VALUE("json", 0),
	FLAG("quiet", 'q'),        FLAG("steered", 0),   FLAG("version", 'V'),
	FLAG("help", 'h'),         { NULL, 0, NULL, 0 },
};

static const char *name_of_letter(int letter)
{
	for (const struct option *option = long_options; option->name; option++)
		if (option->val == letter)
			return option->name;
	return "";
}

static void set_defaults(struct options *options)
{
	*options = (struct options){
		.protocol = &protocol_echo,
		.connections = 64,
		.depth = 1,
		.reactors = 1,
		.payload_bytes = 64,
		.value_bytes_min = 64,
		.value_bytes_max = 64,
		.sets = 1,
		.gets = 10,
		.keys = 100000,
		.path = "/",
		.duration_ns = 5 * ROTA_NS_PER_S,
		.warmup_ns = ROTA_NS_PER_S / 2,
		.timeout_ns = 5 * ROTA_NS_PER_S,
		.queue = 65536,
		.seed = 1,
	};
}

enum options_result options_parse(struct options *options, int argc, char **argv)
{
	int letter, index;

	set_defaults(options);
	optind = 0; /* from the beginning, also for a second time */
	while ((letter = getopt_long(argc, argv, ":c:d:t:qh", long_options, &index)) >= 0) {
		switch (letter) {
		case 'h':
			options_print_help(stdout);
			return OPTIONS_DONE;
		case 'V':
			printf("rota-load %s\n", ROTA_VERSION);
			return OPTIONS_DONE;
		case '?':
			wrong("unknown option %s", argv[optind - 1]);
			return OPTIONS_WRONG;
		case ':':
			wrong("%s needs a value", argv[optind - 1]);
			return OPTIONS_WRONG;
		default:
			if (!take_option(options,
					 letter ? name_of_letter(letter) : long_options[index].name,
					 optarg))
				return OPTIONS_WRONG;
		}
	}
	if (argc - optind != 1) {
		wrong(argc == optind ? "say which server: HOST:PORT or unix:PATH"
				     : "one server only: HOST:PORT or unix:PATH");
		return OPTIONS_WRONG;
	}
	if (!take_target(options, argv[optind]) || !check_together(options))
		return OPTIONS_WRONG;
	return OPTIONS_RUN;
}

static bool wrong(const char *format, ...)
{
	va_list arguments;

	fputs("rota-load: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs(" (try --help)\n", stderr);
	return false;
}

/* ---- values ---- */

/* Digits only; returns whether it is a number within the bounds. */
static bool read_number(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
	unsigned long long number;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno || *end || number < least || number > most)
		return false;
	*out = number;
	return true;
}

static bool take_number(const char *name, const char *text, uint64_t least, uint64_t most,
			uint32_t *out)
{
	uint64_t number;

	if (!read_number(text, least, most, &number))
		return wrong("--%s %s: give a number from %llu to %llu", name, text,
			     (unsigned long long)least, (unsigned long long)most);
	*out = (uint32_t)number;
	return true;
}

static bool take_seconds(const char *name, const char *text, double least, rota_ns *out)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= least && seconds <= 86400))
		return wrong("--%s %s: give seconds from %g to 86400", name, text, least);
	*out = (rota_ns)(seconds * 1e9);
	return true;
}

static bool take_protocol(struct options *options, const char *text)
{
	for (const struct protocol *const *each = protocols; *each; each++)
		if (!strcmp((*each)->name, text)) {
			options->protocol = *each;
			return true;
		}
	return wrong("--protocol %s: give echo", text);
}

static bool take_option(struct options *options, const char *name, const char *value)
{
	if (!strcmp(name, "protocol"))
		return take_protocol(options, value);
	if (!strcmp(name, "payload"))
		return take_number(name, value, 1, MESSAGE_BYTES_MAX, &options->payload_bytes);
	if (!strcmp(name, "connections"))
		return take_number(name, value, 1, CONNECTIONS_MAX, &options->connections);
	if (!strcmp(name, "depth"))
		return take_number(name, value, 1, DEPTH_MAX, &options->depth);
	if (!strcmp(name, "seconds"))
		return take_seconds(name, value, 0.001, &options->duration_ns);
	if (!strcmp(name, "warmup"))
		return take_seconds(name, value, 0, &options->warmup_ns);
	if (!strcmp(name, "timeout"))
		return take_seconds(name, value, 0.01, &options->timeout_ns);
	if (!strcmp(name, "reactors"))
		return take_number(name, value, 1, ROTA_REACTORS_MAX, &options->reactors);
	if (!strcmp(name, "seed"))
		return read_number(value, 0, UINT64_MAX, &options->seed) ||
		       wrong("--seed %s: give a number", value);
	if (!strcmp(name, "backend"))
		options->backend = value; /* the engines judge it */
	else if (!strcmp(name, "json"))
		options->json_path = value;
	else if (!strcmp(name, "check"))
		options->check = true;
	else if (!strcmp(name, "quiet"))
		options->quiet = true;
	else if (!strcmp(name, "steered"))
		options->steered = true;
	return true;
}

/* ---- the server's address ---- */

/* A name by the system's resolver, which may block: nothing runs yet. */
static bool resolve(struct rota_address *address, const char *host, uint16_t port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	struct addrinfo *found;
	int error = getaddrinfo(host, NULL, &hints, &found);

	if (error)
		return wrong("cannot find %s: %s", host, gai_strerror(error));
	memset(address, 0, sizeof(*address));
	address->bytes = found->ai_addrlen;
	memcpy(&address->any, found->ai_addr, found->ai_addrlen);
	if (found->ai_family == AF_INET6)
		address->v6.sin6_port = htons(port);
	else
		address->v4.sin_port = htons(port);
	freeaddrinfo(found);
	return true;
}

static bool take_target(struct options *options, const char *text)
{
	const char *colon = strrchr(text, ':');
	char host[HOST_BYTES];
	size_t host_bytes;
	uint64_t port;

	options->target = text;
	if (!strncmp(text, "unix:", 5)) {
		if (!text[5] || rota_address_local(&options->address, text + 5) < 0)
			return wrong("%s: give a path of at most 107 bytes", text);
		return true;
	}
	if (!colon || !read_number(colon + 1, 1, 65535, &port))
		return wrong("%s: give HOST:PORT or unix:PATH", text);
	host_bytes = (size_t)(colon - text);
	if (host_bytes > 2 && text[0] == '[' && colon[-1] == ']') { /* [::1]:7 */
		text++;
		host_bytes -= 2;
	}
	if (!host_bytes || host_bytes >= sizeof(host))
		return wrong("%s: give HOST:PORT or unix:PATH", options->target);
	memcpy(host, text, host_bytes);
	host[host_bytes] = '\0';
	return rota_address_parse(&options->address, host, (uint16_t)port) == 0 ||
	       resolve(&options->address, host, (uint16_t)port);
}

/* ---- what does not go together ---- */

static bool check_together(struct options *options)
{
	size_t most = options->protocol->request_bytes_max(options);

	if (most * options->depth > MESSAGE_BYTES_MAX)
		return wrong("%u requests of %zu bytes in flight are too much for a connection",
			     options->depth, most);
	return true;
}
