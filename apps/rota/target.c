/* SPDX-License-Identifier: MIT */
/*
 * Reading a target by pages: each is fetched once and kept, in a cache as large as the structures
 * of some hundred tasks, until target_forget.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rota/base.h>

#include "apps/rota/target.h"

#define PAGE_BYTES 4096
#define PAGES 1024 /* a power of two */

struct target_page {
	uint64_t number; /* address / PAGE_BYTES + 1; 0: empty */
	uint32_t bytes;  /* that could be read */
	char data[PAGE_BYTES];
};

static int compare_mappings(const void *left, const void *right)
{
	const struct target_mapping *a = left, *b = right;

	return a->start < b->start ? -1 : a->start > b->start;
}

static bool is_number(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits > 0 && digits < 10 && !text[digits];
}

int target_open(const char *what, const char *executable, struct target **out,
		char why[TARGET_WHY_BYTES])
{
	struct target *target = calloc(1, sizeof(*target));
	int status = -ENOMEM;

	snprintf(why, TARGET_WHY_BYTES, "out of memory");
	if (!target)
		return status;
	target->memory = -1;
	target->is_core = !is_number(what);
	target->pages = calloc(PAGES, sizeof(*target->pages));
	target->path = target->is_core ? strdup(what) : NULL;
	target->pid = target->is_core ? 0 : (pid_t)strtol(what, NULL, 10);
	layout_init(&target->layout);
	if (target->pages && (target->path || !target->is_core))
		status = target->is_core ? target_open_core(target, executable, why)
					 : target_open_live(target, why);
	if (status == 0) {
		if (target->mappings_count)
			qsort(target->mappings, target->mappings_count, sizeof(*target->mappings),
			      compare_mappings);
		target_forget(target);
		status = target_find_layout(target, why);
	}
	if (status < 0) {
		target_close(target);
		return status;
	}
	*out = target;
	return 0;
}

void target_close(struct target *target)
{
	if (!target)
		return;
	for (uint32_t i = 0; i < target->files_count; i++) {
		free(target->files[i].path);
		if (target->files[i].fd >= 0)
			close(target->files[i].fd);
	}
	if (target->memory >= 0)
		close(target->memory);
	free(target->files);
	free(target->mappings);
	free(target->threads);
	free(target->segments);
	free(target->pages);
	free(target->path);
	free(target);
}

/* One more element behind `count` of `bytes` each; arrays grow by doubling. */
static void *room_for_one(void *array, uint32_t count, size_t bytes)
{
	if (count & (count - 1))
		return array;
	return realloc(array, (count ? (size_t)count * 2 : 1) * bytes);
}

int target_add_file(struct target *target, const char *path)
{
	struct target_file *files;

	/* Its mappings follow each other. */
	if (target->files_count && !strcmp(target->files[target->files_count - 1].path, path))
		return (int)target->files_count - 1;
	if (target->files_count == TARGET_FILES_MAX)
		return -E2BIG;
	files = room_for_one(target->files, target->files_count, sizeof(*files));
	if (!files)
		return -ENOMEM;
	target->files = files;
	files[target->files_count] = (struct target_file){ .path = strdup(path), .fd = -1 };
	if (!files[target->files_count].path)
		return -ENOMEM;
	return (int)target->files_count++;
}

int target_add_mapping(struct target *target, const struct target_mapping *mapping)
{
	struct target_mapping *mappings = room_for_one(target->mappings, target->mappings_count,
						       sizeof(*mappings));

	if (!mappings)
		return -ENOMEM;
	target->mappings = mappings;
	mappings[target->mappings_count++] = *mapping;
	return 0;
}

/* ---- reading ---- */

void target_forget(struct target *target)
{
	struct timespec now;

	for (size_t i = 0; i < PAGES; i++)
		target->pages[i].number = 0;
	target->descriptors_asked = 0;
	if (target->is_core)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	target->now = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static const struct target_page *page_at(struct target *target, uint64_t address)
{
	uint64_t number = address / PAGE_BYTES + 1;
	/* Stacks lie 17 pages apart or so, in slabs: neighbours must not share a place. */
	struct target_page *page = &target->pages[(number ^ number >> 10) % PAGES];

	if (page->number != number) {
		uint64_t start = (number - 1) * PAGE_BYTES;

		page->number = number;
		page->bytes = (uint32_t)(target->is_core
						 ? target_read_core(target, start, page->data,
								    PAGE_BYTES)
						 : target_read_live(target, start, page->data,
								    PAGE_BYTES));
	}
	return page;
}

bool target_read(struct target *target, uint64_t address, void *out, size_t bytes)
{
	char *to = out;
	size_t done = 0;

	while (done < bytes && address + done >= address) {
		size_t at = (address + done) % PAGE_BYTES;
		size_t part = rota_min_size(bytes - done, PAGE_BYTES - at);
		const struct target_page *page = page_at(target, address + done);

		if (page->bytes < at + part)
			break;
		memcpy(to + done, page->data + at, part);
		done += part;
	}
	if (done == bytes)
		return true;
	memset(out, 0, bytes);
	target->has_fault_ = true;
	return false;
}

bool target_faulted(struct target *target)
{
	bool has_fault = target->has_fault_;

	target->has_fault_ = false;
	return has_fault;
}

uint64_t target_u64(struct target *target, uint64_t address, uint64_t offset)
{
	uint64_t value = 0;

	if (offset != LAYOUT_ABSENT)
		target_read(target, address + offset, &value, sizeof(value));
	return value;
}

uint32_t target_u32(struct target *target, uint64_t address, uint64_t offset)
{
	uint32_t value = 0;

	if (offset != LAYOUT_ABSENT)
		target_read(target, address + offset, &value, sizeof(value));
	return value;
}

uint8_t target_u8(struct target *target, uint64_t address, uint64_t offset)
{
	uint8_t value = 0;

	if (offset != LAYOUT_ABSENT)
		target_read(target, address + offset, &value, sizeof(value));
	return value;
}

bool target_text(struct target *target, uint64_t address, char *out, size_t bytes)
{
	size_t length = 0;
	char c;

	while (length + 1 < bytes) {
		if (!target_read(target, address + length, &c, 1)) {
			*out = '\0';
			return false;
		}
		if (!c)
			break;
		out[length++] = (char)(isprint((unsigned char)c) ? c : '?');
	}
	out[length] = '\0';
	return true;
}

/* ---- looking ---- */

uint64_t target_reactor(struct target *target, uint32_t slot)
{
	return target_u64(target, target->layout.reactors, (uint64_t)slot * sizeof(uint64_t));
}

const struct target_mapping *target_mapping_at(const struct target *target, uint64_t address)
{
	uint32_t low = 0, high = target->mappings_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (target->mappings[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == target->mappings_count || target->mappings[low].start > address)
		return NULL;
	return &target->mappings[low];
}
