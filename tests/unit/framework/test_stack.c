/* SPDX-License-Identifier: MIT */
/*
 * Tests of the stack pool. Memory really given back is seen in /proc/self/statm; what ends the
 * process runs in a forked child whose standard error and end are looked at. Sanitizers keep memory
 * of their own, so there resident sizes are not compared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <alloca.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rota/log.h>
#include <rota/memory.h>

#include "framework/context.h"
#include "framework/stack.h"

#if defined(ROTA_CONTEXT_ASAN) || defined(ROTA_CONTEXT_TSAN)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#if !defined(RUNNING_ON_VALGRIND)
#define RUNNING_ON_VALGRIND 0
#endif

#define OBJECT_BYTES 400
#define KIB (size_t)1024

/* What stands for a task: lies on top of its own stack. */
struct object {
	struct rota_context context;
	struct rota_context *back;
	const char *name;
	void (*body)(struct object *object);
	void *low;
	size_t bytes;
};

static void describe(const void *object, char *out, size_t out_bytes)
{
	const char *name = ((const struct object *)object)->name;

	snprintf(out, out_bytes, "task \"%s\" spawned at main.c:7 (main)", name);
}

static void enter(void *arg)
{
	struct object *object = arg;

	object->body(object);
	rota__context_exit(&object->context, object->back);
}

static struct object *spawn(struct rota_stack_pool *pool, enum rota_stack_class class,
			    struct rota_context *back, const char *name,
			    void (*body)(struct object *object))
{
	void *low;
	size_t bytes;
	struct object *object = rota__stack_acquire(pool, class, OBJECT_BYTES, &low, &bytes);

	if (!object)
		return NULL;
	*object = (struct object){
		.back = back, .name = name, .body = body, .low = low, .bytes = bytes
	};
	assert_int_equal(rota__context_make(&object->context, low, bytes, enter, object), 0);
	return object;
}

static void reap(struct rota_stack_pool *pool, struct object *object)
{
	rota__context_retire(&object->context);
	rota__stack_release(pool, object);
}

static void *acquire(struct rota_stack_pool *pool, enum rota_stack_class class)
{
	void *low;
	size_t bytes;

	return rota__stack_acquire(pool, class, OBJECT_BYTES, &low, &bytes);
}

/* Sanitizers, Valgrind and emulators (tests/run.sh names them) have some as well. */
static bool memory_is_ours(void)
{
	return !SANITIZED && !RUNNING_ON_VALGRIND && !getenv("ROTA_EMULATED");
}

static size_t resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	size_t pages = 0;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*s %zu", &pages), 1);
	fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static uint32_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1;
	return (uint32_t)(*state >> 33);
}

static void shuffle(void **items, size_t count, uint64_t seed)
{
	for (size_t i = count; i > 1; i--) {
		size_t k = next_random(&seed) % i;
		void *item = items[i - 1];

		items[i - 1] = items[k];
		items[k] = item;
	}
}

/* ---- what is acquired ---- */

static void test_stack_acquired_is_aligned_and_writable(void **state)
{
	static const size_t least[] = {
		[ROTA_STACK_16K] = 16 * KIB,
		[ROTA_STACK_64K] = 64 * KIB,
		[ROTA_STACK_256K] = 256 * KIB,
	};
	struct rota_stack_pool pool;

	(void)state;
	rota__stack_pool_init(&pool, NULL);
	for (unsigned class = 0; class < ROTA_STACK_CLASS_COUNT; class ++) {
		for (unsigned round = 0; round < 2; round++) {
			char *low;
			size_t bytes;
			char *object = rota__stack_acquire(&pool, class, OBJECT_BYTES,
							   (void **)&low, &bytes);

			assert_non_null(object);
			assert_int_equal((uintptr_t)object % ROTA_CACHE_LINE_BYTES, 0);
			assert_ptr_equal(low + bytes, object);
			assert_in_range(bytes, least[class] - 3 * KIB, least[class]);
			assert_int_equal(rota__stack_class_of(object), class);
			/* The second round gets the same stack. */
			memset(low, 0x5a, bytes);
			memset(object, 0x5a, OBJECT_BYTES);
			rota__stack_release(&pool, object);
		}
	}
	rota__stack_pool_fini(&pool);
}

