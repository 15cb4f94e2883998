/* SPDX-License-Identifier: MIT */
/*
 * Commands about the server: CONFIG, TIME, SHUTDOWN, FUNCTION. Application layer of rota-kv; see
 * kv_run_fn. INFO has a file of its own.
 *
 * The one idea: settings that can change are one immutable object. CONFIG SET makes the next one on
 * reactor 0, where changes have an order, and hands it to every reactor.
 */
#include <stdio.h>

#include <rota/memory.h>

#include "apps/kv/call.h"
#include "apps/kv/commands/commands.h"
#include "apps/kv/glob.h"
#include "apps/kv/number.h"

int kv_run_time(struct kv_call *call)
{
	int64_t now_us = rota_wall_ns() / ROTA_NS_PER_US;

	rota_resp_write_array(call->output, 2);
	rota_resp_write_bulk_integer(call->output, now_us / 1000000);
	rota_resp_write_bulk_integer(call->output, now_us % 1000000);
	return 0;
}

int kv_run_function_flush(struct kv_call *call)
{
	if (call->count > 3 || (call->count == 3 && !kv_is_word(call->args[2], "async") &&
				!kv_is_word(call->args[2], "sync")))
		return kv_reply_error(call, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
	return kv_reply_ok(call);
}

int kv_run_shutdown(struct kv_call *call)
{
	static const char *const harmless[] = { "nosave", "now", "force" };

	for (uint32_t i = 1; i < call->count; i++) {
		bool is_known = false;

		for (size_t word = 0; word < ROTA_ARRAY_COUNT(harmless); word++)
			is_known |= kv_is_word(call->args[i], harmless[word]);
		if (kv_is_word(call->args[i], "abort"))
			return kv_reply_error(call, "ERR No shutdown in progress.");
		if (kv_is_word(call->args[i], "save"))
			return kv_reply_error(call, "ERR Errors trying to SHUTDOWN: there is "
						    "nothing to save to, data lives in memory");
		if (!is_known)
			return kv_reply_error(call, KV_ERR_SYNTAX);
	}
	/* As in Redis, the end of the connection is the reply. */
	rota_server_stop(kv_call_server(call)->server);
	rota_session_finish(call->session);
	call->client->ends_batch = true;
	return 0;
}

/* ---- CONFIG GET ---- */

/* Whether one of the request's patterns matches. */
static bool is_asked_for(const struct kv_call *call, const char *name)
{
	for (uint32_t i = 2; i < call->count && *name; i++)
		if (kv_glob_matches(call->args[i], rota_view_of_string(name), true))
			return true;
	return false;
}

int kv_run_config_get(struct kv_call *call)
{
	const struct kv_config *config = &call->client->local->settings->config;
	const char *name, *text;
	size_t count = 0;

	for (unsigned i = 0; (name = kv_config_directive(config, i, &text)); i++)
		count += is_asked_for(call, name);
	rota_resp_write_map(call->output, call->version, count);
	for (unsigned i = 0; (name = kv_config_directive(config, i, &text)); i++) {
		if (!is_asked_for(call, name))
			continue;
		rota_resp_write_bulk(call->output, rota_view_of_string(name));
		rota_resp_write_bulk(call->output, rota_view_of_string(text));
	}
	return 0;
}

/* ---- CONFIG SET ---- */

/* What a CONFIG SET changes, carried from reactor to reactor. */
struct change {
	struct kv_server *server;
	const struct rota_view *args; /* names and values in turn */
	uint32_t count;
	struct kv_settings *settings; /* the new ones */
	/* of an error: what the argument names, and why it was refused */
	const char *name;
	char error[KV_CONFIG_ERROR_BYTES];
};

static void install(struct kv_local *local, struct kv_settings *settings)
{
	struct kv_settings *before = local->settings;

	if (before->version >= settings->version)
		return;
	local->settings = kv_settings_ref(settings);
	if (before->config.idle_timeout_s != settings->config.idle_timeout_s)
		rota_net_set_idle_timeout(settings->config.idle_timeout_s * ROTA_NS_PER_S);
	kv_settings_unref(before);
}

/* The index of the setting with this name, or -1. */
static int find_setting(const struct kv_config *config, struct rota_view wanted, const char **name)
{
	const char *text;

	for (int i = 0; (*name = kv_config_directive(config, (unsigned)i, &text)); i++)
		if (**name && kv_is_word(wanted, *name))
			return i;
	return -1;
}

/* One name and its value. Returns 0, or negative errno with name and error set. */
static int change_setting(struct change *change, struct kv_config *config,
			  const struct rota_view *pair)
{
	int index = find_setting(config, pair[0], &change->name);
	char *value = rota_alloc(pair[1].bytes + 1);
	int status;

	if (!value)
		return -ENOMEM;
	memcpy(value, pair[1].data, pair[1].bytes);
	value[pair[1].bytes] = '\0';
	status = kv_config_change(config, (unsigned)index, value, change->error);
	rota_free(value);
	return status;
}

/* On reactor 0: the next version, out of the current one and the change; all of it or nothing. */
static int64_t make_settings(void *arg)
{
	struct change *change = arg;
	struct kv_local *local = kv_local_here(change->server);
	const struct kv_settings *before = local->settings;
	struct kv_settings *settings = kv_settings_create(&before->config, before->version + 1);
	int status = settings ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < change->count && status == 0; i += 2)
		status = change_setting(change, &settings->config, &change->args[i]);
	if (status < 0) {
		kv_settings_unref(settings);
		return status;
	}
	settings->password_bytes = strlen(settings->config.password);
	change->settings = settings;
	install(local, settings);
	return 0;
}

