/* SPDX-License-Identifier: MIT */
/*
 * INFO: figures for people and monitoring. Application layer of rota-kv; see kv_run_fn.
 *
 * The one idea: a field is there when its figure is true. Programs that read INFO look fields up by
 * name, so what Redis has and rota-kv has not is left out, not made up.
 */
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <rota/memory.h>

#include "apps/kv/call.h"
#include "apps/kv/commands/commands.h"

/* jemalloc's, when the program is linked with it. */
int mallctl(const char *name, void *old, size_t *old_bytes, void *new, size_t new_bytes)
	__attribute__((weak));

struct info {
	struct kv_call *call;
	/* of all reactors, since the last CONFIG RESETSTAT where that says something */
	struct kv_counters counters;
	uint64_t received_bytes;
	uint64_t sent_bytes;
	struct kv_statistics store;
	struct rota_buffer text;
	bool failed; /* no memory */
};

static void add(struct info *info, const char *format, ...) ROTA_PRINTF(2, 3);

static void add(struct info *info, const char *format, ...)
{
	char line[512];
	va_list args;
	int bytes;

	va_start(args, format);
	bytes = vsnprintf(line, sizeof(line) - 2, format, args);
	va_end(args);
	if (bytes > (int)sizeof(line) - 3)
		bytes = (int)sizeof(line) - 3;
	memcpy(line + bytes, "\r\n", 2);
	info->failed |= rota_buffer_append(&info->text, line, (size_t)bytes + 2) < 0;
}

static void add_u64(struct info *info, const char *name, uint64_t value)
{
	add(info, "%s:%llu", name, (unsigned long long)value);
}

/* ---- the sections ---- */

static void add_server(struct info *info)
{
	const struct kv_server *server = kv_call_server(info->call);
	const char *engine = rota_server_engine_report(server->server);
	int64_t now_us = rota_wall_ns() / ROTA_NS_PER_US;
	uint32_t age_s = kv_server_age_s(server, rota_now());
	struct utsname system;

	add(info, "redis_version:%s", KV_REDIS_VERSION);
	add(info, "rota_version:%s", ROTA_VERSION);
	add(info, "redis_mode:standalone");
	if (uname(&system) == 0)
		add(info, "os:%s %s %s", system.sysname, system.release, system.machine);
	add(info, "arch_bits:%zu", sizeof(void *) * 8);
	/* Its name only: clients take a value with commas and equal signs for a table. */
	add(info, "multiplexing_api:%.*s", (int)strcspn(engine, ":"), engine);
	add(info, "process_id:%ld", (long)getpid());
	add(info, "run_id:%s", server->run_id);
	add(info, "tcp_port:%u", rota_server_port(server->server));
	add(info, "server_time_usec:%lld", (long long)now_us);
	add(info, "uptime_in_seconds:%u", age_s);
	add(info, "uptime_in_days:%u", age_s / 86400);
	add(info, "hz:10");
	add(info, "io_threads_active:%d", server->locals_count > 1);
	add(info, "reactors:%u", server->locals_count);
}

static void add_clients(struct info *info)
{
	add_u64(info, "connected_clients", info->counters.clients);
	add(info, "maxclients:%u", info->call->client->local->settings->config.maxclients);
	add(info, "blocked_clients:0");
}

static uint64_t resident_bytes(void)
{
	unsigned long total, resident = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (!file)
		return 0;
	if (fscanf(file, "%lu %lu", &total, &resident) != 2)
		resident = 0;
	fclose(file);
	return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Bytes the allocator has handed out. */
static uint64_t allocated_bytes(void)
{
	uint64_t epoch = 1;
	size_t bytes = 0, bytes_bytes = sizeof(bytes);

	if (!mallctl)
		return mallinfo2().uordblks + mallinfo2().hblkhd;
	/* jemalloc's figures are of the last time this was written. */
	if (mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch)) != 0 ||
	    mallctl("stats.allocated", &bytes, &bytes_bytes, NULL, 0) != 0)
		return 0;
	return bytes;
}

static void add_memory(struct info *info)
{
	/*
	 * What lies ready in slabs is in use for the allocator only. Under a sanitizer that knows
	 * nothing; the store always does.
	 */
	uint64_t allocated = allocated_bytes(), ready = info->store.free_bytes;
	uint64_t used = rota_max_size(allocated > ready ? allocated - ready : 0,
				      info->store.memory_bytes);
	uint64_t resident = resident_bytes();

	add_u64(info, "used_memory", used);
	add(info, "used_memory_human:%.2fM", (double)used / 1048576);
	add_u64(info, "used_memory_rss", resident);
	add(info, "used_memory_rss_human:%.2fM", (double)resident / 1048576);
	add_u64(info, "used_memory_dataset", info->store.memory_bytes);
	add(info, "maxmemory:0");
	add(info, "maxmemory_human:0B");
	add(info, "maxmemory_policy:noeviction");
	if (used)
		add(info, "mem_fragmentation_ratio:%.2f", (double)resident / (double)used);
	add(info, "mem_allocator:%s", mallctl ? "jemalloc" : "libc");
}

