/* SPDX-License-Identifier: MIT */
/*
 * Sentences made of figures.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare/phrase.h"

/* From there on, up and down, "times" is easier to read than a percentage. */
#define TIMES_FROM 2.0
#define TIMES_UP_TO 0.5

int phrase_begin(struct phrase *phrase)
{
	*phrase = (struct phrase){ 0 };
	phrase->to = open_memstream(&phrase->text, &phrase->bytes);
	return phrase->to ? 0 : -ENOMEM;
}

int phrase_end(struct phrase *phrase, json_t *array)
{
	int failed = fclose(phrase->to);

	if (!failed && phrase->bytes)
		failed = json_array_append_new(array, json_string(phrase->text));
	free(phrase->text);
	return failed ? -ENOMEM : 0;
}

void phrase_drop(struct phrase *phrase)
{
	fclose(phrase->to);
	free(phrase->text);
}

/* One decimal below 1, none above: nobody measures better here. */
static void put_percent(FILE *to, double ratio)
{
	double percent = fabs(ratio - 1) * 100;

	fprintf(to, percent >= 0.05 && percent < 0.95 ? "%.1f" : "%.0f", percent);
}

bool phrase_is_times(double ratio)
{
	return ratio >= TIMES_FROM || ratio <= TIMES_UP_TO;
}

/* Two digits that count, three below a tenth. */
static void put_times(FILE *to, double ratio)
{
	fprintf(to, "%.*f", ratio >= 1 ? 1 : ratio >= 0.1 ? 2 : 3, ratio);
}

void phrase_change(FILE *to, double ratio, const char *less, const char *more)
{
	if (phrase_is_times(ratio)) {
		put_times(to, ratio);
		fprintf(to, " times as %s", strcmp(more, "higher") ? "much" : "high");
		return;
	}
	put_percent(to, ratio);
	fprintf(to, " %% %s", ratio < 1 ? less : more);
}

void phrase_range(FILE *to, double low, double high, const char *less, const char *more)
{
	if (phrase_is_times(low) || phrase_is_times(high)) {
		put_times(to, low);
		fputs(" to ", to);
		put_times(to, high);
		fputs(" times", to);
	} else if ((low < 1) != (high < 1)) {
		phrase_change(to, low, less, more);
		fputs(" to ", to);
		phrase_change(to, high, less, more);
	} else {
		/* the smaller change first */
		put_percent(to, low < 1 ? high : low);
		fputs(" to ", to);
		put_percent(to, low < 1 ? low : high);
		fputs(" %", to);
	}
}

const char *phrase_comma(size_t index, size_t count)
{
	if (index == 0)
		return "";
	return index + 1 == count ? " and " : ", ";
}
