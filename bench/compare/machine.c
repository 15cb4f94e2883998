/* SPDX-License-Identifier: MIT */
/*
 * What this machine is: files of /proc, /sys and /etc, and a few calls.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <rota/base.h>

#include "bench/compare/cpuid.h"
#include "bench/compare/machine.h"

#define PATH_BYTES 512
#define FILE_BYTES 8192 /* cpuinfo's first processor, a cgroup list: all that is looked at */
#define CPUS_MAX 1024
#define CORES_MAX 65536 /* of a socket, as ids */

/* ---- files ---- */

/*
 * Read the file `path` below `root` into `text`, cut at its size, NULs made spaces. Returns whether
 * there was anything.
 */
static bool read_file(const char *root, const char *path, char text[FILE_BYTES])
{
	char whole[PATH_BYTES];
	size_t used = 0;
	ssize_t count;
	int fd;

	if (snprintf(whole, sizeof(whole), "%s%s", root, path) >= (int)sizeof(whole))
		return false;
	fd = open(whole, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	while (used < FILE_BYTES - 1 && (count = read(fd, text + used, FILE_BYTES - 1 - used)) > 0)
		used += (size_t)count;
	close(fd);
	text[used] = '\0';
	for (size_t i = 0; i < used; i++)
		if (!text[i])
			text[i] = ' ';
	return used > 0;
}

static bool exists(const char *root, const char *path)
{
	char whole[PATH_BYTES];

	return snprintf(whole, sizeof(whole), "%s%s", root, path) < (int)sizeof(whole) &&
	       access(whole, F_OK) == 0;
}

/* Cut `text` to its first line, without blanks at its ends. Returns its beginning. */
static char *first_line(char *text)
{
	char *end;

	text += strspn(text, " \t\n");
	end = text + strcspn(text, "\n");
	while (end > text && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return text;
}

/* The first line of a file; false also when it is empty. */
static bool read_line(const char *root, const char *path, char text[FILE_BYTES])
{
	char *line;

	if (!read_file(root, path, text))
		return false;
	line = first_line(text);
	memmove(text, line, strlen(line) + 1);
	return *text != '\0';
}

/* What follows `key` and then blanks, `:`, `=` or quotes, up to the line's end or a quote. */
static bool find_value(char *text, const char *key, char **value)
{
	for (char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		*value = line + strlen(key);
		*value += strspn(*value, " \t:=\"");
		(*value)[strcspn(*value, "\"\n")] = '\0';
		return **value != '\0';
	}
	return false;
}

/* ---- values ---- */

/* A value that could not be had is null; one that finds no memory is left out. */
static void put(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value ? value : json_null());
}

static json_t *line_of(const char *root, const char *path)
{
	char text[FILE_BYTES];

	return read_line(root, path, text) ? json_string(text) : NULL;
}

static bool read_long(const char *root, const char *path, long *out)
{
	char text[FILE_BYTES], *end;

	if (!read_line(root, path, text))
		return false;
	*out = strtol(text, &end, 10);
	return end > text && !*end;
}

/* ---- processors ---- */

/* Set those of a list such as "0-3,8" in `is_on`; what is no list is ignored. */
static unsigned parse_cpu_list(const char *text, bool is_on[CPUS_MAX])
{
	unsigned count = 0;

	while (isdigit((unsigned char)*text)) {
		char *end;
		unsigned long first = strtoul(text, &end, 10);
		unsigned long last = *end == '-' ? strtoul(end + 1, &end, 10) : first;

		for (unsigned long i = first; i <= last && i < CPUS_MAX; i++) {
			count += !is_on[i];
			is_on[i] = true;
		}
		text = end + (*end == ',');
	}
	return count;
}

/* One long per processor: the cores and sockets seen so far, to count the different ones. */
static unsigned count_different(const long *seen, unsigned count)
{
	unsigned different = 0;

	for (unsigned i = 0; i < count; i++) {
		unsigned j = 0;

		while (j < i && seen[j] != seen[i])
			j++;
		different += j == i;
	}
	return different;
}

static void put_topology(json_t *cpu, const char *root)
{
	bool is_on[CPUS_MAX] = { false };
	long cores[CPUS_MAX], sockets[CPUS_MAX];
	char text[FILE_BYTES], path[PATH_BYTES];
	unsigned threads = 0, known = 0;
	long active;

	if (read_line(root, "/sys/devices/system/cpu/online", text))
		threads = parse_cpu_list(text, is_on);
	for (unsigned i = 0; i < CPUS_MAX; i++) {
		const char *format = "/sys/devices/system/cpu/cpu%u/topology/%s";
		long core, socket;

		if (!is_on[i])
			continue;
		snprintf(path, sizeof(path), format, i, "core_id");
		if (!read_long(root, path, &core))
			continue;
		snprintf(path, sizeof(path), format, i, "physical_package_id");
		if (!read_long(root, path, &socket))
			continue;
		sockets[known] = socket;
		cores[known++] = socket * CORES_MAX + core;
	}
	put(cpu, "threads", threads ? json_integer(threads) : NULL);
	/* Some processors without topology: no count at all rather than a wrong one. */
	known = known == threads ? known : 0;
	put(cpu, "cores", known ? json_integer(count_different(cores, known)) : NULL);
	put(cpu, "sockets", known ? json_integer(count_different(sockets, known)) : NULL);
	put(cpu, "smt",
	    read_long(root, "/sys/devices/system/cpu/smt/active", &active)
		    ? json_boolean(active != 0)
		    : NULL);
}

static json_t *describe_cpu(const char *root)
{
	json_t *cpu = json_object();
	char text[FILE_BYTES], *value;
	cpu_set_t usable;

	/* x86 says "model name"; 64-bit ARM says nothing people could read, but the device tree. */
	if (read_file(root, "/proc/cpuinfo", text) && find_value(text, "model name", &value))
		put(cpu, "model", json_string(value));
	else
		put(cpu, "model", line_of(root, "/proc/device-tree/model"));
	put_topology(cpu, root);
	put(cpu, "governor",
	    line_of(root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"));
	put(cpu, "usable",
	    sched_getaffinity(0, sizeof(usable), &usable) == 0 ? json_integer(CPU_COUNT(&usable))
							       : NULL);
	return cpu;
}

static json_t *memory_bytes(const char *root)
{
	char text[FILE_BYTES], *value;

	if (!read_file(root, "/proc/meminfo", text) || !find_value(text, "MemTotal", &value))
		return NULL;
	return json_integer(strtoll(value, NULL, 10) * 1024);
}

/* ---- virtual machines and containers ---- */

/* What firmware and processors call the hypervisors people meet. The first match counts. */
static const struct {
	const char *mark, *name;
} hypervisors[] = {
	{ "KVMKVMKVM", "KVM" },
	{ "Microsoft Hv", "Hyper-V" },
	{ "VMwareVMware", "VMware" },
	{ "XenVMMXenVMM", "Xen" },
	{ "TCGTCGTCGTCG", "QEMU, emulating" },
	{ "bhyve bhyve", "bhyve" },
	{ "ACRNACRNACRN", "ACRN" },
	{ "prl hyperv", "Parallels" },
	/* firmware */
	{ "Amazon EC2", "Amazon EC2" },
	{ "Google", "KVM (Google Compute Engine)" },
	{ "Virtual Machine", "Hyper-V" },
	{ "VMware", "VMware" },
	{ "VirtualBox", "VirtualBox" },
	{ "innotek", "VirtualBox" },
	{ "Xen", "Xen" },
	{ "KVM", "KVM" },
	{ "QEMU", "QEMU" },
	{ "Parallels", "Parallels" },
	{ "Apple Virtualization", "Apple Virtualization" },
	/* device trees and /sys/hypervisor */
	{ "linux,kvm", "KVM" },
	{ "xen", "Xen" },
};

static const char *name_hypervisor(const char *text)
{
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(hypervisors); i++)
		if (strstr(text, hypervisors[i].mark))
			return hypervisors[i].name;
	return NULL;
}

static json_t *describe_hypervisor(const char *root)
{
	static const char *const files[] = {
		"/sys/class/dmi/id/product_name", "/sys/class/dmi/id/sys_vendor",
		"/sys/class/dmi/id/bios_vendor",  "/proc/device-tree/hypervisor/compatible",
		"/sys/hypervisor/type",
	};
	char text[FILE_BYTES], signature[CPUID_SIGNATURE_BYTES], *flags;
	bool is_x86, is_guest = false;

	/* The processor answers for the real machine only. */
	if (!*root && cpuid_hypervisor(signature) && name_hypervisor(signature))
		return json_string(name_hypervisor(signature));
	is_x86 = read_file(root, "/proc/cpuinfo", text) && find_value(text, "flags", &flags);
	if (is_x86)
		is_guest = strstr(flags, " hypervisor") != NULL;
	/*
	 * Firmware of a host may name its vendor's clouds: not without the flag, where there is
	 * one.
	 */
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(files) && (is_guest || !is_x86); i++)
		if (read_line(root, files[i], text) && name_hypervisor(text))
			return json_string(name_hypervisor(text));
	if (is_guest)
		return json_string("one that does not say its name");
	return is_x86 ? json_string("none") : NULL;
}

static json_t *describe_container(const char *root)
{
	/* What runtimes write into the path of a cgroup. */
	static const struct {
		const char *mark, *name;
	} cgroups[] = {
		{ "kubepods", "Kubernetes" },
		{ "/docker", "docker" },
		{ "/lxc", "lxc" },
		{ "libpod", "podman" },
		{ "containerd", "containerd" },
		{ "machine.slice/", "nspawn" },
	};
	char text[FILE_BYTES], *name;
	bool any;

	/* systemd's agreement with those who make containers, on the inside. */
	if (read_line(root, "/run/systemd/container", text))
		return json_string(text);
	if (read_file(root, "/proc/1/environ", text)) {
		name = strncmp(text, "container=", 10) ? strstr(text, " container=") : text;
		if (name) {
			name += strcspn(name, "=") + 1;
			name[strcspn(name, " ")] = '\0';
			return json_string(name);
		}
	}
	if (exists(root, "/.dockerenv"))
		return json_string("docker");
	if (exists(root, "/run/.containerenv"))
		return json_string("podman");
	any = read_file(root, "/proc/self/cgroup", text);
	for (size_t i = 0; any && i < ROTA_ARRAY_COUNT(cgroups); i++)
		if (strstr(text, cgroups[i].mark))
			return json_string(cgroups[i].name);
	return any ? json_string("none") : NULL;
}

static json_t *describe_virtualisation(const char *root)
{
	json_t *both = json_object();

	put(both, "hypervisor", describe_hypervisor(root));
	put(both, "container", describe_container(root));
	return both;
}

/* ---- what the kernel was told ---- */

static json_t *describe_mitigations(const char *root)
{
	const char *folder = "/sys/devices/system/cpu/vulnerabilities";
	char path[PATH_BYTES];
	struct dirent *entry;
	json_t *all;
	DIR *files;

	if (snprintf(path, sizeof(path), "%s%s", root, folder) >= (int)sizeof(path))
		return NULL;
	files = opendir(path);
	if (!files)
		return NULL;
	all = json_object();
	while ((entry = readdir(files)) != NULL) {
		if (entry->d_name[0] == '.' || snprintf(path, sizeof(path), "%s/%s", folder,
							entry->d_name) >= (int)sizeof(path))
			continue;
		put(all, entry->d_name, line_of(root, path));
	}
	closedir(files);
	return all;
}

static json_t *describe_sysctls(const char *root)
{
	static const char *const names[] = {
		"kernel.io_uring_disabled",
		"kernel.io_uring_group",
		"net.core.busy_poll",
		"net.core.somaxconn",
		"net.ipv4.tcp_congestion_control",
		"net.ipv4.tcp_rmem",
		"net.ipv4.tcp_wmem",
		"vm.max_map_count",
	};
	json_t *all = json_object();
	char path[PATH_BYTES];

	for (size_t i = 0; i < ROTA_ARRAY_COUNT(names); i++) {
		size_t start = strlen("/proc/sys/");

		snprintf(path, sizeof(path), "/proc/sys/%s", names[i]);
		for (char *at = path + start; *at; at++)
			if (*at == '.')
				*at = '/';
		put(all, names[i], line_of(root, path));
	}
	return all;
}

static json_t *limit_value(rlim_t value)
{
	return value == RLIM_INFINITY ? json_string("unlimited") : json_integer((json_int_t)value);
}

static json_t *describe_limit(__rlimit_resource_t resource)
{
	struct rlimit limit;
	json_t *both;

	if (getrlimit(resource, &limit) < 0)
		return NULL;
	both = json_object();
	put(both, "soft", limit_value(limit.rlim_cur));
	put(both, "hard", limit_value(limit.rlim_max));
	return both;
}

static json_t *describe_limits(void)
{
	json_t *limits = json_object();

	put(limits, "open_files", describe_limit(RLIMIT_NOFILE));
	put(limits, "locked_memory_bytes", describe_limit(RLIMIT_MEMLOCK));
	return limits;
}

/* ---- the program: the build says BUILT_WITH_… ---- */

static json_t *describe_build(void)
{
	json_t *build = json_object();

	put(build, "libc", json_sprintf("glibc %s", gnu_get_libc_version()));
	put(build, "liburing", json_string(BUILT_WITH_LIBURING));
	/* gcc's is a number only */
	put(build, "compiler",
	    json_sprintf(isdigit((unsigned char)*__VERSION__) ? "gcc %s" : "%s", __VERSION__));
	put(build, "flags", json_string(BUILT_WITH_FLAGS));
	return build;
}

json_t *machine_describe_below(const char *root)
{
	json_t *machine = json_object();
	struct utsname system;
	char text[FILE_BYTES], *value;
	bool named = uname(&system) == 0;

	put(machine, "kernel", named ? json_string(system.release) : NULL);
	put(machine, "architecture", named ? json_string(system.machine) : NULL);
	put(machine, "system",
	    read_file(root, "/etc/os-release", text) && find_value(text, "PRETTY_NAME", &value)
		    ? json_string(value)
		    : NULL);
	put(machine, "cpu", describe_cpu(root));
	put(machine, "memory_bytes", memory_bytes(root));
	put(machine, "virtualisation", describe_virtualisation(root));
	put(machine, "mitigations", describe_mitigations(root));
	put(machine, "limits", describe_limits());
	put(machine, "sysctls", describe_sysctls(root));
	put(machine, "build", describe_build());
	return machine;
}

json_t *machine_describe(void)
{
	return machine_describe_below("");
}