static int64_t install_here(void *arg)
{
	struct change *change = arg;

	install(kv_local_here(change->server), change->settings);
	return 0;
}

/*
 * Make and hand out the settings. What the first reactor has, all shall have: so it isn't broken
 * off when the client leaves. Suspends.
 */
static int64_t apply(struct change *change)
{
	const struct kv_server *server = change->server;
	struct rota_scope shield;
	int64_t status;

	rota_shield(&shield, ROTA_NEVER);
	status = rota_call_on(server->locals[0].reactor, make_settings, change);
	for (unsigned i = 1; i < server->locals_count && status == 0; i++)
		status = rota_call_on(server->locals[i].reactor, install_here, change);
	rota_ignore(rota_scope_close(&shield), "nothing runs in it");
	kv_settings_unref(change->settings);
	return status;
}

static int refuse(struct kv_call *call, struct rota_view name, const char *why)
{
	return kv_reply_errorf(call,
			       "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s",
			       (int)rota_min_size(name.bytes, 128), name.data, why);
}

/* Whether all names are known, and each comes once. False: the error has been replied. */
static bool names_are_good(struct kv_call *call)
{
	const struct kv_config *config = &call->client->local->settings->config;
	const char *name, *other;

	for (uint32_t i = 2; i < call->count; i += 2) {
		struct rota_view wanted = call->args[i];
		int index = find_setting(config, wanted, &name);

		if (index < 0) {
			kv_reply_errorf(call,
					"ERR Unknown option or number of arguments for CONFIG SET "
					"- '%.*s'",
					(int)rota_min_size(wanted.bytes, 128), wanted.data);
			return false;
		}
		for (uint32_t j = 2; j < i; j += 2)
			if (find_setting(config, call->args[j], &other) == index)
				return refuse(call, wanted, "duplicate parameter"), false;
	}
	return true;
}

int kv_run_config_set(struct kv_call *call)
{
	struct change change = { .server = kv_call_server(call),
				 .args = call->args + 2,
				 .count = call->count - 2 };
	int64_t status;

	if (call->count % 2)
		return kv_reply_error(call, KV_ERR_SYNTAX);
	if (!names_are_good(call))
		return 0;
	status = apply(&change);
	if (status == -EINVAL)
		return refuse(call, rota_view_of_string(change.name), change.error);
	return status < 0 ? kv_reply_status(call, status) : kv_reply_ok(call);
}

/* ---- CONFIG RESETSTAT ---- */

static int64_t reset_here(void *arg)
{
	struct kv_local *local = kv_local_here(arg);

	local->base = local->counters;
	rota_net_stats(&local->net_base);
	if (!local->index)
		kv_store_statistics(local->server->store, &local->store_base);
	return 0;
}

int kv_run_config_resetstat(struct kv_call *call)
{
	struct kv_server *server = kv_call_server(call);
	int64_t status = 0;

	for (unsigned i = 0; i < server->locals_count && status >= 0; i++)
		status = rota_call_on(server->locals[i].reactor, reset_here, server);
	return status < 0 ? (int)status : kv_reply_ok(call);
}
