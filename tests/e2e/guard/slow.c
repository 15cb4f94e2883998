/* SPDX-License-Identifier: MIT */
/*
 * A planted slowdown, for the test of the guards: linked with --wrap=rota_output_write, every write
 * to a connection takes some hundred instructions more. Layer: tests.
 */
#include <rota/protocol.h>

void __real_rota_output_write(struct rota_output *output, const void *data, size_t bytes);
void __wrap_rota_output_write(struct rota_output *output, const void *data, size_t bytes);

void __wrap_rota_output_write(struct rota_output *output, const void *data, size_t bytes)
{
	for (volatile int i = 0; i < 50; i++)
		;
	__real_rota_output_write(output, data, bytes);
}
