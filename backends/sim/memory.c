/* SPDX-License-Identifier: MIT */
/*
 * Whose memory is whose, so that a crashed host's can be given back. Each thread keeps its own
 * account; one thread per world.
 *
 * The one idea: while programs run, an allocator stands in front of the one in use and notes every
 * block that is taken in a host's name in a table of its own. Blocks that are not in the table pass
 * through, so it can come and go at any time.
 */
#include <stdlib.h>
#include <string.h>

#include <rota/memory.h>

#include "backends/sim/sim_internal.h"

#define NOBODY UINT32_MAX

/* Of what a host asks for while the plan says that it is short of memory. */
#define NO_MEMORY_PERMILLE 20

struct block {
	void *memory; /* NULL: a free place */
	uint32_t owner;
};

/* Open addressing, at most half full. */
static _Thread_local struct {
	const struct rota_allocator *behind;
	struct rota_sim_world *world;
	struct block *blocks;
	size_t places; /* a power of two, or 0 */
	size_t used;
} account;

static _Thread_local uint32_t owner = NOBODY;

static size_t home_of(const void *memory)
{
	return (size_t)(((uint64_t)(uintptr_t)memory * UINT64_C(0x9e3779b97f4a7c15)) >> 20) &
	       (account.places - 1);
}

static void put(void *memory, uint32_t who)
{
	size_t at = home_of(memory);

	while (account.blocks[at].memory)
		at = (at + 1) & (account.places - 1);
	account.blocks[at] = (struct block){ memory, who };
	account.used++;
}

static bool make_room(void)
{
	size_t places_before = account.places;
	struct block *before = account.blocks, *blocks;

	if (account.used * 2 < account.places)
		return true;
	/* Not from the allocator: what is counted there is the programs'. */
	blocks = calloc(places_before ? places_before * 2 : 4096, sizeof(*blocks));
	if (!blocks)
		return false;
	account.blocks = blocks;
	account.places = places_before ? places_before * 2 : 4096;
	account.used = 0;
	for (size_t i = 0; i < places_before; i++)
		if (before[i].memory)
			put(before[i].memory, before[i].owner);
	free(before);
	return true;
}

static struct block *find(const void *memory)
{
	if (!account.places || !memory)
		return NULL;
	for (size_t at = home_of(memory); account.blocks[at].memory;
	     at = (at + 1) & (account.places - 1))
		if (account.blocks[at].memory == memory)
			return &account.blocks[at];
	return NULL;
}

/* Take it out, and let those behind it move up, so that none is cut off from its home. */
static void strike(struct block *block)
{
	size_t hole, mask = account.places - 1;

	if (!block)
		return;
	hole = (size_t)(block - account.blocks);
	for (size_t at = (hole + 1) & mask; account.blocks[at].memory; at = (at + 1) & mask) {
		size_t home = home_of(account.blocks[at].memory);

		if (((at - home) & mask) < ((at - hole) & mask))
			continue;
		account.blocks[hole] = account.blocks[at];
		hole = at;
	}
	account.blocks[hole].memory = NULL;
	account.used--;
}

/* ---- the allocator ---- */

bool sim__is_out_of_memory(struct rota_sim_world *world, uint32_t host)
{
	return sim__is_burdened(world, host, ROTA_SIM_NO_MEMORY) &&
	       sim__chance(world, SIM_DECIDE_NO_MEMORY, NO_MEMORY_PERMILLE);
}

/* There is none for `whose`, or none to note it in. */
static bool is_refused(uint32_t whose)
{
	return whose != NOBODY && (sim__is_out_of_memory(account.world, whose) || !make_room());
}

/* `alignment` 0: whatever the allocator behind gives. */
static void *take_aligned(size_t alignment, size_t bytes)
{
	uint32_t whose = rota_alloc_is_shared() ? NOBODY : owner;
	void *memory;

	if (is_refused(whose))
		return NULL;
	memory = alignment ? account.behind->allocate_aligned(alignment, bytes)
			   : account.behind->allocate(bytes);
	if (memory && whose != NOBODY)
		put(memory, whose);
	return memory;
}

static void *take(size_t bytes)
{
	return take_aligned(0, bytes);
}

static void give_back(void *memory)
{
	strike(find(memory));
	account.behind->release(memory);
}

static void *resize(void *memory, size_t bytes)
{
	struct block *block = find(memory);
	uint32_t whose = memory ? (block ? block->owner : NOBODY) : owner;
	void *moved;

	if (is_refused(whose))
		return NULL;
	moved = account.behind->reallocate(memory, bytes);
	if (!moved)
		return NULL;
	strike(find(memory));
	if (whose != NOBODY)
		put(moved, whose);
	return moved;
}

static size_t good_bytes(size_t bytes)
{
	return account.behind->good_bytes ? account.behind->good_bytes(bytes) : bytes;
}

static const struct rota_allocator noting = {
	.allocate = take,
	.reallocate = resize,
	.release = give_back,
	.good_bytes = good_bytes,
	.allocate_aligned = take_aligned,
};

void sim__memory_begin(struct rota_sim_world *world)
{
	account.world = world;
	account.behind = rota_get_allocator();
	rota_set_allocator(&noting);
}

void sim__memory_end(void)
{
	rota_set_allocator(account.behind);
	free(account.blocks);
	memset(&account, 0, sizeof(account));
}

uint32_t sim__memory_owner(uint32_t who)
{
	uint32_t before = owner;

	owner = who;
	return before;
}

uint32_t sim__memory_nobody(void)
{
	return sim__memory_owner(NOBODY);
}

void sim__memory_free_of(uint32_t who)
{
	for (size_t i = 0; i < account.places; i++) {
		/* Another may have moved up into the place. */
		while (account.blocks[i].memory && account.blocks[i].owner == who)
			give_back(account.blocks[i].memory);
	}
}

void *sim__calloc(size_t count, size_t item_bytes)
{
	uint32_t before = sim__memory_nobody();
	void *memory = rota_calloc(count, item_bytes);

	owner = before;
	return memory;
}

void *sim__alloc(size_t bytes)
{
	uint32_t before = sim__memory_nobody();
	void *memory = rota_alloc(bytes);

	owner = before;
	return memory;
}
