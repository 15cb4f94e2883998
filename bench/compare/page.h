/* SPDX-License-Identifier: MIT */
/*
 * A result as one self-contained HTML page: no script is needed to read it, and nothing is loaded.
 * Part of rota-compare; any thread, but no task, whose stack is too small for the curves.
 *
 *   page.html   the template: style, and marks {{NAME}} where page.c writes
 *   page.c      the file, the template, verdict, machine, engines, method
 *   points.c    workloads and their points: charts and tables
 *   chart.c, html.c
 */
#ifndef ROTA_BENCH_COMPARE_PAGE_H
#define ROTA_BENCH_COMPARE_PAGE_H

#include <stdio.h>

#include <jansson.h>

/*
 * Write the page of `result`, with words (words_add), to the file at `path`, which is replaced only
 * when all of it was written. What `result` lacks is left out. Returns 0 or negative errno.
 */
int page_write(const json_t *result, const char *path);

/* points.c: the loads at one glance; each workload with its points. */
void page_put_overview(FILE *to, const json_t *result);
void page_put_workloads(FILE *to, const json_t *result);
/* Links to the workloads, as items of a list. */
void page_put_links(FILE *to, const json_t *result);

#endif /* ROTA_BENCH_COMPARE_PAGE_H */
