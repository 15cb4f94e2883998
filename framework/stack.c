/* SPDX-License-Identifier: MIT */
/*
 * The stack pool. Thread: the reactor it belongs to. The report of overflows is in stack_fault.c.
 *
 * Idle stacks are warm (they keep their pages, and are reused last in first out) or cold (no pages,
 * a bit in their slab). Giving a page back costs 0.5 us, more than the task's whole end should, so
 * a release only notes the slab that has become worth trimming, at a quarter of its stacks in use.
 * One slab is trimmed per RELEASES_PER_TRIM releases, the rest when the reactor has time
 * (rota__stack_trim). Afterwards idle pages are at most WARM_KEPT plus three times those in use.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <rota/error.h>
#include <rota/log.h>
#include <rota/memory.h>

#include "framework/context.h"
#include "framework/stack.h"
#include "framework/stack_internal.h"

/* Linux 6.13; older libcs don't name it. */
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* Idle stacks of a class that keep their page whatever happens: 1 MiB. A guess. */
#define WARM_KEPT 256u
/*
 * Coprime to all slot distances in pages, so neighbours differ; times a cache line leaves 2.5 KiB
 * of the top page.
 */
#define COLOURS 25u
/* 50 us for a slab over this many releases is 0.2 us each. */
#define RELEASES_PER_TRIM 256u
#define SPARSE_SLOTS (ROTA_STACK_SLAB_SLOTS / 4)

static const size_t class_bytes[ROTA_STACK_CLASS_COUNT] = {
	[ROTA_STACK_16K] = (size_t)16 * 1024,
	[ROTA_STACK_64K] = (size_t)64 * 1024,
	[ROTA_STACK_256K] = (size_t)256 * 1024,
};

static struct rota_stack_head *take_warm(struct rota_stack_shelf *shelf);
static struct rota_stack_head *take_cold(struct rota_stack_pool *pool,
					 struct rota_stack_shelf *shelf,
					 enum rota_stack_class class);
static struct rota_stack_slab *map_slab(struct rota_stack_pool *pool,
					struct rota_stack_shelf *shelf,
					enum rota_stack_class class);
static int install_guard(struct rota_stack_pool *pool, void *low, size_t bytes);
static void report_failure(struct rota_stack_pool *pool, const char *call, int error);
static bool trim_shelf(struct rota_stack_shelf *shelf, unsigned *slabs_left);
static void cool(struct rota_stack_shelf *shelf, struct rota_stack_slab *slab);
static void forget_stacks(const struct rota_stack_slab *slab);
static void unmap_slab(struct rota_stack_shelf *shelf, struct rota_stack_slab *slab);

static uint64_t slot_bit(unsigned index)
{
	return UINT64_C(1) << index;
}

static void init_shelf(struct rota_stack_shelf *shelf, size_t stack_bytes, size_t page_bytes)
{
	size_t pages = (rota_round_up(stack_bytes, page_bytes) +
			rota_round_up(ROTA_CONTEXT_GUARD_BYTES, page_bytes)) /
		       page_bytes;

	rota_list_init(&shelf->warm);
	rota_list_init(&shelf->slabs);
	rota_list_init(&shelf->full_slabs);
	rota_list_init(&shelf->sparse);
	shelf->releases = 0;
	shelf->stack_bytes = rota_round_up(stack_bytes, page_bytes);
	/* Odd: a power of two would put the top pages of all stacks into a few sets of the TLB. */
	shelf->slot_bytes = (pages | 1) * page_bytes;
	shelf->in_use = shelf->idle = shelf->slab_count = 0;
}

void rota__stack_pool_init(struct rota_stack_pool *pool, rota_stack_describe_fn describe)
{
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);

	for (unsigned class = 0; class < ROTA_STACK_CLASS_COUNT; class ++)
		init_shelf(&pool->shelves[class], class_bytes[class], page_bytes);
	pool->describe = describe;
	pool->guard = ROTA_STACK_GUARD_MARKER;
	pool->marker_works = false;
	pool->failure_reported = false;
	pool->next_here = NULL;
	pool->may_trim = false;
}

