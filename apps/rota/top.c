/* SPDX-License-Identifier: MIT */
/*
 * rota top: reactors by turns and switches, tasks by where they were spawned, with the processor
 * time they used between two looks (if the process counts it) and the stack they have been seen to
 * need. On a terminal a screen, else one table after the other.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <rota/base.h>

#include "apps/rota/groups.h"
#include "apps/rota/show.h"

/* Lines for people who say no height: enough for all that matters. */
#define ROWS_DEFAULT 40

/* A look: what is compared with the next one. */
struct look {
	struct snapshot snapshot;
	struct groups groups;
	int64_t at; /* 0: there was none */
};

static int take_look(struct look *look, struct target *target, struct places *places)
{
	int status;

	target_forget(target);
	look->groups = (struct groups){ .count = 0 };
	look->at = target->now;
	status = snapshot_take(&look->snapshot, target, places);
	if (status < 0)
		return status;
	for (uint32_t i = 0; i < look->snapshot.tasks_count; i++)
		groups_add_by_site(&look->groups, &look->snapshot, i);
	return 0;
}

/* ---- rates ---- */

static double per_second(uint64_t now, uint64_t before, int64_t ns)
{
	return ns > 0 && now > before ? (double)(now - before) * 1e9 / (double)ns : 0;
}

static const struct seen_reactor *reactor_before(const struct look *before, uint64_t address)
{
	for (uint32_t i = 0; before->at && i < before->snapshot.reactors_count; i++)
		if (before->snapshot.reactors[i].address == address)
			return &before->snapshot.reactors[i];
	return NULL;
}

/* What the tasks of a site have used since; who has ended meanwhile is not counted. */
static uint64_t cpu_since(const struct look *before, const struct group *group)
{
	for (uint32_t i = 0; before->at && i < before->groups.count; i++) {
		const struct group *other = &before->groups.groups[i];

		if (other->site == group->site)
			return group->cpu_ns > other->cpu_ns ? group->cpu_ns - other->cpu_ns : 0;
	}
	return before->at ? group->cpu_ns : 0;
}

/* The most stack that a task of this site has been seen to use; 0: none was looked at. */
static uint64_t stack_of(const struct snapshot *snapshot, uint64_t site)
{
	const struct layout *layout = &snapshot->target->layout;
	uint64_t used_bytes = 0;

	if (layout->reactor_census == LAYOUT_ABSENT || layout->census_bytes == LAYOUT_ABSENT)
		return 0;
	for (uint32_t i = 0; i < snapshot->reactors_count; i++) {
		uint64_t entry = snapshot->reactors[i].address + layout->reactor_census;

		for (uint64_t j = 0; j < layout->census_count && j < GROUPS_MAX;
		     j++, entry += layout->census_bytes)
			if (target_u64(snapshot->target, entry, layout->census_site) == site)
				used_bytes = rota_max_size(
					used_bytes, target_u64(snapshot->target, entry,
							       layout->census_used_bytes_max));
	}
	target_faulted(snapshot->target);
	return used_bytes;
}

/* ---- tables ---- */

static void show_reactors(struct look *look, const struct look *before)
{
	int64_t ns = before->at ? look->at - before->at : 0;

	printf("REACTOR   TURNS/S  SWITCHES/S     TASKS\n");
	for (uint32_t i = 0; i < look->snapshot.reactors_count; i++) {
		const struct seen_reactor *reactor = &look->snapshot.reactors[i];
		const struct seen_reactor *then = reactor_before(before, reactor->address);
		struct text text = { 0 };

		say_reactor(&look->snapshot, reactor, &text);
		printf("%7" PRIu32 "  %8.0f  %10.0f  %8" PRIu64 "  %s\n", reactor->index,
		       then ? per_second(reactor->turns, then->turns, ns) : 0,
		       then ? per_second(reactor->switches, then->switches, ns) : 0,
		       reactor->end - reactor->first + reactor->more, text.data);
	}
}

struct row {
	const struct group *group;
	uint64_t cpu_ns;
};

static int compare_rows(const void *left, const void *right)
{
	const struct row *a = left, *b = right;

	if (a->cpu_ns != b->cpu_ns)
		return a->cpu_ns > b->cpu_ns ? -1 : 1;
	if (a->group->count != b->group->count)
		return a->group->count > b->group->count ? -1 : 1;
	return a->group < b->group ? -1 : a->group > b->group;
}

