/* SPDX-License-Identifier: MIT */
/*
 * The page's template inside the program, for page.c, ended by a NUL.
 */
	.section .rodata
	.globl page_template
	.hidden page_template
	.type page_template, STT_OBJECT
page_template:
	.incbin "bench/compare/page.html"
	.byte 0
	.size page_template, . - page_template
	.section .note.GNU-stack, "", %progbits
