/* SPDX-License-Identifier: MIT */
/*
 * Addresses: what is parsed comes back as text, and what is no address leaves the result alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <rota/address.h>
#include <rota/error.h>

/* What the caller's memory holds before a call that fails must be there after it. */
#define UNTOUCHED 0x5a

static void assert_parses_to(const char *host, uint16_t port, const char *expected)
{
	struct rota_address address;
	char text[ROTA_ADDRESS_TEXT_BYTES];

	assert_int_equal(rota_address_parse(&address, host, port), 0);
	assert_string_equal(rota_address_format(&address, text), expected);
	assert_int_equal(rota_address_port(&address), port);
}

static void assert_refused(const char *host)
{
	struct rota_address address;
	unsigned char before[sizeof(address)];

	memset(&address, UNTOUCHED, sizeof(address));
	memset(before, UNTOUCHED, sizeof(before));
	assert_int_equal(rota_address_parse(&address, host, 1), -EINVAL);
	assert_memory_equal(&address, before, sizeof(before));
}

static void test_address_numeric_hosts_come_back_as_text(void **state)
{
	(void)state;
	assert_parses_to("127.0.0.1", 6379, "127.0.0.1:6379");
	assert_parses_to("0.0.0.0", 0, "0.0.0.0:0");
	assert_parses_to("255.255.255.255", UINT16_MAX, "255.255.255.255:65535");
	assert_parses_to("::1", 80, "[::1]:80");
	assert_parses_to("::", 1, "[::]:1");
	assert_parses_to("fe80:0:0:0:0:0:0:1", 1, "[fe80::1]:1");
	assert_parses_to("::ffff:10.1.2.3", 1, "[::ffff:10.1.2.3]:1");
}

static void test_address_star_is_every_ipv4_interface(void **state)
{
	(void)state;
	assert_parses_to("*", 6379, "0.0.0.0:6379");
}

static void test_address_of_each_family_has_the_bytes_the_kernel_wants(void **state)
{
	struct rota_address v4, v6, local;

	(void)state;
	assert_int_equal(rota_address_parse(&v4, "1.2.3.4", 5), 0);
	assert_int_equal(rota_address_parse(&v6, "1::4", 5), 0);
	assert_int_equal(rota_address_local(&local, "/s"), 0);

	assert_int_equal(v4.any.sa_family, AF_INET);
	assert_int_equal(v4.bytes, sizeof(struct sockaddr_in));
	assert_int_equal(v6.any.sa_family, AF_INET6);
	assert_int_equal(v6.bytes, sizeof(struct sockaddr_in6));
	assert_int_equal(local.any.sa_family, AF_UNIX);
	assert_int_equal(local.bytes, offsetof(struct sockaddr_un, sun_path) + sizeof("/s"));
}

static void test_address_that_is_no_number_is_refused(void **state)
{
	(void)state;
	assert_refused("");
	assert_refused("localhost");
	assert_refused("127.0.0.1:80");
	assert_refused("127.0.0.1 ");
	assert_refused(" 127.0.0.1");
	assert_refused("127.1");
	assert_refused("256.0.0.1");
	assert_refused("[::1]");
	assert_refused("::1%lo");
	assert_refused("1::2::3");
	assert_refused("**");
}

static void test_address_local_takes_the_longest_path_and_no_longer(void **state)
{
	struct rota_address address;
	struct rota_address before;
	char path[sizeof(address.local.sun_path) + 1];
	char text[ROTA_ADDRESS_TEXT_BYTES];

	(void)state;
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(address.local.sun_path) - 1] = '\0';
	assert_int_equal(strlen(path), 107);

	assert_int_equal(rota_address_local(&address, path), 0);
	assert_string_equal(rota_address_format(&address, text), path);
	assert_int_equal(address.bytes, sizeof(struct sockaddr_un));

	path[sizeof(address.local.sun_path) - 1] = 'x';
	path[sizeof(address.local.sun_path)] = '\0';
	memcpy(&before, &address, sizeof(before));
	assert_int_equal(rota_address_local(&address, path), -ENAMETOOLONG);
	assert_memory_equal(&address, &before, sizeof(before));
}

static void test_address_local_has_no_port_and_may_have_no_name(void **state)
{
	struct rota_address client = { .bytes = sizeof(sa_family_t),
				       .local = { .sun_family = AF_UNIX } };
	char text[ROTA_ADDRESS_TEXT_BYTES];

	(void)state;
	assert_int_equal(rota_address_port(&client), 0);
	assert_string_equal(rota_address_format(&client, text), "unix");
}

static void test_address_of_unknown_family_is_a_question_mark(void **state)
{
	struct rota_address nothing = { 0 };
	char text[ROTA_ADDRESS_TEXT_BYTES];

	(void)state;
	assert_string_equal(rota_address_format(&nothing, text), "?");
	assert_int_equal(rota_address_port(&nothing), 0);
}

static void test_address_longest_texts_fit(void **state)
{
	(void)state;
	assert_parses_to("1111:2222:3333:4444:5555:6666:7777:8888", 65535,
			 "[1111:2222:3333:4444:5555:6666:7777:8888]:65535");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address_numeric_hosts_come_back_as_text),
		cmocka_unit_test(test_address_star_is_every_ipv4_interface),
		cmocka_unit_test(test_address_of_each_family_has_the_bytes_the_kernel_wants),
		cmocka_unit_test(test_address_that_is_no_number_is_refused),
		cmocka_unit_test(test_address_local_takes_the_longest_path_and_no_longer),
		cmocka_unit_test(test_address_local_has_no_port_and_may_have_no_name),
		cmocka_unit_test(test_address_of_unknown_family_is_a_question_mark),
		cmocka_unit_test(test_address_longest_texts_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
