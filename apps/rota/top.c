/* SPDX-License-Identifier: MIT */
/*
 * rota top: look after look, what has changed from one to the next. On a terminal a screen, else
 * one table after the other.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "apps/rota/top.h"

/* Lines for people who say no height: enough for all that matters. */
#define ROWS_DEFAULT 40

static int take_look(struct look *look, struct target *target, struct places *places)
{
	int status;

	target_forget(target);
	look->bunches = (struct bunches){ .count = 0 };
	look->at = target->now;
	status = snapshot_take(&look->snapshot, target, places);
	if (status < 0)
		return status;
	for (uint32_t i = 0; i < look->snapshot.tasks_count; i++)
		bunches_add_by_site(&look->bunches, &look->snapshot, i);
	return 0;
}

/* Lines that there is room for. */
static unsigned rows_here(void)
{
	struct winsize window;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) < 0 || window.ws_row == 0)
		return ROWS_DEFAULT;
	return window.ws_row;
}

static int show_look(struct look *look, struct look *before, const struct show_options *options)
{
	bool is_screen = isatty(STDOUT_FILENO) && !options->once;
	unsigned rows_max = is_screen ? rows_here() : options->all ? UINT32_MAX : ROWS_DEFAULT;
	unsigned used = 3; /* the first line, the head of the sites, and the rest of them */
	int status;

	if (is_screen)
		fputs("\033[H\033[J", stdout);
	show_head(&look->snapshot);
	used += top_show_reactors(look, before);
	used += top_show_groups(look, before);
	used += top_show_tasks(look, before);
	if (is_screen)
		rows_max = rows_max > used ? rows_max - used : 1;
	status = top_show_sites(look, before, rows_max);
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
