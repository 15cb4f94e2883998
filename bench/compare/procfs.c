/* SPDX-License-Identifier: MIT */
/* Figures from /proc; see procfs.h and proc(5). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/compare/procfs.h"

#define PATH_BYTES 512
/* A thread's status is some 1500 bytes; /proc/stat's lines of CPUs some 60 each. */
#define STATUS_BYTES 8192
#define STAT_BYTES (1u << 20)

/* The whole file as a string. Returns 0 or negative errno. */
static int read_text(const char *path, char *text, size_t bytes_max)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t bytes = 0;
	ssize_t n = -1;

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	while (bytes < bytes_max - 1 && (n = read(fd, text + bytes, bytes_max - 1 - bytes)) > 0)
		bytes += (size_t)n;
	/* Reading a process that ends meanwhile is ESRCH. */
	n = n < 0 ? -errno : 0;
	close(fd);
	text[bytes] = '\0';
	return (int)n;
}

/* The number behind `label` in `text`. */
static int labelled_number(const char *text, const char *label, uint64_t *out)
{
	const char *at = strstr(text, label);

	if (!at || sscanf(at + strlen(label), "%" SCNu64, out) != 1)
		return -EPROTO;
	return 0;
}

/* ---- a process ---- */

static int add_thread(const char *root, int pid, int thread, struct procfs_usage *out)
{
	char path[PATH_BYTES], text[STATUS_BYTES];
	uint64_t run_ns, waited_ns, voluntary = 0, involuntary = 0;
	int status;

	snprintf(path, sizeof(path), "%s/%d/task/%d/schedstat", root, pid, thread);
	status = read_text(path, text, sizeof(text));
	if (status < 0)
		return status;
	if (sscanf(text, "%" SCNu64 " %" SCNu64, &run_ns, &waited_ns) != 2)
		return -EPROTO;
	snprintf(path, sizeof(path), "%s/%d/task/%d/status", root, pid, thread);
	status = read_text(path, text, sizeof(text));
	/* The newline keeps the first label from being found inside the second. */
	if (status == 0)
		status = labelled_number(text, "\nvoluntary_ctxt_switches:", &voluntary);
	if (status == 0)
		status = labelled_number(text, "\nnonvoluntary_ctxt_switches:", &involuntary);
	if (status < 0)
		return status;
	out->cpu_ns += run_ns;
	out->waited_ns += waited_ns;
	out->switches += voluntary + involuntary;
	return 0;
}

static int add_threads(const char *root, int pid, struct procfs_usage *out)
{
	char path[PATH_BYTES];
	struct dirent *entry;
	DIR *threads;
	int status = 0;

	snprintf(path, sizeof(path), "%s/%d/task", root, pid);
	threads = opendir(path);
	if (!threads)
		return errno == ENOENT ? -ESRCH : -errno;
	while (status == 0 && (entry = readdir(threads))) {
		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		status = add_thread(root, pid, atoi(entry->d_name), out);
		if (status == -ESRCH)
			status = 0; /* it has just ended */
	}
	closedir(threads);
	return status;
}

/* The name, in parentheses, may have spaces and parentheses of its own. */
static int read_ticks(const char *text, struct procfs_usage *out)
{
	const char *at = strrchr(text, ')');

	if (!at ||
	    sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
		   &out->user_ticks, &out->system_ticks) != 2)
		return -EPROTO;
	return 0;
}

int procfs_usage(const char *root, int pid, struct procfs_usage *out)
{
	struct procfs_usage usage = { 0 };
	char path[PATH_BYTES], text[STATUS_BYTES];
	uint64_t pages = 0;
	int status;

	snprintf(path, sizeof(path), "%s/%d/stat", root, pid);
	status = read_text(path, text, sizeof(text));
	if (status == 0)
		status = read_ticks(text, &usage);
	snprintf(path, sizeof(path), "%s/%d/statm", root, pid);
	if (status == 0)
		status = read_text(path, text, sizeof(text));
	if (status == 0 && sscanf(text, "%*u %" SCNu64, &pages) != 1)
		status = -EPROTO;
	if (status < 0)
		return status;
	usage.resident_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	status = add_threads(root, pid, &usage);
	if (status == 0)
		*out = usage;
	return status;
}

/* ---- the machine ---- */

/* user, nice, system, idle, iowait, irq, softirq, steal; the guests' are in user's and nice's. */
static int add_cpu(const char *text, int cpu, struct procfs_cpus *out)
{
	uint64_t ticks[8];
	char label[32];
	const char *at;

	snprintf(label, sizeof(label), "\ncpu%d ", cpu);
	at = strstr(text, label);
	if (!at || sscanf(at + strlen(label),
			  "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
			  " %" SCNu64 " %" SCNu64,
			  &ticks[0], &ticks[1], &ticks[2], &ticks[3], &ticks[4], &ticks[5],
			  &ticks[6], &ticks[7]) != 8)
		return -EPROTO;
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(ticks); i++)
		out->all += ticks[i];
	out->idle += ticks[3] + ticks[4];
	out->stolen += ticks[7];
	return 0;
}

int procfs_cpus(const char *root, const int cpus[], unsigned count, struct procfs_cpus *out)
{
	struct procfs_cpus sum = { 0 };
	char path[PATH_BYTES];
	char *text = malloc(STAT_BYTES);
	int status;

	if (!text)
		return -ENOMEM;
	snprintf(path, sizeof(path), "%s/stat", root);
	status = read_text(path, text, STAT_BYTES);
	for (unsigned i = 0; status == 0 && i < count; i++)
		status = add_cpu(text, cpus[i], &sum);
	free(text);
	if (status == 0)
		*out = sum;
	return status;
}
