/* SPDX-License-Identifier: MIT */
/* One variant at one point; see contestant.h. */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wordexp.h>

#include <rota/error.h>
#include <rota/net.h>
#include <rota/scope.h>

#include "bench/compare/contestant.h"
#include "bench/compare/round.h"

#define WORDS_MAX 48
#define TEXT_BYTES 192
/* A server that listens, a client that is connected: 10 000 connections take a second. */
#define READY_NS (20 * ROTA_NS_PER_S)
/* With all keys written before. */
#define PREFILLED_NS (120 * ROTA_NS_PER_S)
/* Another server cannot say that it is ready, so we look whether it is. */
#define LISTENS_NS (10 * ROTA_NS_PER_S)
#define LOOK_NS (10 * ROTA_NS_PER_MS)
/* A thread that runs is charged at the scheduler's tick, every 4 ms or more often. */
#define LOOK_STILL_MS 5
#define STILL_NS (3 * ROTA_NS_PER_S)
/*
 * Rounds that may fail beyond as many as were kept: whoever is interrupted once, be it at first,
 * goes on, and whoever never works is not waited for at every round.
 */
#define FAILED_SPARE 1

/* ---- words of a command ---- */

struct words {
	const char *list[WORDS_MAX + 1];
	unsigned count;
	char texts[WORDS_MAX][TEXT_BYTES];
	unsigned texts_count;
};

static void add_word(struct words *words, const char *word)
{
	if (words->count < WORDS_MAX)
		words->list[words->count++] = word;
}

static void add_option(struct words *words, const char *name, const char *value)
{
	add_word(words, name);
	add_word(words, value);
}

static ROTA_PRINTF(3, 4) void add_formatted(struct words *words, const char *name,
					    const char *format, ...)
{
	char *text = words->texts[words->texts_count];
	va_list arguments;

	ROTA_ASSERT(words->texts_count < WORDS_MAX);
	words->texts_count++;
	va_start(arguments, format);
	vsnprintf(text, TEXT_BYTES, format, arguments);
	va_end(arguments);
	if (name)
		add_word(words, name);
	add_word(words, text);
}

static void add_setting(struct words *words, const char *name, int64_t number)
{
	if (number > 0)
		add_formatted(words, name, "%" PRId64, number);
}

/* ---- failing ---- */

/* Mark it, with how `child` ended or what is wrong. Returns what the caller is to return. */
static int fail(struct contestant *contestant, struct child *child, const char *name, int status)
{
	int cancelled = rota_check_cancelled();

	if (cancelled < 0)
		return cancelled;
	if (!contestant->has_failed)
		child_explain(child, name, status, contestant->why);
	contestant->has_failed = true;
	return 0;
}

static int fail_with(struct contestant *contestant, const char *why)
{
	if (!contestant->has_failed)
		snprintf(contestant->why, sizeof(contestant->why), "%s", why);
	contestant->has_failed = true;
	return 0;
}

/* ---- our servers ---- */

/* Wait for "ready" or "ready PORT". Returns 1, 0 (something else, or the end), negative errno. */
static int hear_ready(struct child *child, rota_ns timeout_ns, unsigned *port)
{
	char *line;
	int status = child_ask(child, NULL, timeout_ns, &line);

	if (status <= 0)
		return status;
	if (port)
		return sscanf(line, "ready %u", port) == 1;
	return !strcmp(line, "ready");
}

static void add_engine(struct words *words, const struct variant *variant,
		       const struct point *point)
{
	add_formatted(words, "--backend", "%s:%s", variant->engine, variant->options);
	add_setting(words, "--reactors", point->settings[SETTING_REACTORS]);
}

static int start_ours(struct contestant *contestant, const struct comparison *comparison,
		      const struct point *point)
{
	struct child *server = &contestant->server_;
	struct words words = { .count = 0 };
	int status;

	add_word(&words, "/proc/self/exe");
	add_option(&words, "serve", point->workload->served);
	add_engine(&words, contestant->variant, point);
	if (contestant->variant->slow_ns)
		add_formatted(&words, "--slow-ns", "%" PRId64, contestant->variant->slow_ns);
	status = child_start(server, comparison->server_cpus.text, words.list, true);
	if (status == 0)
		status = hear_ready(server, READY_NS, &contestant->port_);
	return status > 0 ? 0 : fail(contestant, server, "the server", status);
}

