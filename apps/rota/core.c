/* SPDX-License-Identifier: MIT */
/*
 * A core file as target: ELF's segments are its memory, its notes say which files were mapped and
 * what threads there were (elf(5), core(5)). What was not written into the core file, code and
 * constants, is read from those files. Nothing in it is trusted; what lies outside the file is not
 * there.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rota/base.h>

#include "apps/rota/target.h"

/* More than vm.max_map_count is ever set to; and all notes of a process with many files. */
#define SEGMENTS_MAX (UINT32_C(1) << 22)
#define NOTES_BYTES_MAX (UINT32_C(1) << 26)

/* Of a GNU build id; all in use are shorter. */
#define BUILD_ID_BYTES 32

/* Notes of a program or library that are searched for it. */
#define FILE_NOTES_BYTES_MAX 65536

struct target_segment {
	uint64_t start;
	uint64_t bytes; /* of the file, from `offset`; may be fewer than were mapped */
	uint64_t offset;
};

static bool read_at(int fd, void *out, size_t bytes, uint64_t offset)
{
	return offset <= INT64_MAX && pread(fd, out, bytes, (off_t)offset) == (ssize_t)bytes;
}

/* ---- notes ---- */

/* NT_FILE: count, page size, `count` times start, end, offset in pages; then the names. */
static int take_files(struct target *target, const char *data, size_t bytes)
{
	uint64_t count, page_bytes;
	const char *name, *end = data + bytes;

	if (bytes < 16)
		return 0;
	memcpy(&count, data, 8);
	memcpy(&page_bytes, data + 8, 8);
	if (count > (bytes - 16) / 24)
		return 0;
	name = data + 16 + count * 24;
	for (uint64_t i = 0; i < count; i++) {
		struct target_mapping mapping = { .is_readable = true };
		const char *terminator = memchr(name, '\0', (size_t)(end - name));
		int file;

		if (!terminator)
			return 0;
		memcpy(&mapping.start, data + 16 + i * 24, 8);
		memcpy(&mapping.end, data + 24 + i * 24, 8);
		memcpy(&mapping.file_offset, data + 32 + i * 24, 8);
		mapping.file_offset *= page_bytes;
		file = target_add_file(target, name);
		name = terminator + 1;
		if (file == -ENOMEM)
			return file;
		if (file < 0)
			continue;
		target->files[file].may_have_code = true; /* it does not say */
		mapping.file = (uint32_t)file;
		if (mapping.start < mapping.end && target_add_mapping(target, &mapping) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int take_thread(struct target *target, const char *data, size_t bytes)
{
	struct elf_prstatus status;
	struct target_thread thread, *threads;
	uint32_t count = target->threads_count;

	if (bytes < sizeof(status))
		return 0;
	memcpy(&status, data, sizeof(status));
	thread.tid = status.pr_pid;
#if defined(__x86_64__) /* tidy: allow conditional, registers are the machine's */
	thread.sp = status.pr_reg[19];
	thread.fp = status.pr_reg[4];
	thread.pc = status.pr_reg[16];
#elif defined(__aarch64__) /* tidy: allow conditional, registers are the machine's */
	thread.sp = status.pr_reg[31];
	thread.fp = status.pr_reg[29];
	thread.pc = status.pr_reg[32];
#else
	return 0;
#endif
	if (!(count & (count - 1))) {
		threads = realloc(target->threads, (count ? count * 2 : 1) * sizeof(*threads));
		if (!threads)
			return -ENOMEM;
		target->threads = threads;
	}
	target->threads[target->threads_count++] = thread;
	return 0;
}

static void take_name(struct target *target, const char *data, size_t bytes)
{
	struct elf_prpsinfo info;

	if (bytes < sizeof(info))
		return;
	memcpy(&info, data, sizeof(info));
	target->pid = info.pr_pid;
	for (size_t i = 0; i < sizeof(info.pr_fname) && info.pr_fname[i]; i++)
		target->name[i] = (char)(info.pr_fname[i] < ' ' || info.pr_fname[i] > '~'
						 ? '?'
						 : info.pr_fname[i]);
}

static int take_note(struct target *target, const Elf64_Nhdr *head, const char *data)
{
	if (head->n_type == NT_FILE)
		return take_files(target, data, head->n_descsz);
	if (head->n_type == NT_PRSTATUS)
		return take_thread(target, data, head->n_descsz);
	if (head->n_type == NT_PRPSINFO)
		take_name(target, data, head->n_descsz);
	return 0;
}

static int read_notes(struct target *target, const Elf64_Phdr *segment)
{
	size_t at = 0, bytes = segment->p_filesz;
	char *notes;
	int status = 0;

	if (bytes > NOTES_BYTES_MAX)
		return 0;
	notes = malloc(bytes + 1);
	if (!notes)
		return -ENOMEM;
	if (!read_at(target->memory, notes, bytes, segment->p_offset))
		bytes = 0;
	while (status == 0 && bytes - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr head;
		size_t data;

		memcpy(&head, notes + at, sizeof(head));
		data = at + sizeof(head) + rota_round_up(head.n_namesz, 4);
		if (data > bytes || head.n_descsz > bytes - data)
			break;
		status = take_note(target, &head, notes + data);
		at = rota_min_size(bytes, data + rota_round_up(head.n_descsz, 4));
	}
	free(notes);
	return status;
}

/* ---- segments ---- */

static int compare_segments(const void *left, const void *right)
{
	const struct target_segment *a = left, *b = right;

	return a->start < b->start ? -1 : a->start > b->start;
}

static int take_segments(struct target *target, const Elf64_Phdr *segments, size_t count)
{
	int status = 0;

	target->segments = calloc(count + 1, sizeof(*target->segments));
	if (!target->segments)
		return -ENOMEM;
	for (size_t i = 0; i < count && status == 0; i++) {
		const Elf64_Phdr *segment = &segments[i];

		if (segment->p_type == PT_NOTE)
			status = read_notes(target, segment);
		else if (segment->p_type == PT_LOAD && segment->p_filesz)
			target->segments[target->segments_count++] =
				(struct target_segment){ .start = segment->p_vaddr,
							 .bytes = segment->p_filesz,
							 .offset = segment->p_offset };
	}
	qsort(target->segments, target->segments_count, sizeof(*target->segments),
	      compare_segments);
	return status;
}

/* Beyond 65534 the count stands in the first section's sh_info. */
static uint64_t segments_in(int fd, const Elf64_Ehdr *head)
{
	Elf64_Shdr first;

	if (head->e_phnum != PN_XNUM)
		return head->e_phnum;
	return read_at(fd, &first, sizeof(first), head->e_shoff) ? first.sh_info : 0;
}

static int read_segments(struct target *target, const Elf64_Ehdr *head, char *why)
{
	uint64_t count = segments_in(target->memory, head);
	Elf64_Phdr *segments = NULL;
	int status = -EINVAL;

	if (count && count <= SEGMENTS_MAX && head->e_phentsize == sizeof(*segments))
		segments = calloc(count, sizeof(*segments));
	if (segments && read_at(target->memory, segments, count * sizeof(*segments), head->e_phoff))
		status = take_segments(target, segments, count);
	if (status < 0)
		snprintf(why, TARGET_WHY_BYTES, "%s is a damaged core file", target->path);
	free(segments);
	return status;
}

/* ---- files ---- */

static size_t read_segment(const struct target *target, uint64_t address, void *out, size_t bytes);

/* Where the first page of an ELF file is: mapped in the core file, or in the file itself. */
struct image {
	const struct target *target;
	uint64_t address; /* in the core file's memory; 0: in `fd` */
	int fd;
};

static bool read_image(const struct image *image, uint64_t offset, void *out, size_t bytes)
{
	if (!image->address)
		return read_at(image->fd, out, bytes, offset);
	return read_segment(image->target, image->address + offset, out, bytes) == bytes;
}

/* GNU's build id of an ELF file, padded with zeros. False: it has none, or it is not there. */
static bool find_build_id(const struct image *image, char id[BUILD_ID_BYTES])
{
	Elf64_Ehdr head;
	Elf64_Phdr segment;
	Elf64_Nhdr note;
	uint64_t at, bytes;

	memset(id, 0, BUILD_ID_BYTES);
	if (!read_image(image, 0, &head, sizeof(head)) || head.e_phentsize != sizeof(segment))
		return false;
	for (unsigned i = 0; i < head.e_phnum; i++) {
		if (!read_image(image, head.e_phoff + i * sizeof(segment), &segment,
				sizeof(segment)))
			return false;
		if (segment.p_type != PT_NOTE)
			continue;
		bytes = rota_min_size(segment.p_filesz, FILE_NOTES_BYTES_MAX);
		/* Aligned to 4 or 8; an id is the first, or comes after one that is aligned. */
		for (at = segment.p_offset; at < segment.p_offset + bytes;
		     at += sizeof(note) + rota_round_up(note.n_namesz, 4) +
			   rota_round_up(note.n_descsz, 4)) {
			if (!read_image(image, at, &note, sizeof(note)))
				return false;
			if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
			    note.n_descsz <= BUILD_ID_BYTES)
				return read_image(image, at + sizeof(note) + 4, id, note.n_descsz);
		}
	}
	return false;
}

/* False if the file is known to be another than the one that was mapped. */
static bool is_same_file(const struct target *target, uint32_t file, int fd)
{
	char then[BUILD_ID_BYTES], now[BUILD_ID_BYTES];
	struct image mapped = { .target = target }, here = { .fd = fd };

	for (uint32_t i = 0; i < target->mappings_count; i++)
		if (target->mappings[i].file == file && target->mappings[i].file_offset == 0)
			mapped.address = target->mappings[i].start;
	if (!mapped.address || !find_build_id(&mapped, then))
		return true;
	return find_build_id(&here, now) && !memcmp(then, now, sizeof(then));
}

/* -1: there is none that can be opened. */
static int open_regular(const char *path)
{
	struct stat about;

	if (stat(path, &about) < 0 || !S_ISREG(about.st_mode))
		return -1;
	return open(path, O_RDONLY | O_CLOEXEC);
}

/*
 * The program is the first that is mapped: it lies lowest, or is said so by `executable`. What was
 * replaced since is as good as gone.
 */
static int open_files(struct target *target, const char *executable, char *why)
{
	for (uint32_t i = 0; i < target->files_count; i++) {
		bool is_named = i == 0 && executable;
		const char *path = is_named ? executable : target->files[i].path;
		int fd = open_regular(path);

		if (is_named && fd < 0) {
			snprintf(why, TARGET_WHY_BYTES, "cannot open %s: %s", path,
				 strerror(errno));
			return -ENOENT;
		}
		target->files[i].fd = fd;
		if (fd < 0 || is_same_file(target, i, fd))
			continue;
		snprintf(why, TARGET_WHY_BYTES,
			 "%s is not the program that made %s: their build ids differ", path,
			 target->path);
		if (is_named)
			return -EINVAL;
		close(fd);
		target->files[i].fd = -1;
	}
	return 0;
}

int target_open_core(struct target *target, const char *executable, char *why)
{
	Elf64_Ehdr head;
	int status;

	target->memory = open(target->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (target->memory < 0) {
		status = -errno;
		snprintf(why, TARGET_WHY_BYTES,
			 "cannot open %s: %s (say a process id, or the path of a core file)",
			 target->path, strerror(-status));
		return status;
	}
	if (!read_at(target->memory, &head, sizeof(head), 0) ||
	    memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_type != ET_CORE ||
	    head.e_ident[EI_CLASS] != ELFCLASS64) {
		snprintf(why, TARGET_WHY_BYTES, "%s is no core file of a 64-bit program",
			 target->path);
		return -EINVAL;
	}
	status = read_segments(target, &head, why);
	return status < 0 ? status : open_files(target, executable, why);
}

/* ---- reading ---- */

/* From the file that was mapped there, which may have been changed since. */
static size_t read_file(const struct target *target, uint64_t address, void *out, size_t bytes)
{
	const struct target_mapping *mapping = target_mapping_at(target, address);
	uint64_t offset;
	ssize_t got;

	if (!mapping || target->files[mapping->file].fd < 0)
		return 0;
	offset = mapping->file_offset + (address - mapping->start);
	bytes = rota_min_size(bytes, mapping->end - address);
	if (offset > INT64_MAX)
		return 0;
	got = pread(target->files[mapping->file].fd, out, bytes, (off_t)offset);
	return got < 0 ? 0 : (size_t)got;
}

/* The segment around `address`, or the one before it; NULL: neither. */
static const struct target_segment *segment_at(const struct target *target, uint64_t address)
{
	uint32_t low = 0, high = target->segments_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (target->segments[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &target->segments[low - 1] : NULL;
}

static size_t read_segment(const struct target *target, uint64_t address, void *out, size_t bytes)
{
	const struct target_segment *segment = segment_at(target, address);

	if (!segment || address - segment->start >= segment->bytes)
		return 0;
	address -= segment->start;
	bytes = rota_min_size(bytes, segment->bytes - address);
	return read_at(target->memory, out, bytes, segment->offset + address) ? bytes : 0;
}

size_t target_read_core(struct target *target, uint64_t address, void *out, size_t bytes)
{
	size_t got = read_segment(target, address, out, bytes);

	return got ? got : read_file(target, address, out, bytes);
}
