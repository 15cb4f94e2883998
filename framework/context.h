/* SPDX-License-Identifier: MIT */
/*
 * Execution contexts: a stack and the place on it to go on from. Framework-internal; a context
 * belongs to the thread that made or adopted it and never leaves it. What tasks and generators are
 * made of; knows nothing of either.
 *
 * The one idea: a switch is an inline-asm statement that declares every register clobbered, so the
 * compiler itself spills what is live and only sp, fp, one more register and the resume address are
 * kept by us. No function is entered or left; that is worth 2 ns against 12. Not switched: the x87
 * and MXCSR (FPCR) control words and the signal mask, which are the thread's. User-mode shadow
 * stacks (x86 SHSTK, arm64 GCS) can't be followed: build with -fcf-protection=branch at most.
 */
#ifndef ROTA_FRAMEWORK_CONTEXT_H
#define ROTA_FRAMEWORK_CONTEXT_H

#include <rota/base.h>

/*
 * Which sanitizer this translation unit is built for; every one of the program is built for the
 * same.
 */
#if defined(__SANITIZE_ADDRESS__)
#define ROTA_CONTEXT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ROTA_CONTEXT_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define ROTA_CONTEXT_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ROTA_CONTEXT_TSAN 1
#endif
#endif

#if defined(ROTA_CONTEXT_ASAN)
#include <sanitizer/common_interface_defs.h>
#elif defined(ROTA_CONTEXT_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

/*
 * The layout is the same in every build: tools walk suspended contexts by offset. The assembly
 * knows the first four.
 */
struct rota_context {
	/* while suspended: stack pointer (ucontext: the ucontext_t on that stack) */
	void *sp;
	/*
	 * while suspended: frame pointer, the head of the frame chain; NULL before the first switch
	 */
	void *fp;
	void *resume; /* while suspended: where to go on */
	/* while suspended: LLVM's base pointer register, which it doesn't let asm clobber */
	void *base;
	/* lowest usable byte of the stack; NULL when unknown (adopted, and libc would not say) */
	void *stack_low;
	size_t stack_bytes; /* usable bytes from there */
	void *fiber;        /* ASan: fake stack while suspended; TSan: the fiber; else NULL */
};

_Static_assert(sizeof(struct rota_context) == 56, "a cache line with one more word");

/*
 * The running thread's own stack becomes a context one can switch away from and back to. Thread:
 * the running one.
 */
void rota__context_adopt_thread(struct rota_context *context);

/*
 * A new context which, when first switched to, calls entry(arg) on [stack_low, stack_low +
 * stack_bytes), whose end is 16-byte aligned. `entry` never returns: its last act is
 * rota__context_exit. Lends the stack until rota__context_retire.
 * Returns 0, or -ENOMEM (TSan only: no fiber).
 */
ROTA_MUST_USE int rota__context_make(struct rota_context *context, void *stack_low,
				     size_t stack_bytes, void (*entry)(void *), void *arg);

/*
 * After the exit of `context`, or if it was never switched to: frees what a sanitizer kept for it.
 * Called on another stack; the stack may be reused afterwards.
 */
void rota__context_retire(struct rota_context *context);

/*
 * Tell Valgrind, if the program runs under it, that contexts will run on this memory; returns what
 * it calls it. Once for each stack: asking costs more than making a context.
 */
uint32_t rota__context_announce_stack(void *low, size_t bytes);
void rota__context_forget_stack(uint32_t id);

/* Is `memory` on its stack? */
static inline bool rota__context_has(const struct rota_context *context, const void *memory)
{
	return (uintptr_t)memory - (uintptr_t)context->stack_low < context->stack_bytes;
}

/*
 * Suspend `from`, which is running, and resume `to`; returns when somebody switches back to `from`.
 */
static inline void rota__context_switch(struct rota_context *from, struct rota_context *to);

/*
 * The last switch of a context that ends: never returns. Its stack may be reused once `to` runs and
 * has retired it.
 */