/* ---- other servers ---- */

/*
 * A socket bound to a port of its own, which the kernel then gives to nobody who does not ask for
 * it; a server that sets SO_REUSEADDR, as all do, may bind it too, because this one does not
 * listen. Returns the descriptor or negative errno.
 */
static int reserve_port(unsigned *port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t bytes = sizeof(address);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) ||
	    bind(fd, (struct sockaddr *)&address, bytes) ||
	    getsockname(fd, (struct sockaddr *)&address, &bytes)) {
		int status = -errno;

		close(fd);
		return status;
	}
	*port = ntohs(address.sin_port);
	return fd;
}

/* The command with numbers in the place of {port} and {threads}, wherever they stand. */
static int fill_in(const char *command, unsigned port, int64_t threads, char *out, size_t bytes_max)
{
	const struct {
		const char *mark;
		int64_t number;
	} marks[] = { { "{port}", port }, { "{threads}", threads } };
	size_t bytes = 0;

	while (*command) {
		size_t i = 0;

		if (bytes + 24 >= bytes_max)
			return -EMSGSIZE;
		while (i < ROTA_ARRAY_COUNT(marks) &&
		       strncmp(command, marks[i].mark, strlen(marks[i].mark)))
			i++;
		if (i == ROTA_ARRAY_COUNT(marks)) {
			out[bytes++] = *command++;
			continue;
		}
		bytes += (size_t)snprintf(out + bytes, bytes_max - bytes, "%" PRId64,
					  marks[i].number);
		command += strlen(marks[i].mark);
	}
	out[bytes] = '\0';
	return 0;
}

/* Until somebody accepts on the port: 1; 0 when the server has ended, or negative errno. */
static int wait_until_it_listens(struct child *server, unsigned port)
{
	rota_ns give_up = rota_after_ns(LISTENS_NS);
	struct rota_address address;

	rota_ignore(rota_address_parse(&address, "127.0.0.1", (uint16_t)port), "it is one");
	for (;;) {
		struct rota_scope scope;
		struct rota_conn *conn;
		int status = rota_connect(&address, NULL, &conn);

		if (status == 0) {
			rota_conn_close(conn);
			return 1;
		}
		if (rota_now() >= give_up)
			return -ETIMEDOUT;
		rota_scope_open(&scope, rota_after_ns(LOOK_NS));
		status = rota_process_wait(&server->process);
		rota_ignore(rota_scope_close_and_move_on(&scope), "the wait says it");
		if (status != -ETIMEDOUT)
			return status;
	}
}

static int start_words(struct contestant *contestant, const struct comparison *comparison,
		       const wordexp_t *expanded)
{
	struct words words = { .count = 0 };
	struct child *server = &contestant->server_;
	int status;

	for (size_t i = 0; i < expanded->we_wordc; i++)
		add_word(&words, expanded->we_wordv[i]);
	if (expanded->we_wordc == 0 || expanded->we_wordc > WORDS_MAX)
		return fail_with(contestant, "its command has no words, or too many");
	status = child_start(server, comparison->server_cpus.text, words.list, false);
	if (status == 0)
		status = wait_until_it_listens(server, contestant->port_);
	if (status == -ETIMEDOUT)
		return fail_with(contestant, "after 10 s nothing listens on its port");
	return status > 0 ? 0 : fail(contestant, server, words.list[0], status);
}

static int start_other(struct contestant *contestant, const struct comparison *comparison,
		       const struct point *point)
{
	int reserved = reserve_port(&contestant->port_), status;
	char command[VARIANT_COMMAND_BYTES];
	wordexp_t words;

	if (reserved < 0)
		return fail_with(contestant, "there is no free port");
	status = fill_in(contestant->variant->command, contestant->port_,
			 point->settings[SETTING_REACTORS], command, sizeof(command));
	if (status < 0 || wordexp(command, &words, WRDE_NOCMD)) {
		close(reserved);
		return fail_with(contestant, "its command cannot be taken apart into words");
	}
	status = start_words(contestant, comparison, &words);
	wordfree(&words);
	close(reserved);
	return status;
}

/* ---- load ---- */

static void add_keys(struct words *words, const struct workload *workload, int64_t keys)
{
	if (!workload->ratio)
		return;
	add_setting(words, "--keys", keys);
	add_option(words, "--ratio", workload->ratio);
	add_word(words, "--prefill");
}

