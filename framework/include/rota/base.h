/* SPDX-License-Identifier: MIT */
/*
 * Attributes, assertions, intrusive lists and integer helpers. The lowest layer: includes only
 * libc, may be used from any thread, allocates nothing.
 *
 * The one idea: containers are intrusive. A link lives inside the object it links, so putting
 * something on a list can't fail and needs no memory.
 */
#ifndef ROTA_BASE_H
#define ROTA_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- attributes ---- */

#define ROTA_API __attribute__((visibility("default")))
#define ROTA_MUST_USE __attribute__((warn_unused_result))
#define ROTA_PRINTF(format_index, first_index)                                                     \
	__attribute__((format(printf, format_index, first_index)))
#define ROTA_NORETURN __attribute__((noreturn))
#define ROTA_NOINLINE __attribute__((noinline))
#define ROTA_ALIGNED(bytes) __attribute__((aligned(bytes)))
#define ROTA_LIKELY(x) __builtin_expect(!!(x), 1)
#define ROTA_UNLIKELY(x) __builtin_expect(!!(x), 0)

/*
 * Marks the declaration of every function that may suspend the calling task. Expands to nothing:
 * stackful code hides suspension, so the declaration must show it, and `grep ROTA_SUSPENDS` lists
 * them all.
 */
#define ROTA_SUSPENDS

/* Bytes to keep apart what two threads write: two lines, because x86 prefetches lines in pairs. */
#define ROTA_CACHE_LINE_BYTES 64
#define ROTA_ISOLATION_BYTES 128

/*
 * ROTA_DEBUG is 1 in the debug and sanitizer variants and switches on what is too costly for
 * release.
 */
#ifndef ROTA_DEBUG
#define ROTA_DEBUG 0
#endif

/* ---- assertions ---- */

/*
 * Print the failed condition, where it stands and the current task, then abort. Any thread. Never
 * returns.
 */
ROTA_API ROTA_NORETURN void rota_assert_failed(const char *condition, const char *file, int line,
					       const char *function);

/* Programmer error: always checked. One condition per assert. */
#define ROTA_ASSERT(condition)                                                                     \
	(ROTA_LIKELY(condition) ? (void)0                                                          \
				: rota_assert_failed(#condition, __FILE__, __LINE__, __func__))

/*
 * Costly invariant: checked in debug and sanitizer variants, compiled (so it can't rot) but not run
 * in release.
 */
#define ROTA_DCHECK(condition)                                                                     \
	do {                                                                                       \
		if (ROTA_DEBUG)                                                                    \
			ROTA_ASSERT(condition);                                                    \
	} while (0)

/*
 * For locks that are held for a moment and never while a task waits, such as a pthread mutex: say
 * after taking and before releasing one. Then, in debug and sanitizer variants, a task that
 * suspends with one held is named with the place that took it, and the process aborts; otherwise
 * nothing is done. Not for rota_mutex, which may be held across waits. Thread: the one that locks.
 */
#define rota_debug_lock_taken()                                                                    \
	(ROTA_DEBUG ? rota_debug_lock_count(1, __FILE__, __LINE__) : (void)0)
#define rota_debug_lock_released()                                                                 \
	(ROTA_DEBUG ? rota_debug_lock_count(-1, __FILE__, __LINE__) : (void)0)

/* What the macros call. */
ROTA_API void rota_debug_lock_count(int by, const char *file, int line);

/* Drop a result on purpose; `why` is for the reader. */
#define rota_ignore(call, why)                                                                     \
	do {                                                                                       \
		__auto_type rota_ignored_ = (call);                                                \
		(void)rota_ignored_;                                                               \
		(void)sizeof(why);                                                                 \
	} while (0)

/* ---- integers ---- */

#define ROTA_ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ROTA_CONTAINER_OF(pointer, type, member)                                                   \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline size_t rota_min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline size_t rota_max_size(size_t a, size_t b)
{
	return a > b ? a : b;
}

static inline bool rota_is_power_of_two(uint64_t n)
{
	return n && !(n & (n - 1));
}

/* Round `n` up to a multiple of `unit`, a power of two. */
static inline size_t rota_round_up(size_t n, size_t unit)
{
	return (n + unit - 1) & ~(unit - 1);
}

/* ---- spinning ---- */

/*
 * One turn of a bounded spin: lets the sibling hardware thread run (x86: 10-50 ns, aarch64: a few).
 */
static inline void rota_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory");
#else
	__asm__ volatile("" ::: "memory");
#endif
}

/* ---- an intrusive, circular, doubly linked list ---- */

/* A link, and also the head of a list. A link that points to itself is on no list. */
struct rota_link {
	struct rota_link *next;
	struct rota_link *prev;
};

static inline void rota_list_init(struct rota_link *head)
{
	head->next = head;
	head->prev = head;
}

static inline bool rota_list_is_empty(const struct rota_link *head)
{
	return head->next == head;
}

static inline void rota_list_insert_between_(struct rota_link *link, struct rota_link *prev,
					     struct rota_link *next)
{
	link->prev = prev;
	link->next = next;
	prev->next = link;
	next->prev = link;
}

static inline void rota_list_push_back(struct rota_link *head, struct rota_link *link)
{
	rota_list_insert_between_(link, head->prev, head);
}

static inline void rota_list_push_front(struct rota_link *head, struct rota_link *link)
{
	rota_list_insert_between_(link, head, head->next);
}

/* Take `link` off whatever list it is on; harmless if it is on none. */
static inline void rota_list_remove(struct rota_link *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	rota_list_init(link);
}

/* Take off and return the first link, or NULL when the list is empty. */
static inline struct rota_link *rota_list_pop_front(struct rota_link *head)
{
	struct rota_link *link = head->next;

	if (link == head)
		return NULL;
	rota_list_remove(link);
	return link;
}

/* Move all of `from` to the end of `to`; `from` is empty afterwards. O(1). */
static inline void rota_list_splice_back(struct rota_link *to, struct rota_link *from)
{
	if (rota_list_is_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	rota_list_init(from);
}

#ifdef __cplusplus
}
#endif

#endif /* ROTA_BASE_H */