ROTA_NORETURN static inline void rota__context_exit(struct rota_context *from,
						    struct rota_context *to);

/* ---- inline bodies ---- */

#define ROTA_CONTEXT_INLINE_ static inline __attribute__((always_inline))

/*
 * For a function that switches and returns to who did not call it last: it leaves by an indirect
 * jump (context_entry.S), which the processor predicts, and not by a return, which it predicts
 * wrong. The returns after it are predicted wrong then, so this is for those that are called from a
 * loop; docs/design/0009-generators.md has the numbers. Not with shadow stacks, which want returns.
 */
#if defined(__x86_64__) && !defined(__CET__) && !defined(ROTA_CONTEXT_UCONTEXT) &&                 \
	defined(__has_attribute)
#if __has_attribute(function_return)
#define ROTA_CONTEXT_LEAVES_BY_JUMP_ __attribute__((function_return("thunk-extern")))
#endif
#endif
#if !defined(ROTA_CONTEXT_LEAVES_BY_JUMP_)
#define ROTA_CONTEXT_LEAVES_BY_JUMP_
#endif

/*
 * Each defines rota__context_jump_, rota__context_jump_for_good_, rota__context_signal_sp, _fp and
 * _pc, and how large a guard must be so that no frame steps over it: ROTA_CONTEXT_GUARD_BYTES.
 */
#if defined(ROTA_CONTEXT_UCONTEXT)
#include "framework/context_ucontext.h"
#elif defined(__x86_64__)
#include "framework/context_x86_64.h"
#elif defined(__aarch64__)
#include "framework/context_aarch64.h"
#else
#define ROTA_CONTEXT_UCONTEXT 1
#include "framework/context_ucontext.h"
#endif

/*
 * The pair that tells sanitizers about a switch: the first on the stack that is left, directly
 * before the jump, the second on the stack that is arrived at, directly after it. Both are empty in
 * other builds.
 */
ROTA_CONTEXT_INLINE_ void rota__context_leave_(struct rota_context *from,
					       const struct rota_context *to, bool for_good)
{
#if defined(ROTA_CONTEXT_ASAN)
	__sanitizer_start_switch_fiber(for_good ? NULL : &from->fiber, to->stack_low,
				       to->stack_bytes);
#elif defined(ROTA_CONTEXT_TSAN)
	__tsan_switch_to_fiber(to->fiber, 0);
#endif
	(void)from;
	(void)to;
	(void)for_good;
}

ROTA_CONTEXT_INLINE_ void rota__context_arrive_(struct rota_context *self)
{
#if defined(ROTA_CONTEXT_ASAN)
	__sanitizer_finish_switch_fiber(self->fiber, NULL, NULL);
#endif
	(void)self;
}

/*
 * Sanitizers are to take `context` for one that runs on the stack of `other`, from its next switch
 * on: what runs there is about to change stacks without being suspended itself.
 */
ROTA_CONTEXT_INLINE_ void rota__context_note_stack(struct rota_context *context,
						   const struct rota_context *other)
{
#if defined(ROTA_CONTEXT_ASAN) || defined(ROTA_CONTEXT_TSAN)
	context->stack_low = other->stack_low;
	context->stack_bytes = other->stack_bytes;
	context->fiber = other->fiber;
#endif
	(void)context;
	(void)other;
}

ROTA_CONTEXT_INLINE_ void rota__context_switch(struct rota_context *from, struct rota_context *to)
{
	rota__context_leave_(from, to, false);
	rota__context_jump_(from, to);
	rota__context_arrive_(from);
}

ROTA_NORETURN ROTA_CONTEXT_INLINE_ void rota__context_exit(struct rota_context *from,
							   struct rota_context *to)
{
	rota__context_leave_(from, to, true);
	rota__context_jump_for_good_(to);
}

#endif /* ROTA_FRAMEWORK_CONTEXT_H */
