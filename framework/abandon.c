/* SPDX-License-Identifier: MIT */
/*
 * Letting go of a reactor whose machine has lost its power, in a simulated world. Thread: the
 * reactor's, between turns.
 *
 * The one idea: everything that is not memory from rota_alloc is given back here, and nothing of
 * the program runs.
 */
#include "framework/generator_internal.h"
#include "framework/reactor_internal.h"
#include "framework/stack_internal.h"

/* Sanitizers are to forget its frames; where its own stack is, whatever it was suspended on. */
static void retire_task(struct rota_stack_head *head, size_t stack_bytes)
{
	struct rota_task *task = head->object;
	char *low = (char *)(head + 1) - stack_bytes;

	task->context.stack_low = low;
	task->context.stack_bytes = (size_t)((char *)task - low);
	rota__context_retire(&task->context);
}

static void retire_slabs(struct rota_stack_shelf *shelf, struct rota_link *slabs)
{
	for (struct rota_link *link = slabs->next; link != slabs; link = link->next) {
		struct rota_stack_slab *slab = ROTA_CONTAINER_OF(link, struct rota_stack_slab,
								 link);

		for (; slab->used; slab->used &= slab->used - 1) {
			size_t index = (size_t)__builtin_ctzll(slab->used);
			char *end = slab->base + (index + 1) * shelf->slot_bytes;

			retire_task((struct rota_stack_head *)(void *)end - 1, shelf->stack_bytes);
			shelf->in_use--;
		}
	}
}

void rota_reactor_abandon(struct rota_reactor *reactor)
{
	ROTA_ASSERT(!rota__current_reactor);
	rota__generators_abandon(reactor);
	for (unsigned class = 0; class < ROTA_STACK_CLASS_COUNT; class ++) {
		retire_slabs(&reactor->stacks.shelves[class],
			     &reactor->stacks.shelves[class].slabs);
		retire_slabs(&reactor->stacks.shelves[class],
			     &reactor->stacks.shelves[class].full_slabs);
	}
	if (reactor->is_open)
		rota__stack_thread_fini(&reactor->stacks);
	rota__stack_pool_fini(&reactor->stacks);
	__atomic_store_n(&rota__reactors[reactor->slot], NULL, __ATOMIC_RELEASE);
}
