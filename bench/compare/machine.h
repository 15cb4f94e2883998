/* SPDX-License-Identifier: MIT */
/*
 * What this machine is, as far as it matters to a measurement: "machine" of a result. Part of
 * rota-compare; any thread, but no task, whose stack is too small for what it reads.
 *
 * The one idea: everything is read from files that may be missing, forbidden or odd, and then the
 * field is null. Nothing here fails but for want of memory.
 */
#ifndef ROTA_BENCH_COMPARE_MACHINE_H
#define ROTA_BENCH_COMPARE_MACHINE_H

#include <jansson.h>

/*
 * Describe this machine and this program's build. Returns a new object, or NULL without memory:
 *
 *   kernel, architecture, system   "6.18.44", "x86_64", "Debian GNU/Linux 12 (bookworm)"
 *   cpu          model, sockets, cores, threads (all online), smt, governor, usable (by us)
 *   memory_bytes
 *   virtualisation   hypervisor "KVM", "none", …; container "docker", "none", …
 *   mitigations      name of the vulnerability → the kernel's words
 *   limits           open_files, locked_memory_bytes: {soft, hard}, number or "unlimited"
 *   sysctls          name → value, those that matter here
 *   build            libc, liburing, compiler, flags
 */
json_t *machine_describe(void);

/* The same with every file looked for below `root` ("": the real ones). For tests. */
json_t *machine_describe_below(const char *root);

#endif /* ROTA_BENCH_COMPARE_MACHINE_H */
