/* SPDX-License-Identifier: MIT */
/* Processors for servers and for clients; see cpus.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bench/compare/cpus.h"
#include "framework/options.h"

static void add(struct cpus *cpus, int cpu)
{
	size_t used = strlen(cpus->text);

	if (cpus->count == CPUS_MAX || cpu > 9999)
		return;
	cpus->list[cpus->count++] = cpu;
	snprintf(cpus->text + used, sizeof(cpus->text) - used, "%s%d", used ? "," : "", cpu);
}

static bool has(const struct cpus *cpus, int cpu)
{
	for (unsigned i = 0; i < cpus->count; i++)
		if (cpus->list[i] == cpu)
			return true;
	return false;
}

int cpus_parse(struct cpus *cpus, const char *text)
{
	int count = rota__cpus_parse(text, cpus->list, CPUS_MAX);

	if (count < 0 || strlen(text) >= sizeof(cpus->text))
		return -EINVAL;
	cpus->count = (unsigned)count;
	snprintf(cpus->text, sizeof(cpus->text), "%s", text);
	return 0;
}

/* The threads of the core that `cpu` is one of; at least itself. */
static unsigned read_core(const char *root, int cpu, int list[CPUS_MAX])
{
	char path[512], text[CPUS_TEXT_BYTES];
	FILE *file;
	int count = -1;

	snprintf(path, sizeof(path), "%s/devices/system/cpu/cpu%d/topology/thread_siblings_list",
		 root, cpu);
	file = fopen(path, "re");
	if (file && fgets(text, sizeof(text), file)) {
		text[strcspn(text, "\n")] = '\0';
		count = rota__cpus_parse(text, list, CPUS_MAX);
	}
	if (file)
		fclose(file);
	if (count > 0)
		return (unsigned)count;
	list[0] = cpu;
	return 1;
}

static bool is_allowed(const cpu_set_t *allowed, int cpu)
{
	return cpu < CPU_SETSIZE && CPU_ISSET((unsigned)cpu, allowed);
}

void cpus_halve(const char *root, const cpu_set_t *allowed, struct cpus *servers,
		struct cpus *clients)
{
	unsigned half = ((unsigned)CPU_COUNT(allowed) + 1) / 2;
	int core[CPUS_MAX];

	servers->count = clients->count = 0;
	servers->text[0] = clients->text[0] = '\0';
	for (int cpu = 0; cpu < CPU_SETSIZE && cpu < CPUS_MAX; cpu++) {
		struct cpus *side = servers->count < half ? servers : clients;
		unsigned count;

		if (!is_allowed(allowed, cpu) || has(servers, cpu) || has(clients, cpu))
			continue;
		count = read_core(root, cpu, core);
		for (unsigned i = 0; i < count; i++)
			if (is_allowed(allowed, core[i]) && !has(side, core[i]))
				add(side, core[i]);
		if (!has(side, cpu))
			add(side, cpu); /* it is missing in its own core's list */
	}
	/* One core alone: its threads apart, and one thread for both. */
	if (!clients->count && servers->count > 1) {
		clients->list[0] = servers->list[--servers->count];
		clients->count = 1;
		snprintf(clients->text, sizeof(clients->text), "%d", clients->list[0]);
		*strrchr(servers->text, ',') = '\0';
	} else if (!clients->count) {
		*clients = *servers;
	}
}

void cpus_join(const struct cpus *one, const struct cpus *other, struct cpus *out)
{
	*out = (struct cpus){ .count = 0 };
	for (unsigned i = 0; i < one->count; i++)
		if (!has(out, one->list[i]))
			add(out, one->list[i]);
	for (unsigned i = 0; i < other->count; i++)
		if (!has(out, other->list[i]))
			add(out, other->list[i]);
}

bool cpus_overlap(const struct cpus *one, const struct cpus *other)
{
	for (unsigned i = 0; i < one->count; i++)
		if (has(other, one->list[i]))
			return true;
	return false;
}
