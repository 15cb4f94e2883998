/* SPDX-License-Identifier: MIT */
/*
 * Pieces of text put together in memory of a fixed size; cut, never overrun.
 */
#ifndef ROTA_APPS_ROTA_TEXT_H
#define ROTA_APPS_ROTA_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct text {
	size_t length;
	char data[4096];
};

__attribute__((format(printf, 2, 3))) void text_add(struct text *text, const char *format, ...);

/* From one time to another; as far as it goes, whatever the times are. */
int64_t ns_between(int64_t from, int64_t to);

/* A duration as people say it: "12 ms", "3.4 s", "5 min". */
void text_add_ns(struct text *text, int64_t ns);

#endif /* ROTA_APPS_ROTA_TEXT_H */
