/* SPDX-License-Identifier: MIT */
/*
 * What the load client needs around its loop: options, time, a latency histogram, readings of CPU
 * time from /proc, and the report. Belongs to bench/limit only; one thread.
 *
 * The one idea: figures are differences of two readings taken around the measured span, so that
 * start-up, prefill and warm-up cost nothing. The kernel brings a running task's schedstat up to
 * date at its scheduler tick, so each reading may lag by one tick (1-4 ms).
 */
#ifndef BENCH_LIMIT_LOAD_H
#define BENCH_LIMIT_LOAD_H

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/limit/dialect.h"

/* prime: no payload length divides it, so swapped messages differ */
#define TABLE_BYTES 65521u
#define HISTOGRAM_SUB_BITS 6 /* 64 steps per octave: values are within 1.6 % */
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct options {
	enum protocol protocol;
	bool check_value, prefill, json;
	uint16_t port;
	uint32_t connections, depth, payload_bytes;
	uint32_t burst; /* at a fixed rate: requests due together on a connection */
	uint32_t sets, gets, keys, value_bytes;
	uint64_t duration_ns, warmup_ns;
	/* requests per second over all connections; 0: closed loop */
	double rate;
	/* of the server, 0: unknown; to pin this client to, -1: don't */
	int pid, cpu;
};

struct histogram {
	uint64_t count, max_ns;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

struct reading {
	uint64_t at_ns, server_cpu_ns, client_cpu_ns, steal_ticks;
};

struct report {
	const struct options *options;
	const struct histogram *histogram;
	uint64_t requests, missed, unanswered, span_ns, server_cpu_ns, client_cpu_ns, steal_ns;
};

static inline void die(const char *what, const char *why)
{
	fprintf(stderr, "load: %s: %s\n", what, why);
	exit(1);
}

static inline void *checked(void *memory)
{
	if (!memory)
		die("memory", "none left");
	return memory;
}

static inline uint64_t monotonic_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* When the burst that begins with request number `arrival` is due. */
static inline uint64_t due_ns(uint64_t start_ns, uint64_t arrival, double rate)
{
	return start_ns + (uint64_t)((double)arrival * 1e9 / rate);
}

static inline void histogram_record(struct histogram *histogram, uint64_t value_ns)
{
	unsigned shift = 63 - (unsigned)__builtin_clzll(value_ns | 1u << HISTOGRAM_SUB_BITS) -
			 HISTOGRAM_SUB_BITS;

	histogram->buckets[((uint64_t)shift << HISTOGRAM_SUB_BITS) + (value_ns >> shift)]++;
	histogram->count++;
	if (value_ns > histogram->max_ns)
		histogram->max_ns = value_ns;
}

static inline void histogram_reset(struct histogram *histogram)
{
	memset(histogram, 0, sizeof(*histogram));
}

/*
 * The value at or below which `share` (0..1) of all lie, in microseconds: the upper end of its
 * bucket.
 */
static inline double histogram_us(const struct histogram *histogram, double share)
{
	uint64_t rank = (uint64_t)((double)histogram->count * share), seen = 0;

	for (uint64_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += histogram->buckets[i];
		if (seen > rank) {
			uint64_t shift = i >> HISTOGRAM_SUB_BITS ? (i >> HISTOGRAM_SUB_BITS) - 1
								 : 0;
			uint64_t upper = ((i - (shift << HISTOGRAM_SUB_BITS) + 1) << shift) - 1;

			return (double)(upper < histogram->max_ns ? upper : histogram->max_ns) /
			       1e3;
		}
	}
	return (double)histogram->max_ns / 1e3;
}

/* Nanoseconds on a CPU of all threads of `pid`, its io_uring helpers included. */
static inline uint64_t process_cpu_ns(int pid)
{
	char path[320];
	struct dirent *entry;
	uint64_t total = 0;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	if (!tasks)
		die(path, "no such process: is --pid right?");
	while ((entry = readdir(tasks))) {
		unsigned long long on_cpu = 0;
		FILE *file;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, entry->d_name);
		file = fopen(path, "r");
		if (!file)
			continue; /* the thread has just ended */
		if (fscanf(file, "%llu", &on_cpu) == 1)
			total += on_cpu;
		fclose(file);
	}
	closedir(tasks);
	return total;
}

