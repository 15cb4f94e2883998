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
#define RATIO_MAX 1000000
#define RATE_MAX 1e7
#define PATH_BYTES_MAX 2048
#define DEFAULT_PAYLOAD_BYTES 64
#define DEFAULT_UPLOAD_BYTES 65536
#define DEFAULT_EXPONENT 0.99
#define HOST_BYTES 256

const char *const shape_names[] = {
	[SHAPE_REQUESTS] = "requests",
	[SHAPE_UPLOAD] = "upload",
	[SHAPE_DOWNLOAD] = "download",
	[SHAPE_CHURN] = "churn",
};

const struct protocol *const protocols[] = {
	&protocol_echo,           &protocol_resp,  &protocol_memcached,
	&protocol_memcached_meta, &protocol_http1, NULL,
};

static const char *const distribution_names[] = {
	[KEYS_UNIFORM] = "uniform",
	[KEYS_ZIPF] = "zipf",
	[KEYS_GAUSS] = "gauss",
	[KEYS_SEQUENTIAL] = "sequential",
};

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
	      "  --protocol NAME        echo (default), resp (Redis), memcached,\n"
	      "                         memcached-meta (its meta commands), http1\n"
	      "  --payload BYTES        echo: of each message (default 64); upload: of what is\n"
	      "                         sent at once (default 65536)\n"
	      "  --path PATH            http1: what is asked for (default /)\n"
	      "  --ratio SETS:GETS      resp, memcached: of the requests (default 1:10)\n"
	      "  --keys N               of them in use (default 100000)\n"
	      "  --distribution NAME    which are asked for: uniform (default), sequential,\n"
	      "                         zipf[:EXPONENT] (default 0.99; most often key 0),\n"
	      "                         gauss[:SIGMA] round the middle (default keys/6)\n"
	      "  --value BYTES|MIN-MAX  of values (default 64); a key's value never changes\n"
	      "  --prefill              write all keys first\n"
	      "  --check                compare what comes back, byte for byte: with what was\n"
	      "                         sent; with the value of the key, if rota-load wrote it\n"
	      "                         with the same --value and --seed; http1: with the\n"
	      "                         first reply\n"
	      "\n"
	      "How much:\n"
	      "  -c, --connections N    (default 64)\n"
	      "  -d, --depth N          requests in flight on each connection (default 1)\n"
	      "  -t, --seconds S        how long it is measured (default 5)\n"
	      "  --warmup S             before that, not measured (default 0.5)\n"
	      "  --timeout S            a connection without a reply for so long is given up\n"
	      "                         (default 5)\n"
	      "  --shape NAME           requests (default)\n"
	      "                         upload: send all the time, to a server that reads\n"
	      "                         download: receive, from one that sends\n"
	      "                         churn: connect, one request, close\n"
	      "  --idle N               connections beside that never speak (default 0)\n"
	      "\n"
	      "At a fixed rate (an open loop; without, each reply makes room for a request):\n"
	      "  -r, --rate N           requests per second over all connections; a latency\n"
	      "                         counts from when the request was due\n"
	      "  --arrivals NAME        even (default), or poisson: at random\n"
	      "  --burst N              requests that are due together (default 1)\n"
	      "  --queue N              requests that may wait for a connection, on each\n"
	      "                         reactor (default 65536); more are errors\n"
	      "\n"
	      "How:\n"
	      "  --reactors N           event loops, one thread each (default 1)\n"
	      "  --backend NAME[:OPTS]  auto (default), uring or epoll, with options\n"
	      "  --seed N               of all that is drawn (default 1)\n"
	      "\n"
	      "What comes out:\n"
	      "  --json FILE            the result as one line of JSON; -: standard output\n"
	      "  --hdr FILE             latencies of each second as a log that the tools of\n"
	      "                         HdrHistogram read\n"
	      "  -q, --quiet            nothing for people\n"
	      "  --steered              for programs: prints \"ready\" once connected, then one\n"
	      "                         line of JSON for each line \"go SECONDS\" it reads\n"
	      "  --version, -h, --help\n"
	      "\n"
	      "SIGINT and SIGTERM end the run early; what was measured until then is reported.\n"
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
	VALUE("hdr", 0),       VALUE("path", 0),          VALUE("ratio", 0),
	VALUE("keys", 0),      VALUE("distribution", 0),  VALUE("value", 0),
	FLAG("prefill", 0),    VALUE("shape", 0),         VALUE("idle", 0),
	VALUE("rate", 'r'),    VALUE("arrivals", 0),      VALUE("burst", 0),
	VALUE("queue", 0),     VALUE("protocol", 0),      VALUE("payload", 0),
	FLAG("check", 0),      VALUE("connections", 'c'), VALUE("depth", 'd'),
	VALUE("seconds", 't'), VALUE("warmup", 0),        VALUE("timeout", 0),
	VALUE("reactors", 0),  VALUE("backend", 0),       VALUE("seed", 0),
	VALUE("json", 0),      FLAG("quiet", 'q'),        FLAG("steered", 0),
	FLAG("version", 'V'),  FLAG("help", 'h'),         { NULL, 0, NULL, 0 },
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
		.value_bytes_min = 64,
		.value_bytes_max = 64,
		.sets = 1,
		.gets = 10,
		.keys = 100000,
		.path = "/",
		.duration_ns = 5 * ROTA_NS_PER_S,
		.warmup_ns = ROTA_NS_PER_S / 2,
		.timeout_ns = 5 * ROTA_NS_PER_S,
		.burst = 1,
		.queue = 65536,
		.seed = 1,
	};
}

