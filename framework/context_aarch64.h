/* SPDX-License-Identifier: MIT */
/*
 * The switch on aarch64 (AAPCS64). Included by framework/context.h only.
 *
 * x29 is kept by hand because it is the frame pointer, x19 because it may be LLVM's base pointer:
 * neither can be declared clobbered there. x18 is never written here, in case it is the platform's,
 * but declared: on Linux compilers use it like any other. x30 too: its caller's value is in the
 * frame. x1 still holds `to` on arrival: a new context's first instruction (context_entry.S) relies
 * on it.
 */
#include <ucontext.h>

/* Compilers probe a large frame every 64 KiB: a smaller guard could be stepped over. */
#define ROTA_CONTEXT_GUARD_BYTES ((size_t)64 * 1024)

_Static_assert(offsetof(struct rota_context, sp) == 0 && offsetof(struct rota_context, fp) == 8 &&
		       offsetof(struct rota_context, resume) == 16 &&
		       offsetof(struct rota_context, base) == 24,
	       "the assembly knows these offsets");

/*
 * The vector clobbers cover the SVE registers of the same numbers; predicates have names of their
 * own.
 */
#if defined(__ARM_FEATURE_SVE)
#define ROTA_CONTEXT_CLOBBERS_SVE_                                                                 \
	, "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11", "p12", "p13",  \
		"p14", "p15"
#else
#define ROTA_CONTEXT_CLOBBERS_SVE_
#endif

ROTA_CONTEXT_INLINE_ void rota__context_jump_(struct rota_context *from, struct rota_context *to)
{
	register struct rota_context *x0 __asm__("x0") = from;
	register struct rota_context *x1 __asm__("x1") = to;

	/* hint #36 is `bti j`, spelled so that assemblers for plain ARMv8 take it. */
	__asm__ volatile("adr x9, 1f\n\t"
			 "mov x10, sp\n\t"
			 "stp x10, x29, [x0]\n\t"
			 "stp x9, x19, [x0, #16]\n\t"
			 "ldp x10, x29, [x1]\n\t"
			 "ldp x9, x19, [x1, #16]\n\t"
			 "mov sp, x10\n\t"
			 "br x9\n"
			 "1:\n\t"
			 "hint #36"
			 : "+r"(x0), "+r"(x1)
			 :
			 : "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12",
			   "x13", "x14", "x15", "x16", "x17", "x18", "x20", "x21", "x22", "x23",
			   "x24", "x25", "x26", "x27", "x28", "x30", "v0", "v1", "v2", "v3", "v4",
			   "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15",
			   "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25",
			   "v26", "v27", "v28", "v29", "v30", "v31", "memory",
			   "cc" ROTA_CONTEXT_CLOBBERS_SVE_);
}

ROTA_NORETURN ROTA_CONTEXT_INLINE_ void rota__context_jump_for_good_(struct rota_context *to)
{
	register struct rota_context *x1 __asm__("x1") = to;

	__asm__ volatile("ldp x10, x29, [x1]\n\t"
			 "ldp x9, x19, [x1, #16]\n\t"
			 "mov sp, x10\n\t"
			 "br x9"
			 :
			 : "r"(x1)
			 : "x9", "x10", "memory");
	__builtin_unreachable();
}

/*
 * The stack pointer at the instruction a signal interrupted; `ucontext` is the handler's third
 * argument.
 */
static inline uintptr_t rota__context_signal_sp(const void *ucontext)
{
	return (uintptr_t)((const ucontext_t *)ucontext)->uc_mcontext.sp;
}

/* The same for the frame pointer, and for the instruction. */
static inline uintptr_t rota__context_signal_fp(const void *ucontext)
{
	return (uintptr_t)((const ucontext_t *)ucontext)->uc_mcontext.regs[29];
}

static inline void *rota__context_signal_pc(const void *ucontext)
{
	return (void *)((const ucontext_t *)ucontext)->uc_mcontext.pc;
}