static void test_stack_released_last_is_acquired_first(void **state)
{
	struct rota_stack_pool pool;
	void *object[3];

	(void)state;
	rota__stack_pool_init(&pool, NULL);
	for (unsigned i = 0; i < 3; i++)
		object[i] = acquire(&pool, ROTA_STACK_64K);
	for (unsigned i = 0; i < 3; i++)
		rota__stack_release(&pool, object[i]);
	for (unsigned i = 3; i-- > 0;)
		assert_ptr_equal(acquire(&pool, ROTA_STACK_64K), object[i]);
	for (unsigned i = 0; i < 3; i++)
		rota__stack_release(&pool, object[i]);
	rota__stack_pool_fini(&pool);
}

/* Every stack is filled with its number; nobody's is overwritten while others come and go. */
static void test_stack_many_acquired_do_not_overlap(void **state)
{
	enum { COUNT = 300, ROUNDS = 6000 };
	static struct {
		char *low;
		size_t bytes;
		void *object;
	} held[COUNT];
	struct rota_stack_pool pool;
	uint64_t seed = 4711;

	(void)state;
	memset(held, 0, sizeof(held));
	rota__stack_pool_init(&pool, NULL);
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned i = next_random(&seed) % COUNT;

		if (!held[i].object) {
			held[i].object = rota__stack_acquire(&pool, next_random(&seed) % 3,
							     OBJECT_BYTES, (void **)&held[i].low,
							     &held[i].bytes);
			assert_non_null(held[i].object);
			memset(held[i].object, (int)(i & 127), OBJECT_BYTES);
			held[i].low[0] = held[i].low[held[i].bytes - 1] = (char)(i & 127);
			continue;
		}
		assert_int_equal(held[i].low[0], i & 127);
		assert_int_equal(held[i].low[held[i].bytes - 1], i & 127);
		assert_int_equal(((char *)held[i].object)[OBJECT_BYTES - 1], i & 127);
		rota__stack_release(&pool, held[i].object);
		held[i].object = NULL;
		if (round % 16 == 0)
			rota_ignore(rota__stack_trim(&pool, 1), "there may be more");
	}
	for (unsigned i = 0; i < COUNT; i++)
		if (held[i].object)
			rota__stack_release(&pool, held[i].object);
	rota__stack_pool_fini(&pool);
}

static void test_stack_neighbours_differ_in_colour(void **state)
{
	struct rota_stack_pool pool;

	(void)state;
	rota__stack_pool_init(&pool, NULL);
	for (unsigned class = 0; class < ROTA_STACK_CLASS_COUNT; class ++) {
		unsigned per_line[64] = { 0 };
		void *objects[50];

		for (unsigned i = 0; i < 50; i++) {
			objects[i] = acquire(&pool, class);
			per_line[(uintptr_t)objects[i] / 64 % 64]++;
		}
		/* 25 colours in turn; two slabs never need more than one turn extra. */
		for (unsigned line = 0; line < 64; line++)
			assert_in_range(per_line[line], 0, 3);
		for (unsigned i = 0; i < 50; i++)
			rota__stack_release(&pool, objects[i]);
	}
	rota__stack_pool_fini(&pool);
}

/* ---- failure ---- */

static void *refuse(size_t bytes)
{
	(void)bytes;
	return NULL;
}

static void test_stack_without_memory_is_refused_and_later_granted(void **state)
{
	const struct rota_allocator refusing = { .allocate = refuse, .release = free };
	struct rota_stack_pool pool;
	void *object;

	(void)state;
	rota__stack_pool_init(&pool, NULL);
	rota_set_allocator(&refusing);
	object = acquire(&pool, ROTA_STACK_64K);
	rota_set_allocator(NULL);
	assert_null(object);
	assert_int_equal(pool.shelves[ROTA_STACK_64K].in_use, 0);
	object = acquire(&pool, ROTA_STACK_64K);
	assert_non_null(object);
	rota__stack_release(&pool, object);
	rota__stack_pool_fini(&pool);
}

static unsigned lines_logged;
static char line_logged[1024];

static void keep_line(enum rota_log_level level, const char *line, void *arg)
{
	(void)level;
	(void)arg;
	lines_logged++;
	snprintf(line_logged, sizeof(line_logged), "%s", line);
}