static void unmap_all(struct rota_stack_shelf *shelf, struct rota_link *slabs)
{
	struct rota_link *link;

	while ((link = rota_list_pop_front(slabs))) {
		struct rota_stack_slab *slab = ROTA_CONTAINER_OF(link, struct rota_stack_slab,
								 link);

		forget_stacks(slab);
		rota_ignore(munmap(slab->base, ROTA_STACK_SLAB_SLOTS * shelf->slot_bytes),
			    "fails only when it would need another mapping");
		rota_free(slab);
	}
}

void rota__stack_pool_fini(struct rota_stack_pool *pool)
{
	for (unsigned class = 0; class < ROTA_STACK_CLASS_COUNT; class ++) {
		struct rota_stack_shelf *shelf = &pool->shelves[class];

		ROTA_ASSERT(shelf->in_use == 0);
		unmap_all(shelf, &shelf->slabs);
		unmap_all(shelf, &shelf->full_slabs);
		rota_list_init(&shelf->warm);
		rota_list_init(&shelf->sparse);
		shelf->idle = shelf->slab_count = 0;
	}
	pool->may_trim = false;
}

void *rota__stack_acquire(struct rota_stack_pool *pool, enum rota_stack_class class,
			  size_t object_bytes, void **low, size_t *bytes)
{
	struct rota_stack_shelf *shelf = &pool->shelves[class];
	struct rota_stack_head *head;
	char *object;

	ROTA_ASSERT(object_bytes <= ROTA_STACK_OBJECT_BYTES_MAX);
	head = take_warm(shelf);
	if (ROTA_UNLIKELY(!head)) {
		head = take_cold(pool, shelf, class);
		if (!head)
			return NULL;
	}
	head->slab->used |= slot_bit(head->index);
	head->slab->in_use++;
	shelf->in_use++;
	object = (char *)head - head->colour_bytes -
		 rota_round_up(object_bytes, ROTA_CACHE_LINE_BYTES);
	head->object = object;
	*low = (char *)(head + 1) - shelf->stack_bytes;
	*bytes = (size_t)(object - (char *)*low);
	return object;
}

void rota__stack_release(struct rota_stack_pool *pool, void *object)
{
	struct rota_stack_head *head = rota__stack_head(object);
	struct rota_stack_slab *slab = head->slab;
	struct rota_stack_shelf *shelf = &pool->shelves[slab->class];

	ROTA_ASSERT(head->object == object);
	head->object = NULL;
	head->fresh = false;
	slab->used &= ~slot_bit(head->index);
	slab->in_use--;
	shelf->in_use--;
	rota_list_push_front(&shelf->warm, &head->link);
	if (++shelf->idle > WARM_KEPT)
		pool->may_trim = true;
	if (slab->in_use <= SPARSE_SLOTS && rota_list_is_empty(&slab->sparse_link))
		rota_list_push_back(&shelf->sparse, &slab->sparse_link);
	if (++shelf->releases % RELEASES_PER_TRIM == 0) {
		unsigned slabs_left = 1;

		rota_ignore(trim_shelf(shelf, &slabs_left), "the next ones continue");
	}
}

bool rota__stack_trim_some(struct rota_stack_pool *pool, unsigned slabs_max)
{
	pool->may_trim = false;
	for (unsigned class = 0; class < ROTA_STACK_CLASS_COUNT; class ++)
		pool->may_trim |= trim_shelf(&pool->shelves[class], &slabs_max);
	return pool->may_trim;
}

enum rota_stack_class rota__stack_class_of(const void *object)
{
	return rota__stack_head(object)->slab->class;
}

size_t rota__stack_bytes(const void *object)
{
	return rota_round_up(class_bytes[rota__stack_class_of(object)],
			     (size_t)sysconf(_SC_PAGESIZE));
}

bool rota__stack_is_fresh(const void *object)
{
	return rota__stack_head(object)->fresh;
}

size_t rota__stack_used_bytes(const void *object)
{
	unsigned char resident[ROTA_STACK_BYTES_MAX / ROTA_STACK_TOP_BYTES];
	struct rota_stack_head *head = rota__stack_head(object);
	size_t bytes = rota__stack_bytes(object);
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	size_t page = 0;

	if (mincore((char *)(head + 1) - bytes, bytes, resident))
		return 0;
	while (page < bytes / page_bytes && !(resident[page] & 1))
		page++;
	return bytes - page * page_bytes;
}

static struct rota_stack_head *take_warm(struct rota_stack_shelf *shelf)
{
	struct rota_link *link = rota_list_pop_front(&shelf->warm);

