/* SPDX-License-Identifier: MIT */
/*
 * The first instructions of every new context, jumped to by its first switch. Out of line because
 * they need call frame information of their own: the return address is undefined here, which is how
 * debuggers know that a task's backtrace ends.
 *
 * rota__context_make left `entry` and `arg` at the stack pointer; the register that held `to` in
 * the switch still does. Calls rota__context_begin(entry, arg, context), which does not return.
 */
#if defined(ROTA_CONTEXT_UCONTEXT)
/* makecontext has an entry of its own */
#elif defined(__x86_64__)

#if defined(__CET__)
#include <cet.h>
#endif
	.text
	.globl rota__context_entry
	.hidden rota__context_entry
	.hidden rota__context_begin
	.type rota__context_entry, @function
	.p2align 4
rota__context_entry:
	.cfi_startproc
	.cfi_undefined rip
	endbr64
	movq %rsi, %rdx
	movq 0(%rsp), %rdi
	movq 8(%rsp), %rsi
	xorl %ebp, %ebp
	call rota__context_begin
	ud2
	.cfi_endproc
	.size rota__context_entry, .-rota__context_entry

	/* The name is the compilers': where functions that leave by a jump go instead of `ret`. */
	.weak __x86_return_thunk
	.hidden __x86_return_thunk
	.type __x86_return_thunk, @function
	.p2align 4
__x86_return_thunk:
	.cfi_startproc
	popq %rcx
	.cfi_def_cfa_offset 0
	.cfi_register rip, rcx
	jmp *%rcx
	.cfi_endproc
	.size __x86_return_thunk, .-__x86_return_thunk

#elif defined(__aarch64__)

	.text
	.globl rota__context_entry
	.hidden rota__context_entry
	.hidden rota__context_begin
	.type rota__context_entry, %function
	.p2align 4
rota__context_entry:
	.cfi_startproc
	.cfi_undefined x30
	hint #36 /* bti j */
	mov x2, x1
	ldp x0, x1, [sp]
	mov x29, xzr
	bl rota__context_begin
	brk #1
	.cfi_endproc
	.size rota__context_entry, .-rota__context_entry

#if defined(__ARM_FEATURE_BTI_DEFAULT)
	/* Without this note the linker would switch branch protection off for the whole program. */
	.pushsection .note.gnu.property, "a"
	.balign 8
	.long 4, 16, 5
	.asciz "GNU"
	.long 0xc0000000, 4, 1, 0
	.popsection
#endif

#endif

	.section .note.GNU-stack, "", %progbits