/*
 * With mprotect guards the kernel's limit on mappings comes first; it is said once and everything
 * stays usable.
 */
static void test_stack_mapping_limit_is_reported_once(void **state)
{
	enum { COUNT = 70000 };
	static void *objects[COUNT];
	struct rota_stack_pool pool;
	size_t count = 0;

	(void)state;
	if (SANITIZED || RUNNING_ON_VALGRIND)
		skip(); /* they need mappings, too */
	rota__stack_pool_init(&pool, NULL);
	pool.guard = ROTA_STACK_GUARD_MAPPING;
	lines_logged = 0;
	rota_log_to(ROTA_LOG_INFO, keep_line, NULL);
	while (count < COUNT && (objects[count] = acquire(&pool, ROTA_STACK_16K)))
		count++;
	assert_null(acquire(&pool, ROTA_STACK_16K));
	rota_log_to(ROTA_LOG_INFO, NULL, NULL);
	if (count < COUNT) {
		assert_int_equal(lines_logged, 1);
		assert_non_null(strstr(line_logged, "vm.max_map_count"));
	}
	/* Every other slab first: that makes holes, which need mappings when none is left. */
	for (size_t i = 0; i < count; i++)
		if (i / 64 % 2)
			rota__stack_release(&pool, objects[i]);
	for (size_t i = 0; i < count; i++)
		if (i / 64 % 2 == 0)
			rota__stack_release(&pool, objects[i]);
	while (rota__stack_trim(&pool, 16))
		;
	assert_int_equal(pool.shelves[ROTA_STACK_16K].in_use, 0);
	objects[0] = acquire(&pool, ROTA_STACK_16K);
	assert_non_null(objects[0]);
	rota__stack_release(&pool, objects[0]);
	rota__stack_pool_fini(&pool);
}

/* ---- memory ---- */

static void suspend_once(struct object *object)
{
	rota__context_switch(&object->context, object->back);
}

static void test_stack_suspended_task_costs_one_page(void **state)
{
	/* with mprotect guards the kernel allows no more than some 30000 */
	const size_t count = memory_is_ours() ? 20000 : 1000;
	struct object **tasks = calloc(count, sizeof(*tasks));
	struct rota_stack_pool pool;
	struct rota_context self;
	size_t before, after;

	(void)state;
	memset(tasks, 1, count * sizeof(*tasks)); /* resident before we measure */
	rota__context_adopt_thread(&self);
	rota__stack_pool_init(&pool, NULL);
	before = resident_bytes();
	for (size_t i = 0; i < count; i++) {
		tasks[i] = spawn(&pool, ROTA_STACK_64K, &self, "sleeper", suspend_once);
		assert_non_null(tasks[i]);
		rota__context_switch(&self, &tasks[i]->context);
	}
	after = resident_bytes();
	for (size_t i = 0; i < count; i++) {
		rota__context_switch(&self, &tasks[i]->context);
		reap(&pool, tasks[i]);
	}
	rota__stack_pool_fini(&pool);
	free(tasks);
	if (memory_is_ours())
		assert_in_range((after - before) / count, 4000, 4505);
}

/*
 * In whatever order a burst ends, and with one task in 64 surviving it, the idle pages go back to
 * the kernel.
 */
