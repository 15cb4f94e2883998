/* SPDX-License-Identifier: MIT */
/*
 * The switch where we have no assembly: ucontext(3). Included by framework/context.h only.
 *
 * A suspended context's ucontext_t (about 1 KiB) lies on its own stack and rota_context.sp points
 * to it, so struct rota_context is the same everywhere. Slower by two system calls a switch (the
 * signal mask).
 */
#include <stdlib.h>
#include <ucontext.h>

/* As large as any machine's compilers want it. */
#define ROTA_CONTEXT_GUARD_BYTES ((size_t)64 * 1024)

ROTA_CONTEXT_INLINE_ void rota__context_jump_(struct rota_context *from, struct rota_context *to)
{
	ucontext_t saved;

	from->sp = &saved;
	/* Fails only for want of stack, which the guard catches first. */
	if (swapcontext(&saved, to->sp))
		abort();
	from->sp = NULL;
}

ROTA_NORETURN ROTA_CONTEXT_INLINE_ void rota__context_jump_for_good_(struct rota_context *to)
{
	setcontext(to->sp);
	abort();
}

/* The stack pointer at the instruction a signal interrupted: not known here. */
static inline uintptr_t rota__context_signal_sp(const void *ucontext)
{
	(void)ucontext;
	return 0;
}

static inline uintptr_t rota__context_signal_fp(const void *ucontext)
{
	(void)ucontext;
	return 0;
}

static inline void *rota__context_signal_pc(const void *ucontext)
{
	(void)ucontext;
	return NULL;
}