enum options_result options_parse(struct options *options, int argc, char **argv)
{
	int letter, index;

	set_defaults(options);
	optind = 0; /* from the beginning, also for a second time */
	while ((letter = getopt_long(argc, argv, ":c:d:r:t:qh", long_options, &index)) >= 0) {
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
	return wrong("--protocol %s: give echo, resp, memcached, memcached-meta or http1", text);
}

static bool take_shape(struct options *options, const char *text)
{
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(shape_names); i++)
		if (!strcmp(shape_names[i], text)) {
			options->shape = (enum shape)i;
			return true;
		}
	return wrong("--shape %s: give requests, upload, download or churn", text);
}

/* "NAME" or "NAME:PARAMETER". */
static bool take_distribution(struct options *options, const char *text)
{
	const char *colon = strchr(text, ':');
	size_t bytes = colon ? (size_t)(colon - text) : strlen(text);
	char *end = NULL;

	options->distribution_parameter = colon ? strtod(colon + 1, &end) : 0;
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(distribution_names); i++) {
		bool takes_one = i == KEYS_ZIPF || i == KEYS_GAUSS;

		if (strlen(distribution_names[i]) != bytes ||
		    memcmp(distribution_names[i], text, bytes) != 0)
			continue;
		if (colon && (!takes_one || end == colon + 1 || *end ||
			      !(options->distribution_parameter > 0 &&
				options->distribution_parameter < 1e9)))
			break;
		options->distribution = (enum distribution)i;
		return true;
	}
	return wrong(
		"--distribution %s: give uniform, sequential, zipf[:EXPONENT] or gauss[:SIGMA]",
		text);
}

/* Two numbers with `between` between them; false: they are not. */
static bool read_pair(const char *text, char between, uint32_t most, uint32_t *first,
		      uint32_t *second)
{
	const char *middle = strchr(text, between);
	char digits[16];
	uint64_t numbers[2];
	size_t bytes = middle ? (size_t)(middle - text) : 0;

	if (!middle || bytes >= sizeof(digits))
		return false;
	memcpy(digits, text, bytes);
	digits[bytes] = '\0';
	if (!read_number(digits, 0, most, &numbers[0]) ||
	    !read_number(middle + 1, 0, most, &numbers[1]))
		return false;
	*first = (uint32_t)numbers[0];
	*second = (uint32_t)numbers[1];
	return true;
}

static bool take_ratio(struct options *options, const char *text)
{
	if (read_pair(text, ':', RATIO_MAX, &options->sets, &options->gets) &&
	    options->sets + options->gets > 0)
		return true;
	return wrong("--ratio %s: give SETS:GETS, such as 1:10", text);
}

static bool take_value_bytes(struct options *options, const char *text)
{
	uint64_t number;

	if (read_number(text, 1, MESSAGE_BYTES_MAX, &number)) {
		options->value_bytes_min = options->value_bytes_max = (uint32_t)number;
		return true;
	}
	if (read_pair(text, '-', MESSAGE_BYTES_MAX, &options->value_bytes_min,
		      &options->value_bytes_max) &&
	    options->value_bytes_min > 0 && options->value_bytes_min <= options->value_bytes_max)
		return true;
	return wrong("--value %s: give bytes or MIN-MAX, up to %u", text, MESSAGE_BYTES_MAX);
}

static bool take_rate(struct options *options, const char *text)
{
	char *end;

	options->rate = strtod(text, &end);
	return (end != text && !*end && options->rate >= 0.001 && options->rate <= RATE_MAX) ||
	       wrong("--rate %s: give requests per second, up to %g", text, (double)RATE_MAX);
}

static bool take_arrivals(struct options *options, const char *text)
{
	options->poisson = !strcmp(text, "poisson");
	return options->poisson || !strcmp(text, "even") ||
	       wrong("--arrivals %s: give even or poisson", text);
}

static bool take_path(struct options *options, const char *text)
{
	options->path = text;
	for (const char *at = text; *at; at++)
		if (*at <= ' ' || *at == 127)
			return wrong("--path: no spaces or control characters");
	return (text[0] == '/' && strlen(text) <= PATH_BYTES_MAX) ||
	       wrong("--path %.40s: give a path that begins with /", text);
}

