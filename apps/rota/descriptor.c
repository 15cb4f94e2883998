/* SPDX-License-Identifier: MIT */
/*
 * What a descriptor of a live process is: its link in /proc/PID/fd, and for a socket the two ends,
 * as /proc/PID/net lists them by inode (proc_net_tcp in the kernel's documentation; unix sockets
 * have a path).
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/rota/about.h"

/* Descriptors of one look: each may take reading all sockets of the system. */
#define ASKED_MAX 256

/* An end as the kernel prints it: the address in words of the machine's order, hexadecimal. */
static void say_end(const char *hex, struct text *text)
{
	unsigned char bytes[16] = { 0 };
	char printed[INET6_ADDRSTRLEN] = "?";
	const char *colon = strchr(hex, ':');
	size_t words = colon ? (size_t)(colon - hex) / 8 : 0;

	if (words != 1 && words != 4)
		return;
	for (size_t i = 0; i < words; i++) {
		char word[9] = { 0 };
		uint32_t value;

		memcpy(word, hex + i * 8, 8);
		value = (uint32_t)strtoul(word, NULL, 16);
		memcpy(bytes + i * 4, &value, 4);
	}
	inet_ntop(words == 1 ? AF_INET : AF_INET6, bytes, printed, sizeof(printed));
	text_add(text, words == 1 ? "%s:%lu" : "[%s]:%lu", printed, strtoul(colon + 1, NULL, 16));
}

/* True if the table `name` has a socket with `inode`. */
static bool find_socket(pid_t pid, const char *name, uint64_t inode, struct text *text)
{
	char path[64], line[512], local[64], peer[64];
	bool is_found = false;
	uint64_t seen;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)pid, name);
	file = fopen(path, "re");
	while (file && !is_found && fgets(line, sizeof(line), file)) {
		is_found = sscanf(line, " %*d: %63s %63s %*s %*s %*s %*s %*d %*d %" SCNu64, local,
				  peer, &seen) == 3 &&
			   seen == inode;
		if (!is_found)
			continue;
		text_add(text, "%.3s ", name);
		say_end(local, text);
		if (strspn(peer, "0:") != strlen(peer)) {
			text_add(text, " to ");
			say_end(peer, text);
		}
	}
	if (file)
		fclose(file);
	return is_found;
}

static bool find_unix_socket(pid_t pid, uint64_t inode, struct text *text)
{
	char path[64], line[512], name[128];
	uint64_t seen;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/net/unix", (int)pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		int fields = sscanf(line, "%*s %*s %*s %*s %*s %*s %" SCNu64 " %127s", &seen, name);

		if (fields < 1 || seen != inode)
			continue;
		text_add(text, fields == 2 ? "unix %s" : "unix socket", name);
		fclose(file);
		return true;
	}
	if (file)
		fclose(file);
	return false;
}

void about_descriptor(struct target *target, int fd, struct text *text)
{
	static const char *const tables[] = { "tcp", "tcp6", "udp", "udp6" };
	char path[64], link[256];
	uint64_t inode;
	ssize_t length;

	if (target->is_core || fd < 0 || target->descriptors_asked >= ASKED_MAX)
		return;
	target->descriptors_asked++;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)target->pid, fd);
	length = readlink(path, link, sizeof(link) - 1);
	if (length < 0)
		return;
	link[length] = '\0';
	if (sscanf(link, "socket:[%" SCNu64, &inode) == 1) {
		for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
			if (find_socket(target->pid, tables[i], inode, text))
				return;
		if (find_unix_socket(target->pid, inode, text))
			return;
	}
	for (char *c = link; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	text_add(text, "%s", link);
}
