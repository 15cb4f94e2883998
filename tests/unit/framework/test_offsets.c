/* SPDX-License-Identifier: MIT */
/*
 * The offsets table as a tool sees it: found in this program's own file by its section's name, read
 * from this process's memory, and followed to the running task.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rota/reactor.h>

#include "backends/backends.h"

struct table {
	char magic[8];
	uint32_t version;
	uint32_t count;
	char *const *reactors;
	uint64_t entry_bytes;
};

/* The section's address as the file has it, 0 if there is none. */
static uint64_t section_address(const char *path, const char *name)
{
	uint64_t address = 0;
	FILE *file = fopen(path, "rb");
	long bytes;
	char *image;

	assert_non_null(file);
	fseek(file, 0, SEEK_END);
	bytes = ftell(file);
	rewind(file);
	image = malloc((size_t)bytes);
	assert_int_equal(fread(image, 1, (size_t)bytes, file), bytes);
	fclose(file);

	const ElfW(Ehdr) *head = (const void *)image;
	const ElfW(Shdr) *sections = (const void *)(image + head->e_shoff);
	const char *names = image + sections[head->e_shstrndx].sh_offset;

	for (unsigned i = 0; i < head->e_shnum; i++)
		if (!strcmp(names + sections[i].sh_name, name))
			address = sections[i].sh_addr;
	free(image);
	return address;
}

/* Where the program was loaded: the first object that is visited is the program. */
static int take_base(struct dl_phdr_info *info, size_t bytes, void *base)
{
	(void)bytes;
	*(uint64_t *)base = info->dlpi_addr;
	return 1;
}

static uint64_t value_of(const struct table *table, const char *name)
{
	const char *entry = (const char *)(table + 1);

	for (uint32_t i = 0; i < table->count; i++, entry += table->entry_bytes) {
		uint64_t value;

		if (strcmp(entry, name) != 0)
			continue;
		memcpy(&value, entry + 40, sizeof(value));
		return value;
	}
	fail_msg("no entry %s", name);
	return 0;
}

static int64_t look_at_myself(void *arg)
{
	const struct table *table = arg;
	char *reactor = table->reactors[0];
	char *task = *(char **)(reactor + value_of(table, "reactor.current"));

	assert_ptr_equal(reactor, rota_reactor_current());
	assert_ptr_equal(task, rota_task_current());
	assert_string_equal(*(const char **)(task + value_of(table, "task.name")), "first task");
	assert_ptr_equal(*(char **)(task + value_of(table, "task.owner")),
			 reactor + value_of(table, "reactor.root"));
	return 0;
}

static void test_offsets_found_by_section_lead_to_the_running_task(void **state)
{
	struct rota_reactor_options options = { .engine = &rota_backend_epoll };
	uint64_t address = section_address("/proc/self/exe", ".rota.offsets");
	struct table *table;
	uint64_t base = 0;

	(void)state;
	assert_int_not_equal(address, 0);
	dl_iterate_phdr(take_base, &base);
	table = (struct table *)(base + address);
	assert_memory_equal(table->magic, "rotaoffs", 8);
	assert_int_equal(table->version, 1);
	assert_int_equal(rota_run(&options, look_at_myself, table), 0);
}

/* How many entries of the table begin with `prefix`. */
static unsigned count_of(const struct table *table, const char *prefix)
{
	const char *entry = (const char *)(table + 1);
	unsigned count = 0;

	for (uint32_t i = 0; i < table->count; i++, entry += table->entry_bytes)
		count += !strncmp(entry, prefix, strlen(prefix));
	return count;
}

static void test_offsets_name_every_kind_of_wait_and_operation(void **state)
{
	uint64_t base = 0;
	const struct table *table;

	(void)state;
	dl_iterate_phdr(take_base, &base);
	table = (const struct table *)(base + section_address("/proc/self/exe", ".rota.offsets"));
	assert_int_equal(count_of(table, "kind."), ROTA_WAIT_KIND_COUNT);
	assert_int_equal(count_of(table, "operation."), ROTA_OP_COUNT);
	assert_int_equal(count_of(table, "file_action."), ROTA_FILE_ACTION_COUNT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offsets_found_by_section_lead_to_the_running_task),
		cmocka_unit_test(test_offsets_name_every_kind_of_wait_and_operation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