static void add_persistence(struct info *info)
{
	add(info, "loading:0");
	add(info, "rdb_bgsave_in_progress:0");
	add(info, "aof_enabled:0");
	add(info, "aof_rewrite_in_progress:0");
}

static void add_stats(struct info *info)
{
	add_u64(info, "total_connections_received", info->counters.accepted);
	add_u64(info, "total_commands_processed", info->counters.requests - info->counters.refused);
	add_u64(info, "instantaneous_ops_per_sec", info->counters.ops_per_second);
	add_u64(info, "total_net_input_bytes", info->received_bytes);
	add_u64(info, "total_net_output_bytes", info->sent_bytes);
	add_u64(info, "rejected_connections", info->counters.rejected);
	add_u64(info, "expired_keys", info->store.expired);
	add_u64(info, "evicted_keys", info->store.evicted);
	add_u64(info, "keyspace_hits", info->store.hits);
	add_u64(info, "keyspace_misses", info->store.misses);
	add_u64(info, "total_error_replies", info->counters.errors);
	add_u64(info, "parked_requests", info->counters.parked);
	add_u64(info, "locks_refused", info->store.locks_refused);
}

static void add_replication(struct info *info)
{
	add(info, "role:master");
	add(info, "connected_slaves:0");
}

static void add_cpu(struct info *info)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) < 0)
		return;
	add(info, "used_cpu_sys:%ld.%06ld", usage.ru_stime.tv_sec, (long)usage.ru_stime.tv_usec);
	add(info, "used_cpu_user:%ld.%06ld", usage.ru_utime.tv_sec, (long)usage.ru_utime.tv_usec);
}

static void add_cluster(struct info *info)
{
	add(info, "cluster_enabled:0");
}

static void add_keyspace(struct info *info)
{
	const struct kv_store *store = info->call->access.store;

	for (uint32_t i = 0; i < kv_store_database_count(store); i++) {
		uint64_t keys = kv_store_key_count(store, i);

		if (keys)
			add(info, "db%u:keys=%llu,expires=%llu", i, (unsigned long long)keys,
			    (unsigned long long)kv_store_expiring_count(store, i));
	}
}

static const struct section {
	const char *name;
	void (*add)(struct info *info);
} sections[] = {
	{ "Server", add_server },     { "Clients", add_clients },
	{ "Memory", add_memory },     { "Persistence", add_persistence },
	{ "Stats", add_stats },       { "Replication", add_replication },
	{ "CPU", add_cpu },           { "Cluster", add_cluster },
	{ "Keyspace", add_keyspace },
};

/* ---- gathering ---- */

static void add_counters(struct kv_counters *sum, const struct kv_local *local)
{
	const struct kv_counters *now = &local->counters, *base = &local->base;

	sum->requests += now->requests - base->requests;
	sum->refused += now->refused - base->refused;
	sum->errors += now->errors - base->errors;
	sum->accepted += now->accepted - base->accepted;
	sum->rejected += now->rejected - base->rejected;
	sum->parked += now->parked - base->parked;
	sum->clients += now->clients;
	sum->ops_per_second += now->ops_per_second;
}

/* On each reactor in turn, as only it reads its bases. */
static int64_t count_here(void *arg)
{
	struct info *info = arg;
	const struct kv_local *local = kv_local_here(kv_call_server(info->call));
	struct rota_net_stats here;

	add_counters(&info->counters, local);
	rota_net_stats(&here);
	info->received_bytes += here.received_bytes - local->net_base.received_bytes;
	info->sent_bytes += here.sent_bytes - local->net_base.sent_bytes;
	if (!local->index) {
		const struct kv_statistics *base = &local->store_base;

		kv_store_statistics(local->server->store, &info->store);
		info->store.hits -= base->hits;
		info->store.misses -= base->misses;
		info->store.expired -= base->expired;
		info->store.evicted -= base->evicted;
		info->store.locks_refused -= base->locks_refused;
	}
	return 0;
}

static bool is_asked_for(const struct kv_call *call, const char *section)
{
	static const char *const groups[] = { "all", "default", "everything" };

	for (uint32_t i = 1; i < call->count; i++) {
		if (kv_is_word(call->args[i], section))
			return true;
		for (size_t group = 0; group < ROTA_ARRAY_COUNT(groups); group++)
			if (kv_is_word(call->args[i], groups[group]))
				return true;
	}
	return call->count == 1;
}

int kv_run_info(struct kv_call *call)
{
	const struct kv_server *server = kv_call_server(call);
	struct info info = { .call = call };

	for (unsigned i = 0; i < server->locals_count; i++) {
		int64_t status = rota_call_on(server->locals[i].reactor, count_here, &info);

		if (status < 0)
			return (int)status;
	}
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(sections); i++) {
		if (!is_asked_for(call, sections[i].name))
			continue;
		if (info.text.bytes)
			add(&info, "%s", "");
		add(&info, "# %s", sections[i].name);
		sections[i].add(&info);
	}
	if (info.failed)
		kv_reply_error(call, KV_ERR_MEMORY);
	else
		rota_resp_write_verbatim(call->output, call->version, "txt",
					 rota_view_of(info.text.data, info.text.bytes));
	rota_buffer_fini(&info.text);
	return 0;
}
