/* SPDX-License-Identifier: MIT */
/*
 * The switch on x86-64 (System V ABI). Included by framework/context.h only.
 *
 * Nothing is pushed, so the red zone of the frame around the asm stays as it is: nobody writes
 * below a suspended stack pointer. rbp is kept by hand because it may be the frame pointer, rbx
 * because it may be LLVM's base pointer (frames both realigned and of variable size): neither can
 * be declared clobbered there. %rsi still holds `to` on arrival: a new context's first instruction
 * (context_entry.S) relies on it.
 */
#include <ucontext.h>

/* Compilers probe every page of a large frame; more is for frames of code built without. */
#define ROTA_CONTEXT_GUARD_BYTES ((size_t)16 * 1024)

_Static_assert(offsetof(struct rota_context, sp) == 0 && offsetof(struct rota_context, fp) == 8 &&
		       offsetof(struct rota_context, resume) == 16 &&
		       offsetof(struct rota_context, base) == 24,
	       "the assembly knows these offsets");

#if defined(__AVX512F__)
#define ROTA_CONTEXT_CLOBBERS_AVX512_                                                              \
	, "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24",         \
		"xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3",   \
		"k4", "k5", "k6", "k7"
#else
#define ROTA_CONTEXT_CLOBBERS_AVX512_
#endif

ROTA_CONTEXT_INLINE_ void rota__context_jump_(struct rota_context *from, struct rota_context *to)
{
	__asm__ volatile("leaq 1f(%%rip), %%rax\n\t"
			 "movq %%rsp, 0(%%rdi)\n\t"
			 "movq %%rbp, 8(%%rdi)\n\t"
			 "movq %%rax, 16(%%rdi)\n\t"
			 "movq %%rbx, 24(%%rdi)\n\t"
			 "movq 0(%%rsi), %%rsp\n\t"
			 "movq 8(%%rsi), %%rbp\n\t"
			 "movq 24(%%rsi), %%rbx\n\t"
			 "jmpq *16(%%rsi)\n"
			 "1:\n\t"
			 "endbr64"
			 : "+D"(from), "+S"(to)
			 :
			 : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
			   "r15", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
			   "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",
			   "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)",
			   "mm0", "mm1", "mm2", "mm3", "mm4", "mm5", "mm6", "mm7", "memory",
			   "cc" ROTA_CONTEXT_CLOBBERS_AVX512_);
}

ROTA_NORETURN ROTA_CONTEXT_INLINE_ void rota__context_jump_for_good_(struct rota_context *to)
{
	__asm__ volatile("movq 0(%%rsi), %%rsp\n\t"
			 "movq 8(%%rsi), %%rbp\n\t"
			 "movq 24(%%rsi), %%rbx\n\t"
			 "jmpq *16(%%rsi)"
			 :
			 : "S"(to)
			 : "memory");
	__builtin_unreachable();
}

/*
 * The stack pointer at the instruction a signal interrupted; `ucontext` is the handler's third
 * argument.
 */
static inline uintptr_t rota__context_signal_sp(const void *ucontext)
{
	return (uintptr_t)((const ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RSP];
}

/* The same for the frame pointer, and for the instruction. */
static inline uintptr_t rota__context_signal_fp(const void *ucontext)
{
	return (uintptr_t)((const ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RBP];
}

static inline void *rota__context_signal_pc(const void *ucontext)
{
	return (void *)((const ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RIP];
}
