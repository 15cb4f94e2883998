/* SPDX-License-Identifier: MIT */
/*
 * Threads: the processor time of one, and the registers of the one that runs on a certain stack. A
 * core file has those of all. A live thread that runs is stopped for the moment that it takes
 * (ptrace(2), PTRACE_SEIZE), and one that cannot be stopped, because it is deep in the kernel, is
 * left alone after a tenth of a second.
 */
#include <dirent.h>
#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

#include "apps/rota/target.h"

/* Looks for the stop, and nanoseconds between them. */
#define LOOKS_MAX 200
#define LOOK_NS 500000

/* Threads that are looked at. */
#define THREADS_MAX 4096

static bool has_stopped(pid_t tid)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };

	for (unsigned i = 0; i < LOOKS_MAX; i++) {
		int status;
		pid_t seen = waitpid(tid, &status, __WALL | WNOHANG);

		if (seen < 0)
			return false;
		if (seen == tid)
			return WIFSTOPPED(status);
		nanosleep(&pause, NULL);
	}
	return false;
}

static bool read_registers(pid_t tid, struct target_thread *thread)
{
	struct user_regs_struct registers;
	struct iovec where = { &registers, sizeof(registers) };

	if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &where) < 0)
		return false;
	thread->tid = tid;
#if defined(__x86_64__) /* tidy: allow conditional, registers are the machine's */
	thread->sp = registers.rsp;
	thread->fp = registers.rbp;
	thread->pc = registers.rip;
	return true;
#elif defined(__aarch64__) /* tidy: allow conditional, registers are the machine's */
	thread->sp = registers.sp;
	thread->fp = registers.regs[29];
	thread->pc = registers.pc;
	return true;
#else
	return false;
#endif
}

/* What the kernel did to a thread that could not be stopped in time is undone when this process
 * ends.
 */
static bool stop_and_read(pid_t tid, struct target_thread *thread)
{
	bool is_read;

	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0)
		return false;
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	is_read = has_stopped(tid) && read_registers(tid, thread);
	ptrace(PTRACE_DETACH, tid, NULL, NULL);
	return is_read;
}

/* Only who runs, or waits in the kernel on that stack: the kernel says so without a stop. */
static bool may_run_on(const struct target *target, const char *tid, uint64_t low, uint64_t high)
{
	char path[300], line[256] = "";
	unsigned long long sp = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/syscall", (int)target->pid, tid);
	file = fopen(path, "re");
	if (!file)
		return true;
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	fclose(file);
	if (line[0] == 'r') /* "running" */
		return true;
	return (sscanf(line, "%*s %*s %*s %*s %*s %*s %*s %llx", &sp) == 1 ||
		sscanf(line, "-1 %llx", &sp) == 1) &&
	       sp >= low && sp < high;
}

static bool find_live(const struct target *target, uint64_t low, uint64_t high,
		      struct target_thread *thread)
{
	char path[64];
	bool is_found = false;
	struct dirent *entry;
	DIR *threads;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)target->pid);
	threads = opendir(path);
	for (unsigned i = 0; threads && !is_found && i < THREADS_MAX; i++) {
		entry = readdir(threads);
		if (!entry)
			break;
		is_found = entry->d_name[0] != '.' &&
			   may_run_on(target, entry->d_name, low, high) &&
			   stop_and_read((pid_t)strtol(entry->d_name, NULL, 10), thread) &&
			   thread->sp >= low && thread->sp < high;
	}
	if (threads)
		closedir(threads);
	return is_found;
}

bool target_thread_on(const struct target *target, uint64_t low, uint64_t high,
		      struct target_thread *thread)
{
	for (uint32_t i = 0; i < target->threads_count; i++) {
		*thread = target->threads[i];
		if (thread->sp >= low && thread->sp < high)
			return true;
	}
	return !target->is_core && find_live(target, low, high, thread);
}

/* Its first number (Documentation/scheduler/sched-stats.rst); not every kernel has the file. */
int64_t target_thread_cpu_ns(const struct target *target, pid_t tid)
{
	char path[64];
	int64_t cpu_ns;
	FILE *file;

	if (target->is_core || tid <= 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", (int)target->pid, (int)tid);
	file = fopen(path, "re");
	if (!file)
		return -1;
	if (fscanf(file, "%" SCNd64, &cpu_ns) != 1 || cpu_ns < 0)
		cpu_ns = -1;
	fclose(file);
	return cpu_ns;
}
