/* SPDX-License-Identifier: MIT */
/*
 * For tests: render RESULT.json OUT.html. Words and page of a result on disk; says what is wrong
 * and exits with 1.
 */
#include <stdio.h>
#include <string.h>

#include "bench/compare/page.h"
#include "bench/compare/words.h"

int main(int argc, char **argv)
{
	json_error_t error;
	json_t *result;
	int status;

	if (argc != 3)
		return 2;
	result = json_load_file(argv[1], 0, &error);
	if (!result) {
		fprintf(stderr, "render: %s:%d: %s\n", argv[1], error.line, error.text);
		return 1;
	}
	status = words_add(result);
	if (status == 0)
		status = page_write(result, argv[2]);
	if (status < 0)
		fprintf(stderr, "render: %s: %s\n", argv[2], strerror(-status));
	json_decref(result);
	return status < 0;
}
