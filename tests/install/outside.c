/* SPDX-License-Identifier: MIT */
/*
 * A program outside the tree: compiled by tests/install/check.sh against what was installed, as C
 * and as C++. Only what pkg-config says leads it to the library.
 */
#include <stdio.h>

#include <rota/address.h>
#include <rota/error.h>

int main(void)
{
	struct rota_address address;
	char text[ROTA_ADDRESS_TEXT_BYTES];
	int status = rota_address_parse(&address, "127.0.0.1", 6379);

	if (status < 0) {
		fprintf(stderr, "%s\n", rota_strerror(status));
		return 1;
	}
	puts(rota_address_format(&address, text));
	return 0;
}
