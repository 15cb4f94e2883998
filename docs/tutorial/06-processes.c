/* SPDX-License-Identifier: MIT */
/*
 * The tutorial's sixth program, first half: a small operating system whose processes are
 * generators. A process traps into the kernel by yielding a system call; the kernel resumes it with
 * the result. Calls: getpid, spawn, wait, kill, read, ps.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rota/generator.h>

#define PROCESSES_MAX 8

/* ---- what processes and the kernel agree on ---- */

enum call_kind { CALL_GETPID, CALL_SPAWN, CALL_WAIT, CALL_KILL, CALL_READ, CALL_PS };

struct call {
	enum call_kind kind;
	int number; /* a pid, or a descriptor */
	const char *name;
	rota_generator_fn fn;
	void *arg;
};

/* Into the kernel and back. Returns the call's result; -ECANCELED once the process is killed. */
static int64_t trap(struct rota_generator *self, struct call call)
{
	void *result;
	int status = rota_generator_yield(self, &call, &result);

	return status < 0 ? status : *(int64_t *)result;
}

/* ---- the kernel ---- */

enum state { FREE, READY, WAITING, READING };

struct process {
	struct rota_generator *body;
	const char *name;
	enum state state;
	int pid;
	int number;     /* which pid or descriptor it waits for */
	int64_t result; /* of its last call */
	bool is_new;
};

struct kernel {
	struct process table[PROCESSES_MAX];
	int last_pid;
};

static struct process *find_place(struct kernel *kernel)
{
	for (int i = 0; i < PROCESSES_MAX; i++)
		if (kernel->table[i].state == FREE)
			return &kernel->table[i];
	return NULL;
}

static struct process *find(struct kernel *kernel, int pid)
{
	for (int i = 0; i < PROCESSES_MAX; i++)
		if (kernel->table[i].state != FREE && kernel->table[i].pid == pid)
			return &kernel->table[i];
	return NULL;
}

static int64_t spawn(struct kernel *kernel, const struct call *call)
{
	struct process *process = find_place(kernel);

	if (!process || rota_generator_create(call->fn, call->arg, &process->body) < 0)
		return -EAGAIN;
	process->name = call->name;
	process->state = READY;
	process->is_new = true;
	return process->pid = ++kernel->last_pid;
}

/* It has ended: tell those who wait for it, and give its place back. */
static void reap(struct kernel *kernel, struct process *ended)
{
	int64_t status = rota_generator_close(ended->body);

	for (int i = 0; i < PROCESSES_MAX; i++) {
		struct process *one = &kernel->table[i];

		if (one->state == WAITING && one->number == ended->pid) {
			one->state = READY;
			one->result = status;
		}
	}
	rota_generator_destroy(ended->body);
	ended->state = FREE;
}

static int64_t show_processes(struct kernel *kernel)
{
	static const char *const states[] = { "free", "ready", "waits for process",
					      "reads descriptor" };

	for (int i = 0; i < PROCESSES_MAX; i++)
		if (kernel->table[i].state != FREE)
			printf("  %d %-6s %s\n", kernel->table[i].pid, kernel->table[i].name,
			       states[kernel->table[i].state]);
	return 0;
}

static void handle(struct kernel *kernel, struct process *caller, const struct call *call)
{
	struct process *other = find(kernel, call->number);

	switch (call->kind) {
	case CALL_GETPID:
		caller->result = caller->pid;
		break;
	case CALL_SPAWN:
		caller->result = spawn(kernel, call);
		break;
	case CALL_PS:
		caller->result = show_processes(kernel);
		break;
	case CALL_KILL:
		caller->result = other && other != caller ? 0 : -ESRCH;
		if (caller->result == 0)
			reap(kernel, other);
		break;
	case CALL_WAIT:
		if (!other) {
			caller->result = -ESRCH;
			break;
		}
		/* fall through */
	case CALL_READ:
		caller->number = call->number;
		caller->result = 0;
		caller->state = call->kind == CALL_READ ? READING : WAITING;
		break;
	}
}

/* Let it run to its next call. */
static void run(struct kernel *kernel, struct process *process)
{
	bool is_new = process->is_new;
	void *call;
	int status;

	process->is_new = false;
	status = is_new ? rota_generator_next(process->body, &call)
			: rota_generator_send(process->body, &process->result, &call);
	if (status > 0)
		handle(kernel, process, call);
	else
		reap(kernel, process);
}

