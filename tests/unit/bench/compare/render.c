/* SPDX-License-Identifier: MIT */
/*
 * For tests: render RESULT.json OUT.html … Words and page of results on disk; says what is wrong
 * and exits with 1.
 */
#include <stdio.h>
#include <string.h>

#include "bench/compare/page.h"
#include "bench/compare/words.h"

static int render(const char *source, const char *target)
{
	json_error_t error;
	json_t *result = json_load_file(source, 0, &error);
	int status;

	if (!result) {
		fprintf(stderr, "render: %s:%d: %s\n", source, error.line, error.text);
		return -1;
	}
	status = words_add(result);
	if (status == 0)
		status = page_write(result, target);
	if (status < 0)
		fprintf(stderr, "render: %s: %s\n", target, strerror(-status));
	json_decref(result);
	return status;
}

int main(int argc, char **argv)
{
	int failed = argc < 3 || argc % 2 == 0;

	for (int i = 1; i + 1 < argc; i += 2)
		failed |= render(argv[i], argv[i + 1]) < 0;
	return failed;
}