static void burst_ends(unsigned order, size_t survivors_one_in)
{
	enum { COUNT = 20000 };
	static void *objects[COUNT];
	struct rota_stack_pool pool;
	struct rota_stack_shelf *shelf = &pool.shelves[ROTA_STACK_64K];
	size_t before, after, survivors = 0;

	rota__stack_pool_init(&pool, NULL);
	memset(objects, 1, sizeof(objects));
	before = resident_bytes();
	for (unsigned i = 0; i < COUNT; i++)
		assert_non_null(objects[i] = acquire(&pool, ROTA_STACK_64K));
	if (order == 1)
		shuffle(objects, COUNT, 99);
	for (unsigned i = 0; i < COUNT; i++) {
		unsigned k = order == 2 ? COUNT - 1 - i : i;

		if (k % survivors_one_in) {
			rota__stack_release(&pool, objects[k]);
			objects[k] = NULL;
		} else {
			survivors++;
		}
	}
	assert_true(pool.may_trim);
	while (rota__stack_trim(&pool, 1))
		;
	assert_false(pool.may_trim);
	after = resident_bytes();
	assert_int_equal(shelf->in_use, survivors);
	if (memory_is_ours())
		assert_in_range(after, 0, before + (survivors * 4 + 256) * 4200 + 1024 * KIB);
	/* All stacks can be had again and hold what is written to them. */
	for (unsigned i = 0; i < COUNT; i++) {
		if (objects[i])
			continue;
		assert_non_null(objects[i] = acquire(&pool, ROTA_STACK_64K));
		memset(objects[i], 1, OBJECT_BYTES);
	}
	for (unsigned i = 0; i < COUNT; i++)
		rota__stack_release(&pool, objects[i]);
	while (rota__stack_trim(&pool, 1))
		;
	assert_in_range(shelf->idle, 0, 256);
	/* Within the reserve nobody need look for something to trim. */
	rota__stack_release(&pool, acquire(&pool, ROTA_STACK_64K));
	assert_false(pool.may_trim);
	rota__stack_pool_fini(&pool);
}

static void test_stack_burst_returns_memory_in_any_order(void **state)
{
	(void)state;
	for (unsigned order = 0; order < 3; order++)
		burst_ends(order, 20000);
}

static void test_stack_burst_with_survivors_returns_memory(void **state)
{
	(void)state;
	for (unsigned order = 0; order < 3; order++)
		burst_ends(order, 64);
}

/* The compiler must believe that somebody reads it. */
static void keep_in_memory(void *memory)
{
	__asm__ volatile("" : : "r"(memory) : "memory");
}

static void touch(struct object *object)
{
	char deep[20 * 1024];

	deep[0] = 1;
	keep_in_memory(deep);
	(void)object;
}

static void test_stack_use_is_seen_by_residency(void **state)
{
	struct rota_stack_pool pool;
	struct rota_context self;
	struct object *object;
	size_t used;

	(void)state;
	rota__context_adopt_thread(&self);
	rota__stack_pool_init(&pool, NULL);
	object = spawn(&pool, ROTA_STACK_64K, &self, "deep", touch);
	assert_true(rota__stack_is_fresh(object));
	used = rota__stack_used_bytes(object);
	assert_in_range(used, 4 * KIB, 4 * KIB);
	rota__context_switch(&self, &object->context);
	used = rota__stack_used_bytes(object);
	assert_in_range(used, 20 * KIB, 32 * KIB);
	reap(&pool, object);
	/* The same stack again: what it used before says nothing. */
	assert_ptr_equal(object, acquire(&pool, ROTA_STACK_64K));
	assert_false(rota__stack_is_fresh(object));
	rota__stack_release(&pool, object);
	rota__stack_pool_fini(&pool);
}

/* ---- overflow, in a child ---- */

static char child_text[16 * 1024];

