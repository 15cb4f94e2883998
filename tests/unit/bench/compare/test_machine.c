/* SPDX-License-Identifier: MIT */
/*
 * What machine_describe_below() makes of files that are made up, odd or not there. One folder per
 * test stands in for the root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/compare/machine.h"
#include "bench/compare/result.h"

static char root[64];

static int make_root(void **state)
{
	(void)state;
	/* tidy: allow unfinished, mkdtemp(3) wants it so */
	snprintf(root, sizeof(root), "/tmp/rota-test-machine-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status;
	(void)type;
	(void)place;
	return remove(path);
}

static int remove_root(void **state)
{
	(void)state;
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Write `bytes` of `text` to `path` below the root, its folders made. */
static void put_bytes(const char *path, const char *text, size_t bytes)
{
	char whole[256];
	FILE *file;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(whole, 0777);
		*slash = '/';
	}
	file = fopen(whole, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, bytes, file), bytes);
	assert_int_equal(fclose(file), 0);
}

static void put(const char *path, const char *text)
{
	put_bytes(path, text, strlen(text));
}

static json_t *member(const json_t *machine, const char *object, const char *key)
{
	json_t *found = json_object_get(json_object_get(machine, object), key);

	assert_non_null(found);
	return found;
}

/* What the machine of the root says of virtualisation. */
static void assert_virtual(const char *hypervisor, const char *container)
{
	json_t *machine = machine_describe_below(root);
	const json_t *both = json_object_get(machine, "virtualisation");

	assert_string_equal(result_text(both, "hypervisor"), hypervisor);
	assert_string_equal(result_text(both, "container"), container);
	json_decref(machine);
}

static void test_machine_without_files_is_null_not_wrong(void **state)
{
	json_t *machine = machine_describe_below(root);

	(void)state;
	assert_true(json_is_null(json_object_get(machine, "system")));
	assert_true(json_is_null(json_object_get(machine, "memory_bytes")));
	assert_true(json_is_null(json_object_get(machine, "mitigations")));
	assert_true(json_is_null(member(machine, "cpu", "model")));
	assert_true(json_is_null(member(machine, "cpu", "cores")));
	assert_true(json_is_null(member(machine, "cpu", "smt")));
	assert_true(json_is_null(member(machine, "virtualisation", "hypervisor")));
	assert_true(json_is_null(member(machine, "virtualisation", "container")));
	assert_true(json_is_null(member(machine, "sysctls", "net.core.somaxconn")));
	/* these come from calls */
	assert_true(json_is_string(json_object_get(machine, "kernel")));
	assert_true(json_is_object(member(machine, "limits", "open_files")));
	json_decref(machine);
}

static void test_machine_itself_knows_kernel_and_build(void **state)
{
	json_t *machine = machine_describe();

	(void)state;
	assert_true(*result_text(machine, "kernel"));
	assert_true(json_integer_value(member(machine, "cpu", "usable")) >= 1);
	assert_non_null(strstr(json_string_value(member(machine, "build", "libc")), "glibc"));
	assert_true(json_is_string(member(machine, "build", "flags")));
	json_decref(machine);
}

static void test_machine_counts_cores_of_several_sockets(void **state)
{
	static const struct {
		int cpu, core, socket;
	} threads[] = { { 0, 0, 0 }, { 1, 0, 0 }, { 4, 1, 0 }, { 5, 0, 1 } };
	json_t *machine;
	char path[128], text[16];

	(void)state;
	put("/sys/devices/system/cpu/online", "0-1,4-5\n");
	put("/sys/devices/system/cpu/smt/active", "1\n");
	for (size_t i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/core_id",
			 threads[i].cpu);
		snprintf(text, sizeof(text), "%d\n", threads[i].core);
		put(path, text);
		snprintf(path, sizeof(path),
			 "/sys/devices/system/cpu/cpu%d/topology/physical_package_id",
			 threads[i].cpu);
		snprintf(text, sizeof(text), "%d\n", threads[i].socket);
		put(path, text);
	}
	machine = machine_describe_below(root);
	assert_int_equal(json_integer_value(member(machine, "cpu", "threads")), 4);
	assert_int_equal(json_integer_value(member(machine, "cpu", "cores")), 3);
	assert_int_equal(json_integer_value(member(machine, "cpu", "sockets")), 2);
	assert_true(json_is_true(member(machine, "cpu", "smt")));
	json_decref(machine);
}

