/* SPDX-License-Identifier: MIT */
/*
 * Configuration: words, files, command lines, and what is refused.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include <rota/error.h>

#include "apps/kv/config.h"

static char error[KV_CONFIG_ERROR_BYTES];

/* Read `text` as a file named "f". */
static int read_text(struct kv_config *config, const char *text)
{
	FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	int status;

	assert_non_null(file);
	assert_int_equal(kv_config_init(config, NULL), 0);
	error[0] = '\0';
	status = kv_config_read(config, file, "f", error);
	fclose(file);
	return status;
}

static void test_read_what_redis_has_takes_it(void **state)
{
	struct kv_config config;

	(void)state;
	assert_int_equal(read_text(&config, "# a comment\n"
					    "\n"
					    "  port 7000\r\n"
					    "BIND 127.0.0.1\n"
					    "save \"\"\n"
					    "appendonly no\n"
					    "requirepass \"a \\\"b\\x41\"\n"
					    "maxclients 77\n"
					    "databases 4\n"
					    "timeout 30\n"
					    "proto-max-bulk-len 1mb\n"
					    "client-output-buffer-limit normal 64mb 0 0\n"
					    "protected-mode no\n"
					    "tcp-keepalive 60\n"
					    "masterauth secret\n"
					    "bio_cpulist 1,3\n"
					    "replicaof no one\n"
					    "shutdown-on-sigterm nosave\n"
					    "hz 10"),
			 0);
	assert_int_equal(config.keepalive_s, 60);
	assert_int_equal(config.server.port, 7000);
	assert_int_equal(config.server.binds_count, 1);
	assert_string_equal(config.password, "a \"bA");
	assert_int_equal(config.maxclients, 77);
	assert_int_equal(config.databases, 4);
	assert_int_equal(config.idle_timeout_s, 30);
	assert_int_equal(config.bulk_bytes_max, 1 << 20);
	assert_int_equal(config.output_bytes_max, 64 << 20);
	assert_false(config.is_protected);
	kv_config_fini(&config);
}

static void test_read_what_is_missing_here_names_place_and_remedy(void **state)
{
	static const char *const wrong[] = {
		"appendonly yes",
		"save 900 1",
		"replicaof 10.0.0.1 6379",
		"tls-port 6380",
		"maxmemory 1gb",
		"include other",
		"loadmodule x.so",
		"nosuch 1",
		"daemonize yes",
		"port 99999",
		"port",
		"databases 0",
		"timeout x",
		"bind nowhere",
		"requirepass \"open",
		"rename-command a b",
		"unixsocketperm 999",
		"maxmemory-policy allkeys-lru",
		"client-output-buffer-limit normal 1",
		"maxmemory-clients 1gb",
		"pidfile /run/kv.pid",
		"shutdown-on-sigterm save",
		"socket-mark-id 7",
		"maxclients 1k",
		"user default on",
	};

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(wrong); i++) {
		struct kv_config config;
		char text[128];

		snprintf(text, sizeof(text), "# one\nport 7000\n%s\nport 7001\n", wrong[i]);
		assert_true(read_text(&config, text) < 0);
		assert_memory_equal(error, "f:3: ", 5);
		assert_true(strlen(error) > 10);
		kv_config_fini(&config);
	}
}

static void test_arguments_override_the_file_and_its_binds(void **state)
{
	struct kv_config config;
	char *argv[] = { "rota-kv", "--port", "6380", "--bind",        "127.0.0.1", "--bind",
			 "::1",     "--save", "",     "--requirepass", "x",         NULL };

	(void)state;
	assert_int_equal(kv_config_init(&config, NULL), 0);
	assert_int_equal(kv_config_arguments(&config, 11, argv, error), 0);
	assert_int_equal(config.server.port, 6380);
	assert_int_equal(config.server.binds_count, 2);
	assert_string_equal(config.password, "x");
	kv_config_fini(&config);
}

