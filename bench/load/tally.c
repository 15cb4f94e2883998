/* SPDX-License-Identifier: MIT */
/*
 * What runs came to. Any thread; allocates nothing.
 */
#include <stdio.h>

#include "bench/load/load.h"

void tally_reset(struct tally *tally)
{
	memset(tally, 0, sizeof(*tally));
	histogram_reset(&tally->histogram);
	histogram_reset(&tally->lateness);
}

void tally_add(struct tally *to, const struct tally *from)
{
	to->requests += from->requests;
	to->errors += from->errors;
	to->misses += from->misses;
	to->bytes_sent += from->bytes_sent;
	to->bytes_received += from->bytes_received;
	to->polling_ns += from->polling_ns;
	to->queued += from->queued;
	if (from->duration_ns > to->duration_ns)
		to->duration_ns = from->duration_ns;
	if (!to->error[0])
		snprintf(to->error, sizeof(to->error), "%s", from->error);
	histogram_add(&to->histogram, &from->histogram);
	histogram_add(&to->lateness, &from->lateness);
}