	if (!link)
		return NULL;
	shelf->idle--;
	return ROTA_CONTAINER_OF(link, struct rota_stack_head, link);
}

/* A stack without pages, guarded, from the first slab that has one; a new slab when none has. */
static ROTA_NOINLINE struct rota_stack_head *take_cold(struct rota_stack_pool *pool,
						       struct rota_stack_shelf *shelf,
						       enum rota_stack_class class)
{
	struct rota_stack_slab *slab;
	struct rota_stack_head *head;
	unsigned index;
	char *slot;

	if (!rota_list_is_empty(&shelf->slabs))
		slab = ROTA_CONTAINER_OF(shelf->slabs.next, struct rota_stack_slab, link);
	else if (!(slab = map_slab(pool, shelf, class)))
		return NULL;
	index = (unsigned)__builtin_ctzll(slab->cold);
	slot = slab->base + index * shelf->slot_bytes;
	if (!(slab->guarded & slot_bit(index))) {
		if (install_guard(pool, slot, shelf->slot_bytes - shelf->stack_bytes))
			return NULL;
		slab->guarded |= slot_bit(index);
		slab->tool_ids[index] = rota__context_announce_stack(
			slot + shelf->slot_bytes - shelf->stack_bytes, shelf->stack_bytes);
	}
	slab->cold &= ~slot_bit(index);
	if (!slab->cold) {
		rota_list_remove(&slab->link);
		rota_list_push_back(&shelf->full_slabs, &slab->link);
	}
	head = (struct rota_stack_head *)(void *)(slot + shelf->slot_bytes) - 1;
	rota_list_init(&head->link);
	head->slab = slab;
	head->colour_bytes = (uint16_t)((uintptr_t)head / ROTA_STACK_TOP_BYTES % COLOURS *
					ROTA_CACHE_LINE_BYTES);
	head->index = (uint8_t)index;
	head->fresh = true;
	return head;
}

static struct rota_stack_slab *map_slab(struct rota_stack_pool *pool,
					struct rota_stack_shelf *shelf, enum rota_stack_class class)
{
	size_t bytes = ROTA_STACK_SLAB_SLOTS * shelf->slot_bytes;
	struct rota_stack_slab *slab = rota_alloc(sizeof(*slab));

	if (!slab)
		return NULL;
	slab->base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (slab->base == MAP_FAILED) {
		report_failure(pool, "mmap", errno);
		rota_free(slab);
		return NULL;
	}
	/*
	 * A huge page would make one touched stack cost 2 MiB. Fails harmlessly on kernels without
	 * huge pages.
	 */
	rota_ignore(madvise(slab->base, bytes, MADV_NOHUGEPAGE), "EINVAL: there are none");
	slab->cold = UINT64_MAX;
	slab->guarded = slab->used = 0;
	slab->in_use = 0;
	slab->class = class;
	rota_list_init(&slab->sparse_link);
	rota_list_push_front(&shelf->slabs, &slab->link);
	shelf->slab_count++;
	return slab;
}

/*
 * Mark a guard. Returns 0, or negative errno: -EINVAL before Linux 6.13, when the process has
 * locked its memory, and where advice is taken and forgotten, as emulators do: then the kernel can
 * write there. One try tells for all.
 */
static int mark_guard(struct rota_stack_pool *pool, void *low, size_t bytes)
{
	if (madvise(low, bytes, MADV_GUARD_INSTALL))
		return -errno;
	if (!pool->marker_works && getrandom(low, 1, GRND_NONBLOCK) >= 0)
		return -EINVAL;
	pool->marker_works = true;
	return 0;
}

static int install_guard(struct rota_stack_pool *pool, void *low, size_t bytes)
{
	if (pool->guard == ROTA_STACK_GUARD_MARKER) {
		int status = mark_guard(pool, low, bytes);

		if (status == 0)
			return 0;
		if (status != -EINVAL) {
			report_failure(pool, "madvise(MADV_GUARD_INSTALL)", -status);
			return -ENOMEM;
		}
		pool->guard = ROTA_STACK_GUARD_MAPPING;
	}
	if (mprotect(low, bytes, PROT_NONE)) {
		report_failure(pool, "mprotect", errno);
		return -ENOMEM;
	}
	return 0;
}

static long read_map_count_max(void)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
	long count = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%ld", &count) != 1)
		count = 0;
	fclose(file);
	return count;
}