static void show_row(struct look *look, const struct row *row, int64_t ns)
{
	uint64_t stack = stack_of(&look->snapshot, row->group->site);
	struct text what = { 0 }, site = { 0 }, cpu = { 0 }, used = { 0 };

	say_what(look->snapshot.target, row->group->site, &what);
	say_site(look->snapshot.target, row->group->site, &site);
	if (look->snapshot.target->layout.task_cpu_ns != LAYOUT_ABSENT)
		text_add(&cpu, "%.1f", per_second(row->cpu_ns, 0, ns) / 1e7);
	if (stack)
		text_add(&used, "%" PRIu64 " KiB", stack / 1024);
	printf("%8s  %9" PRIu64 "  %7" PRIu64 "  %8s  %-20s  %s\n", ns ? cpu.data : "",
	       row->group->count, row->group->ready, used.data, what.data, site.data);
}

static int show_sites(struct look *look, const struct look *before, unsigned rows_max)
{
	int64_t ns = before->at ? look->at - before->at : 0;
	uint32_t count = look->groups.count;
	struct row *rows = calloc((size_t)count + 1, sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		rows[i].group = &look->groups.groups[i];
		rows[i].cpu_ns = cpu_since(before, rows[i].group);
	}
	qsort(rows, count, sizeof(*rows), compare_rows);
	printf("    CPU%%      TASKS    READY     STACK  TASK                  SPAWNED AT\n");
	for (uint32_t i = 0; i < count && i < rows_max; i++)
		show_row(look, &rows[i], ns);
	if (count > rows_max)
		printf("... and %" PRIu32 " more sites\n", count - rows_max);
	free(rows);
	return 0;
}

/* ---- look after look ---- */

/* How many lines of sites there is room for. */
static unsigned rows_here(const struct look *look)
{
	unsigned used = look->snapshot.reactors_count + 6;
	struct winsize window;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) < 0 || window.ws_row == 0)
		return ROWS_DEFAULT;
	return window.ws_row > used ? window.ws_row - used : 1;
}

static int show_look(struct look *look, const struct look *before,
		     const struct show_options *options)
{
	bool is_screen = isatty(STDOUT_FILENO) && !options->once;
	unsigned rows_max = is_screen ? rows_here(look) : options->all ? UINT32_MAX : ROWS_DEFAULT;
	int status;

	if (is_screen)
		fputs("\033[H\033[J", stdout);
	show_head(&look->snapshot);
	show_reactors(look, before);
	status = show_sites(look, before, rows_max);
	if (!is_screen)
		putchar('\n');
	if (fflush(stdout) < 0 || ferror(stdout))
		return -EPIPE; /* nobody reads any more */
	return status;
}

static bool has_ended(struct target *target)
{
	target_forget(target);
	target_reactor(target, 0);
	return target_faulted(target);
}

static int run(struct look looks[2], struct target *target, struct places *places,
	       const struct show_options *options)
{
	struct timespec delay = { .tv_sec = options->delay_ns / 1000000000,
				  .tv_nsec = options->delay_ns % 1000000000 };
	bool is_single = options->once || target->is_core;
	int status = 0;

	for (unsigned i = 0; status == 0; i = !i) {
		struct look *look = &looks[i], *before = &looks[!i];

		status = take_look(look, target, places);
		if (status == 0 && (before->at || !is_single || target->is_core))
			status = show_look(look, before, options);
		if (before->at || before->snapshot.reactors)
			snapshot_drop(&before->snapshot);
		if (status < 0 || target->is_core || (is_single && before->at))
			return status;
		nanosleep(&delay, NULL);
		if (has_ended(target))
			return 0;
	}
	return status;
}

int show_top(struct target *target, struct places *places, const struct show_options *options)
{
	struct look *looks = calloc(2, sizeof(*looks));
	int status = looks ? run(looks, target, places, options) : -ENOMEM;

	for (unsigned i = 0; looks && i < 2; i++)
		if (looks[i].snapshot.reactors)
			snapshot_drop(&looks[i].snapshot);
	free(looks);
	return status;
}
