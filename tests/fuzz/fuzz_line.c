/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: the line protocol's parser. The first byte is the longest line; whole and cut input
 * must give the same lines.
 */
#include "tests/support/t_resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct rota_buffer whole, pieces;
	struct rota_view input;

	if (!bytes)
		return 0;
	input = rota_view_of(data + 1, bytes - 1);
	rota_buffer_init(&whole);
	rota_buffer_init(&pieces);
	t_line_run(data[0], input, t_cut_never, NULL, &whole);
	t_line_run(data[0], input, t_cut_everywhere, NULL, &pieces);
	ROTA_ASSERT(rota_view_equals(rota_view_of(whole.data, whole.bytes),
				     rota_view_of(pieces.data, pieces.bytes)));
	rota_buffer_fini(&whole);
	rota_buffer_fini(&pieces);
	return 0;
}