/*
 * The client does as much work as the server, so it may need as many processors, and some more to
 * stay ahead. Each of its reactors needs a connection.
 */
static unsigned load_reactors(const struct comparison *comparison, const struct point *point)
{
	int64_t wanted = point->settings[SETTING_REACTORS] * 2;

	if (wanted > point->settings[SETTING_CONNECTIONS])
		wanted = point->settings[SETTING_CONNECTIONS];
	if (wanted > comparison->load_cpus.count)
		wanted = comparison->load_cpus.count;
	return wanted > 1 ? (unsigned)wanted : 1;
}

/*
 * Requests that may wait for a connection: those of half a second. A host that takes the processor
 * away for some hundredths is not to end a round of millions a second; what waited shows in the
 * latencies, and a rate that is not kept is told.
 */
static int64_t load_queue(int64_t rate)
{
	const int64_t least = 65536, most = 1 << 24;

	return rate / 2 < least ? least : rate / 2 > most ? most : rate / 2;
}

static void add_load_words(struct words *words, const struct contestant *contestant,
			   const struct comparison *comparison, const struct point *point)
{
	const struct workload *workload = point->workload;
	const int64_t *settings = point->settings;
	const char *spoken = contestant->variant->protocol;

	add_word(words, comparison->load_program);
	add_word(words, "--steered");
	/* A key-value store may be spoken to in another way than ours. */
	add_option(words, "--protocol", workload->ratio && *spoken ? spoken : workload->protocol);
	if (strcmp(workload->shape, "requests"))
		add_option(words, "--shape", workload->shape);
	add_setting(words, "--connections", settings[SETTING_CONNECTIONS]);
	add_setting(words, "--depth", settings[SETTING_DEPTH]);
	add_setting(words, workload->ratio ? "--value" : "--payload", settings[SETTING_PAYLOAD]);
	add_setting(words, "--idle", settings[SETTING_IDLE]);
	add_setting(words, "--rate", settings[SETTING_RATE]);
	if (settings[SETTING_RATE] > 0) {
		add_setting(words, "--burst", settings[SETTING_BURST]);
		add_setting(words, "--queue", load_queue(settings[SETTING_RATE]));
	}
	add_keys(words, workload, settings[SETTING_KEYS]);
	add_setting(words, "--reactors", load_reactors(comparison, point));
	if (point->load_backend)
		add_option(words, "--backend", point->load_backend);
	add_setting(words, "--seed", (int64_t)(comparison->seed & INT32_MAX));
	add_formatted(words, NULL, "127.0.0.1:%u", contestant->port_);
}

static int start_load(struct contestant *contestant, const struct comparison *comparison,
		      const struct point *point)
{
	struct child *load = &contestant->load_;
	struct words words = { .count = 0 };
	int status;

	add_load_words(&words, contestant, comparison, point);
	status = child_start(load, comparison->load_cpus.text, words.list, true);
	if (status == 0)
		status = hear_ready(load, point->workload->ratio ? PREFILLED_NS : READY_NS, NULL);
	return status > 0 ? 0 : fail(contestant, load, "the load client", status);
}

/* What works without a server, on all processors there are. */
static int start_work(struct contestant *contestant, const struct comparison *comparison,
		      const struct point *point)
{
	struct child *work = &contestant->load_;
	struct words words = { .count = 0 };
	int status;

	add_word(&words, "/proc/self/exe");
	add_option(&words, "work", point->workload->name);
	add_engine(&words, contestant->variant, point);
	add_setting(&words, "--depth", point->settings[SETTING_DEPTH]);
	add_setting(&words, "--payload", point->settings[SETTING_PAYLOAD]);
	status = child_start(work, comparison->all_cpus.text, words.list, true);
	if (status == 0)
		status = hear_ready(work, READY_NS, NULL);
	return status > 0 ? 0 : fail(contestant, work, "the work", status);
}

/* ---- from start to end ---- */

int contestant_init(struct contestant *contestant, const struct variant *variant)
{
	/* In place: a histogram is larger than a task's stack. */
	memset(contestant, 0, sizeof(*contestant));
	contestant->variant = variant;
	contestant->rounds = json_array();
	histogram_reset(&contestant->latencies);
	return contestant->rounds ? 0 : -ENOMEM;
}