/* Run `body` in a child; its standard error goes to child_text. Returns the wait status. */
static int run_child(void (*body)(void))
{
	size_t used = 0;
	ssize_t bytes;
	int pipes[2];
	int status;
	pid_t child;

	assert_int_equal(pipe(pipes), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		const struct rlimit no_core = { 0, 0 };

		setrlimit(RLIMIT_CORE, &no_core);
		dup2(pipes[1], STDERR_FILENO);
		close(pipes[0]);
		close(pipes[1]);
		/* cmocka catches these; the child is to end as any program would. */
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		alarm(240);
		body();
		_exit(0);
	}
	close(pipes[1]);
	while ((bytes = read(pipes[0], child_text + used, sizeof(child_text) - 1 - used)) > 0)
		used += (size_t)bytes;
	child_text[used] = '\0';
	close(pipes[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void assert_died_of_fault(int status)
{
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
}

static unsigned count_in_text(const char *what)
{
	unsigned count = 0;

	for (const char *at = child_text; (at = strstr(at, what)); at++)
		count++;
	return count;
}

static enum rota_stack_class child_class;
static enum rota_stack_guard child_guard;
static size_t child_slot_bytes;

/*
 * A task with `body` on a stack of child_class, in a process that reports overflows; other tasks
 * around it.
 */
static void run_task(void (*body)(struct object *object))
{
	static struct rota_stack_pool others, pool;
	static struct rota_context self;
	struct object *object;

	rota__context_adopt_thread(&self);
	rota__stack_pool_init(&others, describe);
	rota__stack_pool_init(&pool, describe);
	pool.guard = child_guard;
	child_slot_bytes = pool.shelves[child_class].slot_bytes;
	if (rota__stack_faults_install() || rota__stack_faults_install() ||
	    rota__stack_thread_init(&others) || rota__stack_thread_init(&pool))
		_exit(90);
	spawn(&others, child_class, &self, "other", suspend_once);
	spawn(&pool, child_class, &self, "below", suspend_once);
	object = spawn(&pool, child_class, &self, "deep", body);
	spawn(&pool, child_class, &self, "above", suspend_once);
	rota__context_switch(&self, &object->context);
}

static ROTA_NOINLINE unsigned recurse(unsigned depth)
{
	char frame[100];

	frame[depth % 100] = (char)depth;
	keep_in_memory(frame);
	return (depth == UINT32_MAX ? 0 : recurse(depth + 1)) + (unsigned)frame[depth % 50];
}

static void recurse_for_ever(struct object *object)
{
	object->bytes = recurse(0);
}

static void overflow_by_recursion(void)
{
	run_task(recurse_for_ever);
}

static ROTA_NOINLINE char use_alloca(size_t bytes)
{
	char *frame = alloca(bytes);

	frame[0] = 1;
	keep_in_memory(frame);
	return frame[0];
}

/* A frame far larger than stack and guard: only probing it page by page meets the guard. */
static void take_huge_frame(struct object *object)
{
	object->bytes = (size_t)use_alloca(8 * 1024 * KIB);
}

static void overflow_by_alloca(void)
{
	run_task(take_huge_frame);
}

static void test_stack_overflow_names_the_task(void **state)
{
	static const char *const sizes[] = {
		[ROTA_STACK_16K] = ": 16 KiB stack",
		[ROTA_STACK_64K] = ": 64 KiB stack",
		[ROTA_STACK_256K] = ": 256 KiB stack",
	};

	(void)state;
	for (unsigned i = 0; i < 2 * ROTA_STACK_CLASS_COUNT; i++) {
		child_class = i % ROTA_STACK_CLASS_COUNT;
		child_guard = i / ROTA_STACK_CLASS_COUNT ? ROTA_STACK_GUARD_MAPPING
							 : ROTA_STACK_GUARD_MARKER;
		assert_died_of_fault(run_child(overflow_by_recursion));
		assert_int_equal(count_in_text("rota: stack overflow in task \"deep\" spawned at "
					       "main.c:7 (main):"),
				 1);
		assert_int_equal(count_in_text("rota: "), 1);
		assert_non_null(strstr(child_text, sizes[child_class]));
	}
}

static void test_stack_overflow_by_a_huge_frame_is_caught(void **state)
{
	(void)state;
	child_class = ROTA_STACK_64K;
	child_guard = ROTA_STACK_GUARD_MARKER;
	assert_died_of_fault(run_child(overflow_by_alloca));
	assert_int_equal(count_in_text("rota: stack overflow in task \"deep\""), 1);
}

/* Not NULL, which UBSan would find first. */
static void *volatile nowhere = (void *)16;

static void write_nowhere(struct object *object)
{
	*(char *)nowhere = (char)object->bytes;
}

static void fault_elsewhere(void)
{
	run_task(write_nowhere);
}

static void write_into_other_guard(struct object *object)
{
	/* Just below the next slot's stack. */
	((volatile char *)object->low)[child_slot_bytes - 100] = 1;
}

static void fault_in_other_guard(void)
{
	run_task(write_into_other_guard);
}

static void raise_segv(struct object *object)
{
	(void)object;
	kill(getpid(), SIGSEGV);
}

static void be_sent_a_segv(void)
{
	run_task(raise_segv);
}

static void test_stack_other_faults_are_not_called_overflow(void **state)
{
	static void (*const bodies[])(void) = { fault_elsewhere, be_sent_a_segv,
						fault_in_other_guard };
	/*
	 * Where a signal's stack pointer is not known, any guard is taken for the faulting task's.
	 */
#ifdef ROTA_CONTEXT_UCONTEXT
	unsigned count = 2;
#else
	unsigned count = 3;
#endif

	(void)state;
	child_class = ROTA_STACK_64K;
	child_guard = ROTA_STACK_GUARD_MARKER;
	for (unsigned i = 0; i < count; i++) {
		assert_died_of_fault(run_child(bodies[i]));
		assert_int_equal(count_in_text("rota: "), 0);
	}
}

static char *repairable;
static volatile unsigned repairs;

/* The host program's own handler, which makes some faults good (as garbage collectors do). */
static void repair(int signal_number, siginfo_t *info, void *ucontext)
{
	(void)signal_number;
	(void)ucontext;
	if (info->si_addr != repairable)
		_exit(42);
	repairs++;
	mprotect(repairable, 4096, PROT_READ | PROT_WRITE);
}

static void repair_twice_then_overflow(struct object *object)
{
	for (unsigned i = 0; i < 2; i++) {
		mprotect(repairable, 4096, PROT_NONE);
		*(volatile char *)repairable = 1;
	}
	if (repairs != 2)
		_exit(43);
	recurse_for_ever(object);
}

static void have_a_handler_already(void)
{
	struct sigaction action = { .sa_flags = SA_SIGINFO | SA_ONSTACK };

	action.sa_sigaction = repair;
	repairable = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigaction(SIGSEGV, &action, NULL);
	run_task(repair_twice_then_overflow);
}

static void test_stack_faults_go_to_the_handler_of_before(void **state)
{
	int status;

	(void)state;
	if (RUNNING_ON_VALGRIND)
		skip(); /* it ends the child at the overflow: no second fault */
	child_class = ROTA_STACK_64K;
	child_guard = ROTA_STACK_GUARD_MARKER;
	status = run_child(have_a_handler_already);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
	assert_int_equal(count_in_text("rota: stack overflow in task \"deep\""), 1);
}

static void *use_signal_stack(void *arg)
{
	struct rota_stack_pool pools[2];
	stack_t before, during, after;

	(void)arg;
	sigaltstack(NULL, &before);
	for (unsigned i = 0; i < 2; i++) {
		rota__stack_pool_init(&pools[i], NULL);
		assert_int_equal(rota__stack_thread_init(&pools[i]), 0);
	}
	sigaltstack(NULL, &during);
	assert_int_equal(during.ss_flags & SS_DISABLE, 0);
	for (unsigned i = 0; i < 2; i++) {
		rota__stack_thread_fini(&pools[i]);
		rota__stack_pool_fini(&pools[i]);
	}
	sigaltstack(NULL, &after);
	assert_int_equal(after.ss_flags, before.ss_flags);
	if (!(before.ss_flags & SS_DISABLE))
		assert_ptr_equal(after.ss_sp, before.ss_sp);
	return NULL;
}

static void test_stack_thread_gets_its_signal_stack_back(void **state)
{
	pthread_t thread;

	use_signal_stack(*state);
	assert_int_equal(pthread_create(&thread, NULL, use_signal_stack, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stack_acquired_is_aligned_and_writable),
		cmocka_unit_test(test_stack_released_last_is_acquired_first),
		cmocka_unit_test(test_stack_many_acquired_do_not_overlap),
		cmocka_unit_test(test_stack_neighbours_differ_in_colour),
		cmocka_unit_test(test_stack_without_memory_is_refused_and_later_granted),
		cmocka_unit_test(test_stack_mapping_limit_is_reported_once),
		cmocka_unit_test(test_stack_suspended_task_costs_one_page),
		cmocka_unit_test(test_stack_burst_returns_memory_in_any_order),
		cmocka_unit_test(test_stack_burst_with_survivors_returns_memory),
		cmocka_unit_test(test_stack_use_is_seen_by_residency),
		cmocka_unit_test(test_stack_overflow_names_the_task),
		cmocka_unit_test(test_stack_overflow_by_a_huge_frame_is_caught),
		cmocka_unit_test(test_stack_other_faults_are_not_called_overflow),
		cmocka_unit_test(test_stack_faults_go_to_the_handler_of_before),
		cmocka_unit_test(test_stack_thread_gets_its_signal_stack_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