static void report_failure(struct rota_stack_pool *pool, const char *call, int error)
{
	size_t in_use = 0;

	if (pool->failure_reported)
		return;
	pool->failure_reported = true;
	for (unsigned class = 0; class < ROTA_STACK_CLASS_COUNT; class ++)
		in_use += pool->shelves[class].in_use;
	rota_log(ROTA_LOG_ERROR,
		 "no stack for another task with %zu in use: %s: %s. vm.max_map_count is %ld%s; "
		 "a limit of address space (ulimit -v) or vm.overcommit_memory=2 does the same",
		 in_use, call, rota_strerror(error), read_map_count_max(),
		 pool->guard == ROTA_STACK_GUARD_MAPPING
			 ? ", and before Linux 6.13 every task takes two: raise it with sysctl"
			 : "");
}

/* Trim up to `*slabs_left` sparse slabs, counting down. True if there is more to do. */
static bool trim_shelf(struct rota_stack_shelf *shelf, unsigned *slabs_left)
{
	while (shelf->idle > WARM_KEPT && !rota_list_is_empty(&shelf->sparse)) {
		struct rota_stack_slab *slab = ROTA_CONTAINER_OF(
			shelf->sparse.next, struct rota_stack_slab, sparse_link);

		if (!*slabs_left)
			return true;
		--*slabs_left;
		rota_list_remove(&slab->sparse_link);
		if (!slab->in_use)
			unmap_slab(shelf, slab);
		else if (slab->in_use <= SPARSE_SLOTS)
			cool(shelf, slab);
	}
	return false;
}

/* Take the slab's warm stacks off the idle list; returns their bits. */
static uint64_t unlink_warm(struct rota_stack_shelf *shelf, const struct rota_stack_slab *slab)
{
	uint64_t warm = ~(slab->cold | slab->used);

	for (uint64_t left = warm; left; left &= left - 1) {
		size_t end = (size_t)__builtin_ctzll(left) + 1;
		char *slot_end = slab->base + end * shelf->slot_bytes;

		rota_list_remove(&((struct rota_stack_head *)(void *)slot_end - 1)->link);
		shelf->idle--;
	}
	return warm;
}

/*
 * Give back the pages of the slab's idle stacks, one system call per run of neighbours; guards
 * stay.
 */
static void cool(struct rota_stack_shelf *shelf, struct rota_stack_slab *slab)
{
	uint64_t warm = unlink_warm(shelf, slab);

	if (!slab->cold && warm) {
		rota_list_remove(&slab->link);
		rota_list_push_back(&shelf->slabs, &slab->link);
	}
	slab->cold |= warm;
	for (unsigned first = 0; warm >> first;) {
		unsigned count;

		first += (unsigned)__builtin_ctzll(warm >> first);
		/*
		 * Some stack is in use, so the run ends before bit 63 or the shift brings in a
		 * zero.
		 */
		count = (unsigned)__builtin_ctzll(~(warm >> first));
		rota_ignore(madvise(slab->base + first * shelf->slot_bytes,
				    count * shelf->slot_bytes, MADV_DONTNEED),
			    "the pages stay, which costs memory and nothing else");
		first += count;
		if (first >= ROTA_STACK_SLAB_SLOTS)
			break;
	}
}

/* Tools remember stacks as long as the slab is there. */
static void forget_stacks(const struct rota_stack_slab *slab)
{
	for (uint64_t left = slab->guarded; left; left &= left - 1)
		rota__context_forget_stack(slab->tool_ids[__builtin_ctzll(left)]);
}

static void unmap_slab(struct rota_stack_shelf *shelf, struct rota_stack_slab *slab)
{
	slab->cold |= unlink_warm(shelf, slab);
	rota_list_remove(&slab->link);
	if (munmap(slab->base, ROTA_STACK_SLAB_SLOTS * shelf->slot_bytes)) {
		/* ENOMEM: a hole would take one mapping more than allowed. */
		rota_ignore(madvise(slab->base, ROTA_STACK_SLAB_SLOTS * shelf->slot_bytes,
				    MADV_DONTNEED),
			    "the pages stay, which costs memory and nothing else");
		rota_list_push_back(&shelf->slabs, &slab->link);
		return;
	}
	forget_stacks(slab);
	shelf->slab_count--;
	rota_free(slab);
}