static void test_machine_topology_in_part_counts_nothing(void **state)
{
	json_t *machine;

	(void)state;
	put("/sys/devices/system/cpu/online", "0-1");
	put("/sys/devices/system/cpu/cpu0/topology/core_id", "0");
	put("/sys/devices/system/cpu/cpu0/topology/physical_package_id", "what?");
	machine = machine_describe_below(root);
	assert_int_equal(json_integer_value(member(machine, "cpu", "threads")), 2);
	assert_true(json_is_null(member(machine, "cpu", "cores")));
	json_decref(machine);
}

static void test_machine_hypervisor_by_firmware_needs_the_guest_flag(void **state)
{
	(void)state;
	put("/proc/cpuinfo", "model name\t: A\nflags\t\t: fpu sse2\n");
	put("/sys/class/dmi/id/sys_vendor", "QEMU\n");
	put("/proc/self/cgroup", "0::/init.scope\n");
	assert_virtual("none", "none");
	put("/proc/cpuinfo", "model name\t: A\nflags\t\t: fpu hypervisor sse2\n");
	assert_virtual("QEMU", "none");
	put("/sys/class/dmi/id/product_name", "VMware7,1\n");
	assert_virtual("VMware", "none");
	put("/sys/class/dmi/id/product_name", "Board\n");
	put("/sys/class/dmi/id/sys_vendor", "Somebody\n");
	assert_virtual("one that does not say its name", "none");
}

static void test_machine_hypervisor_without_flags_by_device_tree(void **state)
{
	(void)state;
	put("/proc/cpuinfo", "processor\t: 0\nFeatures\t: fp asimd\n");
	put_bytes("/proc/device-tree/hypervisor/compatible", "linux,kvm", 10);
	assert_virtual("KVM", "");
}

static void test_machine_container_by_each_sign(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/kubepods/burstable/pod1\n");
	assert_virtual("", "Kubernetes");
	put("/proc/self/cgroup", "12:pids:/docker/0123\n");
	assert_virtual("", "docker");
	put("/run/.containerenv", "");
	assert_virtual("", "podman");
	put("/.dockerenv", "");
	assert_virtual("", "docker");
	put_bytes("/proc/1/environ", "PATH=/bin\0container=lxc\0HOME=/", 31);
	assert_virtual("", "lxc");
	put("/run/systemd/container", "systemd-nspawn\n");
	assert_virtual("", "systemd-nspawn");
}

static void test_machine_texts_that_are_odd(void **state)
{
	char longer[20000];
	json_t *machine;

	(void)state;
	memset(longer, 'x', sizeof(longer));
	put_bytes("/etc/os-release", longer, sizeof(longer));
	put("/proc/sys/net/core/somaxconn", "4096\nsecond line\n");
	put("/proc/sys/net/ipv4/tcp_congestion_control", "\xff\xfe not UTF-8\n");
	put("/sys/devices/system/cpu/vulnerabilities/meltdown", "Not affected\n");
	put("/sys/devices/system/cpu/vulnerabilities/empty", "");
	put("/proc/meminfo", "MemTotal:       2048 kB\nMemFree: 1 kB\n");
	machine = machine_describe_below(root);
	assert_true(json_is_null(json_object_get(machine, "system")));
	assert_string_equal(json_string_value(member(machine, "sysctls", "net.core.somaxconn")),
			    "4096");
	assert_true(json_is_null(member(machine, "sysctls", "net.ipv4.tcp_congestion_control")));
	assert_string_equal(json_string_value(member(machine, "mitigations", "meltdown")),
			    "Not affected");
	assert_true(json_is_null(member(machine, "mitigations", "empty")));
	assert_int_equal(json_integer_value(json_object_get(machine, "memory_bytes")), 2 << 20);
	json_decref(machine);
}

#define with_root(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_root(test_machine_without_files_is_null_not_wrong),
		with_root(test_machine_itself_knows_kernel_and_build),
		with_root(test_machine_counts_cores_of_several_sockets),
		with_root(test_machine_topology_in_part_counts_nothing),
		with_root(test_machine_hypervisor_by_firmware_needs_the_guest_flag),
		with_root(test_machine_hypervisor_without_flags_by_device_tree),
		with_root(test_machine_container_by_each_sign),
		with_root(test_machine_texts_that_are_odd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
