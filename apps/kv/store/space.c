/* SPDX-License-Identifier: MIT */
/*
 * Where a table's buckets are: growing and shrinking their space. Private to the store; under the
 * shard's lock.
 *
 * Who prefetches may still read what is replaced, so that is retired, not freed.
 */
#include "apps/kv/store/space.h"

#include <rota/error.h>
#include <rota/memory.h>

static size_t array_bytes(uint32_t buckets)
{
	return buckets * sizeof(struct kv_bucket);
}

static size_t directory_bytes(uint32_t segments)
{
	return sizeof(struct kv_directory) + segments * sizeof(struct kv_bucket *);
}

static uint64_t make_space(const void *address, uint64_t flag, uint32_t count)
{
	uint64_t word = (uintptr_t)address;

	ROTA_ASSERT(!(word & ~KV_SLOT_ADDRESS));
	ROTA_ASSERT(count <= UINT16_MAX);
	return word | flag | count * (UINT64_C(1) << 48);
}

/*
 * Release: a prefetch sees what is in it. Sequential order: before kv_gate_leave looks at passes.
 */
static void publish(struct kv_site *site, uint64_t space)
{
	__atomic_store_n(&site->table->space, space, __ATOMIC_SEQ_CST);
}

/*
 * Room in an array for so many buckets: the allocator's own steps, of which most have four to the
 * doubling.
 */
static uint32_t array_room(uint32_t buckets)
{
	uint32_t step = buckets <= 4 ? 1 : UINT32_C(1) << (kv__top_bit(buckets - 1) - 2);

	return (buckets + step - 1) / step * step;
}

/* Put the first `buckets` of the table's array into another one with room for `room`. */
static int replace_array(struct kv_site *site, uint32_t buckets, uint32_t room)
{
	struct kv_bucket *old = kv__space_address(site->table->space);
	uint32_t old_room = kv__space_count(site->table->space);
	struct kv_bucket *array = rota_calloc(room, sizeof(*array));

	if (!array)
		return -ENOMEM;
	if (old)
		memcpy(array, old, array_bytes(buckets));
	kv__site_count_memory(site, array_bytes(room), array_bytes(old_room));
	publish(site, make_space(array, 0, room));
	if (old)
		kv__garbage_add_block(site->retired, old);
	return 0;
}

/* A directory of the same first `segments`, with room for `room`. NULL: no memory. */
static struct kv_directory *copy_directory(uint64_t space, uint32_t segments, uint32_t room)
{
	const struct kv_directory *old = kv__space_address(space);
	struct kv_directory *directory = rota_alloc(directory_bytes(room));

	if (!directory)
		return NULL;
	for (uint32_t i = 0; i < segments; i++)
		directory->segments[i] = space & KV_SPACE_DIRECTORY
						 ? old->segments[i]
						 : (struct kv_bucket *)kv__space_address(space) +
							   (size_t)i * KV_SPACE_SEGMENT;
	return directory;
}

static int add_segment(struct kv_site *site)
{
	uint64_t space = site->table->space;
	bool had_directory = space & KV_SPACE_DIRECTORY;
	uint32_t segments = had_directory ? kv__space_count(space) : KV_SPACE_FLAT_SEGMENTS;
	struct kv_directory *directory;
	struct kv_bucket *segment;

	if (segments == UINT16_MAX)
		return -ENOMEM;
	segment = rota_calloc(KV_SPACE_SEGMENT, sizeof(*segment));
	if (!segment)
		return -ENOMEM;
	directory = copy_directory(space, segments, segments + 1);
	if (!directory) {
		rota_free(segment);
		return -ENOMEM;
	}
	directory->segments[segments] = segment;
	kv__site_count_memory(site, array_bytes(KV_SPACE_SEGMENT), 0);
	kv__site_count_memory(site, directory_bytes(segments + 1),
			      had_directory ? directory_bytes(segments) : 0);
	publish(site, make_space(directory, KV_SPACE_DIRECTORY, segments + 1));
	if (had_directory)
		kv__garbage_add_block(site->retired, kv__space_address(space));
	return 0;
}

int kv__space_grow(struct kv_site *site, uint32_t buckets)
{
	uint64_t space = site->table->space;
	uint32_t room = kv__space_count(space);

	if (space & KV_SPACE_DIRECTORY)
		room *= KV_SPACE_SEGMENT;
	if (buckets <= room)
		return 0;
	if (buckets <= KV_SPACE_FLAT_MAX)
		return replace_array(site, buckets - 1, array_room(buckets));
	return add_segment(site);
}

static void drop_segment(struct kv_site *site)
{
	uint64_t space = site->table->space;
	struct kv_directory *old = kv__space_address(space), *directory = NULL;
	uint32_t left = kv__space_count(space) - 1;
	bool is_flat = left == KV_SPACE_FLAT_SEGMENTS;

	if (!is_flat)
		directory = copy_directory(space, left, left);
	if (!is_flat && !directory)
		return;
	publish(site, is_flat ? make_space(old->segments[0], 0, KV_SPACE_FLAT_MAX)
			      : make_space(directory, KV_SPACE_DIRECTORY, left));
	kv__site_count_memory(site, 0, array_bytes(KV_SPACE_SEGMENT));
	kv__site_count_memory(site, is_flat ? 0 : directory_bytes(left), directory_bytes(left + 1));
	kv__garbage_add_block(site->retired, old->segments[left]);
	kv__garbage_add_block(site->retired, old);
}

void kv__space_shrink(struct kv_site *site)
{
	uint64_t space = site->table->space;
	uint32_t buckets = site->table->buckets, count = kv__space_count(space);

	if (space & KV_SPACE_DIRECTORY) {
		if (buckets <= (count - 1) * KV_SPACE_SEGMENT)
			drop_segment(site);
	} else if (buckets <= count / 2) {
		rota_ignore(replace_array(site, buckets, array_room(buckets)), "then more is kept");
	}
}

void kv__space_free(uint64_t space)
{
	struct kv_directory *directory = kv__space_address(space);

	if (space & KV_SPACE_DIRECTORY) {
		for (uint32_t i = KV_SPACE_FLAT_SEGMENTS; i < kv__space_count(space); i++)
			rota_free(directory->segments[i]);
		rota_free(directory->segments[0]);
	}
	rota_free(directory);
}
