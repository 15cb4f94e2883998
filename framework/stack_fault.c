/* SPDX-License-Identifier: MIT */
/*
 * The report of a stack overflow. The handler runs on the faulting thread's alternate stack and
 * looks only at pools of that thread, which nobody else changes. All in it is async-signal-safe.
 * The only process-wide state here is what the kernel keeps per process as well: the handlers that
 * were there before.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "framework/context.h"
#include "framework/stack.h"
#include "framework/stack_internal.h"

/*
 * What the handler needs above the kernel's signal frame, with room for the handler it passes
 * faults on to.
 */
#define HANDLER_STACK_BYTES ((size_t)32 * 1024)
#define HANDLER_STACK_BYTES_MIN ((size_t)8 * 1024)
#define MESSAGE_BYTES_MAX 1024

static struct sigaction original_segv;
static struct sigaction original_bus;
static pthread_once_t install_once = PTHREAD_ONCE_INIT;
static int install_status;

/* This thread's pools, and its alternate stack if it is ours. */
static _Thread_local struct {
	struct rota_stack_pool *pools;
	void *memory; /* NULL: the thread had one of its own */
	size_t bytes;
	stack_t previous;
} here;

static void handle_fault(int signal, siginfo_t *info, void *ucontext);
static const struct rota_stack_head *find_overflowed(uintptr_t address, uintptr_t sp,
						     const struct rota_stack_pool **pool);
static const struct rota_stack_head *find_in_slabs(const struct rota_stack_shelf *shelf,
						   const struct rota_link *slabs, uintptr_t address,
						   uintptr_t sp);
static void report_overflow(const struct rota_stack_pool *pool, const struct rota_stack_head *head);
static void pass_on(struct sigaction *original, int signal, siginfo_t *info, void *ucontext);

static int install_handler(int signal, struct sigaction *original)
{
	struct sigaction action;

	if (sigaction(signal, NULL, original))
		return -errno;
	/*
	 * What the handler before us asked to be blocked while it runs is blocked, since it may be
	 * called from ours.
	 */
	action = *original;
	action.sa_sigaction = handle_fault;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK |
			  (original->sa_flags & (SA_NODEFER | SA_RESTART));
	return sigaction(signal, &action, NULL) ? -errno : 0;
}

static void install_handlers(void)
{
	install_status = install_handler(SIGSEGV, &original_segv);
	if (!install_status)
		install_status = install_handler(SIGBUS, &original_bus);
}

int rota__stack_faults_install(void)
{
	pthread_once(&install_once, install_handlers);
	return install_status;
}

/* Give this thread an alternate signal stack unless it has one we can use. */
static int ensure_signal_stack(void)
{
	long frame_bytes = sysconf(
		_SC_MINSIGSTKSZ); /* grows with the vector registers the kernel saves */
	size_t least = HANDLER_STACK_BYTES_MIN +
		       (size_t)(frame_bytes > 0 ? frame_bytes : MINSIGSTKSZ);
	stack_t stack = { .ss_size = least + HANDLER_STACK_BYTES };

	if (sigaltstack(NULL, &here.previous))
		return -errno;
	if (!(here.previous.ss_flags & SS_DISABLE) && here.previous.ss_size >= least)
		return 0;
	stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack.ss_sp == MAP_FAILED)
		return -ENOMEM;
	if (sigaltstack(&stack, NULL)) {
		int error = -errno;

		rota_ignore(munmap(stack.ss_sp, stack.ss_size), "nothing to be done about it");
		return error;
	}
	here.memory = stack.ss_sp;
	here.bytes = stack.ss_size;
	return 0;
}

int rota__stack_thread_init(struct rota_stack_pool *pool)
{
	if (!here.pools) {
		int status = ensure_signal_stack();

		if (status)
			return status;
	}
	pool->next_here = here.pools;
	here.pools = pool;
	return 0;
}

void rota__stack_thread_fini(struct rota_stack_pool *pool)
{
	struct rota_stack_pool **link = &here.pools;

	while (*link != pool) {
		ROTA_ASSERT(*link);
		link = &(*link)->next_here;
	}
	*link = pool->next_here;
	pool->next_here = NULL;
	if (here.pools || !here.memory)
		return;
	/* Refused (EPERM) only while running on it: then it must stay. */
	if (sigaltstack(&here.previous, NULL) == 0)
		rota_ignore(munmap(here.memory, here.bytes), "nothing to be done about it");
	here.memory = NULL;
}

