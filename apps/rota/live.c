/* SPDX-License-Identifier: MIT */
/*
 * A live target. Its memory is read through /proc/PID/mem: the descriptor stays with this process
 * image, even if the id is used again or another program is executed, and it works for one that is
 * stopped or spins. Its files are opened as it sees them, in its own root, and only those with code
 * in them: opening somebody's device may do things.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/rota/target.h"

#define PATH_BYTES 4200

static long number_in(const char *path, long otherwise)
{
	FILE *file = fopen(path, "re");
	char line[32];
	long number = otherwise;

	if (!file)
		return otherwise;
	if (fgets(line, sizeof(line), file))
		number = strtol(line, NULL, 10);
	fclose(file);
	return number;
}

/* One sentence: what forbids it, and what would help. */
static int say_forbidden(const struct target *target, int error, char *why)
{
	long scope = number_in("/proc/sys/kernel/yama/ptrace_scope", 0);
	const char *remedy = "run this as the user it runs as, or as root (in a container: with "
			     "--cap-add SYS_PTRACE)";

	if (scope == 3)
		remedy = "kernel.yama.ptrace_scope is 3, which nothing but a reboot undoes; a core "
			 "file can be looked at";
	else if (scope)
		remedy = "run this as root, or set kernel.yama.ptrace_scope to 0 (sysctl) and run "
			 "this as the user it runs as";
	snprintf(why, TARGET_WHY_BYTES, "not allowed to look into process %d (%s): %s",
		 (int)target->pid, strerror(error), remedy);
	return -error;
}

static int say_why(const struct target *target, int error, char *why)
{
	if (error == EACCES || error == EPERM)
		return say_forbidden(target, error, why);
	if (error == ENOENT || error == ESRCH)
		snprintf(why, TARGET_WHY_BYTES, "there is no process %d", (int)target->pid);
	else
		snprintf(why, TARGET_WHY_BYTES, "cannot look into process %d: %s", (int)target->pid,
			 strerror(error));
	return -error;
}

static int take_line(struct target *target, char *line)
{
	struct target_mapping mapping = { 0 };
	char permissions[5];
	int path_at = 0;
	int file;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %*s %n", &mapping.start,
		   &mapping.end, permissions, &mapping.file_offset, &path_at) < 4)
		return 0;
	if (!path_at || line[path_at] != '/')
		return 0;
	file = target_add_file(target, line + path_at);
	if (file < 0)
		return file == -E2BIG ? 0 : file;
	mapping.file = (uint32_t)file;
	mapping.is_readable = permissions[0] == 'r';
	target->files[file].may_have_code |= permissions[2] == 'x';
	return target_add_mapping(target, &mapping);
}

static int open_regular(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat about;

	if (fd >= 0 && (fstat(fd, &about) < 0 || !S_ISREG(about.st_mode))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/*
 * The program also if it was deleted or replaced, a library then only with the rights to look at
 * mappings as files.
 */
static int open_file(const struct target *target, uint32_t index, const char *program)
{
	const char *path = target->files[index].path;
	char name[PATH_BYTES];
	int fd;

	snprintf(name, sizeof(name), "/proc/%d/exe", (int)target->pid);
	if (!strcmp(path, program))
		return open_regular(name);
	snprintf(name, sizeof(name), "/proc/%d/root%s", (int)target->pid, path);
	fd = open_regular(name);
	for (uint32_t i = 0; fd < 0 && i < target->mappings_count; i++) {
		const struct target_mapping *mapping = &target->mappings[i];

		if (mapping->file != index)
			continue;
		snprintf(name, sizeof(name), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64,
			 (int)target->pid, mapping->start, mapping->end);
		return open_regular(name);
	}
	return fd;
}

static void open_files(struct target *target)
{
	char name[64], program[PATH_BYTES];
	ssize_t length;

	snprintf(name, sizeof(name), "/proc/%d/exe", (int)target->pid);
	length = readlink(name, program, sizeof(program) - 1);
	program[length < 0 ? 0 : length] = '\0';
	for (uint32_t i = 0; i < target->files_count; i++)
		if (target->files[i].may_have_code)
			target->files[i].fd = open_file(target, i, program);
}

static int read_maps(struct target *target, FILE *maps)
{
	char *line = NULL;
	size_t bytes = 0;
	int status = 0;

	while (status >= 0 && getline(&line, &bytes, maps) > 0)
		status = take_line(target, line);
	free(line);
	if (status >= 0)
		open_files(target);
	return status < 0 ? status : 0;
}

static void read_name(struct target *target)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)target->pid);
	file = fopen(path, "re");
	if (!file)
		return;
	if (fgets(target->name, sizeof(target->name), file))
		target->name[strcspn(target->name, "\n")] = '\0';
	fclose(file);
	for (char *c = target->name; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

int target_open_live(struct target *target, char *why)
{
	char path[64];
	FILE *maps;
	int status;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)target->pid);
	target->memory = open(path, O_RDONLY | O_CLOEXEC);
	if (target->memory < 0)
		return say_why(target, errno, why);
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)target->pid);
	maps = fopen(path, "re");
	if (!maps)
		return say_why(target, errno, why);
	read_name(target);
	status = read_maps(target, maps);
	if (status < 0)
		say_why(target, -status, why);
	fclose(maps);
	return status;
}

size_t target_read_live(struct target *target, uint64_t address, void *out, size_t bytes)
{
	ssize_t got;

	if (address > INT64_MAX)
		return 0;
	do
		got = pread(target->memory, out, bytes, (off_t)address);
	while (got < 0 && errno == EINTR);
	return got < 0 ? 0 : (size_t)got;
}