void contestant_fini(struct contestant *contestant)
{
	json_decref(contestant->rounds);
	contestant->rounds = NULL;
}

void contestant_give_up(struct contestant *contestant, const char *why)
{
	rota_ignore(fail_with(contestant, why), "it says so in `why`");
}

int contestant_start(struct contestant *contestant, const struct comparison *comparison,
		     const struct point *point)
{
	const struct workload *workload = point->workload;
	int status;

	if (contestant->has_failed)
		return 0;
	if (!workload->served)
		status = start_work(contestant, comparison, point);
	else if (contestant->variant->engine)
		status = start_ours(contestant, comparison, point);
	else
		status = start_other(contestant, comparison, point);
	contestant->did_not_start = contestant->has_failed;
	if (status == 0 && workload->served && !contestant->has_failed)
		status = start_load(contestant, comparison, point);
	child_pause(&contestant->server_);
	return status;
}

void contestant_end(struct contestant *contestant)
{
	child_end(&contestant->load_);
	child_end(&contestant->server_);
}

/* ---- rounds ---- */

/*
 * Until it uses the processor no more: a kernel thread that polls for it (SQPOLL) goes on for a
 * second after the process was stopped, and would take the next one's processor.
 */
static int wait_until_still(int pid)
{
	struct procfs_usage before = { 0 }, now;
	rota_ns give_up = rota_after_ns(STILL_NS);

	while (procfs_usage("/proc", pid, &now) == 0 && now.cpu_ns != before.cpu_ns &&
	       rota_now() < give_up) {
		int status = rota_sleep_ms(LOOK_STILL_MS);

		if (status < 0)
			return status;
		before = now;
	}
	return 0;
}

/* After a round that failed: server and client may be gone, or out of step. */
static int start_anew(struct contestant *contestant, const struct comparison *comparison,
		      const struct point *point)
{
	contestant->failed_rounds++;
	if (contestant->failed_rounds > json_array_size(contestant->rounds) + FAILED_SPARE)
		return 0;
	contestant_end(contestant);
	contestant->has_failed = false;
	return contestant_start(contestant, comparison, point);
}

int contestant_round(struct contestant *contestant, const struct comparison *comparison,
		     const struct point *point, json_t **figures)
{
	bool is_alone = !contestant->server_.is_open;
	struct round round = {
		.load = &contestant->load_,
		.server = is_alone ? &contestant->load_ : &contestant->server_,
		.cpus = is_alone ? &comparison->all_cpus : &comparison->server_cpus,
		.load_reactors = load_reactors(comparison, point),
		.answers = contestant->variant->engine != NULL,
		.comparison = comparison,
		.point = point,
	};
	int status;

	*figures = NULL;
	child_resume(&contestant->server_);
	status = round_run(&round, figures);
	child_pause(&contestant->server_);
	if (status == 0)
		status = wait_until_still(round.server->process.pid);
	if (status == -EPROTO)
		status = fail_with(contestant, round.why);
	else if (status == -EIO)
		status = fail(contestant, round.failed, round.failed_name, round.failed_status);
	if (status == 0 && contestant->has_failed)
		status = start_anew(contestant, comparison, point);
	return status;
}

/* The client's buckets are ours: rota-load's histogram. */
static int add_latencies(struct histogram *histogram, const json_t *list)
{
	const json_t *pair;
	size_t i;

	json_array_foreach (list, i, pair) {
		json_int_t value = json_integer_value(json_array_get(pair, 0));
		json_int_t count = json_integer_value(json_array_get(pair, 1));

		if (value < 0 || value > HISTOGRAM_HIGHEST_NS || count < 0)
			return -EPROTO;
		histogram->buckets[histogram_bucket((uint64_t)value)] += (uint64_t)count;
		histogram->count += (uint64_t)count;
	}
	return 0;
}

int contestant_keep(struct contestant *contestant, json_t *figures, unsigned start)
{
	int status = add_latencies(&contestant->latencies, json_object_get(figures, "histogram"));

	if (status < 0)
		return fail_with(contestant, "the load client's histogram makes no sense");
	json_object_del(figures, "histogram");
	if (json_object_set_new(figures, "start", json_integer(start)))
		return -ENOMEM;
	return json_array_append(contestant->rounds, figures) ? -ENOMEM : 0;
}