static void handle_fault(int signal, siginfo_t *info, void *ucontext)
{
	struct sigaction *original = signal == SIGSEGV ? &original_segv : &original_bus;
	const struct rota_stack_pool *pool = NULL;
	const struct rota_stack_head *head = NULL;
	int saved_errno = errno;

	/* Above 0: from the kernel, and si_addr means something. */
	if (info->si_code > 0)
		head = find_overflowed((uintptr_t)info->si_addr, rota__context_signal_sp(ucontext),
				       &pool);
	if (head) {
		report_overflow(pool, head);
		/*
		 * Returning repeats the fault, now for the handler of before: usually the core
		 * dump, with this frame intact.
		 */
		sigaction(signal, original, NULL);
	} else {
		pass_on(original, signal, info, ucontext);
	}
	errno = saved_errno;
}

static const struct rota_stack_head *find_overflowed(uintptr_t address, uintptr_t sp,
						     const struct rota_stack_pool **pool)
{
	const struct rota_stack_head *head;

	for (*pool = here.pools; *pool; *pool = (*pool)->next_here) {
		for (unsigned class = 0; class < ROTA_STACK_CLASS_COUNT; class ++) {
			const struct rota_stack_shelf *shelf = &(*pool)->shelves[class];

			if ((head = find_in_slabs(shelf, &shelf->full_slabs, address, sp)) ||
			    (head = find_in_slabs(shelf, &shelf->slabs, address, sp)))
				return head;
		}
	}
	return NULL;
}

/*
 * The stack below which `address` hit the guard, if it is the one in use at the fault: its stack
 * pointer is then in the same slot, because no frame of ours steps over the guard. (A wild pointer
 * into another task's guard is not an overflow.)
 */
static const struct rota_stack_head *find_in_slabs(const struct rota_stack_shelf *shelf,
						   const struct rota_link *slabs, uintptr_t address,
						   uintptr_t sp)
{
	for (const struct rota_link *link = slabs->next; link != slabs; link = link->next) {
		const struct rota_stack_slab *slab = ROTA_CONTAINER_OF(
			link, const struct rota_stack_slab, link);
		uintptr_t offset = address - (uintptr_t)slab->base;
		uintptr_t index = offset / shelf->slot_bytes;
		uintptr_t slot;

		if (index >= ROTA_STACK_SLAB_SLOTS)
			continue;
		slot = (uintptr_t)slab->base + index * shelf->slot_bytes;
		if (address - slot >= shelf->slot_bytes - shelf->stack_bytes)
			return NULL; /* a stack, not a guard */
		if (!(slab->used >> index & 1))
			return NULL;
		if (sp && sp - slot >= shelf->slot_bytes)
			return NULL;
		return (const struct rota_stack_head *)(slot + shelf->slot_bytes) - 1;
	}
	return NULL;
}

/* Append to a line of MESSAGE_BYTES_MAX; cut when full. */
static void append(char *line, size_t *used, const char *text)
{
	size_t bytes = rota_min_size(strlen(text), MESSAGE_BYTES_MAX - *used);

	memcpy(line + *used, text, bytes);
	*used += bytes;
}

static void report_overflow(const struct rota_stack_pool *pool, const struct rota_stack_head *head)
{
	static const char *const sizes[] = {
		[ROTA_STACK_16K] = "16",
		[ROTA_STACK_64K] = "64",
		[ROTA_STACK_256K] = "256",
	};
	char who[MESSAGE_BYTES_MAX / 2] = "a task";
	char line[MESSAGE_BYTES_MAX];
	size_t used = 0;

	if (pool->describe)
		pool->describe(head->object, who, sizeof(who));
	who[sizeof(who) - 1] = '\0';
	append(line, &used, "rota: stack overflow in ");
	append(line, &used, who);
	append(line, &used, ": ");
	append(line, &used, sizes[head->slab->class]);
	append(line, &used, " KiB stack; look for endless recursion or large local variables, ");
	append(line, &used, "or spawn it with a larger stack\n");
	/* Nobody is left to tell if this fails. */
	rota_ignore(write(STDERR_FILENO, line, used), "about to crash");
}

/* Do for the handler of before what the kernel would have done. */
static void pass_on(struct sigaction *original, int signal, siginfo_t *info, void *ucontext)
{
	if (!(original->sa_flags & SA_SIGINFO) &&
	    (original->sa_handler == SIG_DFL || original->sa_handler == SIG_IGN)) {
		sigaction(signal, original, NULL);
		/*
		 * A fault repeats on return; a signal somebody sent has to be sent again. It is
		 * blocked until then.
		 */
		if (info->si_code <= 0)
			raise(signal);
		return;
	}
	if (original->sa_flags & SA_SIGINFO)
		original->sa_sigaction(signal, info, ucontext);
	else
		original->sa_handler(signal);
}
