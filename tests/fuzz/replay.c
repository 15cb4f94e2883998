/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target over files: the kept corpora and former crashes, in builds that have no
 * fuzzer. Linked with one target; arguments are files and directories (not descended into). Any
 * failure is the target's abort.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat stat;
	uint8_t *data;
	size_t bytes;

	if (!file || fstat(fileno(file), &stat)) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	bytes = (size_t)stat.st_size;
	data = malloc(bytes + !bytes);
	if (!data || fread(data, 1, bytes, file) != bytes) {
		fprintf(stderr, "%s: cannot be read\n", path);
		return -1;
	}
	LLVMFuzzerTestOneInput(data, bytes);
	free(data);
	fclose(file);
	return 1;
}

/* Returns the files run, or -1. */
static int run_path(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	int count = 0;

	if (!directory)
		return run_file(path);
	while ((entry = readdir(directory))) {
		char name[PATH_MAX];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (run_file(name) < 0)
			return -1;
		count++;
	}
	closedir(directory);
	return count;
}

int main(int argc, char **argv)
{
	int total = 0;

	for (int i = 1; i < argc; i++) {
		int count = run_path(argv[i]);

		if (count < 0)
			return 1;
		total += count;
	}
	printf("%d passed, 0 failed\n", total);
	return total ? 0 : 1;
}
