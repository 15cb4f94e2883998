/* SPDX-License-Identifier: MIT */
/*
 * Which hypervisor the processor says it runs under, where it can say so: x86. Any thread.
 */
#ifndef ROTA_BENCH_COMPARE_CPUID_H
#define ROTA_BENCH_COMPARE_CPUID_H

#include <stdbool.h>
#include <string.h>

#define CPUID_SIGNATURE_BYTES 13
#define CPUID_FEATURES 1
#define CPUID_IS_GUEST (1u << 31) /* in ecx */
#define CPUID_HYPERVISOR 0x40000000u

/* tidy: allow conditional, only this processor has the instruction */
#if defined(__x86_64__)
#include <cpuid.h>

/* Fills `signature` ("KVMKVMKVM") and returns true if there is one. */
static inline bool cpuid_hypervisor(char signature[CPUID_SIGNATURE_BYTES])
{
	unsigned eax, words[3];

	if (!__get_cpuid(CPUID_FEATURES, &eax, &words[0], &words[1], &words[2]) ||
	    !(words[1] & CPUID_IS_GUEST))
		return false;
	__cpuid(CPUID_HYPERVISOR, eax, words[0], words[1], words[2]);
	memcpy(signature, words, sizeof(words));
	signature[sizeof(words)] = '\0';
	return true;
}
#else
static inline bool cpuid_hypervisor(char signature[CPUID_SIGNATURE_BYTES])
{
	signature[0] = '\0';
	return false;
}
#endif

#endif /* ROTA_BENCH_COMPARE_CPUID_H */
