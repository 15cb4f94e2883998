/* SPDX-License-Identifier: MIT */
/*
 * Prints how the RESP parser understands the files named: per file a line of hexadecimal, of what
 * t_resp_run wrote. For against_redis.py.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/t_resp.h"

static void print_understood(FILE *file)
{
	struct rota_resp_limits limits = ROTA_RESP_LIMITS_DEFAULT;
	static char data[1 << 20];
	struct rota_buffer out;
	size_t bytes = fread(data, 1, sizeof(data), file);

	rota_buffer_init(&out);
	t_resp_run(&limits, false, rota_view_of(data, bytes), t_cut_never, NULL, &out);
	for (size_t i = 0; i < out.bytes; i++)
		printf("%02x", (unsigned char)out.data[i]);
	putchar('\n');
	rota_buffer_fini(&out);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		FILE *file = fopen(argv[i], "rb");

		if (!file) {
			perror(argv[i]);
			return 1;
		}
		print_understood(file);
		fclose(file);
	}
	return 0;
}