/* Nobody is ready: wait for descriptors. Returns false if nobody reads either. */
static bool wait_for_input(struct kernel *kernel)
{
	struct pollfd polls[PROCESSES_MAX];
	bool somebody_reads = false;

	for (int i = 0; i < PROCESSES_MAX; i++) {
		bool reads = kernel->table[i].state == READING;

		polls[i] = (struct pollfd){ .fd = reads ? kernel->table[i].number : -1,
					    .events = POLLIN };
		somebody_reads |= reads;
	}
	if (!somebody_reads || poll(polls, PROCESSES_MAX, -1) < 0)
		return false;
	for (int i = 0; i < PROCESSES_MAX; i++)
		if (polls[i].revents)
			kernel->table[i].state = READY;
	return true;
}

/* The scheduler: everybody who is ready, in turn, until nobody is left. */
static void boot(struct kernel *kernel, rota_generator_fn init)
{
	bool somebody_ran = true;

	spawn(kernel, &(struct call){ .name = "init", .fn = init });
	while (somebody_ran || wait_for_input(kernel)) {
		somebody_ran = false;
		for (int i = 0; i < PROCESSES_MAX; i++)
			if (kernel->table[i].state == READY) {
				run(kernel, &kernel->table[i]);
				somebody_ran = true;
			}
	}
}

/* ---- the library of processes: a function per call ---- */

static int64_t spawn_process(struct rota_generator *self, const char *name, rota_generator_fn fn,
			     void *arg)
{
	return trap(self, (struct call){ CALL_SPAWN, 0, name, fn, arg });
}

static int64_t call_kernel(struct rota_generator *self, enum call_kind kind, int64_t number)
{
	return trap(self, (struct call){ .kind = kind, .number = (int)number });
}

/* Waits, and reads. */
static int64_t read_input(struct rota_generator *self, int fd, char *text, size_t bytes)
{
	int64_t n = call_kernel(self, CALL_READ, fd);

	if (n == 0)
		n = read(fd, text, bytes);
	return n == -1 ? -errno : n;
}

/* ---- processes ---- */

static int64_t count(struct rota_generator *self, void *limit)
{
	for (int i = 1; i <= *(int *)limit; i++)
		printf("process %d counts %d\n", (int)call_kernel(self, CALL_GETPID, 0), i);
	return *(int *)limit;
}

static int64_t echo(struct rota_generator *self, void *fd)
{
	char text[64];
	int64_t n;

	while ((n = read_input(self, *(int *)fd, text, sizeof(text))) > 0)
		n = write(*(int *)fd, text, (size_t)n);
	printf("echo ends: %s\n", n == -ECANCELED ? "killed" : "no more input");
	return n;
}

static int64_t client(struct rota_generator *self, void *fd)
{
	char text[64];
	int64_t n = write(*(int *)fd, "hello", 5);

	if (n > 0)
		n = read_input(self, *(int *)fd, text, sizeof(text));
	if (n > 0)
		printf("client got %.*s\n", (int)n, text);
	return n;
}

static int64_t init(struct rota_generator *self, void *arg)
{
	int limits[] = { 2, 3 }, ends[2];
	int64_t first, second, server, user;

	(void)arg;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
		return -EMFILE;
	first = spawn_process(self, "count", count, &limits[0]);
	second = spawn_process(self, "count", count, &limits[1]);
	call_kernel(self, CALL_WAIT, first);
	printf("process %d ended with %d\n", (int)second,
	       (int)call_kernel(self, CALL_WAIT, second));
	server = spawn_process(self, "echo", echo, &ends[0]);
	user = spawn_process(self, "client", client, &ends[1]);
	call_kernel(self, CALL_PS, 0);
	call_kernel(self, CALL_WAIT, user);
	call_kernel(self, CALL_KILL, server);
	close(ends[0]);
	close(ends[1]);
	return call_kernel(self, CALL_PS, 0);
}

int main(void)
{
	struct kernel kernel = { .last_pid = 0 };

	boot(&kernel, init);
	return 0;
}
