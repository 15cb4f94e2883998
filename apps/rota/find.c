/* SPDX-License-Identifier: MIT */
/*
 * Where the table of offsets is: in section .rota.offsets of the program or of a library, at that
 * section's address plus where the file was loaded. If a file can't be opened any more (a library
 * that was replaced under a running process, a core file from elsewhere), its mapped parts are
 * searched for the table's magic.
 */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rota/base.h>

#include "apps/rota/target.h"

#define MAGIC "rotaoffs"
#define VERSION 1

/* Sections a file may have, and the bytes of their names that are looked at. */
#define SECTIONS_MAX 65536

/* For the search: the table's alignment; and what is searched at most. */
#define ALIGNMENT 8
#define SEARCH_BYTES_MAX (UINT64_C(1) << 26)

static bool read_at(int fd, void *out, size_t bytes, uint64_t offset)
{
	return offset <= INT64_MAX && pread(fd, out, bytes, (off_t)offset) == (ssize_t)bytes;
}

/* The address in the file of section .rota.offsets; 0: it has none. */
static uint64_t section_in(int fd)
{
	static const char wanted[] = ".rota.offsets";
	Elf64_Shdr names, section;
	Elf64_Ehdr head;
	char name[sizeof(wanted)];

	if (!read_at(fd, &head, sizeof(head), 0) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
	    head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_shentsize != sizeof(section) ||
	    !read_at(fd, &names, sizeof(names),
		     head.e_shoff + (uint64_t)head.e_shstrndx * sizeof(section)))
		return 0;
	for (unsigned i = 0; i < head.e_shnum && i < SECTIONS_MAX; i++) {
		if (!read_at(fd, &section, sizeof(section),
			     head.e_shoff + (uint64_t)i * sizeof(section)))
			return 0;
		if (read_at(fd, name, sizeof(name), names.sh_offset + section.sh_name) &&
		    !memcmp(name, wanted, sizeof(wanted)))
			return section.sh_addr;
	}
	return 0;
}

/* The file's address of what is at `offset` in it; UINT64_MAX: nothing loaded is. */
static uint64_t address_of_offset(int fd, uint64_t offset)
{
	Elf64_Ehdr head;
	Elf64_Phdr segment;

	if (!read_at(fd, &head, sizeof(head), 0) || head.e_phentsize != sizeof(segment))
		return UINT64_MAX;
	for (unsigned i = 0; i < head.e_phnum; i++) {
		if (!read_at(fd, &segment, sizeof(segment),
			     head.e_phoff + (uint64_t)i * sizeof(segment)))
			break;
		if (segment.p_type == PT_LOAD && offset >= (segment.p_offset & ~UINT64_C(4095)) &&
		    offset < segment.p_offset + segment.p_filesz)
			return segment.p_vaddr - segment.p_offset + offset;
	}
	return UINT64_MAX;
}

bool target_file_bias(const struct target *target, uint32_t file, uint64_t *bias)
{
	for (uint32_t i = 0; i < target->mappings_count; i++) {
		const struct target_mapping *mapping = &target->mappings[i];
		uint64_t address;

		if (mapping->file != file)
			continue;
		address = address_of_offset(target->files[file].fd, mapping->file_offset);
		if (address == UINT64_MAX)
			return false;
		*bias = mapping->start - address;
		return true;
	}
	return false;
}

/* ---- the table ---- */

/* True if there is a table at `address`; `version` is its. */
static bool read_table(struct target *target, uint64_t address, uint32_t *version)
{
	struct layout_head head;

	if (!target_read(target, address, &head, sizeof(head)) ||
	    memcmp(head.magic, MAGIC, sizeof(head.magic)) != 0 ||
	    head.entry_bytes < sizeof(struct layout_entry) || head.entry_bytes > 4096 ||
	    head.count > LAYOUT_ENTRIES_MAX)
		return false;
	*version = head.version;
	layout_init(&target->layout);
	target->layout.reactors = head.reactors;
	for (uint32_t i = 0; i < head.count && head.version == VERSION; i++) {
		struct layout_entry entry;

		if (!target_read(target, address + sizeof(head) + i * head.entry_bytes, &entry,
				 sizeof(entry)))
			return false;
		layout_take(&target->layout, &entry);
	}
	return true;
}

static bool search_mapping(struct target *target, const struct target_mapping *mapping,
			   uint64_t *bytes_left, uint32_t *version)
{
	char magic[8];

	for (uint64_t at = mapping->start; at + sizeof(magic) <= mapping->end && *bytes_left;
	     at += ALIGNMENT, *bytes_left -= ALIGNMENT)
		if (target_read(target, at, magic, sizeof(magic)) &&
		    !memcmp(magic, MAGIC, sizeof(magic)) && read_table(target, at, version))
			return true;
	return false;
}

static bool find_table(struct target *target, uint32_t *version)
{
	uint64_t bytes_left = SEARCH_BYTES_MAX;

	for (uint32_t i = 0; i < target->files_count; i++) {
		uint64_t bias, section = 0;

		if (target->files[i].fd >= 0)
			section = section_in(target->files[i].fd);
		if (section && target_file_bias(target, i, &bias) &&
		    read_table(target, bias + section, version))
			return true;
	}
	for (uint32_t i = 0; i < target->mappings_count; i++) {
		const struct target_mapping *mapping = &target->mappings[i];

		if (target->files[mapping->file].fd < 0 && mapping->is_readable &&
		    target->files[mapping->file].may_have_code &&
		    search_mapping(target, mapping, &bytes_left, version))
			return true;
	}
	return false;
}

int target_find_layout(struct target *target, char *why)
{
	const char *missing;
	uint32_t version = 0;
	bool is_found = find_table(target, &version);

	target_faulted(target);
	if (!is_found) {
		snprintf(why, TARGET_WHY_BYTES,
			 "%s %s has no rota in it: none of the %u files mapped there has a section "
			 ".rota.offsets%s",
			 target->is_core ? "core file" : "process",
			 target->is_core ? target->path : target->name, target->files_count,
			 target->is_core ? " (name the program that made it, as a second argument)"
					 : "");
		return -ENOENT;
	}
	if (version != VERSION) {
		snprintf(
			why, TARGET_WHY_BYTES,
			"its table of offsets is of version %u and this tool knows version %d: use "
			"the rota tool of that build",
			version, VERSION);
		return -EPROTO;
	}
	missing = layout_missing(&target->layout);
	if (missing) {
		snprintf(why, TARGET_WHY_BYTES, "its table of offsets is damaged: %s is missing",
			 missing);
		return -EPROTO;
	}
	return 0;
}