static void test_arguments_wrong_say_which(void **state)
{
	static char *const wrong[][4] = {
		{ "rota-kv", "--nosuch", "1", NULL },
		{ "rota-kv", "--port", NULL, NULL },
		{ "rota-kv", "/nonexistent/file.conf", NULL, NULL },
		{ "rota-kv", "--appendonly", "yes", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(wrong); i++) {
		struct kv_config config;
		const char *name = wrong[i][1];
		int argc = 0;

		while (wrong[i][argc])
			argc++;
		assert_int_equal(kv_config_init(&config, NULL), 0);
		assert_true(kv_config_arguments(&config, argc, wrong[i], error) < 0);
		assert_non_null(strstr(error, name[0] == '-' ? name + 2 : name));
		kv_config_fini(&config);
	}
}

/* The index of a directive, and its text. */
static unsigned index_of(const struct kv_config *config, const char *wanted, const char **text)
{
	const char *name;

	for (unsigned i = 0; (name = kv_config_directive(config, i, text)); i++)
		if (!strcmp(name, wanted))
			return i;
	fail_msg("no directive %s", wanted);
	return 0;
}

static void assert_change(struct kv_config *config, const char *name, const char *value,
			  const char *why)
{
	const char *text;
	unsigned index = index_of(config, name, &text);

	error[0] = '\0';
	assert_int_equal(kv_config_change(config, index, value, error), why ? -EINVAL : 0);
	assert_string_equal(error, why ? why : "");
	if (why)
		return;
	index_of(config, name, &text);
	assert_string_equal(text, value);
}

static void test_change_what_can_change_leaves_the_original(void **state)
{
	struct kv_config config, copy;
	const char *text;

	(void)state;
	assert_int_equal(read_text(&config, "requirepass first\nport 7000\n"), 0);
	assert_int_equal(kv_config_copy(&copy, &config), 0);
	assert_string_equal(copy.password, "first");
	assert_change(&copy, "requirepass", "second", NULL);
	assert_change(&copy, "maxclients", "5", NULL);
	assert_change(&copy, "timeout", "6", NULL);
	assert_change(&copy, "tcp-keepalive", "7", NULL);
	assert_change(&copy, "protected-mode", "no", NULL);
	assert_change(&copy, "hz", "100", NULL);
	assert_change(&copy, "port", "7000", NULL);
	assert_change(&copy, "appendonly", "NO", NULL);
	assert_change(&copy, "client-output-buffer-limit", "normal 0 0 0 slave 1gb 0 0", NULL);
	assert_string_equal(copy.password, "second");
	assert_int_equal(copy.maxclients, 5);
	assert_int_equal(copy.idle_timeout_s, 6);
	assert_int_equal(copy.keepalive_s, 7);
	assert_false(copy.is_protected);
	kv_config_fini(&copy);
	assert_string_equal(config.password, "first");
	assert_int_equal(config.maxclients, 10000);
	index_of(&config, "hz", &text);
	assert_string_equal(text, "10");
	kv_config_fini(&config);
}

static void test_change_wrong_gives_the_words_of_redis(void **state)
{
	static const char immutable[] = "can't set immutable config";
	static const char not_a_number[] = "argument couldn't be parsed into an integer";
	struct kv_config config;

	(void)state;
	assert_int_equal(read_text(&config, "port 7000\n"), 0);
	assert_change(&config, "port", "7001", immutable);
	assert_change(&config, "bind", "::1", immutable);
	assert_change(&config, "unixsocket", "/x", immutable);
	assert_change(&config, "databases", "3", immutable);
	assert_change(&config, "proto-max-bulk-len", "1mb", immutable);
	assert_change(&config, "appendonly", "yes", immutable);
	assert_change(&config, "timeout", "x", not_a_number);
	assert_change(&config, "maxclients", "1k", not_a_number);
	assert_change(&config, "maxclients", "0",
		      "argument must be between 1 and 4294967295 inclusive");
	assert_change(&config, "proto-max-bulk-len", "x", "argument must be a memory value");
	assert_change(&config, "protected-mode", "maybe", "argument must be 'yes' or 'no'");
	kv_config_fini(&config);
}

static void test_split_quotes_and_escapes_become_words(void **state)
{
	char line[] = "a \"b c\" 'd\\'e' \"\\n\\x42\" f\n";
	char open[] = "a \"b";
	char glued[] = "a \"b\"c";
	char *words[KV_CONFIG_WORDS_MAX];

	(void)state;
	assert_int_equal(kv_config_split(line, words), 5);
	assert_string_equal(words[1], "b c");
	assert_string_equal(words[2], "d'e");
	assert_string_equal(words[3], "\nB");
	assert_string_equal(words[4], "f");
	assert_int_equal(kv_config_split(open, words), -EINVAL);
	assert_int_equal(kv_config_split(glued, words), -EINVAL);
}

static void test_parse_bytes_takes_units(void **state)
{
	uint64_t bytes;

	(void)state;
	assert_true(kv_config_parse_bytes("1kb", &bytes) && bytes == 1024);
	assert_true(kv_config_parse_bytes("1K", &bytes) && bytes == 1000);
	assert_true(kv_config_parse_bytes("2gb", &bytes) && bytes == UINT64_C(2) << 30);
	assert_false(kv_config_parse_bytes("-1", &bytes));
	assert_false(kv_config_parse_bytes("1tb", &bytes));
	assert_false(kv_config_parse_bytes("99999999999999999999", &bytes));
	assert_false(kv_config_parse_bytes("18446744073709551615gb", &bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_what_redis_has_takes_it),
		cmocka_unit_test(test_read_what_is_missing_here_names_place_and_remedy),
		cmocka_unit_test(test_arguments_override_the_file_and_its_binds),
		cmocka_unit_test(test_arguments_wrong_say_which),
		cmocka_unit_test(test_change_what_can_change_leaves_the_original),
		cmocka_unit_test(test_change_wrong_gives_the_words_of_redis),
		cmocka_unit_test(test_split_quotes_and_escapes_become_words),
		cmocka_unit_test(test_parse_bytes_takes_units),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
