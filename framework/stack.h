/* SPDX-License-Identifier: MIT */
/*
 * Stacks for tasks: a pool per reactor, and the report of a stack overflow. Framework-internal; a
 * pool belongs to one thread, only rota__stack_faults_install is process-wide.
 *
 * The one idea: stacks are cut from slabs of 64 that are reserved, not backed, and a task's object
 * lies in the top page of its own stack, so a suspended task costs one resident page. From the top
 * of a slot:
 *
 *     | head of the slot | colour: 0-24 cache lines | object | stack, growing down … | guard |
 *
 * Colours keep the hot lines of many tasks apart in the caches; the distance of two slots is an odd
 * number of pages, which keeps them apart in the TLB.
 */
#ifndef ROTA_FRAMEWORK_STACK_H
#define ROTA_FRAMEWORK_STACK_H

#include <rota/base.h>
#include <rota/task.h>

/*
 * The largest object that can lie on top of a stack: what leaves room for frames in the same page.
 */
#define ROTA_STACK_OBJECT_BYTES_MAX 1024

/*
 * Says whose stack it is: writes `task "NAME" spawned at FILE:LINE (FUNCTION)` to `out`,
 * NUL-terminated. Called in a signal handler on the faulting thread: must be async-signal-safe.
 */
typedef void (*rota_stack_describe_fn)(const void *object, char *out, size_t out_bytes);

enum rota_stack_guard {
	ROTA_STACK_GUARD_MARKER, /* MADV_GUARD_INSTALL (Linux 6.13): costs no mapping */
	/* mprotect: two more mappings per stack, against vm.max_map_count */
	ROTA_STACK_GUARD_MAPPING,
};

/* The stacks of one class. */
struct rota_stack_shelf {
	struct rota_link warm;  /* idle stacks with their pages, most recently released first */
	struct rota_link slabs; /* slabs with a cold stack (no pages) */
	struct rota_link full_slabs; /* slabs without */
	struct rota_link sparse;     /* slabs that had a quarter or less in use: to be trimmed */
	size_t stack_bytes;          /* a slot without its guard */
	size_t slot_bytes;           /* the distance of two slots */
	size_t in_use;               /* stacks out */
	size_t idle;                 /* stacks on `warm` */
	size_t slab_count;
	uint64_t releases;
};

/*
 * Visible to be embedded in the reactor; read-only for others, but `guard`, which tests may set
 * after init.
 */
struct rota_stack_pool {
	struct rota_stack_shelf shelves[ROTA_STACK_CLASS_COUNT];
	rota_stack_describe_fn describe;
	enum rota_stack_guard guard;
	bool marker_works;     /* one has been tried */
	bool failure_reported; /* said once why no stack could be had */
	/* the pools of one thread, see rota__stack_thread_init */
	struct rota_stack_pool *next_here;
	/* a stack has come back above a class's reserve since a trim found nothing to return */
	bool may_trim;
};

/* An empty pool; maps nothing yet. `describe` may be NULL. */
void rota__stack_pool_init(struct rota_stack_pool *pool, rota_stack_describe_fn describe);

/* Return all memory. No stack is out (asserted). */
void rota__stack_pool_fini(struct rota_stack_pool *pool);

/*
 * A stack with its guard, and on top of it `object_bytes` (<= ROTA_STACK_OBJECT_BYTES_MAX) of
 * memory, cache-line aligned, for the caller to initialise. `*low` and `*bytes` become the usable
 * stack below the object; its end is 16-byte aligned. Returns the object, or NULL when there is no
 * memory or the kernel allows no more mappings (the first time of a pool, the log says which and
 * what to do).
 */
ROTA_MUST_USE void *rota__stack_acquire(struct rota_stack_pool *pool, enum rota_stack_class class,
					size_t object_bytes, void **low, size_t *bytes);

/*
 * Give back the stack that `object` lies on; not the one the caller runs on. O(1): now and then
 * (every 256th release) trims one slab, which takes about 50 us.
 */
void rota__stack_release(struct rota_stack_pool *pool, void *object);

/*
 * Return the memory of stacks idle beyond a reserve of 1 MiB per class: up to `slabs_max` slabs of
 * 64, about 50 us each. For a reactor that has nothing to do; costs a look at pool->may_trim while
 * there is nothing to return. Returns true if there is more to return: then call again some time
 * later.
 */
bool rota__stack_trim_some(struct rota_stack_pool *pool, unsigned slabs_max);

static inline bool rota__stack_trim(struct rota_stack_pool *pool, unsigned slabs_max)
{
	return ROTA_UNLIKELY(pool->may_trim) && rota__stack_trim_some(pool, slabs_max);
}

/* The class of the stack that `object` lies on. */
enum rota_stack_class rota__stack_class_of(const void *object);

/*
 * True if no task had run on this stack since its pages were last cold: only then does its use say
 * something about this one's.
 */
bool rota__stack_is_fresh(const void *object);

/* The size of the stack that `object` lies on, everything above its guard. */
size_t rota__stack_bytes(const void *object);

/*
 * How much of the stack has been touched, from its top, in whole pages (the object included). A
 * system call: for sampling.
 */
size_t rota__stack_used_bytes(const void *object);

/*
 * Catch SIGSEGV and SIGBUS in this process from now on: an overflow of a task's stack is reported
 * on standard error with the task's description, then the handler that was there before comes back
 * and the fault repeats for it. Other faults go straight to it. Any thread; once (further calls do
 * nothing). Returns 0 or negative errno.
 */
ROTA_MUST_USE int rota__stack_faults_install(void);

/*
 * This thread runs tasks on the stacks of `pool` from now on; several pools may share a thread. The
 * first gives the thread an alternate signal stack, unless it has a large enough one. Returns 0 or
 * -ENOMEM.
 */
ROTA_MUST_USE int rota__stack_thread_init(struct rota_stack_pool *pool);

/*
 * The reverse, on the same thread; before rota__stack_pool_fini. The last one restores the thread's
 * alternate signal stack.
 */
void rota__stack_thread_fini(struct rota_stack_pool *pool);

#endif /* ROTA_FRAMEWORK_STACK_H */