/* Options that are a number, and where it goes. */
static bool take_number_option(struct options *options, const char *name, const char *value,
			       bool *is_one)
{
	const struct {
		const char *name;
		uint64_t least, most;
		uint32_t *out;
	} numbers[] = {
		{ "burst", 1, DEPTH_MAX, &options->burst },
		{ "connections", 1, CONNECTIONS_MAX, &options->connections },
		{ "depth", 1, DEPTH_MAX, &options->depth },
		{ "idle", 0, CONNECTIONS_MAX, &options->idle },
		{ "payload", 1, MESSAGE_BYTES_MAX, &options->payload_bytes },
		{ "queue", 1, QUEUE_MAX, &options->queue },
		{ "reactors", 1, ROTA_REACTORS_MAX, &options->reactors },
		{ "keys", 1, UINT32_MAX, &options->keys },
	};

	for (size_t i = 0; i < ROTA_ARRAY_COUNT(numbers); i++)
		if (!strcmp(name, numbers[i].name)) {
			*is_one = true;
			return take_number(name, value, numbers[i].least, numbers[i].most,
					   numbers[i].out);
		}
	*is_one = false;
	return true;
}

/* Options whose text is kept, or that stand alone. */
static void take_text_option(struct options *options, const char *name, const char *value)
{
	if (!strcmp(name, "backend"))
		options->backend = value; /* the engines judge it */
	else if (!strcmp(name, "hdr"))
		options->hdr_path = value;
	else if (!strcmp(name, "json"))
		options->json_path = value;
	else if (!strcmp(name, "check"))
		options->check = true;
	else if (!strcmp(name, "prefill"))
		options->prefill = true;
	else if (!strcmp(name, "quiet"))
		options->quiet = true;
	else if (!strcmp(name, "steered"))
		options->steered = true;
}

static bool take_option(struct options *options, const char *name, const char *value)
{
	static const struct {
		const char *name;
		bool (*take)(struct options *options, const char *value);
	} own[] = {
		{ "arrivals", take_arrivals }, { "distribution", take_distribution },
		{ "path", take_path },         { "protocol", take_protocol },
		{ "rate", take_rate },         { "ratio", take_ratio },
		{ "shape", take_shape },       { "value", take_value_bytes },
	};
	bool is_number;

	if (!take_number_option(options, name, value, &is_number))
		return false;
	if (is_number)
		return true;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(own); i++)
		if (!strcmp(name, own[i].name))
			return own[i].take(options, value);
	if (!strcmp(name, "seconds"))
		return take_seconds(name, value, 0.001, &options->duration_ns);
	if (!strcmp(name, "warmup"))
		return take_seconds(name, value, 0, &options->warmup_ns);
	if (!strcmp(name, "timeout"))
		return take_seconds(name, value, 0.01, &options->timeout_ns);
	if (!strcmp(name, "seed"))
		return read_number(value, 0, UINT64_MAX, &options->seed) ||
		       wrong("--seed %s: give a number", value);
	take_text_option(options, name, value);
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
	const struct protocol *protocol = options->protocol;
	bool is_bulk = options->shape == SHAPE_UPLOAD || options->shape == SHAPE_DOWNLOAD;
	double keys = options->keys;
	size_t most;

	if (!options->payload_bytes)
		options->payload_bytes = options->shape == SHAPE_UPLOAD ? DEFAULT_UPLOAD_BYTES
									: DEFAULT_PAYLOAD_BYTES;
	if (options->distribution == KEYS_ZIPF && options->distribution_parameter <= 0)
		options->distribution_parameter = DEFAULT_EXPONENT;
	if (options->distribution == KEYS_GAUSS && options->distribution_parameter <= 0)
		options->distribution_parameter = keys / 6;
	if (options->distribution == KEYS_GAUSS && options->distribution_parameter > keys)
		return wrong("--distribution gauss: a sigma of more than all keys");
	if (options->connections < options->reactors)
		return wrong("%u reactors and only %u connections", options->reactors,
			     options->connections);
	if (options->steered && (options->json_path || options->hdr_path))
		return wrong("--steered prints JSON by itself: not with --json or --hdr");
	if (options->prefill && !protocol->dialect)
		return wrong("--prefill: %s knows no keys", protocol->name);
	if (is_bulk && protocol != &protocol_echo)
		return wrong("--shape %s goes with --protocol echo: plain bytes",
			     shape_names[options->shape]);
	if (options->shape != SHAPE_REQUESTS && (options->rate > 0 || options->depth > 1))
		return wrong("--rate and --depth go with --shape requests");
	if (options->prefill && options->shape != SHAPE_REQUESTS)
		return wrong("--prefill goes with --shape requests");
	most = protocol->request_bytes_max(options);
	if (most * options->depth > MESSAGE_BYTES_MAX)
		return wrong("%u requests of %zu bytes in flight are too much for a connection",
			     options->depth, most);
	return true;
}
