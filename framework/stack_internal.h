/* SPDX-License-Identifier: MIT */
/*
 * What stack.c and stack_fault.c share: how a slab is laid out. Included by these two only.
 */
#ifndef ROTA_FRAMEWORK_STACK_INTERNAL_H
#define ROTA_FRAMEWORK_STACK_INTERNAL_H

#include "framework/stack.h"

#define ROTA_STACK_SLAB_SLOTS 64u
/*
 * Head, colour and object lie in this much at the top of a slot: one page where pages are smallest.
 */
#define ROTA_STACK_TOP_BYTES ((size_t)4096)
#define ROTA_STACK_BYTES_MAX ((size_t)256 * 1024)

/*
 * A mapping of 64 slots, each a guard with a stack above it. Lives outside, so that a cold slab has
 * no page.
 */
struct rota_stack_slab {
	struct rota_link link; /* on shelf->slabs when `cold` is not 0, else on shelf->full_slabs */
	struct rota_link sparse_link; /* on shelf->sparse since it became worth trimming */
	char *base;
	uint64_t cold;    /* bit per slot: idle, without pages */
	uint64_t used;    /* bit per slot: out. Neither: idle and warm. */
	uint64_t guarded; /* bit per slot: its guard is in place, which waits for the first use */
	uint32_t in_use;  /* bits in `used` */
	enum rota_stack_class class;
	uint32_t tool_ids[ROTA_STACK_SLAB_SLOTS]; /* of guarded slots: what Valgrind calls them */
};

/* At the very top of every slot that is out or warm; ends at the slot's end. */
struct rota_stack_head {
	struct rota_link link; /* on shelf->warm while idle */
	struct rota_stack_slab *slab;
	void *object;          /* NULL while idle */
	uint16_t colour_bytes; /* the slot's colour */
	uint8_t index;
	bool fresh; /* the pages were cold when it was acquired */
} ROTA_ALIGNED(ROTA_CACHE_LINE_BYTES);

_Static_assert(sizeof(struct rota_stack_head) == ROTA_CACHE_LINE_BYTES, "keeps objects aligned");

static inline struct rota_stack_head *rota__stack_head(const void *object)
{
	uintptr_t end = ((uintptr_t)object | (ROTA_STACK_TOP_BYTES - 1)) + 1;

	return (struct rota_stack_head *)end - 1;
}

#endif /* ROTA_FRAMEWORK_STACK_INTERNAL_H */
