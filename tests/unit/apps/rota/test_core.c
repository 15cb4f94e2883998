/* SPDX-License-Identifier: MIT */
/*
 * Core files made by hand: what the rota tool takes from their notes and segments, and that one
 * changed anywhere, by seed, ends in an answer or a refusal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "apps/rota/target.h"

#define SEEDS 3000

/* Where things are in the file; the memory is a table of offsets with nothing in it. */
#define MEMORY_ADDRESS UINT64_C(0x100000)
#define MEMORY_BYTES 4096
#define NOTES_AT 512
#define MEMORY_AT 4096
#define FILE_BYTES (MEMORY_AT + MEMORY_BYTES)

/* tidy: allow unfinished, mkstemp(3) wants it so */
static char path[] = "/tmp/rota-test-core-XXXXXX";

static size_t put_note(char *at, uint32_t type, const void *data, size_t bytes)
{
	Elf64_Nhdr head = { .n_namesz = 5, .n_descsz = (uint32_t)bytes, .n_type = type };

	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), "CORE", 5);
	memcpy(at + sizeof(head) + 8, data, bytes);
	return sizeof(head) + 8 + (bytes + 3) / 4 * 4;
}

static size_t put_notes(char *at)
{
	struct elf_prpsinfo info = { .pr_pid = 77, .pr_fname = "made\033up" };
	struct elf_prstatus status = { .pr_pid = 78 };
	/* Two parts of one file that cannot be opened, at offsets 0 and one page. */
	struct {
		uint64_t count, page_bytes, mapped[6];
		char names[32];
	} files = { 2,
		    4096,
		    { MEMORY_ADDRESS, MEMORY_ADDRESS + MEMORY_BYTES, 0, 0x200000, 0x201000, 1 },
		    "/nowhere/made-up\0/nowhere/two" };
	size_t bytes = put_note(at, NT_PRPSINFO, &info, sizeof(info));

	bytes += put_note(at + bytes, NT_PRSTATUS, &status, sizeof(status));
	return bytes + put_note(at + bytes, NT_FILE, &files, sizeof(files));
}

static void make(char file[FILE_BYTES])
{
	Elf64_Ehdr head = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64 },
			    .e_type = ET_CORE,
			    .e_phoff = sizeof(head),
			    .e_phentsize = sizeof(Elf64_Phdr),
			    .e_phnum = 2 };
	Elf64_Phdr notes = { .p_type = PT_NOTE, .p_offset = NOTES_AT };
	Elf64_Phdr memory = { .p_type = PT_LOAD,
			      .p_offset = MEMORY_AT,
			      .p_vaddr = MEMORY_ADDRESS,
			      .p_filesz = MEMORY_BYTES };
	struct layout_head table = { .version = 1, .entry_bytes = sizeof(struct layout_entry) };

	memset(file, 0, FILE_BYTES);
	notes.p_filesz = put_notes(file + NOTES_AT);
	memcpy(file, &head, sizeof(head));
	memcpy(file + sizeof(head), &notes, sizeof(notes));
	memcpy(file + sizeof(head) + sizeof(notes), &memory, sizeof(memory));
	memcpy(table.magic, "rotaoffs", sizeof(table.magic));
	memcpy(file + MEMORY_AT, &table, sizeof(table));
}

/* target_open of these bytes; what it complains of is in `why`. */
static int open_bytes(const char *file, size_t bytes, struct target **target,
		      char why[TARGET_WHY_BYTES])
{
	FILE *out = fopen(path, "wb");

	assert_non_null(out);
	assert_int_equal(fwrite(file, 1, bytes, out), bytes);
	fclose(out);
	return target_open(path, NULL, target, why);
}

static void test_core_without_its_program_is_searched_for_the_table(void **state)
{
	char file[FILE_BYTES], why[TARGET_WHY_BYTES];
	struct target *target;

	(void)state;
	make(file);
	/* Found, and found lacking. */
	assert_int_equal(open_bytes(file, sizeof(file), &target, why), -EPROTO);
	assert_non_null(strstr(why, "reactors.count is missing"));
	/* A table of another version is another tool's. */
	file[MEMORY_AT + offsetof(struct layout_head, version)] = 2;
	assert_int_equal(open_bytes(file, sizeof(file), &target, why), -EPROTO);
	assert_non_null(strstr(why, "version 2"));
	file[MEMORY_AT] = 'R';
	assert_int_equal(open_bytes(file, sizeof(file), &target, why), -ENOENT);
	assert_non_null(strstr(why, "has no rota in it"));
}

static void test_core_with_what_is_needed_opens(void **state)
{
#define NAME(member, name, is_required) name,
	static const char *const names[] = {
#include "apps/rota/layout.def"
	};
#undef NAME
	static char file[64 * 1024];
	char why[TARGET_WHY_BYTES];
	struct layout_head *table = (void *)(file + MEMORY_AT);
	Elf64_Phdr *memory = (void *)(file + sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr));
	struct target *target;

	(void)state;
	make(file);
	table->count = sizeof(names) / sizeof(names[0]);
	memory->p_filesz = sizeof(file) - MEMORY_AT;
	for (uint32_t i = 0; i < table->count; i++) {
		struct layout_entry entry = { .value = i };

		snprintf(entry.name, sizeof(entry.name), "%s", names[i]);
		memcpy(file + MEMORY_AT + sizeof(*table) + i * sizeof(entry), &entry,
		       sizeof(entry));
	}
	assert_int_equal(open_bytes(file, sizeof(file), &target, why), 0);
	assert_int_equal(target->pid, 77);
	assert_string_equal(target->name, "made?up");
	assert_int_equal(target->threads_count, 1);
	assert_int_equal(target->threads[0].tid, 78);
	assert_int_equal(target->files_count, 2);
	assert_string_equal(target->files[0].path, "/nowhere/made-up");
	assert_int_equal(target->mappings[1].file_offset, 4096);
	assert_int_equal(target->layout.reactors_count, 0);
	assert_int_equal(target->layout.reactor_index, 1);
	/* Beyond the segment there is nothing, and that is said once. */
	assert_int_equal(target_u64(target, MEMORY_ADDRESS + sizeof(file), 0), 0);
	assert_true(target_faulted(target));
	assert_false(target_faulted(target));
	target_close(target);
}

static void test_core_changed_anywhere_is_no_crash(void **state)
{
	char file[FILE_BYTES], why[TARGET_WHY_BYTES];

	(void)state;
	for (unsigned seed = 0; seed < SEEDS; seed++) {
		struct target *target = NULL;

		make(file);
		srand(seed);
		for (unsigned i = 0; i <= seed % 8; i++) {
			/* The heads and the notes are where it matters. */
			size_t at = (size_t)rand() % 2048;

			file[at] = (char)(rand() % 3 ? rand() : rand() % 2 ? 0xff : 0);
		}
		if (open_bytes(file, seed % 16 ? sizeof(file) : (size_t)rand() % sizeof(file),
			       &target, why) == 0)
			target_close(target);
	}
}

static int make_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	return fd < 0 || close(fd) < 0 ? -1 : 0;
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_core_without_its_program_is_searched_for_the_table),
		cmocka_unit_test(test_core_with_what_is_needed_opens),
		cmocka_unit_test(test_core_changed_anywhere_is_no_crash),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
