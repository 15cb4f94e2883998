/* SPDX-License-Identifier: MIT */
/*
 * Addresses to functions and lines, by elfutils' libdwfl over the target's files. What it says is
 * kept per address: a million tasks wait in few places.
 */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rota/base.h>

#include "apps/rota/places.h"

/* Different places that are kept; a damaged target may have any number. */
#define PLACES_MAX 65536
#define TABLE_SLOTS ((size_t)2 * PLACES_MAX) /* a power of two */

struct places {
	struct target *target;
	Dwfl *dwfl; /* NULL: no symbols */
	uint32_t count;
	struct place *known[PLACES_MAX];
	uint32_t table[TABLE_SLOTS]; /* index + 1 by pc, open addressing; 0: empty */
	char **texts;                /* made here; owned */
	size_t texts_count;
	struct place unknown; /* no memory, or too many; count 0 */
};

static const Dwfl_Callbacks callbacks = {
	.find_elf = dwfl_build_id_find_elf,
	.find_debuginfo = dwfl_standard_find_debuginfo,
	.section_address = dwfl_offline_section_address,
};

struct Dwfl *places_open_dwfl(const struct target *target)
{
	Dwfl *dwfl = dwfl_begin(&callbacks);

	if (!dwfl)
		return NULL;
	dwfl_report_begin(dwfl);
	for (uint32_t i = 0; i < target->files_count; i++) {
		uint64_t bias;
		int fd;

		if (target->files[i].fd < 0 || !target_file_bias(target, i, &bias))
			continue;
		fd = dup(target->files[i].fd);
		if (fd >= 0 && !dwfl_report_elf(dwfl, target->files[i].path, target->files[i].path,
						fd, bias, true))
			close(fd);
	}
	dwfl_report_end(dwfl, NULL, NULL);
	return dwfl;
}

struct places *places_create(struct target *target)
{
	struct places *places = calloc(1, sizeof(*places));

	if (!places)
		return NULL;
	places->target = target;
	places->unknown.frames[0].function = "?";
	/* Nothing is downloaded while somebody looks for a stuck server. */
	unsetenv("DEBUGINFOD_URLS");
	places->dwfl = places_open_dwfl(target);
	return places;
}

void places_destroy(struct places *places)
{
	if (!places)
		return;
	for (uint32_t i = 0; i < places->count; i++)
		free(places->known[i]);
	for (size_t i = 0; i < places->texts_count; i++)
		free(places->texts[i]);
	free(places->texts);
	if (places->dwfl)
		dwfl_end(places->dwfl);
	free(places);
}

struct target *places_target(const struct places *places)
{
	return places->target;
}

/* ---- names ---- */

/* Keep `text` (taken) as long as the places; "?" if there is none. */
static const char *keep_text(struct places *places, char *text)
{
	size_t count = places->texts_count;
	char **texts = places->texts;

	if (text && !(count & (count - 1)))
		texts = realloc(texts, (count ? count * 2 : 1) * sizeof(*texts));
	if (!text || !texts) {
		free(text);
		return "?";
	}
	places->texts = texts;
	texts[places->texts_count++] = text;
	return text;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* As debuggers do: the file it is from, and how far into it. */
static const char *name_by_offset(struct places *places, uint64_t pc)
{
	const struct target_mapping *mapping = target_mapping_at(places->target, pc);
	char text[128];

	if (!mapping)
		snprintf(text, sizeof(text), "0x%" PRIx64, pc);
	else
		snprintf(text, sizeof(text), "%.80s+0x%" PRIx64,
			 last_part(places->target->files[mapping->file].path),
			 mapping->file_offset + (pc - mapping->start));
	return keep_text(places, strdup(text));
}

/* Files of the tree as they were compiled, and its headers as they are installed. */
static bool is_framework_file(const char *file)
{
	if (file && !strncmp(file, "./", 2))
		file += 2;
	return file && (!strncmp(file, "framework/", 10) || !strncmp(file, "backends/", 9) ||
			strstr(file, "/framework/include/rota/") || strstr(file, "/include/rota/"));
}

/* Shared libraries that are never what somebody looks for. */
static bool is_framework_library(const struct places *places, uint64_t pc)
{
	const struct target_mapping *mapping = target_mapping_at(places->target, pc);
	const char *name = mapping ? last_part(places->target->files[mapping->file].path) : "";

	return !strncmp(name, "librota.so", 10) || !strncmp(name, "libc.so", 7);
}

static bool is_framework(const struct places *places, const struct frame *frame, uint64_t pc)
{
	return is_framework_library(places, pc) || !strncmp(frame->function, "rota_", 5) ||
	       is_framework_file(frame->file);
}

/* As the compiler was told: without the folder it ran in. */
static const char *file_as_compiled(Dwarf_Die *unit, const char *file)
{
	Dwarf_Attribute attribute;
	const char *folder = dwarf_formstring(dwarf_attr(unit, DW_AT_comp_dir, &attribute));
	size_t length = folder ? strlen(folder) : 0;

	if (length && file && !strncmp(file, folder, length) && file[length] == '/')
		file += length + 1;
	return file;
}

/* ---- lines ---- */

static void add_frame(struct place *place, const struct frame *frame)
{
	if (place->count < PLACE_INLINES_MAX)
		place->frames[place->count++] = *frame;
}

/* Where the call of an inlined function stands is where its caller is. */
static void find_call(Dwarf_Die *unit, Dwarf_Die *inlined, struct frame *frame)
{
	Dwarf_Attribute attribute;
	Dwarf_Word file, line;
	Dwarf_Files *files;
	size_t count;

	frame->file = NULL;
	frame->line = 0;
	if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attribute), &file) == 0 &&
	    dwarf_getsrcfiles(unit, &files, &count) == 0)
		frame->file = file_as_compiled(unit, dwarf_filesrc(files, file, NULL, NULL));
	if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attribute), &line) == 0)
		frame->line = (int)line;
}

