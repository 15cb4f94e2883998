/* SPDX-License-Identifier: MIT */
/*
 * The table of commands, and the look-up by name.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <setjmp.h>

#include <cmocka.h>

#include "apps/kv/command.h"

static int setup(void **state)
{
	(void)state;
	kv_commands_init();
	return 0;
}

static void test_find_every_name_in_both_cases_finds_it(void **state)
{
	(void)state;
	for (unsigned i = 0; i < kv_commands_count; i++) {
		const struct kv_command *command = &kv_commands[i];
		char upper[KV_COMMAND_NAME_BYTES_MAX + 1] = "";

		for (size_t at = 0; command->name[at]; at++)
			upper[at] = (char)toupper((unsigned char)command->name[at]);
		if (command->parent) {
			const struct kv_command *parent = kv_command_find(
				rota_view_of_string(command->parent));

			assert_non_null(parent);
			assert_ptr_equal(kv_subcommand_find(parent, rota_view_of_string(upper)),
					 command);
			continue;
		}
		assert_ptr_equal(kv_command_find(rota_view_of_string(command->name)), command);
		assert_ptr_equal(kv_command_find(rota_view_of_string(upper)), command);
	}
}

static void test_find_other_names_finds_nothing(void **state)
{
	static const char *const others[] = { "",
					      "g",
					      "ge",
					      "gett",
					      "getrang",
					      "getrangee",
					      "\aet",
					      "g\x05t",
					      "client|list",
					      "getname",
					      "averyveryverylongname" };

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(others); i++)
		assert_null(kv_command_find(rota_view_of_string(others[i])));
	assert_null(kv_command_find(rota_view_of("get\0", 4)));
	assert_null(kv_command_find(rota_view_of("\0\0\0", 3)));
}

/*
 * Every name one byte away from a real one must not be taken for it, unless it only differs in
 * case.
 */
static void test_find_one_byte_changed_finds_nothing_else(void **state)
{
	(void)state;
	for (unsigned i = 0; i < kv_commands_count; i++) {
		size_t bytes = strlen(kv_commands[i].name);
		char name[KV_COMMAND_NAME_BYTES_MAX + 1];

		for (size_t at = 0; at < bytes; at++) {
			for (int c = 0; c < 256; c++) {
				const struct kv_command *found;

				memcpy(name, kv_commands[i].name, bytes + 1);
				name[at] = (char)c;
				found = kv_command_find(rota_view_of(name, bytes));
				if (found)
					assert_int_equal(strncasecmp(found->name, name, bytes), 0);
			}
		}
	}
}

static void test_table_names_consist_of_letters_in_order(void **state)
{
	(void)state;
	for (unsigned i = 0; i < kv_commands_count; i++) {
		const struct kv_command *command = &kv_commands[i];
		size_t bytes = strlen(command->name);

		assert_in_range(bytes, 1, KV_COMMAND_NAME_BYTES_MAX);
		for (size_t at = 0; at < bytes; at++)
			assert_true(islower((unsigned char)command->name[at]));
	}
}

static void test_table_descriptions_are_whole(void **state)
{
	(void)state;
	for (unsigned i = 0; i < kv_commands_count; i++) {
		const struct kv_command *command = &kv_commands[i];
		unsigned children;

		kv_command_children(command, &children);
		assert_true(command->run || children);
		assert_true(command->arity);
		assert_true(command->summary[0] && command->since[0] && command->group[0]);
		assert_int_equal(!command->first_key, !command->key_flags);
		assert_int_equal(!command->first_key, !command->key_step);
	}
}

static void test_accepts_minimum_and_exact_counts(void **state)
{
	const struct kv_command *get = kv_command_find(rota_view_of_string("get"));
	const struct kv_command *set = kv_command_find(rota_view_of_string("set"));

	(void)state;
	assert_true(kv_command_accepts(get, 2));
	assert_false(kv_command_accepts(get, 1));
	assert_false(kv_command_accepts(get, 3));
	assert_false(kv_command_accepts(set, 2));
	assert_true(kv_command_accepts(set, 3));
	assert_true(kv_command_accepts(set, UINT32_MAX / 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find_every_name_in_both_cases_finds_it),
		cmocka_unit_test(test_find_other_names_finds_nothing),
		cmocka_unit_test(test_find_one_byte_changed_finds_nothing_else),
		cmocka_unit_test(test_table_names_consist_of_letters_in_order),
		cmocka_unit_test(test_table_descriptions_are_whole),
		cmocka_unit_test(test_accepts_minimum_and_exact_counts),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