static inline uint64_t steal_ticks(void)
{
	unsigned long long ticks = 0;
	FILE *file = fopen("/proc/stat", "r");

	if (file && fscanf(file, "cpu %*u %*u %*u %*u %*u %*u %*u %llu", &ticks) != 1)
		ticks = 0;
	if (file)
		fclose(file);
	return ticks;
}

static inline void take_reading(struct reading *reading, int pid)
{
	reading->server_cpu_ns = pid ? process_cpu_ns(pid) : 0;
	reading->client_cpu_ns = process_cpu_ns(getpid());
	reading->steal_ticks = steal_ticks();
	reading->at_ns = monotonic_ns();
}

static inline void report_readings(struct report *report, const struct reading *before,
				   const struct reading *after, uint64_t requests)
{
	report->requests = requests;
	report->span_ns = after->at_ns - before->at_ns;
	report->server_cpu_ns = after->server_cpu_ns - before->server_cpu_ns;
	report->client_cpu_ns = after->client_cpu_ns - before->client_cpu_ns;
	report->steal_ns = (after->steal_ticks - before->steal_ticks) *
			   (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* Both formats take the same arguments in the same order. */
static inline void print_report(const struct report *report)
{
	static const char json[] =
		"{\"requests\": %llu, \"seconds\": %.6f, \"requests_per_second\": %.1f, "
		"\"server_us\": %.5f, \"server_busy_percent\": %.2f, \"client_us\": %.5f, "
		"\"client_busy_percent\": %.2f, \"steal_percent\": %.2f, \"p50_us\": %.1f, "
		"\"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f, "
		"\"missed\": %llu, \"unanswered\": %llu}\n";
	static const char text[] =
		"%llu requests in %.2f s = %.0f/s; server %.4f us/request, %.0f %% busy; "
		"client %.4f us, %.0f %%; steal %.1f %%; latency us p50 %.1f p90 %.1f p99 %.1f "
		"p99.9 %.1f max %.1f; missed %llu, unanswered %llu\n";
	const struct histogram *histogram = report->histogram;
	double span = (double)report->span_ns,
	       requests = report->requests ? (double)report->requests : 1;
	double server_us = (double)report->server_cpu_ns / requests / 1e3;
	double client_us = (double)report->client_cpu_ns / requests / 1e3;
	double busy = (double)report->server_cpu_ns / span * 100,
	       client_busy = (double)report->client_cpu_ns / span * 100;

	printf(report->options->json ? json : text, (unsigned long long)report->requests,
	       span / 1e9, requests / span * 1e9, server_us, busy, client_us, client_busy,
	       (double)report->steal_ns / span * 100, histogram_us(histogram, 0.5),
	       histogram_us(histogram, 0.9), histogram_us(histogram, 0.99),
	       histogram_us(histogram, 0.999), (double)histogram->max_ns / 1e3,
	       (unsigned long long)report->missed, (unsigned long long)report->unanswered);
}

static inline void usage(const char *program)
{
	fprintf(stderr,
		"usage: %s --port N [--protocol echo|resp|memcached|memcached-meta]\n"
		"       [--connections N] [--depth N] [--burst N] [--payload BYTES]\n"
		"       [--ratio SETS:GETS] [--keys N] [--value BYTES]\n"
		"       [--prefill] [--check-value]\n"
		"       [--duration SECONDS] [--warmup SECONDS] [--rate REQUESTS_PER_SECOND]\n"
		"       [--pid SERVER] [--cpu N] [--json]\n"
		"--duration 0 with --prefill only writes the keys. At a fixed rate, --burst\n"
		"requests (at most --depth) of a connection are due together.\n",
		program);
	exit(2);
}

static inline enum protocol protocol_named(const char *name, const char *program)
{
	static const char *const names[] = {
		[PROTOCOL_ECHO] = "echo",
		[PROTOCOL_RESP] = "resp",
		[PROTOCOL_MEMCACHED] = "memcached",
		[PROTOCOL_MEMCACHED_META] = "memcached-meta",
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (name && !strcmp(name, names[i]))
			return (enum protocol)i;
	usage(program);
	return PROTOCOL_ECHO;
}

static inline void check_options(const struct options *options, const char *program)
{
	if (!options->port || !options->connections || options->connections > 32768 ||
	    !options->depth || options->depth > 65536 || !options->burst ||
	    options->burst > options->depth || !options->payload_bytes || !options->keys ||
	    !options->value_bytes || options->value_bytes >= TABLE_BYTES ||
	    !(options->sets + options->gets) || options->rate < 0)
		usage(program);
}

static inline void set_option(struct options *options, int name, const char *program)
{
	double number = optarg ? strtod(optarg, NULL) : 0;
	uint32_t whole = number > 0 && number < 4e9 ? (uint32_t)number : 0;

	switch (name) {
	case 'p':
		options->port = whole < 65536 ? (uint16_t)whole : 0;
		break;
	case 'P':
		options->protocol = protocol_named(optarg, program);
		break;
	case 'c':
		options->connections = whole;
		break;
	case 'd':
		options->depth = whole;
		break;
	case 'u':
		options->burst = whole;
		break;
	case 'b':
		options->payload_bytes = whole;
		break;
	case 'r':
		if (sscanf(optarg, "%u:%u", &options->sets, &options->gets) != 2)
			usage(program);
		break;
	case 'k':
		options->keys = whole;
		break;
	case 'v':
		options->value_bytes = whole;
		break;
	case 'f':
		options->prefill = true;
		break;
	case 'V':
		options->check_value = true;
		break;
	case 't':
		options->duration_ns = (uint64_t)(number * 1e9);
		break;
	case 'w':
		options->warmup_ns = (uint64_t)(number * 1e9);
		break;
	case 'R':
		options->rate = number;
		break;
	case 'i':
		options->pid = (int)whole;
		break;
	case 'C':
		options->cpu = (int)number;
		break;
	case 'j':
		options->json = true;
		break;
	default:
		usage(program);
	}
}

static inline void raise_file_limit(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static inline void pin_to(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET((size_t)cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		die("--cpu", strerror(errno));
}

static inline void parse_options(int argc, char **argv, struct options *options)
{
	static const struct option names[] = {
		{ "port", 1, NULL, 'p' },        { "protocol", 1, NULL, 'P' },
		{ "connections", 1, NULL, 'c' }, { "depth", 1, NULL, 'd' },
		{ "burst", 1, NULL, 'u' },       { "payload", 1, NULL, 'b' },
		{ "ratio", 1, NULL, 'r' },       { "keys", 1, NULL, 'k' },
		{ "value", 1, NULL, 'v' },       { "prefill", 0, NULL, 'f' },
		{ "check-value", 0, NULL, 'V' }, { "duration", 1, NULL, 't' },
		{ "warmup", 1, NULL, 'w' },      { "rate", 1, NULL, 'R' },
		{ "pid", 1, NULL, 'i' },         { "cpu", 1, NULL, 'C' },
		{ "json", 0, NULL, 'j' },        { NULL, 0, NULL, 0 },
	};
	int name;

	*options = (struct options){ .connections = 64,
				     .depth = 1,
				     .burst = 1,
				     .payload_bytes = 64,
				     .sets = 1,
				     .gets = 10,
				     .keys = 100000,
				     .value_bytes = 64,
				     .duration_ns = 1000000000,
				     .warmup_ns = 200000000,
				     .cpu = -1 };
	while ((name = getopt_long(argc, argv, "", names, NULL)) != -1)
		set_option(options, name, argv[0]);
	options->prefill = options->prefill && options->protocol != PROTOCOL_ECHO;
	check_options(options, argv[0]);
	raise_file_limit();
	if (options->cpu >= 0)
		pin_to(options->cpu);
}

#endif