/* The function around the address, and those it is inlined in. */
static void find_inlines(Dwarf_Die *unit, uint64_t address, struct frame frame, struct place *place)
{
	Dwarf_Die *around, *scopes = NULL;
	int count = dwarf_getscopes(unit, address, &around);

	/* Those around an inlined function are asked for by the function: where it was inlined. */
	if (count > 0) {
		count = dwarf_getscopes_die(&around[0], &scopes);
		free(around);
	}
	for (int i = 0; i < count; i++) {
		int tag = dwarf_tag(&scopes[i]);

		if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_subprogram)
			continue;
		if (dwarf_diename(&scopes[i]))
			frame.function = dwarf_diename(&scopes[i]);
		add_frame(place, &frame);
		if (tag == DW_TAG_subprogram)
			break;
		find_call(unit, &scopes[i], &frame);
	}
	free(scopes);
}

/*
 * The compilation unit around `pc`. Clang writes no table of who has which addresses; then all are
 * asked.
 */
static Dwarf_Die *find_unit(Dwfl_Module *module, uint64_t pc, Dwarf_Addr *bias)
{
	Dwarf_Die *unit = dwfl_module_addrdie(module, pc, bias);

	if (unit)
		return unit;
	while ((unit = dwfl_module_nextcu(module, unit, bias)))
		if (dwarf_haspc(unit, pc - *bias) > 0)
			return unit;
	return NULL;
}

static void find_frames(struct places *places, uint64_t pc, struct place *place)
{
	Dwfl_Module *module = places->dwfl ? dwfl_addrmodule(places->dwfl, pc) : NULL;
	struct frame frame = { 0 };
	GElf_Off offset;
	GElf_Sym symbol;

	if (module)
		frame.function = dwfl_module_addrinfo(module, pc, &offset, &symbol, NULL, NULL,
						      NULL);
	if (!frame.function)
		frame.function = name_by_offset(places, pc);
	if (module) {
		Dwarf_Addr bias;
		Dwarf_Die *unit = find_unit(module, pc, &bias);
		Dwarf_Line *line = unit ? dwarf_getsrc_die(unit, pc - bias) : NULL;

		if (line && dwarf_lineno(line, &frame.line) == 0) {
			frame.file = file_as_compiled(unit, dwarf_linesrc(line, NULL, NULL));
			find_inlines(unit, pc - bias, frame, place);
		}
	}
	if (!place->count)
		add_frame(place, &frame);
	for (unsigned i = 0; i < place->count; i++)
		place->frames[i].is_framework = is_framework(places, &place->frames[i], pc);
}

/* ---- finding ---- */

const struct place *places_find(struct places *places, uint64_t pc)
{
	size_t slot = (size_t)(pc * UINT64_C(0x9e3779b97f4a7c15) >> 40) % TABLE_SLOTS;
	struct place *place;

	for (; places->table[slot]; slot = (slot + 1) % TABLE_SLOTS)
		if (places->known[places->table[slot] - 1]->pc == pc)
			return places->known[places->table[slot] - 1];
	place = places->count < PLACES_MAX ? calloc(1, sizeof(*place)) : NULL;
	if (!place)
		return &places->unknown;
	place->pc = pc;
	place->index = places->count;
	/* A return address is behind the call: perhaps in the next line already. */
	find_frames(places, pc - 1, place);
	places->known[places->count++] = place;
	places->table[slot] = places->count;
	return place;
}

uint32_t places_spot(const struct place *place, unsigned frame)
{
	return place->count ? place->index * PLACE_INLINES_MAX + frame + 1 : 0;
}

const struct frame *places_at(const struct places *places, uint32_t spot)
{
	uint32_t index = (spot - 1) / PLACE_INLINES_MAX;

	if (!spot || index >= places->count)
		return &places->unknown.frames[0];
	return &places->known[index]->frames[(spot - 1) % PLACE_INLINES_MAX];
}
